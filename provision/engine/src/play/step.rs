//! What a host does next: announcing, evaluating, passing.

use std::sync::{Arc, Mutex, PoisonError};

use provision_plan::{HostIndex, Position, Scope, Step, Turn};
use provision_playbook::Loader;
use provision_playbook::model::{Include, Strategy, Task, TaskId};
use provision_protocol::modules::Runs;

use super::flight::Ended;
use super::{Ahead, AheadKind, HostRun, Pass, PlayRun};
use crate::cursor::Next;
use crate::evaluate::{Evaluator, ItemPlan, ItemStep, Keywords, Plan, Stop};
use crate::event::Status;
use crate::report::TaskTitle;
use crate::run::StepAnswer;
use crate::variables::{Layer, View};

/// Whether a host can go on at once.
enum Going {
    On,
    Waits,
}

impl PlayRun<'_> {
    /// Takes a host as far as it can go now; whether it went anywhere.
    pub(crate) fn advance(&mut self, index: HostIndex) -> bool {
        let mut went = false;
        loop {
            if self.shared.interrupts > 0 {
                return went;
            }
            match self.host(index) {
                Some(host) if host.active && !host.at_end => {}
                _ => return went,
            }
            let has_ahead = self.host(index).is_some_and(|host| host.ahead.is_some());
            let going = match has_ahead {
                true => self.take_step(index),
                false => self.announce(index),
            };
            match going {
                Going::On => went = true,
                Going::Waits => return went,
            }
        }
    }

    /// Finds what the host does next and tells the dispatcher.
    fn announce(&mut self, index: HostIndex) -> Going {
        let Some(host) = self.hosts.get_mut(index.0) else { return Going::Waits };
        let mut cursor = host.cursor.clone();
        let next = cursor.find_next();
        if matches!(next, Next::Failed) && !host.flights.is_empty() {
            // It leaves together with its last result, which may yet lead elsewhere.
            return Going::Waits;
        }
        host.cursor = cursor;
        self.end_flush(index);
        let Some(host) = self.hosts.get_mut(index.0) else { return Going::Waits };
        match next {
            Next::End => self.come_to_end(index),
            Next::Failed => {
                // The failure was counted when it happened; an `always` ran since. Not being in
                // the way any more is progress for others.
                self.drop_host(index);
                // Nobody rescued what failed for all of them.
                if self.fatal && !self.hosts.iter().any(|host| host.active) {
                    self.shared.stopped_by_limit = true;
                }
                Going::On
            }
            Next::RoleEnd(role) => {
                // Whether it has begun at all is known only with the result.
                let is_open = |flight: &super::flight::Flight| {
                    flight.begins_role == Some(role.identity)
                        && flight.plan.keywords.ignore_unreachable
                };
                if host.flights.iter().any(is_open) {
                    return Going::Waits;
                }
                // As in Ansible, a role that was skipped altogether runs where it is named again.
                if host.roles_run.contains(&role.identity) {
                    host.roles_done.insert(role.identity);
                }
                host.cursor.advance();
                Going::On
            }
            Next::Flush { position } => {
                // Nothing ran since the play began, or there is nothing to run.
                if self.handlers.is_empty() || host.cursor.is_at_first_flush() {
                    host.cursor.advance();
                    return Going::On;
                }
                let ahead =
                    Ahead { position, kind: AheadKind::Flush, plan: None, blocked_on: None };
                self.tell(
                    index,
                    ahead,
                    (Scope::World, Scope::Host),
                    provision_plan::Flow::Alone,
                    Turn::Each,
                )
            }
            Next::Task { position, task, handler } => {
                if self.is_left_out(index, &task, handler) {
                    if let Some(host) = self.hosts.get_mut(index.0) {
                        host.cursor.advance();
                    }
                    return Going::On;
                }
                if !self.decides_once(index, &task) {
                    return Going::Waits;
                }
                let (scope, evaluation, flow, once) = self.classify(&task);
                let turn = if once { Turn::Once } else { Turn::Each };
                let flush = is_flush(&task);
                let kind = match flush {
                    true => AheadKind::Flush,
                    false => AheadKind::Task { task, handler },
                };
                let scopes = if flush { (Scope::World, Scope::Host) } else { (scope, evaluation) };
                let flow = if flush { provision_plan::Flow::Alone } else { flow };
                let ahead = Ahead { position, kind, plan: None, blocked_on: None };
                self.tell(index, ahead, scopes, flow, turn)
            }
        }
    }

    /// Evaluates `run_once` if it is a template, for the host that comes to the task first: what it
    /// says holds for all. False if a value that it reads is still to come.
    fn decides_once(&mut self, index: HostIndex, task: &Arc<Task>) -> bool {
        let node = task.context.innermost(|level| level.run_once.as_ref());
        if node.is_none_or(|node| node.as_bool().is_some()) || self.once.contains(&task.id) {
            return true;
        }
        match self.evaluator(index, task).runs_once() {
            Err(Stop::Pending(_)) => return false,
            // One that can't be evaluated fails when the task is planned, on each host.
            told => {
                let once = told.unwrap_or(false);
                self.shared.reaches.decide_once(&self.shared.world, task, once);
            }
        }
        self.once.insert(task.id);
        true
    }

    fn come_to_end(&mut self, index: HostIndex) -> Going {
        let told = self.dispatcher.at_end(index);
        self.complain(told.err());
        if let Some(host) = self.hosts.get_mut(index.0) {
            host.at_end = true;
        }
        // Not being in the way any more is progress for others.
        Going::On
    }

    fn tell(
        &mut self,
        index: HostIndex,
        ahead: Ahead,
        (scope, evaluation): (Scope, Scope),
        flow: provision_plan::Flow,
        turn: Turn,
    ) -> Going {
        let Some(host) = self.hosts.get_mut(index.0) else { return Going::Waits };
        // What a flush or an include leads to is not known yet: it may be anything.
        let opens = match &ahead.kind {
            AheadKind::Flush => true,
            AheadKind::Task { task, .. } => task.include.is_some(),
        };
        let within = opens.then(|| ahead.position.child(0));
        let step = Step {
            position: ahead.position.clone(),
            scope,
            evaluation,
            flow,
            turn,
            world_after: within.or_else(|| self.horizon.after(&host.cursor)),
            world_if_failed: self.horizon.if_failed(&host.cursor),
        };
        host.ahead = Some(ahead);
        let told = self.dispatcher.next_is(index, step);
        self.complain(told.err());
        Going::On
    }

    /// Tasks that tags leave out, handlers that nobody notified, roles that already ran.
    fn is_left_out(&self, index: HostIndex, task: &Task, handler: bool) -> bool {
        let Some(host) = self.host(index) else { return true };
        if handler {
            return false;
        }
        let settings = &self.shared.world.settings;
        if settings.customs.gathers_once && task.id == TaskId(crate::run::FACTS_TASK) {
            let is_known = host.variables.learned.has_facts();
            if is_known {
                return true;
            }
        }
        let tags = task.context.tags();
        if !provision_playbook::selected(&tags, &settings.tags, &settings.skip_tags) {
            return true;
        }
        task.context
            .role()
            .is_some_and(|role| !role.allow_duplicates && host.roles_done.contains(&role.identity))
    }

    fn take_step(&mut self, index: HostIndex) -> Going {
        let Some(ahead) = self.host(index).and_then(|host| host.ahead.clone()) else {
            return Going::Waits;
        };
        if !self.dispatcher.may_evaluate(index).is_go() {
            return Going::Waits;
        }
        match ahead.kind {
            AheadKind::Flush => {
                if self.flush(index, &ahead.position) {
                    Going::On
                } else {
                    Going::Waits
                }
            }
            AheadKind::Task { ref task, handler } => {
                let task = task.clone();
                // `hostvars` and `vars` can't say that a value is still to come.
                let (_, evaluation, ..) = self.classify(&task);
                let busy = self.host(index).is_some_and(|host| !host.flights.is_empty());
                if evaluation == Scope::World && busy {
                    return Going::Waits;
                }
                // Whether it runs, and that it runs once, depends on what is notified before it.
                if handler && self.may_still_be_notified(index) {
                    return Going::Waits;
                }
                if handler && !self.handler_still_wanted(index) {
                    self.pass_silently(index);
                    return Going::On;
                }
                self.take_task(index, ahead, &task, handler)
            }
        }
    }

    fn take_task(
        &mut self,
        index: HostIndex,
        ahead: Ahead,
        task: &Arc<Task>,
        handler: bool,
    ) -> Going {
        if ahead.blocked_on.is_some_and(|token| self.is_unsettled(index, token)) {
            return Going::Waits;
        }
        let once = self.shared.reaches.classify(&self.shared.world, task).once;
        if once && self.somebody_is_between(index) {
            return Going::Waits;
        }
        if !self.operator_lets_run(index, &ahead.position, task, handler) {
            self.pass_silently(index);
            return Going::On;
        }
        self.title(index, &ahead.position, task, handler);
        if task.include.is_some() {
            return match self.include(index, &ahead.position, task) {
                Ok(true) => Going::On,
                Ok(false) => Going::Waits,
                Err(stop) => self.stopped(index, stop, task),
            };
        }
        let resolved = match self.evaluator(index, task).resolved() {
            Ok(resolved) => resolved.map(Arc::new),
            Err(stop) => return self.stopped(index, stop, task),
        };
        let task = resolved.as_ref().unwrap_or(task);
        let plan = match ahead.plan {
            Some(plan) => plan,
            None => match self.evaluator(index, task).plan() {
                Ok(plan) => plan,
                Err(stop) => return self.stopped(index, stop, task),
            },
        };
        let all_skipped = !plan.items.is_empty()
            && plan.items.iter().all(|item| matches!(item.step, ItemStep::Skip { .. }));
        if all_skipped && task.module.name == "meta" {
            self.skip_meta(index, &ahead.position, task);
            return Going::On;
        }
        if all_skipped || plan.items.is_empty() {
            let ended = self.skip_result(task, &plan);
            self.handler_runs(index, &ahead.position, false);
            self.pass(index, task, ended);
            return Going::On;
        }
        if task.module.runs == Runs::OnController {
            return match self.run_local(index, &ahead.position, task, &plan) {
                Ok(true) => Going::On,
                Ok(false) => {
                    self.keep_plan(index, plan);
                    Going::Waits
                }
                Err(stop) => self.stopped(index, stop, task),
            };
        }
        let is_full = self.is_full(index, &ahead.position, plan.keywords.throttle);
        if is_full || !self.dispatcher.may_send(index).is_go() {
            self.keep_plan(index, plan);
            return Going::Waits;
        }
        self.send(index, &ahead.position, task, handler, plan);
        Going::On
    }

    /// Whether a host has yet to say where it goes: what is done once for all must not be over
    /// before it is known who stands there.
    fn somebody_is_between(&mut self, index: HostIndex) -> bool {
        if self.state.play.strategy != Strategy::Linear {
            return false;
        }
        let is_between = self.hosts.iter().any(|host| {
            let others = host.index != index && host.active && !host.at_end;
            others && host.ahead.is_none() && host.flights.is_empty()
        });
        self.somebody_is_held_back |= is_between;
        is_between
    }

    /// Whether as many hosts run a task as `throttle` (or `--forks 1`) lets run it at a time.
    /// With `--forks 1` hosts also keep their order.
    fn is_full(&mut self, index: HostIndex, position: &Position, throttle: u64) -> bool {
        let is_single = self.shared.world.settings.forks == 1;
        let limit = if is_single { 1 } else { throttle };
        if limit == 0 {
            return false;
        }
        let comes_first = |host: &&HostRun| {
            let flight = host.flights.front().map(|flight| &flight.position);
            let next = flight.or(host.ahead.as_ref().map(|ahead| &ahead.position));
            host.active && !host.at_end && next.is_none_or(|next| next <= position)
        };
        if is_single && self.hosts.iter().take(index.0).any(|host| comes_first(&host)) {
            self.somebody_is_held_back = true;
            return true;
        }
        let is_running =
            |host: &&HostRun| host.flights.iter().any(|flight| flight.position == *position);
        let running = self.hosts.iter().filter(is_running).count();
        let is_full = u64::try_from(running).is_ok_and(|running| running >= limit);
        self.somebody_is_held_back |= is_full;
        is_full
    }

    fn keep_plan(&mut self, index: HostIndex, plan: Plan) {
        if let Some(ahead) = self.hosts.get_mut(index.0).and_then(|host| host.ahead.as_mut()) {
            ahead.plan = Some(plan);
        }
    }

    fn is_unsettled(&self, index: HostIndex, token: u64) -> bool {
        self.host(index).is_some_and(|host| {
            host.flights.iter().any(|flight| flight.token == token)
                || host.passes.iter().any(|pass| pass.token == token)
        })
    }

    /// An evaluation that ended early: wait for a value, or fail the task.
    fn stopped(&mut self, index: HostIndex, stop: Stop, task: &Arc<Task>) -> Going {
        match stop {
            Stop::Pending(token) => {
                let unsettled = self.is_unsettled(index, token);
                if let Some(ahead) =
                    self.hosts.get_mut(index.0).and_then(|host| host.ahead.as_mut())
                {
                    ahead.blocked_on = unsettled.then_some(token);
                }
                Going::Waits
            }
            Stop::Failed(result) => {
                let plan = Plan {
                    looped: false,
                    items: vec![ItemPlan { item: None, step: ItemStep::Failed(result) }],
                    keywords: self.evaluator(index, task).keywords_of_failed(),
                };
                let idle = self.host(index).is_some_and(|host| host.flights.is_empty());
                if idle && self.dispatcher.may_send(index).is_go() {
                    let Some(ahead) = self.host(index).and_then(|host| host.ahead.clone()) else {
                        return Going::Waits;
                    };
                    let handler = matches!(ahead.kind, AheadKind::Task { handler: true, .. });
                    self.send(index, &ahead.position, task, handler, plan);
                    return Going::On;
                }
                Going::Waits
            }
        }
    }

    /// The step is over without anything being sent; its effects wait for earlier results.
    pub(super) fn pass(&mut self, index: HostIndex, task: &Arc<Task>, ended: Ended) {
        let once = self.shared.reaches.classify(&self.shared.world, task).once;
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        let Some(ahead) = host.ahead.take() else { return };
        let position = ahead.position.clone();
        let sharers: Vec<HostIndex> = match once {
            true => {
                self.dispatcher.announced_at(&position).filter(|other| *other != index).collect()
            }
            false => Vec::new(),
        };
        let token = host.next_token;
        host.next_token += 1;
        if ended.status != Status::Skipped {
            host.roles_run.extend(task.context.role().map(|role| role.identity));
        }
        for (name, _) in ended.sets.iter() {
            host.variables.learned.expect(name, token);
        }
        if let Some((name, _)) = &task.register {
            host.variables.learned.expect(name, token);
        }
        let shared = once.then(|| ended.clone());
        let completes = Vec::new();
        host.passes.push_back(Pass { position, token, effect: Some(ended), completes });
        host.cursor.advance();
        self.passed(index);
        if let Some(ended) = shared {
            self.share(index, &sharers, task, &ended);
        }
    }

    /// The step is over and leaves no trace.
    pub(super) fn pass_silently(&mut self, index: HostIndex) {
        let Some(host) = self.hosts.get_mut(index.0) else { return };
        host.ahead = None;
        host.cursor.advance();
        self.passed(index);
    }

    /// Tells the dispatcher that the announced step is over.
    pub(super) fn passed(&mut self, index: HostIndex) {
        match self.dispatcher.passed(index) {
            Ok(_) => {}
            Err(misuse) => self.complain(Some(misuse)),
        }
        let idle = self.host(index).is_some_and(|host| host.flights.is_empty());
        if idle {
            self.settle_passes(index);
        }
    }

    /// The evaluator of a task on a host.
    pub(super) fn evaluator<'t>(&self, index: HostIndex, task: &'t Task) -> Evaluator<'t> {
        let view = self.view(index, task);
        Evaluator::new(task, view)
    }

    pub(super) fn view(&self, index: HostIndex, task: &Task) -> View {
        let host = self.host(index);
        let includes = host.map(|host| Self::include_layers(&host.cursor)).unwrap_or_default();
        let variables = match host {
            Some(host) => host.variables.clone(),
            None => self.shared.world.host_or_new("localhost"),
        };
        View {
            world: self.shared.world.clone(),
            host: variables,
            play: Some(self.state.clone()),
            context: Some(task.context.clone()),
            includes,
            local: Layer::default(),
            folder: Some(task.folder.clone()),
            judged: None,
        }
    }

    fn title(&mut self, index: HostIndex, position: &Position, task: &Arc<Task>, handler: bool) {
        let hosts = self.hosts.iter().filter(|host| host.active).count();
        let view = self.view(index, task);
        let loader = self.shared.loader.clone();
        self.shared.report.task(position, || title_of(task, view, &loader, handler, hosts));
    }

    /// With `--step`, whether the operator wants a task; each is asked about once, for all hosts.
    /// Actions of `meta` are none of the tasks that Ansible asks about.
    fn operator_lets_run(
        &mut self,
        index: HostIndex,
        position: &Position,
        task: &Arc<Task>,
        handler: bool,
    ) -> bool {
        if self.shared.step.is_none() || task.module.name == "meta" {
            return true;
        }
        if let Some(said) = self.steps.get(position) {
            return *said;
        }
        let hosts = self.hosts.iter().filter(|host| host.active).count();
        let title = title_of(task, self.view(index, task), &self.shared.loader, handler, hosts);
        let Some(ask) = &self.shared.step else { return true };
        let answer = ask(&title);
        if answer == StepAnswer::RunAll {
            self.shared.step = None;
        }
        let runs = answer != StepAnswer::LeaveOut;
        self.steps.insert(position.clone(), runs);
        runs
    }

    pub(super) fn skip_result(&self, task: &Task, plan: &Plan) -> Ended {
        let mut result = provision_protocol::Object::new();
        result.insert("changed".into(), false.into());
        let mut message = None;
        let mut items = Vec::new();
        if plan.items.is_empty() {
            result.insert("skipped".into(), true.into());
            result.insert("skipped_reason".into(), "No items in the list".into());
            result.insert("results".into(), serde_json::Value::Array(Vec::new()));
            message = Some("no items in the list".to_owned());
        } else if plan.looped {
            let mut results = Vec::new();
            for item in &plan.items {
                let mut entry = skipped(&item.step);
                super::results::name_item(&mut entry, item.item.as_ref());
                results.push(serde_json::Value::Object(entry.clone()));
                let label = item.item.as_ref().map(|item| item.label.clone());
                items.push((Status::Skipped, label.unwrap_or_default(), entry, 0));
            }
            result.insert("results".into(), results.into());
            result.insert("msg".into(), "All items skipped".into());
            result.insert("skipped".into(), true.into());
            message = Some("all items skipped".to_owned());
        } else if let Some(item) = plan.items.first() {
            result = skipped(&item.step);
            if let ItemStep::Skip { condition } = &item.step {
                message = Some(format!("`{condition}` is false"));
            }
        }
        let mut ended = Ended { items, ..Ended::local(Status::Skipped, result, message, task) };
        if plan.keywords.no_log {
            super::results::hide(&mut ended);
        }
        ended
    }

    /// Whom `delegate_to` names.
    pub(super) fn delegate_of(&self, index: HostIndex, task: &Task) -> Option<String> {
        task.context.innermost(|directives| directives.delegate_to.as_ref())?;
        self.evaluator(index, task).delegate().ok().flatten()
    }

    /// A defect of ours; the run goes on as well as it can, and the defect is shown.
    pub(super) fn complain(&mut self, misuse: Option<provision_plan::Misuse>) {
        if let Some(misuse) = misuse {
            self.shared.report.warn(None, format!("internal error, please report it: {misuse}"));
        }
    }
}

