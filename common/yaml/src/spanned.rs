//! A value together with the place it was written at.

use std::fmt;
use std::marker::PhantomData;

use diagnostics::{SourceId, Span};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// The name under which [`Spanned`] asks our own deserializer for a place.
pub(crate) const SPANNED: &str = "$yaml::Spanned";

/// A value with its place, for typed files of our own. Where serde buffers values (internally
/// tagged enums) or under another deserializer the place is unknown and empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value that nobody wrote, e.g. a default.
    #[must_use]
    pub fn nowhere(value: T) -> Self {
        Spanned { value, span: Span::new(SourceId(u32::MAX), 0, 0) }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(SPANNED, SpannedVisitor(PhantomData))
    }
}

struct SpannedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SpannedVisitor<T> {
    type Value = Spanned<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, other: D) -> Result<Spanned<T>, D::Error> {
        T::deserialize(other).map(Spanned::nowhere)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Spanned<T>, A::Error> {
        let missing = || A::Error::custom("a spanned value is incomplete");
        let (_, place) = map.next_entry::<u32, (u32, u32, u32)>()?.ok_or_else(missing)?;
        let (_, value) = map.next_entry::<u32, T>()?.ok_or_else(missing)?;
        let (source, start, end) = place;
        Ok(Spanned { value, span: Span { source: SourceId(source), start, end } })
    }
}
