//! Subcommands that ask the daemon.

mod app;
pub mod discovery;
mod doctor;
pub mod http;
mod instance;
mod look;
pub mod policy;
pub mod rebalance;
pub mod volume;
mod wait;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::json;

use scheduler::wire::{Answer, Explanation, MachineRow};

use crate::arguments::{Command, Explain, MachineCommand, OneMachine, Output, Reach};
use crate::exit::Exit;
use crate::table::Table;
use http::{Client, Trouble};

/// Does what a command says.
pub fn client(command: Command) -> Exit {
    let done = match command {
        Command::App(command) => app::app(command),
        Command::Instance(command) => instance::instance(command),
        Command::Machine(MachineCommand::List { reach }) => machines(&reach),
        Command::Explain(arguments) => explain(&arguments),
        Command::Drain(one) => drain(&one, "drain"),
        Command::Undrain(one) => drain(&one, "undrain"),
        Command::Thaw(reach) => thaw(&reach),
        Command::Discovery(arguments) => discovery::discovery(&arguments),
        Command::Volume(command) => volume::volume(command),
        Command::Rebalance(arguments) => rebalance::rebalance(&arguments),
        Command::Events(arguments) => look::events(&arguments),
        Command::Top(arguments) => look::top(&arguments),
        Command::Doctor(arguments) => doctor::doctor(&arguments),
        Command::Policy(command) => policy::policy(&command),
        // They have no daemon to ask, and were done before.
        Command::Serve(_)
        | Command::Snapshot(_)
        | Command::Token(_)
        | Command::Schema { .. }
        | Command::ExitCodes
        | Command::SuperviseTask { .. } => Ok(Exit::Done),
    };
    done.unwrap_or_else(Trouble::tell)
}

/// What came of a subcommand.
type Done = Result<Exit, Trouble>;

/// An answer as JSON, if that is wanted; otherwise as people read it.
fn show<T: Serialize>(output: Output, answer: &T, human: impl FnOnce(&T) -> String) -> Exit {
    match output {
        Output::Human => say!("{}", crate::paint::harmless(&human(answer))),
        Output::Json => say!("{}", serde_json::to_string_pretty(answer).unwrap_or_default()),
    }
    Exit::Done
}

/// What a call has led to, for people.
fn answered(answer: &Answer) -> String {
    match (answer.result.as_str(), answer.wanted) {
        ("wanted", Some(wanted)) => format!("{wanted} instances are wanted now"),
        ("unchanged", _) => "it is so already; nothing has changed".to_owned(),
        ("deployment", _) => {
            let number = answer.deployment.unwrap_or(0);
            format!("deployment {number} to v{} has begun", answer.version.unwrap_or(0))
        }
        _ => "noted".to_owned(),
    }
}

/// A part of a path.
fn part(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().fold(String::new(), |mut path, byte| {
        if plain(byte) {
            path.push(char::from(byte))
        } else {
            path.push_str(&format!("%{byte:02X}"))
        }
        path
    })
}

fn machines(reach: &Reach) -> Done {
    let rows: Vec<MachineRow> = Client::open(&reach.place)?.get("/v1/machines")?;
    Ok(show(reach.output, &rows, |rows| machine_table(rows)))
}

fn machine_table(rows: &[MachineRow]) -> String {
    let mut table = Table::new(&[
        "MACHINE",
        "STATE",
        ">INSTANCES",
        ">CORES FREE",
        ">MEMORY FREE",
        ">PORTS FREE",
        "ATTRIBUTES",
    ]);
    for row in rows {
        let cores = |millicores: u32| format!("{}", f64::from(millicores) / 1000.0);
        let attributes: Vec<String> =
            row.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        table.row(vec![
            row.machine.clone(),
            row.state.clone(),
            row.instances.to_string(),
            format!("{} of {}", cores(row.free_millicores), cores(row.millicores)),
            format!("{} of {} MiB", row.free_memory_mib, row.memory_mib),
            row.free_ports.to_string(),
            attributes.join(" "),
        ]);
    }
    table.text()
}

fn explain(arguments: &Explain) -> Done {
    let kind = if arguments.subject.contains('.') { "instances" } else { "apps" };
    let path = format!("/v1/{kind}/{}/explain", part(&arguments.subject));
    let explanation: Explanation = Client::open(&arguments.reach.place)?.get(&path)?;
    Ok(show(arguments.reach.output, &explanation, |one| one.text.clone()))
}

fn drain(one: &OneMachine, what: &str) -> Done {
    let path = format!("/v1/machines/{}/{what}", part(&one.machine));
    let answer: Answer = Client::open(&one.reach.place)?.post(&path, &json!({}), None)?;
    Ok(show(one.reach.output, &answer, |answer| match (answer.result.as_str(), what) {
        ("unchanged", "drain") => format!("{} is being drained, or empty, already", one.machine),
        ("unchanged", _) => format!("{} isn't drained; nothing has changed", one.machine),
        (_, "drain") => {
            format!(
                "{} is being drained; `scheduler machine list` shows when it is empty",
                one.machine
            )
        }
        _ => format!("{} is used again", one.machine),
    }))
}

fn thaw(reach: &Reach) -> Done {
    let answer: Answer = Client::open(&reach.place)?.post("/v1/thaw", &json!({}), None)?;
    Ok(show(reach.output, &answer, |answer| match answer.result.as_str() {
        "unchanged" => "repair isn't stopped; nothing has changed".to_owned(),
        _ => "repair goes on: machines that are silent now are no reason to stop it".to_owned(),
    }))
}

/// How long ago a time of RFC 3339 was, in short: `5s`, `3min`, `2h`, `4d`.
fn ago(moment: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let Some(then) = epoch_seconds(moment) else { return "?".to_owned() };
    match now.saturating_sub(Duration::from_secs(then)).as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}min", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// Seconds since 1970 of a time as RFC 3339 writes it in UTC: days of the Gregorian calendar after
/// Howard Hinnant, "chrono-compatible low-level date algorithms".
fn epoch_seconds(moment: &str) -> Option<u64> {
    let number = |from: usize, to: usize| moment.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let shifted = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use calendar::Moment;

    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for seconds in [0, 951_782_400, 951_868_799, 1_700_000_000, 1_764_337_200, 4_102_444_799] {
            let text = Moment::of_epoch_seconds(seconds).to_string();
            assert_eq!(epoch_seconds(&text), Some(seconds), "{text}");
        }
        assert_eq!(epoch_seconds("nonsense"), None);
    }

    #[test]
    fn names_cannot_leave_their_part_of_the_path() {
        assert_eq!(part("web.3"), "web.3");
        assert_eq!(part("../x?y"), "..%2Fx%3Fy");
    }
}
