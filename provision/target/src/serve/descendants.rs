//! Processes that this one started, directly or not, by `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Kills all descendants of this process except the spared ones and theirs.
pub fn kill_all(spared: &[u32]) {
    for process in descendants(std::process::id(), &parents(), spared) {
        if let Ok(process) = i32::try_from(process) {
            // It may have ended in the meantime.
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
    }
}

/// Whether a process started this one, directly or not.
#[must_use]
pub fn is_below(process: u32) -> bool {
    process != 0 && ancestors(std::process::id(), &parents()).contains(&process)
}

fn ancestors(mut process: u32, parents: &BTreeMap<u32, u32>) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    while let Some(parent) = parents.get(&process) {
        if !found.insert(*parent) {
            break;
        }
        process = *parent;
    }
    found
}

fn descendants(root: u32, parents: &BTreeMap<u32, u32>, spared: &[u32]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(process, parent)| {
                (**parent == root || found.contains(*parent))
                    && !found.contains(*process)
                    && !spared.contains(process)
            })
            .map(|(process, _)| *process)
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

fn parents() -> BTreeMap<u32, u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .filter_map(|entry| {
            let process = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let line = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            Some((process, parent_in(&line)?))
        })
        .collect()
}

/// `PID (NAME) STATE PARENT …`; the name may contain blanks and parentheses.
fn parent_in(line: &str) -> Option<u32> {
    let (_, rest) = line.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_without_the_spared_ones() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (7, 9)]);
        assert_eq!(descendants(1, &parents, &[5]), BTreeSet::from([2, 3, 4]));
        assert_eq!(parent_in("12 (a) b) S 7 1 2"), Some(7));
        assert_eq!(parent_in("nonsense"), None);
    }

    #[test]
    fn a_process_is_not_its_own_ancestor() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 3), (5, 1)]);
        assert_eq!(ancestors(4, &parents), BTreeSet::from([1, 2, 3]));
        assert_eq!(ancestors(5, &parents), BTreeSet::from([1]));
        assert_eq!(ancestors(9, &parents), BTreeSet::new());
        assert!(!is_below(std::process::id()));
        assert!(is_below(std::os::unix::process::parent_id()));
    }

    #[test]
    fn this_process_has_a_parent() {
        assert!(parents().contains_key(&std::process::id()));
    }
}
