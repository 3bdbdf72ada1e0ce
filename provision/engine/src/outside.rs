//! What templates may ask of the controller: files, environment, processes, time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use provision_playbook::files::{FileKind, Files};
use provision_template::{
    LoadedTemplate, LookupRequest, Now, OutsideError, PathQuestion, PluginRequest, TemplateError,
    TemplateOptions, Value,
};

use crate::variables::View;

/// The controller as seen by the templates of one view.
#[derive(Debug, Clone)]
pub struct Outside {
    view: View,
}

/// Option by which a loop tells `first_found` where the files of its module are.
pub const SUBFOLDER: &str = "_subfolder";

/// Folders in which the files of a task are looked for, nearest first, without subfolders.
#[must_use]
pub fn search_path(view: &View) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut add = |folder: PathBuf| {
        let folder = absolute(&folder);
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    };
    if let Some(context) = &view.context {
        for role in context.chain().filter_map(|context| context.role.as_ref()) {
            add(role.role.folder.clone());
            for role in role.dependents.iter().rev() {
                add(role.role.folder.clone());
            }
        }
    }
    if let Some(folder) = &view.folder {
        add(folder.clone());
    }
    add(view.world.settings.playbook_folder.clone());
    folders
}

/// A path from the root of the file system: what templates get must not depend on where it is
/// used.
#[must_use]
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Where `name` may be for a task, in Ansible's order: each folder's subfolder, then the folder.
#[must_use]
pub fn candidates(view: &View, subfolder: &str, name: &str) -> Vec<PathBuf> {
    let name = expand_home(name);
    if name.is_absolute() {
        return vec![name];
    }
    search_path(view)
        .into_iter()
        .flat_map(|folder| {
            let within = folder.join(subfolder).join(&name);
            if name.starts_with(subfolder) {
                vec![folder.join(&name), within]
            } else {
                vec![within, folder.join(&name)]
            }
        })
        .collect()
}

/// The file that `name` means for a task.
///
/// # Errors
/// The places that were tried.
pub fn find(view: &View, subfolder: &str, name: &str) -> Result<PathBuf, Vec<PathBuf>> {
    let tried = candidates(view, subfolder, name);
    let files = &view.world.files;
    match tried.iter().find(|path| files.kind(path).is_some()) {
        Some(path) => Ok(path.clone()),
        None => Err(tried),
    }
}

/// `~` at the beginning is the home of the user who runs the controller.
fn expand_home(name: &str) -> PathBuf {
    match (name.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(name),
    }
}

/// One line that names the places tried.
#[must_use]
pub fn not_found(name: &str, tried: &[PathBuf]) -> String {
    let places: Vec<String> = tried.iter().map(|path| path.display().to_string()).collect();
    format!("Could not find or access '{name}'. Searched in: {}", places.join(", "))
}

fn text(value: &Value) -> String {
    provision_template::text_of(value)
}

