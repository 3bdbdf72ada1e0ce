//! Which module a task calls, and its arguments in all the forms Ansible has for them.

use std::sync::Arc;

use diagnostics::{Diagnostic, Span};
use provision_protocol::modules::{self, FreeForm, ModuleSpec};
use yaml::{Mapping, Node, NodeValue};

use crate::arguments::{KeepsWords, Offsets, Pairs, parse_pairs, split};
use crate::keywords::{self, Places};
use crate::loader::own::Called;
use crate::loader::{Loader, Surroundings, present};
use crate::model::{Arguments, overlay};
use crate::own::OwnModule;
use crate::templating::is_template;

/// A module call as written.
#[derive(Debug)]
pub(super) struct Action {
    pub(super) module: &'static ModuleSpec,
    /// The program, if the module is one of the user's own.
    pub(super) own: Option<Arc<OwnModule>>,
    pub(super) written: String,
    pub(super) span: Span,
    pub(super) arguments: Arguments,
    /// `local_action`.
    pub(super) local: bool,
    /// The key was `include`, which Ansible no longer has.
    pub(super) old_include: bool,
}

/// Modules that take only some `k=v` words out of their text (Ansible's `FREEFORM_ACTIONS`).
const COMMAND_MODULES: &[&str] = &["command", "raw", "script", "shell"];

/// Whether a key of a task is not the name of its module.
pub(super) fn is_task_key(name: &str) -> bool {
    name.starts_with("with_") || keywords::find(name, Places::HANDLER).is_some()
}

impl Loader {
    /// The module call of a task; reports and answers `None` if there is none, or several.
    pub(super) fn action(
        &mut self,
        task: &Mapping,
        span: Span,
        around: &Surroundings,
    ) -> Option<Action> {
        let mut found: Vec<(&Node, &Node, Called)> = Vec::new();
        let mut unknown: Vec<(&Node, &Node)> = Vec::new();
        for (key, value) in task.iter() {
            let Some(name) = key.as_str().filter(|name| !is_task_key(name)) else { continue };
            let looked_up = if name == "include" { "include_tasks" } else { name };
            match self.called(looked_up, key.span, around) {
                Some(called) => found.push((key, value, called)),
                None => unknown.push((key, value)),
            }
        }
        let old = self.old_action(task, around);
        match (found.as_slice(), old) {
            ([], OldAction::None) => {
                self.no_action(task, span, &unknown);
                None
            }
            ([(key, value, called)], OldAction::None) => {
                let module = called.module;
                let key = (*key).clone();
                let written = key.as_str().unwrap_or_default();
                for (other, _) in &unknown {
                    let name = other.as_str().unwrap_or_default();
                    self.unknown_keyword(name, other, Places::TASK, Some(module));
                }
                let arguments = self.arguments(module, value, task)?;
                Some(Action {
                    module,
                    own: called.own.clone(),
                    written: written.to_owned(),
                    span: key.span,
                    arguments,
                    local: false,
                    old_include: written == "include",
                })
            }
            ([], OldAction::Found(action)) => {
                for (other, _) in &unknown {
                    let name = other.as_str().unwrap_or_default();
                    self.unknown_keyword(name, other, Places::TASK, Some(action.module));
                }
                Some(*action)
            }
            ([], OldAction::Failed) => None,
            ([(first, ..), rest @ ..], _) => {
                let second = rest.first().map(|(key, ..)| *key);
                let second = second.or_else(|| {
                    task.get_entry("action").or(task.get_entry("local_action")).map(|(key, _)| key)
                });
                self.two_actions(first, second);
                None
            }
        }
    }

    fn two_actions(&mut self, first: &Node, second: Option<&Node>) {
        let name = |node: &Node| node.as_str().unwrap_or_default().to_owned();
        let second = second.unwrap_or(first);
        self.report(
            Diagnostic::error(
                "two-modules",
                format!(
                    "a task calls one module, not both `{}` and `{}`",
                    name(first),
                    name(second)
                ),
            )
            .at(second.span, "another module")
            .also(first.span, "the first module")
            .hint("begin a new task with `- `, or fix the indentation if it is a parameter"),
        );
    }

