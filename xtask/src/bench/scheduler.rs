//! `[io]` `cargo xtask bench scheduler`: the figures that the scheduler is held to, all of them, with a
//! daemon as users run it on a simulated Mesos, and placement alone.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};

use super::report::machine;
use crate::error::{Doing, Error};
use crate::lab::directories::{read_json, write_file, write_json};
use crate::{step, workspace};

/// A first build with optimisation on two busy processors, and the measurements.
const LIMIT: Duration = Duration::from_mins(40);

/// Arguments of `bench scheduler`.
#[derive(Debug, Clone, Args)]
pub struct SchedulerArguments {
    /// Tasks and agents, as TASKSxAGENTS
    #[arg(long, value_delimiter = ',', default_value = "20000x1000,100000x5000")]
    sizes: Vec<String>,
    /// Machines that are offered to instances that wait for them
    #[arg(long, value_name = "COUNT", default_value_t = 2_000)]
    offers: u32,
    /// What is measured: of what isn't, the figures of before stay; `memory` is a part of folder and
    /// consul that can be had alone
    #[arg(long, value_delimiter = ',', default_value = "offers,folder,consul,placement")]
    parts: Vec<String>,
    /// Of placement only what has this in its name; the other figures stay
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// The profile of the build: `quick` is right for memory, and built sooner
    #[arg(long, value_name = "NAME", default_value = "bench")]
    profile: String,
    /// Measure nothing, but take the lines that the bench has written to its output
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,
}

/// One figure: its name and what was measured, as the bench tells it.
type Figure = Map<String, Value>;

/// Measures.
///
/// # Errors
/// Something can't be built, or what is measured fails.
pub fn run(arguments: &SchedulerArguments) -> Result<ExitCode, Error> {
    let mut figures = Vec::new();
    let is_wanted =
        |part: &str| arguments.lines.is_none() && arguments.parts.iter().any(|one| one == part);
    if let Some(file) = &arguments.lines {
        let text = fs::read_to_string(file).doing(|| format!("read {}", file.display()))?;
        figures.extend(text.lines().filter_map(figure));
    }
    let known = ["offers", "folder", "consul", "memory"];
    let parts = known.into_iter().filter(|part| is_wanted(part));
    let parts: Vec<&str> = parts.collect();
    if !parts.is_empty() {
        let (sizes, offers) = (arguments.sizes.join(","), arguments.offers.to_string());
        let own = ["--sizes", &sizes, "--offers", &offers, "--parts", &parts.join(",")];
        let text = bench("scheduler", "figures", &arguments.profile, &own)?;
        figures.extend(text.lines().filter_map(figure));
    }
    if is_wanted("placement") {
        let load = super::load();
        let only: Vec<&str> = arguments.only.as_deref().into_iter().collect();
        figures.extend(rates(&bench("policy", "placement", &arguments.profile, &only)?, load));
    }
    let docs = workspace::root().join("docs");
    let file = docs.join("scheduler-benchmarks.json");
    let figures = with_earlier(read_json(&file)?.unwrap_or_default(), figures);
    write_json(&file, &figures)?;
    let table = table(&figures);
    let document = format!("{HEAD}\n{}\n{table}", machine());
    write_file(&docs.join("scheduler-benchmarks.md"), document.as_bytes())?;
    println!("{table}");
    Ok(ExitCode::SUCCESS)
}

const HEAD: &str = "# Figures of the scheduler\n\n\
Written by `cargo xtask bench scheduler`; don't edit. Nothing here is asserted by a test.\n\n\
The daemon is a process of its own, with records in redb on this machine's disk or in a small Consul of\n\
the bench; the simulated master and its agents are the bench. *user* is processor time of the daemon\n\
alone. *load* is how many processes wanted a processor when the figure was told, the bench's own\n\
included: above two, wall times are too long. Memory is that three seconds after all serve; *at most* is the\n\
most that there was before, in the burst. Of offers, what is in the daemon is from when one came to when its\n\
ACCEPT was written, by its metric `scheduler_accept_seconds`; the rest is the simulated master's, on the same\n\
processors. Rows can be measured apart, so they aren't all of one day.\n";

/// What was measured before and isn't measured again stays, in its place.
fn with_earlier(mut all: Vec<Figure>, new: Vec<Figure>) -> Vec<Figure> {
    let same = |one: &Figure, other: &Figure| {
        let what = ["figure", "store", "tasks", "agents", "together", "every_ms", "name"];
        what.iter().all(|name| one.get(*name) == other.get(*name))
    };
    for figure in new {
        match all.iter_mut().find(|known| same(known, &figure)) {
            Some(known) => *known = figure,
            None => all.push(figure),
        }
    }
    all
}

/// What a bench says.
fn bench(package: &str, name: &str, profile: &str, own: &[&str]) -> Result<String, Error> {
    let log: PathBuf = step::log(&format!("bench-{package}-{name}"));
    let all = ["bench", "--profile", profile, "--package", package, "--bench", name, "--"];
    let all = [all.as_slice(), own].concat();
    step::demand(&workspace::cargo(&all), &log, LIMIT, &format!("measure {package}"))?;
    fs::read_to_string(&log).doing(|| format!("read {}", log.display()))
}

fn figure(line: &str) -> Option<Figure> {
    let value: Value = serde_json::from_str(line.trim()).ok()?;
    value.as_object().filter(|fields| fields.contains_key("figure")).cloned()
}

/// The rates that criterion tells: a name, and in one of the lines below it the throughput.
fn rates(text: &str, load: f64) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(found) = line.strip_prefix("placement/") {
            name = found.split("  ").next().unwrap_or(found).trim();
        }
        let Some(rate) = line.trim().strip_prefix("thrpt:").and_then(middle) else { continue };
        let mut figure = Figure::new();
        figure.insert("figure".to_owned(), "placement".into());
        figure.insert("name".to_owned(), name.into());
        figure.insert("per_second".to_owned(), rate.into());
        figure.insert("load".to_owned(), load.into());
        figures.push(figure);
    }
    figures
}

