//! The page of a sweep: for each metric a heat map, which is a table whose cells are coloured.

use super::{document, escaped, scrolled};
use crate::table::Table;

/// A metric over a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// The metric.
    pub title: String,
    /// What rows and columns are.
    pub axes: (String, String),
    /// Values of columns.
    pub columns: Vec<String>,
    /// Values of rows, each with its cells.
    pub rows: Vec<(String, Vec<Cell>)>,
}

/// A point of the grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The value, if there is any.
    pub value: Option<f64>,
    /// As it is shown.
    pub text: String,
    /// Whether it is the best of all.
    pub is_best: bool,
}

/// The whole page.
pub fn page(title: &str, command: &str, table: &Table, note: &str, maps: &[HeatMap]) -> String {
    let mut body = format!("<header><h1>{}</h1></header>", escaped(title));
    body.push_str(
        "<p class=\"quiet\">The stronger its colour, the higher the value of a cell; the best is framed.</p>",
    );
    for map in maps {
        body.push_str(&html(map));
    }
    let (note, command) = (escaped(note), escaped(command));
    body.push_str("<h2>All points</h2>");
    body.push_str(&scrolled(table));
    body.push_str(&format!("<p class=\"quiet\">{note}</p><h2>Again</h2><pre>{command}</pre>"));
    document(&format!("{title}: simulator"), &body)
}

fn html(map: &HeatMap) -> String {
    let values =
        || map.rows.iter().flat_map(|(_, cells)| cells.iter().filter_map(|cell| cell.value));
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let (rows, columns) = (escaped(&map.axes.0), escaped(&map.axes.1));
    let mut html = format!(
        "<h2>{}</h2><div class=\"scroll\" tabindex=\"0\"><table class=\"map\"><thead><tr>\
         <th scope=\"col\">{rows} ↓ {columns} →</th>",
        escaped(&map.title)
    );
    for column in &map.columns {
        html.push_str(&format!("<th scope=\"col\" class=\"number\">{}</th>", escaped(column)));
    }
    html.push_str("</tr></thead><tbody>");
    for (row, cells) in &map.rows {
        html.push_str(&format!("<tr><th scope=\"row\">{}</th>", escaped(row)));
        for cell in cells {
            let strength = cell.value.map_or(0.0, |value| strength(value, low, high));
            let best = if cell.is_best { " best" } else { "" };
            html.push_str(&format!(
                "<td class=\"number{best}\" style=\"--strength:{strength:.0}%\">{}</td>",
                escaped(&cell.text)
            ));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    html
}

/// How strong the colour of a value is, in percent: never so strong that letters can't be read.
fn strength(value: f64, low: f64, high: f64) -> f64 {
    if high > low { (value - low) / (high - low) * 65.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_is_the_strongest() {
        let cell =
            |value: f64, is_best| Cell { value: Some(value), text: format!("{value}"), is_best };
        let map = HeatMap {
            title: "p99 <ms>".to_owned(),
            axes: ("a".to_owned(), "b".to_owned()),
            columns: vec!["1".to_owned(), "2".to_owned()],
            rows: vec![
                ("x".to_owned(), vec![cell(3.0, true), cell(5.0, false)]),
                (
                    "y".to_owned(),
                    vec![
                        cell(4.0, false),
                        Cell { value: None, text: "-".to_owned(), is_best: false },
                    ],
                ),
            ],
        };
        let html = html(&map);
        assert!(
            html.contains("<td class=\"number best\" style=\"--strength:0%\">3</td>"),
            "{html}"
        );
        assert!(html.contains("<td class=\"number\" style=\"--strength:65%\">5</td>"));
        assert!(
            html.contains("--strength:32%\">4</td>") || html.contains("--strength:33%\">4</td>")
        );
        assert!(html.contains("p99 &lt;ms&gt;"));
        assert!(!strength(1.0, 1.0, 1.0).is_nan());
    }
}
