//! The command line.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use provision_engine::world::ConfiguredSettings;

/// Install, upgrade and configure hosts over SSH with Ansible's playbooks and roles.
#[derive(Debug, Parser)]
#[command(name = "provision", version, max_term_width = 100)]
#[command(after_help = "Examples:\n  \
    provision apply -i inventories/lab                 run playbooks/main.yml\n  \
    provision apply site.yml -i hosts.ini --check --diff   show what would change\n  \
    provision apply site.yml -i hosts.ini --limit 'web:!web3' --tags config\n  \
    provision run zookeeper -i inventories/lab -- uptime   one command on many hosts\n  \
    provision run all -i hosts.ini -m stat -a path=/etc/hosts   one module on many hosts\n  \
    provision inventory -i inventories/lab --graph     groups and hosts\n  \
    provision trust -i hosts.ini web1                  look at host keys, then trust them\n  \
    provision status -i inventories/lab                releases, roles and health\n  \
    provision upgrade zookeeper 3.9.3 -i inventories/lab    show the plan, ask, run it\n  \
    provision rollback zookeeper -i inventories/lab    back to the release before\n  \
    provision add zookeeper zk4 zk5 -i inventories/lab     hosts join the ensemble")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run playbooks
    Apply(Box<Apply>),
    /// Show releases, roles and health of components
    Status(Box<Status>),
    /// Bring components to other releases without losing their quorum
    Upgrade(Box<Upgrade>),
    /// Bring a component back to an earlier release
    Rollback(Box<Rollback>),
    /// Bring a changed configuration to a component, one member at a time
    Reconfigure(Box<Reconfigure>),
    /// Let hosts of the inventory join a component's cluster, one at a time
    Add(Box<Add>),
    /// Let members leave a component's cluster, and remove the component from them
    Remove(Box<Remove>),
    /// Go on with a run over releases or members that was interrupted, killed or paused
    Resume(Box<Resume>),
    /// Run a command or a module on hosts; what they say alike is told once
    Run(Box<RunCommand>),
    /// Show earlier runs, from the journals on this machine
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Check playbooks, roles and inventories, and tell where the dialects differ
    Lint(Box<crate::lint::arguments::Lint>),
    /// Show what modules take and return, and what differs from Ansible
    Doc(crate::doc::arguments::Doc),
    /// Show hosts, groups and variables, and where each comes from
    Inventory(Box<ShowInventory>),
    /// Show the keys of hosts and add them to known_hosts
    Trust(Box<Trust>),
    /// Encrypt and decrypt files and values with Ansible Vault
    #[command(subcommand)]
    Vault(VaultCommand),
    /// Archives of releases: add them to the lock, fetch, verify and mirror them
    #[command(subcommand)]
    Artifacts(crate::artifacts::arguments::ArtifactsCommand),
    /// Run playbooks with ansible-playbook's arguments, output and exit codes; the program does it
    /// by itself when it is called `ansible-playbook`
    AnsiblePlaybook(Box<crate::ansible::arguments::PlaybookArguments>),
    /// Run one module with ansible's arguments, output and exit codes; likewise under that name
    Ansible(Box<crate::ansible::arguments::AdhocArguments>),
    /// Show the exit codes and what they mean
    ExitCodes,
}

/// How to show a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Human,
    /// One JSON object a line, for programs.
    Ndjson,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Whose rules playbooks follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DialectName {
    /// ansible-core 2.18 and older: truthy conditions, text templates.
    Classic,
    /// ansible-core 2.19: boolean conditions, native types.
    Strict,
}

/// Connections that are set up at the same time if nobody says how many.
pub const FORKS: usize = 64;

/// How hosts are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Over SSH.
    Ssh,
    /// Not at all: it is this machine.
    Local,
}

/// Who speaks SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SshTransport {
    /// Our own client: one connection a host, keys and agents, jump hosts.
    #[default]
    Native,
    /// The program `ssh`, with its own configuration.
    Openssh,
}

