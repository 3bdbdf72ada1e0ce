//! `ssh_config` files and destinations: arguments survive being quoted again, what is refused has a
//! line, and the same text means the same connection.
#![no_main]

use libfuzzer_sys::fuzz_target;
use provision_ssh::fuzzing::explain_ssh_config;
use provision_ssh::{Destination, SshError, parse_ssh_config};

/// OpenSSH's own quoting.
fn quoted(argument: &str) -> String {
    format!("\"{}\"", argument.replace('\\', "\\\\").replace('"', "\\\""))
}

fuzz_target!(|text: &str| {
    // The first line is the destination, the rest is the file.
    let (destination, text) = text.split_once('\n').unwrap_or((text, ""));
    let parsed = parse_ssh_config(text);
    let count = text.split('\n').count();
    assert!(parsed.lines.is_sorted_by(|first, second| first.number < second.number));
    for line in &parsed.lines {
        assert!((1..=count).contains(&line.number) && !line.keyword.is_empty());
        let Ok(arguments) = &line.arguments else { continue };
        let again = arguments.iter().map(|argument| quoted(argument)).collect::<Vec<_>>();
        let again = parse_ssh_config(&format!("Keyword {}", again.join(" ")));
        assert_eq!(again.lines[0].arguments.as_ref(), Ok(arguments));
    }
    let Ok(destination) = destination.parse::<Destination>() else { return };
    let shown = destination.to_string();
    assert_eq!(shown.parse::<Destination>().expect("what we show can be read"), destination);
    let explained = explain_ssh_config(text, &destination);
    match &explained {
        Err(SshError::Configuration { location, problem, .. }) => {
            assert!((1..=count).contains(&location.line) && !problem.is_empty());
        }
        Err(SshError::Destination { problem, .. }) => assert!(!problem.is_empty()),
        Err(other) => panic!("nothing else can go wrong: {other}"),
        Ok(_) => {}
    }
    let shown = |result: &Result<String, SshError>| format!("{result:?}");
    assert_eq!(shown(&explained), shown(&explain_ssh_config(text, &destination)));
});
