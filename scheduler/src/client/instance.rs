//! `scheduler instance`.

use std::io::{Read, Write};

use scheduler::wire::volumes::VolumeRow;
use scheduler::wire::{Answer, InstanceRow, OnMachine};
use serde_json::json;

use super::app::instance_table;
use super::http::Client;
use super::{Done, answered, part, show};
use crate::arguments::{InstanceCommand, Reach};
use crate::exit::Exit;
use crate::folder::Place;
use crate::paint::harmless;

pub fn instance(command: InstanceCommand) -> Done {
    match command {
        InstanceCommand::List { app, reach } => list(app.as_deref(), &reach),
        InstanceCommand::Logs { instance, follow, stderr, lines, place } => {
            let stream = if stderr { "stderr" } else { "stdout" };
            let query = format!("stream={stream}&lines={lines}&follow={follow}");
            logs(&format!("/v1/instances/{}/logs?{query}", part(&instance)), &place)
        }
        InstanceCommand::Kill { instance, reach } => {
            let path = format!("/v1/instances/{}/kill", part(&instance));
            let client = Client::open(&reach.place)?;
            let volumes: Vec<VolumeRow> = client.get("/v1/volumes")?;
            let volume = volumes.into_iter().find(|row| row.instance.as_ref() == Some(&instance));
            let answer: Answer = client.post(&path, &json!({}), None)?;
            Ok(show(reach.output, &answer, |answer| match (answer.result.as_str(), volume) {
                ("unchanged", _) => format!("{instance} ends already"),
                (_, Some(VolumeRow { volume, machine, .. })) => {
                    format!(
                        "{instance} ends; the next one starts on {machine} with its volume {volume}"
                    )
                }
                _ => format!("{instance} ends as soon as another one serves in its place"),
            }))
        }
        InstanceCommand::Add { app, on, reach } => change(&app, "add", on, false, &reach),
        InstanceCommand::Remove { app, on, keep_volumes, reach } => {
            change(&app, "remove", on, keep_volumes, &reach)
        }
    }
}

fn change(app: &str, what: &str, machine: String, keep_volumes: bool, reach: &Reach) -> Done {
    let path = format!("/v1/apps/{}/{what}", part(app));
    let body = OnMachine { machine, keep_volumes };
    let answer: Answer = Client::open(&reach.place)?.post(&path, &body, None)?;
    Ok(show(reach.output, &answer, answered))
}

fn list(app: Option<&str>, reach: &Reach) -> Done {
    let query = app.map(|app| format!("?app={}", part(app))).unwrap_or_default();
    let path = format!("/v1/instances{query}");
    let rows: Vec<InstanceRow> = Client::open(&reach.place)?.get(&path)?;
    Ok(show(reach.output, &rows, |rows| match rows.as_slice() {
        [] => "there is no instance".to_owned(),
        rows => instance_table(rows),
    }))
}

/// Output as it is: to a file or a program byte by byte, to a terminal without what it would obey.
fn logs(path: &str, place: &Place) -> Done {
    let mut stream = Client::open(place)?.stream(path)?;
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
    let mut out = std::io::stdout().lock();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = match stream.read(&mut buffer) {
            Ok(0) => return Ok(Exit::Done),
            Ok(length) => length,
            Err(error) => {
                crate::paint::error(&format!("the output ends here: {error}"), None);
                return Ok(Exit::NoScheduler);
            }
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        let written = if is_terminal {
            out.write_all(harmless(&String::from_utf8_lossy(bytes)).as_bytes())
        } else {
            out.write_all(bytes)
        };
        // Who closes it early has seen enough.
        if written.and_then(|()| out.flush()).is_err() {
            return Ok(Exit::Done);
        }
    }
}
