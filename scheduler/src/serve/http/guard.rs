//! Who may do what. A browser must not be made to talk to the daemon by some page: a request says
//! the name of this machine's loopback, and comes from no other origin.

use std::sync::{Arc, PoisonError};

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use scheduler::wire::Problem;

use super::problem::Wrong;
use super::{Context, REQUESTS_MOST};
use crate::paint;
use crate::serve::tls::Elsewhere;
use crate::serve::users::Role;

/// The longest explanation of what can't be read.
const DETAIL_MOST_BYTES: usize = 16 << 10;

/// Lets a request through, or says why not.
pub async fn guard(State(context): State<Context>, request: Request, next: Next) -> Response {
    // Clients of Marathon know no problems.
    let is_marathon = request.uri().path().starts_with("/v2");
    let permit = context.permits.clone().try_acquire_owned();
    let call = format!("{} {}", request.method(), request.uri().path());
    let is_change = changes(request.method());
    let (who, response) = match check(&request, &context.token) {
        Ok(_) if permit.is_err() => (None, busy().into_response()),
        Ok(who) => (who, next.run(request).await),
        Err(wrong) => (None, wrong.into_response()),
    };
    drop(permit);
    let response = if is_marathon { response } else { as_problem(response).await };
    if let Some(who) = who.filter(|_| is_change) {
        tell!("{who}: {} {}", paint::harmless(&call), response.status().as_u16());
    }
    context.shared.meters.request(response.status().as_u16() >= 400);
    response
}

/// What is refused before a handler sees it (a body that is too large, a query that can't be read)
/// becomes a problem, too.
async fn as_problem(response: Response) -> Response {
    let status = response.status().as_u16();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_told = kind.is_some_and(|kind| kind == "application/problem+json");
    if is_told || !(400..500).contains(&status) {
        return response;
    }
    let text = to_bytes(response.into_body(), DETAIL_MOST_BYTES).await.unwrap_or_default();
    let name = if status == 413 { "too-large" } else { "bad-request" };
    let detail = String::from_utf8_lossy(&text);
    let problem = Problem::new(status, name, "the request can't be read", detail);
    Wrong(problem.hint("GET /openapi.json says what it may be")).into_response()
}

fn busy() -> Wrong {
    let detail = format!("{REQUESTS_MOST} requests are being answered");
    let problem = Problem::new(503, "busy", "there are too many requests", detail);
    Wrong(problem.hint("ask again in a moment"))
}

/// Whether a request comes from where it may come from.
pub fn check_sender(request: &Request) -> Result<(), Wrong> {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = request.uri().authority().map(|authority| authority.as_str());
    let host = host.or_else(|| text(header::HOST)).unwrap_or_default();
    let is_elsewhere = request.extensions().get::<Elsewhere>().is_some();
    if !is_elsewhere && !is_loopback(host) {
        let detail = format!("`{host}` is no name of the loopback");
        let problem = Problem::new(403, "wrong-host", "the request is for somebody else", detail);
        return Err(Wrong(problem.hint("ask http://127.0.0.1")));
    }
    let scheme = if is_elsewhere { "https" } else { "http" };
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or("?"));
    if let Some(origin) = origin.filter(|origin| *origin != format!("{scheme}://{host}")) {
        let detail = format!("the page of `{origin}` may not use this API");
        return Err(Wrong(Problem::new(
            403,
            "wrong-origin",
            "the page is of somebody else",
            detail,
        )));
    }
    Ok(())
}

/// Who it is, if that is known by name; or why the request isn't answered.
fn check(request: &Request, token: &str) -> Result<Option<String>, Wrong> {
    check_sender(request)?;
    let (method, path, headers) = (request.method(), request.uri().path(), request.headers());
    match request.extensions().get::<Elsewhere>() {
        None => here(method, path, headers, token).map(|()| None),
        Some(allowed) => elsewhere(method, path, headers, allowed),
    }
}

/// On this machine.
fn here(method: &Method, path: &str, headers: &HeaderMap, token: &str) -> Result<(), Wrong> {
    if !needs_token(method, path) || has_token(headers, token) {
        return Ok(());
    }
    let detail = "this needs the token of the daemon";
    let problem = Problem::new(401, "no-token", "the token is missing or wrong", detail);
    Err(Wrong(problem.hint(
        "say `Authorization: Bearer TOKEN` with the token in daemon.json of the daemon's folder",
    )))
}

/// From other machines: all but the page itself and what probes ask needs a token.
fn elsewhere(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    allowed: &Elsewhere,
) -> Result<Option<String>, Wrong> {
    if !changes(method) && OPEN.contains(&path) {
        return Ok(None);
    }
    if has_token(headers, &allowed.token) {
        return Ok(Some("a client of the schedulers".to_owned()));
    }
    let users = Arc::clone(&allowed.users.read().unwrap_or_else(PoisonError::into_inner));
    let token = std::str::from_utf8(given_token(headers)).unwrap_or_default();
    let Some(user) = users.find(token) else {
        let detail = "requests from other machines need a token";
        let problem = Problem::new(401, "no-token", "the token is missing or wrong", detail);
        return Err(Wrong(problem.hint(
            "say `Authorization: Bearer TOKEN`; `scheduler token new` makes tokens, the client takes \
             its own from $SCHEDULER_TOKEN",
        )));
    };
    if user.role < needed(method, path) {
        let detail = format!("{} may {}, but this needs `operate`", user.name, user.role.name());
        let problem = Problem::new(403, "role", "the token isn't good for this", detail);
        return Err(Wrong(problem.hint("`scheduler token new NAME --role operate` makes another")));
    }
    Ok(Some(user.name.clone()))
}

