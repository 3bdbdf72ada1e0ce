//! What is in an archive: the one folder that a release is made of, and that nothing in it could get
//! out of that folder. Looked at before an entry is written; hosts look again when they unpack.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use tar::EntryType;

use crate::lock;

/// All entries together, unpacked, in bytes: an archive that claims more is a bomb. The same as on
/// hosts.
const UNPACKED_LIMIT_BYTES: u64 = 64 << 30;

/// Entries of one archive, as on hosts.
const ENTRIES_LIMIT: u64 = 2_000_000;

/// What a file or a folder takes at least, in bytes: a block of the usual file systems.
const BLOCK_BYTES: u64 = 4096;

/// Top entries that a message names.
const NAMED: usize = 4;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The one folder.
    pub root: String,
    /// What it takes on a disk, in bytes, counted in blocks.
    pub unpacked_size: u64,
    /// How many entries it has.
    pub entries: u64,
}

/// Why an archive can't be a release.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It can't be read.
    #[error("it can't be read as an archive ({reason}); it is damaged or cut off")]
    Broken {
        /// Why.
        reason: String,
    },
    /// It is something else.
    #[error("it is {0}")]
    Kind(&'static str),
    /// It has not exactly one folder at the top.
    #[error("it must hold one folder with everything in it, but {0}")]
    Root(String),
    /// An entry could get out of the folder.
    #[error("its entry `{name}` {reason}")]
    Escapes {
        /// The entry.
        name: String,
        /// How.
        reason: String,
    },
    /// It is too large.
    #[error("it has more than {ENTRIES_LIMIT} entries or {} GiB", UNPACKED_LIMIT_BYTES >> 30)]
    TooLarge,
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        ArchiveError::Broken { reason: error.to_string() }
    }
}

/// Looks through an archive, to its last byte.
///
/// # Errors
/// When it can't be a release.
pub fn inspect(path: &Path) -> Result<Contents, ArchiveError> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    (&mut file).take(512).read_to_end(&mut head)?;
    file.rewind()?;
    let reader = BufReader::new(file);
    match head.as_slice() {
        [0x1f, 0x8b, ..] => entries(&mut MultiGzDecoder::new(reader)),
        [b'B', b'Z', b'h', ..] => entries(&mut MultiBzDecoder::new(reader)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = StreamingDecoder::new(reader);
            entries(&mut decoder.map_err(|e| ArchiveError::Broken { reason: e.to_string() })?)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => entries(&mut unpacked_xz(reader)?),
        [b'P', b'K', ..] => Err(ArchiveError::Kind("a zip archive; a release is a tar archive")),
        [] => Err(ArchiveError::Kind("empty")),
        _ if is_page(&head) => Err(ArchiveError::Kind("a web page, not an archive")),
        _ if head.get(257..262) == Some(b"ustar".as_slice()) => entries(&mut { reader }),
        _ => Err(ArchiveError::Kind("no tar archive (plain or packed by gzip, bzip2, xz, zstd)")),
    }
}

/// What servers send in place of a file, with a good status.
fn is_page(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head).trim_start().to_ascii_lowercase();
    text.starts_with("<!doctype") || text.starts_with("<html")
}

/// xz is unpacked into a file, since its decoder is no reader.
fn unpacked_xz(mut reader: BufReader<File>) -> Result<BufReader<File>, ArchiveError> {
    let mut file = tempfile::tempfile()?;
    let mut limited = Limited { file: &mut file, left: UNPACKED_LIMIT_BYTES };
    lzma_rs::xz_decompress(&mut reader, &mut limited)
        .map_err(|error| ArchiveError::Broken { reason: format!("{error:?}") })?;
    file.rewind()?;
    Ok(BufReader::new(file))
}

/// Writes up to a limit.
struct Limited<'a> {
    file: &'a mut File,
    left: u64,
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| io::Error::other("it is too large when unpacked"))?;
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn entries(reader: &mut dyn Read) -> Result<Contents, ArchiveError> {
    let mut survey = Survey::default();
    let mut archive = tar::Archive::new(&mut *reader);
    for found in archive.entries()? {
        let mut entry = found?;
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions {
                if extension?.key_bytes().starts_with(b"GNU.sparse.") {
                    return Err(ArchiveError::Kind("a tar archive with sparse files"));
                }
            }
        }
        survey.take(&entry)?;
    }
    // The check sum of gzip stands behind the last entry.
    io::copy(reader, &mut io::sink())?;
    survey.finish()
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Survey {
    tops: Vec<String>,
    /// Whether something lies below the top.
    is_folder: bool,
    links: HashSet<String>,
    unpacked: u64,
    count: u64,
}

