//! `mount_facts`: what is mounted, or is to be, by the files and programs that say so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use provision_protocol::Object;
use serde_json::{Value, json};

use super::super::process::Run;
use super::super::wildcard;
use super::storage::{links_in, unescaped, usage, uuid};
use crate::module::{Context, Failure, Given, Outcome};

/// What says what is mounted; a program is asked only if none of these is there.
const DYNAMIC: &[&str] = &["/etc/mtab", "/proc/mounts", "/etc/mnttab"];
/// What says what is to be mounted.
const STATIC: &[&str] = &["/etc/fstab", "/etc/vfstab"];
/// Largest such file, in bytes.
const FILE_LIMIT_BYTES: u64 = 8 << 20;

/// A line about a mount.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    source: String,
    text: String,
    device: String,
    mount: String,
    kind: String,
    options: String,
    dump: Option<i64>,
    pass: Option<i64>,
}

/// `mount_facts`: lists mounts of several sources.
///
/// # Errors
/// When a source or a limit makes no sense, or a mount does not answer in time.
pub fn mount_facts(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let limit = limit(given)?;
    let program = given.text("mount_binary").unwrap_or("mount");
    let (mut warnings, mut repeated) = (Vec::new(), Vec::new());
    let mut lines: Vec<Line> = Vec::new();
    for (source, of_source) in read(given, program, context)? {
        let kept: Vec<Line> = of_source.into_iter().filter(|line| is_wanted(given, line)).collect();
        let places: BTreeSet<&str> = kept.iter().map(|line| line.mount.as_str()).collect();
        if places.len() < kept.len() {
            let all: Vec<String> = kept.iter().map(|line| format!("'{}'", line.mount)).collect();
            repeated.push(format!("{source} ([{}])", all.join(", ")));
        }
        lines.extend(kept);
    }
    if !repeated.is_empty() && given.choice("include_aggregate_mounts").is_none() {
        warnings.push(format!(
            "mount_facts: ignoring repeat mounts in the following sources: {}. You can disable this \
             warning by configuring the 'include_aggregate_mounts' option as True or False.",
            repeated.join(", ")
        ));
    }
    let mut facts = Vec::new();
    for line in lines {
        let (facts_of_one, late) = describe(&line, limit);
        if late {
            let message = format!(
                "the mount {} did not answer within {:?}",
                line.mount,
                limit.unwrap_or_default()
            );
            match given.word("on_timeout") {
                "error" => return Err(Failure::new(message)),
                "warn" => warnings.push(message),
                _ => {}
            }
            continue;
        }
        facts.push((line.mount, facts_of_one));
    }
    let mut points = Object::new();
    for (mount, facts) in &facts {
        points.entry(mount.clone()).or_insert_with(|| facts.clone());
    }
    let all: Vec<Value> = match given.flag("include_aggregate_mounts") {
        true => facts.into_iter().map(|(_, facts)| facts).collect(),
        false => Vec::new(),
    };
    let facts = json!({"mount_points": points, "aggregate_mounts": all});
    let outcome = Outcome::new(false).with("ansible_facts", facts);
    Ok(if warnings.is_empty() { outcome } else { outcome.with("warnings", warnings) })
}

fn limit(given: Given<'_>) -> Result<Option<Duration>, Failure> {
    let Some(seconds) = given.0.get("timeout").and_then(Value::as_f64) else { return Ok(None) };
    let limit = Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero());
    match limit {
        Some(limit) => Ok(Some(limit)),
        None => Err(Failure::new(format!(
            "argument 'timeout' must be a positive number or null, not {seconds:?}"
        ))),
    }
}

fn is_wanted(given: Given<'_>, line: &Line) -> bool {
    let fits = |name: &str, text: &str| {
        given
            .texts(name)
            .is_none_or(|patterns| patterns.iter().any(|pattern| wildcard::matches(pattern, text)))
    };
    fits("devices", &line.device) && fits("fstypes", &line.kind)
}

