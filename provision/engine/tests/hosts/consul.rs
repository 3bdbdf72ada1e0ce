//! Text from Consul is data, whatever a play does with it.

use provision_engine::event::Outcome;
use serde_json::json;

use crate::fake::{Fake, Reply};
use crate::lab::Lab;

/// Stands in a file of the controller that no playbook reads.
const CANARY: &str = "canary-that-must-never-leave-the-controller";

const MAPPING: &str = "\
variables: {rack: meta.rack, ansible_user: meta.user, all_meta: meta, ansible_host: address}
groups: {web: {require: {names: a}}}
kv: {prefix: provision}
";

/// The uses of values that could take them for templates.
const USES: &str = r#"
- hosts: web
  gather_facts: false
  vars:
    through: "{{ rack }}"
  tasks:
    - copy: {dest: "{{ root }}/plain", content: "{{ rack }}"}
    - copy: {dest: "{{ root }}/lazy", content: "{{ through }}"}
    - copy: {dest: "{{ root }}/meta", content: "{{ all_meta.rack }}"}
    - copy: {dest: "{{ root }}/hostvars", content: "{{ hostvars.a.rack }}"}
    - copy: {dest: "{{ root }}/vars", content: "{{ lookup('vars', 'rack') }}"}
    - copy: {dest: "{{ root }}/group", content: "{{ of_group }}"}
    - copy: {dest: "{{ root }}/list", content: "{{ list_of_group[0] }}"}
    - copy: {dest: "{{ root }}/item", content: "{{ item }}"}
      loop: "{{ list_of_group }}"
    - set_fact: {kept: "{{ rack }}"}
    - copy: {dest: "{{ root }}/fact", content: "{{ kept }}"}
    - debug: {var: rack}
    - assert: {that: ["rack != ''", "through == rack"]}
    - command: 'true'
      when: rack
      ignore_errors: true
"#;

#[test]
fn text_from_consul_is_never_evaluated() {
    let lab = Lab::new(&["a"]);
    let canary = lab.write("canary", CANARY);
    let evil = format!("{{{{ lookup('file', '{}') }}}} {{% if 1 %}}", canary.display());
    let meta = json!({"rack": evil, "user": "mallory"});
    let node = json!([{"Node": "a", "Address": "203.0.113.9", "Datacenter": "dc1", "Meta": meta}]);
    let check = json!([{"Node": "a", "CheckID": "serfHealth", "Status": "passing"}]);
    let variables = format!("{}\n", json!({"of_group": evil, "list_of_group": [evil]}));
    let keys = json!([{"Key": "provision/group_vars/web", "Value": base64(&variables)}]);
    let consul = Fake::new(move |target| match target {
        "/v1/catalog/nodes" => Reply::ok(node.to_string()),
        "/v1/health/state/any" => Reply::ok(check.to_string()),
        _ => Reply::ok(keys.to_string()),
    });
    let mapping = format!("plugin: consul\naddresses: {}\n{MAPPING}", consul.url());
    lab.write("inventory/zz-consul.yml", &mapping);
    let ran = lab.apply(USES).expect(Outcome::Done);
    let root = lab.host("a").root();
    for name in ["plain", "lazy", "meta", "hostvars", "vars", "group", "list", "item", "fact"] {
        let text = std::fs::read_to_string(root.join(name)).unwrap();
        assert_eq!(text, evil, "{name}");
    }
    assert!(!ran.story().contains(CANARY));
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
