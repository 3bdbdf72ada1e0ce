//! The database of dpkg, read without dpkg.

use std::collections::BTreeSet;
use std::fs;

use crate::module::Failure;

const STATUS: &str = "/var/lib/dpkg/status";
const EXTENDED_STATES: &str = "/var/lib/apt/extended_states";

/// Largest database that is read, in bytes; real ones have a few megabytes.
const DATABASE_LIMIT_BYTES: u64 = 256 << 20;

/// A package that dpkg knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Architecture.
    pub architecture: String,
    /// Version.
    pub version: String,
    /// Section.
    pub section: String,
    /// What its owner wants: `install`, `hold`…
    pub selection: String,
    /// `installed`, `config-files`…
    pub state: String,
    /// Names of virtual packages it provides.
    pub provides: Vec<String>,
}

impl Package {
    /// Whether it is installed completely.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.state == "installed"
    }

    /// Whether something of it is left, if only configuration.
    #[must_use]
    pub fn has_files(&self) -> bool {
        !matches!(self.state.as_str(), "" | "not-installed")
    }
}

/// All packages that dpkg knows.
#[derive(Debug, Clone, Default)]
pub struct Database {
    packages: Vec<Package>,
    native: String,
}

impl Database {
    /// Reads the host's.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read() -> Result<Self, Failure> {
        Ok(Database::parse(&read(STATUS)?))
    }

    fn parse(text: &str) -> Self {
        let packages: Vec<Package> = text.split("\n\n").filter_map(paragraph).collect();
        let own = packages.iter().find(|package| package.name == "dpkg");
        let native = own.map(|package| package.architecture.clone()).unwrap_or_default();
        Database { packages, native }
    }

    /// All of them.
    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter()
    }

    /// The host's architecture.
    #[must_use]
    pub fn native(&self) -> &str {
        &self.native
    }

    /// The package of this name, perhaps with `:architecture`; without it the host's own.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Package> {
        let (name, architecture) = name.split_once(':').unwrap_or((name, self.native.as_str()));
        let named = self.packages.iter().filter(|package| package.name == name);
        let mut fitting = named.filter(|package| {
            package.architecture == architecture
                || matches!(package.architecture.as_str(), "all" | "")
                || matches!(architecture, "any" | "")
        });
        fitting.next()
    }

    /// The package of this name if it is installed.
    #[must_use]
    pub fn installed(&self, name: &str) -> Option<&Package> {
        self.find(name).filter(|package| package.is_installed())
    }
}

fn read(path: &str) -> Result<String, Failure> {
    let failed = |error| Failure::system("read", path.as_ref(), &error);
    if fs::metadata(path).map_err(failed)?.len() > DATABASE_LIMIT_BYTES {
        return Err(Failure::new(format!("{path} is too large")));
    }
    Ok(String::from_utf8_lossy(&fs::read(path).map_err(failed)?).into_owned())
}

/// A package from the fields of a paragraph.
#[must_use]
pub fn paragraph(text: &str) -> Option<Package> {
    let mut package = Package::default();
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name {
            "Package" => value.clone_into(&mut package.name),
            "Architecture" => value.clone_into(&mut package.architecture),
            "Version" => value.clone_into(&mut package.version),
            "Section" => value.clone_into(&mut package.section),
            "Status" => {
                let mut words = value.split(' ');
                words.next().unwrap_or_default().clone_into(&mut package.selection);
                words.nth(1).unwrap_or_default().clone_into(&mut package.state);
            }
            "Provides" => {
                package.provides = value
                    .split(',')
                    .filter_map(|name| name.split_whitespace().next())
                    .map(str::to_owned)
                    .collect();
            }
            _ => {}
        }
    }
    (!package.name.is_empty()).then_some(package)
}

/// Names of packages that were installed only because others need them.
#[must_use]
pub fn automatic() -> BTreeSet<String> {
    automatic_in(&read(EXTENDED_STATES).unwrap_or_default())
}

fn automatic_in(text: &str) -> BTreeSet<String> {
    text.split("\n\n")
        .filter(|paragraph| paragraph.lines().any(|line| line == "Auto-Installed: 1"))
        .filter_map(|paragraph| {
            paragraph.lines().find_map(|line| line.strip_prefix("Package: ")).map(str::to_owned)
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests_support {
    use super::Database;

    /// A database of packages: name, version, state.
    pub fn database(packages: &[(&str, &str, &str)]) -> Database {
        let paragraphs: Vec<String> = packages
            .iter()
            .map(|(name, version, state)| {
                format!("Package: {name}\nStatus: install ok {state}\nVersion: {version}\n")
            })
            .collect();
        Database::parse(&paragraphs.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "Package: dpkg\nEssential: yes\nStatus: install ok installed\n\
        Architecture: amd64\nVersion: 1.21.22\nSection: admin\nDescription: x\n more: y\n\n\
        Package: libc6\nStatus: install ok installed\nArchitecture: i386\nVersion: 2.36-9\n\n\
        Package: libc6\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 2.36-8\n\n\
        Package: exim4\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 4\n\
        Provides: mail-transport-agent, x (= 1)\n\n";

    #[test]
    fn packages_are_found_by_name_and_architecture() {
        let database = Database::parse(SAMPLE);
        assert_eq!(database.native(), "amd64");
        let own = database.installed("libc6").unwrap();
        assert_eq!((own.version.as_str(), own.selection.as_str()), ("2.36-8", "hold"));
        assert_eq!(database.installed("libc6:i386").unwrap().version, "2.36-9");
        assert!(database.installed("libc6:arm64").is_none());
        assert!(database.installed("exim4").is_none());
        let removed = database.find("exim4:any").unwrap();
        assert!(removed.has_files());
        assert_eq!(removed.provides, ["mail-transport-agent", "x"]);
        assert!(database.find("more").is_none());
        assert_eq!(database.packages().count(), 4);
    }

    #[test]
    fn automatic_packages() {
        let text = "Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\n\
            Package: b\nArchitecture: amd64\nAuto-Installed: 0\n";
        assert_eq!(automatic_in(text).into_iter().collect::<Vec<_>>(), ["a"]);
    }
}
