//! Limits against tables worked out by hand, and against rules that are written another way: whole
//! histories that are cut into windows first, whole numbers where the rules have fractions.

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

fn each(rule: Rule, min: u32, max: u32, initial: u32) -> Adaptive {
    let window = Nanoseconds::ZERO;
    Adaptive { min, max, initial, window, ..Adaptive::of(rule) }
}

fn served(milliseconds: u64) -> Answer {
    Answer::Served(Nanoseconds(milliseconds * MS))
}

/// Limits after each of some answers, with so many requests in flight at each.
fn limits(rules: &Adaptive, in_flight: u32, answers: &[Answer]) -> Vec<u32> {
    let mut limiter = Limiter::new(rules);
    let tell = |answer: &Answer| {
        while limiter.in_flight() < in_flight {
            limiter.enter(Class::Paid);
        }
        limiter.on_answer(rules, Class::Paid, *answer, Time::ZERO)
    };
    answers.iter().map(tell).collect()
}

#[test]
fn one_more_until_something_is_lost() {
    let rules = each(Rule::Aimd(Aimd::DEFAULT), 10, 22, 20);
    let answers = [
        served(5),
        served(5),
        served(5),
        served(5000),
        served(5001),
        Answer::Lost,
        Answer::Refused,
        Answer::Late(Nanoseconds(MS)),
        served(5),
    ];
    assert_eq!(limits(&rules, 20, &answers), [21, 22, 22, 22, 19, 19, 17, 15, 16]);
    // Half of 20 is in use, then less than half of 21.
    assert_eq!(limits(&rules, 10, &[served(5), served(5)]), [21, 21]);
}

/// From `Gradient2Limit.java` by hand. The usual time is the mean of the first ten: 10, 10, then
/// (10 + 10 + 40)/3 = 20.
#[test]
fn less_while_answers_take_longer_than_usual() {
    let rules = each(Rule::Gradient2(Gradient2::DEFAULT), 1, 1000, 100);
    let mut limiter = Limiter::new(&rules);
    let mut exact = Vec::new();
    for time in [10, 10, 40] {
        (0..100).for_each(|_| limiter.enter(Class::Paid));
        limiter.on_answer(&rules, Class::Paid, served(time), Time::ZERO);
        exact.push(limiter.limit);
    }
    // 100 + 0.2·4, 100.8 + 0.8, and 101.6 less a fifth of a quarter of it: 1.5·20/40 = 0.75.
    let wanted = [100.8, 101.6, 101.6 * 0.95 + 0.8];
    for (found, wanted) in exact.iter().zip(wanted) {
        assert!((found - wanted).abs() < 1e-9, "{exact:?}");
    }
    // Refusals say nothing about time.
    assert_eq!(limits(&rules, 100, &[Answer::Refused, Answer::Lost]), [100, 100]);
}

#[test]
fn less_while_too_much_waits() {
    let rules = each(Rule::Vegas(Vegas::DEFAULT), 1, 1000, 100);
    // The first one is the least; then ⌈L·(1 − 10/now)⌉ wait: 0 of 100, ⌈5.1⌉ = 6 of 112, which is
    // not less than 6, ⌈4.4⌉ = 5 of it, which is, and 57 of 114.
    let answers = [
        served(10_000),
        served(10_000),
        Answer::Served(Nanoseconds(10_480 * MS)),
        Answer::Served(Nanoseconds(10_410 * MS)),
        served(20_000),
        Answer::Refused,
    ];
    assert_eq!(limits(&rules, 60, &answers), [100, 112, 112, 114, 112, 110]);
    // After two observations for each request of the limit the least one is measured again.
    let rules = each(Rule::Vegas(Vegas { probe: 2, ..Vegas::DEFAULT }), 1, 4, 4);
    let mut answers = vec![served(10)];
    answers.extend([served(30); 3]);
    // 3 of 4 wait, which is fine; the eighth is the least now, and the limit may grow again.
    assert_eq!(limits(&rules, 4, &answers), [4, 4, 4, 4]);
    let mut limiter = Limiter::new(&rules);
    for _ in 0..8 {
        (0..4).for_each(|_| limiter.enter(Class::Paid));
        limiter.on_answer(&rules, Class::Paid, served(30), Time::ZERO);
    }
    assert_eq!(limiter.least, Nanoseconds(30 * MS));
}

