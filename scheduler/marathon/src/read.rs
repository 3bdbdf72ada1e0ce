//! An app as Marathon's clients write it → what the core runs.

use std::collections::BTreeMap;

use policy::Nanoseconds;
use scheduler_core::app::{
    Bounds, Constraint, INSTANCES_MOST, LIST_MOST, Need, Probe, Run, Specification,
};
use scheduler_core::ids::AppName;
use serde_json::{Map, Value};

use crate::extras::{EXTRAS, Extras, Port};
use crate::health;
use crate::ports::{self, Ports};
use crate::{WITHHELD, constraints, unsupported};

/// What Marathon takes if nothing is said.
const CPUS: f64 = 1.0;
const MEMORY_MIB: u32 = 128;
const KILL_GRACE: Nanoseconds = Nanoseconds::from_seconds(3);

/// The longest time that can be said, in seconds: longer ones are slips.
pub(crate) const SECONDS_MOST: u64 = 1_000_000_000;

/// The shell that commands are for.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Something that is wrong with an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Where, such as `/container/docker/image`.
    pub path: String,
    /// Why.
    pub why: String,
}

impl Wrong {
    pub(crate) fn new(path: &str, why: impl Into<String>) -> Self {
        Wrong { path: path.to_owned(), why: why.into() }
    }
}

/// An app that is changed: what isn't said stays.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// What it runs now.
    pub specification: &'a Specification,
    /// How many there are.
    pub bounds: Bounds,
}

/// An app as the core takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// What is run.
    pub specification: Specification,
    /// How many.
    pub bounds: Bounds,
    /// The most that are replaced at a time, if it says so.
    pub step: Option<u32>,
}

/// The name of an app by its path: `/web` and `web` are `web`. There are no groups.
///
/// # Errors
/// If the core can't have such a name.
pub fn name(id: &str) -> Result<AppName, Wrong> {
    let inner = id.strip_prefix('/').unwrap_or(id);
    if inner.contains('/') {
        return Err(Wrong::new("/id", format!("`{id}` is in a group; there are no groups")));
    }
    inner.parse().map_err(|error| Wrong::new("/id", format!("{error}")))
}

/// Reads an app. `label` names the version.
///
/// # Errors
/// All that is wrong with it, and all that it asks for and that there isn't.
pub fn read(
    fields: &Map<String, Value>,
    base: Option<Base<'_>>,
    label: &str,
) -> Result<Given, Vec<Wrong>> {
    let mut reader = Reader { fields, base, wrong: Vec::new() };
    unsupported::refuse(fields, &mut reader.wrong);
    let given = reader.app(label);
    match given {
        Some(given) if reader.wrong.is_empty() => Ok(given),
        _ => Err(reader.wrong),
    }
}

struct Reader<'a> {
    fields: &'a Map<String, Value>,
    base: Option<Base<'a>>,
    wrong: Vec<Wrong>,
}

impl<'a> Reader<'a> {
    fn wrong(&mut self, path: &str, why: impl Into<String>) {
        self.wrong.push(Wrong::new(path, why));
    }

    /// What is said, apart from nothing.
    fn field(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn old(&self) -> Option<&'a Specification> {
        self.base.map(|base| base.specification)
    }

    fn app(&mut self, label: &str) -> Option<Given> {
        let run = self.run();
        let is_image = matches!(run, Some(Run::Image { .. }));
        let ports = self.ports(is_image);
        let count = u32::try_from(ports.ports.len()).unwrap_or(u32::MAX);
        let bounds = self.bounds();
        let (check, health_grace) = match (self.field("healthChecks"), self.old()) {
            (Some(list), _) => health::read(list, count, &mut self.wrong),
            (None, Some(old)) => (old.check.clone(), old.health_grace),
            (None, None) => (None, None),
        };
        let looks_at = match check.as_ref().map(|check| &check.probe) {
            Some(Probe::Http { port, .. } | Probe::Tcp { port }) => Some(*port),
            Some(Probe::Command(_)) | None => None,
        };
        if self.field("healthChecks").is_none() && looks_at.is_some_and(|port| port >= count) {
            self.wrong("/healthChecks", "the check looks at a port that isn't there any more");
        }
        let step = self.step(bounds);
        let specification = Specification {
            label: label.to_owned(),
            need: Need { millicores: self.millicores(), memory_mib: self.memory(), ports: count },
            environment: self.environment(&ports.ports),
            health_grace,
            kill_grace: self.kill_grace(),
            warm_up: self.old().and_then(|old| old.warm_up),
            cool_down: self.old().and_then(|old| old.cool_down),
            constraints: self.constraints(),
            check,
            inner_ports: ports.inner,
            // Marathon has no words for these, or other ones.
            discovery: self.old().map(|old| old.discovery.clone()).unwrap_or_default(),
            metrics: self.old().and_then(|old| old.metrics.clone()),
            volumes: self.old().map(|old| old.volumes.clone()).unwrap_or_default(),
            reserves: self.old().map(|old| old.reserves).unwrap_or_default(),
            run: run?,
        };
        Some(Given { specification, bounds, step })
    }

