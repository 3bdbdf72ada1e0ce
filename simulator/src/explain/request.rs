//! `--request N`: what became of one request, check by check.

use std::collections::BTreeMap;
use std::fmt::Write;

use policy::adaptive::{By, Rule};
use policy::admission::{Account, Accounts, Admission, Candidate, Deadlines, Learned, Limits};
use policy::prediction;
use policy::queue::{Classes, Counts, QueueScope};
use policy::sharing::Unfinished;
use policy::{Class, Nanoseconds, Refusal, Scope, Time};
use simulator_model::look::{Chosen, Look};
use simulator_model::{
    Arrival, Cause, Incident, Lost, Model, Outcome, Path, Paths, Record, Stage, Stopped,
};

use super::{Asked, instant, shares};
use crate::table::grouped;

/// Waits for one request.
struct Wanted {
    number: u64,
    /// Attempts with what was known of each; one, unless its client tries again.
    looks: Vec<(Arrival, Look)>,
    /// By key.
    outcomes: BTreeMap<u64, Outcome>,
    settled: Option<(u32, Option<Time>)>,
    /// What an attempt was lost with, and when; by key.
    lost: BTreeMap<u64, (Time, Lost)>,
    /// The attempt that failed just before, of which that isn't known yet.
    failed: Option<u64>,
    /// When work on it was stopped because its slot had to be given back; by key.
    stops: BTreeMap<u64, Vec<(Time, Stopped)>>,
    /// How many requests have been told of.
    count: u64,
    /// Whether any client tries again.
    tries_again: bool,
}

impl Record for Wanted {
    fn looks(&self) -> bool {
        true
    }

    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        self.count = self.count.max(arrival.number + 1);
        if arrival.number == self.number {
            self.outcomes.insert(arrival.key, outcome);
            let is_stopped = self.stops.get(&arrival.key).and_then(|stops| stops.last());
            let is_stopped = is_stopped.is_some_and(|(_, last)| last.fate == Unfinished::Fail);
            let is_lost = outcome == Err(Refusal::Failed) && !is_stopped;
            self.failed = is_lost.then_some(arrival.key);
        }
    }

    fn finish(&mut self, first: &Arrival, steps: u32, outcome: Result<Time, Refusal>) {
        if first.number == self.number {
            self.settled = Some((steps, outcome.ok()));
        }
    }

    fn settle(&mut self, first: &Arrival, attempts: u32, answered: Option<Time>) {
        if first.number == self.number {
            self.settled = Some((attempts, answered));
        }
    }

    fn incident(&mut self, at: Time, incident: Incident) {
        // The engine tells of requests that fail, and then of what they were lost with.
        if let Incident::Lost(lost) = incident
            && let Some(key) = self.failed.take()
        {
            self.lost.insert(key, (at, lost));
        }
    }

    fn stop(&mut self, at: Time, arrival: &Arrival, stopped: Stopped) {
        if arrival.number == self.number {
            self.stops.entry(arrival.key).or_default().push((at, stopped));
        }
    }

    fn wants(&self, number: u64) -> bool {
        number == self.number
    }

    fn look(&mut self, arrival: &Arrival, look: Look) {
        self.looks.push((*arrival, look));
    }

    fn goes_on(&mut self, _at: Time, number: u64) -> bool {
        // In a run that was stopped nobody tries again, and no rule is asked any more: what becomes
        // of a request that still waits would be something else.
        let is_open = self.outcomes.is_empty() || (self.tries_again && self.settled.is_none());
        number <= self.number || is_open
    }
}

