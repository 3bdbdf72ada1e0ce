//! The system's ssh in place of our own client: whatever it can do (GSSAPI, FIDO keys, any line of
//! ssh_config) is done by it; the helper behind it is the same.

use std::process::Stdio;
use std::sync::Arc;

use provision_ssh::{ConnectOptions, Destination, HostKeyPolicy};
use tokio::process::Command;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::channel::{Keeper, Link, Trouble};

/// Seconds of silence after which ssh asks whether the host is there, and how often it does.
const ALIVE: [&str; 4] = ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"];

/// How ssh is called, but for host and command.
#[derive(Debug, Clone)]
pub struct OpenSsh {
    program: String,
    words: Vec<String>,
    /// Handshakes that may be under way at the same time.
    turns: Arc<Semaphore>,
}

impl OpenSsh {
    /// Words for a host. `written`: what the inventory and the command line say to ssh, word by
    /// word; it wins over our defaults, because ssh takes the first value of an option.
    ///
    /// # Errors
    /// When a password is to be handed over: ssh asks for those on a terminal only.
    pub fn new(
        program: Option<String>,
        written: Vec<String>,
        destination: &Destination,
        options: &ConnectOptions,
        turns: Arc<Semaphore>,
    ) -> Result<OpenSsh, String> {
        if options.password.is_some() {
            return Err(
                "the system's ssh takes no password from provision: use keys, an agent or \
                        GSSAPI, or leave out `--transport openssh`"
                    .to_owned(),
            );
        }
        if destination.host.starts_with('-') {
            return Err(format!("`{}` is not the name of a host", destination.host));
        }
        // Nobody is there to answer questions host by host.
        let mut words: Vec<String> = ["-T", "-o", "BatchMode=yes"].map(str::to_owned).into();
        words.extend(written);
        let mut option = |name: &str, value: String| {
            words.extend(["-o".to_owned(), format!("{name}={value}")]);
        };
        if let Some(port) = destination.port {
            option("Port", port.to_string());
        }
        if let Some(user) = &destination.user {
            option("User", user.clone());
        }
        for file in &options.identity_files {
            option("IdentityFile", format!("\"{}\"", file.display()));
        }
        if !options.known_hosts_files.is_empty() {
            let files = options.known_hosts_files.iter();
            let files: Vec<String> = files.map(|file| format!("\"{}\"", file.display())).collect();
            option("UserKnownHostsFile", files.join(" "));
        }
        if let Some(policy) = options.host_key_policy {
            let word = match policy {
                HostKeyPolicy::Strict => "yes",
                HostKeyPolicy::AcceptNew => "accept-new",
                HostKeyPolicy::Off => "no",
            };
            option("StrictHostKeyChecking", word.to_owned());
        }
        if let Some(jump) = options.jump.as_ref().filter(|jump| !jump.is_empty()) {
            let hops: Vec<String> = jump.iter().map(ToString::to_string).collect();
            option("ProxyJump", hops.join(","));
        }
        if let Some(limit) = options.connect_timeout {
            option("ConnectTimeout", limit.as_secs().max(1).to_string());
        }
        words.extend(ALIVE.map(str::to_owned));
        Ok(OpenSsh { program: program.unwrap_or_else(|| "ssh".to_owned()), words, turns })
    }

    /// Waits until one more handshake may begin.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.clone().acquire_owned().await.ok()
    }

    /// Starts a command line on a host.
    ///
    /// # Errors
    /// When there is no ssh.
    pub(crate) fn start(&self, host: &str, command: &str) -> Result<Link, Trouble> {
        let failed = |error: &dyn std::fmt::Display| {
            let hint = "install OpenSSH's client, or leave out `--transport openssh`";
            (format!("failed to start {}: {error}", self.program), Some(hint.to_owned()))
        };
        let mut child = Command::new(&self.program)
            .args(&self.words)
            .args(["--", host, command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for us: the running step is finished first.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(&"it has no pipes"));
        };
        let keeper = Keeper::new(errors, child);
        Ok(Link { input: Box::new(input), output: Box::new(output), keeper })
    }

    /// The program and its words, for others who call it.
    pub(crate) fn command(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.program.as_str()).chain(self.words.iter().map(String::as_str))
    }

    /// What the operator can try.
    pub(crate) fn hint(&self, host: &str) -> String {
        let words: Vec<String> = self.words.iter().map(|word| quoted(word)).collect();
        format!("see what ssh says: {} {} -- {host} true", self.program, words.join(" "))
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=./:,@%+".contains(letter);
    match word.chars().all(is_plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use provision_ssh::Secret;

    use super::*;

    fn made(written: &[&str], options: &ConnectOptions) -> Result<OpenSsh, String> {
        let destination: Destination = "deploy@192.0.2.7:2222".parse().unwrap();
        let written = written.iter().map(|word| (*word).to_owned()).collect();
        OpenSsh::new(None, written, &destination, options, Arc::new(Semaphore::new(1)))
    }

    #[test]
    fn what_is_written_comes_before_what_we_add() {
        let options = ConnectOptions {
            identity_files: vec!["/home/ada/a key".into()],
            known_hosts_files: vec!["/lab/known_hosts".into()],
            host_key_policy: Some(HostKeyPolicy::AcceptNew),
            jump: Some(vec!["ada@gate:22".parse().unwrap()]),
            connect_timeout: Some(Duration::from_secs(7)),
            ..ConnectOptions::default()
        };
        let ssh = made(&["-o", "ProxyCommand=nc %h %p", "-K"], &options).unwrap();
        assert_eq!(
            ssh.hint("192.0.2.7"),
            "see what ssh says: ssh -T -o BatchMode=yes -o 'ProxyCommand=nc %h %p' -K -o Port=2222 \
             -o User=deploy -o 'IdentityFile=\"/home/ada/a key\"' \
             -o 'UserKnownHostsFile=\"/lab/known_hosts\"' -o StrictHostKeyChecking=accept-new \
             -o ProxyJump=ada@gate:22 -o ConnectTimeout=7 -o ServerAliveInterval=15 \
             -o ServerAliveCountMax=3 -- 192.0.2.7 true"
        );
    }

    #[test]
    fn passwords_are_refused() {
        let options =
            ConnectOptions { password: Some(Secret::new("x")), ..ConnectOptions::default() };
        assert!(made(&[], &options).unwrap_err().contains("no password"));
    }
}
