//! What an instance says of its load, in the text format of Prometheus (version 0.0.4).

use std::collections::BTreeMap;

use policy::rollout::Load;
use scheduler_core::app::Metrics;
use scheduler_core::ids::InstanceId;

/// Of the instances that were asked, so many in 1,000 have to answer; for the others the mean of those
/// that did is taken. With fewer, the load isn't known.
const ANSWERED_LEAST_THOUSANDTHS: usize = 500;

/// What one instance says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Requests that wait.
    pub waiting: u64,
    /// Requests in work, in thousandths.
    pub busy_thousandths: u64,
    /// Requests that came since it was started.
    pub arrivals: u64,
    /// Requests that were rejected since then.
    pub rejects: u64,
}

/// Why a text says nothing of the load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A series isn't there.
    #[error("it has no series `{0}`")]
    Absent(String),
    /// The value of a series is no count.
    #[error("line {line}: `{name}` is no count")]
    NoCount {
        /// Its name.
        name: String,
        /// From 1.
        line: usize,
    },
}

/// Reads what an instance says.
///
/// # Errors
/// When a series that the app's file names isn't there, or is no count.
pub fn read(metrics: &Metrics, text: &str) -> Result<Sample, Unreadable> {
    let waiting = sum(text, &metrics.queue, 1.0)?;
    let busy_thousandths = match &metrics.busy {
        Some(name) => sum(text, name, 1000.0)?,
        // Who has a queue works on something.
        None => 1000 * u64::from(waiting > 0),
    };
    let counter = |name: &Option<String>| name.as_ref().map_or(Ok(0), |name| sum(text, name, 1.0));
    let (arrivals, rejects) = (counter(&metrics.arrivals)?, counter(&metrics.rejects)?);
    Ok(Sample { waiting, busy_thousandths, arrivals, rejects })
}

/// The sum of all series with a name.
fn sum(text: &str, name: &str, scale: f64) -> Result<u64, Unreadable> {
    let (mut total, mut is_there) = (0.0, false);
    for (number, line) in text.lines().enumerate() {
        let Some(rest) = line.trim_start().strip_prefix(name) else { continue };
        let Some(rest) = after_labels(rest) else { continue };
        let value = rest.split_ascii_whitespace().next().and_then(|word| word.parse::<f64>().ok());
        let Some(value) = value.filter(|value| value.is_finite() && *value >= 0.0) else {
            return Err(Unreadable::NoCount { name: name.to_owned(), line: number + 1 });
        };
        total += value * scale;
        is_there = true;
    }
    if is_there { Ok(whole(total)) } else { Err(Unreadable::Absent(name.to_owned())) }
}

/// What follows a name and its labels; none if the name goes on.
fn after_labels(rest: &str) -> Option<&str> {
    if rest.starts_with([' ', '\t']) {
        return Some(rest);
    }
    let labels = rest.strip_prefix('{')?;
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, character) in labels.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '}' if !is_quoted => return labels.get(at + 1..),
            _ => {}
        }
    }
    None
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative; what is too large becomes the largest"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// What the counters of instances were when they were read last.
pub type Counters = BTreeMap<InstanceId, (u64, u64)>;

