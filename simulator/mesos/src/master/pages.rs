//! The older pages of the master: `/state`, `/slaves`, `/frameworks`, `/tasks` and their like.

use mesos::json::Named as _;
use mesos::quantity::Intervals;
use mesos::{Encoding, ValueType};
use serde_json::{Map, Value, json};

use super::Master;
use crate::Bundle;
use crate::agent::{Agent, Standing};
use crate::configuration::VERSION;
use crate::framework::{self, Framework, Task};

impl Master {
    /// A page that every master has, leading or not.
    pub(crate) fn own_page(&self, path: &str, is_leading: bool) -> Option<Value> {
        match path {
            "/version" => Some(json!({ "version": self.configuration.version })),
            "/flags" => Some(json!({ "flags": self.flags() })),
            "/metrics/snapshot" => Some(self.metrics(is_leading)),
            _ => None,
        }
    }

    /// A page of the leading master.
    pub(crate) fn page(&self, path: &str) -> Option<Value> {
        match path {
            "/state" | "/state.json" => Some(self.state_page()),
            "/slaves" => Some(json!({
                "slaves": self.full_slaves(),
                "recovered_slaves": self.slaves(Standing::Recovered),
            })),
            "/frameworks" => Some(json!({
                "frameworks": self.framework_pages(false),
                "completed_frameworks": self.framework_pages(true),
                "unregistered_frameworks": [],
            })),
            "/tasks" => Some(json!({ "tasks": self.task_pages() })),
            "/roles" => Some(json!({ "roles": self.role_pages() })),
            "/state-summary" => Some(json!({
                "hostname": self.configuration.hostname,
                "slaves": self.slaves(Standing::Registered),
                "frameworks": self.framework_pages(false),
            })),
            "/maintenance/schedule" => Some(as_json(&self.schedule)),
            "/maintenance/status" => Some(as_json(&self.maintenance_status())),
            _ => None,
        }
    }

    /// Why a page of a real master isn't here; none if a real one doesn't have it, too.
    pub(crate) fn lacks(&self, path: &str) -> Option<String> {
        let known = [
            "/quota",
            "/weights",
            "/reserve",
            "/unreserve",
            "/create-volumes",
            "/destroy-volumes",
            "/system/stats.json",
            "/help",
            "/machine/up",
            "/machine/down",
            "/logging/toggle",
            "/files/browse",
            "/files/read",
            "/files/download",
        ];
        known.contains(&path).then(|| {
            format!("{path} is not implemented by the simulated master: it has no such thing")
        })
    }

    /// The settings that this master has, as a real one writes them.
    fn flags(&self) -> Value {
        let settings = &self.configuration;
        let seconds = |length| format!("{}secs", crate::configuration::seconds(length));
        let mut flags = json!({
            "agent_ping_timeout": seconds(settings.agent_ping_timeout),
            "agent_reregister_timeout": seconds(settings.agent_reregister_timeout),
            "allocation_interval": seconds(settings.allocation_interval),
            "hostname": settings.hostname,
            "ip": settings.address.to_string(),
            "max_agent_ping_timeouts": settings.max_agent_ping_timeouts.to_string(),
            "port": settings.port.to_string(),
        });
        if let Value::Object(flags) = &mut flags {
            if let Some(timeout) = settings.offer_timeout {
                flags.insert("offer_timeout".to_owned(), json!(seconds(timeout)));
            }
            if let Some(zk) = &settings.zk {
                flags.insert("zk".to_owned(), json!(zk));
                flags.insert("zk_session_timeout".to_owned(), json!("10secs"));
            }
        }
        if let Value::Object(flags) = &mut flags {
            flags.extend(settings.flags.iter().map(|(name, value)| (name.clone(), json!(value))));
        }
        flags
    }

    fn count(&self, chosen: impl Fn(&Agent) -> bool) -> f64 {
        self.agents.iter().filter(|agent| chosen(agent)).fold(0.0, |sum, _| sum + 1.0)
    }

