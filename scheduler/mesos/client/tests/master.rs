//! The client and the core against the simulated master, over sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod daemon;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use daemon::Daemon;
use mesos::{Attribute, Encoding, Milli, Resource, Text, ValueType};
use policy::Nanoseconds;
use scheduler_core::app::{Bounds, Constraint, Need, Run, Specification};
use scheduler_core::event::Call;
use scheduler_core::volume::{Mount, Reserves};
use simulator_mesos::{
    AgentKey, AgentSpec, Body, Configuration, MILLISECOND, Profile, Restart, Span,
};
use simulator_mesos_server::{Handle, Server};
use tokio::runtime::Runtime;

const MOST: Duration = Duration::from_secs(40);

fn rack(name: &str) -> Attribute {
    Attribute {
        name: "rack".to_owned(),
        r#type: ValueType::Text.into(),
        text: Some(Text { value: name.to_owned() }),
        ..Attribute::default()
    }
}

struct Cluster {
    address: String,
    handle: Handle,
    agents: Vec<AgentKey>,
    _runtime: Runtime,
}

fn cluster() -> Cluster {
    cluster_with(None)
}

/// A cluster whose master takes back offers that nobody has used for so long.
fn cluster_with(offer_timeout: Option<u64>) -> Cluster {
    let runtime = Runtime::new().unwrap();
    let configuration = Configuration {
        agent_ping_timeout: 100 * MILLISECOND,
        max_agent_ping_timeouts: 2,
        allocation_interval: 100 * MILLISECOND,
        heartbeat_interval: 500 * MILLISECOND,
        offer_timeout,
        ..Configuration::default()
    };
    let listen = ([127, 0, 0, 1], 0).into();
    let (server, _runs) = runtime.block_on(Server::bind(listen, configuration)).unwrap();
    let (address, handle) = (server.address().to_string(), server.handle());
    let agents = (0..3).map(|number| add_agent(&handle, number, "a")).collect();
    runtime.spawn(server.run());
    Cluster { address, handle, agents, _runtime: runtime }
}

/// Adds an agent in a rack, and starts it.
fn add_agent(handle: &Handle, number: u32, in_rack: &str) -> AgentKey {
    let quick = Span::exactly(MILLISECOND);
    let profile = Profile { starting: quick, running: quick, ending: quick, ..Profile::default() };
    let spec = AgentSpec {
        hostname: format!("host-{number}"),
        ip: "127.0.0.1".into(),
        port: 5051,
        resources: vec![
            Resource::scalar("cpus", Milli(4000)),
            Resource::scalar("mem", Milli(4_096_000)),
            Resource::scalar("disk", Milli(10_000_000)),
            Resource::ranges("ports", &mesos::quantity::Intervals::new([(31_000, 31_099)])),
        ],
        attributes: vec![rack(in_rack)],
        domain: None,
        body: Body::Simulated(Arc::new(profile)),
    };
    handle.with(|master| {
        let key = master.add_agent(spec).unwrap();
        master.start_agent(key);
        key
    })
}

fn deploy(instances: u32) -> Call {
    let specification = Specification {
        label: "1".to_owned(),
        run: Run::Command(vec!["/bin/sleep".to_owned(), "1000".to_owned()]),
        need: Need { millicores: 500, memory_mib: 64, ports: 1 },
        environment: BTreeMap::new(),
        health_grace: None,
        kill_grace: Nanoseconds::from_seconds(1),
        warm_up: Some(Nanoseconds::ZERO),
        cool_down: Some(Nanoseconds::ZERO),
        constraints: Vec::new(),
        check: None,
        inner_ports: Vec::new(),
        discovery: scheduler_core::app::Discovery::default(),
        metrics: None,
        volumes: Vec::new(),
        reserves: Reserves::All,
    };
    let app = "web".parse().unwrap();
    let bounds = Bounds { min: instances, max: instances };
    Call::Deploy { app, specification: Arc::new(specification), bounds, step: None }
}

