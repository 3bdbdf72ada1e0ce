//! What `xml` does to a document.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::find::{Found, Scope};
use super::path::{Axis, Expression, Step, Test};
use super::tree::{Document, Id, Kind, ROOT, Reading, split};
use super::unreferenced;
use crate::module::{Failure, Given};

/// A document that is changed.
pub struct Changes<'a> {
    pub document: Document,
    pub namespaces: &'a BTreeMap<String, String>,
}

impl Changes<'_> {
    /// Does what the parameters say.
    ///
    /// # Errors
    /// When the path leads nowhere and can't be made, or children can't be understood.
    pub fn perform(
        &mut self,
        given: Given<'_>,
        expression: &Expression,
        xpath: &str,
    ) -> Result<(), Failure> {
        if given.is("state", "absent") {
            for found in self.find(expression)? {
                self.remove(&found)?;
            }
            return Ok(());
        }
        let list = |name: &str| given.0.get(name).and_then(Value::as_array);
        let is_xml = given.is("input_type", "xml");
        if let Some(children) = list("set_children") {
            let children = self.children(children, is_xml)?;
            return self.set_children(&self.elements(expression, xpath)?, &children);
        }
        if let Some(children) = list("add_children") {
            let children = self.children(children, is_xml)?;
            for id in self.elements(expression, xpath)? {
                let (parent, mut place) =
                    match (given.flag("insertbefore"), given.flag("insertafter")) {
                        (true, _) => (self.document.parent(id), self.document.place(id)),
                        (_, true) => (self.document.parent(id), self.document.place_behind(id)),
                        _ => (id, Some(self.document.children(id).len())),
                    };
                if parent == ROOT {
                    return Err(Failure::new("there can be only one element at the top"));
                }
                for child in &children {
                    let at = place.unwrap_or(0);
                    self.document.graft(parent, at, child, child.top().unwrap_or(ROOT));
                    self.declare(parent, at);
                    place = Some(at + 1);
                }
            }
            return Ok(());
        }
        let found = self.make(expression, xpath)?;
        if let Some(value) = given.0.get("value").filter(|value| !value.is_null()) {
            let value = text(value);
            for found in found {
                self.set(&found, given.text("attribute"), &value);
            }
        }
        Ok(())
    }

    fn find(&self, expression: &Expression) -> Result<Vec<Found>, Failure> {
        Scope { document: &self.document, namespaces: self.namespaces }.find(expression)
    }

    fn elements(&self, expression: &Expression, xpath: &str) -> Result<Vec<Id>, Failure> {
        let ids: Vec<Id> = self
            .find(expression)?
            .into_iter()
            .filter_map(|found| match found {
                Found::Node(id) if self.document.is_element(id) => Some(id),
                _ => None,
            })
            .collect();
        if ids.is_empty() { Err(unreferenced(xpath)) } else { Ok(ids) }
    }

    fn remove(&mut self, found: &Found) -> Result<(), Failure> {
        match found {
            Found::Attribute(id, name) => self.document.set_attribute(*id, name, None),
            Found::Node(id) => match self.document.kind(*id) {
                Kind::Text(_) | Kind::Data(_) => {
                    let parent = self.document.parent(*id);
                    self.document.set_leading_text(parent, "");
                }
                _ if self.document.parent(*id) == ROOT => {
                    return Err(Failure::new("the element at the top can't be removed"));
                }
                _ => self.document.remove(*id),
            },
        }
        Ok(())
    }

    fn set(&mut self, found: &Found, attribute: Option<&str>, value: &str) {
        match (found, attribute) {
            (Found::Attribute(id, name), _) => self.document.set_attribute(*id, name, Some(value)),
            (Found::Node(id), Some(name)) => {
                let name = self.written(*id, name);
                self.document.set_attribute(*id, &name, Some(value));
            }
            (Found::Node(id), None) => {
                let id = match self.document.kind(*id) {
                    Kind::Text(_) | Kind::Data(_) => self.document.parent(*id),
                    _ => *id,
                };
                if self.document.leading_text(id) != value {
                    self.document.set_leading_text(id, value);
                }
            }
        }
    }

    /// What a path finds; what is missing of it is made.
    fn make(&mut self, expression: &Expression, xpath: &str) -> Result<Vec<Found>, Failure> {
        let found = self.find(expression)?;
        let Expression::Path { absolute, steps } = expression else { return Ok(found) };
        if !found.is_empty() {
            return Ok(found);
        }
        for known in (1..steps.len()).rev() {
            let (head, missing) = steps.split_at(known);
            // "Anywhere" is no place to make something at.
            if head.last().is_some_and(|step| step.axis == Axis::DescendantOrSelf) {
                break;
            }
            let above = Expression::Path { absolute: *absolute, steps: head.to_vec() };
            let above = self.find(&above)?;
            if above.is_empty() {
                continue;
            }
            let mut made = Vec::new();
            for start in above {
                made.push(self.make_steps(start, missing).ok_or_else(|| unreferenced(xpath))?);
            }
            return Ok(made);
        }
        Err(unreferenced(xpath))
    }

    /// Makes steps below an element; `None` if they say too little of what they mean.
    fn make_steps(&mut self, start: Found, steps: &[Step]) -> Option<Found> {
        let mut at = start;
        for step in steps {
            let Found::Node(id) = at else { return None };
            at = match (step.axis, &step.test) {
                (Axis::Child, Test::Name(name)) => {
                    let made = self.add(id, name);
                    for predicate in &step.predicates {
                        self.fulfil(made, predicate)?;
                    }
                    Found::Node(made)
                }
                (Axis::Attribute, Test::Name(name)) => {
                    let name = self.written(id, name);
                    self.document.set_attribute(id, &name, Some(""));
                    Found::Attribute(id, name)
                }
                (Axis::Child, Test::Text) if step.predicates.is_empty() => Found::Node(id),
                _ => return None,
            };
        }
        Some(at)
    }

    /// Makes a predicate true of a new element.
    fn fulfil(&mut self, id: Id, predicate: &Expression) -> Option<()> {
        match predicate {
            Expression::Binary(left, "and", right) => {
                self.fulfil(id, left)?;
                self.fulfil(id, right)
            }
            Expression::Binary(left, "=", right) => {
                let value = match right.as_ref() {
                    Expression::Text(text) => text.clone(),
                    Expression::Number(number) => number.to_string(),
                    _ => return None,
                };
                let Expression::Path { absolute: false, steps } = left.as_ref() else {
                    return None;
                };
                let found = match steps.as_slice() {
                    [step] if step.axis == Axis::Itself => Found::Node(id),
                    steps => self.make_steps(Found::Node(id), steps)?,
                };
                self.set(&found, None, &value);
                Some(())
            }
            Expression::Path { absolute: false, steps } => {
                self.make_steps(Found::Node(id), steps).map(drop)
            }
            _ => None,
        }
    }

    fn add(&mut self, parent: Id, name: &str) -> Id {
        let made = self.document.add(parent, Kind::Element(name.to_owned(), Vec::new()));
        let place = self.document.place(made).unwrap_or(0);
        self.declare(parent, place);
        // It stands where it stood, under the name that its namespace has there.
        self.document.children(parent).get(place).copied().unwrap_or(made)
    }

    /// Gives prefixes of a new element their meaning: that of `namespaces`, unless they have it.
    fn declare(&mut self, parent: Id, place: usize) {
        let Some(id) = self.document.children(parent).get(place).copied() else { return };
        let mut open = vec![id];
        while let Some(at) = open.pop() {
            open.extend(self.document.children(at).to_vec());
            let (prefix, local) = split(self.document.name(at));
            let (prefix, local) = (prefix.to_owned(), local.to_owned());
            let Some(meaning) = self.namespaces.get(&prefix).filter(|_| !prefix.is_empty()) else {
                continue;
            };
            // As lxml does: the prefix that the document has for it.
            match self.document.prefix(at, meaning) {
                Some(known) if known.is_empty() => self.document.rename(at, &local),
                Some(known) => self.document.rename(at, &format!("{known}:{local}")),
                None => {
                    let declaration = format!("xmlns:{prefix}");
                    self.document.set_attribute(at, &declaration, Some(meaning));
                }
            }
        }
    }

    /// The name of an attribute as it is written at an element.
    fn written(&mut self, id: Id, name: &str) -> String {
        let (prefix, local) = split(name);
        let Some(meaning) = self.namespaces.get(prefix).filter(|_| !prefix.is_empty()) else {
            return name.to_owned();
        };
        match self.document.prefix(id, meaning).filter(|known| !known.is_empty()) {
            Some(known) => format!("{known}:{local}"),
            None => {
                let declaration = format!("xmlns:{prefix}");
                self.document.set_attribute(id, &declaration, Some(meaning));
                name.to_owned()
            }
        }
    }

    fn set_children(&mut self, ids: &[Id], children: &[Document]) -> Result<(), Failure> {
        for id in ids {
            let elements: Vec<Id> = self
                .document
                .children(*id)
                .iter()
                .copied()
                .filter(|child| {
                    !matches!(self.document.kind(*child), Kind::Text(_) | Kind::Data(_))
                })
                .collect();
            if elements.len() == children.len() && self.are_equal(&elements, children) {
                continue;
            }
            for child in elements {
                self.document.remove(child);
            }
            for child in children {
                let place = self.document.children(*id).len();
                self.document.graft(*id, place, child, child.top().unwrap_or(ROOT));
                self.declare(*id, place);
            }
        }
        Ok(())
    }

    fn are_equal(&self, elements: &[Id], children: &[Document]) -> bool {
        elements.iter().zip(children).all(|(id, child)| {
            let mut own = Document::empty();
            own.graft(ROOT, 0, &self.document, *id);
            own.write(false) == child.write(false)
        })
    }

    /// New elements, each as a document.
    fn children(&self, all: &[Value], is_xml: bool) -> Result<Vec<Document>, Failure> {
        all.iter()
            .map(|child| match (child, is_xml) {
                (Value::String(text), true) => {
                    Document::parse(text, Reading::default()).map_err(|failure| {
                        Failure::new(format!(
                            "Error while parsing child element: {}",
                            failure.message
                        ))
                    })
                }
                (_, true) => Err(Failure::new("children of the type xml are texts")),
                (child, false) => {
                    let mut document = Document::empty();
                    build(&mut document, ROOT, child)?;
                    Ok(document)
                }
            })
            .collect()
    }
}

