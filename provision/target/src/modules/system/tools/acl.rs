//! `acl`: access control lists of files.

use provision_protocol::Object;
use serde_json::Value;

use super::super::process::Run;
use crate::disk::paths;
use crate::module::{Context, Failure, Given, Outcome};

/// `acl`: sets, removes or shows entries.
///
/// # Errors
/// When the path isn't there, the entry can't be understood, or the file system has no lists.
pub fn acl(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let path = paths::expand(context, given.word("path"));
    if !path.exists() {
        return Err(Failure::new("Path not found or not accessible."));
    }
    let path = paths::text(&path);
    let state = given.word("state");
    let is_present = state == "present";
    let mut changed = false;
    let mut message = "current acl".to_owned();
    if state != "query" {
        let entry = entry(given, is_present)?;
        let run = || {
            let run = Run::tool("setfacl")?.parsable();
            let run = run.arguments(switches(given, is_present));
            Ok::<Run, Failure>(run.argument(if is_present { "-m" } else { "-x" }).argument(&entry))
        };
        let nfs = given.flag("use_nfsv4_acls");
        changed = match nfs {
            true => is_missing_for_nfs(&path, &entry, is_present, context)?,
            false => {
                let tested = run()?.argument("--test").argument("--").argument(&path);
                // A line is about one file; `*,*` says that both of its lists stay.
                let said = tested.succeed(context)?.stdout_text();
                said.lines().any(|line| !line.is_empty() && !line.ends_with("*,*"))
            }
        };
        if changed && !context.check {
            context.about_to_change()?;
            match nfs {
                true => {
                    let switch = if is_present { "-a" } else { "-x" };
                    Run::tool("nfs4_setfacl")?
                        .arguments([switch, &entry, &path])
                        .succeed(context)?;
                }
                false => {
                    run()?.argument("--").argument(&path).succeed(context)?;
                }
            }
        }
        message = format!("{entry} is {state}");
    }
    let now = list(given, &path, context)?;
    Ok(Outcome::new(changed).with("msg", message).with("acl", now))
}

/// `etype:entity:permissions`, from one parameter or from three.
fn entry(given: Given<'_>, is_present: bool) -> Result<String, Failure> {
    let (entity, kind) = (given.word("entity"), given.word("etype"));
    let permissions = given.word("permissions");
    let entry = given.word("entry");
    if entry.is_empty() {
        if kind.is_empty() {
            let state = given.word("state");
            return Err(Failure::new(format!("'etype' MUST be set when 'state={state}'.")));
        }
        return build(given, kind, entity, permissions, is_present);
    }
    if [entity, kind, permissions].iter().any(|text| !text.is_empty()) {
        return Err(Failure::new(
            "'entry' MUST NOT be set when 'entity', 'etype' or 'permissions' are set.",
        ));
    }
    let mut fields: Vec<&str> = entry.split(':').map(str::trim).collect();
    if matches!(fields.first(), Some(&("d" | "default"))) {
        fields.remove(0);
    }
    let (kind, entity, permissions) = match (fields.as_slice(), is_present) {
        ([kind, entity, permissions], true) => (*kind, *entity, *permissions),
        ([kind, permissions], true) => (*kind, "", *permissions),
        ([kind], false) => (*kind, "", ""),
        ([kind, entity] | [kind, entity, _], false) => (*kind, *entity, ""),
        _ => {
            let (count, state) =
                if is_present { ("3 or 4", "present") } else { ("2 or 3", "absent") };
            return Err(Failure::new(format!(
                "'entry' MUST have {count} sections divided by ':' when 'state={state}'."
            )));
        }
    };
    build(given, kind, entity, permissions, is_present)
}

fn build(
    given: Given<'_>,
    kind: &str,
    entity: &str,
    permissions: &str,
    is_present: bool,
) -> Result<String, Failure> {
    let kind = match kind {
        "u" | "user" => "user",
        "g" | "group" => "group",
        "m" | "mask" => "mask",
        "o" | "other" => "other",
        _ => return Err(Failure::new(format!("'{kind}' is no type of an entry"))),
    };
    if given.flag("use_nfsv4_acls") {
        return Ok(format!("{kind}:{entity}:{permissions}:allow"));
    }
    match (is_present, permissions.is_empty()) {
        (true, true) => Err(Failure::new("'permissions' MUST be set when 'state=present'.")),
        (true, false) => Ok(format!("{kind}:{entity}:{permissions}")),
        (false, false) => Err(Failure::new("'permissions' MUST NOT be set when 'state=absent'.")),
        (false, true) => Ok(format!("{kind}:{entity}")),
    }
}

