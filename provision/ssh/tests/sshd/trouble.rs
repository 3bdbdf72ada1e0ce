//! Broken networks, silent hosts, crowds, and what a connection costs.

use std::time::{Duration, Instant};

use provision_ssh::{ConnectOptions, Destination, ErrorKind, SshError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Proxy, Sshd, client, client_with, output};

/// Options and destination for a connection through a proxy: the name in `known_hosts` differs.
fn via(sshd: &Sshd, proxy: &Proxy) -> (Destination, ConnectOptions) {
    let text = std::fs::read_to_string(sshd.known_hosts()).unwrap();
    let text = text.replace(&sshd.port.to_string(), &proxy.port.to_string());
    let file = sshd.path(&format!("known_hosts_{}", proxy.port));
    std::fs::write(&file, text).unwrap();
    let destination = Destination { port: Some(proxy.port), ..sshd.destination() };
    (destination, ConnectOptions { known_hosts_files: vec![file], ..sshd.options() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_lost_on_every_stream_at_once() {
    let sshd = Sshd::start();
    let proxy = Proxy::start(sshd.port, Duration::ZERO).await;
    let (destination, options) = via(&sshd, &proxy);
    let session = client().connect(&destination, &options).await.unwrap();
    let mut process = session.exec("echo begun; cat >/dev/null").await.unwrap();
    let mut begun = [0; 6];
    process.stdout.read_exact(&mut begun).await.unwrap();
    let started = Instant::now();
    proxy.cut();
    let error = process.stdout.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    let inner = error.get_ref().unwrap().downcast_ref::<SshError>().unwrap();
    assert_eq!(inner.kind(), ErrorKind::Lost);
    let error = process.wait().await.unwrap_err();
    assert!(matches!(error, SshError::ConnectionLost { .. }), "{error}");
    // Input breaks even if it is waiting for the host's window.
    let data = vec![0; 16 * 1024 * 1024];
    process.stdin.write_all(&data).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(session.is_closed());
    let error = session.exec("true").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_in_the_middle_of_a_transfer_is_a_lost_connection() {
    let mut sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let mut process = session.exec("cat /dev/zero").await.unwrap();
    let mut buffer = vec![0; 1024 * 1024];
    process.stdout.read_exact(&mut buffer).await.unwrap();
    sshd.kill();
    let error = loop {
        if let Err(error) = process.stdout.read_exact(&mut buffer).await {
            break error;
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_fell_silent_is_lost_after_the_keep_alives() {
    let sshd = Sshd::start();
    let proxy = Proxy::start(sshd.port, Duration::ZERO).await;
    let (destination, options) = via(&sshd, &proxy);
    let options = ConnectOptions {
        keepalive_interval: Some(Duration::from_secs(2)),
        keepalive_max: Some(2),
        ..options
    };
    let session = client().connect(&destination, &options).await.unwrap();
    // A healthy connection survives much silence.
    let mut process = session.exec("sleep 3; echo here; cat").await.unwrap();
    let mut here = [0; 5];
    process.stdout.read_exact(&mut here).await.unwrap();
    proxy.stall();
    let started = Instant::now();
    let error = process.wait().await.unwrap_err();
    assert!(error.to_string().contains("keep-alives"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stands_still_in_an_upload_is_lost_after_the_keep_alives() {
    let sshd = Sshd::start();
    let options = ConnectOptions {
        keepalive_interval: Some(Duration::from_millis(500)),
        keepalive_max: Some(2),
        ..sshd.options()
    };
    let session = client().connect(&sshd.destination(), &options).await.unwrap();
    let mut process = session.exec("cat >/dev/null").await.unwrap();
    process.stdin.write_all(b"x").await.unwrap();
    let children = crate::support::run("ps", &["-o", "pid=", "--ppid", &sshd.pid().to_string()]);
    let child = children.trim().to_owned();
    crate::support::run("kill", &["-STOP", &child]);
    let started = Instant::now();
    let data = vec![0; 64 * 1024 * 1024];
    let written = process.stdin.write_all(&data).await;
    let ended = process.wait().await;
    crate::support::run("kill", &["-CONT", &child]);
    written.unwrap_err();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Lost);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_bit_is_an_error_and_never_a_wrong_result() {
    let sshd = Sshd::start();
    let proxy = Proxy::start(sshd.port, Duration::ZERO).await;
    let (destination, options) = via(&sshd, &proxy);
    let options = ConnectOptions {
        connect_timeout: Some(Duration::from_secs(5)),
        retries: Some(0),
        ..options
    };
    let client = client();
    // During the handshake: the connection must not come up.
    for position in [0, 10, 40, 100, 500, 1000, 1100, 1200, 1300, 1400] {
        proxy.flip(position);
        match client.connect(&destination, &options).await {
            // Text before the version, or a bit that nothing depends on (the random cookie is
            // part of the exchange hash, so there is none after it).
            Ok(_) if position < 40 => {}
            Ok(session) => {
                // The flip is still to come.
                let result = session.exec("echo right").await;
                if let Ok(process) = result
                    && let Ok(collected) = process.collect(100).await
                {
                    assert_eq!(collected.stdout, b"right\n", "bit at {position}");
                }
            }
            Err(error) => assert_ne!(error.kind(), ErrorKind::Configuration, "{error}"),
        }
    }
    // During a transfer.
    for position in [0, 1, 3, 4, 17, 1000, 40_000, 90_000] {
        let session = loop {
            if let Ok(session) = client.connect(&destination, &options).await {
                break session;
            }
        };
        let mut process = session.exec("head -c 200000 /dev/zero; cat").await.unwrap();
        proxy.flip(position);
        let mut received = Vec::new();
        let error = process.stdout.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(received.iter().all(|byte| *byte == 0), "bit at {position}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_port_takes_no_longer_than_the_limit() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let destination = Destination { port: Some(port), ..Destination::new("127.0.0.1") };
    let options = ConnectOptions {
        connect_timeout: Some(Duration::from_millis(700)),
        ..ConnectOptions::default()
    };
    let started = Instant::now();
    let error = client().connect(&destination, &options).await.unwrap_err();
    let elapsed = started.elapsed();
    assert!(matches!(error, SshError::Timeout { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains("the key exchange"), "{error}");
    assert!((600..2000).contains(&elapsed.as_millis()), "{elapsed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_connections_are_tried_again() {
    let options = ConnectOptions { retries: Some(1), ..ConnectOptions::default() };
    let destination =
        Destination { port: Some(crate::support::free_port()), ..Destination::new("127.0.0.1") };
    let started = Instant::now();
    let error = client().connect(&destination, &options).await.unwrap_err();
    assert!(matches!(error, SshError::Connect { .. }), "{error}");
    assert!(started.elapsed() >= Duration::from_millis(250));
    // A port that closes at once.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = tokio::spawn(async move {
        let mut count = 0;
        while count < 2 {
            drop(listener.accept().await.unwrap());
            count += 1;
        }
    });
    let destination = Destination { port: Some(port), ..Destination::new("127.0.0.1") };
    let error = client().connect(&destination, &options).await.unwrap_err();
    assert!(matches!(error, SshError::Handshake { .. }), "{error}");
    accepting.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_on_the_port_is_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let destination = Destination { port: Some(port), ..Destination::new("127.0.0.1") };
    let options = ConnectOptions {
        connect_timeout: Some(Duration::from_secs(5)),
        retries: Some(0),
        ..ConnectOptions::default()
    };
    let error = client().connect(&destination, &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_connections_at_once() {
    let sshd = Sshd::start();
    let client = client_with(|options| options.connect_limit = 16);
    let started = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..50 {
        let (client, destination, options) = (client.clone(), sshd.destination(), sshd.options());
        tasks.push(tokio::spawn(async move {
            let session = client.connect(&destination, &options).await.unwrap();
            let printed = output(&session, &format!("echo {number}")).await;
            assert_eq!(printed, format!("{number}\n"));
            session.close().await;
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    eprintln!("50 connections with a command: {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_takes_six_round_trips_and_a_command_one() {
    // Long enough that what belongs together arrives together.
    const ONE_WAY: Duration = Duration::from_millis(100);
    let sshd = Sshd::start();
    let proxy = Proxy::start(sshd.port, ONE_WAY).await;
    let (destination, options) = via(&sshd, &proxy);
    let started = Instant::now();
    let session = client().connect(&destination, &options).await.unwrap();
    // Version and algorithms, key exchange, service, key query, signature; TCP comes on top.
    assert_eq!(proxy.turns(), 5);
    let round_trips = started.elapsed().as_secs_f64() / (2.0 * ONE_WAY.as_secs_f64());
    eprintln!("a connection took as long as {round_trips:.1} round trips");
    let before = proxy.turns();
    let mut process = session.exec("cat").await.unwrap();
    // The command may already be on its way.
    assert!(proxy.turns() - before <= 2, "the channel");
    process.stdin.write_all(b"x").await.unwrap();
    process.stdout.read_u8().await.unwrap();
    // The host's answer to the command may come between it and its input.
    assert!(proxy.turns() - before <= 3, "the command and its input");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_session_closes_its_connection() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let mut process = session.exec("cat /dev/zero").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(session);
    let error = process.wait().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    // It hears of the end, or finds nobody there when it goes on to send.
    let ends = ["Disconnected", "disconnect", "Broken pipe"];
    for _ in 0..100 {
        let log = sshd.log();
        if ends.iter().any(|end| log.contains(end)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("sshd still has the connection: {}", sshd.log());
}
