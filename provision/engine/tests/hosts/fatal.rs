//! What a failure of one host means for the others.

use provision_engine::event::Outcome;

use crate::lab::Lab;

const FORCED: &str = "
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  force_handlers: true
  tasks:
    - block:
        - block:
            - fail:
              when: inventory_hostname == 'a'
          rescue:
            - fail:
        - copy: {dest: '{{ root }}/never', content: x}
";

#[test]
fn forced_handlers_do_not_keep_a_fatal_failure_from_the_others() {
    let lab = Lab::new(&["a", "b"]);
    let ran = lab.apply(FORCED).expect(Outcome::StoppedByLimit);
    assert_eq!((ran.recap("a").failed, ran.recap("a").rescued), (1, 1), "{}", ran.story());
    assert_eq!(ran.recap("b").ok, 0, "{}", ran.story());
    for host in ["a", "b"] {
        assert_eq!(lab.host(host).tree(), std::collections::BTreeMap::new(), "{}", ran.story());
    }
}

#[test]
fn a_rescue_takes_a_fatal_failure_on_all_hosts() {
    let lab = Lab::new(&["a", "b"]);
    let ran = lab
        .apply(
            "
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - block:
        - fail:
          when: inventory_hostname == 'a'
        - copy: {dest: '{{ root }}/never', content: x}
      rescue:
        - copy: {dest: '{{ root }}/rescued', content: x}
      always:
        - copy: {dest: '{{ root }}/always', content: x}
    - copy: {dest: '{{ root }}/on', content: x}
",
        )
        .expect(Outcome::Done);
    for host in ["a", "b"] {
        let tree = lab.host(host).tree();
        let has = |name: &str| tree.contains_key(std::path::Path::new(name));
        let found = ["never", "rescued", "always", "on"].map(has);
        assert_eq!(found, [false, true, true, true], "{host}: {}", ran.story());
    }
}

#[test]
fn an_always_runs_on_all_hosts_and_nothing_after_it() {
    let lab = Lab::new(&["a", "b"]);
    let ran = lab.apply(
        "
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - block:
        - fail:
          when: inventory_hostname == 'a'
      always:
        - copy: {dest: '{{ root }}/{{ ansible_failed_task.name | default(\"none\") }}', content: x}
    - copy: {dest: '{{ root }}/never', content: x}
- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: '{{ root }}/later', content: x}
",
    );
    let ran = ran.expect(Outcome::StoppedByLimit);
    for (host, wanted) in [("a", "fail"), ("b", "none")] {
        let tree = lab.host(host).tree();
        let has = |name: &str| tree.contains_key(std::path::Path::new(name));
        let found = [wanted, "never", "later"].map(has);
        assert_eq!(found, [true, false, false], "{host}: {}", ran.story());
    }
}

#[test]
fn cleared_errors_bring_lost_hosts_back() {
    let lab = Lab::new(&["a", "b"]);
    let ran = lab.apply(
        "
- hosts: all
  gather_facts: false
  tasks:
    - fail:
      when: inventory_hostname == 'a'
    - meta: clear_host_errors
- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: '{{ root }}/{{ ansible_play_hosts | length }}', content: x}
",
    );
    for host in ["a", "b"] {
        let tree = lab.host(host).tree();
        assert!(tree.contains_key(std::path::Path::new("2")), "{host}: {}", ran.story());
    }
}

#[test]
fn lost_hosts_are_hosts_of_later_plays_that_take_no_part() {
    let lab = Lab::new(&["a", "b"]);
    let ran = lab.apply(
        "
- hosts: all
  gather_facts: false
  tasks:
    - fail:
      when: inventory_hostname == 'a'
- hosts: all
  gather_facts: false
  tasks:
    - copy:
        dest: '{{ root }}/{{ ansible_play_hosts_all | length }}{{ ansible_play_hosts | length }}'
        content: x
",
    );
    assert!(lab.host("b").tree().contains_key(std::path::Path::new("21")), "{}", ran.story());
}

#[test]
fn an_omitted_keyword_is_that_of_the_play() {
    let lab = Lab::new(&["a"]);
    let ran = lab
        .apply(
            "
- hosts: all
  gather_facts: false
  ignore_errors: true
  tasks:
    - fail:
      ignore_errors: '{{ omit }}'
    - copy: {dest: '{{ root }}/on', content: x}
",
        )
        .expect(Outcome::Done);
    assert_eq!((ran.recap("a").ok, ran.recap("a").failed), (2, 0), "{}", ran.story());
}
