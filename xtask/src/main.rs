//! `[ui]` What a developer or CI types: demo, test, lab, bench, conformance.
fn main() {}
