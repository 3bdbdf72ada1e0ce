//! What a search found, for people.

use std::fmt::Write as _;

use policy::Nanoseconds;
use serde_json::Value;
use simulator::metric::{Condition, Metric, show_change};
use simulator::parameter::Parameter;
use simulator::search::Tried;
use simulator_kernel::gate::Worse;
use simulator_kernel::{Comparison, Finding, Pair};

use super::{Checked, Finalist, Task, advice};
use crate::sweep::{column, settings};
use crate::table::Table;

/// Everything that is printed.
pub fn text(task: &Task<'_>, tried: &[Tried], checked: &Checked) -> String {
    let runs: usize = tried.iter().map(|one| one.runs.len()).sum();
    let most = tried.iter().map(|one| one.runs.len()).max().unwrap_or(0);
    let first = task.base.scenario.model.seed;
    let mut text = format!(
        "searched {} of {} settings in {runs} runs, on the seeds {first} to {}\n",
        tried.len(),
        size(task),
        first.wrapping_add(most as u64).wrapping_sub(1),
    );
    match (&checked.found, checked.failed.split_first()) {
        (Some(found), _) => {
            for failed in &checked.failed {
                text.push_str(&given_up(task, failed));
            }
            text.push_str(&parameters(task, found, "AFTER"));
            text.push_str(&metrics(task, checked, found, "AFTER"));
            text.push_str(&no_gain(task, checked, found));
        }
        (None, Some((nearest, others))) => {
            let count = checked.failed.len();
            let _ = writeln!(
                text,
                "\nnot met: of the {count} best, run with other seeds, none is proven to meet all \
                 conditions; the nearest:"
            );
            text.push_str(&parameters(task, nearest, "NEAREST"));
            text.push_str(&metrics(task, checked, nearest, "NEAREST"));
            text.push_str(&advice::text(task, tried, nearest));
            if !others.is_empty() {
                text.push('\n');
            }
            for failed in others {
                text.push_str(&given_up(task, failed));
            }
        }
        (None, None) => text.push_str("not met: no setting that was tried can be run\n"),
    }
    text
}

/// What is known when Ctrl-C comes before the check is over.
pub fn stopped(task: &Task<'_>, tried: &[Tried]) -> String {
    let Some(best) = tried.first() else {
        return "partial: stopped before any setting was known".to_owned();
    };
    let value = |(place, metric): (usize, &Metric)| {
        let interval = column(&best.runs, place).interval(0.95);
        let shown = interval.map_or("-".to_owned(), |interval| {
            metric.figure.unit().show_interval(interval.mean, interval.half_width)
        });
        format!("{} {shown}", metric.name)
    };
    let values: Vec<String> = shown(task).map(value).collect();
    format!(
        "partial: stopped after {} settings; the best so far, which no other seeds have confirmed, so \
         that nothing is written:\n  {}\n  {} ({} runs)",
        tried.len(),
        advice::setting(task, &best.point),
        values.join(", "),
        best.runs.len(),
    )
}

/// How many settings there are, which may be more than a number holds.
fn size(task: &Task<'_>) -> String {
    let sizes = task.parameters.iter().map(|parameter| parameter.values.len() as u64);
    let count = sizes.into_iter().try_fold(1u64, u64::checked_mul);
    count.map_or("very many".to_owned(), crate::table::grouped)
}

/// A finalist that isn't good enough.
fn given_up(task: &Task<'_>, failed: &Finalist) -> String {
    let conditions = task.conditions.iter().zip(&failed.met.findings).zip(&failed.met.values);
    let missed: Vec<String> = conditions
        .filter(|((_, finding), _)| **finding != Finding::Holds)
        .map(|((condition, finding), moments)| {
            let shown = moments.interval(0.95).map_or("nothing".to_owned(), |interval| {
                condition.metric.figure.unit().show_interval(interval.mean, interval.half_width)
            });
            format!("{condition} {}, it is {shown}", verdict(*finding))
        })
        .collect();
    let setting = advice::setting(task, &failed.point);
    format!("on other seeds not good enough:\n  {setting}\n  {}\n", missed.join("; "))
}

const fn verdict(finding: Finding) -> &'static str {
    match finding {
        Finding::Holds => "is met",
        Finding::Moved => "is missed",
        Finding::Open => "isn't proven",
    }
}

