//! From `then` of commands to sources whose requests are caused by answers.

use policy::Nanoseconds;
use simulator_model::workload::MAX_SOURCES;
use simulator_model::{Arrivals, Followed, Source};

use super::check::Check;
use super::file::File;

/// Commands in a row, at most: nobody has more, and a circle never ends.
const MOST_STEPS: usize = 8;

impl Check<'_> {
    /// The steps of pipelines: their sources are added behind the others.
    pub(super) fn pipelines(
        &mut self,
        file: &File,
        duration: Nanoseconds,
        sources: &mut Vec<Source>,
    ) -> Vec<Followed> {
        let then = self.following(file);
        if then.iter().all(Option::is_none) {
            return Vec::new();
        }
        let mut pipelines = Vec::new();
        let written = file.workload.iter();
        for (first, given) in (0..sources.len()).zip(written) {
            let mut before = first;
            while let Some(source) = sources.get(before)
                && let Some(cmd) = then.get(source.cmd).copied().flatten()
            {
                if let (Some(retries), true) = (&given.retries, before == first) {
                    let message = "clients of a pipeline can't try again yet".to_owned();
                    let span = retries.attempts.span;
                    self.wrong(span, message, "remove `retries`, or `then` of the command");
                    return Vec::new();
                }
                let requests = requests(&source.arrivals, duration);
                let tenants = source.tenants;
                let by = sources.len();
                if by == MAX_SOURCES {
                    let message = format!("more than {MAX_SOURCES} entries and steps");
                    self.wrong(given.cmd.span, message, "one too many");
                    return pipelines;
                }
                let arrivals = Arrivals::Recorded { requests };
                sources.push(Source { tenants, cmd, arrivals, retries: None });
                pipelines.push(Followed { source: before, by });
                before = by;
            }
        }
        pipelines
    }

    /// For each command the next one. One whose pipeline is too long, or a circle, has none.
    fn following(&mut self, file: &File) -> Vec<Option<usize>> {
        let cmds = &file.cmds.0;
        let mut then = Vec::new();
        for (_, cmd) in cmds {
            let next = cmd.then.as_ref();
            then.push(next.and_then(|name| self.reference(name, &file.cmds, "cmd")));
        }
        let mut long = Vec::new();
        for (place, (name, cmd)) in cmds.iter().enumerate() {
            let next = |place: &usize| then.get(*place).copied().flatten();
            let steps = std::iter::successors(Some(place), next).take(MOST_STEPS + 1).count();
            if let Some(span) = cmd.then.as_ref().filter(|_| steps > MOST_STEPS) {
                let message = format!("the pipeline of `{}` is too long", name.value);
                self.wrong(
                    span.span,
                    message,
                    format!("at most {MOST_STEPS} steps, and no circle"),
                );
                long.push(place);
            }
        }
        for place in long {
            if let Some(next) = then.get_mut(place) {
                *next = None;
            }
        }
        then
    }
}

/// About how many requests a source has; of a backlog, which nobody can keep up with, none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate; a cast from a double saturates"
)]
fn requests(arrivals: &Arrivals, duration: Nanoseconds) -> u64 {
    match arrivals {
        Arrivals::Burst { .. } => 0,
        other => other.expected(duration) as u64,
    }
}
