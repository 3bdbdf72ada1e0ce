//! Package files.

use std::path::{Path, PathBuf};

use super::super::super::http;
use super::super::super::private::PrivateFolder;
use super::super::super::process::Run;
use super::super::super::words::Environment;
use super::super::dpkg::{self, Database};
use super::{AptArguments, run};
use crate::module::{Context, Failure, Outcome};

/// Installs package files that aren't installed in just that version, with what they depend on.
pub(super) fn install(
    given: &AptArguments,
    deb: &str,
    context: &mut Context<'_>,
) -> Result<Outcome, Failure> {
    // Removed when this function ends.
    let mut downloads = None;
    let mut files = Vec::new();
    for source in deb.split(',').map(str::trim).filter(|source| !source.is_empty()) {
        if !source.contains("://") {
            let path = Environment::new(&context.environment).expand_path(source);
            files
                .push(std::path::absolute(path).map_err(|error| {
                    Failure::new(format!("Unable to install package: {error}"))
                })?);
            continue;
        }
        let folder = match &downloads {
            Some(folder) => folder,
            None => &*downloads.insert(PrivateFolder::new()?),
        };
        files.push(download(source, folder, files.len(), context)?);
    }
    let database = Database::read()?;
    let mut wanted = Vec::new();
    for file in files {
        let package = describe(&file, context)?;
        let key = format!("{}:{}", package.name, package.architecture);
        let name = if package.architecture == "all" { &package.name } else { &key };
        let installed = database.installed(name);
        if installed.is_none_or(|installed| installed.version != package.version) {
            wanted.push(file.to_string_lossy().into_owned());
        }
    }
    if wanted.is_empty() {
        return Ok(Outcome::new(false).with("stdout", "").with("stderr", ""));
    }
    run(given, "install", wanted, context)
}

fn download(
    url: &str,
    folder: &PrivateFolder,
    index: usize,
    context: &Context<'_>,
) -> Result<PathBuf, Failure> {
    let (path, mut file) = folder.create(&format!("{index}.deb"), 0o644)?;
    http::download(url, true, &mut file, context)?;
    Ok(path)
}

/// What a package file says of itself.
fn describe(file: &Path, context: &Context<'_>) -> Result<dpkg::Package, Failure> {
    let finished = Run::tool("dpkg-deb")?
        .parsable()
        .argument("--field")
        .argument(file)
        .arguments(["Package", "Version", "Architecture"])
        .run(context)?;
    let failure = || {
        let said = finished.stderr_text();
        finished.failure(format!("Unable to install package: {}", said.trim()))
    };
    if !finished.succeeded() {
        return Err(failure());
    }
    dpkg::paragraph(&finished.stdout_text()).ok_or_else(failure)
}