    fn run(&mut self) -> Option<Run> {
        let words = match (self.field("cmd"), self.field("args")) {
            (Some(_), Some(Value::Array(words))) if !words.is_empty() => {
                self.wrong("/args", "of cmd and args there can be only one");
                return None;
            }
            (Some(Value::String(text)), _) if !text.trim().is_empty() => Some(shell_words(text)),
            (Some(_), _) => {
                self.wrong("/cmd", "a text is expected");
                return None;
            }
            (None, Some(value)) => Some(self.words(value)),
            (None, None) => None,
        };
        let words = words.filter(|words| !words.is_empty());
        let old = self.old().map(|old| &old.run);
        let image = match (self.field("container"), old) {
            (Some(container), _) => self.image(container),
            (None, Some(Run::Image { image, .. })) => Some(image.clone()),
            (None, _) => None,
        };
        let kept = match old {
            Some(Run::Image { arguments, .. }) if image.is_some() => Some(arguments.clone()),
            Some(Run::Command(words)) if image.is_none() => Some(words.clone()),
            _ => None,
        };
        match (image, words.or(kept)) {
            (Some(image), words) => {
                Some(Run::Image { image, arguments: words.unwrap_or_default() })
            }
            (None, Some(words)) => Some(Run::Command(words)),
            (None, None) => {
                self.wrong("/cmd", "the app says nothing that is run: say cmd, args or an image");
                None
            }
        }
    }

    fn words(&mut self, value: &Value) -> Vec<String> {
        let words = value.as_array().map(|list| list.iter().map(Value::as_str));
        let words: Option<Vec<&str>> = words.and_then(Iterator::collect);
        let Some(words) = words.filter(|words| words.len() <= LIST_MOST) else {
            self.wrong("/args", format!("a list of at most {LIST_MOST} texts is expected"));
            return Vec::new();
        };
        words.into_iter().map(str::to_owned).collect()
    }

    /// The image of a container; none if it is a plain process.
    fn image(&mut self, container: &Value) -> Option<String> {
        let kind = container.get("type").and_then(Value::as_str).unwrap_or("DOCKER");
        let image = container.pointer("/docker/image").and_then(Value::as_str);
        for (name, value) in container.as_object().into_iter().flatten() {
            let is_read = matches!(name.as_str(), "type" | "docker" | "portMappings");
            let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            if !is_read && !is_empty {
                self.wrong(&format!("/container/{name}"), "not supported");
            }
        }
        let docker = container.get("docker").and_then(Value::as_object);
        for (name, value) in docker.into_iter().flatten() {
            let is_read = matches!(name.as_str(), "image" | "network" | "portMappings");
            let is_empty = value.is_null()
                || value.as_bool() == Some(false)
                || value.as_array().is_some_and(Vec::is_empty);
            if !is_read && !is_empty {
                self.wrong(&format!("/container/docker/{name}"), "not supported");
            }
        }
        match (kind, image) {
            ("DOCKER", Some(image)) if !image.is_empty() => Some(image.to_owned()),
            ("DOCKER", _) => {
                self.wrong("/container/docker/image", "an image is expected");
                None
            }
            ("MESOS", None) => None,
            ("MESOS", Some(_)) => {
                self.wrong("/container/type", "images run in Docker only: say DOCKER");
                None
            }
            (other, _) => {
                self.wrong("/container/type", format!("`{other}` is not supported"));
                None
            }
        }
    }

