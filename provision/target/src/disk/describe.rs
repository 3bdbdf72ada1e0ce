//! What results say about a file (`add_path_info`).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use provision_protocol::Object;

use super::mode;
use crate::names;

/// Adds owner, group, mode, state and size of what lies at the path, if something does.
pub fn add_path_information(values: &mut Object, path: &Path) {
    // As Ansible: nothing about a dangling link.
    let (Ok(followed), Ok(data)) = (fs::metadata(path), fs::symlink_metadata(path)) else {
        return;
    };
    let owner = names::user_by_id(data.uid()).ok().flatten().map(|user| user.name);
    let group = names::group_by_id(data.gid()).ok().flatten().map(|group| group.name);
    let state = if data.is_symlink() {
        "link"
    } else if data.is_dir() {
        "directory"
    } else if followed.nlink() > 1 {
        "hard"
    } else {
        "file"
    };
    values.insert("uid".into(), data.uid().into());
    values.insert("gid".into(), data.gid().into());
    values.insert("owner".into(), owner.unwrap_or_else(|| data.uid().to_string()).into());
    values.insert("group".into(), group.unwrap_or_else(|| data.gid().to_string()).into());
    values.insert("mode".into(), mode::show(data.mode()).into());
    values.insert("state".into(), state.into());
    values.insert("size".into(), data.size().into());
}
