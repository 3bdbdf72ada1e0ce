//! Several requests at a time on one instance: they share its cores evenly, and what they lose
//! beyond that, by caches and switches, is a curve that was measured.
//!
//! With n requests that want k cores each on an instance of c cores, each has min(1, c/(n·k)) of its
//! speed alone, divided by the slowdown at n·k/c tasks for each core. With one core, no slowdown and
//! no bound this is egalitarian processor sharing (Kleinrock, "Queueing Systems" II (1976),
//! chapter 4).

use policy::Nanoseconds;

/// How instances of an app work on several requests at a time. Speeds are whole numbers, so that
/// engines that add up progress in different ways come to the same end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crowd {
    /// The speed of each of n requests, by n − 1.
    speeds: Vec<u64>,
    cores: u32,
    cores_of_request: u32,
}

/// How many times as long everything takes, by the number of tasks for each core.
#[derive(Debug, Clone, PartialEq)]
pub struct Slowdown {
    points: Vec<(f64, f64)>,
}

/// The speed of a request that is alone.
pub(crate) const FULL_SPEED: u64 = 1 << 32;

/// What is left of a request, in nanoseconds at [`FULL_SPEED`] and 2⁻³² of them.
pub(crate) fn work(service: Nanoseconds) -> u128 {
    u128::from(service.0) * u128::from(FULL_SPEED)
}

/// How long it takes at a speed until so much work is done.
pub(crate) fn time(work: u128, speed: u64) -> Nanoseconds {
    let time = work.div_ceil(u128::from(speed.max(1)));
    // Slower than in 13 days is never.
    Nanoseconds(u64::try_from(time).unwrap_or(u64::MAX).min(1 << 50))
}

impl Slowdown {
    /// None at all.
    pub const NONE: Slowdown = Slowdown { points: Vec::new() };

    /// From points (tasks for each core, times as long), which ascend; straight between them, and
    /// level outside. None unless all are positive.
    #[must_use]
    pub fn new(points: Vec<(f64, f64)>) -> Option<Self> {
        let ascends = points.is_sorted_by(|left, right| left.0 < right.0);
        let is_positive = |(tasks, times): &(f64, f64)| {
            *tasks > 0.0 && *times > 0.0 && tasks.is_finite() && times.is_finite()
        };
        (ascends && points.iter().all(is_positive)).then_some(Slowdown { points })
    }

    /// How many times as long it takes with so many tasks for each core.
    #[must_use]
    pub fn at(&self, tasks: f64) -> f64 {
        let next = self.points.partition_point(|(known, _)| *known < tasks);
        let left = next.checked_sub(1).and_then(|place| self.points.get(place));
        match (left, self.points.get(next)) {
            (Some(left), Some(right)) => {
                left.1 + (right.1 - left.1) * ((tasks - left.0) / (right.0 - left.0))
            }
            (Some(only), None) | (None, Some(only)) => only.1,
            (None, None) => 1.0,
        }
    }
}

impl Crowd {
    /// The most requests at a time: what a table of speeds holds.
    pub const MOST: u32 = 4_096;

    /// Up to `concurrency` requests that want `cores_of_request` cores each, on `cores`.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "speeds are at most some times 2^32; a cast from a double saturates"
    )]
    pub fn new(concurrency: u32, cores: u32, cores_of_request: u32, slowdown: &Slowdown) -> Self {
        let cores = cores.max(1);
        let cores_of_request = cores_of_request.max(1);
        let speed = |running: u32| {
            let tasks = f64::from(running) * f64::from(cores_of_request) / f64::from(cores);
            let speed = (1.0 / tasks).min(1.0) / slowdown.at(tasks);
            ((speed * FULL_SPEED as f64).round() as u64).max(1)
        };
        let speeds = (1..=concurrency.clamp(1, Self::MOST)).map(speed).collect();
        Crowd { speeds, cores, cores_of_request }
    }

    /// The most requests that an instance works on.
    #[must_use]
    pub fn concurrency(&self) -> u32 {
        u32::try_from(self.speeds.len()).unwrap_or(u32::MAX)
    }

    /// The speed of each of so many requests, of [`FULL_SPEED`].
    #[inline]
    pub(crate) fn speed(&self, running: usize) -> u64 {
        self.speeds.get(running.saturating_sub(1)).copied().unwrap_or(1)
    }

    /// The most work that an instance does, in times of the work of one request that is alone.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn most_work(&self) -> f64 {
        let all = (1u64..).zip(&self.speeds).map(|(running, speed)| running * speed);
        all.max().unwrap_or(0) as f64 / FULL_SPEED as f64
    }

    /// The part of its instance that a request needs, as a fraction.
    pub(crate) fn part(&self) -> (u32, u32) {
        (self.cores_of_request.min(self.cores), self.cores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_shares_of_cores() {
        let crowd = Crowd::new(8, 4, 1, &Slowdown::NONE);
        let speeds: Vec<u64> = (1..=8).map(|running| crowd.speed(running)).collect();
        let shared = [5u64, 6, 7, 8].map(|running| (FULL_SPEED * 4 + running / 2) / running);
        assert_eq!(speeds[..4], [FULL_SPEED; 4]);
        assert_eq!(speeds[4..], shared);
        assert!((crowd.most_work() - 4.0).abs() < 1e-6);
        // Two cores for each: half of the requests fill it.
        let wide = Crowd::new(4, 4, 2, &Slowdown::NONE);
        assert_eq!([1, 2, 4].map(|n| wide.speed(n)), [FULL_SPEED, FULL_SPEED, FULL_SPEED / 2]);
        assert_eq!(Crowd::new(1, 1, 4, &Slowdown::NONE).speed(1), FULL_SPEED / 4);
    }

    #[test]
    fn slowdowns_are_straight_between_points() {
        let curve = Slowdown::new(vec![(1.0, 1.0), (2.0, 1.5), (4.0, 2.5)]).unwrap();
        assert_eq!(
            [0.5, 1.0, 1.5, 3.0, 4.0, 9.0].map(|x| curve.at(x)),
            [1.0, 1.0, 1.25, 2.0, 2.5, 2.5]
        );
        let crowd = Crowd::new(8, 2, 1, &curve);
        assert_eq!(crowd.speed(4), FULL_SPEED / 3);
        // More at a time is less in all.
        assert!((crowd.most_work() - 2.0).abs() < 1e-6);
        for wrong in [vec![(1.0, 1.0), (1.0, 2.0)], vec![(0.0, 1.0)], vec![(1.0, -1.0)]] {
            assert_eq!(Slowdown::new(wrong), None);
        }
    }

    #[test]
    fn work_takes_its_time() {
        assert_eq!(time(work(Nanoseconds(7)), FULL_SPEED), Nanoseconds(7));
        assert_eq!(time(work(Nanoseconds(7)), FULL_SPEED / 3), Nanoseconds(22));
        assert_eq!(time(0, 5), Nanoseconds(0));
    }
}
