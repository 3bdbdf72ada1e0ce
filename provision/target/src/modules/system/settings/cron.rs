//! `cron`.

use std::fs;
use std::path::{Path, PathBuf};

use provision_protocol::{Diff, Object};
use serde::Deserialize;

use super::super::private::random_name;
use super::super::process::Run;
use super::super::words::Environment;
use super::{read, replace};
use crate::disk::attributes::Wanted;
use crate::disk::mode::Mode;
use crate::module::{Context, Failure, Outcome, arguments};
use crate::names;

/// Comment that stands before each job and names it.
const MARK: &str = "#Ansible: ";

#[derive(Debug, Deserialize)]
struct CronArguments {
    name: String,
    user: Option<String>,
    job: Option<String>,
    cron_file: Option<String>,
    state: Option<String>,
    #[serde(default)]
    backup: bool,
    minute: Option<String>,
    hour: Option<String>,
    day: Option<String>,
    month: Option<String>,
    weekday: Option<String>,
    special_time: Option<String>,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    env: bool,
    insertafter: Option<String>,
    insertbefore: Option<String>,
}

impl CronArguments {
    fn is_present(&self) -> bool {
        self.state.as_deref() != Some("absent")
    }

    fn times(&self) -> [&str; 5] {
        [&self.minute, &self.hour, &self.day, &self.month, &self.weekday]
            .map(|field| field.as_deref().unwrap_or("*"))
    }

    /// The line of the job.
    fn line(&self) -> String {
        let prefix = if self.disabled { "#" } else { "" };
        let time = match &self.special_time {
            Some(name) => format!("@{name}"),
            None => self.times().join(" "),
        };
        let job = self.job.as_deref().unwrap_or_default().trim_matches(['\r', '\n']);
        match (&self.cron_file, &self.user) {
            (Some(_), Some(user)) => format!("{prefix}{time} {user} {job}"),
            _ => format!("{prefix}{time} {job}"),
        }
    }
}

/// Where a table lies.
enum Place {
    File(PathBuf),
    /// A user's own table, behind `crontab`; `None`: this process's user.
    User(Option<String>),
}

/// `cron`: manages jobs and variables of cron.
///
/// # Errors
/// When arguments contradict each other or the table can't be written.
pub fn cron(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: CronArguments = arguments(given)?;
    let mut warnings = check(&given)?;
    let place = place(&given, context);
    let text = load(&place, context)?;
    let mut table = Table { lines: text.lines().map(str::to_owned).collect() };
    let mut changed = if given.env {
        table.apply_variable(&given)?
    } else {
        let job = given.job.as_deref().unwrap_or_default().trim_matches(['\r', '\n']);
        if given.is_present() && job.contains(['\r', '\n']) {
            warnings.push("Job should not contain line breaks".to_owned());
        }
        table.apply_job(&given)
    };
    // cron ignores a last line without an end.
    changed |= !text.is_empty() && !text.ends_with(['\n', '\r']);
    let mut outcome =
        Outcome::new(changed).with("jobs", table.jobs()).with("envs", table.variables());
    if let Some(file) = &given.cron_file {
        outcome = outcome.with("cron_file", file.as_str());
    }
    if !warnings.is_empty() {
        outcome = outcome.with("warnings", warnings);
    }
    if changed {
        let backup = store(&place, &text, &table, &given, &mut outcome, context)?;
        if let Some(backup) = backup {
            outcome = outcome.with("backup_file", backup.to_string_lossy());
        }
    }
    Ok(outcome)
}

