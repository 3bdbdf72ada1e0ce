//! `apt_repository`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use provision_protocol::Object;
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::super::http;
use super::super::process::{Run, find_program};
use super::super::wildcard;
use super::apt::cache;
use crate::disk::attributes::Wanted;
use crate::disk::mode::Mode;
use crate::disk::paths;
use crate::module::{Context, Failure, Outcome, arguments};

const MAIN_FILE: &str = "/etc/apt/sources.list";
const PARTS: &str = "/etc/apt/sources.list.d";

/// How long to wait for another apt while lists are updated, in seconds.
const LOCK_TIMEOUT_S: u64 = 60;

const fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
struct RepositoryArguments {
    repo: String,
    state: Option<String>,
    mode: Option<Value>,
    #[serde(default = "yes")]
    update_cache: bool,
    update_cache_retries: Option<u32>,
    update_cache_retry_max_delay: Option<u64>,
    filename: Option<String>,
    codename: Option<String>,
    #[serde(default = "yes")]
    validate_certs: bool,
}

/// `apt_repository`: manages a source of packages.
///
/// # Errors
/// When the source is malformed, can't be written, or can't be read by apt.
pub fn apt_repository(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: RepositoryArguments = arguments(given)?;
    let present = given.state.as_deref() != Some("absent");
    let ppa = Ppa::parse(&given.repo, given.codename.as_deref())?;
    let line = ppa.as_ref().map_or_else(|| given.repo.clone(), Ppa::source);
    let Some(source) = Source::parse(&line).filter(|source| source.is_enabled) else {
        return Err(Failure::new(format!("Invalid repository string: {line}")));
    };
    let before = load()?;
    let after = if present {
        added(&before, &source.text, &target(&given, ppa.as_ref(), &source.text))
    } else {
        removed(&before, &source.text)
    };
    let changes: Vec<(&File, Option<&File>)> = after
        .iter()
        .map(|new| (new, before.iter().find(|old| old.path == new.path)))
        .filter(|(new, old)| old.is_none_or(|old| old.text != new.text))
        .collect();
    let names = |goes: bool| -> Vec<String> {
        let chosen = changes
            .iter()
            .filter(|(new, old)| if goes { new.text.is_empty() } else { old.is_none() });
        chosen.map(|(new, _)| paths::text(&new.path)).collect()
    };
    let mut outcome = Outcome::new(!changes.is_empty())
        .with("repo", given.repo.as_str())
        .with("state", if present { "present" } else { "absent" })
        .with("sources_added", names(false))
        .with("sources_removed", names(true));
    if changes.is_empty() {
        return Ok(outcome);
    }
    if let (Some(ppa), true, false) = (&ppa, present, context.check) {
        ppa.trust(given.validate_certs, context)?;
    }
    for (new, old) in &changes {
        write(new, *old, given.mode.as_ref(), &mut outcome, context)?;
    }
    if given.update_cache && !context.check {
        let mut warnings = Vec::new();
        let updated = cache::update(
            given.update_cache_retries,
            given.update_cache_retry_max_delay,
            Duration::from_secs(LOCK_TIMEOUT_S),
            &mut warnings,
            context,
        );
        if let Err(failure) = updated {
            // A source that apt can't read would break every later update.
            for (new, old) in &changes {
                let previous = File {
                    path: new.path.clone(),
                    text: old.map(|old| old.text.clone()).unwrap_or_default(),
                };
                write(&previous, None, None, &mut Outcome::default(), context)?;
            }
            return Err(failure);
        }
        if !warnings.is_empty() {
            outcome = outcome.with("warnings", warnings);
        }
    }
    Ok(outcome)
}

/// A file with sources.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: PathBuf,
    text: String,
}

/// A line that is a source, perhaps commented out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    is_enabled: bool,
    /// With single blanks, without comment.
    text: String,
}

impl Source {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let (line, is_enabled) = line.strip_prefix('#').map_or((line, true), |rest| (rest, false));
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words.first(), Some(&("deb" | "deb-src")))
            .then(|| Source { is_enabled, text: words.join(" ") })
    }
}

