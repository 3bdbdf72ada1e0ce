//! The end of a run: a line a host, failures with the same message together, what to do next.

use provision_engine::event::{HostRecap, Outcome};

use crate::paint::{BAD, CHANGED, FAINT, GOOD, STRONG, styled};

/// Something that went wrong on a host.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Host.
    pub host: String,
    /// Task.
    pub task: String,
    /// `file:line:col`; empty for connections.
    pub place: String,
    /// What went wrong.
    pub message: String,
}

/// The recap.
pub fn text(
    hosts: &[HostRecap],
    failures: &[Failure],
    duration_ms: u64,
    outcome: Outcome,
    check: bool,
) -> String {
    let mut lines = vec![String::new(), styled(STRONG, "RECAP")];
    let width = hosts.iter().map(|host| host.host.len()).max().unwrap_or(0);
    let mut all = HostRecap::default();
    for host in hosts {
        all.skipped += host.skipped;
        all.rescued += host.rescued;
        all.ignored += host.ignored;
    }
    lines.extend(hosts.iter().map(|host| row(host, &all, width, check)));
    if !failures.is_empty() {
        lines.push(String::new());
        lines.push(styled(BAD, "FAILURES"));
        lines.extend(grouped(failures));
    }
    let slowest = slowest(hosts);
    let seconds = format!("{}.{:01} s", duration_ms / 1000, duration_ms % 1000 / 100);
    let changed = hosts.iter().filter(|host| host.changed > 0).count();
    let verb = if check { "would change" } else { "changed" };
    lines.push(String::new());
    lines.push(format!(
        "{} in {seconds}: {}, {changed} {verb}{slowest}",
        verdict(outcome),
        match hosts.len() {
            1 => "1 host".to_owned(),
            count => format!("{count} hosts"),
        }
    ));
    if let Some(hint) = next_step(outcome, failures) {
        lines.push(format!("{} {hint}", styled(STRONG, "hint:")));
    }
    lines.join("\n")
}

fn row(host: &HostRecap, all: &HostRecap, width: usize, check: bool) -> String {
    let cell = |style, word: &str, count: u64| {
        let text = format!("{word}={count}");
        // Padding stands outside of the style, where the end of the line can be trimmed.
        let padding = " ".repeat(13_usize.saturating_sub(text.len()));
        let text = if count > 0 { styled(style, &text) } else { styled(FAINT, &text) };
        format!("{text}{padding}")
    };
    let name = format!("{:<width$}", host.host);
    let bad = host.failed > 0 || host.unreachable > 0;
    let name = match (bad, host.changed > 0) {
        (true, _) => styled(BAD, &name),
        (false, true) => styled(CHANGED, &name),
        (false, false) => styled(GOOD, &name),
    };
    let changed = if check { "would-change" } else { "changed" };
    let mut cells = vec![
        cell(GOOD, "ok", host.ok),
        cell(CHANGED, changed, host.changed),
        cell(BAD, "unreachable", host.unreachable),
        cell(BAD, "failed", host.failed),
    ];
    let rare = [
        (FAINT, "skipped", host.skipped, all.skipped),
        (CHANGED, "rescued", host.rescued, all.rescued),
        (CHANGED, "ignored", host.ignored, all.ignored),
    ];
    // A column of zeros only makes lines too long for a terminal.
    let rare = rare.into_iter().filter(|(.., sum)| *sum > 0);
    cells.extend(rare.map(|(style, word, count, _)| cell(style, word, count)));
    cells.insert(0, format!("  {name} :"));
    cells.join(" ").trim_end().to_owned()
}

/// Failures with the same task and message once, with all their hosts.
fn grouped(failures: &[Failure]) -> Vec<String> {
    let mut groups: Vec<(&Failure, Vec<&str>)> = Vec::new();
    for failure in failures {
        match groups
            .iter_mut()
            .find(|(known, _)| known.task == failure.task && known.message == failure.message)
        {
            Some((_, hosts)) => hosts.push(&failure.host),
            None => groups.push((failure, vec![&failure.host])),
        }
    }
    let mut lines = Vec::new();
    for (failure, hosts) in groups {
        let count = match hosts.len() {
            1 => "1 host".to_owned(),
            count => format!("{count} hosts"),
        };
        let place = match failure.place.as_str() {
            "" => String::new(),
            place => format!("  ({place})"),
        };
        lines.push(format!(
            "  {count} ({}): {}{}",
            hosts.join(", "),
            failure.task,
            styled(FAINT, &place)
        ));
        lines.extend(failure.message.lines().take(6).map(|line| format!("    {line}")));
    }
    lines
}

/// The slowest hosts, if some took clearly longer than the others.
fn slowest(hosts: &[HostRecap]) -> String {
    let mut times: Vec<(u64, &str)> =
        hosts.iter().map(|host| (host.host_time_us, host.host.as_str())).collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2).map_or(0, |(time, _)| *time);
    match times.last() {
        Some((time, host)) if times.len() > 2 && *time > 1_000_000 && *time > 2 * median => {
            format!("; slowest {host} ({} s)", time / 1_000_000)
        }
        _ => String::new(),
    }
}

fn verdict(outcome: Outcome) -> String {
    match outcome {
        Outcome::Done => styled(GOOD, "done"),
        Outcome::Failed => styled(BAD, "failed"),
        Outcome::Unreachable => styled(BAD, "incomplete"),
        Outcome::FailedAndUnreachable => styled(BAD, "failed"),
        Outcome::StoppedByLimit => styled(BAD, "stopped by a failure limit"),
        Outcome::Interrupted => styled(CHANGED, "interrupted"),
    }
}

fn next_step(outcome: Outcome, failures: &[Failure]) -> Option<String> {
    let mut hosts: Vec<&str> = failures.iter().map(|failure| failure.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    match outcome {
        Outcome::Done => None,
        Outcome::Interrupted => Some(
            "run it again: what is done stays done, notified handlers are remembered".to_owned(),
        ),
        _ if hosts.is_empty() => None,
        _ => Some(format!("when mended, run it again with --limit {}", hosts.join(","))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, grouped};

    #[test]
    fn the_same_failure_is_told_once() {
        let failure = |host: &str, message: &str| Failure {
            host: host.into(),
            task: "install".into(),
            place: "a.yml:1:1".into(),
            message: message.into(),
        };
        let lines =
            grouped(&[failure("a", "disk full"), failure("b", "disk full"), failure("c", "x")]);
        assert_eq!(lines.len(), 4);
        assert!(lines[0].contains("2 hosts (a, b): install"), "{lines:?}");
    }
}
