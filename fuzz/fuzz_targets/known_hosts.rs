//! `known_hosts` files: every line is used or reported, what is used survives being written again,
//! and the verdict about a key is what the lines say (a revocation always wins).
#![no_main]

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use provision_ssh::{
    HostName, HostPatterns, KnownHosts, KnownHostsLine, Marker, Verdict, parse_known_hosts,
};

fn written(line: &KnownHostsLine) -> String {
    let marker = match line.marker {
        Marker::Plain => "",
        Marker::CertAuthority => "@cert-authority ",
        Marker::Revoked => "@revoked ",
    };
    let hosts = match &line.hosts {
        HostPatterns::List(names) => names.join(","),
        HostPatterns::Hashed { salt, hash } => {
            format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hash))
        }
    };
    format!("{marker}{hosts} {}\n", line.key.to_openssh())
}

fn check_verdict(known: &KnownHosts, lines: &[KnownHostsLine], name: &HostName, port: u16) {
    for line in lines {
        let same_key = lines.iter().filter(|other| other.key == line.key);
        let mut about: Vec<_> =
            same_key.filter(|other| other.hosts.matches(name.as_str())).collect();
        let verdict = known.verdict(name, &line.key);
        if about.iter().any(|line| line.marker == Marker::Revoked) {
            assert!(matches!(verdict, Verdict::Revoked(_)), "{verdict:?}");
            assert!(known.revoked(name, &line.key).is_some());
            continue;
        }
        about.retain(|line| line.marker == Marker::Plain);
        match verdict {
            Verdict::Known(location) if port == 22 => {
                assert!(about.iter().any(|line| line.number == location.line));
            }
            Verdict::Changed { known } => assert_ne!(known.key, line.key),
            Verdict::Unknown { .. } => assert!(about.is_empty()),
            Verdict::Known(_) | Verdict::Revoked(_) => {}
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    // The first line is the host, the rest is the file.
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (host, text) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let parsed = parse_known_hosts(text);
    let mut numbers: Vec<usize> = parsed.lines.iter().map(|line| line.number).collect();
    numbers.extend(parsed.malformed.iter().map(|line| line.number));
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "a line counts twice");
    let count = text.split(|byte| *byte == b'\n').count();
    assert!(numbers.iter().all(|number| (1..=count).contains(number)));

    let again: String = parsed.lines.iter().map(written).collect();
    let again = parse_known_hosts(again.as_bytes());
    assert!(again.malformed.is_empty(), "{again:?}");
    let what = |line: &KnownHostsLine| (line.marker, line.hosts.clone(), line.key.clone());
    assert!(again.lines.iter().map(what).eq(parsed.lines.iter().map(what)));

    let known = KnownHosts::from_texts([(PathBuf::from("known_hosts"), text)]);
    let host = String::from_utf8_lossy(host);
    for port in [22, 2222] {
        check_verdict(&known, &parsed.lines, &HostName::new(&host, port), port);
    }
});
