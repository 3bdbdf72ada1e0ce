//! Requests with all that belongs to them: redirects, authentication, cookies, proxies.
//!
//! A request runs in a thread of its own, so that the call can be stopped while it waits.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use flate2::read::MultiGzDecoder;

use super::super::private::random_name;
use super::super::words::Environment;
use super::auth::{self, Challenge};
use super::connection::{self, ConnectionSettings, Socket};
use super::message::{self, Body, Head, Headers};
use super::url::Url;
use crate::module::{Context, Failure};

/// Most redirects that are followed, as in Python.
const REDIRECT_LIMIT: usize = 10;

/// How often a request to stop is looked at, in milliseconds.
const STOP_CHECK_MS: u64 = 50;

/// Bytes of one piece of content on its way.
const PIECE_BYTES: usize = 128 << 10;

/// Pieces that may wait to be used.
const PIECES_LIMIT: usize = 8;

/// Which redirects are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Follow {
    /// None.
    No,
    /// Of GET and HEAD only.
    #[default]
    Safe,
    /// All.
    All,
    /// As Python does it: POST becomes GET, other methods are not redirected.
    Python,
}

/// One request.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub method: String,
    pub headers: Headers,
    pub body: Option<Vec<u8>>,
    pub follow: Follow,
    /// User and password.
    pub credentials: Option<(String, String)>,
    /// Authenticate without being asked.
    pub eager: bool,
    /// Look for credentials in `.netrc`.
    pub use_netrc: bool,
    pub use_proxy: bool,
    /// Decode gzip.
    pub decompress: bool,
    /// Names of headers that are not sent to where a redirect leads, in lower case.
    pub unredirected: Vec<String>,
    pub connection: ConnectionSettings,
}

/// The answer; its content is still on its way.
#[derive(Debug)]
pub(super) struct Response {
    /// Where it came from at last.
    pub url: Url,
    pub head: Head,
    /// Names and values of cookies, the newest last.
    pub cookies: Headers,
    pieces: Receiver<Event>,
    socket: SharedSocket,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum FetchError {
    /// The request failed.
    Failed(String),
    /// The call was asked to stop.
    Stopped,
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Failed(message) => Failure::new(message),
            FetchError::Stopped => Failure::new("stopped while waiting for a web server"),
        }
    }
}

type SharedSocket = Arc<Mutex<Option<Socket>>>;

#[derive(Debug)]
enum Event {
    Head(Box<(Url, Head, Headers)>),
    Piece(Vec<u8>),
    End,
    Failed(String),
}

/// Sends a request and waits for the beginning of the answer.
pub(super) fn fetch(
    url: &Url,
    request: Request,
    context: &Context<'_>,
) -> Result<Response, FetchError> {
    let environment = Environment::new(&context.environment);
    let proxies = Proxies::of(&environment, request.use_proxy);
    let socket = SharedSocket::default();
    let (sender, receiver) = sync_channel(PIECES_LIMIT);
    let exchange = Exchange { request, proxies, socket: Arc::clone(&socket), sender };
    let start = url.clone();
    thread::spawn(move || exchange.run(start));
    match next(&receiver, &socket, context)? {
        Event::Head(boxed) => {
            let (url, head, cookies) = *boxed;
            Ok(Response { url, head, cookies, pieces: receiver, socket })
        }
        Event::Failed(message) => Err(FetchError::Failed(message)),
        Event::Piece(_) | Event::End => Err(FetchError::Failed("no answer".to_owned())),
    }
}

/// Waits for the other thread, but not longer than the call may go on.
fn next(
    events: &Receiver<Event>,
    socket: &SharedSocket,
    context: &Context<'_>,
) -> Result<Event, FetchError> {
    loop {
        match events.recv_timeout(Duration::from_millis(STOP_CHECK_MS)) {
            Ok(event) => return Ok(event),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(FetchError::Failed("the request ended without a result".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) => {
                if (context.stopped)() {
                    shut_down(socket);
                    return Err(FetchError::Stopped);
                }
            }
        }
    }
}

fn shut_down(socket: &SharedSocket) {
    if let Some(socket) = socket.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        socket.shut_down();
    }
}

