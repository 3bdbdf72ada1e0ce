//! `firewalld`: what a zone of the firewall lets pass, through `firewall-cmd`, or
//! `firewall-offline-cmd` while the daemon doesn't run.

use provision_protocol::Object;
use serde_json::Value;

use super::super::process::{Finished, Run, find_program};
use crate::module::{Context, Failure, Given, Outcome};

/// Parameters that are options of the programs, too, with a value each.
const ELEMENTS: &[(&str, &str)] = &[
    ("icmp_block", "icmp-block"),
    ("interface", "interface"),
    ("port", "port"),
    ("protocol", "protocol"),
    ("rich_rule", "rich-rule"),
    ("service", "service"),
    ("source", "source"),
];

/// Those that are on or off.
const SWITCHES: &[(&str, &str)] = &[
    ("forward", "forward"),
    ("icmp_block_inversion", "icmp-block-inversion"),
    ("masquerade", "masquerade"),
];

const NOT_RUNNING: &str = "firewall is not currently running, unable to perform immediate actions \
                           without a running firewall daemon";

/// `firewalld`: puts something into a zone or takes it out.
///
/// # Errors
/// When the daemon doesn't run and nothing says that it needn't, or the program refuses.
pub fn firewalld(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let is_running = match find_program("firewall-cmd") {
        Some(program) => Run::new(program).argument("--state").run(context)?.succeeded(),
        None => false,
    };
    if !is_running && !given.flag("offline") {
        return Err(Failure::new("firewalld service must be running, or try with offline=true"));
    }
    let program = if is_running { "firewall-cmd" } else { "firewall-offline-cmd" };
    manage(given, Tool { words: vec![program.to_owned()], is_running }, context)
}

/// The program, and whether it speaks with the daemon.
struct Tool {
    words: Vec<String>,
    is_running: bool,
}

/// Where something is said: in the files, or in the running daemon.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Permanent,
    Running,
}

/// What is to be in a zone.
enum Wanted {
    /// Name, option and value of the program, whether it is to be there.
    Element {
        name: &'static str,
        option: &'static str,
        value: Option<String>,
        there: bool,
    },
    Target(String),
    Zone {
        there: bool,
    },
}

fn manage(given: Given<'_>, tool: Tool, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let is_permanent = given.flag("permanent");
    let wanted = wanted(given)?;
    let is_about_zone = matches!(wanted, Wanted::Zone { .. } | Wanted::Target(_));
    if is_about_zone && (!is_permanent || given.flag("immediate")) {
        return Err(Failure::new(
            "Zone operations must be permanent. Make sure you didn't set the 'permanent' flag to \
             'false' or the 'immediate' flag to 'true'.",
        ));
    }
    let is_immediate = given.flag("immediate") || !is_permanent;
    let mut places = Vec::new();
    if is_permanent {
        places.push(Place::Permanent);
    }
    match (is_immediate, tool.is_running) {
        (true, true) => places.push(Place::Running),
        (true, false) if !is_permanent => return Err(Failure::new(NOT_RUNNING)),
        _ => {}
    }
    let header = match places.as_slice() {
        [Place::Permanent, ..] if is_immediate && tool.is_running => {
            "Permanent and Non-Permanent(immediate) operation"
        }
        [Place::Permanent, ..] => "Permanent operation",
        _ => "Non-permanent operation",
    };
    let zone = match given.text("zone") {
        Some(zone) => zone.to_owned(),
        None if matches!(wanted, Wanted::Zone { .. }) => {
            return Err(Failure::new("a zone is needed for operations on it"));
        }
        None => {
            tool.ask(&["--get-default-zone".to_owned()], context)?.stdout_text().trim().to_owned()
        }
    };
    let work = Work { given, tool, zone };
    let mut changed = false;
    for place in places {
        changed |= work.bring_about(&wanted, place, context)?;
    }
    let mut messages = vec![header.to_owned()];
    if changed {
        messages.push(work.account(&wanted));
    }
    Ok(Outcome::new(changed).with("msg", messages.join(", ")))
}

