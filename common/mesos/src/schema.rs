//! What messages consist of, as data: finds required fields that are absent, in JSON and in protobuf.

use serde_json::Value;

/// How often a field may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the words of the tables")]
pub enum Label {
    /// Exactly once.
    required,
    /// At most once.
    optional,
    /// At most once, and absence means a value.
    defaulted,
    /// Any number of times.
    repeated,
    /// Any number of times, and JSON has the list even if it is empty.
    listed,
    /// From names to messages.
    map,
}

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its number in protobuf, below 64.
    pub tag: u32,
    /// How often it may be there.
    pub label: Label,
    /// What it consists of, if it is a message.
    pub message: Option<fn() -> &'static Schema>,
}

/// A message.
#[derive(Debug)]
pub struct Schema {
    /// Its name here.
    pub name: &'static str,
    /// Its fields in Mesos' order.
    pub fields: &'static [Field],
}

/// A type that knows what it consists of.
pub trait Described {
    /// What it consists of.
    const SCHEMA: &'static Schema;
}

/// The schema of a type, as a value that may refer to itself.
pub fn of<M: Described>() -> &'static Schema {
    M::SCHEMA
}

/// A field's name without the mark that it needs in Rust if it is a word of the language.
pub(crate) const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// Messages within messages, as in prost: deeper ones are refused by it.
const DEPTH_LIMIT: usize = 100;

impl Schema {
    /// The field of a name.
    pub(crate) fn tag_of(&self, name: &str) -> Option<u32> {
        self.fields.iter().find(|field| field.name == name).map(|field| field.tag)
    }

    /// Whether all required fields are among those seen, a bit for each number; else which isn't.
    pub(crate) fn complete(&self, seen: u64) -> Result<(), &'static str> {
        match self.required().find(|field| seen & (1 << field.tag) == 0) {
            Some(field) => Err(field.name),
            None => Ok(()),
        }
    }

    fn required(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().filter(|field| field.label == Label::required)
    }

    /// The required fields that are absent in JSON, as paths, in the order in which Mesos names them:
    /// first those of a message itself.
    pub fn missing_in_json(&self, value: &Value) -> Vec<String> {
        let mut missing = Vec::new();
        self.search_json(value, "", &mut missing);
        missing
    }

    fn search_json(&self, value: &Value, path: &str, missing: &mut Vec<String>) {
        let Value::Object(object) = value else { return };
        let set = |field: &Field| object.get(field.name).filter(|value| !value.is_null());
        missing.extend(
            self.required()
                .filter(|field| set(field).is_none())
                .map(|field| format!("{path}{}", field.name)),
        );
        for field in self.fields {
            let (Some(message), Some(value)) = (field.message, set(field)) else { continue };
            match (field.label, value) {
                (Label::repeated | Label::listed, Value::Array(values)) => {
                    for (index, value) in values.iter().enumerate() {
                        let path = format!("{path}{}[{index}].", field.name);
                        message().search_json(value, &path, missing);
                    }
                }
                (Label::map, Value::Object(values)) => {
                    for (key, value) in values {
                        let path = format!("{path}{}[{key}].", field.name);
                        message().search_json(value, &path, missing);
                    }
                }
                _ => message().search_json(value, &format!("{path}{}.", field.name), missing),
            }
        }
    }

    /// The first required field that is absent in protobuf that prost has read without an error.
    pub fn missing_in_protobuf(&self, bytes: &[u8]) -> Option<String> {
        self.search_protobuf(bytes, "", DEPTH_LIMIT)
    }

    fn search_protobuf(&self, mut bytes: &[u8], path: &str, depth: usize) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        let mut seen = 0u64;
        while let Some((tag, value)) = next_field(&mut bytes) {
            if tag < 64 {
                seen |= 1 << tag;
            }
            let Some(field) = self.fields.iter().find(|field| field.tag == tag) else { continue };
            let (Some(message), Some(value)) = (field.message, value) else { continue };
            let path = format!("{path}{}.", field.name);
            let found = if field.label == Label::map {
                let mut entry = value;
                std::iter::from_fn(|| next_field(&mut entry))
                    .filter(|(tag, _)| *tag == 2)
                    .find_map(|(_, value)| message().search_protobuf(value?, &path, depth))
            } else {
                message().search_protobuf(value, &path, depth)
            };
            if found.is_some() {
                return found;
            }
        }
        self.complete(seen).err().map(|name| format!("{path}{name}"))
    }
}

/// Takes a field off protobuf: its number, and its bytes if it has a length.
fn next_field<'a>(bytes: &mut &'a [u8]) -> Option<(u32, Option<&'a [u8]>)> {
    let key = varint(bytes)?;
    let tag = u32::try_from(key >> 3).ok()?;
    let length = match key & 7 {
        0 => {
            varint(bytes)?;
            return Some((tag, None));
        }
        1 => 8,
        2 => usize::try_from(varint(bytes)?).ok()?,
        5 => 4,
        // Groups, which Mesos doesn't have.
        _ => return None,
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some((tag, (key & 7 == 2).then_some(value)))
}

/// Takes a number of up to ten bytes with seven bits each.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
