//! What a file must say to be an app; all that is wrong is told at once.

use std::collections::{BTreeMap, BTreeSet};

use diagnostics::{Diagnostic, Span};
use policy::Nanoseconds;
use policy::config::units::Length;
use scheduler_core::app::{
    Bounds, Check, Constraint, INSTANCES_MOST, LIST_MOST, Need, Probe, Run, Specification,
};
use scheduler_core::ids::{AppName, MachineName};
use yaml::Spanned;

use super::discovery::is_path;
use super::file::{Between, ConstraintPart, File, Health, Instances, Word};
use super::{AppFile, FORMAT, Found};

/// Time to end in peace, if the file doesn't say: what Docker gives.
const KILL_GRACE: Nanoseconds = Nanoseconds::from_seconds(10);
/// Time from check to check, if the file doesn't say.
const INTERVAL: Nanoseconds = Nanoseconds::from_seconds(1);
/// The longest that a check may take, if the file doesn't say.
const TIMEOUT: Nanoseconds = Nanoseconds::from_seconds(1);
/// Failed checks in a row, if the file doesn't say.
const FAILURES: u32 = 3;
/// Time to become healthy, if the file doesn't say: pools and caches of slow starters.
const HEALTH_GRACE: Nanoseconds = Nanoseconds::from_seconds(60);
/// Memory of an instance, if the file doesn't say.
const MEMORY_MIB: u32 = 128;
/// Thousandths of cores of an instance, if the file doesn't say: one command of the platform keeps a
/// core busy, but who tries this out has two.
const MILLICORES: u32 = 100;

/// Checks a file.
pub fn check(file: File, whole: Span) -> Found {
    let mut checker = Checker { found: Vec::new(), ports: 0 };
    let app = checker.app(&file, whole);
    let is_wrong = checker.found.iter().any(Diagnostic::is_error);
    checker.found.sort_by_key(|found| found.primary.as_ref().map(|label| label.span.start));
    Found { app: app.filter(|_| !is_wrong), diagnostics: checker.found }
}

pub(super) struct Checker {
    found: Vec<Diagnostic>,
    /// Ports of an instance.
    pub(super) ports: u32,
}

