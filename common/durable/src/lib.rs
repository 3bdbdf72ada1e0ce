//! `[io]` Durable files: atomic replacement and checksummed append logs.
//!
//! What a function here reports as done has reached the disk; what it reports as failed has left
//! the old state whole. It never guesses about torn data: a torn tail is cut and counted.

mod log;
mod replacement;

pub use log::{Log, LogError, Opened, read, whole_records};
pub use replacement::{Replacement, sync_directory, write};
