//! The course of a run for programs: `timeline.csv` and `decisions.csv`. Times are in nanoseconds.

use policy::scaling::Action;
use policy::{Class, Refusal};
use simulator_model::Timeline;
use simulator_model::timeline::{Bucket, MeanInstances};

use crate::export::quoted;
use crate::results::Results;

/// Percentiles of each bucket.
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// A row for each bucket, app and class, and one for both classes (`all`) with the instances, which
/// belong to no class.
pub fn timeline_csv(results: &Results, timeline: &Timeline) -> String {
    let mut columns: Vec<String> =
        ["from_ns", "until_ns", "app", "class", "arrivals", "completed"].map(str::to_owned).into();
    columns.extend(Refusal::ALL.map(|cause| format!("refused_{}", cause.name())));
    columns.extend(["waiting_mean", "busy_mean"].map(str::to_owned));
    columns.extend(PERCENTILES.map(|(name, _)| format!("response_{name}_ns")));
    columns.extend(["ready_mean", "starting_mean", "leaving_mean"].map(str::to_owned));
    let mut text = columns.join(",");
    text.push('\n');
    for (place, app) in results.scenario.model.apps.iter().enumerate() {
        let instances = timeline.instances(place);
        let rows = [None, Some(Class::Free), Some(Class::Paid)].map(|class| {
            (class.map_or("all", Class::name), timeline.buckets(place, class), class.is_none())
        });
        for (bucket, (from, until)) in timeline.bounds().enumerate() {
            for (class, buckets, is_all) in &rows {
                let Some(row) = buckets.get(bucket) else { continue };
                let begin = [from.0.to_string(), until.0.to_string(), quoted(&app.name)];
                let mut cells: Vec<String> = begin.into();
                cells.push((*class).to_owned());
                cells.extend(numbers(row));
                cells.extend(levels(instances.get(bucket).filter(|_| *is_all)));
                text.push_str(&cells.join(","));
                text.push('\n');
            }
        }
    }
    text
}

fn numbers(bucket: &Bucket) -> Vec<String> {
    let mut cells = vec![bucket.arrivals.to_string(), bucket.completed.to_string()];
    cells.extend(bucket.refused.map(|count| count.to_string()));
    cells.extend([bucket.waiting, bucket.busy].map(|mean| format!("{mean:.3}")));
    let quantiles = PERCENTILES.map(|(_, part)| bucket.response.quantile(part));
    cells.extend(quantiles.map(|time| time.map_or(String::new(), |time| time.0.to_string())));
    cells
}

fn levels(instances: Option<&MeanInstances>) -> [String; 3] {
    instances.map_or([const { String::new() }; 3], |instances| {
        [instances.ready, instances.starting, instances.leaving].map(|mean| format!("{mean:.3}"))
    })
}

/// A row for each decision of the scaling rule that is kept: see `Timeline::decisions`.
pub fn decisions_csv(results: &Results, timeline: &Timeline) -> String {
    let mut text = String::from("at_ns,app,tasks,instances,change,reason\n");
    for decision in timeline.decisions() {
        let app = results.scenario.model.apps.get(decision.app);
        let change = match decision.action {
            Action::Add(count, _) => format!("+{count}"),
            Action::Remove(count, _) => format!("-{count}"),
            Action::Keep(_) => "0".to_owned(),
        };
        let action = decision.action.to_string();
        let reason = action.split_once(": ").map_or(action.as_str(), |(_, reason)| reason);
        let cells = [
            decision.at.0.to_string(),
            quoted(app.map_or("", |app| app.name.as_str())),
            decision.seen.tasks.to_string(),
            decision.seen.instances.to_string(),
            change,
            quoted(reason),
        ];
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}
