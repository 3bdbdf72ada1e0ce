//! What people read, for a recorded run.

use std::io::Write;
use std::sync::{Arc, Mutex};

use provision_engine::event::{Event, HostRecap, HostResult, Outcome, Status};
use provision_engine::report::Sink;
use provision_protocol::Diff;
use serde_json::json;

use super::{Printer, Verbosity};

/// Both streams in one text, without colour.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let plain = anstream::adapter::strip_bytes(bytes).into_vec();
        self.0.lock().unwrap().extend(plain);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn printed(verbosity: Verbosity, events: &[Event]) -> String {
    let page = Page::default();
    let mut printer = Printer::on(verbosity, Box::new(page.clone()), Box::new(page.clone()));
    events.iter().for_each(|event| printer.event(event));
    let bytes = page.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

const USUAL: Verbosity = Verbosity { level: 0, quiet: false, diff: false };

fn play(hosts: &[&str]) -> Event {
    Event::PlayStarted {
        name: "Deploy".into(),
        place: "site.yml:1:3".into(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        batch: (1, 1),
    }
}

fn task(number: u64, name: &str, module: &str, hosts: usize) -> Event {
    Event::TaskStarted {
        task: number,
        name: name.into(),
        role: None,
        module: module.into(),
        place: format!("site.yml:{number}:5"),
        handler: false,
        hosts,
    }
}

fn result(number: u64, host: &str, status: Status) -> HostResult {
    HostResult {
        task: number,
        host: host.into(),
        delegate: None,
        delegate_address: None,
        item: None,
        status,
        message: None,
        result: serde_json::Map::new(),
        diff: Vec::new(),
        duration_us: 10,
    }
}

fn recap(host: &str, changed: u64, failed: u64) -> HostRecap {
    HostRecap { host: host.into(), ok: 2, changed, failed, ..HostRecap::default() }
}

/// A task of which one host has something else to say than the others, results in any order.
fn events() -> Vec<Event> {
    let failure = HostResult {
        message: Some("non-zero return code".into()),
        result: json!({"stderr": "no such\u{1b}[2J file\n"}).as_object().cloned().unwrap(),
        ..result(3, "web10", Status::Failed)
    };
    let diff = Diff {
        before_header: Some("/etc/x".into()),
        after_header: Some("/etc/x".into()),
        before: "port=1\n".into(),
        after: "port=2\n".into(),
        attributes: None,
    };
    let changed = |host: &str| {
        let diff = vec![diff.clone()];
        Event::Result(Box::new(HostResult { diff, ..result(1, host, Status::Changed) }))
    };
    let said = HostResult { message: Some("hello\nworld".into()), ..result(2, "web2", Status::Ok) };
    vec![
        play(&["web1", "web2", "web10"]),
        task(1, "Write the configuration", "template", 3),
        changed("web10"),
        changed("web1"),
        Event::Result(Box::new(result(1, "web2", Status::Ok))),
        Event::TaskFinished { task: 1 },
        task(2, "Say something", "debug", 3),
        Event::Result(Box::new(said)),
        Event::Warning { host: Some("web1".into()), message: "slow".into() },
        Event::TaskFinished { task: 2 },
        task(3, "Run it", "command", 3),
        Event::Result(Box::new(failure)),
        Event::Result(Box::new(result(3, "web2", Status::Changed))),
        Event::Result(Box::new(result(3, "web1", Status::Changed))),
        Event::TaskFinished { task: 3 },
        task(4, "Change everywhere", "file", 2),
        Event::Result(Box::new(result(4, "web2", Status::Changed))),
        Event::Result(Box::new(result(4, "web1", Status::Changed))),
        Event::TaskFinished { task: 4 },
        Event::RunFinished {
            recap: vec![recap("web1", 3, 0), recap("web2", 2, 0), recap("web10", 1, 1)],
            duration_ms: 1234,
            outcome: Outcome::Failed,
            error: None,
        },
    ]
}

#[test]
fn a_run_with_a_failure() {
    let expected = "
PLAY Deploy  (3 hosts; site.yml:1:3)
  Write the configuration                                        ok 1  changed 2
    changed web1, web10
warning: web1: slow
  Say something                                                  ok 1
    web2: hello
      world
  Run it                                                         changed 2  failed 1
    changed web1, web2
    failed web10  (site.yml:3:5)
      non-zero return code
      stderr:
        no such\\u{1b}[2J file
  Change everywhere                                              changed 2

RECAP
  web1  : ok=2          changed=3     unreachable=0 failed=0
  web2  : ok=2          changed=2     unreachable=0 failed=0
  web10 : ok=2          changed=1     unreachable=0 failed=1

FAILURES
  1 host (web10): Run it  (site.yml:3:5)
    non-zero return code
    stderr:
      no such\\u{1b}[2J file

failed in 1.2 s: 3 hosts, 3 changed
hint: when mended, run it again with --limit web10
";
    assert_eq!(printed(USUAL, &events()), expected);
}

#[test]
fn quiet_says_what_failed() {
    let text = printed(Verbosity { quiet: true, ..USUAL }, &events());
    assert!(text.contains("Run it") && text.contains("RECAP"), "{text}");
    assert!(!text.contains("PLAY") && !text.contains("Say something"), "{text}");
}

#[test]
fn the_same_change_is_shown_once() {
    let text = printed(Verbosity { diff: true, ..USUAL }, &events());
    let shown = "    diff web1, web10\n      --- /etc/x\n      +++ /etc/x\n      @@ -1 +1 @@\n      \
                 -port=1\n      +port=2\n";
    assert!(text.contains(shown), "{text}");
    assert_eq!(text.matches("+port=2").count(), 1);
}
