//! Known secrets are taken out of events before anybody sees them: terminal, NDJSON and journal
//! get the same redacted event.
//!
//! What came out of a vault is known; so are its base64, URL and JSON forms. Names of hosts,
//! modules and places stay: readers of events tell hosts apart by them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use provision_protocol::{Diff, Object};
use serde_json::Value as Json;

use crate::event::{Event, HostResult};

/// What stands where a secret stood.
pub const MARKER: &str = "‹secret›";

/// Shorter values are no secrets, in bytes: hiding them would make all output unreadable.
pub const SECRET_LEAST_BYTES: usize = 4;

/// Lines of values with several lines are hidden on their own from this length on, in bytes: a
/// key is printed line by line, but `{` or `fi` give nothing away.
pub const LINE_LEAST_BYTES: usize = 8;

/// Pieces of base64 that begin in the middle of a group count from this length on, in characters.
const BASE64_PIECE_LEAST: usize = 8;

/// The secrets that are known so far.
#[derive(Default)]
pub struct KnownSecrets {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    values: BTreeSet<String>,
    /// Finds all forms of all values; `None` if values have come since it was made.
    finder: Option<Arc<AhoCorasick>>,
}

/// Nothing of what is known.
impl std::fmt::Debug for KnownSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownSecrets").finish_non_exhaustive()
    }
}

impl KnownSecrets {
    /// Remembers a secret; of several lines, also each long one.
    pub fn keep(&self, value: &str) {
        let value = value.trim();
        let lines = value.lines().map(str::trim).filter(|line| line.len() >= LINE_LEAST_BYTES);
        let several = value.contains('\n');
        let whole = (value.len() >= SECRET_LEAST_BYTES).then_some(value);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for text in whole.into_iter().chain(lines.filter(|_| several)) {
            if !state.values.contains(text) {
                state.values.insert(text.to_owned());
                state.finder = None;
            }
        }
    }

    fn finder(&self) -> Option<Arc<AhoCorasick>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.values.is_empty() {
            return None;
        }
        if state.finder.is_none() {
            let mut forms = BTreeSet::new();
            state.values.iter().for_each(|value| add_forms(value, &mut forms));
            let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(forms);
            // Only more patterns than memory has room for can't be built.
            state.finder = finder.ok().map(Arc::new);
        }
        state.finder.clone()
    }

    /// A text without secrets.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        match self.finder() {
            Some(finder) => replaced(&finder, text).unwrap_or_else(|| text.to_owned()),
            None => text.to_owned(),
        }
    }

    /// The event without secrets; `None` if it can stay as it is.
    #[must_use]
    pub fn event(&self, event: &Event) -> Option<Event> {
        let finder = self.finder()?;
        let mut event = event.clone();
        match &mut event {
            Event::RunStarted { command: Some(command), .. } => {
                command.words.iter_mut().for_each(|word| clean_text(&finder, word));
            }
            Event::RunStarted { command: None, .. }
            | Event::HostConnected { .. }
            | Event::Retrying { .. }
            | Event::Polled { .. }
            | Event::TaskFinished { .. }
            | Event::RunFinished { .. } => return None,
            Event::PlayStarted { name, .. } | Event::TaskStarted { name, .. } => {
                clean_text(&finder, name);
            }
            Event::ItemResult(result) | Event::Result(result) => clean_result(&finder, result),
            Event::Warning { message, .. } => clean_text(&finder, message),
            Event::HostUnreachable { message, hint, .. } => {
                clean_text(&finder, message);
                hint.iter_mut().for_each(|hint| clean_text(&finder, hint));
            }
        }
        Some(event)
    }
}

fn clean_result(finder: &AhoCorasick, result: &mut HostResult) {
    result.item.iter_mut().for_each(|item| clean_text(finder, item));
    result.message.iter_mut().for_each(|message| clean_text(finder, message));
    clean_object(finder, &mut result.result);
    for diff in &mut result.diff {
        let Diff { before, after, before_header, after_header, attributes } = diff;
        let attributes = attributes.iter_mut().flat_map(|attributes| attributes.iter_mut());
        attributes.for_each(|object| clean_object(finder, object));
        clean_text(finder, before);
        clean_text(finder, after);
        before_header.iter_mut().for_each(|header| clean_text(finder, header));
        after_header.iter_mut().for_each(|header| clean_text(finder, header));
    }
}

fn clean_object(finder: &AhoCorasick, object: &mut Object) {
    if object.keys().any(|key| finder.is_match(key.as_str())) {
        let entries = std::mem::take(object);
        for (mut key, value) in entries {
            clean_text(finder, &mut key);
            object.insert(key, value);
        }
    }
    object.values_mut().for_each(|value| clean_json(finder, value));
}

fn clean_json(finder: &AhoCorasick, value: &mut Json) {
    match value {
        Json::String(text) => clean_text(finder, text),
        Json::Array(items) => items.iter_mut().for_each(|item| clean_json(finder, item)),
        Json::Object(object) => clean_object(finder, object),
        Json::Number(number) => {
            let text = number.to_string();
            let is_secret = |found: aho_corasick::Match| found.range() == (0..text.len());
            if finder.find(&text).is_some_and(is_secret) {
                *value = Json::String(MARKER.to_owned());
            }
        }
        Json::Null | Json::Bool(_) => {}
    }
}

fn clean_text(finder: &AhoCorasick, text: &mut String) {
    if let Some(clean) = replaced(finder, text) {
        *text = clean;
    }
}

/// The text with markers; `None` if there is nothing to hide.
fn replaced(finder: &AhoCorasick, text: &str) -> Option<String> {
    finder.is_match(text).then(|| {
        let mut clean = String::with_capacity(text.len());
        finder.replace_all_with(text, &mut clean, |_, _, clean| {
            clean.push_str(MARKER);
            true
        });
        clean
    })
}

