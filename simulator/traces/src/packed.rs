//! Our packed format: a third of the CSV's size, read without parsing.
//!
//! ```text
//! file   = "CORRALTR" version:u8 block* end
//! block  = 'B' body_length:u32 checksum:u32 body       CRC-32 of the body
//! body   = new_commands new_tenants count:u32 row* gateway*
//! names  = count:u32 (length:u16 bytes)*               numbered in the order in which they come
//! row    = arrival:u64 service:u64 size:u48 source:u16 tenant:u32 command:u32
//! gateway = u16                                        one for each row, or none at all
//! end    = 'E' rows:u64
//! ```
//!
//! Numbers are little-endian, times in nanoseconds; all ones mean: not known. The upper two bits of
//! `command` are the class. A missing end is a truncated trace. Version 2 has no gateways, and is read.

use std::io::{self, Read, Write};

use crate::error::{Fault, TraceError};
use crate::names::{Name, Names};
use crate::row::{Class, Request, Trace};

pub(crate) const MAGIC: &[u8] = b"CORRALTR";
const VERSION: u8 = 3;
/// The oldest one that is read.
const OLDEST: u8 = 2;
const ROW_BYTES: usize = 32;
const GATEWAY_BYTES: usize = 2;
/// Rows of one block: a block stays in the processor's cache.
const BLOCK_ROWS: usize = 4096;
/// Larger blocks are refused before memory is taken for them: new names may be long.
const BLOCK_BYTES: usize = 64 << 20;
const CLASS_SHIFT: u32 = 30;
const COMMAND_MASK: u32 = (1 << CLASS_SHIFT) - 1;
const SOURCE_SHIFT: u32 = 48;
/// Also what stands for an unknown size.
const SIZE_MASK: u64 = (1 << SOURCE_SHIFT) - 1;

/// Writes a packed trace.
pub struct Packer<W: Write> {
    out: W,
    rows: Vec<u8>,
    /// Of the rows, as soon as one of them has one.
    gateways: Vec<u8>,
    count: u32,
    total: u64,
    commands: usize,
    tenants: usize,
}

