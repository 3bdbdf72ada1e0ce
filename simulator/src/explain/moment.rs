//! `--at TIME --app NAME`: what an app was like at an instant, and what scaling decided around it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use policy::scaling::{Action, Observation};
use policy::{Class, Nanoseconds, Time};
use scheduler_core::decision::Decision as ScheduledDecision;
use simulator_model::timeline::Decision;
use simulator_model::{
    Arrival, Cause, Incident, Instances, Lost, Outcome, Paths, Record, Served, Slot,
};

use super::shares::Shares;
use super::{Asked, instant};
use crate::control::Memory;
use crate::table::grouped;

/// How long after the instant a change is waited for.
const PATIENCE: Nanoseconds = Nanoseconds::from_seconds(3_600);

/// Looks at one app at one instant.
struct Moment<'a> {
    at: Time,
    app: usize,
    /// App and class of each source.
    sources: &'a [(usize, Class)],
    paths: Paths,
    /// How long a request is on its way to its target.
    way: Nanoseconds,
    coming: [u64; Class::ALL.len()],
    waiting: [u64; Class::ALL.len()],
    busy: [u64; Class::ALL.len()],
    /// The request that has waited longest at the instant.
    longest: Option<(Time, Arrival)>,
    /// Numbers of the first and the last request for the app, and of the last refused one, up to
    /// the instant.
    last: Option<Arrival>,
    last_refused: Option<(Arrival, policy::Refusal)>,
    instances: Instances,
    before: Option<Decision>,
    change_before: Option<Decision>,
    after: Option<Decision>,
    change_after: Option<Decision>,
    faults: Troubles,
    shares: Shares,
    memory: Memory,
}

/// Faults up to the instant.
#[derive(Default)]
struct Troubles {
    down: BTreeMap<u32, Time>,
    slow: BTreeMap<u32, u32>,
    /// The last losses of the app.
    lost: VecDeque<(Time, Lost)>,
}

/// Losses that are told.
const LOSSES: usize = 3;

impl Troubles {
    fn incident(&mut self, at: Time, app: usize, incident: Incident) {
        match incident {
            Incident::Failed { machine } => drop(self.down.insert(machine, at)),
            Incident::Repaired { machine } => drop(self.down.remove(&machine)),
            Incident::Slow { machine, slowdown: 0 } => drop(self.slow.remove(&machine)),
            Incident::Slow { machine, slowdown } => drop(self.slow.insert(machine, slowdown)),
            Incident::Lost(lost) if lost.app == app => {
                self.lost.push_back((at, lost));
                if self.lost.len() > LOSSES {
                    self.lost.pop_front();
                }
            }
            Incident::Lost(_) => {}
        }
    }

    fn tell(&self, add: &mut impl FnMut(&str, String)) {
        if !self.down.is_empty() {
            let down = self.down.iter();
            let each = down.map(|(machine, at)| format!("{machine} since {}", Nanoseconds(at.0)));
            add("machines down", each.collect::<Vec<_>>().join(", "));
        }
        if !self.slow.is_empty() {
            let slow = self.slow.iter().map(|(machine, slowdown)| {
                format!("{machine} ({} times)", f64::from(1000 + slowdown) / 1000.0)
            });
            add("machines slow", slow.collect::<Vec<_>>().join(", "));
        }
        for (at, lost) in &self.lost {
            let (instances, machine) = (lost.instances, lost.machine);
            let what = match lost.cause {
                Cause::Machine => format!("{instances} instances with machine {machine}"),
                Cause::Killed => {
                    format!("an instance on machine {machine} was ended: its grace was over")
                }
                Cause::Left => {
                    format!("the last instance of a queue was gone from machine {machine}")
                }
                Cause::Crash { wait: Nanoseconds::ZERO } => {
                    format!("an instance on machine {machine} ended")
                }
                Cause::Crash { wait } => {
                    format!(
                        "an instance on machine {machine} ended; the next may start {wait} later"
                    )
                }
            };
            let (at, requests) = (Nanoseconds(at.0), lost.requests);
            add("lost", format!("at {at}: {what}; {requests} requests failed"));
        }
    }
}

