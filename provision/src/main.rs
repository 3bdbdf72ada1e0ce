//! `[ui]` Arguments, terminal output and reports of `provision`.
fn main() {}
