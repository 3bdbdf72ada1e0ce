//! Ways to log in, and what is said when none works.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use provision_ssh::{ConnectOptions, ErrorKind, Prompter, Secret, SshError};

use crate::support::{Setup, Sshd, client, client_with, keygen, output, public, run, user_name};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_logs_in_and_a_command_runs() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    assert_eq!(output(&session, "echo hello; id -un").await, format!("hello\n{}\n", user_name()));
    let description = session.description().clone();
    assert_eq!(description.address, format!("127.0.0.1:{}", sshd.port));
    let negotiated = description.negotiated.unwrap();
    assert_eq!(negotiated.key_exchange, "curve25519-sha256");
    assert_eq!(negotiated.cipher, "aes128-gcm@openssh.com");
    assert!(negotiated.strict);
    let host_key = description.host_key.unwrap();
    let shown = run("ssh-keygen", &["-lf", sshd.path("host.pub").to_str().unwrap()]);
    assert!(shown.contains(&host_key.fingerprint()), "{shown} {host_key}");
    session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_kinds_of_keys_log_in() {
    let directory = tempfile::tempdir().unwrap();
    let keys: Vec<_> = ["ed25519", "ecdsa", "rsa"]
        .map(|kind| keygen(directory.path(), kind, kind, ""))
        .into_iter()
        .collect();
    // The old PEM format as well.
    let pem = keygen(directory.path(), "pem", "rsa", "");
    run("ssh-keygen", &["-q", "-p", "-m", "PEM", "-N", "", "-f", pem.to_str().unwrap()]);
    let mut authorized: Vec<&Path> = keys.iter().map(AsRef::as_ref).collect();
    authorized.push(&pem);
    let sshd = Sshd::start_with(Setup { authorized, ..Setup::default() });
    for key in keys.iter().chain([&pem]) {
        let options = ConnectOptions { identity_files: vec![key.clone()], ..sshd.options() };
        let session = client().connect(&sshd.destination(), &options).await;
        assert!(session.is_ok(), "{}: {session:?}", key.display());
    }
}

struct Answers {
    asked: AtomicUsize,
    texts: Vec<&'static str>,
}

impl Prompter for Answers {
    fn passphrase(&self, _: &Path) -> Option<Secret> {
        let index = self.asked.fetch_add(1, Ordering::SeqCst);
        self.texts.get(index).map(|text| Secret::new(*text))
    }
}

