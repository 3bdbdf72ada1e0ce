//! When requests come: from the shape of a file to a model, and what can't be.

use diagnostics::Span;
use policy::Nanoseconds;
use policy::config::units::{Frequency, Length, Part};
use simulator_model::{Arrivals, Phase, Rates, Sine, Stretch};
use yaml::Spanned;

use super::check::Check;
use super::{file, profile};

/// Nights are quiet, not silent: a rate of zero is told by a profile.
const MAX_AMPLITUDE: f64 = 0.99;
const DAY: Nanoseconds = Nanoseconds::from_seconds(86_400);
/// Scaling a profile beyond that is a slip.
const MAX_SCALE: f64 = 1e6;

impl Check<'_> {
    /// The arrivals that a source declares.
    pub fn arrivals(&mut self, arrivals: &file::Arrivals, duration: Nanoseconds) -> Arrivals {
        match arrivals {
            file::Arrivals::Constant(rate) => Arrivals::Constant { gap: rate.gap },
            file::Arrivals::Poisson(rate) => Arrivals::Poisson { gap: rate.gap },
            file::Arrivals::Burst { at, requests, over } => {
                self.begins(at, "burst", duration);
                let over = over.map_or(Nanoseconds::ZERO, |Length(over)| over);
                Arrivals::Burst { at: at.value.0, requests: requests.value, over }
            }
            file::Arrivals::Diurnal { mean, amplitude, period, peak } => {
                self.diurnal(*mean, *amplitude, *period, *peak)
            }
            file::Arrivals::Flash(flash) => self.flash(flash, duration),
            file::Arrivals::Mmpp { quiet, burst } => {
                let (quiet, burst) = (self.phase(quiet), self.phase(burst));
                Arrivals::Switching { quiet, burst }
            }
            file::Arrivals::Profile { file, column, scale, repeat } => {
                let scale = scale.unwrap_or(Spanned::nowhere(1.0));
                let scale = self.within(scale, 0.0, MAX_SCALE, "times a profile");
                let column = column.as_ref().map(|column| column.value.as_str());
                let rates = self.profile(file, column, scale, *repeat);
                let rates = rates.unwrap_or(Rates { stretches: [].into(), repeats: false });
                if !*repeat && rates.length() < duration && rates.length() > Nanoseconds::ZERO {
                    let message = "this profile ends before the run does";
                    let label = format!("it is {} long, the run {duration}", rates.length());
                    let diagnostic = diagnostics::Diagnostic::warning("profile", message);
                    let hint = "`repeat: true` begins it again";
                    self.found.push(diagnostic.at(file.span, label).hint(hint));
                }
                Arrivals::Lines(rates)
            }
        }
    }

    fn begins(&mut self, at: &Spanned<Length>, what: &str, duration: Nanoseconds) {
        if at.value.0 >= duration {
            let message = format!("this {what} comes after the end");
            self.wrong(at.span, message, format!("the run takes {duration}"));
        }
    }

    fn diurnal(
        &mut self,
        mean: Frequency,
        amplitude: Spanned<Part>,
        period: Option<Spanned<Length>>,
        peak: Option<Length>,
    ) -> Arrivals {
        let part = Spanned { value: amplitude.value.0, span: amplitude.span };
        let amplitude = self.within(part, 0.0, MAX_AMPLITUDE, "as an amplitude");
        let period = period.map_or(DAY, |period| self.not_zero(period));
        let peak = peak.map_or(Nanoseconds(period.0 / 2), |Length(peak)| peak);
        Arrivals::Sine(Sine { gap: mean.gap, amplitude, period, peak })
    }

    fn not_zero(&mut self, length: Spanned<Length>) -> Nanoseconds {
        if length.value.0 == Nanoseconds::ZERO {
            let label = "expected more than 0";
            self.wrong(length.span, "this takes no time".to_owned(), label);
        }
        length.value.0
    }

    /// The usual rate, a way up, the peak, a way down, the usual rate.
    fn flash(&mut self, flash: &file::Flash, duration: Nanoseconds) -> Arrivals {
        self.begins(&flash.at, "flash crowd", duration);
        let base = flash.base.map_or(0.0, |base| 1.0 / base.gap);
        let peak = 1.0 / flash.peak.value.gap;
        if peak < base {
            let label = "less than the base";
            self.wrong(flash.peak.span, "this is no flash crowd".to_owned(), label);
        }
        let (Length(ramp), Length(hold), Length(decay)) = (flash.ramp, flash.hold, flash.decay);
        let stretch = |length, from, to| Stretch { length, from, to };
        let stretches = [
            stretch(flash.at.value.0, base, base),
            stretch(ramp, base, peak),
            stretch(hold, peak, peak),
            stretch(decay, peak, base),
            // Longer than any run.
            stretch(duration, base, base),
        ];
        Arrivals::Lines(Rates { stretches: stretches.into(), repeats: false })
    }

    fn phase(&mut self, phase: &file::Phase) -> Phase {
        Phase { gap: phase.rate.gap, lasts: self.not_zero(phase.lasts) }
    }

    fn profile(
        &mut self,
        file: &Spanned<String>,
        column: Option<&str>,
        scale: f64,
        repeats: bool,
    ) -> Option<Rates> {
        let source = self.load(&file.value, file.span)?;
        profile::read(source, self.files.sources, column, scale, repeats)
            .map_err(|diagnostic| {
                self.found.push(diagnostic.also(file.span, "named here"));
            })
            .ok()
    }

    /// The text of a file that the scenario names.
    pub fn load(&mut self, name: &str, span: Span) -> Option<diagnostics::SourceId> {
        let loaded = (self.files.load)(name, self.files.sources);
        let source = loaded.map_err(|reason| {
            let message = format!("failed to read `{name}`: {reason}");
            self.wrong(span, message, "named here, relative to the scenario");
        });
        self.files.loaded.extend(source);
        source.ok()
    }
}
