//! The requests of a load, with the choices that its rule draws for each.

use std::sync::Arc;

use policy::balance::Balance;
use policy::random::{below, halves};
use policy::{Purpose, Words};
use simulator::loads::loads;
use simulator_model::{Model, Outcome, Workload, oracle};

/// The loads that other simulators are measured on.
pub const LOADS: [&str; 4] = [
    "M/M/16, load 0.9",
    "1,000 nodes, random",
    "1,000 nodes, two choices",
    "1,000 nodes, shortest queue",
];

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// In nanoseconds.
    pub at: u64,
    pub service: u64,
    /// The first node that is drawn: the only one, one of two, or where a search begins.
    pub first: u32,
    pub second: u32,
}

/// How a node is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    First,
    LessLoaded,
    Shortest,
}

/// The requests of a load.
#[derive(Debug, Clone)]
pub struct Jobs {
    pub list: Arc<Vec<Job>>,
    pub nodes: u32,
    pub servers: u32,
    pub rule: Rule,
    model: Model,
}

impl Jobs {
    pub fn of(name: &str, requests: usize) -> Self {
        // Some more than on average, so that there are enough.
        let wanted = u64::try_from(requests + requests / 20).expect("a small number");
        let load = loads(wanted).into_iter().find(|load| load.name == name);
        let model = load.expect("a load of the product").model;
        let app = &model.apps[0];
        let (nodes, servers) = app.targets(&model.queue);
        let words = Words::new(model.seed, Purpose::Balance, 0);
        let job = |arrival: simulator_model::Arrival| {
            let (low, high) = halves(words.of(arrival.key).word(0));
            let first = if nodes == 1 { 0 } else { below(low, nodes) };
            let other = below(high, nodes.saturating_sub(1).max(1));
            let second = if nodes == 1 { 0 } else { other + u32::from(other >= first) };
            Job { at: arrival.at.0, service: arrival.service.0, first, second }
        };
        let list: Vec<Job> = Workload::all(&model).into_iter().take(requests).map(job).collect();
        let rule = match model.balance {
            Balance::PowerOfChoices(_) => Rule::LessLoaded,
            Balance::JoinShortestQueue => Rule::Shortest,
            _ => Rule::First,
        };
        Jobs { list: Arc::new(list), nodes, servers, rule, model }
    }

    /// The first of them.
    pub fn first(&self, requests: usize) -> Self {
        let list = self.list.iter().take(requests).copied().collect();
        Jobs { list: Arc::new(list), ..self.clone() }
    }

    /// The wait of each request by the plain engine of the product.
    pub fn oracle_waits(&self) -> Vec<u64> {
        let mut outcomes: Vec<Option<Outcome>> = Vec::new();
        oracle::run(&self.model, &mut outcomes);
        let wait = |(outcome, job): (&Option<Outcome>, &Job)| {
            let served = outcome.expect("each request has an outcome").expect("nothing is refused");
            served.start.0 - job.at
        };
        outcomes.iter().zip(self.list.iter()).map(wait).collect()
    }
}
