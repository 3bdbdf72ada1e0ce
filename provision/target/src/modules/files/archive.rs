//! `archive`: packs files into an archive, or compresses one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bzip2::read::MultiBzDecoder;
use bzip2::write::BzEncoder;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use provision_protocol::Object;

use crate::disk::attributes::FileArguments;
use crate::disk::paths;
use crate::disk::spool;
use crate::disk::texts::AttributeChange;
use crate::disk::writing::NewContent;
use crate::module::{Context, Failure, Given, Outcome, arguments};
use crate::modules::system::wildcard;
use crate::names::NamesById;

/// What an archive holds, to tell whether it changed: names and checksums.
type Contents = BTreeSet<(String, u64)>;

/// Runs the module.
///
/// # Errors
/// When there is nothing to pack, or the archive can't be written.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let wanted = arguments::<FileArguments>(object)?.resolve(context.check)?;
    let given = Given(object);
    let mut job = Job::new(given, context)?;
    let (missing, targets): (Vec<_>, Vec<_>) =
        job.paths.iter().cloned().partition(|path| !paths::is_present(path));
    let mut state = "absent";
    let mut changed = false;
    if targets.is_empty() {
        if job.dest.exists() {
            state = if is_archive_name(&job.dest) { "archive" } else { "compress" };
        }
    } else if context.check {
        changed = job.must_archive || !job.dest.exists();
    } else {
        let before = File::open(&job.dest).ok().and_then(|file| contents(file, job.format).ok());
        let packed = job.pack(&targets, context)?;
        let after = contents(rewound(&packed)?, job.format).map_err(|error| job.failed(&error))?;
        changed = before.as_ref() != Some(&after);
        if changed {
            let mut packed = rewound(&packed)?;
            let dest = job.dest.clone();
            let writing = NewContent {
                target: &dest,
                wanted: &wanted,
                keep_attributes: true,
                backup: false,
                validate: None,
            };
            writing.write(context, &mut |file, _| {
                io::copy(&mut packed, file)
                    .map(drop)
                    .map_err(|error| Failure::system("write", &dest, &error))
            })?;
        }
        state = match (job.must_archive, missing.is_empty(), job.format) {
            (true, false, _) => "incomplete",
            (false, _, "gz" | "bz2" | "xz") => "compress",
            _ => "archive",
        };
        if given.flag("remove") {
            job.remove_sources(context)?;
        }
    }
    if job.dest.exists() {
        changed |= wanted.apply(&job.dest, context, &mut AttributeChange::default())?;
    }
    let texts = |paths: &[PathBuf]| paths.iter().map(|path| paths::text(path)).collect::<Vec<_>>();
    Ok(Outcome::new(changed)
        .with("archived", texts(&job.packed))
        .with("dest", paths::text(&job.dest))
        .with("dest_state", state)
        .with("arcroot", job.root.as_str())
        .with("missing", texts(&missing))
        .with("expanded_paths", texts(&job.expanded))
        .with("expanded_exclude_paths", texts(&job.excluded)))
}

/// What is packed where.
struct Job<'a> {
    format: &'a str,
    dest: PathBuf,
    must_archive: bool,
    expanded: Vec<PathBuf>,
    excluded: Vec<PathBuf>,
    paths: Vec<PathBuf>,
    /// What names in the archive don't begin with.
    root: String,
    patterns: Vec<&'a str>,
    packed: Vec<PathBuf>,
    names: NamesById,
}

impl<'a> Job<'a> {
    fn new(given: Given<'a>, context: &Context<'_>) -> Result<Self, Failure> {
        let (expanded, has_patterns) = expand(&given.words("path"), context);
        let (excluded, _) = expand(&given.words("exclude_path"), context);
        let sources: BTreeSet<&PathBuf> =
            expanded.iter().filter(|path| !excluded.contains(path)).collect();
        let sources: Vec<PathBuf> = sources.into_iter().cloned().collect();
        let joined = given.words("path").join(", ");
        let Some(first) = sources.first() else {
            let message = "Error, no source paths were found";
            return Err(Failure::new(message).with("path", joined));
        };
        let must_archive =
            given.flag("force_archive") || has_patterns || first.is_dir() || sources.len() > 1;
        let format = given.word("format");
        let dest = match given.text("dest").map(|dest| paths::expand(context, dest)) {
            Some(dest) => dest,
            None if must_archive => {
                let message = "Error, must specify \"dest\" when archiving multiple files or trees";
                return Err(Failure::new(message).with("path", joined));
            }
            None => PathBuf::from(format!("{}.{format}", first.display())),
        };
        let is_inside = |path: &PathBuf| path.is_dir() && dest.starts_with(path);
        if given.flag("remove") && sources.iter().any(is_inside) {
            let message = "Error, created archive can not be contained in source paths when \
                           remove=true";
            return Err(Failure::new(message).with("path", joined));
        }
        Ok(Job {
            format,
            dest,
            must_archive,
            root: common_folder(&sources),
            expanded,
            excluded,
            paths: sources,
            patterns: given.words("exclusion_patterns"),
            packed: Vec::new(),
            names: NamesById::default(),
        })
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let format = match (self.must_archive, self.format) {
            (true, "gz" | "bz2" | "xz") => format!("tar.{}", self.format),
            _ => self.format.to_owned(),
        };
        let dest = self.dest.display();
        Failure::new(format!("Error when writing {format} archive at {dest}: {error}"))
    }

