//! How releases are shown: members, plans, steps. Only text is made here.

use std::collections::BTreeMap;

use provision_discovery::Registry;
pub use provision_engine::release::names;
use provision_lifecycle::{
    Because, Duty, Estimate, Files, Goal, Kind, Member, Note, Observed, Outcome, Process, Purpose,
    Reach, Role, Step, Version,
};

use crate::paint::{BAD, CHANGED, FAINT, GOOD, STRONG, harmless, styled};

/// A duration for people.
pub fn seconds(duration_ms: u64) -> String {
    format!("{}.{} s", duration_ms / 1000, duration_ms % 1000 / 100)
}

fn role(member: &Member) -> &'static str {
    match (member.duty, member.process) {
        (_, Process::Dead | Process::Looking) => "-",
        (Duty::Worker, Process::Serving(_)) => "member",
        (Duty::Voter, Process::Serving(role)) => role.word(),
    }
}

fn version(version: Option<&Version>) -> &str {
    version.map_or("-", Version::as_str)
}

/// In a word, and in which style.
fn health(member: &Member) -> (anstyle::Style, String) {
    if let Reach::Unreachable { reason } = &member.reach {
        return (BAD, format!("unreachable: {}", harmless(reason)));
    }
    if member.is_outside && member.current.is_none() && member.process == Process::Dead {
        return (CHANGED, "not there".to_owned());
    }
    let problem = member.problem.as_deref().map(|text| format!(": {}", harmless(text)));
    let problem = problem.unwrap_or_default();
    match member.process {
        Process::Dead => (BAD, format!("down{problem}")),
        Process::Looking => (BAD, format!("not serving{problem}")),
        Process::Serving(_) if member.is_outside => (GOOD, "follows without a vote".to_owned()),
        Process::Serving(_) => (GOOD, format!("serves{problem}")),
    }
}

/// What is not as the inventory wants it.
pub fn drift(member: &Member, wanted: &Version) -> Option<String> {
    if !member.is_reachable() {
        return None;
    }
    if member.is_outside {
        return Some("in the group, not in the cluster: provision add".to_owned());
    }
    let is_wanted = |version: &Option<Version>| version.as_ref() == Some(wanted);
    if !is_wanted(&member.current) {
        return Some(match &member.current {
            Some(current) => format!("has {current}"),
            None => "not installed".to_owned(),
        });
    }
    match (&member.running, member.files) {
        (Some(running), _) if running != wanted => Some(format!("runs {running}, restart due")),
        (Some(_), Files::Changed) => Some("files have changed, restart due".to_owned()),
        (Some(_) | None, _) => None,
    }
}

/// What Consul says of a member that is not so.
pub fn misregistered(member: &Member, component: &str, registry: &Registry) -> Option<String> {
    if !member.is_reachable() {
        return None;
    }
    let Some(host) = registry.host(&member.name) else {
        return Some("Consul has no such node".to_owned());
    };
    let (actual, told) = (member.current.as_ref(), host.releases.get(component));
    match (actual.map(Version::as_str), told.map(String::as_str)) {
        (actual, told) if actual == told => None,
        (_, Some(told)) => Some(format!("Consul says {}", harmless(told))),
        (_, None) => Some("not registered in Consul".to_owned()),
    }
}

/// What a table begins with.
pub fn wanted_head(component: &str, wanted: Result<&Version, &str>) -> String {
    match wanted {
        Ok(wanted) => format!("{}  wanted {wanted}", styled(STRONG, component)),
        Err(error) => format!("{}  {}", styled(STRONG, component), styled(BAD, error)),
    }
}

/// Lines of cells of the same width; the last cell of each is as long as it is.
pub fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}

