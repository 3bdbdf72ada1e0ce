//! `[ui]` Scenario files of the simulator and the metrics of its runs, for the program and for the fuzz
//! targets of their readers.
//! Nothing here reads files: whoever calls loads them. [`execute`] runs what was read.

pub mod execute;
pub mod judge;
pub mod known;
mod lanes;
pub mod loads;
pub mod metric;
pub mod parameter;
pub mod scenario;
pub mod search;
