//! Spreading apps again: what it would do, doing it, and ending it early.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use scheduler::wire::rebalance::{Spread, SpreadPlan, StopSpread, plans};
use scheduler_core::event::{Call, Refusal};
use scheduler_core::ids::AppName;
use scheduler_core::rebalance::AT_A_TIME;
use serde::Deserialize;

use super::Context;
use super::calls::{Told, call, read};
use super::problem::{Wrong, bad_name};

/// Which app.
#[derive(Debug, Deserialize)]
pub struct Which {
    app: Option<String>,
}

fn named(app: Option<String>) -> Result<Option<AppName>, Wrong> {
    app.map(|name| name.parse().map_err(|error| bad_name(&error))).transpose()
}

pub async fn plan(
    State(context): State<Context>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<SpreadPlan>>, Wrong> {
    let app = named(which.app)?;
    let (state, now) = (context.shared.state(), context.shared.now());
    if let Some(name) = app.as_ref().filter(|name| !state.apps().contains_key(name)) {
        return Err(Refusal::UnknownApp(name.clone()).into());
    }
    Ok(Json(plans(&state, app.as_ref(), now)))
}

pub async fn begin(State(context): State<Context>, body: Bytes) -> Told {
    let Spread { app, at_a_time } = read(&body)?;
    let (app, at_a_time) = (named(app)?, at_a_time.unwrap_or(AT_A_TIME));
    call(&context, Call::Rebalance { app, at_a_time }).await
}

pub async fn cancel(State(context): State<Context>, body: Bytes) -> Told {
    let StopSpread { app } = read(&body)?;
    call(&context, Call::CancelRebalance { app: named(app)? }).await
}
