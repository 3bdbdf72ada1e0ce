//! `[io]` Scenarios in which nothing breaks.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::stage::{Stage, ensure};
use crate::error::{Doing, Error};
use crate::lab::names::Layout;
use crate::lab::{Lab, UpOptions};

const MANY_HOSTS: u8 = 30;
/// Loading and checking a small playbook takes milliseconds; a connection to nowhere takes minutes.
const STATIC_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn twice(stage: &Stage) -> Result<(), Error> {
    let first = stage.run(stage.apply("site.yml"))?.expect_exit(&[0])?;
    for host in stage.lab.hosts() {
        let changed = first.count(&host.name, "changed")?;
        ensure(changed > 0, || format!("the first apply changed nothing on {}", host.name))?;
    }
    stage.expect_everywhere(&format!("cat {}/service.conf", stage.place), SERVICE_CONF)?;
    stage.expect_everywhere(&format!("cat {}/handled", stage.place), "handled")?;
    let second = stage.run(stage.apply("site.yml"))?.expect_exit(&[0])?;
    second.expect_count(&stage.lab, "changed", 0)?;
    stage.expect_everywhere(&format!("cat {}/handled", stage.place), "handled")
}

pub(super) fn handlers(stage: &Stage) -> Result<(), Error> {
    let expected = "included 0\nincluded 1\nincluded 2\nloop 1\nloop 2\njudge\nlast\nonce";
    for number in ["first", "second", "third"] {
        let run = stage.run(stage.apply("handlers.yml"))?.expect_exit(&[0])?;
        let warning = run.events.iter().find(|event| event["event"] == "warning");
        ensure(warning.is_none(), || format!("the {number} run warned: {warning:?}"))?;
        stage.expect_everywhere(&format!("cat {}/handled", stage.place), expected)?;
    }
    Ok(())
}

/// What the template makes of the defaults.
const SERVICE_CONF: &str = "port=8080\nmember=a\nmember=b";

pub(super) fn check_diff(stage: &Stage) -> Result<(), Error> {
    stage.run(stage.apply("site.yml"))?.expect_exit(&[0])?;
    let template = stage.folder.join("templates/service.conf.j2");
    let action = || format!("change {}", template.display());
    let text = fs::read_to_string(&template).doing(action)?;
    fs::write(&template, text.replace("port={{ port }}", "port={{ port + 1 }}\ncolour=green"))
        .doing(action)?;
    let show = format!("cat {}/service.conf", stage.place);
    let mut check = stage.apply("site.yml");
    check.args(["--check", "--diff"]);
    let predicted = stage.run(check)?.expect_exit(&[0])?;
    predicted.expect_text(&["colour=green"])?;
    stage.expect_everywhere(&show, SERVICE_CONF)?;
    let mut check = stage.apply("site.yml");
    check.args(["--check", "--exit-code"]);
    stage.run(check)?.expect_exit(&[4])?;
    let mut apply = stage.apply("site.yml");
    apply.arg("--diff");
    let done = stage.run(apply)?.expect_exit(&[0])?;
    ensure(!predicted.diffs().is_empty() && predicted.diffs() == done.diffs(), || {
        format!(
            "--check --diff showed\n{:#?}\nbut apply did\n{:#?}",
            predicted.diffs(),
            done.diffs()
        )
    })?;
    let changed = SERVICE_CONF.replace("port=8080", "port=8081\ncolour=green");
    stage.expect_everywhere(&show, &changed)
}

pub(super) fn strict_order(stage: &Stage) -> Result<(), Error> {
    let mut trees = Vec::new();
    let mut recaps = Vec::new();
    for (place, flags) in [("ahead", &[][..]), ("strict", &["--strict-order"][..])] {
        let place = format!("{}-{place}", stage.place);
        let mut command = stage.apply("order.yml");
        command.args(["-e", &format!("place={place}")]).args(flags);
        let run = stage.run(command)?.expect_exit(&[0])?;
        let mut numbers = Vec::new();
        let mut tree = Vec::new();
        for host in stage.lab.hosts() {
            for what in ["ok", "changed", "skipped", "failed", "rescued", "ignored"] {
                numbers.push(format!("{} {what}={}", host.name, run.count(&host.name, what)?));
            }
            let script = format!("cd {place} && find . -type f | sort | xargs sha256sum");
            tree.push(stage.ask(host, &script)?);
        }
        recaps.push(numbers);
        trees.push(tree);
    }
    let same = |results: &[Vec<String>]| results.windows(2).all(|two| two.first() == two.last());
    ensure(same(&recaps), || format!("the recaps differ: {recaps:#?}"))?;
    ensure(same(&trees), || format!("the files differ: {trees:#?}"))
}

