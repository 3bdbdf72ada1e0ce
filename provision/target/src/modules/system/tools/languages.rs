//! `npm` and `gem`: packages of Node.js and Ruby.

use std::fs;

use provision_protocol::Object;
use serde_json::Value;

use super::super::process::{Finished, Run};
use crate::disk::paths;
use crate::module::{Context, Failure, Given, Outcome};

/// The program that `executable` names, with its first arguments, or the host's own.
fn program(given: Given<'_>, name: &str) -> Result<Run, Failure> {
    let mut words = given.word("executable").split(' ').filter(|word| !word.is_empty());
    Ok(Run::tool(words.next().unwrap_or(name))?.arguments(words))
}

/// `npm`: packages of Node.js.
///
/// # Errors
/// When npm fails.
pub fn npm(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    if given.text("path").is_none() && !given.flag("global") {
        return Err(Failure::new("path must be specified when not using global"));
    }
    let mut changed = false;
    if given.flag("ci") {
        npm_change("ci", given, context)?;
        return Ok(Outcome::new(true));
    }
    let list = npm_run(&["list", "--json", "--long"], given, false, context)?;
    let (installed, is_missing) = npm_packages(&list.stdout_text(), given)?;
    if given.is("state", "absent") {
        if installed.iter().any(|name| name == given.word("name")) {
            npm_change("uninstall", given, context)?;
            changed = true;
        }
        return Ok(Outcome::new(changed));
    }
    // It is asked before anything changes, as Ansible does.
    let is_outdated = given.is("state", "latest")
        && !npm_run(&["outdated"], given, true, context)?.stdout_text().trim().is_empty();
    if is_missing {
        npm_change("install", given, context)?;
        changed = true;
    }
    if is_outdated {
        npm_change("update", given, context)?;
        changed = true;
    }
    Ok(Outcome::new(changed))
}

fn npm_change(action: &str, given: Given<'_>, context: &mut Context<'_>) -> Result<(), Failure> {
    if context.check {
        return Ok(());
    }
    context.about_to_change()?;
    if let Some(folder) = given.text("path").map(|path| paths::expand(context, path)) {
        fs::create_dir_all(&folder).map_err(|error| Failure::system("create", &folder, &error))?;
    }
    let finished = npm_run(&[action], given, true, context)?;
    if finished.succeeded() {
        return Ok(());
    }
    Err(finished.failure(finished.stderr_text()))
}

fn npm_run(
    words: &[&str],
    given: Given<'_>,
    named: bool,
    context: &Context<'_>,
) -> Result<Finished, Failure> {
    let mut run = program(given, "npm")?.arguments(words);
    let production = matches!(words, ["install" | "update" | "ci"]);
    let flags = [
        (given.flag("global"), "--global"),
        (given.flag("production") && production, "--production"),
        (given.flag("ignore_scripts"), "--ignore-scripts"),
        (given.flag("unsafe_perm"), "--unsafe-perm"),
    ];
    for (_, flag) in flags.iter().filter(|(is_set, _)| *is_set) {
        run = run.argument(flag);
    }
    if let Some(name) = given.text("name").filter(|_| named) {
        let version = given.text("version").filter(|_| !given.is("state", "absent"));
        run = run.argument(version.map_or(name.to_owned(), |version| format!("{name}@{version}")));
    }
    if let Some(registry) = given.text("registry") {
        run = run.argument("--registry").argument(registry);
    }
    for name in ["no_optional", "no_bin_links", "force"] {
        if given.flag(name) {
            run = run.argument(format!("--{}", name.replace('_', "-")));
        }
    }
    if let Some(folder) = given.text("path").map(|path| paths::expand(context, path))
        && folder.is_dir()
    {
        run = run.directory(folder);
    } else if given.text("path").is_some() {
        // Where nothing is, nothing is installed.
        return Ok(Finished::default());
    }
    Ok(run.run(context)?)
}

