//! Arrivals whose rate changes with time, exactly: the n-th request comes when the integral of the
//! rate reaches the n-th point of a Poisson process of rate 1 (Çınlar, "Introduction to Stochastic
//! Processes", 1975, chapter 4.7). Each point comes from the word of its own number, so a higher
//! rate moves requests forward and changes nothing else about them.
//!
//! Time is cut into pieces on which the integral is inverted in closed form (straight lines) or to
//! the last bits of a double (pieces of a sine: by a series, or where the rate swings by nearly all of its
//! mean, which would take many terms, by Newton's method).

use std::sync::Arc;

use policy::{Nanoseconds, Words};
use simulator_kernel::Law;
use simulator_kernel::logarithm::{natural, open_unit, whole};

/// Rates on straight lines, one stretch of time after the other from 0 on.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    /// The stretches.
    pub stretches: Arc<[Stretch]>,
    /// Whether they begin again after the last one; if not, nothing comes any more.
    pub repeats: bool,
}

/// A stretch of time in which the rate goes from one value to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// How long it is.
    pub length: Nanoseconds,
    /// Requests in a nanosecond at its beginning.
    pub from: f64,
    /// And at its end.
    pub to: f64,
}

/// A rate that swings around its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sine {
    /// The mean distance of requests over whole periods, in nanoseconds.
    pub gap: f64,
    /// The largest deviation as a part of the mean; below 1.
    pub amplitude: f64,
    /// From one peak to the next.
    pub period: Nanoseconds,
    /// When the first peak is.
    pub peak: Nanoseconds,
}

/// One state of a source that switches between two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// The mean distance of requests while it lasts, in nanoseconds.
    pub gap: f64,
    /// How long it lasts on average; the law is exponential.
    pub lasts: Nanoseconds,
}

impl Rates {
    /// How many requests come before an instant, on average.
    #[must_use]
    pub fn expected(&self, until: Nanoseconds) -> f64 {
        let whole: f64 = self.stretches.iter().map(|stretch| stretch.within(stretch.length)).sum();
        let length = self.length().0;
        let (rounds, rest) = match (self.repeats, length) {
            (true, 1..) => (precise(until.0 / length), until.0 % length),
            _ => (0.0, until.0),
        };
        let mut left = Nanoseconds(rest);
        let mut part = 0.0;
        for stretch in self.stretches.iter() {
            part += stretch.within(left.min(stretch.length));
            left = Nanoseconds(left.0.saturating_sub(stretch.length.0));
        }
        whole * rounds + part
    }

    /// Times as many requests.
    #[must_use]
    pub fn scaled(&self, scale: f64) -> Self {
        let scaled = |stretch: &Stretch| Stretch {
            from: stretch.from * scale,
            to: stretch.to * scale,
            ..*stretch
        };
        Rates { stretches: self.stretches.iter().map(scaled).collect(), repeats: self.repeats }
    }

    /// The length of all stretches.
    #[must_use]
    pub fn length(&self) -> Nanoseconds {
        Nanoseconds(self.stretches.iter().map(|stretch| stretch.length.0).sum())
    }
}

impl Stretch {
    fn slope(&self) -> f64 {
        if self.length.0 == 0 { 0.0 } else { (self.to - self.from) / precise(self.length.0) }
    }

    /// Requests from its beginning for some time.
    fn within(&self, time: Nanoseconds) -> f64 {
        let time = precise(time.0);
        time * (self.from + self.slope() * time / 2.0)
    }
}

impl Sine {
    /// Radians in a nanosecond.
    fn speed(&self) -> f64 {
        std::f64::consts::TAU / precise(self.period.0.max(1))
    }

    /// The angle at an instant: the peak is at a quarter of a turn.
    fn angle(&self, at: u64) -> f64 {
        let period = self.period.0.max(1);
        let after = (at % period + period - self.peak.0 % period) % period;
        std::f64::consts::FRAC_PI_2 + self.speed() * precise(after)
    }

    /// How many requests come before an instant, on average.
    #[must_use]
    pub fn expected(&self, until: Nanoseconds) -> f64 {
        let swing = libm::cos(self.angle(0)) - libm::cos(self.angle(until.0));
        (precise(until.0) + self.amplitude / self.speed() * swing) / self.gap
    }
}

