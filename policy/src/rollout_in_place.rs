//! Replacement in place: instances that own something which their replacements need (a volume). The
//! old one ends first, so each step takes away a part of what serves. Therefore there is one at a
//! time, unless a user says how many, and none while another is out of service for whatever reason.

use super::{FULL_THOUSANDTHS, Hold, Observation, Rollout, Step};

/// Instances that are replaced at a time if nobody says how many: members of a group that must agree
/// stand the loss of one.
pub const STEP_IN_PLACE: u32 = 1;

/// What to do about the instances of an app now.
pub(super) fn decide(rules: &Rollout, seen: &Observation) -> Step {
    let all = seen.stay.all().saturating_add(seen.leave.all()).saturating_add(seen.stopping);
    let missing = seen.wanted.saturating_sub(seen.stay.all());
    let start = missing.min(seen.wanted.saturating_sub(all));
    if seen.is_frozen {
        let hold = (seen.leave.all() > 0).then_some(Hold::Frozen);
        return Step { start, hold, ..Step::default() };
    }
    let step = if rules.step == u32::MAX { STEP_IN_PLACE } else { rules.step };
    let capacity = seen.stay.capacity_thousandths.saturating_add(seen.leave.capacity_thousandths);
    let serving = u32::try_from(capacity / u64::from(FULL_THOUSANDTHS)).unwrap_or(u32::MAX);
    let out = seen.wanted.saturating_sub(serving);
    // What is more than wanted goes at once: nothing takes its place.
    let retire = step.saturating_sub(out).max(serving.saturating_sub(seen.wanted));
    let retire = retire.min(seen.leave.serving);
    let surplus = seen.stay.all().saturating_sub(seen.wanted);
    let idle = seen.stay.starting.saturating_add(seen.stay.ailing);
    let needed = seen.demand.unwrap_or(seen.wanted).min(seen.wanted);
    let beyond = serving.saturating_sub(needed).saturating_sub(retire);
    let hold = (retire == 0 && seen.leave.serving > 0).then(|| hold(seen, capacity));
    Step {
        start,
        // What doesn't serve takes nothing away when it goes.
        cancel: seen.leave.starting,
        retire_ailing: seen.leave.ailing,
        retire,
        surplus: surplus.min(idle).saturating_add(surplus.saturating_sub(idle).min(beyond)),
        hold,
    }
}

fn hold(seen: &Observation, capacity_thousandths: u64) -> Hold {
    let starting = seen.stay.starting;
    let serving = seen.stay.serving.saturating_add(seen.leave.serving);
    if seen.stopping > 0 {
        Hold::Room { stopping: seen.stopping }
    } else if starting > seen.unplaced || serving >= seen.wanted {
        Hold::Replacements { starting }
    } else {
        Hold::Redundancy { capacity_thousandths, needed: seen.wanted }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Group, decide};
    use super::*;
    use crate::config::Policy;

    fn serving(count: u32) -> Group {
        let capacity_thousandths = u64::from(count) * 1000;
        Group { serving: count, capacity_thousandths, ..Group::default() }
    }

    fn seen(wanted: u32, stay: Group, leave: Group) -> Observation {
        Observation {
            wanted,
            demand: None,
            stay,
            unplaced: 0,
            leave,
            stopping: 0,
            others: leave.all(),
            is_frozen: false,
            is_in_place: true,
        }
    }

    fn rules(step: u32) -> Rollout {
        Rollout { step, surge_thousandths: 500, ..Policy::recommended().rollout }
    }

    #[test]
    fn one_ends_and_comes_back_before_the_next_one_ends() {
        let rules = rules(u32::MAX);
        let none = Group::default();
        let step = decide(&rules, &seen(3, none, serving(3)));
        assert_eq!(step, Step { retire: 1, ..Step::default() }, "the first one ends");
        let stops = Observation { stopping: 1, ..seen(3, none, serving(2)) };
        let hold = Some(Hold::Room { stopping: 1 });
        assert_eq!(decide(&rules, &stops), Step { hold, ..Step::default() }, "until it has");
        let step = decide(&rules, &seen(3, none, serving(2)));
        assert_eq!((step.start, step.retire), (1, 0), "another one takes its place");
        let starting = Group { starting: 1, ..none };
        let step = decide(&rules, &seen(3, starting, serving(2)));
        let hold = Some(Hold::Replacements { starting: 1 });
        assert_eq!(step, Step { hold, ..Step::default() });
        let warming = Group { serving: 1, capacity_thousandths: 300, ..none };
        let step = decide(&rules, &seen(3, warming, serving(2)));
        assert_eq!((step.start, step.retire), (0, 0), "it only warms up");
        let step = decide(&rules, &seen(3, serving(1), serving(2)));
        assert_eq!((step.retire, step.hold), (1, None), "the second one ends");
    }

    #[test]
    fn nothing_ends_while_another_one_is_out_of_service() {
        let rules = rules(u32::MAX);
        let away = Group { ailing: 1, ..Group::default() };
        let step = decide(&rules, &seen(3, away, serving(2)));
        assert_eq!((step.start, step.retire), (0, 0));
        assert!(matches!(step.hold, Some(Hold::Redundancy { needed: 3, .. })));
        // What doesn't serve itself is replaced at once.
        let ailing = Group { ailing: 1, starting: 1, ..serving(1) };
        let step = decide(&rules, &seen(3, Group::default(), ailing));
        assert_eq!((step.cancel, step.retire_ailing, step.retire), (1, 1, 0));
        let frozen = Observation { is_frozen: true, ..seen(3, Group::default(), ailing) };
        let hold = Some(Hold::Frozen);
        assert_eq!(decide(&rules, &frozen), Step { hold, ..Step::default() });
    }

    #[test]
    fn a_user_says_how_many_and_the_surplus_goes() {
        let step = decide(&rules(2), &seen(3, Group::default(), serving(3)));
        assert_eq!((step.start, step.retire), (0, 2));
        let step = decide(&rules(u32::MAX), &seen(3, serving(5), Group::default()));
        assert_eq!((step.start, step.surplus), (0, 2));
        let step = decide(&rules(u32::MAX), &seen(5, serving(3), Group::default()));
        assert_eq!((step.start, step.surplus), (2, 0));
        let step = decide(&rules(u32::MAX), &seen(0, Group::default(), serving(3)));
        assert_eq!(step.retire, 3, "nothing takes the place of a deleted app's");
    }
}
