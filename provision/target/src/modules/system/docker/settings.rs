//! What a container is made of: parameters, docker's options, and where an existing container shows
//! them.

use serde_json::Value;

use crate::module::{Failure, Given};

/// How a parameter is given to docker, and compared with what is there.
#[derive(Clone, Copy)]
enum Form {
    /// A text.
    Text,
    /// A switch.
    Flag,
    /// A whole number.
    Number,
    /// A count of bytes with a unit.
    Size,
    /// Processors, in billionths.
    Processors,
    /// Texts; all of them have to be there.
    List,
    /// `name=value`, a list or a mapping there; all of them have to be there.
    Pairs,
    /// `name:value`, a list there.
    Hosts,
    /// A command line: a text or a list, and just this.
    Words,
    /// Ports or folders: keys of a mapping there.
    Keys,
}

/// Parameter, option of `docker create`, place in `docker inspect`, form.
type Setting = (&'static str, &'static str, &'static str, Form);

const SETTINGS: &[Setting] = &[
    ("auto_remove", "--rm", "/HostConfig/AutoRemove", Form::Flag),
    ("blkio_weight", "--blkio-weight", "/HostConfig/BlkioWeight", Form::Number),
    ("cap_drop", "--cap-drop", "/HostConfig/CapDrop", Form::List),
    ("capabilities", "--cap-add", "/HostConfig/CapAdd", Form::List),
    ("cgroup_parent", "--cgroup-parent", "/HostConfig/CgroupParent", Form::Text),
    ("command", "", "/Config/Cmd", Form::Words),
    ("cpu_period", "--cpu-period", "/HostConfig/CpuPeriod", Form::Number),
    ("cpu_quota", "--cpu-quota", "/HostConfig/CpuQuota", Form::Number),
    ("cpu_shares", "--cpu-shares", "/HostConfig/CpuShares", Form::Number),
    ("cpus", "--cpus", "/HostConfig/NanoCpus", Form::Processors),
    ("cpuset_cpus", "--cpuset-cpus", "/HostConfig/CpusetCpus", Form::Text),
    ("cpuset_mems", "--cpuset-mems", "/HostConfig/CpusetMems", Form::Text),
    ("dns_opts", "--dns-option", "/HostConfig/DnsOptions", Form::List),
    ("dns_search_domains", "--dns-search", "/HostConfig/DnsSearch", Form::List),
    ("dns_servers", "--dns", "/HostConfig/Dns", Form::List),
    ("domainname", "--domainname", "/Config/Domainname", Form::Text),
    ("entrypoint", "--entrypoint", "/Config/Entrypoint", Form::Words),
    ("env", "--env", "/Config/Env", Form::Pairs),
    ("etc_hosts", "--add-host", "/HostConfig/ExtraHosts", Form::Hosts),
    ("exposed_ports", "--expose", "/Config/ExposedPorts", Form::Keys),
    ("groups", "--group-add", "/HostConfig/GroupAdd", Form::List),
    ("hostname", "--hostname", "/Config/Hostname", Form::Text),
    ("init", "--init", "/HostConfig/Init", Form::Flag),
    ("interactive", "--interactive", "/Config/OpenStdin", Form::Flag),
    ("ipc_mode", "--ipc", "/HostConfig/IpcMode", Form::Text),
    ("labels", "--label", "/Config/Labels", Form::Pairs),
    ("log_driver", "--log-driver", "/HostConfig/LogConfig/Type", Form::Text),
    ("log_options", "--log-opt", "/HostConfig/LogConfig/Config", Form::Pairs),
    ("memory", "--memory", "/HostConfig/Memory", Form::Size),
    ("memory_reservation", "--memory-reservation", "/HostConfig/MemoryReservation", Form::Size),
    ("memory_swap", "--memory-swap", "/HostConfig/MemorySwap", Form::Size),
    ("memory_swappiness", "--memory-swappiness", "/HostConfig/MemorySwappiness", Form::Number),
    ("network_mode", "--network", "/HostConfig/NetworkMode", Form::Text),
    ("oom_killer", "--oom-kill-disable", "/HostConfig/OomKillDisable", Form::Flag),
    ("oom_score_adj", "--oom-score-adj", "/HostConfig/OomScoreAdj", Form::Number),
    ("pid_mode", "--pid", "/HostConfig/PidMode", Form::Text),
    ("pids_limit", "--pids-limit", "/HostConfig/PidsLimit", Form::Number),
    ("privileged", "--privileged", "/HostConfig/Privileged", Form::Flag),
    ("read_only", "--read-only", "/HostConfig/ReadonlyRootfs", Form::Flag),
    ("runtime", "--runtime", "/HostConfig/Runtime", Form::Text),
    ("security_opts", "--security-opt", "/HostConfig/SecurityOpt", Form::List),
    ("shm_size", "--shm-size", "/HostConfig/ShmSize", Form::Size),
    ("stop_signal", "--stop-signal", "/Config/StopSignal", Form::Text),
    ("stop_timeout", "--stop-timeout", "/Config/StopTimeout", Form::Number),
    ("sysctls", "--sysctl", "/HostConfig/Sysctls", Form::Pairs),
    ("tty", "--tty", "/Config/Tty", Form::Flag),
    ("user", "--user", "/Config/User", Form::Text),
    ("userns_mode", "--userns", "/HostConfig/UsernsMode", Form::Text),
    ("uts", "--uts", "/HostConfig/UTSMode", Form::Text),
    ("volumes", "--volume", "/HostConfig/Binds", Form::List),
    ("working_dir", "--workdir", "/Config/WorkingDir", Form::Text),
];

/// What differs: the parameter, what is wanted, what is there.
pub(super) type Difference = (&'static str, Value, Value);

/// The words of `docker create`, without the image and what follows it.
pub(super) fn options(given: Given<'_>) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    for (name, option, _, form) in SETTINGS {
        let Some(value) = given.0.get(*name).filter(|_| !option.is_empty()) else { continue };
        if given.0.contains_key("networks") && *name == "network_mode" {
            continue;
        }
        match form {
            Form::Flag => words.push(format!("{option}={value}")),
            Form::Words => {
                // The others stand before the command.
                words.extend(command_line(value)?.first().map(|first| format!("{option}={first}")));
            }
            Form::List | Form::Pairs | Form::Hosts | Form::Keys => {
                let items = items(value, separator(*form));
                words.extend(items.into_iter().map(|item| format!("{option}={item}")));
            }
            Form::Text | Form::Number | Form::Size | Form::Processors => {
                words.push(format!("{option}={}", text(value)));
            }
        }
    }
    words.extend(given.words("published_ports").iter().map(|port| format!("--publish={port}")));
    if let Some(policy) = given.text("restart_policy") {
        let retries = given.integer("restart_retries").filter(|_| policy == "on-failure");
        let retries = retries.map_or(String::new(), |retries| format!(":{retries}"));
        words.push(format!("--restart={policy}{retries}"));
    }
    Ok(words)
}

/// What stands behind the image: the rest of the entry point, then the command.
pub(super) fn arguments(given: Given<'_>) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    if let Some(entrypoint) = given.0.get("entrypoint") {
        words.extend(command_line(entrypoint)?.into_iter().skip(1));
    }
    if let Some(command) = given.0.get("command") {
        words.extend(command_line(command)?);
    }
    Ok(words)
}

