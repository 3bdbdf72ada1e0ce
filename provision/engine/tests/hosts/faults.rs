//! Faults in the middle of changes of releases: each is met by a wait, a revert or a refusal that
//! says why, and never by a lost quorum. docs/operations.md has the table.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use provision_engine::release::{End, Happening, Performed, Record};
use provision_lifecycle::{Purpose, Reason, Revert, Stop, Version};
use provision_protocol::{Frame, FromHost};
use serde_json::Value;

use crate::ensemble::{BROKEN, Mood, NEW, OLD, ONE_WAY, wanted};
use crate::machine::Machine;
use crate::relay::{Act, Side};
use crate::site::{Course, Site, Went, takes};

/// The moment that a member is about to be taken, the first time.
fn when_taken(member: &'static str, act: impl FnOnce() + 'static) -> Course {
    let mut act = Some(act);
    let at_record = move |_: usize, record: &Record| {
        let is_taken = takes(record).is_some_and(|members| members.iter().any(|it| it == member));
        if let Some(act) = act.take_if(|_| is_taken) {
            act();
        }
    };
    Course { at_record: Some(Box::new(at_record)), ..Course::default() }
}

fn upgrade(site: &Site, version: &str, course: Course) -> (Performed, Vec<Record>) {
    let version = Version::parse(version).unwrap();
    let (went, records) = site.change(Purpose::Upgrade, Some(version), None, course);
    (went.ended(), records)
}

fn order(records: &[Record]) -> Vec<String> {
    records.iter().filter_map(takes).flatten().collect()
}

fn waits(records: &[Record]) -> Vec<Reason> {
    let wait = |record: &Record| match record {
        Record::Happens { happening: Happening::Waits { reason } } => Some(reason.clone()),
        _ => None,
    };
    records.iter().filter_map(wait).collect()
}

fn runs(site: &Site, member: &str) -> String {
    let started = site.lab.host(member).text("run/started");
    started.split(' ').next_back().unwrap_or_default().to_owned()
}

fn assert_done(site: &Site, performed: &Performed) {
    assert!(matches!(performed.end, End::Done), "{performed:?}");
    for member in &site.members {
        assert_eq!(runs(site, member), NEW, "{member}");
    }
    assert_eq!(site.wanted(), wanted(NEW));
}

