//! The two things a template needs from its surroundings: names, and everything impure.

use std::sync::Arc;

use diagnostics::Span;
use minijinja::Value;

/// Whose rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// ansible-core 2.18: results are text with literal evaluation, conditions are truthy.
    Classic,
    /// ansible-core 2.19: native types, conditions are booleans, variables evaluate lazily.
    Strict,
}

/// A variable as a scope holds it.
#[derive(Clone)]
pub enum Slot {
    /// Text of the user's files: strings in it are templates, evaluated lazily when read.
    Template(Arc<yaml::Node>),
    /// Facts, results and evaluated values: never compiled.
    Data(Value),
}

/// What a scope knows about a name.
#[derive(Clone)]
pub enum Found {
    /// Its variable.
    Slot(Slot),
    /// There is no such name.
    Undefined,
    /// The value is not known yet: evaluation stops with [`crate::TemplateError::Pending`].
    Pending(u64),
}

/// Where names come from.
pub trait Scope {
    /// The variable behind a name, by the precedence of its layers.
    fn lookup(&self, name: &str) -> Found;
    /// All names, for `vars` and `varnames`, in the order that people see.
    fn names(&self) -> Vec<String>;
    /// Where the texts of a name that is [`Slot::Data`] come from: what hosts say, unless somebody
    /// knows better.
    fn origin(&self, name: &str) -> crate::Origin {
        let _ = name;
        crate::Origin::Every(crate::TextClass::Unsafe)
    }
}

/// A scope without names.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptyScope;

impl Scope for EmptyScope {
    fn lookup(&self, _name: &str) -> Found {
        Found::Undefined
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A call of a lookup that this crate cannot answer itself: `env`, `pipe`, `url`, `password`…
#[derive(Clone)]
pub struct LookupRequest<'a> {
    /// Name without a collection prefix.
    pub name: &'a str,
    /// Positional arguments.
    pub terms: &'a [Value],
    /// Named arguments, without `wantlist` and `errors`.
    pub options: &'a [(Arc<str>, Value)],
}

/// What a plugin of the user's own is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginKind {
    /// `value | name`
    Filter,
    /// `lookup('name')`
    Lookup,
    /// `value is name`
    Test,
}

/// A call of a filter or test that this crate doesn't know.
#[derive(Clone)]
pub struct PluginRequest<'a> {
    /// Which of them.
    pub kind: PluginKind,
    /// Its name as it is written.
    pub name: &'a str,
    /// What it is applied to, then its arguments.
    pub arguments: &'a [Value],
    /// Named arguments.
    pub named: &'a [(Arc<str>, Value)],
}

/// A question about a path on the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathQuestion {
    /// Whether something is there (following links).
    Exists,
    /// Whether something is there (the link itself counts).
    LinkExists,
    /// Whether it is a regular file.
    File,
    /// Whether it is a directory.
    Directory,
    /// Whether it is a symbolic link.
    Link,
    /// Whether something is mounted there.
    Mount,
    /// Whether it is a file that is encrypted with Ansible Vault.
    Vaulted,
}

/// A template that another one includes, imports or extends.
#[derive(Debug, Clone)]
pub struct LoadedTemplate {
    /// Its name, resolved: later relative names are given together with it.
    pub name: String,
    /// Its text.
    pub text: Arc<str>,
    /// The whole text as a span, if it is among the sources of the run.
    pub span: Option<Span>,
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_seconds: i64,
    /// And microseconds.
    pub microseconds: u32,
    /// What local time is ahead of UTC, in seconds.
    pub offset_seconds: i32,
}

/// Why the outside could not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutsideError {
    /// There is no lookup of this name.
    UnknownLookup,
    /// This surrounding does not offer that (e.g. a static check).
    Unavailable(&'static str),
    /// It was tried and failed.
    Failed(String),
    /// The value is not known yet.
    Pending(u64),
}

/// Everything impure. Each method has a default that says it is unavailable.
pub trait Outside {
    /// A lookup that needs files, processes, the environment or the network. `file`, `template`,
    /// `env`, `pipe`, `lines`, `password`, `url`, `unvault`, `config`, `fileglob`, `first_found`,
    /// `inventory_hostnames` and unknown names come here; `ini` and `csvfile` read their file
    /// through a `file` request.
    ///
    /// # Errors
    /// Says why there is no answer.
    fn lookup(&self, request: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        let _ = request;
        Err(OutsideError::UnknownLookup)
    }

    /// What a filter or test of the user's own makes of its arguments.
    ///
    /// # Errors
    /// [`OutsideError::UnknownLookup`] if there is none of this name; else why it failed.
    fn plugin(&self, request: &PluginRequest<'_>) -> Result<Value, OutsideError> {
        let _ = request;
        Err(OutsideError::UnknownLookup)
    }

    /// The template that `parent` (a resolved name) asks for; `None` if there is no such file.
    ///
    /// # Errors
    /// Says why it cannot be read.
    fn template(
        &self,
        name: &str,
        parent: Option<&str>,
    ) -> Result<Option<LoadedTemplate>, OutsideError> {
        let _ = (name, parent);
        Err(OutsideError::Unavailable("templates cannot be loaded here"))
    }

