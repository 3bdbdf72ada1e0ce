//! One play of a run: its hosts in their order and their batches, and what it has before its first task:
//! strategy, answers of the operator, fact gathering, files of variables.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use diagnostics::Style;
use provision_playbook::files::Files;
use provision_playbook::inventory::Inventory;
use provision_playbook::model::{Arguments, Item, Play, Strategy, Task, TaskId};
use provision_protocol::modules;
use yaml::{Node, NodeValue};

use super::AskOperator;
use crate::batches::{self, batches};
use crate::event::Event;
use crate::load::hosts_of;
use crate::outside::Outside;
use crate::play::{PlayRun, Shared};
use crate::variables::{Layer, View};
use crate::world::{PlayState, World};

type Ask<'a> = Option<&'a AskOperator>;

/// Whether all hosts of a batch were lost. As in Ansible that ends the run: later plays rely on what
/// this one should have done or checked.
pub(super) async fn run_play(
    shared: &mut Shared,
    inventory: &Inventory,
    play: &Arc<Play>,
    ask: Ask<'_>,
) -> bool {
    let hosts = match hosts_of(&shared.world, inventory, play) {
        Ok(hosts) => hosts,
        Err(diagnostic) => {
            shared.report.warn(None, diagnostic.message.clone());
            return false;
        }
    };
    let mut everybody: Vec<String> =
        hosts.into_iter().chain(added_hosts(&shared.world, inventory, play)).collect();
    order(&mut everybody, &shared.world, play);
    let (hosts, lost): (Vec<String>, Vec<String>) = everybody
        .iter()
        .cloned()
        .partition(|host| !shared.failed.contains(host) && !shared.unreachable.contains(host));
    let localhost = shared.world.host_or_new("localhost");
    let name = play_name(&shared.world, play, &localhost);
    let place = place_of(shared, play);
    if hosts.is_empty() {
        shared.report.event(&Event::PlayStarted { name, place, hosts, batch: (1, 1) });
        shared.report.warn(None, "no hosts matched");
        return false;
    }
    let mut variables: Vec<Arc<Layer>> = Vec::new();
    if let Some(vars) = &play.context.directives.vars {
        variables.push(shared.world.layers.of(vars));
    }
    variables.extend(prompts(&shared.world, play, ask));
    let play = match with_strategy(with_facts(play), &shared.world) {
        Ok(play) => Arc::new(play),
        Err(message) => {
            shared.report.warn(None, message);
            shared.failed.extend(hosts);
            return true;
        }
    };
    let batches = batches(&shared.world, &play, &hosts);
    shared.play_is_ended = false;
    let count = batches.len();
    for (number, batch) in batches.into_iter().enumerate() {
        if shared.interrupts > 0 || shared.stopped_by_limit || shared.play_is_ended {
            break;
        }
        shared.report.event(&Event::PlayStarted {
            name: name.clone(),
            place: place.clone(),
            hosts: batch.clone(),
            batch: (number + 1, count),
        });
        let mut state = PlayState::new(
            play.clone(),
            name.clone(),
            everybody.clone(),
            batch.clone(),
            variables.clone(),
        );
        // Earlier plays lost them: they are hosts of the play, but none that take part.
        lost.iter().for_each(|host| state.lose(host));
        if let Err(message) = vars_files(shared, &play, &batch, &mut state) {
            shared.report.warn(None, message);
            shared.failed.extend(batch.iter().cloned());
            return true;
        }
        let state = Arc::new(state);
        PlayRun::new(shared, state.clone()).run().await;
        if state.still_in(&batch).is_empty() {
            return true;
        }
    }
    false
}

pub(super) fn place_of(shared: &Shared, play: &Play) -> String {
    let loader = shared.loader.lock().unwrap_or_else(PoisonError::into_inner);
    loader.sources().place(play.span).to_string()
}

/// Hosts that `add_host` and `group_by` brought into the play's groups during the run.
fn added_hosts(world: &Arc<World>, inventory: &Inventory, play: &Play) -> Vec<String> {
    let pattern = match play.hosts.as_str() {
        Some(pattern) if !provision_template::text_has_template(pattern) => pattern,
        _ => return Vec::new(),
    };
    let known: BTreeSet<String> =
        hosts_of(world, inventory, play).unwrap_or_default().into_iter().collect();
    let outside_of_limit = world.settings.limit.is_some();
    world
        .matching_hosts(pattern)
        .into_iter()
        .filter(|host| {
            let left_out = outside_of_limit && inventory.host(host).is_some();
            !known.contains(host) && !left_out
        })
        .collect()
}

/// The play with the strategy that its template names.
fn with_strategy(mut play: Play, world: &Arc<World>) -> Result<Play, String> {
    if let Some(node) = &play.strategy_template {
        let name = batches::text_of_play(world, &play, node)?;
        play.strategy = Strategy::of_name(&name).ok_or_else(|| {
            format!("there is no strategy `{name}`: they are linear, free and host_pinned")
        })?;
    }
    Ok(play)
}

fn order(hosts: &mut [String], world: &Arc<World>, play: &Play) {
    // One that can't be evaluated is none: hosts are taken as the inventory has them.
    let order = play.order.as_ref().and_then(|node| batches::text_of_play(world, play, node).ok());
    match order.as_deref() {
        Some("sorted") => hosts.sort(),
        Some("reverse_sorted") => {
            hosts.sort();
            hosts.reverse();
        }
        Some("reverse_inventory") => hosts.reverse(),
        _ => {}
    }
}

