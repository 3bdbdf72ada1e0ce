//! What `systemctl` says.

use provision_protocol::Object;
use serde_json::Value;

use super::super::process::{Finished, Run};
use crate::module::{Context, Failure};

/// Which systemd is asked, and how.
#[derive(Debug, Clone, Default)]
pub(super) struct Systemctl {
    options: Vec<String>,
}

impl Systemctl {
    /// With these options before the command.
    pub fn new(options: Vec<String>) -> Self {
        Systemctl { options }
    }

    /// A command about to be run.
    pub fn run(&self, arguments: &[&str], context: &Context<'_>) -> Result<Finished, Failure> {
        let mut run = Run::tool("systemctl")?.parsable();
        if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
            let folder = format!("/run/user/{}", nix::unistd::geteuid());
            run = run.variable("XDG_RUNTIME_DIR", &folder);
        }
        Ok(run.arguments(&self.options).arguments(arguments).run(context)?)
    }

    /// The properties of a unit; `None` if systemd didn't answer.
    pub fn show(&self, unit: &str, context: &Context<'_>) -> Result<Option<Object>, Failure> {
        let finished = self.run(&["show", "--", unit], context)?;
        let (out, err) = (finished.stdout_text(), finished.stderr_text());
        // Old versions ignore what they are asked inside a chroot, and say so.
        let ignored = |text: &str| {
            !text.contains('=')
                && (text.contains("ignoring request") || text.contains("ignoring command"))
        };
        if !finished.succeeded() || ignored(&out) || ignored(&err) {
            return Ok(None);
        }
        Ok(Some(properties(&out)))
    }
}

/// `Name=value` lines. Only the values of `Exec…` span several lines, in braces.
pub(super) fn properties(text: &str) -> Object {
    let mut properties = Object::new();
    let mut open: Option<(String, Vec<&str>)> = None;
    for line in text.lines() {
        if let Some((name, mut lines)) = open.take() {
            lines.push(line);
            if line.trim_end().ends_with('}') {
                properties.insert(name, lines.join("\n").trim().into());
            } else {
                open = Some((name, lines));
            }
            continue;
        }
        let Some((name, value)) = line.split_once('=') else { continue };
        let unfinished = name.starts_with("Exec")
            && value.trim_start().starts_with('{')
            && !value.trim_end().ends_with('}');
        if unfinished {
            open = Some((name.to_owned(), vec![value]));
        } else {
            properties.insert(name.to_owned(), value.trim().into());
        }
    }
    properties
}

/// A property's text; empty if it isn't there.
pub(super) fn property<'a>(properties: &'a Object, name: &str) -> &'a str {
    properties.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_span_lines_only_in_exec() {
        let text = "Id=ssh.service\nDescription={ odd\nExecStart={ path=/usr/sbin/sshd ; argv[]=x\n\
            y ; status=0/0 }\nExecReload={ path=/bin/kill ; }\nEnvironment=A=b\nno equals\n\
            ActiveState=active\n";
        let properties = properties(text);
        assert_eq!(property(&properties, "Description"), "{ odd");
        assert_eq!(
            property(&properties, "ExecStart"),
            "{ path=/usr/sbin/sshd ; argv[]=x\ny ; status=0/0 }"
        );
        assert_eq!(property(&properties, "ExecReload"), "{ path=/bin/kill ; }");
        assert_eq!(property(&properties, "Environment"), "A=b");
        assert_eq!(property(&properties, "ActiveState"), "active");
        assert_eq!(property(&properties, "Nothing"), "");
        assert_eq!(properties.len(), 6);
    }
}
