//! Notified handlers run once, and what a host remembers of them is true.

use provision_engine::event::Outcome;

use crate::lab::Lab;

/// What a host still remembers of handlers: nothing may be left over.
fn assert_nothing_is_left(lab: &Lab) {
    let left = lab.warnings_of_an_empty_play();
    assert!(left.is_empty(), "{left:?}");
}

const CHANGE: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: '{{ root }}/a', content: x}
      notify: HANDLERS
";

fn play(notify: &str, handlers: &str) -> String {
    format!("{}  handlers:{handlers}", CHANGE.replace("HANDLERS", notify))
}

#[test]
fn a_handler_on_the_host_is_forgotten_when_it_has_run() {
    let lab = Lab::new(&["a"]);
    let ran = lab
        .apply(&play(
            "[h]",
            "
    - name: h
      copy: {dest: '{{ root }}/h', content: x}
",
        ))
        .expect(Outcome::Done);
    assert_eq!(ran.recap("a").changed, 2, "{}", ran.story());
    assert_nothing_is_left(&lab);
}

#[test]
fn a_skipped_handler_is_forgotten() {
    let lab = Lab::new(&["a"]);
    lab.apply(&play(
        "[h]",
        "
    - name: h
      copy: {dest: '{{ root }}/h', content: x}
      when: false
",
    ))
    .expect(Outcome::Done);
    assert_nothing_is_left(&lab);
}

#[test]
fn a_handler_on_the_controller_is_forgotten() {
    for module in ["debug: {msg: x}", "set_fact: {x: 1}", "assert: {that: true}"] {
        let lab = Lab::new(&["a"]);
        let handlers = format!(
            "
    - name: h
      {module}
"
        );
        lab.apply(&play("[h]", &handlers)).expect(Outcome::Done);
        assert_nothing_is_left(&lab);
    }
}

#[test]
fn a_handler_that_includes_tasks_is_one_handler() {
    let lab = Lab::new(&["a"]);
    lab.write(
        "more.yml",
        "
- copy: {dest: '{{ root }}/m0', content: x}
- copy: {dest: '{{ root }}/m1', content: x}
- copy: {dest: '{{ root }}/m2', content: x}
",
    );
    let ran = lab
        .apply(&play(
            "[h0, h1, h2]",
            "
    - name: h0
      include_tasks: more.yml
    - name: h1
      copy: {dest: '{{ root }}/h1', content: x}
    - name: h2
      copy: {dest: '{{ root }}/h2', content: x}
",
        ))
        .expect(Outcome::Done);
    for name in ["m0", "m1", "m2", "h1", "h2"] {
        assert_eq!(lab.host("a").text(name), "x", "{name} {}", ran.story());
    }
    assert_nothing_is_left(&lab);
}

#[test]
fn a_handler_that_loops_is_forgotten_after_its_last_item() {
    let lab = Lab::new(&["a"]);
    let playbook = play(
        "[h]",
        "
    - name: h
      copy: {dest: '{{ root }}/{{ item }}', content: x}
      loop: [h0, h1, h2]
",
    );
    lab.apply(&playbook).expect(Outcome::Done);
    let completes: Vec<usize> =
        lab.host("a").calls().iter().map(|call| call.completes.len()).collect();
    assert_eq!(completes, [0, 0, 0, 0, 1]);
    assert_nothing_is_left(&lab);
}

