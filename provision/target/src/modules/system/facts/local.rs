//! Facts: what the host's owner left in `facts.d`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use provision_protocol::Object;
use serde_json::Value;

use super::super::process::Run;
use super::{FILE_LIMIT_BYTES, Gathering, content, entries};

pub(super) fn local(gathering: &mut Gathering<'_, '_>) {
    let folder = gathering.fact_path.clone();
    let mut facts = Object::new();
    for name in entries(&folder) {
        let Some(base) = name.strip_suffix(".fact").filter(|_| !name.starts_with('.')) else {
            continue;
        };
        let path = folder.join(&name);
        let fact = read(&path, gathering).and_then(|text| parse(&text, &path));
        let fact = fact.unwrap_or_else(|problem| {
            gathering.warnings.push(problem.clone());
            problem.into()
        });
        facts.insert(base.to_owned(), fact);
    }
    gathering.set("local", facts);
}

/// The text of a fact: what an executable prints, otherwise the file itself.
fn read(path: &Path, gathering: &Gathering<'_, '_>) -> Result<String, String> {
    let shown = path.display();
    let data =
        path.metadata().map_err(|error| format!("Could not stat fact ({shown}): {error}"))?;
    if data.permissions().mode() & 0o100 == 0 {
        if data.len() > FILE_LIMIT_BYTES {
            return Err(format!("fact file too large ({shown})"));
        }
        return Ok(content(path).unwrap_or_default());
    }
    let finished = Run::new(path)
        .run(gathering.context)
        .map_err(|error| format!("Could not execute fact script ({shown}): {error}"))?;
    if !finished.succeeded() {
        return Err(format!(
            "Failure executing fact script ({shown}), rc: {}, err: {}",
            finished.rc,
            finished.stderr_text()
        ));
    }
    String::from_utf8(finished.stdout)
        .map_err(|_| format!("error loading fact - output of running \"{shown}\" was not utf-8"))
}

fn parse(text: &str, path: &Path) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    parse_ini(text).map(Value::Object).ok_or_else(|| {
        format!("error loading facts as JSON or ini - please check content: {}", path.display())
    })
}

/// A file as Python's `ConfigParser` reads it: sections of options, `[DEFAULT]` for all of them,
/// names in lower case, indented lines continue a value.
fn parse_ini(text: &str) -> Option<Object> {
    let mut defaults: Vec<(String, String)> = Vec::new();
    let mut sections: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut in_defaults = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            let options = if in_defaults { &mut defaults } else { &mut sections.last_mut()?.1 };
            let (_, value) = options.last_mut()?;
            value.push('\n');
            value.push_str(trimmed);
            continue;
        }
        if let Some(header) = trimmed.strip_prefix('[') {
            let name = header.split_once(']')?.0;
            in_defaults = name == "DEFAULT";
            if !in_defaults {
                if sections.iter().any(|(known, _)| known == name) {
                    return None;
                }
                sections.push((name.to_owned(), Vec::new()));
            }
            continue;
        }
        let at = trimmed.find(['=', ':'])?;
        let (name, value) = trimmed.split_at_checked(at)?;
        let value = value.get(1..).unwrap_or_default().trim();
        let option = (name.trim().to_lowercase(), value.to_owned());
        if in_defaults {
            defaults.push(option);
        } else {
            sections.last_mut()?.1.push(option);
        }
    }
    let facts = sections
        .into_iter()
        .map(|(name, options)| {
            let values: Object = defaults
                .iter()
                .cloned()
                .chain(options)
                .map(|(name, value)| (name, value.replace("%%", "%").into()))
                .collect();
            (name, Value::Object(values))
        })
        .collect();
    Some(facts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn ini_files() {
        let text = "# about\n[DEFAULT]\na = 1\n[One]\nKey: v1\n  v2\nb=x=y\n[two]\n";
        let facts = parse_ini(text).unwrap();
        assert_eq!(
            Value::Object(facts),
            json!({"One": {"a": "1", "key": "v1\nv2", "b": "x=y"}, "two": {"a": "1"}})
        );
        assert_eq!(parse_ini("a = 1\n"), None);
        assert_eq!(parse_ini("[a]\nnothing\n"), None);
        assert_eq!(parse_ini("[a]\n[a]\n"), None);
        assert_eq!(parse_ini(""), Some(Object::new()));
    }

    #[test]
    fn facts_from_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write("plain.fact", "{\"a\": [1]}", 0o644);
        write("ini.fact", "[s]\nk=v\n", 0o644);
        write("run.fact", "#!/bin/sh\necho '{\"ran\": true}'\n", 0o755);
        write("bad.fact", "#!/bin/sh\nexit 3\n", 0o755);
        write("other.txt", "", 0o644);
        let given = json!({
            "gather_subset": ["!all", "!min", "local"], "fact_path": folder.path(),
        });
        let outcome = context().call(super::super::setup, given).unwrap();
        let facts = &outcome.values["ansible_facts"]["ansible_local"];
        assert_eq!(facts["plain"], json!({"a": [1]}));
        assert_eq!(facts["ini"], json!({"s": {"k": "v"}}));
        assert_eq!(facts["run"], json!({"ran": true}));
        assert!(facts["bad"].as_str().unwrap().contains("rc: 3"));
        assert_eq!(facts.as_object().unwrap().len(), 4);
        assert_eq!(outcome.values["warnings"].as_array().unwrap().len(), 1);
    }
}
