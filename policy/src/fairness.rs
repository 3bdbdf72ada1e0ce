//! Whose request is served next where users take turns: deficit round robin (Shreedhar and Varghese,
//! "Efficient fair queueing using deficit round robin", SIGCOMM 1995). Each user who has requests in
//! the queue gets a quantum of work in each round, may save what is too little for the next request,
//! and loses what is left when nothing of theirs waits any more. So a user with a backlog doesn't
//! delay others by more than a request each, and shares are of work, not of requests.
//!
//! A round in which nobody could be served would have to be repeated: the rounds that are missing are
//! counted instead, so that a decision takes two passes over the users who wait, however long their
//! requests are.

use std::collections::VecDeque;

use crate::Nanoseconds;

/// Users whose requests wait in one queue, in the order of their turns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Turns {
    users: VecDeque<Turn>,
    /// Whether the first one has got the quantum of this turn.
    is_credited: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    user: u32,
    /// Work that may be done for the user now.
    deficit: Nanoseconds,
}

impl Turns {
    /// A request comes of a user of whom none waits: the turn is after those of all others.
    pub fn join(&mut self, user: u32) {
        self.users.push_back(Turn { user, deficit: Nanoseconds::ZERO });
    }

    /// No request of a user waits any more.
    pub fn leave(&mut self, user: u32) {
        let place = self.users.iter().position(|turn| turn.user == user);
        if let Some(place) = place {
            self.users.remove(place);
            self.is_credited &= place > 0;
        }
    }

    /// Nobody waits any more.
    pub fn clear(&mut self) {
        *self = Turns::default();
    }

    /// The user whose oldest request is served next, which is paid for. `cost` is how long that of a
    /// user usually takes; a quantum of nothing is one of a nanosecond.
    pub fn next(
        &mut self,
        quantum: Nanoseconds,
        mut cost: impl FnMut(u32) -> Nanoseconds,
    ) -> Option<u32> {
        let quantum = Nanoseconds(quantum.0.max(1));
        if let Some(user) = self.pass(quantum, &mut cost) {
            return Some(user);
        }
        // Everybody has had a turn, and nobody could pay: what is missing for the first who can.
        let rounds = |turn: &Turn, cost: Nanoseconds| {
            cost.0.saturating_sub(turn.deficit.0).div_ceil(quantum.0)
        };
        let missing = self.users.iter().map(|turn| rounds(turn, cost(turn.user))).min()?;
        let skipped = quantum.0.saturating_mul(missing.saturating_sub(1));
        for turn in &mut self.users {
            turn.deficit = Nanoseconds(turn.deficit.0.saturating_add(skipped));
        }
        self.pass(quantum, &mut cost)
    }

    /// One turn of each user, until one can pay.
    fn pass(
        &mut self,
        quantum: Nanoseconds,
        cost: &mut impl FnMut(u32) -> Nanoseconds,
    ) -> Option<u32> {
        // Who has got the quantum already comes again at the end of the round.
        for _ in 0..self.users.len() + usize::from(self.is_credited) {
            let first = self.users.front_mut()?;
            if !self.is_credited {
                first.deficit = Nanoseconds(first.deficit.0.saturating_add(quantum.0));
                self.is_credited = true;
            }
            let cost = cost(first.user);
            if cost <= first.deficit {
                first.deficit = Nanoseconds(first.deficit.0 - cost.0);
                return Some(first.user);
            }
            self.users.rotate_left(1);
            self.is_credited = false;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use proptest::prelude::*;

    use super::*;

    /// The algorithm as the paper has it: lists, a loop without an end, and no arithmetic.
    #[derive(Default)]
    struct Paper {
        active: VecDeque<u32>,
        deficits: BTreeMap<u32, u64>,
        queues: BTreeMap<u32, VecDeque<u64>>,
        serving: bool,
    }

    impl Paper {
        fn enqueue(&mut self, user: u32, cost: u64) {
            let queue = self.queues.entry(user).or_default();
            queue.push_back(cost);
            if queue.len() == 1 {
                self.active.push_back(user);
                self.deficits.insert(user, 0);
            }
        }

        fn dequeue(&mut self, quantum: u64) -> Option<(u32, u64)> {
            loop {
                let user = *self.active.front()?;
                if !self.serving {
                    *self.deficits.get_mut(&user).unwrap() += quantum;
                    self.serving = true;
                }
                let queue = self.queues.get_mut(&user).unwrap();
                if queue[0] <= self.deficits[&user] {
                    let cost = queue.pop_front().unwrap();
                    *self.deficits.get_mut(&user).unwrap() -= cost;
                    if queue.is_empty() {
                        self.active.pop_front();
                        self.serving = false;
                    }
                    return Some((user, cost));
                }
                self.active.rotate_left(1);
                self.serving = false;
            }
        }
    }

    proptest! {
        #[test]
        fn turns_are_those_of_the_paper(
            quantum in 1u64..40,
            steps in proptest::collection::vec((0u32..5, 0u64..100, any::<bool>()), 0..200),
        ) {
            let mut paper = Paper::default();
            let mut turns = Turns::default();
            let mut queues: BTreeMap<u32, VecDeque<u64>> = BTreeMap::new();
            let serve = |turns: &mut Turns, queues: &mut BTreeMap<u32, VecDeque<u64>>| {
                let head = |user: u32| Nanoseconds(queues[&user][0]);
                let user = turns.next(Nanoseconds(quantum), head)?;
                let queue = queues.get_mut(&user).unwrap();
                let cost = queue.pop_front().unwrap();
                if queue.is_empty() {
                    turns.leave(user);
                }
                Some((user, cost))
            };
            for (user, cost, comes) in steps {
                if comes {
                    let queue = queues.entry(user).or_default();
                    queue.push_back(cost);
                    if queue.len() == 1 {
                        turns.join(user);
                    }
                    paper.enqueue(user, cost);
                } else {
                    prop_assert_eq!(serve(&mut turns, &mut queues), paper.dequeue(quantum));
                }
            }
            while let Some(served) = paper.dequeue(quantum) {
                prop_assert_eq!(serve(&mut turns, &mut queues), Some(served));
            }
            prop_assert_eq!(turns, Turns::default());
        }
    }

    /// Two users with a backlog, one with requests ten times as long: each gets half of the work.
    #[test]
    fn shares_are_of_work() {
        let mut turns = Turns::default();
        turns.join(1);
        turns.join(2);
        let cost = |user| Nanoseconds(if user == 1 { 100 } else { 10 });
        let mut work = [0u64; 3];
        for _ in 0..1_100 {
            let user = turns.next(Nanoseconds(50), cost).unwrap();
            work[user as usize] += cost(user).0;
        }
        assert_eq!(work, [0, 10_000, 10_000]);
    }

    /// However long requests are, a decision ends soon.
    #[test]
    fn rounds_are_counted_and_not_played() {
        let mut turns = Turns::default();
        (0..100).for_each(|user| turns.join(user));
        let mut asked = 0;
        let day = Nanoseconds::from_seconds(86_400);
        let chosen = turns.next(Nanoseconds(1), |user| {
            asked += 1;
            Nanoseconds(day.0 + u64::from(99 - user))
        });
        assert_eq!((chosen, asked), (Some(99), 300));
        turns.clear();
        assert_eq!(turns.next(Nanoseconds(1), |_| day), None);
    }
}
