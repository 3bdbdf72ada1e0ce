//! CSV in two ways. Files without quotes are cut at commas and line ends, a batch of rows at a time;
//! from the first line with a quote (or a lone carriage return) on, the crate `csv` reads, which is
//! what the quick way is held against in tests.

use std::io::{self, Cursor, Read};

use crate::csv_rows::{Column, Layout};
use crate::detect::BYTE_ORDER_MARK;
use crate::error::{Fault, TraceError};
use crate::fields::{Fields, Plain};
use crate::quoted::QuotedRows;
use crate::row::{Request, Trace};

/// As much as is read at a time: it and its requests stay in the first cache.
const BUFFER_BYTES: usize = 1 << 14;
/// Longer lines are left to the crate `csv`.
const LINE_BYTES: usize = 1 << 20;

/// Requests of a CSV.
pub(crate) struct CsvLines<R> {
    layout: Layout,
    refuses_unsorted: bool,
    last_ns: u64,
    way: Way<R>,
    batch: Batch,
}

enum Way<R> {
    Quick(Buffered<R>),
    Slow(Box<QuotedRows<Rest<R>>>),
    Ended,
}

/// What is left of a file: bytes that were read, and the others.
type Rest<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// Rows that were read ahead.
#[derive(Default)]
struct Batch {
    requests: Vec<Request>,
    given: usize,
    /// What is wrong with the row behind them.
    failed: Option<TraceError>,
    commas: Vec<usize>,
}

/// A file and the part of it that is in memory.
struct Buffered<R> {
    input: R,
    bytes: Vec<u8>,
    /// The part that wasn't used so far.
    begin: usize,
    end: usize,
    /// The number of the last line that was used.
    line: u64,
    has_all: bool,
}

impl<R: Read> CsvLines<R> {
    /// Reads the header.
    pub(crate) fn new(
        input: R,
        columns: &[Column],
        refuses_unsorted: bool,
    ) -> Result<Self, TraceError> {
        let mut buffered = Buffered::new(input);
        let mut commas = Vec::new();
        loop {
            let lines = buffered.lines()?;
            buffered.skip_mark();
            if lines == 0 {
                let rest = buffered.bytes.get(buffered.begin..buffered.end).unwrap_or_default();
                if rest.is_empty() && buffered.has_all {
                    return Err(TraceError::nowhere(Fault::Empty));
                }
                return Self::slow(buffered.slow(), columns, refuses_unsorted);
            }
            let line = buffered.take_line(&mut commas);
            if line.text.is_empty() {
                continue;
            }
            let layout = Layout::new(&line, columns)?;
            let way = Way::Quick(buffered);
            return Ok(CsvLines {
                layout,
                refuses_unsorted,
                last_ns: 0,
                way,
                batch: Batch::default(),
            });
        }
    }

    /// Everything by the crate `csv`.
    fn slow(
        mut rows: Box<QuotedRows<Rest<R>>>,
        columns: &[Column],
        refuses_unsorted: bool,
    ) -> Result<Self, TraceError> {
        let Some(header) = rows.next()? else { return Err(TraceError::nowhere(Fault::Empty)) };
        let layout = Layout::new(&header, columns)?;
        let way = Way::Slow(rows);
        Ok(CsvLines { layout, refuses_unsorted, last_ns: 0, way, batch: Batch::default() })
    }

    /// Whether rows are in order of their ends.
    pub(crate) fn is_by_end(&self) -> bool {
        self.layout.is_by_end()
    }

    /// Rows may be in any order.
    pub(crate) fn leave_order(&mut self) {
        self.refuses_unsorted = false;
    }

    /// The next request, with its time as the row has it.
    #[inline]
    pub(crate) fn next(&mut self, trace: &mut Trace) -> Result<Option<Request>, TraceError> {
        loop {
            if let Some(request) = self.batch.requests.get(self.batch.given) {
                self.batch.given += 1;
                return Ok(Some(*request));
            }
            if let Some(error) = self.batch.failed.take() {
                self.way = Way::Ended;
                return Err(error);
            }
            if !self.fill(trace)? {
                return Ok(None);
            }
        }
    }

    /// The next batch; false at the end.
    #[cold]
    fn fill(&mut self, trace: &mut Trace) -> Result<bool, TraceError> {
        self.batch.requests.clear();
        self.batch.given = 0;
        let CsvLines { layout, refuses_unsorted, last_ns, way, batch } = self;
        let reads = Reading { layout, refuses_unsorted: *refuses_unsorted };
        match way {
            Way::Ended => Ok(false),
            Way::Slow(rows) => {
                let Some(row) = rows.next()? else { return Ok(false) };
                if !reads.row(&row, last_ns, batch, trace) {
                    let is_last = matches!(rows.next(), Ok(None));
                    batch.failed = batch.failed.take().map(|error| error.last_if(is_last));
                }
                Ok(true)
            }
            Way::Quick(buffered) => {
                let length = buffered.lines()?;
                if length == 0 {
                    let is_over = buffered.has_all && buffered.begin == buffered.end;
                    let Way::Quick(buffered) = std::mem::replace(way, Way::Ended) else {
                        return Ok(false);
                    };
                    if !is_over {
                        *way = Way::Slow(buffered.slow());
                    }
                    return Ok(!is_over);
                }
                reads.lines(buffered, length, last_ns, batch, trace);
                Ok(true)
            }
        }
    }
}

