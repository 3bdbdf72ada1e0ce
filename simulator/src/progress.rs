//! How far a run is, on terminals; and Ctrl-C, which ends it: once at the next safe point, twice at
//! once.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use policy::{Nanoseconds, Time};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use simulator::execute::{self, Requests};
use simulator_model::{Model, watch};

use crate::exit::Exit;
use crate::paint;
use crate::results::Replication;

/// Ended by a second signal: what shells give for Ctrl-C.
const ENDED_AT_ONCE: i32 = 130;
/// Runs that are over sooner show nothing.
const PATIENCE: Duration = Duration::from_millis(700);
/// Often enough to see it move.
const REDRAWN: Duration = Duration::from_millis(200);

/// Whether Ctrl-C has come.
#[derive(Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the first Ctrl-C only sets it, and a second one ends the program. What is wrong
    /// has been told when this fails.
    pub fn listen() -> Result<Self, Exit> {
        Stop::listening().map_err(|error| {
            paint::error(&format!("failed to listen to signals: {error}"));
            Exit::Environment
        })
    }

    fn listening() -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset and sets it.
            flag::register_conditional_shutdown(signal, ENDED_AT_ONCE, Arc::clone(&stop))?;
            flag::register(signal, Arc::clone(&stop))?;
        }
        Ok(Stop(stop))
    }

    /// Whether everything is to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// All replications of a run.
pub struct Progress {
    stop: Stop,
    /// Simulated nanoseconds and requests, over all replications.
    simulated: AtomicU64,
    requests: AtomicU64,
    is_over: AtomicBool,
    /// Simulated nanoseconds in the end.
    total: u64,
    begun: Instant,
}

/// One replication's part in it.
struct Part<'a> {
    progress: &'a Progress,
    last: watch::Progress,
}

impl Progress {
    /// A run of so many replications; from now on the first Ctrl-C stops it. What is wrong has been
    /// told when this fails.
    pub fn new(duration: Nanoseconds, replications: u32) -> Result<Self, Exit> {
        Ok(Progress {
            stop: Stop::listen()?,
            simulated: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            total: duration.0.saturating_mul(u64::from(replications)),
            begun: Instant::now(),
        })
    }

    /// Whether the run is to end.
    fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    /// Runs one replication, on so many threads if that is possible, with its course if it is wanted;
    /// nothing if all is to end already.
    pub fn run(
        &self,
        model: &Model,
        requests: Requests<'_>,
        threads: u16,
        has_course: bool,
    ) -> Option<Replication> {
        if self.is_stopped() {
            return None;
        }
        let mut part =
            Part { progress: self, last: watch::Progress { at: Time::ZERO, requests: 0 } };
        let mut watch = |now| part.moved(now);
        let run = if has_course {
            let (report, timeline) =
                execute::watched_timeline(model, requests, threads, &mut watch);
            (report, Some(timeline))
        } else {
            (execute::watched_report(model, requests, threads, &mut watch), None)
        };
        part.moved(watch::Progress { at: Time(model.duration.0), ..part.last });
        Some(run)
    }

    /// Does something, and shows how far it is on standard error if that is a terminal.
    pub fn shown<T>(&self, work: impl FnOnce() -> T) -> T {
        if !std::io::stderr().is_terminal() {
            return work();
        }
        std::thread::scope(|scope| {
            let painter = scope.spawn(|| self.paint());
            let done = work();
            self.is_over.store(true, Ordering::Release);
            painter.thread().unpark();
            done
        })
    }

    fn paint(&self) {
        let mut is_shown = false;
        while !self.is_over.load(Ordering::Acquire) {
            std::thread::park_timeout(REDRAWN);
            let passed = self.begun.elapsed();
            if passed >= PATIENCE && !self.is_over.load(Ordering::Acquire) {
                let line = self.line(passed);
                let _ = write!(std::io::stderr(), "\r{line}\x1b[K");
                is_shown = true;
            }
        }
        if is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn line(&self, passed: Duration) -> String {
        let simulated = self.simulated.load(Ordering::Relaxed);
        let requests = self.requests.load(Ordering::Relaxed);
        line(simulated, self.total, requests, passed, self.is_stopped())
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people; a cast from a double saturates"
)]
fn line(simulated: u64, total: u64, requests: u64, passed: Duration, is_stopped: bool) -> String {
    if is_stopped {
        return "stops at the next safe point; once more ends at once".to_owned();
    }
    let seconds = passed.as_secs_f64().max(1e-3);
    let part = simulated as f64 / total.max(1) as f64;
    let left = if part > 0.0 { seconds / part - seconds } else { 0.0 };
    let left = match part {
        0.0 => String::new(),
        _ => format!(", {} left", Nanoseconds::from_seconds(left.ceil() as u64)),
    };
    format!(
        "{:.0} %: {} of {} in {}, {:.1} M requests, {:.1} M/s{left}",
        part * 100.0,
        whole_seconds(simulated),
        whole_seconds(total),
        Nanoseconds::from_seconds(passed.as_secs()),
        requests as f64 / 1e6,
        requests as f64 / 1e6 / seconds,
    )
}

/// Simulated time without fractions, unless it is short.
fn whole_seconds(time: u64) -> Nanoseconds {
    let second = Nanoseconds::PER_SECOND;
    Nanoseconds(if time < 10 * second { time } else { time / second * second })
}

impl Part<'_> {
    /// What the engine reports; whether it goes on.
    fn moved(&mut self, now: watch::Progress) -> bool {
        let Part { progress, last } = self;
        progress.simulated.fetch_add(now.at.since(last.at).0, Ordering::Relaxed);
        progress.requests.fetch_add(now.requests - last.requests, Ordering::Relaxed);
        *last = now;
        !progress.is_stopped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_how_long_it_takes() {
        const MINUTE: u64 = 60_000_000_000;
        let shown = line(15 * MINUTE, 60 * MINUTE, 30_000_000, Duration::from_secs(5), false);
        assert_eq!(shown, "25 %: 15min of 1h in 5s, 30.0 M requests, 6.0 M/s, 15s left");
        let shown = line(0, 60 * MINUTE, 0, Duration::from_secs(1), false);
        assert_eq!(shown, "0 %: 0 of 1h in 1s, 0.0 M requests, 0.0 M/s");
        assert!(line(1, 2, 3, Duration::ZERO, true).contains("stops"));
    }
}