    /// Packs into a file without a name.
    fn pack(&mut self, targets: &[PathBuf], context: &Context<'_>) -> Result<File, Failure> {
        let plain = matches!(self.format, "tar" | "zip");
        let mut entries = Vec::new();
        for target in targets {
            if self.must_archive && target.is_dir() {
                walk(target, &mut entries).map_err(|error| self.failed(&error))?;
            } else {
                entries.push(target.clone());
            }
        }
        let spooled =
            spool::nameless_file(&spool::folders()).map_err(|error| self.failed(&error))?;
        let packed = if !self.must_archive && !plain {
            self.compress(&entries, spooled, context)
        } else if self.format == "zip" {
            self.zip(&entries, spooled)
        } else {
            self.tar(&entries, spooled, context)
        };
        packed.map_err(|error| self.failed(&error))
    }

    /// The name in the archive; `None` for what isn't wanted there.
    fn name(&self, path: &Path) -> Option<String> {
        let text = paths::text(path);
        let name = text.strip_prefix(&self.root).unwrap_or(&text).trim_start_matches('/');
        // Zip archives look at the whole path, the others at the name, as Ansible does.
        let looked_at = if self.format == "zip" { text.as_str() } else { name };
        let is_excluded = self.patterns.iter().any(|pattern| wildcard::matches(pattern, looked_at));
        (!is_excluded && !name.is_empty() && path != self.dest).then(|| name.to_owned())
    }

    fn compress(
        &mut self,
        entries: &[PathBuf],
        into: File,
        context: &Context<'_>,
    ) -> io::Result<File> {
        let Some(path) = entries.first() else { return Ok(into) };
        let mut source = File::open(path)?;
        let kept = into.try_clone()?;
        self.through(into, context, |_, writer| io::copy(&mut source, writer).map(drop))?;
        self.packed.push(path.clone());
        Ok(kept)
    }

    fn tar(&mut self, entries: &[PathBuf], into: File, context: &Context<'_>) -> io::Result<File> {
        let kept = into.try_clone()?;
        self.through(into, context, |job, writer| {
            let mut builder = tar::Builder::new(writer);
            for path in entries {
                let Some(name) = job.name(path) else { continue };
                job.add(&mut builder, path, &name)?;
                job.packed.push(path.clone());
            }
            builder.finish()
        })?;
        Ok(kept)
    }

