//! Random words from a seed: ids and latencies.

use crate::Nanoseconds;

/// A stream of random words (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A duration from the first to the last, all equally likely.
    pub(crate) fn between(&mut self, first: Nanoseconds, last: Nanoseconds) -> Nanoseconds {
        let width = last.saturating_sub(first).saturating_add(1);
        first + self.word() % width.max(1)
    }

    /// True once in so many parts of a million.
    pub(crate) fn happens(&mut self, parts_per_million: u32) -> bool {
        self.word() % 1_000_000 < u64::from(parts_per_million)
    }

    /// Sixteen bytes of a version 4 UUID.
    pub(crate) fn uuid(&mut self) -> [u8; 16] {
        let mut bytes = u128::from(self.word()) << 64 | u128::from(self.word());
        bytes = bytes & !(0xf << 76) | 4 << 76;
        bytes = bytes & !(0b11 << 62) | 0b10 << 62;
        bytes.to_be_bytes()
    }

    /// A UUID as text.
    pub(crate) fn uuid_text(&mut self) -> String {
        let value = u128::from_be_bytes(self.uuid());
        let part = |shift: u32, bits: u32| (value >> shift) & ((1 << bits) - 1);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(96, 32),
            part(80, 16),
            part(64, 16),
            part(48, 16),
            part(0, 48)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn uuids_have_their_version_and_variant() {
        let mut random = Random::new(7);
        for _ in 0..100 {
            let text = random.uuid_text();
            assert_eq!(text.len(), 36);
            assert_eq!(text.as_bytes()[14], b'4', "{text}");
            assert!(b"89ab".contains(&text.as_bytes()[19]), "{text}");
        }
        assert!((0..1000).all(|_| (5..=7).contains(&random.between(5, 7))));
        assert!(!(0..1000).any(|_| random.happens(0)));
    }
}
