//! `pam_limits`.

use std::path::Path;

use provision_protocol::Object;
use serde::Deserialize;

use super::{read, replace};
use crate::disk::attributes::Wanted;
use crate::module::{Context, Failure, Outcome, arguments};

const UNLIMITED: &[&str] = &["unlimited", "infinity", "-1"];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LimitArguments {
    domain: String,
    limit_type: String,
    limit_item: String,
    value: String,
    use_max: bool,
    use_min: bool,
    backup: bool,
    dest: String,
    comment: String,
}

/// `pam_limits`: a limit of a user's resources.
///
/// # Errors
/// When the value is no limit, or the file can't be written.
pub fn pam_limits(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: LimitArguments = arguments(given)?;
    let is_number = given.value.parse::<i64>().is_ok();
    if !is_number && !UNLIMITED.contains(&given.value.as_str()) {
        return Err(Failure::new(
            "Argument 'value' must be one of 'unlimited', 'infinity', '-1' or a number",
        ));
    }
    let path = Path::new(&given.dest);
    let before = read(path)?;
    let (after, line) = edited(&before, &given);
    let mut outcome = Outcome::new(false).with("msg", line);
    if after != before {
        let wanted = Wanted::default();
        let backup = replace(path, &before, &after, &wanted, given.backup, &mut outcome, context)?;
        if let Some(backup) = backup {
            outcome = outcome.with("backup_file", backup.display().to_string());
        }
    }
    Ok(outcome)
}

/// The file with the limit, and the limit's line.
fn edited(text: &str, given: &LimitArguments) -> (String, String) {
    let mut lines = Vec::new();
    let mut found = None;
    for line in text.split_inclusive('\n') {
        let (fields, comment) = line.split_once('#').unwrap_or((line, ""));
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let wanted = [&given.domain, &given.limit_type, &given.limit_item];
        let is_it = fields.len() == 4 && fields.iter().zip(wanted).all(|(one, other)| one == other);
        if !is_it || found.is_some() {
            lines.push(line.to_owned());
            continue;
        }
        let now = fields.last().copied().unwrap_or_default();
        let value = bounded(now, given);
        let line = match value == now {
            true => line.to_owned(),
            false => {
                let comment = match given.comment.is_empty() {
                    true => comment.trim(),
                    false => &given.comment,
                };
                line_of(given, value, comment)
            }
        };
        found = Some(line.clone());
        lines.push(line);
    }
    let line = found.unwrap_or_else(|| {
        if lines.last().is_some_and(|line| !line.ends_with('\n')) {
            lines.push("\n".to_owned());
        }
        let line = line_of(given, &given.value, &given.comment);
        lines.push(line.clone());
        line
    });
    (lines.concat(), line)
}

/// The value that is wanted beside one that is there.
fn bounded<'a>(now: &'a str, given: &'a LimitArguments) -> &'a str {
    let number = |text: &str| match UNLIMITED.contains(&text) {
        true => Some(i64::MAX),
        false => text.parse::<i64>().ok(),
    };
    let (Some(old), Some(new)) = (number(now), number(&given.value)) else { return &given.value };
    if (given.use_max && old > new) || (given.use_min && old < new) { now } else { &given.value }
}

fn line_of(given: &LimitArguments, value: &str, comment: &str) -> String {
    let comment = if comment.is_empty() { String::new() } else { format!("\t# {comment}") };
    format!("{}\t{}\t{}\t{value}{comment}\n", given.domain, given.limit_type, given.limit_item)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn edit(text: &str, more: serde_json::Value) -> String {
        let mut given = json!({"domain": "joe", "limit_type": "soft", "limit_item": "nofile"});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        edited(text, &serde_json::from_value(given).unwrap()).0
    }

    #[test]
    fn limits_are_added_changed_and_kept() {
        let added = edit("# x\n", json!({"value": "100", "comment": "why"}));
        assert_eq!(added, "# x\njoe\tsoft\tnofile\t100\t# why\n");
        assert_eq!(edit(&added, json!({"value": "100"})), added);
        assert_eq!(edit(&added, json!({"value": "200"})), "# x\njoe\tsoft\tnofile\t200\t# why\n");
        assert_eq!(edit("a b", json!({"value": "1"})), "a b\njoe\tsoft\tnofile\t1\n");
        let spaced = "joe soft nofile 100\njoe hard nofile 5\n";
        assert_eq!(edit(spaced, json!({"value": "100"})), spaced);
    }

    #[test]
    fn larger_or_smaller_ones_may_stay() {
        let line = "joe soft nofile 100\n";
        assert_eq!(edit(line, json!({"value": "50", "use_max": true})), line);
        assert_eq!(edit(line, json!({"value": "150", "use_min": true})), line);
        assert!(edit(line, json!({"value": "150", "use_max": true})).contains("150"));
        let unlimited = "joe soft nofile unlimited\n";
        assert_eq!(edit(unlimited, json!({"value": "150", "use_max": true})), unlimited);
    }

    #[test]
    fn values_are_checked() {
        let mut bench = crate::modules::system::testing::context().checking();
        let given =
            json!({"domain": "x", "limit_type": "-", "limit_item": "core", "value": "many"});
        assert!(bench.call_named("pam_limits", given).unwrap_err().message.contains("'unlimited'"));
    }
}
