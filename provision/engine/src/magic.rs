//! Variables that the engine itself provides, and names that no fact may take.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use provision_discovery::{OF_ENGINE, OF_TEMPLATES};
use provision_playbook::files::Files;
use provision_playbook::inventory::{PYTHON, is_localhost};
use provision_playbook::model::{Context, RoleUse};
use provision_template::{Dialect, Slot, Value, value_of_node};

use crate::outside::{self, Outside};
use crate::variables::{View, dictionary};

/// Names with `ansible_` before them that [`value`] knows; the others are [`OF_ENGINE`].
const OF_ANSIBLE: &[&str] = &[
    "ansible_check_mode",
    "ansible_collection_name",
    "ansible_dependent_role_names",
    "ansible_diff_mode",
    "ansible_forks",
    "ansible_inventory_sources",
    "ansible_limit",
    "ansible_parent_role_names",
    "ansible_parent_role_paths",
    "ansible_play_batch",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_name",
    "ansible_play_role_names",
    "ansible_playbook_python",
    "ansible_role_name",
    "ansible_role_names",
    "ansible_run_tags",
    "ansible_search_path",
    "ansible_skip_tags",
    "ansible_verbosity",
    "ansible_version",
];

/// Names that [`value`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    OF_ANSIBLE.iter().chain(OF_ENGINE).copied()
}

/// Variables that steer connection and become. Facts with these names are not visible as
/// variables: a host must not be able to redirect the controller.
const STEERING: &[&str] = &[
    "ansible_connection",
    "ansible_host",
    "ansible_password",
    "ansible_pipelining",
    "ansible_port",
    "ansible_private_key_file",
    "ansible_python_interpreter",
    "ansible_remote_tmp",
    "ansible_scp_executable",
    "ansible_scp_extra_args",
    "ansible_sftp_executable",
    "ansible_sftp_extra_args",
    "ansible_shell_executable",
    "ansible_shell_type",
    "ansible_timeout",
    "ansible_user",
];

/// Whether a name belongs to the engine or steers connection or become.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    names().any(|known| known == name)
        || STEERING.contains(&name)
        || name.starts_with("ansible_become")
        || name.starts_with("ansible_ssh_") && !name.starts_with("ansible_ssh_host_key_")
        || name.starts_with("ansible_sudo")
        || OF_TEMPLATES.contains(&name)
        || name == "ansible_facts"
}

/// What a connection variable is when nobody sets it, as Ansible shows it to tasks.
#[must_use]
pub fn connection_default(view: &View, name: &str) -> Option<Value> {
    let context = view.context.as_ref()?;
    match name {
        "ansible_connection" => {
            let keyword = context.innermost(|level| level.connection.as_ref());
            let written = keyword.and_then(yaml::Node::as_str).filter(|text| !text.contains("{{"));
            let local = matches!(view.host.name.as_str(), "localhost" | "127.0.0.1" | "::1");
            let default = if local { "local" } else { "ssh" };
            Some(written.unwrap_or(default).into())
        }
        "ansible_host" => Some(view.host.name.as_str().into()),
        _ => None,
    }
}

/// The value of an engine variable, if it has one here.
#[must_use]
pub fn value(view: &View, name: &str) -> Option<Value> {
    match name {
        "inventory_hostname" => Some(view.host.name.as_str().into()),
        "inventory_hostname_short" => view.host.name.split('.').next().map(Value::from),
        "group_names" => Some(group_names(view)),
        "groups" => Some(groups(view)),
        "hostvars" => {
            Some(Value::from_object(HostVars { view: base(view), reads: view.local.reads() }))
        }
        "vars" => {
            let (view, of_host, reads) = (view.clone(), false, None);
            Some(Value::from_object(Variables { view, of_host, reads }))
        }
        "playbook_dir" => Some(view.world.settings.playbook_folder.display().to_string().into()),
        "inventory_dir" | "inventory_file" => inventory_place(view, name),
        "ansible_check_mode" => Some(view.world.settings.check.into()),
        "provision_rolls_restarts" => Some(view.world.settings.rolls_restarts.into()),
        "ansible_diff_mode" => Some(view.world.settings.diff.into()),
        "ansible_forks" => Some(view.world.settings.forks.into()),
        "ansible_verbosity" => Some(view.world.settings.verbosity.into()),
        "ansible_limit" => view.world.settings.limit.as_deref().map(Value::from),
        "ansible_run_tags" if view.world.settings.tags.is_empty() => {
            Some(texts(&["all".to_owned()]))
        }
        "ansible_run_tags" => Some(texts(&view.world.settings.tags)),
        "ansible_playbook_python" => Some(PYTHON.into()),
        "ansible_skip_tags" => Some(texts(&view.world.settings.skip_tags)),
        "ansible_inventory_sources" => Some(
            view.world
                .settings
                .inventory_sources
                .iter()
                .map(|path| Value::from(path.display().to_string()))
                .collect(),
        ),
        "ansible_version" => Some(version()),
        "ansible_search_path" => Some(
            outside::search_path(view)
                .iter()
                .map(|path| Value::from(path.display().to_string()))
                .collect(),
        ),
        _ => role_value(view, name).or_else(|| play_value(view, name)),
    }
}

