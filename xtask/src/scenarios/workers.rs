//! `[io]` Scenarios side by side: workers with a lab each, isolated from each other, that are told one
//! scenario after the other. Most of a scenario is waiting, so two labs on two processors take little
//! more time for each.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::Scenario;
use crate::error::{Doing, Error};
use crate::lab::process;

/// What a worker writes behind the result of a scenario.
const NEXT: &str = "next";

/// Passed and failed ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u32,
    pub(super) failed: u32,
}

/// Runs scenarios with so many workers, and prints each result as it comes.
///
/// # Errors
/// A worker can't be started. One that dies is a failure of the scenario that it had.
pub(super) fn run(provision: &Path, chosen: &[&Scenario], workers: usize) -> Result<Counts, Error> {
    let names = chosen.iter().map(|scenario| scenario.name.to_owned()).collect();
    let board = Mutex::new(Board { waiting: names, counts: Counts::default() });
    let results: Vec<Result<(), Error>> = thread::scope(|scope| {
        // A worker dies with the thread that started it.
        let start = |_| {
            scope.spawn(|| {
                let mut command = process::contained("env");
                command.arg(process::own_path().doing(|| "find xtask".to_owned())?);
                command.args(["scenarios", "--worker"]);
                command.arg(format!("--provision={}", provision.display()));
                serve(command, &board)
            })
        };
        let threads: Vec<_> = (0..workers).map(start).collect();
        let failed = || Err(Error::refused("run scenarios".to_owned(), "a thread panicked"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| failed())).collect()
    });
    results.into_iter().collect::<Result<(), Error>>()?;
    let mut board = board.into_inner().unwrap_or_else(PoisonError::into_inner);
    for name in std::mem::take(&mut board.waiting) {
        board.note(&format!("FAIL {name:<16} no worker was left\n"));
    }
    Ok(board.counts)
}

/// What is to be done and what came of it.
struct Board {
    waiting: VecDeque<String>,
    counts: Counts,
}

impl Board {
    /// Prints and counts a result.
    fn note(&mut self, text: &str) {
        print!("{text}");
        match text.lines().any(|line| line.starts_with("pass ")) {
            true => self.counts.passed += 1,
            false => self.counts.failed += 1,
        }
    }
}

/// Keeps one worker busy until nothing waits or it dies.
fn serve(mut command: Command, board: &Mutex<Board>) -> Result<(), Error> {
    let action = || "start a worker".to_owned();
    let mut worker = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().doing(action)?;
    let locked = || board.lock().unwrap_or_else(PoisonError::into_inner);
    let next = || locked().waiting.pop_front();
    let mut answers = worker.stdout.take().map(BufReader::new);
    while let Some(name) = next() {
        let result = ask(&mut worker, answers.as_mut(), &name);
        let has_died = result.is_none();
        let text = result.unwrap_or_else(|| format!("FAIL {name:<16} its worker has died\n"));
        locked().note(&text);
        if has_died {
            break;
        }
    }
    // Without input it takes its lab down and ends.
    drop(worker.stdin.take());
    worker.wait().doing(|| "wait for a worker".to_owned())?;
    Ok(())
}

/// The result of a scenario; none if the worker doesn't answer any more.
fn ask(worker: &mut Child, answers: Option<&mut impl BufRead>, name: &str) -> Option<String> {
    let orders = worker.stdin.as_mut()?;
    writeln!(orders, "{name}").and_then(|()| orders.flush()).ok()?;
    let mut text = String::new();
    for line in answers?.lines() {
        let line = line.ok()?;
        if line == NEXT {
            return Some(text);
        }
        text.push_str(&line);
        text.push('\n');
    }
    None
}

/// The worker's side: runs what it is told, and says so when it is done.
pub(super) fn work(mut run: impl FnMut(&str)) {
    for name in io::stdin().lines().map_while(Result::ok) {
        run(&name);
        println!("{NEXT}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(names: &[&str]) -> Mutex<Board> {
        let waiting = names.iter().map(|name| (*name).to_owned()).collect();
        Mutex::new(Board { waiting, counts: Counts::default() })
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_worker_is_told_one_after_the_other() {
        let board = board(&["a", "b", "c"]);
        let script = "while read name; do
            [ $name = b ] && echo FAIL $name && echo '    why' || echo pass $name; echo next; done";
        serve(shell(script), &board).unwrap();
        let board = board.into_inner().unwrap();
        assert_eq!(board.counts, Counts { passed: 2, failed: 1 });
        assert!(board.waiting.is_empty());
    }

    #[test]
    fn what_a_dead_worker_had_is_a_failure_and_the_rest_waits_for_others() {
        let board = board(&["a", "b", "c"]);
        serve(shell("read name; echo pass $name; echo next; read name; exit 1"), &board).unwrap();
        let board = board.into_inner().unwrap();
        assert_eq!(board.counts, Counts { passed: 1, failed: 1 });
        assert_eq!(board.waiting, ["c"]);
    }
}
