//! The crate nexosim: a model schedules its own inputs. One thread, which is its fastest here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexosim::model::{Context, Model, schedulable};
use nexosim::simulation::{Mailbox, SimInit};
use nexosim::time::MonotonicTime;
use serde::{Deserialize, Serialize};

use crate::jobs::{Job, Jobs};
use crate::stations::Stations;

/// What the model works on; it can't be saved, and nobody saves it here.
#[derive(Serialize, Deserialize)]
struct Cluster {
    #[serde(skip)]
    state: Option<State>,
}

struct State {
    jobs: Arc<Vec<Job>>,
    next: usize,
    stations: Arc<Mutex<Stations>>,
}

#[Model]
impl Cluster {
    /// Everything that arrives now, then the next.
    #[nexosim(schedulable)]
    fn arrive(&mut self, now: u64, context: &Context<Self>) {
        let state = self.state.as_mut().expect("it is never restored");
        let mut stations = state.stations.lock().expect("nobody panics with it");
        while let Some(job) = state.jobs.get(state.next) {
            if job.at > now {
                let after = Duration::from_nanos(job.at - now);
                context.schedule_event(after, schedulable!(Self::arrive), job.at).expect("later");
                return;
            }
            state.next += 1;
            if let Some((node, service)) = stations.arrive(*job) {
                let end = (node, now + service);
                let after = Duration::from_nanos(service);
                context.schedule_event(after, schedulable!(Self::end), end).expect("later");
            }
        }
    }

    #[nexosim(schedulable)]
    fn end(&mut self, (node, now): (u32, u64), context: &Context<Self>) {
        let state = self.state.as_mut().expect("it is never restored");
        let mut stations = state.stations.lock().expect("nobody panics with it");
        if let Some(service) = stations.end(node, now) {
            let after = Duration::from_nanos(service);
            let end = (node, now + service);
            context.schedule_event(after, schedulable!(Self::end), end).expect("later");
        }
    }

    #[nexosim(init)]
    async fn init(&mut self, context: &Context<Self>) {
        if let Some(job) = self.state.as_ref().and_then(|state| state.jobs.first()) {
            let after = Duration::from_nanos(job.at.max(1));
            context
                .schedule_event(after, schedulable!(Self::arrive), job.at.max(1))
                .expect("later");
        }
    }
}

/// The sum of all waits.
pub fn waits(jobs: &Jobs) -> u128 {
    let stations = Arc::new(Mutex::new(Stations::new(jobs)));
    let state = State { jobs: Arc::clone(&jobs.list), next: 0, stations: Arc::clone(&stations) };
    let cluster = Cluster { state: Some(state) };
    let mut simulation = SimInit::with_num_threads(1)
        .add_model(cluster, Mailbox::new(), "cluster")
        .init(MonotonicTime::EPOCH)
        .expect("the bench is complete");
    simulation.run().expect("it runs to its end");
    let waits = stations.lock().expect("nobody panics with it").waits;
    waits
}
