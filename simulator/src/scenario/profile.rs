//! Rate profiles: a small CSV file beside a scenario. The first column, `from_s`, says when an
//! interval begins; each other column has a name and says how many requests a second come in it.
//! An interval ends where the next begins, the last one is as long as the one before it.

use diagnostics::{Diagnostic, SourceId, Sources, Span, closest};
use policy::Nanoseconds;
use simulator_model::{Rates, Stretch};

/// A year of minutes.
const MAX_ROWS: usize = 600_000;
/// More requests in a nanosecond are a slip.
const MAX_RATE: f64 = 1e9;

/// A field and where it stands.
#[derive(Debug, Clone, Copy)]
struct Field<'a> {
    text: &'a str,
    span: Span,
}

/// The rates of a column, times `scale`; without a name the second column is meant.
pub fn read(
    source: SourceId,
    sources: &Sources,
    column: Option<&str>,
    scale: f64,
    repeats: bool,
) -> Result<Rates, Box<Diagnostic>> {
    let text = sources.get(source).map_or("", |source| &source.text);
    let mut rows = rows(source, text);
    let whole = Span::new(source, 0, text.len().min(1));
    let header = rows.next().ok_or_else(|| wrong(whole, "this profile is empty", "no header"))?;
    let place = column_of(&header, column)?;
    let mut points: Vec<(u64, f64)> = Vec::new();
    for row in rows {
        let (from, rate) = point(&row, header.len(), place)?;
        let is_next = match points.last() {
            None => from == 0,
            Some((last, _)) => from > *last,
        };
        if !is_next {
            let span = row.first().map_or(whole, |field| field.span);
            let label = "intervals begin at 0 and ascend";
            return Err(wrong(span, "this interval is out of order", label));
        }
        if points.len() == MAX_ROWS {
            let span = row.first().map_or(whole, |field| field.span);
            let label = format!("at most {MAX_ROWS}");
            return Err(wrong(span, "there are too many intervals", label));
        }
        points.push((from, rate * scale));
    }
    let last = match points.as_slice() {
        [] | [_] => return Err(wrong(whole, "a profile has two intervals or more", "too few")),
        [.., before, last] => last.0 - before.0,
    };
    let ends = points.iter().skip(1).map(|(from, _)| *from);
    let ends = ends.chain(points.last().map(|(from, _)| from.saturating_add(last)));
    let stretches: Vec<Stretch> = points
        .iter()
        .zip(ends)
        .map(|((from, rate), end)| {
            let rate = rate / 1e9;
            Stretch { length: Nanoseconds(end - from), from: rate, to: rate }
        })
        .collect();
    Ok(Rates { stretches: stretches.into(), repeats })
}

fn wrong(span: Span, message: &str, label: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::error("profile", message.to_owned()).at(span, label))
}

/// The lines that say something, as fields.
fn rows(source: SourceId, text: &str) -> impl Iterator<Item = Vec<Field<'_>>> {
    let mut begin = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let first = begin;
        begin += line.len();
        let line = line.trim_end();
        if line.trim_start().is_empty() || line.starts_with('#') {
            return None;
        }
        let mut at = first;
        let fields = line.split(',').map(|text| {
            let field = Field { text: text.trim(), span: Span::new(source, at, at + text.len()) };
            at += text.len() + 1;
            field
        });
        Some(fields.collect())
    })
}

fn column_of(header: &[Field<'_>], column: Option<&str>) -> Result<usize, Box<Diagnostic>> {
    let first = header.first().map_or("", |field| field.text);
    let span = |place: usize| header.get(place).or(header.first()).map(|field| field.span);
    let Some(begin) = span(0) else { return Ok(1) };
    if first != "from_s" {
        let label = "expected `from_s`: when an interval begins, in seconds";
        return Err(wrong(begin, "this is no profile of rates", label));
    }
    let names = || header.iter().skip(1).map(|field| field.text);
    match column {
        None if header.len() > 1 => Ok(1),
        None => Err(wrong(begin, "there is no column of rates", "the only column")),
        Some(name) => {
            names().position(|known| known == name).map(|place| place + 1).ok_or_else(|| {
                let message = format!("there is no column `{name}`");
                let diagnostic = Diagnostic::error("profile", message).at(begin, "the header");
                Box::new(match closest(name, names()) {
                    Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                    None => diagnostic,
                })
            })
        }
    }
}

/// When the interval of a row begins, in nanoseconds, and its rate.
fn point(row: &[Field<'_>], count: usize, place: usize) -> Result<(u64, f64), Box<Diagnostic>> {
    let (Some(first), Some(last)) = (row.first(), row.last()) else { return Ok((0, 0.0)) };
    let (Some(field), true) = (row.get(place), row.len() == count) else {
        let message = format!("this row has {} fields, the header {count}", row.len());
        return Err(wrong(first.span.to(last.span), &message, "here"));
    };
    let number = |field: &Field<'_>, most: f64| {
        field.text.parse::<f64>().ok().filter(|value| (0.0..=most).contains(value))
    };
    // Longer runs are refused anyway.
    const MAX_SECONDS: f64 = (1u64 << 51) as f64 / 1e9;
    let from = number(first, MAX_SECONDS)
        .ok_or_else(|| wrong(first.span, "this is no time", "expected seconds, such as 3600"))?;
    let rate = number(field, MAX_RATE).ok_or_else(|| {
        wrong(field.span, "this is no rate", "expected requests a second that are not negative")
    })?;
    Ok((simulator_kernel::logarithm::whole(from * 1e9), rate))
}
