//! Traces on disk: which format, which columns, and what is told when one can't be used.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use diagnostics::Sources;
use simulator_traces::{
    Column, Fault, Format, Options, Order, Role, Stream, TraceError, Unit, detect,
};

use crate::exit::Exit;
use crate::paint;

/// As much of a trace as its format is told by.
const BEGINNING_BYTES: u64 = 4096;
/// What columns can mean: those of our own format, and some that foreign ones have.
const MEANINGS: &[(&str, Role, Unit)] = &[
    ("arrival_s", Role::Arrival, Unit::Seconds),
    ("arrival_ms", Role::Arrival, Unit::Milliseconds),
    ("arrival_us", Role::Arrival, Unit::Microseconds),
    ("arrival_ns", Role::Arrival, Unit::Nanoseconds),
    ("arrival", Role::Arrival, Unit::Timestamp),
    ("end_s", Role::End, Unit::Seconds),
    ("end", Role::End, Unit::Timestamp),
    ("cmd", Role::Command, Unit::Text),
    ("tenant", Role::Tenant, Unit::Text),
    ("class", Role::Class, Unit::Text),
    ("service_s", Role::Service, Unit::Seconds),
    ("service_ms", Role::Service, Unit::Milliseconds),
    ("service_us", Role::Service, Unit::Microseconds),
    ("service_ns", Role::Service, Unit::Nanoseconds),
    ("size_bytes", Role::Size, Unit::Bytes),
    ("ignore", Role::Ignore, Unit::Text),
];

/// Which trace, and how it is read.
#[derive(Debug, Clone, clap::Args)]
pub struct TraceArguments {
    /// The trace: our CSV or packed, Azure Functions, Azure LLM, Alibaba GenAI, SWF, an access log,
    /// SWIM.
    pub trace: PathBuf,
    #[command(flatten)]
    pub reading: Reading,
}

/// How a trace is read.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Reading {
    /// Its format, if its beginning doesn't tell.
    #[arg(long, value_name = "FORMAT", value_parser = format, requires = "trace")]
    pub format: Option<Format>,
    /// Sort rows that are out of order, instead of refusing them.
    #[arg(long, requires = "trace")]
    pub sort: bool,
    /// What a column of a CSV means: arrival_s (or _ms, _us, _ns), arrival (date and time), end_s,
    /// end, cmd, tenant, class, service_s (or _ms, _us, _ns), size_bytes, ignore; may be given
    /// several times.
    #[arg(long = "map", value_name = "COLUMN=MEANING", value_parser = column, requires = "trace")]
    pub columns: Vec<Mapped>,
}

impl Reading {
    /// What was given, as words of a command.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(format) = self.format {
            words.extend(["--format".to_owned(), format.to_string()]);
        }
        if self.sort {
            words.push("--sort".to_owned());
        }
        for column in &self.columns {
            words.extend(["--map".to_owned(), column.text.clone()]);
        }
        words
    }
}

/// A column and its meaning, also as it was given.
#[derive(Debug, Clone)]
pub struct Mapped {
    pub text: String,
    column: Column,
}

fn format(name: &str) -> Result<Format, String> {
    let known = Format::ALL.into_iter().find(|format| format.name() == name);
    known.ok_or_else(|| {
        let names: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

fn column(text: &str) -> Result<Mapped, String> {
    let (name, meaning) = text.rsplit_once('=').ok_or("expected COLUMN=MEANING")?;
    let known = MEANINGS.iter().find(|(known, ..)| *known == meaning);
    let (_, role, unit) = known.ok_or_else(|| {
        let names: Vec<&str> = MEANINGS.iter().map(|(name, ..)| *name).collect();
        format!("a column means one of {}", names.join(", "))
    })?;
    Ok(Mapped { text: text.to_owned(), column: Column::new(name, *role, *unit) })
}

impl TraceArguments {
    /// How it is read.
    pub fn options(&self) -> Options {
        let order = if self.reading.sort { Order::Sort } else { Order::Refuse };
        let columns = self.reading.columns.iter().map(|mapped| mapped.column.clone()).collect();
        Options { order, columns, ..Options::default() }
    }

    /// The format; what is wrong has been told when this fails.
    pub fn detect(&self) -> Result<Format, Exit> {
        if let Some(format) = self.reading.format {
            return Ok(format);
        }
        if !self.reading.columns.is_empty() {
            return Ok(Format::Csv);
        }
        let mut beginning = Vec::new();
        let read = self.file()?.take(BEGINNING_BYTES).read_to_end(&mut beginning);
        read.map_err(|error| self.unreadable(&error))?;
        detect(&beginning).ok_or_else(|| {
            if beginning.iter().all(u8::is_ascii_whitespace) {
                paint::error(&format!("{} is empty: a trace has a request", self.trace.display()));
                return Exit::InvalidInput;
            }
            let known: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
            paint::error(&format!("{} has none of the known formats", self.trace.display()));
            let known = known.join("|");
            tell!("hint: a CSV needs a column `arrival_s`, or --map COLUMN=arrival_s");
            tell!("hint: or name the format: --format {known}");
            Exit::InvalidInput
        })
    }

    /// The opened file.
    pub fn file(&self) -> Result<File, Exit> {
        File::open(&self.trace).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &std::io::Error) -> Exit {
        paint::error(&format!("failed to read {}: {error}", self.trace.display()));
        Exit::Environment
    }

    /// Its requests, one after another; what is wrong has been told when this fails.
    pub fn stream(&self, format: Format) -> Result<Stream<File>, Exit> {
        self.streamed(format, self.file()?).map_err(|error| refuse(&self.trace, &error))
    }

    /// The same once more; nothing is told.
    pub fn reopen(&self, format: Format) -> Result<Stream<File>, TraceError> {
        let file =
            File::open(&self.trace).map_err(|error| TraceError::from(Fault::Unreadable(error)))?;
        self.streamed(format, file)
    }

    fn streamed(&self, format: Format, file: File) -> Result<Stream<File>, TraceError> {
        // Calls of counts are not kept in memory here.
        let options = Options { most_calls: u64::MAX, ..self.options() };
        Stream::open(format, file, &options)
    }
}

/// Tells what is wrong with a trace.
pub fn refuse(path: &Path, error: &TraceError) -> Exit {
    let mut sources = Sources::default();
    let diagnostic = error.diagnostic(&path.display().to_string(), &mut sources);
    paint::diagnostics(&[diagnostic], &sources);
    Exit::InvalidInput
}
