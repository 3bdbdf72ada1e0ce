//! How much one document may ask for: a hostile or broken file ends in a diagnostic, not in a
//! stack overflow or in an exhausted memory.

/// Longest text in bytes. The largest playbook or inventory we know of is below 1 MiB; the
/// scanner holds four bytes per character.
pub const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;

/// Deepest nesting of lists and mappings, aliases included. Real content stays below 30; the
/// tree is built, compared and dropped by recursion.
pub const MAX_DEPTH: usize = 200;

/// Most nodes of all documents of one text, after aliases are expanded ("billion laughs").
pub const MAX_NODES: usize = 1_000_000;

/// Most bytes of text that aliases may copy, for the same reason.
pub const MAX_ALIASED_BYTES: usize = 64 * 1024 * 1024;

/// Most characters of an integer; Python refuses longer decimal ones, too (`int_max_str_digits`).
pub const MAX_INTEGER_CHARACTERS: usize = 4300;

/// Most diagnostics of one text: after so many a person reads no more.
pub const MAX_DIAGNOSTICS: usize = 100;
