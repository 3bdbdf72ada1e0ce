//! Targets whose rules ask how long requests wait ([`super::super::waits`]).

use super::super::coming::Way;
use super::super::plan::SourceInfo;
use super::super::waits::{Held, Place, Undo};
use super::{Key, Lane, Parcel, Request, Witness};

impl<W: Witness> Lane<'_, W> {
    /// Where a request goes, and what must be known of it.
    pub(super) fn place(&self, request: &Request) -> Option<(Place, SourceInfo)> {
        let (_, source) = Key::parts(request.key);
        let info = *self.plan.source(source)?;
        let app = self.plan.apps.get(info.app as usize)?;
        Some((Place { app: info.app, target: request.target - app.first_own }, info))
    }

    /// A request comes to its target.
    #[inline(never)]
    pub(super) fn let_in_waiting(&mut self, request: &Request, now: u64, outbound: &mut [Parcel]) {
        let Some((place, info)) = self.place(request) else { return };
        self.settle(place, now, outbound);
        let Some(bank) = self.banks.get_mut(place.app as usize) else { return };
        let Some(waits) = self.waits.as_mut() else { return };
        bank.pass(now);
        let room = bank.room(place.target);
        let judge = || waits.enqueue(place, (request, &info), room, now);
        if let Err(cause) = bank.let_in_if(place.target, info.class, judge) {
            return self.told(request, None, Err(cause), now, outbound);
        }
        waits.let_in(place, &info);
        let (_, source) = Key::parts(request.key);
        let path = self.paths.at(source, request.key).unwrap_or_default();
        let way = Way { at: now + path.before().0, request: *request, path };
        if way.at == now {
            self.come_waiting(way, outbound);
        } else {
            self.coming.insert(&way);
        }
    }

    /// A request comes into its queue.
    #[inline(never)]
    pub(super) fn come_waiting(&mut self, way: Way, outbound: &mut [Parcel]) {
        let Way { at, request, path } = way;
        let Some((place, info)) = self.place(&request) else { return };
        let path = info.has_stages.then_some(path);
        self.settle(place, at, outbound);
        let Some(bank) = self.banks.get_mut(place.app as usize) else { return };
        let Some(waits) = self.waits.as_mut() else { return };
        bank.pass(at);
        waits.come(place, &info);
        if let Err(cause) = bank.arrive(place.target, info.class) {
            return self.told(&request, path.as_ref(), Err(cause), at, outbound);
        }
        if let Some(last) = waits.last_until(place, u64::MAX) {
            // There is one behind it now.
            self.conclude(place, last, true, outbound);
        }
        let Some(bank) = self.banks.get_mut(place.app as usize) else { return };
        let Some(waits) = self.waits.as_mut() else { return };
        let turn = bank.stand(place.target, info.class);
        let mut held = waits.stand(place, &info, Held::new(request, path, at, turn));
        if self.looks_back && turn > at {
            if let Some(saved) = bank.save(place.target) {
                let end = bank.begin(place.target, info.class, turn, request.service);
                let (orders, left) = (Vec::new(), Vec::new());
                held.undo = Some(Box::new(Undo { saved, end, orders, left }));
            }
            waits.hold(place, held);
        } else {
            self.conclude(place, held, false, outbound);
        }
    }

    /// The turn of the last one of a line has come by now, and nobody has come behind it.
    pub(super) fn settle(&mut self, place: Place, now: u64, outbound: &mut [Parcel]) {
        let last = self.waits.as_mut().and_then(|waits| waits.last_until(place, now));
        if let Some(held) = last {
            self.conclude(place, held, false, outbound);
        }
    }

    /// Likewise, of all lines.
    #[cold]
    pub(super) fn settle_all(&mut self, now: u64, outbound: &mut [Parcel]) {
        while let Some((place, held)) = self.waits.as_mut().and_then(|waits| waits.next_until(now))
        {
            self.conclude(place, held, false, outbound);
        }
    }

    /// A window is over: whose turn has come by now, nobody has come behind. At the end of the run
    /// nobody else comes than those who are on their way: who leaves must be told before it.
    #[cold]
    pub(super) fn look_back(&mut self, end: u64, outbound: &mut [Parcel]) {
        self.settle_all(end, outbound);
        if !self.unknown.is_empty() && self.window() + 2 == self.steps / 2 {
            for way in self.coming.take() {
                self.skip_to(way.at, outbound);
                self.come_waiting(way, outbound);
            }
            self.settle_all(u64::MAX, outbound);
        }
        let since = self.unknown.iter().min().copied();
        outbound.iter_mut().for_each(|parcel| parcel.unknown_since = since);
    }

    /// What becomes of the last one of a line is known, and told.
    fn conclude(&mut self, place: Place, held: Held, others: bool, outbound: &mut [Parcel]) {
        let Some((_, info)) = self.place(&held.request) else { return };
        let Some(bank) = self.banks.get_mut(place.app as usize) else { return };
        let Some(waits) = self.waits.as_mut() else { return };
        let fate = waits.take(place, (&held, &info), others);
        let Held { request, path, came, turn, undo, .. } = held;
        if let Err(cause) = fate {
            if let Some(undo) = undo {
                self.do_again(place, (turn, info.class), *undo, outbound);
            }
            // It stands there until its turn comes.
            return self.told(&request, path.as_ref(), Err(cause), turn, outbound);
        }
        let end = match &undo {
            None => bank.begin(place.target, info.class, turn, request.service),
            Some(undo) => undo.end,
        };
        waits.begin(place, end);
        if let Some(undo) = undo {
            self.tell_left(&undo.left, outbound);
        }
        self.told(&request, path.as_ref(), Ok((turn, end)), came, outbound);
    }
}
