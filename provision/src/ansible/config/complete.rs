//! What a command line leaves open is as it is configured.

use std::path::PathBuf;

use provision_engine::fact_cache::FactCache;

use super::{Configuration, Environment};
use crate::arguments::{Apply, Reach, Transport, VaultPasswords};

/// Folders with roles that Ansible looks into by default, below the home folder and anywhere.
const ROLES: (&str, [&str; 2]) =
    (".ansible/roles", ["/usr/share/ansible/roles", "/etc/ansible/roles"]);
/// Likewise with collections.
const COLLECTIONS: (&str, [&str; 1]) = (".ansible/collections", ["/usr/share/ansible/collections"]);

impl Configuration {
    /// Completes the arguments of a run.
    pub fn complete(&self, apply: &mut Apply) {
        let settings = &self.settings;
        self.complete_reach(&mut apply.reach);
        self.complete_passwords(&mut apply.passwords);
        apply.r#become |= settings.r#become;
        fill(&mut apply.become_user, &settings.become_user);
        fill(&mut apply.become_password_file, &settings.become_password_file);
        let has_password = apply.become_password_file.is_some();
        apply.ask_become_pass |= settings.become_ask_pass && !has_password;
        apply.diff |= settings.diff;
        apply.force_handlers |= settings.force_handlers;
        apply.verbose = apply.verbose.saturating_add(settings.verbosity);
        if apply.tags.is_empty() {
            apply.tags.clone_from(&settings.run_tags);
        }
        if apply.skip_tags.is_empty() {
            apply.skip_tags.clone_from(&settings.skip_tags);
        }
        apply.roles_path.extend(self.roles_path());
        apply.collections_path.extend(self.collections_path());
    }

    /// Completes how hosts are found and reached.
    pub fn complete_reach(&self, reach: &mut Reach) {
        let settings = &self.settings;
        if reach.inventory.is_empty() {
            reach.inventory.clone_from(&settings.inventory);
        }
        fill(&mut reach.user, &settings.remote_user);
        fill(&mut reach.private_key, &settings.private_key_file);
        fill(&mut reach.connection_password_file, &settings.connection_password_file);
        fill(&mut reach.timeout, &settings.timeout_s);
        reach.ask_pass |= settings.ask_pass && reach.connection_password_file.is_none();
        reach.accept_new_host_keys |= settings.accepts_new_host_keys;
        if settings.is_local {
            reach.connection = Transport::Local;
        }
        fill(&mut reach.forks, &settings.forks);
        reach.customs = settings.customs;
        reach.own.modules.extend(settings.own.modules.iter().cloned());
        reach.own.utilities.clone_from(&settings.own.utilities);
        reach.own.filters.clone_from(&settings.own.filters);
        reach.own.lookups.clone_from(&settings.own.lookups);
        reach.own.tests.clone_from(&settings.own.tests);
        reach.own.collections = self.collections_path();
        reach.facts_modules.clone_from(&settings.facts_modules);
        let configured = self.configured(&Environment::of_process()).into_iter();
        reach.configured = configured.map(|one| (one.name, (one.value, one.origin))).collect();
        let cache = FactCache { is_flushed: reach.flush_cache, ..settings.fact_cache.clone() };
        reach.fact_cache = settings.caches_facts.then_some(cache);
        let given = reach.ssh_common_args.take();
        let all: Vec<String> = settings.ssh_arguments.iter().cloned().chain(given).collect();
        reach.ssh_common_args = (!all.is_empty()).then(|| all.join(" "));
    }

    /// Completes where vault passwords come from.
    pub fn complete_passwords(&self, passwords: &mut VaultPasswords) {
        let settings = &self.settings;
        passwords.vault_id.splice(0..0, settings.vault_identity_list.iter().cloned());
        if passwords.vault_password_file.is_empty() {
            passwords.vault_password_file.extend(settings.vault_password_file.clone());
        }
        passwords.ask_vault_pass |= settings.ask_vault_pass;
    }

    /// Where roles are besides beside the playbook.
    pub fn roles_path(&self) -> Vec<PathBuf> {
        let default = || below_home(ROLES.0, &ROLES.1);
        self.settings.roles_path.clone().unwrap_or_else(default)
    }

    /// Where collections are.
    pub fn collections_path(&self) -> Vec<PathBuf> {
        let default = || below_home(COLLECTIONS.0, &COLLECTIONS.1);
        self.settings.collections_path.clone().unwrap_or_else(default)
    }
}

fn below_home(name: &str, others: &[&str]) -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    home.map(|home| home.join(name)).into_iter().chain(others.iter().map(PathBuf::from)).collect()
}

fn fill<T: Clone>(given: &mut Option<T>, configured: &Option<T>) {
    if given.is_none() {
        given.clone_from(configured);
    }
}
