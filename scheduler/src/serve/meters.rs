//! Counters of the daemon, and all that it measures in the text format of Prometheus. Nothing is
//! labelled by instance: instances come and go, and each would leave a series behind.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scheduler_core::instance::Life;
use scheduler_core::machine::Machine;
use scheduler_core::{Command, State};
use scheduler_mesos_client::Figures;

/// Upper bounds of the histogram of turns, in seconds.
const TURN_BOUNDS_SECONDS: [f64; 8] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0];

/// Counters.
#[derive(Debug, Default)]
pub struct Meters {
    events: AtomicU64,
    turns: [AtomicU64; TURN_BOUNDS_SECONDS.len() + 1],
    turn_nanoseconds: AtomicU64,
    writes: AtomicU64,
    records: AtomicU64,
    writes_failed: AtomicU64,
    launches: AtomicU64,
    kills: AtomicU64,
    requests: AtomicU64,
    requests_refused: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Meters {
    /// A turn with so many events has been made.
    pub fn turn(&self, events: usize, length: Duration) {
        add(&self.events, events as u64);
        add(&self.turn_nanoseconds, u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        let seconds = length.as_secs_f64();
        let bucket = TURN_BOUNDS_SECONDS.partition_point(|bound| *bound < seconds);
        if let Some(counter) = self.turns.get(bucket) {
            add(counter, 1);
        }
    }

    /// So many records are on their way to the store.
    pub fn write(&self, records: usize) {
        add(&self.writes, 1);
        add(&self.records, records as u64);
    }

    /// The store has refused a write.
    pub fn write_failed(&self) {
        add(&self.writes_failed, 1);
    }

    /// Something is done with an instance.
    pub fn command(&self, command: &Command) {
        match command {
            Command::Launch(_) => add(&self.launches, 1),
            Command::Kill { .. } => add(&self.kills, 1),
            _ => {}
        }
    }

    /// A request has been answered.
    pub fn request(&self, is_refused: bool) {
        add(&self.requests, 1);
        add(&self.requests_refused, u64::from(is_refused));
    }

    /// All of it, and what the state says, in the text format of Prometheus.
    pub fn text(&self, state: &State, last_event: u64) -> String {
        let mut text = Text::default();
        text.one("build_info", "gauge", "The program.", &[(version_label(), 1)]);
        let is_leading = [(String::new(), u64::from(state.is_leading()))];
        text.one("leading", "gauge", "Whether this scheduler leads.", &is_leading);
        let counters = [
            ("events_total", "Events that went into the core.", &self.events),
            ("writes_total", "Batches that went to the store.", &self.writes),
            ("records_total", "Records that went to the store.", &self.records),
            ("writes_failed_total", "Batches that the store refused.", &self.writes_failed),
            ("launches_total", "Launches that left.", &self.launches),
            ("kills_total", "Kills that left, repeated ones included.", &self.kills),
            ("requests_total", "Requests to the API.", &self.requests),
            ("requests_refused_total", "Requests that were refused.", &self.requests_refused),
        ];
        for (name, help, counter) in counters {
            text.one(name, "counter", help, &[(String::new(), read(counter))]);
        }
        let last = [(String::new(), last_event)];
        text.one("last_event_number", "gauge", "Number of the last event of the stream.", &last);
        self.turns(&mut text);
        apps(&mut text, state);
        machines(&mut text, state);
        text.0
    }

    fn turns(&self, text: &mut Text) {
        text.head("turn_seconds", "histogram", "Length of the turns of the core.");
        let mut total = 0;
        for (number, counter) in self.turns.iter().enumerate() {
            total += read(counter);
            let bound = TURN_BOUNDS_SECONDS.get(number).map(ToString::to_string);
            let bound = bound.unwrap_or_else(|| "+Inf".to_owned());
            text.line(&format!("turn_seconds_bucket{{le=\"{bound}\"}} {total}"));
        }
        let seconds = Duration::from_nanos(read(&self.turn_nanoseconds)).as_secs_f64();
        text.line(&format!("turn_seconds_sum {seconds}"));
        text.line(&format!("turn_seconds_count {total}"));
    }
}

/// What the client of Mesos has counted.
pub fn of_mesos(figures: &Figures) -> String {
    let mut text = Text::default();
    let counters = [
        ("mesos_calls_total", "Calls that were written to the master.", &figures.sent),
        ("mesos_calls_answered_total", "Calls that the master answered.", &figures.answered),
        ("mesos_events_total", "Events that came from the master.", &figures.events),
    ];
    for (name, help, counter) in counters {
        text.one(name, "counter", help, &[(String::new(), read(counter))]);
    }
    let help =
        "From when what an acceptance needs came, offers and launches, to when it was written.";
    text.head("accept_seconds", "histogram", help);
    let mut total = 0;
    for (bound, count) in figures.accepts.cumulative() {
        let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
        text.line(&format!("accept_seconds_bucket{{le=\"{bound}\"}} {count}"));
        total = count;
    }
    text.line(&format!("accept_seconds_sum {}", figures.accepts.sum_seconds()));
    text.line(&format!("accept_seconds_count {total}"));
    text.finish()
}

fn version_label() -> String {
    format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))
}

