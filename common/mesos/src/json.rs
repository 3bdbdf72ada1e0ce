//! Mesos' own JSON: names in snake case, numbers of 64 bits as numbers, enumerations by name, bytes
//! in base64.
//!
//! Reading is as lenient as Mesos is: null means absent, unknown fields are skipped, numbers and
//! booleans may be texts, and an unknown name in an enumeration means absent. Writing leaves out what
//! is absent, except where absence means a value: then it says that value. (stout's protobuf.hpp;
//! the canonical JSON of protobuf is another.)

use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::schema::{Described, Schema};

/// Base64 with or without padding at its end; written with it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An enumeration whose values have names.
pub trait Named: Copy + TryFrom<i32> + Into<i32> + 'static {
    /// All values, in Mesos' order.
    const ALL: &'static [Self];

    /// The name in Mesos.
    fn name(self) -> &'static str;

    /// The value of a name.
    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.name() == name)
    }
}

/// How values of a type stand in JSON.
pub trait Kind {
    /// The type.
    type Value: Default;

    /// What the type consists of, if it is a message.
    const MESSAGE: Option<fn() -> &'static Schema> = None;

    /// Whether JSON can say the value; an optional field is left out if not.
    fn is_known(_value: &Self::Value) -> bool {
        true
    }

    /// Writes a value.
    fn write<S: Serializer>(value: &Self::Value, serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads a value; none if it counts as absent.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self::Value>, D::Error>;
}

/// A string.
#[derive(Debug)]
pub struct Text;
/// Bytes in base64.
#[derive(Debug)]
pub struct Bytes;
/// A number of 64 bits with a binary point.
#[derive(Debug)]
pub struct Double;
/// A boolean.
#[derive(Debug)]
pub struct Bool;
/// A whole number.
#[derive(Debug)]
pub struct Integer<T>(PhantomData<T>);
/// A value of an enumeration, by its name.
#[derive(Debug)]
pub struct Enumeration<E>(PhantomData<E>);
/// A message.
#[derive(Debug)]
pub struct Message<M>(PhantomData<M>);
/// A message within a message of the same type.
#[derive(Debug)]
pub struct Boxed<M>(PhantomData<M>);

impl Kind for Text {
    type Value = String;

    fn write<S: Serializer>(value: &String, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
        Option::deserialize(deserializer)
    }
}

impl Kind for Bytes {
    type Value = Vec<u8>;

    fn write<S: Serializer>(value: &Vec<u8>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(value))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let bytes = BASE64.decode(text.as_bytes());
        bytes.map(Some).map_err(|error| D::Error::custom(format!("no base64: {error}")))
    }
}

/// What a number or a boolean may be written as.
enum Loose {
    Absent,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Double(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Loose;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number, a boolean or a text that is one")
            }

