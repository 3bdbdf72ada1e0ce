//! Real processes: their starts, ends and output, and that they are found by the next runner. Each
//! test ends what it has started, also when it fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use scheduler_runner::{
    Check, Ending, Probe, Program, Report, Runner, RunnerError, Settings, Stream, Task, What,
};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// What comes, comes long before.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder whose tasks end with it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn settings(&self) -> Settings {
        Settings {
            folder: self.path().join("tasks"),
            volumes: self.path().join("volumes"),
            supervisor: vec![env!("CARGO_BIN_EXE_scheduler-supervisor").into()],
            docker: self.path().join("docker").display().to_string(),
            ended_kept: 3,
        }
    }

    fn open(&self) -> (Runner, UnboundedReceiver<Report>) {
        let (tells, told) = unbounded_channel();
        (Runner::open(self.settings(), tells).unwrap(), told)
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.path().join("tasks").join(id)
    }

    /// Processes whose environment says that they belong here.
    fn processes(&self) -> Vec<i32> {
        let mark = format!("SCHEDULER_TASK_FOLDER={}", self.path().display());
        let pids = fs::read_dir("/proc").unwrap().flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid: &i32| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|one| one.starts_with(mark.as_bytes()))
            })
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

fn task(id: &str, shell: &str) -> Task {
    Task {
        id: id.parse().unwrap(),
        owner: "m1".to_owned(),
        program: Program::Command(vec!["/bin/sh".into(), "-c".into(), shell.into()]),
        environment: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
        ports: Vec::new(),
        memory_most_mib: None,
        millicores: None,
        check: None,
        kill_grace: Duration::from_secs(10),
        mounts: Vec::new(),
        container: None,
    }
}

async fn next(told: &mut UnboundedReceiver<Report>) -> What {
    let report = timeout(PATIENCE, told.recv()).await.expect("a report in time").unwrap();
    assert_eq!(report.owner, "m1");
    report.what
}

