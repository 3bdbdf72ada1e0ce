//! Error messages as users see them: each `tests/errors/NAME.yml` must give `NAME.txt`.
//!
//! A case begins with `site.yml`; a line `#>>> path` begins another file. `UPDATE_GOLDEN=1`
//! rewrites the expected texts; read them before committing: would a newcomer understand?
#![allow(clippy::disallowed_methods, reason = "a test reads its cases")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Style, render_all};
use provision_playbook::files::MapFiles;
use provision_playbook::{KnownNames, LoadOptions, Loader};

/// The files of a case.
fn files(case: &str) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut path = PathBuf::from("site.yml");
    let mut text = String::new();
    for line in case.lines() {
        if let Some(next) = line.strip_prefix("#>>> ") {
            files.insert(std::mem::replace(&mut path, next.into()), std::mem::take(&mut text));
        } else {
            let _ = writeln!(text, "{line}");
        }
    }
    files.insert(path, text);
    files
}

fn messages(case: &str) -> String {
    let options = LoadOptions { roles_path: vec!["/etc/roles".into()], ..LoadOptions::default() };
    let mut loader = Loader::new(Arc::new(MapFiles::new(files(case))), options);
    let (playbook, mut found) = loader.playbook(Path::new("site.yml"));
    if !found.iter().any(diagnostics::Diagnostic::is_error) {
        found.extend(loader.undefined(&playbook, &KnownNames::default()));
    }
    render_all(&found, loader.sources(), Style::Plain) + "\n"
}

#[test]
fn messages_are_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors");
    let update = std::env::var("UPDATE_GOLDEN").is_ok();
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yml"))
        .collect();
    cases.sort();
    assert!(cases.len() > 10, "the cases are missing");
    let mut wrong = Vec::new();
    for case in cases {
        let given = messages(&std::fs::read_to_string(&case).unwrap());
        let expected = case.with_extension("txt");
        if update {
            std::fs::write(&expected, given).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != given {
            wrong.push(format!("{}:\n{given}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
