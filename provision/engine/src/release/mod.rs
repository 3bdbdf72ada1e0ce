//! Releases of components: asks the members, asks the planner, plays the steps.
//!
//! What may be done is decided by `provision/lifecycle`; how it is done stands in the component's
//! role. Here the two meet: each decision follows a fresh observation, and a step is stored before
//! it is begun.

mod change;
mod journal;
mod members;
mod notes;
mod perform;
mod plays;
mod prepare;
mod services;
mod wanted;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use provision_lifecycle::{
    Decision, Definition, Duty, Goal, Member, Note, Observed, Options, Outcome, Progress, Purpose,
    Reason, Rules, Step, Stop, Version, next_step,
};
pub use provision_lifecycle::{Happening, Past, Record, Request};
use provision_playbook::model::Play;
use provision_probe::{Answers, read_member};
use tokio::sync::mpsc;

use crate::event::{Event, Status};
use crate::report::Sink;
use crate::run::{HostEnd, LeftHandlers, Run, RunOptions};
use crate::variables::Layer;
pub use change::{Change, Ground, Refusal, chosen, names};
pub use journal::{Journal, Journals, Told};
pub use perform::{Listener, Performed, Wanted};
pub use plays::PlayKind;
pub use prepare::{Component, PrepareFailure, Prepared, components, orders, prepare};
pub use wanted::{Rewrite, WantedError, find_wanted, variable as variable_of};

/// How often a cluster is looked at while it is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// What a wait may last beyond the time that the component's own health check is given.
const WAIT_MORE_SECONDS: u64 = 30;
/// Where the role doesn't say how long health may take.
const HEALTH_SECONDS: u64 = 60;

/// Length of a SHA-256 in hexadecimal digits.
const DIGEST_CHARACTERS: usize = 64;

/// Listens to a run, stores what it does, answers its questions.
pub trait Watcher {
    /// Takes a happening. A step whose beginning can't be stored is not begun.
    ///
    /// # Errors
    /// When it can't be stored.
    fn happens(&mut self, happening: &Happening) -> Result<(), String>;
    /// Whether to go on after so many members.
    fn goes_on(&mut self, done: u32) -> bool;
}

/// How a run ended.
#[derive(Debug, Clone)]
pub enum End {
    /// The goal is reached.
    Done,
    /// It can't be reached now.
    Stopped(Stop),
    /// It waits for the operator.
    Paused {
        /// How many members are done.
        done: u32,
    },
    /// The operator ended it after a step.
    Interrupted,
    /// What is to be done now is not what the plan says.
    Deviates {
        /// What it says.
        planned: Option<Step>,
        /// What would have to be done.
        now: Step,
    },
    /// Nothing can be stored, so nothing more is done.
    NotStored(String),
}

/// Messages of failed tasks, by host.
type Failures = Arc<Mutex<BTreeMap<String, String>>>;

/// A run over the members of components.
pub struct Releases {
    run: Run,
    components: Vec<Component>,
    plays: Vec<Arc<Play>>,
    failures: Failures,
}

/// Keeps why a task failed, then passes events on.
struct KeepFailures {
    failures: Failures,
    task: String,
    next: Box<dyn Sink>,
}

impl Sink for KeepFailures {
    fn event(&mut self, event: &Event) {
        let keep = |host: &str, message: String| {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.insert(host.to_owned(), message);
        };
        match event {
            Event::TaskStarted { name, .. } => self.task.clone_from(name),
            Event::Result(result) if result.status == Status::Failed => {
                let message = result.message.clone().unwrap_or_else(|| "it failed".to_owned());
                keep(&result.host, format!("`{}`: {message}", self.task));
            }
            Event::HostUnreachable { host, message, .. } => keep(host, message.clone()),
            _ => {}
        }
        self.next.event(event);
    }
}

impl Releases {
    /// Begins a run; no host is contacted yet.
    #[must_use]
    pub fn begin(
        prepared: Prepared,
        options: RunOptions,
        sink: Box<dyn Sink>,
        interrupts: mpsc::UnboundedReceiver<()>,
    ) -> Self {
        let failures = Failures::default();
        let sink = KeepFailures { failures: failures.clone(), task: String::new(), next: sink };
        let (run, playbooks, _) = Run::begin(prepared.loaded, options, Box::new(sink), interrupts);
        let plays = playbooks.into_iter().flat_map(|playbook| playbook.plays).collect();
        Releases { run, components: prepared.components, plays, failures }
    }

