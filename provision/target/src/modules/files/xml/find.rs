//! What expressions of XPath find in a document.

use std::collections::BTreeMap;

use super::path::{Axis, Expression, Step, Test};
use super::tree::{Document, Id, Kind, ROOT, split};
use crate::module::Failure;

/// What a path finds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// A node.
    Node(Id),
    /// An attribute of an element, by the name it is written with.
    Attribute(Id, String),
}

enum Value {
    Nodes(Vec<Found>),
    Text(String),
    Number(f64),
    Boolean(bool),
}

/// A document, and what prefixes in expressions mean.
pub struct Scope<'a> {
    pub document: &'a Document,
    pub namespaces: &'a BTreeMap<String, String>,
}

/// Where an expression is evaluated.
#[derive(Clone)]
struct Here {
    item: Found,
    position: usize,
    last: usize,
}

impl Scope<'_> {
    /// All that a path finds, in the order of the document.
    ///
    /// # Errors
    /// When the expression isn't a path, or has a prefix that means nothing.
    pub fn find(&self, expression: &Expression) -> Result<Vec<Found>, Failure> {
        let start = Here { item: Found::Node(ROOT), position: 1, last: 1 };
        match self.evaluate(expression, &start)? {
            Value::Nodes(found) => Ok(found),
            _ => Err(Failure::new("the xpath does not lead to nodes")),
        }
    }

    fn evaluate(&self, expression: &Expression, here: &Here) -> Result<Value, Failure> {
        match expression {
            Expression::Text(text) => Ok(Value::Text(text.clone())),
            Expression::Number(number) => Ok(Value::Number(*number)),
            Expression::Call(name, arguments) => self.call(name, arguments, here),
            Expression::Binary(left, operator, right) => self.binary(left, operator, right, here),
            Expression::Path { absolute, steps } => {
                let mut found = vec![if *absolute { Found::Node(ROOT) } else { here.item.clone() }];
                for step in steps {
                    found = self.walk(&found, step)?;
                }
                Ok(Value::Nodes(found))
            }
        }
    }

    /// One step from each of these. Predicates count along the axis, for each start anew.
    fn walk(&self, from: &[Found], step: &Step) -> Result<Vec<Found>, Failure> {
        let mut all = Vec::new();
        for start in from {
            let mut found = Vec::new();
            for item in self.along(start, step.axis) {
                if self.passes(&item, step)? {
                    found.push(item);
                }
            }
            for predicate in &step.predicates {
                let last = found.len();
                let mut kept = Vec::new();
                for (number, item) in found.into_iter().enumerate() {
                    let here = Here { item, position: number + 1, last };
                    let holds = match self.evaluate(predicate, &here)? {
                        Value::Number(number) => number == here.position as f64,
                        value => truth(&value),
                    };
                    if holds {
                        kept.push(here.item);
                    }
                }
                found = kept;
            }
            all.extend(found);
        }
        Ok(self.ordered(all))
    }

    /// Each once, in the order of the document. Nodes that were added later have higher numbers, so
    /// numbers alone don't tell.
    fn ordered(&self, mut all: Vec<Found>) -> Vec<Found> {
        if all.len() > 1 {
            let mut places = vec![usize::MAX; 0];
            let mut next = 0;
            self.number(ROOT, &mut places, &mut next);
            let place = |found: &Found| {
                let id = match found {
                    Found::Node(id) | Found::Attribute(id, _) => *id,
                };
                let behind = matches!(found, Found::Attribute(..));
                (places.get(id).copied().unwrap_or(usize::MAX), behind)
            };
            all.sort_by_key(place);
            all.dedup();
        }
        all
    }

    fn number(&self, id: Id, places: &mut Vec<usize>, next: &mut usize) {
        if places.len() <= id {
            places.resize(id + 1, usize::MAX);
        }
        if let Some(place) = places.get_mut(id) {
            *place = *next;
        }
        *next += 1;
        for child in self.document.children(id) {
            self.number(*child, places, next);
        }
    }

    fn along(&self, start: &Found, axis: Axis) -> Vec<Found> {
        let document = self.document;
        let id = match (start, axis) {
            (Found::Attribute(id, _), Axis::Parent) => return vec![Found::Node(*id)],
            (Found::Attribute(..), Axis::Itself) => return vec![start.clone()],
            (Found::Attribute(..), _) => return Vec::new(),
            (Found::Node(id), _) => *id,
        };
        let nodes = |ids: Vec<Id>| ids.into_iter().map(Found::Node).collect();
        match axis {
            Axis::Itself => nodes(vec![id]),
            Axis::Child => nodes(document.children(id).to_vec()),
            Axis::Parent if id == ROOT => Vec::new(),
            Axis::Parent => nodes(vec![document.parent(id)]),
            Axis::Ancestor => {
                let mut ids = Vec::new();
                let mut at = id;
                while at != ROOT {
                    at = document.parent(at);
                    ids.push(at);
                }
                nodes(ids)
            }
            Axis::Attribute => document
                .attributes(id)
                .iter()
                .filter(|(name, _)| name != "xmlns" && !name.starts_with("xmlns:"))
                .map(|(name, _)| Found::Attribute(id, name.clone()))
                .collect(),
            Axis::Descendant | Axis::DescendantOrSelf => {
                let mut ids = Vec::new();
                let mut open = vec![id];
                while let Some(at) = open.pop() {
                    ids.push(at);
                    open.extend(document.children(at).iter().rev());
                }
                let without_itself = usize::from(axis == Axis::Descendant);
                nodes(ids.split_off(without_itself))
            }
            Axis::FollowingSibling | Axis::PrecedingSibling => {
                let place = document.place(id).unwrap_or(0);
                let siblings = document.children(document.parent(id));
                nodes(match axis {
                    Axis::FollowingSibling => siblings.iter().skip(place + 1).copied().collect(),
                    _ => siblings.iter().take(place).rev().copied().collect(),
                })
            }
        }
    }

    fn passes(&self, item: &Found, step: &Step) -> Result<bool, Failure> {
        let document = self.document;
        let id = match item {
            Found::Attribute(id, written) => {
                return match &step.test {
                    Test::Any | Test::Node => Ok(true),
                    Test::Name(name) => {
                        let (prefix, local) = split(written);
                        let meaning =
                            document.namespace(*id, prefix).filter(|_| !prefix.is_empty());
                        self.is_named(name, meaning, local)
                    }
                    Test::Text | Test::Comment => Ok(false),
                };
            }
            Found::Node(id) => *id,
        };
        Ok(match (&step.test, document.kind(id)) {
            (Test::Node, _) | (Test::Any, Kind::Element(..)) => true,
            (Test::Name(name), Kind::Element(..)) => {
                let (namespace, local) = document.expanded(id);
                return self.is_named(name, namespace, local);
            }
            (Test::Text, Kind::Text(_) | Kind::Data(_)) | (Test::Comment, Kind::Comment(_)) => true,
            _ => false,
        })
    }

    fn is_named(&self, name: &str, namespace: Option<&str>, local: &str) -> Result<bool, Failure> {
        let (prefix, wanted) = split(name);
        let meaning = self.meaning(prefix)?;
        Ok(namespace == meaning && (wanted == "*" || wanted == local))
    }

    /// What a prefix of an expression means.
    ///
    /// # Errors
    /// When it means nothing.
    pub fn meaning(&self, prefix: &str) -> Result<Option<&str>, Failure> {
        if prefix.is_empty() {
            return Ok(None);
        }
        let known = self.namespaces.get(prefix).map(String::as_str);
        let known = known.or((prefix == "xml").then_some("http://www.w3.org/XML/1998/namespace"));
        match known {
            Some(meaning) => Ok(Some(meaning)),
            None => Err(Failure::new(format!("Undefined namespace prefix {prefix} in xpath"))),
        }
    }

    /// The text of what was found.
    pub fn text(&self, found: &Found) -> String {
        match found {
            Found::Node(id) => self.document.text(*id),
            Found::Attribute(id, name) => {
                let all = self.document.attributes(*id).iter();
                let value = all.filter(|(known, _)| known == name).map(|(_, value)| value.clone());
                value.collect()
            }
        }
    }

    fn texts(&self, value: &Value) -> Vec<String> {
        match value {
            Value::Nodes(found) => found.iter().map(|found| self.text(found)).collect(),
            Value::Text(text) => vec![text.clone()],
            Value::Number(number) => vec![number.to_string()],
            Value::Boolean(value) => vec![value.to_string()],
        }
    }

    fn one_text(&self, value: &Value) -> String {
        self.texts(value).into_iter().next().unwrap_or_default()
    }

    fn binary(
        &self,
        left: &Expression,
        operator: &str,
        right: &Expression,
        here: &Here,
    ) -> Result<Value, Failure> {
        let left = self.evaluate(left, here)?;
        match operator {
            "or" if truth(&left) => return Ok(Value::Boolean(true)),
            "and" if !truth(&left) => return Ok(Value::Boolean(false)),
            _ => {}
        }
        let right = self.evaluate(right, here)?;
        let number = |value: &Value| self.one_text(value).trim().parse::<f64>().unwrap_or(f64::NAN);
        Ok(match operator {
            "or" | "and" => Value::Boolean(truth(&right)),
            "|" => match (left, right) {
                (Value::Nodes(mut all), Value::Nodes(more)) => {
                    all.extend(more);
                    Value::Nodes(self.ordered(all))
                }
                _ => return Err(Failure::new("only nodes can be joined with | in an xpath")),
            },
            "+" => Value::Number(number(&left) + number(&right)),
            "-" => Value::Number(number(&left) - number(&right)),
            _ => Value::Boolean(self.compare(&left, operator, &right)),
        })
    }

    /// Of sets, one pair that fits is enough (XPath 1.0, 3.4).
    fn compare(&self, left: &Value, operator: &str, right: &Value) -> bool {
        if let (Value::Boolean(one), other) | (other, Value::Boolean(one)) = (left, right) {
            return (*one == truth(other)) == (operator == "=");
        }
        let numeric = matches!(left, Value::Number(_)) || matches!(right, Value::Number(_));
        self.texts(left).iter().any(|one| {
            self.texts(right).iter().any(|other| {
                let numbers = (one.trim().parse::<f64>(), other.trim().parse::<f64>());
                match (operator, numbers) {
                    ("=", (Ok(one), Ok(other))) if numeric => one == other,
                    ("!=", (Ok(one), Ok(other))) if numeric => one != other,
                    ("=", _) => one == other,
                    ("!=", _) => one != other,
                    ("<", (Ok(one), Ok(other))) => one < other,
                    ("<=", (Ok(one), Ok(other))) => one <= other,
                    (">", (Ok(one), Ok(other))) => one > other,
                    (">=", (Ok(one), Ok(other))) => one >= other,
                    _ => false,
                }
            })
        })
    }

    fn call(&self, name: &str, arguments: &[Expression], here: &Here) -> Result<Value, Failure> {
        let values: Result<Vec<Value>, Failure> =
            arguments.iter().map(|argument| self.evaluate(argument, here)).collect();
        let values = values?;
        let itself = || Value::Nodes(vec![here.item.clone()]);
        let text = |number: usize| match values.get(number) {
            Some(value) => self.one_text(value),
            None => self.one_text(&itself()),
        };
        let written = || match values.first() {
            Some(Value::Nodes(found)) => found.first().map(|found| self.written(found)),
            _ => Some(self.written(&here.item)),
        };
        Ok(match (name, values.len()) {
            ("last", 0) => Value::Number(here.last as f64),
            ("position", 0) => Value::Number(here.position as f64),
            ("true", 0) => Value::Boolean(true),
            ("false", 0) => Value::Boolean(false),
            ("count", 1) => match values.first() {
                Some(Value::Nodes(found)) => Value::Number(found.len() as f64),
                _ => return Err(Failure::new("count() of an xpath counts nodes")),
            },
            ("not", 1) => Value::Boolean(!values.first().is_some_and(truth)),
            ("string", 0 | 1) => Value::Text(text(0)),
            ("name", 0 | 1) => Value::Text(written().unwrap_or_default()),
            ("local-name", 0 | 1) => {
                let written = written().unwrap_or_default();
                Value::Text(split(&written).1.to_owned())
            }
            ("normalize-space", 0 | 1) => {
                Value::Text(text(0).split_whitespace().collect::<Vec<_>>().join(" "))
            }
            ("string-length", 0 | 1) => Value::Number(text(0).chars().count() as f64),
            ("concat", 2..) => Value::Text((0..values.len()).map(text).collect()),
            ("contains", 2) => Value::Boolean(text(0).contains(&text(1))),
            ("starts-with", 2) => Value::Boolean(text(0).starts_with(&text(1))),
            _ => {
                let count = values.len();
                return Err(Failure::new(format!(
                    "the function {name} with {count} arguments is not known in an xpath here"
                )));
            }
        })
    }

    fn written(&self, found: &Found) -> String {
        match found {
            Found::Node(id) => self.document.name(*id).to_owned(),
            Found::Attribute(_, name) => name.clone(),
        }
    }
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Nodes(found) => !found.is_empty(),
        Value::Text(text) => !text.is_empty(),
        Value::Number(number) => *number != 0.0 && !number.is_nan(),
        Value::Boolean(value) => *value,
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::parse;
    use super::super::tree::Reading;
    use super::*;

    const TEXT: &str = "<business type='bar' xmlns:x='http://x'><name>Tasty</name>\
        <beers><beer id='1'>Rochefort 10</beer><beer id='2'>St. B</beer><beer>Orval</beer></beers>\
        <rating subjective='true'>10</rating><x:deep><beer> Chimay  </beer></x:deep>\
        <website><mobile/><address>http://a</address></website></business>";

    fn find(path: &str) -> Result<Vec<String>, Failure> {
        let document = Document::parse(TEXT, Reading::default()).unwrap();
        let namespaces = BTreeMap::from([("n".to_owned(), "http://x".to_owned())]);
        let scope = Scope { document: &document, namespaces: &namespaces };
        let found = scope.find(&parse(path)?)?;
        Ok(found.iter().map(|found| scope.text(found)).collect())
    }

    /// What lxml finds with the same expressions.
    #[test]
    fn paths_find_what_lxml_finds() {
        for (path, wanted) in [
            ("/business/rating", vec!["10"]),
            ("//beer", vec!["Rochefort 10", "St. B", "Orval", " Chimay  "]),
            ("/business/beers/beer[2]", vec!["St. B"]),
            ("//beer[last()]", vec!["Orval", " Chimay  "]),
            ("//beers/beer[position()<3]", vec!["Rochefort 10", "St. B"]),
            ("//beers/beer[last()-1]", vec!["St. B"]),
            ("//beer[@id]", vec!["Rochefort 10", "St. B"]),
            ("//beer[@id='2']/text()", vec!["St. B"]),
            ("//beer[not(@id)]", vec!["Orval", " Chimay  "]),
            ("//beer[text()=\"Rochefort 10\"]", vec!["Rochefort 10"]),
            ("//beer[.='Orval']/..//@id", vec!["1", "2"]),
            ("//beer[contains(text(),'o') and @id]", vec!["Rochefort 10"]),
            ("//beer[starts-with(., 'O') or @id=1]", vec!["Rochefort 10", "Orval"]),
            ("//beer[normalize-space()='Chimay']", vec![" Chimay  "]),
            ("/business/@type", vec!["bar"]),
            ("//rating/@*", vec!["true"]),
            ("//n:deep/beer", vec![" Chimay  "]),
            ("//deep", vec![]),
            ("/business/*[name()='x:deep']", vec![" Chimay  "]),
            ("/business/*[local-name()='deep']/beer", vec![" Chimay  "]),
            ("//address/preceding-sibling::mobile", vec![""]),
            ("//name | //rating", vec!["Tasty", "10"]),
            ("//rating | //name", vec!["Tasty", "10"]),
            ("/business[rating>9]/name", vec!["Tasty"]),
            ("/business[rating>10]/name", vec![]),
            ("/business[count(beers/beer)=3]/name", vec!["Tasty"]),
            ("//beer[2][@id='2']", vec!["St. B"]),
            ("//mobile/ancestor::website/address", vec!["http://a"]),
            ("descendant::address", vec!["http://a"]),
            ("/business/none", vec![]),
        ] {
            assert_eq!(find(path).unwrap(), wanted, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["", "/a[", "/a]", "a b", "//", "/a/#", "unknown(1)", "'text'", "m:a", "/a['x"]
        {
            assert!(find(path).is_err(), "{path}");
        }
        let deep = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
        assert!(find(&deep).is_err());
    }
}