/// A component's members as a table.
pub fn table(
    component: &str,
    kind: Kind,
    observed: &Observed,
    wanted: Result<&Version, &str>,
    registry: Option<&Registry>,
) -> String {
    let mut head = wanted_head(component, wanted);
    if kind == Kind::Quorum {
        let voters = observed.members.iter().filter(|member| member.is_voter());
        let serving = voters.filter(|member| member.role().is_some()).count();
        let (all, quorum) = (observed.voters(), observed.quorum());
        let text = format!("{serving} of {all} voters serve, {quorum} must");
        let style = if serving >= quorum { GOOD } else { BAD };
        head.push_str(&format!("; {}", styled(style, &text)));
        match observed.leader() {
            Some(leader) => head.push_str(&format!("; {} leads", leader.name)),
            None => head.push_str(&format!("; {}", styled(BAD, "nobody leads"))),
        }
    }
    let strangers = observed.strangers();
    if !strangers.is_empty() {
        let text = format!("not in the inventory: {}", harmless(&strangers.join(", ")));
        head.push_str(&format!("; {}", styled(BAD, &text)));
    }
    let mut rows =
        vec![["HOST", "ROLE", "RUNS", "POSITION", "INSTALLED"].map(str::to_owned).to_vec()];
    if let (Some(_), Some(head)) = (registry, rows.first_mut()) {
        head.push("REGISTERED".to_owned());
    }
    for member in &observed.members {
        let releases: Vec<&str> = member.releases.iter().map(Version::as_str).collect();
        let installed = if releases.is_empty() { "-".to_owned() } else { releases.join(" ") };
        let position = member.position.map_or("-".to_owned(), position);
        let mut row = vec![
            member.name.clone(),
            role(member).to_owned(),
            version(member.running.as_ref()).to_owned(),
            position,
            installed,
        ];
        row.extend(registry.map(|registry| {
            let host = registry.host(&member.name);
            let told = host.and_then(|host| host.releases.get(component));
            told.map_or("-".to_owned(), |told| harmless(told))
        }));
        rows.push(row);
    }
    let mut lines = vec![head];
    for (number, cells) in aligned(&rows).into_iter().enumerate() {
        lines.push(match number.checked_sub(1).and_then(|number| observed.members.get(number)) {
            None => styled(FAINT, &format!("  {cells}  HEALTH")),
            Some(member) => {
                let (style, text) = health(member);
                let drift = wanted.ok().and_then(|wanted| drift(member, wanted));
                let told = registry.and_then(|known| misregistered(member, component, known));
                let drift = [drift, told].into_iter().flatten();
                let drift: String =
                    drift.map(|text| format!("; {}", styled(CHANGED, &text))).collect();
                format!("  {cells}  {}{drift}", styled(style, &text))
            }
        });
    }
    lines.join("\n")
}

/// A zxid has its epoch in the upper half, and is written as ZooKeeper does; an index is a number.
fn position(at: u64) -> String {
    if at > u64::from(u32::MAX) { format!("{at:#x}") } else { at.to_string() }
}

/// What a plan begins with.
pub fn heading(component: &str, goal: &Goal, observed: &Observed) -> String {
    if matches!(goal.purpose, Purpose::Join | Purpose::Leave) {
        return membership_heading(component, goal, observed);
    }
    let mut from: Vec<&str> = observed
        .members
        .iter()
        .filter(|member| goal.members.contains(&member.name))
        .filter_map(|member| member.running.as_ref().or(member.current.as_ref()))
        .map(Version::as_str)
        .filter(|version| *version != goal.version.as_str())
        .collect();
    from.sort_unstable();
    from.dedup();
    let change = match (goal.purpose, from.is_empty()) {
        (Purpose::Restart, _) => String::new(),
        (_, true) => format!(" {}", goal.version),
        (_, false) => format!(" {} → {}", from.join(", "), goal.version),
    };
    let (voters, quorum) = (observed.voters(), observed.quorum());
    let votes = match voters {
        0 => String::new(),
        _ => format!(" ({voters} voters, {quorum} must be up)"),
    };
    format!(
        "{} {component}{change} on {}{votes}",
        styled(STRONG, goal.purpose.word()),
        names(&goal.members)
    )
}