fn numbers(daemon: &Daemon) -> Vec<u64> {
    let state = daemon.state();
    state.apps().values().flat_map(|app| app.instances.keys().copied()).collect()
}

/// Deploys, scales in, ends; in both encodings.
#[test]
fn an_app_lives() {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let cluster = cluster();
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(folder.path(), &cluster.address, encoding);
        daemon.wait("machines", MOST, |one| one.state().machines().len() == 3);
        daemon.call(deploy(6));
        daemon.wait("six", MOST, |one| one.serving() == 6);
        let spread: Vec<usize> =
            daemon.state().machines().values().map(|one| one.instances.len()).collect();
        assert_eq!(spread, [2, 2, 2]);
        daemon.call(deploy(3));
        daemon.wait("three", MOST, |one| one.serving() == 3 && numbers(one).len() == 3);
        daemon.call(Call::Delete { app: "web".parse().unwrap(), keeps_volumes: false });
        daemon.wait("none", MOST, |one| one.state().apps().is_empty());
    }
}

/// A new scheduler finds what runs, and starts nothing again; so does one whose master restarts, and
/// one whose machine is away for a while.
#[test]
fn failures_of_schedulers_masters_and_agents() {
    let cluster = cluster();
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &cluster.address, Encoding::Protobuf);
    daemon.wait("machines", MOST, |one| one.state().machines().len() == 3);
    daemon.call(deploy(6));
    daemon.wait("six", MOST, |one| one.serving() == 6);
    let before = numbers(&daemon);

    drop(daemon);
    let daemon = Daemon::start(folder.path(), &cluster.address, Encoding::Protobuf);
    let subscribed = |one: &Daemon, count: usize| {
        let notices = one.notices.lock().unwrap();
        notices.iter().filter(|text| text.starts_with("subscribed")).count() >= count
    };
    daemon.wait("a subscription", MOST, |one| subscribed(one, 1));
    let is_heard = |one: &Daemon| {
        let state = one.state();
        let instances = state.apps().values().flat_map(|app| app.instances.values());
        instances.filter(|one| !one.is_doubted && one.heard.0 > 0).count() == 6
    };
    daemon.wait("answers", MOST, is_heard);
    assert_eq!(numbers(&daemon), before, "found again");

    cluster.handle.with(|master| master.restart(Restart::Registry, 300 * MILLISECOND));
    daemon.wait("another subscription", MOST, |one| subscribed(one, 2));
    std::thread::sleep(Duration::from_secs(1));
    let ends =
        || format!("{:?}", daemon.state().apps().values().next().map(|app| app.gone.clone()));
    assert_eq!(numbers(&daemon), before, "the master's restart changes nothing: {}", ends());
    assert_eq!(daemon.serving(), 6);

    cluster.handle.with(|master| master.cut_off_agent(cluster.agents[0]));
    let silent = |one: &Daemon| {
        let state = one.state();
        state.machines().values().filter(|machine| machine.silent_since.is_some()).count()
    };
    daemon.wait("silence", MOST, |one| silent(one) == 1);
    cluster.handle.with(|master| master.heal_agent(cluster.agents[0]));
    daemon.wait("return", MOST, |one| silent(one) == 0);
    daemon.call(deploy(8));
    daemon.wait("eight", MOST, |one| one.serving() == 8);
    assert!(before.iter().all(|number| numbers(&daemon).contains(number)));
}

/// What the master tells of frameworks.
fn page(address: &str) -> String {
    page_of(address, "frameworks")
}

