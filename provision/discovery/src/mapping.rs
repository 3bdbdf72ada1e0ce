//! The mapping file: how Consul is asked, and what becomes of its answers.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use consul::Consistency;
use diagnostics::{Diagnostic, SourceId, Span, closest};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use yaml::{Node, Schema, Spanned};

use crate::catalog::{Services, Wanted};
use crate::conditions::{self, Conditions, check_claims};
use crate::names;
use crate::terms::{Field, KEYS, Key, TERMS, Term, duration_ms};

/// How long an answer may take unless the mapping says otherwise, in milliseconds.
const TIMEOUT_MS: u64 = 10_000;

/// How old a stale answer may be unless the mapping says otherwise, in milliseconds.
const MAX_AGE_MS: u64 = 30_000;

/// The mapping of `-i consul://HOST:8500`.
const DEFAULT: &str = include_str!("default.yml");

/// A word and its place, ordered by the word.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Word(Spanned<String>);

impl std::ops::Deref for Word {
    type Target = Spanned<String>;

    fn deref(&self) -> &Spanned<String> {
        &self.0
    }
}

impl Word {
    pub(crate) fn into_inner(self) -> Spanned<String> {
        self.0
    }
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Word {}

impl PartialOrd for Word {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Word {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

/// One text, or a list of texts.
#[derive(Debug, Clone)]
pub(crate) struct OneOrMany(pub(crate) Vec<Spanned<String>>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The outer place is that of the text, if it is one.
        let Spanned { value: Texts(mut texts), span } = Spanned::deserialize(deserializer)?;
        for text in &mut texts {
            if text.span.source == SourceId(u32::MAX) {
                text.span = span;
            }
        }
        Ok(OneOrMany(texts))
    }
}

struct Texts(Vec<Spanned<String>>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text, or a list of texts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts(vec![Spanned::nowhere(text.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        Ok(Texts(texts))
    }
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
struct Written {
    plugin: Spanned<String>,
    addresses: Option<OneOrMany>,
    datacenter: Option<Spanned<String>>,
    datacenters: Option<Spanned<OneOrMany>>,
    namespace: Option<Spanned<String>>,
    partition: Option<Spanned<String>>,
    token_file: Option<String>,
    tls: Option<WrittenTls>,
    consistency: Option<Spanned<Freshness>>,
    max_age: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    #[serde(default)]
    nodes: conditions::Written,
    #[serde(default)]
    variables: BTreeMap<Word, OneOrMany>,
    #[serde(default)]
    groups: BTreeMap<Word, WrittenGroup>,
    #[serde(default)]
    keyed_groups: Vec<Spanned<WrittenKeyed>>,
    kv: Option<WrittenKv>,
}

#[derive(Debug, Deserialize)]
struct WrittenTls {
    authority: Option<String>,
    certificate: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Freshness {
    Default,
    Stale,
    Consistent,
}

#[derive(Debug, Deserialize)]
struct WrittenGroup {
    require: conditions::Written,
}

#[derive(Debug, Deserialize)]
struct WrittenKeyed {
    key: Spanned<String>,
    prefix: Spanned<String>,
    separator: Option<String>,
    require: Option<conditions::Written>,
}

#[derive(Debug, Deserialize)]
struct WrittenKv {
    prefix: Spanned<String>,
    #[serde(default)]
    allow: Vec<String>,
}

/// How to reach Consul. What is missing comes from the environment (`CONSUL_HTTP_ADDR`…).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connection {
    /// Whom to ask, in order.
    pub addresses: Vec<String>,
    /// The datacenter.
    pub datacenter: Option<String>,
    /// A file with the token.
    pub token_file: Option<String>,
    /// Files of certificates.
    pub tls: TlsFiles,
    /// How fresh answers have to be.
    pub consistency: Consistency,
    /// How long one may take, in milliseconds.
    pub timeout_ms: u64,
}

/// Files of certificates, relative to the mapping file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// Who may vouch for servers.
    pub authority: Option<String>,
    /// The certificate and the key to show.
    pub client: Option<(String, String)>,
}

/// How answers become hosts, groups and variables.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// How to ask.
    pub connection: Connection,
    /// Datacenters that are asked one after the other, each like a Consul of its own; none: the one
    /// of the connection.
    pub datacenters: Vec<String>,
    /// Which nodes become hosts.
    pub nodes: Conditions,
    /// Variables of each host, and what they are taken from: the first that there is.
    pub variables: Vec<(Spanned<String>, Vec<Term>)>,
    /// Groups, and who is in them.
    pub groups: Vec<(Spanned<String>, Conditions)>,
    /// Groups that are named by what nodes say.
    pub keyed: Vec<Keyed>,
    /// Variables in the key-value store.
    pub kv: Option<Kv>,
}

/// Groups that are named by what nodes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// What names them.
    pub key: Key,
    /// What their names begin with.
    pub prefix: String,
    /// What stands between the parts of a name.
    pub separator: String,
    /// Who may be in them.
    pub require: Conditions,
    /// Where that is written.
    pub span: Span,
}

/// Variables in the key-value store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kv {
    /// What the keys begin with, with a slash at its end.
    pub prefix: String,
    /// Connection and become variables that may come from there.
    pub allow: BTreeSet<String>,
}

/// The mapping of `-i consul://…`, read from `source`, which holds [`default_mapping`]'s text.
#[must_use]
pub fn default_mapping() -> &'static str {
    DEFAULT
}

