//! Masters that stand for the lead through ZooKeeper.

use std::net::SocketAddr;

use mesos::MasterInfo;
use mesos_zookeeper::{Place, Seen, Step, contend};

use crate::seat::Seat;

/// What happens to a master that stands for the lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// ZooKeeper can't be reached; it is tried again.
    Problem(String),
    /// It has a node of this name.
    Joined(String),
    /// It leads.
    Elected,
    /// Another one leads, at this host and port, or nobody.
    StandsBy(Option<String>),
    /// Its node is gone, and it makes another one.
    Lost(String),
}

/// Stands for the lead; returns when the lead is lost, and why. A master that hasn't led makes
/// another attempt when its session is lost.
pub(crate) async fn stand(seat: &Seat, place: &Place, mut tell: impl FnMut(Told)) -> String {
    let Some(info) = seat.info() else {
        return std::future::pending().await;
    };
    let mut leads = false;
    // Each change among the nodes tells who leads, mostly the same one.
    let mut known = None;
    loop {
        let mut lost = String::new();
        contend(place, &info, |step| match step {
            Step::Problem(why) => tell(Told::Problem(why)),
            Step::Joined(node) => tell(Told::Joined(node)),
            Step::Members(count) => seat.members(count),
            Step::Elected => {
                leads = true;
                if seat.elected() {
                    tell(Told::Elected);
                }
            }
            Step::Standby(seen) => {
                let leader = match seen {
                    Seen::Leads(info) => Some(authority(&info)),
                    Seen::Nobody => None,
                    Seen::Problem(why) => {
                        tell(Told::Problem(why));
                        None
                    }
                };
                seat.stand_by(leader.clone());
                if known.as_ref() != Some(&leader) {
                    known = Some(leader.clone());
                    tell(Told::StandsBy(leader));
                }
            }
            Step::Lost(why) => {
                seat.stand_by(None);
                lost = why;
            }
        })
        .await;
        if leads {
            return lost;
        }
        tell(Told::Lost(lost));
    }
}

/// Where a master is, as redirects name it.
fn authority(info: &MasterInfo) -> String {
    let (host, port) = info.endpoint();
    match host.parse() {
        Ok(address) => SocketAddr::new(address, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}
