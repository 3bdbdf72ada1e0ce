//! `simulator trace`: packs traces and shows their beginnings.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Subcommand;
use simulator_traces::{Packer, Stream, TraceError};

use crate::exit::Exit;
use crate::generate::{CsvWriter, is_csv};
use crate::opened::{TraceArguments, refuse};
use crate::paint;
use crate::table::grouped;

/// `simulator trace`.
#[derive(Debug, Subcommand)]
pub enum TraceCommand {
    /// Write a trace of any format in our own: packed, which is read fastest, or as a CSV.
    Pack(Pack),
    /// Print the first requests of a trace of any format as our CSV.
    Head(Head),
}

/// `simulator trace pack`.
#[derive(Debug, clap::Args)]
pub struct Pack {
    #[command(flatten)]
    trace: TraceArguments,
    /// The new trace: a CSV if its name ends in .csv, else packed.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// `simulator trace head`.
#[derive(Debug, clap::Args)]
pub struct Head {
    #[command(flatten)]
    trace: TraceArguments,
    /// How many requests.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
    count: u64,
}

/// Runs it.
pub fn trace(command: &TraceCommand) -> Exit {
    let done = match command {
        TraceCommand::Pack(pack) => write_packed(pack),
        TraceCommand::Head(head) => print_head(head),
    };
    done.err().unwrap_or(Exit::Done)
}

/// What stops the copying of a trace.
enum Stopped {
    Trace(TraceError),
    Output(io::Error),
}

fn write_packed(pack: &Pack) -> Result<(), Exit> {
    let mut stream = pack.trace.stream(pack.trace.detect()?)?;
    let file = File::create(&pack.output).map(BufWriter::new).map_err(Stopped::Output);
    let copied = file.and_then(|file| match is_csv(&pack.output) {
        true => copy_csv(&mut stream, file, u64::MAX),
        false => copy_packed(&mut stream, file),
    });
    let count = match copied {
        Ok(0) => {
            paint::error(&format!("{} has no request", pack.trace.trace.display()));
            return Err(Exit::InvalidInput);
        }
        Ok(count) => count,
        Err(Stopped::Trace(error)) => return Err(refuse(&pack.trace.trace, &error)),
        Err(Stopped::Output(error)) => {
            paint::error(&format!("failed to write {}: {error}", pack.output.display()));
            return Err(Exit::Environment);
        }
    };
    let left_out = stream.trace.left_out.failed;
    let left_out = match left_out {
        0 => String::new(),
        count => format!("; {} left out as failed", grouped(count)),
    };
    say!("{} requests written to {}{left_out}", grouped(count), pack.output.display());
    Ok(())
}

fn print_head(head: &Head) -> Result<(), Exit> {
    let mut stream = head.trace.stream(head.trace.detect()?)?;
    match copy_csv(&mut stream, BufWriter::new(io::stdout().lock()), head.count) {
        Ok(0) if head.count > 0 => {
            paint::error(&format!("{} has no request", head.trace.trace.display()));
            Err(Exit::InvalidInput)
        }
        // Who closes the output early has seen enough.
        Ok(_) | Err(Stopped::Output(_)) => Ok(()),
        Err(Stopped::Trace(error)) => Err(refuse(&head.trace.trace, &error)),
    }
}

fn copy_csv<W: Write>(stream: &mut Stream<File>, out: W, most: u64) -> Result<u64, Stopped> {
    let mut writer = CsvWriter::new(out).map_err(Stopped::Output)?;
    let mut count = 0;
    while count < most
        && let Some(request) = stream.next_request().map_err(Stopped::Trace)?
    {
        let trace = &stream.trace;
        let pushed = writer.push(&request, &trace.commands, &trace.tenants);
        pushed.map_err(Stopped::Output)?;
        count += 1;
    }
    writer.out.flush().map_err(Stopped::Output)?;
    Ok(count)
}

fn copy_packed<W: Write>(stream: &mut Stream<File>, out: W) -> Result<u64, Stopped> {
    let mut packer = Packer::new(out).map_err(Stopped::Output)?;
    let mut count = 0;
    while let Some(request) = stream.next_request().map_err(Stopped::Trace)? {
        let trace = &stream.trace;
        let pushed = packer.push(&request, &trace.commands, &trace.tenants);
        pushed.map_err(Stopped::Output)?;
        count += 1;
    }
    let finished = packer.finish(&stream.trace.commands, &stream.trace.tenants);
    finished.map_err(Stopped::Output)?;
    Ok(count)
}
