//! From what a module returned to what the controller gets.

use provision_protocol::{Call, CallResult, Diff, Object};
use serde_json::Value;

use crate::module::{Failure, Outcome};
use crate::modules::system::services::MAY_COME;

/// Largest result in JSON, in bytes; it must fit into a frame with room to spare.
const RESULT_LIMIT_BYTES: usize = 48 << 20;

/// Why a call was stopped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stop {
    /// The controller said so.
    Cancelled,
    /// Its time was over.
    TimedOut {
        /// The limit.
        after_s: f64,
    },
}

/// The result object of a call.
#[must_use]
pub fn result_object(call: &Call, ended: Result<Outcome, Failure>, stop: Option<Stop>) -> Object {
    let object = match (ended, stop) {
        (Ok(outcome), None) => success(call, outcome),
        (Err(failure), None) => failed(failure),
        (ended, Some(stop)) => stopped(ended, stop),
    };
    let size = serde_json::to_vec(&object).map_or(usize::MAX, |bytes| bytes.len());
    if size <= RESULT_LIMIT_BYTES {
        return object;
    }
    let changed = object.get("changed").cloned().unwrap_or(Value::Bool(true));
    let mut short = failed(Failure::new(format!(
        "the result of {} takes {size} bytes, more than the {RESULT_LIMIT_BYTES} that are allowed",
        call.module
    )));
    short.insert("changed".into(), changed);
    short
}

/// A result with a failure and nothing else.
#[must_use]
pub fn failure_result(call: &Call, failure: Failure) -> CallResult {
    CallResult { id: call.id, result: failed(failure), duration_us: 0 }
}

/// Whether a result counts as a failure for the calls behind it.
#[must_use]
pub fn is_failure(result: &Object) -> bool {
    result.get("failed").is_some_and(truthy)
}

/// Whether a result says that something changed.
#[must_use]
pub fn is_change(result: &Object) -> bool {
    result.get("changed").is_some_and(truthy)
}

/// What may be stored of a result whose values are secret.
#[must_use]
pub fn without_values(result: &CallResult) -> CallResult {
    let mut kept = Object::new();
    for name in ["changed", "failed", "skipped"] {
        if let Some(value @ Value::Bool(_)) = result.result.get(name) {
            kept.insert(name.into(), value.clone());
        }
    }
    if is_failure(&result.result) {
        kept.insert("msg".into(), "the values of this result were not stored (no_log)".into());
    }
    CallResult { id: result.id, result: kept, duration_us: result.duration_us }
}

/// In check mode: what is missing on a host that an earlier task would have changed is no failure,
/// because that task may bring it.
pub fn excuse(result: &mut Object, foreseen: bool) {
    let Some(reason) = result.remove(MAY_COME) else { return };
    if foreseen {
        result.remove("failed");
        result.insert("skipped".into(), true.into());
        result.insert("msg".into(), reason);
    }
}

fn truthy(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        _ => false,
    }
}

/// A difference as results hold it.
fn shown(diff: &Diff) -> Value {
    let mut shown = serde_json::to_value(diff).unwrap_or_default();
    if let (Some([before, after]), Value::Object(shown)) = (diff.attributes.as_deref(), &mut shown)
    {
        shown.insert("before".into(), before.clone().into());
        shown.insert("after".into(), after.clone().into());
    }
    shown
}

/// Modules whose `diff` is a list, as Ansible's are; that of others is one mapping.
const LISTS_OF_DIFFS: &[&str] = &["blockinfile", "copy", "lineinfile", "template"];

/// Modules that say what they change without being asked.
const ALWAYS_WITH_DIFF: &[&str] = &["file", "known_hosts"];

fn success(call: &Call, outcome: Outcome) -> Object {
    let mut object = outcome.values;
    object.insert("changed".into(), outcome.changed.into());
    if let Some(reason) = outcome.skipped {
        object.insert("skipped".into(), true.into());
        object.entry("msg").or_insert(reason.into());
    }
    let shows = call.diff || ALWAYS_WITH_DIFF.contains(&call.module.as_str());
    if shows && !outcome.diff.is_empty() {
        let mut diffs = outcome.diff.iter();
        let diff = match (diffs.next(), diffs.next()) {
            (Some(only), None) if !LISTS_OF_DIFFS.contains(&call.module.as_str()) => shown(only),
            _ => outcome.diff.iter().map(shown).collect(),
        };
        object.insert("diff".into(), diff);
    }
    object
}

fn failed(failure: Failure) -> Object {
    let mut object = failure.values;
    object.insert("failed".into(), true.into());
    object.insert("msg".into(), failure.message.into());
    object.entry("changed").or_insert(false.into());
    object
}

fn stopped(ended: Result<Outcome, Failure>, stop: Stop) -> Object {
    let (mut values, detail) = match ended {
        Ok(outcome) => {
            let mut values = outcome.values;
            values.insert("changed".into(), outcome.changed.into());
            (values, None)
        }
        Err(failure) => (failure.values, Some(failure.message)),
    };
    let message = match stop {
        Stop::Cancelled => "cancelled".to_owned(),
        Stop::TimedOut { after_s } => {
            let mut period = Object::new();
            period.insert("period".into(), after_s.into());
            values.insert("timedout".into(), period.into());
            format!("timed out after {after_s} second(s)")
        }
    };
    let message = match detail {
        Some(detail) => format!("{message}: {detail}"),
        None => message,
    };
    failed(Failure { message, values })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::disk::texts::AttributeChange;
    use crate::serve::link::tests::call;

    #[test]
    fn differences_have_the_form_of_ansible_s() {
        let mut change = AttributeChange::default();
        change.note("mode", "0644", "0600");
        let outcome = || Outcome { diff: vec![change.diff()], ..Outcome::new(true) };
        let diff_of = |module: &str, diff: bool| {
            let call = Call { diff, ..call(1, module) };
            success(&call, outcome()).get("diff").cloned()
        };
        let mapping = json!({"before": {"mode": "0644"}, "after": {"mode": "0600"}});
        assert_eq!(diff_of("replace", true), Some(mapping.clone()));
        assert_eq!(diff_of("lineinfile", true), Some(json!([mapping])));
        assert_eq!(diff_of("replace", false), None);
        assert_eq!(diff_of("file", false), Some(mapping));
    }
    #[test]
    fn what_may_come_is_a_failure_until_a_change_is_foreseen() {
        let missing = || {
            let failure = Failure::new("Could not find it").with(MAY_COME, "not there (yet)");
            failed(failure)
        };
        let mut result = missing();
        excuse(&mut result, false);
        let failure = json!({"failed": true, "changed": false, "msg": "Could not find it"});
        assert_eq!(Value::Object(result), failure);
        let mut result = missing();
        excuse(&mut result, true);
        let skipped = json!({"skipped": true, "changed": false, "msg": "not there (yet)"});
        assert_eq!(Value::Object(result), skipped);
    }
}
