//! `[io]` A service of somebody's own: a tarball, a unit, a command that tells health. Code is
//! pushed to three hosts, one at a time; a bad push is taken back.

use std::fs;

use sha2::{Digest, Sha256};

use super::releases::{Site, path_text};
use super::stage::{Run, Stage, ensure};
use crate::error::{Doing, Error};
use crate::lab::artifacts::repack::Archive;
use crate::lab::directories::Cache;
use crate::lab::mirror;
use crate::workspace;

const ZOOKEEPER: &str = "3.8.0";
const FORGET: &str = "systemctl stop myapp 2>/dev/null; rm -rf /opt/myapp /etc/myapp \
                      /etc/systemd/system/myapp.service /var/lib/myapp; systemctl daemon-reload";
/// Says what it is, every second.
const PROGRAM: &str = "#!/bin/bash\nwhile true; do\n  cp version \"$STATE_DIRECTORY/alive\"\n  \
                       sleep 1\ndone\n";
/// Runs, and does nothing.
const BAD_PROGRAM: &str = "#!/bin/bash\nexec sleep infinity\n";
/// This release has said so within the last seconds.
const CHECK: &str = "#!/bin/bash\nfound=$(find /var/lib/myapp/alive -newermt '3 seconds ago' \
                     2>/dev/null)\nif [ -z \"$found\" ] || ! cmp -s version \"$found\"; then\n  \
                     echo \"no sign of life of $(cat version)\" >&2\n  exit 1\nfi\n";
const SERVICES: &str = "services:\n  myapp:\n    group: web\n    command: bin/myapp\n    \
                        health: bin/check\n    health_seconds: 6\n    \
                        environment: {GREETING: \"a \\\"quoted\\\" word\"}\n    \
                        secrets: {TOKEN: \"swordfish\"}\n";

/// Archives of these releases, where the lab's mirror serves them. They are named by their digest
/// and removed again.
struct Published {
    files: Vec<std::path::PathBuf>,
    artifacts: String,
}

impl Published {
    fn new(stage: &Stage, versions: &[(&str, &str)]) -> Result<Self, Error> {
        let mirror = mirror::url(stage.lab.record().subnet);
        let folder = Cache::of_environment().artifacts();
        let mut published = Published { files: Vec::new(), artifacts: "  myapp:\n".to_owned() };
        for (version, program) in versions {
            let mut archive = Archive::default();
            archive.add_program("bin/myapp", program.as_bytes().to_vec());
            archive.add_program("bin/check", CHECK.as_bytes().to_vec());
            archive.add("version", format!("{version}\n").into_bytes());
            let root = format!("myapp-{version}");
            let bytes = archive.to_tar_gz(&root).doing(|| format!("pack {root}"))?;
            let sha256 = hex::encode(Sha256::digest(&bytes));
            let name = format!("{root}-{sha256}.tar.gz");
            let file = folder.join(&name);
            fs::write(&file, &bytes).doing(|| format!("write {}", file.display()))?;
            published.files.push(file);
            published.artifacts.push_str(&format!(
                "    \"{version}\": {{url: \"{mirror}/artifacts/{name}\", sha256: {sha256}, \
                 root: {root}}}\n"
            ));
        }
        Ok(published)
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}

fn append(path: &std::path::Path, text: &str) -> Result<(), Error> {
    let before = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, before + text).doing(|| format!("write {}", path.display()))
}

fn apply(site: &Site<'_>) -> Result<Run, Error> {
    let playbook = workspace::root().join("playbooks/main.yml");
    let mut command = site.command(&["apply", &path_text(&playbook), "--tags", "services"]);
    command.args(["--output", "ndjson"]);
    site.stage.run(command)
}

fn expect_runs(site: &Site<'_>, version: &str) -> Result<(), Error> {
    site.stage.expect_everywhere("cat /run/myapp-started/release", version)?;
    site.stage.expect_everywhere("systemctl is-active myapp", "active")
}

