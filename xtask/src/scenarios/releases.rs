//! `[io]` Scenarios of releases: a ZooKeeper ensemble changes its release under a client that writes
//! without a pause.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::stage::{Run, Stage, ensure};
use super::zookeeper::{self, State};
use crate::error::{Doing, Error};
use crate::lab::names::Host;
use crate::workspace;

const OLD: &str = "3.8.0";
pub(super) const NEW: &str = "3.9.3";
const FORGET: &str = "systemctl stop zookeeper 2>/dev/null; \
                      rm -rf /var/lib/zookeeper /opt/zookeeper /run/zookeeper; true";
/// The goal is ten seconds; a busy machine is given the double.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(20);
/// The goal is five seconds.
const STALL_LIMIT: Duration = Duration::from_secs(15);

/// The site of a scenario: the demo's inventory with this lab's hosts.
pub(super) struct Site<'a> {
    pub(super) stage: &'a Stage,
    pub(super) inventory: PathBuf,
}

impl<'a> Site<'a> {
    pub(super) fn new(stage: &'a Stage, wanted: &str) -> Result<Self, Error> {
        let inventory = stage.folder.join("inventory");
        let variables = inventory.join("group_vars/all");
        fs::create_dir_all(&variables).doing(|| format!("create {}", variables.display()))?;
        let demo = workspace::root().join("inventories/lab/group_vars/all");
        let lab = stage.lab.directory().inventory();
        let copies = [
            (demo.join("lab.yml"), variables.join("lab.yml")),
            (demo.join("releases.yml"), variables.join("releases.yml")),
            (demo.join("secrets.yml"), variables.join("secrets.yml")),
            (lab.join("hosts"), inventory.join("hosts")),
            (lab.join("group_vars/all/lab.generated.yml"), variables.join("lab.generated.yml")),
        ];
        for (from, to) in copies {
            fs::copy(&from, &to).doing(|| format!("copy {}", from.display()))?;
        }
        let site = Site { stage, inventory };
        site.want(wanted)?;
        // Whatever an earlier scenario left: a cluster without data begins anew.
        for host in stage.lab.hosts() {
            stage.ask(host, FORGET)?;
        }
        Ok(site)
    }

    fn releases(&self) -> PathBuf {
        self.inventory.join("group_vars/all/releases.yml")
    }

    /// Writes the wanted version into the inventory, as somebody with an editor would.
    pub(super) fn want(&self, version: &str) -> Result<(), Error> {
        let path = self.releases();
        let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
        let change = |line: &str| match line.trim_start().starts_with("zookeeper:") {
            true => format!("  zookeeper: \"{version}\""),
            false => line.to_owned(),
        };
        let text: Vec<String> = text.lines().map(change).collect();
        fs::write(&path, text.join("\n") + "\n").doing(|| format!("write {}", path.display()))
    }

    pub(super) fn expect_wanted(&self, version: &str) -> Result<(), Error> {
        let path = self.releases();
        let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
        ensure(text.contains(&format!("zookeeper: \"{version}\"")), || {
            format!("releases.yml does not want {version} but says\n{text}")
        })
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.stage.provision);
        command.args(words).arg("-i").arg(&self.inventory);
        self.stage.settle(&mut command);
        command
    }

    /// `provision` with something about releases.
    pub(super) fn change(&self, words: &[&str]) -> Result<Run, Error> {
        self.stage.run(self.changing(words))
    }

    pub(super) fn changing(&self, words: &[&str]) -> Command {
        let mut command = self.command(words);
        command.arg("--playbooks").arg(workspace::root().join("playbooks"));
        command
    }

    pub(super) fn apply(&self) -> Result<Run, Error> {
        self.apply_with(&[])
    }

    fn apply_with(&self, words: &[&str]) -> Result<Run, Error> {
        self.apply_tags("common,zookeeper", words)
    }

    pub(super) fn apply_tags(&self, tags: &str, words: &[&str]) -> Result<Run, Error> {
        let playbook = workspace::root().join("playbooks/main.yml");
        let mut command = self.command(&["apply", &path_text(&playbook)]);
        command.args(["--tags", tags, "--output", "ndjson"]).args(words);
        self.stage.run(command)
    }

    pub(super) fn members(&self) -> Vec<IpAddr> {
        let lab = &self.stage.lab;
        lab.hosts().iter().map(|host| IpAddr::V4(lab.record().subnet.address(host))).collect()
    }

    fn host_that(&self, is: impl Fn(State) -> bool) -> Result<&Host, Error> {
        let hosts = self.stage.lab.hosts().iter().zip(self.members());
        let found = hosts.into_iter().find(|(_, address)| is(zookeeper::state(*address)));
        found
            .map(|(host, _)| host)
            .ok_or_else(|| Error::refused("find a member of this role", "there is none"))
    }

    /// All members run this release, as the link and the process say.
    pub(super) fn expect_runs(&self, version: &str) -> Result<(), Error> {
        let link = "basename $(readlink /opt/zookeeper/current)";
        self.stage.expect_everywhere(link, version)?;
        let asks = "exec 3<>/dev/tcp/127.0.0.1/2181; printf srvr >&3; \
                    sed -n 's/^Zookeeper version: \\([0-9.]*\\).*/\\1/p' <&3";
        self.stage.expect_everywhere(&format!("bash -c \"{asks}\""), version)
    }
}

