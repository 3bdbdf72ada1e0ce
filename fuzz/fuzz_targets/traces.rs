//! Request traces of all formats: never a panic, rows in order of time, places of errors inside the
//! line, and a packed trace that is read as it was.
#![no_main]

use std::io::Cursor;

use diagnostics::{Sources, Style, render};
use libfuzzer_sys::fuzz_target;
use simulator_traces::{Format, Options, Order, Packer, Trace, detect, read};

fuzz_target!(|bytes: &[u8]| {
    let options = Options { order: Order::Sort, most_calls: 10_000, ..Options::default() };
    let detected = detect(bytes);
    for format in Format::ALL.into_iter().filter(|format| detected.is_none_or(|one| one == *format))
    {
        match read(format, Cursor::new(bytes), &options) {
            Ok(trace) => {
                assert!(trace.requests.is_sorted_by_key(|request| request.arrival_ns));
                again(&trace);
            }
            Err(error) => {
                let mut sources = Sources::default();
                let diagnostic = error.diagnostic("trace", &mut sources);
                let _ = render(&diagnostic, &sources, Style::Plain);
            }
        }
    }
});

fn again(trace: &Trace) {
    // A name may be longer than the packed format has room for.
    let mut packer = Packer::new(Vec::new()).expect("memory takes all");
    for request in &trace.requests {
        if packer.push(request, &trace.commands, &trace.tenants).is_err() {
            return;
        }
    }
    let Ok(packed) = packer.finish(&trace.commands, &trace.tenants) else { return };
    let options = Options::default();
    let read = read(Format::Packed, Cursor::new(packed), &options).expect("it was just packed");
    assert_eq!(read.requests.len(), trace.requests.len());
}
