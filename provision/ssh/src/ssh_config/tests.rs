//! Configurations against `ssh -G`, which prints what OpenSSH makes of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use super::{Subject, Tokens, evaluate, load};
use crate::error::SshError;
use crate::local::LocalUser;
use crate::options::{ConnectOptions, Destination};
use crate::resolve::{Target, resolve};

fn local() -> LocalUser {
    LocalUser::find(None)
}

fn target_of(file: &Path, destination: &Destination) -> Result<Target, SshError> {
    let local = local();
    let files = load(Some(&[file.to_owned()]), &local)?;
    let subject = Subject {
        host: &destination.host,
        user: destination.user.as_deref(),
        local_user: &local.name,
    };
    let config = evaluate(&files, subject)?;
    resolve(destination, &ConnectOptions::default(), &config, &local, None)
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn target(text: &str, host: &str) -> Result<Target, SshError> {
    let directory = tempfile::tempdir().unwrap();
    target_of(&write(directory.path(), "config", text), &Destination::new(host))
}

/// What `ssh -G` prints, by keyword; `None` if it refuses the configuration.
fn openssh(file: &Path, host: &str) -> Option<Vec<(String, String)>> {
    let output = Command::new("ssh").args(["-G", "-F"]).arg(file).arg(host).output();
    let output = output.expect("ssh cannot be run: install openssh-client");
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    Some(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

fn compare(file: &Path, host: &str) -> Result<(), TestCaseError> {
    let text = std::fs::read_to_string(file).unwrap();
    let theirs = openssh(file, host);
    let ours = target_of(file, &Destination::new(host));
    let (Some(theirs), Ok(ours)) = (&theirs, &ours) else {
        // We may refuse what OpenSSH takes (unsupported keywords), but those aren't generated.
        prop_assert_eq!(theirs.is_none(), ours.is_err(), "{}\n{:?}\n{:?}", text, theirs, ours);
        return Ok(());
    };
    let local = local();
    let all = |key: &str| -> Vec<&str> {
        theirs.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str()).collect()
    };
    let first = |key: &str| all(key).first().copied().unwrap_or_default().to_owned();
    prop_assert_eq!(&first("hostname"), &ours.host, "hostname\n{}", text);
    prop_assert_eq!(first("port"), ours.port.to_string(), "port\n{}", text);
    prop_assert_eq!(&first("user"), &ours.user, "user\n{}", text);
    prop_assert_eq!(first("identitiesonly") == "yes", ours.identities_only, "{}", text);
    let tokens = Tokens {
        original: host,
        host: &ours.host,
        port: ours.port,
        user: &ours.user,
        local: &local,
    };
    let configured = ours.identities.iter().any(|identity| identity.is_configured);
    if configured {
        let names = all("identityfile").into_iter().filter(|name| *name != "none");
        let names: Vec<PathBuf> = names.map(|name| tokens.expand_path(name).unwrap()).collect();
        let ours: Vec<PathBuf> = ours.identities.iter().map(|source| source.path.clone()).collect();
        prop_assert_eq!(names, ours, "identityfile\n{}", text);
    }
    let jumps = ours.jump.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    prop_assert_eq!(first("proxyjump"), jumps, "proxyjump\n{}", text);
    let seconds = |duration: std::time::Duration| duration.as_secs().to_string();
    if first("connecttimeout") != "none" {
        prop_assert_eq!(first("connecttimeout"), seconds(ours.connect_timeout), "{}", text);
    }
    if text.to_lowercase().contains("serveralive") && first("serveraliveinterval") != "0" {
        prop_assert_eq!(first("serveraliveinterval"), seconds(ours.keepalive_interval), "{}", text);
    }
    Ok(())
}

/// One line of a random configuration. Two hosts, many ways to say them.
fn any_line() -> impl Strategy<Value = String> {
    let pattern = prop::sample::select(vec![
        "web1",
        "web2",
        "web*",
        "*",
        "!web1",
        "web?",
        "!web2",
        "WEB1",
        "real.example.org",
        "!*",
    ]);
    let patterns = prop::collection::vec(pattern, 1..3).prop_map(|list| list.join(" "));
    let lists = prop::sample::select(vec!["web1", "web*,!web2", "real*", "*", "!web1,*", "WEB*"]);
    let setting = prop::sample::select(vec![
        "HostName real.example.org",
        "hostname=%h.Example.ORG",
        "HostName 10.0.0.1 # comment",
        "Port 2222",
        "port = 22",
        "Port \"443\"",
        "User alice",
        "User \"bob\"",
        "user 'carol'",
        "IdentityFile ~/.ssh/a",
        "IdentityFile ~/.ssh/%h-%p",
        "IdentityFile \"/tmp/a b\"",
        "IdentityFile none",
        "IdentitiesOnly yes",
        "IdentitiesOnly no",
        "ProxyJump none",
        "ProxyJump gate",
        "ProxyJump root@gate:2022,second",
        "ConnectTimeout 7",
        "ConnectTimeout 1m30s",
        "ServerAliveInterval 2m",
        "ServerAliveCountMax 9",
        "ForwardAgent yes",
        "Compression no",
        "Port 0",
        "Port x",
        "User a b",
        "ConnectTimeout x",
        "IdentitiesOnly maybe",
        "HostName",
        "User \"a",
    ]);
    prop_oneof![
        2 => patterns.prop_map(|patterns| format!("Host {patterns}")),
        1 => lists.clone().prop_map(|list| format!("Match host {list}")),
        1 => lists.clone().prop_map(|list| format!("Match originalhost={list}")),
        1 => lists.prop_map(|list| format!("match !host {list} user alice,root")),
        1 => Just("Match all".to_owned()),
        1 => Just("Match final all".to_owned()),
        1 => Just("Match final host real*".to_owned()),
        1 => Just("Match !final all".to_owned()),
        1 => Just("Include included".to_owned()),
        8 => setting.prop_map(|line| format!("  {line}")),
        1 => Just("# comment".to_owned()),
    ]
}

proptest! {
    // Each case starts a program. The failing case is printed; it becomes a test here.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]
    #[test]
    fn agrees_with_ssh_g(
        lines in prop::collection::vec(any_line(), 1..10),
        included in prop::collection::vec(any_line(), 0..5),
        host in prop::sample::select(vec!["web1", "web2", "other"]),
    ) {
        // Syntax errors in blocks that don't apply are fatal to OpenSSH and not to us.
        let directory = tempfile::tempdir().unwrap();
        let included: Vec<String> =
            included.into_iter().filter(|line| !line.starts_with("Include")).collect();
        let included = write(directory.path(), "included", &(included.join("\n") + "\n"));
        let text = lines.join("\n").replace("Include included", &format!("Include {}", included.display()));
        let file = write(directory.path(), "config", &(text + "\n"));
        let ours = target_of(&file, &Destination::new(host));
        prop_assume!(!(openssh(&file, host).is_none() && ours.is_ok()));
        compare(&file, host)?;
    }
}

/// Found by the comparison above.
#[test]
fn the_second_pass_knows_the_resolved_name() {
    let text = "HostName real.example.org\nHost real.example.org\nPort 443\nMatch final all\n";
    assert_eq!(target(text, "web1").unwrap().port, 443);
    let text = "Match final all\nHostName real.example.org\n";
    assert_eq!(target(text, "web1").unwrap().host, "web1");
}

#[test]
fn first_values_win_and_explicit_ones_before_all() {
    let text = "Host web\n Port 1\n User a\nHost *\n Port 2\n User b\n HostName h\n";
    let target = target(text, "web").unwrap();
    assert_eq!((target.port, target.user.as_str(), target.host.as_str()), (1, "a", "h"));
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "config", text);
    let destination: Destination = "root@web:9".parse().unwrap();
    let explicit = target_of(&file, &destination).unwrap();
    assert_eq!((explicit.port, explicit.user.as_str()), (9, "root"));
}

#[test]
fn what_we_cannot_do_is_an_error_only_where_it_applies() {
    let text = "Host web\n ProxyCommand nc %h %p\n Host other\n BindAddress 1.2.3.4\n";
    let error = target(text, "web").unwrap_err();
    assert!(error.to_string().contains("config:2: ProxyCommand"), "{error}");
    assert!(target(text, "other").unwrap_err().to_string().contains("config:4"));
    target(text, "third").unwrap();
    for line in
        ["Match exec true", "Frobnicate yes", "PKCS11Provider /x", "CanonicalizeHostname yes"]
    {
        let error = target(&format!("Host web\n {line}\n"), "web").unwrap_err();
        assert!(error.to_string().contains("config:2"), "{error}");
        assert!(!error.hint().is_empty());
    }
    // Neutral values, names to ignore, and criteria after one that doesn't hold.
    for line in [
        "ProxyCommand none",
        "PKCS11Provider none",
        "CanonicalizeHostname no",
        "IgnoreUnknown frob*\n Frobnicate yes",
        "Match host no exec true",
        "ProxyJump gate\n ProxyCommand nc",
    ] {
        target(&format!("Host web\n {line}\n"), "web").unwrap();
    }
}

#[test]
fn explicit_jumps_replace_a_proxy_command() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "config", "ProxyCommand nc %h %p\n");
    let local = local();
    let files = load(Some(&[file]), &local).unwrap();
    let subject = Subject { host: "web", user: None, local_user: &local.name };
    let config = evaluate(&files, subject).unwrap();
    let options = ConnectOptions { jump: Some(Vec::new()), ..ConnectOptions::default() };
    let target = resolve(&Destination::new("web"), &options, &config, &local, None).unwrap();
    assert!(target.jump.is_empty());
}

