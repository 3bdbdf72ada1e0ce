//! `apt`.
//!
//! Whether anything has to be done is decided from dpkg's database, which is read directly; only
//! versions are asked from `apt-cache`, and `apt-get` is started only to change something.

mod archive;
pub(super) mod cache;
pub(super) mod command;
mod plan;

use std::fs;
use std::path::Path;
use std::time::Duration;

use provision_protocol::{Diff, Object};
use serde::Deserialize;

use super::super::output;
use super::super::process::{Finished, find_program};
use super::dpkg::{self, Database};
use crate::module::{Context, Failure, Outcome, arguments};
use command::apt_get;
use plan::Wish;

/// How long to wait for dpkg's lock, if the call doesn't say, in seconds.
const LOCK_TIMEOUT_S: u64 = 60;

/// What apt-get and aptitude say when there was nothing to do.
const NOTHING: &[&str] = &[
    "\n0 upgraded, 0 newly installed, 0 to remove",
    "\n0 packages upgraded, 0 newly installed, 0 to remove",
];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AptArguments {
    package: Option<Vec<String>>,
    state: Option<String>,
    update_cache: Option<bool>,
    update_cache_retries: Option<u32>,
    update_cache_retry_max_delay: Option<u64>,
    cache_valid_time: i64,
    purge: bool,
    deb: Option<String>,
    default_release: Option<String>,
    install_recommends: Option<bool>,
    force: bool,
    upgrade: Option<String>,
    dpkg_options: Option<String>,
    autoremove: bool,
    autoclean: bool,
    fail_on_autoremove: bool,
    policy_rc_d: Option<i64>,
    only_upgrade: bool,
    force_apt_get: bool,
    clean: bool,
    allow_unauthenticated: bool,
    allow_downgrade: bool,
    allow_change_held_packages: bool,
    lock_timeout: Option<u64>,
}

impl AptArguments {
    fn lock_timeout(&self) -> Duration {
        Duration::from_secs(self.lock_timeout.unwrap_or(LOCK_TIMEOUT_S))
    }

    fn state(&self) -> &str {
        self.state.as_deref().unwrap_or("present")
    }

    /// The wanted kind of upgrade, if any.
    fn upgrade(&self) -> Option<&str> {
        self.upgrade.as_deref().filter(|kind| *kind != "no")
    }

    fn packages(&self) -> Vec<&str> {
        let names = self.package.iter().flatten().map(|name| name.trim());
        names.filter(|name| !name.is_empty()).collect()
    }

    /// Options that installing and upgrading have in common.
    fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        for (is_given, option) in [
            (self.only_upgrade, "--only-upgrade"),
            (self.state() == "fixed", "--fix-broken"),
            (self.force, "--force-yes"),
            (self.autoremove, "--auto-remove"),
            (self.fail_on_autoremove, "--no-remove"),
            (self.allow_unauthenticated, "--allow-unauthenticated"),
            (self.allow_downgrade, "--allow-downgrades"),
            (self.allow_change_held_packages, "--allow-change-held-packages"),
        ] {
            if is_given {
                options.push(option.to_owned());
            }
        }
        if let Some(release) = &self.default_release {
            options.extend(["-t".to_owned(), release.clone()]);
        }
        if let Some(recommends) = self.install_recommends {
            let answer = if recommends { "yes" } else { "no" };
            options.extend(["-o".to_owned(), format!("APT::Install-Recommends={answer}")]);
        }
        options
    }
}

/// `apt`: manages packages of Debian and Ubuntu.
///
/// # Errors
/// When a package doesn't exist or apt fails.
pub fn apt(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: AptArguments = arguments(given)?;
    let mut warnings = Vec::new();
    let outcome = manage(&given, &mut warnings, context)?;
    Ok(if warnings.is_empty() { outcome } else { outcome.with("warnings", warnings) })
}

