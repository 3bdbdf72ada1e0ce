//! Events as one JSON object a line.

use std::io::Write;

use provision_engine::event::Event;
use provision_engine::report::Sink;

/// Writes events to a stream. A reader that goes away ends the writing, not the run.
pub struct Ndjson<W> {
    stream: Option<W>,
}

impl<W: Write> Ndjson<W> {
    /// To a stream.
    pub fn new(stream: W) -> Self {
        Ndjson { stream: Some(stream) }
    }
}

impl<W: Write + Send> Sink for Ndjson<W> {
    fn event(&mut self, event: &Event) {
        let Some(stream) = &mut self.stream else { return };
        let written = serde_json::to_string(event)
            .map_err(std::io::Error::other)
            .and_then(|line| writeln!(stream, "{line}"))
            .and_then(|()| stream.flush());
        if written.is_err() {
            self.stream = None;
        }
    }
}
