//! One plot as SVG, twice: for wide and for narrow screens, because letters must not shrink. The
//! style sheet of the page maps the colours written here to those of its light and dark mode.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;

/// A colour of the style sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    Grey,
    Blue,
    Orange,
    Green,
    Red,
    Purple,
    Teal,
    Pink,
}

impl Ink {
    /// Those for lines that have no meaning of their own, in their order.
    pub const CYCLE: [Ink; 8] = [
        Ink::Blue,
        Ink::Orange,
        Ink::Green,
        Ink::Purple,
        Ink::Red,
        Ink::Teal,
        Ink::Pink,
        Ink::Grey,
    ];

    /// Those of causes of refusals, the most frequent first.
    pub const STACK: [Ink; 8] = [
        Ink::Red,
        Ink::Orange,
        Ink::Purple,
        Ink::Teal,
        Ink::Pink,
        Ink::Blue,
        Ink::Green,
        Ink::Grey,
    ];

    /// Its name in the style sheet.
    pub const fn name(self) -> &'static str {
        match self {
            Ink::Grey => "grey",
            Ink::Blue => "blue",
            Ink::Orange => "orange",
            Ink::Green => "green",
            Ink::Red => "red",
            Ink::Purple => "purple",
            Ink::Teal => "teal",
            Ink::Pink => "pink",
        }
    }

    /// As in the style sheet, where `[stroke="#1F6FB2"]` and its like stand for names.
    const fn colour(self) -> RGBColor {
        match self {
            Ink::Grey => RGBColor(0x6E, 0x77, 0x81),
            Ink::Blue => RGBColor(0x1F, 0x6F, 0xB2),
            Ink::Orange => RGBColor(0xC2, 0x5A, 0x0B),
            Ink::Green => RGBColor(0x1B, 0x85, 0x56),
            Ink::Red => RGBColor(0xC9, 0x2A, 0x2A),
            Ink::Purple => RGBColor(0x7A, 0x4F, 0xC9),
            Ink::Teal => RGBColor(0x0F, 0x7F, 0x8C),
            Ink::Pink => RGBColor(0xB8, 0x3A, 0x82),
        }
    }
}

/// Letters, axes and grid.
const LETTERS: RGBColor = RGBColor(0x1B, 0x1F, 0x24);
const AXES: RGBColor = RGBColor(0x8A, 0x93, 0x9B);
const GRID: RGBColor = RGBColor(0xD9, 0xDE, 0xE3);

/// A line or an area.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it shows, for the legend.
    pub name: String,
    /// Its colour.
    pub ink: Ink,
    /// How strong the colour is, up to 1.
    pub strength: f64,
    /// How it is drawn.
    pub shape: Shape,
    /// Its points; a line is interrupted where there is no value.
    pub points: Vec<(f64, Option<f64>)>,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A line from point to point.
    Line,
    /// The area below it; with a stack of areas, the largest sum comes first.
    Area,
    /// A dot for each point.
    Dots,
}

/// Two axes and what is between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    /// A part of the x axis that doesn't count, from its beginning: the warm-up.
    pub shaded: f64,
    /// Places on the x axis with something to see, such as scale events: at the top.
    pub marks: Vec<(f64, Ink)>,
}

/// A size to draw for, in points of the style sheet.
#[derive(Debug, Clone, Copy)]
struct Size {
    class: &'static str,
    width: u32,
    height: u32,
    x_ticks: usize,
    y_ticks: usize,
    letters: u32,
}

const SIZES: [Size; 2] = [
    Size { class: "wide", width: 760, height: 270, x_ticks: 10, y_ticks: 5, letters: 13 },
    Size { class: "narrow", width: 360, height: 240, x_ticks: 5, y_ticks: 5, letters: 12 },
];

