//! The command line of `provision doc`.

use clap::{Args, ValueEnum};

use crate::arguments::Colour;

/// How modules are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object, for programs.
    Json,
}

/// Show what modules take and return, and what differs from Ansible.
#[derive(Debug, Clone, Args)]
pub struct Doc {
    /// Modules
    #[arg(value_name = "MODULE", required_unless_present = "list")]
    pub modules: Vec<String>,
    /// All modules, a line each
    #[arg(short, long, conflicts_with = "modules")]
    pub list: bool,
    /// How to show them
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// When to colour
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Colour,
}
