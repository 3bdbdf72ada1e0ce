//! `[ui]` The results on the terminal and in `docs/public-roles.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::apply::{Applied, Outcome};
use super::catalog::{Catalog, Entry};
use super::record::{Known, Record};
use crate::conformance::source;
use crate::error::Error;
use crate::lab::directories::write_file;
use crate::workspace;

/// One line for a role that was applied.
#[must_use]
pub fn line(name: &str, outcome: &Outcome) -> String {
    let verdict = if outcome.is_passed() { "pass" } else { "FAIL" };
    let mut text = format!("{verdict} {name:<18} first: {}", words(&outcome.first));
    // Writing to a String can't fail.
    if let Some(second) = &outcome.second {
        let _ = write!(text, "; again: {}", words(second));
    }
    if let Some(failure) = &outcome.failure {
        let _ = write!(text, "  {failure}");
    }
    text
}

fn words(run: &Applied) -> String {
    match run.exit {
        Some(0) => format!("ok {} changed {} ({} s)", run.ok, run.changed, run.seconds),
        Some(code) => format!("exit {code} after {} ok tasks", run.ok),
        None => "took too long".to_owned(),
    }
}

/// Writes `docs/public-roles.md`.
///
/// # Errors
/// The file can't be written.
pub fn write_document(catalog: &Catalog, record: &Record) -> Result<(), Error> {
    let path = workspace::root().join("docs/public-roles.md");
    write_file(&path, document(catalog, record).as_bytes())
}

fn document(catalog: &Catalog, record: &Record) -> String {
    let known = |name: &str, entry: &Entry| {
        record.roles.get(name).filter(|known| known.version == entry.from.words())
    };
    let passed = catalog
        .roles
        .iter()
        .filter(|(name, entry)| known(name, entry).is_some_and(Known::passes))
        .count();
    let mut text = format!(
        "# Public roles\n\n\
         Written by `cargo xtask roles --accept`; don't edit.\n\n\
         Well-known public roles, applied by `provision` to fresh Debian hosts of the lab over SSH as \
         the user `deploy` with sudo. Their files are fetched at test time, are not part of this \
         repository and are not changed; our play names the role and sets variables \
         (`xtask/roles.yml`). A role passes if both runs end well, the second one changes nothing, \
         and a command on the host proves that the role's work is there. Beside it: the same play by \
         ansible-core {version} with the collections of PyPI's `ansible` on an equal host.\n\n\
         **{passed} of {count} pass.**\n\n\
         - `cargo xtask roles` runs all, `cargo xtask roles ntp redis` some.\n\
         - Roles come by git from their public repositories. On a machine that can't reach them, \
         `--from FOLDER` (or `CORRAL_ROLES_FROM`) names a folder of bare mirrors `OWNER+NAME/repo`. \
         What can't be fetched is named with \"not fetched\" and doesn't count as passed.\n\
         - `cargo xtask test` runs those that come from PyPI, `cargo xtask test --long` all that can be \
         fetched.\n\n\
         | role | what | provision | ansible-core |\n|---|---|---|---|\n",
        version = source::VERSION,
        count = catalog.roles.len(),
    );
    for (name, entry) in &catalog.roles {
        let known = known(name, entry);
        let _ = writeln!(
            text,
            "| {} ({}) | {} | {} | {} |",
            entry.roles.join(", "),
            entry.from.words(),
            entry.about,
            cell(known.and_then(|known| known.provision.as_ref())),
            cell(known.and_then(|known| known.reference.as_ref())),
        );
    }
    text.push_str("\nTimes are of a busy machine; they are a hint and no measurement.\n");
    notes(&mut text, catalog);
    missing_modules(&mut text, record);
    text
}

fn missing_modules(text: &mut String, record: &Record) {
    let mut roles: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, known) in &record.roles {
        for module in known.provision.iter().flat_map(|outcome| &outcome.lacks) {
            roles.entry(module).or_default().push(name);
        }
    }
    if roles.is_empty() {
        return;
    }
    text.push_str(
        "\n## Modules that these roles name and `provision` hasn't got\n\nTasks with them are under \
         conditions, or loop over lists that are empty here, and are named by a warning before a run.\n\n",
    );
    for (module, names) in roles {
        let _ = writeln!(text, "- `{module}`: {}", names.join(", "));
    }
}

fn cell(outcome: Option<&Outcome>) -> String {
    let Some(outcome) = outcome else { return "not tried".to_owned() };
    let verdict = if outcome.is_passed() { "**passes**" } else { "fails" };
    let mut text = format!("{verdict}: {}", words(&outcome.first));
    if let Some(second) = &outcome.second {
        let _ = write!(text, "; again {}", words(second));
    }
    if let Some(failure) = &outcome.failure {
        let _ = write!(text, ". {}", failure.replace('|', "\\|"));
    }
    text
}

fn notes(text: &mut String, catalog: &Catalog) {
    text.push_str("\n## Variables and remarks\n\n");
    for (name, entry) in &catalog.roles {
        let all = entry.variables.keys().chain(entry.extra_variables.keys());
        let names: Vec<String> = all.map(|variable| format!("`{variable}`")).collect();
        let set = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let _ = write!(text, "- **{name}**: variables set: {set}.");
        if !entry.installed.is_empty() {
            let _ = write!(text, " On the host before: {}.", entry.installed.join(", "));
        }
        if let Some(note) = &entry.note {
            let _ = write!(text, " {}", note.trim());
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_counts_and_explains() {
        let text = "roles: {a: {about: x, from: {git: {repository: o/a, commit: '1'}}, roles: [o.a], \
                    proof: 'true', variables: {v: 1}, note: why}, \
                    b: {about: y, from: {git: {repository: o/b, commit: '2'}}, roles: [o.b], \
                    proof: 'true'}}";
        let catalog: Catalog = serde_yaml::from_str(text).unwrap();
        let run = |changed| Applied { exit: Some(0), ok: 3, changed, seconds: 2 };
        let mut record = Record { format: 1, ansible_core: String::new(), roles: BTreeMap::new() };
        record.known("a", "o/a @ 1").provision =
            Some(Outcome { first: run(2), second: Some(run(0)), ..Outcome::default() });
        record.known("b", "o/b @ 2").provision =
            Some(Outcome { first: run(2), second: Some(run(1)), ..Outcome::default() });
        let text = document(&catalog, &record);
        assert!(text.contains("**1 of 2 pass.**"), "{text}");
        assert!(text.contains("| o.a (o/a @ 1) | x | **passes**: ok 3 changed 2 (2 s); again ok 3 changed 0 (2 s) | not tried |"), "{text}");
        assert!(
            text.contains("| y | fails: ok 3 changed 2 (2 s); again ok 3 changed 1 (2 s) |"),
            "{text}"
        );
        assert!(
            text.ends_with("- **a**: variables set: `v`. why\n- **b**: variables set: none.\n"),
            "{text}"
        );
        // A result of another commit doesn't count.
        record.roles.get_mut("a").unwrap().version = "o/a @ 0".to_owned();
        assert!(document(&catalog, &record).contains("**0 of 2 pass.**"));
    }
}
