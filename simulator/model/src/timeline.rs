//! What happened when: the run cut into a fixed number of buckets, for each app and class. Memory
//! doesn't depend on the number of requests, and as all of it is integers, nothing depends on the
//! order in which outcomes come.

use std::collections::BTreeMap;

use policy::scaling::{Action, Observation};
use policy::{Class, Nanoseconds, Refusal, Time, sharing};
use simulator_kernel::CoarseHistogram;

use crate::model::Model;
use crate::stages::Paths;
use crate::{Arrival, Instances, Outcome, Record};

/// The most buckets of a run: a point for every two or three pixels of a plot.
pub const MOST_BUCKETS: u64 = 300;
/// The most decisions that are kept: a day of them, one a second, and some.
pub const MOST_DECISIONS: usize = 100_000;

/// The course of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    grid: Grid,
    apps: Vec<Course>,
    /// App and class of each source.
    sources: Vec<(usize, Class)>,
    /// The bucket in which a request arrived that was told of last: most likely that of the next.
    recent: usize,
    paths: Paths,
    decisions: Vec<Decision>,
    shared: Vec<Shared>,
    /// What was decided last for each pair of apps that share, by the place of the pair.
    last_shared: BTreeMap<usize, sharing::Action>,
    scheduled: Vec<Scheduled>,
    unlisted: u64,
}

/// What the rule of sharing has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// When.
    pub at: Time,
    /// For which pair, as a place in [`crate::Sharing::pairs`].
    pub pair: usize,
    /// What it saw.
    pub seen: sharing::Observation,
    /// What it decided, and why.
    pub action: sharing::Action,
}

/// What the scheduler has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// When, by the clock of the run; that of the scheduler is ahead of it.
    pub at: Time,
    /// For which app, as a place in [`Model::apps`]; for all if absent.
    pub app: Option<usize>,
    /// What, with all that it needs to be decided again.
    pub decision: scheduler_core::decision::Decision,
}

/// What the scaling rule has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub at: Time,
    /// For which app, as a place in [`Model::apps`].
    pub app: usize,
    /// What it saw.
    pub seen: Observation,
    /// What it decided, and why.
    pub action: Action,
}

/// Requests of an app and a class, or of both classes, in one bucket.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bucket {
    /// How many arrived.
    pub arrivals: u64,
    /// How many of those were refused, by cause, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
    /// How many ended, whenever they had arrived.
    pub completed: u64,
    /// How many waited, as the mean over the bucket.
    pub waiting: f64,
    /// How many were worked on, as the mean over the bucket.
    pub busy: f64,
    /// From the arrival to the end, of those that arrived in it and were served.
    pub response: CoarseHistogram,
}

/// Instances of an app in one bucket, as means over it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MeanInstances {
    /// They work or wait for work.
    pub ready: f64,
    /// They were asked for and don't work yet.
    pub starting: f64,
    /// They end what they have and take nothing new.
    pub leaving: f64,
}

