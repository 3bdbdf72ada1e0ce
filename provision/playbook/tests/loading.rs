//! What playbooks mean: the loaded model of small playbooks, as text.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Style, render_all};
use provision_playbook::files::MapFiles;
use provision_playbook::model::{Context, Item, Playbook, Task};
use provision_playbook::{IncludeManner, LoadOptions, Loader, RoleFiles, list};
use yaml::{Mapping, Node, NodeValue};

fn loader(files: &[(&str, &str)]) -> Loader {
    let files: BTreeMap<PathBuf, String> =
        files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    Loader::new(Arc::new(MapFiles::new(files)), LoadOptions::default())
}

fn load(files: &[(&str, &str)]) -> (Loader, Playbook) {
    let mut loader = loader(files);
    let (playbook, found) = loader.playbook(Path::new("site.yml"));
    let text = render_all(&found, loader.sources(), Style::Plain);
    assert!(found.is_empty(), "{text}");
    (loader, playbook)
}

fn shown(node: &Node) -> String {
    match &node.value {
        NodeValue::String(text) => text.to_string(),
        _ => yaml::to_json(node).to_string(),
    }
}

fn arguments(mapping: &Mapping) -> String {
    let words = mapping.iter().map(|(key, value)| format!("{}={}", shown(key), shown(value)));
    words.collect::<Vec<_>>().join(" ")
}

fn conditions(context: &Context) -> String {
    let levels: Vec<&Context> = context.chain().collect();
    let all = levels.iter().rev().flat_map(|level| level.directives.when.iter());
    all.map(shown).collect::<Vec<_>>().join(" & ")
}

fn line(task: &Task) -> String {
    let mut line = format!("{}: {}", list::title(task), task.module.name);
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = write!(line, " [{name} {value}]");
        }
    };
    add("args", arguments(&task.arguments.parameters));
    add("when", conditions(&task.context));
    add("tags", task.context.tags().join(","));
    add("notify", task.notify.iter().map(shown).collect::<Vec<_>>().join(","));
    let become_ = task.context.innermost(|level| level.r#become.as_ref());
    add("become", become_.map(shown).unwrap_or_default());
    line
}

fn outline(items: &[Item], depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    for item in items {
        let _ = match item {
            Item::Task(task) => writeln!(text, "{indent}{}", line(task)),
            Item::Flush => writeln!(text, "{indent}flush"),
            Item::RoleEnd(role) => writeln!(text, "{indent}end of {}", role.role.name),
            Item::Block(block) => {
                for (name, items) in
                    [("block", &block.items), ("rescue", &block.rescue), ("always", &block.always)]
                {
                    if !items.is_empty() {
                        let _ = writeln!(text, "{indent}{name}");
                        outline(items, depth + 1, text);
                    }
                }
                Ok(())
            }
        };
    }
}

fn outlined(files: &[(&str, &str)]) -> String {
    let (_, playbook) = load(files);
    let mut text = String::new();
    for play in &playbook.plays {
        let _ = writeln!(text, "play {}", shown(&play.hosts));
        outline(&play.items, 1, &mut text);
        for handler in &play.handlers {
            let listen: Vec<String> = handler.listen.iter().map(shown).collect();
            let _ = writeln!(text, "  handler {} [{}]", line(&handler.task), listen.join(","));
        }
    }
    text
}

#[test]
fn sections_run_in_order_with_flushes_between() {
    let text = outlined(&[(
        "site.yml",
        "
- hosts: web
  tags: [p]
  post_tasks: [{debug: msg=post}]
  tasks:
    - debug: {msg: task}
      tags: a, b
      when: x
  pre_tasks: [{debug: msg=pre}]
",
    )]);
    assert_eq!(
        text,
        "play web
  debug: debug [args msg=pre] [tags p]
  flush
  debug: debug [args msg=task] [when x] [tags p,a,b]
  flush
  debug: debug [args msg=post] [tags p]
  flush
"
    );
}