impl Response {
    /// The next piece of content; `None`: that was all.
    pub fn piece(&mut self, context: &Context<'_>) -> Result<Option<Vec<u8>>, FetchError> {
        match next(&self.pieces, &self.socket, context)? {
            Event::Piece(bytes) => Ok(Some(bytes)),
            Event::End => Ok(None),
            Event::Failed(message) => Err(FetchError::Failed(message)),
            Event::Head(_) => Err(FetchError::Failed("a second answer".to_owned())),
        }
    }

    /// All the content, if it isn't longer than this.
    pub fn content(&mut self, limit: usize, context: &Context<'_>) -> Result<Vec<u8>, FetchError> {
        let mut content = Vec::new();
        while let Some(piece) = self.piece(context)? {
            if content.len() + piece.len() > limit {
                return Err(FetchError::Failed(format!("the answer is longer than {limit} bytes")));
            }
            content.extend_from_slice(&piece);
        }
        Ok(content)
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        // The other thread must not go on reading what nobody wants.
        shut_down(&self.socket);
    }
}

/// Proxies of the environment.
#[derive(Debug, Clone, Default)]
struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    exceptions: Vec<String>,
}

impl Proxies {
    fn of(environment: &Environment<'_>, wanted: bool) -> Self {
        if !wanted {
            return Proxies::default();
        }
        let variable = |name: &str| {
            environment
                .get(name)
                .or_else(|| environment.get(&name.to_uppercase()))
                .filter(|value| !value.is_empty())
        };
        let proxy = |scheme: &str| {
            let value = variable(&format!("{scheme}_proxy")).or_else(|| variable("all_proxy"))?;
            let value = if value.contains("://") { value } else { format!("http://{value}") };
            Url::parse(&value).ok()
        };
        let exceptions = variable("no_proxy").unwrap_or_default();
        Proxies {
            http: proxy("http"),
            https: proxy("https"),
            exceptions: exceptions
                .split(',')
                .map(|name| name.trim().to_lowercase())
                .filter(|name| !name.is_empty())
                .collect(),
        }
    }

    fn for_url(&self, url: &Url) -> Option<&Url> {
        let is_exception = |name: &String| {
            let name = name.trim_start_matches('.');
            name == "*"
                || url.host == name
                || url.authority() == name
                || url.host.ends_with(&format!(".{name}"))
        };
        if self.exceptions.iter().any(is_exception) {
            return None;
        }
        if url.is_secure() { self.https.as_ref() } else { self.http.as_ref() }
    }
}

/// What the thread of a request owns.
struct Exchange {
    request: Request,
    proxies: Proxies,
    socket: SharedSocket,
    sender: SyncSender<Event>,
}

type Answer = (Head, Body<connection::Connection>);

impl Exchange {
    fn run(self, url: Url) {
        let end = match self.follow(url) {
            Ok(()) => Event::End,
            Err(error) => Event::Failed(describe(&error)),
        };
        // Nobody may listen any more.
        let _ = self.sender.send(end);
    }

    /// Sends requests until there is an answer to be shown, and passes its content on.
    fn follow(&self, mut url: Url) -> io::Result<()> {
        let mut method = self.request.method.clone();
        let mut body = self.request.body.clone();
        let mut headers = self.request.headers.clone();
        let mut cookies: Headers = Vec::new();
        let mut credentials = self.credentials(&url);
        let mut is_answered = false;
        let mut authorization = credentials
            .as_ref()
            .filter(|(_, eager)| *eager)
            .map(|((user, password), _)| auth::basic(user, password));
        for _ in 0..=REDIRECT_LIMIT {
            let sent = dressed(&headers, authorization.as_deref(), &cookies);
            let (head, content) = self.send(&url, &method, &sent, body.as_deref())?;
            keep_cookies(&head, &mut cookies);
            if head.status == 401 && !is_answered {
                let challenge = head.header("www-authenticate");
                let challenge = challenge.as_deref().and_then(Challenge::parse);
                if let (Some(challenge), Some(((user, password), false))) =
                    (challenge, &credentials)
                {
                    is_answered = true;
                    let nonce = random_name()?;
                    authorization =
                        Some(challenge.answer(user, password, &method, &url.target, &nonce));
                    continue;
                }
            }
            let location = head.header("location").filter(|_| is_redirect(head.status));
            let Some(location) =
                location.filter(|_| may_follow(self.request.follow, &method, head.status))
            else {
                return self.pass_on(url, head, content, cookies);
            };
            let next = url.join(&location.replace(' ', "%20")).map_err(io::Error::other)?;
            if next.scheme == "file" {
                return Err(io::Error::other(format!("redirection to {next} is not allowed")));
            }
            if !matches!(head.status, 307 | 308) {
                body = None;
                headers.retain(|(name, _)| {
                    !["content-length", "content-type", "transfer-encoding"]
                        .contains(&name.to_lowercase().as_str())
                });
            }
            method = redirected(&method, head.status).to_owned();
            headers.retain(|(name, _)| !self.request.unredirected.contains(&name.to_lowercase()));
            // Another host must not learn what was meant for the first one.
            if (next.host.as_str(), next.port()) != (url.host.as_str(), url.port()) {
                authorization = None;
                credentials = None;
                cookies.clear();
                headers.retain(|(name, _)| {
                    !["authorization", "cookie", "host"].contains(&name.to_lowercase().as_str())
                });
            }
            url = next;
        }
        Err(io::Error::other("too many redirects"))
    }