impl Outside {
    /// For the templates of a view.
    #[must_use]
    pub fn of(view: &View) -> Self {
        Outside { view: view.clone() }
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    fn read(&self, subfolder: &str, name: &str) -> Result<String, OutsideError> {
        let path = find(&self.view, subfolder, name)
            .map_err(|tried| OutsideError::Failed(not_found(name, &tried)))?;
        self.view.world.files.read_plain(&path).map_err(OutsideError::Failed)
    }

    /// The text of a file that a lookup gives as a value: if it was encrypted it is a secret.
    fn content(&self, name: &str) -> Result<String, OutsideError> {
        let path = find(&self.view, "files", name)
            .map_err(|tried| OutsideError::Failed(not_found(name, &tried)))?;
        let files = &self.view.world.files;
        let Some(opened) = files.decrypted(&path).map_err(OutsideError::Failed)? else {
            return files.read(&path).map_err(OutsideError::Failed);
        };
        let plain = opened.expose_text().map(str::to_owned);
        plain.ok_or_else(|| OutsideError::Failed(format!("{} holds no UTF-8 text", path.display())))
    }

    /// The same for a file that may be in another encoding than UTF-8.
    fn content_in(&self, name: &str, encoding: &str) -> Result<String, OutsideError> {
        if encodings::is_utf_8(encoding) {
            return self.content(name);
        }
        let path = find(&self.view, "files", name)
            .map_err(|tried| OutsideError::Failed(not_found(name, &tried)))?;
        let failed = |reason: String| OutsideError::Failed(format!("{}: {reason}", path.display()));
        let bytes = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
        encodings::decode(&bytes, encoding).map_err(|error| failed(error.to_string()))
    }

    fn each_text(
        request: &LookupRequest<'_>,
        read: impl Fn(&str) -> Result<String, OutsideError>,
    ) -> Result<Vec<Value>, OutsideError> {
        request.terms.iter().map(|term| Ok(Value::from(read(&text(term))?))).collect()
    }

    pub(crate) fn option(request: &LookupRequest<'_>, name: &str) -> Option<Value> {
        request.options.iter().find(|(key, _)| &**key == name).map(|(_, value)| value.clone())
    }

    fn file(&self, request: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        let flag = |name, default| {
            Self::option(request, name)
                .and_then(|value| provision_template::to_boolean(&value))
                .unwrap_or(default)
        };
        let (left, right) = (flag("lstrip", false), flag("rstrip", true));
        let encoding = Self::option(request, "encoding").map(|value| text(&value));
        let encoding = encoding.unwrap_or_default();
        Self::each_text(request, |name| {
            let mut content = self.content_in(name, &encoding)?;
            if left {
                content = content.trim_start().to_owned();
            }
            if right {
                content.truncate(content.trim_end().len());
            }
            Ok(content)
        })
    }

    fn environment_of(request: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        let default = Self::option(request, "default");
        Ok(request
            .terms
            .iter()
            .map(|term| match (std::env::var(text(term)), &default) {
                (Ok(value), _) => Value::from(value),
                (Err(_), Some(default)) => default.clone(),
                (Err(_), None) => Value::from(""),
            })
            .collect())
    }

    /// Warns the operator. Of a task with `no_log` it stays hidden what went wrong: arguments of lookups
    /// are in it.
    fn tell(&self, message: &str) {
        let no_log = self.view.context.as_ref().and_then(|it| it.innermost(|d| d.no_log.as_ref()));
        let is_hidden = match no_log {
            Some(node) => node.as_bool() != Some(false),
            None => self.view.world.settings.customs.no_log,
        };
        let warnings = &self.view.world.warnings;
        match message.split_once(':').filter(|_| is_hidden) {
            Some((what, _)) => warnings.note(&format!("{what} (`no_log` hides why)")),
            None => warnings.note(message),
        }
    }

    /// Settings by name. Options of plugins have no names here.
    fn configured(&self, request: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        let failed = |message: String| Err(OutsideError::Failed(message));
        for option in ["plugin_type", "plugin_name"] {
            if let Some(value) = Self::option(request, option) {
                return failed(format!(
                    "lookup config: options of plugins are not known here ({option}={})",
                    text(&value)
                ));
            }
        }
        let missing = Self::option(request, "on_missing");
        let missing = missing.map_or_else(|| "error".to_owned(), |value| text(&value));
        if !["error", "skip", "warn"].contains(&missing.as_str()) {
            return failed(format!(
                "\"on_missing\" must be a string and valid values are \"error\", \"warn\" and \
                 \"skip\", not {missing}"
            ));
        }
        let shows_origin = Self::option(request, "show_origin");
        let shows_origin = shows_origin.is_some_and(|value| value.is_true());
        let mut found = Vec::new();
        for term in request.terms {
            let Some(name) = term.as_str() else {
                return failed(format!(
                    "Invalid setting identifier, \"{}\" is not a string",
                    provision_template::repr_of(term)
                ));
            };
            match self.view.world.settings.configured.get(name) {
                Some((value, origin)) => {
                    let value = provision_template::from_json(value);
                    found.push(match shows_origin {
                        true => Value::from(vec![value, Value::from(origin.as_str())]),
                        false => value,
                    });
                }
                None if missing == "error" => {
                    let known = self.view.world.settings.configured.keys().copied();
                    let closest = diagnostics::closest(name, known);
                    let hint = closest.map(|name| format!("; did you mean {name}?"));
                    return failed(format!(
                        "Unable to find setting {name}{}",
                        hint.unwrap_or_default()
                    ));
                }
                None if missing == "warn" => {
                    self.tell(&format!("Skipping, did not find setting {name}"));
                }
                None => {}
            }
        }
        Ok(found)
    }

    fn run(&self, command: &str) -> Result<String, OutsideError> {
        let output = Command::new("/bin/sh")
            .args(["-c", command])
            .current_dir(&self.view.world.settings.playbook_folder)
            .output()
            .map_err(|error| OutsideError::Failed(format!("failed to run {command}: {error}")))?;
        if !output.status.success() {
            return Err(OutsideError::Failed(format!(
                "lookup_plugin.pipe({command}) returned {}",
                output.status.code().unwrap_or(-1)
            )));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn globs(&self, request: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        let mut found = Vec::new();
        for term in request.terms {
            let term = text(term);
            let pattern = Path::new(&term);
            let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty());
            let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned());
            let Some(name) = name else { continue };
            // With a folder, it is looked for; without, the first place with such a file counts.
            let folders = match folder {
                Some(folder) => self.folder_of(&folder.display().to_string()).into_iter().collect(),
                None => candidates(&self.view, "files", ""),
            };
            found.extend(
                folders
                    .iter()
                    .map(|folder| self.files_like(folder, &name))
                    .find(|files| !files.is_empty())
                    .unwrap_or_default(),
            );
        }
        Ok(found)
    }

    fn files_like(&self, folder: &Path, pattern: &str) -> Vec<Value> {
        let files = &self.view.world.files;
        let is_like = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy());
            name.is_some_and(|name| glob_matches(pattern, &name))
                && files.kind(path) == Some(FileKind::File)
        };
        let found = files.list(folder).into_iter().filter(is_like);
        found.map(|path| Value::from(path.display().to_string())).collect()
    }

    fn folder_of(&self, folder: &str) -> Option<PathBuf> {
        let files = &self.view.world.files;
        candidates(&self.view, "files", folder)
            .into_iter()
            .find(|path| files.kind(path) == Some(FileKind::Folder))
    }

    fn first_found(&self, request: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        let mut names: Vec<(String, Vec<String>)> = Vec::new();
        let mut skip = Self::option(request, "skip")
            .and_then(|value| provision_template::to_boolean(&value))
            .unwrap_or(false);
        let split = |value: Option<Value>| -> Vec<String> {
            match value {
                Some(value) if value.as_str().is_none() => match value.try_iter() {
                    Ok(items) => items.map(|item| text(&item)).collect(),
                    Err(_) => Vec::new(),
                },
                Some(value) => text(&value)
                    .split([',', ';', ':'])
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
                    .collect(),
                None => Vec::new(),
            }
        };
        let mut terms: Vec<Value> = Vec::new();
        for term in request.terms {
            match term.kind() {
                minijinja::value::ValueKind::Seq => {
                    terms.extend(term.try_iter().into_iter().flatten());
                }
                _ => terms.push(term.clone()),
            }
        }
        let option_files = split(Self::option(request, "files"));
        let option_paths = split(Self::option(request, "paths"));
        if !option_files.is_empty() {
            names.extend(option_files.into_iter().map(|file| (file, option_paths.clone())));
        }
        for term in terms {
            if term.kind() == minijinja::value::ValueKind::Map {
                let get = |name: &str| term.get_attr(name).ok().filter(|v| !v.is_undefined());
                if let Some(flag) = get("skip").and_then(|v| provision_template::to_boolean(&v)) {
                    skip = flag;
                }
                let paths = split(get("paths"));
                names.extend(split(get("files")).into_iter().map(|file| (file, paths.clone())));
            } else {
                names.push((text(&term), Vec::new()));
            }
        }
        let subfolder =
            Self::option(request, SUBFOLDER).map_or_else(|| "files".into(), |v| text(&v));
        self.first_existing(&names, &subfolder, skip)
    }

    fn first_existing(
        &self,
        names: &[(String, Vec<String>)],
        subfolder: &str,
        skip: bool,
    ) -> Result<Vec<Value>, OutsideError> {
        let files = &self.view.world.files;
        for (name, paths) in names {
            let within: Vec<String> = match paths.is_empty() {
                true => vec![name.clone()],
                false => paths.iter().map(|path| format!("{path}/{name}")).collect(),
            };
            for name in within {
                for path in candidates(&self.view, subfolder, &name) {
                    if files.kind(&path).is_some() {
                        return Ok(vec![path.display().to_string().into()]);
                    }
                }
            }
        }
        if skip {
            return Ok(Vec::new());
        }
        let names: Vec<String> = names.iter().map(|(name, _)| name.clone()).collect();
        Err(OutsideError::Failed(format!(
            "No file was found when using first_found. Looked for: {}",
            names.join(", ")
        )))
    }

    fn rendered(&self, request: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        let mut rendered = Vec::new();
        let mut options = TemplateOptions::default();
        for (name, into) in [
            ("variable_start_string", &mut options.variable_start_string),
            ("variable_end_string", &mut options.variable_end_string),
            ("comment_start_string", &mut options.comment_start_string),
            ("comment_end_string", &mut options.comment_end_string),
        ] {
            if let Some(value) = Self::option(request, name) {
                *into = text(&value);
            }
        }
        let converts = Self::option(request, "convert_data")
            .and_then(|value| provision_template::to_boolean(&value))
            .unwrap_or(true);
        for term in request.terms {
            let name = text(term);
            let content = self.read("templates", &name)?;
            let mut view = self.view.clone();
            if let Some(extra) = Self::option(request, "template_vars") {
                for key in extra.try_iter().into_iter().flatten() {
                    let value = extra.get_item(&key).unwrap_or_default();
                    view.local.set_data(text(&key), value);
                }
            }
            let outside = Outside::of(&view);
            let result = view
                .world
                .engine
                .render_file(&name, &content, None, &options, &view, &outside)
                .map_err(|error| match error {
                    TemplateError::Pending(token) => OutsideError::Pending(token),
                    other => OutsideError::Failed(other.message().to_owned()),
                })?;
            rendered.push(match converts {
                true => provision_template::literal_of(&result),
                false => provision_template::kept_text(result),
            });
        }
        Ok(rendered)
    }

    /// A password in a file of its own, made when it is not there.
    fn password(&self, request: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        let mut passwords = Vec::new();
        for term in request.terms {
            let term = text(term);
            let mut words = term.split_whitespace();
            let name = words.next().unwrap_or_default().to_owned();
            let setting = |key: &str| {
                term.split_whitespace().find_map(|word| word.strip_prefix(&format!("{key}=")))
            };
            let length = Self::option(request, "length")
                .map(|value| text(&value))
                .or_else(|| setting("length").map(str::to_owned))
                .and_then(|length| length.parse().ok())
                .unwrap_or(20);
            let path = self.view.world.settings.playbook_folder.join(expand_home(&name));
            passwords.push(Value::from(crate::password::stored_or_new(&path, length)?));
        }
        Ok(passwords)
    }

    fn hosts(&self, request: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        let mut names = Vec::new();
        for term in request.terms {
            names.extend(self.view.world.matching_hosts(&text(term)));
        }
        Ok(names.into_iter().map(Value::from).collect())
    }
}

