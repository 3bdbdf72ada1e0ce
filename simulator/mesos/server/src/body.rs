//! The body of an answer: bytes, or records as they come.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use simulator_mesos::{AgentKey, StreamKey};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::shared::{Shared, Source};

/// What follows the head of an answer.
pub(crate) enum Answer {
    Bytes(Full<Bytes>),
    Stream(Records),
    Agent(AgentRecords),
}

/// What an agent is told, on its stream. When it is dropped, the agent is gone.
pub(crate) struct AgentRecords {
    pub(crate) agent: AgentKey,
    pub(crate) stream: StreamKey,
    pub(crate) source: UnboundedReceiver<Bytes>,
    pub(crate) shared: Arc<Shared>,
}

impl Drop for AgentRecords {
    fn drop(&mut self) {
        self.shared.agent_left(self.agent, self.stream);
    }
}

/// Records of a stream; each becomes a chunk of its own. When it is dropped, the client is gone.
pub(crate) struct Records {
    pub(crate) key: StreamKey,
    pub(crate) source: Source,
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Records {
    fn drop(&mut self) {
        self.shared.disconnected(self.key);
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Answer::Bytes(bytes) => Pin::new(bytes).poll_frame(context),
            Answer::Stream(records) => records.source.records.poll_recv(context).map(|record| {
                let record = record?;
                records.source.waiting_bytes.fetch_sub(record.len(), Ordering::Relaxed);
                Some(Ok(Frame::data(record)))
            }),
            Answer::Agent(records) => {
                let next = records.source.poll_recv(context);
                next.map(|record| record.map(|record| Ok(Frame::data(record))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Bytes(bytes) => bytes.is_end_stream(),
            Answer::Stream(_) | Answer::Agent(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Bytes(bytes) => bytes.size_hint(),
            Answer::Stream(_) | Answer::Agent(_) => SizeHint::default(),
        }
    }
}
