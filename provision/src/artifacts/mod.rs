//! `provision artifacts`: what releases are made of.

pub mod arguments;

mod add;
mod fetch;
mod place;
mod prune;
mod show;
mod upstream;

use provision_artifacts::cache::Cache;

use crate::exit::Exit;
use crate::paint;
use arguments::{ArtifactsCommand, Place};

/// An end that is not good: its code, what is wrong, and what to do.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { exit, message: message.into(), hint: None }
    }

    /// An archive is not there, or not what it should be.
    fn artifact(message: impl Into<String>) -> Self {
        Failure::new(Exit::Artifact, message)
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// It was told already.
    fn told(exit: Exit) -> Self {
        Failure::new(exit, "")
    }
}

/// Carries out a subcommand.
pub async fn artifacts(command: ArtifactsCommand) -> Exit {
    // Downloads and digests keep a thread busy; the runtime's own threads must not be.
    let done = tokio::task::spawn_blocking(move || match command {
        ArtifactsCommand::Add(add) => add::add(&add),
        ArtifactsCommand::Fetch(fetch) => fetch::fetch(&fetch),
        ArtifactsCommand::Verify(verify) => show::verify(&verify),
        ArtifactsCommand::Mirror(mirror) => show::mirror(&mirror),
        ArtifactsCommand::List(list) => show::list(&list),
        ArtifactsCommand::Prune(prune) => prune::prune(&prune),
    });
    match done.await {
        Ok(Ok(())) => Exit::Done,
        Ok(Err(failure)) => {
            if !failure.message.is_empty() {
                paint::error(&failure.message, failure.hint.as_deref());
            }
            failure.exit
        }
        Err(error) => {
            paint::error(&format!("a defect of provision: {error}"), None);
            Exit::Failed
        }
    }
}

fn cache(place: &Place) -> Result<Cache, Failure> {
    match &place.cache {
        Some(folder) => Ok(Cache::new(folder)),
        None => Cache::of_user().ok_or_else(|| {
            Failure::new(Exit::Environment, "there is no home folder to keep a cache in")
                .hint("name a folder: --cache FOLDER")
        }),
    }
}

/// A size for people.
fn size(bytes: u64) -> String {
    const UNITS: &[(u64, &str)] = &[(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let unit = UNITS.iter().find(|(unit, _)| bytes >= *unit);
    match unit {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(999), "999 bytes");
        assert_eq!(size(20_461_000), "20.4 MB");
        assert_eq!(size(1_000_000_000), "1.0 GB");
    }
}
