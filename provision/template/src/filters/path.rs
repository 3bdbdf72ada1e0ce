//! Paths: Python's `posixpath` and `ntpath`.

use minijinja::Value;

use super::{FilterEntry, impure, pure};
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::scope::LookupRequest;
use crate::value::{View, is_list, iterate, list_value, text_of, tuple_value, type_name, view};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("basename", |_, call| Ok(Value::from(split(&call.input_text()).1))),
    pure("commonpath", common_path),
    pure("dirname", |_, call| Ok(Value::from(split(&call.input_text()).0))),
    impure("expanduser", |run, call| expand_user(run, &call.input_text()).map(Value::from)),
    impure("expandvars", |run, call| expand_vars(run, &call.input_text()).map(Value::from)),
    impure("fileglob", fileglob),
    pure("normpath", |_, call| Ok(Value::from(normalized(&call.input_text())))),
    pure("path_join", path_join),
    impure("realpath", |run, call| real_path(run, &call.input_text()).map(Value::from)),
    impure("relpath", relative_path),
    pure("splitext", split_extension),
    pure("win_basename", |_, call| Ok(Value::from(win_split(&call.input_text()).1))),
    pure("win_dirname", |_, call| Ok(Value::from(win_split(&call.input_text()).0))),
    pure("win_splitdrive", |_, call| {
        let text = call.input_text();
        let (drive, rest) = win_drive(&text);
        Ok(tuple_value(vec![Value::from(drive), Value::from(rest)]))
    }),
];

/// Directory and last part.
pub(crate) fn split(path: &str) -> (String, String) {
    let (head, tail) = match path.rfind('/') {
        Some(at) => path.split_at_checked(at + 1).unwrap_or((path, "")),
        None => ("", path),
    };
    let trimmed = head.trim_end_matches('/');
    let head = if trimmed.is_empty() { head } else { trimmed };
    (head.to_owned(), tail.to_owned())
}

/// Without `.`, `..` and repeated slashes.
pub(crate) fn normalized(path: &str) -> String {
    if path.is_empty() {
        return ".".into();
    }
    let root = if path.starts_with("//") && !path.starts_with("///") {
        "//"
    } else if path.starts_with('/') {
        "/"
    } else {
        ""
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(last) if *last != ".." => _ = parts.pop(),
                _ if root.is_empty() => parts.push(".."),
                _ => {}
            },
            _ => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() { ".".into() } else { joined }
}

/// Python's `os.path.join`.
pub(crate) fn joined<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        if part.starts_with('/') || index == 0 {
            out = part.to_owned();
        } else if out.is_empty() || out.ends_with('/') {
            out.push_str(part);
        } else {
            out.push('/');
            out.push_str(part);
        }
    }
    out
}

fn path_join(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let parts: Vec<String> = if is_list(&call.input) {
        iterate(&call.input)?.iter().map(text_of).collect()
    } else if let View::Text(path) = view(&call.input) {
        vec![path.to_owned()]
    } else {
        return Err(TemplateError::failed(format!(
            "|path_join expects string or sequence, got <class '{}'> instead.",
            type_name(&call.input)
        )));
    };
    Ok(Value::from(joined(parts.iter().map(String::as_str))))
}

fn common_path(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let paths: Vec<String> = iterate(&call.input)?.iter().map(text_of).collect();
    let absolute = paths.iter().filter(|path| path.starts_with('/')).count();
    if absolute != 0 && absolute != paths.len() {
        return Err(TemplateError::failed("Can't mix absolute and relative paths"));
    }
    let split: Vec<Vec<&str>> = paths
        .iter()
        .map(|path| path.split('/').filter(|part| !part.is_empty() && *part != ".").collect())
        .collect();
    let Some((first, rest)) = split.split_first() else { return Ok(Value::from("")) };
    let common: Vec<&str> = first
        .iter()
        .enumerate()
        .take_while(|(index, part)| rest.iter().all(|other| other.get(*index) == Some(part)))
        .map(|(_, part)| *part)
        .collect();
    let root = if absolute > 0 { "/" } else { "" };
    Ok(Value::from(format!("{root}{}", common.join("/"))))
}

