//! Offers: made, taken back, refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesos::scheduler::{Event, Offers, Rescind};
use mesos::{AllocationInfo, FrameworkCapabilityType, Offer as WireOffer, OfferId};

use super::{Due, Master, Offer};
use crate::agent::AgentKey;
use crate::allocation::{Candidate, wants};
use crate::framework::{FrameworkKey, Refusal, Standing};
use crate::{Bundle, Nanoseconds, nanoseconds};

/// Longest refusal that is kept, in seconds: a year.
const REFUSAL_LIMIT_SECONDS: f64 = 365.0 * 86_400.0;

impl Master {
    /// Offers what is free on agents to those who want it.
    pub(super) fn allocate(&mut self, agents: &[AgentKey]) {
        let mut candidates: Vec<Candidate> = Vec::new();
        for key in self.all_frameworks() {
            let Some(framework) = self.framework(key) else { continue };
            if framework.standing != Standing::Known || framework.stream.is_none() {
                continue;
            }
            let own = framework.roles().into_iter();
            let wanted = own.filter(|role| !framework.suppressed.contains(role));
            candidates.extend(wanted.map(|role| Candidate { role, framework: key }));
        }
        if candidates.is_empty() {
            return;
        }
        let mut made: BTreeMap<FrameworkKey, Vec<WireOffer>> = BTreeMap::new();
        for key in agents {
            let Some(agent) = self.agent(*key).filter(|agent| agent.is_active()) else { continue };
            let free = agent.free();
            if free.is_empty() {
                continue;
            }
            if candidates.len() > 1 {
                self.accounts.order(&mut candidates);
            }
            let mut rest = free;
            let mut takers: Vec<(Candidate, Bundle)> = Vec::new();
            for candidate in &candidates {
                // The first one gets all but what is reserved for others.
                let Some(framework) = self.framework(candidate.framework) else { continue };
                let visible = rest.visible_to(&candidate.role);
                if !visible.is_empty()
                    && wants(framework, &candidate.role, (*key, agent), &visible, self.now)
                {
                    rest.take(&visible);
                    takers.push((candidate.clone(), visible));
                }
                if rest.is_empty() {
                    break;
                }
            }
            for (taker, bundle) in takers {
                if let Some(offer) = self.offer(&taker, *key, bundle) {
                    made.entry(taker.framework).or_default().push(offer);
                }
            }
        }
        for (framework, offers) in made {
            self.tell(framework, Event::offers(Offers { offers }));
        }
        self.offer_inversely();
    }

    fn offer(&mut self, taker: &Candidate, key: AgentKey, free: Bundle) -> Option<WireOffer> {
        let number = self.next_offer;
        self.next_offer += 1;
        self.accounts.give(&taker.role, taker.framework, &free);
        if let Some(framework) = self.framework_mut(taker.framework) {
            framework.offers.insert(number);
        }
        if let Some(agent) = self.agent_mut(key) {
            agent.offered.add(&free);
            agent.offers.insert(number);
        }
        let role = taker.role.clone();
        let bundle = free.in_offer_order();
        self.offers.insert(number, Offer { framework: taker.framework, role, agent: key, bundle });
        if let Some(timeout) = self.configuration.offer_timeout {
            self.after(timeout, Due::OfferTimeout(number));
        }
        self.wire_offer(number)
    }

    /// An offer as its framework gets it.
    pub(super) fn wire_offer(&self, number: u64) -> Option<WireOffer> {
        let offer = self.offers.get(&number)?;
        let framework = self.framework(offer.framework)?;
        // What a framework doesn't know isn't said to it.
        let refines = framework.can(FrameworkCapabilityType::ReservationRefinement);
        let has_roles = framework.can(FrameworkCapabilityType::MultiRole);
        let agent = self.agent(offer.agent)?;
        let ids = agent.tasks.iter().filter(|((owner, _), task)| {
            // Executors of commands are no executors in the eyes of frameworks.
            *owner == offer.framework && task.info.executor.is_some()
        });
        let mut executor_ids: Vec<_> = ids.map(|(_, task)| task.executor_id()).collect();
        executor_ids.sort();
        executor_ids.dedup();
        let mut resources = offer.bundle.allocated(&offer.role);
        for resource in &mut resources {
            if refines {
                (resource.role, resource.reservation) = (None, None);
            } else {
                resource.reservations.clear();
            }
            resource.allocation_info = resource.allocation_info.take().filter(|_| has_roles);
        }
        let allocation_info = AllocationInfo { role: Some((*offer.role).to_owned()) };
        Some(WireOffer {
            id: self.offer_id(number),
            framework_id: framework.id.clone(),
            agent_id: agent.id.clone(),
            hostname: agent.spec.hostname.clone(),
            url: Some(agent.url()),
            domain: agent.spec.domain.clone(),
            resources,
            attributes: agent.spec.attributes.clone(),
            executor_ids,
            unavailability: agent.unavailability,
            allocation_info: Some(allocation_info).filter(|_| has_roles),
        })
    }

