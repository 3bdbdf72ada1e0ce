//! `reboot`: the host goes away and comes back as another boot.
//!
//! Which boot it is, is what a command says before and after. The connection ends with the host;
//! until it answers again, each try connects anew, and sends the helper if the host has lost it.

use std::time::{Duration, Instant};

use provision_protocol::{Object, REMEMBER};
use serde_json::Value as Json;

use super::errand::{Errand, TRY_PAUSE, failed};
use super::{Connection, Session};

const BOOT_TIME: &str = "cat /proc/sys/kernel/random/boot_id";
const TEST: &str = "whoami";
const MESSAGE: &str = "Reboot initiated by Ansible";
const FOLDERS: &[&str] = &["/sbin", "/bin", "/usr/sbin", "/usr/bin", "/usr/local/sbin"];
const TIMEOUT_S: u64 = 600;

/// How long a host may take to say which boot it is. One that goes down may never answer.
const ANSWER: Duration = Duration::from_secs(30);
/// The same before anything has happened: whatever the host is busy with.
const PATIENT: Duration = Duration::from_mins(10);

/// What a command did.
struct Ran {
    succeeded: bool,
    stdout: String,
    stderr: String,
    message: String,
}

impl Ran {
    fn of(result: &Object) -> Ran {
        let text =
            |name: &str| result.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let failed = result.get("failed").and_then(Json::as_bool) == Some(true);
        Ran {
            succeeded: !failed,
            stdout: text("stdout").trim().to_owned(),
            stderr: text("stderr").trim().to_owned(),
            message: text("msg"),
        }
    }

    /// What is known of a failure.
    fn story(&self) -> String {
        format!("{}; stdout: {}; stderr: {}", self.message, self.stdout, self.stderr)
    }
}

impl Session {
    pub(super) async fn reboot(
        &mut self,
        errand: &mut Errand<'_>,
        connection: &mut Option<Connection>,
    ) -> Object {
        let with = |mut result: Object, rebooted: bool| {
            result.insert("rebooted".into(), rebooted.into());
            result
        };
        if self.key.local {
            let message = "Running reboot with local connection would reboot the control node.";
            return failed(with(errand.result(false), false), message);
        }
        if errand.call.check {
            return with(errand.result(true), true);
        }
        let before = match self.begin_reboot(errand, connection).await {
            Ok(before) => before,
            Err(message) => return failed(with(errand.result(false), false), message),
        };
        let ended = self.await_return(errand, connection, &before).await;
        match ended {
            Ok(()) => with(errand.result(true), true),
            Err((message, trouble)) => {
                let mut result = with(errand.result(true), true);
                result.insert("last_failure".into(), trouble.into());
                failed(result, message)
            }
        }
    }

    /// Asks which boot it is and ends it; the answer.
    async fn begin_reboot(
        &mut self,
        errand: &mut Errand<'_>,
        connection: &mut Option<Connection>,
    ) -> Result<String, String> {
        let boot_time = errand.text("boot_time_command").unwrap_or(BOOT_TIME).to_owned();
        let call = errand.shell(&boot_time);
        let ran = self.ask(connection, &call, PATIENT).await.map_err(|(message, _)| message)?;
        let ran = Ran::of(&ran);
        if !ran.succeeded {
            return Err(format!("reboot: failed to get host boot time info: {}", ran.story()));
        }
        let before = ran.stdout;
        let command = self.reboot_command(errand, connection).await?;
        let mut call = errand.shell(&command);
        call.notify.clone_from(&errand.call.notify);
        // A host that goes down at once says nothing any more.
        if let Ok(result) = self.ask(connection, &call, PATIENT).await {
            let ran = Ran::of(&result);
            if !ran.succeeded {
                return Err(format!("Reboot command failed. Error was: {}", ran.story()));
            }
        }
        Ok(before)
    }