fn expand_user(run: &Run<'_>, path: &str) -> Outcome<String> {
    let Some(rest) = path.strip_prefix('~') else { return Ok(path.to_owned()) };
    let end = rest.find('/').unwrap_or(rest.len());
    let (user, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let home = run.outside.home(user).map_err(|error| Run::outside_error(error, "expanduser"))?;
    Ok(match home {
        Some(home) => format!("{}{rest}", home.trim_end_matches('/')),
        None => path.to_owned(),
    })
}

fn expand_vars(run: &Run<'_>, path: &str) -> Outcome<String> {
    let mut out = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('$') {
        out.push_str(rest.get(..at).unwrap_or(""));
        let tail = rest.get(at + 1..).unwrap_or("");
        let (name, length) = match tail.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let name = tail.get(..end.unwrap_or(tail.len())).unwrap_or("");
                (name, name.len())
            }
        };
        let value = if name.is_empty() {
            None
        } else {
            run.outside
                .environment(name)
                .map_err(|error| Run::outside_error(error, "expandvars"))?
        };
        match value {
            Some(value) => out.push_str(&value),
            None => {
                out.push('$');
                out.push_str(tail.get(..length).unwrap_or(""));
            }
        }
        rest = tail.get(length..).unwrap_or("");
    }
    out.push_str(rest);
    Ok(out)
}

fn real_path(run: &Run<'_>, path: &str) -> Outcome<String> {
    run.outside.real_path(path).map_err(|error| Run::outside_error(error, "realpath"))
}

fn fileglob(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let terms = [call.input.clone()];
    let request = LookupRequest { name: "fileglob", terms: &terms, options: &[] };
    let found = run.outside.lookup(&request);
    found.map(list_value).map_err(|error| Run::outside_error(error, "fileglob"))
}

fn relative_path(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let path = call.input_text();
    let start = call.text(0, "start").unwrap_or_else(|| ".".into());
    let absolute = |path: &str| -> Outcome<String> {
        if path.starts_with('/') {
            return Ok(normalized(path));
        }
        Ok(normalized(&joined([real_path(run, ".")?.as_str(), path])))
    };
    let (path, start) = if path.starts_with('/') || start.starts_with('/') {
        (absolute(&path)?, absolute(&start)?)
    } else {
        (normalized(&path), normalized(&start))
    };
    fn parts(path: &str) -> Vec<&str> {
        path.split('/').filter(|part| !part.is_empty() && *part != ".").collect()
    }
    let (path, start) = (parts(&path), parts(&start));
    let common = path.iter().zip(&start).take_while(|(left, right)| left == right).count();
    let mut out = vec![".."; start.len() - common];
    out.extend(path.iter().skip(common));
    Ok(Value::from(if out.is_empty() { ".".to_owned() } else { out.join("/") }))
}

fn split_extension(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let path = call.input_text();
    let name_start = path.rfind('/').map_or(0, |at| at + 1);
    let name = path.get(name_start..).unwrap_or("");
    let leading = name.len() - name.trim_start_matches('.').len();
    let dot = name.rfind('.').filter(|at| *at >= leading && leading < name.len());
    let at = dot.map_or(path.len(), |at| name_start + at);
    let (root, extension) = path.split_at_checked(at).unwrap_or((&path, ""));
    Ok(tuple_value(vec![Value::from(root), Value::from(extension)]))
}

/// Drive and rest of a Windows path.
fn win_drive(path: &str) -> (String, String) {
    let plain = path.replace('/', "\\");
    if plain.starts_with("\\\\") && !plain.starts_with("\\\\\\") {
        let server = plain.get(2..).and_then(|rest| rest.find('\\')).map(|at| at + 2);
        let share = server.and_then(|at| {
            plain.get(at + 1..).and_then(|rest| rest.find('\\')).map(|end| at + 1 + end)
        });
        let at = match (server, share) {
            (None, _) => path.len(),
            (Some(_), None) => path.len(),
            (Some(_), Some(at)) => at,
        };
        let (drive, rest) = path.split_at_checked(at).unwrap_or((path, ""));
        return (drive.to_owned(), rest.to_owned());
    }
    match path.as_bytes().get(1) {
        Some(b':') => {
            let (drive, rest) = path.split_at_checked(2).unwrap_or(("", path));
            (drive.to_owned(), rest.to_owned())
        }
        _ => (String::new(), path.to_owned()),
    }
}

fn win_split(path: &str) -> (String, String) {
    let (drive, rest) = win_drive(path);
    let at = rest.rfind(['/', '\\']).map_or(0, |at| at + 1);
    let (head, tail) = rest.split_at_checked(at).unwrap_or(("", &rest));
    let trimmed = head.trim_end_matches(['/', '\\']);
    let head = if trimmed.is_empty() { head } else { trimmed };
    (format!("{drive}{head}"), tail.to_owned())
}