    /// Name of the run.
    #[must_use]
    pub fn name(&self) -> &str {
        self.run.name()
    }

    /// The components.
    #[must_use]
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Says goodbye to all hosts.
    pub async fn finish(self) {
        self.run.finish().await;
    }

    async fn play(
        &mut self,
        component: usize,
        kind: PlayKind,
        hosts: &[String],
        variables: Layer,
    ) -> BTreeMap<String, HostEnd> {
        let number = self.components.get(component).map(|found| found.number);
        let number = number.map(|number| plays::number_of(number, kind));
        let Some(play) = number.and_then(|number| self.plays.get(number)).cloned() else {
            return BTreeMap::new();
        };
        // A restart that is still due belongs to the step that takes this member alone: whoever
        // looks at all members, or stages on all, must not restart them all.
        let left = match kind {
            PlayKind::Stage => LeftHandlers::Leave,
            kind if kind.is_ours() => LeftHandlers::Leave,
            _ => LeftHandlers::Run,
        };
        self.run.play_on(&play, hosts, variables, left).await
    }

    /// Asks all members of a component.
    pub async fn observe(&mut self, component: usize) -> Observed {
        let Some(found) = self.components.get(component).cloned() else {
            return Observed::default();
        };
        let mut ends = BTreeMap::new();
        for (duty, kind) in
            [(Duty::Voter, PlayKind::ObserveVoters), (Duty::Worker, PlayKind::ObserveWorkers)]
        {
            let hosts: Vec<String> = found.members_with(duty);
            if !hosts.is_empty() {
                ends.extend(self.play(component, kind, &hosts, Layer::default()).await);
            }
        }
        let member = |(name, duty): &(String, Duty)| match ends.get(name) {
            Some(HostEnd::Done | HostEnd::Interrupted) => {
                self.member(&found.definition, name, *duty)
            }
            _ => Member::unreachable(name, *duty, &self.failure_of(name)),
        };
        let member = |known: &(String, Duty)| Member { rack: self.rack(&known.0), ..member(known) };
        let rule = found.definition.quorum.as_ref().map(|quorum| quorum.rule).unwrap_or_default();
        let members = found.members.iter().map(member).collect();
        Observed { members, rule }.with_known_members()
    }

    fn member(&self, definition: &Definition, name: &str, duty: Duty) -> Member {
        let answer =
            |question: &&str| Some(((*question).to_owned(), self.run.registered(name, question)?));
        let answers = plays::registered(definition, duty).iter().filter_map(answer).collect();
        read_member(definition, name, duty, &Answers(answers))
    }

    /// The variable `rack` of a host, if it has one.
    fn rack(&self, host: &str) -> Option<String> {
        let host = self.run.world().host_or_new(host);
        match wanted::variable(self.run.world(), &host, "rack").ok()? {
            serde_json::Value::String(rack) => Some(rack),
            other => Some(other.to_string()),
        }
    }

    fn failure_of(&self, host: &str) -> String {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(host).cloned().unwrap_or_else(|| "it did not answer".to_owned())
    }

    /// The rules of a component. Its members must have been observed: how long health may take is
    /// a variable of theirs.
    #[must_use]
    pub fn rules(&self, component: usize) -> Option<Rules> {
        let found = self.components.get(component)?;
        let seconds = |(name, _): &(String, Duty)| {
            let value = self.run.registered(name, plays::TIMEOUT)?;
            value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
        };
        let health = found.members.iter().filter_map(seconds).max().unwrap_or(HEALTH_SECONDS);
        Some(Rules {
            kind: found.definition.kind.value,
            settle_ms: found.definition.health.settle_seconds.value.saturating_mul(1000),
            deadline_ms: health.saturating_add(WAIT_MORE_SECONDS).saturating_mul(1000),
            transitions: found
                .definition
                .transitions
                .iter()
                .map(|rule| rule.value.clone())
                .collect(),
            members: members::rules(&found.definition),
        })
    }

