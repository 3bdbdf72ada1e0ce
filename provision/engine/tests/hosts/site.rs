//! Changes of releases against hosts in this process: begins them, kills them, resumes them.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use provision_engine::event::Event;
use provision_engine::load::LoadRequest;
use provision_engine::release::{
    Change, Ground, Happening, Journals, Listener, Past, Performed, Record, Refusal, Releases,
    chosen, prepare,
};
use provision_engine::report::Sink;
use provision_lifecycle::{Goal, Options, Purpose, Step, Version};
use provision_playbook::Dialect;
use tokio::sync::{Notify, mpsc};

use crate::ensemble::{Ensemble, Ports, set_up};
use crate::lab::Lab;

const COMPONENT: &str = "register";
/// Longest time that a change may take: it hangs then.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster, its inventory, and the journals of who operates it.
pub struct Site {
    pub lab: Lab,
    pub ports: Ports,
    pub members: Vec<&'static str>,
    pub options: Options,
    pub lock_wait_ms: u64,
}

/// What is done at a record, right after it was stored.
type AtRecord = Box<dyn FnMut(usize, &Record)>;

/// How a change is to be run.
#[derive(Default)]
pub struct Course {
    /// The controller dies after so many records.
    pub kill_after: Option<usize>,
    /// What else happens meanwhile.
    pub at_record: Option<AtRecord>,
    /// What the operator says when asked whether to go on.
    pub goes_on: bool,
    /// The steps are exactly those that are foretold.
    pub keeps_to_plan: bool,
}

/// How it went.
pub enum Went {
    /// The controller died.
    Killed,
    /// Nothing was touched.
    Refused(Refusal),
    /// It came to an end.
    Ended(Performed),
}

impl Went {
    pub fn ended(self) -> Performed {
        match self {
            Went::Ended(performed) => performed,
            Went::Killed => panic!("it was killed"),
            Went::Refused(refusal) => panic!("it was refused: {refusal:?}"),
        }
    }

    pub fn refused(self) -> String {
        match self {
            Went::Refused(refusal) => match refusal.stop {
                Some(stop) => format!("{}; {stop:?}", refusal.message),
                None => format!("{}; {}", refusal.message, refusal.hint.unwrap_or_default()),
            },
            Went::Killed => panic!("it was killed"),
            Went::Ended(performed) => panic!("it ended: {performed:?}"),
        }
    }
}

/// What is left behind of a controller that dies.
struct Died;

struct Watching {
    seen: usize,
    records: Arc<Mutex<Vec<Record>>>,
    course: Course,
}

impl Listener for Watching {
    fn stored(&mut self, record: &Record) {
        self.records.lock().unwrap().push(record.clone());
        self.seen += 1;
        if let Some(act) = &mut self.course.at_record {
            act(self.seen, record);
        }
        if self.course.kill_after == Some(self.seen) {
            // Nothing after this line is done by this controller.
            resume_unwind(Box::new(Died));
        }
    }

    fn goes_on(&mut self, _done: u32) -> bool {
        self.course.goes_on
    }
}

struct Silence;

impl Sink for Silence {
    fn event(&mut self, _event: &Event) {}
}

impl Site {
    /// Three members that run the old release.
    pub fn new() -> Site {
        Site::with(&["zk1", "zk2", "zk3"])
    }