    /// Reports why no key of a task names a module.
    fn no_action(&mut self, task: &Mapping, span: Span, unknown: &[(&Node, &Node)]) {
        let known = || keywords::names(Places::TASK);
        // The module is the unknown key that looks least like a slip of a keyword.
        let likeliest = unknown.iter().position(|(key, value)| {
            let name = key.as_str().unwrap_or_default();
            value.as_mapping().is_some()
                || name.contains('.')
                || diagnostics::closest(name, known()).is_none()
        });
        for (at, (key, _)) in unknown.iter().enumerate() {
            let name = key.as_str().unwrap_or_default();
            if likeliest.unwrap_or(0) == at {
                self.unknown_module(name, key.span);
            } else {
                self.unknown_keyword(name, key, Places::TASK, None);
            }
        }
        if unknown.is_empty() {
            let at = task.iter().next().map_or(span, |(key, _)| key.span);
            let hint = match task.get("args") {
                Some(_) => "write the module's name before its arguments",
                None => "name a module: `command: …`, `copy: …`",
            };
            self.report(
                Diagnostic::error("no-module", "the task calls no module")
                    .at(at, "this task")
                    .hint(hint),
            );
        }
    }

    /// Reports a module that doesn't exist here.
    pub(super) fn unknown_module(&mut self, name: &str, span: Span) {
        let short = name.rsplit('.').next().unwrap_or(name);
        let names = || {
            modules::all().flat_map(|m| std::iter::once(m.name).chain(m.aliases.iter().copied()))
        };
        if crate::unsupported::is_of_ansible(name) {
            let diagnostic = Diagnostic::error(
                "unsupported-module",
                format!("provision does not have the module `{name}` yet"),
            )
            .at(span, "a module of Ansible");
            self.report(diagnostic.hint(crate::unsupported::advice(short)));
            return;
        }
        let diagnostic =
            Diagnostic::error("unknown-module", format!("there is no module `{name}`"))
                .at(span, "unknown module");
        let diagnostic = match diagnostics::closest(short, names()) {
            Some(closest) => diagnostic.hint(format!("did you mean `{closest}`?")),
            None if name.contains('.') => diagnostic
                .note("it is not installed in a folder of collections either")
                .hint("`ansible-galaxy collection install` it, or name its folder: --collections-path"),
            None => diagnostic.hint("`provision doc --list` shows the modules there are"),
        };
        self.report(diagnostic);
    }

    /// `action:` and `local_action:`.
    fn old_action(&mut self, task: &Mapping, around: &Surroundings) -> OldAction {
        let (local, (key, value)) = match (task.get_entry("action"), task.get_entry("local_action"))
        {
            (None, None) => return OldAction::None,
            (Some(entry), None) => (false, entry),
            (None, Some(entry)) => (true, entry),
            (Some((first, _)), Some((second, _))) => {
                self.two_actions(first, Some(second));
                return OldAction::Failed;
            }
        };
        let action = match &value.value {
            NodeValue::String(text) => self.action_text(text, value, task, around),
            NodeValue::Mapping(mapping) => self.action_mapping(mapping, key, task, around),
            _ => {
                self.report(
                    Diagnostic::error("no-module", "an action names a module")
                        .at(value.span, format!("this is {}", value.kind()))
                        .hint("write `action: module key=value`, or the module as the key"),
                );
                None
            }
        };
        match action {
            Some(action) => OldAction::Found(Box::new(Action { local, ..action })),
            None => OldAction::Failed,
        }
    }

    /// `action: copy src=a dest=b`.
    fn action_text(
        &mut self,
        text: &str,
        value: &Node,
        task: &Mapping,
        around: &Surroundings,
    ) -> Option<Action> {
        let offsets = Offsets::of(value, &self.sources);
        let first = match split(text) {
            Ok(words) => words.into_iter().next()?,
            Err(unbalanced) => {
                self.unbalanced(unbalanced.open, offsets.span(unbalanced.at, unbalanced.at + 1));
                return None;
            }
        };
        let name = first.text.trim();
        let span = offsets.span(first.start, first.start + name.len());
        let called = self.module_of_action(name, span, around)?;
        let rest = text.get(first.end..).unwrap_or("");
        let own = self.text_arguments(called.module, rest, first.end, &offsets, value.span)?;
        let arguments = self.with_args(own, task)?;
        Some(self.finished(called, name, span, arguments))
    }

