//! What passes through a session: exit statuses, streams, sizes.

use std::path::Path;
use std::time::Duration;

use provision_ssh::{ExitStatus, SshError};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Setup, Sshd, output};

const MEBIBYTE: usize = 1024 * 1024;

/// Bytes without a short period.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend((state >> 8).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_signals_arrive() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    for code in [0, 1, 42, 255] {
        let mut process = session.exec(&format!("exit {code}")).await.unwrap();
        assert_eq!(process.wait().await.unwrap(), ExitStatus::Code(code));
        assert_eq!(process.wait().await.unwrap(), ExitStatus::Code(code), "asked again");
    }
    let mut process = session.exec("kill -TERM $$").await.unwrap();
    assert_eq!(process.wait().await.unwrap(), ExitStatus::Signal("TERM".to_owned()));
    // sshd ignores requests for signals where it runs without privilege separation (root); they
    // must do no harm then.
    let mut process = session.exec("echo started; exec cat").await.unwrap();
    process.stdout.read_u8().await.unwrap();
    process.exit.signal("KILL").await.unwrap();
    process.stdin.shutdown().await.unwrap();
    let status = process.wait().await.unwrap();
    assert!(status.success() || status == ExitStatus::Signal("KILL".to_owned()), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_error_is_separate() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let process = session.exec("echo out; echo err >&2; exit 3").await.unwrap();
    let collected = process.collect(100).await.unwrap();
    assert_eq!(collected.stdout, b"out\n");
    assert_eq!(collected.stderr, b"err\n");
    assert_eq!(collected.status, ExitStatus::Code(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_arrive_whole() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let data = noise(64 * MEBIBYTE);
    let file = sshd.path("upload");
    let mut process = session.exec(&format!("cat >{}", file.display())).await.unwrap();
    process.stdin.write_all(&data).await.unwrap();
    process.stdin.shutdown().await.unwrap();
    assert!(process.wait().await.unwrap().success());
    assert_eq!(digest(&std::fs::read(&file).unwrap()), digest(&data));
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_arrive_whole() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let data = noise(64 * MEBIBYTE);
    std::fs::write(sshd.path("download"), &data).unwrap();
    let command = format!("cat {}", sshd.path("download").display());
    let process = session.exec(&command).await.unwrap();
    let collected = process.collect(100 * MEBIBYTE as u64).await.unwrap();
    assert_eq!(digest(&collected.stdout), digest(&data));
    // Beyond the limit everything is read but not kept.
    let process = session.exec(&command).await.unwrap();
    let collected = process.collect(10).await.unwrap();
    assert_eq!(collected.stdout, data[..10]);
    assert!(collected.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_directions_at_once_do_not_deadlock() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let data = noise(32 * MEBIBYTE);
    let mut process = session.exec("cat").await.unwrap();
    let sent = data.clone();
    let writer = tokio::spawn(async move {
        process.stdin.write_all(&sent).await.unwrap();
        process.stdin.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    process.stdout.read_to_end(&mut received).await.unwrap();
    writer.await.unwrap();
    assert_eq!(digest(&received), digest(&data));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_in_the_middle_of_a_transfer_change_nothing() {
    let sshd =
        Sshd::start_with(Setup { lines: vec!["RekeyLimit 1M".to_owned()], ..Setup::default() });
    let session = sshd.connect().await.unwrap();
    let data = noise(16 * MEBIBYTE);
    let mut process = session.exec("cat").await.unwrap();
    let sent = data.clone();
    let writer = tokio::spawn(async move {
        process.stdin.write_all(&sent).await.unwrap();
        process.stdin.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    process.stdout.read_to_end(&mut received).await.unwrap();
    writer.await.unwrap();
    assert_eq!(digest(&received), digest(&data));
    assert_eq!(output(&session, "echo alive").await, "alive\n");
}

/// Bytes of a file as soon as it has some and got no more for a second.
async fn settled_bytes(path: &Path) -> u64 {
    let mut seen = 0;
    let mut unchanged_for = Duration::ZERO;
    let step = Duration::from_millis(50);
    while seen == 0 || unchanged_for < Duration::from_secs(1) {
        tokio::time::sleep(step).await;
        let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        unchanged_for = if bytes == seen { unchanged_for + step } else { Duration::ZERO };
        seen = bytes;
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_waits_holds_back_the_host_and_not_our_memory() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let progress = sshd.path("progress");
    // Writes blocks and adds a byte to a file for each that was taken.
    let command = format!(
        "i=0; while [ $i -lt 400 ]; do head -c 131072 /dev/zero; i=$((i+1)); printf . >>{}; done",
        progress.display()
    );
    let mut process = session.exec(&command).await.unwrap();
    let taken = settled_bytes(&progress).await;
    // 50 MiB in all; the pipe, russh's queue, the window and sockets hold less than 16 MiB.
    assert!(taken < 128, "{taken} blocks of 128 KiB were taken without a reader");
    let mut received = Vec::new();
    process.stdout.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), 400 * 131_072);
    assert!(process.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_does_not_stop_the_others() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let command = "head -c 20000000 /dev/zero >&2; echo done";
    let mut process = session.exec(command).await.unwrap();
    drop(process.stderr);
    let mut text = String::new();
    process.stdout.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "done\n");
    assert!(process.exit.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_messages_are_not_a_full_stream() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    // Far more messages than russh queues, far fewer bytes than our pipe holds.
    let command = "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done; cat >&2";
    let mut process = session.exec(command).await.unwrap();
    process.stdin.write_all(b"still listening").await.unwrap();
    process.stdin.shutdown().await.unwrap();
    let mut echoed = String::new();
    process.stderr.read_to_string(&mut echoed).await.unwrap();
    assert_eq!(echoed, "still listening");
    let mut numbers = String::new();
    process.stdout.read_to_string(&mut numbers).await.unwrap();
    assert_eq!(numbers.lines().count(), 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn input_to_a_command_that_has_ended_breaks() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let mut process = session.exec("exit 7").await.unwrap();
    let data = vec![0; MEBIBYTE];
    let error = loop {
        if let Err(error) = process.stdin.write_all(&data).await {
            break error;
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(process.wait().await.unwrap(), ExitStatus::Code(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_process_closes_its_channel_only() {
    let sshd = Sshd::start();
    let session = sshd.connect().await.unwrap();
    let marker = sshd.path("marker");
    // The shell ends when its input does, which the closed channel causes.
    let command = format!("cat >/dev/null; echo ended >{}", marker.display());
    let process = session.exec(&command).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!marker.exists());
    drop(process);
    for _ in 0..200 {
        if marker.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(marker.exists());
    assert_eq!(output(&session, "echo alive").await, "alive\n");
    // Also one whose output fills everything up.
    let process = session.exec("cat /dev/zero").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(process);
    assert_eq!(output(&session, "echo alive").await, "alive\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_channels_than_the_host_allows_are_refused_with_a_reason() {
    let sshd =
        Sshd::start_with(Setup { lines: vec!["MaxSessions 1".to_owned()], ..Setup::default() });
    let session = sshd.connect().await.unwrap();
    let _first = session.exec("cat").await.unwrap();
    let error = session.exec("true").await.unwrap_err();
    assert!(matches!(error, SshError::Refused { .. }), "{error}");
    assert!(error.hint().contains("MaxSessions"));
}
