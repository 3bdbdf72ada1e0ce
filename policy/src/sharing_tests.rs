//! Slots are lent late and called back early.

use proptest::prelude::*;

use super::*;

const RULES: Sharing = Sharing {
    lend_thousandths: 500,
    reserve_thousandths: 200,
    idle_for: Nanoseconds::from_seconds(10),
    give_back: Nanoseconds::from_seconds(2),
};

const IDLE: Observation =
    Observation { slots: 100, peak_busy: 20, waiting: 0, lent: 0, called: 0, borrowers: 200 };

fn at(seconds: u64) -> Time {
    Time::ZERO + Nanoseconds::from_seconds(seconds)
}

#[test]
fn the_least_that_was_spare_for_long_is_lent() {
    let mut state = State::default();
    let mut decide = |seen, seconds| decide(&RULES, seen, &mut state, at(seconds));
    let wait = |seconds| Action::Keep(Kept::NotForLong(Nanoseconds::from_seconds(seconds)));
    assert_eq!(decide(IDLE, 0), wait(10));
    // 60 busy and 12 in reserve leave 28.
    assert_eq!(decide(Observation { peak_busy: 60, ..IDLE }, 5), wait(5));
    assert_eq!(decide(IDLE, 10), Action::Lend(28));
    let lent = Observation { lent: 28, ..IDLE };
    assert_eq!(decide(lent, 11), wait(10), "the next ones wait as long again");
    assert_eq!(decide(lent, 21), Action::Lend(22), "at most half of all");
    let lent = Observation { lent: 50, ..IDLE };
    assert_eq!(decide(lent, 22), Action::Keep(Kept::LentAll));
    assert_eq!(decide(Observation { borrowers: 0, ..lent }, 23), Action::Keep(Kept::NoBorrower));
}

#[test]
fn the_reserve_is_called_back_at_once_and_only_once() {
    let mut state = State::default();
    let mut decide = |seen, seconds| decide(&RULES, seen, &mut state, at(seconds));
    let lent = Observation { lent: 40, peak_busy: 50, ..IDLE };
    assert!(matches!(decide(lent, 0), Action::Keep(Kept::NothingSpare)), "50 + 10 of 60");
    // 55 busy, 3 wait, 12 in reserve: 70 of the 60 that are left.
    let busy = Observation { peak_busy: 55, waiting: 3, ..lent };
    assert_eq!(decide(busy, 1), Action::CallBack(10, at(3)));
    assert_eq!(decide(Observation { called: 10, ..busy }, 2), Action::Keep(Kept::ComesBack));
    let worse = Observation { called: 10, waiting: 40, ..busy };
    assert_eq!(decide(worse, 2), Action::CallBack(30, at(4)), "no more than are lent");
    let all = Observation { called: 40, ..worse };
    assert_eq!(decide(all, 3), Action::Keep(Kept::NothingSpare));
}

proptest! {
    /// Synchronous work keeps, or gets back within the deadline, its peak and a reserve.
    #[test]
    fn synchronous_work_gets_what_it_needs(
        looks in prop::collection::vec((0u32..120, 0u32..10, 0u32..100), 1..200),
    ) {
        let mut state = State::default();
        let (mut lent, mut called) = (0u32, Vec::<(Time, u32)>::new());
        for (second, (peak_busy, waiting, borrowers)) in (0u64..).zip(looks) {
            let now = at(second);
            called.retain(|(due, count)| {
                if *due <= now {
                    lent -= count;
                }
                *due > now
            });
            let on_their_way: u32 = called.iter().map(|(_, count)| count).sum();
            let seen = Observation {
                slots: 100, peak_busy: peak_busy.min(100 - lent), waiting, lent,
                called: on_their_way, borrowers,
            };
            match decide(&RULES, seen, &mut state, now) {
                Action::Lend(count) => {
                    lent += count;
                    prop_assert!(count > 0 && count <= borrowers && lent <= 50);
                }
                Action::CallBack(count, due) => {
                    prop_assert!(count > 0 && due == now + RULES.give_back);
                    called.push((due, count));
                }
                Action::Keep(_) => {}
            }
            let coming: u32 = called.iter().map(|(_, count)| count).sum();
            let load = f64::from(seen.peak_busy + seen.waiting);
            let needed = load + (load * 0.2).ceil().max(1.0);
            let kept = f64::from(100 - (lent - coming));
            prop_assert!(kept >= needed.min(100.0), "{kept} of {needed}");
        }
    }
}
