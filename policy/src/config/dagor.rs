//! The section of `policy.yml` about priorities under overload.

use diagnostics::{Diagnostic, Span};
use serde::Deserialize;
use yaml::Spanned;

use super::units::{Length, Part, Ratio};
use crate::Nanoseconds;
use crate::dagor::Dagor;
use crate::queue::Classes;

#[derive(Debug, Deserialize)]
pub(super) struct DagorPart {
    rule: Spanned<DagorRule>,
    target: Option<Length>,
    service: Option<Ratio>,
    window: Option<Spanned<Length>>,
    requests: Option<Spanned<u32>>,
    cut: Option<Spanned<Part>>,
    grow: Option<Spanned<Part>>,
    classes: Option<Classes>,
    redraw: Option<Spanned<Length>>,
}

/// The only one there is; others may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DagorRule {
    Dagor,
}

fn wrong(message: &str, span: Span, label: &str, hint: &str) -> Diagnostic {
    Diagnostic::error("policy-overload", message).at(span, label).hint(hint)
}

impl DagorPart {
    pub(super) fn value(self, found: &mut Vec<Diagnostic>) -> Dagor {
        let base = Dagor::DEFAULT;
        let DagorRule::Dagor = self.rule.value;
        let length =
            |given: Option<Spanned<Length>>, base, message, found: &mut Vec<Diagnostic>| {
                let Some(Spanned { value: Length(length), span }) = given else { return base };
                if length == Nanoseconds::ZERO {
                    found.push(wrong(message, span, "more than 0", "such as 1s, or 1h"));
                }
                length
            };
        let part = |given: Option<Spanned<Part>>, base, message, found: &mut Vec<Diagnostic>| {
            let Some(Spanned { value, span }) = given else { return base };
            let thousandths = thousandths(value);
            if !(1..1000).contains(&thousandths) {
                let hint = "a small part moves slowly, a large one goes too far: 5% and 1%";
                found.push(wrong(message, span, "at least 0.1% and less than 100%", hint));
            }
            thousandths
        };
        if let Some(given) = self.requests.filter(|given| given.value == 0) {
            let hint = "requests after which a window is over, such as 2000";
            found.push(wrong("a window would end before it began", given.span, "at least 1", hint));
        }
        let window = "a window would end before it began";
        let redraw = "users would have another level each time";
        let cut = "an overload would change nothing, or leave nothing";
        let grow = "the level would never rise, or always to the top";
        Dagor {
            target: self.target.map_or(base.target, |Length(target)| target),
            service_thousandths: self
                .service
                .map_or(base.service_thousandths, |Ratio(thousandths)| thousandths),
            window: length(self.window, base.window, window, found),
            requests: self.requests.map_or(base.requests, |given| given.value),
            cut_thousandths: part(self.cut, base.cut_thousandths, cut, found),
            grow_thousandths: part(self.grow, base.grow_thousandths, grow, found),
            classes: self.classes.unwrap_or(base.classes),
            redraw: length(self.redraw, base.redraw, redraw, found),
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
