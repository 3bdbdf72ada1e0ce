//! `synchronize`: rsync runs on this machine, or on the delegate, and reaches the host over ssh with
//! what the host's own connection uses.
//!
//! The program `ssh` is another one than our SSH client, so what matters of its options is written
//! out for it: user, port, keys, jump hosts, and which host keys are trusted.

use std::path::Path;

use provision_protocol::{Become, Call, Object};
use provision_ssh::{ConnectOptions, Destination, HostKeyPolicy};
use serde_json::Value as Json;

use crate::channel::Endpoint;
use crate::evaluate::Evaluator;
use crate::outside;
use crate::prepare::Prepared;

/// The module's name.
pub(crate) const NAME: &str = "synchronize";

/// Finds the side that is on this machine: below `files` of the role or the playbook, like those of
/// `copy`. Where rsync runs elsewhere, its paths are that machine's.
pub(crate) fn find_local_side(evaluator: &Evaluator<'_>, prepared: &mut Prepared, is_here: bool) {
    if !is_here {
        return;
    }
    let pulls = text(&prepared.arguments, "mode") == "pull";
    let name = if pulls { "dest" } else { "src" };
    let path = text(&prepared.arguments, name);
    if path.starts_with(['/', '~']) || path.contains(':') || path.is_empty() {
        return;
    }
    // `folder/` is what is in it.
    let end = if path.ends_with('/') { "/" } else { "" };
    let playbook = &evaluator.view.world.settings.playbook_folder;
    let found = match pulls {
        true => playbook.join(&path),
        false => outside::find(&evaluator.view, "files", &path)
            .unwrap_or_else(|_| playbook.join("files").join(&path)),
    };
    let found = found.display().to_string();
    prepared.arguments.insert(name.into(), format!("{}{end}", found.trim_end_matches('/')).into());
}

/// Whether rsync runs on this machine.
pub(crate) fn is_here(module: &str, delegate: Option<&str>) -> bool {
    module == NAME && delegate.is_none()
}

/// Names the host in the arguments of a call. Where rsync runs on the host itself, or the host is
/// this machine, both paths stay as they are.
pub(crate) fn complete(
    call: &mut Call,
    host: &str,
    delegate: Option<&str>,
    endpoint: Result<Endpoint, String>,
) {
    if delegate == Some(host) {
        return;
    }
    let (destination, options, program) = match endpoint {
        Ok(Endpoint::Ssh { destination, options, program, .. }) => (destination, options, program),
        Ok(Endpoint::Local { .. }) => return,
        Err(message) => {
            call.arguments.insert("_refused".into(), message.into());
            return;
        }
    };
    match connect(call, delegate.is_some(), &destination, &options) {
        Err(message) => _ = call.arguments.insert("_refused".into(), message.into()),
        Ok(()) => {
            // The ssh that connects otherwise does it here, too; a delegate has its own ways.
            if let Some(program) = program.filter(|_| delegate.is_none()) {
                let words: Vec<String> = program.command().map(quoted).collect();
                call.arguments.insert("_rsh".into(), words.join(" ").into());
            }
        }
    }
    call.r#become = None;
}

fn connect(
    call: &mut Call,
    is_delegated: bool,
    destination: &Destination,
    options: &ConnectOptions,
) -> Result<(), String> {
    if options.password.is_some() {
        return Err("synchronize logs in with a key: there is no way to hand the password of the \
                    connection to rsync's ssh"
            .to_owned());
    }
    let arguments = &mut call.arguments;
    if text(arguments, "rsync_path").is_empty()
        && let Some(path) = call.r#become.as_ref().map(privileged).transpose()?
    {
        arguments.insert("rsync_path".into(), path.into());
    }
    let rsh = remote_shell(arguments, is_delegated, destination, options);
    arguments.insert("_rsh".into(), rsh.into());
    let name = if text(arguments, "mode") == "pull" { "src" } else { "dest" };
    let path = text(arguments, name);
    if path.contains("://") {
        return Ok(());
    }
    let user = destination.user.as_ref().filter(|_| flag(arguments, "set_remote_user", true));
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let host = match destination.host.contains(':') {
        true => format!("[{}]", destination.host),
        false => destination.host.clone(),
    };
    arguments.insert(name.into(), format!("{user}{host}:{path}").into());
    Ok(())
}

/// The rsync at the other end as another user: nobody can be asked for a password there.
fn privileged(wanted: &Become) -> Result<String, String> {
    match wanted.method.as_str() {
        "sudo" => Ok(format!("sudo -n -u {} rsync", wanted.user)),
        other => Err(format!("synchronize becomes another user with sudo, not with {other}")),
    }
}

/// The words of `ssh`, as rsync splits them: at blanks, quotes hold.
fn remote_shell(
    arguments: &Object,
    is_delegated: bool,
    destination: &Destination,
    options: &ConnectOptions,
) -> String {
    let mut words: Vec<String> = vec!["ssh".into()];
    let mut add = |some: &[&str]| words.extend(some.iter().map(|word| quoted(word)));
    if !flag(arguments, "ssh_connection_multiplexing", false) {
        add(&["-S", "none"]);
    }
    // A question would wait for ever.
    add(&["-o", "BatchMode=yes"]);
    let port =
        arguments.get("dest_port").and_then(Json::as_u64).or(destination.port.map(u64::from));
    if let Some(port) = port {
        add(&["-p", &port.to_string()]);
    }
    let key = text(arguments, "private_key");
    match key.is_empty() {
        true if is_delegated => {}
        true => {
            for file in &options.identity_files {
                add(&["-i", &file.display().to_string()]);
            }
        }
        false => add(&["-i", &key]),
    }
    if options.identities_only == Some(true) {
        add(&["-o", "IdentitiesOnly=yes"]);
    }
    if let Some(limit) = options.connect_timeout {
        add(&["-o", &format!("ConnectTimeout={}", limit.as_secs().max(1))]);
    }
    let jumps: Vec<String> = options.jump.iter().flatten().map(hop).collect();
    if !jumps.is_empty() {
        add(&["-J", &jumps.join(",")]);
    }
    for option in host_keys(arguments, is_delegated, options) {
        add(&["-o", &option]);
    }
    words.join(" ")
}