/// What became of a request.
pub fn explain(asked: &Asked, number: u64) -> Result<String, String> {
    let model = &asked.scenario.model;
    let mut wanted = Wanted {
        number,
        looks: Vec::new(),
        outcomes: BTreeMap::new(),
        settled: None,
        lost: BTreeMap::new(),
        failed: None,
        stops: BTreeMap::new(),
        count: 0,
        tries_again: model.has_retries() || !model.pipelines().is_empty(),
    };
    asked.run(&mut wanted)?;
    let Wanted { looks, outcomes, settled, lost, mut stops, count, .. } = wanted;
    let is_piped = !model.pipelines().is_empty();
    let mut attempts = looks.into_iter().filter_map(|(arrival, look)| {
        let outcome = *outcomes.get(&arrival.key)?;
        let lost = lost.get(&arrival.key).copied();
        let stops = stops.remove(&arrival.key).unwrap_or_default();
        Some(Story { model, arrival, look, outcome, lost, stops })
    });
    let Some(story) = attempts.next() else {
        return Err(match count {
            0 => "this run has no requests".to_owned(),
            count => format!(
                "there is no request {number}: this run has {}, with the numbers 0 to {}",
                grouped(count),
                count - 1
            ),
        });
    };
    let text = story
        .text(asked)
        .map(|text| text + &later(&attempts.collect::<Vec<_>>(), settled, is_piped));
    text.ok_or_else(|| "the scenario lacks what this request needs".to_owned())
}

/// What its client did after the first attempt, or which steps followed the first.
fn later(attempts: &[Story<'_>], settled: Option<(u32, Option<Time>)>, is_piped: bool) -> String {
    let mut lines = Lines(String::new());
    for (number, story) in (2..).zip(attempts) {
        let arrived = story.arrival.at;
        let path = Paths::new(story.model).of(&story.arrival).unwrap_or_default();
        let became = match story.outcome {
            Err(cause) => format!("refused by {}", cause.name()),
            Ok(served) => {
                let answered = served.end + path.took(served.transfers).respond;
                format!("served, response {}", answered.since(arrived))
            }
        };
        let gateway = story.arrival.gateway;
        let text = format!("at {}, at gateway {gateway}: {became}", instant(arrived.0));
        let source = story.model.sources.get(usize::from(story.arrival.source));
        let cmd = source.and_then(|source| story.model.cmds.get(source.cmd));
        match cmd.filter(|_| is_piped) {
            Some(cmd) => lines.add(&format!("step {number}"), &format!("{}: {text}", cmd.name)),
            None => lines.add(&format!("attempt {number}"), &text),
        }
    }
    match settled {
        None => {}
        Some((steps, answered)) if is_piped => {
            let end = answered.map_or("came to nothing".to_owned(), |answered| {
                format!("was over at {}", instant(answered.0))
            });
            lines.add("pipeline", &format!("{end}, after step {steps}"));
        }
        Some((attempts, Some(answered))) => lines.add(
            "its client",
            &format!("had its answer at {}, after {}", instant(answered.0), tries(attempts)),
        ),
        Some((attempts, None)) => {
            lines.add("its client", &format!("gave up after {}", tries(attempts)));
        }
    }
    lines.0
}

struct Story<'a> {
    model: &'a Model,
    arrival: Arrival,
    look: Look,
    outcome: Outcome,
    lost: Option<(Time, Lost)>,
    stops: Vec<(Time, Stopped)>,
}

