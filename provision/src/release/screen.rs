//! What a change of releases shows: its plan, its steps as they go on, and how it ended.

use provision_engine::release::{
    Change, End, Happening, Journals, Listener, Record, Refusal, Request, Wanted, now_ms,
};
use provision_lifecycle::{Note, Observed, Purpose, Reason, Revert, Step, Stop, Written};

use super::view;
use crate::arguments::Output;
use crate::exit::Exit;
use crate::paint::{self, BAD, CHANGED, FAINT, GOOD, STRONG, harmless, styled};
use crate::prompt;

/// Tells why nothing is done.
pub(super) fn refuse(refusal: &Refusal, exit: Exit) -> Exit {
    paint::error(&refusal.message, refusal.hint.as_deref());
    exit
}

/// What to do about a refusal of the planner.
pub(super) fn with_hint(refusal: Refusal, component: &str) -> Refusal {
    let hint = refusal.stop.as_ref().and_then(|stop| hint_of(stop, component));
    Refusal { hint: refusal.hint.or(hint), ..refusal }
}

/// Another run did not reach its end: to go on with it may be better.
pub(super) fn show_note(note: &Note, component: &str) {
    let text = view::note(note, now_ms());
    paint::warning(
        None,
        &format!("{text}; it did not reach its end, and this one takes its place"),
    );
    tell!(
        "{}",
        styled(FAINT, &format!("go on with it instead: provision resume {component} -i INVENTORY"))
    );
}

/// The plan that an operator reads before saying yes.
pub(super) fn show_plan(change: &Change, steps: &[Step]) {
    let request = &change.request;
    show_steps(request, &change.observed, steps);
    if steps.is_empty() {
        return;
    }
    let durations = Journals::default().durations(&request.component, &request.inventories);
    if let Some(estimate) = durations.estimate(steps, request.goal.purpose) {
        say!("{}", styled(FAINT, &view::estimate(&estimate)));
    }
}

/// What is to be done, and what will be looked at meanwhile.
pub(crate) fn show_steps(request: &Request, observed: &Observed, steps: &[Step]) {
    say!("{}", view::heading(&request.component, &request.goal, observed));
    if steps.is_empty() {
        say!("{}", view::nothing_to_do(&request.goal, observed));
        return;
    }
    say!("{}", view::plan(steps, &request.goal, observed));
    let note = match request.plan {
        _ if matches!(request.goal.purpose, Purpose::Join | Purpose::Leave) => {
            "all members are looked at again before every step; a failing one ends the run"
        }
        Some(_) => "exactly these steps; a failing one is reverted and ends the run",
        None => {
            "the order is computed again before every step; a failing one is reverted and ends the \
             run"
        }
    };
    say!("{}", styled(FAINT, note));
    if request.options.drain && request.goal.purpose != Purpose::Leave {
        say!("{}", styled(FAINT, "what runs on a member is moved away before it restarts"));
    }
}

/// The goal is reached.
pub(crate) fn show_done(request: &Request, observed: &Observed, duration_ms: u64) {
    let time = view::seconds(duration_ms);
    let done = view::done(&request.component, &request.goal, observed.voters() > 0);
    say!("{} in {time}: {done}", styled(GOOD, "done"));
}

/// What became of the wanted version.
pub(super) fn show_wanted(wanted: &Wanted, is_human: bool) {
    let warn = |text: String| tell!("{} {text}", styled(CHANGED, "warning:"));
    match wanted {
        Wanted::Kept => {}
        Wanted::Rewritten { .. } => {
            if let Some(written) = wanted.written().filter(|_| is_human) {
                show_written(&written);
            }
        }
        Wanted::NotFound(error) => warn(format!("the wanted version is not rewritten: {error}")),
        Wanted::Partial { path, meant, all } => warn(format!(
            "{} is not rewritten: {meant} of {all} members were meant; finish with the others",
            path.display()
        )),
        Wanted::Failed { path, error } => paint::error(
            &format!("failed to write {}: {error}", path.display()),
            Some("write the version there yourself, or the next apply goes back to the old"),
        ),
    }
}

/// Lines of the inventory that were written anew.
pub(crate) fn show_written(written: &Written) {
    say!("{}:", written.path.display());
    for (old, new) in written.removed.iter().zip(&written.added) {
        say!("{}", styled(BAD, &format!("- {old}")));
        say!("{}", styled(GOOD, &format!("+ {new}")));
    }
}

