//! Inventories in INI format, line by line as Ansible's `ini` plugin reads them.

use diagnostics::{Diagnostic, SourceId, Span, closest};
use indexmap::IndexMap;
use yaml::Node;

use super::UNGROUPED;
use super::load::Loader;
use super::{literal, shell_words};

/// What the lines of a section are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hosts,
    Children,
    Vars,
}

/// A group that was mentioned before a section of its own.
enum Pending {
    /// As a child, of these groups at these places.
    Child(Vec<(String, Span)>),
    /// By a section of variables.
    Vars(Span),
}

/// Reads a text into the inventory.
pub(super) fn read(text: &str, source: SourceId, loader: &mut Loader<'_>) {
    let mut reader = Reader {
        loader,
        group: UNGROUPED.to_owned(),
        kind: Some(Kind::Hosts),
        pending: IndexMap::new(),
    };
    let mut offset = 0;
    for line in text.split_inclusive(['\n', '\r']) {
        let content = line.trim_start_matches('\u{feff}').trim();
        if !content.is_empty() && !content.starts_with([';', '#']) {
            let start = offset + line.find(content).unwrap_or(0);
            reader.line(Line {
                text: content,
                span: Span::new(source, start, start + content.len()),
            });
        }
        offset += line.len();
    }
    reader.finish();
}

/// A line without surrounding blanks.
#[derive(Clone, Copy)]
struct Line<'text> {
    text: &'text str,
    span: Span,
}

struct Reader<'loader, 'run> {
    loader: &'loader mut Loader<'run>,
    group: String,
    /// Nothing behind a section header that is wrong: its lines are skipped.
    kind: Option<Kind>,
    pending: IndexMap<String, Pending>,
}

impl Reader<'_, '_> {
    fn line(&mut self, line: Line<'_>) {
        if let Some((name, tag)) = section(line.text) {
            return self.section(line, name, tag);
        }
        if line.text.starts_with('[') && line.text.ends_with(']') {
            self.kind = None;
            return self.loader.report(
                Diagnostic::error("inventory-section", "this is no section header")
                    .at(line.span, "expected `[group]`, `[group:children]` or `[group:vars]`")
                    .hint("remove spaces and further colons from the name"),
            );
        }
        match self.kind {
            Some(Kind::Hosts) => self.hosts(line),
            Some(Kind::Children) => self.child(line),
            Some(Kind::Vars) => self.variable(line),
            None => {}
        }
    }

    fn section(&mut self, line: Line<'_>, name: &str, tag: Option<&str>) {
        let span = line.span.slice(1, name.len());
        self.group = name.to_owned();
        self.kind = match tag {
            None | Some("hosts") => Some(Kind::Hosts),
            Some("children") => Some(Kind::Children),
            Some("vars") => Some(Kind::Vars),
            Some(tag) => {
                let near = closest(tag, ["children", "vars", "hosts"]);
                let hint = near.map(|near| format!("did you mean `[{name}:{near}]`?"));
                self.loader.report(
                    Diagnostic::error(
                        "inventory-section",
                        format!("unknown kind of section `{tag}`"),
                    )
                    .at(line.span.slice(name.len() + 2, tag.len()), "expected `children` or `vars`")
                    .hint_if(hint),
                );
                None
            }
        };
        let is_vars = self.kind == Some(Kind::Vars);
        if self.loader.inventory.add_group(name, Some(span))
            && is_vars
            && !self.pending.contains_key(name)
        {
            self.pending.insert(name.to_owned(), Pending::Vars(span));
        }
        if !is_vars && let Some(Pending::Child(parents)) = self.pending.shift_remove(name) {
            for (parent, span) in parents {
                self.loader.add_child(&parent, name, span);
            }
        }
    }

