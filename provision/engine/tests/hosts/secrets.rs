//! A value that only one host uses is never among the bytes that another one gets.

use proptest::prelude::*;
use provision_engine::event::Outcome;

use crate::lab::Lab;

const HOSTS: [&str; 3] = ["a", "b", "c"];

/// Where a secret comes from. Each defines the variable `valueN` for its owner only.
#[derive(Debug, Clone, Copy)]
enum Source {
    HostVars,
    GroupVars,
    SetFact,
    Registered,
    LookedUp,
    RoleDefaults,
    /// `!vault` in host_vars.
    VaultValue,
    /// A file of host_vars that is encrypted as a whole.
    VaultFile,
}

/// How it reaches the host.
#[derive(Debug, Clone, Copy)]
enum Use {
    Content,
    Template,
    Lazy,
    Line,
    Loop,
    Environment,
    Encoded,
    File,
    PlayVars,
}

#[derive(Debug, Clone)]
struct Secret {
    owner: usize,
    source: Source,
    usage: Use,
    text: String,
}

fn secret() -> impl Strategy<Value = Secret> {
    let source = prop_oneof![
        Just(Source::HostVars),
        Just(Source::GroupVars),
        Just(Source::SetFact),
        Just(Source::Registered),
        Just(Source::LookedUp),
        Just(Source::RoleDefaults),
        Just(Source::VaultValue),
        Just(Source::VaultFile),
    ];
    let usage = prop_oneof![
        Just(Use::Content),
        Just(Use::Template),
        Just(Use::Lazy),
        Just(Use::Line),
        Just(Use::Loop),
        Just(Use::Environment),
        Just(Use::Encoded),
        Just(Use::File),
        Just(Use::PlayVars),
    ];
    (0..HOSTS.len(), source, usage, "[a-z0-9]{24}")
        .prop_map(|(owner, source, usage, text)| Secret { owner, source, usage, text })
}

