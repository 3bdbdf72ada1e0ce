//! Handlers: who is notified, when they run, and that no notification is lost.

use std::sync::Arc;

use provision_plan::{HostIndex, Position};
use provision_playbook::model::{Handler, Task};

use provision_protocol::Call;

use super::{Pass, PlayRun, RanHandler};
use crate::cursor::{Cursor, Items};
use crate::evaluate::Evaluator;
use crate::variables::View;

/// What a task notifies.
#[derive(Default)]
struct Notified {
    /// Handlers.
    numbers: Vec<u32>,
    /// Names and topics that no handler answers to.
    unknown: Vec<String>,
    /// Why handlers can't be found by their names.
    complaints: Vec<String>,
}

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
    /// A changed result notifies the task's handlers. `recorded`: the call that changed something
    /// has made the host remember them already.
    pub(super) fn notify(
        &mut self,
        index: HostIndex,
        task: &Arc<Task>,
        view: View,
        recorded: bool,
    ) {
        let notified = self.notified_by(index, task, view);
        for complaint in notified.complaints {
            self.shared.report.warn(None, complaint);
        }
        for name in notified.unknown {
            let message = format!(
                "The requested handler '{name}' was not found in either the main handlers list \
                 nor in the listening handlers list"
            );
            if self.shared.world.settings.customs.forgives_missing_handlers {
                self.shared.report.warn(None, message);
            } else {
                // As in Ansible it ends the run for all.
                self.shared.error.get_or_insert(message);
                self.shared.interrupts = self.shared.interrupts.max(1);
            }
        }
        let numbers = notified.numbers;
        if !recorded {
            let keys = self.keys_of(&numbers);
            self.remember(index, keys, Vec::new());
        }
        if let Some(host) = self.hosts.get_mut(index.0) {
            host.notified.extend(numbers);
        }
    }

    /// What a host may remember because a call changed something, while the task as a whole did
    /// not (`changed_when`, an ignored or rescued failure), is to be forgotten.
    pub(super) fn withdraw(&mut self, index: HostIndex, task: &Arc<Task>, view: View) {
        let numbers = self.notified_by(index, task, view).numbers;
        if let Some(host) = self.hosts.get_mut(index.0) {
            host.recorded.extend(numbers);
        }
    }

    /// Has a host forget what is to be forgotten. What is sent now arrives behind tasks that are
    /// under way: one of them may just have notified the same handler, so it waits for them.
    pub(super) fn forget_withdrawn(&mut self, index: HostIndex) {
        if self.may_still_be_notified(index) {
            return;
        }
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        let mut numbers = std::mem::take(&mut host.recorded);
        numbers.retain(|number| !host.notified.contains(number));
        let keys = self.keys_of(&numbers.into_iter().collect::<Vec<u32>>());
        self.remember(index, Vec::new(), keys);
    }

    /// Has a host remember or forget handlers, behind everything that was sent to it.
    fn remember(&mut self, index: HostIndex, notify: Vec<String>, completes: Vec<String>) {
        let checks = self.shared.world.settings.check;
        let Some(host) = self.host(index) else { return };
        if checks || (notify.is_empty() && completes.is_empty()) {
            return;
        }
        let session = host.session.clone();
        let call = Call::remembering(notify, completes);
        self.shared.pool.send(&session, call, Vec::new());
    }

    fn keys_of(&self, numbers: &[u32]) -> Vec<String> {
        let handlers = numbers.iter().filter_map(|number| self.handlers.get(*number as usize));
        handlers.map(|handler| key_of(handler)).collect()
    }

    /// What a task notifies. A name means one handler of that name; a topic means all that listen.
    fn notified_by(&self, index: HostIndex, task: &Arc<Task>, view: View) -> Notified {
        let mut notified = Notified::default();
        if task.notify.is_empty() {
            return notified;
        }
        let evaluator = Evaluator::new(task, view);
        for node in &task.notify {
            let Ok(value) = evaluator.value(node) else { continue };
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
                let found = self.handlers_named(index, &name, &mut notified.complaints);
                if found.is_empty() {
                    notified.unknown.push(name);
                }
                notified.numbers.extend(found);
            }
        }
        notified
    }

    fn handlers_named(
        &self,
        index: HostIndex,
        name: &str,
        complaints: &mut Vec<String>,
    ) -> Vec<u32> {
        let numbered = || {
            self.handlers
                .iter()
                .enumerate()
                .map(|(number, handler)| (u32::try_from(number).unwrap_or(u32::MAX), handler))
        };
        let list = |handler: &Arc<Handler>| handler.task.context.role().map(|role| role.identity);
        let mut lists = Vec::new();
        for (_, handler) in numbered() {
            if !lists.contains(&list(handler)) {
                lists.push(list(handler));
            }
        }
        // The list that was loaded last wins, and in it the first of that name.
        let in_turn = lists
            .iter()
            .rev()
            .flat_map(|one| numbered().filter(move |(_, handler)| list(handler) == *one));
        let named = in_turn
            .clone()
            .find(|(_, handler)| self.is_named(index, handler, name, complaints))
            .map(|(number, _)| number);
        // Of those that listen and have one name, one runs: a role that several roles depend on
        // brings its handlers each time.
        let mut names: Vec<&str> = Vec::new();
        let mut numbers: Vec<u32> = Vec::new();
        for (number, handler) in in_turn.clone().filter(|(_, handler)| handler.listens_to(name)) {
            match handler.task.name.as_ref().and_then(yaml::Node::as_str) {
                Some(of_handler) if names.contains(&of_handler) => continue,
                of_handler => names.extend(of_handler),
            }
            numbers.push(number);
        }
        numbers.extend(named);
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Whether a notification means a handler's name; a template in it is evaluated when somebody
    /// looks for it.
    fn is_named(
        &self,
        index: HostIndex,
        handler: &Arc<Handler>,
        notification: &str,
        complaints: &mut Vec<String>,
    ) -> bool {
        let Some(node) = handler.task.name.as_ref() else { return false };
        if !provision_template::has_template(node) {
            return handler.is_named(notification);
        }
        match self.evaluator(index, &handler.task).value(node) {
            Ok(name) => handler.is_meant_by(&provision_template::text_of(&name), notification),
            Err(stop) => {
                if handler.listen.is_empty() {
                    let name = node.as_str().unwrap_or_default();
                    complaints.push(format!(
                        "Handler '{name}' is unusable: it listens to no topic, and its name can't \
                         be evaluated: {}",
                        stop.message()
                    ));
                }
                false
            }
        }
    }

    /// Names under which the host remembers the handlers that a call may notify.
    pub(super) fn handler_keys(&mut self, index: HostIndex, task: &Arc<Task>) -> Vec<String> {
        let view = self.view(index, task);
        let numbers = self.notified_by(index, task, view).numbers;
        self.keys_of(&numbers)
    }

    /// What the host forgets when the handler at (or around) a task has run.
    pub(super) fn keys_of_handler(&self, cursor: &Cursor) -> Vec<String> {
        let number = cursor.handler().map(|(number, _)| number);
        let handler = number.and_then(|number| self.handlers.get(number as usize));
        handler.map(|handler| key_of(handler)).into_iter().collect()
    }

    /// Handlers that an earlier run left notified on this host count as notified now.
    pub(super) fn take_left_notified(&mut self, index: HostIndex) {
        if self.leaves_handlers {
            return;
        }
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

    /// If the current step is a handler, it runs and is not notified any more. `in_call`: its own
    /// call makes the host forget it.
    pub(super) fn handler_runs(&mut self, index: HostIndex, position: &Position, in_call: bool) {
        let Some(host) = self.host(index) else { return };
        let Some((number, true)) = host.cursor.handler() else { return };
        let keys = self.keys_of_handler(&host.cursor);
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        host.notified.remove(&number);
        if !in_call {
            host.ran_handlers.extend(keys.into_iter().map(|key| (position.clone(), key)));
        }
    }

    /// If a flush is behind the host, what ran in it is to be forgotten when it can't fail any
    /// more.
    pub(super) fn end_flush(&mut self, index: HostIndex) {
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        let Some((last, _)) = host.ran_handlers.last() else { return };
        if host.cursor.is_in_flush() {
            return;
        }
        // Behind all handlers of the flush and everything that they included.
        let (_, flush) = last.numbers().split_last().unwrap_or((&0, &[]));
        let flush = flush.iter().fold(Position::root(), |position, number| position.child(*number));
        let position = flush.child(u32::MAX);
        let completes = std::mem::take(&mut host.ran_handlers);
        let token = host.next_token;
        host.next_token += 1;
        host.passes.push_back(Pass { position, token, effect: None, completes });
        if host.flights.is_empty() {
            self.settle_passes(index);
        }
    }

    /// Handlers that have run are forgotten.
    pub(super) fn forget_handlers(&mut self, index: HostIndex, ran: Vec<RanHandler>) {
        let keys = ran.into_iter().map(|(_, key)| key).collect();
        self.remember(index, Vec::new(), keys);
    }
}