fn membership_heading(component: &str, goal: &Goal, observed: &Observed) -> String {
    let before = observed.voters();
    let is_voter =
        |name: &&String| observed.member(name).is_some_and(|member| member.duty == Duty::Voter);
    let belongs = |name: &&String| observed.member(name).is_some_and(Member::is_voter);
    let names: Vec<&String> = goal.members.iter().filter(is_voter).collect();
    let votes = names.iter().filter(|name| belongs(name)).count();
    let after = match goal.purpose {
        Purpose::Join => before + names.len() - votes,
        _ => before.saturating_sub(votes),
    };
    let change = match (before, names.is_empty()) {
        (0, _) | (_, true) => String::new(),
        (1, false) => format!(" (1 voter → {after})"),
        (before, false) => format!(" ({before} voters → {after})"),
    };
    let (word, to) = match goal.purpose {
        Purpose::Join => ("add", "to"),
        _ => ("remove", "from"),
    };
    format!("{} {} {to} {component}{change}", styled(STRONG, word), self::names(&goal.members))
}

/// That everything is there already.
pub fn nothing_to_do(goal: &Goal, observed: &Observed) -> &'static str {
    let has_no_vote = |name: &String| observed.member(name).is_some_and(|m| m.is_outside);
    match goal.purpose {
        Purpose::Join if goal.members.iter().any(has_no_vote) => {
            "nothing to do but to wait: the cluster gives the vote itself"
        }
        Purpose::Join => "nothing to do: all of them belong to it and serve",
        Purpose::Leave => "nothing to do: nothing of it is on them",
        Purpose::Upgrade | Purpose::Rollback | Purpose::Restart => {
            "nothing to do: all of them have it and serve"
        }
    }
}

/// What is reached.
pub fn done(component: &str, goal: &Goal, is_cluster: bool) -> String {
    let members = names(&goal.members);
    let verb = if goal.members.len() == 1 { "belongs" } else { "belong" };
    match goal.purpose {
        Purpose::Join if is_cluster => {
            format!("{members} {verb} to {component} {}", goal.version)
        }
        Purpose::Leave => format!("{members} left {component}"),
        Purpose::Join | Purpose::Upgrade | Purpose::Rollback | Purpose::Restart => {
            format!("{component} {} on {members}", goal.version)
        }
    }
}

fn leaving(member: &str, via: &str, observed: &Observed) -> String {
    let found = observed.member(member);
    let is = match found.map(|member| (member.duty, member.process)) {
        Some((Duty::Worker, _)) => return format!("{member}: say goodbye"),
        Some((_, Process::Serving(role @ (Role::Leader | Role::Alone)))) => {
            format!("{}, so last", role.word())
        }
        Some((_, Process::Serving(role))) => role.word().to_owned(),
        Some(_) | None => "does not serve".to_owned(),
    };
    let place = if via == member { String::new() } else { format!(", asked for on {via}") };
    format!("{member} ({is}): take its vote{place}")
}

/// A step in words.
pub fn step(step: &Step, goal: &Goal, observed: &Observed) -> String {
    match step {
        Step::Stage { members } => format!("stage {} on {}", goal.version, names(members)),
        Step::Start { members } => {
            format!("start {} together: the cluster has no data yet", names(members))
        }
        Step::Take { members, because } => {
            let role = |name: &String| observed.member(name).and_then(Member::role);
            let is = match (because, members.first().and_then(role)) {
                (Because::Leader, _) => "leader, so last",
                (_, Some(Role::Leader)) => "leader",
                (because, _) => because.words(),
            };
            let what = match goal.purpose {
                Purpose::Restart => "configure, restart if anything changed, prove health",
                _ => "configure, switch, restart, prove health",
            };
            format!("{} ({is}): {what}", names(members))
        }
        Step::Revert { member, to } => format!("{member}: back to {to}"),
        Step::Install { members } => {
            format!("{}: configure, switch, start, prove health", names(members))
        }
        Step::Join { member } => {
            format!("{member}: give it its vote")
        }
        Step::Leave { member, via } => leaving(member, via, observed),
        Step::Retire { member } => format!("{member}: stop, disable, remove"),
    }
}