impl Story<'_> {
    fn text(&self, asked: &Asked) -> Option<String> {
        let Story { model, arrival, .. } = self;
        let source = model.sources.get(usize::from(arrival.source))?;
        let (cmd, group) = (model.cmds.get(source.cmd)?, model.tenants.get(source.tenants)?);
        let app = model.apps.get(cmd.app)?;
        let mut lines = Lines(String::new());
        let number = grouped(arrival.number);
        let _ = writeln!(lines.0, "request {number} of {}, seed {}", asked.source(), model.seed);
        lines.add(
            "arrived",
            &format!(
                "at {}, at gateway {} of {}",
                instant(arrival.at.0),
                arrival.gateway,
                model.gateways
            ),
        );
        let before: u32 = model.tenants.iter().take(source.tenants).map(|group| group.users).sum();
        let rank = arrival.user.saturating_sub(before) + 1;
        let mut from =
            format!("user {rank} of {} of `{}` ({})", group.users, group.name, group.class.name());
        // A trace has no entries.
        if asked.cast.is_none() {
            let _ = write!(from, ", workload entry {}", arrival.source);
        }
        lines.add("from", &from);
        lines.add(
            "asks for",
            &format!("`{}` of app `{}`; the work takes {}", cmd.name, app.name, arrival.service),
        );
        let candidate = Candidate {
            deadline: cmd.deadline.map_or(Time(u64::MAX), |deadline| arrival.at + deadline),
            usual: cmd.service.median(),
        };
        let path = Paths::new(model).of(arrival);
        if let Some(path) = &path {
            lines.add("transfers", &transfers(path));
        }
        let admitted = self.admission(&mut lines, candidate, cmd.deadline, group.class);
        if admitted {
            self.queue(&mut lines, group.class, candidate);
        }
        self.end(&mut lines, cmd.deadline, &path.unwrap_or_default());
        Some(lines.0)
    }

    /// The checks of admission, each with its numbers; whether all let it pass.
    fn admission(
        &self,
        lines: &mut Lines,
        candidate: Candidate,
        deadline: Option<Nanoseconds>,
        class: Class,
    ) -> bool {
        let rules = &self.model.admission;
        let (mut accepted, mut user, mut cmd) = (self.look.accepted, self.look.user, self.look.cmd);
        let (mut limiter, mut gate) = (self.look.limiter, self.look.gate.clone());
        let mut learned = Learned {
            limiter: limiter.as_mut().map(|limiter| (limiter, class)),
            gate: gate.as_mut().map(|(gate, priority)| (gate, *priority)),
        };
        let (accepted, user, cmd) = (&mut accepted, &mut user, &mut cmd);
        let accounts = Accounts { accepted, user, cmd, learned: Some(&mut learned) };
        // The rules themselves say which of them refuses.
        let verdict = policy::admit(rules, accounts, candidate, self.arrival.at);
        let refused = verdict.err();
        let mut checks = vec![(Refusal::AcceptPermits, self.accept(rules))];
        checks.push((Refusal::AdaptiveLimit, self.adaptive(rules, class)));
        checks.push((Refusal::Overload, self.overload()));
        checks.push((Refusal::Deadline, self.deadline(rules, candidate, deadline)));
        let limits = [
            (rules.user, self.look.user, Refusal::UserRate, Refusal::UserConcurrency),
            (rules.cmd, self.look.cmd, Refusal::CmdRate, Refusal::CmdConcurrency),
        ];
        for (limits, account, rate, concurrency) in limits {
            checks.push((rate, rate_text(limits, account, self.arrival.at)));
            checks.push((concurrency, concurrency_text(limits, account)));
        }
        for (cause, text) in checks {
            let Some(text) = text else { continue };
            let is_refused = refused == Some(cause);
            lines.check(cause.name(), if is_refused { "refused" } else { "passed" }, &text);
            if is_refused {
                lines.add("", "nothing after this was asked");
                break;
            }
        }
        refused.is_none()
    }

    fn accept(&self, rules: &Admission) -> Option<String> {
        let permits = rules.accept?;
        let (used, all) = (grouped(self.look.accepted.into()), grouped(permits.permits.into()));
        Some(format!("{used} of {all} permits {} in use", scope(permits.scope)))
    }

    fn adaptive(&self, rules: &Admission, class: Class) -> Option<String> {
        let (rules, limiter) = (rules.adaptive?, self.look.limiter?);
        let rule = match rules.rule {
            Rule::Aimd(_) => "aimd",
            Rule::Gradient2(_) => "gradient2",
            Rule::Vegas(_) => "vegas",
        };
        let whose = match rules.by {
            By::All => "",
            By::Cmd => " of its command",
        };
        let kept = rules.shares.map_or(String::new(), |shares| {
            format!(
                "; {} {} of {} that are kept for it",
                class.name(),
                limiter.in_flight_of(class),
                shares.of(class, limiter.limit())
            )
        });
        Some(format!(
            "{}{whose} in flight {}, {rule} allows {} now ({} to {}){kept}",
            grouped(limiter.in_flight().into()),
            scope(rules.scope),
            grouped(limiter.limit().into()),
            grouped(rules.min.into()),
            grouped(rules.max.into()),
        ))
    }

    fn overload(&self) -> Option<String> {
        let (gate, priority) = self.look.gate.as_ref()?;
        Some(format!(
            "its priority is {} (0 is the highest), its app takes those up to {} now",
            priority.0,
            gate.level().0
        ))
    }

    fn deadline(
        &self,
        rules: &Admission,
        candidate: Candidate,
        deadline: Option<Nanoseconds>,
    ) -> Option<String> {
        let left = deadline.filter(|_| rules.deadlines != Deadlines::Ignore)?;
        Some(format!("{left} left, the command usually takes {} (median)", candidate.usual))
    }

    fn queue(&self, lines: &mut Lines, class: Class, candidate: Candidate) {
        let Look { targets, seen, chosen, .. } = &self.look;
        let rule = crate::table::balance(self.model.balance);
        let Some(chosen) = chosen else {
            lines.check("no_instance", "refused", "no target takes requests");
            return;
        };
        let mut text = match self.model.queue.scope {
            QueueScope::Central => "none: it waits at the gateways for an instance".to_owned(),
            QueueScope::Node | QueueScope::Instance => {
                format!("{rule} took target {} of {targets}", chosen.target)
            }
        };
        let others: Vec<String> =
            seen.iter().map(|(target, load)| format!("{target} with {load}")).collect();
        if !others.is_empty() {
            let known = match self.model.network {
                None => "requests there, waiting or worked on",
                Some(_) => "requests there by the last report, and sent since by this gateway",
            };
            let _ = write!(text, "; {known}: {}", others.join(", "));
        }
        lines.add("balance", &text);
        if let Some(network) = self.model.network {
            let there = self.arrival.at + network.delay;
            lines.add("reached it", &format!("at {}, {} later", instant(there.0), network.delay));
        }
        let rules = &self.model.queue;
        let verdict = policy::enqueue(rules, class, chosen.standing);
        let bound = match rules.bound(class) {
            policy::Queue::UNLIMITED => "no bound".to_owned(),
            bound => {
                let whose = match rules.classes {
                    Classes::Together => "all classes",
                    Classes::Apart => "its class",
                };
                let which = match rules.counts {
                    Counts::Waiting => "waiting",
                    Counts::InSystem => "waiting or being worked on",
                };
                let counted = chosen.standing.counted;
                format!("{counted} of {whose} {which}, the bound for {} is {bound}", class.name())
            }
        };
        let idle = if chosen.standing.idle { ", an instance is idle" } else { "" };
        lines.check("queue_full", passed(verdict), &format!("{bound}{idle}"));
        if verdict.is_ok() {
            self.waits(lines, chosen, class, candidate);
        }
        lines.add("there", &self.there(chosen));
    }

    /// What rules ask about the wait that was predicted.
    fn waits(&self, lines: &mut Lines, chosen: &Chosen, class: Class, candidate: Candidate) {
        let rules = &self.model.queue;
        if let (Some(predicted), Some(longest)) = (chosen.predicted, &rules.longest_wait) {
            let longest = longest.of(class);
            let is_refused = longest.is_some_and(|longest| predicted > longest);
            let verdict = if is_refused { "refused" } else { "passed" };
            let bound = longest.map_or("no bound".to_owned(), |longest| longest.to_string());
            let text = format!("would wait for {predicted}, {} at most: {bound}", class.name());
            lines.check("long_wait", verdict, &text);
            if is_refused {
                return;
            }
        }
        let is_asked = self.model.admission.deadlines == Deadlines::Predict
            && candidate.deadline < Time(u64::MAX);
        if let Some(predicted) = chosen.predicted.filter(|_| is_asked) {
            // Behind a network its target judges, when it is there.
            let delay = self.model.network.map_or(Nanoseconds::ZERO, |network| network.delay);
            let now = self.arrival.at + delay;
            let verdict = prediction::in_time(candidate, now + predicted);
            let left = candidate.deadline.since(now);
            let text = format!(
                "would wait for {predicted}, and usually takes {} then; {left} left",
                candidate.usual
            );
            lines.check("deadline", passed(verdict), &text);
        }
    }

    /// What stood at the chosen target.
    fn there(&self, chosen: &Chosen) -> String {
        let [free, paid] = chosen.waiting;
        let coming = match chosen.coming.iter().sum::<u32>() {
            0 => String::new(),
            count => format!(", {count} more on their way"),
        };
        let what = match self.model.queue.scope {
            QueueScope::Node => "machine",
            QueueScope::Instance => "instance",
            QueueScope::Central => "app",
        };
        let app = self.model.sources.get(usize::from(self.arrival.source));
        let app = app.and_then(|source| self.model.cmds.get(source.cmd));
        let app = app.and_then(|cmd| self.model.apps.get(cmd.app));
        if let Some(crowd) = app.and_then(|app| app.crowd.as_ref()) {
            return format!(
                "{} waited at that {what} ({free} free, {paid} paid), {} worked on by {} instances, \
                 {} at most by each{coming}",
                free + paid,
                chosen.running,
                chosen.instances,
                crowd.concurrency()
            );
        }
        format!(
            "{} waited at that {what} ({free} free, {paid} paid), {} of {} instances worked{coming}",
            free + paid,
            chosen.running,
            chosen.instances
        )
    }

    fn end(&self, lines: &mut Lines, deadline: Option<Nanoseconds>, path: &Path) {
        let arrived = self.arrival.at;
        for (at, stopped) in &self.stops {
            lines.add("stopped", &shares::stopped(*at, *stopped));
        }
        match self.outcome {
            Err(Refusal::Failed) => {
                if let Some((at, lost)) = self.lost {
                    let what = match lost.cause {
                        Cause::Machine => format!("machine {} failed", lost.machine),
                        Cause::Killed => format!(
                            "its instance on machine {} was ended: its grace was over",
                            lost.machine
                        ),
                        Cause::Left => format!(
                            "no instance was left to take it: the last one was gone from machine {}",
                            lost.machine
                        ),
                        Cause::Crash { .. } => {
                            format!("its instance on machine {} ended", lost.machine)
                        }
                    };
                    let after = at.since(arrived);
                    let others = lost.requests.saturating_sub(1);
                    let text = format!(
                        "at {}, {after} after its arrival: {what}; {others} others failed with it",
                        instant(at.0)
                    );
                    lines.add("failed", &text);
                }
                lines.add("outcome", &Refusal::Failed.to_string());
            }
            Err(cause) => lines.add("outcome", &format!("refused by {}: {cause}", cause.name())),
            Ok(served) => {
                let alone = *path;
                let path = &alone.took(served.transfers);
                if served.transfers.is_some() {
                    lines.add("shared links", &slower(&alone, path));
                }
                let way = self.model.network.map_or(Nanoseconds::ZERO, |network| network.delay);
                let joined = arrived + way + path.before();
                let wait = served.start.since(joined);
                let answered = served.end + path.respond + way;
                let response = answered.since(arrived);
                if path.before() > Nanoseconds::ZERO {
                    lines.add("came", &came(path, self.model.queue.scope));
                }
                // What had arrived before it may come after it, and the other way round.
                let is_in_order = !self.model.has_stages();
                let behind = match self.look.chosen {
                    Some(chosen) if wait > Nanoseconds::ZERO && is_in_order => {
                        match chosen.waiting.iter().sum::<u32>() {
                            0 => " until an instance was free".to_owned(),
                            count => format!(" behind {count} others in the queue"),
                        }
                    }
                    _ => String::new(),
                };
                lines.add("waited", &format!("{wait}{behind}"));
                lines.add("worked on", &format!("from {}", instant(served.start.0)));
                if path.respond > Nanoseconds::ZERO {
                    let ended = instant(served.end.0);
                    lines.add("answered", &format!("in {}, from {ended}", path.respond));
                }
                let late = match deadline {
                    Some(deadline) if response > deadline => {
                        format!(", too late: its deadline is {deadline}")
                    }
                    Some(deadline) => format!(", within its deadline of {deadline}"),
                    None => String::new(),
                };
                let end = instant(answered.0);
                lines.add("outcome", &format!("served at {end}, response {response}{late}"));
            }
        }
    }
}