/// Reads a mapping file, whose text is `source`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_mapping(
    text: &str,
    source: SourceId,
) -> Result<(Mapping, Vec<Diagnostic>), Vec<Diagnostic>> {
    let read = yaml::read(text, source, Schema::Strict);
    if !read.is_usable() {
        return Err(read.diagnostics);
    }
    let [document] = read.documents.as_slice() else {
        let message = "a mapping for Consul is one document";
        return Err(vec![Diagnostic::error("consul-mapping", message)]);
    };
    let written: Written = yaml::from_node(document)?;
    let mut found = read.diagnostics;
    let mapping = check(written, document, &mut found);
    found.sort_by_key(|one| one.primary.as_ref().map(|label| label.span.start));
    match found.iter().any(Diagnostic::is_error) {
        true => Err(found),
        false => Ok((mapping, found)),
    }
}

fn check(written: Written, document: &Node, found: &mut Vec<Diagnostic>) -> Mapping {
    if written.plugin.value != "consul" {
        found.push(
            Diagnostic::error("consul-mapping", "this is no mapping for Consul")
                .at(written.plugin.span, "expected `consul`"),
        );
    }
    let connection = connection(&written, found);
    let datacenters = datacenters(&written, found);
    check_edition(&written, found);
    let nodes = written.nodes.checked(found).of_living();
    let variables = variables(written.variables, found);
    let groups = groups(written.groups, document, found);
    let keyed = written.keyed_groups.into_iter().filter_map(|one| keyed(one, found)).collect();
    let kv = written.kv.map(|kv| kv_of(kv, found));
    Mapping { connection, datacenters, nodes, variables, groups, keyed, kv }
}

fn connection(written: &Written, found: &mut Vec<Diagnostic>) -> Connection {
    let mut milliseconds = |text: &Option<Spanned<String>>, default| match text {
        None => default,
        Some(text) => duration_ms(&text.value).unwrap_or_else(|| {
            found.push(
                Diagnostic::error("consul-mapping", "this is no duration")
                    .at(text.span, "expected a number with a unit")
                    .hint("write 500ms, 10s, 5m or 1h"),
            );
            default
        }),
    };
    let max_age_ms = milliseconds(&written.max_age, MAX_AGE_MS);
    let timeout_ms = milliseconds(&written.timeout, TIMEOUT_MS);
    let consistency = match written.consistency.as_ref().map(|freshness| freshness.value) {
        None | Some(Freshness::Default) => Consistency::Default,
        Some(Freshness::Stale) => Consistency::Stale { max_age_ms },
        Some(Freshness::Consistent) => Consistency::Consistent,
    };
    if let (Some(age), false) = (&written.max_age, matches!(consistency, Consistency::Stale { .. }))
    {
        found.push(
            Diagnostic::error("consul-mapping", "`max_age` counts for stale answers only")
                .at(age.span, "nothing reads this")
                .hint("add `consistency: stale`, or remove it"),
        );
    }
    let client = written.tls.as_ref().and_then(|tls| match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => Some((certificate.value.clone(), key.value.clone())),
        (None, None) => None,
        (Some(lonely), None) | (None, Some(lonely)) => {
            found.push(
                Diagnostic::error("consul-mapping", "a client shows a certificate and has its key")
                    .at(lonely.span, "the other one is missing")
                    .hint("write both `certificate` and `key`, or none"),
            );
            None
        }
    });
    let texts = |many: &OneOrMany| many.0.iter().map(|text| text.value.clone()).collect();
    Connection {
        addresses: written.addresses.as_ref().map(texts).unwrap_or_default(),
        datacenter: written.datacenter.as_ref().map(|name| name.value.clone()),
        token_file: written.token_file.clone(),
        tls: TlsFiles {
            authority: written.tls.as_ref().and_then(|tls| tls.authority.clone()),
            client,
        },
        consistency,
        timeout_ms,
    }
}

