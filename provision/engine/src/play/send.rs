//! From a plan to calls on sessions.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use provision_plan::{HostIndex, Position};
use provision_playbook::model::Task;
use provision_protocol::{Async, Call, Object};

use super::flight::Flight;
use super::{Owner, PlayRun};
use crate::channel::Endpoint;
use crate::evaluate::{Evaluator, Invocation, ItemStep, Plan, Stop};
use crate::session::SessionKey;
use crate::synchronize;

/// How long an item waits before it is evaluated again, when a value of an earlier task that it
/// reads is still on its way.
const PENDING_ITEM_DELAY: Duration = Duration::from_millis(20);

/// Modules whose results set facts: who reads facts behind them waits.
const FACTS: &[&str] = &[
    "_own",
    "_templated",
    "getent",
    "hostname",
    "mount_facts",
    "package_facts",
    "service_facts",
    "setup",
];

impl PlayRun<'_> {
    /// Sends a task. The dispatcher agreed.
    pub(super) fn send(
        &mut self,
        index: HostIndex,
        position: &Position,
        task: &Arc<Task>,
        handler: bool,
        plan: Plan,
    ) {
        let told = self.dispatcher.sent(index);
        self.complain(told.err());
        let brings_facts = FACTS.contains(&task.module.name);
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        let token = host.next_token;
        host.next_token += 1;
        host.ahead = None;
        let role = task.context.role().map(|role| role.identity);
        let begins_role = role.filter(|role| host.roles_run.insert(*role));
        if let Some((name, _)) = &task.register {
            host.variables.learned.expect(name, token);
        }
        if brings_facts {
            host.variables.learned.expect_facts(token);
        }
        let one_by_one = task.until.is_some()
            || task.asynchronous.is_some()
            || plan.items.iter().any(|item| matches!(item.step, ItemStep::Later))
            || task
                .repeat
                .as_ref()
                .is_some_and(|repeat| repeat.pause.is_some() || !repeat.break_when.is_empty());
        let results = plan.items.iter().map(|item| match &item.step {
            ItemStep::Skip { .. } => Some((super::step::skipped(&item.step), 0)),
            ItemStep::Failed(_)
            | ItemStep::Finished(_)
            | ItemStep::Invoke(_)
            | ItemStep::Later
            | ItemStep::Local { .. } => None,
        });
        let completes = !one_by_one && !plan.looped && task.failed_when.is_none() && {
            let calls = plan.items.iter().filter_map(|item| match &item.step {
                ItemStep::Invoke(invocation) => Some(is_own(invocation)),
                _ => None,
            });
            calls.collect::<Vec<bool>>() == [true]
        };
        let flight = Flight {
            position: position.clone(),
            token,
            task: task.clone(),
            completes: completes && handler && matches!(host.cursor.handler(), Some((_, true))),
            raw_changed: false,
            begins_role,
            dropping: false,
            cursor: host.cursor.clone(),
            results: results.collect(),
            plan,
            attempts: 0,
            one_by_one,
            looked_at: 0,
            job: None,
        };
        host.flights.push_back(flight);
        self.handler_runs(index, position, completes);
        if let Some(host) = self.hosts.get_mut(index.0) {
            host.cursor.advance();
        }
        self.end_loop(index, token);
        self.take_finished(index, token);
        self.send_items(index, token);
    }

    /// Takes results that are there already: of the controller's own modules, which are judged
    /// like any result, and of items that could not be evaluated.
    fn take_finished(&mut self, index: HostIndex, token: u64) {
        let flight = self.host(index).and_then(|host| host.flights.back());
        let Some(items) = flight.map(|flight| flight.plan.items.clone()) else { return };
        for (item, plan) in items.into_iter().enumerate() {
            let owner = Owner { host: index, token, item };
            match plan.step {
                ItemStep::Finished(result) => self.arrived(owner, *result, 0),
                ItemStep::Failed(result) => self.record(owner, *result, 0),
                ItemStep::Skip { .. }
                | ItemStep::Invoke(_)
                | ItemStep::Later
                | ItemStep::Local { .. } => {}
            }
        }
    }

    /// Evaluates the next item if it waited for those before it; false if it has to wait further.
    fn evaluate_later(&mut self, index: HostIndex, token: u64) -> bool {
        loop {
            self.end_loop(index, token);
            let host = self.host(index);
            let flight = host.and_then(|host| host.flights.iter().find(|f| f.token == token));
            let Some(flight) = flight.cloned() else { return false };
            let Some(number) = flight.results.iter().position(Option::is_none) else {
                self.complete(index, token);
                return false;
            };
            let plan = flight.plan.items.get(number);
            let Some(plan) = plan.filter(|plan| matches!(plan.step, ItemStep::Later)) else {
                return true;
            };
            let mut view = self.view(index, &flight.task);
            view.includes = Self::include_layers(&flight.cursor);
            if let Some(item) = &plan.item {
                view.local.add(&item.layer);
            }
            let before = number.checked_sub(1).and_then(|before| flight.results.get(before));
            if let (Some((name, _)), Some(Some((result, _)))) = (&flight.task.register, before) {
                view.local.set_data(name.as_str(), super::flight::registered(result));
            }
            let (step, result) = match Evaluator::new(&flight.task, view).later_step() {
                Ok(step @ ItemStep::Skip { .. }) => {
                    let result = super::step::skipped(&step);
                    (step, Some((result, 0)))
                }
                Ok(step) => (step, None),
                Err(Stop::Failed(result)) => (ItemStep::Failed(result.clone()), Some((*result, 0))),
                Err(Stop::Pending(_)) => {
                    self.after(PENDING_ITEM_DELAY, index, token);
                    return false;
                }
            };
            let Some(host) = self.hosts.get_mut(index.0) else { return false };
            let flight = host.flights.iter_mut().find(|flight| flight.token == token);
            let Some(flight) = flight else { return false };
            if let Some(plan) = flight.plan.items.get_mut(number) {
                plan.step = step;
            }
            if let Some(slot) = flight.results.get_mut(number) {
                *slot = result;
            }
        }
    }

    /// Sends what a flight has to send now: all its items, or the next one.
    pub(super) fn send_items(&mut self, index: HostIndex, token: u64) {
        self.send_items_but(index, token, &HashSet::new());
    }

    /// [`Self::send_items`] without those calls (token and item) that are under way.
    pub(super) fn send_items_but(
        &mut self,
        index: HostIndex,
        token: u64,
        under_way: &HashSet<(u64, usize)>,
    ) {
        let waits = |flight: &Flight| {
            flight.plan.items.iter().any(|item| matches!(item.step, ItemStep::Later))
        };
        let flight = self
            .host(index)
            .and_then(|host| host.flights.iter().find(|flight| flight.token == token));
        if flight.is_some_and(waits) && !self.evaluate_later(index, token) {
            return;
        }
        let Some(host) = self.host(index) else { return };
        let Some(flight) = host.flights.iter().find(|flight| flight.token == token) else { return };
        let flight = flight.clone();
        let host_session = host.session.clone();
        let mut number: Option<(SessionKey, u64)> = None;
        for (item, plan) in flight.plan.items.iter().enumerate() {
            let open = flight.results.get(item).is_some_and(Option::is_none);
            let (true, ItemStep::Invoke(invocation)) = (open, &plan.step) else { continue };
            if under_way.contains(&(token, item)) {
                if flight.one_by_one {
                    return;
                }
                continue;
            }
            let session = match self.session_of(&host_session, invocation) {
                Ok(session) => session,
                Err(message) => {
                    let result = super::unreachable::unreachable_result(&message);
                    if flight.plan.keywords.ignore_unreachable
                        && let Some(flight) = self.flight_mut(index, token)
                    {
                        flight.plan.keywords.ignore_errors = true;
                    }
                    self.record(Owner { host: index, token, item }, result, 0);
                    continue;
                }
            };
            let task_number = match &number {
                Some((key, number)) if *key == session => *number,
                _ => self.shared.pool.next_task(&session),
            };
            number = Some((session.clone(), task_number));
            let call = self.call(index, &flight, invocation, task_number);
            let id = self.shared.pool.send(&session, call, invocation.contents.clone());
            self.owners.insert((session, id), Owner { host: index, token, item });
            if flight.one_by_one {
                return;
            }
        }
    }

    /// The helper of this session drops what other hosts have sent behind a failure of one host
    /// (several hosts may be this machine, or have it work for them): that is sent again.
    pub(super) fn send_again(&mut self, session: &SessionKey) {
        let mut dropped: Vec<(u64, Owner)> = self
            .owners
            .iter()
            .filter(|((key, _), _)| key == session)
            .map(|((_, id), owner)| (*id, *owner))
            .collect();
        dropped.sort_by_key(|(id, _)| *id);
        let mut number: Option<(HostIndex, u64, u64)> = None;
        for (id, owner) in dropped {
            self.owners.remove(&(session.clone(), id));
            let flights = self.host(owner.host).map(|host| &host.flights);
            let flight =
                flights.and_then(|flights| flights.iter().find(|f| f.token == owner.token));
            let Some(flight) = flight.cloned() else { continue };
            let item = flight.plan.items.get(owner.item).map(|item| &item.step);
            let Some(ItemStep::Invoke(invocation)) = item else { continue };
            let task = match number {
                Some((host, token, task)) if (host, token) == (owner.host, owner.token) => task,
                _ => self.shared.pool.next_task(session),
            };
            number = Some((owner.host, owner.token, task));
            let call = self.call(owner.host, &flight, invocation, task);
            let id = self.shared.pool.send(session, call, invocation.contents.clone());
            self.owners.insert((session.clone(), id), owner);
        }
    }

    fn session_of(
        &mut self,
        own: &SessionKey,
        invocation: &Invocation,
    ) -> Result<SessionKey, String> {
        if invocation.local {
            let key = SessionKey::local(own.host());
            let host = self.shared.world.host_or_new(own.host());
            self.shared.pool.open(&key, &host)?;
            return Ok(key);
        }
        let Some(delegate) = &invocation.delegate else {
            // It is open unless it was lost and that was ignored.
            let host = self.shared.world.host_or_new(own.host());
            self.shared.pool.open(own, &host)?;
            return Ok(own.clone());
        };
        let host = self.shared.world.host_or_new(delegate);
        let key = self.shared.pool.key_of(&host);
        self.shared.pool.open(&key, &host)?;
        Ok(key)
    }

    fn call(
        &mut self,
        index: HostIndex,
        flight: &Flight,
        invocation: &Invocation,
        task: u64,
    ) -> Call {
        let keywords = &flight.plan.keywords;
        let polled = flight.job.as_ref().map(|(job, _)| job.clone());
        let notify = match invocation.check || !is_own(invocation) {
            true => Vec::new(),
            false => self.handler_keys(index, &flight.task),
        };
        let completes = match flight.completes && !invocation.check {
            true => self.keys_of_handler(&flight.cursor),
            false => Vec::new(),
        };
        let mut call = Call {
            id: 0,
            task,
            generation: 0,
            ignore_failure: !flight.drops_behind(invocation),
            module: invocation.module.name.to_owned(),
            arguments: invocation.arguments.clone(),
            r#become: invocation.r#become.clone(),
            environment: invocation.environment.clone(),
            check: invocation.check,
            diff: invocation.diff,
            no_log: keywords.no_log,
            timeout_s: invocation.timeout_s,
            asynchronous: None,
            contents: invocation.contents.iter().map(|content| content.reference.clone()).collect(),
            notify,
            completes,
        };
        if call.module == synchronize::NAME
            && let Some(host) = self.host(index)
        {
            let name = host.variables.name.clone();
            let endpoint = match host.session == SessionKey::local(&name) {
                true => Ok(Endpoint::Local { become_password: None }),
                false => self.shared.pool.endpoint(&host.variables),
            };
            synchronize::complete(&mut call, &name, invocation.delegate.as_deref(), endpoint);
        }
        if let Some(job) = polled {
            call.module = "async_status".to_owned();
            call.arguments = Object::new();
            call.arguments.insert("jid".into(), job.into());
            // Nobody asks again once it is over.
            call.arguments.insert("_erases".into(), true.into());
            call.contents.clear();
        } else if keywords.async_s > 0 {
            let number = || getrandom::u32().unwrap_or_default();
            let job = format!("j{}.{}", getrandom::u64().unwrap_or_default(), number());
            call.asynchronous = Some(Async { job, limit_s: keywords.async_s });
        }
        call
    }
}

/// Whether a call goes to the host whose task it is: only there are its handlers remembered.
pub(super) fn is_own(invocation: &Invocation) -> bool {
    invocation.delegate.is_none() && !invocation.local
}