fn page_of(address: &str, name: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("GET /{name} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// With constraints only machines that an app can use are offered, and others again without them.
#[test]
fn only_machines_that_apps_can_use_are_offered() {
    let cluster = cluster();
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &cluster.address, Encoding::Protobuf);
    daemon.wait("machines", MOST, |one| one.state().machines().len() == 3);
    let Call::Deploy { app, specification, bounds, step } = deploy(2) else { panic!() };
    let values = ["a".to_owned()].into();
    let constraint = Constraint::Attribute { name: "rack".to_owned(), values };
    let mut limited = specification.as_ref().clone();
    limited.constraints = vec![constraint];
    let deploy_limited =
        Call::Deploy { app: app.clone(), specification: Arc::new(limited), bounds, step };
    daemon.call(deploy_limited);
    daemon.wait("two", MOST, |one| one.serving() == 2);
    daemon.constrain();
    daemon.wait("constraints", MOST, |_| page(&cluster.address).contains("text_equals"));
    // The next ones are known by the first offer of them, or never.
    let known = |one: &Daemon, number: u32| {
        let name = format!("host-{number}").parse().unwrap();
        one.state().machines().contains_key(&name)
    };
    add_agent(&cluster.handle, 3, "b");
    add_agent(&cluster.handle, 4, "a");
    daemon.wait("one in the rack", MOST, |one| known(one, 4));
    daemon.call(Call::Scale { app: app.clone(), instances: 4, keeps_volumes: false });
    daemon.wait("four", MOST, |one| one.serving() == 4);
    assert!(!known(&daemon, 3), "one in another rack was offered");
    // Some app can use it now.
    daemon.call(Call::Deploy { app, specification, bounds, step });
    daemon.wait("deployed", MOST, |one| {
        let state = one.state();
        state.apps().values().all(|app| app.target.0 == 2 && app.deployment.is_none())
    });
    daemon.constrain();
    daemon.wait("one in another rack", MOST, |one| known(one, 3));
}

/// What the master says is reserved for the role, in all machines together: cores, or MiB.
fn all_reserved(address: &str, name: &str) -> Vec<serde_json::Value> {
    let page = page_of(address, "slaves");
    let body: serde_json::Value =
        serde_json::from_str(page.split_once("\r\n\r\n").unwrap().1).unwrap();
    let pointer = format!("/reserved_resources/corral/{name}");
    let agents = body["slaves"].as_array().unwrap().iter();
    agents.filter_map(|agent| agent.pointer(&pointer)).cloned().collect()
}

fn reserved_of(address: &str, name: &str) -> f64 {
    all_reserved(address, name).iter().filter_map(serde_json::Value::as_f64).sum()
}

/// How many ports are reserved: pages have ranges such as `[31000-31001, 31005-31005]`.
fn reserved_ports(address: &str) -> u64 {
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap();
        1 + last.parse::<u64>().unwrap() - first.parse::<u64>().unwrap()
    };
    let all = all_reserved(address, "ports");
    let all = all.iter().map(|ranges| ranges.as_str().unwrap().trim_matches(['[', ']']));
    all.flat_map(|ranges| ranges.split(", ").map(count)).sum()
}

/// Whether an offer of its machine didn't come for some instance in all its patience.
fn has_waited_in_vain(daemon: &Daemon) -> bool {
    let notices = daemon.notices.lock().unwrap();
    notices.iter().any(|notice| notice.contains("found no offer"))
}

fn reserved(address: &str) -> f64 {
    reserved_of(address, "disk")
}

/// An app with a volume, other than [`deploy`]'s in these.
fn stateful(label: &str, instances: u32, millicores: u32, reserves: Reserves) -> Call {
    let Call::Deploy { app, specification, .. } = deploy(instances) else { panic!() };
    let mut own = specification.as_ref().clone();
    label.clone_into(&mut own.label);
    (own.need.millicores, own.reserves) = (millicores, reserves);
    let (name, path) = ("data".parse().unwrap(), "/var/lib/app".to_owned());
    own.volumes = vec![Mount { name, path, size_mib: 100 }];
    let bounds = Bounds { min: instances, max: instances };
    Call::Deploy { app, specification: Arc::new(own), bounds, step: None }
}

fn is_deployed(daemon: &Daemon, version: u32) -> bool {
    let state = daemon.state();
    state.apps().values().all(|app| app.target.0 == version && app.deployment.is_none())
}

fn sets(daemon: &Daemon) -> Vec<(String, String)> {
    let state = daemon.state();
    let sets = state.volumes().iter();
    sets.map(|(id, volume)| (id.to_string(), volume.machine.to_string())).collect()
}

