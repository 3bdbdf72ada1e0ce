//! Sending ahead and `--strict-order` can't be told apart: random playbooks on three hosts.

use std::collections::BTreeMap;

use proptest::prelude::*;
use provision_engine::event::{Event, Outcome, Status};
use serde_json::{Value, json};

use crate::lab::{Lab, Ran};

const HOSTS: [&str; 3] = ["a", "b", "c"];

/// What a task does; numbers name files, facts and results.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Writes a file, with what is known of a fact and a result.
    Write {
        file: u8,
    },
    /// Removes a file.
    Remove {
        file: u8,
    },
    /// Adds a line to a log.
    Log,
    /// Looks at a file of another host.
    Observe {
        host: u8,
        file: u8,
    },
    /// Writes what another host knows.
    Ask {
        host: u8,
        fact: u8,
    },
    SetFact {
        fact: u8,
    },
    /// Fails.
    Fail,
    Flush,
    /// Works on another host.
    Delegate {
        host: u8,
    },
    Debug,
}

#[derive(Debug, Clone, Copy)]
enum Condition {
    Host(u8),
    Changed(u8),
    Failed(u8),
    Fact(u8),
    Never,
}

#[derive(Debug, Clone)]
struct TaskModel {
    kind: Kind,
    when: Option<Condition>,
    register: Option<u8>,
    notify: Option<u8>,
    ignore_errors: bool,
    run_once: bool,
    looped: bool,
    failed_when: bool,
}

#[derive(Debug, Clone)]
enum ItemModel {
    Task(TaskModel),
    Block { tasks: Vec<TaskModel>, rescue: Vec<TaskModel>, always: Vec<TaskModel> },
    Include { tasks: Vec<TaskModel>, when: Option<Condition> },
}

#[derive(Debug, Clone)]
struct PlayModel {
    items: Vec<ItemModel>,
    handlers: Vec<TaskModel>,
    serial: Option<u8>,
    force_limit: bool,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => (0..3u8).prop_map(|file| Kind::Write { file }),
        1 => (0..3u8).prop_map(|file| Kind::Remove { file }),
        2 => Just(Kind::Log),
        2 => (0..3u8, 0..3u8).prop_map(|(host, file)| Kind::Observe { host, file }),
        1 => (0..3u8, 0..3u8).prop_map(|(host, fact)| Kind::Ask { host, fact }),
        2 => (0..3u8).prop_map(|fact| Kind::SetFact { fact }),
        1 => Just(Kind::Fail),
        1 => Just(Kind::Flush),
        1 => (0..3u8).prop_map(|host| Kind::Delegate { host }),
        1 => Just(Kind::Debug),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        3 => (0..3u8).prop_map(Condition::Host),
        2 => (0..3u8).prop_map(Condition::Changed),
        1 => (0..3u8).prop_map(Condition::Failed),
        2 => (0..3u8).prop_map(Condition::Fact),
        1 => Just(Condition::Never),
    ]
}

fn task() -> impl Strategy<Value = TaskModel> {
    let seldom = |percent: f64| proptest::bool::weighted(percent);
    (
        kind(),
        proptest::option::weighted(0.3, condition()),
        proptest::option::weighted(0.4, 0..3u8),
        proptest::option::weighted(0.3, 0..3u8),
        seldom(0.3),
        seldom(0.1),
        seldom(0.15),
        seldom(0.1),
    )
        .prop_map(
            |(kind, when, register, notify, ignore_errors, run_once, looped, failed_when)| {
                TaskModel {
                    kind,
                    when,
                    register,
                    notify,
                    ignore_errors,
                    run_once,
                    looped,
                    failed_when,
                }
            },
        )
}

fn tasks(most: usize) -> impl Strategy<Value = Vec<TaskModel>> {
    proptest::collection::vec(task(), 0..=most)
}

fn item() -> impl Strategy<Value = ItemModel> {
    prop_oneof![
        6 => task().prop_map(ItemModel::Task),
        2 => (proptest::collection::vec(task(), 1..4), tasks(2), tasks(2))
            .prop_map(|(tasks, rescue, always)| ItemModel::Block { tasks, rescue, always }),
        1 => (proptest::collection::vec(task(), 1..3), proptest::option::weighted(0.5, condition()))
            .prop_map(|(tasks, when)| ItemModel::Include { tasks, when }),
    ]
}

fn play() -> impl Strategy<Value = PlayModel> {
    (
        proptest::collection::vec(item(), 1..9),
        proptest::collection::vec(task(), 3),
        proptest::option::weighted(0.25, 1..3u8),
        proptest::bool::weighted(0.05),
    )
        .prop_map(|(items, handlers, serial, force_limit)| PlayModel {
            items,
            handlers,
            serial,
            force_limit,
        })
}

