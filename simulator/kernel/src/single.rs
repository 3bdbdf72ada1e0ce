//! Many targets of one instance each, first come, first served: a target is then little more than
//! the end of its last request (Lindley's recursion), and what balancers ask can be answered without
//! an event for each request that ends:
//!
//! - at random: nothing is asked;
//! - the best of a few: how many of the last eight ends are still to come ([`LastEnds`]);
//! - the fewest requests of all: as long as any target is idle, the first idle one takes the
//!   request, so that no target ever has two, and its one end says whether it is idle ([`idle`]).
//!
//! The rules themselves are asked (`policy::pick`). What these short answers can't say is left to
//! the caller, who is told how many requests have been served by then.

use policy::{Balance, Targets, Time, Words};

use crate::lanes::{self, Compares, Eight, LANES, Lanes};
use crate::row::{Requests, work};

/// The random words of consecutive requests for the balancer.
#[derive(Debug, Clone, Copy)]
pub struct Draws<'a> {
    /// The words.
    pub words: Words,
    /// Key of the first request.
    pub key: u64,
    /// The first word of each ([`Words::of_each`]).
    pub firsts: &'a [u64],
}

impl Draws<'_> {
    #[inline(always)]
    fn each(&self) -> impl Iterator<Item = policy::Draw> {
        let Draws { words, key, .. } = *self;
        let keys = (0u64..).map(move |place| key.wrapping_add(place));
        keys.zip(self.firsts).map(move |(key, first)| words.of_known(key, *first))
    }
}

/// Requests and where they go, as columns of the same length.
#[derive(Debug)]
pub struct Balanced<'a> {
    /// The requests.
    pub requests: Requests<'a>,
    /// To be told: who takes each.
    pub targets: &'a mut [u32],
    /// Words for the balancer.
    pub draws: Draws<'a>,
}

/// At random: `free` says when each target becomes free. No time is above `last`.
#[inline(always)]
pub fn random(free: &mut [u64], balanced: Balanced<'_>, last: u64) {
    let Balanced { requests, targets, draws } = balanced;
    let mut unseen = Unseen(u32::try_from(free.len()).unwrap_or(u32::MAX));
    for (target, draw) in targets.iter_mut().zip(draws.each()) {
        *target = policy::pick(Balance::Random, &mut unseen, &mut 0, draw).unwrap_or(0);
    }
    let arrivals = requests.at.iter().zip(requests.services);
    let outcomes = requests.starts.iter_mut().zip(requests.ends);
    for (((at, service), target), (start, end)) in arrivals.zip(targets.iter()).zip(outcomes) {
        let Some(free) = free.get_mut(*target as usize) else { continue };
        (*start, *end) = work(*free, *at, *service, last);
        *free = *end;
    }
}

/// Targets of which nothing but their number matters.
struct Unseen(u32);

impl Targets for Unseen {
    #[inline(always)]
    fn count(&self) -> u32 {
        self.0
    }

    fn load(&mut self, _target: u32) -> u32 {
        0
    }
}

/// Of each target when its last eight requests end, ascending.
#[derive(Debug)]
pub struct LastEnds {
    targets: Vec<Eight>,
}

impl LastEnds {
    /// So many idle targets.
    #[must_use]
    pub fn new(count: u32) -> Self {
        LastEnds { targets: vec![Eight([0; LANES]); count as usize] }
    }

    /// The ends of each target, ascending; what is past says nothing.
    pub fn each(&self) -> impl Iterator<Item = [u64; LANES]> {
        self.targets.iter().map(|eight| eight.0)
    }

    /// Takes requests in until one would be the ninth at its target: how many. No time is above
    /// `last`. The rule is one that asks for the loads of some targets.
    pub fn serve(&mut self, rule: Balance, balanced: Balanced<'_>, last: u64) -> usize {
        lanes::run(ServeLastEnds { targets: &mut self.targets, rule, balanced, last })
    }
}

struct ServeLastEnds<'a> {
    targets: &'a mut [Eight],
    rule: Balance,
    balanced: Balanced<'a>,
    last: u64,
}

/// Targets with their last ends at an instant.
struct AtLastEnds<'a, L> {
    lanes: L,
    targets: &'a [Eight],
    now: Time,
}

impl<L: Lanes> Targets for AtLastEnds<'_, L> {
    #[inline(always)]
    fn count(&self) -> u32 {
        u32::try_from(self.targets.len()).unwrap_or(u32::MAX)
    }

    #[inline(always)]
    fn load(&mut self, target: u32) -> u32 {
        let eight = self.targets.get(target as usize);
        eight.map_or(0, |eight| self.lanes.above(&eight.0, self.now).count_ones())
    }
}

impl Compares for ServeLastEnds<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> usize {
        const TWO: Balance = Balance::PowerOfChoices(policy::balance::Choices::TWO);
        // A rule that is known here leaves no question for the loop.
        match self.rule {
            TWO => self.serve(TWO, lanes),
            rule => self.serve(rule, lanes),
        }
    }
}

