//! Reads traces: one request after another, or all at once.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::io::{BufRead, BufReader, Read};

use crate::csv_lines::CsvLines;
use crate::csv_rows::is_absolute;
use crate::detect::Format;
use crate::error::{Fault, TraceError};
use crate::foreign;
use crate::lines::{self, ReadLine};
use crate::minutes::Minutes;
use crate::packed::Unpacker;
use crate::row::{Options, Order, Request, Trace};

/// A longer line is no line of a trace.
const LINE_BYTES: usize = 1 << 20;
const BUFFER_BYTES: usize = 1 << 16;

/// Requests of a trace, one after another. Names and counts of what was left out gather in
/// [`Stream::trace`], whose list of requests stays empty.
pub struct Stream<R> {
    rows: Rows<R>,
    /// Names so far, and what was left out.
    pub trace: Trace,
    sorting: Sorting,
    /// What is taken off each arrival: the first one, unless it is a time since the beginning.
    base_ns: Option<u64>,
    is_ours: bool,
    last_ns: u64,
}

enum Rows<R> {
    Csv(Box<CsvLines<R>>),
    Packed(Unpacker<R>),
    Lines(Lines<R>),
    Minutes(Box<Minutes>),
}

/// What happens to rows out of order.
enum Sorting {
    /// They are refused.
    Refuse,
    /// They are given out as they come.
    Leave,
    /// They are put right as far as the buffer reaches.
    Buffer(Buffer),
}

/// Rows are put right if they are no more than so many too late: 40 MB.
const BUFFER_ROWS: usize = 1 << 19;

/// The rows that come next, the first one on top.
#[derive(Default)]
struct Buffer {
    rows: BinaryHeap<Reverse<Waiting>>,
    count: u64,
    has_all: bool,
}

/// A row by its time; those of the same time keep their order.
#[derive(PartialEq, Eq)]
struct Waiting {
    number: u64,
    request: Request,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |waiting: &Waiting| (waiting.request.arrival_ns, waiting.number);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One request a line.
struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    number: u64,
    read_line: ReadLine,
}

impl<R: Read> Stream<R> {
    /// Opens a trace of any format, for reading with memory that doesn't grow with it. What foreign
    /// formats write a little out of order is put right; [`Order::Sort`] does that to our own.
    ///
    /// # Errors
    /// When it isn't one of its format.
    pub fn open(format: Format, input: R, options: &Options) -> Result<Self, TraceError> {
        let is_ours = matches!(format, Format::Csv | Format::Packed);
        let mut stream = Self::rows(format, input, options)?;
        if !is_ours || options.order == Order::Sort {
            stream.sorting = Sorting::Buffer(Buffer::default());
        }
        Ok(stream)
    }

    /// A trace of any format; what isn't refused out of order stays so.
    fn rows(format: Format, input: R, options: &Options) -> Result<Self, TraceError> {
        let read_line = match format {
            Format::Packed => return Self::packed(input, options),
            Format::Csv => return Self::csv(input, options),
            Format::AzureFunctions2021 | Format::AzureLlm | Format::AlibabaGenAi => {
                let columns = foreign::columns(format);
                // These are written when a request ends, or by several writers.
                let options = Options { columns, order: Order::Sort, ..Options::default() };
                return Ok(Stream { is_ours: false, ..Self::csv(input, &options)? });
            }
            Format::AzureFunctions2019 => {
                let minutes = Rows::Minutes(Box::new(Minutes::new(input, options)?));
                return Ok(Stream { is_ours: false, ..Self::new(minutes, true) });
            }
            Format::Swf => lines::swf,
            Format::AccessLog => lines::access,
            Format::Swim => lines::swim,
        };
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        let lines = Rows::Lines(Lines { input, line: Vec::new(), number: 0, read_line });
        Ok(Stream { is_ours: false, ..Self::new(lines, true) })
    }

    /// A trace with a header and columns.
    ///
    /// # Errors
    /// When the header isn't one.
    pub fn csv(input: R, options: &Options) -> Result<Self, TraceError> {
        let mut lines = CsvLines::new(input, &options.columns, true)?;
        let any_order = lines.is_by_end() || options.order == Order::Sort;
        if any_order {
            lines.leave_order();
        }
        Ok(Self::new(Rows::Csv(Box::new(lines)), any_order))
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
        let sorting = if any_order { Sorting::Leave } else { Sorting::Refuse };
        let trace = Trace::default();
        Stream { rows, trace, sorting, base_ns: None, is_ours: true, last_ns: 0 }
    }

