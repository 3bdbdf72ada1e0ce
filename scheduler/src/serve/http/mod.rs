//! The API. On the loopback, what is read is open to whoever is on this machine, apart from output of
//! instances and snapshots; what changes something needs the token in the daemon's folder, because a
//! deployment runs commands as the user of the daemon. From other machines, through TLS, everything
//! needs a token, whose role says what it is good for.

mod calls;
mod dashboard;
mod discovery;
pub mod follower;
mod guard;
mod idempotency;
mod logs;
mod marathon;
mod policy;
mod problem;
mod reads;
mod rebalance;
mod streams;
mod volumes;

use std::sync::Arc;
use std::sync::mpsc::Sender;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{MethodRouter, delete, get, post, put};
use scheduler_mesos_client::{Figures, Known};
use scheduler_runner::Runner;
use tokio::sync::Semaphore;

use crate::serve::cycle::{Input, Shared};
use crate::serve::policies::Policies;
use crate::serve::registrar::Registrar;
use crate::serve::scraper::Scraper;
pub use idempotency::Remembered;

/// The largest body of a request: an app's file with the longest lists.
const BODY_MOST_BYTES: usize = 1 << 20;

/// Requests that are answered at the same time: each waits for a turn of the loop at most. What is
/// followed counts until its first byte only.
pub const REQUESTS_MOST: usize = 256;

/// What all requests share.
#[derive(Clone)]
pub struct Context {
    /// The state, the events and the counters.
    pub shared: Arc<Shared>,
    /// The loop.
    pub inputs: Sender<Input>,
    /// Instances of this machine.
    pub runner: Arc<Runner>,
    /// Whether instances run on this machine.
    pub is_local: bool,
    /// What the client of Mesos has counted.
    pub figures: Option<Arc<Figures>>,
    /// The framework's id, if instances run on Mesos.
    pub mesos: Option<Known>,
    /// Instances in Consul.
    pub registrar: Option<Arc<Registrar>>,
    /// What may change something.
    pub token: Arc<str>,
    /// The live policy, and those before and beside it.
    pub policies: Arc<Policies>,
    /// The load of apps.
    pub scraper: Arc<Scraper>,
    /// Command of Docker.
    pub docker: Arc<str>,
    /// Answers to requests with keys.
    pub remembered: Arc<Remembered>,
    /// Requests that may be answered at the same time.
    pub permits: Arc<Semaphore>,
}

/// All routes: method, path, handler.
fn routes() -> Vec<(&'static str, &'static str, MethodRouter<Context>)> {
    vec![
        ("get", "/", get(dashboard::page)),
        ("get", "/healthz", get(reads::healthz)),
        ("get", "/readyz", get(reads::readyz)),
        ("get", "/metrics", get(reads::metrics)),
        ("get", "/openapi.json", get(reads::openapi)),
        ("get", "/v1/status", get(reads::status)),
        ("get", "/v1/apps", get(reads::apps)),
        ("get", "/v1/apps/{app}", get(reads::app)),
        ("put", "/v1/apps/{app}", put(calls::deploy)),
        ("delete", "/v1/apps/{app}", delete(calls::delete)),
        ("post", "/v1/apps/{app}/upgrade", post(calls::upgrade)),
        ("post", "/v1/apps/{app}/scale", post(calls::scale)),
        ("post", "/v1/apps/{app}/rollback", post(calls::rollback)),
        ("post", "/v1/apps/{app}/add", post(calls::add)),
        ("post", "/v1/apps/{app}/remove", post(calls::remove)),
        ("get", "/v1/apps/{app}/history", get(reads::history)),
        ("get", "/v1/apps/{app}/explain", get(reads::explain_app)),
        ("get", "/v1/instances", get(reads::instances)),
        ("get", "/v1/instances/{instance}", get(reads::instance)),
        ("get", "/v1/instances/{instance}/explain", get(reads::explain_instance)),
        ("get", "/v1/instances/{instance}/logs", get(logs::logs)),
        ("post", "/v1/instances/{instance}/kill", post(calls::kill)),
        ("get", "/v1/deployments", get(dashboard::deployments)),
        ("get", "/v1/decisions", get(dashboard::decisions)),
        ("get", "/v1/machines", get(reads::machines)),
        ("post", "/v1/machines/{machine}/drain", post(calls::drain)),
        ("post", "/v1/machines/{machine}/undrain", post(calls::undrain)),
        ("get", "/v1/consul", get(reads::consul)),
        ("get", "/v1/discovery/{app}", get(discovery::discovery)),
        ("post", "/v1/observations", post(calls::observe)),
        ("post", "/v1/thaw", post(calls::thaw)),
        ("get", "/v1/rebalance", get(rebalance::plan)),
        ("post", "/v1/rebalance", post(rebalance::begin)),
        ("post", "/v1/rebalance/cancel", post(rebalance::cancel)),
        ("get", "/v1/volumes", get(volumes::list)),
        ("delete", "/v1/volumes/{volume}", delete(volumes::delete)),
        ("get", "/v1/policy", get(policy::show)),
        ("put", "/v1/policy", put(policy::apply)),
        ("post", "/v1/policy/rollback", post(policy::rollback)),
        ("post", "/v1/policy/shadow", post(policy::shadow)),
        ("get", "/v1/events", get(streams::events)),
        ("get", "/v1/snapshot", get(streams::snapshot)),
    ]
}

/// The API.
pub fn router(context: Context) -> Router {
    let mut router = Router::new();
    for (_, path, handler) in routes() {
        router = router.route(path, handler);
    }
    for (path, handler) in marathon::routes() {
        router = router.route(path, handler);
    }
    router
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn_with_state(context.clone(), idempotency::once))
        .layer(middleware::from_fn_with_state(context.clone(), guard::guard))
        .layer(DefaultBodyLimit::max(BODY_MOST_BYTES))
        .with_state(context)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_of_the_api_has_all_routes_and_no_others() {
        let document = scheduler::openapi::document();
        let paths = document["paths"].as_object().unwrap();
        let documented: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
            })
            .filter(|(method, path)| method != "parameters" && !is_foreign(path))
            .collect();
        let there: BTreeSet<(String, String)> = routes()
            .into_iter()
            .map(|(method, path, _)| (method.to_owned(), path.to_owned()))
            .collect();
        assert_eq!(documented, there);
    }

    /// Whether it is a path of Marathon.
    fn is_foreign(path: &str) -> bool {
        path.starts_with("/v2") || path == "/ping"
    }

    #[test]
    fn the_document_has_what_clients_of_marathon_ask_for() {
        let document = scheduler::openapi::document();
        let paths = document["paths"].as_object().unwrap().keys();
        let documented: Vec<&String> = paths.filter(|path| is_foreign(path)).collect();
        let covers = |route: &str, path: &str| match route.split_once("{*") {
            Some((front, _)) => path.starts_with(front),
            None => route.trim_end_matches('/') == path,
        };
        let routes: Vec<&str> = marathon::routes().into_iter().map(|(path, _)| path).collect();
        for path in &documented {
            assert!(routes.iter().any(|route| covers(route, path)), "{path} has no route");
        }
        for route in routes {
            assert!(documented.iter().any(|path| covers(route, path)), "{route} isn't documented");
        }
    }
}