    fn hosts(&mut self, line: Line<'_>) {
        let words = match shell_words::split(line.text) {
            Ok(words) => words,
            Err(unclosed) => {
                let (what, at) = match unclosed {
                    shell_words::Unclosed::Quote(at) => ("this quote is never closed", at),
                    shell_words::Unclosed::Escape(at) => ("this backslash escapes nothing", at),
                };
                return self.loader.report(
                    Diagnostic::error("inventory-quote", what)
                        .at(line.span.slice(at, 1), "on this line")
                        .hint("close the quote; put values with quotes inside into the other kind of quotes"),
                );
            }
        };
        let Some((first, assignments)) = words.split_first() else { return };
        let span = line.span.slice(first.start, first.end - first.start);
        let mut variables = Vec::new();
        for word in assignments {
            let span = line.span.slice(word.start, word.end - word.start);
            match word.text.split_once('=') {
                Some((key, value)) => variables.push(assignment(line, word, key, value)),
                None => self.loader.report(
                    Diagnostic::error(
                        "inventory-variable",
                        format!("`{}` is no assignment", word.text),
                    )
                    .at(span, "expected `name=value`")
                    .hint("write no spaces around `=`, and quote values that contain spaces"),
                ),
            }
        }
        if let Some(pattern) = self.loader.expand(&first.text, span) {
            let group = self.group.clone();
            self.loader.add_hosts(&pattern, &group, variables);
        }
    }

    fn variable(&mut self, line: Line<'_>) {
        let Some((key, value)) = line.text.split_once('=') else {
            return self.loader.report(
                Diagnostic::error("inventory-variable", "this line assigns nothing")
                    .at(line.span, "expected `name=value`")
                    .hint(format!(
                        "hosts belong into `[{}]`, groups into `[{}:children]`",
                        self.group, self.group
                    )),
            );
        };
        let (key, value) = (key.trim(), value.trim());
        let value_span = line.span.slice(line.text.len() - value.len(), value.len());
        let key = Node::string(line.span.slice(0, key.len()), key);
        let group = self.group.clone();
        self.loader.set_variable(&group, key, literal::evaluate(value, value_span));
    }

    fn child(&mut self, line: Line<'_>) {
        let name = line.text.split_once('#').map_or(line.text, |(name, _)| name).trim_end();
        let span = line.span.slice(0, name.len());
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || matches!(c, ':' | ']')) {
            return self.loader.report(
                Diagnostic::error("inventory-child", "expected the name of a group")
                    .at(span, "one name per line")
                    .hint(format!("hosts and their variables belong into `[{}]`", self.group)),
            );
        }
        if self.loader.inventory.group(name).is_some() {
            let group = self.group.clone();
            return self.loader.add_child(&group, name, span);
        }
        let parent = (self.group.clone(), span);
        match self.pending.entry(name.to_owned()).or_insert_with(|| Pending::Child(Vec::new())) {
            Pending::Child(parents) => parents.push(parent),
            Pending::Vars(_) => {}
        }
    }

    /// Reports groups that got no section.
    fn finish(self) {
        let known: Vec<String> =
            self.loader.inventory.groups().map(|group| group.name.to_string()).collect();
        for (name, pending) in self.pending {
            let (span, message) = match pending {
                Pending::Vars(span) => {
                    (span, format!("variables for group `{name}`, which does not exist"))
                }
                Pending::Child(parents) => match parents.first() {
                    Some((_, span)) => (*span, format!("child group `{name}` does not exist")),
                    None => continue,
                },
            };
            let others = known.iter().map(String::as_str).filter(|known| *known != name);
            let hint = match closest(&name, others) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add a section `[{name}]`"),
            };
            self.loader.report(
                Diagnostic::error("inventory-group", message)
                    .at(span, "no section defines it")
                    .hint(hint),
            );
        }
    }
}

/// Name and tag of `[name]` or `[name:tag]`, optionally with a comment behind it.
fn section(line: &str) -> Option<(&str, Option<&str>)> {
    let (inside, behind) = line.strip_prefix('[')?.split_once(']')?;
    let behind = behind.trim_start();
    let (name, tag) = match inside.split_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (inside, None),
    };
    let word = |tag: &str| {
        !tag.is_empty()
            && tag.chars().all(|character| character.is_alphanumeric() || character == '_')
    };
    let fits = !name.is_empty()
        && !name.contains(char::is_whitespace)
        && tag.is_none_or(word)
        && (behind.is_empty() || behind.starts_with('#'));
    fits.then_some((name, tag))
}

/// The nodes of `name=value` on a host line.
fn assignment(line: Line<'_>, word: &shell_words::Word, key: &str, value: &str) -> (Node, Node) {
    let span = line.span.slice(word.start, word.end - word.start);
    let raw = line.text.get(word.start..word.end).unwrap_or("");
    let behind = raw.find('=').map_or(raw.len(), |at| at + 1);
    let key = Node::string(span.slice(0, behind.saturating_sub(1)), key);
    (key, literal::evaluate(value, span.slice(behind, raw.len() - behind)))
}
