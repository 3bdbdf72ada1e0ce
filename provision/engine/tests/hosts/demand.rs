//! Plays on demand: one run, chosen hosts, sessions that stay open, a second chance.

use provision_engine::event::Outcome;
use provision_engine::run::{HostEnd, LeftHandlers};

use crate::lab::Lab;

/// Play 0 notifies and fails; play 1 looks; play 2 is about the handler.
const LEFT: &str = "\
- hosts: all
  gather_facts: false
  tasks:
    - copy: {content: x, dest: '{{ root }}/file'}
      notify: restart
    - fail: {msg: broken}
  handlers: &handlers
    - name: restart
      copy: {content: y, dest: '{{ root }}/restarted'}
- hosts: all
  gather_facts: false
  tasks:
    - stat: {path: '{{ root }}/file'}
  handlers: *handlers
- hosts: all
  gather_facts: false
  tasks:
    - stat: {path: '{{ root }}/file'}
  handlers: *handlers
";

#[test]
fn a_play_that_only_looks_leaves_handlers_that_are_due() {
    let lab = Lab::new(&["a", "b"]);
    let both: &[&str] = &["a", "b"];
    let (ends, _) = lab.demand(LEFT, &[(0, both, LeftHandlers::Run)]);
    assert!(ends[0].values().all(|end| *end == HostEnd::Failed), "{ends:?}");

    let restarted = |host: &str| lab.host(host).root().join("restarted").exists();
    let (_, ran) =
        lab.demand(LEFT, &[(1, both, LeftHandlers::Leave), (2, &["a"], LeftHandlers::Run)]);
    assert!(restarted("a"), "{}", ran.story());
    assert!(!restarted("b"), "{}", ran.story());
    // It is still due there.
    let (_, ran) = lab.demand(LEFT, &[(2, &["b"], LeftHandlers::Run)]);
    assert!(restarted("b"), "{}", ran.story());
}

#[test]
fn a_host_that_failed_gets_another_chance_with_other_variables() {
    let lab = Lab::new(&["a", "b"]);
    let playbook = "\
- hosts: all
  gather_facts: false
  vars: {given: by the play}
  tasks:
    - fail: {msg: '{{ given }}'}
      when: given == 'to a b'
    - copy: {content: '{{ given }}', dest: '{{ root }}/given'}
";
    let (ends, ran) = lab
        .demand(playbook, &[(0, &["a", "b"], LeftHandlers::Run), (0, &["b"], LeftHandlers::Run)]);
    assert_eq!(ends[0]["a"], HostEnd::Failed, "{}", ran.story());
    assert_eq!(ends[1].len(), 1, "{ends:?}");
    assert_eq!(ends[1]["b"], HostEnd::Done, "{}", ran.story());
    let given = lab.host("b").root().join("given");
    assert_eq!(std::fs::read_to_string(given).unwrap(), "to b");
    assert_eq!(ran.summary.outcome, Outcome::Failed, "a is left as it is");
}
