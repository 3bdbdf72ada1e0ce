//! Undefined values that know why, and the marker of `omit`.

use std::fmt;
use std::sync::{Arc, OnceLock};

use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};

use crate::error::TemplateError;

/// A value that does not exist, with the reason that its use will report.
pub(crate) struct Undefined {
    pub(crate) message: String,
    pub(crate) name: Option<String>,
    /// The error behind it, when a variable exists but cannot be evaluated.
    pub(crate) cause: Option<TemplateError>,
    /// Whether it may be used: an inline `if` without `else` makes nothing rather than an error.
    pub(crate) silent: bool,
}

/// What an inline `if` without `else` makes when it does not hold: prints nothing, is false.
pub(crate) fn silent_undefined() -> Value {
    Value::from_object(Undefined {
        message: "the inline if-expression evaluated to false and no else section was defined."
            .into(),
        name: None,
        cause: None,
        silent: true,
    })
}

/// Whether using a value is an error.
pub(crate) fn is_missing(value: &Value) -> bool {
    match value.downcast_object_ref::<Undefined>() {
        Some(undefined) => !undefined.silent,
        None => value.is_undefined(),
    }
}

impl fmt::Debug for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Undefined")
    }
}

impl Object for Undefined {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// An undefined value.
pub(crate) fn undefined(message: impl Into<String>, name: Option<&str>) -> Value {
    Value::from_object(Undefined {
        message: message.into(),
        name: name.map(str::to_owned),
        cause: None,
        silent: false,
    })
}

/// Whether a value stands for something that does not exist.
#[must_use]
pub fn is_undefined(value: &Value) -> bool {
    value.is_undefined() || value.downcast_object_ref::<Undefined>().is_some()
}

/// The error that using an undefined value raises.
pub(crate) fn undefined_error(value: &Value) -> TemplateError {
    match value.downcast_object_ref::<Undefined>() {
        Some(Undefined { cause: Some(cause), .. }) => cause.clone(),
        Some(undefined) => {
            TemplateError::undefined(undefined.message.clone(), undefined.name.clone())
        }
        None => TemplateError::undefined("the value is undefined", None),
    }
}

/// The marker behind `omit`.
#[derive(Debug)]
struct Omit;

impl Object for Omit {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(OMIT_TEXT)
    }
}

/// What the marker looks like once it has become part of a text; Ansible appends a hash.
const OMIT_TEXT: &str = "__omit_place_holder__";

/// The value of `omit`: a parameter with this value is left out.
#[must_use]
pub fn omit() -> Value {
    static OMIT: OnceLock<Value> = OnceLock::new();
    OMIT.get_or_init(|| Value::from_object(Omit)).clone()
}

/// Whether a value says that its parameter is to be left out.
#[must_use]
pub fn is_omit(value: &Value) -> bool {
    value.downcast_object_ref::<Omit>().is_some() || value.as_str() == Some(OMIT_TEXT)
}