async fn until(told: &mut UnboundedReceiver<Report>, wanted: &What) {
    let mut seen = Vec::new();
    while seen.last() != Some(wanted) {
        seen.push(next(told).await);
        assert!(seen.len() < 10, "{wanted:?} didn't come: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_in_its_folder_and_its_end_is_told() {
    let place = Place::new();
    let (runner, mut told) = place.open();
    let shell = "pwd; echo $GREETING >&2; test -z \"$CARGO\" || exit 9; exit 7";
    runner.launch(task("a.1", shell));
    assert_eq!(next(&mut told).await, What::Launched);
    assert_eq!(next(&mut told).await, What::Running);
    assert_eq!(next(&mut told).await, What::Ended(Ending::Code(7)));
    let id = "a.1".parse().unwrap();
    let read = |stream| runner.tail(&id, stream).unwrap().next_part().unwrap();
    let sandbox = place.folder("a.1").join("sandbox").canonicalize().unwrap();
    assert_eq!(read(Stream::Output), format!("{}\n", sandbox.display()).as_bytes());
    assert_eq!(read(Stream::Error), b"hello\n");
    assert!(runner.tail(&id, Stream::Output).unwrap().is_ended());

    // A second launch of the same name starts nothing.
    runner.launch(task("a.1", "echo twice"));
    assert_eq!(next(&mut told).await, What::Ended(Ending::Code(7)));
    runner.ask(&"b.1".parse().unwrap(), "m1");
    assert_eq!(next(&mut told).await, What::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let place = Place::new();
    let (runner, mut told) = place.open();
    let program = Program::Command(vec!["/nowhere/program".to_owned()]);
    runner.launch(Task { program, ..task("a.1", "") });
    assert_eq!(next(&mut told).await, What::Launched);
    let What::Ended(Ending::NotStarted(why)) = next(&mut told).await else { panic!() };
    assert!(why.contains("/nowhere/program") && why.contains("No such file"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_is_asked_for_and_then_made() {
    let place = Place::new();
    let (runner, mut told) = place.open();
    let (polite, deaf) = ("a.1".parse().unwrap(), "a.2".parse().unwrap());
    runner
        .launch(task("a.1", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"));
    until(&mut told, &What::Running).await;
    let mut tail = runner.tail(&polite, Stream::Output).unwrap();
    while tail.next_part().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    runner.kill(&polite, "m1", Duration::from_secs(20));
    until(&mut told, &What::Ended(Ending::Code(3))).await;
    assert_eq!(tail.next_part().unwrap(), b"bye\n");

    // Its child left the group, and doesn't hear either.
    let shell = "trap '' TERM; setsid sleep 1000 & echo up; while :; do sleep 0.05; done";
    runner.launch(task("a.2", shell));
    until(&mut told, &What::Running).await;
    let mut tail = runner.tail(&deaf, Stream::Output).unwrap();
    while tail.next_part().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    runner.kill(&deaf, "m1", Duration::from_millis(50));
    runner.kill(&deaf, "m1", Duration::from_secs(99));
    until(&mut told, &What::Ended(Ending::Signal(9))).await;
    assert_eq!(place.processes(), [0; 0], "nothing outlives its task");
    runner.kill(&deaf, "m1", Duration::ZERO);
    assert_eq!(next(&mut told).await, What::Ended(Ending::Signal(9)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_runner_finds_what_runs_and_what_ended() {
    let place = Place::new();
    let (runner, mut told) = place.open();
    let error = Runner::open(place.settings(), unbounded_channel().0).unwrap_err();
    assert!(matches!(error, RunnerError::InUse(_)), "{error}");
    runner.launch(task("a.1", "echo started; exec sleep 1000"));
    until(&mut told, &What::Running).await;
    runner.launch(task("a.2", "echo started; read -r line < /dev/zero"));
    until(&mut told, &What::Running).await;
    let before = place.processes();
    drop(told);
    drop(runner);

    let (runner, mut told) = place.open();
    until(&mut told, &What::Running).await;
    until(&mut told, &What::Running).await;
    assert_eq!(place.processes(), before, "nothing was started");
    assert_eq!(runner.living().len(), 2);
    runner.kill(&"a.1".parse().unwrap(), "m1", Duration::from_secs(10));
    until(&mut told, &What::Ended(Ending::Signal(15))).await;

    // Who ends a supervisor ends its task.
    let text = fs::read_to_string(place.folder("a.2").join("supervisor.json")).unwrap();
    let pid = text.split(&[':', ','][..]).nth(1).unwrap();
    assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
    let What::Ended(Ending::Lost(_)) = next(&mut told).await else { panic!() };
    assert_eq!(place.processes(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_was_being_started_is_lost_and_stays_lost() {
    let place = Place::new();
    let folder = place.folder("a.1");
    fs::create_dir_all(folder.join("sandbox")).unwrap();
    let text = serde_json::to_string(&task("a.1", "echo late > late; sleep 1000")).unwrap();
    fs::write(folder.join("task.json"), format!("{{\"version\":1,\"task\":{text}}}")).unwrap();
    let (runner, mut told) = place.open();
    let What::Ended(Ending::Lost(_)) = next(&mut told).await else { panic!() };
    // Its supervisor comes late.
    let supervisor = Command::new(env!("CARGO_BIN_EXE_scheduler-supervisor"))
        .args([folder.as_os_str(), "docker".as_ref()])
        .status();
    assert!(!supervisor.unwrap().success());
    assert!(!folder.join("sandbox/late").exists());
    assert_eq!(runner.living(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_check() {
    let place = Place::new();
    let (runner, mut told) = place.open();
    let check = Check {
        probe: Probe::Command(vec!["/usr/bin/test".into(), "-e".into(), "good".into()]),
        interval: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        failures: 2,
    };
    let shell = "sleep 0.1; touch good; sleep 0.5; rm good; exec sleep 1000";
    runner.launch(Task { check: Some(check), ..task("a.1", shell) });
    for expected in [What::Launched, What::Running, What::Healthy, What::Unhealthy] {
        assert_eq!(next(&mut told).await, expected);
    }
    runner.kill(&"a.1".parse().unwrap(), "m1", Duration::from_secs(10));
    until(&mut told, &What::Ended(Ending::Signal(15))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_checked_at_its_port() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let status = if number < 3 { "503 Not yet" } else { "200 OK" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let place = Place::new();
    let (runner, mut told) = place.open();
    let check = Check {
        probe: Probe::Http { path: "/health".to_owned(), port },
        interval: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        failures: 1,
    };
    runner.launch(Task { check: Some(check), ..task("a.1", "exec sleep 1000") });
    for expected in [What::Launched, What::Running, What::Healthy] {
        assert_eq!(next(&mut told).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_has_a_limit() {
    let place = Place::new();
    let (runner, mut told) = place.open();
    // A variable of 64 MiB, in a child of the shell.
    let shell = "sh -c 'x=$(head -c 67108864 /dev/zero | tr \"\\0\" x); sleep 1000'; sleep 1000";
    runner.launch(Task { memory_most_mib: Some(32), ..task("a.1", shell) });
    until(&mut told, &What::Ended(Ending::OutOfMemory)).await;
    assert_eq!(place.processes(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_folders_are_kept() {
    let place = Place::new();
    let (runner, mut told) = place.open();
    for number in 1..=6 {
        runner.launch(task(&format!("a.{number}"), "exit 0"));
        until(&mut told, &What::Ended(Ending::Code(0))).await;
    }
    // The folder of the last one is swept after its report.
    runner.launch(task("a.7", "exit 1"));
    until(&mut told, &What::Ended(Ending::Code(1))).await;
    assert!(!place.folder("a.1").exists() && place.folder("a.7").exists());
    assert!(runner.tail(&"a.1".parse().unwrap(), Stream::Output).is_none());
}

/// There is no engine where this runs: a script stands in for its command line.
#[tokio::test(flavor = "multi_thread")]
async fn containers_run_by_the_command_line_of_docker() {
    let place = Place::new();
    let docker = place.path().join("docker");
    let log = place.path().join("calls");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}\n[ $1 = run ] && {{ echo \"$GREETING from $PORT\"; exit 126; }}\nexit 0\n",
        log.display()
    );
    fs::write(&docker, script).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&docker).status().unwrap().success());
    let (runner, mut told) = place.open();
    let program = Program::Image {
        image: "web:1".to_owned(),
        arguments: vec!["serve".to_owned()],
        inner_ports: vec![80],
    };
    let mut task = Task { program, ports: vec![31_007], ..task("a.1", "") };
    task.environment.insert("PORT".to_owned(), "80".to_owned());
    runner.launch(task);
    until(&mut told, &What::Running).await;
    let What::Ended(Ending::NotStarted(why)) = next(&mut told).await else { panic!() };
    assert!(why.contains("can't be run"), "{why}");
    let output = runner.tail(&"a.1".parse().unwrap(), Stream::Output).unwrap().next_part();
    assert_eq!(output.unwrap(), b"hello from 80\n");
    assert_eq!(
        fs::read_to_string(log).unwrap(),
        "run --init --name corral-a.1 --publish 127.0.0.1:31007:80 --env GREETING --env PORT -- \
         web:1 serve\n\
         inspect --format {{.State.OOMKilled}} corral-a.1\n\
         rm --force --volumes corral-a.1\n"
    );
}