#[test]
fn includes_are_found_by_wildcard_and_loops_end() {
    let directory = tempfile::tempdir().unwrap();
    let parts = directory.path().join("conf.d");
    std::fs::create_dir(&parts).unwrap();
    write(&parts, "20-b.conf", "Port 2\n");
    write(&parts, "10-a.conf", "Port 1\nHost nobody\n");
    write(&parts, ".hidden.conf", "Port 3\n");
    let main = write(
        directory.path(),
        "config",
        &format!("Include {}/*.conf\nUser afterwards\n", parts.display()),
    );
    let target = target_of(&main, &Destination::new("web")).unwrap();
    assert_eq!((target.port, target.user.as_str()), (1, "afterwards"));
    let main = directory.path().join("loop");
    write(directory.path(), "loop", &format!("Include {}\n", main.display()));
    let error = target_of(&main, &Destination::new("web")).unwrap_err();
    assert!(error.to_string().contains("nested includes"), "{error}");
}

#[test]
fn harmless_lines_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let text = "Host *\n  SendEnv LANG LC_*\n  HashKnownHosts yes\n  GSSAPIAuthentication yes\n";
    let file = write(directory.path(), "config", text);
    let local = local();
    let files = load(Some(&[file]), &local).unwrap();
    let subject = Subject { host: "web", user: None, local_user: &local.name };
    let ignored = evaluate(&files, subject).unwrap().ignored;
    let ignored: Vec<_> =
        ignored.iter().map(|setting| (setting.keyword.as_str(), setting.location.line)).collect();
    assert_eq!(ignored, [("sendenv", 2), ("gssapiauthentication", 4)]);
}