fn load() -> Result<Vec<File>, Failure> {
    let parts = wildcard::paths(Path::new("*.list"), Path::new(PARTS));
    let files = std::iter::once(PathBuf::from(MAIN_FILE)).chain(parts);
    files
        .filter(|path| path.is_file())
        .map(|path| {
            let bytes = fs::read(&path).map_err(|error| Failure::system("read", &path, &error))?;
            Ok(File { path, text: String::from_utf8_lossy(&bytes).into_owned() })
        })
        .collect()
}

/// The files with a source: where it is commented out it is enabled, otherwise it is appended.
fn added(files: &[File], source: &str, target: &Path) -> Vec<File> {
    let mut files = files.to_vec();
    let mut is_found = false;
    for file in &mut files {
        let lines: Vec<String> = file
            .text
            .lines()
            .map(|line| match Source::parse(line) {
                Some(found) if found.text == source => {
                    is_found = true;
                    if found.is_enabled {
                        line.to_owned()
                    } else {
                        let line = line.trim_start().trim_start_matches('#');
                        line.trim_start().to_owned()
                    }
                }
                _ => line.to_owned(),
            })
            .collect();
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        if lines.iter().map(String::as_str).ne(file.text.lines()) {
            file.text = text;
        }
    }
    if !is_found {
        match files.iter_mut().find(|file| file.path == target) {
            Some(file) => {
                if !file.text.is_empty() && !file.text.ends_with('\n') {
                    file.text.push('\n');
                }
                file.text.push_str(&format!("{source}\n"));
            }
            None => files.push(File { path: target.to_owned(), text: format!("{source}\n") }),
        }
    }
    files
}

fn removed(files: &[File], source: &str) -> Vec<File> {
    let is_it = |line: &&str| {
        Source::parse(line).is_some_and(|found| found.is_enabled && found.text == source)
    };
    files
        .iter()
        .map(|file| {
            if !file.text.lines().any(|line| is_it(&line)) {
                return file.clone();
            }
            let kept = file.text.lines().filter(|line| !is_it(line));
            let text = kept.flat_map(|line| [line, "\n"]).collect();
            File { path: file.path.clone(), text }
        })
        .collect()
}

/// The file for a new source, named after it.
fn target(given: &RepositoryArguments, ppa: Option<&Ppa>, source: &str) -> PathBuf {
    if let Some(name) = &given.filename {
        let name = format!("{name}.list");
        return Path::new(PARTS).join(name);
    }
    let named = match ppa {
        Some(ppa) => format!("{}_{}", given.repo, ppa.codename),
        None => source.to_owned(),
    };
    Path::new(PARTS).join(suggested_name(&named))
}

fn suggested_name(source: &str) -> String {
    let drop = |text: String, pattern: &str| match Regex::new(pattern) {
        Ok(pattern) => pattern.replace_all(&text, "").into_owned(),
        Err(_) => text,
    };
    let text = drop(drop(source.to_owned(), r"\[[^\]]+\]"), r"\w+://");
    let first = text.split_whitespace().find(|word| !matches!(*word, "deb" | "deb-src"));
    let first = first.unwrap_or_default();
    // Names and passwords don't belong into the names of files.
    let first = first.split_once('@').map_or(first, |(_, rest)| rest);
    let words: Vec<&str> = first
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    format!("{}.list", words.join("_"))
}

fn write(
    new: &File,
    old: Option<&File>,
    mode: Option<&Value>,
    outcome: &mut Outcome,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let before = old.map(|old| old.text.as_str()).unwrap_or_default();
    if new.text.trim().is_empty() && new.path != Path::new(MAIN_FILE) {
        if context.diff {
            let text = crate::disk::texts::Side::Text;
            let sides = (text(before.to_owned()), text(String::new()));
            outcome.diff.push(crate::disk::texts::change(&new.path, sides.0, sides.1));
        }
        if !context.check {
            context.about_to_change()?;
            match fs::remove_file(&new.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Failure::system("remove", &new.path, &error));
                }
                _ => {}
            }
        }
        return Ok(());
    }
    let default = Value::from("0644");
    let is_new = !new.path.exists();
    let mode = mode.or(if is_new { Some(&default) } else { None });
    let mode = mode.filter(|_| is_new).map(Mode::parse).transpose()?;
    let wanted = Wanted { mode, ..Wanted::default() };
    // Through a link to what it points to.
    let path = paths::real_path(&new.path);
    let replace = super::super::settings::replace;
    replace(&path, before, &new.text, &wanted, false, outcome, context)?;
    Ok(())
}

