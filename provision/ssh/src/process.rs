//! A remote command: its streams and its end.
//!
//! Two tasks per command move bytes between russh's channel and our pipes, because russh's own
//! stream types wait for ever for window or messages once the connection is gone.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig, client};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::sync::{oneshot, watch};

use crate::error::SshError;
use crate::link::Link;
use crate::pipe::{Broken, PipeReader, PipeWriter, pipe};

/// What one output stream holds before the host has to wait.
const OUTPUT_LIMIT_BYTES: usize = 512 * 1024;
/// What the input stream holds before the writer has to wait.
const INPUT_LIMIT_BYTES: usize = 512 * 1024;
/// The extended data type of standard error (RFC 4254, section 5.2).
const EXTENDED_DATA_STDERR: u32 = 1;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this code.
    Code(u32),
    /// It was ended by a signal, named without `SIG`.
    Signal(String),
}

impl ExitStatus {
    /// Whether the command returned 0.
    #[must_use]
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }
}

/// Standard input of a command. Shutting it down or dropping it sends the end of file.
#[derive(Debug)]
pub struct Stdin(PipeWriter);

/// Standard output or standard error of a command. Reading fails with `ConnectionReset` (and an
/// [`SshError`] inside) if the connection breaks; a regular end is the command's own.
///
/// Every stream must be read or dropped: russh takes all channels of a connection from one queue,
/// so a full stream that nobody reads stops the whole connection.
#[derive(Debug)]
pub struct Output(PipeReader);

/// The end of a command. Dropping it closes the channel, whoever holds the streams.
#[derive(Debug)]
pub struct Exit {
    status: watch::Receiver<Option<Result<ExitStatus, Broken>>>,
    control: Arc<ChannelWriteHalf<client::Msg>>,
    // Dropped with this: tells the pump that nobody is interested any more.
    _interest: oneshot::Sender<()>,
}

/// A running command. Dropping it closes the channel; what the command then does is its own
/// affair (usually it meets a closed pipe).
#[derive(Debug)]
pub struct Process {
    /// Standard input.
    pub stdin: Stdin,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// The end.
    pub exit: Exit,
}

/// Everything that a command wrote, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectedOutput {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// The end.
    pub status: ExitStatus,
}

impl Exit {
    /// Waits until the host reports the end. Can be called again.
    ///
    /// # Errors
    /// The connection broke, the host did not start the command, or it closed the channel without
    /// saying how the command ended.
    pub async fn wait(&mut self) -> Result<ExitStatus, SshError> {
        let status = match self.status.wait_for(Option::is_some).await {
            Ok(status) => status.clone(),
            Err(_) => None,
        };
        match status {
            Some(Ok(status)) => Ok(status),
            Some(Err(broken)) => Err(broken.to_ssh_error()),
            None => Err(Broken::Ended.to_ssh_error()),
        }
    }

    /// Asks the host to send a signal, named without `SIG`, to the command. Servers may ignore it.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn signal(&self, name: &str) -> Result<(), SshError> {
        let signal = Sig::Custom(name.to_owned());
        self.control.signal(signal).await.map_err(|_| Broken::Ended.to_ssh_error())
    }
}

impl Process {
    /// Waits until the host reports the end: `exit.wait()`.
    ///
    /// # Errors
    /// As [`Exit::wait`].
    pub async fn wait(&mut self) -> Result<ExitStatus, SshError> {
        self.exit.wait().await
    }

    /// Ends the input and collects both outputs, each up to `limit_bytes`; what is beyond is read
    /// and dropped.
    ///
    /// # Errors
    /// As [`Exit::wait`].
    pub async fn collect(self, limit_bytes: u64) -> Result<CollectedOutput, SshError> {
        let Self { stdin, stdout, stderr, mut exit } = self;
        drop(stdin);
        let (stdout, stderr, status) =
            tokio::join!(drain(stdout, limit_bytes), drain(stderr, limit_bytes), exit.wait());
        let status = status?;
        let lost = |error: io::Error| SshError::ConnectionLost {
            address: String::new(),
            detail: error.to_string(),
        };
        Ok(CollectedOutput { stdout: stdout.map_err(lost)?, stderr: stderr.map_err(lost)?, status })
    }
}

async fn drain(mut stream: Output, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    (&mut stream).take(limit_bytes).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(kept)
}

