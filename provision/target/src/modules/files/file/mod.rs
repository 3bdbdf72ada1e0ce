//! `file`: directories, links, permissions, removal.

mod states;
mod times;

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use provision_protocol::Object;
use serde::Deserialize;

use self::times::Times;
pub(crate) use self::times::{local_time, seconds};
use crate::disk::attributes::{FileArguments, Id, Wanted};
use crate::disk::texts::AttributeChange;
use crate::disk::{describe, paths};
use crate::module::{Context, Failure, Outcome, arguments};
use crate::names;

/// As many bytes as Ansible looks at.
const PEEKED_BYTES: u64 = 8192;

#[derive(Debug, Deserialize)]
struct FileModuleArguments {
    path: String,
    state: Option<String>,
    src: Option<String>,
    _original_basename: Option<String>,
    _diff_peek: Option<bool>,
    #[serde(default)]
    recurse: bool,
    #[serde(default)]
    force: bool,
    follow: Option<bool>,
    modification_time: Option<String>,
    modification_time_format: Option<String>,
    access_time: Option<String>,
    access_time_format: Option<String>,
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    Directory,
    File,
    Hard,
    Link,
}

impl State {
    fn of(path: &Path) -> State {
        match fs::symlink_metadata(path) {
            Err(_) => State::Absent,
            Ok(data) if data.is_symlink() => State::Link,
            Ok(data) if data.is_dir() => State::Directory,
            Ok(data) if data.nlink() > 1 => State::Hard,
            Ok(_) => State::File,
        }
    }

    fn name(self) -> &'static str {
        match self {
            State::Absent => "absent",
            State::Directory => "directory",
            State::File => "file",
            State::Hard => "hard",
            State::Link => "link",
        }
    }
}

/// One call, its arguments looked up.
struct Job {
    path: PathBuf,
    /// As written in the playbook, `~` expanded; a relative link target stays relative.
    src: Option<String>,
    recurse: bool,
    force: bool,
    follow: bool,
    wanted: Wanted,
    times: Times,
    change: AttributeChange,
    warnings: Vec<String>,
}

/// Whether a file has a zero byte at its beginning: what Ansible asks before it shows a difference.
fn looks_binary(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(PEEKED_BYTES).read_to_end(&mut head));
    read.is_ok() && head.contains(&0)
}

/// Runs the module.
///
/// # Errors
/// When the path can't be made as wanted.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: FileModuleArguments = arguments(object)?;
    let file_arguments: FileArguments = arguments(object)?;
    let mut path = paths::expand(context, &given.path);
    if given._diff_peek.is_some() {
        return Ok(Outcome::new(false)
            .with("path", paths::text(&path))
            .with("appears_binary", looks_binary(&path)));
    }
    let src = given.src.as_ref().map(|src| paths::text(&paths::expand(context, src)));
    let state = given.state.as_deref();
    if !matches!(state, Some("link" | "absent")) && paths::is_directory(&path) {
        let name = given._original_basename.as_deref().or(src.as_deref()).map(paths::base_name);
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            path = path.join(name);
        }
    }
    let state = match state {
        Some(state) => state.to_owned(),
        None => match State::of(&path) {
            State::Absent if given.recurse => "directory".to_owned(),
            State::Absent => "file".to_owned(),
            present => present.name().to_owned(),
        },
    };
    let wrong = |message: &str| Err(Failure::new(message).with("path", paths::text(&path)));
    if given.recurse && state != "directory" {
        return wrong("recurse option requires state to be 'directory'");
    }
    if src.is_some() && !matches!(state.as_str(), "link" | "hard") {
        return wrong("src option requires state to be 'link' or 'hard'");
    }
    let touches = state == "touch";
    let mut job = Job {
        wanted: if state == "absent" {
            Wanted::default()
        } else {
            file_arguments.resolve(context.check)?
        },
        times: Times::new(
            (given.access_time.as_deref(), given.access_time_format.as_deref()),
            (given.modification_time.as_deref(), given.modification_time_format.as_deref()),
            touches,
        )?,
        path,
        src,
        recurse: given.recurse,
        force: given.force,
        follow: given.follow.unwrap_or(true),
        change: AttributeChange::default(),
        warnings: Vec::new(),
    };
    if context.check {
        job.warn_about_unknown_names(&file_arguments);
    }
    let warnings = job.warnings.clone();
    let outcome = match state.as_str() {
        "absent" => job.absent(context),
        "directory" => job.directory(context),
        "file" => job.file(context),
        "hard" => job.hard_link(context),
        "link" => job.link(context),
        "touch" => job.touch(context),
        other => Err(Failure::new(format!("unknown state {other}"))),
    };
    match outcome {
        Ok(outcome) => Ok(job.finish(outcome)),
        Err(failure) if warnings.is_empty() => Err(failure),
        Err(failure) => Err(failure.with("warnings", warnings)),
    }
}

impl Job {
    fn warn_about_unknown_names(&mut self, given: &FileArguments) {
        let by_id = |id: &str| id.parse::<u32>().ok();
        let user = given.owner.as_deref().map(|name| match by_id(name) {
            Some(id) => (matches!(names::user_by_id(id), Ok(None)), format!("user with uid {id}")),
            None => (self.wanted.owner == Some(Id::NotYet), format!("user {name}")),
        });
        let group = given.group.as_deref().map(|name| match by_id(name) {
            Some(id) => {
                (matches!(names::group_by_id(id), Ok(None)), format!("group with gid {id}"))
            }
            None => (self.wanted.group == Some(Id::NotYet), format!("group {name}")),
        });
        for (kind, (_, what)) in
            [("user", user), ("group", group)].into_iter().filter_map(|(kind, found)| {
                found.filter(|(is_missing, _)| *is_missing).map(|found| (kind, found))
            })
        {
            self.warnings.push(format!(
                "failed to look up {what}. Create {kind} up to this point in real play"
            ));
        }
    }

    /// Begins the description of the change.
    fn note_states(&mut self, before: State, after: &str) {
        let path = paths::text(&self.path);
        self.change.note("path", path.as_str(), path.as_str());
        if before.name() != after {
            self.change.note("state", before.name(), after);
        }
    }

    fn finish(self, mut outcome: Outcome) -> Outcome {
        let described = ["path", "dest"]
            .iter()
            .find_map(|name| outcome.values.get(*name)?.as_str())
            .map(PathBuf::from);
        if let Some(path) = described {
            describe::add_path_information(&mut outcome.values, &path);
        }
        if outcome.changed || !self.change.before.is_empty() {
            outcome.diff.push(self.change.diff());
        }
        if !self.warnings.is_empty() {
            outcome.values.insert("warnings".into(), self.warnings.into());
        }
        outcome
    }

    fn failure(&self, message: impl Into<String>) -> Failure {
        Failure::new(message).with("path", paths::text(&self.path))
    }
}