    /// Writes through the compressor of the format.
    fn through(
        &mut self,
        into: File,
        context: &Context<'_>,
        fill: impl FnOnce(&mut Self, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut into = BufWriter::new(into);
        match self.format {
            "gz" => {
                let mut encoder = GzEncoder::new(&mut into, flate2::Compression::new(9));
                fill(self, &mut encoder)?;
                encoder.finish()?;
            }
            "bz2" => {
                let mut encoder = BzEncoder::new(&mut into, bzip2::Compression::best());
                fill(self, &mut encoder)?;
                encoder.finish()?;
            }
            "xz" => {
                let plain = std::env::temp_dir().join(format!("archive-{}", std::process::id()));
                let made = self.xz(&plain, context, fill, &mut into);
                for path in [plain.clone(), plain.with_extension("xz")] {
                    // Most of the time it is gone already.
                    let _ = fs::remove_file(path);
                }
                made?;
            }
            _ => fill(self, &mut into)?,
        }
        into.flush()
    }

    /// The host's own xz compresses: the crate that reads xz writes it without compression.
    fn xz(
        &mut self,
        plain: &Path,
        context: &Context<'_>,
        fill: impl FnOnce(&mut Self, &mut dyn Write) -> io::Result<()>,
        into: &mut dyn Write,
    ) -> io::Result<()> {
        use crate::modules::system::process::Run;
        let mut file = BufWriter::new(File::options().write(true).create_new(true).open(plain)?);
        fill(self, &mut file)?;
        file.flush()?;
        let failed = |failure: Failure| io::Error::other(failure.message);
        let run = Run::tool("xz").map_err(failed)?.arguments(["--compress", "--force"]);
        run.argument(plain).succeed(context).map_err(failed)?;
        io::copy(&mut File::open(format!("{}.xz", plain.display()))?, into).map(drop)
    }

    fn add(
        &mut self,
        builder: &mut tar::Builder<&mut dyn Write>,
        path: &Path,
        name: &str,
    ) -> io::Result<()> {
        let data = fs::symlink_metadata(path)?;
        let mut header = tar::Header::new_gnu();
        header.set_metadata(&data);
        // Names that don't fit are left out: the ids are there.
        let user = self.names.user(data.uid()).unwrap_or_default();
        let _ = header.set_username(user);
        let group = self.names.group(data.gid()).unwrap_or_default();
        let _ = header.set_groupname(group);
        if data.is_symlink() {
            header.set_size(0);
            return builder.append_link(&mut header, name, fs::read_link(path)?);
        }
        if data.is_file() {
            let file = File::open(path)?;
            return builder.append_data(&mut header, name, file.take(data.len()));
        }
        header.set_size(0);
        let name = if data.is_dir() { format!("{name}/") } else { name.to_owned() };
        builder.append_data(&mut header, name, io::empty())
    }

    fn zip(&mut self, entries: &[PathBuf], into: File) -> io::Result<File> {
        let kept = into.try_clone()?;
        let mut writer = zip::ZipWriter::new(into);
        for path in entries {
            let Some(name) = self.name(path) else { continue };
            let data = fs::metadata(path)?;
            let options = zip::write::SimpleFileOptions::default()
                .compression_method(zip::CompressionMethod::Deflated)
                .large_file(data.len() > u64::from(u32::MAX))
                .unix_permissions(data.mode() & 0o7777);
            if data.is_dir() {
                writer.add_directory(name, options).map_err(io::Error::other)?;
            } else {
                writer.start_file(name, options).map_err(io::Error::other)?;
                io::copy(&mut File::open(path)?, &mut writer)?;
            }
            self.packed.push(path.clone());
        }
        writer.finish().map_err(io::Error::other)?;
        Ok(kept)
    }

    /// Takes away what was packed.
    fn remove_sources(&self, context: &mut Context<'_>) -> Result<(), Failure> {
        context.about_to_change()?;
        for path in self.packed.iter().chain(&self.paths) {
            let Ok(data) = fs::symlink_metadata(path) else { continue };
            let removed =
                if data.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            removed.map_err(|error| Failure::system("remove", path, &error))?;
        }
        Ok(())
    }
}

fn expand(given: &[&str], context: &Context<'_>) -> (Vec<PathBuf>, bool) {
    let mut paths = Vec::new();
    let mut has_patterns = false;
    for text in given {
        let path = paths::expand(context, text);
        if text.contains(['*', '?']) {
            has_patterns = true;
            paths.extend(wildcard::paths(&path, Path::new("/")));
        } else {
            paths.push(path);
        }
    }
    (paths, has_patterns)
}

/// The folder that all paths are in, with a slash at its end.
fn common_folder(paths: &[PathBuf]) -> String {
    let folder = |path: &PathBuf| {
        let text = paths::text(path);
        text.rfind('/').map_or(String::new(), |at| text.get(..=at).unwrap_or_default().to_owned())
    };
    let mut folders = paths.iter().map(folder);
    let Some(mut common) = folders.next() else { return String::new() };
    for folder in folders {
        while !folder.starts_with(&common) {
            common.pop();
            let end = common.rfind('/').map_or(0, |at| at + 1);
            common.truncate(end);
            if common.is_empty() {
                return common;
            }
        }
    }
    common
}

/// All below a folder, without the folder itself, as Ansible goes through it.
fn walk(folder: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    // Folders come first, as with Python's os.walk.
    entries.sort_by_key(|entry| (!paths::is_directory(entry), entry.clone()));
    into.extend(entries.iter().cloned());
    for entry in entries {
        if paths::is_directory(&entry) && !paths::is_link(&entry) {
            walk(&entry, into)?;
        }
    }
    Ok(())
}

fn is_archive_name(path: &Path) -> bool {
    let name = paths::text(path).to_lowercase();
    [".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tbz2", ".zip"]
        .iter()
        .any(|end| name.ends_with(end))
}

fn rewound(file: &File) -> Result<File, Failure> {
    let again = |file: &File| {
        let mut file = file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    };
    again(file)
        .map_err(|error: io::Error| Failure::new(format!("failed to read an archive: {error}")))
}

/// Names and checksums of an archive's headers; of a compressed file that is no archive, the
/// checksum of what is in it.
fn contents(file: File, format: &str) -> io::Result<Contents> {
    if format == "zip" {
        let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(io::Error::other)?;
        let count = archive.len();
        return (0..count)
            .map(|at| {
                let entry = archive.by_index_raw(at).map_err(io::Error::other)?;
                let name = entry.name().map_err(io::Error::other)?.into_owned();
                Ok((name, u64::from(entry.crc32())))
            })
            .collect();
    }
    let mut unpacked = unpacked(file, format)?;
    let mut head = Vec::new();
    (&mut unpacked).take(512).read_to_end(&mut head)?;
    let is_archive = head.get(257..262) == Some(b"ustar");
    let mut all = io::Cursor::new(head).chain(unpacked);
    if is_archive {
        return tar::Archive::new(all)
            .entries()?
            .map(|entry| {
                let entry = entry?;
                let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                // The header's own checksum is a mere sum: a size and a time may cancel out.
                let mut digest = flate2::Crc::new();
                digest.update(entry.header().as_bytes());
                Ok((name, u64::from(digest.sum())))
            })
            .collect();
    }
    let mut digest = flate2::Crc::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match all.read(&mut piece)? {
            0 => return Ok([(String::new(), u64::from(digest.sum()))].into()),
            read => digest.update(piece.get(..read).unwrap_or_default()),
        }
    }
}

