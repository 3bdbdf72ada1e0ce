//! The index against a plain scan, after every step of random histories.

use proptest::prelude::*;

use super::*;
use crate::placement;

/// An app on 600 of 1,500 machines, and these are the emptiest; each round one of its instances goes and
/// comes again, and so many others change. Whether it has got an order of its own.
fn gets_an_order(rounds: u32, others: u32) -> bool {
    let mut index = Spread::new();
    let full = Room { cores: 10, memory_mib: 10, ports: 10 };
    for machine in 0..1_500 {
        let cores = if machine < 600 { 90 } else { 10 };
        index.set_machine(machine, Some(Room { cores, ..full }));
    }
    (0..600).for_each(|machine| index.set_count(0, machine, 1));
    for round in 0..rounds {
        let machine = index.displace(0).unwrap();
        index.remove(0, machine, Room::default());
        index.add(0, machine, Room::default());
        for other in 0..others {
            let cores = 5 + (round + other) % 5;
            index.set_machine(600 + other, Some(Room { cores, ..full }));
        }
    }
    index.apps[0].own.is_some()
}

/// An order that has to be brought up to date for hundreds of machines at each use costs more than to look
/// at hundreds.
#[test]
fn only_who_asks_often_gets_an_order() {
    assert!(!gets_an_order(70, 500));
    assert!(gets_an_order(100, 0));
}

/// A cluster without an index.
#[derive(Debug, Default)]
struct Plain {
    free: Vec<Option<Room>>,
    /// By app, then by machine.
    counts: Vec<Vec<u32>>,
}

impl Plain {
    /// As the plain scan sees it; ports are a constraint to it.
    fn machines(&self, app: usize, need: Room, allowed: &[bool]) -> Vec<placement::Machine> {
        let machines = self.free.iter().enumerate();
        let seen = machines.map(|(machine, free)| {
            let Room { cores, memory_mib, ports } = free.unwrap_or_default();
            placement::Machine {
                allowed: allowed[machine] && ports >= need.ports,
                up: free.is_some(),
                free: placement::Resources { cores, memory_mib },
                instances: self.counts[app][machine],
            }
        });
        seen.collect()
    }

    fn place(&self, app: usize, need: Room, allowed: &[bool]) -> Option<u32> {
        let needs = placement::Resources { cores: need.cores, memory_mib: need.memory_mib };
        let place = placement::place(&self.machines(app, need, allowed), needs);
        place.ok().map(|place| u32::try_from(place).unwrap())
    }

    fn displace(&self, app: usize) -> Option<u32> {
        let all = vec![true; self.free.len()];
        let mut machines = self.machines(app, Room::default(), &all);
        // What takes nothing goes before all others of those with as many.
        let most = machines.iter().map(|machine| machine.instances).max()?;
        let is_closed = |machine: &placement::Machine| !machine.up && machine.instances == most;
        if machines.iter().any(is_closed) {
            machines.iter_mut().filter(|one| one.up).for_each(|one| one.instances = 0);
        }
        placement::displace(&machines).map(|place| u32::try_from(place).unwrap())
    }
}

const APPS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Place { app: usize, need: Room, allowed: u32 },
    Displace { app: usize },
    Machine { machine: usize, free: Option<Room> },
}