/// What its transfers took beside others.
fn slower(alone: &Path, path: &Path) -> String {
    let told = |what: &str, alone: Nanoseconds, took: Nanoseconds| {
        format!("the {what} took {took}, alone it would have taken {alone}")
    };
    let [source, answer] = [
        ("download", alone.download, path.download, alone.source_bytes),
        ("answer", alone.respond, path.respond, alone.answer_bytes),
    ]
    .map(|(what, alone, took, bytes)| bytes.map(|_| told(what, alone, took)));
    source.into_iter().chain(answer).collect::<Vec<_>>().join("; ")
}

fn tries(attempts: u32) -> String {
    if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") }
}

/// What is sent to and from the machine.
fn transfers(path: &Path) -> String {
    let source = match (path.source_bytes, path.is_cached) {
        (None, _) => "no source".to_owned(),
        (Some(bytes), true) => format!("a source of {}, in the cache of the machine", size(bytes)),
        (Some(bytes), false) => format!("a source of {}, to be downloaded", size(bytes)),
    };
    match path.answer_bytes {
        None => source,
        Some(bytes) => format!("{source}; an answer of {}", size(bytes)),
    }
}

/// The way to the queue, stage by stage; from a queue of the gateways, to the instance.
fn came(path: &Path, scope: QueueScope) -> String {
    let stages = [(Stage::Accept, path.accept), (Stage::Dispatch, path.dispatch)];
    let stages = stages.into_iter().chain([(Stage::Download, path.download)]);
    let stages: Vec<String> = stages
        .filter(|(_, time)| *time > Nanoseconds::ZERO)
        .map(|(stage, time)| format!("{} {time}", stage.name()))
        .collect();
    let way = match scope {
        QueueScope::Node | QueueScope::Instance => "to the queue after",
        QueueScope::Central => "to the instance that took it, but for its wait, after",
    };
    format!("{way} {}: {}", path.before(), stages.join(", "))
}

