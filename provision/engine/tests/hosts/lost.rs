//! Connections break at any point: once, and nobody can tell; twice, and the host is out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use provision_engine::event::Outcome;

use crate::lab::{Lab, Ran};
use crate::relay::{Act, Side};

/// Each command leaves a line, so that one that ran twice or never shows.
const PLAYBOOK: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - shell: echo 1 >>{{ root }}/log
    - copy: {dest: '{{ root }}/one', content: one}
      notify: handle
    - file: {path: '{{ root }}/two', state: directory}
    - copy: {src: large, dest: '{{ root }}/large'}
    - block:
        - lineinfile: {path: '{{ root }}/lines', line: tried, create: true}
        - file: {path: '{{ root }}/nowhere/x', state: touch}
        - lineinfile: {path: '{{ root }}/lines', line: never}
        - file: {path: '{{ root }}/never', state: directory}
        - file: {path: '{{ root }}/never/ever', state: directory}
      rescue:
        - shell: echo 2 >>{{ root }}/log
    - file: {path: '{{ root }}/nowhere/x', state: touch}
      ignore_errors: true
    - copy: {dest: '{{ root }}/{{ item }}', content: '{{ item }}'}
      loop: [three, four]
      register: copied
    - shell: echo {{ copied.results | length }} >>{{ root }}/log
  handlers:
    - name: handle
      shell: echo handled >>{{ root }}/log
";

fn lab() -> Lab {
    let lab = Lab::new(&["a", "b"]);
    lab.write("files/large", &"more than goes along\n".repeat(20_000));
    lab
}

/// Cuts the connection of `a` when the `first`th frame in one direction is to pass, and then
/// again after `more` frames in the same direction.
fn cut(lab: &Lab, side: Side, first: usize, more: Option<usize>) -> Arc<AtomicUsize> {
    let cuts = Arc::new(AtomicUsize::new(0));
    let counted = cuts.clone();
    let mut left = Some(first);
    let mut more = more;
    lab.host("a").set_mischief(move |at, _| {
        if at != side {
            return vec![Act::Pass];
        }
        match left {
            Some(0) => {
                counted.fetch_add(1, Ordering::SeqCst);
                left = more.take();
                vec![Act::Cut]
            }
            Some(count) => {
                left = Some(count - 1);
                vec![Act::Pass]
            }
            None => vec![Act::Pass],
        }
    });
    cuts
}

/// Frames of `a` in a direction from the greeting to the goodbye, both left out: whoever can't
/// even greet is unreachable, and who has said goodbye isn't called again.
fn frames(side: Side) -> usize {
    let lab = lab();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    lab.host("a").set_mischief(move |at, _| {
        counted.fetch_add(usize::from(at == side), Ordering::SeqCst);
        vec![Act::Pass]
    });
    lab.apply(PLAYBOOK).expect(Outcome::Done);
    let count = count.load(Ordering::SeqCst);
    if side == Side::ToHost { count - 1 } else { count }
}

fn whole() -> (Lab, Ran) {
    let lab = lab();
    let ran = lab.apply(PLAYBOOK).expect(Outcome::Done);
    assert_eq!(lab.host("a").text("log"), "1\n2\n2\nhandled\n");
    (lab, ran)
}

#[test]
fn one_loss_at_every_frame_goes_unnoticed() {
    let (wanted, uncut) = whole();
    for side in [Side::ToHost, Side::ToController] {
        for first in 1..frames(side) {
            let lab = lab();
            let cuts = cut(&lab, side, first, None);
            let ran = lab.apply(PLAYBOOK).expect(Outcome::Done);
            let place = format!("{side:?} {first}\n{}", ran.story());
            assert_eq!(cuts.load(Ordering::SeqCst), 1, "{place}");
            assert_eq!(ran.recaps(), uncut.recaps(), "{place}");
            for host in ["a", "b"] {
                assert_eq!(lab.host(host).tree(), wanted.host(host).tree(), "{host} {place}");
            }
            let again = lab.warnings_of_an_empty_play();
            assert!(again.is_empty(), "{again:?} {place}");
        }
    }
}

#[test]
fn a_second_loss_makes_the_host_unreachable_and_the_others_converge() {
    let (wanted, uncut) = whole();
    for side in [Side::ToHost, Side::ToController] {
        let last = frames(side);
        for first in (1..last).step_by(3) {
            for more in [1, 4] {
                let lab = lab();
                let cuts = cut(&lab, side, first, Some(more));
                let ran = lab.apply(PLAYBOOK);
                let place = format!("{side:?} {first} {more}\n{}", ran.story());
                // Near the end there is no second loss any more.
                let twice = cuts.load(Ordering::SeqCst) == 2;
                let outcome = if twice { Outcome::Unreachable } else { Outcome::Done };
                assert_eq!(ran.summary.outcome, outcome, "{place}");
                assert_eq!(ran.recap("a").unreachable, u64::from(twice), "{place}");
                assert_eq!(ran.recap("b"), uncut.recap("b"), "{place}");
                assert_eq!(lab.host("b").tree(), wanted.host("b").tree(), "{place}");
            }
        }
    }
}

/// Each task tries anew, and one that doesn't ignore it ends the play for the host.
#[test]
fn a_host_that_cannot_be_reached_is_tried_by_each_task_that_ignores_it() {
    let playbook = "
- hosts: all
  gather_facts: false
  ignore_unreachable: true
  tasks:
    - copy: {dest: '{{ root }}/one', content: one}
      register: tried
    - copy: {dest: '{{ root }}/two', content: '{{ tried is unreachable }} {{ tried is failed }}'}
    - debug: {msg: here}
    - copy: {dest: '{{ root }}/three', content: '{{ tried is unreachable }}'}
      ignore_unreachable: LAST
";
    for last in [true, false] {
        let lab = Lab::new(&["a", "b"]);
        lab.host("a").cut_off(true);
        let ran = lab.apply(&playbook.replace("LAST", &last.to_string()));
        let ran = ran.expect(if last { Outcome::Done } else { Outcome::Unreachable });
        let (a, b) = (ran.recap("a"), ran.recap("b"));
        assert_eq!(
            (a.ignored, a.ok),
            (2 + u64::from(last), 3 + u64::from(last)),
            "{}",
            ran.story()
        );
        assert_eq!((a.unreachable, a.failed), (u64::from(!last), 0), "{}", ran.story());
        assert_eq!((b.ok, b.ignored), (4, 0), "{}", ran.story());
        assert_eq!(lab.host("b").text("two"), "False False");
    }
}
