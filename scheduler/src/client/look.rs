//! `scheduler events` and `scheduler top`.

use std::io::{BufRead, BufReader, IsTerminal};
use std::thread;
use std::time::Duration;

use scheduler::wire::{AppRow, MachineRow, Status};
use serde_json::Value;

use super::app::app_table;
use super::http::{Client, Trouble};
use super::{Done, machine_table};
use crate::arguments::{Events, Output, Top};
use crate::exit::Exit;
use crate::paint::harmless;

/// Time until a daemon that has gone is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Attempts to reach it again.
const ATTEMPTS_MOST: u32 = 60;

/// Events, from the one after a number on. When the daemon is away they go on where they ended.
pub fn events(arguments: &Events) -> Done {
    let mut after = arguments.after;
    let mut attempts = 0;
    loop {
        // It may have another address and another token after a restart.
        let client = Client::open(&arguments.reach.place)?;
        let last = client.get::<Status>("/v1/status").map(|status| status.last_event);
        let trouble = match last {
            Ok(last) if !arguments.follow && after >= last => return Ok(Exit::Done),
            Ok(last) => {
                attempts = 0;
                match read(&client, &mut after, arguments, last) {
                    Ok(true) => return Ok(Exit::Done),
                    Ok(false) => None,
                    Err(trouble) => Some(trouble),
                }
            }
            Err(trouble) => Some(trouble),
        };
        attempts += 1;
        if let Some(trouble) = trouble
            && (!arguments.follow || attempts > ATTEMPTS_MOST || !trouble.is_absence())
        {
            return Err(trouble);
        }
        thread::sleep(AGAIN);
    }
}

/// Whether all that was wanted has been shown.
fn read(client: &Client, after: &mut u64, arguments: &Events, last: u64) -> Result<bool, Trouble> {
    let stream = client.stream(&format!("/v1/events?after={after}"))?;
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return Ok(false) };
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let Ok(entry) = serde_json::from_str::<Value>(data) else { continue };
        if let Some(first) = entry.get("first").and_then(Value::as_u64) {
            tell!("events before {first} are not kept any more");
            *after = (*after).max(first.saturating_sub(1));
            if !arguments.follow && *after >= last {
                return Ok(true);
            }
            continue;
        }
        *after = entry.get("number").and_then(Value::as_u64).unwrap_or(*after);
        match arguments.reach.output {
            Output::Json => say!("{data}"),
            Output::Human => say!("{}", harmless(&event_line(&entry))),
        }
        if !arguments.follow && *after >= last {
            return Ok(true);
        }
    }
    Ok(false)
}

fn event_line(entry: &Value) -> String {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = entry.get("number").and_then(Value::as_u64).unwrap_or(0);
    let mut line = format!(
        "{number:>6}  {}  {:<10}  {:<16}  {}",
        text("at"),
        text("kind"),
        text("subject"),
        text("state")
    );
    if let Some(version) = entry.get("version").and_then(Value::as_u64) {
        line.push_str(&format!(" v{version}"));
    }
    if !text("machine").is_empty() {
        line.push_str(&format!(" on {}", text("machine")));
    }
    if !text("text").is_empty() {
        line.push_str(&format!(": {}", text("text")));
    }
    line
}

/// Apps and machines, again and again; once, if nobody looks.
pub fn top(arguments: &Top) -> Done {
    let is_terminal = std::io::stdout().is_terminal();
    loop {
        let looked = Client::open(&arguments.place).and_then(|client| screen(&client));
        let text = match looked {
            Ok(text) => text,
            Err(trouble) if is_terminal && trouble.is_absence() => trouble.message,
            Err(trouble) => return Err(trouble),
        };
        if !is_terminal {
            say!("{}", harmless(&text));
            return Ok(Exit::Done);
        }
        // These are no colours: they are wanted with NO_COLOR, too.
        let clear = crossterm::terminal::Clear(crossterm::terminal::ClearType::All);
        let home = crossterm::cursor::MoveTo(0, 0);
        let _ = crossterm::execute!(std::io::stdout(), clear, home);
        say!("{}\n\nCtrl-C ends this", harmless(&text));
        thread::sleep(Duration::from_secs(arguments.every));
    }
}

fn screen(client: &Client) -> Result<String, Trouble> {
    let status: Status = client.get("/v1/status")?;
    let apps: Vec<AppRow> = client.get("/v1/apps")?;
    let machines: Vec<MachineRow> = client.get("/v1/machines")?;
    let digest = status.policy.get(..12).unwrap_or_default();
    let mut text = format!(
        "scheduler {}, term {}, policy {digest}; apps: {}, instances: {}, machines: {}",
        status.program, status.epoch, status.apps, status.instances, status.machines
    );
    if let Some(freeze) = &status.freeze {
        text.push_str(&format!("\n{freeze}"));
    }
    if !apps.is_empty() {
        text.push_str(&format!("\n\n{}", app_table(&apps)));
    }
    text.push_str(&format!("\n\n{}", machine_table(&machines)));
    Ok(text)
}