/// The numbered steps of a plan.
pub fn plan(steps: &[Step], goal: &Goal, observed: &Observed) -> String {
    let mut lines = Vec::new();
    for (number, one) in steps.iter().enumerate() {
        lines.push(format!("  {}. {}", number + 1, step(one, goal, observed)));
    }
    lines.join("\n")
}

/// What a run has left on the members that did not reach its end.
pub fn note(note: &Note, now_ms: u64) -> String {
    let (goal, minutes) = (&note.goal, now_ms.saturating_sub(note.at_ms) / 60_000);
    let to = match goal.purpose {
        Purpose::Upgrade | Purpose::Rollback => format!(" to {}", goal.version),
        Purpose::Restart | Purpose::Join | Purpose::Leave => String::new(),
    };
    let at = note.step.as_ref().map(|step| format!(", at {}", names(step.members())));
    let ago = match minutes {
        0 => "just now".to_owned(),
        1..=120 => format!("{minutes} min ago"),
        _ => format!("{} h ago", minutes / 60),
    };
    harmless(&format!(
        "run {} of {}: {}{to}{}, {ago}",
        note.run,
        note.controller,
        goal.purpose.word(),
        at.unwrap_or_default()
    ))
}

/// How long it may take.
pub fn estimate(estimate: &Estimate) -> String {
    let runs = estimate.runs;
    let noun = if runs == 1 { "run" } else { "runs" };
    let whole = |duration_ms: u64| duration_ms.div_ceil(1000);
    let (typical, slow) = (whole(estimate.typical_ms), whole(estimate.slow_ms));
    let slow = if slow > typical { format!(", {slow} s if it is slow") } else { String::new() };
    format!("about {typical} s{slow} (from {runs} earlier {noun})")
}

