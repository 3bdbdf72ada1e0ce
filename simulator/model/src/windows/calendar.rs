//! What gateways will hear, by the time at which they hear it: answers and refusals that give
//! permits back. Slots of time hold lists without order; a slot is taken as a whole when it is
//! over, and only who must know exactly looks into the present one.

use super::Answer;

/// Slots of a level.
const SLOTS: u64 = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 9;

/// Answers by time.
#[derive(Debug)]
pub(super) struct Calendar {
    /// A slot is 2 to the power of this long, in nanoseconds.
    slot_bits: u32,
    /// The present slot; all before are empty.
    slot: u64,
    /// The next 512 slots.
    near: Vec<Vec<Answer>>,
    /// The next 512 times 512 slots.
    far: Vec<Vec<Answer>>,
    /// What comes later still.
    later: Vec<Answer>,
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "slots are masked to the length of their tables"
)]
impl Calendar {
    /// An empty calendar with two to four slots in each of these lengths of time, in nanoseconds.
    /// Any length is correct; with more slots their ends don't stay near.
    pub(super) fn new(length: u64) -> Self {
        let level = || vec![Vec::new(); SLOTS as usize];
        Calendar {
            slot_bits: (length / 2).max(1).ilog2(),
            slot: 0,
            near: level(),
            far: level(),
            later: Vec::new(),
        }
    }

    /// Takes in an answer that isn't over yet.
    #[inline(always)]
    pub(super) fn insert(&mut self, answer: Answer) {
        let slot = (answer.at >> self.slot_bits).max(self.slot);
        if slot - self.slot < SLOTS {
            self.near[(slot % SLOTS) as usize].push(answer);
        } else {
            self.insert_far(slot, answer);
        }
    }

    #[inline(always)]
    fn insert_far(&mut self, slot: u64, answer: Answer) {
        let turn = slot >> SLOT_BITS;
        if turn - (self.slot >> SLOT_BITS) < SLOTS {
            self.far[(turn % SLOTS) as usize].push(answer);
        } else {
            self.later.push(answer);
        }
    }

    /// A slot that is over at a time, for [`Calendar::put_back`]; none if all of those are empty.
    #[inline(always)]
    pub(super) fn take_over(&mut self, now: u64) -> Option<Vec<Answer>> {
        let is_over = self.slot < now >> self.slot_bits;
        is_over.then(|| std::mem::take(&mut self.near[(self.slot % SLOTS) as usize]))
    }

    /// The slot that was taken last has been looked at.
    #[inline(always)]
    pub(super) fn put_back(&mut self, mut answers: Vec<Answer>) {
        answers.clear();
        self.near[(self.slot % SLOTS) as usize] = answers;
        self.slot += 1;
        if self.slot.is_multiple_of(SLOTS) {
            self.turn();
        }
    }

    /// Hands out everything up to a time, that instant included.
    #[cold]
    pub(super) fn settle(&mut self, now: u64, mut heard: impl FnMut(Answer)) {
        while let Some(answers) = self.take_over(now) {
            answers.iter().for_each(|answer| heard(*answer));
            self.put_back(answers);
        }
        let present = &mut self.near[(self.slot % SLOTS) as usize];
        let mut place = 0;
        while let Some(answer) = present.get(place).copied() {
            if answer.at <= now {
                heard(answer);
                present.swap_remove(place);
            } else {
                place += 1;
            }
        }
    }

    /// A turn of the near slots begins.
    #[cold]
    fn turn(&mut self) {
        let turn = self.slot >> SLOT_BITS;
        if turn.is_multiple_of(SLOTS) {
            for answer in std::mem::take(&mut self.later) {
                self.insert_far(answer.at >> self.slot_bits, answer);
            }
        }
        // Its capacity goes, too: long requests are few, and their slots would stay large.
        for answer in std::mem::take(&mut self.far[(turn % SLOTS) as usize]) {
            let slot = answer.at >> self.slot_bits;
            self.near[(slot % SLOTS) as usize].push(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Against a list; what is furthest ahead is beyond both levels.
        #[test]
        fn hands_out_what_a_list_does(
            length in 1u64 << 16..1 << 24,
            steps in proptest::collection::vec(
                (0u64..1 << 20, 0u32..36, 0u64..1 << 20, 0u32..32, any::<bool>()),
                1..200,
            ),
        ) {
            let mut calendar = Calendar::new(length);
            let mut list: Vec<Answer> = Vec::new();
            let mut early = 0;
            let mut now = 0u64;
            for (ahead, ahead_shift, step, step_shift, settles) in steps {
                let at = now + 1 + ((ahead << ahead_shift) >> 20);
                let answer = Answer { at, user: 0, gateway: 0, source: 0 };
                calendar.insert(answer);
                list.push(answer);
                now += (step << step_shift) >> 20;
                let mut heard = Vec::new();
                if settles {
                    calendar.settle(now, |answer| heard.push(answer));
                } else {
                    while let Some(answers) = calendar.take_over(now) {
                        heard.extend_from_slice(&answers);
                        calendar.put_back(answers);
                    }
                }
                for answer in &heard {
                    prop_assert!(answer.at <= now);
                }
                let due = list.iter().filter(|answer| answer.at <= now).count();
                early += heard.len();
                prop_assert!(early <= due);
                if settles {
                    prop_assert_eq!(early, due);
                }
            }
            let mut rest = 0;
            calendar.settle(now + (1 << 36), |_| rest += 1);
            prop_assert_eq!(early + rest, list.len());
        }
    }
}
