//! What is printed against what ansible-core printed for the same playbooks and arguments
//! (`tests/ansible/recorded`, made by `record.sh` there). Hosts are helpers in this process.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::Parser;
use provision_engine::channel::{Dial, Dialing, Endpoint, Keeper, Link, Trouble};
use provision_engine::helper::Helper;
use provision_target::serve::channel::Output;
use provision_target::serve::session::{Options, serve_on};
use regex::Regex;
use tokio::net::unix::pipe;

use super::super::adhoc::adhoc;
use super::super::arguments::{AdhocProgram, PlaybookProgram};
use super::super::config::Configuration;
use super::super::page::Page;
use super::{Outlet, playbook};

/// Each connection has a helper of its own; what they remember is in one folder a connection.
struct InProcess(Arc<Mutex<Vec<tempfile::TempDir>>>);

impl Dial for InProcess {
    fn helper(&self) -> Result<Helper, Trouble> {
        // The program is there already, so nobody asks for it.
        Ok(Helper { sha256: "00", compressed: b"not uploaded" })
    }

    fn dial<'a>(&'a self, _endpoint: &'a Endpoint, _command: &'a str) -> Dialing<'a> {
        Box::pin(async move {
            let failed = |error: std::io::Error| (error.to_string(), None);
            let folder = tempfile::tempdir().map_err(failed)?;
            let options = Options { state: Some(folder.path().join("state")) };
            self.0.lock().unwrap().push(folder);
            let (input, to_helper) = std::io::pipe().map_err(failed)?;
            let (from_helper, mut output) = std::io::pipe().map_err(failed)?;
            output.write_all(b"provision-bootstrap-1 present\n").map_err(failed)?;
            std::thread::spawn(move || {
                let input = File::from(OwnedFd::from(input));
                let output = Output::new(File::from(OwnedFd::from(output)));
                serve_on(input, output, options)
            });
            let input = pipe::Sender::from_owned_fd(to_helper.into()).map_err(failed)?;
            let output = pipe::Receiver::from_owned_fd(from_helper.into()).map_err(failed)?;
            let keeper = Keeper::new(tokio::io::empty(), ());
            Ok(Link { input: Box::new(input), output: Box::new(output), keeper })
        })
    }
}

#[derive(Clone, Default)]
struct Stream(Arc<Mutex<Vec<u8>>>);

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Stream {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ansible")
}

