//! A run in the format of Ansible's default callback, for scripts that read it.

use std::collections::BTreeMap;

use provision_engine::event::{Event, HostRecap, HostResult, Status};
use provision_engine::report::{Sink, Steering, TaskTitle};
use provision_protocol::Object;
use serde_json::Value;

use super::diff;
use super::json;
use super::page::{Colour, Page};
use crate::paint::harmless;

/// What is shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// `-v` count.
    pub level: u8,
    /// Hosts one after the other, in the order of the play: `--forks 1`.
    pub in_order: bool,
    /// `display_skipped_hosts`.
    pub skipped: bool,
    /// `display_ok_hosts`.
    pub ok: bool,
    /// `display_failed_stderr`.
    pub failed_on_stderr: bool,
}

impl Default for Shown {
    fn default() -> Self {
        Shown { level: 0, in_order: false, skipped: true, ok: true, failed_on_stderr: false }
    }
}

/// Prints events as Ansible does.
pub struct AnsiblePrinter {
    page: Page,
    shown: Shown,
    hosts: Vec<String>,
    task: Option<OpenTask>,
    /// What everything waits for: a host that is lost is lost there.
    awaited: Option<TaskTitle>,
}

struct OpenTask {
    number: u64,
    heading: Heading,
    name: String,
    module: String,
    is_announced: bool,
    lines: Vec<Line>,
    included: Vec<Included>,
    /// Items of loops, for their differences.
    items: BTreeMap<String, Vec<HostResult>>,
}

/// What stands above a task.
#[derive(Debug, Clone)]
struct Heading {
    banner: String,
    path: String,
}

/// A line of a host that waits for its turn.
struct Line {
    host: String,
    text: String,
    is_failure: bool,
}

/// A file or role that was included, and for whom.
#[derive(Debug, PartialEq, Eq)]
struct Included {
    name: String,
    label: Option<String>,
    hosts: Vec<String>,
}

/// Modules whose results are always shown.
const TALKATIVE: &[&str] = &["debug", "assert"];
/// Words of results that the word before the host says already.
const SAID_ALREADY: &[&str] = &["failed", "skipped"];
/// What is left of what `debug` says when it has a message.
const OF_DEBUG: &[&str] = &["msg", "exception", "warnings", "deprecations"];
/// What is left out of what `debug` says of a variable.
const NOT_OF_DEBUG: &[&str] = &["changed", "failed", "skipped", "invocation", "skip_reason"];

impl AnsiblePrinter {
    /// A printer on a page.
    pub fn new(page: Page, shown: Shown) -> Self {
        AnsiblePrinter { page, shown, hosts: Vec::new(), task: None, awaited: None }
    }

    fn heading(&self, title: &TaskTitle) -> Heading {
        let prefix = if title.handler { "RUNNING HANDLER" } else { "TASK" };
        let role = title.role.as_ref().filter(|_| title.module != "include_role");
        let role = role.map(|role| format!("{role} : ")).unwrap_or_default();
        // `task path:` has no column.
        let path = title.place.rsplit_once(':').map_or(title.place.as_str(), |(path, _)| path);
        let path =
            std::path::absolute(path).map_or(path.to_owned(), |path| path.display().to_string());
        Heading { banner: format!("{prefix} [{role}{}]", title.name.trim()), path }
    }

    fn open(&mut self, number: u64, title: &TaskTitle) {
        self.close();
        self.awaited = None;
        self.task = Some(OpenTask {
            number,
            heading: self.heading(title),
            name: title.name.clone(),
            module: title.module.clone(),
            is_announced: false,
            lines: Vec::new(),
            included: Vec::new(),
            items: BTreeMap::new(),
        });
        if self.shown.skipped && self.shown.ok {
            self.announce();
        }
    }

    /// Prints the heading of the open task, once.
    fn announce(&mut self) {
        let Some(task) = self.task.as_mut().filter(|task| !task.is_announced) else { return };
        task.is_announced = true;
        let heading = task.heading.clone();
        self.print_heading(&heading);
    }

