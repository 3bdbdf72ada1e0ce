//! Links of a machine that its transfers share: its network, inbound and outbound apart (full
//! duplex), and its store. n transfers on a link of B bytes a second have B/n each, or less if each
//! has a bound of its own: egalitarian processor sharing, which is the fluid model of max-min
//! fairness on one link (Bertsekas and Gallager, "Data Networks" (1992), 6.5.2). Packets, windows
//! and what is lost aren't simulated.
//!
//! Speeds are whole numbers of 2⁻¹⁶ bytes a second, rounded down; a transfer ends at the first whole
//! nanosecond at which all of its bytes have passed. So engines that add up progress in different
//! ways come to the same ends. A transfer of no bytes takes its latency and no time on a link.

use policy::{Nanoseconds, Time};

use crate::model::Model;

/// Links of each machine; transfers of a kind that is absent don't hinder each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Links {
    /// Between a machine and the world, so much in each direction.
    pub network: Option<Share>,
    /// Where sources are kept: a ramfs or a disk.
    pub store: Option<Share>,
}

/// What the transfers of a link share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Bytes per second of all transfers together; 1 to [`Share::MOST`].
    pub bandwidth: u64,
    /// Bytes per second of each transfer, at most; as much as there is if absent.
    pub each: Option<u64>,
}

/// A link of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// From the world: sources.
    In,
    /// From where they are kept: sources, those that have just come included.
    Store,
    /// To the world: answers.
    Out,
}

/// How long the transfers of a request have taken, where they shared links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfers {
    /// From the end of the dispatch until its source was there.
    pub download: Nanoseconds,
    /// From the end of the work until its answer had been sent.
    pub respond: Nanoseconds,
}

/// A time for which a link had the same number of transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Whose it is.
    pub machine: u32,
    /// Which.
    pub channel: Channel,
    /// Since when.
    pub from: Time,
    /// Until when.
    pub until: Time,
    /// How many; at least one.
    pub transfers: u32,
}

/// What is on its way over a link, or will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leg {
    /// Until its first byte.
    pub before: Nanoseconds,
    pub channel: Channel,
    /// At least one.
    pub bytes: u64,
}

/// The way of a request from its arrival to its queue, if any link of it is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trip {
    pub legs: [Option<Leg>; 2],
    /// After the last of them.
    pub after: Nanoseconds,
}

/// Speeds are in units of 2⁻¹⁶ bytes a second.
const SPEED_BITS: u32 = 16;
/// Alone no transfer takes longer: 13 days, as without links.
const LONGEST: Nanoseconds = Nanoseconds(1 << 50);

impl Channel {
    /// All of them.
    pub const ALL: [Channel; 3] = [Channel::In, Channel::Store, Channel::Out];

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Channel::In => "network in",
            Channel::Store => "store",
            Channel::Out => "network out",
        }
    }

    /// Its name in files.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Channel::In => "network_in",
            Channel::Store => "store",
            Channel::Out => "network_out",
        }
    }

    /// Its place in [`Channel::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Channel::In => 0,
            Channel::Store => 1,
            Channel::Out => 2,
        }
    }
}

impl Links {
    /// Whether no link is shared.
    #[must_use]
    pub const fn are_none(&self) -> bool {
        self.network.is_none() && self.store.is_none()
    }

    /// What the transfers of a channel share.
    #[must_use]
    pub const fn share(&self, channel: Channel) -> Option<Share> {
        match channel {
            Channel::In | Channel::Out => self.network,
            Channel::Store => self.store,
        }
    }
}

impl Share {
    /// The most that a link carries, 70 TB a second: sums of its work fit their numbers.
    pub const MOST: u64 = 1 << 46;

    /// What a transfer has that is alone, in bytes a second.
    #[must_use]
    pub fn alone(&self) -> u64 {
        let all = self.bandwidth.clamp(1, Self::MOST);
        self.each.map_or(all, |each| each.clamp(1, all))
    }

    /// What each of so many transfers has, in 2⁻¹⁶ bytes a second.
    #[must_use]
    pub fn speed(&self, transfers: u32) -> u64 {
        let all = self.bandwidth.clamp(1, Self::MOST) << SPEED_BITS;
        let fair = all / u64::from(transfers.max(1));
        fair.min(self.alone() << SPEED_BITS).max(1)
    }

    /// What all of so many have.
    #[must_use]
    pub fn speed_of_all(&self, transfers: u32) -> u128 {
        u128::from(self.speed(transfers)) * u128::from(transfers)
    }

