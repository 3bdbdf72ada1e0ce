//! How much of their time two lanes would wait for each other if two threads moved them. One thread moves
//! them in turn and looks at the clock; who would wait for whom follows from these times. So it can be told
//! on a machine whose processors differ, or are shared with others, too. What it takes to hand parcels to
//! another processor isn't in it.

use std::time::{Duration, Instant};

use simulator_model::windows::{Lane, Tally};

use crate::{in_lanes, platform};

/// Long enough that what comes once in a window, a block or a report comes often.
const REQUESTS: u64 = 1_000_000;
/// The same steps so many times; the least that each has taken is taken, so that what comes from
/// elsewhere falls out.
const RUNS: usize = 5;
const LANES: u16 = 2;

/// What a step has taken in each lane.
type Step = [Duration; LANES as usize];

/// A line of text.
pub fn report() -> String {
    let steps = steps();
    let work: Duration = steps.iter().flatten().sum();
    let share = |length: Duration| {
        100.0 * work.as_secs_f64() / (f64::from(LANES) * length.as_secs_f64().max(1e-9))
    };
    format!(
        "{} steps of {:.1} µs: lanes work {:.1} % of the time if what is sent is opened {} steps later, \
         {:.1} % if all meet after each window",
        steps.len(),
        1e6 * work.as_secs_f64() / steps.iter().flatten().count().max(1) as f64,
        share(in_steps(&steps)),
        Lane::<Tally>::TRAVEL,
        share(in_windows(&steps)),
    )
}

/// The least that each step takes.
fn steps() -> Vec<Step> {
    let model = platform(40, 200, REQUESTS);
    let Some(network) = model.network else { return Vec::new() };
    let mut least: Vec<Step> = Vec::new();
    for _ in 0..RUNS {
        let mut steps: Vec<Step> = Vec::new();
        in_lanes(&model, network, LANES, &mut |lane, move_on| {
            let before = Instant::now();
            move_on();
            let taken = before.elapsed();
            if lane == 0 {
                steps.push(<Step>::default());
            }
            steps
                .iter_mut()
                .rev()
                .take(1)
                .flat_map(|step| step.get_mut(lane))
                .for_each(|it| *it = taken);
        });
        if least.is_empty() {
            least.clone_from(&steps);
        }
        for (least, taken) in least.iter_mut().flatten().zip(steps.iter().flatten()) {
            *least = (*least).min(*taken);
        }
    }
    least
}

/// How long all takes if a lane begins a step when it is done with the one before and the other one with
/// the one before that.
fn in_steps(steps: &[Step]) -> Duration {
    let (mut before, mut done) = (<Step>::default(), <Step>::default());
    for taken in steps {
        let sent = before.into_iter().max().unwrap_or_default();
        before = done;
        for (done, taken) in done.iter_mut().zip(taken) {
            *done = (*done).max(sent) + *taken;
        }
    }
    done.into_iter().max().unwrap_or_default()
}

/// How long it takes if each window, of two steps, begins when all are done with the one before.
fn in_windows(steps: &[Step]) -> Duration {
    let slowest = |window: &[Step]| {
        let lane = |lane| window.iter().filter_map(|step: &Step| step.get(lane)).sum::<Duration>();
        (0..usize::from(LANES)).map(lane).max().unwrap_or_default()
    };
    steps.chunks(2).map(slowest).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_micros(3);
    const SHORT: Duration = Duration::from_micros(1);

    /// Each lane is slow in turn. Who is done with a step may begin the next one, but not a third.
    #[test]
    fn a_lane_waits_for_what_was_sent_two_steps_before() {
        let steps = [[LONG, SHORT], [SHORT, LONG], [SHORT, LONG], [LONG, SHORT]];
        assert_eq!(in_steps(&steps), 2 * LONG + 2 * SHORT);
        assert_eq!(in_windows(&steps), 2 * LONG + 2 * SHORT);
        // The first lane is ahead by one step, and waits with the third one.
        let steps = [[SHORT, LONG], [SHORT, SHORT], [SHORT, SHORT], [SHORT, SHORT]];
        assert_eq!(in_steps(&steps), LONG + 3 * SHORT);
        let steps = [[SHORT, LONG], [SHORT, SHORT], [LONG, SHORT], [SHORT, SHORT]];
        assert_eq!(in_steps(&steps), 2 * LONG + SHORT);
        assert_eq!(in_windows(&steps), 2 * LONG + 2 * SHORT);
    }
}
