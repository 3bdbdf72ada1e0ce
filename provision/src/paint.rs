//! Text on a terminal: colour as decoration only, and nothing from hosts that could steer it.

use std::fmt::Arguments;
use std::io::Write;

use anstyle::{AnsiColor, Style};

use crate::arguments::Colour;

/// A line on standard output, like `println!`. Who closes it early has seen enough: a run must not
/// end in its middle because of that.
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

/// Something went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Something changed.
pub const CHANGED: Style = AnsiColor::Yellow.on_default();
/// Something is wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Of less interest.
pub const FAINT: Style = Style::new().dimmed();
/// A heading.
pub const STRONG: Style = Style::new().bold();

/// Text in a style.
pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Text from a host, with everything that a terminal would obey made visible. Line ends stay.
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
pub fn is_bidirectional(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Colours as the operator wants them.
pub fn choose(colour: Colour) {
    match colour {
        Colour::Auto => {}
        Colour::Always => anstream::ColorChoice::Always.write_global(),
        Colour::Never => anstream::ColorChoice::Never.write_global(),
    }
}

/// Something the operator should know.
pub fn warning(host: Option<&str>, message: &str) {
    let host = host.map(|host| format!("{host}: ")).unwrap_or_default();
    tell!("{} {}", styled(CHANGED, "warning:"), harmless(&format!("{host}{message}")));
}

/// An error for the operator.
pub fn error(message: &str, hint: Option<&str>) {
    tell!("{} {}", styled(BAD, "error:"), harmless(message));
    if let Some(hint) = hint {
        tell!("{} {}", styled(STRONG, "hint:"), harmless(hint));
    }
}

/// Something that the operator should know.
pub fn note(message: &str) {
    tell!("{}", harmless(message));
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn hosts_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[31mb\r\n\u{202e}c\u{7}"), "a\\u{1b}[31mb\n\\u{202e}c\\u{7}");
    }
}
