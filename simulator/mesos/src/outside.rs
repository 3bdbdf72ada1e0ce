//! What agents that are programs of their own and the master say to each other. It is Corral's own:
//! Mesos' agents speak the protocol of libprocess, which is not documented for others.
//!
//! An agent opens a stream with a [`Registration`]: all that it knows. The master sends [`Told`]s on
//! it, and the agent sends [`Report`]s and pongs in requests of their own, which name the stream. Whatever gets lost with a
//! stream is said again by the next registration, so nothing else has to be repeated.

use mesos::{
    AgentId, Attribute, Data, Encoding, FrameworkId, FrameworkInfo, Resource, TaskInfo, TaskStatus,
};
use serde_json::{Map, Value, json};

use crate::Nanoseconds;

/// Where the stream is opened.
pub const SUBSCRIBE: &str = "/corral/v1/agent/subscribe";
/// Where statuses are sent.
pub const REPORT: &str = "/corral/v1/agent/report";
/// Where it is said that the agent is there.
pub const PONG: &str = "/corral/v1/agent/pong";
/// Where an agent says that it goes for good.
pub const UNREGISTER: &str = "/corral/v1/agent/unregister";

/// The version of all this: another one is refused.
const VERSION: u64 = 1;

/// What an agent is, and what runs on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// The id that an earlier master gave it.
    pub agent_id: Option<AgentId>,
    /// Its name.
    pub hostname: String,
    /// Its address.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// What it has.
    pub resources: Vec<Resource>,
    /// What its operator says of it.
    pub attributes: Vec<Attribute>,
    /// Its tasks, those that have ended and aren't acknowledged, too.
    pub tasks: Vec<OutsideTask>,
}

/// A task, as its agent knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct OutsideTask {
    /// Its framework, with its id.
    pub framework: FrameworkInfo,
    /// What runs.
    pub info: TaskInfo,
    /// How its container is named.
    pub container_id: String,
    /// Whether it was told to end.
    pub is_killed: bool,
    /// Statuses that nobody has acknowledged, the oldest first.
    pub updates: Vec<TaskStatus>,
    /// The last status, acknowledged or not.
    pub last: Option<TaskStatus>,
}

/// What an agent is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// It belongs to the cluster now; always the first word.
    Registered {
        /// Under this id.
        agent_id: AgentId,
        /// The stream's number, for requests.
        stream: u64,
        /// After so long without a word of the agent it counts as silent.
        ping_every: Nanoseconds,
    },
    /// It doesn't, and never will: its tasks are to end, and the program.
    ShutDown {
        /// Why.
        message: String,
    },
    /// Start a task.
    Start {
        /// Its framework, with its id.
        framework: Box<FrameworkInfo>,
        /// What to run.
        task: Box<TaskInfo>,
        /// How the container is to be named.
        container_id: String,
    },
    /// End a task.
    Stop {
        /// Its framework.
        framework_id: FrameworkId,
        /// Its name.
        task_id: String,
        /// How long it may take to end by itself.
        grace: Nanoseconds,
    },
    /// A framework has ended: so do its tasks, and nobody wants to hear of them.
    EndFramework {
        /// Its id.
        framework_id: FrameworkId,
    },
    /// A status has arrived: it needn't be said again.
    Acknowledged {
        /// Its framework.
        framework_id: FrameworkId,
        /// Its task.
        task_id: String,
        /// Its own id.
        uuid: Vec<u8>,
    },
    /// What it has now, by reservations and volumes, and which volumes have ended. It registers with
    /// this from now on.
    Holds {
        /// All that it has.
        resources: Vec<Resource>,
        /// Names of volumes.
        ended: Vec<String>,
    },
    /// Is it there?
    Ping,
}

/// What has become of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Its framework.
    pub framework_id: FrameworkId,
    /// The status.
    pub status: TaskStatus,
}

/// A message as JSON.
pub fn to_json<M: Data>(message: &M) -> Value {
    serde_json::from_slice(&Encoding::Json.encode(message)).unwrap_or_default()
}

