//! From `control`, `scheduler` and `upgrades` of a file to the scheduler of a model.

use diagnostics::Diagnostic;
use policy::config::Policy;
use policy::config::units::Length;
use policy::{Nanoseconds, Time};
use simulator_model::{App, Scheduler, Upgrade, Version};
use yaml::Spanned;

use super::apps::{MAX_SLOWDOWN, thousandths};
use super::check::Check;
use super::file::{self, Control, File};

/// What the scheduler lets an app have: `scheduler_core::app::INSTANCES_MOST`.
const MAX_INSTANCES: u64 = 100_000;

impl Check<'_> {
    /// The scheduler, if the file has one.
    pub(super) fn scheduler(
        &mut self,
        file: &File,
        apps: &[App],
        policy: &Policy,
    ) -> Option<Scheduler> {
        let is_asked_for = file.scheduler.is_some() || !file.upgrades.is_empty();
        match file.control {
            Some(Spanned { value: Control::Direct, span }) if is_asked_for => {
                let message = "who starts and ends instances is said twice";
                let diagnostic = Diagnostic::error("scenario", message)
                    .at(span, "the rules are asked directly")
                    .hint("`scheduler` and `upgrades` need `control: scheduler`");
                self.found.push(diagnostic);
                return None;
            }
            Some(Spanned { value: Control::Direct, .. }) => return None,
            None if !is_asked_for => return None,
            Some(Spanned { value: Control::Scheduler, .. }) | None => {}
        }
        let mut scheduler = Scheduler::new(*policy);
        if let Some(given) = &file.scheduler {
            self.delays(given, &mut scheduler);
        }
        for (app, (name, definition)) in apps.iter().zip(&file.apps.0) {
            let most = app.life.bounds.filter(|_| definition.scales.is_some());
            let most = most.map_or(0, |(_, max)| u64::from(max)).max(app.all_instances());
            if most > MAX_INSTANCES {
                let message = format!("`{}` may have {most} instances", name.value);
                self.wrong(name.span, message, format!("a scheduler allows {MAX_INSTANCES}"));
            }
        }
        for upgrade in &file.upgrades {
            if let Some(upgrade) = self.upgrade(file, upgrade, &scheduler.upgrades) {
                scheduler.upgrades.push(upgrade);
            }
        }
        Some(scheduler)
    }

    fn delays(&mut self, given: &file::Scheduler, scheduler: &mut Scheduler) {
        let length = |given: Option<Length>, base: &mut Nanoseconds| {
            *base = given.map_or(*base, |Length(length)| length);
        };
        if let Some(Spanned { value: Length(tick), span }) = given.tick {
            if tick < Nanoseconds::from_milliseconds(10) {
                let message = "the scheduler looks too often".to_owned();
                self.wrong(span, message, "expected at least 10ms");
            } else {
                scheduler.tick = tick;
            }
        }
        length(given.store, &mut scheduler.store);
        length(given.commands, &mut scheduler.commands);
        length(given.facts, &mut scheduler.facts);
        length(given.found, &mut scheduler.found);
        length(given.silent, &mut scheduler.silent);
        length(given.health_grace, &mut scheduler.health_grace);
        length(given.kill_grace, &mut scheduler.kill_grace);
    }

    fn upgrade(
        &mut self,
        file: &File,
        given: &file::Upgrade,
        others: &[Upgrade],
    ) -> Option<Upgrade> {
        let app = self.reference(&given.app, &file.apps, "app")?;
        let label = &given.to;
        if label.value.is_empty() || label.value == simulator_model::FIRST_VERSION {
            let message = format!("`{}` is no name of a new version", label.value);
            self.wrong(label.span, message, "the one in the beginning is called `first`");
        }
        if others.iter().any(|other| other.app == app && other.label == label.value) {
            let message = format!("`{}` is said twice", label.value);
            self.wrong(label.span, message, "versions of an app have names of their own");
        }
        let Length(at) = given.at.value;
        if at >= file.duration.value.0 {
            let message = "this upgrade comes after the end".to_owned();
            let label = format!("the run takes {} of arrivals", file.duration.value.0);
            self.wrong(given.at.span, message, label);
        }
        let step = given.step.map(|step| self.within(step, 1, 1_000_000, "at a time"));
        let scale = given.service_scale.unwrap_or(Spanned::nowhere(1.0));
        let scale = self.within(scale, 0.01, MAX_SLOWDOWN, "times the time of work");
        let crashes = match &given.mtbf {
            Some(mtbf) => Some(self.lasting(mtbf)?),
            None => None,
        };
        let version = Version {
            service_thousandths: thousandths(scale, 1000).max(1),
            is_healthy: given.healthy,
            crashes,
        };
        Some(Upgrade { app, at: Time(at.0), label: label.value.clone(), step, version })
    }
}