fn wanted(given: Given<'_>) -> Result<Wanted, Failure> {
    let state = given.word("state");
    let there = matches!(state, "enabled" | "present");
    let by_zone = matches!(state, "absent" | "present");
    let refused =
        || Err(Failure::new("absent and present state can only be used in zone level operations"));
    if let Some(target) = given.text("target") {
        let target = if there { target } else { "default" };
        return Ok(Wanted::Target(target.to_owned()));
    }
    let element = |name, option, value, there| Ok(Wanted::Element { name, option, value, there });
    for (name, option) in ELEMENTS {
        let Some(value) = given.text(name) else { continue };
        if by_zone {
            return refused();
        }
        if *name == "port" && !value.contains('/') {
            return Err(Failure::new("improper port format (missing protocol?)"));
        }
        return element(*name, *option, Some(value.to_owned()), there);
    }
    for (name, option) in SWITCHES {
        let Some(switch) = given.choice(name) else { continue };
        if by_zone {
            return refused();
        }
        return element(*name, *option, None, there == switch);
    }
    if let Some(forwards) = given.0.get("port_forward").and_then(Value::as_array) {
        let [Value::Object(forward)] = forwards.as_slice() else {
            return Err(Failure::new("Only one port forward supported at a time"));
        };
        let field = |name: &str| match forward.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        let mut fields = Vec::new();
        for name in ["port", "proto", "toport", "toaddr"] {
            match field(name) {
                Some(value) => fields.push(format!("{name}={value}")),
                None if matches!(name, "port" | "proto") => {
                    return Err(Failure::new(format!("{name} must be specified for port forward")));
                }
                None => {}
            }
        }
        return element("port_forward", "forward-port", Some(fields.join(":")), there);
    }
    if !by_zone {
        return Err(Failure::new(
            "enabled and disabled state need something of a zone: a service, a port…",
        ));
    }
    Ok(Wanted::Zone { there })
}

impl Tool {
    fn run(&self, words: &[String]) -> Result<Run, Failure> {
        let mut own = self.words.iter();
        let run = Run::tool(own.next().map_or("", String::as_str))?;
        Ok(run.parsable().arguments(own).arguments(words))
    }

    fn ask(&self, words: &[String], context: &Context<'_>) -> Result<Finished, Failure> {
        self.run(words)?.succeed(context)
    }
}

struct Work<'a> {
    given: Given<'a>,
    tool: Tool,
    zone: String,
}

