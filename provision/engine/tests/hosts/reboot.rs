//! Hosts that go away and come back: `reboot`, `wait_for_connection`, and tasks in between.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use provision_engine::event::Outcome;
use provision_protocol::{Frame, FromHost, ToHost};

use crate::lab::{Lab, Ran};
use crate::machine::Machine;
use crate::relay::{Act, Side};

/// A host on which `boot` says which boot it is; `go` makes it the next one.
fn lab() -> Lab {
    let lab = Lab::new(&["a", "b"]);
    for name in ["a", "b"] {
        let root = lab.host(name).root();
        fs::write(root.join("boot"), "1\n").unwrap();
    }
    lab
}

/// The host is gone for a while when its helper is asked to run a line with this text.
fn goes_away_at(machine: &Arc<Machine>, text: &'static str, time: Duration) {
    let host = machine.clone();
    machine.set_mischief(move |side, frame| {
        let Frame::Message(payload) = frame else { return vec![Act::Pass] };
        let asks = side == Side::ToHost
            && matches!(Frame::parse(payload), Ok(ToHost::Call(call))
                if call.arguments.get("cmd").and_then(|cmd| cmd.as_str()).is_some_and(|cmd| cmd.contains(text)));
        if asks {
            let boot: u32 = host.text("boot").trim().parse().unwrap();
            fs::write(host.root().join("boot"), format!("{}\n", boot + 1)).unwrap();
            away(&host, time);
            return vec![Act::Cut];
        }
        vec![Act::Pass]
    });
}

fn away(machine: &Arc<Machine>, time: Duration) {
    machine.cut_off(true);
    let machine = machine.clone();
    std::thread::spawn(move || {
        std::thread::sleep(time);
        machine.cut_off(false);
    });
}

const REBOOT: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: '{{ root }}/one', content: one}
      notify: handle
    - reboot:
        reboot_command: go {{ root }}
        search_paths: ['{{ root }}/bin']
        boot_time_command: cat {{ root }}/boot
        test_command: echo tested >>{{ root }}/tests
        reboot_timeout: LIMIT
      register: reboot
    - copy: {dest: '{{ root }}/two', content: '{{ reboot.rebooted }} {{ reboot is changed }} {{ reboot.elapsed < 9 }}'}
  handlers:
    - name: handle
      shell: echo handled >>{{ root }}/log
";

