//! Azure Functions 2019: counts of calls per minute and function. The counts are kept, calls are made
//! of them a minute at a time.

use std::io::Read;

use crate::error::{Fault, TraceError};
use crate::fields::{Fields, Quoted};
use crate::names::{Name, Names};
use crate::number;
use crate::quoted::QuotedRows;
use crate::row::{Options, Request, Trace};

const MINUTE_NS: u64 = 60_000_000_000;
/// Owner, app, function and trigger stand before the minutes.
const NAME_FIELDS: usize = 4;

/// Where in its minute a call comes, as a random word for a number.
type Scatter = fn(u64) -> u64;

/// The counts of all functions.
pub(crate) struct Minutes {
    functions: Vec<Function>,
    names: Option<(Names, Names)>,
    scatter: Option<Scatter>,
    minute: u64,
    last: u64,
    /// Calls of the minute, the next one last.
    calls: Vec<Request>,
}

struct Function {
    command: Name,
    tenant: Option<Name>,
    counts: Vec<u64>,
    /// Calls so far.
    number: u64,
}

impl Minutes {
    pub(crate) fn new<R: Read>(input: R, options: &Options) -> Result<Self, TraceError> {
        let mut rows = QuotedRows::new(input, 0);
        let header = rows.next()?.map_or(0, |header| header.count());
        let (mut commands, mut tenants) = (Names::default(), Names::default());
        let (mut functions, mut calls) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            if row.count() != header {
                return Err(row.whole(Fault::FieldCount { expected: header, found: row.count() }));
            }
            let text = |index: usize| String::from_utf8_lossy(row.get(index));
            let tenant = tenants.number(&text(0));
            let Some(command) = commands.number(&text(2)) else {
                return Err(row.at(2, Fault::TooManyNames));
            };
            let counts = counts(row, &mut calls, options.most_calls)?;
            functions.push(Function { command, tenant, counts, number: 0 });
        }
        let last = header.saturating_sub(NAME_FIELDS);
        Ok(Minutes {
            functions,
            names: Some((commands, tenants)),
            scatter: options.scatter,
            minute: 0,
            last: u64::try_from(last).unwrap_or(u64::MAX),
            calls: Vec::new(),
        })
    }

    pub(crate) fn next(&mut self, trace: &mut Trace) -> Option<Request> {
        if let Some((commands, tenants)) = self.names.take() {
            (trace.commands, trace.tenants) = (commands, tenants);
        }
        while self.calls.is_empty() {
            if self.minute == self.last {
                return None;
            }
            let minute = self.minute;
            self.minute += 1;
            for function in &mut self.functions {
                function.call(minute, self.scatter, &mut self.calls);
            }
            // Stable: those of one instant keep the order of the file.
            self.calls.sort_by_key(|call| call.arrival_ns);
            self.calls.reverse();
        }
        self.calls.pop()
    }
}

impl Function {
    /// The calls of a minute.
    fn call(&mut self, minute: u64, scatter: Option<Scatter>, calls: &mut Vec<Request>) {
        let place = usize::try_from(minute).unwrap_or(usize::MAX);
        let count = self.counts.get(place).copied().unwrap_or(0);
        for call in 0..count {
            let within_ns = match scatter {
                // The upper bits of the word, as a share of the minute.
                Some(word) => {
                    let share = u128::from(word(key(self.command.0, minute, self.number)));
                    u64::try_from((share * u128::from(MINUTE_NS)) >> 64).unwrap_or(0)
                }
                None => MINUTE_NS / count * call,
            };
            self.number += 1;
            calls.push(Request {
                arrival_ns: minute * MINUTE_NS + within_ns,
                command: self.command,
                tenant: self.tenant,
                class: None,
                service_ns: None,
                size_bytes: None,
                source: None,
                gateway: None,
            });
        }
    }
}

fn counts(row: Quoted<'_>, calls: &mut u64, most_calls: u64) -> Result<Vec<u64>, TraceError> {
    let count = |index| {
        let expected = "expected a whole number of calls";
        let fault = Fault::BadField { what: "count", expected };
        let count = number::whole(row.get(index)).ok_or_else(|| row.at(index, fault))?;
        *calls = calls.saturating_add(count);
        if *calls > most_calls {
            let expected = "expected no more calls in all than the limit; a day is better told as a profile of rates";
            return Err(row.at(index, Fault::BadField { what: "count for a trace", expected }));
        }
        Ok(count)
    };
    (NAME_FIELDS..row.count()).map(count).collect()
}

/// A number for one call, different from those of others.
fn key(command: u32, minute: u64, number: u64) -> u64 {
    (u64::from(command) << 44) ^ (minute << 32) ^ number
}