fn switches(given: Given<'_>, is_present: bool) -> Vec<&'static str> {
    let mut switches = Vec::new();
    if given.flag("recursive") {
        switches.push("--recursive");
    }
    match given.word("recalculate_mask") {
        "mask" if is_present => switches.push("--mask"),
        "no_mask" if is_present => switches.push("--no-mask"),
        _ => {}
    }
    if !given.flag("follow") {
        switches.push("--physical");
    }
    if given.flag("default") {
        switches.push("--default");
    }
    switches
}

fn is_missing_for_nfs(
    path: &str,
    entry: &str,
    is_present: bool,
    context: &Context<'_>,
) -> Result<bool, Failure> {
    let said = Run::tool("nfs4_getfacl")?.argument(path).parsable().succeed(context)?.stdout_text();
    Ok(said.lines().any(|line| line.trim() == entry) != is_present)
}

/// All entries, one a line.
fn list(given: Given<'_>, path: &str, context: &Context<'_>) -> Result<Vec<Value>, Failure> {
    let run = match given.flag("use_nfsv4_acls") {
        true => Run::tool("nfs4_getfacl")?,
        false => {
            let mut switches = vec!["--omit-header", "--absolute-names"];
            if given.flag("default") {
                switches.push("--default");
            }
            if !given.flag("follow") {
                switches.push("--physical");
            }
            if given.flag("recursive") {
                switches.push("--recursive");
            }
            Run::tool("getfacl")?.arguments(switches).argument("--")
        }
    };
    let said = run.argument(path).parsable().succeed(context)?.stdout_text();
    // Files are divided by empty lines.
    Ok(said.trim_end().lines().map(Value::from).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    fn call(path: &std::path::Path, more: Value) -> Result<Outcome, Failure> {
        let mut given = json!({"path": path.to_str().unwrap()});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        context().call_named("acl", given)
    }

    #[test]
    fn entries_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let present =
            json!({"etype": "user", "entity": "daemon", "permissions": "rw", "state": "present"});
        let mut given = present.clone();
        given["path"] = file.to_str().unwrap().into();
        assert!(context().checking().call_named("acl", given).unwrap().changed);
        let outcome = call(&file, present.clone()).unwrap();
        assert!(outcome.changed);
        assert_eq!(outcome.values["msg"], "user:daemon:rw is present");
        let entries = outcome.values["acl"].as_array().unwrap();
        assert!(entries.contains(&"user:daemon:rw-".into()), "{entries:?}");
        assert!(!call(&file, present).unwrap().changed);
        let shown = call(&file, json!({})).unwrap();
        assert_eq!((shown.changed, &shown.values["msg"]), (false, &json!("current acl")));
        assert_eq!(&shown.values["acl"], &Value::from(entries.clone()));
        let absent = json!({"entry": "u:daemon", "state": "absent"});
        assert!(call(&file, absent.clone()).unwrap().changed);
        assert!(!call(&file, absent).unwrap().changed);
    }

    #[test]
    fn folders_have_entries_for_what_is_made_in_them() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        let given = json!({"entry": "default:group:daemon:r-x", "default": true, "recursive": true, "state": "present"});
        assert!(call(folder.path(), given.clone()).unwrap().changed);
        assert!(!call(folder.path(), given).unwrap().changed);
        let inner = call(&folder.path().join("inner"), json!({"default": true})).unwrap();
        let entries = inner.values["acl"].as_array().unwrap();
        assert!(entries.contains(&"group:daemon:r-x".into()), "{entries:?}");
    }

    #[test]
    fn mistakes_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let message = |given: Value| call(folder.path(), given).unwrap_err().message;
        let given = json!({"entry": "user:a:r", "etype": "user", "state": "present"});
        assert!(message(given).contains("'entry' MUST NOT be set"));
        let given = json!({"etype": "user", "entity": "a", "state": "present"});
        assert!(message(given).contains("'permissions' MUST be set"));
        let given = json!({"etype": "user", "entity": "a", "permissions": "r", "state": "absent"});
        assert!(message(given).contains("'permissions' MUST NOT be set"));
        assert!(message(json!({"entry": "a", "state": "present"})).contains("3 or 4 sections"));
        let given = json!({"entry": "user:no such user:r", "state": "present"});
        assert!(message(given).contains("Invalid argument"));
        let gone = call(&folder.path().join("gone"), json!({})).unwrap_err().message;
        assert_eq!(gone, "Path not found or not accessible.");
    }
}
