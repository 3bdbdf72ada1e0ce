//! What scenario files mean, and what users are told about those that mean nothing.

use diagnostics::{Style, render_all};
use policy::Nanoseconds;
use policy::balance::Balance;
use simulator_kernel::Law;
use simulator_model::{Arrivals, BackOff, Crowd, Followed, Share, Slowdown};

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
        "rates.csv" => Ok(sources.add("rates.csv", "from_s,day,night\n0,1,10\n5,2,0\n8,0.5,30\n")),
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
fn arrivals_whose_rate_changes() {
    let arrivals = |text: &str| {
        let change = format!("workload.0.arrivals={text}");
        scenario(SMALL, &[&change]).model.sources.swap_remove(0).arrivals
    };
    let seconds = Nanoseconds::from_seconds;
    let Arrivals::Sine(sine) = arrivals("{diurnal: {mean: 10/s, amplitude: 50%}}") else {
        panic!()
    };
    assert_eq!((sine.gap, sine.amplitude), (1e8, 0.5));
    assert_eq!((sine.period, sine.peak), (seconds(86_400), seconds(43_200)));
    let flash = "{flash: {base: 10/s, peak: 40/s, at: 2s, ramp: 1s, hold: 3s, decay: 2s}}";
    let flash = arrivals(flash);
    // 10 s of 10/s, and 30/s more for 3 s and two halves of 3 s.
    assert!((flash.expected(seconds(10)) - 235.0).abs() < 1e-9);
    let mmpp = "{mmpp: {quiet: {rate: 10/s, lasts: 3s}, burst: {rate: 50/s, lasts: 1s}}}";
    assert!((arrivals(mmpp).expected(seconds(10)) - 200.0).abs() < 1e-9);
    let profile = "{profile: {file: rates.csv, column: night, scale: 2, repeat: true}}";
    // 5 s of 10/s, 3 s of none, 3 s of 30/s, twice as many, and again after 11 s.
    let night = arrivals(profile);
    assert!((night.expected(seconds(11)) - 280.0).abs() < 1e-9);
    assert!((night.expected(seconds(16)) - 380.0).abs() < 1e-9);
    let day = arrivals("{profile: {file: rates.csv}}");
    assert!((day.expected(seconds(10)) - 12.0).abs() < 1e-9);
}

#[test]
fn arrivals_are_checked() {
    let mut told = String::new();
    for arrivals in [
        "{diurnal: {mean: 10/s, amplitude: 150%}}",
        "{diurnal: {mean: 10/s, amplitude: 100%, period: 0}}",
        "{flash: {base: 10/s, peak: 4/s, at: 1h, ramp: 1s, hold: 3s, decay: 2s}}",
        "{mmpp: {quiet: {rate: 10/s, lasts: 0}, burst: {rate: 50, lasts: 1s}}}",
        "{profile: {file: none.csv}}",
        "{profile: {file: rates.csv, column: nihgt}}",
        "{profile: {file: rates.csv, scale: -1}}",
        "{profile: {file: policy.yml}}",
    ] {
        let (scenario, found) = found(SMALL, &[&format!("workload.0.arrivals={arrivals}")]);
        assert!(scenario.is_none());
        told.push_str(&found);
        told.push_str("\n\n");
    }
    let short = ["duration=1min", "workload.0.arrivals={profile: {file: rates.csv}}"];
    told.push_str(&found(SMALL, &short).1);
    insta::assert_snapshot!(told);
}

