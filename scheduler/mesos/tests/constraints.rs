//! Which agents are asked for, by apps; held to what the core allows.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use mesos::FrameworkId;
use mesos::scheduler::{
    AttributeConstraint, CallType, Event, OfferConstraints, PseudoattributeType, Subscribed,
};
use policy::config::Policy;
use policy::{Nanoseconds, Time};
use scheduler_core::app::{Bounds, Constraint, Discovery, Need, Run, Specification};
use scheduler_core::event::{Call, Event as Fact};
use scheduler_core::ids::{Epoch, RequestId};
use scheduler_core::{State, apply_all};
use scheduler_mesos::{
    Framework, GROUPS_MOST, Input, Output, Settings, Translator, offer_constraints,
};

fn attribute(name: &str, values: &[&str]) -> Constraint {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Constraint::Attribute { name: name.to_owned(), values }
}

fn not(name: &str, values: &[&str]) -> Constraint {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Constraint::NotAttribute { name: name.to_owned(), values }
}

fn machines(names: &[&str]) -> Constraint {
    Constraint::Machines(names.iter().map(|name| name.parse().unwrap()).collect())
}

fn state(apps: &[(&str, Vec<Constraint>)]) -> State {
    let mut state = State::new(Policy::recommended());
    let deploy = |(app, constraints): &(&str, Vec<Constraint>)| {
        let specification = Specification {
            label: "1".to_owned(),
            run: Run::Command(vec!["x".to_owned()]),
            need: Need::default(),
            environment: BTreeMap::new(),
            health_grace: None,
            kill_grace: Nanoseconds::ZERO,
            warm_up: None,
            cool_down: None,
            constraints: constraints.clone(),
            check: None,
            inner_ports: Vec::new(),
            discovery: Discovery::default(),
            metrics: None,
            volumes: Vec::new(),
            reserves: scheduler_core::volume::Reserves::All,
        };
        let (app, bounds) = (app.parse().unwrap(), Bounds { min: 1, max: 1 });
        let specification = Arc::new(specification);
        let call = Call::Deploy { app, specification, bounds, step: None };
        Fact::Call { request: RequestId(1), call }
    };
    let calls: Vec<Fact> = apps.iter().map(deploy).collect();
    drop(apply_all(&mut state, [Fact::Leader { epoch: Epoch(1) }], Time(1)));
    drop(apply_all(&mut state, calls, Time(2)));
    state
}

/// A constraint in words.
fn words(one: &AttributeConstraint) -> String {
    let name = match (&one.selector.attribute_name, one.selector.pseudoattribute_type()) {
        (Some(name), _) => name.clone(),
        (None, PseudoattributeType::Hostname) => "host".to_owned(),
        (None, other) => panic!("{other:?}"),
    };
    match (&one.predicate.text_equals, &one.predicate.text_not_equals) {
        (Some(text), None) => format!("{name}={}", text.value),
        (None, Some(text)) => format!("{name}!={}", text.value),
        other => panic!("{other:?}"),
    }
}

/// Groups in words; none if all agents are wanted.
fn groups(constraints: Option<OfferConstraints>) -> Option<Vec<String>> {
    let role = constraints?.role_constraints.remove("r").unwrap();
    let group = |all: Vec<AttributeConstraint>| all.iter().map(words).collect::<Vec<_>>().join(" ");
    Some(role.groups.into_iter().map(|one| group(one.attribute_constraints)).collect())
}

fn asked(apps: &[(&str, Vec<Constraint>)]) -> Option<Vec<String>> {
    groups(offer_constraints(&state(apps), "r"))
}

#[test]
fn what_apps_leave() {
    assert_eq!(asked(&[]), None);
    assert_eq!(asked(&[("a", vec![])]), None);
    let rack = || attribute("rack", &["x", "y"]);
    assert_eq!(asked(&[("a", vec![rack()])]).unwrap(), ["rack=x", "rack=y"]);
    // One that can use any machine needs all offers.
    assert_eq!(asked(&[("a", vec![rack()]), ("b", vec![])]), None);
    let both = asked(&[("a", vec![rack()]), ("b", vec![attribute("disk", &["ssd"])])]);
    assert_eq!(both.unwrap(), ["disk=ssd", "rack=x", "rack=y"]);
    let together = vec![rack(), not("kind", &["old", "bad"]), Constraint::MostPerMachine(1)];
    assert_eq!(
        asked(&[("a", together)]).unwrap(),
        ["rack=x kind!=bad kind!=old", "rack=y kind!=bad kind!=old"]
    );
    let hosts = asked(&[("a", vec![machines(&["h1", "h2:5052"])])]);
    assert_eq!(hosts.unwrap(), ["host=h1", "host=h2"]);
}

#[test]
fn what_mesos_can_not_compare_is_not_sent() {
    for constraint in
        [attribute("zone", &["a"]), not("region", &["b"]), Constraint::MostPerMachine(2)]
    {
        assert_eq!(asked(&[("a", vec![constraint])]), None);
    }
    let values: Vec<String> = (0..=GROUPS_MOST).map(|number| number.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    assert_eq!(asked(&[("a", vec![attribute("rack", &values)])]), None);
    let (some, more) = (attribute("x", &values[..11]), attribute("y", &values[..11]));
    assert_eq!(asked(&[("a", vec![some, more])]), None, "11 times 11");
}

fn translator() -> Translator {
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
    Translator::new(settings, Some(FrameworkId::new("f")))
}

/// The constraints of each update that is sent, and the roles that are suppressed by it.
fn updates(outputs: Vec<Output>) -> Vec<(Option<Vec<String>>, Vec<String>)> {
    let update = |output| match output {
        Output::Call(call) if call.r#type() == CallType::UpdateFramework => {
            let update = call.update_framework.unwrap();
            assert_eq!(update.framework_info.id, Some(FrameworkId::new("f")));
            Some((groups(update.offer_constraints), update.suppressed_roles))
        }
        _ => None,
    };
    outputs.into_iter().filter_map(update).collect()
}

#[test]
fn the_master_is_told_when_it_may_not_know() {
    let wanted = |rack| offer_constraints(&state(&[("a", vec![attribute("rack", &[rack])])]), "r");
    let mut translator = translator();
    let give =
        |translator: &mut Translator, input, at| updates(translator.handle([input], Time(at)));
    assert_eq!(give(&mut translator, Input::Constrain(wanted("x")), 1), []);
    let subscribe = translator.subscribe().subscribe.unwrap();
    assert_eq!(groups(subscribe.offer_constraints).unwrap(), ["rack=x"]);
    let subscribed = Subscribed { framework_id: FrameworkId::new("f"), ..Subscribed::default() };
    let subscribed = Input::Event(Box::new(Event::subscribed(subscribed)));
    let told = give(&mut translator, subscribed, 2);
    assert_eq!(told, [(Some(vec!["rack=x".to_owned()]), vec![])]);
    assert_eq!(give(&mut translator, Input::Constrain(wanted("x")), 3), [], "nothing new");
    let told = give(&mut translator, Input::Constrain(wanted("y")), 4);
    assert_eq!(told, [(Some(vec!["rack=y".to_owned()]), vec![])]);

    // What is suppressed stays so.
    let hour = 3_600_000_000_000;
    drop(translator.handle([Input::Wanted(false), Input::Tick], Time(hour)));
    let told = give(&mut translator, Input::Constrain(None), hour + 1);
    assert_eq!(told, [(None, vec!["r".to_owned()])]);
}
