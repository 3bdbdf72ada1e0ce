//! requirements.yml: which roles and collections a playbook says it needs. They are looked for where
//! Ansible installs them; nothing is downloaded.

use std::path::{Path, PathBuf};

use diagnostics::{Diagnostic, Span};
use yaml::{Mapping, Node};

use crate::files::FileKind;
use crate::loader::Loader;

/// Files that name what is needed, beside a playbook.
pub const FILES: [&str; 5] = [
    "requirements.yml",
    "requirements.yaml",
    "roles/requirements.yml",
    "roles/requirements.yaml",
    "collections/requirements.yml",
];

/// What is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Whether it is a collection; a role otherwise.
    pub is_collection: bool,
    /// Its name when it is installed.
    pub name: String,
    /// Where it is written.
    pub span: Span,
}

impl Loader {
    /// Requirements beside playbooks in a folder that are not installed, and where they were looked
    /// for.
    pub fn missing_requirements(&mut self, folder: &Path) -> Vec<Diagnostic> {
        for name in FILES {
            let path = folder.join(name);
            if self.files().kind(&path) != Some(FileKind::File) {
                continue;
            }
            let Some(node) = self.requirements_file(&path) else { continue };
            for requirement in requirements(&node, name.starts_with("collections/")) {
                self.look_for(&requirement, folder, name);
            }
        }
        self.take_reported()
    }

    fn look_for(&mut self, requirement: &Requirement, folder: &Path, file: &str) {
        let name = &requirement.name;
        let places: Vec<PathBuf> = match requirement.is_collection {
            true => {
                let path = format!("ansible_collections/{}", name.replace('.', "/"));
                let beside = folder.join("collections");
                let all = std::iter::once(beside).chain(self.options().collections_path.clone());
                all.map(|place| place.join(&path)).collect()
            }
            false => {
                let beside = folder.join("roles");
                let all = std::iter::once(beside).chain(self.options().roles_path.clone());
                all.map(|place| place.join(name)).collect()
            }
        };
        if places.iter().any(|place| self.files().kind(place) == Some(FileKind::Folder)) {
            return;
        }
        let (kind, command) = match requirement.is_collection {
            true => ("collection", format!("ansible-galaxy collection install -r {file}")),
            false => ("role", format!("ansible-galaxy role install -r {file} -p roles")),
        };
        let shown: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        self.report(
            Diagnostic::warning("missing-requirement", format!("{kind} `{name}` is not installed"))
                .at(requirement.span, "not found")
                .note(format!("searched for: {}", shown.join(", ")))
                .hint(format!("provision downloads nothing: `{command}`")),
        );
    }
}

/// The requirements of a document: a list of roles, or `roles:` and `collections:`.
#[must_use]
pub fn requirements(node: &Node, is_of_collections: bool) -> Vec<Requirement> {
    let of = |node: Option<&Node>, is_collection: bool| -> Vec<Requirement> {
        let items = node.and_then(Node::as_sequence).into_iter().flatten();
        items.filter_map(|item| requirement(item, is_collection)).collect()
    };
    match node.as_mapping() {
        Some(mapping) => {
            let mut all = of(mapping.get("roles"), false);
            all.extend(of(mapping.get("collections"), true));
            all
        }
        None => of(Some(node), is_of_collections),
    }
}

fn requirement(item: &Node, is_collection: bool) -> Option<Requirement> {
    let text =
        |mapping: &Mapping, name: &str| mapping.get(name).and_then(Node::as_str).map(str::to_owned);
    let name = match item.as_mapping() {
        Some(mapping) => text(mapping, "name")
            .or_else(|| Some(installed_name(&text(mapping, "src").or(text(mapping, "role"))?)))?,
        None => installed_name(item.as_str()?),
    };
    // A collection from a repository or archive has a name that only it knows.
    let is_known = !is_collection || (name.matches('.').count() == 1 && !name.contains('/'));
    is_known.then_some(Requirement { is_collection, name, span: item.span })
}

/// `https://host/team/ansible-role-x.git,v1` is installed as `ansible-role-x`.
fn installed_name(source: &str) -> String {
    let source = source.trim().trim_start_matches("git+");
    let source = source.split(',').next().unwrap_or(source);
    if !source.contains("://") && !source.contains('@') {
        return source.to_owned();
    }
    let last = source.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or(source);
    let last = last.strip_suffix(".git").unwrap_or(last);
    last.strip_suffix(".tar.gz").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::installed_name;

    #[test]
    fn names_are_those_of_ansible_galaxy() {
        for (source, name) in [
            ("geerlingguy.docker", "geerlingguy.docker"),
            ("geerlingguy.docker,7.0.0", "geerlingguy.docker"),
            ("https://example.org/team/ansible-role-x.git", "ansible-role-x"),
            ("git+https://example.org/team/x.git,v1.2,y", "x"),
            ("git@example.org:team/role.git", "role"),
            ("https://example.org/files/role.tar.gz", "role"),
        ] {
            assert_eq!(installed_name(source), name, "{source}");
        }
    }
}
