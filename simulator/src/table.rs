//! Results for people.

use std::fmt::Write;

use policy::queue::QueueScope;
use policy::scaling::{Added, Removed};
use policy::{Balance, Class, Nanoseconds, Refusal};
use simulator::execute;
use simulator::metric::Unit;
use simulator_kernel::{Histogram, Interval, Moments, Summary};
use simulator_model::{Actions, Cell, Clients, Stage};

use crate::control;
use crate::links;
use crate::pipelines;
use crate::results::{Results, refused_part, seconds};
use crate::sharing;

/// The quantiles of all tables and files, with their names.
pub const QUANTILES: [(&str, f64); 4] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// Everything that a run prints.
pub fn text(results: &Results) -> String {
    let mut text = head(results);
    let error = accuracy();
    let _ = write!(text, "\n{}", requests(results).text());
    let _ = write!(text, "\n{}{error}\n", times(results).text());
    if let Some(clients) = clients(results) {
        let _ = write!(text, "\n{}", clients.text());
    }
    if let Some(pipelines) = pipelines::table(results) {
        let _ = write!(text, "\n{}", pipelines.text());
    }
    if let Some(stages) = stages(results) {
        let _ = write!(text, "\n{}", stages.text());
    }
    let _ = write!(text, "\n{}", apps(results).text());
    if let Some(links) = links::table(results) {
        let _ = write!(text, "\n{}", links.text());
    }
    for table in [sharing::decisions(results), sharing::effect(results)].into_iter().flatten() {
        let _ = write!(text, "\n{}", table.text());
    }
    if results.scales() {
        let _ = write!(text, "\n{}{}", scaling(results).text(), unplaced(results));
    }
    if let Some(upgrades) = control::upgrades(results) {
        let _ = write!(text, "\n{}", upgrades.text());
    }
    if let Some(faults) = faults(results) {
        let _ = write!(text, "\n{}{}", faults.text(), outages(results));
    }
    if results.reports.len() > 1 {
        let _ = write!(text, "\n{}\n{}", intervals_title(results), intervals(results).text());
    }
    if let Some(partial) = partial(results) {
        let _ = write!(text, "\npartial: {partial}\n");
    }
    let _ = write!(text, "\nagain: {}\n", results.command);
    text
}

fn head(results: &Results) -> String {
    let model = &results.scenario.model;
    let mut text = results.name.clone();
    if let Some(about) = &results.scenario.about {
        let _ = write!(text, ": {about}");
    }
    let digest = results.policy_digest.get(..12).unwrap_or_default();
    let (seeds, preset) = (seeds(results), preset(results));
    let _ = writeln!(
        text,
        "\n{} of arrivals, the first {} not reported; {seeds}; policy {digest} (from `{preset}`)",
        model.duration, model.warm_up,
    );
    let _ = writeln!(text, "engine: {}", execute::engine_name(model));
    if !results.scales() {
        text.push_str("inactive: policy.scaling (no app has `scales`)\n");
    }
    let _ = writeln!(text, "control: {}", execute::control_name(model));
    if model.dynamics.scheduler.is_none() {
        if model.dynamics.faults.are_none() {
            text.push_str("inactive: policy.repair (nothing fails)\n");
        }
        text.push_str("inactive: policy.rollout (there is no scheduler)\n");
    }
    if let Some(why) = sharing::inactive(model) {
        let _ = writeln!(text, "inactive: policy.sharing ({why})");
    }
    if model.queue.scope == QueueScope::Central {
        text.push_str("inactive: policy.balance (instances take requests from a central queue)\n");
    }
    text
}

/// The name of the preset that the policy began with.
pub fn preset(results: &Results) -> &'static str {
    match results.scenario.policy.preset {
        policy::config::Preset::Original => "original",
        policy::config::Preset::Recommended => "recommended",
    }
}

/// The name of a rule in policy.yml.
pub fn balance(rule: Balance) -> String {
    match rule {
        Balance::Random => "random".to_owned(),
        Balance::RoundRobin => "round_robin".to_owned(),
        Balance::LeastLoaded => "least_loaded".to_owned(),
        Balance::PowerOfChoices(choices) => format!("power_of_choices ({})", choices.get()),
        Balance::JoinShortestQueue => "join_shortest_queue".to_owned(),
        Balance::PeakEwma(_) => "peak_ewma".to_owned(),
        Balance::Prequal(_) => "prequal".to_owned(),
    }
}

/// Which seeds were run.
pub fn seeds(results: &Results) -> String {
    let seed = results.scenario.model.seed;
    match results.reports.len() as u64 {
        1 => format!("seed {seed}"),
        count => format!("seeds {seed} to {}", seed.wrapping_add(count - 1)),
    }
}

