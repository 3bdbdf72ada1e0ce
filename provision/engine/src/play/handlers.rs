//! Handlers: who is notified, when they run, and that no notification is lost.

use std::sync::Arc;

use provision_plan::{HostIndex, Position};
use provision_playbook::model::{Handler, Task};

use super::PlayRun;
use crate::cursor::{Cursor, Items};

/// The name by which a handler is remembered on hosts between runs.
fn key_of(handler: &Handler) -> String {
    let name = handler
        .task
        .name
        .as_ref()
        .and_then(yaml::Node::as_str)
        .unwrap_or(&handler.task.module_written);
    match handler.task.context.role() {
        Some(role) => format!("{} : {name}", role.role.name),
        None => name.to_owned(),
    }
}

impl PlayRun<'_> {
    /// A changed result notifies the task's handlers.
    pub(super) fn notify(&mut self, index: HostIndex, task: &Arc<Task>) {
        let numbers = self.notified_by(index, task);
        if let Some(host) = self.hosts.get_mut(index.0) {
            host.notified.extend(numbers);
        }
    }

    /// Numbers of the handlers that a task notifies. A name means the last handler of that name;
    /// a topic means all that listen.
    fn notified_by(&mut self, index: HostIndex, task: &Arc<Task>) -> Vec<u32> {
        if task.notify.is_empty() {
            return Vec::new();
        }
        let mut numbers = Vec::new();
        for node in &task.notify.clone() {
            let Ok(value) = self.evaluator(index, task).value(node) else { continue };
            let names: Vec<String> = match value.kind() {
                minijinja::value::ValueKind::Seq => value
                    .try_iter()
                    .into_iter()
                    .flatten()
                    .map(|name| provision_template::text_of(&name))
                    .collect(),
                _ => vec![provision_template::text_of(&value)],
            };
            for name in names {
                let found = self.handlers_named(&name);
                if found.is_empty() {
                    self.shared.report.warn(
                        None,
                        format!("the notified handler `{name}` is not a handler of this play"),
                    );
                }
                numbers.extend(found);
            }
        }
        numbers
    }

    fn handlers_named(&self, name: &str) -> Vec<u32> {
        let numbered = || {
            self.handlers
                .iter()
                .enumerate()
                .map(|(number, handler)| (u32::try_from(number).unwrap_or(u32::MAX), handler))
        };
        let named = numbered().rfind(|(_, handler)| handler.is_named(name));
        let listening = numbered().filter(|(_, handler)| handler.listens_to(name));
        let mut numbers: Vec<u32> = listening.map(|(number, _)| number).collect();
        numbers.extend(named.map(|(number, _)| number));
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Names under which the host remembers the handlers that a call may notify.
    pub(super) fn handler_keys(&mut self, index: HostIndex, task: &Arc<Task>) -> Vec<String> {
        let numbers = self.notified_by(index, task);
        numbers
            .into_iter()
            .filter_map(|number| self.handlers.get(number as usize).map(|h| key_of(h)))
            .collect()
    }

    /// What the host forgets when the handler at (or around) a task has run.
    pub(super) fn keys_of_handler(&self, cursor: &Cursor) -> Vec<String> {
        let number = cursor.handler().map(|(number, _)| number);
        let handler = number.and_then(|number| self.handlers.get(number as usize));
        handler.map(|handler| key_of(handler)).into_iter().collect()
    }

    /// Handlers that an earlier run left notified on this host count as notified now.
    pub(super) fn take_left_notified(&mut self, index: HostIndex) {
        let Some(name) = self.host(index).map(|host| host.variables.name.clone()) else { return };
        let Some(left) = self.shared.left_notified.get_mut(&name) else { return };
        let mut taken = Vec::new();
        for (number, handler) in self.handlers.iter().enumerate() {
            let key = key_of(handler);
            if left.remove(&key) {
                taken.push((u32::try_from(number).unwrap_or(u32::MAX), key));
            }
        }
        for (number, key) in taken {
            self.shared.report.warn(
                Some(&name),
                format!("an earlier run was cut off before its handler `{key}` ran; it runs now"),
            );
            if let Some(host) = self.hosts.get_mut(index.0) {
                host.notified.insert(number);
            }
        }
    }

    /// A flush point: goes into the notified handlers. False if results are still awaited.
    pub(super) fn flush(&mut self, index: HostIndex, position: &Position) -> bool {
        let Some(host) = self.hosts.get_mut(index.0) else { return false };
        if !host.flights.is_empty() || !host.connected || !self.dispatcher.may_send(index).is_go() {
            return false;
        }
        let notified = host.notified.clone();
        let chained = notified.iter().any(|number| {
            self.handlers
                .get(*number as usize)
                .is_some_and(|handler| !handler.task.notify.is_empty())
        });
        let wanted: Vec<(u32, Arc<Handler>)> = self
            .handlers
            .iter()
            .enumerate()
            .map(|(number, handler)| (u32::try_from(number).unwrap_or(u32::MAX), handler.clone()))
            .filter(|(number, _)| notified.contains(number) || (chained && !notified.is_empty()))
            .collect();
        let Some(host) = self.hosts.get_mut(index.0) else { return false };
        host.ahead = None;
        if wanted.is_empty() {
            host.cursor.advance();
        } else {
            host.cursor.enter(Items::Handlers(Arc::new(wanted)), position.clone());
        }
        self.passed(index);
        true
    }

    /// Whether the handler that the host stands at is (still) notified.
    pub(super) fn handler_still_wanted(&self, index: HostIndex) -> bool {
        let Some(host) = self.host(index) else { return false };
        match host.cursor.handler() {
            Some((number, true)) => host.notified.contains(&number),
            // Inside what a handler included, everything runs.
            Some((_, false)) | None => true,
        }
    }

    /// Whether a handler that is on its way may yet notify another one.
    pub(super) fn may_still_be_notified(&self, index: HostIndex) -> bool {
        self.host(index)
            .is_some_and(|host| host.flights.iter().any(|flight| !flight.task.notify.is_empty()))
    }

    /// The handler that the host stands at runs: it is not notified any more. A task that a
    /// handler included is not a handler of its own.
    pub(super) fn handler_runs(&mut self, index: HostIndex) {
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        if let Some((number, true)) = host.cursor.handler() {
            host.notified.remove(&number);
        }
    }
}
