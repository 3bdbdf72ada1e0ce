//! Spreading apps again: what it would do, doing it, and ending it early.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use scheduler::wire::rebalance::{Spread, SpreadPlan, StopSpread, plan_row};
use scheduler_core::event::{Call, Refusal};
use scheduler_core::ids::AppName;
use scheduler_core::planning::Preview;
use scheduler_core::rebalance::AT_A_TIME;
use serde::Deserialize;

use super::Context;
use super::calls::{Told, call, read};
use super::problem::{Wrong, bad_name, unavailable};

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
    let (shared, now) = (Arc::clone(&context.shared), context.shared.now());
    // With thousands of apps and machines it takes a while.
    let planned = tokio::task::spawn_blocking(move || {
        let known = shared.state();
        if let Some(name) = app.as_ref().filter(|name| !known.apps().contains_key(name)) {
            return Err(Refusal::UnknownApp(name.clone()));
        }
        let mut preview = Preview::of(&known, app.as_ref());
        drop(known);
        let mut rows = Vec::new();
        // The loop has the state in between.
        let mut next = || preview.next(&shared.state(), now);
        while let Some(plans) = next() {
            rows.extend(plans.into_iter().map(|(name, plan)| plan_row(&name, plan)));
        }
        Ok(rows)
    });
    let planned = planned.await.map_err(|_| unavailable("it made a plan"))?;
    Ok(Json(planned?))
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