/// A personal package archive of Launchpad.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ppa {
    owner: String,
    name: String,
    codename: String,
}

impl Ppa {
    fn parse(repo: &str, codename: Option<&str>) -> Result<Option<Self>, Failure> {
        let Some(path) = repo.strip_prefix("ppa:") else { return Ok(None) };
        let (owner, name) = path.split_once('/').unwrap_or((path, "ppa"));
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let codename = codename.map(str::to_owned).or_else(|| {
            release
                .lines()
                .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
                .map(|code| code.trim_matches('"').to_owned())
        });
        let codename =
            codename.ok_or_else(|| Failure::new("a PPA needs the parameter codename"))?;
        Ok(Some(Ppa { owner: owner.to_owned(), name: name.to_owned(), codename }))
    }

    fn source(&self) -> String {
        format!(
            "deb https://ppa.launchpadcontent.net/{}/{}/ubuntu {} main",
            self.owner, self.name, self.codename
        )
    }

    /// Makes apt trust the archive's key.
    fn trust(&self, validate_certs: bool, context: &mut Context<'_>) -> Result<(), Failure> {
        const SERVER: &str = "hkp://keyserver.ubuntu.com:80";
        let address =
            format!("https://api.launchpad.net/1.0/~{}/+archive/{}", self.owner, self.name);
        let mut bytes = Vec::new();
        http::download(&address, validate_certs, &mut bytes, context)?;
        let information: Object = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::new(format!("failed to fetch PPA information, error was: {error}"))
        })?;
        let fingerprint = information.get("signing_key_fingerprint").and_then(Value::as_str);
        let Some(fingerprint) = fingerprint else {
            return Err(Failure::new("the PPA has no signing key"));
        };
        if !fingerprint.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Failure::new("the PPA's fingerprint is malformed"));
        }
        context.about_to_change()?;
        if find_program("apt-key").is_some() {
            let fixed = ["adv", "--recv-keys", "--no-tty", "--keyserver", SERVER, fingerprint];
            Run::tool("apt-key")?.parsable().arguments(fixed).succeed(context)?;
            return Ok(());
        }
        let file = format!("/etc/apt/trusted.gpg.d/{}-{}.gpg", self.owner, self.name);
        Run::tool("gpg")?
            .parsable()
            .arguments(["--no-tty", "--no-default-keyring", "--keyring"])
            .argument(format!("gnupg-ring:{file}"))
            .arguments(["--keyserver", SERVER, "--recv-keys", fingerprint])
            .succeed(context)?;
        crate::disk::metadata::change_mode(Path::new(&file), 0o644)
            .map_err(|error| Failure::system("change the mode of", Path::new(&file), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.to_owned() }
    }

    #[test]
    fn names_of_files() {
        let line =
            "deb [arch=amd64 signed-by=/x] https://me:pw@repo.example.org/debian stable main";
        assert_eq!(suggested_name(line), "repo_example_org_debian.list");
        assert_eq!(suggested_name("ppa:owner/name_jammy"), "ppa_owner_name_jammy.list");
    }

    #[test]
    fn sources_come_and_go() {
        let files = [file("/a", "# deb http://x  y main # why\ndeb http://z y main\n")];
        let target = Path::new("/b");
        assert_eq!(added(&files, "deb http://z y main", target), files);
        let enabled = added(&files, "deb http://x y main", target);
        assert_eq!(enabled[0].text, "deb http://x  y main # why\ndeb http://z y main\n");
        let new = added(&files, "deb http://n y main", target);
        assert_eq!(new[1], file("/b", "deb http://n y main\n"));
        assert_eq!(removed(&files, "deb http://x y main"), files);
        assert_eq!(removed(&new, "deb http://n y main")[1].text, "");
        let mixed = removed(&files, "deb http://z y main");
        assert_eq!(mixed[0].text, "# deb http://x  y main # why\n");
    }

    #[test]
    fn personal_archives() {
        let ppa = Ppa::parse("ppa:me/tools", Some("jammy")).unwrap().unwrap();
        assert_eq!(ppa.source(), "deb https://ppa.launchpadcontent.net/me/tools/ubuntu jammy main");
        assert_eq!(Ppa::parse("ppa:me", Some("x")).unwrap().unwrap().name, "ppa");
        assert_eq!(Ppa::parse("deb http://x y z", None).unwrap(), None);
    }
}
