//! The section of `policy.yml` about queues.

use diagnostics::{Diagnostic, Span};
use serde::Deserialize;
use yaml::Spanned;

use super::units::{Bound, Length};
use crate::Nanoseconds;
use crate::overload::{Law, Overload};
use crate::prediction::LongestWait;
use crate::queue::{Classes, Counts, Order, Queue, QueueScope};

#[derive(Debug, Default, Deserialize)]
pub(super) struct QueuePart {
    free: Option<Bound>,
    paid: Option<Bound>,
    scope: Option<QueueScope>,
    counts: Option<Counts>,
    classes: Option<Classes>,
    order: Option<Spanned<Order>>,
    quantum: Option<Spanned<Length>>,
    longest_wait: Option<LongestWaitPart>,
    overload: Option<OverloadPart>,
}

#[derive(Debug, Deserialize)]
struct LongestWaitPart {
    free: Option<Length>,
    paid: Option<Length>,
}

#[derive(Debug, Deserialize)]
struct OverloadPart {
    target: Spanned<Length>,
    interval: Spanned<Length>,
    sheds: Option<bool>,
    law: Option<Law>,
}

fn wrong(message: &str, span: Span, label: &str, hint: &str) -> Diagnostic {
    Diagnostic::error("policy-queue", message).at(span, label).hint(hint)
}

impl QueuePart {
    pub(super) fn over(self, base: Queue, found: &mut Vec<Diagnostic>) -> Queue {
        let bound = |bound: Option<Bound>, base| match bound {
            Some(Bound(bound)) => bound.unwrap_or(Queue::UNLIMITED),
            None => base,
        };
        let order = self.order.map_or(base.order, |order| order.value);
        let length = |given: Option<Length>| given.map(|Length(length)| length);
        let queue = Queue {
            free: bound(self.free, base.free),
            paid: bound(self.paid, base.paid),
            scope: self.scope.unwrap_or(base.scope),
            counts: self.counts.unwrap_or(base.counts),
            classes: self.classes.unwrap_or(base.classes),
            order,
            quantum: quantum(order, self.quantum, found),
            longest_wait: self.longest_wait.map_or(base.longest_wait, |part| {
                Some(LongestWait { free: length(part.free), paid: length(part.paid) })
            }),
            overload: self.overload.map_or(base.overload, |part| Some(part.value(found))),
        };
        if queue.order == Order::AdaptiveLifo
            && queue.overload.is_none()
            && let Some(order) = self.order
        {
            let message = "nothing says when a queue is overloaded";
            let hint = "add `overload: {target: 50ms, interval: 500ms}`";
            found.push(wrong(message, order.span, "newest first only then", hint));
        }
        queue
    }
}

fn quantum(
    order: Order,
    given: Option<Spanned<Length>>,
    found: &mut Vec<Diagnostic>,
) -> Option<Nanoseconds> {
    let is_fair = order == Order::DeficitRoundRobin;
    let Some(Spanned { value: Length(quantum), span }) = given else {
        return is_fair.then_some(Queue::QUANTUM);
    };
    if !is_fair {
        let message = "this order has no quantum";
        let hint = "remove it, or write `order: deficit_round_robin`";
        found.push(wrong(message, span, "belongs to `deficit_round_robin`", hint));
        return None;
    }
    if quantum == Nanoseconds::ZERO {
        let message = "nobody is ever served with a quantum of nothing";
        found.push(wrong(message, span, "more than 0", "about as long as a request takes"));
    }
    Some(quantum)
}

impl OverloadPart {
    fn value(self, found: &mut Vec<Diagnostic>) -> Overload {
        let Length(target) = self.target.value;
        let Length(interval) = self.interval.value;
        if target > interval {
            let message = "requests could wait for longer in a queue that is overloaded";
            let label = format!("the interval is {interval}");
            let hint = "a target is shorter than its interval";
            found.push(wrong(message, self.target.span, &label, hint));
        }
        if interval == Nanoseconds::ZERO {
            let message = "every queue would be overloaded";
            let hint = "some times as long as a request takes";
            found.push(wrong(message, self.interval.span, "more than 0", hint));
        }
        Overload {
            target,
            interval,
            sheds: self.sheds.unwrap_or(true),
            law: self.law.unwrap_or_default(),
        }
    }
}
