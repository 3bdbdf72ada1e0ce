//! What happens, as events of Marathon.

use serde_json::{Value, json};

/// Something that happened, as the scheduler's journal tells it.
#[derive(Debug, Clone, Copy)]
pub struct Happened<'a> {
    /// `app`, `deployment`, `instance`, …
    pub kind: &'a str,
    /// The name of the app or instance.
    pub subject: &'a str,
    /// What it is now.
    pub state: &'a str,
    /// When, as RFC 3339 writes it.
    pub at: &'a str,
    /// The machine of an instance.
    pub machine: Option<&'a str>,
    /// The number of a version.
    pub version: Option<u32>,
    /// Why.
    pub text: Option<&'a str>,
}

/// The event of Marathon, with its type; none if Marathon has none like it.
#[must_use]
pub fn event(happened: Happened<'_>) -> Option<(&'static str, Value)> {
    let Happened { kind, subject, state, at, machine, version, text } = happened;
    let id = || format!("{subject}.v{}", version.unwrap_or(0));
    let shown = match (kind, state) {
        ("deployment", "begun") => {
            let app = format!("/{subject}");
            let step = json!({"actions": [{"action": "RestartApplication", "app": app}]});
            let group = json!({"id": "/", "version": at, "apps": [], "groups": [], "pods": [],
                               "dependencies": []});
            let plan = json!({"id": id(), "version": at, "original": group, "target": group,
                              "steps": [step]});
            ("deployment_info", json!({"plan": plan, "currentStep": step}))
        }
        ("deployment", "done") => ("deployment_success", json!({"id": id()})),
        ("deployment", _) => ("deployment_failed", json!({"id": id(), "reason": text})),
        ("app", "gone") => ("app_terminated_event", json!({"appId": format!("/{subject}")})),
        ("instance", state) => {
            let status = match state {
                "intended" | "launching" => "TASK_STAGING",
                "running" => "TASK_RUNNING",
                "killing" => "TASK_KILLING",
                "gone" => end(text.unwrap_or_default()),
                _ => return None,
            };
            let app = subject.rsplit_once('.').map_or(subject, |(app, _)| app);
            (
                "status_update_event",
                json!({"taskId": subject, "appId": format!("/{app}"), "taskStatus": status,
                       "slaveId": machine, "host": machine, "message": text.unwrap_or("")}),
            )
        }
        _ => return None,
    };
    let (name, mut fields) = shown;
    if let Value::Object(fields) = &mut fields {
        fields.insert("eventType".to_owned(), name.into());
        fields.insert("timestamp".to_owned(), at.into());
    }
    Some((name, fields))
}

/// How an instance ended, by the words of its end.
fn end(words: &str) -> &'static str {
    let begins = |all: &[&str]| all.iter().any(|one| words.starts_with(one));
    if words == "it ended with code 0" {
        "TASK_FINISHED"
    } else if begins(&["it is lost", "nobody knows", "its machine is gone", "its machine was"]) {
        "TASK_LOST"
    } else if begins(&[
        "it ended with",
        "it was ended by signal",
        "it took",
        "it could",
        "it failed",
    ]) {
        "TASK_FAILED"
    } else {
        "TASK_KILLED"
    }
}

#[cfg(test)]
mod tests {
    use scheduler_core::instance::{End, Exit};

    use super::*;

    #[test]
    fn ends() {
        for (how, status) in [
            (End::Exited(Exit::Code(0)), "TASK_FINISHED"),
            (End::Exited(Exit::Code(1)), "TASK_FAILED"),
            (End::Exited(Exit::Signal(9)), "TASK_FAILED"),
            (End::Exited(Exit::OutOfMemory), "TASK_FAILED"),
            (End::Exited(Exit::NotStarted("x".to_owned())), "TASK_FAILED"),
            (End::Exited(Exit::Failed("x".to_owned())), "TASK_FAILED"),
            (End::Exited(Exit::Lost("x".to_owned())), "TASK_LOST"),
            (End::Lost, "TASK_LOST"),
            (End::MachineGone, "TASK_LOST"),
            (End::MachineForgotten, "TASK_LOST"),
            (End::Upgraded, "TASK_KILLED"),
            (End::ScaledIn, "TASK_KILLED"),
            (End::Drained, "TASK_KILLED"),
            (End::Moved, "TASK_KILLED"),
            (End::ByUser, "TASK_KILLED"),
            (End::Unhealthy, "TASK_KILLED"),
        ] {
            assert_eq!(end(&how.to_string()), status, "{how}");
        }
    }

    #[test]
    fn what_marathon_has_none_of_is_left_out() {
        let happened = Happened {
            kind: "deployment",
            subject: "web",
            state: "done",
            at: "2026-11-28T15:06:12Z",
            machine: None,
            version: Some(2),
            text: Some("done"),
        };
        let (name, data) = event(happened).unwrap();
        assert_eq!(name, "deployment_success");
        assert_eq!(data["id"], "web.v2");
        assert_eq!(data["eventType"], name);
        assert!(event(Happened { kind: "machine", ..happened }).is_none());
        assert!(event(Happened { kind: "instance", state: "serving", ..happened }).is_none());
    }
}
