//! Text on a terminal; colour is decoration only.

use std::fmt::Arguments;
use std::io::Write;

use anstyle::{AnsiColor, Style};
use diagnostics::{Diagnostic, Sources, render_all};

/// A line on standard output. Who closes it early has seen enough.
macro_rules! say {
    ($($text:tt)*) => { $crate::paint::say(format_args!($($text)*)) };
}

/// A line on standard error, likewise.
macro_rules! tell {
    ($($text:tt)*) => { $crate::paint::tell(format_args!($($text)*)) };
}

/// See the macro.
pub fn say(text: Arguments<'_>) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// See the macro.
pub fn tell(text: Arguments<'_>) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// An error that has no place in a file.
pub fn error(message: &str) {
    const BAD: Style = AnsiColor::Red.on_default().bold();
    tell!("{BAD}error:{BAD:#} {message}");
}

/// A warning that has no place in a file.
pub fn warning(message: &str) {
    const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
    tell!("{DOUBTFUL}warning:{DOUBTFUL:#} {message}");
}

/// Errors and warnings with their places.
pub fn diagnostics(diagnostics: &[Diagnostic], sources: &Sources) {
    if !diagnostics.is_empty() {
        // Where colours are not wanted, anstream takes them out again.
        tell!("{}\n", render_all(diagnostics, sources, diagnostics::Style::Coloured));
    }
}
