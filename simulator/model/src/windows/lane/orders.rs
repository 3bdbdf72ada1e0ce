//! What machines are told about instances.

use super::super::control::{Change, Left, Order};
use super::super::waits::{Place, Undo};
use super::{Lane, Parcel, Witness};

impl<W: Witness> Lane<'_, W> {
    /// Machines of this lane do what they were told.
    #[cold]
    pub(super) fn obey(&mut self, now: u64, outbound: &mut [Parcel]) {
        while let Some((_, order)) = self.orders.pop_front_if(|(at, _)| *at <= now) {
            if let Some(ledger) = &mut self.ledger {
                ledger.order(&order, now);
            }
            let Order { app, machine, change } = order;
            let Some(info) = self.plan.apps.get(app as usize) else { continue };
            let own = self.plan.share(info.count, self.number);
            let Some(bank) = self.banks.get_mut(app as usize) else { continue };
            if !own.contains(&machine) {
                continue;
            }
            let target = machine - own.start;
            let undo = self.waits.as_mut().and_then(|waits| waits.undo(Place { app, target }));
            bank.pass(now);
            let left = match change {
                Change::Start { ready } => {
                    bank.start(target, ready);
                    None
                }
                Change::Leave => match bank.leave(target) {
                    None => continue,
                    Some(parting) => {
                        let (ready, gone) = (parting.ready, parting.gone);
                        Some(Left { app, machine, at: now, ready, gone })
                    }
                },
            };
            match undo {
                None => tell(left.as_slice(), outbound),
                Some(undo) => {
                    undo.orders.push((now, change));
                    undo.left.extend(left);
                    self.unknown.extend(left.map(|left| left.at));
                }
            }
        }
    }

    /// A request was dropped that was taken as one that isn't: what its target does without it.
    pub(super) fn do_again(
        &mut self,
        Place { app, target }: Place,
        (turn, class): (u64, policy::Class),
        undo: Undo,
        outbound: &mut [Parcel],
    ) {
        let Some(info) = self.plan.apps.get(app as usize) else { return };
        let Some(bank) = self.banks.get_mut(app as usize) else { return };
        let machine = info.first_own + target;
        bank.restore(target, undo.saved, (class, turn, undo.end));
        let mut left = Vec::new();
        for (at, change) in undo.orders {
            match change {
                Change::Start { ready } => bank.start_behind(target, ready, turn),
                Change::Leave => left.extend(bank.leave_at(target, at).map(|parting| Left {
                    app,
                    machine,
                    at,
                    ready: parting.ready,
                    gone: parting.gone,
                })),
            }
        }
        self.tell_left(&left, outbound);
    }

    /// It is known now which instances leave.
    pub(super) fn tell_left(&mut self, left: &[Left], outbound: &mut [Parcel]) {
        for Left { at, .. } in left {
            if let Some(place) = self.unknown.iter().position(|known| known == at) {
                self.unknown.swap_remove(place);
            }
        }
        tell(left, outbound);
    }
}

fn tell(left: &[Left], outbound: &mut [Parcel]) {
    outbound.iter_mut().for_each(|parcel| parcel.left.extend_from_slice(left));
}
