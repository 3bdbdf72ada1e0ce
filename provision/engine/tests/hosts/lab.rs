//! A project on the controller and its hosts; runs playbooks.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diagnostics::{Style, render_all};
use provision_engine::connection::ConnectionDefaults;
use provision_engine::event::{Event, HostRecap, Outcome};
use provision_engine::keyring::Keyring;
use provision_engine::load::{LoadRequest, Loaded, load};
use provision_engine::report::{Sink, TaskTitle};
use provision_engine::run::{
    AskStep, HostEnd, LeftHandlers, Run, RunOptions, StepAnswer, Summary, run,
};
use provision_engine::variables::Layer;
use provision_playbook::Dialect;
use provision_vault::{Password, Vault};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};

use crate::machine::{Machine, memory_folder};
use crate::relay::Wire;

/// Opens what [`Lab::seal`] has made.
const VAULT_PASSWORD: &str = "open sesame";

/// Longest time that a run may take: it hangs then.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Lab {
    folder: TempDir,
    machines: Vec<Arc<Machine>>,
    pub strict_order: bool,
    /// What the operator says to `--step`, and what was asked.
    pub steps: Option<Arc<Mutex<Steps>>>,
}

/// Answers of an operator, and the tasks that were asked about.
#[derive(Default)]
pub struct Steps {
    pub answers: VecDeque<StepAnswer>,
    pub asked: Vec<String>,
}

/// A run that came to its end.
pub struct Ran {
    pub summary: Summary,
    pub events: Vec<Event>,
}

impl Lab {
    /// Hosts of these names, and this machine, which is in no group.
    pub fn new(hosts: &[&str]) -> Lab {
        let lab = Lab {
            folder: memory_folder(),
            machines: hosts
                .iter()
                .chain(&["localhost"])
                .map(|name| Arc::new(Machine::new(name)))
                .collect(),
            strict_order: false,
            steps: None,
        };
        let lines: Vec<String> = hosts
            .iter()
            .map(|name| format!("{name} root={}\n", lab.host(name).root().display()))
            .collect();
        lab.write("inventory/hosts", &lines.concat());
        lab
    }

    /// Writes a file of the project.
    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Adds lines to the inventory.
    pub fn inventory(&self, lines: &str) {
        let path = self.folder.path().join("inventory/hosts");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{text}{lines}\n")).unwrap();
    }

    pub fn host(&self, name: &str) -> &Arc<Machine> {
        self.machines.iter().find(|machine| machine.name == name).unwrap()
    }

    /// Runs a playbook to its end.
    pub fn apply(&self, playbook: &str) -> Ran {
        self.try_apply(playbook, None).expect("nobody was to kill the controller")
    }

    /// What is still remembered of earlier runs shows as warnings of one that does nothing.
    pub fn warnings_of_an_empty_play(&self) -> Vec<String> {
        let playbook = "- hosts: all\n  gather_facts: false\n  tasks:\n    - stat: {path: /}\n";
        self.apply(playbook).expect(Outcome::Done).warnings()
    }

    /// A vault text that the runs can open.
    pub fn seal(&self, text: &str) -> String {
        // A test's salt needn't be random.
        let salt = [7; provision_vault::SALT_BYTES];
        let password = Password::new(VAULT_PASSWORD);
        provision_vault::seal(text.as_bytes(), &password, None, &salt).unwrap()
    }

    fn load(&self, playbook: &str) -> Loaded {
        let playbook = self.write("play.yml", playbook);
        let inventory = self.folder.path().join("inventory");
        let mut request = LoadRequest::new(Dialect::Classic);
        let passwords = vec![("default".to_owned(), Password::new(VAULT_PASSWORD))];
        request.keyring = Arc::new(Keyring::new(Vault::new(passwords)));
        request.playbooks.push(playbook);
        request.inventories.push(inventory.display().to_string());
        request.settings.playbook_folder = self.folder.path().to_path_buf();
        request.settings.inventory_sources.push(inventory);
        request.settings.forks = 5;
        load(&request).unwrap_or_else(|failure| {
            panic!("{}", render_all(&failure.diagnostics, &failure.sources, Style::Plain))
        })
    }

    pub fn machines(&self) -> &[Arc<Machine>] {
        &self.machines
    }

    pub fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub fn options(&self, kill: &Arc<Notify>) -> RunOptions {
        let step = self.steps.clone().map(|steps| {
            let ask = move |title: &TaskTitle| {
                let mut steps = steps.lock().unwrap();
                steps.asked.push(title.name.clone());
                steps.answers.pop_front().expect("an answer")
            };
            Box::new(ask) as Box<AskStep>
        });
        RunOptions {
            connection: ConnectionDefaults::default(),
            dial: Arc::new(Wire { machines: self.machines.clone(), kill: kill.clone() }),
            strict_order: self.strict_order || step.is_some(),
            lock_wait_ms: 10_000,
            exclusive: true,
            prompt: None,
            pause: None,
            command: None,
            step,
        }
    }