impl<W: Write> Packer<W> {
    /// Begins a trace.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        out.write_all(&[VERSION])?;
        let (rows, gateways) = (Vec::new(), Vec::new());
        Ok(Packer { out, rows, gateways, count: 0, total: 0, commands: 0, tenants: 0 })
    }

    /// Adds a request; the names are those that its numbers are from.
    ///
    /// # Errors
    /// When it can't be written, there are more than a billion commands, or a size is above 256 TiB.
    pub fn push(&mut self, request: &Request, commands: &Names, tenants: &Names) -> io::Result<()> {
        if request.command.0 > COMMAND_MASK {
            return Err(io::Error::other("there are more than a billion commands"));
        }
        let class: u32 = match request.class {
            None => 0,
            Some(Class::Free) => 1,
            Some(Class::Paid) => 2,
        };
        self.rows.extend(request.arrival_ns.to_le_bytes());
        self.rows.extend(request.service_ns.unwrap_or(u64::MAX).to_le_bytes());
        let size = request.size_bytes.unwrap_or(SIZE_MASK);
        if size > SIZE_MASK || request.size_bytes == Some(SIZE_MASK) {
            return Err(io::Error::other("a size is above 256 TiB"));
        }
        let source = request.source.unwrap_or(u16::MAX);
        self.rows.extend((size | (u64::from(source) << SOURCE_SHIFT)).to_le_bytes());
        self.rows.extend(request.tenant.map_or(u32::MAX, |name| name.0).to_le_bytes());
        self.rows.extend((request.command.0 | (class << CLASS_SHIFT)).to_le_bytes());
        if request.gateway.is_some() || !self.gateways.is_empty() {
            self.gateways.resize(self.count as usize * GATEWAY_BYTES, u8::MAX);
            self.gateways.extend(request.gateway.unwrap_or(u16::MAX).to_le_bytes());
        }
        self.count += 1;
        self.total += 1;
        if self.rows.len() >= BLOCK_ROWS * ROW_BYTES {
            self.block(commands, tenants)?;
        }
        Ok(())
    }

    fn block(&mut self, commands: &Names, tenants: &Names) -> io::Result<()> {
        let mut body = Vec::with_capacity(self.rows.len() + 64);
        write_names(&mut body, commands, &mut self.commands)?;
        write_names(&mut body, tenants, &mut self.tenants)?;
        body.extend(self.count.to_le_bytes());
        body.append(&mut self.rows);
        body.append(&mut self.gateways);
        self.count = 0;
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        self.out.write_all(b"B")?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&crc32fast::hash(&body).to_le_bytes())?;
        self.out.write_all(&body)
    }

    /// Ends the trace and gives the output back.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(mut self, commands: &Names, tenants: &Names) -> io::Result<W> {
        if self.count > 0 {
            self.block(commands, tenants)?;
        }
        self.out.write_all(b"E")?;
        self.out.write_all(&self.total.to_le_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn write_names(body: &mut Vec<u8>, names: &Names, written: &mut usize) -> io::Result<()> {
    let new: Vec<&str> = names.iter().skip(*written).collect();
    body.extend(u32::try_from(new.len()).map_err(io::Error::other)?.to_le_bytes());
    for name in &new {
        let length = u16::try_from(name.len())
            .map_err(|_| io::Error::other(format!("a name is too long: {name:.40}…")))?;
        body.extend(length.to_le_bytes());
        body.extend(name.as_bytes());
    }
    *written += new.len();
    Ok(())
}

/// Reads a packed trace, block by block.
pub(crate) struct Unpacker<R> {
    input: R,
    body: Vec<u8>,
    at: usize,
    /// Where the gateway of the next row is, if rows of the block have any.
    gateway_at: Option<usize>,
    left: u32,
    total: u64,
    ended: bool,
}

fn corrupt(what: &'static str) -> TraceError {
    TraceError::nowhere(Fault::Corrupt { what, behind: None })
}

fn exact<R: Read>(input: &mut R, bytes: &mut [u8]) -> Result<(), TraceError> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => TraceError::nowhere(Fault::Truncated { behind: None }),
        _ => error.into(),
    })
}

impl<R: Read> Unpacker<R> {
    pub fn new(mut input: R) -> Result<Self, TraceError> {
        let mut magic = [0; MAGIC.len()];
        exact(&mut input, &mut magic)?;
        if magic != MAGIC {
            return Err(corrupt("it doesn't begin as one"));
        }
        let mut version = [0];
        exact(&mut input, &mut version)?;
        match version {
            [OLDEST..=VERSION] => {}
            [found] => return Err(TraceError::nowhere(Fault::UnknownVersion { found })),
        }
        let (body, gateway_at) = (Vec::new(), None);
        Ok(Unpacker { input, body, at: 0, gateway_at, left: 0, total: 0, ended: false })
    }

    /// The next request; `None`: there is no other.
    pub fn next(&mut self, trace: &mut Trace) -> Result<Option<Request>, TraceError> {
        let read = self.total - u64::from(self.left);
        self.row(trace).map_err(|error| error.behind(read))
    }

