//! How two policies differ, key by key, in the words of `policy.yml`.

use std::collections::BTreeMap;

use policy::Nanoseconds;
use policy::config::Policy;
use serde_json::Value;

/// Keys that are lengths of time.
const LENGTHS: [&str; 39] = [
    "scaling.interval",
    "scaling.cool_down",
    "scaling.scale_in_after",
    "scaling.rule.hpa.up.window",
    "scaling.rule.hpa.up.period",
    "scaling.rule.hpa.down.window",
    "scaling.rule.hpa.down.period",
    "scaling.rule.kpa.window",
    "scaling.rule.kpa.panic_window",
    "scaling.rule.kpa.scale_in_delay",
    "scaling.rule.keda.cool_down",
    "scaling.rule.keda.hpa.up.window",
    "scaling.rule.keda.hpa.up.period",
    "scaling.rule.keda.hpa.down.window",
    "scaling.rule.keda.hpa.down.period",
    "scaling.rule.arrivals.drain",
    "scaling.rule.arrivals.fast",
    "scaling.rule.arrivals.slow",
    "scaling.rule.arrivals.start_up",
    "scaling.rule.arrivals.scale_in_after",
    "scaling.rule.arrivals.scale_in_every",
    "rollout.warm_up",
    "rollout.cool_down",
    "rollout.progress_deadline",
    "repair.back_off",
    "repair.back_off_most",
    "repair.back_off_forget",
    "repair.launch_timeout",
    "repair.replace_unhealthy_after",
    "repair.replace_unreachable_after",
    "repair.forget_unreachable_after",
    "repair.freeze_most",
    "sharing.idle_for",
    "sharing.give_back",
    "sharing.interval",
    "admission.user.rate.interval",
    "admission.user.rate.tolerance",
    "admission.cmd.rate.interval",
    "admission.cmd.rate.tolerance",
];

/// A key with its two values; one that isn't there is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its path, with dots.
    pub key: String,
    /// What the first policy says.
    pub before: Option<String>,
    /// What the second one says.
    pub after: Option<String>,
}

/// What differs, by key.
#[must_use]
pub fn changes(before: &Policy, after: &Policy) -> Vec<Change> {
    let (before, after) = (flat(before), flat(after));
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let changes = keys.into_iter().filter_map(|key| {
        let (before, after) = (before.get(key).cloned(), after.get(key).cloned());
        (before != after).then(|| Change { key: key.clone(), before, after })
    });
    changes.collect()
}

fn flat(policy: &Policy) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    // Plain data always has a JSON form.
    add(&mut flat, String::new(), &serde_json::to_value(policy).unwrap_or_default());
    flat
}

fn add(flat: &mut BTreeMap<String, String>, key: String, value: &Value) {
    let inner = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    let text = match value {
        Value::Object(map) => {
            for (name, value) in map {
                add(flat, inner(name), value);
            }
            return;
        }
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if LENGTHS.contains(&key.as_str()) => {
            number.as_u64().map_or_else(|| number.to_string(), |all| Nanoseconds(all).to_string())
        }
        other => other.to_string(),
    };
    flat.insert(key, text);
}

#[cfg(test)]
mod tests {
    use diagnostics::SourceId;

    use super::*;

    fn read(text: &str) -> Policy {
        policy::config::read(text, SourceId(0)).unwrap()
    }

    #[test]
    fn what_differs_is_told_by_key_in_the_words_of_the_file() {
        let live = read("preset: recommended\n");
        assert_eq!(changes(&live, &live), []);
        let other = read(
            "preset: recommended\nscaling: {target: 7, scale_in_after: 5min}\n\
             rollout: {warm_up: 1min 30s}\n",
        );
        let told: Vec<String> = changes(&live, &other)
            .into_iter()
            .map(|one| format!("{} {} {}", one.key, one.before.unwrap(), one.after.unwrap()))
            .collect();
        assert_eq!(
            told,
            ["rollout.warm_up 30s 90s", "scaling.scale_in_after 10min 5min", "scaling.target 10 7"]
        );
    }

    /// A length that is none of those that are known would be shown in nanoseconds.
    #[test]
    fn no_long_number_is_shown() {
        for policy in [Policy::recommended(), Policy::original()] {
            for (key, value) in flat(&policy) {
                let is_length = value.bytes().all(|byte| byte.is_ascii_digit()) && value.len() > 7;
                assert!(!is_length || value == u32::MAX.to_string(), "{key}: {value}");
            }
        }
    }
}
