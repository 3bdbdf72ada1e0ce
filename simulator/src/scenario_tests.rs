//! What scenario files mean, and what users are told about those that mean nothing.

use diagnostics::{Style, render_all};
use policy::Nanoseconds;
use policy::balance::Balance;
use simulator_kernel::Law;
use simulator_model::Arrivals;

use super::*;

const SMALL: &str = "version: 1
duration: 10s
machines: 2
policy: {preset: original}
apps:
  image: {instances: 4}
cmds:
  resize: {app: image, service: {exponential: 40ms}}
tenants:
  all: {class: free}
workload:
  - {tenants: all, cmd: resize, arrivals: {poisson: 100/s}}
";

fn found(text: &str, overrides: &[&str]) -> (Option<Scenario>, String) {
    let mut sources = Sources::default();
    let source = sources.add("scenario.yml", text);
    let overrides: Vec<Override> =
        overrides.iter().map(|text| Override::parse(text).unwrap()).collect();
    let found = read(source, &overrides, &mut sources, |name, sources| match name {
        "policy.yml" => Ok(sources.add("policy.yml", "preset: recommended\nqueue: {fre: 3}\n")),
        _ => Err("no such file".to_owned()),
    });
    (found.scenario, render_all(&found.diagnostics, &sources, Style::Plain))
}

fn scenario(text: &str, overrides: &[&str]) -> Scenario {
    let (scenario, told) = found(text, overrides);
    assert_eq!(told, "");
    scenario.unwrap()
}

#[test]
fn a_small_scenario() {
    let scenario = scenario(SMALL, &[]);
    let model = &scenario.model;
    assert_eq!((model.seed, model.gateways), (1, 1));
    assert_eq!(model.duration, Nanoseconds::from_seconds(10));
    assert_eq!(model.apps[0].all_instances(), 8);
    assert_eq!(model.cmds[0].service, Law::Exponential { mean: 4e7 });
    assert_eq!(model.sources[0].arrivals, Arrivals::Poisson { gap: 1e7 });
    assert_eq!(model.queue.free, 10);
}

#[test]
fn overrides_change_what_they_name() {
    let changes = [
        "policy.queue.free=3",
        "policy.balance={rule: random}",
        "workload.0.arrivals.poisson=50/s",
        "apps.image.instances=7",
        "seed=9",
    ];
    let scenario = scenario(SMALL, &changes);
    assert_eq!(scenario.model.queue.free, 3);
    assert_eq!(scenario.model.balance, Balance::Random);
    assert_eq!(scenario.model.sources[0].arrivals, Arrivals::Poisson { gap: 2e7 });
    assert_eq!(scenario.model.apps[0].instances, 7);
    assert_eq!(scenario.model.seed, 9);
    assert_ne!(scenario.policy.digest(), Policy::original().digest());
}

#[test]
fn a_lognormal_law_has_its_two_quantiles() {
    let law = "cmds.resize.service={lognormal: {p50: 40ms, p99: 400ms}}";
    let scenario = scenario(SMALL, &[law]);
    let law = &scenario.model.cmds[0].service;
    assert_eq!(law.median().0, 40_000_000);
    let high = law.sample(u64::MAX / 100 * 99).0;
    assert!(high.abs_diff(400_000_000) < 100, "{high}");
}

#[test]
fn errors_have_places_and_suggestions() {
    insta::assert_snapshot!(
        found(
            "version: 1
duration: 600
machines: 0
aps:
  image: {instances: 4}
apps:
  image: {instances: 4}
cmds:
  resize: {app: imagee, service: {exponental: 40ms}}
tenants:
  all: {class: gold}
workload:
  - {tenants: all, cmd: resize, arrivals: {poisson: 100}}
",
            &[]
        )
        .1
    );
}

#[test]
fn names_and_numbers_are_checked() {
    insta::assert_snapshot!(
        found(
            SMALL,
            &[
                "machines=0",
                "warm_up=10s",
                "apps.image.instances=5000",
                "cmds.resize.app=imag",
                "workload.0.cmd=crop",
                "workload.0.arrivals={burst: {at: 1min, requests: 5}}",
            ]
        )
        .1
    );
}

#[test]
fn laws_are_checked() {
    let mut told = String::new();
    for law in [
        "{lognormal: {p50: 40ms, p99: 4ms}}",
        "{hyperexponential: {share: 100%, first: 1s, second: 2s}}",
        "{quantiles: {p0: 1ms, p50: 20ms}}",
        "{quantiles: {p0: 1ms, median: 20ms, p100: 1s}}",
    ] {
        let (scenario, found) = found(SMALL, &[&format!("cmds.resize.service={law}")]);
        assert!(scenario.is_none());
        told.push_str(&found);
        told.push_str("\n\n");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn policy_files_and_overrides_have_their_own_places() {
    let mut told = String::new();
    for change in [
        "policy=policy.yml",
        "policy=none.yml",
        "policy.queue.fre=3",
        "policy.queue.free=many",
        "seed.x=1",
        "workload.3.cmd=crop",
        "seed=",
        "seed=[",
        "policy.queue={free: 3, free: 4}",
    ] {
        let (text, overrides) = match change.strip_prefix("policy=") {
            Some(name) => (SMALL.replace("{preset: original}", name), vec![]),
            None => (SMALL.to_owned(), vec![change]),
        };
        let (scenario, found) = found(&text, &overrides);
        assert!(scenario.is_none());
        told.push_str(&found);
        told.push_str("\n\n");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_load_that_cannot_work_is_warned_of() {
    let (scenario, told) = found(SMALL, &["workload.0.arrivals.poisson=300/s"]);
    assert!(scenario.is_some());
    insta::assert_snapshot!(told);
}

#[test]
fn what_is_no_scenario() {
    for text in ["", "- 1", "a", "a: 1\n---\nb: 2\n", ": :", "{"] {
        let (scenario, told) = found(text, &[]);
        assert!(scenario.is_none() && !told.is_empty(), "{text}");
    }
}
