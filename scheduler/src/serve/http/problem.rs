//! Answers that say what is wrong, as RFC 9457 has it.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use scheduler::wire::Problem;
use scheduler_core::event::Refusal;

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong(pub Problem);

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

impl From<Refusal> for Wrong {
    fn from(refusal: Refusal) -> Self {
        Wrong(Problem::from(&refusal))
    }
}

/// A name that is none.
pub fn bad_name(error: &scheduler_core::ids::NameError) -> Wrong {
    Wrong(Problem::new(400, "bad-name", "this is no name", error.to_string()))
}

/// A body that can't be read.
pub fn bad_body(error: &serde_json::Error) -> Wrong {
    let problem = Problem::new(400, "bad-body", "the body can't be read", error.to_string());
    Wrong(problem.hint("GET /openapi.json says what it may be"))
}

pub async fn no_such_path(uri: Uri) -> Wrong {
    let detail = format!("there is no {}", uri.path());
    let problem = Problem::new(404, "no-such-path", "there is no such path", detail);
    Wrong(problem.hint("GET /openapi.json says what there is"))
}

pub async fn no_such_method(method: Method, uri: Uri) -> Wrong {
    let detail = format!("{} has no {method}", uri.path());
    let problem = Problem::new(405, "no-such-method", "there is no such method", detail);
    Wrong(problem.hint("GET /openapi.json says what there is"))
}

/// Something that is away for now.
pub fn unavailable(detail: &str) -> Wrong {
    Wrong(Problem::new(503, "unavailable", "the scheduler is ending", detail))
}
