//! A run for people: one line a task with counts, what changed and failed below it.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use provision_engine::event::{Event, HostResult, Status};
use provision_engine::report::{Sink, TaskTitle};
use provision_protocol::Diff;
use similar::TextDiff;

use crate::live::Live;
use crate::paint::{BAD, CHANGED, FAINT, GOOD, STRONG, harmless, styled};
use crate::recap;

/// How much to say.
#[derive(Debug, Clone, Copy)]
pub struct Verbosity {
    /// `-v` count.
    pub level: u8,
    /// Only failures and the recap.
    pub quiet: bool,
    /// Show changes of files.
    pub diff: bool,
}

/// Prints events.
pub struct Printer {
    verbosity: Verbosity,
    out: Box<dyn Write + Send>,
    errors: Box<dyn Write + Send>,
    live: Option<Live>,
    /// Hosts of the running play, in its order.
    hosts: Vec<String>,
    task: Option<OpenTask>,
    /// What everything waits for before a task has a result, and since when.
    awaited: Option<(String, Instant)>,
    failures: Vec<recap::Failure>,
    check: bool,
    /// Columns of the names of tasks.
    name_columns: usize,
}

/// Columns beside the names of tasks: indentation and counts.
const COUNTS_COLUMNS: usize = 34;
/// Names of tasks take at least and at most this many columns.
const NAME_COLUMNS: (usize, usize) = (40, 72);
/// And this many where nobody says how wide the output is.
const PLAIN_NAME_COLUMNS: usize = 62;

/// The task whose results are coming in.
struct OpenTask {
    number: u64,
    title: String,
    module: String,
    place: String,
    hosts: usize,
    begun: Instant,
    results: Vec<HostResult>,
    items: Vec<HostResult>,
}

