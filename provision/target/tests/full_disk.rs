//! A full disk leaves files whole.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use provision_protocol::Call;
use serde_json::json;
use support::{Helper, PROGRAM, call, copy};

/// A helper that sees a file system of one MiB at this folder; `None`: that can't be arranged here.
fn helper_with_small_disk(folder: &Path, state: &Path) -> Option<Helper> {
    let works = Command::new("unshare").args(["-m", "true"]).status();
    if !nix::unistd::geteuid().is_root() || !works.is_ok_and(|status| status.success()) {
        return None;
    }
    let script = format!(
        "mount -t tmpfs -o size=1m none {folder} && echo old >{folder}/file && \
         exec {PROGRAM} --serve --state {state}",
        folder = folder.display(),
        state = state.display()
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]);
    let mut helper = Helper::from(command);
    helper.hello("full-disk", true, 0);
    helper.expect_hello();
    Some(helper)
}

#[test]
fn the_old_file_stays_and_nothing_is_left() {
    let (disk, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(mut helper) = helper_with_small_disk(disk.path(), state.path()) else { return };
    let file = disk.path().join("file");
    let large = vec![b'x'; 3 << 20];
    helper.content(&large);
    let result = helper.run(Call { ignore_failure: true, ..copy(1, &file, &large) });
    assert_eq!(result.get("failed"), Some(&json!(true)), "{result:?}");
    assert!(result["msg"].as_str().unwrap().contains("No space left"), "{result:?}");
    let text = "y".repeat(2 << 20);
    let line = json!({ "path": file, "line": text });
    let result = helper.run(Call { ignore_failure: true, ..call(2, "lineinfile", line) });
    assert_eq!(result.get("failed"), Some(&json!(true)));
    let archive = state.path().join("a.tar");
    fs::write(state.path().join("big"), &large).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("cf").arg(&archive).arg("-C").arg(state.path()).arg("big");
    assert!(tar.status().unwrap().success());
    let unarchive = json!({ "src": archive, "dest": disk.path(), "remote_src": true });
    let result = helper.run(Call { ignore_failure: true, ..call(3, "unarchive", unarchive) });
    assert!(result["msg"].as_str().unwrap().contains("no space"), "{result:?}");
    let slurp = helper.run(call(4, "slurp", json!({ "src": file })));
    assert_eq!(slurp["content"], json!("b2xkCg=="));
    let find = json!({ "paths": [disk.path()], "hidden": true, "file_type": "any" });
    assert_eq!(helper.run(call(5, "find", find))["matched"], json!(1));
    helper.bye();
}

#[test]
fn handlers_that_cannot_be_recorded_stop_the_change() {
    let (disk, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The state itself lies on the small disk.
    let Some(mut helper) = helper_with_small_disk(disk.path(), disk.path()) else { return };
    let fill = json!({ "cmd": format!("dd if=/dev/zero of={}/zeros", disk.path().display()) });
    helper.run(Call { ignore_failure: true, ..call(1, "command", fill) });
    let path = folder.path().join("x");
    let touch = call(2, "file", json!({ "path": path, "state": "touch" }));
    let handlers = vec!["h".repeat(10_000)];
    let result = helper.run(Call { notify: handlers, ignore_failure: true, ..touch });
    assert!(result["msg"].as_str().unwrap().contains("handlers"), "{result:?}");
    assert!(!path.exists());
}
