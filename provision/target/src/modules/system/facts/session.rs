//! Facts: the user, the environment, the time, the kernel's command line.

use provision_protocol::Object;
use serde_json::Value;

use super::super::clock::{Moment, Zone};
use super::{Gathering, content, object};
use crate::names;

pub(super) fn user(gathering: &mut Gathering<'_, '_>) {
    let real = nix::unistd::getuid().as_raw();
    let effective = nix::unistd::geteuid().as_raw();
    if let Ok(Some(user)) = names::user_by_id(effective) {
        gathering.set("user_id", user.name);
        gathering.set("user_uid", user.uid);
        gathering.set("user_gid", user.gid);
        gathering.set("user_gecos", user.gecos);
        gathering.set("user_dir", user.home.to_string_lossy());
        gathering.set("user_shell", user.shell.to_string_lossy());
    }
    gathering.set("real_user_id", real);
    gathering.set("effective_user_id", effective);
    gathering.set("real_group_id", nix::unistd::getgid().as_raw());
    gathering.set("effective_group_id", nix::unistd::getegid().as_raw());
}

pub(super) fn env(gathering: &mut Gathering<'_, '_>) {
    let mut variables: Object = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into()))
        .collect();
    for (name, value) in &gathering.context.environment {
        variables.insert(name.clone(), value.as_str().into());
    }
    gathering.set("env", variables);
}

pub(super) fn date_time(gathering: &mut Gathering<'_, '_>) {
    let zone = Zone::local();
    let now = Moment::new(std::time::SystemTime::now(), &zone);
    let facts = date_time_of(&now, &zone);
    gathering.set("date_time", facts);
}

fn date_time_of(now: &Moment, zone: &Zone) -> Value {
    let universal = Moment::at(now.epoch_s, now.microsecond, &Zone::utc());
    let epoch = now.epoch_s.to_string();
    let compact = format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}",
        now.year, now.month, now.day, now.hour, now.minute, now.second
    );
    let iso = format!("{}T{}", universal.date(), universal.time_of_day());
    object([
        ("year", format!("{:04}", now.year).into()),
        ("month", format!("{:02}", now.month).into()),
        ("weekday", now.weekday_name().into()),
        ("weekday_number", now.weekday.to_string().into()),
        ("weeknumber", format!("{:02}", now.week()).into()),
        ("day", format!("{:02}", now.day).into()),
        ("hour", format!("{:02}", now.hour).into()),
        ("minute", format!("{:02}", now.minute).into()),
        ("second", format!("{:02}", now.second).into()),
        ("epoch", epoch.as_str().into()),
        ("epoch_int", epoch.as_str().into()),
        ("date", now.date().into()),
        ("time", now.time_of_day().into()),
        ("iso8601_micro", format!("{iso}.{:06}Z", now.microsecond).into()),
        ("iso8601", format!("{iso}Z").into()),
        ("iso8601_basic", format!("{compact}{:06}", now.microsecond).into()),
        ("iso8601_basic_short", compact.into()),
        ("tz", now.zone.as_str().into()),
        ("tz_dst", zone.names_at(now.epoch_s).1.into()),
        ("tz_offset", now.offset().into()),
    ])
}

pub(super) fn cmdline(gathering: &mut Gathering<'_, '_>) {
    let Some(text) = content("/proc/cmdline") else { return };
    let (last, all) = parse_cmdline(&text);
    gathering.set("cmdline", last);
    gathering.set("proc_cmdline", all);
}

/// The last value of each parameter, and all of them.
fn parse_cmdline(text: &str) -> (Object, Object) {
    let (mut last, mut all) = (Object::new(), Object::new());
    for piece in pieces(text) {
        let Some((name, value)) = piece.split_once('=') else {
            last.insert(piece.to_owned(), true.into());
            all.insert(piece.to_owned(), true.into());
            continue;
        };
        last.insert(name.to_owned(), value.into());
        match all.get_mut(name) {
            None => {
                all.insert(name.to_owned(), value.into());
            }
            Some(Value::Array(values)) => values.push(value.into()),
            Some(first) => *first = Value::Array(vec![first.take(), value.into()]),
        }
    }
    (last, all)
}

/// Words separated by blanks; quotes keep blanks and stay in the word.
fn pieces(text: &str) -> Vec<&str> {
    let mut quoted = None;
    text.split(move |character: char| {
        match quoted {
            Some(open) if character == open => quoted = None,
            None if matches!(character, '"' | '\'') => quoted = Some(character),
            _ => {}
        }
        quoted.is_none() && character.is_whitespace()
    })
    .filter(|piece| !piece.is_empty())
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_kernels_command_line() {
        let text = "BOOT_IMAGE=/vmlinuz root=UUID=1-2 ro console=tty0 console=ttyS0 \
            dyndbg=\"file a +p\" quiet";
        let (last, all) = parse_cmdline(text);
        assert_eq!(last["console"], "ttyS0");
        assert_eq!(all["console"], json!(["tty0", "ttyS0"]));
        assert_eq!(all["root"], "UUID=1-2");
        assert_eq!(all["ro"], true);
        assert_eq!(all["dyndbg"], "\"file a +p\"");
    }

    #[test]
    fn the_time_in_many_forms() {
        let now = Moment::at(1_709_210_096, 1500, &Zone::utc());
        let facts = date_time_of(&now, &Zone::utc());
        assert_eq!(facts["iso8601_micro"], "2024-02-29T12:34:56.001500Z");
        assert_eq!(facts["iso8601_basic"], "20240229T123456001500");
        assert_eq!(facts["weekday_number"], "4");
        assert_eq!(facts["tz_offset"], "+0000");
    }
}
