//! The bound of a queue, by class. A target is what has the queue: the agent of a machine, one
//! instance, or an app as a whole ([`QueueScope`]); which requests count against a bound is said by [`Counts`] and
//! [`Classes`].

use serde::{Deserialize, Serialize};

use crate::overload::Overload;
use crate::prediction::LongestWait;
use crate::{Class, Nanoseconds, Refusal};

/// The rules of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// The most requests for which a free one queues; [`Queue::UNLIMITED`] if there is no bound.
    pub free: u32,
    /// Likewise for a paid one.
    pub paid: u32,
    /// What has a queue.
    pub scope: QueueScope,
    /// What counts.
    pub counts: Counts,
    /// Whose requests count.
    pub classes: Classes,
    /// Who is served first.
    pub order: Order,
    /// The work of a user in each round of [`Order::DeficitRoundRobin`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantum: Option<Nanoseconds>,
    /// A bound by how long a request would probably wait, besides that by numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_wait: Option<LongestWait>,
    /// What is done about a queue that doesn't get empty any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overload: Option<Overload>,
}

/// What has a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueScope {
    /// Each machine has one queue for the instances of an app on it.
    Node,
    /// Each instance has its own.
    Instance,
    /// All instances of an app have one, at the gateways: one that has nothing to do takes the next
    /// request (late binding; Ousterhout et al., "Sparrow", SOSP 2013). No balancer chooses. What waits
    /// fails when nobody is left to take it.
    Central,
}

/// What counts against a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// Requests that wait. One that can start at once is never refused.
    Waiting,
    /// Requests that wait or are worked on.
    InSystem,
}

/// Whose requests count against the bound of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Classes {
    /// Those of all classes: one line in front of the target.
    Together,
    /// Those of the same class only.
    Apart,
}

/// Who is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Who came first.
    Fifo,
    /// Paid before free, within a class who came first. Work that has begun is not interrupted.
    Priority,
    /// Users take turns ([`crate::fairness`]), whatever they pay; of each who came first.
    DeficitRoundRobin,
    /// Who came first, or who came last while the queue is overloaded ([`crate::overload`]); in a
    /// queue without such rules always who came first.
    AdaptiveLifo,
}

/// What stands at a target, as far as the rules count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Requests that count: see [`Queue::counted`].
    pub counted: u32,
    /// Whether an instance is idle, so that the request would start at once.
    pub idle: bool,
}

/// What there is at a target; tables are by class, in the order of [`Class::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Present {
    /// Requests that wait.
    pub waiting: [u32; 2],
    /// Requests that are worked on.
    pub running: [u32; 2],
    /// Requests that were let in and can't begin yet: they or their sources are still on the way.
    pub coming: [u32; 2],
    /// How many more requests could begin at once.
    pub idle: u32,
}

impl Queue {
    /// No bound.
    pub const UNLIMITED: u32 = u32::MAX;

    /// A queue that takes everybody.
    pub const OPEN: Queue = Queue {
        free: Queue::UNLIMITED,
        paid: Queue::UNLIMITED,
        scope: QueueScope::Node,
        counts: Counts::Waiting,
        classes: Classes::Together,
        order: Order::Fifo,
        quantum: None,
        longest_wait: None,
        overload: None,
    };

    /// The work of a user in each round, if nothing else is said: about an image.
    pub const QUANTUM: Nanoseconds = Nanoseconds::from_milliseconds(50);

    /// What drops requests that wait, if anything does.
    #[must_use]
    pub fn sheds(&self) -> Option<Overload> {
        self.overload.filter(|overload| overload.sheds)
    }

    /// The bound of a class.
    #[inline(always)]
    #[must_use]
    pub const fn bound(&self, class: Class) -> u32 {
        match class {
            Class::Free => self.free,
            Class::Paid => self.paid,
        }
    }

    /// How many of the requests at a target count against the bound of `class`; both tables are in
    /// the order of [`Class::ALL`].
    #[inline(always)]
    #[must_use]
    pub const fn counted(&self, class: Class, waiting: [u32; 2], running: [u32; 2]) -> u32 {
        let [free, paid] = match self.counts {
            Counts::Waiting => waiting,
            Counts::InSystem => {
                [waiting[0].saturating_add(running[0]), waiting[1].saturating_add(running[1])]
            }
        };
        self.of_counted_classes(class, [free, paid])
    }

    /// The part of a table that counts for a class.
    #[inline(always)]
    const fn of_counted_classes(&self, class: Class, [free, paid]: [u32; 2]) -> u32 {
        match (self.classes, class) {
            (Classes::Together, _) => free.saturating_add(paid),
            (Classes::Apart, Class::Free) => free,
            (Classes::Apart, Class::Paid) => paid,
        }
    }

