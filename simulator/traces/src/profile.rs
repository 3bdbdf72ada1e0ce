//! What a trace is like: rates, burstiness, service times, how uneven its tenants are.

use crate::names::Name;
use crate::row::{Request, Trace};

const SECOND_NS: u64 = 1_000_000_000;
const MINUTE_NS: u64 = 60 * SECOND_NS;
/// Shares of a distribution in which it is told; the first and last are its ends.
pub const SHARES: [(f64, &str); 7] = [
    (0.0, "p0"),
    (0.25, "p25"),
    (0.5, "p50"),
    (0.75, "p75"),
    (0.9, "p90"),
    (0.99, "p99"),
    (1.0, "p100"),
];
/// Zipf's exponent is looked for up to here: above, one tenant is nearly all.
const MOST_SKEW: f64 = 4.0;

/// A trace in figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Requests.
    pub requests: u64,
    /// From the first arrival to the last, in seconds.
    pub span_s: f64,
    /// Requests a second over the whole span; 0 if all came at once.
    pub rate_per_s: f64,
    /// The most requests in a second and in a minute, counted from the beginning.
    pub peak_second: u64,
    /// See [`Profile::peak_second`].
    pub peak_minute: u64,
    /// Standard deviation of the time between arrivals over its mean: 1 for a Poisson process.
    pub gap_variation: f64,
    /// Variance of the requests of a minute over their mean: 1 for a Poisson process (D. Cox and
    /// P. Lewis, The Statistical Analysis of Series of Events, 1966). `None`: fewer than two minutes.
    pub dispersion: Option<f64>,
    /// Different tenants; 0 if the trace doesn't tell them.
    pub tenants: u64,
    /// Zipf's exponent of the tenants' shares. `None`: fewer than two tenants.
    pub skew: Option<f64>,
    /// By command, the most frequent first.
    pub commands: Vec<CommandProfile>,
}

/// One command of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandProfile {
    /// Which.
    pub command: Name,
    /// Requests.
    pub requests: u64,
    /// Service times at [`SHARES`], in nanoseconds; empty if the trace has none.
    pub service_ns: Vec<u64>,
    /// Their mean in nanoseconds; 0 if there are none.
    pub service_mean_ns: f64,
    /// Sizes at [`SHARES`], in bytes; empty if the trace has none.
    pub size_bytes: Vec<u64>,
}