fn kept(daemon: &Daemon) -> usize {
    daemon.state().volumes().iter().filter(|(_, one)| one.user.is_none() && !one.is_ending).count()
}

/// Instances with volumes: reserved, created and launched in one; found again by the next instance,
/// the next version, the next scheduler; given back when users want them no more, whoever sees to it.
#[test]
fn volumes_outlive_instances_and_schedulers() {
    let cluster = cluster();
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &cluster.address, Encoding::Protobuf);
    daemon.wait("machines", MOST, |one| one.state().machines().len() == 3);
    daemon.call(stateful("1", 3, 500, Reserves::All));
    daemon.wait("three", MOST, |one| one.serving() == 3);
    let before = sets(&daemon);
    assert_eq!((before.len(), reserved(&cluster.address)), (3, 300.0));

    daemon.call(stateful("2", 3, 500, Reserves::All));
    daemon.wait("the second version", MOST, |one| is_deployed(one, 2));
    assert_eq!((sets(&daemon), reserved(&cluster.address)), (before.clone(), 300.0));

    let app: scheduler_core::ids::AppName = "web".parse().unwrap();
    daemon.call(Call::Scale { app: app.clone(), instances: 1, keeps_volumes: true });
    daemon.wait("one", MOST, |one| numbers(one).len() == 1 && kept(one) == 2);
    drop(daemon);
    let daemon = Daemon::start(folder.path(), &cluster.address, Encoding::Protobuf);
    daemon.wait("what was kept", MOST, |one| kept(one) == 2);
    daemon.call(Call::Scale { app: app.clone(), instances: 3, keeps_volumes: true });
    daemon.wait("three again", MOST, |one| one.serving() == 3);
    assert_eq!((sets(&daemon), reserved(&cluster.address)), (before, 300.0));

    daemon.call(Call::Scale { app: app.clone(), instances: 2, keeps_volumes: false });
    daemon.wait("two", MOST, |one| sets(one).len() == 2);
    daemon.wait("their disk", MOST, |_| reserved(&cluster.address) == 200.0);
    daemon.call(Call::Delete { app, keeps_volumes: false });
    daemon.wait("none", MOST, |one| one.state().apps().is_empty());
    drop(daemon);
    // The next one finishes what this one had begun.
    let daemon = Daemon::start(folder.path(), &cluster.address, Encoding::Protobuf);
    daemon.wait("no volumes", MOST, |one| sets(one).is_empty());
    daemon.wait("no reservations", MOST, |_| reserved(&cluster.address) == 0.0);
}

