//! What is read before a run over components: their definitions, the plays, the inventory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Diagnostic, SourceId, Sources};
use provision_discovery::is_listing;
use provision_lifecycle::{Definition, Duty, Order, digest_of, read_definition};
use provision_playbook::files::{FileKind, Files};

use super::{plays, services};
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
    /// Which of the definitions that plays were made of: those without members have plays as well.
    pub(super) number: usize,
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

/// A definition and the role that it belongs to.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) definition: Definition,
    /// The folder of the role.
    pub(super) role: String,
}

/// The component that a role is: names of roles have no hyphens, by custom.
fn component_of(role: &str) -> String {
    role.replace('_', "-")
}

/// Names of the components whose roles stand beside the playbooks.
#[must_use]
pub fn components(playbooks: &Path) -> Vec<String> {
    roles(playbooks).iter().map(|role| component_of(role)).collect()
}

/// What the components of roles say of their order. One with a mistake says nothing here: who
/// prepares it is told.
#[must_use]
pub fn orders(playbooks: &Path) -> Vec<(String, Order)> {
    let mut sources = Sources::default();
    let mut order = |role: String| {
        let path = playbooks.join("roles").join(&role).join("component.yml");
        let text = Disk::default().read(&path).ok()?;
        let definition = read_definition(&path.display().to_string(), &text, &mut sources).ok()?;
        (!definition.is_shared()).then(|| (component_of(&role), definition.order))
    };
    roles(playbooks).into_iter().filter_map(&mut order).collect()
}

/// Folders of the roles that have a `component.yml`.
fn roles(playbooks: &Path) -> Vec<String> {
    let roles = Disk::default().list(&playbooks.join("roles"));
    let is_component =
        |role: &PathBuf| Disk::default().kind(&role.join("component.yml")) == Some(FileKind::File);
    let name = |role: PathBuf| role.file_name().map(|name| name.to_string_lossy().into_owned());
    roles.into_iter().filter(is_component).filter_map(name).collect()
}

/// Reads and checks everything about these components; without names, about all that there are.
///
/// # Errors
/// Everything that is wrong, at once. Nothing has been touched.
pub fn prepare(
    request: &LoadRequest,
    playbooks: &Path,
    names: &[String],
) -> Result<Prepared, PrepareFailure> {
    let sources = sources(request, playbooks, names)?;
    let (playbook, texts) = plays::texts(playbooks, &sources);
    let request = LoadRequest { playbooks: vec![playbook], texts, ..request.clone() };
    let loaded = load(&request).map_err(PrepareFailure::Invalid)?;
    let inventory_digest = inventory_digest(&loaded, playbooks);
    let components = sources
        .into_iter()
        .enumerate()
        .map(|(number, source)| component(&loaded, number, source, playbooks))
        .filter(|component| !component.members.is_empty())
        .collect();
    Ok(Prepared { loaded, components, inventory_digest })
}

/// The definitions: those of roles by name, those of services by the inventory.
fn sources(
    request: &LoadRequest,
    playbooks: &Path,
    names: &[String],
) -> Result<Vec<Source>, PrepareFailure> {
    let all = read_all(playbooks, names)?;
    let (shared, own): (Vec<Source>, Vec<Source>) =
        all.into_iter().partition(|source| source.definition.is_shared());
    let is_own = |name: &String| own.iter().any(|source| source.definition.name.value == *name);
    let mut found = own.clone();
    if let Some(shared) = shared.first().filter(|_| names.is_empty() || !names.iter().all(is_own)) {
        for (name, group) in services::of_inventory(request, playbooks)? {
            // A service can't take the name of a role: that one would lose its own rules.
            if !is_own(&name) {
                let definition = shared.definition.of_one(&name, &group);
                found.push(Source { definition, role: shared.role.clone() });
            }
        }
    }
    let name_of = |source: &Source| source.definition.name.value.clone();
    if names.is_empty() {
        return Ok(found);
    }
    let of_name = |name: &String| {
        let is_it = |source: &&Source| source.definition.name.value == *name;
        found.iter().find(is_it).cloned().ok_or_else(|| PrepareFailure::Unknown {
            name: name.clone(),
            known: found.iter().map(name_of).collect(),
        })
    };
    names.iter().map(of_name).collect()
}

/// All definitions that are needed; what is wrong with any of them.
fn read_all(playbooks: &Path, names: &[String]) -> Result<Vec<Source>, PrepareFailure> {
    let mut sources = Sources::default();
    let (mut definitions, mut wrong) = (Vec::new(), Vec::new());
    for role in roles(playbooks) {
        let path = playbooks.join("roles").join(&role).join("component.yml");
        let read = Disk::default()
            .read(&path)
            .map_err(|message| vec![Diagnostic::error("component", message)]);
        let read =
            read.and_then(|text| read_definition(&path.display().to_string(), &text, &mut sources));
        let name = component_of(&role);
        match read.and_then(|definition| named(definition, &name)) {
            Ok(definition) => definitions.push(Source { definition, role }),
            Err(diagnostics) => wrong.extend(diagnostics),
        }
    }
    // Another component's mistake is no reason to leave the ones that are asked for alone.
    let is_read =
        |name: &String| definitions.iter().any(|source| source.definition.name.value == *name);
    if wrong.is_empty() || (!names.is_empty() && names.iter().all(is_read)) {
        return Ok(definitions);
    }
    Err(PrepareFailure::Invalid(Box::new(LoadFailure {
        diagnostics: wrong,
        sources,
        hosts: 0,
        tasks: 0,
    })))
}

