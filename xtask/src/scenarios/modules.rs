//! `[io]` Modules whose work is between machines.

use std::fs;
use std::path::Path;

use super::stage::{Stage, ensure};
use crate::error::{Doing, Error};

/// Files arrive as another user, what is too much goes, and nothing is done twice.
pub(super) fn synchronize(stage: &Stage) -> Result<(), Error> {
    let fetched = stage.folder.join("fetched");
    for host in stage.lab.hosts() {
        let folder = fetched.join(&host.name);
        fs::create_dir_all(&folder).doing(|| format!("make {}", folder.display()))?;
    }
    let mut first = stage.apply("synchronize.yml");
    first.args(["-e", "first=true"]);
    let run = stage.run(first)?.expect_exit(&[0])?;
    run.expect_count(&stage.lab, "failed", 0)?;
    run.expect_count(&stage.lab, "changed", 6)?;
    let place = &stage.place;
    stage.expect_everywhere(
        &format!("ls {place} {place}-copy | grep -c j2; test -e {place}/old || echo gone"),
        "4\ngone",
    )?;
    for host in stage.lab.hosts() {
        for name in ["equal.conf.j2", "service.conf.j2"] {
            let (theirs, ours) =
                (fetched.join(&host.name).join(name), stage.folder.join("templates").join(name));
            let read = |path: &Path| fs::read(path).doing(|| format!("read {}", path.display()));
            ensure(read(&theirs)? == read(&ours)?, || format!("{} differs", theirs.display()))?;
        }
    }
    stage
        .run(stage.apply("synchronize.yml"))?
        .expect_exit(&[0])?
        .expect_count(&stage.lab, "changed", 0)
}

/// The playbook itself says what must come of it.
pub(super) fn sysvinit(stage: &Stage) -> Result<(), Error> {
    let run = stage.run(stage.apply("sysvinit.yml"))?.expect_exit(&[0])?;
    run.expect_count(&stage.lab, "failed", 0)?;
    let enabled = "ls /etc/rc?.d | grep -c '^S..cron$'; systemctl is-active cron";
    stage.expect_everywhere(enabled, "4\nactive")
}
