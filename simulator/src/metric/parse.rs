//! From text to metrics and conditions, with carets and suggestions.

use diagnostics::{Diagnostic, Span, closest};
use policy::config::units::{Frequency, Length, Part};
use policy::{Class, Refusal};
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use simulator_model::{Channel, Model, Stage};

use super::{
    Bound, Carriage, Condition, Figure, Loans, Metric, Scope, Statistic, Subject, Time, Unit,
};

/// Figures without a parameter.
const SIMPLE: [(&str, Figure); 8] = [
    ("rejected", Figure::Rejected(None)),
    ("late", Figure::Late),
    ("slo", Figure::Slo),
    ("unanswered", Figure::Unanswered),
    ("goodput", Figure::Goodput),
    ("throughput", Figure::Throughput),
    ("utilisation", Figure::Utilisation),
    ("cost_core_hours", Figure::CoreHours),
];

/// Times, of which any quantile may be asked for.
const TIMES: [&str; 18] = [
    "mean_ms",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "p99.9_ms",
    "max_ms",
    "wait_mean_ms",
    "wait_p50_ms",
    "wait_p90_ms",
    "wait_p99_ms",
    "wait_p99.9_ms",
    "wait_max_ms",
    "accept_mean_ms",
    "dispatch_mean_ms",
    "download_mean_ms",
    "download_p99_ms",
    "compute_mean_ms",
    "respond_mean_ms",
];

/// A metric from its text, which begins at the beginning of `at`.
///
/// # Errors
/// What is wrong with it, with its place.
pub fn metric(text: &str, at: Span, model: &Model) -> Result<Metric, Box<Diagnostic>> {
    let Some((begin, figure)) = split(text) else { return Err(unknown_figure(text, at)) };
    let scope = text.get(..begin.saturating_sub(1)).unwrap_or_default();
    let place = Span { end: at.start + length(scope), ..at };
    let scope = match figure.subject() {
        Subject::Requests => scope_of_requests(scope, place, model)?,
        Subject::Instances => scope_of_instances(scope, place, model)?,
        Subject::Links => scope_of_links(scope, place, figure, model)?,
        Subject::Loans => scope_of_loans(scope, place, model)?,
    };
    Ok(Metric { name: text.to_owned(), figure, scope })
}

/// A metric by its name alone, of a file that has its values: without a scenario its scope can't be
/// told.
#[must_use]
pub fn of_name(name: &str) -> Option<Metric> {
    let (_, figure) = split(name)?;
    Some(Metric { name: name.to_owned(), figure, scope: Scope::All })
}

/// Where the figure begins, and which: the longest end that is one, since `paid.p99.9_ms` has a dot
/// in its figure.
fn split(text: &str) -> Option<(usize, Figure)> {
    let mut begins = std::iter::once(0).chain(text.match_indices('.').map(|(dot, _)| dot + 1));
    begins.find_map(|begin| Some((begin, figure(text.get(begin..)?)?)))
}

/// Conditions, separated by commas, from their text, which begins at the beginning of `at`.
///
/// # Errors
/// What is wrong with the first wrong one, with its place.
pub fn conditions(text: &str, at: Span, model: &Model) -> Result<Vec<Condition>, Box<Diagnostic>> {
    let mut begin = at.start;
    let mut found = Vec::new();
    for part in text.split(',') {
        let blanks = part.len() - part.trim_start().len();
        let trimmed = part.trim();
        let start = begin + length(part.get(..blanks).unwrap_or_default());
        let place = Span { start, end: start + length(trimmed), ..at };
        found.push(condition(trimmed, place, model)?);
        begin += length(part) + 1;
    }
    Ok(found)
}

fn condition(text: &str, at: Span, model: &Model) -> Result<Condition, Box<Diagnostic>> {
    let signs = [("<=", Bound::AtMost), (">=", Bound::AtLeast)];
    let found = signs.into_iter().find_map(|(sign, bound)| Some((text.find(sign)?, bound)));
    let Some((place, bound)) = found else {
        let message = format!("`{text}` is no condition");
        return Err(Box::new(
            Diagnostic::error("condition", message)
                .at(at, "expected METRIC<=VALUE or METRIC>=VALUE")
                .hint("such as paid.p99_ms<=500 or rejected<=0.1%"),
        ));
    };
    let (name, rest) = text.split_at(place);
    let value = rest.get(2..).unwrap_or_default();
    let name_end = at.start + length(name.trim_end());
    let metric = metric(name.trim_end(), Span { end: name_end, ..at }, model)?;
    let begin = at.start + length(text) - length(value.trim_start());
    let limit = limit(value.trim(), metric.figure.unit());
    let limit = limit.map_err(|expected| {
        let message = format!("`{}` is no value of {}", value.trim(), metric.name);
        let value_at = Span { start: begin, ..at };
        Box::new(
            Diagnostic::error("condition", message).at(value_at, format!("expected {expected}")),
        )
    })?;
    Ok(Condition { metric, bound, limit })
}