impl Record for Moment<'_> {
    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        let Some((app, class)) = self.sources.get(usize::from(arrival.source)) else { return };
        if *app != self.app || arrival.at > self.at {
            return;
        }
        // Outcomes come in any order.
        if self.last.is_none_or(|last| last.number < arrival.number) {
            self.last = Some(*arrival);
        }
        match outcome {
            Err(cause) => {
                let last = self.last_refused.map(|(arrival, _)| arrival.number);
                if last.is_none_or(|last| last < arrival.number) {
                    self.last_refused = Some((*arrival, cause));
                }
            }
            Ok(served) if self.joined(arrival, served) > self.at => {
                count(&mut self.coming, *class);
            }
            Ok(served) if served.start > self.at => {
                count(&mut self.waiting, *class);
                let joined = self.joined(arrival, served);
                let place = |(joined, arrival): (Time, Arrival)| (joined, arrival.number);
                let this = (joined, *arrival);
                if self.longest.is_none_or(|longest| place(this) < place(longest)) {
                    self.longest = Some(this);
                }
            }
            Ok(served) if served.end > self.at => count(&mut self.busy, *class),
            Ok(_) => {}
        }
    }

    fn change(&mut self, at: Time, app: usize, instances: Instances) {
        if app == self.app && at <= self.at {
            self.instances = instances;
        }
    }

    fn decide(&mut self, at: Time, app: usize, seen: Observation, action: Action) {
        if app != self.app {
            return;
        }
        let decision = Decision { at, app, seen, action };
        let changes = !matches!(action, Action::Keep(_));
        if at <= self.at {
            self.before = Some(decision);
            self.change_before = if changes { Some(decision) } else { self.change_before };
        } else {
            self.after = self.after.or(Some(decision));
            let first = self.change_after.or(changes.then_some(decision));
            self.change_after = first;
        }
    }

    fn scheduled(&mut self, at: Time, app: Option<usize>, decision: &ScheduledDecision) {
        self.memory.scheduled(at, app, decision);
    }

    fn turned(&mut self, at: Time, ahead: Nanoseconds, state: &scheduler_core::State) {
        self.memory.turned(at, ahead, state);
    }

    fn incident(&mut self, at: Time, incident: Incident) {
        if at <= self.at {
            self.faults.incident(at, self.app, incident);
        }
    }

    fn share(
        &mut self,
        at: Time,
        pair: usize,
        seen: policy::sharing::Observation,
        action: policy::sharing::Action,
    ) {
        self.shares.share(at, pair, seen, action);
    }

    fn slot(&mut self, at: Time, slot: Slot) {
        self.shares.slot(at, slot);
    }

    fn goes_on(&mut self, at: Time, _number: u64) -> bool {
        let decides = self.before.is_some() || self.after.is_some();
        let scales = decides && self.change_after.is_none();
        let wanted = scales || self.shares.waits();
        at <= self.at || (wanted && at <= self.at + PATIENCE)
    }
}

impl Moment<'_> {
    /// When a request was in its queue.
    fn joined(&self, arrival: &Arrival, served: Served) -> Time {
        let path = self.paths.of(arrival).map(|path| path.took(served.transfers));
        let there = arrival.at + self.way;
        path.map_or(there, |path| there + path.before())
    }
}

fn count(counts: &mut [u64; Class::ALL.len()], class: Class) {
    if let Some(count) = counts.get_mut(class.index()) {
        *count += 1;
    }
}