impl ServeLastEnds<'_> {
    #[inline(always)]
    fn serve<L: Lanes>(self, rule: Balance, lanes: L) -> usize {
        let ServeLastEnds {
            targets,
            balanced: Balanced { requests, targets: chosen, draws },
            last,
            ..
        } = self;
        let arrivals = requests.at.iter().zip(requests.services);
        let outcomes = requests.starts.iter_mut().zip(requests.ends).zip(chosen);
        let mut served = 0;
        for (((at, service), draw), ((start, end), chosen)) in
            arrivals.zip(draws.each()).zip(outcomes)
        {
            let mut seen = AtLastEnds { lanes, targets, now: Time(*at) };
            let Some(target) = policy::pick(rule, &mut seen, &mut 0, draw) else { break };
            let Some(eight) = targets.get_mut(target as usize) else { break };
            let [first, .., free] = eight.0;
            if first > *at {
                break;
            }
            (*start, *end) = work(free, *at, *service, last);
            *chosen = target;
            lanes.push(eight, *end);
            served += 1;
        }
        served
    }
}

/// The fewest requests of all: takes requests in as long as there is an idle target for each: how
/// many. `free` says when each target becomes free; none has more than one request. No time is above
/// `last`. The rule is one that asks for the target with the fewest requests.
pub fn idle(free: &mut [u64], rule: Balance, balanced: Balanced<'_>, last: u64) -> usize {
    lanes::run(ServeIdle { free, rule, balanced, last })
}

struct ServeIdle<'a> {
    free: &'a mut [u64],
    rule: Balance,
    balanced: Balanced<'a>,
    last: u64,
}

/// Targets with one request or none at an instant.
struct AtMostOne<'a, L> {
    lanes: L,
    free: &'a [u64],
    now: Time,
}

impl<L: Lanes> AtMostOne<'_, L> {
    /// The first idle target of a part.
    #[inline(always)]
    fn first_idle(&self, free: &[u64]) -> Option<usize> {
        /// So many at a time that the first look is nearly always enough where a fifth is idle.
        const AT_ONCE: usize = 2 * LANES;
        let (looks, rest) = free.as_chunks::<AT_ONCE>();
        for (look, free) in looks.iter().enumerate() {
            let (low, high) = free.split_at(LANES);
            let (Some(low), Some(high)) = (low.first_chunk(), high.first_chunk()) else { break };
            let [low, high] = [low, high].map(|free| self.lanes.above(free, self.now));
            let busy = low | high << LANES;
            if busy != (1 << AT_ONCE) - 1 {
                return Some(look * AT_ONCE + busy.trailing_ones() as usize);
            }
        }
        let place = rest.iter().position(|free| *free <= self.now.0)?;
        Some(looks.len() * AT_ONCE + place)
    }
}

impl<L: Lanes> Targets for AtMostOne<'_, L> {
    #[inline(always)]
    fn count(&self) -> u32 {
        u32::try_from(self.free.len()).unwrap_or(u32::MAX)
    }

    #[inline(always)]
    fn load(&mut self, target: u32) -> u32 {
        self.free.get(target as usize).map_or(0, |free| u32::from(*free > self.now.0))
    }

    #[inline(always)]
    fn least_loaded(&mut self, from: u32) -> Option<u32> {
        self.shortest(from)
    }

    /// None if there is no idle one: then it matters how many requests each has.
    #[inline(always)]
    fn shortest(&mut self, from: u32) -> Option<u32> {
        let (before, behind) = self.free.split_at_checked(from as usize)?;
        let found = match self.first_idle(behind) {
            Some(place) => from as usize + place,
            None => self.first_idle(before)?,
        };
        u32::try_from(found).ok()
    }
}

impl Compares for ServeIdle<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> usize {
        match self.rule {
            Balance::JoinShortestQueue => self.serve(Balance::JoinShortestQueue, lanes),
            rule => self.serve(rule, lanes),
        }
    }
}

impl ServeIdle<'_> {
    #[inline(always)]
    fn serve<L: Lanes>(self, rule: Balance, lanes: L) -> usize {
        let ServeIdle { free, balanced: Balanced { requests, targets, draws }, last, .. } = self;
        let arrivals = requests.at.iter().zip(requests.services);
        let outcomes = requests.starts.iter_mut().zip(requests.ends).zip(targets);
        let mut served = 0;
        for (((at, service), draw), ((start, end), chosen)) in
            arrivals.zip(draws.each()).zip(outcomes)
        {
            let mut seen = AtMostOne { lanes, free, now: Time(*at) };
            let Some(target) = policy::pick(rule, &mut seen, &mut 0, draw) else { break };
            let Some(free) = free.get_mut(target as usize) else { break };
            (*start, *end) = work(*free, *at, *service, last);
            (*free, *chosen) = (*end, target);
            served += 1;
        }
        served
    }
}

#[cfg(test)]
mod tests {
    use policy::balance::Choices;
    use policy::{Nanoseconds, Purpose};
    use proptest::prelude::*;

