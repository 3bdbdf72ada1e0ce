//! The first reading of a trace: all of it is checked and counted before anything is run.

use std::path::Path;

use policy::Nanoseconds;
use simulator_traces::{Fault, Format, Trace, TraceError};

use super::given::Window;
use super::mapping;
use crate::exit::Exit;
use crate::opened::{TraceArguments, refuse};
use crate::paint;

/// What the first reading found.
#[derive(Debug, Default)]
pub struct Scan {
    /// Requests in the window.
    pub requests: u64,
    /// When the last of them arrives.
    pub last_ns: u64,
    /// Of each command of the trace: requests, and the sum of the service times that are known.
    pub commands: Vec<CommandScan>,
    /// Which classes requests have, as bits of `class_bit`.
    pub classes: u8,
    /// Requests that name no entry of a workload.
    pub unnamed: u64,
    /// The highest entry of a workload that any request is from.
    pub highest_source: Option<u16>,
}

/// See [`Scan::commands`].
#[derive(Debug, Default, Clone, Copy)]
pub struct CommandScan {
    pub requests: u64,
    pub timed: u64,
    pub service_ns: u128,
}

/// Reads the trace to its end, or to that of the window.
pub fn scan(trace: &TraceArguments, format: Format, window: Window) -> Result<(Scan, Trace), Exit> {
    let path: &Path = &trace.trace;
    let mut stream = trace.stream(format)?;
    let mut scan = Scan::default();
    let mut seen: Option<(u64, u64)> = None;
    while let Some(request) = stream.next_request().map_err(|error| refuse(path, &error))? {
        let first_ns = seen.map_or(request.arrival_ns, |(first_ns, _)| first_ns);
        seen = Some((first_ns, request.arrival_ns));
        if !window.contains(request.arrival_ns) {
            if request.arrival_ns >= window.from.0 {
                break;
            }
            continue;
        }
        scan.classes |= mapping::class_bit(&request);
        scan.requests += 1;
        scan.last_ns = request.arrival_ns;
        scan.unnamed += u64::from(request.source.is_none());
        scan.highest_source = scan.highest_source.max(request.source);
        let place = usize::try_from(request.command.0).unwrap_or(usize::MAX);
        if scan.commands.len() <= place {
            scan.commands.resize(place.saturating_add(1), CommandScan::default());
        }
        if let Some(command) = scan.commands.get_mut(place) {
            command.requests += 1;
            command.timed += u64::from(request.service_ns.is_some());
            command.service_ns += u128::from(request.service_ns.unwrap_or(0));
        }
    }
    if scan.requests == 0 {
        let Some((first_ns, last_ns)) = seen else {
            let empty = TraceError::from(Fault::Empty);
            return Err(refuse(path, &empty));
        };
        paint::error(&format!("no request of {} arrives in the window", path.display()));
        let (first, last) = (Nanoseconds(first_ns), Nanoseconds(last_ns));
        if last_ns < window.from.0 {
            tell!("hint: its requests arrive from {first} to {last}");
        } else {
            tell!(
                "hint: its first request arrives at {first}, the next one after the window at {last}"
            );
        }
        return Err(Exit::InvalidInput);
    }
    Ok((scan, stream.trace))
}
