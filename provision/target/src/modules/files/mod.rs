//! Modules that manage files.

mod archive;
mod assemble;
mod async_status;
mod blockinfile;
mod copy;
mod edit;
mod file;
mod find;
mod htpasswd;
mod ini_file;
mod lineinfile;
mod links;
mod replace;
mod slurp;
mod stat;
mod tempfile;
mod unarchive;
mod xml;

use crate::module::ModuleFunction;

/// The modules of this folder.
#[must_use]
pub fn table() -> &'static [(&'static str, ModuleFunction)] {
    &[
        ("archive", archive::run),
        ("assemble", assemble::run),
        ("async_status", async_status::run),
        ("blockinfile", blockinfile::run),
        ("copy", copy::run),
        ("fetch", slurp::fetch),
        ("file", file::run),
        ("find", find::run),
        ("htpasswd", htpasswd::run),
        ("ini_file", ini_file::run),
        ("lineinfile", lineinfile::run),
        ("replace", replace::run),
        ("slurp", slurp::run),
        ("stat", stat::run),
        ("tempfile", tempfile::run),
        ("template", copy::run),
        ("unarchive", unarchive::run),
        ("xml", xml::run),
    ]
}
