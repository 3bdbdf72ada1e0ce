//! The tables that declare messages and enumerations.
//!
//! `message!` takes lines as in a `.proto` file of the second version (label, type, name, number) in
//! Mesos' order of declaration, which is the order of its JSON; protobuf is written in the order of
//! numbers. From a table come the type, its protobuf (by prost), its JSON and its schema.

/// Declares a message.
///
/// Lines: `required string name = 1;`, `optional message TaskId task_id = 2;`, `repeated …`,
/// `optional enumeration State state = 3;`, `map Scalar limits = 4;` (names to messages),
/// `optional boxed ContainerId parent = 5;` (a message within itself), `unpacked uint32 codes = 6;`
/// (repeated numbers), `listed message Task tasks = 7;` (repeated, and JSON has the list even if it is
/// empty). `[default = …]` is what an absent value means, and JSON says it.
macro_rules! message {
    ($(#[$meta:meta])* $name:ident { $($body:tt)* }) => {
        message!(@line [$(#[$meta])* $name] [] [] $($body)*);
    };
    (@line [$($head:tt)*] [$($fields:tt)*] [$($rows:tt)*]
        $(#[$doc:meta])* map $type:ident $field:ident = $tag:tt; $($rest:tt)*) => {
        message!(@line [$($head)*]
            [$($fields)* $(#[$doc])* #[doc = concat!("Field ", $tag, ".")]
             #[prost(btree_map = "string, message", tag = $tag)]
             pub $field: ::std::collections::BTreeMap<String, $type>,]
            [$($rows)* (map ($crate::json::Message<$type>) $field $tag)]
            $($rest)*);
    };
    (@line [$($head:tt)*] [$($fields:tt)*] [$($rows:tt)*]
        $(#[$doc:meta])* unpacked $kind:ident $field:ident = $tag:tt; $($rest:tt)*) => {
        message!(@line [$($head)*]
            [$($fields)* $(#[$doc])* #[doc = concat!("Field ", $tag, ".")]
             #[prost($kind, repeated, packed = false, tag = $tag)]
             pub $field: Vec<scalar!($kind)>,]
            [$($rows)* (repeated (kind!($kind)) $field $tag)]
            $($rest)*);
    };
    (@line [$($head:tt)*] [$($fields:tt)*] [$($rows:tt)*]
        $(#[$doc:meta])* listed message $type:ident $field:ident = $tag:tt; $($rest:tt)*) => {
        message!(@line [$($head)*]
            [$($fields)* $(#[$doc])* #[doc = concat!("Field ", $tag, ".")]
             #[prost(message, repeated, tag = $tag)]
             pub $field: Vec<$type>,]
            [$($rows)* (listed ($crate::json::Message<$type>) $field $tag)]
            $($rest)*);
    };
    (@line [$($head:tt)*] [$($fields:tt)*] [$($rows:tt)*]
        $(#[$doc:meta])* optional boxed $type:ident $field:ident = $tag:tt; $($rest:tt)*) => {
        message!(@line [$($head)*]
            [$($fields)* $(#[$doc])* #[doc = concat!("Field ", $tag, ".")]
             #[prost(message, optional, boxed, tag = $tag)]
             pub $field: Option<Box<$type>>,]
            [$($rows)* (optional ($crate::json::Boxed<$type>) $field $tag)]
            $($rest)*);
    };
    (@line [$($head:tt)*] [$($fields:tt)*] [$($rows:tt)*]
        $(#[$doc:meta])* $label:ident message $type:ident $field:ident = $tag:tt; $($rest:tt)*) => {
        message!(@line [$($head)*]
            [$($fields)* $(#[$doc])* #[doc = concat!("Field ", $tag, ".")]
             #[prost(message, $label, tag = $tag)]
             pub $field: labelled!($label $type),]
            [$($rows)* ($label ($crate::json::Message<$type>) $field $tag)]
            $($rest)*);
    };
    (@line [$($head:tt)*] [$($fields:tt)*] [$($rows:tt)*]
        $(#[$doc:meta])* optional enumeration $type:ident $field:ident = $tag:tt
        [default = $default:tt]; $($rest:tt)*) => {
        message!(@line [$($head)*]
            [$($fields)* $(#[$doc])* #[doc = concat!("Field ", $tag, ".")]
             #[prost(enumeration($type), optional, tag = $tag, default = $default)]
             pub $field: Option<i32>,]
            [$($rows)* (defaulted ($crate::json::Enumeration<$type>) $field $tag)]
            $($rest)*);
    };
    (@line [$($head:tt)*] [$($fields:tt)*] [$($rows:tt)*]
        $(#[$doc:meta])* $label:ident enumeration $type:ident $field:ident = $tag:tt;
        $($rest:tt)*) => {
        message!(@line [$($head)*]
            [$($fields)* $(#[$doc])* #[doc = concat!("Field ", $tag, ".")]
             #[prost(enumeration($type), $label, tag = $tag)]
             pub $field: labelled!($label i32),]
            [$($rows)* ($label ($crate::json::Enumeration<$type>) $field $tag)]
            $($rest)*);
    };
    (@line [$($head:tt)*] [$($fields:tt)*] [$($rows:tt)*]
        $(#[$doc:meta])* optional $kind:ident $field:ident = $tag:tt
        [default = $default:tt]; $($rest:tt)*) => {
        message!(@line [$($head)*]
            [$($fields)* $(#[$doc])* #[doc = concat!("Field ", $tag, ".")]
             #[prost($kind, optional, tag = $tag, default = $default)]
             pub $field: Option<scalar!($kind)>,]
            [$($rows)* (defaulted (kind!($kind)) $field $tag)]
            $($rest)*);
    };
    (@line [$($head:tt)*] [$($fields:tt)*] [$($rows:tt)*]
        $(#[$doc:meta])* $label:ident $kind:ident $field:ident = $tag:tt; $($rest:tt)*) => {
        message!(@line [$($head)*]
            [$($fields)* $(#[$doc])* #[doc = concat!("Field ", $tag, ".")]
             #[prost($kind, $label, tag = $tag)]
             pub $field: labelled!($label (scalar!($kind))),]
            [$($rows)* ($label (kind!($kind)) $field $tag)]
            $($rest)*);
    };
    (@line [$(#[$meta:meta])* $name:ident] [$($fields:tt)*]
        [$(($label:ident ($kind:ty) $field:ident $tag:tt))*]) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, ::prost::Message)]
        pub struct $name { $($fields)* }

        impl $crate::schema::Described for $name {
            const SCHEMA: &'static $crate::schema::Schema = &$crate::schema::Schema {
                name: stringify!($name),
                fields: &[$($crate::schema::Field {
                    name: $crate::schema::plain(stringify!($field)),
                    tag: $tag,
                    label: $crate::schema::Label::$label,
                    message: <$kind as $crate::json::Kind>::MESSAGE,
                }),*],
            };
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use ::serde::ser::SerializeMap as _;
                #[allow(unused_mut)]
                let mut map = serializer.serialize_map(None)?;
                $(write_field!($label $kind, map, self, $field);)*
                map.end()
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;
                impl<'de> ::serde::de::Visitor<'de> for Reader {
                    type Value = $name;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter) -> ::std::fmt::Result {
                        f.write_str("a JSON object")
                    }

                    fn visit_map<A: ::serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$name, A::Error> {
                        let schema = <$name as $crate::schema::Described>::SCHEMA;
                        #[allow(unused_mut)]
                        let mut message = $name::default();
                        #[allow(unused_mut)]
                        let mut seen = 0u64;
                        while let Some(tag) = map.next_key_seed($crate::json::Key(schema))? {
                            match tag {
                                $(Some($tag) => {
                                    if $crate::json::read::$label::<$kind, A>(
                                        &mut map, &mut message.$field)? {
                                        seen |= 1 << $tag;
                                    }
                                })*
                                _ => {
                                    map.next_value::<::serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        schema.complete(seen).map_err(::serde::de::Error::missing_field)?;
                        Ok(message)
                    }
                }
                deserializer.deserialize_map(Reader)
            }
        }
    };
}

/// The type of a field by its label.
macro_rules! labelled {
    (required $type:ident) => { $type };
    (optional $type:ident) => { Option<$type> };
    (repeated $type:ident) => { Vec<$type> };
    (required ($type:ty)) => { $type };
    (optional ($type:ty)) => { Option<$type> };
    (repeated ($type:ty)) => { Vec<$type> };
}

/// The Rust type of a scalar.
macro_rules! scalar {
    (string) => { String };
    (bytes) => { Vec<u8> };
    (double) => { f64 };
    (bool) => { bool };
    (int32) => { i32 };
    (uint32) => { u32 };
    (int64) => { i64 };
    (uint64) => { u64 };
}

/// The JSON of a scalar.
macro_rules! kind {
    (string) => { $crate::json::Text };
    (bytes) => { $crate::json::Bytes };
    (double) => { $crate::json::Double };
    (bool) => { $crate::json::Bool };
    (int32) => { $crate::json::Integer<i32> };
    (uint32) => { $crate::json::Integer<u32> };
    (int64) => { $crate::json::Integer<i64> };
    (uint64) => { $crate::json::Integer<u64> };
}

/// Writes a field as JSON, if it is to be written.
macro_rules! write_field {
    (defaulted $kind:ty, $map:ident, $self:ident, $field:ident) => {
        let value = $self.$field.unwrap_or_else(|| $self.$field().into());
        $crate::json::write::required::<$kind, S>(
            &mut $map,
            $crate::schema::plain(stringify!($field)),
            &value,
        )?;
    };
    ($label:ident $kind:ty, $map:ident, $self:ident, $field:ident) => {
        $crate::json::write::$label::<$kind, S>(
            &mut $map,
            $crate::schema::plain(stringify!($field)),
            &$self.$field,
        )?;
    };
}

/// Declares an enumeration: the name in Mesos, the name here, the number.
macro_rules! enumeration {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $text:ident $variant:ident = $number:tt;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
        #[repr(i32)]
        pub enum $name {
            $($(#[$doc])* #[doc = concat!("`", stringify!($text), "`.")] $variant = $number,)+
        }

        impl $crate::json::Named for $name {
            const ALL: &'static [Self] = &[$($name::$variant),+];

            fn name(self) -> &'static str {
                match self { $($name::$variant => stringify!($text),)+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter) -> ::std::fmt::Result {
                f.write_str($crate::json::Named::name(*self))
            }
        }
    };
}
