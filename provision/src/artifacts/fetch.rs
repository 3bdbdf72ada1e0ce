//! `provision artifacts fetch`: what the lock names comes into the cache.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use provision_artifacts::cache::{Cache, Look};
use provision_artifacts::download::{Downloader, Wanted};
use provision_artifacts::lock::{Entry, Lock};
use provision_artifacts::{digests, mirror};

use super::arguments::Fetch;
use super::{Failure, place, size};
use crate::exit::Exit;
use crate::live::Live;
use crate::paint::{self, BAD, FAINT, GOOD, styled};

/// Archives without a size in the lock may have this many bytes.
pub const LIMIT_BYTES: u64 = 8 << 30;

/// Downloads at a time, at most: servers of upstreams refuse more from one address.
const PARALLEL_LIMIT: usize = 16;

/// Pieces come faster than anybody reads.
const REDRAW: Duration = Duration::from_millis(100);

/// A client, or why there is none.
pub fn downloader() -> Result<Downloader, Failure> {
    Downloader::new().map_err(|error| Failure::new(Exit::Environment, error.to_string()))
}

/// Brings all that is wanted into the cache.
pub fn fetch(arguments: &Fetch) -> Result<(), Failure> {
    let located = place::locate_filled(&arguments.place)?;
    let cache = super::cache(&arguments.place)?;
    let chosen = choose(&located.lock, arguments)?;
    let job = Job {
        cache,
        downloader: downloader()?,
        mirror: arguments.mirror.clone(),
        queue: Mutex::new(chosen.into()),
        state: Mutex::new(State::default()),
    };
    let threads = arguments.parallel.clamp(1, PARALLEL_LIMIT);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| job.work());
        }
    });
    let state = job.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if state.failed { Err(Failure::told(Exit::Artifact)) } else { Ok(()) }
}

/// Component, version, entry.
type Chosen<'a> = (&'a str, &'a str, &'a Entry);

fn choose<'a>(lock: &'a Lock, arguments: &Fetch) -> Result<Vec<Chosen<'a>>, Failure> {
    let is_wanted =
        |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    let chosen: Vec<Chosen<'a>> = lock
        .entries()
        .filter(|(component, version, _)| {
            is_wanted(&arguments.component, component) && is_wanted(&arguments.version, version)
        })
        .collect();
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    let component = arguments.component.clone().unwrap_or_default();
    let known: Vec<String> = match lock.components.get(&component) {
        Some(versions) => versions.keys().map(|version| format!("{component} {version}")).collect(),
        None => lock.components.keys().cloned().collect(),
    };
    let version = arguments.version.as_ref().map(|version| format!(" {version}"));
    let message = format!("the lock has no {component}{}", version.unwrap_or_default());
    let hint = format!("it has {}", known.join(", "));
    Err(Failure::new(Exit::InvalidInput, message).hint(hint))
}

struct Job<'a> {
    cache: Cache,
    downloader: Downloader,
    mirror: Option<String>,
    queue: Mutex<VecDeque<Chosen<'a>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failed: bool,
    bar: Bar,
}

impl Job<'_> {
    fn work(&self) {
        loop {
            let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((component, version, entry)) = next else { return };
            let name = format!("{component} {version}");
            let outcome = self.one(&name, entry);
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.bar.end(&name);
            match outcome {
                Ok(text) => say!("{name}: {text}"),
                Err(text) => {
                    state.failed = true;
                    paint::error(&format!("{name}: {text}"), None);
                }
            }
        }
    }

    fn one(&self, name: &str, entry: &Entry) -> Result<String, String> {
        let unreadable = |error: std::io::Error| format!("the cache can't be used: {error}");
        match self.cache.look(&entry.sha256).map_err(unreadable)? {
            Look::Whole(bytes) => {
                return Ok(styled(FAINT, &format!("{}, in the cache", size(bytes))));
            }
            Look::Damaged { sha256, .. } => {
                let what = format!("{name}: the cache's file is damaged (its digest is {sha256})");
                paint::warning(None, &what);
            }
            Look::Missing => {}
        }
        let url = match (&self.mirror, &entry.url) {
            (Some(mirror), _) => mirror::address(mirror, &entry.sha256),
            (None, Some(url)) => url.clone(),
            (None, None) => {
                return Err("it was added from a file and has no address; add it again from the \
                            file, or fetch it from a --mirror"
                    .to_owned());
            }
        };
        let start = Instant::now();
        let mut partial = self.cache.partial(&entry.sha256).map_err(unreadable)?;
        let wanted = Wanted {
            url: &url,
            size: entry.size,
            digest_is_known: true,
            limit: entry.size.unwrap_or(LIMIT_BYTES),
        };
        let mut progress = |there, total| {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.bar.advance(name, there, total);
        };
        let mut continued = partial.length().map_err(unreadable)? > 0;
        let bytes = loop {
            let fetched = self.downloader.fetch(&wanted, &mut partial, &mut progress);
            if let Err(error) = fetched {
                partial.leave();
                return Err(format!("{url}: {error}"));
            }
            let (found, bytes) = digests::sha256_of_file(partial.path()).map_err(unreadable)?;
            if found == entry.sha256 {
                break bytes;
            }
            if !continued {
                partial.discard();
                return Err(format!(
                    "{url} has another archive than the lock says: its digest is {found}, and not \
                     {}; nothing of it was kept",
                    entry.sha256
                ));
            }
            // What was there from an earlier run may be what is wrong, for instance after a loss
            // of power.
            continued = false;
            partial.restart(None).map_err(unreadable)?;
        };
        self.cache.keep(partial, &entry.sha256).map_err(unreadable)?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(format!("{} {} in {seconds:.1} s", styled(GOOD, "fetched"), size(bytes)))
    }
}

/// How far all downloads are, on a terminal only.
pub struct Bar {
    live: Option<Live>,
    since: Instant,
    drawn: Option<Instant>,
    /// Name, bytes that are there, bytes that there will be.
    going: Vec<(String, u64, Option<u64>)>,
}

impl Default for Bar {
    fn default() -> Self {
        let live = std::io::stderr().is_terminal().then(Live::start);
        Bar { live, since: Instant::now(), drawn: None, going: Vec::new() }
    }
}

impl Bar {
    /// A download has so many bytes.
    pub fn advance(&mut self, name: &str, there: u64, total: Option<u64>) {
        match self.going.iter_mut().find(|(known, ..)| known == name) {
            Some(known) => *known = (name.to_owned(), there, total),
            None => self.going.push((name.to_owned(), there, total)),
        }
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
            self.draw();
        }
    }

    /// A download is over.
    pub fn end(&mut self, name: &str) {
        self.going.retain(|(known, ..)| known != name);
        if let Some(live) = &mut self.live {
            live.clear();
        }
        self.draw();
    }

    fn draw(&mut self) {
        let Some(live) = self.live.as_mut().filter(|_| !self.going.is_empty()) else { return };
        let part = |(name, there, total): &(String, u64, Option<u64>)| match total {
            Some(total) => format!("{name} {} of {}", size(*there), size(*total)),
            None => format!("{name} {}", size(*there)),
        };
        let parts: Vec<String> = self.going.iter().map(part).collect();
        self.drawn = Some(Instant::now());
        live.show(&parts.join(", "), self.since);
    }
}

/// A word for what the cache has.
pub fn word(look: &Look) -> String {
    match look {
        Look::Whole(_) => styled(GOOD, "whole"),
        Look::Missing => styled(FAINT, "not in the cache"),
        Look::Damaged { sha256, .. } => styled(BAD, &format!("damaged: its digest is {sha256}")),
    }
}