    /// The text that a `!vault` value holds.
    ///
    /// # Errors
    /// Says why it cannot be decrypted.
    fn unvault(&self, text: &str) -> Result<String, OutsideError> {
        let _ = text;
        Err(OutsideError::Unavailable("vaults cannot be opened here"))
    }

    /// Whether a text is what a `!vault` value holds (the test `vault_encrypted`).
    fn is_from_vault(&self, text: &str) -> bool {
        let _ = text;
        false
    }

    /// A text that must never be shown: it came out of a vault (the filter `unvault`).
    fn keep_secret(&self, text: &str) {
        let _ = text;
    }

    /// A fact about a path.
    ///
    /// # Errors
    /// Says why it cannot be told.
    fn path(&self, question: PathQuestion, path: &str) -> Result<bool, OutsideError> {
        let _ = (question, path);
        Err(OutsideError::Unavailable("files cannot be asked about here"))
    }

    /// The path with links resolved, absolute.
    ///
    /// # Errors
    /// Says why it cannot be told.
    fn real_path(&self, path: &str) -> Result<String, OutsideError> {
        let _ = path;
        Err(OutsideError::Unavailable("files cannot be asked about here"))
    }

    /// An environment variable of the controller (`expandvars`, `expanduser`).
    ///
    /// # Errors
    /// Says why it cannot be told.
    fn environment(&self, name: &str) -> Result<Option<String>, OutsideError> {
        let _ = name;
        Err(OutsideError::Unavailable("the environment cannot be asked about here"))
    }

    /// The home directory of a user, of the current one if empty (`expanduser`).
    ///
    /// # Errors
    /// Says why it cannot be told.
    fn home(&self, user: &str) -> Result<Option<String>, OutsideError> {
        let _ = user;
        Err(OutsideError::Unavailable("users cannot be asked about here"))
    }

    /// The time for `now()` and `strftime`.
    ///
    /// # Errors
    /// Says why it cannot be told.
    fn now(&self) -> Result<Now, OutsideError> {
        Err(OutsideError::Unavailable("the time cannot be asked for here"))
    }

    /// 64 random bits, for `random`, `shuffle`, `random_choice` and `password_hash` without a seed.
    ///
    /// # Errors
    /// Says why there are none.
    fn random(&self) -> Result<u64, OutsideError> {
        Err(OutsideError::Unavailable("randomness cannot be asked for here"))
    }

    /// A text that the person at the terminal should see (`errors='warn'`, deprecated forms).
    fn warn(&self, message: &str) {
        let _ = message;
    }
}

/// An outside that answers nothing: for static checks and tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl Outside for Nowhere {}

/// How a template file is to be read and written (the `template` module's parameters).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateOptions {
    /// What each line of the result ends with.
    pub newline_sequence: String,
    /// Whether the newline after a block is dropped.
    pub trim_blocks: bool,
    /// Whether blanks before a block are dropped.
    pub lstrip_blocks: bool,
    /// Whether the last newline of the file stays.
    pub keep_trailing_newline: bool,
    /// `{{`
    pub variable_start_string: String,
    /// `}}`
    pub variable_end_string: String,
    /// `{%`
    pub block_start_string: String,
    /// `%}`
    pub block_end_string: String,
    /// `{#`
    pub comment_start_string: String,
    /// `#}`
    pub comment_end_string: String,
    /// What a line that is a statement begins with; empty: there are none.
    pub line_statement_prefix: String,
    /// What a comment up to the end of its line begins with; empty: there are none.
    pub line_comment_prefix: String,
}

impl Default for TemplateOptions {
    /// What `ansible.builtin.template` does without parameters.
    fn default() -> Self {
        TemplateOptions {
            newline_sequence: "\n".into(),
            trim_blocks: true,
            lstrip_blocks: false,
            keep_trailing_newline: true,
            variable_start_string: "{{".into(),
            variable_end_string: "}}".into(),
            block_start_string: "{%".into(),
            block_end_string: "%}".into(),
            comment_start_string: "{#".into(),
            comment_end_string: "#}".into(),
            line_statement_prefix: String::new(),
            line_comment_prefix: String::new(),
        }
    }
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TextKind {
    /// A value: text with `{{ }}` in it.
    Template,
    /// `when` and its like: a bare expression, or (deprecated) a template around one.
    Condition,
    /// A template file.
    File,
}

/// What a text can reach, found without evaluating it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    /// Root names that it may read from the scope.
    pub names: std::collections::BTreeSet<String>,
    /// Whether it may read names that only its evaluation tells (`vars[x]`, `lookup('vars', x)`,
    /// `hostvars[x]` is not dynamic: its root name is `hostvars`).
    pub dynamic: bool,
    /// Names of the lookups it may call; `*` if only its evaluation tells.
    pub lookups: std::collections::BTreeSet<String>,
    /// Template files it includes, imports or extends by a literal name.
    pub includes: std::collections::BTreeSet<String>,
    /// Whether it includes a template whose name only its evaluation tells.
    pub dynamic_includes: bool,
    /// Whether it asks for the time, randomness or files by a filter or test.
    pub impure: bool,
    /// Filters and tests it names that do not exist.
    pub unknown: std::collections::BTreeSet<String>,
}
