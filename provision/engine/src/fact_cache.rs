//! `[io]` Facts that stay from one run to the next: Ansible's cache plugin `jsonfile`, in its own
//! format, so that both programs can use one folder.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use provision_protocol::Object;

use crate::report::Report;
use crate::world::World;

/// Where facts are kept: one file a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactCache {
    /// The folder (`fact_caching_connection`).
    pub folder: PathBuf,
    /// What stands before the host's name in the file's (`fact_caching_prefix`).
    pub prefix: String,
    /// Older facts don't count (`fact_caching_timeout`); 0: they never get too old.
    pub timeout_s: u64,
    /// Whether this run forgets what is kept (`--flush-cache`).
    pub is_flushed: bool,
}

impl FactCache {
    /// The file of a host; none for a name that would lead out of the folder.
    fn path(&self, host: &str) -> Option<PathBuf> {
        let is_name = !host.is_empty() && !host.contains('/') && host != "..";
        is_name.then(|| self.folder.join(format!("{}{host}", self.prefix)))
    }

    /// The facts of a host, if there are any that are not too old.
    ///
    /// # Errors
    /// The file can't be read, or isn't what was written.
    pub fn load(&self, host: &str, now: SystemTime) -> Result<Option<Object>, String> {
        let Some(path) = self.path(host) else { return Ok(None) };
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            format!("failed to {what} the fact cache {}: {error}", path.display())
        };
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| failed("read", &error))?,
        };
        let written = fs::metadata(&path).and_then(|data| data.modified());
        let written = written.map_err(|error| failed("look at", &error))?;
        let age = now.duration_since(written).unwrap_or(Duration::ZERO);
        if self.timeout_s > 0 && age > Duration::from_secs(self.timeout_s) {
            return Ok(None);
        }
        serde_json::from_slice(&text).map(Some).map_err(|error| failed("read", &error))
    }

    /// Keeps the facts of a host; with none, nothing is kept any more.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn store(&self, host: &str, facts: &Object) -> Result<(), String> {
        let Some(path) = self.path(host) else { return Ok(()) };
        let failed = |error: &dyn std::fmt::Display| {
            format!("failed to write the fact cache {}: {error}", path.display())
        };
        if facts.is_empty() {
            return self.forget(host);
        }
        fs::create_dir_all(&self.folder).map_err(|error| failed(&error))?;
        let mut sorted: Vec<_> = facts.iter().collect();
        sorted.sort_by_key(|(name, _)| name.as_str());
        let sorted: Object =
            sorted.into_iter().map(|(name, fact)| (name.clone(), fact.clone())).collect();
        let text = serde_json::to_vec_pretty(&sorted).map_err(|error| failed(&error))?;
        write_aside(&path, &text).map_err(|error| failed(&error))
    }

    /// Removes what is kept of a host.
    ///
    /// # Errors
    /// The file can't be removed.
    pub fn forget(&self, host: &str) -> Result<(), String> {
        let Some(path) = self.path(host) else { return Ok(()) };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(format!("failed to remove the fact cache {}: {error}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Facts may hold secrets: the file is for its owner only, and never half written.
fn write_aside(path: &Path, text: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(text)?;
    drop(file);
    fs::rename(&aside, path)
}

/// Facts that an earlier run left in the cache.
pub(crate) fn recall(world: &World, report: &mut Report) {
    let Some(cache) = &world.settings.fact_cache else { return };
    let mut names = world.host_names();
    if !names.iter().any(|name| name == "localhost") {
        names.push("localhost".to_owned());
    }
    let now = SystemTime::now();
    for name in names {
        let facts = match cache.is_flushed {
            true => cache.forget(&name).map(|()| None),
            false => cache.load(&name, now),
        };
        match facts {
            Ok(Some(facts)) => world.host_or_new(&name).learned.learn(&facts),
            Ok(None) => {}
            Err(message) => report.warn(Some(&name), message),
        }
    }
}

/// Leaves facts to the next run.
pub(crate) fn keep(world: &World, names: &[String], report: &mut Report) {
    let Some(cache) = &world.settings.fact_cache else { return };
    for name in names {
        let facts = world.host_or_new(name).learned.facts();
        if let Err(message) = cache.store(name, &facts) {
            report.warn(Some(name), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Object {
        let mut facts = Object::new();
        facts.insert("ansible_b".into(), 2.into());
        facts.insert("ansible_a".into(), "x".into());
        facts
    }

    #[test]
    fn facts_stay_until_they_are_too_old_or_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("new");
        let cache = FactCache {
            folder: place.clone(),
            prefix: "p_".into(),
            timeout_s: 60,
            is_flushed: false,
        };
        let now = SystemTime::now();
        assert_eq!(cache.load("web1", now), Ok(None));
        cache.store("web1", &facts()).unwrap();
        let names: Vec<_> =
            fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["p_web1"]);
        let text = fs::read_to_string(place.join("p_web1")).unwrap();
        assert!(text.find("ansible_a") < text.find("ansible_b"), "{text}");
        assert_eq!(cache.load("web1", now), Ok(Some(facts())));
        assert_eq!(cache.load("web1", now + Duration::from_secs(90)), Ok(None));
        let forever = FactCache { timeout_s: 0, ..cache.clone() };
        assert_eq!(forever.load("web1", now + Duration::from_secs(90)), Ok(Some(facts())));
        cache.store("web1", &Object::new()).unwrap();
        assert_eq!(forever.load("web1", now), Ok(None));
    }

    #[test]
    fn a_damaged_file_is_told_and_no_name_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FactCache { folder: folder.path().join("facts"), ..FactCache::default() };
        cache.store("web1", &facts()).unwrap();
        fs::write(folder.path().join("facts/web1"), "{").unwrap();
        let error = cache.load("web1", SystemTime::now()).unwrap_err();
        assert!(error.contains("facts/web1"), "{error}");
        cache.store("../web1", &facts()).unwrap();
        assert!(!folder.path().join("web1").exists());
        assert_eq!(cache.load("../facts/web1", SystemTime::now()), Ok(None));
    }
}
