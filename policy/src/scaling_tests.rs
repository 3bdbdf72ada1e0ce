//! The rule of scaling against an oracle that keeps the whole history, and its promises.

use proptest::prelude::*;

use super::*;

const PLATFORM: Scaling = Scaling {
    target: 10,
    min: 10,
    max: 100,
    step: 1,
    interval: Nanoseconds::from_seconds(1),
    cool_down: Nanoseconds::ZERO,
    scale_in_after: None,
    rule: Rule::Tasks,
    schedule: Schedule::NONE,
};

fn seen(tasks: u64, instances: u32) -> Observation {
    Observation { tasks, instances, flow: None }
}

fn decide_once(rules: &Scaling, tasks: u64, instances: u32) -> Action {
    decide(rules, seen(tasks, instances), &mut State::default(), Time(0))
}

/// The example of the platform's own account: default 10 instances, 10 tasks each.
#[test]
fn the_published_example_holds() {
    assert_eq!(decide_once(&PLATFORM, 99, 10), Action::Keep(Kept::WithinTarget));
    assert_eq!(decide_once(&PLATFORM, 100, 10), Action::Keep(Kept::WithinTarget));
    assert_eq!(decide_once(&PLATFORM, 110, 10), Action::Add(1, Added::TasksAboveTarget));
    assert_eq!(decide_once(&PLATFORM, 110, 11), Action::Keep(Kept::WithinTarget));
}

#[test]
fn actions_say_why() {
    let text = |tasks, instances| decide_once(&PLATFORM, tasks, instances).to_string();
    assert_eq!(text(5, 3), "+7: below the minimum");
    assert_eq!(text(5000, 120), "-20: above the maximum");
    assert_eq!(text(5000, 100), "kept: more are needed, at the maximum");
}

#[test]
fn reasons_have_places_and_names() {
    let told = |name: &str| name.replace('_', "");
    for (place, reason) in Added::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), place);
        assert_eq!(told(reason.name()), format!("{reason:?}").to_lowercase());
    }
    for (place, reason) in Removed::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), place);
        assert_eq!(told(reason.name()), format!("{reason:?}").to_lowercase());
    }
}

/// Everything that happened: (time, tasks, instances, action).
type History = Vec<(u64, u64, u32, Action)>;

/// The rule in the words of its documentation, from the whole history.
fn oracle(rules: &Scaling, history: &History, now: u64, tasks: u64, instances: u32) -> Action {
    let changed = history.iter().rev().find(|(.., action)| !matches!(action, Action::Keep(_)));
    if instances < rules.min {
        return Action::Add(rules.min - instances, Added::BelowMinimum);
    }
    if instances > rules.max {
        return Action::Remove(instances - rules.max, Removed::AboveMaximum);
    }
    if let Some((at, ..)) = changed
        && now - at < rules.cool_down.0
    {
        return Action::Keep(Kept::CoolsDown(Nanoseconds(rules.cool_down.0 - (now - at))));
    }
    let allowed = |instances: u32| u64::from(rules.target) * u64::from(instances);
    if tasks > allowed(instances) {
        return match rules.max - instances {
            0 => Action::Keep(Kept::AtMaximum),
            room => Action::Add(rules.step.min(room), Added::TasksAboveTarget),
        };
    }
    let enough = |tasks, instances: u32| tasks <= allowed(instances.saturating_sub(rules.step));
    if !enough(tasks, instances) || rules.scale_in_after.is_none() {
        return Action::Keep(Kept::WithinTarget);
    }
    if instances == rules.min {
        return Action::Keep(Kept::AtMinimum);
    }
    let since = history
        .iter()
        .rev()
        .take_while(|(_, tasks, instances, action)| {
            matches!(action, Action::Keep(_)) && enough(*tasks, *instances)
        })
        .last()
        .map_or(now, |(at, ..)| *at);
    let (waited, period) = (now - since, rules.scale_in_after.unwrap().0);
    if waited < period {
        return Action::Keep(Kept::NotForLong(Nanoseconds(period - waited)));
    }
    Action::Remove(rules.step.min(instances - rules.min), Removed::FewerAreEnough)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn decides_as_the_whole_history_says(
        target in 0u32..5,
        min in 0u32..4,
        more in 0u32..8,
        step in 1u32..4,
        cool_down in 0u64..6,
        period in proptest::option::of(0u64..6),
        ticks in proptest::collection::vec((0u64..40, 1u64..3), 1..60),
        start in 0u32..14,
    ) {
        let rules = Scaling {
            target, min, max: min + more, step,
            interval: Nanoseconds(1),
            cool_down: Nanoseconds(cool_down),
            scale_in_after: period.map(Nanoseconds),
            ..PLATFORM
        };
        let mut state = State::default();
        let mut history = History::new();
        let (mut now, mut instances) = (0, start);
        for (tasks, after) in ticks {
            now += after;
            let wanted = oracle(&rules, &history, now, tasks, instances);
            let action = decide(&rules, seen(tasks, instances), &mut state, Time(now));
            prop_assert_eq!(action, wanted);
            history.push((now, tasks, instances, action));
            match action {
                Action::Add(count, _) => instances += count,
                Action::Remove(count, _) => instances -= count,
                Action::Keep(_) => {}
            }
            // Bounds hold from the first decision on, and a steady load never flaps.
            prop_assert!((rules.min..=rules.max).contains(&instances));
        }
    }

    #[test]
    fn a_steady_load_comes_to_rest(
        target in 1u32..5, min in 0u32..4, more in 0u32..30, step in 1u32..4,
        tasks in 0u64..100, start in 0u32..40,
    ) {
        let rules = Scaling {
            target, min, max: min + more, step,
            interval: Nanoseconds(1),
            cool_down: Nanoseconds(2),
            scale_in_after: Some(Nanoseconds(3)),
            ..PLATFORM
        };
        let mut state = State::default();
        let mut instances = start;
        let mut last_change = 0;
        for now in 0..400 {
            match decide(&rules, seen(tasks, instances), &mut state, Time(now)) {
                Action::Add(count, _) => { instances += count; last_change = now; }
                Action::Remove(count, _) => { instances -= count; last_change = now; }
                Action::Keep(_) => {}
            }
        }
        prop_assert!(last_change < 300, "still changing at {}", last_change);
    }
}