#[test]
fn keywords_are_inherited_through_blocks_and_imports() {
    let text = outlined(&[
        (
            "site.yml",
            "
- hosts: all
  become: true
  tasks:
    - block:
        - debug: msg=1
          when: [c, d]
        - import_tasks: tasks/more.yml
          when: e
          tags: t
      rescue: [{debug: msg=2}]
      always: [{debug: msg=3, become: false}]
      when: a
      notify: h
      become: no
  handlers:
    - {name: h, debug: msg=4}
",
        ),
        ("tasks/more.yml", "- debug: msg=5\n- import_tasks: again.yml\n"),
        ("tasks/again.yml", "- {debug: msg=6, when: f, notify: [h]}\n- block: [{debug: msg=7}]\n"),
    ]);
    assert_eq!(
        text,
        "play all
  flush
  block
    debug: debug [args msg=1] [when a & c & d] [notify h] [become false]
    debug: debug [args msg=5] [when a & e] [tags t] [notify h] [become false]
    debug: debug [args msg=6] [when a & e & f] [tags t] [notify h] [become false]
    block
      debug: debug [args msg=7] [when a & e] [tags t] [notify h] [become false]
  rescue
    debug: debug [args msg=2] [when a] [notify h] [become false]
  always
    debug: debug [args msg=3] [when a] [notify h] [become false]
  flush
  flush
  handler h: debug [args msg=4] [become true] []
"
    );
}

#[test]
fn roles_bring_dependencies_before_and_handlers_first() {
    let files = &[
        (
            "site.yml",
            "
- hosts: all
  roles:
    - role: web
      http_port: 80
      tags: w
      when: on
  tasks:
    - import_role: {name: extra, tasks_from: other}
      vars: {x: 1}
      tags: e
  handlers:
    - {name: mine, debug: msg=h}
",
        ),
        ("roles/web/tasks/main.yml", "- debug: msg=web\n- import_tasks: sub/a.yml\n"),
        ("roles/web/tasks/sub/a.yml", "- import_tasks: b.yml\n"),
        ("roles/web/tasks/sub/b.yml", "- import_tasks: top.yml\n"),
        ("roles/web/tasks/top.yml", "- debug: msg=top\n"),
        ("roles/web/handlers/main.yaml", "- {name: again, debug: msg=again, listen: [l]}\n"),
        ("roles/web/defaults/main/1.yml", "a: 1\nb: 1\n"),
        ("roles/web/defaults/main/2.yml", "b: 2\n"),
        (
            "roles/web/meta/main.yml",
            "dependencies: [{role: base, tags: b}]\nallow_duplicates: yes\n",
        ),
        ("roles/base/tasks/main.json", "[{\"debug\": {\"msg\": \"base\"}}]"),
        ("roles/base/handlers/main", "- {name: base, debug: msg=base}\n"),
        ("roles/extra/tasks/other.yml", "- debug: msg=other\n"),
        ("roles/extra/handlers/main.yml", "- {name: extra, debug: msg=extra}\n"),
    ];
    assert_eq!(
        outlined(files),
        "play all
  flush
  base : debug: debug [args msg=base] [when true] [tags w,b]
  end of base
  web : debug: debug [args msg=web] [when true] [tags w]
  web : debug: debug [args msg=top] [when true] [tags w]
  end of web
  extra : debug: debug [args msg=other] [tags e]
  end of extra
  flush
  flush
  handler base : base: debug [args msg=base] [when true] [tags w,b] []
  handler web : again: debug [args msg=again] [when true] [tags w] [l]
  handler mine: debug [args msg=h] []
  handler extra : extra: debug [args msg=extra] [tags e] []
"
    );
    let (_, playbook) = load(files);
    let roles = &playbook.plays[0].roles;
    let names: Vec<&str> = roles.iter().map(|role| role.role.name.as_str()).collect();
    assert_eq!(names, ["web", "extra"]);
    assert_eq!(arguments(&roles[0].role.defaults), "a=1 b=2");
    assert_eq!(arguments(&roles[0].parameters), "http_port=80");
    assert!(roles[0].allow_duplicates && roles[0].dependencies[0].role.name == "base");
    assert_eq!(roles[0].dependencies[0].dependents[0].role.name, "web");
}

#[test]
fn equal_uses_of_a_role_are_the_same() {
    let (_, playbook) = load(&[
        (
            "site.yml",
            "
- hosts: all
  roles: [a, {role: a}, {role: a, x: 1}, {role: a, x: 1}, {role: a, tags: t}]
",
        ),
        ("roles/a/tasks/main.yml", "- debug: msg=1\n"),
    ]);
    let ids: Vec<u32> = playbook.plays[0].roles.iter().map(|role| role.identity.0).collect();
    assert_eq!(ids, [0, 0, 1, 1, 2]);
}