/// Buckets of equal length; the last one ends with the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grid {
    /// In nanoseconds; at least 1.
    width: u64,
    count: usize,
    end: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Course {
    classes: [Traffic; Class::ALL.len()],
    present: Instances,
    changed: Time,
    decided: Option<Action>,
    ready: Integral,
    starting: Integral,
    leaving: Integral,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Traffic {
    rows: Vec<Row>,
    waiting: Integral,
    busy: Integral,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Row {
    arrivals: u64,
    refused: [u64; Refusal::ALL.len()],
    completed: u64,
    response: CoarseHistogram,
}

/// A number that changes with time, integrated over each bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Integral {
    /// In nanoseconds: of spans that don't cover the whole bucket.
    parts: Vec<u128>,
    /// Of spans that do: by how much their number differs from that of the bucket before.
    steps: Vec<i64>,
}

impl Timeline {
    /// An empty course of a model's run.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        let grid = Grid::new(model.duration.0);
        let source = |source: &crate::Source| {
            let class = model.tenants.get(source.tenants).map_or(Class::Free, |group| group.class);
            (model.cmds.get(source.cmd).map_or(0, |cmd| cmd.app), class)
        };
        let course = |app: &crate::App| Course::new(grid, app.all_instances());
        Timeline {
            grid,
            apps: model.apps.iter().map(course).collect(),
            sources: model.sources.iter().map(source).collect(),
            recent: 0,
            paths: Paths::new(model),
            decisions: Vec::new(),
            shared: Vec::new(),
            last_shared: BTreeMap::new(),
            scheduled: Vec::new(),
            unlisted: 0,
        }
    }

    /// Drops what comes after the last bucket that had ended when the run was stopped.
    pub fn cut(&mut self, stopped: Time) {
        let whole = usize::try_from(stopped.0 / self.grid.width).unwrap_or(usize::MAX);
        if whole < self.grid.count {
            self.grid.count = whole;
            self.grid.end = self.grid.width * whole as u64;
        }
    }

    /// The length of the buckets but the last, which may be shorter.
    #[must_use]
    pub const fn width(&self) -> Nanoseconds {
        Nanoseconds(self.grid.width)
    }

    /// When each bucket begins and ends.
    pub fn bounds(&self) -> impl Iterator<Item = (Time, Time)> {
        let grid = self.grid;
        (0..grid.count).map(move |bucket| (Time(grid.begin(bucket)), Time(grid.end(bucket))))
    }

    /// The buckets of an app: of one class, or of both.
    #[must_use]
    pub fn buckets(&self, app: usize, class: Option<Class>) -> Vec<Bucket> {
        let mut buckets = vec![Bucket::default(); self.grid.count];
        let Some(course) = self.apps.get(app) else { return buckets };
        for (known, traffic) in Class::ALL.iter().zip(&course.classes) {
            if class.is_some_and(|class| class != *known) {
                continue;
            }
            let means = traffic.waiting.means(self.grid).zip(traffic.busy.means(self.grid));
            let rows = traffic.rows.iter().zip(means);
            for (bucket, (row, (waiting, busy))) in buckets.iter_mut().zip(rows) {
                bucket.arrivals += row.arrivals;
                bucket.completed += row.completed;
                for (count, more) in bucket.refused.iter_mut().zip(row.refused) {
                    *count += more;
                }
                bucket.waiting += waiting;
                bucket.busy += busy;
                bucket.response.merge(&row.response);
            }
        }
        buckets
    }

    /// The instances of an app in each bucket.
    #[must_use]
    pub fn instances(&self, app: usize) -> Vec<MeanInstances> {
        let Some(mut course) = self.apps.get(app).cloned() else { return Vec::new() };
        course.change(self.grid, Time(self.grid.end), Instances::default());
        let ready = course.ready.means(self.grid);
        let others = course.starting.means(self.grid).zip(course.leaving.means(self.grid));
        let means = ready.zip(others);
        means
            .map(|(ready, (starting, leaving))| MeanInstances { ready, starting, leaving })
            .collect()
    }

    /// Decisions in the order of time: all that changed the number of instances, and of those that
    /// kept it the ones for another reason than the decision before; at most [`MOST_DECISIONS`].
    #[must_use]
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// Decisions of the rule of sharing in the order of time: all that lend or call back, and of the
    /// others those for another reason than the decision before; at most [`MOST_DECISIONS`].
    #[must_use]
    pub fn shared(&self) -> &[Shared] {
        &self.shared
    }

    /// All decisions of the scheduler in the order of time; at most [`MOST_DECISIONS`].
    #[must_use]
    pub fn scheduled(&self) -> &[Scheduled] {
        &self.scheduled
    }

    /// How many decisions would have been kept beyond [`MOST_DECISIONS`].
    #[must_use]
    pub const fn unlisted_decisions(&self) -> u64 {
        self.unlisted
    }
}

/// The times of a request that its outcome doesn't tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trip {
    /// When it arrived at its gateway.
    pub at: Time,
    /// When it came to its target.
    pub joined: Time,
    /// How long the answer takes.
    pub back: Nanoseconds,
}

