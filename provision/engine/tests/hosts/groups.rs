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
