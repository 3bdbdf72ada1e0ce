//! A task that has been sent: taking its results, judging them, and what follows.

use std::time::Duration;

use provision_plan::{HostIndex, Position};
use provision_playbook::model::{RoleIdentity, Task};
use provision_protocol::{Diff, Object};
use provision_template::{Origin, TextClass, Value};
use serde_json::Value as Json;
use std::sync::Arc;

use super::results::{ItemResults, diffs, hide, is_true, join_items, message_of, shown};
use super::{Arrival, Owner, PlayRun};
use crate::cursor::{AfterFailure, Cursor};
use crate::evaluate::{Evaluator, Invocation, ItemStep, LoopItem, Plan, Stop};
use crate::event::{HostResult, Status};
use crate::variables::View;

/// A task on its way on one host.
#[derive(Debug, Clone)]
pub struct Flight {
    pub(crate) position: Position,
    pub(crate) token: u64,
    pub(crate) task: Arc<Task>,
    /// A handler that its one call makes the host forget.
    pub(crate) completes: bool,
    /// Whether a call of its own host said that it changed something.
    pub(crate) raw_changed: bool,
    /// The role of which it is the first task to run.
    pub(crate) begins_role: Option<RoleIdentity>,
    /// Whether its host's helper drops what it was sent behind this.
    pub(crate) dropping: bool,
    /// Cursor at the task, to go back to if it fails.
    pub(crate) cursor: Cursor,
    pub(crate) plan: Plan,
    /// Results of the items so far.
    pub(crate) results: Vec<Option<(Object, u64)>>,
    /// Attempts of the running item (`until`).
    pub(crate) attempts: u64,
    /// Items run one after the other (`until`, `pause`, `break_when`), not all at once.
    pub(crate) one_by_one: bool,
    /// Items whose `break_when` was evaluated.
    pub(crate) looked_at: usize,
    /// Job that is polled.
    pub(crate) job: Option<(String, std::time::Instant)>,
}

impl Flight {
    /// Whether a failure of this call ends what its session does for the host. The controller
    /// goes on by itself after failures that it judges, and where the session isn't the host's.
    pub(super) fn drops_behind(&self, invocation: &Invocation) -> bool {
        let judged = self.task.failed_when.is_some() || self.one_by_one;
        !self.plan.keywords.ignore_errors && !judged && super::send::is_own(invocation)
    }
}

/// The end of a task on a host, before its effects.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub status: Status,
    pub result: Object,
    /// Results of loop items, to be shown before.
    pub items: ItemResults,
    pub message: Option<String>,
    pub register: Option<String>,
    /// Names that `set_fact` sets.
    pub sets: Vec<(String, Value)>,
    /// Variables that `include_vars` brings.
    pub include: Option<crate::variables::Layer>,
    /// Facts, and the host they belong to if another one.
    pub facts: Vec<(Option<String>, Object)>,
    pub diff: Vec<Diff>,
    pub delegate: Option<String>,
    pub duration_us: u64,
    /// Whether handlers are notified.
    pub notify: bool,
    /// Whether the result is what the user's own files say.
    pub is_written: bool,
}

/// Whether what a task returns is what the user's own files say.
pub(super) fn is_written(task: &Task) -> bool {
    matches!(task.module.name, "set_fact" | "include_vars")
}

impl Ended {
    /// Where the texts of the result come from: what `set_fact` and `include_vars` say is the user's.
    pub(super) fn origin(&self) -> Origin {
        Origin::Every(if self.is_written { TextClass::Written } else { TextClass::Unsafe })
    }
}

