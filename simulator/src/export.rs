//! The files of `-o`: `results.json`, `cells.csv`, `stages.csv`, `timeline.csv`, `decisions.csv`, `scheduler.jsonl`,
//! `report.html`.

use std::fs;
use std::path::Path;

use policy::Refusal;
use policy::scaling::{Added, Removed};
use serde_json::{Map, Value, json};
use simulator::metric::Objective;
use simulator::scenario::Scenario;
use simulator_kernel::Summary;
use simulator_model::{Actions, Cell, Clients, MODEL_VERSION, Outages, Report, Toll, Usage};

use crate::pipelines;
use crate::results::Results;
use crate::table::QUANTILES;
use crate::{control, course, html, links, sharing};

/// Version of the format of `results.json`.
pub const RESULTS_VERSION: u32 = 1;

/// Writes all files into a folder.
pub fn write(results: &Results, folder: &Path) -> Result<(), String> {
    let failed =
        |path: &Path, error: std::io::Error| format!("failed to write {}: {error}", path.display());
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let mut files = vec![("results.json", json_text(results)), ("cells.csv", csv_text(results))];
    if let Some(timeline) = &results.timeline {
        files.push(("timeline.csv", course::timeline_csv(results, timeline)));
        files.push(("decisions.csv", course::decisions_csv(results, timeline)));
    }
    if let Some(text) = stages_csv(results) {
        files.push(("stages.csv", text));
    }
    if let Some(timeline) =
        results.timeline.as_ref().filter(|course| !course.scheduled().is_empty())
    {
        files.push(("scheduler.jsonl", control::log(timeline)?));
    }
    files.push(("report.html", html::page(results)?));
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

fn json_text(results: &Results) -> String {
    let model = &results.scenario.model;
    let runs: Vec<Value> = results
        .reports
        .iter()
        .zip(0u64..)
        .map(|(report, number)| {
            let cells = report.cells.iter().map(|cell| cell_json(results, cell));
            json!({
                "seed": model.seed.wrapping_add(number),
                "metrics": metrics_json(results, report),
                "cells": cells.collect::<Vec<_>>(),
            })
        })
        .collect();
    let apps: Vec<Value> = model
        .apps
        .iter()
        .enumerate()
        .map(|(place, app)| {
            json!({
                "name": app.name,
                "machines": app.machines,
                "instances": app.all_instances(),
                "utilisation": results.utilisation(place),
                "instances_mean": results.mean_instances(place),
                "core_hours": results.core_hours(place),
                "usage": results.merged.usage.get(place).map(usage_json),
            })
        })
        .collect();
    let all: Vec<Value> =
        results.merged.cells.iter().map(|cell| cell_json(results, cell)).collect();
    let objectives: Vec<Value> = results
        .scenario
        .objectives
        .iter()
        .map(|objective| json!({"metric": objective.metric.name, "margin": objective.margin}))
        .collect();
    let value = json!({
        "version": RESULTS_VERSION,
        "program": concat!("simulator ", env!("CARGO_PKG_VERSION")),
        "model_version": MODEL_VERSION,
        "command": results.command,
        "partial": partial_json(results),
        "scenario": results.name,
        "scenario_digest": results.scenario.digest,
        "origin": results.origin,
        "warnings": results.warnings.iter().chain(&results.advice).collect::<Vec<_>>(),
        "policy": results.scenario.policy,
        "policy_digest": results.policy_digest,
        "window_ns": results.merged.window(),
        "apps": apps,
        "machines": machines_json(&results.merged.machines),
        "sharing": sharing::json(results),
        "links": links::json(results),
        "cells": all,
        "objectives": objectives,
        "runs": runs,
    });
    format!("{value:#}\n")
}

/// What is missing of a run that was stopped.
fn partial_json(results: &Results) -> Option<Value> {
    let partial = results.partial?;
    let stopped = partial.stopped.map(|stopped| stopped.0);
    Some(json!({"stopped_ns": stopped, "replications_wanted": partial.wanted}))
}

/// What `compare` watches, for one run.
fn metrics_json(results: &Results, report: &Report) -> Map<String, Value> {
    let Scenario { objectives, model, .. } = &results.scenario;
    let values = objectives.iter().map(|Objective { metric, .. }| {
        (metric.name.clone(), Value::from(metric.value(model, report)))
    });
    values.collect()
}

fn cell_json(results: &Results, cell: &Cell) -> Value {
    let refused: Map<String, Value> = Refusal::ALL
        .into_iter()
        .zip(cell.refused)
        .map(|(cause, count)| (cause.name().to_owned(), count.into()))
        .collect();
    let stages: Map<String, Value> = cell
        .stages()
        .map(|(stage, summary)| (stage.name().to_owned(), summary_json(summary)))
        .collect();
    json!({
        "cmd": results.cmd_name(cell),
        "class": cell.class.name(),
        "arrivals": cell.arrivals(),
        "served": cell.served(),
        "late": cell.late,
        "refused": refused,
        "wait": summary_json(&cell.wait),
        "response": summary_json(&cell.response),
        "stages": (!stages.is_empty()).then_some(stages),
        "downloaded": cell.downloaded,
        "cached": cell.cached,
        "clients": clients_json(&cell.clients),
        "pipeline": pipelines::json(&results.scenario.model, cell),
    })
}

/// What clients that try again saw; none if nobody does.
fn clients_json(clients: &Clients) -> Option<Value> {
    (clients.requests > 0).then(|| {
        json!({
            "requests": clients.requests,
            "attempts": clients.attempts,
            "answered": clients.answered(),
            "answer": summary_json(&clients.answer),
        })
    })
}

/// Instances of an app over all replications.
fn usage_json(usage: &Usage) -> Value {
    let (fewest, most) = usage.extremes();
    let actions =
        |actions: &Actions| json!({"decisions": actions.decisions, "instances": actions.instances});
    let added = Added::ALL.into_iter().zip(&usage.added);
    let removed = Removed::ALL.into_iter().zip(&usage.removed);
    json!({
        "fewest": fewest,
        "most": most,
        "added": added.map(|(reason, counted)| (reason.name().to_owned(), actions(counted)))
            .collect::<Map<_, _>>(),
        "removed": removed.map(|(reason, counted)| (reason.name().to_owned(), actions(counted)))
            .collect::<Map<_, _>>(),
        "unplaced": usage.unplaced,
        "peak_tasks": usage.peak_tasks,
        "peak_queue": usage.peak_queue,
        "lost_with_machines": toll_json(&usage.losses.machines),
        "lost_by_crashes": toll_json(&usage.losses.crashes),
        "lost_by_kills": toll_json(&usage.losses.killed),
        "losses_unrecovered": usage.losses.unrecovered(),
    })
}

/// What faults of one kind have cost an app.
fn toll_json(toll: &Toll) -> Value {
    json!({
        "incidents": toll.incidents,
        "instances": toll.instances,
        "requests": toll.requests,
        "recovery": summary_json(&toll.recovery),
    })
}

/// How long machines were down or slow.
fn machines_json(machines: &Outages) -> Value {
    let time = |time: u128| u64::try_from(time).unwrap_or(u64::MAX);
    json!({
        "failed": machines.failed,
        "down_ns": time(machines.down()),
        "slowed": machines.slowed,
        "slow_ns": time(machines.slow()),
    })
}

pub fn summary_json(summary: &Summary) -> Value {
    let mut value = Map::new();
    value.insert("mean_ns".to_owned(), summary.mean().into());
    for (name, part) in QUANTILES {
        let time = summary.quantile(part).map(|time| time.0);
        value.insert(format!("{name}_ns"), time.into());
    }
    let longest = (summary.count() > 0).then(|| summary.longest().0);
    value.insert("max_ns".to_owned(), longest.into());
    Value::Object(value)
}

/// One row for each cell; times in nanoseconds.
fn csv_text(results: &Results) -> String {
    let mut columns: Vec<String> =
        ["cmd", "class", "arrivals", "served", "late"].map(str::to_owned).to_vec();
    columns.extend(Refusal::ALL.map(|cause| format!("refused_{}", cause.name())));
    for kind in ["wait", "response"] {
        columns.push(format!("{kind}_mean_ns"));
        columns.extend(QUANTILES.map(|(name, _)| format!("{kind}_{name}_ns")));
        columns.push(format!("{kind}_max_ns"));
    }
    let mut text = columns.join(",");
    text.push('\n');
    for cell in &results.merged.cells {
        let mut row = vec![quoted(results.cmd_name(cell)), cell.class.name().to_owned()];
        row.extend([cell.arrivals(), cell.served(), cell.late].map(|count| count.to_string()));
        row.extend(cell.refused.map(|count| count.to_string()));
        for summary in [&cell.wait, &cell.response] {
            row.extend(summary_row(summary));
        }
        text.push_str(&row.join(","));
        text.push('\n');
    }
    text
}

/// Mean, quantiles and maximum, in nanoseconds.
fn summary_row(summary: &Summary) -> Vec<String> {
    let mut row = vec![summary.mean().map_or(String::new(), |mean| format!("{mean:.1}"))];
    let quantiles = QUANTILES.map(|(_, part)| summary.quantile(part));
    row.extend(quantiles.map(|time| time.map_or(String::new(), |time| time.0.to_string())));
    row.push(summary.longest().0.to_string());
    row
}

/// One row for each stage of each cell; none if no command has stages besides queue and work.
fn stages_csv(results: &Results) -> Option<String> {
    let mut columns = ["cmd", "class", "stage", "served", "mean_ns"].map(str::to_owned).to_vec();
    columns.extend(QUANTILES.map(|(name, _)| format!("{name}_ns")));
    columns.push("max_ns".to_owned());
    let mut text = columns.join(",");
    let mut any = false;
    for cell in &results.merged.cells {
        for (stage, summary) in cell.stages() {
            let mut row = vec![quoted(results.cmd_name(cell)), cell.class.name().to_owned()];
            row.extend([stage.name().to_owned(), summary.count().to_string()]);
            row.extend(summary_row(summary));
            text.push('\n');
            text.push_str(&row.join(","));
            any = true;
        }
    }
    any.then(|| text + "\n")
}

/// A field of CSV (RFC 4180).
pub fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