    /// User and password, and whether they are sent without being asked for.
    fn credentials(&self, url: &Url) -> Option<((String, String), bool)> {
        let given = self.request.credentials.clone().or_else(|| url.user.clone());
        if let Some(given) = given {
            return Some((given, self.request.eager));
        }
        let has_header =
            self.request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if !self.request.use_netrc || has_header {
            return None;
        }
        auth::netrc(&url.host).map(|found| (found, true))
    }

    fn send(
        &self,
        url: &Url,
        method: &str,
        headers: &Headers,
        body: Option<&[u8]>,
    ) -> io::Result<Answer> {
        let proxy = self.proxies.for_url(url);
        let mut connection =
            connection::connect(url, proxy, &self.request.connection, &mut |socket| {
                *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
            })?;
        let plain_proxy =
            proxy.filter(|_| !url.is_secure() && self.request.connection.unix_socket.is_none());
        let target = match plain_proxy {
            Some(_) => url.to_string(),
            None => url.target.clone(),
        };
        let mut all: Headers = Vec::with_capacity(headers.len() + 5);
        let has = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        for (name, value) in [
            ("Accept-Encoding", "identity".to_owned()),
            ("Host", url.authority()),
            ("Connection", "close".to_owned()),
        ] {
            if !has(name) {
                all.push((name.to_owned(), value));
            }
        }
        if let Some((user, password)) = plain_proxy.and_then(|proxy| proxy.user.as_ref()) {
            all.push(("Proxy-Authorization".to_owned(), auth::basic(user, password)));
        }
        if let Some(bytes) = body {
            if !has("content-length") {
                all.push(("Content-Length".to_owned(), bytes.len().to_string()));
            }
            if !has("content-type") {
                let default = "application/x-www-form-urlencoded";
                all.push(("Content-Type".to_owned(), default.to_owned()));
            }
        } else if matches!(method, "POST" | "PUT" | "PATCH") && !has("content-length") {
            all.push(("Content-Length".to_owned(), "0".to_owned()));
        }
        all.extend(headers.iter().cloned());
        let stream = connection.get_mut();
        message::write_request(stream, method, &target, &all)?;
        // A server may answer before it has read everything: the answer counts then.
        let written = body.map_or(Ok(()), |bytes| stream.write_all(bytes));
        stream.flush().or_else(|error| if written.is_ok() { Err(error) } else { Ok(()) })?;
        let head = match (message::read_head(&mut connection), written) {
            (Ok(head), _) => head,
            (Err(_), Err(error)) | (Err(error), Ok(())) => return Err(error),
        };
        let framing = message::framing(method, &head)?;
        Ok((head, Body::new(connection, framing)))
    }

    fn pass_on(
        &self,
        url: Url,
        head: Head,
        content: Body<connection::Connection>,
        cookies: Headers,
    ) -> io::Result<()> {
        let coding = head.header("content-encoding").unwrap_or_default();
        let is_zipped = coding.eq_ignore_ascii_case("gzip") && self.request.decompress;
        let mut reader: Box<dyn Read> =
            if is_zipped { Box::new(MultiGzDecoder::new(content)) } else { Box::new(content) };
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.send(Event::Head(Box::new((url, head, cookies)))).map_err(gone)?;
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let count = match reader.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            piece.truncate(count);
            self.sender.send(Event::Piece(piece)).map_err(gone)?;
        }
    }
}