/// The mean rate of a source that switches, in requests a nanosecond.
#[must_use]
pub fn switching_rate(quiet: &Phase, burst: &Phase) -> f64 {
    let (first, second) = (precise(quiet.lasts.0), precise(burst.lasts.0));
    (first / quiet.gap + second / burst.gap) / (first + second)
}

#[expect(clippy::cast_precision_loss, reason = "times of a run are below 2^53 ns")]
const fn precise(count: u64) -> f64 {
    count as f64
}

/// Where the pieces of time come from.
#[derive(Debug)]
enum Plan<'model> {
    Lines { rates: &'model Rates, next: usize },
    Sine { sine: Sine, next: u64 },
    Switching { phases: [Phase; 2], words: Words, next: u64 },
}

/// A piece of time.
#[derive(Debug, Clone, Copy)]
struct Piece {
    length: u64,
    /// Requests in it, on average.
    mass: f64,
    shape: Shape,
}

#[derive(Debug, Clone, Copy)]
enum Shape {
    Straight { rate: f64, slope: f64 },
    Wave(Wave),
    Series(Series),
}

/// A part of a sine, in radians from its beginning; all in units of the mean rate.
#[derive(Debug, Clone, Copy)]
struct Wave {
    /// Amplitude times sine and cosine of the angle at the beginning.
    sine: f64,
    cosine: f64,
    /// The slope of the chord.
    chord: f64,
    /// Mean requests for a radian, radians for one of them, and nanoseconds for a radian.
    each: f64,
    between: f64,
    radian: f64,
}

/// When the integral of a [`Wave`] reaches a number of requests, in nanoseconds, as a polynomial in that
/// number without a constant: the reversed series of the integral (Abramowitz and Stegun, "Handbook of
/// Mathematical Functions", 1964, 3.6.25), which takes neither divisions nor roots.
#[derive(Debug, Clone, Copy)]
struct Series([f64; Series::TERMS]);

/// Pieces of a period: 0.012 radians, so that five terms of Taylor's series are a double's all.
const PIECES: u64 = 512;

impl Wave {
    /// Sine and 1 − cosine of a small angle.
    #[inline(always)]
    fn turn(x: f64) -> (f64, f64) {
        // A division takes as long as ten multiplications.
        const PARTS: [f64; 4] = [1.0 / 6.0, 1.0 / 20.0, 1.0 / 12.0, 1.0 / 30.0];
        let [sixth, twentieth, twelfth, thirtieth] = PARTS;
        let square = x * x;
        let sine = x * (1.0 - square * sixth * (1.0 - square * twentieth));
        let versine = square * 0.5 * (1.0 - square * twelfth * (1.0 - square * thirtieth));
        (sine, versine)
    }

    /// The integral of the rate from the beginning, and the rate.
    #[inline(always)]
    fn at(&self, x: f64) -> (f64, f64) {
        let (sine, versine) = Wave::turn(x);
        let integral = x + self.sine * sine + self.cosine * versine;
        (integral, 1.0 + self.sine * (1.0 - versine) + self.cosine * sine)
    }

    /// When the integral reaches a number of requests: from the chord, two steps of Newton's
    /// method. The first leaves 10⁻⁹ of a radian, the second nothing.
    #[inline(always)]
    fn invert(&self, mass: f64) -> f64 {
        let wanted = mass * self.between;
        let mut x = straight(1.0 + self.sine, self.chord, wanted);
        for _ in 0..2 {
            let (integral, rate) = self.at(x);
            x -= (integral - wanted) / rate;
        }
        x * self.radian
    }
}

impl Series {
    /// So many are a double's all where the rate doesn't swing by nearly all of its mean.
    const TERMS: usize = 8;
    /// To find it takes as long as a thousand steps of Newton's method.
    const MANY: f64 = 16_384.0;

