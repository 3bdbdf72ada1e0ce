//! Spreading again: instances move, one after another, to where placement would put them now. Somebody
//! asks for it; the plan can be looked at first. A move is a start and an end in this order, as all
//! replacements are: [`policy::rollout`] says when. What is remembered is which instance goes where, so
//! that a successor goes on with it. A move that makes no sense any more when its turn comes, or finds
//! no room, is left out, and nothing has been taken away for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use policy::rebalance::{self, Machine, Why, worth};
use policy::spread::Room;
use policy::{Nanoseconds, Time, rollout};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::event::{Accepted, Refusal};
use crate::ids::{AppName, InstanceId, MachineName};
use crate::instance::{End, Instance, Leaving, Life, Wait};
use crate::machine::{Machine as There, room};
use crate::place::Wanted;
use crate::planning::Noted;
use crate::state::State;
use crate::turn::Turn;
use crate::volume::Reserved;

/// The attribute of machines that says in which rack they are.
pub const RACK: &str = "rack";

/// The most moves of one app at a time that are planned: each is a restart, so more is another day.
pub const MOVES_MOST: usize = 200;

/// So many move at a time, if nothing is said.
pub const AT_A_TIME: u32 = 2;

/// Instances of an app that move, or moved, for the sake of evenness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebalance {
    /// When it began.
    pub begun: Time,
    /// The most that move at a time.
    pub at_a_time: u32,
    /// What moves, in this order.
    pub moves: Vec<Move>,
    /// When it ended, and how.
    pub ended: Option<(Time, Ending)>,
}

/// An instance that is to move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Its number.
    pub instance: u64,
    /// The machine that it leaves.
    pub from: MachineName,
    /// The machine on which another one takes its place.
    pub to: MachineName,
    /// What it is good for.
    pub why: Why,
    /// How far it is.
    pub state: MoveState,
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveState {
    /// Its turn hasn't come.
    Planned,
    /// The instance is being replaced.
    Moving {
        /// The number of the one that takes its place, if there is one yet.
        replacement: Option<u64>,
    },
    /// Another one serves in its place.
    Done,
    /// It was left out.
    Skipped(Skip),
}

/// Why a move was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// The instance is gone, or goes for another reason.
    Leaves,
    /// It doesn't serve.
    NotServing,
    /// It would not be more even by it.
    NoUse,
    /// The other machine can't take it.
    NoRoom,
    /// What was to take its place failed.
    Failed,
    /// All of it ended before.
    Over,
}

/// How a rebalance ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Each move was done or left out.
    Done,
    /// A user ended it.
    Cancelled,
    /// A deployment began, or the app was deleted.
    Superseded,
}

/// What a rebalance would do with an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The moves.
    pub moves: Vec<Move>,
    /// Instances by machine, before and after; machines without any aren't told.
    pub machines: BTreeMap<MachineName, (u32, u32)>,
    /// Instances by rack, before and after.
    pub racks: BTreeMap<String, (u32, u32)>,
}

impl Rebalance {
    /// Whether it goes on.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    /// How many moves were done, are under way, and were left out.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |wanted: fn(&MoveState) -> bool| {
            self.moves.iter().filter(|one| wanted(&one.state)).count()
        };
        (
            count(|state| matches!(state, MoveState::Done)),
            count(|state| matches!(state, MoveState::Moving { .. })),
            count(|state| matches!(state, MoveState::Skipped(_))),
        )
    }
}

impl App {
    fn moving(&self) -> Option<&Rebalance> {
        self.rebalance.as_ref().filter(|one| one.is_running())
    }

    /// The machine on which an instance takes the place of one that moves there.
    pub(crate) fn toward(&self, number: u64) -> Option<&MachineName> {
        let is_it = |one: &&Move| one.state == MoveState::Moving { replacement: Some(number) };
        self.moving()?.moves.iter().find(is_it).map(|one| &one.to)
    }
}

