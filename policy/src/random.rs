//! Random words keyed by (seed, purpose, position): counter-based, so that a word depends on what
//! it is for and not on who drew before. Changing one decision never shifts the words of another,
//! which is what makes paired comparisons with common random numbers exact.
//!
//! The generator is `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number
//! generators", OOPSLA 2014, figure 14 with Stafford's mix 13) read at any position: its state is
//! a counter that advances by a constant, so the word at position n needs no words before it. Two
//! multiplications a word, no state. The key is the point where a stream begins; with k streams of
//! n words, two of them overlap with a probability below k²n/2⁶⁴ (100 streams of 10¹⁰: 6·10⁻⁶).

/// What a word is used for. The numbers are part of the meaning of a seed: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// When requests arrive.
    Arrival = 1,
    /// How long requests take.
    Service = 2,
    /// Whose request it is.
    Tenant = 3,
    /// Which gateway the client reaches.
    Gateway = 4,
    /// Which target the balancer takes.
    Balance = 5,
    /// How large its source is, whether it is cached, and how long links take to answer.
    Download = 6,
    /// How long it takes at the gateway and to the machine, and what is sent back.
    Transit = 7,
    /// How long a client waits before it tries again, and which gateway it reaches then.
    Retry = 8,
    /// How important a user is for a while.
    UserLevel = 9,
    /// How long an instance takes to start.
    StartUp = 20,
    /// When machines fail by chance, and for how long.
    Fault = 21,
    /// When instances end by themselves.
    Crash = 22,
    /// Which settings a search tries first.
    Search = 64,
}

/// The stream of words for one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    key: u64,
}

/// 2⁶⁴ divided by the golden ratio, made odd: the step of `SplitMix64`.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Words {
    /// The words of a seed for one purpose; `part` tells streams of the same purpose apart.
    #[must_use]
    pub const fn new(seed: u64, purpose: Purpose, part: u64) -> Self {
        let purpose = mix(purpose as u64 ^ GAMMA);
        Words { key: mix(mix(seed.wrapping_add(GAMMA)) ^ mix(purpose.wrapping_add(part))) }
    }

    /// The word at a position.
    #[inline(always)]
    #[must_use]
    pub const fn at(self, position: u64) -> u64 {
        mix(self.key.wrapping_add(position.wrapping_add(1).wrapping_mul(GAMMA)))
    }

    /// The words of one request.
    #[inline(always)]
    #[must_use]
    pub const fn of(self, request: u64) -> Draw {
        let first = request.wrapping_mul(Draw::WORDS);
        Draw { words: self, first, first_word: self.at(first) }
    }

    /// The words of requests with consecutive keys: a loop that becomes vector code.
    #[inline(always)]
    pub fn of_each(self, request: u64, draws: &mut [u64]) {
        for (place, word) in draws.iter_mut().enumerate() {
            *word = self.at(request.wrapping_add(place as u64).wrapping_mul(Draw::WORDS));
        }
    }

    /// As [`Words::of`], for a request whose first word [`Words::of_each`] has told.
    #[inline(always)]
    #[must_use]
    pub const fn of_known(self, request: u64, first_word: u64) -> Draw {
        Draw { words: self, first: request.wrapping_mul(Draw::WORDS), first_word }
    }
}

/// The few words that one decision about one request may use.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    words: Words,
    first: u64,
    first_word: u64,
}

impl Draw {
    /// Words a request may use for one purpose.
    pub const WORDS: u64 = 4;

    /// One of them; the index is taken modulo [`Draw::WORDS`].
    #[inline(always)]
    #[must_use]
    pub const fn word(self, index: u64) -> u64 {
        match index % Self::WORDS {
            0 => self.first_word,
            index => self.words.at(self.first.wrapping_add(index)),
        }
    }
}

/// The finaliser of `SplitMix64`: a bijection in which each bit of the input reaches each bit of
/// the output.
#[inline(always)]
const fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A number below `bound` from half a word, by multiplication and shift (Lemire 2019). The bias is
/// below `bound`/2³²: for 10,000 targets two in a million.
#[inline(always)]
#[must_use]
pub const fn below(half: u32, bound: u32) -> u32 {
    ((half as u64 * bound as u64) >> 32) as u32
}

/// The two halves of a word.
#[inline(always)]
#[must_use]
pub const fn halves(word: u64) -> (u32, u32) {
    #[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
    let pair = (word as u32, (word >> 32) as u32);
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sequential generator of the paper.
    struct SplitMix64(u64);

    impl SplitMix64 {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    #[test]
    fn a_stream_is_splitmix_from_its_key() {
        // The first words of seed 1234567 as the reference implementation prints them.
        let mut reference = SplitMix64(1_234_567);
        assert_eq!(reference.next(), 6_457_827_717_110_365_317);
        assert_eq!(reference.next(), 3_203_168_211_198_807_973);
        let words = Words::new(7, Purpose::Service, 3);
        let mut sequential = SplitMix64(words.key);
        for position in 0..1000 {
            assert_eq!(words.at(position), sequential.next());
        }
    }

    #[test]
    fn streams_and_requests_differ() {
        let purposes = [Purpose::Arrival, Purpose::Service, Purpose::Tenant, Purpose::Balance];
        let mut words = Vec::new();
        for seed in 0..8 {
            for purpose in purposes {
                for part in 0..8 {
                    let stream = Words::new(seed, purpose, part);
                    words.extend((0..8).map(|position| stream.at(position)));
                }
            }
        }
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }

    #[test]
    fn words_of_many_requests_are_those_of_each() {
        let words = Words::new(7, Purpose::Balance, 3);
        let mut many = [0; 100];
        words.of_each(u64::MAX - 50, &mut many);
        for (place, first) in (0..).zip(many) {
            let request = (u64::MAX - 50).wrapping_add(place);
            let known = words.of_known(request, first);
            for index in 0..8 {
                assert_eq!(known.word(index), words.of(request).word(index));
            }
        }
    }

    /// χ² over 256 cells of each byte of neighbouring words: 255 degrees of freedom, so a good
    /// generator stays below 360 except once in 10⁵.
    #[test]
    fn bytes_of_neighbouring_streams_are_uniform() {
        for part in 0..16 {
            let stream = Words::new(1, Purpose::Balance, part);
            let mut counts = [[0u32; 256]; 8];
            for request in 0..25_600u64 {
                for (place, byte) in stream.of(request).word(0).to_le_bytes().iter().enumerate() {
                    counts[place][*byte as usize] += 1;
                }
            }
            for cells in counts {
                let chi: f64 = cells.iter().map(|n| (f64::from(*n) - 100.0).powi(2) / 100.0).sum();
                assert!(chi < 360.0, "χ² is {chi}");
            }
        }
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let stream = Words::new(5, Purpose::Balance, 0);
        let mut counts = [0u32; 7];
        for position in 0..70_000 {
            let (low, high) = halves(stream.at(position));
            counts[below(low, 7) as usize] += 1;
            counts[below(high, 7) as usize] += 1;
        }
        for count in counts {
            assert!((19_400..20_600).contains(&count), "{counts:?}");
        }
        assert_eq!(below(u32::MAX, 7), 6);
        assert_eq!(below(0, 7), 0);
    }
}
