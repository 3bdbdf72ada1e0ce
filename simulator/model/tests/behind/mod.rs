//! Rules about how long requests wait, behind a network: lanes against the oracle, and runs that were
//! worked out by hand.

use std::cell::RefCell;

use policy::admission::{Deadlines, Permits};
use policy::overload::{Law as Drops, Overload};
use policy::prediction::{Asked, LongestWait};
use proptest::test_runner::TestRunner;

use super::*;

/// Rules about waits, where something waits.
fn waiting() -> impl Strategy<Value = (Model, Network)> {
    let models = prop_oneof![2 => model().boxed(), 1 => scaling_model().boxed()];
    waiting_in(models.boxed(), 0.6)
}

/// Likewise in some models, of which so large a part has rules about overload.
fn waiting_in(
    models: BoxedStrategy<Model>,
    overloaded: f64,
) -> impl Strategy<Value = (Model, Network)> {
    let stages = proptest::option::weighted(0.3, some_stages());
    let overload = proptest::option::weighted(overloaded, strategies::queues::overload());
    let longest = proptest::option::weighted(0.3, strategies::queues::longest_wait());
    let gate = proptest::option::weighted(0.2, strategies::queues::dagor());
    let rules = (overload, longest, gate, 1u64..8);
    (models, stages, network(), rules, any::<[bool; 4]>()).prop_map(
        |(model, stages, network, rules, [predicts, is_busy, is_open, is_codel])| {
            let (overload, longest_wait, gate, interval) = rules;
            let mut model = with_stages(model, stages.unwrap_or_default());
            for app in model.apps.iter_mut().filter(|_| is_busy) {
                (app.machines, app.instances) = (app.machines.clamp(1, 2), 1);
            }
            let queue = &mut model.queue;
            for bound in [&mut queue.free, &mut queue.paid] {
                *bound = (*bound).max(if is_open { Queue::UNLIMITED } else { 8 });
            }
            (queue.overload, queue.longest_wait) = (overload, longest_wait);
            if let Some(overload) = &mut queue.overload {
                overload.law = if is_codel { Drops::Codel } else { Drops::Facebook };
            }
            if let Some(scaling) = &mut model.dynamics.scaling {
                scaling.interval = Nanoseconds(network.delay.0 * interval);
            }
            if predicts {
                model.admission.deadlines = Deadlines::Predict;
            }
            model.admission.overload = gate;
            (model, network)
        },
    )
}

