//! How clients try again: from the shape of a file to a model.

use policy::config::units::{Length, Part};
use simulator_model::{BackOff, Retries};

use super::check::Check;
use super::file;

impl Check<'_> {
    /// The retries of a source.
    pub(super) fn retries(&mut self, given: &file::Retries) -> Retries {
        let attempts =
            self.within(given.attempts, 2, Retries::MOST_ATTEMPTS, "attempts of a request");
        let back_off = match &given.back_off {
            None => BackOff::None,
            Some(given) => match &given.value {
                file::BackOff::None => BackOff::None,
                file::BackOff::Constant(Length(wait)) => BackOff::Constant(*wait),
                file::BackOff::Growing(file::Growing::Exponential { first, most }) => {
                    let (Length(first), Length(most)) = (*first, *most);
                    if first > most || first.0 == 0 {
                        let message = "this back-off doesn't grow".to_owned();
                        let label = "`first` must be more than 0 and at most `most`";
                        self.wrong(given.span, message, label);
                    }
                    BackOff::Exponential { first, most }
                }
            },
        };
        if let (Some(jitter), BackOff::None) = (&given.jitter, back_off) {
            let message = "without a back-off there is nothing to vary".to_owned();
            self.wrong(jitter.span, message, "of no wait");
        }
        let jitter = given.jitter.map_or(0, |jitter| thousandths(jitter.value));
        Retries { attempts, back_off, jitter, budget: given.budget.map(thousandths) }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "parts are between 0 and 1"
)]
fn thousandths(Part(part): Part) -> u32 {
    (part * 1000.0).round() as u32
}
