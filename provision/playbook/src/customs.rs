//! What ansible.cfg can change of what playbooks mean. Everything is off unless it is asked for.

use crate::model::Strategy;

/// Settings of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Customs {
    /// `jinja2_native`: results of templates are values (classic dialect).
    pub has_native_types: bool,
    /// `strategy`: of plays that name none.
    pub strategy: Strategy,
    /// `error_on_missing_handler = False`: a notification that nobody answers is no error.
    pub forgives_missing_handlers: bool,
    /// A handler that isn't there is an error when it is notified, as in Ansible, not before.
    pub misses_handlers_late: bool,
    /// `any_errors_fatal`: of plays that don't say.
    pub any_errors_fatal: bool,
    /// `no_log`: of tasks that don't say.
    pub no_log: bool,
    /// `inject_facts_as_vars = False`: facts are below `ansible_facts` only.
    pub hides_facts: bool,
    /// `gathering = smart`: a host whose facts are known gathers them no more.
    pub gathers_once: bool,
    /// `private_role_vars`: variables of a role are for its own tasks only.
    pub keeps_role_variables: bool,
    /// `private_role_vars = False` where it is written: included roles are public, too.
    pub shares_included_roles: bool,
    /// `advanced_host_list` among `enable_plugins`: ranges in lists of hosts (`-i 'web[0:9],'`).
    pub expands_host_ranges: bool,
    /// `playbook_vars_root = all`: group_vars and host_vars beside imported playbooks count, too.
    pub reads_vars_of_imported: bool,
    /// `task_timeout`, in seconds: of tasks that name none; 0: no limit.
    pub task_timeout_s: u32,
    /// `duplicate_dict_key`.
    pub duplicate_keys: DuplicateKeys,
    /// `allow_broken_conditionals = False`: a condition that is no boolean fails its task.
    pub refuses_broken_conditions: bool,
    /// `deprecation_warnings = False`: such conditions aren't told, either.
    pub hides_deprecations: bool,
}

/// What is said of a mapping that has a key twice. The last one counts in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DuplicateKeys {
    /// A warning.
    #[default]
    Warn,
    /// An error: nothing runs.
    Error,
    /// Nothing.
    Ignore,
}

impl Default for Customs {
    fn default() -> Self {
        Customs {
            has_native_types: false,
            strategy: Strategy::Linear,
            forgives_missing_handlers: false,
            any_errors_fatal: false,
            misses_handlers_late: false,
            no_log: false,
            hides_facts: false,
            gathers_once: false,
            keeps_role_variables: false,
            shares_included_roles: false,
            expands_host_ranges: false,
            reads_vars_of_imported: false,
            task_timeout_s: 0,
            duplicate_keys: DuplicateKeys::Warn,
            refuses_broken_conditions: false,
            hides_deprecations: false,
        }
    }
}