fn check(given: &CronArguments) -> Result<Vec<String>, Failure> {
    let wrong = |message: &str| Err(Failure::new(message));
    if given.cron_file.as_deref() == Some("/etc/crontab") {
        return wrong("Will not manage /etc/crontab via cron_file, see documentation.");
    }
    if given.special_time.is_some() && given.times().iter().any(|field| *field != "*") {
        return wrong("You must specify time and date fields or special time.");
    }
    if given.insertafter.is_some() && given.insertbefore.is_some() {
        return wrong("parameters are mutually exclusive: insertafter|insertbefore");
    }
    if given.is_present() {
        if given.cron_file.is_some() && given.user.is_none() {
            return wrong("To use cron_file=... parameter you must specify user=... as well");
        }
        if given.job.is_none() {
            return wrong("You must specify 'job' to install a new cron job or variable");
        }
    }
    if (given.insertafter.is_some() || given.insertbefore.is_some()) && !given.env {
        return wrong("Insertafter and insertbefore parameters are valid only with env=yes");
    }
    if given.env && given.name.contains(' ') {
        return wrong("Invalid name for environment variable");
    }
    if given.name.contains(['\r', '\n']) {
        return wrong("a name can't contain line ends");
    }
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    let base = given.cron_file.as_deref().and_then(|file| file.rsplit('/').next());
    Ok(match base {
        Some(base) if !base.chars().all(plain) => vec![format!(
            "Filename portion of cron_file (\"{base}\") should consist solely of upper- and \
             lower-case letters, digits, underscores, and hyphens"
        )],
        _ => Vec::new(),
    })
}

fn place(given: &CronArguments, context: &Context<'_>) -> Place {
    if let Some(file) = &given.cron_file {
        let file = Environment::new(&context.environment).expand_path(file);
        return Place::File(Path::new("/etc/cron.d").join(file));
    }
    let own = names::user_by_id(nix::unistd::geteuid().as_raw()).ok().flatten();
    let own = own.map(|user| user.name);
    Place::User(given.user.clone().filter(|user| Some(user) != own.as_ref()))
}

fn load(place: &Place, context: &Context<'_>) -> Result<String, Failure> {
    let user = match place {
        Place::File(path) => return read(path),
        Place::User(user) => user,
    };
    let mut run = Run::tool("crontab")?.parsable();
    if let Some(user) = user {
        run = run.arguments(["-u", user]);
    }
    let finished = run.argument("-l").run(context)?;
    match finished.rc {
        0 => Ok(without_notice(&finished.stdout_text())),
        // There is no table.
        1 if finished.stderr_text().contains("no crontab") => Ok(String::new()),
        _ => {
            Err(finished
                .failure(format!("Unable to read crontab: {}", finished.stderr_text().trim())))
        }
    }
}

/// Some implementations show three lines of their own before the table.
fn without_notice(text: &str) -> String {
    const LINES: usize = 3;
    let is_notice = |line: &str| {
        line.starts_with("# DO NOT EDIT THIS FILE - edit the master and reinstall.")
            || (line.starts_with("# (/tmp/") && line.contains("installed on"))
            || (line.starts_with("# (") && line.contains("version"))
    };
    text.split_inclusive('\n')
        .enumerate()
        .filter(|(index, line)| *index >= LINES || !is_notice(line))
        .map(|(_, line)| line)
        .collect()
}

fn store(
    place: &Place,
    before: &str,
    table: &Table,
    given: &CronArguments,
    outcome: &mut Outcome,
    context: &mut Context<'_>,
) -> Result<Option<PathBuf>, Failure> {
    let after = table.render();
    match place {
        Place::File(path) if !given.is_present() && table.is_empty() => {
            outcome.changed = true;
            if context.diff {
                outcome.diff.push(diff(&path.to_string_lossy(), before, ""));
            }
            if !context.check {
                context.about_to_change()?;
                fs::remove_file(path).map_err(|error| Failure::system("remove", path, &error))?;
            }
            Ok(None)
        }
        Place::File(path) => {
            // cron ignores files that others may write.
            let mode = if path.exists() { None } else { Some(Mode::parse(&"0644".into())?) };
            let wanted = Wanted { mode, ..Wanted::default() };
            replace(path, before, &after, &wanted, given.backup, outcome, context)
        }
        Place::User(user) => {
            if context.diff {
                let name = user.as_ref().map_or_else(
                    || "crontab".to_owned(),
                    |user| format!("crontab for user \"{user}\""),
                );
                outcome.diff.push(diff(&name, before, &after));
            }
            if context.check {
                return Ok(None);
            }
            context.about_to_change()?;
            let backup = if given.backup { Some(back_up(before)?) } else { None };
            let mut run = Run::tool("crontab")?;
            if let Some(user) = user {
                run = run.arguments(["-u", user]);
            }
            run.argument("-").input(after.into_bytes()).succeed(context)?;
            Ok(backup)
        }
    }
}

