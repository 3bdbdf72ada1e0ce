//! Which of many targets has the fewest requests: for each small number of requests a set of the
//! targets that have it, one bit each. A request that joins or leaves moves a bit; the answer is the
//! first bit of the lowest set that isn't empty.

/// Targets by their number of requests.
#[derive(Debug)]
pub(crate) struct Index {
    loads: Vec<u32>,
    levels: Vec<Level>,
    /// No level below has any target.
    lowest: usize,
    words: usize,
}

#[derive(Debug)]
struct Level {
    bits: Vec<u64>,
    count: u32,
}

/// Targets with this many requests or more are in no set: when all are so full, nothing is lost by
/// looking at each.
const LEVELS: usize = 1024;

#[expect(
    clippy::indexing_slicing,
    reason = "targets are below the length of `loads`, levels are made before they are used"
)]
impl Index {
    /// An index of idle targets.
    pub(crate) fn new(count: u32) -> Self {
        let count = count as usize;
        let words = count.div_ceil(64);
        let mut index = Index { loads: vec![0; count], levels: Vec::new(), lowest: 0, words };
        for target in 0..count {
            index.put(target, 0);
        }
        index
    }

    /// An index of targets with so many requests each.
    pub(crate) fn of(loads: &[u32]) -> Self {
        let words = loads.len().div_ceil(64);
        let mut index = Index { loads: loads.to_vec(), levels: Vec::new(), lowest: 0, words };
        for (target, load) in loads.iter().enumerate() {
            index.put(target, *load as usize);
        }
        index.rise();
        index
    }

    /// No level below the lowest has any target.
    #[inline(always)]
    fn rise(&mut self) {
        while self.levels.get(self.lowest).is_some_and(|level| level.count == 0) {
            self.lowest += 1;
        }
    }

    /// How many requests a target has.
    #[inline(always)]
    pub(crate) fn load(&self, target: u32) -> u32 {
        self.loads[target as usize]
    }

    /// A request joins a target.
    #[inline(always)]
    pub(crate) fn join(&mut self, target: u32) {
        let target = target as usize;
        let load = self.loads[target];
        self.loads[target] = load + 1;
        self.take(target, load as usize);
        self.put(target, load as usize + 1);
        self.rise();
    }

    /// A request leaves a target.
    #[inline(always)]
    pub(crate) fn leave(&mut self, target: u32) {
        let target = target as usize;
        let load = self.loads[target] as usize;
        self.loads[target] -= 1;
        self.take(target, load);
        self.put(target, load - 1);
        self.lowest = self.lowest.min(load - 1);
    }

    /// The first target with the fewest requests, from `from` on; none if all have too many for
    /// this index.
    #[inline(always)]
    pub(crate) fn least(&self, from: u32) -> Option<u32> {
        let bits = &self.levels.get(self.lowest)?.bits;
        let first = from as usize / 64;
        let behind = u64::MAX << (from % 64);
        let found =
            |word: usize, bits: u64| u32::try_from(word * 64 + bits.trailing_zeros() as usize).ok();
        if bits[first] & behind != 0 {
            return found(first, bits[first] & behind);
        }
        // Around the whole circle, and last the part of the first word before `from`.
        let order = (first + 1..self.words).chain(0..=first);
        let mut filled = order.filter(|word| bits[*word] != 0);
        filled.next().and_then(|word| found(word, bits[word]))
    }

    /// How many targets have so many requests.
    pub(crate) fn count_of(&self, load: usize) -> u32 {
        self.levels.get(load).map_or(0, |level| level.count)
    }

    /// Whether no target has more than so many requests.
    pub(crate) fn has_most(&self, load: usize) -> bool {
        let within: u32 = self.levels.iter().take(load + 1).map(|level| level.count).sum();
        within as usize == self.loads.len()
    }

    #[inline(always)]
    fn take(&mut self, target: usize, load: usize) {
        if let Some(level) = self.levels.get_mut(load) {
            level.bits[target / 64] &= !(1 << (target % 64));
            level.count -= 1;
        }
    }

    #[inline(always)]
    fn put(&mut self, target: usize, load: usize) {
        if load >= self.levels.len() {
            if load >= LEVELS {
                return;
            }
            let words = self.words;
            self.levels.resize_with(load + 1, || Level { bits: vec![0; words], count: 0 });
        }
        let level = &mut self.levels[load];
        level.bits[target / 64] |= 1 << (target % 64);
        level.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_least_is_the_first_of_the_least(
            count in 1u32..200,
            steps in proptest::collection::vec((any::<u32>(), any::<bool>(), any::<u32>()), 0..400),
        ) {
            let mut index = Index::new(count);
            let mut loads = vec![0u32; count as usize];
            for (target, joins, from) in steps {
                let (target, from) = (target % count, from % count);
                if joins {
                    index.join(target);
                    loads[target as usize] += 1;
                } else if loads[target as usize] > 0 {
                    index.leave(target);
                    loads[target as usize] -= 1;
                }
                let circle = (from..count).chain(0..from);
                let wanted = circle.min_by_key(|target| loads[*target as usize]);
                prop_assert_eq!(index.least(from), wanted);
                prop_assert_eq!(index.load(target), loads[target as usize]);
                prop_assert_eq!(Index::of(&loads).least(from), wanted);
            }
        }
    }

    #[test]
    fn too_many_requests_are_not_indexed_but_come_back() {
        let mut index = Index::new(1);
        for _ in 0..LEVELS + 5 {
            index.join(0);
        }
        assert_eq!(index.least(0), None);
        for _ in 0..10 {
            index.leave(0);
        }
        assert_eq!(index.least(0), Some(0));
    }
}