/// Whether an instance can be moved for nothing but evenness.
fn is_movable(app: &App, instance: &Instance) -> bool {
    matches!(instance.life, Life::Serving { .. })
        && instance.version == app.target
        && app.versions.get(&instance.version).is_some_and(|one| one.volumes.is_empty())
        && instance.leaving.is_none()
        && instance.named.is_none()
        && !instance.is_unhealthy()
        && !instance.is_replaced
}

fn rack(machine: &There) -> Option<&String> {
    machine.description.attributes.get(RACK)
}

/// Of each machine that has instances of an app: how many, and the numbers of those that may move.
type Own = BTreeMap<usize, (u32, Vec<u64>)>;

fn own(app: &App, ground: &Ground<'_>) -> Own {
    let mut own = Own::new();
    for (number, instance) in app.instances.iter().filter(|(_, one)| one.life.is_spread()) {
        let place = instance.machine.as_ref().and_then(|name| ground.places.get(name));
        let Some(place) = place else { continue };
        let (count, movable) = own.entry(*place).or_default();
        *count = count.saturating_add(1);
        if is_movable(app, instance) {
            movable.push(*number);
        }
    }
    own
}

/// Whether an app has two instances on a machine, or in a rack.
fn has_two(own: &Own, ground: &Ground<'_>) -> bool {
    let mut racks = BTreeSet::new();
    own.iter().any(|(place, (count, _))| {
        let rack = ground.machines.get(*place).and_then(|(_, _, rack)| *rack);
        *count > 1 || rack.is_some_and(|rack| !racks.insert(rack))
    })
}

/// All machines, for the plans of several apps.
pub(crate) struct Ground<'a> {
    /// With the number of the rack.
    machines: Vec<(&'a MachineName, &'a There, Option<u32>)>,
    places: BTreeMap<&'a MachineName, usize>,
    /// What is free on each, after what was planned so far.
    free: Vec<Room>,
    /// Machines that take instances by rack, the emptiest first.
    racks: BTreeMap<Option<u32>, Vec<usize>>,
}

impl<'a> Ground<'a> {
    /// The machines, after what was planned before.
    pub(crate) fn of(state: &'a State, noted: &Noted) -> Self {
        let mut numbers: BTreeMap<&String, u32> = BTreeMap::new();
        let mut ground = Ground {
            machines: Vec::new(),
            places: BTreeMap::new(),
            free: Vec::new(),
            racks: BTreeMap::new(),
        };
        for (place, (name, machine)) in state.machines.iter().enumerate() {
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            let number = rack(machine).map(|rack| *numbers.entry(rack).or_insert(next));
            ground.machines.push((name, machine, number));
            ground.places.insert(name, place);
            let free = room(machine.free());
            let (given, taken) = noted.get(name).copied().unwrap_or_default();
            ground.free.push(free.with(given).without(taken));
            if machine.is_open() {
                ground.racks.entry(number).or_default().push(place);
            }
        }
        let free = &ground.free;
        for rack in ground.racks.values_mut() {
            rack.sort_by_key(|place| {
                let free = free.get(*place).copied().unwrap_or_default();
                std::cmp::Reverse((free.cores, free.memory_mib))
            });
        }
        ground
    }

    fn name(&self, place: usize) -> Option<&'a MachineName> {
        self.machines.get(place).map(|(name, _, _)| *name)
    }

    /// An instance moves.
    fn note(&mut self, from: usize, to: usize, need: Room) {
        if let Some(free) = self.free.get_mut(from) {
            *free = free.with(need);
        }
        if let Some(free) = self.free.get_mut(to) {
            *free = free.without(need);
        }
    }
}

impl State {
    /// Why an app can't be spread again now.
    pub(crate) fn rebalance_refusal(&self, name: &AppName, app: &App) -> Option<Refusal> {
        if app.is_deleted {
            return Some(Refusal::IsDeleted(name.clone()));
        }
        if app.deployment.is_some() {
            return Some(Refusal::IsDeployed(name.clone()));
        }
        if self.is_frozen() {
            return Some(Refusal::IsFrozen);
        }
        if app.specification().is_some_and(|one| !one.volumes.is_empty()) {
            return Some(Refusal::HasVolumes(name.clone()));
        }
        (self.policy.rollout.surge_thousandths == 0).then(|| Refusal::NoSurge(name.clone()))
    }

