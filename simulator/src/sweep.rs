//! `simulator sweep`: a grid of parameters, the same seeds at each point.

use std::fs;
use std::path::{Path, PathBuf};

use diagnostics::{Sources, Span};
use serde_json::{Map, Value, json};
use simulator::judge::Values;
use simulator::metric::Metric;
use simulator::parameter::Parameter;
use simulator::scenario::Override;
use simulator_kernel::gate::{Worse, holm};
use simulator_kernel::{Change, Comparison, Moments, Pair};

use crate::exit::Exit;
use crate::html::map::{self, Cell, HeatMap};
use crate::input::{self, Warnings, quoted};
use crate::paint;
use crate::progress::Stop;
use crate::replay::{Case, Played};
use crate::table::Table;

/// More points than anybody looks at.
const MAX_POINTS: usize = 10_000;
/// Version of the format of `sweep.json`.
const SWEEP_VERSION: u32 = 1;

/// `simulator sweep`.
#[derive(Debug, clap::Args)]
pub struct Sweep {
    #[command(flatten)]
    pub subject: Played,
    /// A key and its values: KEY=a..b, KEY=a..b step c, or KEY=a,b,c; may be given several times,
    /// then all combinations are run.
    #[arg(long = "param", value_name = "KEY=VALUES", required = true)]
    pub parameters: Vec<String>,
    /// What is shown, such as paid.p99_ms; the first decides what is best. The scenario's objectives
    /// if absent.
    #[arg(long = "metric", value_name = "METRIC,…")]
    pub metrics: Vec<String>,
    /// Runs at each point, with the seeds N, N+1, …
    #[arg(long, value_name = "COUNT", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub replications: u32,
    /// Threads; all processors if absent. Results don't depend on it.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Folder for sweep.json, sweep.csv and report.html; made if it isn't there.
    #[arg(short, long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}

/// A point of the grid and what was seen there.
struct Point {
    settings: Vec<String>,
    runs: Vec<Values>,
    mark: Mark,
}

/// How a point compares with the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Best,
    /// Not proven to be worse.
    AsGood,
    Worse,
}

/// Runs it.
pub fn sweep(arguments: &Sweep) -> Exit {
    done(arguments).unwrap_or_else(|exit| exit)
}

fn done(arguments: &Sweep) -> Result<Exit, Exit> {
    let parameters = parameters("--param", &arguments.parameters)?;
    let Case { scenario: base, .. } = arguments.subject.load()?;
    let mut metrics = input::metrics("--metric", &arguments.metrics, &base.model)?;
    if metrics.is_empty() {
        metrics = base.objectives.iter().map(|objective| objective.metric.clone()).collect();
    }
    let places = grid(&parameters)?;
    let mut cases: Vec<Case> = Vec::new();
    for place in &places {
        let given = overrides(&parameters, place);
        cases.push(arguments.subject.load_with(&given, Warnings::Silent)?);
    }
    input::folder(arguments.output.as_deref())?;
    let (stop, pool) = (Stop::listen()?, input::pool(arguments.threads)?);
    let references: Vec<&Case> = cases.iter().collect();
    let runs =
        input::measure_until(&stop, &pool, &references, &metrics, 0..arguments.replications)?;
    let point = |(place, runs): (&Vec<usize>, Option<Vec<Values>>)| {
        Some(Point { settings: settings(&parameters, place), runs: runs?, mark: Mark::Worse })
    };
    let mut points: Vec<Point> = places.iter().zip(runs).filter_map(point).collect();
    if points.is_empty() {
        paint::error("stopped before any point was done");
        return Err(Exit::Stopped);
    }
    mark(&mut points, metrics.first());
    let sheet = Sheet {
        arguments,
        parameters: &parameters,
        metrics: &metrics,
        points: &points,
        planned: places.len(),
    };
    say!("{}", sheet.text().trim_end());
    if let Some(folder) = &arguments.output {
        sheet.write(folder)?;
    }
    Ok(if sheet.is_partial() { Exit::Stopped } else { Exit::Done })
}

/// Parameters that were given with an option.
pub fn parameters(option: &str, given: &[String]) -> Result<Vec<Parameter>, Exit> {
    let read = |text: &String| {
        let mut sources = Sources::default();
        let at = Span::new(sources.add(option, text.as_str()), 0, text.len());
        Parameter::parse(text, at).map_err(|wrong| {
            paint::diagnostics(&[*wrong], &sources);
            Exit::InvalidInput
        })
    };
    given.iter().map(read).collect()
}

/// All combinations of values, as places in the lists; the last parameter changes first.
fn grid(parameters: &[Parameter]) -> Result<Vec<Vec<usize>>, Exit> {
    let count = parameters
        .iter()
        .try_fold(1usize, |count, parameter| count.checked_mul(parameter.values.len()));
    if count.is_none_or(|count| count > MAX_POINTS) {
        paint::error(&format!("the grid has more than {MAX_POINTS} points"));
        return Err(Exit::InvalidInput);
    }
    let mut points = vec![Vec::new()];
    for parameter in parameters {
        let longer = |point: Vec<usize>| {
            (0..parameter.values.len()).map(move |place| [point.as_slice(), &[place]].concat())
        };
        points = points.into_iter().flat_map(longer).collect();
    }
    Ok(points)
}

