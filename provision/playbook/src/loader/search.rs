//! Where files are looked for, in Ansible's order.

use std::path::{Path, PathBuf};

use crate::files::FileKind;
use crate::loader::imports::Import;
use crate::loader::{Loader, Surroundings};
use crate::model::{Context, Task};
use crate::paths::normal;

impl Loader {
    /// Finds a file for a task as Ansible does for `files`, `templates` and `vars`: in the roles
    /// around the task from the inside out, beside the task's file, beside the playbook; each
    /// time in the subfolder first. Absolute names are taken as they are.
    ///
    /// # Errors
    /// The paths that were tried, in order.
    pub fn search(
        &self,
        task: &Task,
        subfolder: &str,
        name: &str,
    ) -> Result<PathBuf, Vec<PathBuf>> {
        self.first_existing(self.candidates(&task.context, &task.folder, subfolder, name))
    }

    /// Finds the file of a dynamic `include_tasks`; `for_handlers` if the task is a handler.
    ///
    /// # Errors
    /// The paths that were tried, in order.
    pub fn search_included(
        &self,
        task: &Task,
        name: &str,
        for_handlers: bool,
    ) -> Result<PathBuf, Vec<PathBuf>> {
        let candidates = task_candidates(
            &task.context,
            &task.folder,
            name,
            if for_handlers { "handlers" } else { "tasks" },
            Import::Dynamic,
        );
        self.first_existing(candidates)
    }

    /// Finds a file of variables for a play.
    ///
    /// # Errors
    /// The paths that were tried, in order.
    pub fn search_beside(
        &self,
        folder: &Path,
        subfolder: &str,
        name: &str,
    ) -> Result<PathBuf, Vec<PathBuf>> {
        let mut candidates = Vec::new();
        with_subfolder(&mut candidates, folder, subfolder, name);
        self.first_existing(candidates)
    }

    /// The file of an import.
    pub(super) fn find_tasks_file(
        &self,
        name: &str,
        around: &Surroundings,
        import: Import,
    ) -> Result<PathBuf, Vec<PathBuf>> {
        let subfolder = if around.handlers { "handlers" } else { "tasks" };
        let candidates = task_candidates(&around.context, &around.folder, name, subfolder, import);
        self.first_existing(candidates)
    }

    /// All places for a task's file (Ansible's `path_dwim_relative_stack` over the search path
    /// of the task).
    fn candidates(
        &self,
        context: &Context,
        folder: &Path,
        subfolder: &str,
        name: &str,
    ) -> Vec<PathBuf> {
        let mut candidates = Vec::new();
        if is_absolute(name) {
            return vec![PathBuf::from(name)];
        }
        for role in role_folders(context) {
            with_subfolder(&mut candidates, &role, subfolder, name);
        }
        with_subfolder(&mut candidates, folder, subfolder, name);
        with_subfolder(&mut candidates, context.playbook_folder(), subfolder, name);
        candidates
    }

    fn first_existing(&self, candidates: Vec<PathBuf>) -> Result<PathBuf, Vec<PathBuf>> {
        let mut tried: Vec<PathBuf> = Vec::new();
        for candidate in candidates {
            let candidate = normal(&candidate);
            if tried.contains(&candidate) {
                continue;
            }
            if self.files.kind(&candidate).is_some() {
                return Ok(candidate);
            }
            tried.push(candidate);
        }
        Err(tried)
    }

    /// Whether there is a folder at a path.
    pub(crate) fn is_folder(&self, path: &Path) -> bool {
        self.files.kind(path) == Some(FileKind::Folder)
    }
}

fn is_absolute(name: &str) -> bool {
    name.starts_with('/') || name.starts_with('~')
}

/// Folders of the role that a context belongs to and of those around it, from the inside out.
fn role_folders(context: &Context) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    let Some(role) = context.role() else { return folders };
    let outward = std::iter::once(role).chain(role.dependents.iter().rev());
    for folder in outward.map(|role| role.role.folder.clone()) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

fn with_subfolder(candidates: &mut Vec<PathBuf>, folder: &Path, subfolder: &str, name: &str) {
    if is_absolute(name) {
        candidates.push(PathBuf::from(name));
        return;
    }
    if name.split('/').next() != Some(subfolder) {
        candidates.push(folder.join(subfolder).join(name));
    }
    candidates.push(folder.join(name));
}

/// Places of a file of tasks. Imports look beside the importing file first; includes in a role
/// look into the role's `tasks/` first (Ansible's `helpers.py` and `included_file.py`).
fn task_candidates(
    context: &Context,
    folder: &Path,
    name: &str,
    subfolder: &str,
    import: Import,
) -> Vec<PathBuf> {
    if is_absolute(name) {
        return vec![PathBuf::from(name)];
    }
    let playbook = context.playbook_folder();
    let outer = context.chain().filter_map(|level| level.folder.as_deref());
    let mut folders: Vec<&Path> = std::iter::once(folder).chain(outer).collect();
    folders.dedup();
    let mut beside: Vec<PathBuf> = folders.iter().map(|folder| folder.join(name)).collect();
    let Some(role) = context.role() else {
        beside.push(playbook.join(name));
        return beside;
    };
    let role = &role.role.folder;
    let inside =
        vec![role.join(subfolder).join(name), role.join("tasks").join(name), role.join(name)];
    let last = vec![playbook.join(subfolder).join(name), playbook.join(name)];
    let ordered = match import {
        Import::Static => [beside, inside, last],
        Import::Dynamic => [inside, last, beside],
    };
    ordered.into_iter().flatten().collect()
}
