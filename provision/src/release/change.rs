//! What `upgrade`, `rollback`, `resume` and `apply --plan` have in common: look, plan, ask, run,
//! and write the wanted version.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use provision_engine::release::{
    Component, End, Happening, Prepared, Releases, Rewrite, Task, Watcher, find_wanted, now_ms,
};
use provision_lifecycle::{
    Decision, Goal, MadeFrom, Observed, Options, PLAN_FORMAT, Progress, Purpose, ReleasePlan,
    Revert, Step, Stop, Version, forecast,
};

use super::journal::{self, Journal, Record, Request};
use super::{absolute, begin, members, prepared, view, with_inventories};
use crate::arguments::{
    Add, Care, OfReleases, Output, Reconfigure, Remove, Resume, Rollback, Upgrade,
};
use crate::exit::Exit;
use crate::paint::{self, BAD, CHANGED, FAINT, GOOD, STRONG, harmless, styled};
use crate::prompt;

/// The only component of a run that changes one.
const ONE: usize = 0;

pub(super) async fn upgrade(arguments: &Upgrade) -> Exit {
    let version = match Version::parse(&arguments.version) {
        Ok(version) => version,
        Err(error) => {
            paint::error(&error.to_string(), None);
            return Exit::Usage;
        }
    };
    let wish = Wish::new(Purpose::Upgrade, Some(version));
    fresh(&arguments.component, wish, &arguments.care, &arguments.of).await
}

pub(super) async fn rollback(arguments: &Rollback) -> Exit {
    let version = match arguments.version.as_deref().map(Version::parse).transpose() {
        Ok(version) => version,
        Err(error) => {
            paint::error(&error.to_string(), None);
            return Exit::Usage;
        }
    };
    let wish = Wish::new(Purpose::Rollback, version);
    fresh(&arguments.component, wish, &arguments.care, &arguments.of).await
}

pub(super) async fn reconfigure(arguments: &Reconfigure) -> Exit {
    let wish = Wish::new(Purpose::Restart, None);
    fresh(&arguments.component, wish, &arguments.care, &arguments.of).await
}

pub(super) async fn add(arguments: &Add) -> Exit {
    let hosts = Some(arguments.hosts.clone());
    let wish = Wish { hosts, ..Wish::new(Purpose::Join, None) };
    let care = members::care(arguments.yes, arguments.plan_out.clone(), false);
    fresh(&arguments.component, wish, &care, &arguments.of).await
}

pub(super) async fn remove(arguments: &Remove) -> Exit {
    let (drain, purge) = (arguments.drain, arguments.purge);
    let hosts = Some(arguments.hosts.clone());
    let wish = Wish { hosts, drain, purge, ..Wish::new(Purpose::Leave, None) };
    let care = members::care(arguments.yes, arguments.plan_out.clone(), arguments.accept_outage);
    fresh(&arguments.component, wish, &care, &arguments.of).await
}

/// What the operator asks for.
struct Wish {
    purpose: Purpose,
    version: Option<Version>,
    /// The hosts that are meant, by their names.
    hosts: Option<Vec<String>>,
    drain: bool,
    purge: bool,
}

impl Wish {
    fn new(purpose: Purpose, version: Option<Version>) -> Self {
        Wish { purpose, version, hosts: None, drain: false, purge: false }
    }
}

/// A refusal: what and why, and what to do instead.
pub(super) struct Refusal {
    message: String,
    hint: Option<String>,
}

pub(super) fn refusal(message: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal { message: message.into(), hint: Some(hint.into()) }
}

/// A run that is about to begin or goes on.
struct Change {
    releases: Releases,
    component: Component,
    request: Request,
    made_from: MadeFrom,
    observed: Observed,
    progress: Progress,
    stop: Arc<AtomicBool>,
    rewrite: Result<Rewrite, String>,
    output: Output,
}