pub(super) fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// 3.8.0 → 3.9.3 and back, under a client that writes.
pub(super) fn upgrade(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, OLD)?;
    site.apply()?.expect_exit(&[0])?;
    site.expect_runs(OLD)?;
    let members = site.members();

    let clients = zookeeper::begin(&members);
    let up = site.change(&["upgrade", "zookeeper", NEW, "--yes"])?.expect_exit(&[0])?;
    let (written, watched) = clients.finish()?;
    site.expect_runs(NEW)?;
    site.expect_wanted(NEW)?;
    expect_unharmed("the upgrade", &written, &watched, &members, up.elapsed)?;
    site.apply()?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)?;

    // A stale inventory must not take the cluster back.
    site.want(OLD)?;
    let stale = site.apply()?.expect_exit(&[10])?;
    stale.expect_text(&["provision upgrade zookeeper"])?;
    site.expect_runs(NEW)?;
    site.want(NEW)?;

    let clients = zookeeper::begin(&members);
    let follower = site.host_that(|state| state == State::Up)?.name.clone();
    let one = site.change(&["rollback", "zookeeper", OLD, "--yes", "--hosts", &follower])?;
    let one = one.expect_exit(&[0])?;
    site.expect_wanted(NEW)?;
    let rest = site.change(&["rollback", "zookeeper", OLD, "--yes"])?.expect_exit(&[0])?;
    let (written, watched) = clients.finish()?;
    site.expect_runs(OLD)?;
    site.expect_wanted(OLD)?;
    expect_unharmed("the way back", &written, &watched, &members, one.elapsed + rest.elapsed)?;
    println!("     one host back in {:.1} s", one.elapsed.as_secs_f64());
    ensure(one.elapsed < ROLLBACK_LIMIT, || {
        format!("going back with one host took {:.1} s", one.elapsed.as_secs_f64())
    })?;
    site.apply()?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)
}

pub(super) fn expect_unharmed(
    what: &str,
    written: &zookeeper::Written,
    watched: &zookeeper::Watched,
    members: &[IpAddr],
    elapsed: Duration,
) -> Result<(), Error> {
    println!(
        "     {what}: {:.1} s, {} writes acknowledged, longest stall {:.2} s, {} of {} members up \
         at least, {} changes of the leader",
        elapsed.as_secs_f64(),
        written.count(),
        written.longest_stall.as_secs_f64(),
        watched.fewest_up,
        members.len(),
        watched.changes()
    );
    for member in members {
        let lost = written.lost_on(*member)?;
        ensure(lost == 0, || format!("{lost} acknowledged writes are lost on {member}"))?;
    }
    ensure(written.count() > 100, || format!("only {} writes were done", written.count()))?;
    ensure(watched.fewest_up > members.len() / 2, || {
        format!("only {} members were up at a time: {:?}", watched.fewest_up, watched.story)
    })?;
    ensure(watched.changes() <= 1, || {
        format!("the leader changed {:?}: {:?}", watched.leaders, watched.story)
    })?;
    ensure(written.longest_stall < STALL_LIMIT, || {
        format!("writes stood still for {:.1} s", written.longest_stall.as_secs_f64())
    })
}