    fn state_page(&self) -> Value {
        let info = self.info();
        let registered = |agent: &Agent| agent.standing == Standing::Registered;
        json!({
            "version": self.configuration.version,
            "start_time": self.timestamp(self.started),
            "elected_time": self.timestamp(self.elected),
            "id": self.id,
            "pid": info.pid,
            "hostname": info.hostname,
            "capabilities": ["AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2"],
            "activated_slaves": self.count(Agent::is_active),
            "deactivated_slaves": self.count(|agent| registered(agent) && !agent.is_active()),
            "unreachable_slaves": self.count(|it| matches!(it.standing, Standing::Unreachable(_))),
            "flags": self.flags(),
            "leader": info.pid,
            "leader_info": {
                "id": self.id, "pid": info.pid, "port": info.port, "hostname": info.hostname,
            },
            "slaves": self.slaves(Standing::Registered),
            "recovered_slaves": self.slaves(Standing::Recovered),
            "frameworks": self.framework_pages(false),
            "completed_frameworks": self.framework_pages(true),
            "orphan_tasks": [],
            "unregistered_frameworks": [],
        })
    }

    fn slaves(&self, standing: Standing) -> Vec<Value> {
        let chosen = self.agents.iter().filter(|agent| agent.standing == standing);
        chosen.map(|agent| self.slave(agent)).collect()
    }

    /// Agents with their resources in full.
    fn full_slaves(&self) -> Vec<Value> {
        let list = |resources: Vec<mesos::Resource>| -> Vec<Value> {
            resources.iter().map(as_json).collect()
        };
        let registered = self.agents.iter().filter(|it| it.standing == Standing::Registered);
        registered
            .map(|agent| {
                let mut page = self.slave(agent);
                let reserved = agent.total.reserved().into_iter();
                let reserved: Map<String, Value> = reserved
                    .map(|(role, bundle)| (role, json!(list(bundle.with_roles()))))
                    .collect();
                let full = [
                    ("reserved_resources_full", json!(reserved)),
                    (
                        "unreserved_resources_full",
                        json!(list(self.all_of(agent).unreserved().with_roles())),
                    ),
                    ("used_resources_full", json!(list(self.allocated_on(agent)))),
                    ("offered_resources_full", json!(list(self.offered_on(agent)))),
                ];
                if let Value::Object(page) = &mut page {
                    page.extend(full.map(|(name, value)| (name.to_owned(), value)));
                }
                page
            })
            .collect()
    }

