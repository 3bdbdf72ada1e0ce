//! What an evaluation can see of other hosts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provision_playbook::files::MapFiles;
use provision_playbook::reach::WorldReason;
use provision_playbook::{LoadOptions, Loader};

/// What the last task of the plays reaches.
#[allow(clippy::expect_used, reason = "a mistake of the test itself")]
fn reached(tasks: &str, files: &[(&str, &str)]) -> (Vec<String>, Option<WorldReason>) {
    let play = format!(
        "- hosts: all\n  vars:\n    plain: 1\n    near: '{{{{ plain }}}}'\n    far: \"{{{{ hostvars['b'].x }}}}\"\n    \
         middle: ['{{{{ far }}}}']\n    circle: '{{{{ circle }}}}'\n  tasks:\n{tasks}"
    );
    let mut files: BTreeMap<PathBuf, String> =
        files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    files.insert("site.yml".into(), play);
    let mut loader = Loader::new(Arc::new(MapFiles::new(files)), LoadOptions::default());
    let (_, found) = loader.playbook(Path::new("site.yml"));
    assert!(found.iter().all(|found| !found.is_error()), "{found:?}");
    let definitions = loader.definitions();
    let task = loader.surveyed().pop().expect("a task");
    let reached = loader.reach_of_task(&task, &definitions);
    (reached.names.into_iter().collect(), reached.world)
}

fn world(tasks: &str) -> Option<WorldReason> {
    reached(tasks, &[]).1
}

#[test]
fn variables_are_followed() {
    let (names, world) = reached("    - debug: msg='{{ near }}'\n", &[]);
    assert_eq!((names, world), (vec!["near".to_owned(), "plain".to_owned()], None));
    let hostvars = Some(WorldReason::Variable("hostvars".to_owned()));
    let (names, world) = reached("    - debug: msg='{{ middle }}'\n", &[]);
    assert_eq!(
        (names, world),
        (["far", "hostvars", "middle"].map(str::to_owned).to_vec(), hostvars)
    );
    assert_eq!(reached("    - debug: msg='{{ circle }}'\n", &[]).1, None);
}

#[test]
fn every_keyword_counts() {
    let hostvars = Some(WorldReason::Variable("hostvars".to_owned()));
    for task in [
        "    - debug: msg=1\n      when: far == 1\n",
        "    - debug: var=far\n",
        "    - debug: msg=1\n      loop: '{{ middle }}'\n",
        "    - debug: msg=1\n      environment: {A: '{{ far }}'}\n",
        "    - debug: msg=1\n      become_user: '{{ far }}'\n",
        "    - debug: msg=1\n      changed_when: far\n",
        "    - assert: {that: [far]}\n",
        "    - block:\n        - debug: msg=1\n      when: far\n",
        "    - set_fact: {'{{ far }}': 1}\n",
    ] {
        assert_eq!(world(task), hostvars, "{task}");
    }
    for task in [
        "    - debug: msg=far\n",
        "    - name: '{{ far }}'\n      debug: msg=1\n",
        "    - debug: msg=1\n      vars: {unused: '{{ far }}'}\n",
        "    - debug: msg='{{ ansible_hostname }} {{ inventory_hostname }} {{ groups }}'\n",
    ] {
        assert_eq!(world(task), None, "{task}");
    }
}

#[test]
fn groups_count_only_if_they_can_change() {
    let task = "    - debug: msg='{{ groups }}'\n";
    assert_eq!(world(task), None);
    let task = format!("    - group_by: key=x\n{task}");
    assert_eq!(world(&task), Some(WorldReason::Variable("groups".to_owned())));
}

#[test]
fn lookups_and_computed_names_count() {
    let pipe = Some(WorldReason::Lookup("pipe".to_owned()));
    assert_eq!(world("    - debug: msg=\"{{ lookup('pipe', 'date') }}\"\n"), pipe);
    assert_eq!(world("    - debug: msg=1\n      with_pipe: date\n"), pipe);
    assert_eq!(world("    - debug: msg=\"{{ lookup('file', 'x') }}\"\n"), None);
    assert_eq!(world("    - debug: msg=1\n      with_items: [1]\n"), None);
    assert!(world("    - debug: msg=\"{{ lookup('vars', plain) }}\"\n").is_some());
    assert_eq!(world("    - debug: msg=\"{{ lookup('vars', 'plain') }}\"\n"), None);
}

#[test]
fn template_files_are_read() {
    let task = "    - template: {src: a.j2, dest: /x}\n";
    let quiet = ("templates/b.j2", "{{ near }}");
    let (names, world) =
        reached(task, &[("templates/a.j2", "{% include 'b.j2' %}{{ other }}"), quiet]);
    let expected = ["near", "other", "plain"].map(str::to_owned).to_vec();
    assert_eq!((names, world), (expected, None));
    let loud = ("templates/b.j2", "{% for h in ansible_play_hosts %}{{ h }}{% endfor %}");
    let (_, world) = reached(task, &[("templates/a.j2", "{% include 'b.j2' %}"), loud]);
    assert_eq!(world, Some(WorldReason::Variable("ansible_play_hosts".to_owned())));
    let (_, world) = reached(task, &[("templates/a.j2", "{% include which %}")]);
    assert_eq!(world, Some(WorldReason::Template));
    let unknown = "    - template: {src: '{{ plain }}', dest: /x}\n";
    assert_eq!(reached(unknown, &[]).1, Some(WorldReason::Template));
}
