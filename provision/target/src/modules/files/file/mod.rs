//! `file`: directories, links, permissions, removal.

mod states;
mod times;

use std::fs;
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

#[derive(Debug, Deserialize)]
struct FileModuleArguments {
    path: String,
    state: Option<String>,
    src: Option<String>,
    _original_basename: Option<String>,
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

/// Runs the module.
///
/// # Errors
/// When the path can't be made as wanted.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: FileModuleArguments = arguments(object)?;
    let file_arguments: FileArguments = arguments(object)?;
    let mut path = paths::expand(context, &given.path);
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
    job.warn_about_unknown_names(&file_arguments);
    let outcome = match state.as_str() {
        "absent" => job.absent(context),
        "directory" => job.directory(context),
        "file" => job.file(context),
        "hard" => job.hard_link(context),
        "link" => job.link(context),
        "touch" => job.touch(context),
        other => Err(Failure::new(format!("unknown state {other}"))),
    }?;
    Ok(job.finish(outcome))
}

impl Job {
    fn warn_about_unknown_names(&mut self, given: &FileArguments) {
        for (id, kind, name) in
            [(self.wanted.owner, "user", &given.owner), (self.wanted.group, "group", &given.group)]
        {
            if id == Some(Id::NotYet) {
                self.warnings.push(format!(
                    "failed to look up {kind} {}. Create {kind} up to this point in real play",
                    name.as_deref().unwrap_or_default()
                ));
            }
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
