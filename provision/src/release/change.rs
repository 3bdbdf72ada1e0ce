//! `upgrade`, `rollback`, `reconfigure` and `apply --plan`: look, plan, ask, run. What
//! they do is the engine's; here it is asked for and shown.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use provision_engine::discovery::Snapshot;
use provision_engine::release::{
    Change, End, Ground, Journals, Performed, Prepared, Refusal, chosen,
};
use provision_lifecycle::{Given, Goal, Options, Purpose, ReleasePlan, Shown, Step, Version};

use super::screen::{self, Screen, refuse};
use super::{absolute, begin, members, prepared, several, view, with_inventories};
use crate::apply;
use crate::arguments::{Add, Care, OfReleases, Output, Reconfigure, Remove, Rollback, Upgrade};
use crate::exit::Exit;
use crate::paint;
use crate::prompt;

pub(super) async fn upgrade(arguments: &Upgrade) -> Exit {
    let mut pairs = match several::pairs(&arguments.changes) {
        Ok(pairs) => pairs,
        Err(error) => {
            paint::error(&error, Some("provision upgrade COMPONENT VERSION [COMPONENT VERSION]…"));
            return Exit::Usage;
        }
    };
    if pairs.len() > 1 {
        pairs = match several::in_order(pairs, arguments) {
            Ok(pairs) => pairs,
            Err(exit) => return exit,
        };
    }
    let mut left = pairs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    let are_several = pairs.len() > 1;
    for (component, version) in &pairs {
        let wish = Wish::new(Purpose::Upgrade, Some(version.clone()));
        let wish = Wish { are_several, ..wish };
        let exit = fresh(component, wish, &arguments.care, &arguments.of).await;
        left.retain(|name| name != component);
        if exit != Exit::Done {
            if !left.is_empty() {
                paint::note(&format!("not begun: {}", left.join(", ")));
            }
            return exit;
        }
    }
    Exit::Done
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

/// The same after plays that have written the configuration.
pub(super) async fn restart_due(arguments: &Reconfigure) -> Exit {
    let wish = Wish { follows: true, ..Wish::new(Purpose::Restart, None) };
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
    /// It follows on plays that may have just started the members.
    follows: bool,
    /// Other components are changed by the same command.
    are_several: bool,
}

impl Wish {
    fn new(purpose: Purpose, version: Option<Version>) -> Self {
        Wish {
            purpose,
            version,
            hosts: None,
            drain: false,
            purge: false,
            follows: false,
            are_several: false,
        }
    }
}

/// What is in the way if a journal can't be kept.
const NO_JOURNAL: &str = "a run without a journal can't be resumed: make room for it";

/// A change and how it is watched.
pub(super) struct Begun {
    pub(super) change: Change,
    stop: Arc<AtomicBool>,
    /// What Consul said when this was planned: it isn't asked again.
    snapshots: Vec<Snapshot>,
    output: Output,
}

fn cant_drain(component: &str) -> Refusal {
    let message = format!("the role of {component} can't move away what runs on a member");
    Refusal::new(message, "leave --drain out; component.yml says `drains: true` where a role can")
}

async fn fresh(component: &str, wish: Wish, care: &Care, of: &OfReleases) -> Exit {
    let discovery = apply::discovery(true, &of.reach);
    let prepared = match prepared(of, &[component.to_owned()], discovery) {
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
    let can_drain = prepared.components.first().is_some_and(|found| found.definition.drains);
    if care.drain && !can_drain && !wish.are_several {
        return refuse(&cant_drain(component), Exit::Usage);
    }
    let options = Options {
        canary: care.canary,
        pause_after: care.pause_after,
        max_unavailable: care.max_unavailable,
        accept_outage: care.accept_outage,
        drain: wish.drain || (care.drain && can_drain),
        purge: wish.purge,
    };
    // The version is known for sure only when the members were asked.
    let version = wish.version.clone();
    let placeholder = Version::parse("0").ok();
    let Some(placeholder) = version.clone().or(placeholder) else { return Exit::Usage };
    let goal = Goal { purpose: wish.purpose, version: placeholder, members };
    let mut begun = match look(of, prepared, goal, options).await {
        Ok(begun) => begun,
        Err(exit) => return exit,
    };
    if let Err(refusal) = begun.change.choose_version(version) {
        return begun.give_up(refusal).await;
    }
    let goal = begun.change.request.goal.clone();
    if let Err(exit) = several::refusal(component, &goal, of).await {
        begun.change.finish().await;
        return exit;
    }
    if wish.follows {
        begun.change.wait_until_settled().await;
    }
    let steps = match begun.change.forecast() {
        Ok(steps) => steps,
        Err(refusal) => return begun.give_up(refusal).await,
    };
    begun.show_plan(&steps);
    begun.show_note();
    if let Some(path) = &care.plan_out {
        let exit = begun.save_plan(path, steps);
        begun.change.finish().await;
        return exit;
    }
    if !steps.is_empty() && !care.yes && !prompt::confirm("go ahead?") {
        let hint = "answer y, or run it with --yes";
        return begun.give_up(Refusal::new("not confirmed; nothing was touched", hint)).await;
    }
    begun.run(None).await
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
    let discovery = apply::discovery(true, &of.reach);
    let prepared = match prepared(&of, std::slice::from_ref(&plan.component), discovery) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let mut begun = match look(&of, prepared, plan.goal.clone(), plan.options).await {
        Ok(begun) => begun,
        Err(exit) => return exit,
    };
    if let Err(error) = plan.check(&begun.change.made_from, &begun.change.observed) {
        let hint = "make a new one: provision upgrade … --plan-out FILE";
        let message = format!("{}: {error}", path.display());
        return begun.give_up(Refusal::new(message, hint)).await;
    }
    if let Err(exit) = several::refusal(&plan.component, &plan.goal, &of).await {
        begun.change.finish().await;
        return exit;
    }
    begun.change.request.plan = Some(plan.steps.clone());
    begun.show_plan(&plan.steps);
    begun.run(None).await
}

/// Connects and asks all members.
pub(super) async fn look(
    of: &OfReleases,
    prepared: Prepared,
    goal: Goal,
    options: Options,
) -> Result<Begun, Exit> {
    let ground = match Ground::of(&prepared, "the component") {
        Ok(ground) => ground,
        Err(refusal) => return Err(refuse(&refusal, Exit::InvalidInput)),
    };
    let snapshots = prepared.loaded.discovery.taken();
    let stop = Arc::new(AtomicBool::new(false));
    let releases = begin(of, prepared, true, &stop)?;
    let playbooks = std::path::absolute(&of.playbooks).unwrap_or(of.playbooks.clone());
    let inventories = of.reach.inventory.iter().map(|source| absolute(source)).collect();
    let mut change = Change::look(releases, ground, playbooks, inventories, goal, options).await;
    change.request.variables = Given::of(&of.reach.extra_vars);
    Ok(Begun { change, stop, snapshots, output: of.output })
}

impl Begun {
    pub(super) async fn give_up(self, refusal: Refusal) -> Exit {
        let refusal = screen::with_hint(refusal, &self.change.request.component);
        self.change.finish().await;
        refuse(&refusal, Exit::Refused)
    }

    fn show_plan(&mut self, steps: &[Step]) {
        let observed = self.change.observed.clone();
        self.change.shown = Some(Shown { observed, steps: steps.to_vec() });
        if self.output == Output::Human {
            screen::show_plan(&self.change, steps);
        }
    }

    fn show_note(&self) {
        if let Some(note) = &self.change.note {
            screen::show_note(note, &self.change.request.component);
        }
    }

    fn save_plan(&self, path: &Path, steps: Vec<Step>) -> Exit {
        let plan = self.change.plan(steps);
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
    pub(super) async fn run(mut self, after: Option<&str>) -> Exit {
        let mut screen = Screen::new(&self.change.request, self.output);
        let journals = Journals::default();
        match journals.freeze(self.change.run_name(), &self.snapshots) {
            Ok(frozen) => self.change.request.frozen = frozen,
            Err(error) => {
                let refusal = Refusal::new(format!("{error}; nothing was touched"), NO_JOURNAL);
                return self.give_up(refusal).await;
            }
        }
        let performed = self.change.perform(&journals, after, &self.stop, &mut screen).await;
        let exit = match performed {
            Ok(performed) => self.conclude(&performed).await,
            Err(error) => {
                let message = format!("failed to write the journal: {error}; nothing was touched");
                paint::error(&message, None);
                Exit::Environment
            }
        };
        self.change.finish().await;
        exit
    }

    /// Which lines of the inventory name who has left.
    async fn show_advice(&mut self) {
        let observed = self.change.observe().await;
        let (definition, request) = (&self.change.component.definition, &self.change.request);
        let groups: Vec<&str> = std::iter::once(&definition.group)
            .chain(&definition.followers)
            .map(|group| group.value.as_str())
            .collect();
        let hosts = &request.goal.members;
        say!("{}", members::advice(&request.inventories, &groups, hosts));
        members::warn_of_the_unseen(&request.component, &observed, hosts);
    }

    async fn conclude(&mut self, performed: &Performed) -> Exit {
        if let Some(error) = &performed.not_stored {
            paint::error(&format!("failed to write the journal: {error}"), None);
        }
        let is_human = self.output == Output::Human;
        if matches!(performed.end, End::Done) {
            if is_human {
                screen::show_done(
                    &self.change.request,
                    &self.change.observed,
                    performed.duration_ms,
                );
            }
            screen::show_wanted(&performed.wanted, is_human);
            if is_human && self.change.request.goal.purpose == Purpose::Leave {
                self.show_advice().await;
            }
            return Exit::Done;
        }
        let (hint, exit) = screen::verdict(&performed.end, &self.change);
        paint::error(&performed.end.message(), hint.as_deref());
        if is_human {
            let observed = self.change.observe().await;
            let request = &self.change.request;
            let kind = self.change.component.definition.kind.value;
            let wanted = Ok(&request.goal.version);
            say!("{}", view::table(&request.component, kind, &observed, wanted, None));
        }
        exit
    }
}
