//! ansible.cfg and the variables of the environment that mean the same: where they are looked for,
//! what they set, and what becomes of everything else. Nothing is ignored silently.

mod complete;
mod keys;
mod names;
mod text;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use keys::{Does, Key, Setting};
use provision_engine::fact_cache::FactCache;
use provision_playbook::model::Strategy;
use provision_playbook::own::OwnPaths;
use provision_playbook::{Customs, DuplicateKeys};

/// What of this process a configuration depends on.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Variables.
    pub variables: BTreeMap<String, String>,
    /// The current folder.
    pub folder: PathBuf,
    /// What stands behind those of the home folder: `/etc/ansible`.
    pub system: PathBuf,
}

impl Environment {
    /// That of this process. Variables that aren't UTF-8 can't mean anything here.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Environment {
            variables: variables.collect(),
            folder: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            system: PathBuf::from("/etc/ansible"),
        }
    }

    fn home(&self) -> Option<PathBuf> {
        self.variables.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
    }
}

/// What is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The file.
    pub file: Option<PathBuf>,
    /// What is honoured.
    pub settings: Settings,
    /// What has no effect, and why.
    pub notes: Vec<String>,
    /// What can't be done as it is asked for, and what to do.
    pub refusals: Vec<String>,
    /// What is said, in the order in which it was read.
    said: Vec<Said>,
}

/// A value as it is written.
#[derive(Debug, Clone)]
struct Said {
    key: &'static Key,
    value: String,
    /// The file, or `env: ` and the variable.
    origin: String,
    folder: PathBuf,
}

impl PartialEq for Said {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.key, other.key)
            && (&self.value, &self.origin) == (&other.value, &other.origin)
    }
}

impl Eq for Said {}

/// What is honoured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are called as in ansible.cfg")]
pub struct Settings {
    pub ask_pass: bool,
    pub ask_vault_pass: bool,
    pub r#become: bool,
    pub become_ask_pass: bool,
    pub become_password_file: Option<String>,
    pub become_user: Option<String>,
    pub collections_path: Option<Vec<PathBuf>>,
    pub connection_password_file: Option<String>,
    /// What changes the meaning of playbooks.
    pub customs: Customs,
    pub diff: bool,
    /// `any_unparsed_is_failed`.
    pub fails_on_any_unparsed: bool,
    /// `unparsed_is_failed`.
    pub fails_on_unparsed: bool,
    /// `fact_caching = jsonfile`.
    pub caches_facts: bool,
    /// `fact_caching_connection`, `_prefix` and `_timeout` of a cache in files.
    pub fact_cache: FactCache,
    /// `facts_modules`.
    pub facts_modules: Vec<String>,
    /// `library` and `module_utils`.
    pub own: OwnPaths,
    pub display_failed_stderr: bool,
    pub display_ok_hosts: Option<bool>,
    pub display_skipped_hosts: Option<bool>,
    pub force_colour: bool,
    pub force_handlers: bool,
    pub forks: Option<usize>,
    /// `gathering: explicit`.
    pub gathers_only_if_asked: bool,
    /// `host_key_checking = False`.
    pub accepts_new_host_keys: bool,
    pub inventory: Vec<String>,
    pub no_colour: bool,
    pub private_key_file: Option<PathBuf>,
    pub remote_user: Option<String>,
    pub roles_path: Option<Vec<PathBuf>>,
    pub run_tags: Vec<String>,
    pub skip_tags: Vec<String>,
    /// `stdout_callback = oneline`: a line a host, by `ansible`.
    pub shows_one_line: bool,
    pub ssh_arguments: Vec<String>,
    pub timeout_s: Option<u64>,
    /// `transport = local`.
    pub is_local: bool,
    pub vault_identity_list: Vec<String>,
    pub vault_password_file: Option<String>,
    pub verbosity: u8,
}

/// A value, and where it stands.
struct Given<'a> {
    key: &'static Key,
    value: &'a str,
    /// `ansible.cfg:3` or the variable.
    place: &'a str,
    /// What relative paths are relative to.
    folder: &'a Path,
}

impl Given<'_> {
    fn is_variable(&self) -> bool {
        self.key.variables.contains(&self.place)
    }
}

impl Configuration {
    /// Reads the first file that there is, then the variables, which win over it.
    pub fn read(environment: &Environment) -> Self {
        let mut configuration = Configuration::default();
        if let Some(path) = configuration.search(environment) {
            configuration.read_file(&path, environment);
            configuration.file = Some(path);
        }
        configuration.read_variables(environment);
        let settings = &configuration.settings;
        if settings.caches_facts && settings.fact_cache.folder.as_os_str().is_empty() {
            configuration.refusals.push(
                "fact_caching: `jsonfile` needs a folder: set fact_caching_connection".to_owned(),
            );
        }
        configuration
    }