fn play_value(view: &View, name: &str) -> Option<Value> {
    let play = view.play.as_ref()?;
    match name {
        "ansible_play_name" => Some(play.name.as_str().into()),
        "ansible_play_hosts_all" => Some(texts(&play.all_hosts)),
        "ansible_play_hosts" => Some(texts(&play.still_in(&play.all_hosts))),
        "ansible_play_batch" | "play_hosts" => Some(texts(&play.still_in(&play.batch))),
        "ansible_play_role_names" => {
            let mut names: Vec<String> = Vec::new();
            for role in &play.play.roles {
                if !names.contains(&role.role.name) {
                    names.push(role.role.name.clone());
                }
            }
            Some(texts(&names))
        }
        "role_names" => play_value(view, "ansible_play_role_names"),
        // Roles that others depend on; those of the play are among them only then.
        "ansible_dependent_role_names" | "ansible_role_names" => {
            let mut names: Vec<String> = Vec::new();
            let mut add = |role: &Arc<RoleUse>| {
                if !names.contains(&role.role.name) {
                    names.push(role.role.name.clone());
                }
            };
            for role in play.visible_roles().iter() {
                role.dependencies.iter().for_each(&mut add);
                if name == "ansible_role_names" {
                    add(role);
                }
            }
            Some(texts(&names))
        }
        _ => None,
    }
}

fn role_value(view: &View, name: &str) -> Option<Value> {
    let context = view.context.as_ref()?;
    let role = context.role()?;
    match name {
        "ansible_role_name" => Some(role.role.name.as_str().into()),
        "role_name" => {
            let name = role.role.name.as_str();
            Some(in_collection(&role.role.folder, name).map_or(name, |(_, short)| short).into())
        }
        "ansible_collection_name" => {
            let collection =
                in_collection(&role.role.folder, &role.role.name).map(|(name, _)| name);
            Some(collection.map_or(Value::from(()), Value::from))
        }
        "role_path" => Some(outside::absolute(&role.role.folder).display().to_string().into()),
        // Roles whose tasks included or imported this one, nearest first.
        "ansible_parent_role_names" => {
            some(parents(context).map(|role| Value::from(&*role.role.name)).collect())
        }
        "ansible_parent_role_paths" => {
            let path = |role: &Arc<RoleUse>| {
                Value::from(outside::absolute(&role.role.folder).display().to_string())
            };
            some(parents(context).map(path).collect())
        }
        _ => None,
    }
}

/// The collection that a role is part of, and the role's name in it.
fn in_collection<'a>(folder: &Path, name: &'a str) -> Option<(&'a str, &'a str)> {
    let roles = folder.parent()?;
    let place = roles.parent()?.parent()?.parent()?;
    if !(roles.ends_with("roles") && place.ends_with("ansible_collections")) {
        return None;
    }
    name.match_indices('.').nth(1).map(|(dot, _)| {
        let (collection, name) = name.split_at(dot);
        (collection, name.trim_start_matches('.'))
    })
}

/// The roles around the innermost one.
fn parents(context: &Context) -> impl Iterator<Item = &Arc<RoleUse>> {
    context.chain().filter_map(|context| context.role.as_ref()).skip(1)
}

fn some(values: Vec<Value>) -> Option<Value> {
    (!values.is_empty()).then(|| values.into_iter().collect())
}

/// What other hosts may see: no task, no loop.
fn base(view: &View) -> View {
    View {
        context: None,
        includes: Vec::new(),
        local: crate::variables::Layer::default(),
        ..view.clone()
    }
}

fn texts(names: &[String]) -> Value {
    names.iter().map(|name| Value::from(name.as_str())).collect()
}

fn group_names(view: &View) -> Value {
    let groups = view.world.groups();
    let mut names: Vec<&String> = groups
        .iter()
        .filter(|(name, members)| *name != "all" && members.contains(&view.host.name))
        .map(|(name, _)| name)
        .collect();
    names.sort();
    names.into_iter().map(|name| Value::from(name.as_str())).collect()
}

fn groups(view: &View) -> Value {
    let groups = view.world.groups();
    dictionary(groups.iter().map(|(name, members)| (name.as_str(), texts(members))))
}