/// An element as YAML describes it: a name; or a name and its text; or a name and a mapping of its
/// attributes, in which `_` are its children and `+value` its text.
fn build(document: &mut Document, parent: Id, child: &Value) -> Result<(), Failure> {
    let mapping = match child {
        Value::Object(mapping) => mapping,
        Value::Array(_) => return Err(Failure::new("Invalid child type: a list")),
        name => {
            document.add(parent, Kind::Element(text(name), Vec::new()));
            return Ok(());
        }
    };
    let mut entries = mapping.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else {
        return Err(Failure::new("Can only create children from hashes with one key"));
    };
    let id = document.add(parent, Kind::Element(name.clone(), Vec::new()));
    let empty = Map::new();
    let parts = match value {
        Value::Object(parts) => parts,
        Value::Array(_) => return Err(Failure::new(format!("{name}: children stand under `_`"))),
        Value::Null => &empty,
        value => {
            document.set_leading_text(id, &text(value));
            return Ok(());
        }
    };
    for (name, value) in parts {
        match (name.as_str(), value) {
            ("_", Value::Array(children)) => {
                for child in children {
                    build(document, id, child)?;
                }
            }
            ("+value", value) => document.set_leading_text(id, &text(value)),
            (name, value) => document.set_attribute(id, name, Some(&text(value))),
        }
    }
    Ok(())
}

/// A value as Python writes it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
