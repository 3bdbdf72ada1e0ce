//! `ansible-inventory`: what is in an inventory, as Ansible prints it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use provision_engine::discovery::{Discovery, Purpose};
use provision_engine::keyring::Keyring;
use provision_engine::load::{LoadRequest, Loaded, load};
use provision_engine::world::Settings;
use provision_playbook::Dialect;
use provision_playbook::inventory::{ALL, Named, Patterns};

use super::code::{self, Code};
use super::config::Configuration;
use super::page::Page;
use super::playbook;
use crate::apply;
use crate::arguments::VaultPasswords;
use crate::paint::harmless;
use crate::passwords;

/// Shows the inventory as Ansible sees it.
#[derive(Debug, Clone, Parser)]
#[command(name = "ansible-inventory", disable_version_flag = true, max_term_width = 100)]
pub struct InventoryArguments {
    /// The group whose tree is shown
    #[arg(value_name = "group", default_value = ALL)]
    group: String,
    /// Show the version and the configuration file that is used
    #[arg(long)]
    version: bool,
    /// Inventory: a file, a folder or a list of hosts `a,b,`; may be repeated
    #[arg(short, long, visible_alias = "inventory-file", value_name = "INVENTORY")]
    inventory: Vec<String>,
    /// Further limit selected hosts to an additional pattern
    #[arg(short, long, value_name = "SUBSET")]
    limit: Option<String>,
    /// Hosts, groups and variables
    #[arg(long, conflicts_with_all = ["host", "graph"])]
    list: bool,
    /// The variables of a host
    #[arg(long, value_name = "HOST", conflicts_with = "graph")]
    host: Option<String>,
    /// The tree of groups
    #[arg(long)]
    graph: bool,
    /// With --list: variables where they are written, not merged into hosts
    #[arg(long)]
    export: bool,
    /// Refused: the format is JSON
    #[arg(short, long)]
    yaml: bool,
    /// Refused: the format is JSON
    #[arg(long)]
    toml: bool,
    /// Refused: `provision inventory --vars HOST` shows them with their places
    #[arg(long)]
    vars: bool,
    /// Write into this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Where group_vars and host_vars are besides beside the inventory
    #[arg(long, visible_alias = "base-dir", value_name = "FOLDER")]
    playbook_dir: Option<PathBuf>,
    /// Variables: key=value, YAML, JSON, or @FILE
    #[arg(short, long, value_name = "EXTRA_VARS", allow_hyphen_values = true)]
    extra_vars: Vec<String>,
    #[command(flatten)]
    passwords: VaultPasswords,
    /// More messages; may be repeated
    #[arg(short, long = "verbose", action = clap::ArgAction::Count)]
    verbose: u8,
}

/// Shows an inventory; the exit code is Ansible's.
pub fn inventory(
    arguments: &InventoryArguments,
    configuration: &Configuration,
    mut page: Page,
) -> Code {
    if arguments.version {
        return super::version("ansible-inventory", configuration);
    }
    if let Err((message, code)) = refusal(arguments) {
        page.error(message);
        return code;
    }
    configuration.notes.iter().for_each(|note| page.warn(note));
    configuration.refusals.iter().for_each(|reason| page.error(reason));
    if !configuration.refusals.is_empty() {
        return code::OPTIONS;
    }
    let (loaded, keyring) = match read(arguments, configuration, &mut page) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let chosen = match chosen(&loaded) {
        Ok(chosen) => chosen,
        Err(message) => {
            page.error(&message);
            return code::ERROR;
        }
    };
    let known = keyring.known();
    let hide = |text: &str| known.text(text);
    let extra = &loaded.loader.options().extra_variables;
    let text = if arguments.graph {
        match graph(&loaded, &arguments.group, &chosen) {
            Some(text) => text,
            None => {
                page.error(&format!(
                    "Pattern must be valid group name when using --graph: {}",
                    arguments.group
                ));
                return code::ERROR;
            }
        }
    } else if let Some(host) = &arguments.host {
        let listing = loaded.inventory.listing(&BTreeSet::from([Arc::from(&**host)]), extra, &hide);
        if loaded.inventory.host(host).is_none() {
            page.error(&format!("Could not match supplied host pattern: {host}"));
            return code::ERROR;
        }
        let variables = listing.pointer("/_meta/hostvars").and_then(|all| all.get(host));
        pretty(variables.unwrap_or(&serde_json::json!({})))
    } else if arguments.export {
        pretty(&in_order(loaded.inventory.exported(&chosen, &hide)))
    } else {
        pretty(&in_order(loaded.inventory.listing(&chosen, extra, &hide)))
    };
    match &arguments.output {
        None => page.say(&text),
        Some(path) => {
            if let Err(error) = durable::write(path, text.as_bytes(), 0o600) {
                page.error(&format!("failed to write {}: {error}", path.display()));
                return code::UNEXPECTED;
            }
        }
    }
    code::DONE
}

