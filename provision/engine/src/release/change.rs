//! One change of one component: looks at the members, settles which release is meant, foretells
//! the steps. Nothing here needs a terminal; how it is run stands in `perform`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use provision_lifecycle::{
    Decision, Duty, Files, Goal, MadeFrom, Member, Note, Observed, Options, PLAN_FORMAT, Past,
    Progress, Purpose, ReleasePlan, Request, Shown, Step, Stop, Version, forecast,
};

use super::{Component, LOOK_AGAIN, Prepared, Releases, Rewrite, find_wanted, now_ms};

/// The only component of a run that changes one.
const ONE: usize = 0;

/// `zk1, zk2, zk3`, or how many there are.
#[must_use]
pub fn names(members: &[String]) -> String {
    const SHOWN: usize = 6;
    match members.len() {
        0..=SHOWN => members.join(", "),
        count => {
            let shown = members.iter().take(SHOWN - 1).cloned().collect::<Vec<_>>().join(", ");
            format!("{shown} and {} more", count - (SHOWN - 1))
        }
    }
}

/// A refusal: what and why, and what to do instead. Nothing was touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What and why.
    pub message: String,
    /// What to do instead.
    pub hint: Option<String>,
    /// What the planner says, if it was the planner.
    pub stop: Option<Box<Stop>>,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal { message: message.into(), hint: Some(hint.into()), stop: None }
    }
}

/// What a change needs to know of where it was read from.
#[derive(Debug, Clone)]
pub struct Ground {
    component: Component,
    rewrite: Result<Rewrite, String>,
    inventory_digest: String,
}

impl Ground {
    /// What must be kept of what was read, before a run takes it.
    ///
    /// # Errors
    /// When the component has no members.
    pub fn of(prepared: &Prepared, component: &str) -> Result<Self, Refusal> {
        let Some(found) = prepared.components.get(ONE).cloned() else {
            let hint = "its group in component.yml has no hosts in this inventory";
            return Err(Refusal::new(format!("{component} has no members"), hint));
        };
        let sources = prepared.loaded.loader.sources();
        let rewrite = find_wanted(sources, &found.definition.name.value);
        Ok(Ground {
            component: found,
            rewrite: rewrite.map_err(|error| error.to_string()),
            inventory_digest: prepared.inventory_digest.clone(),
        })
    }
}

/// The members that the operator means.
///
/// # Errors
/// When there are none.
pub fn chosen(
    prepared: &Prepared,
    component: &str,
    pattern: Option<&str>,
) -> Result<Vec<String>, Refusal> {
    let ground = Ground::of(prepared, component)?;
    let members: Vec<String> =
        ground.component.members.iter().map(|(name, _)| name.clone()).collect();
    let Some(pattern) = pattern else { return Ok(members) };
    let matching = prepared.loaded.world.matching_hosts(pattern);
    let chosen: Vec<String> =
        members.iter().filter(|name| matching.contains(name)).cloned().collect();
    if chosen.is_empty() {
        let hint = format!("the members are {}", names(&members));
        return Err(Refusal::new(
            format!("--hosts {pattern} names no member of {component}"),
            hint,
        ));
    }
    Ok(chosen)
}

/// A change that is about to begin or goes on.
pub struct Change {
    pub(super) releases: Releases,
    /// The component.
    pub component: Component,
    /// What is wanted.
    pub request: Request,
    /// Digests of what it is made from.
    pub made_from: MadeFrom,
    /// What was observed when it began.
    pub observed: Observed,
    /// What it remembers.
    pub progress: Progress,
    /// What a run has left on the members that did not reach its end.
    pub note: Option<Note>,
    /// The plan that the operator was shown.
    pub shown: Option<Shown>,
    pub(super) rewrite: Result<Rewrite, String>,
    pub(super) first_may_be_done: bool,
}

impl Change {
    /// Connects and asks all members.
    pub async fn look(
        mut releases: Releases,
        ground: Ground,
        playbooks: PathBuf,
        inventories: Vec<String>,
        goal: Goal,
        options: Options,
    ) -> Self {
        let Ground { component, rewrite, inventory_digest } = ground;
        let observed = releases.observe(ONE).await;
        let reachable = observed.members.iter().filter(|member| member.is_reachable());
        let reachable: Vec<String> = reachable.map(|member| member.name.clone()).collect();
        let note = releases.read_note(ONE, &reachable).await;
        let mut progress = Progress::begin(now_ms());
        progress.observe(&observed, now_ms());
        let made_from = MadeFrom {
            inventory: inventory_digest,
            role: component.role_digest.clone(),
            observed: MadeFrom::observed_digest(&observed),
        };
        let name = component.definition.name.value.clone();
        let request = Request {
            component: name,
            playbooks,
            inventories,
            goal,
            options,
            plan: None,
            variables: None,
            frozen: None,
        };
        let first_may_be_done = false;
        Change {
            releases,
            component,
            request,
            made_from,
            observed,
            progress,
            note,
            shown: None,
            rewrite,
            first_may_be_done,
        }
    }

