//! What a reader of a run should know before believing its figures: quantiles that stand on too few
//! requests, and a warm-up that is too short or too long.

use policy::{Nanoseconds, Time};
use simulator_kernel::warm_up::{self, Cut};
use simulator_model::{Cell, Model, Report, Timeline};

use crate::table::{QUANTILES, grouped};

/// So many requests above a quantile make it known within about a third of its distance to the next.
const FEWEST_ABOVE: f64 = 10.0;
/// MSER-5 cuts a bit of what is alike, too: this part of the run more than given isn't told.
const CUT_TOLERANCE: f64 = 0.05;

/// Warnings about a run; the course of its first replication is looked at if it was recorded.
pub fn warnings(model: &Model, merged: &Report, course: Option<&Timeline>) -> Vec<String> {
    let mut found: Vec<String> =
        merged.cells.iter().filter_map(|cell| too_few(model, cell)).collect();
    if model.warm_up.0 > model.duration.0 / 2 {
        found.push(format!(
            "the warm-up of {} is more than half of the run: a longer run costs little more and \
             tells much more",
            model.warm_up
        ));
    }
    if let Some(course) = course.filter(|_| is_steady(model)) {
        let apps = model.apps.iter().enumerate();
        found.extend(apps.filter_map(|(app, it)| warm_up(model, course, app, &it.name)));
    }
    found
}

/// Longer runs are not recorded only to see whether their warm-up is long enough.
const MOST_RECORDED: f64 = 3e7;

/// Whether the course of a run can tell something about its warm-up.
pub fn looks_at_course(model: &Model) -> bool {
    let expected = |source: &simulator_model::Source| source.arrivals.expected(model.duration);
    is_steady(model) && model.sources.iter().map(expected).sum::<f64>() <= MOST_RECORDED
}

/// Whether all that arrives is alike from beginning to end: only then there is a steady state.
fn is_steady(model: &Model) -> bool {
    model.sources.iter().all(|source| source.arrivals.is_steady())
}

/// The lowest quantile of a cell that stands on too few requests.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts for people"
)]
fn too_few(model: &Model, cell: &Cell) -> Option<String> {
    let served = cell.served();
    if served == 0 {
        return None;
    }
    let above = |part: f64| served as f64 * (1.0 - part);
    let (name, part) = QUANTILES.into_iter().find(|(_, part)| above(*part) < FEWEST_ABOVE)?;
    let cmd = model.cmds.get(cell.cmd).map_or("all", |cmd| cmd.name.as_str());
    let times = (FEWEST_ABOVE / above(part)).ceil() as u64;
    Some(format!(
        "{name} of {cmd} {} and what is above it stand on too few of {} requests: runs {} times as \
         long, or more --replications, would bear it",
        cell.class.name(),
        grouped(served),
        grouped(times.max(2)),
    ))
}

/// What MSER-5 says of the number of requests in an app.
fn warm_up(model: &Model, course: &Timeline, app: usize, name: &str) -> Option<String> {
    let buckets = course.buckets(app, None);
    let present: Vec<f64> = buckets.iter().map(|bucket| bucket.waiting + bucket.busy).collect();
    let Cut { values, is_late } = warm_up::mser5(&present)?;
    let (cut, _) = course.bounds().nth(values).unwrap_or((Time(model.duration.0), Time::ZERO));
    let cut = cut.since(Time::ZERO);
    if is_late {
        return Some(format!(
            "{name} doesn't settle: the first {cut} of {} aren't like the rest (MSER-5); is it \
             overloaded, or is the run too short?",
            model.duration
        ));
    }
    let beyond = cut.seconds() - model.warm_up.seconds();
    (beyond > CUT_TOLERANCE * model.duration.seconds()).then(|| {
        format!(
            "{name} is filling up in the first {cut} (MSER-5); the warm-up of {} is too short",
            shown(model.warm_up)
        )
    })
}

fn shown(length: Nanoseconds) -> String {
    if length == Nanoseconds::ZERO { "nothing".to_owned() } else { length.to_string() }
}

#[cfg(test)]
mod tests {
    use diagnostics::Sources;
    use simulator::scenario;
    use simulator_model::{Workload, engine};

    use super::*;

    fn told(duration: &str, warm_up: &str, rate: &str, service: &str) -> Vec<String> {
        let text = format!(
            "version: 1
duration: {duration}
warm_up: {warm_up}
machines: 4
policy: {{preset: recommended, queue: {{free: unlimited}}}}
apps:
  video: {{instances: 25}}
cmds:
  avthumb: {{app: video, service: {service}}}
tenants:
  all: {{class: free}}
workload:
  - {{tenants: all, cmd: avthumb, arrivals: {{poisson: {rate}}}}}
"
        );
        let mut sources = Sources::default();
        let source = sources.add("scenario.yml", text);
        let found = scenario::read(source, &[], &mut sources, |_, _| Err(String::new()));
        let model = found.scenario.unwrap().model;
        let (report, course) =
            engine::watched_timeline(&model, Workload::new(&model), &mut |_| true);
        warnings(&model, &report, Some(&course))
    }

    #[test]
    fn a_good_run_is_not_remarked_on() {
        assert_eq!(told("2h", "20min", "100/min", "{exponential: 30s}"), [""; 0]);
    }

    #[test]
    fn a_short_warm_up_is_found() {
        let found = told("2h", "0s", "10/min", "{constant: 8min}");
        assert!(found.iter().any(|text| text.contains("is filling up in the first")), "{found:?}");
        let found = told("2h", "15min", "10/min", "{constant: 8min}");
        assert!(!found.iter().any(|text| text.contains("MSER")), "{found:?}");
    }

    #[test]
    fn a_queue_that_grows_and_grows_is_found() {
        let found = told("2h", "20min", "210/min", "{exponential: 30s}");
        assert!(found.iter().any(|text| text.starts_with("video doesn't settle")), "{found:?}");
    }

    #[test]
    fn few_requests_and_long_warm_ups_are_found() {
        let found = told("20min", "15min", "10/min", "{exponential: 30s}");
        assert!(found[0].starts_with("p90 of avthumb free"), "{found:?}");
        assert!(found[1].starts_with("the warm-up of 15min is more than half"), "{found:?}");
    }
}
