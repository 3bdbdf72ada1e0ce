//! `yum_repository`: a source of packages of Red Hat's systems.

use std::fs;

use provision_protocol::Object;
use serde_json::Value;

use crate::disk::attributes::FileArguments;
use crate::disk::paths;
use crate::disk::texts::{AttributeChange, Side, change};
use crate::disk::writing::NewContent;
use crate::module::{Context, Failure, Given, Outcome, arguments};

/// Parameters that are no options of the repository.
const OTHERS: &[&str] = &[
    "attributes",
    "file",
    "group",
    "mode",
    "name",
    "owner",
    "reposdir",
    "selevel",
    "serole",
    "setype",
    "seuser",
    "state",
    "unsafe_writes",
];

/// A section and its options.
type Section = (String, Vec<(String, String)>);

/// `yum_repository`: a section in a file of repositories.
///
/// # Errors
/// When the folder isn't there, or the file can't be read or written.
pub fn yum_repository(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let wanted = arguments::<FileArguments>(object)?.resolve(context.check)?;
    let given = Given(object);
    let (name, is_wanted) = (given.word("name"), given.is("state", "present"));
    let folder = paths::expand(context, given.word("reposdir"));
    if !paths::is_directory(&folder) {
        return Err(Failure::new(format!("Repo directory '{}' does not exist.", folder.display())));
    }
    let file = folder.join(format!("{}.repo", given.text("file").unwrap_or(name)));
    let text = match fs::read(&file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::system("read", &file, &error)),
    };
    let mut sections = parse(&text).map_err(Failure::new)?;
    let before = dump(&sections);
    sections.retain(|(section, _)| section != name);
    if is_wanted {
        sections.push((name.to_owned(), options(object)));
    }
    let after = dump(&sections);
    let mut outcome =
        Outcome::new(before != after).with("repo", name).with("state", given.word("state"));
    if context.diff {
        let sides = (Side::of(before.as_bytes()), Side::of(after.as_bytes()));
        outcome.diff.push(change(&file, sides.0, sides.1));
    }
    if outcome.changed && !context.check {
        if sections.is_empty() {
            context.about_to_change()?;
            fs::remove_file(&file).map_err(|error| Failure::system("remove", &file, &error))?;
        } else {
            let writing = NewContent {
                target: &file,
                wanted: &wanted,
                keep_attributes: true,
                backup: false,
                validate: None,
            };
            writing.write_bytes(context, render(&sections).as_bytes())?;
        }
    }
    if file.is_file() {
        outcome.changed |= wanted.apply(&file, context, &mut AttributeChange::default())?;
    }
    Ok(outcome)
}

/// The options that are given, sorted, as the file has them.
fn options(object: &Object) -> Vec<(String, String)> {
    let mut options: Vec<(String, String)> = object
        .iter()
        .filter(|(name, _)| !OTHERS.contains(&name.as_str()))
        .filter_map(|(name, value)| {
            let value = match value {
                Value::Bool(flag) => u8::from(*flag).to_string(),
                Value::Array(items) => {
                    let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                    let is_lines = matches!(name.as_str(), "baseurl" | "gpgkey");
                    items.join(if is_lines { "\n" } else { " " })
                }
                Value::String(text) => text.clone(),
                _ => return None,
            };
            let name = if name == "description" { "name" } else { name };
            Some((name.to_owned(), value))
        })
        .collect();
    options.sort();
    options
}

/// Reads a file as Python's configparser does: comments are gone, indented lines go on with a value.
fn parse(text: &str) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let header = trimmed.strip_prefix('[').and_then(|rest| rest.rsplit_once(']'));
        let is_indented = line.starts_with([' ', '\t']);
        if let (Some((name, _)), false) = (header, is_indented) {
            sections.push((name.to_owned(), Vec::new()));
            continue;
        }
        let Some((_, options)) = sections.last_mut() else {
            return Err(format!("File contains no section headers, line {}: {line}", number + 1));
        };
        match options.last_mut() {
            Some((_, value)) if is_indented => {
                value.push('\n');
                value.push_str(trimmed);
            }
            _ => {
                let Some((key, value)) = trimmed.split_once(['=', ':']) else {
                    return Err(format!(
                        "Source contains parsing errors, line {}: {line}",
                        number + 1
                    ));
                };
                options.push((key.trim_end().to_lowercase(), value.trim_start().to_owned()));
            }
        }
    }
    Ok(sections)
}

fn render(sections: &[Section]) -> String {
    let mut text = String::new();
    for (name, options) in sections {
        text.push_str(&format!("[{name}]\n"));
        for (key, value) in options {
            text.push_str(&format!("{key} = {}\n", value.replace('\n', "\n\t")));
        }
        text.push('\n');
    }
    text
}

/// For comparison and diff: sorted, as Ansible shows it.
fn dump(sections: &[Section]) -> String {
    let mut sections = sections.to_vec();
    sections.sort();
    let mut text = String::new();
    for (name, mut options) in sections {
        options.sort();
        text.push_str(&format!("[{name}]\n"));
        for (key, value) in options {
            text.push_str(&format!("{key} = {value}\n"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn repositories_come_change_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("extra.repo");
        let call = |more: Value| {
            let mut given = json!({"name": "epel", "file": "extra", "reposdir": folder.path(),
                "description": "EPEL", "baseurl": ["http://a/", "http://b/"], "gpgcheck": false});
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            context().call_named("yum_repository", given).unwrap()
        };
        let done = call(json!({"mode": "0600", "includepkgs": ["a", "b"]}));
        assert!(done.changed && done.values["repo"] == "epel");
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            "[epel]\nbaseurl = http://a/\n\thttp://b/\ngpgcheck = 0\nincludepkgs = a b\n\
             name = EPEL\n\n"
        );
        assert!(!call(json!({"mode": "0600", "includepkgs": "a,b"})).changed);
        assert!(call(json!({"mode": "0640", "includepkgs": "a,b"})).changed);
        fs::write(&file, "# kept by nobody\n[other]\nName: x\n[epel]\nname=EPEL\n").unwrap();
        assert!(call(json!({"enabled": true})).changed && !call(json!({"enabled": true})).changed);
        assert!(fs::read_to_string(&file).unwrap().starts_with("[other]\nname = x\n\n[epel]\n"));
        assert!(call(json!({"state": "absent"})).changed);
        assert_eq!(fs::read_to_string(&file).unwrap(), "[other]\nname = x\n\n");
        assert!(!call(json!({"state": "absent"})).changed);
        assert!(call(json!({"state": "absent", "name": "other"})).changed && !file.exists());
    }

    #[test]
    fn what_is_no_repository_file_is_refused() {
        assert!(parse("a=1\n").unwrap_err().contains("no section headers, line 1"));
        assert!(parse("[a]\nword\n").unwrap_err().contains("line 2"));
        let given = json!({"name": "x", "state": "absent", "reposdir": "/no/such"});
        let failure = context().call_named("yum_repository", given).unwrap_err();
        assert_eq!(failure.message, "Repo directory '/no/such' does not exist.");
    }
}
