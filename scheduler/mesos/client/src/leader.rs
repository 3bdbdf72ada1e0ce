//! Which master leads.

use std::thread;

use mesos::Location;
use mesos_zookeeper::Place;
use tokio::sync::oneshot;

use crate::address::Address;

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

fn run(place: &Place, mut report: impl FnMut(Seen), ended: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return report(Seen::Problem(error.to_string())),
    };
    runtime.block_on(async {
        tokio::select! {
            () = mesos_zookeeper::detect(place, |seen| report_one(seen, &mut report)) => {}
            _ = ended => {}
        }
    });
}

fn report_one(seen: mesos_zookeeper::Seen, report: &mut impl FnMut(Seen)) {
    match seen {
        mesos_zookeeper::Seen::Leads(info) => {
            let (host, port) = info.endpoint();
            report(Seen::Leads(Location { tls: None, host, port, path: String::new() }));
        }
        // The last one stays until there is another: its stream says whether it is there.
        mesos_zookeeper::Seen::Nobody => {}
        mesos_zookeeper::Seen::Problem(why) => report(Seen::Problem(why)),
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
