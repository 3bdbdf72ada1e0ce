//! `[io]` The lab's own long-running processes besides the supervisors: the mirror.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::cgroup::Hierarchies;
use super::directories::{Cache, Record, StateDirectory};
use super::mirror::{self, Site};
use super::names::Subnet;
use super::process;
use crate::error::{Doing, Error};

/// A process that hasn't opened its port after this time never will.
const START_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// Starts the mirror of a lab, unless it runs.
///
/// # Errors
/// It doesn't answer.
pub fn ensure_mirror(directory: &StateDirectory, subnet: Subnet) -> Result<(), Error> {
    let address = SocketAddr::from((subnet.gateway(), mirror::PORT));
    if answers(address) {
        return Ok(());
    }
    let log = directory.path().join("mirror.log");
    let action = || "start the lab's mirror".to_owned();
    process::own_program()
        .args(["lab-internal", "mirror", "--directory"])
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).doing(action)?)
        .spawn()
        .doing(action)?;
    let deadline = Instant::now() + START_LIMIT;
    while !answers(address) {
        if Instant::now() > deadline {
            return Err(Error::refused(action(), format!("{address} doesn't answer"))
                .with_hint(format!("its log is {}", log.display())));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// The mirror's process.
///
/// # Errors
/// The address can't be bound.
pub fn run_mirror(directory: &StateDirectory) -> Result<(), Error> {
    let record = begin(directory)?;
    let site = Site::of_machine(&Cache::of_environment())?;
    mirror::serve(site, record.subnet.gateway(), mirror::PORT)
}

/// What every process of a lab does first: leaves the terminal, joins the lab.
///
/// # Errors
/// The lab is gone, or a control group refuses.
pub fn begin(directory: &StateDirectory) -> Result<Record, Error> {
    process::detach().doing(|| "leave the terminal".to_owned())?;
    let record = directory.record()?;
    Hierarchies::find()?.join(&record.id().cgroup_of_lab())?;
    Ok(record)
}

/// Whether the lab's mirror runs.
#[must_use]
pub fn mirror_answers(subnet: Subnet) -> bool {
    answers(SocketAddr::from((subnet.gateway(), mirror::PORT)))
}

fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
}
