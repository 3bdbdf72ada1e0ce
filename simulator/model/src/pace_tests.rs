//! Rates that change with time: each request comes where the integral of the rate says, and the
//! integral is what a sum of small steps says.

use policy::Purpose;
use proptest::prelude::*;

use super::*;

const BLOCK: usize = 64;

/// All arrivals before `end`, and the place of each in a Poisson process of rate 1, by other code.
fn arrivals(mut pace: Pace<'_>, end: u64) -> Vec<(u64, f64)> {
    let stream = Words::new(3, Purpose::Arrival, 0);
    let (mut all, mut mass, mut position) = (Vec::new(), 0.0, 0);
    loop {
        let words: [u64; BLOCK] = std::array::from_fn(|place| stream.at(position + place as u64));
        let mut at = [0; BLOCK];
        let count = pace.fill(&words, &mut at, end);
        position += BLOCK as u64;
        for (at, word) in at.into_iter().zip(words).take(count) {
            mass -= libm::log(1.0 - (word as f64 + 0.5) / 18_446_744_073_709_551_616.0);
            all.push((at, mass));
        }
        if count < BLOCK || at.last().is_some_and(|at| *at >= end) {
            all.retain(|(at, _)| *at < end);
            return all;
        }
    }
}

/// The sum of a rate over small steps up to an instant.
fn summed(rate: impl Fn(f64) -> f64, until: u64) -> f64 {
    const STEPS: u32 = 200_000;
    let step = until as f64 / f64::from(STEPS);
    (0..STEPS).map(|number| rate((f64::from(number) + 0.5) * step) * step).sum()
}

fn hold(arrivals: &[(u64, f64)], expected: impl Fn(Nanoseconds) -> f64, rate: f64) {
    assert!(arrivals.is_sorted_by_key(|(at, _)| *at));
    for (at, mass) in arrivals {
        // Times are rounded to half a nanosecond; words to 52 bits.
        let allowed = rate + 1e-9 * mass.max(1.0);
        let seen = expected(Nanoseconds(*at));
        assert!((seen - mass).abs() <= allowed, "at {at}: {seen} for {mass}");
    }
}

fn sines() -> impl Strategy<Value = Sine> {
    (1e3f64..1e7, 0.0f64..0.99, 1u64..5_000_000_000, 0u64..5_000_000_000).prop_map(
        |(gap, amplitude, period, peak)| {
            let (period, peak) = (Nanoseconds(period), Nanoseconds(peak));
            Sine { gap, amplitude, period, peak }
        },
    )
}

fn lines() -> impl Strategy<Value = Rates> {
    let rate = || prop_oneof![1 => Just(0.0), 4 => 0.0f64..1e-4];
    let stretch = (0u64..400_000_000, rate(), rate()).prop_map(|(length, from, to)| Stretch {
        length: Nanoseconds(length),
        from,
        to,
    });
    (proptest::collection::vec(stretch, 0..6), any::<bool>())
        .prop_map(|(stretches, repeats)| Rates { stretches: stretches.into(), repeats })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn requests_come_where_the_integral_says(sine in sines(), rates in lines()) {
        const END: u64 = 1_000_000_000;
        let all = arrivals(Pace::sine(sine), END);
        hold(&all, |until| sine.expected(until), 2.0 / sine.gap);
        let all = arrivals(Pace::lines(&rates), END);
        hold(&all, |until| rates.expected(until), 1e-4);
    }
}

proptest! {
    /// Both ways to invert the integral of a piece of a sine: the series is a double's all where it is used,
    /// and it is where the swing is that of a day.
    #[test]
    fn series_say_what_newton_says(amplitude in 0.0f64..0.99, angle in 0.0f64..7.0, part in 0.0f64..1.0) {
        let radians = std::f64::consts::TAU / PIECES as f64;
        let piece = |amplitude: f64| {
            let (sine, cosine) = (amplitude * libm::sin(angle), amplitude * libm::cos(angle));
            let chord = (amplitude * libm::sin(angle + radians) - sine) / radians;
            let (between, radian) = (1e-3, 1e13);
            Wave { sine, cosine, chord, each: 1.0 / between, between, radian }
        };
        let wave = piece(amplitude);
        if let Some(series) = Series::of(&wave, radians) {
            let mass = part * wave.at(radians).0 * wave.each;
            let (seen, wanted) = (series.at(mass), wave.invert(mass));
            prop_assert!((seen - wanted).abs() <= 8.0 * f64::EPSILON * wanted, "{seen} {wanted}");
        }
        prop_assert!(Series::of(&piece(amplitude * 0.45), radians).is_some());
    }
}

#[test]
fn integrals_are_sums_of_small_steps() {
    let sine =
        Sine { gap: 1e3, amplitude: 0.8, period: Nanoseconds(86_400), peak: Nanoseconds(50_000) };
    let turn = |at: f64| (at - 50_000.0) / 86_400.0 * std::f64::consts::TAU;
    let stretch = |length, from, to| Stretch { length: Nanoseconds(length), from, to };
    let stretches = [stretch(1_000, 0.0, 2.0), stretch(500, 2.0, 2.0), stretch(2_000, 2.0, 0.5)];
    let rates = Rates { stretches: stretches.into(), repeats: true };
    let line = |at: f64| match at % 3_500.0 {
        at if at < 1_000.0 => at / 500.0,
        at if at < 1_500.0 => 2.0,
        at => 2.0 - (at - 1_500.0) * 1.5 / 2_000.0,
    };
    for until in [1, 400, 5_000, 86_400, 123_456] {
        let near = |seen: f64, wanted: f64| {
            // Rates jump within a step.
            assert!((seen - wanted).abs() < 1e-5 * wanted.max(1.0), "{until}: {seen} {wanted}");
        };
        let rate = |at: f64| (1.0 + 0.8 * turn(at).cos()) / 1e3;
        near(sine.expected(Nanoseconds(until)), summed(rate, until));
        near(rates.expected(Nanoseconds(until)), summed(line, until));
    }
    let once = Rates { repeats: false, ..rates.clone() };
    assert_eq!(once.expected(Nanoseconds(10_000)), rates.expected(Nanoseconds(3_500)));
    assert_eq!(rates.length(), Nanoseconds(3_500));
}

#[test]
fn nothing_comes_without_a_rate() {
    let stretch = |from, to| Stretch { length: Nanoseconds(1_000_000), from, to };
    for (stretches, repeats) in [(vec![], true), (vec![stretch(0.0, 0.0)], true)] {
        let rates = Rates { stretches: stretches.into(), repeats };
        assert!(arrivals(Pace::lines(&rates), 1 << 32).is_empty());
    }
    // What comes in the only stretch, and then nothing, however often one asks.
    let rates = Rates { stretches: [stretch(1e-3, 1e-3)].into(), repeats: false };
    let count = arrivals(Pace::lines(&rates), 1 << 32).len();
    assert!(count.abs_diff(1000) < 127, "{count}");
    let mut pace = Pace::lines(&rates);
    let mut at = [0; 4096];
    let words = std::array::from_fn(|place| Words::new(3, Purpose::Arrival, 0).at(place as u64));
    assert_eq!(pace.fill(&words, &mut at, 1 << 32), count);
    assert_eq!(pace.fill(&words, &mut at, 1 << 32), 0);
}