/// What is installed, and whether something is missing.
fn npm_packages(text: &str, given: Given<'_>) -> Result<(Vec<String>, bool), Failure> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let list: Value = serde_json::from_str(text)
        .map_err(|error| Failure::new(format!("Failed to parse NPM output with error {error}")))?;
    let Some(list) = list.get("dependencies").and_then(Value::as_object) else {
        return Ok((Vec::new(), true));
    };
    let mut installed = Vec::new();
    let mut is_missing = false;
    for (name, package) in list {
        let has = |what: &str| match package.get(what) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => !text.is_empty(),
            _ => false,
        };
        if has("missing") || has("invalid") {
            is_missing = true;
            continue;
        }
        installed.push(name.clone());
        if let Some(version) = package.get("version").and_then(Value::as_str) {
            installed.push(format!("{name}@{version}"));
        }
    }
    if let Some(name) = given.text("name") {
        let wanted = match given.text("version") {
            Some(version) => format!("{name}@{version}"),
            None => name.to_owned(),
        };
        is_missing |= !installed.contains(&wanted);
    }
    Ok((installed, is_missing))
}

/// `gem`: packages of Ruby.
///
/// # Errors
/// When the parameters don't fit together, or gem fails.
pub fn gem(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let is_latest = given.is("state", "latest");
    let refused = if given.text("version").is_some() && is_latest {
        Some("Cannot specify version when state=latest")
    } else if given.text("gem_source").is_some() && is_latest {
        Some("Cannot maintain state=latest when installing from local source")
    } else if given.flag("user_install") && given.text("install_dir").is_some() {
        Some("install_dir requires user_install=false")
    } else {
        None
    };
    if let Some(message) = refused {
        return Err(Failure::new(message));
    }
    let mut version = given.text("version").map(str::to_owned);
    if is_latest {
        version = gem_versions(given, true, context)?.into_iter().next();
    }
    let installed = gem_versions(given, false, context)?;
    let is_there = match &version {
        Some(version) => installed.contains(version),
        None => !installed.is_empty(),
    };
    let is_wanted = !given.is("state", "absent");
    if is_there != is_wanted && !context.check {
        context.about_to_change()?;
        let run = gem_program(given)?;
        let version = version.as_deref();
        let run = if is_wanted { gem_install(run, given, version) } else { gem_remove(run, given) };
        run.succeed(context)?;
    }
    let mut outcome = Outcome::new(is_there != is_wanted)
        .with("name", given.word("name"))
        .with("state", given.word("state"));
    if let Some(version) = version {
        outcome = outcome.with("version", version);
    }
    Ok(outcome)
}

fn gem_program(given: Given<'_>) -> Result<Run, Failure> {
    let run = program(given, "gem")?;
    Ok(match given.text("install_dir") {
        Some(folder) => run.variable("GEM_HOME", folder),
        None => run,
    })
}

fn with_values(mut run: Run, given: Given<'_>, options: &[(&str, &str)]) -> Run {
    for (name, option) in options {
        if let Some(value) = given.text(name) {
            run = run.argument(option).argument(value);
        }
    }
    run
}

fn with_norc(run: Run, given: Given<'_>) -> Run {
    if given.flag("norc") { run.argument("--norc") } else { run }
}

fn gem_versions(
    given: Given<'_>,
    remote: bool,
    context: &Context<'_>,
) -> Result<Vec<String>, Failure> {
    let mut run = with_norc(gem_program(given)?.argument("list"), given);
    if remote {
        run = with_values(run.argument("--remote"), given, &[("repository", "--source")]);
    }
    let name = format!("^{}$", given.word("name"));
    let text = run.argument(name).parsable().succeed(context)?.stdout_text();
    Ok(text.lines().flat_map(versions_in).collect())
}