impl Survey {
    fn take<R: Read>(&mut self, entry: &tar::Entry<'_, R>) -> Result<(), ArchiveError> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader || kind.as_byte() == b'V' {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let escapes = |reason: String| ArchiveError::Escapes { name: shown.clone(), reason };
        let parts = parts(&shown).map_err(|reason| escapes(reason.to_owned()))?;
        let Some((top, below)) = parts.split_first() else { return Ok(()) };
        if !self.tops.iter().any(|known| known == top) {
            self.tops.push((*top).to_owned());
        }
        self.is_folder |= !below.is_empty() || kind.is_dir() || shown.ends_with('/');
        for end in 1..parts.len() {
            let above = parts.get(..end).unwrap_or_default().join("/");
            if self.links.contains(&above) {
                return Err(escapes(format!("lies behind the link `{above}`")));
            }
        }
        let target = || {
            let target = entry.link_name_bytes().unwrap_or_default();
            String::from_utf8_lossy(&target).into_owned()
        };
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::Directory => {}
            EntryType::Symlink => {
                check_link(&parts, &target()).map_err(escapes)?;
                self.links.insert(parts.join("/"));
            }
            EntryType::Link => {
                let target = target();
                let original = self::parts(&target).map_err(|reason| escapes(reason.to_owned()))?;
                if original.first() != Some(top) {
                    return Err(escapes(format!("is a hard link to `{target}`, outside")));
                }
            }
            EntryType::Char | EntryType::Block => return Err(escapes("is a device".to_owned())),
            EntryType::Fifo => return Err(escapes("is a fifo".to_owned())),
            _ => return Err(escapes("is of a kind that is not unpacked".to_owned())),
        }
        let blocks = entry.size().div_ceil(BLOCK_BYTES).max(1);
        self.unpacked = self.unpacked.saturating_add(blocks.saturating_mul(BLOCK_BYTES));
        self.count += 1;
        if self.count > ENTRIES_LIMIT || self.unpacked > UNPACKED_LIMIT_BYTES {
            return Err(ArchiveError::TooLarge);
        }
        Ok(())
    }

    fn finish(self) -> Result<Contents, ArchiveError> {
        let root = match self.tops.as_slice() {
            [] => return Err(ArchiveError::Root("it holds nothing".to_owned())),
            [root] if self.is_folder => root.clone(),
            [file] => return Err(ArchiveError::Root(format!("it holds the file `{file}`"))),
            tops => {
                let more = if tops.len() > NAMED { " and more" } else { "" };
                let names: Vec<String> =
                    tops.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
                let text = format!("it holds {}{more} side by side", names.join(", "));
                return Err(ArchiveError::Root(text));
            }
        };
        lock::check_version(&root).map_err(|_| {
            ArchiveError::Root(format!("the name of its folder can't be used: `{root}`"))
        })?;
        Ok(Contents { root, unpacked_size: self.unpacked, entries: self.count })
    }
}

/// The parts of a name; none of them leads anywhere else.
fn parts(name: &str) -> Result<Vec<&str>, &'static str> {
    if name.starts_with('/') {
        return Err("begins at the root of the file system");
    }
    if name.contains('\0') {
        return Err("has a zero byte in its name");
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") { Err("leads out of the archive's folder") } else { Ok(parts) }
}

