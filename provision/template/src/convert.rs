//! Conversions of numbers that refuse instead of wrapping.

use crate::error::{Outcome, TemplateError};

/// A floating point number without its fraction.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
pub(crate) fn integer_of(number: f64) -> Outcome<i128> {
    if number.is_nan() {
        return Err(TemplateError::failed("cannot convert float NaN to integer"));
    }
    if number.is_infinite() {
        return Err(TemplateError::failed("cannot convert float infinity to integer"));
    }
    if number.abs() > 1e38 {
        return Err(TemplateError::failed("the number is too large (128 bits at most)"));
    }
    Ok(number.trunc() as i128)
}

/// A length as a signed number.
pub(crate) fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// A 32 bit offset; longer texts are beyond every limit here.
pub(crate) fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
