//! Which plots a report has, and what each of them says in words.

use policy::scaling::Action;
use policy::{Class, Refusal};
use simulator_model::timeline::{Bucket, MeanInstances};
use simulator_model::{App, Timeline};

use super::axis::{self, Axis};
use super::plot::{Ink, Plot, Series, Shape};
use crate::results::Results;

/// A plot with what stands around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it shows, with the unit.
    pub title: String,
    /// The plot.
    pub plot: Plot,
    /// What can be seen in it.
    pub told: String,
}

/// Lines that a plot of distributions can tell apart.
const MOST_DISTRIBUTIONS: usize = 8;
const PERCENTILES: [(&str, f64, f64); 3] =
    [("p50", 0.5, 0.55), ("p90", 0.9, 0.75), ("p99", 0.99, 1.0)];

/// The course of an app, ready to be drawn.
struct Course<'a> {
    timeline: &'a Timeline,
    app: usize,
    /// Beginning and end of each bucket in seconds.
    bounds: Vec<(f64, f64)>,
    all: Vec<Bucket>,
    /// Classes that sent anything.
    classes: Vec<(Class, Vec<Bucket>)>,
    instances: Vec<MeanInstances>,
    /// Requests that each of them works on at a time, at most.
    concurrency: u32,
    shaded: f64,
}

/// All plots of an app over time.
pub fn of_app(results: &Results, timeline: &Timeline, app: usize) -> Vec<Chart> {
    let classes = Class::ALL.into_iter().map(|class| (class, timeline.buckets(app, Some(class))));
    let sent = |buckets: &[Bucket]| buckets.iter().any(|bucket| bucket.arrivals > 0);
    let bounds = timeline.bounds();
    let course = Course {
        timeline,
        app,
        bounds: bounds.map(|(from, until)| (seconds(from.0), seconds(until.0))).collect(),
        all: timeline.buckets(app, None),
        classes: classes.filter(|(_, buckets)| sent(buckets)).collect(),
        instances: timeline.instances(app),
        concurrency: results.scenario.model.apps.get(app).map_or(1, App::concurrency),
        shaded: results.scenario.model.warm_up.seconds(),
    };
    if course.bounds.is_empty() || course.classes.is_empty() {
        return Vec::new();
    }
    let mut charts = vec![course.requests(), course.waiting(), course.instances()];
    charts.push(course.utilisation());
    charts.extend(course.classes.iter().map(|(class, buckets)| course.responses(*class, buckets)));
    charts.extend(course.refusals());
    charts
}

fn seconds(nanoseconds: u64) -> f64 {
    policy::Nanoseconds(nanoseconds).seconds()
}

#[expect(clippy::cast_precision_loss, reason = "a number for people")]
const fn precise(count: u64) -> f64 {
    count as f64
}

const fn class_ink(class: Class) -> Ink {
    match class {
        Class::Free => Ink::Orange,
        Class::Paid => Ink::Blue,
    }
}

