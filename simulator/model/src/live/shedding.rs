//! Requests that are dropped where they wait, and runs in which every instant matters, because what
//! happens then may cause requests that are sent then.

use std::cmp::Reverse;

use policy::Time;

use super::Live;
use super::wires::Wires;

impl Live<'_> {
    /// Requests have just been dropped.
    #[cold]
    pub(super) fn see_shed(&mut self) {
        let mut shed = std::mem::take(&mut self.shed);
        for (place, job, cause, at) in shed.drain(..) {
            let app = self.targets.get(place as usize).map_or(0, |target| target.app as usize);
            if let Some(group) = self.groups.get_mut(app) {
                group.leave(place, 1);
            }
            if let Some(mut rest) = self.rest(app) {
                *rest.tasks -= 1;
                rest.drop(&job.arrival, cause, at);
            }
        }
        self.shed = shed;
    }

    /// When something happens at any target or on any link next, if that is kept.
    pub(super) fn next_stop(&self) -> Option<Time> {
        let at_targets = self.stops.as_ref()?.peek().map(|Reverse(at)| *at);
        let on_links = self.wires.as_deref().and_then(Wires::next_event);
        at_targets.into_iter().chain(on_links).min()
    }

    /// Everything happens until an instant at which something does.
    pub(super) fn stop_at(&mut self, now: Time) {
        self.until(now);
        let Some(stops) = &mut self.stops else { return };
        while stops.peek().is_some_and(|Reverse(at)| *at <= now) {
            stops.pop();
        }
    }
}