async fn fresh(component: &str, wish: Wish, care: &Care, of: &OfReleases) -> Exit {
    let prepared = match prepared(of, &[component.to_owned()]) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let chosen = match &wish.hosts {
        Some(hosts) => members::chosen(&prepared, component, hosts),
        None => chosen(&prepared, component, care.hosts.as_deref()),
    };
    let members = match chosen {
        Ok(members) => members,
        Err(refusal) => return refuse(&refusal, Exit::InvalidInput),
    };
    let options = Options {
        canary: care.canary,
        pause_after: care.pause_after,
        max_unavailable: care.max_unavailable,
        accept_outage: care.accept_outage,
        drain: wish.drain,
        purge: wish.purge,
    };
    // The version is known for sure only when the members were asked.
    let version = wish.version.clone();
    let placeholder = Version::parse("0").ok();
    let Some(placeholder) = version.clone().or(placeholder) else { return Exit::Usage };
    let goal = Goal { purpose: wish.purpose, version: placeholder, members };
    let mut change = match look(of, prepared, goal, options).await {
        Ok(change) => change,
        Err(exit) => return exit,
    };
    if let Err(refusal) = change.choose_version(version) {
        change.releases.finish().await;
        return refuse(&refusal, Exit::Refused);
    }
    let steps = match change.forecast() {
        Ok(steps) => steps,
        Err(refusal) => {
            change.releases.finish().await;
            return refuse(&refusal, Exit::Refused);
        }
    };
    change.show_plan(&steps);
    if let Some(path) = &care.plan_out {
        let exit = change.save_plan(path, steps);
        change.releases.finish().await;
        return exit;
    }
    if !steps.is_empty() && !care.yes && !prompt::confirm("go ahead?") {
        change.releases.finish().await;
        let hint = "answer y, or run it with --yes";
        return refuse(&refusal("not confirmed; nothing was touched", hint), Exit::Refused);
    }
    change.run(None).await
}

pub(super) async fn saved(path: &Path, of: OfReleases) -> Exit {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            paint::error(&format!("failed to read {}: {error}", path.display()), None);
            return Exit::InvalidInput;
        }
    };
    let plan = match ReleasePlan::parse(&text) {
        Ok(plan) => plan,
        Err(error) => {
            paint::error(&format!("{}: {error}", path.display()), None);
            return Exit::InvalidInput;
        }
    };
    let reach = with_inventories(&of.reach, &plan.inventories);
    let of = OfReleases { reach, playbooks: plan.playbooks.clone().into(), ..of };
    let prepared = match prepared(&of, std::slice::from_ref(&plan.component)) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let mut change = match look(&of, prepared, plan.goal.clone(), plan.options).await {
        Ok(change) => change,
        Err(exit) => return exit,
    };
    if let Err(error) = plan.check(&change.made_from, &change.observed) {
        change.releases.finish().await;
        let hint = "make a new one: provision upgrade … --plan-out FILE";
        return refuse(&refusal(format!("{}: {error}", path.display()), hint), Exit::Refused);
    }
    change.show_plan(&plan.steps);
    change.request.plan = Some(plan.steps);
    change.run(None).await
}

pub(super) async fn resume(arguments: &Resume) -> Exit {
    let past = match journal::find(arguments.run.as_deref()) {
        Ok(past) => past,
        Err(message) => {
            let hint = "journals are kept on the machine and for the user that ran it";
            return refuse(&refusal(message, hint), Exit::Refused);
        }
    };
    if !past.is_open() {
        let how = past.end.as_deref().unwrap_or("ended");
        let message = format!("run {} is over: {how}", past.run);
        let hint = "begin a new one with upgrade or rollback";
        return refuse(&refusal(message, hint), Exit::Refused);
    }
    let of = &arguments.of;
    let of = OfReleases {
        reach: with_inventories(&of.reach, &past.request.inventories),
        playbooks: past.request.playbooks.clone(),
        ..of.clone()
    };
    let prepared = match prepared(&of, std::slice::from_ref(&past.request.component)) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    if arguments.of.output == Output::Human {
        let at = past.step.as_ref().map(|step| view::names(step.members()));
        let at = at.map(|at| format!(", which was at {at}")).unwrap_or_default();
        say!("going on with run {}{at}", past.run);
    }
    let (goal, options) = (past.request.goal.clone(), past.request.options);
    let mut change = match look(&of, prepared, goal, options).await {
        Ok(change) => change,
        Err(exit) => return exit,
    };
    change.progress = past.progress;
    change.progress.goes_on_again(now_ms());
    if past.end.as_deref() == Some("paused") {
        change.progress.go_on(now_ms());
    }
    change.run(Some(&past.run)).await
}