/// How hosts are found and reached.
#[derive(Debug, Clone, Args)]
pub struct Reach {
    /// Inventory: a file (INI, YAML, a mapping for Consul), a folder, consul://HOST:PORT, or a list
    /// of hosts `a,b,`; may be repeated
    #[arg(short, long = "inventory", value_name = "SOURCE")]
    pub inventory: Vec<String>,
    /// While Consul is away: use what it said last, however long ago
    #[arg(long)]
    pub inventory_snapshot_ok: bool,
    /// Only these hosts of the plays (a pattern)
    #[arg(short, long, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Variables that win over all others: name=value, a mapping in YAML or JSON, or @FILE
    #[arg(short, long = "extra-vars", value_name = "VARS")]
    pub extra_vars: Vec<String>,
    /// Log in as this user
    #[arg(short, long, value_name = "NAME")]
    pub user: Option<String>,
    /// Log in with this key
    #[arg(long, visible_alias = "key-file", value_name = "FILE")]
    pub private_key: Option<PathBuf>,
    /// Ask for the login password
    #[arg(short = 'k', long)]
    pub ask_pass: bool,
    /// File with the login password, or a program that prints it
    #[arg(long, value_name = "FILE", conflicts_with = "ask_pass")]
    pub connection_password_file: Option<String>,
    /// How hosts are reached: ssh, or local for this machine
    #[arg(short, long, value_enum, default_value = "ssh")]
    pub connection: Transport,
    /// Who speaks SSH: provision itself, or the system's ssh (GSSAPI, FIDO keys, any ssh_config)
    #[arg(long, value_enum, default_value = "native")]
    pub transport: SshTransport,
    /// Reach hosts through these (user@host:port), in order
    #[arg(short = 'J', long, value_name = "HOSTS", value_delimiter = ',')]
    pub jump: Vec<String>,
    /// Options of ssh (-o Key=Value, -J, -i)
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    pub ssh_common_args: Option<String>,
    /// Seconds to wait for a connection
    #[arg(short = 'T', long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Store the key of a host that is not known yet, without asking; changed keys are refused
    #[arg(long)]
    pub accept_new_host_keys: bool,
    /// Connections that are set up at the same time [default: 64]
    #[arg(short, long, value_name = "COUNT")]
    pub forks: Option<usize>,
    /// Forget the facts that are cached (fact_caching in ansible.cfg)
    #[arg(long)]
    pub flush_cache: bool,
    /// What ansible.cfg changes of what playbooks mean.
    #[arg(skip)]
    pub customs: provision_playbook::Customs,
    /// Folders with modules of the user's own.
    #[arg(skip)]
    pub own: provision_playbook::own::OwnPaths,
    /// What gathers facts; nothing: the built-in module.
    #[arg(skip)]
    pub facts_modules: Vec<String>,
    /// Settings for `lookup('config', …)`: values and where they are said.
    #[arg(skip)]
    pub configured: ConfiguredSettings,
    /// Where facts stay between runs.
    #[arg(skip)]
    pub fact_cache: Option<provision_engine::fact_cache::FactCache>,
}

impl Reach {
    /// How many connections are set up at the same time.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.forks.unwrap_or(FORKS)
    }
}

/// Where vault passwords come from. They are read from files, programs or the terminal, never from
/// arguments.
#[derive(Debug, Clone, Default, Args)]
pub struct VaultPasswords {
    /// File with the vault password, or a program that prints it; may be repeated
    /// [also: ANSIBLE_VAULT_PASSWORD_FILE]
    #[arg(long, visible_alias = "vault-pass-file", value_name = "FILE")]
    pub vault_password_file: Vec<String>,
    /// Vault password with a label; SOURCE is a file, a program or `prompt`; may be repeated
    #[arg(long, value_name = "[LABEL@]SOURCE")]
    pub vault_id: Vec<String>,
    /// Ask for the vault password
    #[arg(long, visible_alias = "ask-vault-password")]
    pub ask_vault_pass: bool,
}