/// The headers of one request: the given ones, who asks, and cookies.
fn dressed(headers: &Headers, authorization: Option<&str>, cookies: &Headers) -> Headers {
    let mut sent = headers.clone();
    if let Some(value) = authorization {
        sent.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
        sent.push(("Authorization".to_owned(), value.to_owned()));
    }
    if !cookies.is_empty() && !sent.iter().any(|(name, _)| name.eq_ignore_ascii_case("cookie")) {
        let text: Vec<String> =
            cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        sent.push(("Cookie".to_owned(), text.join("; ")));
    }
    sent
}

fn keep_cookies(head: &Head, cookies: &mut Headers) {
    let set = head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    for (_, value) in set {
        let pair = value.split(';').next().unwrap_or_default();
        let Some((name, value)) = pair.split_once('=') else { continue };
        let (name, value) = (name.trim().to_owned(), value.trim().trim_matches('"').to_owned());
        cookies.retain(|(known, _)| *known != name);
        cookies.push((name, value));
    }
}

fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

fn may_follow(follow: Follow, method: &str, status: u16) -> bool {
    let is_safe = matches!(method, "GET" | "HEAD");
    match follow {
        Follow::No => false,
        Follow::Safe => is_safe,
        Follow::All => true,
        Follow::Python => is_safe || (method == "POST" && matches!(status, 301..=303)),
    }
}

/// The method after a redirect.
fn redirected(method: &str, status: u16) -> &str {
    match (method, status) {
        ("HEAD", _) => "HEAD",
        (_, 302 | 303) | ("POST", 301) => "GET",
        (method, _) => method,
    }
}

/// The system's words for frequent failures, as Python shows them.
fn describe(error: &io::Error) -> String {
    match (error.raw_os_error(), error.kind()) {
        (Some(number), _) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            format!("<urlopen error [Errno {number}] {text}>")
        }
        (None, io::ErrorKind::TimedOut) => "The read operation timed out".to_owned(),
        (None, io::ErrorKind::NotFound) => format!("<urlopen error [Errno -2] {error}>"),
        (None, _) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn redirects_follow_their_policy() {
        assert!(may_follow(Follow::Safe, "GET", 301) && !may_follow(Follow::Safe, "POST", 303));
        assert!(may_follow(Follow::Python, "POST", 302) && !may_follow(Follow::Python, "PUT", 302));
        assert!(!may_follow(Follow::Python, "POST", 307) && may_follow(Follow::All, "PUT", 307));
        assert_eq!(redirected("POST", 301), "GET");
        assert_eq!(redirected("PUT", 301), "PUT");
        assert_eq!(redirected("PUT", 303), "GET");
        assert_eq!(redirected("HEAD", 302), "HEAD");
        assert_eq!(redirected("POST", 308), "POST");
    }

    #[test]
    fn proxies_have_exceptions() {
        let variables = BTreeMap::from([
            ("http_proxy".to_owned(), "proxy:3128".to_owned()),
            ("no_proxy".to_owned(), "localhost, .internal,10.0.0.1:8080".to_owned()),
        ]);
        let proxies = Proxies::of(&Environment::new(&variables), true);
        let proxy = |url: &str| proxies.for_url(&Url::parse(url).unwrap()).cloned();
        assert_eq!(proxy("http://example.org/").unwrap().port(), 3128);
        assert_eq!(proxy("http://localhost/"), None);
        assert_eq!(proxy("http://a.internal/"), None);
        assert_eq!(proxy("http://10.0.0.1:8080/"), None);
        assert!(proxy("http://10.0.0.1/").is_some());
        assert!(Proxies::of(&Environment::new(&variables), false).http.is_none());
    }

    #[test]
    fn cookies_are_kept() {
        let head = Head {
            headers: vec![
                ("Set-Cookie".to_owned(), "a=1; Path=/".to_owned()),
                ("set-cookie".to_owned(), "b=\"2\"".to_owned()),
                ("Set-Cookie".to_owned(), "a=3".to_owned()),
            ],
            ..Head::default()
        };
        let mut cookies = Vec::new();
        keep_cookies(&head, &mut cookies);
        let sent = dressed(&Vec::new(), None, &cookies);
        assert_eq!(sent, [("Cookie".to_owned(), "b=2; a=3".to_owned())]);
    }
}
