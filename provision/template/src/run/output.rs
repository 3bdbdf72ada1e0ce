//! What a template has emitted so far: one value as it is, or several as text.

use minijinja::Value;

use crate::error::{Outcome, TemplateError};
use crate::limits::MAX_OUTPUT_BYTES;
use crate::scope::Dialect;
use crate::value::{
    View, iterate, pairs_of, parse_literal, parse_python_literal, text_of, view, write_text,
};

/// What becomes of text that looks like a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// It stays text (files).
    None,
    /// Lists, mappings and booleans become values (classic dialect).
    Literals,
    /// So does everything else, and values that are no text stay what they are (classic dialect
    /// with `jinja2_native`).
    Native,
}

/// Emitted values.
#[derive(Default)]
pub(crate) struct Out {
    first: Option<Value>,
    text: String,
    many: bool,
    /// Whether `omit` among other output is nothing (strict dialect) rather than its marker.
    pub(crate) drops_omitted: bool,
}

impl Out {
    /// Emits a value; undefined has been refused before.
    pub(crate) fn push(&mut self, value: Value) -> Outcome<()> {
        if self.many {
            self.write(&value);
        } else if let Some(first) = self.first.take() {
            self.many = true;
            self.write(&first);
            self.write(&value);
        } else {
            self.first = Some(value);
        }
        if self.text.len() > MAX_OUTPUT_BYTES {
            return Err(TemplateError::failed(format!(
                "the result is larger than {} MiB",
                MAX_OUTPUT_BYTES / 1024 / 1024
            )));
        }
        Ok(())
    }

    fn write(&mut self, value: &Value) {
        if !(self.drops_omitted && crate::is_omit(value)) {
            write_text(&mut self.text, value);
        }
    }

    /// Emits everything another output holds.
    pub(crate) fn append(&mut self, other: Out) -> Outcome<()> {
        if other.many {
            return self.push(Value::from(other.text));
        }
        other.first.map_or(Ok(()), |value| self.push(value))
    }

    /// The result. In the strict dialect one value stays what it is. In the classic one everything
    /// is text, which becomes a value again as the conversion says (Ansible's `ansible_concat`,
    /// `ansible_eval_concat` and `ansible_native_concat`).
    pub(crate) fn finish(self, dialect: Dialect, conversion: Conversion) -> Value {
        if dialect == Dialect::Classic && conversion == Conversion::Native {
            return self.finish_native();
        }
        let convert = conversion == Conversion::Literals;
        match (self.first, dialect) {
            (None, Dialect::Strict) if !self.many => Value::from(()),
            (None, Dialect::Strict) => Value::from(self.text),
            (Some(value), Dialect::Strict) => value,
            (Some(value), Dialect::Classic) => {
                let kept = value.is_safe();
                if !convert || kept {
                    return if value.as_str().is_some() {
                        value
                    } else {
                        Value::from(text_of(&value))
                    };
                }
                single(value)
            }
            (None, Dialect::Classic) if convert => literal(self.text),
            (None, Dialect::Classic) => Value::from(self.text),
        }
    }

    fn finish_native(self) -> Value {
        match self.first {
            None if !self.many => Value::from(()),
            None => native(self.text),
            Some(value) if value.is_safe() => value,
            Some(value) => match view(&value) {
                View::Text(text) => native(text.to_owned()),
                _ => value,
            },
        }
    }
}

/// A text that Python would read as a value becomes one; one in quotes keeps them.
fn native(text: String) -> Value {
    match parse_python_literal(&text) {
        Some(value) => match (value.as_str(), text.chars().next()) {
            (Some(inner), Some(quote)) => Value::from(format!("{quote}{inner}{quote}")),
            _ => value,
        },
        None => Value::from(text),
    }
}

fn single(value: Value) -> Value {
    match view(&value) {
        View::Text(text) if !looks_literal(text) => value,
        View::Bool(_) => value,
        View::List | View::Dict if survives_repr(&value) => value,
        _ => literal(text_of(&value)),
    }
}

fn looks_literal(text: &str) -> bool {
    text.starts_with(['{', '[']) || text == "True" || text == "False"
}

/// A text that looks like a value becomes one.
pub(crate) fn literal(text: String) -> Value {
    if looks_literal(&text)
        && let Some(value) = parse_literal(&text)
    {
        return value;
    }
    Value::from(text)
}

/// Whether writing the value and reading it back gives the same value.
fn survives_repr(value: &Value) -> bool {
    match view(value) {
        View::None | View::Bool(_) | View::Int(_) | View::Text(_) | View::Bytes(_) => true,
        View::Float(number) => number.is_finite(),
        View::List | View::Tuple => {
            iterate(value).is_ok_and(|items| items.iter().all(survives_repr))
        }
        View::Dict => {
            pairs_of(value).iter().all(|(key, value)| survives_repr(key) && survives_repr(value))
        }
        View::Undefined | View::Object => false,
    }
}
