//! Puts results into task order: hosts run ahead, people read one task after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use provision_plan::Position;

use crate::event::{Event, HostRecap, HostResult, Status};
use crate::redact::KnownSecrets;

/// Takes events; called from one thread, in order.
pub trait Sink: Send {
    /// One event.
    fn event(&mut self, event: &Event);

    /// The task that everything waits for, before its first result: for live views, not for
    /// records, because what is skipped silently is announced, too.
    fn awaiting(&mut self, _title: &TaskTitle) {}

    /// One of several playbooks is over, and others follow: the counts so far. Only who prints as
    /// Ansible does has something to say of it.
    fn playbook_ended(&mut self, _recap: &[HostRecap]) {}

    /// A task of `meta` did something, or was skipped: no result, but Ansible shows it.
    fn steered(&mut self, _title: &TaskTitle, _steering: &Steering) {}
}

/// What a task of `meta` did.
#[derive(Debug, Clone)]
pub struct Steering {
    /// Host whose turn it was.
    pub host: String,
    /// What was done, or why nothing was.
    pub message: String,
    /// Whether its condition didn't hold.
    pub is_skipped: bool,
    /// Whether it was done for all hosts at once.
    pub is_for_all: bool,
}

/// What is known of a task before its results.
#[derive(Debug, Clone)]
pub struct TaskTitle {
    /// Name as shown.
    pub name: String,
    /// Role.
    pub role: Option<String>,
    /// Module.
    pub module: String,
    /// `file:line:col`.
    pub place: String,
    /// Whether it is a handler.
    pub handler: bool,
    /// How many hosts are in the play.
    pub hosts: usize,
}

#[derive(Debug)]
struct Row {
    title: TaskTitle,
    number: Option<u64>,
    waiting: Vec<Waiting>,
    /// Whether `meta` has told of what it did.
    is_steered: bool,
}

/// What is to be told of a task when its turn comes.
#[derive(Debug)]
enum Waiting {
    Retry { host: String, attempts: u64, left: u64 },
    Poll { host: String, job: String, failed: Option<bool> },
    Item(HostResult),
    Result(HostResult),
    Steered(Steering),
}

/// Orders results by position and counts the recap.
pub struct Report {
    sink: Box<dyn Sink>,
    rows: BTreeMap<Position, Row>,
    next_number: u64,
    awaited: Option<Position>,
    recap: BTreeMap<String, HostRecap>,
}

/// Takes known secrets out of every event before anybody gets it.
struct Redacting {
    known: Arc<KnownSecrets>,
    next: Box<dyn Sink>,
}

impl Sink for Redacting {
    fn event(&mut self, event: &Event) {
        match self.known.event(event) {
            Some(clean) => self.next.event(&clean),
            None => self.next.event(event),
        }
    }

    fn awaiting(&mut self, title: &TaskTitle) {
        let clean = TaskTitle { name: self.known.text(&title.name), ..title.clone() };
        self.next.awaiting(&clean);
    }

    fn playbook_ended(&mut self, recap: &[HostRecap]) {
        self.next.playbook_ended(recap);
    }

    fn steered(&mut self, title: &TaskTitle, steering: &Steering) {
        let clean = TaskTitle { name: self.known.text(&title.name), ..title.clone() };
        self.next.steered(&clean, steering);
    }
}

impl Report {
    /// A report that tells `sink` everything but what is secret.
    #[must_use]
    pub fn new(sink: Box<dyn Sink>, known: Arc<KnownSecrets>) -> Self {
        let sink = Box::new(Redacting { known, next: sink });
        let recap = BTreeMap::new();
        Report { sink, rows: BTreeMap::new(), next_number: 0, awaited: None, recap }
    }

    /// Passes on an event that has no place among tasks.
    pub fn event(&mut self, event: &Event) {
        self.sink.event(event);
    }

    /// One of several playbooks is over; others follow. `hosts`: the order of the counts so far.
    pub fn playbook_ended(&mut self, hosts: &[String]) {
        self.settle(None);
        let recap = self.recap(hosts);
        self.sink.playbook_ended(&recap);
    }

    /// Tells of a warning.
    pub fn warn(&mut self, host: Option<&str>, message: impl Into<String>) {
        self.sink.event(&Event::Warning { host: host.map(str::to_owned), message: message.into() });
    }

    /// Announces a task at a position, before its results.
    pub fn task(&mut self, position: &Position, title: impl FnOnce() -> TaskTitle) {
        self.rows.entry(position.clone()).or_insert_with(|| Row {
            title: title(),
            number: None,
            waiting: Vec::new(),
            is_steered: false,
        });
        self.show_first();
    }

    /// A result at an announced position; `item` for one loop item.
    pub fn result(&mut self, position: &Position, item: bool, result: HostResult) {
        if !item {
            self.count(&result);
        }
        let result = if item { Waiting::Item(result) } else { Waiting::Result(result) };
        self.wait(position, result);
    }

    /// An attempt at an announced position was in vain.
    pub fn retry(&mut self, position: &Position, host: &str, attempts: u64, left: u64) {
        self.wait(position, Waiting::Retry { host: host.to_owned(), attempts, left });
    }

    /// A detached job of an announced position was asked for; `failed` once it is over.
    pub fn polled(&mut self, position: &Position, host: &str, job: &str, failed: Option<bool>) {
        let (host, job) = (host.to_owned(), job.to_owned());
        self.wait(position, Waiting::Poll { host, job, failed });
    }