/// How an existing container differs from what is given.
pub(super) fn differences(given: Given<'_>, there: &Value) -> Result<Vec<Difference>, Failure> {
    let mut found = Vec::new();
    for (name, _, place, form) in SETTINGS {
        let Some(wanted) = given.0.get(*name) else { continue };
        if matches!(*name, "command" | "entrypoint") {
            continue;
        }
        let now = there.pointer(place).unwrap_or(&Value::Null);
        if !holds(*form, wanted, now) {
            found.push((*name, wanted.clone(), now.clone()));
        }
    }
    found.extend(other_command(given, there)?);
    let bindings = there.pointer("/HostConfig/PortBindings").unwrap_or(&Value::Null);
    for port in given.words("published_ports") {
        if !is_published(port, bindings) {
            found.push(("published_ports", port.into(), bindings.clone()));
        }
    }
    if let Some(policy) = given.text("restart_policy") {
        let now = there.pointer("/HostConfig/RestartPolicy").unwrap_or(&Value::Null);
        let name = now.get("Name").and_then(Value::as_str).unwrap_or_default();
        let retries = now.get("MaximumRetryCount").and_then(Value::as_i64);
        let other_retries = policy == "on-failure"
            && given.integer("restart_retries").is_some_and(|wanted| Some(wanted) != retries);
        if (if name.is_empty() { "no" } else { name }) != policy || other_retries {
            found.push(("restart_policy", policy.into(), now.clone()));
        }
    }
    Ok(found)
}