/// The forms in which a value may be printed.
fn add_forms(value: &str, forms: &mut BTreeSet<String>) {
    forms.insert(value.to_owned());
    let json = Json::String(value.to_owned()).to_string();
    let json = json.trim_start_matches('"');
    let json = json.strip_suffix('"').unwrap_or(json);
    forms.insert(json.to_owned());
    forms.insert(ascii_escaped(json));
    for (upper, kept, plus) in [
        (true, "-_.~", false),
        (true, "-_.~/", false),
        (true, "-_.~", true),
        (false, "-_.~", false),
    ] {
        forms.insert(url_form(value, upper, kept, plus));
    }
    for engine in [&STANDARD, &URL_SAFE] {
        add_base64(value.as_bytes(), engine, forms);
    }
}

/// Python's and Java's JSON: everything beyond ASCII as `\uXXXX`.
fn ascii_escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            escaped.push_str(&format!("\\u{unit:04x}"));
        }
    }
    escaped
}

fn url_form(value: &str, upper: bool, kept: &str, plus: bool) -> String {
    let mut form = String::with_capacity(value.len());
    for byte in value.bytes() {
        match char::from(byte) {
            ' ' if plus => form.push('+'),
            character if character.is_ascii_alphanumeric() || kept.contains(character) => {
                form.push(character);
            }
            _ if upper => form.push_str(&format!("%{byte:02X}")),
            _ => form.push_str(&format!("%{byte:02x}")),
        }
    }
    form
}

/// The base64 of a value, alone and inside of something longer (`user:password`): there it begins
/// at any of three places in a group, and only characters that depend on it alone are sought.
fn add_base64(value: &[u8], engine: &base64::engine::GeneralPurpose, forms: &mut BTreeSet<String>) {
    let alone = engine.encode(value);
    forms.insert(alone.trim_end_matches('=').to_owned());
    forms.insert(alone);
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(value);
        let encoded = engine.encode(&bytes);
        let first = (before * 8).div_ceil(6);
        let end = bytes.len() * 8 / 6;
        if let Some(piece) = encoded.get(first..end)
            && piece.len() >= BASE64_PIECE_LEAST
        {
            forms.insert(piece.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{KnownSecrets, MARKER};
    use crate::event::{Event, HostResult, Status};

    fn known(values: &[&str]) -> KnownSecrets {
        let known = KnownSecrets::default();
        values.iter().for_each(|value| known.keep(value));
        known
    }

    #[test]
    fn all_forms_are_found() {
        let known = known(&["pä\"ss wörd/1", "-----BEGIN-----\nabcdefghij\n}\n-----END-----\n"]);
        for text in [
            "pä\"ss wörd/1",
            r#"pä\"ss wörd/1"#,
            r#"p\u00e4\"ss w\u00f6rd/1"#,
            "p%C3%A4%22ss%20w%C3%B6rd%2F1",
            "p%C3%A4%22ss%20w%C3%B6rd/1",
            "p%C3%A4%22ss+w%C3%B6rd%2F1",
            "p%c3%a4%22ss%20w%c3%b6rd%2f1",
            "cMOkInNzIHfDtnJkLzE=",
            "cMOkInNzIHfDtnJkLzE",
            "abcdefghij",
        ] {
            assert_eq!(known.text(&format!("<{text}>")), format!("<{MARKER}>"), "{text}");
        }
        assert_eq!(known.text("} fi"), "} fi");
    }

    #[test]
    fn base64_of_something_longer_is_found() {
        use base64::Engine;
        let known = known(&["a long password"]);
        for around in ["", "x", "xy", "xyz", "user:"] {
            let text = format!("{around}a long password{around}");
            let encoded = base64::engine::general_purpose::STANDARD.encode(text);
            assert!(known.text(&encoded).contains(MARKER), "{around}");
        }
    }

    #[test]
    fn short_values_are_no_secrets() {
        let known = known(&["abc", "  yes ", ""]);
        assert_eq!(known.text("abc yes"), "abc yes");
        assert!(known.event(&Event::TaskFinished { task: 1 }).is_none());
    }

    #[test]
    fn the_longest_secret_wins_and_new_ones_count_at_once() {
        let known = known(&["secret"]);
        assert_eq!(known.text("secret-two"), format!("{MARKER}-two"));
        known.keep("secret-two");
        assert_eq!(known.text("secret-two"), MARKER);
    }

    #[test]
    fn events_are_cleaned_everywhere_but_in_names_of_hosts() {
        let known = known(&["hunter2", "98765"]);
        let result = HostResult {
            task: 1,
            host: "hunter2".into(),
            delegate: None,
            delegate_address: None,
            item: Some("item hunter2".into()),
            status: Status::Changed,
            message: Some("it is hunter2".into()),
            result: json!({"stdout": "hunter2\n", "hunter2": 98765, "size": 198_765,
                           "list": [{"x": "aHVudGVyMg=="}]})
            .as_object()
            .cloned()
            .unwrap_or_default(),
            diff: vec![provision_protocol::Diff {
                before: "hunter2".into(),
                after: "hunter2\n".into(),
                before_header: Some("hunter2".into()),
                after_header: None,
                attributes: None,
            }],
            duration_us: 1,
        };
        let cleaned = known.event(&Event::Result(Box::new(result))).expect("there are secrets");
        let text = serde_json::to_string(&cleaned).expect("events are JSON");
        assert!(text.contains(r#""host":"hunter2""#), "{text}");
        assert_eq!(text.matches("hunter2").count(), 1, "{text}");
        assert!(!text.contains("aHVudGVyMg") && !text.contains(":98765"), "{text}");
        assert!(text.contains("198765"), "{text}");
    }
}