/// Writes playbooks; each task gets a number.
struct Writer<'a> {
    next: usize,
    lab: &'a Lab,
}

impl Writer<'_> {
    fn play(&mut self, play: &PlayModel) -> Value {
        let items: Vec<Value> = play.items.iter().map(|item| self.item(item)).collect();
        let handlers: Vec<Value> = play
            .handlers
            .iter()
            .enumerate()
            .map(|(number, handler)| {
                // A handler that flushes, or that notifies itself, has no meaning.
                let mut handler = handler.clone();
                handler.notify = handler.notify.filter(|other| usize::from(*other) > number);
                if matches!(handler.kind, Kind::Flush) {
                    handler.kind = Kind::Log;
                }
                let mut written = self.task(&handler);
                written["name"] = json!(format!("handler{number}"));
                written
            })
            .collect();
        let mut written = json!({
            "hosts": "all", "gather_facts": false, "tasks": items, "handlers": handlers,
        });
        if let Some(serial) = play.serial {
            written["serial"] = json!(serial);
        }
        if play.force_limit {
            written["any_errors_fatal"] = json!(true);
        }
        written
    }

    fn tasks(&mut self, tasks: &[TaskModel]) -> Vec<Value> {
        tasks.iter().map(|task| self.task(task)).collect()
    }

    fn item(&mut self, item: &ItemModel) -> Value {
        match item {
            ItemModel::Task(task) => self.task(task),
            ItemModel::Block { tasks, rescue, always } => {
                let mut block = json!({ "block": self.tasks(tasks) });
                for (name, tasks) in [("rescue", rescue), ("always", always)] {
                    if !tasks.is_empty() {
                        block[name] = json!(self.tasks(tasks));
                    }
                }
                block
            }
            ItemModel::Include { tasks, when } => {
                let number = self.next;
                let name = format!("included{number}.yml");
                let tasks = self.tasks(tasks);
                self.lab.write(&name, &json!(tasks).to_string());
                let mut include = json!({ "include_tasks": name });
                if let Some(when) = when {
                    include["when"] = json!(written_condition(*when));
                }
                include
            }
        }
    }

    fn task(&mut self, task: &TaskModel) -> Value {
        let number = self.next;
        self.next += 1;
        let here = |name: String| format!("{{{{ root }}}}/{name}");
        let there = |host: u8, name: String| {
            format!("{{{{ hostvars['{}'].root }}}}/{name}", HOSTS[usize::from(host)])
        };
        let item = if task.looped { "-{{ item }}" } else { "" };
        let mut written = json!({ "name": format!("task{number}") });
        match task.kind {
            Kind::Write { file } => {
                let known = format!(
                    "{number}{item} {{{{ fact{file} | default('-') }}}} \
                     {{{{ (result{file} | default({{}})).changed | default('-') }}}}"
                );
                written["copy"] = json!({ "dest": here(format!("file{file}")), "content": known });
            }
            Kind::Remove { file } => {
                written["file"] = json!({ "path": here(format!("file{file}")), "state": "absent" });
            }
            Kind::Log => {
                written["lineinfile"] = json!({
                    "path": here("log".into()), "line": format!("{number}{item}"), "create": true,
                });
            }
            // At one position no order between hosts is promised: it reads what no task of this
            // position writes. Being delegated makes it observable.
            Kind::Observe { host, file } => {
                written["copy"] = json!({
                    "src": there(host, format!("file{file}")),
                    "dest": here(format!("seen{number}{item}")),
                    "remote_src": true,
                });
                written["delegate_to"] = json!("{{ inventory_hostname }}");
            }
            Kind::Ask { host, fact } => {
                let host = HOSTS[usize::from(host)];
                let known =
                    format!("{number} {{{{ hostvars['{host}'].fact{fact} | default('-') }}}}");
                written["copy"] =
                    json!({ "dest": here(format!("asked{number}")), "content": known });
            }
            Kind::SetFact { fact } => {
                let value = format!(
                    "{number}{item} {{{{ (result{fact} | default({{}})).failed | default('-') }}}}"
                );
                written["set_fact"] = json!({ format!("fact{fact}"): value });
            }
            Kind::Fail => {
                written["file"] = json!({ "path": here("nowhere/x".into()), "state": "touch" });
            }
            Kind::Flush => return json!({ "meta": "flush_handlers" }),
            Kind::Delegate { host } => {
                written["copy"] = json!({
                    "dest": there(host, format!("for-{number}-{{{{ inventory_hostname }}}}")),
                    "content": format!("{number}{item} {{{{ fact0 | default('-') }}}}"),
                });
                written["delegate_to"] = json!(HOSTS[usize::from(host)]);
            }
            Kind::Debug => {
                written["debug"] =
                    json!({ "msg": format!("{number} {{{{ fact1 | default(1) }}}}") });
            }
        }
        keywords(task, number, &mut written);
        written
    }
}

