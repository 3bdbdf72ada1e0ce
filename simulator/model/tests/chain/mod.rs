//! The Markov chain of a few queues, solved numerically: no simulation, no engine.

use std::collections::BTreeMap;

/// Queues are cut at this length; with the loads here they are longer with a chance below 10⁻⁹.
const LONGEST: u8 = 40;

/// The mean response of `machines` queues at `load` each when a request takes the shorter of two
/// that are drawn at random, in units of the mean service time. By symmetry a state is the sorted
/// list of lengths; the chain is solved by repeated sweeps (Gauss and Seidel) over the balance
/// equations of the states, and Little's law gives the response.
pub fn two_choices(machines: usize, load: f64) -> f64 {
    let mut states = Vec::new();
    list(machines, LONGEST, &mut Vec::new(), &mut states);
    let places: BTreeMap<Vec<u8>, usize> =
        states.iter().enumerate().map(|(place, state)| (state.clone(), place)).collect();
    let arrival_rate = load * machines as f64;
    let mut into: Vec<Vec<(usize, f64)>> = vec![Vec::new(); states.len()];
    let mut out = vec![0.0; states.len()];
    for (place, state) in states.iter().enumerate() {
        for (next, rate) in transitions(state, arrival_rate) {
            if let Some(next) = places.get(&next) {
                into[*next].push((place, rate));
                out[place] += rate;
            }
        }
    }
    let guess = |state: &Vec<u8>| load.powi(state.iter().map(|length| i32::from(*length)).sum());
    let mut chance: Vec<f64> = states.iter().map(guess).collect();
    let mut before = 0.0;
    for sweep in 0.. {
        for place in 0..states.len() {
            let flow: f64 = into[place].iter().map(|(from, rate)| chance[*from] * rate).sum();
            chance[place] = flow / out[place];
        }
        let total: f64 = chance.iter().sum();
        chance.iter_mut().for_each(|chance| *chance /= total);
        if sweep % 50 == 0 {
            let length = |state: &Vec<u8>| state.iter().copied().map(f64::from).sum::<f64>();
            let parts = states.iter().zip(&chance);
            let present: f64 = parts.map(|(state, chance)| chance * length(state)).sum::<f64>();
            if (present - before).abs() < 1e-8 {
                return present / arrival_rate;
            }
            before = present;
        }
    }
    f64::NAN
}

/// All descending lists of lengths.
fn list(machines: usize, most: u8, begun: &mut Vec<u8>, states: &mut Vec<Vec<u8>>) {
    if begun.len() == machines {
        states.push(begun.clone());
        return;
    }
    for length in 0..=most {
        begun.push(length);
        list(machines, length, begun, states);
        begun.pop();
    }
}

fn transitions(state: &[u8], arrival_rate: f64) -> Vec<(Vec<u8>, f64)> {
    let mut transitions = Vec::new();
    let pairs = (state.len() * (state.len() - 1)) as f64;
    for first in 0..state.len() {
        for second in (0..state.len()).filter(|second| *second != first) {
            let target = if state[second] < state[first] { second } else { first };
            let mut next = state.to_vec();
            next[target] += 1;
            transitions.push((sorted(next), arrival_rate / pairs));
        }
        if state[first] > 0 {
            let mut next = state.to_vec();
            next[first] -= 1;
            transitions.push((sorted(next), 1.0));
        }
    }
    transitions
}

fn sorted(mut state: Vec<u8>) -> Vec<u8> {
    state.sort_unstable_by(|left, right| right.cmp(left));
    state
}
