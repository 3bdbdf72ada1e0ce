//! `ssh_config`: a pure parser, a pure evaluation for one host, and the files around them.
//!
//! What we honour is honoured exactly; what changes nothing for us is listed as ignored; what
//! would change where or how we connect and we cannot do is an error that names file and line, but
//! only if it applies to the host.

mod evaluate;
mod keywords;
mod load;
mod parse;
#[cfg(test)]
mod tests;
mod tokens;
mod values;

pub use evaluate::IgnoredSetting;
pub(crate) use evaluate::{Subject, evaluate};
pub(crate) use load::{Entry, LoadedConfig, load};
pub use parse::{ConfigLine, SshConfigText, parse_ssh_config};
pub(crate) use tokens::Tokens;
pub(crate) use values::{AddressFamily, HostConfig};
