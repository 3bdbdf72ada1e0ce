//! `uri`.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use provision_protocol::{ContentReference, Object};
use serde::Deserialize;
use serde_json::Value;

use super::client::{FetchError, Follow, Request, Response, fetch};
use super::{HttpArguments, attachment_name, body, message, modified_at, url_name};
use crate::disk::attributes::{FileArguments, Wanted};
use crate::disk::describe::add_path_information;
use crate::disk::digest::{self, Digests};
use crate::disk::writing::NewContent;
use crate::disk::{metadata, paths};
use crate::module::{Context, Failure, Outcome, arguments};

/// How long to wait for a sign of the server, if the call doesn't say, in seconds.
const TIMEOUT_S: u64 = 30;

/// Longest answer that can be returned, in bytes: text and JSON stand in one result frame.
const CONTENT_LIMIT_BYTES: usize = 10 << 20;

/// Longest file that is sent, in bytes; it is held in memory.
const BODY_LIMIT_BYTES: u64 = 1 << 30;

#[derive(Debug, Deserialize)]
struct UriArguments {
    dest: Option<String>,
    body: Option<Value>,
    body_format: Option<String>,
    src: Option<String>,
    method: Option<String>,
    #[serde(default)]
    return_content: bool,
    follow_redirects: Option<String>,
    creates: Option<String>,
    removes: Option<String>,
    status_code: Option<Vec<Value>>,
    _content: Option<ContentReference>,
}

/// `uri`: talks to a web service.
///
/// # Errors
/// When the answer isn't one that means success.
pub fn uri(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let http: HttpArguments = arguments(given)?;
    let wanted = arguments::<FileArguments>(given)?.resolve(context.check)?;
    let given: UriArguments = arguments(given)?;
    if let Some(reason) = unneeded(&given, context) {
        return Ok(Outcome::new(false).with("stdout", reason));
    }
    if context.check {
        let reason = "what a web service does is known only when it is asked".to_owned();
        return Ok(Outcome { skipped: Some(reason), ..Outcome::default() });
    }
    let codes = status_codes(given.status_code.as_deref())?;
    let dest = given.dest.as_deref().map(|path| paths::expand(context, path));
    let method = given.method.as_deref().unwrap_or("GET").to_uppercase();
    if !method.chars().all(|letter| letter.is_ascii_uppercase()) || method.is_empty() {
        return Err(http.failure(
            "Parameter 'method' needs to be a single word in uppercase, like GET or POST.",
        ));
    }
    let follow = match given.follow_redirects.as_deref() {
        Some("no" | "none") => Follow::No,
        Some("all" | "yes") => Follow::All,
        Some("urllib2") => Follow::Python,
        _ => Follow::Safe,
    };
    let age = dest.as_deref().and_then(modified_at);
    let mut request = http.request(&method, follow, TIMEOUT_S, age, context)?;
    attach(&given, &mut request, context).map_err(|message| http.failure(message))?;
    context.about_to_change()?;
    let start = Instant::now();
    let response = match fetch(&http.url()?, request, context) {
        Ok(response) => response,
        Err(FetchError::Stopped) => return Err(FetchError::Stopped.into()),
        Err(FetchError::Failed(reason)) => {
            let message = format!("Status code was -1 and not {codes:?}: Request failed: {reason}");
            return Err(http
                .failure(message)
                .with("redirected", false)
                .with("elapsed", start.elapsed().as_secs()));
        }
    };
    let exchange = Exchange { http: &http, codes: &codes, start, returns: given.return_content };
    exchange.report(response, dest, &wanted, context)
}

/// `creates` and `removes`.
fn unneeded(given: &UriArguments, context: &Context<'_>) -> Option<String> {
    let exists = |path: &String| paths::exists(&paths::expand(context, path));
    if let Some(path) = given.creates.as_ref().filter(|path| exists(path)) {
        return Some(format!("skipped, since '{path}' exists"));
    }
    let path = given.removes.as_ref().filter(|path| !exists(path))?;
    Some(format!("skipped, since '{path}' does not exist"))
}

/// Codes that mean success: numbers, or text from a comma-separated list.
fn status_codes(given: Option<&[Value]>) -> Result<Vec<u16>, Failure> {
    let Some(given) = given else { return Ok(vec![200]) };
    given
        .iter()
        .map(|code| {
            let number = match code {
                Value::String(text) => text.trim().parse().ok(),
                other => other.as_u64().and_then(|number| u16::try_from(number).ok()),
            };
            number.ok_or_else(|| Failure::new(format!("status_code {code} is not a number")))
        })
        .collect()
}