    /// What stands at a target for a request of `class`.
    ///
    /// A request is let in or refused before anything is done for it, so those whose sources are
    /// still being downloaded count as what they would be if they were there already: an idle
    /// instance is taken by each of them, and those for which none is left wait. Otherwise a burst
    /// would pass the bound of a queue while it downloads.
    #[inline(always)]
    #[must_use]
    pub const fn standing(&self, class: Class, at: Present) -> Waiting {
        let coming = self.of_counted_classes(class, at.coming);
        let there = self.counted(class, at.waiting, at.running);
        let more = match self.counts {
            Counts::Waiting => coming.saturating_sub(at.idle),
            Counts::InSystem => coming,
        };
        Waiting { counted: there.saturating_add(more), idle: at.idle > coming }
    }
}

/// Whether a request may queue at a target.
///
/// # Errors
/// [`Refusal::QueueFull`].
#[inline(always)]
pub const fn enqueue(rules: &Queue, class: Class, at: Waiting) -> Result<(), Refusal> {
    let starts = at.idle && matches!(rules.counts, Counts::Waiting);
    let bound = rules.bound(class);
    if starts || bound == Queue::UNLIMITED || at.counted < bound {
        Ok(())
    } else {
        Err(Refusal::QueueFull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All combinations of small numbers against the sentence that a user would say.
    #[test]
    fn small_queues_are_as_their_words_say() {
        let mut checked = 0;
        for number in 0..4u32.pow(4) {
            let at = |place: u32| number / 4u32.pow(place) % 4;
            let (waiting, running) = ([at(0), at(1)], [at(2), at(3)]);
            for bound in 0..6 {
                for counts in [Counts::Waiting, Counts::InSystem] {
                    for classes in [Classes::Together, Classes::Apart] {
                        for class in Class::ALL {
                            for idle in [false, true] {
                                let mut rules = Queue { counts, classes, ..Queue::OPEN };
                                match class {
                                    Class::Free => rules.free = bound,
                                    Class::Paid => rules.paid = bound,
                                }
                                let counted = rules.counted(class, waiting, running);
                                let verdict = enqueue(&rules, class, Waiting { counted, idle });
                                let line: Vec<(Class, bool)> = line(waiting, running);
                                let before = line
                                    .iter()
                                    .filter(|(other, _)| {
                                        classes == Classes::Together || *other == class
                                    })
                                    .filter(|(_, waits)| *waits || counts == Counts::InSystem)
                                    .count();
                                let may =
                                    before < bound as usize || (idle && counts == Counts::Waiting);
                                assert_eq!(verdict.is_ok(), may, "{rules:?} {line:?}");
                                checked += 1;
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(checked, 256 * 6 * 2 * 2 * 2 * 2);
    }

    /// Small numbers of what is on the way against a walk through it: each takes an idle instance
    /// as long as there is one, and waits then.
    #[test]
    fn what_is_on_the_way_counts_as_if_it_were_there() {
        for number in 0..4u32.pow(4) {
            let at = |place: u32| number / 4u32.pow(place) % 4;
            let (waiting, coming, idle) = (at(0), [at(1), at(2)], at(3));
            // Nothing waits beside an idle instance.
            let waiting = if idle > 0 { [0, 0] } else { [waiting, 1] };
            let running = [2, 1];
            for classes in [Classes::Together, Classes::Apart] {
                for class in Class::ALL {
                    let (mut left, mut waits, mut all) = (idle, 0, 0);
                    for other in Class::ALL {
                        if classes == Classes::Apart && other != class {
                            continue;
                        }
                        waits += waiting[other.index()];
                        all += waiting[other.index()] + running[other.index()];
                        for _ in 0..coming[other.index()] {
                            all += 1;
                            if left > 0 {
                                left -= 1;
                            } else {
                                waits += 1;
                            }
                        }
                    }
                    let rules = Queue { classes, ..Queue::OPEN };
                    let present = Present { waiting, running, coming, idle };
                    let seen = rules.standing(class, present);
                    assert_eq!(seen, Waiting { counted: waits, idle: left > 0 }, "{present:?}");
                    let rules = Queue { counts: Counts::InSystem, ..rules };
                    assert_eq!(rules.standing(class, present).counted, all, "{present:?}");
                }
            }
        }
    }

    /// The requests one by one: class, and whether it waits.
    fn line(waiting: [u32; 2], running: [u32; 2]) -> Vec<(Class, bool)> {
        let mut line = Vec::new();
        for class in Class::ALL {
            line.extend((0..waiting[class.index()]).map(|_| (class, true)));
            line.extend((0..running[class.index()]).map(|_| (class, false)));
        }
        line
    }
}
