//! Archives as a sequence of entries, whatever their format and packing.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use tar::EntryType;

use crate::disk::metadata::Time;
use crate::disk::spool;
use crate::module::{Context, Failure};
use crate::modules::files::copy::Source;

/// All entries together, unpacked, in bytes: an archive that claims more is a bomb.
pub(super) const UNPACKED_LIMIT_BYTES: u64 = 64 << 30;

/// Entries of one archive.
const ENTRIES_LIMIT: usize = 2_000_000;

/// Longest target of a link, in bytes; the kernel's own limit.
const TARGET_LIMIT_BYTES: u64 = 4096;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// A symbolic link and its target.
    Link(OsString),
    /// A hard link and the name of the entry it repeats.
    Hard(Vec<u8>),
    /// Something that is not unpacked.
    Other(&'static str),
}

/// One entry, its name not yet checked.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
    pub(super) time: Option<Time>,
}

/// Format and packing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Tar,
    TarGzip,
    TarBzip2,
    TarXz,
    TarZstandard,
    Zip,
}

impl Format {
    fn of(head: &[u8]) -> Option<Format> {
        const MAGIC: &[(&[u8], Format)] = &[
            (b"\x1f\x8b", Format::TarGzip),
            (b"BZh", Format::TarBzip2),
            (b"\xfd7zXZ\0", Format::TarXz),
            (b"\x28\xb5\x2f\xfd", Format::TarZstandard),
            (b"PK\x03\x04", Format::Zip),
            (b"PK\x05\x06", Format::Zip),
        ];
        let known = MAGIC.iter().find(|(magic, _)| head.starts_with(magic));
        known.map(|(_, format)| *format).or_else(|| is_tar_header(head).then_some(Format::Tar))
    }

    /// The name of Ansible's class for it.
    pub(super) fn handler(self) -> &'static str {
        match self {
            Format::Tar => "TarArchive",
            Format::TarGzip => "TgzArchive",
            Format::TarBzip2 => "TarBzipArchive",
            Format::TarXz => "TarXzArchive",
            Format::TarZstandard => "TarZstdArchive",
            Format::Zip => "ZipArchive",
        }
    }
}

/// Old archives have no magic number, but each header has a checksum.
fn is_tar_header(head: &[u8]) -> bool {
    let Some(header) = head.get(..512) else { return false };
    let field = header.get(148..156).unwrap_or_default();
    let digits = String::from_utf8_lossy(field);
    let digits = digits.trim_matches(['\0', ' ']);
    let Ok(expected) = u64::from_str_radix(digits, 8) else { return false };
    let sum: u64 = header
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
        .sum();
    sum == expected
}

/// An archive that can be gone through several times.
pub(super) struct Archive {
    source: Source,
    pub(super) format: Format,
    /// What has to be in a file: zip archives, which are read from the end, and unpacked xz.
    spooled: Option<File>,
}

impl Archive {
    /// Finds out what it is.
    pub(super) fn open(source: Source, context: &mut Context<'_>) -> Result<Archive, Failure> {
        let mut head = Vec::new();
        source.open(context)?.take(512).read_to_end(&mut head).map_err(|error| broken(&error))?;
        if head.is_empty() {
            return Err(Failure::new("Invalid archive, the file is 0 bytes"));
        }
        let Some(format) = Format::of(&head) else {
            return Err(Failure::new(
                "Failed to find handler: the archive is neither tar (plain, gzip, bzip2, xz, \
                 zstd) nor zip",
            ));
        };
        let spooled = match (format, &source) {
            (Format::Zip, Source::File(path)) => {
                Some(File::open(path).map_err(|error| Failure::system("read", path, &error))?)
            }
            (Format::Zip, Source::Content(_)) => Some(spool(|file| {
                io::copy(&mut source.open(context)?, file).map_err(|e| broken(&e))
            })?),
            (Format::TarXz, _) => Some(spool(|file| {
                let mut packed = BufReader::new(source.open(context)?);
                let mut limited = Limited { file, left: UNPACKED_LIMIT_BYTES };
                lzma_rs::xz_decompress(&mut packed, &mut limited)
                    .map_err(|error| Failure::new(format!("failed to unpack xz: {error:?}")))?;
                Ok(0)
            })?),
            _ => None,
        };
        Ok(Archive { source, format, spooled })
    }