/// The members that the operator means.
fn chosen(
    prepared: &Prepared,
    component: &str,
    pattern: Option<&str>,
) -> Result<Vec<String>, Refusal> {
    let Some(found) = prepared.components.get(ONE) else {
        let hint = "its group in component.yml has no hosts in this inventory";
        return Err(refusal(format!("{component} has no members"), hint));
    };
    let members: Vec<String> = found.members.iter().map(|(name, _)| name.clone()).collect();
    let Some(pattern) = pattern else { return Ok(members) };
    let matching = prepared.loaded.world.matching_hosts(pattern);
    let chosen: Vec<String> =
        members.iter().filter(|name| matching.contains(name)).cloned().collect();
    if chosen.is_empty() {
        let hint = format!("the members are {}", view::names(&members));
        return Err(refusal(format!("--hosts {pattern} names no member of {component}"), hint));
    }
    Ok(chosen)
}

/// Connects and asks all members.
async fn look(
    of: &OfReleases,
    prepared: Prepared,
    goal: Goal,
    options: Options,
) -> Result<Change, Exit> {
    let Some(component) = prepared.components.get(ONE).cloned() else {
        paint::error("the component has no members in this inventory", None);
        return Err(Exit::InvalidInput);
    };
    let name = component.definition.name.value.clone();
    let sources = prepared.loaded.loader.sources();
    let rewrite = find_wanted(sources, &name);
    let rewrite = rewrite.map_err(|error| error.to_string());
    let inventory = prepared.inventory_digest.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let mut releases = begin(of, prepared, true, &stop)?;
    let observed = releases.observe(ONE).await;
    let mut progress = Progress::begin(now_ms());
    progress.observe(&observed, now_ms());
    let playbooks = std::path::absolute(&of.playbooks).unwrap_or(of.playbooks.clone());
    let made_from = MadeFrom {
        inventory,
        role: component.role_digest.clone(),
        observed: MadeFrom::observed_digest(&observed),
    };
    let inventories = of.reach.inventory.iter().map(|source| absolute(source)).collect();
    let request = Request { component: name, playbooks, inventories, goal, options, plan: None };
    let output = of.output;
    Ok(Change {
        releases,
        component,
        request,
        made_from,
        observed,
        progress,
        stop,
        rewrite,
        output,
    })
}

