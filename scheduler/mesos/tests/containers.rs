//! Names of containers: told once, of those that somebody asks for, also by the next scheduler.

#![allow(clippy::unwrap_used, reason = "a test")]

use mesos::scheduler::{Event, Subscribed, Update};
use mesos::{AgentId, ContainerId, ContainerStatus, FrameworkId, TaskId, TaskState, TaskStatus};
use policy::Time;
use scheduler_core::app::Need;
use scheduler_core::event::{Event as Fact, InstanceFact};
use scheduler_core::ports::Ports;
use scheduler_mesos::{Framework, Held, HeldInstance, Input, Output, Settings, Translator};

fn translator(is_nameless: bool) -> Translator {
    let framework = Framework {
        name: "corral".to_owned(),
        user: "root".to_owned(),
        role: "r".to_owned(),
        principal: None,
        hostname: None,
        webui_url: None,
        failover_timeout_seconds: 0,
    };
    let settings = Settings { framework, timezone: None, declares_limits: false };
    let mut translator = Translator::new(settings, Some(FrameworkId::new("F")));
    let held = HeldInstance {
        machine: "m1".parse().unwrap(),
        need: Need::default(),
        ports: Ports::default(),
        failures: 1,
        disk_mib: 0,
        volume: None,
        is_nameless,
    };
    let held = Held {
        machines: Vec::new(),
        instances: vec![("web.1".parse().unwrap(), held)],
        volumes: Vec::new(),
    };
    drop(translator.handle([Input::Held(held)], Time(1)));
    let event = Subscribed { framework_id: FrameworkId::new("F"), ..Subscribed::default() };
    drop(translator.handle([Input::Event(Box::new(Event::subscribed(event)))], Time(2)));
    translator
}

fn status(state: TaskState, container: Option<&str>) -> Input {
    let id = |text: &str| ContainerId { value: text.to_owned(), parent: None };
    let container_status = container
        .map(|text| ContainerStatus { container_id: Some(id(text)), ..Default::default() });
    let status = TaskStatus {
        task_id: TaskId::new("web.1"),
        agent_id: Some(AgentId::new("S1")),
        state: state.into(),
        container_status,
        ..TaskStatus::default()
    };
    Input::Event(Box::new(Event::update(Update { status })))
}

fn facts(outputs: Vec<Output>) -> Vec<InstanceFact> {
    let fact = |output| match output {
        Output::Event(Fact::Instance { fact, .. }) => Some(fact),
        _ => None,
    };
    outputs.into_iter().filter_map(fact).collect()
}

#[test]
fn the_name_of_a_container_is_told_before_it_runs() {
    let mut one = translator(true);
    let starting = one.handle([status(TaskState::Starting, None)], Time(3));
    assert_eq!(facts(starting), [InstanceFact::Launched]);
    let running = one.handle([status(TaskState::Running, Some("7f-1"))], Time(4));
    let named = InstanceFact::Container("mesos-7f-1".to_owned());
    assert_eq!(facts(running), [named, InstanceFact::Running]);
    let again = one.handle([status(TaskState::Running, Some("7f-1"))], Time(5));
    assert_eq!(facts(again), [InstanceFact::Running], "once");
}

#[test]
fn names_that_nobody_asks_for_are_not_told() {
    let mut one = translator(false);
    let running = one.handle([status(TaskState::Running, Some("7f-1"))], Time(3));
    assert_eq!(facts(running), [InstanceFact::Running]);
}
