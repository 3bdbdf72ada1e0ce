//! What we have in Python has its tests in Python; they run here.

use std::path::Path;
use std::process::{Command, Output};

#[test]
fn the_package_for_modules_in_python() {
    passed(&run("test_module_utils.py").unwrap());
}

#[test]
fn filters_tests_and_lookups_in_python() {
    passed(&run("test_plugins.py").unwrap());
}

fn run(tests: &str) -> std::io::Result<Output> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/tests").join(tests);
    Command::new("python3").arg("-B").arg(tests).output()
}

fn passed(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("\nOK"), "{said}");
}
