//! Calls modules in this process.
#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use provision_target::module::{Contents, Context, Failure, Outcome};
use provision_target::modules;
use serde_json::Value;

#[derive(Default)]
pub struct Bench {
    pub check: bool,
    pub contents: Map,
    pub intents: u32,
}

#[derive(Default)]
pub struct Map(pub BTreeMap<String, Vec<u8>>);

impl Contents for Map {
    fn open(&mut self, sha256: &str) -> Result<Box<dyn Read + '_>, Failure> {
        match self.0.get(sha256) {
            Some(bytes) => Ok(Box::new(Cursor::new(bytes))),
            None => Err(Failure::new("no such content")),
        }
    }
}

impl Bench {
    pub fn checking() -> Bench {
        Bench { check: true, ..Bench::default() }
    }

    pub fn call(&mut self, module: &str, arguments: Value) -> Result<Outcome, Failure> {
        let function = modules::find(module).unwrap();
        let Value::Object(arguments) = arguments else { panic!("not an object") };
        let intents = &mut self.intents;
        let mut record_intent = || {
            *intents += 1;
            Ok(())
        };
        let mut context = Context {
            check: self.check,
            diff: true,
            environment: BTreeMap::new(),
            contents: &mut self.contents,
            record_intent: &mut record_intent,
            stopped: &|| false,
        };
        function(&arguments, &mut context)
    }
}

/// A check that promises what the real run then does, and a second run that finds nothing to do.
pub fn apply(module: &str, arguments: &Value) -> Outcome {
    let checked = Bench::checking().call(module, arguments.clone());
    let mut bench = Bench::default();
    let outcome = bench.call(module, arguments.clone()).unwrap();
    let checked = checked.unwrap();
    assert_eq!(checked.changed, outcome.changed, "check mode of {module} {arguments}");
    if outcome.changed {
        assert!(bench.intents > 0, "{module} changed something without announcing it");
    }
    let again = Bench::default().call(module, arguments.clone()).unwrap();
    assert!(!again.changed, "{module} {arguments} is not idempotent: {:?}", again.diff);
    outcome
}
