//! What tasks of small playbooks become for one host.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provision_engine::disk::Disk;
use provision_engine::evaluate::{Evaluator, ItemStep, Plan, Stop};
use provision_engine::odd_conditions::OddConditions;
use provision_engine::variables::{Layer, View};
use provision_engine::world::{Settings, World};
use provision_playbook::files::MapFiles;
use provision_playbook::model::{Item, Task};
use provision_playbook::{LoadOptions, Loader};
use provision_template::{Dialect, Engine};

/// The first task of a play with these tasks.
fn task(tasks: &str) -> (Arc<Task>, Arc<World>) {
    let text = format!("- hosts: all\n  tasks:\n{tasks}");
    let files = BTreeMap::from([(PathBuf::from("site.yml"), text)]);
    let files = Arc::new(MapFiles::new(files));
    let mut loader = Loader::new(files, LoadOptions::default());
    let (playbook, _) = loader.playbook(Path::new("site.yml"));
    let items = playbook.plays.iter().flat_map(|play| &play.items);
    let mut tasks = items.filter_map(|item| match item {
        Item::Task(task) => Some(task.clone()),
        _ => None,
    });
    let world = World {
        engine: Engine::new(Dialect::Classic),
        files: Arc::new(Disk::new(Default::default())),
        layers: Default::default(),
        extra: Layer::default(),
        hosts: Default::default(),
        others: Default::default(),
        inventory: Default::default(),
        groups: Default::default(),
        additions: Default::default(),
        odd_conditions: OddConditions::default(),
        warnings: Default::default(),
        loader: Default::default(),
        settings: Settings::default(),
        packages: Default::default(),
        plugins: Default::default(),
    };
    (tasks.next().unwrap(), Arc::new(world))
}

fn view(task: &Task, world: &Arc<World>) -> View {
    let host = world.host_or_new("h1");
    View { context: Some(task.context.clone()), ..View::of_host(world, &host) }
}

fn plan(tasks: &str) -> Plan {
    let (task, world) = task(tasks);
    match Evaluator::new(&task, view(&task, &world)).plan() {
        Ok(plan) => plan,
        Err(stop) => panic!("{stop:?}"),
    }
}

fn steps(plan: &Plan) -> Vec<&'static str> {
    let names = plan.items.iter().map(|item| match item.step {
        ItemStep::Skip { .. } => "skip",
        ItemStep::Invoke(_) => "invoke",
        ItemStep::Local { .. } => "local",
        ItemStep::Failed(_) => "failed",
        ItemStep::Finished(_) => "finished",
        ItemStep::Later => "later",
    });
    names.collect()
}

#[test]
fn items_that_read_what_earlier_ones_brought_wait_for_them() {
    let collecting =
        "    - set_fact: { list: \"{{ list | default([]) + [item] }}\" }\n      loop: [a, b]\n";
    assert_eq!(steps(&plan(collecting)), ["local", "later"]);
    let until_found = "    - command: \"test {{ item }}\"\n      loop: [a, b]\n      register: found\n      \
                       when: found is undefined or found is failed\n";
    assert_eq!(steps(&plan(until_found)), ["invoke", "later"]);
    let plain = "    - command: \"test {{ item }}\"\n      loop: [a, b]\n      register: found\n";
    assert_eq!(steps(&plan(plain)), ["invoke", "invoke"]);
    // What an item brought is in the view when the next one is evaluated.
    let (task, world) = task(collecting);
    let mut view = view(&task, &world);
    view.local.set_data("item", "b".into());
    view.local.set_data("list", ["a"].into_iter().collect());
    let Ok(ItemStep::Local { arguments }) = Evaluator::new(&task, view).later_step() else {
        panic!("not evaluated");
    };
    assert_eq!(serde_json::Value::Object(arguments), serde_json::json!({"list": ["a", "b"]}));
}

#[test]
fn retries_may_differ_between_items() {
    let (task, world) = task(
        "    - command: x\n      loop: [1, 2]\n      until: false\n      retries: \"{{ item * 3 }}\"\n      \
         delay: 0.5\n",
    );
    let evaluator = Evaluator::new(&task, view(&task, &world));
    let items = evaluator.plan().unwrap_or_else(|stop| panic!("{stop:?}")).items;
    let attempts: Vec<_> =
        items.iter().filter_map(|item| evaluator.attempts(item.item.as_ref()?)).collect();
    assert_eq!(attempts, [(3, 0.5), (6, 0.5)]);
}

#[test]
fn an_undefined_argument_fails_in_ansible_s_words() {
    let (task, world) = task("    - command: \"echo {{ nothing }}\"\n");
    let Err(Stop::Failed(result)) = Evaluator::new(&task, view(&task, &world)).plan() else {
        panic!("it has no value");
    };
    let message = result["msg"].as_str().unwrap();
    assert!(message.starts_with("The task includes an option with an undefined variable."));
}

#[test]
fn an_action_is_found_at_run_time() {
    let action = |name: &str| {
        let (task, world) = task("    - action: \"{{ manager }} name=x\"\n");
        let mut view = view(&task, &world);
        view.local.set_data("manager", name.into());
        Evaluator::new(&task, view).plan()
    };
    let plan = action("apt").unwrap_or_else(|stop| panic!("{stop:?}"));
    let ItemStep::Invoke(invocation) = &plan.items[0].step else { panic!("{plan:?}") };
    assert_eq!(invocation.module.name, "apt");
    assert!(action("nosuchthing").is_err() && action("set_fact").is_err());
}

#[test]
fn connection_variables_have_values_for_tasks_only() {
    let (task, world) = task("    - ping:\n");
    let value = |view: View| {
        let evaluator = Evaluator::new(&task, view);
        evaluator.variable("ansible_connection").ok().flatten().map(|value| value.to_string())
    };
    assert_eq!(value(view(&task, &world)).as_deref(), Some("ssh"));
    assert_eq!(value(View { context: None, ..view(&task, &world) }), None);
}