            fn visit_unit<E: Error>(self) -> Result<Loose, E> {
                Ok(Loose::Absent)
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Loose, E> {
                Ok(Loose::Bool(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Loose, E> {
                Ok(Loose::Unsigned(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Loose, E> {
                Ok(Loose::Signed(value))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Loose, E> {
                Ok(Loose::Double(value))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Loose, E> {
                Ok(Loose::Text(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Kind for Double {
    type Value = f64;

    fn write<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        // JSON has no word for them; as texts, Mesos reads them.
        if value.is_infinite() {
            return serializer.serialize_str(if *value > 0.0 { "Infinity" } else { "-Infinity" });
        }
        if value.is_nan() {
            return serializer.serialize_str("NaN");
        }
        serializer.serialize_f64(*value)
    }

    #[allow(clippy::cast_precision_loss, reason = "as Mesos does")]
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Ok(Some(match Loose::deserialize(deserializer)? {
            Loose::Absent => return Ok(None),
            Loose::Double(value) => value,
            Loose::Unsigned(value) => value as f64,
            Loose::Signed(value) => value as f64,
            Loose::Text(text) => match text.as_str() {
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                "NaN" => f64::NAN,
                other => other
                    .parse()
                    .map_err(|_| D::Error::custom(format!("{other:?} is no number")))?,
            },
            Loose::Bool(_) => return Err(D::Error::custom("a boolean where a number is expected")),
        }))
    }
}

impl Kind for Bool {
    type Value = bool;

    fn write<S: Serializer>(value: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*value)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
        match Loose::deserialize(deserializer)? {
            Loose::Absent => Ok(None),
            Loose::Bool(value) => Ok(Some(value)),
            Loose::Text(text) if text == "true" => Ok(Some(true)),
            Loose::Text(text) if text == "false" => Ok(Some(false)),
            _ => Err(D::Error::custom("expected true or false")),
        }
    }
}

/// Whole numbers of a width.
pub trait Whole: Copy + Default + Serialize + TryFrom<i128> {}
impl<T: Copy + Default + Serialize + TryFrom<i128>> Whole for T {}

impl<T: Whole> Kind for Integer<T> {
    type Value = T;

    fn write<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        let value: i128 = match Loose::deserialize(deserializer)? {
            Loose::Absent => return Ok(None),
            Loose::Unsigned(value) => value.into(),
            Loose::Signed(value) => value.into(),
            Loose::Double(value) if value.is_finite() => whole(value),
            Loose::Text(text) => text
                .parse()
                .map_err(|_| D::Error::custom(format!("{text:?} is no whole number")))?,
            _ => return Err(D::Error::custom("expected a whole number")),
        };
        match T::try_from(value) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(D::Error::custom(format!("{value} is out of range"))),
        }
    }
}

/// The whole part of a finite number.
#[allow(clippy::cast_possible_truncation, reason = "saturates; Mesos cuts off, too")]
fn whole(value: f64) -> i128 {
    value as i128
}

impl<E: Named> Kind for Enumeration<E> {
    type Value = i32;

    fn is_known(value: &i32) -> bool {
        E::try_from(*value).is_ok()
    }

    fn write<S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
        match E::try_from(*value) {
            Ok(value) => serializer.serialize_str(value.name()),
            // A number of a later version: absent for all who don't know it.
            Err(_) => serializer.serialize_none(),
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        Ok(name.and_then(|name| E::named(&name)).map(Into::into))
    }
}

impl<M: Described + Default + Serialize + for<'de> Deserialize<'de>> Kind for Message<M> {
    type Value = M;

    const MESSAGE: Option<fn() -> &'static Schema> = Some(crate::schema::of::<M>);

    fn write<S: Serializer>(value: &M, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<M>, D::Error> {
        Option::deserialize(deserializer)
    }
}

impl<M: Described + Default + Serialize + for<'de> Deserialize<'de>> Kind for Boxed<M> {
    type Value = Box<M>;

    const MESSAGE: Option<fn() -> &'static Schema> = Some(crate::schema::of::<M>);

    fn write<S: Serializer>(value: &Box<M>, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<M>>, D::Error> {
        Option::deserialize(deserializer)
    }
}

/// A value that stands in JSON as its kind says.
struct As<'a, K: Kind>(&'a K::Value);

impl<K: Kind> Serialize for As<'_, K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        K::write(self.0, serializer)
    }
}

/// Reads a value as its kind says.
struct Seed<K>(PhantomData<K>);

impl<'de, K: Kind> DeserializeSeed<'de> for Seed<K> {
    type Value = Option<K::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        K::read(deserializer)
    }
}

/// Reads the name of a field as its number; none if there is no such field.
pub(crate) struct Key(pub(crate) &'static Schema);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<u32>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<u32>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.tag_of(name))
    }
}

/// Writes fields, a function for each label.
pub(crate) mod write {
    use std::collections::BTreeMap;

    use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

    use super::{As, Kind};

    type Written<S> = Result<(), <S as Serializer>::Error>;

    pub(crate) fn required<K: Kind, S: Serializer>(
        map: &mut S::SerializeMap,
        name: &'static str,
        value: &K::Value,
    ) -> Written<S> {
        map.serialize_entry(name, &As::<K>(value))
    }

    pub(crate) fn optional<K: Kind, S: Serializer>(
        map: &mut S::SerializeMap,
        name: &'static str,
        value: &Option<K::Value>,
    ) -> Written<S> {
        let value = value.as_ref().filter(|value| K::is_known(value));
        value.map_or(Ok(()), |value| required::<K, S>(map, name, value))
    }

    pub(crate) fn repeated<K: Kind, S: Serializer>(
        map: &mut S::SerializeMap,
        name: &'static str,
        values: &[K::Value],
    ) -> Written<S> {
        if values.is_empty() { Ok(()) } else { listed::<K, S>(map, name, values) }
    }

    pub(crate) fn listed<K: Kind, S: Serializer>(
        map: &mut S::SerializeMap,
        name: &'static str,
        values: &[K::Value],
    ) -> Written<S> {
        map.serialize_entry(name, &Many::<K>(values))
    }

    pub(crate) fn map<K: Kind, S: Serializer>(
        map: &mut S::SerializeMap,
        name: &'static str,
        values: &BTreeMap<String, K::Value>,
    ) -> Written<S> {
        if values.is_empty() { Ok(()) } else { map.serialize_entry(name, &Entries::<K>(values)) }
    }

    struct Many<'a, K: Kind>(&'a [K::Value]);

    impl<K: Kind> Serialize for Many<'_, K> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut sequence = serializer.serialize_seq(Some(self.0.len()))?;
            for value in self.0 {
                sequence.serialize_element(&As::<K>(value))?;
            }
            sequence.end()
        }
    }

    struct Entries<'a, K: Kind>(&'a BTreeMap<String, K::Value>);

    impl<K: Kind> Serialize for Entries<'_, K> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(Some(self.0.len()))?;
            for (key, value) in self.0 {
                map.serialize_entry(key, &As::<K>(value))?;
            }
            map.end()
        }
    }
}

