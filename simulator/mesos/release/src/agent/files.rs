//! `/files/read`, `/files/browse` and `/files/download`: sandboxes of tasks, as Mesos' agents show
//! them (`src/files/files.cpp`). A sandbox is named by the path that it would have in a real agent's
//! work folder; what lies there is `stdout` and `stderr` beside what the task made.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use hyper::StatusCode;
use nix::unistd::{Gid, Group, Uid, User};
use serde_json::{Value, json};

use super::Shared;

/// The most that is read at a time: 16 pages of memory.
const PART_MOST_BYTES: u64 = 64 << 10;

/// The largest file that is sent whole.
const DOWNLOAD_MOST_BYTES: u64 = 64 << 20;

/// What is answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
    /// The name under which a browser keeps it.
    pub(super) name: Option<String>,
}

fn plain(status: StatusCode, text: impl Into<String>) -> Answer {
    let body = text.into().into_bytes();
    Answer { status, kind: "text/plain; charset=utf-8", body, name: None }
}

fn as_json(body: Vec<u8>) -> Answer {
    Answer { status: StatusCode::OK, kind: "application/json", body, name: None }
}

/// Answers a request for a file, if its path is one of these.
pub(super) fn answer(shared: &Shared, path: &str, query: &str) -> Option<Answer> {
    let wanted = path.strip_prefix("/files/")?;
    let act: fn(&Path, &str, &str) -> io::Result<Answer> = match wanted {
        "read" | "read.json" => read,
        "browse" | "browse.json" => browse,
        "download" | "download.json" => download,
        _ => return None,
    };
    let named = value(query, "path").filter(|path| !path.is_empty());
    let Some(named) = named else {
        return Some(plain(StatusCode::BAD_REQUEST, "Expecting 'path=value' in query.\n"));
    };
    let folder = shared.tasks().sandbox_of(&named);
    let found = folder.and_then(|(folder, rest)| real_path(&folder, &rest));
    let Some(found) = found else { return Some(plain(StatusCode::NOT_FOUND, "")) };
    Some(match act(&found, &named, query) {
        Ok(answer) => answer,
        Err(error) if error.kind() == io::ErrorKind::NotFound => plain(StatusCode::NOT_FOUND, ""),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}.\n")),
    })
}

/// What a path of a sandbox is on this machine; nothing that a link leads out of it to.
fn real_path(folder: &Path, rest: &str) -> Option<PathBuf> {
    let rest = rest.trim_matches('/');
    if rest.is_empty() {
        return Some(folder.to_owned());
    }
    let is_plain = Path::new(rest).components().all(|part| matches!(part, Component::Normal(_)));
    let path = match rest {
        "stdout" | "stderr" => folder.join(rest),
        _ => folder.join("sandbox").join(rest),
    };
    let path = is_plain.then(|| path.canonicalize().ok())??;
    path.starts_with(folder.canonicalize().ok()?).then_some(path)
}

/// A value of a query, decoded.
fn value(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    let mut bytes = value.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

/// A number of a query: -1 if it isn't there.
fn number(query: &str, name: &str) -> Result<i64, Answer> {
    let Some(text) = value(query, name) else { return Ok(-1) };
    let refuse = |text: String| plain(StatusCode::BAD_REQUEST, text);
    let number: i64 = text.parse().map_err(|_| {
        refuse(format!("Failed to parse {name}: Failed to convert '{text}' to number.\n"))
    })?;
    if number < -1 {
        return Err(refuse(format!("Negative {name} provided: {number}.\n")));
    }
    Ok(number)
}

fn read(path: &Path, _: &str, query: &str) -> io::Result<Answer> {
    let (offset, length) = match (number(query, "offset"), number(query, "length")) {
        (Ok(offset), Ok(length)) => (offset, length),
        (Err(refusal), _) | (_, Err(refusal)) => return Ok(refusal),
    };
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(plain(StatusCode::BAD_REQUEST, "Cannot read a directory.\n"));
    }
    let size = metadata.len();
    // Without an offset it is the length of the file that is wanted.
    let offset = u64::try_from(offset).unwrap_or(size).min(size);
    let length = u64::try_from(length).unwrap_or(u64::MAX).min(PART_MOST_BYTES);
    let mut data = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.take(length).read_to_end(&mut data)?;
    let mut body = b"{\"data\":\"".to_vec();
    escape(&data, &mut body);
    body.extend_from_slice(format!("\",\"offset\":{offset}}}").as_bytes());
    Ok(as_json(body))
}

/// Bytes as Mesos writes them into a text of JSON: what is no UTF-8 stays as it is.
fn escape(data: &[u8], out: &mut Vec<u8>) {
    for byte in data {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f | 0x7f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            byte => out.push(*byte),
        }
    }
}

