//! When instances become free: for each target a row of times, ascending (Kiefer and Wolfowitz 1955).
//!
//! Rows are read and written for each request, so they are short: an entry is how far its time is from a
//! base that moves on with the run, in 32 bits. What is too far ahead for that stands in a list of its
//! target, and is near when the base has come nearer; what the base has passed is 0. So all times are
//! exact that aren't over when the base moves, and nobody asks when an idle instance became free.

use simulator_kernel::row::{self, Aligned};
use simulator_kernel::wide::{self, Task};

/// The time at which an instance becomes free that isn't there.
pub(super) const ABSENT: u64 = u64::MAX;

/// An entry that isn't there.
const NEVER: u32 = u32::MAX;
/// An entry whose time is in the list of its target. It is ahead of all times of a row by less than 2³¹.
const FAR: u32 = (1 << 31) - 1;
/// The lengths that rows may have: those that aren't quite short fill lines of the cache. Longer ones
/// have a multiple of the last.
const WIDTHS: [usize; 8] = [1, 4, 8, 16, 32, 48, 64, 128];

/// The length of rows with room for so many instances.
fn width_for(instances: usize) -> usize {
    let known = WIDTHS.into_iter().find(|width| *width >= instances);
    known.unwrap_or_else(|| instances.next_multiple_of(128))
}

/// The rows of some targets.
#[derive(Debug)]
pub(super) struct Rows {
    base: u64,
    /// What is as far from the base is far.
    reach: u32,
    /// The length of a row.
    width: usize,
    /// Entries below [`Rows::reach`], then those that are far, then those that aren't there.
    near: Aligned<u32>,
    /// The times of those that are far, descending.
    far: Vec<Vec<u64>>,
}

/// A time from a base; what the base has passed is at it.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "it is at most FAR")]
const fn distance(time: u64, base: u64) -> u32 {
    let distance = time.saturating_sub(base);
    if distance < FAR as u64 { distance as u32 } else { FAR }
}

/// Rows of a known length, with all at hand that many requests ask for, one after the other.
#[derive(Debug)]
pub(super) struct Open<'a, const WIDTH: usize> {
    base: u64,
    reach: u64,
    near: &'a mut [[u32; WIDTH]],
    far: &'a mut [Vec<u64>],
}

/// The row of a target, at a time.
#[derive(Debug)]
pub(super) struct Cut<'a, const WIDTH: usize> {
    base: u64,
    reach: u64,
    now: u32,
    row: &'a mut [u32; WIDTH],
    far: &'a mut [Vec<u64>],
    target: usize,
}

impl<const WIDTH: usize> Open<'_, WIDTH> {
    /// A row.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the base isn't as far behind")]
    pub(super) fn cut(&mut self, target: usize, now: u64) -> Option<Cut<'_, WIDTH>> {
        debug_assert!(now >= self.base && now - self.base < self.reach);
        let Open { base, reach, .. } = *self;
        let (now, row) = ((now - base) as u32, self.near.get_mut(target)?);
        Some(Cut { base, reach, now, row, far: self.far, target })
    }
}

impl<const WIDTH: usize> Cut<'_, WIDTH> {
    /// Whether more than so many instances are idle.
    #[inline(always)]
    pub(super) fn has_idle(&self, more_than: u32) -> bool {
        self.row.get(more_than as usize).is_some_and(|free| *free <= self.now)
    }

    /// When the first instance can take a request, if it is there and will be free before long.
    #[inline(always)]
    pub(super) fn first(&self) -> Option<u64> {
        let first = *self.row.first()?;
        (first < FAR).then(|| self.base + u64::from(first.max(self.now)))
    }

    /// It takes a request then, which is near, too: when the work ends.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "what is near has 31 bits")]
    pub(super) fn take(self, start: u64, service: u64, last: u64) -> u64 {
        let near = (start - self.base).saturating_add(service);
        if near < self.reach {
            row::replace_first(self.row, near as u32);
            return self.base + near;
        }
        let end = start.saturating_add(service).min(last);
        row::replace_first(self.row, FAR);
        if let Some(far) = self.far.get_mut(self.target) {
            insert(far, end);
        }
        end
    }
}

/// The base moves on by so much.
struct MoveBack<'a> {
    entries: &'a mut [u32],
    passed: u32,
}

