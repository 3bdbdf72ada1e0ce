//! What links have carried that transfers share, for people and for programs.

use serde_json::{Value, json};
use simulator_model::Traffic;

use crate::results::Results;
use crate::table::{Table, grouped, percent};

/// One row for each kind of link; none if no transfers share any.
pub fn table(results: &Results) -> Option<Table> {
    let mut table = Table::new(&[
        "LINK",
        ">OF A MACHINE",
        ">EACH",
        ">CARRIED",
        ">UTILISATION",
        ">BUSIEST",
        ">FULL",
        ">PEAK",
        ">SLOWER",
    ]);
    // Of a run that was stopped, nobody knows what links would have carried.
    let is_whole = results.merged.stopped().is_none();
    let part = |part: Option<f64>| part.filter(|_| is_whole).map_or("-".to_owned(), percent);
    for traffic in &results.merged.traffic {
        let share = traffic.share;
        let busiest = traffic.most_used().filter(|_| is_whole);
        table.row([
            traffic.channel.name().to_owned(),
            rate(share.bandwidth),
            share.each.map_or("-".to_owned(), rate),
            bytes(traffic.bytes()),
            part(traffic.utilisation()),
            busiest.map_or("-".to_owned(), |(machine, used)| {
                format!("{} (machine {machine})", percent(used))
            }),
            part(traffic.full()),
            grouped(u64::from(traffic.peak)),
            traffic.slowdown().map_or("-".to_owned(), |times| format!("{times:.2} times")),
        ]);
    }
    (!table.is_empty()).then_some(table)
}

/// The same for `results.json`.
pub fn json(results: &Results) -> Vec<Value> {
    let is_whole = results.merged.stopped().is_none();
    let traffic = |traffic: &Traffic| {
        json!({
            "link": traffic.channel.key(),
            "bandwidth": traffic.share.bandwidth,
            "bandwidth_each": traffic.share.each,
            "bytes": traffic.bytes(),
            "utilisation": traffic.utilisation().filter(|_| is_whole),
            "utilisation_most": traffic.most_used().filter(|_| is_whole).map(|(_, used)| used),
            "full": traffic.full().filter(|_| is_whole),
            "transfers_most": traffic.peak,
            "slowdown": traffic.slowdown(),
        })
    };
    results.merged.traffic.iter().map(traffic).collect()
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn rate(bandwidth: u64) -> String {
    format!("{}/s", bytes(bandwidth as f64))
}

/// Bytes for people.
fn bytes(count: f64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB")];
    let unit = units.into_iter().find(|(size, _)| count >= *size);
    let (size, name) = unit.unwrap_or((1.0, "B"));
    let number = format!("{:.2}", count / size);
    format!("{} {name}", number.trim_end_matches('0').trim_end_matches('.'))
}
