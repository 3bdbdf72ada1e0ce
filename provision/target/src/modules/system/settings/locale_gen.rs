//! `locale_gen`.

use std::path::Path;

use provision_protocol::Object;
use serde::Deserialize;

use super::super::process::Run;
use super::{read, replace};
use crate::disk::attributes::Wanted;
use crate::module::{Context, Failure, Outcome, arguments};

/// What is generated; Debian's and its kin's file.
const WANTED_LOCALES: &str = "/etc/locale.gen";
/// What can be generated.
const SUPPORTED: &str = "/usr/share/i18n/SUPPORTED";

#[derive(Debug, Deserialize)]
struct LocaleArguments {
    name: Vec<String>,
    state: Option<String>,
}

/// `locale_gen`: makes locales, or stops making them.
///
/// # Errors
/// When the host has no list of locales, or the locale isn't in it.
pub fn locale_gen(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: LocaleArguments = arguments(given)?;
    let present = given.state.as_deref() != Some("absent");
    let path = Path::new(WANTED_LOCALES);
    if !path.exists() {
        return Err(Failure::new(format!(
            "{WANTED_LOCALES} is missing: is the package `locales` installed?"
        )));
    }
    let before = read(path)?;
    let supported = read(Path::new(SUPPORTED))?;
    let made = Run::tool("locale")?.argument("-a").parsable().succeed(context)?.stdout_text();
    let mut after = before.clone();
    let mut outcome = Outcome::new(false);
    for name in &given.name {
        let is_known =
            [&before, &supported].iter().any(|text| text.lines().any(|line| is_of(line, name)));
        if !is_known {
            return Err(Failure::new(format!(
                "The locales you have entered are not available on your system: {name}"
            )));
        }
        let is_there = made.lines().any(|line| normal(line.trim()) == normal(name));
        if is_there != present {
            outcome.changed = true;
            after = edited(&after, &supported, name, present);
        }
    }
    if !outcome.changed {
        return Ok(outcome);
    }
    if after != before {
        let wanted = Wanted::default();
        replace(path, &before, &after, &wanted, false, &mut outcome, context)?;
    }
    if !context.check {
        context.about_to_change()?;
        Run::tool("locale-gen")?.succeed(context)?;
    }
    Ok(outcome)
}

/// `de_CH.UTF-8` and `de_CH.utf8` are one locale.
fn normal(name: &str) -> String {
    match name.split_once('.') {
        Some((language, charset)) => {
            format!("{language}.{}", charset.to_lowercase().replace('-', ""))
        }
        None => name.to_owned(),
    }
}

/// Whether a line, also one that is commented out, is about this locale.
fn is_of(line: &str, name: &str) -> bool {
    line.trim_start_matches(['#', ' ']).split_whitespace().next() == Some(name)
}

fn edited(text: &str, supported: &str, name: &str, present: bool) -> String {
    let mut is_there = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if !is_of(line, name) {
            lines.push(line.to_owned());
            continue;
        }
        is_there = true;
        let bare = line.trim_start_matches(['#', ' ']);
        lines.push(if present { bare.to_owned() } else { format!("# {bare}") });
    }
    if present && !is_there {
        let line = supported.lines().find(|line| is_of(line, name));
        lines.push(line.unwrap_or(name).to_owned());
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_uncommented_added_and_commented() {
        let text = "# header\n# de_CH.UTF-8 UTF-8\n# de_DE ISO-8859-1\n";
        let with = edited(text, "", "de_CH.UTF-8", true);
        assert_eq!(with, "# header\nde_CH.UTF-8 UTF-8\n# de_DE ISO-8859-1\n");
        assert_eq!(edited(&with, "", "de_CH.UTF-8", false), text);
        let other = edited(text, "fr_FR.UTF-8 UTF-8\n", "fr_FR.UTF-8", true);
        assert!(other.ends_with("\nfr_FR.UTF-8 UTF-8\n"), "{other}");
    }

    #[test]
    fn names_are_compared_as_locale_spells_them() {
        assert_eq!(normal("en_US.UTF-8"), normal("en_US.utf8"));
        assert_ne!(normal("en_US"), normal("en_US.utf8"));
        assert!(is_of("# en_US.UTF-8 UTF-8", "en_US.UTF-8"));
        assert!(!is_of("# en_US ISO-8859-1", "en_US.UTF-8"));
    }
}
