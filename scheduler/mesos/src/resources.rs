//! What offers have, and what tasks take of them.
//!
//! A task has to name the resources as they were offered: with the role that they are allocated to
//! and with their reservations. So pieces keep all of that, and a task takes from piece after piece,
//! reserved ones first. What is reserved for a volume is taken by its instance alone; what its instance
//! lacks is reserved with the start, ports included, and what is more than it is to have is given back.

use std::collections::BTreeMap;

use mesos::quantity::{Intervals, Milli};
use mesos::{FrameworkId, Offer, Operation, OperationType, ReservationInfo, Resource, Unreserve};
use scheduler_core::app::Need;
use scheduler_core::machine::Description;
use scheduler_core::volume::{Reserved, VolumeId};

use crate::reserved::{Owner, owner};

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

    /// What a volume has beside disk.
    pub(crate) fn reserved(reserved: &Reserved) -> Self {
        let &Reserved { millicores, memory_mib, ref ports } = reserved;
        Amounts::of(Need { millicores, memory_mib, ports: ports.count() }, ports)
    }

    /// What is here of cores, memory and ports beyond the other.
    pub(crate) fn beyond(&self, other: &Amounts) -> Amounts {
        let beyond = |own: Milli, other: Milli| (own - other).max(Milli(0));
        let (cpus, memory) = (beyond(self.cpus, other.cpus), beyond(self.memory, other.memory));
        Amounts { cpus, memory, ports: self.ports.without(&other.ports), ..Amounts::default() }
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
    /// The volume that it is reserved for.
    owner: Option<VolumeId>,
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

/// What a launch with a volume takes, and what of it isn't reserved yet.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub(crate) reserve: Vec<Resource>,
    pub(crate) resources: Vec<Resource>,
}

impl Pool {
    /// Of offers to a framework. What other frameworks have reserved for their volumes isn't ours.
    pub(crate) fn of<'a>(
        offers: impl IntoIterator<Item = &'a Offer>,
        framework: Option<&FrameworkId>,
    ) -> Self {
        let resources = offers.into_iter().flat_map(|offer| &offer.resources);
        let pieces = resources.filter_map(|resource| piece(resource, framework));
        let mut pieces: Vec<Piece> = pieces.collect();
        // A stable order: reserved ones first, so that others keep what nobody has reserved.
        pieces.sort_by_key(|piece| !is_reserved(&piece.template));
        Pool { pieces }
    }

    /// All that there is, whosever it is.
    pub(crate) fn amounts(&self) -> Amounts {
        self.sum(|_| true)
    }

    /// What is reserved for volumes.
    pub(crate) fn owned(&self) -> BTreeMap<VolumeId, Amounts> {
        let owners = self.pieces.iter().filter_map(|piece| piece.owner.clone());
        owners.map(|owner| (owner.clone(), self.sum(|piece| piece.is_of(&owner)))).collect()
    }

    fn sum(&self, is_counted: impl Fn(&Piece) -> bool) -> Amounts {
        let mut sum = Amounts::default();
        for piece in self.pieces.iter().filter(|piece| is_counted(piece)) {
            match &piece.left {
                Left::Cpus(left) => sum.cpus += *left,
                Left::Memory(left) => sum.memory += *left,
                Left::Ports(left) => sum.ports = sum.ports.union(left),
            }
        }
        sum
    }

    /// Takes what an instance needs, if it is there and nobody's.
    pub(crate) fn take(&mut self, wanted: &Amounts) -> Option<Vec<Resource>> {
        if !self.sum(Piece::is_free).covers(wanted) {
            return None;
        }
        Some(self.take_of(Piece::is_free, &mut wanted.clone()))
    }

    /// Takes what the instance of a volume needs, if it is there: what is reserved for it, and the rest
    /// of what is free. With a reservation that is reserved for the volume, as far as nobody has
    /// reserved it before.
    pub(crate) fn take_for(
        &mut self,
        volume: &VolumeId,
        wanted: &Amounts,
        reservation: Option<ReservationInfo>,
    ) -> Option<Owned> {
        if !self.sum(|piece| piece.is_free() || piece.is_of(volume)).covers(wanted) {
            return None;
        }
        let mut rest = wanted.clone();
        let resources = self.take_of(|piece| piece.is_of(volume), &mut rest);
        let mut owned = Owned { reserve: Vec::new(), resources };
        if let Some(reservation) = reservation {
            let is_new = |piece: &Piece| piece.is_free() && !is_reserved(&piece.template);
            let free = self.take_of(is_new, &mut rest).into_iter();
            let reserve = |resource: Resource| {
                let reservations = vec![reservation.clone()];
                Resource { role: None, reservations, ..resource }
            };
            owned.reserve = free.map(reserve).collect();
            owned.resources.extend(owned.reserve.iter().cloned());
        }
        owned.resources.extend(self.take_of(Piece::is_free, &mut rest));
        Some(owned)
    }

    /// Gives back so much of what is reserved for a volume: it is free then, for what comes after.
    pub(crate) fn give_back(&mut self, volume: &VolumeId, surplus: &Amounts) -> Vec<Resource> {
        let given = self.take_of(|piece| piece.is_of(volume), &mut surplus.clone());
        for resource in &given {
            let mut free = resource.clone();
            free.reservations.pop();
            self.pieces.extend(piece(&free, None));
        }
        given
    }

    /// Takes of some pieces as much as there is of what is wanted.
    fn take_of(&mut self, is_it: impl Fn(&Piece) -> bool, rest: &mut Amounts) -> Vec<Resource> {
        let mut taken = Vec::new();
        for piece in self.pieces.iter_mut().filter(|piece| is_it(piece)) {
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
        taken
    }
}

