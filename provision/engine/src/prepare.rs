//! Local files and templates of a task become contents that the host may ask for.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use provision_playbook::files::{FileKind, Files};
use provision_protocol::modules::{ArgumentError, ModuleSpec, Runs};
use provision_protocol::{ContentReference, Object, TreeEntry};
use provision_template::{Now, TemplateOptions, Value};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::disk::Disk;
use crate::evaluate::{Evaluator, Stop};
use crate::{outside, synchronize};

/// A content and where its bytes are.
#[derive(Debug, Clone)]
pub struct Content {
    /// Digest and size, as the call names it.
    pub reference: ContentReference,
    /// Where the bytes are.
    pub source: ContentSource,
}

/// Where the bytes of a content are.
#[derive(Debug, Clone)]
pub enum ContentSource {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a file of the controller.
    File(PathBuf),
}

/// A module call whose local inputs are resolved.
pub struct Prepared {
    /// Module that the host runs.
    pub module: &'static ModuleSpec,
    /// Its arguments.
    pub arguments: Object,
    /// Contents it may ask for.
    pub contents: Vec<Content>,
    /// Values to add to the result.
    pub result_extra: Object,
}

/// Resolves local inputs of a call.
///
/// # Errors
/// When a file is missing or a template can't be rendered (yet).
pub fn prepare(
    evaluator: &Evaluator<'_>,
    module: &'static ModuleSpec,
    arguments: Object,
) -> Result<Prepared, Stop> {
    let mut prepared =
        Prepared { module, arguments, contents: Vec::new(), result_extra: Object::new() };
    if module.runs != Runs::Prepared {
        return Ok(prepared);
    }
    match module.name {
        "template" => template(evaluator, &mut prepared)?,
        "copy" => copy(evaluator, &mut prepared)?,
        "assemble" => assemble(evaluator, &mut prepared)?,
        "script" => script(evaluator, &mut prepared)?,
        "uri" => uri(evaluator, &mut prepared)?,
        synchronize::NAME => {
            let is_here = evaluator.delegate()?.is_none();
            synchronize::find_local_side(evaluator, &mut prepared, is_here);
        }
        "_own" => own_program(evaluator, &mut prepared)?,
        _ => from_controller(evaluator, &mut prepared)?,
    }
    Ok(prepared)
}

/// A program of the user's own: the task's, or the one that a template names.
fn own_program(evaluator: &Evaluator<'_>, prepared: &mut Prepared) -> Result<(), Stop> {
    match evaluator.own_module()? {
        Some(own) => crate::own::prepare(evaluator, &own, prepared),
        None => Err(Stop::failed("the program is gone")),
    }
}

fn argument<'a>(arguments: &'a Object, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Json::as_str)
}

fn flag(arguments: &Object, name: &str) -> Option<bool> {
    arguments.get(name).and_then(Json::as_bool)
}

fn locate(evaluator: &Evaluator<'_>, subfolder: &str, name: &str) -> Result<PathBuf, Stop> {
    outside::find(&evaluator.view, subfolder, name)
        .map_err(|tried| Stop::failed(outside::not_found(name, &tried)))
}

fn attach_bytes(prepared: &mut Prepared, bytes: Vec<u8>) {
    let reference =
        ContentReference { sha256: hex::encode(Sha256::digest(&bytes)), size: bytes.len() as u64 };
    attach(prepared, Content { reference, source: ContentSource::Bytes(bytes.into()) });
}

fn attach(prepared: &mut Prepared, content: Content) {
    prepared.arguments.insert("_content".into(), reference_of(&content));
    prepared.contents.push(content);
}

fn reference_of(content: &Content) -> Json {
    serde_json::json!({ "sha256": content.reference.sha256, "size": content.reference.size })
}