/// A second framework wants all that is free, all the time, and has less than its share, so that it is
/// offered first what comes free: what is reserved for instances with volumes isn't offered to it while
/// they are away, and what they don't need any more is.
#[test]
fn cores_memory_and_ports_of_volumes_are_nobody_elses() {
    // Else each framework would keep offers of what alone is of no use to the other one.
    let cluster = cluster_with(Some(1000 * MILLISECOND));
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start_greedy =
        || Daemon::start_as("greedy", other.path(), &cluster.address, Encoding::Protobuf);
    let greedy = start_greedy();
    greedy.wait("machines", MOST, |one| one.state().machines().len() == 3);
    greedy.call(deploy(6));
    greedy.wait("six", MOST, |one| one.serving() == 6);
    drop(greedy);
    let daemon = Daemon::start(folder.path(), &cluster.address, Encoding::Protobuf);
    daemon.wait("machines", MOST, |one| one.state().machines().len() == 3);
    daemon.call(stateful("1", 3, 3000, Reserves::All));
    daemon.wait("three", MOST, |one| one.serving() == 3);
    let cores = || reserved_of(&cluster.address, "cpus");
    assert_eq!((cores(), reserved_of(&cluster.address, "mem")), (9.0, 192.0));
    let greedy = start_greedy();
    greedy.call(deploy(100));

    // Each one goes away, and comes back to what is its own.
    daemon.call(stateful("2", 3, 3000, Reserves::All));
    daemon.wait("the second version", MOST, |one| is_deployed(one, 2) && one.serving() == 3);
    assert_eq!((cores(), greedy.serving()), (9.0, 6));
    // Its ports are its own, too: the other one is offered all that nobody has reserved.
    assert_eq!(reserved_ports(&cluster.address), 3);
    assert!(!has_waited_in_vain(&daemon));

    // One that needs more waits for it: its own part is kept meanwhile.
    daemon.call(stateful("3", 3, 3500, Reserves::All));
    daemon.wait("one waits", MOST, |one| one.serving() == 2);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((cores(), greedy.serving(), daemon.serving()), (9.0, 6, 2));
    greedy.call(deploy(3));
    greedy.wait("three", MOST, |one| numbers(one).len() == 3 && one.serving() == 3);
    drop(greedy);
    daemon.wait("the third version", MOST, |one| is_deployed(one, 3) && one.serving() == 3);
    assert_eq!(cores(), 10.5);

    // One that needs less gives the rest back. While nobody schedules, the other framework is offered all
    // that is free, and nothing else.
    let greedy = start_greedy();
    greedy.call(deploy(100));
    daemon.call(stateful("4", 3, 2500, Reserves::All));
    daemon.wait("the fourth version", MOST, |one| is_deployed(one, 4) && one.serving() == 3);
    assert_eq!(cores(), 7.5);
    assert!(!has_waited_in_vain(&daemon));
    let before = sets(&daemon);
    drop(daemon);
    greedy.wait("the rest", MOST, |one| one.serving() == 9);

    // A new scheduler keeps what the one before had reserved.
    let daemon = Daemon::start(folder.path(), &cluster.address, Encoding::Protobuf);
    daemon.call(stateful("5", 3, 2500, Reserves::All));
    daemon.wait("the fifth version", MOST, |one| is_deployed(one, 5) && one.serving() == 3);
    assert_eq!((sets(&daemon), cores(), greedy.serving()), (before, 7.5, 9));

    // Volumes that are kept for nobody keep their disk alone.
    let app: scheduler_core::ids::AppName = "web".parse().unwrap();
    daemon.call(Call::Scale { app: app.clone(), instances: 1, keeps_volumes: true });
    daemon.wait("two are kept", MOST, |one| kept(one) == 2);
    daemon.wait("their cores", MOST, |_| cores() == 2.5);
    assert_eq!(reserved(&cluster.address), 300.0);
    drop(daemon);
    greedy.wait("their cores", MOST, |one| one.serving() == 19);
    let daemon = Daemon::start(folder.path(), &cluster.address, Encoding::Protobuf);
    daemon.call(Call::Delete { app, keeps_volumes: false });
    daemon.wait("no cores", MOST, |one| cores() == 0.0 && one.state().apps().is_empty());
    drop(daemon);
    greedy.wait("all there is", MOST, |one| one.serving() == 24);
}

/// With its disk alone reserved, an app has no cores of its own, also when it had some before.
#[test]
fn disk_alone_is_reserved_if_an_app_says_so() {
    let cluster = cluster();
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &cluster.address, Encoding::Protobuf);
    daemon.wait("machines", MOST, |one| one.state().machines().len() == 3);
    daemon.call(stateful("1", 2, 500, Reserves::All));
    daemon.wait("two", MOST, |one| one.serving() == 2);
    let cores = || reserved_of(&cluster.address, "cpus");
    assert_eq!(cores(), 1.0);
    daemon.call(stateful("2", 2, 500, Reserves::Disk));
    daemon.wait("the second version", MOST, |one| is_deployed(one, 2) && one.serving() == 2);
    assert_eq!((cores(), reserved(&cluster.address)), (0.0, 200.0));
    daemon.call(stateful("3", 2, 500, Reserves::All));
    daemon.wait("the third version", MOST, |one| is_deployed(one, 3) && one.serving() == 2);
    assert_eq!(cores(), 1.0);
}