    /// `ANSIBLE_CONFIG`, `./ansible.cfg`, `~/.ansible.cfg`, `/etc/ansible/ansible.cfg`.
    fn search(&mut self, environment: &Environment) -> Option<PathBuf> {
        let mut places = Vec::new();
        if let Some(named) = environment.variables.get("ANSIBLE_CONFIG") {
            let path = expanded(named, &environment.folder, environment);
            places.push(if path.is_dir() { path.join("ansible.cfg") } else { path });
        }
        let here = environment.folder.join("ansible.cfg");
        match is_writable_by_all(&environment.folder) {
            true if here.exists() => self.notes.push(format!(
                "{} is not read: everybody may write into its folder",
                here.display()
            )),
            true => {}
            false => places.push(here),
        }
        places.extend(environment.home().map(|home| home.join(".ansible.cfg")));
        places.push(environment.system.join("ansible.cfg"));
        places.into_iter().find(|path| path.is_file())
    }

    fn read_file(&mut self, path: &Path, environment: &Environment) {
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.refusals.push(format!("failed to read {shown}: {error}"));
                return;
            }
        };
        let folder = path.parent().unwrap_or(Path::new("/"));
        for entry in text::entries(&text) {
            let place = format!("{shown}:{}", entry.line);
            match entry.what {
                text::What::Value { section, name, value } => {
                    self.take_name(&section, &name, &value, &place, folder, environment);
                }
                text::What::Nonsense(line) => {
                    self.refusals.push(format!("{place}: `{line}` is not `name = value`"));
                }
            }
        }
    }

    fn take_name(
        &mut self,
        section: &str,
        name: &str,
        value: &str,
        place: &str,
        folder: &Path,
        environment: &Environment,
    ) {
        let full = format!("{section}.{name}");
        if let Some(key) = keys::find(&full) {
            return self.take(&Given { key, value, place, folder }, name, environment);
        }
        if let Some((_, does)) = keys::SECTIONS.iter().find(|(known, _)| *known == section) {
            if let Does::Nothing(reason) = does {
                self.notes.push(format!("{place}: [{section}] {name} has no effect: {reason}"));
            }
            return;
        }
        let known = keys::KEYS.iter().flat_map(|key| key.names).copied();
        let closest = diagnostics::closest(&full, known).map(said);
        let hint = closest.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        self.notes.push(format!("{place}: Ansible has no setting [{section}] {name}{hint}"));
    }

    fn read_variables(&mut self, environment: &Environment) {
        for (name, value) in &environment.variables {
            if name == "ANSIBLE_CONFIG" {
                continue;
            }
            if let Some(key) = keys::find_variable(name) {
                let given = Given { key, value, place: name, folder: &environment.folder };
                self.take(&given, "", environment);
                continue;
            }
            if !name.starts_with("ANSIBLE_") {
                continue;
            }
            let prefix = keys::VARIABLES.iter().find(|(prefix, _)| name.starts_with(prefix));
            if let Some((_, Does::Nothing(reason))) = prefix {
                self.notes.push(format!("{name} has no effect: {reason}"));
                continue;
            }
            let known = keys::KEYS.iter().flat_map(|key| key.variables).copied();
            let closest = diagnostics::closest(name, known);
            let hint = closest.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            self.notes.push(format!("{name}: Ansible has no such variable{hint}"));
        }
    }

    fn take(&mut self, given: &Given<'_>, name: &str, environment: &Environment) {
        let Given { key, value, place, folder } = given;
        let origin = match (name, place.rsplit_once(':')) {
            ("", _) => format!("env: {place}"),
            (_, Some((file, _))) => file.to_owned(),
            (_, None) => (*place).to_owned(),
        };
        let (value_said, folder) = ((*value).to_owned(), folder.to_path_buf());
        self.said.push(Said { key, value: value_said, origin, folder });
        let what = match name {
            "" => (*place).to_owned(),
            name => format!("{place}: {name}"),
        };
        match key.does {
            Does::Sets(setting) => {
                if let Err(wrong) = self.set(setting, given, environment) {
                    self.refusals.push(format!("{what}: `{value}` is {wrong}"));
                }
            }
            Does::Nothing(reason) => self.notes.push(format!("{what} has no effect: {reason}")),
            Does::Only(values, advice) => {
                if !values.contains(&value.trim().to_lowercase().as_str()) {
                    self.refusals.push(format!("{what}: `{value}` is not supported: {advice}"));
                }
            }
        }
    }

    fn set(
        &mut self,
        setting: Setting,
        given: &Given<'_>,
        environment: &Environment,
    ) -> Result<(), String> {
        let value = given.value.trim();
        let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
        let path = || text().map(|value| expanded(&value, given.folder, environment));
        let paths = || {
            let parts = value.split(':').filter(|part| !part.is_empty());
            parts.map(|part| expanded(part, given.folder, environment)).collect::<Vec<_>>()
        };
        let words = || {
            let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect::<Vec<_>>()
        };
        let shown = |path: PathBuf| path.display().to_string();
        let settings = &mut self.settings;
        match setting {
            Setting::AnyErrorsFatal => settings.customs.any_errors_fatal = boolean(value)?,
            // What an inventory file is, it says itself; lists of hosts can't.
            Setting::EnableInventoryPlugins => {
                settings.customs.expands_host_ranges =
                    words().iter().any(|name| name.ends_with("advanced_host_list"));
            }
            Setting::ErrorOnMissingHandler => {
                settings.customs.forgives_missing_handlers = !boolean(value)?;
            }
            Setting::InjectFacts => settings.customs.hides_facts = !boolean(value)?,
            Setting::NativeTypes => settings.customs.has_native_types = boolean(value)?,
            Setting::AllowBrokenConditionals => {
                settings.customs.refuses_broken_conditions = !boolean(value)?;
            }
            Setting::DeprecationWarnings => {
                settings.customs.hides_deprecations = !boolean(value)?;
            }
            Setting::DisableBackportedInspections => {
                settings.customs.hides_deprecations |= boolean(value)?;
            }
            Setting::NoLog => settings.customs.no_log = boolean(value)?,
            Setting::PrivateRoleVars => {
                settings.customs.keeps_role_variables = boolean(value)?;
                settings.customs.shares_included_roles = !boolean(value)?;
            }
            Setting::Strategy => settings.customs.strategy = strategy(value)?,
            Setting::AnyUnparsedIsFailed => settings.fails_on_any_unparsed = boolean(value)?,
            Setting::UnparsedIsFailed => settings.fails_on_unparsed = boolean(value)?,
            Setting::AskPass => settings.ask_pass = boolean(value)?,
            Setting::AskVaultPass => settings.ask_vault_pass = boolean(value)?,
            Setting::Become => settings.r#become = boolean(value)?,
            Setting::BecomeAskPass => settings.become_ask_pass = boolean(value)?,
            Setting::BecomePasswordFile => settings.become_password_file = path().map(shown),
            Setting::BecomeUser => settings.become_user = text(),
            Setting::CollectionsPath => settings.collections_path = Some(paths()),
            Setting::ConnectionPasswordFile => {
                settings.connection_password_file = path().map(shown);
            }
            Setting::DiffAlways => settings.diff = boolean(value)?,
            Setting::DisplayFailedStderr => settings.display_failed_stderr = boolean(value)?,
            Setting::DisplayOkHosts => settings.display_ok_hosts = Some(boolean(value)?),
            Setting::DisplaySkippedHosts => settings.display_skipped_hosts = Some(boolean(value)?),
            Setting::DuplicateDictKey => {
                settings.customs.duplicate_keys = match value.to_lowercase().as_str() {
                    "warn" => DuplicateKeys::Warn,
                    "error" => DuplicateKeys::Error,
                    "ignore" => DuplicateKeys::Ignore,
                    _ => return Err("none of warn, error and ignore".to_owned()),
                };
            }
            Setting::FactCaching => settings.caches_facts = fact_caching(value)?,
            Setting::FactCachingConnection => {
                settings.fact_cache.folder = path().unwrap_or_default();
            }
            Setting::FactCachingPrefix => settings.fact_cache.prefix = value.to_owned(),
            Setting::FactCachingTimeout => settings.fact_cache.timeout_s = number(value)?,
            Setting::FactsModules => settings.facts_modules = words(),
            Setting::FilterPlugins => settings.own.filters = paths(),
            Setting::LookupPlugins => settings.own.lookups = paths(),
            Setting::TestPlugins => settings.own.tests = paths(),
            Setting::Library => settings.own.modules = paths(),
            Setting::ModuleUtils => settings.own.utilities = paths(),
            Setting::TaskTimeout => settings.customs.task_timeout_s = number(value)?,
            Setting::ForceColour => settings.force_colour = boolean(value)?,
            Setting::ForceHandlers => settings.force_handlers = boolean(value)?,
            Setting::Forks => settings.forks = Some(number(value)?),
            Setting::Gathering => {
                settings.gathers_only_if_asked = gathering(value)?;
                settings.customs.gathers_once = value == "smart";
            }
            Setting::HostKeyChecking => settings.accepts_new_host_keys = !boolean(value)?,
            Setting::Inventory => {
                settings.inventory = inventories(value, given.folder, environment);
            }
            Setting::NoColour => settings.no_colour = boolean(value)?,
            Setting::PlaybookVarsRoot => {
                settings.customs.reads_vars_of_imported = match value {
                    "top" => false,
                    "all" => true,
                    _ => return Err("neither top nor all".to_owned()),
                };
            }
            Setting::PrivateKeyFile => settings.private_key_file = path(),
            Setting::RemoteUser => settings.remote_user = text(),
            Setting::RolesPath => settings.roles_path = Some(paths()),
            Setting::RunTags => settings.run_tags = words(),
            Setting::SkipTags => settings.skip_tags = words(),
            Setting::SshArguments => settings.ssh_arguments.extend(text()),
            Setting::StdoutCallback => {
                let plain = value.strip_prefix("ansible.builtin.").unwrap_or(value);
                settings.shows_one_line = plain == "oneline";
                if !matches!(plain, "default" | "minimal" | "oneline") {
                    self.notes.push(format!(
                        "{}: {value} has no effect: callbacks are in Python; the output is that of \
                         Ansible's `default` (`ansible`: `minimal` or `oneline`)",
                        given.place
                    ));
                }
            }
            Setting::Timeout => settings.timeout_s = Some(number(value)?),
            Setting::Transport => settings.is_local = transport(value)?,
            // Their variables are read with the passwords of the command line.
            Setting::VaultIdentityList | Setting::VaultPasswordFile if given.is_variable() => {}
            Setting::VaultIdentityList => settings.vault_identity_list = words(),
            Setting::VaultPasswordFile => settings.vault_password_file = path().map(shown),
            Setting::Verbosity => settings.verbosity = number(value)?,
        }
        Ok(())
    }
}

