//! `[ui]` `corral-mesos master|agent FLAGS`: what the lab's release of Mesos is made of.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use simulator_mesos_release::{SUPERVISE, run};

const USAGE: &str = "usage: corral-mesos master|agent [--flag=value …]; MESOS_flag is read, too";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().unwrap_or_default();
    if program == SUPERVISE {
        return match (arguments.next(), arguments.next()) {
            (Some(folder), Some(docker)) => {
                scheduler_runner::supervise(folder.as_ref(), &docker.to_string_lossy())
            }
            _ => usage(),
        };
    }
    let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    match program.to_str() {
        Some(program @ ("master" | "agent")) => run(program, &words),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
