//! Records of a stream never panic; how the stream is cut doesn't matter; what is framed again is the
//! stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesos::recordio::{Decoder, RecordError, frame};

/// Longest record that the target takes, in bytes.
const LIMIT_BYTES: usize = 1000;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<RecordError>) {
    let mut decoder = Decoder::new(LIMIT_BYTES);
    let mut records = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_record() {
                Ok(Some(record)) => records.push(record.to_vec()),
                Ok(None) => break,
                Err(error) => return (records, Some(error)),
            }
        }
    }
    let end = decoder.finish().err();
    (records, end)
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(std::iter::once(bytes));
    assert_eq!(read(bytes.chunks(1)), whole);
    assert_eq!(read(bytes.chunks(7)), whole);
    let (records, _) = whole;
    let framed: Vec<u8> = records.iter().flat_map(|record| frame(record)).collect();
    let (again, error) = read(framed.chunks(3));
    assert_eq!((again, error), (records, None));
});
