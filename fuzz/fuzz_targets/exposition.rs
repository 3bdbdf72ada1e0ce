//! What an instance says of itself never panics the reader of its load. What is read is the same each
//! time, doesn't depend on the order of lines, and a text of samples that are counts is read as what they
//! add up to.
#![no_main]

use exposition::{Unreadable, read};
use libfuzzer_sys::fuzz_target;
use scheduler_core::app::Metrics;

/// The reader itself: the rest of the scheduler would be built for nothing.
#[path = "../../scheduler/src/exposition.rs"]
#[allow(dead_code, reason = "a part of another crate")]
mod exposition;

fuzz_target!(|text: &str| {
    let named = |name: &str| Some(name.to_owned());
    let metrics = Metrics {
        path: "/metrics".to_owned(),
        port: 0,
        queue: "queue".to_owned(),
        busy: named("busy"),
        arrivals: named("arrivals"),
        rejects: None,
    };
    let found = read(&metrics, text);
    assert_eq!(read(&metrics, text), found);
    if let Err(Unreadable::NoCount { line, .. }) = found {
        assert!((1..=text.lines().count()).contains(&line));
    }
    // One more series of a queue of three, behind whatever was there.
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let longer = format!("{text}{end}queue{{one_more=\"\"}} 3\nbusy 1\n");
    if let (Ok(before), Ok(after)) = (&found, read(&metrics, &longer)) {
        assert!(after.waiting >= before.waiting && after.busy_thousandths >= before.busy_thousandths);
        // Fractions are rounded; beyond that, floats have no ones any more.
        if before.waiting < 1 << 50 {
            assert!((2..=4).contains(&(after.waiting - before.waiting)));
        }
        assert_eq!((after.arrivals, after.rejects), (before.arrivals, before.rejects));
    }
});
