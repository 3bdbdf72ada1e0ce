//! What requests pass besides queues and work: from the shape of a file to a model.

use diagnostics::{Diagnostic, Span};
use policy::Nanoseconds;
use policy::config::units::Bandwidth;
use simulator_kernel::Law;
use simulator_model::{Arrivals, Channel, Download, Link, Links, Model, Respond, Share, Stages};
use yaml::Spanned;

use super::check::Check;
use super::file::{self, File};

/// What is alike for all commands.
#[derive(Debug, Clone)]
pub struct Ways {
    accept: Law,
    dispatch: Law,
    network: Option<Link>,
    store: Link,
}

/// Where a file says that transfers share a link, if it does.
pub(super) fn shared(file: &File) -> Option<Span> {
    let stages = file.stages.as_ref()?;
    let links = [stages.network.as_ref(), stages.store.as_ref()];
    links.into_iter().flatten().find_map(|link| Some(link.machine?.span))
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
        let Some(file::Link { latency, bandwidth, .. }) = given else { return Some(None) };
        let latency = self.drawn(latency.as_ref())?;
        let bandwidth = bandwidth.map(|Bandwidth(bytes)| bytes);
        Some(Some(Link { latency, bandwidth }))
    }

    /// The links of each machine that transfers share.
    pub(super) fn links(&mut self, file: &File) -> Links {
        let Some(stages) = &file.stages else { return Links::default() };
        let mut share = |link: Option<&file::Link>| {
            let (link, machine) = link.and_then(|link| Some((link, link.machine?)))?;
            let Bandwidth(bandwidth) = machine.value;
            if bandwidth > Share::MOST {
                let message = "no machine has such a link".to_owned();
                self.wrong(machine.span, message, "at most 70 TB/s can be simulated");
            }
            Some(Share { bandwidth, each: link.bandwidth.map(|Bandwidth(bytes)| bytes) })
        };
        let (network, store) = (share(stages.network.as_ref()), share(stages.store.as_ref()));
        Links { network, store }
    }

    /// Warns of links that can't carry the steady load. Apps are on the first machines: nowhere is
    /// more to do than on the first.
    pub(super) fn link_load(&mut self, file: &File, model: &Model) {
        let Some(given) = &file.stages else { return };
        let mut loads = [0.0; Channel::ALL.len()];
        for source in &model.sources {
            let Some(cmd) = model.cmds.get(source.cmd) else { continue };
            let Some(stages) = &cmd.stages else { continue };
            let machines = model.apps.get(cmd.app).map_or(1, |app| app.machines.max(1));
            if matches!(source.arrivals, Arrivals::Burst { .. }) {
                continue;
            }
            let requests = source.arrivals.expected(model.duration) / model.duration.seconds();
            let each = requests / f64::from(machines);
            let [inbound, store, outbound] = &mut loads;
            if let Some(download) = &stages.download {
                *inbound += each * download.size.mean() * (1.0 - download.cached);
                *store += each * download.size.mean();
            }
            *outbound += stages.respond.as_ref().map_or(0.0, |sent| each * sent.size.mean());
        }
        for (channel, load) in Channel::ALL.into_iter().zip(loads) {
            let link = match channel {
                Channel::In | Channel::Out => given.network.as_ref(),
                Channel::Store => given.store.as_ref(),
            };
            let Some(machine) = link.and_then(|link| link.machine) else { continue };
            #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
            let part = load / machine.value.0 as f64;
            if part >= 1.0 {
                let name = channel.name();
                let message = format!(
                    "`{name}` of a machine can't keep up: its steady load is {:.0} % of what it \
                     carries",
                    part * 100.0
                );
                let hint =
                    format!("{:.0} MB/s are needed, and more for peaks", (load / 1e6).ceil());
                let diagnostic = Diagnostic::warning("overload", message);
                let label = "of all transfers of a machine together";
                self.found.push(diagnostic.at(machine.span, label).hint(hint));
            }
        }
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
