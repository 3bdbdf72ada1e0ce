//! `provision artifacts add`: an entry of the lock comes from the real thing only.
//!
//! Nothing is written before the archive is here, is what upstream says it is, and can be a release.

use std::io::Read;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use calendar::Moment;
use provision_artifacts::archive::{self, Contents};
use provision_artifacts::cache::{Cache, Partial};
use provision_artifacts::digests::{self, Digests};
use provision_artifacts::download::{DownloadError, Downloader, Wanted};
use provision_artifacts::lock::{self, Entry, Lock};
use sha2::{Digest, Sha256};
use similar::{ChangeTag, TextDiff};

use super::arguments::Add;
use super::fetch::{Bar, downloader};
use super::upstream::{self, Said, Upstream, check_published, check_signature, refused};
use super::{Failure, place, size};
use crate::exit::Exit;
use crate::paint::{self, BAD, FAINT, GOOD, styled};

/// Where the archive comes from.
pub enum Source {
    Url(String),
    File(PathBuf),
}

/// Adds an entry.
pub fn add(arguments: &Add) -> Result<(), Failure> {
    let usage = |message| Failure::new(Exit::Usage, message);
    lock::check_component(&arguments.component).map_err(usage)?;
    lock::check_version(&arguments.version).map_err(usage)?;
    let source = source(arguments)?;
    let located = place::locate(&arguments.place)?;
    let cache = super::cache(&arguments.place)?;
    let downloader = downloader()?;
    check_signed_before(arguments, &located.lock)?;
    let upstream = upstream::ask(&source, arguments, &downloader)?;

    let partial = bring(&source, arguments, &cache, &downloader)?;
    let found = digests::of_file(partial.path()).map_err(|error| unusable_cache(&error))?;
    match examine(&source, arguments, &located.lock, &partial, &found, &upstream) {
        Ok((entry, said)) => {
            cache.keep(partial, &found.sha256).map_err(|error| unusable_cache(&error))?;
            tell_about(arguments, &entry, &said);
            record(arguments, &located, &entry)
        }
        Err(failure) => {
            // Whatever it is, it is not what was asked for: the next time begins anew.
            partial.discard();
            Err(failure)
        }
    }
}

fn unusable_cache(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Environment, format!("the cache can't be used: {error}"))
}

fn source(arguments: &Add) -> Result<Source, Failure> {
    let given = arguments.source.as_str();
    if !given.contains("://") {
        let path = PathBuf::from(given);
        return match path.is_file() {
            true => Ok(Source::File(path)),
            false => {
                let message = format!("{given} is no file, and no address");
                Err(Failure::new(Exit::InvalidInput, message)
                    .hint("an address begins with https:// or http://"))
            }
        };
    }
    lock::check_url(given).map_err(|message| Failure::new(Exit::Usage, message))?;
    let is_proved = arguments.signature.is_some()
        || [&arguments.sha256, &arguments.sha512].into_iter().flatten().any(|text| {
            // A list that came the same way proves nothing.
            !text.starts_with("http://")
        });
    if given.starts_with("http://") && !is_proved {
        let message = format!("{given} comes unencrypted, and nothing else proves it");
        return Err(Failure::new(Exit::Refused, message)
            .hint("use https, or give --signature and --key, or --sha512 with the digits"));
    }
    Ok(Source::Url(given.to_owned()))
}

/// A component whose releases were signed does not silently become one whose releases aren't.
fn check_signed_before(arguments: &Add, lock: &Lock) -> Result<(), Failure> {
    let Some(versions) = lock.components.get(&arguments.component) else { return Ok(()) };
    let signed = versions.iter().find(|(_, entry)| entry.signature.is_some());
    match signed {
        Some((version, _)) if arguments.signature.is_none() && !arguments.unsigned => {
            let Add { component, .. } = arguments;
            let message = format!("{component} {version} was signed, and this one would not be");
            Err(Failure::new(Exit::Refused, message)
                .hint("give --signature and --key; if upstream has none any more: --unsigned"))
        }
        _ => Ok(()),
    }
}

/// The archive in the cache's antechamber.
fn bring(
    source: &Source,
    arguments: &Add,
    cache: &Cache,
    downloader: &Downloader,
) -> Result<Partial, Failure> {
    let limit = arguments.max_size.saturating_mul(1 << 20);
    match source {
        Source::Url(url) => {
            let name = format!("add-{}", hex::encode(Sha256::digest(url.as_bytes())));
            let mut partial = cache.partial(&name).map_err(|error| unusable_cache(&error))?;
            let wanted = Wanted { url, size: None, digest_is_known: false, limit };
            let mut bar = Bar::default();
            let label = format!("{} {}", arguments.component, arguments.version);
            let mut progress = |there, total| bar.advance(&label, there, total);
            let fetched = downloader.fetch(&wanted, &mut partial, &mut progress);
            bar.end(&label);
            match fetched {
                Ok(()) => Ok(partial),
                Err(error) => {
                    partial.leave();
                    Err(refused(url, &error))
                }
            }
        }
        Source::File(path) => {
            let failed = |error: std::io::Error| {
                let message = format!("failed to read {}: {error}", path.display());
                Failure::new(Exit::InvalidInput, message)
            };
            let name = format!("add-file-{}", std::process::id());
            let mut partial = cache.partial(&name).map_err(|error| unusable_cache(&error))?;
            partial.restart(None).map_err(|error| unusable_cache(&error))?;
            let file = std::fs::File::open(path).map_err(failed)?;
            let copied =
                digests::pour(&mut file.take(limit + 1), &mut |bytes| partial.append(bytes));
            if copied.map_err(failed)? > limit {
                partial.discard();
                return Err(refused(
                    &path.display().to_string(),
                    &DownloadError::TooLarge { limit },
                ));
            }
            Ok(partial)
        }
    }
}

