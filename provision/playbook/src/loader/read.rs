//! Reads files, each one once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Diagnostic, Source, SourceId, Span};
use yaml::{Mapping, Node, NodeValue, Schema};

use crate::files::FileKind;
use crate::loader::Loader;
use crate::paths::normal;
use crate::vault::{keep_secrets, plain_text};

/// A file that was read.
#[derive(Debug, Clone)]
pub(super) enum Loaded {
    /// Its only document.
    Document(Arc<Node>),
    /// It holds nothing.
    Empty(SourceId),
    /// It can't be used, and the reasons have been reported.
    Failed,
}

impl Loader {
    /// The document in a file. `asked` is where the user asked for it.
    pub(super) fn document(&mut self, path: &Path, asked: Option<Span>) -> Loaded {
        let key = normal(path);
        if let Some(loaded) = self.documents.get(&key) {
            return loaded.clone();
        }
        let loaded = self.read_document(path, asked);
        // A file that isn't there is reported wherever it is asked for.
        if !matches!(loaded, Loaded::Failed) || self.files.kind(path).is_some() {
            self.documents.insert(key, loaded.clone());
        }
        loaded
    }

    fn read_document(&mut self, path: &Path, asked: Option<Span>) -> Loaded {
        let text = match self.files.read(path) {
            Ok(text) => text,
            Err(reason) => {
                self.unreadable(path, &reason, asked);
                return Loaded::Failed;
            }
        };
        let name = path.display().to_string();
        let files = Arc::clone(&self.files);
        let (text, source) = match plain_text(files.as_ref(), &mut self.sources, name, text) {
            Ok(plain) => (plain.text, plain.source),
            Err(diagnostic) => {
                self.report(*diagnostic);
                return Loaded::Failed;
            }
        };
        let read = yaml::read(&text, source, Schema::Ansible);
        let usable = read.is_usable();
        for diagnostic in read.diagnostics {
            self.report(diagnostic);
        }
        let mut documents = read.documents.into_iter();
        let first = documents.next();
        if let Some(second) = documents.next() {
            self.report(
                Diagnostic::error("several-documents", "a file holds one YAML document only")
                    .at(second.span, "another document begins here")
                    .hint("remove the `---` before it, or move it into a file of its own"),
            );
        }
        match first {
            Some(node) if node.is_null() && usable => Loaded::Empty(source),
            Some(node) => Loaded::Document(Arc::new(node)),
            None if usable => Loaded::Empty(source),
            None => Loaded::Failed,
        }
    }

    fn unreadable(&mut self, path: &Path, reason: &str, asked: Option<Span>) {
        let name = shown(path);
        let diagnostic = match self.files.kind(path) {
            None => Diagnostic::error("missing-file", format!("there is no file `{name}`")),
            Some(FileKind::Folder) => {
                Diagnostic::error("not-a-file", format!("`{name}` is a folder"))
            }
            Some(FileKind::File) => {
                Diagnostic::error("unreadable-file", format!("`{name}` can't be read"))
                    .note(reason.to_owned())
            }
        };
        let diagnostic = match asked {
            Some(span) => diagnostic.at(span, "asked for here"),
            None => diagnostic,
        };
        let hint = self.similar_file(path);
        self.report(diagnostic.hint_if(hint));
    }

    /// A file of a similar name in the same folder.
    pub(crate) fn similar_file(&self, path: &Path) -> Option<String> {
        let wanted = path.file_stem()?.to_str()?;
        let mut entries = self.files.list(path.parent()?);
        entries.retain(|entry| entry.file_name() != path.file_name());
        // Endings are so alike that they would make strangers similar.
        let stems = entries.iter().filter_map(|entry| entry.file_stem()?.to_str());
        let closest = diagnostics::closest(wanted, stems)?;
        let same =
            |entry: &&PathBuf| entry.file_stem().and_then(|stem| stem.to_str()) == Some(closest);
        let name = entries.iter().find(same)?.file_name()?.to_str()?;
        Some(format!("did you mean `{name}`, which is in the same folder?"))
    }

    /// The document of a file of requirements; `None` if it is empty or can't be used.
    pub(crate) fn requirements_file(&mut self, path: &Path) -> Option<Arc<Node>> {
        match self.document(path, None) {
            Loaded::Document(node) => Some(node),
            Loaded::Empty(_) | Loaded::Failed => None,
        }
    }

    /// A file with a list (tasks, handlers, plays); `None` if it is empty or unusable.
    pub(super) fn list_file(&mut self, path: &Path, asked: Option<Span>) -> Option<Arc<Node>> {
        match self.document(path, asked) {
            Loaded::Failed => None,
            Loaded::Empty(_) => {
                let message = format!("`{}` is empty", path.display());
                let diagnostic = Diagnostic::warning("empty-file", message);
                self.report(match asked {
                    Some(span) => diagnostic.at(span, "nothing to run here"),
                    None => diagnostic,
                });
                None
            }
            Loaded::Document(node) if node.as_sequence().is_some() => Some(node),
            Loaded::Document(node) => {
                self.report(
                    Diagnostic::error(
                        "not-a-list",
                        format!("a file of tasks holds a list, not {}", node.kind()),
                    )
                    .at(node.span.slice(0, 0), "the list should begin here")
                    .hint("begin each task with `- `"),
                );
                None
            }
        }
    }

    /// A file of variables; empty if it is empty or unusable.
    pub(crate) fn variables_file(&mut self, path: &Path, asked: Option<Span>) -> Mapping {
        match self.document(path, asked) {
            Loaded::Failed | Loaded::Empty(_) => Mapping::default(),
            Loaded::Document(node) => match &node.value {
                NodeValue::Mapping(mapping) => {
                    if self.sources.get(node.span.source).is_some_and(Source::is_secret) {
                        keep_secrets(self.files.as_ref(), mapping);
                    }
                    self.check_variable_names(mapping);
                    self.check_values(mapping);
                    mapping.clone()
                }
                _ => {
                    self.report(
                        Diagnostic::error(
                            "not-a-mapping",
                            format!("a file of variables holds a mapping, not {}", node.kind()),
                        )
                        .at(node.span.slice(0, 0), "`name: value` lines should begin here"),
                    );
                    Mapping::default()
                }
            },
        }
    }

    /// The text of a template file.
    pub(crate) fn template_text(&mut self, path: &Path) -> Option<(Arc<str>, SourceId)> {
        let key = normal(path);
        if let Some(known) = self.template_files.get(&key) {
            return known.clone();
        }
        let name = path.display().to_string();
        let files = Arc::clone(&self.files);
        let text = match files.read(path) {
            Ok(text) => match plain_text(files.as_ref(), &mut self.sources, name, text) {
                Ok(plain) => Some((plain.text, plain.source)),
                Err(diagnostic) => {
                    self.report(*diagnostic);
                    None
                }
            },
            Err(_) => None,
        };
        self.template_files.insert(key, text.clone());
        text
    }
}

/// A path as messages name it: the folder of the run is `.`.
fn shown(path: &Path) -> String {
    match path.as_os_str().is_empty() {
        true => ".".to_owned(),
        false => path.display().to_string(),
    }
}