    /// Runs until the goal is reached or can't be. With `plan`, exactly these steps (and going
    /// back, if one fails). `stop` is looked at between steps.
    pub async fn reach(
        &mut self,
        task: &Task<'_>,
        progress: &mut Progress,
        watcher: &mut dyn Watcher,
    ) -> End {
        let mut done_of_plan = 0;
        let mut waited_for: Option<Reason> = None;
        loop {
            if task.stop.load(Ordering::Relaxed) || self.run.is_interrupted() {
                return End::Interrupted;
            }
            let observed = self.observe(task.component).await;
            let Some(rules) = self.rules(task.component) else { return End::Done };
            let now_ms = now_ms();
            progress.observe(&observed, now_ms);
            match next_step(&rules, task.goal, task.options, &observed, progress, now_ms) {
                Decision::Done => return End::Done,
                Decision::Stop(stop) => return End::Stopped(stop),
                Decision::Pause { done } => match watcher.goes_on(done) {
                    true => progress.go_on(now_ms),
                    false => return End::Paused { done },
                },
                Decision::Wait { reason, .. } => {
                    if waited_for.as_ref() != Some(&reason) {
                        let happening = Happening::Waits { reason: reason.clone() };
                        if let Err(error) = watcher.happens(&happening) {
                            return End::NotStored(error);
                        }
                        waited_for = Some(reason);
                    }
                    self.run.pause(LOOK_AGAIN).await;
                }
                Decision::Run(step) => {
                    waited_for = None;
                    if let (Some(plan), false) = (task.plan, matches!(step, Step::Revert { .. })) {
                        let left = plan.get(done_of_plan..).unwrap_or_default();
                        let may_be_done = usize::from(task.first_may_be_done && done_of_plan == 0);
                        let is_meant = |planned: &Step| planned.is_same_work(&step);
                        let next = left.iter().take(1 + may_be_done).position(is_meant);
                        let Some(next) = next else {
                            return End::Deviates { planned: left.first().cloned(), now: step };
                        };
                        done_of_plan += next + 1;
                    }
                    if let Err(error) = self.step(task, step, observed, progress, watcher).await {
                        return End::NotStored(error);
                    }
                }
            }
        }
    }

    async fn step(
        &mut self,
        task: &Task<'_>,
        step: Step,
        observed: Observed,
        progress: &mut Progress,
        watcher: &mut dyn Watcher,
    ) -> Result<(), String> {
        progress.began(&step, &observed, now_ms());
        let happening = Happening::StepBegins {
            step: step.clone(),
            observed: observed.clone(),
            progress: progress.clone(),
        };
        watcher.happens(&happening)?;
        let note = Note { step: Some(step.clone()), at_ms: now_ms(), ..task.note.clone() };
        self.write_note(task.component, step.members(), &note).await;
        let begun = Instant::now();
        let outcomes = self.carry_out(task, &step, &observed).await;
        progress.ended(&step, &outcomes, now_ms());
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        watcher.happens(&Happening::StepEnded {
            step,
            outcomes,
            duration_ms,
            progress: progress.clone(),
        })
    }

    async fn carry_out(
        &mut self,
        task: &Task<'_>,
        step: &Step,
        observed: &Observed,
    ) -> BTreeMap<String, Outcome> {
        let kind = match step {
            Step::Stage { .. } => PlayKind::Stage,
            Step::Start { .. } => PlayKind::Start,
            Step::Take { .. } | Step::Revert { .. } | Step::Install { .. } => PlayKind::Take,
            Step::Join { .. } => PlayKind::Join,
            Step::Leave { .. } => PlayKind::Leave,
            Step::Retire { .. } => PlayKind::Retire,
        };
        let places = members::places(step);
        let mut by_version: Vec<(Version, Vec<String>)> = Vec::new();
        for (name, _) in &places {
            let current = observed.member(name).and_then(|member| member.current.clone());
            let version = match (step, task.goal.purpose, current) {
                (Step::Revert { to, .. }, ..) => to.clone(),
                (_, Purpose::Restart, Some(current)) => current,
                (..) => task.goal.version.clone(),
            };
            match by_version.iter_mut().find(|(known, _)| *known == version) {
                Some((_, names)) => names.push(name.clone()),
                None => by_version.push((version, vec![name.clone()])),
            }
        }
        let mut outcomes = BTreeMap::new();
        for (version, names) in by_version {
            let variables = match self.wanting(task.component, &version, &names) {
                Ok(mut variables) => {
                    members::tell(&mut variables, step, task.options, observed);
                    variables
                }
                Err(error) => {
                    let failed =
                        |name: &String| (name.clone(), Outcome::Failed { error: error.clone() });
                    outcomes.extend(names.iter().map(failed));
                    continue;
                }
            };
            let ends = self.play(task.component, kind, &names, variables).await;
            outcomes.extend(ends.into_iter().map(|(name, end)| {
                let outcome = match end {
                    HostEnd::Done => Outcome::Done,
                    HostEnd::Failed => Outcome::Failed { error: self.failure_of(&name) },
                    HostEnd::Unreachable => Outcome::Lost { error: self.failure_of(&name) },
                    HostEnd::Interrupted => Outcome::Lost { error: "interrupted".to_owned() },
                };
                let about = places.iter().find(|(place, _)| *place == name);
                (about.map_or(name, |(_, member)| member.clone()), outcome)
            }));
        }
        outcomes
    }

