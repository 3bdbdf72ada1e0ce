//! `pause`: once for all hosts, for a time or until the operator says so.

use std::time::{Duration, Instant};

use provision_protocol::Object;
use serde_json::Value as Json;

use super::PlayRun;
use super::local::{Done, text};

/// What is asked if the task asks nothing.
const QUESTION: &str = "Press enter to continue, Ctrl+C to interrupt";
/// What is said where nobody can be asked, in Ansible's words.
const NOBODY: &str = "Not waiting for response to prompt as stdin is not interactive";
/// Longest pause, in seconds.
const LONGEST_S: f64 = 86_400.0;

impl PlayRun<'_> {
    /// Everything waits, as it does in Ansible.
    pub(super) fn pause(&mut self, arguments: &Object) -> Done {
        let began = Instant::now();
        let number = |name: &str| arguments.get(name).and_then(Json::as_f64);
        let (minutes, seconds) = (number("minutes"), number("seconds"));
        let echo = arguments.get("echo").and_then(Json::as_bool).unwrap_or(true);
        let prompt = text(arguments, "prompt");
        let mut answer = None;
        let stdout = match (minutes, seconds) {
            (None, None) => {
                let question = prompt.unwrap_or_else(|| QUESTION.to_owned());
                answer = self.shared.pause.as_ref().and_then(|ask| ask(&question, echo));
                if answer.is_none() {
                    self.shared.report.warn(None, NOBODY);
                }
                format!("Paused for {:.2} seconds", began.elapsed().as_secs_f64())
            }
            (minutes, seconds) => {
                if let Some(prompt) = prompt {
                    self.shared.report.warn(None, prompt);
                }
                let wanted = seconds.unwrap_or(0.0) + minutes.unwrap_or(0.0) * 60.0;
                std::thread::sleep(Duration::from_secs_f64(wanted.clamp(0.0, LONGEST_S)));
                match minutes {
                    Some(minutes) => format!("Paused for {minutes} minutes"),
                    None => format!("Paused for {wanted} seconds"),
                }
            }
        };
        let mut done = Done::with("changed", false);
        for (name, value) in [
            ("rc", 0.into()),
            ("stdout", Json::from(stdout)),
            ("stderr", "".into()),
            ("delta", began.elapsed().as_secs().into()),
            ("echo", echo.into()),
            ("user_input", answer.unwrap_or_default().into()),
        ] {
            done.result.insert(name.to_owned(), value);
        }
        done
    }
}
