//! `package_facts`.

use provision_protocol::Object;
use serde::Deserialize;
use serde_json::Value;

use super::super::facts::object;
use super::super::process::{Run, find_program};
use super::dpkg::Database;
use crate::module::{Context, Failure, Outcome, arguments};

/// Package managers in the order they are tried, with the programs that show that they are here.
const MANAGERS: &[(&str, &[&str])] = &[
    ("apk", &["apk"]),
    ("apt", &["apt-get", "apt", "aptitude"]),
    ("pacman", &["pacman"]),
    ("rpm", &["rpm"]),
];

/// Names of programs that use the database of another manager.
const ALIASES: &[(&str, &str)] =
    &[("yum", "rpm"), ("dnf", "rpm"), ("dnf5", "rpm"), ("zypper", "rpm")];

#[derive(Debug, Deserialize)]
struct PackageFactsArguments {
    manager: Option<Vec<String>>,
    strategy: Option<String>,
}

/// `package_facts`: lists installed packages.
///
/// # Errors
/// When no package manager is found.
pub fn package_facts(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: PackageFactsArguments = arguments(given)?;
    let wanted = given.manager.unwrap_or_else(|| vec!["auto".to_owned()]);
    let mut managers: Vec<&str> = Vec::new();
    for name in wanted.iter().filter(|name| *name != "auto") {
        let name = name.to_lowercase();
        let real = ALIASES
            .iter()
            .find(|(alias, _)| *alias == name)
            .map_or(name.as_str(), |(_, real)| real);
        match MANAGERS.iter().find(|(known, _)| *known == real) {
            Some((known, _)) => managers.push(known),
            None => {
                return Err(Failure::new(format!(
                    "Unsupported package managers requested: {name}"
                )));
            }
        }
    }
    if wanted.iter().any(|name| name == "auto") {
        managers.extend(MANAGERS.iter().map(|(name, _)| *name));
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut warnings: Vec<String> = Vec::new();
    let mut packages = Object::new();
    for manager in managers {
        let programs = MANAGERS.iter().find(|(name, _)| *name == manager).map(|(_, list)| *list);
        let is_here = programs.unwrap_or_default().iter().any(|name| find_program(name).is_some());
        let enough = !seen.is_empty() && given.strategy.as_deref() != Some("all");
        if !is_here && wanted.iter().any(|name| name.eq_ignore_ascii_case(manager)) {
            warnings.push(format!(
                "Requested package manager {manager} was not usable by this module: it is not here"
            ));
        }
        if !is_here || enough || seen.contains(&manager) {
            continue;
        }
        // rpm is installable on Debian, with an empty database.
        match list(manager, context) {
            Ok(found) => {
                seen.push(manager);
                packages.extend(found);
            }
            Err(failure) => warnings.push(format!(
                "Failed to retrieve packages with {manager}: Unable to list packages ({})",
                failure.message
            )),
        }
    }
    if seen.is_empty() {
        let failure = Failure::new("Could not detect a supported package manager");
        return Err(failure.with("warnings", warnings));
    }
    let facts = object([("packages", packages.into())]);
    let outcome = Outcome::new(false).with("ansible_facts", facts);
    Ok(if warnings.is_empty() { outcome } else { outcome.with("warnings", warnings) })
}

fn list(manager: &str, context: &Context<'_>) -> Result<Object, Failure> {
    match manager {
        "apt" => apt(),
        "rpm" => {
            let format = "%{NAME}\\t%{VERSION}\\t%{RELEASE}\\t%{EPOCH}\\t%{ARCH}\\n";
            let run = Run::tool("rpm")?.parsable().arguments(["-qa", "--qf", format]);
            Ok(rpm(&run.succeed(context)?.stdout_text()))
        }
        "pacman" => {
            let run = Run::tool("pacman")?.parsable().argument("-Qi");
            Ok(pacman(&run.succeed(context)?.stdout_text()))
        }
        _ => {
            let run = Run::tool("apk")?.parsable().arguments(["info", "-v"]);
            Ok(apk(&run.succeed(context)?.stdout_text()))
        }
    }
}

/// Adds one more version of a package.
fn add(packages: &mut Object, name: &str, facts: Value) {
    match packages.get_mut(name) {
        Some(Value::Array(versions)) => versions.push(facts),
        _ => {
            packages.insert(name.to_owned(), Value::Array(vec![facts]));
        }
    }
}

fn apt() -> Result<Object, Failure> {
    let database = Database::read()?;
    let mut packages = Object::new();
    for package in database.packages().filter(|package| package.is_installed()) {
        let is_foreign = package.architecture != "all" && package.architecture != database.native();
        let name = if is_foreign {
            format!("{}:{}", package.name, package.architecture)
        } else {
            package.name.clone()
        };
        let facts = object([
            ("name", name.as_str().into()),
            ("version", package.version.as_str().into()),
            ("arch", package.architecture.as_str().into()),
            ("category", package.section.as_str().into()),
            // Only apt's own cache knows the repository a package came from.
            ("origin", "".into()),
            ("source", "apt".into()),
        ]);
        add(&mut packages, &name, facts);
    }
    Ok(packages)
}

fn rpm(text: &str) -> Object {
    let mut packages = Object::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, version, release, epoch, arch] = fields.as_slice() else { continue };
        let optional = |text: &str| if text == "(none)" { Value::Null } else { text.into() };
        let epoch = epoch.parse::<u64>().map_or(Value::Null, Value::from);
        let facts = object([
            ("name", (*name).into()),
            ("version", (*version).into()),
            ("release", (*release).into()),
            ("epoch", epoch),
            ("arch", optional(arch)),
            ("source", "rpm".into()),
        ]);
        add(&mut packages, name, facts);
    }
    packages
}