    /// Moves of an app; what they take and give back is noted for the next one.
    pub(crate) fn plan_of(&self, app: &App, ground: &mut Ground<'_>, now: Time) -> Plan {
        let mut own = own(app, ground);
        let need = app.specification().map_or_else(Room::default, |one| room(one.need));
        let mut places: Vec<usize> = own.keys().copied().collect();
        // With one at most on each machine and in each rack, no empty machine is of use.
        if has_two(&own, ground) {
            places.extend(self.empty_machines(app, ground, &own, need, now));
        }
        places.sort_unstable();
        let none = (0, Vec::new());
        let seen = |place: &usize| {
            let (name, machine, rack) = ground.machines.get(*place)?;
            let (instances, movable) = own.get(place).unwrap_or(&none);
            // What leaves a machine anyway needs no move.
            let movable = if machine.is_open() { movable.len() } else { 0 };
            Some(Machine {
                rack: *rack,
                free: ground.free.get(*place).copied().unwrap_or_default(),
                instances: *instances,
                movable: u32::try_from(movable).unwrap_or(u32::MAX),
                ..self.seen_by(app, name, machine, now)
            })
        };
        let seen: Vec<Machine> = places.iter().filter_map(seen).collect();
        let mut after: Vec<u32> = seen.iter().map(|machine| machine.instances).collect();
        let mut moves = Vec::new();
        for one in rebalance::plan(&seen, need, MOVES_MOST) {
            let ends = places.get(one.from).zip(places.get(one.to));
            let Some((from, to)) = ends.map(|(from, to)| (*from, *to)) else { continue };
            // The youngest goes: the others have been warm for longer.
            let instance = own.get_mut(&from).and_then(|(_, movable)| movable.pop());
            let names = ground.name(from).zip(ground.name(to));
            let (Some(instance), Some((leaves, enters))) = (instance, names) else { continue };
            ground.note(from, to, need);
            if let Some(count) = after.get_mut(one.from) {
                *count = count.saturating_sub(1);
            }
            if let Some(count) = after.get_mut(one.to) {
                *count = count.saturating_add(1);
            }
            let (from, to, state) = (leaves.clone(), enters.clone(), MoveState::Planned);
            moves.push(Move { instance, from, to, why: one.why, state });
        }
        let before = seen.iter().map(|machine| machine.instances);
        let names = places.iter().filter_map(|place| ground.name(*place));
        self.counted(moves, names.zip(before.zip(after)))
    }

    /// Machines without an instance of an app that could take some: of each rack the emptiest, so many
    /// that it could have its share and one more. Of thousands the others don't matter: what they could
    /// take, the next plan finds.
    fn empty_machines(
        &self,
        app: &App,
        ground: &Ground<'_>,
        own: &Own,
        need: Room,
        now: Time,
    ) -> Vec<usize> {
        let share = app.instances.len().div_ceil(ground.racks.len().max(1)).saturating_add(1);
        let is_good = |place: &&usize| {
            let Some((name, machine, _)) = ground.machines.get(**place) else { return false };
            let fits = ground.free.get(**place).is_some_and(|free| free.fits(need));
            fits && !own.contains_key(*place) && self.seen_by(app, name, machine, now).takes
        };
        let racks = ground.racks.values();
        racks.flat_map(|rack| rack.iter().filter(is_good).take(share).copied()).collect()
    }

    fn counted<'a>(
        &self,
        moves: Vec<Move>,
        counts: impl Iterator<Item = (&'a MachineName, (u32, u32))>,
    ) -> Plan {
        let mut plan = Plan { moves, machines: BTreeMap::new(), racks: BTreeMap::new() };
        for (name, (before, after)) in counts.filter(|(_, counts)| *counts != (0, 0)) {
            if let Some(rack) = self.machines.get(name).and_then(rack) {
                let counts = plan.racks.entry(rack.clone()).or_default();
                *counts = (counts.0.saturating_add(before), counts.1.saturating_add(after));
            }
            plan.machines.insert(name.clone(), (before, after));
        }
        plan
    }