fn unpacked(file: File, format: &str) -> io::Result<Box<dyn Read>> {
    let mut file = BufReader::new(file);
    Ok(match format {
        "gz" => Box::new(MultiGzDecoder::new(file)),
        "bz2" => Box::new(MultiBzDecoder::new(file)),
        "xz" => {
            let mut spooled = spool::nameless_file(&spool::folders())?;
            let mut writer = BufWriter::new(&spooled);
            lzma_rs::xz_decompress(&mut file, &mut writer)
                .map_err(|error| io::Error::other(format!("{error:?}")))?;
            writer.flush()?;
            drop(writer);
            spooled.seek(SeekFrom::Start(0))?;
            Box::new(BufReader::new(spooled))
        }
        _ => Box::new(file),
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::{Value, json};

    use super::*;
    use crate::modules::system::testing::context;

    fn call(given: Value) -> Outcome {
        context().call_named("archive", given).unwrap()
    }

    #[test]
    fn folders_have_a_common_one() {
        let of =
            |paths: &[&str]| common_folder(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(of(&["/a/b/c", "/a/bc/d"]), "/a/");
        assert_eq!(of(&["/a/b"]), "/a/");
        assert_eq!(of(&["/a/b/c", "/x"]), "/");
    }

    #[test]
    fn archives_hold_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::create_dir_all(source.join("deep")).unwrap();
        fs::write(source.join("a.txt"), "text\n").unwrap();
        fs::write(source.join("deep/b.log"), "log\n").unwrap();
        std::os::unix::fs::symlink("a.txt", source.join("link")).unwrap();
        for format in ["tar", "gz", "bz2", "xz", "zip"] {
            let dest = folder.path().join(format!("out.{format}"));
            let given = json!({"path": source, "dest": dest, "format": format,
                "exclusion_patterns": "*.log", "mode": "0640"});
            let done = call(given.clone());
            assert!(done.changed && done.values["dest_state"] == "archive", "{format}");
            assert!(!call(given.clone()).changed, "{format}");
            let out = folder.path().join(format!("unpacked-{format}"));
            fs::create_dir(&out).unwrap();
            let given = json!({"src": dest, "dest": out, "remote_src": true});
            let src = crate::modules::files::unarchive::run;
            assert!(context().call(src, given).unwrap().changed, "{format}");
            assert_eq!(fs::read_to_string(out.join("source/a.txt")).unwrap(), "text\n");
            assert!(!out.join("source/deep/b.log").exists() && out.join("source/deep").is_dir());
        }
        fs::write(source.join("a.txt"), "other text\n").unwrap();
        let dest = folder.path().join("out.gz");
        let again = json!({"path": source, "dest": dest, "exclusion_patterns": "*.log"});
        assert!(call(again).changed);
        let listed = Command::new("tar").arg("-tzf").arg(&dest).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert_eq!(listed, "source/deep/\nsource/a.txt\nsource/link\n");
    }

    #[test]
    fn one_file_is_compressed_and_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("one");
        fs::write(&file, "one\n").unwrap();
        let done = call(json!({"path": file, "remove": true}));
        assert_eq!(done.values["dest_state"], "compress");
        assert!(!file.exists());
        let mut text = String::new();
        let packed = File::open(folder.path().join("one.gz")).unwrap();
        MultiGzDecoder::new(packed).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\n");
        let gone = call(json!({"path": file}));
        assert!(!gone.changed && gone.values["dest_state"] == "compress");
    }

    #[test]
    fn what_cannot_be_packed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |given: Value| context().call_named("archive", given).unwrap_err().message;
        assert!(refused(json!({"path": folder.path()})).contains("must specify \"dest\""));
        let inside = folder.path().join("x.tgz");
        let given = json!({"path": folder.path(), "dest": inside, "remove": true});
        assert!(refused(given).contains("can not be contained"));
        let given = json!({"path": "/no/such/*", "dest": inside});
        assert!(refused(given).contains("no source paths"));
    }
}