    /// The command line that reboots the host: what the user says, or `shutdown`, or where there is
    /// none (Alpine), `reboot`.
    async fn reboot_command(
        &mut self,
        errand: &mut Errand<'_>,
        connection: &mut Option<Connection>,
    ) -> Result<String, String> {
        let given = errand.text("reboot_command").map(|text| text.trim().to_owned());
        let (names, rest) = match &given {
            Some(given) if given.starts_with('/') => return Ok(given.clone()),
            Some(given) => {
                let (name, rest) = given.split_once(char::is_whitespace).unwrap_or((given, ""));
                (vec![name.to_owned()], rest.to_owned())
            }
            None => {
                let minutes = errand.seconds("pre_reboot_delay", 0).as_secs() / 60;
                let message = quote(errand.text("msg").unwrap_or(MESSAGE));
                let names = vec!["shutdown".to_owned(), "reboot".to_owned()];
                (names, format!("-r {minutes} {message}"))
            }
        };
        let folders = folders(errand);
        let quoted =
            |texts: &[String]| texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(" ");
        let line = format!(
            "for name in {}; do for folder in {}; do if [ -x \"$folder/$name\" ]; then \
             echo \"$folder/$name\"; exit; fi; done; done",
            quoted(&names),
            quoted(&folders)
        );
        let call = errand.shell(&line);
        let found = self.ask(connection, &call, PATIENT).await.map_err(|(message, _)| message)?;
        let found = Ran::of(&found);
        if !found.succeeded || found.stdout.is_empty() {
            let name = names.first().map_or("", String::as_str);
            return Err(format!(
                "Unable to find command \"{name}\" in search paths: {}",
                folders.join(", ")
            ));
        }
        let path = quote(&found.stdout);
        let bare = given.is_none() && found.stdout.ends_with("/reboot");
        Ok(if bare || rest.is_empty() { path } else { format!("{path} {rest}") })
    }

    /// Waits until the host says that it is another boot, and then until it passes the test. The
    /// error has Ansible's words, and what went wrong last.
    async fn await_return(
        &mut self,
        errand: &mut Errand<'_>,
        connection: &mut Option<Connection>,
        before: &str,
    ) -> Result<(), (String, String)> {
        tokio::time::sleep(errand.seconds("post_reboot_delay", 0)).await;
        let limit = errand.seconds("reboot_timeout", TIMEOUT_S);
        let boot_time = errand.text("boot_time_command").unwrap_or(BOOT_TIME).to_owned();
        let begun = Instant::now();
        loop {
            let tried = self.run_anew(errand, connection, &boot_time, ANSWER).await;
            let trouble = match tried {
                Ok(ran) if !ran.succeeded => ran.story(),
                Ok(ran) if ran.stdout == before => "the boot time has not changed".to_owned(),
                Ok(_) => break,
                Err(message) => message,
            };
            if begun.elapsed() >= limit {
                let seconds = limit.as_secs();
                let message =
                    format!("Timed out waiting for last boot time check (timeout={seconds})");
                return Err((message, trouble));
            }
            // The next try is another connection: this one may hang.
            Self::hang_up(connection);
            tokio::time::sleep(TRY_PAUSE).await;
        }
        let test = errand.text("test_command").unwrap_or(TEST).to_owned();
        let begun = Instant::now();
        loop {
            let left = limit.saturating_sub(begun.elapsed()).max(ANSWER);
            let trouble = match self.run_anew(errand, connection, &test, left).await {
                Ok(ran) if ran.succeeded => break,
                Ok(ran) => ran.story(),
                Err(message) => message,
            };
            if begun.elapsed() >= limit {
                let seconds = limit.as_secs();
                let message =
                    format!("Timed out waiting for post-reboot test command (timeout={seconds})");
                return Err((message, trouble));
            }
            tokio::time::sleep(TRY_PAUSE).await;
        }
        if errand.call.completes.is_empty() {
            return Ok(());
        }
        // The handler that the reboot is, is done only now.
        let mut done = errand.part(REMEMBER, Object::new());
        done.completes.clone_from(&errand.call.completes);
        let told = self.ask(connection, &done, ANSWER).await;
        told.map(drop).map_err(|(message, _)| (message, String::new()))
    }

    /// Runs a command line, over a new connection if there is none.
    async fn run_anew(
        &mut self,
        errand: &mut Errand<'_>,
        connection: &mut Option<Connection>,
        line: &str,
        limit: Duration,
    ) -> Result<Ran, String> {
        if connection.is_none() {
            let connect_timeout = errand.optional_seconds("connect_timeout");
            let next = self.try_connect(connect_timeout).await;
            *connection = Some(next.map_err(|(message, _)| message)?);
        }
        let call = errand.shell(line);
        let result = self.ask(connection, &call, limit).await.map_err(|(message, _)| message)?;
        Ok(Ran::of(&result))
    }
}

fn folders(errand: &Errand<'_>) -> Vec<String> {
    let given = errand.call.arguments.get("search_paths").and_then(Json::as_array);
    match given {
        Some(given) => given.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        None => FOLDERS.iter().map(|folder| (*folder).to_owned()).collect(),
    }
}

/// A word of a shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
