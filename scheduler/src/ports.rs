//! Whether ports of this machine are free.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

/// Whether somebody listens at a port of the loopback, or everywhere. Who listens at another address
/// of this machine only isn't seen.
pub fn is_taken(port: u16) -> bool {
    let attempt = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    attempt.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_while_somebody_listens() {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_taken(port));
        drop(listener);
        assert!(!is_taken(port));
    }
}
