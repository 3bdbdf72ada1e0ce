//! `component.yml`: what the planner must know of a component. Everything wrong with it is told at
//! once, with its place. Strings may be templates with a member's variables; they are not
//! evaluated here.

use std::collections::BTreeMap;
use std::fmt;

use diagnostics::{Diagnostic, Sources};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use yaml::{Schema, Spanned};

use crate::order::Order;
use crate::roster::{Joins, Members};
use crate::transition::{Pattern, Transition};

/// Version of the format of `component.yml`.
pub const DEFINITION_VERSION: u32 = 1;

/// Settling times above this are a slip of the unit.
const SETTLE_LIMIT_SECONDS: u64 = 600;

/// A component.
#[derive(Debug, Clone, Deserialize)]
pub struct Definition {
    /// [`DEFINITION_VERSION`].
    pub version: Spanned<u32>,
    /// Its name: the role's, and the key in `releases` and `artifacts`.
    pub name: Spanned<String>,
    /// What kind it is.
    pub kind: Spanned<Kind>,
    /// The group of the inventory whose hosts are its members (of a quorum: its voters).
    pub group: Spanned<String>,
    /// The group of hosts that run it without a vote.
    pub followers: Option<Spanned<String>>,
    /// The unit of systemd that is the component.
    pub unit: String,
    /// All its units, in the order in which they start.
    #[serde(default)]
    pub units: Vec<String>,
    /// Where its releases are.
    pub release: Release,
    /// How to ask a member.
    pub probe: Probe,
    /// How members depend on each other.
    pub quorum: Option<Quorum>,
    /// How hosts join and leave; without it they can't.
    pub members: Option<Members>,
    /// Whether its role moves away what runs on a member before it restarts it, when it is told to
    /// (`member_drain`).
    #[serde(default)]
    pub drains: bool,
    /// What stands between it and other components.
    #[serde(default)]
    pub order: Order,
    /// When a member is well.
    pub health: Health,
    /// Ports, by what they are for.
    #[serde(default)]
    pub ports: BTreeMap<String, Text>,
    /// Folders and files.
    #[serde(default)]
    pub paths: BTreeMap<String, Vec<String>>,
    /// Which version may follow which.
    pub transitions: Vec<Spanned<Transition>>,
}

/// What kind of component it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Its members form a quorum.
    Quorum,
    /// Each host is for itself.
    Daemon,
}

/// Where releases are.
#[derive(Debug, Clone, Deserialize)]
pub struct Release {
    /// The variable with the wanted version, as a path of keys: `releases.zookeeper`.
    pub wanted: Spanned<String>,
    /// The folder of releases.
    pub folder: String,
    /// The link to the release in use.
    pub current: String,
    /// The key in `artifacts`, where several components are made from one archive; else the
    /// component's name.
    pub artifact: Option<String>,
}

/// How to ask a member, on its own host.
#[derive(Debug, Clone, Deserialize)]
pub struct Probe {
    /// What the answers look like.
    pub format: Spanned<Format>,
    /// A port of the member's host that answers questions.
    pub exchange: Option<Exchange>,
    /// Questions to an HTTP API.
    pub http: Option<Http>,
    /// The program to ask.
    pub program: Option<String>,
    /// A command that ends with 0 if the member is well: a template of its arguments.
    pub command: Option<String>,
    /// A file that the unit writes when it starts: of a service and of a scheduler the version of the
    /// release, of an agent of Mesos the environment.
    pub running: Option<String>,
    /// What the inventory wants of a member, to be compared with what it says of itself: templates
    /// by name.
    #[serde(default)]
    pub wanted: BTreeMap<String, String>,
    /// Ends with 0 if the running process was started with the files that are on disk.
    pub started_with_current_files: Vec<String>,
}

/// What answers look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `mntr` of ZooKeeper.
    ZookeeperMntr,
    /// The HTTP API of Consul.
    ConsulApi,
    /// The command line client of Docker.
    DockerCommand,
    /// systemd, and a command that tells health.
    UnitCommand,
    /// The HTTP API of a master of Mesos.
    MesosMaster,
    /// The HTTP API of an agent of Mesos.
    MesosAgent,
    /// `/readyz` of Corral's scheduler, and its unit.
    SchedulerReady,
}

