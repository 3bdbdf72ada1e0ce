//! Drives a helper by frames, as the controller does.
#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use provision_protocol::frame::read_frame;
use provision_protocol::{
    Become, Call, CallResult, ContentReference, Frame, FrameReader, FromHost, HostHello, Object,
    PROTOCOL_VERSION, ToHost, write_frame,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_provision-target");

/// Longest time a test waits for a message.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Helper {
    pub process: Child,
    input: Option<ChildStdin>,
    heard: Receiver<Frame>,
}

impl Helper {
    pub fn start(state: &Path) -> Helper {
        let mut command = Command::new(PROGRAM);
        command.args(["--serve", "--state"]).arg(state);
        Helper::from(command)
    }

    pub fn from(mut command: Command) -> Helper {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = process.stdout.take().unwrap();
        let (sender, heard) = channel();
        std::thread::spawn(move || {
            let mut reader = FrameReader::default();
            while let Ok(Some(frame)) = read_frame(&mut output, &mut reader) {
                if sender.send(frame).is_err() {
                    return;
                }
            }
        });
        let input = process.stdin.take();
        Helper { process, input, heard }
    }

    /// Starts a helper and greets it.
    pub fn greeted(state: &Path, run: &str) -> (Helper, HostHello) {
        let mut helper = Helper::start(state);
        helper.hello(run, true, 0);
        let hello = helper.expect_hello();
        (helper, hello)
    }

    pub fn hello(&mut self, run: &str, exclusive: bool, lock_wait_ms: u64) {
        self.say(&ToHost::Hello {
            protocol: PROTOCOL_VERSION,
            run: run.into(),
            controller: "test@here".into(),
            lock_wait_ms,
            exclusive,
        });
    }

    pub fn expect_hello(&mut self) -> HostHello {
        loop {
            match self.hear() {
                FromHost::Hello(hello) => return *hello,
                FromHost::Warning { .. } => {}
                other => panic!("expected a greeting, heard {other:?}"),
            }
        }
    }

    pub fn say(&mut self, message: &ToHost) {
        self.frame(&Frame::message(message).unwrap());
    }

    pub fn call(&mut self, call: Call) {
        self.say(&ToHost::Call(Box::new(call)));
    }

    pub fn frame(&mut self, frame: &Frame) {
        write_frame(self.input.as_mut().unwrap(), frame).unwrap();
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub fn content(&mut self, bytes: &[u8]) {
        let sha256: [u8; 32] = Sha256::digest(bytes).into();
        self.content_as(sha256, bytes);
    }

    pub fn content_as(&mut self, sha256: [u8; 32], bytes: &[u8]) {
        let mut pieces = bytes.chunks(100_000).peekable();
        if pieces.peek().is_none() {
            self.frame(&Frame::Content { sha256, last: true, data: Vec::new() });
        }
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            self.frame(&Frame::Content { sha256, last, data: piece.to_vec() });
        }
    }

    pub fn close(&mut self) {
        self.input = None;
    }

    /// The next message; `None` at the end.
    pub fn try_hear(&mut self) -> Option<FromHost> {
        match self.heard.recv_timeout(PATIENCE) {
            Ok(Frame::Message(payload)) => Some(Frame::parse(&payload).unwrap()),
            Ok(Frame::Content { .. }) => panic!("a content"),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the helper says nothing"),
        }
    }

    pub fn hear(&mut self) -> FromHost {
        self.try_hear().expect("the helper has ended")
    }

    /// The result of the next call, with contents answered from the map.
    pub fn result(&mut self) -> CallResult {
        loop {
            match self.hear() {
                FromHost::Started { .. } | FromHost::Warning { .. } => {}
                FromHost::Result(result) => return *result,
                other => panic!("expected a result, heard {other:?}"),
            }
        }
    }

    /// Runs one call to its end.
    pub fn run(&mut self, call: Call) -> Object {
        let id = call.id;
        self.call(call);
        let result = self.result();
        assert_eq!(result.id, id);
        result.result
    }

    /// Says good-bye and returns the exit code and what was said until then.
    pub fn bye(mut self) -> (i32, Vec<FromHost>) {
        self.say(&ToHost::Bye);
        self.close();
        let mut said = Vec::new();
        while let Some(message) = self.try_hear() {
            said.push(message);
        }
        (self.process.wait().unwrap().code().unwrap_or(-1), said)
    }

    /// Waits for the end.
    pub fn end(mut self) -> i32 {
        self.process.wait().unwrap().code().unwrap_or(-1)
    }
}

pub fn call(id: u64, module: &str, arguments: Value) -> Call {
    let Value::Object(arguments) = arguments else { panic!("not an object") };
    Call {
        id,
        task: id,
        generation: 0,
        ignore_failure: false,
        module: module.into(),
        arguments,
        r#become: None,
        environment: BTreeMap::new(),
        check: false,
        diff: false,
        no_log: false,
        timeout_s: None,
        asynchronous: None,
        contents: Vec::new(),
        notify: Vec::new(),
        completes: Vec::new(),
    }
}

pub fn reference(bytes: &[u8]) -> ContentReference {
    ContentReference { sha256: hex::encode(Sha256::digest(bytes)), size: bytes.len() as u64 }
}

/// A copy of these bytes; the content itself must be sent.
pub fn copy(id: u64, dest: &Path, bytes: &[u8]) -> Call {
    let content = reference(bytes);
    let arguments = serde_json::json!({ "dest": dest, "_content": content });
    Call { contents: vec![content], ..call(id, "copy", arguments) }
}

pub fn as_user(user: &str) -> Option<Become> {
    Some(Become { user: user.into(), method: "sudo".into(), flags: Vec::new() })
}
