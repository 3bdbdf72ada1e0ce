//! The course of a run for programs: `timeline.csv` and `decisions.csv`. Times are in nanoseconds.

use policy::scaling::{Action, Flow};
use policy::{Class, Refusal, Time, sharing};
use simulator_model::Timeline;
use simulator_model::timeline::{Bucket, MeanInstances, Shared};

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

/// A row for each decision of the rules of scaling and sharing that is kept: see
/// `Timeline::decisions` and `Timeline::shared`. Of sharing, `app` is the lender, `tasks` are its most
/// requests at a time since the look before, `instances` all of its slots, and `change` is what
/// becomes of those that it has itself. The last columns are what rules of scaling ask for that go by
/// more than tasks.
pub fn decisions_csv(results: &Results, timeline: &Timeline) -> String {
    let mut text = String::from(
        "at_ns,app,tasks,instances,change,reason,rule,borrower,lent,called,unused,\
         starting,busy,arrivals,refusals\n",
    );
    let name = |app: usize| {
        quoted(results.scenario.model.apps.get(app).map_or("", |app| app.name.as_str()))
    };
    let mut rows: Vec<(Time, String)> = Vec::new();
    for decision in timeline.decisions() {
        let change = match decision.action {
            Action::Add(count, _) => format!("+{count}"),
            Action::Remove(count, _) => format!("-{count}"),
            Action::Keep(_) => "0".to_owned(),
        };
        let cells = [
            decision.at.0.to_string(),
            name(decision.app),
            decision.seen.tasks.to_string(),
            decision.seen.instances.to_string(),
            change,
            reason(&decision.action.to_string()),
            "scaling,,,,".to_owned(),
            flow(decision.seen.flow),
        ];
        rows.push((decision.at, cells.join(",")));
    }
    let pairs = results.scenario.model.sharing().map_or(&[][..], |sharing| &sharing.pairs);
    for Shared { at, pair, seen, action } in timeline.shared().iter().copied() {
        let Some(pair) = pairs.get(pair) else { continue };
        let change = match action {
            sharing::Action::Lend(count) => format!("-{count}"),
            sharing::Action::CallBack { count, .. } => format!("+{count}"),
            sharing::Action::Keep(_) => "0".to_owned(),
        };
        let cells = [
            at.0.to_string(),
            name(pair.lender),
            seen.peak.to_string(),
            seen.slots.to_string(),
            change,
            reason(&action.to_string()),
            "sharing".to_owned(),
            name(pair.borrower),
            seen.lent.to_string(),
            seen.called.to_string(),
            seen.unused.to_string(),
            flow(None),
        ];
        rows.push((at, cells.join(",")));
    }
    // Stable: at one instant scaling is asked first.
    rows.sort_by_key(|(at, _)| *at);
    for (_, row) in rows {
        text.push_str(&row);
        text.push('\n');
    }
    text
}

/// What a scaling rule saw besides tasks and instances, if it asked for it.
fn flow(seen: Option<Flow>) -> String {
    let Some(flow) = seen else { return ",,,".to_owned() };
    let came =
        flow.came.map_or(",".to_owned(), |came| format!("{},{}", came.arrivals, came.refusals));
    let thousandths = flow.busy_thousandths % 1000;
    format!("{},{}.{thousandths:03},{came}", flow.starting, flow.busy_thousandths / 1000)
}

/// What stands behind the colon of a decision.
fn reason(action: &str) -> String {
    quoted(action.split_once(": ").map_or(action, |(_, reason)| reason))
}