#[test]
fn all_forms_of_a_module_call_mean_the_same() {
    let text = outlined(&[(
        "site.yml",
        "
- hosts: all
  tasks:
    - debug: msg='a b' verbosity=1
    - debug: {msg: a b, verbosity: '1'}
    - ansible.builtin.debug:
        msg: a b
      args: {verbosity: '1', msg: overridden}
    - action: debug msg='a b' verbosity=1
    - action: {module: debug, msg: a b, verbosity: '1'}
    - action: {module: debug msg='a b', args: {verbosity: '1'}}
    - debug: msg={{ a ~ b | default('c d') }} verbosity=1
",
    )]);
    let lines: Vec<&str> = text.lines().skip(2).take(7).collect();
    for line in &lines[..2] {
        assert_eq!(*line, "  debug: debug [args msg=a b verbosity=1]");
    }
    for line in &lines[2..6] {
        let ordered = line.contains("[args msg=a b verbosity=1]");
        assert!(ordered || line.contains("[args verbosity=1 msg=a b]"), "{line}");
    }
    assert_eq!(lines[6], "  debug: debug [args msg={{ a ~ b | default('c d') }} verbosity=1]");
}

#[test]
fn imported_playbooks_hand_on_vars_tags_and_conditions() {
    let (_, playbook) = load(&[
        (
            "site.yml",
            "
- import_playbook: sub/one.yml
  vars: {x: outer}
  tags: outer
  when: a
",
        ),
        ("sub/one.yml", "- import_playbook: two.yml\n  when: b\n  vars: {x: inner, y: inner}\n"),
        ("sub/two.yml", "- hosts: all\n  vars: {y: own, z: own}\n  tasks: [{debug: msg=1}]\n"),
    ]);
    let play = &playbook.plays[0];
    assert_eq!(play.folder, Path::new("sub"));
    assert_eq!(arguments(play.context.directives.vars.as_ref().unwrap()), "y=inner z=own x=outer");
    let Item::Task(task) = &play.items[1] else { panic!("a task") };
    assert_eq!(line(task), "debug: debug [args msg=1] [when a & b] [tags outer]");
    assert_eq!(play.included_when.len(), 2);
}

#[test]
fn dynamic_includes_load_in_the_context_of_what_encloses_them() {
    let (mut loader, playbook) = load(&[
        (
            "site.yml",
            "
- hosts: all
  tasks:
    - block:
        - include_tasks: {file: inc.yml, apply: {tags: applied, become: true}}
          tags: own
          when: own
          vars: {v: 1}
        - include_role: name=r
      when: outer
",
        ),
        ("inc.yml", "- debug: msg=1\n- import_role: name=r\n"),
        ("roles/r/tasks/main.yml", "- debug: msg=r\n"),
        ("roles/r/handlers/main.yml", "- {name: h, debug: msg=h}\n"),
    ]);
    let Item::Block(block) = &playbook.plays[0].items[1] else { panic!("a block") };
    let Item::Task(task) = &block.items[0] else { panic!("a task") };
    let path = loader.search_included(task, "inc.yml", false).unwrap();
    let items = loader.tasks(&path, &task.included_context()).unwrap();
    let mut text = String::new();
    outline(&items, 0, &mut text);
    assert_eq!(
        text,
        "debug: debug [args msg=1] [when outer] [tags applied] [become true]
r : debug: debug [args msg=r] [when outer] [tags applied] [become true]
end of r
"
    );
    let (handlers, roles) = loader.take_imported();
    assert_eq!((handlers.len(), roles.len()), (1, 1));
    assert!(handlers[0].is_named("h") && handlers[0].is_named("r : h"));
    let Item::Task(task) = &block.items[1] else { panic!("a task") };
    let role = loader
        .include_role(
            "r",
            &RoleFiles::default(),
            &task.included_context(),
            task.span,
            IncludeManner::default(),
        )
        .unwrap();
    assert_eq!((role.items.len(), role.handlers.len()), (2, 1));
    let missing = loader.include_role(
        "s",
        &RoleFiles::default(),
        &task.context,
        task.span,
        IncludeManner::default(),
    );
    assert_eq!(missing.unwrap_err()[0].code, "missing-role");
}

#[test]
fn argument_specifications_become_a_task() {
    let text = outlined(&[
        ("site.yml", "- hosts: all\n  roles: [{role: r, web_port: 1}]\n"),
        ("roles/r/tasks/main.yml", "- debug: msg=1\n"),
        (
            "roles/r/meta/argument_specs.yml",
            "argument_specs: {main: {short_description: web, options: {port: {type: int}}}}\n",
        ),
    ]);
    assert!(text.contains("Validating arguments against arg spec 'main' - web"), "{text}");
    assert!(text.contains("provided_arguments={\"web_port\":1}"), "{text}");
    assert!(text.contains("[tags always]"), "{text}");
}