fn browse(path: &Path, named: &str, _: &str) -> io::Result<Answer> {
    let named = named.trim_end_matches('/');
    if !path.is_dir() {
        return Ok(as_json(b"[]".to_vec()));
    }
    // The folder of a task has files of its supervisor, too; a real sandbox has none of them.
    let mut entries: Vec<Value> = Vec::new();
    let inner = path.join("sandbox");
    let is_sandbox = inner.is_dir() && path.join("task.json").is_file();
    for name in ["stdout", "stderr"].iter().filter(|_| is_sandbox) {
        if let Ok(metadata) = fs::metadata(path.join(name)) {
            entries.push(entry(format!("{named}/{name}"), &metadata));
        }
    }
    for found in fs::read_dir(if is_sandbox { &inner } else { path })? {
        let found = found?;
        let metadata = found.metadata()?;
        entries.push(entry(format!("{named}/{}", found.file_name().to_string_lossy()), &metadata));
    }
    entries.sort_by_key(|entry| entry.get("path").and_then(Value::as_str).map(str::to_owned));
    Ok(as_json(Value::Array(entries).to_string().into_bytes()))
}

fn entry(path: String, metadata: &Metadata) -> Value {
    let (uid, gid) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    let user = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |one| one.name);
    let group = Group::from_gid(gid).ok().flatten().map_or_else(|| gid.to_string(), |one| one.name);
    let since = |time: std::time::SystemTime| {
        time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
    };
    let changed = metadata.modified().map(since).unwrap_or_default();
    let changed = u32::try_from(changed).map_or(0.0, f64::from);
    json!({
        "gid": group,
        "mode": mode(metadata),
        "mtime": changed,
        "nlink": metadata.nlink(),
        "path": path,
        "size": metadata.len(),
        "uid": user,
    })
}

/// As `ls -l` shows it.
fn mode(metadata: &Metadata) -> String {
    let bits = metadata.permissions().mode();
    let kind = match (metadata.is_dir(), metadata.is_symlink()) {
        (true, _) => 'd',
        (_, true) => 'l',
        _ => '-',
    };
    let letters = (0..9_u32).zip("rwxrwxrwx".chars());
    let shown = letters.map(|(place, letter)| match bits >> (8 - place) & 1 {
        1 => letter,
        _ => '-',
    });
    std::iter::once(kind).chain(shown).collect()
}

fn download(path: &Path, named: &str, _: &str) -> io::Result<Answer> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Ok(plain(StatusCode::BAD_REQUEST, "Cannot download a directory.\n"));
    }
    if metadata.len() > DOWNLOAD_MOST_BYTES {
        let text =
            "the simulated agent sends no files of more than 64 MiB whole; /files/read does\n";
        return Ok(plain(StatusCode::NOT_IMPLEMENTED, text));
    }
    let name = Path::new(named).file_name().map(|name| name.to_string_lossy().into_owned());
    let body = fs::read(path)?;
    Ok(Answer { status: StatusCode::OK, kind: "application/octet-stream", body, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read() {
        let query = "path=/a%20b+c%2F&offset=-1&length=x&low=-2";
        assert_eq!(value(query, "path").as_deref(), Some("/a b c/"));
        assert_eq!(value("path=%f", "path"), None);
        assert!(matches!(number(query, "offset"), Ok(-1)));
        assert!(matches!(number(query, "none"), Ok(-1)));
        assert!(number(query, "length").is_err() && number(query, "low").is_err());
    }

    #[test]
    fn nothing_is_read_from_outside_a_sandbox() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("task");
        fs::create_dir_all(folder.join("sandbox/sub")).unwrap();
        fs::write(place.path().join("secret"), "x").unwrap();
        fs::write(folder.join("stdout"), "out\n\"\u{1}\u{7f}\\é").unwrap();
        fs::write(folder.join("task.json"), "{}").unwrap();
        fs::write(folder.join("sandbox/sub/file"), "inside").unwrap();
        std::os::unix::fs::symlink(place.path().join("secret"), folder.join("sandbox/link"))
            .unwrap();
        for rest in ["../secret", "link", "sub/../../../secret", "/etc/passwd", "task.json", "./x"]
        {
            assert_eq!(real_path(&folder, rest), None, "{rest}");
        }
        assert!(real_path(&folder, "sub/file").unwrap().ends_with("sandbox/sub/file"));
        let answer = read(&folder.join("stdout"), "", "offset=1&length=9").unwrap();
        let expected = "{\"data\":\"ut\\n\\\"\\u0001\\u007f\\\\é\",\"offset\":1}";
        assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
        let answer = browse(&folder, "/run/", "").unwrap();
        let listed: Value = serde_json::from_slice(&answer.body).unwrap();
        let paths: Vec<&str> =
            listed.as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["/run/link", "/run/stdout", "/run/sub"]);
        assert!(listed[1]["mode"].as_str().unwrap().starts_with("-rw"));
        assert_eq!(listed[1]["size"], 10);
    }
}
