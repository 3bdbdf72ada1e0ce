//! Reservations and volumes: what is done with offered resources besides starting tasks
//! (master/validation.cpp, recording 11). An operation changes whose something is, never how much of
//! it there is.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesos::scheduler::{AcknowledgeOperationStatus, Event, UpdateOperationStatus};
use mesos::{
    Operation, OperationState, OperationStatus, OperationType, ReservationType, Resource, Uuid,
};

use super::{Due, Master, Output};
use crate::agent::{AgentKey, Body};
use crate::framework::FrameworkKey;
use crate::mark::Mark;
use crate::outside::Told;
use crate::{Bundle, Nanoseconds, SECOND};

/// After this long a status that isn't acknowledged is sent again, and then after twice as long.
const RETRY_MIN: Nanoseconds = 10 * SECOND;

/// The longest pause between two.
const RETRY_MAX: Nanoseconds = 600 * SECOND;

/// A status of an operation that its framework hasn't acknowledged.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    framework: FrameworkKey,
    status: OperationStatus,
    delay: Nanoseconds,
}

/// What an operation takes and what it makes of it.
struct Change {
    from: Bundle,
    to: Bundle,
    /// Volumes that end.
    ended: Vec<String>,
}

impl Master {
    /// Does one operation with what is left of offers, and says so if it has a name.
    pub(super) fn use_offered(
        &mut self,
        key: FrameworkKey,
        agent: AgentKey,
        role: &Arc<str>,
        operation: Operation,
        rest: &mut Bundle,
    ) {
        let changed = self.change_by(agent, role, &operation).and_then(|change| {
            if rest.contains(&change.from) {
                return Ok(change);
            }
            Err(format!("{} does not contain {}", rest.describe(role), change.from.describe(role)))
        });
        let change = match changed {
            Ok(change) => change,
            Err(message) if operation.id.is_some() => {
                let state = OperationState::Error;
                return self.tell_of_operation(key, operation.id, None, state, &message);
            }
            Err(_) => return,
        };
        let total = self.agent_mut(agent).map(|agent| &mut agent.total);
        for bundle in std::iter::once(&mut *rest).chain(total) {
            bundle.take(&change.from);
            bundle.add(&change.to);
        }
        let is_outside = self.agent(agent).is_some_and(|it| matches!(it.spec.body, Body::Outside));
        if is_outside {
            let resources = self.agent(agent).map(|it| it.total.resources()).unwrap_or_default();
            let told = Told::Holds { resources, ended: change.ended };
            self.outputs.push_back(Output::Run(agent, told));
        }
        if operation.id.is_some() {
            self.finished(key, agent, operation);
        }
    }

    fn finished(&mut self, key: FrameworkKey, agent: AgentKey, operation: Operation) {
        let uuid = self.random.uuid().to_vec();
        let status = OperationStatus {
            operation_id: operation.id,
            state: OperationState::Finished.into(),
            uuid: Some(Uuid { value: uuid.clone() }),
            agent_id: self.agent(agent).map(|it| it.id.clone()),
            ..OperationStatus::default()
        };
        let one = Unacknowledged { framework: key, status, delay: RETRY_MIN };
        self.operations.insert(uuid.clone(), one);
        self.send_operation(&uuid);
    }

    pub(super) fn send_operation(&mut self, uuid: &[u8]) {
        let Some(one) = self.operations.get_mut(uuid) else { return };
        let (key, status, delay) = (one.framework, one.status.clone(), one.delay);
        one.delay = (delay * 2).min(RETRY_MAX);
        if self.framework(key).is_none_or(|it| it.standing != crate::framework::Standing::Known) {
            self.operations.remove(uuid);
            return;
        }
        self.tell(key, Event::update_operation_status(UpdateOperationStatus { status }));
        self.after(delay, Due::Operation(uuid.to_vec()));
    }

    pub(super) fn acknowledge_operation(
        &mut self,
        key: FrameworkKey,
        call: &AcknowledgeOperationStatus,
    ) {
        if self.operations.get(&call.uuid).is_some_and(|one| one.framework == key) {
            self.operations.remove(&call.uuid);
        }
    }