/// What a point of the parameters sets.
pub fn overrides(parameters: &[Parameter], point: &[usize]) -> Vec<Override> {
    parameters.iter().zip(point).filter_map(|(parameter, place)| parameter.set(*place)).collect()
}

/// The values of a point.
pub fn settings(parameters: &[Parameter], point: &[usize]) -> Vec<String> {
    let values = parameters.iter().zip(point);
    values.filter_map(|(parameter, place)| parameter.values.get(*place).cloned()).collect()
}

/// Marks the best point, and those that aren't proven to be worse: paired with the best by their
/// seeds, at 5 % for all of them together (Holm).
fn mark(points: &mut [Point], metric: Option<&Metric>) {
    let Some(worse) = metric.and_then(|metric| metric.figure.worse()) else { return };
    let size = |point: &Point| {
        let mean = column(&point.runs, 0).mean();
        let has_values = column(&point.runs, 0).count() > 0;
        has_values.then_some(if worse == Worse::More { mean } else { -mean })
    };
    let sizes: Vec<Option<f64>> = points.iter().map(size).collect();
    let best = sizes
        .iter()
        .enumerate()
        .filter_map(|(place, size)| Some((place, (*size)?)))
        .min_by(|left, right| left.1.total_cmp(&right.1));
    let Some((best, _)) = best else { return };
    let Some(best_runs) = points.get(best).map(|point| point.runs.clone()) else { return };
    let chances: Vec<f64> =
        points.iter().map(|point| chance_as_good(&best_runs, &point.runs, worse)).collect();
    let refuted = holm(&chances, 0.05);
    for (place, (point, is_worse)) in points.iter_mut().zip(refuted).enumerate() {
        point.mark = match (place == best, is_worse) {
            (true, _) => Mark::Best,
            (false, false) => Mark::AsGood,
            (false, true) => Mark::Worse,
        };
    }
}

fn chance_as_good(best: &[Values], other: &[Values], worse: Worse) -> f64 {
    let value = |values: &Values| values.first().copied().flatten();
    let pairs = best.iter().zip(other);
    let pairs = pairs
        .filter_map(|(before, after)| Some(Pair { before: value(before)?, after: value(after)? }));
    let comparison = Comparison::new(Change::Difference, pairs.collect());
    comparison.map_or(0.0, |seen| match worse {
        Worse::More => seen.chance_if_at_most(0.0),
        Worse::Less => seen.chance_if_above(0.0),
    })
}

/// A metric over the runs of a point.
pub fn column(runs: &[Values], place: usize) -> Moments {
    runs.iter().filter_map(|values| values.get(place).copied().flatten()).collect()
}

/// The result in its forms.
struct Sheet<'a> {
    arguments: &'a Sweep,
    parameters: &'a [Parameter],
    metrics: &'a [Metric],
    /// Those that were done.
    points: &'a [Point],
    /// How many there are in all.
    planned: usize,
}

