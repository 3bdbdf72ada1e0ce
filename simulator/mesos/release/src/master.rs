//! A master as a program of its own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use simulator_mesos::{Configuration, Nanoseconds};
use simulator_mesos_server::Server;
use tokio::signal::unix::{SignalKind, signal};

use crate::flags::Flags;
use crate::{ReleaseError, log, version};

/// Runs a master until it is told to end.
///
/// # Errors
/// It can't begin.
pub async fn run(flags: &Flags) -> Result<(), ReleaseError> {
    let (listen, configuration) = read(flags)?;
    for name in flags.without_effect() {
        log('W', format!("--{name} has no effect here"));
    }
    let fail = ReleaseError::machine("listen to signals");
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let fail = ReleaseError::machine("listen to signals");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let (server, _) = Server::bind(listen, configuration).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        ReleaseError::Machine { what: error.to_string(), cause: cause.unwrap_or_default() }
    })?;
    log('I', format!("a simulated Mesos for real agents, on http://{}", server.address()));
    tokio::select! {
        () = server.run() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    log('I', "stopped; agents find the next master");
    Ok(())
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
    for known in ["quorum", "work_dir", "cluster"] {
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
