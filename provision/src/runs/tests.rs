use provision_engine::event::HostRecap;
use provision_engine::report::Sink;

use super::*;
use crate::journal::{Journal, Told};

fn started(run: &str, format: u32, command: Option<CommandLine>) -> Event {
    let playbooks = vec!["site.yml".into()];
    Event::RunStarted { format, run: run.into(), playbooks, hosts: 3, check: false, command }
}

fn story(events: &[Event]) -> Story {
    let told = events.iter().cloned().map(|event| Told { at_ms: None, event });
    Story { told: told.collect(), unknown: 0 }
}

#[test]
fn a_run_is_one_line() {
    let begun = started("64-0000000a", 1, None);
    let line = row_of_tasks(&story(std::slice::from_ref(&begun))).text(100 + 7_300);
    assert_eq!(
        line,
        "64-0000000a          2 h ago      3  cut off: no end in its journal     site.yml"
    );
    let recap = vec![HostRecap { changed: 2, ..HostRecap::default() }];
    let (duration_ms, outcome) = (1_250, Outcome::Failed);
    let finished = Event::RunFinished { recap, duration_ms, outcome, error: None };
    let line = row_of_tasks(&story(&[begun, finished])).text(105);
    assert!(line.contains("5 s ago") && line.contains("failed in 1.2 s, 1 changed"), "{line}");
    let words = ["sh", "-c", "a\nb"].map(str::to_owned).to_vec();
    let command = CommandLine { pattern: "web".into(), words };
    let line = row_of_tasks(&story(&[started("64-0000000a", 1, Some(command))])).text(105);
    assert!(line.ends_with("web -- sh -c a b"), "{line}");
}

#[test]
fn runs_are_found_by_the_beginning_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let releases = folder.path().join("releases");
    std::fs::create_dir(&releases).unwrap();
    for name in ["6a-1.journal", "6a-2.journal", "6b-1.journal", "6b-10.journal", "other"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    std::fs::write(releases.join("6a-3.journal"), "").unwrap();
    let known = || known(&[folder.path().to_owned()], &Journals::new(releases.clone()));
    let found = |run| find(known(), run).map(|found| (found.name(), found.kind));
    assert_eq!(found(None), Ok(("6b-10".into(), Kind::Tasks)));
    assert_eq!(found(Some("6b-1")), Ok(("6b-1".into(), Kind::Tasks)));
    assert_eq!(found(Some("6a-3")), Ok(("6a-3".into(), Kind::Release)));
    let message = |run| found(Some(run)).unwrap_err().0;
    assert_eq!(message("6a"), "3 runs have names that begin with 6a");
    assert_eq!(message("7"), "there is no journal of a run 7 here");
    assert_eq!(find(Vec::new(), None).unwrap_err().0, "no run has left a journal on this machine");
}

struct Nothing;

impl Sink for Nothing {
    fn event(&mut self, _event: &Event) {}
}

#[test]
fn a_journal_tells_what_happened_and_when() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::new(folder.path().to_owned(), Box::new(Nothing));
    let warning = Event::Warning { host: None, message: "w".into() };
    let events = [started("64-0000000a", 1, None), warning];
    events.iter().for_each(|event| journal.event(event));
    let read = Story::read(&folder.path().join("64-0000000a.journal")).unwrap();
    let told: Vec<Event> = read.told.iter().map(|told| told.event.clone()).collect();
    assert_eq!((told.as_slice(), read.unknown), (&events[..], 0));
    assert!(read.told.iter().all(|told| told.at_ms.is_some_and(|at_ms| at_ms > 1_700_000_000_000)));
}

#[test]
fn journals_of_other_versions_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |format: &str, records: &[&str]| {
        let path = folder.path().join("64-0000000a.journal");
        let _ = std::fs::remove_file(&path);
        let mut log = durable::Log::open(&path, format).unwrap().log;
        records.iter().for_each(|record| log.append(record.as_bytes()).unwrap());
        Story::read(&path).map(|story| story.unknown)
    };
    let newer = refused("provision-run-2", &[]).unwrap_err();
    assert!(newer.contains("begins with `provision-run-2`; a newer program"), "{newer}");
    let run =
        r#"{"event":"run_started","format":1,"run":"a","playbooks":[],"hosts":1,"check":false}"#;
    let other = run.replace("\"format\":1", "\"format\":2");
    let newer = refused(journal::FORMAT, &[&other]).unwrap_err();
    assert!(newer.ends_with("its events have format 2; this provision knows 1"), "{newer}");
    let empty = refused(journal::FORMAT, &[]).unwrap_err();
    assert!(empty.ends_with("it does not begin with a run"), "{empty}");
    // A journal of before there were times and commands, with an event that is not known here.
    assert_eq!(refused(journal::FORMAT, &[run, r#"{"event":"weather"}"#]), Ok(1));
}