/// Everything that must hold before there is an entry.
fn examine(
    source: &Source,
    arguments: &Add,
    lock: &Lock,
    partial: &Partial,
    found: &Digests,
    upstream: &Upstream,
) -> Result<(Entry, Said), Failure> {
    let mut said = Said::default();
    check_published(arguments, found, upstream, &mut said)?;
    check_signature(partial, upstream, &mut said)?;
    let contents = archive::inspect(partial.path()).map_err(|error| {
        Failure::artifact(format!("{} can't be a release: {error}", arguments.source))
            .hint("an archive of a release is a tar with one folder, and nothing leads out of it")
    })?;
    let entry = entry(source, found, contents, &said);
    lock::check_entry(&entry).map_err(Failure::artifact)?;
    check_against(arguments, lock, &entry)?;
    Ok((entry, said))
}

fn entry(source: &Source, found: &Digests, contents: Contents, said: &Said) -> Entry {
    let url = match source {
        Source::Url(url) => Some(url.clone()),
        Source::File(_) => None,
    };
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Entry {
        url,
        size: Some(found.size),
        unpacked_size: Some(contents.unpacked_size),
        sha256: found.sha256.clone(),
        sha512: Some(found.sha512.clone()),
        root: contents.root,
        signature: said.signature.as_ref().map(|verified| verified.signer.clone()),
        added: Some(Moment::of_epoch_seconds(seconds).to_string()),
    }
}

/// What the lock says already must not be contradicted in silence.
fn check_against(arguments: &Add, lock: &Lock, entry: &Entry) -> Result<(), Failure> {
    let Add { component, version, .. } = arguments;
    let refuse = |message, hint: &str| Err(Failure::new(Exit::Refused, message).hint(hint));
    if let Some(known) = lock.entry(component, version)
        && known.sha256 != entry.sha256
        && !arguments.replace
    {
        let message = format!(
            "{component} {version} is in the lock with another digest:\n  {}  in the lock\n  {}  \
             from {}",
            known.sha256, entry.sha256, arguments.source
        );
        return refuse(
            message,
            "a release that changes under its name was tampered with, or made anew: ask upstream; \
             if it must be, --replace",
        );
    }
    let same = lock.components.get(component).into_iter().flatten();
    let mut same = same.filter(|(other, known)| *other != version && known.sha256 == entry.sha256);
    if let Some((other, _)) = same.next() {
        let message = format!("this is the archive of {component} {other}, and not of {version}");
        return refuse(message, "an old release under a new name is an attack, or a slip");
    }
    Ok(())
}

fn tell_about(arguments: &Add, entry: &Entry, said: &Said) {
    let Add { component, version, .. } = arguments;
    let bytes = size(entry.size.unwrap_or(0));
    let unpacked = size(entry.unpacked_size.unwrap_or(0));
    tell!("{component} {version}: {bytes}, {unpacked} unpacked, folder `{}`", entry.root);
    for proof in &said.proofs {
        tell!("  {} {}", styled(GOOD, "proved:"), paint::harmless(proof));
    }
    if said.proofs.is_empty() {
        paint::warning(
            None,
            "nothing of upstream proves it: its digest is that of what came; give --sha512 or \
             --signature where upstream has them",
        );
    }
    if !entry.root.contains(version.as_str()) {
        let message = format!("its folder `{}` does not name the version {version}", entry.root);
        paint::warning(None, &message);
    }
}

/// Writes the entry and shows the change.
fn record(arguments: &Add, located: &place::Located, entry: &Entry) -> Result<(), Failure> {
    let Add { component, version, .. } = arguments;
    let known = located.lock.entry(component, version);
    warn_of_other_key(arguments, &located.lock, entry);
    let without_time = |entry: &Entry| Entry { added: None, ..entry.clone() };
    if known.map(without_time) == Some(without_time(entry)) {
        let path = located.path.display();
        tell!("{} has it already, with this digest; it is not changed", path);
        return Ok(());
    }
    let (before, after) = place::write(located, component, version, entry)?;
    say!("{}:", located.path.display());
    for line in changes(&before, &after) {
        say!("{line}");
    }
    Ok(())
}

fn warn_of_other_key(arguments: &Add, lock: &Lock, entry: &Entry) {
    let Some(signer) = &entry.signature else { return };
    let earlier = lock.components.get(&arguments.component).into_iter().flatten();
    let mut signed =
        earlier.filter_map(|(version, entry)| Some((version, entry.signature.as_ref()?)));
    let mut last = None;
    if signed.any(|(version, known)| {
        last = Some((version, known));
        known.key == signer.key
    }) {
        return;
    }
    if let Some((version, known)) = last {
        let message = format!(
            "another key than before: {version} was signed by {}, this one by {}",
            known.key, signer.key
        );
        paint::warning(None, &message);
    }
}

/// Lines that go and come, with a line around them.
fn changes(before: &str, after: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for group in diff.grouped_ops(1) {
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let text = change.value().trim_end_matches('\n');
            lines.push(match change.tag() {
                ChangeTag::Equal => styled(FAINT, &format!("  {text}")),
                ChangeTag::Delete => styled(BAD, &format!("- {text}")),
                ChangeTag::Insert => styled(GOOD, &format!("+ {text}")),
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::changes;

    #[test]
    fn a_change_is_shown_with_its_surroundings() {
        let lines = changes("a\nb\nc\nd\n", "a\nb\nB\nc\nd\n").join("\n");
        assert_eq!(anstream::adapter::strip_str(&lines).to_string(), "  b\n+ B\n  c");
    }
}