    /// Goes on with what an earlier run remembers.
    ///
    /// # Errors
    /// When another operator has gone on with it, or has begun another one: to go on with this one
    /// would undo that.
    pub fn take_over(&mut self, past: &Past) -> Result<(), Refusal> {
        let has_begun = past.step.is_some() || past.ended > 0;
        let is_ours = |note: &Note| note.run == past.run || past.after.as_ref() == Some(&note.run);
        let is_another = match &self.note {
            Some(note) => !is_ours(note),
            None => has_begun,
        };
        if is_another && !self.is_reached() {
            let component = &self.request.component;
            let message = match &self.note {
                Some(note) => format!("run {} of {} came after it", note.run, note.controller),
                None => "no member tells of it: another operator has brought it to its end".into(),
            };
            return Err(Refusal::new(
                format!("run {} is not gone on with: {message}", past.run),
                format!("look with `provision status {component}`, and begin a new one"),
            ));
        }
        self.progress = past.progress.clone();
        self.progress.goes_on_again(now_ms());
        if past.end.as_deref() == Some("paused") {
            self.progress.go_on(now_ms());
        }
        // Of a plan, what is left.
        let left = |plan: &Vec<Step>| plan.get(past.ended..).unwrap_or_default().to_vec();
        self.request.plan = past.request.plan.as_ref().map(left);
        self.first_may_be_done = past.step.is_some();
        Ok(())
    }

    /// Goes on with what another operator's run has left on the members. What that one remembered
    /// is not known: where the cluster is was looked at.
    pub fn take_over_note(&mut self, note: &Note) {
        self.request.goal = note.goal.clone();
        self.request.options = note.options;
    }

    /// Whether nothing is left to be done.
    fn is_reached(&self) -> bool {
        if self.request.goal.purpose == Purpose::Restart {
            let is_current =
                |member: &Member| member.files == Files::Current && member.role().is_some();
            return self.goal_members().iter().all(is_current);
        }
        self.forecast().is_ok_and(|steps| steps.is_empty())
    }