/// Reads fields, a function for each label; each says whether the field was set.
pub(crate) mod read {
    use std::collections::BTreeMap;
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

    use super::{Kind, Seed};

    pub(crate) fn required<'de, K: Kind, A: MapAccess<'de>>(
        map: &mut A,
        field: &mut K::Value,
    ) -> Result<bool, A::Error> {
        let value = map.next_value_seed(Seed::<K>(PhantomData))?;
        let set = value.is_some();
        *field = value.unwrap_or_default();
        Ok(set)
    }

    pub(crate) fn optional<'de, K: Kind, A: MapAccess<'de>>(
        map: &mut A,
        field: &mut Option<K::Value>,
    ) -> Result<bool, A::Error> {
        *field = map.next_value_seed(Seed::<K>(PhantomData))?;
        Ok(field.is_some())
    }

    pub(crate) fn defaulted<'de, K: Kind, A: MapAccess<'de>>(
        map: &mut A,
        field: &mut Option<K::Value>,
    ) -> Result<bool, A::Error> {
        optional::<K, A>(map, field)
    }

    pub(crate) fn repeated<'de, K: Kind, A: MapAccess<'de>>(
        map: &mut A,
        field: &mut Vec<K::Value>,
    ) -> Result<bool, A::Error> {
        let values: Option<Many<K>> = map.next_value()?;
        *field = values.map_or_else(Vec::new, |values| values.0);
        Ok(true)
    }

    pub(crate) fn listed<'de, K: Kind, A: MapAccess<'de>>(
        map: &mut A,
        field: &mut Vec<K::Value>,
    ) -> Result<bool, A::Error> {
        repeated::<K, A>(map, field)
    }

    pub(crate) fn map<'de, K: Kind, A: MapAccess<'de>>(
        map: &mut A,
        field: &mut BTreeMap<String, K::Value>,
    ) -> Result<bool, A::Error> {
        let entries: Option<Entries<K>> = map.next_value()?;
        *field = entries.map_or_else(BTreeMap::new, |entries| entries.0);
        Ok(true)
    }

    struct Many<K: Kind>(Vec<K::Value>);

    impl<'de, K: Kind> Deserialize<'de> for Many<K> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_seq(ManyReader(PhantomData))
        }
    }

    struct ManyReader<K>(PhantomData<K>);

    impl<'de, K: Kind> Visitor<'de> for ManyReader<K> {
        type Value = Many<K>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a JSON array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Many<K>, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = sequence.next_element_seed(Seed::<K>(PhantomData))? {
                values.extend(value);
            }
            Ok(Many(values))
        }
    }

    struct Entries<K: Kind>(BTreeMap<String, K::Value>);

    impl<'de, K: Kind> Deserialize<'de> for Entries<K> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(EntriesReader(PhantomData))
        }
    }

    struct EntriesReader<K>(PhantomData<K>);

    impl<'de, K: Kind> Visitor<'de> for EntriesReader<K> {
        type Value = Entries<K>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<K>, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some(key) = map.next_key::<String>()? {
                if let Some(value) = map.next_value_seed(Seed::<K>(PhantomData))? {
                    entries.insert(key, value);
                }
            }
            Ok(Entries(entries))
        }
    }
}