/// Encrypt and decrypt files and values with Ansible Vault.
#[derive(Debug, Clone, Subcommand)]
pub enum VaultCommand {
    /// Write a new encrypted file in $EDITOR
    Create(CreateVault),
    /// Change an encrypted file in $EDITOR; its password and label stay
    Edit(EditVault),
    /// Encrypt files in place
    Encrypt(Encrypt),
    /// Decrypt files in place
    Decrypt(VaultFiles),
    /// Print what encrypted files hold
    View(VaultFiles),
    /// Encrypt files with another password, in place
    Rekey(Rekey),
    /// Encrypt a value from stdin as YAML to paste into a file of variables
    EncryptString(EncryptString),
}

/// Write a new encrypted file.
#[derive(Debug, Clone, Args)]
pub struct CreateVault {
    /// File that is not there yet
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub passwords: VaultPasswords,
    /// Label of the password to encrypt with, if several are given
    #[arg(long, value_name = "LABEL")]
    pub encrypt_vault_id: Option<String>,
}

/// Change an encrypted file.
#[derive(Debug, Clone, Args)]
pub struct EditVault {
    /// File
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub passwords: VaultPasswords,
}

/// Files and the passwords for them.
#[derive(Debug, Clone, Args)]
pub struct VaultFiles {
    /// Files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub passwords: VaultPasswords,
}

/// Encrypt files in place.
#[derive(Debug, Clone, Args)]
pub struct Encrypt {
    #[command(flatten)]
    pub files: VaultFiles,
    /// Label of the password to encrypt with, if several are given
    #[arg(long, value_name = "LABEL")]
    pub encrypt_vault_id: Option<String>,
}

/// Encrypt files with another password, in place.
#[derive(Debug, Clone, Args)]
pub struct Rekey {
    #[command(flatten)]
    pub files: VaultFiles,
    /// File with the new password, or a program that prints it
    #[arg(long, value_name = "FILE", conflicts_with = "new_vault_id")]
    pub new_vault_password_file: Option<String>,
    /// New password with a label [default: ask for the new password]
    #[arg(long, value_name = "[LABEL@]SOURCE")]
    pub new_vault_id: Option<String>,
}

/// Encrypt a value from stdin as YAML to paste into a file of variables.
#[derive(Debug, Clone, Args)]
pub struct EncryptString {
    /// Name of the variable
    #[arg(short, long, value_name = "NAME")]
    pub name: Option<String>,
    #[command(flatten)]
    pub passwords: VaultPasswords,
    /// Label of the password to encrypt with, if several are given
    #[arg(long, value_name = "LABEL")]
    pub encrypt_vault_id: Option<String>,
}

