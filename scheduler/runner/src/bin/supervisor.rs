//! `[io]` The supervising process of one task: `scheduler-supervisor FOLDER DOCKER`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(folder), Some(docker), None) => {
            scheduler_runner::supervise(folder.as_ref(), &docker.to_string_lossy())
        }
        _ => {
            eprintln!("error: it is started by the scheduler, with the folder of a task");
            ExitCode::from(2)
        }
    }
}
