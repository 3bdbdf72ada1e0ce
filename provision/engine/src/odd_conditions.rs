//! Conditions whose value is no boolean: Ansible 2.18 takes them as true or false and says so, 2.19
//! refuses them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use diagnostics::{Sources, Span};

/// How a condition is written: Ansible's words for where it is depend on that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// As text, of which Ansible knows the place.
    Text,
    /// As a number or the like: Ansible tells the place of the task.
    Value,
    /// The same among the arguments of `assert`: Ansible tells no place. Holds what is written.
    Argument(String),
}

/// One of them.
#[derive(Debug)]
pub struct OddCondition {
    span: Span,
    written: Written,
    of: &'static str,
    holds: bool,
}

/// Such conditions of a run.
#[derive(Debug, Default)]
pub struct OddConditions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What each was told of: an evaluation may be repeated, and there are many hosts.
    known: HashSet<(Span, &'static str, bool)>,
    waiting: Vec<OddCondition>,
}

/// Why one fails its task where they are refused.
#[must_use]
pub fn refusal(of: &str) -> String {
    format!(
        "Conditional result was of type '{of}'. Conditional results must be True or False while \
         `allow_broken_conditionals` is off; compare it with something"
    )
}

impl OddConditions {
    /// Remembers one, to be told.
    pub fn note(&self, span: Span, written: Written, of: &'static str, holds: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.known.insert((span, of, holds)) {
            state.waiting.push(OddCondition { span, written, of, holds });
        }
    }

    /// Those that are still to be told.
    #[must_use]
    pub fn take(&self) -> Vec<OddCondition> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting)
    }
}

impl OddCondition {
    /// What is told of it.
    #[must_use]
    pub fn message(&self, sources: &Sources) -> String {
        let place = sources.place(self.span);
        let location = match &self.written {
            Written::Text => format!("location {place}"),
            Written::Value => format!("approximate location {place}"),
            Written::Argument(text) => {
                format!("unknown location (conditional: {text}, at {place})")
            }
        };
        format!(
            "Conditional result at {location} was of type '{}'. Conditional results should only be \
             True or False. The result was interpreted as {}; ansible-core 2.19 refuses it.",
            self.of,
            if self.holds { "True" } else { "False" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_once_with_its_place() {
        let mut sources = Sources::default();
        let source = sources.add("site.yml", "- debug:\n  when: 1 + 1\n");
        let at = |start| Span::new(source, start, start + 1);
        let odd = OddConditions::default();
        for _ in 0..2 {
            odd.note(at(17), Written::Text, "int", true);
            odd.note(at(21), Written::Value, "str", false);
            odd.note(at(2), Written::Argument("1".into()), "int", true);
        }
        let told: Vec<String> = odd.take().iter().map(|odd| odd.message(&sources)).collect();
        assert_eq!(told.len(), 3);
        for (told, expected) in told.iter().zip([
            "result at location site.yml:2:9 was of type 'int'.",
            "result at approximate location site.yml:2:13 was of type 'str'.",
            "result at unknown location (conditional: 1, at site.yml:1:3) was of type 'int'.",
        ]) {
            assert!(told.contains(expected), "{told}");
        }
        assert!(told[0].contains("as True") && told[1].contains("as False"), "{told:?}");
        assert!(odd.take().is_empty());
        odd.note(at(17), Written::Text, "str", true);
        assert_eq!(odd.take().len(), 1);
    }
}