/// A limit in the unit of its metric; what was expected if it is none.
fn limit(text: &str, unit: Unit) -> Result<f64, &'static str> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    match unit {
        Unit::Milliseconds => number
            .or_else(|| word::<Length>(text).map(|Length(time)| time.seconds() * 1e3))
            .ok_or("milliseconds or a length of time, such as 500 or 1.5s"),
        Unit::Part => number
            .filter(|number| *number <= 1.0)
            .or_else(|| word::<Part>(text).map(|Part(part)| part))
            .ok_or("a part of a whole, such as 0.1% or 0.001"),
        Unit::PerSecond => number
            .or_else(|| word::<Frequency>(text).map(|rate| 1e9 / rate.gap))
            .ok_or("a rate, such as 900/s"),
        Unit::CoreHours => number.ok_or("a number of core-hours, such as 12.5"),
        Unit::Count => number.ok_or("a number, such as 12"),
        Unit::Times => number.ok_or("a number of times, such as 1.5"),
    }
}

/// A value that is written as one word.
fn word<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    T::deserialize(StrDeserializer::<Error>::new(text)).ok()
}

fn figure(name: &str) -> Option<Figure> {
    if let Some((_, figure)) = SIMPLE.iter().find(|(known, _)| *known == name) {
        return Some(*figure);
    }
    if let Some(cause) = name.strip_prefix("rejected_") {
        let known = Refusal::ALL.into_iter().find(|known| known.name() == cause);
        return known.map(|cause| Figure::Rejected(Some(cause)));
    }
    let of_channel = |channel: Channel| {
        let carriage = name.strip_prefix(channel.key())?.strip_prefix('_')?;
        let known = Carriage::ALL.into_iter().find(|(known, _)| *known == carriage);
        known.map(|(_, carriage)| Figure::Carried(channel, carriage))
    };
    if let Some(figure) = Channel::ALL.into_iter().find_map(of_channel) {
        return Some(figure);
    }
    if let Some((_, loans)) = Loans::SIMPLE.into_iter().find(|(known, _)| *known == name) {
        return Some(Figure::Lent(loans));
    }
    if let Some(rest) = name.strip_prefix("lent_back_") {
        return Some(Figure::Lent(Loans::Back(statistic(rest)?)));
    }
    let of_stage =
        |stage: Stage| Some((Time::In(stage), name.strip_prefix(stage.name())?.strip_prefix('_')?));
    let (time, rest) = match name.strip_prefix("wait_") {
        Some(rest) => (Time::Wait, rest),
        None => Stage::ALL.into_iter().find_map(of_stage).unwrap_or((Time::Response, name)),
    };
    Some(Figure::Time(time, statistic(rest)?))
}

/// `mean_ms`, `max_ms` or a quantile such as `p99.9_ms`.
fn statistic(name: &str) -> Option<Statistic> {
    Some(match name.strip_suffix("_ms")? {
        "mean" => Statistic::Mean,
        "max" => Statistic::Longest,
        quantile => {
            let digits = quantile.strip_prefix('p')?;
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let percent: f64 = digits.parse().ok().filter(|_| is_number)?;
            let within = 0.0 < percent && percent < 100.0;
            Statistic::Quantile(within.then_some(percent / 100.0)?)
        }
    })
}

fn unknown_figure(text: &str, at: Span) -> Box<Diagnostic> {
    let begin = text.rfind('.').map_or(0, |dot| dot + 1);
    let name = text.get(begin..).unwrap_or_default();
    let place = Span { start: at.start + length(text.get(..begin).unwrap_or_default()), ..at };
    let causes: Vec<String> =
        Refusal::ALL.iter().map(|cause| format!("rejected_{}", cause.name())).collect();
    let of_links: Vec<String> = Channel::ALL
        .into_iter()
        .flat_map(|channel| Carriage::ALL.map(|(name, _)| format!("{}_{name}", channel.key())))
        .collect();
    let known = SIMPLE.iter().map(|(name, _)| *name).chain(TIMES);
    let of_loans = Loans::SIMPLE.iter().map(|(name, _)| *name);
    let of_loans = of_loans.chain(["lent_back_mean_ms", "lent_back_p99_ms", "lent_back_max_ms"]);
    let candidates = known.clone().chain(causes.iter().chain(&of_links).map(String::as_str));
    let candidates = candidates.chain(of_loans);
    let hint = match closest(name, candidates) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known.collect::<Vec<_>>().join(", ")),
    };
    let message = format!("unknown metric `{name}`");
    Box::new(Diagnostic::error("unknown-metric", message).at(place, "not known here").hint(hint))
}

