//! Our `ansible.module_utils` has its tests in Python; they run here.

use std::path::Path;
use std::process::Command;

#[test]
fn the_package_for_modules_in_python() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/tests/test_module_utils.py");
    let output = Command::new("python3").arg("-B").arg(tests).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("\nOK"), "{said}");
}
