//! From the shape of a file to a model: names are resolved, limits are checked, and loads that
//! can't work are warned of with the computed value.

use diagnostics::{Diagnostic, Span, closest};
use policy::Nanoseconds;
use policy::config::Policy;
use policy::config::units::Length;
use simulator_model::windows::{self, Unfit};
use simulator_model::workload::MAX_SOURCES;
use simulator_model::{App, Arrivals, Cmd, Crowd, Model, Network, Source, Tenants};
use yaml::Spanned;

use super::apps::most_instances;
use super::file::{self, File, Named};
use super::{Files, Replay, queues, sharing, stages};
use crate::metric::{self, Objective};

/// Version of the format of scenarios.
const VERSION: u32 = 1;
/// Ten times the largest platform that is planned for.
const MAX_MACHINES: u32 = 100_000;
/// Processors of one machine.
const MAX_INSTANCES: u32 = 4_096;
/// Targets and users have a row in memory each.
const MAX_INSTANCES_OF_APP: u64 = 10_000_000;
const MAX_USERS: u32 = 10_000_000;
const MAX_GATEWAYS: u16 = 1_024;
/// Books of a limit have a row for each user at each gateway.
const MAX_USERS_AT_GATEWAYS: u64 = 100_000_000;
/// Drawn times are at most this long, too: `logarithm::LONGEST`.
const MAX_DURATION: Nanoseconds = Nanoseconds(1 << 51);
/// A thousand days of the platform.
const MAX_REQUESTS: f64 = 1e13;
/// Scales are for what might be: a hundred times less or more is another scenario.
const MIN_SCALE: f64 = 0.01;
const MAX_SCALE: f64 = 100.0;

/// The model that a file means; errors and warnings are added to `found`.
pub fn model(
    file: &File,
    policy: &Policy,
    files: &mut Files<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<(Model, Replay)> {
    let mut check = Check { found, files: files.again() };
    check.version(file.version);
    let duration = check.duration(file);
    let machines = check.within(file.machines, 1, MAX_MACHINES, "machines");
    let gateways = gateways(file);
    let gateways = check.within(gateways, 1, MAX_GATEWAYS, "gateways");
    let apps = check.apps(&file.apps, machines, policy);
    let mut dynamics = check.dynamics(file, &apps, policy);
    let cmds = check.cmds(file);
    let tenants = check.tenants(&file.tenants, gateways);
    let mut sources = check.sources(file, duration);
    dynamics.pipelines = check.pipelines(file, duration, &mut sources);
    let replay = check.replay(file);
    if check.found.iter().any(Diagnostic::is_error) {
        return None;
    }
    let model = Model {
        seed: file.seed,
        duration,
        warm_up: file.warm_up.map_or(Nanoseconds::ZERO, |warm_up| warm_up.value.0),
        gateways,
        apps,
        cmds,
        tenants,
        sources,
        admission: policy.admission,
        queue: policy.queue,
        balance: policy.balance,
        network: None,
        dynamics,
    };
    check.loads(file, &model);
    sharing::check(file, &model, check.found);
    queues::check(file, &model, check.found);
    Some((model, replay))
}

/// How many gateways there are.
fn gateways(file: &File) -> Spanned<u16> {
    match &file.gateways {
        None => Spanned::nowhere(1),
        Some(Spanned { value: file::Gateways::Live(count), span }) => {
            Spanned { value: *count, span: *span }
        }
        Some(Spanned { value: file::Gateways::Behind(network), .. }) => network.count,
    }
}

/// What is between the gateways and the machines of a model; errors are added to `found`.
pub fn network(file: &File, model: &Model, found: &mut Vec<Diagnostic>) -> Option<Network> {
    let Some(Spanned { value: file::Gateways::Behind(given), .. }) = &file.gateways else {
        return None;
    };
    let network =
        Network { delay: given.network_delay.value.0, reports: given.reports_every.value.0 };
    if let Err(reason) = windows::check(model, network) {
        let span = match reason {
            Unfit::NoDelay | Unfit::LongDelay => given.network_delay.span,
            Unfit::Reports => given.reports_every.span,
            Unfit::Links => stages::shared(file).unwrap_or(given.count.span),
            Unfit::Cluster(_)
            | Unfit::Queues
            | Unfit::Ticks
            | Unfit::Faults
            | Unfit::Scheduler
            | Unfit::Pipelines
            | Unfit::Balance
            | Unfit::Central
            | Unfit::Order
            | Unfit::Retries
            | Unfit::Crowds
            | Unfit::Sharing
            | Unfit::Gateways => given.count.span,
        };
        let message = "gateways behind a network can't be simulated so".to_owned();
        found.push(Diagnostic::error("scenario", message).at(span, reason.to_string()));
    }
    Some(network)
}

pub struct Check<'a> {
    pub found: &'a mut Vec<Diagnostic>,
    pub files: Files<'a>,
}