    /// Whether a machine takes instances of an app at all, apart from room and from those it has.
    fn seen_by(&self, app: &App, name: &MachineName, machine: &There, now: Time) -> Machine {
        let mut seen = Machine {
            takes: machine.is_open(),
            most: u32::MAX,
            rack: None,
            free: Room::default(),
            instances: 0,
            movable: 0,
        };
        let Some(specification) = app.specification() else { return seen };
        for constraint in &specification.constraints {
            if let crate::app::Constraint::MostPerMachine(most) = constraint {
                seen.most = seen.most.min(*most);
            } else {
                seen.takes &= crate::place::allows(constraint, name, machine, 0);
            }
        }
        let failures = app.failures.get(&app.target);
        let back_off = failures.and_then(|failures| failures.machines.get(name));
        let left = back_off.map_or(Nanoseconds::ZERO, |one| one.left(&self.policy.repair, now));
        seen.takes &= left == Nanoseconds::ZERO;
        seen
    }

    /// Whether a planned move can begin now.
    fn may_move(&self, app: &App, one: &Move, now: Time) -> Result<(), Skip> {
        let instance = app.instances.get(&one.instance).ok_or(Skip::Leaves)?;
        let is_there = instance.machine.as_ref() == Some(&one.from);
        if !is_there || instance.leaving.is_some() || instance.life.is_stopping() {
            return Err(Skip::Leaves);
        }
        if !is_movable(app, instance) {
            return Err(Skip::NotServing);
        }
        let from = self.machines.get(&one.from).filter(|one| one.is_open()).ok_or(Skip::Leaves)?;
        let to = self.machines.get(&one.to).ok_or(Skip::NoRoom)?;
        // Who is about to leave counts as gone already, and who has no place yet as there.
        let moves = app.moving().map(|one| one.moves.as_slice()).unwrap_or_default();
        let count = |wanted: &dyn Fn(&Move) -> bool| {
            u32::try_from(moves.iter().filter(|other| wanted(other)).count()).unwrap_or(u32::MAX)
        };
        let leaving = count(&|other| {
            matches!(other.state, MoveState::Moving { .. }) && other.from == one.from
        });
        let coming = count(&|other| {
            other.state == MoveState::Moving { replacement: None } && other.to == one.to
        });
        let there = self.count_on(app, &one.from).saturating_sub(leaving);
        let here = self.count_on(app, &one.to).saturating_add(coming);
        let racks = self.in_racks(app, from, to);
        worth(there, here, racks).ok_or(Skip::NoUse)?;
        let specification = app.specification().ok_or(Skip::Leaves)?;
        let (version, reserved) = (app.target, Reserved::default());
        let wanted = Wanted { app, version, specification, named: None, volumes: None, reserved };
        match self.exclusion(&wanted, &one.to, to, here, now) {
            None => Ok(()),
            Some(_) => Err(Skip::NoRoom),
        }
    }

    /// Instances of an app in the racks of two machines, if these are two.
    fn in_racks(&self, app: &App, from: &There, to: &There) -> Option<(u32, u32)> {
        let (from, to) = (rack(from)?, rack(to)?);
        if from == to {
            return None;
        }
        let mut counts = (0u32, 0u32);
        for instance in app.instances.values().filter(|one| one.life.is_spread()) {
            let machine = instance.machine.as_ref().and_then(|name| self.machines.get(name));
            let in_rack = machine.and_then(rack);
            let is_leaving = instance.leaving == Some(Leaving::Moved);
            counts.0 += u32::from(in_rack == Some(from) && !is_leaving);
            counts.1 += u32::from(in_rack == Some(to));
        }
        Some(counts)
    }

