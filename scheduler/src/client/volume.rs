//! `scheduler volume`.

use clap::Subcommand;
use scheduler::wire::Answer;
use scheduler::wire::volumes::VolumeRow;

use super::http::Client;
use super::{Done, ago, part, show};
use crate::arguments::Reach;
use crate::table::Table;

/// `scheduler volume`.
#[derive(Debug, Subcommand)]
pub enum VolumeCommand {
    /// List volumes, those that are kept for an app that is gone included
    List {
        /// Only those of this app.
        app: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Destroy a volume that no instance has; or give it up, if its machine is gone
    Delete {
        /// The volume, such as db.3.
        volume: String,
        #[command(flatten)]
        reach: Reach,
    },
}

pub fn volume(command: VolumeCommand) -> Done {
    match command {
        VolumeCommand::List { app, reach } => {
            let query = app.map(|app| format!("?app={}", part(&app))).unwrap_or_default();
            let path = format!("/v1/volumes{query}");
            let rows: Vec<VolumeRow> = Client::open(&reach.place)?.get(&path)?;
            Ok(show(reach.output, &rows, |rows| match rows.as_slice() {
                [] => "there is no volume".to_owned(),
                rows => table(rows),
            }))
        }
        VolumeCommand::Delete { volume, reach } => {
            let path = format!("/v1/volumes/{}", part(&volume));
            let answer: Answer = Client::open(&reach.place)?.delete(&path, None)?;
            Ok(show(reach.output, &answer, |answer| match answer.result.as_str() {
                "unchanged" => format!("{volume} is being destroyed already"),
                _ => format!("{volume} is destroyed as soon as its machine can be reached"),
            }))
        }
    }
}

/// What is reserved beside disk.
fn reserved(row: &VolumeRow) -> String {
    let mut parts = Vec::new();
    if row.reserved_millicores > 0 || row.reserved_memory_mib > 0 {
        let cores = f64::from(row.reserved_millicores) / 1000.0;
        parts.push(format!("{cores} cores, {} MiB", row.reserved_memory_mib));
    }
    if !row.reserved_ports.is_empty() {
        let ports: Vec<String> = row.reserved_ports.iter().map(u16::to_string).collect();
        let noun = if ports.len() == 1 { "port" } else { "ports" };
        parts.push(format!("{noun} {}", ports.join(" ")));
    }
    parts.join(", ")
}

fn table(rows: &[VolumeRow]) -> String {
    let mut table = Table::new(&[
        "VOLUME", "MACHINE", "STATE", "INSTANCE", ">MIB", "PARTS", "RESERVED", ">SINCE",
    ]);
    for row in rows {
        let machine =
            if row.has_machine { row.machine.clone() } else { format!("{} (gone)", row.machine) };
        let parts: Vec<&str> = row.parts.iter().map(|part| part.name.as_str()).collect();
        table.row(vec![
            row.volume.clone(),
            machine,
            row.state.clone(),
            row.instance.clone().unwrap_or_default(),
            row.size_mib.to_string(),
            parts.join(" "),
            reserved(row),
            ago(&row.since),
        ]);
    }
    table.text()
}