/// Run playbooks.
#[derive(Debug, Clone, Args)]
pub struct Apply {
    /// Playbooks, in order [default: playbooks/main.yml]
    #[arg(value_name = "PLAYBOOK")]
    pub playbooks: Vec<PathBuf>,
    #[command(flatten)]
    pub reach: Reach,
    #[command(flatten)]
    pub passwords: VaultPasswords,
    /// Run exactly this release plan, made with `upgrade --plan-out`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["playbooks", "check", "tags", "limit"])]
    pub plan: Option<PathBuf>,
    /// Show what would change, change nothing
    #[arg(short = 'C', long)]
    pub check: bool,
    /// Show changes of files
    #[arg(short = 'D', long)]
    pub diff: bool,
    /// With --check: exit with 4 when something would change
    #[arg(long, requires = "check")]
    pub exit_code: bool,
    /// Only tasks with these tags
    #[arg(short, long, value_delimiter = ',', value_name = "TAGS")]
    pub tags: Vec<String>,
    /// No tasks with these tags
    #[arg(long, value_delimiter = ',', value_name = "TAGS")]
    pub skip_tags: Vec<String>,
    /// Become another user (with sudo, unless the play says otherwise)
    #[arg(short = 'b', long = "become")]
    pub r#become: bool,
    /// User to become
    #[arg(long, value_name = "NAME")]
    pub become_user: Option<String>,
    /// Ask for the password of sudo
    #[arg(short = 'K', long)]
    pub ask_become_pass: bool,
    /// File with the password of sudo, or a program that prints it
    #[arg(long, value_name = "FILE", conflicts_with = "ask_become_pass")]
    pub become_password_file: Option<String>,
    /// Where roles are besides `roles/` beside the playbook
    #[arg(long, value_delimiter = ':', value_name = "FOLDERS")]
    pub roles_path: Vec<PathBuf>,
    /// Where collections are besides `collections/` beside the playbook
    #[arg(long, value_delimiter = ':', value_name = "FOLDERS")]
    pub collections_path: Vec<PathBuf>,
    /// Whose rules playbooks follow
    #[arg(long, value_enum, default_value = "classic")]
    pub dialect: DialectName,
    /// Run notified handlers also on hosts that failed
    #[arg(long)]
    pub force_handlers: bool,
    /// One task at a time on all hosts, nothing sent ahead: slow, for comparison
    #[arg(long)]
    pub strict_order: bool,
    /// Leave out everything before the first task of this name (`*` and `?` stand for anything)
    #[arg(long, value_name = "TASK")]
    pub start_at_task: Option<String>,
    /// Ask before each task; nothing is sent ahead
    #[arg(long)]
    pub step: bool,
    /// Seconds to wait while another run holds a host
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub lock_wait: u64,
    /// Check everything that can be checked without a connection, then stop
    #[arg(long)]
    pub syntax_check: bool,
    /// List the hosts of each play, then stop
    #[arg(long)]
    pub list_hosts: bool,
    /// List the tasks of each play, then stop
    #[arg(long)]
    pub list_tasks: bool,
    /// List the tags of each play, then stop
    #[arg(long)]
    pub list_tags: bool,
    /// How to show the run
    #[arg(short, long, value_enum, default_value = "human")]
    pub output: Output,
    /// When to colour
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Colour,
    /// Say more: results of tasks (-v), everything (-vvv)
    #[arg(short, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say only what failed, and the recap
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// What to show of earlier runs.
#[derive(Debug, Clone, Subcommand)]
pub enum RunsCommand {
    /// A line a run, the youngest first
    List {
        /// How many
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
        count: usize,
    },
    /// Show a run as it was shown when it ran
    Show {
        /// Its name, or the beginning of it [default: the youngest]
        #[arg(value_name = "RUN")]
        run: Option<String>,
        /// How to show it
        #[arg(short, long, value_enum, default_value = "human")]
        output: Output,
        /// Say more: results of tasks
        #[arg(short, action = ArgAction::Count)]
        verbose: u8,
        /// Show changes of files
        #[arg(short = 'D', long)]
        diff: bool,
    },
    /// Show a run again as it went on: its pace, or a part of it
    Replay(crate::runs::arguments::Replay),
}

/// Run a command or a module on hosts.
#[derive(Debug, Clone, Args)]
pub struct RunCommand {
    /// Which hosts
    #[arg(value_name = "PATTERN")]
    pub pattern: String,
    /// The command and its arguments, as they are: no shell and no templates
    #[arg(value_name = "COMMAND", last = true, required_unless_present = "module")]
    pub command: Vec<String>,
    /// Run this module instead of a command
    #[arg(short, long, value_name = "MODULE", conflicts_with_all = ["command", "shell"])]
    pub module: Option<String>,
    /// Arguments of the module: k=v words, or a mapping in JSON; templates are evaluated
    #[arg(
        short,
        long = "args",
        value_name = "ARGUMENTS",
        requires = "module",
        allow_hyphen_values = true
    )]
    pub arguments: Option<String>,
    /// With --module: show what would change, change nothing
    #[arg(short = 'C', long, requires = "module")]
    pub check: bool,
    #[command(flatten)]
    pub reach: Reach,
    #[command(flatten)]
    pub passwords: VaultPasswords,
    /// Let /bin/sh run it: pipes, redirections, variables
    #[arg(long)]
    pub shell: bool,
    /// Become another user
    #[arg(short = 'b', long = "become")]
    pub r#become: bool,
    /// User to become
    #[arg(long, value_name = "NAME")]
    pub become_user: Option<String>,
    /// Ask for the password of sudo
    #[arg(short = 'K', long)]
    pub ask_become_pass: bool,
    /// End the command after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub command_timeout: Option<u64>,
    /// Don't wait for runs that hold a host: for commands that only look
    #[arg(long)]
    pub no_lock: bool,
    /// Seconds to wait while another run holds a host
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub lock_wait: u64,
    /// How to show it
    #[arg(short, long, value_enum, default_value = "human")]
    pub output: Output,
    /// When to colour
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Colour,
}