    /// Looks at all members again until a change could begin, or until that takes too long. For a
    /// change that follows on another one, whose traces are not settled yet.
    pub async fn wait_until_settled(&mut self) {
        let deadline_ms = self.releases.rules(ONE).map_or(0, |rules| rules.deadline_ms);
        let until = tokio::time::Instant::now() + Duration::from_millis(deadline_ms);
        while let Err(Refusal { stop: None, .. }) = self.forecast() {
            if tokio::time::Instant::now() >= until {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            self.observed = self.observe().await;
            self.progress.observe(&self.observed, now_ms());
            self.made_from.observed = MadeFrom::observed_digest(&self.observed);
        }
    }

    /// Looks at the members once more.
    pub async fn observe(&mut self) -> Observed {
        self.releases.observe(ONE).await
    }

    /// Says goodbye to all hosts.
    pub async fn finish(self) {
        self.releases.finish().await;
    }

    /// Settles the version that is meant, and whether it can be had.
    ///
    /// # Errors
    /// When it can't.
    pub fn choose_version(&mut self, given: Option<Version>) -> Result<(), Refusal> {
        let members = self.goal_members();
        let lacking = |version: &Version| -> Vec<String> {
            let lacks = members.iter().filter(|member| !member.releases.contains(version));
            lacks.map(|member| member.name.clone()).collect()
        };
        let version = match (self.request.goal.purpose, given) {
            (Purpose::Restart, _) => return self.keep_version(&members),
            (Purpose::Join, _) => self.version_to_join()?,
            // Whatever they have goes.
            (Purpose::Leave, _) => {
                let has = members.iter().find_map(|member| member.current.clone());
                self.request.goal.version = has.unwrap_or(self.request.goal.version.clone());
                return Ok(());
            }
            (_, Some(version)) => version,
            (_, None) => previous(&members)?,
        };
        let lack = lacking(&version);
        let first = members.first().map(|member| member.name.clone()).unwrap_or_default();
        let known = self.releases.artifacts(ONE, &first);
        let component = self.request.component.clone();
        if !lack.is_empty() && !known.contains(&version) {
            let known: Vec<&str> = known.iter().map(Version::as_str).collect();
            return Err(Refusal::new(
                format!(
                    "{component} {version} is not installed on {} and no artifact of it is known; \
                     nothing was touched",
                    names(&lack)
                ),
                format!("`artifacts.{component}` of the inventory has {}", known.join(", ")),
            ));
        }
        let lacks_digest =
            lack.iter().find(|member| !self.releases.has_digest(ONE, member, &version));
        if let Some(member) = lacks_digest {
            let message = format!(
                "{component} {version} can't be installed on {member}: its artifact has no sha256; \
                 nothing was touched"
            );
            let hint = format!("what was downloaded is compared with artifacts.{component}");
            return Err(Refusal::new(message, format!("{hint}.\"{version}\".sha256")));
        }
        self.request.goal.version = version;
        Ok(())
    }

    /// Who joins gets what the others run: a cluster that is between two releases is brought to one
    /// of them first.
    fn version_to_join(&self) -> Result<Version, Refusal> {
        let component = &self.request.component;
        let first = self.request.goal.members.first().cloned().unwrap_or_default();
        let wanted = self.releases.wanted(ONE, &first).map_err(|error| {
            Refusal::new(format!("{error}; nothing was touched"), "see inventories/example.yml")
        })?;
        let belongs = |member: &&Member| member.duty == Duty::Voter && !member.is_outside;
        let members = self.observed.members.iter().filter(belongs);
        let mut running = members.filter_map(|member| Some((member, member.running.as_ref()?)));
        let Some((member, runs)) = running.find(|(_, runs)| **runs != wanted) else {
            return Ok(wanted);
        };
        Err(Refusal::new(
            format!(
                "{} runs {component} {runs}, and the inventory wants {wanted}; nothing was touched",
                member.name
            ),
            format!("finish that first: provision upgrade {component} {wanted}"),
        ))
    }

    /// Another configuration is no other release: each member keeps the one that it has.
    fn keep_version(&mut self, members: &[Member]) -> Result<(), Refusal> {
        let component = self.request.component.clone();
        let lacks = members.iter().find(|member| member.current.is_none());
        let version = members.iter().filter_map(|member| member.current.clone()).max();
        if let Some(member) = members.iter().find(|member| member.is_outside) {
            let stop = Stop::NotJoined { member: member.name.clone() };
            return Err(Refusal {
                message: format!("refused: {stop}; nothing was touched"),
                hint: None,
                stop: Some(Box::new(stop)),
            });
        }
        match (lacks, version) {
            (None, Some(version)) => {
                self.request.goal.version = version;
                Ok(())
            }
            (lacks, _) => {
                let name = lacks.map(|member| member.name.clone()).unwrap_or_default();
                let message =
                    format!("{component} is not installed on {name}; nothing was touched");
                Err(Refusal::new(message, "provision apply installs it"))
            }
        }
    }

    fn goal_members(&self) -> Vec<Member> {
        let is_meant = |member: &&Member| self.request.goal.members.contains(&member.name);
        self.observed.members.iter().filter(is_meant).cloned().collect()
    }

    /// The steps, if all goes well.
    ///
    /// # Errors
    /// Why it can't even begin.
    pub fn forecast(&self) -> Result<Vec<Step>, Refusal> {
        let Some(rules) = self.releases.rules(ONE) else { return Ok(Vec::new()) };
        let (goal, options) = (&self.request.goal, &self.request.options);
        match forecast(&rules, goal, options, &self.observed) {
            (steps, Decision::Done) => Ok(steps),
            (_, Decision::Stop(stop)) => Err(Refusal {
                message: format!("refused: {stop}; nothing was touched"),
                hint: None,
                stop: Some(Box::new(stop)),
            }),
            (_, Decision::Wait { reason, .. }) => Err(Refusal::new(
                format!("refused: {reason}; nothing was touched"),
                "mend that first; `provision status` shows all members",
            )),
            (steps, Decision::Run(_) | Decision::Pause { .. }) => Ok(steps),
        }
    }

    /// The steps as a plan that can be reviewed and run later.
    #[must_use]
    pub fn plan(&self, steps: Vec<Step>) -> ReleasePlan {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        ReleasePlan {
            format: PLAN_FORMAT,
            component: self.request.component.clone(),
            playbooks: self.request.playbooks.display().to_string(),
            inventories: self.request.inventories.clone(),
            made_at_s: seconds,
            made_from: self.made_from.clone(),
            goal: self.request.goal.clone(),
            options: self.request.options,
            observed: self.observed.clone(),
            steps,
        }
    }
}

/// The only release besides the current one that all have.
fn previous(members: &[Member]) -> Result<Version, Refusal> {
    let current: Vec<&Version> = members.iter().filter_map(|m| m.current.as_ref()).collect();
    let first = members.first().map(|member| member.releases.clone()).unwrap_or_default();
    let common: Vec<Version> = first
        .into_iter()
        .filter(|version| members.iter().all(|member| member.releases.contains(version)))
        .filter(|version| !current.contains(&version))
        .collect();
    match common.as_slice() {
        [version] => Ok(version.clone()),
        [] => Err(Refusal::new(
            "no other release is installed on all of them; nothing was touched",
            "name one: provision rollback COMPONENT VERSION",
        )),
        several => {
            let names: Vec<&str> = several.iter().map(Version::as_str).collect();
            Err(Refusal::new(
                "several releases could be meant; nothing was touched",
                format!("name one of {}", names.join(", ")),
            ))
        }
    }
}