impl Printer {
    /// A printer on standard output; the live line appears only where that is a terminal.
    pub fn new(verbosity: Verbosity) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let live = std::io::stderr().is_terminal() && is_terminal;
        let name_columns = match crossterm::terminal::size() {
            Ok((columns, _)) if is_terminal => usize::from(columns)
                .saturating_sub(COUNTS_COLUMNS)
                .clamp(NAME_COLUMNS.0, NAME_COLUMNS.1),
            _ => PLAIN_NAME_COLUMNS,
        };
        let (out, errors) = (Box::new(anstream::stdout()), Box::new(anstream::stderr()));
        let live = live.then(Live::start);
        Printer { live, name_columns, ..Printer::on(verbosity, out, errors) }
    }

    /// A printer on standard output of what is over already.
    pub fn plain(verbosity: Verbosity) -> Self {
        Printer { live: None, ..Printer::new(verbosity) }
    }

    /// A printer without a live line.
    fn on(verbosity: Verbosity, out: Box<dyn Write + Send>, errors: Box<dyn Write + Send>) -> Self {
        Printer {
            verbosity,
            out,
            errors,
            live: None,
            name_columns: PLAIN_NAME_COLUMNS,
            hosts: Vec::new(),
            task: None,
            awaited: None,
            failures: Vec::new(),
            check: false,
        }
    }

    fn say(&mut self, text: &str) {
        if let Some(live) = &mut self.live {
            live.clear();
        }
        // Whoever closes our output early has seen enough; the run goes on.
        let _ = writeln!(self.out, "{text}");
    }

    /// The live line: the running task, and who is awaited.
    fn progress(&mut self) {
        let Some(live) = &mut self.live else { return };
        match (&self.task, &self.awaited) {
            (Some(task), _) => {
                let is_open =
                    |host: &&String| task.results.iter().all(|result| result.host != **host);
                let open: Vec<&str> =
                    self.hosts.iter().filter(is_open).map(String::as_str).collect();
                let rest = match open.split_at_checked(AWAITED_HOSTS) {
                    Some((first, more)) if !more.is_empty() => {
                        format!("{} and {} more", first.join(", "), more.len())
                    }
                    _ => open.join(", "),
                };
                let done = task.results.len();
                let text = format!("{}  {done} of {}, waiting for {rest}", task.title, task.hosts);
                live.show(&text, task.begun);
            }
            (None, Some((text, begun))) => live.show(text, *begun),
            (None, None) => live.clear(),
        }
    }

    fn close_task(&mut self) {
        let Some(mut task) = self.task.take() else { return };
        // Results arrive in any order; people look for a host where it stands in the play.
        let place = |result: &HostResult| {
            self.hosts.iter().position(|host| *host == result.host).unwrap_or(usize::MAX)
        };
        task.results.sort_by_key(place);
        task.items.sort_by_key(place);
        let worst = task.results.iter().map(|result| result.status).max();
        let notable = worst.is_some_and(|worst| worst >= Status::Failed);
        if self.verbosity.quiet && !notable {
            return;
        }
        let columns = self.name_columns;
        let name = shorten(&task.title, columns);
        self.say(&format!("  {name:<columns$} {}", counts(&task.results)));
        if self.verbosity.level > 0 {
            self.say(&styled(FAINT, &format!("    at {}", task.place)));
        }
        for line in self.details(&task) {
            self.say(&line);
        }
        for result in &task.results {
            if matches!(result.status, Status::Failed | Status::Unreachable) {
                self.failures.push(recap::Failure {
                    host: result.host.clone(),
                    task: task.title.clone(),
                    place: task.place.clone(),
                    message: failure_text(result),
                });
            }
        }
    }

    /// Lines below a task: hosts by what happened to them, messages, changes.
    fn details(&self, task: &OpenTask) -> Vec<String> {
        let mut lines = Vec::new();
        for status in [Status::Changed, Status::Ignored, Status::Failed, Status::Unreachable] {
            let mut groups: Vec<(String, Vec<&HostResult>)> = Vec::new();
            for result in task.results.iter().filter(|result| result.status == status) {
                let text = match status {
                    Status::Changed => String::new(),
                    _ => failure_text(result),
                };
                match groups.iter_mut().find(|(known, _)| *known == text) {
                    Some((_, results)) => results.push(result),
                    None => groups.push((text, vec![result])),
                }
            }
            for (text, results) in groups {
                let hosts: Vec<&str> = results.iter().map(|result| result.host.as_str()).collect();
                let all = results.len() == task.results.len() && results.len() == task.hosts;
                if all && text.is_empty() {
                    // The counts say it already.
                    continue;
                }
                let all = all && results.len() > 3;
                let hosts =
                    if all { format!("all {} hosts", results.len()) } else { hosts.join(", ") };
                let (style, word) = word(status);
                let first = format!("    {} {hosts}", styled(style, word));
                let place = if status == Status::Failed {
                    format!("  ({})", task.place)
                } else {
                    String::new()
                };
                if text.is_empty() {
                    lines.push(format!("{first}{}", styled(FAINT, &place)));
                } else {
                    lines.push(format!("{first}{}", styled(FAINT, &place)));
                    lines.extend(
                        text.lines().take(MESSAGE_LINES).map(|line| format!("      {line}")),
                    );
                }
            }
        }
        self.messages(task, &mut lines);
        if self.verbosity.diff {
            self.changes(task, &mut lines);
        }
        lines
    }

    /// What `debug` says, and with `-v` the results.
    fn messages(&self, task: &OpenTask, lines: &mut Vec<String>) {
        for result in task.items.iter().chain(&task.results) {
            let label = result.item.as_ref().map(|item| format!(" ({})", harmless(item)));
            let label = label.unwrap_or_default();
            let is_shown = task.module == "debug" && result.status == Status::Ok;
            let is_shown = is_shown && (result.item.is_some() || task.items.is_empty());
            if let (true, Some(message)) = (is_shown, &result.message) {
                let message = harmless(message);
                let mut text = message.lines();
                let first = text.next().unwrap_or_default();
                lines.push(format!("    {}{label}: {first}", styled(STRONG, &result.host)));
                lines.extend(text.map(|line| format!("      {line}")));
            } else if self.verbosity.level > 0 && result.status != Status::Skipped {
                let shown = serde_json::to_string_pretty(&result.result).unwrap_or_default();
                lines.push(format!(
                    "    {}{label} {}",
                    styled(STRONG, &result.host),
                    word(result.status).1
                ));
                lines.extend(harmless(&shown).lines().map(|line| format!("      {line}")));
            } else if self.verbosity.level > 0
                && let Some(message) = &result.message
            {
                lines.push(format!("    {}{label} skipped: {}", result.host, harmless(message)));
            }
        }
    }

    /// Diffs, identical ones once for all their hosts.
    fn changes(&self, task: &OpenTask, lines: &mut Vec<String>) {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        let with_items: Vec<&HostResult> = if task.items.is_empty() {
            task.results.iter().collect()
        } else {
            task.items.iter().collect()
        };
        for result in with_items {
            let text: String = result.diff.iter().map(unified).collect();
            if text.is_empty() {
                continue;
            }
            match groups.iter_mut().find(|(known, _)| *known == text) {
                Some((_, hosts)) => hosts.push(result.host.clone()),
                None => groups.push((text, vec![result.host.clone()])),
            }
        }
        for (text, hosts) in groups {
            lines.push(format!("    {} {}", styled(STRONG, "diff"), hosts.join(", ")));
            for line in text.lines() {
                let style = match line.as_bytes().first() {
                    Some(b'+') => GOOD,
                    Some(b'-') => BAD,
                    Some(b'@') => FAINT,
                    _ => anstyle::Style::new(),
                };
                lines.push(format!("      {}", styled(style, &harmless(line))));
            }
        }
    }
}

