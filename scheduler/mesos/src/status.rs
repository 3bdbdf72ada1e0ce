//! What a status of a task means.

use mesos::{StatusReason, StatusSource, TaskState, TaskStatus};
use scheduler_core::instance::Exit;

/// The longest text of an agent that is kept, in characters: it goes into records.
const TEXT_MOST: usize = 300;

/// What a status of a task means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// It is being started.
    Starting,
    /// It runs; and its check passes or doesn't, if it says so.
    Running(Option<bool>),
    /// It is being ended.
    Ending,
    /// It has ended, or there never was one.
    Ended(Exit),
    /// There never was one, and not by its own fault.
    NeverStarted(String),
    /// Nothing is heard of its agent.
    Unreachable,
    /// Its agent is gone for good, and it with it.
    AgentGone,
    /// The master knows neither it nor its agent.
    Unknown,
}

/// What a status of a task means.
#[must_use]
pub fn meaning(status: &TaskStatus) -> Meaning {
    match status.state() {
        TaskState::Staging | TaskState::Starting => Meaning::Starting,
        TaskState::Running => Meaning::Running(status.healthy),
        TaskState::Killing => Meaning::Ending,
        TaskState::Finished => Meaning::Ended(Exit::Code(0)),
        TaskState::Failed => Meaning::Ended(failed(status)),
        TaskState::Killed => Meaning::Ended(killed(status)),
        TaskState::Error => Meaning::Ended(Exit::NotStarted(text(status, "the master refused it"))),
        // "The task failed to launch because of a transient error": no executor has begun.
        TaskState::Dropped => match lost(status) {
            Exit::Lost(why) => Meaning::NeverStarted(why),
            exit => Meaning::Ended(exit),
        },
        TaskState::Lost | TaskState::Gone => Meaning::Ended(lost(status)),
        TaskState::Unreachable => Meaning::Unreachable,
        TaskState::GoneByOperator => Meaning::AgentGone,
        TaskState::Unknown => Meaning::Unknown,
    }
}

/// Whether the status says that the agent is being emptied.
pub(crate) fn is_draining(status: &TaskStatus) -> bool {
    reason(status) == Some(StatusReason::AgentDraining)
}

fn reason(status: &TaskStatus) -> Option<StatusReason> {
    status.reason.map(|_| status.reason())
}

fn failed(status: &TaskStatus) -> Exit {
    use StatusReason as Why;
    match reason(status) {
        Some(Why::ContainerLimitationMemory) => return Exit::OutOfMemory,
        Some(
            Why::ContainerLaunchFailed
            | Why::ContainerUpdateFailed
            | Why::ExecutorRegistrationTimeout
            | Why::TaskKilledDuringLaunch
            | Why::IoSwitchboardExited,
        ) => return Exit::NotStarted(text(status, "its container could not be started")),
        _ => {}
    }
    let message = status.message.as_deref().unwrap_or_default();
    if let Some(code) = number_after(message, "exited with status ") {
        return Exit::Code(code);
    }
    if let Some(signal) = message.split_once("terminated with signal ").and_then(signal) {
        return Exit::Signal(signal);
    }
    Exit::Failed(text(status, "its executor doesn't say why"))
}

fn killed(status: &TaskStatus) -> Exit {
    if status.healthy == Some(false) {
        return Exit::Failed("its check failed too often".to_owned());
    }
    match reason(status) {
        Some(StatusReason::AgentDraining) => Exit::Evicted("its agent is being drained".to_owned()),
        _ => Exit::Evicted(text(status, "it was killed")),
    }
}

/// A task that never started on a working agent is a failure, so that it isn't started again and
/// again without a pause; one whose offer or agent was gone isn't.
fn lost(status: &TaskStatus) -> Exit {
    use StatusReason as Why;
    let said = text(status, &format!("{} without a reason", status.state()));
    match reason(status) {
        Some(
            Why::ExecutorTerminated
            | Why::ExecutorUnregistered
            | Why::CommandExecutorFailed
            | Why::ContainerLaunchFailed
            | Why::ContainerUpdateFailed
            | Why::GcError
            | Why::TaskInvalid
            | Why::TaskUnauthorized
            | Why::TaskGroupInvalid
            | Why::TaskGroupUnauthorized,
        ) if status.source() != StatusSource::Master || status.state() != TaskState::Gone => {
            Exit::NotStarted(said)
        }
        _ => Exit::Lost(said),
    }
}

/// What the status says in words: one line of printable characters, not too long.
fn text(status: &TaskStatus, otherwise: &str) -> String {
    let said = status.message.as_deref().filter(|message| !message.is_empty());
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    said.unwrap_or(otherwise).chars().take(TEXT_MOST).map(plain).collect()
}

