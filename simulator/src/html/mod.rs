//! `report.html`: one file that needs nothing else, in light and dark, on screens of any width.

use policy::{Class, Nanoseconds};
use serde_json::Value;
use simulator_model::timeline::Decision;

use crate::control;
use crate::links;
use crate::results::{Results, refused_part};
use crate::sharing;
use crate::table::{self, Table};

mod axis;
mod charts;
pub mod front;
pub mod map;
mod plot;

use charts::Chart;

const STYLE: &str = include_str!("style.css");
/// Decisions on the page; all of them are in decisions.csv.
const MOST_DECISIONS: usize = 200;
/// Keys of a policy whose numbers are nanoseconds.
const LENGTHS: [&str; 4] = ["interval", "tolerance", "cool_down", "scale_in_after"];

/// The whole page.
pub fn page(results: &Results) -> Result<String, String> {
    let mut body = head(results);
    body.push_str(&tiles(results));
    body.push_str("<h2>Requests</h2>");
    body.push_str(&scrolled(&table::requests(results)));
    body.push_str(&scrolled(&table::times(results)));
    if let Some(clients) = table::clients(results) {
        body.push_str(&scrolled(&clients));
    }
    if let Some(pipelines) = crate::pipelines::table(results) {
        body.push_str(&scrolled(&pipelines));
    }
    if let Some(stages) = table::stages(results) {
        body.push_str(&scrolled(&stages));
    }
    body.push_str(&format!("<p class=\"quiet\">{}</p>", escaped(&table::accuracy())));
    if results.reports.len() > 1 {
        let title = table::intervals_title(results);
        body.push_str(&format!("<h2>{}</h2>", escaped(&title)));
        body.push_str(&scrolled(&table::intervals(results)));
    }
    body.push_str("<h2>Apps</h2>");
    body.push_str(&scrolled(&table::apps(results)));
    if let Some(links) = links::table(results) {
        body.push_str("<h2>Links</h2>");
        body.push_str(&scrolled(&links));
    }
    if let (Some(decisions), Some(effect)) = (sharing::decisions(results), sharing::effect(results))
    {
        body.push_str("<h2>Sharing</h2>");
        body.push_str(&scrolled(&decisions));
        body.push_str(&scrolled(&effect));
    }
    if results.scales() {
        body.push_str(&scrolled(&table::scaling(results)));
        let unplaced = table::unplaced(results);
        if !unplaced.is_empty() {
            body.push_str(&format!("<p class=\"warning\">{}</p>", escaped(&unplaced)));
        }
    }
    if let Some(upgrades) = control::upgrades(results) {
        body.push_str("<h2>Upgrades</h2>");
        body.push_str(&scrolled(&upgrades));
    }
    if let Some(faults) = table::faults(results) {
        body.push_str("<h2>Faults</h2>");
        body.push_str(&scrolled(&faults));
        let outages = escaped(&table::outages(results));
        body.push_str(&format!("<p class=\"quiet\">{}</p>", outages.replace('\n', "<br>")));
    }
    body.push_str(&plots(results)?);
    body.push_str(&decisions(results));
    body.push_str(&scheduled(results));
    body.push_str(&origins(results));
    Ok(document(&format!("{}: simulator", results.name), &body))
}

/// A page with a title and a body, which is HTML.
fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n",
        escaped(title)
    )
}

/// Text as HTML, also within quotes.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

fn scrolled(table: &Table) -> String {
    format!("<div class=\"scroll\" tabindex=\"0\">{}</div>", table.html(escaped))
}

