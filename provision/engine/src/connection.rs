//! How to reach a host: its connection variables, then what the command line says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use provision_ssh::{ConnectOptions, Destination, HostKeyPolicy, Secret};
use provision_template::Value;
use tokio::sync::Semaphore;

use crate::channel::Endpoint;
use crate::openssh::OpenSsh;
use crate::outside::Outside;
use crate::variables::{HostVariables, View};
use crate::words;
use crate::world::World;

/// What the command line says about connections. Variables of a host win over it, as in Ansible.
#[derive(Debug, Clone, Default)]
pub struct ConnectionDefaults {
    /// `--user`.
    pub user: Option<String>,
    /// `--private-key`.
    pub private_key: Option<PathBuf>,
    /// `--ask-pass`.
    pub password: Option<Secret>,
    /// `--ask-become-pass`.
    pub become_password: Option<Secret>,
    /// `--timeout`.
    pub connect_timeout: Option<Duration>,
    /// `--jump`.
    pub jump: Vec<Destination>,
    /// `--accept-new`: unknown host keys are stored.
    pub accept_new: bool,
    /// `--connection local`.
    pub local: bool,
    /// `--ssh-common-args`.
    pub ssh_arguments: Option<String>,
    /// `--transport openssh`: handshakes of the system's ssh that may be under way at a time.
    pub openssh: Option<Arc<Semaphore>>,
}

/// The way to a host.
///
/// # Errors
/// When a variable can't be evaluated or asks for something that isn't supported.
pub fn endpoint(
    world: &Arc<World>,
    host: &HostVariables,
    defaults: &ConnectionDefaults,
) -> Result<Endpoint, String> {
    let shared = world.host_or_new(&host.name);
    let variables = Variables { view: View::of_host(world, &shared), name: &host.name };
    let become_password = variables
        .first(&["ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"])?
        .map(Secret::new)
        .or_else(|| defaults.become_password.clone());
    let connection = variables.first(&["ansible_connection"])?;
    let implicit = host.name == "localhost" || host.name == "127.0.0.1";
    let is_local = match connection.as_deref() {
        Some("local" | "ansible.builtin.local") => true,
        Some("ssh" | "smart" | "paramiko" | "ansible.builtin.ssh") => false,
        Some(other) => {
            return Err(format!("{}: connection `{other}` is not supported", host.name));
        }
        None => defaults.local || (implicit && variables.first(&["ansible_host"])?.is_none()),
    };
    if is_local {
        return Ok(Endpoint::Local { become_password });
    }
    let destination = Destination {
        host: variables
            .first(&["ansible_host", "ansible_ssh_host"])?
            .unwrap_or_else(|| host.name.clone()),
        port: variables.port()?,
        user: variables
            .first(&["ansible_user", "ansible_ssh_user"])?
            .or_else(|| defaults.user.clone()),
    };
    let options = options(&variables, defaults)?;
    let program = match &defaults.openssh {
        None => None,
        Some(turns) => {
            let written = written_arguments(&variables, defaults)?;
            let mut words = Vec::new();
            for (name, text) in written {
                let split = words::split(&text);
                words.extend(split.map_err(|error| format!("{}: {name}: {error}", host.name))?);
            }
            let program = variables.first(&["ansible_ssh_executable"])?;
            let made = OpenSsh::new(program, words, &destination, &options, turns.clone());
            Some(made.map_err(|error| format!("{}: {error}", host.name))?)
        }
    };
    Ok(Endpoint::Ssh { destination, options: Box::new(options), become_password, program })
}

/// The address that variables give a host, if they do and it isn't its name.
pub fn address(world: &Arc<World>, host: &Arc<HostVariables>) -> Option<String> {
    let variables = Variables { view: View::of_host(world, host), name: &host.name };
    let address = variables.first(&["ansible_host", "ansible_ssh_host"]).ok()??;
    (address != host.name).then_some(address)
}

fn options(
    variables: &Variables<'_>,
    defaults: &ConnectionDefaults,
) -> Result<ConnectOptions, String> {
    let mut options = ConnectOptions::default();
    let key = variables
        .first(&["ansible_ssh_private_key_file", "ansible_private_key_file"])?
        .map(PathBuf::from)
        .or_else(|| defaults.private_key.clone());
    options.identity_files.extend(key);
    options.password = variables
        .first(&["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"])?
        .map(Secret::new)
        .or_else(|| defaults.password.clone());
    options.connect_timeout = match variables.first(&["ansible_timeout", "ansible_ssh_timeout"])? {
        Some(text) => text.trim().parse().ok().map(Duration::from_secs),
        None => defaults.connect_timeout,
    };
    if !defaults.jump.is_empty() {
        options.jump = Some(defaults.jump.clone());
    }
    if defaults.accept_new {
        options.host_key_policy = Some(HostKeyPolicy::AcceptNew);
    }
    let checking =
        variables.first(&["ansible_host_key_checking", "ansible_ssh_host_key_checking"])?;
    if checking.is_some_and(|text| matches!(text.to_lowercase().as_str(), "false" | "no" | "0")) {
        options.host_key_policy = Some(HostKeyPolicy::Off);
    }
    if defaults.openssh.is_some() {
        // Its words are its own.
        return Ok(options);
    }
    for (name, written) in written_arguments(variables, defaults)? {
        arguments(&written, &mut options).map_err(|error| {
            format!("{}: {name}: {error}; `--transport openssh` may do it", variables.name)
        })?;
    }
    Ok(options)
}

