//! What `--list`, `--graph` and `--vars` print. Secrets are hidden, and nothing from elsewhere steers
//! the terminal.

use std::collections::BTreeSet;
use std::sync::Arc;

use diagnostics::Span;
use provision_discovery::is_listing;
use provision_engine::load::Loaded;
use provision_engine::redact::{KnownSecrets, MARKER};
use provision_playbook::inventory::{ALL, Named, Origin};
use yaml::Node;

use crate::exit::Exit;
use crate::paint::{self, FAINT, STRONG, harmless, styled};

/// Places stand in this column of the tree, unless a name is longer.
const PLACE_COLUMN: usize = 40;

/// An inventory that is shown.
pub struct Shown<'run> {
    /// It.
    pub loaded: &'run Loaded,
    /// Only these hosts.
    pub chosen: &'run BTreeSet<Arc<str>>,
    /// What must not be seen.
    pub secrets: &'run KnownSecrets,
}

impl Shown<'_> {
    /// JSON as Ansible's inventory scripts print it.
    pub fn list(&self) {
        let extra = &self.loaded.loader.options().extra_variables;
        let hide = |text: &str| self.secrets.text(text);
        let listing = self.loaded.inventory.listing(self.chosen, extra, &hide);
        say!("{}", serde_json::to_string_pretty(&listing).unwrap_or_default());
    }

    /// The tree of groups and hosts.
    pub fn graph(&self) {
        for branch in self.loaded.inventory.tree(ALL, self.chosen) {
            let bars = "  |".repeat(branch.depth);
            let dashes = if branch.depth > 0 { "--" } else { "" };
            let (name, style) = match &branch.named {
                Named::Group(name) => (format!("@{name}:"), STRONG),
                Named::Host(name) => (name.to_string(), anstyle::Style::new()),
            };
            let width = bars.len() + dashes.len() + name.chars().count();
            let gap = " ".repeat(PLACE_COLUMN.saturating_sub(width).max(2));
            let place = match branch.span {
                Some(span) => format!("{gap}{}", styled(FAINT, &self.place(span))),
                None => String::new(),
            };
            say!("{bars}{dashes}{}{place}", styled(style, &harmless(&name)));
        }
    }

    /// Every variable of a host.
    pub fn variables(&self, host: &str) -> Exit {
        let inventory = &self.loaded.inventory;
        let Some(found) = inventory.host(host) else {
            let names = inventory.hosts().map(|host| &*host.name);
            let closest = diagnostics::closest(host, names);
            let hint = closest.map(|name| format!("did you mean `{name}`?"));
            paint::error(&format!("the inventory has no host `{host}`"), hint.as_deref());
            return Exit::InvalidInput;
        };
        let groups = inventory.group_names(&found.name);
        let groups: Vec<&str> = groups.iter().map(|name| &**name).collect();
        let place = found.span.map(|span| styled(FAINT, &self.place(span))).unwrap_or_default();
        say!("{}  {place}", styled(STRONG, &harmless(&found.name)));
        say!("groups: {}", harmless(&groups.join(", ")));
        let extra = &self.loaded.loader.options().extra_variables;
        for one in inventory.explain(&found.name, extra) {
            let value = self.value(&one.value, one.origin.span);
            say!("\n{}: {value}", styled(STRONG, &harmless(&one.name)));
            say!("  {}", styled(FAINT, &self.origin(&one.origin)));
            for (value, origin) in &one.overrides {
                let value = self.value(value, origin.span);
                let text = format!("overrides {value}, {}", self.origin(origin));
                say!("  {}", styled(FAINT, &text));
            }
        }
        Exit::Done
    }

    /// `file:line`, or what Consul said.
    fn place(&self, span: Span) -> String {
        let sources = self.loaded.loader.sources();
        let place = sources.place(span);
        match is_listing(&place.file) {
            // The line is ours, and says more than its number.
            true => {
                let origin = place.file.strip_suffix("/catalog").unwrap_or(&place.file);
                harmless(&format!("{origin}: {}", sources.text(span)))
            }
            false => harmless(&format!("{}:{}", place.file, place.line)),
        }
    }

    fn origin(&self, origin: &Origin) -> String {
        match &origin.entity {
            Some(entity) => format!("{} ({})", self.place(origin.span), harmless(entity)),
            None => "-e on the command line".to_owned(),
        }
    }

    /// On one line; nothing of what was encrypted.
    fn value(&self, node: &Node, place: Span) -> String {
        let source = self.loaded.loader.sources().get(place.source);
        if holds_vault(node) || source.is_some_and(diagnostics::Source::is_secret) {
            return MARKER.to_owned();
        }
        let text = yaml::to_json(node).to_string();
        harmless(&self.secrets.text(&text))
    }
}

/// Whether a value or a part of it is encrypted.
fn holds_vault(node: &Node) -> bool {
    let parts = node.as_sequence().unwrap_or_default().iter();
    let entries = node.as_mapping().into_iter().flat_map(yaml::Mapping::iter);
    node.is_vault() || parts.chain(entries.map(|(_, value)| value)).any(holds_vault)
}
