//! The command line that starts or installs the helper, run through real shells.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use provision_protocol::bootstrap::{Answer, Installation, Packing, Role, answer};
use provision_protocol::frame::read_frame;
use provision_protocol::{Frame, FrameReader, FromHost, PROTOCOL_VERSION, ToHost};
use sha2::{Digest, Sha256};
use support::PROGRAM;

struct Channel {
    process: Child,
    read: Vec<u8>,
}

impl Channel {
    fn open(shell: &str, command: &str, home: &Path) -> Channel {
        let process = Command::new(shell)
            .args(["-c", command])
            .env("HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Channel { process, read: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.process.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Reads the next answer and takes it off.
    fn answer(&mut self) -> Answer {
        loop {
            match answer(&self.read) {
                Answer::Incomplete => {}
                found => {
                    if let Answer::Present { length } | Answer::Absent { length } = found {
                        self.read.drain(..length);
                    }
                    return found;
                }
            }
            let mut buffer = [0; 4096];
            let count = self.process.stdout.as_mut().unwrap().read(&mut buffer).unwrap();
            if count == 0 {
                return Answer::Incomplete;
            }
            self.read.extend_from_slice(&buffer[..count]);
        }
    }

    fn greeting(&mut self) -> FromHost {
        let mut reader = FrameReader::default();
        reader.push(&self.read);
        let frame = read_frame(self.process.stdout.as_mut().unwrap(), &mut reader).unwrap();
        let Some(Frame::Message(payload)) = frame else { panic!("no frame") };
        Frame::parse(&payload).unwrap()
    }

    fn end(mut self) -> (i32, String) {
        drop(self.process.stdin.take());
        let output = self.process.wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

fn hello() -> Vec<u8> {
    let hello = ToHost::Hello {
        protocol: PROTOCOL_VERSION,
        run: "bootstrap-test".into(),
        controller: "test".into(),
        lock_wait_ms: 0,
        exclusive: false,
    };
    Frame::message(&hello).unwrap().encode()
}

fn packed(program: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(program).unwrap();
    encoder.finish().unwrap()
}

fn installation(program: &[u8], packed: &[u8]) -> Installation {
    Installation {
        sha256: hex::encode(Sha256::digest(program)),
        packed_bytes: packed.len() as u64,
        packing: Packing::Gzip,
        early_bytes: hello().len() as u64,
        role: Role::Serve,
    }
}

#[test]
fn absent_present_and_damaged() {
    let program = fs::read(PROGRAM).unwrap();
    let packed = packed(&program);
    let installation = installation(&program, &packed);
    let command = installation.command();
    for shell in ["sh", "bash"] {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".cache/provision");
        let file = folder.join(&installation.sha256);
        for state in ["absent", "present", "damaged", "emptied"] {
            match state {
                "damaged" => fs::write(&file, &program[..1000]).unwrap(),
                "emptied" => fs::write(&file, "").unwrap(),
                _ => {}
            }
            let mut channel = Channel::open(shell, &command, home.path());
            channel.write(&hello());
            let mut found = channel.answer();
            assert_eq!(matches!(found, Answer::Present { .. }), state == "present", "{state}");
            if matches!(found, Answer::Absent { .. }) {
                channel.write(&packed);
                channel.write(&hello());
                found = channel.answer();
            }
            assert!(matches!(found, Answer::Present { .. }), "{state} {:?}", channel.end());
            assert!(matches!(channel.greeting(), FromHost::Hello(_)));
            let data = fs::metadata(&file).unwrap();
            assert_eq!((data.mode() & 0o7777, data.len()), (0o700, program.len() as u64));
            assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o700);
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
            channel.end();
        }
    }
}

#[test]
fn a_program_that_arrives_broken_is_not_installed() {
    let program = fs::read(PROGRAM).unwrap();
    let mut packed = packed(&program);
    let installation = installation(&program, &packed);
    let middle = packed.len() / 2;
    packed[middle] ^= 1;
    let home = tempfile::tempdir().unwrap();
    let mut channel = Channel::open("sh", &installation.command(), home.path());
    channel.write(&hello());
    assert!(matches!(channel.answer(), Answer::Absent { .. }));
    // The other side stops reading where it notices: in the middle.
    match channel.process.stdin.as_mut().unwrap().write_all(&packed) {
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe),
        Ok(()) => assert_eq!(channel.answer(), Answer::Incomplete),
    }
    let (code, said) = channel.end();
    assert_eq!(code, 71, "{said}");
    let folder = home.path().join(".cache/provision");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
}

#[test]
fn folders_of_others_and_links_are_passed_over() {
    let program = b"not needed".to_vec();
    let installation = installation(&program, &program);
    let home = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".cache")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), home.path().join(".cache/provision")).unwrap();
    fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut channel = Channel::open("sh", &installation.command(), home.path());
    channel.write(&hello());
    assert!(matches!(channel.answer(), Answer::Absent { .. }));
    channel.end();
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    // The fallback was used; its name tells the user.
    let fallback = Path::new("/var/tmp/provision-0");
    assert_eq!(fs::metadata(fallback).unwrap().mode() & 0o7777, 0o700);
    let _ = fs::remove_dir(fallback);
}