/// All rules have dropped and refused often in all scenarios together, or the agreement says little.
#[test]
fn lanes_agree_with_the_oracle_about_waits() {
    let mut runner = TestRunner::new(ProptestConfig { cases: 5_000, ..ProptestConfig::default() });
    let causes = [Refusal::Shed, Refusal::LongWait, Refusal::Deadline];
    let sums = RefCell::new([[0; 3]; 4]);
    let result = runner.run(&waiting(), |(model, network)| {
        let told = agree(&model, network)?;
        let is_codel = model.queue.overload.is_some_and(|rules| rules.law == Drops::Codel);
        let kind = usize::from(is_codel) + 2 * usize::from(model.dynamics.scaling.is_some());
        let sums = &mut sums.borrow_mut()[kind];
        sums.iter_mut().zip(causes).for_each(|(sum, cause)| *sum += told.refused(cause));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // With Facebook's law or none, with that of the RFC; and likewise where apps scale.
    let all =
        sums.borrow().iter().all(|[shed, long, late]| *shed > 200 && *long > 100 && *late > 1_000);
    assert!(all, "{sums:?}");
}

/// What is dropped by the law of the RFC depends on requests that come later; which instances leave
/// meanwhile depends on what is dropped.
#[test]
fn lanes_agree_with_the_oracle_about_who_leaves_while_fates_are_open() {
    let mut runner = TestRunner::new(ProptestConfig { cases: 2_000, ..ProptestConfig::default() });
    let sums = RefCell::new([0; 3]);
    let models = waiting_in(scaling_model().boxed(), 0.99);
    let result = runner.run(&models, |(mut model, network)| {
        if let Some(overload) = &mut model.queue.overload {
            (overload.law, overload.sheds) = (Drops::Codel, true);
        }
        (model.queue.longest_wait, model.admission.overload) = (None, None);
        let told = agree(&model, network)?;
        let more = [told.refused(Refusal::Shed), told.added, told.removed];
        sums.borrow_mut().iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(sums.borrow().iter().all(|count| *count > 500), "{sums:?}");
}

/// What looks predict is what targets went by.
#[test]
fn looks_tell_predicted_waits() {
    let mut runner = TestRunner::new(ProptestConfig { cases: 1_000, ..ProptestConfig::default() });
    let seen = RefCell::new([0; 2]);
    let result = runner.run(&waiting(), |(model, network)| {
        let mut all = All::default();
        windows::watch(&model, network, None, &mut all);
        let oracle = windows::oracle::run(&model, network, Both::new(&model, network, 0));
        let wanted: BTreeMap<u64, Outcome> = oracle.outcomes.into_iter().collect();
        prop_assert_eq!(all.outcomes.len(), wanted.len());
        for (arrival, outcome) in &all.outcomes {
            prop_assert_eq!(outcome, &wanted[&arrival.key]);
            let look = &all.looks[&arrival.number];
            let class = model.tenants[model.sources[usize::from(arrival.source)].tenants].class;
            let Some(asked) = Asked::new(&model.admission, &model.queue) else { continue };
            let Some(chosen) = look.chosen.filter(|chosen| chosen.instances > 0) else { continue };
            let is_first = admitted(&model, arrival, look).is_ok()
                && policy::enqueue(&model.queue, class, chosen.standing).is_ok();
            if let (true, Some(longest)) = (is_first, asked.longest.of(class)) {
                let is_long = chosen.predicted.unwrap() > longest;
                prop_assert_eq!(is_long, *outcome == Err(Refusal::LongWait));
                seen.borrow_mut()[usize::from(is_long)] += 1;
            }
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(seen.borrow().iter().all(|count| *count > 300), "{seen:?}");
}

const DELAY: u64 = 10;

/// A request every 100 ns for one instance, which works on each for 250 ns. The first one arrives at
/// 100 and is at its target at 110, as all others are a delay later.
fn line(queue: Queue, admission: Admission, deadline: Option<u64>) -> Vec<Result<u64, Refusal>> {
    let life = two_machines().apps.remove(1).life;
    let service = Law::Constant(Nanoseconds(250));
    let deadline = deadline.map(Nanoseconds);
    let model = Model {
        seed: 1,
        duration: Nanoseconds(1_150),
        warm_up: Nanoseconds::ZERO,
        gateways: 1,
        apps: vec![App { name: "app".into(), machines: 1, instances: 1, life, crowd: None }],
        cmds: vec![Cmd { name: "cmd".into(), app: 0, service, deadline, stages: None }],
        tenants: vec![Tenants { name: "one".into(), class: Class::Free, users: 1, skew: 0.0 }],
        sources: vec![Source {
            tenants: 0,
            cmd: 0,
            arrivals: Arrivals::Constant { gap: 100.0 },
            retries: None,
        }],
        admission,
        queue,
        balance: Balance::LeastLoaded,
        network: None,
        dynamics: Dynamics::default(),
    };
    let network = Network { delay: Nanoseconds(DELAY), reports: Nanoseconds(100) };
    let told = agree(&model, network).unwrap();
    let starts = told.outcomes.iter().map(|(_, outcome)| outcome.map(|served| served.start.0));
    starts.collect()
}

fn sheds(law: Drops) -> Queue {
    let (target, interval) = (Nanoseconds(50), Nanoseconds(200));
    Queue { overload: Some(Overload { target, interval, sheds: true, law }), ..Queue::OPEN }
}

const SHED: Result<u64, Refusal> = Err(Refusal::Shed);

#[test]
fn who_would_wait_for_long_is_refused_by_the_target() {
    let within = |longest: u64| {
        let longest = LongestWait { free: Some(Nanoseconds(longest)), paid: None };
        let queue = Queue { longest_wait: Some(longest), ..Queue::OPEN };
        line(queue, Admission::default(), None)
    };
    let long = Err(Refusal::LongWait);
    // What is left of work counts as whole: nobody waits behind 250 of it.
    let wanted = [Ok(110), long, long, Ok(410), long, long, Ok(710), long, long, Ok(1_010), long];
    assert_eq!(within(249), wanted);
    // One does, two don't.
    let wanted =
        [Ok(110), Ok(360), long, Ok(610), long, Ok(860), long, long, Ok(1_110), long, Ok(1_360)];
    assert_eq!(within(250), wanted);
}

/// Who came to a queue that had been empty within 200 may wait for 200, and for 50 who came later.
#[test]
fn who_has_waited_for_too_long_is_dropped_when_his_turn_comes() {
    let found = line(sheds(Drops::Facebook), Admission::default(), None);
    let wanted = [Ok(110), Ok(360), SHED, Ok(610), SHED, SHED, SHED, Ok(860), Ok(1_110), SHED];
    assert_eq!(found[..10], wanted);
}

/// The first drop is at 610, an interval after 360; then at 810 (860), 951, 1,066 (both at 1,110).
#[test]
fn drops_follow_the_law_of_the_rfc() {
    let found = line(sheds(Drops::Codel), Admission::default(), None);
    let wanted = [Ok(110), Ok(360), SHED, Ok(610), SHED, Ok(860), SHED, SHED, Ok(1_110)];
    assert_eq!(found[..9], wanted);
    // Behind the last one nobody waits.
    assert!(found[10].is_ok());
}

/// The third one is dropped at 610; its gateway hears so at 620, and has a permit for the eighth,
/// besides those of the fourth and the seventh.
#[test]
fn what_is_dropped_gives_its_permit_back() {
    let accept = Some(Permits { permits: 3, scope: Scope::Gateway });
    let found = line(sheds(Drops::Facebook), Admission { accept, ..Admission::default() }, None);
    let full = Err(Refusal::AcceptPermits);
    assert_eq!(found[..8], [Ok(110), Ok(360), SHED, Ok(610), full, full, Ok(860), SHED]);
}

/// A deadline is that of the client: a request has been on its way for 10 when it is judged. It waits for
/// 250 as predicted and works for 250; behind two others it can't be done in time.
#[test]
fn targets_judge_deadlines_behind_their_queues() {
    let admission = Admission { deadlines: Deadlines::Predict, ..Admission::default() };
    let late = Err(Refusal::Deadline);
    let found = line(Queue::OPEN, admission, Some(510));
    let wanted = [Ok(110), Ok(360), late, Ok(610), late, Ok(860), late, late, Ok(1_110)];
    assert_eq!(found[..9], wanted);
    // A nanosecond less is too little: 10 on the way, 250 before it and 250 for itself.
    let found = line(Queue::OPEN, admission, Some(509));
    assert_eq!(found[..4], [Ok(110), late, late, Ok(410)]);
}