/// A condition as a result has it: what isn't text in the playbook isn't here.
pub(super) fn written(condition: &str) -> serde_json::Value {
    match condition {
        "False" | "false" => false.into(),
        text => text.into(),
    }
}

pub(super) fn skipped(step: &ItemStep) -> provision_protocol::Object {
    let mut result = provision_protocol::Object::new();
    result.insert("changed".into(), false.into());
    result.insert("skipped".into(), true.into());
    if let ItemStep::Skip { condition } = step {
        result.insert("skip_reason".into(), "Conditional result was False".into());
        result.insert("false_condition".into(), written(condition));
    }
    result
}

fn is_flush(task: &Task) -> bool {
    task.module.name == "meta"
        && task
            .arguments
            .parameters
            .get("free_form")
            .and_then(yaml::Node::as_str)
            .is_some_and(|action| action.trim() == "flush_handlers")
        && task.context.directives.when.is_empty()
}

fn title_of(
    task: &Task,
    view: View,
    loader: &Mutex<Loader>,
    handler: bool,
    hosts: usize,
) -> TaskTitle {
    let loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
    TaskTitle {
        name: task_name(task, view),
        role: task.context.role().map(|role| role.role.name.clone()),
        module: task.module.name.to_owned(),
        place: loader.sources().place(task.span).to_string(),
        handler,
        hosts,
    }
}

