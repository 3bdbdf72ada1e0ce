//! Whom we talk to: unknown, known, changed, revoked and certified hosts.

use std::fs;

use provision_ssh::{
    ConnectOptions, ErrorKind, HostKeyPolicy, HostName, KnownHosts, NameStorage, SshError, Verdict,
};

use crate::support::{Setup, Sshd, client, keygen, public, run};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_is_refused_with_its_fingerprint() {
    let sshd = Sshd::start();
    fs::remove_file(sshd.known_hosts()).unwrap();
    let error = sshd.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostKey);
    let shown = run("ssh-keygen", &["-lf", sshd.path("host.pub").to_str().unwrap()]);
    let fingerprint = shown.split_whitespace().nth(1).unwrap();
    let text = error.to_string();
    assert!(text.contains(fingerprint) && text.contains("ssh-ed25519"), "{text}");
    assert!(text.contains(&format!("[127.0.0.1]:{}", sshd.port)), "{text}");
    assert!(error.hint().contains("provision trust"), "{}", error.hint());
    // The user name never got on the wire: the host was left before authentication.
    assert!(!sshd.log().contains("Accepted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_is_refused_under_every_policy_but_off() {
    let sshd = Sshd::start();
    let other = keygen(sshd.directory.path(), "other", "ed25519", "");
    sshd.trust(&[other]);
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew] {
        let options = ConnectOptions { host_key_policy: Some(policy), ..sshd.options() };
        let error = client().connect(&sshd.destination(), &options).await.unwrap_err();
        assert!(matches!(error, SshError::HostKeyChanged { .. }), "{error}");
        let location = format!("{}:1", sshd.known_hosts().display());
        assert!(error.to_string().contains(&location), "{error}");
    }
    let options = ConnectOptions { host_key_policy: Some(HostKeyPolicy::Off), ..sshd.options() };
    client().connect(&sshd.destination(), &options).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_keys_of_a_type_is_enough() {
    let sshd = Sshd::start();
    let other = keygen(sshd.directory.path(), "other", "ed25519", "");
    sshd.trust(&[other, sshd.path("host")]);
    sshd.connect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_under_every_policy() {
    let sshd = Sshd::start();
    let key = public(&sshd.path("host"));
    let line = fs::read_to_string(sshd.known_hosts()).unwrap();
    fs::write(sshd.known_hosts(), format!("{line}@revoked * {key}\n")).unwrap();
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew, HostKeyPolicy::Off] {
        let options = ConnectOptions { host_key_policy: Some(policy), ..sshd.options() };
        let error = client().connect(&sshd.destination(), &options).await.unwrap_err();
        assert!(matches!(error, SshError::HostKeyRevoked { .. }), "{error}");
        let location = format!("{}:2", sshd.known_hosts().display());
        assert!(error.to_string().contains(&location), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_host_is_learnt_once() {
    let sshd = Sshd::start();
    let file = sshd.path("new/known_hosts");
    let options = ConnectOptions {
        known_hosts_files: vec![file.clone()],
        host_key_policy: Some(HostKeyPolicy::AcceptNew),
        ..sshd.options()
    };
    let client = client();
    let destination = sshd.destination();
    let connect = || client.connect(&destination, &options);
    let (a, b, c, d) = tokio::join!(connect(), connect(), connect(), connect());
    for session in [a, b, c, d] {
        session.unwrap();
    }
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let name = format!("[127.0.0.1]:{}", sshd.port);
    let found = run("ssh-keygen", &["-F", &name, "-f", file.to_str().unwrap()]);
    assert!(found.contains("line 1"), "{found}");
    // From now on it is an ordinary known key.
    let strict = ConnectOptions { host_key_policy: None, ..options };
    crate::support::client().connect(&destination, &strict).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_known_type_is_asked_for_first() {
    let directory = tempfile::tempdir().unwrap();
    let kinds = ["ed25519", "ecdsa", "rsa"];
    let keys: Vec<_> = kinds.map(|kind| keygen(directory.path(), kind, kind, "")).to_vec();
    let sshd = Sshd::start_with(Setup { host_keys: keys.clone(), ..Setup::default() });
    for (key, algorithm) in keys.iter().zip(["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]) {
        sshd.trust(std::slice::from_ref(key));
        let session = sshd.connect().await.unwrap();
        assert_eq!(session.description().host_key.as_ref().unwrap().algorithm(), algorithm);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_an_unseen_type_is_not_learnt_beside_a_known_one() {
    let sshd = Sshd::start();
    let rsa = keygen(sshd.directory.path(), "rsa", "rsa", "");
    sshd.trust(&[rsa]);
    let before = fs::read_to_string(sshd.known_hosts()).unwrap();
    let options =
        ConnectOptions { host_key_policy: Some(HostKeyPolicy::AcceptNew), ..sshd.options() };
    let error = client().connect(&sshd.destination(), &options).await.unwrap_err();
    let SshError::HostKeyUnknown(unknown) = &error else { panic!("{error}") };
    assert_eq!(unknown.other_types.len(), 1);
    assert!(error.to_string().contains("knows a ssh-rsa key of it"), "{error}");
    assert_eq!(fs::read_to_string(sshd.known_hosts()).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_file_is_an_error_and_a_missing_one_is_not() {
    let sshd = Sshd::start();
    let directory = sshd.path("directory");
    fs::create_dir(&directory).unwrap();
    let with = |extra| ConnectOptions {
        known_hosts_files: vec![sshd.known_hosts(), extra],
        ..sshd.options()
    };
    client().connect(&sshd.destination(), &with(sshd.path("missing"))).await.unwrap();
    let error = client().connect(&sshd.destination(), &with(directory)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

/// Signs the host key of a server with options and starts it.
fn certified(options: &[&str]) -> (Sshd, String, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let authority = keygen(directory.path(), "authority", "ed25519", "");
    let host = keygen(directory.path(), "host", "ed25519", "");
    let mut arguments = vec!["-q", "-s", authority.to_str().unwrap(), "-I", "host", "-h"];
    arguments.extend(options);
    arguments.push(host.to_str().unwrap());
    run("ssh-keygen", &arguments);
    let sshd = Sshd::start_with(Setup {
        host_keys: vec![host.clone()],
        lines: vec![format!("HostCertificate {}-cert.pub", host.display())],
        ..Setup::default()
    });
    let line = format!("@cert-authority [127.0.0.1]:* {}\n", public(&authority));
    fs::write(sshd.known_hosts(), &line).unwrap();
    // sshd reads its keys again for every connection.
    (sshd, line, directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certified_host_is_known() {
    for principal in ["127.0.0.1", "127.0.*", "elsewhere,127.0.0.1"] {
        let (sshd, _, _keys) = certified(&["-n", principal]);
        sshd.connect().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_certificate_says_what_is_wrong_with_it() {
    let user_certificate = ["-n", "127.0.0.1", "-V", "20200101:20200102"];
    for (options, problem) in [
        (&["-n", "elsewhere"][..], "it is for elsewhere, not for 127.0.0.1"),
        (&user_certificate[..], "it has expired"),
        (&["-n", "127.0.0.1", "-V", "21000101:21010101"], "it is not valid yet"),
        (&[], "it names no host"),
        (&["-n", "127.0.0.1", "-O", "critical:x@y=1"], "critical options"),
    ] {
        let (sshd, _, _keys) = certified(options);
        let error = sshd.connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HostKey);
        assert!(error.to_string().contains(problem), "{options:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_authorities_and_revoked_ones_are_refused() {
    let (sshd, line, _keys) = certified(&["-n", "127.0.0.1"]);
    let authority = line.split_once(' ').unwrap().1.split_once(' ').unwrap().1.trim();
    fs::write(sshd.known_hosts(), format!("{line}@revoked * {authority}\n")).unwrap();
    let error = sshd.connect().await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyRevoked { .. }), "{error}");
    let other = public(&keygen(sshd.directory.path(), "other", "ed25519", ""));
    fs::write(sshd.known_hosts(), format!("@cert-authority * {other}\n")).unwrap();
    let error = sshd.connect().await.unwrap_err();
    assert!(error.to_string().contains("is not trusted for this host"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scanning_finds_all_keys_without_logging_in() {
    let directory = tempfile::tempdir().unwrap();
    let keys: Vec<_> =
        ["ed25519", "rsa"].map(|kind| keygen(directory.path(), kind, kind, "")).to_vec();
    let sshd = Sshd::start_with(Setup { host_keys: keys.clone(), ..Setup::default() });
    let found = client().scan(&sshd.destination(), &ConnectOptions::default()).await.unwrap();
    let lines: Vec<String> = found.iter().map(provision_ssh::HostKey::to_openssh).collect();
    for key in &keys {
        let public = public(key);
        let without_comment = public.rsplit_once(' ').unwrap().0;
        assert!(lines.iter().any(|line| line == without_comment), "{lines:?}");
    }
    assert_eq!(lines.len(), 2);
    // What was found can be trusted, hashed or not.
    let name = HostName::new("127.0.0.1", sshd.port);
    for storage in [NameStorage::Plain, NameStorage::Hashed] {
        let file = sshd.path(&format!("{storage:?}"));
        fs::write(&file, "# no newline at the end").unwrap();
        KnownHosts::append(&file, &name, &found, storage).unwrap();
        let known = KnownHosts::load(std::slice::from_ref(&file)).unwrap();
        assert!(matches!(known.verdict(&name, &found[0]), Verdict::Known(_)));
        let shown = run("ssh-keygen", &["-F", name.as_str(), "-f", file.to_str().unwrap()]);
        assert_eq!(shown.matches("found: line").count(), 2, "{shown}");
    }
}
