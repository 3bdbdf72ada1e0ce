//! Reads traces: one request after another, or all at once.

use std::io::{BufRead, Read};

use csv::ByteRecord;

use crate::csv_rows::{self, Layout, is_absolute};
use crate::detect::Format;
use crate::error::{Fault, TraceError};
use crate::foreign;
use crate::lines::{self, ReadLine};
use crate::packed::Unpacker;
use crate::row::{Options, Order, Request, Trace};

/// A longer line is no line of a trace.
const LINE_BYTES: usize = 1 << 20;

/// Requests of one of our own formats, one after another. Names and counts of what was left out
/// gather in [`Stream::trace`], whose list of requests stays empty.
pub struct Stream<R> {
    rows: Rows<R>,
    /// Names so far, and what was left out.
    pub trace: Trace,
    /// What is taken off each arrival: the first one, if it is a time of the calendar.
    base_ns: Option<u64>,
    last_ns: u64,
    /// Whether a row may be earlier than the one before.
    any_order: bool,
}

enum Rows<R> {
    Csv { reader: Box<csv::Reader<R>>, layout: Layout, row: ByteRecord },
    Packed(Unpacker<R>),
}

impl<R: Read> Stream<R> {
    /// A trace with a header and columns.
    ///
    /// # Errors
    /// When the header isn't one.
    pub fn csv(input: R, options: &Options) -> Result<Self, TraceError> {
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
        let mut row = ByteRecord::new();
        if !next_row(&mut reader, &mut row)? {
            return Err(TraceError::nowhere(Fault::Empty));
        }
        let layout = Layout::new(&row, &options.columns)?;
        let any_order = layout.is_by_end() || options.order == Order::Sort;
        Ok(Self::new(Rows::Csv { reader: Box::new(reader), layout, row }, any_order))
    }

    /// A packed trace.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn packed(input: R, options: &Options) -> Result<Self, TraceError> {
        let rows = Rows::Packed(Unpacker::new(input)?);
        Ok(Self::new(rows, options.order == Order::Sort))
    }

    fn new(rows: Rows<R>, any_order: bool) -> Self {
        Stream { rows, trace: Trace::default(), base_ns: None, last_ns: 0, any_order }
    }

    /// The next request; `None` at the end.
    ///
    /// # Errors
    /// When a row isn't one, or is earlier than the one before.
    pub fn next_request(&mut self) -> Result<Option<Request>, TraceError> {
        let request = match &mut self.rows {
            Rows::Packed(unpacker) => unpacker.next(&mut self.trace)?,
            Rows::Csv { reader, layout, row } => loop {
                if !next_row(reader, row)? {
                    break None;
                }
                if let Some(request) = layout.request(row, &mut self.trace)? {
                    break Some(request);
                }
            },
        };
        let Some(mut request) = request else { return Ok(None) };
        if self.any_order {
            return Ok(Some(request));
        }
        let now_ns = request.arrival_ns;
        if now_ns < self.last_ns {
            return Err(self.unsorted(now_ns));
        }
        self.last_ns = now_ns;
        let base_ns = *self.base_ns.get_or_insert(if is_absolute(now_ns) { now_ns } else { 0 });
        request.arrival_ns -= base_ns;
        Ok(Some(request))
    }

    fn unsorted(&self, now_ns: u64) -> TraceError {
        let fault = Fault::Unsorted { before_ns: self.last_ns, now_ns };
        match &self.rows {
            Rows::Csv { row, .. } => {
                TraceError::whole(fault, csv_rows::line_of(row), &csv_rows::text_of(row))
            }
            Rows::Packed(_) => TraceError::nowhere(fault),
        }
    }
}

/// Reads a whole trace.
///
/// # Errors
/// When a row isn't one of the format, rows are out of order and may not be, or there is no
/// request.
pub fn read<R: BufRead>(format: Format, input: R, options: &Options) -> Result<Trace, TraceError> {
    let mut trace = match format {
        Format::Packed => drain(Stream::packed(input, options)?)?,
        Format::Csv => drain(Stream::csv(input, options)?)?,
        Format::AzureFunctions2021 | Format::AzureLlm | Format::AlibabaGenAi => {
            let columns = foreign::columns(format);
            // These are written when a request ends, or by several writers.
            let options = Options { columns, order: Order::Sort, ..Options::default() };
            drain(Stream::csv(input, &options)?)?
        }
        Format::AzureFunctions2019 => counts(input, options)?,
        Format::Swf => by_line(input, lines::swf)?,
        Format::AccessLog => by_line(input, lines::access)?,
        Format::Swim => by_line(input, lines::swim)?,
    };
    if trace.requests.is_empty() {
        return Err(TraceError::nowhere(Fault::Empty));
    }
    let is_ours = matches!(format, Format::Csv | Format::Packed);
    let first_ns = trace.requests.iter().map(|request| request.arrival_ns).min().unwrap_or(0);
    if !is_ours || is_absolute(first_ns) {
        trace.settle();
    } else {
        trace.requests.sort_by_key(|request| request.arrival_ns);
    }
    Ok(trace)
}

fn drain<R: Read>(mut stream: Stream<R>) -> Result<Trace, TraceError> {
    let mut requests = Vec::new();
    while let Some(request) = stream.next_request()? {
        requests.push(request);
    }
    Ok(Trace { requests, ..stream.trace })
}

fn counts<R: Read>(input: R, options: &Options) -> Result<Trace, TraceError> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
    let (mut header, mut row) = (ByteRecord::new(), ByteRecord::new());
    next_row(&mut reader, &mut header)?;
    let mut trace = Trace::default();
    while next_row(&mut reader, &mut row)? {
        if row.len() != header.len() {
            let fault = Fault::FieldCount { expected: header.len(), found: row.len() };
            let (line, text) = (csv_rows::line_of(&row), csv_rows::text_of(&row));
            return Err(TraceError::whole(fault, line, &text));
        }
        foreign::minutes(&row, options, &mut trace)?;
    }
    Ok(trace)
}

fn by_line<R: BufRead>(mut input: R, read_line: ReadLine) -> Result<Trace, TraceError> {
    let mut trace = Trace::default();
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        let limit = u64::try_from(LINE_BYTES).unwrap_or(u64::MAX);
        if Read::by_ref(&mut input).take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(trace);
        }
        if line.len() >= LINE_BYTES {
            let expected = "a line of less than a mebibyte";
            return Err(TraceError::whole(Fault::BadLine { expected }, number, &line));
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            trace.left_out.comments += 1;
        } else {
            read_line(text, number, &mut trace)?;
        }
    }
}

/// Reads a row; false at the end.
fn next_row<R: Read>(
    reader: &mut csv::Reader<R>,
    row: &mut ByteRecord,
) -> Result<bool, TraceError> {
    reader.read_byte_record(row).map_err(|error| match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        // With flexible rows of bytes there is no other one.
        other => std::io::Error::other(format!("{other:?}")).into(),
    })
}
