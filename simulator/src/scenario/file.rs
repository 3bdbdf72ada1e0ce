//! The shape of a scenario file.

use std::fmt;
use std::marker::PhantomData;

use policy::Class;
use policy::Nanoseconds;
use policy::config::units::{Bandwidth, Frequency, Length, Part, Size};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use yaml::Spanned;

/// The whole file.
#[derive(Debug, Deserialize)]
pub struct File {
    pub version: Spanned<u32>,
    pub about: Option<String>,
    #[serde(default = "one")]
    pub seed: u64,
    pub duration: Spanned<Length>,
    pub warm_up: Option<Spanned<Length>>,
    pub machines: Spanned<u32>,
    /// Of each machine.
    pub cores: Option<Spanned<u32>>,
    /// Machine m stands in rack m modulo this.
    pub racks: Option<Spanned<u32>>,
    pub gateways: Option<Spanned<Gateways>>,
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Who starts and ends instances; the rules directly, if there is nothing else about it.
    pub control: Option<Spanned<Control>>,
    pub scheduler: Option<Scheduler>,
    #[serde(default)]
    pub upgrades: Vec<Upgrade>,
    /// So many times the requests of the workload; once if absent.
    pub load_scale: Option<Spanned<f64>>,
    /// Read apart; here so that it is a known key.
    #[serde(rename = "policy")]
    pub _policy: Option<IgnoredAny>,
    /// What requests pass besides queues and work.
    pub stages: Option<Stages>,
    pub apps: Named<App>,
    pub cmds: Named<Cmd>,
    pub tenants: Named<Tenants>,
    pub workload: Vec<Source>,
    /// Metrics that `compare` watches, and by how much they may get worse.
    pub objectives: Option<Named<Spanned<Part>>>,
    pub replay: Option<Replay>,
}

/// What commands of traces mean.
#[derive(Debug, Deserialize)]
pub struct Replay {
    pub cmds: Option<Named<Spanned<String>>>,
    pub others: Option<Spanned<String>>,
    pub service: Option<super::ServiceTimes>,
}

const fn one() -> u64 {
    1
}

/// Gateways: a number, if they see the present state of all targets; else what is between.
#[derive(Debug)]
pub enum Gateways {
    Live(u16),
    Behind(Network),
}

/// Gateways behind a network.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    pub count: Spanned<u16>,
    /// One way.
    pub network_delay: Spanned<Length>,
    pub reports_every: Spanned<Length>,
}

impl<'de> Deserialize<'de> for Gateways {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct GatewaysVisitor;

        impl<'de> Visitor<'de> for GatewaysVisitor {
            type Value = Gateways;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter
                    .write_str("a number, or {count: 8, network_delay: 2ms, reports_every: 20ms}")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Gateways, E> {
                let number = u16::try_from(number);
                number.map(Gateways::Live).map_err(|_| E::custom("expected 1 to 1024 gateways"))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Gateways, A::Error> {
                Network::deserialize(MapAccessDeserializer::new(map)).map(Gateways::Behind)
            }
        }

        deserializer.deserialize_any(GatewaysVisitor)
    }
}

/// Instances that work on the same commands.
#[derive(Debug, Deserialize)]
pub struct App {
    /// On so many machines; on all of them if absent.
    pub machines: Option<Spanned<u32>>,
    /// On each, in the beginning.
    pub instances: Spanned<u32>,
    /// That each instance holds.
    pub cores: Option<Spanned<u32>>,
    /// Requests that each instance works on at a time; one if absent.
    pub concurrency: Option<Spanned<u32>>,
    /// That each of them wants; one if absent.
    pub cores_per_request: Option<Spanned<u32>>,
    /// How many times as long work takes with x tasks for each core: `x1`, `x2`…
    pub slowdown: Option<Spanned<Named<f64>>>,
    /// The app whose idle instances it borrows.
    pub borrows: Option<Spanned<String>>,
    /// If the number of instances follows the load.
    pub scales: Option<Scales>,
    pub start_up: Option<Spanned<Service>>,
    /// Of the first instance on a machine.
    pub first_start_up: Option<Spanned<Service>>,
    pub warm_up: Option<WarmUp>,
    pub cool_down: Option<Length>,
}

/// Instances in all; what isn't given is as in the policy.
#[derive(Debug, Deserialize)]
pub struct Scales {
    pub min: Option<Spanned<u32>>,
    pub max: Option<Spanned<u32>>,
}

