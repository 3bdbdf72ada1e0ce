//! What became of pipelines, for people and for programs.

use policy::Refusal;
use serde_json::{Map, Value, json};
use simulator_model::{Cell, Model, Pipeline};

use crate::export::summary_json;
use crate::results::Results;
use crate::table::{Table, grouped, percent, time_row};

/// One row for each first command and class; none if no command has a `then`.
pub fn table(results: &Results) -> Option<Table> {
    let mut table = Table::new(&[
        "PIPELINE",
        "CLASS",
        ">REQUESTS",
        ">DONE",
        ">STEPS",
        ">MEAN",
        ">p50",
        ">p90",
        ">p99",
        ">p99.9",
        ">MAX",
        "ENDED BY",
    ]);
    for cell in &results.merged.cells {
        let Pipeline { requests, steps, refused, response } = &cell.pipeline;
        if *requests == 0 {
            continue;
        }
        let times = time_row(results, cell, "", response);
        let causes: Vec<String> = Refusal::ALL
            .into_iter()
            .zip(refused)
            .filter(|(_, count)| **count > 0)
            .map(|(cause, count)| format!("{} {}", cause.name(), grouped(*count)))
            .collect();
        let mut row = vec![
            names(&results.scenario.model, cell.cmd).join(" → "),
            cell.class.name().to_owned(),
            grouped(*requests),
            percent(precise(response.count()) / precise(*requests)),
            format!("{:.2}", precise(*steps) / precise(*requests)),
        ];
        row.extend(times.into_iter().skip(3));
        row.push(causes.join(", "));
        table.row(row);
    }
    (!table.is_empty()).then_some(table)
}

/// The same for `results.json`; none if a command begins no pipeline.
pub fn json(model: &Model, cell: &Cell) -> Option<Value> {
    let Pipeline { requests, steps, refused, response } = &cell.pipeline;
    (*requests > 0).then(|| {
        let causes = Refusal::ALL.into_iter().zip(refused);
        let causes: Map<String, Value> =
            causes.map(|(cause, count)| (cause.name().to_owned(), (*count).into())).collect();
        json!({
            "cmds": names(model, cell.cmd),
            "requests": requests,
            "done": response.count(),
            "steps": steps,
            "refused": causes,
            "response": summary_json(response),
        })
    })
}

/// The commands of a pipeline.
fn names(model: &Model, first: usize) -> Vec<&str> {
    let pipelines = model.pipelines();
    let of_cmd = |cmd: usize| model.sources.iter().position(|source| source.cmd == cmd);
    let follows =
        |place: &usize| pipelines.iter().find(|step| step.source == *place).map(|step| step.by);
    let places = std::iter::successors(of_cmd(first), follows);
    let cmds = places.filter_map(|place| model.cmds.get(model.sources.get(place)?.cmd));
    cmds.map(|cmd| cmd.name.as_str()).collect()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
const fn precise(count: u64) -> f64 {
    count as f64
}