/// A port of the member's host that answers questions.
#[derive(Debug, Clone, Deserialize)]
pub struct Exchange {
    /// The port.
    pub port: Text,
}

/// Questions to an HTTP API.
#[derive(Debug, Clone, Deserialize)]
pub struct Http {
    /// Where it begins.
    pub url: String,
    /// The header that carries a token.
    pub header: Option<String>,
    /// The token, as a template: it never stands here itself.
    pub token: Option<Spanned<String>>,
    /// A user, where a password is asked for.
    pub user: Option<String>,
    /// The password, as a template.
    pub password: Option<Spanned<String>>,
    /// The file with the authorities that the member's certificate must come from.
    pub authorities: Option<String>,
}

/// How members depend on each other.
#[derive(Debug, Clone, Deserialize)]
pub struct Quorum {
    /// How many must be up.
    pub rule: QuorumRule,
    /// Who is taken when.
    pub order: QuorumOrder,
    /// How a cluster without data begins.
    pub first_formation: FirstFormation,
    /// What exists when a member has data of the cluster.
    pub has_data: String,
}

/// How many must be up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuorumRule {
    /// More than half of the voters.
    #[default]
    Majority,
    /// One: they keep nothing together, and elect who leads elsewhere.
    One,
}

impl QuorumRule {
    /// Whether it is the rule of most: what is written without one has it.
    #[must_use]
    pub const fn is_majority(&self) -> bool {
        matches!(self, QuorumRule::Majority)
    }

    /// How many of so many voters must be up.
    #[must_use]
    pub const fn of(self, voters: usize) -> usize {
        match self {
            QuorumRule::Majority => voters / 2 + 1,
            QuorumRule::One => 1,
        }
    }

    /// Whether so many voters are too few for any of them to be missed.
    #[must_use]
    pub const fn needs_all(self, voters: usize) -> bool {
        voters.saturating_sub(1) < self.of(voters)
    }
}

/// Who is taken when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuorumOrder {
    /// Those who aren't ready, observers, followers, the leader, those without a vote.
    LeaderLast,
}

/// How a cluster without data begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstFormation {
    /// All members at once.
    Together,
}

/// When a member is well.
#[derive(Debug, Clone, Deserialize)]
pub struct Health {
    /// How long it may take to become so.
    pub timeout_seconds: Text,
    /// How long it must have been so before it counts.
    pub settle_seconds: Spanned<u64>,
}

/// A number or a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a template")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// What stands for the name in a definition that is shared by many components.
pub const NAME_PLACEHOLDER: &str = "{{ component_name }}";

impl Definition {
    /// Whether this is the definition of many: the inventory names them.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.name.value == NAME_PLACEHOLDER
    }

    /// The definition of one of many. What else it says of the name is a template that knows it.
    #[must_use]
    pub fn of_one(&self, name: &str, group: &str) -> Self {
        let mut one = self.clone();
        name.clone_into(&mut one.name.value);
        group.clone_into(&mut one.group.value);
        one.release.wanted.value = format!("releases.{name}");
        one.unit = one.unit.replace(NAME_PLACEHOLDER, name);
        one
    }

    /// The key of its archives in `artifacts`.
    #[must_use]
    pub fn artifact(&self) -> &str {
        self.release.artifact.as_deref().unwrap_or(&self.name.value)
    }
}

/// Reads a definition.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_definition(
    name: &str,
    text: &str,
    sources: &mut Sources,
) -> Result<Definition, Vec<Diagnostic>> {
    let source = sources.add(name, text);
    let read = yaml::read(text, source, Schema::Strict);
    if !read.is_usable() {
        return Err(read.diagnostics);
    }
    let [document] = read.documents.as_slice() else {
        return Err(vec![Diagnostic::error("component", format!("{name} is not one document"))]);
    };
    let definition: Definition = yaml::from_node(document)?;
    let found = check(&definition);
    if found.is_empty() { Ok(definition) } else { Err(found) }
}