fn keywords(task: &TaskModel, number: usize, written: &mut Value) {
    if let Some(when) = task.when {
        written["when"] = json!(written_condition(when));
    }
    if let Some(register) = task.register {
        written["register"] = json!(format!("result{register}"));
    }
    if let Some(handler) = task.notify {
        written["notify"] = json!(format!("handler{handler}"));
    }
    if task.ignore_errors {
        written["ignore_errors"] = json!(true);
    }
    if task.run_once {
        written["run_once"] = json!(true);
    }
    if task.looped {
        written["loop"] = json!([1, 2]);
    }
    if task.failed_when {
        written["failed_when"] = json!(format!("fact0 | default('') is search('^{}')", number / 2));
    }
}

fn written_condition(condition: Condition) -> String {
    match condition {
        Condition::Host(host) => {
            format!("inventory_hostname != '{}'", HOSTS[usize::from(host)])
        }
        Condition::Changed(result) => {
            format!("result{result} is defined and result{result} is changed")
        }
        Condition::Failed(result) => {
            format!("result{result} is defined and result{result} is failed")
        }
        Condition::Fact(fact) => format!("fact{fact} is defined"),
        Condition::Never => "false".to_owned(),
    }
}

/// How each task ended on each host, as it was shown.
fn shown(ran: &Ran) -> Vec<(String, String, Option<String>, Status)> {
    let mut names = BTreeMap::new();
    let mut shown = Vec::new();
    for event in &ran.events {
        match event {
            Event::TaskStarted { task, name, .. } => {
                names.insert(*task, name.clone());
            }
            Event::Result(result) | Event::ItemResult(result) => {
                shown.push((result.task, result.host.clone(), result.item.clone(), result.status))
            }
            _ => {}
        }
    }
    // Hosts at one task come in any order.
    shown.sort();
    shown
        .into_iter()
        .map(|(task, host, item, status)| (names[&task].clone(), host, item, status))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        // A run that hangs takes twenty seconds to be noticed, and so does each smaller one.
        max_shrink_time: 120_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn sending_ahead_and_strict_order_are_the_same(
        plays in proptest::collection::vec(play(), 1..3)
    ) {
        let (ahead, mut strict) = (Lab::new(&HOSTS), Lab::new(&HOSTS));
        strict.strict_order = true;
        let mut runs = Vec::new();
        let mut playbook = String::new();
        for lab in [&ahead, &strict] {
            let mut writer = Writer { next: 0, lab };
            let written: Vec<Value> = plays.iter().map(|play| writer.play(play)).collect();
            playbook = serde_json::to_string_pretty(&written).unwrap();
            runs.push(lab.apply(&playbook));
        }
        let [one, other] = runs.as_slice() else { panic!() };
        let context = || format!("{playbook}\nahead:\n{}\nstrict:\n{}", one.story(), other.story());
        for ran in &runs {
            let internal = ran.warnings().iter().any(|text| text.contains("internal"));
            prop_assert!(!internal, "{}", context());
        }
        prop_assert_eq!(one.recaps(), other.recaps(), "{}", context());
        prop_assert_eq!(shown(one), shown(other), "{}", context());
        for host in HOSTS {
            let (found, wanted) = (ahead.host(host).tree(), strict.host(host).tree());
            prop_assert_eq!(found, wanted, "{} {}", host, context());
        }
    }
}

#[test]
fn every_host_of_a_fatal_task_is_heard() {
    for _ in 0..100 {
        let lab = Lab::new(&["a", "b"]);
        let ran = lab.apply(
            "
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - copy: {dest: '{{ root }}/{{ item }}', content: x}
      loop: [one, two]
    - file: {path: '{{ root }}/nowhere/x', state: touch}
    - copy: {dest: '{{ root }}/never', content: x}
",
        );
        let sent = (lab.host("a").calls().len(), lab.host("b").calls().len());
        let failed = (ran.recap("a").failed, ran.recap("b").failed);
        assert_eq!((sent, failed), ((3, 3), (1, 1)), "{}", ran.story());
    }
}

#[test]
fn what_is_fetched_is_stored_before_the_next_task_can_look() {
    let lab = Lab::new(&["a"]);
    let ran = lab
        .apply(
            "
- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: '{{ root }}/there', content: \"{{ 'x' * 2000000 }}\"}
    - fetch: {src: '{{ root }}/there', dest: '{{ root }}/got/', flat: true}
    - file: {path: '{{ root }}/got', state: absent}
",
        )
        .expect(Outcome::Done);
    let tree = lab.host("a").tree();
    assert!(!tree.contains_key(std::path::Path::new("got")), "{}", ran.story());
    assert_eq!(ran.recap("a").changed, 3, "{}", ran.story());
}