fn head(results: &Results) -> String {
    let model = &results.scenario.model;
    let mut html = format!("<header><h1>{}</h1>", escaped(&results.name));
    if let Some(about) = &results.scenario.about {
        html.push_str(&format!("<p>{}</p>", escaped(about)));
    }
    let warm_up = match model.warm_up {
        Nanoseconds::ZERO => "none".to_owned(),
        length => format!("{length}, not in the tables, grey in the plots"),
    };
    let facts = [
        ("Simulated", format!("{} of arrivals", model.duration)),
        ("Warm-up", warm_up),
        ("Seeds", table::seeds(results)),
        ("Policy", format!("{}, from {}", short(&results.policy_digest), table::preset(results))),
        ("Scenario", short(&results.scenario.digest)),
        ("Model version", simulator_model::MODEL_VERSION.to_string()),
        ("Program", concat!("simulator ", env!("CARGO_PKG_VERSION")).to_owned()),
    ];
    let trace = results.origin.trace.clone().map(|trace| ("Replayed", trace));
    html.push_str("<ul class=\"facts quiet\">");
    for (name, value) in trace.into_iter().chain(facts) {
        html.push_str(&format!("<li>{name} <b>{}</b></li>", escaped(&value)));
    }
    html.push_str("</ul></header>");
    if let Some(partial) = table::partial(results) {
        let partial = escaped(&partial);
        html.push_str(&format!(
            "<p class=\"warning\" role=\"alert\"><b>Partial</b>: {partial}</p>"
        ));
    }
    for warning in &results.warnings {
        let warning = escaped(warning);
        html.push_str(&format!("<div class=\"warning\" role=\"note\"><pre>{warning}</pre></div>"));
    }
    html
}

fn short(digest: &str) -> String {
    digest.get(..12).unwrap_or(digest).to_owned()
}

/// The figures that are looked for first.
fn tiles(results: &Results) -> String {
    let total = results.merged.total(None);
    let refused = refused_part(&total).map_or("-".to_owned(), table::percent);
    let mut tiles = vec![
        ("requests arrived".to_owned(), table::grouped(total.arrivals())),
        ("refused".to_owned(), refused),
    ];
    for class in Class::ALL {
        let total = results.merged.total(Some(class));
        if let Some(time) = total.response.quantile(0.99) {
            tiles.push((format!("p99 response, {}", class.name()), time.to_string()));
        }
    }
    for (place, app) in results.scenario.model.apps.iter().enumerate() {
        if let Some(part) = results.utilisation(place) {
            tiles.push((format!("utilisation of {}", app.name), table::percent(part)));
        }
    }
    let tiles = tiles.into_iter().map(|(name, value)| {
        format!(
            "<div class=\"tile\"><b>{}</b><span>{}</span></div>",
            escaped(&value),
            escaped(&name)
        )
    });
    format!("<div class=\"tiles\">{}</div>", tiles.collect::<String>())
}

fn plots(results: &Results) -> Result<String, String> {
    let mut html = String::new();
    let distributions = charts::distributions(results);
    if let Some(chart) = distributions {
        html.push_str("<h2>Distributions</h2><div class=\"plots\">");
        html.push_str(&figure(&chart)?);
        html.push_str("</div>");
    }
    let Some(timeline) = &results.timeline else { return Ok(html) };
    for (place, app) in results.scenario.model.apps.iter().enumerate() {
        let charts = charts::of_app(results, timeline, place);
        if charts.is_empty() {
            continue;
        }
        let seed = results.scenario.model.seed;
        html.push_str(&format!(
            "<h2>{} over time</h2><p class=\"quiet\">Seed {seed}; each point is the mean of {}.</p>\
             <div class=\"plots\">",
            escaped(&app.name),
            timeline.width()
        ));
        for chart in &charts {
            html.push_str(&figure(chart)?);
        }
        html.push_str("</div>");
    }
    Ok(html)
}

fn figure(chart: &Chart) -> Result<String, String> {
    let legend: String = chart
        .plot
        .series
        .iter()
        .map(|series| {
            let (ink, name) = (series.ink.name(), escaped(&series.name));
            let strength = series.strength;
            format!("<li><i class=\"{ink}\" style=\"opacity:{strength}\"></i>{name}</li>")
        })
        .collect();
    Ok(format!(
        "<figure><figcaption>{}</figcaption><ul class=\"legend\">{legend}</ul>{}\
         <p class=\"told\" aria-hidden=\"true\">{}</p></figure>",
        escaped(&chart.title),
        chart.plot.svg(&chart.told)?,
        escaped(chart.told.strip_prefix(chart.title.as_str()).unwrap_or(&chart.told))
            .trim_start_matches(". "),
    ))
}