/// Hosts that the live line names.
const AWAITED_HOSTS: usize = 3;

/// The title of a task, as it is shown.
pub fn title_of(is_handler: bool, role: Option<&str>, name: &str) -> String {
    let role = role.map(|role| format!("{role} : ")).unwrap_or_default();
    let kind = if is_handler { "handler " } else { "" };
    harmless(&format!("{kind}{role}{name}"))
}

/// Lines of a message that are shown; the journal has all of it.
const MESSAGE_LINES: usize = 30;

fn shorten(text: &str, width: usize) -> String {
    let text = harmless(text).replace('\n', " ");
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn word(status: Status) -> (anstyle::Style, &'static str) {
    match status {
        Status::Ok => (GOOD, "ok"),
        Status::Changed => (CHANGED, "changed"),
        Status::Skipped => (FAINT, "skipped"),
        Status::Ignored => (CHANGED, "ignored failure"),
        Status::Failed => (BAD, "failed"),
        Status::Unreachable => (BAD, "unreachable"),
    }
}

fn counts(results: &[HostResult]) -> String {
    let all = [
        Status::Ok,
        Status::Changed,
        Status::Skipped,
        Status::Ignored,
        Status::Failed,
        Status::Unreachable,
    ];
    all.into_iter()
        .map(|status| (status, results.iter().filter(|result| result.status == status).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(status, count)| {
            let (style, word) = word(status);
            styled(style, &format!("{word} {count}"))
        })
        .collect::<Vec<_>>()
        .join("  ")
}

/// What went wrong, with the output of a command.
fn failure_text(result: &HostResult) -> String {
    let mut text = result.message.clone().unwrap_or_default();
    for name in ["stderr", "stdout", "module_stderr"] {
        let output = result.result.get(name).and_then(serde_json::Value::as_str);
        if let Some(output) = output.map(str::trim_end).filter(|output| !output.is_empty()) {
            let last: Vec<&str> = output.lines().rev().take(12).collect();
            text.push_str(&format!("\n{name}:"));
            for line in last.into_iter().rev() {
                text.push_str("\n  ");
                text.push_str(line);
            }
        }
    }
    if let Some(assertion) = result.result.get("assertion").and_then(serde_json::Value::as_str) {
        text.push_str(&format!("\nassertion: {assertion}"));
    }
    let failed_items = result.result.get("results").and_then(serde_json::Value::as_array);
    for item in failed_items.into_iter().flatten() {
        if item.get("failed").and_then(serde_json::Value::as_bool) == Some(true) {
            let name = item.get("ansible_loop_var").and_then(serde_json::Value::as_str);
            let label = name.and_then(|name| item.get(name)).map(ToString::to_string);
            let message = item.get("msg").and_then(serde_json::Value::as_str).unwrap_or("failed");
            text.push_str(&format!("\n{}: {message}", label.unwrap_or_default()));
        }
    }
    harmless(&text)
}

/// A change as a unified diff.
fn unified(diff: &Diff) -> String {
    let before = diff.before_header.as_deref().unwrap_or("before");
    let after = diff.after_header.as_deref().unwrap_or("after");
    if diff.before == diff.after {
        return String::new();
    }
    TextDiff::from_lines(&diff.before, &diff.after)
        .unified_diff()
        .context_radius(3)
        .header(before, after)
        .to_string()
}

impl Sink for Printer {
    fn awaiting(&mut self, title: &TaskTitle) {
        let title = title_of(title.handler, title.role.as_deref(), &title.name);
        self.awaited = Some((title, Instant::now()));
        self.progress();
    }

    fn event(&mut self, event: &Event) {
        self.take(event);
        self.progress();
        let _ = self.out.flush();
    }
}

impl Printer {
    fn take(&mut self, event: &Event) {
        match event {
            Event::RunStarted { check, .. } => self.check = *check,
            Event::PlayStarted { name, place, hosts, batch } => {
                self.close_task();
                self.hosts.clone_from(hosts);
                let count = hosts.len();
                self.awaited = Some((format!("connecting to {count} hosts"), Instant::now()));
                if self.verbosity.quiet {
                    return;
                }
                let batch = match batch {
                    (_, 1) => String::new(),
                    (number, count) => format!(", batch {number} of {count}"),
                };
                let mode = if self.check { ", check mode" } else { "" };
                let count = match hosts.len() {
                    1 => "1 host".to_owned(),
                    count => format!("{count} hosts"),
                };
                let line = format!(
                    "\n{} {}  {}",
                    styled(STRONG, "PLAY"),
                    styled(STRONG, &harmless(name)),
                    styled(FAINT, &format!("({count}{batch}{mode}; {place})"))
                );
                self.say(&line);
            }
            Event::HostConnected { host, duration_ms, uploaded_bytes } => {
                if self.verbosity.level > 0 {
                    let sent = match uploaded_bytes {
                        0 => String::new(),
                        bytes => format!(", helper sent ({} KiB)", bytes / 1024),
                    };
                    let line = format!("  connected to {host} in {duration_ms} ms{sent}");
                    self.say(&styled(FAINT, &line));
                }
            }
            Event::TaskStarted { task, name, role, module, place, handler, hosts } => {
                self.close_task();
                self.awaited = None;
                self.task = Some(OpenTask {
                    number: *task,
                    title: title_of(*handler, role.as_deref(), name),
                    module: module.clone(),
                    place: place.clone(),
                    hosts: *hosts,
                    begun: Instant::now(),
                    results: Vec::new(),
                    items: Vec::new(),
                });
            }
            Event::Retrying { host, attempts, left, .. } => {
                if self.verbosity.level > 0 {
                    let line = format!("    {host}: attempt {attempts} was in vain, {left} left");
                    self.say(&styled(FAINT, &line));
                }
            }
            Event::ItemResult(result) => {
                if let Some(task) = self.task.as_mut().filter(|task| task.number == result.task) {
                    task.items.push((**result).clone());
                }
            }
            Event::Result(result) => {
                if let Some(task) = self.task.as_mut().filter(|task| task.number == result.task) {
                    task.results.push((**result).clone());
                }
            }
            Event::TaskFinished { task } => {
                if self.task.as_ref().is_some_and(|open| open.number == *task) {
                    self.close_task();
                }
            }
            Event::Warning { host, message } => {
                if let Some(live) = &mut self.live {
                    live.clear();
                }
                let host = host.as_ref().map(|host| format!("{host}: ")).unwrap_or_default();
                let label = styled(CHANGED, "warning:");
                let _ = writeln!(self.errors, "{label} {host}{}", harmless(message));
            }
            Event::HostUnreachable { host, message, hint } => {
                let line =
                    format!("  {} {host}: {}", styled(BAD, "unreachable"), harmless(message));
                self.say(&line);
                if let Some(hint) = hint {
                    self.say(&format!("    {} {}", styled(STRONG, "hint:"), harmless(hint)));
                }
                self.failures.push(recap::Failure {
                    host: host.clone(),
                    task: "connection".to_owned(),
                    place: String::new(),
                    message: harmless(message),
                });
            }
            Event::RunFinished { recap: counts, duration_ms, outcome, error } => {
                self.close_task();
                self.awaited = None;
                if let Some(error) = error {
                    self.say(&format!("{} {}", styled(BAD, "error:"), harmless(error)));
                }
                let text = recap::text(counts, &self.failures, *duration_ms, *outcome, self.check);
                self.say(&text);
            }
        }
    }
}

#[cfg(test)]
mod tests;
