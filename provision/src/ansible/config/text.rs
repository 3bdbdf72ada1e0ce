//! The text of an ansible.cfg: sections and values, as Python's `configparser` reads them.

/// Something that is written in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its line, from 1.
    pub line: usize,
    /// What it is.
    pub what: What,
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A value.
    Value {
        /// Section.
        section: String,
        /// Name, in small letters.
        name: String,
        /// Value; lines that are indented belong to it.
        value: String,
    },
    /// Neither a section nor a value.
    Nonsense(String),
}

/// All entries, in order.
pub fn entries(text: &str) -> Vec<Entry> {
    let mut section = String::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut continues = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        let is_indented = line.starts_with([' ', '\t']);
        let bare = without_comment(line);
        if bare.is_empty() {
            continue;
        }
        if is_indented
            && continues
            && let Some(Entry { what: What::Value { value, .. }, .. }) = entries.last_mut()
        {
            value.push('\n');
            value.push_str(bare);
            continue;
        }
        continues = false;
        if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim().to_owned();
            continue;
        }
        let what = match bare.split_once(['=', ':']) {
            Some((name, value)) if !section.is_empty() && !name.trim().is_empty() => {
                continues = true;
                What::Value {
                    section: section.clone(),
                    name: name.trim().to_lowercase(),
                    value: value.trim().to_owned(),
                }
            }
            _ => What::Nonsense(bare.to_owned()),
        };
        entries.push(Entry { line: number + 1, what });
    }
    entries
}

/// Without what stands behind ` ;`, and nothing of a line that begins with `#` or `;`.
fn without_comment(line: &str) -> &str {
    let bare = line.trim();
    if bare.starts_with(['#', ';']) {
        return "";
    }
    match bare.find(" ;") {
        Some(at) => bare.get(..at).unwrap_or(bare).trim_end(),
        None => bare,
    }
}