impl Course<'_> {
    fn end(&self) -> f64 {
        self.bounds.last().map_or(1.0, |(_, until)| *until)
    }

    fn middles(&self) -> impl Iterator<Item = f64> {
        self.bounds.iter().map(|(from, until)| f64::midpoint(*from, *until))
    }

    fn series(&self, name: &str, ink: Ink, values: impl Iterator<Item = Option<f64>>) -> Series {
        let points = self.middles().zip(values).collect();
        Series { name: name.to_owned(), ink, strength: 1.0, shape: Shape::Line, points }
    }

    fn per_second(&self, name: &str, ink: Ink, count: impl Fn(&Bucket) -> u64) -> Series {
        let buckets = self.all.iter().zip(&self.bounds);
        let rate = |(bucket, (from, until)): (&Bucket, &(f64, f64))| {
            Some(precise(count(bucket)) / (until - from))
        };
        self.series(name, ink, buckets.map(rate))
    }

    fn chart(&self, title: &str, unit: &'static str, series: Vec<Series>) -> Chart {
        let high = series.iter().filter_map(highest).map(|(_, value)| value).fold(0.0, f64::max);
        let told = series.iter().map(|series| told(series, |value| axis::number(value, unit)));
        let told = format!("{}. {}", title, told.collect::<Vec<_>>().join("; "));
        Chart {
            title: title.to_owned(),
            plot: Plot {
                x: Axis::Time { high: self.end() },
                y: Axis::Linear { high, unit },
                series,
                shaded: self.shaded,
                marks: Vec::new(),
            },
            told,
        }
    }

    fn requests(&self) -> Chart {
        let refused = |bucket: &Bucket| bucket.refused.iter().sum();
        let series = vec![
            self.per_second("arrived", Ink::Grey, |bucket| bucket.arrivals),
            self.per_second("completed", Ink::Green, |bucket| bucket.completed),
            self.per_second("refused", Ink::Red, refused),
        ];
        self.chart("Requests per second", "", series)
    }

    fn waiting(&self) -> Chart {
        let series = self.classes.iter().map(|(class, buckets)| {
            let waiting = buckets.iter().map(|bucket| Some(bucket.waiting));
            self.series(class.name(), class_ink(*class), waiting)
        });
        self.chart("Waiting requests", "", series.collect())
    }

    fn instances(&self) -> Chart {
        let level = |name, ink, level: fn(&MeanInstances) -> f64| {
            self.series(name, ink, self.instances.iter().map(|instances| Some(level(instances))))
        };
        let busy = self.all.iter().map(|bucket| Some(bucket.busy));
        let mut series = vec![
            level("ready", Ink::Blue, |instances| instances.ready),
            self.series("busy", Ink::Green, busy),
        ];
        let others = [
            level("starting", Ink::Orange, |instances| instances.starting),
            level("leaving", Ink::Purple, |instances| instances.leaving),
        ];
        let is_used = |series: &Series| highest(series).is_some_and(|(_, value)| value > 0.0);
        series.extend(others.into_iter().filter(is_used));
        let mut chart = self.chart("Instances", "", series);
        let decisions =
            self.timeline.decisions().iter().filter(|decision| decision.app == self.app);
        chart.plot.marks = decisions
            .filter_map(|decision| match decision.action {
                Action::Add(..) => Some((seconds(decision.at.0), Ink::Green)),
                Action::Remove(..) => Some((seconds(decision.at.0), Ink::Red)),
                Action::Keep(_) => None,
            })
            .filter(|(at, _)| *at <= self.end())
            .collect();
        let count = |ink| chart.plot.marks.iter().filter(|(_, mark)| *mark == ink).count();
        let (added, removed) = (count(Ink::Green), count(Ink::Red));
        if added + removed > 0 {
            let more = format!(
                ". Marks at the top: {added} decisions to add instances (green), {removed} to \
                 take some away (red)"
            );
            chart.told.push_str(&more);
        }
        chart
    }

    fn utilisation(&self) -> Chart {
        let parts = self.all.iter().zip(&self.instances).map(|(bucket, instances)| {
            let present = instances.ready + instances.leaving;
            let room = present * f64::from(self.concurrency);
            (present > 0.0).then(|| (bucket.busy / room * 100.0).min(100.0))
        });
        let (name, title) = match self.concurrency {
            1 => ("busy instances", "Utilisation in percent of the instances there are"),
            _ => ("worked on", "Requests worked on, in percent of what instances have room for"),
        };
        let series = vec![self.series(name, Ink::Green, parts)];
        let mut chart = self.chart(title, " %", series);
        chart.plot.y = Axis::Linear { high: 100.0, unit: " %" };
        chart
    }

    fn responses(&self, class: Class, buckets: &[Bucket]) -> Chart {
        let lines = PERCENTILES.map(|(name, part, strength)| {
            let times = buckets.iter().map(|bucket| bucket.response.quantile(part));
            let times = times.map(|time| time.map(|time| precise(time.0)));
            Series { strength, ..self.series(name, class_ink(class), times) }
        });
        let values = lines.iter().flat_map(|line| line.points.iter().filter_map(|(_, y)| *y));
        let (low, high) = values.fold((f64::INFINITY, 1.0), |(low, high): (f64, f64), value| {
            (low.min(value), high.max(value))
        });
        let title = format!("Response times of {} requests, by time of arrival", class.name());
        let told = lines.iter().map(|line| told(line, axis::length)).collect::<Vec<_>>().join("; ");
        let told = format!("{title}. {told}");
        let y = Axis::Lengths { low: low.min(high), high };
        let x = Axis::Time { high: self.end() };
        let plot = Plot { x, y, series: lines.into(), shaded: self.shaded, marks: Vec::new() };
        Chart { title, plot, told }
    }

    /// A stack of areas, the most frequent cause at the bottom; none if nothing was refused.
    fn refusals(&self) -> Option<Chart> {
        let total = |cause: &Refusal| -> u64 {
            let counts = self.all.iter().filter_map(|bucket| bucket.refused.get(cause.index()));
            counts.sum()
        };
        let mut causes: Vec<Refusal> =
            Refusal::ALL.into_iter().filter(|cause| total(cause) > 0).collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(total(cause)));
        if causes.is_empty() {
            return None;
        }
        let mut series = Vec::new();
        let mut sentences = Vec::new();
        for (number, cause) in causes.iter().enumerate() {
            let below = causes.get(..=number).unwrap_or_default();
            let count = |bucket: &Bucket| {
                let counts = below.iter().filter_map(|cause| bucket.refused.get(cause.index()));
                counts.sum()
            };
            let ink = Ink::STACK.get(number).copied().unwrap_or(Ink::Grey);
            let line = self.per_second(cause.name(), ink, count);
            series.insert(0, Series { shape: Shape::Area, ..line });
            let count = crate::table::grouped(total(cause));
            sentences.push(format!("{}: {count} in all", cause.name()));
        }
        let mut chart = self.chart("Refused requests per second, by cause", "", series);
        chart.told = format!("{}. {}", chart.title, sentences.join("; "));
        Some(chart)
    }
}

