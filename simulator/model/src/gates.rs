//! Gates of apps for the fast engines (`policy::dagor`): one for each app, of all gateways, which
//! know its level at once; and what rules about waits keep beside the queues.

use policy::admission::{Admission, Deadlines};
use policy::dagor::{Begun, Dagor, Gate, Priority};
use policy::overload::Overload;
use policy::prediction::Asked;
use policy::{Class, Time};

use crate::model::Model;

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

    /// The gate of an app just before a request comes to it, and the priority of that.
    pub(crate) fn at(
        &mut self,
        app: u32,
        (class, user): (Class, u32),
        now: Time,
        waits: Option<&mut Waits>,
    ) -> Option<(&mut Gate, Priority)> {
        let gate = self.gates.get_mut(app as usize)?;
        gate.pass(&self.rules, waits?.begun.get_mut(app as usize)?, now);
        Some((gate, self.rules.priority(class, user, now)))
    }
}

/// Rules about how long requests wait, if there are any.
#[derive(Debug)]
pub(crate) struct Waits {
    /// What is asked of the predicted wait.
    pub asked: Option<Asked>,
    /// What drops requests of queues that are overloaded.
    pub overload: Option<Overload>,
    /// Whether requests are dropped that can't be answered in time any more.
    pub in_time: bool,
    /// What has begun, by app, if there are gates.
    pub begun: Vec<Begun>,
}

impl Waits {
    pub(crate) fn new(model: &Model) -> Option<Box<Self>> {
        let asked = Asked::new(&model.admission, &model.queue);
        let overload = model.queue.overload;
        let in_time = model.admission.deadlines == Deadlines::Predict;
        let has_gates = model.admission.overload.is_some();
        let begun = vec![Begun::default(); if has_gates { model.apps.len() } else { 0 }];
        let is_any = asked.is_some() || overload.is_some() || in_time || has_gates;
        is_any.then(|| Box::new(Waits { asked, overload, in_time, begun }))
    }
}
