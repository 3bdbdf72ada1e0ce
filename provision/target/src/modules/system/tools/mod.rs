//! Modules that work through a program of the host, as Ansible's do: firewall, kernel modules,
//! alternatives, package managers of languages, file systems, containers.

mod acl;
mod alternatives;
mod capabilities;
mod filesystem;
mod firewalld;
mod git;
mod iptables;
mod languages;
mod lvm;
mod modprobe;
mod parted;
mod pip;
mod selinux;
mod subversion;
mod synchronize;

pub(super) use acl::acl;
pub(super) use alternatives::alternatives;
pub(super) use capabilities::capabilities;
pub(super) use filesystem::filesystem;
pub(super) use firewalld::firewalld;
pub(super) use git::git;
pub(super) use iptables::iptables;
pub(super) use languages::{gem, npm};
pub(super) use lvm::{lvg, lvol};
pub(super) use modprobe::modprobe;
pub(super) use parted::parted;
pub(super) use pip::pip;
pub(super) use selinux::{seboolean, selinux};
pub(super) use subversion::subversion;
pub(super) use synchronize::synchronize;

use super::process::{Finished, Run};
use crate::module::{Context, Failure};

/// Runs a program of the host and gives back what it said, whatever its exit code.
fn ask(program: &str, arguments: &[&str], context: &Context<'_>) -> Result<Finished, Failure> {
    Ok(Run::tool(program)?.arguments(arguments).parsable().run(context)?)
}

/// Runs a program that changes something, unless it is a check.
fn change(program: &str, arguments: &[&str], context: &mut Context<'_>) -> Result<(), Failure> {
    if context.check {
        return Ok(());
    }
    context.about_to_change()?;
    Run::tool(program)?.arguments(arguments).parsable().succeed(context)?;
    Ok(())
}
