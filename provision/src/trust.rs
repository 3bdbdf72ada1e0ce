//! `provision trust`: look at the keys of hosts, then store them.

use std::path::PathBuf;
use std::sync::Arc;

use provision_engine::channel::Endpoint;
use provision_engine::connection::{self, ConnectionDefaults};
use provision_engine::keyring::Keyring;
use provision_engine::load::{LoadRequest, load};
use provision_playbook::Dialect;
use provision_ssh::{Client, HostName, KnownHosts, NameStorage, Verdict};

use crate::apply;
use crate::arguments::Trust;
use crate::exit::Exit;
use crate::paint;
use crate::passwords;
use crate::prompt;

/// Shows the keys of hosts and adds those that are not known.
pub async fn trust(arguments: Trust) -> Exit {
    if arguments.reach.inventory.is_empty() {
        return apply::no_inventory();
    }
    let keyring = match passwords::vault(&arguments.passwords) {
        Ok(vault) => Arc::new(Keyring::new(vault)),
        Err(failure) => return failure.show(),
    };
    let request = LoadRequest {
        keyring,
        discovery: apply::discovery(false, &arguments.reach),
        inventories: arguments.reach.inventory.clone(),
        extra_variables: arguments.reach.extra_vars.clone(),
        ..LoadRequest::new(Dialect::Classic)
    };
    let loaded = match load(&request) {
        Ok(loaded) => loaded,
        Err(failure) => return apply::refuse(&failure),
    };
    let defaults = match apply::connection(&arguments.reach, false) {
        Ok(defaults) => defaults,
        Err(message) => {
            paint::error(&message, None);
            return Exit::Usage;
        }
    };
    let client = match Client::new(apply::client(&arguments.reach)) {
        Ok(client) => client,
        Err(error) => {
            paint::error(&error.to_string(), Some(&error.hint()));
            return Exit::Environment;
        }
    };
    let names: Vec<String> = if arguments.hosts.is_empty() {
        loaded.inventory.hosts().map(|host| host.name.to_string()).collect()
    } else {
        arguments.hosts.clone()
    };
    let mut unreachable = false;
    let mut refused = false;
    for name in names {
        let host = loaded.world.host_or_new(&name);
        match trust_one(&client, &loaded, &host, &defaults, &arguments).await {
            Ok(()) => {}
            Err(Problem::Unreachable(message)) => {
                unreachable = true;
                paint::error(&message, None);
            }
            Err(Problem::Refused(message)) => {
                refused = true;
                paint::error(&message, Some("find out why before you remove the old key"));
            }
        }
    }
    match (refused, unreachable) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Unreachable,
        (false, false) => Exit::Done,
    }
}

enum Problem {
    Unreachable(String),
    Refused(String),
}

async fn trust_one(
    client: &Client,
    loaded: &provision_engine::load::Loaded,
    host: &provision_engine::variables::HostVariables,
    defaults: &ConnectionDefaults,
    arguments: &Trust,
) -> Result<(), Problem> {
    let endpoint =
        connection::endpoint(&loaded.world, host, defaults).map_err(Problem::Unreachable)?;
    let Endpoint::Ssh { destination, options, .. } = endpoint else { return Ok(()) };
    let keys = client.scan(&destination, &options).await.map_err(|error| {
        Problem::Unreachable(format!("{}: {error}: {}", host.name, error.hint()))
    })?;
    let file = known_hosts_file(arguments, &options.known_hosts_files);
    let name = HostName::new(&destination.host, destination.port.unwrap_or(22));
    let known = KnownHosts::load(std::slice::from_ref(&file))
        .map_err(|(path, error)| Problem::Refused(format!("{}: {error}", path.display())))?;
    let mut unknown = Vec::new();
    say!("{} ({})", host.name, destination);
    for key in keys {
        let state = match known.verdict(&name, &key) {
            Verdict::Known(_) => "known",
            Verdict::Unknown { .. } => {
                unknown.push(key.clone());
                "new"
            }
            Verdict::Changed { .. } | Verdict::Revoked(_) => {
                return Err(Problem::Refused(format!(
                    "{}: the {} key {} is not the one in {}",
                    host.name,
                    key.algorithm(),
                    key.fingerprint(),
                    file.display()
                )));
            }
        };
        say!("  {:<20} {}  {state}", key.algorithm(), key.fingerprint());
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let question = format!("add {} keys to {}?", unknown.len(), file.display());
    if !arguments.yes && !prompt::confirm(&question) {
        return Err(Problem::Refused(format!("{}: not trusted", host.name)));
    }
    KnownHosts::append(&file, &name, &unknown, NameStorage::Plain)
        .map_err(|error| Problem::Refused(format!("{}: {error}", file.display())))
}

fn known_hosts_file(arguments: &Trust, of_inventory: &[PathBuf]) -> PathBuf {
    if let Some(file) = &arguments.known_hosts {
        return file.clone();
    }
    if let Some(file) = of_inventory.first() {
        return file.clone();
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    home.join(".ssh/known_hosts")
}
