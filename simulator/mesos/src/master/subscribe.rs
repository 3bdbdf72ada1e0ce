//! How frameworks come and go: subscription, failover, removal, heartbeats.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesos::name::{check_id, check_role};
use mesos::scheduler::{Error, Event, OfferConstraints, Subscribe, Subscribed};
use mesos::{FrameworkCapabilityType, FrameworkId, FrameworkInfo};

use super::{Delivery, Due, Master, Output, StreamKey};
use crate::configuration::seconds;
use crate::framework::{Framework, FrameworkKey, Standing, can, roles};
use crate::{MILLISECOND, Nanoseconds, nanoseconds};

/// Even without a timeout the removal is a step of its own; calls before it are told apart.
const REMOVAL_TIME: Nanoseconds = 10 * MILLISECOND;

impl Master {
    /// A scheduler subscribes on a stream; the answer is in the stream.
    pub fn subscribe(&mut self, stream: StreamKey, stream_id: &str, call: Subscribe) {
        let Subscribe { framework_info: info, suppressed_roles, offer_constraints } = call;
        let error = check_info(&info)
            .or_else(|| check_suppressed(&info, &suppressed_roles))
            .or_else(|| check_constraints(offer_constraints.as_ref()));
        if let Some(message) = error {
            return self.refuse(stream, &message);
        }
        let given = info.id.clone().filter(|id| !id.value.is_empty());
        let known = given.as_ref().and_then(|id| self.framework_keys.get(&id.value).copied());
        let standing = known.and_then(|key| self.framework(key)).map(|it| it.standing);
        let suppressed = suppressed_roles.iter().map(|role| role.as_str().into()).collect();
        match (known, standing) {
            (Some(_), Some(Standing::Removed(_))) => {
                self.refuse(stream, "Framework has been removed");
            }
            (Some(key), Some(Standing::Known)) => {
                let framework = self.framework(key);
                let old = framework.map(|it| it.info.principal.clone());
                if old.is_some_and(|old| old != info.principal) {
                    return self.refuse(stream, "Changing framework's principal is not allowed.");
                }
                self.fail_over(key, info);
                self.open(key, stream, stream_id, suppressed, offer_constraints);
            }
            (Some(key), _) => {
                // A master before this one knew it: agents still run its tasks.
                let now = self.now;
                if let Some(framework) = self.framework_mut(key) {
                    let generation = framework.generation;
                    *framework = Framework::new(framework.id.clone(), info, now);
                    framework.generation = generation;
                }
                self.adopt_tasks_of(key);
                self.open(key, stream, stream_id, suppressed, offer_constraints);
            }
            (None, _) => {
                let id = given.unwrap_or_else(|| {
                    let id = FrameworkId::new(format!("{}-{:04}", self.id, self.next_framework));
                    self.next_framework += 1;
                    id
                });
                let key = FrameworkKey(u32::try_from(self.frameworks.len()).unwrap_or(u32::MAX));
                let info = FrameworkInfo { id: Some(id.clone()), ..info };
                self.frameworks.push(Framework::new(id.clone(), info, self.now));
                self.framework_keys.insert(id.value, key);
                self.open(key, stream, stream_id, suppressed, offer_constraints);
            }
        }
    }

    fn refuse(&mut self, stream: StreamKey, message: &str) {
        let event = Event::error(Error { message: message.to_owned() });
        self.outputs.push_back(Output::Record(stream, Delivery::Scheduler(Arc::new(event))));
        self.outputs.push_back(Output::Close(stream));
    }

    /// Another scheduler takes a framework over.
    fn fail_over(&mut self, key: FrameworkKey, info: FrameworkInfo) {
        let now = self.now;
        self.drop_offers_of(key);
        let Some(framework) = self.framework_mut(key) else { return };
        framework.reregistered = now;
        framework.unregistered = None;
        // The user and the checkpoint can't change; Mesos says nothing of it.
        framework.info = FrameworkInfo {
            id: framework.info.id.clone(),
            user: std::mem::take(&mut framework.info.user),
            checkpoint: framework.info.checkpoint,
            ..info
        };
        framework.refusals.clear();
        let old = framework.stream.take();
        if let Some((old, _)) = old {
            self.streams.remove(&old);
            self.refuse(old, "Framework failed over");
        }
    }

