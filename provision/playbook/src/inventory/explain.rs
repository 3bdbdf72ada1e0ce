//! Where each variable of a host comes from, and what it overrides.

use std::collections::BTreeMap;
use std::sync::Arc;

use diagnostics::Span;
use yaml::{Mapping, Node, key_text};

use super::{Inventory, Level};

/// One variable of a host.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Its name.
    pub name: String,
    /// What it is.
    pub value: Node,
    /// Where that comes from.
    pub origin: Origin,
    /// What it would be otherwise, the strongest first.
    pub overrides: Vec<(Node, Origin)>,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The place.
    pub span: Span,
    /// The group or host that it was written for; nothing for extra variables.
    pub entity: Option<Arc<str>>,
    /// How strong it is; nothing for extra variables, which win over all.
    pub level: Option<Level>,
}

impl Inventory {
    /// The variables of a host by name. Nothing is evaluated: templates stay as they are written.
    #[must_use]
    pub fn explain(&self, host: &str, extra: &Mapping) -> Vec<Explained> {
        let mut known: BTreeMap<String, Explained> = BTreeMap::new();
        let mut add = |key: &Node, value: &Node, origin: Origin| {
            let name = key_text(key);
            let mut explained = Explained {
                name: name.clone(),
                value: value.clone(),
                origin,
                overrides: Vec::new(),
            };
            if let Some(weaker) = known.remove(&name) {
                explained.overrides = weaker.overrides;
                explained.overrides.insert(0, (weaker.value, weaker.origin));
            }
            known.insert(name, explained);
        };
        for layer in self.host_variables(host) {
            for (key, value) in layer.variables.iter() {
                let entity = Some(Arc::clone(&layer.entity));
                add(key, value, Origin { span: key.span, entity, level: Some(layer.level) });
            }
        }
        for (key, value) in extra.iter() {
            add(key, value, Origin { span: key.span, entity: None, level: None });
        }
        known.into_values().collect()
    }
}