fn scope_of_requests(text: &str, at: Span, model: &Model) -> Result<Scope, Box<Diagnostic>> {
    let class = |name: &str| Class::ALL.into_iter().find(|class| class.name() == name);
    let cmd = |name: &str| model.cmds.iter().position(|cmd| cmd.name == name);
    let scope = match (text, class(text), cmd(text)) {
        ("", ..) => Some(Scope::All),
        (_, Some(class), _) => Some(Scope::Class(class)),
        (_, _, Some(cmd)) => Some(Scope::Cmd(cmd)),
        _ => text
            .rsplit_once('.')
            .and_then(|(name, last)| Some(Scope::Cell(cmd(name)?, class(last)?))),
    };
    let classes = Class::ALL.iter().map(|class| class.name());
    let names = classes.chain(model.cmds.iter().map(|cmd| cmd.name.as_str()));
    let scope = scope.ok_or_else(|| unknown_scope(text, at, "a class or a cmd", names))?;
    let sends = |source: &simulator_model::Source| {
        let group = model.tenants.get(source.tenants);
        let of_class = |class| group.is_some_and(|group| group.class == class);
        match scope {
            Scope::All | Scope::App(_) => true,
            Scope::Class(class) => of_class(class),
            Scope::Cmd(cmd) => source.cmd == cmd,
            Scope::Cell(cmd, class) => source.cmd == cmd && of_class(class),
        }
    };
    if model.sources.iter().any(sends) {
        return Ok(scope);
    }
    let message = format!("nobody in this scenario sends requests of `{text}`");
    Err(Box::new(Diagnostic::error("metric-of-nothing", message).at(at, "there are none")))
}

fn scope_of_instances(text: &str, at: Span, model: &Model) -> Result<Scope, Box<Diagnostic>> {
    if text.is_empty() {
        return Ok(Scope::All);
    }
    let app = model.apps.iter().position(|app| app.name == text);
    let names = model.apps.iter().map(|app| app.name.as_str());
    app.map(Scope::App).ok_or_else(|| unknown_scope(text, at, "an app", names))
}

/// Links are those of all machines.
fn scope_of_links(
    text: &str,
    at: Span,
    figure: Figure,
    model: &Model,
) -> Result<Scope, Box<Diagnostic>> {
    if !text.is_empty() {
        let message = format!("`{text}` has no links of its own");
        let diagnostic = Diagnostic::error("metric-scope", message)
            .at(at, "links are those of all machines")
            .hint("leave it out");
        return Err(Box::new(diagnostic));
    }
    let is_shared = match figure {
        Figure::Carried(channel, _) => model.dynamics.links.share(channel).is_some(),
        _ => false,
    };
    if is_shared && model.has_stages() {
        return Ok(Scope::All);
    }
    let message = "no transfers share such a link in this scenario".to_owned();
    let diagnostic = Diagnostic::error("metric-of-nothing", message)
        .at(at, "there is none")
        .hint("say what a machine has, such as `stages: {network: {machine: 1Gbit/s}}`");
    Err(Box::new(diagnostic))
}

/// Loans are those of an app that lends or borrows, or of all.
fn scope_of_loans(text: &str, at: Span, model: &Model) -> Result<Scope, Box<Diagnostic>> {
    let scope = scope_of_instances(text, at, model)?;
    let pairs = model.sharing().map_or(&[][..], |sharing| &sharing.pairs);
    let is_in = |app: usize| pairs.iter().any(|pair| pair.lender == app || pair.borrower == app);
    let shares = match scope {
        Scope::App(app) => is_in(app),
        _ => !pairs.is_empty(),
    };
    if shares {
        return Ok(scope);
    }
    let message = "nothing is lent or borrowed here".to_owned();
    let diagnostic = Diagnostic::error("metric-of-nothing", message)
        .at(at, "no app `borrows`")
        .hint("see docs/sharing.md");
    Err(Box::new(diagnostic))
}

fn unknown_scope<'a>(
    text: &str,
    at: Span,
    what: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Box<Diagnostic> {
    let hint = match closest(text, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known.collect::<Vec<_>>().join(", ")),
    };
    let message = format!("`{text}` is not {what} of this scenario");
    Box::new(Diagnostic::error("metric-scope", message).at(at, "not known here").hint(hint))
}

fn length(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}
