//! Hosts and groups that come at run time, and this machine, which no inventory has to name.

use provision_engine::event::Outcome;

use crate::lab::Lab;

#[test]
fn this_machine_remembers_and_sees_what_is_said_of_all() {
    let lab = Lab::new(&["a", "b"]);
    lab.write("inventory/group_vars/all.yml", "colour: green\n");
    lab.apply(
        "
- hosts: localhost
  gather_facts: false
  tasks:
    - set_fact: {kept: 1}
    - assert: {that: [colour == 'green', kept == 1, \"'localhost' not in groups.all\"]}
- hosts: localhost
  gather_facts: false
  tasks:
    - assert: {that: [kept == 1, hostvars.localhost.kept == 1]}
- hosts: a
  gather_facts: false
  tasks:
    - assert: {that: [hostvars.localhost.kept == 1, \"hostvars['localhost'].colour == 'green'\"]}
    - set_fact: {told: '{{ inventory_hostname }}'}
      delegate_to: '{{ item }}'
      delegate_facts: true
      loop: [localhost, b]
    - assert: {that: [told is undefined, hostvars.b.told == 'a']}
- hosts: [localhost, b]
  gather_facts: false
  tasks:
    - assert: {that: [told == 'a']}
",
    )
    .expect(Outcome::Done);
}

#[test]
fn a_host_has_the_variables_of_a_group_that_it_joins() {
    let lab = Lab::new(&["a", "b"]);
    lab.inventory("[web]\na\n");
    lab.write("inventory/group_vars/all.yml", "colour: green\nsize: none\n");
    lab.write("inventory/group_vars/os_two.yml", "size: big\nfrom_file: '{{ colour }}'\n");
    lab.write("inventory/group_vars/web/main.yml", "port: 80\nsize: small\n");
    lab.write("inventory/host_vars/new1.yml", "own: yes\n");
    let root = lab.host("a").root().display().to_string();
    lab.apply(&format!(
        "
- hosts: all
  gather_facts: false
  tasks:
    - group_by: {{key: \"os {{{{ 'one' if inventory_hostname == 'a' else 'two' }}}}\", parents: [linux]}}
    - group_by: {{key: os_two}}
      when: inventory_hostname == 'b'
- hosts: os-two
  gather_facts: false
  tasks:
    - assert:
        that:
          - inventory_hostname == 'b'
          - size == 'big'
          - from_file == 'green'
          - groups.linux == ['a', 'b']
          - groups['os-one'] == ['a']
          - \"'ungrouped' not in group_names\"
          - group_names == ['linux', 'os-two', 'os_two']
          - hostvars.a.size == 'small'
    - add_host: {{name: new1, groups: [web], given: '{{{{ \"{{{{ colour }}}}\" }}}}', ansible_connection: local}}
- hosts: new1
  gather_facts: false
  vars: {{root: {root}}}
  tasks:
    - assert:
        that:
          - size == 'small'
          - port == 80
          - own
          - colour == 'green'
          - group_names == ['web']
          - groups.web == ['a', 'new1']
          - given is search('colour')
"
    ))
    .expect(Outcome::Done);
}

/// Plays that check something before others begin are the reason.
#[test]
fn a_play_that_fails_everywhere_ends_the_run() {
    let lab = Lab::new(&["a", "b"]);
    let check = |hosts: &str, fails: &str| {
        format!(
            "
- hosts: {hosts}
  gather_facts: false
  tasks:
    - fail: {{msg: refused}}
      when: {fails}
- hosts: b
  gather_facts: false
  tasks:
    - file: {{path: '{{{{ root }}}}/touched', state: touch}}
"
        )
    };
    let all = [("localhost", "true"), ("a", "true"), ("all", "true")];
    for (hosts, fails) in all {
        let ran = lab.apply(&check(hosts, fails)).expect(Outcome::Failed);
        assert_eq!(ran.recap("b").changed, 0, "{}", ran.story());
    }
    let ran = lab.apply(&check("all", "inventory_hostname == 'a'")).expect(Outcome::Failed);
    assert_eq!(ran.recap("b").changed, 1, "{}", ran.story());
    // Who has ended well is not lost.
    let ended = check("a", "false").replace("fail: {msg: refused}", "meta: end_play");
    lab.apply(&ended.replace("when: false", "when: true")).expect(Outcome::Done);
    assert!(lab.host("b").tree().contains_key(std::path::Path::new("touched")));
}

#[test]
fn an_inventory_that_is_read_again_keeps_what_the_run_added() {
    let lab = Lab::new(&["a", "b"]);
    lab.inventory("[web]\na\n");
    let file = lab.path().join("inventory/hosts");
    let file = file.display();
    lab.apply(&format!(
        "
- hosts: a
  gather_facts: false
  tasks:
    - set_fact: {{kept: 1}}
    - group_by: {{key: chosen}}
    - add_host: {{name: made, groups: [more], size: 3}}
    - copy: {{dest: '{file}', content: \"a colour=green\\nb\\n[web]\\nb\\n\"}}
      delegate_to: localhost
    - meta: refresh_inventory
    - assert: {{that: [\"ansible_play_hosts == ['a']\", \"groups.web == ['b']\"]}}
- hosts: all
  gather_facts: false
  tasks:
    - assert:
        that:
          - \"ansible_play_hosts_all | sort == ['a', 'b', 'made']\"
          - \"groups.chosen == ['a']\"
          - \"groups.more == ['made']\"
          - hostvars.a.kept == 1
          - \"hostvars.a.colour == 'green'\"
          - hostvars.made.size == 3
      run_once: true
      delegate_to: localhost
"
    ))
    .expect(Outcome::Done);
}

#[test]
fn a_play_that_is_ended_has_no_more_batches() {
    let lab = Lab::new(&["a", "b"]);
    let play = |action: &str| {
        format!(
            "
- hosts: all
  gather_facts: false
  serial: 1
  tasks:
    - set_fact: {{seen: yes}}
    - meta: {action}
- hosts: localhost
  gather_facts: false
  tasks:
    - assert: {{that: [hostvars.a.seen is defined]}}
    - assert: {{that: [hostvars.b.seen is {}defined]}}
",
            if action == "end_play" { "not " } else { "" }
        )
    };
    lab.apply(&play("end_play")).expect(Outcome::Done);
    lab.apply(&play("end_batch")).expect(Outcome::Done);
}

/// Included once, its tasks are those of one host; what `run_once` sets is there for all.
#[test]
fn what_is_included_once_runs_on_one_host() {
    let lab = Lab::new(&["a", "b"]);
    lab.write("once.yml", "- set_fact: {seen: \"{{ inventory_hostname }}\"}\n");
    lab.apply(
        "
- hosts: all
  gather_facts: false
  vars: {seen: nobody}
  tasks:
    - include_tasks: once.yml
      run_once: true
    - assert: {that: [\"seen == ('a' if inventory_hostname == 'a' else 'nobody')\"]}
    - include_tasks: {file: once.yml, apply: {run_once: true}}
      run_once: true
    - assert: {that: [\"seen == 'a'\"]}
",
    )
    .expect(Outcome::Done);
}

#[test]
fn this_machine_can_be_put_into_a_group() {
    let lab = Lab::new(&["a"]);
    lab.apply(
        "
- hosts: localhost
  gather_facts: false
  tasks:
    - group_by: {key: \"chosen_{{ inventory_hostname }}\"}
- hosts: chosen_localhost
  gather_facts: false
  tasks:
    - set_fact: {seen: yes}
- hosts: a
  gather_facts: false
  tasks:
    - assert: {that: [hostvars.localhost.seen, \"groups.chosen_localhost == ['localhost']\"]}
",
    )
    .expect(Outcome::Done);
}

#[test]
fn a_connection_that_is_reset_logs_in_anew() {
    let lab = Lab::new(&["a"]);
    let ran = lab
        .apply(
            "
- hosts: a
  gather_facts: false
  tasks:
    - stat: {path: /}
    - meta: reset_connection
    - meta: reset_connection
    - stat: {path: /}
    - stat: {path: /}
",
        )
        .expect(Outcome::Done);
    assert_eq!(ran.warnings(), Vec::<String>::new());
    assert_eq!(lab.host("a").seen().endpoints.len(), 2);
}
