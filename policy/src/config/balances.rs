//! The section of `policy.yml` about balancing.

use diagnostics::{Diagnostic, Span};
use serde::Deserialize;
use yaml::Spanned;

use super::owners::foreign;
use super::units::{Length, Part};
use crate::Nanoseconds;
use crate::balance::{Balance, Choices};
use crate::peak_ewma::PeakEwma;
use crate::prequal::Prequal;

#[derive(Debug, Deserialize)]
pub(super) struct BalancePart {
    rule: Spanned<BalanceRule>,
    choices: Option<Spanned<u8>>,
    decay: Option<Spanned<Length>>,
    probes: Option<Spanned<u8>>,
    cold: Option<Spanned<Part>>,
    age: Option<Spanned<Length>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BalanceRule {
    Random,
    RoundRobin,
    LeastLoaded,
    PowerOfChoices,
    JoinShortestQueue,
    PeakEwma,
    Prequal,
}

fn out_of_range(message: String, span: Span, label: String) -> Diagnostic {
    Diagnostic::error("policy-balance", message).at(span, label)
}

impl BalancePart {
    pub(super) fn value(self, found: &mut Vec<Diagnostic>) -> Balance {
        self.check_owners(found);
        match self.rule.value {
            BalanceRule::Random => Balance::Random,
            BalanceRule::RoundRobin => Balance::RoundRobin,
            BalanceRule::LeastLoaded => Balance::LeastLoaded,
            BalanceRule::PowerOfChoices => Balance::PowerOfChoices(self.choices(found)),
            BalanceRule::JoinShortestQueue => Balance::JoinShortestQueue,
            BalanceRule::PeakEwma => Balance::PeakEwma(self.peak_ewma(found)),
            BalanceRule::Prequal => Balance::Prequal(self.prequal(found)),
        }
    }

    /// Whether each key belongs to the rule.
    fn check_owners(&self, found: &mut Vec<Diagnostic>) {
        let keys = [
            ("choices", "power_of_choices", self.choices.map(|given| given.span)),
            ("decay", "peak_ewma", self.decay.map(|given| given.span)),
            ("probes", "prequal", self.probes.map(|given| given.span)),
            ("cold", "prequal", self.cold.map(|given| given.span)),
            ("age", "prequal", self.age.map(|given| given.span)),
        ];
        let owner = match self.rule.value {
            BalanceRule::PowerOfChoices => "power_of_choices",
            BalanceRule::PeakEwma => "peak_ewma",
            BalanceRule::Prequal => "prequal",
            BalanceRule::Random
            | BalanceRule::RoundRobin
            | BalanceRule::LeastLoaded
            | BalanceRule::JoinShortestQueue => "",
        };
        for (key, rule, span) in keys {
            let Some(span) = span.filter(|_| rule != owner) else { continue };
            found.push(foreign("policy-choices", (key, span), rule, self.rule.span));
        }
    }

    fn choices(&self, found: &mut Vec<Diagnostic>) -> Choices {
        let Some(given) = self.choices else { return Choices::TWO };
        Choices::new(given.value).unwrap_or_else(|| {
            let message = format!("{} choices are too few or too many", given.value);
            let label = format!("expected 1 to {}", Choices::MOST);
            found.push(Diagnostic::error("policy-choices", message).at(given.span, label));
            Choices::TWO
        })
    }

    fn peak_ewma(&self, found: &mut Vec<Diagnostic>) -> PeakEwma {
        let base = PeakEwma::DEFAULT;
        PeakEwma {
            decay: positive(self.decay, base.decay, "an average that decays at once", found),
        }
    }

    fn prequal(&self, found: &mut Vec<Diagnostic>) -> Prequal {
        let base = Prequal::DEFAULT;
        if let Some(probes) = self.probes
            && !(1..=Prequal::MOST_PROBES).contains(&probes.value)
        {
            let message = format!("{} probes are too few or too many", probes.value);
            let label = format!("expected 1 to {}", Prequal::MOST_PROBES);
            found.push(out_of_range(message, probes.span, label));
        }
        Prequal {
            probes: self.probes.map_or(base.probes, |given| given.value),
            cold_thousandths: self
                .cold
                .map_or(base.cold_thousandths, |given| thousandths(given.value)),
            age: positive(self.age, base.age, "an answer that is too old at once", found),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part is between 0 and 1"
)]
fn thousandths(Part(part): Part) -> u32 {
    (part * 1000.0).round() as u32
}

fn positive(
    given: Option<Spanned<Length>>,
    base: Nanoseconds,
    what: &str,
    found: &mut Vec<Diagnostic>,
) -> Nanoseconds {
    let Some(Spanned { value: Length(length), span }) = given else { return base };
    if length == Nanoseconds::ZERO {
        found.push(out_of_range(format!("{what} tells nothing"), span, "more than 0".to_owned()));
    }
    length
}