#[test]
fn files_are_searched_as_ansible_does() {
    let (loader, playbook) = load(&[
        ("site.yml", "- hosts: all\n  roles: [r]\n  tasks: [{debug: msg=1}]\n"),
        ("roles/r/tasks/main.yml", "- debug: msg=1\n"),
        ("roles/r/templates/t", "x"),
        ("templates/p", "x"),
        ("plain", "x"),
    ]);
    let tasks: Vec<&Task> = playbook.plays[0]
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Task(task) => Some(task.as_ref()),
            _ => None,
        })
        .collect();
    let search = |task: &Task, name: &str| loader.search(task, "templates", name);
    assert_eq!(search(tasks[0], "t").unwrap(), Path::new("roles/r/templates/t"));
    assert_eq!(search(tasks[0], "templates/t").unwrap(), Path::new("roles/r/templates/t"));
    assert_eq!(search(tasks[0], "p").unwrap(), Path::new("templates/p"));
    assert_eq!(search(tasks[1], "plain").unwrap(), Path::new("plain"));
    let tried = search(tasks[0], "none").unwrap_err();
    let tried: Vec<String> = tried.iter().map(|path| path.display().to_string()).collect();
    assert_eq!(
        tried,
        [
            "roles/r/templates/none",
            "roles/r/none",
            "roles/r/tasks/templates/none",
            "roles/r/tasks/none",
            "templates/none",
            "none"
        ]
    );
    assert_eq!(search(tasks[1], "t").unwrap_err().len(), 2);
}

#[test]
fn listings_show_selected_tasks() {
    let (_, playbook) = load(&[(
        "site.yml",
        "
- hosts: all
  tasks:
    - {name: one, debug: msg=1, tags: [b, a]}
    - block: [{name: two, debug: msg=2}]
      tags: never
",
    )]);
    let play = &playbook.plays[0];
    let all = list::tasks_of(play, &[], &[]);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].title.as_str(), all[0].tags.join(",").as_str()), ("one", "a,b"));
    assert_eq!(list::tags_of(play, &["never".into(), "a".into()], &[]), ["a", "b", "never"]);
}

/// The items of the only play, and the texts of what was found.
fn lenient(text: &str) -> (Vec<String>, Vec<(String, bool)>) {
    let mut loader = loader(&[("site.yml", text)]);
    let (playbook, found) = loader.playbook(Path::new("site.yml"));
    fn tasks(items: &[Item], names: &mut Vec<String>) {
        for item in items {
            match item {
                Item::Task(task) => names.push(task.module.name.to_owned()),
                Item::Block(block) => tasks(&block.items, names),
                Item::Flush | Item::RoleEnd(_) => {}
            }
        }
    }
    let mut names = Vec::new();
    playbook.plays.iter().for_each(|play| tasks(&play.items, &mut names));
    (names, found.iter().map(|one| (one.code.to_string(), one.is_error())).collect())
}

#[test]
fn a_module_of_another_system_is_an_error_only_where_it_is_reached() {
    let play = |task: &str| format!("- hosts: all\n  tasks:\n    - zypper: name=x\n{task}");
    let warning = [("unsupported-module".to_owned(), false)];
    let error = [("unsupported-module".to_owned(), true)];
    let conditional = lenient(&play("      when: ansible_pkg_mgr == 'zypper'\n"));
    assert_eq!(conditional, (vec!["_unavailable".to_owned()], warning.to_vec()));
    assert_eq!(lenient(&play("      ignore_errors: true\n")).1, warning);
    assert_eq!(lenient(&play("")), (Vec::new(), error.to_vec()));
    assert_eq!(lenient(&play("      ignore_errors: false\n")).1, error);
    // A list that a variable holds may be empty; one that is written out isn't.
    assert_eq!(lenient(&play("      with_items: '{{ packages }}'\n")).1, warning);
    assert_eq!(lenient(&play("      loop: [a]\n")).1, error);
    let other = "- hosts: all\n  tasks:\n    - community.windows.win_x: {}\n      when: a\n";
    assert_eq!(lenient(other).1, [("unknown-module".to_owned(), false)]);
    // A slip of the pen is an error also under a condition.
    let slip = "- hosts: all\n  tasks:\n    - nosuchthing: name=x\n      when: a is defined\n";
    assert_eq!(lenient(slip).1, [("unknown-module".to_owned(), true)]);
}

