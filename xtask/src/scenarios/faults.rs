//! `[io]` Scenarios in which something breaks.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::stage::{Going, Stage, ensure};
use crate::error::{Doing, Error};

/// Bytes that don't fit on the small disk.
const LARGE_BYTES: usize = 4 << 20;
const KILLS: u32 = 10;

pub(super) fn full_disk(stage: &Stage) -> Result<(), Error> {
    let host = stage.lab.host("h1")?;
    let place = &stage.place;
    stage.ask(
        host,
        &format!("mkdir -p {place} && mount -t tmpfs -o size=1m tmpfs {place} && echo old > {place}/large"),
    )?;
    let large = stage.folder.join("large");
    fs::write(&large, vec![b'x'; LARGE_BYTES]).doing(|| format!("write {}", large.display()))?;
    let mut command = stage.apply("large.yml");
    command.args(["--limit", "h1"]);
    let outcome = stage.run(command)?.expect_exit(&[10]).and_then(|run| {
        run.expect_text(&["space left"])?;
        let found = stage.ask(host, &format!("ls -A {place}; cat {place}/large"))?;
        ensure(found == "large\nold", || format!("there is on the host\n{found}"))
    });
    stage.ask(host, &format!("umount {place}"))?;
    outcome
}

/// Starts the slow playbook and waits until all hosts are in its long task.
fn start_slow(stage: &Stage) -> Result<Going, Error> {
    let mut going = stage.start(stage.apply("slow.yml"))?;
    going.wait_for("the first change", |event| {
        event["event"] == "result" && event["status"] == "changed"
    })?;
    for host in stage.lab.hosts() {
        let script = format!(
            "for i in $(seq 600); do [ -e {}/began ] && exit 0; sleep 0.1; done; exit 1",
            stage.place
        );
        stage.ask(host, &script)?;
    }
    Ok(going)
}

pub(super) fn lost_connection(stage: &Stage) -> Result<(), Error> {
    let mut going = start_slow(stage)?;
    let host = stage.lab.host("h1")?;
    ensure(!going.has_ended(), || "the slow task is over already".to_owned())?;
    // The processes of the session, not the listener and not our own way in (root).
    let script = "pkill -KILL -u deploy -x sshd; pkill -KILL -f '^sshd: deploy'; true";
    stage.ask(host, script)?;
    let run = going.finish()?.expect_exit(&[0])?;
    run.expect_count(&stage.lab, "failed", 0)?;
    stage.expect_everywhere(&format!("cat {}/log", stage.place), "once")?;
    stage.expect_everywhere(&format!("cat {}/handled", stage.place), "handled")
}

pub(super) fn partition(stage: &Stage) -> Result<(), Error> {
    let going = start_slow(stage)?;
    let host = stage.lab.host("h1")?;
    stage.lab.partition(host)?;
    thread::sleep(Duration::from_secs(8));
    stage.lab.heal(host)?;
    going.finish()?.expect_exit(&[0])?;
    stage.expect_everywhere(&format!("cat {}/log", stage.place), "once")
}

pub(super) fn kill_controller(stage: &Stage) -> Result<(), Error> {
    start_slow(stage)?.kill()?;
    let mut again = stage.apply("slow.yml");
    // The helpers of the killed run end their task first.
    again.args(["--lock-wait", "60"]);
    let run = stage.run(again)?.expect_exit(&[0])?;
    run.expect_count(&stage.lab, "failed", 0)?;
    let place = &stage.place;
    stage.expect_everywhere(&format!("cat {place}/configured {place}/last"), "one\ntwo")?;
    // The notified handler ran, in whichever of the two runs.
    stage.expect_everywhere(&format!("sort -u {place}/handled"), "handled")?;
    stage.run(stage.apply("slow.yml"))?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)
}

pub(super) fn kill_anywhere(stage: &Stage) -> Result<(), Error> {
    for moment in 0..KILLS {
        let stage =
            Stage { place: format!("{}-{moment}", stage.place), ..stage.with_lab(&stage.lab) };
        let going = stage.start(stage.apply("site.yml"))?;
        thread::sleep(Duration::from_millis(40) * moment);
        going.kill()?;
        let mut again = stage.apply("site.yml");
        again.args(["--lock-wait", "60"]);
        stage.run(again)?.expect_exit(&[0])?;
        stage.expect_everywhere(&format!("sort -u {}/handled", stage.place), "handled")?;
        let last = stage.run(stage.apply("site.yml"))?.expect_exit(&[0])?;
        last.expect_count(&stage.lab, "changed", 0)?;
    }
    Ok(())
}

pub(super) fn reboot(stage: &Stage) -> Result<(), Error> {
    let going = start_slow(stage)?;
    let host = stage.lab.host("h2")?;
    stage.lab.reboot(host)?;
    let run = going.finish()?.expect_exit(&[11, 12])?;
    let names_it = |event: &Value| event["event"] == "host_unreachable" && event["host"] == "h2";
    ensure(run.count("h2", "unreachable")? > 0 || run.events.iter().any(names_it), || {
        "nothing says that h2 was unreachable".to_owned()
    })?;
    for name in ["h1", "h3"] {
        ensure(run.count(name, "failed")? == 0, || format!("{name} failed"))?;
        let found = stage.ask(stage.lab.host(name)?, &format!("cat {}/last", stage.place))?;
        ensure(found == "two", || format!("{name} didn't converge"))?;
    }
    let mut again = stage.apply("slow.yml");
    again.args(["--lock-wait", "60"]);
    stage.run(again)?.expect_exit(&[0])?;
    stage.expect_everywhere(&format!("cat {}/last", stage.place), "two")
}

/// Boots that are over have left nothing: the helper is sent again.
pub(super) fn reboot_task(stage: &Stage) -> Result<(), Error> {
    let boots = "stat -c %Y.%Z /proc/1";
    let before: Vec<String> =
        stage.lab.hosts().iter().map(|host| stage.ask(host, boots)).collect::<Result<_, _>>()?;
    let run = stage.run(stage.apply("reboot.yml"))?.expect_exit(&[0])?;
    run.expect_count(&stage.lab, "failed", 0)?;
    stage.expect_everywhere("cat /srv/rebooted /srv/back", "True True True\nback")?;
    for (host, before) in stage.lab.hosts().iter().zip(before) {
        let after = stage.ask(host, boots)?;
        ensure(after != before, || format!("{} is still the boot {before}", host.name))?;
        let helpers = stage.ask(host, "ls /home/deploy/.cache/provision | wc -l")?;
        ensure(helpers.trim() == "1", || format!("{} has {helpers} helpers", host.name))?;
    }
    Ok(())
}
