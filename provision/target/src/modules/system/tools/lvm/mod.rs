//! `lvg` and `lvol`: volume groups and logical volumes, through the programs of LVM.

mod group;
mod volume;

pub use group::lvg;
pub use volume::lvol;

use super::super::process::Run;
use crate::module::{Context, Failure};

/// Bytes of LVM's units in lower case. In upper case they are powers of 1000.
const UNITS: &[(char, u64)] = &[
    ('b', 1),
    ('s', 512),
    ('k', 1 << 10),
    ('m', 1 << 20),
    ('g', 1 << 30),
    ('t', 1 << 40),
    ('p', 1 << 50),
    ('e', 1 << 60),
];

/// Bytes of a unit.
fn unit_bytes(unit: char) -> Option<f64> {
    let known = UNITS.iter().position(|(name, _)| *name == unit.to_ascii_lowercase())?;
    let bytes = UNITS.get(known)?.1;
    if unit.is_ascii_uppercase() && known >= 2 {
        let power = i32::try_from(known).unwrap_or(2) - 1;
        return Some(1000_f64.powi(power));
    }
    Some(bytes as f64)
}

/// What a report of LVM says: a line an entry, its fields.
fn report(
    program: &str,
    fields: &str,
    of: &[&str],
    context: &Context<'_>,
) -> Result<Option<Vec<Vec<String>>>, Failure> {
    let options = ["--noheadings", "--nosuffix", "--units", "b", "--separator", ";", "-o", fields];
    let finished =
        run(program, &options.into_iter().chain(of.iter().copied()).collect::<Vec<_>>())?
            .run(context)?;
    if !finished.succeeded() {
        return Ok(None);
    }
    let split = |line: &str| line.trim().split(';').map(|field| field.trim().to_owned()).collect();
    let said = finished.stdout_text();
    Ok(Some(said.lines().filter(|line| !line.trim().is_empty()).map(split).collect()))
}

fn run(program: &str, words: &[&str]) -> Result<Run, Failure> {
    Ok(Run::tool(program)?.parsable().arguments(words))
}

/// What a call does to a group or volume.
struct Work {
    /// What it is done to, for errors.
    what: String,
    changed: bool,
}

impl Work {
    fn on(what: impl Into<String>) -> Work {
        Work { what: what.into(), changed: false }
    }

    /// Runs a program that changes something, unless it is a check.
    fn perform(
        &mut self,
        program: &str,
        words: &[&str],
        failure: &str,
        context: &mut Context<'_>,
    ) -> Result<(), Failure> {
        self.changed = true;
        if context.check {
            return Ok(());
        }
        context.about_to_change()?;
        let finished = run(program, words)?.run(context)?;
        if finished.succeeded() {
            return Ok(());
        }
        let said = finished.stderr_text();
        let message = format!("{failure} {}: {}", self.what, said.trim());
        Err(finished.failure(message).with("err", said))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use serde_json::Value;

    use crate::module::{Failure, Outcome};
    use crate::modules::system::testing::context;

    /// A disk of 64 MiB, and a configuration of LVM that looks at nothing else and leaves the
    /// kernel's device mapper alone: machines of tests may have none.
    pub(super) struct Disks {
        folder: tempfile::TempDir,
        pub(super) devices: Vec<String>,
    }

    impl Disks {
        pub(super) fn new(count: usize) -> Disks {
            let folder = tempfile::tempdir().unwrap();
            let devices: Vec<String> = (0..count)
                .map(|number| {
                    let image = folder.path().join(format!("{number}.img"));
                    std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
                    let said = Command::new("losetup").args(["-f", "--show"]).arg(&image).output();
                    let said = said.unwrap();
                    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
                    String::from_utf8(said.stdout).unwrap().trim().to_owned()
                })
                .collect();
            let accepted: Vec<String> =
                devices.iter().map(|device| format!("\"a|^{device}$|\"")).collect();
            let text = format!(
                "global {{ activation = 0\n use_lvmpolld = 0\n locking_dir = \"{0}\" }}\n\
                 devices {{ use_devicesfile = 0\n filter = [ {1}, \"r|.*|\" ] }}\n\
                 backup {{ backup = 0\n archive = 0 }}\n",
                folder.path().display(),
                accepted.join(", ")
            );
            std::fs::write(folder.path().join("lvm.conf"), text).unwrap();
            Disks { folder, devices }
        }

        pub(super) fn call(&self, module: &str, given: Value) -> Result<Outcome, Failure> {
            self.call_as(module, given, false)
        }

        pub(super) fn check(&self, module: &str, given: Value) -> Result<Outcome, Failure> {
            self.call_as(module, given, true)
        }

        fn call_as(&self, module: &str, given: Value, check: bool) -> Result<Outcome, Failure> {
            let mut bench = context();
            bench.check = check;
            let folder: PathBuf = self.folder.path().to_owned();
            bench.environment.insert("LVM_SYSTEM_DIR".into(), folder.display().to_string());
            bench.call_named(module, given)
        }

        /// Makes a disk larger.
        pub(super) fn grow(&self, number: usize, bytes: u64) {
            let image = self.folder.path().join(format!("{number}.img"));
            std::fs::File::options().write(true).open(image).unwrap().set_len(bytes).unwrap();
            let device = &self.devices[number];
            assert!(Command::new("losetup").args(["-c", device]).status().unwrap().success());
        }

        /// What a report says.
        pub(super) fn says(&self, program: &str, fields: &str) -> Vec<String> {
            let said = Command::new(program)
                .args(["--noheadings", "--separator", ";", "--units", "m", "--nosuffix", "-o"])
                .arg(fields)
                .env("LVM_SYSTEM_DIR", self.folder.path())
                .output()
                .unwrap();
            let said = String::from_utf8(said.stdout).unwrap();
            said.lines().map(|line| line.trim().to_owned()).collect()
        }
    }

    impl Drop for Disks {
        fn drop(&mut self) {
            for device in &self.devices {
                let _ = Command::new("losetup").args(["-d", device]).status();
            }
        }
    }
}
