//! Gates of apps for the fast engines (`policy::dagor`): one for each app, of all gateways, which
//! know its level at once.

use policy::admission::Admission;
use policy::dagor::{Begun, Dagor, Gate, Priority};
use policy::{Class, Time};

/// The gates of all apps.
#[derive(Debug)]
pub(crate) struct Gates {
    rules: Dagor,
    gates: Vec<Gate>,
}

impl Gates {
    /// Those of so many apps; none without such a rule.
    pub(crate) fn new(admission: &Admission, apps: usize) -> Option<Self> {
        let rules = admission.overload?;
        Some(Gates { rules, gates: vec![Gate::new(&rules); apps] })
    }

    /// What must be known of requests of so many apps that have begun, if there are gates.
    pub(crate) fn begun(admission: &Admission, apps: usize) -> Vec<Begun> {
        vec![Begun::default(); if admission.overload.is_some() { apps } else { 0 }]
    }

    /// The gate of an app just before a request comes to it, and the priority of that.
    pub(crate) fn at(
        &mut self,
        app: u32,
        (class, user): (Class, u32),
        now: Time,
        begun: &mut [Begun],
    ) -> Option<(&mut Gate, Priority)> {
        let gate = self.gates.get_mut(app as usize)?;
        gate.pass(&self.rules, begun.get_mut(app as usize)?, now);
        Some((gate, self.rules.priority(class, user, now)))
    }
}
