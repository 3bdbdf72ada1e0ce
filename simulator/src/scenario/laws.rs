//! Laws of times and sizes: from the shape of a file to those that are drawn from.

use policy::Nanoseconds;
use policy::config::units::Part;
use simulator_kernel::law::Quantiles;
use simulator_kernel::{Law, normal};
use yaml::Spanned;

use super::check::Check;
use super::file::{Drawn, LawOf, Measure, Named, Service};

impl Check<'_> {
    /// A law of service times.
    pub(super) fn law(&mut self, service: &Spanned<Service>) -> Option<Law> {
        let law = law(&service.value);
        law.map_err(|reason| {
            self.wrong(service.span, "this is no law of service times".to_owned(), reason);
        })
        .ok()
    }

    /// One value or a law; nothing at all if absent.
    pub(super) fn drawn<T: Measure>(&mut self, given: Option<&Spanned<Drawn<T>>>) -> Option<Law> {
        let Some(Spanned { value, span }) = given else {
            return Some(Law::Constant(Nanoseconds::ZERO));
        };
        match value {
            Drawn::Always(value) => Some(Law::Constant(Nanoseconds(value.whole()))),
            Drawn::By(given) => {
                let law = law(given);
                let message = format!("this is no law of {}", T::NAMES.0);
                law.map_err(|reason| self.wrong(*span, message, reason)).ok()
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "what is lost is below a nanosecond in 3 months")]
fn float(value: impl Measure) -> f64 {
    value.whole() as f64
}

/// A law, or why it is none.
fn law<T: Measure>(given: &LawOf<T>) -> Result<Law, String> {
    match given {
        LawOf::Constant(value) => Ok(Law::Constant(Nanoseconds(value.whole()))),
        LawOf::Exponential(mean) => Ok(Law::Exponential { mean: float(*mean) }),
        LawOf::Lognormal { p50, p99 } => {
            let (median, high) = (float(*p50), float(*p99));
            let sigma =
                simulator_kernel::logarithm::natural(high / median) / normal::quantile(0.99);
            if median > 0.0 && sigma >= 0.0 {
                Ok(Law::Lognormal { median, sigma })
            } else {
                Err("p50 must be more than 0 and at most p99".to_owned())
            }
        }
        LawOf::Hyperexponential { share: Part(share), first, second }
            if *share > 0.0 && *share < 1.0 =>
        {
            let (first, second) = (float(*first), float(*second));
            Ok(Law::Hyperexponential { share: *share, first, second })
        }
        LawOf::Hyperexponential { .. } => Err("share must be between 0 and 1".to_owned()),
        LawOf::Quantiles(named) => quantiles(named),
    }
}

/// A law from `p50: 20ms` and its like.
fn quantiles<T: Measure>(named: &Named<T>) -> Result<Law, String> {
    let mut points = Vec::new();
    for (name, value) in &named.0 {
        let percent = name.value.strip_prefix('p').and_then(|number| number.parse::<f64>().ok());
        let percent = percent.ok_or("quantiles are named p0, p50, p99.9, p100")?;
        points.push((percent / 100.0, float(*value)));
    }
    let law = Quantiles::new(points).map(Law::Empirical);
    law.ok_or_else(|| format!("quantiles must ascend from p0 to p100, such as {}", T::NAMES.1))
}