/// A plan that is saved is run as it is, and refused when the cluster has changed.
pub(super) fn release_plan(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, OLD)?;
    site.apply()?.expect_exit(&[0])?;
    let plan = path_text(&stage.folder.join("plan.json"));
    let make = ["upgrade", "zookeeper", NEW, "--plan-out", &plan];
    site.change(&make)?.expect_exit(&[0])?.expect_text(&["nothing was touched"])?;
    site.expect_runs(OLD)?;
    let run_plan = || {
        let mut command = Command::new(&stage.provision);
        command.args(["apply", "--plan", &plan]);
        stage.settle(&mut command);
        stage.run(command)
    };
    run_plan()?.expect_exit(&[0])?;
    site.expect_runs(NEW)?;
    // The same plan again: nothing is as it was made for.
    run_plan()?.expect_exit(&[6])?.expect_text(&["stale", "runs 3.9.3"])?;
    let again = site.change(&["upgrade", "zookeeper", NEW, "--yes"])?.expect_exit(&[0])?;
    again.expect_text(&["nothing to do"])?;
    let refused = site.change(&["upgrade", "zookeeper", "3.4.13", "--yes"])?.expect_exit(&[6])?;
    refused.expect_text(&["nothing was touched"])?;
    site.change(&["rollback", "zookeeper", "--yes"])?.expect_exit(&[0])?;
    site.expect_runs(OLD)
}

/// A release that does not start is taken back on the first member, and the run stops.
pub(super) fn bad_release(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, OLD)?;
    site.apply()?.expect_exit(&[0])?;
    // An archive with Consul in it: it unpacks, and Java finds nothing to run.
    let lab = fs::read_to_string(
        stage.lab.directory().inventory().join("group_vars/all/lab.generated.yml"),
    );
    let lab = lab.doing(|| "read the lab's artifacts".to_owned())?;
    let consul: Vec<&str> = lab
        .lines()
        .skip_while(|line| !line.starts_with("  consul:"))
        .skip(2)
        .take_while(|line| line.starts_with("      "))
        .collect();
    let bad = format!("    \"3.9.99\":\n{}\n", consul.join("\n"));
    let path = site.inventory.join("group_vars/all/lab.generated.yml");
    let marker = "  zookeeper:\n";
    fs::write(&path, lab.replace(marker, &format!("{marker}{bad}")))
        .doing(|| format!("write {}", path.display()))?;
    let members = site.members();
    let clients = zookeeper::begin(&members);
    let words = ["upgrade", "zookeeper", "3.9.99", "--yes", "-e", "zookeeper_health_seconds=10"];
    let run = site.change(&words)?.expect_exit(&[14])?;
    let (written, watched) = clients.finish()?;
    run.expect_text(&["is back at 3.8.0"])?;
    site.expect_runs(OLD)?;
    site.expect_wanted(OLD)?;
    expect_unharmed("a bad release", &written, &watched, &members, run.elapsed)?;
    ensure(watched.changes() == 0, || "the leader changed".to_owned())?;
    site.apply()?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)
}

/// kill -9 in the middle of an upgrade, then `resume`.
pub(super) fn resume(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, OLD)?;
    site.apply()?.expect_exit(&[0])?;
    let members = site.members();
    let clients = zookeeper::begin(&members);
    let mut command = site.changing(&["upgrade", "zookeeper", NEW, "--yes"]);
    command.args(["--output", "ndjson"]);
    let mut going = stage.start(command)?;
    going.wait_for("the first member to be taken", |record| {
        let is = |place: &str, word: &str| {
            record.pointer(place).and_then(serde_json::Value::as_str) == Some(word)
        };
        is("/happening/happening", "step_begins") && is("/happening/step/step", "take")
    })?;
    going.kill()?;
    let mut again = Command::new(&stage.provision);
    again.args(["resume", "--lock-wait", "60"]);
    stage.settle(&mut again);
    let run = stage.run(again)?.expect_exit(&[0])?;
    let (written, watched) = clients.finish()?;
    site.expect_runs(NEW)?;
    site.expect_wanted(NEW)?;
    expect_unharmed("the resumed upgrade", &written, &watched, &members, run.elapsed)?;
    site.apply()?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)
}

/// A moment of a run: the record that is waited for, and how long after it.
struct Moment {
    what: &'static str,
    happening: &'static str,
    step: &'static str,
    after: Duration,
}

const fn moment(
    what: &'static str,
    happening: &'static str,
    step: &'static str,
    after_ms: u64,
) -> Moment {
    Moment { what, happening, step, after: Duration::from_millis(after_ms) }
}

