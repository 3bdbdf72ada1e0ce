//! `[pure]` Archives whose bytes depend on nothing but their contents: sorted entries, no times,
//! no owners.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use flate2::{Compression, GzBuilder};

/// What a file or a directory takes at least.
const BLOCK_BYTES: usize = 4096;

/// Files of an archive by path, below its top directory.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Archive {
    files: BTreeMap<String, File>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    executable: bool,
    bytes: Vec<u8>,
}

impl Archive {
    /// Adds a plain file.
    pub fn add(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.insert(path.to_owned(), File { executable: false, bytes });
    }

    /// Adds a program.
    pub fn add_program(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.insert(path.to_owned(), File { executable: true, bytes });
    }

    /// What its files and directories take on a disk, in bytes, counted in blocks.
    #[must_use]
    pub fn unpacked_size(&self) -> u64 {
        let blocks = |bytes: usize| bytes.div_ceil(BLOCK_BYTES).max(1);
        let files: usize = self.files.values().map(|file| blocks(file.bytes.len())).sum();
        let above = |path: &String| path.rsplit_once('/').map(|(above, _)| above.to_owned());
        let directories = self.files.keys().filter_map(above).collect::<BTreeSet<String>>().len();
        u64::try_from((files + directories + 1) * BLOCK_BYTES).unwrap_or(u64::MAX)
    }

    /// The archive's bytes, everything below the directory `root`.
    ///
    /// # Errors
    /// A path is too long for a tar header.
    pub fn to_tar_gz(&self, root: &str) -> io::Result<Vec<u8>> {
        // Fast, because a debug build of this packs 500 MB. Neither a time nor the system's name is in the gzip header.
        let gzip =
            GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        let mut directories = BTreeSet::from([root.to_owned()]);
        for path in self.files.keys() {
            let mut above = root.to_owned();
            for part in path.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev() {
                above = format!("{above}/{part}");
                directories.insert(above.clone());
            }
        }
        for directory in directories {
            let mut header = header(0o755, 0, tar::EntryType::Directory);
            tar.append_data(&mut header, format!("{directory}/"), io::empty())?;
        }
        for (path, file) in &self.files {
            let mode = if file.executable { 0o755 } else { 0o644 };
            let size = u64::try_from(file.bytes.len()).map_err(io::Error::other)?;
            let mut header = header(mode, size, tar::EntryType::Regular);
            tar.append_data(&mut header, format!("{root}/{path}"), file.bytes.as_slice())?;
        }
        tar.into_inner()?.finish()
    }
}

fn header(mode: u32, size: u64, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_mode(mode);
    header.set_size(size);
    header.set_entry_type(kind);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(order: &[&str]) -> Archive {
        let mut archive = Archive::default();
        for name in order {
            match *name {
                "bin/run" => archive.add_program(name, b"#!/bin/sh\n".to_vec()),
                _ => archive.add(name, name.repeat(1000).into_bytes()),
            }
        }
        archive
    }

    #[test]
    fn the_same_contents_give_the_same_bytes_in_any_order() {
        let one = sample(&["bin/run", "lib/a.jar", "lib/b.jar"]).to_tar_gz("x-1").unwrap();
        let two = sample(&["lib/b.jar", "bin/run", "lib/a.jar"]).to_tar_gz("x-1").unwrap();
        assert_eq!(one, two);
        assert_ne!(one, sample(&["bin/run", "lib/a.jar"]).to_tar_gz("x-1").unwrap());
    }

    #[test]
    fn files_take_whole_blocks() {
        // Three directories, a short file, and two of 9,000 bytes.
        let archive = sample(&["bin/run", "lib/a.jar", "lib/b.jar"]);
        assert_eq!(archive.unpacked_size(), (3 + 1 + 3 + 3) * 4096);
    }

    #[test]
    fn entries_have_no_owner_and_no_time() {
        let bytes = sample(&["bin/run", "lib/a.jar"]).to_tar_gz("x-1").unwrap();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let listing: Vec<String> = tar
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!(header.mtime().unwrap(), 0);
                assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
                format!("{:o} {}", header.mode().unwrap(), entry.path().unwrap().display())
            })
            .collect();
        assert_eq!(
            listing,
            ["755 x-1/", "755 x-1/bin/", "755 x-1/lib/", "755 x-1/bin/run", "644 x-1/lib/a.jar"]
        );
    }
}
