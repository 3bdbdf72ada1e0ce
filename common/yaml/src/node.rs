//! The tree: every node with its span, tag and style.

use diagnostics::Span;

/// Tag of nodes whose text is base64 of bytes that are no text.
pub(crate) const BINARY: &str = "!!binary";

/// A node of a YAML document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands. For a scalar: the text with its quotes.
    pub span: Span,
    /// What it is.
    pub value: NodeValue,
    /// An explicit tag other than the core ones (`!unsafe`, `!vault`, `!reset`…), with its `!`;
    /// `!!binary` where its bytes are no text.
    pub tag: Option<Box<str>>,
    /// Whether a scalar was written plain. Templates in quoted and plain scalars mean the same;
    /// the linter and error hints want to know.
    pub plain: bool,
}

/// What a node is, after the schema has resolved plain scalars.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeValue {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean of the schema.
    Bool(bool),
    /// An integer that fits 64 bits.
    Integer(i64),
    /// An integer that does not fit, as decimal digits with an optional sign.
    BigInteger(Box<str>),
    /// A floating point number.
    Float(f64),
    /// Text. Dates and other exotic scalars are text, too.
    String(Box<str>),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping in the order it was written.
    Mapping(Mapping),
}

/// A mapping in the order it was written; merge keys are already applied and a later
/// duplicate has already replaced an earlier one (with a warning).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mapping {
    /// Keys and values.
    pub entries: Vec<(Node, Node)>,
}

impl Mapping {
    /// The value of a text key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.get_entry(key).map(|(_, value)| value)
    }

    /// The key node and the value of a text key.
    #[must_use]
    pub fn get_entry(&self, key: &str) -> Option<(&Node, &Node)> {
        self.entries
            .iter()
            .find(|(node, _)| node.as_str() == Some(key))
            .map(|(key, value)| (key, value))
    }

    /// Keys and values in the order written.
    pub fn iter(&self) -> impl Iterator<Item = (&Node, &Node)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Node {
    /// An untagged node.
    #[must_use]
    pub fn new(span: Span, value: NodeValue) -> Self {
        Node { span, value, tag: None, plain: false }
    }

    /// A text node.
    #[must_use]
    pub fn string(span: Span, text: impl Into<Box<str>>) -> Self {
        Node::new(span, NodeValue::String(text.into()))
    }

    /// Text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.value {
            NodeValue::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The integer, if it is one that fits.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self.value {
            NodeValue::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// The items, if it is a sequence.
    #[must_use]
    pub fn as_sequence(&self) -> Option<&[Node]> {
        match &self.value {
            NodeValue::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    #[must_use]
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            NodeValue::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.value, NodeValue::Null)
    }

    /// Whether its text must never be treated as a template (`!unsafe`).
    #[must_use]
    pub fn is_unsafe(&self) -> bool {
        self.tag.as_deref() == Some("!unsafe")
    }

    /// Whether its text is encrypted with Ansible Vault (`!vault`, `!vault-encrypted`).
    #[must_use]
    pub fn is_vault(&self) -> bool {
        matches!(self.tag.as_deref(), Some("!vault" | "!vault-encrypted"))
            && self.as_str().is_some()
    }

    /// What `!!binary` holds, if that is no text.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let is_binary = self.tag.as_deref() == Some(BINARY);
        let encoded = self.as_str().filter(|_| is_binary)?;
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded).ok()
    }

    /// Whether no template is ever looked for in it: `!unsafe`, and what a vault holds.
    #[must_use]
    pub fn is_data(&self) -> bool {
        self.is_unsafe() || self.is_vault()
    }

    /// What a user would call it: `a list`, `a mapping`, `text`…
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.value {
            NodeValue::Null => "nothing (null)",
            NodeValue::Bool(_) => "a boolean",
            NodeValue::Integer(_) | NodeValue::BigInteger(_) => "an integer",
            NodeValue::Float(_) => "a number",
            NodeValue::String(_) => "text",
            NodeValue::Sequence(_) => "a list",
            NodeValue::Mapping(_) => "a mapping",
        }
    }
}
