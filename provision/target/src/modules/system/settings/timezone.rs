//! `timezone`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use provision_protocol::{Diff, Object};
use serde::Deserialize;

use super::super::facts::is_booted_by_systemd;
use super::super::process::{Run, find_program};
use super::{read, replace};
use crate::disk::attributes::Wanted;
use crate::module::{Context, Failure, Outcome, arguments};

const ZONES: &str = "/usr/share/zoneinfo";
const LINK: &str = "/etc/localtime";
/// Debian's name of the zone; other systems have no such file.
const NAME_FILE: &str = "/etc/timezone";

#[derive(Debug, Deserialize)]
struct TimezoneArguments {
    name: Option<String>,
    hwclock: Option<String>,
}

/// What can be set.
#[derive(Debug, Default, PartialEq, Eq)]
struct Clock {
    zone: String,
    /// `UTC` or `local`.
    hardware: String,
}

/// `timezone`: sets the time zone, and what the hardware clock shows.
///
/// # Errors
/// When there is no such zone, or it can't be set.
pub fn timezone(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: TimezoneArguments = arguments(given)?;
    if let Some(name) = &given.name {
        check_zone(name)?;
    }
    let by_systemd = is_booted_by_systemd() && find_program("timedatectl").is_some();
    if !by_systemd && given.hwclock.is_some() {
        return Err(Failure::new("the hardware clock can be set only where systemd runs"));
    }
    let now = match by_systemd {
        true => clock_of_status(&status(context)?),
        false => Clock { zone: zone_of_files(Path::new(LINK)), hardware: String::new() },
    };
    let zone = given.name.filter(|name| *name != now.zone);
    let hardware = given.hwclock.filter(|clock| *clock != now.hardware);
    let mut outcome = Outcome::new(zone.is_some() || hardware.is_some());
    if context.diff && outcome.changed {
        outcome.diff.push(difference(&now, zone.as_deref(), hardware.as_deref()));
    }
    if !outcome.changed || context.check {
        return Ok(outcome);
    }
    context.about_to_change()?;
    if by_systemd {
        let timedatectl = || Run::tool("timedatectl");
        if let Some(zone) = &zone {
            timedatectl()?.arguments(["set-timezone", zone]).succeed(context)?;
        }
        if let Some(clock) = &hardware {
            let local = if clock == "local" { "yes" } else { "no" };
            timedatectl()?.arguments(["set-local-rtc", local]).succeed(context)?;
        }
    } else if let Some(zone) = &zone {
        link_zone(zone, Path::new(LINK))?;
        let name_file = Path::new(NAME_FILE);
        if name_file.exists() {
            let before = read(name_file)?;
            let mut written = Outcome::default();
            let text = format!("{zone}\n");
            replace(name_file, &before, &text, &Wanted::default(), false, &mut written, context)?;
        }
    }
    Ok(outcome)
}

fn check_zone(name: &str) -> Result<(), Failure> {
    let unavailable = || Failure::new(format!("given timezone \"{name}\" is not available"));
    let is_inside =
        Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if name.is_empty() || !is_inside || !Path::new(ZONES).join(name).is_file() {
        return Err(unavailable());
    }
    Ok(())
}

fn status(context: &Context<'_>) -> Result<String, Failure> {
    let run = Run::tool("timedatectl")?.argument("status").parsable();
    Ok(run.succeed(context)?.stdout_text())
}

/// `Time zone: Etc/UTC (UTC, +0000)` and `RTC in local TZ: no`.
fn clock_of_status(status: &str) -> Clock {
    let value = |label: &str| {
        let line = status.lines().find_map(|line| line.trim().strip_prefix(label))?;
        line.split_whitespace().next()
    };
    Clock {
        zone: value("Time zone:").unwrap_or_default().to_owned(),
        hardware: match value("RTC in local TZ:") {
            Some("yes") => "local".to_owned(),
            Some(_) => "UTC".to_owned(),
            None => String::new(),
        },
    }
}

/// The zone that a link to the time zones says.
fn zone_of_files(link: &Path) -> String {
    let target = fs::read_link(link).unwrap_or_default();
    let text = target.to_string_lossy();
    text.split_once("zoneinfo/").map_or_else(String::new, |(_, zone)| zone.to_owned())
}

/// Replaces the link at once: nobody sees it missing.
fn link_zone(zone: &str, link: &Path) -> Result<(), Failure> {
    let new: PathBuf = link.with_extension("provision-new");
    let _ = fs::remove_file(&new);
    symlink(Path::new(ZONES).join(zone), &new)
        .and_then(|()| fs::rename(&new, link))
        .map_err(|error| Failure::system("link", link, &error))
}

fn difference(now: &Clock, zone: Option<&str>, hardware: Option<&str>) -> Diff {
    let mut diff = Diff::default();
    for (label, before, after) in [("name", &now.zone, zone), ("hwclock", &now.hardware, hardware)]
    {
        if let Some(after) = after {
            diff.before.push_str(&format!("{label}: {before}\n"));
            diff.after.push_str(&format!("{label}: {after}\n"));
        }
    }
    diff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timedatectl_is_read() {
        let status = "               Local time: Sun 2026-11-29 01:00:00 UTC\n\
                      \u{20}               Time zone: Etc/UTC (UTC, +0000)\n\
                      System clock synchronized: no\n          RTC in local TZ: no\n";
        let expected = Clock { zone: "Etc/UTC".to_owned(), hardware: "UTC".to_owned() };
        assert_eq!(clock_of_status(status), expected);
        let local = status.replace("local TZ: no", "local TZ: yes");
        assert_eq!(clock_of_status(&local).hardware, "local");
        assert_eq!(clock_of_status("no"), Clock::default());
    }

    #[test]
    fn links_say_the_zone() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("localtime");
        assert_eq!(zone_of_files(&link), "");
        link_zone("Asia/Shanghai", &link).unwrap();
        link_zone("Etc/UTC", &link).unwrap();
        assert_eq!(zone_of_files(&link), "Etc/UTC");
    }

    #[test]
    fn zones_are_checked() {
        for name in ["", "../../etc/passwd", "/etc/passwd", "No/Such"] {
            let failure = check_zone(name).unwrap_err();
            assert!(failure.message.contains("is not available"), "{name}");
        }
    }

    #[test]
    fn the_difference_names_what_changes() {
        let now = Clock { zone: "Etc/UTC".to_owned(), hardware: "UTC".to_owned() };
        let diff = difference(&now, Some("Asia/Shanghai"), None);
        assert_eq!(
            (diff.before.as_str(), diff.after.as_str()),
            ("name: Etc/UTC\n", "name: Asia/Shanghai\n")
        );
    }
}
