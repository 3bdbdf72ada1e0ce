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

/// The system's ssh connects, once a host, through a program that only it would call; what it says
/// when it can't is told.
pub(super) fn openssh(stage: &Stage) -> Result<(), Error> {
    let (proxy, log) = (stage.folder.join("proxy.sh"), stage.folder.join("proxied"));
    let script = format!(
        "#!/bin/bash\necho x >> {}\nexec 3<>/dev/tcp/$1/$2\ncat <&3 &\ncat >&3\nkill $!\n",
        log.display()
    );
    fs::write(&proxy, script).doing(|| format!("write {}", proxy.display()))?;
    let apply = |arguments: &str| {
        let mut command = stage.apply("openssh.yml");
        command.args(["--transport", "openssh", "-e", arguments]);
        stage.run(command)
    };
    let proxied =
        format!("ansible_ssh_extra_args='-o ProxyCommand=\"bash {} %h %p\"'", proxy.display());
    for changed in [1, 0] {
        let run = apply(&proxied)?.expect_exit(&[0])?;
        run.expect_count(&stage.lab, "changed", changed)?;
    }
    let connections = fs::read_to_string(&log).doing(|| format!("read {}", log.display()))?;
    let expected = 2 * stage.lab.hosts().len();
    ensure(connections.lines().count() == expected, || {
        format!("ssh connected {} times and not {expected}", connections.lines().count())
    })?;
    let stranger = apply("ansible_ssh_common_args='-o UserKnownHostsFile=/dev/null'")?;
    stranger.expect_exit(&[11])?.expect_text(&["Host key verification failed", "see what ssh says"])
}
