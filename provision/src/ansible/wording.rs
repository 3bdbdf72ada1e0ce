//! What is wrong with a playbook in the words that Ansible has for it: scripts look for them. The
//! report with places and hints follows in our own.

use diagnostics::{Diagnostic, Sources};

/// Ansible's words, where it has some for the same thing.
pub fn of(diagnostic: &Diagnostic) -> Option<String> {
    let message = diagnostic.message.as_str();
    let mut quoted = message.split('`').skip(1).step_by(2);
    let name = quoted.next();
    match (diagnostic.code, name) {
        ("unknown-keyword", Some(name)) => {
            let (_, place) = message.split_once(" is not a keyword of a ")?;
            let place = match place.split_whitespace().next()? {
                "play" => "Play",
                "block" => "Block",
                "handler" => "Handler",
                "role" => "RoleInclude",
                _ => "Task",
            };
            Some(format!("'{name}' is not a valid attribute for a {place}"))
        }
        ("register-name", Some(name)) => {
            Some(format!("Invalid variable name in 'register' specified: '{name}'"))
        }
        ("unknown-handler", Some(name)) => Some(format!(
            "The requested handler '{name}' was not found in either the main handlers list nor in \
             the listening handlers list"
        )),
        ("unknown-module", Some(name)) => Some(format!(
            "couldn't resolve module/action '{name}'. This often indicates a misspelling, missing \
             collection, or incorrect module path."
        )),
        ("inventory-host-name", Some(name)) => {
            Some(format!("Host pattern {name} must be a string"))
        }
        ("reserved-parameter", Some(name)) => {
            let module = quoted.next()?;
            Some(format!(
                "Invalid parameter specified beginning with keyword '_ansible_' for action \
                 '{module}': '{name}'. The prefix '_ansible_' is reserved for internal use only."
            ))
        }
        ("role-as-handler", Some(name)) => {
            Some(format!("Using '{name}' as a handler is not supported."))
        }
        ("end-role", _) => {
            let from =
                if message.ends_with("a handler") { "a handler" } else { "outside of a role" };
            Some(format!("Cannot execute 'end_role' from {from}"))
        }
        ("flush-as-handler", _) => Some("flush_handlers cannot be used as a handler".to_owned()),
        ("unknown-parameter", Some(name)) if message.ends_with("takes no `apply`") => {
            Some(format!("Invalid options for {name}: apply"))
        }
        ("file-of-role", Some(name)) => {
            let class = if message.ends_with("list") { "list" } else { "dict" };
            Some(format!("Expected a string for {name} but got <class '{class}'> instead"))
        }
        ("missing-parameter", Some(name)) if message.contains(" needs the file to ") => {
            Some(format!("No file specified for {name}"))
        }
        ("missing-role", Some(name)) => Some(format!("the role '{name}' was not found")),
        _ => None,
    }
}

/// Where Ansible says that it is wrong: at the task.
pub fn place_of(diagnostic: &Diagnostic, sources: &Sources) -> Option<String> {
    let task = diagnostic.secondary.iter().find(|label| label.text == "in this task");
    let place = sources.place(task.or(diagnostic.primary.as_ref())?.span);
    let file = std::path::absolute(&place.file).ok()?;
    Some(format!(
        "The error appears to be in '{}': line {}, column {}",
        file.display(),
        place.line,
        place.column
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_errors_are_called_as_ansible_calls_them() {
        let table = [
            (
                "unknown-keyword",
                "`include_tasks` is not a keyword of a play",
                Some("'include_tasks' is not a valid attribute for a Play"),
            ),
            (
                "register-name",
                "`200` can't be the name of a variable",
                Some("Invalid variable name in 'register' specified: '200'"),
            ),
            (
                "inventory-host-name",
                "the name of host `1234` is an integer",
                Some("Host pattern 1234 must be a string"),
            ),
            ("missing-role", "there is no role `x`", Some("the role 'x' was not found")),
            ("wrong-type", "`x` takes text", None),
        ];
        for (code, message, expected) in table {
            let found = of(&Diagnostic::error(code, message));
            assert_eq!(found.as_deref(), expected, "{message}");
        }
    }
}
