//! The command line of `ansible-playbook`, as ansible-core 2.18 has it.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser};

use crate::arguments::VaultPasswords;

/// Runs Ansible playbooks, executing the defined tasks on the targeted hosts.
#[derive(Debug, Parser)]
#[command(name = "ansible-playbook", disable_version_flag = true, max_term_width = 100)]
pub struct PlaybookProgram {
    #[command(flatten)]
    pub arguments: PlaybookArguments,
}

/// Run playbooks with ansible-playbook's arguments, output format and exit codes.
#[derive(Debug, Clone, Args)]
pub struct PlaybookArguments {
    /// Playbooks
    #[arg(value_name = "playbook", required_unless_present = "version")]
    pub playbooks: Vec<PathBuf>,
    /// Show the version and the configuration file that is used
    #[arg(long)]
    pub version: bool,
    #[command(flatten)]
    pub common: CommonArguments,
    /// Only run plays and tasks tagged with these values
    #[arg(short, long, value_delimiter = ',', value_name = "TAGS")]
    pub tags: Vec<String>,
    /// Only run plays and tasks whose tags do not match these values
    #[arg(long, value_delimiter = ',', value_name = "SKIP_TAGS")]
    pub skip_tags: Vec<String>,
    /// Perform a syntax check on the playbook, but do not execute it
    #[arg(long)]
    pub syntax_check: bool,
    /// List all tasks that would be executed
    #[arg(long)]
    pub list_tasks: bool,
    /// List all available tags
    #[arg(long)]
    pub list_tags: bool,
    /// Confirm each task before running
    #[arg(long)]
    pub step: bool,
    /// Start the playbook at the task matching this name
    #[arg(long, value_name = "START_AT_TASK")]
    pub start_at_task: Option<String>,
    /// Run handlers even if a task fails
    #[arg(long)]
    pub force_handlers: bool,
    /// Clear the fact cache for every host
    #[arg(long)]
    pub flush_cache: bool,
}

/// Runs one module on hosts.
#[derive(Debug, Parser)]
#[command(name = "ansible", disable_version_flag = true, max_term_width = 100)]
pub struct AdhocProgram {
    #[command(flatten)]
    pub arguments: AdhocArguments,
}

/// Run one module with ansible's arguments, output format and exit codes.
#[derive(Debug, Clone, Args)]
pub struct AdhocArguments {
    /// Which hosts
    #[arg(value_name = "pattern", required_unless_present = "version", default_value = "")]
    pub pattern: String,
    /// Show the version and the configuration file that is used
    #[arg(long)]
    pub version: bool,
    /// Module
    #[arg(short, long = "module-name", value_name = "MODULE_NAME", default_value = "command")]
    pub module: String,
    /// Its arguments: k=v words, or a mapping in JSON
    #[arg(short, long = "args", value_name = "MODULE_ARGS", allow_hyphen_values = true)]
    pub arguments: Option<String>,
    /// A line a host
    #[arg(short, long)]
    pub one_line: bool,
    /// The folder that stands for a playbook's: roles, files and modules of one's own are there
    #[arg(long, value_name = "BASEDIR")]
    pub playbook_dir: Option<PathBuf>,
    /// End the module after this many seconds
    #[arg(long, value_name = "TASK_TIMEOUT")]
    pub task_timeout: Option<u64>,
    /// Refused: no files are written
    #[arg(short, long, value_name = "TREE")]
    pub tree: Option<String>,
    /// Refused: write a task with `async`
    #[arg(short = 'B', long, value_name = "SECONDS")]
    pub background: Option<u64>,
    #[command(flatten)]
    pub common: CommonArguments,
}

/// What `ansible-playbook` and `ansible` have in common.
#[derive(Debug, Clone, Args)]
pub struct CommonArguments {
    /// Inventory: a file, a folder or a list of hosts `a,b,`; may be repeated
    #[arg(short, long, visible_alias = "inventory-file", value_name = "INVENTORY")]
    pub inventory: Vec<String>,
    /// Further limit selected hosts to an additional pattern
    #[arg(short, long, value_name = "SUBSET")]
    pub limit: Option<String>,
    /// Output a list of matching hosts; do not execute anything else
    #[arg(long)]
    pub list_hosts: bool,
    /// Do not make any changes; predict them instead
    #[arg(short = 'C', long)]
    pub check: bool,
    /// Show the differences of changed files
    #[arg(short = 'D', long)]
    pub diff: bool,
    /// Variables: key=value, YAML, JSON, or @FILE
    #[arg(short, long, value_name = "EXTRA_VARS", allow_hyphen_values = true)]
    pub extra_vars: Vec<String>,
    /// Connections that are set up at the same time; 1 also shows hosts one after the other
    #[arg(short, long, value_name = "FORKS")]
    pub forks: Option<usize>,
    /// Run operations with become
    #[arg(short = 'b', long = "become")]
    pub r#become: bool,
    /// Only sudo is there
    #[arg(long, value_name = "BECOME_METHOD")]
    pub become_method: Option<String>,
    /// Run operations as this user
    #[arg(long, value_name = "BECOME_USER")]
    pub become_user: Option<String>,
    /// Ask for the privilege escalation password
    #[arg(short = 'K', long, conflicts_with = "become_password_file")]
    pub ask_become_pass: bool,
    /// File with the privilege escalation password
    #[arg(long, visible_alias = "become-pass-file", value_name = "FILE")]
    pub become_password_file: Option<String>,
    /// Ask for the connection password
    #[arg(short = 'k', long, conflicts_with = "connection_password_file")]
    pub ask_pass: bool,
    /// File with the connection password
    #[arg(long, visible_alias = "conn-pass-file", value_name = "FILE")]
    pub connection_password_file: Option<String>,
    /// Connect as this user
    #[arg(short, long = "user", value_name = "REMOTE_USER")]
    pub user: Option<String>,
    /// Use this file to authenticate the connection
    #[arg(long, visible_alias = "key-file", value_name = "PRIVATE_KEY_FILE")]
    pub private_key: Option<PathBuf>,
    /// ssh (also as `smart` and `paramiko`) or local
    #[arg(short, long, value_name = "CONNECTION")]
    pub connection: Option<String>,
    /// Seconds to wait for a connection
    #[arg(short = 'T', long, value_name = "TIMEOUT")]
    pub timeout: Option<u64>,
    /// Options of ssh (-o Key=Value, -J, -i)
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub ssh_common_args: Option<String>,
    /// As --ssh-common-args
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub ssh_extra_args: Option<String>,
    /// Without effect: nothing goes through sftp
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub sftp_extra_args: Option<String>,
    /// Without effect: nothing goes through scp
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub scp_extra_args: Option<String>,
    /// Folders with modules of one's own, before those of ansible.cfg
    #[arg(short = 'M', long, value_name = "MODULE_PATH")]
    pub module_path: Option<String>,
    /// As --ask-vault-pass
    #[arg(short = 'J', hide = true)]
    pub ask_vault_short: bool,
    #[command(flatten)]
    pub passwords: VaultPasswords,
    /// More messages; may be repeated
    #[arg(short, long = "verbose", action = ArgAction::Count)]
    pub verbose: u8,
}
