//! Facts: the host's Python. Nothing here needs one, but content asks for it, to name packages.

use std::path::Path;

use serde_json::Value;

use super::super::process::Run;
use super::{Gathering, object};

/// Where an interpreter may be, as Ansible looks for one; the first that exists is meant.
const INTERPRETERS: &[&str] = &["/usr/bin/python3", "/usr/local/bin/python3", "/bin/python3"];

/// Prints what the facts are made of, a value a line, and loads next to nothing for it.
const PROGRAM: &str = "import sys\nfor v in (sys.executable, sys.implementation.name, \
                       *sys.version_info): print(v)\n";

/// `python` and `python_version`; neither on a host without Python.
pub(super) fn python(gathering: &mut Gathering<'_, '_>) {
    let Some(interpreter) = INTERPRETERS.iter().map(Path::new).find(|path| path.exists()) else {
        return;
    };
    // Without `site` and the environment of the user.
    let run = Run::new(interpreter).arguments(["-I", "-S", "-c", PROGRAM]);
    let Ok(finished) = run.run(gathering.context) else { return };
    if !finished.succeeded() {
        return;
    }
    if let Some((fact, version)) = fact(&finished.stdout_text()) {
        gathering.set("python", fact);
        gathering.set("python_version", version);
    }
}

/// The fact and the version, from what the program printed.
fn fact(text: &str) -> Option<(Value, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let [executable, kind, major, minor, micro, level, serial] = lines.as_slice() else {
        return None;
    };
    let number = |text: &str| text.parse::<u64>().ok().map(Value::from);
    let (major, minor, micro) = (number(major)?, number(minor)?, number(micro)?);
    let (level, serial) = (Value::from(*level), number(serial)?);
    let version = format!("{major}.{minor}.{micro}");
    let info = [&major, &minor, &micro, &level, &serial].map(Value::clone).to_vec();
    let fact = object([
        (
            "version",
            object([
                ("major", major),
                ("minor", minor),
                ("micro", micro),
                ("releaselevel", level),
                ("serial", serial),
            ]),
        ),
        ("version_info", info.into()),
        ("executable", (*executable).into()),
        ("has_sslcontext", true.into()),
        ("type", (*kind).into()),
    ]);
    Some((fact, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_is_described() {
        let (fact, version) = fact("/usr/bin/python3\ncpython\n3\n11\n2\nfinal\n0\n").unwrap();
        assert_eq!(version, "3.11.2");
        assert_eq!(fact["version"]["minor"], 11);
        assert_eq!(fact["version_info"], serde_json::json!([3, 11, 2, "final", 0]));
        assert_eq!(fact["executable"], "/usr/bin/python3");
        assert_eq!(super::fact("nonsense"), None);
    }
}