    /// A task of `meta` at an announced position is over on a host. What is done for all hosts is
    /// told once.
    pub fn steered(&mut self, position: &Position, steering: Steering) {
        if let Some(row) = self.rows.get_mut(position) {
            let is_told = std::mem::replace(&mut row.is_steered, true);
            if is_told && steering.is_for_all {
                return;
            }
        }
        self.wait(position, Waiting::Steered(steering));
    }

    fn wait(&mut self, position: &Position, told: Waiting) {
        if let Some(row) = self.rows.get_mut(position) {
            row.waiting.push(told);
        }
        self.show_first();
    }

    /// All active hosts are at or beyond `frontier`: earlier tasks are over.
    pub fn settle(&mut self, frontier: Option<&Position>) {
        while let Some(entry) = self.rows.first_entry() {
            if frontier.is_some_and(|frontier| entry.key() >= frontier) {
                break;
            }
            let mut row = entry.remove();
            show(self.sink.as_mut(), &mut self.next_number, &mut row);
            if let Some(task) = row.number {
                self.sink.event(&Event::TaskFinished { task });
            }
        }
        self.show_first();
    }

    /// Results of the first open task are shown at once.
    fn show_first(&mut self) {
        if let Some(mut entry) = self.rows.first_entry() {
            if entry.get().number.is_none() && self.awaited.as_ref() != Some(entry.key()) {
                self.awaited = Some(entry.key().clone());
                self.sink.awaiting(&entry.get().title);
            }
            show(self.sink.as_mut(), &mut self.next_number, entry.get_mut());
        }
    }

    fn count(&mut self, result: &HostResult) {
        let recap = self.recap_of(&result.host);
        recap.host_time_us += result.duration_us;
        match result.status {
            Status::Ok => recap.ok += 1,
            Status::Changed => {
                recap.ok += 1;
                recap.changed += 1;
            }
            Status::Skipped => recap.skipped += 1,
            Status::Ignored => {
                recap.ok += 1;
                recap.ignored += 1;
                // As Ansible counts, what was changed counts although it failed.
                let changed = result.result.get("changed").and_then(serde_json::Value::as_bool);
                recap.changed += u64::from(changed == Some(true));
            }
            // Whether it counts as failed or rescued is known only when somebody took it.
            Status::Failed => {}
            Status::Unreachable => recap.unreachable += 1,
        }
    }

    /// The counts of a host.
    pub fn recap_of(&mut self, host: &str) -> &mut HostRecap {
        self.recap
            .entry(host.to_owned())
            .or_insert_with(|| HostRecap { host: host.to_owned(), ..HostRecap::default() })
    }

    /// All counts, in the order of `hosts`.
    #[must_use]
    pub fn recap(&self, hosts: &[String]) -> Vec<HostRecap> {
        hosts.iter().filter_map(|host| self.recap.get(host).cloned()).collect()
    }
}

fn show(sink: &mut dyn Sink, next_number: &mut u64, row: &mut Row) {
    for told in std::mem::take(&mut row.waiting) {
        let task = match &told {
            // It has no results: nothing that is kept tells of it.
            Waiting::Steered(_) => 0,
            _ => number_of(sink, next_number, row),
        };
        let numbered = |result| Box::new(HostResult { task, ..result });
        sink.event(&match told {
            Waiting::Retry { host, attempts, left } => {
                Event::Retrying { task, host, attempts, left }
            }
            Waiting::Poll { host, job, failed } => Event::Polled { task, host, job, failed },
            Waiting::Item(result) => Event::ItemResult(numbered(result)),
            Waiting::Result(result) => Event::Result(numbered(result)),
            Waiting::Steered(steering) => {
                sink.steered(&row.title, &steering);
                continue;
            }
        });
    }
}

/// The number of a task, which begins with its first result.
fn number_of(sink: &mut dyn Sink, next_number: &mut u64, row: &mut Row) -> u64 {
    if let Some(number) = row.number {
        return number;
    }
    *next_number += 1;
    row.number = Some(*next_number);
    let title = &row.title;
    sink.event(&Event::TaskStarted {
        task: *next_number,
        name: title.name.clone(),
        role: title.role.clone(),
        module: title.module.clone(),
        place: title.place.clone(),
        handler: title.handler,
        hosts: title.hosts,
    });
    *next_number
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{Report, Sink};
    use crate::event::Event;
    use crate::redact::{KnownSecrets, MARKER};

    /// Remembers what it was told.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<Event>>>);

    impl Sink for Told {
        fn event(&mut self, event: &Event) {
            self.0.lock().expect("one thread").push(event.clone());
        }
    }

    #[test]
    fn nobody_is_told_what_is_secret() {
        let (told, known) = (Told::default(), Arc::new(KnownSecrets::default()));
        let mut report = Report::new(Box::new(told.clone()), known.clone());
        report.warn(None, "it is hunter2");
        known.keep("hunter2");
        report.warn(None, "it is hunter2");
        let warning = |text: &str| Event::Warning { host: None, message: format!("it is {text}") };
        let told = told.0.lock().expect("one thread").clone();
        assert_eq!(told, [warning("hunter2"), warning(MARKER)]);
    }
}
