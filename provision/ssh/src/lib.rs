//! `[io]` SSH on russh: host keys, identities, configuration, jump hosts and sessions.
