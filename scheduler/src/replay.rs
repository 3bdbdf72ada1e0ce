//! `scheduler policy replay`: each logged decision is made again by the same rules.

use std::collections::BTreeMap;
use std::path::Path;

use policy::config::Policy;
use scheduler_core::decision::{Decided, Decision, Difference};

use crate::exit::Exit;
use crate::serve::decisions::{FORMAT, policy_file};
use crate::{input, paint};

/// Differences that are told one by one.
const TOLD_MOST: usize = 20;

/// `scheduler policy replay`.
pub fn policy(log: &Path, policy: Option<&Path>) -> Exit {
    match replay(log, policy) {
        Ok(exit) => exit,
        Err((exit, message)) => {
            paint::error(&message, None);
            exit
        }
    }
}

fn replay(log: &Path, given: Option<&Path>) -> Result<Exit, (Exit, String)> {
    if !log.exists() {
        return Err((Exit::Environment, format!("there is no {}", log.display())));
    }
    let lines = durable::read(log, FORMAT).map_err(|error| {
        (Exit::InvalidInput, format!("failed to {}", crate::serve::chain(&error)))
    })?;
    let mut policies = Policies::new(log.parent().unwrap_or(Path::new("")), given)?;
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut different = 0;
    for (number, line) in lines.iter().enumerate() {
        let decision: Decision = serde_json::from_slice(line).map_err(|error| {
            (Exit::InvalidInput, format!("{}:{}: {error}", log.display(), number + 2))
        })?;
        *counts.entry(kind(&decision.decided)).or_insert(0) += 1;
        let Err(difference) = policies.replay(&decision)? else { continue };
        different += 1;
        if different <= TOLD_MOST {
            let app = decision.app.map(|app| format!(" of {app}")).unwrap_or_default();
            say!(
                "{}:{}: {}{app}: {difference}",
                log.display(),
                number + 2,
                kind(&decision.decided)
            );
        }
    }
    let total: u64 = counts.values().sum();
    let kinds: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    say!("{total} decisions{kinds}: {different} come out otherwise");
    Ok(if different == 0 { Exit::Done } else { Exit::Different })
}

const fn kind(decided: &Decided) -> &'static str {
    match decided {
        Decided::Scaling { .. } => "scaling",
        Decided::Rollout { .. } => "rollout",
        Decided::Verdict { .. } => "verdict",
        Decided::Freeze { .. } => "freeze",
        Decided::Policy { .. } => "policy",
    }
}

/// The policies that made decisions: the one that was given, or those that are kept beside the log.
struct Policies<'a> {
    folder: &'a Path,
    given: Option<Policy>,
    kept: BTreeMap<String, Policy>,
}

impl<'a> Policies<'a> {
    fn new(folder: &'a Path, given: Option<&Path>) -> Result<Self, (Exit, String)> {
        let given = match given {
            None => None,
            Some(path) => Some(read(path)?),
        };
        Ok(Policies { folder, given, kept: BTreeMap::new() })
    }

    fn replay(&mut self, decision: &Decision) -> Result<Result<(), Difference>, (Exit, String)> {
        if let Some(policy) = &self.given {
            return Ok(decision.replay(policy));
        }
        if !self.kept.contains_key(&decision.policy) {
            // The digest comes out of a file: only what can be one is a part of a path.
            let is_digest = decision.policy.bytes().all(|byte| byte.is_ascii_hexdigit());
            let path = policy_file(self.folder, &decision.policy);
            if !is_digest || !path.exists() {
                let message =
                    format!("the policy {} isn't kept here: say `--policy FILE`", decision.policy);
                return Err((Exit::InvalidInput, message));
            }
            self.kept.insert(decision.policy.clone(), read(&path)?);
        }
        let kept = self.kept.get(&decision.policy);
        Ok(kept.map_or(Ok(()), |policy| decision.replay(policy)))
    }
}

fn read(path: &Path) -> Result<Policy, (Exit, String)> {
    let found = input::policy(Some(path)).map(|(policy, _)| policy);
    found.ok_or_else(|| (Exit::InvalidInput, format!("{} is no policy", path.display())))
}
