//! Filters, tests and lookups of the user's own in Python: one process of Python on the controller,
//! started when the first of them is called, that answers one call after the other
//! (`provision/engine/python/plugins/serve.py`). Hosts need none.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use provision_playbook::files::Files;
use provision_template::{
    Found, LookupRequest, OutsideError, PluginKind, PluginRequest, Scope, Slot, Value,
};
use serde_json::{Value as Json, json};
use tempfile::TempPath;

use crate::outside::{Outside, search_path};
use crate::own::plugin_archive;
use crate::variables::View;

/// The process, once it is needed.
#[derive(Debug, Default)]
pub struct Plugins {
    process: Mutex<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Python reads from it as long as it lives.
    _archive: TempPath,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends when nobody asks any more; one that hangs in a plugin doesn't.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start() -> Result<Process, String> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            format!("failed to {what} for plugins of your own: {error}")
        };
        let archive = plugin_archive().map_err(|error| failed("pack our Python", &error))?;
        let mut file = tempfile::Builder::new()
            .prefix("provision-plugins-")
            .suffix(".zip")
            .tempfile()
            .map_err(|error| failed("make a file", &error))?;
        file.write_all(&archive).map_err(|error| failed("write a file", &error))?;
        let archive = file.into_temp_path();
        let mut child = Command::new("python3")
            .arg("-B")
            .arg(&archive)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed("start python3", &error))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => {
                Ok(Process { child, input, output: BufReader::new(output), _archive: archive })
            }
            _ => Err(failed("talk to python3", &"it has no channel")),
        }
    }

    fn ask(&mut self, request: &Json) -> Result<Json, String> {
        let gone = |error: &dyn std::fmt::Display| format!("Python with your plugins: {error}");
        let mut line = request.to_string();
        line.push('\n');
        self.input.write_all(line.as_bytes()).map_err(|error| gone(&error))?;
        let mut answer = String::new();
        self.output.read_line(&mut answer).map_err(|error| gone(&error))?;
        if answer.is_empty() {
            let ended = self.child.wait().map_or_else(|_| "it ended".to_owned(), |s| s.to_string());
            return Err(gone(&ended));
        }
        serde_json::from_str(&answer).map_err(|error| gone(&error))
    }
}

impl Plugins {
    /// What Python answers.
    ///
    /// # Errors
    /// When there is no Python, or it ended; the next call starts it again.
    fn ask(&self, request: &Json) -> Result<Json, String> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = match process.take() {
            Some(running) => running,
            None => Process::start()?,
        };
        let answer = running.ask(request)?;
        *process = Some(running);
        Ok(answer)
    }
}

impl Outside {
    /// Filters and tests of the user's own.
    pub(crate) fn own_plugin(&self, request: &PluginRequest<'_>) -> Result<Value, OutsideError> {
        let arguments = request.arguments.iter().map(provision_template::to_json).collect();
        let named = request.named.iter();
        let named = named
            .map(|(name, value)| (name.to_string(), provision_template::to_json(value)))
            .collect();
        let call = (arguments, named, json!({}));
        let value = self.in_python(request.kind, request.name, call)?;
        Ok(provision_template::from_json(&value))
    }

    /// Lookups of the user's own.
    pub(crate) fn own_lookup(
        &self,
        request: &LookupRequest<'_>,
    ) -> Result<Vec<Value>, OutsideError> {
        let arguments = request.terms.iter().map(provision_template::to_json).collect();
        let named = request.options.iter();
        let named = named
            .map(|(name, value)| (name.to_string(), provision_template::to_json(value)))
            .collect();
        let call = (arguments, named, plain_variables(self.view()));
        match self.in_python(PluginKind::Lookup, request.name, call)? {
            Json::Array(items) => Ok(items.iter().map(provision_template::from_json).collect()),
            other => Ok(vec![provision_template::from_json(&other)]),
        }
    }

    fn in_python(
        &self,
        kind: PluginKind,
        name: &str,
        (arguments, named, variables): (Vec<Json>, serde_json::Map<String, Json>, Json),
    ) -> Result<Json, OutsideError> {
        let world = &self.view().world;
        let folders = world.settings.own.plugin_folders(&roots(self.view()), name, kind);
        let has_python = |folder: &PathBuf| {
            let files = world.files.list(folder);
            files.iter().any(|file| file.extension().is_some_and(|ending| ending == "py"))
        };
        let folders: Vec<PathBuf> = folders.into_iter().filter(has_python).collect();
        if folders.is_empty() {
            return Err(OutsideError::UnknownLookup);
        }
        let answer = world.plugins.ask(&json!({
            "kind": match kind {
                PluginKind::Filter => "filter",
                PluginKind::Lookup => "lookup",
                PluginKind::Test => "test",
            },
            "name": name,
            "folders": folders,
            "arguments": arguments,
            "named": named,
            "variables": variables,
            "basedir": world.settings.playbook_folder,
        }));
        let mut answer = answer.map_err(OutsideError::Failed)?;
        if answer.get("unknown").is_some() {
            return Err(OutsideError::UnknownLookup);
        }
        if let Some(error) = answer.get("error").and_then(Json::as_str) {
            let place = answer.get("place").and_then(Json::as_str);
            let place = place.map(|place| format!("\n  at {place}")).unwrap_or_default();
            return Err(OutsideError::Failed(format!("{name}: {error}{place}")));
        }
        Ok(answer.get_mut("value").map(Json::take).unwrap_or_default())
    }
}

/// Folders that may have folders of plugins: of the playbook, of the roles around the task, and of
/// all roles that were loaded, as in Ansible.
fn roots(view: &View) -> Vec<PathBuf> {
    let mut roots = search_path(view);
    // While files are being loaded nobody can ask for roles; those around the task are known.
    if let Some(Ok(loader)) = view.world.loader.get().map(|loader| loader.try_lock()) {
        let more = loader.plugin_roots();
        roots.extend(more.into_iter().filter(|folder| !roots.contains(folder)).collect::<Vec<_>>());
    }
    roots
}

/// Variables whose values are known without evaluating anything: what a lookup is told of them.
fn plain_variables(view: &View) -> Json {
    let mut variables = serde_json::Map::new();
    for name in view.names() {
        if matches!(name.as_str(), "hostvars" | "vars" | "groups") {
            continue;
        }
        let value = match view.lookup(&name) {
            Found::Slot(Slot::Data(value)) => value,
            Found::Slot(Slot::Template(node)) if !provision_template::has_template(&node) => {
                provision_template::value_of_node(&node)
            }
            _ => continue,
        };
        variables.insert(name, provision_template::to_json(&value));
    }
    let folders = search_path(view).into_iter().map(|folder| folder.display().to_string());
    variables.insert("ansible_search_path".to_owned(), folders.collect());
    Json::Object(variables)
}
