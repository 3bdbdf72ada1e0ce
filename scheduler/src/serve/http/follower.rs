//! The API of a scheduler that follows: it says so, and where the leader is.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use policy::config::Policy;
use scheduler::wire::Problem;
use scheduler_store::cluster::LeaderSeen;

use super::guard;
use super::problem::Wrong;
use crate::serve::meters::Meters;

/// Who leads, as far as is known.
#[derive(Debug, Clone, Default)]
pub struct Leader(Arc<RwLock<Known>>);

/// What is known of the office.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Known {
    /// Nobody has it.
    #[default]
    Free,
    /// Somebody has.
    Held(LeaderSeen),
    /// Consul doesn't say: why.
    Trouble(String),
}

impl Leader {
    /// Who leads now; whether that is new.
    pub fn set(&self, leader: Option<LeaderSeen>) -> bool {
        self.put(leader.map_or(Known::Free, Known::Held))
    }

    /// It can't be known who leads; whether that is new.
    pub fn doubt(&self, why: &str) -> bool {
        self.put(Known::Trouble(why.to_owned()))
    }

    fn put(&self, now: Known) -> bool {
        // Nothing panics while it is held.
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = *known != now;
        *known = now;
        is_new
    }

    fn get(&self) -> Known {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The API.
pub fn router(leader: Leader) -> Router {
    Router::new()
        .route("/healthz", get(super::reads::healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(elsewhere)
        .layer(middleware::from_fn(guarded))
        .with_state(leader)
}

async fn guarded(request: Request, next: Next) -> Response {
    match guard::check_sender(&request) {
        Ok(()) => next.run(request).await,
        Err(wrong) => wrong.into_response(),
    }
}

async fn readyz(State(leader): State<Leader>) -> impl IntoResponse {
    let text = match leader.get() {
        Known::Held(leader) => format!("follower: {} leads at {}\n", leader.name, leader.address),
        Known::Free => "follower: nobody leads at the moment\n".to_owned(),
        Known::Trouble(why) => format!("follower: it waits for Consul: {why}\n"),
    };
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

async fn metrics() -> impl IntoResponse {
    // It knows of no apps, and has done nothing.
    let state = scheduler_core::State::new(Policy::recommended());
    let text = Meters::default().text(&state, 0);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

async fn elsewhere(State(leader): State<Leader>, request: Request) -> Response {
    let nobody = |detail: String, hint: &str| {
        Wrong(Problem::new(503, "not-leading", "nobody leads", detail).hint(hint)).into_response()
    };
    let leader = match leader.get() {
        Known::Held(leader) => leader,
        Known::Free => {
            let detail = "this scheduler follows, and nobody leads at the moment";
            return nobody(detail.to_owned(), "ask again in a few seconds");
        }
        Known::Trouble(why) => {
            let detail =
                format!("this scheduler waits for Consul, without which nobody leads: {why}");
            return nobody(detail, "instances go on; it goes on by itself when Consul is back");
        }
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let location = format!("{}{path}", leader.address.trim_end_matches('/'));
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::body::to_bytes;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_follower_says_who_leads() {
        let leader = Leader::default();
        let ask = async |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:1");
            let request = request.body(Body::empty()).unwrap();
            let response = router(leader.clone()).oneshot(request).await.unwrap();
            let location = response.headers().get(header::LOCATION).cloned();
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
            let location = location.map(|value| value.to_str().unwrap().to_owned());
            (status, location, String::from_utf8(body.to_vec()).unwrap())
        };
        assert_eq!(ask("GET", "/healthz").await, (200, None, "ok\n".to_owned()));
        let (status, location, text) = ask("GET", "/v1/apps").await;
        assert_eq!((status, location, text.contains("nobody leads")), (503, None, true));
        assert!(leader.doubt("no answer"));
        assert!(!leader.doubt("no answer"));
        let (status, _, text) = ask("GET", "/readyz").await;
        assert_eq!((status, text.as_str()), (503, "follower: it waits for Consul: no answer\n"));
        let (status, _, text) = ask("GET", "/v1/apps").await;
        assert!(status == 503 && text.contains("waits for Consul"), "{text}");
        let (name, address) = ("two".to_owned(), "http://127.0.0.1:7471".to_owned());
        assert!(leader.set(Some(LeaderSeen { name, address })));
        let (status, _, text) = ask("GET", "/readyz").await;
        assert_eq!(
            (status, text.as_str()),
            (503, "follower: two leads at http://127.0.0.1:7471\n")
        );
        let (status, location, _) = ask("POST", "/v1/apps/web/scale?a=b").await;
        let expected = "http://127.0.0.1:7471/v1/apps/web/scale?a=b";
        assert_eq!((status, location.as_deref()), (307, Some(expected)));
        let (status, _, text) = ask("GET", "/metrics").await;
        assert_eq!((status, text.contains("scheduler_leading 0\n")), (200, true));
    }
}