/// Shell-style `*`, `?` and `[…]`.
#[must_use]
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    let mut expression = String::from("^");
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '[' => {
                expression.push('[');
                if characters.next_if_eq(&'!').is_some() {
                    expression.push('^');
                }
            }
            ']' => expression.push(']'),
            '-' => expression.push('-'),
            other => expression.push_str(&regex::escape(&other.to_string())),
        }
    }
    expression.push('$');
    regex::Regex::new(&expression).is_ok_and(|regex| regex.is_match(name))
}

impl provision_template::Outside for Outside {
    fn lookup(&self, request: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        match request.name {
            "config" => self.configured(request),
            "env" => Self::environment_of(request),
            "file" => self.file(request),
            "fileglob" => self.globs(request),
            "first_found" => self.first_found(request),
            "pipe" => {
                Self::each_text(request, |command| Ok(self.run(command)?.trim_end().to_owned()))
            }
            "lines" => {
                let mut lines = Vec::new();
                for term in request.terms {
                    let output = self.run(&text(term))?;
                    lines.extend(output.lines().map(Value::from));
                }
                Ok(lines)
            }
            "template" => self.rendered(request),
            "url" => self.web(request),
            "unvault" => Self::each_text(request, |name| self.content(name)),
            "password" => self.password(request),
            "inventory_hostnames" => self.hosts(request),
            _ => self.own_lookup(request),
        }
    }