pub(super) fn unit_files(stage: &Stage) -> Result<(), Error> {
    let unit = "systemctl show --value --property=Environment corral-probe";
    let read = "systemctl show --value --property=UnitsLoadTimestampMonotonic";
    let apply = |number: &str| -> Result<Vec<String>, Error> {
        let mut command = stage.apply("units.yml");
        command.args(["-e", &format!("number={number}")]);
        stage.run(command)?.expect_exit(&[0])?;
        stage.expect_everywhere(unit, &format!("number={number}"))?;
        stage.lab.hosts().iter().map(|host| stage.ask(host, read)).collect()
    };
    // The second one may have to look again: the first wrote shortly before systemd read.
    apply("1")?;
    let (second, third, other) = (apply("1")?, apply("1")?, apply("2")?);
    ensure(second == third, || format!("read without need: {second:?}, {third:?}"))?;
    ensure(other != third, || format!("not read again: {third:?}, {other:?}"))
}

pub(super) fn batch_command(stage: &Stage) -> Result<(), Error> {
    let run = |words: &[&str]| {
        let mut command = Command::new(&stage.provision);
        command.args(["run", "all", "-i"]).arg(stage.lab.directory().inventory());
        command.args(words);
        stage.settle(&mut command);
        stage.run(command)
    };
    let told = run(&["-b", "--", "id", "-un"])?.expect_exit(&[0])?;
    ensure(told.said.contains("h1, h2, h3  exit 0\n  root\n"), || told.said.clone())?;
    // No shell and no template on the way.
    let told = run(&["--", "echo", "$HOME", "{{ x }}"])?.expect_exit(&[0])?;
    ensure(told.said.contains("\n  $HOME {{ x }}\n"), || told.said.clone())?;
    let told = run(&["--shell", "--", "[ $(hostname) != h2 ]"])?.expect_exit(&[10])?;
    let expected = "h1, h3  exit 0\nh2  exit 1\n";
    ensure(told.said.contains(expected), || told.said.clone())
}

pub(super) fn static_errors(stage: &Stage) -> Result<(), Error> {
    // 192.0.2.0/24 is nobody's (RFC 5737): a connection would show as a long wait.
    let inventory = stage.folder.join("nowhere.ini");
    fs::write(&inventory, "nowhere ansible_host=192.0.2.1\n")
        .doing(|| format!("write {}", inventory.display()))?;
    let run = stage.run(stage.apply_with("broken.yml", &inventory))?.expect_exit(&[3])?;
    run.expect_text(&["hostz", "copyy", "flie", "template", "broken.yml"])?;
    ensure(run.elapsed < STATIC_LIMIT, || format!("that took {:?}", run.elapsed))?;
    let contacted = run.events.iter().any(|event| event["event"] == "host_connected");
    ensure(!contacted, || "a host was contacted".to_owned())?;
    let run = stage.run(stage.apply_with("undefined.yml", &inventory))?.expect_exit(&[3])?;
    run.expect_text(&["greting", "did you mean", "undefined.yml"])
}

pub(super) fn thirty_hosts(stage: &Stage) -> Result<(), Error> {
    let lab = Lab::up(&UpOptions::new("thirty", Layout::Numbered(MANY_HOSTS))?)?;
    let outcome = many(&stage.with_lab(&lab));
    let down = lab.down();
    outcome.and(down)
}

fn many(stage: &Stage) -> Result<(), Error> {
    let first = stage.run(stage.apply("site.yml"))?.expect_exit(&[0])?;
    let second = stage.run(stage.apply("site.yml"))?.expect_exit(&[0])?;
    second.expect_count(&stage.lab, "changed", 0)?;
    first.expect_count(&stage.lab, "failed", 0)?;
    let seconds = (first.elapsed.as_secs_f64(), second.elapsed.as_secs_f64());
    println!(
        "     thirty-hosts     first {:.2} s, nothing to change {:.2} s",
        seconds.0, seconds.1
    );
    // A look at each would take longer than both runs.
    for name in ["h1", "h15", "h30"] {
        let found =
            stage.ask(stage.lab.host(name)?, &format!("cat {}/service.conf", stage.place))?;
        ensure(found == SERVICE_CONF, || format!("on {name}: {found}"))?;
    }
    Ok(())
}