fn answers(texts: &[&'static str]) -> Arc<Answers> {
    Arc::new(Answers { asked: AtomicUsize::new(0), texts: texts.to_vec() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_is_asked_once_for_all_hosts_and_only_if_needed() {
    let directory = tempfile::tempdir().unwrap();
    let key = keygen(directory.path(), "locked", "ed25519", "open sesame");
    let sshd = Sshd::start_with(Setup { authorized: vec![&key], ..Setup::default() });
    let prompter = answers(&["wrong", "open sesame"]);
    let client = client_with(|options| options.prompter = Some(prompter.clone()));
    let options = ConnectOptions { identity_files: vec![key.clone()], ..sshd.options() };
    let destination = sshd.destination();
    let connect = || client.connect(&destination, &options);
    let (a, b, c) = tokio::join!(connect(), connect(), connect());
    a.unwrap();
    b.unwrap();
    c.unwrap();
    assert_eq!(prompter.asked.load(Ordering::SeqCst), 2);

    // A server that doesn't accept the key never makes us ask.
    let other = Sshd::start();
    let prompter = answers(&["open sesame"]);
    let client = client_with(|options| options.prompter = Some(prompter.clone()));
    let options = ConnectOptions { identity_files: vec![key], ..other.options() };
    let error = client.connect(&other.destination(), &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert_eq!(prompter.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_passphrase_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let key = keygen(directory.path(), "locked", "ed25519", "open sesame");
    let sshd = Sshd::start_with(Setup { authorized: vec![&key], ..Setup::default() });
    let options = ConnectOptions { identity_files: vec![key], ..sshd.options() };
    let client = client_with(|options| options.prompter = Some(answers(&["a", "b", "c", "d"])));
    let error = client.connect(&sshd.destination(), &options).await.unwrap_err();
    assert!(error.to_string().contains("the passphrase was wrong"), "{error}");
    let error = crate::support::client().connect(&sshd.destination(), &options).await.unwrap_err();
    assert!(error.to_string().contains("nobody can be asked"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_lists_what_was_tried_and_what_is_allowed() {
    let sshd = Sshd::start_with(Setup {
        lines: vec!["PasswordAuthentication yes".to_owned()],
        ..Setup::default()
    });
    let wrong = keygen(sshd.directory.path(), "wrong", "ed25519", "");
    let missing = sshd.path("missing");
    let options =
        ConnectOptions { identity_files: vec![wrong.clone(), missing.clone()], ..sshd.options() };
    let error = client().connect(&sshd.destination(), &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    let text = error.to_string();
    assert!(text.contains(&format!("publickey {} (refused)", wrong.display())), "{text}");
    assert!(text.contains(&format!("{} (no such file)", missing.display())), "{text}");
    assert!(text.contains("it allows publickey, password"), "{text}");
    assert!(error.hint().contains("--ask-pass"), "{}", error.hint());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_may_read_is_not_used() {
    let sshd = Sshd::start();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&sshd.user_key, mode).unwrap();
    let error = sshd.connect().await.unwrap_err();
    assert!(error.to_string().contains("others may read it (mode 0644)"), "{error}");
}

struct SshAgent {
    socket: std::path::PathBuf,
    process: std::process::Child,
    _directory: tempfile::TempDir,
}

impl SshAgent {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent");
        let process = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("ssh-agent cannot be run: install openssh-client");
        // The socket is there a moment before anybody listens.
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self { socket, process, _directory: directory }
    }

    fn add(&self, key: &Path) {
        let status = Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.socket)
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_signs() {
    let directory = tempfile::tempdir().unwrap();
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let key = keygen(directory.path(), kind, kind, "");
        let agent = SshAgent::start();
        agent.add(&key);
        let sshd = Sshd::start_with(Setup { authorized: vec![&key], ..Setup::default() });
        // The private key is only in the agent.
        std::fs::remove_file(&key).unwrap();
        let client = client_with(|options| options.agent_socket = Some(agent.socket.clone()));
        let options =
            ConnectOptions { identity_files: Vec::new(), use_agent: None, ..sshd.options() };
        client.connect(&sshd.destination(), &options).await.unwrap();
        // Only the keys that are named: by the public half, then by one that the agent lacks.
        let only = |path: &Path| ConnectOptions {
            identity_files: vec![path.to_owned()],
            identities_only: Some(true),
            ..options.clone()
        };
        client.connect(&sshd.destination(), &only(&key)).await.unwrap();
        let error = client.connect(&sshd.destination(), &only(Path::new("/x"))).await.unwrap_err();
        assert!(error.to_string().contains("/x (no such file)"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_too_many_keys_is_told() {
    let sshd =
        Sshd::start_with(Setup { lines: vec!["MaxAuthTries 2".to_owned()], ..Setup::default() });
    let agent = SshAgent::start();
    for number in 0..4 {
        agent.add(&keygen(sshd.directory.path(), &format!("k{number}"), "ed25519", ""));
    }
    let client = client_with(|options| options.agent_socket = Some(agent.socket.clone()));
    let options = ConnectOptions { identity_files: Vec::new(), use_agent: None, ..sshd.options() };
    let error = client.connect(&sshd.destination(), &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(error.to_string().contains("Too many authentication failures"), "{error}");
    assert!(error.hint().contains("IdentitiesOnly"), "{}", error.hint());
}

#[tokio::test(flavor = "multi_thread")]
async fn user_certificates_log_in() {
    let directory = tempfile::tempdir().unwrap();
    let authority = keygen(directory.path(), "authority", "ed25519", "");
    for kind in ["ed25519", "rsa"] {
        let key = keygen(directory.path(), kind, kind, "");
        let name = user_name();
        let (authority, key_text) = (authority.to_str().unwrap(), key.to_str().unwrap());
        run("ssh-keygen", &["-q", "-s", authority, "-I", "test", "-n", &name, key_text]);
        let sshd = Sshd::start_with(Setup {
            lines: vec![format!("TrustedUserCAKeys {authority}.pub")],
            ..Setup::default()
        });
        let options = ConnectOptions { identity_files: vec![key.clone()], ..sshd.options() };
        client().connect(&sshd.destination(), &options).await.unwrap();

        let agent = SshAgent::start();
        agent.add(&key);
        let client = client_with(|options| options.agent_socket = Some(agent.socket.clone()));
        let options =
            ConnectOptions { identity_files: Vec::new(), use_agent: None, ..sshd.options() };
        client.connect(&sshd.destination(), &options).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keys_are_given_where_two_are_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let second = keygen(directory.path(), "second", "ed25519", "");
    let sshd = Sshd::start_with(Setup {
        authorized: vec![&second],
        lines: vec!["AuthenticationMethods publickey,publickey".to_owned()],
        ..Setup::default()
    });
    let error = sshd.connect().await.unwrap_err();
    assert!(error.to_string().contains("accepted as a first step"), "{error}");
    let options =
        ConnectOptions { identity_files: vec![sshd.user_key.clone(), second], ..sshd.options() };
    client().connect(&sshd.destination(), &options).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_never_retried_when_a_retry_could_only_repeat_them() {
    let sshd = Sshd::start();
    let wrong = keygen(sshd.directory.path(), "wrong", "ed25519", "");
    let options =
        ConnectOptions { identity_files: vec![wrong.clone()], retries: Some(5), ..sshd.options() };
    let error = client().connect(&sshd.destination(), &options).await.unwrap_err();
    assert!(matches!(error, SshError::Authentication(_)));
    assert_eq!(sshd.log().matches("Failed publickey").count(), 1, "{}", public(&wrong));
}