fn check(definition: &Definition) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut wrong = |span, message: &str, label: &str, hint: &str| {
        found.push(Diagnostic::error("component", message).at(span, label).hint(hint));
    };
    if definition.version.value != DEFINITION_VERSION {
        wrong(
            definition.version.span,
            "this version of component.yml is not known",
            "only 1 is",
            "use the provision that this playbook was made for",
        );
    }
    match (definition.kind.value, &definition.quorum) {
        (Kind::Quorum, None) => wrong(
            definition.kind.span,
            "a quorum needs its rules",
            "`quorum` is missing",
            "add `quorum:` with rule, order, first_formation and has_data",
        ),
        (Kind::Daemon, Some(_)) => wrong(
            definition.kind.span,
            "a daemon has no quorum",
            "but there are rules for one",
            "remove `quorum:`, or write `kind: quorum`",
        ),
        (Kind::Quorum, Some(_)) | (Kind::Daemon, None) => {}
    }
    let asks = definition.members.as_ref().is_some_and(|members| members.joins == Joins::ByRequest);
    if asks && definition.kind.value == Kind::Daemon {
        wrong(
            definition.kind.span,
            "a daemon has no votes to ask for",
            "but `members` says joins: by-request",
            "remove `joins`, or write `kind: quorum`",
        );
    }
    let probe = &definition.probe;
    let lacks = match probe.format.value {
        Format::ZookeeperMntr => probe.exchange.is_none().then_some("exchange"),
        Format::ConsulApi | Format::MesosMaster => probe.http.is_none().then_some("http"),
        Format::MesosAgent | Format::SchedulerReady if probe.http.is_none() => Some("http"),
        Format::MesosAgent | Format::SchedulerReady => probe.running.is_none().then_some("running"),
        Format::DockerCommand => probe.program.is_none().then_some("program"),
        Format::UnitCommand if probe.command.is_none() => Some("command"),
        Format::UnitCommand => probe.running.is_none().then_some("running"),
    };
    if let Some(lacks) = lacks {
        wrong(
            probe.format.span,
            "this format can't be asked for",
            &format!("it needs `{lacks}`"),
            &format!("add `{lacks}:` to the probe"),
        );
    }
    let http = probe.http.as_ref();
    let secrets = http.into_iter().flat_map(|http| [&http.token, &http.password]).flatten();
    for secret in secrets.filter(|secret| !secret.value.contains("{{")) {
        wrong(
            secret.span,
            "a secret stands in component.yml",
            "this is no template",
            "keep it in an encrypted file of the inventory and write \"{{ its_name }}\"",
        );
    }
    let wanted = &definition.release.wanted;
    if wanted.value != format!("releases.{}", definition.name.value) {
        wrong(
            wanted.span,
            "the wanted version stands elsewhere than `releases` says",
            "not releases.NAME",
            &format!("write releases.{}", definition.name.value),
        );
    }
    if definition.health.settle_seconds.value > SETTLE_LIMIT_SECONDS {
        wrong(
            definition.health.settle_seconds.span,
            "this settling time is longer than ten minutes",
            "in seconds",
            "how long a member must have served before the next is taken",
        );
    }
    transitions(definition, &mut found);
    found
}

