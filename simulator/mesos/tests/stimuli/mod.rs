//! What happened to agents in the recorded sessions, and how their tasks behaved.

use std::sync::Arc;

use mesos::{
    Attribute, Milli, Ranges, ReservationInfo, ReservationType, Resource, Scalar, StatusReason,
    TaskState, Text, ValueType, quantity::Intervals,
};
use simulator_mesos::wire::Leader;
use simulator_mesos::{
    AgentSpec, Body, Configuration, End, MILLISECOND, Nanoseconds, Profile, Restart, Rule, SECOND,
    Span,
};

/// Something that happens to an agent or to a connection.
#[derive(Clone)]
pub enum Act {
    Join(Box<AgentSpec>),
    Start(usize),
    Crash(usize),
    Unregister(usize),
    Disconnect(&'static str),
    Restart(Restart, Nanoseconds),
    /// A master at another port is elected; agents don't come by themselves within the session.
    Elect(u16),
}

/// A recorded session.
pub struct Session {
    pub name: &'static str,
    pub configuration: Configuration,
    pub acts: Vec<(Nanoseconds, Act)>,
    /// How much later things happen here, so that the runs of the allocator come at the same times.
    pub shift: Nanoseconds,
    /// Parts of the names of messages that aren't the master's.
    pub skips: Vec<&'static str>,
    /// Fields that are not compared.
    pub ignored: Vec<&'static str>,
    /// Ids that frameworks gave: they are the same.
    pub names: Vec<&'static str>,
    /// Events that come because a session ends later here.
    pub extras: Vec<&'static str>,
    /// The body of requests that were packed on the wire.
    pub unpacked: String,
    /// Who leads in the eyes of the master that a message is sent to.
    pub leader: fn(&str) -> Leader,
}

fn session(name: &'static str) -> Session {
    Session {
        name,
        configuration: Configuration::default(),
        acts: Vec::new(),
        shift: 0,
        skips: vec!["http.agent-", "api.agent.", "http.files"],
        ignored: vec!["flags", "build_date", "build_time", "build_user"],
        names: Vec::new(),
        extras: Vec::new(),
        unpacked: String::new(),
        leader: |_| Leader::Us,
    }
}

const fn ms(milliseconds: u64) -> Nanoseconds {
    milliseconds * MILLISECOND
}

fn agent(hostname: &str, port: u16, cpus: f64, mem: f64, rules: Vec<Rule>) -> Act {
    let text = |name: &str, value: &str| Attribute {
        name: name.into(),
        r#type: ValueType::Text.into(),
        text: Some(Text { value: value.into() }),
        ..Attribute::default()
    };
    let profile = Profile { rules, ..Profile::default() };
    Act::Join(Box::new(AgentSpec {
        hostname: hostname.into(),
        ip: "127.0.0.1".into(),
        port,
        resources: vec![
            Resource::scalar("cpus", Milli::from_f64(cpus)),
            Resource::scalar("mem", Milli::from_f64(mem)),
            Resource::scalar("disk", Milli::from_f64(10240.0)),
            Resource::ranges("ports", &Intervals::new([(31000, 31999)])),
        ],
        attributes: vec![
            text("rack", "r1"),
            text("zone", "a"),
            Attribute {
                name: "num".into(),
                r#type: ValueType::Scalar.into(),
                scalar: Some(Scalar { value: 42.0 }),
                ..Attribute::default()
            },
            Attribute {
                name: "rng".into(),
                r#type: ValueType::Ranges.into(),
                ranges: Some(Ranges::from(&Intervals::new([(1, 10)]))),
                ..Attribute::default()
            },
        ],
        domain: None,
        body: Body::Simulated(Arc::new(profile)),
    }))
}

fn usual(rules: Vec<Rule>) -> Act {
    agent("127.0.0.1", 5051, 4.0, 4096.0, rules)
}

fn rule(prefix: &str) -> Rule {
    Rule { prefix: prefix.into(), ..Rule::default() }
}

fn ends(prefix: &str, starting: u64, runs: u64, end: End) -> Rule {
    Rule {
        starting: Some(Span::exactly(ms(starting))),
        runs: Some(Span::exactly(ms(runs))),
        end,
        ..rule(prefix)
    }
}

fn starts(prefix: &str, starting: u64) -> Rule {
    Rule { starting: Some(Span::exactly(ms(starting))), ..rule(prefix) }
}

pub fn sessions() -> Vec<Session> {
    vec![
        pages(),
        basic(),
        refusals(),
        timeouts(),
        errors(),
        failover(),
        losses(),
        protobuf(),
        maintenance(),
        reservations(),
        redirects(),
        timing(),
        restarts(),
        wire(),
        scale(),
    ]
}

/// 01: what operators are told.
fn pages() -> Session {
    Session {
        acts: vec![(ms(2920), usual(Vec::new())), (ms(19_869), Act::Disconnect("operator"))],
        ..session("01")
    }
}

/// 11: reservations and volumes; quota and weights are answered with 501.
fn reservations() -> Session {
    let Act::Join(mut spec) = usual(vec![starts("pv", 310)]) else { unreachable!() };
    for (name, amount) in [("cpus", 1.0), ("mem", 256.0)] {
        let info = ReservationInfo {
            r#type: Some(ReservationType::Static.into()),
            role: Some("static".into()),
            ..ReservationInfo::default()
        };
        let resource = Resource::scalar(name, Milli::from_f64(amount));
        spec.resources.push(Resource { reservations: vec![info], ..resource });
    }
    Session {
        acts: vec![(ms(300), Act::Join(spec))],
        shift: ms(650),
        names: vec!["pv"],
        ..session("11")
    }
}

/// 12: masters that don't lead, and the end of the one that does.
fn redirects() -> Session {
    Session {
        acts: vec![
            (ms(10_800), usual(vec![starts("ha1", 380)])),
            (ms(11_246), Act::Disconnect("sched")),
            (ms(21_424), Act::Elect(5070)),
            (ms(22_245), Act::Start(0)),
        ],
        shift: ms(300),
        leader: |file| {
            if ["5050", "5070", "nonleader"].iter().any(|word| file.contains(word)) {
                Leader::Other(Some("127.0.0.1:5060".into()))
            } else {
                Leader::Us
            }
        },
        configuration: Configuration { port: 5060, ..Configuration::default() },
        ..session("12")
    }
}

/// 02: a task's whole life, what is refused, checks.
fn basic() -> Session {
    let refused = |prefix: &str, starting, state, reason, message: &str| Rule {
        starting: Some(Span::exactly(ms(starting))),
        end: End::Refused { state, reason, message: message.into() },
        ..rule(prefix)
    };
    let rules = vec![
        Rule { ignores_term: true, ..starts("stubborn", 690) },
        starts("sleep-1", 1134),
        ends("exit3", 1150, 500, End::Exits(3)),
        ends("exit0", 1230, 300, End::Exits(0)),
        ends("sig9", 1200, 500, End::Signal("Killed".into())),
        ends("nosuchbin", 1010, 500, End::Exits(1)),
        ends("norole", 593, 330, End::Exits(0)),
        refused(
            "baduser",
            90,
            TaskState::Lost,
            StatusReason::ExecutorTerminated,
            "Failed to create executor directory",
        ),
        refused(
            "baduri",
            900,
            TaskState::Failed,
            StatusReason::ContainerLaunchFailed,
            "Failed to launch container",
        ),
        Rule { unhealthy_after: Some(ms(5200)), ..starts("hc", 540) },
        Rule { check_exit_code: 7, ..ends("ck", 655, 4290, End::Exits(0)) },
        starts("dup", 470),
    ];
    Session {
        acts: vec![(ms(2100), usual(rules))],
        shift: ms(489),
        // That master's seconds were a little long.
        configuration: Configuration { allocation_interval: ms(1004), ..Configuration::default() },
        names: vec!["sleep-1", "stubborn"],
        ..session("02")
    }
}

/// 03: declined, revived, suppressed.
fn refusals() -> Session {
    Session {
        acts: vec![
            (ms(2285), usual(vec![starts("a", 290)])),
            (ms(40_240), agent("127.0.0.1", 5052, 4.0, 4096.0, Vec::new())),
            (ms(40_350), Act::Crash(1)),
        ],
        shift: ms(320),
        ..session("03")
    }
}

/// 04: offers that time out.
fn timeouts() -> Session {
    Session {
        acts: vec![(ms(1505), usual(Vec::new()))],
        configuration: Configuration {
            offer_timeout: Some(3 * SECOND),
            ..Configuration::default()
        },
        ..session("04")
    }
}

/// 05: errors.
fn errors() -> Session {
    Session {
        acts: vec![
            (ms(300), usual(Vec::new())),
            (ms(4670), Act::Disconnect("sub-neg-failover")),
            (ms(5380), Act::Disconnect("sub-legacy-role")),
            (ms(6080), Act::Disconnect("sub-no-roles")),
            (ms(6790), Act::Disconnect("sub-empty-roles")),
        ],
        ..session("05")
    }
}

/// 06: schedulers that take over, leave and come back.
fn failover() -> Session {
    Session {
        acts: vec![
            (ms(2040), usual(vec![starts("t1", 640), starts("t2", 560), starts("t3", 650)])),
            (ms(7803), Act::Disconnect("B")),
            (ms(13_923), Act::Disconnect("D")),
            (ms(23_595), Act::Disconnect("F")),
            (ms(27_618), Act::Disconnect("H")),
            (ms(29_377), Act::Restart(Restart::Forgetful, 62 * SECOND)),
        ],
        shift: ms(585),
        ..session("06")
    }
}

/// 07: agents that are lost and come back.
fn losses() -> Session {
    let configuration = Configuration {
        agent_ping_timeout: SECOND,
        max_agent_ping_timeouts: 2,
        ..Configuration::default()
    };
    let second = agent("127.0.0.1", 5052, 4.0, 4096.0, vec![starts("np-1", 460)]);
    Session {
        configuration,
        acts: vec![
            (ms(1560), usual(vec![starts("pa-1", 495)])),
            (ms(1763), second),
            (ms(6570), Act::Crash(0)),
            (ms(6771), Act::Crash(1)),
            (ms(13_980), Act::Start(0)),
            (ms(14_180), Act::Start(1)),
            (ms(21_075), Act::Crash(0)),
            (ms(22_500), Act::Start(0)),
        ],
        shift: ms(742),
        ..session("07")
    }
}

/// 09: protobuf.
fn protobuf() -> Session {
    Session { acts: vec![(ms(1940), usual(vec![starts("pbtask", 600)]))], ..session("09") }
}

/// 10: maintenance, draining.
fn maintenance() -> Session {
    Session {
        acts: vec![
            (ms(1730), agent("host-a", 5051, 4.0, 4096.0, vec![starts("m-a", 580)])),
            (ms(2110), agent("host-b", 5052, 4.0, 4096.0, vec![starts("m-b", 508)])),
            (ms(21_315), Act::Start(0)),
        ],
        shift: ms(500),
        ..session("10")
    }
}

/// 15: from an agent's start to offers.
fn timing() -> Session {
    let mut acts = Vec::new();
    for (at, port) in [(1594, 5051), (2760, 5052), (3953, 5053), (5103, 5054)] {
        acts.push((ms(at), agent("127.0.0.1", port, 4.0, 4096.0, Vec::new())));
    }
    Session { acts, skips: vec!["iv-100ms", "iv-5secs"], ..session("15") }
}

/// 16: an agent that restarts.
fn restarts() -> Session {
    Session {
        acts: vec![
            (ms(1630), usual(vec![starts("c1", 555), starts("n1", 380)])),
            (ms(3810), Act::Crash(0)),
            (ms(9000), Act::Start(0)),
            (ms(15_165), Act::Unregister(0)),
        ],
        shift: ms(668),
        ..session("16")
    }
}

/// 20: what the wire does.
fn wire() -> Session {
    Session { acts: vec![(ms(1820), usual(Vec::new()))], ..session("20") }
}

/// 21: many tasks.
fn scale() -> Session {
    Session {
        acts: vec![(ms(1665), agent("127.0.0.1", 5051, 64.0, 65536.0, vec![starts("s", 5000)]))],
        shift: ms(644),
        ..session("21")
    }
}
