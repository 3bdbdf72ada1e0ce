//! Text on a terminal: colour as decoration only, and nothing from instances that could steer it.

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

const BAD: Style = AnsiColor::Red.on_default().bold();
const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
const STRONG: Style = Style::new().bold();

/// An error, and what to do about it.
pub fn error(message: &str, hint: Option<&str>) {
    tell!("{BAD}error:{BAD:#} {}", harmless(message));
    if let Some(hint) = hint {
        tell!("{STRONG}hint:{STRONG:#} {}", harmless(hint));
    }
}

/// A warning that has no place in a file.
pub fn warning(message: &str) {
    tell!("{DOUBTFUL}warning:{DOUBTFUL:#} {}", harmless(message));
}

/// Errors and warnings with their places.
pub fn diagnostics(diagnostics: &[Diagnostic], sources: &Sources) {
    if !diagnostics.is_empty() {
        // Where colours are not wanted, anstream takes them out again.
        tell!("{}\n", render_all(diagnostics, sources, diagnostics::Style::Coloured));
    }
}

/// Text from elsewhere, with everything that a terminal would obey made visible. Line ends stay.
pub fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => safe.push(character),
            '\r' => {}
            character if character.is_control() || is_bidirectional(character) => {
                safe.extend(character.escape_unicode());
            }
            character => safe.push(character),
        }
    }
    safe
}

/// Characters that reorder text: they can make output say something else than it does.
fn is_bidirectional(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn instances_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[31mb\r\n\u{202e}c\u{7}"), "a\\u{1b}[31mb\n\\u{202e}c\\u{7}");
    }
}
