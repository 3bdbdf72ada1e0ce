//! Exit codes: one table, printed by `simulator exit-codes`.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It has been done.
    Done,
    /// Wrong arguments.
    Usage,
    /// Something the user wrote can't be used; nothing was run.
    InvalidInput,
    /// This machine lacks something, or a file can't be written.
    Environment,
    /// A comparison found an objective that moved.
    Regression,
    /// A comparison could prove neither.
    Inconclusive,
    /// What was to be compared isn't of the same scenario and model.
    OtherBaseline,
    /// Nothing that was tried meets the conditions.
    Unmet,
    /// Ctrl-C.
    Stopped,
}

const ALL: &[(Exit, u8, &str)] = &[
    (Exit::Done, 0, "done"),
    (Exit::Usage, 2, "wrong arguments"),
    (Exit::InvalidInput, 3, "scenario, policy, trace or parameter are invalid; nothing was run"),
    (Exit::Environment, 5, "a file can't be read or written, or this machine lacks something"),
    (Exit::Regression, 6, "compare: an objective got worse by more than its margin"),
    (Exit::Inconclusive, 7, "compare, capacity: not enough runs to tell; more replications may"),
    (
        Exit::OtherBaseline,
        8,
        "compare: the baseline is of another scenario or model; record it anew",
    ),
    (Exit::Unmet, 9, "capacity, tune: nothing that was tried meets the conditions"),
    (Exit::Stopped, 130, "stopped by Ctrl-C; what was printed and written is partial"),
];

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        let code = ALL.iter().find(|(known, ..)| *known == exit).map_or(1, |(_, code, _)| *code);
        ExitCode::from(code)
    }
}

/// The table for people.
pub fn table() -> String {
    let mut text = String::from("code  meaning\n   1  a defect of simulator itself\n");
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