/// What an app was like at an instant.
pub fn explain(asked: &Asked, at: Nanoseconds, app: &str) -> Result<String, String> {
    let model = &asked.scenario.model;
    let Some(place) = model.apps.iter().position(|known| known.name == app) else {
        let names: Vec<&str> = model.apps.iter().map(|app| app.name.as_str()).collect();
        let hint = match diagnostics::closest(app, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", names.join(", ")),
        };
        return Err(format!("there is no app `{app}` in this run; {hint}"));
    };
    if at >= model.duration {
        return Err(format!(
            "{at} is after the end: this run takes {} of arrivals",
            model.duration
        ));
    }
    let sources = sources(model);
    let ready = model.apps.get(place).map_or(0, simulator_model::App::all_instances);
    let mut moment = Moment {
        at: Time(at.0),
        app: place,
        sources: &sources,
        paths: Paths::new(model),
        way: model.network.map_or(Nanoseconds::ZERO, |network| network.delay),
        coming: [0; Class::ALL.len()],
        waiting: [0; Class::ALL.len()],
        busy: [0; Class::ALL.len()],
        longest: None,
        last: None,
        last_refused: None,
        instances: Instances {
            ready: u32::try_from(ready).unwrap_or(u32::MAX),
            ..Instances::default()
        },
        before: None,
        change_before: None,
        after: None,
        change_after: None,
        faults: Troubles::default(),
        shares: Shares::new(model, place, Time(at.0)),
        memory: Memory::new(model, place, Time(at.0)),
    };
    asked.run(&mut moment)?;
    Ok(text(asked, app, &moment))
}

fn sources(model: &simulator_model::Model) -> Vec<(usize, Class)> {
    let source = |source: &simulator_model::Source| {
        let class = model.tenants.get(source.tenants).map_or(Class::Free, |group| group.class);
        (model.cmds.get(source.cmd).map_or(0, |cmd| cmd.app), class)
    };
    model.sources.iter().map(source).collect()
}

fn text(asked: &Asked, app: &str, moment: &Moment<'_>) -> String {
    let mut text = String::new();
    let mut add = |name: &str, line: String| {
        let _ = writeln!(text, "  {name:<17} {line}");
    };
    let both = |counts: &[u64; 2]| {
        let [free, paid] = counts;
        format!("{} ({} free, {} paid)", grouped(free + paid), grouped(*free), grouped(*paid))
    };
    let Instances { ready, starting, leaving } = moment.instances;
    let number = |count: u32| grouped(u64::from(count));
    let [ready, starting, leaving] = [ready, starting, leaving].map(number);
    add("instances", format!("{ready} ready, {starting} starting, {leaving} leaving"));
    add("worked on", both(&moment.busy));
    if asked.scenario.model.has_stages() || asked.scenario.model.network.is_some() {
        add("coming", both(&moment.coming));
    }
    add("waiting", both(&moment.waiting));
    moment.faults.tell(&mut add);
    if let Some((joined, longest)) = moment.longest {
        let waited = moment.at.since(joined);
        add("waits longest", format!("request {}, for {waited}", longest.number));
    }
    match moment.last {
        Some(last) => {
            add("last arrival", format!("request {}, at {}", last.number, instant(last.at.0)))
        }
        None => add("last arrival", "none so far".to_owned()),
    }
    match moment.last_refused {
        Some((arrival, cause)) => add(
            "last refused",
            format!(
                "request {}, at {}, by {}",
                arrival.number,
                instant(arrival.at.0),
                cause.name()
            ),
        ),
        None => add("last refused", "none so far".to_owned()),
    }
    if moment.before.is_none() && moment.after.is_none() {
        add("scaling", "decides nothing in this run: the app doesn't scale".to_owned());
    } else {
        let shown = |decision: Option<Decision>| {
            decision.map_or("none".to_owned(), |Decision { at, seen, action, .. }| {
                let at = Nanoseconds(at.0);
                let text = seen.to_string();
                let rest = text.split_once(' ').map_or("", |(_, rest)| rest);
                format!("at {at}: {action} (saw {} {rest})", grouped(seen.tasks))
            })
        };
        add("last decision", shown(moment.before));
        add("last change", shown(moment.change_before));
        add("next decision", shown(moment.after));
        let next = shown(moment.change_after);
        let none = format!("none within {PATIENCE}");
        add("next change", if moment.change_after.is_none() { none } else { next });
    }
    moment.shares.tell(&mut add);
    moment.memory.tell(&mut add);
    let at = instant(moment.at.0);
    let seed = asked.scenario.model.seed;
    format!("app `{app}` of {} at {at}, seed {seed}\n{text}", asked.source())
}
