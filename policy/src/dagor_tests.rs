//! Levels against tables worked out by hand, and against the algorithm as the paper writes it: a list
//! of all requests of a window, counted again for each step of the cursor.

use proptest::prelude::*;

use super::*;

const RULES: Dagor = Dagor {
    target: Nanoseconds(20),
    service_thousandths: 500,
    window: Nanoseconds(1000),
    requests: 200,
    ..Dagor::DEFAULT
};

/// A gate at this level with so many requests of each of the first priorities in its window.
fn gate(level: u8, came: &[u32]) -> Gate {
    let mut gate = Gate::new(&RULES);
    gate.level = Priority(level);
    for (priority, count) in (0..).zip(came) {
        for _ in 0..*count {
            let verdict = gate.ask(Priority(priority));
            assert_eq!(verdict.is_err(), priority > level);
        }
    }
    gate
}

const LONG: Begun = Begun { requests: 10, waited: Nanoseconds(1000), work: Nanoseconds(100) };
const SHORT: Begun = Begun { requests: 10, waited: Nanoseconds(0), work: Nanoseconds(100) };

/// The level after a window with these requests.
fn after(level: u8, came: &[u32], begun: Begun) -> u8 {
    let (mut gate, mut counted) = (gate(level, came), begun);
    gate.pass(&RULES, &mut counted, Time(1000));
    assert_eq!(counted, Begun::default());
    assert_eq!((gate.began, gate.arrived), (Time(1000), 0));
    gate.level.0
}

#[test]
fn levels_follow_the_histogram() {
    // 100 were let in: 95 are wanted. The last 5 stand at level 3.
    assert_eq!(after(3, &[50, 40, 5, 5, 60], LONG), 2);
    // 4 are too few, so those of level 2 go, too.
    assert_eq!(after(3, &[50, 40, 6, 4, 60], LONG), 1);
    // Levels at which nobody came make no difference.
    assert_eq!(after(9, &[50, 40, 10], LONG), 1);
    // The most important ones are let in whatever happens.
    assert_eq!(after(1, &[50, 0, 60], LONG), 0);
    assert_eq!(after(0, &[50, 0, 60], LONG), 0);
    // Nobody was let in, so less is nothing less.
    assert_eq!(after(1, &[0, 0, 60], LONG), 1);
    // 1 % of 160 more: the 60 of level 4.
    assert_eq!(after(3, &[50, 40, 5, 5, 60], SHORT), 4);
    // 1 % of 200 are 2: those of level 5 and of level 6.
    assert_eq!(after(3, &[50, 40, 5, 5, 0, 1, 1, 98], SHORT), 6);
    // All were let in, so whoever comes may.
    assert_eq!(after(3, &[50, 40, 5, 5], SHORT), 255);
    assert_eq!(after(3, &[], SHORT), 3);
}

#[test]
fn windows_end_with_time_or_with_requests() {
    let mut begun = LONG;
    let mut one = gate(3, &[100]);
    one.pass(&RULES, &mut begun, Time(999));
    assert_eq!((one.level(), begun), (Priority(3), LONG));
    let mut many = gate(3, &[200]);
    many.pass(&RULES, &mut begun, Time(5));
    assert_eq!((many.level(), begun), (Priority(0), Begun::default()));
    // A window in which nothing has begun though something was let in goes on.
    one.pass(&RULES, &mut begun, Time(5000));
    assert_eq!((one.level(), one.arrived), (Priority(3), 100));
    begun.count(Nanoseconds(500), Nanoseconds(5));
    one.pass(&RULES, &mut begun, Time(6000));
    assert_eq!((one.level(), one.arrived), (Priority(0), 0));
    // If nothing was let in, there is nothing to wait for.
    let mut none = gate(3, &[0, 0, 0, 0, 9]);
    none.pass(&RULES, &mut begun, Time(1000));
    assert_eq!(none.level(), Priority(4));
    // Asked again at the same instant, nothing moves.
    let before = none.clone();
    none.pass(&RULES, &mut begun, Time(1000));
    assert_eq!(none, before);
}

/// 20 ns, and half of the work.
#[test]
fn waits_are_too_long_for_people_and_for_the_work() {
    let table = [(200, 100, false), (201, 100, true), (201, 402, false), (202, 402, true)];
    for (waited, work, is_overload) in table {
        let (waited, work) = (Nanoseconds(waited), Nanoseconds(work));
        let begun = Begun { requests: 10, waited, work };
        assert_eq!(begun.is_overload(&RULES), is_overload, "{begun:?}");
    }
    assert!(!Begun::default().is_overload(&RULES));
}