fn room() -> impl Strategy<Value = Room> {
    (0u32..9, 0u32..9, 0u32..9).prop_map(|(cores, memory_mib, ports)| Room {
        cores,
        memory_mib,
        ports,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let need = (0u32..3, 0u32..3, 0u32..2).prop_map(|(cores, memory_mib, ports)| Room {
        cores,
        memory_mib,
        ports,
    });
    let allowed = prop_oneof![4 => Just(u32::MAX), 1 => any::<u32>()];
    prop_oneof![
        6 => (0..APPS, need, allowed)
            .prop_map(|(app, need, allowed)| Step::Place { app, need, allowed }),
        2 => (0..APPS).prop_map(|app| Step::Displace { app }),
        1 => (0usize..20, prop::option::of(room()))
            .prop_map(|(machine, free)| Step::Machine { machine, free }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_index_is_the_plain_scan(
        machines in prop::collection::vec(room(), 1..20),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut index = Spread::new();
        let mut plain = Plain {
            free: machines.iter().copied().map(Some).collect(),
            counts: vec![vec![0; machines.len()]; APPS],
        };
        for (machine, free) in (0..).zip(&machines) {
            index.set_machine(machine, Some(*free));
        }
        for step in steps {
            match step {
                Step::Place { app, need, allowed } => {
                    let allowed: Vec<bool> =
                        (0..machines.len()).map(|place| allowed >> (place % 32) & 1 == 1).collect();
                    let number = u32::try_from(app).unwrap();
                    let found = index.place(number, need, |machine, _| allowed[machine as usize]);
                    prop_assert_eq!(found, plain.place(app, need, &allowed));
                    let Some(machine) = found else { continue };
                    let place = machine as usize;
                    index.add(number, machine, need);
                    plain.counts[app][place] += 1;
                    plain.free[place] = plain.free[place].map(|free| free.without(need));
                    prop_assert_eq!(index.free(machine), plain.free[place]);
                }
                Step::Displace { app } => {
                    let number = u32::try_from(app).unwrap();
                    let found = index.displace(number);
                    prop_assert_eq!(found, plain.displace(app));
                    let Some(machine) = found else { continue };
                    let need = Room { cores: 1, memory_mib: 1, ports: 1 };
                    index.remove(number, machine, need);
                    plain.counts[app][machine as usize] -= 1;
                    let free = &mut plain.free[machine as usize];
                    *free = free.map(|free| free.with(need));
                }
                Step::Machine { machine, free } if machine < machines.len() => {
                    index.set_machine(u32::try_from(machine).unwrap(), free);
                    plain.free[machine] = free;
                }
                Step::Machine { .. } => {}
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Clusters in which walks are given up and own orders are made, kept, outdated and made again.
    #[test]
    fn own_orders_are_the_plain_scan(
        seed in any::<u64>(),
        machines in 100u32..1_200,
        closed in 0u32..30,
    ) {
        let mut word = seed;
        let mut random = |bound: u32| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from(word >> 33).unwrap() % bound
        };
        let mut index = Spread::new();
        let count = machines as usize;
        let mut plain = Plain { free: vec![None; count], counts: vec![vec![0; count]; APPS] };
        for machine in 0..machines {
            let room = Room { cores: 4 + random(3) * 4, memory_mib: random(50), ports: 9 };
            index.set_machine(machine, Some(room));
            plain.free[machine as usize] = Some(room);
            // The last app may be on the emptiest machines: others come first where one gives up.
            if seed % 2 == 0 && room.cores >= 8 {
                index.set_count(2, machine, 1);
                plain.counts[2][machine as usize] = 1;
            }
        }
        for _ in 0..600 {
            // The first app places most, the others now and then.
            let app = (random(20) / 9).min(2);
            let need = Room { cores: 1, memory_mib: random(2), ports: 0 };
            let found = index.place(app, need, |_, count| count < 3);
            let allowed: Vec<bool> =
                plain.counts[app as usize].iter().map(|count| *count < 3).collect();
            prop_assert_eq!(found, plain.place(app as usize, need, &allowed));
            if let Some(machine) = found {
                index.add(app, machine, need);
                plain.counts[app as usize][machine as usize] += 1;
                let free = &mut plain.free[machine as usize];
                *free = free.map(|free| free.without(need));
            }
            if random(100) < closed {
                let machine = random(machines);
                let room = Room { cores: random(9), memory_mib: 5, ports: 9 };
                let room = (random(2) == 0).then_some(room);
                index.set_machine(machine, room);
                plain.free[machine as usize] = room;
            }
            if random(6) == 0 {
                let found = index.displace(app);
                prop_assert_eq!(found, plain.displace(app as usize));
                let Some(machine) = found else { continue };
                index.remove(app, machine, need);
                plain.counts[app as usize][machine as usize] -= 1;
                let free = &mut plain.free[machine as usize];
                *free = free.map(|free| free.with(need));
            }
        }
    }

    /// With room everywhere, no machine that may be used has two instances more than another.
    #[test]
    fn instances_are_spread_evenly(
        cores in prop::collection::vec(60u32..90, 1..12),
        allowed in any::<u16>(),
        count in 0u32..60,
    ) {
        let mut index = Spread::new();
        for (machine, cores) in (0..).zip(&cores) {
            index.set_machine(machine, Some(Room { cores: *cores, memory_mib: 0, ports: 0 }));
        }
        let need = Room { cores: 1, ..Room::default() };
        let is_allowed = |machine: u32| allowed >> machine & 1 == 1;
        for _ in 0..count {
            let found = index.place(0, need, |machine, _| is_allowed(machine));
            let Some(machine) = found else { continue };
            index.add(0, machine, need);
        }
        let machines = u32::try_from(cores.len()).unwrap();
        let counts: Vec<u32> =
            (0..machines).filter(|one| is_allowed(*one)).map(|one| index.count(0, one)).collect();
        let (least, most) = (counts.iter().min(), counts.iter().max());
        if let (Some(least), Some(most)) = (least, most) {
            prop_assert!(most - least <= 1, "{counts:?}");
        }
        let total: u32 = counts.iter().sum();
        prop_assert_eq!(total, if counts.is_empty() { 0 } else { count });
    }
}
