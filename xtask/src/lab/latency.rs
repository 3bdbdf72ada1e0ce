//! `[io]` Delay between the controller and the hosts.

/// Port of the delayed way to a host's sshd.
pub const PORT: u16 = 2222;