/// What to do next, and the exit code.
pub(super) fn verdict(end: &End, change: &Change) -> (Option<String>, Exit) {
    let resume = || Some(format!("go on with: provision resume {}", change.run_name()));
    match end {
        End::Done => (None, Exit::Done),
        End::Stopped(stop) => (hint_of(stop, &change.request.component), Exit::ReleaseStopped),
        End::Paused { .. } => (resume(), Exit::Paused),
        End::Interrupted => (resume(), Exit::Interrupted),
        End::Deviates { .. } => {
            (Some("make a new plan; what is done stays done".to_owned()), Exit::ReleaseStopped)
        }
        End::NotStored(_) => (None, Exit::ReleaseStopped),
    }
}

fn hint_of(stop: &Stop, component: &str) -> Option<String> {
    Some(match stop {
        Stop::VersionRefused { .. } => {
            format!("the rules stand in `transitions` of {component}'s component.yml")
        }
        Stop::ContainersRun { .. } => "move them away or stop them first".to_owned(),
        Stop::TooFewMembers { .. } => {
            "if it may be away for some seconds: --accept-outage".to_owned()
        }
        Stop::StepFailed { revert: Revert::Done { .. }, .. } => {
            "find out why, then run it again: the same member is met first".to_owned()
        }
        Stop::StepFailed { revert: Revert::Kept, .. } => {
            "find out why, then run it again: it goes on from there".to_owned()
        }
        Stop::StepFailed { .. } => "mend that member first, then run it again".to_owned(),
        Stop::NotStaged { .. } => "look at the disk of that host, then run it again".to_owned(),
        Stop::WaitedTooLong { .. } | Stop::NotTaking { .. } | Stop::NotFormed => {
            "look at the member's own log, then run it again".to_owned()
        }
        Stop::NoCluster => "provision apply forms one of all hosts of the group".to_owned(),
        Stop::NotJoined { member } => {
            format!("provision add {component} {member}, or leave it out: --hosts 'all:!{member}'")
        }
        Stop::TooFewLeft { left: 0 } => "a cluster ends with its last host".to_owned(),
        Stop::TooFewLeft { .. } => {
            "add others first, or if that is meant: --accept-outage".to_owned()
        }
        Stop::ContainersLeft { .. } => "move them away, or stop them with --drain".to_owned(),
        Stop::UnknownMember { .. } | Stop::Objection { .. } => return None,
    })
}

/// Shows what happens.
pub(crate) struct Screen {
    request: Request,
    output: Output,
    number: usize,
}

impl Screen {
    pub(crate) fn new(request: &Request, output: Output) -> Self {
        Screen { request: request.clone(), output, number: 0 }
    }

    /// Counts a step that is not shown.
    pub(crate) fn pass(&mut self) {
        self.number += 1;
    }

    fn show(&mut self, happening: &Happening) {
        match happening {
            Happening::StepBegins { step, observed, .. } => {
                self.number += 1;
                let text = view::step(step, &self.request.goal, observed);
                say!("{} {text}", styled(STRONG, &format!("[{}]", self.number)));
            }
            Happening::StepEnded { outcomes, duration_ms, .. } => {
                say!("    {}", view::outcome(outcomes, *duration_ms));
            }
            // Settling is what follows every step.
            Happening::Waits { reason: Reason::Settling { .. } } => {}
            Happening::Waits { reason } => {
                let text = harmless(&reason.to_string());
                say!("    {}", styled(FAINT, &format!("waiting: {text}")));
            }
        }
    }
}

impl Listener for Screen {
    fn stored(&mut self, record: &Record) {
        match (self.output, record) {
            (Output::Ndjson, _) => say!("{}", serde_json::to_string(record).unwrap_or_default()),
            (Output::Human, Record::Happens { happening }) => self.show(happening),
            (Output::Human, Record::Begun { .. } | Record::Ended { .. }) => {}
        }
    }

    fn goes_on(&mut self, done: u32) -> bool {
        let noun = if done == 1 { "member is" } else { "members are" };
        prompt::confirm(&format!("{done} {noun} done and serve; go on?"))
    }
}