/// What is wrong with arguments, in the words of Ansible's modules, and of its own part of them that
/// looks at some arguments before.
pub fn complaint(module: &ModuleSpec, errors: &[ArgumentError]) -> String {
    let lacks = |wanted: &str| {
        errors
            .iter()
            .any(|error| matches!(error, ArgumentError::Missing { name, .. } if *name == wanted))
    };
    let unknown: Vec<&str> = errors
        .iter()
        .filter_map(|error| match error {
            ArgumentError::Unknown { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let has_no_source = errors.iter().any(|error| matches!(error, ArgumentError::OneOf { .. }));
    let is_doubled = errors.iter().any(|error| matches!(error, ArgumentError::Exclusive { .. }));
    match module.name {
        "copy" if has_no_source => "src (or content) is required".to_owned(),
        "copy" if lacks("dest") => "dest is required".to_owned(),
        "copy" if is_doubled => "src and content are mutually exclusive".to_owned(),
        "reboot" | "wait_for_connection" if !unknown.is_empty() => {
            format!("Invalid options for {}: {}", module.name, unknown.join(", "))
        }
        "template" if lacks("src") || lacks("dest") => "src and dest are required".to_owned(),
        _ => {
            let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
            messages.join("; ")
        }
    }
}

fn base_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn template(evaluator: &Evaluator<'_>, prepared: &mut Prepared) -> Result<(), Stop> {
    let source = argument(&prepared.arguments, "src").unwrap_or_default().to_owned();
    let path = locate(evaluator, "templates", &source)?;
    let text = evaluator.view.world.files.read_plain(&path).map_err(Stop::failed)?;
    let mut options = TemplateOptions::default();
    let take = |name: &str, into: &mut String, arguments: &mut Object| {
        if let Some(Json::String(value)) = arguments.shift_remove(name) {
            *into = value;
        }
    };
    let arguments = &mut prepared.arguments;
    take("newline_sequence", &mut options.newline_sequence, arguments);
    options.newline_sequence = options.newline_sequence.replace("\\n", "\n").replace("\\r", "\r");
    take("variable_start_string", &mut options.variable_start_string, arguments);
    take("variable_end_string", &mut options.variable_end_string, arguments);
    take("block_start_string", &mut options.block_start_string, arguments);
    take("block_end_string", &mut options.block_end_string, arguments);
    take("comment_start_string", &mut options.comment_start_string, arguments);
    take("comment_end_string", &mut options.comment_end_string, arguments);
    if let Some(value) = flag(arguments, "trim_blocks") {
        options.trim_blocks = value;
    }
    if let Some(value) = flag(arguments, "lstrip_blocks") {
        options.lstrip_blocks = value;
    }
    let encoding = argument(arguments, "output_encoding").unwrap_or_default().to_owned();
    for name in ["trim_blocks", "lstrip_blocks", "output_encoding", "src"] {
        arguments.shift_remove(name);
    }
    let mut view = evaluator.view.clone();
    let destination = argument(arguments, "dest").unwrap_or_default();
    for (name, value) in template_variables(&path, &source, destination)? {
        view.local.set_data(name, value);
    }
    let name = path.display().to_string();
    let outside = outside::Outside::of(&view);
    let rendered =
        view.world.engine.render_file(&name, &text, None, &options, &view, &outside).map_err(
            |error| match error {
                provision_template::TemplateError::Pending(token) => Stop::Pending(token),
                other => Stop::failed(format!("{name}: {}", other.message())),
            },
        )?;
    name_source(prepared, &path)?;
    let bytes = encodings::encode(&rendered, &encoding)
        .map_err(|reason| Stop::failed(format!("{name}: {reason}")))?;
    attach_bytes(prepared, bytes);
    Ok(())
}

/// Variables that Ansible gives to templates.
fn template_variables(
    path: &Path,
    source: &str,
    destination: &str,
) -> Result<Vec<(&'static str, Value)>, Stop> {
    let full = path.display().to_string();
    let data =
        path.metadata().map_err(|error| Stop::failed(format!("failed to read {full}: {error}")))?;
    let moment = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        provision_template::moment(Now {
            unix_seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            microseconds: since.subsec_micros(),
            offset_seconds: 0,
        })
    };
    Ok(vec![
        ("ansible_managed", "Ansible managed".into()),
        ("template_host", host_name().into()),
        ("template_uid", owner_name(data.uid()).into()),
        ("template_path", source.into()),
        ("template_fullpath", full.into()),
        ("template_destpath", destination.into()),
        ("template_mtime", moment(data.modified().unwrap_or(UNIX_EPOCH))?),
        ("template_run_date", moment(SystemTime::now())?),
    ])
}

/// The user of this id on the controller, or the id.
fn owner_name(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| uid.to_string())
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// The local file's path and mode: for `src` in results and `mode: preserve`.
fn name_source(prepared: &mut Prepared, path: &Path) -> Result<(), Stop> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = path
        .metadata()
        .map_err(|error| Stop::failed(format!("failed to read {}: {error}", path.display())))?;
    let mode = metadata.permissions().mode() & 0o7777;
    prepared.arguments.insert("_source".into(), path.display().to_string().into());
    prepared.arguments.insert("_source_mode".into(), mode.into());
    prepared.arguments.insert("_original_basename".into(), base_name(path).into());
    Ok(())
}

fn copy(evaluator: &Evaluator<'_>, prepared: &mut Prepared) -> Result<(), Stop> {
    if flag(&prepared.arguments, "remote_src") == Some(true) {
        return Ok(());
    }
    if let Some(content) = prepared.arguments.shift_remove("content") {
        let bytes = match content {
            Json::String(text) => text.into_bytes(),
            // Ansible writes containers as JSON.
            other => {
                let value = provision_template::from_json(&other);
                let text = match other {
                    Json::Array(_) | Json::Object(_) => provision_template::json_text(&value)
                        .map_err(|error| Stop::failed(error.to_string()))?,
                    _ => provision_template::text_of(&value),
                };
                text.into_bytes()
            }
        };
        attach_bytes(prepared, bytes);
        return Ok(());
    }
    let source = argument(&prepared.arguments, "src").filter(|source| !source.is_empty());
    let Some(source) = source.map(str::to_owned) else {
        return Err(Stop::failed("src (or content) is required"));
    };
    let path = locate(evaluator, "files", &source)?;
    prepared.arguments.shift_remove("src");
    let reading = take_reading(evaluator, prepared);
    if evaluator.view.world.files.kind(&path) == Some(FileKind::Folder) {
        let follows = flag(&prepared.arguments, "local_follow").unwrap_or(true);
        let tree = Tree { reading, follows };
        return copy_tree(prepared, &path, source.ends_with('/'), tree);
    }
    name_source(prepared, &path)?;
    let content = file_content(&path, reading)?;
    attach(prepared, content);
    Ok(())
}

/// How local files are read.
#[derive(Clone, Copy)]
struct Reading<'a> {
    disk: &'a Disk,
    /// Encrypted files are opened, unless the task says `decrypt: false`.
    decrypts: bool,
}

