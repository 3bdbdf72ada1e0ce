//! An upgrade whose controller dies at any point of its journal: the next one goes on, and all is
//! in the end as if nothing had happened.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use provision_engine::release::{End, Past, Record};
use provision_lifecycle::{Purpose, Version};

use crate::ensemble::{NEW, OLD, wanted};
use crate::relay::{Act, Side};
use crate::site::{Course, Site, Went};

/// Files by name, and the wanted version.
type State = BTreeMap<PathBuf, Vec<u8>>;

fn killed_after(count: usize) -> Course {
    Course { kill_after: Some(count), ..Course::default() }
}

/// What an upgrade comes to that nobody disturbs, and how many records it stores.
fn undisturbed() -> (State, usize) {
    let site = Site::new();
    let version = Version::parse(NEW).unwrap();
    let (went, records) = site.change(Purpose::Upgrade, Some(version), None, Course::default());
    let performed = went.ended();
    assert!(matches!(performed.end, End::Done), "{performed:?}");
    assert_eq!(site.wanted(), wanted(NEW));
    assert_eq!(site.fewest_others(), 2);
    assert!(matches!(records.first(), Some(Record::Begun { .. })), "{records:?}");
    assert!(matches!(records.last(), Some(Record::Ended { .. })), "{records:?}");
    assert!(records.len() >= 10, "{records:?}");
    (site.state(), records.len())
}

/// The run to go on with; none if none has even begun, or all have ended.
fn open(site: &Site) -> Option<Past> {
    site.journals().find(None).ok()
}

/// The operator finds out that the controller died, and brings it to its end.
fn bring_to_its_end(site: &Site) {
    let went = match open(site) {
        Some(past) => site.resume_run(past, Course::default()),
        None => site.upgrade(NEW, Course::default()),
    };
    let performed = went.ended();
    assert!(matches!(performed.end, End::Done), "{performed:?}");
}

fn assert_all_is_well(site: &Site, whole: &State, what: &str) {
    let found = site.state();
    for (path, wanted) in whole {
        let text = |bytes: Option<&Vec<u8>>| {
            bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        assert_eq!(text(found.get(path)), text(Some(wanted)), "{what}: {}", path.display());
    }
    assert_eq!(found.len(), whole.len(), "{what}: {:?}", found.keys());
    assert_eq!(open(site).map(|past| past.run), None, "{what}: a run is still open");
    assert_eq!(site.fewest_others(), 2, "{what}: the quorum was in danger");
}

/// The journal that was written last.
fn last_journal(site: &Site) -> PathBuf {
    let entries = fs::read_dir(site.journal_folder()).unwrap();
    let age = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    entries.map(|entry| entry.unwrap().path()).max_by_key(age).unwrap()
}

/// Cuts the last record of the journal in its middle: this much of it was on disk.
fn tear(site: &Site, permille: usize) {
    let path = last_journal(site);
    let bytes = fs::read(&path).unwrap();
    let before = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    // Neither whole nor empty.
    let kept = ((bytes.len() - before) * permille / 1000).clamp(1, bytes.len() - before - 1);
    fs::write(&path, &bytes[..before + kept]).unwrap();
}

#[test]
fn killed_after_every_record() {
    let (whole, count) = undisturbed();
    for records in 1..=count {
        let site = Site::new();
        assert!(matches!(site.upgrade(NEW, killed_after(records)), Went::Killed), "{records}");
        // With the last record all was done.
        assert_eq!(open(&site).is_none(), records == count, "{records}");
        if records < count {
            bring_to_its_end(&site);
        }
        assert_all_is_well(&site, &whole, &format!("killed after {records}"));
    }
}

#[test]
fn killed_in_the_middle_of_every_record() {
    let (whole, count) = undisturbed();
    for records in 1..=count {
        let site = Site::new();
        assert!(matches!(site.upgrade(NEW, killed_after(records)), Went::Killed), "{records}");
        tear(&site, [0, 500, 1000][records % 3]);
        bring_to_its_end(&site);
        assert_all_is_well(&site, &whole, &format!("torn at {records}"));
    }
}

/// What is left of a plan is kept to, whether or not the step was done that the run died in.
#[test]
fn killed_while_it_keeps_to_a_plan() {
    let (whole, count) = undisturbed();
    for records in 2..count {
        let site = Site::new();
        let course = Course { keeps_to_plan: true, ..killed_after(records) };
        assert!(matches!(site.upgrade(NEW, course), Went::Killed), "{records}");
        let plan = open(&site).unwrap().request.plan.unwrap();
        assert_eq!(plan.len(), 4, "{plan:?}");
        // In a step that was done whole before anybody looked again.
        if records == 4 {
            let root = site.lab.host("zk1").root();
            let release = root.join("opt/releases").join(NEW);
            fs::remove_file(root.join("opt/current")).unwrap();
            std::os::unix::fs::symlink(release, root.join("opt/current")).unwrap();
            fs::write(root.join("run/started"), format!("tick=1 {NEW}")).unwrap();
        }
        bring_to_its_end(&site);
        assert_all_is_well(&site, &whole, &format!("killed after {records}"));
    }
}

/// Pairs, and then one more: the third run ends what two could not.
#[test]
fn killed_again_while_it_is_resumed() {
    let (whole, count) = undisturbed();
    for first in 1..=count {
        // Not all pairs: each record of the resumed run is met by some of them.
        for second in (1..=count).skip(first % 3).step_by(3) {
            let site = Site::new();
            assert!(matches!(site.upgrade(NEW, killed_after(first)), Went::Killed));
            let again = match open(&site) {
                Some(past) => site.resume_run(past, killed_after(second)),
                None => continue,
            };
            if (first + second) % 2 == 0 && matches!(again, Went::Killed) {
                tear(&site, 500);
            }
            if open(&site).is_some() || site.wanted() == wanted(OLD) {
                bring_to_its_end(&site);
            }
            assert_all_is_well(&site, &whole, &format!("killed after {first}, then {second}"));
        }
    }
}

/// Between records, too: wherever the leader's or a follower's helper is told or tells something.
#[test]
fn killed_in_the_middle_of_steps() {
    let (whole, _) = undisturbed();
    let mut kills = 0;
    for name in ["zk1", "zk2"] {
        for side in [Side::ToHost, Side::ToController] {
            for passed in (3..200).step_by(17) {
                let site = Site::new();
                let mut seen = 0;
                site.lab.host(name).set_mischief(move |at, _| {
                    seen += usize::from(at == side);
                    if seen > passed { vec![Act::Kill] } else { vec![Act::Pass] }
                });
                let went = site.upgrade(NEW, Course::default());
                site.lab.host(name).behave();
                if matches!(went, Went::Killed) {
                    kills += 1;
                    bring_to_its_end(&site);
                }
                assert_all_is_well(&site, &whole, &format!("{name} {side:?} {passed}"));
            }
        }
    }
    assert!(kills > 15, "{kills}");
}