/// What is missing of a run that was stopped.
pub fn partial(results: &Results) -> Option<String> {
    let partial = results.partial?;
    Some(match partial.stopped {
        Some(stopped) => format!(
            "stopped after {} of {} of arrivals",
            Nanoseconds(stopped.0),
            results.scenario.model.duration
        ),
        None => {
            format!("stopped after {} of {} replications", results.reports.len(), partial.wanted)
        }
    })
}

/// How exact the quantiles are.
pub fn accuracy() -> String {
    format!("quantiles are within {:.1} % of their value", Histogram::RELATIVE_ERROR * 100.0)
}

/// The cells of the merged report, and totals where there is more than one of a class.
fn cells(results: &Results) -> Vec<Cell> {
    let mut cells = results.merged.cells.clone();
    for class in Class::ALL {
        if results.merged.cells.iter().filter(|cell| cell.class == class).count() > 1 {
            cells.push(results.merged.total(Some(class)));
        }
    }
    cells
}

/// What became of requests.
pub fn requests(results: &Results) -> Table {
    let mut table =
        Table::new(&["CMD", "CLASS", ">ARRIVALS", ">SERVED", ">REFUSED", ">LATE", "BY CAUSE"]);
    for cell in &cells(results) {
        let causes: Vec<String> = Refusal::ALL
            .into_iter()
            .zip(cell.refused)
            .filter(|(_, count)| *count > 0)
            .map(|(cause, count)| format!("{} {}", cause.name(), grouped(count)))
            .collect();
        table.row([
            results.cmd_name(cell).to_owned(),
            cell.class.name().to_owned(),
            grouped(cell.arrivals()),
            grouped(cell.served()),
            refused_part(cell).map_or("-".to_owned(), percent),
            part(cell.late, cell.served()),
            causes.join(", "),
        ]);
    }
    table
}

/// How long they took.
pub fn times(results: &Results) -> Table {
    let mut table =
        Table::new(&["CMD", "CLASS", "TIME", ">MEAN", ">p50", ">p90", ">p99", ">p99.9", ">MAX"]);
    for cell in &cells(results) {
        for (name, summary) in [("wait", &cell.wait), ("response", &cell.response)] {
            table.row(time_row(results, cell, name, summary));
        }
    }
    table
}

/// Mean, quantiles and maximum of a time.
pub fn time_row(results: &Results, cell: &Cell, name: &str, summary: &Summary) -> Vec<String> {
    let mut row = vec![
        results.cmd_name(cell).to_owned(),
        cell.class.name().to_owned(),
        name.to_owned(),
        mean(summary).map_or("-".to_owned(), |mean| mean.to_string()),
    ];
    for (_, part) in QUANTILES {
        row.push(summary.quantile(part).map_or("-".to_owned(), |time| time.to_string()));
    }
    let longest = (summary.count() > 0).then(|| summary.longest().to_string());
    row.push(longest.unwrap_or("-".to_owned()));
    row
}

/// What clients that try again saw; none if nobody does. Everything else counts attempts.
pub fn clients(results: &Results) -> Option<Table> {
    let mut table = Table::new(&[
        "CMD",
        "CLASS",
        "CLIENTS",
        ">REQUESTS",
        ">ATTEMPTS",
        ">ANSWERED",
        ">GOODPUT",
        ">MEAN",
        ">p50",
        ">p90",
        ">p99",
        ">p99.9",
        ">MAX",
    ]);
    let seconds = results.merged.window().seconds() * precise(results.reports.len() as u64);
    for cell in &results.merged.cells {
        let Clients { requests, attempts, answer } = &cell.clients;
        if *requests == 0 {
            continue;
        }
        let times = time_row(results, cell, "until answered", answer);
        let mut row: Vec<String> = times.iter().take(3).cloned().collect();
        row.push(grouped(*requests));
        row.push(format!("{:.2}", precise(*attempts) / precise(*requests)));
        row.push(part(answer.count(), *requests));
        row.push(format!("{:.1}/s", precise(answer.count()) / seconds));
        row.extend(times.into_iter().skip(3));
        table.row(row);
    }
    (!table.rows.is_empty()).then_some(table)
}

#[expect(clippy::cast_precision_loss, reason = "ratios for people")]
fn precise(count: u64) -> f64 {
    count as f64
}