/// A definition under another name than its role's would be found by nobody.
fn named(definition: Definition, name: &str) -> Result<Definition, Vec<Diagnostic>> {
    if definition.is_shared() || definition.name.value == name {
        return Ok(definition);
    }
    let wrong = Diagnostic::error("component", "a component has another name than its role")
        .at(definition.name.span, format!("the role says {name}"))
        .hint("rename one of them; an underscore in the role's name is a hyphen here");
    Err(vec![wrong])
}

fn component(loaded: &Loaded, number: usize, source: Source, playbooks: &Path) -> Component {
    let Source { definition, role } = source;
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
    let role_digest = role_digest(&playbooks.join("roles").join(role));
    Component { definition, members, role_digest, number }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use provision_playbook::model::Play;
    use provision_template::Dialect;

    use super::{PrepareFailure, Prepared, prepare};
    use crate::load::LoadRequest;
    use crate::release::plays::{PlayKind, number_of};

    fn prepared(inventory: &str, names: &[&str]) -> Result<Prepared, PrepareFailure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts.yml");
        std::fs::write(&path, inventory).unwrap();
        let request = LoadRequest {
            inventories: vec![path.display().to_string()],
            ..LoadRequest::new(Dialect::Classic)
        };
        let playbooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        prepare(&request, &playbooks.canonicalize().unwrap(), &names)
    }

    fn good(inventory: &str, names: &[&str]) -> Prepared {
        match prepared(inventory, names) {
            Ok(prepared) => prepared,
            Err(PrepareFailure::Invalid(failure)) => panic!("{:?}", failure.diagnostics),
            Err(PrepareFailure::Unknown { name, .. }) => panic!("{name} is unknown"),
        }
    }

    const SOME: &str = "\
zookeeper: {hosts: {zk1: , zk2: , zk3: }}
docker: {hosts: {w1: }}
web: {hosts: {w1: }}
all:
  vars:
    services: {shop: {group: web}, unused: {}}
    releases: {}
    artifacts: {}
    consul_gossip_key: a
    consul_management_token: b
    consul_agent_token: c
";

    /// Roles without members have plays, too, so that numbers differ.
    #[test]
    fn each_component_plays_its_own_plays() {
        let prepared = good(SOME, &[]);
        let names = |prepared: &Prepared| -> Vec<String> {
            let all = prepared.components.iter();
            all.map(|component| component.definition.name.value.clone()).collect()
        };
        assert_eq!(names(&prepared), ["docker", "zookeeper", "shop"]);
        let plays: Vec<&Play> = prepared
            .loaded
            .playbooks
            .iter()
            .flat_map(|playbook| &playbook.plays)
            .map(AsRef::as_ref)
            .collect();
        for component in &prepared.components {
            let play = plays[number_of(component.number, PlayKind::Stage)];
            let name = component.definition.name.value.as_str();
            assert!(format!("{play:?}").contains(&format!("{name}: stage")), "{name}");
        }
    }

    #[test]
    fn a_service_is_a_component_like_any_other() {
        let prepared = good(SOME, &["shop"]);
        let [shop] = prepared.components.as_slice() else { panic!() };
        let members: Vec<&str> = shop.members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((members, shop.definition.artifact()), (vec!["w1"], "shop"));
    }

    #[test]
    fn unknown_names_and_bad_services_are_refused() {
        let Err(PrepareFailure::Unknown { known, .. }) = prepared(SOME, &["shopp"]) else {
            panic!()
        };
        assert!(known.contains(&"shop".to_owned()) && known.contains(&"zookeeper".to_owned()));
        let bad = SOME.replace("shop:", "Shop:");
        let Err(PrepareFailure::Invalid(failure)) = prepared(&bad, &["shop"]) else { panic!() };
        assert!(failure.diagnostics[0].message.contains("`Shop` can't be a service"));
        // Nobody asks for the services here.
        assert_eq!(good(&bad, &["zookeeper"]).components.len(), 1);
    }

    /// upgrade.yml and its like can't list folders, so they have a list of their own.
    #[test]
    fn the_plays_know_the_same_components() {
        let playbooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks");
        let mut roles = super::roles(&playbooks);
        roles.retain(|role| role != "service");
        let text = std::fs::read_to_string(playbooks.join("lifecycle/variables.yml")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("lifecycle_roles: ["));
        let mut known: Vec<&str> = line.unwrap().trim_end_matches(']').split(", ").collect();
        known.sort_unstable();
        roles.sort();
        assert_eq!(known, roles);
        for role in &roles {
            let tasks = playbooks.join("roles").join(role).join("tasks");
            assert!(tasks.join("take.yml").is_file() && tasks.join("remove.yml").is_file());
        }
    }
}
