//! Hosts that can't be reached while their tasks say `ignore_unreachable`.

use provision_plan::HostIndex;
use provision_protocol::Object;

use super::{AheadKind, PlayRun};

impl PlayRun<'_> {
    /// Whether a host that can't be reached goes on, because the task that it is at says so. That
    /// task ends as ignored; what comes next tries to reach the host again.
    pub(super) fn goes_on_unreachable(&mut self, index: HostIndex, message: &str) -> bool {
        let Some(host) = self.host(index) else { return false };
        let session = host.session.clone();
        let front = host.flights.front().map(|flight| flight.token);
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
        let behind: Vec<u64> = self
            .host(index)
            .map(|host| host.flights.iter().map(|flight| flight.token).collect())
            .unwrap_or_default();
        for token in behind {
            self.send_items(index, token);
        }
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
