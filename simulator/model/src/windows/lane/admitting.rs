//! New requests come to gateways, which admit them, or don't, and send them to targets.

use policy::Refusal;
use simulator_kernel::wide::{self, Task};

use super::super::gateway::{Gateways, Sent};
use super::super::{Key, Request, Witness};
use super::{Lane, Parcel, of_window};

/// A window begins at gateways.
struct Begin<'a> {
    gateways: &'a mut Gateways,
    now: u64,
    inbound: &'a [Parcel],
}

impl Task for Begin<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Begin { gateways, now, inbound } = self;
        let mut calendar = gateways.calendar();
        for parcel in inbound {
            for answer in &parcel.answers {
                calendar.insert(*answer);
            }
        }
        gateways.begin(now);
    }
}

/// So many requests come to gateways, as long as they come before the end of the window.
struct Admit<'a, 'model, W> {
    lane: &'a mut Lane<'model, W>,
    end: u64,
    most: usize,
    outbound: &'a mut [Parcel],
}

impl<W: Witness> Task for Admit<'_, '_, W> {
    type Output = usize;

    #[inline(always)]
    fn run(self) -> usize {
        self.lane.admit_most(self.end, self.most, self.outbound)
    }
}

/// Likewise, where all is plain, in this lane alone or in several.
struct AdmitPlain<'a, 'model, W, const ALONE: bool> {
    lane: &'a mut Lane<'model, W>,
    end: u64,
    outbound: &'a mut [Parcel],
}

impl<W: Witness, const ALONE: bool> Task for AdmitPlain<'_, '_, W, ALONE> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        self.lane.admit_plain::<ALONE>(self.end, self.outbound)
    }
}

impl<W: Witness> Lane<'_, W> {
    /// New requests come to gateways.
    pub(super) fn admit(
        &mut self,
        (begin, end): (u64, u64),
        inbound: &[Parcel],
        outbound: &mut [Parcel],
    ) {
        wide::run(Begin { gateways: &mut self.gateways, now: begin, inbound });
        if W::LOOKS || !self.gateways.are_plain() {
            wide::run(Admit { lane: self, end, most: usize::MAX, outbound });
            return;
        }
        // Those who aren't admitted at once come between the others.
        loop {
            let is_stopped = match outbound {
                [_] => wide::run(AdmitPlain::<_, true> { lane: self, end, outbound }),
                _ => wide::run(AdmitPlain::<_, false> { lane: self, end, outbound }),
            };
            if !is_stopped || wide::run(Admit { lane: self, end, most: 1, outbound }) == 0 {
                return;
            }
        }
    }

    /// As long as all of them are admitted at once; whether there may be others.
    #[inline(always)]
    fn admit_plain<const ALONE: bool>(&mut self, end: u64, outbound: &mut [Parcel]) -> bool {
        let Lane { flow, gateways, arrived, owners, .. } = self;
        let mut gateways = gateways.plain();
        let (mut count, mut is_stopped) = (0, false);
        for request in flow.rest() {
            if request.at >= end {
                break;
            }
            let Some(Sent { target, place }) = gateways.arrive(request) else {
                is_stopped = true;
                break;
            };
            // Which lane it is is as good as chance: no branch depends on it.
            let owner = match ALONE {
                true => 0,
                false => owners.get(place as usize).map_or(0, |owner| usize::from(*owner)),
            };
            if let Some(parcel) = outbound.get_mut(owner) {
                parcel.requests.push(Request { target, ..*request });
            }
            count += 1;
        }
        flow.pass(count);
        *arrived += count as u64;
        is_stopped
    }

    /// Whatever rules there are. How many have come.
    #[inline(always)]
    fn admit_most(&mut self, end: u64, most: usize, outbound: &mut [Parcel]) -> usize {
        let window = self.window();
        let Lane { plan, flow, gateways, witness, arrived, unsent_in, owners, looks, .. } = self;
        let unsent = of_window(unsent_in, window);
        let mut gateways = gateways.open();
        let mut count = 0;
        for request in flow.rest() {
            if request.at >= end || count == most {
                break;
            }
            if W::LOOKS && witness.arrive(request, *arrived + count as u64) {
                looks.push((request.key, gateways.again().look(request, plan)));
            }
            match gateways.arrive(request, plan) {
                Ok(Sent { target, place }) => {
                    let owner = owners.get(place as usize).map_or(0, |owner| usize::from(*owner));
                    if let Some(parcel) = outbound.get_mut(owner) {
                        parcel.requests.push(Request { target, ..*request });
                    }
                }
                Err(cause) => {
                    if W::LOOKS
                        && let Some((_, look)) = looks.pop_if(|(key, _)| *key == request.key)
                    {
                        witness.look(request, look);
                    }
                    if cause == Refusal::NoInstance {
                        let (_, source) = Key::parts(request.key);
                        let app = plan.source(source).map_or(0, |info| info.app as usize);
                        unsent.iter_mut().skip(app).take(1).for_each(|count| *count += 1);
                    }
                    witness.outcome(request, None, Err(cause));
                }
            }
            count += 1;
        }
        flow.pass(count);
        *arrived += count as u64;
        count
    }
}