/// What is said to ssh, and by which variable.
fn written_arguments(
    variables: &Variables<'_>,
    defaults: &ConnectionDefaults,
) -> Result<Vec<(&'static str, String)>, String> {
    let mut all = Vec::new();
    for name in ["ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_ssh_args"] {
        let written = variables.first(&[name])?.or_else(|| {
            defaults.ssh_arguments.clone().filter(|_| name == "ansible_ssh_common_args")
        });
        all.extend(written.map(|written| (name, written)));
    }
    Ok(all)
}

/// Options of the `ssh` program, as far as they mean something here.
fn arguments(written: &str, options: &mut ConnectOptions) -> Result<(), String> {
    let words = words::split(written)?;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (flag, attached) = match word.char_indices().nth(2) {
            Some((at, _)) if word.starts_with('-') => {
                let (flag, rest) = word.split_at(at);
                (flag.to_owned(), Some(rest.to_owned()))
            }
            _ => (word.clone(), None),
        };
        let mut value = || {
            attached
                .clone()
                .or_else(|| words.next())
                .ok_or_else(|| format!("`{flag}` needs a value"))
        };
        match flag.as_str() {
            "-o" => option(&value()?, options)?,
            "-i" => options.identity_files.push(PathBuf::from(value()?)),
            "-J" => options.jump = Some(jumps(&value()?)?),
            "-C" | "-q" | "-4" | "-T" => {}
            other => return Err(format!("`{other}` is not supported")),
        }
    }
    Ok(())
}

fn jumps(value: &str) -> Result<Vec<Destination>, String> {
    value
        .split(',')
        .map(|hop| hop.trim().parse().map_err(|_| format!("`{hop}` is not [user@]host[:port]")))
        .collect()
}

fn option(written: &str, options: &mut ConnectOptions) -> Result<(), String> {
    let (key, value) = written
        .split_once(['=', ' '])
        .map(|(key, value)| (key.trim(), value.trim()))
        .ok_or_else(|| format!("`{written}` is not KEY=VALUE"))?;
    let seconds = || {
        value
            .parse()
            .map(Duration::from_secs)
            .map_err(|_| format!("`{value}` is not a number of seconds"))
    };
    match key.to_lowercase().as_str() {
        "userknownhostsfile" => {
            options.known_hosts_files = value.split_whitespace().map(PathBuf::from).collect();
        }
        "stricthostkeychecking" => {
            options.host_key_policy = Some(match value.to_lowercase().as_str() {
                "yes" | "ask" => HostKeyPolicy::Strict,
                "accept-new" => HostKeyPolicy::AcceptNew,
                "no" | "off" => HostKeyPolicy::Off,
                other => return Err(format!("StrictHostKeyChecking `{other}` is unknown")),
            });
        }
        "proxyjump" if value.eq_ignore_ascii_case("none") => options.jump = Some(Vec::new()),
        "proxyjump" => options.jump = Some(jumps(value)?),
        "identityfile" => options.identity_files.push(PathBuf::from(value)),
        "identitiesonly" => options.identities_only = Some(value.eq_ignore_ascii_case("yes")),
        "connecttimeout" => options.connect_timeout = Some(seconds()?),
        "serveraliveinterval" => options.keepalive_interval = Some(seconds()?),
        "controlmaster"
        | "controlpersist"
        | "controlpath"
        | "compression"
        | "loglevel"
        | "preferredauthentications"
        | "passwordauthentication"
        | "kbdinteractiveauthentication"
        | "forwardagent"
        | "batchmode"
        | "tcpkeepalive"
        | "serveralivecountmax"
        | "gssapiauthentication"
        | "addkeystoagent" => {}
        _ => return Err(format!("`-o {key}` is not supported")),
    }
    Ok(())
}

struct Variables<'a> {
    view: View,
    name: &'a str,
}

impl Variables<'_> {
    fn first(&self, names: &[&str]) -> Result<Option<String>, String> {
        for name in names {
            if let Some(value) = self.value(name)? {
                return Ok(Some(provision_template::text_of(&value)));
            }
        }
        Ok(None)
    }

    fn value(&self, name: &str) -> Result<Option<Value>, String> {
        let outside = Outside::of(&self.view);
        self.view
            .world
            .engine
            .variable(name, &self.view, &outside)
            .map(|value| value.filter(|value| !value.is_none()))
            .map_err(|error| format!("{}: {name}: {}", self.name, error.message()))
    }

    fn port(&self) -> Result<Option<u16>, String> {
        match self.first(&["ansible_port", "ansible_ssh_port"])? {
            None => Ok(None),
            Some(text) => text
                .trim()
                .parse()
                .map(Some)
                .map_err(|_| format!("{}: ansible_port `{text}` is not a port", self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::arguments;
    use provision_ssh::{ConnectOptions, HostKeyPolicy};

    #[test]
    fn understands_common_arguments_and_refuses_strange_ones() {
        let mut options = ConnectOptions::default();
        arguments(
            "-o UserKnownHostsFile=/a/b -oStrictHostKeyChecking=accept-new -C -o ControlPersist=60s",
            &mut options,
        )
        .unwrap();
        assert_eq!(options.known_hosts_files, [std::path::PathBuf::from("/a/b")]);
        assert_eq!(options.host_key_policy, Some(HostKeyPolicy::AcceptNew));
        let error = arguments("-o ProxyCommand=nc", &mut options).unwrap_err();
        assert!(error.contains("ProxyCommand"), "{error}");
    }
}
