//! The page of a sweep: for each metric a heat map, which is a table whose cells are coloured.

use simulator_kernel::gate::Worse;

use super::{document, escaped, scrolled};
use crate::table::Table;

/// A metric over a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// The metric.
    pub title: String,
    /// Which way it gets worse: the worse, the stronger the colour. If neither, the higher.
    pub worse: Option<Worse>,
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
    /// The same with its interval, for those who point at it.
    pub told: String,
    /// Whether it is the best of all.
    pub is_best: bool,
}

/// The whole page.
pub fn page(title: &str, command: &str, table: &Table, note: &str, maps: &[HeatMap]) -> String {
    let mut body = format!("<header><h1>{}</h1></header>", escaped(title));
    body.push_str(
        "<p class=\"quiet\">The worse its value, the stronger the colour of a cell. Of the first metric, \
         the best is framed; ~ are those that aren't proven to be worse. Point at a cell to see its \
         interval.</p>",
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
        "<h2>{}</h2>{}<div class=\"scroll\" tabindex=\"0\"><table class=\"map\"><thead><tr>\
         <th scope=\"col\">{rows} ↓ {columns} →</th>",
        escaped(&map.title),
        legend(map, low, high)
    );
    for column in &map.columns {
        html.push_str(&format!("<th scope=\"col\" class=\"number\">{}</th>", escaped(column)));
    }
    html.push_str("</tr></thead><tbody>");
    for (row, cells) in &map.rows {
        html.push_str(&format!("<tr><th scope=\"row\">{}</th>", escaped(row)));
        for cell in cells {
            let strength = cell.value.map_or(0.0, |value| map.strength(value, low, high));
            let best = if cell.is_best { " best" } else { "" };
            html.push_str(&format!(
                "<td class=\"number{best}\" style=\"--strength:{strength:.0}%\" title=\"{}\">{}</td>",
                escaped(&cell.told),
                escaped(&cell.text)
            ));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    html
}

/// The strongest colour in percent: letters must stay readable on it.
const STRONGEST: f64 = 65.0;

/// The two ends of the colours, with their values.
fn legend(map: &HeatMap, low: f64, high: f64) -> String {
    let text_of = |value: f64| {
        let cells = map.rows.iter().flat_map(|(_, cells)| cells);
        let same = |cell: &&Cell| cell.value.is_some_and(|it| it.total_cmp(&value).is_eq());
        cells.filter(same).map(|cell| escaped(cell.text.trim_start_matches("~ "))).next()
    };
    let ends = if map.worse == Some(Worse::Less) { [high, low] } else { [low, high] };
    let [Some(weak), Some(strong)] = ends.map(text_of) else { return String::new() };
    format!("<p class=\"scale quiet\">{weak} <i></i> {strong}</p>")
}

impl HeatMap {
    /// How strong the colour of a value is, in percent.
    fn strength(&self, value: f64, low: f64, high: f64) -> f64 {
        let above = if high > low { (value - low) / (high - low) } else { 0.0 };
        let part = if self.worse == Some(Worse::Less) && high > low { 1.0 - above } else { above };
        part * STRONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(value: f64, is_best: bool) -> Cell {
        let told = format!("{value} ± 1 \"ms\"");
        Cell { value: Some(value), text: format!("{value}"), told, is_best }
    }

    fn map(worse: Option<Worse>) -> HeatMap {
        let none = Cell { value: None, text: "-".to_owned(), told: "-".to_owned(), is_best: false };
        HeatMap {
            title: "p99 <ms>".to_owned(),
            worse,
            axes: ("a".to_owned(), "b".to_owned()),
            columns: vec!["1".to_owned(), "2".to_owned()],
            rows: vec![
                ("x".to_owned(), vec![cell(3.0, true), cell(5.0, false)]),
                ("y".to_owned(), vec![cell(4.0, false), none]),
            ],
        }
    }

    #[test]
    fn the_worst_is_the_strongest() {
        let shown = |html: &str, strength, value| {
            let title = format!("title=\"{value} ± 1 &quot;ms&quot;\">{value}</td>");
            html.contains(&format!("style=\"--strength:{strength}%\" {title}"))
        };
        let more_is_worse = html(&map(Some(Worse::More)));
        assert!(shown(&more_is_worse, 0, 3) && shown(&more_is_worse, 65, 5), "{more_is_worse}");
        assert!(more_is_worse.contains("<td class=\"number best\""));
        assert!(more_is_worse.contains("3 <i></i> 5"));
        assert!(more_is_worse.contains("p99 &lt;ms&gt;"));
        let less_is_worse = html(&map(Some(Worse::Less)));
        assert!(shown(&less_is_worse, 65, 3) && shown(&less_is_worse, 0, 5), "{less_is_worse}");
        assert!(less_is_worse.contains("5 <i></i> 3"));
        assert_eq!(html(&map(None)), more_is_worse);
        for worse in [None, Some(Worse::Less)] {
            assert!(map(worse).strength(1.0, 1.0, 1.0).total_cmp(&0.0).is_eq());
        }
    }
}
