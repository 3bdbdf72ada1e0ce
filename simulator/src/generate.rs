//! `simulator generate`: the requests of a scenario as a trace. Replaying it through the scenario
//! gives what running the scenario gives.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use policy::{Class, Nanoseconds, Time};
use simulator_model::{Arrival, Model, Workload, windows};
use simulator_traces::{Class as TraceClass, Name, Names, Packer, Request};

use crate::exit::Exit;
use crate::export::quoted;
use crate::input::Subject;
use crate::paint;
use crate::progress::Stop;
use crate::table::grouped;

/// Arguments of `simulator generate`.
#[derive(Debug, clap::Args)]
pub struct GenerateArguments {
    #[command(flatten)]
    subject: Subject,
    /// The trace: a CSV if its name ends in .csv, else packed.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// The columns that are written.
const HEADER: &str = "arrival_ns,cmd,tenant,class,service_ns,source,gateway";

/// Runs it.
pub fn generate(arguments: &GenerateArguments) -> Exit {
    let scenario = match arguments.subject.load() {
        Ok(scenario) => scenario,
        Err(exit) => return exit,
    };
    let output = &arguments.output;
    let stop = match Stop::listen() {
        Ok(stop) => stop,
        Err(exit) => return exit,
    };
    match write(&scenario.model, output, &stop) {
        Ok(0) => {
            paint::error("the workload has no request; nothing is in the trace");
            Exit::InvalidInput
        }
        Ok(count) => {
            say!("{} requests written to {}", grouped(count), output.display());
            Exit::Done
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            paint::error(&format!("stopped: {} isn't written", output.display()));
            Exit::Stopped
        }
        Err(error) => {
            paint::error(&format!("failed to write {}: {error}", output.display()));
            Exit::Environment
        }
    }
}

/// Whether a file is to be a CSV.
pub fn is_csv(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

/// Writes the trace: whole, or not at all. Until it is whole it stands beside its place.
fn write(model: &Model, output: &Path, stop: &Stop) -> io::Result<u64> {
    // What is no file, such as a pipe, has no place beside it.
    if std::fs::metadata(output).is_ok_and(|known| !known.is_file()) {
        return write_to(model, File::create(output)?, is_csv(output), stop);
    }
    let mut partial = output.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = write_to(model, File::create(&partial)?, is_csv(output), stop);
    let written = written.and_then(|count| std::fs::rename(&partial, output).map(|()| count));
    if written.is_err() {
        // The first error is the one to tell of.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

fn write_to(model: &Model, file: File, is_csv: bool, stop: &Stop) -> io::Result<u64> {
    let file = BufWriter::new(file);
    let mut names = UserNames::new(model);
    let mut commands = Names::default();
    for cmd in &model.cmds {
        commands.number(&cmd.name);
    }
    if is_csv {
        let mut writer = CsvWriter::new(file)?;
        let count = each(model, &mut names, stop, |request, tenants| {
            writer.push(request, &commands, tenants)
        })?;
        writer.out.flush()?;
        return Ok(count);
    }
    let mut packer = Packer::new(file)?;
    let count =
        each(model, &mut names, stop, |request, tenants| packer.push(request, &commands, tenants))?;
    packer.finish(&commands, &names.known)?;
    Ok(count)
}

fn each(
    model: &Model,
    names: &mut UserNames,
    stop: &Stop,
    mut act: impl FnMut(&Request, &Names) -> io::Result<()>,
) -> io::Result<u64> {
    let mut count = 0;
    let mut tell = |arrival: &Arrival| {
        count += 1;
        act(&request(model, arrival, names)?, &names.known)
    };
    let goes_on = || match stop.is_set() {
        true => Err(io::Error::from(io::ErrorKind::Interrupted)),
        false => Ok(()),
    };
    if model.network.is_some() {
        let mut requests = windows::Requests::new(model);
        while let Some(block) = requests.next_block() {
            goes_on()?;
            block.map(behind_network).try_for_each(|arrival| tell(&arrival))?;
        }
    } else {
        let mut workload = Workload::new(model);
        while let Some(run) = workload.next_run() {
            goes_on()?;
            run.arrivals().try_for_each(|arrival| tell(&arrival))?;
        }
    }
    Ok(count)
}

/// A request of a gateway behind a network, as others know one. Nobody asks for its number.
fn behind_network(request: &windows::Request) -> Arrival {
    let (gateway, source) = windows::Key::parts(request.key);
    let windows::Request { at, service, key, user, .. } = *request;
    let (at, service) = (Time(at), Nanoseconds(service));
    Arrival { number: 0, key, at, service, user, source, gateway }
}

fn request(model: &Model, arrival: &Arrival, names: &mut UserNames) -> io::Result<Request> {
    let source = model.sources.get(usize::from(arrival.source));
    let unknown = || io::Error::other("a request of no source");
    let source = source.ok_or_else(unknown)?;
    let group = model.tenants.get(source.tenants).ok_or_else(unknown)?;
    Ok(Request {
        arrival_ns: arrival.at.0,
        command: Name(u32::try_from(source.cmd).map_err(io::Error::other)?),
        tenant: names.of(source.tenants, &group.name, arrival.user),
        class: Some(match group.class {
            Class::Free => TraceClass::Free,
            Class::Paid => TraceClass::Paid,
        }),
        service_ns: Some(arrival.service.0),
        size_bytes: None,
        source: Some(arrival.source),
        // With live gateways a replay draws the same one.
        gateway: model.network.map(|_| arrival.gateway),
    })
}

/// Names of users, made when they come for the first time: `customers/17`.
struct UserNames {
    known: Names,
    of_user: Vec<Option<Name>>,
    /// Users before each group.
    before: Vec<u32>,
}

impl UserNames {
    fn new(model: &Model) -> Self {
        let mut before = Vec::new();
        let mut sum = 0;
        for group in &model.tenants {
            before.push(sum);
            sum += group.users;
        }
        UserNames { known: Names::default(), of_user: vec![None; model.users()], before }
    }

    fn of(&mut self, group: usize, name: &str, user: u32) -> Option<Name> {
        let before = self.before.get(group).copied().unwrap_or(0);
        let known = self.of_user.get_mut(usize::try_from(user).ok()?)?;
        if known.is_none() {
            *known = self.known.number(&format!("{name}/{}", user - before));
        }
        *known
    }
}

/// Writes requests as our CSV.
pub struct CsvWriter<W> {
    pub out: W,
    line: String,
}

impl<W: Write> CsvWriter<W> {
    pub fn new(mut out: W) -> io::Result<Self> {
        writeln!(out, "{HEADER}")?;
        Ok(CsvWriter { out, line: String::new() })
    }

    pub fn push(&mut self, request: &Request, commands: &Names, tenants: &Names) -> io::Result<()> {
        use std::fmt::Write as _;
        let command = quoted(commands.get(request.command).unwrap_or_default());
        let tenant = request.tenant.and_then(|tenant| tenants.get(tenant)).unwrap_or_default();
        let class = match request.class {
            None => "",
            Some(TraceClass::Free) => "free",
            Some(TraceClass::Paid) => "paid",
        };
        self.line.clear();
        let line = &mut self.line;
        let _ = write!(line, "{},{command},{},{class},", request.arrival_ns, quoted(tenant));
        if let Some(service) = request.service_ns {
            let _ = write!(line, "{service}");
        }
        line.push(',');
        if let Some(source) = request.source {
            let _ = write!(line, "{source}");
        }
        line.push(',');
        if let Some(gateway) = request.gateway {
            let _ = write!(line, "{gateway}");
        }
        line.push('\n');
        self.out.write_all(line.as_bytes())
    }
}