/// The lines of each source. A source that was there under another name is left out.
fn read(
    given: Given<'_>,
    program: &str,
    context: &Context<'_>,
) -> Result<Vec<(String, Vec<Line>)>, Failure> {
    let named = given.texts("sources").unwrap_or_else(|| vec!["all"]);
    if named.contains(&"") {
        return Err(Failure::new("sources contains an empty string"));
    }
    let mut sources: Vec<(&str, bool)> = Vec::new();
    for name in named {
        let (dynamic, fixed) =
            (matches!(name, "all" | "dynamic"), matches!(name, "all" | "static"));
        if dynamic {
            sources.extend(DYNAMIC.iter().map(|path| (*path, true)));
            // Only if none of those before it said anything.
            sources.push((program, true));
        }
        if fixed {
            sources.extend(STATIC.iter().map(|path| (*path, false)));
        }
        if !dynamic && !fixed {
            sources.push((name, false));
        }
    }
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    let mut found = Vec::new();
    let mut has_dynamic = false;
    for (source, dynamic) in sources {
        let path = fs::canonicalize(source).unwrap_or_else(|_| PathBuf::from(source));
        if seen.contains(&path) || (dynamic && source == program && has_dynamic) {
            continue;
        }
        let lines = match source == program {
            true => asked(program, context)?,
            false => content(&path).as_deref().and_then(|text| parse(source, text, table_line)),
        };
        let Some(lines) = lines.filter(|lines| !lines.is_empty()) else { continue };
        seen.insert(path);
        has_dynamic |= dynamic;
        found.push((source.to_owned(), lines));
    }
    Ok(found)
}

fn content(path: &Path) -> Option<String> {
    let is_small = path.metadata().is_ok_and(|data| data.len() <= FILE_LIMIT_BYTES);
    let bytes = is_small.then(|| fs::read(path).ok()).flatten()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn asked(program: &str, context: &Context<'_>) -> Result<Option<Vec<Line>>, Failure> {
    let Ok(run) = Run::tool(program) else { return Ok(None) };
    let finished = run.parsable().run(context)?;
    Ok(parse(program, &finished.stdout_text(), program_line).filter(|_| finished.succeeded()))
}

/// All lines, or nothing: what has others is another kind of file.
fn parse(source: &str, text: &str, line: fn(&str) -> Option<Line>) -> Option<Vec<Line>> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|text| !text.is_empty() && !text.starts_with('#'))
        .map(|text| {
            let line = line(text)?;
            Some(Line { source: source.to_owned(), text: text.to_owned(), ..line })
        })
        .collect()
}

/// `/dev/sda1 / ext4 rw,relatime 0 1`; the numbers may be missing.
fn table_line(text: &str) -> Option<Line> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [device, mount, kind, options, numbers @ ..] = fields.as_slice() else { return None };
    if numbers.len() > 2 {
        return None;
    }
    let number = |at: usize| numbers.get(at).map(|text| text.parse::<i64>().ok());
    // A word where a number belongs is another kind of file.
    if matches!((number(0), number(1)), (Some(None), _) | (_, Some(None))) {
        return None;
    }
    Some(Line {
        source: String::new(),
        text: String::new(),
        device: unescaped(device),
        mount: unescaped(mount),
        kind: unescaped(kind),
        options: unescaped(options),
        dump: number(0).flatten(),
        pass: number(1).flatten(),
    })
}

/// `/dev/sda1 on / type ext4 (rw,relatime)`
fn program_line(text: &str) -> Option<Line> {
    let (device, rest) = text.split_once(" on ")?;
    let (mount, rest) = rest.split_once(" type ")?;
    let (kind, rest) = rest.split_once(' ')?;
    let options = rest.strip_prefix('(')?.split(')').next()?;
    Some(Line {
        source: String::new(),
        text: String::new(),
        device: device.to_owned(),
        mount: mount.to_owned(),
        kind: kind.to_owned(),
        options: options.to_owned(),
        dump: None,
        pass: None,
    })
}