/// What a task without a name is called: its module, and the role that it includes.
fn unnamed(task: &Task) -> String {
    let role = match &task.include {
        Some(Include::Role { name, .. }) => name.as_str(),
        Some(Include::Tasks { .. }) | None => None,
    };
    match role {
        Some(role) => format!("{} : {role}", task.module_written),
        None => task.module_written.clone(),
    }
}

/// The name as people read it: its templates filled in where possible.
fn task_name(task: &Task, view: View) -> String {
    let Some(name) = &task.name else { return unnamed(task) };
    let written = name.as_str().unwrap_or(&task.module_written).to_owned();
    if !provision_template::text_has_template(&written) {
        return written;
    }
    let outside = crate::outside::Outside::of(&view);
    match view.world.engine.render_node(name, &view, &outside) {
        Ok(value) => provision_template::text_of(&value),
        Err(_) => written,
    }
}

impl Evaluator<'_> {
    /// Keywords of a task that could not be evaluated: only what says how to take the failure.
    pub(super) fn keywords_of_failed(&self) -> Keywords {
        let directives = &self.task.context;
        let ignore = self.flag(directives.innermost(|d| d.ignore_errors.as_ref()), false);
        let customs = &self.view.world.settings.customs;
        let no_log = self.flag(directives.innermost(|d| d.no_log.as_ref()), customs.no_log);
        let fatal = directives.innermost(|d| d.any_errors_fatal.as_ref());
        let fatal = self.flag(fatal, customs.any_errors_fatal);
        Keywords {
            ignore_errors: ignore.unwrap_or(false),
            no_log: no_log.unwrap_or(true),
            any_errors_fatal: fatal.unwrap_or(false),
            ..Keywords::default()
        }
    }
}
