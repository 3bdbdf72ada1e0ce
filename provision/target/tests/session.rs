//! The helper as the controller sees it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use provision_protocol::{Call, Frame, FromHost, PROTOCOL_VERSION, ToHost};
use serde_json::json;
use support::{Helper, as_user, call, copy, reference};

fn is_failed(result: &provision_protocol::Object) -> bool {
    result.get("failed") == Some(&json!(true))
}

#[test]
fn another_version_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let mut helper = Helper::start(state.path());
    let greeting = json!({ "type": "hello", "protocol": PROTOCOL_VERSION + 1, "new_field": 1 });
    helper.frame(&Frame::message(&greeting).unwrap());
    let FromHost::Fatal { message } = helper.hear() else { panic!() };
    assert!(message.contains("version"), "{message}");
    assert_eq!(helper.end(), 66);
}

#[test]
fn calls_run_in_order_and_stop_behind_a_failure() {
    let (state, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut helper, hello) = Helper::greeted(state.path(), "r");
    assert_eq!((hello.uid, hello.last_started), (0, None));
    let touch = |id, task, generation, name: &str| Call {
        task,
        generation,
        ..call(id, "file", json!({ "path": files.path().join(name), "state": "touch" }))
    };
    let fails = |id, task| Call {
        task,
        ..call(id, "file", json!({ "path": "/nonexistent/x", "state": "touch" }))
    };
    helper.call(touch(1, 1, 0, "a"));
    helper.call(Call { ignore_failure: true, ..fails(2, 2) });
    helper.call(fails(3, 3));
    helper.call(touch(4, 3, 0, "same-task"));
    helper.call(touch(5, 4, 0, "dropped"));
    helper.call(touch(6, 5, 1, "next-generation"));
    let (code, said) = helper.bye();
    let ends: Vec<(u64, &str)> = said
        .iter()
        .filter_map(|message| match message {
            FromHost::Result(result) if is_failed(&result.result) => Some((result.id, "failed")),
            FromHost::Result(result) => Some((result.id, "ok")),
            FromHost::Dropped { id } => Some((*id, "dropped")),
            _ => None,
        })
        .collect();
    let expected = [(1, "ok"), (2, "failed"), (3, "failed"), (4, "ok"), (5, "dropped"), (6, "ok")];
    assert_eq!(ends, expected);
    assert_eq!(code, 0);
    assert!(!files.path().join("dropped").exists());
    assert!(files.path().join("next-generation").exists());
}

#[test]
fn contents_come_when_asked_for() {
    let (state, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut helper, _) = Helper::greeted(state.path(), "r");
    let (small, large) = (b"hello\n".to_vec(), vec![b'x'; 3_000_000]);
    let dest = files.path().join("a");
    // Pushed before the call.
    helper.content(&small);
    let result = helper.run(copy(1, &dest, &small));
    assert_eq!(result["changed"], json!(true));
    assert_eq!(result["mode"], json!("0644"));
    assert_eq!(fs::read(&dest).unwrap(), small);
    // Equal: nothing is asked for.
    assert_eq!(helper.run(copy(2, &dest, &small))["changed"], json!(false));
    // Asked for.
    helper.call(copy(3, &dest, &large));
    assert_eq!(helper.hear(), FromHost::Started { id: 3 });
    let sha256 = reference(&large).sha256;
    assert_eq!(helper.hear(), FromHost::NeedContent { id: 3, sha256 });
    helper.content(&large);
    assert_eq!(helper.result().result["changed"], json!(true));
    assert_eq!(fs::read(&dest).unwrap(), large);
    assert_eq!(helper.bye().0, 0);
}

