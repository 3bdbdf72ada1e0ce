//! `[ui]` Arguments, scenario files, tables and result files of `simulator`.

// First: the others use its macros.
#[macro_use]
mod paint;

mod advice;
mod arguments;
mod bench;
mod capacity;
mod compare;
mod control;
mod course;
mod exit;
mod explain;
mod export;
mod fit;
mod generate;
mod html;
mod input;
mod links;
mod lint;
mod masters;
mod mesos;
mod opened;
mod pipelines;
mod precision;
mod progress;
mod replay;
mod results;
mod run;
mod schema;
mod sharing;
mod sweep;
mod table;
mod trace;
mod tune;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use exit::Exit;
use lint::ScenarioCommand;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, everything else is a usage error.
            let asked = !error.use_stderr();
            let _ = error.print();
            return if asked { Exit::Done.into() } else { Exit::Usage.into() };
        }
    };
    let exit = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Generate(arguments) => generate::generate(&arguments),
        Command::Trace(command) => trace::trace(&command),
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Sweep(arguments) => sweep::sweep(&arguments),
        Command::Capacity(arguments) => capacity::capacity(&arguments),
        Command::Tune(arguments) => tune::tune(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Fit(arguments) => fit::fit(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Mesos(arguments) => match &arguments.program {
            Some(program) => return program.run(),
            None => mesos::serve(&arguments),
        },
        Command::SuperviseTask { folder, docker } => {
            return scheduler_runner::supervise(&folder, &docker);
        }
        Command::Scenario(ScenarioCommand::Lint(arguments)) => lint::lint(&arguments),
        Command::Schema { format } => {
            say!("{}", schema::text(format).trim_end());
            Exit::Done
        }
        Command::ExitCodes => {
            say!("{}", exit::table().trim_end());
            Exit::Done
        }
    };
    exit.into()
}