impl Change {
    /// The version that is meant, and whether it can be had.
    fn choose_version(&mut self, given: Option<Version>) -> Result<(), Refusal> {
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
            return Err(refusal(
                format!(
                    "{component} {version} is not installed on {} and no artifact of it is known; \
                     nothing was touched",
                    view::names(&lack)
                ),
                format!("`artifacts.{component}` of the inventory has {}", known.join(", ")),
            ));
        }
        self.request.goal.version = version;
        Ok(())
    }

    /// Who joins gets what the others run.
    fn version_to_join(&self) -> Result<Version, Refusal> {
        let first = self.request.goal.members.first().cloned().unwrap_or_default();
        let wanted = self.releases.wanted(ONE, &first).map_err(|error| {
            refusal(format!("{error}; nothing was touched"), "see inventories/example.yml")
        })?;
        members::all_run(&self.request.component, &wanted, &self.observed)?;
        Ok(wanted)
    }

    /// Another configuration is no other release: each member keeps the one that it has.
    fn keep_version(&mut self, members: &[provision_lifecycle::Member]) -> Result<(), Refusal> {
        let component = self.request.component.clone();
        let lacks = members.iter().find(|member| member.current.is_none());
        let version = members.iter().filter_map(|member| member.current.clone()).max();
        if let Some(member) = members.iter().find(|member| member.is_outside) {
            let stop = Stop::NotJoined { member: member.name.clone() };
            let hint = hint_of(&stop, &component).unwrap_or_default();
            return Err(refusal(format!("refused: {stop}; nothing was touched"), hint));
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
                Err(refusal(message, "provision apply installs it"))
            }
        }
    }

    fn goal_members(&self) -> Vec<provision_lifecycle::Member> {
        let is_meant = |member: &&provision_lifecycle::Member| {
            self.request.goal.members.contains(&member.name)
        };
        self.observed.members.iter().filter(is_meant).cloned().collect()
    }

    fn is_human(&self) -> bool {
        self.output == Output::Human
    }

    /// The steps, if all goes well; or why it can't even begin.
    fn forecast(&self) -> Result<Vec<Step>, Refusal> {
        let Some(rules) = self.releases.rules(ONE) else { return Ok(Vec::new()) };
        let (goal, options) = (&self.request.goal, &self.request.options);
        match forecast(&rules, goal, options, &self.observed) {
            (steps, Decision::Done) => Ok(steps),
            (_, Decision::Stop(stop)) => Err(Refusal {
                hint: hint_of(&stop, &self.request.component),
                message: format!("refused: {stop}; nothing was touched"),
            }),
            (_, Decision::Wait { reason, .. }) => Err(refusal(
                format!("refused: {reason}; nothing was touched"),
                "mend that first; `provision status` shows all members",
            )),
            (steps, Decision::Run(_) | Decision::Pause { .. }) => Ok(steps),
        }
    }

    fn show_plan(&self, steps: &[Step]) {
        if !self.is_human() {
            return;
        }
        let (goal, observed) = (&self.request.goal, &self.observed);
        say!("{}", view::heading(&self.request.component, goal, observed));
        if steps.is_empty() {
            say!("{}", view::nothing_to_do(goal, observed));
            return;
        }
        say!("{}", view::plan(steps, goal, observed));
        let note = match self.request.plan {
            _ if matches!(goal.purpose, Purpose::Join | Purpose::Leave) => {
                "all members are looked at again before every step; a failing one ends the run"
            }
            Some(_) => "exactly these steps; a failing one is reverted and ends the run",
            None => {
                "the order is computed again before every step; a failing one is reverted and ends \
                 the run"
            }
        };
        say!("{}", styled(FAINT, note));
    }

    fn save_plan(&self, path: &Path, steps: Vec<Step>) -> Exit {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let plan = ReleasePlan {
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
        };
        match durable::write(path, plan.to_text().as_bytes(), 0o644) {
            Ok(()) => {
                say!("written to {}; nothing was touched", path.display());
                say!("run it: provision apply --plan {}", path.display());
                Exit::Done
            }
            Err(error) => {
                paint::error(&format!("failed to write {}: {error}", path.display()), None);
                Exit::Environment
            }
        }
    }

    /// Runs to the goal, or to where it can't go on.
    async fn run(mut self, after: Option<&str>) -> Exit {
        let run = self.releases.name().to_owned();
        let journal = Journal::begin(&run, &self.request, &self.progress);
        let journal = journal.and_then(|journal| match after {
            Some(before) => journal::hand_over(before, &run).map(|()| journal),
            None => Ok(journal),
        });
        let journal = match journal {
            Ok(journal) => journal,
            Err(error) => {
                self.releases.finish().await;
                let message = format!("failed to write the journal: {error}; nothing was touched");
                paint::error(&message, None);
                return Exit::Environment;
            }
        };
        let begun = Instant::now();
        let request = self.request.clone();
        let mut screen = Screen { journal, request, output: self.output, number: 0 };
        screen.print(&Record::Begun {
            format: 1,
            run: run.clone(),
            request: self.request.clone(),
            progress: self.progress.clone(),
        });
        let task = Task {
            component: ONE,
            goal: &self.request.goal,
            options: &self.request.options,
            plan: self.request.plan.as_deref(),
            stop: &self.stop,
        };
        let end = self.releases.reach(&task, &mut self.progress, &mut screen).await;
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let exit = self.conclude(&end, &mut screen, duration_ms, &run).await;
        self.releases.finish().await;
        exit
    }

    async fn conclude(
        &mut self,
        end: &End,
        screen: &mut Screen,
        duration_ms: u64,
        run: &str,
    ) -> Exit {
        let (how, message, hint, exit) = words(end, &self.request, run);
        let stored = screen.store(&Record::Ended { how: how.to_owned(), message: message.clone() });
        if let Err(error) = stored {
            paint::error(&format!("failed to write the journal: {error}"), None);
        }
        let component = &self.request.component;
        if exit == Exit::Done {
            let time = view::seconds(duration_ms);
            if self.is_human() {
                say!(
                    "{} in {time}: {}",
                    styled(GOOD, "done"),
                    view::done(component, &self.request.goal, self.observed.voters() > 0)
                );
            }
            match self.request.goal.purpose {
                Purpose::Upgrade | Purpose::Rollback => self.write_wanted(),
                Purpose::Leave if self.is_human() => {
                    let definition = &self.component.definition;
                    let followers = definition.followers.as_ref();
                    let groups: Vec<&str> = std::iter::once(&definition.group)
                        .chain(followers)
                        .map(|group| group.value.as_str())
                        .collect();
                    let hosts = &self.request.goal.members;
                    say!("{}", members::advice(&self.request.inventories, &groups, hosts));
                    let observed = self.releases.observe(ONE).await;
                    members::warn_of_the_unseen(component, &observed, hosts);
                }
                Purpose::Restart | Purpose::Join | Purpose::Leave => {}
            }
            return exit;
        }
        paint::error(&message, hint.as_deref());
        if self.is_human() {
            let observed = self.releases.observe(ONE).await;
            let wanted = &self.request.goal.version;
            let kind = self.component.definition.kind.value;
            say!("{}", view::table(component, kind, &observed, Ok(wanted)));
        }
        exit
    }

    /// The inventory wants what is there now; unless only a part of the members has it.
    fn write_wanted(&self) {
        let goal = &self.request.goal;
        let all = self.component.members.len();
        let say = |text: String| tell!("{} {text}", styled(CHANGED, "warning:"));
        let rewrite = match &self.rewrite {
            Ok(rewrite) => rewrite,
            Err(error) => {
                say(format!("the wanted version is not rewritten: {error}"));
                return;
            }
        };
        let path = rewrite.path.display();
        let text = rewrite.with(goal.version.as_str());
        if text == rewrite.before {
            return;
        }
        if goal.members.len() < all {
            say(format!(
                "{path} is not rewritten: {} of {all} members were meant; finish with the others",
                goal.members.len()
            ));
            return;
        }
        match durable::write(&rewrite.path, text.as_bytes(), 0o644) {
            Ok(()) if self.is_human() => {
                say!("{path}:");
                for line in changed_lines(&rewrite.before, &text) {
                    say!("{line}");
                }
            }
            Ok(()) => {}
            Err(error) => {
                paint::error(
                    &format!("failed to write {path}: {error}"),
                    Some(
                        "write the version there yourself, or the next apply goes back to the old",
                    ),
                );
            }
        }
    }
}