    fn open(
        &mut self,
        key: FrameworkKey,
        stream: StreamKey,
        stream_id: &str,
        suppressed: BTreeSet<Arc<str>>,
        constraints: Option<OfferConstraints>,
    ) {
        let interval = self.configuration.heartbeat_interval;
        let master_info = self.info();
        let Some(framework) = self.framework_mut(key) else { return };
        framework.stream = Some((stream, stream_id.to_owned()));
        framework.suppressed = suppressed;
        framework.constraints = constraints;
        framework.generation = framework.generation.wrapping_add(1);
        let framework_id = framework.id.clone();
        self.streams.insert(stream, key);
        self.tell(
            key,
            Event::subscribed(Subscribed {
                framework_id,
                heartbeat_interval_seconds: Some(seconds(interval)),
                master_info: Some(master_info),
            }),
        );
        self.tell(key, Event::heartbeat());
        self.after(interval, Due::Heartbeat(stream));
        self.announce_framework(key);
        let agents = self.all_agents();
        self.send_updates_again(key);
        self.allocate(&agents);
    }

    pub(super) fn heartbeat(&mut self, stream: StreamKey) {
        if let Some(key) = self.streams.get(&stream).copied() {
            self.tell(key, Event::heartbeat());
        } else if self.operators.contains_key(&stream) {
            self.heartbeat_operator(stream);
        } else {
            return;
        }
        self.after(self.configuration.heartbeat_interval, Due::Heartbeat(stream));
    }

    /// The connection of a stream is broken.
    pub fn disconnected(&mut self, stream: StreamKey) {
        self.operators.remove(&stream);
        let Some(key) = self.streams.remove(&stream) else { return };
        let now = self.now;
        self.drop_offers_of(key);
        let Some(framework) = self.framework_mut(key) else { return };
        framework.stream = None;
        framework.unregistered = Some(now);
        framework.refusals.clear();
        framework.generation = framework.generation.wrapping_add(1);
        let timeout = nanoseconds(framework.info.failover_timeout()).max(REMOVAL_TIME);
        let generation = framework.generation;
        self.after(timeout, Due::Failover(key, generation));
    }

    pub(super) fn fail_over_too_late(&mut self, key: FrameworkKey, generation: u32) {
        let is_late = self.framework(key).is_some_and(|it| {
            it.generation == generation && it.stream.is_none() && it.standing == Standing::Known
        });
        if is_late {
            self.remove_framework(key);
        }
    }

    /// Ends a framework and all of its tasks.
    pub(super) fn remove_framework(&mut self, key: FrameworkKey) {
        self.drop_offers_of(key);
        self.drop_inverse_offers(|framework, _| framework == key, false);
        self.remove_tasks_of(key);
        let now = self.now;
        let Some(framework) = self.framework_mut(key) else { return };
        framework.standing = Standing::Removed(now);
        framework.unregistered = Some(now);
        framework.refusals.clear();
        if let Some((stream, _)) = framework.stream.take() {
            self.streams.remove(&stream);
            self.outputs.push_back(Output::Close(stream));
        }
        self.accounts.forget(key);
        self.announce_removal(key);
    }

    /// Says whether a call may be made on a stream; else the status and the words of the refusal.
    pub(crate) fn check_stream(
        &self,
        id: &FrameworkId,
        stream_id: Option<&str>,
    ) -> Result<FrameworkKey, (u16, String)> {
        let key = self.framework_keys.get(&id.value).copied();
        let framework = key.and_then(|key| self.framework(key));
        let (Some(key), Some(framework)) = (key, framework) else {
            return Err((400, "Framework cannot be found".to_owned()));
        };
        if framework.standing != Standing::Known {
            return Err((400, "Framework cannot be found".to_owned()));
        }
        let Some((_, own)) = &framework.stream else {
            return Err((403, "Framework is not subscribed".to_owned()));
        };
        match stream_id {
            None => Err((
                400,
                "All non-subscribe calls should include the 'Mesos-Stream-Id' header".to_owned(),
            )),
            Some(given) if given != own => Err((
                400,
                format!(
                    "The stream ID '{given}' included in this request didn't match the stream ID \
                     currently associated with framework ID {id}"
                ),
            )),
            Some(_) => Ok(key),
        }
    }

