//! Requests come to the targets of a lane, and what becomes of them is told.

use policy::Refusal;
use policy::dagor::Begun;
use simulator_kernel::wide::{self, Task};

use super::super::coming::Way;
use super::super::{Answer, Key, Request, Witness};
use super::{Lane, Parcel};
use crate::adaptive::Heard;
use crate::look::Chosen;
use crate::outcome::Served;
use crate::stages::Path;

/// Requests of two lanes in the order of time. Of requests at the same instant those of the first
/// gateways come first, and lanes have theirs in this order. They are handed out one by one, so that
/// the next one is looked for while the one before is still worked on.
struct Merged<'a> {
    left: &'a [Request],
    right: &'a [Request],
}

impl<'a> Merged<'a> {
    #[inline(always)]
    fn next(&mut self) -> Option<&'a Request> {
        match (self.left, self.right) {
            ([first, lefts @ ..], [second, rights @ ..]) => {
                // Who is next is as good as chance: nothing is gained by a guess.
                let is_second = second.at < first.at;
                self.left = std::hint::select_unpredictable(is_second, self.left, lefts);
                self.right = std::hint::select_unpredictable(is_second, rights, self.right);
                Some(std::hint::select_unpredictable(is_second, second, first))
            }
            ([first, lefts @ ..], []) => {
                self.left = lefts;
                Some(first)
            }
            ([], [second, rights @ ..]) => {
                self.right = rights;
                Some(second)
            }
            ([], []) => None,
        }
    }
}

/// A request without stages that was taken, and when the work on it begins and ends.
struct Done<'a> {
    request: &'a Request,
    start: u64,
    end: u64,
}

/// A request with stages comes to its target: too rare to be a part of the loop that takes those
/// without.
struct LetIn<'a, 'model, W> {
    lane: &'a mut Lane<'model, W>,
    request: &'a Request,
    at: u64,
    outbound: &'a mut [Parcel],
}

impl<W: Witness> Task for LetIn<'_, '_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.lane.let_in(self.request, self.at, self.outbound);
    }
}

/// Likewise, when it comes into its queue.
struct Come<'a, 'model, W> {
    lane: &'a mut Lane<'model, W>,
    way: Way,
    outbound: &'a mut [Parcel],
}

impl<W: Witness> Task for Come<'_, '_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.lane.come(self.way, self.outbound);
    }
}

