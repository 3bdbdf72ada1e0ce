//! What gateways will hear, by the time at which they hear it: answers and refusals that give
//! permits back. Slots of time hold lists without order; a slot is taken as a whole when it is
//! over, and only who must know exactly looks into the present one.
//!
//! There are as many entries as requests in flight, and each is written, perhaps moved once, and
//! read: they are kept in one word each, so that they stay near.

use simulator_kernel::wide::{self, Task};

use super::Answer;
use super::accounts::Lines;

/// Slots of a level.
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 9;

/// How an answer is kept in a word: its time after the beginning of its slot above, then its line (the
/// gateway, then the source) and its user.
#[derive(Debug, Clone, Copy)]
struct Layout {
    user_bits: u32,
    source_bits: u32,
    /// Of all three together.
    name_bits: u32,
    /// The bits of the user, and of all three.
    users: u64,
    names: u64,
}

#[expect(clippy::cast_possible_truncation, reason = "each part is masked, or is above all others")]
impl Layout {
    fn new(lines: Lines, most: Most) -> Self {
        let bits = |most: u32| u32::BITS - most.leading_zeros();
        let user_bits = bits(most.user);
        let name_bits = user_bits + bits(lines.line(most.gateway, most.source));
        let below = |bits: u32| (1 << bits) - 1;
        Layout {
            user_bits,
            source_bits: lines.source_bits(),
            name_bits,
            users: below(user_bits),
            names: below(name_bits),
        }
    }

    #[inline(always)]
    const fn pack(self, after: u64, answer: Answer) -> u64 {
        let Answer { user, line, .. } = answer;
        (after << self.name_bits) | ((line as u64) << self.user_bits) | user as u64
    }

    /// The time after the beginning of the slot.
    #[inline(always)]
    const fn after(self, word: u64) -> u64 {
        word >> self.name_bits
    }

    /// The same name at another time.
    #[inline(always)]
    const fn moved(self, word: u64, after: u64) -> u64 {
        (after << self.name_bits) | (word & self.names)
    }

    /// The bits of a word that say whose it is and at which gateway, and what they are for this one.
    #[inline(always)]
    const fn user_at(self, user: u32, gateway: u16) -> (u64, u64) {
        let below = self.source_bits + self.user_bits;
        let gateways = self.names >> below << below;
        (self.users | gateways, ((gateway as u64) << below) | user as u64)
    }

    #[inline(always)]
    const fn name(self, word: u64) -> Name {
        Name {
            user: (word & self.users) as u32,
            line: ((word & self.names) >> self.user_bits) as u32,
        }
    }
}

/// The highest numbers that answers may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) user: u32,
    pub(super) gateway: u16,
    pub(super) source: u16,
}

/// Whose permits are given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) user: u32,
    /// The gateway and the source, as [`Lines`] number them.
    pub(super) line: u32,
}

/// As many as there are: nobody has to look whether one is.
type Slots = Box<[Vec<u64>; SLOTS]>;

/// Answers by time.
#[derive(Debug)]
pub(super) struct Calendar {
    layout: Layout,
    /// A slot is 2 to the power of this long, in nanoseconds.
    slot_bits: u32,
    /// The present slot; all before are empty.
    slot: u64,
    /// The next 512 slots.
    near: Slots,
    /// The next 512 times 512 slots.
    far: Slots,
    /// What comes later still.
    later: Vec<Answer>,
    /// Of the present slot what is over, while it is looked at.
    over: Vec<u64>,
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "slots are masked to the length of their tables"
)]
impl Calendar {
    /// An empty calendar with two to four slots in each of these lengths of time, in nanoseconds.
    /// Any length is correct; with more slots their ends don't stay near. So slots are shorter if
    /// the words have too few bits left for their times: those of a far slot must fit.
    pub(super) fn new(length: u64, lines: Lines, most: Most) -> Self {
        let level = || Box::new(std::array::from_fn(|_| Vec::new()));
        let layout = Layout::new(lines, most);
        // Names have at most 56 bits, and 46 as soon as there is memory for the accounts.
        let room = (u64::BITS - SLOT_BITS).saturating_sub(layout.name_bits);
        Calendar {
            layout,
            slot_bits: (length / 2).max(1).ilog2().min(room),
            slot: 0,
            near: level(),
            far: level(),
            later: Vec::new(),
            over: Vec::new(),
        }
    }

    /// Takes in an answer that isn't over yet.
    #[inline(always)]
    pub(super) fn insert(&mut self, answer: Answer) {
        self.open().insert(answer);
    }

