//! Gates of apps behind a network (`policy::dagor`). Each gateway has its own for each app: it counts
//! what comes to it, and hears by reports what has begun at the targets.

use std::collections::BTreeMap;

use policy::Time;
use policy::admission::Admission;
use policy::dagor::{Begun, Dagor, Gate, Priority};

/// What has begun at the targets of a lane, or will: by app, and by the report that is the first to
/// tell of it. When work begins is known as soon as a request comes into its queue.
#[derive(Debug)]
pub(super) struct Begins {
    /// Time between reports.
    every: u64,
    apps: Vec<BTreeMap<u64, Begun>>,
}

impl Begins {
    /// Of so many apps.
    pub(super) fn new(apps: usize, every: u64) -> Self {
        Begins { every: every.max(1), apps: vec![BTreeMap::new(); apps] }
    }

    /// Work begins then on a request of an app; `begun` is that one.
    pub(super) fn count(&mut self, app: u32, start: u64, begun: Begun) {
        // What begins just when a report is made is in it, or in the next if it has been made already.
        let report = start.div_ceil(self.every);
        if let Some(reports) = self.apps.get_mut(app as usize) {
            reports.entry(report).or_default().add(begun);
        }
    }

    /// A report is made: what has begun since the last one, app by app.
    pub(super) fn report(&mut self, now: u64) -> impl Iterator<Item = Begun> {
        let present = now / self.every;
        self.apps.iter_mut().map(move |reports| {
            let mut sum = Begun::default();
            while let Some(first) = reports.first_entry().filter(|first| *first.key() <= present) {
                sum.add(first.remove());
            }
            sum
        })
    }
}

/// The gates of some gateways.
#[derive(Debug)]
pub(super) struct Gates {
    rules: Dagor,
    /// The first gateway.
    first: u16,
    apps: usize,
    /// Those of one gateway after the other, with what it has heard of since the window began.
    gates: Vec<(Gate, Begun)>,
}

impl Gates {
    /// Gates of so many apps at each gateway; none without such a rule.
    pub(super) fn new(
        admission: &Admission,
        gateways: std::ops::Range<u16>,
        apps: usize,
    ) -> Option<Self> {
        let rules = admission.overload?;
        let count = usize::from(gateways.end - gateways.start) * apps;
        let gates = vec![(Gate::new(&rules), Begun::default()); count];
        Some(Gates { rules, first: gateways.start, apps, gates })
    }

    /// All gateways hear what has begun, app by app.
    pub(super) fn hear(&mut self, begun: &[Begun]) {
        for gates in self.gates.chunks_mut(self.apps.max(1)) {
            for ((_, known), more) in gates.iter_mut().zip(begun) {
                known.add(*more);
            }
        }
    }

    /// A gate just before a request comes to it, and the priority of that: its class, its user and when.
    pub(super) fn at(
        &mut self,
        gateway: u16,
        app: u32,
        (class, user, now): (policy::Class, u32, Time),
    ) -> Option<(&mut Gate, Priority)> {
        let place = usize::from(gateway.saturating_sub(self.first)) * self.apps + app as usize;
        let (gate, begun) = self.gates.get_mut(place)?;
        gate.pass(&self.rules, begun, now);
        Some((gate, self.rules.priority(class, user, now)))
    }
}