/// Nothing was touched: files are as they were, and no run has begun.
fn assert_untouched(site: &Site, before: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>) {
    assert_eq!(site.state().keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert!(site.state() == *before);
    assert!(site.journals().find(None).is_err());
}

#[test]
fn an_unknown_version_is_refused() {
    let site = Site::new();
    let before = site.state();
    let said = site.upgrade("1.0.7", Course::default()).refused();
    assert!(said.contains("register 1.0.7 is not installed on zk1, zk2, zk3"), "{said}");
    assert!(said.contains(NEW), "what there is: {said}");
    assert_untouched(&site, &before);
}

#[test]
fn a_pair_of_versions_that_is_not_allowed_is_refused() {
    let site = Site::new();
    let before = site.state();
    let path = site.lab.path().join("inventory/group_vars/all/artifacts.yml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replace(NEW, "0.9.0")).unwrap();
    let said = site.upgrade("0.9.0", Course::default()).refused();
    assert!(
        said.contains("zk1 can't go from 1.0.0 to 0.9.0: the data can't be read there"),
        "{said}"
    );
    assert_untouched(&site, &before);
}

#[test]
fn an_artifact_without_a_digest_is_refused() {
    let site = Site::new();
    let before = site.state();
    let path = site.lab.path().join("inventory/group_vars/all/artifacts.yml");
    for bad in ["{url: x}", "{sha256: ''}", "{sha256: abc}", "{sha256: 7}"] {
        let text = format!("artifacts:\n  register:\n    \"{NEW}\": {bad}\n");
        fs::write(&path, text).unwrap();
        let said = site.upgrade(NEW, Course::default()).refused();
        assert!(said.contains("no sha256"), "{bad}: {said}");
        assert_untouched(&site, &before);
    }
}

/// A full disk, for one: the release is missing on one member, so nobody is switched.
#[test]
fn staging_that_fails_on_one_member_touches_nothing_that_runs() {
    let site = Site::new();
    let folder = site.lab.host("zk3").root().join("opt/releases/.staging");
    let path = site.lab.path().join("playbooks/roles/register/tasks/stage.yml");
    let text = fs::read_to_string(&path).unwrap();
    let full = "- fail: {msg: 'No space left on device'}\n  when: inventory_hostname == 'zk3'\n";
    fs::write(&path, format!("{text}{full}")).unwrap();
    let (performed, records) = upgrade(&site, NEW, Course::default());
    let End::Stopped(Stop::StepFailed { member, error, revert }) = &performed.end else {
        panic!("{performed:?}");
    };
    assert_eq!((member.as_str(), revert), ("zk3", &Revert::NotNeeded));
    assert!(error.contains("No space left on device"), "{error}");
    assert!(order(&records).is_empty() && !folder.exists());
    assert_eq!((runs(&site, "zk3").as_str(), site.wanted()), (OLD, wanted(OLD)));
    // Mended, it goes on: what the others have is not staged again.
    fs::write(&path, text).unwrap();
    assert_done(&site, &upgrade(&site, NEW, Course::default()).0);
}

/// The controller died while a release was unpacked: what is there of it is no release.
#[test]
fn half_a_release_is_made_anew() {
    let site = Site::new();
    let staging = site.lab.host("zk2").root().join("opt/releases/.staging");
    fs::create_dir_all(&staging).unwrap();
    fs::write(staging.join("program"), "hal").unwrap();
    let (performed, _) = upgrade(&site, NEW, Course::default());
    assert_done(&site, &performed);
    let whole = format!("opt/releases/{NEW}/program");
    assert_eq!(site.lab.host("zk2").text(&whole), site.lab.host("zk1").text(&whole));
    assert!(!staging.exists());
}

/// A folder with the name of a release that never was completed doesn't count as one.
#[test]
fn a_folder_without_its_mark_is_no_release() {
    let site = Site::new();
    let folder = site.lab.host("zk2").root().join("opt/releases").join(NEW);
    fs::create_dir_all(&folder).unwrap();
    let (performed, records) = upgrade(&site, NEW, Course::default());
    // This role's `mv` does not replace a folder with something in it, but an empty one.
    assert_done(&site, &performed);
    let begun = format!("{:?}", records[1]);
    assert!(begun.contains("Stage") && begun.contains("zk2"), "{begun}");
}

#[test]
fn a_member_that_never_becomes_healthy_is_taken_back() {
    let site = Site::new();
    let (performed, records) = upgrade(&site, BROKEN, Course::default());
    let End::Stopped(Stop::StepFailed { member, revert: Revert::Done { to }, .. }) = &performed.end
    else {
        panic!("{performed:?}");
    };
    assert_eq!((member.as_str(), to.as_str()), ("zk1", OLD));
    assert_eq!(order(&records), ["zk1"], "no other is touched");
    for member in &site.members {
        assert_eq!(runs(&site, member), OLD);
    }
    assert_eq!((site.wanted(), site.fewest_others()), (wanted(OLD), 2));
}

#[test]
fn a_member_that_can_not_go_back_is_left_and_the_others_are_a_quorum() {
    let site = Site::new();
    let handler = site.lab.path().join("playbooks/roles/register/handlers/main.yml");
    let text = fs::read_to_string(&handler).unwrap();
    fs::write(&handler, text.replace("1.1.9", ONE_WAY)).unwrap();
    let (performed, records) = upgrade(&site, ONE_WAY, Course::default());
    let End::Stopped(Stop::StepFailed { member, revert, .. }) = &performed.end else {
        panic!("{performed:?}");
    };
    let Revert::Impossible { because } = revert else { panic!("{revert:?}") };
    assert_eq!((member.as_str(), because.as_str()), ("zk1", "the data can't be read there"));
    assert_eq!(order(&records), ["zk1"]);
    assert_eq!([runs(&site, "zk1"), runs(&site, "zk2"), runs(&site, "zk3")], ["", OLD, OLD]);
}

#[test]
fn the_leader_is_last_whoever_leads_by_then() {
    let site = Site::new();
    let ensemble = site.ports.ensemble.clone();
    assert_eq!(ensemble.leader(), Some(1));
    let (performed, records) = upgrade(&site, NEW, when_taken("zk1", move || ensemble.elect(2)));
    assert_done(&site, &performed);
    assert_eq!(order(&records), ["zk1", "zk2", "zk3"]);
    assert_eq!(site.fewest_others(), 2);
}

#[test]
fn a_plan_ends_where_another_leader_asks_for_another_order() {
    let site = Site::new();
    let ensemble = site.ports.ensemble.clone();
    let course = when_taken("zk1", move || ensemble.elect(2));
    let course = Course { keeps_to_plan: true, ..course };
    let (performed, records) = upgrade(&site, NEW, course);
    let End::Deviates { planned: Some(planned), now } = &performed.end else {
        panic!("{performed:?}");
    };
    assert_eq!((planned.members(), now.members()), (&["zk3".into()][..], &["zk2".into()][..]));
    assert_eq!(order(&records), ["zk1"]);
    // A run without the plan goes on from there.
    assert_done(&site, &upgrade(&site, NEW, Course::default()).0);
}

/// A member that is not touched goes down and comes back.
#[test]
fn a_member_that_goes_down_in_mid_run_is_waited_for() {
    let site = Site::new();
    let ensemble = site.ports.ensemble.clone();
    let course = when_taken("zk1", move || {
        ensemble.set_mood(2, Mood::Mute);
        let ensemble = ensemble.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(1500));
            ensemble.set_mood(2, Mood::Honest);
        });
    });
    let (performed, records) = upgrade(&site, NEW, course);
    assert_done(&site, &performed);
    // One that isn't ready comes first; it is no danger, and is not met twice.
    let order = order(&records);
    assert_eq!((order.len(), order[0].as_str()), (3, "zk1"), "{order:?}");
}