/// What the scaling rule did, and why.
fn decisions(results: &Results) -> String {
    let decided = results.timeline.as_ref().map_or(&[][..], |timeline| timeline.decisions());
    let acts = |decision: &&Decision| !matches!(decision.action, policy::scaling::Action::Keep(_));
    let changes: Vec<&Decision> = decided.iter().filter(acts).collect();
    if changes.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["AT", "APP", ">TASKS", ">INSTANCES", "DECISION"]);
    for decision in changes.iter().take(MOST_DECISIONS) {
        let app = results.scenario.model.apps.get(decision.app);
        table.row([
            Nanoseconds(decision.at.0).to_string(),
            app.map_or(String::new(), |app| app.name.clone()),
            table::grouped(decision.seen.tasks),
            table::grouped(u64::from(decision.seen.instances)),
            decision.action.to_string(),
        ]);
    }
    let more = if changes.len() > MOST_DECISIONS {
        let all = changes.len();
        format!(
            "<p class=\"quiet\">The first {MOST_DECISIONS} of {all}; all are in decisions.csv.</p>"
        )
    } else {
        String::new()
    };
    format!(
        "<h2>Scaling decisions</h2><details open><summary>{} changes</summary>{}{more}</details>",
        changes.len(),
        scrolled(&table)
    )
}

/// What the scheduler decided, and why.
fn scheduled(results: &Results) -> String {
    let known = results.timeline.as_ref().map_or(&[][..], |timeline| timeline.scheduled());
    if known.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["AT", "APP", "DECISION"]);
    for one in known.iter().take(MOST_DECISIONS) {
        let app = one.app.and_then(|app| results.scenario.model.apps.get(app));
        table.row([
            Nanoseconds(one.at.0).to_string(),
            app.map_or("all".to_owned(), |app| app.name.clone()),
            control::decision(&one.decision),
        ]);
    }
    let all = known.len();
    format!(
        "<h2>Decisions of the scheduler</h2><details><summary>{all} decisions; all are in \
         scheduler.jsonl</summary>{}</details>",
        scrolled(&table)
    )
}

/// What the run was made from, and how to get it again.
fn origins(results: &Results) -> String {
    let mut html = format!(
        "<h2>Again</h2><pre>{}</pre><h2>Effective policy</h2><details><summary>{} from {}</summary>\
         <pre>{}</pre></details>",
        escaped(&results.command),
        short(&results.policy_digest),
        table::preset(results),
        escaped(&policy_text(results))
    );
    html.push_str("<h2>Scenario</h2>");
    for file in results.origin.files.iter().chain(&results.origin.policy) {
        html.push_str(&format!(
            "<details><summary>{}</summary><pre>{}</pre></details>",
            escaped(&file.name),
            escaped(&file.text)
        ));
    }
    if !results.origin.overrides.is_empty() {
        let overrides = results.origin.overrides.join("\n");
        html.push_str(&format!("<p>Changed by --set:</p><pre>{}</pre>", escaped(&overrides)));
    }
    html
}

/// The rules, one a line, with the keys that `--set` takes.
fn policy_text(results: &Results) -> String {
    let mut lines = Vec::new();
    // Plain numbers and names always have a JSON form.
    let value = serde_json::to_value(results.scenario.policy).unwrap_or_default();
    flatten("policy", &value, &mut lines);
    lines.join("\n")
}

fn flatten(key: &str, value: &Value, lines: &mut Vec<String>) {
    let name = key.rsplit('.').next().unwrap_or_default();
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                flatten(&format!("{key}.{name}"), value, lines);
            }
        }
        Value::Number(number) if LENGTHS.contains(&name) => {
            let length = number.as_u64().map(Nanoseconds).unwrap_or_default();
            lines.push(format!("{key} = {length}"));
        }
        Value::Number(number) if number.as_u64() == Some(u64::from(policy::Queue::UNLIMITED)) => {
            lines.push(format!("{key} = unlimited"));
        }
        Value::Null => lines.push(format!("{key} = none")),
        Value::String(text) => lines.push(format!("{key} = {text}")),
        other => lines.push(format!("{key} = {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_not_become_markup() {
        let text = "<script>alert(\"a\" & 'b')</script>";
        let html = escaped(text);
        assert!(!html.contains(['<', '>', '"', '\'']), "{html}");
        assert_eq!(escaped("a & b"), "a &amp; b");
    }
}