    fn print_heading(&mut self, heading: &Heading) {
        self.page.banner(&heading.banner);
        if self.shown.level > 1 {
            let path = format!("task path: {}", harmless(&heading.path));
            let path = self.page.paint(Colour::Debug, &path);
            self.page.say(&path);
        }
    }

    /// What is held back of the open task is shown; it is over.
    fn close(&mut self) {
        let Some(task) = &mut self.task else { return };
        let mut lines = std::mem::take(&mut task.lines);
        let included = std::mem::take(&mut task.included);
        lines.sort_by_key(|line| {
            self.hosts.iter().position(|host| *host == line.host).unwrap_or(usize::MAX)
        });
        for line in lines {
            self.print(&line);
        }
        for mut file in included {
            file.hosts.sort_by_key(|host| self.hosts.iter().position(|known| known == host));
            let label = file.label.map(|label| format!(" => (item={label})")).unwrap_or_default();
            let text = format!("included: {} for {}{label}", file.name, file.hosts.join(", "));
            self.announce();
            let text = self.page.paint(Colour::Skipped, &harmless(&text));
            self.page.say(&text);
        }
        self.task = None;
    }

    /// A line of the open task, now or when the hosts before have had their turn.
    fn line(&mut self, host: &str, colour: Colour, text: &str) {
        let text = self.page.paint(colour, text);
        let is_failure = matches!(colour, Colour::Failed | Colour::Unreachable);
        let line = Line { host: host.to_owned(), text, is_failure };
        match &mut self.task {
            Some(task) if self.shown.in_order => task.lines.push(line),
            Some(_) | None => self.print(&line),
        }
    }

    fn print(&mut self, line: &Line) {
        self.announce();
        match line.is_failure && self.shown.failed_on_stderr {
            true => self.page.tell(&line.text),
            false => self.page.say(&line.text),
        }
    }

    fn item(&mut self, result: &HostResult) {
        let Some(task) = self.task.as_mut().filter(|task| task.number == result.task) else {
            return;
        };
        let label = match result.result.contains_key("censored") {
            true => "None".to_owned(),
            false => harmless(result.item.as_deref().unwrap_or_default()),
        };
        if let (Some(name), Status::Ok) = (included_name(task, result), result.status) {
            note_included(&mut task.included, name, Some(label), &result.host);
            return;
        }
        task.items.entry(result.host.clone()).or_default().push(result.clone());
        let module = task.module.clone();
        let who = label_of(result);
        let warnings = self.warnings(result);
        let (colour, text) = match result.status {
            Status::Ok if !self.shown.ok => return,
            Status::Skipped if !self.shown.skipped => return,
            Status::Ok => (Colour::Ok, format!("ok: [{who}] => (item={label})")),
            Status::Changed => (Colour::Changed, format!("changed: [{who}] => (item={label})")),
            Status::Skipped => {
                (Colour::Skipped, format!("skipping: [{}] => (item={label}) ", result.host))
            }
            Status::Failed | Status::Ignored | Status::Unreachable => {
                let dump = self.dump(&module, result, false);
                let text = format!("failed: [{who}] (item={label}) => {dump}");
                self.line(&result.host, Colour::Failed, &text);
                return warnings.iter().for_each(|warning| self.page.warn(warning));
            }
        };
        let text = match self.is_verbose(&module, "", result) {
            true => format!("{text} => {}", self.dump(&module, result, is_talkative(&module))),
            false => text,
        };
        self.line(&result.host, colour, &text);
        warnings.iter().for_each(|warning| self.page.warn(warning));
    }

