//! Waits, silent machines and the freeze, by table and against sums written another way.

use proptest::prelude::*;

use super::*;
use crate::config::Policy;

fn rules() -> Repair {
    Repair {
        back_off: Nanoseconds::from_seconds(1),
        back_off_most: Nanoseconds::from_seconds(60),
        back_off_forget: Nanoseconds::from_seconds(600),
        replace_unreachable_after: Nanoseconds::from_seconds(100),
        forget_unreachable_after: Nanoseconds::from_seconds(1000),
        freeze_above_thousandths: 200,
        freeze_most: Nanoseconds::from_seconds(300),
        ..Policy::recommended().repair
    }
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Nanoseconds::from_seconds(seconds)
}

#[test]
fn waits_double_up_to_the_most() {
    let rules = rules();
    let mut back_off = BackOff::default();
    assert_eq!(back_off.left(&rules, at(5)), Nanoseconds::ZERO);
    let mut now = at(10);
    for wait in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        back_off.failed(&rules, now);
        assert_eq!(back_off.left(&rules, now), Nanoseconds::from_seconds(wait));
        now = now + Nanoseconds::from_seconds(wait);
        assert_eq!(back_off.left(&rules, now), Nanoseconds::ZERO);
    }
    back_off.failed(&rules, now + rules.back_off_forget);
    assert_eq!(back_off.failures, 1);
}

#[test]
fn failures_within_a_wait_are_one() {
    let rules = rules();
    let mut back_off = BackOff::default();
    for _ in 0..50 {
        back_off.failed(&rules, at(10));
    }
    assert_eq!(back_off, BackOff { failures: 1, last: at(10) });
    let mut most = BackOff { failures: u32::MAX, last: at(10) };
    assert_eq!(most.left(&rules, at(10)), rules.back_off_most);
    most.failed(&rules, at(75));
    assert_eq!(most.failures, u32::MAX);
}

#[test]
fn silence_is_waited_for_then_replaced_then_forgotten() {
    let rules = rules();
    let after = |seconds: u64| silent(&rules, at(50), at(50 + seconds));
    assert_eq!(after(0), Silent::Wait(Nanoseconds::from_seconds(100)));
    assert_eq!(after(99), Silent::Wait(Nanoseconds::from_seconds(1)));
    assert_eq!(after(100), Silent::Replace);
    assert_eq!(after(999), Silent::Replace);
    assert_eq!(after(1000), Silent::Forget);
    // A clock that went back is no silence.
    assert_eq!(silent(&rules, at(50), at(20)), Silent::Wait(Nanoseconds::from_seconds(100)));
}

#[test]
fn much_silence_freezes_and_time_or_a_person_ends_it() {
    let rules = rules();
    let mut state = State::default();
    let seen = |silent, machines| Observation { machines, silent };
    assert_eq!(decide(&rules, seen(2, 4), &mut state, at(1)), Verdict::Go, "too few to tell");
    assert_eq!(decide(&rules, seen(3, 15), &mut state, at(1)), Verdict::Go, "just 20 %");
    let frozen = decide(&rules, seen(4, 15), &mut state, at(2));
    assert!(matches!(frozen, Verdict::Frozen { silent: 4, machines: 15, .. }), "{frozen}");
    assert_eq!(decide(&rules, seen(1, 15), &mut state, at(3)), Verdict::Go, "they came back");
    assert!(decide(&rules, seen(4, 15), &mut state, at(100)) != Verdict::Go);
    assert!(decide(&rules, seen(5, 15), &mut state, at(399)) != Verdict::Go);
    assert_eq!(decide(&rules, seen(5, 15), &mut state, at(400)), Verdict::Go, "long enough");
    assert_eq!(decide(&rules, seen(5, 15), &mut state, at(500)), Verdict::Go, "still the same");
    assert!(decide(&rules, seen(9, 15), &mut state, at(501)) != Verdict::Go, "four more");
    thaw(seen(9, 15), &mut state);
    assert_eq!(decide(&rules, seen(9, 15), &mut state, at(502)), Verdict::Go);
}

proptest! {
    /// A wait is never longer than the most, and a launch that obeys it is possible in the end.
    #[test]
    fn nothing_waits_for_ever(
        gaps in prop::collection::vec(0u64..2_000, 0..40),
    ) {
        let rules = rules();
        let mut back_off = BackOff::default();
        let mut now = at(0);
        let mut counted = 0u32;
        for gap in gaps {
            let gap = Nanoseconds::from_seconds(gap);
            now = now + gap;
            // Written another way: seconds of wait by powers of two in floating point.
            let wait = if counted == 0 { 0.0 } else { f64::from(counted - 1).exp2().min(60.0) };
            let since = now.since(back_off.last).seconds();
            if counted == 0 || since >= 600.0 {
                counted = 1;
                back_off.failed(&rules, now);
            } else if since >= wait {
                counted += 1;
                back_off.failed(&rules, now);
            } else {
                back_off.failed(&rules, now);
            }
            prop_assert_eq!(back_off.failures, counted);
            prop_assert!(back_off.left(&rules, now) <= rules.back_off_most);
        }
        let later = now + rules.back_off_most + rules.back_off_forget;
        prop_assert_eq!(back_off.left(&rules, later), Nanoseconds::ZERO);
        prop_assert!(back_off.is_over(&rules, later));
    }
}
