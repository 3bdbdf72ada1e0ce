//! A run: the plays of the playbooks, one after the other, batch by batch.

mod play;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use diagnostics::{Style, render};
use provision_playbook::inventory::Inventory;
use provision_playbook::model::{Play, Playbook, Prompt};
use tokio::sync::mpsc;

use crate::channel::Dial;
use crate::connection::{self, ConnectionDefaults};
use crate::event::{CommandLine, EVENT_FORMAT, Event, HostRecap, Outcome};
use crate::fact_cache;
use crate::load::{Loaded, hosts_of};
use crate::play::{Arrival, PlayRun, Shared};
use crate::report::{Report, Sink, TaskTitle};
use crate::session::{Pool, SessionSettings};
use crate::variables::Layer;
use crate::world::{PlayState, World};

pub(crate) use play::FACTS_TASK;
use play::{place_of, play_name, run_play, with_facts};

/// How a run is to be carried out.
pub struct RunOptions {
    /// Connections.
    pub connection: ConnectionDefaults,
    /// How to connect: [`crate::channel::Network`].
    pub dial: Arc<dyn Dial>,
    /// One task at a time, nothing sent ahead.
    pub strict_order: bool,
    /// How long to wait for another run's lock on a host.
    pub lock_wait_ms: u64,
    /// Whether this run may change hosts: it holds their locks. Without, it only looks.
    pub exclusive: bool,
    /// Answers to `vars_prompt`; `None`: nobody to ask.
    pub prompt: Option<Box<AskOperator>>,
    /// Who answers a `pause` that waits for the operator.
    pub pause: Option<Box<AskPause>>,
    /// The command that the playbook in memory stands for.
    pub command: Option<CommandLine>,
    /// `--step`: who says of each task whether it runs; needs `strict_order`.
    pub step: Option<Box<AskStep>>,
}

/// Asks the operator to go on: the question, and whether what is typed shows; `None`: nobody to
/// ask.
pub type AskPause = dyn Fn(&str, bool) -> Option<String> + Send + Sync;

/// Asks the operator whether a task is to run.
pub type AskStep = dyn Fn(&TaskTitle) -> StepAnswer + Send + Sync;

/// What the operator says of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepAnswer {
    /// It runs.
    Run,
    /// It is left out on all hosts.
    LeaveOut,
    /// It runs, and so does everything after it without a question.
    RunAll,
}

/// Asks the operator a question of `vars_prompt`; `None`: no answer.
pub type AskOperator = dyn Fn(&Prompt, &str) -> Option<String> + Send + Sync;

/// How a run went.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Name of the run.
    pub run: String,
    /// Counts.
    pub recap: Vec<HostRecap>,
    /// How it ended.
    pub outcome: Outcome,
    /// What of the playbook itself ended it early, for all hosts.
    pub error: Option<String>,
    /// Components whose restart the roles left to the planner.
    pub restarts_due: Vec<String>,
}

/// Carries out what was loaded.
pub async fn run(
    loaded: Loaded,
    options: RunOptions,
    sink: Box<dyn Sink>,
    interrupts: mpsc::UnboundedReceiver<()>,
) -> Summary {
    let (mut run, playbooks, ask) = Run::begin(loaded, options, sink, interrupts);
    let ends: Vec<usize> = playbooks
        .iter()
        .scan(0, |count, playbook| {
            *count += playbook.plays.len();
            Some(*count)
        })
        .collect();
    let mut plays = playbooks.iter().flat_map(|playbook| &playbook.plays).enumerate().peekable();
    while let Some((number, play)) = plays.next() {
        if run.shared.interrupts > 0 || run.shared.stopped_by_limit {
            break;
        }
        let all_lost = run_play(&mut run.shared, &run.inventory, play, ask.as_deref()).await;
        if let Some(inventory) = run.shared.refreshed.take() {
            run.inventory = inventory;
        }
        let goes_on = !all_lost && run.shared.interrupts == 0 && !run.shared.stopped_by_limit;
        if goes_on && plays.peek().is_some() && ends.contains(&(number + 1)) {
            let names = names_of(&run.shared, &run.hosts);
            run.shared.report.playbook_ended(&names);
        }
        if all_lost {
            if plays.peek().is_some() {
                let message = "no host of this play is left: the plays after it are not run";
                run.shared.report.warn(None, message);
            }
            break;
        }
    }
    run.finish().await
}

/// A run that is going on: plays are played on demand, sessions stay open between them.
pub struct Run {
    shared: Shared,
    inventory: Inventory,
    name: String,
    hosts: Vec<String>,
    begun: Instant,
}

/// A run, its playbooks, and who answers their prompts.
type Begun = (Run, Vec<Playbook>, Option<Box<AskOperator>>);