    fn result(&mut self, result: &HostResult) {
        let Some(task) = self.task.as_mut().filter(|task| task.number == result.task) else {
            return;
        };
        let (module, name) = (task.module.clone(), task.name.clone());
        let items = task.items.remove(&result.host).unwrap_or_default();
        let is_include = matches!(module.as_str(), "include_tasks" | "include_role");
        if let (Some(name), Status::Ok) = (included_name(task, result), result.status) {
            return note_included(&mut task.included, name, None, &result.host);
        }
        if is_include && result.status == Status::Ok {
            // Its items have been noted.
            return;
        }
        self.differences(result, &items);
        let warnings = self.warnings(result);
        let looped =
            !result.result.contains_key("censored") && result.result.contains_key("results");
        let who = label_of(result);
        let text = match result.status {
            Status::Failed | Status::Ignored if looped => None,
            Status::Failed | Status::Ignored => {
                let dump = self.dump(&module, result, module == "assert");
                let is_lost = result.result.get("unreachable") == Some(&Value::Bool(true));
                Some(match is_lost {
                    true => {
                        let text = format!("fatal: [{who}]: UNREACHABLE! => {dump}");
                        (Colour::Unreachable, text)
                    }
                    false => (Colour::Failed, format!("fatal: [{who}]: FAILED! => {dump}")),
                })
            }
            Status::Unreachable => {
                let dump = self.dump(&module, result, false);
                Some((Colour::Unreachable, format!("fatal: [{who}]: UNREACHABLE! => {dump}")))
            }
            Status::Ok if !self.shown.ok => None,
            Status::Skipped if !self.shown.skipped => None,
            Status::Ok | Status::Changed if looped => None,
            Status::Ok => Some((Colour::Ok, format!("ok: [{who}]"))),
            Status::Changed => Some((Colour::Changed, format!("changed: [{who}]"))),
            Status::Skipped => Some((Colour::Skipped, format!("skipping: [{}]", result.host))),
        };
        if let Some((colour, mut text)) = text {
            let is_good = matches!(result.status, Status::Ok | Status::Changed | Status::Skipped);
            if is_good && self.is_verbose(&module, &name, result) {
                let is_laid_out = is_talkative(&module) && result.status != Status::Skipped;
                text.push_str(&format!(" => {}", self.dump(&module, result, is_laid_out)));
            }
            self.line(&result.host, colour, &text);
        }
        if result.status == Status::Ignored {
            self.line(&result.host, Colour::Skipped, "...ignoring");
        }
        warnings.iter().for_each(|warning| self.page.warn(warning));
    }

    /// What a module warns of; it isn't shown among its results.
    fn warnings(&self, result: &HostResult) -> Vec<String> {
        let warnings = result.result.get("warnings").and_then(Value::as_array);
        let texts = warnings.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }

    fn differences(&mut self, result: &HostResult, items: &[HostResult]) {
        let of = if items.is_empty() { std::slice::from_ref(result) } else { items };
        for one in of {
            if one.status != Status::Changed || (one.diff.is_empty() && result.diff.is_empty()) {
                continue;
            }
            let Some(written) = one.result.get("diff") else { continue };
            let text = diff::text(&self.page, written);
            if !text.is_empty() {
                self.line(&result.host, Colour::Plain, &text);
            }
        }
    }

    fn is_verbose(&self, module: &str, name: &str, result: &HostResult) -> bool {
        let is_hidden = result.result.contains_key("censored");
        if is_talkative(module) && result.status != Status::Skipped {
            return !is_hidden;
        }
        let is_quiet = module == "setup" && name == "Gathering Facts";
        self.shown.level > 0 && !is_quiet
    }

    /// A result as it is printed.
    fn dump(&self, module: &str, result: &HostResult, is_laid_out: bool) -> String {
        let detailed = self.shown.level > 2;
        let has_message = module == "debug" && result.result.contains_key("msg");
        let is_wanted = |name: &str| match module {
            "debug" if has_message => OF_DEBUG.contains(&name),
            "debug" => !NOT_OF_DEBUG.contains(&name),
            _ => {
                let is_detail = matches!(name, "invocation" | "diff");
                !SAID_ALREADY.contains(&name) && (detailed || !is_detail)
            }
        };
        let is_own =
            |name: &str| name.starts_with("_ansible_") || matches!(name, "exception" | "warnings");
        let entries = result.result.iter().filter(|(name, _)| is_wanted(name) && !is_own(name));
        let object: Object = entries.map(|(name, value)| (name.clone(), value.clone())).collect();
        json::object(&object, is_laid_out || detailed)
    }

