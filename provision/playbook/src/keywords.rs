//! The table of keywords: where each may stand and what it takes.

/// Things that carry keywords, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places(u8);

impl Places {
    pub(crate) const PLAY: Places = Places(1);
    pub(crate) const ROLE: Places = Places(2);
    pub(crate) const BLOCK: Places = Places(4);
    pub(crate) const TASK: Places = Places(8);
    pub(crate) const HANDLER: Places = Places(16);
    pub(crate) const IMPORT_PLAYBOOK: Places = Places(32);
    pub(crate) const LOOP_CONTROL: Places = Places(64);

    const fn and(self, other: Places) -> Places {
        Places(self.0 | other.0)
    }

    pub(crate) fn has(self, other: Places) -> bool {
        self.0 & other.0 != 0
    }

    /// What a user calls it.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Places::PLAY => "a play",
            Places::ROLE => "a role entry",
            Places::BLOCK => "a block",
            Places::HANDLER => "a handler",
            Places::IMPORT_PLAYBOOK => "an `import_playbook`",
            Places::LOOP_CONTROL => "`loop_control`",
            _ => "a task",
        }
    }
}

const TASKS: Places = Places::TASK.and(Places::HANDLER);
const BLOCKS: Places = TASKS.and(Places::BLOCK);
const ROLES: Places = BLOCKS.and(Places::ROLE);
const ALL: Places = ROLES.and(Places::PLAY);
const CONDITIONAL: Places = ROLES.and(Places::IMPORT_PLAYBOOK);

/// What a keyword takes, apart from templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Text,
    /// Text that can't be a template.
    Name,
    Boolean,
    Integer,
    Number,
    /// A number, with or without `%`.
    Percentage,
    /// Text or a list of texts.
    Texts,
    /// A list, or a template for one.
    List,
    /// A list written out.
    Written,
    Mapping,
    /// A mapping, a template, or a list of these.
    Mappings,
    /// Conditions: text, a boolean, or a list of these.
    Conditions,
    Anything,
}

