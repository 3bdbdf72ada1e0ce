//! `[io]` Scenarios about keys, users and ways to a host.

use std::fs;
use std::process::Command;

use super::stage::{Stage, ensure};
use crate::error::{Doing, Error};
use crate::lab::keys;

pub(super) fn host_key(stage: &Stage) -> Result<(), Error> {
    let host = stage.lab.host("h1")?;
    let address = stage.lab.record().subnet.address(host);
    let other = stage.folder.join("other_key");
    keys::generate(&other, "another host")?;
    let public = other.with_extension("pub");
    let key = fs::read_to_string(&public).doing(|| format!("read {}", public.display()))?;
    let known = stage.folder.join("known_hosts");
    let write = |text: &str| fs::write(&known, text).doing(|| format!("write {}", known.display()));
    let arguments = format!("-o UserKnownHostsFile={} -o IdentitiesOnly=yes", known.display());
    let variables = [("ansible_user", "root"), ("ansible_ssh_common_args", arguments.as_str())];
    let inventory = stage.inventory(&["h1"], &variables)?;
    let apply = || stage.apply_with("site.yml", &inventory);

    write(&format!("{address} {key}"))?;
    let wrong = stage.run(apply())?.expect_exit(&[11])?;
    wrong.expect_text(&["key", "SHA256:"])?;
    let mut accepting = apply();
    accepting.arg("--accept-new-host-keys");
    stage.run(accepting)?.expect_exit(&[11])?;
    ensure(stage.ask(host, &format!("ls -d {} || true", stage.place))?.is_empty(), || {
        "something was done on a host with a wrong key".to_owned()
    })?;

    write("")?;
    stage.run(apply())?.expect_exit(&[11])?.expect_text(&["provision trust"])?;
    let mut trust = Command::new(&stage.provision);
    trust.args(["trust", "--yes", "-i"]).arg(&inventory).arg("--known-hosts").arg(&known);
    stage.settle(&mut trust);
    stage.run(trust)?.expect_exit(&[0])?;
    stage.run(apply())?.expect_exit(&[0]).map(drop)
}

pub(super) fn sudo_password(stage: &Stage) -> Result<(), Error> {
    let known = stage.known_hosts();
    let variables = [
        ("ansible_user", "admin"),
        ("ansible_become", "true"),
        ("ansible_ssh_common_args", known.as_str()),
    ];
    let inventory = stage.inventory(&["h1", "h2"], &variables)?;
    let apply = || {
        let mut command = stage.apply_with("who.yml", &inventory);
        command.args(["-K", "-e", "expected=root"]);
        command
    };
    let wrong = stage.run_with_input(apply(), "wrong\n")?.expect_exit(&[10, 11, 12])?;
    wrong.expect_text(&["password"])?;
    ensure(!wrong.text().contains("\"lab\""), || "a password is in the output".to_owned())?;
    stage.run_with_input(apply(), "lab\n")?.expect_exit(&[0]).map(drop)
}

pub(super) fn become_user(stage: &Stage) -> Result<(), Error> {
    let known = stage.known_hosts();
    for login in ["root", "deploy"] {
        let variables = [("ansible_user", login), ("ansible_ssh_common_args", known.as_str())];
        let inventory = stage.inventory(&["h1", "h2"], &variables)?;
        let mut command = stage.apply_with("who.yml", &inventory);
        let place = format!("{}-{login}", stage.place);
        command.args(["-b", "--become-user", "admin", "-e", "expected=admin"]);
        command.args(["-e", &format!("place={place}")]);
        stage.run(command)?.expect_exit(&[0])?;
        for name in ["h1", "h2"] {
            let script = "stat -c '%U %a' /home/admin/written";
            let found = stage.ask(stage.lab.host(name)?, script)?;
            ensure(found == "admin 640", || format!("on {name}, from {login}: {found}"))?;
            stage.ask(stage.lab.host(name)?, "rm /home/admin/written")?;
        }
    }
    Ok(())
}

pub(super) fn jump_host(stage: &Stage) -> Result<(), Error> {
    let known = stage.known_hosts();
    let variables = [
        ("ansible_user", "deploy"),
        ("ansible_become", "true"),
        ("ansible_ssh_common_args", known.as_str()),
    ];
    let inventory = stage.inventory(&["h1", "h3"], &variables)?;
    let (jump, behind) = (stage.lab.host("h2")?, stage.lab.host("h1")?);
    let address = stage.lab.record().subnet.address(jump);
    let mut command = stage.apply_with("site.yml", &inventory);
    command.args(["-J", &format!("deploy@{address}")]);
    // The jump host's key and ours are no variables of the inventory.
    let arguments = format!("{known} -i {}", stage.lab.directory().private_key().display());
    command.args(["--ssh-common-args", &arguments]);
    stage.run(command)?.expect_exit(&[0])?;
    let script = format!(
        "journalctl -q -u ssh --no-pager | grep -c 'Accepted publickey for deploy from {address} ' || true"
    );
    let count = stage.ask(behind, &script)?;
    ensure(count.parse::<u32>().is_ok_and(|count| count > 0), || {
        "the connection didn't come from the jump host".to_owned()
    })
}
