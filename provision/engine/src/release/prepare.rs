//! What is read before a run over components: their definitions, the plays, the inventory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Diagnostic, SourceId, Sources};
use provision_discovery::is_listing;
use provision_lifecycle::{Definition, Duty, digest_of, read_definition};
use provision_playbook::files::{FileKind, Files};

use super::plays;
use crate::disk::Disk;
use crate::load::{LoadFailure, LoadRequest, Loaded, load};

/// Deepest folder below a role that counts for its digest.
const DEPTH_LIMIT: u32 = 8;

/// A component and who runs it.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its definition.
    pub definition: Definition,
    /// Members in the order of the inventory.
    pub members: Vec<(String, Duty)>,
    /// Digest of its role's files.
    pub role_digest: String,
}

impl Component {
    /// Members with this duty.
    #[must_use]
    pub fn members_with(&self, duty: Duty) -> Vec<String> {
        let with = self.members.iter().filter(|(_, of)| *of == duty);
        with.map(|(name, _)| name.clone()).collect()
    }
}

/// Everything that is known before a host is contacted.
pub struct Prepared {
    /// Plays and inventory.
    pub loaded: Loaded,
    /// The components, those without members left out.
    pub components: Vec<Component>,
    /// Digest of inventory, variables and artifacts.
    pub inventory_digest: String,
}

/// Why nothing can begin.
#[derive(Debug)]
pub enum PrepareFailure {
    /// Files are wrong.
    Invalid(Box<LoadFailure>),
    /// There is no such component.
    Unknown {
        /// Name.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
}

/// Names of the components whose roles stand beside the playbooks.
#[must_use]
pub fn components(playbooks: &Path) -> Vec<String> {
    let roles = Disk::default().list(&playbooks.join("roles"));
    let is_component =
        |role: &PathBuf| Disk::default().kind(&role.join("component.yml")) == Some(FileKind::File);
    let name = |role: PathBuf| role.file_name().map(|name| name.to_string_lossy().into_owned());
    roles.into_iter().filter(is_component).filter_map(name).collect()
}

/// Reads and checks everything.
///
/// # Errors
/// Everything that is wrong, at once. Nothing has been touched.
pub fn prepare(
    request: &LoadRequest,
    playbooks: &Path,
    names: &[String],
) -> Result<Prepared, PrepareFailure> {
    let known = components(playbooks);
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(PrepareFailure::Unknown { name: name.clone(), known });
    }
    let mut sources = Sources::default();
    let mut found = Vec::new();
    let mut definitions = Vec::new();
    for name in names {
        let path = playbooks.join("roles").join(name).join("component.yml");
        let read = Disk::default()
            .read(&path)
            .map_err(|message| vec![Diagnostic::error("component", message)]);
        let read =
            read.and_then(|text| read_definition(&path.display().to_string(), &text, &mut sources));
        match read {
            Ok(definition) => definitions.push(definition),
            Err(diagnostics) => found.extend(diagnostics),
        }
    }
    if !found.is_empty() {
        let failure = LoadFailure { diagnostics: found, sources };
        return Err(PrepareFailure::Invalid(Box::new(failure)));
    }
    let (playbook, texts) = plays::texts(playbooks, &definitions);
    let request = LoadRequest { playbooks: vec![playbook], texts, ..request.clone() };
    let loaded = load(&request).map_err(PrepareFailure::Invalid)?;
    let inventory_digest = inventory_digest(&loaded, playbooks);
    let components = definitions
        .into_iter()
        .map(|definition| component(&loaded, definition, playbooks))
        .filter(|component| !component.members.is_empty())
        .collect();
    Ok(Prepared { loaded, components, inventory_digest })
}

fn component(loaded: &Loaded, definition: Definition, playbooks: &Path) -> Component {
    let groups = loaded.world.groups();
    let members_of = |group: &str| groups.get(group).cloned().unwrap_or_default();
    let voters = members_of(&definition.group.value);
    let workers = definition.followers.as_ref().map(|group| members_of(&group.value));
    let is_member = |name: &String| {
        let is_in_group = voters.contains(name);
        let is_follower = workers.as_ref().is_some_and(|workers| workers.contains(name));
        (is_in_group || is_follower).then(|| plays::duty_of(&definition, is_in_group))
    };
    let members = loaded
        .world
        .host_names()
        .into_iter()
        .filter_map(|name| is_member(&name).map(|duty| (name, duty)))
        .collect();
    let role_digest = role_digest(&playbooks.join("roles").join(&definition.name.value));
    Component { definition, members, role_digest }
}

/// All files of a role.
fn role_digest(role: &Path) -> String {
    let mut files = Vec::new();
    collect(role, DEPTH_LIMIT, &mut files);
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(role).unwrap_or(path).display().to_string();
            (name, Disk::default().read(path).unwrap_or_default())
        })
        .collect();
    digest_of(texts.iter().map(|(name, text)| (name.as_str(), text.as_bytes())))
}

fn collect(folder: &Path, depth: u32, files: &mut Vec<PathBuf>) {
    for path in Disk::default().list(folder) {
        match Disk::default().kind(&path) {
            Some(FileKind::Folder) if depth > 0 => collect(&path, depth - 1, files),
            Some(FileKind::File) => files.push(path),
            Some(FileKind::Folder) | None => {}
        }
    }
}

/// Everything that was read and is no part of a role or of our own plays: inventory, variables,
/// artifacts, what the command line says. Of what Consul says only that counts which the mapping
/// makes something of: among a thousand nodes there is always one whose health changes.
fn inventory_digest(loaded: &Loaded, playbooks: &Path) -> String {
    let roles = playbooks.join("roles");
    let own = plays::texts(playbooks, &[]).0;
    let sources = loaded.loader.sources();
    let all = || (0..).map_while(|number| sources.get(SourceId(number)));
    let discovered = match all().any(|source| is_listing(&source.name)) {
        true => {
            let hosts = loaded.inventory.hosts().map(|host| Arc::clone(&host.name)).collect();
            loaded.inventory.to_yaml(&hosts)
        }
        false => String::new(),
    };
    let texts: Vec<(&str, &[u8])> = all()
        .filter(|source| !is_listing(&source.name))
        .filter(|source| !Path::new(&source.name).starts_with(&roles))
        .filter(|source| Path::new(&source.name) != own)
        .map(|source| (source.name.as_str(), source.text.as_bytes()))
        .chain((!discovered.is_empty()).then_some(("discovered", discovered.as_bytes())))
        .collect();
    digest_of(texts.into_iter())
}
