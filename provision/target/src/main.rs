//! The helper program.

use std::path::PathBuf;
use std::process::ExitCode;

use provision_target::{identity, serve};

const USAGE: &str = "\
usage: provision-target --serve [--state FOLDER]   speak with a controller on stdin and stdout
       provision-target --verify SHA256            check this program's own digest
       provision-target --version";

/// The arguments are wrong.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--serve"] => serve::session::serve(serve::session::Options::default()),
        ["--serve", "--state", folder] => {
            let state = Some(PathBuf::from(folder));
            serve::session::serve(serve::session::Options { state })
        }
        ["--child"] => serve::child::serve(None),
        ["--child", "--as", user] => serve::child::serve(Some(user)),
        ["--async-job"] => serve::detach::start_orphan(),
        ["--async-run"] => serve::detach::run(),
        ["--verify", sha256] => identity::verify(sha256),
        ["--version"] => {
            println!("provision-target {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}
