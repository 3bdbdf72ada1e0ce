//! What all lanes know of a model: looked up for each request, never changed.

use policy::{Class, Nanoseconds};

use super::accounts::Lines;
use super::waits;
use crate::model::{Model, Network};

/// The model, prepared.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) network: Network,
    pub(super) sources: Vec<SourceInfo>,
    /// Of each source [`SourceInfo::plain`], near each other.
    pub(super) plain: Vec<u32>,
    pub(super) lines: Lines,
    pub(super) apps: Vec<AppInfo>,
    /// How many gateways there are.
    pub(super) gateways: u16,
    /// How many lanes share the work.
    pub(super) lanes: u16,
}

/// What must be known of requests of one source.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceInfo {
    pub(super) cmd: u32,
    pub(super) app: u32,
    pub(super) class: Class,
    pub(super) deadline: Nanoseconds,
    pub(super) usual: Nanoseconds,
    /// The mean.
    pub(super) expected: Nanoseconds,
    /// Whether its requests have stages besides queue and work.
    pub(super) has_stages: bool,
    /// Whether they need more than a place in a queue: they have stages, or a rule asks how long they
    /// wait.
    pub(super) is_special: bool,
    /// The app if they aren't, no app if they are.
    pub(super) plain: u32,
}

impl SourceInfo {
    /// No app has this number.
    pub(super) const NO_APP: u32 = u32::MAX;

    fn of(model: &Model, source: &crate::Source) -> Self {
        let cmd = model.cmds.get(source.cmd);
        let class = model.tenants.get(source.tenants).map_or(Class::Free, |group| group.class);
        let has_stages = cmd.is_some_and(|cmd| cmd.stages.is_some());
        let app = cmd.and_then(|cmd| u32::try_from(cmd.app).ok()).unwrap_or(Self::NO_APP);
        let is_special = has_stages || waits::asks(model);
        SourceInfo {
            cmd: u32::try_from(source.cmd).unwrap_or(u32::MAX),
            app,
            class,
            deadline: cmd.and_then(|cmd| cmd.deadline).unwrap_or(Nanoseconds(u64::MAX)),
            usual: cmd.map_or(Nanoseconds::ZERO, |cmd| cmd.service.median()),
            expected: cmd.map_or(Nanoseconds::ZERO, crate::Cmd::expected),
            has_stages,
            is_special,
            plain: if is_special { Self::NO_APP } else { app },
        }
    }
}

/// The targets of an app.
#[derive(Debug, Clone, Copy)]
pub(super) struct AppInfo {
    /// The place of the first target among those of all apps.
    pub(super) first: usize,
    pub(super) count: u32,
    pub(super) instances: u32,
    /// The first one that belongs to this lane.
    pub(super) first_own: u32,
}

impl Plan {
    /// As one of so many lanes sees it.
    pub(super) fn new(model: &Model, network: Network, lane: u16, lanes: u16) -> Self {
        let lanes = lanes.max(1);
        let mut first = 0;
        let apps = model.apps.iter().map(|app| {
            let (count, instances) = app.targets(&model.queue);
            let first_own = share(count, lane, lanes).start;
            let info = AppInfo { first, count, instances, first_own };
            first += count as usize;
            info
        });
        let sources: Vec<_> =
            model.sources.iter().map(|source| SourceInfo::of(model, source)).collect();
        Plan {
            network,
            lines: Lines::new(model.sources.len()),
            plain: sources.iter().map(|info| info.plain).collect(),
            sources,
            apps: apps.collect(),
            gateways: model.gateways.max(1),
            lanes,
        }
    }

    #[inline(always)]
    pub(super) fn source(&self, source: u16) -> Option<&SourceInfo> {
        self.sources.get(usize::from(source))
    }

    /// The targets of all apps.
    pub(super) fn targets(&self) -> usize {
        self.apps.iter().map(|app| app.count as usize).sum()
    }

    /// The part of a number of things that belongs to a lane.
    pub(super) fn share(&self, count: u32, lane: u16) -> std::ops::Range<u32> {
        share(count, lane, self.lanes)
    }

    /// The lane of each of a number of things.
    pub(super) fn owners(&self, count: u32) -> Vec<u16> {
        (0..self.lanes).flat_map(|lane| self.share(count, lane).map(move |_| lane)).collect()
    }
}

fn share(count: u32, lane: u16, lanes: u16) -> std::ops::Range<u32> {
    let cut = |lane: u16| {
        let cut = u64::from(count) * u64::from(lane) / u64::from(lanes);
        u32::try_from(cut).unwrap_or(u32::MAX)
    };
    cut(lane)..cut(lane + 1)
}
