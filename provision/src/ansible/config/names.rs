//! Settings under the names by which `lookup('config', …)` and `ansible-config` know them, with the
//! defaults that Ansible documents ("Ansible Configuration Settings").

use std::path::Path;

use serde_json::Value;

use super::{Configuration, Environment, expanded};

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Boolean,
    /// A whole number.
    Integer,
    /// Words with commas between them.
    List,
    /// A file or folder.
    Path,
    /// Files or folders with commas between them.
    PathList,
    /// Folders with colons between them.
    Paths,
    /// Anything.
    Text,
}

/// A setting, and what it is if nobody says otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// Its name.
    pub name: &'static str,
    /// `section.name` in ansible.cfg.
    pub key: &'static str,
    kind: Kind,
    default: Option<&'static str>,
}

const fn named(
    name: &'static str,
    key: &'static str,
    kind: Kind,
    default: Option<&'static str>,
) -> Named {
    Named { name, key, kind, default }
}

/// Settings that mean something here.
pub const NAMED: &[Named] = &[
    named(
        "ALLOW_BROKEN_CONDITIONALS",
        "defaults.allow_broken_conditionals",
        Kind::Boolean,
        Some("True"),
    ),
    named("ANSIBLE_FORCE_COLOR", "defaults.force_color", Kind::Boolean, Some("False")),
    named("ANSIBLE_NOCOLOR", "defaults.nocolor", Kind::Boolean, Some("False")),
    named("ANY_ERRORS_FATAL", "defaults.any_errors_fatal", Kind::Boolean, Some("False")),
    named("BECOME_PASSWORD_FILE", "defaults.become_password_file", Kind::Path, None),
    named("CACHE_PLUGIN", "defaults.fact_caching", Kind::Text, Some("memory")),
    named("CACHE_PLUGIN_CONNECTION", "defaults.fact_caching_connection", Kind::Text, None),
    named("CACHE_PLUGIN_PREFIX", "defaults.fact_caching_prefix", Kind::Text, Some("ansible_facts")),
    named("CACHE_PLUGIN_TIMEOUT", "defaults.fact_caching_timeout", Kind::Integer, Some("86400")),
    named(
        "COLLECTIONS_PATHS",
        "defaults.collections_paths",
        Kind::Paths,
        Some("~/.ansible/collections:/usr/share/ansible/collections"),
    ),
    named("CONNECTION_PASSWORD_FILE", "defaults.connection_password_file", Kind::Path, None),
    named("DEFAULT_ASK_PASS", "defaults.ask_pass", Kind::Boolean, Some("False")),
    named("DEFAULT_ASK_VAULT_PASS", "defaults.ask_vault_pass", Kind::Boolean, Some("False")),
    named("DEFAULT_BECOME", "privilege_escalation.become", Kind::Boolean, Some("False")),
    named(
        "DEFAULT_BECOME_ASK_PASS",
        "privilege_escalation.become_ask_pass",
        Kind::Boolean,
        Some("False"),
    ),
    named("DEFAULT_BECOME_EXE", "privilege_escalation.become_exe", Kind::Text, None),
    named("DEFAULT_BECOME_FLAGS", "privilege_escalation.become_flags", Kind::Text, Some("")),
    named("DEFAULT_BECOME_METHOD", "privilege_escalation.become_method", Kind::Text, Some("sudo")),
    named("DEFAULT_BECOME_USER", "privilege_escalation.become_user", Kind::Text, Some("root")),
    named("DEFAULT_FORCE_HANDLERS", "defaults.force_handlers", Kind::Boolean, Some("False")),
    named("DEFAULT_FORKS", "defaults.forks", Kind::Integer, Some("5")),
    named("DEFAULT_GATHERING", "defaults.gathering", Kind::Text, Some("implicit")),
    named("DEFAULT_HASH_BEHAVIOUR", "defaults.hash_behaviour", Kind::Text, Some("replace")),
    named("DEFAULT_HOST_LIST", "defaults.inventory", Kind::PathList, Some("/etc/ansible/hosts")),
    named("DEFAULT_JINJA2_EXTENSIONS", "defaults.jinja2_extensions", Kind::Text, Some("")),
    named("DEFAULT_JINJA2_NATIVE", "defaults.jinja2_native", Kind::Boolean, Some("False")),
    named(
        "DEFAULT_MODULE_PATH",
        "defaults.library",
        Kind::Paths,
        Some("~/.ansible/plugins/modules:/usr/share/ansible/plugins/modules"),
    ),
    named(
        "DEFAULT_MODULE_UTILS_PATH",
        "defaults.module_utils",
        Kind::Paths,
        Some("~/.ansible/plugins/module_utils:/usr/share/ansible/plugins/module_utils"),
    ),
    named("DEFAULT_NO_LOG", "defaults.no_log", Kind::Boolean, Some("False")),
    named("DEFAULT_PRIVATE_KEY_FILE", "defaults.private_key_file", Kind::Path, None),
    named("DEFAULT_PRIVATE_ROLE_VARS", "defaults.private_role_vars", Kind::Boolean, Some("False")),
    named("DEFAULT_REMOTE_PORT", "defaults.remote_port", Kind::Integer, None),
    named("DEFAULT_REMOTE_USER", "defaults.remote_user", Kind::Text, None),
    named(
        "DEFAULT_ROLES_PATH",
        "defaults.roles_path",
        Kind::Paths,
        Some("~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles"),
    ),
    named("DEFAULT_STDOUT_CALLBACK", "defaults.stdout_callback", Kind::Text, Some("default")),
    named("DEFAULT_STRATEGY", "defaults.strategy", Kind::Text, Some("linear")),
    named("DEFAULT_TIMEOUT", "defaults.timeout", Kind::Integer, Some("10")),
    named("DEFAULT_TRANSPORT", "defaults.transport", Kind::Text, Some("ssh")),
    named(
        "DEFAULT_UNDEFINED_VAR_BEHAVIOR",
        "defaults.error_on_undefined_vars",
        Kind::Boolean,
        Some("True"),
    ),
    named("DEFAULT_VAULT_IDENTITY_LIST", "defaults.vault_identity_list", Kind::List, Some("")),
    named("DEFAULT_VAULT_ID_MATCH", "defaults.vault_id_match", Kind::Boolean, Some("False")),
    named("DEFAULT_VAULT_PASSWORD_FILE", "defaults.vault_password_file", Kind::Path, None),
    named("DEFAULT_VERBOSITY", "defaults.verbosity", Kind::Integer, Some("0")),
    named("DEPRECATION_WARNINGS", "defaults.deprecation_warnings", Kind::Boolean, Some("True")),
    named("DIFF_ALWAYS", "diff.always", Kind::Boolean, Some("False")),
    named("DISPLAY_FAILED_STDERR", "defaults.display_failed_stderr", Kind::Boolean, Some("False")),
    named("DISPLAY_OK_HOSTS", "defaults.display_ok_hosts", Kind::Boolean, Some("True")),
    named("DISPLAY_SKIPPED_HOSTS", "defaults.display_skipped_hosts", Kind::Boolean, Some("True")),
    named("DUPLICATE_YAML_DICT_KEY", "defaults.duplicate_dict_key", Kind::Text, Some("warn")),
    named("ENABLE_TASK_DEBUGGER", "defaults.enable_task_debugger", Kind::Boolean, Some("False")),
    named(
        "ERROR_ON_MISSING_HANDLER",
        "defaults.error_on_missing_handler",
        Kind::Boolean,
        Some("True"),
    ),
    named("FACTS_MODULES", "defaults.facts_modules", Kind::List, Some("smart")),
    named("HOST_KEY_CHECKING", "defaults.host_key_checking", Kind::Boolean, Some("True")),
    named("INJECT_FACTS_AS_VARS", "defaults.inject_facts_as_vars", Kind::Boolean, Some("True")),
    named(
        "INVENTORY_ANY_UNPARSED_IS_FAILED",
        "inventory.any_unparsed_is_failed",
        Kind::Boolean,
        Some("False"),
    ),
    named(
        "INVENTORY_ENABLED",
        "inventory.enable_plugins",
        Kind::List,
        Some("host_list,script,auto,yaml,ini,toml"),
    ),
    named("INVENTORY_IGNORE_PATTERNS", "defaults.inventory_ignore_patterns", Kind::List, Some("")),
    named(
        "INVENTORY_UNPARSED_IS_FAILED",
        "inventory.unparsed_is_failed",
        Kind::Boolean,
        Some("False"),
    ),
    named("PLAYBOOK_VARS_ROOT", "defaults.playbook_vars_root", Kind::Text, Some("top")),
    named("TAGS_RUN", "tags.run", Kind::List, Some("")),
    named("TAGS_SKIP", "tags.skip", Kind::List, Some("")),
    named("TASK_TIMEOUT", "defaults.task_timeout", Kind::Integer, Some("0")),
    named(
        "TRANSFORM_INVALID_GROUP_CHARS",
        "defaults.force_valid_group_names",
        Kind::Text,
        Some("never"),
    ),
    named(
        "VARIABLE_PRECEDENCE",
        "defaults.precedence",
        Kind::List,
        Some(
            "all_inventory,groups_inventory,all_plugins_inventory,all_plugins_play,groups_plugins_inventory,groups_plugins_play",
        ),
    ),
];

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// Its name.
    pub name: &'static str,
    /// Of the type that Ansible gives it.
    pub value: Value,
    /// `default`, the file, or `env: ` and the variable.
    pub origin: String,
}

