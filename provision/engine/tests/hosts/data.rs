//! Text from hosts is data: never a template, never the way to a host.

use provision_engine::channel::Endpoint;
use provision_engine::event::Outcome;
use provision_protocol::{Become, Frame, FromHost, ToHost};
use serde_json::json;

use crate::lab::Lab;
use crate::machine::{Machine, contains};
use crate::relay::{Act, Side};

/// Stands in a file of the controller that no playbook reads.
const CANARY: &str = "canary-that-must-never-leave-the-controller";

/// Each result of a host is changed by `change`, as a host that was taken over may do.
fn lie(machine: &Machine, change: impl Fn(&mut provision_protocol::Object) + Send + 'static) {
    machine.set_mischief(move |side, frame| {
        if side == Side::ToController
            && let Frame::Message(payload) = frame
            && let Ok(FromHost::Result(mut result)) = Frame::parse(payload)
        {
            change(&mut result.result);
            return vec![Act::Tell(FromHost::Result(result))];
        }
        vec![Act::Pass]
    });
}

/// Everything that is ever done with a value, each time with a value from the host.
const USES: &str = r#"
- hosts: a
  gather_facts: false
  vars:
    through: "{{ out.stdout }}"
    twice: "{{ through }}"
  tasks:
    - command: 'true'
      register: out
    - copy: {dest: "{{ root }}/plain", content: "{{ out.stdout }}"}
    - copy: {dest: "{{ root }}/lazy", content: "{{ twice }}"}
    - set_fact: {kept: "{{ out.stdout }}", list: ["{{ out.stdout }}"]}
    - copy: {dest: "{{ root }}/fact", content: "{{ kept }}"}
    - copy: {dest: "{{ root }}/list", content: "{{ list[0] }}"}
    - copy: {dest: "{{ root }}/gathered", content: "{{ ansible_facts.evil }}"}
    - copy: {dest: "{{ root }}/injected", content: "{{ evil }}"}
    - copy: {dest: "{{ root }}/hostvars", content: "{{ hostvars.a.out.stdout }}"}
    - copy: {dest: "{{ root }}/vars", content: "{{ lookup('vars', 'kept') }}"}
    - copy: {dest: "{{ root }}/filtered", content: "{{ [out.stdout] | map('string') | join }}"}
    - copy: {dest: "{{ root }}/item", content: "{{ item }}"}
      loop: "{{ out.stdout_lines }}"
    - template: {dest: "{{ root }}/template", src: all.j2}
    - copy: {dest: "{{ root }}/environment", content: "x"}
      environment: {EVIL: "{{ out.stdout }}"}
    - debug: {msg: "{{ out.stdout }}"}
    - debug: {var: out}
    - debug: {var: twice}
    - assert: {that: ["out.stdout != ''", "twice == out.stdout"], success_msg: "{{ kept }}"}
    - command: 'true'
      when: out.stdout
      changed_when: out.stdout == kept
      failed_when: out.stdout != twice
    - command: 'true'
      when: kept
      ignore_errors: true
    - debug: {msg: x}
      when: "'x' in out.stdout or out.stdout is search(out.stdout | regex_escape)"
    - include_tasks: {file: "{{ out.stdout }}"}
      ignore_errors: true
    - command: 'true'
      delegate_to: "{{ out.stdout }}"
      ignore_errors: true
    - name: "named {{ out.stdout }}"
      command: 'true'
      vars: {inner: "{{ out.stdout }}"}
      when: inner is defined
"#;

#[test]
fn text_from_hosts_is_never_evaluated() {
    let lab = Lab::new(&["a"]);
    let canary = lab.write("canary", CANARY).display().to_string();
    lab.write("templates/all.j2", "{{ out.stdout }}");
    for evil in [
        format!("{{{{ lookup('file', '{canary}') }}}}"),
        format!("{{% set x = lookup('file', '{canary}') %}}{{{{ x }}}}"),
        format!("lookup('file', '{canary}') == 'x'"),
        format!("x' ~ lookup('file', '{canary}') ~ 'x"),
    ] {
        let text = evil.clone();
        lie(lab.host("a"), move |result| {
            result.insert("stdout".into(), text.as_str().into());
            result.insert("stdout_lines".into(), json!([text]));
            result.insert("ansible_facts".into(), json!({ "evil": text }));
        });
        let ran = lab.apply(USES);
        let a = lab.host("a");
        let names = [
            "plain", "lazy", "fact", "list", "gathered", "injected", "hostvars", "vars",
            "filtered", "item", "template",
        ];
        for name in names {
            assert_eq!(a.text(name), evil, "{name} {}", ran.story());
        }
        for machine in [a, lab.host("localhost")] {
            assert!(!contains(&machine.seen().bytes, CANARY.as_bytes()), "{evil}");
        }
        assert!(!format!("{:?}", ran.events).contains(CANARY), "{}", ran.story());
    }
}