/// What says nothing of apps: the page, which asks for a token itself, and what probes ask.
const OPEN: [&str; 4] = ["/", "/healthz", "/readyz", "/openapi.json"];

fn needed(method: &Method, path: &str) -> Role {
    if changes(method) || path == "/v1/snapshot" { Role::Operate } else { Role::Read }
}

fn changes(method: &Method) -> bool {
    method != Method::GET && method != Method::HEAD
}

/// Whether a request changes something, or shows what may be secret.
fn needs_token(method: &Method, path: &str) -> bool {
    changes(method) || path == "/v1/snapshot" || path.ends_with("/logs")
}

fn given_token(headers: &HeaderMap) -> &[u8] {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    // The second is how clients of Marathon say it.
    given
        .and_then(|value| value.strip_prefix(b"Bearer ").or_else(|| value.strip_prefix(b"token=")))
        .unwrap_or_default()
}

pub fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let given = given_token(headers);
    // All bytes are looked at, so that the time says nothing of the first wrong one.
    let differences = given.iter().zip(token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == token.len() && differences == 0
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use std::sync::RwLock;

    use axum::body::Body;

    use super::*;
    use crate::serve::users::{User, Users};

    fn status(method: &str, path: &str, headers: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(Body::empty()).unwrap(), "secret").err().map(|wrong| wrong.0.status)
    }

    #[test]
    fn the_table_of_who_may_do_what_from_elsewhere() {
        let lines = [("reader", Role::Read, "r"), ("deployer", Role::Operate, "o")]
            .map(|(name, role, token)| User::new(name, role, token).line())
            .join("\n");
        let users = Users::read(&lines, diagnostics::SourceId(0)).unwrap();
        let users = Arc::new(RwLock::new(Arc::new(users)));
        let allowed = Elsewhere { users, token: "shared".into() };
        let who = |method: &str, path: &str, token: &str, origin: Option<&str>| {
            let request = Request::builder().method(method).uri(path);
            let request = request.header("host", "scheduler.example:7471");
            let request = request.header("authorization", format!("Bearer {token}"));
            let request = match origin {
                Some(origin) => request.header("origin", origin),
                None => request,
            };
            let request = request.extension(allowed.clone()).body(Body::empty()).unwrap();
            check(&request, "shared").map_err(|wrong| wrong.0.status)
        };
        let named = |name: &str| Ok(Some(name.to_owned()));
        for (method, path, token, expected) in [
            ("GET", "/healthz", "", Ok(None)),
            ("GET", "/", "", Ok(None)),
            ("POST", "/", "", Err(401)),
            ("GET", "/metrics", "", Err(401)),
            ("GET", "/v1/apps", "", Err(401)),
            ("GET", "/v1/apps", "x", Err(401)),
            ("GET", "/v1/apps", "r", named("reader")),
            ("GET", "/v1/instances/web.1/logs", "r", named("reader")),
            ("GET", "/v1/snapshot", "r", Err(403)),
            ("GET", "/v1/snapshot", "o", named("deployer")),
            ("PUT", "/v1/apps/web", "r", Err(403)),
            ("PUT", "/v1/apps/web", "o", named("deployer")),
            ("PUT", "/v1/apps/web", "shared", named("a client of the schedulers")),
        ] {
            assert_eq!(who(method, path, token, None), expected, "{method} {path} {token}");
        }
        assert_eq!(who("GET", "/v1/apps", "r", Some("https://evil.example")), Err(403));
        let own = "https://scheduler.example:7471";
        assert_eq!(who("GET", "/v1/apps", "r", Some(own)), named("reader"));
    }

    #[test]
    fn the_table_of_who_may_do_what() {
        let host = ("host", "127.0.0.1:7470");
        let token = ("authorization", "Bearer secret");
        for (method, path, headers, expected) in [
            ("GET", "/v1/apps", vec![host], None),
            ("GET", "/v1/apps", vec![("host", "localhost")], None),
            ("GET", "/v1/apps", vec![("host", "[::1]:7470")], None),
            ("GET", "/v1/apps", vec![("host", "evil.example:7470")], Some(403)),
            ("GET", "/v1/apps", vec![("host", "127.0.0.1.evil.example")], Some(403)),
            ("GET", "/v1/apps", vec![], Some(403)),
            ("GET", "/v1/apps", vec![host, ("origin", "http://evil.example")], Some(403)),
            ("GET", "/v1/apps", vec![host, ("origin", "http://127.0.0.1:7470")], None),
            ("POST", "/v1/thaw", vec![host], Some(401)),
            ("POST", "/v1/thaw", vec![host, ("authorization", "Bearer secreT")], Some(401)),
            ("POST", "/v1/thaw", vec![host, ("authorization", "Bearer secret2")], Some(401)),
            ("POST", "/v1/thaw", vec![host, token], None),
            ("POST", "/v2/apps", vec![host], Some(401)),
            ("POST", "/v2/apps", vec![host, ("authorization", "token=secret")], None),
            ("GET", "/v2/apps", vec![host], None),
            ("POST", "/v1/thaw", vec![host, token, ("origin", "null")], Some(403)),
            ("GET", "/v1/snapshot", vec![host], Some(401)),
            ("GET", "/v1/instances/web.1/logs", vec![host], Some(401)),
            ("GET", "/v1/instances/web.1/logs", vec![host, token], None),
        ] {
            assert_eq!(status(method, path, &headers), expected, "{method} {path} {headers:?}");
        }
    }
}
