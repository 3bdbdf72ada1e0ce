//! A module in Python as an archive that `python3` runs: a start program, our own
//! `ansible.module_utils`, the user's, and the module.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use provision_playbook::own::OwnModule;
use zip::write::SimpleFileOptions;

use super::files::{PACKAGE, PLUGINS};
use super::kind::COMMON_MARK;

/// Entries that archives may have: a slip such as a link to `/` ends with an error.
const ENTRIES_MOST: usize = 5_000;

/// The name that the module is imported by, and the archive.
///
/// # Errors
/// When a file can't be read.
pub fn of(own: &OwnModule, text: &[u8]) -> Result<(String, Vec<u8>), String> {
    let mut entries = Entries::default();
    let folder = match &own.collection {
        Some(collection) => {
            format!("ansible_collections/{}/plugins/modules", collection.replace('.', "/"))
        }
        None => "ansible/modules".to_owned(),
    };
    let name = identifier(&own.name);
    let text = with_common(text);
    entries.put(format!("{folder}/{name}.py"), text);
    for place in &own.utilities {
        entries.folder(place, "ansible/module_utils")?;
    }
    for (path, text) in PACKAGE {
        entries.put((*path).to_owned(), text.as_bytes().to_vec());
    }
    entries.collections(own)?;
    entries.complete();
    let entry = format!("{}.{name}", folder.replace('/', "."));
    Ok((entry, entries.zip().map_err(|error| format!("failed to pack {}: {error}", own.name))?))
}

/// What runs filters, tests and lookups of the user's own: a program, and what these may import.
///
/// # Errors
/// When it can't be packed.
pub fn of_plugins() -> Result<Vec<u8>, String> {
    let mut entries = Entries::default();
    for (path, text) in PLUGINS.iter().chain(PACKAGE) {
        entries.put((*path).to_owned(), text.as_bytes().to_vec());
    }
    entries.zip().map_err(|error| error.to_string())
}

/// A name that Python can import.
fn identifier(name: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    name.chars().map(|letter| if fits(letter) { letter } else { '_' }).collect()
}

/// Old modules have a mark where Ansible put the text of `basic`.
fn with_common(text: &[u8]) -> Vec<u8> {
    let Ok(utf8) = std::str::from_utf8(text) else { return text.to_vec() };
    match utf8.contains(COMMON_MARK) {
        true => utf8.replace(COMMON_MARK, "from ansible.module_utils.basic import *").into_bytes(),
        false => text.to_vec(),
    }
}

#[derive(Default)]
struct Entries {
    files: BTreeMap<String, Vec<u8>>,
}

impl Entries {
    /// Adds a file; the first one of a name stays.
    fn put(&mut self, path: String, bytes: Vec<u8>) {
        self.files.entry(path).or_insert(bytes);
    }

    /// Adds the Python below a folder, if there is one.
    fn folder(&mut self, folder: &Path, prefix: &str) -> Result<(), String> {
        let mut open = vec![(folder.to_owned(), prefix.to_owned())];
        while let Some((folder, prefix)) = open.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let (path, name) = (entry.path(), entry.file_name());
                let name = name.to_string_lossy();
                if path.is_dir() {
                    if name != "__pycache__" {
                        open.push((path, format!("{prefix}/{name}")));
                    }
                } else if name.ends_with(".py") {
                    let bytes = std::fs::read(&path)
                        .map_err(|error| format!("failed to read {}: {error}", path.display()))?;
                    self.put(format!("{prefix}/{name}"), bytes);
                }
                if self.files.len() > ENTRIES_MOST {
                    return Err(format!(
                        "{} has more than {ENTRIES_MOST} files: modules can't take them along",
                        folder.display()
                    ));
                }
            }
        }
        Ok(())
    }

    /// Adds the shared code of the module's collection, and of all that the code here names.
    fn collections(&mut self, own: &OwnModule) -> Result<(), String> {
        let mut added: BTreeSet<String> = BTreeSet::new();
        let mut wanted: Vec<String> = own.collection.iter().cloned().collect();
        loop {
            wanted.extend(
                self.files
                    .iter()
                    .filter(|(path, _)| !is_ours(path))
                    .flat_map(|(_, bytes)| collections_named(&String::from_utf8_lossy(bytes))),
            );
            let Some(next) = wanted.pop() else { return Ok(()) };
            if !added.insert(next.clone()) {
                if wanted.iter().all(|name| added.contains(name)) {
                    return Ok(());
                }
                continue;
            }
            let path: PathBuf =
                ["ansible_collections", &next.replace('.', "/"), "plugins/module_utils"]
                    .iter()
                    .collect();
            for place in &own.collections {
                self.folder(&place.join(&path), &path.display().to_string())?;
            }
        }
    }

    /// Every folder is a package.
    fn complete(&mut self) {
        let paths: Vec<String> = self.files.keys().cloned().collect();
        for path in paths {
            let mut path = path.as_str();
            while let Some((folder, _)) = path.rsplit_once('/') {
                self.put(format!("{folder}/__init__.py"), Vec::new());
                path = folder;
            }
        }
    }

    fn zip(self) -> Result<Vec<u8>, zip::result::ZipError> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        // Without a time: the same module is the same content on every day.
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .last_modified_time(zip::DateTime::default());
        for (path, bytes) in self.files {
            writer.start_file(path, options)?;
            writer.write_all(&bytes)?;
        }
        Ok(writer.finish()?.into_inner())
    }
}

fn is_ours(path: &str) -> bool {
    PACKAGE.iter().any(|(ours, _)| *ours == path)
}

/// Collections that a text imports from.
fn collections_named(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in text.split("ansible_collections.").skip(1) {
        let mut parts = rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        if let (Some(space), Some(name)) = (parts.next(), parts.next())
            && !space.is_empty()
            && !name.is_empty()
        {
            found.push(format!("{space}.{name}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_are_found_in_imports() {
        let text = "from ansible_collections.one.two.plugins.module_utils.x import y\n";
        assert_eq!(collections_named(text), ["one.two"]);
        assert!(collections_named("ansible_collections").is_empty());
    }

    #[test]
    fn the_list_names_every_file_of_the_package() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let mut entries = Entries::default();
        entries.folder(&root.join("ansible"), "ansible").unwrap_or_default();
        let there: Vec<&str> = entries.files.keys().map(String::as_str).collect();
        let mut listed: Vec<&str> =
            PACKAGE.iter().map(|(path, _)| *path).filter(|path| *path != "__main__.py").collect();
        listed.sort_unstable();
        assert_eq!(there, listed);
    }
}
