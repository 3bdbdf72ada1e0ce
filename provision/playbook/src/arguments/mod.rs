//! Argument strings: `src=a dest="b c" {{ more }}` to words and pairs with spans.

mod offsets;
mod pairs;
mod split;

pub(crate) use offsets::Offsets;
pub(crate) use pairs::{KeepsWords, Pairs, parse_pairs};
pub(crate) use split::split;
