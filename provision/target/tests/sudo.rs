//! Becoming other users from a login user that isn't root, through a real sudo.
//!
//! Everything happens in a mount namespace with users and rules of its own; the machine is not
//! touched. Without root, `sudo` or `unshare` there is nothing to test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use provision_protocol::{Call, FromHost, ToHost};
use serde_json::json;
use support::{Helper, PROGRAM, as_user, call, copy};
use tempfile::TempDir;

/// SHA-512 crypt of `right`.
const PASSWORD: &str = "$6$provision$ve5/PbuPhoH5m9BZ4rG2BbH8JOUt2Fr1L1kk20Ynm6qIzqERFKmzsodTPXcdjXCHet0yTml99hLfPaNvbsw7R1";

struct Machine {
    root: TempDir,
}

impl Machine {
    /// Two users, `worker` and `other`; `rules` are lines of sudoers.
    fn new(rules: &str) -> Option<Machine> {
        let has = |program: &str| {
            Command::new("sh")
                .args(["-c", &format!("command -v {program} >/dev/null")])
                .status()
                .is_ok_and(|status| status.success())
        };
        let is_root = nix::unistd::geteuid().is_root();
        if !is_root || !["sudo", "unshare", "setpriv"].iter().all(|name| has(name)) {
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        let mut users = fs::read_to_string("/etc/passwd").unwrap();
        let mut shadow = fs::read_to_string("/etc/shadow").unwrap();
        for (name, id) in [("worker", 4242), ("other", 4243)] {
            let home = path.join(name);
            fs::create_dir(&home).unwrap();
            fs::set_permissions(&home, PermissionsExt::from_mode(0o700)).unwrap();
            chown(&home, Some(id), Some(id)).unwrap();
            users.push_str(&format!("{name}:x:{id}:{id}::{}:/bin/sh\n", home.display()));
            shadow.push_str(&format!("{name}:{PASSWORD}:19000:0:99999:7:::\n"));
        }
        let mut groups = fs::read_to_string("/etc/group").unwrap();
        groups.push_str("worker:x:4242:\nother:x:4243:\n");
        fs::write(path.join("passwd"), users).unwrap();
        fs::write(path.join("shadow"), shadow).unwrap();
        fs::write(path.join("group"), groups).unwrap();
        fs::write(
            path.join("sudoers"),
            format!("Defaults !lecture, timestamp_timeout=0\n{rules}\n"),
        )
        .unwrap();
        fs::set_permissions(path.join("sudoers"), PermissionsExt::from_mode(0o440)).unwrap();
        let program = path.join("worker/helper");
        fs::copy(PROGRAM, &program).unwrap();
        chown(&program, Some(4242), Some(4242)).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
        Some(Machine { root })
    }

    /// A greeted helper of `worker`.
    fn login(&self) -> Helper {
        let root = self.root.path().display();
        let script = format!(
            "mount --bind {root}/passwd /etc/passwd && mount --bind {root}/shadow /etc/shadow && \
             mount --bind {root}/group /etc/group && mount --bind {root}/sudoers /etc/sudoers && \
             mount -t tmpfs none /run/sudo 2>/dev/null; cd / && \
             exec setpriv --reuid 4242 --regid 4242 --clear-groups \
             env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME={root}/worker USER=worker \
             {root}/worker/helper --serve"
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script]);
        let mut helper = Helper::from(command);
        helper.hello("sudo-test", true, 0);
        let hello = helper.expect_hello();
        assert_eq!((hello.user.as_str(), hello.uid), ("worker", 4242));
        helper
    }

    fn path(&self) -> &Path {
        self.root.path()
    }
}

