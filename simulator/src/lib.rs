//! `[ui]` Scenario files of the simulator, for the program and for the fuzz target of their reader.
//! Nothing here reads files: whoever calls loads them.

pub mod scenario;