    fn plugin(&self, request: &PluginRequest<'_>) -> Result<Value, OutsideError> {
        self.own_plugin(request)
    }

    fn template(
        &self,
        name: &str,
        parent: Option<&str>,
    ) -> Result<Option<LoadedTemplate>, OutsideError> {
        let files = &self.view.world.files;
        let beside = parent.and_then(|parent| Path::new(parent).parent()).map(|dir| dir.join(name));
        let path = match beside.filter(|path| files.kind(path) == Some(FileKind::File)) {
            Some(path) => path,
            None => match find(&self.view, "templates", name) {
                Ok(path) => path,
                Err(_) => return Ok(None),
            },
        };
        let text = files.read_plain(&path).map_err(OutsideError::Failed)?;
        Ok(Some(LoadedTemplate { name: path.display().to_string(), text: text.into(), span: None }))
    }

    fn path(&self, question: PathQuestion, path: &str) -> Result<bool, OutsideError> {
        let path = expand_home(path);
        Ok(match question {
            PathQuestion::Exists => path.exists(),
            PathQuestion::LinkExists => path.symlink_metadata().is_ok(),
            PathQuestion::File => path.is_file(),
            PathQuestion::Directory => path.is_dir(),
            PathQuestion::Link => path.is_symlink(),
            PathQuestion::Mount => is_mount(&path),
            PathQuestion::Vaulted => {
                if !path.is_file() {
                    let message = format!("Cannot test if the file {} is a vault", path.display());
                    return Err(OutsideError::Failed(message));
                }
                self.view.world.files.is_encrypted(&path)
            }
        })
    }

