//! `async_status`: looks at a detached call, or forgets it.

use std::fs;
use std::io;

use provision_protocol::Object;
use serde::Deserialize;

use crate::disk::paths;
use crate::module::{Context, Failure, Outcome, arguments};
use crate::modules::system::words::Environment;
use crate::serve::detach;

#[derive(Debug, Deserialize)]
struct AsyncStatusArguments {
    jid: String,
    mode: Option<String>,
    _async_dir: Option<String>,
    /// The state of a job that is over goes away.
    #[serde(default)]
    _erases: bool,
}

/// Runs the module.
///
/// # Errors
/// When there is no such job, or the job failed.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: AsyncStatusArguments = arguments(object)?;
    let folder = match &given._async_dir {
        Some(folder) => paths::expand(context, folder),
        None => detach::folder(&Environment::new(&context.environment)),
    };
    let file = detach::state_file(&folder, &given.jid)?;
    let bytes = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::new("could not find job")
                .with("ansible_job_id", given.jid)
                .with("started", 1)
                .with("finished", 1));
        }
        Err(error) => return Err(Failure::system("read", &file, &error)),
    };
    if given.mode.as_deref() == Some("cleanup") {
        fs::remove_file(&file).map_err(|error| Failure::system("remove", &file, &error))?;
        return Ok(Outcome::new(false)
            .with("ansible_job_id", given.jid)
            .with("erased", paths::text(&file)));
    }
    let Ok(mut state) = serde_json::from_slice::<Object>(&bytes) else {
        // Being written by somebody who doesn't replace files whole.
        return Ok(Outcome::new(false)
            .with("results_file", paths::text(&file))
            .with("ansible_job_id", given.jid)
            .with("started", 1)
            .with("finished", 0));
    };
    if !state.contains_key("started") {
        state.insert("finished".into(), 1.into());
        state.insert("ansible_job_id".into(), given.jid.clone().into());
    }
    state.entry("finished").or_insert(0.into());
    if state.get("finished").and_then(serde_json::Value::as_u64) == Some(0)
        && !detach::is_alive(&state)
    {
        return Err(Failure::new("the job has ended without a result (killed, or a reboot)")
            .with("ansible_job_id", given.jid)
            .with("started", 1)
            .with("finished", 1)
            .with("results_file", paths::text(&file)));
    }
    let is_over = state.get("finished").and_then(serde_json::Value::as_u64) == Some(1);
    if given._erases && is_over {
        // A state that stays is no reason to fail.
        let _ = fs::remove_file(&file);
    }
    detach::outcome(state)
}