    /// What becomes of a move that is under way; nothing while it goes on.
    fn moved(&self, app: &App, one: &Move, replacement: Option<u64>) -> Option<MoveState> {
        let Some(instance) = app.instances.get(&one.instance) else {
            let gone = app.gone.iter().find(|gone| gone.number == one.instance);
            let is_moved = gone.is_some_and(|gone| gone.end == End::Moved);
            return Some(if is_moved { MoveState::Done } else { MoveState::Skipped(Skip::Leaves) });
        };
        if instance.end == Some(End::Moved) {
            return Some(MoveState::Done);
        }
        let is_open = self.machines.get(&one.from).is_some_and(There::is_open);
        let stays = matches!(instance.life, Life::Serving { .. })
            && instance.leaving == Some(Leaving::Moved)
            && instance.version == app.target
            && !instance.is_unhealthy()
            && !instance.is_replaced
            && is_open;
        if !stays {
            return Some(MoveState::Skipped(Skip::Leaves));
        }
        let Some(new) = app.instances.get(&replacement?) else {
            return Some(MoveState::Skipped(Skip::Failed));
        };
        match (new.life, new.wait) {
            (Life::Waiting, Some(Wait::NoMachine)) => Some(MoveState::Skipped(Skip::NoRoom)),
            (Life::Waiting, Some(Wait::BackOff(_))) => Some(MoveState::Skipped(Skip::Failed)),
            (life, _) if life.is_stopping() || life == Life::Sweeping => {
                Some(MoveState::Skipped(Skip::Failed))
            }
            _ => None,
        }
    }

    /// How many more may begin to move: fewer than may move at a time, and each of them has room for
    /// its replacement within wanted and surge.
    fn more_moves(&self, app: &App, active: u32) -> u32 {
        let Some(running) = app.moving() else { return 0 };
        let counted = |one: &&Instance| !one.is_replaced && one.life != Life::Sweeping;
        let all = app.instances.values().map(Box::as_ref).filter(counted).count();
        let waiting = running
            .moves
            .iter()
            .filter(|one| one.state == MoveState::Moving { replacement: None })
            .count();
        let taken = u32::try_from(all.saturating_add(waiting)).unwrap_or(u32::MAX);
        let limit = app.wanted.saturating_add(rollout::surge(&self.policy.rollout, app.wanted));
        // Whatever else is missing, or finds no room, has the way first.
        let is_calm = app.instances.values().all(|one| one.wait.is_none())
            && app.instances.len() >= usize::try_from(app.wanted).unwrap_or(usize::MAX);
        if self.is_frozen() || app.is_deleted || !is_calm {
            return 0;
        }
        running.at_a_time.saturating_sub(active).min(limit.saturating_sub(taken))
    }
}