fn hop(hop: &Destination) -> String {
    let user = hop.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    let port = hop.port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("{user}{}{port}", hop.host)
}

/// This machine trusts the keys that the connection trusts. What a delegate knows is unknown here,
/// so it trusts, as with Ansible, any key unless `verify_host` is set.
fn host_keys(arguments: &Object, is_delegated: bool, options: &ConnectOptions) -> Vec<String> {
    let any = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"].map(str::to_owned);
    let verifies = flag(arguments, "verify_host", false);
    if is_delegated {
        return if verifies { Vec::new() } else { any.to_vec() };
    }
    let policy = match options.host_key_policy {
        Some(HostKeyPolicy::Off) if !verifies => return any.to_vec(),
        Some(HostKeyPolicy::AcceptNew) => "accept-new",
        _ => "yes",
    };
    let files: Vec<String> = options.known_hosts_files.iter().map(|file| shown(file)).collect();
    let mut all = vec![format!("StrictHostKeyChecking={policy}")];
    if !files.is_empty() {
        all.push(format!("UserKnownHostsFile={}", files.join(" ")));
    }
    all
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// rsync splits its remote shell at blanks outside of quotes.
fn quoted(word: &str) -> String {
    match word.contains([' ', '\'', '"', '\\']) {
        true if word.contains('\'') => format!("\"{word}\""),
        true => format!("'{word}'"),
        false => word.to_owned(),
    }
}

fn text(arguments: &Object, name: &str) -> String {
    arguments.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
}

fn flag(arguments: &Object, name: &str, default: bool) -> bool {
    arguments.get(name).and_then(Json::as_bool).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use provision_protocol::Call;
    use serde_json::json;

    use super::*;

    fn call(arguments: Json, user: Option<&str>) -> Call {
        let Json::Object(arguments) = arguments else { panic!("no mapping") };
        let r#become =
            user.map(|user| Become { user: user.into(), method: "sudo".into(), flags: Vec::new() });
        Call { module: NAME.into(), arguments, r#become, ..Call::remembering(vec![], vec![]) }
    }

    fn endpoint() -> Endpoint {
        let mut destination: Destination = "deploy@192.0.2.7:2222".parse().unwrap();
        destination.user = Some("deploy".into());
        let options = ConnectOptions {
            identity_files: vec!["/home/ada/a key".into()],
            known_hosts_files: vec!["/lab/known_hosts".into()],
            jump: Some(vec!["ada@gate:22".parse().unwrap()]),
            ..ConnectOptions::default()
        };
        Endpoint::Ssh {
            destination,
            options: Box::new(options),
            become_password: None,
            program: None,
        }
    }

    #[test]
    fn the_host_is_named_with_its_connection() {
        let mut push = call(json!({"src": "/a/", "dest": "/b"}), Some("root"));
        complete(&mut push, "h1", None, Ok(endpoint()));
        assert_eq!(push.arguments["dest"], "deploy@192.0.2.7:/b");
        assert_eq!(push.arguments["src"], "/a/");
        assert_eq!(push.arguments["rsync_path"], "sudo -n -u root rsync");
        assert_eq!(
            push.arguments["_rsh"],
            "ssh -S none -o BatchMode=yes -p 2222 -i '/home/ada/a key' -J ada@gate:22 -o \
             StrictHostKeyChecking=yes -o UserKnownHostsFile=/lab/known_hosts"
        );
        assert_eq!(push.r#become, None);
        let mut pull =
            call(json!({"src": "b", "dest": "/a", "mode": "pull", "set_remote_user": false}), None);
        complete(&mut pull, "h1", Some("h2"), Ok(endpoint()));
        assert_eq!(pull.arguments["src"], "192.0.2.7:b");
        assert_eq!(
            pull.arguments["_rsh"],
            "ssh -S none -o BatchMode=yes -p 2222 -J ada@gate:22 -o StrictHostKeyChecking=no -o \
             UserKnownHostsFile=/dev/null"
        );
    }

    #[test]
    fn on_one_machine_nothing_is_added() {
        let given = call(json!({"src": "/a/", "dest": "/b"}), Some("root"));
        for (delegate, way) in
            [(Some("h1"), endpoint()), (None, Endpoint::Local { become_password: None })]
        {
            let mut here = given.clone();
            complete(&mut here, "h1", delegate, Ok(way));
            assert_eq!(here, given);
        }
    }

    #[test]
    fn what_cannot_be_handed_on_is_refused() {
        let mut refused = call(json!({"src": "/a", "dest": "/b"}), None);
        let mut way = endpoint();
        if let Endpoint::Ssh { options, .. } = &mut way {
            options.password = Some(provision_ssh::Secret::new("x".to_owned()));
        }
        complete(&mut refused, "h1", None, Ok(way));
        assert!(refused.arguments["_refused"].as_str().unwrap().contains("logs in with a key"));
    }
}