/// An axis as plotters wants it: from one place to another, with given ticks.
#[derive(Debug, Clone)]
struct Scale {
    range: Range<f64>,
    ticks: Vec<f64>,
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "pixels; a cast from a double saturates")]
    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let part = (value - self.range.start) / (self.range.end - self.range.start);
        (f64::from(first) + part * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// Plotters draws in whole pixels: this many of them are a point, so that lines are smooth.
const FINE: u32 = 4;
/// Plotters makes letters smaller than asked for by this factor.
const SHRINKS: f64 = 1.24;

impl Plot {
    /// Both pictures; `told` is what they show, for those who can't see them.
    pub fn svg(&self, told: &str) -> Result<String, String> {
        let mut html = String::new();
        for size in SIZES {
            let mut svg = String::new();
            self.draw(size, &mut svg).map_err(|error| format!("failed to draw: {error}"))?;
            let (width, height) = (size.width * FINE, size.height * FINE);
            let head = format!("<svg width=\"{width}\" height=\"{height}\"");
            let own = format!(
                "<svg class=\"{}\" role=\"img\" aria-label=\"{}\"",
                size.class,
                super::escaped(told)
            );
            html.push_str(&svg.replacen(&head, &own, 1));
        }
        Ok(html)
    }

    fn draw(&self, size: Size, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::with_string(svg, (size.width * FINE, size.height * FINE));
        let area = area.into_drawing_area();
        let (x_ticks, y_ticks) = (self.x.ticks(size.x_ticks), self.y.ticks(size.y_ticks));
        let places = |ticks: &[super::axis::Tick]| ticks.iter().map(|(at, _)| *at).collect();
        let ((left, right), (low, high)) = (self.x.range(size.x_ticks), self.y.range(size.y_ticks));
        let letters = f64::from(size.letters * FINE) * SHRINKS;
        let widest = y_ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(1);
        let label_width = (u32::try_from(widest).unwrap_or(9) * 6 * size.letters / 10 + 14) * FINE;
        let mut chart = ChartBuilder::on(&area)
            .margin_top(8 * FINE)
            .margin_right(28 * FINE)
            .x_label_area_size(24 * FINE)
            .y_label_area_size(label_width)
            .build_cartesian_2d(
                Scale { range: left..right, ticks: places(&x_ticks) },
                Scale { range: low..high, ticks: places(&y_ticks) },
            )?;
        let shade = self.shaded.min(right);
        if shade > left {
            let shade = Rectangle::new([(left, low), (shade, high)], GRID.mix(0.55).filled());
            chart.draw_series([shade])?;
        }
        let style = TextStyle::from(("sans-serif", letters).into_font()).color(&LETTERS);
        let (x_label, y_label) = (|at: &f64| label(&x_ticks, *at), |at: &f64| label(&y_ticks, *at));
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(FINE))
            .axis_style(AXES.stroke_width(FINE))
            .set_all_tick_mark_size(5 * FINE)
            .x_labels(x_ticks.len())
            .y_labels(y_ticks.len())
            .x_label_style(style.pos(Pos::new(HPos::Center, VPos::Top)))
            .y_label_style(style)
            .x_label_formatter(&x_label)
            .y_label_formatter(&y_label)
            .draw()?;
        for series in &self.series {
            for points in pieces(&series.points) {
                let points = points.iter().map(|(x, y)| (self.x.place(*x), self.y.place(*y)));
                let points: Vec<(f64, f64)> = points.collect();
                let colour = series.ink.colour().mix(series.strength);
                let dot = |at, points| Circle::new(at, points, colour.filled());
                match (series.shape, points.as_slice()) {
                    (Shape::Area, _) => {
                        let mut area = points.clone();
                        area.extend(points.last().map(|(x, _)| (*x, low)));
                        area.extend(points.first().map(|(x, _)| (*x, low)));
                        chart.draw_series([Polygon::new(area, colour)])?;
                    }
                    (Shape::Dots, points) => {
                        chart.draw_series(points.iter().map(|at| dot(*at, 4 * FINE)))?;
                    }
                    (Shape::Line, [alone]) => {
                        chart.draw_series([dot(*alone, FINE + FINE / 2)])?;
                    }
                    (Shape::Line, _) => {
                        chart
                            .draw_series(LineSeries::new(points, colour.stroke_width(2 * FINE)))?;
                    }
                }
            }
        }
        for (at, ink) in &self.marks {
            let points = vec![(*at, high), (*at, high - (high - low) * 0.06)];
            let style = ink.colour().stroke_width(FINE + FINE / 2);
            chart.draw_series([PathElement::new(points, style)])?;
        }
        area.present()?;
        Ok(())
    }
}

/// What the tick nearest to a place says.
fn label(ticks: &[super::axis::Tick], at: f64) -> String {
    let nearest = ticks
        .iter()
        .min_by(|(left, _), (right, _)| (left - at).abs().total_cmp(&(right - at).abs()));
    nearest.map_or(String::new(), |(_, label)| label.clone())
}

/// The parts of a line between its interruptions.
fn pieces(points: &[(f64, Option<f64>)]) -> impl Iterator<Item = Vec<(f64, f64)>> {
    points
        .split(|(_, y)| y.is_none())
        .filter(|piece| !piece.is_empty())
        .map(|piece| piece.iter().filter_map(|(x, y)| y.map(|y| (*x, y))).collect())
}