fn take_reading<'a>(evaluator: &'a Evaluator<'_>, prepared: &mut Prepared) -> Reading<'a> {
    let decrypts = flag(&prepared.arguments, "decrypt").unwrap_or(true);
    prepared.arguments.shift_remove("decrypt");
    Reading { disk: evaluator.view.world.files.as_ref(), decrypts }
}

fn file_content(path: &Path, reading: Reading<'_>) -> Result<Content, Stop> {
    if reading.decrypts
        && let Some(opened) = reading.disk.decrypted(path).map_err(Stop::failed)?
    {
        return Ok(crate::contents::of_bytes(opened.expose().to_vec()));
    }
    let failed =
        |error: std::io::Error| Stop::failed(format!("failed to read {}: {error}", path.display()));
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size <= IN_MEMORY_BYTES {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes).map_err(failed)?;
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let reference = ContentReference { sha256, size: bytes.len() as u64 };
        return Ok(Content { reference, source: ContentSource::Bytes(bytes.into()) });
    }
    let reference = reading.disk.digests().of_file(path).map_err(failed)?;
    Ok(Content { reference, source: ContentSource::File(path.to_owned()) })
}

/// Files up to this size are kept in memory while their calls are under way, in bytes: most
/// configuration files; larger ones are read again when a host asks for them.
const IN_MEMORY_BYTES: u64 = 256 << 10;

