//! The program over journals of earlier runs: plays, commands and changes of releases.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use provision_lifecycle::{
    Because, Duty, Goal, Happening, Member, Observed, Options, Outcome, Process, Progress, Purpose,
    Reason, Record, Request, Role, Shown, Step, Version, Written,
};

/// A machine on which runs have left journals.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Machine(tempfile::tempdir().unwrap())
    }

    fn journal(&self, folder: &str, run: &str, format: &str, lines: &[String]) {
        let folder = self.0.path().join("provision").join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut log =
            durable::Log::open(&folder.join(format!("{run}.journal")), format).unwrap().log;
        lines.iter().for_each(|line| log.append(line.as_bytes()).unwrap());
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_provision"))
            .arg("runs")
            .args(words)
            .env("HOME", self.0.path())
            .env("XDG_STATE_HOME", self.0.path())
            .output()
            .unwrap()
    }

    fn said(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.run(words);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

const UPGRADE: &str = "65000000-0000000b";

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

/// An upgrade of two members whose second step fails.
fn upgrade() -> Vec<Record> {
    let member = |name: &str, role| Member {
        current: Some(version("3.8.0")),
        running: Some(version("3.8.0")),
        process: Process::Serving(role),
        ..Member::blank(name, Duty::Voter)
    };
    let observed = Observed {
        members: vec![member("zk1", Role::Follower), member("zk2", Role::Leader)],
        ..Observed::default()
    };
    let names = ["zk1", "zk2"].map(str::to_owned).to_vec();
    let goal =
        Goal { purpose: Purpose::Upgrade, version: version("3.9.3"), members: names.clone() };
    let request = Request {
        component: "zookeeper".into(),
        playbooks: PathBuf::from("/p"),
        inventories: vec!["/i".into()],
        goal,
        options: Options::default(),
        plan: None,
        variables: None,
        frozen: None,
    };
    let take = |name: &str, because| Step::Take { members: vec![name.to_owned()], because };
    let steps = vec![
        Step::Stage { members: names },
        take("zk1", Because::Follower),
        take("zk2", Because::Leader),
    ];
    let progress = Progress::begin(0);
    let shown = Shown { observed: observed.clone(), steps: steps.clone() };
    let mut records = vec![Record::begun(UPGRADE, None, &request, &progress).showing(Some(shown))];
    for (number, step) in steps.into_iter().enumerate() {
        let outcome = match number {
            2 => Outcome::Failed { error: "no space".into() },
            _ => Outcome::Done,
        };
        let outcomes: BTreeMap<String, Outcome> =
            step.members().iter().map(|name| (name.clone(), outcome.clone())).collect();
        let (observed, progress) = (observed.clone(), progress.clone());
        let begins =
            Happening::StepBegins { step: step.clone(), observed, progress: progress.clone() };
        let ended = Happening::StepEnded { step, outcomes, duration_ms: 1_500, progress };
        records.push(Record::Happens { happening: begins });
        records.push(Record::Happens { happening: ended });
        let reason = Reason::NotServing { member: "zk1".into(), problem: None };
        records.push(Record::Happens { happening: Happening::Waits { reason } });
    }
    records
}

fn lines(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| serde_json::to_string(record).unwrap()).collect()
}