/// Exit code, standard output and standard error of a run.
fn ran(words: &[String]) -> (u8, String, String) {
    let arguments =
        PlaybookProgram::try_parse_from(["ansible-playbook".to_owned()].iter().chain(words));
    let arguments = arguments.unwrap_or_else(|error| panic!("{words:?}: {error}")).arguments;
    let (out, errors) = (Stream::default(), Stream::default());
    let folders = Arc::default();
    let outlet = Outlet {
        page: Page::on(Box::new(out.clone()), Box::new(errors.clone()), false),
        keeps_journal: false,
        dial: Some(Arc::new(InProcess(Arc::clone(&folders)))),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let code = runtime.block_on(playbook(&arguments, &Configuration::default(), outlet));
    runtime.shutdown_background();
    (code, out.text(), errors.text())
}

/// Without times, and without what is ours to differ in: banners of `meta`, and the empty
/// configuration file of the recording.
fn settled(text: &str) -> String {
    let time = Regex::new(r#""(delta|end|start)": "[0-9: .-]+""#).unwrap();
    let text = time.replace_all(text, r#""$1": "TIME""#);
    let meta = Regex::new(r"\nTASK \[meta\] \*+\n").unwrap();
    let text = meta.replace_all(&text, "");
    let file =
        Regex::new(r"(Using .* as config file|No config file found; using defaults)\n").unwrap();
    file.replace_all(&text, "").into_owned()
}

/// Arguments of a case as a shell would split them; JSON has no blanks in it here.
fn words(arguments: &str, folder: &str, scratch: &str) -> Vec<String> {
    let mut words = vec!["-i".to_owned(), format!("{folder}/hosts.ini")];
    words.extend(["-f", "1", "-e"].map(str::to_owned));
    words.push(format!("scratch={scratch}"));
    let mut quoted: Option<String> = None;
    for part in arguments.split(' ') {
        let part = match &mut quoted {
            Some(begun) => {
                begun.push(' ');
                begun.push_str(part);
                if !part.ends_with('"') {
                    continue;
                }
                quoted.take().unwrap()
            }
            None if part.starts_with('"') && !part.ends_with('"') => {
                quoted = Some(part.to_owned());
                continue;
            }
            None => part.to_owned(),
        };
        let part = part.trim_matches('"').to_owned();
        let is_playbook = part.ends_with(".yml") && !part.contains('/');
        words.push(if is_playbook { format!("{folder}/{part}") } else { part });
    }
    words
}

#[test]
fn what_is_printed_is_what_ansible_prints() {
    let folder = folder();
    let cases = std::fs::read_to_string(folder.join("cases")).unwrap();
    let shown = folder.display().to_string();
    let mut wrong = Vec::new();
    let wanted = std::env::var("CASE").ok();
    for line in cases.lines().filter(|line| !line.starts_with('#')) {
        let (name, arguments) = line.split_once(' ').unwrap();
        if wanted.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let scratch = tempfile::tempdir().unwrap();
        let scratch_path = scratch.path().display().to_string();
        let (code, out, errors) = ran(&words(arguments, &shown, &scratch_path));
        let said = format!("exit {code}\n{out}");
        let said = said.replace(&scratch_path, "SCRATCH").replace(&shown, "FOLDER");
        let recorded = std::fs::read_to_string(folder.join("recorded").join(name)).unwrap();
        let (said, recorded) = (settled(&said), settled(&recorded));
        if said != recorded {
            let diff = similar::TextDiff::from_lines(&recorded, &said);
            let diff = diff.unified_diff().header("ansible", "provision").to_string();
            wrong.push(format!("{name}: {arguments}\n{diff}{errors}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What `ansible` prints; expected texts are those of ansible-core 2.18.19.
#[test]
fn modules_are_printed_as_ansible_prints_them() {
    let folder = folder();
    let inventory = folder.join("hosts.ini").display().to_string();
    let table: [(&[&str], u8, &str); 6] = [
        (
            &["one", "-m", "ping"],
            0,
            "one | SUCCESS => {\n    \"changed\": false,\n    \"ping\": \"pong\"\n}\n",
        ),
        (&["one", "-a", "echo hi"], 0, "one | CHANGED | rc=0 >>\nhi\n"),
        (&["one", "-a", "echo hi", "-o"], 0, "one | CHANGED | rc=0 | (stdout) hi\n"),
        (
            &["one", "-m", "shell", "-a", "echo out; echo err >&2; exit 3"],
            2,
            "one | FAILED | rc=3 >>\nouterrnon-zero return code\n",
        ),
        (&["one", "-m", "debug", "-a", "msg=x"], 0, "one | SUCCESS => {\n    \"msg\": \"x\"\n}\n"),
        (&["one", "--list-hosts"], 0, "  hosts (1):\n    one\n"),
    ];
    for (words, code, expected) in table {
        let words = ["ansible", "-i", &inventory].into_iter().chain(words.iter().copied());
        let arguments = AdhocProgram::try_parse_from(words).unwrap().arguments;
        let (out, errors) = (Stream::default(), Stream::default());
        let outlet = Outlet {
            page: Page::on(Box::new(out.clone()), Box::new(errors.clone()), false),
            keeps_journal: false,
            dial: Some(Arc::new(InProcess(Arc::default()))),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(adhoc(&arguments, &Configuration::default(), outlet));
        runtime.shutdown_background();
        assert_eq!((out.text().as_str(), ended), (expected, code), "{}", errors.text());
    }
}
