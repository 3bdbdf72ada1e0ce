//! Apps of Marathon never panic the reader; what is wrong has a path; what is read can be shown, and
//! what is shown can be read and means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scheduler_marathon::show::{View, version};
use scheduler_marathon::{Base, name, read};
use serde_json::{Map, Value};

const LABEL: &str = "2026-11-28T15:06:12.345Z";

fuzz_target!(|bytes: &[u8]| {
    let Ok(fields) = serde_json::from_slice::<Map<String, Value>>(bytes) else { return };
    let given = match read(&fields, None, LABEL) {
        Ok(given) => given,
        Err(wrong) => {
            assert!(!wrong.is_empty() && wrong.iter().all(|one| one.path.starts_with('/')));
            return;
        }
    };
    let app = name("web").unwrap();
    let view = View { shows_values: true, is_local: false };
    let shown = version(&app, &given.specification, given.bounds.max, view);
    let again = read(shown.as_object().unwrap(), None, LABEL).unwrap();
    assert_eq!(again.specification, given.specification, "{shown}");
    assert_eq!(again.bounds, given.bounds);
    let base = Base { specification: &given.specification, bounds: given.bounds };
    let kept = read(&Map::new(), Some(base), LABEL).unwrap();
    assert_eq!(kept.specification, given.specification);
});