/// When the service was started, by host, in microseconds of the one clock that all hosts have.
fn starts(site: &Site<'_>) -> Result<Vec<u64>, Error> {
    let ask = "systemctl show -p ExecMainStartTimestampMonotonic --value myapp";
    let hosts = site.stage.lab.hosts().iter();
    hosts.map(|host| Ok(site.stage.ask(host, ask)?.parse().unwrap_or_default())).collect()
}

/// Installed, pushed, pushed badly, taken back, removed.
pub(super) fn code_push(stage: &Stage) -> Result<(), Error> {
    let site = Site::new(stage, ZOOKEEPER)?;
    for host in stage.lab.hosts() {
        stage.ask(host, FORGET)?;
    }
    let versions = [("1.0.0", PROGRAM), ("1.1.0", PROGRAM), ("1.2.0", BAD_PROGRAM)];
    let published = Published::new(stage, &versions)?;
    let variables = site.inventory.join("group_vars/all");
    append(&variables.join("lab.generated.yml"), &published.artifacts)?;
    append(&variables.join("services.yml"), SERVICES)?;
    append(&variables.join("releases.yml"), "  myapp: \"1.0.0\"\n")?;
    append(&site.inventory.join("hosts"), "\n[web:children]\nzookeeper\n")?;

    apply(&site)?.expect_exit(&[0])?;
    expect_runs(&site, "1.0.0")?;
    apply(&site)?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)?;
    let process = "tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value myapp)/environ \
                   | grep -E '^(GREETING|TOKEN)=' | sort | tr '\\n' ' '";
    stage.expect_everywhere(process, "GREETING=a \"quoted\" word TOKEN=swordfish")?;
    let unknown = site.change(&["upgrade", "myap", "1.1.0", "--yes"])?.expect_exit(&[3])?;
    unknown.expect_text(&["did you mean myapp?"])?;

    let words = ["upgrade", "myapp", "1.1.0", "--yes", "--max-unavailable", "1"];
    site.change(&words)?.expect_exit(&[0])?.expect_text(&["myapp 1.1.0 on h1, h2, h3"])?;
    expect_runs(&site, "1.1.0")?;
    // One at a time: each had settled before the next was taken.
    let mut starts = starts(&site)?;
    starts.sort_unstable();
    let gaps = starts.iter().zip(starts.iter().skip(1)).map(|(one, next)| next - one);
    let apart = gaps.min().unwrap_or_default();
    ensure(apart > 2_000_000, || format!("two hosts restarted {apart} µs one after the other"))?;

    let bad = site.change(&["upgrade", "myapp", "1.2.0", "--yes"])?.expect_exit(&[14])?;
    bad.expect_text(&["is back at 1.1.0", "ends with 1: no sign of life of 1.2.0"])?;
    expect_runs(&site, "1.1.0")?;
    apply(&site)?.expect_exit(&[0])?.expect_count(&stage.lab, "changed", 0)?;

    site.change(&["rollback", "myapp", "1.0.0", "--yes"])?.expect_exit(&[0])?;
    expect_runs(&site, "1.0.0")?;
    by_plays(&site)
}

/// The plain plays know services, too.
fn by_plays(site: &Site<'_>) -> Result<(), Error> {
    let play = |name: &str, says: &str| {
        let playbook = workspace::root().join("playbooks").join(name);
        let says = format!("hosts_env=web app_env=myapp {says}");
        let mut command = site.command(&["apply", &path_text(&playbook), "-e", &says]);
        command.args(["--output", "ndjson"]);
        site.stage.run(command)
    };
    play("upgrade.yml", "version_env=1.1.0")?.expect_exit(&[0])?;
    expect_runs(site, "1.1.0")?;
    let bad = play("upgrade.yml", "version_env=1.2.0")?.expect_exit(&[10, 13])?;
    bad.expect_text(&["could not be brought to 1.2.0", "is back at 1.1.0"])?;
    expect_runs(site, "1.1.0")?;
    play("remove.yml", "purge_env=true")?.expect_exit(&[0])?;
    let left =
        "systemctl is-active myapp; ls -d /opt/myapp /etc/myapp /var/lib/myapp 2>/dev/null; true";
    site.stage.expect_everywhere(left, "inactive")
}
