//! Labs for real: `cargo test -p xtask --test lab -- --ignored` as root. Not for a quick run: they
//! boot hosts and, the first time, build the root file system.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use xtask::lab::lifecycle::HostState;
use xtask::lab::names::{Host, LabName, Layout};
use xtask::lab::process::ProcessId;
use xtask::lab::supervise::Runtime;
use xtask::lab::{Lab, UpOptions, isolate, latency, teardown};

/// A lab with a name of its own that is removed even if the test fails.
struct Guard {
    lab: Lab,
}

/// The library re-executes its own program for supervisors; in a test that is the test's. So a lab
/// is brought up by the real program.
fn up(name: &str, hosts: u8) -> Guard {
    let status = xtask(name).args(["lab", "up", &hosts.to_string()]).status().unwrap();
    assert!(status.success());
    Guard { lab: Lab::open(name).unwrap() }
}

fn xtask(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.env("CORRAL_LAB_NAME", name).stdout(Stdio::null());
    command
}

fn task(name: &str, arguments: &[&str]) {
    assert!(xtask(name).arg("lab").args(arguments).status().unwrap().success(), "{arguments:?}");
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.lab.clone().down();
    }
}

fn text(lab: &Lab, host: &Host, script: &str) -> String {
    String::from_utf8(lab.run(host, script).unwrap().stdout).unwrap()
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs root and boots hosts"]
fn a_host_lives_through_reboot_power_loss_stop_and_partition() {
    let name = format!("life-{}", std::process::id());
    let guard = up(&name, 2);
    let lab = &guard.lab;
    let host = lab.host("h1").unwrap();
    let boot_id = || text(lab, host, "cat /proc/sys/kernel/random/boot_id /etc/machine-id");
    let first = boot_id();
    text(lab, host, "echo kept > /root/kept");

    task(&name, &["reboot", "h1"]);
    let second = boot_id();
    let machine = |ids: &str| ids.lines().nth(1).unwrap().to_owned();
    assert_ne!(first, second);
    assert_eq!(machine(&first), machine(&second));

    task(&name, &["kill", "h1"]);
    assert_eq!(lab.status(host).unwrap().state, HostState::Dead);
    task(&name, &["start", "h1"]);
    assert_eq!(text(lab, host, "cat /root/kept"), "kept\n");

    task(&name, &["stop", "h1"]);
    assert_eq!(lab.status(host).unwrap().state, HostState::Stopped);
    task(&name, &["start", "h1"]);

    task(&name, &["partition", "h1"]);
    assert_eq!(lab.status(host).unwrap().state, HostState::Partitioned);
    assert!(lab.run(host, "true").is_err());
    task(&name, &["reboot", "h1"]);
    task(&name, &["partition", "h1", "--heal"]);
    eventually("the host answers again", || lab.status(host).unwrap().state == HostState::Up);

    task(&name, &["latency", "40"]);
    assert_eq!(lab.round_trip_ms().unwrap(), Some(40));
    let start = Instant::now();
    let address = lab.record().subnet.delayed_address(host).to_string();
    let mut ssh = lab.ssh(host);
    ssh.args(["-o", &format!("HostName={address}"), "-p", &latency::PORT.to_string(), "true"]);
    assert!(ssh.status().unwrap().success());
    assert!(start.elapsed() > Duration::from_millis(7 * 40));
}

#[test]
#[ignore = "needs root and boots hosts"]
fn nothing_is_left_of_a_lab_that_was_killed_and_has_lost_its_state() {
    let name = format!("lost-{}", std::process::id());
    let guard = up(&name, 3);
    let lab = &guard.lab;
    let runtime =
        |name: &str| Runtime::read(lab.directory(), lab.host(name).unwrap()).unwrap().unwrap();
    let kill = |process: ProcessId| process.signal(nix::sys::signal::Signal::SIGKILL);
    kill(runtime("h1").supervisor);
    kill(runtime("h2").container.unwrap());
    eventually("both are dead", || {
        ["h1", "h2"]
            .iter()
            .all(|name| lab.status(lab.host(name).unwrap()).unwrap().state == HostState::Dead)
    });
    fs::remove_file(lab.directory().path().join("lab.json")).unwrap();
    let id = isolate::id(&LabName::parse(&name).unwrap());
    assert!(!teardown::remains(lab.directory(), &id).is_empty());
    task(&name, &["down"]);
    assert_eq!(teardown::remains(lab.directory(), &id), Vec::<String>::new());
}

#[test]
#[ignore = "needs root and boots hosts"]
fn an_interrupted_up_is_finished_by_the_next() {
    let name = format!("again-{}", std::process::id());
    let directory = UpOptions::new(&name, Layout::Numbered(3)).unwrap().directory;
    for milliseconds in [50, 150, 300] {
        let mut child = xtask(&name).args(["lab", "up", "3"]).spawn().unwrap();
        thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        let guard = up(&name, 3);
        assert!(guard.lab.run(guard.lab.host("h3").unwrap(), "true").is_ok());
    }
    let id = isolate::id(&LabName::parse(&name).unwrap());
    assert_eq!(teardown::remains(&directory, &id), Vec::<String>::new());
}

#[test]
#[ignore = "needs root and boots hosts"]
fn an_isolated_lab_dies_with_the_outermost_process() {
    let signal = tempfile::tempdir().unwrap();
    let started = signal.path().join("started");
    let mut outermost = xtask("inner")
        .args(["lab", "isolated", "lab", "with", "2", "--", "sh", "-c"])
        .arg(format!(
            "echo $CORRAL_LAB_INVENTORY > {0}.part; mv {0}.part {0}; sleep 1000",
            started.display()
        ))
        .spawn()
        .unwrap();
    eventually("the lab is up", || started.exists());
    let inventory = fs::read_to_string(&started).unwrap();
    let isolated = Path::new(inventory.trim()).ancestors().nth(2).unwrap().to_owned();
    let id = LabName::parse("inner").unwrap().id(Some(&isolated));
    outermost.kill().unwrap();
    outermost.wait().unwrap();
    eventually("all processes are dead", || {
        let remains =
            teardown::remains(&xtask::lab::directories::StateDirectory::at(isolated.clone()), &id);
        remains
            .iter()
            .all(|thing| thing.starts_with("control group") || thing.starts_with("directory"))
    });
    assert!(isolated.exists());
    // Any later isolated task sweeps; this one fails, because it has no lab.
    assert!(!xtask("inner").args(["lab", "isolated", "lab", "status"]).status().unwrap().success());
    let directory = xtask::lab::directories::StateDirectory::at(isolated);
    assert_eq!(teardown::remains(&directory, &id), Vec::<String>::new());
}