    use super::*;

    const LAST: u64 = 1 << 62;

    /// Targets as lists of ends, which are all looked at.
    struct Lists {
        ends: Vec<Vec<u64>>,
        now: u64,
    }

    impl Targets for Lists {
        fn count(&self) -> u32 {
            u32::try_from(self.ends.len()).unwrap()
        }

        fn load(&mut self, target: u32) -> u32 {
            let ends = &self.ends[target as usize];
            u32::try_from(ends.iter().filter(|end| **end > self.now).count()).unwrap()
        }
    }

    /// Where each request goes, and when it begins and ends; and the most requests that were at one
    /// target just after each.
    fn one_by_one(
        count: u32,
        rule: Balance,
        words: Words,
        requests: &[(u64, u64)],
    ) -> Vec<(u32, u64, u64, u32)> {
        let mut lists = Lists { ends: vec![Vec::new(); count as usize], now: 0 };
        let mut served = Vec::new();
        for ((at, service), key) in requests.iter().zip(0..) {
            lists.now = *at;
            let target = policy::pick(rule, &mut lists, &mut 0, words.of(key)).unwrap();
            let ends = &mut lists.ends[target as usize];
            let start = ends.last().copied().unwrap_or(0).max(*at);
            ends.push(start + service);
            served.push((target, start, start + service, lists.load(target)));
        }
        served
    }

    fn rule() -> impl Strategy<Value = Balance> {
        prop_oneof![
            Just(Balance::Random),
            (2u8..=8).prop_map(|choices| Balance::PowerOfChoices(Choices::new(choices).unwrap())),
            Just(Balance::JoinShortestQueue),
            Just(Balance::LeastLoaded),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn blocks_are_the_same_as_one_by_one(
            seed in any::<u64>(),
            count in prop_oneof![2u32..12, 12u32..60],
            rule in rule(),
            gap in 1u64..30,
            service in 1u64..400,
            length in 0u64..150,
        ) {
            let [gaps, services] = [Purpose::Arrival, Purpose::Service]
                .map(|purpose| Words::new(seed, purpose, 0));
            let words = Words::new(seed, Purpose::Balance, 0);
            let mut now = 0;
            let requests: Vec<(u64, u64)> = (0..length)
                .map(|number| {
                    now += gaps.at(number) % gap;
                    (now, 1 + services.at(number) % service)
                })
                .collect();
            let wanted = one_by_one(count, rule, words, &requests);

            let (at, services): (Vec<u64>, Vec<u64>) = requests.iter().copied().unzip();
            let (mut starts, mut ends) = (vec![0; at.len()], vec![0; at.len()]);
            let (mut targets, mut firsts) = (vec![0; at.len()], vec![0; at.len()]);
            words.of_each(0, &mut firsts);
            let mut free = vec![0; count as usize];
            let mut last_ends = LastEnds::new(count);
            let balanced = Balanced {
                requests: Requests {
                    at: &at,
                    services: &services,
                    starts: &mut starts,
                    ends: &mut ends,
                },
                targets: &mut targets,
                draws: Draws { words, key: 0, firsts: &firsts },
            };
            let (served, most) = match rule {
                Balance::Random => {
                    random(&mut free, balanced, LAST);
                    (at.len(), u32::MAX)
                }
                Balance::PowerOfChoices(_) => (last_ends.serve(rule, balanced, LAST), 8),
                _ => (idle(&mut free, rule, balanced, LAST), 1),
            };
            let within = wanted.iter().take_while(|(.., load)| *load <= most).count();
            prop_assert_eq!(served, within);
            for (place, (target, start, end, _)) in wanted.iter().take(served).enumerate() {
                prop_assert_eq!((targets[place], starts[place], ends[place]), (*target, *start, *end));
            }
            for (target, last_ends) in last_ends.each().enumerate() {
                let of_target = wanted.iter().take(served).filter(|(to, ..)| *to as usize == target);
                let all: Vec<u64> = of_target.map(|(_, _, end, _)| *end).collect();
                let known: Vec<u64> = last_ends.into_iter().filter(|end| *end > 0).collect();
                if let Balance::PowerOfChoices(_) = rule {
                    prop_assert_eq!(known.as_slice(), &all[all.len().saturating_sub(LANES)..]);
                }
            }
        }
    }

    #[test]
    fn nothing_ends_after_the_last_time() {
        let mut free = [LAST - 5, 0];
        let balanced = Balanced {
            requests: Requests {
                at: &[LAST - 9],
                services: &[Nanoseconds::PER_SECOND],
                starts: &mut [0],
                ends: &mut [0],
            },
            targets: &mut [7],
            draws: Draws { words: Words::new(1, Purpose::Balance, 0), key: 0, firsts: &[0] },
        };
        assert_eq!(idle(&mut free, Balance::JoinShortestQueue, balanced, LAST), 1);
        assert_eq!(free, [LAST - 5, LAST]);
    }
}