    /// Goes through all entries. The reader gives the bytes of a file.
    pub(super) fn each(
        &self,
        context: &mut Context<'_>,
        visit: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let stopped = context.stopped;
        let mut count = 0;
        let mut unpacked = 0_u64;
        let mut checked = |entry: &Entry, reader: &mut dyn Read| {
            if stopped() {
                return Err(Failure::new("stopped while unpacking"));
            }
            count += 1;
            unpacked = unpacked.saturating_add(entry.size);
            if count > ENTRIES_LIMIT || unpacked > UNPACKED_LIMIT_BYTES {
                return Err(Failure::new(format!(
                    "the archive has more than {ENTRIES_LIMIT} entries or {} GiB",
                    UNPACKED_LIMIT_BYTES >> 30
                )));
            }
            visit(entry, reader)
        };
        if let Some(file) = &self.spooled {
            let file = Cursor { file, position: 0 };
            return match self.format {
                Format::Zip => each_in_zip(file, &mut checked),
                _ => each_in_tar(BufReader::new(file), &mut checked),
            };
        }
        let reader = BufReader::new(self.source.open(context)?);
        match self.format {
            Format::TarGzip => each_in_tar(MultiGzDecoder::new(reader), &mut checked),
            Format::TarBzip2 => each_in_tar(MultiBzDecoder::new(reader), &mut checked),
            Format::TarZstandard => {
                let decoder = StreamingDecoder::new(reader)
                    .map_err(|error| Failure::new(format!("failed to unpack zstd: {error}")))?;
                each_in_tar(decoder, &mut checked)
            }
            Format::Tar | Format::TarXz | Format::Zip => each_in_tar(reader, &mut checked),
        }
    }
}

fn spool(fill: impl FnOnce(&mut File) -> Result<u64, Failure>) -> Result<File, Failure> {
    let mut file = spool::nameless_file(&spool::folders())
        .map_err(|error| Failure::new(format!("failed to make a temporary file: {error}")))?;
    fill(&mut file)?;
    Ok(file)
}

/// Writes up to a limit.
struct Limited<'a> {
    file: &'a mut File,
    left: u64,
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::other("the archive is too large when it is unpacked"))?;
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a file that several passes share.
struct Cursor<'a> {
    file: &'a File,
    position: u64,
}

impl Read for Cursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::End(offset) => (self.file.metadata()?.len(), offset),
            SeekFrom::Current(offset) => (self.position, offset),
        };
        self.position = base.checked_add_signed(offset).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

type Visit<'a> = dyn FnMut(&Entry, &mut dyn Read) -> Result<(), Failure> + 'a;

fn each_in_tar(reader: impl Read, visit: &mut Visit<'_>) -> Result<(), Failure> {
    let mut archive = tar::Archive::new(reader);
    let entries = archive.entries().map_err(|error| broken(&error))?;
    for found in entries {
        let mut found = found.map_err(|error| broken(&error))?;
        if let Some(entry) = tar_entry(&mut found)? {
            visit(&entry, &mut found)?;
        }
    }
    Ok(())
}

