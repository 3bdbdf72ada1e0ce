//! The page of a search: all settings by their cost and their time, and the front of those for which
//! no other is better in both.

use super::axis::{Axis, number};
use super::charts::Chart;
use super::plot::{Ink, Plot, Series, Shape};
use super::{document, escaped, figure, scrolled};
use crate::table::Table;

/// A setting that was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Dot {
    /// Its cost and its time, in the units of the axes.
    pub at: (f64, f64),
    /// What is known of it.
    pub kind: Kind,
    /// Whether no other is both cheaper and faster.
    pub is_on_front: bool,
}

/// What is known of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It misses a condition.
    Misses,
    /// It meets all, as far as the search ran it.
    Meets,
    /// The policy as it was.
    Before,
    /// What was written, or came nearest.
    Chosen,
}

/// All of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Front {
    /// The metrics, whose names say their units: what is to the right, and what is upwards.
    pub axes: [String; 2],
    /// What the chosen one is called.
    pub chosen: &'static str,
    /// The settings.
    pub dots: Vec<Dot>,
}

/// The whole page; `text` is what the command has printed.
pub fn page(
    title: &str,
    text: &str,
    front: &Front,
    tables: &[(&str, Table)],
    command: &str,
) -> Result<String, String> {
    let mut body = format!("<header><h1>{}</h1></header>", escaped(title));
    body.push_str("<h2>Result</h2>");
    body.push_str(&format!("<pre>{}</pre>", escaped(text.trim_end())));
    if let Some(chart) = front.chart() {
        body.push_str("<h2>Cost and time</h2><div class=\"plots\">");
        body.push_str(&figure(&chart)?);
        body.push_str("</div>");
    }
    for (heading, table) in tables {
        body.push_str(&format!("<h2>{}</h2>{}", escaped(heading), scrolled(table)));
    }
    body.push_str(&format!("<h2>Again</h2><pre>{}</pre>", escaped(command)));
    Ok(document(&format!("{title}: simulator tune"), &body))
}

impl Front {
    /// The plot; none if nothing has both figures.
    fn chart(&self) -> Option<Chart> {
        let known: Vec<&Dot> = self.dots.iter().filter(|dot| is_known(dot)).collect();
        let axis = |figure: fn(&Dot) -> f64| -> Option<Axis> {
            let low = known.iter().map(|dot| figure(dot)).min_by(f64::total_cmp)?;
            let high = known.iter().map(|dot| figure(dot)).max_by(f64::total_cmp)?;
            Some(Axis::Between { low, high, unit: "" })
        };
        let [right, up] = &self.axes;
        let title = format!("{up} (upwards) against {right} (to the right)");
        let of = |kind| known.iter().filter(move |dot| dot.kind == kind).copied();
        let dots = |name: &str, ink, strength, kind| Series {
            name: name.to_owned(),
            ink,
            strength,
            shape: Shape::Dots,
            points: of(kind).map(|dot| (dot.at.0, Some(dot.at.1))).collect(),
        };
        let mut front: Vec<(f64, f64)> =
            known.iter().filter(|dot| dot.is_on_front).map(|dot| dot.at).collect();
        front.sort_by(|left, right| left.0.total_cmp(&right.0));
        let line = Series {
            name: "the front: none is both cheaper and faster".to_owned(),
            ink: Ink::Blue,
            strength: 1.0,
            shape: Shape::Line,
            points: stairs(&front),
        };
        let series = vec![
            dots("misses a condition", Ink::Grey, 0.6, Kind::Misses),
            dots("meets all conditions", Ink::Green, 0.9, Kind::Meets),
            line,
            dots("the policy before", Ink::Orange, 1.0, Kind::Before),
            dots(self.chosen, Ink::Red, 1.0, Kind::Chosen),
        ];
        Some(Chart {
            told: told(&title, &front, known.len()),
            plot: Plot {
                x: axis(|dot| dot.at.0)?,
                y: axis(|dot| dot.at.1)?,
                series: series.into_iter().filter(|series| !series.points.is_empty()).collect(),
                shaded: 0.0,
                marks: Vec::new(),
            },
            title,
        })
    }
}

/// What the plot shows, in words.
fn told(title: &str, front: &[(f64, f64)], count: usize) -> String {
    let end = |at: Option<&(f64, f64)>| {
        at.map_or(String::new(), |(cost, time)| {
            format!("{} at {}", number(*time, ""), number(*cost, ""))
        })
    };
    format!(
        "{title}. {count} settings, {} on the front: from {} to {}",
        front.len(),
        end(front.first()),
        end(front.last())
    )
}

fn is_known(dot: &Dot) -> bool {
    dot.at.0.is_finite() && dot.at.1.is_finite()
}

/// A front is a stair: to the right of a setting and above it all is worse.
fn stairs(front: &[(f64, f64)]) -> Vec<(f64, Option<f64>)> {
    let mut points = Vec::new();
    let mut last = None;
    for (cost, time) in front {
        if let Some(before) = last {
            points.push((*cost, Some(before)));
        }
        points.push((*cost, Some(*time)));
        last = Some(*time);
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_is_a_stair_over_what_is_known() {
        assert_eq!(
            stairs(&[(1.0, 9.0), (2.0, 4.0)]),
            [(1.0, Some(9.0)), (2.0, Some(9.0)), (2.0, Some(4.0))]
        );
        let dot = |at, kind, is_on_front| Dot { at, kind, is_on_front };
        let front = Front {
            axes: ["cost".to_owned(), "p99 <ms>".to_owned()],
            chosen: "written",
            dots: vec![
                dot((50.0, 400.0), Kind::Before, true),
                dot((60.0, 300.0), Kind::Chosen, true),
                dot((70.0, 500.0), Kind::Misses, false),
                dot((f64::INFINITY, 1.0), Kind::Misses, false),
            ],
        };
        let chart = front.chart().unwrap();
        assert_eq!(
            chart.told,
            "p99 <ms> (upwards) against cost (to the right). 3 settings, 2 on the front: from \
             400 at 50 to 300 at 60"
        );
        let names: Vec<&str> = chart.plot.series.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        let page = page("a <b>", "text", &front, &[], "again").unwrap();
        assert!(page.contains("p99 &lt;ms&gt;") && page.contains("<svg class=\"wide\""), "{page}");
        assert!(Front { dots: Vec::new(), ..front }.chart().is_none());
    }
}
