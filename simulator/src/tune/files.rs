//! What a search leaves: the policy, all settings, and the front of cost and time.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use simulator::judge::Values;
use simulator::metric::Metric;
use simulator::search::{Tried, mean};
use simulator_kernel::gate::Worse;

use super::show::shown;
use super::{Checked, Finalist, Task};
use crate::exit::Exit;
use crate::export::quoted;
use crate::html::front::{self, Dot, Front, Kind};
use crate::paint;
use crate::sweep::{column, settings};
use crate::table::Table;

/// Version of the format of `tune.json`.
const TUNE_VERSION: u32 = 1;

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Exit {
    paint::error(&format!("failed to write {}: {error}", path.display()));
    Exit::Environment
}

/// The policy, with how it was found.
pub fn write_policy(
    task: &Task<'_>,
    checked: &Checked,
    found: &Finalist,
    path: &Path,
) -> Result<(), Exit> {
    let mut text = String::from("# Found by `simulator tune`; change it as you like.\n");
    let _ = writeln!(text, "#   {}", task.again());
    let _ = writeln!(
        text,
        "# scenario {}, policy before {}, {}",
        task.base.scenario.digest.get(..12).unwrap_or_default(),
        task.base.scenario.policy.digest().get(..12).unwrap_or_default(),
        concat!("simulator ", env!("CARGO_PKG_VERSION")),
    );
    let last = found.first_seed.wrapping_add(u64::from(task.arguments.check)).wrapping_sub(1);
    let _ = writeln!(
        text,
        "# With the seeds {} to {last}, which the search didn't see (95 % intervals):",
        found.first_seed
    );
    for (place, metric) in shown(task) {
        let interval = |runs| {
            column(runs, place).interval(0.95).map_or("-".to_owned(), |interval| {
                metric.figure.unit().show_interval(interval.mean, interval.half_width)
            })
        };
        let (before, after) = (interval(&checked.before), interval(&found.runs));
        let _ = writeln!(text, "#   {}: {before} before, {after} after", metric.name);
    }
    let policy = found.scenario.policy_text.clone().unwrap_or(json!({"preset": "recommended"}));
    let yaml = serde_yaml::to_string(&policy).map_err(|error| failed(path, &error))?;
    text.push_str(&yaml);
    fs::write(path, text).map_err(|error| failed(path, &error))
}