    /// Variables that want this version of the component and leave the other components alone.
    fn wanting(
        &self,
        component: usize,
        version: &Version,
        names: &[String],
    ) -> Result<Layer, String> {
        let found = self.components.get(component).ok_or("there is no such component")?;
        let host = names.first().map(|name| self.run.world().host_or_new(name));
        let host = host.ok_or("there are no members")?;
        let releases = wanted::variable(self.run.world(), &host, "releases")?;
        let mut releases = match releases {
            serde_json::Value::Object(releases) => releases,
            _ => return Err("`releases` is not a mapping".to_owned()),
        };
        releases.insert(found.definition.name.value.clone(), version.as_str().into());
        let mut layer = Layer::default();
        let value = provision_template::from_json(&serde_json::Value::Object(releases));
        layer.set_data("releases", value);
        Ok(layer)
    }

    /// The version that the inventory wants, as a member sees it.
    ///
    /// # Errors
    /// When the inventory says none, or nonsense.
    pub fn wanted(&self, component: usize, member: &str) -> Result<Version, String> {
        let found = self.components.get(component).ok_or("there is no such component")?;
        let name = found.definition.name.value.as_str();
        let host = self.run.world().host_or_new(member);
        let releases = wanted::variable(self.run.world(), &host, "releases")?;
        let text = releases.get(name).and_then(serde_json::Value::as_str);
        let text = text.ok_or_else(|| format!("`releases.{name}` is no text"))?;
        Version::parse(text).map_err(|error| error.to_string())
    }

    /// Whether the inventory knows the digest of an artifact, as a member sees it.
    #[must_use]
    pub fn has_digest(&self, component: usize, member: &str, version: &Version) -> bool {
        let Some(found) = self.components.get(component) else { return false };
        let host = self.run.world().host_or_new(member);
        let known = wanted::variable(self.run.world(), &host, "artifacts").ok();
        let of_component = known.as_ref().and_then(|all| all.get(found.definition.artifact()));
        let artifact = of_component.and_then(|versions| versions.get(version.as_str()));
        let digest = artifact.and_then(|artifact| artifact.get("sha256")?.as_str());
        let is_hex = |digest: &str| digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        digest.is_some_and(|digest| digest.len() == DIGEST_CHARACTERS && is_hex(digest))
    }

    /// Versions of which the inventory knows where to get them, as a member sees it.
    #[must_use]
    pub fn artifacts(&self, component: usize, member: &str) -> Vec<Version> {
        let Some(found) = self.components.get(component) else { return Vec::new() };
        let host = self.run.world().host_or_new(member);
        let known = wanted::variable(self.run.world(), &host, "artifacts").ok();
        let of_component = known.as_ref().and_then(|all| all.get(found.definition.artifact()));
        let versions = of_component.and_then(serde_json::Value::as_object);
        let mut versions: Vec<Version> = versions
            .into_iter()
            .flat_map(|versions| versions.keys())
            .filter_map(|text| Version::parse(text).ok())
            .collect();
        versions.sort();
        versions
    }
}

/// What is to be reached.
pub struct Task<'a> {
    /// Which of the components.
    pub component: usize,
    /// What is wanted.
    pub goal: &'a Goal,
    /// How careful.
    pub options: &'a Options,
    /// The steps of a plan that must be kept to.
    pub plan: Option<&'a [Step]>,
    /// Whether the first of them may have been done by a run that was killed in it.
    pub first_may_be_done: bool,
    /// What is left on the members meanwhile.
    pub note: &'a Note,
    /// Set when the operator asks to end after the running step.
    pub stop: &'a AtomicBool,
}

/// Milliseconds since the epoch: what is remembered must make sense to a run that resumes.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
