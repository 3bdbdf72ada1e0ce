//! `user`.

mod create;
mod home;
mod key;
mod modify;

use std::path::PathBuf;

use provision_protocol::Object;
use serde::Deserialize;

use super::accounts::{self, Shadow};
use super::clock;
use super::group::{show, succeeded};
use super::process::{Finished, Run};
use super::words::Environment;
use crate::disk::texts::AttributeChange;
use crate::module::{Context, Failure, Outcome, arguments};
use crate::names::User;

const SECONDS_A_DAY: i64 = 86_400;

const fn yes() -> bool {
    true
}

/// Parameters, as they are given.
#[derive(Debug, Default, Deserialize)]
struct UserArguments {
    name: String,
    state: Option<String>,
    uid: Option<u32>,
    #[serde(default)]
    non_unique: bool,
    group: Option<String>,
    groups: Option<Vec<String>>,
    #[serde(default)]
    append: bool,
    comment: Option<String>,
    home: Option<String>,
    shell: Option<String>,
    password: Option<String>,
    update_password: Option<String>,
    password_lock: Option<bool>,
    password_expire_max: Option<i64>,
    password_expire_min: Option<i64>,
    password_expire_warn: Option<i64>,
    password_expire_account_disable: Option<i64>,
    expires: Option<f64>,
    #[serde(default = "yes")]
    create_home: bool,
    #[serde(default)]
    move_home: bool,
    skeleton: Option<String>,
    umask: Option<String>,
    uid_min: Option<u32>,
    uid_max: Option<u32>,
    seuser: Option<String>,
    #[serde(default)]
    system: bool,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    remove: bool,
    #[serde(default)]
    local: bool,
    #[serde(default)]
    generate_ssh_key: bool,
    #[serde(default)]
    ssh_key_bits: u32,
    ssh_key_type: Option<String>,
    ssh_key_file: Option<String>,
    ssh_key_comment: Option<String>,
    ssh_key_passphrase: Option<String>,
}

impl UserArguments {
    fn is_present(&self) -> bool {
        self.state.as_deref() != Some("absent")
    }

    /// The account of this name.
    fn find(&self) -> Result<Option<User>, Failure> {
        accounts::user(&self.name, self.local)
    }

    /// The day the account is to expire; `Some(None)`: never.
    fn expiry_day(&self) -> Result<Option<Option<i64>>, Failure> {
        let Some(seconds) = self.expires else { return Ok(None) };
        if seconds < 0.0 {
            return Ok(Some(None));
        }
        let seconds: i64 = format!("{:.0}", seconds.floor())
            .parse()
            .map_err(|_| Failure::new(format!("Invalid value for 'expires' {seconds}")))?;
        Ok(Some(Some(seconds.div_euclid(SECONDS_A_DAY))))
    }
}

/// What was done, step by step.
struct Progress {
    outcome: Outcome,
    change: AttributeChange,
    warnings: Vec<String>,
}

/// `user`: manages a user account.
///
/// # Errors
/// When the arguments contradict each other or a command of the system fails.
pub fn user(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let mut given: UserArguments = arguments(given)?;
    let environment = Environment::new(&context.environment);
    let expand = |path: Option<String>| {
        path.map(|path| environment.expand_path(&path).to_string_lossy().into_owned())
    };
    given.home = expand(given.home.take());
    given.shell = expand(given.shell.take());
    given.ssh_key_file = expand(given.ssh_key_file.take());
    check(&given)?;
    let outcome = Outcome::new(false)
        .with("name", given.name.as_str())
        .with("state", if given.is_present() { "present" } else { "absent" });
    let change = AttributeChange::default();
    let mut progress = Progress { outcome, change, warnings: warnings(&given) };
    match (given.find()?, given.is_present()) {
        (Some(_), false) => remove(&given, context, &mut progress)?,
        (None, false) => {}
        (None, true) => create::create(&given, context, &mut progress)?,
        (Some(user), true) => {
            modify::modify(&given, &user, context, &mut progress)?;
            progress.set("append", given.append);
            progress.set("move_home", given.move_home);
        }
    }
    if given.is_present() {
        if given.password.is_some() {
            progress.set("password", "NOT_LOGGING_PASSWORD");
        }
        if let Some(user) = given.find()? {
            complete(&given, &user, context, &mut progress)?;
        } else if context.check && given.generate_ssh_key {
            progress.set("ssh_key_file", key::default_name(&given));
        }
    }
    Ok(progress.finish(context.diff))
}