/// Entries that one `copy` of a folder may have: a slip such as `src: /` ends with an error
/// instead of reading the controller's disk.
const TREE_ENTRIES: usize = 100_000;

/// How a local folder is read.
#[derive(Clone, Copy)]
struct Tree<'a> {
    reading: Reading<'a>,
    /// Links become what they lead to, where that is possible.
    follows: bool,
}

fn copy_tree(
    prepared: &mut Prepared,
    folder: &Path,
    contents_only: bool,
    tree: Tree<'_>,
) -> Result<(), Stop> {
    let mut entries = Vec::new();
    let prefix = if contents_only { PathBuf::new() } else { PathBuf::from(base_name(folder)) };
    let mut within = Vec::new();
    walk(folder, &prefix, &mut within, &mut entries, &mut prepared.contents, tree)?;
    if !contents_only {
        entries.insert(0, tree_entry(&prefix, "directory", 0o755));
    }
    let tree = serde_json::to_value(&entries).map_err(|error| Stop::failed(error.to_string()))?;
    prepared.arguments.insert("_tree".into(), tree);
    prepared.result_extra.insert("src".into(), folder.display().to_string().into());
    Ok(())
}

fn tree_entry(path: &Path, kind: &str, mode: u32) -> TreeEntry {
    TreeEntry {
        path: path.display().to_string(),
        kind: kind.to_owned(),
        content: None,
        target: None,
        mode,
    }
}

/// Adds what is in a folder. `within`: device and inode of the folders around it, so that a link
/// back to one of them stays a link, as in Ansible.
fn walk(
    folder: &Path,
    prefix: &Path,
    within: &mut Vec<(u64, u64)>,
    entries: &mut Vec<TreeEntry>,
    contents: &mut Vec<Content>,
    tree: Tree<'_>,
) -> Result<(), Stop> {
    let failed = |error: std::io::Error| {
        Stop::failed(format!("failed to read {}: {error}", folder.display()))
    };
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?
        .into_iter()
        .map(|entry| entry.file_name())
        .collect();
    // Files come before folders, as Ansible walks: of several that can't be read the same is told.
    names.sort_by_cached_key(|name| {
        let is_folder =
            folder.join(name).symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        (is_folder, name.clone())
    });
    let own = folder.metadata().map_err(failed)?;
    within.push((own.dev(), own.ino()));
    for name in names {
        if entries.len() >= TREE_ENTRIES {
            return Err(Stop::failed(format!(
                "{} has more than {TREE_ENTRIES} entries; copy an archive instead",
                folder.display()
            )));
        }
        let (path, relative) = (folder.join(&name), prefix.join(&name));
        let mut metadata = path.symlink_metadata().map_err(failed)?;
        if metadata.is_symlink() {
            let meant = path
                .metadata()
                .ok()
                .filter(|meant| tree.follows && !within.contains(&(meant.dev(), meant.ino())));
            let Some(meant) = meant else {
                let mut entry = tree_entry(&relative, "link", 0o777);
                let target = std::fs::read_link(&path).map_err(failed)?;
                entry.target = Some(target.display().to_string());
                entries.push(entry);
                continue;
            };
            metadata = meant;
        }
        let mode = metadata.mode() & 0o7777;
        if metadata.is_dir() {
            entries.push(tree_entry(&relative, "directory", mode));
            walk(&path, &relative, within, entries, contents, tree)?;
        } else {
            let content = file_content(&path, tree.reading)?;
            let mut entry = tree_entry(&relative, "file", mode);
            entry.content = Some(content.reference.clone());
            entries.push(entry);
            contents.push(content);
        }
    }
    within.pop();
    Ok(())
}

/// The pieces travel; the host puts them together.
fn assemble(evaluator: &Evaluator<'_>, prepared: &mut Prepared) -> Result<(), Stop> {
    if flag(&prepared.arguments, "remote_src") != Some(false) {
        return Ok(());
    }
    let source = argument(&prepared.arguments, "src").unwrap_or_default().to_owned();
    let folder = locate(evaluator, "files", &source)?;
    prepared.arguments.shift_remove("src");
    let reading = take_reading(evaluator, prepared);
    copy_tree(prepared, &folder, true, Tree { reading, follows: true })
}