    /// Takes an offer out of all books; what it held is free again.
    pub(super) fn withdraw(&mut self, number: u64) -> Option<Offer> {
        let offer = self.offers.remove(&number)?;
        self.accounts.take_back(&offer.role, offer.framework, &offer.bundle);
        if let Some(framework) = self.framework_mut(offer.framework) {
            framework.offers.remove(&number);
        }
        if let Some(agent) = self.agent_mut(offer.agent) {
            agent.offers.remove(&number);
            agent.offered.take(&offer.bundle);
        }
        Some(offer)
    }

    /// Takes an offer back and says so.
    pub(super) fn rescind(&mut self, number: u64) {
        let id = self.offer_id(number);
        if let Some(offer) = self.withdraw(number) {
            self.tell(offer.framework, Event::rescind(Rescind { offer_id: id }));
        }
    }

    pub(super) fn rescind_all_of(&mut self, agent: AgentKey) {
        let offers = self.agent(agent).map(|agent| agent.offers.clone()).unwrap_or_default();
        for number in offers {
            self.rescind(number);
        }
    }

    pub(super) fn time_out_offer(&mut self, number: u64) {
        if self.offers.contains_key(&number) {
            self.rescind(number);
        }
    }

    /// Takes all offers of a framework back, without a word.
    pub(super) fn drop_offers_of(&mut self, key: FrameworkKey) {
        let offers = self.framework(key).map(|it| it.offers.clone()).unwrap_or_default();
        for number in offers {
            self.withdraw(number);
        }
    }

    /// Takes back offers in roles that a framework has no more, or that it has suppressed.
    pub(super) fn rescind_unwanted(&mut self, key: FrameworkKey) {
        let Some(framework) = self.framework(key) else { return };
        let roles = framework.roles();
        let unwanted = framework.offers.iter().copied().filter(|number| {
            self.offers.get(number).is_some_and(|offer| !roles.contains(&offer.role))
        });
        for number in unwanted.collect::<Vec<_>>() {
            self.rescind(number);
        }
    }

    /// Remembers that a framework refuses this much of an agent for a while.
    pub(super) fn remember_refusal(
        &mut self,
        key: FrameworkKey,
        role: &Arc<str>,
        agent: AgentKey,
        refused: Bundle,
        filters: Option<&mesos::Filters>,
    ) {
        let Some(duration) = refusal(filters) else { return };
        // Shorter ones would end before the next run of the allocator.
        let until = self.now.saturating_add(duration.max(self.configuration.allocation_interval));
        let now = self.now;
        if let Some(framework) = self.framework_mut(key) {
            let refusals = framework.refusals.entry((role.clone(), agent)).or_default();
            refusals.retain(|refusal| refusal.until > now && !refused.contains(&refusal.refused));
            refusals.push(Refusal { refused, until });
        }
    }

    pub(super) fn decline(
        &mut self,
        key: FrameworkKey,
        ids: &[OfferId],
        filters: Option<&mesos::Filters>,
    ) {
        for id in ids {
            let number = self.offer_number(id);
            let own = number.filter(|number| {
                self.offers.get(number).is_some_and(|offer| offer.framework == key)
            });
            if let Some(offer) = own.and_then(|number| self.withdraw(number)) {
                self.remember_refusal(key, &offer.role, offer.agent, offer.bundle, filters);
            }
        }
    }
}

/// How long something is refused; not at all for 0.
pub(super) fn refusal(filters: Option<&mesos::Filters>) -> Option<Nanoseconds> {
    let default = mesos::Filters::default().refuse_seconds();
    let seconds = filters.map_or(default, mesos::Filters::refuse_seconds);
    let seconds = if seconds < 0.0 || seconds.is_nan() { default } else { seconds };
    (seconds > 0.0).then(|| nanoseconds(seconds.min(REFUSAL_LIMIT_SECONDS)))
}
