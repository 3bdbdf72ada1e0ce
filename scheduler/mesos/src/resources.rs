//! What offers have, and what tasks take of them.
//!
//! A task has to name the resources as they were offered: with the role that they are allocated to
//! and with their reservations. So pieces keep all of that, and a task takes from piece after piece,
//! reserved ones first.

use mesos::quantity::{Intervals, Milli};
use mesos::{Offer, Resource};
use scheduler_core::app::Need;
use scheduler_core::machine::Description;

const CPUS: &str = "cpus";
const MEMORY: &str = "mem";
const PORTS: &str = "ports";

/// Amounts of what counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Amounts {
    pub(crate) cpus: Milli,
    /// In thousandths of MiB.
    pub(crate) memory: Milli,
    pub(crate) ports: Intervals,
    /// In thousandths of MiB.
    pub(crate) disk: Milli,
}

impl Amounts {
    /// What an instance takes.
    pub(crate) fn of(need: Need, ports: &[u16]) -> Self {
        Amounts {
            cpus: Milli(need.millicores.into()),
            memory: Milli(i64::from(need.memory_mib) * 1000),
            ports: Intervals::new(ports.iter().map(|port| (u64::from(*port), u64::from(*port)))),
            disk: Milli(0),
        }
    }

    /// With disk of volumes.
    pub(crate) fn with_disk(self, size_mib: u64) -> Self {
        let disk = Milli(i64::try_from(size_mib.saturating_mul(1000)).unwrap_or(i64::MAX));
        Amounts { disk, ..self }
    }

    pub(crate) fn add(&mut self, other: &Amounts) {
        self.cpus += other.cpus;
        self.memory += other.memory;
        self.ports = self.ports.union(&other.ports);
        self.disk += other.disk;
    }

    /// Takes the other away.
    pub(crate) fn take(&mut self, other: &Amounts) {
        self.cpus -= other.cpus;
        self.memory -= other.memory;
        self.ports = self.ports.without(&other.ports);
        self.disk -= other.disk;
    }

    /// The greater of both, of each.
    pub(crate) fn at_least(&self, other: &Amounts) -> Amounts {
        Amounts {
            cpus: self.cpus.max(other.cpus),
            memory: self.memory.max(other.memory),
            ports: self.ports.union(&other.ports),
            disk: self.disk.max(other.disk),
        }
    }

    fn covers(&self, other: &Amounts) -> bool {
        self.cpus >= other.cpus && self.memory >= other.memory && self.ports.contains(&other.ports)
    }

    /// Amounts of a description.
    pub(crate) fn described(description: &Description) -> Self {
        let need = Need {
            millicores: description.millicores,
            memory_mib: description.memory_mib,
            ports: 0,
        };
        let ports =
            description.ports.iter().map(|(first, last)| (u64::from(*first), u64::from(*last)));
        let disk_mib = u64::from(description.disk_mib.unwrap_or_default());
        Amounts { ports: Intervals::new(ports), ..Amounts::of(need, &[]).with_disk(disk_mib) }
    }

    /// As the core has it: whole thousandths of cores, whole MiB, ports that are ports.
    pub(crate) fn describe(&self, mut description: Description) -> Description {
        let whole = |amount: i64| u32::try_from(amount.max(0)).unwrap_or(u32::MAX);
        description.millicores = whole(self.cpus.0);
        description.memory_mib = whole(self.memory.0 / 1000);
        description.disk_mib = Some(whole(self.disk.0 / 1000));
        description.ports = self
            .ports
            .ranges()
            .iter()
            .filter_map(|(first, last)| {
                let last = u16::try_from(*last).unwrap_or(u16::MAX);
                Some((u16::try_from(*first).ok()?, last))
            })
            .collect();
        description
    }
}

/// A resource of an offer without its amount, and what of it is left.
#[derive(Debug, Clone)]
struct Piece {
    template: Resource,
    left: Left,
}

#[derive(Debug, Clone)]
enum Left {
    Cpus(Milli),
    Memory(Milli),
    Ports(Intervals),
}

/// What the offers of an agent have left.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool {
    pieces: Vec<Piece>,
}

impl Pool {
    pub(crate) fn of<'a>(offers: impl IntoIterator<Item = &'a Offer>) -> Self {
        let resources = offers.into_iter().flat_map(|offer| &offer.resources);
        let mut pieces: Vec<Piece> = resources.filter_map(piece).collect();
        // A stable order: reserved ones first, so that others keep what nobody has reserved.
        pieces.sort_by_key(|piece| !is_reserved(&piece.template));
        Pool { pieces }
    }

    pub(crate) fn amounts(&self) -> Amounts {
        let mut sum = Amounts::default();
        for piece in &self.pieces {
            match &piece.left {
                Left::Cpus(left) => sum.cpus += *left,
                Left::Memory(left) => sum.memory += *left,
                Left::Ports(left) => sum.ports = sum.ports.union(left),
            }
        }
        sum
    }

    /// Takes what an instance needs, if it is there.
    pub(crate) fn take(&mut self, wanted: &Amounts) -> Option<Vec<Resource>> {
        if !self.amounts().covers(wanted) {
            return None;
        }
        let mut rest = wanted.clone();
        let mut taken = Vec::new();
        for piece in &mut self.pieces {
            let template = &piece.template;
            match &mut piece.left {
                Left::Cpus(left) => taken.extend(take_amount(template, left, &mut rest.cpus)),
                Left::Memory(left) => taken.extend(take_amount(template, left, &mut rest.memory)),
                Left::Ports(left) => {
                    let missing = rest.ports.without(left);
                    let found = rest.ports.without(&missing);
                    if !found.is_empty() {
                        *left = left.without(&found);
                        rest.ports = missing;
                        let ranges = Some((&found).into());
                        taken.push(Resource { ranges, ..template.clone() });
                    }
                }
            }
        }
        Some(taken)
    }
}

