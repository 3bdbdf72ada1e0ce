//! Changes of records as bytes: one line each, packed, with a checksum, in parts that fit into a
//! transaction. Nothing here talks to Consul.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};

/// The largest part in bytes. In base64 it is a third longer, and the rest of a body of 512 KiB is
/// for the head, for checks and for what is deleted.
pub const PART_MOST_BYTES: usize = 352 << 10;

/// The most that an entry may be when it is unpacked: what a core can want stored at once is less.
const UNPACKED_MOST_BYTES: u64 = 1 << 30;

/// A record that is changed: its name, and its JSON, or that it isn't there any more.
pub type Changed = (String, Option<Vec<u8>>);

/// What stands before the bytes of an entry, as one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The term that wrote it.
    pub epoch: u64,
    /// How many records it changes.
    pub records: u64,
    /// Bytes when packed.
    pub bytes: u64,
    /// CRC-32 of the packed bytes.
    pub checksum: u32,
    /// The name of the parts, if they stand elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts_at: Option<String>,
    /// How many parts.
    #[serde(default)]
    pub parts: u32,
}

/// Changes that are ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// What stands before them.
    pub label: Label,
    /// The bytes, each part but the last of the largest size; there is one at least.
    pub parts: Vec<Vec<u8>>,
}

/// Why bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The label can't be read.
    #[error("its label can't be read")]
    Label,
    /// Parts are missing, or of somebody else.
    #[error("its parts are not what its label says")]
    Checksum,
    /// They can't be unpacked.
    #[error("it can't be unpacked: {0}")]
    Packed(String),
    /// It has other lines than it should.
    #[error("it has lines that are no records")]
    Lines,
}

/// Packs changes as they come: of 100,000 records the texts are not in memory together.
#[derive(Debug)]
pub struct Packer {
    encoder: DeflateEncoder<Vec<u8>>,
    records: u64,
}

impl Packer {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        Packer { encoder, records: 0 }
    }

    /// A record is so now, or isn't there any more.
    pub fn add(&mut self, name: &str, value: Option<&[u8]>) {
        // Memory takes everything.
        let _ = self.encoder.write_all(name.as_bytes());
        if let Some(value) = value {
            let _ = self.encoder.write_all(b" ").and_then(|()| self.encoder.write_all(value));
        }
        let _ = self.encoder.write_all(b"\n");
        self.records = self.records.saturating_add(1);
    }

    /// What was added, for a term.
    #[must_use]
    pub fn finish(self, epoch: u64) -> Packed {
        let bytes = self.encoder.finish().unwrap_or_default();
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&bytes);
        let mut parts: Vec<Vec<u8>> = bytes.chunks(PART_MOST_BYTES).map(<[u8]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        let label = Label {
            epoch,
            records: self.records,
            bytes: length(bytes.len()),
            checksum: checksum.finalize(),
            parts_at: None,
            parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
        };
        Packed { label, parts }
    }
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The value of a key that has the label, and the bytes, if they are in no other place.
#[must_use]
pub fn entry(label: &Label, bytes: &[u8]) -> Vec<u8> {
    let mut value = serde_json::to_vec(label).unwrap_or_default();
    value.push(b'\n');
    value.extend_from_slice(bytes);
    value
}

/// The label of an entry, and the bytes behind it.
///
/// # Errors
/// When there is no label.
pub fn read_entry(value: &[u8]) -> Result<(Label, &[u8]), PackError> {
    let end = value.iter().position(|byte| *byte == b'\n').ok_or(PackError::Label)?;
    let (label, rest) = value.split_at(end);
    let label = serde_json::from_slice(label).map_err(|_| PackError::Label)?;
    Ok((label, rest.strip_prefix(b"\n").unwrap_or_default()))
}

/// The changes of an entry from its label and all its bytes.
///
/// # Errors
/// When they aren't those that were packed.
pub fn unpack(label: &Label, bytes: &[u8]) -> Result<Vec<Changed>, PackError> {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(bytes);
    if length(bytes.len()) != label.bytes || checksum.finalize() != label.checksum {
        return Err(PackError::Checksum);
    }
    let mut text = Vec::new();
    let mut decoder = DeflateDecoder::new(bytes).take(UNPACKED_MOST_BYTES);
    decoder.read_to_end(&mut text).map_err(|error| PackError::Packed(error.to_string()))?;
    let mut changes = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").ok_or(PackError::Lines)?;
        let (name, value) = match line.iter().position(|byte| *byte == b' ') {
            Some(blank) => {
                let (name, value) = line.split_at(blank);
                (name, Some(value.strip_prefix(b" ").unwrap_or_default().to_vec()))
            }
            None => (line, None),
        };
        let name = std::str::from_utf8(name).map_err(|_| PackError::Lines)?;
        changes.push((name.to_owned(), value));
    }
    if length(changes.len()) != label.records {
        return Err(PackError::Lines);
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(epoch: u64, changes: &[Changed]) -> Packed {
        let mut packer = Packer::new();
        for (name, value) in changes {
            packer.add(name, value.as_deref());
        }
        packer.finish(epoch)
    }

    fn whole(packed: &Packed) -> Vec<u8> {
        packed.parts.concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_unpacked_is_what_was_packed(
            changes in prop::collection::vec(
                ("[a-z./0-9]{1,20}", prop::option::of("[^\n]{0,80}")),
                0..40,
            ),
            wrong in any::<prop::sample::Index>(),
        ) {
            let changes: Vec<Changed> = changes
                .into_iter()
                .map(|(name, value)| (name, value.map(String::into_bytes)))
                .collect();
            let packed = pack(3, &changes);
            let value = entry(&packed.label, &whole(&packed));
            let (label, bytes) = read_entry(&value).unwrap();
            prop_assert_eq!(&label, &packed.label);
            prop_assert_eq!(unpack(&label, bytes).unwrap(), changes);
            // One bit that differs is seen.
            if !bytes.is_empty() {
                let mut bytes = bytes.to_vec();
                let place = wrong.index(bytes.len());
                bytes[place] ^= 1;
                prop_assert_eq!(unpack(&label, &bytes), Err(PackError::Checksum));
            }
        }
    }

    #[test]
    fn large_ones_come_in_parts() {
        // Bytes that can't be packed: a simple generator by Marsaglia.
        let mut word: u32 = 1;
        let mut text = String::new();
        while text.len() < 2 * PART_MOST_BYTES {
            word ^= word << 13;
            word ^= word >> 17;
            word ^= word << 5;
            text.push_str(&format!("{word:x}"));
        }
        let changes = vec![("app/web".to_owned(), Some(text.into_bytes()))];
        let packed = pack(1, &changes);
        assert!(packed.parts.len() >= 2);
        assert!(packed.parts.iter().all(|part| part.len() <= PART_MOST_BYTES));
        assert_eq!(unpack(&packed.label, &whole(&packed)).unwrap(), changes);
        let short = packed.parts.first().unwrap();
        assert_eq!(unpack(&packed.label, short), Err(PackError::Checksum));
        assert_eq!(read_entry(b"no label"), Err(PackError::Label));
    }
}
