//! What tasks write, read from the agents of their machines: `/state` says where the sandbox of a task
//! is, and `/files/read` has its files part by part. Both have been so since Mesos 0.28; tasks that have
//! ended are told, too, as long as their sandboxes are there.

use std::io::{self, Read as _};
use std::time::Duration;

use mesos::FrameworkId;
use serde_json::Value;
use ureq::Agent;

use crate::file_part::{FilePart, parse};

/// The port of agents whose machines are named without one.
pub const AGENT_PORT: u16 = 5051;

/// Time for a connection to an agent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for an answer of an agent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// The largest page of an agent that is read.
const STATE_MOST_BYTES: u64 = 64 << 20;

/// An agent gives at most 16 pages of memory at a time (`files.cpp`).
const PART_MOST_BYTES: u64 = 64 << 10;

/// A part as JSON: each byte may be written as six.
const PART_JSON_MOST_BYTES: u64 = 8 * PART_MOST_BYTES;

/// The most that is looked through for the beginning of the last lines.
const LOOK_BACK_MOST_BYTES: u64 = 4 << 20;

/// Why output can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The agent doesn't answer.
    #[error("the agent at {agent} doesn't answer: {why}")]
    Away {
        /// Host and port.
        agent: String,
        /// What is wrong.
        why: String,
    },
    /// The agent answers that it won't.
    #[error("the agent at {agent} answers {status}")]
    Refused {
        /// Host and port.
        agent: String,
        /// Of HTTP.
        status: u16,
    },
    /// The agent answers with something else.
    #[error("the agent at {agent} answers with what is no answer: {why}")]
    Strange {
        /// Host and port.
        agent: String,
        /// What is wrong.
        why: String,
    },
    /// The agent doesn't know the task, or has removed its sandbox.
    #[error("the agent at {agent} has no sandbox of {task}, or not any more")]
    Gone {
        /// Host and port.
        agent: String,
        /// The task.
        task: String,
    },
}

/// A file in the sandbox of a task, and how far it was read.
#[derive(Debug)]
pub struct SandboxTail {
    agent: Agent,
    /// Host and port.
    authority: String,
    task: String,
    /// The whole path of the file, as the agent names it.
    path: String,
    offset: u64,
}

impl SandboxTail {
    /// Finds the sandbox of a task. `machine` is named as offers of it are: its host, and the agent's
    /// port if it isn't the usual one.
    ///
    /// # Errors
    /// The agent doesn't answer, or knows nothing of the task.
    pub fn find(
        machine: &str,
        framework: &FrameworkId,
        task: &str,
        file: &str,
    ) -> Result<Self, SandboxError> {
        let authority = match machine.contains(':') {
            true => machine.to_owned(),
            false => format!("{machine}:{AGENT_PORT}"),
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT))
            .proxy(None)
            .build()
            .into();
        let mut found =
            SandboxTail { agent, authority, task: task.to_owned(), path: String::new(), offset: 0 };
        let body = found.get("/state", STATE_MOST_BYTES)?;
        let state: Value =
            serde_json::from_slice(&body).map_err(|error| found.strange(error.to_string()))?;
        let folder = directory(&state, &framework.value, task).ok_or_else(|| found.gone())?;
        found.path = format!("{}/{file}", folder.trim_end_matches('/'));
        // A sandbox may be gone while the agent still tells of it.
        found.read(0, 0)?;
        Ok(found)
    }

    /// Goes to the beginning of the last lines.
    ///
    /// # Errors
    /// The agent doesn't answer, or the file is gone.
    pub fn last_lines(&mut self, lines: usize) -> Result<(), SandboxError> {
        let end = self.length()?;
        let (mut at, mut found) = (end, 0_usize);
        self.offset = end;
        while at > 0 && end - at < LOOK_BACK_MOST_BYTES {
            let from = at.saturating_sub(PART_MOST_BYTES);
            let bytes = self.read(from, at - from)?;
            for (place, byte) in bytes.iter().enumerate().rev() {
                let after = from.saturating_add(place as u64).saturating_add(1);
                // A newline at the very end ends the last line, and begins none.
                if *byte == b'\n' && after < end {
                    found += 1;
                    if found == lines {
                        self.offset = after;
                        return Ok(());
                    }
                }
            }
            at = from;
        }
        if lines > 0 {
            self.offset = at;
        }
        Ok(())
    }

    /// What comes next; nothing if there is no more for now.
    ///
    /// # Errors
    /// The agent doesn't answer, or the file is gone.
    pub fn next_part(&mut self) -> Result<Vec<u8>, SandboxError> {
        let bytes = self.read(self.offset, PART_MOST_BYTES)?;
        if bytes.is_empty() && self.offset > 0 && self.length()? < self.offset {
            // It is another file by now: a full one was put aside.
            self.offset = 0;
            return self.next_part();
        }
        self.offset = self.offset.saturating_add(bytes.len() as u64);
        Ok(bytes)
    }

    /// The length of the file: an agent says it when it is asked for what is at -1.
    fn length(&self) -> Result<u64, SandboxError> {
        self.part("-1", 0).map(|part| part.offset)
    }

    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, SandboxError> {
        self.part(&offset.to_string(), length).map(|part| part.data)
    }

    fn part(&self, offset: &str, length: u64) -> Result<FilePart, SandboxError> {
        let path = encoded(&self.path);
        let target = format!("/files/read?path={path}&offset={offset}&length={length}");
        let body = self.get(&target, PART_JSON_MOST_BYTES)?;
        parse(&body).ok_or_else(|| self.strange("it is no part of a file".to_owned()))
    }

    fn get(&self, target: &str, most_bytes: u64) -> Result<Vec<u8>, SandboxError> {
        let authority = &self.authority;
        let away = |why: String| SandboxError::Away { agent: authority.clone(), why };
        let response = self.agent.get(format!("http://{authority}{target}")).call();
        let mut response = response.map_err(|error| away(error.to_string()))?;
        match response.status().as_u16() {
            200 => {}
            404 => return Err(self.gone()),
            status => return Err(SandboxError::Refused { agent: authority.clone(), status }),
        }
        let mut body = Vec::new();
        let read = response.body_mut().as_reader().take(most_bytes).read_to_end(&mut body);
        let length = read.map_err(|error: io::Error| away(error.to_string()))?;
        if length as u64 >= most_bytes {
            return Err(self.strange(format!("it is {most_bytes} bytes or more")));
        }
        Ok(body)
    }

    fn strange(&self, why: String) -> SandboxError {
        SandboxError::Strange { agent: self.authority.clone(), why }
    }

    fn gone(&self) -> SandboxError {
        SandboxError::Gone { agent: self.authority.clone(), task: self.task.clone() }
    }
}

