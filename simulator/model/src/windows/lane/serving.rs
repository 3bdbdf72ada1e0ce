//! Requests come to the targets of a lane, and what becomes of them is told.

use policy::Refusal;
use policy::dagor::Begun;
use simulator_kernel::wide::{self, Task};

use super::super::bank::Bank;
use super::super::coming::Way;
use super::super::gateway::Gateways;
use super::super::plan::{Plan, SourceInfo};
use super::super::{Answer, Key, Request, Witness, Work};
use super::{Lane, Parcel};
use crate::adaptive::Heard;
use crate::look::Chosen;
use crate::outcome::Served;
use crate::stages::Path;

/// What is needed while requests come to targets, kept so that nothing is allocated for each window.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Requests of all lanes in their order, if there are several.
    requests: Vec<Request>,
    /// Where runs of requests begin that are of the same app and have no stages, or all have some.
    bounds: Vec<usize>,
    /// How those with stages go, in their order.
    ways: Vec<Way>,
    /// Of those that are taken and weren't told at once, when the work on them begins and ends.
    works: Vec<Work>,
}

/// The app of a request that is plain.
#[inline(always)]
fn plain_of(plain: &[u32], request: &Request) -> u32 {
    let (_, source) = Key::parts(request.key);
    plain.get(usize::from(source)).map_or(SourceInfo::NO_APP, |app| *app)
}

/// Where runs of plain requests of the same app begin, and of those that aren't plain; and where the last
/// one ends.
#[inline(always)]
fn find_bounds<'a>(plain: &[u32], requests: &[Request], bounds: &'a mut Vec<usize>) -> &'a [usize] {
    if bounds.len() < requests.len() + 1 {
        bounds.resize(requests.len() + 1, 0);
    }
    let (mut count, mut last) = (0, None);
    for (place, request) in requests.iter().enumerate() {
        let app = Some(plain_of(plain, request));
        // Whether one begins is as good as chance, so it is written in any case.
        if let Some(bound) = bounds.get_mut(count) {
            *bound = place;
        }
        count += usize::from(app != last);
        last = app;
    }
    if let Some(bound) = bounds.get_mut(count) {
        *bound = requests.len();
    }
    bounds.get(..=count).unwrap_or_default()
}

/// Requests of two lanes in the order of time. Of requests at the same instant those of the first
/// gateways come first, and lanes have theirs in this order.
fn merge(mut left: &[Request], mut right: &[Request], all: &mut Vec<Request>) {
    all.clear();
    all.reserve(left.len() + right.len());
    while let ([first, lefts @ ..], [second, rights @ ..]) = (left, right) {
        // Who is next is as good as chance: nothing is gained by a guess.
        let is_second = second.at < first.at;
        all.push(*std::hint::select_unpredictable(is_second, second, first));
        left = std::hint::select_unpredictable(is_second, left, lefts);
        right = std::hint::select_unpredictable(is_second, rights, right);
    }
    all.extend_from_slice(left);
    all.extend_from_slice(right);
}

/// A request that came into its queue.
#[derive(Debug)]
pub(super) struct Came {
    /// Among the ways of the present window.
    place: usize,
    /// When the work on it begins and ends.
    work: Result<(u64, u64), Refusal>,
}

/// Requests that were on their way come into their queues: too rare to be a part of the loop that takes
/// those without stages.
struct ComeUntil<'a, 'model, W> {
    lane: &'a mut Lane<'model, W>,
    at: u64,
}

impl<W: Witness> Task for ComeUntil<'_, '_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Lane { plan, banks, coming, came, .. } = self.lane;
        while let Some(place) = coming.next_until(self.at) {
            let work = queue(plan, banks, coming.way(place));
            came.push(Came { place, work });
        }
    }
}

/// A request comes into its queue: when the work on it begins and ends.
#[inline(always)]
fn queue(plan: &Plan, banks: &mut [Bank], way: &Way) -> Result<(u64, u64), Refusal> {
    let Way { at, request, .. } = way;
    let (_, source) = Key::parts(request.key);
    let info = plan.source(source).ok_or(Refusal::NoInstance)?;
    let bank = banks.get_mut(info.app as usize).ok_or(Refusal::NoInstance)?;
    let app = plan.apps.get(info.app as usize).ok_or(Refusal::NoInstance)?;
    bank.pass(*at);
    bank.come(request.target - app.first_own, info.class, request.service)
}

/// What becomes of them is told.
struct TellOfWays<'a, 'model, W> {
    lane: &'a mut Lane<'model, W>,
    ways: &'a [Way],
    came: &'a [Came],
    outbound: &'a mut [Parcel],
}

impl<W: Witness> Task for TellOfWays<'_, '_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let TellOfWays { lane, ways, came, outbound } = self;
        for Came { place, work } in came {
            let Some(Way { at, request, path }) = ways.get(*place) else { break };
            lane.told(request, Some(path), *work, *at, outbound);
        }
    }
}

