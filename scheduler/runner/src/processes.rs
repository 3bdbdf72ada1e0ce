//! Processes of this machine, as /proc tells them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// The variable by which all processes of a task are known, also those that left its group. Its
/// value is the folder of the task.
pub const FOLDER_VARIABLE: &str = "SCHEDULER_TASK_FOLDER";

/// Rounds of ending what starts processes faster than they are found.
const ROUNDS_MOST: u32 = 20;

/// The children of a process.
fn children(pid: i32) -> Vec<i32> {
    let mut children = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return children };
    for thread in threads.flatten() {
        let Ok(text) = fs::read_to_string(thread.path().join("children")) else { continue };
        children.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    children
}

/// All processes below one, without itself.
pub fn descendants(pid: i32) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    let mut open = children(pid);
    while let Some(child) = open.pop() {
        if found.insert(child) {
            open.extend(children(child));
        }
    }
    found
}

/// Resident memory of a process in bytes; 0 if there is none.
pub fn resident_bytes(pid: i32) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    pages.unwrap_or(0).saturating_mul(page_bytes)
}

/// Ends all processes of the task with this folder, wherever they are. Only their start environment
/// tells them, so a process that replaced it goes free.
pub fn end_all_of(folder: &Path) {
    let mark = format!("{FOLDER_VARIABLE}={}", folder.display());
    for _ in 0..ROUNDS_MOST {
        let found = with_mark(mark.as_bytes());
        if found.is_empty() {
            return;
        }
        found.into_iter().for_each(end_now);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Ends a process at once.
pub fn end_now(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn with_mark(mark: &[u8]) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has_mark = |pid: &i32| {
        // A process that has ended and isn't waited for has an empty environment.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    pids.filter(|pid| *pid != own).filter(has_mark).collect()
}
