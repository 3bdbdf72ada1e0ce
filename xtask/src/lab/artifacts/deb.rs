//! `[io]` Files of Debian packages in memory, with their symbolic links.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{self, Doing, Error};

/// Longer chains of links are loops.
const LINKS_LIMIT: usize = 16;

/// Files of several packages, as if they were installed; paths have no slash at the front.
#[derive(Debug, Default)]
pub struct FileTree {
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug)]
enum Node {
    File(Vec<u8>),
    Link(String),
}

impl FileTree {
    /// Adds the files of a package.
    ///
    /// # Errors
    /// It can't be unpacked.
    pub fn unpack(&mut self, deb: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), Error> {
        let action = || format!("unpack {}", deb.display());
        let mut command = Command::new("dpkg-deb");
        command.arg("--fsys-tarfile").arg(deb);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .doing(action)?;
        if let Some(mut stdout) = child.stdout.take() {
            self.read(&mut stdout, wanted).doing(action)?;
            // What follows the archive's end has to be read, or the writer fails.
            std::io::copy(&mut stdout, &mut std::io::sink()).doing(action)?;
        }
        let output = child.wait_with_output().doing(action)?;
        error::check(&command, output).map(drop).doing(action)
    }

    fn read(
        &mut self,
        stream: &mut impl Read,
        wanted: impl Fn(&str) -> bool,
    ) -> std::io::Result<()> {
        for entry in tar::Archive::new(stream).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.to_string_lossy().into_owned();
            let path = path.trim_start_matches("./").to_owned();
            if !wanted(&path) {
                continue;
            }
            match entry.header().entry_type() {
                tar::EntryType::Regular => {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes)?;
                    self.nodes.insert(path, Node::File(bytes));
                }
                tar::EntryType::Symlink | tar::EntryType::Link => {
                    let target = entry.link_name()?.unwrap_or_default();
                    let target = target.to_string_lossy().into_owned();
                    let hard = entry.header().entry_type() == tar::EntryType::Link;
                    let target =
                        if hard { format!("/{}", target.trim_start_matches("./")) } else { target };
                    self.nodes.insert(path, Node::Link(target));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The file that a path leads to, through links: its name and contents.
    #[must_use]
    pub fn resolve(&self, path: &str) -> Option<(&str, &[u8])> {
        let mut path = path.to_owned();
        for _ in 0..LINKS_LIMIT {
            match self.nodes.get_key_value(&path)? {
                (path, Node::File(bytes)) => {
                    return Some((path.rsplit('/').next().unwrap_or(path), bytes));
                }
                (_, Node::Link(target)) => path = join(&path, target),
            }
        }
        None
    }

    /// The paths of all files and links.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }
}

/// A link's target as a path from the top.
fn join(link: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_files_and_loops_to_nothing() {
        let mut tree = FileTree::default();
        tree.nodes.insert("usr/share/java/a-1.jar".into(), Node::File(vec![1]));
        tree.nodes.insert("usr/share/java/a.jar".into(), Node::Link("a-1.jar".into()));
        tree.nodes.insert("usr/bin/x".into(), Node::Link("../share/java/a.jar".into()));
        tree.nodes.insert("l".into(), Node::Link("/l".into()));
        assert_eq!(tree.resolve("usr/bin/x"), Some(("a-1.jar", [1].as_slice())));
        assert_eq!(tree.resolve("l"), None);
        assert_eq!(tree.resolve("nothing"), None);
    }
}