    /// Plays plays of a playbook on demand, in one run: number, hosts, and what becomes of
    /// handlers that an earlier run left. How each ended, by host.
    pub fn demand(
        &self,
        playbook: &str,
        plays: &[(usize, &[&str], LeftHandlers)],
    ) -> (Vec<BTreeMap<String, HostEnd>>, Ran) {
        let (loaded, options) = (self.load(playbook), self.options(&Arc::default()));
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Box::new(Recorder(events.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (ends, summary) = runtime.block_on(async {
            let (_operator, asked) = mpsc::unbounded_channel();
            let (mut run, playbooks, _) = Run::begin(loaded, options, sink, asked);
            let mut ends = Vec::new();
            for (number, hosts, left) in plays {
                let play = playbooks[0].plays[*number].clone();
                let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
                let mut variables = Layer::default();
                variables.set_data("given", format!("to {}", hosts.join(" ")).into());
                ends.push(run.play_on(&play, &hosts, variables, *left).await);
            }
            (ends, run.finish().await)
        });
        drop(runtime);
        self.machines.iter().for_each(|machine| machine.settle());
        let events = std::mem::take(&mut *events.lock().unwrap());
        (ends, Ran { summary, events })
    }

    /// Runs a playbook; `None` if the controller was killed. The operator interrupts as soon as what he
    /// waits for is so, and once more a little later.
    pub fn try_apply(&self, playbook: &str, awaited: Option<Awaited>) -> Option<Ran> {
        let loaded = self.load(playbook);
        let kill = Arc::new(Notify::new());
        let options = self.options(&kill);
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Box::new(Recorder(events.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let summary = runtime.block_on(async {
            let (operator, asked) = mpsc::unbounded_channel();
            if let Some(awaited) = awaited {
                let operator = operator.clone();
                tokio::spawn(async move {
                    while !awaited() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    let _ = operator.send(());
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    let _ = operator.send(());
                });
            }
            tokio::select! {
                biased;
                () = kill.notified() => None,
                summary = run(loaded, options, sink, asked) => Some(summary),
                () = tokio::time::sleep(PATIENCE) => panic!("the run hangs:\n{playbook}\n{:?}", events.lock().unwrap()),
            }
        });
        // Everything of the controller dies with its runtime; the helpers see closed channels.
        drop(runtime);
        self.machines.iter().for_each(|machine| machine.settle());
        let events = std::mem::take(&mut *events.lock().unwrap());
        summary.map(|summary| Ran { summary, events })
    }
}

/// What an operator waits for.
pub type Awaited = Box<dyn Fn() -> bool + Send>;

struct Recorder(Arc<Mutex<Vec<Event>>>);

impl Sink for Recorder {
    fn event(&mut self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Ran {
    pub fn expect(self, outcome: Outcome) -> Ran {
        assert_eq!(self.summary.outcome, outcome, "{}", self.story());
        self
    }

    pub fn recap(&self, host: &str) -> HostRecap {
        let found = self.summary.recap.iter().find(|recap| recap.host == host);
        HostRecap { host_time_us: 0, ..found.cloned().unwrap_or_default() }
    }

    /// All counts, without times.
    pub fn recaps(&self) -> Vec<HostRecap> {
        let timeless = |recap: &HostRecap| HostRecap { host_time_us: 0, ..recap.clone() };
        self.summary.recap.iter().map(timeless).collect()
    }

    pub fn warnings(&self) -> Vec<String> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Warning { host, message } => {
                    Some(format!("{}: {message}", host.as_deref().unwrap_or("-")))
                }
                _ => None,
            })
            .collect()
    }

    /// What happened, for a message.
    pub fn story(&self) -> String {
        let mut story = String::new();
        for event in &self.events {
            story.push_str(&match event {
                Event::TaskStarted { name, handler, .. } => format!("task {name} {handler}\n"),
                Event::Result(result) => format!(
                    "  {} {:?} {}\n",
                    result.host,
                    result.status,
                    result.message.as_deref().unwrap_or("")
                ),
                Event::Warning { host, message } => format!("  warning {host:?} {message}\n"),
                Event::HostUnreachable { host, message, .. } => {
                    format!("  unreachable {host}: {message}\n")
                }
                Event::PlayStarted { name, hosts, .. } => format!("play {name} {hosts:?}\n"),
                _ => String::new(),
            });
        }
        story.push_str(&format!("{:?} {:?}\n", self.summary.outcome, self.recaps()));
        story
    }
}
