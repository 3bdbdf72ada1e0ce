//! `known_hosts` files against `ssh-keygen -F`, which prints the lines that are about a host.

use std::collections::BTreeSet;
use std::process::Command;

use proptest::prelude::*;

use super::parse::{hash_name, parse_known_hosts};
use super::{HostName, KnownHosts, Marker, Verdict};
use crate::host_key::HostKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Real keys, because ssh-keygen reads them: four of two types.
const KEYS: &[&str] = &[
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK2pr+Bfus1hvPof4Wb/plZCzSbqadHH0u+/f4ODtKnE",
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDH7B3oYkZ2s3o1O8wn8j1f7bQk3x2rZ5h8yq1m0p9s7w4e6t8u",
];

const NAMES: &[&str] = &["web1", "web2.example.org", "[web1]:2222", "10.0.0.1", "[10.0.0.1]:2222"];

fn key(index: usize) -> HostKey {
    let blob = KEYS[index].split_once(' ').unwrap().1;
    let engine = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    HostKey::from_blob(engine.decode(blob).unwrap()).unwrap()
}

fn hashed(name: &str) -> String {
    let salt = [7; 20];
    let hash = hash_name(&salt, name).unwrap();
    format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hash))
}

fn any_hosts() -> impl Strategy<Value = String> {
    let pattern = prop::sample::select(vec![
        "web1",
        "WEB1",
        "web?",
        "web*",
        "*",
        "!web1",
        "!*.example.org",
        "*.example.org",
        "[web1]:2222",
        "[web*]:2222",
        "[*]:*",
        "10.0.0.*",
        "![web1]:2222",
        "w*1",
        "",
        "*1*",
    ]);
    let list = prop::collection::vec(pattern, 1..4).prop_map(|patterns| patterns.join(","));
    let hash = prop::sample::select(NAMES).prop_map(hashed);
    let broken = prop::sample::select(vec!["|1|x|y", "|2|a|b", "|1|", "|", "|1|AAAA|AAAA"]);
    prop_oneof![6 => list, 2 => hash, 1 => broken.prop_map(str::to_owned)]
}

fn any_line() -> impl Strategy<Value = String> {
    let marker = prop::sample::select(vec!["", "", "", "@revoked ", "@cert-authority ", "@x "]);
    let lead = prop::sample::select(vec!["", "", " ", "\t", "# "]);
    let blank = prop::sample::select(vec![" ", "\t", "  "]);
    let tail = prop::sample::select(vec!["", " comment", " two words"]);
    (lead, marker, any_hosts(), blank, 0..2_usize, tail).prop_map(
        |(lead, marker, hosts, blank, index, tail)| {
            let key = KEYS[index].replace(' ', blank);
            format!("{lead}{marker}{hosts}{blank}{key}{tail}")
        },
    )
}

/// Line numbers and markers that ssh-keygen finds.
fn openssh(text: &str, name: &str) -> BTreeSet<(usize, Marker)> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let output = Command::new("ssh-keygen").args(["-F", name, "-f"]).arg(file.path()).output();
    let output = output.expect("ssh-keygen cannot be run: install openssh-client");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.lines().filter_map(|line| line.split_once("found: line ")).map(|(_, rest)| {
        let mut words = rest.split_whitespace();
        let number = words.next().unwrap().parse().unwrap();
        let marker = match words.next() {
            Some("REVOKED") => Marker::Revoked,
            Some("CA") => Marker::CertAuthority,
            _ => Marker::Plain,
        };
        (number, marker)
    });
    found.collect()
}

