//! Foreign formats with commas: most are our own reader with other names of columns.

use csv::ByteRecord;

use crate::csv_rows::{Column, Role, Unit, at};
use crate::detect::Format;
use crate::error::{Fault, TraceError};
use crate::number;
use crate::row::{Options, Request, Trace};

const MINUTE_NS: u64 = 60_000_000_000;
/// Owner, app, function and trigger stand before the minutes.
const NAME_FIELDS: usize = 4;

/// What the columns of a format mean; empty if it isn't one of these.
pub(crate) fn columns(format: Format) -> Vec<Column> {
    let ignore = |name: &&str| Column::new(name, Role::Ignore, Unit::Text);
    match format {
        Format::AzureFunctions2021 => vec![
            Column::new("app", Role::Tenant, Unit::Text),
            Column::new("func", Role::Command, Unit::Text),
            Column::new("end_timestamp", Role::End, Unit::Seconds),
            Column::new("duration", Role::Service, Unit::Seconds),
        ],
        Format::AzureLlm => {
            let mut columns = vec![Column::new("TIMESTAMP", Role::Arrival, Unit::Timestamp)];
            columns.extend(["ContextTokens", "GeneratedTokens"].iter().map(ignore));
            columns
        }
        Format::AlibabaGenAi => {
            let mut columns = vec![
                Column::new("gmt_create", Role::Arrival, Unit::Timestamp),
                Column::new("predict_type", Role::Command, Unit::Text),
                Column::new("predict_status", Role::Succeeded("SUCCEED"), Unit::Text),
                Column::new("exec_time_seconds", Role::Service, Unit::Seconds),
                Column::new("groupId", Role::Tenant, Unit::Text),
            ];
            let others = [
                "prompt_length",
                "negative_prompt_length",
                "num_images_per_prompt",
                "num_inference_steps",
                "checkpoint_model_version_id",
                "num_lora",
            ];
            columns.extend(others.iter().map(ignore));
            columns
        }
        Format::Csv
        | Format::Packed
        | Format::AzureFunctions2019
        | Format::Swf
        | Format::AccessLog
        | Format::Swim => Vec::new(),
    }
}

/// A row of calls per minute becomes that many requests in each minute.
pub(crate) fn minutes(
    row: &ByteRecord,
    options: &Options,
    trace: &mut Trace,
) -> Result<(), TraceError> {
    let text = |index: usize| String::from_utf8_lossy(row.get(index).unwrap_or_default());
    let command = trace.commands.number(&text(2));
    let tenant = trace.tenants.number(&text(0));
    let Some(command) = command else { return Err(at(row, 2, Fault::TooManyNames)) };
    let mut number: u64 = 0;
    for (index, field) in row.iter().enumerate().skip(NAME_FIELDS) {
        let bad = || {
            let expected = "a whole number of calls";
            at(row, index, Fault::BadField { what: "count", expected })
        };
        let count = number::whole(field).ok_or_else(bad)?;
        let so_far = u64::try_from(trace.requests.len()).unwrap_or(u64::MAX);
        if so_far.saturating_add(count) > options.most_calls {
            let expected =
                "no more calls in all than the limit; a day is better told as a profile of rates";
            return Err(at(row, index, Fault::BadField { what: "count for a trace", expected }));
        }
        let minute = u64::try_from(index - NAME_FIELDS).map_err(|_| bad())?;
        for call in 0..count {
            let within_ns = match options.scatter {
                // The upper bits of the word, as a share of the minute.
                Some(word) => {
                    let share = u128::from(word(key(command.0, minute, number)));
                    u64::try_from((share * u128::from(MINUTE_NS)) >> 64).unwrap_or(0)
                }
                None => MINUTE_NS / count * call,
            };
            number += 1;
            trace.requests.push(Request {
                arrival_ns: minute * MINUTE_NS + within_ns,
                command,
                tenant,
                class: None,
                service_ns: None,
                size_bytes: None,
            });
        }
    }
    Ok(())
}

/// A number for one call, different from those of others.
fn key(command: u32, minute: u64, number: u64) -> u64 {
    (u64::from(command) << 44) ^ (minute << 32) ^ number
}
