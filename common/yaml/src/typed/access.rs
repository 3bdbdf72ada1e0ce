//! Parts of nodes as serde asks for them.

use std::vec;

use serde::de::value::U32Deserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::Reader;
use super::failure::Failure;
use crate::Node;

/// The items of a list.
pub(super) struct Items<'node> {
    reader: Reader<'node>,
    items: std::slice::Iter<'node, Node>,
}

impl<'node> Items<'node> {
    pub(super) fn new(reader: Reader<'node>, items: &'node [Node]) -> Self {
        Items { reader, items: items.iter() }
    }
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        let reader = self.reader;
        let Some(item) = self.items.by_ref().find(|item| !reader.is_skipped(item)) else {
            return Ok(None);
        };
        seed.deserialize(reader.part(item)).map(Some).map_err(|failure| failure.in_entry(item.span))
    }
}

/// The entries of a mapping.
pub(super) struct StructEntries<'node> {
    reader: Reader<'node>,
    entries: vec::IntoIter<(&'node Node, &'node Node)>,
    value: Option<&'node Node>,
    /// Names of entries that were left out because they do not fit.
    pub(super) dropped: Vec<&'node str>,
}

impl<'node> StructEntries<'node> {
    pub(super) fn new(
        reader: Reader<'node>,
        entries: Vec<(&'node Node, &'node Node)>,
        dropped: Vec<&'node str>,
    ) -> Self {
        StructEntries { reader, entries: entries.into_iter(), value: None, dropped }
    }
}

impl<'de> de::MapAccess<'de> for StructEntries<'_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        let result = seed.deserialize(self.reader.part(key));
        result.map(Some).map_err(|failure| failure.within(key.span).in_entry(value.span))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some(value) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let result = seed.deserialize(self.reader.part(value));
        result.map_err(|failure| failure.within(value.span).in_entry(value.span))
    }
}

/// A node as the two entries that [`crate::Spanned`] asks for: its place and its value.
pub(super) struct PlaceAndValue<'node> {
    reader: Reader<'node>,
    step: u32,
}

impl<'node> PlaceAndValue<'node> {
    pub(super) fn new(reader: Reader<'node>) -> Self {
        PlaceAndValue { reader, step: 0 }
    }
}

impl<'de> de::MapAccess<'de> for PlaceAndValue<'_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        self.step += 1;
        if self.step > 2 {
            return Ok(None);
        }
        let key: U32Deserializer<Failure> = self.step.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        if self.step == 1 {
            let span = self.reader.node.span;
            let place = vec![span.source.0, span.start, span.end];
            return seed.deserialize(place.into_deserializer());
        }
        seed.deserialize(self.reader)
    }
}

/// A variant: its name alone, or a mapping from its name to its content.
pub(super) struct EnumAccess<'node> {
    reader: Reader<'node>,
    name: &'node Node,
    content: Option<&'node Node>,
}

impl<'node> EnumAccess<'node> {
    pub(super) fn new(
        reader: Reader<'node>,
        name: &'node Node,
        content: Option<&'node Node>,
    ) -> Self {
        EnumAccess { reader, name, content }
    }

    /// The content of a variant that needs one.
    fn content(&self) -> Result<Reader<'node>, Failure> {
        self.content.map(|content| self.reader.part(content)).ok_or_else(|| {
            let name = self.name.as_str().unwrap_or("it");
            Failure::new("yaml-type", format!("`{name}` needs a value"))
                .at(self.name.span, "expected a mapping with this key")
                .hint(format!("write `{name}: …`"))
        })
    }
}

impl<'de> de::EnumAccess<'de> for EnumAccess<'_> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        let variant = seed
            .deserialize(self.reader.part(self.name))
            .map_err(|failure| failure.within(self.name.span))?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for EnumAccess<'_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        match self.content {
            Some(content) if !content.is_null() => {
                let name = self.name.as_str().unwrap_or("it");
                Err(Failure::new("yaml-type", format!("`{name}` takes no value"))
                    .at(content.span, "expected nothing")
                    .hint(format!("write only `{name}`")))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        seed.deserialize(self.content()?)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.content()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.content()?.deserialize_struct("", fields, visitor)
    }
}
