//! What gateways know of targets: their last reports, and what was sent there since.

use policy::Targets;
use policy::balance::FULL_WEIGHT;

use super::accounts::Desk;
use super::crews::Standing;
use super::plan::{AppInfo, Plan};
use crate::life::target_weight;

/// What a target has told of its instances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crew {
    pub(super) app: u32,
    /// Counted within the app.
    pub(super) target: u32,
    pub(super) standing: Standing,
}

/// What gateways know of targets.
#[derive(Debug)]
pub(super) struct Known {
    /// For each gateway, for each target of each app.
    loads: Vec<u32>,
    targets: usize,
    /// Turns of round robins: for each gateway, of each app.
    turns: Vec<u64>,
    /// What targets of each app have told of their instances: the same to all gateways.
    crews: Vec<Weights>,
}

impl Known {
    /// What so many gateways know in the beginning.
    pub(super) fn new(plan: &Plan, gateways: usize) -> Self {
        Known {
            loads: vec![0; gateways * plan.targets()],
            targets: plan.targets(),
            turns: vec![0; gateways * plan.apps.len()],
            crews: plan.apps.iter().map(|_| Weights::new()).collect(),
        }
    }

    /// Reports of all targets arrive at all gateways.
    pub(super) fn learn(&mut self, loads: &[u32]) {
        for known in self.loads.chunks_exact_mut(self.targets.max(1)) {
            for (known, load) in known.iter_mut().zip(loads) {
                *known = *load;
            }
        }
    }

    /// A target tells of its instances.
    #[cold]
    pub(super) fn meet(&mut self, crew: &Crew, plan: &Plan) {
        let info = plan.apps.get(crew.app as usize);
        if let (Some(info), Some(weights)) = (info, self.crews.get_mut(crew.app as usize)) {
            weights.meet(crew, info);
        }
    }

    /// All targets have told.
    pub(super) fn weigh(&mut self) {
        for weights in self.crews.iter_mut().filter(|weights| weights.has_changed) {
            weights.weigh();
        }
    }

    /// Whether all targets of all apps take their full share.
    pub(super) fn are_full(&self) -> bool {
        self.crews.iter().all(|weights| weights.are_full)
    }

    /// What is known, at hand: as [`super::accounts::Open`].
    #[inline(always)]
    pub(super) fn open(&mut self) -> Views<'_> {
        Views { loads: &mut self.loads, turns: &mut self.turns, crews: &self.crews }
    }
}

/// What gateways know, at hand.
#[derive(Debug)]
pub(super) struct Views<'a> {
    loads: &'a mut [u32],
    turns: &'a mut [u64],
    crews: &'a [Weights],
}

impl Views<'_> {
    /// The same, lent.
    #[inline(always)]
    pub(super) fn again(&mut self) -> Views<'_> {
        Views { loads: self.loads, turns: self.turns, crews: self.crews }
    }

    /// The loads that the gateway of a desk knows of.
    #[inline(always)]
    pub(super) fn loads(&mut self, desk: &Desk) -> Option<&mut [u32]> {
        self.loads.get_mut(desk.loads as usize..)?.get_mut(..desk.targets as usize)
    }

    /// What the gateway of a desk knows of the targets of its app.
    #[inline(always)]
    pub(super) fn at(&mut self, desk: &Desk) -> Option<(&mut [u32], &mut u64, &Weights)> {
        let loads = self.loads.get_mut(desk.loads as usize..)?.get_mut(..desk.targets as usize)?;
        Some((loads, self.turns.get_mut(desk.turn as usize)?, self.crews.get(desk.app as usize)?))
    }
}

/// Targets that take requests, and their weights. Empty until the first one tells of a change: till
/// then all are as they were in the beginning.
#[derive(Debug)]
pub(super) struct Weights {
    standings: Vec<Standing>,
    pub(super) open: Vec<Place>,
    has_changed: bool,
    /// Whether all targets take their full share, so that nobody need look at weights: most of the
    /// time, where a step of the scaling rule is an instance for each target.
    pub(super) are_full: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) target: u32,
    weight: u32,
}

impl Weights {
    const fn new() -> Self {
        Weights { standings: Vec::new(), open: Vec::new(), has_changed: false, are_full: true }
    }

    fn meet(&mut self, crew: &Crew, info: &AppInfo) {
        if self.standings.is_empty() {
            let full = u64::from(info.instances) * u64::from(FULL_WEIGHT);
            let all = Standing { staying: info.instances, leaving: 0, weights: full };
            self.standings = vec![all; info.count as usize];
            self.has_changed = true;
        }
        if let Some(standing) = self.standings.get_mut(crew.target as usize) {
            self.has_changed |= *standing != crew.standing;
            *standing = crew.standing;
        }
    }

    fn weigh(&mut self) {
        let most = self.standings.iter().map(|standing| standing.staying).max().unwrap_or(0);
        let open = self.standings.iter().zip(0u32..).filter(|(known, _)| known.staying > 0);
        self.open.clear();
        self.open.extend(open.map(|(known, target)| Place {
            target,
            weight: target_weight(known.weights, known.leaving, most),
        }));
        let has_full_weight = |open: &Place| open.weight == FULL_WEIGHT;
        self.are_full =
            self.open.len() == self.standings.len() && self.open.iter().all(has_full_weight);
        self.has_changed = false;
    }
}

/// The targets of an app whose instances are those of the beginning.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) loads: &'a [u32],
}

#[expect(clippy::indexing_slicing, reason = "policy asks for targets below the count")]
impl Targets for View<'_> {
    #[inline(always)]
    fn count(&self) -> u32 {
        u32::try_from(self.loads.len()).unwrap_or(u32::MAX)
    }

    #[inline(always)]
    fn load(&mut self, target: u32) -> u32 {
        self.loads[target as usize]
    }
}

/// The targets of an app that has scaled, as one gateway knows them.
#[derive(Debug)]
pub(super) struct WeightedView<'a> {
    pub(super) loads: &'a [u32],
    pub(super) weights: &'a Weights,
}

#[expect(clippy::indexing_slicing, reason = "policy asks for places below the count")]
impl Targets for WeightedView<'_> {
    #[inline(always)]
    fn count(&self) -> u32 {
        u32::try_from(self.weights.open.len()).unwrap_or(u32::MAX)
    }

    #[inline(always)]
    fn load(&mut self, place: u32) -> u32 {
        self.loads[self.weights.open[place as usize].target as usize]
    }

    #[inline(always)]
    fn weight(&self, place: u32) -> u32 {
        self.weights.open[place as usize].weight
    }
}