/// Writes what defines the secrets; the playbook that uses them.
fn project(lab: &Lab, secrets: &[Secret]) -> String {
    let mut variables = vec![String::new(); HOSTS.len()];
    let mut everywhere = String::new();
    let mut play_vars = String::from("    nothing: ''\n");
    let mut tasks = String::new();
    for (number, secret) in secrets.iter().enumerate() {
        let Secret { owner, source, usage, text } = secret;
        let name = format!("value{number}");
        let owner_name = HOSTS[*owner];
        match source {
            Source::HostVars => variables[*owner].push_str(&format!("{name}: {text}\n")),
            Source::GroupVars => {
                lab.write(
                    &format!("group_vars/only_{owner_name}/{name}.yml"),
                    &format!("{name}: {text}\n"),
                );
            }
            Source::SetFact => {
                variables[*owner].push_str(&format!("hidden{number}: {text}\n"));
                tasks.push_str(&format!(
                    "    - set_fact: {{{name}: '{{{{ hidden{number} }}}}'}}\n      \
                     when: inventory_hostname == '{owner_name}'\n"
                ));
            }
            Source::VaultValue => {
                let sealed = lab.seal(text);
                let value = provision_vault::inline(Some(&name), &sealed);
                variables[*owner].push_str(&format!("{value}\n"));
            }
            Source::VaultFile => {
                let sealed = lab.seal(&format!("{name}: {text}\n"));
                lab.write(&format!("group_vars/only_{owner_name}/{name}.yml"), &sealed);
            }
            Source::Registered => {
                variables[*owner].push_str(&format!("hidden{number}: {text}\n"));
                tasks.push_str(&format!(
                    "    - command: echo {{{{ hidden{number} }}}}\n      register: \
                     said{number}\n      when: inventory_hostname == '{owner_name}'\n"
                ));
                everywhere.push_str(&format!("{name}: '{{{{ said{number}.stdout }}}}'\n"));
            }
            Source::LookedUp => {
                lab.write(&format!("files/{name}"), text);
                variables[*owner]
                    .push_str(&format!("{name}: \"{{{{ lookup('file', '{name}') }}}}\"\n"));
            }
            Source::RoleDefaults => {
                lab.write(
                    &format!("roles/of_{name}/defaults/main.yml"),
                    &format!("{name}: {text}\n"),
                );
                lab.write(
                    &format!("roles/of_{name}/tasks/main.yml"),
                    &format!("- set_fact: {{{name}: '{{{{ {name} }}}}'}}\n"),
                );
                tasks.push_str(&format!(
                    "    - include_role: {{name: of_{name}}}\n      \
                     when: inventory_hostname == '{owner_name}'\n"
                ));
            }
        }
        // Other hosts evaluate the same tasks and find nothing.
        let value = format!("{name} | default('-', true)");
        let dest = format!("'{{{{ root }}}}/{number}'");
        tasks.push_str(&match usage {
            Use::Content => {
                format!("    - copy: {{dest: {dest}, content: \"{{{{ {value} }}}}\"}}\n")
            }
            Use::Template => {
                lab.write(&format!("templates/{name}.j2"), &format!("x={{{{ {value} }}}}\n"));
                format!("    - template: {{dest: {dest}, src: {name}.j2}}\n")
            }
            Use::Lazy => {
                everywhere.push_str(&format!(
                    "first{number}: \"{{{{ second{number} }}}}!\"\nsecond{number}: \
                     \"{{{{ {value} }}}}\"\n"
                ));
                format!("    - copy: {{dest: {dest}, content: '{{{{ first{number} }}}}'}}\n")
            }
            Use::Line => format!(
                "    - lineinfile: {{path: {dest}, create: true, line: \"{{{{ {value} }}}}\"}}\n"
            ),
            Use::Loop => format!(
                "    - lineinfile: {{path: {dest}, create: true, line: '{{{{ item }}}}'}}\n      \
                 loop: [one, \"{{{{ {value} }}}}\"]\n"
            ),
            Use::Environment => format!(
                "    - shell: echo $SECRET >{{{{ root }}}}/{number}\n      environment: {{SECRET: \
                 \"{{{{ {value} }}}}\"}}\n"
            ),
            Use::Encoded => format!(
                "    - copy: {{dest: {dest}, content: \"{{{{ ({value}) | b64encode }}}}\"}}\n"
            ),
            Use::File => {
                lab.write(&format!("files/of-{name}"), text);
                format!(
                    "    - copy: {{dest: {dest}, src: of-{name}}}\n      \
                     when: inventory_hostname == '{owner_name}'\n"
                )
            }
            Use::PlayVars => {
                play_vars.push_str(&format!("    used{number}: \"{{{{ {value} }}}}\"\n"));
                format!(
                    "    - copy: {{dest: {dest}, content: 'x'}}\n      \
                     when: used{number} != 'x'\n    \
                     - debug: {{msg: 'own {{{{ used{number} }}}}'}}\n    \
                     - copy: {{dest: {dest}, content: '{{{{ used{number} }}}}'}}\n      \
                     when: inventory_hostname == '{owner_name}'\n"
                )
            }
        });
    }
    for (host, text) in HOSTS.iter().zip(&variables) {
        lab.inventory(&format!("[only_{host}]\n{host}"));
        lab.write(&format!("host_vars/{host}.yml"), &format!("---\nunused: 1\n{text}"));
    }
    lab.write("group_vars/all.yml", &format!("---\nunused: 1\n{everywhere}"));
    format!("- hosts: all\n  gather_facts: false\n  vars:\n{play_vars}  tasks:\n{tasks}")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn secrets_reach_their_owner_only(secrets in proptest::collection::vec(secret(), 1..8)) {
        let lab = Lab::new(&HOSTS);
        let playbook = project(&lab, &secrets);
        let ran = lab.apply(&playbook);
        prop_assert_eq!(ran.summary.outcome, Outcome::Done, "{}\n{}", playbook, ran.story());
        for secret in &secrets {
            for (number, host) in HOSTS.iter().enumerate() {
                let sent = lab.host(host).was_sent(&secret.text);
                prop_assert_eq!(
                    sent, number == secret.owner, "{} {:?}\n{}", host, secret, playbook
                );
            }
        }
    }
}
