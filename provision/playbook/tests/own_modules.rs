//! Modules of the user's own: which program a name means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provision_playbook::files::MapFiles;
use provision_playbook::model::{Item, Playbook};
use provision_playbook::{LoadOptions, Loader};

fn load(files: &[(&str, &str)]) -> (Playbook, Vec<(String, bool)>) {
    let files: BTreeMap<PathBuf, String> =
        files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    let mut options = LoadOptions::default();
    options.own.modules = vec![PathBuf::from("configured")];
    options.own.collections = vec![PathBuf::from("installed")];
    options.collections_path = vec![PathBuf::from("installed")];
    let mut loader = Loader::new(Arc::new(MapFiles::new(files)), options);
    let (playbook, found) = loader.playbook(Path::new("site.yml"));
    (playbook, found.iter().map(|one| (one.message.clone(), one.is_error())).collect())
}

/// The module and the program of each task.
fn called(playbook: &Playbook) -> Vec<(&'static str, Option<PathBuf>)> {
    fn walk(items: &[Item], all: &mut Vec<(&'static str, Option<PathBuf>)>) {
        for item in items {
            match item {
                Item::Task(task) => {
                    all.push((task.module.name, task.own.as_ref().map(|own| own.path.clone())));
                }
                Item::Block(block) => walk(&block.items, all),
                Item::Flush | Item::RoleEnd(_) => {}
            }
        }
    }
    let mut all = Vec::new();
    playbook.plays.iter().for_each(|play| walk(&play.items, &mut all));
    all
}

fn play(tasks: &[&str]) -> String {
    format!("- hosts: all\n  roles: [web]\n  tasks:\n    - {}\n", tasks.join("\n    - "))
}

#[test]
fn programs_are_found_where_ansible_looks() {
    let site = play(&[
        "beside: {a: 1}",
        "of_role: a=1",
        "action: set_up x=y",
        "one.two.there: {}",
        "one.two.deeper.below: {}",
        "ansible.legacy.beside:",
        "local_action: {module: beside, a: 2}",
    ]);
    let (playbook, found) = load(&[
        ("site.yml", &site),
        ("library/beside.py", ""),
        ("library/beside.pyc", ""),
        ("library/README.md", ""),
        ("roles/web/tasks/main.yml", "- of_role:\n- beside:\n"),
        ("roles/web/library/of_role", ""),
        ("roles/web/library/beside.sh", ""),
        ("configured/set_up.rb", ""),
        ("installed/ansible_collections/one/two/plugins/modules/there.py", ""),
        ("collections/ansible_collections/one/two/plugins/modules/deeper/below.py", ""),
    ]);
    assert_eq!(found, [], "nothing is wrong");
    let paths: Vec<String> = called(&playbook)
        .into_iter()
        .map(|(module, path)| {
            assert_eq!(module, "_own");
            path.unwrap().display().to_string()
        })
        .collect();
    assert_eq!(
        paths,
        [
            "roles/web/library/of_role",
            "library/beside.py",
            "library/beside.py",
            "roles/web/library/of_role",
            "configured/set_up.rb",
            "installed/ansible_collections/one/two/plugins/modules/there.py",
            "collections/ansible_collections/one/two/plugins/modules/deeper/below.py",
            "library/beside.py",
            "library/beside.py",
        ]
    );
}

#[test]
fn a_program_takes_the_place_of_a_module_that_runs_on_hosts() {
    let site = "- hosts: all\n  tasks:\n    - ping:\n    - ansible.builtin.ping:\n    - ping:\n    \
                - set_fact: {a: 1}\n";
    let (playbook, found) =
        load(&[("site.yml", site), ("library/ping.py", ""), ("library/set_fact.py", "")]);
    let expected = [
        ("_own", Some(PathBuf::from("library/ping.py"))),
        ("ping", None),
        ("_own", Some(PathBuf::from("library/ping.py"))),
        ("set_fact", None),
    ];
    assert_eq!(called(&playbook), expected);
    let told = [
        ("library/ping.py is run instead of the built-in module `ping`".to_owned(), false),
        ("library/set_fact.py is never run: `set_fact` acts on the controller".to_owned(), false),
    ];
    assert_eq!(found, told, "once each");
    let copy = "- hosts: all\n  tasks:\n    - copy: {content: a, dest: /a}\n";
    let (_, found) = load(&[("site.yml", copy), ("library/copy.py", "")]);
    let told = "library/copy.py can't stand for `copy`, whose files the controller sends";
    assert_eq!(found, [(told.to_owned(), true)]);
}

#[test]
fn short_names_reach_into_collections() {
    let site = "- hosts: all\n  collections: [one.two]\n  tasks:\n    - there:\n";
    let module = "installed/ansible_collections/one/two/plugins/modules/there.py";
    let (playbook, found) = load(&[("site.yml", site), (module, "")]);
    assert_eq!(called(&playbook), [("_own", Some(PathBuf::from(module)))]);
    assert!(found.iter().all(|(_, is_error)| !is_error), "{found:?}");
    let role = "- hosts: all\n  roles: [one.two.web]\n";
    let tasks = "installed/ansible_collections/one/two/roles/web/tasks/main.yml";
    let (playbook, found) = load(&[("site.yml", role), (tasks, "- there:\n"), (module, "")]);
    assert_eq!(found, []);
    assert_eq!(called(&playbook), [("_own", Some(PathBuf::from(module)))]);
    let unknown = "- hosts: all\n  tasks:\n    - one.two.there:\n";
    let (_, found) = load(&[("site.yml", unknown)]);
    assert_eq!(found, [("there is no module `one.two.there`".to_owned(), true)]);
}
