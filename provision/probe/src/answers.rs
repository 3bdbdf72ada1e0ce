//! Answers as the engine registered them: results of modules, by the name of the question.

use std::collections::BTreeMap;

use provision_lifecycle::Version;
use serde_json::Value;

use crate::questions::RELEASE_MARK;

/// Results by question.
#[derive(Debug, Clone, Default)]
pub struct Answers(pub BTreeMap<String, Value>);

impl Answers {
    fn get(&self, question: &str, field: &str) -> Option<&Value> {
        self.0.get(question)?.get(field)
    }

    pub(crate) fn text(&self, question: &str, field: &str) -> Option<&str> {
        self.get(question, field)?.as_str()
    }

    /// The answer of a port.
    pub(crate) fn answer(&self, question: &str) -> Option<&str> {
        self.text(question, "answer")
    }

    /// What a module says is wrong.
    pub(crate) fn error(&self, question: &str) -> Option<String> {
        let failed = self.get(question, "failed")?.as_bool()?;
        failed.then(|| self.text(question, "msg").unwrap_or("it failed").to_owned())
    }

    /// What the role itself says.
    pub(crate) fn told(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn exit_code(&self, question: &str) -> Option<i64> {
        self.get(question, "rc")?.as_i64()
    }

    /// The status of a web service's answer.
    pub(crate) fn status(&self, question: &str) -> Option<u64> {
        self.get(question, "status")?.as_u64()
    }

    /// The parsed body of a web service's answer, if it was a good one.
    pub(crate) fn body(&self, question: &str) -> Option<Value> {
        let status = self.status(question)?;
        // Autopilot answers 429 with all it knows when some server is unhealthy.
        if !matches!(status, 200 | 429) {
            return None;
        }
        // And then it doesn't say that this is JSON.
        let parsed = || serde_json::from_str(self.text(question, "content")?).ok();
        self.get(question, "json").cloned().or_else(parsed)
    }

    /// What the inventory wants, as text.
    pub(crate) fn wanted(&self, question: &str, name: &str) -> Option<String> {
        match self.get(question, "msg")?.get(name)? {
            Value::String(text) => Some(text.trim().to_owned()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    pub(crate) fn exists(&self, question: &str) -> Option<bool> {
        self.get(question, "stat")?.get("exists")?.as_bool()
    }

    /// Where a link leads.
    pub(crate) fn link(&self, question: &str) -> Option<String> {
        let stat = self.get(question, "stat")?;
        let target = stat.get("lnk_target").or_else(|| stat.get("lnk_source"))?;
        target.as_str().map(str::to_owned)
    }

    /// Versions of the folders whose mark was found, ascending.
    pub(crate) fn releases(&self, question: &str) -> Vec<Version> {
        let found = self.get(question, "files").and_then(Value::as_array);
        let path = |entry: &Value| entry.get("path")?.as_str().map(str::to_owned);
        let mut versions: Vec<Version> = found
            .into_iter()
            .flatten()
            .filter_map(path)
            .filter_map(|path| {
                let folder = path.strip_suffix(RELEASE_MARK)?.strip_suffix('/')?;
                crate::version_of_path(folder)
            })
            .collect();
        versions.sort();
        versions
    }
}