/// The datacenters of a list, each once.
fn datacenters(written: &Written, found: &mut Vec<Diagnostic>) -> Vec<String> {
    let Some(list) = &written.datacenters else { return Vec::new() };
    if let Some(one) = &written.datacenter {
        found.push(
            Diagnostic::error("consul-mapping", "there are both `datacenter` and `datacenters`")
                .at(one.span, "which is meant?")
                .hint("write `datacenters` with all of them"),
        );
    }
    if list.value.0.is_empty() {
        found.push(
            Diagnostic::error("consul-mapping", "no datacenter would be asked")
                .at(list.span, "the list is empty")
                .hint("without `datacenters`, that of the agent is asked"),
        );
    }
    let mut names: Vec<String> = Vec::new();
    for name in &list.value.0 {
        if names.contains(&name.value) {
            let message = format!("datacenter `{}` is there twice", name.value);
            found.push(Diagnostic::error("consul-mapping", message).at(list.span, "in this list"));
        } else {
            names.push(name.value.clone());
        }
    }
    names
}

/// What only Consul Enterprise has.
fn check_edition(written: &Written, found: &mut Vec<Diagnostic>) {
    for (name, value) in [("namespace", &written.namespace), ("partition", &written.partition)] {
        let Some(value) = value else { continue };
        let message = format!("the free edition of Consul has no {name}s");
        found.push(
            Diagnostic::error("consul-mapping", message)
                .at(value.span, "only Consul Enterprise knows this")
                .hint("tell nodes apart by meta, names or addresses: see `nodes` and `require`"),
        );
    }
}

fn variables(
    written: BTreeMap<Word, OneOrMany>,
    found: &mut Vec<Diagnostic>,
) -> Vec<(Spanned<String>, Vec<Term>)> {
    let mut variables = Vec::new();
    for (name, OneOrMany(texts)) in written {
        if !names::is_variable(&name.value) || names::is_magic(&name.value) {
            let label = match names::is_magic(&name.value) {
                true => "it has a meaning of its own",
                false => "expected letters, digits and `_`",
            };
            let message = format!("`{}` can't be a variable", name.value);
            found.push(Diagnostic::error("consul-mapping", message).at(name.span, label));
        }
        let mut terms = Vec::new();
        for text in texts {
            match Term::parse(&text.value) {
                Some(term) => terms.push(term),
                None => found.push(unknown_term(&text)),
            }
        }
        variables.push((name.into_inner(), terms));
    }
    variables
}

fn unknown_term(text: &Spanned<String>) -> Diagnostic {
    let first = text.value.split('.').next().unwrap_or_default();
    let known = ["node", "address", "datacenter", "health", "meta", "services", "service"];
    let near = closest(first, known).filter(|near| *near != first);
    let hint = match near {
        Some(near) => format!("did you mean `{}`?", text.value.replacen(first, near, 1)),
        None => format!("there are {TERMS}"),
    };
    Diagnostic::error("consul-mapping", format!("nothing of a node is called `{}`", text.value))
        .at(text.span, "unknown")
        .hint(hint)
}

