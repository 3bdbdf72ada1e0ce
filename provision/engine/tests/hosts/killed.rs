//! The controller dies at any point of an apply; the next apply brings the same state, and every
//! notified handler has run after the change that notified it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use provision_engine::event::Outcome;

use crate::lab::Lab;
use crate::relay::{Act, Side};

/// Services load their configuration when a handler restarts them: what is loaded shows whether
/// it ran after the last change.
const PLAYBOOK: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - file: {path: '{{ root }}/etc', state: directory}
    - copy: {dest: '{{ root }}/etc/first', content: 'first of {{ inventory_hostname }}'}
      notify: restart first
    - block:
        - copy: {dest: '{{ root }}/etc/tried', content: tried}
          notify: topic
        - file: {path: '{{ root }}/nowhere/x', state: touch}
        - copy: {dest: '{{ root }}/etc/never', content: never}
      rescue:
        - copy: {src: large, dest: '{{ root }}/etc/rescued'}
          notify: [restart second]
      always:
        - lineinfile: {path: '{{ root }}/etc/always', line: always, create: true}
    - meta: flush_handlers
    - template: {src: third.j2, dest: '{{ root }}/etc/third'}
      register: third
      notify: [restart third, topic]
    - copy: {dest: '{{ root }}/etc/first', content: 'first again'}
      notify: restart first
      when: third is defined
  handlers:
    - name: restart first
      shell: cat {{ root }}/etc/first >{{ root }}/first.loaded
    - name: restart second
      copy: {src: '{{ root }}/etc/rescued', dest: '{{ root }}/second.loaded', remote_src: true}
      notify: chained
    - name: restart third
      copy: {src: '{{ root }}/etc/{{ item }}', dest: '{{ root }}/{{ item }}.loaded',
             remote_src: true}
      loop: [third, always]
    - name: listens
      listen: topic
      file: {path: '{{ root }}/listened', state: directory}
    - name: chained
      file: {path: '{{ root }}/chained', state: directory}
";

fn lab() -> Lab {
    let lab = Lab::new(&["a", "b"]);
    lab.write("files/large", &"more than goes along\n".repeat(4_000));
    lab.write(
        "templates/third.j2",
        "third of {{ inventory_hostname }} in {{ ansible_play_hosts }}",
    );
    lab
}

/// Frames of `a` in one direction during an uncut run.
fn frames(side: Side) -> usize {
    let lab = lab();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    lab.host("a").set_mischief(move |at, _| {
        counted.fetch_add(usize::from(at == side), Ordering::SeqCst);
        vec![Act::Pass]
    });
    lab.apply(PLAYBOOK).expect(Outcome::Done);
    count.load(Ordering::SeqCst)
}

/// Kills the controller when this many frames have passed in this direction.
fn kill_after(lab: &Lab, side: Side, passed: usize) {
    let mut seen = 0;
    lab.host("a").set_mischief(move |at, _| {
        if at != side {
            return vec![Act::Pass];
        }
        seen += 1;
        if seen > passed { vec![Act::Kill] } else { vec![Act::Pass] }
    });
}

#[test]
fn killed_at_every_frame() {
    let whole = lab();
    let ran = whole.apply(PLAYBOOK).expect(Outcome::Done);
    assert_eq!(ran.recap("a").rescued, 1);
    let mut kills = 0;
    for side in [Side::ToHost, Side::ToController] {
        let count = frames(side);
        assert!(count > 15, "{count}");
        for passed in 0..count {
            let lab = lab();
            kill_after(&lab, side, passed);
            kills += usize::from(lab.try_apply(PLAYBOOK, None).is_none());
            lab.host("a").behave();
            let ran = lab.apply(PLAYBOOK).expect(Outcome::Done);
            for host in ["a", "b"] {
                let (found, wanted) = (lab.host(host).tree(), whole.host(host).tree());
                assert_eq!(found, wanted, "{side:?} {passed} {host}\n{}", ran.story());
            }
            let left = lab.warnings_of_an_empty_play();
            assert!(left.is_empty(), "{side:?} {passed} {left:?}\n{}", ran.story());
        }
    }
    // What a host says may be one frame less when it is not asked for a content.
    assert!(kills > 30, "{kills}");
}
