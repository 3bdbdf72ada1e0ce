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
            no_log: false,
            hides_facts: false,
            gathers_once: false,
            keeps_role_variables: false,
            duplicate_keys: DuplicateKeys::Warn,
            refuses_broken_conditions: false,
            hides_deprecations: false,
        }
    }
}
