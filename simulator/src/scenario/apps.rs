//! From the apps of a file to those of a model: how instances start, warm up, come and go.

use diagnostics::Diagnostic;
use policy::balance::FULL_WEIGHT;
use policy::config::Policy;
use policy::config::units::{Length, Part};
use policy::placement::Resources;
use policy::{Nanoseconds, scaling::Scaling};
use simulator_kernel::Law;
use simulator_model::{App, Crowd, Dynamics, Life, Model, WarmUp};
use yaml::Spanned;

use super::check::Check;
use super::file::{self, File, Named};

/// Ten times the largest machine that is planned for.
pub(super) const MAX_CORES: u32 = 4_096;
/// Instances of an app at a time.
const MAX_INSTANCES_OF_APP: u32 = 10_000_000;
/// Work that takes a hundred times longer isn't work of a cold instance.
pub(super) const MAX_SLOWDOWN: f64 = 100.0;

impl Check<'_> {
    /// How instances of an app come and go.
    pub(super) fn life(&mut self, app: &file::App, policy: &Policy) -> Life {
        let cores = app.cores.unwrap_or(Spanned::nowhere(1));
        let cores = self.within(cores, 1, MAX_CORES, "cores of an instance");
        let bounds = app.scales.as_ref().map(|scales| self.bounds(scales, &policy.scaling));
        let nothing = Law::Constant(Nanoseconds::ZERO);
        let start_up = app.start_up.as_ref().and_then(|law| self.law(law));
        let first_start_up = app.first_start_up.as_ref().and_then(|law| self.law(law));
        Life {
            needs: Resources { cores, memory_mib: 0 },
            bounds,
            start_up: start_up.unwrap_or(nothing),
            first_start_up,
            warm_up: app.warm_up.as_ref().map_or(WarmUp::default(), |given| self.warm_up(given)),
            cool_down: app.cool_down.map_or(Nanoseconds::ZERO, |Length(length)| length),
        }
    }

    fn bounds(&mut self, scales: &file::Scales, rules: &Scaling) -> (u32, u32) {
        let mut bound = |given: Option<Spanned<u32>>, base| {
            given.map_or(base, |given| {
                self.within(given, 0, MAX_INSTANCES_OF_APP, "instances of an app")
            })
        };
        let (min, max) = (bound(scales.min, rules.min), bound(scales.max, rules.max));
        // Those of a policy have been checked with it.
        if min > max
            && let Some(given) = scales.max.or(scales.min)
        {
            let message = "the fewest instances are more than the most".to_owned();
            self.wrong(given.span, message, format!("min is {min}, max is {max}"));
        }
        (min, max)
    }

    fn warm_up(&mut self, given: &file::WarmUp) -> WarmUp {
        let Length(over) = given.over;
        let weight = given.weight.map_or(FULL_WEIGHT, |Part(part)| thousandths(part, FULL_WEIGHT));
        let slowdown = given.slowdown.unwrap_or(Spanned::nowhere(1.0));
        let slowdown = self.within(slowdown, 1.0, MAX_SLOWDOWN, "times the time of a warm one");
        WarmUp { over, weight: weight.max(1), slowdown: thousandths(slowdown - 1.0, 1000) }
    }

    /// What each machine has, and by which rule apps scale.
    pub(super) fn dynamics(&mut self, file: &File, apps: &[App], policy: &Policy) -> Dynamics {
        let scales = file.apps.0.iter().find(|(_, app)| app.scales.is_some());
        let capacity = match (file.cores, scales) {
            (Some(cores), _) => {
                let given = self.within(cores, 1, MAX_CORES, "cores of a machine");
                // Apps are on the first machines: nowhere are more of them than on the first.
                let needed: u64 = apps.iter().filter(|app| app.machines > 0).map(needed).sum();
                if needed > u64::from(given) {
                    let message = format!("instances need {needed} cores on a machine");
                    self.wrong(cores.span, message, "fewer than that");
                }
                Resources { cores: given, ..Resources::UNLIMITED }
            }
            (None, Some((name, _))) => {
                let message = format!("`{}` scales, but nobody knows how far", name.value);
                let diagnostic = Diagnostic::error("scenario", message)
                    .at(name.span, "new instances need room on machines")
                    .hint("say how many cores each machine has, such as `cores: 32`");
                self.found.push(diagnostic);
                Resources::UNLIMITED
            }
            (None, None) => Resources::UNLIMITED,
        };
        Dynamics {
            capacity,
            links: self.links(file),
            scaling: Some(policy.scaling),
            faults: self.faults(file, apps, policy),
            scheduler: self.scheduler(file, apps, policy),
            sharing: self.sharing(file, policy),
            pipelines: Vec::new(),
        }
    }

    /// Warns if the machines together can't do the steady load: each app's in nanoseconds of work
    /// for each nanosecond.
    pub(super) fn machine_load(&mut self, file: &File, model: &Model, loads: &[f64]) {
        let Some(cores) = file.cores else { return };
        let work = model.apps.iter().zip(loads);
        let each = |app: &App| app.crowd.as_ref().map_or(1.0, Crowd::most_work);
        let needed: f64 =
            work.map(|(app, load)| load / each(app) * f64::from(app.life.needs.cores)).sum();
        let all = f64::from(cores.value) * f64::from(file.machines.value);
        if needed >= all {
            let message = format!(
                "the machines can't keep up: the steady load is {:.0} % of what they can do",
                needed / all * 100.0
            );
            let hint = format!("{:.0} machines would do", (needed / f64::from(cores.value)).ceil());
            let label = format!("{all} cores in all");
            let diagnostic = Diagnostic::warning("overload", message);
            self.found.push(diagnostic.at(cores.span, label).hint(hint));
        }
    }
}

/// Cores that the instances of an app need on one machine in the beginning.
fn needed(app: &App) -> u64 {
    u64::from(app.instances) * u64::from(app.life.needs.cores)
}

/// The most instances that an app can have.
pub(super) fn most_instances(app: &App, model: &Model, apps: &Named<file::App>) -> u64 {
    let scales =
        apps.0.iter().any(|(name, given)| name.value == app.name && given.scales.is_some());
    match app.life.bounds.filter(|_| scales) {
        Some((_, max)) => {
            let each = model.dynamics.capacity.cores / app.life.needs.cores.max(1);
            u64::from(max).min(u64::from(each) * u64::from(app.machines))
        }
        None => app.all_instances(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "parts and slowdowns have been checked"
)]
pub(super) fn thousandths(part: f64, whole: u32) -> u32 {
    (part * f64::from(whole)).round() as u32
}
