//! Scenarios of faults never panic; what is wrong has a place; a plan is the same each time, its acts
//! are in the order of time and name agents that there are.
#![no_main]

use diagnostics::Sources;
use fuzz::check_diagnostics;
use libfuzzer_sys::fuzz_target;
use simulator_mesos::scenario::{Act, Machine, read};

const AGENTS: u32 = 5;

fuzz_target!(|text: &str| {
    let mut sources = Sources::default();
    let source = sources.add("faults.yml", text);
    let read = || read(text, source, AGENTS, &Machine::default(), 7);
    match read() {
        Err(found) => {
            assert!(!found.is_empty());
            check_diagnostics(&found, &sources);
        }
        Ok(plan) => {
            assert!(plan.acts.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            for (_, act) in &plan.acts {
                let number = match act {
                    Act::Crash(number) | Act::Start(number) | Act::CutOff(number) => *number,
                    Act::Heal(number) | Act::Unregister(number) => *number,
                    Act::Restart(..) => continue,
                };
                assert!(number < plan.agents.len());
            }
            assert_eq!(read().unwrap().acts, plan.acts);
        }
    }
});
