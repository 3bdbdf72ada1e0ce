//! `pip`: packages of Python.

use std::path::{Path, PathBuf};

use provision_protocol::Object;
use serde_json::{Value, json};

use super::super::process::{Finished, Run, find_program};
use super::super::words;
use crate::disk::paths;
use crate::module::{Context, Failure, Given, Outcome};

/// Which requirements (arguments) are met by what is installed (`name==version` lines): pip's own
/// reading of versions decides.
const PRESENT: &str = r"
import re, sys
from pip._vendor.packaging.requirements import Requirement
plain = lambda name: re.sub('[-_.]+', '-', name).lower()
lines = (line.strip().partition('==') for line in sys.stdin)
have = {plain(name): version for name, sign, version in lines if sign}
for text in sys.argv[1:]:
    try:
        wanted = Requirement(text)
        version = have.get(plain(wanted.name))
        print(int(version is not None and wanted.specifier.contains(version, prereleases=True)))
    except ValueError:
        print(0)
";

/// `pip`: installs and removes packages of Python.
///
/// # Errors
/// When pip isn't there, or fails.
pub fn pip(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    if given.is("state", "latest") && given.text("version").is_some() {
        return Err(Failure::new("version is incompatible with state=latest"));
    }
    let packages = packages(given)?;
    let chdir = given.text("chdir").map(|folder| paths::expand(context, folder));
    let folder = chdir.clone().unwrap_or_else(std::env::temp_dir);
    let environment = given.text("virtualenv").map(|path| {
        let path = paths::expand(context, path);
        chdir.as_ref().map(|folder| folder.join(&path)).unwrap_or(path)
    });
    let mut said = Finished::default();
    let mut changed = false;
    if let Some(environment) = &environment
        && !environment.join("bin/activate").exists()
    {
        if context.check {
            return Ok(Outcome::new(true));
        }
        context.about_to_change()?;
        said = make_environment(given, environment, &folder, context)?;
        changed = true;
    }
    let tool = Pip { given, folder, environment };
    let program = tool.program()?;
    if context.check {
        return tool.predict(&program, &packages, context);
    }
    let line = tool.line(&program, &packages)?;
    let watched =
        given.text("requirements").is_some() || packages.iter().any(|name| is_of_vcs(name));
    let before = if watched { Some(tool.installed(&program, context)?) } else { None };
    context.about_to_change()?;
    let finished = tool.run(&line, context)?;
    let text = finished.stdout_text();
    let is_absent = given.is("state", "absent");
    let was_absent = finished.rc == 1
        && is_absent
        && [&text, &finished.stderr_text()].iter().any(|text| text.contains("not installed"));
    if !finished.succeeded() && !was_absent {
        let message = format!("stdout: {text}\n:stderr: {}", finished.stderr_text());
        return Err(finished.failure(message).with("cmd", line));
    }
    changed |= match before {
        _ if is_absent => text.contains("Successfully uninstalled"),
        None => text.contains("Successfully installed"),
        Some(before) => before != tool.installed(&program, context)?,
    };
    let text_or_null = |name: &str| given.text(name).map_or(Value::Null, Value::from);
    Ok(Outcome::new(changed)
        .with("cmd", line)
        .with("name", given.0.get("name").cloned().unwrap_or(Value::Null))
        .with("version", text_or_null("version"))
        .with("state", given.word("state"))
        .with("requirements", text_or_null("requirements"))
        .with("virtualenv", json!(tool.environment.as_deref().map(paths::text)))
        .with("stdout", said.stdout_text() + &text)
        .with("stderr", said.stderr_text() + &finished.stderr_text()))
}