impl Turn<'_> {
    pub(crate) fn cancel_rebalance(&mut self, only: Option<&AppName>) -> Result<Accepted, Refusal> {
        if let Some(name) = only
            && !self.state.apps.contains_key(name)
        {
            return Err(Refusal::UnknownApp(name.clone()));
        }
        let running: Vec<AppName> = self
            .state
            .apps
            .iter()
            .filter(|(name, app)| app.moving().is_some() && only.is_none_or(|one| one == *name))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &running {
            self.end_rebalance(name, Ending::Cancelled);
        }
        let was_planned = self.end_planning(only);
        Ok(if running.is_empty() && !was_planned { Accepted::Unchanged } else { Accepted::Noted })
    }

    /// It ends before all moves were done: what hasn't left stays.
    pub(crate) fn end_rebalance(&mut self, name: &AppName, how: Ending) {
        let now = self.now;
        let Some(app) = self.state.apps.get_mut(name) else { return };
        let Some(running) = app.rebalance.as_mut().filter(|one| one.is_running()) else { return };
        running.ended = Some((now, how));
        let mut stay = Vec::new();
        for one in &mut running.moves {
            match one.state {
                MoveState::Planned => one.state = MoveState::Skipped(Skip::Over),
                MoveState::Moving { .. } => stay.push(one.instance),
                MoveState::Done | MoveState::Skipped(_) => {}
            }
        }
        for number in stay {
            let is_moved = self.stay(name, number);
            let state = if is_moved { MoveState::Done } else { MoveState::Skipped(Skip::Over) };
            self.note_move(name, number, state);
        }
        self.app_changed(name);
    }

    /// An instance doesn't move after all; whether it has left already.
    fn stay(&mut self, name: &AppName, number: u64) -> bool {
        let id = InstanceId { app: name.clone(), number };
        let Some(instance) = self.state.instance_mut(&id) else { return true };
        if instance.end == Some(End::Moved) {
            return true;
        }
        if instance.leaving == Some(Leaving::Moved) {
            instance.leaving = None;
            self.changed(&id);
        }
        false
    }

    fn note_move(&mut self, name: &AppName, number: u64, state: MoveState) {
        let app = self.state.apps.get_mut(name);
        let moves = app.and_then(|app| app.rebalance.as_mut()).map(|one| &mut one.moves);
        if let Some(one) =
            moves.and_then(|moves| moves.iter_mut().find(|one| one.instance == number))
        {
            one.state = state;
        }
        self.app_changed(name);
    }

    /// Goes on with the moves of an app, before it is looked at.
    pub(crate) fn go_on_moving(&mut self, name: &AppName) {
        let Some(running) = self.state.apps.get(name).and_then(App::moving) else { return };
        let moves = running.moves.clone();
        let mut active = 0;
        for one in &moves {
            let MoveState::Moving { replacement } = one.state else { continue };
            let Some(app) = self.state.apps.get(name) else { return };
            match self.state.moved(app, one, replacement) {
                None => active += 1,
                Some(state) => {
                    if matches!(state, MoveState::Skipped(_)) {
                        self.stay(name, one.instance);
                    }
                    self.note_move(name, one.instance, state);
                }
            }
        }
        for one in moves.iter().filter(|one| one.state == MoveState::Planned) {
            let Some(app) = self.state.apps.get(name) else { return };
            if self.state.more_moves(app, active) == 0 {
                break;
            }
            match self.state.may_move(app, one, self.now) {
                Err(why) => self.note_move(name, one.instance, MoveState::Skipped(why)),
                Ok(()) => {
                    let id = InstanceId { app: name.clone(), number: one.instance };
                    if let Some(instance) = self.state.instance_mut(&id) {
                        instance.leaving = Some(Leaving::Moved);
                    }
                    self.changed(&id);
                    active += 1;
                    self.note_move(name, one.instance, MoveState::Moving { replacement: None });
                }
            }
        }
        self.end_if_all_moved(name);
    }

    fn end_if_all_moved(&mut self, name: &AppName) {
        let now = self.now;
        let Some(app) = self.state.apps.get_mut(name) else { return };
        let Some(running) = app.rebalance.as_mut().filter(|one| one.is_running()) else { return };
        let is_over = |one: &Move| matches!(one.state, MoveState::Done | MoveState::Skipped(_));
        if running.moves.iter().all(is_over) {
            running.ended = Some((now, Ending::Done));
            self.app_changed(name);
        }
    }

    /// New instances take the places of those that move.
    pub(crate) fn assign_moves(&mut self, name: &AppName, started: &[u64]) {
        let Some(app) = self.state.apps.get_mut(name) else { return };
        let Some(running) = app.rebalance.as_mut().filter(|one| one.is_running()) else { return };
        let mut started = started.iter();
        for one in &mut running.moves {
            if one.state == (MoveState::Moving { replacement: None }) {
                let Some(number) = started.next() else { break };
                one.state = MoveState::Moving { replacement: Some(*number) };
            }
        }
        self.dirty(crate::command::Key::App(name.clone()));
    }
}

impl fmt::Display for MoveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MoveState::Planned => f.write_str("planned"),
            MoveState::Moving { replacement: None } => f.write_str("moving"),
            MoveState::Moving { replacement: Some(number) } => write!(f, "moving, as .{number}"),
            MoveState::Done => f.write_str("done"),
            MoveState::Skipped(why) => write!(f, "left out: {why}"),
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Skip::Leaves => "it is gone, or goes for another reason",
            Skip::NotServing => "it doesn't serve",
            Skip::NoUse => "it would not be more even by it",
            Skip::NoRoom => "the other machine can't take it",
            Skip::Failed => "what was to take its place failed",
            Skip::Over => "all of it ended before",
        })
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ending::Done => "done",
            Ending::Cancelled => "cancelled by a user",
            Ending::Superseded => "superseded",
        })
    }
}