/// Gives the request its body and the headers that belong to it.
fn attach(
    given: &UriArguments,
    request: &mut Request,
    context: &mut Context<'_>,
) -> Result<(), String> {
    let format = given.body_format.as_deref().unwrap_or("raw");
    let mut kind = None;
    let bytes = if let Some(content) = &given._content {
        Some(read_content(&content.sha256, context)?)
    } else if let Some(src) = &given.src {
        let path = paths::expand(context, src);
        let failed = |error| format!("Unable to open source file {src}: {error}");
        if path.metadata().map_err(failed)?.len() > BODY_LIMIT_BYTES {
            return Err(format!("{src} is too large to be sent"));
        }
        Some(fs::read(path).map_err(failed)?)
    } else {
        match (&given.body, format) {
            (None, _) => None,
            (Some(body), "json") => {
                kind = Some("application/json".to_owned());
                Some(match body {
                    // Text is taken for JSON that somebody formatted already.
                    Value::String(text) => text.clone().into_bytes(),
                    other => other.to_string().into_bytes(),
                })
            }
            (Some(body), "form-urlencoded") => {
                kind = Some("application/x-www-form-urlencoded".to_owned());
                Some(body::form(body)?.into_bytes())
            }
            (Some(body), "form-multipart") => {
                let mut open = |digest: &str| read_content(digest, context);
                let (boundary, bytes) = body::multipart(body, &mut open)?;
                request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
                kind = Some(boundary);
                Some(bytes)
            }
            (Some(Value::String(text)), _) => Some(text.clone().into_bytes()),
            (Some(body), _) => Some(body.to_string().into_bytes()),
        }
    };
    let has_kind =
        request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if let Some(kind) = kind.filter(|_| !has_kind) {
        request.headers.push(("Content-Type".to_owned(), kind));
    }
    request.body = bytes;
    Ok(())
}

fn read_content(digest: &str, context: &mut Context<'_>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let reader = context.contents.open(digest).map_err(|failure| failure.message)?;
    reader.take(BODY_LIMIT_BYTES).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// What is needed to make a result of an answer.
struct Exchange<'a> {
    http: &'a HttpArguments,
    codes: &'a [u16],
    start: Instant,
    returns: bool,
}

impl Exchange<'_> {
    fn report(
        &self,
        mut response: Response,
        dest: Option<PathBuf>,
        wanted: &Wanted,
        context: &mut Context<'_>,
    ) -> Result<Outcome, Failure> {
        let status = response.head.status;
        let succeeded = self.codes.contains(&status);
        let dest = dest.map(|dest| match dest.is_dir() {
            true => {
                dest.join(attachment_name(&response).unwrap_or_else(|| url_name(&response.url)))
            }
            false => dest,
        });
        let kind = response.head.header("content-type").unwrap_or_default();
        let maybe_json = is_json(&kind);
        let mut values = self.describe(&response);
        let mut changed = false;
        let mut content = None;
        let writes = succeeded && status != 304;
        if let Some(dest) = dest.as_deref().filter(|_| writes) {
            changed = store(&mut response, dest, wanted, context)?;
            let small = dest.metadata().is_ok_and(|data| {
                usize::try_from(data.len()).is_ok_and(|size| size <= CONTENT_LIMIT_BYTES)
            });
            if (maybe_json || self.returns) && small {
                content = fs::read(dest).ok();
            }
        } else if maybe_json || self.returns || !succeeded {
            content = Some(response.content(CONTENT_LIMIT_BYTES, context)?);
        }
        values.insert("elapsed".to_owned(), self.start.elapsed().as_secs().into());
        if let Some(dest) = &dest {
            values.insert("path".to_owned(), paths::text(dest).into());
            add_path_information(&mut values, dest);
        }
        let text = content.map(|bytes| decoded(&bytes, &kind));
        if let (Some(text), true) = (&text, maybe_json)
            && let Ok(json) = serde_json::from_str::<Value>(text)
        {
            values.insert("json".to_owned(), json);
        }
        if let (Some(text), true) = (text, self.returns) {
            values.insert("content".to_owned(), text.into());
        }
        if succeeded {
            values.insert("msg".to_owned(), message(&response).into());
            return Ok(Outcome { changed, values, ..Outcome::default() });
        }
        let message =
            format!("Status code was {status} and not {:?}: {}", self.codes, message(&response));
        Err(Failure { message, values })
    }

    /// The head of the answer. Names of headers are written with `_`.
    fn describe(&self, response: &Response) -> Object {
        let mut values = Object::new();
        let shown = response.url.to_string();
        let asked = self.http.url().map(|url| url.to_string()).unwrap_or_default();
        values.insert("redirected".to_owned(), (shown != asked).into());
        let shown = if shown == asked { self.http.url.clone() } else { shown };
        for (name, _) in &response.head.headers {
            let value = response.head.header(name).unwrap_or_default();
            values.insert(name.to_lowercase().replace('-', "_"), value.into());
        }
        values.insert("url".to_owned(), shown.into());
        values.insert("status".to_owned(), response.head.status.into());
        let text: Vec<String> =
            response.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        values.insert("cookies_string".to_owned(), text.join("; ").into());
        let cookies: Object = response
            .cookies
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        values.insert("cookies".to_owned(), cookies.into());
        if let Some(location) = response.head.header("location")
            && let Ok(location) = response.url.join(&location)
        {
            values.insert("location".to_owned(), location.to_string().into());
        }
        values
    }
}

