//! The arguments of `provision runs replay`.

use clap::{ArgAction, Args};

use super::pace::Speed;
use crate::arguments::{Colour, Output};

/// Show a run again as it went on.
#[derive(Debug, Clone, Args)]
pub struct Replay {
    /// Its name, or the beginning of it [default: the youngest]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// How fast: 1x as it was, 10x, 0.5x, or `instant`
    #[arg(long, value_name = "SPEED", default_value = "1x")]
    pub speed: Speed,
    /// Only what happened on this host; may be repeated
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Only tasks, or steps of a release, with this in their titles; `*` stands for anything, and
    /// the whole title is meant then
    #[arg(long, value_name = "PATTERN")]
    pub task: Option<String>,
    /// Only what failed
    #[arg(long)]
    pub failed: bool,
    /// How to show it
    #[arg(short, long, value_enum, default_value = "human")]
    pub output: Output,
    /// Say more: results of tasks
    #[arg(short, action = ArgAction::Count)]
    pub verbose: u8,
    /// Show changes of files
    #[arg(short = 'D', long)]
    pub diff: bool,
    /// When to colour
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Colour,
}
