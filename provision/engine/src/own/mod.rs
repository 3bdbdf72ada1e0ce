//! Modules of the user's own: from a program on the controller to a call that the host can run.
//!
//! The kinds and how each gets its arguments are those of Ansible's "Developing modules": Python
//! on `ansible.module_utils` travels as an archive with our own package of that name
//! (`provision/engine/python`), other programs as they are.

mod archive;
mod files;
mod kind;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use provision_playbook::own::{OwnModule, OwnPlaces};
use provision_protocol::{ContentReference, Object};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::evaluate::{Evaluator, Stop};
use crate::prepare::{Content, ContentSource, Prepared};

pub use archive::of_plugins as plugin_archive;
pub use kind::Kind;

/// The version that modules are told: what they may ask for is what that release has.
const ANSIBLE_VERSION: &str = "2.18.19";

/// A program ready to be sent.
#[derive(Debug)]
struct Package {
    kind: Kind,
    /// The words of its first line behind `#!`.
    interpreter: Vec<String>,
    /// The name that Python imports it by, or that of the file.
    entry: String,
    content: Content,
}

/// A program, and when its file was changed last.
type Known = (Option<SystemTime>, Arc<Package>);

/// Programs that were read before.
#[derive(Debug, Default)]
pub struct Packages {
    known: Mutex<HashMap<PathBuf, Known>>,
}

impl Packages {
    fn of(&self, own: &OwnModule) -> Result<Arc<Package>, String> {
        let failed =
            |error: std::io::Error| format!("failed to read {}: {error}", own.path.display());
        let changed = own.path.metadata().map_err(failed)?.modified().ok();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, package)) = known.get(&own.path)
            && *at == changed
        {
            return Ok(package.clone());
        }
        let bytes = std::fs::read(&own.path).map_err(failed)?;
        let package = Arc::new(package(own, bytes)?);
        known.insert(own.path.clone(), (changed, package.clone()));
        Ok(package)
    }
}

fn package(own: &OwnModule, bytes: Vec<u8>) -> Result<Package, String> {
    let kind = Kind::of(&bytes);
    let interpreter = kind::interpreter(&bytes);
    let shown = own.path.display();
    if kind != Kind::Binary && kind != Kind::Python && interpreter.is_empty() {
        return Err(format!(
            "{shown} has no interpreter: its first line must be `#!` and a program \
             (module ({}) is missing interpreter line)",
            own.name
        ));
    }
    let file = own.path.file_name().map(|name| name.to_string_lossy().into_owned());
    let (entry, bytes) = match kind {
        Kind::Python => archive::of(own, &bytes)?,
        _ => (file.unwrap_or_default(), bytes),
    };
    let reference =
        ContentReference { sha256: hex::encode(Sha256::digest(&bytes)), size: bytes.len() as u64 };
    let content = Content { reference, source: ContentSource::Bytes(bytes.into()) };
    Ok(Package { kind, interpreter, entry, content })
}

/// The program of the user's own that a name means on this host's behalf: `action: "{{ name }}"`
/// and lists of modules that gather facts.
pub fn find(evaluator: &Evaluator<'_>, name: &str) -> Option<OwnModule> {
    use provision_playbook::files::Files;
    let world = &evaluator.view.world;
    let places = OwnPlaces::around(&evaluator.task.context, &[], &world.settings.own);
    let files = world.files.as_ref();
    let mut list = |folder: &Path| files.list(folder);
    places.find(files, &mut list, name).or_else(|| places.find_nearby(files, &mut list, name, &[]))
}

/// A call of the user's own program.
///
/// # Errors
/// When it can't be read or sent.
pub fn prepare(
    evaluator: &Evaluator<'_>,
    own: &OwnModule,
    prepared: &mut Prepared,
) -> Result<(), Stop> {
    let arguments = std::mem::take(&mut prepared.arguments);
    let (call, content) = call(evaluator, own, arguments)?;
    prepared.arguments = call;
    prepared.contents.push(content);
    Ok(())
}

/// What the helper is told, and the program.
///
/// # Errors
/// When it can't be read or sent.
pub fn call(
    evaluator: &Evaluator<'_>,
    own: &OwnModule,
    arguments: Object,
) -> Result<(Object, Content), Stop> {
    let package = evaluator.view.world.packages.of(own).map_err(Stop::failed)?;
    let mut call = Object::new();
    call.insert("name".into(), own.name.clone().into());
    call.insert("source".into(), own.path.display().to_string().into());
    call.insert("entry".into(), package.entry.clone().into());
    call.insert("kind".into(), package.kind.name().into());
    let (program, is_python) = program(evaluator, &package)?;
    call.insert("program".into(), program.into());
    call.insert("is_python".into(), is_python.into());
    call.insert("is_asynchronous".into(), evaluator.task.asynchronous.is_some().into());
    call.insert("arguments".into(), Json::Object(arguments));
    call.insert("internal".into(), Json::Object(internal(evaluator, own)?));
    let reference = &package.content.reference;
    call.insert("_content".into(), json!({"sha256": reference.sha256, "size": reference.size}));
    Ok((call, package.content.clone()))
}

/// The words that start it, without those the helper finds; whether it is Python's business.
fn program(evaluator: &Evaluator<'_>, package: &Package) -> Result<(Vec<String>, bool), Stop> {
    if package.kind == Kind::Binary {
        return Ok((Vec::new(), false));
    }
    let words = &package.interpreter;
    let name = kind::interpreter_name(words);
    let is_python = package.kind == Kind::Python || name.starts_with("python");
    let variable = match is_python {
        true => "ansible_python_interpreter".to_owned(),
        false => format!("ansible_{name}_interpreter"),
    };
    let chosen = evaluator.variable(&variable)?.map(|value| provision_template::text_of(&value));
    let is_left_to_us =
        |chosen: &str| chosen.is_empty() || (is_python && chosen.starts_with("auto"));
    let chosen = chosen.filter(|chosen| !is_left_to_us(chosen));
    let options = words.iter().skip(kind::words_of_interpreter(words)).cloned();
    match chosen {
        Some(chosen) => {
            let chosen = crate::words::split(&chosen).map_err(Stop::failed)?;
            Ok((chosen.into_iter().chain(options).collect(), is_python))
        }
        None if is_python => Ok((Vec::new(), true)),
        None => Ok((words.clone(), false)),
    }
}

/// What Ansible tells modules besides their arguments, as far as the controller knows it.
fn internal(evaluator: &Evaluator<'_>, own: &OwnModule) -> Result<Object, Stop> {
    let settings = &evaluator.view.world.settings;
    let name = match &own.collection {
        Some(collection) => format!("{collection}.{}", own.name),
        None => own.name.clone(),
    };
    let value = json!({
        "_ansible_no_log": evaluator.no_log()?,
        "_ansible_verbosity": settings.verbosity,
        "_ansible_debug": false,
        "_ansible_version": ANSIBLE_VERSION,
        "_ansible_module_name": name,
        "_ansible_syslog_facility": "LOG_USER",
        "_ansible_selinux_special_fs": ["fuse", "nfs", "vboxsf", "ramfs", "9p", "vfat"],
        "_ansible_string_conversion_action": "warn",
        "_ansible_socket": null,
        "_ansible_shell_executable": "/bin/sh",
        "_ansible_keep_remote_files": false,
        "_ansible_ignore_unknown_opts": false,
        "_ansible_target_log_info": null,
    });
    match value {
        Json::Object(object) => Ok(object),
        _ => Ok(Object::new()),
    }
}