/// The only release besides the current one that all have.
fn previous(members: &[provision_lifecycle::Member]) -> Result<Version, Refusal> {
    let current: Vec<&Version> = members.iter().filter_map(|m| m.current.as_ref()).collect();
    let first = members.first().map(|member| member.releases.clone()).unwrap_or_default();
    let common: Vec<Version> = first
        .into_iter()
        .filter(|version| members.iter().all(|member| member.releases.contains(version)))
        .filter(|version| !current.contains(&version))
        .collect();
    match common.as_slice() {
        [version] => Ok(version.clone()),
        [] => Err(refusal(
            "no other release is installed on all of them; nothing was touched",
            "name one: provision rollback COMPONENT VERSION",
        )),
        several => {
            let names: Vec<&str> = several.iter().map(Version::as_str).collect();
            Err(refusal(
                "several releases could be meant; nothing was touched",
                format!("name one of {}", names.join(", ")),
            ))
        }
    }
}

/// Lines that differ; only one does.
fn changed_lines(before: &str, after: &str) -> Vec<String> {
    let pairs = before.lines().zip(after.lines()).filter(|(old, new)| old != new);
    pairs
        .flat_map(|(old, new)| {
            [styled(BAD, &format!("- {old}")), styled(GOOD, &format!("+ {new}"))]
        })
        .collect()
}

