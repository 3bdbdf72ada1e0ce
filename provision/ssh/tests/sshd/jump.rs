//! Through other hosts.

use provision_ssh::{ConnectOptions, ErrorKind, SshError};

use crate::support::{Sshd, client, output};

/// Trusts the second server in the first one's file and lets the first one's user in.
fn let_in(first: &Sshd, second: &Sshd) {
    let mut known = std::fs::read_to_string(first.known_hosts()).unwrap();
    known.push_str(&std::fs::read_to_string(second.known_hosts()).unwrap());
    std::fs::write(first.known_hosts(), known).unwrap();
    let authorized = std::fs::read_to_string(first.path("authorized_keys")).unwrap();
    std::fs::write(second.path("authorized_keys"), authorized).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_and_two_jump_hosts_are_passed() {
    let (a, b, c) = (Sshd::start(), Sshd::start(), Sshd::start());
    let_in(&a, &b);
    let_in(&a, &c);
    for jump in [vec![b.destination()], vec![b.destination(), c.destination()]] {
        let options = ConnectOptions { jump: Some(jump.clone()), ..a.options() };
        let session = client().connect(&a.destination(), &options).await.unwrap();
        let connection = output(&session, "echo $SSH_CONNECTION").await;
        assert!(connection.trim().ends_with(&format!("127.0.0.1 {}", a.port)), "{connection}");
        let data = output(&session, "head -c 1000000 /dev/zero | tr '\\0' x").await;
        assert_eq!(data.len(), 1_000_000);
        let last_jump = if jump.len() == 2 { &c } else { &b };
        assert!(last_jump.log().contains("direct-tcpip") || last_jump.log().contains("Accepted"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hop_is_verified_and_errors_name_the_hop() {
    let (a, b) = (Sshd::start(), Sshd::start());
    // The jump host's key is not known.
    let options = ConnectOptions { jump: Some(vec![b.destination()]), ..a.options() };
    let error = client().connect(&a.destination(), &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostKey);
    let SshError::Jump { jump, .. } = &error else { panic!("{error}") };
    assert_eq!(*jump, b.destination().to_string());
    // The host behind isn't there.
    let_in(&a, &b);
    let mut nowhere = a.destination();
    nowhere.port = Some(crate::support::free_port());
    let error = client().connect(&nowhere, &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_jump_host_is_a_lost_connection() {
    let (a, mut b) = (Sshd::start(), Sshd::start());
    let_in(&a, &b);
    let options = ConnectOptions { jump: Some(vec![b.destination()]), ..a.options() };
    let session = client().connect(&a.destination(), &options).await.unwrap();
    let mut process = session.exec("cat").await.unwrap();
    b.kill();
    let error = process.wait().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost);
}
