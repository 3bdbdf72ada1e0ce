//! What a search that found nothing has found out: which conditions are out of reach, how far each
//! alone could be met, and what would have to be different.

use std::fmt::Write as _;

use simulator::metric::{Bound, Condition};
use simulator::search::{Tried, mean};
use simulator_kernel::{Finding, Interval, Moments};

use super::{FINALISTS, Finalist, LEVEL, Task};
use crate::input::quoted;
use crate::sweep::{overrides, settings};

/// Everything that can be said about the nearest policy.
pub fn text(task: &Task<'_>, tried: &[Tried], nearest: &Finalist) -> String {
    let mut text = String::new();
    for place in missed(nearest) {
        text.push_str(&alone(task, tried, place));
    }
    text.push_str("\nwhat would do:\n");
    text.push_str(&weaker(task, nearest));
    text.push_str(&wider(task, nearest));
    text.push_str(&larger(task, nearest));
    text
}

/// Places of the conditions that aren't proven to be met.
fn missed(nearest: &Finalist) -> impl Iterator<Item = usize> {
    let findings = nearest.met.findings.iter().enumerate();
    findings.filter(|(_, finding)| **finding != Finding::Holds).map(|(place, _)| place)
}

/// How far one condition could be met, whatever becomes of the others.
fn alone(task: &Task<'_>, tried: &[Tried], place: usize) -> String {
    let Some(condition) = task.conditions.get(place) else { return String::new() };
    // The first metric is the objective.
    let column = place + 1;
    let known = tried.iter().filter_map(|one| Some((mean(&one.runs, column)?, one)));
    let best = known
        .min_by(|(left, _), (right, _)| condition.load(*left).total_cmp(&condition.load(*right)));
    let Some((value, best)) = best else { return String::new() };
    let shown = condition.metric.figure.unit().show(value);
    let mut text = if condition.excess(value) > 0.0 {
        format!("\n{condition} is out of reach: {shown} is the best of all that was searched, by\n")
    } else {
        format!("\n{condition} can be met, but not together with the others: {shown} by\n")
    };
    let _ = writeln!(text, "  {}", setting(task, &best.point));
    for (other, condition) in task.conditions.iter().enumerate().filter(|(it, _)| *it != place) {
        let Some(value) = mean(&best.runs, other + 1) else { continue };
        let word = if condition.excess(value) <= 0.0 { "met" } else { "missed" };
        let shown = condition.metric.figure.unit().show(value);
        let _ = writeln!(text, "  where {condition} is {word} ({shown})");
    }
    text
}

/// Conditions that the nearest policy is proven to meet.
fn weaker(task: &Task<'_>, nearest: &Finalist) -> String {
    let conditions = task.conditions.iter().zip(&nearest.met.findings).zip(&nearest.met.values);
    let weaker: Option<Vec<String>> = conditions
        .map(|((condition, finding), moments)| match finding {
            Finding::Holds => Some(condition.to_string()),
            Finding::Moved | Finding::Open => Some(weakened(condition, moments)?.to_string()),
        })
        .collect();
    weaker.map_or(String::new(), |weaker| {
        let weaker = quoted(&weaker.join(","));
        format!("  weaker conditions, which the nearest meets: --subject-to {weaker}\n")
    })
}

/// The condition with the next round limit that these runs are proven to be within.
fn weakened(condition: &Condition, moments: &Moments) -> Option<Condition> {
    // One side of the interval, at the level of the check.
    let Interval { mean, half_width, .. } =
        moments.interval(1.0 - 2.0 * LEVEL / f64::from(FINALISTS))?;
    let limit = match condition.bound {
        Bound::AtMost => rounded(mean + half_width, f64::ceil),
        Bound::AtLeast => rounded(mean - half_width, f64::floor),
    };
    (limit.is_finite() && limit >= 0.0).then(|| Condition { limit, ..condition.clone() })
}

/// Two digits that count, rounded by the function.
fn rounded(value: f64, round: fn(f64) -> f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let step = 10f64.powf(value.abs().log10().floor() - 1.0);
    // Without the digits that the multiplication adds.
    let digits = format!("{:.12}", round(value / step) * step);
    digits.parse().unwrap_or(value)
}

/// Parameters whose best value is the first or last of their numbers.
fn wider(task: &Task<'_>, nearest: &Finalist) -> String {
    let mut text = String::new();
    for (parameter, place) in task.parameters.iter().zip(&nearest.point) {
        let is_number = |value: &String| value.starts_with(|first: char| first.is_ascii_digit());
        let values = &parameter.values;
        if values.len() < 2 || !values.iter().all(is_number) {
            continue;
        }
        let end = match *place {
            0 => "first",
            last if last + 1 == values.len() => "last",
            _ => continue,
        };
        if let Some(value) = values.get(*place) {
            let key = &parameter.key;
            let _ = writeln!(text, "  other values of {key}: {value} is the {end} that was tried");
        }
    }
    text
}

/// The command that finds what the nearest policy lacks in machines or instances.
fn larger(task: &Task<'_>, nearest: &Finalist) -> String {
    let arguments = task.arguments;
    let mut subject = arguments.subject.clone();
    subject.subject.overrides.extend(overrides(&task.parameters, &nearest.point));
    let mut command = format!("simulator capacity {}", subject.words());
    for text in &arguments.subject_to {
        let _ = write!(command, " --slo {}", quoted(text));
    }
    let model = &nearest.scenario.model;
    let scaled = model.apps.iter().find(|app| app.scaling(&model.dynamics).is_some());
    let what = match scaled {
        Some(app) => {
            let key = format!("apps.{}.scales.min", app.name);
            let _ = write!(command, " --key {}", quoted(&key));
            "instances that are always there"
        }
        None => "machines",
    };
    format!("  more {what}; how many, with the nearest policy:\n    {command}\n")
}

/// A setting as words.
pub fn setting(task: &Task<'_>, point: &[usize]) -> String {
    let values = task.parameters.iter().zip(settings(&task.parameters, point));
    let words = values.map(|(parameter, value)| format!("{}={}", parameter.key, quoted(&value)));
    words.collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn limits_are_round_and_on_the_safe_side() {
        assert_eq!(rounded(0.007_821, f64::ceil), 0.0079);
        assert_eq!(rounded(512.3, f64::ceil), 520.0);
        assert_eq!(rounded(512.3, f64::floor), 510.0);
        assert_eq!(rounded(0.0, f64::ceil), 0.0);
        assert_eq!(rounded(3.0, f64::ceil), 3.0);
        for value in [1e-9, 0.1, 9.99, 123_456.7] {
            assert!(rounded(value, f64::ceil) >= value && rounded(value, f64::floor) <= value);
        }
    }
}
