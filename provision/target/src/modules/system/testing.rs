//! What tests of modules need: a context with contents from memory.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use provision_protocol::Object;
use serde_json::Value;

use crate::module::{Contents, Context, Failure, ModuleFunction, Outcome};

/// Owns what a [`Context`] borrows.
pub struct Bench<'a> {
    /// See [`Context::check`].
    pub check: bool,
    /// See [`Context::diff`].
    pub diff: bool,
    /// See [`Context::environment`].
    pub environment: BTreeMap<String, String>,
    /// Contents by digest.
    pub contents: MapContents,
    /// See [`Context::stopped`]; `None`: never.
    pub stopped: Option<&'a dyn Fn() -> bool>,
    intent: Box<dyn FnMut() -> Result<(), Failure>>,
}

/// Contents in memory.
#[derive(Default)]
pub struct MapContents(pub BTreeMap<String, Vec<u8>>);

impl Contents for MapContents {
    fn open(&mut self, sha256: &str) -> Result<Box<dyn Read + '_>, Failure> {
        match self.0.get(sha256) {
            Some(bytes) => Ok(Box::new(Cursor::new(bytes))),
            None => Err(Failure::new("no such content")),
        }
    }
}

/// A bench for one call.
pub fn context<'a>() -> Bench<'a> {
    Bench {
        check: false,
        diff: false,
        environment: BTreeMap::new(),
        contents: MapContents::default(),
        stopped: None,
        intent: Box::new(|| Ok(())),
    }
}

impl Bench<'_> {
    /// Makes it a check.
    pub fn checking(mut self) -> Self {
        self.check = true;
        self
    }

    /// The context.
    pub fn context(&mut self) -> Context<'_> {
        Context {
            check: self.check,
            diff: self.diff,
            environment: self.environment.clone(),
            contents: &mut self.contents,
            record_intent: &mut self.intent,
            stopped: self.stopped.unwrap_or(&|| false),
        }
    }

    /// Calls a module of the table, with the defaults that the controller fills in.
    pub fn call_named(&mut self, name: &str, arguments: Value) -> Result<Outcome, Failure> {
        let spec = provision_protocol::modules::find(name).unwrap();
        let arguments = provision_protocol::modules::normalise(spec, object(arguments)).unwrap();
        crate::modules::find(spec.name).unwrap()(&arguments, &mut self.context())
    }

    /// Calls a module.
    pub fn call(&mut self, module: ModuleFunction, arguments: Value) -> Result<Outcome, Failure> {
        module(&object(arguments), &mut self.context())
    }
}

/// Arguments.
pub fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}
