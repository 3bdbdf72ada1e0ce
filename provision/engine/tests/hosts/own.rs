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

const FILTERS: &str = r#"
from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.text.converters import to_text

def shout(value, mark="!"):
    if not isinstance(value, str):
        raise AnsibleFilterError("shout wants text, not %r" % (value,))
    print("noise")
    return to_text(value).upper() + mark

class FilterModule(object):
    def filters(self):
        return {"shout": shout, "odd_ones": lambda value: {x for x in value if x % 2}}
"#;

const LOOKUP: &str = r#"
from ansible.plugins.lookup import LookupBase

class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        return ["%s %s" % (kwargs.get("greeting", variables["usual"]), term) for term in terms]
"#;

/// Filters, tests and lookups in Python run on the controller.
#[test]
fn plugins_in_python_are_beside_the_playbook_and_in_roles() {
    let lab = Lab::new(&["a"]);
    lab.write("filter_plugins/shouting.py", FILTERS);
    lab.write(
        "roles/r/test_plugins/shouted.py",
        "class TestModule:\n    def tests(self):\n        return {'shouted': str.isupper}\n",
    );
    lab.write("lookup_plugins/greetings.py", LOOKUP);
    lab.write(
        "roles/r/tasks/main.yml",
        "- assert: {that: [\"'HI' is shouted\", \"'hi' is not shouted\"]}\n",
    );
    let play = r#"
- hosts: a
  gather_facts: false
  vars: {usual: hello}
  roles: [r]
  tasks:
    - assert:
        that:
          - "'hello' | shout == 'HELLO!'"
          - "['a', 'b'] | map('shout', mark='?') | list == ['A?', 'B?']"
          - "[1, 2, 3] | odd_ones == [1, 3]"
          - "['a', 'B'] | select('shouted') | list == ['B']"
          - "query('greetings', 'you') == ['hello you']"
          - "lookup('greetings', 'you', 'me', greeting='bye') == 'bye you,bye me'"
    - debug: {msg: "{{ item }}"}
      with_greetings: [x]
      register: told
    - assert: {that: ["told.results[0].item == 'hello x'"]}
    - debug: {msg: "{{ 5 | shout }}"}
      ignore_errors: true
      register: wrong
    - assert: {that: ["'shout wants text, not 5' in wrong.msg", "'shouting.py:7' in wrong.msg"]}
"#;
    lab.apply(play).expect(Outcome::Done);
}
