//! Values of INI inventories: Python literals, and text when they are none.
//!
//! Ansible gives each value to `ast.literal_eval` and keeps the text if Python refuses it.

use diagnostics::Span;
use yaml::{Mapping, Node, NodeValue};

mod numbers;
mod strings;

/// Deepest nesting of brackets; Python's parser gives up at 200.
const MAX_DEPTH: usize = 100;

/// The node of a value that stands at `span`.
pub(super) fn evaluate(text: &str, span: Span) -> Node {
    let value = Parser { rest: text.trim_start_matches([' ', '\t']), span }.whole();
    Node::new(span, value.unwrap_or_else(|| NodeValue::String(text.into())))
}

/// A recursive descent parser of one expression; `None` means "not a literal".
struct Parser<'text> {
    rest: &'text str,
    span: Span,
}

impl<'text> Parser<'text> {
    fn whole(mut self) -> Option<NodeValue> {
        let value = self.tuple_or_value()?;
        self.blanks();
        self.rest.is_empty().then_some(value)
    }

    /// Skips blanks and a comment at the end; inside a value no newline can occur.
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\u{c}']);
        if self.rest.starts_with('#') {
            self.rest = "";
        }
    }

    fn take(&mut self, expected: char) -> bool {
        self.blanks();
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `1, 2` without brackets is a tuple.
    fn tuple_or_value(&mut self) -> Option<NodeValue> {
        let first = self.value(0)?;
        self.blanks();
        if !self.rest.starts_with(',') {
            return Some(first);
        }
        let mut items = vec![self.node(first)];
        while self.take(',') {
            self.blanks();
            if self.rest.is_empty() {
                break;
            }
            let item = self.value(0)?;
            items.push(self.node(item));
        }
        Some(NodeValue::Sequence(items))
    }

    fn node(&self, value: NodeValue) -> Node {
        Node::new(self.span, value)
    }

    fn value(&mut self, depth: usize) -> Option<NodeValue> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.blanks();
        match self.rest.chars().next()? {
            '[' => {
                self.take('[');
                self.items(']', depth).map(|(items, _)| NodeValue::Sequence(items))
            }
            '(' => self.parenthesised(depth),
            '{' => self.braces(depth),
            '+' | '-' | '.' | '0'..='9' => {
                let (value, rest) = numbers::number(self.rest)?;
                self.rest = rest;
                Some(value)
            }
            _ => self.text_or_name(),
        }
    }

    /// Strings (adjacent ones are one), and the three names that are literals.
    fn text_or_name(&mut self) -> Option<NodeValue> {
        let mut text: Option<(String, bool)> = None;
        loop {
            self.blanks();
            let Some(literal) = strings::literal(self.rest) else { break };
            let literal = literal?;
            self.rest = literal.rest;
            match &mut text {
                None => text = Some((literal.text, literal.bytes)),
                Some((text, bytes)) if *bytes == literal.bytes => text.push_str(&literal.text),
                // Python refuses to join text and bytes.
                Some(_) => return None,
            }
        }
        if let Some((text, _)) = text {
            return Some(NodeValue::String(text.into()));
        }
        let end =
            self.rest.find(|character: char| !(character.is_alphanumeric() || character == '_'));
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let value = match name {
            "True" => NodeValue::Bool(true),
            "False" => NodeValue::Bool(false),
            "None" => NodeValue::Null,
            "set" => {
                self.rest = rest;
                let empty = self.take('(') && self.take(')');
                return empty.then(|| NodeValue::Sequence(Vec::new()));
            }
            _ => return None,
        };
        self.rest = rest;
        Some(value)
    }

    /// Items up to a closing bracket, and whether a comma stood behind the last one.
    fn items(&mut self, close: char, depth: usize) -> Option<(Vec<Node>, bool)> {
        let mut items = Vec::new();
        let mut comma = false;
        while !self.take(close) {
            if !items.is_empty() && !comma {
                return None;
            }
            let item = self.value(depth + 1)?;
            items.push(self.node(item));
            comma = self.take(',');
        }
        Some((items, comma))
    }

    /// `()` and `(a,)` are tuples, `(a)` is `a`.
    fn parenthesised(&mut self, depth: usize) -> Option<NodeValue> {
        self.take('(');
        let (mut items, comma) = self.items(')', depth)?;
        if items.len() == 1 && !comma {
            return items.pop().map(|item| item.value);
        }
        Some(NodeValue::Sequence(items))
    }

    /// A dict or a set.
    fn braces(&mut self, depth: usize) -> Option<NodeValue> {
        self.take('{');
        if self.take('}') {
            return Some(NodeValue::Mapping(Mapping::default()));
        }
        let first = self.value(depth + 1)?;
        if !self.take(':') {
            let mut items = vec![self.hashable(first)?];
            if self.take(',') {
                for item in self.items('}', depth)?.0 {
                    let item = self.hashable(item.value)?;
                    if !items.iter().any(|known| known.value == item.value) {
                        items.push(item);
                    }
                }
                return Some(NodeValue::Sequence(items));
            }
            return self.take('}').then_some(NodeValue::Sequence(items));
        }
        let mut mapping = Mapping::default();
        let mut key = self.hashable(first)?;
        loop {
            let value = self.value(depth + 1)?;
            super::store(&mut mapping, key, self.node(value));
            let comma = self.take(',');
            if self.take('}') {
                return Some(NodeValue::Mapping(mapping));
            }
            if !comma {
                return None;
            }
            let next = self.value(depth + 1)?;
            key = self.hashable(next)?;
            if !self.take(':') {
                return None;
            }
        }
    }

    /// What can be a key or a member of a set.
    fn hashable(&self, value: NodeValue) -> Option<Node> {
        let hashable = !matches!(value, NodeValue::Sequence(_) | NodeValue::Mapping(_));
        hashable.then(|| self.node(value))
    }
}