impl Sheet<'_> {
    /// Whether Ctrl-C came before all points were done.
    fn is_partial(&self) -> bool {
        self.points.len() < self.planned
    }

    fn text(&self) -> String {
        format!("{}\n{}\n\nagain: {}\n", self.table().text(), self.note(), self.again())
    }

    fn table(&self) -> Table {
        let mut headings: Vec<String> = self.parameters.iter().map(|p| p.key.clone()).collect();
        headings.push("BEST".to_owned());
        headings.extend(self.metrics.iter().map(|metric| format!(">{}", metric.name)));
        let names: Vec<&str> = headings.iter().map(String::as_str).collect();
        let mut table = Table::new(&names);
        for point in self.points {
            let mark = match point.mark {
                Mark::Best => "best",
                Mark::AsGood => "~",
                Mark::Worse => "",
            };
            let mut row = point.settings.clone();
            row.push(mark.to_owned());
            for (place, metric) in self.metrics.iter().enumerate() {
                let interval = column(&point.runs, place).interval(0.95);
                let unit = metric.figure.unit();
                row.push(interval.map_or("-".to_owned(), |interval| {
                    unit.show_interval(interval.mean, interval.half_width)
                }));
            }
            table.row(row);
        }
        table
    }

    fn note(&self) -> String {
        let best = self.metrics.first().filter(|metric| metric.figure.worse().is_some());
        let legend = best.map_or(String::new(), |metric| {
            format!("; best by {}, ~: not proven to be worse", metric.name)
        });
        let count = self.arguments.replications;
        let partial = match self.is_partial() {
            true => {
                format!("partial: stopped after {} of {} points\n", self.points.len(), self.planned)
            }
            false => String::new(),
        };
        format!("{partial}{count} runs at each point, the same seeds; 95 % intervals{legend}")
    }

    /// A map for each metric: the first parameter downwards, all others together across; none if
    /// points are missing.
    fn maps(&self) -> Vec<HeatMap> {
        if self.is_partial() {
            return Vec::new();
        }
        let Some((first, others)) = self.parameters.split_first() else { return Vec::new() };
        let across: usize = others.iter().map(|parameter| parameter.values.len()).product();
        let rows: Vec<&[Point]> = self.points.chunks(across.max(1)).collect();
        let name = |values: &[String]| values.join(", ");
        let setting = |point: &Point| point.settings.first().cloned().unwrap_or_default();
        let rest = |point: &Point| name(point.settings.get(1..).unwrap_or_default());
        let axes: Vec<String> = others.iter().map(|parameter| parameter.key.clone()).collect();
        let map = |(place, metric): (usize, &Metric)| {
            let cell = |point: &Point| {
                let moments = column(&point.runs, place);
                let value = (moments.count() > 0).then(|| moments.mean());
                let unit = metric.figure.unit();
                let text = value.map_or("-".to_owned(), |value| unit.show(value));
                let told = moments.interval(0.95).map_or(text.clone(), |interval| {
                    unit.show_interval(interval.mean, interval.half_width)
                });
                let is_as_good = place == 0 && point.mark == Mark::AsGood;
                let text = if is_as_good { format!("~ {text}") } else { text };
                Cell { value, text, told, is_best: place == 0 && point.mark == Mark::Best }
            };
            let row = |points: &&[Point]| {
                let first = points.first().map(setting).unwrap_or_default();
                (first, points.iter().map(cell).collect())
            };
            HeatMap {
                title: metric.name.clone(),
                worse: metric.figure.worse(),
                axes: (first.key.clone(), name(&axes)),
                columns: rows.first().map_or(Vec::new(), |row| row.iter().map(rest).collect()),
                rows: rows.iter().map(row).collect(),
            }
        };
        self.metrics.iter().enumerate().map(map).collect()
    }

    fn again(&self) -> String {
        let mut command = format!("simulator sweep {}", self.arguments.subject.words());
        for text in &self.arguments.parameters {
            command.push_str(&format!(" --param {}", quoted(text)));
        }
        for text in &self.arguments.metrics {
            command.push_str(&format!(" --metric {}", quoted(text)));
        }
        command.push_str(&format!(" --replications {}", self.arguments.replications));
        command
    }

    fn write(&self, folder: &Path) -> Result<(), Exit> {
        let failed = |path: &Path, error: std::io::Error| {
            paint::error(&format!("failed to write {}: {error}", path.display()));
            Exit::Environment
        };
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        let title = self.arguments.subject.subject.scenario.display().to_string();
        let (again, note) = (self.again(), self.note());
        let page = map::page(&title, &again, &self.table(), &note, &self.maps());
        let files = [("sweep.json", self.json()), ("sweep.csv", self.csv()), ("report.html", page)];
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|error| failed(&path, error))?;
        }
        Ok(())
    }

    fn json(&self) -> String {
        let points: Vec<Value> = self.points.iter().map(|point| self.point_json(point)).collect();
        let value = json!({
            "version": SWEEP_VERSION,
            "command": self.again(),
            "replications": self.arguments.replications,
            "partial": self.is_partial().then(|| json!({"points": self.points.len(), "of": self.planned})),
            "points": points,
        });
        format!("{value:#}\n")
    }

    fn point_json(&self, point: &Point) -> Value {
        let keys = self.parameters.iter().map(|parameter| parameter.key.clone());
        let settings: Map<String, Value> =
            keys.zip(point.settings.iter().map(|value| Value::from(value.as_str()))).collect();
        let metrics: Map<String, Value> = self
            .metrics
            .iter()
            .enumerate()
            .map(|(place, metric)| {
                let values: Vec<Option<f64>> =
                    point.runs.iter().map(|run| run.get(place).copied().flatten()).collect();
                let moments = column(&point.runs, place);
                let half_width = moments.interval(0.95).map(|interval| interval.half_width);
                let value =
                    json!({"mean": moments.mean(), "half_width": half_width, "values": values});
                (metric.name.clone(), value)
            })
            .collect();
        json!({
            "set": settings,
            "is_best": point.mark == Mark::Best,
            "is_as_good": point.mark != Mark::Worse,
            "metrics": metrics,
        })
    }

    /// One row for each point: settings, then mean and half the width of the interval of each metric.
    fn csv(&self) -> String {
        let mut columns: Vec<String> = self.parameters.iter().map(|p| p.key.clone()).collect();
        for metric in self.metrics {
            columns.extend([metric.name.clone(), format!("{}_half_width", metric.name)]);
        }
        let mut text = columns.join(",");
        text.push('\n');
        for point in self.points {
            let mut row: Vec<String> =
                point.settings.iter().map(|value| crate::export::quoted(value)).collect();
            for place in 0..self.metrics.len() {
                let moments = column(&point.runs, place);
                let has_values = moments.count() > 0;
                row.push(if has_values { moments.mean().to_string() } else { String::new() });
                let interval = moments.interval(0.95);
                row.push(interval.map_or(String::new(), |known| known.half_width.to_string()));
            }
            text.push_str(&row.join(","));
            text.push('\n');
        }
        text
    }
}