/// The load of an app in the period since the last reading, from what its instances say; or, if too few
/// say something, how many do and of how many.
///
/// # Errors
/// Too few: how many answered, and how many were asked.
pub fn load(
    asked: usize,
    samples: &[(InstanceId, Sample)],
    counters: &mut Counters,
) -> Result<Load, (usize, usize)> {
    let answered = samples.len();
    let mut load = Load { busy_thousandths: 0, waiting: 0, arrivals: 0, rejects: 0 };
    let mut seen = Counters::new();
    for (id, sample) in samples {
        load.waiting = load.waiting.saturating_add(sample.waiting);
        load.busy_thousandths = load.busy_thousandths.saturating_add(sample.busy_thousandths);
        if let Some((arrivals, rejects)) = counters.get(id) {
            let since = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
            load.arrivals = load.arrivals.saturating_add(since(sample.arrivals, *arrivals));
            load.rejects = load.rejects.saturating_add(since(sample.rejects, *rejects));
        }
        seen.insert(id.clone(), (sample.arrivals, sample.rejects));
    }
    *counters = seen;
    if asked == 0 || answered * 1000 < asked * ANSWERED_LEAST_THOUSANDTHS {
        return Err((answered, asked));
    }
    let scaled = |count: u64| {
        let count = u128::from(count) * (asked as u128) / (answered.max(1) as u128);
        u64::try_from(count).unwrap_or(u64::MAX)
    };
    Ok(Load {
        busy_thousandths: scaled(load.busy_thousandths),
        waiting: scaled(load.waiting),
        arrivals: scaled(load.arrivals),
        rejects: scaled(load.rejects),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn metrics(busy: Option<&str>) -> Metrics {
        Metrics {
            path: "/metrics".to_owned(),
            port: 0,
            queue: "w".to_owned(),
            busy: busy.map(str::to_owned),
            arrivals: Some("in_total".to_owned()),
            rejects: None,
        }
    }

    #[test]
    fn series_are_added_up_whatever_their_labels() {
        let text = "# HELP w Waiting.\n# TYPE w gauge\nw{a=\"}\\\"{\",b=\"x y\"} 2\nw 3 1700000000\n\
                    w_other 9\nwx{a=\"b\"} 9\nin_total 1e3\nb{q=\"1\"} 0.25\nb 0.5\n";
        let sample = read(&metrics(Some("b")), text).unwrap();
        let expected = Sample { waiting: 5, busy_thousandths: 750, arrivals: 1000, rejects: 0 };
        assert_eq!(sample, expected);
        assert_eq!(read(&metrics(None), text).unwrap().busy_thousandths, 1000);
        let told = |text: &str| read(&metrics(None), text).unwrap_err().to_string();
        assert_eq!(told("w 1\n"), "it has no series `in_total`");
        for value in ["NaN", "-1", "+Inf", "x", ""] {
            assert_eq!(told(&format!("\nw {value}\nin_total 1\n")), "line 2: `w` is no count");
        }
    }

    #[test]
    fn the_load_is_that_since_the_last_reading_and_of_all_that_were_asked() {
        let id = |number: u64| format!("web.{number}").parse::<InstanceId>().unwrap();
        let sample = |waiting, arrivals, rejects| Sample {
            waiting,
            busy_thousandths: 1000,
            arrivals,
            rejects,
        };
        let mut counters = Counters::new();
        let first = [(id(1), sample(1, 100, 10)), (id(2), sample(2, 50, 0))];
        let load_of = |waiting, arrivals, rejects, busy_thousandths| Load {
            busy_thousandths,
            waiting,
            arrivals,
            rejects,
        };
        // What came before the first reading is of no period.
        assert_eq!(load(2, &first, &mut counters), Ok(load_of(3, 0, 0, 2000)));
        // The second one was started anew: its counters begin at 0 again.
        let second = [(id(1), sample(0, 130, 12)), (id(2), sample(4, 5, 1))];
        assert_eq!(load(4, &second, &mut counters), Ok(load_of(8, 70, 6, 4000)));
        assert_eq!(load(3, &second[..1], &mut counters), Err((1, 3)));
        assert_eq!(load(0, &[], &mut counters), Err((0, 0)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([wib_]{1,3}(\\{[^\n]{0,9}\\}?)? ?[0-9eN.+-]{0,4}\n?){0,9}") {
            let _ = read(&metrics(Some("b")), &text);
        }

        /// Against plain addition.
        #[test]
        fn sums_are_sums(values in proptest::collection::vec(0..1_000_000u32, 1..9)) {
            let text: String =
                values.iter().enumerate().map(|(at, value)| format!("w{{n=\"{at}\"}} {value}\n")).collect();
            let sample = read(&Metrics { arrivals: None, ..metrics(None) }, &text).unwrap();
            prop_assert_eq!(sample.waiting, values.iter().map(|value| u64::from(*value)).sum::<u64>());
        }
    }
}
