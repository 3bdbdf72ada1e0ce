//! The command line of `provision lint`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::arguments::{Colour, VaultPasswords};

/// How findings are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: each with the line that it is about.
    Text,
    /// One JSON object, for programs.
    Json,
}

/// Check playbooks, roles and inventories; touch nothing.
#[derive(Debug, Clone, Args)]
pub struct Lint {
    /// Playbooks, and folders of roles [default: playbooks/main.yml]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Inventory: its variables count as defined; may be repeated
    #[arg(short, long, value_name = "SOURCE")]
    pub inventory: Vec<String>,
    /// Variables that count as defined: name=value, a mapping in YAML or JSON, or @FILE
    #[arg(short, long, value_name = "VARS")]
    pub extra_vars: Vec<String>,
    /// Where roles are besides `roles/` beside the playbook
    #[arg(long, value_delimiter = ':', value_name = "FOLDERS")]
    pub roles_path: Vec<PathBuf>,
    /// How to show what is found
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Leave out warnings with these codes
    #[arg(long, value_delimiter = ',', value_name = "CODES")]
    pub skip: Vec<String>,
    /// Do not list where the classic and the strict dialect differ
    #[arg(long)]
    pub no_dialects: bool,
    #[command(flatten)]
    pub passwords: VaultPasswords,
    /// When to colour
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Colour,
}