/// How a step went.
pub fn outcome(outcomes: &BTreeMap<String, Outcome>, duration_ms: u64) -> String {
    let bad: Vec<String> = outcomes
        .iter()
        .filter_map(|(name, outcome)| match outcome {
            Outcome::Done => None,
            Outcome::Failed { error } => {
                Some(format!("{} {name}: {}", styled(BAD, "failed"), harmless(error)))
            }
            Outcome::Lost { error } => {
                Some(format!("{} {name}: {}", styled(BAD, "lost"), harmless(error)))
            }
        })
        .collect();
    match bad.is_empty() {
        true => format!("{} in {}", styled(GOOD, "done"), seconds(duration_ms)),
        false => bad.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use provision_lifecycle::Duty;

    use super::*;

    fn member(name: &str, runs: &str, process: Process) -> Member {
        let version = Some(Version::parse(runs).unwrap());
        Member {
            current: version.clone(),
            running: version.clone(),
            releases: version.into_iter().collect(),
            process,
            files: Files::Current,
            ..Member::blank(name, Duty::Voter)
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_table_says_who_leads_and_what_is_wrong() {
        let mut down = member("zk3", "3.8.0", Process::Dead);
        (down.running, down.problem) = (None, Some("connection refused\u{1b}[2J".into()));
        let observed = Observed {
            members: vec![
                member("zk1", "3.8.0", Process::Serving(Role::Follower)),
                member("zk2", "3.9.3", Process::Serving(Role::Leader)),
                down,
            ],
            ..Observed::default()
        };
        let wanted = Version::parse("3.9.3").unwrap();
        let text = plain(&table("zookeeper", Kind::Quorum, &observed, Ok(&wanted), None));
        assert_eq!(
            text,
            "zookeeper  wanted 3.9.3; 2 of 3 voters serve, 2 must; zk2 leads\n  \
             HOST  ROLE      RUNS   POSITION  INSTALLED  HEALTH\n  \
             zk1   follower  3.8.0  -         3.8.0      serves; has 3.8.0\n  \
             zk2   leader    3.9.3  -         3.9.3      serves\n  \
             zk3   -         -      -         3.8.0      down: connection refused\\u{1b}[2J; has 3.8.0"
        );
    }

    #[test]
    fn an_estimate_says_where_it_is_from() {
        let text = |typical_ms, slow_ms, runs| estimate(&Estimate { typical_ms, slow_ms, runs });
        assert_eq!(text(18_700, 25_001, 5), "about 19 s, 26 s if it is slow (from 5 earlier runs)");
        assert_eq!(text(900, 950, 1), "about 1 s (from 1 earlier run)");
    }

    #[test]
    fn a_plan_reads_like_sentences() {
        let observed = Observed {
            members: vec![
                member("zk1", "3.8.0", Process::Serving(Role::Follower)),
                member("zk2", "3.8.0", Process::Serving(Role::Leader)),
            ],
            ..Observed::default()
        };
        let goal = Goal {
            purpose: Purpose::Upgrade,
            version: Version::parse("3.9.3").unwrap(),
            members: vec!["zk1".into(), "zk2".into()],
        };
        let steps = [
            Step::Stage { members: goal.members.clone() },
            Step::Take { members: vec!["zk1".into()], because: Because::Follower },
            Step::Take { members: vec!["zk2".into()], because: Because::Leader },
        ];
        let heading = plain(&heading("zookeeper", &goal, &observed));
        assert_eq!(heading, "upgrade zookeeper 3.8.0 → 3.9.3 on zk1, zk2 (2 voters, 2 must be up)");
        assert_eq!(
            plan(&steps, &goal, &observed),
            "  1. stage 3.9.3 on zk1, zk2\n  \
             2. zk1 (follower): configure, switch, restart, prove health\n  \
             3. zk2 (leader, so last): configure, switch, restart, prove health"
        );
    }

    #[test]
    fn a_change_of_members_reads_like_sentences() {
        let mut outside = member("zk4", "3.9.3", Process::Serving(Role::Follower));
        (outside.is_outside, outside.problem) = (true, None);
        let mut observed = Observed {
            members: vec![
                member("zk1", "3.9.3", Process::Serving(Role::Follower)),
                member("zk2", "3.9.3", Process::Serving(Role::Leader)),
                outside,
            ],
            ..Observed::default()
        };
        let goal = |purpose, names: &[&str]| Goal {
            purpose,
            version: Version::parse("3.9.3").unwrap(),
            members: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let join = goal(Purpose::Join, &["zk4"]);
        let leave = goal(Purpose::Leave, &["zk1", "zk2"]);
        let text = |goal| plain(&heading("zookeeper", goal, &observed));
        assert_eq!(text(&join), "add zk4 to zookeeper (2 voters → 3)");
        assert_eq!(text(&leave), "remove zk1, zk2 from zookeeper (2 voters → 0)");
        let steps = [
            Step::Install { members: vec!["zk4".into()] },
            Step::Join { member: "zk4".into() },
            Step::Leave { member: "zk1".into(), via: "zk4".into() },
            Step::Leave { member: "zk2".into(), via: "zk2".into() },
            Step::Retire { member: "zk2".into() },
        ];
        assert_eq!(
            plan(&steps, &join, &observed),
            "  1. zk4: configure, switch, start, prove health\n  \
             2. zk4: give it its vote\n  \
             3. zk1 (follower): take its vote, asked for on zk4\n  \
             4. zk2 (leader, so last): take its vote\n  \
             5. zk2: stop, disable, remove"
        );
        let names = ["server.7", "zk1", "zk2"].map(str::to_owned);
        observed.members[1].roster = Some(names.into_iter().collect());
        let wanted = Version::parse("3.9.3").unwrap();
        let text = plain(&table("zookeeper", Kind::Quorum, &observed, Ok(&wanted), None));
        assert!(text.contains("2 of 3 voters serve, 2 must"), "{text}");
        assert!(text.contains("not in the inventory: server.7"), "{text}");
        assert!(text.contains("follows without a vote"), "{text}");
    }
}