fn pacman(text: &str) -> Object {
    let mut packages = Object::new();
    for paragraph in text.split("\n\n") {
        let field = |name: &str| {
            paragraph
                .lines()
                .filter_map(|line| line.split_once(" : "))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim())
        };
        let Some(name) = field("Name") else { continue };
        let provides = field("Provides").filter(|list| *list != "None").map(|list| {
            let names = list.split_whitespace();
            names.filter_map(|name| name.split('=').next()).collect::<Vec<&str>>()
        });
        let facts = object([
            ("name", name.into()),
            ("version", field("Version").into()),
            ("arch", field("Architecture").into()),
            ("provides", provides.into()),
            ("source", "pacman".into()),
        ]);
        add(&mut packages, name, facts);
    }
    packages
}

fn apk(text: &str) -> Object {
    let mut packages = Object::new();
    for line in text.lines() {
        let mut parts = line.rsplitn(3, '-');
        let (release, version, name) = (parts.next(), parts.next(), parts.next());
        let (Some(name), Some(version), Some(release)) = (name, version, release) else {
            continue;
        };
        let facts = object([
            ("name", name.into()),
            ("version", version.into()),
            ("release", release.into()),
            ("source", "apk".into()),
        ]);
        add(&mut packages, name, facts);
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_managers() {
        let rpm = rpm("gpg-pubkey\tf4\t6\t(none)\t(none)\nbash\t5.1\t6.el9\t0\tx86_64\n");
        assert_eq!(rpm["gpg-pubkey"][0]["arch"], Value::Null);
        assert_eq!(rpm["bash"][0]["epoch"], 0);
        let apk = apk("musl-utils-1.2.4-r2\n");
        assert_eq!(apk["musl-utils"][0]["release"], "r2");
        let pacman = pacman(
            "Name            : bash\nVersion         : 5.2-1\nArchitecture    : x86_64\n\
             Provides        : sh=1  x\n\nName : b\nVersion : 1\nProvides : None\n",
        );
        assert_eq!(pacman["bash"][0]["provides"], serde_json::json!(["sh", "x"]));
        assert_eq!(pacman["b"][0]["provides"], Value::Null);
    }
}
