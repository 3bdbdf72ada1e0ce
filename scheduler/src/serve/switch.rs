//! What answers requests at the moment: this scheduler as a leader, or as one that follows. The
//! socket stays, what is behind it changes.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use tower::ServiceExt;

/// What answers requests at the moment.
#[derive(Debug, Clone)]
pub struct Switch(Arc<RwLock<Router>>);

impl Switch {
    /// At first.
    pub fn new(router: Router) -> Self {
        Switch(Arc::new(RwLock::new(router)))
    }

    /// From now on. Requests that have come before are answered by what was there then.
    pub fn turn(&self, router: Router) {
        // Nothing panics while it is held.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = router;
    }

    /// Whatever is there when a request comes.
    pub fn router(&self) -> Router {
        Router::new().fallback(pass).with_state(self.clone())
    }
}

async fn pass(State(switch): State<Switch>, request: Request) -> Response {
    let router = switch.0.read().unwrap_or_else(PoisonError::into_inner).clone();
    match router.oneshot(request).await {
        Ok(response) => response,
        // It can't fail: its answers are responses.
        Err(never) => match never {},
    }
}
