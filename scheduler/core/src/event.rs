//! What can happen. Facts about processes and machines come from whoever runs them: Mesos, this
//! machine, or a simulation.

use std::fmt;
use std::sync::Arc;

use policy::Time;
use policy::rollout::Load;
use serde::{Deserialize, Serialize};

use crate::app::{Bounds, Run, Specification};
use crate::ids::{
    AppName, Epoch, InstanceId, MachineName, Receipt, RequestId, Version, WriteNumber,
};
use crate::instance::Exit;
use crate::machine::Description;
use crate::volume::{Part, VolumeId};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A user wants something.
    Call {
        /// Comes back with the answer.
        request: RequestId,
        /// What.
        call: Call,
    },
    /// Time has passed.
    Tick,
    /// Machines may have room that they had not: what waits for a machine is placed now, instead of
    /// with the next tick. Whoever tells of many machines says this once, after them.
    Room,
    /// This scheduler leads from now on; its state is what was stored.
    Leader {
        /// Its term, greater than all before.
        epoch: Epoch,
    },
    /// A write is durable.
    Durable {
        /// Which one.
        write: WriteNumber,
    },
    /// A write isn't durable, and won't be.
    NotDurable {
        /// Which one.
        write: WriteNumber,
    },
    /// Something about a machine.
    Machine {
        /// Which one.
        machine: MachineName,
        /// What.
        fact: MachineFact,
    },
    /// Something about an instance.
    Instance {
        /// Which one.
        instance: InstanceId,
        /// Where it is.
        machine: MachineName,
        /// When it was so, by the clock of who says it: older facts than known ones are void.
        at: Time,
        /// What.
        fact: InstanceFact,
    },
    /// Something about a set of volumes.
    Volume {
        /// Which one.
        volume: VolumeId,
        /// Where.
        machine: MachineName,
        /// What.
        fact: VolumeFact,
    },
    /// Whoever told the facts before wants to know when all that they changed is durable.
    Told {
        /// Comes back by a command then.
        receipt: Receipt,
    },
    /// What an app had to do.
    Load {
        /// Which app.
        app: AppName,
        /// When the period ended.
        at: Time,
        /// What there was to do.
        load: Load,
    },
}

/// What a user can want.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// That an app is there, and is so.
    Deploy {
        /// Its name.
        app: AppName,
        /// What it runs.
        specification: Arc<Specification>,
        /// How many.
        bounds: Bounds,
        /// The most that are replaced at a time, instead of what the policy says.
        step: Option<u32>,
    },
    /// That an app runs another program, and is else as it is.
    Upgrade {
        /// Its name.
        app: AppName,
        /// What its maker calls the new version.
        label: String,
        /// The program.
        run: Run,
        /// The most that are replaced at a time, instead of what the policy says.
        step: Option<u32>,
    },
    /// So many instances. An app with a fixed number gets this one, like one that is deployed with
    /// it; others stay within their bounds.
    Scale {
        /// Of this app.
        app: AppName,
        /// How many.
        instances: u32,
        /// Whether volumes of those that end are kept.
        #[serde(default)]
        keeps_volumes: bool,
    },
    /// An earlier version.
    Rollback {
        /// Of this app.
        app: AppName,
        /// Which one; the last one that was fully rolled out, if absent.
        version: Option<Version>,
    },
    /// That an app ends.
    Delete {
        /// Which one.
        app: AppName,
        /// Whether its volumes are kept.
        #[serde(default)]
        keeps_volumes: bool,
    },
    /// One more instance, on this machine.
    AddOn {
        /// Of this app.
        app: AppName,
        /// Where.
        machine: MachineName,
    },
    /// One instance fewer, on this machine.
    RemoveOn {
        /// Of this app.
        app: AppName,
        /// Where.
        machine: MachineName,
        /// Whether its volumes are kept.
        #[serde(default)]
        keeps_volumes: bool,
    },
    /// That a set of volumes that no instance has is destroyed; or given up, if its machine is gone.
    DeleteVolume {
        /// Which one.
        volume: VolumeId,
    },
    /// Another instance in the place of this one.
    Restart {
        /// Which one.
        instance: InstanceId,
    },
    /// That a machine becomes empty and stays so.
    Drain {
        /// Which one.
        machine: MachineName,
    },
    /// That a machine is used again.
    Undrain {
        /// Which one.
        machine: MachineName,
    },
    /// That an app, or each, is spread evenly again: instances move, a few at a time.
    Rebalance {
        /// Which app; all, if absent.
        app: Option<AppName>,
        /// The most of an app that move at a time.
        at_a_time: u32,
    },
    /// That what doesn't move yet stays.
    CancelRebalance {
        /// Of which app; of all, if absent.
        app: Option<AppName>,
    },
    /// That repair goes on although many machines are silent.
    Thaw,
}

/// Something about a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineFact {
    /// It is there, and this is what it has.
    Up(Description),
    /// Nothing is heard of it.
    Silent,
    /// Nothing has been heard of it since whoever tells of machines began to listen, for so long that
    /// it would have been: it is known from records only.
    Unheard,
    /// It won't come back; its processes have ended.
    Gone,
    /// Whoever runs it will take it away: its instances move elsewhere.
    Leaving,
    /// It isn't taken away after all.
    Staying,
}

