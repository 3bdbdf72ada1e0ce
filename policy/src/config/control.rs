//! The sections of `policy.yml` that the control plane reads: rollout, repair, sharing.

use diagnostics::{Diagnostic, Span};
use serde::Deserialize;
use yaml::Spanned;

use super::units::{Bound, Length, Part};
use crate::Nanoseconds;
use crate::repair::Repair;
use crate::rollout::Rollout;
use crate::sharing::{Sharing, Unfinished};

#[derive(Debug, Default, Deserialize)]
pub(super) struct RolloutPart {
    surge: Option<Part>,
    step: Option<Spanned<Bound>>,
    utilisation: Option<Spanned<Part>>,
    warm_up: Option<Length>,
    warm_up_floor: Option<Part>,
    cool_down: Option<Length>,
    progress_deadline: Option<Spanned<Length>>,
    failures: Option<Bound>,
    auto_revert: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RepairPart {
    back_off: Option<Length>,
    back_off_most: Option<Length>,
    back_off_forget: Option<Length>,
    launch_timeout: Option<Length>,
    replace_unhealthy_after: Option<Length>,
    replace_unreachable_after: Option<Spanned<Length>>,
    forget_unreachable_after: Option<Spanned<Length>>,
    freeze_above: Option<Part>,
    freeze_most: Option<Length>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct SharingPart {
    lend: Option<Part>,
    reserve: Option<Part>,
    idle_for: Option<Length>,
    give_back: Option<Length>,
    unfinished: Option<Unfinished>,
    interval: Option<Spanned<Length>>,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part is between 0 and 1"
)]
fn thousandths(part: Option<Part>, base: u32) -> u32 {
    part.map_or(base, |Part(part)| (part * 1000.0).round() as u32)
}

fn length(given: Option<Length>, base: Nanoseconds) -> Nanoseconds {
    given.map_or(base, |Length(length)| length)
}

fn bound(given: Option<Bound>, base: u32) -> u32 {
    given.map_or(base, |Bound(bound)| bound.unwrap_or(u32::MAX))
}

fn wrong(code: &'static str, message: &str, span: Option<Span>, label: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(code, message);
    match span {
        Some(span) => diagnostic.at(span, label),
        None => diagnostic,
    }
}

impl RolloutPart {
    pub(super) fn over(self, base: Rollout, found: &mut Vec<Diagnostic>) -> Rollout {
        let utilisation = self.utilisation.map(|given| given.value);
        let deadline = self.progress_deadline.map(|given| given.value);
        let rollout = Rollout {
            surge_thousandths: thousandths(self.surge, base.surge_thousandths),
            step: bound(self.step.map(|given| given.value), base.step),
            utilisation_thousandths: thousandths(utilisation, base.utilisation_thousandths),
            warm_up: length(self.warm_up, base.warm_up),
            warm_up_floor_thousandths: thousandths(
                self.warm_up_floor,
                base.warm_up_floor_thousandths,
            ),
            cool_down: length(self.cool_down, base.cool_down),
            progress_deadline: length(deadline, base.progress_deadline),
            failures_most: bound(self.failures, base.failures_most),
            auto_revert: self.auto_revert.unwrap_or(base.auto_revert),
        };
        if rollout.step == 0 {
            let span = self.step.map(|given| given.span);
            found.push(wrong("policy-rollout", "a step of 0 never ends", span, "at least 1"));
        }
        if rollout.utilisation_thousandths == 0 {
            let span = self.utilisation.map(|given| given.span);
            let message = "instances that may never be used are never enough";
            found.push(wrong("policy-rollout", message, span, "at least 0.1%"));
        }
        if rollout.progress_deadline == Nanoseconds::ZERO {
            let span = self.progress_deadline.map(|given| given.span);
            let message = "progress needs time";
            found.push(wrong("policy-rollout", message, span, "more than 0"));
        }
        rollout
    }
}

impl RepairPart {
    pub(super) fn over(self, base: Repair, found: &mut Vec<Diagnostic>) -> Repair {
        let replace = self.replace_unreachable_after;
        let forget = self.forget_unreachable_after;
        let repair = Repair {
            back_off: length(self.back_off, base.back_off),
            back_off_most: length(self.back_off_most, base.back_off_most),
            back_off_forget: length(self.back_off_forget, base.back_off_forget),
            launch_timeout: length(self.launch_timeout, base.launch_timeout),
            replace_unhealthy_after: length(
                self.replace_unhealthy_after,
                base.replace_unhealthy_after,
            ),
            replace_unreachable_after: length(
                replace.map(|given| given.value),
                base.replace_unreachable_after,
            ),
            forget_unreachable_after: length(
                forget.map(|given| given.value),
                base.forget_unreachable_after,
            ),
            freeze_above_thousandths: thousandths(self.freeze_above, base.freeze_above_thousandths),
            freeze_most: length(self.freeze_most, base.freeze_most),
        };
        if repair.replace_unreachable_after > repair.forget_unreachable_after {
            let span = replace.or(forget).map(|given| given.span);
            let message = "silent machines would be forgotten before they are replaced";
            let label = format!(
                "replaced after {}, forgotten after {}",
                repair.replace_unreachable_after, repair.forget_unreachable_after
            );
            found.push(wrong("policy-repair", message, span, &label));
        }
        repair
    }
}

impl SharingPart {
    pub(super) fn over(self, base: Sharing, found: &mut Vec<Diagnostic>) -> Sharing {
        let sharing = Sharing {
            lend_thousandths: thousandths(self.lend, base.lend_thousandths),
            reserve_thousandths: thousandths(self.reserve, base.reserve_thousandths),
            idle_for: length(self.idle_for, base.idle_for),
            give_back: length(self.give_back, base.give_back),
            unfinished: self.unfinished.unwrap_or(base.unfinished),
            interval: length(self.interval.map(|given| given.value), base.interval),
        };
        if sharing.interval == Nanoseconds::ZERO {
            let span = self.interval.map(|given| given.span);
            let message = "decisions need time between them";
            found.push(wrong("policy-sharing", message, span, "more than 0"));
        }
        sharing
    }
}