impl Work<'_> {
    /// Options that say where; the other program knows only files.
    fn place(&self, place: Place) -> Vec<String> {
        let mut words = Vec::new();
        if place == Place::Permanent && self.tool.is_running {
            words.push("--permanent".to_owned());
        }
        words
    }

    fn in_zone(&self, place: Place, option: &str) -> Vec<String> {
        let mut words = self.place(place);
        words.push(format!("--zone={}", self.zone));
        words.push(option.to_owned());
        words
    }

    /// Makes it so; whether it was otherwise.
    fn bring_about(
        &self,
        wanted: &Wanted,
        place: Place,
        context: &mut Context<'_>,
    ) -> Result<bool, Failure> {
        let words = match wanted {
            Wanted::Element { option, value, there, .. } => {
                let say = |verb: &str| match value {
                    Some(value) => format!("--{verb}-{option}={value}"),
                    None => format!("--{verb}-{option}"),
                };
                let asked = self.tool.run(&self.in_zone(place, &say("query")))?.run(context)?;
                // 0: yes, 1: no.
                if asked.rc > 1 {
                    return Err(self.failed(&asked));
                }
                if asked.succeeded() == *there {
                    return Ok(false);
                }
                let verb = match (*option, there) {
                    // It may be in another zone, and can only be in one.
                    ("interface" | "source", true) => "change",
                    (_, true) => "add",
                    (_, false) => "remove",
                };
                let mut say_it = say(verb);
                // The plain option is that of an older program there, and knows no zones.
                if !self.tool.is_running && *option == "service" && !*there {
                    say_it = say_it.replacen("-service=", "-service-from-zone=", 1);
                }
                let mut words = self.in_zone(place, &say_it);
                let seconds = self.given.integer("timeout").unwrap_or(0);
                if *there && place == Place::Running && seconds > 0 {
                    words.push(format!("--timeout={seconds}"));
                }
                words
            }
            Wanted::Target(target) => {
                let asked = self.tool.ask(&self.in_zone(place, "--get-target"), context)?;
                if asked.stdout_text().trim() == target {
                    return Ok(false);
                }
                self.in_zone(place, &format!("--set-target={target}"))
            }
            Wanted::Zone { there } => {
                let mut asked = self.place(place);
                asked.push("--get-zones".to_owned());
                let zones = self.tool.ask(&asked, context)?.stdout_text();
                if zones.split_whitespace().any(|zone| zone == self.zone) == *there {
                    return Ok(false);
                }
                let mut words = self.place(place);
                let verb = if *there { "new" } else { "delete" };
                words.push(format!("--{verb}-zone={}", self.zone));
                words
            }
        };
        if !context.check {
            context.about_to_change()?;
            let done = self.tool.run(&words)?.run(context)?;
            if !done.succeeded() {
                return Err(self.failed(&done));
            }
        }
        Ok(true)
    }

    fn failed(&self, finished: &Finished) -> Failure {
        let said = finished.stderr_text();
        let said = if said.trim().is_empty() { finished.stdout_text() } else { said };
        finished.failure(format!("ERROR: Exception caught: {}", said.trim()))
    }

    fn account(&self, wanted: &Wanted) -> String {
        let state = self.given.word("state");
        match wanted {
            Wanted::Element { name, value: Some(value), .. } => {
                format!("Changed {name} {value} to {state}")
            }
            Wanted::Element { name, there, .. } => {
                let verb = if *there { "Added" } else { "Removed" };
                let side = if *there { "to" } else { "from" };
                format!("{verb} {name} {side} zone {}", self.zone)
            }
            Wanted::Target(target) => format!("Set zone {} target to {target}", self.zone),
            Wanted::Zone { there: true } => format!("Added zone {}", self.zone),
            Wanted::Zone { there: false } => format!("Removed zone {}", self.zone),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::{context, object};

    /// The real program, with files of its own.
    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Files {
            let files = Files(tempfile::tempdir().unwrap());
            for folder in ["zones", "services", "policies", "icmptypes", "ipsets", "helpers"] {
                std::fs::create_dir(files.0.path().join(folder)).unwrap();
            }
            let own = files.0.path().join("firewalld.conf");
            std::fs::copy("/etc/firewalld/firewalld.conf", own).unwrap();
            files
        }

        fn call_as(&self, given: Value, check: bool) -> Result<Outcome, Failure> {
            let spec = provision_protocol::modules::find("firewalld").unwrap();
            let given = provision_protocol::modules::normalise(spec, object(given)).unwrap();
            let folder = self.0.path().display();
            let words = vec!["firewall-offline-cmd".into(), format!("--system-config={folder}")];
            let mut bench = context();
            bench.check = check;
            manage(Given(&given), Tool { words, is_running: false }, &mut bench.context())
        }

        fn call(&self, given: Value) -> Outcome {
            self.call_as(given, false).unwrap()
        }

        fn zone(&self, name: &str) -> String {
            let path = self.0.path().join("zones").join(format!("{name}.xml"));
            std::fs::read_to_string(path).unwrap_or_default()
        }
    }

    #[test]
    fn services_come_and_go() {
        let files = Files::new();
        let given = |state: &str| json!({"service": "http", "permanent": true, "state": state, "offline": true});
        assert!(files.call_as(given("enabled"), true).unwrap().changed);
        assert_eq!(files.zone("public"), "");
        let outcome = files.call(given("enabled"));
        assert!(outcome.changed);
        assert_eq!(outcome.values["msg"], "Permanent operation, Changed service http to enabled");
        assert!(files.zone("public").contains("<service name=\"http\"/>"));
        let again = files.call(given("enabled"));
        assert_eq!((again.changed, &again.values["msg"]), (false, &json!("Permanent operation")));
        assert!(files.call(given("disabled")).changed);
        assert!(!files.zone("public").contains("http\""));
        let failure = files
            .call_as(json!({"service": "no-such", "permanent": true, "state": "enabled"}), false);
        assert!(failure.unwrap_err().message.contains("INVALID_SERVICE"));
    }

    #[test]
    fn each_thing_of_a_zone() {
        let files = Files::new();
        for thing in [
            json!({"port": "8081/tcp"}),
            json!({"protocol": "igmp"}),
            json!({"source": "192.0.2.0/24"}),
            json!({"interface": "eth9"}),
            json!({"icmp_block": "echo-request"}),
            json!({"icmp_block_inversion": true}),
            json!({"masquerade": true}),
            json!({"rich_rule": "rule service name=\"ftp\" audit limit value=\"1/m\" accept"}),
            json!({"port_forward": [{"port": 443, "proto": "tcp", "toport": 8443}]}),
            json!({"target": "DROP"}),
        ] {
            let given = |state: &str| {
                let mut given = json!({"zone": "dmz", "permanent": true, "state": state});
                given.as_object_mut().unwrap().extend(thing.as_object().unwrap().clone());
                given
            };
            assert!(files.call(given("enabled")).changed, "{thing}");
            assert!(!files.call(given("enabled")).changed, "{thing}");
            assert!(files.call(given("disabled")).changed, "{thing}");
        }
        let off =
            json!({"zone": "dmz", "permanent": true, "state": "enabled", "masquerade": false});
        assert!(!files.call(off).changed);
    }

    #[test]
    fn zones_come_and_go() {
        let files = Files::new();
        let given = |state: &str| json!({"zone": "custom", "state": state, "permanent": true});
        let outcome = files.call(given("present"));
        assert_eq!(outcome.values["msg"], "Permanent operation, Added zone custom");
        assert!(outcome.changed && !files.call(given("present")).changed);
        assert!(files.call(given("absent")).changed && !files.call(given("absent")).changed);
    }

    #[test]
    fn mistakes_are_told() {
        let files = Files::new();
        let message = |given: Value| files.call_as(given, false).unwrap_err().message;
        let given = json!({"service": "http", "state": "enabled"});
        assert_eq!(message(given), NOT_RUNNING);
        let given = json!({"service": "http", "state": "present", "permanent": true});
        assert!(message(given).contains("zone level operations"));
        let given = json!({"zone": "a", "state": "present"});
        assert!(message(given).contains("Zone operations must be permanent"));
        let given = json!({"port": "80", "state": "enabled", "permanent": true});
        assert_eq!(message(given), "improper port format (missing protocol?)");
        let given = json!({"state": "enabled", "permanent": true});
        assert!(message(given).contains("need something of a zone"));
    }
}