    /// Whether so many transfers fill the link.
    #[must_use]
    pub fn is_full(&self, transfers: u32) -> bool {
        u128::from(self.alone()) * u128::from(transfers)
            >= u128::from(self.bandwidth.clamp(1, Self::MOST))
    }

    /// What passes in a time when the link is full, in the unit of [`Share::speed`] times
    /// nanoseconds.
    #[must_use]
    pub fn most(&self, time: Nanoseconds) -> u128 {
        (u128::from(self.bandwidth.clamp(1, Self::MOST)) << SPEED_BITS) * u128::from(time.0)
    }

    /// So many bytes, in the unit of [`Share::speed`] times nanoseconds.
    pub(crate) fn work(&self, bytes: u64) -> u128 {
        let work = (u128::from(bytes) * u128::from(Nanoseconds::PER_SECOND)) << SPEED_BITS;
        work.min((u128::from(self.alone()) << SPEED_BITS) * u128::from(LONGEST.0))
    }
}

/// How long it takes at a speed until so much work is done.
pub(crate) fn time(work: u128, speed: u64) -> Nanoseconds {
    let time = work.div_ceil(u128::from(speed.max(1)));
    // Who would wait longer is looked at again then.
    Nanoseconds(u64::try_from(time).unwrap_or(u64::MAX).min(LONGEST.0))
}

/// What one kind of link has carried on all machines, within the reported window. All of it is
/// integers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Which links.
    pub channel: Channel,
    /// What they share.
    pub share: Share,
    /// By machine, in the unit of [`Share::most`].
    carried: Vec<u128>,
    /// Time, summed over transfers and machines, in nanoseconds.
    presence: u128,
    /// Time in which a link was full, summed over machines, in nanoseconds.
    full: u128,
    /// The most transfers at a time on one link.
    pub peak: u32,
    from: Time,
    until: Time,
    runs: u32,
}

impl Traffic {
    /// Of all links of a model that are shared and have any transfers.
    pub(crate) fn of(model: &Model) -> Vec<Traffic> {
        if !model.shares_links() {
            return Vec::new();
        }
        let (from, until) = (Time(model.warm_up.0), Time(model.duration.0));
        let machines = model.apps.iter().map(|app| app.machines).max().unwrap_or(0) as usize;
        let known = Channel::ALL.into_iter();
        let shared =
            known.filter_map(|channel| Some((channel, model.dynamics.links.share(channel)?)));
        let traffic = |(channel, share)| Traffic {
            channel,
            share,
            carried: vec![0; machines],
            presence: 0,
            full: 0,
            peak: 0,
            from,
            until,
            runs: 1,
        };
        shared.map(traffic).collect()
    }

    /// The same of no run at all, for others to be added.
    pub(crate) fn of_none(self) -> Self {
        Traffic { runs: 0, ..self }
    }

    pub(crate) fn add(&mut self, flow: Flow) {
        let (from, until) = (flow.from.max(self.from), flow.until.min(self.until));
        let length = u128::from(until.since(from).0);
        if length == 0 {
            return;
        }
        self.peak = self.peak.max(flow.transfers);
        self.presence += length * u128::from(flow.transfers);
        if self.share.is_full(flow.transfers) {
            self.full += length;
        }
        if let Some(carried) = self.carried.get_mut(flow.machine as usize) {
            *carried += length * self.share.speed_of_all(flow.transfers);
        }
    }

    pub(crate) fn merge(&mut self, other: &Traffic) {
        for (carried, more) in self.carried.iter_mut().zip(&other.carried) {
            *carried += more;
        }
        self.presence += other.presence;
        self.full += other.full;
        self.peak = self.peak.max(other.peak);
        self.runs += other.runs;
    }

    /// The part of its links that was used, of all machines together; none without machines.
    #[must_use]
    pub fn utilisation(&self) -> Option<f64> {
        self.part(self.carried.iter().sum(), self.carried.len())
    }

