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
    let shown = path.display();
    let sections = parse_ini(text).ok_or_else(|| {
        format!("error loading facts as JSON or ini - please check content: {shown}")
    })?;
    let mut facts = Object::new();
    for (name, options) in sections {
        let mut values = Object::new();
        for (option, value) in &options {
            let value = interpolated(value, &options, 0).ok_or_else(|| {
                format!(
                    "error loading facts as ini - please check content: {shown} (bad `%` in \
                     {name}.{option})"
                )
            })?;
            values.insert(option.clone(), value.into());
        }
        facts.insert(name, Value::Object(values));
    }
    Ok(Value::Object(facts))
}

/// How deep values may refer to others, as Python's `configparser` limits it.
const INTERPOLATION_DEPTH: usize = 10;

/// Longest value that references may make, in bytes.
const VALUE_LIMIT_BYTES: usize = 1 << 20;

/// A value with `%(option)s` filled in and `%%` as one sign.
fn interpolated(value: &str, options: &[(String, String)], depth: usize) -> Option<String> {
    let mut result = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        result.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            result.push('%');
            rest = after;
            continue;
        }
        let (name, after) = after.strip_prefix('(')?.split_once(")s")?;
        let name = name.to_lowercase();
        let (_, other) = options.iter().rev().find(|(option, _)| *option == name)?;
        if depth >= INTERPOLATION_DEPTH || result.len() > VALUE_LIMIT_BYTES {
            return None;
        }
        result.push_str(&interpolated(other, options, depth + 1)?);
        rest = after;
    }
    result.push_str(rest);
    (result.len() <= VALUE_LIMIT_BYTES).then_some(result)
}

/// Name and options.
type Section = (String, Vec<(String, String)>);

/// A file as Python's `ConfigParser` reads it: sections of options, `[DEFAULT]` for all of them,
/// names in lower case, indented lines continue a value.
fn parse_ini(text: &str) -> Option<Vec<Section>> {
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
    let sections = sections.into_iter();
    Some(
        sections.map(|(name, own)| (name, defaults.iter().cloned().chain(own).collect())).collect(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn ini_files() {
        let text = "# about\n[DEFAULT]\na = 1\n[One]\nKey: v1\n  v2\nb=x=y\n[two]\n";
        let facts = parse(text, Path::new("x.fact")).unwrap();
        assert_eq!(
            facts,
            json!({"One": {"a": "1", "key": "v1\nv2", "b": "x=y"}, "two": {"a": "1"}})
        );
        assert_eq!(parse_ini("a = 1\n"), None);
        assert_eq!(parse_ini("[a]\nnothing\n"), None);
        assert_eq!(parse_ini("[a]\n[a]\n"), None);
        assert_eq!(parse_ini(""), Some(Vec::new()));
    }

    #[test]
    fn options_refer_to_others() {
        let value = |text: &str| parse(text, Path::new("x.fact")).map(|facts| facts["a"].clone());
        let facts = value("[DEFAULT]\nhost = h\n[a]\nurl = %(host)s:%(Port)s 5%%\nport = 1\n");
        assert_eq!(facts.unwrap(), json!({"host": "h", "url": "h:1 5%", "port": "1"}));
        for bad in ["x = a % b", "x = %(y)s", "x = %(x)s", "x = %(y", "x = %"] {
            let problem = value(&format!("[a]\n{bad}\n")).unwrap_err();
            assert!(problem.starts_with("error loading facts as ini"), "{bad}: {problem}");
        }
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