/// The example must be able to fail: the user's own text is evaluated.
#[test]
fn text_of_the_user_is_evaluated() {
    let lab = Lab::new(&["a"]);
    let canary = lab.write("canary", CANARY).display().to_string();
    lab.apply(&format!(
        "
- hosts: a
  gather_facts: false
  tasks:
    - copy: {{dest: '{{{{ root }}}}/plain', content: \"{{{{ lookup('file', '{canary}') }}}}\"}}
"
    ))
    .expect(Outcome::Done);
    assert_eq!(lab.host("a").text("plain"), CANARY);
}

/// Facts that would lead the controller elsewhere if they were taken for variables.
fn steering(result: &mut provision_protocol::Object) {
    result.insert(
        "ansible_facts".into(),
        json!({
            "ansible_connection": "local",
            "ansible_host": "evil",
            "ansible_ssh_host": "evil",
            "ansible_port": 1,
            "ansible_ssh_port": 1,
            "ansible_user": "evil",
            "ansible_ssh_user": "evil",
            "ansible_password": "evil",
            "ansible_ssh_pass": "evil",
            "ansible_private_key_file": "/evil",
            "ansible_ssh_private_key_file": "/evil",
            "ansible_ssh_common_args": "-o UserKnownHostsFile=/evil",
            "ansible_ssh_extra_args": "-J evil",
            "ansible_host_key_checking": false,
            "ansible_ssh_host_key_checking": false,
            "ansible_become": true,
            "ansible_become_user": "evil",
            "ansible_become_method": "su",
            "ansible_become_flags": "evil",
            "ansible_become_password": "evil",
            "ansible_become_pass": "evil",
            "ansible_sudo_pass": "evil",
            "ansible_check_mode": true,
            "ansible_async_dir": "/evil",
            "inventory_hostname": "evil",
            "hostvars": {},
            "groups": {},
            "playbook_dir": "/evil",
            "evil": "arrived",
        }),
    );
}

/// The first play has `a` speak for itself and, since it is the delegate, for `b`.
const STEERED: &str = "
- hosts: a
  gather_facts: false
  tasks:
    - command: 'true'
    - command: 'true'
      register: more
- hosts: b
  gather_facts: false
  tasks:
    - command: 'true'
      delegate_to: a
- hosts: a:b
  gather_facts: false
  tasks:
    - copy: {dest: '{{ root }}/seen', content: '{{ ansible_facts.evil }} {{ inventory_hostname }}'}
    - command: 'true'
    - command: 'true'
      become: true
      become_user: nobody
      ignore_errors: true
";

#[test]
fn facts_do_not_steer_connections() {
    let lab = Lab::new(&["a", "b", "evil"]);
    lab.inventory("[all:vars]\nansible_user=deploy\nansible_become_password=right\n");
    lie(lab.host("a"), steering);
    lie(lab.host("b"), steering);
    let ran = lab.apply(STEERED).expect(Outcome::Done);
    for name in ["a", "b"] {
        let host = lab.host(name);
        // The facts as such are there.
        assert_eq!(host.text("seen"), format!("arrived {name}"), "{}", ran.story());
        let seen = host.seen();
        let [Endpoint::Ssh { destination, options, .. }] = seen.endpoints.as_slice() else {
            panic!("{:?}", seen.endpoints)
        };
        assert_eq!(destination.user.as_deref(), Some("deploy"));
        assert_eq!((destination.host.as_str(), destination.port), (name, None));
        assert!(options.identity_files.is_empty() && options.known_hosts_files.is_empty());
        assert!(options.host_key_policy.is_none() && options.jump.is_none());
        drop(seen);
        let nobody = Become { user: "nobody".into(), method: "sudo".into(), flags: Vec::new() };
        let identities: Vec<Option<Become>> =
            host.calls().into_iter().map(|call| call.r#become).collect();
        let (last, others) = identities.split_last().unwrap();
        assert_eq!(last.as_ref(), Some(&nobody));
        assert!(others.iter().all(Option::is_none), "{identities:?}");
        assert!(host.calls().iter().all(|call| !call.check));
    }
    for name in ["evil", "localhost"] {
        assert!(lab.host(name).seen().endpoints.is_empty(), "{name} {}", ran.story());
    }
}

#[test]
fn facts_do_not_change_the_password_and_it_is_given_once() {
    let lab = Lab::new(&["a"]);
    lab.inventory("[all:vars]\nansible_become_password=right\n");
    let mut asked = false;
    lab.host("a").set_mischief(move |side, frame| {
        let Frame::Message(payload) = frame else { return vec![Act::Pass] };
        match (side, Frame::parse(payload)) {
            (Side::ToController, Ok(FromHost::Result(mut result))) => {
                steering(&mut result.result);
                let mut acts = vec![Act::Tell(FromHost::Result(result))];
                if !asked {
                    asked = true;
                    for (request, again) in [(1, false), (2, true)] {
                        let user = "root".to_owned();
                        acts.push(Act::Tell(FromHost::NeedPassword { request, user, again }));
                    }
                }
                acts
            }
            // Not for the real helper, which has not asked.
            (Side::ToHost, _) if contains(payload, b"\"password\"") => Vec::new(),
            _ => vec![Act::Pass],
        }
    });
    lab.apply(STEERED.split("- hosts: b").next().unwrap()).expect(Outcome::Done);
    let answers: Vec<(u64, Option<String>)> = lab
        .host("a")
        .messages()
        .into_iter()
        .filter_map(|message| match message {
            ToHost::Password { request, password } => Some((request, password)),
            _ => None,
        })
        .collect();
    assert_eq!(answers, [(1, Some("right".to_owned())), (2, None)]);
}