/// A message from JSON.
///
/// # Errors
/// What is wrong with it.
pub fn from_json<M: Data>(value: &Value) -> Result<M, String> {
    Encoding::Json.decode(value.to_string().as_bytes()).map_err(|error| error.to_string())
}

fn list<M: Data>(messages: &[M]) -> Value {
    Value::Array(messages.iter().map(to_json).collect())
}

/// A JSON object that is read; what is missing or wrong has its name in the error.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn of(value: &'a Value) -> Result<Self, String> {
        value.as_object().map(Fields).ok_or_else(|| "no JSON object".to_owned())
    }

    fn get(&self, name: &str) -> Result<&'a Value, String> {
        self.0.get(name).ok_or_else(|| format!("`{name}` is missing"))
    }

    fn text(&self, name: &str) -> Result<String, String> {
        let text = self.get(name)?.as_str();
        text.map(str::to_owned).ok_or_else(|| format!("`{name}` is no text"))
    }

    fn number(&self, name: &str) -> Result<u64, String> {
        self.get(name)?.as_u64().ok_or_else(|| format!("`{name}` is no number"))
    }

    fn flag(&self, name: &str) -> Result<bool, String> {
        self.get(name)?.as_bool().ok_or_else(|| format!("`{name}` is neither true nor false"))
    }

    fn message<M: Data>(&self, name: &str) -> Result<M, String> {
        from_json(self.get(name)?).map_err(|error| format!("`{name}`: {error}"))
    }

    fn list<T>(
        &self,
        name: &str,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let items = self.get(name)?.as_array().ok_or_else(|| format!("`{name}` is no list"))?;
        items.iter().map(|item| read(item).map_err(|error| format!("`{name}`: {error}"))).collect()
    }

    fn version(&self) -> Result<(), String> {
        match self.number("version")? {
            VERSION => Ok(()),
            other => Err(format!("version {other} is not known here, only {VERSION}")),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

impl Registration {
    /// As it is sent.
    pub fn encode(&self) -> Vec<u8> {
        let value = json!({
            "version": VERSION,
            "agent_id": self.agent_id.as_ref().map(|id| &id.value),
            "hostname": self.hostname,
            "ip": self.ip,
            "port": self.port,
            "resources": list(&self.resources),
            "attributes": list(&self.attributes),
            "tasks": self.tasks.iter().map(OutsideTask::to_value).collect::<Vec<_>>(),
        });
        value.to_string().into_bytes()
    }

    /// Reads what was sent.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let value = parse(bytes)?;
        let fields = Fields::of(&value)?;
        fields.version()?;
        let port = fields.number("port")?;
        Ok(Self {
            agent_id: fields.get("agent_id")?.as_str().map(AgentId::new),
            hostname: fields.text("hostname")?,
            ip: fields.text("ip")?,
            port: u16::try_from(port).map_err(|_| format!("`port`: {port} is none"))?,
            resources: fields.list("resources", from_json)?,
            attributes: fields.list("attributes", from_json)?,
            tasks: fields.list("tasks", OutsideTask::from_value)?,
        })
    }
}

impl OutsideTask {
    /// As JSON.
    pub fn to_value(&self) -> Value {
        json!({
            "framework": to_json(&self.framework),
            "task": to_json(&self.info),
            "container_id": self.container_id,
            "is_killed": self.is_killed,
            "updates": list(&self.updates),
            "last": self.last.as_ref().map(to_json),
        })
    }

    /// From JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_value(value: &Value) -> Result<Self, String> {
        let fields = Fields::of(value)?;
        let task = Self {
            framework: fields.message("framework")?,
            info: fields.message("task")?,
            container_id: fields.text("container_id")?,
            is_killed: fields.flag("is_killed")?,
            updates: fields.list("updates", from_json)?,
            last: match fields.get("last")? {
                Value::Null => None,
                last => Some(from_json(last).map_err(|error| format!("`last`: {error}"))?),
            },
        };
        match &task.framework.id {
            Some(id) if !id.value.is_empty() => Ok(task),
            _ => Err("`framework` has no id".to_owned()),
        }
    }
}