/// What a host remembers is what the controller would do, whoever's call it was.
#[test]
fn hosts_remember_their_own_handlers_only() {
    let handlers = "
    - name: h
      copy: {dest: '{{ root }}/h', content: '{{ inventory_hostname }}'}
";
    // Each task notifies on `a`; then the controller is as good as dead: the next task fails.
    for (task, on_a, on_b) in [
        (
            "command: 'true'\n      delegate_to: b\n      when: inventory_hostname == 'a'",
            true,
            false,
        ),
        ("debug: {msg: x}\n      changed_when: inventory_hostname == 'a'", true, false),
        ("command: 'true'\n      changed_when: inventory_hostname == 'a'", true, false),
        ("command: 'true'\n      run_once: true", true, true),
        ("command: 'true'\n      changed_when: false", false, false),
        ("command: 'true'\n      failed_when: false", true, true),
    ] {
        let lab = Lab::new(&["a", "b"]);
        let playbook = format!(
            "
- hosts: all
  gather_facts: false
  tasks:
    - {task}
      notify: h
    - file: {{path: '{{{{ root }}}}/nowhere/x', state: touch}}
  handlers:{handlers}"
        );
        let ran = lab.apply(&playbook).expect(Outcome::Failed);
        for host in ["a", "b"] {
            assert_eq!(lab.host(host).text("h"), "", "{task} {}", ran.story());
        }
        let again = format!(
            "
- hosts: all
  gather_facts: false
  tasks:
    - stat: {{path: /}}
  handlers:{handlers}"
        );
        let ran = lab.apply(&again).expect(Outcome::Done);
        for (host, wanted) in [("a", on_a), ("b", on_b)] {
            let wanted = if wanted { host } else { "" };
            assert_eq!(lab.host(host).text("h"), wanted, "{task} {}", ran.story());
        }
        assert_nothing_is_left(&lab);
    }
}

#[test]
fn a_handler_that_fails_stays_pending_and_those_before_it_do_not() {
    let lab = Lab::new(&["a"]);
    let playbook = play(
        "[first, second, third]",
        "
    - name: first
      debug: {msg: x}
    - name: second
      file: {path: '{{ root }}/{{ item }}/x', state: touch}
      loop: [one, two]
    - name: third
      copy: {dest: '{{ root }}/h', content: x}
",
    );
    lab.apply(&playbook).expect(Outcome::Failed);
    let left = lab.warnings_of_an_empty_play();
    let names: Vec<&str> = left.iter().filter_map(|text| text.split('`').nth(1)).collect();
    assert_eq!(names, ["second", "third"]);
}

#[test]
fn an_ignored_or_rescued_failure_notifies_nothing() {
    for failing in [
        "- shell: echo x >{{ root }}/x; false\n      notify: h\n      ignore_errors: true",
        "- block:\n        - shell: echo x >{{ root }}/x; false\n          notify: h\n      rescue:\n        \
         - debug: {msg: rescued}",
    ] {
        let lab = Lab::new(&["a"]);
        let playbook = format!(
            "- hosts: all\n  gather_facts: false\n  tasks:\n    {failing}\n  handlers:\n    \
             - name: h\n      copy: {{dest: '{{{{ root }}}}/h', content: x}}\n"
        );
        let ran = lab.apply(&playbook).expect(Outcome::Done);
        // What an ignored failure has changed counts, as Ansible counts it.
        let recap = ran.recap("a");
        assert_eq!(recap.changed, recap.ignored, "{}", ran.story());
        assert!(!lab.host("a").root().join("h").exists(), "{}", ran.story());
        assert_nothing_is_left(&lab);
    }
}

#[test]
fn what_is_forgotten_for_one_task_stays_for_another_that_is_under_way() {
    let lab = Lab::new(&["a"]);
    // The second task is sent before the first one's `changed_when` is judged.
    let playbook = "
- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: '{{ root }}/a', content: x}
      changed_when: false
      notify: h
    - copy: {dest: '{{ root }}/b', content: x}
      notify: h
    - fail: {msg: the end}
  handlers:
    - name: h
      copy: {dest: '{{ root }}/h', content: x}
";
    lab.apply(playbook).expect(Outcome::Failed);
    let left = lab.warnings_of_an_empty_play();
    assert!(left.iter().any(|warning| warning.contains("`h`")), "{left:?}");
}

/// Found by random plays: it had been sent ahead, and was forgotten with what was dropped.
#[test]
fn a_handler_behind_one_that_failed_runs_at_the_next_flush() {
    for second in ["copy: {dest: '{{ root }}/h', content: x}", "debug: {msg: x}"] {
        let lab = Lab::new(&["a"]);
        let playbook = format!(
            "
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - copy: {{dest: '{{{{ root }}}}/a', content: x}}
          notify: [h1, h2]
        - meta: flush_handlers
      rescue:
        - debug: {{msg: rescued}}
  handlers:
    - name: h1
      file: {{path: '{{{{ root }}}}/nowhere/x', state: touch}}
    - name: h2
      {second}
"
        );
        let ran = lab.apply(&playbook).expect(Outcome::Done);
        assert!(ran.story().contains("h2"), "{}", ran.story());
        // The one that failed is still due.
        let left = lab.warnings_of_an_empty_play();
        assert!(left.len() == 1 && left[0].contains("`h1`"), "{left:?}");
    }
}