/// The packages, each with its version.
fn packages(given: Given<'_>) -> Result<Vec<String>, Failure> {
    let mut packages = whole_names(&given.words("name"));
    if let Some(version) = given.text("version").filter(|_| !packages.is_empty()) {
        let [package] = packages.as_mut_slice() else {
            return Err(Failure::new(
                "'version' argument is ambiguous when installing multiple package distributions. \
                 Please specify version restrictions next to each package in 'name' argument.",
            ));
        };
        if package.contains(['<', '>', '=', '~', '!']) {
            return Err(Failure::new(
                "The 'version' argument conflicts with any version specifier provided along with a \
                 package name. Please keep the version specifier, but remove the 'version' \
                 argument.",
            ));
        }
        let version = version.trim_start();
        let sign =
            if version.starts_with(|first: char| first.is_ascii_digit()) { "==" } else { "" };
        package.push_str(sign);
        package.push_str(version);
    }
    Ok(packages)
}

/// Lists of names that were split at the commas within versions and extras are put together again.
fn whole_names(given: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut in_brackets = false;
    for part in given.iter().flat_map(|line| line.split(',')) {
        let continues = in_brackets || part.trim_start().starts_with(['<', '>', '=', '~', '!']);
        match names.last_mut().filter(|_| continues) {
            Some(name) => {
                name.push(',');
                name.push_str(part);
            }
            None => names.push(part.to_owned()),
        }
        in_brackets = (in_brackets || part.contains('[')) && !part.contains(']');
    }
    names.retain(|name| !name.is_empty());
    names
}

fn is_of_vcs(name: &str) -> bool {
    ["svn+", "git+", "hg+", "bzr+"].iter().any(|prefix| name.starts_with(prefix))
}

fn make_environment(
    given: Given<'_>,
    environment: &Path,
    folder: &Path,
    context: &Context<'_>,
) -> Result<Finished, Failure> {
    let command = given.word("virtualenv_command");
    let mut line = words::split(command).map_err(Failure::new)?;
    let is_venv = line.first().is_some_and(|program| program == "pyvenv")
        || line.windows(2).any(|pair| pair == ["-m", "venv"])
        || line.iter().any(|word| word == "-mvenv");
    if given.flag("virtualenv_site_packages") {
        line.push("--system-site-packages".to_owned());
    }
    match given.text("virtualenv_python") {
        Some(_) if is_venv => {
            return Err(Failure::new(
                "virtualenv_python should not be used when using the venv module or pyvenv as \
                 virtualenv_command",
            ));
        }
        Some(python) => line.push(format!("-p{python}")),
        None => {}
    }
    let (program, rest) = line.split_first().ok_or_else(|| Failure::new("no command"))?;
    let run = Run::tool(program)?.arguments(rest).argument(environment).directory(folder);
    run.succeed(context)
}

struct Pip<'a> {
    given: Given<'a>,
    folder: PathBuf,
    environment: Option<PathBuf>,
}

