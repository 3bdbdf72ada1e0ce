//! A small daemon: the core, a store, and a client; as `scheduler serve` has them.

#![allow(dead_code, reason = "the bench and the tests use different parts")]

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mesos::Encoding;
use policy::Time;
use policy::config::Policy;
use scheduler_core::event::{Call, InstanceFact};
use scheduler_core::ids::{RequestId, WriteNumber};
use scheduler_core::instance::Life;
use scheduler_core::{Command, Event, State, apply_all};
use scheduler_mesos::{Framework, Settings, held, offer_constraints};
use scheduler_mesos_client::{Client, Figures, FileIdentity, Options, Told};
use scheduler_store::{FileStore, Store, Writer};

pub enum Input {
    Told(Told),
    Call(Call),
    Written(WriteNumber, bool),
    Stop,
}

pub struct Daemon {
    pub state: Arc<RwLock<State>>,
    pub notices: Arc<Mutex<Vec<String>>>,
    inputs: Sender<Input>,
    thread: Option<JoinHandle<()>>,
    client: Arc<Client>,
}

pub fn settings(name: &str) -> Settings {
    Settings {
        framework: Framework {
            name: name.to_owned(),
            user: "root".to_owned(),
            role: name.to_owned(),
            principal: None,
            hostname: None,
            webui_url: None,
            failover_timeout_seconds: 0,
        },
        timezone: None,
        declares_limits: false,
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time(u64::try_from(since.as_nanos()).unwrap())
}

impl Daemon {
    /// Starts with what is in the folder.
    pub fn start(folder: &Path, master: &str, encoding: Encoding) -> Self {
        Daemon::start_as("corral", folder, master, encoding)
    }

    /// The same as a framework with this name and role.
    pub fn start_as(name: &str, folder: &Path, master: &str, encoding: Encoding) -> Self {
        let mut store = Store::File(FileStore::open(&folder.join("store.redb")).unwrap());
        let epoch = store.claim().unwrap();
        let records = store.load().unwrap().records;
        let state = State::restore(Policy::recommended(), records).unwrap();
        let held = held(&state);
        let state = Arc::new(RwLock::new(state));
        let notices = Arc::new(Mutex::new(Vec::new()));
        let (inputs, coming) = channel();
        let written = inputs.clone();
        let writer = Writer::start(store, move |number, outcome| {
            let _ = written.send(Input::Written(number, outcome.is_ok()));
        })
        .unwrap();
        let told = inputs.clone();
        let options = Options {
            address: master.parse().unwrap(),
            settings: settings(name),
            credential: None,
            encoding,
        };
        let identity = Box::new(FileIdentity(folder.join("framework")));
        let client = Client::start(options, held, identity, move |one| {
            let _ = told.send(Input::Told(one));
        });
        let client = Arc::new(client.unwrap());
        let (own, doing, notes) = (Arc::clone(&state), Arc::clone(&client), Arc::clone(&notices));
        let thread = thread::spawn(move || {
            let mut turns =
                Turns { state: own, client: doing, writer, notices: notes, more: vec![] };
            turns.turn(vec![Event::Leader { epoch }]);
            turns.run(&coming);
            // What was submitted is waited for, so that the file can be opened again.
            drop(turns.writer.finish());
        });
        Daemon { state, notices, inputs, thread: Some(thread), client }
    }

    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn call(&self, call: Call) {
        self.inputs.send(Input::Call(call)).unwrap();
    }

    /// Asks for offers that apps can use only.
    pub fn constrain(&self) {
        self.client.constrain(offer_constraints(&self.state(), "corral"));
    }

    pub fn figures(&self) -> &Figures {
        self.client.figures()
    }

    /// How many instances are in a part of their life.
    pub fn count(&self, wanted: impl Fn(Life) -> bool) -> usize {
        let state = self.state();
        let instances = state.apps().values().flat_map(|app| app.instances.values());
        instances.filter(|one| wanted(one.life)).count()
    }

    pub fn serving(&self) -> usize {
        self.count(|life| matches!(life, Life::Serving { .. }))
    }

    /// Waits until something is so.
    pub fn wait(&self, what: &str, most: Duration, so: impl Fn(&Self) -> bool) -> Duration {
        let begun = Instant::now();
        while !so(self) {
            let notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
            assert!(begun.elapsed() < most, "{what} doesn't come: {notices:?}");
            drop(notices);
            thread::sleep(Duration::from_millis(2));
        }
        begun.elapsed()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.inputs.send(Input::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Turns {
    state: Arc<RwLock<State>>,
    client: Arc<Client>,
    writer: Writer,
    notices: Arc<Mutex<Vec<String>>>,
    /// Facts that commands made at once.
    more: Vec<Event>,
}

impl Turns {
    fn run(&mut self, coming: &Receiver<Input>) {
        let mut tick = Instant::now();
        loop {
            let mut events = std::mem::take(&mut self.more);
            let patience = tick.saturating_duration_since(Instant::now());
            let first = match coming.recv_timeout(if events.is_empty() {
                patience
            } else {
                Duration::ZERO
            }) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let rest = std::iter::from_fn(|| coming.try_recv().ok()).take(10_000);
            for input in first.into_iter().chain(rest) {
                events.push(match input {
                    Input::Told(Told::Event(event)) => event,
                    Input::Told(other) => {
                        let text = match other {
                            Told::Notice(notice) => notice.to_string(),
                            other => format!("{other:?}"),
                        };
                        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                        continue;
                    }
                    Input::Call(call) => Event::Call { request: RequestId(0), call },
                    Input::Written(write, true) => Event::Durable { write },
                    Input::Written(write, false) => Event::NotDurable { write },
                    Input::Stop => return,
                });
            }
            if Instant::now() >= tick {
                tick = Instant::now() + Duration::from_millis(500);
                events.push(Event::Tick);
            }
            self.turn(events);
        }
    }

    fn turn(&mut self, events: Vec<Event>) {
        let commands = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            apply_all(&mut state, events, now())
        };
        let mut others = Vec::new();
        for command in commands {
            let (instance, machine, fact) = match command {
                Command::Persist(write) => {
                    self.writer.submit(write);
                    continue;
                }
                Command::Register { instance, machine, weight_thousandths, .. } => {
                    (instance, machine, InstanceFact::Registered { weight_thousandths })
                }
                Command::Deregister { instance, machine, .. } => {
                    (instance, machine, InstanceFact::Deregistered)
                }
                other => {
                    others.push(other);
                    continue;
                }
            };
            self.more.push(Event::Instance { instance, machine, at: now(), fact });
        }
        if !others.is_empty() {
            self.client.commands(others);
        }
    }
}