#[test]
fn two_operators_can_not_change_the_same_members() {
    let site = Arc::new(Site { lock_wait_ms: 200, ..Site::new() });
    let other = site.clone();
    let said = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = said.clone();
    let course = when_taken("zk1", move || {
        let other = other.clone();
        let intruder = std::thread::spawn(move || other.intrude(NEW).refused());
        heard.lock().unwrap().push(intruder.join().unwrap());
    });
    let (performed, _) = upgrade(&site, NEW, course);
    assert_done(&site, &performed);
    let said = said.lock().unwrap();
    assert!(said.iter().all(|text| text.contains("locked by run")), "{said:?}");
    assert_eq!(said.len(), 1);
}

/// Its helper and all that ran are gone in the middle of a step; then it is there again.
#[test]
fn a_host_that_reboots_in_mid_step_is_taken_again() {
    for member in ["zk1", "zk2"] {
        let site = Site::new();
        let host = site.lab.host(member).clone();
        let course = when_taken(member, move || {
            let root = host.root();
            let (machine, mut frames) = (host.clone(), 0);
            host.set_mischief(move |side, _| {
                frames += usize::from(side == Side::ToController);
                if frames < 12 || machine.is_cut_off() {
                    return vec![Act::Pass];
                }
                frames = 0;
                let _ = fs::remove_file(root.join("run/started"));
                comes_back(&machine, Duration::from_millis(800));
                vec![Act::Cut]
            });
        });
        let (performed, records) = upgrade(&site, NEW, course);
        assert_done(&site, &performed);
        let order = order(&records);
        assert!(order.iter().filter(|name| *name == member).count() == 2, "{order:?}");
    }
}

/// Cuts a host off, for this long. It behaves then.
fn comes_back(machine: &Arc<Machine>, after: Duration) {
    machine.cut_off(true);
    let machine = machine.clone();
    std::thread::spawn(move || {
        std::thread::sleep(after);
        machine.behave();
        machine.cut_off(false);
    });
}

#[test]
fn a_rack_that_is_cut_off_for_a_while_is_waited_for() {
    let site = Site::with(&["a1", "a2", "b1", "b2", "c1"]);
    let mut rack = vec![site.lab.host("b1").clone(), site.lab.host("b2").clone()];
    let at_record = move |_: usize, record: &Record| {
        if takes(record).is_some_and(|members| members.contains(&"a1".to_owned())) {
            rack.iter().for_each(|machine| machine.cut_off(true));
        }
        if waits(std::slice::from_ref(record)).iter().any(|reason| is_unreachable(reason, "b1")) {
            rack.drain(..).for_each(|machine| comes_back(&machine, Duration::from_millis(500)));
        }
    };
    let course = Course { at_record: Some(Box::new(at_record)), ..Course::default() };
    let (performed, records) = upgrade(&site, NEW, course);
    assert_done(&site, &performed);
    assert_eq!(order(&records).len(), 5);
    assert!(waits(&records).iter().any(|reason| is_unreachable(reason, "b1")), "{records:?}");
}

fn is_unreachable(reason: &Reason, name: &str) -> bool {
    matches!(reason, Reason::Unreachable { member, .. } if member == name)
}