impl Progress {
    fn set(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        self.outcome.values.insert(name.to_owned(), value.into());
    }

    /// Runs a command that changes something, unless this is a check.
    fn run(
        &mut self,
        run: Run,
        given: &UserArguments,
        context: &mut Context<'_>,
    ) -> Result<(), Failure> {
        self.outcome.changed = true;
        if context.check {
            return Ok(());
        }
        context.about_to_change()?;
        let finished: Finished = succeeded(run.run(context)?, &given.name)?;
        show(&mut self.outcome, &finished);
        Ok(())
    }

    fn finish(mut self, diff: bool) -> Outcome {
        if diff && self.outcome.changed {
            self.outcome.diff.push(self.change.diff());
        }
        if !self.warnings.is_empty() {
            self.outcome.values.insert("warnings".to_owned(), self.warnings.into());
        }
        self.outcome
    }
}

fn check(given: &UserArguments) -> Result<(), Failure> {
    let local_only = [
        ("umask", given.umask.is_some()),
        ("uid_min", given.uid_min.is_some()),
        ("uid_max", given.uid_max.is_some()),
    ];
    for (name, is_given) in local_only {
        if given.local && is_given {
            return Err(Failure::new(format!("'{name}' can not be used with 'local'")));
        }
    }
    // These go into files of lines and fields.
    let fields = [&given.comment, &given.home, &given.shell, &given.password];
    for field in fields.into_iter().flatten() {
        if field.contains(['\n', ':']) {
            return Err(Failure::new("fields of an account can't contain colons or line ends"));
        }
    }
    given.expiry_day().map(|_| ())
}

fn warnings(given: &UserArguments) -> Vec<String> {
    let mut warnings = Vec::new();
    if given.append && given.groups.is_none() {
        warnings.push(
            "'append' is set, but no 'groups' are specified. Use 'groups' for appending new groups."
                .to_owned(),
        );
    }
    if given.password.as_deref().is_some_and(|password| !looks_encrypted(password)) {
        warnings.push(
            "The input password appears not to have been hashed. The 'password' argument must be \
             encrypted for this module to work properly."
                .to_owned(),
        );
    }
    warnings
}

/// Whether a password has the form `crypt(3)` makes, or one that locks the account.
fn looks_encrypted(password: &str) -> bool {
    if matches!(password, "" | "*" | "!" | "*************") {
        return true;
    }
    let fields: Vec<&str> = password.split('$').collect();
    let (Some(method), Some(hash)) = (fields.get(1), fields.last()) else { return false };
    if fields.len() < 3 || password.contains([':', '*', '!']) {
        return false;
    }
    let legal = |character: char| character.is_ascii_alphanumeric() || "./".contains(character);
    let length = match *method {
        "1" => Some(22),
        "5" | "y" => Some(43),
        "6" => Some(86),
        _ => None,
    };
    hash.chars().all(legal) && length.is_none_or(|length| hash.len() == length)
}

fn remove(
    given: &UserArguments,
    context: &mut Context<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    progress.change.note("state", "present", "absent");
    let mut run = Run::tool(if given.local { "luserdel" } else { "userdel" })?;
    if given.force && !given.local {
        run = run.argument("-f");
    }
    if given.remove {
        run = run.argument("-r");
    }
    progress.run(run.argument(&given.name), given, context)?;
    progress.set("force", given.force);
    progress.set("remove", given.remove);
    Ok(())
}

/// What follows once the account exists: its description, its home, its key, its deadlines.
fn complete(
    given: &UserArguments,
    user: &User,
    context: &mut Context<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    progress.set("uid", user.uid);
    progress.set("group", user.gid);
    progress.set("comment", user.gecos.as_str());
    progress.set("home", user.home.to_string_lossy());
    progress.set("shell", user.shell.to_string_lossy());
    if let Some(groups) = &given.groups {
        progress.set("groups", groups.join(","));
    }
    let home = given.home.as_ref().map_or_else(|| user.home.clone(), PathBuf::from);
    if given.create_home && !home.exists() {
        progress.outcome.changed = true;
        progress.change.note("home_exists", false, true);
        if !context.check {
            context.about_to_change()?;
            home::create(&home, given.skeleton.as_deref())?;
            home::give(&home, user.uid, user.gid)?;
        }
    }
    if given.generate_ssh_key {
        key::generate(given, user, context, progress)?;
    }
    deadlines(given, context, progress)
}

