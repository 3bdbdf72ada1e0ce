//! What requests pass besides queues and work: from the shape of a file to a model.

use diagnostics::{Diagnostic, Span};
use policy::Nanoseconds;
use policy::config::units::Bandwidth;
use simulator_kernel::Law;
use simulator_model::{Download, Link, Respond, Stages};
use yaml::Spanned;

use super::check::Check;
use super::file;

/// What is alike for all commands.
#[derive(Debug, Clone)]
pub struct Ways {
    accept: Law,
    dispatch: Law,
    network: Option<Link>,
    store: Link,
}

impl Check<'_> {
    /// What is alike for all commands; none if a law of it is none.
    pub(super) fn ways(&mut self, given: Option<&file::Stages>) -> Option<Ways> {
        let accept = self.drawn(given.and_then(|stages| stages.accept.as_ref()));
        let dispatch = self.drawn(given.and_then(|stages| stages.dispatch.as_ref()));
        let network = self.link(given.and_then(|stages| stages.network.as_ref()));
        let store = self.link(given.and_then(|stages| stages.store.as_ref()));
        Some(Ways {
            accept: accept?,
            dispatch: dispatch?,
            network: network?,
            store: store?.unwrap_or(Link::INSTANT),
        })
    }

    /// The stages of a command; none if nothing takes time.
    pub(super) fn stages(
        &mut self,
        ways: &Ways,
        name: &Spanned<String>,
        cmd: &file::Cmd,
    ) -> Option<Stages> {
        let Ways { accept, dispatch, network, store } = ways.clone();
        if let (Some(cached), None) = (&cmd.cached, &cmd.source_size) {
            let message = format!("`{}` has no source that could be cached", name.value);
            let diagnostic = Diagnostic::error("scenario", message)
                .at(cached.span, "without a size")
                .hint("say how large sources are, such as `source_size: 400KB`");
            self.found.push(diagnostic);
        }
        let download = match &cmd.source_size {
            None => None,
            Some(given) => {
                let size = self.drawn(Some(given))?;
                let network = self.way(network.clone(), "source_size", given.span)?;
                let cached = cmd.cached.map_or(0.0, |cached| cached.value.0);
                Some(Download { size, cached, network, store })
            }
        };
        let respond = match &cmd.answer_size {
            None => None,
            Some(given) => {
                let size = self.drawn(Some(given))?;
                let network = self.way(network, "answer_size", given.span)?;
                Some(Respond { size, network })
            }
        };
        let nothing = Law::Constant(Nanoseconds::ZERO);
        let takes_time =
            accept != nothing || dispatch != nothing || download.is_some() || respond.is_some();
        takes_time.then_some(Stages { accept, dispatch, download, respond })
    }

    /// A link, if there is one; nothing if its law is none.
    #[expect(clippy::option_option, reason = "absent is not wrong")]
    fn link(&mut self, given: Option<&file::Link>) -> Option<Option<Link>> {
        let Some(file::Link { latency, bandwidth }) = given else { return Some(None) };
        let latency = self.drawn(latency.as_ref())?;
        let bandwidth = bandwidth.map(|Bandwidth(bytes)| bytes);
        Some(Some(Link { latency, bandwidth }))
    }

    /// The network, for a command that needs it.
    fn way(&mut self, network: Option<Link>, what: &str, span: Span) -> Option<Link> {
        if network.is_none() {
            let message = format!("`{what}` says how much is sent, but nobody knows how fast");
            let diagnostic = Diagnostic::error("scenario", message)
                .at(span, "there is no network")
                .hint("say it, such as `stages: {network: {latency: 3ms, bandwidth: 100MB/s}}`");
            self.found.push(diagnostic);
        }
        network
    }
}