    fn slave(&self, agent: &Agent) -> Value {
        let mut attributes = Map::new();
        for attribute in &agent.spec.attributes {
            let value = match attribute.r#type() {
                ValueType::Scalar => attribute.scalar.map(|it| json!(it.value)),
                ValueType::Text => attribute.text.as_ref().map(|it| json!(it.value)),
                ValueType::Ranges => {
                    attribute.ranges.as_ref().map(|it| json!(Intervals::from(it).to_string()))
                }
                ValueType::Set => attribute.set.as_ref().map(|it| json!(it.item)),
            };
            attributes.insert(attribute.name.clone(), value.unwrap_or_default());
        }
        let total = page_of(&agent.total, true);
        let reserved = agent.total.reserved();
        let reserved: Map<String, Value> =
            reserved.into_iter().map(|(role, bundle)| (role, page_of(&bundle, false))).collect();
        let mut page = json!({
            "id": agent.id.value,
            "hostname": agent.spec.hostname,
            "port": agent.spec.port,
            "attributes": attributes,
            "pid": agent.pid(),
            "registered_time": self.timestamp(agent.registered),
            "resources": total,
            "used_resources": page_of(&agent.used, false),
            "offered_resources": page_of(&agent.offered, false),
            "reserved_resources": reserved,
            "unreserved_resources": page_of(&agent.total.unreserved(), true),
            "active": agent.is_active(),
            "deactivated": agent.is_deactivated,
            "version": VERSION,
            "capabilities": super::operator::AGENT_CAPABILITIES.map(|it| it.name()),
        });
        if let (Value::Object(page), Some(at)) = (&mut page, agent.reregistered) {
            page.insert("reregistered_time".to_owned(), json!(self.timestamp(at)));
        }
        let drain = self.drain_info(agent);
        if let (Value::Object(page), Some((info, started))) = (&mut page, drain) {
            page.insert("drain_info".to_owned(), as_json(&info));
            page.insert("estimated_drain_start_time_seconds".to_owned(), json!(started));
        }
        page
    }

    fn framework_pages(&self, is_over: bool) -> Vec<Value> {
        let chosen = self.frameworks.iter().filter(|framework| match framework.standing {
            framework::Standing::Known => !is_over,
            framework::Standing::Removed(_) => is_over,
            framework::Standing::Forgotten => false,
        });
        chosen.map(|framework| self.framework_page(framework)).collect()
    }

    fn framework_page(&self, framework: &Framework) -> Value {
        let mut used = Bundle::default();
        for task in framework.tasks.values().filter(|task| !task.is_freed) {
            used.add(&task.bundle);
        }
        let mut offered = Bundle::default();
        for offer in framework.offers.iter().filter_map(|number| self.offers.get(number)) {
            offered.add(&offer.bundle);
        }
        let mut all = used.clone();
        all.add(&offered);
        let info = &framework.info;
        let known: Vec<&str> = info.capabilities.iter().map(|it| it.r#type().name()).collect();
        let page = |task: &Task| task_page(framework, task);
        let offers: Vec<Value> =
            framework.offers.iter().filter_map(|it| self.offer_page(*it)).collect();
        let unregistered = framework.unregistered.map_or(0.0, |at| self.timestamp(at));
        let mut page = json!({
            "id": framework.id.value,
            "name": info.name,
            "used_resources": page_of(&used, false),
            "offered_resources": page_of(&offered, false),
            "capabilities": known,
            "hostname": info.hostname(),
            "webui_url": info.webui_url(),
            "active": framework.stream.is_some(),
            "connected": framework.stream.is_some(),
            "recovered": false,
            "user": info.user,
            "failover_timeout": info.failover_timeout(),
            "checkpoint": info.checkpoint(),
            "registered_time": self.timestamp(framework.registered),
            "unregistered_time": unregistered,
            "resources": page_of(&all, false),
            "roles": framework.roles().iter().map(|role| (**role).to_owned()).collect::<Vec<_>>(),
            "tasks": framework.tasks.values().map(page).collect::<Vec<_>>(),
            "unreachable_tasks": framework.unreachable.values().map(page).collect::<Vec<_>>(),
            "completed_tasks": framework.completed.iter().map(page).collect::<Vec<_>>(),
            "executors": [],
            "offers": offers,
            "offer_constraints": as_json(&framework.constraints.clone().unwrap_or_default()),
        });
        if let Value::Object(page) = &mut page {
            if let Some(principal) = &info.principal {
                page.insert("principal".to_owned(), json!(principal));
            }
            if framework.reregistered != framework.registered {
                let at = self.timestamp(framework.reregistered);
                page.insert("reregistered_time".to_owned(), json!(at));
            }
        }
        page
    }

    fn offer_page(&self, number: u64) -> Option<Value> {
        let offer = self.offers.get(&number)?;
        Some(json!({
            "id": self.offer_id(number).value,
            "framework_id": self.framework(offer.framework)?.id.value,
            "allocation_info": { "role": &*offer.role },
            "slave_id": self.agent(offer.agent)?.id.value,
            "resources": page_of(&offer.bundle, false),
        }))
    }

    fn task_pages(&self) -> Vec<Value> {
        let mut pages = Vec::new();
        for framework in &self.frameworks {
            let all = framework.tasks.values().chain(framework.unreachable.values());
            pages.extend(all.chain(&framework.completed).map(|task| task_page(framework, task)));
        }
        pages
    }

    fn role_pages(&self) -> Vec<Value> {
        let page = |role: mesos::Role| {
            let frameworks: Vec<String> = role.frameworks.into_iter().map(|id| id.value).collect();
            json!({ "name": role.name, "weight": role.weight, "frameworks": frameworks })
        };
        self.wire_roles().into_iter().map(page).collect()
    }

    fn metrics(&self, is_leading: bool) -> Value {
        let known = |framework: &&Framework| framework.standing == framework::Standing::Known;
        let frameworks: f64 = self.frameworks.iter().filter(known).fold(0.0, |sum, _| sum + 1.0);
        let connected = self.frameworks.iter().filter(|it| it.stream.is_some());
        let connected = connected.fold(0.0, |sum: f64, _| sum + 1.0);
        let of_all = |state: mesos::TaskState| -> f64 {
            let tasks = self.frameworks.iter().flat_map(|it| it.tasks.values());
            tasks.filter(|task| task.state == state).fold(0.0, |sum, _| sum + 1.0)
        };
        let offers: f64 = self.offers.iter().fold(0.0, |sum, _| sum + 1.0);
        let mut metrics = json!({
            "master/elected": if is_leading { 1.0 } else { 0.0 },
            "master/uptime_secs": crate::configuration::seconds(self.now - self.started),
            "master/slaves_active": self.count(Agent::is_active),
            "master/slaves_connected": self.count(|agent| agent.is_connected),
            "master/slaves_unreachable":
                self.count(|agent| matches!(agent.standing, Standing::Unreachable(_))),
            "master/frameworks_active": connected,
            "master/frameworks_connected": connected,
            "master/frameworks_disconnected": frameworks - connected,
            "master/outstanding_offers": offers,
            "master/tasks_staging": of_all(mesos::TaskState::Staging),
            "master/tasks_starting": of_all(mesos::TaskState::Starting),
            "master/tasks_running": of_all(mesos::TaskState::Running),
            "master/tasks_killing": of_all(mesos::TaskState::Killing),
        });
        let Value::Object(figures) = &mut metrics else { return metrics };
        // Nothing is replicated: there is no log to recover, and those that could lead are what its
        // members are.
        if self.members.is_some() || !self.configuration.flags.is_empty() {
            figures.insert("registrar/log/recovered".to_owned(), json!(1.0));
        }
        if let Some(members) = self.members {
            figures.insert("registrar/log/ensemble_size".to_owned(), json!(count_of(members)));
        }
        metrics
    }
}

