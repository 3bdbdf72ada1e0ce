//! What theory says of arrivals whose rate changes with time, estimated from runs of the engine in
//! batches of equal length.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use policy::{Nanoseconds, Time};
use simulator_kernel::Moments;
use simulator_model::{Arrival, Arrivals, Model, Outcome, Phase, Record, Sine};

const BATCHES: usize = 20;

/// A model, what is estimated from it, and the exact value.
pub struct Form {
    pub name: &'static str,
    pub figure: &'static str,
    pub exact: f64,
    pub model: Model,
    /// What a request adds to its batch.
    adds: Adds,
}

#[derive(Clone, Copy)]
enum Adds {
    /// Sine and cosine parts of the number present, over whole periods.
    Present { speed: f64, cosine: bool },
    /// The number of arrivals for the mean number expected.
    Count { expected: f64 },
    /// The squared deviation of counts in windows, for the mean count.
    Dispersion { window: u64, expected: f64 },
}

/// A sinusoidal rate on infinitely many instances (Eick, Massey and Whitt, "Mt/G/∞ queues with
/// sinusoidal arrival rates", Management Science 39, 1993): with services of mean 1 the number
/// present swings by A/(1+γ²)·(sin γt − γ·cos γt) around its mean. `many` instances stand for
/// infinitely many.
pub fn sinusoid(mut model: Model, unit: f64) -> Vec<Form> {
    const PERIODS_OF_BATCH: u64 = 25;
    const PERIOD: u64 = 5;
    let (offered, amplitude) = (20.0, 0.7);
    let period = Nanoseconds::from_seconds(PERIOD);
    let gamma = std::f64::consts::TAU / PERIOD as f64;
    // The rate is 1 + A·sin γt: its peak is at a quarter.
    let peak = Nanoseconds(period.0 / 4);
    let sine = Sine { gap: unit / offered, amplitude, period, peak };
    model.sources[0].arrivals = Arrivals::Sine(sine);
    model.warm_up = Nanoseconds::ZERO;
    model.duration = Nanoseconds(period.0 * PERIODS_OF_BATCH * BATCHES as u64);
    let swing = amplitude * offered / (1.0 + gamma * gamma);
    let form = |figure, exact, adds| Form {
        name: "Mt/M/∞ A=.7",
        figure,
        exact,
        model: model.clone(),
        adds,
    };
    let expected = offered * (PERIOD * PERIODS_OF_BATCH) as f64;
    let present = |cosine| Adds::Present { speed: gamma, cosine };
    vec![
        form("arrivals", 1.0, Adds::Count { expected }),
        form("sine", swing, present(false)),
        form("cosine", -gamma * swing, present(true)),
    ]
}

/// Counts of a process that switches between two rates, in windows of a length t: the index of
/// dispersion (Heffes and Lucantoni, "A Markov modulated characterization of packetized voice and
/// data traffic", IEEE JSAC 4, 1986).
pub fn switching(mut model: Model, unit: f64, window_units: u32) -> Vec<Form> {
    const WINDOWS_OF_BATCH: u64 = 150;
    let (rates, leaving) = ([5.0, 60.0], [0.25, 1.0]);
    let phase = |place: usize| Phase {
        gap: unit / rates[place],
        lasts: Nanoseconds((unit / leaving[place]) as u64),
    };
    model.sources[0].arrivals = Arrivals::Switching { quiet: phase(0), burst: phase(1) };
    let window = Nanoseconds(unit as u64 * u64::from(window_units));
    model.warm_up = Nanoseconds::ZERO;
    model.duration = Nanoseconds(window.0 * WINDOWS_OF_BATCH * BATCHES as u64);
    let both = leaving[0] + leaving[1];
    let mean = (rates[0] * leaving[1] + rates[1] * leaving[0]) / both;
    let spread =
        2.0 * (rates[0] - rates[1]).powi(2) * leaving[0] * leaving[1] / (both * both * mean * both);
    let time = both * f64::from(window_units);
    let exact = 1.0 + spread * (1.0 - (1.0 - (-time).exp()) / time);
    let expected = mean * f64::from(window_units);
    let name = if window_units == 1 { "MMPP t=1" } else { "MMPP t=8" };
    let form = |figure, exact, adds| Form { name, figure, exact, model: model.clone(), adds };
    let all = expected * WINDOWS_OF_BATCH as f64;
    vec![
        form("arrivals", 1.0, Adds::Count { expected: all }),
        form("dispersion", exact, Adds::Dispersion { window: window.0, expected }),
    ]
}

impl Form {
    /// Estimate and its standard error in one run.
    pub fn estimate(&self, seed: u64, unit: f64) -> (f64, f64) {
        let model = Model { seed, ..self.model.clone() };
        let length = model.duration.0 / BATCHES as u64;
        let mut sums =
            Sums { adds: self.adds, unit, length, batches: vec![0.0; BATCHES], counts: Vec::new() };
        if let Adds::Dispersion { window, .. } = self.adds {
            sums.counts = vec![0.0; (model.duration.0 / window) as usize];
        }
        crate::run(&model, &mut sums);
        let moments: Moments = match self.adds {
            Adds::Dispersion { expected, .. } => {
                let size = sums.counts.len() / BATCHES;
                let squares = |batch: &[f64]| {
                    let all: f64 = batch.iter().map(|count| (count - expected).powi(2)).sum();
                    all / size as f64 / expected
                };
                sums.counts.chunks(size).map(squares).collect()
            }
            _ => sums.batches.iter().copied().collect(),
        };
        (moments.mean(), moments.standard_error().unwrap())
    }
}

struct Sums {
    adds: Adds,
    unit: f64,
    length: u64,
    batches: Vec<f64>,
    counts: Vec<f64>,
}

impl Record for Sums {
    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        let served = outcome.unwrap();
        assert_eq!(served.start, arrival.at, "there are not enough instances");
        let batch = &mut self.batches[(arrival.at.0 / self.length) as usize];
        match self.adds {
            Adds::Count { expected } => *batch += 1.0 / expected,
            Adds::Dispersion { window, .. } => {
                self.counts[(arrival.at.0 / window) as usize] += 1.0;
            }
            Adds::Present { speed, cosine } => {
                // The integral of sin γt (cos γt) over the stay: the part of a wave in the number
                // present is twice the mean of its product with the wave.
                let angle = |at: Time| at.0 as f64 / self.unit * speed;
                let (from, to) = (angle(served.start), angle(served.end));
                let part = if cosine { to.sin() - from.sin() } else { from.cos() - to.cos() };
                *batch += 2.0 * part / speed / (self.length as f64 / self.unit);
            }
        }
    }
}