/// Nine answers are none, and the tenth speaks for all of them.
#[test]
fn a_window_speaks_once() {
    let rules = Adaptive {
        window: Nanoseconds(100),
        ..each(Rule::Aimd(Aimd { timeout: Nanoseconds(50), ..Aimd::DEFAULT }), 1, 100, 20)
    };
    let mut limiter = Limiter::new(&rules);
    let mut tell = |now: u64, took: u64| {
        (0..20).for_each(|_| limiter.enter(Class::Paid));
        limiter.on_answer(&rules, Class::Paid, Answer::Served(Nanoseconds(took)), Time(now))
    };
    // Nine are too few, though the time is over; a mean of 50 is in time.
    let early: Vec<u32> = (0..9).map(|_| tell(100, 45)).collect();
    assert_eq!(early, [20; 9]);
    assert_eq!(tell(100, 95), 21);
    // Ten are enough, but the time isn't over.
    let many: Vec<u32> = (0..30).map(|_| tell(199, 60)).collect();
    assert_eq!(many, [21; 30]);
    assert_eq!(tell(200, 60), 18);
}

/// Limits after all answers of a history, by rules that know all of it.
fn by_history(rules: &Adaptive, history: &[(u64, u32, Answer)]) -> Vec<f64> {
    let known: Vec<_> = history.iter().filter(|(_, _, answer)| *answer != Answer::Lost).collect();
    let (mut limit, mut began, mut rest, mut steps) = (rules.initial, 0, &known[..], Vec::new());
    let mut exact = f64::from(limit);
    let mut usuals: Vec<f64> = Vec::new();
    let mut usual = 0.0;
    let mut least: Option<u64> = None;
    let mut probes = 0;
    // Each window ends with the first answer at which it is long enough and has enough of them.
    while let Some(end) = rest.iter().enumerate().position(|(place, (now, ..))| {
        rules.window.0 == 0 || (place >= 9 && *now >= began + rules.window.0)
    }) {
        let (window, later) = rest.split_at(end + 1);
        (rest, began) = (later, window[end].0);
        let times: Vec<u64> = window
            .iter()
            .filter_map(|(_, _, answer)| match answer {
                Answer::Served(time) | Answer::Late(time) => Some(time.0.max(1)),
                Answer::Refused | Answer::Lost => None,
            })
            .collect();
        let mean = times.iter().sum::<u64>().checked_div(times.len() as u64);
        let is_lossy =
            window.iter().any(|(_, _, answer)| matches!(answer, Answer::Late(_) | Answer::Refused));
        let most = window.iter().map(|(_, in_flight, _)| *in_flight).max().unwrap();
        match (rules.rule, mean) {
            (Rule::Aimd(rule), mean) => {
                let is_lost = is_lossy || mean.is_some_and(|mean| mean > rule.timeout.0);
                if is_lost {
                    limit = limit * rule.back_off_thousandths / 1000;
                } else if most * 2 >= limit {
                    limit += 1;
                }
                limit = limit.clamp(rules.min, rules.max);
                exact = limit.into();
            }
            (Rule::Vegas(rule), mean) => {
                let log = u32::try_from(limit.to_string().len() - 1).unwrap().max(1);
                if is_lossy {
                    limit = limit.saturating_sub(log);
                } else if let Some(mean) = mean {
                    probes += 1;
                    if probes >= rule.probe * limit {
                        (probes, least) = (0, Some(mean));
                    } else if least.is_none_or(|least| mean < least) {
                        least = Some(mean);
                    } else if most * 2 >= limit {
                        let beyond = u128::from(limit) * u128::from(mean - least.unwrap());
                        let waiting = u32::try_from(beyond.div_ceil(mean.into())).unwrap();
                        if waiting <= log {
                            limit += rule.beta * log;
                        } else if waiting < rule.alpha * log {
                            limit += log;
                        } else if waiting > rule.beta * log {
                            limit = limit.saturating_sub(log);
                        }
                    }
                }
                limit = limit.clamp(rules.min, rules.max);
                exact = limit.into();
            }
            (Rule::Gradient2(_), None) => {}
            (Rule::Gradient2(rule), Some(mean)) => {
                let mean = mean as f64;
                usuals.push(mean);
                let (share, part) = (usuals.len() as f64, 2.0 / 601.0);
                usual = match usuals.len() {
                    1..=10 => usual - usual / share + mean / share,
                    _ => (1.0 - part) * usual + part * mean,
                };
                let slope = f64::from(rule.tolerance_thousandths) * usual / (1000.0 * mean);
                if usual / mean > 2.0 {
                    usual -= usual / 20.0;
                }
                // Too near for two ways of rounding: nothing is said from here on.
                if (f64::from(most) - exact / 2.0).abs() < 1e-6 {
                    return steps;
                }
                if f64::from(most) >= exact / 2.0 {
                    let slope = slope.clamp(0.5, 1.0);
                    exact += (exact * (slope - 1.0) + f64::from(rule.queue)) / 5.0;
                    exact = exact.max(rules.min.into()).min(rules.max.into());
                }
            }
        }
        steps.push(exact);
    }
    steps
}