impl AsyncWrite for Stdin {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

/// Starts the two tasks of an open channel.
pub(crate) fn attach(channel: russh::Channel<client::Msg>, link: Arc<Link>) -> Process {
    let (read, write) = channel.split();
    let write = Arc::new(write);
    let vanished = || Some(link.lost("the runtime was shut down"));
    let (stdout_writer, stdout) = pipe(OUTPUT_LIMIT_BYTES, vanished());
    let (stderr_writer, stderr) = pipe(OUTPUT_LIMIT_BYTES, vanished());
    let (stdin, stdin_reader) = pipe(INPUT_LIMIT_BYTES, None);
    let (status_sender, status) = watch::channel(None);
    let (done_sender, done) = watch::channel(None);
    let (interest, no_interest) = oneshot::channel();
    let outputs = Outputs { stdout: stdout_writer, stderr: stderr_writer, status: status_sender };
    let control = Arc::clone(&write);
    tokio::spawn(async move {
        let ended = pump_output(read, &outputs, &link, no_interest).await;
        let broken = match &ended {
            PumpEnd::Closed => None,
            PumpEnd::Broken(broken) => Some(broken.clone()),
            PumpEnd::NoInterest => Some(Broken::Ended),
        };
        outputs.finish(broken.clone(), &link);
        done_sender.send_replace(Some(broken.unwrap_or(Broken::Ended)));
        if ended == PumpEnd::NoInterest {
            let _ = control.close().await;
        }
    });
    let pump = Arc::clone(&write);
    tokio::spawn(async move { pump_input(&pump, stdin_reader, done).await });
    Process {
        stdin: Stdin(stdin),
        stdout: Output(stdout),
        stderr: Output(stderr),
        exit: Exit { status, control: write, _interest: interest },
    }
}

struct Outputs {
    stdout: PipeWriter,
    stderr: PipeWriter,
    status: watch::Sender<Option<Result<ExitStatus, Broken>>>,
}

impl Outputs {
    fn set_status(&self, status: ExitStatus) {
        self.status.send_if_modified(|current| {
            let is_new = current.is_none();
            if is_new {
                *current = Some(Ok(status));
            }
            is_new
        });
    }

    fn finish(&self, broken: Option<Broken>, link: &Link) {
        self.stdout.finish(broken.clone());
        self.stderr.finish(broken.clone());
        self.status.send_if_modified(|current| {
            if current.is_some() {
                return false;
            }
            let broken = broken
                .unwrap_or_else(|| link.lost("the host closed the channel without an exit status"));
            *current = Some(Err(broken));
            true
        });
    }
}

#[derive(Debug, PartialEq, Eq)]
enum PumpEnd {
    Closed,
    Broken(Broken),
    NoInterest,
}

/// Moves messages to the pipes until the channel ends. Drops its half of the channel when it
/// returns, which frees a russh session that waits for room in it.
async fn pump_output(
    mut read: ChannelReadHalf,
    outputs: &Outputs,
    link: &Link,
    mut no_interest: oneshot::Receiver<()>,
) -> PumpEnd {
    let mut closing = link.closing();
    let stop = async {
        tokio::select! {
            _ = &mut no_interest => PumpEnd::NoInterest,
            _ = closing.wait_for(|closing| *closing) => {
                // A connection that ended by itself is closed by us afterwards.
                let reason = link.ended();
                let reason = reason.as_deref().unwrap_or("the session was closed by us");
                PumpEnd::Broken(link.lost(reason))
            }
        }
    };
    let work = async {
        loop {
            let Some(message) = read.wait().await else {
                return PumpEnd::Broken(link.end_reason().await);
            };
            match message {
                // A stream that nobody reads any more is read and dropped.
                ChannelMsg::Data { data } => drop(outputs.stdout.send(data).await),
                ChannelMsg::ExtendedData { data, ext: EXTENDED_DATA_STDERR } => {
                    drop(outputs.stderr.send(data).await);
                }
                ChannelMsg::Eof => {
                    outputs.stdout.finish(None);
                    outputs.stderr.finish(None);
                }
                ChannelMsg::ExitStatus { exit_status } => {
                    outputs.set_status(ExitStatus::Code(exit_status));
                }
                ChannelMsg::ExitSignal { signal_name, .. } => {
                    outputs.set_status(ExitStatus::Signal(signal_text(signal_name)));
                }
                ChannelMsg::Failure => {
                    return PumpEnd::Broken(link.refused("the host refused to run it"));
                }
                ChannelMsg::Close => return PumpEnd::Closed,
                _ => {}
            }
        }
    };
    tokio::select! {
        end = stop => end,
        end = work => end,
    }
}

fn signal_text(signal: Sig) -> String {
    match signal {
        Sig::Custom(name) => name,
        known => format!("{known:?}"),
    }
}

/// Moves input to the channel until the input or the channel ends.
async fn pump_input(
    write: &ChannelWriteHalf<client::Msg>,
    stdin: PipeReader,
    mut done: watch::Receiver<Option<Broken>>,
) {
    let work = async {
        while let Ok(Some(chunk)) = stdin.receive().await {
            if write.data_bytes(chunk).await.is_err() {
                return;
            }
        }
        let _ = write.eof().await;
        // Only the channel's end is left to wait for; it is the other branch.
        std::future::pending::<()>().await;
    };
    let reason = tokio::select! {
        () = work => None,
        reason = done.wait_for(Option::is_some) => reason.ok().and_then(|reason| reason.clone()),
    };
    stdin.close(reason.unwrap_or(Broken::Ended));
}

/// Both directions of a channel as one stream: the way through a jump host.
#[derive(Debug)]
pub(crate) struct Tunnel {
    process: Process,
}

impl Tunnel {
    pub(crate) fn new(process: Process) -> Self {
        Self { process }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.process.stdout).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.process.stdin).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.process.stdin).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.process.stdin).poll_shutdown(context)
    }
}
