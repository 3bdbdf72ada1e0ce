//! What sharing has brought and cost, for people and for programs. What it is held against is the
//! same run in which nothing is lent.

use policy::sharing::Called;
use serde_json::{Value, json};
use simulator_model::{Cell, Lending, Model, Pair, Report};

use crate::export::summary_json;
use crate::results::Results;
use crate::table::{self, Table, grouped};

/// The same model without lending, if anything may be lent in it.
pub fn without(model: &Model) -> Option<Model> {
    model.sharing().filter(|sharing| sharing.rules.lend_thousandths > 0)?;
    let mut model = model.clone();
    if let Some(sharing) = &mut model.dynamics.sharing {
        sharing.rules.lend_thousandths = 0;
    }
    Some(model)
}

/// Why the rules of sharing do nothing, if they don't.
pub fn inactive(model: &Model) -> Option<&'static str> {
    match model.sharing() {
        None => Some("no app `borrows`"),
        Some(sharing) if sharing.rules.lend_thousandths == 0 => Some("`lend` is 0%"),
        Some(_) => None,
    }
}

fn pairs(results: &Results) -> impl Iterator<Item = (&Pair, &Lending)> {
    let pairs = results.scenario.model.sharing().map_or(&[][..], |sharing| &sharing.pairs);
    pairs.iter().zip(&results.merged.lending)
}

fn app_name(model: &Model, app: usize) -> &str {
    model.apps.get(app).map_or("", |app| app.name.as_str())
}

/// What was decided, by reason; of all replications. None if no app borrows.
pub fn decisions(results: &Results) -> Option<Table> {
    let model = &results.scenario.model;
    let mut table = Table::new(&["LENDER", "BORROWER", "SHARING", ">DECISIONS", ">SLOTS"]);
    for (pair, lending) in pairs(results) {
        let called = Called::ALL.into_iter().zip(lending.called);
        let called = called.map(|(why, actions)| (format!("call back: {}", why.name()), actions));
        for (what, actions) in [("lend: spare".to_owned(), lending.lent)].into_iter().chain(called)
        {
            table.row([
                app_name(model, pair.lender).to_owned(),
                app_name(model, pair.borrower).to_owned(),
                what,
                grouped(actions.decisions),
                grouped(actions.instances),
            ]);
        }
    }
    (!table.is_empty()).then_some(table)
}

/// Slot-time in hours of one core, of one run.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn core_hours(results: &Results, pair: &Pair, time: u128) -> f64 {
    let cores =
        results.scenario.model.apps.get(pair.borrower).map_or(1, |app| app.life.needs.cores);
    let runs = results.reports.len().max(1) as f64;
    time as f64 / 3.6e12 * f64::from(cores) / runs
}

/// What it has brought and cost, beside the same runs without lending if those were made. None if no
/// app borrows.
pub fn effect(results: &Results) -> Option<Table> {
    let model = &results.scenario.model;
    let without = results.without.as_ref();
    let mut headings = vec!["APP", "WITH SHARING", ">LENT"];
    if without.is_some() {
        headings.push(">NOTHING LENT");
    }
    let mut table = Table::new(&headings);
    let mut row = |app: &str, what: String, with: String, other: &dyn Fn() -> String| {
        let mut cells = vec![app.to_owned(), what, with];
        if without.is_some() {
            cells.push(other());
        }
        table.row(cells);
    };
    let nothing = || "-".to_owned();
    for (pair, lending) in pairs(results) {
        let (lender, borrower) = (app_name(model, pair.lender), app_name(model, pair.borrower));
        let lent = core_hours(results, pair, lending.held());
        row(lender, "core-hours lent".to_owned(), format!("{lent:.1}"), &|| "0.0".to_owned());
        row(lender, "most slots lent".to_owned(), grouped(lending.most), &|| "0".to_owned());
        let back = match lending.back.quantile(0.5) {
            Some(median) => format!("{median} (p50), {} at most", lending.back.longest()),
            None => nothing(),
        };
        row(lender, "slots back after the call".to_owned(), back, &nothing);
        let cut = format!("{} requeued, {} failed", lending.requeued, lending.failed);
        row(borrower, "stopped at the deadline".to_owned(), cut, &nothing);
        let wasted = core_hours(results, pair, lending.wasted);
        row(borrower, "core-hours in vain".to_owned(), format!("{wasted:.2}"), &nothing);
        for (place, cell) in results.merged.cells.iter().enumerate() {
            let app = model.cmds.get(cell.cmd).map(|cmd| cmd.app);
            let other = |figure: Figure| {
                let known = without.and_then(|report: &Report| report.cells.get(place));
                known.map_or_else(nothing, figure)
            };
            let figures: &[(&str, Figure)] = if app == Some(pair.lender) {
                &[("wait p99", wait), ("late", late)]
            } else if app == Some(pair.borrower) {
                &[("mean response", mean), ("longest response", longest)]
            } else {
                &[]
            };
            let name = if app == Some(pair.lender) { lender } else { borrower };
            for (what, figure) in figures {
                let cmd = results.cmd_name(cell);
                let what = format!("{cmd} {}: {what}", cell.class.name());
                row(name, what, figure(cell), &|| other(*figure));
            }
        }
    }
    (!table.is_empty()).then_some(table)
}

/// Something that is told of a cell.
type Figure = fn(&Cell) -> String;

fn wait(cell: &Cell) -> String {
    match cell.wait.quantile(0.99) {
        Some(high) => format!("{high}, {} at most", cell.wait.longest()),
        None => "-".to_owned(),
    }
}

fn late(cell: &Cell) -> String {
    table::part(cell.late, cell.served())
}

fn mean(cell: &Cell) -> String {
    table::mean(&cell.response).map_or("-".to_owned(), |time| time.to_string())
}

fn longest(cell: &Cell) -> String {
    match cell.served() {
        0 => "-".to_owned(),
        _ => cell.response.longest().to_string(),
    }
}

/// What was lent, for programs.
pub fn json(results: &Results) -> Vec<Value> {
    let model = &results.scenario.model;
    let actions = |actions: &simulator_model::Actions| json!({"decisions": actions.decisions, "instances": actions.instances});
    let one = |(pair, lending): (&Pair, &Lending)| {
        let called = Called::ALL.into_iter().zip(&lending.called);
        let called: serde_json::Map<String, Value> =
            called.map(|(why, counted)| (why.name().to_owned(), actions(counted))).collect();
        json!({
            "lender": app_name(model, pair.lender),
            "borrower": app_name(model, pair.borrower),
            "core_hours": core_hours(results, pair, lending.held()),
            "most": lending.most,
            "lent": actions(&lending.lent),
            "called": called,
            "back": summary_json(&lending.back),
            "stopped": lending.stopped,
            "requeued": lending.requeued,
            "failed": lending.failed,
            "core_hours_in_vain": core_hours(results, pair, lending.wasted),
        })
    };
    pairs(results).map(one).collect()
}