    /// That of a piece of so many radians; none if it would need more terms.
    fn of(wave: &Wave, radians: f64) -> Option<Self> {
        const MORE: usize = Series::TERMS + 1;
        let Wave { sine, cosine, .. } = *wave;
        // The integral: x + sine sin x + cosine (1 - cos x), by powers of x from the first on.
        let mut forward = [0.0; MORE];
        let mut factorial = 1.0;
        let derivatives = [sine, cosine, -sine, -cosine].into_iter().cycle();
        for ((term, derivative), order) in forward.iter_mut().zip(derivatives).zip(1u32..) {
            factorial *= f64::from(order);
            *term = derivative / factorial;
        }
        forward[0] += 1.0;
        let backward = reversed(&forward);
        // What the first term that is left out makes of the whole, which the rest is small beside.
        let mass = wave.at(radians).0;
        let [first, .., last] = backward;
        let powers = (0..Series::TERMS).fold(1.0, |power, _| power * mass);
        let left_out = (last / first).abs() * powers;
        if left_out.is_nan() || left_out > f64::EPSILON / 8.0 {
            return None;
        }
        let mut scale = wave.radian;
        let mut terms = [0.0; Series::TERMS];
        for (term, known) in terms.iter_mut().zip(backward) {
            scale *= wave.between;
            *term = known * scale;
        }
        Some(Series(terms))
    }

    /// When it reaches this number.
    #[inline(always)]
    fn at(&self, mass: f64) -> f64 {
        let mut sum = 0.0;
        for term in self.0.iter().rev() {
            sum = (sum + term) * mass;
        }
        sum
    }
}

/// The coefficients of x(y) where those of y(x) are given; both begin with that of the first power.
fn reversed<const TERMS: usize>(forward: &[f64; TERMS]) -> [f64; TERMS] {
    let mut backward = [0.0; TERMS];
    let first = forward.first().copied().unwrap_or(1.0);
    for known in 0..TERMS {
        // What y(x(y)) has of this power with what is known of x, from the second power of x on.
        let (mut power, mut sum) = (backward, 0.0);
        for factor in forward.iter().skip(1) {
            power = product(&power, &backward);
            sum += factor * power.get(known).copied().unwrap_or_default();
        }
        let wanted = if known == 0 { 1.0 } else { 0.0 };
        if let Some(term) = backward.get_mut(known) {
            *term = (wanted - sum) / first;
        }
    }
    backward
}

/// The product of two series without a constant, as far as there is room.
fn product<const TERMS: usize>(left: &[f64; TERMS], right: &[f64; TERMS]) -> [f64; TERMS] {
    let mut all = [0.0; TERMS];
    for (factor, place) in left.iter().zip(1..) {
        for (sum, other) in all.iter_mut().skip(place).zip(right) {
            *sum += factor * other;
        }
    }
    all
}

/// When the integral of a rate on a straight line reaches a number of requests.
#[inline(always)]
fn straight(rate: f64, slope: f64, mass: f64) -> f64 {
    2.0 * mass / (rate + (rate * rate + 2.0 * slope * mass).max(0.0).sqrt())
}

impl Piece {
    fn straight(stretch: &Stretch) -> Self {
        let shape = Shape::Straight { rate: stretch.from, slope: stretch.slope() };
        Piece { length: stretch.length.0, mass: stretch.within(stretch.length), shape }
    }

    fn of_sine(sine: &Sine, begin: u64, length: u64) -> Self {
        let (angle, speed) = (sine.angle(begin), sine.speed());
        let x = speed * precise(length);
        let part = |angle: f64| sine.amplitude * libm::sin(angle);
        let chord = if length == 0 { 0.0 } else { (part(angle + x) - part(angle)) / x };
        let wave = Wave {
            sine: part(angle),
            cosine: sine.amplitude * libm::cos(angle),
            chord,
            each: 1.0 / (speed * sine.gap),
            between: speed * sine.gap,
            radian: 1.0 / speed,
        };
        let mass = wave.at(x).0 * wave.each;
        let series = if mass < Series::MANY { None } else { Series::of(&wave, x) };
        Piece { length, mass, shape: series.map_or(Shape::Wave(wave), Shape::Series) }
    }

    /// When requests come whose places in the integral are given.
    #[inline(always)]
    fn times(&self, begin: u64, passed: f64, masses: &[f64], at: &mut [u64]) {
        // Loops, not closures: those may stay apart, where they miss the wide vectors.
        let pairs = at.iter_mut().zip(masses);
        match self.shape {
            Shape::Straight { rate, slope } => {
                for (at, mass) in pairs {
                    *at = begin + whole(straight(rate, slope, mass - passed));
                }
            }
            Shape::Series(series) => {
                for (at, mass) in pairs {
                    *at = begin + whole(series.at(mass - passed));
                }
            }
            Shape::Wave(wave) => {
                for (at, mass) in pairs {
                    *at = begin + whole(wave.invert(mass - passed));
                }
            }
        }
    }
}