/// A link's target stays below the top folder. Only at its beginning it may go up: behind a name,
/// which may be a link itself, nobody could tell where `..` leads.
fn check_link(name: &[&str], target: &str) -> Result<(), String> {
    let leads_out = || format!("is a link to `{target}`, outside of the archive's folder");
    // Folders between the top and the link; a link at the top would be the folder itself.
    let depth = name.len().checked_sub(2);
    let Some(mut depth) = depth.filter(|_| !target.is_empty() && !target.starts_with('/')) else {
        return Err(leads_out());
    };
    let mut is_down = false;
    for part in target.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part != ".." {
            is_down = true;
        } else if is_down {
            return Err(leads_out());
        } else {
            depth = depth.checked_sub(1).ok_or_else(leads_out)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    /// Name, kind, target or content.
    type Given<'a> = (&'a str, EntryType, &'a str);

    const FILE: EntryType = EntryType::Regular;
    const FOLDER: EntryType = EntryType::Directory;
    const LINK: EntryType = EntryType::Symlink;
    const HARD: EntryType = EntryType::Link;

    fn tar(entries: &[Given<'_>]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, text) in entries {
            let mut header = tar::Header::new_ustar();
            // Not `set_path`, which refuses what is to be refused here.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            let is_file = *kind == FILE;
            header.set_size(if is_file { text.len() as u64 } else { 0 });
            if !is_file && *kind != FOLDER {
                header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
            }
            header.set_cksum();
            let content = if is_file { text.as_bytes() } else { b"" };
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn look(bytes: &[u8]) -> Result<Contents, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        inspect(file.path()).map_err(|error| error.to_string())
    }

    const GOOD: &[Given<'_>] = &[
        ("x-1/", FOLDER, ""),
        ("x-1/bin/run", FILE, "#!/bin/sh\n"),
        ("x-1/lib/a-1.jar", FILE, "jar"),
        ("x-1/lib/a.jar", LINK, "a-1.jar"),
        ("x-1/bin/lib", LINK, "../lib"),
        ("x-1/bin/again", HARD, "x-1/bin/run"),
    ];

    #[test]
    fn one_folder_with_everything_in_it() {
        let bytes = tar(GOOD);
        let expected = Contents { root: "x-1".into(), unpacked_size: 6 * BLOCK_BYTES, entries: 6 };
        assert_eq!(look(&bytes), Ok(expected.clone()));
        assert_eq!(look(&gzip(&bytes)), Ok(expected.clone()));
        let mut xz = Vec::new();
        lzma_rs::xz_compress(&mut bytes.as_slice(), &mut xz).unwrap();
        assert_eq!(look(&xz), Ok(expected.clone()));
        let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        packer.write_all(&bytes).unwrap();
        assert_eq!(look(&packer.finish().unwrap()), Ok(expected.clone()));
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let zstd = ruzstd::encoding::compress_to_vec(bytes.as_slice(), level);
        assert_eq!(look(&zstd), Ok(expected));
    }

    #[test]
    fn what_gets_out_is_refused() {
        let table: &[(&[Given<'_>], &str)] = &[
            (&[("../x", FILE, "")], "its entry `../x` leads out of the archive's folder"),
            (&[("x/../../y", FILE, "")], "leads out"),
            (&[("/etc/cron.d/x", FILE, "")], "begins at the root of the file system"),
            (&[("x/l", LINK, "/etc")], "its entry `x/l` is a link to `/etc`, outside"),
            (&[("x/l", LINK, "../y")], "outside"),
            (&[("x/a/l", LINK, "../../y")], "outside"),
            (&[("x/l", LINK, "a/../../y")], "outside"),
            (&[("x/l", LINK, "")], "outside"),
            (&[("x/a/b/l", LINK, "../.."), ("x/m", LINK, "a/b/l/../..")], "`x/m` is a link"),
            (&[("x/l", LINK, "a"), ("x/l/f", FILE, "")], "`x/l/f` lies behind the link `x/l`"),
            (&[("x", LINK, "y")], "outside"),
            (&[("x/f", HARD, "y/f")], "is a hard link to `y/f`, outside"),
            (&[("x/f", HARD, "../f")], "leads out"),
            (&[("x/d", EntryType::Char, "")], "is a device"),
            (&[("x/d", EntryType::Fifo, "")], "is a fifo"),
        ];
        for (entries, expected) in table {
            let error = look(&tar(entries)).unwrap_err();
            assert!(error.contains(expected), "{entries:?}: {error}");
        }
    }

    #[test]
    fn something_else_than_one_folder() {
        let table: &[(&[Given<'_>], &str)] = &[
            (&[], "it holds nothing"),
            (&[("./", FOLDER, "")], "it holds nothing"),
            (&[("consul", FILE, "elf")], "it holds the file `consul`"),
            (&[("a/x", FILE, ""), ("b", FILE, "")], "it holds `a`, `b` side by side"),
            (&[("-x/a", FILE, "")], "the name of its folder can't be used: `-x`"),
        ];
        for (entries, expected) in table {
            let error = look(&gzip(&tar(entries))).unwrap_err();
            assert!(error.contains(expected), "{entries:?}: {error}");
        }
        for (bytes, expected) in [
            (b"PK\x03\x04".as_slice(), "it is a zip archive; a release is a tar archive"),
            (b"", "it is empty"),
            (b" <!DOCTYPE html><p>404", "it is a web page, not an archive"),
            (b"hello", "it is no tar archive"),
        ] {
            assert!(look(bytes).unwrap_err().starts_with(expected));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// gzip has a check sum and a length: a cut or a flipped bit in the data is noticed even
        /// where there is no digest yet.
        #[test]
        fn a_cut_archive_is_noticed(cut in 1_usize..1000) {
            let bytes = gzip(&tar(&[("x/a", FILE, &"text ".repeat(200)), ("x/b", FILE, "b")]));
            let cut = cut.min(bytes.len() - 1);
            prop_assert!(look(&bytes[..bytes.len() - cut]).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000),
            place in 0_usize..2000,
        ) {
            let _ = look(&bytes);
            let mut bytes = tar(GOOD);
            let place = place % bytes.len();
            bytes[place] ^= 0x55;
            let _ = look(&bytes);
            let _ = look(&gzip(&bytes));
        }
    }
}
