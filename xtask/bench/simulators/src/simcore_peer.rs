//! The crate simcore: a component gets events from the heap of the simulation. Its clock is a
//! double; whole nanoseconds below 2^53 are exact in it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;
use simcore::{Event, EventHandler, Simulation, SimulationContext, cast};

use crate::jobs::{Job, Jobs};
use crate::stations::Stations;

#[derive(Clone, Serialize)]
struct Arrive {}

#[derive(Clone, Serialize)]
struct End {
    node: u32,
}

struct Cluster {
    context: SimulationContext,
    jobs: Arc<Vec<Job>>,
    next: usize,
    stations: Stations,
}

impl Cluster {
    fn expect_next(&mut self, now: u64) {
        if let Some(job) = self.jobs.get(self.next) {
            self.context.emit_self(Arrive {}, (job.at - now) as f64);
        }
    }
}

impl EventHandler for Cluster {
    fn on(&mut self, event: Event) {
        let now = event.time as u64;
        cast!(match event.data {
            Arrive {} => {
                let job = self.jobs[self.next];
                self.next += 1;
                self.expect_next(now);
                if let Some((node, service)) = self.stations.arrive(job) {
                    self.context.emit_self(End { node }, service as f64);
                }
            }
            End { node } => {
                if let Some(service) = self.stations.end(node, now) {
                    self.context.emit_self(End { node }, service as f64);
                }
            }
        })
    }
}

/// The sum of all waits.
pub fn waits(jobs: &Jobs) -> u128 {
    let mut simulation = Simulation::new(1);
    let context = simulation.create_context("cluster");
    let list = Arc::clone(&jobs.list);
    let cluster = Cluster { context, jobs: list, next: 0, stations: Stations::new(jobs) };
    let cluster = Rc::new(RefCell::new(cluster));
    simulation.add_handler("cluster", cluster.clone());
    cluster.borrow_mut().expect_next(0);
    simulation.step_until_no_events();
    let waits = cluster.borrow().stations.waits;
    waits
}