fn groups(
    written: BTreeMap<Word, WrittenGroup>,
    document: &Node,
    found: &mut Vec<Diagnostic>,
) -> Vec<(Spanned<String>, Conditions)> {
    // In the order of the file, which is that of the groups in every output.
    let order = document.as_mapping().and_then(|all| all.get("groups")).and_then(Node::as_mapping);
    let place = |name: &Spanned<String>| {
        let mut names = order.into_iter().flat_map(yaml::Mapping::iter);
        names.position(|(key, _)| key.span == name.span)
    };
    let mut groups = Vec::new();
    for (name, group) in written {
        let conditions = group.require.checked(found);
        let is_built_in = matches!(&*name.value, "all" | "ungrouped");
        if is_built_in || !names::is_variable(&name.value) {
            let label = match is_built_in {
                true => "it is built in",
                false => "expected letters, digits and `_`",
            };
            let message = format!("`{}` can't be a group", name.value);
            found.push(Diagnostic::error("consul-mapping", message).at(name.span, label));
        }
        if conditions.is_empty() {
            found.push(
                Diagnostic::error("consul-mapping", "every node would be in this group")
                    .at(name.span, "nothing is required")
                    .hint("say who may be in it: `require: {names: [zk1, zk2]}`"),
            );
        }
        check_claims(&conditions, name.span, found);
        groups.push((name.into_inner(), conditions));
    }
    groups.sort_by_key(|(name, _)| place(name));
    groups
}

fn keyed(written: Spanned<WrittenKeyed>, found: &mut Vec<Diagnostic>) -> Option<Keyed> {
    let Spanned { value: written, span } = written;
    let Some(key) = Key::parse(&written.key.value) else {
        let message = format!("nothing of a node is called `{}`", written.key.value);
        found.push(
            Diagnostic::error("consul-mapping", message)
                .at(written.key.span, "unknown")
                .hint(format!("there are {KEYS}")),
        );
        return None;
    };
    if !names::is_variable(&written.prefix.value) {
        found.push(
            Diagnostic::error("consul-mapping", "groups need a prefix of letters, digits and `_`")
                .at(written.prefix.span, "it keeps what nodes say apart from groups of yours")
                .hint("write `prefix: env`: the group of `production` is `env_production`"),
        );
    }
    if written.require.is_none() && key.is_claimed() {
        found.push(
            Diagnostic::error("consul-mapping", "any node could join these groups")
                .at(written.key.span, "a node writes its own meta and services")
                .hint("say who may: `require: {names: \"worker*\"}`, or {names: \"*\"} for all"),
        );
    }
    let require = written.require.unwrap_or_default().checked(found);
    if key.is_claimed() {
        check_claims(&require, written.key.span, found);
    }
    Some(Keyed {
        key,
        prefix: written.prefix.value,
        separator: names::sanitised(&written.separator.unwrap_or_else(|| "_".to_owned())),
        require,
        span,
    })
}

fn kv_of(written: WrittenKv, found: &mut Vec<Diagnostic>) -> Kv {
    let prefix = written.prefix.value.trim_matches('/');
    if prefix.is_empty() {
        found.push(
            Diagnostic::error("consul-mapping", "the whole store would be read")
                .at(written.prefix.span, "expected the beginning of keys")
                .hint("write `prefix: provision`: variables are in provision/group_vars/GROUP"),
        );
    }
    Kv { prefix: format!("{prefix}/"), allow: written.allow.into_iter().collect() }
}

impl Mapping {
    /// What has to be asked.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let mut named: BTreeSet<String> = BTreeSet::new();
        let terms = || self.variables.iter().flat_map(|(_, terms)| terms);
        let by_service = |keyed: &Keyed| matches!(keyed.key, Key::Service | Key::Tag);
        if terms().any(|term| *term == Term::Services) || self.keyed.iter().any(by_service) {
            return Wanted { services: Services::All, kv_prefix: self.kv_prefix() };
        }
        for term in terms() {
            if let Term::Service(
                name,
                Field::Port | Field::Address | Field::Tags | Field::Meta(_),
            ) = term
            {
                named.insert(name.clone());
            }
        }
        let conditions = [&self.nodes].into_iter();
        let conditions = conditions.chain(self.groups.iter().map(|(_, conditions)| conditions));
        let conditions = conditions.chain(self.keyed.iter().map(|keyed| &keyed.require));
        named.extend(conditions.flat_map(Conditions::services).cloned());
        Wanted { services: Services::Named(named), kv_prefix: self.kv_prefix() }
    }

    fn kv_prefix(&self) -> Option<String> {
        self.kv.as_ref().map(|kv| kv.prefix.clone())
    }
}