/// An entry point of several words is given to docker as one, with the rest before the command; what
/// the container runs in the end is compared.
fn other_command(given: Given<'_>, there: &Value) -> Result<Option<Difference>, Failure> {
    if !given.0.contains_key("command") && !given.0.contains_key("entrypoint") {
        return Ok(None);
    }
    let list = |place: &str| {
        let list = there.pointer(place).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let (entrypoint, command) = (list("/Config/Entrypoint"), list("/Config/Cmd"));
    let wanted = match (given.0.get("entrypoint"), given.0.get("command")) {
        (None, Some(wanted)) => (command, command_line(wanted)?),
        (Some(wanted), None) => {
            // The command of the image is not used beside an entry point of the call.
            let now: Vec<String> = entrypoint.into_iter().chain(command).collect();
            (now, command_line(wanted)?)
        }
        (Some(first), Some(rest)) => {
            let now: Vec<String> = entrypoint.into_iter().chain(command).collect();
            (now, command_line(first)?.into_iter().chain(command_line(rest)?).collect())
        }
        (None, None) => return Ok(None),
    };
    Ok((wanted.0 != wanted.1).then(|| ("command", wanted.1.into(), wanted.0.into())))
}

fn holds(form: Form, wanted: &Value, now: &Value) -> bool {
    match form {
        Form::Text => {
            let now = now.as_str().unwrap_or_default();
            let wanted = text(wanted);
            // The default network has two names.
            wanted == now
                || [wanted.as_str(), now].iter().all(|name| matches!(*name, "default" | "bridge"))
        }
        Form::Flag => wanted.as_bool() == Some(now.as_bool().unwrap_or(false)),
        Form::Number => wanted.as_i64() == Some(now.as_i64().unwrap_or(0)),
        Form::Size => bytes(&text(wanted)) == Some(now.as_i64().unwrap_or(0)),
        Form::Processors => {
            let wanted = text(wanted).parse::<f64>().unwrap_or(0.0) * 1e9;
            (wanted - now.as_f64().unwrap_or(0.0)).abs() < 1.0
        }
        Form::List | Form::Hosts => {
            let now = items(now, ':');
            let plain = |item: &str| item.trim_start_matches("CAP_").to_owned();
            let now: Vec<String> = now.iter().map(|item| plain(item)).collect();
            items(wanted, ':').iter().all(|item| {
                let item = plain(item);
                // Folders are read and written unless something else is said.
                now.contains(&item) || now.contains(&format!("{item}:rw"))
            })
        }
        Form::Pairs => {
            let now = items(now, '=');
            items(wanted, '=').iter().all(|item| now.contains(item))
        }
        Form::Keys => items(wanted, ':').iter().all(|port| {
            let port = if port.contains('/') { port.clone() } else { format!("{port}/tcp") };
            now.get(&port).is_some()
        }),
        Form::Words => true,
    }
}

fn separator(form: Form) -> char {
    if matches!(form, Form::Pairs) { '=' } else { ':' }
}

/// Whether a `[address:]host:container[/protocol]` is published.
fn is_published(port: &str, bindings: &Value) -> bool {
    let (port, protocol) = port.rsplit_once('/').unwrap_or((port, "tcp"));
    let mut parts = port.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let (host, address) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let ends = |text: &str| -> Option<(u32, u32)> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    let Some((first, last)) = ends(container) else { return false };
    let host = ends(host);
    (first..=last).all(|number| {
        let bound = bindings.get(format!("{number}/{protocol}")).and_then(Value::as_array);
        bound.into_iter().flatten().any(|binding| {
            let field = |name: &str| binding.get(name).and_then(Value::as_str).unwrap_or_default();
            let expected = host.map(|(begin, _)| (begin + number - first).to_string());
            let is_any = |address: &str| matches!(address, "" | "0.0.0.0");
            let address_fits =
                field("HostIp") == address || (is_any(field("HostIp")) && is_any(address));
            address_fits && expected.is_none_or(|expected| field("HostPort") == expected)
        })
    })
}

/// Items of a list, or of a mapping as `name=value`.
fn items(value: &Value, separator: char) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        Value::Object(pairs) => {
            pairs.iter().map(|(name, value)| format!("{name}{separator}{}", text(value))).collect()
        }
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn command_line(value: &Value) -> Result<Vec<String>, Failure> {
    match value {
        Value::Array(items) => Ok(items.iter().map(text).collect()),
        other => crate::modules::system::words::split(&text(other)).map_err(Failure::new),
    }
}

/// `512M` in bytes; units are powers of 1024.
fn bytes(text: &str) -> Option<i64> {
    let text = text.trim().to_uppercase();
    if matches!(text.as_str(), "UNLIMITED" | "-1") {
        return Some(-1);
    }
    let text = text.trim_end_matches('B').trim_end_matches('I');
    let (number, factor) = match text.char_indices().last()? {
        (at, 'K') => (text.get(..at)?, 1 << 10),
        (at, 'M') => (text.get(..at)?, 1 << 20),
        (at, 'G') => (text.get(..at)?, 1 << 30),
        (at, 'T') => (text.get(..at)?, 1_i64 << 40),
        _ => (text, 1),
    };
    number.trim().parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn differing(given: Value, there: &Value) -> Vec<&'static str> {
        let found = differences(Given(given.as_object().unwrap()), there).unwrap();
        found.into_iter().map(|(name, ..)| name).collect()
    }

    #[test]
    fn options_are_those_of_docker_create() {
        let given = json!({"env": {"A": "b c"}, "published_ports": ["127.0.0.1:80:8080"],
            "volumes": ["/a:/b:ro"], "memory": "512M", "privileged": false,
            "restart_policy": "on-failure", "restart_retries": 3, "entrypoint": ["sh", "-c"],
            "command": "sleep 1", "etc_hosts": {"a": "10.0.0.1"}});
        let given = Given(given.as_object().unwrap());
        assert_eq!(
            options(given).unwrap().join("|"),
            "--entrypoint=sh|--env=A=b c|--add-host=a:10.0.0.1|--memory=512M|--privileged=false|\
             --volume=/a:/b:ro|--publish=127.0.0.1:80:8080|--restart=on-failure:3"
        );
        assert_eq!(arguments(given).unwrap(), ["-c", "sleep", "1"]);
    }

    #[test]
    fn only_what_is_given_is_compared() {
        let there = json!({
            "Config": {"Env": ["A=1", "PATH=/bin"], "Cmd": ["-c", "sleep 1"], "Entrypoint": ["sh"],
                       "Labels": {"x": "y", "z": "1"}},
            "HostConfig": {"Memory": 536_870_912, "Binds": ["/a:/b:rw"], "NetworkMode": "default",
                "NanoCpus": 500_000_000, "CapAdd": ["CAP_NET_ADMIN"],
                "PortBindings": {"8080/tcp": [{"HostIp": "", "HostPort": "80"}]},
                "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}}
        });
        let same = json!({"env": {"A": 1}, "labels": {"x": "y"}, "memory": "512M", "cpus": 0.5,
            "volumes": ["/a:/b"], "published_ports": ["80:8080"], "network_mode": "bridge",
            "capabilities": ["NET_ADMIN"], "entrypoint": "sh -c", "command": ["sleep 1"],
            "restart_policy": "no"});
        assert_eq!(differing(same, &there), Vec::<&str>::new());
        let other = json!({"env": {"A": 2}, "memory": "1G", "published_ports": ["81:8080", "53:53/udp"],
            "command": ["sleep 2"], "restart_policy": "always", "privileged": true});
        assert_eq!(
            differing(other, &there),
            [
                "env",
                "memory",
                "privileged",
                "command",
                "published_ports",
                "published_ports",
                "restart_policy"
            ]
        );
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("512M"), Some(512 << 20));
        assert_eq!(bytes("1GiB"), Some(1 << 30));
        assert_eq!((bytes("10"), bytes("unlimited"), bytes("x")), (Some(10), Some(-1), None));
    }
}