    /// The same of the machine with the most.
    #[must_use]
    pub fn most_used(&self) -> Option<(usize, f64)> {
        let most = self.carried.iter().copied().enumerate();
        let (machine, carried) =
            most.max_by_key(|(machine, carried)| (*carried, usize::MAX - machine))?;
        Some((machine, self.part(carried, 1)?))
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio has 53 significant bits")]
    fn part(&self, carried: u128, machines: usize) -> Option<f64> {
        let one = self.share.most(self.until.since(self.from));
        let most = one as f64 * machines as f64 * f64::from(self.runs);
        (most > 0.0).then(|| carried as f64 / most)
    }

    /// The part of the time in which a link was full, over all machines.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio has 53 significant bits")]
    pub fn full(&self) -> Option<f64> {
        let one = self.until.since(self.from).0 as f64;
        let most = one * self.carried.len() as f64 * f64::from(self.runs);
        (most > 0.0).then(|| self.full as f64 / most)
    }

    /// How many times as long bytes took as on a link of their own; none if nothing was carried.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio has 53 significant bits")]
    pub fn slowdown(&self) -> Option<f64> {
        let carried: u128 = self.carried.iter().sum();
        let alone = carried as f64 / self.share.speed(1) as f64;
        (carried > 0).then(|| self.presence as f64 / alone)
    }

    /// Bytes that were carried, in one run on average.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn bytes(&self) -> f64 {
        let carried: u128 = self.carried.iter().sum();
        carried as f64 / 1e9 / f64::from(1u32 << SPEED_BITS) / f64::from(self.runs.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_fair_shares_within_the_bound_of_each() {
        let share = Share { bandwidth: 1_000, each: Some(300) };
        let unit = 1 << SPEED_BITS;
        assert_eq!([1, 3, 4, 5].map(|n| share.speed(n)), [300, 300, 250, 200].map(|s| s * unit));
        assert_eq!([1, 3, 4].map(|n| share.is_full(n)), [false, false, true]);
        // Rounded down: all of them together are never faster than the link.
        assert!(share.speed_of_all(7) <= 1_000 * u128::from(unit));
        let open = Share { bandwidth: 1_000, each: None };
        assert_eq!((open.alone(), open.speed(1), open.is_full(1)), (1_000, 1_000 * unit, true));
        assert_eq!(Share { bandwidth: 1, each: None }.speed(u32::MAX), 1);
    }

    #[test]
    fn a_transfer_that_is_alone_takes_as_long_as_on_a_link_of_its_own() {
        for (bandwidth, bytes) in [(1_000_000_000u64, 250u64), (3, 7), (7_000_000, 1)] {
            let share = Share { bandwidth, each: None };
            let wanted = (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(bandwidth));
            assert_eq!(u128::from(time(share.work(bytes), share.speed(1)).0), wanted);
        }
        let slow = Share { bandwidth: 1, each: None };
        assert_eq!(time(slow.work(u64::MAX), slow.speed(1)), LONGEST);
    }

    #[test]
    fn traffic_is_counted_within_the_window() {
        let mut model = crate::timeline::tests::model(1_000);
        assert_eq!(Traffic::of(&model), Vec::new());
        let share = Share { bandwidth: 2_000_000_000, each: Some(1_000_000_000) };
        model.dynamics.links.store = Some(share);
        model.cmds[0].stages = Some(crate::stages::tests::stages());
        let mut all = Traffic::of(&model);
        let (from, until) = (model.warm_up.0, model.duration.0);
        let length = until - from;
        let flow = |from, until, transfers| Flow {
            machine: 0,
            channel: Channel::Store,
            from: Time(from),
            until: Time(until),
            transfers,
        };
        let [store] = &mut all[..] else { panic!("{all:?}") };
        store.add(flow(0, from, 9));
        assert_eq!((store.utilisation(), store.slowdown(), store.peak), (Some(0.0), None, 0));
        // Four transfers at half the speed of one, over the first half of the window.
        store.add(flow(0, from + length / 2, 4));
        let machines = store.carried.len() as f64;
        assert_eq!(store.peak, 4);
        assert!((store.utilisation().unwrap() * machines - 0.5).abs() < 1e-9);
        assert!((store.full().unwrap() * machines - 0.5).abs() < 1e-9);
        assert!((store.slowdown().unwrap() - 2.0).abs() < 1e-9);
        let most = store.most_used().unwrap();
        assert_eq!(most.0, 0);
        assert!((most.1 - 0.5).abs() < 1e-9);
        assert!((store.bytes() - 1e-9 * length as f64 * 1e9).abs() < 1.0);
        let mut sum = store.clone().of_none();
        sum.carried.iter_mut().for_each(|carried| *carried = 0);
        (sum.presence, sum.full) = (0, 0);
        sum.merge(store);
        sum.merge(store);
        assert!((sum.utilisation().unwrap() * machines - 0.5).abs() < 1e-9);
    }
}