/// How a run ended: for the journal, for people, and as an exit code.
fn words(end: &End, request: &Request, run: &str) -> (&'static str, String, Option<String>, Exit) {
    let resume = Some(format!("go on with: provision resume {run}"));
    match end {
        End::Done => ("done", "the goal is reached".to_owned(), None, Exit::Done),
        End::Stopped(stop) => (
            "stopped",
            format!("stopped: {stop}"),
            hint_of(stop, &request.component),
            Exit::ReleaseStopped,
        ),
        End::Paused { done } => {
            ("paused", format!("paused: {done} members are done"), resume, Exit::Paused)
        }
        End::Interrupted => {
            ("interrupted", "interrupted between two steps".to_owned(), resume, Exit::Interrupted)
        }
        End::Deviates { planned, now } => {
            let members = |step: &Step| view::names(step.members());
            let planned = planned.as_ref().map_or("its end".to_owned(), members);
            let message = format!(
                "stopped: the plan says {planned} next, but now it would have to be {}",
                members(now)
            );
            let hint = Some("make a new plan; what is done stays done".to_owned());
            ("stopped", message, hint, Exit::ReleaseStopped)
        }
        End::NotStored(error) => (
            "stopped",
            format!("stopped: the journal can't be written: {error}"),
            None,
            Exit::ReleaseStopped,
        ),
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
        Stop::UnknownMember { .. } => return None,
    })
}

fn refuse(refusal: &Refusal, exit: Exit) -> Exit {
    paint::error(&refusal.message, refusal.hint.as_deref());
    exit
}

/// Shows what happens, and stores it first.
struct Screen {
    journal: Journal,
    request: Request,
    output: Output,
    number: usize,
}

impl Screen {
    fn store(&mut self, record: &Record) -> Result<(), String> {
        self.journal.write(record)?;
        self.print(record);
        Ok(())
    }

    fn print(&self, record: &Record) {
        if self.output == Output::Ndjson {
            say!("{}", serde_json::to_string(record).unwrap_or_default());
        }
    }
}

impl Watcher for Screen {
    fn happens(&mut self, happening: &Happening) -> Result<(), String> {
        self.store(&Record::Happens { happening: happening.clone() })?;
        if self.output == Output::Ndjson {
            return Ok(());
        }
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
            Happening::Waits { reason: provision_lifecycle::Reason::Settling { .. } } => {}
            Happening::Waits { reason } => {
                let text = harmless(&reason.to_string());
                say!("    {}", styled(FAINT, &format!("waiting: {text}")));
            }
        }
        Ok(())
    }

    fn goes_on(&mut self, done: u32) -> bool {
        let noun = if done == 1 { "member is" } else { "members are" };
        prompt::confirm(&format!("{done} {noun} done and serve; go on?"))
    }
}