    /// Opens it for many answers.
    #[inline(always)]
    pub(super) fn open(&mut self) -> Open<'_> {
        let Calendar { layout, slot_bits, slot, near, far, later, .. } = self;
        Open { layout: *layout, slot_bits: *slot_bits, slot: *slot, near, far, later }
    }

    /// Hands out what is in slots that are over at a time.
    #[inline(always)]
    pub(super) fn pass(&mut self, now: u64, mut heard: impl FnMut(Name)) {
        let layout = self.layout;
        while self.slot < now >> self.slot_bits {
            let present = &mut self.near[self.slot as usize % SLOTS];
            for word in present.iter() {
                heard(layout.name(*word));
            }
            present.clear();
            self.slot += 1;
            if self.slot.is_multiple_of(SLOTS as u64) {
                self.turn();
            }
        }
    }

    /// Hands out an answer to this user at this gateway that is due, that instant included, and says
    /// whether there was one; also what is in slots that are over.
    pub(super) fn tell(
        &mut self,
        now: u64,
        (user, gateway): (u32, u16),
        mut heard: impl FnMut(Name),
    ) -> bool {
        let layout = self.layout;
        let mut is_told = false;
        self.pass(now, |name| {
            let its_gateway = name.line >> layout.source_bits;
            is_told |= (name.user, its_gateway) == (user, u32::from(gateway));
            heard(name);
        });
        if is_told {
            return true;
        }
        let (same, wanted) = layout.user_at(user, gateway);
        let until = now.saturating_sub(self.slot << self.slot_bits);
        let present = &mut self.near[self.slot as usize % SLOTS];
        let last = layout.moved(layout.names, until);
        let Some(place) = wide::run(Due { words: present, same, wanted, last }) else {
            return false;
        };
        heard(layout.name(present.swap_remove(place)));
        true
    }

    /// Hands out everything up to a time, that instant included.
    #[inline(never)]
    pub(super) fn settle(&mut self, now: u64, mut heard: impl FnMut(Name)) {
        self.pass(now, &mut heard);
        let present = &mut self.near[self.slot as usize % SLOTS];
        let until = now.saturating_sub(self.slot << self.slot_bits);
        // What is over is as good as chance, so both lists are written without a branch for it.
        self.over.resize(present.len().max(self.over.len()), 0);
        let (mut over, mut kept) = (0, 0);
        for place in 0..present.len() {
            let word = present[place];
            let is_over = self.layout.after(word) <= until;
            self.over[over] = word;
            present[kept] = word;
            over += usize::from(is_over);
            kept += usize::from(!is_over);
        }
        present.truncate(kept);
        for word in &self.over[..over] {
            heard(self.layout.name(*word));
        }
    }

    /// A turn of the near slots begins.
    #[cold]
    fn turn(&mut self) {
        let turn = self.slot >> SLOT_BITS;
        if turn.is_multiple_of(SLOTS as u64) {
            for answer in std::mem::take(&mut self.later) {
                let Open { layout, slot_bits, slot, far, later, .. } = self.open();
                insert_far((layout, slot_bits, slot), far, later, answer);
            }
        }
        // Its capacity goes, too: long requests are few, and their slots would stay large.
        let far = std::mem::take(&mut self.far[turn as usize % SLOTS]);
        for word in far {
            let after = self.layout.after(word);
            let slot = after >> self.slot_bits;
            let word = self.layout.moved(word, after - (slot << self.slot_bits));
            self.near[slot as usize % SLOTS].push(word);
        }
    }
}

/// A calendar with all at hand that an answer asks for.
#[derive(Debug)]
pub(super) struct Open<'a> {
    layout: Layout,
    slot_bits: u32,
    slot: u64,
    near: &'a mut [Vec<u64>; SLOTS],
    far: &'a mut [Vec<u64>; SLOTS],
    later: &'a mut Vec<Answer>,
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "slots are masked to the length of their tables"
)]
impl Open<'_> {
    /// Takes in an answer that isn't over yet.
    #[inline(always)]
    pub(super) fn insert(&mut self, answer: Answer) {
        let Open { layout, slot_bits, slot: present, .. } = *self;
        let slot = answer.at >> slot_bits;
        debug_assert!(slot >= present);
        if slot - present < SLOTS as u64 {
            let after = answer.at & ((1 << slot_bits) - 1);
            self.near[slot as usize % SLOTS].push(layout.pack(after, answer));
        } else {
            insert_far((layout, slot_bits, present), self.far, self.later, answer);
        }
    }
}

/// Takes in an answer that isn't near.
#[expect(clippy::indexing_slicing, reason = "slots are masked to the length of their tables")]
fn insert_far(
    (layout, slot_bits, present): (Layout, u32, u64),
    far: &mut [Vec<u64>; SLOTS],
    later: &mut Vec<Answer>,
    answer: Answer,
) {
    let turn = answer.at >> slot_bits >> SLOT_BITS;
    if turn - (present >> SLOT_BITS) < SLOTS as u64 {
        let after = answer.at - (turn << SLOT_BITS << slot_bits);
        far[turn as usize % SLOTS].push(layout.pack(after, answer));
    } else {
        later.push(answer);
    }
}

