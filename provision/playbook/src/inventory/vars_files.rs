//! `group_vars` and `host_vars`: which files hold the variables of a group or host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Diagnostic, Severity, SourceId, Sources};
use yaml::{Mapping, NodeValue, Schema};

use super::Inventory;
use crate::files::{FileKind, Files};
use crate::vault::{keep_secrets, plain_text};

/// Extensions in the order in which Ansible tries them; the first that exists is the one.
const EXTENSIONS: [&str; 4] = ["", ".yml", ".yaml", ".json"];

/// Deepest folders below `group_vars/<group>`: a link in a circle must end.
const MAX_FOLDER_DEPTH: usize = 20;

/// What `group_vars` and `host_vars` of one folder hold.
#[derive(Debug, Clone, Default)]
pub(super) struct VarsFolder {
    /// The folder that contains `group_vars` and `host_vars`.
    pub(super) base: PathBuf,
    groups: BTreeMap<String, Vec<VarsFile>>,
    hosts: BTreeMap<String, Vec<VarsFile>>,
    /// Files that no password opens, and whose they are.
    sealed: Vec<(Entity, Diagnostic)>,
}

/// Whose variables a file holds.
#[derive(Debug, Clone)]
enum Entity {
    Group(String),
    Host(String),
}

/// One file of variables.
#[derive(Debug, Clone)]
pub(super) struct VarsFile {
    pub(super) path: Arc<PathBuf>,
    pub(super) variables: Arc<Mapping>,
}

impl VarsFolder {
    /// Files of a group, weakest first.
    pub(super) fn group(&self, name: &str) -> &[VarsFile] {
        self.groups.get(name).map_or(&[], Vec::as_slice)
    }