fn tar_entry(found: &mut tar::Entry<'_, impl Read>) -> Result<Option<Entry>, Failure> {
    let mut time_in_extension = None;
    if let Some(extensions) = found.pax_extensions().map_err(|error| broken(&error))? {
        for extension in extensions.filter_map(Result::ok) {
            match extension.key_bytes() {
                b"mtime" => time_in_extension = extension.value().ok().and_then(decimal_time),
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(Failure::new("sparse files in pax archives are not supported"));
                }
                _ => {}
            }
        }
    }
    let header = found.header();
    let target = || {
        let target = found.link_name_bytes().map(|name| name.into_owned());
        target.ok_or_else(|| Failure::new("a link in the archive has no target"))
    };
    let kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            // Archives from before POSIX mark directories by their name only.
            if found.path_bytes().ends_with(b"/") { Kind::Directory } else { Kind::File }
        }
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Link(OsString::from_vec(target()?)),
        EntryType::Link => Kind::Hard(target()?),
        EntryType::Char | EntryType::Block => Kind::Other("a device"),
        EntryType::Fifo => Kind::Other("a fifo"),
        // Comments of `git archive`, names of volumes.
        EntryType::XGlobalHeader => return Ok(None),
        kind if kind.as_byte() == b'V' => return Ok(None),
        _ => Kind::Other("an entry of an unknown kind"),
    };
    let number = |value: io::Result<u64>| value.ok().and_then(|id| u32::try_from(id).ok());
    let name = |name: Option<&[u8]>| {
        name.filter(|name| !name.is_empty()).map(|name| String::from_utf8_lossy(name).into_owned())
    };
    let seconds = header.mtime().ok().and_then(|time| i64::try_from(time).ok());
    Ok(Some(Entry {
        name: found.path_bytes().into_owned(),
        size: if kind == Kind::File { found.size() } else { 0 },
        kind,
        mode: header.mode().map_err(|error| broken(&error))? & 0o7777,
        uid: number(header.uid()),
        gid: number(header.gid()),
        user: name(header.username_bytes()),
        group: name(header.groupname_bytes()),
        time: time_in_extension.or_else(|| seconds.map(|seconds| (seconds, 0))),
    }))
}

/// Seconds with decimals, as pax headers have them.
fn decimal_time(text: &str) -> Option<Time> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: i64 = digits.parse().ok()?;
    if text.starts_with('-') && nanoseconds > 0 {
        return Some((seconds - 1, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

fn each_in_zip(reader: impl Read + Seek, visit: &mut Visit<'_>) -> Result<(), Failure> {
    let failed = |error: zip::result::ZipError| {
        Failure::new(format!("failed to read the zip archive: {error}"))
    };
    let mut archive = zip::ZipArchive::new(reader).map_err(failed)?;
    for index in 0..archive.len() {
        let mut found = archive.by_index(index).map_err(failed)?;
        if found.encrypted() {
            return Err(Failure::new("the zip archive is encrypted"));
        }
        let bits = found.unix_mode();
        let is_directory = found.is_dir();
        let mut entry = Entry {
            name: found.name_raw().to_vec(),
            kind: if is_directory { Kind::Directory } else { Kind::File },
            size: if is_directory { 0 } else { found.size() },
            mode: bits.map_or(if is_directory { 0o755 } else { 0o644 }, |bits| bits & 0o777),
            uid: None,
            gid: None,
            user: None,
            group: None,
            time: zip_time(&found),
        };
        match bits.map(|bits| bits & 0o170_000) {
            Some(0o120_000) => {
                let mut target = Vec::new();
                (&mut found)
                    .take(TARGET_LIMIT_BYTES)
                    .read_to_end(&mut target)
                    .map_err(|error| broken(&error))?;
                entry.kind = Kind::Link(OsString::from_vec(target));
                entry.size = 0;
            }
            Some(0o020_000 | 0o060_000) => entry.kind = Kind::Other("a device"),
            Some(0o010_000) => entry.kind = Kind::Other("a fifo"),
            _ => {}
        }
        visit(&entry, &mut found)?;
    }
    Ok(())
}

/// The exact time if the archive has it, otherwise the local time of the directory entry.
fn zip_time<R: Read>(found: &zip::read::ZipFile<'_, R>) -> Option<Time> {
    for field in found.extra_data_fields() {
        if let zip::ExtraField::ExtendedTimestamp(stamp) = field
            && let Some(seconds) = stamp.mod_time()
        {
            return Some((i64::from(seconds), 0));
        }
    }
    let time = found.last_modified()?;
    let text = format!(
        "{:04}{:02}{:02}{:02}{:02}.{:02}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    crate::modules::files::file::local_time(&text)
}

fn broken(error: &io::Error) -> Failure {
    Failure::new(format!("failed to read the archive: {error}"))
}