impl Check<'_> {
    pub fn wrong(&mut self, span: Span, message: String, label: impl Into<String>) {
        self.found.push(Diagnostic::error("scenario", message).at(span, label));
    }

    fn version(&mut self, version: Spanned<u32>) {
        if version.value != VERSION {
            let message = format!("version {} of scenarios is not known", version.value);
            self.wrong(version.span, message, format!("this program knows version {VERSION}"));
        }
    }

    fn duration(&mut self, file: &File) -> Nanoseconds {
        let Spanned { value: Length(duration), span } = file.duration;
        if duration == Nanoseconds::ZERO || duration > MAX_DURATION {
            let message = format!("a run of {duration} can't be simulated");
            self.wrong(span, message, format!("expected more than 0 and at most {MAX_DURATION}"));
        }
        if let Some(warm_up) = file.warm_up
            && warm_up.value.0 >= duration
        {
            let message = "nothing is left to report".to_owned();
            self.wrong(warm_up.span, message, format!("the whole run takes {duration}"));
        }
        duration
    }

    pub fn within<N: PartialOrd + std::fmt::Display + Copy>(
        &mut self,
        given: Spanned<N>,
        low: N,
        high: N,
        what: &str,
    ) -> N {
        if given.value < low || given.value > high {
            let message = format!("{} {what} can't be simulated", given.value);
            self.wrong(given.span, message, format!("expected {low} to {high}"));
        }
        given.value
    }

    fn apps(&mut self, apps: &Named<file::App>, machines: u32, policy: &Policy) -> Vec<App> {
        let mut result = Vec::new();
        for (name, app) in &apps.0 {
            let own = app.machines.unwrap_or(Spanned::nowhere(machines));
            if own.value > machines {
                let message = format!("`{}` is on more machines than there are", name.value);
                self.wrong(own.span, message, format!("there are {machines}"));
            }
            let own = if app.machines.is_some() {
                self.within(own, 1, MAX_MACHINES, "machines")
            } else {
                own.value
            };
            let instances = self.within(app.instances, 1, MAX_INSTANCES, "instances on a machine");
            let all = u64::from(own) * u64::from(instances);
            if all > MAX_INSTANCES_OF_APP {
                let message = format!("`{}` has {all} instances", name.value);
                let label = format!("at most {MAX_INSTANCES_OF_APP} on all machines");
                self.wrong(app.instances.span, message, label);
            }
            let life = self.life(app, policy);
            let crowd = self.crowd(app, life.needs.cores);
            result.push(App { name: name.value.clone(), machines: own, instances, life, crowd });
        }
        result
    }

    fn cmds(&mut self, file: &File) -> Vec<Cmd> {
        let mut cmds = Vec::new();
        let ways = self.ways(file.stages.as_ref());
        for (name, cmd) in &file.cmds.0 {
            let app = self.reference(&cmd.app, &file.apps, "app");
            let stages = ways.as_ref().and_then(|ways| self.stages(ways, name, cmd));
            let service = self.law(&cmd.service);
            if let (Some(app), Some(service)) = (app, service) {
                let service = self
                    .scale(cmd.service_scale, "times the service")
                    .map_or(service.clone(), |scale| service.scaled(scale));
                let deadline = cmd.deadline.map(|Length(deadline)| deadline);
                let name = name.value.clone();
                cmds.push(Cmd { name, app, service, deadline, stages });
            }
        }
        cmds
    }

    /// A scale, if one is given.
    fn scale(&mut self, given: Option<Spanned<f64>>, what: &str) -> Option<f64> {
        given.map(|given| self.within(given, MIN_SCALE, MAX_SCALE, what))
    }

    /// The place of a name that stands for an entry elsewhere.
    pub fn reference<T>(
        &mut self,
        name: &Spanned<String>,
        known: &Named<T>,
        what: &str,
    ) -> Option<usize> {
        let place = known.place(&name.value);
        if place.is_none() {
            let message = format!("unknown {what} `{}`", name.value);
            let hint = match closest(&name.value, known.names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", known.names().collect::<Vec<_>>().join(", ")),
            };
            let diagnostic = Diagnostic::error("scenario-name", message);
            self.found.push(diagnostic.at(name.span, "not declared in this file").hint(hint));
        }
        place
    }

    fn tenants(&mut self, tenants: &Named<file::Tenants>, gateways: u16) -> Vec<Tenants> {
        let mut result = Vec::new();
        let mut all = 0;
        for (name, group) in &tenants.0 {
            let users = self.within(group.users, 1, MAX_USERS, "users");
            let skew = self.within(group.skew, 0.0, 10.0, "as a skew");
            all += u64::from(users) * u64::from(gateways);
            if all > MAX_USERS_AT_GATEWAYS {
                let message = format!("{all} users at gateways don't fit the memory");
                let label = format!("at most {MAX_USERS_AT_GATEWAYS}: users × gateways");
                self.wrong(group.users.span, message, label);
            }
            result.push(Tenants { name: name.value.clone(), class: group.class, users, skew });
        }
        result
    }

    fn sources(&mut self, file: &File, duration: Nanoseconds) -> Vec<Source> {
        let load = self.scale(file.load_scale, "times the load").unwrap_or(1.0);
        let mut sources = Vec::new();
        for source in file.workload.iter() {
            let tenants = self.reference(&source.tenants, &file.tenants, "tenants");
            let cmd = self.reference(&source.cmd, &file.cmds, "cmd");
            if sources.len() == MAX_SOURCES {
                let message = format!("more than {MAX_SOURCES} entries of the workload");
                self.wrong(source.cmd.span, message, "one too many");
                break;
            }
            let arrivals = self.arrivals(&source.arrivals, duration);
            if let (Some(tenants), Some(cmd)) = (tenants, cmd) {
                let arrivals = arrivals.scaled(load);
                let retries = source.retries.as_ref().map(|given| self.retries(given));
                sources.push(Source { tenants, cmd, arrivals, retries });
            }
        }
        sources
    }

    /// Warns of apps whose steady load is more than they can do.
    fn loads(&mut self, file: &File, model: &Model) {
        let seconds = model.duration.seconds();
        let mut requests = 0.0;
        let mut loads = vec![0.0; model.apps.len()];
        for source in &model.sources {
            let rate = match source.arrivals {
                // Nobody can keep up with a backlog at once.
                Arrivals::Burst { .. } => 0.0,
                _ => source.arrivals.expected(model.duration) / (seconds * 1e9),
            };
            requests += rate * 1e9 * seconds;
            let cmd = model.cmds.get(source.cmd);
            if let Some(cmd) = cmd
                && let Some(load) = loads.get_mut(cmd.app)
            {
                *load += rate * cmd.service.mean();
            }
        }
        if requests > MAX_REQUESTS {
            let message = format!("about {requests:.0} requests are too many for one run");
            self.wrong(file.duration.span, message, format!("at most {MAX_REQUESTS:.0}"));
        }
        self.machine_load(file, model, &loads);
        self.link_load(file, model);
        let apps = model.apps.iter().zip(loads).zip(&file.apps.0);
        for ((app, load), (name, definition)) in apps {
            let most = most_instances(app, model, &file.apps);
            let each = app.crowd.as_ref().map_or(1.0, Crowd::most_work);
            #[expect(clippy::cast_precision_loss, reason = "at most ten million")]
            let utilisation = load / (most as f64 * each);
            if utilisation >= 1.0 {
                let message = format!(
                    "`{}` can't keep up: its steady load is {:.0} % of what it can do",
                    name.value,
                    utilisation * 100.0
                );
                let needed = (load / each / f64::from(app.machines)).ceil();
                let hint = match definition.scales {
                    Some(_) => format!("{:.0} instances in all would do", (load / each).ceil()),
                    None => format!("{needed:.0} instances on each machine would do"),
                };
                let label = format!("{most} instances in all");
                let diagnostic = Diagnostic::warning("overload", message);
                self.found.push(diagnostic.at(definition.instances.span, label).hint(hint));
            }
        }
    }
}

/// What comparisons of a scenario watch.
pub fn objectives(file: &File, model: &Model, found: &mut Vec<Diagnostic>) -> Vec<Objective> {
    let Some(named) = &file.objectives else { return metric::defaults(model) };
    let mut objectives = Vec::new();
    for (name, margin) in &named.0 {
        match metric::metric(&name.value, name.span, model) {
            Ok(metric) if metric.figure.worse().is_none() => {
                let message =
                    format!("`{}` is neither better nor worse when it changes", name.value);
                let diagnostic = Diagnostic::error("objective", message);
                found.push(diagnostic.at(name.span, "can't be an objective"));
            }
            Ok(metric) => objectives.push(Objective { metric, margin: margin.value.0 }),
            Err(diagnostic) => found.push(*diagnostic),
        }
    }
    objectives
}