#[cfg(test)]
mod tests {
    use diagnostics::SourceId;
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> serde_json::Value {
        yaml::to_json(&evaluate(text, Span::new(SourceId(0), 0, 0)))
    }

    #[test]
    fn literals_are_evaluated() {
        let table = [
            ("5", json!(5)),
            ("-5", json!(-5)),
            ("- 5", json!(-5)),
            ("0", json!(0)),
            ("00", json!(0)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("0b11", json!(3)),
            ("1_000", json!(1000)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1.", json!(1.0)),
            ("1e3", json!(1000.0)),
            ("True", json!(true)),
            ("False", json!(false)),
            ("None", json!(null)),
            ("'a b'", json!("a b")),
            ("\"a\"", json!("a")),
            ("'a' 'b'", json!("ab")),
            ("r'a\\n'", json!("a\\n")),
            ("'a\\n\\x41\\u00e9\\101\\q'", json!("a\nAéA\\q")),
            ("b'x'", json!("x")),
            ("'''a'''", json!("a")),
            ("''", json!("")),
            ("[1, 'a', [True]]", json!([1, "a", [true]])),
            ("[]", json!([])),
            ("[1,]", json!([1])),
            ("()", json!([])),
            ("(1)", json!(1)),
            ("(1,)", json!([1])),
            ("1, 2", json!([1, 2])),
            ("{'a': 1, 'b': [2]}", json!({"a": 1, "b": [2]})),
            ("{}", json!({})),
            ("{1, 2, 1}", json!([1, 2])),
            ("5 # five", json!(5)),
            ("set()", json!([])),
            ("  7  ", json!(7)),
            ("{'a': 1, 'a': 2}", json!({"a": 2})),
        ];
        for (text, expected) in table {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn everything_else_stays_text() {
        for text in [
            "",
            "foo",
            "true",
            "yes",
            "0755",
            "08",
            "1__0",
            "1_",
            "1.2.3",
            "127.0.0.1",
            "--5",
            "1+1",
            "1+2j",
            "5 5",
            "'a",
            "a'b",
            "[a]",
            "{a: 1}",
            "{'a'}x",
            "[1 2]",
            "1,2,x",
            "f'a'",
            "...",
            "not 1",
            "{[1]: 2}",
            "'\\ud800'",
            "5 x # y",
            "foo # bar",
            "/usr/bin/python",
            "{{ a }}",
            "[",
            "{1:",
            ",",
            "1,,2",
            "[,]",
            "'\\x4'",
            "0b2",
            "0_",
            "b'é'",
            "a=b",
            "-'a'",
            "+",
            "é",
        ] {
            assert_eq!(value(text), json!(text), "{text}");
        }
    }
}