#[test]
fn profiles_are_checked() {
    let mut told = String::new();
    for text in [
        "",
        "time,rate\n",
        "from_s\n0\n",
        "from_s,rate\n0,1\n",
        "from_s,rate\n1,1\n2,1\n",
        "from_s,rate\n0,1\n5,1\n5,2\n",
        "from_s,rate\n0,1\n5\n",
        "from_s,rate\n0,1\n5,NaN\n",
        "from_s,rate\n0,-1\n5,2\n",
        "from_s,rate\n0,1\n1h,2\n",
    ] {
        let mut sources = Sources::default();
        let source = sources.add("rates.csv", text);
        let found = profile::read(source, &sources, None, 1.0, false).unwrap_err();
        told.push_str(&render_all(&[*found], &sources, Style::Plain));
        told.push_str("\n\n");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn names_of_traces_have_meanings() {
    let text = format!("{SMALL}replay:\n  cmds: {{jpg: resize}}\n  service: law\n");
    let scenario = scenario(&text, &[]);
    let cmds = &scenario.model.cmds;
    assert_eq!(scenario.replay.cmd("jpg", cmds), Some(0));
    assert_eq!(scenario.replay.cmd("resize", cmds), Some(0));
    assert_eq!(scenario.replay.cmd("png", cmds), None);
    assert_eq!(scenario.replay.service, ServiceTimes::Law);
    let (wrong, told) = found(&text, &["replay.others=rezise"]);
    assert!(wrong.is_none() && told.contains("did you mean `resize`?"), "{told}");
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
fn stages_and_sizes() {
    let text = SMALL.replace(
        "cmds:",
        "stages:
  accept: 50us
  dispatch: {exponential: 300us}
  network: {latency: 3ms, bandwidth: 100MB/s}
  store: {bandwidth: 2GB/s}
cmds:
  plain: {app: image, service: {constant: 1s}}",
    );
    let sizes = [
        "cmds.resize.source_size={quantiles: {p0: 4KB, p50: 400KB, p100: 60MB}}",
        "cmds.resize.cached=30%",
        "cmds.resize.answer_size=40KB",
    ];
    let model = scenario(&text, &sizes).model;
    assert!(model.is_dynamic());
    let plain = model.cmds[0].stages.clone().unwrap();
    assert_eq!(plain.accept, Law::Constant(Nanoseconds(50_000)));
    assert_eq!((plain.download, plain.respond), (None, None));
    let stages = model.cmds[1].stages.clone().unwrap();
    assert_eq!(stages.dispatch, Law::Exponential { mean: 3e5 });
    let download = stages.download.unwrap();
    assert_eq!(download.size.median().0, 400_000);
    assert_eq!((download.cached, download.network.bandwidth), (0.3, Some(100_000_000)));
    assert_eq!(download.network.latency, Law::Constant(Nanoseconds(3_000_000)));
    assert_eq!(download.store.bandwidth, Some(2_000_000_000));
    assert_eq!(stages.respond.unwrap().size, Law::Constant(Nanoseconds(40_000)));
    // What takes no time is no stage.
    let nothing = scenario(SMALL, &["stages={network: {bandwidth: 1GB/s}}"]).model;
    assert!(nothing.cmds[0].stages.is_none() && !nothing.is_dynamic());
}

#[test]
fn stages_are_checked() {
    let mut told = String::new();
    let network = "stages={network: {latency: 3ms, bandwidth: 100MB/s}}";
    let cases: [&[&str]; 9] = [
        &["cmds.resize.source_size=400KB"],
        &["cmds.resize.answer_size=400KB"],
        &[network, "cmds.resize.cached=30%"],
        &[network, "cmds.resize.source_size=400"],
        &[network, "cmds.resize.source_size={quantiles: {p0: 4KB, p50: 400MB, p100: 6MB}}"],
        &[network, "cmds.resize.source_size=1MB", "cmds.resize.cached=130%"],
        &["stages={network: {latency: 3, bandwidth: 100Mb/s}}"],
        &["stages={acept: 3ms, network: {bandwith: 1GB/s}}"],
        &["stages={dispatch: {lognormal: {p50: 3ms, p99: 1ms}}}"],
    ];
    for changes in cases {
        let (scenario, found) = found(SMALL, changes);
        assert!(scenario.is_none(), "{changes:?}");
        told.push_str(&found);
        told.push_str("\n\n");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn links_that_transfers_share() {
    let network =
        "stages={network: {bandwidth: 40MB/s, machine: 1Gbit/s}, store: {machine: 2GB/s}}";
    let sizes = ["cmds.resize.source_size=1MB", "cmds.resize.answer_size=10KB"];
    let changes = [&[network][..], &sizes].concat();
    let model = scenario(SMALL, &changes).model;
    assert!(model.shares_links());
    let links = model.dynamics.links;
    assert_eq!(links.network, Some(Share { bandwidth: 125_000_000, each: Some(40_000_000) }));
    assert_eq!(links.store, Some(Share { bandwidth: 2_000_000_000, each: None }));
    // Without sizes nothing is sent.
    assert!(!scenario(SMALL, &[network]).model.shares_links());
    let slow = ["stages.network.machine=1Mbit/s"];
    let (doubtful, told) = found(SMALL, &[&changes[..], &slow].concat());
    assert!(doubtful.is_some());
    assert!(told.contains("warning[overload]: `network in` of a machine can't keep up"), "{told}");
    assert!(told.contains("`network out` of a machine can't keep up"), "{told}");
    assert!(told.contains("of all transfers of a machine together"), "{told}");
    let behind = ["gateways={count: 3, network_delay: 2ms, reports_every: 10ms}"];
    let (refused, told) = found(SMALL, &[&changes[..], &behind].concat());
    assert!(refused.is_none());
    assert!(told.contains("transfers can share the links of machines with live gateways only"));
    let (refused, told) = found(SMALL, &["stages={network: {machine: 80000GB/s}}"]);
    assert!(refused.is_none() && told.contains("at most 70 TB/s can be simulated"), "{told}");
}

#[test]
fn answers_are_sources() {
    let cmd = |then: &str| format!("{{app: image, service: {{exponential: 40ms}}{then}}}");
    let cmds = |a: &str, b: &str| format!("cmds={{a: {}, b: {}}}", cmd(a), cmd(b));
    let first = "workload.0.cmd=a";
    let many = "apps.image.instances=8";
    let model = scenario(SMALL, &[&cmds(", then: b", ""), first, many]).model;
    assert_eq!(model.pipelines(), [Followed { source: 0, by: 1 }]);
    assert_eq!(model.sources[1].arrivals, Arrivals::Recorded { requests: 1000 });
    assert_eq!((model.sources[1].cmd, model.is_dynamic()), (1, true));
    // Both steps count against what instances can do: 100/s · 80 ms for 8 instances.
    let (_, told) = found(SMALL, &[&cmds(", then: b", ""), first]);
    assert!(told.contains("its steady load is 100 %"), "{told}");
    let mut told = String::new();
    let retried = "workload.0.retries={attempts: 3}";
    let behind = "gateways={count: 3, network_delay: 2ms, reports_every: 10ms}";
    let circle = cmds(", then: b", ", then: a");
    let unknown = cmds(", then: c", "");
    let good = cmds(", then: b", "");
    for changes in [
        [circle.as_str(), first, first],
        [&unknown, first, first],
        [&good, first, retried],
        [&good, first, behind],
    ] {
        let (scenario, found) = found(SMALL, &changes);
        assert!(scenario.is_none(), "{changes:?}");
        told.push_str(&found);
        told.push_str("\n\n");
    }
    insta::assert_snapshot!(told);
}

const BEHIND: &str = "gateways={count: 3, network_delay: 2ms, reports_every: 10ms}";

#[test]
fn what_queues_and_balancers_can_not_be_with() {
    let central = "policy.queue={scope: central}";
    assert!(scenario(SMALL, &[central]).model.is_dynamic());
    let predicting = "policy.admission.deadlines=predict";
    assert!(scenario(SMALL, &[predicting]).model.is_dynamic());
    let overload = "policy.admission.overload={rule: dagor}";
    assert!(scenario(SMALL, &[overload]).model.is_dynamic());
    // Priorities go by reports there, rules about waits by what targets know.
    let codel = "policy.queue={overload: {law: codel, target: 5ms, interval: 100ms}}";
    for rule in [overload, predicting, "policy.queue={longest_wait: {paid: 1s}}", codel] {
        assert!(scenario(SMALL, &[rule, BEHIND]).model.network.is_some());
    }
    let shared = "stages={network: {machine: 1Gbit/s}}";
    let sizes = ["cmds.resize.source_size=400KB", "cmds.resize.answer_size=60KB"];
    let mut told = String::new();
    for changes in [
        vec![central, shared, sizes[0], sizes[1]],
        vec![central, "apps.image.concurrency=4", "stages={dispatch: 1ms}"],
        vec![central, BEHIND],
        vec!["policy.queue={order: deficit_round_robin}", BEHIND],
        vec!["policy.balance={rule: prequal}", BEHIND],
    ] {
        let (scenario, found) = found(SMALL, &changes);
        assert!(scenario.is_none(), "{changes:?}");
        told.push_str(&found);
        told.push_str("\n\n");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn clients_that_try_again() {
    let retries = |text: &str| {
        let model = scenario(SMALL, &[&format!("workload.0.retries={text}")]).model;
        assert!(model.is_dynamic());
        model.sources[0].retries.unwrap()
    };
    let given = retries("{attempts: 3}");
    assert_eq!((given.attempts, given.back_off), (3, BackOff::None));
    assert_eq!((given.jitter, given.budget), (0, None));
    assert_eq!(retries("{attempts: 3, back_off: none}"), given);
    let given = retries("{attempts: 2, back_off: 1500ms, jitter: 50%, budget: 10%}");
    assert_eq!(given.back_off, BackOff::Constant(Nanoseconds::from_milliseconds(1_500)));
    assert_eq!((given.jitter, given.budget), (500, Some(100)));
    let given = retries("{attempts: 16, back_off: {exponential: {first: 1s, most: 8s}}}");
    let (first, most) = (Nanoseconds::from_seconds(1), Nanoseconds::from_seconds(8));
    assert_eq!(given.back_off, BackOff::Exponential { first, most });
}

#[test]
fn retries_are_checked() {
    let mut told = String::new();
    for retries in [
        "{attempts: 1}",
        "{attempts: 17}",
        "{back_off: none}",
        "{attempts: 3, backoff: 1s}",
        "{attempts: 3, back_off: never}",
        "{attempts: 3, back_off: 1}",
        "{attempts: 3, back_off: {exponential: {first: 2s, most: 1s}}}",
        "{attempts: 3, back_off: {exponental: {first: 2s, most: 1s}}}",
        "{attempts: 3, jitter: 50%}",
        "{attempts: 3, budget: 10}",
    ] {
        let (scenario, found) = found(SMALL, &[&format!("workload.0.retries={retries}")]);
        assert!(scenario.is_none(), "{retries}");
        told.push_str(&found);
        told.push_str("\n\n");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn several_requests_at_a_time() {
    let app = |text: &str| scenario(SMALL, &[text]).model.apps.swap_remove(0);
    assert_eq!(app("apps.image={instances: 4, cores: 2, concurrency: 1}").crowd, None);
    let crowd = app("apps.image={instances: 4, cores: 2, concurrency: 6}").crowd.unwrap();
    assert_eq!(crowd, Crowd::new(6, 2, 1, &Slowdown::NONE));
    let given = "{instances: 4, cores: 2, concurrency: 6, cores_per_request: 2, slowdown: {x1: 1, x2: 1.5}}";
    let crowd = app(&format!("apps.image={given}")).crowd.unwrap();
    let slowdown = Slowdown::new(vec![(1.0, 1.0), (2.0, 1.5)]).unwrap();
    assert_eq!(crowd, Crowd::new(6, 2, 2, &slowdown));
}

#[test]
fn crowds_are_checked() {
    let mut told = String::new();
    for app in [
        "{instances: 4, concurrency: 0}",
        "{instances: 4, concurrency: 5000}",
        "{instances: 4, concurency: 2}",
        "{instances: 4, concurrency: 2, cores_per_request: 0}",
        "{instances: 4, concurrency: 2, slowdown: {x2: 1.5, x1: 1}}",
        "{instances: 4, concurrency: 2, slowdown: {x1: 1, x2: -1}}",
        "{instances: 4, concurrency: 2, slowdown: {two: 1.5}}",
        "{instances: 4, concurrency: 2, slowdown: 1.5}",
        "{instances: 4, concurrency: 2, scales: {max: 8}}",
    ] {
        let (scenario, found) = found(SMALL, &["cores=32", &format!("apps.image={app}")]);
        assert!(scenario.is_none(), "{app}");
        told.push_str(&found);
        told.push_str("\n\n");
    }
    let scales = "apps.image={instances: 4, concurrency: 2, scales: {min: 4, max: 16}}";
    assert!(found(SMALL, &["cores=32", scales]).0.is_some());
    // One core does the work of one request at a time, whatever the concurrency.
    let load = "workload.0.arrivals.poisson=300/s";
    told.push_str(&found(SMALL, &[load, "apps.image={instances: 4, concurrency: 16}"]).1);
    insta::assert_snapshot!(told);
}

#[test]
fn slips_in_units_are_told() {
    let mut told = String::new();
    for slip in [
        "duration=600",
        "cmds.resize.service={exponential: 40 ms}",
        "cmds.resize.service={exponential: 40msec}",
        "cmds.resize.service={exponential: -40ms}",
        "cmds.resize.service={exponential: .nan}",
        "workload.0.arrivals.poisson=50",
        "stages={network: {bandwidth: 100MB}}",
        "cmds.resize.answer_size=60K",
    ] {
        let (scenario, text) = found(SMALL, &[slip]);
        assert!(scenario.is_none(), "{slip}");
        told.push_str(&format!("{text}\n\n"));
    }
    told.push_str(&found("", &[]).1);
    insta::assert_snapshot!(told);
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

/// What changes nothing changes no digest: remarks, and the order of keys. That of apps and sources may.
#[test]
fn digests_are_of_what_a_file_means() {
    let digest = |text: &str| scenario(text, &[]).digest;
    let same = SMALL.replace(
        "resize: {app: image, service: {exponential: 40ms}}",
        "resize: {service: {exponential: 40ms}, app: image}     # as before",
    );
    let moved = SMALL.replace("machines: 2\n", "").replace("version: 1", "machines: 2\nversion: 1");
    assert_eq!((digest(&same), digest(&moved)), (digest(SMALL), digest(SMALL)));
    let as_written = |text: &str| scenario(text, &[]).digest_as_written;
    assert_ne!(as_written(&same), as_written(SMALL));
    let two = |first: &str, second: &str| {
        let apps = format!("apps:\n  {first}: {{instances: 4}}\n  {second}: {{instances: 4}}\n");
        SMALL.replace("apps:\n  image: {instances: 4}\n", &apps)
    };
    assert_ne!(digest(&two("image", "video")), digest(&two("video", "image")));
    assert_ne!(digest(&SMALL.replace("instances: 4", "instances: 5")), digest(SMALL));
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

#[test]
fn gateways_behind_a_network() {
    let given = "gateways={count: 3, network_delay: 2ms, reports_every: 10ms}";
    let scenario = scenario(SMALL, &[given]);
    let network = scenario.model.network.unwrap();
    assert_eq!(scenario.model.gateways, 3);
    assert_eq!(network.delay, Nanoseconds::from_milliseconds(2));
    assert_eq!(network.reports, Nanoseconds::from_milliseconds(10));
}

#[test]
fn gateways_behind_a_network_that_make_no_sense() {
    let told = |given: &str| {
        let (scenario, told) = found(SMALL, &[given]);
        assert!(scenario.is_none());
        told
    };
    let cases = [
        "gateways={count: 3, network_delay: 0s, reports_every: 10ms}",
        "gateways={count: 3, network_delay: 1001ms, reports_every: 1001ms}",
        "gateways={count: 3, network_delay: 2ms, reports_every: 5ms}",
        "gateways={count: 3, network_delay: 2ms}",
        "gateways={count: 3, network_delay: 2ms, reports: 5ms}",
        "gateways={count: 2000, network_delay: 2ms, reports_every: 10ms}",
        "gateways=many",
    ];
    insta::assert_snapshot!(cases.map(told).join("\n"));
}

#[test]
fn limits_of_the_cluster_need_live_gateways() {
    let limit = "policy.admission={accept: {permits: 10, scope: cluster}}";
    let network = "gateways={count: 3, network_delay: 2ms, reports_every: 10ms}";
    let (scenario, told) = found(SMALL, &[limit, network]);
    assert!(scenario.is_none());
    assert!(told.contains("admission.accept counts over the cluster"), "{told}");
}

#[test]
fn faults_by_chance_have_laws() {
    use simulator_model::{Crash, Effect};
    let text = format!(
        "{SMALL}racks: 2\nfaults:\n  - {{each: machine, mtbf: 30d, mttr: {{constant: 5min}}}}\n  \
         - {{each: rack, mtbf: 90d, mttr: 1h, slowdown: 2.5}}\n  \
         - {{each: instance, mtbf: 1h}}\n  - {{app: image, machine: 1, at: 5s}}\n"
    );
    let faults = scenario(&text, &[]).model.dynamics.faults;
    let day = 86_400e9;
    assert_eq!(faults.chances[0].between, Law::Exponential { mean: 30.0 * day });
    assert_eq!(faults.chances[0].lasts, Law::Constant(Nanoseconds::from_seconds(300)));
    assert_eq!(faults.chances[1].racks, Some(2));
    assert_eq!(faults.chances[1].effect, Effect::Slows(1500));
    assert_eq!(faults.crashes[0].app, None);
    let at = policy::Time(5_000_000_000);
    assert_eq!(faults.instances, [Crash { app: 0, machine: 1, at }]);
}

#[test]
fn faults_are_checked() {
    let mut told = String::new();
    for fault in [
        "{machine: 0, mtbf: 3d}",
        "{machine: 0, at: 1s, each: machine}",
        "{machine: 0, at: 1s}",
        "{machine: 7, at: 1s, for: 0s}",
        "{at: 1s, for: 2s}",
        "{app: imge, machine: 0, at: 1s}",
        "{app: image, at: 1s, slowdown: 2}",
        "{each: machine, mttr: 1s}",
        "{each: machine, mtbf: 3d, app: image}",
        "{each: machine, mtbf: 3}",
        "{each: rack, mtbf: 3d, mttr: {constant: 0}}",
        "{each: instance, mtbf: 1us, for: 3s}",
        "{each: instances, mtbf: 1s}",
        "{each: machine, mtbf: 3d, mttr: 1s, slowdown: 0.5}",
    ] {
        let (scenario, text) = found(&format!("{SMALL}faults: [{fault}]\n"), &[]);
        assert!(scenario.is_none(), "{fault}");
        told.push_str(&text);
        told.push('\n');
    }
    insta::assert_snapshot!(told);
}

#[test]
fn upgrades_bring_a_scheduler() {
    let text = format!(
        "{SMALL}scheduler: {{facts: 1s}}\nupgrades:\n  - {{app: image, to: v2, at: 5s, step: 2, \
         service_scale: 1.5}}\n  - {{app: image, to: v3, at: 6s, mtbf: 20s, healthy: false}}\n"
    );
    let scheduler = scenario(&text, &[]).model.dynamics.scheduler.unwrap();
    assert_eq!(scheduler.facts, Nanoseconds::from_seconds(1));
    assert_eq!(scheduler.commands, Nanoseconds::from_milliseconds(50));
    assert_eq!(scheduler.upgrades[0].version.service_thousandths, 1500);
    assert_eq!(scheduler.upgrades[0].step, Some(2));
    assert_eq!(scheduler.upgrades[1].version.crashes, Some(Law::Exponential { mean: 2e10 }));
    assert!(!scheduler.upgrades[1].version.is_healthy);
    assert!(scenario(SMALL, &["control=scheduler"]).model.dynamics.scheduler.is_some());
    assert!(scenario(SMALL, &["control=direct"]).model.dynamics.scheduler.is_none());
}

#[test]
fn upgrades_are_checked() {
    let mut told = String::new();
    for text in [
        "control: direct\nupgrades: [{app: image, to: v2, at: 5s}]",
        "control: mesos",
        "scheduler: {tick: 1ms}",
        "upgrades: [{app: imag, to: v2, at: 5s}]",
        "upgrades: [{app: image, to: first, at: 5s}]",
        "upgrades: [{app: image, to: v2, at: 5s}, {app: image, to: v2, at: 6s}]",
        "upgrades: [{app: image, to: v2, at: 10s}]",
        "upgrades: [{app: image, to: v2, at: 1s, step: 0, service_scale: 0}]",
    ] {
        let (scenario, wrong) = found(&format!("{SMALL}{text}\n"), &[]);
        assert!(scenario.is_none(), "{text}");
        told.push_str(&wrong);
        told.push('\n');
    }
    insta::assert_snapshot!(told);
}
