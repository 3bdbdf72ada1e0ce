//! `[io]` Asks the services of the demo themselves how they are.

use std::fmt::Write as _;

use crate::error::Error;
use crate::lab::Lab;
use crate::lab::names::Host;

const ZOOKEEPER: &str = r#"exec 3<>/dev/tcp/127.0.0.1/2181; echo srvr >&3
timeout 5 cat <&3 | sed -n 's/^Zookeeper version: \([^,-]*\).*/version \1/p; s/^Mode: /mode /p; s/^Node count: /nodes /p'"#;

/// The management token is in a file that only the service reads; the lab's is public.
const CONSUL: &str = r#"PATH=/opt/consul/current/bin:$PATH
CONSUL_HTTP_TOKEN=$(grep -ho '[0-9a-f]\{8\}\(-[0-9a-f]\{4\}\)\{3\}-[0-9a-f]\{12\}' /etc/consul.d/* | head -n 1)
export CONSUL_HTTP_TOKEN
consul version | sed -n 's/^Consul v/version /p'
consul members 2>&1 | awk 'NR > 1 {print "member", $1, $4 == "server" ? "server" : "client", $3}'
consul operator raft list-peers 2>&1 | awk 'NR > 1 {print "peer", $1, $4}'"#;

/// Masters and agents say their versions and how they are in pages.
const MESOS: &str = r#"IP=$(hostname -I | cut -d' ' -f1)
for port in 5050 5051; do
{ curl -s http://$IP:$port/version; echo; } | sed -n 's/.*"version":"\([^"]*\)".*/version \1/p'
curl -s http://$IP:$port/metrics/snapshot | tr ',{}' '\n\n\n' \
| sed -n 's/^"master\/elected":1.0/state leads/p; s/^"master\/elected":0.0/state stands by/p; s/^"slave\/registered":1.0/state registered/p; s/^"slave\/tasks_running":\(.*\).0$/tasks \1/p'
done"#;

/// The leader is ready; the others say who leads.
const SCHEDULER: &str = r#"echo "version $(cat /run/scheduler/release)"
curl -s http://127.0.0.1:7470/readyz | sed -n 's/^ready$/state leads/p; s/^follower: .* leads at \(.*\)$/state follows \1/p'"#;

const DOCKER: &str = r#"PATH=/opt/docker/current/bin:$PATH
docker version --format 'version {{.Server.Version}}'
docker ps --format 'container {{.Names}} {{.Status}}'
exec 3<>/dev/tcp/127.0.0.1/18080 && printf 'HEAD /busybox HTTP/1.0\r\n\r\n' >&3 && timeout 5 cat <&3 | sed -n '1s/\r//; 1s/^/answer /p'"#;

/// One table of everything.
///
/// # Errors
/// A host can't be reached.
pub fn table(lab: &Lab) -> Result<String, Error> {
    let mut text = format!("{:<9} {:<11} {:<13} {}\n", "HOST", "SERVICE", "VERSION", "STATE");
    for host in lab.hosts() {
        let name = host.name.as_str();
        if name.starts_with("zk") {
            let said = ask(lab, host, ZOOKEEPER)?;
            row(&mut text, name, "ZooKeeper", &said, &one(&said, "mode"));
        } else {
            let said = ask(lab, host, DOCKER)?;
            let container = one(&said, "container").replacen(' ', ": ", 1);
            let state = format!("{container}; answers {}", one(&said, "answer"));
            row(&mut text, name, "Docker", &said, &state);
        }
        let said = ask(lab, host, MESOS)?;
        let tasks = one(&said, "tasks");
        let (service, tasks) = match tasks.as_str() {
            "" => ("Mesos", String::new()),
            tasks => ("Mesos agent", format!(", {tasks} tasks")),
        };
        row(&mut text, name, service, &said, &format!("{}{tasks}", one(&said, "state")));
        if name.starts_with("zk") {
            let said = ask(lab, host, SCHEDULER)?;
            row(&mut text, name, "Scheduler", &said, &one(&said, "state"));
        }
    }
    if let Some(host) = lab.hosts().first() {
        consul(&mut text, lab, host)?;
    }
    Ok(text)
}

/// What one server knows of all.
fn consul(text: &mut String, lab: &Lab, host: &Host) -> Result<(), Error> {
    let said = ask(lab, host, CONSUL)?;
    for member in all(&said, "member") {
        let mut words = member.split_whitespace();
        let name = words.next().unwrap_or_default();
        let (kind, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let peer = all(&said, "peer")
            .into_iter()
            .find_map(|peer| peer.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        let role = peer.map_or_else(|| kind.to_owned(), |peer| format!("{kind}, raft {peer}"));
        row(text, name, "Consul", &said, &format!("{role}, {status}"));
    }
    Ok(())
}

fn row(text: &mut String, host: &str, service: &str, said: &str, state: &str) {
    let state = if state.is_empty() { "no answer" } else { state };
    // Writing to a String can't fail.
    let _ = writeln!(text, "{host:<9} {service:<11} {:<13} {state}", one(said, "version"));
}

fn ask(lab: &Lab, host: &Host, script: &str) -> Result<String, Error> {
    let script = format!("bash -c '{}' 2>&1 || true", script.replace('\'', r"'\''"));
    let output = lab.run(host, &script)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn all(said: &str, key: &str) -> Vec<String> {
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix(' ').map(str::to_owned);
    said.lines().filter_map(value).collect()
}

fn one(said: &str, key: &str) -> String {
    all(said, key).into_iter().next().unwrap_or_default()
}
