//! `[pure]` Request traces: texts of several formats → arrivals in order of time.
//!
//! A trace is read from whatever the caller opened. Two ways:
//!
//! - [`read`] reads a whole trace of any [`Format`] and sorts it if it must;
//! - [`Stream`] gives one request after another with memory that doesn't grow with the trace: only
//!   names are kept, rows that may have to be put into order (up to half a million), and the counts
//!   of formats that have counts.
//!
//! What a foreign format doesn't say isn't invented: a [`Request`] has a service time, a size or a
//! tenant only if its row has one. Rows that a format marks as failed or cancelled are left out and
//! counted in [`Trace::left_out`].

mod csv_lines;
mod csv_rows;
mod detect;
mod error;
mod fields;
mod foreign;
mod lines;
mod minutes;
mod names;
mod number;
mod packed;
mod profile;
mod quoted;
mod row;
mod stream;

pub use csv_rows::{Column, Role, Unit};
pub use detect::{Format, detect};
pub use error::{Fault, TraceError};
pub use names::{Name, Names};
pub use packed::Packer;
pub use profile::{CommandProfile, Profile, SHARES};
pub use row::{Class, LeftOut, Options, Order, Request, Trace};
pub use stream::{Stream, read};
