//! The load of apps: each second the instances that serve are asked for it, if the app's file says
//! where they tell it. What they say goes into the core as `POST /v1/observations` does. If too few
//! answer, nothing goes there, what the core knows becomes stale, and nothing is scaled.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use policy::Time;
use policy::rollout::Load;
use scheduler::exposition::{self, Counters, Sample};
use scheduler_core::Event;
use scheduler_core::app::Metrics;
use scheduler_core::ids::{AppName, InstanceId, MachineName};
use scheduler_core::instance::Life;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use ureq::Agent;

use crate::serve::cycle::{Input, Shared};
use crate::serve::meters::Text;

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The longest time for one answer: what isn't there before the next look is of no use.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(800);

/// Instances that are asked at the same time. One that answers takes a millisecond.
const ASKED_MOST: usize = 32;

/// The largest answer that is read.
const ANSWER_MOST_BYTES: u64 = 1 << 20;

/// What was last seen of an app.
#[derive(Debug, Clone)]
struct Seen {
    at: Time,
    asked: usize,
    answered: usize,
    load: Option<Load>,
    /// Why the first one of those that didn't answer didn't.
    why: Option<String>,
}

/// Asks for the load.
#[derive(Debug)]
pub struct Scraper {
    agent: Agent,
    is_local: bool,
    shared: Arc<Shared>,
    inputs: Sender<Input>,
    permits: Arc<Semaphore>,
    counters: Mutex<BTreeMap<AppName, Counters>>,
    seen: Mutex<BTreeMap<AppName, Seen>>,
    asked: AtomicU64,
    failed: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics half way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scraper {
    /// Nobody is asked yet.
    pub fn new(is_local: bool, shared: Arc<Shared>, inputs: Sender<Input>) -> Arc<Self> {
        let config = Agent::config_builder()
            .timeout_global(Some(ANSWER_TIMEOUT))
            .max_redirects(0)
            .proxy(None)
            .user_agent("corral")
            .build();
        Arc::new(Scraper {
            agent: config.into(),
            is_local,
            shared,
            inputs,
            permits: Arc::new(Semaphore::new(ASKED_MOST)),
            counters: Mutex::default(),
            seen: Mutex::default(),
            asked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// Asks until the program ends.
    pub async fn run(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            if self.shared.state().is_leading() {
                self.look().await;
            }
        }
    }

    async fn look(self: &Arc<Self>) {
        let apps = self.apps();
        lock(&self.seen).retain(|name, _| apps.contains_key(name));
        lock(&self.counters).retain(|name, _| apps.contains_key(name));
        let mut asked: JoinSet<(AppName, InstanceId, Result<Sample, String>)> = JoinSet::new();
        for (name, instances) in &apps {
            for (id, url, metrics) in instances.clone() {
                let (scraper, name) = (Arc::clone(self), name.clone());
                let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
                asked.spawn_blocking(move || {
                    let outcome = scraper.ask(&url, &metrics);
                    drop(permit);
                    (name, id, outcome)
                });
            }
        }
        let mut samples: BTreeMap<AppName, Vec<(InstanceId, Sample)>> = BTreeMap::new();
        let mut whys: BTreeMap<AppName, String> = BTreeMap::new();
        while let Some(answered) = asked.join_next().await {
            match answered {
                Ok((name, id, Ok(sample))) => samples.entry(name).or_default().push((id, sample)),
                Ok((name, id, Err(why))) => {
                    whys.entry(name).or_insert_with(|| format!("{id}: {why}"));
                }
                // The program ends.
                Err(_) => return,
            }
        }
        for (name, instances) in apps {
            let samples = samples.remove(&name).unwrap_or_default();
            let why = whys.remove(&name);
            self.feed(name, instances.len(), &samples, why);
        }
    }

    /// What is to be asked: apps that say where, with their instances that serve. With Consul these are
    /// those that are registered.
    fn apps(&self) -> BTreeMap<AppName, Vec<(InstanceId, String, Arc<Metrics>)>> {
        let state = self.shared.state();
        let mut apps = BTreeMap::new();
        for (name, app) in state.apps() {
            let mut instances = Vec::new();
            let mut is_told = false;
            for (version, specification) in &app.versions {
                let Some(metrics) = &specification.metrics else { continue };
                is_told |= *version == app.target;
                let metrics = Arc::new(metrics.clone());
                for (number, instance) in &app.instances {
                    let is_asked = instance.version == *version
                        && matches!(instance.life, Life::Serving { .. });
                    let place = usize::try_from(metrics.port).ok();
                    let port = place.and_then(|place| instance.ports.get(place));
                    let (true, Some(port), Some(machine)) = (is_asked, port, &instance.machine)
                    else {
                        continue;
                    };
                    let url = format!("http://{}:{port}{}", self.host(machine), metrics.path);
                    let id = InstanceId { app: name.clone(), number: *number };
                    instances.push((id, url, Arc::clone(&metrics)));
                }
            }
            if is_told || !instances.is_empty() {
                apps.insert(name.clone(), instances);
            }
        }
        apps
    }

    fn host<'a>(&self, machine: &'a MachineName) -> &'a str {
        if self.is_local { "127.0.0.1" } else { scheduler_consul::host(machine) }
    }

    fn ask(&self, url: &str, metrics: &Metrics) -> Result<Sample, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let read = || {
            let mut response = self.agent.get(url).call().map_err(|error| error.to_string())?;
            let body = response.body_mut().with_config().limit(ANSWER_MOST_BYTES);
            let text = body.read_to_string().map_err(|error| error.to_string())?;
            exposition::read(metrics, &text).map_err(|error| error.to_string())
        };
        let outcome = read();
        self.failed.fetch_add(u64::from(outcome.is_err()), Ordering::Relaxed);
        outcome
    }