    fn ports(&mut self, is_image: bool) -> Ports {
        let container = self.field("container");
        let network = ports::network(self.fields, container, &mut self.wrong);
        let was_image = matches!(self.old().map(|old| &old.run), Some(Run::Image { .. }));
        match (is_image, network.as_deref()) {
            (true, Some("container/bridge")) | (false, None | Some("host")) => {}
            (true, None) if was_image => {}
            (true, _) => self.wrong(
                "/networks",
                "containers have a network of their own: say [{\"mode\": \"container/bridge\"}]",
            ),
            (false, Some(other)) => {
                self.wrong("/networks", format!("processes have no network `{other}`"));
            }
        }
        let mapped = container.and_then(|it| {
            let places = ["/portMappings", "/docker/portMappings"];
            places.iter().find_map(|place| {
                let list = it.pointer(place).filter(|list| !list.is_null())?;
                // The Python client sends an empty list where nothing is said.
                (!list.as_array().is_some_and(Vec::is_empty))
                    .then(|| (format!("/container{place}"), list))
            })
        });
        let said = match (is_image, mapped) {
            (true, Some((path, list))) => Some(ports::mapped(&path, list, &mut self.wrong)),
            (false, Some((path, _))) => {
                self.wrong(&path, "only containers have these");
                None
            }
            (_, None) => ports::outer(self.fields, &mut self.wrong),
        };
        let found = said.unwrap_or_else(|| match self.old() {
            Some(old) => {
                let mut ports = Extras::of(old).ports;
                let count = usize::try_from(old.need.ports).unwrap_or(usize::MAX).min(LIST_MOST);
                ports.resize(count, Port::default());
                Ports { ports, inner: old.inner_ports.clone() }
            }
            // One port, as Marathon.
            None => Ports { ports: vec![Port::default()], inner: Vec::new() },
        });
        if found.ports.len() > LIST_MOST {
            self.wrong("/portDefinitions", format!("at most {LIST_MOST} ports are possible"));
        }
        found
    }

    fn bounds(&mut self) -> Bounds {
        let old = self.base.map(|base| base.bounds);
        let Some(value) = self.field("instances") else {
            return old.unwrap_or(Bounds { min: 1, max: 1 });
        };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        match number.filter(|number| *number <= INSTANCES_MOST) {
            Some(number) => Bounds { min: number, max: number },
            None => {
                let why = format!("a number from 0 to {INSTANCES_MOST} is expected");
                self.wrong("/instances", why);
                Bounds { min: 0, max: 0 }
            }
        }
    }

    /// How many may be started before old ones end: `maximumOverCapacity`.
    fn step(&mut self, bounds: Bounds) -> Option<u32> {
        let strategy = self.field("upgradeStrategy")?;
        for (name, value) in strategy.as_object().into_iter().flatten() {
            let fits = value.as_f64().is_some_and(|it| (0.0..=1.0).contains(&it));
            let is_known = matches!(name.as_str(), "maximumOverCapacity" | "minimumHealthCapacity");
            if !is_known || !fits {
                let why = "a number from 0 to 1 is expected";
                self.wrong(&format!("/upgradeStrategy/{name}"), why);
                return None;
            }
        }
        // The health capacity is a promise that is always kept: old ones end when new ones serve.
        let over = strategy.get("maximumOverCapacity").and_then(Value::as_f64)?;
        let most = whole((over * f64::from(bounds.max) + 1e-9).floor());
        if most == 0 && bounds.max > 0 {
            let why = "a new instance always starts before an old one ends: there has to be room \
                       for one at least";
            self.wrong("/upgradeStrategy/maximumOverCapacity", why);
        }
        Some(most.max(1))
    }

    fn millicores(&mut self) -> u32 {
        let old = self.old().map(|old| old.need.millicores);
        let cpus = match (self.field("cpus"), old) {
            (None, Some(old)) => return old,
            (None, None) => CPUS,
            (Some(value), _) => value.as_f64().unwrap_or(-1.0),
        };
        let millicores = cpus * 1000.0;
        if !(0.0..=f64::from(u32::MAX)).contains(&millicores)
            || (millicores - millicores.round()).abs() > 1e-6
        {
            self.wrong("/cpus", "a number in thousandths at the finest is expected");
        }
        whole(millicores.round())
    }