    /// What an operation takes and makes, whether or not it is there; or why it makes no sense.
    fn change_by(
        &self,
        agent: AgentKey,
        role: &Arc<str>,
        operation: &Operation,
    ) -> Result<Change, String> {
        match operation.r#type() {
            OperationType::Reserve => {
                let resources = operation.reserve.clone().unwrap_or_default().resources;
                check_reservations(&resources, role)?;
                let to = read(&resources, "RESERVE")?;
                let from = unmarked(&to, Mark::without_reservation);
                let from = from.ok_or("Resources to reserve are not dynamically reserved")?;
                Ok(Change { from, to, ended: Vec::new() })
            }
            OperationType::Unreserve => {
                let resources = operation.unreserve.clone().unwrap_or_default().resources;
                let from = read(&resources, "UNRESERVE")?;
                let to = unmarked(&from, Mark::without_reservation);
                let to = to
                    .ok_or("Resources to unreserve are not dynamically reserved, or are volumes")?;
                Ok(Change { from, to, ended: Vec::new() })
            }
            OperationType::Create => {
                let volumes = operation.create.clone().unwrap_or_default().volumes;
                self.check_volumes(agent, &volumes)?;
                let to = read(&volumes, "CREATE")?;
                let from = unmarked(&to, Mark::without_volume);
                let from = from.ok_or("Resources to create are no persistent volumes")?;
                Ok(Change { from, to, ended: Vec::new() })
            }
            OperationType::Destroy => {
                let volumes = operation.destroy.clone().unwrap_or_default().volumes;
                let from = read(&volumes, "DESTROY")?;
                let to = unmarked(&from, Mark::without_volume);
                let to = to.ok_or("Resources to destroy are no persistent volumes")?;
                let ended = from.volumes().map(str::to_owned).collect();
                Ok(Change { from, to, ended })
            }
            other => Err(format!("{other} is not supported by the simulated master")),
        }
    }

    /// Names of volumes are those of folders, and no two of an agent are the same.
    fn check_volumes(&self, agent: AgentKey, volumes: &[Resource]) -> Result<(), String> {
        let there = self.agent(agent);
        let mut known: BTreeSet<String> =
            there.iter().flat_map(|it| it.total.volumes().map(str::to_owned)).collect();
        for volume in volumes {
            let persistence = volume.disk.as_ref().and_then(|disk| disk.persistence.as_ref());
            let Some(persistence) = persistence else {
                return Err("'persistence' is not set in DiskInfo".to_owned());
            };
            mesos::name::check_id(&persistence.id).map_err(|error| error.to_string())?;
            if volume.disk.as_ref().is_none_or(|disk| disk.volume.is_none()) {
                return Err("Expecting 'volume' to be set for persistent volume".to_owned());
            }
            if Mark::of(volume).is_none_or(|mark| mark.role().is_none()) {
                return Err(
                    "Persistent volumes cannot be created from unreserved resources".to_owned()
                );
            }
            if !known.insert(persistence.id.clone()) {
                return Err(format!("Persistence ID '{}' already exists", persistence.id));
            }
        }
        Ok(())
    }
}

fn read(resources: &[Resource], name: &str) -> Result<Bundle, String> {
    if resources.is_empty() {
        return Err(format!("{name} names no resources"));
    }
    Bundle::of(resources).map_err(|error| error.to_string())
}

fn unmarked(bundle: &Bundle, change: impl Fn(&Mark) -> Option<Option<Mark>>) -> Option<Bundle> {
    bundle.marked(|mark| mark.and_then(&change))
}

/// Whoever is offered something in a role reserves it for that role.
fn check_reservations(resources: &[Resource], role: &Arc<str>) -> Result<(), String> {
    for resource in resources {
        let mark = Mark::of(resource).unwrap_or_default();
        let Some(last) = mark.reservations.last() else {
            return Err(format!("Resource '{}' is not reserved", resource.name));
        };
        if last.r#type() != ReservationType::Dynamic {
            return Err("Only dynamic reservations can be made".to_owned());
        }
        if last.role() != &**role {
            return Err(format!(
                "A reserve operation was attempted for a resource with role '{}', but the \
                 framework can only reserve resources with role '{role}'",
                last.role()
            ));
        }
    }
    Ok(())
}
