//! Requests to the daemon.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use scheduler::wire::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::exit::Exit;
use crate::folder::{self, Place};
use crate::paint;

/// The largest answer that is read at once: 100,000 instances are 40 MB.
const ANSWER_MOST_BYTES: u64 = 256 << 20;

/// Time for a connection on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for an answer: a store that is slow may take seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Why something can't be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How the program ends.
    pub exit: Exit,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Trouble {
    /// Tells it.
    pub fn tell(self) -> Exit {
        paint::error(&self.message, self.hint.as_deref());
        self.exit
    }

    /// Whether nobody answers, which may pass.
    pub fn is_absence(&self) -> bool {
        self.exit == Exit::NoScheduler
    }
}

/// The daemon.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    token: String,
    /// Whether it is on this machine.
    is_here: bool,
}

fn agent(tls: Option<TlsConfig>) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(ANSWER_TIMEOUT))
        .proxy(None);
    let config = match tls {
        Some(tls) => config.tls_config(tls).https_only(true),
        None => config,
    };
    config.build().into()
}

/// The token for a scheduler elsewhere. It is no argument: others would see that.
fn token() -> Result<String, String> {
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    if let Some(token) = variable("SCHEDULER_TOKEN") {
        return Ok(token);
    }
    let Some(path) = variable("SCHEDULER_TOKEN_FILE") else {
        return Err("neither $SCHEDULER_TOKEN nor $SCHEDULER_TOKEN_FILE is set".to_owned());
    };
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    Ok(text.trim().to_owned())
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let certificates = parse_pem(&bytes).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(error.to_string())),
    });
    let certificates: Vec<_> = certificates
        .collect::<Result<_, String>>()
        .map_err(|error| format!("{}: {error}", path.display()))?;
    if certificates.is_empty() {
        return Err(format!("there is no certificate in {}", path.display()));
    }
    Ok(certificates)
}

impl Client {
    /// Finds the daemon: elsewhere if that is said, otherwise that of a folder.
    pub fn open(place: &Place) -> Result<Self, Trouble> {
        match place.server() {
            Some(server) => Client::elsewhere(&server, place.ca().as_deref()),
            None => Client::here(place),
        }
    }

    fn here(place: &Place) -> Result<Self, Trouble> {
        let trouble = |exit, message| Trouble { exit, message, hint: None };
        let folder = place.folder().map_err(|message| trouble(Exit::Environment, message))?;
        let daemon = folder::read(&folder).map_err(|error| {
            let message = format!("{}/daemon.json: {error}", folder.display());
            trouble(Exit::Environment, message)
        })?;
        let Some(daemon) = daemon else {
            let message = format!("no scheduler has run with {}", folder.display());
            let hint = "start one: scheduler serve --local; or say where it is: --data FOLDER, or \
                        --server https://HOST:PORT";
            return Err(Trouble {
                hint: Some(hint.to_owned()),
                ..trouble(Exit::NoScheduler, message)
            });
        };
        let base = format!("http://{}", daemon.address);
        Ok(Client { agent: agent(None), base, token: daemon.token, is_here: true })
    }

    /// A daemon on another machine.
    fn elsewhere(server: &str, ca: Option<&Path>) -> Result<Self, Trouble> {
        let wrong = |message: String, hint: &str| Trouble {
            exit: Exit::Usage,
            message,
            hint: Some(hint.to_owned()),
        };
        let base = server.trim_end_matches('/');
        if !base.starts_with("https://") {
            let message = format!("`{server}` is no address of a scheduler elsewhere");
            return Err(wrong(message, "it begins with https://: tokens go through TLS only"));
        }
        let token = token().map_err(|message| wrong(message, "`scheduler token new` makes one"))?;
        let tls = match ca {
            None => TlsConfig::builder().build(),
            Some(path) => {
                let certificates = certificates(path)
                    .map_err(|message| wrong(message, "it has certificates in PEM"))?;
                TlsConfig::builder().root_certs(RootCerts::from(certificates)).build()
            }
        };
        Ok(Client { agent: agent(Some(tls)), base: base.to_owned(), token, is_here: false })
    }