impl Run {
    /// Begins a run of what was loaded; no host is contacted yet.
    #[must_use]
    pub fn begin(
        loaded: Loaded,
        options: RunOptions,
        sink: Box<dyn Sink>,
        interrupts: mpsc::UnboundedReceiver<()>,
    ) -> Begun {
        let begun = Instant::now();
        let name = run_name();
        let (sender, arrivals) = mpsc::unbounded_channel();
        forward(interrupts, sender.clone());
        let world = loaded.world.clone();
        let defaults = options.connection.clone();
        let settings = SessionSettings {
            dial: options.dial,
            run: name.clone(),
            controller: controller(),
            lock_wait_ms: options.lock_wait_ms,
            exclusive: options.exclusive,
            endpoint: Box::new(move |host| connection::endpoint(&world, host, &defaults)),
        };
        crate::sealed::open_ahead(loaded.world.files.keyring(), &loaded.sealed);
        let mut report = Report::new(sink, loaded.world.files.keyring().known());
        let hosts = all_hosts(&loaded);
        report.event(&Event::RunStarted {
            format: EVENT_FORMAT,
            run: name.clone(),
            playbooks: loaded
                .playbooks
                .iter()
                .map(|playbook| playbook.path.display().to_string())
                .collect(),
            hosts: hosts.len(),
            check: loaded.world.settings.check,
            command: options.command,
        });
        for warning in &loaded.warnings {
            report.warn(None, render(warning, loaded.loader.sources(), Style::Plain));
        }
        fact_cache::recall(&loaded.world, &mut report);
        let loader = Arc::new(Mutex::new(loaded.loader));
        // Nobody else has set it.
        let _ = loaded.world.loader.set(loader.clone());
        let shared = Shared {
            world: loaded.world,
            loader,
            pool: Pool::new(Arc::new(settings), sender.clone()),
            arrivals,
            sender,
            report,
            reaches: loaded.reaches,
            strict_order: options.strict_order,
            interrupts: 0,
            error: None,
            failed: BTreeSet::new(),
            unreachable: BTreeSet::new(),
            left_notified: HashMap::new(),
            stopped_by_limit: false,
            restarts_due: BTreeSet::new(),
            step: options.step,
            pause: options.pause,
            play_is_ended: false,
            again: loaded.again,
            refreshed: None,
        };
        let run = Run { shared, inventory: loaded.inventory, name, hosts, begun };
        (run, loaded.playbooks, options.prompt)
    }

    /// Name of the run.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the run knows.
    #[must_use]
    pub fn world(&self) -> &Arc<World> {
        &self.shared.world
    }

    /// Whether the operator asked to end.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.shared.interrupts > 0
    }

    /// Plays a play on these hosts of its pattern, whatever became of them before: one that failed
    /// is given another chance, one that was lost is connected again. `variables` win over those
    /// of the inventory, the play and the roles.
    pub async fn play_on(
        &mut self,
        play: &Arc<Play>,
        hosts: &[String],
        variables: Layer,
        left: LeftHandlers,
    ) -> BTreeMap<String, HostEnd> {
        self.look_at_sessions();
        for host in hosts {
            self.shared.failed.remove(host);
            self.shared.unreachable.remove(host);
            let variables = self.shared.world.host_or_new(host);
            let key = self.shared.pool.key_of(&variables);
            self.shared.pool.forget_lost(&key);
        }
        let localhost = self.shared.world.host_or_new("localhost");
        let name = play_name(&self.shared.world, play, &localhost);
        let place = place_of(&self.shared, play);
        let batch = hosts.to_vec();
        self.shared.report.event(&Event::PlayStarted {
            name: name.clone(),
            place,
            hosts: batch.clone(),
            batch: (1, 1),
        });
        let mut layers: Vec<Arc<Layer>> = Vec::new();
        if let Some(vars) = &play.context.directives.vars {
            layers.push(self.shared.world.layers.of(vars));
        }
        layers.push(Arc::new(variables));
        let play = Arc::new(with_facts(play));
        let state = PlayState::new(play, name, batch.clone(), batch, layers);
        let run = PlayRun::new(&mut self.shared, Arc::new(state));
        match left {
            LeftHandlers::Run => run,
            LeftHandlers::Leave => run.leaving_handlers(),
        }
        .run()
        .await;
        let end = |host: &String| {
            let end =
                match (self.shared.unreachable.contains(host), self.shared.failed.contains(host)) {
                    (true, _) => HostEnd::Unreachable,
                    (false, true) => HostEnd::Failed,
                    (false, false) if self.shared.error.is_some() => HostEnd::Failed,
                    (false, false) if self.shared.interrupts > 0 => HostEnd::Interrupted,
                    (false, false) => HostEnd::Done,
                };
            (host.clone(), end)
        };
        hosts.iter().map(end).collect()
    }

    /// What sessions told while nothing was played, most of all that they are lost.
    fn look_at_sessions(&mut self) {
        while let Ok(arrival) = self.shared.arrivals.try_recv() {
            match arrival {
                Arrival::Session(key, event) => self.shared.pool.note(&key, &event),
                Arrival::Interrupt => self.shared.interrupts += 1,
                Arrival::Timer { .. } => {}
            }
        }
    }

    /// Waits; an interrupt of the operator ends it early.
    pub async fn pause(&mut self, duration: std::time::Duration) {
        let over = tokio::time::sleep(duration);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return,
                arrival = self.shared.arrivals.recv() => match arrival {
                    Some(Arrival::Session(key, event)) => self.shared.pool.note(&key, &event),
                    Some(Arrival::Timer { .. }) => {}
                    Some(Arrival::Interrupt) => {
                        self.shared.interrupts += 1;
                        return;
                    }
                    None => return,
                },
            }
        }
    }

    /// The value that a task registered on a host.
    #[must_use]
    pub fn registered(&self, host: &str, name: &str) -> Option<serde_json::Value> {
        let value = self.shared.world.host(host)?.learned.registered(name)?;
        Some(provision_template::to_json(&value))
    }

    /// Says goodbye to all hosts and sums up.
    pub async fn finish(self) -> Summary {
        finish(self.shared, self.name, &self.hosts, self.begun).await
    }
}