    /// Changes what a framework says of itself; else the status and the words of the refusal.
    pub(crate) fn update_framework(
        &mut self,
        key: FrameworkKey,
        call: mesos::scheduler::UpdateFramework,
    ) -> Result<(), (u16, String)> {
        let info = call.framework_info;
        let error = check_info(&info)
            .or_else(|| check_suppressed(&info, &call.suppressed_roles))
            .or_else(|| check_constraints(call.offer_constraints.as_ref()));
        if let Some(message) = error {
            return Err((400, format!("Supplied FrameworkInfo is not valid: {message}")));
        }
        let Some(framework) = self.framework_mut(key) else { return Ok(()) };
        let old = &framework.info;
        if let Some(message) = check_change(old, &info) {
            return Err((400, format!("'FrameworkInfo' update is not valid: {message}")));
        }
        framework.info = FrameworkInfo { id: framework.info.id.clone(), ..info };
        framework.suppressed = call.suppressed_roles.iter().map(|it| it.as_str().into()).collect();
        framework.constraints = call.offer_constraints;
        let left = framework.roles();
        framework.refusals.retain(|(role, _), _| left.contains(role));
        self.rescind_unwanted(key);
        self.announce_framework_change(key);
        let agents = self.all_agents();
        self.allocate(&agents);
        Ok(())
    }
}

/// What is wrong with a framework's description of itself, in Mesos' words.
fn check_info(info: &FrameworkInfo) -> Option<String> {
    if can(info, FrameworkCapabilityType::MultiRole) {
        if info.role.is_some() {
            return Some(
                "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
                    .to_owned(),
            );
        }
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<&str> =
            info.roles.iter().map(String::as_str).filter(|role| !seen.insert(*role)).collect();
        if !twice.is_empty() {
            let list = twice.into_iter().collect::<Vec<_>>().join(", ");
            return Some(format!("'FrameworkInfo.roles' contains duplicate items: {{ {list} }}"));
        }
        for role in &info.roles {
            if let Err(error) = check_role(role) {
                return Some(format!("'FrameworkInfo.roles' contains invalid role: {error}"));
            }
        }
    } else {
        if !info.roles.is_empty() {
            return Some(
                "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
                    .to_owned(),
            );
        }
        if let Err(error) = check_role(info.role.as_deref().unwrap_or("*")) {
            return Some(format!("'FrameworkInfo.role' is not a valid role: {error}"));
        }
    }
    let id = info.id.as_ref().filter(|id| !id.value.is_empty());
    if let Some(Err(error)) = id.map(|id| check_id(&id.value)) {
        return Some(error.to_string());
    }
    let timeout = info.failover_timeout();
    // Mesos counts durations in nanoseconds with 64 bits.
    if !timeout.is_finite() || timeout.abs() > 9.2e9 {
        return Some(format!("The framework failover_timeout ({timeout}) is invalid"));
    }
    None
}

fn check_suppressed(info: &FrameworkInfo, suppressed: &[String]) -> Option<String> {
    let own = roles(info);
    let other = suppressed.iter().find(|role| !own.iter().any(|it| **it == ***role));
    other.map(|role| format!("Suppressed role '{role}' is not contained in the list of roles"))
}

/// Regular expressions are RE2's, which isn't here: better a refusal than another meaning.
fn check_constraints(constraints: Option<&OfferConstraints>) -> Option<String> {
    let roles = constraints.iter().flat_map(|it| it.role_constraints.values());
    let has_regex = roles
        .flat_map(|role| &role.groups)
        .flat_map(|group| &group.attribute_constraints)
        .any(|it| it.predicate.text_matches.is_some() || it.predicate.text_not_matches.is_some());
    has_regex.then(|| {
        "Offer constraints with regular expressions are not supported by the simulated master"
            .to_owned()
    })
}

fn check_change(old: &FrameworkInfo, new: &FrameworkInfo) -> Option<String> {
    if old.principal != new.principal {
        return Some("Changing framework's principal is not allowed.".to_owned());
    }
    if old.user != new.user {
        return Some(format!(
            "Updating 'FrameworkInfo.user' is unsupported; attempted to update from '{}' to '{}'",
            old.user, new.user
        ));
    }
    (old.checkpoint() != new.checkpoint()).then(|| {
        format!(
            "Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update from '{}' to \
             '{}'",
            old.checkpoint(),
            new.checkpoint()
        )
    })
}
