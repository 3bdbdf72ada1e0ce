//! The table of modules: names, parameters, scope. One entry a module, grouped by file.

mod controller;
mod files;
mod normalise;
mod system;

pub use normalise::{ArgumentError, normalise};

/// Where a module's work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// By the helper, with the arguments as given.
    OnHost,
    /// By the helper, after the controller has turned local files or templates into contents
    /// (`copy`, `template`, `script`, `unarchive`…).
    Prepared,
    /// By the controller's session with the host, which ends and begins anew (`reboot`…).
    OnConnection,
    /// By the controller alone (`set_fact`, `debug`, `assert`…).
    OnController,
}

/// Whether other hosts can observe what a module does or reads (design 3.1, fences).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleScope {
    /// Reads and changes nothing outside its host.
    Host,
    /// Everything else.
    World,
}

/// What a free-form argument string means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreeForm {
    /// Only `k=v` pairs.
    No,
    /// Text goes to this parameter; known `k=v` words (`creates=`, `chdir=`…) are taken out.
    Into(&'static str),
    /// All of the text goes to this parameter.
    Verbatim(&'static str),
    /// Any `k=v` pair is a value of its own (`set_fact`).
    AnyKey,
}

/// What check mode can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckMode {
    /// Predicts exactly.
    Full,
    /// Can't know (`command` without `creates`); the task is skipped.
    Skips,
}

/// Type of a parameter, as Ansible's argument specs name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `str`
    Text,
    /// `path`: `~` and variables are expanded on the host.
    Path,
    /// `bool`
    Boolean,
    /// `int`
    Integer,
    /// `float`
    Float,
    /// `list` of text; a comma-separated string is split.
    TextList,
    /// `list` of anything.
    List,
    /// `dict`
    Mapping,
    /// `raw`: as it is; file modes are raw because `0644` may be an integer.
    Raw,
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Canonical name.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// Type.
    pub kind: Kind,
    /// Must be given.
    pub required: bool,
    /// What it is if it isn't given, as text: [`normalise`] fills it in.
    pub default: Option<&'static str>,
    /// Allowed values; empty: all.
    pub choices: &'static [&'static str],
    /// Never shown or stored.
    pub secret: bool,
    /// One line for `provision doc`.
    pub documentation: &'static str,
}

impl Parameter {
    /// An optional parameter.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, documentation: &'static str) -> Self {
        Parameter {
            name,
            aliases: &[],
            kind,
            required: false,
            default: None,
            choices: &[],
            secret: false,
            documentation,
        }
    }

    /// Makes it required.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// What it is if it isn't given.
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// Makes it secret.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Adds other names.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Limits the values.
    #[must_use]
    pub const fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }
}

/// Parameters that are needed beside a value of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequiredIf {
    /// The other one.
    pub name: &'static str,
    /// Its value, as text.
    pub value: &'static str,
    /// What is needed then.
    pub names: &'static [&'static str],
    /// One of them is enough.
    pub any: bool,
}

impl RequiredIf {
    /// All of them are needed.
    #[must_use]
    pub const fn all(
        name: &'static str,
        value: &'static str,
        names: &'static [&'static str],
    ) -> Self {
        RequiredIf { name, value, names, any: false }
    }

    /// One of them is needed.
    #[must_use]
    pub const fn any(
        name: &'static str,
        value: &'static str,
        names: &'static [&'static str],
    ) -> Self {
        RequiredIf { name, value, names, any: true }
    }
}