fn whoami(id: u64, user: &str) -> Call {
    let arguments = json!({ "cmd": "id -un" });
    Call { r#become: as_user(user), ignore_failure: true, ..call(id, "command", arguments) }
}

fn answer(helper: &mut Helper, password: Option<&str>) -> bool {
    loop {
        match helper.hear() {
            FromHost::Started { .. } => {}
            FromHost::NeedPassword { request, again, .. } => {
                helper.say(&ToHost::Password { request, password: password.map(Into::into) });
                return again;
            }
            other => panic!("expected a question, heard {other:?}"),
        }
    }
}

#[test]
fn without_a_password() {
    let Some(machine) = Machine::new("worker ALL=(ALL:ALL) NOPASSWD: ALL") else { return };
    let mut helper = machine.login();
    assert_eq!(helper.run(whoami(1, "root"))["stdout"], json!("root"));
    assert_eq!(helper.run(whoami(2, "other"))["stdout"], json!("other"));
    assert_eq!(
        helper.run(call(3, "command", json!({ "cmd": "id -un" })))["stdout"],
        json!("worker")
    );
    // The copy in the other user's own folder is found the next time.
    let copies = machine.path().join("other/.cache/provision");
    assert_eq!(fs::read_dir(&copies).unwrap().count(), 1);
    helper.bye();
    let mut helper = machine.login();
    let bytes = vec![b'z'; 1_500_000];
    helper.content(&bytes);
    let dest = machine.path().join("other/file");
    let result = helper.run(Call { r#become: as_user("other"), ..copy(1, &dest, &bytes) });
    assert_eq!(result["owner"], json!("other"), "{result:?}");
    helper.bye();
}

#[test]
fn with_a_password() {
    let Some(machine) = Machine::new("worker ALL=(ALL:ALL) ALL") else { return };
    let mut helper = machine.login();
    helper.call(whoami(1, "root"));
    assert!(!answer(&mut helper, Some("right")));
    assert_eq!(helper.result().result["stdout"], json!("root"));
    // Once per user and session.
    assert_eq!(helper.run(whoami(2, "root"))["stdout"], json!("root"));
    helper.call(whoami(3, "other"));
    assert!(!answer(&mut helper, Some("wrong")));
    assert!(answer(&mut helper, Some("right")));
    assert_eq!(helper.result().result["stdout"], json!("other"));
    helper.bye();
}

#[test]
fn wrong_passwords_are_not_repeated() {
    let Some(machine) = Machine::new("worker ALL=(ALL:ALL) ALL") else { return };
    let mut helper = machine.login();
    helper.call(whoami(1, "root"));
    answer(&mut helper, Some("wrong"));
    assert!(answer(&mut helper, Some("wrong")));
    let message = helper.result().result["msg"].as_str().unwrap().to_owned();
    assert!(message.contains("Incorrect sudo password"), "{message}");
    assert!(!message.contains("[provision"), "{message}");
    // The next call fails at once, without a question.
    helper.call(whoami(2, "root"));
    assert_eq!(helper.hear(), FromHost::Started { id: 2 });
    let FromHost::Result(result) = helper.hear() else { panic!() };
    assert_eq!(result.result["failed"], json!(true));
    helper.call(whoami(3, "other"));
    answer(&mut helper, None);
    let message = helper.result().result["msg"].as_str().unwrap().to_owned();
    assert!(message.contains("Missing sudo password"), "{message}");
    helper.bye();
}

#[test]
fn refusals_have_hints() {
    let Some(machine) = Machine::new("Defaults requiretty\nworker ALL=(ALL:ALL) NOPASSWD: ALL")
    else {
        return;
    };
    let mut helper = machine.login();
    let result = helper.run(whoami(1, "root"));
    assert!(result["msg"].as_str().unwrap().contains("requiretty"), "{result:?}");
    helper.bye();
    let Some(machine) = Machine::new("") else { return };
    let mut helper = machine.login();
    helper.call(whoami(1, "root"));
    answer(&mut helper, Some("right"));
    let result = helper.result().result;
    assert!(result["msg"].as_str().unwrap().contains("sudoers"), "{result:?}");
}