fn parameters(task: &Task<'_>, shown: &Finalist, heading: &str) -> String {
    let mut table = Table::new(&["PARAMETER", "BEFORE", heading]);
    let effective = serde_json::to_value(task.base.scenario.policy).unwrap_or_default();
    for (parameter, after) in task.parameters.iter().zip(settings(&task.parameters, &shown.point)) {
        let before = before(task, parameter).unwrap_or_else(|| written(&effective, &parameter.key));
        table.row([parameter.key.clone(), before, after]);
    }
    format!("\n{}", table.text())
}

fn metrics(task: &Task<'_>, checked: &Checked, finalist: &Finalist, heading: &str) -> String {
    let mut headings = vec!["METRIC", ">BEFORE", "", "CHANGE", "MUST BE"];
    let after = format!(">{heading}");
    if let Some(entry) = headings.get_mut(2) {
        *entry = &after;
    }
    let is_missed = checked.found.is_none();
    if is_missed {
        headings.push("FINDING");
    }
    let mut table = Table::new(&headings);
    for (place, metric) in shown(task) {
        let mut row = metric_row(task, checked, finalist, place, metric).to_vec();
        if is_missed {
            let named = |condition: &Condition| condition.metric.name == metric.name;
            let condition = task.conditions.iter().position(named);
            let finding = condition.and_then(|place| finalist.met.findings.get(place));
            row.push(finding.map_or("", |finding| verdict(*finding)).to_owned());
        }
        table.row(row);
    }
    let last = finalist.first_seed.wrapping_add(u64::from(task.arguments.check)).wrapping_sub(1);
    format!(
        "\n{}{} runs with the seeds {} to {last}, which the search didn't see; 95 % intervals\n",
        table.text(),
        task.arguments.check,
        finalist.first_seed,
    )
}

/// That nothing is proven to be better than before, if it is so.
fn no_gain(task: &Task<'_>, checked: &Checked, found: &Finalist) -> String {
    let met_before = task.met(&checked.before).finding == Finding::Holds;
    let Some(objective) = task.metrics.first().filter(|_| met_before) else {
        return String::new();
    };
    let interval = comparison(checked, found, 0, objective).and_then(|seen| seen.interval(0.95));
    let is_better = interval.is_some_and(|(low, high)| match task.worse {
        Worse::More => high < 0.0,
        Worse::Less => low > 0.0,
    });
    if is_better {
        return String::new();
    }
    let conditions =
        if task.conditions.is_empty() { "" } else { "meets the conditions, too, and " };
    format!(
        "no gain: the policy before {conditions}isn't proven to be worse in {}\n",
        objective.name
    )
}

/// The runs of the check in pairs, before and after.
fn comparison(
    checked: &Checked,
    found: &Finalist,
    place: usize,
    metric: &Metric,
) -> Option<Comparison> {
    let value = |values: &simulator::judge::Values| values.get(place).copied().flatten();
    let pairs: Option<Vec<Pair>> = checked
        .before
        .iter()
        .zip(&found.runs)
        .map(|(before, after)| Some(Pair { before: value(before)?, after: value(after)? }))
        .collect();
    Comparison::new(metric.figure.unit().change(), pairs?)
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
    found: &Finalist,
    place: usize,
    metric: &Metric,
) -> [String; 5] {
    let unit = metric.figure.unit();
    let interval = |runs| {
        column(runs, place).interval(0.95).map_or("-".to_owned(), |interval| {
            unit.show_interval(interval.mean, interval.half_width)
        })
    };
    let change = comparison(checked, found, place, metric).map_or("-".to_owned(), |seen| {
        let sign = if seen.estimate() < 0.0 { "-" } else { "+" };
        if seen.interval(0.95) == Some((0.0, 0.0)) {
            return "none".to_owned();
        }
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

/// The value before if it is a mapping, as the parameter has it: the one that changes nothing.
fn before(task: &Task<'_>, parameter: &Parameter) -> Option<String> {
    let same = |place: &usize| {
        let given: Vec<_> = parameter.set(*place).into_iter().collect();
        let case = task.arguments.subject.try_load_with(&given);
        let policy = case.ok().flatten().map(|case| case.scenario.policy);
        policy.is_some_and(|policy| policy.digest() == task.base.scenario.policy.digest())
    };
    let places = 0..parameter.values.len();
    let is_mapping =
        |place: &usize| parameter.values.get(*place).is_some_and(|value| value.starts_with('{'));
    let place = places.filter(is_mapping).find(same)?;
    parameter.values.get(place).cloned()
}

/// The value of a key of the policy before, as it is in effect.
fn written(effective: &Value, key: &str) -> String {
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
