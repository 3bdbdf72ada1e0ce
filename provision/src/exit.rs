//! Exit codes: one table, documented by `provision exit-codes`.

use provision_engine::event::Outcome;
use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything is as it should be.
    Done,
    /// Wrong arguments.
    Usage,
    /// Something the user wrote can't be used; nothing was touched.
    InvalidInput,
    /// `--check --exit-code`: something would change.
    WouldChange,
    /// This machine lacks something.
    Environment,
    /// What was asked for can't be done, or was not confirmed; nothing was touched.
    Refused,
    /// An archive can't be had, or is not what it should be.
    Artifact,
    /// Some hosts failed.
    Failed,
    /// Some hosts were unreachable.
    Unreachable,
    /// Both.
    FailedAndUnreachable,
    /// `max_fail_percentage` or `any_errors_fatal` ended the run.
    StoppedByLimit,
    /// An upgrade or rollback ended before its goal.
    ReleaseStopped,
    /// An upgrade or rollback waits for the operator.
    Paused,
    /// Ctrl-C.
    Interrupted,
}

const ALL: &[(Exit, u8, &str)] = &[
    (Exit::Done, 0, "done: every host is as it should be"),
    (Exit::Usage, 2, "wrong arguments"),
    (Exit::InvalidInput, 3, "playbook, inventory or variables are invalid; nothing was touched"),
    (Exit::WouldChange, 4, "with --exit-code: something would change, or is not as wanted"),
    (Exit::Environment, 5, "this machine lacks something the program needs"),
    (Exit::Refused, 6, "the request is refused, stale or not confirmed; nothing was touched"),
    (Exit::Artifact, 7, "an artifact can't be had, or is not what upstream or the lock says"),
    (Exit::Failed, 10, "some hosts failed"),
    (Exit::Unreachable, 11, "some hosts were unreachable"),
    (Exit::FailedAndUnreachable, 12, "some hosts failed, others were unreachable"),
    (Exit::StoppedByLimit, 13, "a failure limit (max_fail_percentage, any_errors_fatal) ended it"),
    (Exit::ReleaseStopped, 14, "an upgrade or rollback stopped before its goal; it says why"),
    (Exit::Paused, 15, "an upgrade or rollback is paused; `provision resume` goes on"),
    (Exit::Interrupted, 130, "interrupted by the operator"),
];

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        let code = ALL.iter().find(|(known, ..)| *known == exit).map_or(1, |(_, code, _)| *code);
        ExitCode::from(code)
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Exit::Done,
            Outcome::Failed => Exit::Failed,
            Outcome::Unreachable => Exit::Unreachable,
            Outcome::FailedAndUnreachable => Exit::FailedAndUnreachable,
            Outcome::StoppedByLimit => Exit::StoppedByLimit,
            Outcome::Interrupted => Exit::Interrupted,
        }
    }
}

/// The table for people.
pub fn table() -> String {
    let mut text = String::from("code  meaning\n");
    text.push_str("   1  a defect of provision itself\n");
    for (_, code, meaning) in ALL {
        text.push_str(&format!("{code:>4}  {meaning}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn codes_are_distinct() {
        let mut codes: Vec<u8> = ALL.iter().map(|(_, code, _)| *code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ALL.len());
    }
}
