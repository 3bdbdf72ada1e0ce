//! Placement against its promise in words, and its words for people.

use proptest::prelude::*;

use super::*;

fn machine(instances: u32, cores: u32) -> Machine {
    Machine { allowed: true, up: true, free: Resources { cores, memory_mib: 100 }, instances }
}

const ONE: Resources = Resources { cores: 1, memory_mib: 10 };

#[test]
fn spreads_first_then_looks_at_the_load() {
    let machines = [machine(2, 30), machine(1, 2), machine(1, 8), machine(1, 8)];
    assert_eq!(place(&machines, ONE), Ok(2));
    assert_eq!(displace(&machines), Some(0));
    let machines = [machine(1, 4), machine(1, 2), machine(1, 2)];
    assert_eq!(displace(&machines), Some(2));
    assert_eq!(displace(&[machine(0, 4)]), None);
}

#[test]
fn says_why_nothing_is_feasible() {
    let free = |cores, memory_mib| Resources { cores, memory_mib };
    let machines = [
        Machine { allowed: false, up: false, ..machine(0, 9) },
        Machine { up: false, ..machine(0, 9) },
        Machine { free: free(0, 9), ..machine(0, 0) },
        Machine { free: free(1, 9), ..machine(0, 0) },
        Machine { free: free(1, 9), ..machine(0, 0) },
    ];
    let reasons = place(&machines, ONE).unwrap_err();
    assert_eq!(reasons, Unplaced { not_allowed: 1, down: 1, cores: 1, memory: 2 });
    assert_eq!(
        reasons.to_string(),
        "no machine can take it: 1 not allowed, 1 down, 1 without free cores, \
         2 without free memory"
    );
    assert_eq!(place(&[], ONE).unwrap_err().to_string(), "there is no machine");
}

fn machines() -> impl Strategy<Value = Vec<Machine>> {
    let free = (0u32..6, 0u32..60).prop_map(|(cores, memory_mib)| Resources { cores, memory_mib });
    let machine = (prop::bool::weighted(0.8), prop::bool::weighted(0.8), free, 0u32..4)
        .prop_map(|(allowed, up, free, instances)| Machine { allowed, up, free, instances });
    proptest::collection::vec(machine, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Against all candidates sorted by the words of the rule.
    #[test]
    fn takes_the_first_of_all_sorted(machines in machines(), cores in 1u32..3) {
        let need = Resources { cores, memory_mib: 10 };
        let mut able: Vec<usize> = (0..machines.len())
            .filter(|place| {
                let Machine { allowed, up, free, .. } = machines[*place];
                allowed && up && free.cores >= need.cores && free.memory_mib >= need.memory_mib
            })
            .collect();
        able.sort_by(|left, right| {
            let (left, right) = (&machines[*left], &machines[*right]);
            left.instances
                .cmp(&right.instances)
                .then(right.free.cores.cmp(&left.free.cores))
                .then(right.free.memory_mib.cmp(&left.free.memory_mib))
        });
        match place(&machines, need) {
            Ok(place) => prop_assert_eq!(Some(&place), able.first()),
            Err(reasons) => {
                prop_assert!(able.is_empty());
                let told = reasons.not_allowed + reasons.down + reasons.cores + reasons.memory;
                prop_assert_eq!(told as usize, machines.len());
            }
        }
        let mut owners: Vec<usize> =
            (0..machines.len()).filter(|place| machines[*place].instances > 0).collect();
        owners.sort_by(|left, right| {
            let (left, right) = (&machines[*left], &machines[*right]);
            left.instances
                .cmp(&right.instances)
                .then(right.free.cores.cmp(&left.free.cores))
                .then(right.free.memory_mib.cmp(&left.free.memory_mib))
        });
        prop_assert_eq!(displace(&machines), owners.last().copied());
    }

    /// However instances come and go, an app stays evenly spread over machines that can take more.
    #[test]
    fn differs_by_at_most_one(count in 1usize..8, steps in proptest::collection::vec(any::<bool>(), 0..60)) {
        let mut machines = vec![machine(0, 1_000); count];
        for machine in &mut machines {
            machine.free.memory_mib = 10_000;
        }
        for grows in steps {
            let change = if grows { place(&machines, ONE).ok() } else { displace(&machines) };
            let Some(machine) = change.and_then(|place| machines.get_mut(place)) else { continue };
            if grows {
                machine.instances += 1;
                machine.free = machine.free.without(ONE);
            } else {
                machine.instances -= 1;
                machine.free = machine.free.with(ONE);
            }
            let counts = machines.iter().map(|machine| machine.instances);
            prop_assert!(counts.clone().max().unwrap() - counts.min().unwrap() <= 1);
        }
    }
}