/// Writes the content of an answer to a file, unless it holds just that; whether it changed.
fn store(
    response: &mut Response,
    dest: &Path,
    wanted: &Wanted,
    context: &mut Context<'_>,
) -> Result<bool, Failure> {
    let before = digest::summary(dest).ok().map(|summary| summary.sha256);
    let mut is_same = false;
    let new =
        NewContent { target: dest, wanted, keep_attributes: true, backup: false, validate: None };
    let written = new.write(context, &mut |file, context| {
        let digest = pour(response, file, dest, context)?.sha256;
        is_same = before.as_ref() == Some(&digest);
        if is_same { Err(Failure::default()) } else { Ok(()) }
    });
    if !is_same {
        written?;
    }
    if !is_same && before.is_some() {
        metadata::touch(dest).map_err(|error| Failure::system("touch", dest, &error))?;
    }
    let attributes = wanted.apply(dest, context, &mut Default::default())?;
    Ok(!is_same || attributes)
}

/// Copies the content of an answer into a file, piece by piece.
pub(super) fn pour(
    response: &mut Response,
    file: &mut dyn Write,
    dest: &Path,
    context: &Context<'_>,
) -> Result<digest::Summary, Failure> {
    let mut digests = Digests::default();
    while let Some(piece) = response.piece(context)? {
        digests.update(&piece);
        file.write_all(&piece).map_err(|error| Failure::system("write", dest, &error))?;
    }
    Ok(digests.finish())
}

/// Whether a media type is JSON, or built on it (RFC 6839).
fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_lowercase();
    let subtype = kind.split_once('/').map_or("", |(_, subtype)| subtype);
    let last = subtype.rsplit('+').next().unwrap_or_default();
    matches!(last, "json" | "javascript")
}