/// Whether this program knows what a keyword means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    Yes,
    /// Ansible has it, we don't yet; what to do instead.
    NotYet(&'static str),
    /// Old Ansible had it; what it is called today. It still works.
    Renamed(&'static str),
    /// Old Ansible had it; what to write today.
    Removed(&'static str),
}

/// One keyword.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keyword {
    pub(crate) name: &'static str,
    pub(crate) places: Places,
    pub(crate) takes: Takes,
    pub(crate) support: Support,
}

const fn keyword(name: &'static str, places: Places, takes: Takes) -> Keyword {
    Keyword { name, places, takes, support: Support::Yes }
}

const fn but(keyword: Keyword, support: Support) -> Keyword {
    Keyword { support, ..keyword }
}

const PLAY: Places = Places::PLAY;
const LOOP: Places = Places::LOOP_CONTROL;

/// All keywords of plays, roles, blocks, tasks, handlers and `loop_control`.
pub(crate) const KEYWORDS: &[Keyword] = &[
    keyword("name", ALL.and(Places::IMPORT_PLAYBOOK), Takes::Text),
    keyword("vars", ALL.and(Places::IMPORT_PLAYBOOK), Takes::Mapping),
    keyword("tags", ALL.and(Places::IMPORT_PLAYBOOK), Takes::Texts),
    keyword("when", CONDITIONAL, Takes::Conditions),
    keyword("become", ALL, Takes::Boolean),
    keyword("become_user", ALL, Takes::Text),
    keyword("become_method", ALL, Takes::Text),
    keyword("become_flags", ALL, Takes::Text),
    but(
        keyword("become_exe", ALL, Takes::Text),
        Support::NotYet("`sudo` is looked up in the PATH of the host; remove the line"),
    ),
    keyword("environment", ALL, Takes::Mappings),
    keyword("module_defaults", ALL, Takes::Mappings),
    keyword("connection", ALL, Takes::Text),
    keyword("port", ALL, Takes::Integer),
    keyword("remote_user", ALL, Takes::Text),
    keyword("no_log", ALL, Takes::Boolean),
    keyword("run_once", ALL, Takes::Boolean),
    keyword("ignore_errors", ALL, Takes::Boolean),
    keyword("ignore_unreachable", ALL, Takes::Boolean),
    keyword("check_mode", ALL, Takes::Boolean),
    keyword("diff", ALL, Takes::Boolean),
    keyword("any_errors_fatal", ALL, Takes::Boolean),
    keyword("throttle", ALL, Takes::Integer),
    keyword("timeout", ALL, Takes::Integer),
    but(
        keyword("debugger", ALL, Takes::Text),
        Support::NotYet("remove the line and use `provision apply --step` to stop before a task"),
    ),
    keyword("collections", ALL, Takes::List),
    keyword("delegate_to", ROLES, Takes::Text),
    keyword("delegate_facts", ROLES, Takes::Boolean),
    keyword("notify", BLOCKS, Takes::Texts),
    // Plays.
    keyword("hosts", PLAY, Takes::Texts),
    keyword("gather_facts", PLAY, Takes::Boolean),
    keyword("gather_subset", PLAY, Takes::Texts),
    keyword("gather_timeout", PLAY, Takes::Integer),
    keyword("fact_path", PLAY, Takes::Text),
    keyword("vars_files", PLAY, Takes::Anything),
    keyword("vars_prompt", PLAY, Takes::Written),
    keyword("roles", PLAY, Takes::Written),
    keyword("pre_tasks", PLAY, Takes::Written),
    keyword("tasks", PLAY, Takes::Written),
    keyword("post_tasks", PLAY, Takes::Written),
    keyword("handlers", PLAY, Takes::Written),
    keyword("force_handlers", PLAY, Takes::Boolean),
    keyword("max_fail_percentage", PLAY, Takes::Percentage),
    keyword("serial", PLAY, Takes::Anything),
    keyword("strategy", PLAY, Takes::Text),
    keyword("order", PLAY, Takes::Text),
    but(keyword("user", PLAY, Takes::Text), Support::Renamed("remote_user")),
    // Roles.
    keyword("role", Places::ROLE, Takes::Text),
    // Blocks.
    keyword("block", Places::BLOCK, Takes::Written),
    keyword("rescue", Places::BLOCK, Takes::Written),
    keyword("always", Places::BLOCK, Takes::Written),
    // Tasks.
    keyword("action", TASKS, Takes::Anything),
    keyword("local_action", TASKS, Takes::Anything),
    keyword("args", TASKS, Takes::Anything),
    keyword("async", TASKS, Takes::Integer),
    keyword("poll", TASKS, Takes::Integer),
    keyword("changed_when", TASKS, Takes::Conditions),
    keyword("failed_when", TASKS, Takes::Conditions),
    keyword("until", TASKS, Takes::Conditions),
    keyword("retries", TASKS, Takes::Integer),
    keyword("delay", TASKS, Takes::Number),
    keyword("loop", TASKS, Takes::List),
    keyword("loop_control", TASKS, Takes::Mapping),
    keyword("register", TASKS, Takes::Name),
    keyword("listen", Places::HANDLER, Takes::Texts),
    but(
        keyword("always_run", TASKS, Takes::Boolean),
        Support::Removed("write `check_mode: false`"),
    ),
    but(
        keyword("static", TASKS, Takes::Boolean),
        Support::Removed("use `import_tasks` for `static: true`, `include_tasks` for `false`"),
    ),
    // Spellings from before Ansible 1.9.
    but(keyword("sudo", ALL, Takes::Boolean), Support::Renamed("become")),
    but(keyword("sudo_user", ALL, Takes::Text), Support::Renamed("become_user")),
    but(
        keyword("su", ALL, Takes::Boolean),
        Support::Removed("write `become: true`; sudo is what provision uses to become a user"),
    ),
    but(keyword("su_user", ALL, Takes::Text), Support::Removed("write `become_user`")),
    but(
        keyword("sudo_pass", ALL, Takes::Text),
        Support::Removed("set the variable `ansible_become_password`"),
    ),
    but(
        keyword("su_pass", ALL, Takes::Text),
        Support::Removed("set the variable `ansible_become_password`"),
    ),
    // loop_control.
    keyword("loop_var", LOOP, Takes::Text),
    keyword("index_var", LOOP, Takes::Text),
    keyword("label", LOOP, Takes::Anything),
    keyword("pause", LOOP, Takes::Number),
    keyword("extended", LOOP, Takes::Boolean),
    keyword("extended_allitems", LOOP, Takes::Boolean),
    keyword("break_when", LOOP, Takes::Conditions),
];

/// The keyword of this name at this place.
pub(crate) fn find(name: &str, place: Places) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name && keyword.places.has(place))
}

/// Places where a keyword of this name may stand, as users call them; `None` if nowhere.
pub(crate) fn elsewhere(name: &str) -> Option<String> {
    const EVERY: [(Places, &str); 5] = [
        (Places::PLAY, "plays"),
        (Places::BLOCK, "blocks"),
        (Places::TASK, "tasks"),
        (Places::HANDLER, "handlers"),
        (Places::LOOP_CONTROL, "`loop_control`"),
    ];
    let mut places: Vec<&str> = EVERY
        .into_iter()
        .filter(|(place, _)| find(name, *place).is_some())
        .map(|(_, noun)| noun)
        .collect();
    if places.contains(&"tasks") {
        places.retain(|place| *place != "handlers");
    }
    let last = places.pop()?;
    Some(if places.is_empty() {
        last.to_owned()
    } else {
        format!("{} and {last}", places.join(", "))
    })
}

/// Names of the keywords at a place that are in use today.
pub(crate) fn names(place: Places) -> impl Iterator<Item = &'static str> {
    KEYWORDS
        .iter()
        .filter(move |keyword| keyword.places.has(place))
        .filter(|keyword| keyword.support == Support::Yes)
        .map(|keyword| keyword.name)
}

/// What Ansible allows on `include_tasks` and `include_role`: their other keywords would have
/// no effect, so they are errors there.
pub(crate) const ON_INCLUDES: &[&str] = &[
    "action",
    "args",
    "collections",
    "debugger",
    "ignore_errors",
    "listen",
    "loop",
    "loop_control",
    "name",
    "no_log",
    "register",
    "run_once",
    "tags",
    "timeout",
    "vars",
    "when",
];

/// Keywords that a static import does not hand on to its tasks.
pub(crate) const LOST_ON_IMPORTS: &[&str] =
    &["async", "changed_when", "delay", "failed_when", "poll", "register", "retries", "until"];
