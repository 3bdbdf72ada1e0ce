//! The parts of `app.yml` that say how an instance is found in Consul, and where it says what it has to
//! do.

use policy::Nanoseconds;
use policy::config::units::Length;
use scheduler_core::app::{Discovery, DiscoveryCheck, Metrics};
use serde::Deserialize;
use yaml::Spanned;

use super::check::Checker;
use super::file::{File, Word};

/// Time until an instance of which the scheduler says nothing is critical, if the file doesn't say.
const TTL: Nanoseconds = Nanoseconds::from_seconds(60);

/// The shortest such time: the scheduler speaks three times in it.
const TTL_LEAST: Nanoseconds = Nanoseconds::from_seconds(10);

/// The path of metrics, if the file doesn't say: that of Prometheus.
const METRICS_PATH: &str = "/metrics";

/// How an instance is found in Consul.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consul {
    pub port: Option<Spanned<u32>>,
    #[serde(default)]
    pub tags: Vec<Spanned<Word>>,
    pub check: Option<Spanned<String>>,
    pub ttl: Option<Spanned<Length>>,
    pub command: Option<Spanned<Vec<Spanned<Word>>>>,
}

/// Where an instance says what it has to do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsPart {
    pub path: Option<Spanned<String>>,
    pub port: Option<Spanned<u32>>,
    pub queue: Spanned<String>,
    pub busy: Option<Spanned<String>>,
    pub arrivals: Option<Spanned<String>>,
    pub rejects: Option<Spanned<String>>,
}

impl Checker {
    pub(super) fn discovery(&mut self, file: &File) -> Discovery {
        let Some(part) = &file.consul else { return Discovery::default() };
        let Consul { port, tags, .. } = &part.value;
        if let Some(port) = port {
            self.port(port, "app-consul");
        }
        for tag in tags {
            if tag.value.0.is_empty() || tag.value.0.chars().any(char::is_control) {
                self.wrong("app-consul", "a tag is a text on one line", tag.span, "this one");
            }
        }
        self.length(tags.len(), part.span);
        let check = self.discovery_check(file, part);
        let tags = tags.iter().map(|tag| tag.value.0.clone()).collect();
        Discovery { port: port.map_or(0, |port| port.value), tags, check }
    }

    /// What Consul looks at.
    fn discovery_check(&mut self, file: &File, part: &Spanned<Consul>) -> DiscoveryCheck {
        let Consul { check, ttl, command, .. } = &part.value;
        let word = check.as_ref().map_or("health", |check| check.value.as_str());
        if let (Some(ttl), true) = (ttl, word != "ttl") {
            self.wrong("app-consul", "`ttl` is that of `check: ttl`", ttl.span, "of no use here");
        }
        if let (Some(command), true) = (command, word != "script" && word != "docker") {
            let message = "`command` is that of `check: script` and `check: docker`";
            self.wrong("app-consul", message, command.span, "of no use here");
        }
        match word {
            "health" => DiscoveryCheck::AsHealth,
            "none" => DiscoveryCheck::Nothing,
            "ttl" => {
                let length = ttl.map_or(TTL, |ttl| ttl.value.0);
                if let Some(ttl) = ttl.filter(|ttl| ttl.value.0 < TTL_LEAST) {
                    self.wrong("app-consul", "this is too short", ttl.span, "10s at least");
                }
                DiscoveryCheck::Ttl(length)
            }
            "script" | "docker" => {
                let words = command.as_ref().map(|list| self.words(list)).unwrap_or_default();
                if words.is_empty() {
                    let message = format!("a {word} check needs `command: [PROGRAM, ARGUMENT]`");
                    self.wrong("app-consul", message, part.span, "says none");
                }
                if word == "script" {
                    return DiscoveryCheck::Script(words);
                }
                if file.image.is_none() {
                    let span = check.as_ref().map_or(part.span, |check| check.span);
                    let message = "a Docker check looks into a container";
                    self.wrong("app-consul", message, span, "the app has no `image`");
                    self.hint("`check: script` runs a program on the machine");
                }
                DiscoveryCheck::Docker(words)
            }
            _ => {
                let span = check.as_ref().map_or(part.span, |check| check.span);
                let message = format!("`{word}` is no check of Consul");
                self.wrong("app-consul", message, span, "not known");
                self.hint("say one of health, none, ttl, script and docker");
                DiscoveryCheck::Nothing
            }
        }
    }

    pub(super) fn metrics(&mut self, file: &File) -> Option<Metrics> {
        let part = file.metrics.as_ref()?;
        let MetricsPart { path, port, queue, busy, arrivals, rejects } = &part.value;
        match port {
            Some(port) => self.port(port, "app-metrics"),
            None if self.ports == 0 => {
                let message = "metrics are read from a port, but the app needs none";
                self.wrong("app-metrics", message, part.span, "no port");
                self.hint("say `needs: {ports: 1}`");
            }
            None => {}
        }
        if let Some(path) = path
            && !is_path(&path.value)
        {
            let message = "a path begins with `/` and has no blanks";
            self.wrong("app-metrics", message, path.span, "this one");
        }
        for name in [Some(queue), busy.as_ref(), arrivals.as_ref(), rejects.as_ref()] {
            let Some(name) = name.filter(|name| !is_series(&name.value)) else { continue };
            let message = format!("`{}` is no name of a series", name.value);
            self.wrong("app-metrics", message, name.span, "letters, digits, `_` and `:`");
        }
        let text = |name: &Option<Spanned<String>>| name.as_ref().map(|name| name.value.clone());
        Some(Metrics {
            path: text(path).unwrap_or_else(|| METRICS_PATH.to_owned()),
            port: port.map_or(0, |port| port.value),
            queue: queue.value.clone(),
            busy: text(busy),
            arrivals: text(arrivals),
            rejects: text(rejects),
        })
    }

    fn port(&mut self, port: &Spanned<u32>, code: &'static str) {
        // Without any port, the first one is none, and that is no mistake.
        if port.value < self.ports.max(1) {
            return;
        }
        let message = format!("this is port {}, but the app needs {}", port.value, self.ports);
        self.wrong(code, message, port.span, "ports count from 0");
        self.hint(format!("say `needs: {{ports: {}}}`", port.value.saturating_add(1)));
    }
}

/// What can be the path of a request.
pub(super) fn is_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// A name of Prometheus' text format.
fn is_series(name: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    let is_next = |byte: u8| is_first(byte) || byte.is_ascii_digit();
    name.bytes().next().is_some_and(is_first) && name.bytes().all(is_next)
}