fn transitions(definition: &Definition, found: &mut Vec<Diagnostic>) {
    if definition.transitions.is_empty() {
        found.push(
            Diagnostic::error("component", "`transitions` has no rule, so nothing is allowed")
                .hint("add - {from: same-minor, to: same-minor, allow: true}"),
        );
    }
    let mut rest: Option<usize> = None;
    for (number, rule) in definition.transitions.iter().enumerate() {
        let has_reason = rule.value.reason.as_ref().is_some_and(|text| !text.trim().is_empty());
        if !rule.value.allow && !has_reason {
            found.push(
                Diagnostic::error("component", "a refusal needs its reason")
                    .at(rule.span, "`reason` is missing")
                    .hint("who is refused wants to know why, and what to do instead"),
            );
        }
        if let Some(before) = rest {
            found.push(
                Diagnostic::error("component", "this rule is never looked at")
                    .at(rule.span, format!("rule {} fits everything", before + 1))
                    .hint("the first rule that fits decides: put it last"),
            );
        } else if rule.value.from == Pattern::Any && rule.value.to == Pattern::Any {
            rest = Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, Kind, read_definition};
    use crate::roster::{Joins, Leaves};
    use diagnostics::Sources;

    const GOOD: &str = "\
version: 1
name: zookeeper
kind: quorum
group: zookeeper
unit: zookeeper.service
release: {wanted: releases.zookeeper, folder: /opt/z/releases, current: /opt/z/current}
probe:
  format: zookeeper-mntr
  exchange: {port: 2181}
  started_with_current_files: [test, -e, /run/z]
quorum: {rule: majority, order: leader-last, first_formation: together, has_data: /data}
health: {timeout_seconds: \"{{ seconds }}\", settle_seconds: 3}
transitions:
  - {from: same-minor, to: same-minor, allow: true}
";

    fn errors(text: &str) -> Vec<String> {
        let mut sources = Sources::default();
        let found = read_definition("component.yml", text, &mut sources).unwrap_err();
        let place = |span| sources.place(span).to_string();
        found
            .iter()
            .map(|diagnostic| {
                let place = diagnostic.primary.as_ref().map(|label| place(label.span));
                format!("{} {}", place.unwrap_or_default(), diagnostic.message)
            })
            .collect()
    }

    #[test]
    fn a_good_one_is_read() {
        let definition = read_definition("c", GOOD, &mut Sources::default()).unwrap();
        assert_eq!(definition.kind.value, Kind::Quorum);
        assert_eq!(definition.probe.format.value, Format::ZookeeperMntr);
        assert_eq!(definition.probe.exchange.unwrap().port.0, "2181");
        assert_eq!(definition.health.timeout_seconds.0, "{{ seconds }}");
    }

    #[test]
    fn all_that_does_not_fit_is_told_at_once() {
        let text = GOOD
            .replace("name: zookeeper", "nam: zookeeper")
            .replace("kind: quorum", "kind: quorm")
            .replace("same-minor, to", "same, to");
        let found = errors(&text);
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found.iter().any(|line| line.contains("unknown key `nam`")), "{found:#?}");
        assert!(found.iter().any(|line| line.contains("key `name` is missing")), "{found:#?}");
        assert!(found.iter().any(|line| line.contains("unknown value `quorm`")), "{found:#?}");
        assert!(found.iter().any(|line| line.contains("expected a minor version")), "{found:#?}");
    }

    #[test]
    fn all_that_makes_no_sense_is_told_at_once() {
        let text = GOOD
            .replace("version: 1", "version: 2")
            .replace("kind: quorum", "kind: daemon")
            .replace("  exchange: {port: 2181}\n", "")
            .replace("releases.zookeeper", "releases.consul")
            .replace("settle_seconds: 3", "settle_seconds: 3000")
            + "  - {from: any, to: any, allow: false}\n  - {from: any, to: any, allow: true}\n";
        let found = errors(&text);
        assert_eq!(found.len(), 7, "{found:#?}");
    }

    #[test]
    fn how_hosts_join_is_read() {
        let with = |members: &str| GOOD.replace("health:", &format!("members: {members}\nhealth:"));
        let text = with("{names: \"{{ n }}\", joins: by-request, leaves: through-another}");
        let read = read_definition("c", &text, &mut Sources::default()).unwrap().members.unwrap();
        assert_eq!((read.joins, read.leaves), (Joins::ByRequest, Leaves::ThroughAnother));
        assert_eq!(read.names.as_deref(), Some("{{ n }}"));
        let read = read_definition("c", &with("{}"), &mut Sources::default()).unwrap();
        assert_eq!(read.members.unwrap().joins, Joins::ByItself);
        assert!(read_definition("c", GOOD, &mut Sources::default()).unwrap().members.is_none());
        let found = errors(&with("{joins: by-requst}"));
        assert!(found.iter().any(|line| line.contains("unknown value `by-requst`")), "{found:#?}");
        let daemon = with("{joins: by-request}")
            .replace("kind: quorum", "kind: daemon")
            .replace("quorum: {rule: majority, order: leader-last, first_formation: together, has_data: /data}\n", "");
        assert_eq!(errors(&daemon), ["component.yml:3:7 a daemon has no votes to ask for"]);
    }

    #[test]
    fn a_token_never_stands_in_it() {
        let text = GOOD.replace("zookeeper-mntr", "consul-api").replace(
            "  exchange: {port: 2181}",
            "  http: {url: \"{{ api }}\", header: X, token: 1ab00000-0000}",
        );
        assert_eq!(errors(&text), ["component.yml:9:46 a secret stands in component.yml"]);
    }
}
