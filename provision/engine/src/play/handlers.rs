//! Handlers: who is notified, when they run, and that no notification is lost.

use std::sync::Arc;

use provision_plan::{HostIndex, Position};
use provision_playbook::model::{Handler, Task};

use super::PlayRun;
use super::flight::{Ended, Flight};
use crate::cursor::Items;
use crate::event::Status;

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
        let (numbers, unknown) = self.notified_by(index, task);
        for name in unknown {
            let text = format!("the notified handler `{name}` is not a handler of this play");
            self.shared.report.warn(None, text);
        }
        if let Some(host) = self.hosts.get_mut(index.0) {
            host.notified.extend(numbers);
        }
    }

    /// Numbers of the handlers that a task notifies, and names that mean none. A name means the
    /// last handler of that name; a topic means all that listen.
    fn notified_by(&self, index: HostIndex, task: &Arc<Task>) -> (Vec<u32>, Vec<String>) {
        let (mut numbers, mut unknown) = (Vec::new(), Vec::new());
        for node in &task.notify {
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
                    unknown.push(name);
                }
                numbers.extend(found);
            }
        }
        (numbers, unknown)
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
    pub(super) fn handler_keys(&self, index: HostIndex, task: &Arc<Task>) -> Vec<String> {
        let (numbers, _) = self.notified_by(index, task);
        numbers.into_iter().filter_map(|number| self.key_of_number(number)).collect()
    }

    /// The name under which the host remembers a handler.
    pub(super) fn key_of_number(&self, number: u32) -> Option<String> {
        self.handlers.get(usize::try_from(number).ok()?).map(|handler| key_of(handler))
    }

    /// Which handler the host stands at; `None`: at a task, also one that a handler included.
    pub(super) fn handler_number(&self, index: HostIndex) -> Option<u32> {
        let frame = self.host(index)?.cursor.frames().last()?;
        match &frame.items {
            Items::Handlers(handlers) => handlers.get(frame.next).map(|(number, _)| *number),
            _ => None,
        }
    }

    /// The host is told what a task has notified that the host itself couldn't know or record:
    /// after `changed_when`, from another host, for all hosts of a `run_once` task.
    pub(super) fn remember_notified(&mut self, index: HostIndex, task: &Arc<Task>) {
        let keys = self.handler_keys(index, task);
        let Some(host) = self.hosts.get(index.0).filter(|_| !keys.is_empty()) else { return };
        self.shared.pool.handlers(&host.session.clone(), keys, Vec::new());
    }

    /// What the end of a task means for what the host remembers.
    pub(super) fn settle_handlers(&mut self, index: HostIndex, flight: &Flight, ended: &Ended) {
        if self.shared.world.settings.check {
            return;
        }
        let is_ignored = ended.status == Status::Ignored;
        let settled_by_host = flight.is_settled_by_host() && !is_ignored;
        if !flight.claims.is_empty() && !settled_by_host {
            if ended.notify {
                self.remember_notified(index, &flight.task);
            } else if let Some(host) = self.hosts.get_mut(index.0) {
                host.recorded.extend(flight.claims.iter().cloned());
            }
        }
        match flight.handler {
            Some(number) if is_ignored || !flight.is_completed_by_host() => {
                self.handler_done(index, number)
            }
            _ => self.withdraw_handlers(index),
        }
    }

    /// A handler is over on a host: it needn't be remembered there.
    pub(super) fn handler_done(&mut self, index: HostIndex, number: u32) {
        let key = self.key_of_number(number);
        if let Some(host) = self.hosts.get_mut(index.0) {
            host.recorded.extend(key);
        }
        self.withdraw_handlers(index);
    }

    /// Behind the last task that a handler included.
    pub(super) fn leave_handlers(&mut self, index: HostIndex) {
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        // What is still under way may fail; then the handler is remembered.
        if host.flights.is_empty() {
            for number in std::mem::take(&mut host.entered_handlers) {
                self.handler_done(index, number);
            }
        }
    }

    /// Has the host forget what it remembers in vain. What a task under way may notify stays, and
    /// is looked at again when that task ends.
    fn withdraw_handlers(&mut self, index: HostIndex) {
        let Some(host) = self.host(index).filter(|host| !host.recorded.is_empty()) else { return };
        let notified: Vec<String> =
            host.notified.iter().filter_map(|number| self.key_of_number(*number)).collect();
        let is_open = |key: &String| {
            notified.contains(key) || host.flights.iter().any(|flight| flight.claims.contains(key))
        };
        let forgotten: Vec<String> =
            host.recorded.iter().filter(|key| !is_open(key)).cloned().collect();
        let session = host.session.clone();
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        host.recorded.retain(|key| !forgotten.contains(key) && !notified.contains(key));
        if !forgotten.is_empty() && !self.shared.world.settings.check {
            self.shared.pool.handlers(&session, Vec::new(), forgotten);
        }
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

    /// Whether the handler at this position is (still) notified on the host.
    pub(super) fn handler_still_wanted(&self, index: HostIndex, position: &Position) -> bool {
        let Some(host) = self.host(index) else { return false };
        let directly = host
            .cursor
            .frames()
            .last()
            .is_some_and(|frame| matches!(frame.items, Items::Handlers(_)));
        let number = position.numbers().last().copied().unwrap_or(u32::MAX);
        // Inside what a handler included, everything runs.
        !directly || host.notified.contains(&number)
    }

    /// Whether a handler that is on its way may yet notify another one.
    pub(super) fn may_still_be_notified(&self, index: HostIndex) -> bool {
        self.host(index)
            .is_some_and(|host| host.flights.iter().any(|flight| !flight.task.notify.is_empty()))
    }

    /// A handler runs: it is not notified any more.
    pub(super) fn handler_runs(&mut self, index: HostIndex, number: u32) {
        if let Some(host) = self.hosts.get_mut(index.0) {
            host.notified.remove(&number);
        }
    }
}
