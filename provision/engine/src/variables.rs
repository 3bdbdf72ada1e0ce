//! Variables: layers with Ansible's precedence, looked up lazily.
//!
//! Text of the user's files stays a template until it is read; facts, results and everything else
//! that comes from hosts is data and is never compiled.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use indexmap::IndexMap;
use provision_playbook::model::{Context, Level, RoleUse};
use provision_template::{Found, Origin, Scope, Slot, TextClass, Value};
use yaml::Mapping;

use crate::magic;
use crate::world::{PlayState, World};

/// Variables of one origin, by name.
#[derive(Clone, Default)]
pub struct Layer {
    slots: IndexMap<Box<str>, Slot>,
    /// Where the texts of values come from, if somebody said so.
    origins: Vec<(Box<str>, Origin)>,
    /// Whether a value from outside was read since [`Layer::forget_reads`]: told only if a loop has
    /// such items.
    reads: Option<Arc<AtomicBool>>,
}

/// Names only: values may be secrets.
impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.slots.keys()).finish()
    }
}

impl Layer {
    /// The text-keyed entries of a mapping; their values are templates.
    #[must_use]
    pub fn of_mapping(mapping: &Mapping) -> Self {
        let slots = mapping
            .iter()
            .map(|(key, value)| {
                let name: Box<str> = match key.as_str() {
                    Some(name) => name.into(),
                    None => {
                        provision_template::text_of(&provision_template::value_of_node(key)).into()
                    }
                };
                (name, Slot::Template(Arc::new(value.clone())))
            })
            .collect();
        Layer { slots, ..Layer::default() }
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Slot> {
        self.slots.get(name)
    }

    /// Sets a name.
    pub fn set(&mut self, name: impl Into<Box<str>>, slot: Slot) {
        self.slots.insert(name.into(), slot);
    }

    /// Sets a name to data.
    pub fn set_data(&mut self, name: impl Into<Box<str>>, value: Value) {
        self.set(name, Slot::Data(value));
    }

    /// Sets a name to an item of a loop that has this origin.
    pub fn set_item(&mut self, name: &str, value: Value, origin: Origin) {
        if origin.is_unsafe() {
            self.reads = Some(Arc::default());
        }
        self.set_data(name, value);
        self.origins.push((name.into(), origin));
    }

    /// Takes over all of another layer.
    pub fn add(&mut self, other: &Layer) {
        for (name, slot) in other.iter() {
            self.set(name, slot.clone());
        }
        self.origins.extend(other.origins.iter().cloned());
        if other.reads.is_some() {
            self.reads.clone_from(&other.reads);
        }
    }

    fn origin(&self, name: &str) -> Option<&Origin> {
        self.origins.iter().rev().find(|(known, _)| **known == *name).map(|(_, origin)| origin)
    }

    /// Nothing has been read yet of what is evaluated next.
    pub fn forget_reads(&self) {
        if let Some(reads) = &self.reads {
            reads.store(false, Ordering::Relaxed);
        }
    }

    /// Whether something unsafe is read by what is being evaluated, as far as a loop's items go.
    #[must_use]
    pub fn reads(&self) -> Option<Arc<AtomicBool>> {
        self.reads.clone()
    }

    fn note_read(&self, name: &str) {
        if let Some(reads) = &self.reads
            && self.origin(name).is_some_and(Origin::is_unsafe)
        {
            reads.store(true, Ordering::Relaxed);
        }
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Slot)> {
        self.slots.iter().map(|(name, slot)| (&**name, slot))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// A dictionary as templates see it.
#[must_use]
pub fn dictionary<K: Into<Value>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
    let entries = entries.into_iter().map(|(key, value)| (key.into(), value));
    Value::from_object(entries.collect::<IndexMap<Value, Value>>())
}

/// Layers made from mappings, each made once.
#[derive(Debug, Default)]
pub struct Layers {
    made: Mutex<HashMap<usize, MadeLayer>>,
}

/// A layer and its mapping, which must live as long as its address is a key.
type MadeLayer = (Arc<Mapping>, Arc<Layer>);

impl Layers {
    /// The layer of a mapping.
    #[must_use]
    pub fn of(&self, mapping: &Arc<Mapping>) -> Arc<Layer> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, layer) = made
            .entry(Arc::as_ptr(mapping) as usize)
            .or_insert_with(|| (mapping.clone(), Arc::new(Layer::of_mapping(mapping))));
        layer.clone()
    }
}

/// What a host has learned during the run.
#[derive(Default)]
pub struct Learned {
    state: RwLock<LearnedState>,
}

