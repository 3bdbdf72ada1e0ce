//! The section of `policy.yml` about limits that adapt.

use diagnostics::{Diagnostic, Span};
use serde::Deserialize;
use yaml::Spanned;

use super::owners::foreign;
use super::units::{Length, Part, Ratio};
use crate::adaptive::{Adaptive, Aimd, By, Gradient2, Rule, Shares, Vegas};
use crate::{Nanoseconds, Scope};

#[derive(Debug, Deserialize)]
pub(super) struct AdaptivePart {
    rule: Spanned<AdaptiveRule>,
    scope: Option<Scope>,
    by: Option<By>,
    shares: Option<Spanned<SharesPart>>,
    min: Option<Spanned<u32>>,
    max: Option<Spanned<u32>>,
    initial: Option<Spanned<u32>>,
    window: Option<Length>,
    back_off: Option<Spanned<Part>>,
    timeout: Option<Spanned<Length>>,
    tolerance: Option<Spanned<Ratio>>,
    queue: Option<Spanned<u32>>,
    alpha: Option<Spanned<u32>>,
    beta: Option<Spanned<u32>>,
    probe: Option<Spanned<u32>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct SharesPart {
    free: Option<Part>,
    paid: Option<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AdaptiveRule {
    Aimd,
    Gradient2,
    Vegas,
}

impl AdaptiveRule {
    const fn name(self) -> &'static str {
        match self {
            AdaptiveRule::Aimd => "aimd",
            AdaptiveRule::Gradient2 => "gradient2",
            AdaptiveRule::Vegas => "vegas",
        }
    }
}

fn wrong(message: &str, span: Span, label: &str, hint: &str) -> Diagnostic {
    Diagnostic::error("policy-adaptive", message).at(span, label).hint(hint)
}

fn given<T: Copy>(given: Option<Spanned<T>>, base: T) -> T {
    given.map_or(base, |given| given.value)
}

impl AdaptivePart {
    pub(super) fn value(self, found: &mut Vec<Diagnostic>) -> Adaptive {
        self.check_owners(found);
        let rule = match self.rule.value {
            AdaptiveRule::Aimd => Rule::Aimd(self.aimd(found)),
            AdaptiveRule::Gradient2 => Rule::Gradient2(self.gradient2(found)),
            AdaptiveRule::Vegas => Rule::Vegas(self.vegas(found)),
        };
        let base = Adaptive::of(rule);
        let (min, max) = (given(self.min, base.min), given(self.max, base.max));
        let adaptive = Adaptive {
            rule,
            min,
            max,
            // Bounds that say nothing of the beginning don't contradict it.
            initial: given(self.initial, base.initial.clamp(min.min(max), max)),
            window: self.window.map_or(base.window, |Length(window)| window),
            scope: self.scope.unwrap_or(base.scope),
            by: self.by.unwrap_or(base.by),
            shares: self.shares.map(|given| shares(given, found)),
        };
        self.check_bounds(adaptive, found);
        adaptive
    }

    /// Whether each key belongs to the rule.
    fn check_owners(&self, found: &mut Vec<Diagnostic>) {
        let keys = [
            ("back_off", AdaptiveRule::Aimd, self.back_off.map(|given| given.span)),
            ("timeout", AdaptiveRule::Aimd, self.timeout.map(|given| given.span)),
            ("tolerance", AdaptiveRule::Gradient2, self.tolerance.map(|given| given.span)),
            ("queue", AdaptiveRule::Gradient2, self.queue.map(|given| given.span)),
            ("alpha", AdaptiveRule::Vegas, self.alpha.map(|given| given.span)),
            ("beta", AdaptiveRule::Vegas, self.beta.map(|given| given.span)),
            ("probe", AdaptiveRule::Vegas, self.probe.map(|given| given.span)),
        ];
        for (key, rule, span) in keys {
            let Some(span) = span.filter(|_| rule != self.rule.value) else { continue };
            found.push(foreign("policy-adaptive", (key, span), rule.name(), self.rule.span));
        }
    }