impl PartialOrd for Marker {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Marker {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

proptest! {
    // Each case starts a program. The failing case is printed; it becomes a test here.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]
    #[test]
    fn agrees_with_ssh_keygen(
        lines in prop::collection::vec(any_line(), 0..8),
        name in prop::sample::select(NAMES),
    ) {
        let text = lines.join("\n") + "\n";
        let parsed = parse_known_hosts(text.as_bytes());
        let about = parsed.lines.iter().filter(|line| line.hosts.matches(name));
        let ours: BTreeSet<_> = about.map(|line| (line.number, line.marker)).collect();
        prop_assert_eq!(ours, openssh(&text, name), "{}\n{}", name, text);
    }

    #[test]
    fn any_bytes_are_accepted(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_known_hosts(&bytes);
    }

    #[test]
    fn any_fields_are_accepted(
        text in "(@[a-z-]{0,9} )?[|1a-z*,!\\[\\]:]{0,12} (ssh-[a-z0-9]{0,8} )?[A-Za-z0-9+/=]{0,40}",
    ) {
        let _ = parse_known_hosts(text.as_bytes());
    }
}

fn verdict(text: &str, host: &str, port: u16, shown: usize) -> Verdict {
    let known = KnownHosts::from_texts([("f".into(), text.as_bytes())]);
    known.verdict(&HostName::new(host, port), &key(shown))
}

fn line(hosts: &str, index: usize) -> String {
    format!("{hosts} {}\n", key(index).to_openssh())
}

#[test]
fn verdicts() {
    let known = |verdict: Verdict| matches!(verdict, Verdict::Known(_));
    assert!(known(verdict(&line("h", 0), "H", 22, 0)));
    // Any of several keys of a type.
    assert!(known(verdict(&(line("h", 1) + &line("h", 0)), "h", 22, 0)));
    let changed = verdict(&(String::from("#\n") + &line("h", 1)), "h", 22, 0);
    let Verdict::Changed { known: other } = changed else { panic!("{changed:?}") };
    assert_eq!((other.location.line, other.key), (2, key(1)));
    // Another type only.
    let unknown = verdict(&line("h", 2), "h", 22, 0);
    assert!(matches!(unknown, Verdict::Unknown { other_types } if other_types.len() == 1));
    let empty = Verdict::Unknown { other_types: Vec::new() };
    assert_eq!(verdict(&line("other", 0), "h", 22, 0), empty);
    assert_eq!(verdict(&line("@cert-authority h", 0), "h", 22, 0), empty);
}

#[test]
fn revocations_win_wherever_they_stand() {
    let revoked = |verdict: Verdict| matches!(verdict, Verdict::Revoked(_));
    assert!(revoked(verdict(&(line("h", 0) + &line("@revoked *", 0)), "h", 22, 0)));
    assert!(revoked(verdict(&(line("@revoked h", 0) + &line("h", 0)), "h", 22, 0)));
    assert!(revoked(verdict(&line("@revoked h", 0), "h", 2222, 0)), "also without its port");
    assert!(!revoked(verdict(&line("@revoked h", 1), "h", 22, 0)));
    assert!(!revoked(verdict(&line("@revoked other", 0), "h", 22, 0)));
}

#[test]
fn other_ports_fall_back_to_the_plain_name() {
    assert!(matches!(verdict(&line("h", 0), "h", 2222, 0), Verdict::Known(_)));
    assert!(matches!(verdict(&line("[h]:2222", 0), "h", 2222, 0), Verdict::Known(_)));
    // A different key under the plain name is somebody else's.
    let unknown = Verdict::Unknown { other_types: Vec::new() };
    assert_eq!(verdict(&line("h", 1), "h", 2222, 0), unknown);
    // A key for the port forbids the fallback.
    let text = line("[h]:2222", 1) + &line("h", 0);
    assert!(matches!(verdict(&text, "h", 2222, 0), Verdict::Changed { .. }));
    // The other way round there is none.
    assert_eq!(verdict(&line("[h]:2222", 0), "h", 22, 0), unknown);
}

#[test]
fn names_that_mean_something_else_are_not_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    for name in ["*", "a,b", "a b", "a\nb", "|1|x|y", "!a", "#a", ""] {
        let name = HostName::alias(name);
        KnownHosts::append(&file, &name, &[key(0)], super::NameStorage::Plain).unwrap_err();
    }
    assert!(!file.exists());
}
