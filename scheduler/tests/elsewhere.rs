//! The API for other machines: TLS, tokens and roles, with the binary as daemon and as client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod daemon;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use daemon::until;

/// A daemon that ends with this.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn scheduler(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    for name in ["SCHEDULER_DATA", "SCHEDULER_TOKEN", "SCHEDULER_TOKEN_FILE", "SCHEDULER_CA"] {
        command.env_remove(name);
    }
    command.env_remove("SCHEDULER_SERVER").args(arguments).current_dir(folder);
    command.stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    told(&scheduler(folder, arguments).output().unwrap())
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A certificate for the loopback, and who vouches for it: files of the folder.
fn certificate(folder: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).unwrap();
    fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
}

fn token(folder: &Path, name: &str, role: &str) -> String {
    let arguments = ["token", "new", name, "--role", role, "--tokens", "tokens"];
    let (code, token, told) = run(folder, &arguments);
    assert_eq!(code, Some(0), "{told}");
    token.trim().to_owned()
}

/// Starts one; the address for other machines.
fn start(folder: &Path) -> (Serving, String) {
    let log = fs::File::create(folder.join("serve.log")).unwrap();
    let arguments = [
        ["serve", "--local", "--data", "data", "--listen", "127.0.0.1:0", "--ports"].as_slice(),
        &["31900-31909", "--docker", "/nowhere/docker", "--listen-tls", "127.0.0.1:0"],
        &["--tls-cert", "server.pem", "--tls-key", "server.key", "--tokens", "tokens"],
    ];
    let child = scheduler(folder, &arguments.concat()).stderr(log).spawn().unwrap();
    let serving = Serving(child);
    let address = || {
        let log = fs::read_to_string(folder.join("serve.log")).unwrap();
        log.split_once("with tokens: https://127.0.0.1:").map(|(_, rest)| {
            format!("https://localhost:{}", rest.lines().next().unwrap_or_default())
        })
    };
    until("it says where it listens", || address().is_some());
    (serving, address().unwrap())
}

#[test]
fn tokens_decide_what_other_machines_may_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certificate(folder, "server");
    certificate(folder, "other");
    let reader = token(folder, "reader", "read");
    let deployer = token(folder, "deployer", "operate");
    assert!(!fs::read_to_string(folder.join("tokens")).unwrap().contains(&deployer));
    let (_serving, server) = start(folder);
    let ask = |token: &str, ca: &str, arguments: &[&str]| {
        let mut command = scheduler(folder, arguments);
        command.env("SCHEDULER_TOKEN", token).env("SCHEDULER_SERVER", &server);
        told(&command.args(["--ca", ca]).output().unwrap())
    };
    until("it leads", || ask(&reader, "server.pem", &["app", "list"]).0 == Some(0));
    fs::write(
        folder.join("sleep.yml"),
        "app: sleep\nversion: \"1\"\nshell: exec sleep 600\ninstances: 1\n",
    )
    .unwrap();
    let deploy = ["app", "deploy", "sleep.yml", "--detach"];

    let (code, _, told) = ask(&reader, "server.pem", &deploy);
    assert_eq!(code, Some(6), "{told}");
    assert!(told.contains("reader may read, but this needs `operate`"), "{told}");
    let (code, _, told) = ask(&deployer, "server.pem", &deploy);
    assert_eq!(code, Some(0), "{told}");
    let log = fs::read_to_string(folder.join("serve.log")).unwrap();
    assert!(log.contains("deployer: PUT /v1/apps/sleep 200"), "{log}");

    let (code, _, told) = ask("wrong", "server.pem", &["app", "list"]);
    assert_eq!(code, Some(30), "{told}");
    assert!(told.contains("need a token"), "{told}");
    let (code, _, told) = ask(&reader, "other.pem", &["app", "list"]);
    assert_eq!(code, Some(30), "{told}");
    assert!(told.contains("does `--ca` name who vouches for it?"), "{told}");

    let (code, _, told) = run(folder, &["token", "remove", "deployer", "--tokens", "tokens"]);
    assert_eq!(code, Some(0), "{told}");
    until("the token is no good any more", || {
        ask(&deployer, "server.pem", &["app", "list"]).0 == Some(30)
    });
    assert_eq!(ask(&reader, "server.pem", &["app", "list"]).0, Some(0));

    // A renewed certificate is shown without a restart.
    fs::rename(folder.join("other.key"), folder.join("server.key")).unwrap();
    fs::copy(folder.join("other.pem"), folder.join("next.pem")).unwrap();
    fs::rename(folder.join("next.pem"), folder.join("server.pem")).unwrap();
    until("the new certificate is shown", || {
        ask(&reader, "other.pem", &["app", "list"]).0 == Some(0)
    });
    let data = ["app", "delete", "sleep", "--data", "data"];
    assert_eq!(run(folder, &data).0, Some(0));
}

#[test]
fn nothing_is_served_to_others_by_halves() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let serve = ["serve", "--local", "--data", "data", "--listen", "127.0.0.1:0"];
    let with = |more: &[&str]| run(folder, &[serve.as_slice(), more].concat());
    let (code, _, told) = with(&["--listen-tls", "127.0.0.1:0"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("--tokens"), "{told}");
    let (code, _, told) = run(folder, &["serve", "--local", "--listen", "0.0.0.0:0"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("--listen-tls"), "{told}");

    certificate(folder, "server");
    certificate(folder, "other");
    let tls = |key: &'static str| {
        [
            "--listen-tls",
            "127.0.0.1:0",
            "--tls-cert",
            "server.pem",
            "--tls-key",
            key,
            "--tokens",
            "tokens",
        ]
    };
    let (code, _, told) = with(&tls("server.key"));
    assert_eq!(code, Some(5), "{told}");
    assert!(told.contains("scheduler token new"), "{told}");
    token(folder, "reader", "read");
    let (code, _, told) = with(&tls("other.key"));
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("doesn't go with the certificate"), "{told}");
    let (code, _, told) = with(&tls("server.pem"));
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("no private key"), "{told}");
    let line = fs::read_to_string(folder.join("tokens")).unwrap().replace(" read ", " reed ");
    fs::write(folder.join("tokens"), line).unwrap();
    let (code, _, told) = with(&tls("server.key"));
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("did you mean `read`?"), "{told}");
}
