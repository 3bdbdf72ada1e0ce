//! The requests of an inventory: one of a kind, and one a service; never one a node.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use consul::{Head, ServiceEntry, ServiceTags, Subject};
use consul_client::{Client, ClientError};
use provision_discovery::{Catalog, Services, Wanted};

/// Questions about services that are asked at the same time.
const PARALLEL: usize = 8;

/// Everything that is wanted, and the head of the first answer.
pub(super) fn catalog(client: &Client, wanted: &Wanted) -> Result<(Head, Catalog), ClientError> {
    let nodes = client.ask(Subject::Nodes)?;
    let checks = client.ask(Subject::Checks)?;
    let names: Vec<String> = match &wanted.services {
        Services::Named(names) => names.iter().cloned().collect(),
        Services::All => {
            let services = client.ask::<ServiceTags>(Subject::Services)?;
            services.value.into_keys().collect()
        }
    };
    let keys = match &wanted.kv_prefix {
        Some(prefix) => client.keys(prefix)?.value,
        None => Vec::new(),
    };
    let services = services(client, &names)?;
    let catalog = Catalog { nodes: nodes.value, checks: checks.value, services, keys };
    Ok((nodes.head, catalog))
}

fn services(
    client: &Client,
    names: &[String],
) -> Result<BTreeMap<String, Vec<ServiceEntry>>, ClientError> {
    let next = AtomicUsize::new(0);
    let found: Mutex<BTreeMap<String, Vec<ServiceEntry>>> = Mutex::default();
    let failure: Mutex<Option<ClientError>> = Mutex::default();
    let work = || {
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            match client.ask(Subject::Service(name.clone())) {
                Ok(answer) => {
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.insert(name.clone(), answer.value);
                }
                Err(error) => {
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    next.store(names.len(), Ordering::Relaxed);
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL.min(names.len()) {
            scope.spawn(work);
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}