/// The stages of commands that have any besides queue and work; none if no command has.
pub fn stages(results: &Results) -> Option<Table> {
    let mut table = Table::new(&[
        "CMD", "CLASS", "STAGE", ">MEAN", ">p50", ">p90", ">p99", ">p99.9", ">MAX", "SOURCES",
    ]);
    for cell in &results.merged.cells {
        for (stage, summary) in cell.stages() {
            let mut row = time_row(results, cell, stage.name(), summary);
            let sources = cell.downloaded + cell.cached;
            row.push(match stage {
                Stage::Download if sources > 0 => format!("{} cached", part(cell.cached, sources)),
                _ => String::new(),
            });
            table.row(row);
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

/// The apps, how many instances they had and how busy these were.
pub fn apps(results: &Results) -> Table {
    let mut table = Table::new(&[
        "APP",
        ">MACHINES",
        ">INSTANCES",
        ">MIN",
        ">MEAN",
        ">MAX",
        ">UTILISATION",
        ">CORE-HOURS",
        ">PEAK QUEUE",
    ]);
    let decimal = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    let apps = results.scenario.model.apps.iter().zip(&results.merged.usage);
    for (place, (app, usage)) in apps.enumerate() {
        let (fewest, most) = usage.extremes();
        table.row([
            app.name.clone(),
            grouped(u64::from(app.machines)),
            grouped(app.all_instances()),
            grouped(fewest),
            decimal(results.mean_instances(place)),
            grouped(most),
            results.utilisation(place).map_or("-".to_owned(), percent),
            decimal(results.core_hours(place)),
            usage.peak_queue.map_or("-".to_owned(), grouped),
        ]);
    }
    table
}

/// What the scaling rule has decided, by reason; of all replications.
pub fn scaling(results: &Results) -> Table {
    let mut table = Table::new(&["APP", "SCALING", ">DECISIONS", ">INSTANCES", ">PEAK TASKS"]);
    let apps = results.scenario.model.apps.iter().zip(&results.merged.usage);
    for (app, usage) in apps.filter(|(app, _)| app.life.bounds.is_some()) {
        let added = Added::ALL.into_iter().zip(usage.added);
        let added = added.map(|(reason, actions)| ("add", reason.name(), actions));
        let removed = Removed::ALL.into_iter().zip(usage.removed);
        let removed = removed.map(|(reason, actions)| ("remove", reason.name(), actions));
        let peak = usage.peak_tasks.map_or("-".to_owned(), grouped);
        let nothing = ("keep", "always", Actions::default());
        let mut acted: Vec<(&str, &str, Actions)> =
            added.chain(removed).filter(|(.., actions)| actions.decisions > 0).collect();
        if acted.is_empty() {
            acted.push(nothing);
        }
        for (what, reason, actions) in acted {
            table.row([
                app.name.clone(),
                format!("{what}: {reason}"),
                grouped(actions.decisions),
                grouped(actions.instances),
                peak.clone(),
            ]);
        }
    }
    table
}

/// Instances that no machine could take, and why not.
pub fn unplaced(results: &Results) -> String {
    let apps = results.scenario.model.apps.iter().zip(&results.merged.usage);
    let mut told = String::new();
    for (app, usage) in apps {
        if let Some(reasons) = usage.reasons {
            let count = grouped(usage.unplaced);
            let name = &app.name;
            let _ = writeln!(told, "{name}: {count} instances found no place; last: {reasons}");
        }
    }
    told
}

/// What faults have cost, by app and cause; of all replications. None if nothing can fail.
pub fn faults(results: &Results) -> Option<Table> {
    let dynamics = &results.scenario.model.dynamics;
    if dynamics.faults.are_none() && dynamics.scheduler.is_none() {
        return None;
    }
    let mut table = Table::new(&[
        "APP",
        "FAULTS",
        ">HAPPENED",
        ">INSTANCES LOST",
        ">REQUESTS LOST",
        ">RECOVERY",
        ">LONGEST",
    ]);
    let apps = results.scenario.model.apps.iter().zip(&results.merged.usage);
    for (app, usage) in apps {
        let losses = &usage.losses;
        for (name, toll) in [
            ("machines fail", &losses.machines),
            ("instances crash", &losses.crashes),
            ("killed at work", &losses.killed),
        ] {
            if toll.incidents == 0 {
                continue;
            }
            let recovery = &toll.recovery;
            let longest = (recovery.count() > 0).then(|| recovery.longest().to_string());
            table.row([
                app.name.clone(),
                name.to_owned(),
                grouped(toll.incidents),
                grouped(toll.instances),
                grouped(toll.requests),
                mean(recovery).map_or("-".to_owned(), |mean| mean.to_string()),
                longest.unwrap_or("-".to_owned()),
            ]);
        }
        if losses.are_none() {
            let nothing = "-".to_owned();
            let name = "none".to_owned();
            let zero = "0".to_owned();
            table.row([
                app.name.clone(),
                name,
                zero.clone(),
                zero.clone(),
                zero,
                nothing.clone(),
                nothing,
            ]);
        }
    }
    Some(table)
}

/// How long machines were down or slow, and what wasn't made up for until the end.
pub fn outages(results: &Results) -> String {
    let machines = &results.merged.machines;
    let mut told = String::new();
    let span = |time: u128| Nanoseconds(u64::try_from(time).unwrap_or(u64::MAX));
    for (count, what, time) in [
        (machines.failed, "failed and were down for", machines.down()),
        (machines.slowed, "became slow and were so for", machines.slow()),
    ] {
        if count > 0 || time > 0 {
            let _ = writeln!(told, "machines: {} {what} {} in all", grouped(count), span(time));
        }
    }
    let apps = results.scenario.model.apps.iter().zip(&results.merged.usage);
    for (app, usage) in apps {
        let open = usage.losses.unrecovered();
        if open > 0 {
            let plural = if open == 1 { "loss was" } else { "losses were" };
            let name = &app.name;
            let _ = writeln!(told, "{name}: {open} {plural} not made up for until the end");
        }
    }
    told
}

/// What [`intervals`] shows.
pub fn intervals_title(results: &Results) -> String {
    let count = results.reports.len();
    format!("95 % confidence over {count} replications, as mean ± half the width")
}

/// Figures with their confidence.
pub fn intervals(results: &Results) -> Table {
    let mut table = Table::new(&["CMD", "CLASS", ">REFUSED", ">MEAN RESPONSE", ">p99 RESPONSE"]);
    for (place, cell) in results.merged.cells.iter().enumerate() {
        let over = |figure: fn(&Cell) -> Option<f64>| results.over_replications(place, figure);
        let refused = over(refused_part);
        let response = over(|cell| mean(&cell.response).map(seconds));
        let high = over(|cell| cell.response.quantile(0.99).map(seconds));
        table.row([
            results.cmd_name(cell).to_owned(),
            cell.class.name().to_owned(),
            interval(&refused, |interval| {
                format!("{:.3} ± {:.3} %", interval.mean * 100.0, interval.half_width * 100.0)
            }),
            interval(&response, milliseconds),
            interval(&high, milliseconds),
        ]);
    }
    table
}

fn interval(moments: &Moments, show: impl Fn(Interval) -> String) -> String {
    moments.interval(0.95).map_or("-".to_owned(), show)
}

fn milliseconds(interval: Interval) -> String {
    Unit::Milliseconds.show_interval(interval.mean * 1e3, interval.half_width * 1e3)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of times is a time"
)]
pub fn mean(summary: &Summary) -> Option<Nanoseconds> {
    summary.mean().map(|mean| Nanoseconds(mean.round() as u64))
}

/// A part of a whole, in percent.
#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
pub fn part(count: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { percent(count as f64 / whole as f64) }
}

/// A part in percent.
pub fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

/// A count with its thousands apart.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Columns of text; a heading with `>` is of numbers, at the right of its column.
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Table {
            headings: headings.iter().map(|name| (*name).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Whether it has no rows.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as HTML, its text by way of `escape`.
    pub fn html(&self, escape: impl Fn(&str) -> String) -> String {
        let class = |heading: &String| match heading.starts_with('>') {
            true => " class=\"number\"",
            false => "",
        };
        let mut html = String::from("<table><thead><tr>");
        for heading in &self.headings {
            let name = escape(heading.trim_start_matches('>'));
            let _ = write!(html, "<th scope=\"col\"{}>{name}</th>", class(heading));
        }
        html.push_str("</tr></thead><tbody>");
        for row in &self.rows {
            html.push_str("<tr>");
            for (cell, heading) in row.iter().zip(&self.headings) {
                let _ = write!(html, "<td{}>{}</td>", class(heading), escape(cell));
            }
            html.push_str("</tr>");
        }
        html.push_str("</tbody></table>");
        html
    }

    /// The table as lines.
    pub fn text(&self) -> String {
        let names: Vec<String> =
            self.headings.iter().map(|name| name.trim_start_matches('>').to_owned()).collect();
        let mut lines = vec![&names];
        lines.extend(&self.rows);
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let mut text = String::new();
        for line in lines {
            let mut shown = String::new();
            for ((cell, width), heading) in line.iter().zip(&widths).zip(&self.headings) {
                let _ = if heading.starts_with('>') {
                    write!(shown, "{cell:>width$}  ")
                } else {
                    write!(shown, "{cell:<width$}  ")
                };
            }
            text.push_str(shown.trim_end());
            text.push('\n');
        }
        text
    }
}