/// Gateways of this lane will hear of requests that were taken.
struct Expect<'a> {
    gateways: &'a mut Gateways,
    plan: &'a Plan,
    requests: &'a [Request],
    works: &'a [Work],
}

impl Task for Expect<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Expect { gateways, plan, requests, works } = self;
        let (delay, lines) = (plan.network.delay.0, plan.lines);
        let mut calendar = gateways.calendar();
        for work in works {
            let Some(request) = requests.get(work.place) else { break };
            let (gateway, source) = Key::parts(request.key);
            let (at, line) = (work.end + delay, lines.line(gateway, source));
            calendar.insert(Answer { at, user: request.user, line });
        }
    }
}

/// The witness is told of them.
struct Tell<'a, W> {
    witness: &'a mut W,
    requests: &'a [Request],
    works: &'a [Work],
}

impl<W: Witness> Task for Tell<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.witness.served(self.requests, self.works);
    }
}

impl<W: Witness> Lane<'_, W> {
    /// Requests of the window before come to targets, and what was on its way comes into queues.
    #[inline(always)]
    pub(super) fn serve(&mut self, end: u64, inbound: &[Parcel], outbound: &mut [Parcel]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let Scratch { requests: all, bounds, ways, works } = &mut scratch;
        let requests = match inbound {
            [only] => &only.requests,
            [left, right] => {
                merge(&left.requests, &right.requests, all);
                &*all
            }
            _ => {
                all.clear();
                all.extend(inbound.iter().flat_map(|parcel| &parcel.requests));
                all.sort_by_key(|request| request.at);
                &*all
            }
        };
        if works.len() < requests.len() {
            works.resize(requests.len(), Work::default());
        }
        let bounds = find_bounds(&self.plan.plain, requests, bounds);
        ways.clear();
        if !self.paths.is_empty() && self.waits.is_none() {
            self.draw_ways(requests, bounds, ways);
        }
        // Runs of requests where all is plain, and between them those that aren't. Loops one after the
        // other have what each of them asks for at hand; one that does all hasn't.
        let (mut known, mut ways) = (0, ways.iter());
        for run in bounds.windows(2) {
            let [mut place, to] = *run else { break };
            let Some(request) = requests.get(place) else { break };
            let app = plain_of(&self.plan.plain, request);
            let bank = self.banks.get(app as usize);
            let is_plain = !W::LOOKS && bank.is_some_and(Bank::is_mostly_plain);
            while let Some(rest) = requests.get(place..to)
                && let Some(request) = rest.first()
            {
                if is_plain {
                    let count = self.reach_plain(app, (rest, place), works.get_mut(known..));
                    (place, known) = (place + count, known + count);
                    if count > 0 {
                        continue;
                    }
                }
                self.reach(request, &mut ways, outbound);
                place += 1;
            }
        }
        self.tell(requests, works.get(..known).unwrap_or_default(), outbound);
        self.scratch = scratch;
        if !self.paths.is_empty() {
            self.come_until(end - 1, outbound);
            self.tell_of_those_who_came(outbound);
        }
    }

    /// How the stages of requests go that have some.
    fn draw_ways(&self, requests: &[Request], bounds: &[usize], ways: &mut Vec<Way>) {
        let delay = self.plan.network.delay.0;
        let runs = bounds.windows(2).filter_map(|run| requests.get(*run.first()?..*run.last()?));
        let is_plain =
            |request: &Request| plain_of(&self.plan.plain, request) != SourceInfo::NO_APP;
        for request in runs.filter(|run| !run.first().is_some_and(is_plain)).flatten() {
            let (_, source) = Key::parts(request.key);
            let path = self.paths.at(source, request.key).unwrap_or_default();
            ways.push(Way { at: request.at + delay + path.before().0, request: *request, path });
        }
    }

    /// Requests from a place on come to their targets, as long as they are of this app and all is plain: how
    /// many.
    #[inline(always)]
    fn reach_plain(
        &mut self,
        app: u32,
        requests: (&[Request], usize),
        works: Option<&mut [Work]>,
    ) -> usize {
        let works = works.unwrap_or_default();
        // Rows whose length is known stay in registers.
        match self.banks.get(app as usize).map_or(0, Bank::width) {
            1 => self.reach_plain_of::<1>(app, requests, works),
            4 => self.reach_plain_of::<4>(app, requests, works),
            8 => self.reach_plain_of::<8>(app, requests, works),
            16 => self.reach_plain_of::<16>(app, requests, works),
            32 => self.reach_plain_of::<32>(app, requests, works),
            48 => self.reach_plain_of::<48>(app, requests, works),
            64 => self.reach_plain_of::<64>(app, requests, works),
            128 => self.reach_plain_of::<128>(app, requests, works),
            _ => 0,
        }
    }

    /// Likewise, if the rows of this app have this length.
    #[inline(always)]
    fn reach_plain_of<const WIDTH: usize>(
        &mut self,
        app: u32,
        (requests, from): (&[Request], usize),
        works: &mut [Work],
    ) -> usize {
        let Lane { plan, banks, coming, .. } = self;
        let (delay, next_at) = (plan.network.delay.0, coming.next_at());
        let (Some(info), Some(bank)) = (plan.apps.get(app as usize), banks.get_mut(app as usize))
        else {
            return 0;
        };
        let first = info.first_own;
        let (mut place, mut now) = (from, bank.now());
        let mut open = bank.open::<WIDTH>(plan);
        for (request, work) in requests.iter().zip(works) {
            let at = request.at + delay;
            if next_at <= at {
                break;
            }
            let Some((start, end)) = open.join(request, request.target - first, at) else { break };
            *work = Work { place, start, end };
            now = at;
            place += 1;
        }
        bank.close((place - from) as u64, now);
        place - from
    }

    /// A request comes to its target.
    #[inline(always)]
    fn reach(
        &mut self,
        request: &Request,
        ways: &mut std::slice::Iter<'_, Way>,
        outbound: &mut [Parcel],
    ) {
        let delay = self.plan.network.delay.0;
        let at = request.at + delay;
        let (_, source) = Key::parts(request.key);
        let Some(info) = self.plan.source(source) else { return };
        let (app, class, is_special) = (info.app as usize, info.class, info.is_special);
        if self.coming.next_at() <= at {
            self.come_until(at, outbound);
        }
        if W::LOOKS && self.looks.iter().any(|(key, _)| *key == request.key) {
            self.look(request, at, outbound);
        }
        if is_special {
            return match self.waits {
                None => ways.next().map_or((), |way| self.let_in(way, at, outbound)),
                Some(_) => self.let_in_waiting(request, at, outbound),
            };
        }
        let Some(first) = self.plan.apps.get(app).map(|info| info.first_own) else { return };
        let Some(bank) = self.banks.get_mut(app) else { return };
        bank.pass(at);
        let work = bank.join(request.target - first, class, request.service);
        self.told(request, None, work, at, outbound);
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
    fn let_in(&mut self, way: &Way, now: u64, outbound: &mut [Parcel]) {
        let Way { at, request, .. } = way;
        let (_, source) = Key::parts(request.key);
        let Some(info) = self.plan.source(source) else { return };
        let Some(bank) = self.banks.get_mut(info.app as usize) else { return };
        let Some(app) = self.plan.apps.get(info.app as usize) else { return };
        bank.pass(now);
        if let Err(cause) = bank.let_in(request.target - app.first_own, info.class) {
            return self.told(request, None, Err(cause), now, outbound);
        }
        if *at == now {
            self.come(way, outbound);
        } else {
            self.coming.insert(way);
        }
    }

    /// What was on its way and is there at an instant or before comes into queues.
    #[inline(never)]
    pub(super) fn come_until(&mut self, at: u64, outbound: &mut [Parcel]) {
        if self.waits.is_none() {
            return wide::run(ComeUntil { lane: self, at });
        }
        while let Some(place) = self.coming.next_until(at) {
            let way = *self.coming.way(place);
            self.come_waiting(way, outbound);
        }
    }

    /// What becomes of those that came so is told.
    pub(super) fn tell_of_those_who_came(&mut self, outbound: &mut [Parcel]) {
        let mut came = std::mem::take(&mut self.came);
        let ways = std::mem::take(self.coming.present_mut());
        wide::run(TellOfWays { lane: self, ways: &ways, came: &came, outbound });
        came.clear();
        self.came = came;
        *self.coming.present_mut() = ways;
    }

    /// A request comes into its queue, and what becomes of it is told.
    pub(super) fn come(&mut self, way: &Way, outbound: &mut [Parcel]) {
        let work = queue(&self.plan, &mut self.banks, way);
        self.told(&way.request, Some(&way.path), work, way.at, outbound);
    }

    /// What becomes of requests without stages that were taken is known.
    fn tell(&mut self, requests: &[Request], works: &[Work], outbound: &mut [Parcel]) {
        let delay = self.plan.network.delay.0;
        if outbound.len() <= 1 {
            let (gateways, plan) = (&mut self.gateways, &self.plan);
            wide::run(Expect { gateways, plan, requests, works });
        } else {
            for work in works {
                let Some(request) = requests.get(work.place) else { break };
                self.answer(request, work.end, outbound);
            }
        }
        wide::run(Tell { witness: &mut self.witness, requests, works });
        if self.learns() {
            for Work { place, start, end } in works {
                let Some(request) = requests.get(*place) else { break };
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
