//! Contents for a host: it gets those that its calls name, and nothing else.

use std::collections::HashMap;
use std::path::Path;

use provision_protocol::frame::CONTENT_PIECE_BYTES;
use provision_protocol::{Frame, ToHost};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::prepare::{Content, ContentSource};

/// Contents up to this size go along with their call, in bytes: sending one that is not needed
/// costs less than the round trip of asking for it.
const ALONG_BYTES: u64 = 64 << 10;

/// Which contents a host may ask for.
#[derive(Debug, Default)]
pub struct Ledger {
    calls: HashMap<u64, Vec<Content>>,
}

impl Ledger {
    /// A call that names these contents is being sent.
    pub fn admit(&mut self, call: u64, contents: &[Content]) {
        if !contents.is_empty() {
            self.calls.insert(call, contents.to_vec());
        }
    }

    /// Whether a content is sent without being asked for.
    #[must_use]
    pub fn goes_along(&self, content: &Content) -> bool {
        content.reference.size <= ALONG_BYTES && matches!(content.source, ContentSource::Bytes(_))
    }

    /// The content, if the call names it.
    ///
    /// # Errors
    /// The reason for the refusal.
    pub fn grant(&self, call: u64, sha256: &str) -> Result<Content, String> {
        let named = self.calls.get(&call).into_iter().flatten();
        named
            .into_iter()
            .find(|content| content.reference.sha256 == sha256)
            .cloned()
            .ok_or_else(|| format!("call {call} names no content {sha256}"))
    }

    /// The call is over.
    pub fn forget(&mut self, call: u64) {
        self.calls.remove(&call);
    }
}

enum Item {
    Bytes(Vec<u8>),
    Content(Content),
    Close,
}

/// Writes frames in the order given, from a task of its own so that reading never waits for it.
pub struct Writer {
    items: mpsc::UnboundedSender<Item>,
}

impl Writer {
    /// Starts writing to a channel.
    #[must_use]
    pub fn start(mut input: Box<dyn AsyncWrite + Send + Unpin>) -> Self {
        let (items, mut inbox) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(item) = inbox.recv().await {
                let written = match item {
                    Item::Bytes(bytes) => input.write_all(&bytes).await,
                    Item::Content(content) => write_content(&mut input, &content).await,
                    Item::Close => input.shutdown().await,
                };
                // A broken channel is noticed by the reader, who knows what to do.
                if written.is_err() || input.flush().await.is_err() {
                    return;
                }
            }
        });
        Writer { items }
    }

    /// Queues a message.
    pub fn message(&self, message: &ToHost) {
        if let Ok(frame) = Frame::message(message) {
            let _ = self.items.send(Item::Bytes(frame.encode()));
        }
    }

    /// Queues a content.
    pub fn content(&self, content: Content) {
        let _ = self.items.send(Item::Content(content));
    }

    /// Ends the channel after all that is queued.
    pub fn close(&self) {
        let _ = self.items.send(Item::Close);
    }
}

async fn write_content(
    input: &mut (dyn AsyncWrite + Send + Unpin),
    content: &Content,
) -> std::io::Result<()> {
    let mut digest = [0; 32];
    if hex::decode_to_slice(&content.reference.sha256, &mut digest).is_err() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    match &content.source {
        ContentSource::Bytes(bytes) => {
            let pieces: Vec<&[u8]> = bytes.chunks(CONTENT_PIECE_BYTES).collect();
            if pieces.is_empty() {
                let frame = Frame::Content { sha256: digest, last: true, data: Vec::new() };
                return input.write_all(&frame.encode()).await;
            }
            let count = pieces.len();
            for (number, piece) in pieces.into_iter().enumerate() {
                let last = number + 1 == count;
                let frame = Frame::Content { sha256: digest, last, data: piece.to_vec() };
                input.write_all(&frame.encode()).await?;
            }
            Ok(())
        }
        ContentSource::File(path) => write_file(input, digest, path, content.reference.size).await,
    }
}

async fn write_file(
    input: &mut (dyn AsyncWrite + Send + Unpin),
    digest: [u8; 32],
    path: &Path,
    size: u64,
) -> std::io::Result<()> {
    let mut file = tokio::fs::File::open(path).await?;
    let mut left = size;
    let mut piece = vec![0; CONTENT_PIECE_BYTES];
    loop {
        let count = file.read(&mut piece).await?;
        let data = piece.get(..count).unwrap_or_default().to_vec();
        left = left.saturating_sub(count as u64);
        // A file that changed meanwhile ends early or late; the host sees a wrong digest then.
        let last = left == 0 || count == 0;
        let frame = Frame::Content { sha256: digest, last, data };
        input.write_all(&frame.encode()).await?;
        if last {
            return Ok(());
        }
    }
}

/// A content of these bytes.
#[must_use]
pub fn of_bytes(bytes: Vec<u8>) -> Content {
    let reference = provision_protocol::ContentReference {
        sha256: hex::encode(Sha256::digest(&bytes)),
        size: bytes.len() as u64,
    };
    Content { reference, source: ContentSource::Bytes(bytes.into()) }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, of_bytes};

    #[test]
    fn only_named_contents_are_granted() {
        let (named, other) = (of_bytes(b"a".to_vec()), of_bytes(b"b".to_vec()));
        let mut ledger = Ledger::default();
        ledger.admit(1, std::slice::from_ref(&named));
        assert!(ledger.grant(1, &named.reference.sha256).is_ok());
        assert!(ledger.grant(1, &other.reference.sha256).is_err());
        assert!(ledger.grant(2, &named.reference.sha256).is_err());
        ledger.forget(1);
        assert!(ledger.grant(1, &named.reference.sha256).is_err());
    }
}
