//! The wanted version: one place in the inventory. It is found by its key, and rewritten without
//! touching another byte of the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{SourceId, Sources, Span};
use provision_template::Slot;
use yaml::{Node, NodeValue, Schema};

use crate::outside::Outside;
use crate::variables::{HostVariables, View};
use crate::world::World;

/// A variable as a host sees it.
///
/// # Errors
/// When it is not defined, or can't be evaluated.
pub fn variable(
    world: &Arc<World>,
    host: &Arc<HostVariables>,
    name: &str,
) -> Result<serde_json::Value, String> {
    let view = View::of_host(world, host);
    let outside = Outside::of(&view);
    let nowhere = Span::new(SourceId(u32::MAX), 0, 0);
    let node = Node::new(nowhere, NodeValue::String(format!("{{{{ {name} }}}}").into()));
    let value = world.engine.render_slot(&Slot::Template(Arc::new(node)), &view, &outside);
    let value = value.map_err(|error| format!("`{name}` on {}: {}", host.name, error.message()))?;
    Ok(provision_template::to_json(&value))
}

/// Where a wanted version stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub before: String,
    span: Span,
}

impl Rewrite {
    /// The same place in the file as it is now: an operator may have changed it meanwhile.
    ///
    /// # Errors
    /// When it isn't there any more.
    pub fn again(&self, component: &str) -> Result<Self, String> {
        let path = self.path.clone();
        let before = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let span = place(&before, component)
            .ok_or_else(|| format!("{} has no `releases.{component}` any more", path.display()))?;
        Ok(Rewrite { path, before, span })
    }

    /// The text with another version; everything else stays as it is.
    #[must_use]
    pub fn with(&self, version: &str) -> String {
        replaced(&self.before, self.span, version).unwrap_or_else(|| self.before.clone())
    }
}

/// Why a file can't be rewritten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WantedError {
    /// No file has it.
    #[error("no file of the inventory has `releases:` with `{0}:` in it")]
    Nowhere(String),
    /// Several have it.
    #[error("several files of the inventory say it: {}", .0.join(", "))]
    Several(Vec<String>),
}

/// Where the wanted version of a component stands.
///
/// # Errors
/// When it stands nowhere, or in several files.
pub fn find_wanted(sources: &Sources, component: &str) -> Result<Rewrite, WantedError> {
    let mut found: Vec<Rewrite> = (0..)
        .map_while(|number| sources.get(SourceId(number)))
        .filter(|source| Path::new(&source.name).is_file())
        .filter_map(|source| {
            let span = place(&source.text, component)?;
            let before = source.text.to_string();
            Some(Rewrite { path: PathBuf::from(&source.name), before, span })
        })
        .collect();
    found.dedup();
    match found.len() {
        0 => Err(WantedError::Nowhere(component.to_owned())),
        1 => found.pop().ok_or_else(|| WantedError::Nowhere(component.to_owned())),
        _ => {
            let names = found.iter().map(|rewrite| rewrite.path.display().to_string());
            Err(WantedError::Several(names.collect()))
        }
    }
}

/// `releases: {component: HERE}` at the top of a file.
fn place(text: &str, component: &str) -> Option<Span> {
    if !text.contains("releases") {
        return None;
    }
    let read = yaml::read(text, SourceId(0), Schema::Ansible);
    let [document] = read.documents.as_slice() else { return None };
    let releases = document.as_mapping()?.get("releases")?;
    let node = releases.as_mapping()?.get(component)?;
    node.as_str().map(|_| node.span)
}

/// The text with another value in this place; quotes stay as they are.
fn replaced(text: &str, span: Span, version: &str) -> Option<String> {
    let (start, end) = (usize::try_from(span.start).ok()?, usize::try_from(span.end).ok()?);
    let old = text.get(start..end)?;
    let quote = old.chars().next().filter(|first| matches!(first, '"' | '\'')).unwrap_or('"');
    let (before, after) = (text.get(..start)?, text.get(end..)?);
    Some(format!("{before}{quote}{version}{quote}{after}"))
}

#[cfg(test)]
mod tests {
    use super::{place, replaced};

    #[test]
    fn nothing_but_the_version_changes() {
        let text = "# keep\nreleases:\n  zookeeper: \"3.8.0\"   # and this\n  consul: '1.8.7'\n";
        let change =
            |component, version| replaced(text, place(text, component).unwrap(), version).unwrap();
        assert_eq!(change("zookeeper", "3.9.3"), text.replace("3.8.0", "3.9.3"));
        assert_eq!(change("consul", "1.8.8"), text.replace("1.8.7", "1.8.8"));
        assert_eq!(place(text, "docker"), None);
        assert_eq!(place("releases: 3", "docker"), None);
    }

    #[test]
    fn an_unquoted_version_gets_quotes() {
        let text = "releases: {zookeeper: 3.8.0}";
        let span = place(text, "zookeeper").unwrap();
        assert_eq!(replaced(text, span, "3.10").unwrap(), "releases: {zookeeper: \"3.10\"}");
    }
}