    /// The variables of all files.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Mapping>> {
        self.groups.values().chain(self.hosts.values()).flatten().map(|file| &file.variables)
    }

    /// Why encrypted files can't be used: errors for those that concern one of the hosts, warnings
    /// for the others, whose passwords Ansible doesn't ask for either.
    pub(super) fn sealed(
        &self,
        inventory: &Inventory,
        concerns: impl Fn(&str) -> bool,
    ) -> Vec<Diagnostic> {
        let told = self.sealed.iter().map(|(entity, diagnostic)| {
            let is_needed = match entity {
                Entity::Host(name) => concerns(name),
                Entity::Group(name) => inventory.hosts_of(name).iter().any(|host| concerns(host)),
            };
            match is_needed {
                true => diagnostic.clone(),
                false => Diagnostic { severity: Severity::Warning, ..diagnostic.clone() }
                    .note("no host of this run has these variables"),
            }
        });
        told.collect()
    }

    /// Files of a host, weakest first.
    pub(super) fn host(&self, name: &str) -> &[VarsFile] {
        self.hosts.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Reads the `group_vars` and `host_vars` beside playbooks into the inventory; they replace
/// those of earlier calls.
pub fn load_playbook_vars(
    inventory: &mut Inventory,
    folders: &[PathBuf],
    files: &dyn Files,
    sources: &mut Sources,
) -> Vec<Diagnostic> {
    let mut reader = Reader::new(inventory, files, sources);
    let folders = folders.iter().map(|base| Arc::new(reader.folder(base))).collect();
    let diagnostics = reader.diagnostics;
    inventory.set_playbook_folders(folders);
    diagnostics
}

/// Reads the `group_vars` and `host_vars` of one folder.
pub(super) fn load_folder(
    base: &Path,
    inventory: &Inventory,
    files: &dyn Files,
    sources: &mut Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> VarsFolder {
    let mut reader = Reader::new(inventory, files, sources);
    let folder = reader.folder(base);
    diagnostics.append(&mut reader.diagnostics);
    folder
}

struct Reader<'run> {
    inventory: &'run Inventory,
    files: &'run dyn Files,
    sources: &'run mut Sources,
    diagnostics: Vec<Diagnostic>,
    /// Encrypted files of the entity being read that no password opens.
    refused: Vec<Diagnostic>,
    sealed: Vec<(Entity, Diagnostic)>,
}

impl<'run> Reader<'run> {
    fn new(inventory: &'run Inventory, files: &'run dyn Files, sources: &'run mut Sources) -> Self {
        Reader {
            inventory,
            files,
            sources,
            diagnostics: Vec::new(),
            refused: Vec::new(),
            sealed: Vec::new(),
        }
    }
}

impl Reader<'_> {
    fn folder(&mut self, base: &Path) -> VarsFolder {
        let groups = self.entities(&base.join("group_vars"), Entity::Group, |inventory, name| {
            inventory.group(name).is_some()
        });
        let hosts = self.entities(&base.join("host_vars"), Entity::Host, |inventory, name| {
            inventory.host(name).is_some()
        });
        VarsFolder {
            base: base.to_owned(),
            groups,
            hosts,
            sealed: std::mem::take(&mut self.sealed),
        }
    }

    /// The files of every entity that a folder could mean. Entities that the inventory does not
    /// have may come at run time; until then what is wrong with their files bothers nobody.
    fn entities(
        &mut self,
        folder: &Path,
        whose: impl Fn(String) -> Entity,
        exists: impl Fn(&Inventory, &str) -> bool,
    ) -> BTreeMap<String, Vec<VarsFile>> {
        if self.files.kind(folder) != Some(FileKind::Folder) {
            return BTreeMap::new();
        }
        let inventory = self.inventory;
        let mut chosen: Vec<(String, PathBuf)> = candidates(self.files.list(folder))
            .into_iter()
            .filter(|(entity, (_, path))| exists(inventory, entity) || is_vars_file(path))
            .map(|(entity, (_, path))| (entity, path))
            .collect();
        chosen.sort_by_key(|(entity, _)| !exists(inventory, entity));
        let mut read: BTreeMap<PathBuf, Vec<VarsFile>> = BTreeMap::new();
        let mut entities = BTreeMap::new();
        for (entity, path) in chosen {
            let found = match read.get(&path) {
                Some(found) => found.clone(),
                None => {
                    let before = self.diagnostics.len();
                    let found = self.files_at(&path, 0);
                    for diagnostic in std::mem::take(&mut self.refused) {
                        if exists(inventory, &entity) {
                            self.sealed.push((whose(entity.clone()), diagnostic));
                        }
                    }
                    if !exists(inventory, &entity) {
                        self.diagnostics.truncate(before);
                    }
                    found
                }
            };
            read.insert(path, found.clone());
            entities.insert(entity, found);
        }
        entities
    }

    /// A file, or all files of a folder in the order of their names.
    fn files_at(&mut self, path: &Path, depth: usize) -> Vec<VarsFile> {
        match self.files.kind(path) {
            Some(FileKind::File) => self.file(path).into_iter().collect(),
            Some(FileKind::Folder) if depth < MAX_FOLDER_DEPTH => {
                let entries = self.files.list(path).into_iter().filter(|entry| self.counts(entry));
                let entries: Vec<PathBuf> = entries.collect();
                entries.iter().flat_map(|entry| self.files_at(entry, depth + 1)).collect()
            }
            Some(FileKind::Folder) | None => Vec::new(),
        }
    }

    /// Whether an entry of a folder of variables is read.
    fn counts(&self, path: &Path) -> bool {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
        let folder = self.files.kind(path) == Some(FileKind::Folder);
        !ignored(name) && if folder { path.extension().is_none() } else { is_vars_file(path) }
    }

    fn file(&mut self, path: &Path) -> Option<VarsFile> {
        let shown = path.display().to_string();
        let text = match self.files.read(path) {
            Ok(text) => text,
            Err(reason) => {
                let message = format!("cannot read the variables in {shown}: {reason}");
                self.diagnostics.push(Diagnostic::error("vars-file", message));
                return None;
            }
        };
        let plain = match plain_text(self.files, self.sources, shown, text) {
            Ok(plain) => plain,
            Err(diagnostic) => {
                self.refused.push(*diagnostic);
                return None;
            }
        };
        let variables = self.variables(&plain.text, plain.source)?;
        if plain.is_secret {
            keep_secrets(self.files, &variables);
        }
        Some(VarsFile { path: Arc::new(path.to_owned()), variables: Arc::new(variables) })
    }

    /// The mapping of a file; an empty file has none.
    fn variables(&mut self, text: &str, source: SourceId) -> Option<Mapping> {
        let read = yaml::read(text, source, Schema::Ansible);
        self.diagnostics.extend(read.diagnostics);
        let mut documents = read.documents.into_iter();
        let document = documents.next()?;
        if let Some(second) = documents.next() {
            self.diagnostics.push(
                Diagnostic::error("vars-file", "a file of variables holds one document")
                    .at(second.span, "a second document")
                    .hint("remove the `---` above it, or move it to a file of its own"),
            );
        }
        match document.value {
            NodeValue::Null => None,
            NodeValue::Mapping(mapping) => Some(mapping),
            _ => {
                let message = format!("expected a mapping of variables, found {}", document.kind());
                self.diagnostics.push(
                    Diagnostic::error("vars-file", message)
                        .at(document.span, "expected `name: value` lines"),
                );
                None
            }
        }
    }
}

/// For every name that an entity could have, its file: `web.yml` is for `web`, and for an
/// entity `web.yml` as well; a name takes the first extension that exists.
fn candidates(paths: Vec<PathBuf>) -> BTreeMap<String, (usize, PathBuf)> {
    let mut chosen: BTreeMap<String, (usize, PathBuf)> = BTreeMap::new();
    for path in paths {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        for (rank, extension) in EXTENSIONS.iter().enumerate() {
            let entity =
                name.strip_suffix(extension).filter(|name| !name.is_empty() && !ignored(name));
            let Some(entity) = entity else { continue };
            if chosen.get(entity).is_none_or(|(known, _)| rank < *known) {
                chosen.insert(entity.to_owned(), (rank, path.clone()));
            }
        }
    }
    chosen
}

/// Whether a file's extension is one of files of variables.
fn is_vars_file(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, None | Some("yml" | "yaml" | "json"))
}

/// Hidden files and backups.
fn ignored(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~')
}