fn plays() -> Vec<String> {
    let result = |event: &str, task: u32, host: &str, status: &str| {
        format!(
            r#"{{"event":"{event}","task":{task},"host":"{host}","delegate":null,"item":null,"status":"{status}","message":"it says {status}","result":{{}},"diff":[],"duration_us":1}}"#
        )
    };
    let task = |task: u32, name: &str| {
        format!(
            r#"{{"event":"task_started","task":{task},"name":"{name}","role":null,"module":"command","place":"site.yml:4:7","handler":false,"hosts":2}}"#
        )
    };
    let end = |task: u32| format!(r#"{{"event":"task_finished","task":{task}}}"#);
    let row = |host: &str, failed: u32| {
        format!(
            r#"{{"host":"{host}","ok":1,"changed":0,"unreachable":0,"failed":{failed},"skipped":0,"rescued":0,"ignored":0,"host_time_us":0}}"#
        )
    };
    vec![
        r#"{"event":"run_started","format":1,"run":"64000000-0000000a","playbooks":["site.yml"],"hosts":2,"check":false,"at_ms":1}"#.into(),
        r#"{"event":"play_started","name":"web","place":"site.yml:1:3","hosts":["h1","h2"],"batch":[1,1],"at_ms":5}"#.into(),
        task(1, "install"),
        result("result", 1, "h1", "ok"),
        result("result", 1, "h2", "ok"),
        end(1),
        task(2, "start"),
        result("result", 2, "h1", "ok"),
        result("result", 2, "h2", "failed"),
        end(2),
        format!(
            r#"{{"event":"run_finished","recap":[{},{}],"duration_ms":1200,"outcome":"failed","at_ms":1201}}"#,
            row("h1", 0),
            row("h2", 1)
        ),
    ]
}

#[test]
fn plays_are_shown_again_as_they_were() {
    let machine = Machine::new();
    machine.journal("runs", "64000000-0000000a", "provision-run-1", &plays());
    let all = machine.said(&["show", "64"]);
    assert!(all.contains("PLAY web  (2 hosts; site.yml:1:3)"), "{all}");
    assert!(all.contains("install") && all.contains("start") && all.contains("RECAP"), "{all}");
    assert_eq!(machine.said(&["replay", "--speed", "100x"]), all);
    let failed = machine.said(&["replay", "64", "--speed", "instant", "--failed"]);
    assert!(failed.contains("start") && failed.contains("failed h2"), "{failed}");
    assert!(!failed.contains("install") && !failed.contains("h1 :"), "{failed}");
    let of_one = machine.said(&["replay", "--speed", "instant", "--host", "h1", "--task", "STAR"]);
    assert!(of_one.contains("start") && of_one.contains("h1 :"), "{of_one}");
    assert!(!of_one.contains("install") && !of_one.contains("h2"), "{of_one}");
    let events = machine.said(&["replay", "--speed", "instant", "-o", "ndjson", "--host", "h2"]);
    assert_eq!(events.lines().count(), 9, "{events}");
}

#[test]
fn a_command_is_shown_again_folded() {
    let machine = Machine::new();
    let started = r#"{"event":"run_started","format":1,"run":"64000000-0000000c","playbooks":[".provision-run.yml"],"hosts":2,"check":false,"command":{"pattern":"web","words":["uptime","-p"]}}"#;
    let result = |host: &str| {
        format!(
            r#"{{"event":"result","task":1,"host":"{host}","delegate":null,"item":null,"status":"ok","message":null,"result":{{"rc":0,"stdout":"up 2 days"}},"diff":[],"duration_us":1}}"#
        )
    };
    let mut events = plays();
    events.truncate(3);
    events[0] = started.into();
    events.extend([result("h1"), result("h2")]);
    events.extend(plays().pop());
    machine.journal("commands", "64000000-0000000c", "provision-run-1", &events);
    let list = machine.said(&["list"]);
    assert!(list.contains("web -- uptime -p"), "{list}");
    let shown = machine.said(&["replay", "--speed", "instant"]);
    assert_eq!(shown, "h1, h2  exit 0\n  up 2 days\ndone in 1.2 s: 2 hosts, 0 failed\n");
}

#[test]
fn a_change_of_releases_is_shown_again() {
    let machine = Machine::new();
    let mut records = upgrade();
    records.push(Record::ended("stopped", "stopped: zk2 failed"));
    machine.journal("releases", UPGRADE, "provision-release-1", &lines(&records));
    machine.journal("runs", "64000000-0000000a", "provision-run-1", &plays());
    let list = machine.said(&["list"]);
    let first = list.lines().nth(1).unwrap();
    assert!(first.starts_with(UPGRADE), "{list}");
    assert!(
        first.contains("stopped, 3 steps") && first.ends_with("upgrade zookeeper 3.9.3"),
        "{list}"
    );
    let all = machine.said(&["replay", "65", "--speed", "instant"]);
    assert_eq!(
        all,
        "upgrade zookeeper 3.8.0 → 3.9.3 on zk1, zk2 (2 voters, 2 must be up)\n  \
         1. stage 3.9.3 on zk1, zk2\n  \
         2. zk1 (follower): configure, switch, restart, prove health\n  \
         3. zk2 (leader, so last): configure, switch, restart, prove health\n\
         the order is computed again before every step; a failing one is reverted and ends the run\n\
         [1] stage 3.9.3 on zk1, zk2\n    done in 1.5 s\n    waiting: zk1 does not serve\n\
         [2] zk1 (follower): configure, switch, restart, prove health\n    done in 1.5 s\n    \
         waiting: zk1 does not serve\n\
         [3] zk2 (leader, so last): configure, switch, restart, prove health\n    \
         failed zk2: no space\n    waiting: zk1 does not serve\n"
    );
    assert_eq!(machine.said(&["show", UPGRADE]), all);
    let part = |words: &[&str]| {
        let words = [&["replay", UPGRADE, "--speed", "instant"], words].concat();
        let said = machine.said(&words);
        let steps = said.lines().filter(|line| line.starts_with('['));
        steps.map(|line| line.chars().take(3).collect()).collect::<Vec<String>>().concat()
    };
    assert_eq!(part(&["--host", "zk2"]), "[1][3]");
    assert_eq!(part(&["--task", "stage"]), "[1]");
    assert_eq!(part(&["--failed"]), "[3]");
    assert_eq!(part(&["--failed", "--host", "zk1"]), "");
}

#[test]
fn what_was_reached_and_written_is_told() {
    let machine = Machine::new();
    let mut records = upgrade();
    let written = Written {
        path: PathBuf::from("/i/releases.yml"),
        removed: vec!["  zookeeper: 3.8.0".into()],
        added: vec!["  zookeeper: 3.9.3".into()],
    };
    records.push(Record::Ended {
        how: "done".into(),
        message: String::new(),
        duration_ms: Some(18_700),
        written: Some(written),
    });
    machine.journal("releases", UPGRADE, "provision-release-1", &lines(&records));
    let all = machine.said(&["replay", "--speed", "instant"]);
    let end = "done in 18.7 s: zookeeper 3.9.3 on zk1, zk2\n/i/releases.yml:\n\
               -   zookeeper: 3.8.0\n+   zookeeper: 3.9.3\n";
    assert!(all.ends_with(end), "{all}");
}

#[test]
fn what_can_not_be_shown_is_told() {
    let machine = Machine::new();
    let (code, said) = machine.refused(&["replay"]);
    assert_eq!(code, Some(3));
    assert!(said.contains("no run has left a journal on this machine"), "{said}");
    machine.journal("runs", "64000000-0000000a", "provision-run-2", &[]);
    let (code, said) = machine.refused(&["replay", "64"]);
    assert_eq!(code, Some(5));
    assert!(said.contains("a newer program may have written it"), "{said}");
    let newer = lines(&upgrade()[..1])[0].replace("\"format\":1", "\"format\":2");
    machine.journal("releases", UPGRADE, "provision-release-1", &[newer]);
    let (code, said) = machine.refused(&["replay", UPGRADE]);
    assert_eq!(code, Some(5));
    assert!(said.contains("its records have format 2; this provision knows 1"), "{said}");
    let (code, said) = machine.refused(&["replay", "6"]);
    assert_eq!(code, Some(3));
    assert!(said.contains("2 runs have names that begin with 6"), "{said}");
    let (code, said) = machine.refused(&["replay", "77"]);
    assert_eq!(code, Some(3));
    assert!(said.contains("there is no journal of a run 77 here"), "{said}");
    machine.journal("runs", "68000000-0000000a", "provision-run-1", &plays());
    let (code, said) = machine.refused(&["replay", "68", "--host", "h11"]);
    assert_eq!(code, Some(3));
    assert!(
        said.contains("the run had no host h11") && said.contains("did you mean h1?"),
        "{said}"
    );
    let (code, said) = machine.refused(&["replay", "--speed", "0"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("write 1x, 10x"), "{said}");
}
