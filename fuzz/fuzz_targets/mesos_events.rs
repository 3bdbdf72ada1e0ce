//! What a master says, in any order and with any contents, never panics the translator; the same
//! inputs have the same outputs, nothing but a subscription leaves before there is an id, and ids are
//! stored before they count.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesos::scheduler::{CallType, Event};
use mesos::{Encoding, FrameworkId};
use policy::Time;
use scheduler_mesos::{Framework, Held, Input, Output, Settings, Translator};

fn settings() -> Settings {
    Settings {
        framework: Framework {
            name: "corral".to_owned(),
            user: "root".to_owned(),
            role: "corral".to_owned(),
            principal: None,
            hostname: None,
            webui_url: None,
            failover_timeout_seconds: 0,
        },
        timezone: None,
        declares_limits: false,
    }
}

/// A line of the input: a word, seconds to pass, a command of the core, or an event of the master.
fn input(line: &str, seconds: &mut u64) -> Option<Input> {
    if let Ok(passed) = line.parse::<u32>() {
        *seconds = seconds.saturating_add(u64::from(passed));
        return Some(Input::Tick);
    }
    match line {
        "disconnected" => return Some(Input::Disconnected),
        "stored" => return Some(Input::Stored(FrameworkId::new("f-0000"))),
        "wanted" => return Some(Input::Wanted(true)),
        "calm" => return Some(Input::Wanted(false)),
        _ => {}
    }
    if let Some(command) = line.strip_prefix("command ") {
        return serde_json::from_str(command).ok().map(Input::Command);
    }
    let event: Event = Encoding::Json.decode(line.as_bytes()).ok()?;
    Some(Input::Event(Box::new(event)))
}

fn play(text: &str) -> Vec<Output> {
    let mut translator = Translator::new(settings(), None);
    let held = Held { machines: Vec::new(), instances: Vec::new(), volumes: Vec::new() };
    let mut outputs = translator.handle([Input::Held(held)], Time::ZERO);
    let (mut seconds, mut has_id) = (0u64, false);
    for line in text.lines().take(200) {
        let Some(input) = input(line, &mut seconds) else { continue };
        has_id |= matches!(input, Input::Stored(_));
        let now = Time(seconds.saturating_mul(1_000_000_000));
        for output in translator.handle([input], now) {
            if let Output::Call(call) = &output {
                assert!(has_id || call.r#type() == CallType::Subscribe, "{call:?}");
            }
            outputs.push(output);
        }
    }
    outputs
}

fuzz_target!(|text: &str| {
    let outputs = play(text);
    assert_eq!(play(text), outputs);
});