/// All settings, and the front.
pub fn write_tried(task: &Task<'_>, tried: &[Tried], folder: &Path) -> Result<(), Exit> {
    let on_front = on_front(task, tried);
    let points: Vec<Value> = tried
        .iter()
        .zip(&on_front)
        .map(|(one, on_front)| {
            let keys = task.parameters.iter().map(|parameter| parameter.key.clone());
            let values = settings(&task.parameters, &one.point).into_iter().map(Value::from);
            let metrics: Map<String, Value> = shown(task)
                .map(|(place, metric)| (metric.name.clone(), mean(&one.runs, place).into()))
                .collect();
            json!({
                "set": keys.zip(values).collect::<Map<String, Value>>(),
                "runs": one.runs.len(),
                "means": metrics,
                "is_on_front": on_front,
            })
        })
        .collect();
    let value = json!({
        "version": TUNE_VERSION,
        "command": task.again(),
        "tried": points,
    });
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let files = [("tune.json", format!("{value:#}\n")), ("front.csv", csv(task, tried, &on_front))];
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// The page: what was printed, the front, and all settings.
pub fn write_page(
    task: &Task<'_>,
    tried: &[Tried],
    checked: &Checked,
    text: &str,
    folder: &Path,
) -> Result<(), Exit> {
    let Some([(cost, cost_metric), (time, time_metric)]) = axes(task) else { return Ok(()) };
    let chosen = checked.shown().map(|finalist| &finalist.point);
    let at = |runs: &[Values]| {
        let figure = |place| mean(runs, place).unwrap_or(f64::INFINITY);
        (figure(cost), figure(time))
    };
    let on_front = on_front(task, tried);
    let mut dots: Vec<Dot> = tried
        .iter()
        .zip(&on_front)
        .map(|(one, on_front)| {
            let kind = match (chosen == Some(&one.point), one.meets()) {
                (true, _) => Kind::Chosen,
                (false, true) => Kind::Meets,
                (false, false) => Kind::Misses,
            };
            Dot { at: at(&one.runs), kind, is_on_front: *on_front }
        })
        .collect();
    dots.push(Dot { at: at(&checked.before), kind: Kind::Before, is_on_front: false });
    let page = Front {
        axes: [cost_metric.name.clone(), time_metric.name.clone()],
        chosen: if checked.found.is_some() { "what was found" } else { "the nearest" },
        dots,
    };
    let title = task.arguments.subject.subject.scenario.display().to_string();
    let tables = [("All settings, the best first", all(task, tried, &on_front))];
    let html = front::page(&title, text, &page, &tables, &task.again());
    let path = folder.join("report.html");
    let html = html.map_err(|error| failed(&path, &error))?;
    fs::write(&path, html).map_err(|error| failed(&path, &error))
}

/// All settings as a table.
fn all(task: &Task<'_>, tried: &[Tried], on_front: &[bool]) -> Table {
    let mut headings: Vec<String> =
        task.parameters.iter().map(|parameter| parameter.key.clone()).collect();
    headings.extend(shown(task).map(|(_, metric)| format!(">{}", metric.name)));
    headings.extend([">RUNS", "CONDITIONS", "FRONT"].map(str::to_owned));
    let names: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(&names);
    for (one, on_front) in tried.iter().zip(on_front) {
        let mut row = settings(&task.parameters, &one.point);
        for (place, metric) in shown(task) {
            let value = mean(&one.runs, place);
            row.push(value.map_or("-".to_owned(), |value| metric.figure.unit().show(value)));
        }
        row.push(one.runs.len().to_string());
        row.push(if one.meets() { "met" } else { "missed" }.to_owned());
        row.push(if *on_front { "front" } else { "" }.to_owned());
        table.row(row);
    }
    table
}

/// The metrics of the front: cost and a time, the last two.
fn axes<'a>(task: &'a Task<'_>) -> Option<[(usize, &'a Metric); 2]> {
    let count = task.metrics.len();
    let (cost, time) = (count.checked_sub(2)?, count.checked_sub(1)?);
    Some([(cost, task.metrics.get(cost)?), (time, task.metrics.get(time)?)])
}

fn on_front(task: &Task<'_>, tried: &[Tried]) -> Vec<bool> {
    let Some([(cost, _), (time, _)]) = axes(task) else { return Vec::new() };
    // The objective may be goodput, the axes never are: less is better for both.
    debug_assert!(
        task.metrics.iter().rev().take(2).all(|it| it.figure.worse() == Some(Worse::More))
    );
    let figure = |one: &Tried, place| mean(&one.runs, place).unwrap_or(f64::INFINITY);
    let pairs: Vec<(f64, f64)> =
        tried.iter().map(|one| (figure(one, cost), figure(one, time))).collect();
    simulator::search::front(&pairs)
}

/// The settings of the front, the cheapest first.
fn csv(task: &Task<'_>, tried: &[Tried], on_front: &[bool]) -> String {
    let Some(axes) = axes(task) else { return String::new() };
    let mut columns: Vec<String> = axes.iter().map(|(_, metric)| metric.name.clone()).collect();
    columns.push("runs".to_owned());
    columns.extend(task.parameters.iter().map(|parameter| quoted(&parameter.key)));
    let mut rows: Vec<(f64, String)> = Vec::new();
    for (one, _) in tried.iter().zip(on_front).filter(|(_, on_front)| **on_front) {
        let figures = axes.map(|(place, _)| mean(&one.runs, place).unwrap_or(f64::INFINITY));
        let mut row: Vec<String> = figures.iter().map(ToString::to_string).collect();
        row.push(one.runs.len().to_string());
        row.extend(settings(&task.parameters, &one.point).iter().map(|value| quoted(value)));
        rows.push((figures[0], row.join(",")));
    }
    rows.sort_by(|left, right| left.0.total_cmp(&right.0).then_with(|| left.1.cmp(&right.1)));
    let rows: Vec<String> = rows.into_iter().map(|(_, row)| row).collect();
    format!("{}\n{}\n", columns.join(","), rows.join("\n"))
}