fn refusal(arguments: &InventoryArguments) -> Result<(), (&'static str, Code)> {
    if arguments.yaml || arguments.toml {
        return Err((
            "--yaml, --toml: the format is JSON; `provision inventory --export FILE.yml` writes \
             YAML",
            code::OPTIONS,
        ));
    }
    if arguments.vars {
        return Err((
            "--vars: `provision inventory --vars HOST` shows variables with their places",
            code::OPTIONS,
        ));
    }
    if !arguments.list && !arguments.graph && arguments.host.is_none() {
        return Err((
            "No action selected, at least one of --host, --graph or --list needs to be specified.",
            code::FAILED,
        ));
    }
    Ok(())
}

fn read(
    arguments: &InventoryArguments,
    configuration: &Configuration,
    page: &mut Page,
) -> Result<(Loaded, Arc<Keyring>), Code> {
    let mut passwords = arguments.passwords.clone();
    configuration.complete_passwords(&mut passwords);
    let keyring = passwords::vault(&passwords).map_err(|failure| {
        page.error(failure.message());
        code::ERROR
    })?;
    let keyring = Arc::new(Keyring::new(keyring));
    let mut inventories = arguments.inventory.clone();
    if inventories.is_empty() {
        inventories.clone_from(&configuration.settings.inventory);
    }
    super::sources::existing(&mut inventories, &configuration.settings, page)?;
    let request = LoadRequest {
        keyring: Arc::clone(&keyring),
        discovery: Arc::new(Discovery::new(Purpose::Look, &apply::snapshot_folder())),
        inventories,
        extra_variables: arguments.extra_vars.clone(),
        settings: Settings { limit: arguments.limit.clone(), ..Settings::default() },
        ..LoadRequest::new(Dialect::Classic)
    };
    let loaded = load(&request).map_err(|failure| playbook::refused(&failure, page))?;
    Ok((loaded, keyring))
}

/// The hosts of `--limit`; all without one.
fn chosen(loaded: &Loaded) -> Result<BTreeSet<Arc<str>>, String> {
    let Some(limit) = &loaded.world.settings.limit else {
        return Ok(loaded.inventory.hosts().map(|host| Arc::clone(&host.name)).collect());
    };
    let limit = Patterns::limit(limit, loaded.world.files.as_ref())
        .map_err(|error| format!("failed to {error}"))?;
    let all = Patterns::parse(ALL, None);
    Ok(loaded.inventory.select(&all, Some(&limit)).hosts.into_iter().collect())
}

fn graph(loaded: &Loaded, group: &str, chosen: &BTreeSet<Arc<str>>) -> Option<String> {
    loaded.inventory.group(group)?;
    let lines = loaded.inventory.tree(group, chosen).into_iter().map(|branch| {
        let bars = "  |".repeat(branch.depth);
        let dashes = if branch.depth > 0 { "--" } else { "" };
        let name = match &branch.named {
            Named::Group(name) => format!("@{name}:"),
            Named::Host(name) => name.to_string(),
        };
        format!("{bars}{dashes}{}", harmless(&name))
    });
    Some(lines.collect::<Vec<_>>().join("\n"))
}

/// Hosts and groups of each group as the inventory has them, `ungrouped` first, as in Ansible.
fn in_order(mut listing: serde_json::Value) -> serde_json::Value {
    if let Some(children) = listing.pointer_mut("/all/children").and_then(|it| it.as_array_mut()) {
        // A stable sort.
        children.sort_by_key(|name| name != "ungrouped");
    }
    listing
}

/// With the indentation that Ansible has.
fn pretty(value: &serde_json::Value) -> String {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut text, format);
    // Writing a value to memory can't fail.
    let _ = serde::Serialize::serialize(value, &mut writer);
    String::from_utf8_lossy(&text).into_owned()
}