/// How response times are distributed; none if nothing was served.
pub fn distributions(results: &Results) -> Option<Chart> {
    let mut cells: Vec<_> = results.merged.cells.iter().filter(|cell| cell.served() > 0).collect();
    cells.sort_by_key(|cell| std::cmp::Reverse(cell.served()));
    cells.truncate(MOST_DISTRIBUTIONS);
    let mut series = Vec::new();
    let (mut low, mut high) = (f64::INFINITY, 1.0f64);
    for (cell, ink) in cells.iter().zip(Ink::CYCLE) {
        let total = precise(cell.served());
        let mut below = 0;
        let mut points = Vec::new();
        for (from, until, count) in cell.response.histogram().cells() {
            if points.is_empty() {
                points.push((precise(from.0.max(1)), Some(0.0)));
                low = low.min(precise(from.0.max(1)));
            }
            below += count;
            points.push((precise(until.0), Some(precise(below) / total * 100.0)));
            high = high.max(precise(until.0));
        }
        let name = format!("{} {}", results.cmd_name(cell), cell.class.name());
        series.push(Series { name, ink, strength: 1.0, shape: Shape::Line, points });
    }
    if series.is_empty() {
        return None;
    }
    let title = "Requests served within a response time".to_owned();
    let sentences: Vec<String> = cells
        .iter()
        .map(|cell| {
            let quantile = |part| {
                let time = cell.response.quantile(part);
                time.map_or("-".to_owned(), |time| time.to_string())
            };
            let name = format!("{} {}", results.cmd_name(cell), cell.class.name());
            format!("{name}: half within {}, 99 % within {}", quantile(0.5), quantile(0.99))
        })
        .collect();
    let plot = Plot {
        x: Axis::Lengths { low, high },
        y: Axis::Linear { high: 100.0, unit: " %" },
        series,
        shaded: 0.0,
        marks: Vec::new(),
    };
    Some(Chart { told: format!("{title}. {}", sentences.join("; ")), title, plot })
}

fn highest(series: &Series) -> Option<(f64, f64)> {
    let points = series.points.iter().filter_map(|(x, y)| Some((*x, (*y)?)));
    // Of equals the first.
    points.rev().max_by(|(_, left), (_, right)| left.total_cmp(right))
}

/// A line in words: where it begins, its highest point, where it ends.
fn told(series: &Series, show: impl Fn(f64) -> String) -> String {
    let mut values = series.points.iter().filter_map(|(_, y)| *y);
    let (Some(first), Some((at, most))) = (values.next(), highest(series)) else {
        return format!("{}: none", series.name);
    };
    let last = values.next_back().unwrap_or(first);
    let at = axis::length(at * 1e9);
    format!(
        "{}: {} at first, most {} at {at}, {} in the end",
        series.name,
        show(first),
        show(most),
        show(last)
    )
}
