//! An agent of Consul in this process, as far as registrations go: what it has, and how it fails.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Map, Value, json};

#[derive(Default)]
struct Inner {
    services: BTreeMap<String, Value>,
    /// Id and weight of each registration, in order.
    registered: Vec<(String, u64)>,
    is_away: bool,
    has_acls: bool,
    runs_scripts: bool,
}

/// An agent that lives until the test ends.
pub struct Agent {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

impl Agent {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Mutex::new(Inner::default()));
        let shared = Arc::clone(&inner);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let inner = Arc::clone(&shared);
                thread::spawn(move || while serve(&stream, &inner).is_some() {});
            }
        });
        Agent { address, inner }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn services(&self) -> BTreeMap<String, Value> {
        self.inner.lock().unwrap().services.clone()
    }

    /// The weights that a service was registered with, in order.
    pub fn registered(&self, id: &str) -> Vec<u64> {
        let inner = self.inner.lock().unwrap();
        inner.registered.iter().filter(|(one, _)| one == id).map(|(_, weight)| *weight).collect()
    }

    pub fn put(&self, service: Value) {
        let id = service["ID"].as_str().unwrap().to_owned();
        self.inner.lock().unwrap().services.insert(id, service);
    }

    pub fn forget(&self) {
        self.inner.lock().unwrap().services.clear();
    }

    pub fn is_away(&self, is_away: bool) {
        self.inner.lock().unwrap().is_away = is_away;
    }

    pub fn is_configured(&self, has_acls: bool, runs_scripts: bool) {
        let mut inner = self.inner.lock().unwrap();
        (inner.has_acls, inner.runs_scripts) = (has_acls, runs_scripts);
    }
}

/// Answers one request of a connection.
fn serve(stream: &TcpStream, inner: &Mutex<Inner>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok().filter(|length| *length > 0)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (status, text) = answer(&mut inner.lock().unwrap(), &method, &target, &body)?;
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", text.len());
    (&mut &*stream).write_all(format!("{head}{text}").as_bytes()).ok()
}

/// Status and text; nothing if it is away.
fn answer(inner: &mut Inner, method: &str, target: &str, body: &[u8]) -> Option<(u16, String)> {
    if inner.is_away {
        return None;
    }
    let path = target.split('?').next()?;
    let ended = path.strip_prefix("/v1/agent/service/deregister/");
    Some(match (method, path, ended) {
        ("GET", "/v1/agent/services", _) => {
            // A real one tells neither checks nor the name under this key.
            let told = |(id, one): (&String, &Value)| {
                let mut one = one.clone();
                let map = one.as_object_mut().unwrap();
                map.remove("Check");
                let name = map.remove("Name").unwrap();
                map.insert("Service".to_owned(), name);
                (id.clone(), one)
            };
            let services: Map<String, Value> = inner.services.iter().map(told).collect();
            (200, Value::from(services).to_string())
        }
        ("GET", "/v1/catalog/services", _) => {
            let name = |one: &Value| (one["Name"].as_str().unwrap().to_owned(), json!([]));
            let names: Map<String, Value> = inner.services.values().map(name).collect();
            (200, Value::from(names).to_string())
        }
        ("GET", path, _) if path.starts_with("/v1/health/service/") => {
            let name = path.rsplit('/').next()?;
            let node = json!({"Node": "n1", "Address": "127.0.0.1"});
            let entry = |one: &Value| {
                let service = json!({"ID": one["ID"], "Service": name, "Meta": one["Meta"]});
                json!({"Node": node, "Service": service, "Checks": []})
            };
            let named = inner.services.values().filter(|one| one["Name"] == name);
            (200, Value::from(named.map(entry).collect::<Vec<_>>()).to_string())
        }
        ("GET", "/v1/agent/self", _) => {
            let (acls, scripts) = (inner.has_acls, inner.runs_scripts);
            let settings = json!({"ACLsEnabled": acls, "EnableRemoteScriptChecks": scripts});
            (200, json!({"DebugConfig": settings}).to_string())
        }
        ("PUT", "/v1/agent/service/register", _) => {
            let service: Value = serde_json::from_slice(body).unwrap();
            let id = service["ID"].as_str().unwrap().to_owned();
            let weight = service["Weights"]["Passing"].as_u64().unwrap();
            assert!((1..=65_535).contains(&weight), "{service}");
            inner.registered.push((id.clone(), weight));
            inner.services.insert(id, service);
            (200, String::new())
        }
        ("PUT", _, Some(id)) => match inner.services.remove(id) {
            Some(_) => (200, String::new()),
            None => (404, format!("Unknown service ID {id:?}")),
        },
        _ => (500, format!("{method} {target} isn't known here")),
    })
}
