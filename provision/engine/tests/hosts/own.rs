//! Modules of the user's own run on hosts.

use provision_engine::event::Outcome;

use crate::lab::Lab;

const PYTHON: &str = r#"#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.ours import greeting

def main():
    module = AnsibleModule(
        argument_spec=dict(name=dict(required=True), token=dict(no_log=True)),
        supports_check_mode=True,
    )
    module.exit_json(
        changed=True,
        said=greeting(module.params["name"]),
        leak=module.params["token"],
        checks=module.check_mode,
        ansible_facts=dict(greeted=module.params["name"]),
    )

main()
"#;

const SHELL: &str =
    "#!/bin/sh\n# WANT_JSON\nprintf '{\"changed\": true, \"given\": '; cat \"$1\"; echo '}'\n";

fn lab() -> Lab {
    let lab = Lab::new(&["a"]);
    lab.write("library/hello.py", PYTHON);
    lab.write("library/told", SHELL);
    lab.write("module_utils/ours.py", "def greeting(name):\n    return 'Hello, ' + name\n");
    lab
}

#[test]
fn a_module_in_python_has_the_package_and_the_users_code() {
    let play = r#"
- hosts: a
  gather_facts: false
  tasks:
    - hello: {name: "{{ 'wor' ~ 'ld' }}", token: tops3cret}
      register: it
    - assert:
        that:
          - it.said == 'Hello, world'
          - it.leak == 'VALUE_SPECIFIED_IN_NO_LOG_PARAMETER'
          - not it.checks
          - greeted == 'world'
          - it is changed
    - hello: {name: b}
      check_mode: true
      register: checked
    - assert: {that: [checked.checks]}
    - hello: {}
      register: wrong
      ignore_errors: true
    - assert: {that: ["wrong.msg == 'missing required arguments: name'"]}
    - action: "{{ 'hel' ~ 'lo' }} name=c"
      register: chosen
    - assert: {that: ["chosen.said == 'Hello, c'"]}
"#;
    lab().apply(play).expect(Outcome::Done);
}

#[test]
fn other_programs_get_their_arguments_in_a_file() {
    let play = r#"
- hosts: a
  gather_facts: false
  module_defaults:
    told: {common: yes}
  tasks:
    - told: {list: [1, two], text: "a'b"}
      register: it
    - assert:
        that:
          - it.given.list == [1, 'two']
          - it.given.text == "a'b"
          - it.given.common
          - it.given._ansible_check_mode == false
          - it.given._ansible_module_name == 'told'
"#;
    lab().apply(play).expect(Outcome::Done);
}

#[test]
fn what_a_module_lacks_is_named() {
    let lab = lab();
    lab.write(
        "library/lacks.py",
        "from ansible.module_utils.basic import AnsibleModule\nfrom ansible.module_utils.nosuch import x\n",
    );
    lab.write("library/dies.py", "import ansible.module_utils.basic\nraise Exception('oh no')\n");
    let play = r#"
- hosts: a
  gather_facts: false
  tasks:
    - lacks:
      register: lacks
      ignore_errors: true
    - dies:
      register: dies
      ignore_errors: true
    - assert:
        that:
          - "'ansible.module_utils.nosuch can\\'t be imported' in lacks.msg"
          - "'library/lacks.py:2' in lacks.msg"
          - "'Exception: oh no' in dies.module_stderr"
          - dies.msg is match('MODULE FAILURE. Exception. oh no')
          - dies.rc == 1
"#;
    lab.apply(play).expect(Outcome::Done);
}

#[test]
fn several_modules_gather_facts() {
    let lab = lab();
    let gathers = |name: &str, facts: &str| {
        lab.write(
            &format!("library/{name}"),
            &format!("#!/bin/sh\necho '{{\"ansible_facts\": {facts}}}'\n"),
        );
    };
    gathers("one", r#"{"which": "one", "both": {"one": 1}}"#);
    gathers("two", r#"{"which": "two", "both": {"two": 2}}"#);
    let play = r#"
- hosts: a
  vars: {ansible_facts_modules: [one, two], ansible_facts_parallel: false}
  tasks:
    - assert: {that: ["which == 'two'", "both == {'one': 1, 'two': 2}"]}
"#;
    lab.apply(play).expect(Outcome::Done);
}
