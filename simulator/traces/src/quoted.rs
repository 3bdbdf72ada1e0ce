//! CSV by the crate `csv`, which knows quotes.
//!
//! It takes the end of a file for the end of a field in quotes, too. Here that is a fault: the file was
//! cut off, or a quote too much has swallowed the rows behind it. So a row of our own is read behind
//! the file. It comes as a row, unless the file ends within quotes: then it is a part of the last
//! field.

use std::io::{self, Read};

use csv::ByteRecord;

use crate::error::{Fault, TraceError};
use crate::fields::{Fields, Quoted};

/// What is read behind the file.
const END: &[u8] = b"\n\0the file ends\0\n";

/// Rows of a file, or of what is left of it.
pub(crate) struct QuotedRows<R> {
    reader: csv::Reader<io::Chain<R, &'static [u8]>>,
    row: ByteRecord,
    /// Lines before the reader began.
    before: u64,
}

impl<R: Read> QuotedRows<R> {
    /// The rows of `input`, before which so many lines were read.
    pub(crate) fn new(input: R, before: u64) -> Self {
        let mut builder = csv::ReaderBuilder::new();
        let reader = builder.has_headers(false).flexible(true).from_reader(input.chain(END));
        QuotedRows { reader, row: ByteRecord::new(), before }
    }

    /// The next row; none at the end.
    ///
    /// # Errors
    /// The file can't be read, or ends within quotes.
    pub(crate) fn next(&mut self) -> Result<Option<Quoted<'_>>, TraceError> {
        let is_one = self.reader.read_byte_record(&mut self.row).map_err(|error| {
            match error.into_kind() {
                csv::ErrorKind::Io(error) => TraceError::from(error),
                // With flexible rows of bytes there is no other one.
                other => io::Error::other(format!("{other:?}")).into(),
            }
        })?;
        let row = Quoted { record: &self.row, before: self.before };
        let last = row.count().saturating_sub(1);
        if !is_one || (last == 0 && row.get(0) == END.trim_ascii()) {
            return Ok(None);
        }
        if row.get(last).ends_with(END) { Err(unclosed(&row, last)) } else { Ok(Some(row)) }
    }
}

/// The fault of a row whose last field has swallowed the end: its first line is shown.
fn unclosed(row: &Quoted<'_>, last: usize) -> TraceError {
    let begin: usize = (0..last).map(|index| row.get(index).len() + 1).sum();
    let first_line = row.get(last).iter().take_while(|byte| **byte != b'\n').count();
    let mut text = row.text();
    text.truncate(begin + first_line);
    TraceError::new(Fault::UnclosedQuote, row.line(), &text, begin..begin + first_line)
}
