//! Files that tasks send or read: a constant name must exist.

use std::path::Path;

use diagnostics::{Diagnostic, Span};
use yaml::{Node, NodeValue};

use crate::check::survey::{Survey, Surveyed, constant, softened};
use crate::loader::{Loader, constant_boolean};
use crate::model::Task;
use crate::templating::TextKind;
use crate::vault::{SECRET_FILE_BYTES, refused};

/// A file on the controller that a task needs.
struct Needed<'a> {
    subfolder: &'static str,
    name: &'a str,
    node: &'a Node,
    kind: Needs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    File,
    Template,
    Variables,
}

impl Loader {
    /// Reports files that are missing, templates with syntax errors and unusable variables.
    pub(crate) fn check_files(&mut self, survey: &Survey) {
        for Surveyed { task, guarded } in &survey.tasks {
            let Some(needed) = needed(task) else { continue };
            let soft = *guarded || task.repeat.is_some() || survey.acts_locally;
            self.check_needed(task, &needed, soft);
        }
    }

    fn check_needed(&mut self, task: &Task, needed: &Needed<'_>, soft: bool) {
        let name = needed.name;
        let path = match self.search(task, needed.subfolder, name) {
            Ok(path) => path,
            Err(tried) => {
                let hint = tried.iter().find_map(|path| self.similar_file(path));
                let searched: Vec<String> =
                    tried.iter().map(|path| path.display().to_string()).collect();
                let diagnostic =
                    Diagnostic::error("missing-file", format!("there is no file `{name}`"))
                        .at(needed.node.span, "not found")
                        .note(format!("searched: {}", searched.join(", ")))
                        .hint_if(hint);
                self.report(if soft { softened(diagnostic) } else { diagnostic });
                return;
            }
        };
        match needed.kind {
            Needs::Template if !self.is_folder(&path) && !has_own_brackets(task) => {
                self.check_template_file(&path, needed.node.span, soft);
            }
            Needs::Variables => {
                let asked = Some(needed.node.span);
                self.leniently(soft, |loader| loader.variables_file(&path, asked));
            }
            Needs::File if !self.is_folder(&path) && decrypts(task) => {
                self.check_encrypted_file(&path, needed.node.span, soft);
            }
            _ => {}
        }
    }
}

impl Loader {
    /// Reports an encrypted file that none of the passwords opens.
    fn check_encrypted_file(&mut self, path: &Path, asked: Span, soft: bool) {
        if !self.files().is_encrypted(path) {
            return;
        }
        // What can't be read now is reported by the task.
        let Ok(text) = self.files().read(path) else { return };
        let error = match self.files().open_vault(&text) {
            Err(error) => error,
            Ok(opened) => {
                // Known from the beginning: a host may have it already and show it.
                let plain = opened.expose_text().filter(|plain| plain.len() <= SECRET_FILE_BYTES);
                plain.into_iter().for_each(|plain| self.files().keep_secret(plain));
                return;
            }
        };
        let name = path.display().to_string();
        let source = self.sources_mut().add(name.clone(), text.as_str());
        let span = Span::new(source, 0, text.len());
        let diagnostic =
            refused(&format!("`{name}`"), &text, span, &error).also(asked, "used here");
        self.report(if soft { softened(diagnostic) } else { diagnostic });
    }

    /// Reports a syntax error of a template file.
    fn check_template_file(&mut self, path: &Path, asked: Span, soft: bool) {
        let Some((text, source)) = self.template_text(path) else { return };
        let Some(fault) = self.fault_of(&text, TextKind::File) else { return };
        let (start, end) = fault.range.unwrap_or((0, 0));
        let diagnostic = Diagnostic::error("template-syntax", fault.message)
            .at(Span::new(source, start, end), "in this template")
            .also(asked, "used here")
            .hint_if(fault.hint);
        self.report(if soft { softened(diagnostic) } else { diagnostic });
    }
}

/// The file on the controller that a task needs, if its name is a constant.
fn needed(task: &Task) -> Option<Needed<'_>> {
    let get = |name: &str| {
        let arguments = task.arguments.parameters.iter();
        let mut found = arguments.filter(|(key, value)| {
            let key = key.as_str().unwrap_or_default();
            let canonical = task.module.parameter(key).map(|parameter| parameter.name);
            (key == name || canonical == Some(name)) && !value.is_null()
        });
        found.next().map(|(_, value)| value)
    };
    // A template may say that the file is on the host.
    let on_host = match get("remote_src") {
        None => Some(false),
        Some(node) => constant_boolean(Some(node)),
    };
    let (subfolder, parameter, kind) = match task.module.name {
        "copy" => ("files", "src", Needs::File),
        "unarchive" => ("files", "src", Needs::File),
        "template" => ("templates", "src", Needs::Template),
        "script" => ("files", "cmd", Needs::File),
        "include_vars" => ("vars", "file", Needs::Variables),
        _ => return None,
    };
    if on_host != Some(false) {
        return None;
    }
    let node = get(parameter)?;
    let text = constant(node)?;
    let name = match task.module.name {
        "script" => text.split_whitespace().next()?,
        _ => text,
    };
    let elsewhere = name.contains("://") || name.starts_with(['~', '"', '\'']);
    let is_text = matches!(node.value, NodeValue::String(_));
    (is_text && !elsewhere && !name.is_empty()).then_some(Needed { subfolder, name, node, kind })
}

/// Whether a task decrypts its file: yes, unless it says otherwise or only the run can tell.
fn decrypts(task: &Task) -> bool {
    match task.arguments.parameters.get("decrypt") {
        None => task.arguments.splat.is_none(),
        Some(node) => constant_boolean(Some(node)) == Some(true),
    }
}

/// Whether a template task says what its brackets look like: only the run can read the file.
pub(crate) fn has_own_brackets(task: &Task) -> bool {
    let options = ["variable_start_string", "block_start_string", "comment_start_string"];
    let ends = ["variable_end_string", "block_end_string", "comment_end_string"];
    let parameters = &task.arguments.parameters;
    task.arguments.splat.is_some()
        || options.iter().chain(&ends).any(|name| parameters.get(name).is_some())
}
