//! Exit codes of Ansible's programs.

/// One of them.
pub type Code = u8;

/// Every host did everything.
pub const DONE: Code = 0;
/// Something that Ansible calls an error: a file is missing, a password is wrong.
pub const ERROR: Code = 1;
/// Some hosts failed; also what the parser of arguments returns.
pub const FAILED: Code = 2;
/// Some hosts are unreachable.
pub const UNREACHABLE: Code = 4;
/// What is written can't be used; Ansible has the same number for both.
pub const PARSER: Code = 4;
/// What the options ask for can't be done.
pub const OPTIONS: Code = 5;
/// Ctrl-C.
pub const INTERRUPTED: Code = 99;
/// This machine lacks something that the program needs.
pub const UNEXPECTED: Code = 250;
