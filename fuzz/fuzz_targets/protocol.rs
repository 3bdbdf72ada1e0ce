//! What a peer may send: however the bytes are cut they mean the same frames, frames and messages of
//! both directions survive being written and read again, and the answer of the bootstrap doesn't
//! change once it is certain.
#![no_main]

use std::fmt::Debug;
use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use provision_protocol::bootstrap::{Answer, answer};
use provision_protocol::frame::read_frame;
use provision_protocol::{Frame, FrameError, FrameReader, FromHost, ToHost};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Gives out a few bytes at a time.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = usize::from(*self.sizes.next().unwrap_or(&1)).max(1);
        let (now, later) = self.bytes.split_at(size.min(self.bytes.len()).min(buffer.len()));
        buffer[..now.len()].copy_from_slice(now);
        self.bytes = later;
        Ok(now.len())
    }
}

fn frames(
    mut next: impl FnMut() -> Result<Option<Frame>, FrameError>,
) -> (Vec<Frame>, Option<String>) {
    let mut frames = Vec::new();
    loop {
        match next() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error.to_string())),
        }
    }
}

fn check_message<T: Serialize + DeserializeOwned + PartialEq + Debug>(payload: &[u8]) {
    let Ok(message) = Frame::parse::<T>(payload) else { return };
    let frame = Frame::message(&message).expect("a message that was read can be written");
    let Frame::Message(written) = frame else { panic!("a message is a message") };
    assert_eq!(Frame::parse::<T>(&written).expect("what we write can be read"), message);
}

fn check_frames(bytes: &[u8], sizes: &[u8]) {
    let mut whole = FrameReader::default();
    whole.push(bytes);
    let (mut at_once, error) = frames(|| whole.next_frame());
    let mut pieces = Pieces { bytes, sizes: sizes.iter().cycle() };
    let mut reader = FrameReader::default();
    let (piecewise, piecewise_error) = frames(|| read_frame(&mut pieces, &mut reader));
    assert_eq!(at_once, piecewise);
    let is_torn = error.is_none() && !whole.is_empty();
    let expected = error.or_else(|| is_torn.then(|| FrameError::Truncated.to_string()));
    assert_eq!(expected, piecewise_error);
    for frame in at_once.drain(..) {
        if let Frame::Message(payload) = &frame {
            check_message::<ToHost>(payload);
            check_message::<FromHost>(payload);
        }
        let mut reader = FrameReader::default();
        reader.push(&frame.encode());
        assert_eq!(reader.next_frame().expect("a frame of ours"), Some(frame));
        assert!(reader.is_empty());
    }
}

fn check_answer(bytes: &[u8], sizes: &[u8]) {
    let whole = answer(bytes);
    let cut = sizes.iter().map(|size| usize::from(*size)).sum::<usize>() % (bytes.len() + 1);
    let part = answer(&bytes[..cut]);
    if matches!(part, Answer::Present { .. } | Answer::Absent { .. }) {
        assert_eq!(part, whole);
    }
    if let Answer::Present { length } | Answer::Absent { length } = whole {
        assert_eq!(answer(&bytes[..length]), whole);
        assert_eq!(bytes[length - 1], b'\n');
    }
}

fuzz_target!(|bytes: &[u8]| {
    // The first bytes say how the rest is cut.
    let (sizes, bytes) = bytes.split_at(bytes.len().min(4));
    check_frames(bytes, sizes);
    check_answer(bytes, sizes);
    // A payload without its frame, so that messages are easy to reach.
    check_message::<ToHost>(bytes);
    check_message::<FromHost>(bytes);
});