    pub fn with(members: &[&'static str]) -> Site {
        let lab = Lab::new(members);
        let roots = members.iter().map(|name| lab.host(name).root()).collect();
        let ports = Ensemble::begin(roots);
        set_up(&lab, members, &ports.ports);
        // So that the leader isn't the last anyway.
        ports.ensemble.elect(usize::from(members.len() > 1));
        let options = Options::default();
        Site { lab, ports, members: members.to_vec(), options, lock_wait_ms: 10_000 }
    }

    pub fn journals(&self) -> Journals {
        Journals::new(self.journal_folder())
    }

    pub fn journal_folder(&self) -> PathBuf {
        self.lab.path().join("journals")
    }

    fn inventory(&self) -> PathBuf {
        self.lab.path().join("inventory")
    }

    /// The file with the wanted version, as it is now.
    pub fn wanted(&self) -> String {
        fs::read_to_string(self.inventory().join("group_vars/all/releases.yml")).unwrap()
    }

    pub fn upgrade(&self, version: &str, course: Course) -> Went {
        let version = Version::parse(version).unwrap();
        self.change(Purpose::Upgrade, Some(version), None, course).0
    }

    pub fn reconfigure(&self, course: Course) -> Went {
        self.change(Purpose::Restart, None, None, course).0
    }

    /// Goes on with the last run that did not reach its end.
    pub fn resume(&self, course: Course) -> Went {
        let past = self.journals().find(None).unwrap();
        assert!(past.is_open(), "{past:?}");
        self.resume_run(past, course)
    }

    pub fn resume_run(&self, past: Past, course: Course) -> Went {
        let Goal { purpose, version, .. } = past.request.goal.clone();
        self.change(purpose, Some(version), Some(past), course).0
    }

    /// All that was stored on the way, too.
    pub fn change(
        &self,
        purpose: Purpose,
        version: Option<Version>,
        past: Option<Past>,
        course: Course,
    ) -> (Went, Vec<Record>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let records = Arc::new(Mutex::new(Vec::new()));
        let mut watching = Watching { seen: 0, records: records.clone(), course };
        let kill = Arc::new(Notify::new());
        let went = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = kill.notified() => Went::Killed,
                    went = self.carry_out(purpose, version, past, &kill, &mut watching) => went,
                    () = tokio::time::sleep(PATIENCE) => panic!("it hangs: {:?}", records.lock()),
                }
            })
        }));
        // Everything of the controller dies with its runtime; the helpers see closed channels.
        drop(runtime);
        self.lab.machines().iter().for_each(|machine| machine.settle());
        let went = went.unwrap_or_else(|cause| match cause.is::<Died>() {
            true => Went::Killed,
            false => resume_unwind(cause),
        });
        let records = std::mem::take(&mut *records.lock().unwrap());
        (went, records)
    }

    async fn carry_out(
        &self,
        purpose: Purpose,
        version: Option<Version>,
        past: Option<Past>,
        kill: &Arc<Notify>,
        watching: &mut Watching,
    ) -> Went {
        let mut change = match self.look(purpose, &past, kill).await {
            Ok(change) => change,
            Err(refusal) => return Went::Refused(refusal),
        };
        match &past {
            Some(past) => change.take_over(past),
            None => {
                let may = change.choose_version(version).and_then(|()| change.forecast());
                match may {
                    Ok(steps) if watching.course.keeps_to_plan => change.request.plan = Some(steps),
                    Ok(_) => {}
                    Err(refusal) => {
                        change.finish().await;
                        return Went::Refused(refusal);
                    }
                }
            }
        }
        let after = past.as_ref().map(|past| past.run.as_str());
        let stop = AtomicBool::new(false);
        let performed = change.perform(&self.journals(), after, &stop, watching).await;
        change.finish().await;
        Went::Ended(performed.unwrap())
    }

    async fn look(
        &self,
        purpose: Purpose,
        past: &Option<Past>,
        kill: &Arc<Notify>,
    ) -> Result<Change, Refusal> {
        let playbooks = self.lab.path().join("playbooks");
        let mut request = LoadRequest::new(Dialect::Classic);
        request.inventories.push(self.inventory().display().to_string());
        request.settings.playbook_folder = playbooks.clone();
        request.settings.inventory_sources.push(self.inventory());
        request.settings.forks = 5;
        let prepared = prepare(&request, &playbooks, &[COMPONENT.to_owned()])
            .unwrap_or_else(|failure| panic!("{failure:?}"));
        let (goal, options) = match past {
            Some(past) => (past.request.goal.clone(), past.request.options),
            None => {
                let members = chosen(&prepared, COMPONENT, None)?;
                let version = Version::parse("0").unwrap();
                (Goal { purpose, version, members }, self.options)
            }
        };
        let ground = Ground::of(&prepared, COMPONENT)?;
        let mut run = self.lab.options(kill);
        run.lock_wait_ms = self.lock_wait_ms;
        let (_operator, asked) = mpsc::unbounded_channel();
        let releases = Releases::begin(prepared, run, Box::new(Silence), asked);
        let inventories = vec![self.inventory().display().to_string()];
        Ok(Change::look(releases, ground, playbooks, inventories, goal, options).await)
    }

    /// Another operator, while a change of this site is going on in another thread: its helpers are
    /// not waited for.
    pub fn intrude(&self, version: &str) -> Went {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let kill = Arc::new(Notify::new());
        let course = Course::default();
        let mut watching = Watching { seen: 0, records: Arc::default(), course };
        let version = Version::parse(version).unwrap();
        let went = self.carry_out(Purpose::Upgrade, Some(version), None, &kill, &mut watching);
        runtime.block_on(went)
    }

    /// Everything that there is in the end: files of all members, and the wanted version.
    pub fn state(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut state = BTreeMap::new();
        for name in &self.members {
            let tree = self.lab.host(name).tree();
            let root = self.lab.host(name).root();
            for (path, (mode, bytes)) in tree {
                // Folders of hosts have names of their own.
                let link = fs::read_link(root.join(&path)).ok();
                let link = link.and_then(|to| to.strip_prefix(&root).map(Path::to_path_buf).ok());
                let link = link.map(|to| to.display().to_string()).unwrap_or_default();
                let text = [format!("{mode:o} {link} ").into_bytes(), bytes].concat();
                state.insert(Path::new(name).join(path), text);
            }
        }
        state.insert(PathBuf::from("wanted"), self.wanted().into_bytes());
        state
    }

    /// The fewest others that were up when one was taken.
    pub fn fewest_others(&self) -> usize {
        let counts = self.members.iter().flat_map(|name| {
            let path = self.lab.host(name).root().join("../others");
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines().map(|line| line.trim().parse().unwrap()).collect::<Vec<usize>>()
        });
        counts.min().unwrap_or(usize::MAX)
    }
}

/// The members that a step takes, if the record begins one.
pub fn takes(record: &Record) -> Option<Vec<String>> {
    match record {
        Record::Happens {
            happening: Happening::StepBegins { step: Step::Take { members, .. }, .. },
        } => Some(members.clone()),
        _ => None,
    }
}