fn rule() -> impl Strategy<Value = Rule> {
    let aimd = (1u32..1000, 1u64..1000).prop_map(|(back_off_thousandths, timeout)| {
        Rule::Aimd(Aimd { back_off_thousandths, timeout: Nanoseconds(timeout * MS) })
    });
    let gradient = (1000u32..3000, 1u32..8).prop_map(|(tolerance_thousandths, queue)| {
        Rule::Gradient2(Gradient2 { tolerance_thousandths, queue })
    });
    let vegas = (0u32..6, 0u32..6, 1u32..5)
        .prop_map(|(alpha, more, probe)| Rule::Vegas(Vegas { alpha, beta: alpha + more, probe }));
    prop_oneof![aimd, gradient, vegas]
}

fn rules() -> impl Strategy<Value = Adaptive> {
    let window = prop_oneof![Just(0u64), 1u64..100];
    (rule(), 1u32..20, 0u32..200, 0u32..1000, window).prop_map(|(rule, min, more, part, window)| {
        Adaptive {
            rule,
            min,
            max: min + more,
            initial: min + more * part / 1000,
            window: Nanoseconds(window * MS),
            scope: Scope::Gateway,
            by: By::All,
            shares: None,
        }
    })
}

/// Answers that mostly come in time, each after the one before, with the requests in flight.
fn history() -> impl Strategy<Value = Vec<(u64, u32, Answer)>> {
    let time = || (1u64..1 << 30).prop_map(Nanoseconds);
    let answer = prop_oneof![
        12 => time().prop_map(Answer::Served),
        1 => time().prop_map(Answer::Late),
        1 => Just(Answer::Refused),
        1 => Just(Answer::Lost),
    ];
    proptest::collection::vec((0u64..20 * MS, 1u32..150, answer), 1..300).prop_map(|steps| {
        let mut now = 0;
        let step = |(after, in_flight, answer)| {
            now += after;
            (now, in_flight, answer)
        };
        steps.into_iter().map(step).collect()
    })
}

