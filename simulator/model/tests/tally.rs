//! What a lane counts, in lumps, against one request after the other.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use policy::{Nanoseconds, Refusal, Scope};
use simulator_kernel::Summary;
use simulator_model::windows::{self, Key, Request, Tally, Witness};
use simulator_model::{Model, Network, Outcome, Path};

use crate::strategies;

/// Counts each request for itself, by the words of `windows` and `Cell`.
struct Plain<'a> {
    model: &'a Model,
    delay: u64,
    cells: Vec<Seen>,
    busy: Vec<u128>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    wait: Summary,
    response: Summary,
    stages: [Summary; 6],
    late: u64,
    refused: [u64; Refusal::ALL.len()],
    /// Sources that were downloaded, and those that were there.
    sources: [u64; 2],
}

impl Witness for Plain<'_> {
    fn outcome(&mut self, request: &Request, path: Option<&Path>, outcome: Outcome) {
        let (_, source) = Key::parts(request.key);
        let source = &self.model.sources[usize::from(source)];
        let cmd = &self.model.cmds[source.cmd];
        if let Ok(served) = outcome {
            let begun = served.start.0.max(self.model.warm_up.0);
            let over = served.end.0.min(self.model.duration.0);
            self.busy[cmd.app] += u128::from(over.saturating_sub(begun));
        }
        if request.at < self.model.warm_up.0 {
            return;
        }
        let class = self.model.tenants[source.tenants].class;
        let seen = &mut self.cells[source.cmd * 2 + class.index()];
        let served = match outcome {
            Err(cause) => return seen.refused[cause.index()] += 1,
            Ok(served) => served,
        };
        let way = path.copied().unwrap_or_default();
        let dispatch = way.dispatch.0 + self.delay;
        let respond = way.respond.0 + self.delay;
        let joined = request.at + way.accept.0 + dispatch + way.download.0;
        let wait = served.start.0 - joined;
        let response = served.end.0 + respond - request.at;
        seen.wait.record(Nanoseconds(wait));
        seen.response.record(Nanoseconds(response));
        seen.late += u64::from(cmd.deadline.is_some_and(|deadline| response > deadline.0));
        if path.is_some() {
            let work = served.end.since(served.start).0;
            let times = [way.accept.0, dispatch, way.download.0, wait, work, respond];
            for (stage, time) in seen.stages.iter_mut().zip(times) {
                stage.record(Nanoseconds(time));
            }
            if way.source_bytes.is_some() {
                seen.sources[usize::from(way.is_cached)] += 1;
            }
        }
    }
}

/// Models behind a network, with stages; so many requests that lumps are written more than once.
fn models() -> impl Strategy<Value = (Model, Network)> {
    let stages =
        proptest::collection::vec(proptest::option::weighted(0.6, strategies::ways::stages()), 3);
    (strategies::model(), stages, 1u64..2_000, 1u64..6).prop_map(
        |(mut model, stages, delay, every)| {
            let rules = &mut model.admission;
            rules.accept.iter_mut().for_each(|permits| permits.scope = Scope::Gateway);
            for limits in rules.user.iter_mut().chain(&mut rules.cmd) {
                limits.scope = Scope::Gateway;
            }
            rules.adaptive.iter_mut().for_each(|adaptive| adaptive.scope = Scope::Gateway);
            for (cmd, stages) in model.cmds.iter_mut().zip(stages) {
                cmd.stages = stages;
            }
            for source in &mut model.sources {
                source.arrivals = source.arrivals.scaled(8.0);
            }
            let delay = Nanoseconds(delay);
            (model, Network { delay, reports: Nanoseconds(delay.0 * every) })
        },
    )
}

#[test]
fn lumps_count_what_single_requests_do() {
    let mut runner = TestRunner::deterministic();
    let (mut most, mut waited, mut staged) = (0, 0, 0);
    for _ in 0..1_500 {
        let (model, network) = models().new_tree(&mut runner).unwrap().current();
        if windows::check(&model, network).is_err() {
            continue;
        }
        let plain = Plain {
            model: &model,
            delay: network.delay.0,
            cells: vec![Seen::default(); model.cmds.len() * 2],
            busy: vec![0; model.apps.len()],
        };
        let (tally, plain) = windows::run(&model, network, (Tally::new(&model, network, 0), plain));
        let report = tally.into_report();
        assert_eq!(report.busy, plain.busy);
        for cell in &report.cells {
            let seen = Seen {
                wait: cell.wait.clone(),
                response: cell.response.clone(),
                stages: cell.stages.clone(),
                late: cell.late,
                refused: cell.refused,
                sources: [cell.downloaded, cell.cached],
            };
            let wanted = &plain.cells[cell.cmd * 2 + cell.class.index()];
            assert_eq!(&seen, wanted, "{model:#?}");
            most = most.max(cell.served());
            waited += u64::from(cell.wait.longest() > Nanoseconds(0));
            staged += u64::from(cell.stages[4].count() > 64);
        }
        let known: u64 = report.cells.iter().map(simulator_model::Cell::arrivals).sum();
        let all = |seen: &Seen| seen.response.count() + seen.refused.iter().sum::<u64>();
        assert_eq!(known, plain.cells.iter().map(all).sum::<u64>());
    }
    // Not a test of nothing.
    assert!(most > 200 && waited > 50 && staged > 20, "{most} {waited} {staged}");
}