/// What becomes of handlers that an earlier run left notified on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftHandlers {
    /// They run at the first flush point.
    Run,
    /// They stay notified, for a play that is about them.
    Leave,
}

/// How a play ended on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostEnd {
    /// All its tasks ended well.
    Done,
    /// One failed; the event of its result says why.
    Failed,
    /// The host was lost.
    Unreachable,
    /// The operator asked to end: some tasks may not have run.
    Interrupted,
}

/// Hosts in the order of the recap.
fn names_of(shared: &Shared, hosts: &[String]) -> Vec<String> {
    let mut names = hosts.to_vec();
    names.extend(shared.world.host_names().into_iter().filter(|name| !hosts.contains(name)));
    if !names.iter().any(|name| name == "localhost") {
        names.push("localhost".to_owned());
    }
    names
}

async fn finish(mut shared: Shared, run: String, hosts: &[String], begun: Instant) -> Summary {
    shared.report.settle(None);
    shared.tell_warnings();
    for (host, left) in &shared.left_notified {
        for handler in left {
            let message = format!(
                "handler `{handler}` was notified by an earlier run and is in no play of this one"
            );
            shared.report.warn(Some(host), message);
        }
    }
    let outcome = if shared.error.is_some() {
        Outcome::Failed
    } else if shared.interrupts > 0 {
        Outcome::Interrupted
    } else if shared.stopped_by_limit {
        Outcome::StoppedByLimit
    } else {
        match (shared.failed.is_empty(), shared.unreachable.is_empty()) {
            (true, true) => Outcome::Done,
            (false, true) => Outcome::Failed,
            (true, false) => Outcome::Unreachable,
            (false, false) => Outcome::FailedAndUnreachable,
        }
    };
    let names = names_of(&shared, hosts);
    fact_cache::keep(&shared.world, &names, &mut shared.report);
    let recap = shared.report.recap(&names);
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let error = shared.error.take();
    shared.report.event(&Event::RunFinished {
        recap: recap.clone(),
        duration_ms,
        outcome,
        error: error.clone(),
    });
    shared.pool.close().await;
    let restarts_due = shared.restarts_due.into_iter().collect();
    Summary { run, recap, outcome, error, restarts_due }
}

fn forward(mut interrupts: mpsc::UnboundedReceiver<()>, sender: mpsc::UnboundedSender<Arrival>) {
    tokio::spawn(async move {
        while interrupts.recv().await.is_some() {
            if sender.send(Arrival::Interrupt).is_err() {
                return;
            }
        }
    });
}

/// Ascending and unique: seconds since the epoch, then random.
fn run_name() -> String {
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    format!("{seconds:x}-{:08x}", getrandom::u32().unwrap_or_default())
}

/// Who runs this, where: what others are told who find a host locked.
pub(crate) fn controller() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    format!("{user}@{} (pid {})", host.trim(), std::process::id())
}

fn all_hosts(loaded: &Loaded) -> Vec<String> {
    let mut hosts = Vec::new();
    for play in loaded.playbooks.iter().flat_map(|playbook| &playbook.plays) {
        for host in hosts_of(&loaded.world, &loaded.inventory, play).unwrap_or_default() {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
    }
    hosts
}