#[test]
fn bad_contents_fail_the_call_and_leave_the_file() {
    let (state, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut helper, _) = Helper::greeted(state.path(), "r");
    let dest = files.path().join("a");
    fs::write(&dest, "old").unwrap();
    let wanted = b"wanted".to_vec();
    let ignored = |call: Call| Call { ignore_failure: true, ..call };
    // Not named by the call.
    let result = helper.run(ignored(Call { contents: Vec::new(), ..copy(1, &dest, &wanted) }));
    assert!(result["msg"].as_str().unwrap().contains("does not name"), "{result:?}");
    // Other bytes than the digest says.
    let digest = hex::decode(reference(&wanted).sha256).unwrap().try_into().unwrap();
    helper.content_as(digest, b"forged");
    let result = helper.run(ignored(copy(2, &dest, &wanted)));
    assert!(result["msg"].as_str().unwrap().contains("digest"), "{result:?}");
    // Refused.
    helper.call(ignored(copy(3, &dest, &wanted)));
    helper.hear();
    let FromHost::NeedContent { id, sha256 } = helper.hear() else { panic!() };
    helper.say(&ToHost::ContentRefused { id, sha256, reason: "gone".into() });
    let result = helper.result().result;
    assert!(result["msg"].as_str().unwrap().contains("gone"), "{result:?}");
    // And then delivered.
    helper.call(copy(4, &dest, &wanted));
    helper.hear();
    assert!(matches!(helper.hear(), FromHost::NeedContent { .. }));
    assert_eq!(fs::read(&dest).unwrap(), b"old");
    helper.content(&wanted);
    assert_eq!(helper.result().result["changed"], json!(true));
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 1);
}

#[test]
fn check_mode_predicts_and_changes_nothing() {
    let (state, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut helper, _) = Helper::greeted(state.path(), "r");
    let dest = files.path().join("a");
    let bytes = b"new\n".to_vec();
    helper.content(&bytes);
    let result = helper.run(Call { check: true, diff: true, ..copy(1, &dest, &bytes) });
    assert_eq!(result["changed"], json!(true));
    assert_eq!(result["diff"][0]["after"], json!("new\n"));
    assert!(!dest.exists());
}

#[test]
fn the_lock_is_held_by_the_living() {
    let state = tempfile::tempdir().unwrap();
    let (first, _) = Helper::greeted(state.path(), "first");
    let mut second = Helper::start(state.path());
    second.hello("second", true, 100);
    let FromHost::Locked { run, controller, .. } = second.hear() else { panic!() };
    assert_eq!((run.as_str(), controller.as_str()), ("first", "test@here"));
    assert_eq!(second.end(), 67);
    // Who only looks needs no lock.
    let mut looking = Helper::start(state.path());
    looking.hello("third", false, 0);
    looking.expect_hello();
    assert_eq!(looking.bye().0, 0);
    let mut waiting = Helper::start(state.path());
    waiting.hello("fourth", true, 30_000);
    std::thread::sleep(Duration::from_millis(100));
    first.bye();
    waiting.expect_hello();
    waiting.bye();
}

#[test]
fn pending_handlers_survive_a_kill() {
    let (state, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut helper, _) = Helper::greeted(state.path(), "r");
    let notifying = |id, name: &str, state: &str| Call {
        notify: vec![format!("restart {name}")],
        ..call(id, "file", json!({ "path": files.path().join(name), "state": state }))
    };
    helper.run(notifying(1, "changed", "touch"));
    helper.run(notifying(2, "unchanged", "absent"));
    helper.run(Call { check: true, ..notifying(3, "checked", "touch") });
    helper.process.kill().unwrap();
    helper.end();
    let (mut helper, hello) = Helper::greeted(state.path(), "another");
    assert_eq!(hello.pending_handlers, ["restart changed"]);
    let completes = vec!["restart changed".to_owned()];
    let failing = call(1, "file", json!({ "path": "/nonexistent/x", "state": "touch" }));
    helper.run(Call { completes: completes.clone(), ignore_failure: true, ..failing });
    helper.run(Call { completes, ..call(2, "stat", json!({ "path": "/" })) });
    helper.bye();
    let (_, hello) = Helper::greeted(state.path(), "last");
    assert!(hello.pending_handlers.is_empty());
}

