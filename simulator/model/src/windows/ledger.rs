//! How many instances each app has, told in the order of time: what machines tell of the past and
//! what is already known of the future wait here until nobody can add to it any more.

use std::collections::BTreeMap;

use policy::Time;

use super::Witness;
use super::control::{Change, Left, Order};
use crate::model::Model;
use crate::outcome::Instances;

/// By how much numbers of instances change at an instant.
#[derive(Debug, Clone, Copy, Default)]
struct Delta {
    ready: i64,
    starting: i64,
    leaving: i64,
}

/// The numbers of instances of all apps.
#[derive(Debug)]
pub(super) struct Ledger {
    present: Vec<Instances>,
    /// By time and app.
    pending: BTreeMap<(u64, u32), Delta>,
}

impl Ledger {
    pub(super) fn new(model: &Model) -> Self {
        let ready = |app: &crate::App| u32::try_from(app.all_instances()).unwrap_or(u32::MAX);
        let present = |app| Instances { ready: ready(app), ..Instances::default() };
        Ledger { present: model.apps.iter().map(present).collect(), pending: BTreeMap::new() }
    }

    fn at(&mut self, time: u64, app: u32) -> &mut Delta {
        self.pending.entry((time, app)).or_default()
    }

    /// An order reaches its machine.
    pub(super) fn order(&mut self, order: &Order, reached: u64) {
        if let Change::Start { ready } = order.change {
            self.at(reached, order.app).starting += 1;
            let then = self.at(ready, order.app);
            then.starting -= 1;
            then.ready += 1;
        }
    }

    /// An instance leaves.
    pub(super) fn hear(&mut self, left: &Left) {
        let Left { app, at, ready, gone, .. } = *left;
        let then = self.at(at, app);
        then.leaving += 1;
        if ready > at {
            then.starting -= 1;
            // It will never count as ready.
            let then = self.at(ready, app);
            then.starting += 1;
            then.ready -= 1;
        } else {
            then.ready -= 1;
        }
        self.at(gone, app).leaving -= 1;
    }

    /// Tells what has changed before a time.
    pub(super) fn tell<W: Witness>(&mut self, until: u64, witness: &mut W) {
        while let Some(entry) = self.pending.first_entry()
            && entry.key().0 < until
        {
            let (at, app) = *entry.key();
            let delta = entry.remove();
            let Some(present) = self.present.get_mut(app as usize) else { continue };
            let next = Instances {
                ready: changed(present.ready, delta.ready),
                starting: changed(present.starting, delta.starting),
                leaving: changed(present.leaving, delta.leaving),
            };
            if next != *present {
                *present = next;
                witness.change(Time(at), app as usize, next);
            }
        }
    }
}

fn changed(number: u32, by: i64) -> u32 {
    u32::try_from(i64::from(number) + by).unwrap_or(0)
}
