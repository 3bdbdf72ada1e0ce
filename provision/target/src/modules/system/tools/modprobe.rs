//! `modprobe`: modules of the kernel, now and at the next start.

use std::fs;
use std::path::{Path, PathBuf};

use provision_protocol::Object;

use super::super::process::Run;
use super::super::words;
use crate::disk::attributes::Wanted;
use crate::module::{Context, Failure, Given, Outcome};
use crate::modules::system::settings::replace;

/// Modules that are loaded at the start.
const LOADED_AT_START: &str = "/etc/modules-load.d";
/// Parameters of modules.
const PARAMETERS: &str = "/etc/modprobe.d";

/// `modprobe`: loads or unloads a module of the kernel.
///
/// # Errors
/// When modprobe refuses, or a file can't be written.
pub fn modprobe(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let (name, parameters) = (given.word("name"), given.word("params"));
    let mut outcome = Outcome::new(false)
        .with("name", name)
        .with("params", parameters)
        .with("state", given.word("state"));
    let is_wanted = given.is("state", "present");
    if is_loaded(name)? != is_wanted {
        let parameters = words::split(parameters).map_err(Failure::new)?;
        let mut run = Run::tool("modprobe")?;
        if context.check {
            run = run.argument("-n");
        } else {
            context.about_to_change()?;
        }
        let run = if is_wanted { run } else { run.argument("-r") };
        run.argument(name)
            .arguments(if is_wanted { parameters } else { Vec::new() })
            .succeed(context)?;
        // A module of this name may stand for others: then nothing is seen of it.
        outcome.changed = context.check || !is_wanted || is_loaded(name)?;
    }
    let folders = (Path::new(LOADED_AT_START), Path::new(PARAMETERS));
    match given.word("persistent") {
        "present" => keep(name, parameters, folders, &mut outcome, context)?,
        "absent" => forget(name, folders, &mut outcome, context)?,
        _ => {}
    }
    Ok(outcome)
}

/// Whether the kernel has it, loaded or built in.
fn is_loaded(name: &str) -> Result<bool, Failure> {
    let modules = Path::new("/proc/modules");
    let loaded =
        fs::read_to_string(modules).map_err(|error| Failure::system("read", modules, &error))?;
    let listed = name.replace('-', "_");
    if loaded.lines().any(|line| line.split(' ').next() == Some(&listed)) {
        return Ok(true);
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let built_in = Path::new("/lib/modules").join(release.trim()).join("modules.builtin");
    let built_in = fs::read_to_string(built_in).unwrap_or_default();
    let end = format!("/{name}.ko");
    Ok(built_in.lines().any(|line| line.trim_end().ends_with(&end)))
}

/// Whether a line loads the module.
fn loads(line: &str, name: &str) -> bool {
    line.split(['#', ';']).next().is_some_and(|text| text.trim() == name)
}

/// The parameter that a line sets for the module.
fn parameter<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let text = line.split(['#', ';']).next()?;
    let rest = text.strip_prefix("options ")?.strip_prefix(name)?.strip_prefix(' ')?;
    let parameter = rest.trim_end();
    let key = parameter.split_once('=')?.0;
    let is_word = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    (is_word(key) && is_word(parameter)).then_some(parameter)
}

fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<(PathBuf, String)> = entries
        .filter_map(|entry| Some((entry.path(), fs::read_to_string(entry.path()).ok()?)))
        .collect();
    files.sort();
    files
}

fn keep(
    name: &str,
    parameters: &str,
    (loaded, options): (&Path, &Path),
    outcome: &mut Outcome,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let is_kept = files(loaded).iter().any(|(_, text)| text.lines().any(|line| loads(line, name)));
    let file = format!("{name}.conf");
    if !is_kept {
        write(&loaded.join(&file), &format!("{name}\n"), outcome, context)?;
    }
    let now = files(options);
    let mut now: Vec<&str> = now
        .iter()
        .flat_map(|(_, text)| text.lines().filter_map(|line| parameter(line, name)))
        .collect();
    let mut wanted: Vec<&str> = parameters.split_whitespace().collect();
    now.sort_unstable();
    now.dedup();
    wanted.sort_unstable();
    wanted.dedup();
    if now == wanted {
        return Ok(());
    }
    comment_out(options, |line| parameter(line, name).is_some(), outcome, context)?;
    let lines: Vec<String> = parameters
        .split_whitespace()
        .map(|parameter| format!("options {name} {parameter}\n"))
        .collect();
    write(&options.join(file), &lines.concat(), outcome, context)
}

fn forget(
    name: &str,
    (loaded, options): (&Path, &Path),
    outcome: &mut Outcome,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    comment_out(loaded, |line| loads(line, name), outcome, context)?;
    comment_out(options, |line| parameter(line, name).is_some(), outcome, context)
}

fn comment_out(
    folder: &Path,
    meant: impl Fn(&str) -> bool,
    outcome: &mut Outcome,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    for (path, before) in files(folder) {
        let after: String = before
            .split_inclusive('\n')
            .map(|line| if meant(line) { format!("#{line}") } else { line.to_owned() })
            .collect();
        if after != before {
            replace(&path, &before, &after, &Wanted::default(), false, outcome, context)?;
        }
    }
    Ok(())
}

fn write(
    path: &Path,
    text: &str,
    outcome: &mut Outcome,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let before = fs::read_to_string(path).unwrap_or_default();
    replace(path, &before, text, &Wanted::default(), false, outcome, context)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn lines_are_understood() {
        assert!(loads("dummy # why\n", "dummy") && !loads("#dummy", "dummy"));
        assert_eq!(parameter("options dummy numdummies=2 # x\n", "dummy"), Some("numdummies=2"));
        assert_eq!(parameter("options dummy2 a=1", "dummy"), None);
        assert_eq!(parameter("options dummy a=1 b=2", "dummy"), None);
    }

    #[test]
    fn files_say_what_the_next_start_loads() {
        let folder = tempfile::tempdir().unwrap();
        let (loaded, options) = (folder.path().join("load"), folder.path().join("options"));
        fs::create_dir(&loaded).unwrap();
        fs::create_dir(&options).unwrap();
        let folders = (loaded.as_path(), options.as_path());
        let mut bench = context();
        let mut put = |parameters: &str| {
            let mut outcome = Outcome::new(false);
            keep("dummy", parameters, folders, &mut outcome, &mut bench.context()).unwrap();
            outcome.changed
        };
        assert!(put("a=1 b=2") && !put("b=2 a=1"));
        let file = options.join("dummy.conf");
        assert_eq!(fs::read_to_string(&file).unwrap(), "options dummy a=1\noptions dummy b=2\n");
        fs::write(options.join("other.conf"), "options dummy a=1\noptions other a=1\n").unwrap();
        assert!(put("a=2") && !put("a=2"));
        assert_eq!(
            fs::read_to_string(options.join("other.conf")).unwrap(),
            "#options dummy a=1\noptions other a=1\n"
        );
        let mut outcome = Outcome::new(false);
        forget("dummy", folders, &mut outcome, &mut bench.context()).unwrap();
        assert!(outcome.changed);
        assert_eq!(fs::read_to_string(loaded.join("dummy.conf")).unwrap(), "#dummy\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), "#options dummy a=2\n");
    }
}
