//! What is to be done. All commands but a write wait until the state that decided them is durable.
//! Each may be repeated: whoever carries them out does nothing a second time.

use std::sync::Arc;

use policy::Nanoseconds;
use serde::{Deserialize, Serialize};

use crate::app::{App, Specification};
use crate::decision::Decision;
use crate::event::{Accepted, Refusal};
use crate::ids::{AppName, Epoch, InstanceId, MachineName, Receipt, RequestId, WriteNumber};
use crate::instance::Instance;
use crate::machine::Machine;
use crate::ports::Ports;
use crate::state::Cluster;
use crate::volume::{OwnVolume, Part, Reserved, Volume, VolumeId};

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Make these changes durable, all or none, and say so by an event. There is one at a time.
    Persist(Write),
    /// Start an instance. It is sent once in the life of an instance, and is void if the epoch is
    /// over.
    Launch(Launch),
    /// End the process of an instance: ask it, and make it end after the grace.
    Kill {
        /// Which one.
        instance: InstanceId,
        /// Where.
        machine: MachineName,
        /// Time to end in peace.
        grace: Nanoseconds,
        /// Void if this is over.
        epoch: Epoch,
    },
    /// Let an instance be found with this weight, and say so by a fact.
    Register {
        /// Which one.
        instance: InstanceId,
        /// Where.
        machine: MachineName,
        /// Its ports.
        ports: Ports,
        /// In thousandths.
        weight_thousandths: u32,
        /// Void if this is over.
        epoch: Epoch,
    },
    /// Let an instance not be found any more, and say so by a fact.
    Deregister {
        /// Which one.
        instance: InstanceId,
        /// Where.
        machine: MachineName,
        /// Void if this is over.
        epoch: Epoch,
    },
    /// Keep this of a machine for a set of volumes, beside its disk, and give back what is more. Launches
    /// say it, too.
    Reserve {
        /// Which one.
        volume: VolumeId,
        /// Where.
        machine: MachineName,
        /// How much.
        reserved: Reserved,
        /// Void if this is over.
        epoch: Epoch,
    },
    /// Destroy a set of volumes, if it is there, and say by a fact that it isn't.
    Destroy {
        /// Which one.
        volume: VolumeId,
        /// What it has.
        parts: Vec<Part>,
        /// Where.
        machine: MachineName,
        /// Void if this is over.
        epoch: Epoch,
    },
    /// Say how these instances are, by facts.
    Ask(Vec<(InstanceId, MachineName)>),
    /// All that was told before this receipt was given is durable.
    Acknowledge {
        /// Which one.
        receipt: Receipt,
    },
    /// Answer a call.
    Answer {
        /// Which one.
        request: RequestId,
        /// What became of it.
        answer: Result<Accepted, Refusal>,
    },
    /// Add this to the decision log.
    Record(Box<Decision>),
}

/// A start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// Which instance.
    pub instance: InstanceId,
    /// Where.
    pub machine: MachineName,
    /// Its ports.
    pub ports: Ports,
    /// What to run.
    pub specification: Arc<Specification>,
    /// The volumes that it has, if its app has volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<OwnVolume>,
    /// Void if this is over.
    pub epoch: Epoch,
}

/// Changes that become durable together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// Its number in this term.
    pub number: WriteNumber,
    /// The term: a store refuses writes of terms that are over.
    pub epoch: Epoch,
    /// What changes: a record, or that there is none any more.
    pub changes: Vec<(Key, Option<Record>)>,
}

/// The name of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// What isn't of one app or machine.
    Cluster,
    /// A machine.
    Machine(MachineName),
    /// An app without its instances.
    App(AppName),
    /// An instance.
    Instance(InstanceId),
    /// A set of volumes.
    Volume(VolumeId),
}

/// A part of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// What isn't of one app or machine.
    Cluster(Cluster),
    /// A machine.
    Machine(Machine),
    /// An app without its instances.
    App(Box<App>),
    /// An instance.
    Instance(Box<Instance>),
    /// A set of volumes.
    Volume(Volume),
}
