//! `znode`: nodes of ZooKeeper.

mod client;

use std::time::{Duration, Instant};

use provision_protocol::Object;
use serde_json::json;

use super::wait;
use crate::module::{Context, Failure, Given, Outcome};
use client::{Client, Stat};

/// How often a node is looked for that is waited for.
const LOOK: Duration = Duration::from_secs(1);

/// `znode`: makes, changes, removes, reads, lists or awaits a node.
///
/// # Errors
/// When no server answers, or it refuses.
pub fn znode(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    if given.flag("use_tls") {
        return Err(Failure::new("znode speaks with ZooKeeper without TLS only"));
    }
    let limit = u64::try_from(given.integer("timeout").unwrap_or(300)).unwrap_or(0).max(1);
    let limit = Duration::from_secs(limit);
    let (hosts, root) = match given.word("hosts").split_once('/') {
        Some((hosts, root)) => (hosts, format!("/{}", root.trim_end_matches('/'))),
        None => (given.word("hosts"), String::new()),
    };
    let mut client = Client::connect(hosts, limit)?;
    if let Some(credential) = given.text("auth_credential") {
        if given.is("auth_scheme", "sasl") {
            return Err(Failure::new("znode logs in with digest, not with sasl"));
        }
        client.authenticate("digest", credential)?;
    }
    let name = given.word("name");
    let path = format!("{root}/{}", name.trim_matches('/'));
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { &path };
    let told = |changed: bool, message: &str| {
        Outcome::new(changed).with("msg", message).with("znode", name)
    };
    match (given.text("op"), given.word("state")) {
        (Some("get"), _) => match client.read(path)? {
            Some((value, stat)) => Ok(told(false, "The node was retrieved.")
                .with("value", String::from_utf8_lossy(&value))
                .with("stat", shown(&stat))),
            None => Err(Failure::new("The requested node does not exist.")),
        },
        (Some("list"), _) => {
            let names = client.children(path)?;
            let outcome = told(false, "Retrieved znodes in path.").with("count", names.len());
            Ok(outcome.with("items", names))
        }
        (Some(_), _) => {
            let begun = Instant::now();
            while !client.exists(path)? {
                if begun.elapsed() >= limit {
                    let message = "The node did not appear before the operation timed out.";
                    return Err(Failure::new(message)
                        .with("znode", name)
                        .with("timeout", limit.as_secs()));
                }
                wait::pause(LOOK, context)?;
            }
            let message = "The node appeared before the configured timeout.";
            Ok(told(false, message).with("timeout", limit.as_secs()))
        }
        (None, "absent") => {
            if !client.exists(path)? {
                return Ok(told(false, "The znode does not exist."));
            }
            if !context.check {
                context.about_to_change()?;
                client.delete(path, given.flag("recursive"))?;
            }
            Ok(told(true, "The znode was deleted."))
        }
        (None, _) => {
            let value = given.word("value");
            let now = client.read(path)?;
            let (changed, message) = match &now {
                Some((now, _)) if now == value.as_bytes() => (false, "No changes were necessary."),
                Some(_) => (true, "Updated the znode value."),
                None => (true, "Created a new znode."),
            };
            if changed && !context.check {
                context.about_to_change()?;
                match now {
                    Some(_) => client.write(path, value.as_bytes())?,
                    None => client.create(path, value.as_bytes())?,
                }
            }
            Ok(told(changed, message).with("value", value))
        }
    }
}