/// `section.name` as it is written in a file.
fn said(name: &str) -> String {
    match name.split_once('.') {
        Some((section, name)) => format!("[{section}] {name}"),
        None => name.to_owned(),
    }
}

/// Whether facts stay in files.
fn fact_caching(plugin: &str) -> Result<bool, String> {
    match plugin.rsplit('.').next().unwrap_or(plugin) {
        "" | "memory" => Ok(false),
        "jsonfile" => Ok(true),
        _ => {
            Err("not supported: facts are cached in files (jsonfile) or not at all (memory)".into())
        }
    }
}

fn boolean(value: &str) -> Result<bool, String> {
    match value.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "t" | "y" => Ok(true),
        "false" | "no" | "off" | "0" | "f" | "n" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| "not a number that is possible here".to_owned())
}

fn gathering(value: &str) -> Result<bool, String> {
    match value {
        "implicit" | "smart" => Ok(false),
        "explicit" => Ok(true),
        _ => Err("none of implicit, smart and explicit".to_owned()),
    }
}

fn strategy(value: &str) -> Result<Strategy, String> {
    Strategy::of_name(value).ok_or_else(|| "none of linear, free and host_pinned".to_owned())
}

fn transport(value: &str) -> Result<bool, String> {
    match value.strip_prefix("ansible.builtin.").unwrap_or(value) {
        "ssh" | "smart" | "paramiko" | "paramiko_ssh" => Ok(false),
        "local" => Ok(true),
        _ => Err("neither ssh nor local".to_owned()),
    }
}