impl Configuration {
    /// The values of all settings that have names.
    pub fn configured(&self, environment: &Environment) -> Vec<Configured> {
        NAMED.iter().map(|named| self.value_of(named, environment)).collect()
    }

    fn value_of(&self, named: &Named, environment: &Environment) -> Configured {
        let is_meant = |key: &super::Key| key.names.contains(&named.key);
        // Variables were read last, and win.
        let said = self.said.iter().rev().find(|said| is_meant(said.key));
        let (text, folder, origin) = match said {
            Some(said) => (Some(said.value.as_str()), said.folder.as_path(), said.origin.clone()),
            None => (named.default, Path::new("/"), "default".to_owned()),
        };
        let value = text.map_or(Value::Null, |text| typed(named.kind, text, folder, environment));
        Configured { name: named.name, value, origin }
    }
}

fn typed(kind: Kind, text: &str, folder: &Path, environment: &Environment) -> Value {
    let path = |text: &str| expanded(text, folder, environment).display().to_string();
    let parts = |separator: char| {
        let parts = text.split(separator).map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect::<Vec<_>>()
    };
    match kind {
        Kind::Boolean => match super::boolean(text.trim()) {
            Ok(value) => value.into(),
            Err(_) => text.into(),
        },
        Kind::Integer => text.trim().parse::<i64>().map_or_else(|_| text.into(), Value::from),
        Kind::List => parts(',').into(),
        Kind::Path => path(text).into(),
        Kind::PathList => parts(',').iter().map(|part| Value::from(path(part))).collect(),
        Kind::Paths => parts(':').iter().map(|part| Value::from(path(part))).collect(),
        Kind::Text => text.into(),
    }
}
