//! Modules of the user's own: programs in `library/` folders and in collections, and the folders
//! with code that those in Python share.

use std::path::{Path, PathBuf};

use provision_template::PluginKind;

use crate::files::{FileKind, Files};
use crate::model::Context;
use crate::paths::normal;

/// Folders that the configuration names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnPaths {
    /// `library`: folders with modules, and folders below them.
    pub modules: Vec<PathBuf>,
    /// `module_utils`: folders with code that modules in Python share.
    pub utilities: Vec<PathBuf>,
    /// `collections_path`: folders with `ansible_collections`.
    pub collections: Vec<PathBuf>,
    /// `filter_plugins`: folders with filters in Python.
    pub filters: Vec<PathBuf>,
    /// `lookup_plugins`: folders with lookups in Python.
    pub lookups: Vec<PathBuf>,
    /// `test_plugins`: folders with tests in Python.
    pub tests: Vec<PathBuf>,
}

impl OwnPaths {
    /// Folders that may hold a plugin of this name, the first one wins: beside the playbook, in
    /// roles, then those that are configured. One with a collection is looked for there only.
    #[must_use]
    pub fn plugin_folders(&self, roots: &[PathBuf], name: &str, kind: PluginKind) -> Vec<PathBuf> {
        let (word, configured) = match kind {
            PluginKind::Filter => ("filter", &self.filters),
            PluginKind::Lookup => ("lookup", &self.lookups),
            PluginKind::Test => ("test", &self.tests),
        };
        let name = name.strip_prefix("ansible.legacy.").unwrap_or(name);
        let Some((collection, _)) = split_collection(name) else {
            let near = roots.iter().map(|root| root.join(format!("{word}_plugins")));
            return near.chain(configured.iter().cloned()).collect();
        };
        let path: PathBuf = ["ansible_collections", &collection.replace('.', "/"), "plugins", word]
            .iter()
            .collect();
        let near = roots.iter().map(|root| root.join("collections"));
        near.chain(self.collections.iter().cloned()).map(|place| place.join(&path)).collect()
    }
}

/// A module of the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnModule {
    /// Its name without the collection.
    pub name: String,
    /// The collection it is of: `namespace.name`.
    pub collection: Option<String>,
    /// The program.
    pub path: PathBuf,
    /// Folders with code that it may import as `ansible.module_utils`; the first one that has a
    /// file wins.
    pub utilities: Vec<PathBuf>,
    /// Folders with `ansible_collections`, whose `plugins/module_utils` it may import.
    pub collections: Vec<PathBuf>,
}

/// What the names of files end with that are no modules (Ansible's `module_ignore_exts`).
const NO_MODULES: &[&str] = &[
    "pyc", "pyo", "swp", "bak", "rpm", "md", "txt", "rst", "yaml", "yml", "ini", "json", "cfg",
    "ps1", "psm1",
];

/// Where modules of the user's own are looked for around a task, in order.
#[derive(Debug, Clone, Default)]
pub struct OwnPlaces {
    /// Folders with modules.
    modules: Vec<PathBuf>,
    /// Folders with shared code.
    utilities: Vec<PathBuf>,
    /// Folders with `ansible_collections`.
    collections: Vec<PathBuf>,
    /// Collections whose modules have short names here, too: that of the task's role.
    nearby: Vec<String>,
}

impl OwnPlaces {
    /// Around a task: `library/` beside the playbook, in the task's role and those around it, in
    /// `other_roles` (roles of the same run, whose modules Ansible finds as well), then the
    /// configured folders.
    #[must_use]
    pub fn around(context: &Context, other_roles: &[PathBuf], paths: &OwnPaths) -> OwnPlaces {
        let playbook = context.playbook_folder().to_owned();
        let mut roots = vec![playbook.clone()];
        let role = context.role();
        let near = role.iter().flat_map(|role| {
            std::iter::once(*role).chain(role.dependents.iter().rev()).map(|role| &role.role.folder)
        });
        for folder in near.chain(other_roles) {
            if !roots.contains(folder) {
                roots.push(folder.clone());
            }
        }
        let below = |name: &str| roots.iter().map(|root| root.join(name)).collect::<Vec<_>>();
        let mut collections = vec![playbook.join("collections")];
        collections.extend(paths.collections.iter().cloned());
        let nearby = role.and_then(|role| collection_of(&role.role.folder)).into_iter().collect();
        OwnPlaces {
            modules: below("library").into_iter().chain(paths.modules.iter().cloned()).collect(),
            utilities: below("module_utils")
                .into_iter()
                .chain(paths.utilities.iter().cloned())
                .collect(),
            collections,
            nearby,
        }
    }

