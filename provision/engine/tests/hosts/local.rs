//! Hosts that are this machine share one session.

use provision_engine::event::Outcome;

use crate::lab::Lab;

#[test]
fn a_failure_of_one_host_does_not_drop_what_others_sent() {
    let lab = Lab::new(&[]);
    let root = lab.host("localhost").root().display().to_string();
    lab.inventory(&format!(
        "[here]\na\nb\nc\n[here:vars]\nansible_connection=local\nroot={root}\n"
    ));
    let ran = lab
        .apply(
            "
- hosts: here
  gather_facts: false
  tasks:
    - file: {path: '{{ root }}/{{ inventory_hostname }}', state: directory}
    - file: {path: '{{ root if inventory_hostname != \"a\" else \"/nonexistent\" }}/x', state: touch}
    - file: {path: '{{ root }}/{{ inventory_hostname }}/1', state: touch}
    - file: {path: '{{ root }}/{{ inventory_hostname }}/2', state: touch}
",
        )
        .expect(Outcome::Failed);
    assert_eq!((ran.recap("a").ok, ran.recap("a").failed), (1, 1));
    for host in ["b", "c"] {
        assert_eq!((ran.recap(host).ok, ran.recap(host).failed), (4, 0), "{}", ran.story());
    }
    let tree = lab.host("localhost").tree();
    for (path, there) in [("a/1", false), ("b/1", true), ("b/2", true), ("c/2", true)] {
        assert_eq!(tree.contains_key(std::path::Path::new(path)), there, "{path}");
    }
}

/// `connection: local` has another session than the host; a failure there ends only its own host.
#[test]
fn a_failure_on_the_controller_ends_its_own_host_only() {
    let lab = Lab::new(&["a", "b"]);
    let ran = lab
        .apply(
            "
- hosts: all
  gather_facts: false
  tasks:
    - file: {path: '{{ root if inventory_hostname == \"a\" else \"/nonexistent\" }}/x', state: touch}
      connection: local
    - file: {path: '{{ root }}/1', state: touch}
      connection: local
    - file: {path: '{{ root }}/2', state: touch}
",
        )
        .expect(Outcome::Failed);
    assert_eq!((ran.recap("a").ok, ran.recap("b").failed), (3, 1), "{}", ran.story());
    assert_eq!(lab.host("b").tree(), std::collections::BTreeMap::new(), "{}", ran.story());
}