#[test]
fn a_lost_connection_keeps_results() {
    let (state, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut helper, _) = Helper::greeted(state.path(), "r");
    let touch = |id, name: &str| {
        call(id, "file", json!({ "path": files.path().join(name), "state": "touch" }))
    };
    helper.call(touch(1, "a"));
    helper.call(Call { no_log: true, ..touch(2, "b") });
    // Waits for a content that never comes: the connection fails, not the call.
    let bytes = b"never".to_vec();
    helper.call(copy(3, &files.path().join("c"), &bytes));
    helper.call(touch(4, "d"));
    while !matches!(helper.hear(), FromHost::NeedContent { .. }) {}
    helper.close();
    assert_eq!(helper.end(), 69);
    let (mut helper, hello) = Helper::greeted(state.path(), "r");
    assert_eq!(hello.last_started, Some(2));
    let kept: Vec<u64> = hello.kept_results.iter().map(|result| result.id).collect();
    assert_eq!(kept, [1, 2]);
    assert_eq!(hello.kept_results[0].result["dest"], json!(files.path().join("a")));
    assert_eq!(hello.kept_results[1].result.get("changed"), Some(&json!(true)));
    assert!(!hello.kept_results[1].result.contains_key("dest"));
    assert!(!files.path().join("d").exists());
    helper.content(&bytes);
    assert_eq!(helper.run(copy(3, &files.path().join("c"), &bytes))["changed"], json!(true));
    helper.bye();
    let (_, hello) = Helper::greeted(state.path(), "r");
    assert!(hello.kept_results.is_empty());
}

#[test]
fn a_torn_journal_is_cut() {
    let state = tempfile::tempdir().unwrap();
    let (helper, _) = Helper::greeted(state.path(), "r");
    helper.bye();
    let path = state.path().join("journal");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"12345678 {\"rec");
    fs::write(&path, bytes).unwrap();
    let mut helper = Helper::start(state.path());
    helper.hello("r", true, 0);
    assert!(matches!(helper.hear(), FromHost::Hello(_)));
    let FromHost::Warning { text } = helper.hear() else { panic!() };
    assert!(text.contains("torn"), "{text}");
    helper.bye();
    fs::write(&path, "provision-journal 99\n").unwrap();
    let mut helper = Helper::start(state.path());
    helper.hello("r", true, 0);
    assert!(matches!(helper.hear(), FromHost::Fatal { .. }));
}

#[test]
fn cancelling_stops_the_running_call_and_drops_the_rest() {
    let state = tempfile::tempdir().unwrap();
    let (mut helper, _) = Helper::greeted(state.path(), "r");
    helper.call(call(1, "command", json!({ "cmd": "sleep 1000" })));
    helper.call(call(2, "stat", json!({ "path": "/" })));
    assert_eq!(helper.hear(), FromHost::Started { id: 1 });
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    helper.say(&ToHost::Cancel);
    let result = helper.result().result;
    assert!(result["msg"].as_str().unwrap().starts_with("cancelled"), "{result:?}");
    assert_eq!(helper.hear(), FromHost::Dropped { id: 2 });
    assert!(began.elapsed() < Duration::from_secs(10));
    helper.bye();
}

#[test]
fn time_limits_end_calls() {
    let state = tempfile::tempdir().unwrap();
    let (mut helper, _) = Helper::greeted(state.path(), "r");
    let slow = call(1, "command", json!({ "cmd": "sleep 1000" }));
    let result = helper.run(Call { timeout_s: Some(0.3), ..slow });
    assert!(result["msg"].as_str().unwrap().starts_with("timed out"), "{result:?}");
    assert_eq!(result["timedout"]["period"], json!(0.3));
    helper.bye();
}