/// Looks for a word of a user at a gateway that isn't above the last one that is due.
struct Due<'a> {
    words: &'a [u64],
    /// The bits that say whose a word is, and what they are.
    same: u64,
    wanted: u64,
    /// Below 2⁶³, as all words of near slots are.
    last: u64,
}

impl Due<'_> {
    /// Zero if it is one.
    #[inline(always)]
    const fn miss(&self, word: u64) -> u64 {
        ((word & self.same) ^ self.wanted) | (self.last.wrapping_sub(word) >> 63)
    }
}

impl Task for Due<'_> {
    type Output = Option<usize>;

    /// Sixteen at a time: only whether one of them is it makes a branch.
    #[inline(always)]
    fn run(self) -> Option<usize> {
        let (chunks, rest) = self.words.as_chunks::<16>();
        for (chunk, number) in chunks.iter().zip(0..) {
            let mut hits = 0;
            for word in chunk {
                hits |= u64::from(self.miss(*word) == 0);
            }
            if hits != 0 {
                return chunk
                    .iter()
                    .position(|word| self.miss(*word) == 0)
                    .map(|place| number * 16 + place);
            }
        }
        let place = rest.iter().position(|word| self.miss(*word) == 0)?;
        Some(chunks.len() * 16 + place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(answer: &Answer) -> Name {
        let Answer { user, line, .. } = *answer;
        Name { user, line }
    }

    /// From names without bits to those that make slots shorter.
    fn most() -> impl Strategy<Value = Most> {
        let user = prop_oneof![Just(0), 1u32..5000, Just((1 << 21) - 1)];
        let gateway = prop_oneof![Just(0u16), 1u16..16, Just(1023)];
        let source = prop_oneof![Just(0u16), 1u16..20, Just(255)];
        (user, gateway, source).prop_map(|(user, gateway, source)| Most { user, gateway, source })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Against a list; what is furthest ahead is beyond both levels.
        #[test]
        fn hands_out_what_a_list_does(
            length in 1u64 << 16..1 << 24,
            most in most(),
            steps in proptest::collection::vec(
                (0u64..1 << 20, 0u32..36, 0u64..1 << 20, 0u32..32, any::<bool>()),
                1..200,
            ),
        ) {
            let lines = Lines::new(usize::from(most.source) + 1);
            let mut calendar = Calendar::new(length, lines, most);
            let mut list: Vec<Answer> = Vec::new();
            let mut told = Vec::new();
            let mut now = 0u64;
            for (ahead, ahead_shift, step, step_shift, settles) in steps {
                let at = now + 1 + ((ahead << ahead_shift) >> 20);
                // Neighbouring bits differ.
                let part = ahead ^ step;
                let gateway = u16::try_from(part / 3 % (u64::from(most.gateway) + 1)).unwrap();
                let source = u16::try_from(part / 5 % (u64::from(most.source) + 1)).unwrap();
                let answer = Answer {
                    at,
                    user: u32::try_from(part % (u64::from(most.user) + 1)).unwrap(),
                    line: lines.line(gateway, source),
                };
                calendar.insert(answer);
                list.push(answer);
                now += (step << step_shift) >> 20;
                let mut heard = Vec::new();
                // Of some user: he is told if one of his answers is due and not handed out.
                let mut rest = told.clone();
                let mut news = list.iter().filter(|answer| answer.at <= now).map(name).filter(|due| {
                    let known = rest.iter().position(|told| told == due);
                    known.map(|known| rest.swap_remove(known)).is_none()
                });
                let gateway_of = |name: &Name| name.line >> lines.source_bits();
                let is_his = |name: &Name| {
                    (name.user, gateway_of(name)) == (answer.user, u32::from(gateway))
                };
                let is_due = news.any(|news| is_his(&news));
                if step_shift % 2 == 0 {
                    let has = calendar.tell(now, (answer.user, gateway), |name| heard.push(name));
                    prop_assert_eq!((has, heard.iter().any(is_his)), (is_due, is_due));
                }
                if settles {
                    calendar.settle(now, |name| heard.push(name));
                } else {
                    calendar.pass(now, |name| heard.push(name));
                }
                told.extend_from_slice(&heard);
                told.sort_unstable();
                let mut due = list
                    .iter()
                    .filter(|answer| answer.at <= now)
                    .map(name)
                    .collect::<Vec<_>>();
                due.sort_unstable();
                if settles {
                    prop_assert_eq!(&told, &due);
                } else {
                    // Some of what is due, and nothing else.
                    let mut rest = due.iter();
                    prop_assert!(told.iter().all(|name| rest.any(|due| due == name)));
                }
            }
            calendar.settle(now + (1 << 36), |name| told.push(name));
            told.sort_unstable();
            let mut all: Vec<Name> = list.iter().map(name).collect();
            all.sort_unstable();
            prop_assert_eq!(told, all);
        }
    }
}
