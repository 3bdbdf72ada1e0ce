//! Exit codes: one table, printed by `scheduler exit-codes`.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It has been done.
    Done,
    /// Wrong arguments.
    Usage,
    /// Something the user wrote can't be used; nothing was changed.
    InvalidInput,
    /// This machine lacks something, or a file can't be read or written.
    Environment,
    /// The scheduler refuses it; nothing was changed.
    Refused,
    /// Decisions don't come out the same.
    Different,
    /// A deployment has failed.
    Failed,
    /// No scheduler answers.
    NoScheduler,
    /// Ctrl-C.
    Interrupted,
}

const ALL: &[(Exit, u8, &str)] = &[
    (Exit::Done, 0, "done"),
    (Exit::Usage, 2, "wrong arguments"),
    (Exit::InvalidInput, 3, "an app's file, a policy, a log or a snapshot is invalid"),
    (Exit::Environment, 5, "a file can't be read or written, or this machine lacks something"),
    (Exit::Refused, 6, "the scheduler refuses it; nothing was changed"),
    (
        Exit::Different,
        7,
        "policy replay: a decision doesn't come out the same; policy diff: there is a difference",
    ),
    (Exit::Failed, 10, "the deployment has failed, was superseded or stands still"),
    (Exit::NoScheduler, 30, "no scheduler answers"),
    (Exit::Interrupted, 130, "interrupted by Ctrl-C; what was asked for goes on"),
];

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        let code = ALL.iter().find(|(known, ..)| *known == exit).map_or(1, |(_, code, _)| *code);
        ExitCode::from(code)
    }
}

/// The table for people.
pub fn table() -> String {
    let mut text = String::from("code  meaning\n   1  a defect of scheduler itself\n");
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