fn number_after(text: &str, words: &str) -> Option<i32> {
    let (_, rest) = text.split_once(words)?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

/// The number of a signal that is told by its description, as glibc has them (`strsignal`).
fn signal((_, description): (&str, &str)) -> Option<i32> {
    const SIGNALS: [(&str, i32); 21] = [
        ("Hangup", 1),
        ("Interrupt", 2),
        ("Quit", 3),
        ("Illegal instruction", 4),
        ("Trace/breakpoint trap", 5),
        ("Aborted", 6),
        ("Bus error", 7),
        ("Floating point exception", 8),
        ("Killed", 9),
        ("User defined signal 1", 10),
        ("Segmentation fault", 11),
        ("User defined signal 2", 12),
        ("Broken pipe", 13),
        ("Alarm clock", 14),
        ("Terminated", 15),
        ("Stack fault", 16),
        ("CPU time limit exceeded", 24),
        ("File size limit exceeded", 25),
        ("Virtual timer expired", 26),
        ("Profiling timer expired", 27),
        ("Bad system call", 31),
    ];
    SIGNALS.iter().find(|(name, _)| description.starts_with(name)).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use mesos::TaskId;

    use super::*;

    fn status(state: TaskState, reason: Option<StatusReason>, message: &str) -> TaskStatus {
        TaskStatus {
            task_id: TaskId::new("a.1"),
            state: state.into(),
            reason: reason.map(Into::into),
            message: Some(message.to_owned()).filter(|text| !text.is_empty()),
            ..TaskStatus::default()
        }
    }

    /// Messages and reasons are those of the recordings.
    #[test]
    fn ends_have_their_reasons() {
        use StatusReason as Why;
        use TaskState as State;
        let table = [
            (State::Finished, None, "Command exited with status 0", Exit::Code(0)),
            (State::Failed, None, "Command exited with status 3", Exit::Code(3)),
            (State::Failed, None, "Container exited with status 137", Exit::Code(137)),
            (State::Failed, None, "Command terminated with signal Killed", Exit::Signal(9)),
            (
                State::Failed,
                None,
                "Command terminated with signal Aborted (core dumped)",
                Exit::Signal(6),
            ),
            (
                State::Failed,
                Some(Why::ContainerLimitationMemory),
                "Memory limit exceeded",
                Exit::OutOfMemory,
            ),
            (
                State::Failed,
                Some(Why::ContainerLaunchFailed),
                "Failed to launch container: Failed to fetch all URIs",
                Exit::NotStarted("Failed to launch container: Failed to fetch all URIs".to_owned()),
            ),
            (State::Failed, None, "odd\nwords", Exit::Failed("odd words".to_owned())),
            (
                State::Killed,
                Some(Why::AgentDraining),
                "",
                Exit::Evicted("its agent is being drained".to_owned()),
            ),
            (State::Error, Some(Why::TaskInvalid), "bad", Exit::NotStarted("bad".to_owned())),
            (
                State::Dropped,
                Some(Why::ContainerLaunchFailed),
                "no",
                Exit::NotStarted("no".to_owned()),
            ),
            (
                State::Lost,
                Some(Why::ExecutorTerminated),
                "No such user",
                Exit::NotStarted("No such user".to_owned()),
            ),
            (
                State::Gone,
                Some(Why::Reconciliation),
                "",
                Exit::Lost("TASK_GONE without a reason".to_owned()),
            ),
        ];
        for (state, reason, message, exit) in table {
            let status = status(state, reason, message);
            assert_eq!(meaning(&status), Meaning::Ended(exit), "{status:?}");
        }
        let why = "Task launched with invalid offers";
        let dropped = status(State::Dropped, Some(Why::InvalidOffers), why);
        assert_eq!(meaning(&dropped), Meaning::NeverStarted(why.to_owned()));
        let unhealthy =
            TaskStatus { healthy: Some(false), ..status(State::Killed, None, "terminated") };
        let failed = Exit::Failed("its check failed too often".to_owned());
        assert_eq!(meaning(&unhealthy), Meaning::Ended(failed));
    }

    #[test]
    fn every_state_has_a_meaning() {
        use TaskState as State;
        let of = |state| meaning(&status(state, None, ""));
        assert_eq!(of(State::Staging), Meaning::Starting);
        assert_eq!(of(State::Starting), Meaning::Starting);
        assert_eq!(of(State::Running), Meaning::Running(None));
        assert_eq!(of(State::Killing), Meaning::Ending);
        assert_eq!(of(State::Unreachable), Meaning::Unreachable);
        assert_eq!(of(State::GoneByOperator), Meaning::AgentGone);
        assert_eq!(of(State::Unknown), Meaning::Unknown);
    }
}
