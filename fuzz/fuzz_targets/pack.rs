//! Whatever stands in a key of Consul, its entry never panics the reader; what can be unpacked is the
//! same when it is packed and unpacked again. The checksum is made to fit half of the time, so that what
//! is behind it is reached, too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pack::{Label, Packer, entry, read_entry, unpack};

/// The reader itself: Consul's client would be built for nothing.
#[path = "../../scheduler/store/src/cluster/pack.rs"]
#[allow(dead_code, reason = "a part of another crate")]
mod pack;

fuzz_target!(|value: &[u8]| {
    let Ok((label, bytes)) = read_entry(value) else { return };
    let _ = unpack(&label, bytes);
    assert_eq!(read_entry(&entry(&label, bytes)), Ok((label.clone(), bytes)));
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(bytes);
    let fits = Label { bytes: bytes.len() as u64, checksum: checksum.finalize(), ..label };
    let Ok(changes) = unpack(&fits, bytes) else { return };
    assert_eq!(changes.len() as u64, fits.records);
    let mut packer = Packer::new();
    changes.iter().for_each(|(name, value)| packer.add(name, value.as_deref()));
    let again = packer.finish(fits.epoch);
    assert_eq!(unpack(&again.label, &again.parts.concat()), Ok(changes));
});
