//! Slots are lent late and called back early.

use proptest::prelude::*;

use super::*;

const RULES: Sharing = Sharing {
    lend_thousandths: 500,
    reserve_thousandths: 200,
    idle_for: Nanoseconds::from_seconds(10),
    give_back: Nanoseconds::from_seconds(2),
    unfinished: Unfinished::Requeue,
    interval: Nanoseconds::from_seconds(1),
};

const IDLE: Observation =
    Observation { slots: 100, peak: 20, lent: 0, called: 0, unused: 0, borrowers: 200 };

fn at(seconds: u64) -> Time {
    Time::ZERO + Nanoseconds::from_seconds(seconds)
}

fn call(count: u32, due: u64, why: Called) -> Action {
    Action::CallBack { count, due: at(due), why }
}

#[test]
fn the_least_that_was_spare_for_long_is_lent() {
    let mut state = State::default();
    let mut decide = |seen, seconds| decide(&RULES, seen, &mut state, at(seconds));
    let wait = |seconds| Action::Keep(Kept::NotForLong(Nanoseconds::from_seconds(seconds)));
    assert_eq!(decide(IDLE, 0), wait(10));
    // 60 present and 12 in reserve leave 28.
    assert_eq!(decide(Observation { peak: 60, ..IDLE }, 5), wait(5));
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
    let lent = Observation { lent: 40, peak: 50, ..IDLE };
    assert!(matches!(decide(lent, 0), Action::Keep(Kept::NothingSpare)), "50 + 10 of 60");
    // 58 present, 12 in reserve: 70 of the 60 that are left.
    let busy = Observation { peak: 58, ..lent };
    assert_eq!(decide(busy, 1), call(10, 3, Called::Needed));
    assert_eq!(decide(Observation { called: 10, ..busy }, 2), Action::Keep(Kept::ComesBack));
    let worse = Observation { called: 10, peak: 95, ..busy };
    assert_eq!(decide(worse, 2), call(30, 4, Called::Needed), "no more than are lent");
    let all = Observation { called: 40, ..worse };
    assert_eq!(decide(all, 3), Action::Keep(Kept::NothingSpare));
}

#[test]
fn what_nobody_uses_for_long_comes_back() {
    let mut state = State::default();
    let mut decide = |seen, seconds| decide(&RULES, seen, &mut state, at(seconds));
    let lent = Observation { lent: 40, borrowers: 0, ..IDLE };
    let unused = Observation { unused: 7, ..lent };
    assert_eq!(decide(unused, 0), Action::Keep(Kept::NoBorrower));
    assert_eq!(decide(Observation { unused: 3, ..lent }, 5), Action::Keep(Kept::NoBorrower));
    assert_eq!(decide(Observation { unused: 9, ..lent }, 10), call(3, 12, Called::Unused));
    assert_eq!(decide(unused, 11), Action::Keep(Kept::NoBorrower));
    // Work that comes in between uses them.
    let wanted = Observation { borrowers: 2, ..unused };
    assert!(matches!(decide(wanted, 15), Action::Lend(_)));
    assert_eq!(decide(unused, 21), Action::Keep(Kept::NoBorrower));
    assert_eq!(decide(unused, 31), call(7, 33, Called::Unused));
}

#[test]
fn the_cheapest_return_is_chosen() {
    let works = |seconds, lenders| Loan { works_since: Some(at(seconds)), lenders };
    let idle = |lenders| Loan { works_since: None, lenders };
    let choose = |loans: &[Loan]| choose((0..).zip(loans.iter().copied()));
    assert_eq!(choose(&[works(9, 1), idle(8), idle(7)]), Some(2), "nothing is lost");
    assert_eq!(choose(&[works(9, 4), works(1, 3), works(2, 3)]), Some(2), "where they are missed");
    assert_eq!(choose(&[works(5, 3), works(5, 3)]), Some(0));
    assert_eq!(choose(&[]), None);
}

proptest! {
    /// Synchronous work keeps, or gets back within the deadline, its peak and a reserve; what is
    /// called back isn't lent again before it was spare for long, and what is lent isn't called back
    /// as unused before it was unused for as long.
    #[test]
    fn synchronous_work_gets_what_it_needs(
        looks in prop::collection::vec((0u32..110, 0u32..6, 0u32..50), 1..200),
    ) {
        let mut state = State::default();
        let (mut lent, mut called) = (0u32, Vec::<(Time, u32)>::new());
        let (mut last_lent, mut last_called) = (None, None);
        for (second, (peak, borrowers, unused)) in (0u64..).zip(looks) {
            let now = at(second);
            called.retain(|(due, count)| {
                if *due <= now {
                    lent -= count;
                }
                *due > now
            });
            let on_their_way: u32 = called.iter().map(|(_, count)| count).sum();
            let unused = unused.min(lent - on_their_way);
            let seen =
                Observation { slots: 100, peak, lent, called: on_their_way, unused, borrowers };
            let long_ago = |last: Option<Time>| {
                last.is_none_or(|last: Time| now.since(last) >= RULES.idle_for)
            };
            match decide(&RULES, seen, &mut state, now) {
                Action::Lend(count) => {
                    lent += count;
                    prop_assert!(count > 0 && count <= borrowers && lent <= 50);
                    prop_assert!(long_ago(last_called) && long_ago(last_lent));
                    last_lent = Some(now);
                }
                Action::CallBack { count, due, why } => {
                    prop_assert!(count > 0 && due == now + RULES.give_back);
                    prop_assert!(count <= lent - on_their_way);
                    called.push((due, count));
                    match why {
                        Called::Needed => last_called = Some(now),
                        Called::Unused => {
                            prop_assert!(borrowers == 0 && count <= unused);
                            prop_assert!(long_ago(last_lent));
                        }
                    }
                }
                Action::Keep(_) => {}
            }
            let coming: u32 = called.iter().map(|(_, count)| count).sum();
            let load = f64::from(peak);
            let needed = load + (load * 0.2).ceil().max(1.0);
            let kept = f64::from(100 - (lent - coming));
            prop_assert!(kept >= needed.min(100.0), "{kept} of {needed}");
        }
    }
}