/// `chage`: when the password must, may and will have to be changed.
fn deadlines(
    given: &UserArguments,
    context: &mut Context<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    // Without the shadow file nothing can be compared, and chage would fail as well.
    let Some(shadow) = Shadow::of(&given.name) else { return Ok(()) };
    let mut options = Vec::new();
    for (name, option, wanted, now) in [
        ("password_expire_min", "-m", given.password_expire_min, shadow.minimum),
        ("password_expire_max", "-M", given.password_expire_max, shadow.maximum),
        ("password_expire_warn", "-W", given.password_expire_warn, shadow.warning),
    ] {
        // An empty field is -1 for the C library.
        if let Some(wanted) = wanted.filter(|wanted| *wanted != now.unwrap_or(-1)) {
            progress.change.note(name, now, wanted);
            options.extend([option.to_owned(), wanted.to_string()]);
        }
    }
    if options.is_empty() {
        return Ok(());
    }
    let run = Run::tool("chage")?.arguments(options).argument(&given.name);
    progress.run(run, given, context)
}

/// Sets an encrypted password without showing it to other users of the host, as an argument
/// would do.
fn set_password(
    password: &str,
    given: &UserArguments,
    context: &mut Context<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let locked = if given.password_lock == Some(true) { "!" } else { "" };
    let line = format!("{}:{locked}{password}\n", given.name);
    let run = Run::tool("chpasswd")?.argument("-e").input(line.into_bytes());
    progress.run(run, given, context)
}

/// A day as `2024-12-31`.
fn date(day: i64) -> String {
    let (year, month, day) = clock::civil(day);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn passwords_are_hashes() {
        let sha512 = format!("$6$salt${}", "a".repeat(86));
        for good in ["*", "!", sha512.as_str(), "$2b$12$abc", &format!("$1$s${}", "x".repeat(22))] {
            assert!(looks_encrypted(good), "{good}");
        }
        for bad in ["secret", "$6$salt$short", "$6$abc", "a:b", "$1$x$!"] {
            assert!(!looks_encrypted(bad), "{bad}");
        }
    }

    #[test]
    fn checks_predict() {
        let call = |given| context().checking().call(user, given).unwrap();
        let created = call(json!({"name": "no-such-user", "uid": 4711, "groups": ["root"]}));
        assert!(created.changed);
        assert!(!call(json!({"name": "no-such-user", "state": "absent"})).changed);
        assert!(call(json!({"name": "root", "state": "absent"})).changed);
        let same = call(json!({"name": "root", "uid": 0, "home": "/root", "group": "root"}));
        assert!(!same.changed);
        assert_eq!(same.values["home"], "/root");
        assert!(call(json!({"name": "root", "comment": "another one"})).changed);
        assert!(call(json!({"name": "root", "groups": ["daemon"]})).changed);
    }

    #[test]
    fn what_breaks_the_files_is_refused() {
        let mut bench = context();
        for given in [
            json!({"name": "x", "comment": "a:b"}),
            json!({"name": "x", "comment": "a\nroot::0:0"}),
            json!({"name": "x", "local": true, "umask": "022"}),
            json!({"name": "no-such-user", "group": "no-such-group"}),
        ] {
            assert!(bench.call(user, given.clone()).is_err(), "{given}");
        }
    }

    #[test]
    fn days_and_dates() {
        let given = UserArguments { expires: Some(1_709_210_096.7), ..UserArguments::default() };
        let day = given.expiry_day().unwrap().unwrap().unwrap();
        assert_eq!(date(day), "2024-02-29");
        let never = UserArguments { expires: Some(-1.0), ..UserArguments::default() };
        assert_eq!(never.expiry_day().unwrap(), Some(None));
    }
}
