//! `synchronize`: rsync, on the machine that the controller has chosen. Where the other side is
//! another machine, the controller has written it into `src` or `dest`, and `_rsh` leads there.

use provision_protocol::{Diff, Object};

use super::super::process::Run;
use super::super::words::{self, Environment};
use crate::module::{Context, Failure, Given, Outcome};

/// Begins each line about something that was changed.
const MARK: &str = "<<CHANGED>>";
/// As above, of something that only got other attributes, or none: with `link_dest` every file.
const UNCHANGED: &str = "<<CHANGED>>.";

/// `synchronize`: copies files with rsync.
///
/// # Errors
/// When rsync fails, or the way to the other machine can't be handed on to it.
pub fn synchronize(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    if let Some(reason) = given.text("_refused") {
        return Err(Failure::new(reason));
    }
    let environment = Environment::new(&context.environment);
    // What is on this machine may begin with a home.
    let path = |name: &str| match given.word(name) {
        text if text.starts_with('~') => environment.expand_path(text).display().to_string(),
        text => text.to_owned(),
    };
    let mut run = Run::tool("rsync")?.arguments(options(given, context.check));
    let folders = given.words("link_dest");
    if !folders.is_empty() {
        run = run.argument("-H");
    }
    for folder in &folders {
        run = run.argument(format!("--link-dest={folder}"));
    }
    run =
        run.argument(format!("--out-format={MARK}%i %n%L")).arguments([path("src"), path("dest")]);
    let shown: Vec<String> = run.words().iter().map(|word| words::quote(word)).collect();
    let shown = shown.join(" ");
    if !context.check {
        context.about_to_change()?;
    }
    let finished = run.run(context)?;
    if !finished.succeeded() {
        let said = finished.stderr_text();
        return Err(finished.failure(said.trim_end()).with("cmd", shown));
    }
    let said = finished.stdout_text();
    let changed = match folders.is_empty() {
        true => said.contains(MARK),
        false => said.lines().any(|line| line.contains(MARK) && !line.contains(UNCHANGED)),
    };
    let said = said.replace(MARK, "");
    let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    let mut outcome = Outcome::new(changed)
        .with("cmd", shown)
        .with("rc", finished.rc)
        .with("stdout_lines", lines)
        .with("msg", said.as_str());
    if context.diff {
        outcome.diff.push(Diff { after: said, ..Diff::default() });
    }
    Ok(outcome)
}

/// The options, as the parameters say.
fn options(given: Given<'_>, check: bool) -> Vec<String> {
    let mut options: Vec<String> = Vec::new();
    let mut add = |is_wanted: bool, option: &str| {
        if is_wanted {
            options.push(option.to_owned());
        }
    };
    let archive = given.flag("archive");
    add(given.flag("delay_updates"), "--delay-updates");
    add(true, "-F");
    add(given.flag("compress"), "--compress");
    add(check, "--dry-run");
    add(given.flag("delete"), "--delete-after");
    add(given.flag("existing_only"), "--existing");
    add(given.flag("checksum"), "--checksum");
    add(given.flag("copy_links"), "--copy-links");
    add(given.flag("partial"), "--partial");
    add(archive, "--archive");
    for name in ["recursive", "links", "perms", "times", "owner", "group"] {
        match given.choice(name) {
            Some(true) if !archive => add(true, &format!("--{name}")),
            Some(false) if archive => add(true, &format!("--no-{name}")),
            _ => {}
        }
    }
    add(given.flag("dirs"), "--dirs");
    if let Some(seconds) = given.integer("rsync_timeout").filter(|seconds| *seconds > 0) {
        add(true, &format!("--timeout={seconds}"));
    }
    if let Some(path) = given.text("rsync_path").filter(|path| !path.is_empty()) {
        add(true, &format!("--rsync-path={path}"));
    }
    if let Some(shell) = given.text("_rsh") {
        add(true, &format!("--rsh={shell}"));
    }
    for option in given.words("rsync_opts") {
        add(true, option);
    }
    options
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::modules::system::testing::context;

    struct Folders(tempfile::TempDir);

    impl Folders {
        fn new() -> Folders {
            let folders = Folders(tempfile::tempdir().unwrap());
            fs::create_dir(folders.0.path().join("from")).unwrap();
            fs::write(folders.0.path().join("from/file"), "one").unwrap();
            fs::create_dir(folders.0.path().join("to")).unwrap();
            folders
        }

        fn path(&self, name: &str) -> String {
            self.0.path().join(name).display().to_string()
        }

        fn arguments(&self, more: Value) -> Value {
            let mut given = json!({"src": self.path("from/"), "dest": self.path("to")});
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            given
        }

        fn call(&self, more: Value) -> Outcome {
            context().call_named("synchronize", self.arguments(more)).unwrap()
        }
    }

    #[test]
    fn what_differs_is_copied_once() {
        let folders = Folders::new();
        fs::write(folders.path("to/old"), "").unwrap();
        let checked =
            context().checking().call_named("synchronize", folders.arguments(json!({}))).unwrap();
        assert!(checked.changed && !folders.0.path().join("to/file").exists());
        let outcome = folders.call(json!({"delete": true}));
        assert!(outcome.changed);
        assert_eq!(fs::read_to_string(folders.path("to/file")).unwrap(), "one");
        assert!(!folders.0.path().join("to/old").exists());
        let lines = outcome.values["stdout_lines"].to_string();
        assert!(lines.contains(">f+++++++++ file") && lines.contains("*deleting   old"), "{lines}");
        assert!(!outcome.values["msg"].as_str().unwrap().contains("CHANGED"));
        assert!(!folders.call(json!({"delete": true})).changed);
        // As large and as old: only the content tells.
        let time = fs::metadata(folders.path("to/file")).unwrap().modified().unwrap();
        fs::write(folders.path("from/file"), "two").unwrap();
        fs::File::options()
            .append(true)
            .open(folders.path("from/file"))
            .unwrap()
            .set_modified(time)
            .unwrap();
        assert!(!folders.call(json!({})).changed);
        assert!(folders.call(json!({"checksum": true})).changed);
    }

    #[test]
    fn parameters_become_options() {
        let all = |given: Value| {
            let Value::Object(given) = given else { panic!("no mapping") };
            options(Given(&given), false).join(" ")
        };
        assert_eq!(all(json!({"archive": true, "times": false})), "-F --archive --no-times");
        assert_eq!(all(json!({"recursive": true, "times": false})), "-F --recursive");
        let given =
            json!({"rsync_timeout": 5, "rsync_path": "sudo rsync", "rsync_opts": ["--a=b c"]});
        assert_eq!(all(given), "-F --timeout=5 --rsync-path=sudo rsync --a=b c");
    }

    #[test]
    fn failures_have_rsync_s_words() {
        let folders = Folders::new();
        let given = json!({"src": folders.path("nowhere"), "dest": folders.path("to")});
        let failure = context().call_named("synchronize", given).unwrap_err();
        assert_eq!(failure.values["rc"], 23);
        assert!(failure.message.contains("No such file or directory"), "{}", failure.message);
        let failure = context()
            .call(synchronize, json!({"src": "a", "dest": "b", "_refused": "no way"}))
            .unwrap_err();
        assert_eq!(failure.message, "no way");
    }
}