/// Text in the character set of a media type: Latin-1, otherwise UTF-8.
fn decoded(bytes: &[u8], kind: &str) -> String {
    let charset = kind.to_lowercase();
    let charset = charset.split_once("charset=").map_or("utf-8", |(_, rest)| rest);
    let charset = charset.split(';').next().unwrap_or_default().trim().trim_matches('"');
    match charset {
        "iso-8859-1" | "latin-1" | "latin1" | "windows-1252" => {
            bytes.iter().copied().map(char::from).collect()
        }
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::server::{Answer, Server};
    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn media_types() {
        assert!(is_json("application/json; charset=utf-8") && is_json("application/problem+json"));
        assert!(is_json("text/javascript") && !is_json("text/plain") && !is_json(""));
        assert_eq!(decoded(&[0xe9], "text/plain; charset=ISO-8859-1"), "é");
        assert_eq!(status_codes(Some(&[json!("201"), json!(204)])).unwrap(), [201, 204]);
        assert!(status_codes(Some(&[json!("x")])).is_err());
    }

    #[test]
    fn json_comes_back_and_forth() {
        let server = Server::start(|request| {
            assert_eq!(request.method, "POST");
            assert_eq!(request.header("content-type"), Some("application/json"));
            assert_eq!(request.header("x-own"), Some("1"));
            Answer::new(201).header("Content-Type", "application/json").body(request.body.clone())
        });
        let given = json!({
            "url": server.url("/a"), "method": "POST", "body": {"a": [1, "ü"]},
            "body_format": "json", "status_code": [201], "return_content": true,
            "headers": {"X-Own": 1},
        });
        let outcome = context().call(uri, given).unwrap();
        assert_eq!(outcome.values["json"], json!({"a": [1, "ü"]}));
        assert_eq!(outcome.values["status"], 201);
        assert_eq!(outcome.values["content_type"], "application/json");
        assert!(!outcome.changed);
        assert_eq!(outcome.values["redirected"], false);
    }

    #[test]
    fn other_codes_fail() {
        let server = Server::start(|_| Answer::new(404).body("gone".into()));
        let given = json!({"url": server.url("/"), "return_content": true});
        let failure = context().call(uri, given).unwrap_err();
        assert!(failure.message.starts_with("Status code was 404 and not [200]: HTTP Error 404"));
        assert_eq!(failure.values["content"], "gone");
        assert_eq!(failure.values["status"], 404);
    }

    #[test]
    fn nobody_there() {
        let failure = context().call(uri, json!({"url": "http://127.0.0.1:1/"})).unwrap_err();
        assert_eq!(failure.values["status"], -1);
        assert!(failure.message.contains("Connection refused"), "{}", failure.message);
    }

    #[test]
    fn redirects_and_cookies() {
        let server = Server::start(|request| match request.target.as_str() {
            "/a" => {
                Answer::new(302).header("Location", "b?x=1").header("Set-Cookie", "k=v; Path=/")
            }
            "/b?x=1" => Answer::new(200).body(request.header("cookie").unwrap_or("none").into()),
            _ => Answer::new(500),
        });
        let given = json!({"url": server.url("/a"), "return_content": true});
        let outcome = context().call(uri, given).unwrap();
        assert_eq!(outcome.values["content"], "k=v");
        assert_eq!(outcome.values["redirected"], true);
        assert_eq!(outcome.values["cookies"], json!({"k": "v"}));
        let given = json!({
            "url": server.url("/a"), "follow_redirects": "none", "status_code": 302,
        });
        let mut given = given;
        given["status_code"] = json!([302]);
        let outcome = context().call(uri, given).unwrap();
        assert_eq!(outcome.values["location"], server.url("/b?x=1"));
    }

    #[test]
    fn passwords_are_sent_when_asked_for() {
        let server = Server::start(|request| match request.header("authorization") {
            Some("Basic bWU6cHc=") => Answer::new(200),
            _ => Answer::new(401).header("WWW-Authenticate", "Basic realm=\"x\""),
        });
        let mut given = json!({"url": server.url("/"), "url_username": "me", "url_password": "pw"});
        assert_eq!(context().call(uri, given.clone()).unwrap().values["status"], 200);
        given["url_password"] = json!("wrong");
        assert_eq!(context().call(uri, given).unwrap_err().values["status"], 401);
    }

    #[test]
    fn answers_go_to_files() {
        let server = Server::start(|_| {
            Answer::new(200)
                .header("Content-Disposition", "attachment; filename=\"../n.txt\"")
                .body("content".into())
        });
        let folder = tempfile::tempdir().unwrap();
        let given = json!({"url": server.url("/"), "dest": folder.path(), "force": true});
        let mut bench = context();
        let outcome = bench.call(uri, given.clone()).unwrap();
        assert!(outcome.changed);
        assert_eq!(fs::read_to_string(folder.path().join("n.txt")).unwrap(), "content");
        assert!(!bench.call(uri, given).unwrap().changed);
    }

    #[test]
    fn sockets_of_this_host() {
        use std::io::{BufRead, BufReader, Write};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
            line
        });
        let given =
            json!({"url": "http://localhost/v1/x", "unix_socket": path, "return_content": true});
        assert_eq!(context().call(uri, given).unwrap().values["content"], "hi");
        assert_eq!(thread.join().unwrap(), "GET /v1/x HTTP/1.1\r\n");
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let asked = std::cell::Cell::new(0);
        let stopped = || {
            asked.set(asked.get() + 1);
            asked.get() > 3
        };
        let mut bench = context();
        bench.stopped = Some(&stopped);
        let start = Instant::now();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let failure = bench.call(uri, json!({"url": url})).unwrap_err();
        assert!(failure.message.contains("stopped"));
        assert!(start.elapsed().as_secs() < 5);
    }
}