impl Task for MoveBack<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for entry in self.entries {
            let moved = entry.saturating_sub(self.passed);
            *entry = if *entry < FAR { moved } else { *entry };
        }
    }
}

/// A list of what is far has one more.
#[cold]
fn insert(far: &mut Vec<u64>, time: u64) {
    let place = far.partition_point(|other| *other > time);
    far.insert(place, time);
}

#[expect(clippy::indexing_slicing, reason = "targets are below their number, rows are cut for it")]
impl Rows {
    /// So many rows of so many idle instances.
    pub(super) fn new(count: u32, instances: u32) -> Self {
        let (count, instances) = (count as usize, instances as usize);
        let width = width_for(instances);
        let mut near = Aligned::new(count * width, NEVER);
        for row in near.chunks_exact_mut(width) {
            row.iter_mut().take(instances).for_each(|free| *free = 0);
        }
        Rows { base: 0, reach: FAR, width, near, far: vec![Vec::new(); count] }
    }

    /// Times are near up to so many nanoseconds ahead only, which must be twice as many as pass between
    /// one call of [`Rows::begin`] and the next; before the first one.
    pub(super) fn set_reach(&mut self, reach: u32) {
        self.reach = reach.clamp(1, FAR);
    }

    /// Nobody asks for what is before this time any more. It must be called again before time has passed
    /// for half of the reach.
    pub(super) fn begin(&mut self, now: u64) {
        if now.saturating_sub(self.base) >= u64::from(self.reach / 4).max(1) {
            self.move_base(now);
        }
    }

    #[cold]
    fn move_base(&mut self, now: u64) {
        let Rows { base, reach, width, near, far, .. } = self;
        let passed = distance(now, *base);
        wide::run(MoveBack { entries: near, passed });
        *base = now;
        for (row, far) in near.chunks_exact_mut(*width).zip(far) {
            let mut place = row.partition_point(|entry| *entry < FAR);
            while let Some(time) = far.pop_if(|time| distance(*time, now) < *reach) {
                row[place] = distance(time, now);
                place += 1;
            }
        }
    }

    #[inline(always)]
    fn row(&self, target: u32) -> &[u32] {
        self.near.cut(target as usize * self.width, self.width)
    }