    fn check_bounds(&self, adaptive: Adaptive, found: &mut Vec<Diagnostic>) {
        let Adaptive { min, max, initial, .. } = adaptive;
        if let Some(span) = self.min.filter(|min| min.value == 0).map(|min| min.span) {
            let message = "nothing would be let in, so nothing could be learned";
            found.push(wrong(message, span, "at least 1", "some requests for each instance"));
        }
        let bounds = self.max.or(self.min).map(|bound| bound.span);
        if let Some(span) = bounds.filter(|_| min > max) {
            let label = format!("the limit would be between {min} and {max}");
            let hint = "`min` is at most `max`";
            found.push(wrong("the least limit is above the greatest", span, &label, hint));
        } else if let Some(given) = self.initial
            && !(min..=max).contains(&initial)
        {
            let label = format!("the limit is between {min} and {max}");
            let hint = "a limit begins within its bounds";
            found.push(wrong("the limit begins outside its bounds", given.span, &label, hint));
        }
    }

    fn aimd(&self, found: &mut Vec<Diagnostic>) -> Aimd {
        let base = Aimd::DEFAULT;
        let back_off_thousandths =
            self.back_off.map_or(base.back_off_thousandths, |given| thousandths(given.value));
        if let Some(given) = self.back_off
            && !(1..1000).contains(&back_off_thousandths)
        {
            let message = "a loss would change nothing, or leave nothing";
            let hint = "what is left of the limit after a loss, such as 90%";
            found.push(wrong(message, given.span, "more than 0% and less than 100%", hint));
        }
        let Length(timeout) = given(self.timeout, Length(base.timeout));
        if let Some(given) = self.timeout
            && timeout == Nanoseconds::ZERO
        {
            let hint = "as long as clients wait";
            found.push(wrong("every answer would be a loss", given.span, "more than 0", hint));
        }
        Aimd { back_off_thousandths, timeout }
    }

    fn gradient2(&self, found: &mut Vec<Diagnostic>) -> Gradient2 {
        let base = Gradient2::DEFAULT;
        let Ratio(tolerance_thousandths) = given(self.tolerance, Ratio(base.tolerance_thousandths));
        if let Some(given) = self.tolerance
            && tolerance_thousandths < 1000
        {
            let message = "the limit would fall while answers take as long as usual";
            let hint = "how many times as long as usual answers may take, such as 1.5";
            found.push(wrong(message, given.span, "at least 1", hint));
        }
        let queue = given(self.queue, base.queue);
        if let Some(given) = self.queue
            && queue == 0
        {
            let hint = "requests that may wait; it is also how fast the limit grows";
            found.push(wrong("the limit would never grow", given.span, "at least 1", hint));
        }
        Gradient2 { tolerance_thousandths, queue }
    }

    fn vegas(&self, found: &mut Vec<Diagnostic>) -> Vegas {
        let base = Vegas::DEFAULT;
        let (alpha, beta) = (given(self.alpha, base.alpha), given(self.beta, base.beta));
        if let Some(given) = self.beta.or(self.alpha)
            && alpha > beta
        {
            let message = "the limit would grow and fall at the same time";
            let label = format!("it grows below {alpha} and falls above {beta}");
            found.push(wrong(message, given.span, &label, "`alpha` is at most `beta`"));
        }
        let probe = given(self.probe, base.probe);
        if let Some(given) = self.probe
            && probe == 0
        {
            let message = "the least round trip would be measured all the time";
            let hint = "observations for each request of the limit, such as 30";
            found.push(wrong(message, given.span, "at least 1", hint));
        }
        Vegas { alpha, beta, probe }
    }
}

/// What is kept for classes: together at most all of the limit.
fn shares(given: Spanned<SharesPart>, found: &mut Vec<Diagnostic>) -> Shares {
    let part = |part: Option<Part>| part.map_or(0, thousandths);
    let (free, paid) = (part(given.value.free), part(given.value.paid));
    if free + paid > 1000 {
        let message = "more is kept for classes than there is";
        let hint = "parts of the limit, such as {free: 20%, paid: 60%}";
        found.push(wrong(message, given.span, "together at most 100%", hint));
    }
    Shares { free_thousandths: free, paid_thousandths: paid }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part is between 0 and 1"
)]
fn thousandths(Part(part): Part) -> u32 {
    (part * 1000.0).round() as u32
}
