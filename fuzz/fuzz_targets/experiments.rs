//! What experiments are asked for: the first line is a parameter and its values, the others are
//! conditions. Errors name places inside the text; values are ones that `--set` takes.
#![no_main]

use diagnostics::{Sources, Span};
use libfuzzer_sys::fuzz_target;
use simulator::metric::conditions;
use simulator::parameter::Parameter;
use simulator::scenario::read;

const SCENARIO: &str = "version: 1
duration: 10s
machines: 2
apps:
  image: {instances: 4}
cmds:
  resize: {app: image, service: {exponential: 40ms}}
tenants:
  all: {class: paid}
workload:
  - {tenants: all, cmd: resize, arrivals: {poisson: 100/s}}
";

fuzz_target!(|text: &str| {
    let mut sources = Sources::default();
    let source = sources.add("scenario.yml", SCENARIO);
    let found = read(source, &[], &mut sources, |_, _| Err(String::new()));
    let Some(scenario) = found.scenario else { panic!("a scenario that is one") };
    for (number, line) in text.lines().enumerate() {
        let at = Span::new(sources.add("line", line), 0, line.len());
        if number == 0 {
            match Parameter::parse(line, at) {
                Ok(read) => assert!((0..read.values.len()).all(|place| read.set(place).is_some())),
                Err(wrong) => drop(fuzz::check_diagnostics(&[*wrong], &sources)),
            }
        } else if let Err(wrong) = conditions(line, at, &scenario.model) {
            fuzz::check_diagnostics(&[*wrong], &sources);
        }
    }
});
