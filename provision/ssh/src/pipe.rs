//! A bounded pipe of byte chunks between a task and an `AsyncRead` or `AsyncWrite`.
//!
//! russh counts messages, so that many small ones stall a channel that holds next to nothing; this
//! pipe counts bytes. An end is told apart from a break: a truncated stream never looks complete.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::SshError;

/// Why a stream ended before its end. Cheap to copy, unlike [`SshError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The connection is gone.
    Lost { address: String, detail: String },
    /// The host did not start the command.
    Refused { address: String, detail: String },
    /// Nobody reads any more: the command has ended or closed its input.
    Ended,
}

impl Broken {
    pub(crate) fn to_ssh_error(&self) -> SshError {
        match self {
            Self::Lost { address, detail } => {
                SshError::ConnectionLost { address: address.clone(), detail: detail.clone() }
            }
            Self::Refused { address, detail } => {
                SshError::Refused { address: address.clone(), detail: detail.clone() }
            }
            Self::Ended => SshError::ConnectionLost {
                address: String::new(),
                detail: "the command has ended".to_owned(),
            },
        }
    }

    fn to_io_error(&self) -> io::Error {
        match self {
            Self::Ended => io::Error::new(io::ErrorKind::BrokenPipe, "the command has ended"),
            _ => self.to_ssh_error().into(),
        }
    }
}

/// How the writing side ended.
#[derive(Debug, Clone)]
enum End {
    Complete,
    Broken(Broken),
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    length: usize,
    end: Option<End>,
    /// Set when nobody reads any more, with the reason for the writer.
    reader_gone: Option<Broken>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

type Shared = Arc<Mutex<State>>;

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    // A panic while the lock was held cannot leave these few fields half changed.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writing end. Dropped without [`PipeWriter::finish`], the stream counts as broken or, for an
/// input stream, as complete: see [`pipe`].
#[derive(Debug)]
pub(crate) struct PipeWriter {
    shared: Shared,
    limit_bytes: usize,
    on_drop: Option<Broken>,
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct PipeReader {
    shared: Shared,
}

/// Creates a pipe that holds about `limit_bytes` (one more chunk at most). `on_drop` is what the
/// reader is told if the writer vanishes; `None`: a regular end.
pub(crate) fn pipe(limit_bytes: usize, on_drop: Option<Broken>) -> (PipeWriter, PipeReader) {
    let shared = Shared::default();
    (PipeWriter { shared: Arc::clone(&shared), limit_bytes, on_drop }, PipeReader { shared })
}

impl PipeWriter {
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut state = lock(&self.shared);
        if let Some(broken) = &state.reader_gone {
            return Poll::Ready(Err(broken.clone()));
        }
        if state.length < self.limit_bytes {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn push(&self, chunk: Bytes) {
        let mut state = lock(&self.shared);
        state.length += chunk.len();
        state.chunks.push_back(chunk);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// Waits for room and appends a chunk.
    pub(crate) async fn send(&self, chunk: Bytes) -> Result<(), Broken> {
        std::future::poll_fn(|context| self.poll_ready(context)).await?;
        if !chunk.is_empty() {
            self.push(chunk);
        }
        Ok(())
    }

    /// Ends the stream; what is in it can still be read. The first end counts.
    pub(crate) fn finish(&self, broken: Option<Broken>) {
        let mut state = lock(&self.shared);
        if state.end.is_none() {
            state.end = Some(broken.map_or(End::Complete, End::Broken));
        }
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.finish(self.on_drop.clone());
    }
}

impl PipeReader {
    fn poll_chunk(&self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Broken>> {
        let mut state = lock(&self.shared);
        if let Some(chunk) = state.chunks.pop_front() {
            state.length -= chunk.len();
            if let Some(writer) = state.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Ok(Some(chunk)));
        }
        match &state.end {
            Some(End::Complete) => Poll::Ready(Ok(None)),
            Some(End::Broken(broken)) => Poll::Ready(Err(broken.clone())),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next chunk; `None` at the end. Cancel safe.
    pub(crate) async fn receive(&self) -> Result<Option<Bytes>, Broken> {
        std::future::poll_fn(|context| self.poll_chunk(context)).await
    }

    /// Refuses everything that is written from now on.
    pub(crate) fn close(&self, reason: Broken) {
        let mut state = lock(&self.shared);
        state.reader_gone.get_or_insert(reason);
        state.chunks.clear();
        state.length = 0;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }

    /// Puts back what didn't fit into the caller's buffer.
    fn put_back(&self, chunk: Bytes) {
        let mut state = lock(&self.shared);
        state.length += chunk.len();
        state.chunks.push_front(chunk);
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.close(Broken::Ended);
    }
}

impl AsyncRead for PipeReader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut read_any = false;
        while buffer.remaining() > 0 {
            match self.poll_chunk(context) {
                Poll::Ready(Ok(Some(mut chunk))) => {
                    let part = chunk.split_to(chunk.len().min(buffer.remaining()));
                    buffer.put_slice(&part);
                    read_any = true;
                    if chunk.has_remaining() {
                        self.put_back(chunk);
                    }
                }
                Poll::Ready(Ok(None)) => break,
                // What was read is delivered first; the error is still there at the next call.
                Poll::Ready(Err(_)) | Poll::Pending if read_any => break,
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken.to_io_error())),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PipeWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.poll_ready(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken.to_io_error())),
            Poll::Ready(Ok(())) => {}
        }
        let part = buffer.get(..buffer.len().min(self.limit_bytes)).unwrap_or(buffer);
        if !part.is_empty() {
            self.push(Bytes::copy_from_slice(part));
        }
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The pump takes chunks as soon as it runs; there is nothing to push it with.
        match &lock(&self.shared).reader_gone {
            Some(broken) => Poll::Ready(Err(broken.to_io_error())),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish(None);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Broken, pipe};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn bytes_pass_in_order_and_the_writer_waits() {
        let (mut writer, mut reader) = pipe(100, None);
        let sent: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let expected = sent.clone();
        let task = tokio::spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        task.await.unwrap();
        assert_eq!(received, expected);
    }

    #[tokio::test]
    async fn a_vanished_writer_breaks_the_stream_after_its_data() {
        let lost = Broken::Lost { address: "h:22".into(), detail: "gone".into() };
        let (writer, mut reader) = pipe(100, Some(lost));
        writer.send("abc".into()).await.unwrap();
        drop(writer);
        let mut received = Vec::new();
        let error = reader.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(received, b"abc");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_waiting_writer_learns_that_nobody_reads() {
        let (mut writer, reader) = pipe(1, None);
        writer.write_all(b"x").await.unwrap();
        let task = tokio::spawn(async move { writer.write_all(b"y").await });
        tokio::task::yield_now().await;
        drop(reader);
        assert_eq!(task.await.unwrap().unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    }
}