    /// `action: { module: copy, src: a, dest: b }`.
    fn action_mapping(
        &mut self,
        mapping: &Mapping,
        key: &Node,
        task: &Mapping,
        around: &Surroundings,
    ) -> Option<Action> {
        let Some(node) = present(mapping, "module") else {
            self.report(
                Diagnostic::error("no-module", "the action names no module")
                    .at(key.span, "`module:` is missing below")
                    .hint("write the module's name as the key instead: `copy:`"),
            );
            return None;
        };
        let text = node.as_str()?;
        // A template is one word, whatever blanks it has.
        let first = split(text).ok().and_then(|words| words.into_iter().next());
        let (name, end) = match &first {
            Some(first) => (first.text.trim(), first.end),
            None => (text.trim(), text.len()),
        };
        let called = self.module_of_action(name, node.span, around)?;
        let offsets = Offsets::of(node, &self.sources);
        let rest = text.get(end..).unwrap_or("");
        let mut own = self.text_arguments(called.module, rest, end, &offsets, node.span)?;
        let keys =
            mapping.iter().filter(|(key, _)| !matches!(key.as_str(), Some("module" | "args")));
        let mut merged = Mapping { entries: keys.map(|(k, v)| (k.clone(), v.clone())).collect() };
        if let Some(inner) = mapping.get("args").and_then(Node::as_mapping) {
            overlay(&mut merged, inner);
        }
        overlay(&mut merged, &own.parameters);
        own.parameters = merged;
        let arguments = self.with_args(own, task)?;
        Some(self.finished(called, name, node.span, arguments))
    }

    fn module_of_action(
        &mut self,
        name: &str,
        span: Span,
        around: &Surroundings,
    ) -> Option<Called> {
        if is_template(name) {
            return Some(Called { module: &modules::TEMPLATED, own: None });
        }
        let called = self.called(name, span, around);
        if called.is_none() {
            self.unknown_module(name, span);
        }
        called
    }

    fn finished(
        &mut self,
        called: Called,
        written: &str,
        span: Span,
        mut arguments: Arguments,
    ) -> Action {
        let Called { module, own } = called;
        self.rename_raw(module, &mut arguments.parameters);
        Action {
            module,
            own,
            written: written.to_owned(),
            span,
            arguments,
            local: false,
            old_include: false,
        }
    }

    /// The arguments below a module's name, together with `args:`.
    fn arguments(
        &mut self,
        module: &'static ModuleSpec,
        value: &Node,
        task: &Mapping,
    ) -> Option<Arguments> {
        let own = match &value.value {
            NodeValue::Null => Arguments::default(),
            NodeValue::Mapping(mapping) => Arguments { parameters: mapping.clone(), splat: None },
            NodeValue::String(text) => {
                let offsets = Offsets::of(value, &self.sources);
                self.text_arguments(module, text, 0, &offsets, value.span)?
            }
            _ => {
                let hint = match module.free_form {
                    FreeForm::No | FreeForm::AnyKey => "write `name: value` lines below it",
                    FreeForm::Into(_) | FreeForm::Verbatim(_) => "quote the text",
                };
                self.report(
                    Diagnostic::error(
                        "wrong-type",
                        format!("a module takes a mapping or text, not {}", value.kind()),
                    )
                    .at(value.span, "expected arguments")
                    .hint(hint),
                );
                return None;
            }
        };
        let mut arguments = self.with_args(own, task)?;
        self.rename_raw(module, &mut arguments.parameters);
        Some(arguments)
    }

    /// Adds `args:`, which the module's own arguments override.
    fn with_args(&mut self, own: Arguments, task: &Mapping) -> Option<Arguments> {
        let Some(args) = present(task, "args") else { return Some(own) };
        match &args.value {
            NodeValue::Mapping(mapping) => {
                let mut merged = mapping.clone();
                overlay(&mut merged, &own.parameters);
                Some(Arguments { parameters: merged, splat: own.splat })
            }
            NodeValue::String(text) if is_template(text) && own.splat.is_none() => {
                Some(Arguments { parameters: own.parameters, splat: Some(args.clone()) })
            }
            _ => {
                self.report(
                    Diagnostic::error(
                        "wrong-type",
                        format!("`args` takes a mapping or a template, not {}", args.kind()),
                    )
                    .at(args.span, "expected a mapping")
                    .hint("for the value of a variable write `\"{{ name }}\"`"),
                );
                None
            }
        }
    }

