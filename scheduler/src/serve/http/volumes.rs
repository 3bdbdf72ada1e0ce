//! Volumes: which there are, and giving them up.

use axum::Json;
use axum::extract::{Path, Query, State};
use scheduler::wire::volumes::{VolumeRow, volume_rows};
use scheduler_core::event::Call;
use scheduler_core::volume::VolumeId;
use serde::Deserialize;

use super::Context;
use super::calls::{Told, call};
use super::problem::bad_name;

/// Which app.
#[derive(Debug, Deserialize)]
pub struct Which {
    app: Option<String>,
}

/// What becomes of the volumes of what ends.
#[derive(Debug, Default, Deserialize)]
pub struct Keeping {
    /// Whether they are kept.
    #[serde(default)]
    pub keep_volumes: bool,
}

pub async fn list(
    State(context): State<Context>,
    Query(which): Query<Which>,
) -> Json<Vec<VolumeRow>> {
    Json(volume_rows(&context.shared.state(), which.app.as_deref()))
}

pub async fn delete(State(context): State<Context>, Path(name): Path<String>) -> Told {
    let volume: VolumeId = name.parse().map_err(|error| bad_name(&error))?;
    call(&context, Call::DeleteVolume { volume }).await
}
