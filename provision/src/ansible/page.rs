//! Where Ansible's format goes: lines in Ansible's colours, banners, warnings.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};

use crate::paint::harmless;

/// Colours, by the codes that Ansible's defaults have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// As it should be.
    Ok,
    /// Changed.
    Changed,
    /// Skipped, included, ignored.
    Skipped,
    /// Failed.
    Failed,
    /// Unreachable.
    Unreachable,
    /// Attempts and places.
    Debug,
    /// Warnings.
    Warning,
    /// None.
    Plain,
}

impl Colour {
    fn code(self) -> Option<&'static str> {
        match self {
            Colour::Ok => Some("0;32"),
            Colour::Changed => Some("0;33"),
            Colour::Skipped => Some("0;36"),
            Colour::Failed => Some("0;31"),
            Colour::Unreachable => Some("1;31"),
            Colour::Debug => Some("1;30"),
            Colour::Warning => Some("1;35"),
            Colour::Plain => None,
        }
    }
}

/// Columns of a banner where nobody says how wide the output is.
const PLAIN_COLUMNS: usize = 79;
/// A banner has at least this many stars.
const STARS_LEAST: usize = 3;

/// The two streams of a run.
pub struct Page {
    out: Box<dyn Write + Send>,
    errors: Box<dyn Write + Send>,
    /// Whether there are colours.
    pub coloured: bool,
    columns: usize,
    warned: BTreeSet<String>,
}

impl Page {
    /// On standard output and error. `wanted`: what the user says of colours.
    pub fn standard(wanted: Option<bool>) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let columns = match crossterm::terminal::size() {
            Ok((columns, _)) if is_terminal => usize::from(columns).saturating_sub(1),
            _ => PLAIN_COLUMNS,
        };
        Page {
            columns: columns.max(PLAIN_COLUMNS),
            ..Page::on(
                Box::new(std::io::stdout()),
                Box::new(std::io::stderr()),
                wanted.unwrap_or(is_terminal),
            )
        }
    }

    /// On any streams.
    pub fn on(out: Box<dyn Write + Send>, errors: Box<dyn Write + Send>, coloured: bool) -> Self {
        Page { out, errors, coloured, columns: PLAIN_COLUMNS, warned: BTreeSet::new() }
    }

    /// A text in a colour, line by line as Ansible does it.
    pub fn paint(&self, colour: Colour, text: &str) -> String {
        match colour.code().filter(|_| self.coloured) {
            Some(code) => {
                let lines = text.split('\n').map(|line| format!("\u{1b}[{code}m{line}\u{1b}[0m"));
                lines.collect::<Vec<_>>().join("\n")
            }
            None => text.to_owned(),
        }
    }

    /// Lines on standard output; the text is harmless already.
    pub fn say(&mut self, text: &str) {
        // Whoever closes our output early has seen enough; the run goes on.
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    /// Lines on standard error; the text is harmless already.
    pub fn tell(&mut self, text: &str) {
        let _ = writeln!(self.errors, "{text}").and_then(|()| self.errors.flush());
    }

    /// A heading with stars behind it.
    pub fn banner(&mut self, text: &str) {
        let text = harmless(text).replace('\n', " ");
        let stars = self.columns.saturating_sub(text.chars().count()).max(STARS_LEAST);
        self.say(&format!("\n{text} {}", "*".repeat(stars)));
    }

    /// A warning, once.
    pub fn warn(&mut self, text: &str) {
        let text = format!("[WARNING]: {}", harmless(text));
        if self.warned.insert(text.clone()) {
            let painted = self.paint(Colour::Warning, &text);
            self.tell(&painted);
        }
    }

    /// What ends everything.
    pub fn error(&mut self, text: &str) {
        let painted = self.paint(Colour::Failed, &format!("ERROR! {}", harmless(text)));
        self.tell(&painted);
    }
}