#[test]
fn a_role_of_a_collection_goes_by_its_own_name_in_notifications() {
    for prefix in ["db", "ns.col.db"] {
        let lab = Lab::new(&["a"]);
        lab.write(
            "collections/ansible_collections/ns/col/roles/db/handlers/main.yml",
            "
- name: h
  listen: reload
  copy: {dest: '{{ root }}/h', content: x}
",
        );
        let ran = lab
            .apply(&format!(
                "
- hosts: all
  gather_facts: false
  roles: [ns.col.db]
  tasks:
    - copy: {{dest: '{{{{ root }}}}/a', content: x}}
      notify: '{prefix} : reload'
"
            ))
            .expect(Outcome::Done);
        assert_eq!(ran.recap("a").changed, 2, "{}", ran.story());
    }
}

#[test]
fn of_handlers_with_one_name_in_a_list_the_first_runs() {
    let lab = Lab::new(&["a"]);
    let ran = lab
        .apply(&play(
            "[h]",
            "
    - name: h
      copy: {dest: '{{ root }}/first', content: x}
    - name: h
      copy: {dest: '{{ root }}/second', content: x}
    - name: other
      listen: h
      copy: {dest: '{{ root }}/listening', content: x}
",
        ))
        .expect(Outcome::Done);
    let tree = lab.host("a").tree();
    let has = |name: &str| tree.contains_key(std::path::Path::new(name));
    let found = ["first", "second", "listening"].map(has);
    assert_eq!(found, [true, false, true], "{}", ran.story());
    assert_nothing_is_left(&lab);
}

#[test]
fn a_handler_has_the_name_that_its_template_says() {
    let lab = Lab::new(&["a"]);
    let handlers = "
    - name: 'restart {{ service }}'
      copy: {dest: '{{ root }}/h', content: x}
    - name: 'restart {{ nothing_of_this_name }}'
      copy: {dest: '{{ root }}/other', content: x}
  vars: {service: web}
";
    let ran = lab.apply(&play("[restart web]", handlers)).expect(Outcome::Done);
    assert_eq!(lab.host("a").text("h"), "x", "{}", ran.story());
    assert!(!ran.story().contains("unusable"), "{}", ran.story());
    assert_nothing_is_left(&lab);
}

/// Ansible's order: handlers are asked for their names until one answers.
#[test]
fn a_handler_whose_name_cannot_be_evaluated_is_told_when_it_is_in_the_way() {
    let lab = Lab::new(&["a"]);
    let handlers = "
    - name: 'restart {{ nothing_of_this_name }}'
      copy: {dest: '{{ root }}/other', content: x}
    - name: restart web
      copy: {dest: '{{ root }}/h', content: x}
";
    let ran = lab.apply(&play("[restart web]", handlers)).expect(Outcome::Done);
    assert_eq!(lab.host("a").text("h"), "x", "{}", ran.story());
    let told = "Handler 'restart {{ nothing_of_this_name }}' is unusable";
    assert!(ran.story().contains(told), "{}", ran.story());
}

#[test]
fn a_notification_that_nobody_answers_ends_the_run_for_all() {
    let lab = Lab::new(&["a", "b"]);
    let playbook = play(
        "'{{ wanted }}'",
        "
    - name: h
      debug: {msg: x}
  vars: {wanted: nobody}
- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: '{{ root }}/later', content: x}
",
    );
    let ran = lab.apply(&playbook).expect(Outcome::Failed);
    let error = ran.summary.error.clone().unwrap_or_default();
    assert!(error.starts_with("The requested handler 'nobody' was not found"), "{error}");
    for host in ["a", "b"] {
        let sent = lab.host(host).calls();
        assert!(sent.len() <= 1, "{host}: {}", ran.story());
    }
}