impl Profile {
    /// The figures of a trace.
    #[must_use]
    pub fn of(trace: &Trace) -> Profile {
        let requests = count(trace.requests.len());
        let span_s = trace.span_ns() as f64 / SECOND_NS as f64;
        let seconds = counts(&trace.requests, SECOND_NS);
        let minutes = counts(&trace.requests, MINUTE_NS);
        // The last minute is rarely a whole one.
        let whole = minutes.get(..minutes.len().saturating_sub(1)).unwrap_or_default();
        let (tenants, skew) = tenants(trace);
        Profile {
            requests,
            span_s,
            rate_per_s: if span_s > 0.0 { requests as f64 / span_s } else { 0.0 },
            peak_second: seconds.iter().copied().max().unwrap_or(0),
            peak_minute: minutes.iter().copied().max().unwrap_or(0),
            gap_variation: gap_variation(&trace.requests),
            dispersion: dispersion(whole),
            tenants,
            skew,
            commands: commands(trace),
        }
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Requests in each window from the first arrival on. Arrivals ascend.
fn counts(requests: &[Request], window_ns: u64) -> Vec<u64> {
    /// Beyond a year of seconds only a longer window tells anything.
    const MOST_WINDOWS: u64 = 366 * 86_400;
    let first = requests.first().map_or(0, |request| request.arrival_ns);
    let mut counts: Vec<u64> = Vec::new();
    for request in requests {
        let window = (request.arrival_ns.saturating_sub(first) / window_ns).min(MOST_WINDOWS);
        let place = usize::try_from(window).unwrap_or(0);
        if place >= counts.len() {
            counts.resize(place + 1, 0);
        }
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
    }
    counts
}

fn gap_variation(requests: &[Request]) -> f64 {
    let gap = |pair: &[Request]| match pair {
        [one, other] => other.arrival_ns.saturating_sub(one.arrival_ns) as f64,
        _ => 0.0,
    };
    let gaps = requests.windows(2).map(gap);
    match moments(gaps) {
        Some((mean, variance)) if mean > 0.0 => libm::sqrt(variance) / mean,
        _ => 0.0,
    }
}

fn dispersion(counts: &[u64]) -> Option<f64> {
    if counts.len() < 2 {
        return None;
    }
    let (mean, variance) = moments(counts.iter().map(|count| *count as f64))?;
    (mean > 0.0).then_some(variance / mean)
}

/// Mean and variance in one pass (B. Welford, Technometrics 4, 1962).
fn moments(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (mut number, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        number += 1.0;
        let off = value - mean;
        mean += off / number;
        squares += off * (value - mean);
    }
    (number > 1.0).then(|| (mean, squares / (number - 1.0)))
}

/// How many tenants there are, and Zipf's exponent.
fn tenants(trace: &Trace) -> (u64, Option<f64>) {
    let mut counts = vec![0_u64; trace.tenants.len()];
    for tenant in trace.requests.iter().filter_map(|request| request.tenant) {
        let place = usize::try_from(tenant.0).unwrap_or(usize::MAX);
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
    }
    counts.retain(|count| *count > 0);
    counts.sort_unstable_by(|one, other| other.cmp(one));
    (count(counts.len()), zipf(&counts))
}

/// The exponent s for which ranks drawn with p(k) ∝ k⁻ˢ have the mean logarithm that was found: the
/// maximum likelihood for a known number of ranks (A. Clauset, C. Shalizi, M. Newman, SIAM Review 51,
/// 2009, appendix B). Descending counts.
fn zipf(counts: &[u64]) -> Option<f64> {
    if counts.len() < 2 {
        return None;
    }
    let logarithms: Vec<f64> = (1..=counts.len()).map(|rank| libm::log(rank as f64)).collect();
    let total: f64 = counts.iter().map(|count| *count as f64).sum();
    let found: f64 =
        counts.iter().zip(&logarithms).map(|(count, log)| *count as f64 * log).sum::<f64>() / total;
    let mean_at = |exponent: f64| {
        let (mut weights, mut sum) = (0.0, 0.0);
        for log in &logarithms {
            let weight = libm::exp(-exponent * log);
            weights += weight;
            sum += weight * log;
        }
        sum / weights
    };
    // The mean logarithm falls as the exponent grows.
    let (mut low, mut high) = (0.0, MOST_SKEW);
    const HALVINGS: u32 = 40;
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if mean_at(middle) > found { low = middle } else { high = middle }
    }
    Some((low + high) / 2.0)
}

fn commands(trace: &Trace) -> Vec<CommandProfile> {
    let mut service: Vec<Vec<u64>> = vec![Vec::new(); trace.commands.len()];
    let mut sizes = service.clone();
    let mut numbers = vec![0_u64; trace.commands.len()];
    for request in &trace.requests {
        let place = usize::try_from(request.command.0).unwrap_or(usize::MAX);
        if let Some(number) = numbers.get_mut(place) {
            *number += 1;
        }
        let note = |into: &mut Vec<Vec<u64>>, value: Option<u64>| {
            if let (Some(list), Some(value)) = (into.get_mut(place), value) {
                list.push(value);
            }
        };
        note(&mut service, request.service_ns);
        note(&mut sizes, request.size_bytes);
    }
    let lists = service.iter_mut().zip(&mut sizes).zip(numbers).zip(0_u32..);
    let mut commands: Vec<CommandProfile> = lists
        .filter(|(((_, _), requests), _)| *requests > 0)
        .map(|(((service, sizes), requests), number)| {
            let mean = service.iter().map(|ns| *ns as f64).sum::<f64>();
            CommandProfile {
                command: Name(number),
                requests,
                service_mean_ns: if service.is_empty() { 0.0 } else { mean / service.len() as f64 },
                service_ns: quantiles(service),
                size_bytes: quantiles(sizes),
            }
        })
        .collect();
    commands.sort_by_key(|command| std::cmp::Reverse(command.requests));
    commands
}

/// The values at [`SHARES`], by nearest rank.
fn quantiles(values: &mut [u64]) -> Vec<u64> {
    values.sort_unstable();
    let last = values.len().saturating_sub(1) as f64;
    let at = |(share, _): &(f64, &str)| {
        let rank = libm::round(share * last);
        // A rank is a whole number below the length.
        let place = values.len().saturating_sub(1).min(rank_of(rank));
        values.get(place).copied()
    };
    SHARES.iter().filter_map(at).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rounded share of a length; casts of doubles saturate"
)]
fn rank_of(rank: f64) -> usize {
    rank as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(rows: &[(u64, u32, u64)]) -> Trace {
        let mut trace = Trace::default();
        for (arrival_ns, tenant, service_ns) in rows {
            let command = trace.commands.number("a").unwrap();
            let tenant = trace.tenants.number(&format!("t{tenant}"));
            trace.requests.push(Request {
                arrival_ns: *arrival_ns,
                command,
                tenant,
                class: None,
                service_ns: Some(*service_ns),
                size_bytes: None,
                source: None,
                gateway: None,
            });
        }
        trace
    }

    #[test]
    fn even_arrivals_have_no_variation() {
        let rows: Vec<(u64, u32, u64)> =
            (0..601).map(|number| (number * SECOND_NS, 0, number)).collect();
        let profile = Profile::of(&trace(&rows));
        assert_eq!(profile.gap_variation, 0.0);
        assert_eq!(profile.dispersion, Some(0.0));
        assert_eq!((profile.peak_second, profile.peak_minute), (1, 60));
        assert_eq!((profile.tenants, profile.skew), (1, None));
        assert_eq!(profile.commands[0].service_ns, [0, 150, 300, 450, 540, 594, 600]);
        assert!(profile.commands[0].size_bytes.is_empty());
    }

    #[test]
    fn a_poisson_process_has_both_at_one() {
        // Words of a multiplicative generator; an exponential law by its inverse.
        let (mut state, mut at) = (1_u64, 0.0);
        let mut rows = Vec::new();
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let share = ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            at -= libm::log(share) * 2e7;
            rows.push((rank_of(at) as u64, 0, 1));
        }
        let profile = Profile::of(&trace(&rows));
        assert!((profile.gap_variation - 1.0).abs() < 0.02, "{profile:?}");
        assert!((profile.dispersion.unwrap() - 1.0).abs() < 0.5, "{profile:?}");
    }

    #[test]
    fn the_exponent_of_exact_shares_is_found() {
        for exponent in [0.0, 0.5, 0.9, 1.5, 2.5] {
            let counts: Vec<u64> = (1..=300_u32)
                .map(|rank| rank_of(libm::pow(f64::from(rank), -exponent) * 1e9) as u64)
                .collect();
            let found = zipf(&counts).unwrap();
            assert!((found - exponent).abs() < 1e-3, "{exponent}: {found}");
        }
        assert_eq!(zipf(&[7]), None);
    }

    #[test]
    fn all_at_once_is_no_rate() {
        let profile = Profile::of(&trace(&[(5, 0, 1), (5, 1, 2)]));
        assert_eq!((profile.rate_per_s, profile.span_s, profile.peak_second), (0.0, 0.0, 2));
        assert!(profile.skew.unwrap() < 1e-6);
    }
}