    /// Reads something.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        let text = self.text(path)?;
        serde_json::from_str(&text).map_err(|error| self.strange(&error.to_string()))
    }

    /// Reads something as it is.
    pub fn text(&self, path: &str) -> Result<String, Trouble> {
        self.whole(self.send(path)?)
    }

    /// Reads something that comes bit by bit.
    pub fn stream(&self, path: &str) -> Result<impl Read + use<>, Trouble> {
        Ok(self.send(path)?.into_body().into_reader())
    }

    fn send(&self, path: &str) -> Result<Response<ureq::Body>, Trouble> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        self.checked(request.call())
    }

    /// Has something done, with a body of JSON.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        key: Option<&str>,
    ) -> Result<T, Trouble> {
        let body = serde_json::to_string(body).unwrap_or_default();
        let request = self.agent.post(format!("{}{path}", self.base));
        self.change(request.header("Content-Type", "application/json"), &body, key)
    }

    /// Puts a text somewhere.
    pub fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        text: &str,
        key: Option<&str>,
    ) -> Result<T, Trouble> {
        let request = self.agent.put(format!("{}{path}", self.base));
        self.change(request.header("Content-Type", "application/yaml"), text, key)
    }

    fn change<T: DeserializeOwned>(
        &self,
        request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        body: &str,
        key: Option<&str>,
    ) -> Result<T, Trouble> {
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        let request = match key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        };
        let text = self.whole(self.checked(request.send(body))?)?;
        serde_json::from_str(&text).map_err(|error| self.strange(&error.to_string()))
    }

    /// Removes something.
    pub fn delete<T: DeserializeOwned>(&self, path: &str, key: Option<&str>) -> Result<T, Trouble> {
        let request = self.agent.delete(format!("{}{path}", self.base));
        let request = request.header("Authorization", format!("Bearer {}", self.token));
        let request = match key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        };
        let text = self.whole(self.checked(request.call())?)?;
        serde_json::from_str(&text).map_err(|error| self.strange(&error.to_string()))
    }

    fn whole(&self, response: Response<ureq::Body>) -> Result<String, Trouble> {
        let mut body = response.into_body();
        let text = body.with_config().limit(ANSWER_MOST_BYTES).read_to_string();
        text.map_err(|error| self.absent(&error))
    }

    /// An answer that isn't a problem.
    fn checked(
        &self,
        sent: Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<Response<ureq::Body>, Trouble> {
        let response = sent.map_err(|error| self.absent(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = self.whole(response)?;
        let Ok(problem) = serde_json::from_str::<Problem>(&text) else {
            return Err(self.strange(&format!("status {status}")));
        };
        let exit = match problem.kind.rsplit(':').next() {
            Some("no-token" | "unavailable" | "not-leading" | "busy") => Exit::NoScheduler,
            Some("invalid-app") => Exit::InvalidInput,
            _ => Exit::Refused,
        };
        Err(Trouble { exit, message: problem.detail, hint: problem.hint })
    }

    fn absent(&self, error: &ureq::Error) -> Trouble {
        let hint = match self.is_here {
            true => "start it again: scheduler serve --local",
            false => "is the address right, and does `--ca` name who vouches for it?",
        };
        Trouble {
            exit: Exit::NoScheduler,
            message: format!("no scheduler answers at {}: {error}", self.base),
            hint: Some(hint.to_owned()),
        }
    }

    fn strange(&self, what: &str) -> Trouble {
        Trouble {
            exit: Exit::NoScheduler,
            message: format!("{} answers strangely: {what}", self.base),
            hint: Some("something else may listen there; `scheduler doctor` looks".to_owned()),
        }
    }
}
