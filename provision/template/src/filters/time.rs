//! Dates.

use minijinja::Value;

use super::builtin::text_float;
use super::{FilterEntry, impure, pure};
use crate::convert::integer_of;
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::time::Moment;
use crate::value::{View, text_of, view};

pub(super) const FILTERS: &[FilterEntry] =
    &[impure("strftime", strftime), pure("to_datetime", to_datetime)];

fn to_datetime(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let format = call.text(0, "format").unwrap_or_else(|| "%Y-%m-%d %H:%M:%S".into());
    Moment::parse(&call.input_text(), &format).map(Value::from_object)
}

fn strftime(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let format = call.input_text();
    let second = call.arg(0, "second").filter(|second| !second.is_none());
    let utc = call.flag(1, "utc", false);
    let unavailable = |error| Run::outside_error(error, "strftime");
    let moment = match second {
        None => Moment::from_clock(run.outside.now().map_err(unavailable)?, utc)?,
        Some(second) => {
            let invalid = || {
                TemplateError::failed(format!(
                    "Invalid value for epoch value ({})",
                    text_of(&second)
                ))
            };
            let seconds = match view(&second) {
                View::Int(number) => i64::try_from(number).map_err(|_| invalid())?,
                View::Float(number) => {
                    i64::try_from(integer_of(number.floor())?).map_err(|_| invalid())?
                }
                View::Text(text) => {
                    let number = text_float(text).ok_or_else(invalid)?;
                    i64::try_from(integer_of(number.floor())?).map_err(|_| invalid())?
                }
                _ => return Err(invalid()),
            };
            let offset = match (utc, run.outside.now()) {
                (false, Ok(now)) => now.offset_seconds,
                _ => 0,
            };
            Moment::from_unix(seconds, offset)?
        }
    };
    moment.format(&format).map(Value::from)
}
