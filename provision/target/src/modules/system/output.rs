//! Return values that show what a program said.

use provision_protocol::Object;
use serde_json::Value;

use super::process::Finished;
use super::words;

/// How much room one stream may take in the JSON of a result, in bytes. Both streams stand in it
/// twice (text and lines), and the frame that carries them holds 64 MiB.
const STREAM_LIMIT_BYTES: usize = 12 << 20;

/// Adds `stdout`, `stderr` and their lines. `strip` removes line ends at the end, as Ansible's
/// `strip_empty_ends`.
pub fn show(values: &mut Object, finished: &Finished, strip: bool) {
    let mut truncated = finished.truncated;
    for (name, bytes) in [("stdout", &finished.stdout), ("stderr", &finished.stderr)] {
        let text = String::from_utf8_lossy(bytes);
        let text = if strip { text.trim_end_matches(['\r', '\n']) } else { &text };
        let (text, cut) = fit(text, STREAM_LIMIT_BYTES);
        truncated |= cut;
        let lines: Vec<Value> = words::lines(text).into_iter().map(Value::from).collect();
        values.insert(name.to_owned(), text.into());
        values.insert(format!("{name}_lines"), lines.into());
    }
    if truncated {
        let warning = "the output was too long for a result; its end was cut off";
        values.insert("warnings".to_owned(), Value::Array(vec![warning.into()]));
    }
}

/// As much of a text as fits when it is written as JSON, and whether something was cut off.
fn fit(text: &str, limit: usize) -> (&str, bool) {
    // The longest escape takes six bytes.
    if text.len() <= limit / 6 {
        return (text, false);
    }
    let mut taken = 0_usize;
    for (at, character) in text.char_indices() {
        taken += match character {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            control if control < ' ' => 6,
            other => other.len_utf8(),
        };
        if taken > limit {
            return (text.get(..at).unwrap_or_default(), true);
        }
    }
    (text, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_stripped_only_if_asked_for() {
        let finished = Finished { stdout: b"a\n\n\n".to_vec(), ..Finished::default() };
        let mut values = Object::new();
        show(&mut values, &finished, true);
        assert_eq!(values["stdout"], "a");
        assert_eq!(values["stdout_lines"], serde_json::json!(["a"]));
        assert_eq!(values["stderr_lines"], serde_json::json!([]));
        show(&mut values, &finished, false);
        assert_eq!(values["stdout"], "a\n\n\n");
        assert_eq!(values["stdout_lines"], serde_json::json!(["a", "", ""]));
    }

    #[test]
    fn texts_are_cut_by_their_size_in_json() {
        assert_eq!(fit("abcdefghijklmnop", 8), ("abcdefgh", true));
        assert_eq!(fit("\u{1}\u{1}\u{1}", 12), ("\u{1}\u{1}", true));
        assert_eq!(fit("éé", 3), ("é", true));
        assert_eq!(fit("short", 30), ("short", false));
    }
}