/// Tells a limiter of a history: the limit after each observation, and all limits.
fn told(rules: &Adaptive, history: &[(u64, u32, Answer)]) -> (Vec<f64>, Vec<u32>) {
    let mut limiter = Limiter::new(rules);
    let (mut steps, mut limits) = (Vec::new(), Vec::new());
    for (now, in_flight, answer) in history {
        limiter.in_flight = [0, *in_flight];
        limits.push(limiter.on_answer(rules, Class::Paid, *answer, Time(*now)));
        if *answer != Answer::Lost && limiter.window.answers == 0 {
            steps.push(limiter.limit);
        }
    }
    (steps, limits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn limits_are_those_of_the_whole_history(rules in rules(), history in history()) {
        let (steps, limits) = told(&rules, &history);
        let wanted = by_history(&rules, &history);
        prop_assert!(steps.len() == wanted.len() || matches!(rules.rule, Rule::Gradient2(_)));
        prop_assert!(steps.len() >= wanted.len());
        for (found, wanted) in steps.iter().zip(&wanted) {
            prop_assert!((found - wanted).abs() <= wanted * 1e-9, "{:?}, not {:?}", steps, wanted);
        }
        prop_assert!(limits.iter().all(|limit| (rules.min..=rules.max).contains(limit)));
        // Equal histories give equal limits, bit by bit.
        prop_assert_eq!(told(&rules, &history), (steps, limits));
    }

    /// Whatever is let in leaves again, and no more is let in than the limit was then.
    #[test]
    fn no_more_is_let_in_than_the_limit(
        rules in rules(),
        steps in proptest::collection::vec((any::<bool>(), 0u64..1 << 30), 1..300),
    ) {
        let mut limiter = Limiter::new(&rules);
        let mut in_flight = 0;
        for (now, (enters, took)) in (0u64..).zip(steps) {
            if enters && !limiter.is_full(&rules, Class::Paid) {
                limiter.enter(Class::Paid);
                in_flight += 1;
                prop_assert!(in_flight <= limiter.limit());
            } else if in_flight > 0 {
                limiter.on_answer(&rules, Class::Paid, Answer::Served(Nanoseconds(took)), Time(now * MS));
                in_flight -= 1;
            }
            prop_assert_eq!(limiter.in_flight(), in_flight);
        }
    }
}

/// A model of a server with 50 places that is always full: the limits after so many answers of the
/// requests that are in flight then, each of which takes 10 ms, and a fiftieth more for each that
/// waits.
fn full_server(rule: Rule, answers: u32) -> Vec<u32> {
    let rules = each(rule, 1, 1000, 20);
    let mut limiter = Limiter::new(&rules);
    let mut answer = || {
        while !limiter.is_full(&rules, Class::Paid) {
            limiter.enter(Class::Paid);
        }
        let waits = u64::from(limiter.in_flight().saturating_sub(50)) * 10 * MS / 50;
        limiter.on_answer(
            &rules,
            Class::Paid,
            Answer::Served(Nanoseconds(10 * MS + waits)),
            Time::ZERO,
        )
    };
    (0..answers).map(|_| answer()).collect()
}

/// Those that know what is too long find limits with which little waits and nothing stands idle; Vegas
/// lets some wait, because it measures its least round trip again beside those that do.
#[test]
fn limits_come_to_what_a_server_can_do() {
    let rules = [
        (Rule::Vegas(Vegas::DEFAULT), 50..=75),
        (Rule::Aimd(Aimd { timeout: Nanoseconds(12 * MS), ..Aimd::DEFAULT }), 52..=62),
    ];
    for (rule, wanted) in rules {
        let limits = full_server(rule, 3000);
        let mean = limits[2000..].iter().sum::<u32>() / 1000;
        assert!(wanted.contains(&mean), "{rule:?}: {mean}");
    }
}

/// Gradient2 compares with what was usual, so it falls at once when answers take longer, and takes
/// an overload that doesn't end for usual.
#[test]
fn what_lasts_becomes_usual() {
    let rules = each(Rule::Gradient2(Gradient2::DEFAULT), 1, 1000, 100);
    let mut answers = vec![served(10); 500];
    answers.extend([served(100); 3000]);
    let limits = limits(&rules, 1000, &answers);
    let (before, least) = (limits[499], *limits[500..700].iter().min().unwrap());
    assert!(before > 400 && least < 20, "{before}, {least}");
    assert_eq!(limits.last(), Some(&1000));
    assert_eq!(full_server(rules.rule, 3000).last(), Some(&1000));
}

/// All combinations of small numbers in flight against the sentence that a user would say.
#[test]
fn classes_have_what_is_kept_for_them() {
    let shares = Some(Shares { free_thousandths: 250, paid_thousandths: 600 });
    let rules = Adaptive { shares, ..each(Rule::Aimd(Aimd::DEFAULT), 8, 8, 8) };
    for free in 0..12 {
        for paid in 0..12 {
            let mut limiter = Limiter::new(&rules);
            (0..free).for_each(|_| limiter.enter(Class::Free));
            (0..paid).for_each(|_| limiter.enter(Class::Paid));
            assert_eq!(limiter.in_flight(), free + paid);
            // A quarter of 8 are 2, six tenths are 5.
            let is_reached = free + paid >= 8;
            assert_eq!(limiter.is_full(&rules, Class::Free), is_reached && free >= 2);
            assert_eq!(limiter.is_full(&rules, Class::Paid), is_reached && paid >= 5);
            let without = Adaptive { shares: None, ..rules };
            for class in Class::ALL {
                assert_eq!(limiter.is_full(&without, class), is_reached);
            }
            // Who leaves is of a class.
            if free > 0 {
                limiter.on_answer(&rules, Class::Free, Answer::Lost, Time::ZERO);
                assert_eq!(limiter.in_flight_of(Class::Free), free - 1);
                assert_eq!(limiter.in_flight_of(Class::Paid), paid);
            }
        }
    }
}