fn take_amount(template: &Resource, left: &mut Milli, rest: &mut Milli) -> Option<Resource> {
    let amount = (*left).min(*rest);
    if amount <= Milli(0) {
        return None;
    }
    *left -= amount;
    *rest -= amount;
    Some(Resource { scalar: Some(amount.into()), ..template.clone() })
}

/// What can be used: neither what may be taken back, nor volumes, nor what several share.
fn piece(resource: &Resource) -> Option<Piece> {
    let is_plain =
        resource.revocable.is_none() && resource.shared.is_none() && resource.disk.is_none();
    let left = match resource.name.as_str() {
        _ if !is_plain => return None,
        CPUS => Left::Cpus(resource.amount()?),
        MEMORY => Left::Memory(resource.amount()?),
        PORTS => Left::Ports(resource.numbers()?),
        _ => return None,
    };
    let template = Resource { scalar: None, ranges: None, ..resource.clone() };
    Some(Piece { template, left })
}

fn is_reserved(resource: &Resource) -> bool {
    !resource.reservations.is_empty()
        || resource.reservation.is_some()
        || resource.role.as_deref().is_some_and(|role| role != "*")
}

#[cfg(test)]
mod tests {
    use mesos::{AllocationInfo, RevocableInfo};

    use super::*;

    fn offer() -> Offer {
        let allocated = |resource: Resource, role: &str| Resource {
            role: Some(role.to_owned()),
            allocation_info: Some(AllocationInfo { role: Some("r".to_owned()) }),
            ..resource
        };
        Offer {
            resources: vec![
                allocated(Resource::scalar("cpus", Milli(1500)), "*"),
                allocated(Resource::scalar("cpus", Milli(1000)), "r"),
                allocated(Resource::scalar("mem", Milli(512_000)), "*"),
                allocated(Resource::ranges("ports", &Intervals::new([(10, 12)])), "*"),
                allocated(Resource::ranges("ports", &Intervals::new([(20, 20)])), "r"),
                allocated(Resource::scalar("disk", Milli(9_000)), "*"),
                Resource {
                    revocable: Some(RevocableInfo {}),
                    ..allocated(Resource::scalar("cpus", Milli(9_000)), "*")
                },
            ],
            ..Offer::default()
        }
    }

    #[test]
    fn tasks_take_reserved_pieces_first_and_name_them_as_offered() {
        let mut pool = Pool::of([&offer()]);
        let need = Need { millicores: 1200, memory_mib: 100, ports: 2 };
        let taken = pool.take(&Amounts::of(need, &[20, 11])).unwrap();
        let told: Vec<String> = taken
            .iter()
            .map(|one| {
                let amount = one.amount().map_or_else(
                    || one.numbers().unwrap().to_string(),
                    |amount| amount.to_string(),
                );
                let role = one.allocation_info.as_ref().unwrap().role();
                format!("{}({} to {role}) {amount}", one.name, one.role())
            })
            .collect();
        assert_eq!(
            told,
            [
                "cpus(r to r) 1",
                "ports(r to r) [20-20]",
                "cpus(* to r) 0.2",
                "mem(* to r) 100",
                "ports(* to r) [11-11]"
            ]
        );
        let left = pool.amounts();
        assert_eq!((left.cpus, left.memory), (Milli(1300), Milli(412_000)));
        assert_eq!(left.ports.to_string(), "[10-10, 12-12]");
        assert!(pool.take(&Amounts::of(Need { millicores: 1301, ..need }, &[])).is_none());
        assert!(pool.take(&Amounts::of(Need { millicores: 1, ..need }, &[11])).is_none());
        assert_eq!(pool.amounts(), left, "what isn't taken stays");
    }

    #[test]
    fn descriptions_are_whole() {
        let mut pool = Pool::of([&offer()]).amounts();
        pool.memory += Milli(999);
        pool.ports = pool.ports.union(&Intervals::new([(65_000, 70_000), (80_000, 80_001)]));
        let description = pool.describe(Description::default());
        assert_eq!((description.millicores, description.memory_mib), (2500, 512));
        assert_eq!(description.ports, [(10, 12), (20, 20), (65_000, 65_535)]);
        let again = Amounts::described(&description).describe(Description::default());
        assert_eq!(again, description);
    }
}
