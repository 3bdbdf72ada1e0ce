//! `[io]` The gate of policies: what `scenarios/gate/policy.yml` does now against its baselines.

use std::process::Command;

use super::rust::judge;
use super::{Context, Found};
use crate::error::Error;
use crate::{step, workspace};

/// Each scenario counts as a test.
pub(super) fn run(context: &Context) -> Result<Found, Error> {
    let programs = workspace::programs("policy-build", context.limit)?;
    let log = step::log("policy");
    let mut command = Command::new(programs.join("simulator"));
    command.args(["compare", "--baseline=scenarios/baselines"]).current_dir(workspace::root());
    command.arg("--markdown").arg(workspace::logs().join("policy.md"));
    let ended = step::run(&command, &log, context.limit)?;
    Ok(judge(&ended, &log, passed))
}

/// `pass: 3 scenarios compared`
fn passed(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("pass: "))?;
    Some((line.split(' ').next()?.parse().ok()?, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pass_counts() {
        assert_eq!(passed("x\n\npass: 3 scenarios compared\n"), Some((3, 0)));
        assert_eq!(passed("regression: 3 scenarios compared\n"), None);
        assert_eq!(passed(""), None);
    }
}