#[test]
fn a_rack_that_is_cut_off_before_it_begins_is_a_refusal() {
    let site = Site::new();
    let before = site.state();
    site.lab.host("zk3").cut_off(true);
    let said = site.upgrade(NEW, Course::default()).refused();
    assert!(said.contains("zk3 is unreachable: ") && said.contains("no route to host"), "{said}");
    assert_untouched(&site, &before);
}

/// Whatever hosts say about times: nothing depends on it.
#[test]
fn clocks_of_hosts_may_be_years_off() {
    for (member, years) in [("zk1", 10_i64), ("zk2", -40), ("zk3", 0)] {
        let site = Site::new();
        let skewed = Arc::new(AtomicUsize::new(0));
        let count = skewed.clone();
        site.lab.host(member).set_mischief(move |side, frame| match (side, frame) {
            (Side::ToController, Frame::Message(payload)) => {
                let mut value: Value = serde_json::from_slice(payload).unwrap();
                count.fetch_add(skew(&mut value, years), Ordering::SeqCst);
                let text = serde_json::to_vec(&value).unwrap();
                let _: FromHost = Frame::parse(&text).unwrap();
                vec![Act::Instead(Frame::Message(text))]
            }
            _ => vec![Act::Pass],
        });
        let (performed, records) = upgrade(&site, NEW, Course::default());
        assert_done(&site, &performed);
        assert_eq!(order(&records), ["zk1", "zk3", "zk2"]);
        assert!(skewed.load(Ordering::SeqCst) > 20, "{skewed:?}");
    }
}

/// Moves every time in an answer; how many there were.
fn skew(value: &mut Value, years: i64) -> usize {
    const YEAR_S: i64 = 31_557_600;
    match value {
        Value::Array(values) => values.iter_mut().map(|value| skew(value, years)).sum(),
        Value::Object(fields) => fields
            .iter_mut()
            .map(|(name, value)| match name.as_str() {
                "mtime" | "atime" | "ctime" => {
                    let seconds = value.as_f64().unwrap_or_default();
                    let moved = seconds + f64::from(i32::try_from(years * YEAR_S).unwrap_or(0));
                    *value = moved.into();
                    1
                }
                "start" | "end" if value.is_string() => {
                    *value = format!("{}-02-30 25:61:61.000000", 2026 + years).into();
                    1
                }
                "ansible_date_time" => {
                    *value = serde_json::json!({"epoch": "not a number", "year": 2026 + years});
                    1
                }
                _ => skew(value, years),
            })
            .sum(),
        _ => 0,
    }
}

/// What an operator writes into the inventory meanwhile is not lost.
#[test]
fn the_file_of_the_wanted_version_may_change_in_mid_run() {
    let site = Site::new();
    let path = site.lab.path().join("inventory/group_vars/all/releases.yml");
    let text = wanted(OLD).replace("'3'", "'4'") + "more: yes\n";
    let (file, changed) = (path.clone(), text.clone());
    let course = when_taken("zk1", move || fs::write(&file, &changed).unwrap());
    let (performed, _) = upgrade(&site, NEW, course);
    assert!(matches!(performed.end, End::Done), "{performed:?}");
    assert_eq!(fs::read_to_string(path).unwrap(), text.replace(OLD, NEW));
}

/// What the inventory was made from may go away in mid-run (Consul, for one).
#[test]
fn the_inventory_is_read_once() {
    let site = Site::new();
    let hosts = site.lab.path().join("inventory/hosts");
    let course = when_taken("zk1", move || fs::write(&hosts, "[gone\n").unwrap());
    let (performed, _) = upgrade(&site, NEW, course);
    assert_done(&site, &performed);
}

#[test]
fn another_configuration_is_brought_one_at_a_time_and_resumed() {
    let site = Site::new();
    site.lab.inventory("[register:vars]\ntick=2");
    let killed = Course { kill_after: Some(4), ..Course::default() };
    assert!(matches!(site.reconfigure(killed), Went::Killed));
    let performed = site.resume(Course::default()).ended();
    assert!(matches!(performed.end, End::Done), "{performed:?}");
    for member in &site.members {
        assert_eq!(site.lab.host(member).text("run/started"), format!("tick=2 {OLD}"));
    }
    assert_eq!((site.wanted(), site.fewest_others()), (wanted(OLD), 2));
    assert!(site.ports.ensemble.asked() > 20);
}
