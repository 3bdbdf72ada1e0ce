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

/// From a scheduler that follows to the one that leads, which may have changed meanwhile.
const REDIRECTS_MOST: usize = 3;

/// Randomness of a key, in bytes: no two are the same.
const KEY_BYTES: usize = 16;

/// Scheme, host and port of an address.
fn origin(location: &str) -> Option<String> {
    let (scheme, rest) = location.split_once("://")?;
    let host = rest.split('/').next().filter(|host| !host.is_empty())?;
    Some(format!("{scheme}://{host}"))
}

/// Asks one, and if it only follows, the one that leads. Why not, otherwise: who didn't answer, and why.
fn led(
    base: &str,
    ask: impl Fn(&str) -> Result<Response<ureq::Body>, ureq::Error>,
) -> Result<Response<ureq::Body>, String> {
    let mut response = ask(base).map_err(|error| format!("{base}: {error}"))?;
    for _ in 0..REDIRECTS_MOST {
        let location = response.headers().get("location").and_then(|value| value.to_str().ok());
        let Some(leader) = location.filter(|_| response.status() == 307).and_then(origin) else {
            break;
        };
        let silent = |error| format!("{base}: it says that {leader} leads, and there: {error}");
        response = ask(&leader).map_err(silent)?;
    }
    Ok(response)
}

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

/// The daemon, or several of which one leads.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    /// Whom to ask, in turn; one at least.
    bases: Vec<String>,
    token: String,
    /// Whether it is on this machine.
    is_here: bool,
}

/// What is sent and followed here; where TLS is a must, tokens go through nothing else.
fn agent(tls: TlsConfig, is_tls_only: bool) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        // They are followed here: the token has to go with them.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(ANSWER_TIMEOUT))
        .proxy(None)
        .tls_config(tls)
        .https_only(is_tls_only)
        .build()
        .into()
}

