//! Mesos' JSON and protobuf never panic; what was read is the same when it is written and read again,
//! in either encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesos::{Data, DecodeError, Encoding, operator, scheduler};

fn check<M: Data>(encoding: Encoding, bytes: &[u8]) {
    let message: M = match encoding.decode(bytes) {
        Ok(message) => message,
        Err(DecodeError::Missing(paths)) => return assert!(!paths.is_empty()),
        Err(_) => return,
    };
    // Once through JSON: numbers of enumerations that have no name are gone then.
    let json = Encoding::Json.encode(&message);
    let Ok(message) = Encoding::Json.decode::<M>(&json) else {
        // A required one had no name.
        return assert_eq!(encoding, Encoding::Protobuf);
    };
    assert_eq!(Encoding::Json.encode(&message), json);
    let protobuf = Encoding::Protobuf.encode(&message);
    let again: M = Encoding::Protobuf.decode(&protobuf).unwrap();
    assert_eq!(Encoding::Protobuf.encode(&again), protobuf);
    assert_eq!(Encoding::Json.encode(&again), json);
}

fuzz_target!(|bytes: &[u8]| {
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        check::<scheduler::Call>(encoding, bytes);
        check::<scheduler::Event>(encoding, bytes);
        check::<operator::Call>(encoding, bytes);
        check::<operator::Response>(encoding, bytes);
    }
});