/// What fails. At a given time: a machine or a rack, or an instance of an app on a machine; by
/// chance: each of some kind.
#[derive(Debug, Deserialize)]
pub struct Fault {
    pub machine: Option<Spanned<u32>>,
    pub rack: Option<Spanned<u32>>,
    pub app: Option<Spanned<String>>,
    pub at: Option<Spanned<Length>>,
    #[serde(rename = "for")]
    pub length: Option<Spanned<Length>>,
    pub each: Option<Spanned<Each>>,
    /// Mean time between failures, or its law.
    pub mtbf: Option<Spanned<Drawn<Length>>>,
    /// Mean time to repair, or its law.
    pub mttr: Option<Spanned<Drawn<Length>>>,
    /// Slow and not down: work takes so many times as long.
    pub slowdown: Option<Spanned<f64>>,
}

/// Who starts and ends instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// The rules are asked directly: nothing takes time but starts.
    Direct,
    /// The scheduler of production, with its delays.
    Scheduler,
}

/// How far the scheduler is from what it knows and does.
#[derive(Debug, Deserialize)]
pub struct Scheduler {
    pub tick: Option<Spanned<Length>>,
    pub store: Option<Length>,
    pub commands: Option<Length>,
    pub facts: Option<Length>,
    pub found: Option<Length>,
    pub silent: Option<Length>,
    pub health_grace: Option<Length>,
    pub kill_grace: Option<Length>,
}

/// A new version of an app.
#[derive(Debug, Deserialize)]
pub struct Upgrade {
    pub app: Spanned<String>,
    pub to: Spanned<String>,
    pub at: Spanned<Length>,
    pub step: Option<Spanned<u32>>,
    /// So many times as long work takes.
    pub service_scale: Option<Spanned<f64>>,
    /// Whether its instances ever become healthy.
    #[serde(default = "yes")]
    pub healthy: bool,
    /// From the start of an instance until it ends by itself.
    pub mtbf: Option<Spanned<Drawn<Length>>>,
}

const fn yes() -> bool {
    true
}

/// What fails by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Each {
    Machine,
    Rack,
    Instance,
}

/// How new instances are spared.
#[derive(Debug, Deserialize)]
pub struct WarmUp {
    pub over: Length,
    /// Of the full weight, in the beginning.
    pub weight: Option<Part>,
    /// Times as long work takes, in the beginning.
    pub slowdown: Option<Spanned<f64>>,
}

/// A command.
#[derive(Debug, Deserialize)]
pub struct Cmd {
    pub app: Spanned<String>,
    pub service: Spanned<Service>,
    /// So many times as long; once if absent.
    pub service_scale: Option<Spanned<f64>>,
    pub deadline: Option<Length>,
    /// Of what is downloaded for a request.
    pub source_size: Option<Spanned<Drawn<Size>>>,
    /// How often that is on the machine already.
    pub cached: Option<Spanned<Part>>,
    /// Of what is sent back.
    pub answer_size: Option<Spanned<Drawn<Size>>>,
    /// The command that works on the answer.
    pub then: Option<Spanned<String>>,
}

/// What requests pass besides queues and work; what isn't given takes no time.
#[derive(Debug, Deserialize)]
pub struct Stages {
    /// At the gateway.
    pub accept: Option<Spanned<Drawn<Length>>>,
    /// From the gateway to the machine.
    pub dispatch: Option<Spanned<Drawn<Length>>>,
    /// Between a machine and the world.
    pub network: Option<Link>,
    /// Where sources are kept on a machine.
    pub store: Option<Link>,
}

/// What bytes are transferred over.
#[derive(Debug, Deserialize)]
pub struct Link {
    pub latency: Option<Spanned<Drawn<Length>>>,
    /// Of each transfer; no limit if absent.
    pub bandwidth: Option<Bandwidth>,
    /// Of all transfers of a machine together; they don't hinder each other if absent.
    pub machine: Option<Spanned<Bandwidth>>,
}

/// A law of times or sizes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LawOf<T> {
    /// Always the same.
    Constant(T),
    /// The mean.
    Exponential(T),
    /// By two quantiles.
    Lognormal { p50: T, p99: T },
    /// One of two exponential laws.
    Hyperexponential { share: Part, first: T, second: T },
    /// `p0`, `p50`, `p99.9`, `p100`…
    Quantiles(Named<T>),
}

/// How long a request takes.
pub type Service = LawOf<Length>;

/// What a law can be of.
pub trait Measure: Copy {
    /// What it is called, and quantiles as an example.
    const NAMES: (&'static str, &'static str);

    /// In nanoseconds or bytes.
    fn whole(self) -> u64;
}

impl Measure for Length {
    const NAMES: (&'static str, &'static str) = ("times", "{p0: 1ms, p50: 20ms, p100: 1s}");

    fn whole(self) -> u64 {
        let Length(Nanoseconds(time)) = self;
        time
    }
}

impl Measure for Size {
    const NAMES: (&'static str, &'static str) = ("sizes", "{p0: 4KB, p50: 400KB, p100: 60MB}");

    fn whole(self) -> u64 {
        let Size(bytes) = self;
        bytes
    }
}