/// Show hosts, groups and variables, and where each comes from.
#[derive(Debug, Clone, Args)]
#[group(id = "view", required = true, multiple = false, args = ["list", "graph", "vars", "export"])]
pub struct ShowInventory {
    /// Inventory: a file (INI, YAML, a mapping for Consul), a folder, consul://HOST:PORT, or a list
    /// of hosts `a,b,`; may be repeated
    #[arg(short, long = "inventory", value_name = "SOURCE")]
    pub inventory: Vec<String>,
    /// Hosts, groups and variables as JSON, as ansible-inventory prints them
    #[arg(long)]
    pub list: bool,
    /// The tree of groups, and where each group and host was written
    #[arg(long)]
    pub graph: bool,
    /// Every variable of a host, where it comes from, and what it overrides
    #[arg(long, value_name = "HOST")]
    pub vars: Option<String>,
    /// Write a static inventory: .ini or .yml
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
    /// With --export: put a part of the hosts into group `grey`: a number, or a share such as 10%
    #[arg(long, value_name = "COUNT|SHARE", requires = "export")]
    pub grey: Option<String>,
    /// Only these hosts (a pattern)
    #[arg(short, long, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Variables that win over all others: name=value, a mapping in YAML or JSON, or @FILE
    #[arg(short, long = "extra-vars", value_name = "VARS")]
    pub extra_vars: Vec<String>,
    #[command(flatten)]
    pub passwords: VaultPasswords,
    /// When to colour
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Colour,
}

/// Show the keys of hosts and add them to known_hosts.
#[derive(Debug, Clone, Args)]
pub struct Trust {
    /// Hosts, by inventory name or address [default: all of the inventory]
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
    #[command(flatten)]
    pub reach: Reach,
    #[command(flatten)]
    pub passwords: VaultPasswords,
    /// Do not ask: the fingerprints were compared elsewhere
    #[arg(short, long)]
    pub yes: bool,
    /// File to add them to [default: ~/.ssh/known_hosts, or what the inventory says]
    #[arg(long, value_name = "FILE")]
    pub known_hosts: Option<PathBuf>,
}

/// What commands about releases share.
#[derive(Debug, Clone, Args)]
pub struct OfReleases {
    #[command(flatten)]
    pub reach: Reach,
    /// Folder with `roles/`, whose component.yml files say what the components are
    #[arg(long, value_name = "FOLDER", default_value = "playbooks")]
    pub playbooks: PathBuf,
    /// Ask for the password of sudo
    #[arg(short = 'K', long)]
    pub ask_become_pass: bool,
    /// Seconds to wait while another run holds a host
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub lock_wait: u64,
    /// How to show it
    #[arg(short, long, value_enum, default_value = "human")]
    pub output: Output,
    /// When to colour
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Colour,
    /// Show the tasks of each step, too
    #[arg(short, action = ArgAction::Count)]
    pub verbose: u8,
    #[command(flatten)]
    pub passwords: VaultPasswords,
}

/// Show releases, roles and health of components.
#[derive(Debug, Clone, Args)]
pub struct Status {
    /// Components [default: all that the inventory has hosts for]
    #[arg(value_name = "COMPONENT")]
    pub components: Vec<String>,
    #[command(flatten)]
    pub of: OfReleases,
    /// Exit with 4 when something is not as the inventory wants it
    #[arg(long)]
    pub exit_code: bool,
    /// Ask no host: show what hosts have registered in Consul, a source of the inventory
    #[arg(long)]
    pub from_consul: bool,
}

