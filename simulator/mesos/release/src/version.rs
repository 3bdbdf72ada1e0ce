//! The version that a release says it has.

use std::path::Path;

/// The file of the release, beside the program's folder: its only line is the version.
const FILE: &str = "share/mesos/version";

/// The version of the release that this program is part of; outside of one that of the recorded master.
pub fn of_release() -> String {
    let program = std::env::current_exe().ok();
    let text = program.as_deref().and_then(Path::parent).and_then(Path::parent).and_then(|root| {
        let text = std::fs::read_to_string(root.join(FILE)).ok()?;
        let text = text.trim();
        let is_version = !text.is_empty()
            && text.len() < 40
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte));
        is_version.then(|| text.to_owned())
    });
    text.unwrap_or_else(|| simulator_mesos::configuration::VERSION.to_owned())
}
