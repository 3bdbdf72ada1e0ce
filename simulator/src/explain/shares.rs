//! What an app had lent or borrowed at an instant, and why.

use std::collections::BTreeMap;

use policy::Time;
use policy::sharing::{Action, Observation};
use simulator_model::{Model, Slot, Stopped, Turn};

use crate::table::grouped;

/// Looks at the pair that an app is in.
pub(super) struct Shares {
    at: Time,
    /// The pair, what the app does in it, and the name of the other app.
    pair: Option<(usize, &'static str, String)>,
    lent: u64,
    /// Slots that were called back and not given, by when they are due.
    called: BTreeMap<Time, u64>,
    before: Option<Decision>,
    lent_last: Option<Decision>,
    called_last: Option<Decision>,
    change_after: Option<Decision>,
}

#[derive(Clone, Copy)]
struct Decision {
    at: Time,
    seen: Observation,
    action: Action,
}

impl Shares {
    pub(super) fn new(model: &Model, app: usize, at: Time) -> Self {
        let pairs = model.sharing().map_or(&[][..], |sharing| &sharing.pairs);
        let name = |app: usize| model.apps.get(app).map_or(String::new(), |app| app.name.clone());
        let pair = pairs.iter().enumerate().find_map(|(place, pair)| {
            if pair.lender == app {
                Some((place, "lends to", name(pair.borrower)))
            } else if pair.borrower == app {
                Some((place, "borrows from", name(pair.lender)))
            } else {
                None
            }
        });
        Shares {
            at,
            pair,
            lent: 0,
            called: BTreeMap::new(),
            before: None,
            lent_last: None,
            called_last: None,
            change_after: None,
        }
    }

    fn is_it(&self, pair: usize) -> bool {
        self.pair.as_ref().is_some_and(|(known, ..)| *known == pair)
    }

    /// Whether the next change is still waited for.
    pub(super) const fn waits(&self) -> bool {
        self.pair.is_some() && self.change_after.is_none()
    }

    pub(super) fn share(&mut self, at: Time, pair: usize, seen: Observation, action: Action) {
        if !self.is_it(pair) {
            return;
        }
        let decision = Decision { at, seen, action };
        if at > self.at {
            let changes = !matches!(action, Action::Keep(_));
            self.change_after = self.change_after.or(changes.then_some(decision));
            return;
        }
        self.before = Some(decision);
        match action {
            Action::Lend(_) => self.lent_last = Some(decision),
            Action::CallBack { .. } => self.called_last = Some(decision),
            Action::Keep(_) => {}
        }
    }

    pub(super) fn slot(&mut self, at: Time, slot: Slot) {
        if !self.is_it(slot.pair) || at > self.at {
            return;
        }
        match slot.turn {
            Turn::Lent => self.lent += 1,
            Turn::Called { due } => *self.called.entry(due).or_default() += 1,
            Turn::Back { lent, called, .. } => {
                self.lent -= u64::from(lent.is_some());
                // All that was called back at one time is due at one time, and the first are due
                // first.
                let due = self.called.iter_mut().find(|(_, count)| **count > 0);
                if let Some((_, count)) = due.filter(|_| called.is_some()) {
                    *count -= 1;
                }
            }
        }
    }

    pub(super) fn tell(&self, add: &mut impl FnMut(&str, String)) {
        let Some((_, does, other)) = &self.pair else { return };
        let called: Vec<String> = self
            .called
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(due, count)| format!("{count} called back, due in {}", due.since(self.at)))
            .collect();
        let called = called.iter().map(|text| format!(", {text}")).collect::<String>();
        add("sharing", format!("{does} `{other}`: {} lent{called}", grouped(self.lent)));
        let shown = |decision: Option<Decision>| {
            decision.map_or("none".to_owned(), |Decision { at, seen, action }| {
                let Observation { slots, peak, lent, called, unused, borrowers } = seen;
                let at = super::instant(at.0);
                format!(
                    "at {at}: {action} (saw {slots} slots, at most {peak} requests since the look \
                     before; {lent} lent, {called} called back, {unused} unused; {borrowers} \
                     would use one)"
                )
            })
        };
        add("last look", shown(self.before));
        add("last lent", shown(self.lent_last));
        add("last called back", shown(self.called_last));
        add("next change", shown(self.change_after));
    }
}

/// Work on a request that was stopped, for people.
pub(super) fn stopped(at: Time, stopped: Stopped) -> String {
    let worked = at.since(stopped.start);
    let fate = match stopped.fate {
        policy::sharing::Unfinished::Requeue => "it waits again",
        policy::sharing::Unfinished::Fail => "it fails",
    };
    format!(
        "at {}, after {worked} of work: its slot had to be given back; {fate}",
        super::instant(at.0)
    )
}
