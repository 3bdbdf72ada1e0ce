//! `[pure]` The fixed list: what conformance is measured by. None may be dropped.
//!
//! Ansible's integration targets that are about what people write (language, variables, lookups,
//! inventories, modules for Linux hosts) and that ansible-core itself passes in a plain Debian
//! without a network. Chosen once, by the reference alone, before our engine ran any of them.

/// A target of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: &'static str,
    /// Conditions in the `assert` tasks of its files: its weight.
    pub conditions: u64,
}

const fn listed(name: &'static str, conditions: u64) -> Listed {
    Listed { name, conditions }
}

/// The list, by name.
pub const LIST: &[Listed] = &[
    listed("add_host", 33),
    listed("any_errors_fatal", 0),
    listed("assemble", 33),
    listed("async", 65),
    listed("become", 10),
    listed("blockinfile", 55),
    listed("blocks", 30),
    listed("changed_when", 14),
    listed("check_mode", 13),
    listed("command_shell", 69),
    listed("conditionals", 89),
    listed("copy", 423),
    listed("environment", 19),
    listed("facts_d", 13),
    listed("failed_when", 11),
    listed("file", 184),
    listed("filter_core", 174),
    listed("filter_mathstuff", 113),
    listed("filter_urls", 6),
    listed("filter_urlsplit", 12),
    listed("find", 63),
    listed("gathering", 10),
    listed("gathering_facts", 125),
    listed("getent", 3),
    listed("group_by", 39),
    listed("handlers", 55),
    listed("hosts_field", 0),
    listed("ignore_errors", 0),
    listed("ignore_unreachable", 3),
    listed("import_tasks", 1),
    listed("include_import", 98),
    listed("include_vars", 67),
    listed("includes", 20),
    listed("inventory", 2),
    listed("inventory_advanced_host_list", 2),
    listed("inventory_constructed", 0),
    listed("inventory_ini", 1),
    listed("inventory_script", 0),
    listed("inventory_yaml", 0),
    listed("jinja2_native_types", 70),
    listed("known_hosts", 74),
    listed("limit_inventory", 0),
    listed("lineinfile", 218),
    listed("lookup_dict", 13),
    listed("lookup_env", 1),
    listed("lookup_file", 1),
    listed("lookup_fileglob", 4),
    listed("lookup_ini", 32),
    listed("lookup_nested", 4),
    listed("lookup_sequence", 38),
    listed("lookup_subelements", 32),
    listed("lookup_template", 6),
    listed("lookup_together", 6),
    listed("lookup_vars", 8),
    listed("loop-until", 4),
    listed("loop_control", 7),
    listed("loops", 68),
    listed("meta_tasks", 26),
    listed("module_defaults", 72),
    listed("no_log", 6),
    listed("omit", 9),
    listed("order", 4),
    listed("package_facts", 11),
    listed("parsing", 30),
    listed("ping", 9),
    listed("raw", 23),
    listed("register", 4),
    listed("replace", 45),
    listed("roles", 21),
    listed("roles_arg_spec", 55),
    listed("script", 27),
    listed("set_fact", 58),
    listed("slurp", 26),
    listed("special_vars", 18),
    listed("special_vars_hosts", 16),
    listed("split", 0),
    listed("stat", 105),
    listed("strategy_free", 0),
    listed("strategy_linear", 7),
    listed("systemd", 33),
    listed("tags", 5),
    listed("task_ordering", 1),
    listed("tempfile", 18),
    listed("template", 159),
    listed("templating_lookups", 22),
    listed("test_core", 111),
    listed("test_files", 21),
    listed("test_uri", 29),
    listed("throttle", 0),
    listed("undefined", 3),
    listed("unicode", 7),
    listed("until", 6),
    listed("unvault", 1),
    listed("var_blending", 3),
    listed("var_inheritance", 2),
    listed("var_precedence", 30),
    listed("var_templating", 9),
    listed("wait_for", 34),
    listed("yaml_parsing", 18),
];

/// The target of that name, if it is on the list.
#[must_use]
pub fn find(name: &str) -> Option<&'static Listed> {
    LIST.iter().find(|listed| listed.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_one_that_was_fixed() {
        assert_eq!(LIST.len(), 99);
        assert_eq!(LIST.iter().map(|listed| listed.conditions).sum::<u64>(), 3525);
        assert!(LIST.windows(2).all(|pair| matches!(pair, [one, other] if one.name < other.name)));
        assert_eq!(find("copy").map(|listed| listed.conditions), Some(423));
        assert_eq!(find("apt"), None);
    }
}
