//! The lists of available packages: how old they are, how to renew them, what they say.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::super::wait;
use super::command::{patiently, tool};
use crate::disk::metadata;
use crate::module::{Context, Failure};

/// Written by a hook of Ubuntu after each successful update.
const STAMP: &str = "/var/lib/apt/periodic/update-success-stamp";
const LISTS: &str = "/var/lib/apt/lists";

/// How often an update is tried, if the call doesn't say.
const RETRIES: u32 = 5;

/// Longest pause between two tries, if the call doesn't say, in seconds.
const RETRY_MAX_DELAY_S: u64 = 12;

/// When the lists were last updated, in seconds since 1970; 0: never.
#[must_use]
pub(in super::super) fn updated_at() -> i64 {
    [STAMP, LISTS].iter().find_map(|path| fs::metadata(path).ok()).map_or(0, |data| data.mtime())
}

/// Whether lists of this time are older than they may be.
#[must_use]
pub(super) fn is_stale(updated_at: i64, valid_s: i64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    updated_at.saturating_add(valid_s) < now
}

/// Updates the lists, trying several times; whether anything was new. Warnings tell of failed
/// tries. Not for check mode.
///
/// # Errors
/// When no try succeeds.
pub(in super::super) fn update(
    retries: Option<u32>,
    max_delay_s: Option<u64>,
    lock_timeout: Duration,
    warnings: &mut Vec<String>,
    context: &mut Context<'_>,
) -> Result<bool, Failure> {
    context.about_to_change()?;
    let before = updated_at();
    let retries = retries.unwrap_or(RETRIES);
    let max_delay_s = max_delay_s.unwrap_or(RETRY_MAX_DELAY_S);
    let mut problem = "unknown reason".to_owned();
    for retry in 0..retries {
        if retry > 0 {
            let delay = 2_u64.saturating_pow(retry - 1).min(max_delay_s);
            warnings.push(format!(
                "Failed to update cache after {retry} retries due to {problem}, retrying"
            ));
            wait::pause(Duration::from_secs(delay), context)?;
        }
        let make = || Ok(tool("apt-get")?.arguments(["-q", "update"]));
        let finished = patiently(&make, lock_timeout, context)?;
        match problem_of(finished.rc, &finished.stderr_text()) {
            None => {
                let is_new = updated_at() != before;
                if !is_new {
                    // That nothing was new says as much about the lists' age as new ones would.
                    let _ = metadata::touch(Path::new(LISTS));
                }
                return Ok(is_new);
            }
            Some(found) => problem = found,
        }
    }
    Err(Failure::new(format!("Failed to update apt cache after {retries} retries: {problem}")))
}

/// What went wrong. apt-get ends with code 0 even if it could not fetch a list and kept an old one.
fn problem_of(rc: i32, said: &str) -> Option<String> {
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| {
            line.starts_with("E: ")
                || line.starts_with("W: Failed to fetch")
                || line.starts_with("W: Some index files failed")
                || line.starts_with("W: GPG error")
        })
        .collect();
    match (rc, lines.is_empty()) {
        (0, true) => None,
        (rc, true) => Some(format!("apt-get update ended with code {rc}: {}", said.trim())),
        (_, false) => Some(lines.join("\n")),
    }
}

/// What is known of a package's versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Policy {
    /// The version that would be installed.
    pub candidate: Option<String>,
    /// All versions, the best first.
    pub versions: Vec<String>,
}

/// Asks apt for the versions of packages, by name. Unknown packages are missing in the answer.
///
/// # Errors
/// When apt can't be asked.
pub(super) fn policies(
    names: &[&str],
    release: Option<&str>,
    context: &Context<'_>,
) -> Result<BTreeMap<String, Policy>, Failure> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut run = tool("apt-cache")?;
    if let Some(release) = release {
        run = run.arguments(["-o", &format!("APT::Default-Release={release}")]);
    }
    let finished = run.argument("policy").argument("--").arguments(names).run(context)?;
    if !finished.succeeded() {
        return Err(finished.failure(format!(
            "failed to ask apt-cache about packages: {}",
            finished.stderr_text().trim()
        )));
    }
    Ok(parse_policies(&finished.stdout_text()))
}

fn parse_policies(text: &str) -> BTreeMap<String, Policy> {
    let mut policies: BTreeMap<String, Policy> = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in text.lines() {
        if !line.starts_with(' ') {
            current = line.strip_suffix(':').map(str::to_owned);
            if let Some(name) = &current {
                policies.entry(name.clone()).or_default();
            }
            continue;
        }
        let Some(policy) = current.as_ref().and_then(|name| policies.get_mut(name)) else {
            continue;
        };
        if let Some(candidate) = line.strip_prefix("  Candidate: ") {
            policy.candidate = (candidate != "(none)").then(|| candidate.to_owned());
            continue;
        }
        // ` *** 1.0 500` and `     1.0 500`; sources are indented more.
        let version = line.strip_prefix(" *** ").or_else(|| line.strip_prefix("     "));
        if let Some(version) = version.filter(|rest| !rest.starts_with(' '))
            && let Some(version) = version.split(' ').next()
        {
            policy.versions.push(version.to_owned());
        }
    }
    policies
}

/// Names of all packages apt knows.
///
/// # Errors
/// When apt can't be asked.
pub(super) fn names(context: &Context<'_>) -> Result<Vec<String>, Failure> {
    let finished = tool("apt-cache")?.argument("pkgnames").succeed(context)?;
    Ok(finished.stdout_text().lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_understood() {
        let text = "curl:\n  Installed: 7.88.1-10\n  Candidate: 7.88.1-10+deb12u5\n  \
            Version table:\n     8.5.0-2~bpo12+1 100\n        100 http://x bookworm-backports/main \
            amd64 Packages\n     7.88.1-10+deb12u5 500\n        500 http://x bookworm/main\n \
            *** 7.88.1-10 100\n        100 /var/lib/dpkg/status\nmta:\n  Installed: (none)\n  \
            Candidate: (none)\n  Version table:\n";
        let policies = parse_policies(text);
        let curl = &policies["curl"];
        assert_eq!(curl.candidate.as_deref(), Some("7.88.1-10+deb12u5"));
        assert_eq!(curl.versions, ["8.5.0-2~bpo12+1", "7.88.1-10+deb12u5", "7.88.1-10"]);
        assert_eq!(policies["mta"], Policy::default());
    }

    #[test]
    fn problems_of_updates() {
        assert_eq!(problem_of(0, ""), None);
        assert_eq!(problem_of(0, "W: Target Packages is configured multiple times"), None);
        assert!(problem_of(0, "W: Failed to fetch http://x  404").is_some());
        assert!(problem_of(100, "E: x\n").is_some_and(|problem| problem == "E: x"));
        assert!(problem_of(1, "odd").is_some());
    }

    #[test]
    fn staleness() {
        assert!(is_stale(0, 3600));
        assert!(!is_stale(i64::MAX, 3600));
    }
}