    fn unreachable(&mut self, host: &str, message: &str) {
        if self.task.is_none()
            && let Some(title) = self.awaited.take()
        {
            let heading = self.heading(&title);
            self.print_heading(&heading);
        }
        let mut object = Object::new();
        object.insert("changed".into(), false.into());
        object.insert("unreachable".into(), true.into());
        let message = format!("Failed to connect to the host via ssh: {message}");
        object.insert("msg".into(), message.into());
        let dump = json::object(&object, self.shown.level > 2);
        self.line(host, Colour::Unreachable, &format!("fatal: [{host}]: UNREACHABLE! => {dump}"));
    }

    fn recap(&mut self, rows: &[HostRecap]) {
        self.page.banner("PLAY RECAP");
        let mut rows: Vec<&HostRecap> = rows.iter().collect();
        rows.sort_by(|left, right| left.host.cmp(&right.host));
        for row in rows {
            let text = recap_row(&self.page, row);
            self.page.say(&text);
        }
        self.page.say("");
    }
}

impl Sink for AnsiblePrinter {
    fn awaiting(&mut self, title: &TaskTitle) {
        self.awaited = Some(title.clone());
    }

    /// As in Ansible each playbook has a recap of everything so far.
    fn playbook_ended(&mut self, recap: &[HostRecap]) {
        self.close();
        self.recap(recap);
    }

    fn steered(&mut self, title: &TaskTitle, steering: &Steering) {
        self.close();
        self.awaited = None;
        let heading = self.heading(title);
        self.print_heading(&heading);
        if self.shown.level > 1 {
            let text = format!("META: {}", harmless(&steering.message));
            let text = self.page.paint(Colour::Debug, &text);
            self.page.say(&text);
        }
        if steering.is_skipped && self.shown.skipped {
            let mut text = format!("skipping: [{}]", steering.host);
            if self.shown.level > 0 {
                let mut object = Object::new();
                object.insert("msg".into(), steering.message.clone().into());
                object.insert("skip_reason".into(), steering.message.clone().into());
                text.push_str(&format!(" => {}", json::object(&object, self.shown.level > 2)));
            }
            self.line(&steering.host, Colour::Skipped, &text);
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { playbooks, .. } => {
                if self.shown.level > 1 {
                    for playbook in playbooks {
                        let name = playbook.rsplit('/').next().unwrap_or(playbook);
                        self.page.banner(&format!("PLAYBOOK: {name}"));
                    }
                }
            }
            Event::PlayStarted { name, hosts, .. } => {
                self.close();
                self.hosts.clone_from(hosts);
                self.awaited = None;
                self.page.banner(&format!("PLAY [{}]", name.trim()));
                if hosts.is_empty() {
                    let text = self.page.paint(Colour::Skipped, NO_HOSTS);
                    self.page.say(&text);
                }
            }
            Event::TaskStarted { task, name, role, module, place, handler, hosts } => {
                let title = TaskTitle {
                    name: name.clone(),
                    role: role.clone(),
                    module: module.clone(),
                    place: place.clone(),
                    handler: *handler,
                    hosts: *hosts,
                };
                self.open(*task, &title);
            }
            Event::Retrying { task, host, left, .. } => {
                if let Some(open) = self.task.as_ref().filter(|open| open.number == *task) {
                    let name = harmless(&open.name);
                    let text =
                        format!("FAILED - RETRYING: [{host}]: {name} ({left} retries left).");
                    self.line(host, Colour::Debug, &text);
                }
            }
            Event::Polled { host, job, failed, .. } => {
                let (word, state) = match failed {
                    None => ("POLL", " started=1 finished=0"),
                    Some(false) => ("OK", ""),
                    Some(true) => ("FAILED", ""),
                };
                let text = format!("ASYNC {word} on {host}: jid={job}{state}");
                self.line(host, Colour::Debug, &text);
            }
            Event::ItemResult(result) => self.item(result),
            Event::Result(result) => self.result(result),
            Event::TaskFinished { task } => {
                if self.task.as_ref().is_some_and(|open| open.number == *task) {
                    self.close();
                }
            }
            Event::Warning { host: None, message } if message == "no hosts matched" => {}
            Event::Warning { host, message } => {
                let host = host.as_ref().map(|host| format!("{host}: ")).unwrap_or_default();
                self.page.warn(&format!("{host}{message}"));
            }
            Event::HostUnreachable { host, message, hint } => {
                let hint = hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
                self.unreachable(host, &format!("{message}{hint}"));
            }
            Event::HostConnected { host, duration_ms, .. } => {
                if self.shown.level > 2 {
                    self.page.say(&format!("<{host}> connected in {duration_ms} ms"));
                }
            }
            // As in Ansible there is no recap then.
            Event::RunFinished { error: Some(error), .. } => {
                self.close();
                self.page.error(error);
            }
            Event::RunFinished { recap, error: None, .. } => {
                self.close();
                self.recap(recap);
            }
        }
    }
}

