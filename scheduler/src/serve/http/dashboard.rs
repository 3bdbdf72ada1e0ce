//! The page for browsers, and what only it asks for: deployments and decisions, of all apps or of one.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use scheduler::wire::look::{self, DecisionRow, DeploymentState};
use scheduler_core::event::Refusal;
use scheduler_core::ids::AppName;
use serde::Deserialize;

use super::Context;
use super::problem::{Wrong, bad_name};

/// The page: it has all that it needs, and asks only this daemon.
const PAGE: &str = include_str!("dashboard.html");

/// What the page may do: nothing from elsewhere, and nobody may put it into a frame.
const PAGE_MAY: &str = "default-src 'none'; script-src 'unsafe-inline'; \
     style-src 'unsafe-inline'; img-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
     form-action 'none'";

/// Rows, if nothing is said.
const ROWS: usize = 100;

pub async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, PAGE_MAY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, PAGE)
}

/// Which rows.
#[derive(Debug, Deserialize)]
pub struct Which {
    app: Option<String>,
    most: Option<usize>,
}

impl Which {
    fn app(&self) -> Result<Option<AppName>, Wrong> {
        let name = self.app.as_ref().filter(|name| !name.is_empty());
        name.map(|name| name.parse().map_err(|error| bad_name(&error))).transpose()
    }
}

/// Those under way come first, then the ones that ended last.
pub async fn deployments(
    State(context): State<Context>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<DeploymentState>>, Wrong> {
    let state = context.shared.state();
    let mut rows: Vec<DeploymentState> = match which.app()? {
        Some(name) => {
            let app = state.apps().get(&name).ok_or_else(|| Refusal::UnknownApp(name.clone()))?;
            look::deployments(&name, app)
        }
        None => state.apps().iter().flat_map(|(name, app)| look::deployments(name, app)).collect(),
    };
    drop(state);
    rows.sort_by(|one, other| {
        let key = |row: &DeploymentState| (row.ended.is_none(), row.ended.clone());
        key(other).cmp(&key(one))
    });
    rows.truncate(which.most.unwrap_or(ROWS));
    Ok(Json(rows))
}

pub async fn decisions(
    State(context): State<Context>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<DecisionRow>>, Wrong> {
    let app = which.app()?;
    let most = which.most.unwrap_or(ROWS);
    Ok(Json(context.shared.decisions.last(app.as_ref(), most, look::decision)))
}

#[cfg(test)]
mod tests {
    use super::PAGE;

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_makes_no_markup_of_data() {
        for word in ["http://", "https://", "src=", "@import", "innerHTML", "eval("] {
            assert!(!PAGE.contains(word), "{word}");
        }
    }
}