/// How a run over releases is to be done.
#[derive(Debug, Clone, Args)]
pub struct Care {
    /// Only these members (a pattern of hosts and groups)
    #[arg(long, value_name = "PATTERN")]
    pub hosts: Option<String>,
    /// Write the plan to a file and do nothing; `apply --plan` runs it
    #[arg(long, value_name = "FILE")]
    pub plan_out: Option<PathBuf>,
    /// Do not ask before it begins
    #[arg(short, long)]
    pub yes: bool,
    /// Pause once after so many members
    #[arg(long, value_name = "COUNT")]
    pub canary: Option<u32>,
    /// Pause each time so many members are done
    #[arg(long, value_name = "COUNT")]
    pub pause_after: Option<u32>,
    /// Members without a vote that may be away at a time
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub max_unavailable: u32,
    /// Go on although a cluster of one or two members serves nobody meanwhile
    #[arg(long)]
    pub accept_outage: bool,
    /// Move away what runs on a member before it is restarted (agents of Mesos); what stays is ended
    #[arg(long)]
    pub drain: bool,
}

/// Bring components to other releases.
#[derive(Debug, Clone, Args)]
pub struct Upgrade {
    /// The component (the name of its role) and the release, as `artifacts` of the inventory names
    /// it; several pairs are brought into order, one after the other
    #[arg(value_names = ["COMPONENT", "VERSION"], num_args = 2.., required = true)]
    pub changes: Vec<String>,
    #[command(flatten)]
    pub care: Care,
    #[command(flatten)]
    pub of: OfReleases,
}

/// Bring a component back to an earlier release.
#[derive(Debug, Clone, Args)]
pub struct Rollback {
    /// Component: the name of its role
    pub component: String,
    /// The release [default: the only other one that all members have]
    pub version: Option<String>,
    #[command(flatten)]
    pub care: Care,
    #[command(flatten)]
    pub of: OfReleases,
}

/// Bring a changed configuration to a component.
#[derive(Debug, Clone, Args)]
pub struct Reconfigure {
    /// Component: the name of its role
    pub component: String,
    #[command(flatten)]
    pub care: Care,
    #[command(flatten)]
    pub of: OfReleases,
}

/// Let hosts join a component's cluster.
#[derive(Debug, Clone, Args)]
pub struct Add {
    /// Component: the name of its role
    pub component: String,
    /// Hosts; the component's group of the inventory has them already
    #[arg(value_name = "HOST", required = true)]
    pub hosts: Vec<String>,
    /// Write the plan to a file and do nothing; `apply --plan` runs it
    #[arg(long, value_name = "FILE")]
    pub plan_out: Option<PathBuf>,
    /// Do not ask before it begins
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub of: OfReleases,
}

/// Let members leave a component's cluster.
#[derive(Debug, Clone, Args)]
pub struct Remove {
    /// Component: the name of its role
    pub component: String,
    /// Hosts; they stay in the inventory until they have left
    #[arg(value_name = "HOST", required = true)]
    pub hosts: Vec<String>,
    /// Stop containers that run on them
    #[arg(long)]
    pub drain: bool,
    /// Delete their data, too
    #[arg(long)]
    pub purge: bool,
    /// Go on although the members that stay bear no failure
    #[arg(long)]
    pub accept_outage: bool,
    /// Write the plan to a file and do nothing; `apply --plan` runs it
    #[arg(long, value_name = "FILE")]
    pub plan_out: Option<PathBuf>,
    /// Do not ask before it begins
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub of: OfReleases,
}

/// Go on with a run over releases.
#[derive(Debug, Clone, Args)]
pub struct Resume {
    /// The run [default: the last one that did not reach its end]; or, with -i, the component whose
    /// members tell of a run of another operator
    #[arg(value_name = "RUN|COMPONENT")]
    pub run: Option<String>,
    #[command(flatten)]
    pub of: OfReleases,
}