impl Told {
    /// As it is sent.
    pub fn encode(&self) -> Vec<u8> {
        let value = match self {
            Told::Registered { agent_id, stream, ping_every } => json!({
                "told": "registered", "version": VERSION, "agent_id": agent_id.value,
                "stream": stream, "ping_every_nanoseconds": ping_every,
            }),
            Told::ShutDown { message } => json!({"told": "shut_down", "message": message}),
            Told::Start { framework, task, container_id } => json!({
                "told": "start", "framework": to_json(&**framework), "task": to_json(&**task),
                "container_id": container_id,
            }),
            Told::Stop { framework_id, task_id, grace } => json!({
                "told": "stop", "framework_id": framework_id.value, "task_id": task_id,
                "grace_nanoseconds": grace,
            }),
            Told::EndFramework { framework_id } => {
                json!({"told": "end_framework", "framework_id": framework_id.value})
            }
            Told::Acknowledged { framework_id, task_id, uuid } => json!({
                "told": "acknowledged", "framework_id": framework_id.value, "task_id": task_id,
                "uuid": uuid,
            }),
            Told::Holds { resources, ended } => {
                json!({"told": "holds", "resources": list(resources), "ended": ended})
            }
            Told::Ping => json!({"told": "ping"}),
        };
        value.to_string().into_bytes()
    }

    /// Reads what was sent.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let value = parse(bytes)?;
        let fields = Fields::of(&value)?;
        let framework = |fields: &Fields<'_>| fields.text("framework_id").map(FrameworkId::new);
        match fields.text("told")?.as_str() {
            "registered" => {
                fields.version()?;
                Ok(Told::Registered {
                    agent_id: AgentId::new(fields.text("agent_id")?),
                    stream: fields.number("stream")?,
                    ping_every: fields.number("ping_every_nanoseconds")?,
                })
            }
            "shut_down" => Ok(Told::ShutDown { message: fields.text("message")? }),
            "start" => Ok(Told::Start {
                framework: Box::new(fields.message("framework")?),
                task: Box::new(fields.message("task")?),
                container_id: fields.text("container_id")?,
            }),
            "stop" => Ok(Told::Stop {
                framework_id: framework(&fields)?,
                task_id: fields.text("task_id")?,
                grace: fields.number("grace_nanoseconds")?,
            }),
            "end_framework" => Ok(Told::EndFramework { framework_id: framework(&fields)? }),
            "acknowledged" => Ok(Told::Acknowledged {
                framework_id: framework(&fields)?,
                task_id: fields.text("task_id")?,
                uuid: fields.list("uuid", |byte| {
                    let byte = byte.as_u64().and_then(|byte| u8::try_from(byte).ok());
                    byte.ok_or_else(|| "no byte".to_owned())
                })?,
            }),
            "holds" => Ok(Told::Holds {
                resources: fields.list("resources", from_json)?,
                ended: fields.list("ended", |one| {
                    one.as_str().map(str::to_owned).ok_or_else(|| "no text".to_owned())
                })?,
            }),
            "ping" => Ok(Told::Ping),
            other => Err(format!("`{other}` is nothing that an agent of this version is told")),
        }
    }
}

impl Report {
    /// As it is sent on behalf of a stream.
    pub fn encode(&self, stream: u64) -> Vec<u8> {
        let value = json!({
            "stream": stream, "framework_id": self.framework_id.value,
            "status": to_json(&self.status),
        });
        value.to_string().into_bytes()
    }

    /// Reads what was sent; the number is that of the stream.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<(u64, Self), String> {
        let value = parse(bytes)?;
        let fields = Fields::of(&value)?;
        let report = Self {
            framework_id: FrameworkId::new(fields.text("framework_id")?),
            status: fields.message("status")?,
        };
        Ok((fields.number("stream")?, report))
    }
}

/// A pong or a farewell on behalf of a stream, as it is sent.
pub fn encode_stream(stream: u64) -> Vec<u8> {
    json!({ "stream": stream }).to_string().into_bytes()
}

