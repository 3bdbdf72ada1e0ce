//! Reads configuration files and everything that they include.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::parse::{ConfigLine, SshConfigText, parse_ssh_config};
use crate::error::SshError;
use crate::known_hosts::Location;
use crate::local::LocalUser;
use crate::pattern;

/// As OpenSSH (`READCONF_MAX_DEPTH`).
const INCLUDE_DEPTH_LIMIT: usize = 16;
/// A configuration has some kilobytes.
const FILE_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// A file whose includes have been read.
#[derive(Debug, Clone)]
pub(crate) struct LoadedConfig {
    pub(crate) path: Arc<Path>,
    pub(crate) entries: Vec<Entry>,
}

/// A line, or what an `Include` line stands for.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Line(ConfigLine),
    Included(Vec<LoadedConfig>),
}

/// Where relative includes are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    User,
    System,
}

/// Reads `~/.ssh/config` and the system's file, or the given files instead. Missing ones are
/// skipped.
pub(crate) fn load(
    files: Option<&[PathBuf]>,
    local: &LocalUser,
) -> Result<Vec<LoadedConfig>, SshError> {
    let sources: Vec<(PathBuf, Origin)> = match files {
        Some(files) => files.iter().map(|path| (local.expand_tilde(path), Origin::User)).collect(),
        None => vec![
            (local.home.join(".ssh/config"), Origin::User),
            (PathBuf::from("/etc/ssh/ssh_config"), Origin::System),
        ],
    };
    let mut loaded = Vec::new();
    for (path, origin) in sources {
        loaded.extend(load_file(&path, origin, local, 0)?);
    }
    Ok(loaded)
}

fn load_file(
    path: &Path,
    origin: Origin,
    local: &LocalUser,
    depth: usize,
) -> Result<Option<LoadedConfig>, SshError> {
    let failed = |source| SshError::ReadFile { path: path.to_owned(), source };
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let SshConfigText { lines } = parse_ssh_config(&text);
    let mut entries = Vec::new();
    for line in lines {
        let patterns = match &line.arguments {
            Ok(patterns) if line.keyword == "include" && !patterns.is_empty() => patterns,
            _ => {
                entries.push(Entry::Line(line));
                continue;
            }
        };
        let problem = |problem: String| SshError::Configuration {
            location: Location { file: path.to_owned(), line: line.number },
            problem,
            hint: "correct the Include line".to_owned(),
        };
        if depth >= INCLUDE_DEPTH_LIMIT {
            return Err(problem(format!("more than {INCLUDE_DEPTH_LIMIT} nested includes")));
        }
        let mut included = Vec::new();
        for pattern in patterns {
            let pattern = include_path(pattern, origin, local).map_err(problem)?;
            for found in expand_glob(&pattern) {
                included.extend(load_file(&found, origin, local, depth + 1)?);
            }
        }
        entries.push(Entry::Included(included));
    }
    Ok(Some(LoadedConfig { path: Arc::from(path), entries }))
}

fn read(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > FILE_LIMIT_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB"));
    }
    // Comments in other encodings are common and harmless.
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}

fn include_path(text: &str, origin: Origin, local: &LocalUser) -> Result<PathBuf, String> {
    if text.contains("${") || text.contains('%') {
        return Err("variables and tokens in Include are not supported".to_owned());
    }
    if text.starts_with('~') && !text.starts_with("~/") {
        return Err("`~user` is not supported; write the path in full".to_owned());
    }
    let path = local.expand_tilde(Path::new(text));
    Ok(match origin {
        Origin::User => local.home.join(".ssh").join(path),
        Origin::System => Path::new("/etc/ssh").join(path),
    })
}

/// Files whose path matches, in alphabetical order; wildcards may stand in every component.
fn expand_glob(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        let name = name.to_string_lossy();
        if !name.contains(['*', '?']) {
            found.iter_mut().for_each(|path| path.push(&*name));
            continue;
        }
        found = found.iter().flat_map(|directory| matching_entries(directory, &name)).collect();
    }
    found
}

fn matching_entries(directory: &Path, name_pattern: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        // As glob(3): a leading dot must be matched by a dot.
        .filter(|name| name_pattern.starts_with('.') || !name.starts_with('.'))
        .filter(|name| pattern::matches(name_pattern, name))
        .collect();
    names.sort();
    names.iter().map(|name| directory.join(name)).collect()
}