    /// The module of this name; `list` gives the paths in a folder, sorted. A name with a
    /// collection is looked for there only; `ansible.builtin` has none of the user's own.
    pub fn find(
        &self,
        files: &dyn Files,
        list: &mut dyn FnMut(&Path) -> Vec<PathBuf>,
        name: &str,
    ) -> Option<OwnModule> {
        let name = name.strip_prefix("ansible.legacy.").unwrap_or(name);
        if name.starts_with("ansible.builtin.") {
            return None;
        }
        if let Some((collection, rest)) = split_collection(name) {
            return self.in_collection(files, list, &collection, rest);
        }
        let own = self.modules.iter().find_map(|folder| program_in(files, list, folder, name));
        own.map(|path| self.module(name, None, path))
    }

    /// The module of a short name in the collection of the task's role, or in one of those that
    /// `collections:` names.
    pub fn find_nearby(
        &self,
        files: &dyn Files,
        list: &mut dyn FnMut(&Path) -> Vec<PathBuf>,
        name: &str,
        more: &[String],
    ) -> Option<OwnModule> {
        if name.contains('.') {
            return None;
        }
        let mut collections = self.nearby.iter().chain(more);
        collections.find_map(|collection| self.in_collection(files, list, collection, name))
    }

    fn in_collection(
        &self,
        files: &dyn Files,
        list: &mut dyn FnMut(&Path) -> Vec<PathBuf>,
        collection: &str,
        name: &str,
    ) -> Option<OwnModule> {
        let (space, of_space) = collection.split_once('.')?;
        let mut inner: Vec<&str> = name.split('.').collect();
        let last = inner.pop()?;
        self.collections.iter().find_map(|place| {
            let folder = place.join("ansible_collections").join(space).join(of_space);
            let mut folder = folder.join("plugins").join("modules");
            folder.extend(&inner);
            let path = program_in(files, list, &folder, last)?;
            Some(self.module(last, Some(collection.to_owned()), path))
        })
    }

    fn module(&self, name: &str, collection: Option<String>, path: PathBuf) -> OwnModule {
        OwnModule {
            name: name.to_owned(),
            collection,
            path,
            utilities: self.utilities.clone(),
            collections: self.collections.clone(),
        }
    }
}

/// `namespace.name` and the rest of a name with a collection.
fn split_collection(name: &str) -> Option<(String, &str)> {
    let mut parts = name.splitn(3, '.');
    let (space, collection, rest) = (parts.next()?, parts.next()?, parts.next()?);
    Some((format!("{space}.{collection}"), rest))
}

/// The collection that a role's folder is in.
fn collection_of(role: &Path) -> Option<String> {
    let parts: Vec<&str> = role.iter().filter_map(|part| part.to_str()).collect();
    let at = parts.iter().rposition(|part| *part == "ansible_collections")?;
    match parts.get(at + 1..)? {
        [space, collection, "roles", ..] => Some(format!("{space}.{collection}")),
        _ => None,
    }
}

/// The program of this name in a folder, whatever its name ends with.
fn program_in(
    files: &dyn Files,
    list: &mut dyn FnMut(&Path) -> Vec<PathBuf>,
    folder: &Path,
    name: &str,
) -> Option<PathBuf> {
    let fits = |path: &&PathBuf| {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        let named = [stem, file].iter().any(|it| *it == name || it.strip_prefix('_') == Some(name));
        named && !NO_MODULES.contains(&ending) && !file.ends_with('~')
    };
    let entries = list(folder);
    let found = entries.iter().filter(fits).find(|path| files.kind(path) == Some(FileKind::File));
    found.map(|path| normal(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_collections_are_told_from_others() {
        assert_eq!(split_collection("a.b.c.d"), Some(("a.b".to_owned(), "c.d")));
        assert_eq!(split_collection("a.b"), None);
        let role = Path::new("/x/ansible_collections/one/two/roles/web");
        assert_eq!(collection_of(role), Some("one.two".to_owned()));
        assert_eq!(collection_of(Path::new("/x/roles/web")), None);
    }
}
