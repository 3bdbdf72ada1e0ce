//! A host gets the contents that its own running calls name, and no others.

use provision_engine::event::Outcome;
use provision_protocol::{Frame, FromHost, ToHost};
use sha2::{Digest, Sha256};

use crate::lab::{Lab, Ran};
use crate::machine::{Machine, contains};
use crate::relay::{Act, Side};

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// While the call of this number runs, the host asks for these contents under these call numbers.
fn ask(machine: &Machine, during: u64, wanted: Vec<(u64, String)>) {
    machine.set_mischief(move |side, frame| {
        let mut acts = vec![Act::Pass];
        if side == Side::ToController
            && let Frame::Message(payload) = frame
            && let Ok(FromHost::Started { id }) = Frame::parse(payload)
            && id == during
        {
            acts.extend(wanted.iter().map(|(id, sha256)| {
                Act::Tell(FromHost::NeedContent { id: *id, sha256: sha256.clone() })
            }));
        }
        acts
    });
}

fn refusals(machine: &Machine) -> Vec<(u64, String)> {
    machine
        .messages()
        .into_iter()
        .filter_map(|message| match message {
            ToHost::ContentRefused { id, sha256, .. } => Some((id, sha256)),
            _ => None,
        })
        .collect()
}

/// Both sizes: what goes along with its call, and what is only sent when it is asked for.
fn project() -> (Lab, Vec<Vec<u8>>) {
    let lab = Lab::new(&["a", "b"]);
    let small = b"a small secret of host a".to_vec();
    let large = "a large secret of host a\n".repeat(8_000).into_bytes();
    lab.write("files/small", std::str::from_utf8(&small).unwrap());
    lab.write("files/large", std::str::from_utf8(&large).unwrap());
    (lab, vec![small, large])
}

const PLAYBOOK: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - copy: {src: small, dest: '{{ root }}/small'}
      when: inventory_hostname == 'a'
    - copy: {src: large, dest: '{{ root }}/large'}
      when: inventory_hostname == 'a'
    - copy: {content: 'first of b', dest: '{{ root }}/b'}
      when: inventory_hostname == 'b'
    - copy: {content: 'second of b', dest: '{{ root }}/b2'}
      when: inventory_hostname == 'b'
";

fn assert_warned(ran: &Ran, times: usize) {
    let warned =
        ran.warnings().iter().filter(|text| text.starts_with("b: refused a request")).count();
    assert_eq!(warned, times, "{}", ran.story());
}

#[test]
fn contents_of_other_hosts_and_of_nobody_are_refused() {
    let (lab, secrets) = project();
    let mut wanted: Vec<(u64, String)> = vec![(1, "ab".repeat(32)), (1, "nonsense".to_owned())];
    // Under the number of its own running call, of its next one, and of one that there isn't.
    for id in [1, 2, 7] {
        wanted.extend(secrets.iter().map(|secret| (id, digest(secret))));
    }
    ask(lab.host("b"), 1, wanted.clone());
    let ran = lab.apply(PLAYBOOK).expect(Outcome::Done);
    assert_warned(&ran, wanted.len());
    let b = lab.host("b");
    assert_eq!(refusals(b), wanted);
    for secret in &secrets {
        assert!(!b.contents().contains(&digest(secret)));
        assert!(!contains(&b.seen().bytes, &secret[..20]));
        // Whoever the content is for got it.
        assert!(contains(&lab.host("a").seen().bytes, &secret[..20]));
    }
}

#[test]
fn contents_of_calls_that_are_over_are_refused() {
    let (lab, _) = project();
    let first = digest(b"first of b");
    ask(lab.host("b"), 2, vec![(1, first.clone()), (2, first.clone())]);
    let ran = lab.apply(PLAYBOOK).expect(Outcome::Done);
    assert_warned(&ran, 2);
    assert_eq!(refusals(lab.host("b")), [(1, first.clone()), (2, first.clone())]);
    let sent = lab.host("b").contents();
    assert_eq!(sent.iter().filter(|sha256| **sha256 == first).count(), 1);
}

/// As Ansible walks: links become what they lead to, but those that lead nowhere or back stay.
#[test]
fn links_of_a_folder_that_lead_back_stay_links() {
    let lab = Lab::new(&["a"]);
    lab.write("files/tree/below/a.txt", "x");
    let folder = lab.path().join("files/tree");
    for (target, link) in
        [("below", "folder"), ("below/a.txt", "file"), ("nowhere", "dangling"), ("..", "below/up")]
    {
        std::os::unix::fs::symlink(target, folder.join(link)).unwrap();
    }
    let copy = |follow: bool| {
        format!(
            "- hosts: all\n  gather_facts: false\n  tasks:\n    - copy: {{src: tree/, dest: '{{{{ \
             root }}}}/{follow}/', local_follow: {follow}}}\n"
        )
    };
    for follow in [true, false] {
        let ran = lab.apply(&copy(follow)).expect(Outcome::Done);
        let host = lab.host("a");
        let kinds = ["folder", "file", "dangling", "below/up"]
            .map(|name| host.root().join(format!("{follow}/{name}")).is_symlink());
        assert_eq!(kinds, [!follow, !follow, true, true], "{}", ran.story());
        assert_eq!(host.text(&format!("{follow}/below/a.txt")), "x");
        let again = lab.apply(&copy(follow)).expect(Outcome::Done);
        assert_eq!(again.recap("a").changed, 0, "{}", again.story());
    }
}

#[test]
fn what_the_controller_tells_helpers_nobody_else_can_say() {
    let lab = Lab::new(&["a"]);
    let playbook = "
- hosts: all
  gather_facts: false
  tasks:
    - copy: {content: x, dest: '{{ root }}/x', _source: /etc/passwd}
      ignore_errors: true
    - script: nowhere.sh
      async: 2
      ignore_errors: true
";
    let ran = lab.apply(playbook).expect(Outcome::Done);
    assert_eq!(ran.recap("a").ignored, 2, "{}", ran.story());
    assert!(ran.story().contains("Unsupported parameters for (copy) module: _source"));
    assert!(ran.story().contains("This action (script) does not support async."));
    assert_eq!(lab.host("a").calls().len(), 0);
}
