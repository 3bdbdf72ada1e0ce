//! Names that come from Consul or from a mapping: which are good for what.

/// Longest name of a host, in bytes: that of a name in DNS.
const NAME_LIMIT_BYTES: usize = 253;

/// Names without `ansible_` before them that the engine gives a value: the one list of them.
pub const OF_ENGINE: &[&str] = &[
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "play_hosts",
    "playbook_dir",
    "provision_rolls_restarts",
    "role_name",
    "role_names",
    "role_path",
    "vars",
];

/// Names that are functions of templates, or stand for no value at all.
pub const OF_TEMPLATES: &[&str] = &["lookup", "now", "omit", "q", "query", "undef"];

/// Why a node can't be a host under its name.
pub(crate) fn host_problem(name: &str) -> Option<&'static str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    // Other characters mean something in patterns over hosts, in paths or on a terminal.
    if !begins_well || !name.chars().all(is_word) || name.len() > NAME_LIMIT_BYTES {
        return Some("its name is not made of letters, digits, `.`, `-` and `_`");
    }
    let lower = name.to_ascii_lowercase();
    // A host of this name would be this machine, without SSH.
    if lower == "localhost" || lower.starts_with("127.") {
        return Some("its name means this machine");
    }
    matches!(name, "all" | "ungrouped").then_some("its name is that of a built-in group")
}

/// Whether a text can be where SSH connects to.
pub(crate) fn is_address(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':')
        && text.chars().all(is_part)
        && text.len() <= NAME_LIMIT_BYTES
}

/// Whether a name can be that of a variable.
pub(crate) fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether the engine provides this name itself.
pub(crate) fn is_magic(name: &str) -> bool {
    OF_ENGINE.contains(&name) || OF_TEMPLATES.contains(&name) || name == "environment"
}

/// Whether a variable of this name may steer connections, become or the engine: data from Consul
/// never gets it unless the mapping names it.
pub(crate) fn is_steering(name: &str) -> bool {
    name.starts_with("ansible_") || is_magic(name)
}

/// A text as a part of a group's name: what is no letter, digit or `_` becomes `_`.
pub(crate) fn sanitised(text: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    text.chars().map(word).collect()
}
