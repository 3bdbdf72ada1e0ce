//! `scheduler doctor`: what this machine lacks, and what to do about it.

use std::fs;

use scheduler::wire::Status;
use scheduler_runner::{Engine, engine};

use super::Done;
use super::http::Client;
use crate::arguments::Doctor;
use crate::exit::Exit;
use crate::folder::{self, Place};
use crate::ports::is_taken;

/// Ports of the default range that are tried.
const PORTS: std::ops::RangeInclusive<u16> = 31_000..=31_999;

/// What one look has found.
enum Found {
    Good(String),
    Doubtful(String),
    Bad(String),
}

/// Looks at everything; the worst is the exit code.
pub fn doctor(arguments: &Doctor) -> Done {
    let looks = [
        ("folder", folder_look(&arguments.place)),
        ("daemon", daemon_look(&arguments.place)),
        ("processes", processes_look()),
        ("ports", ports_look()),
        ("docker", docker_look(&arguments.docker)),
    ];
    let mut exit = Exit::Done;
    for (name, found) in looks {
        match found {
            Found::Good(text) => say!("ok       {name:<9}  {text}"),
            Found::Doubtful(text) => say!("note     {name:<9}  {text}"),
            Found::Bad(text) => {
                exit = Exit::Environment;
                say!("problem  {name:<9}  {text}");
            }
        }
    }
    Ok(exit)
}

fn folder_look(place: &Place) -> Found {
    let folder = match place.folder() {
        Ok(folder) => folder,
        Err(message) => return Found::Bad(message),
    };
    match fs::metadata(&folder) {
        Ok(metadata) if metadata.is_dir() => Found::Good(folder.display().to_string()),
        Ok(_) => Found::Bad(format!("{} is no folder", folder.display())),
        Err(_) => {
            Found::Doubtful(format!("{} isn't there yet; `serve` makes it", folder.display()))
        }
    }
}

fn daemon_look(place: &Place) -> Found {
    let servers = place.servers();
    if !servers.is_empty() {
        let server = servers.join(", ");
        let status = Client::open(place).and_then(|client| client.get::<Status>("/v1/status"));
        return match status {
            Ok(status) => Found::Good(format!(
                "{} at {server}, term {}; apps: {}, instances: {}",
                status.program, status.epoch, status.apps, status.instances
            )),
            Err(trouble) => Found::Bad(trouble.message),
        };
    }
    let daemon = place.folder().ok().and_then(|folder| folder::read(&folder).ok().flatten());
    let Some(daemon) = daemon else {
        return Found::Doubtful("none has run; start one: scheduler serve --local".to_owned());
    };
    let status = Client::open(place).and_then(|client| client.get::<Status>("/v1/status"));
    match status {
        Ok(status) => Found::Good(format!(
            "{} at {}, term {}; apps: {}, instances: {}",
            status.program, daemon.address, status.epoch, status.apps, status.instances
        )),
        Err(trouble) => {
            Found::Bad(format!("{}; start it: scheduler serve --local", trouble.message))
        }
    }
}

/// Supervisors are found by /proc, and what they end, too.
fn processes_look() -> Found {
    match fs::read_dir("/proc/self/task") {
        Ok(_) => Found::Good("/proc tells of them".to_owned()),
        Err(error) => Found::Bad(format!("/proc is missing ({error}): mount it")),
    }
}

fn ports_look() -> Found {
    let taken = PORTS.filter(|port| is_taken(*port)).count();
    let (first, last) = (PORTS.start(), PORTS.end());
    match taken {
        0 => Found::Good(format!("{first} to {last} are free")),
        _ => Found::Doubtful(format!(
            "{taken} of {first} to {last} are taken: by instances, or by others, whose ports are passed \
             over; `serve --ports` chooses others"
        )),
    }
}

fn docker_look(docker: &str) -> Found {
    match engine(docker) {
        Engine::There(version) => Found::Good(format!("engine {version}")),
        Engine::Absent(why) => Found::Doubtful(format!("{why}; apps with `image` can't run")),
    }
}
