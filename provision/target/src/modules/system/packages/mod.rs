//! Packages: `apt` and its kin, `package`, `package_facts`.

mod apt;
mod deb822;
mod debconf;
mod dnf;
mod dpkg;
mod facts;
mod key;
mod repository;
mod rpm_key;
mod selections;
mod version;
mod yum;

use provision_protocol::{Object, modules};
use serde_json::Value;

pub(super) use apt::apt;
pub(super) use deb822::deb822_repository;
pub(super) use debconf::debconf;
pub(super) use dnf::dnf;
pub(super) use facts::package_facts;
pub(super) use key::apt_key;
pub(super) use repository::apt_repository;
pub(super) use rpm_key::rpm_key;
pub(super) use selections::dpkg_selections;
pub(super) use yum::yum_repository;

use super::facts::package_manager;
use super::process::find_program;
use crate::module::{Context, Failure, Outcome};

/// `package`: manages packages with the host's package manager.
///
/// # Errors
/// When the manager isn't supported, or fails.
pub fn package(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let mut given = given.clone();
    let wanted = given.shift_remove("use");
    let manager = match wanted.as_ref().and_then(Value::as_str) {
        None | Some("auto") => {
            let family = if find_program("apt-get").is_some() && find_program("dpkg").is_some() {
                "Debian"
            } else {
                ""
            };
            package_manager(family)
        }
        Some(name) => name,
    };
    let run = match manager {
        "apt" => apt,
        "dnf" | "dnf5" | "yum" => dnf,
        _ => {
            return Err(Failure::new(format!(
                "Could not find a matching action for the \"{manager}\" package manager."
            )));
        }
    };
    let Some(spec) = modules::find(manager) else { return run(&given, context) };
    // `package` takes any parameter of the real manager, so they were not checked yet.
    let given = modules::normalise(spec, given).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::new(errors.join("; "))
    })?;
    run(&given, context)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn an_unknown_manager_is_named() {
        let failure = context().call(package, json!({"name": "x", "use": "lola"})).unwrap_err();
        assert!(failure.message.contains("matching action for the \"lola\""), "{failure:?}");
    }
}