fn manage(
    given: &AptArguments,
    warnings: &mut Vec<String>,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    let names = given.packages();
    let wishes = names
        .iter()
        .filter(|name| **name != "*")
        .map(|name| Wish::parse(name))
        .collect::<Result<Vec<Wish>, String>>()
        .map_err(Failure::new)?;
    let nothing_else = names.is_empty() && given.upgrade().is_none() && given.deb.is_none();
    if given.clean {
        let outcome = clean(context)?;
        if nothing_else && given.update_cache != Some(true) {
            return Ok(outcome);
        }
    }
    let (updated, updated_at) = update(given, warnings, context)?;
    let finish = |outcome: Outcome| {
        outcome.with("cache_updated", updated).with("cache_update_time", updated_at)
    };
    let everything = names.contains(&"*");
    if let Some(kind) = given.upgrade() {
        return upgrade(given, kind, warnings, context);
    }
    if let Some(deb) = &given.deb {
        if given.state() != "present" {
            return Err(Failure::new("deb only supports state=present"));
        }
        return archive::install(given, deb, context).map(finish);
    }
    if everything && given.state() == "latest" {
        if !wishes.is_empty() {
            return Err(Failure::new(
                "unable to install additional packages when upgrading all installed packages",
            ));
        }
        return upgrade(given, "yes", warnings, context);
    }
    if wishes.is_empty() {
        let outcome = tidy(given, context)?;
        return Ok(finish(outcome.unwrap_or_else(|| Outcome::new(updated))));
    }
    match given.state() {
        "absent" => remove(given, wishes, context),
        "build-dep" => {
            let texts = wishes.into_iter().map(|wish| wish.text).collect();
            run(given, "build-dep", texts, context).map(finish)
        }
        _ => install(given, wishes, context).map(finish),
    }
}

/// Updates the lists of packages if they are too old; whether it did, and how old they are then.
fn update(
    given: &AptArguments,
    warnings: &mut Vec<String>,
    context: &mut Context<'_>,
) -> Result<(bool, i64), Failure> {
    let before = cache::updated_at();
    let wanted = given.update_cache == Some(true) || given.cache_valid_time > 0;
    if !wanted || !cache::is_stale(before, given.cache_valid_time) {
        return Ok((false, before));
    }
    if context.check {
        return Ok((true, before));
    }
    let is_new = cache::update(
        given.update_cache_retries,
        given.update_cache_retry_max_delay,
        given.lock_timeout(),
        warnings,
        context,
    )?;
    Ok((is_new, cache::updated_at()))
}

fn install(
    given: &AptArguments,
    wishes: Vec<Wish>,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    let latest = given.state() == "latest";
    let wishes = if wishes.iter().any(Wish::is_pattern) {
        plan::expand(wishes, &cache::names(context)?).map_err(|pattern| no_match(&pattern))?
    } else {
        wishes
    };
    let database = Database::read()?;
    let unclear: Vec<&str> = wishes
        .iter()
        .filter(|wish| plan::needs_policy(wish, &database, latest))
        .map(|wish| wish.name.as_str())
        .collect();
    let policies = cache::policies(&unclear, given.default_release.as_deref(), context)?;
    let plan = plan::installation(&wishes, &database, &policies, latest, given.only_upgrade);
    if let Some((wish, is_unknown)) = plan.impossible {
        let message = if is_unknown {
            format!("No package matching '{wish}' is available")
        } else {
            format!("no available installation candidate for {wish}")
        };
        // An earlier task may add the source it comes from.
        return if context.check {
            Ok(Outcome { skipped: Some(message), ..Outcome::default() })
        } else {
            Err(Failure::new(message))
        };
    }
    let outcome = if plan.packages.is_empty() && given.state() != "fixed" {
        Outcome::new(false)
    } else {
        run(given, "install", plan.packages, context)?
    };
    if !context.check {
        keep(&wishes, given.lock_timeout(), context)?;
    }
    Ok(outcome)
}

fn no_match(pattern: &str) -> Failure {
    Failure::new(format!("No package(s) matching '{pattern}' available"))
}

/// Packages that were asked for must not go when nobody needs them any more.
fn keep(wishes: &[Wish], lock_timeout: Duration, context: &Context<'_>) -> Result<(), Failure> {
    let automatic = dpkg::automatic();
    let names: Vec<&str> = wishes
        .iter()
        .map(|wish| wish.name.as_str())
        .filter(|name| automatic.contains(name.split(':').next().unwrap_or_default()))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let make = || Ok(command::tool("apt-mark")?.argument("manual").arguments(&names));
    let finished = command::patiently(&make, lock_timeout, context)?;
    if finished.succeeded() {
        return Ok(());
    }
    let said = finished.stderr_text();
    Err(finished.failure(format!("'apt-mark manual {}' failed: {said}", names.join(" "))))
}

