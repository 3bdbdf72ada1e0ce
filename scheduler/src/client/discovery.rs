//! `scheduler discovery`: where an app is found, and how that changes.

use std::io::{BufRead, BufReader};
use std::thread;
use std::time::Duration;

use clap::Args;
use scheduler::wire::Endpoint;
use scheduler::wire::look::{Found, FoundAnew, Gone, Reweighed};

use super::http::Client;
use super::{Done, part, show};
use crate::arguments::{Output, Reach};
use crate::paint::harmless;
use crate::table::Table;

/// Time until a daemon that has gone is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Attempts to reach it again.
const ATTEMPTS_MOST: u32 = 60;

/// `scheduler discovery`.
#[derive(Debug, Args)]
pub struct Discovery {
    /// The app.
    #[arg(value_name = "APP")]
    pub app: String,
    /// Go on with what changes, until Ctrl-C.
    #[arg(short, long)]
    pub follow: bool,
    /// Only what changed after this number; everything, if that isn't kept any more.
    #[arg(long, value_name = "NUMBER", requires = "follow")]
    pub since: Option<u64>,
    #[command(flatten)]
    pub reach: Reach,
}

/// Where an app is found. When the daemon is away, what is followed goes on where it ended.
pub fn discovery(arguments: &Discovery) -> Done {
    let path = format!("/v1/discovery/{}", part(&arguments.app));
    if !arguments.follow {
        let found: Vec<Endpoint> = Client::open(&arguments.reach.place)?.get(&path)?;
        return Ok(show(arguments.reach.output, &found, |found| table(found)));
    }
    let mut since = arguments.since.unwrap_or(0);
    let mut attempts = 0;
    loop {
        // It may have another address and another token after a restart.
        let client = Client::open(&arguments.reach.place)?;
        match client.stream(&format!("{path}?since={since}")) {
            Ok(stream) => {
                attempts = 0;
                read(BufReader::new(stream), &mut since, arguments.reach.output);
            }
            Err(trouble) => {
                attempts += 1;
                if attempts > ATTEMPTS_MOST || !trouble.is_absence() {
                    return Err(trouble);
                }
            }
        }
        thread::sleep(AGAIN);
    }
}

/// Reads events until there are no more.
fn read(stream: impl BufRead, since: &mut u64, output: Output) {
    let mut kind = String::new();
    for line in stream.lines() {
        let Ok(line) = line else { return };
        if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut kind);
        }
        if let Some(number) = line.strip_prefix("id: ").and_then(|number| number.parse().ok()) {
            *since = number;
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        match output {
            Output::Json => say!("{{\"event\":\"{kind}\",\"data\":{data}}}"),
            Output::Human => {
                lines(&kind, data).iter().for_each(|line| say!("{}", harmless(line)));
            }
        }
    }
}

/// An event for people: a line for each instance.
fn lines(kind: &str, data: &str) -> Vec<String> {
    let at = |address: &str, ports: &[u16], weight: u32| {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        format!("{address}:{} weight {}", ports.join(","), percent(weight))
    };
    match kind {
        "snapshot" => serde_json::from_str::<FoundAnew>(data).map_or_else(
            |_| Vec::new(),
            |found| {
                let FoundAnew { number, part, parts, instances } = found;
                let head =
                    (part == 1).then(|| format!("{number:>12}  everything anew, in {parts} parts"));
                let each = instances.iter().map(|one| {
                    let at = at(&one.address, &one.ports, one.weight_thousandths);
                    format!("{number:>12}  found    {:<16}  {at}", one.instance)
                });
                head.into_iter().chain(each).collect()
            },
        ),
        "added" => serde_json::from_str::<Found>(data).map_or_else(
            |_| Vec::new(),
            |one| {
                let at = at(&one.address, &one.ports, one.weight_thousandths);
                vec![format!("{:>12}  added    {:<16}  {at}", one.number, one.instance)]
            },
        ),
        "weight" => serde_json::from_str::<Reweighed>(data).map_or_else(
            |_| Vec::new(),
            |one| {
                let weight = percent(one.weight_thousandths);
                vec![format!("{:>12}  weight   {:<16}  {weight}", one.number, one.instance)]
            },
        ),
        "removed" => serde_json::from_str::<Gone>(data).map_or_else(
            |_| Vec::new(),
            |one| vec![format!("{:>12}  removed  {}", one.number, one.instance)],
        ),
        _ => Vec::new(),
    }
}

fn percent(thousandths: u32) -> String {
    format!("{} %", f64::from(thousandths) / 10.0)
}

fn table(found: &[Endpoint]) -> String {
    let mut table = Table::new(&["INSTANCE", "ADDRESS", "PORTS", ">WEIGHT"]);
    for one in found {
        let ports: Vec<String> = one.ports.iter().map(u16::to_string).collect();
        table.row(vec![
            one.instance.clone(),
            one.address.clone(),
            ports.join(" "),
            percent(one.weight_thousandths),
        ]);
    }
    table.text()
}
