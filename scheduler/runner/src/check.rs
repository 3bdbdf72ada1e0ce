//! One look at whether a task is healthy.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::docker;
use crate::folder::Folder;
use crate::processes::FOLDER_VARIABLE;
use crate::supervisor::inherited;
use crate::task::{Check, Probe, Program, Task};

/// The longest first line of an answer that is read.
const STATUS_LINE_MOST_BYTES: usize = 256;

/// Whether the probe passes now.
pub async fn passes(check: &Check, task: &Task, folder: &Folder, docker: &str) -> bool {
    let probe = async {
        match &check.probe {
            Probe::Http { path, port } => get(path, *port).await,
            Probe::Tcp { port } => TcpStream::connect(("127.0.0.1", *port)).await.is_ok(),
            Probe::Command(words) => run(words, task, folder, docker).await,
        }
    };
    // At least a millisecond, so that a timeout of none isn't a check that never passes by race.
    let limit = check.timeout.max(Duration::from_millis(1));
    timeout(limit, probe).await.unwrap_or(false)
}

async fn get(path: &str, port: u16) -> bool {
    status(path, port).await.is_some_and(|status| (200..400).contains(&status))
}

/// The status of a GET; nothing more of the answer is looked at.
async fn status(path: &str, port: u16) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: corral-check\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < STATUS_LINE_MOST_BYTES && !line.ends_with(b"\n") {
        if stream.read(&mut byte).await.ok()? == 0 {
            break;
        }
        line.extend_from_slice(&byte);
    }
    let line = String::from_utf8(line).ok()?;
    let (version, rest) = line.split_once(' ')?;
    let is_http = version.starts_with("HTTP/1.");
    rest.get(..3).filter(|_| is_http)?.parse().ok()
}

async fn run(words: &[String], task: &Task, folder: &Folder, docker: &str) -> bool {
    let own = ["exec".to_owned(), docker::container(task)];
    let (program, arguments): (&str, Vec<&String>) = match (&task.program, words.split_first()) {
        (_, None) => return false,
        (Program::Command(_), Some((program, arguments))) => (program, arguments.iter().collect()),
        (Program::Image { .. }, Some(_)) => (docker, own.iter().chain(words).collect()),
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder.sandbox()).env_clear();
    command.envs(inherited(&["HOME"])).envs(&task.environment);
    command.env(FOLDER_VARIABLE, folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.process_group(0).kill_on_drop(true);
    command.status().await.is_ok_and(|status| status.success())
}