impl PlayRun<'_> {
    /// A result of a call came in.
    pub(crate) fn arrived(&mut self, owner: Owner, mut result: Object, duration_us: u64) {
        let Some(flight) = self.flight_mut(owner.host, owner.token) else { return };
        let Some(item) = flight.plan.items.get(owner.item).cloned() else { return };
        if let ItemStep::Invoke(invocation) = &item.step {
            for (name, value) in &invocation.result_extra {
                result.entry(name.clone()).or_insert_with(|| value.clone());
            }
            if invocation.module.name == "fetch" && !is_true(&result, "failed") {
                result = super::local::store_fetched(
                    &invocation.arguments,
                    result,
                    &owner_name(self, owner.host),
                );
            }
        }
        if self.poll_further(owner, &mut result) {
            return;
        }
        if self.shared.world.settings.verbosity >= INVOCATIONS_FROM
            && let ItemStep::Invoke(invocation) = &item.step
        {
            result.insert("invocation".into(), super::results::invocation(invocation));
        }
        let Some(flight) = self.flight_mut(owner.host, owner.token) else { return };
        if let ItemStep::Invoke(invocation) = &item.step {
            flight.raw_changed |= super::send::is_own(invocation) && is_true(&result, "changed");
            flight.dropping |= flight.drops_behind(invocation) && is_true(&result, "failed");
        }
        flight.attempts += 1;
        let attempts = flight.attempts;
        let task = flight.task.clone();
        if task.until.is_some() {
            result.insert("attempts".into(), attempts.into());
        }
        match self.judge(owner, &task, &mut result, item.item.as_ref()) {
            Ok(true) => {}
            Ok(false) => {
                let Some(flight) = self.flight_mut(owner.host, owner.token) else { return };
                let keywords = &flight.plan.keywords;
                let common = (keywords.retries, keywords.delay_s);
                let (retries, delay_s) = item
                    .item
                    .as_ref()
                    .and_then(|item| self.evaluator(owner.host, &task).attempts(item))
                    .unwrap_or(common);
                let repeatable = matches!(item.step, ItemStep::Invoke(_));
                if repeatable && attempts <= retries {
                    self.tell_of_retry(owner, attempts, retries + 1 - attempts);
                    let delay = Duration::from_secs_f64(delay_s.clamp(0.0, 86_400.0));
                    self.after(delay, owner.host, owner.token);
                    return;
                }
                // Attempts are exhausted; `failed_when` has the last word.
                if !result.contains_key("failed_when_result") {
                    result.insert("failed".into(), true.into());
                }
                result.insert("attempts".into(), retries.into());
            }
            Err(failure) => {
                let message = failure.get("msg").cloned();
                result.insert("failed".into(), true.into());
                if let Some(message) = message {
                    result.insert("msg".into(), message);
                }
            }
        }
        self.record(owner, result, duration_us);
    }

    fn tell_of_retry(&mut self, owner: Owner, attempts: u64, left: u64) {
        let name = owner_name(self, owner.host);
        let Some(flight) = self.flight_mut(owner.host, owner.token) else { return };
        let position = flight.position.clone();
        self.shared.report.retry(&position, &name, attempts, left);
    }

    /// Stores an item's result; goes on with the next item or ends the task.
    pub(crate) fn record(&mut self, owner: Owner, result: Object, duration_us: u64) {
        let Some(flight) = self.flight_mut(owner.host, owner.token) else { return };
        if let Some(slot) = flight.results.get_mut(owner.item) {
            *slot = Some((result, duration_us));
        }
        flight.attempts = 0;
        flight.job = None;
        self.end_loop(owner.host, owner.token);
        let Some(flight) = self.flight_mut(owner.host, owner.token) else { return };
        if flight.results.iter().all(Option::is_some) {
            self.complete(owner.host, owner.token);
        } else if flight.one_by_one {
            let pause = flight.task.repeat.as_ref().and_then(|repeat| repeat.pause.clone());
            let task = flight.task.clone();
            let seconds = pause.and_then(|node| {
                let value = self.evaluator(owner.host, &task).value(&node).ok()?;
                provision_template::text_of(&value).parse::<f64>().ok()
            });
            match seconds {
                Some(seconds) if seconds > 0.0 => {
                    self.after(Duration::from_secs_f64(seconds), owner.host, owner.token);
                }
                _ => self.send_items(owner.host, owner.token),
            }
        }
    }

    pub(super) fn flight_mut(&mut self, host: HostIndex, token: u64) -> Option<&mut Flight> {
        self.hosts.get_mut(host.0)?.flights.iter_mut().find(|flight| flight.token == token)
    }

    /// What a task in flight sees when its result is taken.
    pub(super) fn view_of_flight(&self, host: HostIndex, flight: &Flight) -> View {
        let mut view = self.view(host, &flight.task);
        view.judged = Some(flight.token);
        view.includes = Self::include_layers(&flight.cursor);
        view
    }

    pub(super) fn after(&mut self, delay: Duration, host: HostIndex, token: u64) {
        let sender = self.shared.sender.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // The loop may be over; nobody waits then.
            let _ = sender.send(Arrival::Timer { host, token });
        });
    }

    /// A delay is over: the next attempt, poll or item.
    pub(crate) fn retry(&mut self, host: HostIndex, token: u64) {
        self.send_items(host, token);
    }

    /// For `async` with `poll`: whether the job is still running and is asked again later.
    fn poll_further(&mut self, owner: Owner, result: &mut Object) -> bool {
        let Some(flight) = self.flight_mut(owner.host, owner.token) else { return false };
        let keywords = flight.plan.keywords.clone();
        if keywords.async_s == 0 || keywords.poll_s <= 0.0 || is_true(result, "skipped") {
            return false;
        }
        let finished = result.get("finished").is_some_and(|value| {
            value.as_bool() == Some(true) || value.as_u64().is_some_and(|number| number != 0)
        });
        let polled = flight.job.as_ref().map(|(job, _)| job.clone());
        if finished {
            if let Some(job) = polled {
                self.tell_of_poll(owner, &job, Some(is_true(result, "failed")));
            }
            return false;
        }
        let job = result.get("ansible_job_id").and_then(Json::as_str).map(str::to_owned);
        match (&flight.job, job) {
            (None, Some(job)) => flight.job = Some((job, std::time::Instant::now())),
            (None, None) => return false,
            (Some((_, since)), _) if since.elapsed().as_secs() > keywords.async_s + 10 => {
                result.insert("failed".into(), true.into());
                result.insert(
                    "msg".into(),
                    "async task did not complete within the requested time".into(),
                );
                return false;
            }
            (Some(_), _) => {}
        }
        if let Some(job) = polled {
            self.tell_of_poll(owner, &job, None);
        }
        let delay = Duration::from_secs_f64(keywords.poll_s.clamp(0.01, 3_600.0));
        self.after(delay, owner.host, owner.token);
        true
    }

    /// A job was asked for; `failed` once it is over.
    fn tell_of_poll(&mut self, owner: Owner, job: &str, failed: Option<bool>) {
        let name = owner_name(self, owner.host);
        let Some(flight) = self.flight_mut(owner.host, owner.token) else { return };
        let position = flight.position.clone();
        self.shared.report.polled(&position, &name, job, failed);
    }

    /// `changed_when`, `failed_when` and `until`; false if `until` doesn't hold yet.
    fn judge(
        &mut self,
        owner: Owner,
        task: &Arc<Task>,
        result: &mut Object,
        item: Option<&LoopItem>,
    ) -> Result<bool, Object> {
        result.entry("changed").or_insert(Json::Bool(false));
        let skipped = is_true(result, "skipped");
        if task.changed_when.is_none() && task.failed_when.is_none() && task.until.is_none() {
            return Ok(true);
        }
        let flight = self.flight_mut(owner.host, owner.token).cloned();
        let mut view = match &flight {
            Some(flight) => self.view_of_flight(owner.host, flight),
            None => self.view(owner.host, task),
        };
        if let Some(item) = item {
            view.local.add(&item.layer);
        }
        if let (Some((name, _)), false) = (&task.register, skipped) {
            let mut seen = result.clone();
            seen.entry("failed").or_insert(Json::Bool(false));
            view.local.set_data(name.as_str(), provision_template::from_json(&Json::Object(seen)));
        }
        let look = |result: &Object, view: &mut View| {
            if let Some((name, _)) = &task.register {
                let mut seen = result.clone();
                seen.entry("failed").or_insert(Json::Bool(false));
                view.local
                    .set_data(name.as_str(), provision_template::from_json(&Json::Object(seen)));
            }
        };
        let holds = |view: &View, conditions: &[yaml::Node]| {
            let evaluator = Evaluator::new(task, view.clone());
            evaluator.first_false(conditions).map(|first| first.is_none()).map_err(
                |stop| match stop {
                    Stop::Failed(result) => *result,
                    Stop::Pending(_) => Object::new(),
                },
            )
        };
        if let Some(conditions) = &task.changed_when {
            let changed = holds(&view, conditions).inspect_err(|failure| {
                let message = failure.get("msg").cloned().unwrap_or_default();
                result.insert("changed_when_result".into(), message);
            })?;
            result.insert("changed".into(), changed.into());
            look(result, &mut view);
        }
        if let Some(conditions) = &task.failed_when {
            let failed = holds(&view, conditions).inspect_err(|failure| {
                let message = failure.get("msg").cloned().unwrap_or_default();
                result.insert("failed_when_result".into(), message);
            })?;
            result.insert("failed".into(), failed.into());
            result.insert("failed_when_result".into(), failed.into());
            look(result, &mut view);
        }
        if let Some(conditions) = &task.until {
            return holds(&view, conditions);
        }
        Ok(true)
    }

    /// All items have results: the task ends on this host.
    pub(super) fn complete(&mut self, index: HostIndex, token: u64) {
        let Some(flight) = self.flight_mut(index, token).cloned() else { return };
        let mut ended = self.end_of(index, &flight);
        if ended.delegate.is_none() {
            ended.delegate = self.delegate_of(index, &flight.task);
        }
        let failed = matches!(ended.status, Status::Failed);
        let once = self
            .dispatcher
            .announced_at(&flight.position)
            .filter(|other| *other != index)
            .collect::<Vec<_>>();
        if let Some(host) = self.hosts.get_mut(index.0) {
            host.flights.retain(|other| other.token != token);
        }
        if failed {
            self.fail(index, &flight, ended);
            return;
        }
        match self.dispatcher.finished(index, &flight.position) {
            Ok(_) => {}
            Err(misuse) => self.complain(Some(misuse)),
        }
        let notifies = ended.notify;
        self.apply(index, &flight.position, token, ended.clone());
        let view = self.view_of_flight(index, &flight);
        if notifies {
            self.notify(index, &flight.task, view, flight.raw_changed);
        } else if flight.raw_changed || ended.status == Status::Ignored {
            self.withdraw(index, &flight.task, view);
        }
        self.forget_withdrawn(index);
        self.settle_passes(index);
        if self.shared.reaches.classify(&self.shared.world, &flight.task).once {
            self.share(index, &once, &flight.task, &ended);
        }
    }

    /// Passed steps that nothing can undo any more take effect.
    pub(crate) fn settle_passes(&mut self, index: HostIndex) {
        let first = self.host(index).and_then(|host| host.flights.front());
        let first = first.map(|flight| flight.position.clone());
        self.settle_passes_before(index, first.as_ref());
    }

    /// Passed steps before a position take effect; all of them if there is none.
    fn settle_passes_before(&mut self, index: HostIndex, end: Option<&Position>) {
        loop {
            let Some(host) = self.hosts.get_mut(index.0) else { return };
            let first = host.passes.front();
            if first.is_none_or(|pass| end.is_some_and(|end| pass.position >= *end)) {
                return;
            }
            let Some(pass) = host.passes.pop_front() else { return };
            self.forget_handlers(index, pass.completes);
            if let Some(ended) = pass.effect {
                self.apply(index, &pass.position, pass.token, ended);
            } else if let Some(host) = self.hosts.get(index.0) {
                host.variables.learned.settle(pass.token);
            }
        }
    }

    /// Shows a result and makes its effects known.
    fn apply(&mut self, index: HostIndex, position: &Position, token: u64, ended: Ended) {
        let Some(host) = self.hosts.get(index.0) else { return };
        let name = host.variables.name.clone();
        let learned = &host.variables.learned;
        learned.settle(token);
        if let Some(register) = &ended.register {
            learned.register(register, registered(&ended.result), ended.origin());
        }
        for (name, value) in &ended.sets {
            learned.set(name, value.clone());
        }
        if let Some(layer) = &ended.include {
            learned.include(layer);
        }
        for (owner, facts) in &ended.facts {
            match owner {
                None => learned.learn(facts),
                Some(other) => self.shared.world.host_or_new(other).learned.learn(facts),
            }
        }
        self.show(position, &name, ended);
    }

    fn show(&mut self, position: &Position, host: &str, ended: Ended) {
        let delegate_address = ended.delegate.as_ref().and_then(|name| {
            let delegate = self.shared.world.host_or_new(name);
            crate::connection::address(&self.shared.world, &delegate)
        });
        for (status, label, result, duration_us) in ended.items {
            let result = HostResult {
                task: 0,
                host: host.to_owned(),
                delegate: ended.delegate.clone(),
                delegate_address: delegate_address.clone(),
                item: Some(label),
                status,
                message: message_of(&result),
                diff: diffs(&result),
                result,
                duration_us,
            };
            self.shared.report.result(position, true, result);
        }
        let result = HostResult {
            task: 0,
            host: host.to_owned(),
            delegate: ended.delegate,
            delegate_address,
            item: None,
            status: ended.status,
            message: ended.message,
            result: shown(ended.result),
            diff: ended.diff,
            duration_us: ended.duration_us,
        };
        self.shared.report.result(position, false, result);
    }

    /// The task failed on this host: what was sent behind it is void.
    fn fail(&mut self, index: HostIndex, flight: &Flight, ended: Ended) {
        match self.dispatcher.failed(index, &flight.position) {
            Ok(_) => {}
            Err(misuse) => self.complain(Some(misuse)),
        }
        // Passes before it are final now; those behind it never happened.
        self.settle_passes_before(index, Some(&flight.position));
        let fatal = flight.plan.keywords.any_errors_fatal;
        let result = registered(&ended.result);
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        for later in host.flights.drain(..) {
            host.variables.learned.settle(later.token);
            // A handler that never ran is still notified.
            if let Some((number, true)) = later.cursor.handler() {
                host.notified.insert(number);
            }
        }
        let mut ran = std::mem::take(&mut host.ran_handlers);
        for later in host.passes.drain(..) {
            host.variables.learned.settle(later.token);
            ran.extend(later.completes);
        }
        let (ran, void): (Vec<_>, Vec<_>) =
            ran.into_iter().partition(|(position, _)| *position < flight.position);
        let handlers = void.iter().filter_map(|(position, _)| position.numbers().last());
        host.notified.extend(handlers);
        host.ahead = None;
        host.at_end = false;
        host.cursor = flight.cursor.clone();
        let session = host.session.clone();
        self.owners.retain(|_, owner| owner.host != index);
        self.shared.pool.next_generation(&session);
        if flight.dropping {
            self.send_again(&session);
        }
        self.forget_handlers(index, ran);
        self.apply(index, &flight.position, flight.token, ended);
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        let name = host.variables.name.clone();
        host.failed_at = Some(flight.position.clone());
        let after = host.cursor.fail();
        if after != AfterFailure::Out {
            let learned = &host.variables.learned;
            learned.set("ansible_failed_result", result);
            learned.set("ansible_failed_task", failed_task(&flight.task));
        }
        match after {
            AfterFailure::Rescue => {
                let recap = self.shared.report.recap_of(&name);
                recap.rescued += 1;
                // As in Ansible, a task that was rescued has notified nothing.
                let view = self.view_of_flight(index, flight);
                self.withdraw(index, &flight.task, view);
                self.forget_withdrawn(index);
            }
            AfterFailure::Always => {
                self.shared.report.recap_of(&name).failed += 1;
            }
            AfterFailure::Out => {
                self.shared.report.recap_of(&name).failed += 1;
                self.drop_host(index);
            }
        }
        if fatal {
            self.fail_others(index, &flight.position);
        }
        let others: Vec<HostIndex> = self
            .dispatcher
            .announced_at(&flight.position)
            .filter(|other| *other != index)
            .collect();
        if self.shared.reaches.classify(&self.shared.world, &flight.task).once {
            for other in others {
                self.drop_host(other);
            }
        }
    }

    /// `any_errors_fatal`: what fails on one host fails on all of them. Each goes on in its
    /// `rescue` or `always`; if nobody has one, the run ends.
    fn fail_others(&mut self, index: HostIndex, position: &Position) {
        self.fatal = true;
        let mut goes_on = self.host(index).is_some_and(|host| host.active);
        for number in 0..self.hosts.len() {
            let Some(host) = self.hosts.get_mut(number).filter(|host| host.active) else {
                continue;
            };
            if number == index.0 {
                continue;
            }
            // It failed there itself, or with another host.
            if host.failed_at.as_ref() == Some(position) {
                goes_on = true;
                continue;
            }
            host.failed_at = Some(position.clone());
            host.ahead = None;
            match host.cursor.fail_with_others() {
                AfterFailure::Rescue | AfterFailure::Always => goes_on = true,
                AfterFailure::Out => host.cursor.end(),
            }
            self.wake(HostIndex(number));
        }
        if !goes_on {
            self.shared.stopped_by_limit = true;
            self.end_all();
        }
    }

    /// The task's result on this host, from those of its items.
    fn end_of(&mut self, index: HostIndex, flight: &Flight) -> Ended {
        let delegate = flight.plan.items.iter().find_map(|item| match &item.step {
            ItemStep::Invoke(invocation) => invocation.delegate.clone(),
            _ => None,
        });
        let keywords = &flight.plan.keywords;
        let mut results: Vec<(Object, u64)> = flight.results.iter().flatten().cloned().collect();
        let facts_owner = if keywords.delegate_facts { delegate.clone() } else { None };
        // What `set_fact` sets for another host is there already.
        let is_given = keywords.delegate_facts && flight.task.module.name == "set_fact"
            // Nor are variables of files facts, although the result calls them so.
            || flight.task.module.name == "include_vars";
        let facts = results
            .iter()
            .filter(|_| !is_given)
            .filter_map(|(result, _)| result.get("ansible_facts")?.as_object().cloned())
            .map(|facts| (facts_owner.clone(), facts))
            .collect();
        let duration_us = results.iter().map(|(_, duration_us)| duration_us).sum();
        let mut diff = Vec::new();
        for (item, (result, _)) in flight.plan.items.iter().zip(&mut results) {
            // Some modules always say what they change; it is shown to who asked.
            if matches!(&item.step, ItemStep::Invoke(invocation) if invocation.diff) {
                diff.extend(diffs(result));
            }
            if result.get("diff").is_some_and(|diff| !keywords.no_log && diff.is_null()) {
                result.shift_remove("diff");
            }
        }
        let (mut result, items) = match flight.plan.looped {
            true => {
                let labels = self.labels(index, flight, &mut results);
                join_items(flight, results, labels)
            }
            false => {
                let result = results.into_iter().next().map(|(result, _)| result);
                (result.unwrap_or_default(), Vec::new())
            }
        };
        result.entry("changed").or_insert(Json::Bool(false));
        let failed = is_true(&result, "failed");
        let status = match (failed, keywords.ignore_errors) {
            (true, true) => Status::Ignored,
            (true, false) => Status::Failed,
            (false, _) if is_true(&result, "skipped") => Status::Skipped,
            (false, _) if is_true(&result, "changed") => Status::Changed,
            (false, _) => Status::Ok,
        };
        let register = flight.task.register.as_ref().map(|(name, _)| name.clone());
        let message = message_of(&result);
        let notify = is_true(&result, "changed") && !failed;
        let mut ended = Ended {
            status,
            items,
            message,
            register,
            sets: Vec::new(),
            include: None,
            facts,
            diff,
            delegate,
            duration_us,
            notify,
            result,
            is_written: is_written(&flight.task),
        };
        if keywords.no_log {
            hide(&mut ended);
        }
        ended
    }
}

fn owner_name(run: &PlayRun<'_>, host: HostIndex) -> String {
    run.host(host).map(|host| host.variables.name.clone()).unwrap_or_default()
}

/// From `-vvv` on results show what the module was called with.
const INVOCATIONS_FROM: u8 = 3;

/// A result as `register` keeps it.
pub(super) fn registered(result: &Object) -> Value {
    let mut result = result.clone();
    result.entry("failed").or_insert(Json::Bool(false));
    result.shift_remove("_censored");
    if is_true(&result, "unreachable") {
        // As in Ansible that is something else than a failure.
        result.insert("failed".into(), Json::Bool(false));
    }
    // It is for those who look on.
    result.shift_remove("invocation");
    provision_template::from_json(&Json::Object(result))
}

fn failed_task(task: &Task) -> Value {
    let name = task.name.as_ref().and_then(yaml::Node::as_str).unwrap_or(&task.module_written);
    let entries: [(&str, Value); 2] =
        [("name", name.into()), ("action", task.module_written.as_str().into())];
    crate::variables::dictionary(entries)
}