impl Pip<'_> {
    /// The words that start pip.
    fn program(&self) -> Result<Vec<String>, Failure> {
        if let Some(environment) = &self.environment {
            let folder = environment.join("bin");
            let found =
                ["pip3", "pip"].iter().map(|name| folder.join(name)).find(|path| path.exists());
            return found.map(|path| vec![paths::text(&path)]).ok_or_else(|| {
                Failure::new(format!(
                    "Unable to find pip in the virtualenv, {}, under any of these names: pip3, \
                     pip. Make sure pip is present in the virtualenv.",
                    environment.display()
                ))
            });
        }
        let name = self.given.text("executable").unwrap_or("pip3");
        if let Some(path) = find_program(name) {
            return Ok(vec![paths::text(&path)]);
        }
        Err(Failure::new(format!(
            "Unable to find any of {name} to use.  pip needs to be installed."
        )))
    }

    fn line(&self, program: &[String], packages: &[String]) -> Result<Vec<String>, Failure> {
        let mut line = program.to_vec();
        let action: &[&str] = match self.given.word("state") {
            "absent" => &["uninstall", "-y"],
            "latest" => &["install", "-U"],
            "forcereinstall" => &["install", "-U", "--force-reinstall"],
            _ => &["install"],
        };
        line.extend(action.iter().map(|word| (*word).to_owned()));
        let more = words::split(self.given.word("extra_args")).map_err(Failure::new)?;
        let is_editable = more.iter().any(|word| word == "-e");
        line.extend(more);
        if self.given.flag("editable") && !is_editable {
            line.push("-e".to_owned());
        }
        line.extend(packages.iter().cloned());
        if let Some(file) = self.given.text("requirements") {
            line.extend(["-r".to_owned(), file.to_owned()]);
        }
        Ok(line)
    }

    fn run(&self, line: &[String], context: &Context<'_>) -> Result<Finished, Failure> {
        let mut run = match self.given.text("umask") {
            Some(umask) => {
                u32::from_str_radix(umask, 8)
                    .map_err(|_| Failure::new("umask must be an octal integer"))?;
                Run::new("/bin/sh").arguments(["-c", &format!("umask {umask}; exec \"$@\""), "sh"])
            }
            None => Run::new("/usr/bin/env"),
        };
        run = run.arguments(line).directory(&self.folder);
        if let Some(environment) = &self.environment {
            let path = std::env::var("PATH").unwrap_or_default();
            run = run.variable("PATH", &format!("{}/bin:{path}", environment.display()));
        }
        if self.given.flag("break_system_packages") {
            run = run.variable("PIP_BREAK_SYSTEM_PACKAGES", "1");
        }
        Ok(run.run(context)?)
    }

    /// What is installed, as `name==version` lines.
    fn installed(&self, program: &[String], context: &Context<'_>) -> Result<String, Failure> {
        let mut line = program.to_vec();
        line.extend(["list".to_owned(), "--format=freeze".to_owned()]);
        let finished = self.run(&line, context)?;
        if finished.succeeded() {
            return Ok(finished.stdout_text());
        }
        Err(finished.failure(format!("failed to list packages: {}", finished.stderr_text())))
    }

    /// What a check can say.
    fn predict(
        &self,
        program: &[String],
        packages: &[String],
        context: &Context<'_>,
    ) -> Result<Outcome, Failure> {
        let given = self.given;
        let extra = given.text("extra_args").is_some() || given.flag("editable");
        if extra || given.text("requirements").is_some() || given.is("state", "latest") {
            return Ok(Outcome::new(true));
        }
        let installed = self.installed(program, context)?;
        let python = match &self.environment {
            Some(environment) => Run::new(environment.join("bin/python")),
            None => Run::tool("python3")?,
        };
        let run = python.arguments(["-c", PRESENT]).arguments(packages);
        let answers = run.input(installed.clone().into_bytes()).succeed(context)?.stdout_text();
        let sought = match given.word("state") {
            "present" => "0",
            "absent" => "1",
            _ => "",
        };
        let changed = answers.lines().any(|answer| answer == sought);
        Ok(Outcome::new(changed).with("stdout", installed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn names_are_put_together() {
        let names = ["django>1.11.1", "<1.11.3", "ipaddress", "a[x", "y]==1", "b"];
        assert_eq!(whole_names(&names), ["django>1.11.1,<1.11.3", "ipaddress", "a[x,y]==1", "b"]);
    }

    #[test]
    fn versions_go_to_one_name() {
        let of = |given: Value| packages(Given(given.as_object().unwrap()));
        assert_eq!(of(json!({"name": ["a"], "version": "1.0"})).unwrap(), ["a==1.0"]);
        assert_eq!(of(json!({"name": ["a"], "version": ">=1"})).unwrap(), ["a>=1"]);
        assert!(of(json!({"name": ["a", "b"], "version": "1"})).is_err());
        assert!(of(json!({"name": ["a>1"], "version": "1"})).is_err());
    }

    #[test]
    fn a_pip_that_is_not_there_is_named() {
        let given = json!({"name": "x", "executable": "/no/such/pip"});
        let failure = context().call_named("pip", given).unwrap_err();
        assert!(failure.message.contains("/no/such/pip"), "{failure:?}");
    }
}
