//! Services: `systemd`, `service`, `service_facts`.

mod facts;
mod systemctl;
mod systemd;
mod sysv;
mod sysvinit;
mod unit_files;

use provision_protocol::Object;
use serde::Deserialize;

pub(super) use facts::service_facts;
pub(super) use systemd::systemd;
pub(super) use sysvinit::sysvinit;

use super::facts::is_booted_by_systemd;
use crate::module::{Context, Failure, Outcome, arguments};

/// Parameters of `service`; the other ones concern init scripts.
#[derive(Debug, Default, Deserialize)]
struct ServiceArguments {
    /// systemd can be told to read its files again without one.
    #[serde(default)]
    name: String,
    state: Option<String>,
    enabled: Option<bool>,
    sleep: Option<u64>,
    pattern: Option<String>,
    runlevel: Option<String>,
    arguments: Option<String>,
    r#use: Option<String>,
    #[serde(default)]
    daemon_reload: bool,
    #[serde(default)]
    daemon_reexec: bool,
    scope: Option<String>,
    #[serde(default)]
    no_block: bool,
}

/// `service`: manages a service with whatever manages services here.
///
/// # Errors
/// When there is no such service, or it doesn't do what it is told.
pub fn service(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: ServiceArguments = arguments(given)?;
    let by_systemd = match given.r#use.as_deref() {
        None | Some("auto") => is_booted_by_systemd(),
        Some(name) => matches!(name, "systemd" | "systemd_service"),
    };
    if !by_systemd {
        if given.name.is_empty() {
            return Err(Failure::new("missing required arguments: name"));
        }
        return sysv::service(&given, context);
    }
    let mut warnings = Vec::new();
    for (name, is_given) in [
        ("pattern", given.pattern.is_some()),
        ("runlevel", given.runlevel.is_some()),
        ("sleep", given.sleep.is_some()),
        ("arguments", given.arguments.is_some()),
    ] {
        if is_given {
            warnings.push(format!("Ignoring \"{name}\" as it is not used in \"systemd\""));
        }
    }
    let unit = systemd::SystemdArguments {
        name: Some(given.name).filter(|name| !name.is_empty()),
        state: given.state,
        enabled: given.enabled,
        daemon_reload: given.daemon_reload,
        daemon_reexec: given.daemon_reexec,
        scope: given.scope,
        no_block: given.no_block,
        ..systemd::SystemdArguments::default()
    };
    let outcome = systemd::manage(&unit, context)?;
    Ok(if warnings.is_empty() { outcome } else { outcome.with("warnings", warnings) })
}

/// Nothing can be managed that isn't there. In check mode an earlier task may be about to install
/// it: whoever knows of those decides ([`MAY_COME`]).
fn missing(name: &str, check: bool) -> Result<Outcome, Failure> {
    let failure = Failure::new(format!("Could not find the requested service {name}: host"));
    let failure = failure.with("name", name);
    match check {
        true => Err(failure.with(MAY_COME, format!("the service {name} does not exist (yet)"))),
        false => Err(failure),
    }
}

/// Key of a failure in check mode that is none if an earlier task would have changed the host; its
/// value is what is said then.
pub const MAY_COME: &str = "_may_come";
