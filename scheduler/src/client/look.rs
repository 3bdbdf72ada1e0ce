//! `scheduler events` and `scheduler top`.

use std::io::{BufRead, BufReader, IsTerminal};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use calendar::Moment;
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

/// Lines of a terminal that doesn't say how many it has.
const ROWS: usize = 24;

/// Who follows sees so many from before, as `journalctl -f` and `tail -f` show them.
const EVENTS_BEFORE: u64 = 10;

/// Events, from the one after a number on. When the daemon is away they go on where they ended.
pub fn events(arguments: &Events) -> Done {
    let mut after = None;
    let since = arguments.since.map(|seconds| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment::of_epoch_seconds(now.as_secs().saturating_sub(seconds)).to_string()
    });
    let since = since.unwrap_or_default();
    let mut attempts = 0;
    loop {
        // It may have another address and another token after a restart.
        let client = Client::open(&arguments.reach.place)?;
        let last = client.get::<Status>("/v1/status").map(|status| status.last_event);
        let trouble = match last {
            Ok(last) => {
                let after = after.get_or_insert_with(|| first_after(arguments, last));
                if !arguments.follow && *after >= last {
                    return Ok(Exit::Done);
                }
                attempts = 0;
                match read(&client, after, arguments, &since, last) {
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

/// The number of the event after which it begins.
fn first_after(arguments: &Events, last: u64) -> u64 {
    let Events { follow, lines, all, after, since, .. } = arguments;
    match (lines, after) {
        (Some(lines), _) => last.saturating_sub(*lines),
        (None, Some(after)) => *after,
        (None, None) if *follow && !all && since.is_none() => last.saturating_sub(EVENTS_BEFORE),
        (None, None) => 0,
    }
}

/// Whether all that was wanted has been shown. `since` is a time of RFC 3339, or empty.
fn read(
    client: &Client,
    after: &mut u64,
    arguments: &Events,
    since: &str,
    last: u64,
) -> Result<bool, Trouble> {
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
        // All are of the same form, so their order as texts is that of time.
        let is_old = entry.get("at").and_then(Value::as_str).is_some_and(|at| at < since);
        match arguments.reach.output {
            _ if is_old => {}
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
        let rows = crossterm::terminal::size().map_or(ROWS, |(_, rows)| usize::from(rows));
        say!("{}\n\nCtrl-C ends this", fitting(&harmless(&text), rows.saturating_sub(3)));
        thread::sleep(Duration::from_secs(arguments.every));
    }
}

/// As many lines as there is room for: of a thousand machines the first ones must not be pushed off.
fn fitting(text: &str, rows: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let Some(shown) = lines.get(..rows.saturating_sub(1)).filter(|_| lines.len() > rows) else {
        return text.to_owned();
    };
    let left = lines.len() - shown.len();
    let rest = format!("… and {left} more lines: `scheduler app list`, `scheduler machine list`");
    [shown, &[rest.as_str()]].concat().join("\n")
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
        text.push_str(&format!("\n{freeze}; `scheduler thaw` ends that"));
    }
    if !apps.is_empty() {
        text.push_str(&format!("\n\n{}", app_table(&apps)));
    }
    text.push_str(&format!("\n\n{}", machine_table(&machines)));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn begins_after(words: &str, last: u64) -> u64 {
        let words = ["scheduler", "events"].into_iter().chain(words.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Events(events) => first_after(&events, last),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_has_no_room_is_counted() {
        assert_eq!(fitting("a\nb\nc", 3), "a\nb\nc");
        let cut = fitting("a\nb\nc\nd", 3);
        assert!(cut.starts_with("a\nb\n… and 2 more lines"), "{cut}");
        assert_eq!(cut.lines().count(), 3);
        assert!(fitting("a\nb", 0).contains("2 more lines"));
    }

    #[test]
    fn who_follows_begins_with_the_last_few() {
        for (words, begins) in [
            ("", 0),
            ("-f", 90),
            ("-f -n 3", 97),
            ("-n 3", 97),
            ("-n 200", 0),
            ("-f --all", 0),
            ("-f --after 42", 42),
            ("--after 42", 42),
            ("-f --since 10min", 0),
            ("-f --since 10min -n 5", 95),
        ] {
            assert_eq!(begins_after(words, 100), begins, "{words}");
        }
        assert_eq!(begins_after("-f", 3), 0);
        for words in ["--all --after 3", "-n 3 --after 3", "--since soon"] {
            let words = ["scheduler", "events"].into_iter().chain(words.split_whitespace());
            assert!(Arguments::try_parse_from(words).is_err());
        }
    }
}