/// Each kind of step. What goes on within one isn't told, so times are spread over it.
const MOMENTS: &[Moment] = &[
    moment("before it stages", "step_begins", "stage", 0),
    moment("while it stages", "step_begins", "stage", 150),
    moment("between two steps", "step_ended", "stage", 0),
    moment("while it configures", "step_begins", "take", 100),
    moment("while it switches", "step_begins", "take", 350),
    moment("while it restarts", "step_begins", "take", 600),
    moment("while it waits for health", "step_begins", "take", 1000),
    moment("after a member is done", "step_ended", "take", 0),
    moment("while it lets a member settle", "step_ended", "take", 1500),
];

/// kill -9 at each kind of step, under a client that writes; `resume` brings it to its end.
pub(super) fn kill_anywhere(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, OLD)?;
    site.apply()?.expect_exit(&[0])?;
    let mut is_old = true;
    for moment in MOMENTS {
        if moment.step == "stage" {
            // Only what is not there is staged.
            if !is_old {
                site.change(&["rollback", "zookeeper", OLD, "--yes"])?.expect_exit(&[0])?;
                is_old = true;
            }
            for host in stage.lab.hosts() {
                stage.ask(host, &format!("rm -rf /opt/zookeeper/releases/{NEW}"))?;
            }
        }
        let (word, to) = if is_old { ("upgrade", NEW) } else { ("rollback", OLD) };
        kill_at(&site, moment, word, to)?;
        is_old = !is_old;
    }
    site.apply()?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)
}

fn kill_at(site: &Site<'_>, moment: &Moment, word: &str, to: &str) -> Result<(), Error> {
    let members = site.members();
    let clients = zookeeper::begin(&members);
    let mut command = site.changing(&[word, "zookeeper", to, "--yes"]);
    command.args(["--output", "ndjson"]);
    let mut going = site.stage.start(command)?;
    going.wait_for(moment.what, |record| {
        let is = |place: &str, word: &str| {
            record.pointer(place).and_then(serde_json::Value::as_str) == Some(word)
        };
        is("/happening/happening", moment.happening) && is("/happening/step/step", moment.step)
    })?;
    std::thread::sleep(moment.after);
    going.kill()?;
    let mut again = Command::new(&site.stage.provision);
    again.args(["resume", "--lock-wait", "60"]);
    site.stage.settle(&mut again);
    let run = site.stage.run(again)?.expect_exit(&[0])?;
    let (written, watched) = clients.finish()?;
    site.expect_runs(to)?;
    site.expect_wanted(to)?;
    let what = format!("killed {}, {word} resumed", moment.what);
    expect_unharmed(&what, &written, &watched, &members, run.elapsed)
}

/// Another setting reaches one member after the other.
pub(super) fn reconfigure(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, NEW)?;
    site.apply()?.expect_exit(&[0])?;
    let members = site.members();
    let clients = zookeeper::begin(&members);
    let setting = "zookeeper_tick_milliseconds=2500";
    // The play would restart all at once, so it leaves that to the planner.
    let run = site.apply_with(&["-e", setting])?.expect_exit(&[0])?;
    let (written, watched) = clients.finish()?;
    stage.expect_everywhere("grep tickTime /etc/zookeeper/zoo.cfg", "tickTime=2500")?;
    stage.expect_everywhere(
        "sha256sum --check --status /run/zookeeper/started && echo same",
        "same",
    )?;
    expect_unharmed("another tickTime", &written, &watched, &members, run.elapsed)?;
    // What has not changed is not restarted.
    let started = "systemctl show -p ExecMainStartTimestampMonotonic --value zookeeper";
    let times = |site: &Site<'_>| -> Result<Vec<String>, Error> {
        let hosts = site.stage.lab.hosts().iter();
        hosts.map(|host| site.stage.ask(host, started)).collect()
    };
    let before = times(&site)?;
    let words = ["reconfigure", "zookeeper", "--yes", "-e", setting];
    site.change(&words)?.expect_exit(&[0])?;
    let after = times(&site)?;
    ensure(before == after, || format!("members started at {before:?}, then at {after:?}"))?;
    let last = site.apply_with(&["-e", setting])?.expect_exit(&[0])?;
    last.expect_count(&stage.lab, "changed", 0)
}
