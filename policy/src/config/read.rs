//! From the text of `policy.yml` to a [`Policy`]; everything that is wrong is told at once.

use diagnostics::{Diagnostic, Span};
use serde::Deserialize;
use yaml::{Node, Schema, Spanned};

use super::adaptive::AdaptivePart;
use super::balances::BalancePart;
use super::control::{RepairPart, RolloutPart, SharingPart};
use super::dagor::DagorPart;
use super::queues::QueuePart;
use super::scaling::ScalingPart;
use super::units::{Bound, Frequency};
use super::{POLICY_VERSION, Policy, Preset};
use crate::admission::{Admission, Deadlines, Limits, Permits, Rate};
use crate::{Nanoseconds, Scope};

/// Reads a policy from the text of a file.
///
/// # Errors
/// Everything that is wrong with it, with its place.
pub fn read(text: &str, source: diagnostics::SourceId) -> Result<Policy, Vec<Diagnostic>> {
    let read = yaml::read(text, source, Schema::Strict);
    if !read.is_usable() {
        return Err(read.diagnostics);
    }
    match read.documents.as_slice() {
        [document] => read_node(document),
        _ => {
            let message = "a policy is one YAML document";
            let end = Span::new(source, text.len(), text.len());
            Err(vec![
                Diagnostic::error("policy", message)
                    .at(end, format!("found {}", read.documents.len()))
                    .hint("begin with `preset: recommended`"),
            ])
        }
    }
}

/// Reads a policy from a node, such as a section of another file.
///
/// # Errors
/// Everything that is wrong with it, with its place.
pub fn read_node(node: &Node) -> Result<Policy, Vec<Diagnostic>> {
    let file: File = yaml::from_node(node)?;
    let mut found = Vec::new();
    if let Some(version) = file.version
        && version.value != POLICY_VERSION
    {
        let message = format!("version {} of policy.yml is not known", version.value);
        let label = format!("this program knows version {POLICY_VERSION}");
        found.push(
            Diagnostic::error("policy-version", message)
                .at(version.span, label)
                .hint("use the program that this file was written for"),
        );
    }
    let base = Policy::preset(file.preset);
    let policy = Policy {
        preset: file.preset,
        admission: file.admission.over(base.admission, &mut found),
        queue: file.queue.over(base.queue, &mut found),
        balance: file.balance.map_or(base.balance, |balance| balance.value(&mut found)),
        scaling: file.scaling.over(base.scaling, &mut found),
        rollout: file.rollout.over(base.rollout, &mut found),
        repair: file.repair.over(base.repair, &mut found),
        sharing: file.sharing.over(base.sharing, &mut found),
    };
    if found.is_empty() { Ok(policy) } else { Err(found) }
}

#[derive(Debug, Deserialize)]
struct File {
    version: Option<Spanned<u32>>,
    preset: Preset,
    #[serde(default)]
    admission: AdmissionPart,
    #[serde(default)]
    queue: QueuePart,
    balance: Option<BalancePart>,
    #[serde(default)]
    scaling: ScalingPart,
    #[serde(default)]
    rollout: RolloutPart,
    #[serde(default)]
    repair: RepairPart,
    #[serde(default)]
    sharing: SharingPart,
}

#[derive(Debug, Default, Deserialize)]
struct AdmissionPart {
    accept: Option<AcceptPart>,
    user: Option<LimitsPart>,
    cmd: Option<LimitsPart>,
    deadlines: Option<Deadlines>,
    adaptive: Option<AdaptivePart>,
    overload: Option<DagorPart>,
}

#[derive(Debug, Deserialize)]
struct AcceptPart {
    permits: Option<Bound>,
    scope: Option<Scope>,
}

#[derive(Debug, Deserialize)]
struct LimitsPart {
    rate: Option<Spanned<RateOrNone>>,
    burst: Option<Spanned<u32>>,
    concurrency: Option<Bound>,
    scope: Option<Scope>,
}

/// A rate or `unlimited`.
#[derive(Debug, Clone, Copy)]
struct RateOrNone(Option<Frequency>);

impl<'de> Deserialize<'de> for RateOrNone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = RateOrNone;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a rate, such as 10/s, or `unlimited`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RateOrNone, E> {
                if text == "unlimited" {
                    return Ok(RateOrNone(None));
                }
                let text = serde::de::value::StrDeserializer::<E>::new(text);
                Frequency::deserialize(text).map(|rate| RateOrNone(Some(rate)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl AdmissionPart {
    fn over(self, base: Admission, found: &mut Vec<Diagnostic>) -> Admission {
        let accept = self.accept.map_or(base.accept, |part| {
            let permits = match part.permits {
                Some(Bound(permits)) => permits,
                None => base.accept.map(|accept| accept.permits),
            };
            let scope = part.scope.or(base.accept.map(|accept| accept.scope));
            permits.map(|permits| Permits { permits, scope: scope.unwrap_or(Scope::Gateway) })
        });
        Admission {
            accept,
            user: self.user.map_or(base.user, |part| part.over(base.user, found)),
            cmd: self.cmd.map_or(base.cmd, |part| part.over(base.cmd, found)),
            deadlines: self.deadlines.unwrap_or(base.deadlines),
            adaptive: self.adaptive.map_or(base.adaptive, |part| Some(part.value(found))),
            overload: self.overload.map_or(base.overload, |part| Some(part.value(found))),
        }
    }
}

impl LimitsPart {
    fn over(self, base: Option<Limits>, found: &mut Vec<Diagnostic>) -> Option<Limits> {
        let rate = match (self.rate, self.burst) {
            (None, None) => base.and_then(|limits| limits.rate),
            (Some(Spanned { value: RateOrNone(Some(rate)), .. }), burst) => {
                Some(compiled(rate, burst.map(|burst| burst.value)))
            }
            (Some(Spanned { value: RateOrNone(None), .. }), None) => None,
            (rate, Some(burst)) => {
                let diagnostic = Diagnostic::error("policy-burst", "a burst needs a rate")
                    .at(burst.span, "requests that pass at once, before the rate holds")
                    .hint("add `rate: 10/s`, or remove `burst`");
                found.push(match rate {
                    Some(rate) => diagnostic.also(rate.span, "there is none"),
                    None => diagnostic,
                });
                None
            }
        };
        let concurrency = match self.concurrency {
            Some(Bound(concurrency)) => concurrency,
            None => base.and_then(|limits| limits.concurrency),
        };
        let scope = self.scope.or(base.map(|limits| limits.scope)).unwrap_or(Scope::Gateway);
        let limits = Limits { rate, concurrency, scope };
        (rate.is_some() || concurrency.is_some()).then_some(limits)
    }
}

/// The rate as admission wants it. Without a burst, what comes in a second may come at once.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "gaps are between 1 and 2^62 ns, a cast from a double saturates"
)]
fn compiled(rate: Frequency, burst: Option<u32>) -> Rate {
    let burst = burst.unwrap_or((1e9 / rate.gap).max(1.0) as u32);
    Rate::new(Nanoseconds(rate.gap.round() as u64), burst)
}
