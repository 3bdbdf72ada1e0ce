//! Every limit of evaluation, in one place.

/// Evaluation steps (expressions, statements, loop turns) of one render. A step takes 50 to 200 ns,
/// so this is a few seconds; the largest templates of real roles take some 100,000.
pub(crate) const MAX_STEPS: u64 = 20_000_000;

/// Bytes that one render may write; a configuration file beyond that is a mistake.
pub(crate) const MAX_OUTPUT_BYTES: usize = 64 * 1024 * 1024;

/// Characters or items that `*` may produce.
pub(crate) const MAX_REPEATED_ITEMS: usize = 10_000_000;

/// Items of `range()`; Jinja's sandbox allows 100,000, content in the wild more.
pub(crate) const MAX_RANGE_ITEMS: usize = 1_000_000;

/// Variables evaluated inside one another, macro calls, includes and recursive loops. Each level
/// takes up to 12 KiB of stack in a debug build, and worker threads have 2 MiB.
pub(crate) const MAX_DEPTH: usize = 60;

/// Compiled templates kept; beyond that the cache starts afresh. A large site has some 20,000
/// distinct strings.
pub(crate) const MAX_CACHED_PROGRAMS: usize = 50_000;

/// Steps of backtracking of one regular expression match.
pub(crate) const MAX_BACKTRACKING_STEPS: usize = 5_000_000;

/// Results of `permutations`, `combinations` and `product`.
pub(crate) const MAX_COMBINATIONS: usize = 1_000_000;