/// Nothing of what is known: values may be secrets.
impl std::fmt::Debug for Learned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learned").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct LearnedState {
    /// `set_fact` and `register`.
    set: IndexMap<Box<str>, Value>,
    /// Where the texts come from that `set_fact` set.
    origins: IndexMap<Box<str>, Origin>,
    /// `include_vars`.
    included: IndexMap<Box<str>, Slot>,
    /// Facts under the names that templates use (`ansible_hostname`).
    injected: IndexMap<Box<str>, Value>,
    /// Facts under their short names, for `ansible_facts`.
    facts: IndexMap<Box<str>, Value>,
    /// Names that a call in flight will set, and the token of that call.
    pending: HashMap<Box<str>, u64>,
    /// Token of a call in flight that will bring facts.
    pending_facts: Option<u64>,
}

impl LearnedState {
    fn facts_to_come(&self, judged: Option<u64>) -> Option<u64> {
        self.pending_facts.filter(|token| judged.is_none_or(|judged| *token < judged))
    }
}

impl Learned {
    fn read<T>(&self, read: impl FnOnce(&LearnedState) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&mut LearnedState) -> T) -> T {
        write(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// A result under the name of `register`, and where its texts come from.
    pub fn register(&self, name: &str, value: Value, origin: Origin) {
        self.write(|state| {
            state.origins.insert(name.into(), origin);
            state.set.insert(name.into(), value);
        });
    }

    /// Where the texts come from that `set_fact` is about to set.
    pub fn note_origin(&self, name: &str, origin: Origin) {
        self.write(|state| {
            state.origins.insert(name.into(), origin);
        });
    }

    fn origin(&self, name: &str) -> Origin {
        self.read(|state| match state.origins.get(name) {
            Some(origin) => origin.clone(),
            None if state.included.contains_key(name) => Origin::Every(TextClass::Written),
            None => Origin::Every(TextClass::Unsafe),
        })
    }

    /// Sets a fact of `set_fact`.
    pub fn set(&self, name: &str, value: Value) {
        self.write(|state| {
            state.set.insert(name.into(), value);
        });
    }

    /// Variables of `include_vars`.
    pub fn include(&self, layer: &Layer) {
        self.write(|state| {
            for (name, slot) in layer.iter() {
                state.included.insert(name.into(), slot.clone());
            }
        });
    }

    /// Facts as a module returned them. Names that steer connection or become are not taken as
    /// variables, whatever the host says.
    pub fn learn(&self, facts: &provision_protocol::Object) {
        self.write(|state| {
            for (name, value) in facts {
                let value = provision_template::from_json(value);
                let short = name.strip_prefix("ansible_").unwrap_or(name);
                state.facts.insert(short.into(), value.clone());
                if !magic::is_reserved(name) {
                    state.injected.insert(name.as_str().into(), value);
                }
            }
        });
    }

    /// All facts under the names that templates use.
    #[must_use]
    pub fn facts(&self) -> provision_protocol::Object {
        self.read(|state| {
            let facts = state.injected.iter();
            facts
                .map(|(name, fact)| (name.to_string(), provision_template::to_json(fact)))
                .collect()
        })
    }

    /// Forgets all facts (`meta: clear_facts`).
    pub fn forget_facts(&self) {
        self.write(|state| {
            state.facts.clear();
            state.injected.clear();
        });
    }

    /// Whether any facts are known.
    #[must_use]
    pub fn has_facts(&self) -> bool {
        self.read(|state| !state.facts.is_empty())
    }

    /// A call in flight will set this name.
    pub fn expect(&self, name: &str, token: u64) {
        self.write(|state| {
            state.pending.insert(name.into(), token);
        });
    }

    /// A call in flight will bring facts.
    pub fn expect_facts(&self, token: u64) {
        self.write(|state| state.pending_facts = Some(token));
    }

    /// That call is over: what it was expected to set is known or will never be.
    pub fn settle(&self, token: u64) {
        self.write(|state| {
            state.pending.retain(|_, pending| *pending != token);
            if state.pending_facts == Some(token) {
                state.pending_facts = None;
            }
        });
    }

    /// Nothing is in flight any more.
    pub fn settle_all(&self) {
        self.write(|state| {
            state.pending.clear();
            state.pending_facts = None;
        });
    }

    /// What was registered or set under a name, if no call is in flight that will set it.
    #[must_use]
    pub fn registered(&self, name: &str) -> Option<Value> {
        match self.set_value(name, None) {
            Found::Slot(Slot::Data(value)) => Some(value),
            _ => None,
        }
    }

    /// With `judged`, as that step sees it: nothing before it is in flight any more.
    fn set_value(&self, name: &str, judged: Option<u64>) -> Found {
        let is_earlier = |token: &&u64| judged.is_none_or(|judged| **token < judged);
        self.read(|state| match state.pending.get(name).filter(is_earlier) {
            Some(token) => Found::Pending(*token),
            None => match state.set.get(name) {
                Some(value) => Found::Slot(Slot::Data(value.clone())),
                None => Found::Undefined,
            },
        })
    }

    fn included(&self, name: &str) -> Option<Slot> {
        self.read(|state| state.included.get(name).cloned())
    }

    fn fact(&self, name: &str, judged: Option<u64>) -> Found {
        self.read(|state| {
            if let Some(token) = state.facts_to_come(judged)
                && !magic::is_reserved(name)
            {
                return Found::Pending(token);
            }
            match state.injected.get(name) {
                Some(value) => Found::Slot(Slot::Data(value.clone())),
                None => Found::Undefined,
            }
        })
    }

    /// `ansible_facts`.
    fn all_facts(&self, judged: Option<u64>) -> Found {
        self.read(|state| match state.facts_to_come(judged) {
            Some(token) => Found::Pending(token),
            None => Found::Slot(Slot::Data(dictionary(
                state.facts.iter().map(|(name, value)| (&**name, value.clone())),
            ))),
        })
    }

    fn names(&self) -> Vec<String> {
        self.read(|state| {
            state
                .set
                .keys()
                .chain(state.included.keys())
                .chain(state.injected.keys())
                .map(ToString::to_string)
                .collect()
        })
    }
}

/// A host with its variables.
#[derive(Debug)]
pub struct HostVariables {
    /// Name in the inventory.
    pub name: String,
    /// Inventory layers, lowest precedence first.
    pub inventory: RwLock<Vec<Arc<Layer>>>,
    /// What `add_host` gave it, the last on top.
    pub added: RwLock<Vec<Arc<Layer>>>,
    /// What was learned.
    pub learned: Learned,
}

impl HostVariables {
    fn inventory(&self, name: &str) -> Option<Slot> {
        let find = |layers: &RwLock<Vec<Arc<Layer>>>| {
            let layers = layers.read().unwrap_or_else(PoisonError::into_inner);
            layers.iter().rev().find_map(|layer| layer.get(name).cloned())
        };
        find(&self.added).or_else(|| find(&self.inventory))
    }
}

/// The view of one evaluation: which variables a task sees on a host. Cheap to copy.
#[derive(Debug, Clone)]
pub struct View {
    /// The run.
    pub world: Arc<World>,
    /// The host whose task it is.
    pub host: Arc<HostVariables>,
    /// The play, if inside one.
    pub play: Option<Arc<PlayState>>,
    /// The task's keywords and role.
    pub context: Option<Arc<Context>>,
    /// Variables of dynamic includes, outermost first.
    pub includes: Vec<Arc<Layer>>,
    /// Loop variables and the like: above everything.
    pub local: Layer,
    /// Folder of the task file, for relative paths.
    pub folder: Option<std::path::PathBuf>,
    /// The step whose result is judged: what later steps will set is not seen.
    pub judged: Option<u64>,
}

impl View {
    /// The view of a host outside of any task: inventory, facts and what was set.
    #[must_use]
    pub fn of_host(world: &Arc<World>, host: &Arc<HostVariables>) -> Self {
        View {
            world: world.clone(),
            host: host.clone(),
            play: None,
            context: None,
            includes: Vec::new(),
            local: Layer::default(),
            folder: None,
            judged: None,
        }
    }

    fn role_uses(&self) -> impl Iterator<Item = &Arc<RoleUse>> {
        self.context
            .iter()
            .flat_map(|context| context.chain())
            .filter_map(|context| context.role.as_ref())
    }

    fn layer(&self, mapping: &Arc<Mapping>) -> Arc<Layer> {
        self.world.layers.of(mapping)
    }

    fn customs(&self) -> &provision_playbook::Customs {
        &self.world.settings.customs
    }

    /// Above facts and inventory: include parameters down to play variables.
    fn above_facts(&self, name: &str) -> Found {
        if let Some(slot) = self.includes.iter().rev().find_map(|layer| layer.get(name)) {
            return Found::Slot(slot.clone());
        }
        for role in self.role_uses() {
            if let Some(slot) = self.layer(&role.parameters).get(name) {
                return Found::Slot(slot.clone());
            }
        }
        if let Some(slot) = self.include_variable(name) {
            return Found::Slot(slot);
        }
        match self.host.learned.set_value(name, self.judged) {
            Found::Undefined => {}
            found => return found,
        }
        if let Some(slot) = self.host.learned.included(name) {
            return Found::Slot(slot);
        }
        match self.context_variable(name).or_else(|| self.role_variable(name)) {
            Some(slot) => Found::Slot(slot),
            None => self.play_variable(name),
        }
    }

    /// `vars` of dynamic includes: above what the host has set.
    fn include_variable(&self, name: &str) -> Option<Slot> {
        self.context
            .as_ref()?
            .chain()
            .filter(|context| context.level == Level::Include)
            .filter_map(|context| context.directives.vars.as_ref())
            .find_map(|vars| self.layer(vars).get(name).cloned())
    }

    fn context_variable(&self, name: &str) -> Option<Slot> {
        self.context
            .as_ref()?
            .chain()
            .filter(|context| context.level != Level::Play)
            .filter_map(|context| context.directives.vars.as_ref())
            .find_map(|vars| self.layer(vars).get(name).cloned())
    }

    fn role_variable(&self, name: &str) -> Option<Slot> {
        for role in self.role_uses() {
            let found = std::iter::once(role)
                // As in Ansible, the last one wins.
                .chain(role.dependencies.iter().rev())
                .chain(role.dependents.iter().rev())
                .find_map(|role| self.layer(&role.role.vars).get(name).cloned());
            if found.is_some() {
                return found;
            }
        }
        let play = self.play.as_ref()?;
        play.visible_roles()
            .iter()
            .rev()
            .flat_map(|role| std::iter::once(role).chain(role.dependencies.iter().rev()))
            .find_map(|role| self.layer(&role.role.vars).get(name).cloned())
    }

    fn play_variable(&self, name: &str) -> Found {
        let Some(play) = &self.play else { return Found::Undefined };
        match play.variable(&self.host.name, name) {
            Some(slot) => Found::Slot(slot),
            None => Found::Undefined,
        }
    }

    fn role_default(&self, name: &str) -> Option<Slot> {
        for role in self.role_uses() {
            let found = std::iter::once(role)
                .chain(role.dependencies.iter().rev())
                .chain(role.dependents.iter().rev())
                .find_map(|role| self.layer(&role.role.defaults).get(name).cloned());
            if found.is_some() {
                return found;
            }
        }
        let play = self.play.as_ref()?;
        play.visible_roles()
            .iter()
            .rev()
            .flat_map(|role| std::iter::once(role).chain(role.dependencies.iter().rev()))
            .find_map(|role| self.layer(&role.role.defaults).get(name).cloned())
    }
}

impl Scope for View {
    fn lookup(&self, name: &str) -> Found {
        if let Some(slot) = self.local.get(name) {
            self.local.note_read(name);
            return Found::Slot(slot.clone());
        }
        if let Some(value) = magic::value(self, name) {
            return Found::Slot(Slot::Data(value));
        }
        if let Some(slot) = self.world.extra.get(name) {
            return Found::Slot(slot.clone());
        }
        if name == "ansible_facts" {
            return self.host.learned.all_facts(self.judged);
        }
        match self.above_facts(name) {
            Found::Undefined => {}
            found => return found,
        }
        let facts = |name: &str| match self.customs().hides_facts {
            true => Found::Undefined,
            false => self.host.learned.fact(name, self.judged),
        };
        match facts(name) {
            // A name that nobody would call a fact can't be one that is still to come, unless it
            // is defined nowhere else.
            Found::Pending(_) if !name.starts_with("ansible_") => {}
            Found::Undefined => {}
            found => return found,
        }
        if let Some(slot) = self.host.inventory(name).or_else(|| self.role_default(name)) {
            return Found::Slot(slot);
        }
        match facts(name) {
            Found::Undefined => magic::connection_default(self, name)
                .map_or(Found::Undefined, |value| Found::Slot(Slot::Data(value))),
            found => found,
        }
    }

    fn origin(&self, name: &str) -> Origin {
        if self.local.get(name).is_some() {
            let origin = self.local.origin(name);
            return origin.cloned().unwrap_or(Origin::Every(TextClass::Plain));
        }
        match magic::value(self, name) {
            Some(_) => Origin::Every(TextClass::Plain),
            None => self.host.learned.origin(name),
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names: indexmap::IndexSet<String> = indexmap::IndexSet::new();
        let mut add = |layer: &Layer| {
            names.extend(layer.iter().map(|(name, _)| name.to_owned()));
        };
        add(&self.local);
        add(&self.world.extra);
        self.includes.iter().for_each(|layer| add(layer));
        if let Some(context) = &self.context {
            for context in context.chain() {
                if let Some(vars) = &context.directives.vars {
                    add(&self.layer(vars));
                }
            }
        }
        for role in self.role_uses() {
            add(&self.layer(&role.parameters));
            add(&self.layer(&role.role.vars));
            add(&self.layer(&role.role.defaults));
        }
        if let Some(play) = &self.play {
            for role in play.visible_roles().iter() {
                add(&self.layer(&role.role.vars));
                add(&self.layer(&role.role.defaults));
            }
            play.layers(&self.host.name).iter().for_each(|layer| add(layer));
        }
        for layers in [&self.host.inventory, &self.host.added] {
            let layers = layers.read().unwrap_or_else(PoisonError::into_inner);
            layers.iter().for_each(|layer| add(layer));
        }
        names.extend(self.host.learned.names());
        names.extend(magic::names().map(str::to_owned));
        names.into_iter().collect()
    }
}
