//! Plans by table, against the fewest moves that can be, and against a look at all pairs.

use proptest::prelude::*;

use super::*;

const NEED: Room = Room { cores: 1, memory_mib: 10, ports: 1 };

fn machine(instances: u32, rack: u32, cores: u32) -> Machine {
    Machine {
        takes: true,
        most: u32::MAX,
        rack: Some(rack),
        free: Room { cores, memory_mib: 1_000, ports: 100 },
        instances,
        movable: instances,
    }
}

fn counts(machines: &[Machine], moves: &[Move]) -> Vec<u32> {
    let mut counts: Vec<u32> = machines.iter().map(|machine| machine.instances).collect();
    for one in moves {
        counts[one.from] -= 1;
        counts[one.to] += 1;
    }
    counts
}

#[test]
fn a_machine_that_is_back_takes_from_the_fullest() {
    let machines = [machine(3, 1, 5), machine(3, 1, 2), machine(0, 1, 8)];
    let moves = plan(&machines, NEED, 10);
    let expected = [
        Move { from: 1, to: 2, why: Why::Machines { from: 3, to: 0 } },
        Move { from: 0, to: 2, why: Why::Machines { from: 3, to: 1 } },
    ];
    assert_eq!(moves, expected);
    assert_eq!(plan(&machines, NEED, 1), expected[..1]);
}

#[test]
fn racks_are_evened_out_among_machines_that_are_even() {
    // Two racks of two machines; all three instances are in one of them.
    let machines = [machine(1, 1, 5), machine(1, 1, 5), machine(0, 2, 5), machine(0, 2, 5)];
    let moves = plan(&machines, NEED, 10);
    assert_eq!(moves, [Move { from: 1, to: 2, why: Why::Racks { from: 2, to: 0 } }]);
    // Of machines with equally many, the one gives with which racks stay even: one move is enough.
    let machines = [machine(2, 1, 5), machine(2, 2, 5), machine(0, 1, 5)];
    let moves = plan(&machines, NEED, 10);
    assert_eq!(moves, [Move { from: 0, to: 2, why: Why::Machines { from: 2, to: 0 } }]);
    // A rack with one machine can't have as many as one with three.
    let machines = [machine(1, 1, 5), machine(1, 1, 5), machine(1, 1, 5), machine(1, 2, 5)];
    assert_eq!(plan(&machines, NEED, 10), []);
}

#[test]
fn nothing_goes_where_it_can_not_be() {
    let closed = Machine { takes: false, ..machine(0, 1, 8) };
    let full = machine(0, 1, 0);
    let enough = Machine { most: 1, ..machine(1, 1, 8) };
    let named = Machine { movable: 0, ..machine(9, 1, 8) };
    assert_eq!(plan(&[machine(4, 1, 1), closed, full, enough], NEED, 10), []);
    assert_eq!(plan(&[named, machine(0, 1, 8)], NEED, 10), []);
    assert_eq!(plan(&[], NEED, 10), []);
}

#[test]
fn words() {
    assert_eq!(Why::Machines { from: 3, to: 0 }.to_string(), "3 there, 0 here");
    let racks = Why::Racks { from: 2, to: 0 };
    assert_eq!(racks.to_string(), "2 in the rack there, 0 in the rack here");
}

fn machines() -> impl Strategy<Value = Vec<Machine>> {
    let free = (0u32..4, 0u32..40, 0u32..4).prop_map(|(cores, memory_mib, ports)| Room {
        cores,
        memory_mib,
        ports,
    });
    let rack = proptest::option::weighted(0.9, 0u32..3);
    let machine = (prop::bool::weighted(0.8), 1u32..8, rack, free, 0u32..6, 0u32..6).prop_map(
        |(takes, most, rack, free, instances, movable)| {
            let movable = movable.min(instances);
            Machine { takes, most, rack, free, instances, movable }
        },
    );
    proptest::collection::vec(machine, 0..9)
}

/// Σ count² over machines, and over racks.
fn unevenness(machines: &[Machine], counts: &[u32]) -> (u32, u32) {
    let mut racks = [0u32; 3];
    for (machine, count) in machines.iter().zip(counts) {
        if let Some(rack) = machine.rack {
            racks[rack as usize] += count;
        }
    }
    let squares = |counts: &[u32]| counts.iter().map(|count| count * count).sum();
    (squares(counts), squares(&racks))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Each move makes it more even and fits; at the end no move of all that could be would.
    #[test]
    fn each_move_helps_and_none_that_would_is_left(machines in machines()) {
        let moves = plan(&machines, NEED, 1_000);
        let mut now = machines.clone();
        for done in 0..moves.len() {
            let (before, after) = (counts(&machines, &moves[..done]), counts(&machines, &moves[..=done]));
            prop_assert!(unevenness(&machines, &after) < unevenness(&machines, &before));
            let Move { from, to, .. } = moves[done];
            prop_assert!(now[from].movable > 0);
            prop_assert!(now[to].takes && now[to].instances < now[to].most);
            prop_assert!(now[to].free.fits(NEED));
            now[from].movable -= 1;
            now[from].instances -= 1;
            now[from].free = now[from].free.with(NEED);
            now[to].instances += 1;
            now[to].free = now[to].free.without(NEED);
        }
        let end = counts(&machines, &moves);
        for from in (0..now.len()).filter(|place| now[*place].movable > 0) {
            for to in (0..now.len()).filter(|place| *place != from) {
                let fits = now[to].takes && now[to].free.fits(NEED);
                if !fits || now[to].instances >= now[to].most {
                    continue;
                }
                let mut other = end.clone();
                other[from] -= 1;
                other[to] += 1;
                // Racks of machines without one aren't compared, so only the first sum counts there.
                let (was, is) = (unevenness(&machines, &end), unevenness(&machines, &other));
                let in_racks = now[from].rack.is_some() && now[to].rack.is_some();
                prop_assert!(is.0 >= was.0, "{from} to {to}");
                prop_assert!(!in_racks || is >= was, "{from} to {to}");
            }
        }
    }

    /// Where everything may go anywhere, no plan has fewer moves: what is above the even share must go.
    #[test]
    fn no_move_is_wasted(counts_before in proptest::collection::vec(0u32..9, 1..9)) {
        let machines: Vec<Machine> =
            counts_before.iter().map(|count| Machine { rack: None, ..machine(*count, 0, 1_000) }).collect();
        let moves = plan(&machines, NEED, 1_000);
        let mut sorted = counts_before.clone();
        sorted.sort_unstable_by_key(|count| Reverse(*count));
        let sum = |counts: &[u32]| counts.iter().map(|count| *count as usize).sum::<usize>();
        let (all, size) = (sum(&sorted), sorted.len());
        let share = |place: usize| all / size + usize::from(place < all % size);
        let above = sorted
            .iter()
            .enumerate()
            .map(|(place, count)| (*count as usize).saturating_sub(share(place)));
        let fewest: usize = above.sum();
        prop_assert_eq!(moves.len(), fewest);
    }
}
