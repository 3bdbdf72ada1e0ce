//! A master as a program of its own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesos_zookeeper::Place;
use simulator_mesos::{Configuration, Nanoseconds};
use simulator_mesos_server::{ServeError, Server, Told};
use tokio::signal::unix::{SignalKind, signal};

use crate::flags::{FlagError, Flags};
use crate::{ReleaseError, log, version};

/// Runs a master until it is told to end.
///
/// # Errors
/// It can't begin.
pub async fn run(flags: &Flags) -> Result<(), ReleaseError> {
    let (listen, configuration) = read(flags)?;
    let fail = ReleaseError::machine("listen to signals");
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let fail = ReleaseError::machine("listen to signals");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let place = flags.text("zk")?.map(|text| {
        text.parse::<Place>().map_err(|error| FlagError::Value {
            name: "zk".to_owned(),
            value: text.clone(),
            reason: error.to_string(),
        })
    });
    let place = place.transpose()?;
    let work_dir = flags.given("work_dir").map(PathBuf::from);
    if let Some(work_dir) = &work_dir {
        mark(work_dir)?;
    }
    for name in flags.without_effect() {
        log('W', format!("--{name} has no effect here"));
    }
    let no_socket = |error: ServeError| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        ReleaseError::Machine { what: error.to_string(), cause: cause.unwrap_or_default() }
    };
    log('I', format!("a simulated Mesos for real agents, on http://{listen}"));
    let serves = async {
        match place {
            None => {
                let (server, _) = Server::bind(listen, configuration).await.map_err(no_socket)?;
                server.run().await;
                Ok(())
            }
            Some(place) => {
                let bound = Server::bind_candidates(&[listen], configuration).await;
                let (mut servers, _) = bound.map_err(no_socket)?;
                let Some(server) = servers.pop() else { return Ok(()) };
                let why = server.contend(&place, |told| tell(&told)).await;
                // As with Mesos' masters: that is how it stays safe.
                Err(ReleaseError::Ended(format!("the lead is lost: {why}")))
            }
        }
    };
    tokio::select! {
        outcome = serves => return outcome,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    log('I', "stopped; agents find the next master");
    Ok(())
}

fn tell(told: &Told) {
    match told {
        Told::Problem(why) => log('W', why),
        Told::Joined(node) => log('I', format!("it has the node {node}")),
        Told::Elected => log('I', "elected as the leading master"),
        Told::StandsBy(Some(leader)) => log('I', format!("stands by; {leader} leads")),
        Told::StandsBy(None) => log('I', "stands by; nobody leads"),
        Told::Lost(why) => log('W', format!("stands for the lead anew: {why}")),
    }
}

/// A master that has served has a folder for its log, by which it is seen that the cluster has begun;
/// nothing is in it but this.
fn mark(work_dir: &Path) -> Result<(), ReleaseError> {
    let folder = work_dir.join("replicated_log");
    let write = || {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("README"), "The simulated Mesos replicates nothing.\n")
    };
    write().map_err(ReleaseError::machine(format!("write to {}", folder.display())))
}

fn read(flags: &Flags) -> Result<(SocketAddr, Configuration), ReleaseError> {
    flags.refuse(
        &["credentials", "acls", "whitelist", "rate_limits"],
        &[
            "authenticate_agents",
            "authenticate_frameworks",
            "authenticate_http_frameworks",
            "authenticate_http_readonly",
            "authenticate_http_readwrite",
        ],
    )?;
    let address = flags.address("ip")?.unwrap_or(Ipv4Addr::LOCALHOST.into());
    let port = flags.port("port")?.unwrap_or(mesos::location::MASTER_PORT);
    let defaults = Configuration::default();
    let nanoseconds = |duration: Duration| -> Nanoseconds {
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
    };
    let time = |name: &str, otherwise: Nanoseconds| -> Result<Nanoseconds, ReleaseError> {
        Ok(flags.duration(name)?.map_or(otherwise, nanoseconds))
    };
    let configuration = Configuration {
        seed: seed(),
        hostname: flags.given("hostname").map_or_else(|| address.to_string(), str::to_owned),
        allocation_interval: time("allocation_interval", defaults.allocation_interval)?
            .max(simulator_mesos::MILLISECOND),
        offer_timeout: flags.duration("offer_timeout")?.map(nanoseconds),
        agent_ping_timeout: time("agent_ping_timeout", defaults.agent_ping_timeout)?,
        max_agent_ping_timeouts: flags
            .number("max_agent_ping_timeouts")?
            .unwrap_or(defaults.max_agent_ping_timeouts),
        agent_reregister_timeout: time(
            "agent_reregister_timeout",
            defaults.agent_reregister_timeout,
        )?,
        version: version::of_release(),
        flags: own_flags(flags),
        ..defaults
    };
    Ok((SocketAddr::new(address, port), configuration))
}

/// What the page of flags tells besides what the simulated master knows itself.
fn own_flags(flags: &Flags) -> BTreeMap<String, String> {
    for known in ["quorum", "cluster"] {
        let _ = flags.given(known);
    }
    flags.page()
}

/// Of ids: no two masters ever have the same.
fn seed() -> u64 {
    let mut bytes = [0_u8; 8];
    if getrandom::fill(&mut bytes).is_ok() {
        return u64::from_le_bytes(bytes);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
