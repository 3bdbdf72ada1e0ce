//! Takes away registrations that nobody wants, at agents that nobody looks at: the catalog is asked for
//! all services from time to time.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use consul::change::Change;
use consul::{ServiceEntry, ServiceTags, Subject};
use consul_client::{Client, ClientError, Endpoint};
use policy::{Nanoseconds, Time};
use scheduler_consul::{Stray, Strays};
use scheduler_core::ids::InstanceId;

use super::registrar::done;

/// From one look at the catalog to the next. What is found twice goes.
pub const SWEEP_EVERY: Nanoseconds = Nanoseconds::from_seconds(300);

/// The most that are taken away after a look: agents that are away keep it for some seconds each.
const SWEPT_MOST: usize = 100;

/// One look, and what follows from earlier ones. What fails is found again.
pub fn sweep(
    client: &Client,
    strays: &Mutex<Strays>,
    is_known: &dyn Fn(&InstanceId) -> bool,
    may_act: &dyn Fn() -> bool,
    now: Time,
) {
    let locked = || strays.lock().unwrap_or_else(PoisonError::into_inner);
    if !locked().are_possible() {
        return;
    }
    let Ok(found) = find(client, strays, is_known) else { return };
    let due = locked().found(&found, now);
    for Stray { agent, id } in due.into_iter().take(SWEPT_MOST) {
        if !may_act() {
            return;
        }
        let Ok(endpoint) = Endpoint::parse(&agent, false) else { continue };
        if done(&client.at(endpoint), &Change::deregister(&id)).is_ok() {
            locked().swept += 1;
        }
    }
}

fn find(
    client: &Client,
    strays: &Mutex<Strays>,
    is_known: &dyn Fn(&InstanceId) -> bool,
) -> Result<BTreeSet<Stray>, ClientError> {
    let names = client.ask::<ServiceTags>(Subject::Services)?.value;
    let mut found = BTreeSet::new();
    for name in names.into_keys() {
        let entries = client.ask::<Vec<ServiceEntry>>(Subject::Service(name))?.value;
        let strays = strays.lock().unwrap_or_else(PoisonError::into_inner);
        found.extend(strays.among(&entries, is_known));
    }
    Ok(found)
}

#[cfg(test)]
#[path = "../sweeper_tests.rs"]
mod tests;