    fn feed(
        &self,
        app: AppName,
        asked: usize,
        samples: &[(InstanceId, Sample)],
        why: Option<String>,
    ) {
        let at = self.shared.now();
        let load = {
            let mut counters = lock(&self.counters);
            exposition::load(asked, samples, counters.entry(app.clone()).or_default()).ok()
        };
        let answered = samples.len();
        lock(&self.seen).insert(app.clone(), Seen { at, asked, answered, load, why });
        if let Some(load) = load {
            // The loop may have ended.
            let _ = self.inputs.send(Input::Event(Event::Load { app, at, load }));
        }
    }

    /// What its instances say of the load of an app, in a sentence; none if its file doesn't say where.
    pub fn explain(&self, app: &AppName) -> Option<String> {
        let seen = lock(&self.seen).get(app).cloned()?;
        let Seen { at, asked, answered, load, why } = seen;
        let ago = self.shared.now().since(at);
        let why = why.map(|why| format!("; {why}")).unwrap_or_default();
        Some(match load {
            Some(load) => format!(
                "load {ago} ago, told by {answered} of {asked} instances: {} wait, {} in work, {} \
                 came and {} were rejected in a second{why}",
                load.waiting,
                load.busy_thousandths as f64 / 1000.0,
                load.arrivals,
                load.rejects
            ),
            None if asked == 0 => {
                "load unknown, so it isn't scaled: none of its instances serves".to_owned()
            }
            None => format!(
                "load unknown, so it isn't scaled: {answered} of {asked} instances tell it{why}"
            ),
        })
    }

    /// In the text format of Prometheus.
    pub fn metrics(&self) -> String {
        let mut text = Text::default();
        for (name, help, counter) in [
            ("load_asked_total", "Times that an instance was asked for its load.", &self.asked),
            ("load_failed_total", "Times that it did not tell it.", &self.failed),
        ] {
            text.one(name, "counter", help, &[(String::new(), counter.load(Ordering::Relaxed))]);
        }
        text.finish()
    }
}
