//! An app's file never panics the reader; what is wrong has a place; what is read is what the core
//! takes, the same each time, and clients of Marathon can be shown it.
#![no_main]

use app_file::{AppFile, read};
use diagnostics::{Diagnostic, Sources};
use fuzz::check_diagnostics;
use libfuzzer_sys::fuzz_target;
use scheduler_core::app::{INSTANCES_MOST, Probe};
use scheduler_marathon::show::{View, version};

/// The reader itself: the rest of the scheduler would be built for nothing.
#[path = "../../scheduler/src/app_file/mod.rs"]
#[allow(dead_code, reason = "a part of another crate")]
mod app_file;

fuzz_target!(|text: &str| {
    let mut sources = Sources::default();
    let source = sources.add("app.yml", text);
    let found = read(text, source);
    check_diagnostics(&found.diagnostics, &sources);
    assert_eq!(found.app.is_none(), found.diagnostics.iter().any(Diagnostic::is_error));
    assert_eq!(read(text, source), found);
    let Some(AppFile { app, specification, bounds, step }) = found.app else { return };
    assert!(bounds.min <= bounds.max && bounds.max <= INSTANCES_MOST && step != Some(0));
    if let Some(Probe::Http { port, .. } | Probe::Tcp { port }) =
        specification.check.as_ref().map(|check| &check.probe)
    {
        assert!(*port < specification.need.ports);
    }
    let view = View { shows_values: false, is_local: true };
    let shown = version(&app, &specification, bounds.max, view);
    assert_eq!(shown["id"], format!("/{app}"));
});
