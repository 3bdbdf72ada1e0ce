//! What a module is to the helper: a function from arguments to an outcome.
//!
//! A module first computes the change, then applies it unless [`Context::check`] is set, so that
//! check mode, diff and the real run come from one piece of code.

use std::collections::BTreeMap;
use std::io::Read;

use provision_protocol::{Diff, Object};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The entry point of a module. Arguments are already checked and normalised by the controller.
pub type ModuleFunction = fn(&Object, &mut Context<'_>) -> Result<Outcome, Failure>;

/// What a module did (or would do, in check mode).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Whether anything changed or would change.
    pub changed: bool,
    /// Check mode cannot know; the reason.
    pub skipped: Option<String>,
    /// Return values, named as Ansible's module names them.
    pub values: Object,
    /// The change, if asked for.
    pub diff: Vec<Diff>,
}

impl Outcome {
    /// An outcome without values.
    #[must_use]
    pub fn new(changed: bool) -> Self {
        Outcome { changed, ..Outcome::default() }
    }

    /// Adds a return value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }
}

/// Why a module failed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Failure {
    /// One sentence that completes "failed to …" or says what is wrong; users see it as `msg`.
    pub message: String,
    /// Return values that help (`rc`, `stderr`, `path`…).
    pub values: Object,
}

impl Failure {
    /// A failure with a message.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Failure { message: message.into(), values: Object::new() }
    }

    /// Adds a return value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// From a system error: what was attempted, on what, and the system's own words.
    #[must_use]
    pub fn system(attempt: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Failure::new(format!("failed to {attempt} {}: {error}", path.display()))
            .with("path", path.display().to_string())
    }
}

/// Where contents come from; the helper's connection in real life, a map in tests.
pub trait Contents {
    /// The content with this digest. It is verified while it is read: a reader that ends without
    /// an error has delivered exactly the bytes of the digest.
    ///
    /// # Errors
    /// When the controller refuses it or the channel is gone.
    fn open(&mut self, sha256: &str) -> Result<Box<dyn Read + '_>, Failure>;
}

/// What a call brings along.
pub struct Context<'a> {
    /// Compute, don't change.
    pub check: bool,
    /// Fill [`Outcome::diff`].
    pub diff: bool,
    /// Additional environment of started processes.
    pub environment: BTreeMap<String, String>,
    /// Contents that the call names.
    pub contents: &'a mut dyn Contents,
    /// Records durably that a change begins (handlers must not be lost); run once a call.
    pub record_intent: &'a mut dyn FnMut() -> Result<(), Failure>,
    /// Whether a cancellation or the time limit asks the module to stop.
    pub stopped: &'a dyn Fn() -> bool,
}

impl Context<'_> {
    /// To be called right before the first change of the host. Not in check mode.
    ///
    /// # Errors
    /// When the intent can't be made durable (a full disk): nothing has been changed then.
    pub fn about_to_change(&mut self) -> Result<(), Failure> {
        (self.record_intent)()
    }
}

/// Arguments as a typed struct.
///
/// # Errors
/// When they don't fit; the controller's table and the module disagree then.
pub fn arguments<T: DeserializeOwned>(arguments: &Object) -> Result<T, Failure> {
    serde_json::from_value(Value::Object(arguments.clone()))
        .map_err(|error| Failure::new(format!("unusable arguments: {error}")))
}

/// Arguments by name, with the defaults of the table filled in. Reading them so takes less room in
/// the helper than a typed struct.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a>(pub &'a Object);

impl<'a> Given<'a> {
    /// A text, if it is given.
    #[must_use]
    pub fn text(self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A text, or nothing at all.
    #[must_use]
    pub fn word(self, name: &str) -> &'a str {
        self.text(name).unwrap_or_default()
    }

    /// Whether a text has this value.
    #[must_use]
    pub fn is(self, name: &str, value: &str) -> bool {
        self.text(name) == Some(value)
    }

    /// Whether a boolean is true.
    #[must_use]
    pub fn flag(self, name: &str) -> bool {
        self.choice(name) == Some(true)
    }

    /// A boolean, if it is given.
    #[must_use]
    pub fn choice(self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }

    /// A whole number, if it is given.
    #[must_use]
    pub fn integer(self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    /// A list of texts, if it is given.
    #[must_use]
    pub fn texts(self, name: &str) -> Option<Vec<&'a str>> {
        let items = self.0.get(name)?.as_array()?;
        Some(items.iter().filter_map(Value::as_str).collect())
    }

    /// A list of texts, empty if it isn't given.
    #[must_use]
    pub fn words(self, name: &str) -> Vec<&'a str> {
        self.texts(name).unwrap_or_default()
    }
}
