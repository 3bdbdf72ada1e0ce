//! The TCP connection under SSH: addresses, time limits, and acknowledgements without delay.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;

use crate::deadline::Deadline;
use crate::error::SshError;
use crate::resolve::Target;

/// russh reads a packet's length and its rest separately; the buffer makes one system call of many.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Reads below this size are conversation, not bulk.
const CONVERSATION_BYTES: usize = 4 * 1024;

/// A connection that acknowledges small messages at once.
///
/// sshd switches Nagle's algorithm off only when the first command starts. Until then (and always
/// on connections that only carry tunnels) its second small message waits for the acknowledgement
/// of the first, which Linux delays by 40 ms if we have nothing to send. In our lab a first command
/// took 63 ms without this and takes 10 ms with it.
#[derive(Debug)]
pub(crate) struct PromptTcp(TcpStream);

/// Resolves the host's name and tries its addresses one after the other, each with its share of
/// the time.
pub(crate) async fn connect(
    target: &Target,
    deadline: &Deadline,
) -> Result<BufReader<PromptTcp>, SshError> {
    deadline.set_stage("the name resolution");
    let addresses = resolve(target).await?;
    deadline.set_stage("the TCP connection");
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (index, address) in addresses.iter().enumerate() {
        let shares = u32::try_from(addresses.len() - index).unwrap_or(1);
        let attempt = TcpStream::connect(address);
        // The last address may use what is left; the deadline itself ends it.
        let connected = if shares == 1 {
            attempt.await
        } else {
            let timeout = || io::Error::from(io::ErrorKind::TimedOut);
            let share = deadline.left() / shares;
            tokio::time::timeout(share, attempt).await.unwrap_or_else(|_| Err(timeout()))
        };
        match connected {
            Ok(stream) => {
                tune(&stream, target);
                return Ok(BufReader::with_capacity(READ_BUFFER_BYTES, PromptTcp(stream)));
            }
            Err(error) => last_error = error,
        }
    }
    Err(SshError::Connect { address: target.address(), source: last_error })
}

async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, SshError> {
    let failed = |source| SshError::Resolve { host: target.host.clone(), source };
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let addresses: Vec<_> = found
        .map_err(failed)?
        .filter(|address| target.address_family.allows(address.ip()))
        .collect();
    if addresses.is_empty() {
        let problem = "the name has no address of the wanted kind";
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, problem)));
    }
    Ok(addresses)
}

/// No delay for small frames, and an end to writing to a host that has vanished. Both are
/// improvements only: failing to set them is not an error.
fn tune(stream: &TcpStream, target: &Target) {
    let _ = stream.set_nodelay(true);
    if let Some(limit) = target.loss_timeout() {
        let milliseconds = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds);
    }
}

impl AsyncRead for PromptTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        if read > 0 && read < CONVERSATION_BYTES {
            // The kernel forgets this by itself: it is not a property but a request.
            let _ = rustix::net::sockopt::set_tcp_quickack(&self.0, true);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PromptTcp {
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