/// Metrics are numbers with a point.
fn count_of(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn as_json<M: mesos::Data>(message: &M) -> Value {
    serde_json::from_slice(&Encoding::Json.encode(message)).unwrap_or_default()
}

/// Resources as pages have them: the usual ones always, ports as a text.
fn page_of(bundle: &Bundle, is_total: bool) -> Value {
    let mut page = Map::new();
    for name in ["disk", "mem", "gpus", "cpus"] {
        page.insert(name.to_owned(), json!(bundle.scalar(name).to_f64()));
    }
    for (name, _) in bundle.scalars() {
        page.insert((**name).to_owned(), json!(bundle.scalar(name).to_f64()));
    }
    for resource in bundle.resources() {
        if let Some(numbers) = resource.numbers().filter(|it| is_total || !it.is_empty()) {
            page.insert(resource.name, json!(numbers.to_string()));
        }
    }
    Value::Object(page)
}

fn task_page(framework: &Framework, task: &Task) -> Value {
    let statuses: Vec<Value> = task
        .statuses
        .iter()
        .map(|status| {
            let mut page = Map::new();
            page.insert("state".to_owned(), json!(status.state().name()));
            page.insert("timestamp".to_owned(), json!(status.timestamp()));
            if let Some(healthy) = status.healthy {
                page.insert("healthy".to_owned(), json!(healthy));
            }
            if let Some(container) = &status.container_status {
                let mut container = container.clone();
                container.executor_pid = None;
                page.insert("container_status".to_owned(), as_json(&container));
            }
            Value::Object(page)
        })
        .collect();
    let info = &task.info;
    let executor = info.executor.as_ref().map(|it| it.executor_id.value.clone());
    let labels = info.labels.as_ref().map(as_json);
    let mut page = json!({
        "id": info.task_id.value,
        "name": info.name,
        "framework_id": framework.id.value,
        "executor_id": executor.unwrap_or_default(),
        "slave_id": info.agent_id.value,
        "state": task.state.name(),
        "resources": page_of(&task.bundle, false),
        "role": &*task.role,
        "statuses": statuses,
    });
    if let Value::Object(page) = &mut page {
        if let Some(labels) = labels.and_then(|it| it.get("labels").cloned()) {
            page.insert("labels".to_owned(), labels);
        }
        if let Some(discovery) = &info.discovery {
            page.insert("discovery".to_owned(), as_json(discovery));
        }
        if let Some(user) = info.command.as_ref().and_then(|command| command.user.as_ref()) {
            page.insert("user".to_owned(), json!(user));
        }
        if let Some(check) = &info.health_check {
            page.insert("health_check".to_owned(), as_json(check));
        }
        if let Some(container) = &info.container {
            page.insert("container".to_owned(), as_json(container));
        }
    }
    page
}
