//! From the faults of a file to those of a model: at given times, and by chance.

use diagnostics::{Diagnostic, Span};
use policy::config::Policy;
use policy::config::units::Length;
use policy::{Nanoseconds, Time};
use simulator_kernel::Law;
use simulator_model::{App, Chance, Crash, Crashes, Effect, Fault, Faults};
use yaml::Spanned;

use super::apps::{MAX_SLOWDOWN, thousandths};
use super::check::Check;
use super::file::{self, Drawn, Each, File};

/// More than a fault a second of a day, on ten machines.
const MAX_FAULTS: f64 = 1e6;

/// Machines and racks that a file has.
#[derive(Clone, Copy)]
struct Plant {
    machines: u32,
    racks: u32,
}

impl Plant {
    fn of_rack(self, rack: u32) -> impl Iterator<Item = u32> {
        (0..self.machines).filter(move |machine| machine % self.racks == rack)
    }
}

impl Check<'_> {
    /// What fails.
    pub(super) fn faults(&mut self, file: &File, apps: &[App], policy: &Policy) -> Faults {
        let machines = file.machines.value;
        let racks = file.racks.map_or(1, |racks| self.within(racks, 1, machines, "racks"));
        let plant = Plant { machines, racks: racks.max(1) };
        let mut faults = Faults { repair: policy.repair, ..Faults::default() };
        for fault in &file.faults {
            match (fault.each, fault.at) {
                (Some(each), None) => self.by_chance(file, fault, each, plant, apps, &mut faults),
                (None, Some(at)) => self.at_a_time(file, fault, at, plant, &mut faults),
                (Some(each), Some(_)) => self.odd(
                    each.span,
                    "a fault comes at a time or by chance",
                    "write either `at: 5min` or `each: machine` with `mtbf: 30d`",
                ),
                (None, None) => {
                    let given = [
                        fault.machine.map(|given| given.span),
                        fault.rack.map(|given| given.span),
                        fault.app.as_ref().map(|given| given.span),
                        fault.mtbf.as_ref().map(|given| given.span),
                        fault.length.map(|given| given.span),
                    ];
                    let span = given.into_iter().flatten().next().unwrap_or(file.machines.span);
                    self.odd(
                        span,
                        "nobody knows when this fault comes",
                        "write `at: 5min`, or `each: machine` with `mtbf: 30d`",
                    );
                }
            }
        }
        faults
    }

    fn odd(&mut self, span: Span, message: &str, hint: &str) {
        let diagnostic = Diagnostic::error("scenario", message);
        self.found.push(diagnostic.at(span, "this one").hint(hint));
    }

    /// A key that means nothing beside the others.
    fn idle<T>(&mut self, given: Option<&Spanned<T>>, why: &str) {
        if let Some(given) = given {
            self.wrong(given.span, "this key means nothing here".to_owned(), why);
        }
    }

    fn effect(&mut self, fault: &file::Fault) -> Effect {
        fault.slowdown.map_or(Effect::Fails, |given| {
            let slowdown = self.within(given, 1.0, MAX_SLOWDOWN, "times the time of a sound one");
            Effect::Slows(thousandths(slowdown - 1.0, 1000))
        })
    }

    fn at_a_time(
        &mut self,
        file: &File,
        fault: &file::Fault,
        at: Spanned<Length>,
        plant: Plant,
        faults: &mut Faults,
    ) {
        let last = plant.machines.saturating_sub(1);
        let time = Time(at.value.0.0);
        self.idle(fault.mtbf.as_ref(), "a fault at a given time has none");
        self.idle(fault.mttr.as_ref(), "a fault at a given time lasts `for`");
        if let Some(name) = &fault.app {
            self.idle(fault.rack.as_ref(), "an instance is on a machine");
            self.idle(fault.length.as_ref(), "policy.repair says when another one starts");
            self.idle(fault.slowdown.as_ref(), "machines can be slow");
            let app = self.reference(name, &file.apps, "app");
            let Some(machine) = fault.machine else {
                return self.odd(
                    name.span,
                    "an instance that ends is on a machine",
                    "write `machine: 3`",
                );
            };
            let machine = self.within(machine, 0, last, "as the number of a machine");
            if let Some(app) = app {
                faults.instances.push(Crash { app, machine, at: time });
            }
            return;
        }
        let Some(Spanned { value: Length(length), span }) = fault.length else {
            return self.odd(
                at.span,
                "nobody knows how long this fault lasts",
                "write `for: 5min`",
            );
        };
        if length == Nanoseconds::ZERO {
            let message = "a fault of no length is none".to_owned();
            self.wrong(span, message, "expected a length of time, such as 5min");
        }
        let effect = self.effect(fault);
        let repaired = time + length;
        let mut fail =
            |machine| faults.machines.push(Fault { machine, at: time, repaired, effect });
        match (fault.machine, fault.rack) {
            (Some(machine), None) => {
                fail(self.within(machine, 0, last, "as the number of a machine"));
            }
            (None, Some(rack)) => {
                let rack = self.within(rack, 0, plant.racks - 1, "as the number of a rack");
                plant.of_rack(rack).for_each(fail);
            }
            (None, None) | (Some(_), Some(_)) => self.odd(
                at.span,
                "a fault is of one machine or of one rack",
                "write `machine: 3` or `rack: 0`",
            ),
        }
    }

    fn by_chance(
        &mut self,
        file: &File,
        fault: &file::Fault,
        each: Spanned<Each>,
        plant: Plant,
        apps: &[App],
        faults: &mut Faults,
    ) {
        self.idle(fault.length.as_ref(), "a fault by chance lasts `mttr`");
        self.idle(fault.machine.as_ref(), "a fault by chance is of each");
        self.idle(fault.rack.as_ref(), "a fault by chance is of each");
        let Some(between) = &fault.mtbf else {
            return self.odd(
                each.span,
                "nobody knows how often this fault comes",
                "write the mean time between failures, such as `mtbf: 30d`",
            );
        };
        let Some(law) = self.lasting(between) else { return };
        let place = |name: &Spanned<String>| file.apps.place(&name.value);
        let app = fault.app.as_ref().map(place);
        let count = match each.value {
            Each::Machine => f64::from(plant.machines),
            // Each machine of a rack has the fault.
            Each::Rack => f64::from(plant.machines) / f64::from(plant.racks),
            Each::Instance => {
                let known = apps.iter().enumerate();
                let chosen = known.filter(|(place, _)| app.is_none_or(|app| app == Some(*place)));
                chosen.map(|(_, app)| app.all_instances()).map(small).sum()
            }
        };
        let expected = count * file.duration.value.0.seconds() * 1e9 / law.mean().max(1.0);
        if expected > MAX_FAULTS {
            let message = format!("about {expected:.0} faults are too many for one run");
            self.wrong(between.span, message, format!("at most {MAX_FAULTS:.0}"));
        }
        if each.value == Each::Instance {
            self.idle(fault.mttr.as_ref(), "policy.repair says when another one starts");
            self.idle(fault.slowdown.as_ref(), "machines can be slow");
            let app = match &fault.app {
                Some(name) => match self.reference(name, &file.apps, "app") {
                    Some(app) => Some(app),
                    None => return,
                },
                None => None,
            };
            return faults.crashes.push(Crashes { app, after: law });
        }
        self.idle(fault.app.as_ref(), "machines and racks are of all apps");
        let Some(lasts) = &fault.mttr else {
            return self.odd(
                each.span,
                "nobody knows how long this fault lasts",
                "write the mean time to repair, such as `mttr: 10min`",
            );
        };
        let Some(lasts) = self.lasting(lasts) else { return };
        let racks = (each.value == Each::Rack).then_some(plant.racks);
        let effect = self.effect(fault);
        faults.chances.push(Chance { racks, between: law, lasts, effect });
    }

    /// The law of a time that is given as the mean of an exponential one, or as a law.
    pub(super) fn lasting(&mut self, given: &Spanned<Drawn<Length>>) -> Option<Law> {
        let law = match &given.value {
            Drawn::Always(mean) => Law::Exponential { mean: mean.0.seconds() * 1e9 },
            Drawn::By(_) => self.drawn(Some(given))?,
        };
        if law.mean() < 1.0 {
            self.wrong(given.span, "this time is nothing".to_owned(), "expected more than 0");
            return None;
        }
        Some(law)
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
const fn small(count: u64) -> f64 {
    count as f64
}
