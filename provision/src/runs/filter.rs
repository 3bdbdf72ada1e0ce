//! What of a run is shown again. Plays and tasks of which nothing is left are not announced.

use provision_engine::event::{Event, HostResult, Status};
use provision_engine::report::{Sink, TaskTitle};

use crate::printer;

/// What is wanted of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// These hosts; empty: all.
    pub hosts: Vec<String>,
    /// Titles like this.
    pub task: Option<String>,
    /// Only what failed.
    pub failed: bool,
}

impl Filter {
    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether a host is wanted.
    pub fn has_host(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|wanted| wanted == host)
    }

    /// Whether a title is wanted: one that has the pattern in it, or is all like it where that
    /// has a `*`. Case counts for nothing.
    pub fn has_title(&self, title: &str) -> bool {
        let Some(pattern) = &self.task else { return true };
        let (title, pattern) = (title.to_lowercase(), pattern.to_lowercase());
        match pattern.contains('*') {
            false => title.contains(&pattern),
            true => is_like(&title, &pattern),
        }
    }

    fn has_result(&self, result: &HostResult) -> bool {
        let is_bad = matches!(result.status, Status::Failed | Status::Unreachable);
        self.has_host(&result.host) && (is_bad || !self.failed)
    }

    /// In words, for the line above what is shown.
    pub fn words(&self) -> String {
        let mut parts = Vec::new();
        if !self.hosts.is_empty() {
            parts.push(self.hosts.join(", "));
        }
        parts.extend(self.task.iter().map(|task| format!("titles like `{task}`")));
        if self.failed {
            parts.push("what failed".to_owned());
        }
        parts.join("; ")
    }
}

/// Whether a text is like a pattern in which `*` stands for anything.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.is_empty()
}

/// Lets through what is wanted.
pub struct Sieve {
    filter: Filter,
    next: Box<dyn Sink>,
    play: Option<Event>,
    task: Option<OpenTask>,
}

/// A task whose title is wanted.
struct OpenTask {
    number: u64,
    /// Its announcement, until there is a result to show.
    held: Option<Event>,
    items: Vec<HostResult>,
}

impl Sieve {
    /// In front of another sink.
    pub fn new(filter: Filter, next: Box<dyn Sink>) -> Self {
        Sieve { filter, next, play: None, task: None }
    }

    fn begin_task(&mut self, event: &Event) {
        let Event::TaskStarted { task, name, role, handler, hosts, .. } = event else { return };
        let title = printer::title_of(*handler, role.as_deref(), name);
        self.task = self.filter.has_title(&title).then(|| {
            let mut held = event.clone();
            if let Event::TaskStarted { hosts: shown, .. } = &mut held
                && !self.filter.hosts.is_empty()
            {
                *shown = (*hosts).min(self.filter.hosts.len());
            }
            OpenTask { number: *task, held: Some(held), items: Vec::new() }
        });
    }

    fn result(&mut self, result: &HostResult) {
        let Some(task) = self.task.as_mut().filter(|task| task.number == result.task) else {
            return;
        };
        let (items, others) =
            std::mem::take(&mut task.items).into_iter().partition(|item| item.host == result.host);
        task.items = others;
        if !self.filter.has_result(result) {
            return;
        }
        let held = task.held.take();
        for event in self.play.take().iter().chain(&held) {
            self.next.event(event);
        }
        let items: Vec<HostResult> = items;
        for item in items.into_iter().filter(|item| self.filter.has_result(item)) {
            self.next.event(&Event::ItemResult(Box::new(item)));
        }
        self.next.event(&Event::Result(Box::new(result.clone())));
    }
}

impl Sink for Sieve {
    fn awaiting(&mut self, title: &TaskTitle) {
        self.next.awaiting(title);
    }

    fn event(&mut self, event: &Event) {
        if self.filter.is_all() {
            return self.next.event(event);
        }
        match event {
            Event::RunStarted { .. } => self.next.event(event),
            Event::PlayStarted { name, place, hosts, batch } => {
                let hosts = hosts.iter().filter(|host| self.filter.has_host(host));
                self.play = Some(Event::PlayStarted {
                    name: name.clone(),
                    place: place.clone(),
                    hosts: hosts.cloned().collect(),
                    batch: *batch,
                });
            }
            Event::TaskStarted { .. } => self.begin_task(event),
            Event::ItemResult(item) => {
                if let Some(task) = &mut self.task {
                    task.items.push((**item).clone());
                }
            }
            Event::Result(result) => self.result(result),
            Event::TaskFinished { task } => {
                let is_shown = self
                    .task
                    .take_if(|open| open.number == *task)
                    .is_some_and(|open| open.held.is_none());
                if is_shown {
                    self.next.event(event);
                }
            }
            Event::Retrying { task, host, .. } => {
                let open = self.task.as_ref().filter(|open| open.number == *task);
                let is_shown = open.is_some_and(|open| open.held.is_none());
                if is_shown && self.filter.has_host(host) && !self.filter.failed {
                    self.next.event(event);
                }
            }
            Event::HostConnected { host, .. } => {
                if self.filter.has_host(host) && self.filter.task.is_none() && !self.filter.failed {
                    self.next.event(event);
                }
            }
            Event::HostUnreachable { host, .. } => {
                if self.filter.has_host(host) && self.filter.task.is_none() {
                    if let Some(held) = self.play.take() {
                        self.next.event(&held);
                    }
                    self.next.event(event);
                }
            }
            Event::Warning { host, .. } => {
                let is_meant = host.as_ref().is_none_or(|host| self.filter.has_host(host));
                if is_meant && self.filter.task.is_none() && !self.filter.failed {
                    self.next.event(event);
                }
            }
            Event::RunFinished { recap, duration_ms, outcome, error } => {
                let is_bad = |failed: u64, lost: u64| failed > 0 || lost > 0;
                let rows = recap.iter().filter(|row| self.filter.has_host(&row.host));
                let rows =
                    rows.filter(|row| !self.filter.failed || is_bad(row.failed, row.unreachable));
                self.next.event(&Event::RunFinished {
                    recap: rows.cloned().collect(),
                    duration_ms: *duration_ms,
                    outcome: *outcome,
                    error: error.clone(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
