//! One host: its folder, its helper, and what the wire saw of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread::JoinHandle;

use provision_engine::channel::Endpoint;
use provision_protocol::{Call, Frame, FrameReader, FromHost, ToHost};
use provision_target::serve::channel::Output;
use provision_target::serve::session::{Options, serve_on};
use tempfile::TempDir;

use crate::relay::{Act, Side};

/// Decides what becomes of each frame.
pub type Mischief = Box<dyn FnMut(Side, &Frame) -> Vec<Act> + Send>;

/// What the wire saw, over all connections.
#[derive(Default)]
pub struct Seen {
    /// Every byte that the controller sent.
    pub bytes: Vec<u8>,
    /// How it was reached, each time.
    pub endpoints: Vec<Endpoint>,
    /// What the controller was told, as it was told.
    pub told: Vec<FromHost>,
}

pub struct Machine {
    pub name: String,
    folder: TempDir,
    seen: Mutex<Seen>,
    mischief: Mutex<Option<Mischief>>,
    is_cut_off: AtomicBool,
    helpers: Mutex<Vec<JoinHandle<ExitCode>>>,
}

impl Machine {
    pub fn new(name: &str) -> Machine {
        let folder = memory_folder();
        fs::create_dir(folder.path().join("files")).unwrap();
        Machine {
            name: name.to_owned(),
            folder,
            seen: Mutex::default(),
            mischief: Mutex::default(),
            is_cut_off: AtomicBool::new(false),
            helpers: Mutex::default(),
        }
    }

    /// Where playbooks put files: `root` in the host's variables.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// From now on, until it is said otherwise.
    pub fn set_mischief(&self, mischief: impl FnMut(Side, &Frame) -> Vec<Act> + Send + 'static) {
        *self.mischief.lock().unwrap() = Some(Box::new(mischief));
    }

    pub fn behave(&self) {
        *self.mischief.lock().unwrap() = None;
    }

    /// Whether nothing reaches it: connections end at the next frame, and no new one comes about.
    pub fn cut_off(&self, is_cut_off: bool) {
        self.is_cut_off.store(is_cut_off, Ordering::SeqCst);
    }

    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off.load(Ordering::SeqCst)
    }

    pub fn ask_mischief(&self, side: Side, frame: &Frame) -> Vec<Act> {
        match self.mischief.lock().unwrap().as_mut() {
            _ if self.is_cut_off() => vec![Act::Cut],
            Some(mischief) => mischief(side, frame),
            None => vec![Act::Pass],
        }
    }

    /// Starts a helper; its two ends of the channel.
    pub fn start(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        let (input, to_helper) = io::pipe()?;
        let (from_helper, output) = io::pipe()?;
        let options = Options { state: Some(self.folder.path().join("state")) };
        let helper = std::thread::spawn(move || {
            let input = File::from(OwnedFd::from(input));
            let output = Output::new(File::from(OwnedFd::from(output)));
            serve_on(input, output, options)
        });
        self.helpers.lock().unwrap().push(helper);
        Ok((to_helper.into(), from_helper.into()))
    }

    /// Waits until all helpers have ended; their connections must be closed.
    pub fn settle(&self) {
        for helper in self.helpers.lock().unwrap().drain(..) {
            helper.join().expect("the helper panicked");
        }
    }

    /// What the controller said, over all connections.
    pub fn messages(&self) -> Vec<ToHost> {
        frames(&self.seen().bytes)
            .into_iter()
            .filter_map(|frame| match frame {
                Frame::Message(payload) => Some(Frame::parse(&payload).unwrap()),
                Frame::Content { .. } => None,
            })
            .collect()
    }

    /// The calls that the controller sent, over all connections.
    pub fn calls(&self) -> Vec<Call> {
        self.messages()
            .into_iter()
            .filter_map(|message| match message {
                ToHost::Call(call) => Some(*call),
                _ => None,
            })
            .collect()
    }

    /// Digests of the contents of which the controller sent something.
    pub fn contents(&self) -> Vec<String> {
        frames(&self.seen().bytes)
            .into_iter()
            .filter_map(|frame| match frame {
                Frame::Content { sha256, .. } => Some(hex::encode(sha256)),
                Frame::Message(_) => None,
            })
            .collect()
    }

    /// Whether these bytes were sent to it, in any form that a content or call may take.
    pub fn was_sent(&self, text: &str) -> bool {
        use base64::Engine;
        use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
        // The text stands at any of three offsets in what was encoded; what stands in the middle
        // of the encoded text doesn't depend on its neighbours.
        let mut forms = vec![text.to_owned(), hex::encode(text)];
        for padding in 0..3 {
            let padded = format!("{}{text}", "x".repeat(padding));
            for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
                forms.push(encoded[4..encoded.len() - 4].to_owned());
            }
        }
        let seen = self.seen();
        forms.iter().any(|form| contains(&seen.bytes, form.as_bytes()))
    }

    /// Everything below the root: path → kind, mode and bytes.
    pub fn tree(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut tree = BTreeMap::new();
        walk(&self.root(), &self.root(), &mut tree);
        tree
    }

    /// A file below the root as text; empty if there is none.
    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap_or_default()
    }
}

pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return true };
    haystack
        .iter()
        .enumerate()
        .filter(|(_, byte)| *byte == first)
        .any(|(at, _)| haystack[at..].starts_with(needle))
}

/// The frames in a recording that consists of several connections, each of whole frames but
/// perhaps the last.
fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut reader = FrameReader::default();
    reader.push(bytes);
    std::iter::from_fn(|| reader.next_frame().expect("the controller sent garbage")).collect()
}

fn walk(root: &Path, folder: &Path, tree: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::symlink_metadata(&path).unwrap();
        let bytes = if data.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        let name = path.strip_prefix(root).unwrap().to_path_buf();
        tree.insert(name, (data.permissions().mode(), bytes));
        if data.is_dir() {
            walk(root, &path, tree);
        }
    }
}

/// A folder in memory where there is one: what is synced there costs nothing.
pub fn memory_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