const LIVES: [Life; 10] = [
    Life::Waiting,
    Life::Intended,
    Life::Launching,
    Life::Running,
    Life::Registering,
    Life::Serving { weight_thousandths: 0 },
    Life::Deregistering,
    Life::CoolingDown,
    Life::Killing,
    Life::Sweeping,
];

fn apps(text: &mut Text, state: &State) {
    let (mut wanted, mut instances, mut deploying) = (Vec::new(), Vec::new(), Vec::new());
    let mut doubted = 0;
    for (name, app) in state.apps() {
        wanted.push((format!("{{app=\"{name}\"}}"), u64::from(app.wanted)));
        deploying.push((format!("{{app=\"{name}\"}}"), u64::from(app.deployment.is_some())));
        let mut counts = BTreeMap::new();
        for instance in app.instances.values() {
            *counts.entry(instance.life.name()).or_insert(0) += 1;
            doubted += u64::from(instance.is_doubted);
        }
        for life in LIVES {
            let of = counts.get(life.name()).copied().unwrap_or(0);
            instances.push((format!("{{app=\"{name}\",life=\"{}\"}}", life.name()), of));
        }
    }
    text.one("app_wanted_instances", "gauge", "Instances that an app should have.", &wanted);
    text.one("app_instances", "gauge", "Instances of an app by where they stand.", &instances);
    text.one("app_deploying", "gauge", "Whether a version is being rolled out.", &deploying);
    let help = "Instances that a new leader has asked for and not heard of yet.";
    text.one("instances_doubted", "gauge", help, &[(String::new(), doubted)]);
}

fn machines(text: &mut Text, state: &State) {
    let count = |wanted: fn(&Machine) -> bool| {
        state.machines().values().filter(|machine| wanted(machine)).count() as u64
    };
    let rows = [
        ("{state=\"up\"}", count(Machine::is_open)),
        ("{state=\"draining\"}", count(|one| one.silent_since.is_none() && one.is_emptied())),
        ("{state=\"silent\"}", count(|one| one.silent_since.is_some())),
    ]
    .map(|(label, value)| (label.to_owned(), value));
    text.one("machines", "gauge", "Machines by state.", &rows);
}

/// The text as it grows.
#[derive(Default)]
pub struct Text(String);

impl Text {
    /// What follows is of this kind.
    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string can't fail.
        let _ = writeln!(self.0, "# HELP scheduler_{name} {help}\n# TYPE scheduler_{name} {kind}");
    }

    /// The text so far.
    pub fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.0, "scheduler_{line}");
    }

    /// All values of a metric; nothing without values.
    pub fn one(&mut self, name: &str, kind: &str, help: &str, values: &[(String, u64)]) {
        if values.is_empty() {
            return;
        }
        self.head(name, kind, help);
        for (labels, value) in values {
            self.line(&format!("{name}{labels} {value}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use policy::config::Policy;

    use super::*;

    #[test]
    fn counters_are_told_with_help_and_kind() {
        let meters = Meters::default();
        meters.turn(3, Duration::from_millis(2));
        meters.turn(1, Duration::from_secs(9));
        meters.request(true);
        let text = meters.text(&State::new(Policy::recommended()), 7);
        for line in [
            "scheduler_events_total 4",
            "scheduler_turn_seconds_bucket{le=\"0.003\"} 1",
            "scheduler_turn_seconds_bucket{le=\"+Inf\"} 2",
            "scheduler_turn_seconds_count 2",
            "scheduler_requests_refused_total 1",
            "scheduler_last_event_number 7",
            "scheduler_machines{state=\"silent\"} 0",
            "# TYPE scheduler_turn_seconds histogram",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        let figures = Figures::default();
        figures.accepts.add(Duration::from_millis(2));
        let text = of_mesos(&figures);
        for line in [
            "# TYPE scheduler_accept_seconds histogram",
            "scheduler_accept_seconds_bucket{le=\"0.0015\"} 0",
            "scheduler_accept_seconds_bucket{le=\"0.002\"} 1",
            "scheduler_accept_seconds_bucket{le=\"+Inf\"} 1",
            "scheduler_accept_seconds_sum 0.002",
            "scheduler_accept_seconds_count 1",
            "scheduler_mesos_calls_total 0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }
}