impl Checker {
    pub(super) fn wrong(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        span: Span,
        label: &str,
    ) {
        self.found.push(Diagnostic::error(code, message).at(span, label));
    }

    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        if let Some(last) = self.found.pop() {
            self.found.push(last.hint(hint));
        }
    }

    fn app(&mut self, file: &File, whole: Span) -> Option<AppFile> {
        if let Some(format) = file.format.filter(|format| format.value != FORMAT) {
            let message = format!("format {} of app.yml is not known", format.value);
            let label = format!("this program knows format {FORMAT}");
            self.wrong("app-format", message, format.span, &label);
            self.hint("use the program that this file was written for");
        }
        self.ports = file.needs.ports.map_or(0, |ports| ports.value);
        let app = file.app.value.parse::<AppName>();
        if let Err(error) = &app {
            self.wrong("app-name", error.to_string(), file.app.span, "the name of the app");
        }
        if file.version.value.0.is_empty() {
            self.wrong("app-version", "the version is empty", file.version.span, "needs a text");
        }
        let run = self.run(file, whole);
        let bounds = self.bounds(file.instances.as_ref());
        let environment = self.environment(&file.environment);
        let health = file.health.as_ref().map(|health| self.health(health));
        let constraints: Vec<Constraint> =
            file.constraints.iter().filter_map(|part| self.constraint(part)).collect();
        if let Some(step) = file.step.filter(|step| step.value == 0) {
            self.wrong("app-step", "at least one must be replaced at a time", step.span, "too few");
        }
        let inner_ports = self.inner_ports(file);
        let (discovery, metrics) = (self.discovery(file), self.metrics(file));
        let (health_grace, check) =
            health.map_or((None, None), |(grace, check)| (Some(grace), check));
        let length = |length: Option<Length>| length.map(|Length(nanoseconds)| nanoseconds);
        let specification = Specification {
            label: file.version.value.0.clone(),
            run: run?,
            need: Need {
                millicores: file.needs.cores.map_or(MILLICORES, |cores| cores.value.0),
                memory_mib: file.needs.memory.map_or(MEMORY_MIB, |memory| memory.value.0),
                ports: self.ports,
            },
            environment,
            health_grace,
            kill_grace: length(file.kill_grace).unwrap_or(KILL_GRACE),
            warm_up: length(file.warm_up),
            cool_down: length(file.cool_down),
            constraints,
            check,
            inner_ports,
            discovery,
            metrics,
            volumes: self.volumes(file),
            reserves: self.reserves(file),
        };
        let step = file.step.map(|step| step.value);
        Some(AppFile { app: app.ok()?, specification, bounds, step })
    }

    fn run(&mut self, file: &File, whole: Span) -> Option<Run> {
        let given = [
            file.command.as_ref().map(|command| command.span),
            file.shell.as_ref().map(|shell| shell.span),
            file.image.as_ref().map(|image| image.span),
        ];
        let mut given = given.into_iter().flatten();
        let Some(first) = given.next() else {
            let name = whole.slice(0, 1);
            self.wrong("app-run", "the app says nothing that is run", name, "in this app");
            self.hint("say one of `command: [PROGRAM, ARGUMENT]`, `shell: TEXT` or `image: NAME`");
            return None;
        };
        if let Some(second) = given.next() {
            let message = "of `command`, `shell` and `image` there can be only one";
            self.found.push(
                Diagnostic::error("app-run", message).at(second, "this").also(first, "and this"),
            );
            return None;
        }
        if let (Some(arguments), None) = (&file.arguments, &file.image) {
            let message = "`arguments` are those of an image";
            self.wrong("app-run", message, arguments.span, "there is no image");
            self.hint("put them into the list of `command`");
        }
        if let Some(shell) = &file.shell {
            self.text(&shell.value, shell.span);
            self.uses_port(&shell.value, shell.span);
            let words = ["/bin/sh", "-c", shell.value.as_str()];
            return Some(Run::Command(words.iter().map(|word| (*word).to_owned()).collect()));
        }
        if let Some(image) = &file.image {
            self.text(&image.value, image.span);
            let arguments = file.arguments.as_ref().map(|list| self.words(list));
            let arguments = arguments.unwrap_or_default();
            return Some(Run::Image { image: image.value.clone(), arguments });
        }
        let command = file.command.as_ref()?;
        let words = self.words(command);
        if let Some(first) = words.first()
            && first.contains('/')
            && !first.starts_with('/')
        {
            let message = format!("`{first}` is looked for in the instance's own, empty folder");
            let warning = Diagnostic::warning("app-program", message);
            let span = command.value.first().map_or(command.span, |word| word.span);
            self.found.push(warning.at(span, "relative").hint("write its whole path"));
        }
        if words.iter().any(|word| word.contains('$')) {
            let message = "a `command` is run without a shell: `$NAME` stays as it is";
            self.found.push(
                Diagnostic::warning("app-program", message)
                    .at(command.span, "here")
                    .hint("say `shell: exec PROGRAM $PORT` for variables"),
            );
        }
        if words.is_empty() {
            self.wrong("app-run", "there is nothing to run", command.span, "the list is empty");
        }
        Some(Run::Command(words))
    }

    fn uses_port(&mut self, text: &str, span: Span) {
        if self.ports == 0 && text.contains("$PORT") {
            let message = "`$PORT` is empty: the app needs no port";
            let warning = Diagnostic::warning("app-port", message).at(span, "used here");
            self.found.push(warning.hint("say `needs: {ports: 1}`"));
        }
    }

    pub(super) fn words(&mut self, list: &Spanned<Vec<Spanned<Word>>>) -> Vec<String> {
        self.length(list.value.len(), list.span);
        for word in &list.value {
            if word.value.0.contains('\0') {
                self.text(&word.value.0, word.span);
            }
        }
        list.value.iter().map(|word| word.value.0.clone()).collect()
    }

    fn text(&mut self, text: &str, span: Span) {
        if text.is_empty() || text.contains('\0') {
            self.wrong("app-run", "this can't be run", span, "it is empty or has a zero byte");
        }
    }

    pub(super) fn length(&mut self, length: usize, span: Span) {
        if length > LIST_MOST {
            let message = format!("this has {length} entries, at most {LIST_MOST} are possible");
            self.wrong("app-list", message, span, "too long");
        }
    }

    fn bounds(&mut self, instances: Option<&Spanned<Instances>>) -> Bounds {
        let Some(instances) = instances else { return Bounds { min: 1, max: 1 } };
        let bounds = match &instances.value {
            Instances::Fixed(count) => Bounds { min: *count, max: *count },
            Instances::Between(Between { min, max }) => Bounds { min: min.value, max: max.value },
        };
        if bounds.min > bounds.max {
            let message =
                format!("the fewest, {}, are more than the most, {}", bounds.min, bounds.max);
            self.wrong("app-instances", message, instances.span, "the fewest first");
        }
        if bounds.max > INSTANCES_MOST {
            let message = format!(
                "{} instances are more than the {INSTANCES_MOST} that are possible",
                bounds.max
            );
            self.wrong("app-instances", message, instances.span, "too many");
        }
        bounds
    }

    fn environment(
        &mut self,
        variables: &BTreeMap<String, Spanned<Word>>,
    ) -> BTreeMap<String, String> {
        for (name, value) in variables {
            let is_name = !name.is_empty() && !name.contains(['=', '\0']);
            if !is_name || value.value.0.contains('\0') {
                let message = format!("`{name}` can't be a variable");
                self.wrong(
                    "app-environment",
                    message,
                    value.span,
                    "its name or value has `=` or a zero byte",
                );
            }
            if is_ours(name) {
                let message = format!("`{name}` is set by the scheduler");
                let warning = Diagnostic::warning("app-environment", message);
                self.found.push(warning.at(value.span, "this value is not used"));
            }
        }
        if let (true, Some(last)) = (variables.len() > LIST_MOST, variables.values().last()) {
            self.length(variables.len(), last.span);
        }
        variables.iter().map(|(name, value)| (name.clone(), value.value.0.clone())).collect()
    }

    fn health(&mut self, health: &Spanned<Health>) -> (Nanoseconds, Option<Check>) {
        let part = &health.value;
        let grace = part.grace.map_or(HEALTH_GRACE, |Length(grace)| grace);
        let probes: Vec<(Probe, Span)> = [
            part.http.as_ref().map(|path| {
                let port = part.port.map_or(0, |port| port.value);
                (Probe::Http { path: path.value.clone(), port }, path.span)
            }),
            part.tcp
                .filter(|tcp| tcp.value)
                .map(|tcp| (Probe::Tcp { port: part.port.map_or(0, |port| port.value) }, tcp.span)),
            part.command.as_ref().map(|list| (Probe::Command(self.words(list)), list.span)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let [(probe, span)] = probes.as_slice() else {
            let message = "a check is one of `http`, `tcp` and `command`";
            let label = if probes.is_empty() { "says none" } else { "says several" };
            self.wrong("app-health", message, health.span, label);
            self.hint("say `health: {http: /health}`");
            return (grace, None);
        };
        let port = match probe {
            Probe::Http { path, port } => {
                if !is_path(path) {
                    self.wrong(
                        "app-health",
                        "a path begins with `/` and has no blanks",
                        *span,
                        "this one",
                    );
                }
                Some(*port)
            }
            Probe::Tcp { port } => Some(*port),
            Probe::Command(words) => {
                if words.is_empty() {
                    self.wrong("app-health", "there is nothing to run", *span, "the list is empty");
                }
                None
            }
        };
        if let Some(port) = port.filter(|port| *port >= self.ports) {
            let message = match self.ports {
                0 => "the check looks at a port, but the app needs none".to_owned(),
                ports => format!("the check looks at port {port}, but the app needs {ports}"),
            };
            self.wrong("app-health", message, *span, "ports count from 0");
            self.hint(format!("say `needs: {{ports: {}}}`", port.saturating_add(1)));
        }
        let positive = |length: Option<Spanned<Length>>, default| {
            length.map_or(default, |length| length.value.0)
        };
        let (interval, timeout) =
            (positive(part.interval, INTERVAL), positive(part.timeout, TIMEOUT));
        let failures = part.failures.map_or(FAILURES, |failures| failures.value);
        if interval == Nanoseconds::ZERO || timeout == Nanoseconds::ZERO || failures == 0 {
            self.wrong(
                "app-health",
                "interval, timeout and failures are more than none",
                health.span,
                "here",
            );
        }
        (grace, Some(Check { probe: probe.clone(), interval, timeout, failures }))
    }

    fn constraint(&mut self, part: &Spanned<ConstraintPart>) -> Option<Constraint> {
        let ConstraintPart { attribute, is, is_not, machines, most_per_machine } = &part.value;
        let values = |list: &Spanned<Vec<Word>>| -> BTreeSet<String> {
            list.value.iter().map(|word| word.0.clone()).collect()
        };
        match (attribute, is, is_not, machines, most_per_machine) {
            (Some(name), Some(list), None, None, None) => {
                Some(Constraint::Attribute { name: name.value.clone(), values: values(list) })
            }
            (Some(name), None, Some(list), None, None) => {
                Some(Constraint::NotAttribute { name: name.value.clone(), values: values(list) })
            }
            (None, None, None, Some(list), None) => {
                let mut names = BTreeSet::new();
                for name in &list.value {
                    match name.value.parse::<MachineName>() {
                        Ok(machine) => {
                            names.insert(machine);
                        }
                        Err(error) => {
                            self.wrong("app-constraint", error.to_string(), name.span, "this")
                        }
                    }
                }
                Some(Constraint::Machines(names))
            }
            (None, None, None, None, Some(most)) => Some(Constraint::MostPerMachine(most.value)),
            _ => {
                let message = "a constraint says one thing";
                self.wrong("app-constraint", message, part.span, "this one");
                self.hint(
                    "say {attribute: NAME, is: [VALUE]}, {attribute: NAME, is_not: [VALUE]}, \
                     {machines: [NAME]} or {most_per_machine: 1}",
                );
                None
            }
        }
    }

    fn inner_ports(&mut self, file: &File) -> Vec<u16> {
        let Some(ports) = &file.inner_ports else { return Vec::new() };
        if file.image.is_none() {
            self.wrong(
                "app-port",
                "`inner_ports` are those of an image",
                ports.span,
                "there is no image",
            );
        }
        if ports.value.len() > usize::try_from(self.ports).unwrap_or(usize::MAX) {
            let message =
                format!("there are more `inner_ports` than ports: the app needs {}", self.ports);
            self.wrong("app-port", message, ports.span, "too many");
            self.hint(format!("say `needs: {{ports: {}}}`", ports.value.len()));
        }
        ports.value.clone()
    }
}

/// Variables that every instance has.
fn is_ours(name: &str) -> bool {
    let is_port =
        name.strip_prefix("PORT").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    is_port || name.starts_with("CORRAL_")
}