/// Said of a play without hosts.
const NO_HOSTS: &str = "skipping: no hosts matched";

fn is_talkative(module: &str) -> bool {
    TALKATIVE.contains(&module)
}

/// The host, and who did it for it.
fn label_of(result: &HostResult) -> String {
    let delegate = result.delegate.as_ref().filter(|delegate| **delegate != result.host);
    match (delegate, &result.delegate_address) {
        (None, _) => result.host.clone(),
        (Some(delegate), None) => format!("{} -> {delegate}", result.host),
        (Some(delegate), Some(address)) => format!("{} -> {delegate}({address})", result.host),
    }
}

fn included_name(task: &OpenTask, result: &HostResult) -> Option<String> {
    let is_include = matches!(task.module.as_str(), "include_tasks" | "include_role");
    let name = result.result.get("include").and_then(Value::as_str)?;
    is_include.then(|| name.to_owned())
}

fn note_included(included: &mut Vec<Included>, name: String, label: Option<String>, host: &str) {
    let known = included.iter_mut().find(|known| known.name == name && known.label == label);
    match known {
        Some(known) => known.hosts.push(host.to_owned()),
        None => included.push(Included { name, label, hosts: vec![host.to_owned()] }),
    }
}

/// Columns of a host in the recap; escapes count where there are colours.
const HOST_COLUMNS: (usize, usize) = (26, 37);

fn recap_row(page: &Page, row: &HostRecap) -> String {
    let colour = match (row.failed + row.unreachable > 0, row.changed > 0) {
        (true, _) => Colour::Failed,
        (false, true) => Colour::Changed,
        (false, false) => Colour::Ok,
    };
    let columns = if page.coloured { HOST_COLUMNS.1 } else { HOST_COLUMNS.0 };
    let cells = [
        ("ok", row.ok, Colour::Ok),
        ("changed", row.changed, Colour::Changed),
        ("unreachable", row.unreachable, Colour::Unreachable),
        ("failed", row.failed, Colour::Failed),
        ("skipped", row.skipped, Colour::Skipped),
        ("rescued", row.rescued, Colour::Ok),
        ("ignored", row.ignored, Colour::Warning),
    ];
    let cells = cells.map(|(word, count, colour)| {
        let text = format!("{word}={count:<4}");
        if count > 0 { page.paint(colour, &text) } else { text }
    });
    format!("{:<columns$} : {}", page.paint(colour, &row.host), cells.join(" "))
}