impl Piece {
    const fn is_free(&self) -> bool {
        self.owner.is_none()
    }

    fn is_of(&self, volume: &VolumeId) -> bool {
        self.owner.as_ref() == Some(volume)
    }
}

/// The operation that gives back what is reserved; none if there is nothing.
pub(crate) fn unreserve(resources: Vec<Resource>) -> Option<Operation> {
    (!resources.is_empty()).then(|| Operation {
        r#type: Some(OperationType::Unreserve.into()),
        unreserve: Some(Unreserve { resources }),
        ..Operation::default()
    })
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
fn piece(resource: &Resource, framework: Option<&FrameworkId>) -> Option<Piece> {
    let is_plain =
        resource.revocable.is_none() && resource.shared.is_none() && resource.disk.is_none();
    let left = match resource.name.as_str() {
        _ if !is_plain => return None,
        CPUS => Left::Cpus(resource.amount()?),
        MEMORY => Left::Memory(resource.amount()?),
        PORTS => Left::Ports(resource.numbers()?),
        _ => return None,
    };
    let owner = match owner(resource, framework) {
        Owner::Nobody => None,
        Owner::Volume(volume) => Some(volume),
        Owner::Other => return None,
    };
    let template = Resource { scalar: None, ranges: None, ..resource.clone() };
    Some(Piece { template, left, owner })
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
        let mut pool = Pool::of([&offer()], None);
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

    /// What is left, and what of it volumes have: cores and memory, with ports.
    fn told(pool: &Pool) -> String {
        let one = |amounts: &Amounts| format!("{}/{}", amounts.cpus, amounts.memory);
        let owned = pool.owned().into_iter().filter(|(_, amounts)| *amounts != Amounts::default());
        let owned = owned.map(|(id, amounts)| format!(" {id}:{}", one(&amounts)));
        one(&pool.sum(Piece::is_free)) + &owned.collect::<String>()
    }

    fn own_framework() -> crate::settings::Framework {
        crate::settings::Framework {
            name: "corral".to_owned(),
            user: "root".to_owned(),
            role: "r".to_owned(),
            principal: None,
            hostname: None,
            webui_url: None,
            failover_timeout_seconds: 0,
        }
    }

    /// Each line: what is reserved for db.1 before, what its instance needs, whether that is to be
    /// reserved; what becomes reserved, and what is left then.
    #[test]
    fn what_is_reserved_for_a_volume_is_its_instances() {
        let (framework, id) = (own_framework(), FrameworkId::new("F"));
        let owner = |name: &str, id: &FrameworkId| {
            crate::reserved::reservation(&name.parse().unwrap(), (&framework, id))
        };
        let reserved = |name: &str, id: &FrameworkId, cpus, memory: i64| {
            let one = |kind: &str, amount| Resource {
                reservations: vec![owner(name, id)],
                ..Resource::scalar(kind, Milli(amount))
            };
            [one("cpus", cpus), one("mem", memory * 1000)]
        };
        let table = [
            ((0, 0), (1000, 100), true, "1/100", "1/156 db.2:0.5/50"),
            ((0, 0), (1000, 100), false, "0/0", "1/156 db.2:0.5/50"),
            ((1000, 100), (1000, 100), true, "0/0", "2/256 db.2:0.5/50"),
            ((1000, 100), (1500, 356), true, "0.5/256", "1.5/0 db.2:0.5/50"),
            ((1000, 100), (3100, 100), true, "none", "2/256 db.1:1/100 db.2:0.5/50"),
            ((1000, 100), (1000, 357), true, "none", "2/256 db.1:1/100 db.2:0.5/50"),
        ];
        for (before, (millicores, memory_mib), is_to_be, expected, left) in table {
            let mut resources = vec![
                Resource::scalar("cpus", Milli(2000)),
                Resource::scalar("mem", Milli(256_000)),
            ];
            resources.extend(reserved("db.1", &id, before.0, before.1));
            resources.extend(reserved("db.2", &id, 500, 50));
            // Another framework of the role has its own.
            resources.extend(reserved("db.1", &FrameworkId::new("G"), 7000, 700));
            let offer = Offer { resources, ..Offer::default() };
            let mut pool = Pool::of([&offer], Some(&id));
            let wanted = Amounts::of(Need { millicores, memory_mib, ports: 0 }, &[]);
            let reservation = is_to_be.then(|| owner("db.1", &id));
            let taken = pool.take_for(&"db.1".parse().unwrap(), &wanted, reservation);
            let sum = |name: &str, resources: &[Resource]| -> Milli {
                let named = resources.iter().filter(|one| one.name == name);
                named.filter_map(Resource::amount).sum()
            };
            let new = taken.as_ref().map_or("none".to_owned(), |taken| {
                format!("{}/{}", sum("cpus", &taken.reserve), sum("mem", &taken.reserve))
            });
            let line = format!("{before:?} {millicores} {memory_mib} {is_to_be}");
            assert_eq!(new, expected, "{line}");
            assert_eq!(told(&pool), left, "{line}");
            if let Some(taken) = taken {
                assert_eq!(sum("cpus", &taken.resources), wanted.cpus, "{line}");
                assert_eq!(sum("mem", &taken.resources), wanted.memory, "{line}");
            }
            assert!(
                pool.take(&Amounts::of(Need { millicores: 2001, ..Need::default() }, &[]))
                    .is_none()
            );
        }
    }

    /// Of three ports one is reserved before: the others become so, and are given back as they came.
    #[test]
    fn ports_are_reserved_by_their_numbers() {
        let (framework, id) = (own_framework(), FrameworkId::new("F"));
        let volume: VolumeId = "db.1".parse().unwrap();
        let reservation = crate::reserved::reservation(&volume, (&framework, &id));
        let ports = |ranges: &[(u64, u64)]| {
            Resource::ranges("ports", &Intervals::new(ranges.iter().copied()))
        };
        let owned = |one: Resource| Resource { reservations: vec![reservation.clone()], ..one };
        let resources = vec![ports(&[(10, 19)]), owned(ports(&[(5, 5)]))];
        let offer = Offer { resources, ..Offer::default() };
        let mut pool = Pool::of([&offer], Some(&id));
        let wanted = |ports: &[u16]| Amounts::of(Need::default(), ports);
        assert!(pool.take(&wanted(&[5])).is_none(), "it is another's");
        assert!(pool.take_for(&volume, &wanted(&[5, 20]), None).is_none());
        let mut whole = pool.clone();
        let taken = whole.take_for(&volume, &wanted(&[5, 11, 12]), Some(reservation.clone()));
        let taken = taken.unwrap();
        assert_eq!(taken.reserve, [owned(ports(&[(11, 12)]))]);
        assert_eq!(taken.resources, [owned(ports(&[(5, 5)])), owned(ports(&[(11, 12)]))]);
        let disk_alone = pool.clone().take_for(&volume, &wanted(&[11]), None).unwrap();
        assert_eq!((disk_alone.reserve, disk_alone.resources), (vec![], vec![ports(&[(11, 11)])]));
        let surplus = pool.owned()[&volume].beyond(&wanted(&[6]));
        assert_eq!(pool.give_back(&volume, &surplus), [owned(ports(&[(5, 5)]))]);
        assert_eq!(pool.take(&wanted(&[5])).unwrap(), [ports(&[(5, 5)])]);
    }

    #[test]
    fn what_is_given_back_is_free() {
        let (framework, id) = (own_framework(), FrameworkId::new("F"));
        let volume: VolumeId = "db.1".parse().unwrap();
        let reservations = vec![crate::reserved::reservation(&volume, (&framework, &id))];
        let own = Resource { reservations, ..Resource::scalar("cpus", Milli(2000)) };
        let offer = Offer { resources: vec![own.clone()], ..Offer::default() };
        let mut pool = Pool::of([&offer], Some(&id));
        let one = Amounts::of(Need { millicores: 500, ..Need::default() }, &[]);
        assert!(pool.take(&one).is_none());
        let surplus = pool
            .sum(|_| true)
            .beyond(&Amounts::of(Need { millicores: 1400, ..Need::default() }, &[]));
        let given = pool.give_back(&volume, &surplus);
        assert_eq!(given, [Resource { scalar: Some(Milli(600).into()), ..own }]);
        let taken = pool.take(&one).unwrap();
        assert!(taken.len() == 1 && taken[0].reservations.is_empty(), "{taken:?}");
        assert_eq!(told(&pool), "0.1/0 db.1:1.4/0");
        assert!(unreserve(Vec::new()).is_none());
    }

    #[test]
    fn descriptions_are_whole() {
        let mut pool = Pool::of([&offer()], None).amounts();
        pool.memory += Milli(999);
        pool.ports = pool.ports.union(&Intervals::new([(65_000, 70_000), (80_000, 80_001)]));
        let description = pool.describe(Description::default());
        assert_eq!((description.millicores, description.memory_mib), (2500, 512));
        assert_eq!(description.ports, [(10, 12), (20, 20), (65_000, 65_535)]);
        let again = Amounts::described(&description).describe(Description::default());
        assert_eq!(again, description);
    }
}
