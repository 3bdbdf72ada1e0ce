//! Docker: `docker_container`, `docker_image`, `docker_login`, `docker_network`, `docker_volume`, through the host's
//! own `docker`, which knows where its daemon is.

mod container;
mod image;
mod login;
mod network;
mod settings;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub(super) use container::docker_container;
pub(super) use image::docker_image;
pub(super) use login::docker_login;
pub(super) use network::{docker_network, docker_volume};

use super::process::{Finished, Run};
use crate::module::{Context, Failure, Given};

/// The host's docker, talking to the daemon that the call names.
#[derive(Clone, Copy)]
struct Docker<'a> {
    host: Option<&'a str>,
}

impl<'a> Docker<'a> {
    fn new(given: Given<'a>) -> Self {
        Docker { host: given.text("docker_host") }
    }

    fn run<T: AsRef<str>>(self, words: &[T], context: &Context<'_>) -> Result<Finished, Failure> {
        let mut run = Run::tool("docker")?.parsable();
        if let Some(host) = self.host {
            run = run.argument("--host").argument(host);
        }
        Ok(run.arguments(words.iter().map(AsRef::as_ref)).run(context)?)
    }

    /// Runs it; what it refuses is a failure that begins with `what`.
    fn succeed<T: AsRef<str>>(
        self,
        what: &str,
        words: &[T],
        context: &Context<'_>,
    ) -> Result<String, Failure> {
        let finished = self.run(words, context)?;
        if finished.succeeded() {
            return Ok(finished.stdout_text());
        }
        Err(finished.failure(format!("Error {what}: {}", finished.stderr_text().trim())))
    }

    /// The same if it is not a check: it changes something.
    fn change<T: AsRef<str>>(
        self,
        what: &str,
        words: &[T],
        context: &mut Context<'_>,
    ) -> Result<(), Failure> {
        if context.check {
            return Ok(());
        }
        context.about_to_change()?;
        self.succeed(what, words, context).map(drop)
    }

    /// What docker knows of an object; `None` if there is none of this name.
    fn inspect(
        self,
        kind: &str,
        name: &str,
        context: &Context<'_>,
    ) -> Result<Option<Value>, Failure> {
        let finished = self.run(&[kind, "inspect", "--", name], context)?;
        if finished.succeeded() {
            let found: Value = serde_json::from_slice(&finished.stdout).map_err(|error| {
                Failure::new(format!("failed to read what docker says of {name}: {error}"))
            })?;
            return Ok(found.get(0).cloned());
        }
        let said = finished.stderr_text();
        match said.to_lowercase().contains("no such") || said.contains("not found") {
            true => Ok(None),
            false => Err(finished.failure(format!("Error connecting: {}", said.trim()))),
        }
    }
}
