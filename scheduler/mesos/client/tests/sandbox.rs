//! Output of tasks against a listener that answers as agents do: `/state` and `/files/read` as recorded.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use mesos::FrameworkId;
use scheduler_mesos_client::{SandboxError, SandboxTail};

/// What the agent has: the bytes of one file; nothing if its sandbox is gone.
type File = Arc<Mutex<Option<Vec<u8>>>>;

const STATE: &str = r#"{"frameworks": [{"id": "f", "executors": [{"id": "web.1",
    "directory": "/work/run s/1"}], "completed_executors": []}], "completed_frameworks": []}"#;

fn agent(file: &File) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let file = Arc::clone(file);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let file = Arc::clone(&file);
            thread::spawn(move || answer(&stream, &file));
        }
    });
    address
}

fn answer(stream: &TcpStream, file: &File) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let mut header = String::new();
        while header.trim() != "" || header.is_empty() {
            header.clear();
            reader.read_line(&mut header).ok().filter(|length| *length > 0)?;
        }
        let target = line.split(' ').nth(1)?.to_owned();
        let (status, body) = match target.split_once('?') {
            None if target == "/state" => (200, STATE.as_bytes().to_vec()),
            Some(("/files/read", query)) => read(query, file.lock().unwrap().as_deref()),
            _ => (404, Vec::new()),
        };
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        (&mut &*stream).write_all(&[head.into_bytes(), body].concat()).ok()?;
    }
}

/// As `files.cpp` reads: at most 64 KiB, and the length of the file for what is at -1.
fn read(query: &str, file: Option<&[u8]>) -> (u16, Vec<u8>) {
    let value = |name: &str| {
        let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().to_owned()
    };
    let Some(bytes) = file.filter(|_| value("path") == "/work/run%20s/1/stdout") else {
        return (404, Vec::new());
    };
    let offset = match value("offset").parse::<i64>().unwrap() {
        -1 => bytes.len(),
        offset => usize::try_from(offset).unwrap().min(bytes.len()),
    };
    let length = value("length").parse::<usize>().unwrap().min(64 << 10).min(bytes.len() - offset);
    let mut body = b"{\"data\":\"".to_vec();
    for byte in &bytes[offset..offset + length] {
        match byte {
            b'\n' => body.extend_from_slice(b"\\n"),
            b'"' => body.extend_from_slice(b"\\\""),
            byte => body.push(*byte),
        }
    }
    body.extend_from_slice(format!("\",\"offset\":{offset}}}").as_bytes());
    (200, body)
}

fn find(address: SocketAddr, framework: &str, task: &str) -> Result<SandboxTail, SandboxError> {
    SandboxTail::find(&address.to_string(), &FrameworkId::new(framework), task, "stdout")
}

fn all(tail: &mut SandboxTail) -> Vec<u8> {
    let mut found = Vec::new();
    loop {
        match tail.next_part().unwrap() {
            part if part.is_empty() => return found,
            part => found.extend_from_slice(&part),
        }
    }
}

#[test]
fn the_last_lines_and_what_comes_after_them() {
    // Lines longer than a part, and bytes that are no text.
    let long = vec![b'x'; 100_000];
    let text = [b"first\n".as_slice(), &long, b"\n\xff \"quoted\"\nlast\n"].concat();
    let file: File = Arc::new(Mutex::new(Some(text.clone())));
    let address = agent(&file);
    for (lines, expected) in [
        (0, b"".as_slice()),
        (1, b"last\n"),
        (2, b"\xff \"quoted\"\nlast\n"),
        (3, &text[6..]),
        (4, &text),
        (100, &text),
    ] {
        let mut tail = find(address, "f", "web.1").unwrap();
        tail.last_lines(lines).unwrap();
        assert!(all(&mut tail) == expected, "{lines} lines");
    }
    let mut tail = find(address, "f", "web.1").unwrap();
    tail.last_lines(1).unwrap();
    assert_eq!(all(&mut tail), b"last\n");
    file.lock().unwrap().as_mut().unwrap().extend_from_slice(b"more");
    assert_eq!(all(&mut tail), b"more");
    // A full file was put aside, and another one is begun.
    *file.lock().unwrap() = Some(b"anew\n".to_vec());
    assert_eq!(all(&mut tail), b"anew\n");
    *file.lock().unwrap() = None;
    assert!(matches!(tail.next_part(), Err(SandboxError::Gone { .. })));
}

#[test]
fn what_is_not_there_is_told_apart() {
    let file: File = Arc::new(Mutex::new(Some(Vec::new())));
    let address = agent(&file);
    let mut tail = find(address, "f", "web.1").unwrap();
    tail.last_lines(5).unwrap();
    assert_eq!(all(&mut tail), b"");
    assert!(matches!(find(address, "f", "web.2"), Err(SandboxError::Gone { .. })));
    assert!(matches!(find(address, "g", "web.1"), Err(SandboxError::Gone { .. })));
    *file.lock().unwrap() = None;
    assert!(matches!(find(address, "f", "web.1"), Err(SandboxError::Gone { .. })));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = find(nobody, "f", "web.1").unwrap_err();
    assert!(matches!(error, SandboxError::Away { .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("the agent at {nobody} doesn't answer: ")));
}