    fn unvault(&self, text: &str) -> Result<String, OutsideError> {
        self.view.world.files.keyring().open_value(text).map_err(OutsideError::Failed)
    }

    fn is_from_vault(&self, text: &str) -> bool {
        self.view.world.files.keyring().is_from_value(text)
    }

    fn keep_secret(&self, text: &str) {
        self.view.world.files.keep_secret(text);
    }

    fn real_path(&self, path: &str) -> Result<String, OutsideError> {
        let path = expand_home(path);
        Ok(std::fs::canonicalize(&path).unwrap_or(path).display().to_string())
    }

    fn environment(&self, name: &str) -> Result<Option<String>, OutsideError> {
        Ok(std::env::var(name).ok())
    }

    fn home(&self, user: &str) -> Result<Option<String>, OutsideError> {
        if user.is_empty() {
            return Ok(std::env::var("HOME").ok());
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Ok(passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&user))
            .and_then(|fields| fields.get(5).map(|home| (*home).to_owned())))
    }

    fn now(&self) -> Result<Now, OutsideError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Now {
            unix_seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            microseconds: since.subsec_micros(),
            offset_seconds: 0,
        })
    }

    fn warn(&self, message: &str) {
        self.tell(message);
    }

    fn random(&self) -> Result<u64, OutsideError> {
        getrandom::u64().map_err(|error| OutsideError::Failed(error.to_string()))
    }
}

fn is_mount(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Some(parent) = path.parent() else { return true };
    match (path.symlink_metadata(), parent.symlink_metadata()) {
        (Ok(own), Ok(above)) => own.dev() != above.dev() || own.ino() == above.ino(),
        _ => false,
    }
}
