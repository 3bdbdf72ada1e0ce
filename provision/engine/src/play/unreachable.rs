//! Hosts that can't be reached while their tasks say `ignore_unreachable`, or don't need them yet.

use std::collections::HashSet;

use provision_plan::HostIndex;
use provision_playbook::model::Task;
use provision_protocol::Object;
use provision_protocol::modules::Runs;

use super::{AheadKind, HostRun, PlayRun};
use crate::evaluate::ItemStep;

impl PlayRun<'_> {
    /// Whether a host that can't be reached goes on, because the task that it is at says so. That
    /// task ends as ignored; what comes next tries to reach the host again.
    pub(super) fn goes_on_unreachable(&mut self, index: HostIndex, message: &str) -> bool {
        let Some(host) = self.host(index) else { return false };
        let session = host.session.clone();
        let front = host.flights.front().map(|flight| flight.token);
        if is_not_needed_yet(host) {
            self.shared.pool.forget_lost(&session);
            if let Some(host) = self.hosts.get_mut(index.0) {
                host.connected = true;
            }
            self.send_what_was_lost(index);
            self.wake(index);
            return true;
        }
        let ignores = match (host.flights.front(), host.ahead.as_ref().map(|ahead| &ahead.kind)) {
            (Some(flight), _) => flight.plan.keywords.ignore_unreachable,
            (None, Some(AheadKind::Task { task, .. })) => {
                self.evaluator(index, task).ignores_unreachable()
            }
            (None, Some(AheadKind::Flush) | None) => false,
        };
        if !ignores {
            return false;
        }
        self.shared.pool.forget_lost(&session);
        if let Some(host) = self.hosts.get_mut(index.0) {
            // A flush does not wait for what the host may say of an earlier run.
            host.connected = true;
        }
        if let Some(token) = front {
            self.end_unreachable(index, token, message);
        }
        self.wake(index);
        true
    }

    /// Ends a task whose host could not be reached, and sends again what was sent behind it.
    fn end_unreachable(&mut self, index: HostIndex, token: u64, message: &str) {
        let Some(flight) = self.flight_mut(index, token) else { return };
        flight.plan.keywords.ignore_errors = true;
        // A role that could not begin runs where it is named again.
        let role = flight.begins_role;
        let result = unreachable_result(message);
        for slot in flight.results.iter_mut().filter(|slot| slot.is_none()) {
            *slot = Some((result.clone(), 0));
        }
        if let (Some(role), Some(host)) = (role, self.hosts.get_mut(index.0)) {
            host.roles_run.remove(&role);
        }
        self.complete(index, token);
        self.send_what_was_lost(index);
    }

    /// Sends the calls of a host that nobody carries out any more.
    fn send_what_was_lost(&mut self, index: HostIndex) {
        let under_way: HashSet<(u64, usize)> = self
            .owners
            .values()
            .filter(|owner| owner.host == index)
            .map(|owner| (owner.token, owner.item))
            .collect();
        let flights: Vec<u64> = self
            .host(index)
            .map(|host| host.flights.iter().map(|flight| flight.token).collect())
            .unwrap_or_default();
        for token in flights {
            self.send_items_but(index, token, &under_way);
        }
    }
}

/// Whether what a host is at can do without it: other hosts work for it, or it is waited for. As in
/// Ansible, a host is reached when it is needed: a play may begin with making the machine.
fn is_not_needed_yet(host: &HostRun) -> bool {
    let name = host.variables.name.as_str();
    let is_elsewhere = |step: &ItemStep| match step {
        ItemStep::Invoke(call) => call.local || call.delegate.as_deref().is_some_and(|d| d != name),
        ItemStep::Later => false,
        _ => true,
    };
    let waits = |task: &Task| task.module.name == "wait_for_connection";
    match (host.flights.front(), host.ahead.as_ref().map(|ahead| &ahead.kind)) {
        (Some(flight), _) => {
            let mut steps = host.flights.iter().flat_map(|flight| &flight.plan.items);
            waits(&flight.task) || steps.all(|item| is_elsewhere(&item.step))
        }
        (None, Some(AheadKind::Task { task, .. })) => {
            let delegated = task.context.innermost(|level| level.delegate_to.as_ref());
            let on_controller = task.module.runs == Runs::OnController || task.include.is_some();
            waits(task) || delegated.is_some() || on_controller
        }
        (None, Some(AheadKind::Flush)) => host.notified.is_empty(),
        (None, None) => host.at_end,
    }
}

/// The result of a task whose host could not be reached.
pub(super) fn unreachable_result(message: &str) -> Object {
    let mut result = Object::new();
    result.insert("changed".into(), false.into());
    result.insert("failed".into(), true.into());
    result.insert("unreachable".into(), true.into());
    result.insert("msg".into(), format!("Failed to connect to the host via ssh: {message}").into());
    result
}
