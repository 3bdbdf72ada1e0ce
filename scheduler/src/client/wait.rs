//! Waiting until what was asked for is so. The daemon may be away for a while: what was asked for is
//! durable, and goes on when it is back.

use std::thread;
use std::time::{Duration, Instant};

use scheduler::wire::{AppDetail, EndedRow, History};

use super::http::{Client, Trouble};
use super::part;
use crate::exit::Exit;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(200);

/// How long the daemon may be away.
const ABSENCE_MOST: Duration = Duration::from_secs(30);

/// How a deployment ended.
#[derive(Debug)]
pub enum Ended {
    /// All instances have its version.
    Done(EndedRow),
    /// They don't, and it has ended.
    Not(EndedRow),
    /// It stands still, and there is nothing to go back to.
    Stalled(String),
}

/// Waits for a deployment; on the way, says what changes.
pub fn for_deployment(
    client: &Client,
    app: &str,
    number: u32,
    begun: &str,
) -> Result<Ended, Trouble> {
    tell!("{begun}");
    let path = format!("/v1/apps/{}", part(app));
    let mut said = String::new();
    let mut absence = Absence::default();
    loop {
        match absence.watch(client.get::<AppDetail>(&path))? {
            Some(detail) => {
                let is_ours = detail.deployment.as_ref().is_some_and(|one| one.number == number);
                let stalled = detail.deployment.as_ref().and_then(|one| one.stalled.clone());
                if !is_ours && let Some(row) = ended(client, app, number)? {
                    return Ok(if row.is_done { Ended::Done(row) } else { Ended::Not(row) });
                }
                if let Some(why) = stalled.filter(|_| is_ours) {
                    return Ok(Ended::Stalled(why));
                }
                let now = progress(&detail);
                if now != said {
                    tell!("{app}: {now}");
                    said = now;
                }
            }
            None => said.clear(),
        }
        thread::sleep(LOOK);
    }
}

fn ended(client: &Client, app: &str, number: u32) -> Result<Option<EndedRow>, Trouble> {
    let history: History = client.get(&format!("/v1/apps/{}/history", part(app)))?;
    Ok(history.deployments.into_iter().find(|row| row.number == number))
}

fn progress(detail: &AppDetail) -> String {
    let row = &detail.summary;
    let of_target = detail.instances.iter().filter(|one| one.version == row.version);
    let serving = of_target.filter(|one| one.life == "serving").count();
    let mut text = format!("{serving} of {} serve v{}", row.wanted, row.version);
    if row.starting > 0 {
        text.push_str(&format!(", {} starting", row.starting));
    }
    if row.stopping > 0 {
        text.push_str(&format!(", {} stopping", row.stopping));
    }
    if let Some(hold) = &row.hold {
        text.push_str(&format!("; waits: {hold}"));
    }
    text
}

/// Waits until nothing of an app is left.
pub fn for_end(client: &Client, app: &str) -> Result<(), Trouble> {
    let path = format!("/v1/apps/{}", part(app));
    let mut said = String::new();
    let mut absence = Absence::default();
    loop {
        match absence.watch(client.get::<AppDetail>(&path)) {
            Ok(Some(detail)) => {
                let now = format!("{app}: {} instances left", detail.instances.len());
                if now != said {
                    tell!("{now}");
                    said = now;
                }
            }
            Ok(None) => {}
            // It isn't there any more.
            Err(Trouble { exit: Exit::Refused, .. }) => return Ok(()),
            Err(trouble) => return Err(trouble),
        }
        thread::sleep(LOOK);
    }
}

/// Since when the daemon is away.
#[derive(Debug, Default)]
pub struct Absence(Option<Instant>);

impl Absence {
    /// What it said, or nothing while it is away.
    pub fn watch<T>(&mut self, said: Result<T, Trouble>) -> Result<Option<T>, Trouble> {
        match said {
            Ok(said) => {
                self.0 = None;
                Ok(Some(said))
            }
            Err(trouble) if trouble.is_absence() => {
                if self.0.is_none() {
                    tell!(
                        "the scheduler doesn't answer; what was asked for goes on when it is back"
                    );
                }
                let since = *self.0.get_or_insert_with(Instant::now);
                if since.elapsed() < ABSENCE_MOST { Ok(None) } else { Err(trouble) }
            }
            Err(trouble) => Err(trouble),
        }
    }
}