/// Whom to trust: the certificates of a file, or those that browsers know.
fn vouched(ca: Option<&Path>) -> Result<TlsConfig, Trouble> {
    let Some(path) = ca else { return Ok(TlsConfig::builder().build()) };
    let certificates = certificates(path).map_err(|message| Trouble {
        exit: Exit::InvalidInput,
        message,
        hint: Some("it has certificates in PEM".to_owned()),
    })?;
    Ok(TlsConfig::builder().root_certs(RootCerts::from(certificates)).build())
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
        let servers = place.servers();
        match servers.is_empty() {
            false => Client::elsewhere(&servers, place.ca().as_deref()),
            true => Client::here(place),
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
        let bases = vec![format!("http://{}", daemon.address)];
        let tls = vouched(place.ca().as_deref())?;
        Ok(Client { agent: agent(tls, false), bases, token: daemon.token, is_here: true })
    }

    /// Daemons on other machines.
    fn elsewhere(servers: &[String], ca: Option<&Path>) -> Result<Self, Trouble> {
        let wrong = |message: String, hint: &str| Trouble {
            exit: Exit::Usage,
            message,
            hint: Some(hint.to_owned()),
        };
        if let Some(server) = servers.iter().find(|server| !server.starts_with("https://")) {
            let message = format!("`{server}` is no address of a scheduler elsewhere");
            return Err(wrong(message, "it begins with https://: tokens go through TLS only"));
        }
        let bases = servers.iter().map(|server| server.trim_end_matches('/').to_owned()).collect();
        let token = token().map_err(|message| wrong(message, "`scheduler token new` makes one"))?;
        let agent = agent(vouched(ca)?, true);
        Ok(Client { agent, bases, token, is_here: false })
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
        let ask = |base: &str| {
            let request = self.agent.get(format!("{base}{path}"));
            request.header("Authorization", self.bearer()).call()
        };
        self.checked(self.followed(ask))
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Asks each in turn until one answers that leads, or is sent to the one that does.
    fn followed(
        &self,
        ask: impl Fn(&str) -> Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<Response<ureq::Body>, Trouble> {
        let (mut silent, mut undecided) = (Vec::new(), None);
        for base in &self.bases {
            match led(base, &ask) {
                // It doesn't know who leads; perhaps the next one does.
                Ok(response) if response.status() == 503 => undecided = Some(response),
                Ok(response) => return Ok(response),
                Err(why) => silent.push(why),
            }
        }
        undecided.ok_or_else(|| self.absent(&silent))
    }

    /// Has something done, with a body of JSON.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        key: Option<&str>,
    ) -> Result<T, Trouble> {
        let body = serde_json::to_string(body).unwrap_or_default();
        let request = |base: &str| {
            let request = self.agent.post(format!("{base}{path}"));
            request.header("Content-Type", "application/json")
        };
        self.change(request, &body, key)
    }

    /// Puts a text somewhere.
    pub fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        text: &str,
        key: Option<&str>,
    ) -> Result<T, Trouble> {
        let request = |base: &str| {
            let request = self.agent.put(format!("{base}{path}"));
            request.header("Content-Type", "application/yaml")
        };
        self.change(request, text, key)
    }

    fn change<T: DeserializeOwned>(
        &self,
        request: impl Fn(&str) -> ureq::RequestBuilder<ureq::typestate::WithBody>,
        body: &str,
        key: Option<&str>,
    ) -> Result<T, Trouble> {
        let fresh = self.fresh_key(key)?;
        let ask = |base: &str| {
            let request = request(base).header("Authorization", self.bearer());
            let request = match key.or(fresh.as_deref()) {
                Some(key) => request.header("Idempotency-Key", key),
                None => request,
            };
            request.send(body)
        };
        let text = self.whole(self.checked(self.followed(ask))?)?;
        serde_json::from_str(&text).map_err(|error| self.strange(&error.to_string()))
    }

    /// Removes something.
    pub fn delete<T: DeserializeOwned>(&self, path: &str, key: Option<&str>) -> Result<T, Trouble> {
        let fresh = self.fresh_key(key)?;
        let ask = |base: &str| {
            let request = self.agent.delete(format!("{base}{path}"));
            let request = request.header("Authorization", self.bearer());
            let request = match key.or(fresh.as_deref()) {
                Some(key) => request.header("Idempotency-Key", key),
                None => request,
            };
            request.call()
        };
        let text = self.whole(self.checked(self.followed(ask))?)?;
        serde_json::from_str(&text).map_err(|error| self.strange(&error.to_string()))
    }

    /// A key for a change that may be asked of several: the second one must not do it again.
    fn fresh_key(&self, key: Option<&str>) -> Result<Option<String>, Trouble> {
        if key.is_some() || self.bases.len() < 2 {
            return Ok(None);
        }
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| Trouble {
            exit: Exit::Environment,
            message: format!("there are no random numbers: {error}"),
            hint: None,
        })?;
        Ok(Some(hex::encode(bytes)))
    }

    fn whole(&self, response: Response<ureq::Body>) -> Result<String, Trouble> {
        let mut body = response.into_body();
        let text = body.with_config().limit(ANSWER_MOST_BYTES).read_to_string();
        text.map_err(|error| self.absent(&[error.to_string()]))
    }

    /// An answer that isn't a problem.
    fn checked(
        &self,
        sent: Result<Response<ureq::Body>, Trouble>,
    ) -> Result<Response<ureq::Body>, Trouble> {
        let response = sent?;
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
            Some("invalid-app" | "invalid-policy") => Exit::InvalidInput,
            _ => Exit::Refused,
        };
        Err(Trouble { exit, message: problem.detail, hint: problem.hint })
    }

    /// Nobody answers: why, for each that was asked.
    fn absent(&self, silent: &[String]) -> Trouble {
        let hint = match (self.is_here, self.bases.len()) {
            (true, _) => "start it again: scheduler serve --local",
            (false, 1) => "is the address right, and does `--ca` name who vouches for it?",
            (false, _) => "are the addresses right, and does `--ca` name who vouches for them?",
        };
        let message = match (self.bases.as_slice(), silent) {
            ([base], [why]) => {
                let why = why.strip_prefix(base.as_str()).unwrap_or(why).trim_start_matches(": ");
                format!("no scheduler answers at {base}: {why}")
            }
            (bases, _) => {
                let tried = silent.iter().map(|why| format!("\n  {why}")).collect::<String>();
                format!("none of {} schedulers answers:{tried}", bases.len())
            }
        };
        Trouble { exit: Exit::NoScheduler, message, hint: Some(hint.to_owned()) }
    }

    fn strange(&self, what: &str) -> Trouble {
        Trouble {
            exit: Exit::NoScheduler,
            message: format!("{} answers strangely: {what}", self.bases.join(", ")),
            hint: Some("something else may listen there; `scheduler doctor` looks".to_owned()),
        }
    }
}