fn script(evaluator: &Evaluator<'_>, prepared: &mut Prepared) -> Result<(), Stop> {
    let command = argument(&prepared.arguments, "cmd").unwrap_or_default().to_owned();
    let words = crate::words::split(&command).map_err(Stop::failed)?;
    let Some(name) = words.first() else {
        return Err(Stop::failed("script needs the path of a local script"));
    };
    let path = locate(evaluator, "files", name)?;
    let reading = take_reading(evaluator, prepared);
    let content = file_content(&path, reading)?;
    attach(prepared, content);
    Ok(())
}

/// The body is a local file, or has local files as fields.
fn uri(evaluator: &Evaluator<'_>, prepared: &mut Prepared) -> Result<(), Stop> {
    if flag(&prepared.arguments, "remote_src") == Some(true) {
        return Ok(());
    }
    if prepared.arguments.contains_key("src") {
        return from_controller(evaluator, prepared);
    }
    if argument(&prepared.arguments, "body_format") != Some("form-multipart") {
        return Ok(());
    }
    let Some(body) = prepared.arguments.get_mut("body") else { return Ok(()) };
    let reading = Reading { disk: evaluator.view.world.files.as_ref(), decrypts: false };
    let mut read = |name: &str| file_content(&locate(evaluator, "files", name)?, reading);
    prepared.contents = multipart_files(body, &mut read)?;
    Ok(())
}

/// Fields that name a file get its content.
fn multipart_files(
    body: &mut Json,
    read: &mut dyn FnMut(&str) -> Result<Content, Stop>,
) -> Result<Vec<Content>, Stop> {
    let mut contents = Vec::new();
    let Some(fields) = body.as_object_mut() else { return Ok(contents) };
    for field in fields.values_mut().filter_map(Json::as_object_mut) {
        let has_content = field.get("content").is_some_and(|content| *content != "");
        let name = field.get("filename").and_then(Json::as_str).unwrap_or_default();
        if has_content || name.is_empty() {
            continue;
        }
        let content = read(name)?;
        field.insert("_content".into(), reference_of(&content));
        contents.push(content);
    }
    Ok(contents)
}

/// `unarchive` and other modules whose `src` is a local file unless `remote_src`.
fn from_controller(evaluator: &Evaluator<'_>, prepared: &mut Prepared) -> Result<(), Stop> {
    let remote = flag(&prepared.arguments, "remote_src") == Some(true)
        || flag(&prepared.arguments, "copy") == Some(false)
        || prepared.module.name == "fetch";
    let Some(source) = argument(&prepared.arguments, "src").map(str::to_owned) else {
        return Ok(());
    };
    if remote {
        return Ok(());
    }
    let path = locate(evaluator, "files", &source)?;
    prepared.arguments.insert("_original_basename".into(), base_name(&path).into());
    prepared.arguments.insert("_source".into(), path.display().to_string().into());
    prepared.arguments.shift_remove("src");
    let reading = take_reading(evaluator, prepared);
    let content = file_content(&path, reading)?;
    attach(prepared, content);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_a_form_bring_their_files() {
        let mut body = json!({
            "text": "plain",
            "file": {"filename": "a.txt"},
            "inline": {"filename": "b.txt", "content": "b"},
        });
        let mut asked = Vec::new();
        let mut read = |name: &str| {
            asked.push(name.to_owned());
            let reference = ContentReference { sha256: "d".to_owned(), size: 3 };
            Ok(Content { reference, source: ContentSource::Bytes(Arc::from(*b"abc")) })
        };
        let contents = multipart_files(&mut body, &mut read).unwrap_or_default();
        assert_eq!((asked, contents.len()), (vec!["a.txt".to_owned()], 1));
        let expected = json!({"filename": "a.txt", "_content": {"sha256": "d", "size": 3}});
        assert_eq!(body["file"], expected);
        assert_eq!(body["inline"], json!({"filename": "b.txt", "content": "b"}));
        let none = multipart_files(&mut json!("text"), &mut |_| Err(Stop::failed("no"))).is_ok();
        assert!(none);
    }
}