fn with_command(lab: &Lab, line: &str) {
    use std::os::unix::fs::PermissionsExt;
    for name in ["a", "b"] {
        let folder = lab.host(name).root().join("bin");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("go"), format!("#!/bin/sh\n{line}\n")).unwrap();
        fs::set_permissions(folder.join("go"), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn results(ran: &Ran, host: &str) -> usize {
    ran.events.iter().filter(|event| format!("{event:?}").contains(host)).count()
}

#[test]
fn a_host_is_rebooted_while_its_connection_ends() {
    let lab = lab();
    with_command(&lab, "echo 2 >$1/boot");
    goes_away_at(lab.host("a"), "/go' ", Duration::from_millis(1_200));
    let ran = lab.apply(&REBOOT.replace("LIMIT", "15")).expect(Outcome::Done);
    for host in ["a", "b"] {
        assert_eq!(lab.host(host).text("two"), "True True True", "{host}\n{}", ran.story());
        assert_eq!(lab.host(host).text("tests"), "tested\n", "{host}");
        assert_eq!(lab.host(host).text("log"), "handled\n", "{host}");
        assert_eq!(lab.host(host).text("boot"), "2\n", "{host}");
        assert_eq!((ran.recap(host).changed, ran.recap(host).unreachable), (4, 0), "{host}");
    }
    assert!(results(&ran, "a") > 0);
    // What was to be remembered was, and nothing is left.
    assert!(lab.warnings_of_an_empty_play().is_empty());
}

#[test]
fn a_host_that_stays_the_same_boot_fails_in_time() {
    let lab = lab();
    with_command(&lab, "exit 0");
    let ran = lab.apply(&REBOOT.replace("LIMIT", "1")).expect(Outcome::Failed);
    let story = ran.story();
    assert!(story.contains("Timed out waiting for last boot time check (timeout=1)\n"), "{story}");
    assert_eq!(lab.host("a").text("two"), "");
}

#[test]
fn a_command_that_fails_is_no_reboot() {
    let lab = lab();
    with_command(&lab, "echo no way >&2; exit 3");
    let story = lab.apply(&REBOOT.replace("LIMIT", "9")).expect(Outcome::Failed).story();
    assert!(story.contains("Reboot command failed. Error was:"), "{story}");
    assert!(story.contains("no way"), "{story}");
    fs::remove_file(lab.host("a").root().join("bin/go")).unwrap();
    let story = lab.apply(&REBOOT.replace("LIMIT", "9")).expect(Outcome::Failed).story();
    assert!(story.contains("Unable to find command \"go\" in search paths"), "{story}");
}

#[test]
fn this_machine_is_not_rebooted_and_check_mode_reboots_nothing() {
    let lab = lab();
    let ran = lab.apply(
        "
- hosts: a
  gather_facts: false
  tasks:
    - reboot:
      check_mode: true
      register: checked
    - reboot:
      connection: local
      register: refused
      ignore_errors: true
    - copy:
        dest: '{{ root }}/seen'
        content: '{{ checked.rebooted }} {{ checked.elapsed }} {{ checked.changed }} {{ refused.rebooted }} {{ refused.changed }} {{ refused.msg }}'
",
    );
    ran.expect(Outcome::Done);
    assert_eq!(
        lab.host("a").text("seen"),
        "True 0 True False False Running reboot with local connection would reboot the control node."
    );
}

#[test]
fn a_failed_reboot_drops_what_is_sent_behind_it() {
    let lab = lab();
    with_command(&lab, "exit 1");
    let playbook =
        REBOOT.replace("LIMIT", "1").replace("hosts: all", "hosts: all\n  strategy: free");
    let playbook = playbook.replace(
        "    - copy: {dest: '{{ root }}/two'",
        "    - copy: {dest: '{{ root }}/never', content: x}\n    - copy: {dest: '{{ root }}/two'",
    );
    lab.apply(&playbook).expect(Outcome::Failed);
    assert!(!lab.host("a").root().join("never").exists());
}

/// The old way: a detached command takes the host down, another machine watches it, and a task
/// waits for it.
#[test]
fn a_connection_that_ends_while_nothing_runs_is_taken_up_again() {
    let lab = lab();
    let down = Arc::new(AtomicUsize::new(0));
    let (host, seen) = (lab.host("a").clone(), down.clone());
    lab.host("a").set_mischief(move |side, frame| {
        let Frame::Message(payload) = frame else { return vec![Act::Pass] };
        let ended =
            side == Side::ToController && matches!(Frame::parse(payload), Ok(FromHost::Result(_)));
        if ended && seen.fetch_add(1, Ordering::SeqCst) == 0 {
            let host = host.clone();
            away(&host, Duration::from_millis(1_500));
            return vec![Act::Pass, Act::Cut];
        }
        vec![Act::Pass]
    });
    let ran = lab.apply(
        "
- hosts: a
  gather_facts: false
  tasks:
    - shell: 'true'
    - wait_for_connection: {timeout: 10, WAITS}
      register: waited
    - copy: {dest: '{{ root }}/after', content: '{{ waited.elapsed < 9 }} {{ waited is changed }}'}
"
        .replace("WAITS", "delay: 0, sleep: 1")
        .as_str(),
    );
    let ran = ran.expect(Outcome::Done);
    assert_eq!(lab.host("a").text("after"), "True False", "{}", ran.story());
}

#[test]
fn a_host_that_is_not_there_yet_is_waited_for() {
    let lab = lab();
    away(lab.host("a"), Duration::from_millis(1_500));
    let ran = lab.apply(
        "
- hosts: all
  gather_facts: false
  tasks:
    - command: sleep 0.3
      delegate_to: localhost
    - wait_for_connection: {timeout: 10}
    - copy: {dest: '{{ root }}/after', content: x}
",
    );
    let ran = ran.expect(Outcome::Done);
    assert_eq!(lab.host("a").text("after"), "x", "{}", ran.story());
    // Once, although the host could not be reached meanwhile.
    let commands = lab.host("localhost").calls().len();
    assert_eq!(commands, 2, "{}", ran.story());
}

#[test]
fn a_host_that_never_comes_is_a_failure_that_can_be_rescued() {
    let lab = lab();
    lab.host("a").cut_off(true);
    let ran = lab.apply(
        "
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - wait_for_connection: {timeout: 1, sleep: 0}
      rescue:
        - debug: {msg: '{{ ansible_failed_result.msg }}'}
    - wait_for_connection: {timeout: 1, sleep: 0}
      check_mode: true
      register: checked
    - assert: {that: checked is skipped}
",
    );
    let story = ran.story();
    ran.expect(Outcome::Done);
    assert!(story.contains("timed out waiting for ping module test: no route to host"), "{story}");
}