fn inventory_place(view: &View, name: &str) -> Option<Value> {
    let source = view.world.settings.inventory_sources.first()?;
    let place = match name {
        "inventory_dir"
            if view.world.files.kind(source)
                == Some(provision_playbook::files::FileKind::Folder) =>
        {
            source.clone()
        }
        "inventory_dir" => source.parent()?.to_path_buf(),
        _ => source.clone(),
    };
    Some(place.display().to_string().into())
}

fn version() -> Value {
    // Content asks for this to know which dialect it may use; the classic dialect is 2.18's.
    let entries: [(&str, Value); 5] = [
        ("full", "2.18.19".into()),
        ("string", "2.18.19".into()),
        ("major", 2.into()),
        ("minor", 18.into()),
        ("revision", 19.into()),
    ];
    dictionary(entries)
}

/// `hostvars`: hosts to their variables, evaluated when read.
#[derive(Debug)]
struct HostVars {
    view: View,
    reads: Option<Arc<AtomicBool>>,
}

impl Object for HostVars {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let world = &self.view.world;
        // As in Ansible this machine is there although nobody lists it.
        let implicit = || is_localhost(name).then(|| world.host_or_new(name));
        let host = world.host(name).or_else(implicit)?;
        let view = View { host, ..self.view.clone() };
        let reads = self.reads.clone();
        Some(Value::from_object(Variables { view, of_host: true, reads }))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let hosts = self.view.world.hosts.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        Enumerator::Values(hosts.keys().map(|name| Value::from(name.as_str())).collect())
    }
}

/// All variables of a view, evaluated when read.
#[derive(Debug)]
struct Variables {
    view: View,
    /// Read through `hostvars`: names are those of the host itself, not of a play or its roles.
    of_host: bool,
    /// Whether what is being evaluated reads an item of a loop that came from a lookup.
    reads: Option<Arc<AtomicBool>>,
}

impl Variables {
    fn own(&self) -> View {
        match self.of_host {
            true => View { play: None, ..self.view.clone() },
            false => self.view.clone(),
        }
    }
}

impl Object for Variables {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let own = self.own();
        let slot = match provision_template::Scope::lookup(&own, name) {
            provision_template::Found::Slot(Slot::Data(value)) => return Some(value),
            provision_template::Found::Slot(slot) => slot,
            provision_template::Found::Undefined => return None,
            // Nobody reads other hosts' variables, or all of one's own, before everything that
            // could still change them is over: such evaluations are fenced.
            provision_template::Found::Pending(_) => return None,
        };
        // The template itself may use what the play defines, but not together with what lookups
        // bring (`with_dict`): there what the host's own variables can't fill in stays as it is
        // written, as in Ansible.
        let reads_data = self.reads.as_ref().is_some_and(|reads| reads.load(Ordering::Relaxed));
        let outside = Outside::of(&self.view);
        if let (true, Slot::Template(node)) = (reads_data, &slot) {
            let rendered = self.view.world.engine.render_slot(&slot, &own, &outside);
            if rendered.is_err_and(|error| error.is_undefined()) {
                return Some(provision_template::value_of_node(node));
            }
        }
        let engine = &self.view.world.engine;
        match (engine.render_slot(&slot, &self.view, &outside), &slot) {
            (Ok(value), _) => Some(value),
            // 2.18 gives the template itself where something in it is undefined, so that who shows
            // or searches all variables does not fail because of one that nobody reads.
            (Err(error), Slot::Template(node))
                if error.is_undefined() && engine.dialect() == Dialect::Classic =>
            {
                Some(value_of_node(node))
            }
            (Err(error), _) => Some(Value::from(minijinja::Error::new(
                minijinja::ErrorKind::InvalidOperation,
                error.message().to_owned(),
            ))),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let own = self.own();
        let mut names = provision_template::Scope::names(&own);
        names.retain(|name| {
            // What holds everything again has no end.
            let is_whole = matches!(name.as_str(), "hostvars" | "vars");
            let found = provision_template::Scope::lookup(&own, name);
            !is_whole && matches!(found, provision_template::Found::Slot(_))
        });
        Enumerator::Values(names.into_iter().map(Value::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_of_collections_have_short_names() {
        let folder = Path::new("/x/ansible_collections/prometheus/prometheus/roles/node_exporter");
        let name = "prometheus.prometheus.node_exporter";
        assert_eq!(in_collection(folder, name), Some(("prometheus.prometheus", "node_exporter")));
        assert_eq!(in_collection(Path::new("/x/roles/a.b.c"), "a.b.c"), None);
        assert_eq!(in_collection(folder, "geerlingguy.ntp"), None);
    }
}
