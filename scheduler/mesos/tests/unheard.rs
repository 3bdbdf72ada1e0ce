//! Machines of which nothing is heard after a subscription.

#![allow(clippy::unwrap_used, reason = "a test")]

use mesos::scheduler::{Event, Offers, Subscribed, Update};
use mesos::{AgentId, FrameworkId, Offer, OfferId, Resource, TaskId, TaskState, TaskStatus};
use policy::{Nanoseconds, Time};
use scheduler_core::app::Need;
use scheduler_core::event::{Event as Fact, MachineFact};
use scheduler_core::machine::Description;
use scheduler_core::ports::Ports;
use scheduler_mesos::limits::UNHEARD_PATIENCE;
use scheduler_mesos::{
    AGENT_ATTRIBUTE, Framework, Held, HeldInstance, Input, Output, Settings, Translator,
};

fn translator(machines: &[&str], tasks: &[(&str, &str)]) -> Translator {
    let framework = Framework {
        name: "corral".to_owned(),
        user: "root".to_owned(),
        role: "*".to_owned(),
        principal: None,
        hostname: None,
        webui_url: None,
        failover_timeout_seconds: 0,
    };
    let settings = Settings { framework, timezone: None, declares_limits: false };
    let mut translator = Translator::new(settings, Some(FrameworkId::new("F")));
    let described = |name: &&str| {
        let agent = (AGENT_ATTRIBUTE.to_owned(), format!("agent-{name}"));
        let attributes = std::sync::Arc::new([agent].into());
        let description = Description { millicores: 1_000, attributes, ..Description::default() };
        (name.parse().unwrap(), description, false, false)
    };
    let task = |(id, machine): &(&str, &str)| {
        let held = HeldInstance {
            machine: machine.parse().unwrap(),
            need: Need::default(),
            ports: Ports::default(),
            failures: 1,
            disk_mib: 0,
            volume: None,
            is_nameless: false,
        };
        (id.parse().unwrap(), held)
    };
    let held = Held {
        machines: machines.iter().map(described).collect(),
        instances: tasks.iter().map(task).collect(),
        volumes: Vec::new(),
    };
    drop(translator.handle([Input::Held(held)], Time(1)));
    translator
}

fn at(seconds: u64) -> Time {
    Time(1_000_000_000) + Nanoseconds::from_seconds(seconds)
}

fn subscribed() -> Input {
    let event = Subscribed { framework_id: FrameworkId::new("F"), ..Subscribed::default() };
    Input::Event(Box::new(Event::subscribed(event)))
}

fn offer(machine: &str) -> Input {
    let offer = Offer {
        id: OfferId::new(format!("offer-{machine}")),
        framework_id: FrameworkId::new("F"),
        agent_id: AgentId::new(format!("agent-{machine}")),
        hostname: machine.to_owned(),
        resources: vec![Resource::scalar("cpus", mesos::quantity::Milli(1_000))],
        ..Offer::default()
    };
    Input::Event(Box::new(Event::offers(Offers { offers: vec![offer] })))
}

fn running(id: &str, machine: &str) -> Input {
    let status = TaskStatus {
        task_id: TaskId::new(id),
        agent_id: Some(AgentId::new(format!("agent-{machine}"))),
        state: TaskState::Running.into(),
        ..TaskStatus::default()
    };
    Input::Event(Box::new(Event::update(Update { status })))
}

/// What the core was told of machines, apart from what they have.
fn told(outputs: Vec<Output>) -> Vec<(String, &'static str)> {
    let word = |fact: &MachineFact| match fact {
        MachineFact::Up(_) => "up",
        MachineFact::Unheard => "unheard",
        _ => "else",
    };
    let fact = |output: Output| match output {
        Output::Event(Fact::Machine { machine, fact }) => Some((machine.to_string(), word(&fact))),
        _ => None,
    };
    outputs.into_iter().filter_map(fact).collect()
}

#[test]
fn who_is_not_heard_of_in_a_quarter_of_an_hour_is_told() {
    let names = ["offered", "runs", "silent-task", "bare"];
    let mut one = translator(&names, &[("web.1", "runs"), ("web.2", "silent-task")]);
    drop(one.handle([subscribed()], at(0)));
    drop(one.handle([offer("offered"), running("web.1", "runs")], at(1)));
    let limit = UNHEARD_PATIENCE.0 / 1_000_000_000;
    assert_eq!(told(one.handle([Input::Tick], at(limit - 1))), []);
    let unheard = |name: &str| (name.to_owned(), "unheard");
    let heard = told(one.handle([Input::Tick], at(limit)));
    assert_eq!(heard, [unheard("bare"), unheard("silent-task")]);
    assert_eq!(told(one.handle([Input::Tick], at(limit + 1))), [], "once");
    // Who comes back is news, though it has what it had.
    let back = told(one.handle([offer("bare"), running("web.2", "silent-task")], at(limit + 2)));
    assert_eq!(back, [("bare".to_owned(), "up"), ("silent-task".to_owned(), "up")]);
}

/// A stream that breaks says nothing of machines; after the next one they have as long again.
#[test]
fn the_time_counts_from_the_last_subscription() {
    let mut one = translator(&["bare"], &[]);
    let limit = UNHEARD_PATIENCE.0 / 1_000_000_000;
    drop(one.handle([subscribed()], at(0)));
    drop(one.handle([Input::Disconnected], at(limit / 2)));
    assert_eq!(told(one.handle([Input::Tick], at(2 * limit))), []);
    drop(one.handle([subscribed()], at(2 * limit)));
    assert_eq!(told(one.handle([Input::Tick], at(3 * limit - 1))), []);
    assert_eq!(told(one.handle([Input::Tick], at(3 * limit))).len(), 1);
}