    /// The next request; `None` at the end.
    ///
    /// # Errors
    /// When a row isn't one, or is earlier than the one before.
    #[inline]
    pub fn next_request(&mut self) -> Result<Option<Request>, TraceError> {
        let request = match self.sorting {
            Sorting::Leave => return self.next_row(),
            Sorting::Refuse => self.next_row()?,
            Sorting::Buffer(_) => self.next_of_buffer()?,
        };
        let Some(mut request) = request else { return Ok(None) };
        let now_ns = request.arrival_ns;
        if now_ns < self.last_ns {
            return Err(self.unsorted(now_ns));
        }
        self.last_ns = now_ns;
        let is_since_begin = self.is_ours && !is_absolute(now_ns);
        let base_ns = *self.base_ns.get_or_insert(if is_since_begin { 0 } else { now_ns });
        request.arrival_ns -= base_ns;
        Ok(Some(request))
    }

    #[inline]
    fn next_row(&mut self) -> Result<Option<Request>, TraceError> {
        match &mut self.rows {
            Rows::Packed(unpacker) => unpacker.next(&mut self.trace),
            Rows::Csv(lines) => lines.next(&mut self.trace),
            Rows::Lines(lines) => lines.next(&mut self.trace),
            Rows::Minutes(minutes) => Ok(minutes.next(&mut self.trace)),
        }
    }

    fn next_of_buffer(&mut self) -> Result<Option<Request>, TraceError> {
        loop {
            let Sorting::Buffer(buffer) = &self.sorting else { return Ok(None) };
            if buffer.has_all || buffer.rows.len() >= BUFFER_ROWS {
                break;
            }
            let next = self.next_row()?;
            if let Some(late) = next.filter(|request| request.arrival_ns < self.last_ns) {
                return Err(self.unsorted(late.arrival_ns));
            }
            let Sorting::Buffer(buffer) = &mut self.sorting else { return Ok(None) };
            match next {
                Some(request) => {
                    buffer.rows.push(Reverse(Waiting { number: buffer.count, request }));
                    buffer.count += 1;
                }
                None => buffer.has_all = true,
            }
        }
        let Sorting::Buffer(buffer) = &mut self.sorting else { return Ok(None) };
        Ok(buffer.rows.pop().map(|Reverse(waiting)| waiting.request))
    }

    #[cold]
    fn unsorted(&self, now_ns: u64) -> TraceError {
        let fault = Fault::Unsorted { before_ns: self.last_ns, now_ns };
        match &self.rows {
            Rows::Lines(lines) => TraceError::whole(fault, lines.number, lines.line.trim_ascii()),
            // A CSV that must be in order has told its row before.
            Rows::Csv(_) | Rows::Packed(_) | Rows::Minutes(_) => TraceError::nowhere(fault),
        }
    }
}

/// Reads a whole trace.
///
/// # Errors
/// When a row isn't one of the format, rows are out of order and may not be, or there is no
/// request.
pub fn read<R: Read>(format: Format, input: R, options: &Options) -> Result<Trace, TraceError> {
    let mut trace = drain(Stream::rows(format, input, options)?)?;
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

impl<R: Read> Lines<R> {
    fn next(&mut self, trace: &mut Trace) -> Result<Option<Request>, TraceError> {
        loop {
            self.line.clear();
            self.number += 1;
            let limit = u64::try_from(LINE_BYTES).unwrap_or(u64::MAX);
            let mut limited = Read::by_ref(&mut self.input).take(limit);
            if limited.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            if self.line.len() >= LINE_BYTES {
                let expected = "expected less than a mebibyte";
                let fault = Fault::BadLine { expected };
                return Err(TraceError::whole(fault, self.number, &self.line));
            }
            let text = self.line.trim_ascii();
            if text.is_empty() {
                trace.left_out.comments += 1;
            } else {
                let read = (self.read_line)(text, self.number, trace);
                let request = match read {
                    Ok(request) => request,
                    Err(error) => {
                        return Err(error.last_if(self.input.fill_buf()?.is_empty()));
                    }
                };
                if request.is_some() {
                    return Ok(request);
                }
            }
        }
    }
}