fn remove(
    given: &AptArguments,
    wishes: Vec<Wish>,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    let database = Database::read()?;
    let wishes = if wishes.iter().any(Wish::is_pattern) {
        let known = database.packages().map(|package| match package.architecture.as_str() {
            "all" => package.name.clone(),
            architecture if architecture == database.native() => package.name.clone(),
            architecture => format!("{}:{architecture}", package.name),
        });
        let mut names: Vec<String> = known.collect();
        match plan::expand(wishes.clone(), &names) {
            Ok(wishes) => wishes,
            // Nothing of it is here; it is a mistake only if it is nowhere.
            Err(_) => {
                names.extend(cache::names(context)?);
                plan::expand(wishes, &names).map_err(|pattern| no_match(&pattern))?
            }
        }
    } else {
        wishes
    };
    let packages = plan::removal(&wishes, &database, given.purge);
    if packages.is_empty() {
        return Ok(Outcome::new(false));
    }
    let mut options = vec!["-q".to_owned()];
    for (is_given, option) in [
        (given.purge, "--purge"),
        (given.force, "--force-yes"),
        (given.autoremove, "--auto-remove"),
        (given.allow_change_held_packages, "--allow-change-held-packages"),
    ] {
        if is_given {
            options.push(option.to_owned());
        }
    }
    let shown = packages.join(" ");
    let command: Vec<String> =
        ["remove".to_owned(), "--".to_owned()].into_iter().chain(packages).collect();
    let finished = apt_get(given, "apt-get", &options, &command, context)?;
    judge(finished, &format!("apt-get remove {shown}"), true, context)
}

/// Runs an `apt-get` that takes packages.
fn run(
    given: &AptArguments,
    command: &str,
    packages: Vec<String>,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    let shown = format!("apt-get -y {command} {}", packages.join(" "));
    let command: Vec<String> =
        [command.to_owned(), "--".to_owned()].into_iter().chain(packages).collect();
    let finished = apt_get(given, "apt-get", &given.options(), &command, context)?;
    judge(finished, &shown, false, context)
}

/// What a run means: it failed, or changed something, or found nothing to do.
fn judge(
    finished: Finished,
    shown: &str,
    always_changes: bool,
    context: &Context<'_>,
) -> Result<Outcome, Failure> {
    let said = finished.stdout_text();
    if !finished.succeeded() {
        let problem = finished.stderr_text();
        return Err(finished.failure(format!("'{shown}' failed: {problem}")));
    }
    let mut outcome = Outcome::new(always_changes || does_something(&said));
    output::show(&mut outcome.values, &finished, false);
    if context.diff && outcome.changed {
        outcome.diff.push(Diff { after: prepared(&said), ..Diff::default() });
    }
    Ok(outcome)
}

fn does_something(said: &str) -> bool {
    let said = format!("\n{said}");
    !NOTHING.iter().any(|nothing| said.contains(nothing))
        // Packages that an interrupted run left behind are set up now.
        || said.lines().any(|line| {
            line.strip_suffix(" not fully installed or removed.").is_some_and(|count| count != "0")
        })
}

/// The part of apt's output that tells what it is going to do.
fn prepared(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let starts = ["Resolving dependencies...", "Reading state information..."];
    let start = starts
        .iter()
        .find_map(|start| lines.iter().position(|line| line == start))
        .map_or(0, |at| at + 1);
    let ends = |line: &&str| {
        let rest = line.trim_start_matches(|character: char| character.is_ascii_digit());
        rest.len() < line.len()
            && (rest.starts_with(" upgraded") || rest.starts_with(" packages upgraded"))
    };
    let end = lines.iter().position(ends).map_or(lines.len(), |at| at + 1);
    let mut text = lines.get(start..end).unwrap_or_default().join("\n");
    text.push('\n');
    text
}