    fn row(&mut self, trace: &mut Trace) -> Result<Option<Request>, TraceError> {
        while self.left == 0 {
            if self.ended || !self.block(trace)? {
                return Ok(None);
            }
        }
        self.left -= 1;
        let row =
            self.body.get(self.at..).and_then(|rest| rest.first_chunk::<ROW_BYTES>()).copied();
        let row = row.ok_or_else(|| corrupt("a block is shorter than its rows"))?;
        self.at += ROW_BYTES;
        let (numbers, _) = row.as_chunks::<8>();
        let number = |index: usize| numbers.get(index).map_or(0, |word| u64::from_le_bytes(*word));
        let last = number(3);
        let (tenant, command) = (low(last), low(last >> 32));
        let class = match command >> CLASS_SHIFT {
            0 => None,
            1 => Some(Class::Free),
            2 => Some(Class::Paid),
            _ => return Err(corrupt("there is no such class")),
        };
        let command = Name(command & COMMAND_MASK);
        let tenant = (tenant != u32::MAX).then_some(Name(tenant));
        let is_known = trace.commands.get(command).is_some()
            && tenant.is_none_or(|tenant| trace.tenants.get(tenant).is_some());
        if !is_known {
            return Err(corrupt("a name is missing"));
        }
        let known = |value: u64| (value != u64::MAX).then_some(value);
        let gateway = self.gateway();
        Ok(Some(Request {
            arrival_ns: number(0),
            command,
            tenant,
            class,
            service_ns: known(number(1)),
            size_bytes: Some(number(2) & SIZE_MASK).filter(|size| *size != SIZE_MASK),
            source: u16::try_from(number(2) >> SOURCE_SHIFT)
                .ok()
                .filter(|place| *place != u16::MAX),
            gateway,
        }))
    }

    /// That of the row that was read.
    fn gateway(&mut self) -> Option<u16> {
        let at = self.gateway_at.as_mut()?;
        let bytes = self.body.get(*at..).and_then(|rest| rest.first_chunk());
        *at += GATEWAY_BYTES;
        bytes.map(|bytes| u16::from_le_bytes(*bytes)).filter(|gateway| *gateway != u16::MAX)
    }

    /// Reads a block; false at the end.
    fn block(&mut self, trace: &mut Trace) -> Result<bool, TraceError> {
        let mut kind = [0];
        exact(&mut self.input, &mut kind)?;
        if kind == *b"E" {
            let mut total = [0; 8];
            exact(&mut self.input, &mut total)?;
            if u64::from_le_bytes(total) != self.total {
                return Err(corrupt("rows are missing"));
            }
            self.ended = true;
            return Ok(false);
        }
        if kind != *b"B" {
            return Err(corrupt("a block doesn't begin as one"));
        }
        let (mut length, mut checksum) = ([0; 4], [0; 4]);
        exact(&mut self.input, &mut length)?;
        exact(&mut self.input, &mut checksum)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > BLOCK_BYTES {
            return Err(corrupt("a block is too long"));
        }
        self.body.resize(length, 0);
        exact(&mut self.input, &mut self.body)?;
        if crc32fast::hash(&self.body) != u32::from_le_bytes(checksum) {
            return Err(corrupt("the checksum of a block is another one"));
        }
        self.at = 0;
        self.names(&mut trace.commands)?;
        self.names(&mut trace.tenants)?;
        self.left = self.word().map(u32::from_le_bytes)?;
        self.total += u64::from(self.left);
        let rows = self.left as usize;
        let behind = self.body.len().checked_sub(self.at + rows * ROW_BYTES);
        self.gateway_at = match behind {
            Some(0) => None,
            Some(bytes) if bytes == rows * GATEWAY_BYTES => Some(self.body.len() - bytes),
            Some(_) => return Err(corrupt("a block is longer than its rows")),
            None => return Err(corrupt("a block is shorter than its rows")),
        };
        Ok(true)
    }

    fn names(&mut self, names: &mut Names) -> Result<(), TraceError> {
        let count = self.word().map(u32::from_le_bytes)?;
        for _ in 0..count {
            let length: [u8; 2] = self.word()?;
            let length = usize::from(u16::from_le_bytes(length));
            let bytes = self.body.get(self.at..self.at + length);
            let name = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
            let name = name.ok_or_else(|| corrupt("a name is none"))?;
            let before = names.len();
            names.number(name);
            if names.len() == before {
                return Err(corrupt("a name is there twice"));
            }
            self.at += length;
        }
        Ok(())
    }

    fn word<const N: usize>(&mut self) -> Result<[u8; N], TraceError> {
        let word = self.body.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let word = word.ok_or_else(|| corrupt("a block ends too early"))?;
        self.at += N;
        Ok(*word)
    }
}

/// The lower half of a word.
fn low(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
