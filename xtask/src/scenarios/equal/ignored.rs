//! `[pure]` Files that two equal hosts don't have equal, each with the reason.

/// How much of a file doesn't count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ignored {
    /// It and all below it.
    Whole,
    /// What is in it: that it is there, whose it is and its mode count.
    Content,
    /// Lines that begin so.
    Lines(&'static str),
    /// A field of each line, counted from 0, between colons.
    Field(usize),
}

/// `*` stands for anything but a slash.
const IGNORED: &[(&str, Ignored, &str)] = &[
    // Of the two programs.
    ("home/*/.ansible", Ignored::Whole, "ansible-core's temporary files"),
    ("root/.ansible", Ignored::Whole, "ansible-core's temporary files"),
    ("home/*/.cache", Ignored::Whole, "provision's helper"),
    ("home/deploy/.local", Ignored::Whole, "provision's journal of the host"),
    ("root/.cache", Ignored::Whole, "provision's helper"),
    ("root/.local", Ignored::Whole, "provision's journal of the host"),
    // Of the lab.
    ("etc/ssh/ssh_host_*", Ignored::Content, "keys of the host, made anew for each"),
    ("home/*/.ssh/authorized_keys", Ignored::Content, "the lab's key, made anew for each"),
    ("root/.ssh/authorized_keys", Ignored::Content, "the lab's key, made anew for each"),
    // Of Debian.
    ("run", Ignored::Whole, "the state of what runs"),
    ("tmp", Ignored::Whole, "temporary files"),
    ("var/tmp", Ignored::Whole, "temporary files"),
    ("var/log", Ignored::Whole, "times, and what happened"),
    ("etc/machine-id", Ignored::Content, "made at the first boot"),
    ("var/lib/systemd", Ignored::Whole, "when timers went off, and random seeds"),
    ("var/cache/apt/*.bin", Ignored::Content, "times of files"),
    ("var/cache/ldconfig/aux-cache", Ignored::Content, "times of files"),
    ("var/lib/dpkg/*-old", Ignored::Whole, "one write ago"),
    ("var/cache/debconf/*-old", Ignored::Whole, "one write ago"),
    ("etc/*-", Ignored::Content, "one write ago: passwd-, group-, shadow-"),
    ("var/spool/cron/crontabs/*", Ignored::Lines("# ("), "crontab's own heading: where from, when"),
    ("etc/shadow", Ignored::Field(2), "the day of a user's last change: there are midnights"),
    ("etc/ssl/certs/java/cacerts", Ignored::Content, "holds the time when it was made"),
    // Of the services, while they run.
    ("var/lib/consul", Ignored::Whole, "Consul's own data: ids, log of its ensemble"),
    ("var/lib/zookeeper/data/version-2", Ignored::Whole, "ZooKeeper's own data: sessions, times"),
];

/// How much of the file at this path doesn't count.
pub(super) fn find(path: &str) -> Option<Ignored> {
    IGNORED.iter().find(|(pattern, _, _)| matches(pattern, path)).map(|(_, what, _)| *what)
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if matches_name(pattern, part) => {}
            _ => return false,
        }
    }
}

fn matches_name(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_of_whole_names() {
        for (path, expected) in [
            ("run", Some(Ignored::Whole)),
            ("running", None),
            ("srv/run", None),
            ("etc/passwd-", Some(Ignored::Content)),
            ("etc/passwd", None),
            ("etc/shadow", Some(Ignored::Field(2))),
            ("etc/default/x-", None),
            ("home/admin/.ssh/authorized_keys", Some(Ignored::Content)),
            ("home/a/b/.ssh/authorized_keys", None),
            ("etc/ssh/ssh_host_", Some(Ignored::Content)),
            ("var/spool/cron/crontabs/ada", Some(Ignored::Lines("# ("))),
        ] {
            assert_eq!(find(path), expected, "{path}");
        }
        assert!(!matches_name("ab*ba", "aba"));
    }

    #[test]
    fn each_has_a_reason_and_none_is_there_twice() {
        for (index, (pattern, _, reason)) in IGNORED.iter().enumerate() {
            assert!(!reason.is_empty() && !pattern.starts_with('/'), "{pattern}");
            assert!(pattern.matches('*').count() <= 1, "{pattern}");
            let before = IGNORED.iter().take(index);
            assert!(before.clone().all(|(known, _, _)| known != pattern), "{pattern}");
        }
    }
}