/// One module.
#[derive(Debug, Clone, Copy)]
pub struct ModuleSpec {
    /// Canonical short name.
    pub name: &'static str,
    /// Other short names.
    pub aliases: &'static [&'static str],
    /// Where it runs.
    pub runs: Runs,
    /// Who can observe it.
    pub scope: ModuleScope,
    /// Free-form arguments.
    pub free_form: FreeForm,
    /// Check mode.
    pub check: CheckMode,
    /// Parameters, in the order of the documentation. Groups are shared slices.
    pub parameters: &'static [&'static [Parameter]],
    /// At most one of each group may be given.
    pub mutually_exclusive: &'static [&'static [&'static str]],
    /// At least one of each group must be given.
    pub required_one_of: &'static [&'static [&'static str]],
    /// What a value asks for besides.
    pub required_if: &'static [RequiredIf],
    /// Any other argument name is allowed (`set_fact`, `include_role` variables…).
    pub open: bool,
    /// One line for `provision doc`.
    pub documentation: &'static str,
}

impl ModuleSpec {
    /// A module that runs on the host, observable by all, with full check mode.
    #[must_use]
    pub const fn new(
        name: &'static str,
        parameters: &'static [&'static [Parameter]],
        documentation: &'static str,
    ) -> Self {
        ModuleSpec {
            name,
            aliases: &[],
            runs: Runs::OnHost,
            scope: ModuleScope::World,
            free_form: FreeForm::No,
            check: CheckMode::Full,
            parameters,
            mutually_exclusive: &[],
            required_one_of: &[],
            required_if: &[],
            open: false,
            documentation,
        }
    }

    /// All parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        self.parameters.iter().flat_map(|group| group.iter())
    }

    /// The parameter of this name or alias.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters()
            .find(|parameter| parameter.name == name || parameter.aliases.contains(&name))
    }
}

/// Parameters that every module which manages a file takes (`add_file_common_args`).
pub const FILE_COMMON: &[Parameter] = &[
    Parameter::new("mode", Kind::Raw, "permission bits, octal or symbolic"),
    Parameter::new("owner", Kind::Text, "user name or id"),
    Parameter::new("group", Kind::Text, "group name or id"),
    Parameter::new("seuser", Kind::Text, "SELinux user"),
    Parameter::new("serole", Kind::Text, "SELinux role"),
    Parameter::new("setype", Kind::Text, "SELinux type"),
    Parameter::new("selevel", Kind::Text, "SELinux level"),
    Parameter::new("unsafe_writes", Kind::Boolean, "overwrite in place when rename is impossible"),
    Parameter::new("attributes", Kind::Text, "chattr attributes").aliases(&["attr"]),
];

/// Prefixes under which a built-in module may be written.
const PREFIXES: &[&str] = &[
    "ansible.builtin.",
    "ansible.legacy.",
    "ansible.posix.",
    "community.general.",
    "community.docker.",
];

/// Stands for a module that this program doesn't have, in a task that may never need it: one under
/// a condition, or one whose failure is expected. A task that gets to it fails.
pub static UNAVAILABLE: ModuleSpec = ModuleSpec {
    runs: Runs::OnController,
    scope: ModuleScope::Host,
    open: true,
    ..ModuleSpec::new("_unavailable", &[], "can't be run here")
};

/// Stands for the module of an `action` whose name is a template: the run finds it for each host.
/// What it does can be observed by all, as far as is known.
pub static TEMPLATED: ModuleSpec =
    ModuleSpec { open: true, ..ModuleSpec::new("_templated", &[], "known at run time") };

/// A module of the user's own: a program that the controller sends to the host. What it does can be
/// observed by all, and its arguments are its own business.
pub static OWN: ModuleSpec = ModuleSpec {
    runs: Runs::Prepared,
    open: true,
    free_form: FreeForm::AnyKey,
    ..ModuleSpec::new("_own", &[], "a program of the user's own")
};

/// Several modules that gather facts, as one call.
pub static GATHER: ModuleSpec = ModuleSpec {
    scope: ModuleScope::Host,
    open: true,
    ..ModuleSpec::new("_gather", &[], "gathers facts with several modules")
};

/// All modules.
pub fn all() -> impl Iterator<Item = &'static ModuleSpec> {
    controller::MODULES.iter().chain(files::MODULES).chain(system::MODULES)
}

/// The module of this name, with or without a collection prefix.
#[must_use]
pub fn find(name: &str) -> Option<&'static ModuleSpec> {
    let short = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    all().find(|module| module.name == short || module.aliases.contains(&short))
}