/// The arrivals of one source, a block at a time.
#[derive(Debug)]
pub(crate) struct Pace<'model> {
    plan: Plan<'model>,
    piece: Piece,
    /// When the piece begins.
    begin: u64,
    /// The part of its mass that has come.
    mass: f64,
    last: u64,
    has_ended: bool,
    /// One request in so many is taken.
    parts: f64,
}

impl<'model> Pace<'model> {
    fn new(plan: Plan<'model>) -> Self {
        let shape = Shape::Straight { rate: 0.0, slope: 0.0 };
        let piece = Piece { length: 0, mass: 0.0, shape };
        Pace { plan, piece, begin: 0, mass: 0.0, last: 0, has_ended: false, parts: 1.0 }
    }

    /// One of so many equal parts: those of a Poisson process are Poisson processes.
    pub(crate) fn part_of(self, parts: u16) -> Self {
        Pace { parts: f64::from(parts.max(1)), ..self }
    }

    pub(crate) fn lines(rates: &'model Rates) -> Self {
        Self::new(Plan::Lines { rates, next: 0 })
    }

    pub(crate) fn sine(sine: Sine) -> Self {
        Self::new(Plan::Sine { sine, next: 0 })
    }

    /// It begins in one of both states by their shares of time. `words` are its own.
    pub(crate) fn switching(quiet: Phase, burst: Phase, words: Words) -> Self {
        let (first, second) = (precise(quiet.lasts.0), precise(burst.lasts.0));
        // The first word chooses the state.
        let begins_quiet = open_unit(words.at(0)) * (first + second) < first;
        let phases = if begins_quiet { [quiet, burst] } else { [burst, quiet] };
        Self::new(Plan::Switching { phases, words, next: 0 })
    }

    /// When the next requests come, one for each word; how many do before the pieces end or one
    /// begins at `end` or later.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "places are below the length of the block")]
    pub(crate) fn fill<const BLOCK: usize>(
        &mut self,
        words: &[u64; BLOCK],
        at: &mut [u64; BLOCK],
        end: u64,
    ) -> usize {
        if self.has_ended {
            return 0;
        }
        let mut masses = [0.0; BLOCK];
        for (mass, word) in masses.iter_mut().zip(words) {
            *mass = -natural(open_unit(!*word)) * self.parts;
        }
        let mut mass = self.mass;
        for entry in &mut masses {
            mass += *entry;
            *entry = mass;
        }
        let (mut passed, mut done) = (0.0, 0);
        loop {
            let rest = &masses[done..];
            let here = rest.partition_point(|mass| mass - passed < self.piece.mass);
            self.piece.times(self.begin, passed, &rest[..here], &mut at[done..done + here]);
            done += here;
            if done == BLOCK {
                self.mass = mass - passed;
                break;
            }
            passed += self.piece.mass;
            if !self.next_piece(end) {
                self.has_ended = true;
                break;
            }
        }
        // Rounding may exchange two that come within a nanosecond.
        for at in &mut at[..done] {
            self.last = self.last.max(*at);
            *at = self.last;
        }
        done
    }

    #[cold]
    fn next_piece(&mut self, end: u64) -> bool {
        self.begin = self.begin.saturating_add(self.piece.length);
        if self.begin >= end {
            return false;
        }
        match &mut self.plan {
            Plan::Lines { rates, next } => {
                if *next == rates.stretches.len() && rates.repeats && self.begin > 0 {
                    *next = 0;
                }
                let Some(stretch) = rates.stretches.get(*next) else { return false };
                *next += 1;
                self.piece = Piece::straight(stretch);
            }
            Plan::Sine { sine, next } => {
                let border = |number: u64| {
                    let at = u128::from(number) * u128::from(sine.period.0) / u128::from(PIECES);
                    u64::try_from(at).unwrap_or(u64::MAX)
                };
                *next += 1;
                self.piece = Piece::of_sine(sine, self.begin, border(*next) - self.begin);
            }
            Plan::Switching { phases: [first, second], words, next } => {
                *next += 1;
                let phase = if *next % 2 == 1 { first } else { second };
                let law = Law::Exponential { mean: precise(phase.lasts.0) };
                let (length, rate) = (law.sample(words.at(*next)), 1.0 / phase.gap);
                self.piece = Piece::straight(&Stretch { length, from: rate, to: rate });
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
