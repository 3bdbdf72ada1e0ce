//! `run --precision 1%`: how many replications it takes until the figures are as precise as wanted.

use simulator_kernel::Moments;
use simulator_model::{Cell, Report};

/// Fewer runs say little about their own spread.
pub const FEWEST: u32 = 5;
/// Whoever wants more says so with --replications.
pub const MOST: u32 = 1_000;
/// The p99 may be so many times as imprecise as the mean.
const TAIL: f64 = 2.0;

/// How many runs are needed as far as the present ones tell; as many as there are if they suffice.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded on both sides; a cast from a double saturates"
)]
pub fn wanted(reports: &[&Report], precision: f64) -> u32 {
    let present = u32::try_from(reports.len()).unwrap_or(u32::MAX);
    if present < FEWEST {
        return FEWEST;
    }
    let excess = widths(reports, precision).fold(0.0, f64::max);
    if excess <= 1.0 {
        return present;
    }
    // The width falls with the root of the number; no more than twice as many at a time, since the
    // estimate of the spread is one, too.
    let needed = (f64::from(present) * excess * excess).ceil();
    (needed.min(f64::from(present) * 2.0) as u32).max(present + 1)
}

type Figure = fn(&Cell) -> Option<f64>;

/// For the mean and the p99 of each cell: half the width of the 95 % interval, as a part of what is
/// allowed.
fn widths(reports: &[&Report], precision: f64) -> impl Iterator<Item = f64> {
    let cells = reports.first().map_or(0, |report| report.cells.len());
    let figures: [(Figure, f64); 2] = [
        (|cell| cell.response.mean(), 1.0),
        (|cell| cell.response.quantile(0.99).map(|time| time.seconds() * 1e9), TAIL),
    ];
    (0..cells).flat_map(move |place| {
        figures.into_iter().filter_map(move |(figure, allowed)| {
            let cells = reports.iter().filter_map(|report| report.cells.get(place));
            let moments: Moments = cells.filter_map(figure).collect();
            let interval = moments.interval(0.95)?;
            Some(interval.half_width / (interval.mean * precision * allowed))
        })
    })
}

#[cfg(test)]
mod tests {
    use policy::{Nanoseconds, Time};
    use simulator_model::{Arrival, Model, Record, Served};

    use super::FEWEST;
    use super::Report;

    /// Reports of one request each, with these responses in milliseconds.
    fn reports(responses: &[u64]) -> Vec<Report> {
        let mut sources = diagnostics::Sources::default();
        let text = "version: 1
duration: 1s
machines: 1
apps: {a: {instances: 1}}
cmds: {c: {app: a, service: {constant: 1ms}}}
tenants: {t: {class: free}}
workload: [{tenants: t, cmd: c, arrivals: {constant: 1/s}}]
";
        let source = sources.add("scenario.yml", text);
        let found = simulator::scenario::read(source, &[], &mut sources, |_, _| Err(String::new()));
        let model: Model = found.scenario.unwrap().model;
        let one = |response: &u64| {
            let mut report = Report::new(&model);
            let arrival = Arrival {
                number: 0,
                key: 0,
                at: Time::ZERO,
                service: Nanoseconds(1),
                user: 0,
                source: 0,
                gateway: 0,
            };
            let end = Time::ZERO + Nanoseconds::from_milliseconds(*response);
            report.record(&arrival, Ok(Served::new(0, Time::ZERO, end)));
            report
        };
        responses.iter().map(one).collect()
    }

    fn wanted(reports: &[Report], precision: f64) -> u32 {
        super::wanted(&reports.iter().collect::<Vec<&Report>>(), precision)
    }

    #[test]
    fn as_many_as_it_takes() {
        assert_eq!(wanted(&reports(&[100, 101]), 0.01), FEWEST);
        // The mean of five is 100, the standard deviation 1.58: ±1.96 by Student's t.
        let five = reports(&[98, 99, 100, 101, 102]);
        assert_eq!(wanted(&five, 0.02), 5);
        assert_eq!(wanted(&five, 0.0196), 6);
        // 5 × 1.51² = 11.4, but not more than twice as many at a time.
        assert_eq!(wanted(&five, 0.013), 10);
        assert_eq!(wanted(&five, 0.015), 9);
        assert_eq!(wanted(&reports(&[100; 6]), 0.0001), 6);
    }
}