#[test]
fn another_user_does_the_work() {
    let (state, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::set_permissions(files.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let (mut helper, _) = Helper::greeted(state.path(), "r");
    let dest = files.path().join("a");
    let bytes = vec![b'y'; 2_000_000];
    helper.content(&bytes);
    let notify = vec!["h".to_owned()];
    let result = helper.run(Call { r#become: as_user("nobody"), notify, ..copy(1, &dest, &bytes) });
    assert_eq!(result.get("owner"), Some(&json!("nobody")), "{result:?}");
    assert_eq!(fs::metadata(&dest).unwrap().uid(), 65_534);
    // It has given up root for good.
    let forbidden = call(2, "file", json!({ "path": "/root/x", "state": "touch" }));
    let result =
        helper.run(Call { r#become: as_user("nobody"), ignore_failure: true, ..forbidden });
    assert!(is_failed(&result), "{result:?}");
    // And back.
    let result = helper.run(call(3, "stat", json!({ "path": dest })));
    assert_eq!(result["stat"]["pw_name"], json!("nobody"));
    let unknown = call(4, "stat", json!({ "path": "/" }));
    let result = helper.run(Call { r#become: as_user("no-such-user"), ..unknown });
    assert!(result["msg"].as_str().unwrap().contains("no such user"), "{result:?}");
    helper.bye();
    let (_, hello) = Helper::greeted(state.path(), "next");
    assert_eq!(hello.pending_handlers, ["h"]);
}

#[test]
fn unknown_modules_and_broken_frames() {
    let state = tempfile::tempdir().unwrap();
    let (mut helper, _) = Helper::greeted(state.path(), "r");
    let result = helper.run(call(1, "no_such_module", json!({})));
    assert!(result["msg"].as_str().unwrap().contains("no module"), "{result:?}");
    helper.bytes(&[0, 0, 0, 2, 77, 0]);
    assert_eq!(helper.end(), 69);
}

#[test]
fn detached_calls_outlive_the_connection() {
    let (state, jobs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut helper, _) = Helper::greeted(state.path(), "r");
    let folder = jobs.path().join("async").display().to_string();
    let detached = |id, job: &str, command: &str, limit_s| Call {
        asynchronous: Some(provision_protocol::Async { job: job.into(), limit_s }),
        environment: [("ANSIBLE_ASYNC_DIR".to_owned(), folder.clone())].into(),
        ..call(id, "command", json!({ "cmd": command }))
    };
    let status = |id, job: &str| {
        let arguments = json!({ "jid": job, "_async_dir": folder });
        Call { ignore_failure: true, ..call(id, "async_status", arguments) }
    };
    let go = jobs.path().join("go");
    let waiting = format!("sh -c 'until [ -e {} ]; do sleep 0.1; done; echo done'", go.display());
    let result = helper.run(detached(1, "j1", &waiting, 60));
    assert_eq!((&result["started"], &result["finished"]), (&json!(1), &json!(0)), "{result:?}");
    helper.run(detached(2, "j2", "sleep 1000", 1));
    assert_eq!(helper.run(status(3, "j1"))["finished"], json!(0));
    helper.bye();
    fs::write(go, "").unwrap();
    let (mut helper, _) = Helper::greeted(state.path(), "r2");
    let began = Instant::now();
    for id in (100..).step_by(2) {
        let finished = [(id, "j1"), (id + 1, "j2")].map(|(id, job)| helper.run(status(id, job)));
        if finished.iter().all(|result| result["finished"] == json!(1)) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{finished:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let result = helper.run(status(1, "j1"));
    assert_eq!((&result["finished"], &result["stdout"]), (&json!(1), &json!("done")), "{result:?}");
    let result = helper.run(status(2, "j2"));
    assert!(is_failed(&result) && result["finished"] == json!(1), "{result:?}");
    assert!(result["msg"].as_str().unwrap().contains("timed out"), "{result:?}");
    let cleanup = json!({ "jid": "j1", "mode": "cleanup", "_async_dir": folder });
    helper.run(call(3, "async_status", cleanup));
    assert!(is_failed(&helper.run(status(4, "j1"))));
    // A job that was killed isn't running for ever.
    helper.run(detached(5, "j3", "sleep 1000", 0));
    let text = fs::read_to_string(jobs.path().join("async/j3")).unwrap();
    let job: serde_json::Value = serde_json::from_str(&text).unwrap();
    std::process::Command::new("kill").args(["-9", &job["_process"].to_string()]).status().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let result = helper.run(status(6, "j3"));
    assert!(result["msg"].as_str().unwrap().contains("without a result"), "{result:?}");
}
