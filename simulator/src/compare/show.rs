//! Comparisons for people: tables, complaints, Markdown.

use simulator::judge::{Judgement, Row, Verdict};
use simulator_kernel::Finding;

use super::Compared;
use crate::paint;
use crate::table::Table;

const HEADINGS: [&str; 6] = ["OBJECTIVE", ">BEFORE", ">AFTER", "CHANGE", ">ALLOWED", "FINDING"];

/// The table of one scenario.
pub fn text(compared: &Compared) -> String {
    let Compared { name, judgement, notes, .. } = compared;
    let mut table = Table::new(&HEADINGS);
    judgement.rows.iter().for_each(|row| table.row(cells(row, judgement)));
    let mut text = format!("{}\n{}", title(name, judgement), table.text());
    notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    text
}

fn title(name: &str, judgement: &Judgement) -> String {
    format!(
        "{name}: {} after {} pairs of runs ({:.2} % intervals)",
        word(judgement.verdict),
        judgement.replications,
        (1.0 - 2.0 * judgement.levels.holds) * 100.0
    )
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Regression => "regression",
        Verdict::Inconclusive => "inconclusive",
    }
}

fn cells(row: &Row, judgement: &Judgement) -> [String; 6] {
    let unit = row.objective.metric.figure.unit();
    let value = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| unit.show(figure));
    let seen = row.comparison.as_ref();
    let finding = match row.finding {
        Finding::Holds if row.is_better(judgement.levels.holds) => "holds, better",
        Finding::Holds => "holds",
        Finding::Moved => "MOVED",
        Finding::Open => "open",
    };
    [
        row.objective.metric.name.clone(),
        value(seen.map(|seen| seen.before())),
        value(seen.map(|seen| seen.after())),
        row.show_change(judgement.levels.holds),
        row.objective.show_margin(),
        finding.to_owned(),
    ]
}

/// What moved and what is open, with the commands that show it again.
pub fn complaints(compared: &[Compared]) {
    for Compared { name, judgement, again, .. } in compared {
        let complained = |finding: Finding, verdict: &str| {
            for row in judgement.rows.iter().filter(|row| row.finding == finding) {
                paint::error(&format!(
                    "{verdict} in {name}: {}",
                    row.sentence(judgement.levels.holds)
                ));
            }
        };
        match judgement.verdict {
            Verdict::Pass => continue,
            Verdict::Regression => complained(Finding::Moved, "regression"),
            Verdict::Inconclusive => complained(Finding::Open, "inconclusive"),
        }
        tell!("again: {again}\n");
    }
}

/// Everything as Markdown.
pub fn markdown(compared: &[Compared], verdict: &str) -> String {
    let mut text = format!("## Policy: {verdict}\n");
    for one in compared {
        let Compared { name, judgement, again, notes } = one;
        text.push_str(&format!("\n### {}\n\n", title(&format!("`{name}`"), judgement)));
        text.push_str("| objective | before | after | change | allowed | finding |\n");
        text.push_str("|---|--:|--:|---|--:|---|\n");
        for row in &judgement.rows {
            let cells = cells(row, judgement).map(|cell| cell.replace('|', "\\|"));
            let cells = cells.map(|cell| cell.replace("MOVED", "**moved**"));
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        notes.iter().for_each(|note| text.push_str(&format!("\nNote: {note}.\n")));
        if judgement.verdict != Verdict::Pass {
            text.push_str(&format!("\nAgain: `{again}`\n"));
        }
    }
    text
}