/// Something that is always the same, or drawn by a law: `400KB` or `{exponential: 400KB}`.
#[derive(Debug)]
pub enum Drawn<T> {
    Always(T),
    By(LawOf<T>),
}

impl<'de, T: Deserialize<'de> + Measure> Deserialize<'de> for Drawn<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DrawnVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Measure> Visitor<'de> for DrawnVisitor<T> {
            type Value = Drawn<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                let (name, quantiles) = T::NAMES;
                write!(
                    formatter,
                    "one value or a law of {name}, such as {{quantiles: {quantiles}}}"
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Drawn<T>, E> {
                T::deserialize(text.into_deserializer()).map(Drawn::Always)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Drawn<T>, E> {
                T::deserialize(number.into_deserializer()).map(Drawn::Always)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Drawn<T>, A::Error> {
                LawOf::deserialize(MapAccessDeserializer::new(map)).map(Drawn::By)
            }
        }

        deserializer.deserialize_any(DrawnVisitor(PhantomData))
    }
}

/// A group of users.
#[derive(Debug, Deserialize)]
pub struct Tenants {
    pub class: Class,
    #[serde(default = "one_user")]
    pub users: Spanned<u32>,
    #[serde(default = "even")]
    pub skew: Spanned<f64>,
}

fn one_user() -> Spanned<u32> {
    Spanned::nowhere(1)
}

fn even() -> Spanned<f64> {
    Spanned::nowhere(0.0)
}

/// Requests of a group for a command.
#[derive(Debug, Deserialize)]
pub struct Source {
    pub tenants: Spanned<String>,
    pub cmd: Spanned<String>,
    pub arrivals: Arrivals,
    /// How clients try again.
    pub retries: Option<Retries>,
}

/// How clients try again.
#[derive(Debug, Deserialize)]
pub struct Retries {
    /// The most, the first one included.
    pub attempts: Spanned<u32>,
    pub back_off: Option<Spanned<BackOff>>,
    /// Of each wait.
    pub jitter: Option<Spanned<Part>>,
    /// Of the requests.
    pub budget: Option<Part>,
}

/// How long clients wait before they try again: `none`, `1s`, or growing.
#[derive(Debug)]
pub enum BackOff {
    None,
    Constant(Length),
    Growing(Growing),
}

/// A wait that grows from attempt to attempt.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Growing {
    /// Twice as long each time.
    Exponential { first: Length, most: Length },
}

impl<'de> Deserialize<'de> for BackOff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BackOffVisitor;

        impl<'de> Visitor<'de> for BackOffVisitor {
            type Value = BackOff;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("`none`, 1s, or {exponential: {first: 100ms, most: 10s}}")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<BackOff, E> {
                if text == "none" {
                    return Ok(BackOff::None);
                }
                let length = Length::deserialize(text.into_deserializer());
                length
                    .map(BackOff::Constant)
                    .map_err(|_: E| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BackOff, A::Error> {
                Growing::deserialize(MapAccessDeserializer::new(map)).map(BackOff::Growing)
            }
        }

        deserializer.deserialize_any(BackOffVisitor)
    }
}

/// When they come.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// At equal distances.
    Constant(Frequency),
    /// Independently of each other.
    Poisson(Frequency),
    /// A backlog.
    Burst { at: Spanned<Length>, requests: Spanned<u64>, over: Option<Length> },
    /// Independently of each other, at a rate that swings like a sine.
    Diurnal {
        mean: Frequency,
        amplitude: Spanned<Part>,
        period: Option<Spanned<Length>>,
        peak: Option<Length>,
    },
    /// Independently of each other, at a rate that goes up, stays and goes down again.
    Flash(Flash),
    /// Independently of each other, at one of two rates in turn.
    Mmpp { quiet: Phase, burst: Phase },
    /// Independently of each other, at rates from a CSV file.
    Profile {
        file: Spanned<String>,
        column: Option<Spanned<String>>,
        scale: Option<Spanned<f64>>,
        #[serde(default)]
        repeat: bool,
    },
}

/// A flash crowd.
#[derive(Debug, Deserialize)]
pub struct Flash {
    pub base: Option<Frequency>,
    pub peak: Spanned<Frequency>,
    pub at: Spanned<Length>,
    pub ramp: Length,
    pub hold: Length,
    pub decay: Length,
}

/// One state of a source that switches.
#[derive(Debug, Deserialize)]
pub struct Phase {
    pub rate: Frequency,
    /// On average.
    pub lasts: Spanned<Length>,
}

/// A mapping with names of the user's choice, in the order of the file.
#[derive(Debug)]
pub struct Named<T>(pub Vec<(Spanned<String>, T)>);

impl<T> Named<T> {
    /// The place of a name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(known, _)| known.value == name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.value.as_str())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamedVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
            type Value = Named<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a mapping of names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }

        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}