    /// An argument string by the module's rules. `from` is where it begins in its scalar.
    fn text_arguments(
        &mut self,
        module: &'static ModuleSpec,
        text: &str,
        from: usize,
        offsets: &Offsets,
        whole: Span,
    ) -> Option<Arguments> {
        let span = |range: (usize, usize)| offsets.span(range.0 + from, range.1 + from);
        if let FreeForm::Verbatim(parameter) = module.free_form {
            let trimmed = text.trim();
            let value = Node::string(whole, trimmed);
            let entries = if trimmed.is_empty() {
                Vec::new()
            } else {
                vec![(Node::string(whole, parameter), value)]
            };
            return Some(Arguments { parameters: Mapping { entries }, splat: None });
        }
        let keeps = if COMMAND_MODULES.contains(&module.name) {
            KeepsWords::Unknown
        } else {
            KeepsWords::None
        };
        let Pairs { pairs, text: rest } = match parse_pairs(text, keeps) {
            Ok(parsed) => parsed,
            Err(unbalanced) => {
                self.unbalanced(unbalanced.open, span((unbalanced.at, unbalanced.at + 1)));
                return None;
            }
        };
        let mut parameters = Mapping::default();
        for pair in pairs {
            let key = Node::string(span(pair.key_range), pair.key.as_str());
            let value = Node::string(span(pair.value_range), pair.value.as_str());
            put(&mut parameters, key, value);
        }
        let mut splat = None;
        if let Some((rest, range)) = rest {
            let node = Node::string(span(range), rest.as_str());
            match module.free_form {
                FreeForm::Into(parameter) => {
                    put(&mut parameters, Node::string(node.span, parameter), node);
                }
                _ if rest.trim().is_empty() => {}
                _ if is_template(&rest) => splat = Some(node),
                _ => {
                    self.extra_text(module, &node);
                    return None;
                }
            }
        }
        Some(Arguments { parameters, splat })
    }

    fn extra_text(&mut self, module: &'static ModuleSpec, node: &Node) {
        let word = node.as_str().unwrap_or_default().trim().to_owned();
        self.report(
            Diagnostic::error(
                "extra-text",
                format!("`{}` takes `key=value` pairs, and `{word}` is not one", module.name),
            )
            .at(node.span, "no `=` in it")
            .hint("quote values with blanks: `key='a b'`; or write `key: value` lines"),
        );
    }

    fn unbalanced(&mut self, open: &'static str, span: Span) {
        self.report(
            Diagnostic::error("unbalanced", format!("`{open}` is opened but never closed"))
                .at(span, "opened in this word")
                .hint(
                    "if it is meant as text, write the module's arguments as `name: value` lines",
                ),
        );
    }

    /// `_raw_params` is how Ansible calls free-form text inside a mapping.
    fn rename_raw(&mut self, module: &'static ModuleSpec, parameters: &mut Mapping) {
        let parameter = match module.free_form {
            FreeForm::Into(parameter) | FreeForm::Verbatim(parameter) => parameter,
            FreeForm::No | FreeForm::AnyKey => return,
        };
        for (key, _) in &mut parameters.entries {
            if matches!(key.as_str(), Some("_raw_params")) {
                key.value = NodeValue::String(parameter.into());
            }
        }
        let mut given =
            parameters.entries.iter().filter(|(key, _)| key.as_str() == Some(parameter));
        if let (Some((first, _)), Some((second, _))) = (given.next(), given.next()) {
            let (first, second) = (first.span, second.span);
            self.report(
                Diagnostic::error("two-commands", format!("`{}` is given twice", parameter))
                    .at(second, "again here")
                    .also(first, "first here"),
            );
        }
    }
}

enum OldAction {
    None,
    Failed,
    Found(Box<Action>),
}

/// Puts a key, in the place of an older one.
fn put(mapping: &mut Mapping, key: Node, value: Node) {
    match mapping.entries.iter_mut().find(|(old, _)| old.as_str() == key.as_str()) {
        Some(entry) => *entry = (key, value),
        None => mapping.entries.push((key, value)),
    }
}