/// `rake (default: 13.0.6, 12.0.0 ruby)`
fn versions_in(line: &str) -> Vec<String> {
    let list = line.split_once(" (").and_then(|(_, rest)| rest.rsplit_once(')'));
    let list = list.map_or("", |(list, _)| list.strip_prefix("default: ").unwrap_or(list));
    let first_words = list.split(", ").filter_map(|version| version.split_whitespace().next());
    first_words.map(str::to_owned).collect()
}

fn gem_install(run: Run, given: Given<'_>, version: Option<&str>) -> Run {
    let mut run = with_norc(run.argument("install"), given);
    if let Some(version) = version {
        run = run.argument("--version").argument(version);
    }
    run = with_values(run, given, &[("repository", "--source")]);
    if !given.flag("include_dependencies") {
        run = run.argument("--ignore-dependencies");
    }
    let user = if given.flag("user_install") { "--user-install" } else { "--no-user-install" };
    run = run.argument(user);
    run = with_values(run, given, &[("install_dir", "--install-dir"), ("bindir", "--bindir")]);
    let flags = [
        (given.flag("pre_release"), "--pre"),
        (!given.flag("include_doc"), "--no-document"),
        (given.flag("env_shebang"), "--env-shebang"),
        (given.flag("force"), "--force"),
    ];
    for (_, flag) in flags.iter().filter(|(is_set, _)| *is_set) {
        run = run.argument(flag);
    }
    run = run.argument(given.text("gem_source").unwrap_or(given.word("name")));
    match given.text("build_flags") {
        Some(flags) => run.argument("--").argument(flags),
        None => run,
    }
}

fn gem_remove(run: Run, given: Given<'_>) -> Run {
    let run = with_norc(run.argument("uninstall"), given);
    let mut run =
        with_values(run, given, &[("install_dir", "--install-dir"), ("bindir", "--bindir")]);
    run = match given.text("version") {
        Some(version) => run.argument("--version").argument(version),
        None => run.argument("--all"),
    };
    run = run.argument("--executable");
    if given.flag("force") {
        run = run.argument("--force");
    }
    run.argument(given.word("name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(run: &Run) -> String {
        run.words().join(" ")
    }

    #[test]
    fn lists_of_npm_are_understood() {
        let text = r#"{"dependencies": {"a": {"version": "1.0"}, "b": {"missing": true}}}"#;
        let of = |given: Value| npm_packages(text, Given(given.as_object().unwrap())).unwrap();
        assert_eq!(of(json!({"name": "a"})), (vec!["a".to_owned(), "a@1.0".to_owned()], true));
        let whole = r#"{"dependencies": {"a": {"version": "1.0"}}}"#;
        let of = |given: Value| npm_packages(whole, Given(given.as_object().unwrap())).unwrap().1;
        assert!(!of(json!({"name": "a"})) && !of(json!({"name": "a", "version": "1.0"})));
        assert!(of(json!({"name": "a", "version": "2"})) && !of(json!({})));
        assert!(npm_packages("", Given(&Object::new())).unwrap().1);
        assert!(npm_packages("oops", Given(&Object::new())).is_err());
    }

    #[test]
    fn versions_of_gems_are_read() {
        assert_eq!(versions_in("rake (default: 13.0.6, 12.0.0 ruby)"), ["13.0.6", "12.0.0"]);
        assert!(versions_in("*** LOCAL GEMS ***").is_empty());
    }

    #[test]
    fn gem_gets_its_options() {
        let given = json!({"name": "x", "user_install": false, "include_dependencies": true,
            "norc": true, "bindir": "/b"});
        let given = Given(given.as_object().unwrap());
        assert_eq!(
            words(&gem_install(Run::new("gem"), given, Some("1"))),
            "gem install --norc --version 1 --no-user-install --bindir /b --no-document x"
        );
        assert_eq!(
            words(&gem_remove(Run::new("gem"), given)),
            "gem uninstall --norc --bindir /b --all --executable x"
        );
    }
}
