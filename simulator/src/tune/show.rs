//! What a search found, for people.

use policy::Nanoseconds;
use serde_json::Value;
use simulator::judge::Met;
use simulator::metric::{Metric, show_change};
use simulator::search::{Point, Tried};
use simulator_kernel::{Comparison, Finding, Pair};

use super::{Checked, Found, Task};
use crate::sweep::{column, settings};
use crate::table::Table;

/// Everything that is printed.
pub fn text(task: &Task<'_>, tried: &[Tried], checked: &Checked) -> String {
    let runs: usize = tried.iter().map(|one| one.runs.len()).sum();
    let most = tried.iter().map(|one| one.runs.len()).max().unwrap_or(0);
    let first = task.base.model.seed;
    let mut text = format!(
        "searched {} of {} settings in {runs} runs, on the seeds {first} to {}\n",
        tried.len(),
        size(task),
        first.wrapping_add(most as u64).wrapping_sub(1),
    );
    for (point, met) in &checked.failed {
        text.push_str(&failed(task, point, met));
    }
    match &checked.found {
        Some(found) => text.push_str(&compared(task, checked, found)),
        None => text.push_str("not met: no policy that was checked meets all conditions\n"),
    }
    text
}

/// How many settings there are, which may be more than a number holds.
fn size(task: &Task<'_>) -> String {
    let sizes = task.parameters.iter().map(|parameter| parameter.values.len() as u64);
    let count = sizes.into_iter().try_fold(1u64, u64::checked_mul);
    count.map_or("very many".to_owned(), crate::table::grouped)
}

fn failed(task: &Task<'_>, point: &Point, met: &Met) -> String {
    let named: Vec<String> = task
        .parameters
        .iter()
        .zip(settings(&task.parameters, point))
        .map(|(parameter, value)| format!("{}={value}", parameter.key))
        .collect();
    let missed: Vec<String> = task
        .conditions
        .iter()
        .zip(&met.findings)
        .zip(&met.values)
        .filter(|((_, finding), _)| **finding != Finding::Holds)
        .map(|((condition, _), moments)| {
            let shown = moments.interval(0.95).map_or("nothing".to_owned(), |interval| {
                condition.metric.figure.unit().show_interval(interval.mean, interval.half_width)
            });
            format!("{condition} isn't proven, it is {shown}")
        })
        .collect();
    format!("on other seeds not good enough: {}\n  {}\n", named.join(" "), missed.join("; "))
}

fn compared(task: &Task<'_>, checked: &Checked, found: &Found) -> String {
    let mut parameters = Table::new(&["PARAMETER", "BEFORE", "AFTER"]);
    let effective = serde_json::to_value(task.base.policy).unwrap_or_default();
    for (parameter, after) in task.parameters.iter().zip(settings(&task.parameters, &found.point)) {
        let before = before(&effective, &parameter.key);
        parameters.row([parameter.key.clone(), before, after]);
    }
    let mut metrics = Table::new(&["METRIC", ">BEFORE", ">AFTER", "CHANGE", "MUST BE"]);
    for (place, metric) in shown(task) {
        metrics.row(metric_row(task, checked, found, place, metric));
    }
    let last = found.first_seed.wrapping_add(u64::from(task.arguments.check)).wrapping_sub(1);
    format!(
        "\n{}\n{}{} runs with the seeds {} to {last}, which the search didn't see; 95 % intervals\n",
        parameters.text(),
        metrics.text(),
        task.arguments.check,
        found.first_seed,
    )
}

/// Metrics, each once, with their places.
pub fn shown<'a>(task: &'a Task<'_>) -> impl Iterator<Item = (usize, &'a Metric)> {
    let metrics = task.metrics.iter().enumerate();
    metrics.filter(|(place, metric)| {
        !task.metrics.iter().take(*place).any(|earlier| earlier.name == metric.name)
    })
}

fn metric_row(
    task: &Task<'_>,
    checked: &Checked,
    found: &Found,
    place: usize,
    metric: &Metric,
) -> [String; 5] {
    let unit = metric.figure.unit();
    let interval = |runs| {
        column(runs, place).interval(0.95).map_or("-".to_owned(), |interval| {
            unit.show_interval(interval.mean, interval.half_width)
        })
    };
    let value = |values: &simulator::judge::Values| values.get(place).copied().flatten();
    let pairs: Option<Vec<Pair>> = checked
        .before
        .iter()
        .zip(&found.runs)
        .map(|(before, after)| Some(Pair { before: value(before)?, after: value(after)? }))
        .collect();
    let comparison = pairs.and_then(|pairs| Comparison::new(unit.change(), pairs));
    let change = comparison.map_or("-".to_owned(), |seen| {
        let sign = if seen.estimate() < 0.0 { "-" } else { "+" };
        let shown = format!("{sign}{}", show_change(unit.change(), seen.estimate()));
        seen.interval(0.95).map_or(shown.clone(), |(low, high)| {
            format!("{shown} ({:+.3} to {:+.3})", low * 100.0, high * 100.0)
        })
    });
    let condition = task.conditions.iter().find(|condition| condition.metric.name == metric.name);
    [
        metric.name.clone(),
        interval(&checked.before),
        interval(&found.runs),
        change,
        condition.map_or(String::new(), ToString::to_string),
    ]
}

/// The value of a key of the policy before, as it is in effect.
fn before(effective: &Value, key: &str) -> String {
    let Some(path) = key.strip_prefix("policy.") else { return "-".to_owned() };
    let pointer = format!("/{}", path.replace('.', "/"));
    let is_time = ["interval", "cool_down", "scale_in_after"].iter().any(|end| path.ends_with(end));
    match effective.pointer(&pointer) {
        Some(Value::Number(number)) if is_time => {
            number.as_u64().map_or("-".to_owned(), |time| Nanoseconds(time).to_string())
        }
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}