/// Something about an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceFact {
    /// Its machine prepares its start.
    Launched,
    /// The engine of containers has it by this name.
    Container(String),
    /// Its process runs.
    Running,
    /// Its process runs, and its check passes.
    Healthy,
    /// Its process runs, and its check doesn't pass.
    Unhealthy,
    /// It is found with this weight.
    Registered {
        /// In thousandths.
        weight_thousandths: u32,
    },
    /// It isn't found any more.
    Deregistered,
    /// Its process has ended.
    Ended(Exit),
    /// There never was a process, nor anything of a new set of volumes that it was to have: its launch
    /// got nowhere, for this reason, and not by its own fault.
    NeverStarted(String),
    /// Nobody who should know it does: there is no process.
    Unknown,
}

/// Something about a set of volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeFact {
    /// It isn't there.
    Gone,
    /// It is there; whoever says this has found that nobody knows it.
    Found {
        /// What it has.
        parts: Vec<Part>,
    },
}

/// Why a call is refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Another scheduler leads.
    NotLeading,
    /// There is no such app.
    UnknownApp(AppName),
    /// There is no such version of the app, or not any more.
    UnknownVersion(AppName, Version),
    /// There is no such machine.
    UnknownMachine(MachineName),
    /// There is no such instance, or not any more.
    UnknownInstance(InstanceId),
    /// The app ends; it can be deployed again when it is gone.
    IsDeleted(AppName),
    /// The fewest are more than the most, or the most are too many.
    Bounds {
        /// What was asked for.
        bounds: Bounds,
        /// The most that are possible.
        most: u32,
    },
    /// It is outside the bounds of the app.
    OutOfBounds {
        /// What would be wanted then.
        instances: u32,
        /// The bounds.
        bounds: Bounds,
    },
    /// No other version of the app was ever fully rolled out.
    NothingToRollBackTo(AppName),
    /// No instance of the app is there that isn't on its way out.
    NoInstanceOn(AppName, MachineName),
    /// The app may not run there.
    NotAllowedOn(AppName, MachineName),
    /// At least one must be replaced at a time.
    StepOfNone,
    /// A list of the specification is too long.
    TooLong {
        /// How many there may be.
        most: usize,
    },
    /// There is no program.
    NothingToRun,
    /// A deployment of the app is under way, and places its instances anew.
    IsDeployed(AppName),
    /// Too many machines are silent.
    IsFrozen,
    /// There may be no more instances than wanted, so none can start before another one ends.
    NoSurge(AppName),
    /// There is no such set of volumes, or not any more.
    UnknownVolume(VolumeId),
    /// An instance has it.
    VolumeInUse(VolumeId, InstanceId),
    /// A volume of the specification makes no sense.
    Volume(String),
    /// There are volumes of the app that have other names or sizes.
    VolumesChanged(AppName),
    /// Instances of the app have volumes, which can't move.
    HasVolumes(AppName),
}

/// What a call has led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accepted {
    /// A deployment has begun.
    Deployment {
        /// Its number in the app.
        number: u32,
        /// The version that it brings.
        version: Version,
    },
    /// So many instances are wanted now.
    Wanted(u32),
    /// So many instances will move.
    Moves(u32),
    /// It was so before.
    Unchanged,
    /// It is noted.
    Noted,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotLeading => f.write_str("another scheduler leads"),
            Refusal::UnknownApp(app) => write!(f, "there is no app `{app}`"),
            Refusal::UnknownVersion(app, version) => {
                write!(f, "there is no version {version} of `{app}`, or not any more")
            }
            Refusal::UnknownMachine(machine) => write!(f, "there is no machine `{machine}`"),
            Refusal::UnknownInstance(id) => write!(f, "there is no instance `{id}`"),
            Refusal::IsDeleted(app) => {
                write!(f, "`{app}` is being deleted; deploy it again when it is gone")
            }
            Refusal::Bounds { bounds, most } => write!(
                f,
                "{} to {} instances are no bounds: the fewest first, at most {most}",
                bounds.min, bounds.max
            ),
            Refusal::OutOfBounds { instances, bounds } => write!(
                f,
                "{instances} instances are outside the bounds of the app, {} to {}",
                bounds.min, bounds.max
            ),
            Refusal::NothingToRollBackTo(app) => {
                write!(f, "no other version of `{app}` was ever fully rolled out")
            }
            Refusal::NoInstanceOn(app, machine) => {
                write!(f, "`{app}` has no instance on `{machine}`")
            }
            Refusal::NotAllowedOn(app, machine) => {
                write!(f, "the constraints of `{app}` exclude `{machine}`")
            }
            Refusal::StepOfNone => f.write_str("at least one must be replaced at a time"),
            Refusal::TooLong { most } => {
                write!(f, "a list of the specification has more than {most} entries")
            }
            Refusal::NothingToRun => f.write_str("there is nothing to run"),
            Refusal::IsDeployed(app) => {
                write!(f, "a deployment of `{app}` is under way, and places its instances anew")
            }
            Refusal::IsFrozen => f.write_str("too many machines are silent to move anything"),
            Refusal::UnknownVolume(volume) => write!(f, "there is no volume `{volume}`"),
            Refusal::VolumeInUse(volume, instance) => {
                write!(f, "volume `{volume}` is used by `{instance}`")
            }
            Refusal::Volume(name) => write!(
                f,
                "volume `{name}` needs a size, a path such as /var/lib/app, and a name and a path \
                 of its own"
            ),
            Refusal::VolumesChanged(app) => write!(
                f,
                "`{app}` has volumes of other names or sizes; delete these first, or leave them as \
                 they are"
            ),
            Refusal::HasVolumes(app) => {
                write!(f, "instances of `{app}` have volumes, which can't move")
            }
            Refusal::NoSurge(app) => write!(
                f,
                "the policy allows no instances of `{app}` beyond those wanted, so none can start \
                 before another one ends"
            ),
        }
    }
}