    fn memory(&mut self) -> u32 {
        let old = self.old().map_or(MEMORY_MIB, |old| old.need.memory_mib);
        let Some(value) = self.field("mem") else { return old };
        let mem = value.as_f64().unwrap_or(-1.0);
        if !(0.0..=f64::from(u32::MAX)).contains(&mem) || mem.fract() != 0.0 {
            self.wrong("/mem", "a whole number of MiB is expected");
        }
        whole(mem)
    }

    fn kill_grace(&mut self) -> Nanoseconds {
        let old = self.old().map_or(KILL_GRACE, |old| old.kill_grace);
        let Some(value) = self.field("taskKillGracePeriodSeconds") else { return old };
        match value.as_u64().filter(|seconds| *seconds <= SECONDS_MOST) {
            Some(seconds) => Nanoseconds::from_seconds(seconds),
            None => {
                let why = format!("a whole number up to {SECONDS_MOST} is expected");
                self.wrong("/taskKillGracePeriodSeconds", why);
                old
            }
        }
    }

    fn environment(&mut self, ports: &[Port]) -> BTreeMap<String, String> {
        let kept = self.old().map(Extras::of).unwrap_or_default();
        let labels = match self.field("labels") {
            Some(value) => self.texts("labels", value),
            None => kept.labels,
        };
        let mut environment = match (self.field("env"), self.old()) {
            (Some(value), _) => {
                let given = self.texts("env", value);
                for name in given.keys().filter(|name| is_ours(name)) {
                    self.wrong(&format!("/env/{name}"), "it is set by the scheduler");
                }
                given
            }
            (None, Some(old)) => old.environment.clone(),
            (None, None) => BTreeMap::new(),
        };
        if environment.len() > LIST_MOST {
            self.wrong("/env", format!("at most {LIST_MOST} variables are possible"));
        }
        environment.remove(EXTRAS);
        let extras = Extras { labels, ports: ports.to_vec() };
        if let Some(text) = extras.text() {
            environment.insert(EXTRAS.to_owned(), text);
        }
        environment
    }

    fn texts(&mut self, field: &str, value: &Value) -> BTreeMap<String, String> {
        let Some(entries) = value.as_object() else {
            self.wrong(&format!("/{field}"), "an object is expected");
            return BTreeMap::new();
        };
        let mut texts = BTreeMap::new();
        for (name, value) in entries {
            let path = format!("/{field}/{name}");
            let is_name = !name.is_empty() && !name.contains(['=', '\0']);
            match value.as_str() {
                Some(WITHHELD) => {
                    self.wrong(&path, "the value was withheld: read the app with the token first");
                }
                Some(text) if is_name && !text.contains('\0') => {
                    texts.insert(name.clone(), text.to_owned());
                }
                Some(_) => self.wrong(&path, "there may be no zero byte, and no = in the name"),
                None => self.wrong(&path, "a text is expected; there are no secrets yet"),
            }
        }
        texts
    }

    fn constraints(&mut self) -> Vec<Constraint> {
        match (self.field("constraints"), self.old()) {
            (Some(value), _) => constraints::read(value, &mut self.wrong),
            (None, Some(old)) => old.constraints.clone(),
            (None, None) => Vec::new(),
        }
    }
}

/// Variables that every instance has.
fn is_ours(name: &str) -> bool {
    let is_port =
        name.strip_prefix("PORT").is_some_and(|rest| rest.bytes().all(|it| it.is_ascii_digit()));
    is_port || name.starts_with("CORRAL_")
}

/// A whole number that was checked to fit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what doesn't fit is told by the caller, and saturates"
)]
fn whole(number: f64) -> u32 {
    number as u32
}

/// A text for the shell as the core runs it.
pub(crate) fn shell_words(text: &str) -> Vec<String> {
    SHELL.iter().copied().chain([text]).map(str::to_owned).collect()
}

/// The text for a shell that runs the same words.
pub(crate) fn shell_text(words: &[String]) -> String {
    if let [shell, flag, text] = words
        && [shell.as_str(), flag.as_str()] == SHELL
    {
        return text.clone();
    }
    let quoted = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''")));
    quoted.collect::<Vec<_>>().join(" ")
}