#[test]
fn mistakes_whose_failure_is_expected_are_warnings() {
    let wrong = "file: { path: /x, statt: touch }";
    let plain = format!("- hosts: all\n  tasks:\n    - {wrong}\n");
    assert_eq!(lenient(&plain).1, [("unknown-parameter".to_owned(), true)]);
    let ignored = format!("- hosts: all\n  tasks:\n    - {wrong}\n      ignore_errors: true\n");
    assert_eq!(lenient(&ignored).1, [("unknown-parameter".to_owned(), false)]);
    let rescued = format!(
        "- hosts: all\n  tasks:\n    - block:\n        - {wrong}\n      rescue:\n        - {wrong}\n"
    );
    let found = lenient(&rescued).1;
    assert_eq!(found.iter().filter(|(_, is_error)| *is_error).count(), 1, "the rescue's own");
    assert_eq!(found.len(), 2);
}

#[test]
fn forced_handlers_are_flushed_whatever_happens() {
    let play = |keyword: &str| {
        format!(
            "- hosts: all\n{keyword}  tasks:\n    - ping:\n      notify: h\n  handlers:\n    \
             - name: h\n      ping:\n"
        )
    };
    let shape = |playbook: &Playbook| -> Vec<String> {
        let items = playbook.plays.iter().flat_map(|play| &play.items);
        let shape = items.map(|item| match item {
            Item::Block(block) => match block.always.as_slice() {
                [Item::Flush] => format!("{} tasks, then a flush always", block.items.len()),
                _ => "block".to_owned(),
            },
            Item::Flush => "flush".to_owned(),
            Item::Task(_) => "task".to_owned(),
            Item::RoleEnd(_) => "end".to_owned(),
        });
        shape.collect()
    };
    let forced = ["0 tasks, then a flush always", "1 tasks, then a flush always"];
    let (_, playbook) = load(&[("site.yml", &play("  force_handlers: true\n"))]);
    assert_eq!(shape(&playbook), [forced[0], forced[1], forced[0]]);
    let (_, playbook) = load(&[("site.yml", &play(""))]);
    assert_eq!(shape(&playbook), ["flush", "task", "flush", "flush"]);
    let mut loader = loader(&[("site.yml", &play(""))]);
    loader.options_mut().force_handlers = true;
    let (playbook, _) = loader.playbook(Path::new("site.yml"));
    assert_eq!(shape(&playbook), [forced[0], forced[1], forced[0]]);
    let (_, found) = lenient(&play("  force_handlers: \"{{ x }}\"\n"));
    assert_eq!(found, [("static-keyword".to_owned(), true)]);
}

#[test]
fn an_action_may_be_chosen_by_a_template() {
    let play =
        "- hosts: all\n  tasks:\n    - action: \"{{ ansible_pkg_mgr }} name=x state=latest\"\n";
    let (_, playbook) = load(&[("site.yml", play)]);
    let items = playbook.plays.iter().flat_map(|play| &play.items);
    let task = items.filter_map(|item| match item {
        Item::Task(task) => Some(task),
        _ => None,
    });
    let shown: Vec<String> = task
        .map(|task| format!("{} {}", task.module_written, arguments(&task.arguments.parameters)))
        .collect();
    assert_eq!(shown, ["{{ ansible_pkg_mgr }} name=x state=latest"]);
}

/// Filters and tests in Python are known by their names in files that may bring them.
#[test]
fn a_filter_that_no_file_brings_is_told() {
    let site = "- hosts: all\n  tasks:\n    - debug: {msg: \"{{ 1 | shout | shoutt }}\"}\n      \
                when: \"'x' is loud\"\n  roles: [r]\n";
    let tests = "class TestModule:\n    def tests(self):\n        return {'loud': 1}\n";
    let mut loader = loader(&[
        ("site.yml", site),
        ("filter_plugins/a.py", "FILTERS = {\"shout\": 1}\n"),
        ("roles/r/test_plugins/b.py", tests),
        ("roles/r/tasks/main.yml", "- debug:\n"),
    ]);
    let (_, found) = loader.playbook(Path::new("site.yml"));
    let messages: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(messages, ["there is no filter or test named 'shoutt'"]);
}
