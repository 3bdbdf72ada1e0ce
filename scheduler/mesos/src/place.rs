//! A machine as Mesos shows it: its agent, its offers, what waits for them, and what the core was
//! told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesos::{AgentId, Attribute, Encoding, FrameworkId, Offer, OfferId, Unavailability, ValueType};
use policy::{Nanoseconds, Time};
use scheduler_core::command::Launch;
use scheduler_core::ids::{InstanceId, MachineName};
use scheduler_core::machine::Description;
use scheduler_core::volume::VolumeId;

use crate::disks::Disks;
use crate::resources::{Amounts, Pool};

/// The attribute of machines that holds the id of their agent, so that it is known after a restart.
pub const AGENT_ATTRIBUTE: &str = "mesos_agent";

/// The port of agents; those with another one, of which a host may have several, have it in the name
/// of their machine.
const AGENT_PORT: i32 = 5051;

/// So long before a machine is to be taken away its instances move: replacements need their start
/// and warm-up, and old instances their cool-down.
pub const LEAVE_AHEAD: Nanoseconds = Nanoseconds::from_seconds(600);

/// An offer that is held.
#[derive(Debug, Clone)]
pub(crate) struct HeldOffer {
    /// An offer with its resources alone, as protobuf: that is a twentieth of what it takes as a message,
    /// and offers of 10,000 agents are held.
    resources: Box<[u8]>,
    pub(crate) since: Time,
}

impl HeldOffer {
    pub(crate) fn new(offer: &Offer, since: Time) -> Self {
        let resources = Offer { resources: offer.resources.clone(), ..Offer::default() };
        HeldOffer { resources: Encoding::Protobuf.encode(&resources).into(), since }
    }

    fn offer(&self) -> Offer {
        // What was written by the same table can be read.
        Encoding::Protobuf.decode(&self.resources).unwrap_or_default()
    }
}

/// A launch that waits for an offer.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) launch: Launch,
    pub(crate) since: Time,
}

/// A volume that is to be destroyed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    /// Since when.
    pub(crate) since: Time,
    /// When the operations were sent that do it.
    pub(crate) sent: Option<Time>,
    /// When an offer came last that had something of it, or that its end was sent.
    pub(crate) seen: Time,
}

/// Where resources are that are free and not on offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Absent {
    /// There are none: all that is free is on offer.
    #[default]
    None,
    /// They were left by tasks or by an acceptance, and are offered again soon; until then they
    /// count.
    Returning(Time),
    /// They were declined for long, and count until somebody says otherwise.
    Declined,
}

/// A machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// The agent that was seen there last.
    pub(crate) agent: Option<Arc<AgentId>>,
    pub(crate) offers: BTreeMap<OfferId, HeldOffer>,
    pub(crate) waiting: Vec<Waiting>,
    /// Volumes that are to be destroyed.
    pub(crate) ending: BTreeMap<VolumeId, Ending>,
    /// Volumes whose task has ended, and until when they are awaited on offer: offers that are held don't
    /// show what it had, and it must not be made a second time.
    pub(crate) returning: BTreeMap<VolumeId, Time>,
    /// Offers may show more for a volume than it is to have.
    pub(crate) may_have_surplus: bool,
    /// Since when a volume is to have less than it had, which no offer has shown yet.
    pub(crate) releasing: Option<Time>,
    /// Tasks that were sent there and haven't ended.
    pub(crate) tasks: BTreeSet<InstanceId>,
    /// What those tasks have.
    pub(crate) used: Amounts,
    pub(crate) absent: Absent,
    /// What its offers say of it apart from resources.
    pub(crate) attributes: Arc<BTreeMap<String, String>>,
    /// What the core was told last.
    pub(crate) told: Option<Description>,
    /// The core has to be told that it is there, whatever was told before.
    pub(crate) is_news: bool,
    pub(crate) is_told_silent: bool,
    /// Something was heard of it since the subscription.
    pub(crate) is_heard: bool,
    pub(crate) is_told_leaving: bool,
    /// Its agent says that it is being emptied.
    pub(crate) is_drained: bool,
    /// When it is to be taken away, in nanoseconds since 1970.
    pub(crate) unavailable_from: Option<i64>,
}

impl Place {
    /// What it has for us: what is on offer, what we have, and what is about to be offered again.
    pub(crate) fn total(&self, framework: Option<&FrameworkId>) -> Amounts {
        let offers = self.offers();
        let mut exact = Pool::of(&offers, framework).amounts();
        exact.disk = Disks::of(&offers, framework).amount();
        exact.add(&self.used);
        match (&self.told, self.absent) {
            (Some(told), Absent::Returning(_) | Absent::Declined) => {
                exact.at_least(&Amounts::described(told))
            }
            _ => exact,
        }
    }

    /// What is on offer: resources alone.
    pub(crate) fn offers(&self) -> Vec<Offer> {
        self.offers.values().map(HeldOffer::offer).collect()
    }

    /// Whether it is to be left now.
    pub(crate) fn is_leaving(&self, now: Time) -> bool {
        let soon = i64::try_from((now + LEAVE_AHEAD).0).unwrap_or(i64::MAX);
        self.is_drained || self.unavailable_from.is_some_and(|from| from <= soon)
    }

    pub(crate) fn unavailable(&mut self, unavailability: Option<&Unavailability>) {
        self.unavailable_from = unavailability.map(|one| one.start.nanoseconds);
    }

    /// An instance doesn't wait any more.
    pub(crate) fn withdraw(&mut self, id: &InstanceId) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.launch.instance != *id);
        self.waiting.len() != before
    }
}

/// The name of the machine of an offer: the host's, with the agent's port if it isn't the usual one.
pub(crate) fn machine_name(offer: &Offer) -> Option<MachineName> {
    let port = offer.url.as_ref().map_or(AGENT_PORT, |url| url.address.port);
    let name = match port {
        AGENT_PORT => offer.hostname.clone(),
        port => format!("{}:{port}", offer.hostname),
    };
    name.parse().ok()
}

/// What an offer says of its machine apart from resources.
pub(crate) fn attributes(offer: &Offer) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    if let Some(domain) = offer.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref()) {
        attributes.insert("region".to_owned(), domain.region.name.clone());
        attributes.insert("zone".to_owned(), domain.zone.name.clone());
    }
    let told = offer.attributes.iter();
    attributes.extend(told.filter_map(|one| Some((one.name.clone(), value(one)?))));
    attributes.insert(AGENT_ATTRIBUTE.to_owned(), offer.agent_id.value.clone());
    attributes
}

fn value(attribute: &Attribute) -> Option<String> {
    match attribute.r#type() {
        ValueType::Text => attribute.text.as_ref().map(|text| text.value.clone()),
        ValueType::Scalar => attribute.scalar.map(|scalar| scalar.value.to_string()),
        ValueType::Set => attribute.set.as_ref().map(|set| set.item.join(",")),
        ValueType::Ranges => attribute
            .ranges
            .as_ref()
            .map(|ranges| mesos::quantity::Intervals::from(ranges).to_string()),
    }
}
