//! SSH keys for accounts.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::super::private::PrivateFolder;
use super::super::process::Run;
use super::{Progress, UserArguments};
use crate::disk::metadata;
use crate::module::{Context, Failure};
use crate::names::User;

/// Type of the key, if the call doesn't say.
const KEY_TYPE: &str = "rsa";

/// The key's file below the home folder.
pub(super) fn default_name(given: &UserArguments) -> String {
    match &given.ssh_key_file {
        Some(file) => file.clone(),
        None => format!(".ssh/id_{}", given.ssh_key_type.as_deref().unwrap_or(KEY_TYPE)),
    }
}

/// Makes sure that the account has a key, and describes it.
pub(super) fn generate(
    given: &UserArguments,
    user: &User,
    context: &mut Context<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let private = user.home.join(default_name(given));
    let public = PathBuf::from(format!("{}.pub", private.display()));
    if !private.is_absolute() || (!user.home.exists() && !context.check) {
        return Err(Failure::new(format!("User {} home directory does not exist", given.name))
            .with("name", given.name.as_str()));
    }
    if !exists_already(given, &private, &public, progress) {
        progress.change.note("ssh_key", "absent", "present");
        progress.outcome.changed = true;
        if !context.check {
            context.about_to_change()?;
            create(given, user, &private, &public, context, progress)?;
        }
    }
    let fingerprint = match private.exists() {
        true => {
            let run = Run::tool("ssh-keygen")?.argument("-l").argument("-f").argument(&private);
            let finished = run.run(context)?;
            if finished.succeeded() { finished.stdout_text() } else { finished.stderr_text() }
        }
        false => format!("SSH Key file {} does not exist", private.display()),
    };
    progress.set("ssh_fingerprint", fingerprint.trim());
    progress.set("ssh_key_file", private.to_string_lossy());
    let public = fs::read_to_string(&public).ok().map(|text| text.trim().to_owned());
    progress.set("ssh_public_key", public);
    Ok(())
}

/// Whether a key is there and stays; `force` replaces it.
fn exists_already(
    given: &UserArguments,
    private: &Path,
    public: &Path,
    progress: &mut Progress,
) -> bool {
    for (kind, path) in [("private", private), ("public", public)] {
        if !path.exists() {
            continue;
        }
        let path = path.display();
        if !given.force {
            progress.warnings.push(format!(
                "Found existing ssh key {kind} file \"{path}\", no force, so skipping ssh-keygen \
                 generation"
            ));
            return true;
        }
        progress.warnings.push(format!("Overwriting existing ssh key {kind} file \"{path}\""));
    }
    false
}

fn create(
    given: &UserArguments,
    user: &User,
    private: &Path,
    public: &Path,
    context: &mut Context<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    if let Some(folder) = private.parent().filter(|folder| !folder.exists()) {
        DirBuilder::new()
            .mode(0o700)
            .create(folder)
            .and_then(|()| metadata::change_owner(folder, Some(user.uid), Some(user.gid)))
            .map_err(|error| Failure::system("create", folder, &error))?;
    }
    if public.exists() {
        fs::remove_file(public).map_err(|error| Failure::system("remove", public, &error))?;
    }
    let comment = given.ssh_key_comment.clone().unwrap_or_else(|| {
        let uname = rustix::system::uname();
        format!("ansible-generated on {}", uname.nodename().to_string_lossy())
    });
    let mut run = Run::tool("ssh-keygen")?
        .arguments(["-t", given.ssh_key_type.as_deref().unwrap_or(KEY_TYPE)])
        .arguments(["-C", &comment])
        .argument("-f")
        .argument(private)
        // It asks whether an old key may be overwritten.
        .input(b"y\n".to_vec());
    if given.ssh_key_bits > 0 {
        run = run.arguments(["-b", &given.ssh_key_bits.to_string()]);
    }
    // Dropped, and with it removed, when ssh-keygen has ended.
    let mut answers = None;
    match &given.ssh_key_passphrase {
        None => run = run.arguments(["-N", ""]),
        Some(passphrase) => {
            // An argument would show the passphrase to all users of the host: ssh-keygen asks a
            // program of ours, as it does on a desktop.
            let folder = PrivateFolder::for_programs()?;
            folder.write("passphrase", passphrase.as_bytes(), 0o600)?;
            let script = b"#!/bin/sh\nexec cat \"${0%/*}/passphrase\"\n";
            let program = folder.write("ask", script, 0o700)?;
            run = run
                .variable("SSH_ASKPASS", &program.to_string_lossy())
                .variable("SSH_ASKPASS_REQUIRE", "force")
                .variable("DISPLAY", ":0");
            answers = Some(folder);
        }
    }
    progress.run(run, given, context)?;
    drop(answers);
    for path in [private, public] {
        metadata::change_owner(path, Some(user.uid), Some(user.gid))
            .map_err(|error| Failure::system("change the owner of", path, &error))?;
    }
    Ok(())
}