pub(super) fn play_name(
    world: &Arc<World>,
    play: &Play,
    localhost: &Arc<crate::variables::HostVariables>,
) -> String {
    let node = play.name.as_ref().unwrap_or(&play.hosts);
    let view = View::of_host(world, localhost);
    let outside = Outside::of(&view);
    match world.engine.render_node(node, &view, &outside) {
        Ok(value) => provision_template::text_of(&value),
        Err(_) => node.as_str().unwrap_or("play").to_owned(),
    }
}

fn prompts(world: &Arc<World>, play: &Play, ask: Ask<'_>) -> Option<Arc<Layer>> {
    if play.vars_prompt.is_empty() {
        return None;
    }
    let localhost = world.host_or_new("localhost");
    let view = View::of_host(world, &localhost);
    let outside = Outside::of(&view);
    let text = |node: &Option<Node>| {
        let value = world.engine.render_node(node.as_ref()?, &view, &outside).ok()?;
        Some(provision_template::text_of(&value))
    };
    let mut layer = Layer::default();
    for prompt in &play.vars_prompt {
        if world.extra.get(&prompt.name).is_some() {
            continue;
        }
        let question = text(&prompt.prompt).unwrap_or_else(|| prompt.name.clone());
        let answer = ask.and_then(|ask| ask(prompt, &question)).filter(|answer| !answer.is_empty());
        let value = answer.or_else(|| text(&prompt.default)).unwrap_or_default();
        layer.set_data(prompt.name.as_str(), value.into());
    }
    Some(Arc::new(layer))
}

/// The play with its fact gathering as the first task, unless it is switched off.
pub(super) fn with_facts(play: &Arc<Play>) -> Play {
    let mut play = Play::clone(play);
    let off = play.gather_facts.as_ref().is_some_and(|node| {
        node.as_bool() == Some(false)
            || node
                .as_str()
                .is_some_and(|text| matches!(text.to_lowercase().as_str(), "no" | "false"))
    });
    let Some(module) = modules::find("setup").filter(|_| !off) else { return play };
    let mut parameters = yaml::Mapping::default();
    for (name, node) in [
        ("gather_subset", &play.gather_subset),
        ("gather_timeout", &play.gather_timeout),
        ("fact_path", &play.fact_path),
    ] {
        if let Some(node) = node {
            parameters.entries.push((Node::string(node.span, name), node.clone()));
        }
    }
    let directives = provision_playbook::model::Directives {
        tags: vec!["always".to_owned()],
        when: play.included_when.clone(),
        // Each host has its own facts, also in a play that does all else once.
        run_once: Some(Node::new(play.span, NodeValue::Bool(false))),
        ..Default::default()
    };
    let context = provision_playbook::model::Context::inside(
        &play.context,
        provision_playbook::model::Level::Task,
        directives,
    );
    let task = Task {
        id: TaskId(FACTS_TASK),
        span: play.span,
        name: Some(Node::new(play.span, NodeValue::String("Gathering Facts".into()))),
        module,
        module_written: "setup".to_owned(),
        own: None,
        module_span: play.span,
        arguments: Arguments { parameters, splat: None },
        context: Arc::new(context),
        repeat: None,
        register: None,
        notify: Vec::new(),
        changed_when: None,
        failed_when: None,
        until: None,
        asynchronous: None,
        poll: None,
        include: None,
        folder: play.folder.clone(),
    };
    play.items.insert(0, Item::Task(Arc::new(task)));
    play
}

/// Number of the implicit task; no loaded task has it.
pub(crate) const FACTS_TASK: u32 = u32::MAX;

/// `vars_files` of each host: names may be templates over its variables.
fn vars_files(
    shared: &mut Shared,
    play: &Arc<Play>,
    batch: &[String],
    state: &mut PlayState,
) -> Result<(), String> {
    if play.vars_files.is_empty() {
        return Ok(());
    }
    for name in batch {
        let host = shared.world.host_or_new(name);
        let mut view = View::of_host(&shared.world, &host);
        view.context = Some(play.context.clone());
        let mut layers = Vec::new();
        for entry in &play.vars_files {
            let outside = Outside::of(&view);
            let alternatives: Vec<&Node> =
                entry.as_sequence().map_or_else(|| vec![entry], |list| list.iter().collect());
            let mut tried = Vec::new();
            let mut taken = None;
            for alternative in alternatives {
                let Ok(value) = shared.world.engine.render_node(alternative, &view, &outside)
                else {
                    tried.push(alternative.as_str().unwrap_or_default().to_owned());
                    continue;
                };
                let written = provision_template::text_of(&value);
                let path = play_file(play, &written);
                if shared.world.files.kind(&path).is_some() {
                    taken = Some(path);
                    break;
                }
                tried.push(path.display().to_string());
            }
            let Some(path) = taken else {
                return Err(format!(
                    "{name}: vars_files: none of these exists: {}",
                    tried.join(", ")
                ));
            };
            let mut loader = shared.loader.lock().unwrap_or_else(PoisonError::into_inner);
            let mapping = loader.variables(&path).map_err(|diagnostics| {
                diagnostics::render_all(&diagnostics, loader.sources(), Style::Plain)
            })?;
            shared.reaches.define(&mapping);
            let layer = shared.world.layers.of(&mapping);
            for (name, slot) in layer.iter() {
                view.local.set(name, slot.clone());
            }
            layers.push(layer);
        }
        state.set_files(name, layers);
    }
    Ok(())
}

fn play_file(play: &Play, written: &str) -> std::path::PathBuf {
    let path = Path::new(written);
    if path.is_absolute() {
        return path.to_path_buf();
    }
    let within = play.folder.join("vars").join(path);
    if within.exists() { within } else { play.folder.join(path) }
}