/// Bytes for people.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

const fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Gateway => "at its gateway",
        Scope::Cluster => "in the cluster",
    }
}

/// How near an account was to its rate; none without one.
fn rate_text(limits: Option<Limits>, account: Account, now: Time) -> Option<String> {
    let limits = limits?;
    let rate = limits.rate?;
    let latest = now + rate.tolerance;
    let each = format!("a request each {} {}", rate.interval, scope(limits.scope));
    Some(if account.expected > latest {
        format!("{each}; the next may come in {}", account.expected.since(latest))
    } else {
        let at_once = latest.since(account.expected).0 / rate.interval.0.max(1) + 1;
        let burst = rate.tolerance.0 / rate.interval.0.max(1) + 1;
        format!("{each}; {} of {} might come at once", grouped(at_once.min(burst)), grouped(burst))
    })
}

/// How many requests an account had in flight; none without a limit.
fn concurrency_text(limits: Option<Limits>, account: Account) -> Option<String> {
    let limits = limits?;
    let most = grouped(limits.concurrency?.into());
    Some(format!(
        "{} of {most} in flight {}",
        grouped(account.in_flight.into()),
        scope(limits.scope)
    ))
}

const fn passed(verdict: Result<(), Refusal>) -> &'static str {
    match verdict {
        Ok(()) => "passed",
        Err(_) => "refused",
    }
}

/// Lines with a name and what it was.
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, text: &str) {
        let _ = writeln!(self.0, "  {name:<17} {text}");
    }

    fn check(&mut self, name: &str, verdict: &str, text: &str) {
        self.add(name, &format!("{verdict}: {text}"));
    }
}
