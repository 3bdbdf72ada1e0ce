//! Whether the passwords of a run fit its `!vault` values: told once, before any connection.
//!
//! As in Ansible a value is decrypted when it is used, and one that nobody uses needs no password;
//! so this is a warning. What can be opened is opened before the run for its secrets' sake.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use diagnostics::Diagnostic;
use provision_playbook::inventory::Inventory;
use provision_playbook::model::Playbook;
use provision_vault::VaultError;
use yaml::{Mapping, Node, NodeValue};

use crate::keyring::Keyring;

/// Values that are tried: one a vault id tells enough, and each costs thousands of rounds of
/// hashing.
const TRIED_MOST: usize = 8;

/// Values that are opened before a run: a second or two of hashing at most. Others are opened, and
/// are known secrets, when they are used.
const OPENED_AHEAD_MOST: usize = 256;

/// Threads that open values ahead.
const THREADS_MOST: usize = 8;

/// What is found of encrypted values.
#[derive(Default)]
struct Survey<'a> {
    seen: BTreeSet<usize>,
    /// Vault ids, and the first value of each.
    first: Vec<(Option<String>, &'a Node)>,
    /// Different values.
    values: BTreeSet<&'a str>,
}

/// What is known of the encrypted values before a run.
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    /// Why they can't be used.
    pub(crate) warning: Option<Diagnostic>,
    /// Encrypted texts that are worth opening ahead.
    pub(crate) values: Vec<String>,
}

/// Opens values, so that they are known secrets from the beginning: a host may have them already
/// and show them before a task uses them.
pub(crate) fn open_ahead(keyring: &Keyring, values: &[String]) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(THREADS_MOST).min(values.len()) {
            scope.spawn(|| {
                while let Some(value) = values.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // One that can't be opened is told where it is used.
                    let _ = keyring.open_value(value);
                }
            });
        }
    });
}

/// Looks at all values that are known before the run. There is a warning if none of the passwords
/// fits any that was tried.
pub(crate) fn survey(
    keyring: &Keyring,
    extra: &Mapping,
    inventory: &Inventory,
    playbooks: &[Playbook],
) -> Sealed {
    let layers: Vec<_> =
        inventory.hosts().flat_map(|host| inventory.host_variables(&host.name)).collect();
    let mut survey = Survey::default();
    survey.mapping(extra);
    layers.iter().for_each(|layer| survey.mapping(&layer.variables));
    for play in playbooks.iter().flat_map(|playbook| &playbook.plays) {
        play.context.directives.vars.iter().for_each(|vars| survey.mapping(vars));
        for role in &play.roles {
            survey.mapping(&role.role.vars);
            survey.mapping(&role.role.defaults);
            survey.mapping(&role.parameters);
        }
    }
    let Some((first_id, node)) = survey.first.first() else { return Sealed::default() };
    let warning = |message: &str| Diagnostic::warning("vault", message);
    if keyring.is_empty() {
        let message = "there are encrypted values, and no vault password was given";
        let warning = warning(message)
            .at(node.span, "using this value will fail")
            .hint("give --vault-password-file FILE, --vault-id LABEL@FILE or --ask-vault-pass");
        return Sealed { warning: Some(warning), values: Vec::new() };
    }
    let tried = survey.first.iter().take(TRIED_MOST);
    let fits = tried.filter(|(_, node)| {
        let opened = keyring.open(node.as_str().unwrap_or_default().as_bytes());
        !matches!(opened, Err(VaultError::WrongPassword { .. }))
    });
    let fits: Vec<&Option<String>> = fits.map(|(id, _)| id).collect();
    if fits.is_empty() {
        let id = first_id.as_deref().unwrap_or(provision_vault::DEFAULT_ID);
        let warning = warning("no vault password that was given decrypts the encrypted values")
            .at(node.span, format!("encrypted for vault id `{id}`; using it will fail"))
            .hint("check the password, and that the right vault ids are given");
        return Sealed { warning: Some(warning), values: Vec::new() };
    }
    let is_open = |value: &&&str| fits.contains(&&id_of(value));
    let values = survey.values.iter().filter(is_open).take(OPENED_AHEAD_MOST);
    Sealed { warning: None, values: values.map(|value| (*value).to_owned()).collect() }
}

fn id_of(value: &str) -> Option<String> {
    provision_vault::id_of(value.as_bytes()).unwrap_or_default()
}

impl<'a> Survey<'a> {
    fn mapping(&mut self, mapping: &'a Mapping) {
        // Groups share their variables among thousands of hosts.
        if self.seen.insert(std::ptr::from_ref(mapping) as usize) {
            mapping.iter().for_each(|(_, value)| self.node(value));
        }
    }

    fn node(&mut self, node: &'a Node) {
        match &node.value {
            NodeValue::String(text) if node.is_vault() => {
                let id = id_of(text);
                self.values.insert(text);
                if !self.first.iter().any(|(known, _)| *known == id) {
                    self.first.push((id, node));
                }
            }
            NodeValue::Sequence(items) => items.iter().for_each(|item| self.node(item)),
            NodeValue::Mapping(mapping) => {
                mapping.iter().for_each(|(_, value)| self.node(value));
            }
            _ => {}
        }
    }
}
