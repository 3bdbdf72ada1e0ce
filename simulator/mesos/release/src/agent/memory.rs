//! What an agent must not forget: its id, what it is like, its tasks and their statuses. One file for
//! each task, replaced durably, below `WORK_DIR/meta/slaves/ID`; `latest` points to that folder, as
//! with Mesos' agents, and without it the agent is a new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mesos::{AgentId, Resource};
use serde_json::{Value, json};
use simulator_mesos::outside::{OutsideTask, from_json, to_json};

use crate::ReleaseError;
use crate::description::Description;

/// The format of the files; others are refused.
const FORMAT: u64 = 1;

const LATEST: &str = "latest";
const DESCRIPTION: &str = "agent.json";
const RESOURCES: &str = "resources.json";
const COMPLETED: &str = "completed";

/// A memory, what the agent was like, its tasks, and those that have ended and were acknowledged.
pub type Found = (Memory, Option<Description>, Vec<OutsideTask>, Vec<OutsideTask>);

/// An agent's memory on disk.
#[derive(Debug)]
pub struct Memory {
    /// `WORK_DIR/meta/slaves`.
    folder: PathBuf,
    id: Option<AgentId>,
}

impl Memory {
    /// Opens the memory in a work folder.
    ///
    /// # Errors
    /// It can't be used, or was written by another version.
    pub fn open(work_dir: &Path) -> Result<Found, ReleaseError> {
        let folder = work_dir.join("meta/slaves");
        let fail = ReleaseError::machine(format!("use {}", folder.display()));
        fs::create_dir_all(&folder).map_err(fail)?;
        let latest = fs::read_link(folder.join(LATEST)).ok();
        let name = latest.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        let Some(id) = name.map(AgentId::new) else {
            return Ok((Memory { folder, id: None }, None, Vec::new(), Vec::new()));
        };
        let memory = Memory { folder, id: Some(id.clone()) };
        let own = memory.folder.join(&id.value);
        let description = read(&own.join(DESCRIPTION), description_from)?;
        let tasks = tasks_in(&own.join("tasks"))?;
        let completed = match own.join(COMPLETED) {
            folder if folder.is_dir() => tasks_in(&folder)?,
            _ => Vec::new(),
        };
        Ok((memory, Some(description), tasks, completed))
    }

    /// The id that it has, once a master has given it one.
    pub fn id(&self) -> Option<&AgentId> {
        self.id.as_ref()
    }

