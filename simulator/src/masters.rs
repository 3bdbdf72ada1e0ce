//! `simulator mesos --zk`: masters that stand for the lead through ZooKeeper.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use mesos_zookeeper::Place;
use simulator_mesos::AgentSpec;
use simulator_mesos_server::{Handle, Server, Told};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{AbortHandle, JoinSet};

use crate::exit::Exit;
use crate::paint;

/// From the port of one master to that of the next.
const PORTS_APART: u16 = 10;

/// Masters of `--zk`.
#[derive(Debug, Clone, clap::Args)]
pub struct Masters {
    /// Stand for the lead at this place in ZooKeeper, as Mesos' masters do.
    #[arg(long, value_name = "zk://HOST:PORT,.../PATH")]
    pub zk: Option<Place>,
    /// So many masters in this process, at ports ten apart, that have the same agents.
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "zk",
          value_parser = clap::value_parser!(u16).range(1..=9))]
    pub masters: u16,
}

impl Masters {
    /// Where they listen; none if there are no such ports.
    pub fn addresses(&self, first: SocketAddr) -> Option<Vec<SocketAddr>> {
        let port = |number: u16| match first.port() {
            // Any free one.
            0 => Some(0),
            port => port.checked_add(number.checked_mul(PORTS_APART)?),
        };
        (0..self.masters).map(|it| Some(SocketAddr::new(first.ip(), port(it)?))).collect()
    }
}

/// Who leads in this process, and how to end it.
#[derive(Default)]
struct Seats {
    leader: Option<usize>,
    ends: Vec<AbortHandle>,
}

/// Serves until the last master of this process has ended. `begin` is called when one of them leads
/// for the first time: its agents register then.
pub async fn run(
    servers: Vec<Server>,
    place: Place,
    begin: impl FnOnce(Handle) + Send + 'static,
) -> Exit {
    let Ok(mut killed) = signal(SignalKind::user_defined1()) else {
        paint::error("failed to listen to signals");
        return Exit::Environment;
    };
    let begin = Arc::new(Mutex::new(Some(begin)));
    let seats = Arc::new(Mutex::new(Seats::default()));
    let mut tasks = JoinSet::new();
    for (number, server) in servers.into_iter().enumerate() {
        let (address, handle) = (server.address(), server.handle());
        say!("a simulated Mesos master stands for the lead on http://{address}");
        let (place, begin, own) = (place.clone(), begin.clone(), seats.clone());
        let end = tasks.spawn(async move {
            let why = server
                .contend(&place, |told| {
                    if told == Told::Elected {
                        lock(&own).leader = Some(number);
                        if let Some(begin) = lock(&begin).take() {
                            begin(handle.clone());
                        }
                    }
                    tell_step(address, told);
                })
                .await;
            paint::error(&format!("the master at {address} has lost the lead: {why}"));
        });
        lock(&seats).ends.push(end);
    }
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(_) => {}
                None => return Exit::Environment,
            },
            _ = killed.recv() => kill_leader(&mut lock(&seats)),
        }
    }
}

/// Nothing fails while these are locked.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The leader ends as if it was killed: its connections break, and ZooKeeper gives it up later.
fn kill_leader(seats: &mut Seats) {
    match seats.leader.take().and_then(|number| seats.ends.get(number)) {
        Some(leader) => {
            leader.abort();
            tell!("the leading master is killed");
        }
        None => paint::warning("no master of this process leads"),
    }
}

fn tell_step(address: SocketAddr, told: Told) {
    match told {
        Told::Problem(why) => paint::warning(&format!("{address}: {why}")),
        Told::Joined(node) => tell!("{address} has the node {node}"),
        Told::Elected => tell!("{address} leads"),
        Told::StandsBy(Some(leader)) => tell!("{address} stands by; {leader} leads"),
        Told::StandsBy(None) => tell!("{address} stands by; nobody leads"),
        Told::Lost(why) => tell!("{address} stands for the lead anew: {why}"),
    }
}

/// Agents that register at the leader.
pub fn add_agents(
    handle: &Handle,
    specs: Vec<AgentSpec>,
) -> Result<Vec<simulator_mesos::AgentKey>, Exit> {
    let mut agents = Vec::with_capacity(specs.len());
    for spec in specs {
        let name = spec.hostname.clone();
        match handle.with(|master| master.add_agent(spec)) {
            Ok(key) => agents.push(key),
            Err(error) => {
                paint::error(&format!("failed to add {name}: {error}"));
                return Err(Exit::InvalidInput);
            }
        }
    }
    Ok(agents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_ten_apart() {
        let masters = Masters { zk: None, masters: 3 };
        let ports = |first: &str| -> Option<Vec<u16>> {
            let addresses = masters.addresses(first.parse().unwrap())?;
            Some(addresses.into_iter().map(|it| it.port()).collect())
        };
        assert_eq!(ports("127.0.0.1:5050"), Some(vec![5050, 5060, 5070]));
        assert_eq!(ports("127.0.0.1:0"), Some(vec![0, 0, 0]));
        assert_eq!(ports("127.0.0.1:65520"), None);
    }
}