fn diff(name: &str, before: &str, after: &str) -> Diff {
    Diff {
        before_header: Some(name.to_owned()),
        after_header: Some(name.to_owned()),
        before: before.to_owned(),
        after: after.to_owned(),
        attributes: None,
    }
}

/// A table has no place of its own for backups.
fn back_up(text: &str) -> Result<PathBuf, Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let name = random_name().map_err(|error| Failure::new(format!("no randomness: {error}")))?;
    let path = std::env::temp_dir().join(format!("crontab{name}"));
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::system("write", &path, &error))?;
    Ok(path)
}

/// The lines of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    lines: Vec<String>,
}

impl Table {
    fn render(&self) -> String {
        let text = self.lines.join("\n");
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() { String::new() } else { format!("{text}\n") }
    }

    fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.trim().is_empty())
    }

    fn jobs(&self) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line.strip_prefix(MARK)).collect()
    }

    fn variables(&self) -> Vec<&str> {
        self.lines
            .iter()
            .filter_map(|line| line.split_once('='))
            .map(|(name, _)| name)
            .filter(|name| !name.is_empty() && !name.contains(char::is_whitespace))
            .collect()
    }

    /// Where the mark of a job is.
    fn find_job(&self, name: &str) -> Option<usize> {
        self.lines.iter().position(|line| line.strip_prefix(MARK) == Some(name))
    }

    /// Sets or removes a job; whether anything changed.
    fn apply_job(&mut self, given: &CronArguments) -> bool {
        let before = self.lines.clone();
        let mark = format!("{MARK}{}", given.name);
        let line = given.line();
        if !given.is_present() {
            while let Some(at) = self.find_job(&given.name) {
                self.lines.drain(at..(at + 2).min(self.lines.len()));
            }
            return self.lines != before;
        }
        match self.find_job(&given.name) {
            Some(at) => match self.lines.get_mut(at + 1) {
                Some(present) => *present = line,
                None => self.lines.push(line),
            },
            // The same job without a name gets one.
            None => match self.lines.iter().position(|present| *present == line) {
                Some(at) => {
                    let previous = at.checked_sub(1).and_then(|at| self.lines.get(at));
                    let is_named = previous.is_some_and(|line| line.starts_with(MARK));
                    if is_named {
                        self.lines.extend([mark, line]);
                    } else {
                        self.lines.insert(at, mark);
                    }
                }
                None => self.lines.extend([mark, line]),
            },
        }
        self.lines != before
    }

    fn find_variable(&self, name: &str) -> Option<usize> {
        self.lines
            .iter()
            .position(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))
    }

    /// Sets or removes a variable; whether anything changed.
    fn apply_variable(&mut self, given: &CronArguments) -> Result<bool, Failure> {
        let before = self.lines.clone();
        let line = format!("{}=\"{}\"", given.name, given.job.as_deref().unwrap_or_default());
        if !given.is_present() {
            while let Some(at) = self.find_variable(&given.name) {
                self.lines.remove(at);
            }
            return Ok(self.lines != before);
        }
        if let Some(at) = self.find_variable(&given.name) {
            if let Some(present) = self.lines.get_mut(at) {
                *present = line;
            }
            return Ok(self.lines != before);
        }
        let at = match (&given.insertafter, &given.insertbefore) {
            (None, None) => 0,
            (Some(other), _) | (None, Some(other)) => {
                let Some(at) = self.find_variable(other) else {
                    return Err(Failure::new(format!("Variable named '{other}' not found.")));
                };
                at + usize::from(given.insertafter.is_some())
            }
        };
        self.lines.insert(at, line);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::modules::system::testing::{context, object};

    fn apply(table: &mut Table, given: Value) -> bool {
        let given: CronArguments = arguments(&object(given)).unwrap();
        if given.env { table.apply_variable(&given).unwrap() } else { table.apply_job(&given) }
    }

    #[test]
    fn jobs_have_names() {
        let mut table = Table { lines: vec!["# mine".into(), "5 * * * * old".into()] };
        let job = json!({"name": "check", "hour": "5,2", "job": "ls"});
        assert!(apply(&mut table, job.clone()));
        assert!(!apply(&mut table, job));
        assert!(apply(&mut table, json!({"name": "old", "minute": "5", "job": "old"})));
        assert_eq!(
            table.render(),
            "# mine\n#Ansible: old\n5 * * * * old\n#Ansible: check\n* 5,2 * * * ls\n"
        );
        assert!(apply(&mut table, json!({"name": "check", "job": "ls", "special_time": "daily"})));
        assert_eq!(table.jobs(), ["old", "check"]);
        assert!(apply(&mut table, json!({"name": "check", "job": "ls", "disabled": true})));
        assert!(table.render().ends_with("#Ansible: check\n#* * * * * ls\n"));
        assert!(apply(&mut table, json!({"name": "old", "state": "absent"})));
        assert!(!apply(&mut table, json!({"name": "old", "state": "absent"})));
        assert_eq!(table.render(), "# mine\n#Ansible: check\n#* * * * * ls\n");
    }

    #[test]
    fn variables_have_places() {
        let mut table = Table { lines: vec!["A=1".into(), "* * * * * x".into()] };
        let set = |name: &str, extra: Value| {
            let mut given = json!({"name": name, "job": "v", "env": true});
            given.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            given
        };
        assert!(apply(&mut table, set("B", json!({"insertafter": "A"}))));
        assert!(apply(&mut table, set("C", json!({}))));
        assert_eq!(table.variables(), ["C", "A", "B"]);
        assert!(!apply(&mut table, set("C", json!({}))));
        assert!(apply(&mut table, set("A", json!({"state": "absent"}))));
        assert_eq!(table.render(), "C=\"v\"\nB=\"v\"\n* * * * * x\n");
    }

    #[test]
    fn files_belong_to_users() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("job");
        let given = json!({"name": "n", "user": "root", "job": "x", "cron_file": file});
        let mut bench = context();
        assert!(bench.call(cron, given.clone()).unwrap().changed);
        assert_eq!(fs::read_to_string(&file).unwrap(), "#Ansible: n\n* * * * * root x\n");
        assert!(!bench.call(cron, given).unwrap().changed);
        let given = json!({"name": "n", "state": "absent", "cron_file": file});
        assert!(context().checking().call(cron, given.clone()).unwrap().changed);
        assert!(file.exists());
        assert!(bench.call(cron, given).unwrap().changed);
        assert!(!file.exists());
        for wrong in [
            json!({"name": "n", "job": "x", "cron_file": "f"}),
            json!({"name": "n"}),
            json!({"name": "n", "job": "x", "special_time": "daily", "hour": "1"}),
            json!({"name": "a b", "job": "x", "env": true}),
        ] {
            assert!(bench.call(cron, wrong).is_err());
        }
    }

    #[test]
    fn notices_are_not_part_of_tables() {
        let text = "# DO NOT EDIT THIS FILE - edit the master and reinstall.\n\
            # (/tmp/x installed on y)\n# (Cron version)\n# (my version)\n* x\n";
        assert_eq!(without_notice(text), "# (my version)\n* x\n");
    }
}