/// How rows become requests.
struct Reading<'a> {
    layout: &'a Layout,
    refuses_unsorted: bool,
}

impl Reading<'_> {
    /// A row; false if it was wrong.
    #[inline(always)]
    fn row<F: Fields>(
        &self,
        row: &F,
        last_ns: &mut u64,
        batch: &mut Batch,
        trace: &mut Trace,
    ) -> bool {
        match self.layout.request(row, trace) {
            Ok(None) => true,
            Ok(Some(request)) => {
                let now_ns = request.arrival_ns;
                if self.refuses_unsorted && now_ns < *last_ns {
                    batch.failed = Some(row.whole(Fault::Unsorted { before_ns: *last_ns, now_ns }));
                    return false;
                }
                *last_ns = now_ns;
                batch.requests.push(request);
                true
            }
            Err(error) => {
                batch.failed = Some(error);
                false
            }
        }
    }

    /// The lines in the first bytes of a buffer, or those before the first that is wrong.
    fn lines<R>(
        &self,
        buffered: &mut Buffered<R>,
        length: usize,
        last_ns: &mut u64,
        batch: &mut Batch,
        trace: &mut Trace,
    ) {
        let end = buffered.begin + length;
        let text = buffered.bytes.get(buffered.begin..end).unwrap_or_default();
        let mut commas = std::mem::take(&mut batch.commas);
        commas.clear();
        let mut begin = 0;
        // The last line of a file may have no end.
        let last = text.last().filter(|byte| **byte != b'\n').map(|_| text.len());
        for at in memchr::memchr2_iter(b',', b'\n', text).chain(last) {
            if text.get(at) == Some(&b',') {
                commas.push(at - begin);
                continue;
            }
            buffered.line += 1;
            let line = text.get(begin..at).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            begin = at + 1;
            // As everywhere, empty lines say nothing.
            if !line.is_empty() {
                let row = Plain { text: line, commas: &commas, line: buffered.line };
                if !self.row(&row, last_ns, batch, trace) {
                    let is_last = buffered.has_all && begin >= text.len();
                    batch.failed = batch.failed.take().map(|error| error.last_if(is_last));
                    break;
                }
            }
            commas.clear();
        }
        batch.commas = commas;
        buffered.begin = end;
    }
}

impl<R: Read> Buffered<R> {
    fn new(input: R) -> Self {
        Buffered { input, bytes: vec![0; BUFFER_BYTES], begin: 0, end: 0, line: 0, has_all: false }
    }

    /// How many of the next bytes are whole lines without quotes; 0 at the end, before a line that
    /// isn't so, and if a line is too long.
    fn lines(&mut self) -> io::Result<usize> {
        loop {
            let rest = self.bytes.get(self.begin..self.end).unwrap_or_default();
            let whole = match memchr::memrchr(b'\n', rest) {
                _ if self.has_all => rest.len(),
                Some(last) => last + 1,
                None => 0,
            };
            if whole > 0 || self.has_all {
                return Ok(plain(rest.get(..whole).unwrap_or_default()));
            }
            if rest.len() >= LINE_BYTES {
                return Ok(0);
            }
            self.read()?;
        }
    }

    /// Leaves out the mark that some programs begin UTF-8 with.
    fn skip_mark(&mut self) {
        let rest = self.bytes.get(self.begin..self.end).unwrap_or_default();
        if self.line == 0 && rest.starts_with(BYTE_ORDER_MARK) {
            self.begin += BYTE_ORDER_MARK.len();
        }
    }

    /// Moves what is left to the front, and reads until the buffer is full.
    fn read(&mut self) -> io::Result<()> {
        self.bytes.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        if self.end == self.bytes.len() {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        while let Some(free) = self.bytes.get_mut(self.end..).filter(|free| !free.is_empty()) {
            match self.input.read(free) {
                Ok(0) => {
                    self.has_all = true;
                    break;
                }
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The first line.
    fn take_line<'a>(&'a mut self, commas: &'a mut Vec<usize>) -> Plain<'a> {
        let rest = self.bytes.get(self.begin..self.end).unwrap_or_default();
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.begin = (self.begin + length + 1).min(self.end);
        self.line += 1;
        let text = rest.get(..length).unwrap_or_default();
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        commas.clear();
        commas.extend(memchr::memchr_iter(b',', text));
        Plain { text, commas, line: self.line }
    }

    /// The rest of the file for the crate `csv`.
    fn slow(self) -> Box<QuotedRows<Rest<R>>> {
        let mut bytes = self.bytes;
        bytes.truncate(self.end);
        bytes.drain(..self.begin);
        let rest = Cursor::new(bytes).chain(self.input);
        Box::new(QuotedRows::new(rest, self.line))
    }
}

/// The length of the lines before the first one with a quote, or with a carriage return that isn't
/// at its end.
fn plain(lines: &[u8]) -> usize {
    let quote = memchr::memchr(b'"', lines);
    let before = lines.get(..quote.unwrap_or(lines.len())).unwrap_or_default();
    let ends_line = |at: &usize| matches!(lines.get(at + 1), Some(b'\n'));
    let lone = memchr::memchr_iter(b'\r', before).find(|at| !ends_line(at));
    match lone.or(quote) {
        None => lines.len(),
        Some(at) => {
            let before = lines.get(..at).unwrap_or_default();
            memchr::memrchr(b'\n', before).map_or(0, |end| end + 1)
        }
    }
}