/// The facts of a mount, and whether it did not answer in time. A dead network file system blocks
/// whoever asks, so a thread asks that may be left behind.
fn describe(line: &Line, limit: Option<Duration>) -> (Value, bool) {
    let (sender, receiver) = mpsc::channel();
    let path = line.mount.clone();
    thread::spawn(move || {
        let path = Path::new(&path);
        let _ = sender.send(if path.is_absolute() { usage(path) } else { Vec::new() });
    });
    let answer = match limit {
        Some(limit) => receiver.recv_timeout(limit).ok(),
        None => receiver.recv().ok(),
    };
    let Some(usage) = answer else { return (Value::Null, true) };
    let id = match line.device.strip_prefix("UUID=") {
        Some(id) => Some(id.trim_matches('"').to_owned()),
        None => uuid(&line.device, &links_in("/dev/disk/by-uuid")),
    };
    let mut facts = Object::new();
    let mut set = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    set("ansible_context", json!({"source": line.source, "source_data": line.text}));
    set("device", line.device.as_str().into());
    set("fstype", line.kind.as_str().into());
    set("mount", line.mount.as_str().into());
    set("options", line.options.as_str().into());
    if let Some(dump) = line.dump {
        set("dump", dump.into());
    }
    if let Some(pass) = line.pass {
        set("passno", pass.into());
    }
    set("uuid", id.into());
    facts.extend(usage);
    (facts.into(), false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::modules::system::testing::context;

    fn call(given: Value) -> Result<Outcome, Failure> {
        context().call_named("mount_facts", given)
    }

    /// What ansible-core 2.18 says of the same files.
    #[test]
    fn sources_are_read_in_turn() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let one = write(
            "one",
            "# comment\n/dev/sda1 / ext4 rw,relatime 0 1\n/dev/sdb1 /data xfs ro\n\
             tmpfs /a\\040b tmpfs rw 0 0\n/dev/sda1 / btrfs rw 0 0\n\nUUID=abc /u ext4 defaults 0 2\n\
             swapdev none swap sw 0 0\n",
        );
        let two = write("two", "/dev/zzz /data ext3 rw 1 2\n/dev/yyy /only ext3 rw 1 2\n");
        let link = folder.path().join("link").display().to_string();
        symlink(&one, &link).unwrap();
        let outcome = call(json!({"sources": [one, link, two]})).unwrap();
        let points = &outcome.values["ansible_facts"]["mount_points"];
        let names: BTreeSet<&String> = points.as_object().unwrap().keys().collect();
        let wanted = ["/", "/a b", "/data", "/only", "/u", "none"].map(str::to_owned);
        assert_eq!(names, wanted.iter().collect());
        assert_eq!((&points["/"]["fstype"], &points["/"]["passno"]), (&json!("ext4"), &json!(1)));
        assert_eq!(points["/u"]["uuid"], "abc");
        assert!(points["/data"].get("dump").is_none() && points["/data"]["fstype"] == "xfs");
        assert!(points["/"]["size_total"].is_u64() && points["/u"].get("size_total").is_none());
        assert_eq!(
            points["/a b"]["ansible_context"],
            json!({"source": one, "source_data": "tmpfs /a\\040b tmpfs rw 0 0"})
        );
        let warning = outcome.values["warnings"][0].as_str().unwrap();
        let all = format!("{one} (['/', '/data', '/a b', '/', '/u', 'none']). You can");
        assert!(warning.contains(&all), "{warning}");
        let given =
            json!({"sources": [one, two], "fstypes": ["ext?"], "include_aggregate_mounts": true});
        let outcome = call(given).unwrap();
        let facts = &outcome.values["ansible_facts"];
        assert_eq!(facts["mount_points"]["/data"]["fstype"], "ext3");
        assert_eq!(facts["aggregate_mounts"].as_array().unwrap().len(), 4);
        assert!(outcome.values.get("warnings").is_none());
        let other = write("other", "/dev/sda1 / ext4 rw 0 1\nshort line\n");
        let none = call(json!({"sources": [other, "/no/such"]})).unwrap();
        assert_eq!(none.values["ansible_facts"]["mount_points"], json!({}));
    }

    #[test]
    fn programs_and_the_kernel_are_asked() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("mount");
        let text = "#!/bin/sh\necho '/dev/q on /q type ext4 (rw,relatime)'\n";
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let program = program.display().to_string();
        let outcome = call(json!({"sources": [program], "mount_binary": program})).unwrap();
        let points = &outcome.values["ansible_facts"]["mount_points"];
        assert_eq!(
            (&points["/q"]["device"], &points["/q"]["options"]),
            (&json!("/dev/q"), &json!("rw,relatime"))
        );
        let outcome =
            call(json!({"fstypes": ["proc"], "include_aggregate_mounts": false})).unwrap();
        let points = &outcome.values["ansible_facts"]["mount_points"];
        assert_eq!(points["/proc"]["fstype"], "proc");
    }

    #[test]
    fn mistakes_are_told() {
        let message = |given: Value| call(given).unwrap_err().message;
        assert_eq!(message(json!({"sources": [""]})), "sources contains an empty string");
        let wanted = "argument 'timeout' must be a positive number or null, not -1.0";
        assert_eq!(message(json!({"timeout": -1})), wanted);
    }
}