/// The middle of `[a Kelem/s b Kelem/s c Kelem/s]`, a second.
fn middle(text: &str) -> Option<f64> {
    let words: Vec<&str> = text.trim().trim_matches(['[', ']']).split_whitespace().collect();
    let scale = match *words.get(3)? {
        "elem/s" => 1.0,
        "Kelem/s" => 1e3,
        "Melem/s" => 1e6,
        "Gelem/s" => 1e9,
        _ => return None,
    };
    Some(words.get(2)?.parse::<f64>().ok()? * scale)
}

/// All figures beside what is wanted.
fn table(figures: &[Figure]) -> String {
    let mut text = "| figure | wanted | measured | load |\n|---|---|---|---:|\n".to_owned();
    for figure in figures {
        for (what, wanted, measured) in rows(figure) {
            let load = number(figure, "load");
            // Writing to a string can't fail.
            let _ = writeln!(text, "| {what} | {wanted} | {measured} | {load:.1} |");
        }
    }
    text
}

fn number(figure: &Figure, name: &str) -> f64 {
    figure.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn word<'a>(figure: &'a Figure, name: &str) -> &'a str {
    figure.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// What was measured, what is wanted, and the figure.
fn rows(figure: &Figure) -> Vec<(String, &'static str, String)> {
    let of = |name: &str| number(figure, name);
    let size = format!(
        "{} tasks on {} machines, {}",
        of("tasks"),
        of("agents"),
        if word(figure, "store") == "folder" { "redb" } else { "Consul" }
    );
    match word(figure, "figure") {
        "offers" => vec![(
            format!(
                "offer → ACCEPT, {} at a time every {} ms, redb",
                of("together"),
                of("every_ms")
            ),
            "p99 < 10 ms",
            format!(
                "p50 {:.1}, p99 {:.1}, p99.9 {:.1}, most {:.1} ms of {}; of that in the daemon p99 \
                 {:.1} ms; user {:.1} s",
                of("p50_ms"),
                of("p99_ms"),
                of("p999_ms"),
                of("most_ms"),
                of("offers"),
                of("within_daemon_p99_ms"),
                of("daemon_user_seconds"),
            ),
        )],
        "launches" => vec![
            (
                format!("launches to RUNNING and acknowledged: {size}"),
                "≥ 10,000 a second",
                format!(
                    "{:.0} a second ({:.2} s; user {:.2} s)",
                    of("per_second"),
                    of("seconds"),
                    of("daemon_user_seconds")
                ),
            ),
            (
                format!("launch and offer → ACCEPT in that burst: {size}"),
                "",
                format!(
                    "p50 {:.1}, p99 {:.1}, p99.9 {:.1} ms of {}",
                    of("accept_p50_ms"),
                    of("accept_p99_ms"),
                    of("accept_p999_ms"),
                    of("acceptances")
                ),
            ),
        ],
        "memory" => vec![(
            format!("memory: {size}"),
            "< 1 KB a task + 50 MB",
            format!(
                "{:.0} MB, at most {:.0} MB ({:.0} allowed)",
                of("resident_kib") / 1024.0,
                of("most_kib") / 1024.0,
                of("limit_kib") / 1024.0
            ),
        )],
        "reconciliation" => vec![(
            format!("killed, started again, all reconciled: {size}"),
            "< 5 s",
            format!("{:.2} s (led after {:.2} s)", of("seconds"), of("leads_seconds")),
        )],
        "failover" => vec![(
            format!("next leader decides after the end of the one before: {size}"),
            "< 2 s",
            format!("{:.2} s (all reconciled after {:.2} s)", of("decides_seconds"), of("seconds")),
        )],
        "placement" => vec![(
            format!("placement: {}", word(figure, "name")),
            "≥ 200,000 a second",
            format!("{:.0} a second", of("per_second")),
        )],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_measured_again_stays() {
        let of = |text: &str| figure(text).unwrap();
        let memory = |tasks: u32, kib: u32| {
            of(&format!(r#"{{"figure":"memory","tasks":{tasks},"resident_kib":{kib}}}"#))
        };
        let placement = of(r#"{"figure":"placement","name":"fill","per_second":5.0}"#);
        let earlier = vec![memory(20, 9), placement.clone(), memory(100, 99)];
        let all = with_earlier(earlier, vec![memory(100, 50), memory(300, 80)]);
        assert_eq!(all, [memory(20, 9), placement, memory(100, 50), memory(300, 80)]);
    }

    #[test]
    fn figures_and_rates_are_read() {
        let line = r#"{"figure":"failover","load":1.5,"store":"consul","tasks":20000,"agents":1000,
            "decides_seconds":0.251,"seconds":0.5}"#;
        let one = figure(&line.replace('\n', "")).unwrap();
        assert!(figure("Running benches").is_none() && figure("{\"a\":1}").is_none());
        let criterion = "placement/churn, one goes and one comes\n    time:   [9.1 ms 9.2 ms 9.3 ms]\n  \
             thrpt:  [1.0752 Melem/s 1.0869 Melem/s 1.0989 Melem/s]\n";
        let rates = rates(criterion, 0.5);
        let text = table(&[[one].as_slice(), &rates].concat());
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| next leader decides after the end of the one before: 20000 tasks on 1000 machines, \
                 Consul | < 2 s | 0.25 s (all reconciled after 0.50 s) | 1.5 |",
                "| placement: churn, one goes and one comes | ≥ 200,000 a second | 1086900 a second | 0.5 |",
            ]
        );
    }
}