/// The stream of a pong or a farewell.
///
/// # Errors
/// What is wrong with it.
pub fn decode_stream(bytes: &[u8]) -> Result<u64, String> {
    Fields::of(&parse(bytes)?)?.number("stream")
}

#[cfg(test)]
mod tests {
    use mesos::{CommandInfo, Milli, TaskId, TaskState};

    use super::*;

    fn task() -> OutsideTask {
        let status = TaskStatus {
            task_id: TaskId::new("web.1"),
            state: TaskState::Running.into(),
            uuid: Some(vec![0, 255, 7]),
            ..TaskStatus::default()
        };
        OutsideTask {
            framework: FrameworkInfo {
                id: Some(FrameworkId::new("f-1")),
                name: "corral".to_owned(),
                // Mesos' JSON has a value for these in any case.
                failover_timeout: Some(0.0),
                checkpoint: Some(true),
                ..FrameworkInfo::default()
            },
            info: TaskInfo {
                task_id: TaskId::new("web.1"),
                name: "web".to_owned(),
                command: Some(CommandInfo {
                    value: Some("true".into()),
                    shell: Some(true),
                    ..CommandInfo::default()
                }),
                ..TaskInfo::default()
            },
            container_id: "c-1".to_owned(),
            is_killed: true,
            updates: vec![status.clone()],
            last: Some(status),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let registration = Registration {
            agent_id: Some(AgentId::new("m-S0")),
            hostname: "worker1".to_owned(),
            ip: "10.0.0.1".to_owned(),
            port: 5051,
            resources: vec![Resource::scalar("cpus", Milli(1500))],
            attributes: Vec::new(),
            tasks: vec![task(), OutsideTask { last: None, ..task() }],
        };
        assert_eq!(Registration::decode(&registration.encode()).unwrap(), registration);
        let new = Registration { agent_id: None, ..registration };
        assert_eq!(Registration::decode(&new.encode()).unwrap(), new);
        let framework_id = FrameworkId::new("f-1");
        let all = [
            Told::Registered { agent_id: AgentId::new("a"), stream: 7, ping_every: 9 },
            Told::ShutDown { message: "gone".to_owned() },
            Told::Start {
                framework: Box::new(task().framework),
                task: Box::new(task().info),
                container_id: "c".to_owned(),
            },
            Told::Stop {
                framework_id: framework_id.clone(),
                task_id: "t".to_owned(),
                grace: u64::MAX,
            },
            Told::EndFramework { framework_id: framework_id.clone() },
            Told::Acknowledged {
                framework_id: framework_id.clone(),
                task_id: "t".to_owned(),
                uuid: vec![0, 255],
            },
            Told::Holds {
                resources: vec![Resource::scalar("cpus", Milli(1500))],
                ended: vec!["db.1.data".to_owned()],
            },
            Told::Ping,
        ];
        for told in all {
            assert_eq!(Told::decode(&told.encode()).unwrap(), told);
        }
        let status = task().updates.remove(0);
        let report = Report { framework_id, status };
        assert_eq!(Report::decode(&report.encode(3)).unwrap(), (3, report));
        assert_eq!(decode_stream(&encode_stream(u64::MAX)), Ok(u64::MAX));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let told = |text: &str| Told::decode(text.as_bytes()).unwrap_err();
        assert!(told("{").contains("EOF"));
        assert_eq!(told("7"), "no JSON object");
        assert!(told(r#"{"told":"sing"}"#).contains("`sing`"));
        assert_eq!(told(r#"{"told":"stop","framework_id":"f"}"#), "`task_id` is missing");
        let newer = r#"{"told":"registered","version":2,"agent_id":"a","stream":1}"#;
        assert!(told(newer).contains("version 2 is not known"));
        let mut nameless = task();
        nameless.framework.id = None;
        assert!(OutsideTask::from_value(&nameless.to_value()).is_err());
        let high = br#"{"version":1,"agent_id":null,"hostname":"h","ip":"i","port":70000}"#;
        assert!(Registration::decode(high).unwrap_err().contains("70000"));
    }
}