impl Timeline {
    /// Takes in the outcome of a request of this source.
    #[inline(always)]
    pub(crate) fn add(&mut self, source: u16, trip: Trip, outcome: Outcome) {
        let Some((app, class)) = self.sources.get(usize::from(source)) else { return };
        let traffic = self.apps.get_mut(*app);
        let traffic = traffic.and_then(|course| course.classes.get_mut(class.index()));
        let Some(traffic) = traffic else { return };
        let came = self.grid.place_near(trip.at.0, self.recent);
        self.recent = came;
        let Some(row) = traffic.rows.get_mut(came) else { return };
        row.arrivals += 1;
        match outcome {
            Err(cause) => {
                if let Some(count) = row.refused.get_mut(cause.index()) {
                    *count += 1;
                }
            }
            Ok(served) => {
                row.response.record(served.end.since(trip.at) + trip.back);
                let joined = self.grid.place_after(trip.joined.0, came);
                let start = self.grid.place_after(served.start.0, joined);
                let end = self.grid.place_after(served.end.0, start);
                if let Some(row) = traffic.rows.get_mut(end) {
                    row.completed += 1;
                }
                let (joins, begun, ended) = (trip.joined.0, served.start.0, served.end.0);
                traffic.waiting.add(self.grid, (joins, joined), (begun, start), 1);
                traffic.busy.add(self.grid, (begun, start), (ended, end), 1);
            }
        }
    }

    /// Adds the requests of another part of the same run; instances and decisions are this one's.
    pub fn merge(&mut self, other: &Timeline) {
        for (course, more) in self.apps.iter_mut().zip(&other.apps) {
            for (traffic, more) in course.classes.iter_mut().zip(&more.classes) {
                traffic.merge(more);
            }
        }
    }
}

impl Traffic {
    fn merge(&mut self, other: &Traffic) {
        for (row, more) in self.rows.iter_mut().zip(&other.rows) {
            row.arrivals += more.arrivals;
            row.completed += more.completed;
            for (count, more) in row.refused.iter_mut().zip(more.refused) {
                *count += more;
            }
            row.response.merge(&more.response);
        }
        self.waiting.merge(&other.waiting);
        self.busy.merge(&other.busy);
    }
}

impl Record for Timeline {
    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        let path = outcome
            .ok()
            .and_then(|served| self.paths.of(arrival).map(|path| path.took(served.transfers)));
        let path = path.unwrap_or_default();
        let joined = arrival.at + path.before();
        let trip = Trip { at: arrival.at, joined, back: path.respond };
        self.add(arrival.source, trip, outcome);
    }

    fn change(&mut self, at: Time, app: usize, instances: Instances) {
        if let Some(course) = self.apps.get_mut(app) {
            course.change(self.grid, at, instances);
        }
    }

    fn scheduled(
        &mut self,
        at: Time,
        app: Option<usize>,
        decision: &scheduler_core::decision::Decision,
    ) {
        if self.scheduled.len() < MOST_DECISIONS {
            self.scheduled.push(Scheduled { at, app, decision: decision.clone() });
        } else {
            self.unlisted += 1;
        }
    }

    fn share(
        &mut self,
        at: Time,
        pair: usize,
        seen: sharing::Observation,
        action: sharing::Action,
    ) {
        let before = self.last_shared.insert(pair, action);
        let is_kept = |action| matches!(action, sharing::Action::Keep(_));
        if is_kept(action) && before.is_some_and(|before| shares_the_same(before, action)) {
            return;
        }
        if self.shared.len() < MOST_DECISIONS {
            self.shared.push(Shared { at, pair, seen, action });
        } else {
            self.unlisted += 1;
        }
    }

    fn decide(&mut self, at: Time, app: usize, seen: Observation, action: Action) {
        let Some(course) = self.apps.get_mut(app) else { return };
        let before = course.decided.replace(action);
        if before.is_some_and(|before| says_the_same(before, action)) {
            return;
        }
        if self.decisions.len() < MOST_DECISIONS {
            self.decisions.push(Decision { at, app, seen, action });
        } else {
            self.unlisted += 1;
        }
    }
}

/// Whether both keep the number of instances for the same reason, whatever time is left.
fn says_the_same(left: Action, right: Action) -> bool {
    use policy::scaling::Kept;
    let (Action::Keep(left), Action::Keep(right)) = (left, right) else { return false };
    let without_time = |kept| match kept {
        Kept::CoolsDown(_) => Kept::CoolsDown(Nanoseconds::ZERO),
        Kept::NotForLong(_) => Kept::NotForLong(Nanoseconds::ZERO),
        other => other,
    };
    without_time(left) == without_time(right)
}

/// Whether both keep what is lent for the same reason, whatever time is left.
fn shares_the_same(left: sharing::Action, right: sharing::Action) -> bool {
    use policy::sharing::Kept;
    let without_time = |action| match action {
        sharing::Action::Keep(Kept::NotForLong(_)) => {
            sharing::Action::Keep(Kept::NotForLong(Nanoseconds::ZERO))
        }
        other => other,
    };
    without_time(left) == without_time(right)
}

