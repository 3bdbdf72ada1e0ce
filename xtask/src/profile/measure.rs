//! `[io]` Runs of commands: the processor time of each alone, and how long they take side by side.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use super::{Kind, SERVICES, Service, Sources};
use crate::error::{self, Doing, Error};

/// With more of the machine in others' hands, a clock doesn't measure our tasks.
const MOST_OTHERS: f64 = 0.05;
/// Of each number of tasks side by side; the middle one counts.
const ROUNDS: usize = 5;
/// Rounds in which others took too much are made again, up to so many in all.
const MOST_ROUNDS: usize = 3 * ROUNDS;
/// A round takes at least so long: the first and the last task of each must hardly count.
const ROUND: Duration = Duration::from_secs(4);

/// Processor times of one command.
#[derive(Debug, Clone)]
pub struct Measured {
    pub service: Service,
    /// By source: its name, and the seconds of each run, in ascending order.
    pub sources: Vec<(String, Vec<f64>)>,
    /// The part of the machine that others used meanwhile.
    pub others: f64,
}

impl Measured {
    /// Runs it so often on each of its sources, after once to warm up caches of files.
    pub fn of(
        service: Service,
        sources: &Sources,
        runs: u16,
        folder: &Path,
    ) -> Result<Self, Error> {
        let paths = paths(service.kind, sources);
        let out = folder.join(format!("out-{}.{}", service.name, service.writes));
        let before = Busy::now()?;
        let mut measured = Vec::new();
        for path in paths {
            let mut seconds = Vec::new();
            for run in 0..=runs {
                let begun = children_s();
                let mut command = service.command(path, &sources.mark, &out);
                error::capture(&mut command).doing(|| format!("run {}", service.name))?;
                if run > 0 {
                    seconds.push(children_s() - begun);
                }
            }
            seconds.sort_unstable_by(f64::total_cmp);
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            measured.push((name, seconds));
        }
        let others = Busy::now()?.others_since(&before);
        Ok(Measured { service, sources: measured, others })
    }

    /// All seconds of all sources, in ascending order.
    pub fn all(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self.sources.iter().flat_map(|(_, runs)| runs.clone()).collect();
        all.sort_unstable_by(f64::total_cmp);
        all
    }
}

/// How many times longer each of several tasks takes side by side than alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    pub kind: &'static str,
    /// Of the machine.
    pub processors: usize,
    /// Tasks at once, and the factor.
    pub points: Vec<(usize, f64)>,
}

impl Curve {
    /// One task, two, and so on to twice as many as there are processors; none if others work on
    /// this machine meanwhile.
    pub fn of(kind: Kind, sources: &Sources, folder: &Path) -> Result<Option<Self>, Error> {
        let Some(service) = SERVICES.into_iter().rfind(|service| service.kind == kind) else {
            return Ok(None);
        };
        let Some(source) = paths(kind, sources).get(1) else { return Ok(None) };
        let work = Work { service, source, sources, folder };
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let mut points: Vec<(usize, f64)> = Vec::new();
        let mut alone = None;
        for count in 1..=2 * processors {
            let Some(seconds) = work.side_by_side(count)? else { return Ok(None) };
            let alone = *alone.get_or_insert(seconds);
            points.push((count, seconds / alone));
        }
        let kind = if kind == Kind::Image { "image" } else { "video" };
        Ok(Some(Curve { kind, processors, points }))
    }
}

/// What is done side by side.
struct Work<'a> {
    service: Service,
    source: &'a Path,
    sources: &'a Sources,
    folder: &'a Path,
}

impl Work<'_> {
    /// The mean seconds of a task, of the undisturbed round in the middle; none if others worked in
    /// too many rounds.
    fn side_by_side(&self, count: usize) -> Result<Option<f64>, Error> {
        let mut rounds = Vec::new();
        for _ in 0..MOST_ROUNDS {
            let before = Busy::now()?;
            let seconds = self.once(count)?;
            if Busy::now()?.others_since(&before) <= MOST_OTHERS {
                rounds.push(seconds);
            }
            if rounds.len() == ROUNDS {
                rounds.sort_unstable_by(f64::total_cmp);
                return Ok(rounds.get(ROUNDS / 2).copied());
            }
        }
        Ok(None)
    }

    /// The mean seconds of a task, with so many at any time: each is followed by another until the
    /// round has been long enough.
    fn once(&self, count: usize) -> Result<f64, Error> {
        let times: Vec<Result<f64, Error>> = thread::scope(|scope| {
            let task = |number: usize| {
                let out = self.folder.join(format!("out-{number}.{}", self.service.writes));
                move || {
                    let begun = Instant::now();
                    let mut done = 0_u32;
                    while begun.elapsed() < ROUND {
                        let mut command =
                            self.service.command(self.source, &self.sources.mark, &out);
                        error::capture(&mut command)
                            .doing(|| format!("run {}", self.service.name))?;
                        done += 1;
                    }
                    Ok(begun.elapsed().as_secs_f64() / f64::from(done.max(1)))
                }
            };
            let tasks: Vec<_> = (0..count).map(|number| scope.spawn(task(number))).collect();
            tasks.into_iter().filter_map(|task| task.join().ok()).collect()
        });
        let rates = times.into_iter().map(|time| time.map(f64::recip));
        let rates = rates.collect::<Result<Vec<f64>, Error>>()?;
        let count = u32::try_from(rates.len()).unwrap_or(u32::MAX);
        Ok(f64::from(count) / rates.iter().sum::<f64>())
    }
}

fn paths(kind: Kind, sources: &Sources) -> &[PathBuf] {
    match kind {
        Kind::Image => &sources.images,
        Kind::Video => &sources.videos,
    }
}

/// Processor seconds of all ended children.
fn children_s() -> f64 {
    let seconds = |time: nix::sys::time::TimeVal| {
        let micros = Duration::from_micros(time.tv_usec().unsigned_abs());
        (Duration::from_secs(time.tv_sec().unsigned_abs()) + micros).as_secs_f64()
    };
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN);
    usage.map_or(0.0, |usage| seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// What processors have done so far, in hundredths of a second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Busy {
    busy: f64,
    all: f64,
    ours: f64,
}

impl Busy {
    fn now() -> Result<Self, Error> {
        let text = fs::read_to_string("/proc/stat").doing(|| "read /proc/stat".to_owned())?;
        Ok(Busy { ours: children_s() * 100.0, ..Busy::parse(&text) })
    }

    /// `cpu  user nice system idle iowait irq softirq steal …` (proc(5)).
    fn parse(text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<f64> =
            line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
        let idle: f64 = ticks.iter().skip(3).take(2).sum();
        let all: f64 = ticks.iter().sum();
        Busy { busy: all - idle, all, ours: 0.0 }
    }

    /// The part of the machine that was neither idle nor our children's.
    fn others_since(&self, before: &Busy) -> f64 {
        let all = (self.all - before.all).max(1.0);
        ((self.busy - before.busy) - (self.ours - before.ours)).max(0.0) / all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_read() {
        let before = Busy::parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n");
        assert_eq!(before, Busy { busy: 150.0, all: 1000.0, ours: 0.0 });
        let now = Busy { ours: 30.0, ..Busy::parse("cpu  150 0 50 840 50 10 0 0\n") };
        // Of a second, 60 hundredths were busy, half of them with our own.
        assert!((now.others_since(&before) - 0.3).abs() < 1e-9);
        assert!(before.others_since(&before).abs() < 1e-9);
    }
}
