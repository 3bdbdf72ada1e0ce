//! Whether the passwords of a run fit its `!vault` values: told once, before any connection.
//!
//! As in Ansible a value is decrypted when it is used, and one that nobody uses needs no password;
//! so this is a warning.

use std::collections::BTreeSet;

use diagnostics::Diagnostic;
use provision_playbook::inventory::Inventory;
use provision_playbook::model::Playbook;
use provision_vault::VaultError;
use yaml::{Mapping, Node, NodeValue};

use crate::keyring::Keyring;

/// Values that are tried: one a vault id tells enough, and each costs thousands of rounds of
/// hashing.
const TRIED_MOST: usize = 8;

/// What is found of encrypted values.
#[derive(Default)]
struct Survey<'a> {
    seen: BTreeSet<usize>,
    /// Vault ids, and the first value of each.
    first: Vec<(Option<String>, &'a Node)>,
}

/// A warning if there are encrypted values and none of the passwords fits any that was tried.
pub(crate) fn unopened(
    keyring: &Keyring,
    extra: &Mapping,
    inventory: &Inventory,
    playbooks: &[Playbook],
) -> Option<Diagnostic> {
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
    let (id, node) = survey.first.first()?;
    let diagnostic = |message: &str| Diagnostic::warning("vault", message);
    if keyring.is_empty() {
        let message = "there are encrypted values, and no vault password was given";
        return Some(
            diagnostic(message)
                .at(node.span, "using this value will fail")
                .hint("give --vault-password-file FILE, --vault-id LABEL@FILE or --ask-vault-pass"),
        );
    }
    let mut tried = survey
        .first
        .iter()
        .take(TRIED_MOST)
        .map(|(_, node)| keyring.open(node.as_str().unwrap_or_default().as_bytes()));
    let wrong =
        |opened: Result<_, VaultError>| matches!(opened, Err(VaultError::WrongPassword { .. }));
    if !tried.all(wrong) {
        return None;
    }
    let id = id.as_deref().unwrap_or(provision_vault::DEFAULT_ID);
    Some(
        diagnostic("no vault password that was given decrypts the encrypted values")
            .at(node.span, format!("encrypted for vault id `{id}`; using it will fail"))
            .hint("check the password, and that the right vault ids are given"),
    )
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
                let id = provision_vault::id_of(text.as_bytes()).unwrap_or_default();
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