#[test]
fn users_have_levels_for_an_hour() {
    let hour = Dagor::DEFAULT.redraw.0;
    let level = |user, now| Dagor::DEFAULT.priority(Class::Paid, user, Time(now)).0;
    let mut counts = [0u32; 128];
    let mut others = 0;
    for user in 0..12_800 {
        let now = level(user, 5 * hour);
        assert_eq!(now, level(user, 6 * hour - 1));
        others += u32::from(now != level(user, 6 * hour));
        counts[usize::from(now)] += 1;
        let free = Dagor::DEFAULT.priority(Class::Free, user, Time(5 * hour));
        assert_eq!(free, Priority(now + 128));
        let together = Dagor { classes: Classes::Together, ..Dagor::DEFAULT };
        assert_eq!(together.priority(Class::Free, user, Time(5 * hour)), Priority(now));
    }
    // 100 for each, give or take five times their root.
    assert!(counts.iter().all(|count| (50..150).contains(count)), "{counts:?}");
    assert!(others > 12_600, "{others}");
}

/// The level as the paper writes it, with requests instead of a histogram.
fn by_list(level: u8, came: &[u8], is_overload: bool, rules: &Dagor) -> u8 {
    let lowest = if rules.classes == Classes::Apart { 255 } else { 127 };
    let until = |level: u8| came.iter().filter(|priority| **priority <= level).count() as f64;
    let (all, let_in) = (came.len() as f64, until(level));
    let mut cursor = level;
    if is_overload {
        let wanted = (1000.0 - f64::from(rules.cut_thousandths)) * let_in;
        while cursor > 0 && until(cursor) * 1000.0 > wanted {
            cursor -= 1;
        }
    } else {
        let wanted = 1000.0 * let_in + f64::from(rules.grow_thousandths) * all;
        while cursor < lowest && until(cursor) * 1000.0 < wanted {
            cursor += 1;
        }
    }
    cursor
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn levels_are_those_of_the_list(
        windows in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..120), 0u64..60, any::<bool>()),
            1..12,
        ),
        cut_thousandths in 1u32..1000,
        grow_thousandths in 1u32..1000,
        is_together in any::<bool>(),
    ) {
        let classes = if is_together { Classes::Together } else { Classes::Apart };
        let rules = Dagor { cut_thousandths, grow_thousandths, classes, ..RULES };
        let highest = if is_together { 127 } else { 255 };
        let mut gate = Gate::new(&rules);
        let mut level = highest;
        let (mut came, mut begun) = (Vec::new(), Begun::default());
        for (number, (priorities, waited, begins)) in (1..).zip(&windows) {
            for priority in priorities.iter().map(|priority| (*priority).min(highest)) {
                let verdict = gate.ask(Priority(priority));
                prop_assert_eq!(verdict.is_ok(), priority <= level);
                came.push(priority);
            }
            if *begins {
                begun.count(Nanoseconds(*waited), Nanoseconds(40));
            }
            let waits: Vec<u64> = windows.iter().take(number).map(|(_, waited, _)| *waited).collect();
            let is_overload = begun.requests > 0 && begun.waited.0 > 20 * begun.requests;
            prop_assert!(waits.iter().sum::<u64>() >= begun.waited.0);
            let has_begun = begun.requests > 0;
            gate.pass(&rules, &mut begun, Time(number as u64 * 1000));
            if has_begun || came.iter().all(|priority| *priority > level) {
                level = by_list(level, &came, is_overload, &rules);
                came.clear();
                prop_assert_eq!(begun, Begun::default());
            }
            prop_assert_eq!(gate.level(), Priority(level));
        }
    }
}

/// A server with a hundred places, and twice as many who ask each window: the level finds those whom
/// it can serve, and comes back when the rush is over.
#[test]
fn levels_find_what_can_be_done() {
    let rules = Dagor { requests: u32::MAX, ..RULES };
    let mut gate = Gate::new(&rules);
    let (mut begun, mut behind) = (Begun::default(), 0u64);
    let mut let_in = Vec::new();
    for window in 1..=400u64 {
        let asks = if window <= 300 { 256 } else { 64 };
        gate.pass(&rules, &mut begun, Time(window * 1000));
        let came = (0..asks).filter(|number| {
            let priority = Priority(u8::try_from(number % 256).unwrap());
            gate.ask(priority).is_ok()
        });
        let came = came.count() as u64;
        let_in.push(came);
        behind = (behind + came).saturating_sub(128);
        for _ in 0..128.min(came) {
            begun.count(Nanoseconds(behind), Nanoseconds(1));
        }
    }
    let mean = let_in[100..300].iter().sum::<u64>() / 200;
    assert!((110..=135).contains(&mean), "{mean}: {let_in:?}");
    assert_eq!(let_in.last(), Some(&64));
    assert_eq!(gate.level(), Priority(255));
}
