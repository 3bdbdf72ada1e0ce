//! Names of hosts to addresses.
//!
//! The helper is linked statically, so libc's resolver with its plugins is out of reach: numbers
//! and `/etc/hosts` are read here, everything else is asked from `getent`.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::super::process::find_program;

/// Addresses of a name, at least one, in the order they should be tried.
///
/// # Errors
/// When there is no such name.
pub fn addresses(name: &str, timeout: Duration) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut found = in_hosts(&hosts, name);
    // RFC 6761: never asked from a name server.
    if found.is_empty() && (name == "localhost" || name.ends_with(".localhost")) {
        found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    if found.is_empty() {
        found = asked(name, timeout)?;
    }
    if found.is_empty() {
        let message = format!("Name or service not known: {name}");
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    Ok(found)
}

fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let mut found = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

fn asked(name: &str, timeout: Duration) -> io::Result<Vec<IpAddr>> {
    let (Some(getent), Some(program)) = (find_program("getent"), find_program("timeout")) else {
        return Ok(Vec::new());
    };
    let output = Command::new(program)
        .arg(timeout.as_secs().max(1).to_string())
        .arg(getent)
        .args(["ahosts", "--", name])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found: Vec<IpAddr> = Vec::new();
    for line in text.lines() {
        let address = line.split_whitespace().next().and_then(|word| word.parse().ok());
        if let Some(address) = address.filter(|address| !found.contains(address)) {
            found.push(address);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_addresses() {
        let second = Duration::from_secs(1);
        assert_eq!(addresses("127.0.0.1", second).unwrap(), [IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(addresses("::1", second).unwrap().len(), 1);
        assert!(addresses("localhost", second).unwrap().iter().all(IpAddr::is_loopback));
        assert!(addresses("no-such-host.invalid", second).is_err());
        let hosts = "10.0.0.1 a A.example # b\n10.0.0.2 b a\nbroken a\n";
        assert_eq!(in_hosts(hosts, "a").len(), 2);
        assert_eq!(in_hosts(hosts, "a.EXAMPLE").len(), 1);
    }
}
