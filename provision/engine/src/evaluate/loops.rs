//! What a task loops over.

use std::sync::Arc;

use provision_playbook::model::Loop;
use provision_template::{Origin, TextClass, TextKind, Value};
use yaml::{Node, NodeValue};

use super::{Evaluator, LoopItem, Stop};
use crate::outside;
use crate::variables::{Layer, dictionary};

impl Evaluator<'_> {
    /// The loop's items with their variables and labels.
    ///
    /// # Errors
    /// When they can't be evaluated (yet) or aren't a list.
    pub fn loop_items(&self, repeat: &Loop) -> Result<Vec<LoopItem>, Stop> {
        let values = self.loop_values(repeat)?;
        let origin = match repeat.lookup {
            // What a lookup gives is data: `with_items` is one.
            Some(_) => Origin::Every(TextClass::Unsafe),
            None => self.origin(&repeat.over),
        };
        let variable = self.text(repeat.variable.as_ref())?.unwrap_or_else(|| "item".to_owned());
        let index_variable = self.text(repeat.index_variable.as_ref())?;
        let extended = self.flag(repeat.extended.as_ref(), false)?;
        let has_all_items = self.flag(repeat.extended_all_items.as_ref(), true)?;
        let late_label = self.reads_its_result(repeat.label.as_ref());
        let mut items = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            let mut layer = Layer::default();
            layer.set_item(&variable, value.clone(), origin.child(&index.into()));
            layer.set_data("ansible_loop_var", variable.as_str().into());
            if let Some(name) = &index_variable {
                layer.set_data(name.as_str(), index.into());
                layer.set_data("ansible_index_var", name.as_str().into());
            }
            if extended {
                layer.set_data("ansible_loop", loop_facts(&values, index, has_all_items));
            }
            let label = match &repeat.label {
                Some(label) if !late_label => {
                    provision_template::text_of(&self.with_layer(&layer).value(label)?)
                }
                _ => provision_template::text_of(value),
            };
            let (variable, value) = (variable.clone(), value.clone());
            items.push(LoopItem { variable, value, label, late_label, layer });
        }
        Ok(items)
    }

    /// Whether a label is about what the task registers.
    fn reads_its_result(&self, label: Option<&Node>) -> bool {
        let (Some(label), Some((register, _))) = (label, &self.task.register) else { return false };
        let reach = self.view.world.engine.names_in_node(label, TextKind::Template);
        reach.names.contains(register.as_str())
    }

    fn loop_values(&self, repeat: &Loop) -> Result<Vec<Value>, Stop> {
        let over = self.loop_source(repeat)?;
        let Some(lookup) = &repeat.lookup else {
            let is_list = matches!(
                over.kind(),
                minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable
            );
            return match over.try_iter() {
                Ok(items) if is_list => Ok(items.collect()),
                _ => Err(Stop::failed(format!(
                    "Invalid data passed to 'loop', it requires a list, got this instead: {}. \
                     Hint: If you passed a list/dict of just one element, try adding wantlist=True \
                     to your lookup invocation or use q/query instead of lookup.",
                    provision_template::text_of(&over)
                ))),
            };
        };
        let terms = match over.kind() {
            minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable => {
                over.try_iter().map(Iterator::collect).unwrap_or_else(|_| vec![over.clone()])
            }
            _ => vec![over],
        };
        let engine = &self.view.world.engine;
        let name = lookup.as_str();
        if let [term] = terms.as_slice()
            && name.rsplit('.').next() == Some("list")
            && term.kind() == minijinja::value::ValueKind::Map
        {
            return Err(Stop::failed("with_list expects a list"));
        }
        if let [term] = terms.as_slice()
            && name.rsplit('.').next() == Some("indexed_items")
            && term.kind() == minijinja::value::ValueKind::Map
        {
            return Err(Stop::failed("with_indexed_items expects a list"));
        }
        let mut options: Vec<(Arc<str>, Value)> = Vec::new();
        if name.rsplit('.').next() == Some("first_found") {
            // Ansible looks where the task's module would.
            let subfolder = match self.task.module.name {
                "template" => "templates",
                "include_vars" => "vars",
                _ => "files",
            };
            options.push((outside::SUBFOLDER.into(), subfolder.into()));
        }
        let values = engine.lookup(name, terms, options, &self.view, &self.outside)?;
        Ok(values)
    }

    /// What a loop is over; `with_*: name` may be a bare variable, as old content writes it.
    fn loop_source(&self, repeat: &Loop) -> Result<Value, Stop> {
        match repeat.lookup.as_deref().and_then(|name| name.rsplit('.').next()) {
            // Names of files may well be made of facts that this host doesn't have.
            Some("first_found") => self.value_or_text(&repeat.over),
            _ => self.value(&repeat.over),
        }
    }

    /// The value of a node, in which texts with undefined variables stay as they are written.
    fn value_or_text(&self, node: &Node) -> Result<Value, Stop> {
        match &node.value {
            NodeValue::Sequence(items) => {
                let items = items.iter().map(|item| self.value_or_text(item));
                Ok(items.collect::<Result<Vec<Value>, Stop>>()?.into_iter().collect())
            }
            NodeValue::Mapping(mapping) => {
                let mut entries = Vec::new();
                for (key, value) in mapping.iter() {
                    let key = provision_template::text_of(&provision_template::value_of_node(key));
                    entries.push((key, self.value_or_text(value)?));
                }
                Ok(dictionary(entries))
            }
            _ => match self.view.world.engine.render_node(node, &self.view, &self.outside) {
                Err(error) if error.is_undefined() => Ok(provision_template::value_of_node(node)),
                other => Ok(other?),
            },
        }
    }
}

/// `ansible_loop` of an item.
fn loop_facts(values: &[Value], index: usize, has_all_items: bool) -> Value {
    let length = values.len();
    let mut facts: Vec<(&str, Value)> = vec![
        ("index", (index + 1).into()),
        ("index0", index.into()),
        ("first", (index == 0).into()),
        ("last", (index + 1 == length).into()),
        ("length", length.into()),
        ("revindex", (length - index).into()),
        ("revindex0", (length - index - 1).into()),
    ];
    if has_all_items {
        facts.insert(0, ("allitems", values.iter().cloned().collect()));
    }
    if let Some(next) = values.get(index + 1) {
        facts.push(("nextitem", next.clone()));
    }
    if let Some(previous) = index.checked_sub(1).and_then(|previous| values.get(previous)) {
        facts.push(("previtem", previous.clone()));
    }
    dictionary(facts)
}