impl<W: Witness> Lane<'_, W> {
    /// Requests of the window before come to targets, and what was on its way comes into queues.
    #[inline(always)]
    pub(super) fn serve(&mut self, end: u64, inbound: &[Parcel], outbound: &mut [Parcel]) {
        // Loops, not closures: those may stay apart, where they miss the wide vectors.
        let all;
        let mut merged = match inbound {
            [only] => Merged { left: &only.requests, right: &[] },
            [left, right] => Merged { left: &left.requests, right: &right.requests },
            _ => {
                let mut requests: Vec<_> =
                    inbound.iter().flat_map(|parcel| parcel.requests.iter().copied()).collect();
                requests.sort_by_key(|request| request.at);
                all = requests;
                Merged { left: &all, right: &[] }
            }
        };
        // Loops one after the other have what each of them asks for at hand; one that does all hasn't.
        let count = inbound.iter().map(|parcel| parcel.requests.len()).sum();
        let mut done = Vec::with_capacity(count);
        while let Some(request) = merged.next() {
            if let Some((start, end)) = self.reach(request, outbound) {
                done.push(Done { request, start, end });
            }
        }
        self.tell(&done, outbound);
        if !self.paths.is_empty() {
            self.come_until(end - 1, outbound);
        }
    }

    /// A request comes to its target: when the work on it begins and ends, if it is taken and that isn't
    /// told already.
    #[inline(always)]
    fn reach(&mut self, request: &Request, outbound: &mut [Parcel]) -> Option<(u64, u64)> {
        let delay = self.plan.network.delay.0;
        let at = request.at + delay;
        let (_, source) = Key::parts(request.key);
        let info = self.plan.source(source)?;
        let (app, class, is_special) = (info.app as usize, info.class, info.is_special);
        if self.coming.is_any_until(at) {
            self.come_until(at, outbound);
        }
        if W::LOOKS && self.looks.iter().any(|(key, _)| *key == request.key) {
            self.look(request, at, outbound);
        }
        if is_special {
            match self.waits {
                None => wide::run(LetIn { lane: self, request, at, outbound }),
                Some(_) => self.let_in_waiting(request, at, outbound),
            }
            return None;
        }
        let first = self.plan.apps.get(app)?.first_own;
        let bank = self.banks.get_mut(app)?;
        bank.pass(at);
        match bank.join(request.target - first, class, request.service) {
            // Somebody who looks is told of one after the other.
            Ok(work) if !W::LOOKS => Some(work),
            work => {
                self.told(request, None, work, at, outbound);
                None
            }
        }
    }

    /// A request that the witness looks at has come to its target.
    #[cold]
    fn look(&mut self, request: &Request, now: u64, outbound: &mut [Parcel]) {
        let Some(place) = self.looks.iter().position(|(key, _)| *key == request.key) else {
            return;
        };
        let (_, mut look) = self.looks.swap_remove(place);
        let Some((place, info)) = self.place(request) else { return };
        self.settle(place, now, outbound);
        if let Some(bank) = self.banks.get_mut(place.app as usize) {
            bank.pass(now);
            let (room, waits) = (bank.room(place.target), self.waits.as_mut());
            let predicted = waits.and_then(|waits| waits.predicted(place, info.class, room, now));
            let chosen = bank.look(place.target, info.class);
            look.chosen = Some(Chosen { target: request.target, predicted, ..chosen });
        }
        self.witness.look(request, look);
    }

    /// A request comes to its target that has stages besides.
    #[inline(always)]
    pub(super) fn let_in(&mut self, request: &Request, now: u64, outbound: &mut [Parcel]) {
        let (_, source) = Key::parts(request.key);
        let Some(info) = self.plan.source(source).copied() else { return };
        let Some(bank) = self.banks.get_mut(info.app as usize) else { return };
        let Some(app) = self.plan.apps.get(info.app as usize) else { return };
        bank.pass(now);
        if let Err(cause) = bank.let_in(request.target - app.first_own, info.class) {
            return self.told(request, None, Err(cause), now, outbound);
        }
        let path = self.paths.at(source, request.key).unwrap_or_default();
        let way = Way { at: now + path.before().0, request: *request, path };
        if way.at == now {
            self.come(way, outbound);
        } else {
            self.coming.insert(way);
        }
    }

    /// What was on its way and is there at an instant or before comes into queues.
    #[inline(never)]
    pub(super) fn come_until(&mut self, at: u64, outbound: &mut [Parcel]) {
        while let Some(way) = self.coming.next_until(at) {
            match self.waits {
                None => wide::run(Come { lane: self, way, outbound }),
                Some(_) => self.come_waiting(way, outbound),
            }
        }
    }

    /// A request comes into its queue.
    #[inline(always)]
    pub(super) fn come(&mut self, way: Way, outbound: &mut [Parcel]) {
        let Way { at, request, path } = way;
        let (_, source) = Key::parts(request.key);
        let Some(info) = self.plan.source(source).copied() else { return };
        let Some(bank) = self.banks.get_mut(info.app as usize) else { return };
        let Some(app) = self.plan.apps.get(info.app as usize) else { return };
        bank.pass(at);
        let work = bank.come(request.target - app.first_own, info.class, request.service);
        self.told(&request, Some(&path), work, at, outbound);
    }

    /// What becomes of requests without stages that were taken is known.
    #[inline(always)]
    fn tell(&mut self, done: &[Done<'_>], outbound: &mut [Parcel]) {
        let delay = self.plan.network.delay.0;
        for Done { request, start, end } in done {
            self.answer(request, *end, outbound);
            let served = Served::new(request.target, policy::Time(*start), policy::Time(*end));
            self.witness.outcome(request, None, Ok(served));
        }
        if self.learns() {
            for Done { request, start, end } in done {
                let (work, times) = (Ok((*start, *end)), (request.at + delay, end + delay));
                self.learn_of(request, work, times, outbound);
            }
        }
    }

    /// What becomes of a request is known.
    #[inline(always)]
    pub(super) fn told(
        &mut self,
        request: &Request,
        path: Option<&Path>,
        work: Result<(u64, u64), Refusal>,
        now: u64,
        outbound: &mut [Parcel],
    ) {
        let outcome = work.map(|(start, end)| {
            Served::new(request.target, policy::Time(start), policy::Time(end))
        });
        let respond = path.map_or(0, |path| path.respond.0);
        let over = work.map_or(now, |(_, end)| end + respond);
        self.witness.outcome(request, path, outcome);
        self.answer(request, over, outbound);
        if self.learns() {
            let delay = self.plan.network.delay.0;
            self.learn_of(request, work, (now, over + delay), outbound);
        }
    }

    /// The gateway of a request that is over then will hear of it. Of several lanes, whether the gateway is
    /// of this one is as good as chance, so what is goes the way of what isn't: none is heard of in this
    /// window.
    #[inline(always)]
    fn answer(&mut self, request: &Request, over: u64, outbound: &mut [Parcel]) {
        let (gateway, source) = Key::parts(request.key);
        let line = self.plan.lines.line(gateway, source);
        let answer = Answer { at: over + self.plan.network.delay.0, user: request.user, line };
        if outbound.len() <= 1 {
            return self.gateways.expect(answer);
        }
        let owner = self.gateway_owners.get(usize::from(gateway)).copied().unwrap_or(0);
        if let Some(parcel) = outbound.get_mut(usize::from(owner)) {
            parcel.answers.push(answer);
        }
    }

    /// Whether a rule learns of what becomes of requests.
    #[inline(always)]
    fn learns(&self) -> bool {
        self.begins.is_some() || self.gateways.adapt()
    }

    /// Rules learn of a request that came into its queue, or was refused, then; its gateway hears of it
    /// at the later time.
    #[cold]
    fn learn_of(
        &mut self,
        request: &Request,
        work: Result<(u64, u64), Refusal>,
        (now, heard): (u64, u64),
        outbound: &mut [Parcel],
    ) {
        let (_, source) = Key::parts(request.key);
        if let (Some(begins), Ok((start, _))) = (&mut self.begins, work)
            && let Some(info) = self.plan.source(source)
        {
            let waited = policy::Time(start).since(policy::Time(now));
            let begun = Begun { requests: 1, waited, work: info.expected };
            begins.count(info.app, start, begun);
        }
        if self.gateways.adapt() {
            self.heard(request, work.err(), heard, outbound);
        }
    }

    /// A gateway will hear at this time what became of a request.
    #[cold]
    fn heard(
        &mut self,
        request: &Request,
        cause: Option<Refusal>,
        at: u64,
        outbound: &mut [Parcel],
    ) {
        let (gateway, source) = Key::parts(request.key);
        let Some(info) = self.plan.source(source) else { return };
        let at = policy::Time(at);
        let answer = match cause {
            Some(cause) => policy::adaptive::Answer::refused(cause),
            None => policy::adaptive::Answer::served(at.since(request.time()), info.deadline),
        };
        let (key, cmd, class) = (request.key, info.cmd, info.class);
        let heard = Heard { at, key, gateway, cmd, class, answer };
        let owner = self.gateway_owners.get(usize::from(gateway)).copied().unwrap_or(0);
        if owner == self.number {
            self.gateways.listen(heard);
        } else if let Some(parcel) = outbound.get_mut(usize::from(owner)) {
            parcel.heard.push(heard);
        }
    }
}
