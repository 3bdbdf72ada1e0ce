//! `[ui]` The profile: a scenario with the measured laws, and a table for people.

use std::fmt::Write as _;

use super::Kind;
use super::measure::{Curve, Measured};
use crate::bench::machine;

/// What was measured, on what.
pub struct Profile {
    pub measured: Vec<Measured>,
    pub curves: Vec<Curve>,
    /// The most of the machine that others used during any of the measurements.
    pub others: f64,
    /// What the tools say about themselves.
    pub tools: [String; 2],
}

/// Quantiles of the laws that are written.
const QUANTILES: [f64; 7] = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0];

impl Profile {
    /// The scenario.
    pub fn text(&self) -> String {
        let mut text = String::from("version: 1\n");
        let [convert, ffmpeg] = &self.tools;
        let _ = writeln!(
            text,
            "# Written by `cargo xtask profile-services`: the processor time of real image and video \
             work. Change\n# what you like, or copy commands from here.\n# {}\
             # {convert}; {ffmpeg}. One thread each.\n# Others used up to {:.0} % of the machine \
             meanwhile, which lengthens processor time somewhat.",
            machine(),
            self.others * 100.0
        );
        text.push_str(&self.curves_text());
        text.push_str(
            "about: image and video work as it was measured, at three fifths of what the machine can do\n\
             seed: 1\nduration: 10min\nwarm_up: 1min\nmachines: 4\npolicy: {preset: recommended}\n\n\
             apps:\n  image: {instances: 2}\n  video: {instances: 2}\n\ncmds:\n",
        );
        for measured in &self.measured {
            text.push_str(&command(measured));
        }
        text.push_str("\ntenants:\n  customers: {class: paid, users: 100, skew: 0.9}\n");
        text.push_str("\n# Each command has the same part of its app's time.\nworkload:\n");
        for measured in &self.measured {
            let peers =
                self.measured.iter().filter(|one| one.service.kind == measured.service.kind);
            let share = 0.6 * 8.0 / float(peers.count());
            let rate = share / mean(&measured.all());
            let _ = writeln!(
                text,
                "  - {{tenants: customers, cmd: {}, arrivals: {{poisson: {:.3}/s}}}}",
                measured.service.name, rate
            );
        }
        text
    }

    fn curves_text(&self) -> String {
        if self.curves.is_empty() {
            return "# How much slower tasks get beside each other is not in here: others worked on \
                    the machine.\n"
                .to_owned();
        }
        let mut text = String::from(
            "# What tasks lose beside each other, above their share of the processors; for an app with \
             `concurrency`:\n",
        );
        for curve in &self.curves {
            let points = curve.points.iter().map(|(count, factor)| {
                let for_each = float(*count) / float(curve.processors.max(1));
                format!("x{for_each}: {:.2}", factor / for_each.max(1.0))
            });
            let points = points.collect::<Vec<String>>().join(", ");
            let _ = writeln!(text, "#   {}: slowdown: {{{points}}}", curve.kind);
        }
        text
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut text = String::from("COMMAND     SOURCE              p50        p90\n");
        for measured in &self.measured {
            for (source, runs) in &measured.sources {
                let _ = writeln!(
                    text,
                    "{:<11} {source:<14} {:>8} {:>10}",
                    measured.service.name,
                    shown(quantile(runs, 0.5)),
                    shown(quantile(runs, 0.9))
                );
            }
        }
        text
    }
}

/// A command as scenarios have it.
fn command(measured: &Measured) -> String {
    let all = measured.all();
    let app = if measured.service.kind == Kind::Image { "image" } else { "video" };
    let medians: Vec<String> = measured
        .sources
        .iter()
        .map(|(source, runs)| format!("{source} {}", shown(quantile(runs, 0.5))))
        .collect();
    // Quantiles of a law ascend.
    let mut last = 0.0;
    let points: Vec<String> = QUANTILES
        .iter()
        .map(|part| {
            last = quantile(&all, *part).max(last + 1e-6);
            format!("p{}: {}", part * 100.0, shown(last))
        })
        .collect();
    format!(
        "  # {}\n  # {}\n  {}:\n    app: {app}\n    service: {{quantiles: {{{}}}}}\n",
        measured.service.words(),
        medians.join(", "),
        measured.service.name,
        points.join(", ")
    )
}

/// Whole microseconds, in a unit that people read.
fn shown(seconds: f64) -> String {
    let micros = (seconds * 1e6).round();
    if micros >= 1e6 { format!("{:.0}ms", micros / 1e3) } else { format!("{micros:.0}us") }
}

/// The value at a part of ascending values, straight between them.
fn quantile(ascending: &[f64], part: f64) -> f64 {
    let place = part * float(ascending.len().saturating_sub(1));
    let below = place.floor();
    let at = |place: f64| {
        let number = ascending.iter().zip(0u32..).find(|(_, number)| f64::from(*number) >= place);
        number.map_or(0.0, |(value, _)| *value)
    };
    let (low, high) = (at(below), at(place.ceil()));
    low + (high - low) * (place - below)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / float(values.len().max(1))
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::super::SERVICES;
    use super::*;

    #[test]
    fn quantiles_lie_between_values() {
        let values = [1.0, 2.0, 4.0];
        for (part, expected) in [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (0.75, 3.0), (1.0, 4.0)] {
            assert!((quantile(&values, part) - expected).abs() < 1e-12, "{part}");
        }
        assert!(quantile(&[], 0.5).abs() < 1e-12);
        assert_eq!(shown(0.031_25), "31250us");
        assert_eq!(shown(12.3456), "12346ms");
    }

    #[test]
    fn the_profile_is_a_scenario_with_all_commands() {
        let measured = SERVICES.map(|service| Measured {
            service,
            sources: vec![("small".to_owned(), vec![0.01, 0.01, 0.02])],
            others: 0.1,
        });
        let curve =
            Curve { kind: "image", processors: 2, points: vec![(1, 1.0), (2, 1.05), (3, 1.65)] };
        let mut profile = Profile {
            measured: measured.to_vec(),
            curves: vec![curve],
            others: 0.1,
            tools: ["a 1".to_owned(), "b 2".to_owned()],
        };
        let text = profile.text();
        assert!(text.contains("#   image: slowdown: {x0.5: 1.00, x1: 1.05, x1.5: 1.10}"), "{text}");
        assert!(text.contains("p0: 10000us, p10: 10001us, p25: 10002us"), "{text}");
        assert_eq!(text.matches("arrivals: {poisson: ").count(), SERVICES.len());
        assert!(text.contains("\n# Machine: "), "{text}");
        profile.curves.clear();
        assert!(profile.text().contains("is not in here"), "{}", profile.text());
    }
}