impl Grid {
    fn new(duration: u64) -> Self {
        let width = duration.div_ceil(MOST_BUCKETS).max(1);
        let count = usize::try_from(duration.div_ceil(width)).unwrap_or(0);
        Grid { width, count, end: duration }
    }

    /// The bucket of an instant; one beyond the last if the run has ended then.
    #[inline]
    fn place(self, at: u64) -> usize {
        if at < self.end {
            usize::try_from(at / self.width).unwrap_or(self.count)
        } else {
            self.count
        }
    }

    /// The same for an instant that is most likely in the bucket `near`.
    #[inline]
    fn place_near(self, at: u64, near: usize) -> usize {
        // Without a division.
        if self.begin(near) <= at && at < self.end(near) { near } else { self.place(at) }
    }

    /// The same for an instant that isn't before the bucket `from`, most likely within it.
    #[inline]
    fn place_after(self, at: u64, from: usize) -> usize {
        if at < self.end(from) { from } else { self.place(at) }
    }

    const fn begin(self, bucket: usize) -> u64 {
        self.width.saturating_mul(bucket as u64)
    }

    fn end(self, bucket: usize) -> u64 {
        self.begin(bucket + 1).min(self.end)
    }
}

impl Course {
    fn new(grid: Grid, instances: u64) -> Self {
        let traffic = || Traffic {
            rows: vec![Row::default(); grid.count],
            waiting: Integral::new(grid),
            busy: Integral::new(grid),
        };
        let ready = u32::try_from(instances).unwrap_or(u32::MAX);
        Course {
            classes: [traffic(), traffic()],
            present: Instances { ready, ..Instances::default() },
            changed: Time::ZERO,
            decided: None,
            ready: Integral::new(grid),
            starting: Integral::new(grid),
            leaving: Integral::new(grid),
        }
    }

    fn change(&mut self, grid: Grid, at: Time, next: Instances) {
        let from = (self.changed.0, grid.place(self.changed.0));
        let until = (at.0, grid.place(at.0));
        let Instances { ready, starting, leaving } = self.present;
        let levels = [&mut self.ready, &mut self.starting, &mut self.leaving];
        for (level, number) in levels.into_iter().zip([ready, starting, leaving]) {
            level.add(grid, from, until, number);
        }
        (self.present, self.changed) = (next, at);
    }
}

impl Integral {
    fn new(grid: Grid) -> Self {
        Integral { parts: vec![0; grid.count], steps: vec![0; grid.count] }
    }

    fn merge(&mut self, other: &Integral) {
        self.parts.iter_mut().zip(&other.parts).for_each(|(part, more)| *part += more);
        self.steps.iter_mut().zip(&other.steps).for_each(|(step, more)| *step += more);
    }

    /// Adds a number from one instant to another, both given with their buckets.
    #[inline]
    fn add(&mut self, grid: Grid, from: (u64, usize), until: (u64, usize), number: u32) {
        let ((from, first), (until, last)) = (from, until);
        let mut part = |bucket: usize, length: u64| {
            if let Some(part) = self.parts.get_mut(bucket) {
                *part += u128::from(length) * u128::from(number);
            }
        };
        if first == last {
            part(first, until.saturating_sub(from));
            return;
        }
        part(first, grid.end(first).saturating_sub(from));
        part(last, until.saturating_sub(grid.begin(last)));
        if let Some(step) = self.steps.get_mut(first + 1) {
            *step += i64::from(number);
        }
        if let Some(step) = self.steps.get_mut(last) {
            *step -= i64::from(number);
        }
    }

    /// The mean over each bucket.
    #[expect(clippy::cast_precision_loss, reason = "means for people")]
    fn means(&self, grid: Grid) -> impl Iterator<Item = f64> {
        let mut level = 0;
        let buckets = self.parts.iter().zip(&self.steps).take(grid.count).enumerate();
        buckets.map(move |(bucket, (part, step))| {
            level += step;
            let length = grid.end(bucket) - grid.begin(bucket);
            level as f64 + *part as f64 / length.max(1) as f64
        })
    }
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
pub(crate) mod tests;