    /// The length of a row.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// Opens the rows, which have this length, for many requests.
    #[inline(always)]
    pub(super) fn open<const WIDTH: usize>(&mut self) -> Open<'_, WIDTH> {
        let Rows { base, reach, near, far, .. } = self;
        let (near, _) = near.as_chunks_mut::<WIDTH>();
        Open { base: *base, reach: u64::from(*reach), near, far }
    }

    /// How many instances of a target are busy at a time; what starts is, too.
    #[inline(always)]
    pub(super) fn busy(&self, target: u32, now: u64) -> u32 {
        row::count_ahead(self.row(target), distance(now, self.base))
    }

    /// Adds those of each target.
    #[inline(always)]
    pub(super) fn add_busy(&self, now: u64, counts: &mut [u32]) {
        // A row whose length is known is counted without a loop.
        match self.width {
            16 => self.add_busy_of::<16>(now, counts),
            32 => self.add_busy_of::<32>(now, counts),
            48 => self.add_busy_of::<48>(now, counts),
            _ => {
                for (count, row) in counts.iter_mut().zip(self.near.chunks_exact(self.width)) {
                    *count += row::count_ahead(row, distance(now, self.base));
                }
            }
        }
    }

    #[inline(always)]
    fn add_busy_of<const WIDTH: usize>(&self, now: u64, counts: &mut [u32]) {
        let now = distance(now, self.base);
        let (rows, _) = self.near.as_chunks::<WIDTH>();
        for (count, row) in counts.iter_mut().zip(rows) {
            *count += row::count_ahead(row, now);
        }
    }

    /// How many are idle.
    #[inline(always)]
    pub(super) fn idle(&self, target: u32, now: u64) -> u32 {
        let now = distance(now, self.base);
        let idle = self.row(target).partition_point(|free| *free <= now);
        u32::try_from(idle).unwrap_or(u32::MAX)
    }

    /// Whether more than so many are.
    #[inline(always)]
    pub(super) fn has_idle(&self, target: u32, more_than: u32, now: u64) -> bool {
        let free = self.row(target).get(more_than as usize);
        free.is_some_and(|free| *free <= distance(now, self.base))
    }

    /// How many there are.
    pub(super) fn count(&self, target: u32) -> usize {
        self.row(target).partition_point(|free| *free != NEVER)
    }

    /// Whether there are none.
    #[inline(always)]
    pub(super) fn is_empty(&self, target: u32) -> bool {
        self.row(target)[0] == NEVER
    }

    /// When the first one becomes free: [`ABSENT`] if there is none, 0 if the base has passed it.
    pub(super) fn first(&self, target: u32) -> u64 {
        self.times(target).next().unwrap_or(ABSENT)
    }

    /// When each of them does.
    pub(super) fn times(&self, target: u32) -> impl Iterator<Item = u64> {
        let mut far = self.far[target as usize].iter().rev();
        let present = self.row(target).iter().take_while(|entry| **entry != NEVER);
        present.map(move |entry| match *entry {
            0 => 0,
            FAR => far.next().copied().unwrap_or(ABSENT),
            near => self.base + u64::from(near),
        })
    }

    /// They become free at these times, which ascend.
    #[inline(always)]
    pub(super) fn write(&mut self, target: u32, times: impl Iterator<Item = u64> + Clone) {
        let Rows { base, reach, width, near, far } = self;
        let row = near.cut_mut(target as usize * *width, *width);
        let far = &mut far[target as usize];
        far.clear();
        let (mut count, mut nears) = (0, 0);
        for (entry, time) in row.iter_mut().zip(times.clone()) {
            *entry = distance(time, *base);
            nears += usize::from(*entry < *reach);
            count += 1;
        }
        let (present, absent) = row.split_at_mut(count);
        absent.fill(NEVER);
        let late = &mut present[nears..];
        if !late.is_empty() {
            late.fill(FAR);
            far.extend(times.skip(nears).take(late.len()));
            far.reverse();
        }
    }

    /// A request takes the first instance from a time on: when its work begins and ends.
    #[inline(always)]
    pub(super) fn take(&mut self, target: u32, now: u64, service: u64, last: u64) -> (u64, u64) {
        let first = self.row(target)[0];
        if first >= FAR {
            return self.take_far(target, now, service, last);
        }
        // An instance that the base has passed was free at any time that is asked for.
        let free = if first == 0 { 0 } else { self.base + u64::from(first) };
        let work = row::work(free, now, service, last);
        let mut entry = distance(work.1, self.base);
        if entry >= self.reach {
            insert(&mut self.far[target as usize], work.1);
            entry = FAR;
        }
        row::replace_first(self.near.cut_mut(target as usize * self.width, self.width), entry);
        work
    }

    /// Likewise, if that one is busy for long.
    #[cold]
    fn take_far(&mut self, target: u32, now: u64, service: u64, last: u64) -> (u64, u64) {
        let far = &mut self.far[target as usize];
        let work = row::work(far.pop().unwrap_or(ABSENT), now, service, last);
        insert(far, work.1);
        work
    }

    /// The first instance goes: when it becomes free.
    pub(super) fn remove_first(&mut self, target: u32) -> Option<u64> {
        let free = self.times(target).next()?;
        let row = self.near.cut_mut(target as usize * self.width, self.width);
        if row[0] == FAR {
            self.far[target as usize].pop();
        }
        row.copy_within(1.., 0);
        row[self.width - 1] = NEVER;
        Some(free)
    }

    /// Room for more in each row.
    #[cold]
    pub(super) fn widen(&mut self) {
        let width = width_for(self.width + 1);
        let mut near = Aligned::new(self.far.len() * width, NEVER);
        for (wide, row) in near.chunks_exact_mut(width).zip(self.near.chunks_exact(self.width)) {
            wide[..row.len()].copy_from_slice(row);
        }
        (self.width, self.near) = (width, near);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAST: u64 = 1 << 62;

    #[derive(Debug, Clone)]
    enum Step {
        /// A request takes the first instance of a target, as one of many or alone.
        Take {
            target: u32,
            service: u64,
            is_alone: bool,
        },
        /// An instance is ready at a target after so long.
        Add {
            target: u32,
            ready: u64,
        },
        Remove {
            target: u32,
        },
        /// Time passes; nobody asks for what is before any more.
        Begin {
            after: u64,
        },
        /// It passes within a window.
        Pass {
            after: u64,
        },
    }

    fn time() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..40, 0u64..2_000, Just(1 << 40)]
    }

    fn step() -> impl Strategy<Value = Step> {
        let target = 0u32..3;
        prop_oneof![
            6 => (target.clone(), time(), any::<bool>())
                .prop_map(|(target, service, is_alone)| Step::Take { target, service, is_alone }),
            1 => (target.clone(), time()).prop_map(|(target, ready)| Step::Add { target, ready }),
            1 => target.prop_map(|target| Step::Remove { target }),
            2 => (0u64..60).prop_map(|after| Step::Begin { after }),
            2 => (0u64..50).prop_map(|after| Step::Pass { after }),
        ]
    }

    /// What they are compared with: sorted lists of whole times.
    fn take(list: &mut [u64], now: u64, service: u64) -> (u64, u64) {
        let work = row::work(list[0], now, service, LAST);
        list[0] = work.1;
        list.sort_unstable();
        work
    }

    /// Takes from an open row of this length, as long as the first instance is near.
    fn take_open<const WIDTH: usize>(
        rows: &mut Rows,
        target: u32,
        now: u64,
        service: u64,
    ) -> Option<(u64, u64)> {
        let mut open = rows.open::<WIDTH>();
        let row = open.cut(target as usize, now)?;
        let start = row.first()?;
        Some((start, row.take(start, service, LAST)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Whatever is far, and however often the base moves.
        #[test]
        fn rows_are_sorted_lists(
            instances in prop_oneof![1u32..6, 14u32..18],
            reach in prop_oneof![Just(100u32), 100u32..3_000, Just(u32::MAX)],
            steps in proptest::collection::vec(step(), 1..200),
        ) {
            let mut rows = Rows::new(3, instances);
            rows.set_reach(reach);
            let mut lists = vec![vec![0u64; instances as usize]; 3];
            let (mut begun, mut now) = (0u64, 0u64);
            for step in steps {
                match step {
                    Step::Take { target, service, is_alone } => {
                        let list = &mut lists[target as usize];
                        if list.is_empty() {
                            prop_assert!(rows.is_empty(target));
                            continue;
                        }
                        let wanted = take(list, now, service);
                        let open = match (is_alone, rows.width()) {
                            (false, 4) => take_open::<4>(&mut rows, target, now, service),
                            (false, 16) => take_open::<16>(&mut rows, target, now, service),
                            _ => None,
                        };
                        let seen = open.unwrap_or_else(|| rows.take(target, now, service, LAST));
                        prop_assert_eq!(seen, wanted);
                    }
                    Step::Add { target, ready } => {
                        let list = &mut lists[target as usize];
                        if list.len() == rows.width() {
                            rows.widen();
                        }
                        let mut times: Vec<u64> = rows.times(target).collect();
                        times.push(now + ready);
                        times.sort_unstable();
                        rows.write(target, times.iter().copied());
                        list.push(now + ready);
                        list.sort_unstable();
                    }
                    Step::Remove { target } => {
                        let list = &mut lists[target as usize];
                        let wanted = (!list.is_empty()).then(|| list.remove(0));
                        // What is over before the window is so since any time.
                        let over = |time: u64| if time <= begun { 0 } else { time };
                        let seen = rows.remove_first(target);
                        prop_assert_eq!(seen.map(over), wanted.map(over));
                    }
                    Step::Begin { after } => {
                        begun = now + after;
                        now = begun;
                        rows.begin(begun);
                    }
                    // No further than half of the reach.
                    Step::Pass { after } => now = (now + after).min(begun + 50),
                }
                for (list, target) in lists.iter().zip(0u32..) {
                    let idle = list.iter().filter(|free| **free <= now).count();
                    prop_assert_eq!(rows.idle(target, now) as usize, idle);
                    prop_assert_eq!(rows.busy(target, now) as usize, list.len() - idle);
                    prop_assert_eq!(rows.count(target), list.len());
                    for more_than in 0..3 {
                        let has = rows.has_idle(target, more_than, now);
                        prop_assert_eq!(has, idle > more_than as usize);
                    }
                    let over = |time: u64| if time <= begun { 0 } else { time };
                    prop_assert!(rows.times(target).map(over).eq(list.iter().copied().map(over)));
                }
                let mut counts = [1; 3];
                rows.add_busy(now, &mut counts);
                let wanted = lists.iter().map(|list| {
                    1 + list.iter().filter(|free| **free > now).count()
                });
                prop_assert!(counts.iter().map(|count| *count as usize).eq(wanted));
            }
        }
    }
}
