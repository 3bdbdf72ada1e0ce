//! `[io]` Downloads with apt's own downloader, so that proxies, certificates and credentials of
//! this machine's apt configuration are honoured without our reading them.
//!
//! An isolated lab has no network of its own; it asks the process outside over a Unix socket.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{self, CommandFailure, Doing, Error};

/// The socket of the process outside, in the environment of an isolated lab.
pub const SOCKET_VARIABLE: &str = "CORRAL_LAB_UPSTREAM_SOCKET";

const APT_HELPER: &str = "/usr/lib/apt/apt-helper";
/// The largest package we fetch has 60 MB; a mirror slower than 100 kB/s is of no use.
const ANSWER_LIMIT: Duration = Duration::from_secs(600);

/// How files of the upstream are had.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// By apt's downloader in this process's network.
    Apt,
    /// By the process that listens on this socket.
    Socket(PathBuf),
}

/// What came of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// The target file is complete.
    Stored,
    /// The upstream has no such file.
    Absent,
}

impl Upstream {
    /// As the environment says.
    #[must_use]
    pub fn of_environment() -> Self {
        match std::env::var_os(SOCKET_VARIABLE) {
            Some(path) => Self::Socket(path.into()),
            None => Self::Apt,
        }
    }

    /// Downloads `url` to `target` (an absolute path that doesn't exist yet).
    ///
    /// # Errors
    /// The download fails for another reason than absence.
    pub fn fetch(&self, url: &str, target: &Path) -> Result<Fetched, Error> {
        match self {
            Self::Apt => fetch_with_apt(url, target),
            Self::Socket(socket) => {
                ask(socket, url, target).doing(|| format!("ask the outside for {url}"))?
            }
        }
    }
}

fn fetch_with_apt(url: &str, target: &Path) -> Result<Fetched, Error> {
    // The unsandboxed user is root: apt's own user can't write into our cache.
    let mut command = Command::new(APT_HELPER);
    command.args(["-o", "APT::Sandbox::User=root", "download-file", url]).arg(target);
    match error::capture(&mut command) {
        Ok(_) => Ok(Fetched::Stored),
        Err(CommandFailure::Ended { stderr, .. }) if stderr.contains("404") => Ok(Fetched::Absent),
        Err(failure) => Err(failure)
            .doing(|| format!("download {url}"))
            .map_err(|error| error.with_hint("check that `apt-get update` works on this machine")),
    }
}

fn ask(socket: &Path, url: &str, target: &Path) -> std::io::Result<Result<Fetched, Error>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    writeln!(stream, "{url}\t{}", target.display())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(match answer.trim() {
        "stored" => Ok(Fetched::Stored),
        "absent" => Ok(Fetched::Absent),
        other => Err(Error::refused(format!("download {url}"), other)),
    })
}

/// Answers an isolated lab's requests until this process ends.
///
/// Only addresses under `bases` and targets under `directory` are served.
///
/// # Errors
/// The socket can't be made.
pub fn serve_socket(socket: &Path, bases: Vec<String>, directory: PathBuf) -> Result<(), Error> {
    // A socket of an earlier run may be left.
    let _ = fs::remove_file(socket);
    let listener =
        UnixListener::bind(socket).doing(|| format!("listen on {}", socket.display()))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (bases, directory) = (bases.clone(), directory.clone());
            std::thread::spawn(move || answer(stream, &bases, &directory));
        }
    });
    Ok(())
}

fn answer(mut stream: UnixStream, bases: &[String], directory: &Path) {
    let mut line = String::new();
    if BufReader::new(&stream).read_line(&mut line).is_err() {
        return;
    }
    let reply = match line.trim_end().split_once('\t') {
        Some((url, target))
            if bases.iter().any(|base| url.starts_with(base.as_str()))
                && Path::new(target).starts_with(directory)
                && !target.contains("..") =>
        {
            match fetch_with_apt(url, Path::new(target)) {
                Ok(Fetched::Stored) => "stored".to_owned(),
                Ok(Fetched::Absent) => "absent".to_owned(),
                Err(error) => error::render(&error).replace('\n', " "),
            }
        }
        _ => "this isn't a request for a package".to_owned(),
    };
    // The asker may be gone.
    let _ = writeln!(stream, "{reply}");
}