/// Several inventories stand behind each other with commas; one with a comma behind it is a list of
/// hosts.
fn inventories(value: &str, folder: &Path, environment: &Environment) -> Vec<String> {
    let parts: Vec<&str> =
        value.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let paths: Vec<PathBuf> =
        parts.iter().map(|part| expanded(part, folder, environment)).collect();
    if value.contains(',') && !paths.iter().any(|path| path.exists()) {
        return vec![value.to_owned()];
    }
    let is_consul = provision_playbook::inventory::Source::is_consul;
    parts
        .iter()
        .zip(paths)
        .map(|(part, path)| match is_consul(part) {
            true => (*part).to_owned(),
            false => path.display().to_string(),
        })
        .collect()
}

/// A path with `~` and variables filled in, absolute.
fn expanded(written: &str, folder: &Path, environment: &Environment) -> PathBuf {
    let mut text = written.trim().to_owned();
    for (name, value) in &environment.variables {
        // Only names that stand alone or in braces: `$HOMEPAGE` isn't `$HOME`.
        text = text.replace(&format!("${{{name}}}"), value);
        if let Some(rest) = text.strip_prefix(&format!("${name}"))
            && (rest.is_empty() || rest.starts_with('/'))
        {
            text = format!("{value}{rest}");
        }
    }
    let home = environment.home();
    let path = match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text.replace("{{CWD}}", &environment.folder.display().to_string())),
    };
    if path.is_absolute() { path } else { folder.join(path) }
}

fn is_writable_by_all(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o002 != 0)
}

#[cfg(test)]
mod tests;
