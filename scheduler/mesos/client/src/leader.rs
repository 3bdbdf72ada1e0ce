//! Which master leads.

use std::thread;
use std::time::Duration;

use mesos::Location;
use mesos::leader::{leading_node, read_node};
use tokio::sync::oneshot;
use zookeeper_client as zk;

use crate::address::{Address, ZooKeeper};

/// As Mesos' own detectors.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// From one attempt to reach ZooKeeper to the next.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Which master leads, as far as is known.
pub(crate) struct Leader {
    source: Source,
    /// Where a master of the list sent us.
    redirect: Option<Location>,
}

enum Source {
    /// Each is tried in turn.
    Masters { masters: Vec<Location>, next: usize },
    /// What was heard last; the thread ends with the sender.
    ZooKeeper { known: Option<Location>, _end: oneshot::Sender<()> },
}

impl Leader {
    /// Begins to look. `report` is called from another thread, if ZooKeeper is to know.
    pub(crate) fn find(
        address: Address,
        report: impl FnMut(Seen) + Send + 'static,
    ) -> std::io::Result<Self> {
        let source = match address {
            Address::Masters(masters) => Source::Masters { masters, next: 0 },
            Address::ZooKeeper(place) => {
                let (end, ended) = oneshot::channel();
                thread::Builder::new()
                    .name("zookeeper".to_owned())
                    .spawn(move || run(&place, report, ended))?;
                Source::ZooKeeper { known: None, _end: end }
            }
        };
        Ok(Leader { source, redirect: None })
    }

    /// Where to connect.
    pub(crate) fn location(&self) -> Option<&Location> {
        self.redirect.as_ref().or(match &self.source {
            Source::Masters { masters, next } => masters.get(*next),
            Source::ZooKeeper { known, .. } => known.as_ref(),
        })
    }

    /// A master says that another one leads.
    pub(crate) fn redirected(&mut self, location: Location) {
        self.redirect = Some(location);
    }

    /// It didn't work there.
    pub(crate) fn failed(&mut self) {
        let was_redirected = self.redirect.take().is_some();
        if let Source::Masters { masters, next } = &mut self.source
            && !was_redirected
        {
            *next = (*next + 1) % masters.len().max(1);
        }
    }

    /// ZooKeeper says who leads: whether that is somebody else than before. While nobody leads, or
    /// ZooKeeper is away, the last one stays.
    pub(crate) fn seen(&mut self, location: Location) -> bool {
        let Source::ZooKeeper { known, .. } = &mut self.source else { return false };
        let is_other = known.as_ref() != Some(&location);
        *known = Some(location);
        if is_other {
            self.redirect = None;
        }
        is_other
    }
}

/// What ZooKeeper says.
#[derive(Debug)]
pub(crate) enum Seen {
    /// This one leads.
    Leads(Location),
    /// It can't be asked, or says nothing that is understood.
    Problem(String),
}

fn run(place: &ZooKeeper, mut report: impl FnMut(Seen), ended: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return report(Seen::Problem(error.to_string())),
    };
    runtime.block_on(async {
        tokio::select! {
            () = watch(place, &mut report) => {}
            _ = ended => {}
        }
    });
}

async fn watch(place: &ZooKeeper, report: &mut impl FnMut(Seen)) {
    loop {
        let connector = zk::Client::connector().with_session_timeout(SESSION_TIMEOUT);
        let error = match connector.connect(&place.servers).await {
            Ok(client) => follow(&client, &place.path, report).await,
            Err(error) => error,
        };
        report(Seen::Problem(format!("ZooKeeper at {}: {error}", place.servers)));
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Follows the leader until the session has a problem.
async fn follow(client: &zk::Client, path: &str, report: &mut impl FnMut(Seen)) -> zk::Error {
    loop {
        let (children, watcher) = match client.list_and_watch_children(path).await {
            Ok(found) => found,
            Err(error) => return error,
        };
        if let Some(node) = leading_node(children.iter().map(String::as_str)) {
            match client.get_data(&format!("{path}/{node}")).await {
                Ok((data, _)) => report(location(&data)),
                // It went meanwhile; the watch says so.
                Err(zk::Error::NoNode) => {}
                Err(error) => return error,
            }
        }
        watcher.changed().await;
    }
}

fn location(data: &[u8]) -> Seen {
    match read_node(data) {
        Ok(info) => {
            let (host, port) = info.endpoint();
            Seen::Leads(Location { tls: None, host, port, path: String::new() })
        }
        Err(error) => Seen::Problem(format!("the leader's node: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(leader: &Leader) -> String {
        leader.location().map_or_else(|| "-".to_owned(), Location::authority)
    }

    #[test]
    fn masters_are_tried_in_turn_and_redirects_are_followed_once() {
        let mut leader = Leader::find("m1,m2".parse().unwrap(), |_| {}).unwrap();
        assert_eq!(place(&leader), "m1:5050");
        leader.redirected(Location::parse("//m3:1/x").unwrap());
        assert_eq!(place(&leader), "m3:1");
        leader.failed();
        assert_eq!(place(&leader), "m1:5050", "the one that sent us may know more now");
        leader.failed();
        assert_eq!(place(&leader), "m2:5050");
        leader.failed();
        assert_eq!(place(&leader), "m1:5050");
        assert!(!leader.seen(Location::parse("m9").unwrap()));
    }
}
