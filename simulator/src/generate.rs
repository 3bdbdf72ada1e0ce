//! `simulator generate`: the requests of a scenario as a trace. Replaying it through the scenario
//! gives what running the scenario gives.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use policy::Class;
use simulator_model::{Arrival, Model, Workload};
use simulator_traces::{Class as TraceClass, Name, Names, Packer, Request};

use crate::exit::Exit;
use crate::export::quoted;
use crate::input::Subject;
use crate::paint;
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
const HEADER: &str = "arrival_ns,cmd,tenant,class,service_ns,source";

/// Runs it.
pub fn generate(arguments: &GenerateArguments) -> Exit {
    let scenario = match arguments.subject.load() {
        Ok(scenario) => scenario,
        Err(exit) => return exit,
    };
    let output = &arguments.output;
    match write(&scenario.model, arguments) {
        Ok(0) => {
            paint::error("the workload has no request; nothing is in the trace");
            Exit::InvalidInput
        }
        Ok(count) => {
            say!("{} requests written to {}", grouped(count), output.display());
            Exit::Done
        }
        Err(error) => {
            paint::error(&format!("failed to write {}: {error}", output.display()));
            Exit::Environment
        }
    }
}

/// Whether a file is to be a CSV.
pub fn is_csv(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

fn write(model: &Model, arguments: &GenerateArguments) -> io::Result<u64> {
    let file = BufWriter::new(File::create(&arguments.output)?);
    let mut names = UserNames::new(model);
    let mut commands = Names::default();
    for cmd in &model.cmds {
        commands.number(&cmd.name);
    }
    let mut workload = Workload::new(model);
    if is_csv(&arguments.output) {
        let mut writer = CsvWriter::new(file)?;
        let count = each(model, &mut workload, &mut names, |request, tenants| {
            writer.push(request, &commands, tenants)
        })?;
        writer.out.flush()?;
        return Ok(count);
    }
    let mut packer = Packer::new(file)?;
    let count = each(model, &mut workload, &mut names, |request, tenants| {
        packer.push(request, &commands, tenants)
    })?;
    packer.finish(&commands, &names.known)?;
    Ok(count)
}

fn each(
    model: &Model,
    workload: &mut Workload<'_>,
    names: &mut UserNames,
    mut act: impl FnMut(&Request, &Names) -> io::Result<()>,
) -> io::Result<u64> {
    let mut count = 0;
    while let Some(run) = workload.next_run() {
        for arrival in run.arrivals() {
            count += 1;
            act(&request(model, &arrival, names)?, &names.known)?;
        }
    }
    Ok(count)
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
        line.push('\n');
        self.out.write_all(line.as_bytes())
    }
}