    /// Keeps an id and what the agent is like.
    ///
    /// # Errors
    /// The disk fails, or the id is no name of a folder.
    pub fn keep_id(&mut self, id: &AgentId, description: &Description) -> io::Result<()> {
        let name = &id.value;
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(io::Error::other(format!("`{name}` is no name of a folder")));
        }
        let own = self.folder.join(name);
        fs::create_dir_all(own.join("tasks"))?;
        let text = json!({
            "version": FORMAT,
            "hostname": description.hostname,
            "port": description.port,
            "resources": description.resources.iter().map(to_json).collect::<Vec<_>>(),
            "attributes": description.attributes.iter().map(to_json).collect::<Vec<_>>(),
        });
        durable::write(&own.join(DESCRIPTION), text.to_string().as_bytes(), 0o600)?;
        if self.id.as_ref() != Some(id) {
            let next = self.folder.join(".latest");
            let _ = fs::remove_file(&next);
            std::os::unix::fs::symlink(name, &next)?;
            fs::rename(&next, self.folder.join(LATEST))?;
            durable::sync_directory(&self.folder)?;
        }
        self.id = Some(id.clone());
        Ok(())
    }

    /// Keeps what the agent has by reservations and volumes.
    ///
    /// # Errors
    /// The disk fails.
    pub fn keep_resources(&self, resources: &[Resource]) -> io::Result<()> {
        let id = self.id.as_ref().ok_or_else(|| io::Error::other("the agent has no id yet"))?;
        let resources: Vec<Value> = resources.iter().map(to_json).collect();
        let text = json!({"version": FORMAT, "resources": resources});
        let path = self.folder.join(&id.value).join(RESOURCES);
        durable::write(&path, text.to_string().as_bytes(), 0o600)
    }

    /// What the agent has by reservations and volumes, if a master ever said.
    ///
    /// # Errors
    /// It was kept, and can't be read.
    pub fn resources(&self) -> Result<Option<Vec<Resource>>, ReleaseError> {
        let own = self.id.as_ref().map(|id| self.folder.join(&id.value).join(RESOURCES));
        let Some(path) = own.filter(|path| path.is_file()) else { return Ok(None) };
        let list = |value: &Value| {
            let items = value.get("resources").and_then(Value::as_array);
            items.ok_or("`resources` is no list")?.iter().map(from_json).collect()
        };
        read(&path, list).map(Some)
    }

    /// Keeps a task as it is now.
    ///
    /// # Errors
    /// The disk fails.
    pub fn keep(&self, task: &OutsideTask) -> io::Result<()> {
        let mut text = task.to_value();
        if let Value::Object(fields) = &mut text {
            fields.insert("version".to_owned(), json!(FORMAT));
        }
        durable::write(&self.file(&task.container_id)?, text.to_string().as_bytes(), 0o600)
    }

    /// A task has ended and was acknowledged: only its sandbox is still of use.
    pub fn complete(&self, container_id: &str) {
        let moved = self.file(container_id).and_then(|file| {
            let folder = self.completed()?;
            fs::create_dir_all(&folder)?;
            fs::rename(file, folder.join(format!("{container_id}.json")))
        });
        if moved.is_err() {
            self.forget(container_id);
        }
    }

    /// A sandbox is gone.
    pub fn forget_completed(&self, container_id: &str) {
        if let Ok(folder) = self.completed() {
            let _ = fs::remove_file(folder.join(format!("{container_id}.json")));
        }
    }

    fn completed(&self) -> io::Result<PathBuf> {
        let id = self.id.as_ref().ok_or_else(|| io::Error::other("the agent has no id yet"))?;
        Ok(self.folder.join(&id.value).join(COMPLETED))
    }

    /// A task that nobody asks for any more.
    pub fn forget(&self, container_id: &str) {
        if let Ok(file) = self.file(container_id) {
            // What can't be removed is heard of again, and acknowledged again.
            let _ = fs::remove_file(file);
        }
    }

    /// The agent won't come back under its id.
    pub fn end(&mut self) {
        let _ = fs::remove_file(self.folder.join(LATEST));
        self.id = None;
    }

    fn file(&self, container_id: &str) -> io::Result<PathBuf> {
        let id = self.id.as_ref().ok_or_else(|| io::Error::other("the agent has no id yet"))?;
        if container_id.is_empty() || container_id.contains('/') || container_id.starts_with('.') {
            return Err(io::Error::other(format!("`{container_id}` is no name of a file")));
        }
        Ok(self.folder.join(&id.value).join("tasks").join(format!("{container_id}.json")))
    }
}

fn tasks_in(folder: &Path) -> Result<Vec<OutsideTask>, ReleaseError> {
    let fail = || ReleaseError::machine(format!("list {}", folder.display()));
    let mut tasks = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail())? {
        let path = entry.map_err(fail())?.path();
        // What was being written when the agent ended begins with a dot.
        if path.extension().is_some_and(|ending| ending == "json") && !is_hidden(&path) {
            tasks.push(read(&path, OutsideTask::from_value)?);
        }
    }
    Ok(tasks)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'))
}

fn read<T>(
    path: &Path,
    parse: impl FnOnce(&Value) -> Result<T, String>,
) -> Result<T, ReleaseError> {
    let fail =
        |cause: String| ReleaseError::Machine { what: format!("read {}", path.display()), cause };
    let bytes = fs::read(path).map_err(|error| fail(error.to_string()))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| fail(error.to_string()))?;
    let version = value.get("version").and_then(Value::as_u64);
    if version != Some(FORMAT) {
        let found = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        return Err(fail(format!("its format is {found}, this program knows {FORMAT}")));
    }
    parse(&value).map_err(fail)
}

fn description_from(value: &Value) -> Result<Description, String> {
    let list = |name: &str| value.get(name).and_then(Value::as_array).into_iter().flatten();
    let text = value.get("hostname").and_then(Value::as_str);
    let port = value.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    Ok(Description {
        hostname: text.ok_or("`hostname` is no text")?.to_owned(),
        port: port.ok_or("`port` is no port")?,
        resources: list("resources").map(from_json).collect::<Result<_, _>>()?,
        attributes: list("attributes").map(from_json).collect::<Result<_, _>>()?,
    })
}
