//! `[io]` All files of a host: kind, owner, mode, content, target.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::ignored::{self, Ignored};
use crate::error::{Doing, Error};

/// Contents up to this size are kept, so that a difference can be shown.
const KEPT_BYTES: u64 = 1 << 16;

/// By path without the leading slash.
pub(super) type Tree = BTreeMap<String, Entry>;

/// One file of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) mode: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    Link(PathBuf),
    File(Content),
    /// A pipe, a socket, a device.
    Special(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// As in the image that both hosts were made of.
    OfTheImage,
    /// Small.
    Kept(Vec<u8>),
    /// Large.
    Digest(String),
    /// What is in it doesn't count.
    Ignored,
}

/// Reads a host's files. What isn't in its upper layer is the image's, and what is there may still
/// be as in the image.
///
/// # Errors
/// Something can't be read.
pub(super) fn read(root: &Path, upper: &Path, layers: &[&Path]) -> Result<Tree, Error> {
    let mut tree = Tree::new();
    let reader = Reader { root, upper, layers };
    reader.folder(Path::new(""), &mut tree)?;
    Ok(tree)
}

struct Reader<'a> {
    root: &'a Path,
    upper: &'a Path,
    layers: &'a [&'a Path],
}

impl Reader<'_> {
    fn folder(&self, below: &Path, tree: &mut Tree) -> Result<(), Error> {
        let folder = self.root.join(below);
        let action = || format!("list {}", folder.display());
        for entry in fs::read_dir(&folder).doing(action)? {
            let name = entry.doing(action)?.file_name();
            let path = below.join(name);
            let text = path.to_string_lossy().into_owned();
            let verdict = ignored::find(&text);
            if verdict == Some(Ignored::Whole) {
                continue;
            }
            let full = self.root.join(&path);
            let found = match fs::symlink_metadata(&full) {
                // The host runs on.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                found => found.doing(|| format!("look at {}", full.display()))?,
            };
            let kind = self.kind(&path, &found, verdict)?;
            let is_folder = kind == Kind::Folder;
            let (user, group, mode) = (found.uid(), found.gid(), found.mode() & 0o7777);
            tree.insert(text, Entry { kind, user, group, mode });
            if is_folder {
                self.folder(&path, tree)?;
            }
        }
        Ok(())
    }

    fn kind(&self, path: &Path, found: &Metadata, ignored: Option<Ignored>) -> Result<Kind, Error> {
        let full = self.root.join(path);
        let kind = found.file_type();
        Ok(match () {
            () if kind.is_dir() => Kind::Folder,
            () if kind.is_symlink() => {
                Kind::Link(fs::read_link(&full).doing(|| format!("read {}", full.display()))?)
            }
            () if kind.is_file() && ignored == Some(Ignored::Content) => {
                Kind::File(Content::Ignored)
            }
            () if kind.is_file() => Kind::File(self.content(path, found.len(), ignored)?),
            () if kind.is_fifo() => Kind::Special("pipe"),
            () if kind.is_socket() => Kind::Special("socket"),
            () => Kind::Special("device"),
        })
    }

    fn content(&self, path: &Path, size: u64, ignored: Option<Ignored>) -> Result<Content, Error> {
        let of_image = self.layers.iter().map(|layer| layer.join(path)).find(|file| {
            fs::symlink_metadata(file).is_ok_and(|found| found.is_file() && found.len() == size)
        });
        let is_changed = fs::symlink_metadata(self.upper.join(path)).is_ok();
        if of_image.is_some() && !is_changed {
            return Ok(Content::OfTheImage);
        }
        let full = self.root.join(path);
        let bytes = fs::read(&full).doing(|| format!("read {}", full.display()))?;
        if of_image.is_some_and(|file| fs::read(file).is_ok_and(|known| known == bytes)) {
            return Ok(Content::OfTheImage);
        }
        Ok(match size <= KEPT_BYTES {
            true => Content::Kept(without(bytes, ignored)),
            false => Content::Digest(hex::encode(Sha256::digest(&bytes))),
        })
    }
}

/// What counts of a file.
fn without(bytes: Vec<u8>, ignored: Option<Ignored>) -> Vec<u8> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    match ignored {
        Some(Ignored::Lines(start)) => {
            lines.filter(|line| !line.starts_with(start.as_bytes())).flatten().copied().collect()
        }
        Some(Ignored::Field(index)) => {
            let cleared = |line: &[u8]| {
                let fields = line.split(|byte| *byte == b':').enumerate();
                let fields = fields.map(|(at, field)| if at == index { &b"*"[..] } else { field });
                fields.collect::<Vec<_>>().join(&b':')
            };
            lines.flat_map(cleared).collect()
        }
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_count_is_left_out() {
        let text = b"# (- installed on Sunday)\n# (V\nkept\n".to_vec();
        assert_eq!(without(text.clone(), Some(Ignored::Lines("# ("))), b"kept\n");
        assert_eq!(without(text.clone(), None), text);
        let shadow = b"ada:x:20785:0:\nbot:!:20786::\n".to_vec();
        assert_eq!(without(shadow, Some(Ignored::Field(2))), b"ada:x:*:0:\nbot:!:*::\n");
    }

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_is_as_in_the_image_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (layer, file, text) in [
            ("image", "etc/old", "old"),
            ("image", "etc/touched", "same"),
            ("image", "etc/changed", "1234"),
            ("upper", "etc/touched", "same"),
            ("upper", "etc/changed", "4321"),
            ("upper", "srv/new", "new"),
            ("root", "etc/old", "old"),
            ("root", "etc/touched", "same"),
            ("root", "etc/changed", "4321"),
            ("root", "srv/new", "new"),
            ("root", "var/log/syslog", "noise"),
        ] {
            write(&at(layer).join(file), text);
        }
        std::os::unix::fs::symlink("new", at("root/srv/link")).unwrap();
        let image = at("image");
        let tree = read(&at("root"), &at("upper"), &[&image]).unwrap();
        let content = |path: &str| match &tree.get(path)?.kind {
            Kind::File(content) => Some(content.clone()),
            _ => None,
        };
        assert_eq!(content("etc/old"), Some(Content::OfTheImage));
        assert_eq!(content("etc/touched"), Some(Content::OfTheImage));
        assert_eq!(content("etc/changed"), Some(Content::Kept(b"4321".to_vec())));
        assert_eq!(content("srv/new"), Some(Content::Kept(b"new".to_vec())));
        assert_eq!(tree["srv/link"].kind, Kind::Link("new".into()));
        assert!(!tree.contains_key("var/log/syslog"), "logs are ignored");
        assert_eq!(tree["srv"].mode, fs::metadata(at("root/srv")).unwrap().mode() & 0o7777);
    }
}
