//! A logged-in connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{Handle, Msg};
use russh::{Channel, ChannelOpenFailure, Disconnect};
use tokio::sync::oneshot;

use crate::error::SshError;
use crate::host_key::HostKey;
use crate::link::{Link, Negotiated};
use crate::process::{Process, Tunnel, attach};
use crate::resolve::Target;
use crate::transport::{Connection, Gate, printable};

/// How long a closed connection may take to say goodbye.
const GOODBYE_LIMIT: Duration = Duration::from_secs(2);
/// A command longer than this is a mistake; sshd's own limit for one packet is 256 KiB.
const COMMAND_LIMIT_BYTES: usize = 128 * 1024;

/// A connection to one host, logged in. Dropping it closes the connection and breaks every
/// [`Process`] on it.
pub struct Session {
    handle: Arc<Handle<Gate>>,
    link: Arc<Link>,
    description: SessionDescription,
    // Dropped with this: the closing task then says goodbye.
    closer: Option<oneshot::Sender<oneshot::Sender<()>>>,
    // The way to this host must live as long as the connection.
    _jump: Option<Box<Session>>,
}

/// What a connection is, for messages and `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDescription {
    /// What the user calls the host, with address and port.
    pub address: String,
    /// The remote user.
    pub user: String,
    /// The host's key (the certified one, if it has a certificate).
    pub host_key: Option<HostKey>,
    /// The algorithms; strict key exchange.
    pub negotiated: Option<Negotiated>,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("description", &self.description).finish()
    }
}

impl Session {
    pub(crate) fn new(connection: Connection, target: &Target, jump: Option<Session>) -> Self {
        let Connection { handle, link } = connection;
        let handle = Arc::new(handle);
        let description = SessionDescription {
            address: target.address(),
            user: target.user.clone(),
            host_key: link.host_key(),
            negotiated: link.negotiated(),
        };
        let (closer, closed) = oneshot::channel();
        tokio::spawn(say_goodbye(Arc::clone(&handle), Arc::clone(&link), closed));
        Self { handle, link, description, closer: Some(closer), _jump: jump.map(Box::new) }
    }

    /// Who and what this is connected to.
    #[must_use]
    pub fn description(&self) -> &SessionDescription {
        &self.description
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed() || self.link.ended().is_some()
    }

    /// Waits until the connection has ended, whatever the cause, and says why.
    pub async fn closed(&self) -> String {
        self.link.wait_end().await
    }

    /// Starts a command, which the user's login shell on the host interprets. Takes one round
    /// trip; a refusal by the host shows at the first read or in [`crate::Exit::wait`].
    ///
    /// # Errors
    /// The connection is gone, or the host opens no further channel.
    pub async fn exec(&self, command: &str) -> Result<Process, SshError> {
        if command.len() > COMMAND_LIMIT_BYTES || command.contains('\0') {
            return Err(self.refusal("the command is longer than 128 KiB or contains NUL"));
        }
        let channel = self.open(self.handle.channel_open_session()).await?;
        // Not waiting for the answer saves a round trip; it arrives in the channel's order.
        channel.exec(true, command).await.map_err(|error| self.channel_error(error))?;
        Ok(attach(channel, Arc::clone(&self.link)))
    }

    /// Closes the connection and waits until the other side has been told.
    pub async fn close(mut self) {
        if let Some(closer) = self.closer.take() {
            let (done, wait) = oneshot::channel();
            if closer.send(done).is_ok() {
                let _ = wait.await;
            }
        }
    }

    /// A connection from the host to another one, for jumps.
    pub(crate) async fn tunnel(&self, host: &str, port: u16) -> Result<Tunnel, SshError> {
        let opening = self.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0);
        let channel = self.open(opening).await?;
        Ok(Tunnel::new(attach(channel, Arc::clone(&self.link))))
    }

    async fn open(
        &self,
        opening: impl Future<Output = Result<Channel<Msg>, russh::Error>>,
    ) -> Result<Channel<Msg>, SshError> {
        tokio::select! {
            opened = opening => opened.map_err(|error| self.channel_error(error)),
            reason = self.link.wait_end() => Err(self.link.lost(&reason).to_ssh_error()),
        }
    }

    fn refusal(&self, detail: &str) -> SshError {
        self.link.refused(detail).to_ssh_error()
    }

    fn channel_error(&self, error: russh::Error) -> SshError {
        match error {
            russh::Error::ChannelOpenFailure(failure) => self.refusal(&open_failure(failure)),
            _ => {
                let reason = self.link.ended();
                let reason = reason.unwrap_or_else(|| "the connection was closed".to_owned());
                self.link.lost(&reason).to_ssh_error()
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.link.close();
    }
}

fn open_failure(failure: ChannelOpenFailure) -> String {
    match failure {
        ChannelOpenFailure::AdministrativelyProhibited => {
            "the host's sshd does not permit it".to_owned()
        }
        ChannelOpenFailure::ConnectFailed => "no connection from there".to_owned(),
        ChannelOpenFailure::UnknownChannelType => {
            "the host does not know this kind of channel".to_owned()
        }
        ChannelOpenFailure::ResourceShortage => "the host is out of resources".to_owned(),
        ChannelOpenFailure::Other { reason, .. } => printable(&reason),
    }
}

/// Waits for the session's end, then tells the other side. The handle's last reference but those
/// of running calls is here.
async fn say_goodbye(
    handle: Arc<Handle<Gate>>,
    link: Arc<Link>,
    closed: oneshot::Receiver<oneshot::Sender<()>>,
) {
    let done = tokio::select! {
        done = closed => done.ok(),
        _ = link.wait_end() => None,
    };
    // Frees russh's loop from channels that nobody reads, so that it gets to the message.
    link.close();
    let goodbye = async {
        let _ = handle.disconnect(Disconnect::ByApplication, "", "").await;
        drop(handle);
        link.wait_end().await
    };
    let _ = tokio::time::timeout(GOODBYE_LIMIT, goodbye).await;
    if let Some(done) = done {
        let _ = done.send(());
    }
}
