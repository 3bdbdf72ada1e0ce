//! `[io]` The licences of all dependencies, as cargo knows them: works without a network and without
//! cargo-deny, which checks more (`deny.toml`) and runs, too, where it is installed.

#![allow(clippy::indexing_slicing, reason = "a JSON value answers null for what it lacks")]

use std::process::Command;

use serde_json::Value;

use super::rust::judge;
use super::{Context, Found};
use crate::error::{Doing, Error, capture};
use crate::{step, workspace};

/// The same list as in `deny.toml`.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];

pub(super) fn run(context: &Context) -> Result<Found, Error> {
    let mut command = workspace::cargo(&["metadata", "--format-version=1", "--locked"]);
    let output = capture(&mut command).doing(|| "list all dependencies".to_owned())?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).doing(|| "read cargo's metadata".to_owned())?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let refused: Vec<String> = packages.iter().filter_map(refusal).collect();
    if !refused.is_empty() {
        return Ok(Found { failed: 1, details: refused.join("\n"), ..Found::default() });
    }
    let note = format!("{} packages", packages.len());
    if Command::new("cargo-deny").arg("--version").output().is_err() {
        return Ok(Found::one(format!("{note}; cargo-deny isn't installed")));
    }
    let log = step::log("deny");
    let arguments = ["deny", "--offline", "check", "bans", "licenses", "sources"];
    let ended = step::run(&workspace::cargo(&arguments), &log, context.limit)?;
    let mut found = judge(&ended, &log, |_| Some((1, 0)));
    found.note = note;
    Ok(found)
}

fn refusal(package: &Value) -> Option<String> {
    let name = package["name"].as_str().unwrap_or("a package");
    match package["license"].as_str() {
        None => package["license_file"].is_null().then(|| format!("{name} names no licence")),
        Some(licence) if is_allowed(licence) => None,
        Some(licence) => Some(format!("{name} has the licence {licence}")),
    }
}

/// Any of the alternatives, with all of its parts. Parentheses are only used around alternatives
/// that go together with other licences: `(MIT OR Apache-2.0) AND Unicode-3.0`.
fn is_allowed(expression: &str) -> bool {
    split(expression, " AND ").iter().all(|part| {
        let part = part.trim().trim_start_matches('(').trim_end_matches(')');
        part.replace('/', " OR ")
            .split(" OR ")
            .any(|one| one.split(" AND ").all(|name| ALLOWED.contains(&name.trim())))
    })
}

/// Splits outside of parentheses; without any, alternatives bind weaker and nothing is split.
fn split<'a>(expression: &'a str, separator: &str) -> Vec<&'a str> {
    if expression.contains('(') { expression.split(separator).collect() } else { vec![expression] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_understood() {
        for good in
            ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"]
        {
            assert!(is_allowed(good), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-3.0", ""] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }
}