/// The folder of a task, as an agent's `/state` tells it: of the executor with its name, or of the one
/// that has or had it. Of several the last one told, which is the newest.
fn directory(state: &Value, framework: &str, task: &str) -> Option<String> {
    let list = |value: &Value, name: &str| -> Vec<Value> {
        value.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let is = |value: &Value, id: &str| value.get("id").and_then(Value::as_str) == Some(id);
    let has_task = |executor: &Value| {
        let lists = ["tasks", "queued_tasks", "completed_tasks"];
        lists.iter().any(|name| list(executor, name).iter().any(|one| is(one, task)))
    };
    for frameworks in ["frameworks", "completed_frameworks"] {
        for found in list(state, frameworks).iter().filter(|one| is(one, framework)) {
            for executors in ["executors", "completed_executors"] {
                let executors = list(found, executors);
                let mut known = executors.iter().filter(|one| is(one, task) || has_task(one));
                let folder = known.next_back().and_then(|one| one.get("directory"));
                if let Some(folder) = folder.and_then(Value::as_str) {
                    return Some(folder.to_owned());
                }
            }
        }
    }
    None
}

/// A text as a value of a query.
fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes().fold(String::new(), |mut out, byte| {
        match is_plain(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_folder_of_a_task_is_found() {
        let executor = |id: &str, folder: &str| json!({"id": id, "directory": folder});
        let state = json!({
            "frameworks": [
                {"id": "other", "executors": [executor("web.1", "/other")]},
                {
                    "id": "f",
                    "executors": [
                        executor("web.2", "/two"),
                        {"id": "own", "directory": "/own", "tasks": [{"id": "web.4"}]},
                    ],
                    "completed_executors": [executor("web.1", "/old"), executor("web.1", "/new")],
                },
            ],
            "completed_frameworks": [{"id": "g", "completed_executors": [executor("web.1", "/g")]}],
        });
        let found = |framework, task| directory(&state, framework, task);
        assert_eq!(found("f", "web.2").as_deref(), Some("/two"));
        assert_eq!(found("f", "web.1").as_deref(), Some("/new"));
        assert_eq!(found("f", "web.4").as_deref(), Some("/own"));
        assert_eq!(found("g", "web.1").as_deref(), Some("/g"));
        assert_eq!(found("f", "web.3"), None);
        assert_eq!(directory(&json!([]), "f", "web.3"), None);
    }

    #[test]
    fn a_path_is_written_as_a_value() {
        assert_eq!(encoded("/a/b c&d=é"), "/a/b%20c%26d%3D%C3%A9");
    }
}
