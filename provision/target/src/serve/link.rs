//! What a helper says to the helper of another user that it started, and hears from it. Contents
//! travel as content frames in the same channel. This is not part of the public protocol: both
//! ends are always the same program.

use provision_protocol::{Call, CallResult};
use serde::{Deserialize, Serialize};

/// What the parent says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToChild {
    /// Run this.
    Call(Box<Call>),
    /// No content with this digest will come.
    ContentRefused {
        /// Digest.
        sha256: String,
        /// Why.
        reason: String,
    },
    /// The answer to [`FromChild::Intent`].
    IntentRecorded {
        /// Why it could not be made durable.
        failure: Option<String>,
    },
    /// Stop the running call.
    Cancel,
    /// Nothing more will come.
    Bye,
}

/// What the child says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromChild {
    /// It runs as the wanted user. Always the first message.
    Ready {
        /// Its effective user id.
        uid: u32,
    },
    /// It could not become the wanted user.
    Refused {
        /// Why.
        reason: String,
    },
    /// The running call needs a content.
    NeedContent {
        /// Digest.
        sha256: String,
    },
    /// The running call is about to change the host and waits for the answer.
    Intent,
    /// The call ended.
    Result(Box<CallResult>),
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use provision_protocol::Object;

    /// A call with nothing special.
    pub(crate) fn call(id: u64, module: &str) -> Call {
        Call {
            id,
            task: id,
            generation: 0,
            ignore_failure: false,
            module: module.into(),
            arguments: Object::new(),
            r#become: None,
            environment: std::collections::BTreeMap::new(),
            check: false,
            diff: false,
            no_log: false,
            timeout_s: None,
            asynchronous: None,
            contents: Vec::new(),
            notify: Vec::new(),
            completes: Vec::new(),
        }
    }

    #[test]
    fn messages_survive_the_link() {
        let message = ToChild::Call(Box::new(call(1, "ping")));
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<ToChild>(&text).unwrap(), message);
    }
}