/// Names as Python's client gives them.
fn shown(stat: &Stat) -> serde_json::Value {
    json!({
        "czxid": stat.czxid, "mzxid": stat.mzxid, "ctime": stat.ctime, "mtime": stat.mtime,
        "version": stat.version, "cversion": stat.cversion, "aversion": stat.aversion,
        "ephemeralOwner": stat.ephemeral_owner, "dataLength": stat.data_length,
        "numChildren": stat.children, "pzxid": stat.pzxid,
        "children_count": stat.children, "children_version": stat.cversion,
        "created": stat.ctime / 1000, "last_modified": stat.mtime / 1000,
        "creation_transaction_id": stat.czxid, "last_modified_transaction_id": stat.mzxid,
        "data_length": stat.data_length, "acl_version": stat.aversion,
        "owner_session_id": (stat.ephemeral_owner != 0).then_some(stat.ephemeral_owner),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::process::{Child, Command, Stdio};

    use serde_json::Value;

    use super::*;
    use crate::modules::system::testing::context;

    const JARS: &str = "/usr/share/java";
    /// A server with what it needs, of the package libzookeeper-java.
    const NAMES: &[&str] = &[
        "zookeeper",
        "zookeeper-jute",
        "slf4j-api",
        "slf4j-simple",
        "metrics-core",
        "snappy-java",
        "netty-all",
        "netty-handler",
        "netty-common",
        "netty-buffer",
        "netty-transport",
        "jackson-databind",
        "jackson-core",
        "jackson-annotations",
        "commons-cli",
    ];

    /// A real server.
    struct Server {
        process: Child,
        port: u16,
        _folder: tempfile::TempDir,
    }

    impl Server {
        fn start() -> Server {
            let folder = tempfile::tempdir().unwrap();
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            let file = folder.path().join("zoo.cfg");
            let settings = format!(
                "tickTime=1000\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
                 admin.enableServer=false\n",
                folder.path().display()
            );
            std::fs::write(&file, settings).unwrap();
            let jars: Vec<String> = NAMES.iter().map(|name| format!("{JARS}/{name}.jar")).collect();
            let there = Path::new(&jars[0]).exists();
            assert!(there, "{}: the package libzookeeper-java is missing", jars[0]);
            let process = Command::new("java")
                .args(["-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp", &jars.join(":")])
                .arg("org.apache.zookeeper.server.ZooKeeperServerMain")
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let server = Server { process, port, _folder: folder };
            let begun = Instant::now();
            while !server.is_up() {
                assert!(begun.elapsed() < Duration::from_secs(90), "the server does not start");
                std::thread::sleep(Duration::from_millis(100));
            }
            server
        }

        /// Whether it serves: it listens before that.
        fn is_up(&self) -> bool {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
                return false;
            };
            let mut answer = String::new();
            stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
                && stream.write_all(b"srvr").is_ok()
                && stream.read_to_string(&mut answer).is_ok()
                && answer.contains("Mode: standalone")
        }

        fn call(&self, more: Value) -> Result<Outcome, Failure> {
            self.call_as(more, false)
        }

        fn call_as(&self, more: Value, check: bool) -> Result<Outcome, Failure> {
            let hosts = format!("127.0.0.1:1,127.0.0.1:{}", self.port);
            let mut given = json!({"hosts": hosts, "timeout": 60});
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let mut bench = context();
            bench.check = check;
            bench.call_named("znode", given)
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    #[test]
    fn nodes_of_a_real_server() {
        let server = Server::start();
        let node = json!({"name": "/corral/deep/node", "value": "höher", "state": "present"});
        assert!(server.call_as(node.clone(), true).unwrap().changed);
        let outcome = server.call(node.clone()).unwrap();
        assert!(outcome.changed);
        assert_eq!(outcome.values["msg"], "Created a new znode.");
        let again = server.call(node).unwrap();
        assert_eq!(
            (again.changed, &again.values["msg"]),
            (false, &json!("No changes were necessary."))
        );
        let other = json!({"name": "corral/deep/node", "value": "", "state": "present"});
        assert_eq!(server.call(other).unwrap().values["msg"], "Updated the znode value.");
        let read = server.call(json!({"name": "/corral/deep/node", "op": "get"})).unwrap();
        assert_eq!(
            (&read.values["value"], &read.values["stat"]["version"]),
            (&json!(""), &json!(1))
        );
        let listed = server.call(json!({"name": "/corral", "op": "list"})).unwrap();
        assert_eq!(
            (&listed.values["items"], &listed.values["count"]),
            (&json!(["deep"]), &json!(1))
        );
        let root = server.call(json!({"name": "/", "op": "list"})).unwrap();
        assert!(root.values["items"].as_array().unwrap().contains(&"corral".into()));
        assert!(!server.call(json!({"name": "/corral", "op": "wait"})).unwrap().changed);
        let late = server.call(json!({"name": "/none", "op": "wait", "timeout": 1})).unwrap_err();
        assert!(late.message.starts_with("The node did not appear"));
        let missing = server.call(json!({"name": "/none", "op": "get"})).unwrap_err();
        assert_eq!(missing.message, "The requested node does not exist.");
        let refused = server.call(json!({"name": "/corral", "state": "absent"})).unwrap_err();
        assert!(refused.message.contains("the node has children"), "{}", refused.message);
        let gone = json!({"name": "/corral", "state": "absent", "recursive": true});
        assert_eq!(server.call(gone.clone()).unwrap().values["msg"], "The znode was deleted.");
        assert_eq!(server.call(gone).unwrap().values["msg"], "The znode does not exist.");
        // Somebody who logs in may do what everybody may.
        let given = json!({"name": "/mine", "value": "x", "state": "present", "auth_credential": "ada:secret"});
        assert!(server.call(given).unwrap().changed);
    }

    #[test]
    fn nobody_answers() {
        let given = json!({"hosts": "127.0.0.1:1", "name": "/a", "op": "get", "timeout": 1});
        let failure = context().call_named("znode", given).unwrap_err();
        assert!(failure.message.starts_with("The connection to the ZooKeeper ensemble timed out"));
    }
}
