//! `capabilities`: capabilities of program files.

use provision_protocol::Object;

use super::super::process::Run;
use super::ask;
use crate::module::{Context, Failure, Given, Outcome};

/// A capability, its operator and its sets: `cap_net_raw`, `+`, `ep`.
#[derive(Debug, Clone, PartialEq)]
struct Capability {
    name: String,
    operator: char,
    sets: String,
}

/// `capabilities`: gives a file a capability, or takes it away.
///
/// # Errors
/// When the file has no room for them, or the programs of libcap fail.
pub fn capabilities(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let (path, state) = (given.word("path").trim(), given.word("state"));
    let text = given.word("capability").trim().to_lowercase();
    let is_wanted = state == "present";
    let wanted = Capability::parse(&text);
    if is_wanted && wanted.is_none() {
        return Err(Failure::new("Couldn't find operator (one of: ('=', '-', '+'))"));
    }
    let name = wanted.as_ref().map_or(text.as_str(), |wanted| wanted.name.as_str());
    let mut now = capabilities_of(path, context)?;
    let is_there = match (&wanted, is_wanted) {
        (Some(wanted), true) => now.contains(wanted),
        _ => now.iter().any(|one| one.name == name),
    };
    if is_there == is_wanted {
        return Ok(Outcome::new(false).with("state", state));
    }
    let outcome = Outcome::new(true).with("msg", "capabilities changed").with("state", state);
    if context.check {
        return Ok(outcome);
    }
    now.retain(|one| one.name != name);
    if is_wanted {
        now.extend(wanted);
    }
    let all: Vec<String> =
        now.iter().map(|one| format!("{}{}{}", one.name, one.operator, one.sets)).collect();
    context.about_to_change()?;
    let run = Run::tool("setcap")?.argument(all.join(" ")).argument(path);
    let finished = run.run(context)?;
    if !finished.succeeded() {
        return Err(finished.failure(format!("Unable to set capabilities of {path}")));
    }
    Ok(outcome.with("stdout", finished.stdout_text()))
}

fn capabilities_of(path: &str, context: &Context<'_>) -> Result<Vec<Capability>, Failure> {
    let finished = ask("getcap", &["-v", path], context)?;
    let said = finished.stdout_text();
    let text = said.trim();
    let is_error = text != path && text.ends_with(')');
    if !finished.succeeded() || !finished.stderr.is_empty() || is_error {
        return Err(finished.failure(format!("Unable to get capabilities of {path}")));
    }
    Ok(listed(text.strip_prefix(path).unwrap_or(text)))
}

/// What follows the path: ` cap_net_raw,cap_net_admin=ep cap_chown+p`, with ` =` in front of it by
/// older versions.
fn listed(text: &str) -> Vec<Capability> {
    let text = text.trim_start();
    let text = text.strip_prefix("= ").unwrap_or(text);
    let groups = text.split_whitespace().map(str::to_lowercase);
    groups
        .filter_map(|group| Capability::parse(&group))
        .flat_map(|group| {
            let names: Vec<String> = group.name.split(',').map(str::to_owned).collect();
            names.into_iter().map(move |name| Capability { name, ..group.clone() })
        })
        .collect()
}

impl Capability {
    fn parse(text: &str) -> Option<Self> {
        let at = text.find(['=', '-', '+'])?;
        let (name, rest) = text.split_at(at);
        let mut rest = rest.chars();
        let operator = rest.next()?;
        (!name.is_empty()).then(|| Capability {
            name: name.to_owned(),
            operator,
            sets: rest.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::process::find_program;
    use crate::modules::system::testing::context;

    #[test]
    fn lists_of_all_versions_are_read() {
        let names = |text: &str| {
            let all = listed(text).into_iter();
            all.map(|one| format!("{}{}{}", one.name, one.operator, one.sets)).collect::<Vec<_>>()
        };
        assert_eq!(names(" cap_a,cap_b=ep cap_c+p"), ["cap_a=ep", "cap_b=ep", "cap_c+p"]);
        assert_eq!(names(" = cap_a+ep"), ["cap_a+ep"]);
        assert!(names("").is_empty() && names(" =").is_empty());
    }

    /// With the real programs, where they are and may do it.
    #[test]
    fn a_file_gets_and_loses_a_capability() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let can = find_program("setcap").is_some()
            && ask("setcap", &["cap_chown=ep", path], &context().context())
                .is_ok_and(|finished| finished.succeeded());
        if !can {
            return;
        }
        let call = |capability: &str, state: &str| {
            let given = json!({"path": path, "capability": capability, "state": state});
            context().call_named("capabilities", given).unwrap().changed
        };
        assert!(call("cap_net_bind_service=ep", "present"));
        assert!(!call("cap_net_bind_service=ep", "present"));
        assert!(!call("cap_chown=ep", "present"));
        assert!(call("cap_chown", "absent") && !call("cap_chown", "absent"));
        assert!(!call("cap_net_bind_service=ep", "present"));
    }
}