fn upgrade(
    given: &AptArguments,
    kind: &str,
    warnings: &mut Vec<String>,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    let aptitude = !given.force_apt_get && find_program("aptitude").is_some();
    let mut options = Vec::new();
    let (program, command) = match (kind, aptitude) {
        ("dist", _) | ("full", false) => ("apt-get", vec!["dist-upgrade"]),
        ("full", true) => ("aptitude", vec!["full-upgrade"]),
        (_, false) => ("apt-get", vec!["upgrade", "--with-new-pkgs"]),
        (_, true) => ("aptitude", vec!["safe-upgrade"]),
    };
    if program == "apt-get" {
        options = given.options();
    } else {
        if given.force {
            options.extend(["--assume-yes".to_owned(), "--allow-untrusted".to_owned()]);
        }
        for (is_given, name) in [
            (given.fail_on_autoremove, "fail_on_autoremove"),
            (given.allow_downgrade, "allow_downgrade"),
        ] {
            if is_given {
                warnings.push(format!("aptitude has no option for the parameter '{name}'"));
            }
        }
        if let Some(release) = &given.default_release {
            options.extend(["-t".to_owned(), release.clone()]);
        }
    }
    let shown = format!("{program} {}", command.join(" "));
    let command: Vec<String> = command.into_iter().map(str::to_owned).collect();
    let finished = apt_get(given, program, &options, &command, context)?;
    let said = finished.stdout_text();
    Ok(judge(finished, &shown, false, context)?.with("msg", said))
}

/// `autoclean` and `autoremove`, if they are wanted.
fn tidy(given: &AptArguments, context: &mut Context<'_>) -> Result<Option<Outcome>, Failure> {
    let mut tidied = None;
    for (is_wanted, operation, sign) in [
        (given.autoclean, "autoclean", "Del "),
        (given.autoremove, "autoremove", "The following packages will be REMOVED"),
        (given.state() == "fixed", "install", ""),
    ] {
        if !is_wanted {
            continue;
        }
        let mut options = Vec::new();
        if given.purge && operation == "autoremove" {
            options.push("--purge".to_owned());
        }
        if operation == "install" {
            options = given.options();
        }
        let finished = apt_get(given, "apt-get", &options, &[operation.to_owned()], context)?;
        let said = finished.stdout_text();
        let mut outcome = judge(finished, &format!("apt-get {operation}"), false, context)?;
        if !sign.is_empty() {
            outcome.changed = said.contains(sign);
        }
        let before = tidied.as_ref().is_some_and(|before: &Outcome| before.changed);
        outcome.changed |= before;
        tidied = Some(outcome);
    }
    Ok(tidied)
}

/// `apt-get clean`, if there is anything to clean.
fn clean(context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let folders = ["/var/cache/apt/archives", "/var/cache/apt/archives/partial", "/var/cache/apt"];
    let is_dirty = folders.iter().any(|folder| has_downloads(Path::new(folder)));
    let mut outcome = Outcome::new(is_dirty);
    if is_dirty && !context.check {
        context.about_to_change()?;
        let finished = command::tool("apt-get")?.argument("clean").run(context)?;
        if !finished.succeeded() {
            return Err(finished.failure("apt-get clean failed"));
        }
        output::show(&mut outcome.values, &finished, false);
    }
    Ok(outcome)
}

fn has_downloads(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.ends_with(".deb") || name.ends_with("pkgcache.bin")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Reading package lists...\nBuilding dependency tree...\n\
        Reading state information...\nThe following NEW packages will be installed:\n  sl\n\
        0 upgraded, 1 newly installed, 0 to remove and 3 not upgraded.\nInst sl (5.02-1)\n";

    #[test]
    fn output_tells_what_happens() {
        assert!(does_something(SAID));
        assert_eq!(
            prepared(SAID),
            "The following NEW packages will be installed:\n  sl\n\
             0 upgraded, 1 newly installed, 0 to remove and 3 not upgraded.\n"
        );
        let nothing = "x\n0 upgraded, 0 newly installed, 0 to remove and 3 not upgraded.\n";
        assert!(!does_something(nothing));
        assert!(does_something(&format!("{nothing}1 not fully installed or removed.\n")));
    }

    #[test]
    fn options_are_passed_on() {
        let given = AptArguments {
            only_upgrade: true,
            install_recommends: Some(false),
            default_release: Some("sid".to_owned()),
            ..AptArguments::default()
        };
        assert_eq!(
            given.options(),
            ["--only-upgrade", "-t", "sid", "-o", "APT::Install-Recommends=no"]
        );
    }
}
