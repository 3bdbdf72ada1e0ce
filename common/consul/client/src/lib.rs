//! `[io]` A client of Consul's HTTP API: several endpoints, one of which answers.
//!
//! Blocking, since its callers ask a handful of questions; several threads may share one client. It
//! never follows redirects and uses no proxy: the token goes to the endpoints that were named.

mod settings;
mod tls;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use consul::change::{self, Change, ChangeError};
use consul::{
    Answer, ConsulError, Head, KvPair, Options, RawAnswer, Request, Subject, Watch, decode,
    request_timeout_ms,
};
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::Response;

pub use settings::{Endpoint, EndpointError, Settings, TlsFiles, Token};

/// Largest answer that is read, in bytes: the catalog of 10,000 nodes takes a tenth of it.
const BODY_LIMIT_BYTES: u64 = 64 << 20;

/// Connections that wait for the next question: of the many agents that a scheduler asks, those that it
/// is asking.
const IDLE_MOST: usize = 32;

/// What each connection has for reading and for writing, also while it waits: a tenth of what the library
/// takes, since few bodies are larger.
const BUFFER_BYTES: usize = 16 << 10;

/// How long a connection may take to be made; the next endpoint waits meanwhile.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered.
    #[error("ask Consul: {}", reasons(.0))]
    Unreachable(Vec<Attempt>),
    /// Somebody did, but it is no answer.
    #[error("{0}")]
    Answer(#[from] ConsulError),
    /// Somebody did, but doesn't change it.
    #[error("{0}")]
    Change(#[from] ChangeError),
    /// The settings can't be used.
    #[error("use the settings for Consul: {0}")]
    Settings(String),
}

/// A try that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Whom.
    pub endpoint: String,
    /// Why not.
    pub reason: String,
}

fn reasons(attempts: &[Attempt]) -> String {
    let told = attempts.iter().map(|attempt| format!("{}: {}", attempt.endpoint, attempt.reason));
    told.collect::<Vec<_>>().join("; ")
}

impl ClientError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ClientError::Answer(error) => error.hint(),
            ClientError::Change(error) => error.hint(),
            ClientError::Unreachable(_) | ClientError::Settings(_) => None,
        }
    }

    /// Whether Consul is away, for now: an earlier answer may serve. Whoever may not ask must not
    /// be told what was answered to somebody else.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            ClientError::Unreachable(_) => true,
            ClientError::Answer(error) => error.may_pass(),
            ClientError::Change(error) => error.may_pass(),
            ClientError::Settings(_) => false,
        }
    }
}

/// A client of Consul.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    settings: Settings,
    /// The endpoint that answered last is asked first.
    first: AtomicUsize,
}

impl Client {
    /// A client with these settings; nobody is contacted yet.
    ///
    /// # Errors
    /// When a file of the settings can't be used.
    pub fn new(settings: Settings) -> Result<Self, ClientError> {
        if settings.endpoints.is_empty() {
            return Err(ClientError::Settings("there is no address of Consul".to_owned()));
        }
        let tls = tls::config(&settings.tls).map_err(ClientError::Settings)?;
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT.min(settings.timeout)))
            .max_idle_connections(IDLE_MOST)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .user_agent("corral")
            .build();
        Ok(Client { agent: config.new_agent(), settings, first: AtomicUsize::new(0) })
    }

    /// The same for another endpoint alone. Both have their connections and certificates together.
    #[must_use]
    pub fn at(&self, endpoint: Endpoint) -> Client {
        let settings = Settings { endpoints: vec![endpoint], ..self.settings.clone() };
        Client { agent: self.agent.clone(), settings, first: AtomicUsize::new(0) }
    }

    /// Options of requests, as the settings say.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            datacenter: self.settings.datacenter.clone(),
            consistency: self.settings.consistency,
            ..Options::default()
        }
    }

    /// One key; nothing if there is none.
    ///
    /// # Errors
    /// When nobody answers, or the answer is a refusal.
    pub fn key(&self, key: &str) -> Result<Answer<Option<KvPair>>, ClientError> {
        let answer: Answer<Vec<KvPair>> = self.ask(Subject::Key(key.to_owned()))?;
        Ok(Answer { head: answer.head, value: answer.value.into_iter().next() })
    }

    /// All keys that begin so.
    ///
    /// # Errors
    /// When nobody answers, or the answer is a refusal.
    pub fn keys(&self, prefix: &str) -> Result<Answer<Vec<KvPair>>, ClientError> {
        self.ask(Subject::Keys(prefix.to_owned()))
    }

    /// Asks, with the options of the settings.
    ///
    /// # Errors
    /// When nobody answers, or the answer is a refusal.
    pub fn ask<T>(&self, subject: Subject) -> Result<Answer<T>, ClientError>
    where
        T: DeserializeOwned + Default,
    {
        self.ask_with(subject, &self.options(), self.settings.timeout)
    }

    /// Waits until there is something newer than what `watch` has seen, at most about `wait_ms`;
    /// whether the answer may be new. The first call answers at once. `random` spreads the waits of
    /// several clients.
    ///
    /// # Errors
    /// When nobody answers, or the answer is a refusal; the watch stays where it was.
    pub fn await_change<T>(
        &self,
        subject: Subject,
        watch: &mut Watch,
        wait_ms: u64,
        random: u64,
    ) -> Result<(Answer<T>, bool), ClientError>
    where
        T: DeserializeOwned + Default,
    {
        let index = watch.index();
        let wait_ms = index.map(|_| Watch::wait_ms(wait_ms, random));
        let options = Options { index, wait_ms, ..self.options() };
        let longest = Duration::from_millis(request_timeout_ms(wait_ms.unwrap_or(0)));
        let answer = self.ask_with(subject, &options, longest.max(self.settings.timeout))?;
        let is_new = watch.take(answer.head.index);
        Ok((answer, is_new))
    }

    /// Asks one endpoint after the other, the last one that answered first.
    fn ask_with<T>(
        &self,
        subject: Subject,
        options: &Options,
        timeout: Duration,
    ) -> Result<Answer<T>, ClientError>
    where
        T: DeserializeOwned + Default,
    {
        let request = Request::new(subject, options);
        let count = self.settings.endpoints.len();
        let first = self.first.load(Ordering::Relaxed);
        let mut attempts = Vec::new();
        let mut refusal = None;
        for number in (0..count).map(|step| (first + step) % count) {
            let Some(endpoint) = self.settings.endpoints.get(number) else { continue };
            let raw = match self.fetch(endpoint, &request.target, timeout) {
                Ok(raw) => raw,
                Err(reason) => {
                    attempts.push(Attempt { endpoint: endpoint.to_string(), reason });
                    continue;
                }
            };
            match decode(&request.subject, options.consistency, &raw) {
                Ok(answer) => {
                    self.first.store(number, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if error.may_pass() => refusal = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(refusal.map_or(ClientError::Unreachable(attempts), ClientError::Answer))
    }

    /// Has something changed, by the endpoint that answered last or the next that does. It may have
    /// been changed although nobody answered, and twice if one was lost on the way: whoever calls
    /// this must be able to bear both.
    ///
    /// # Errors
    /// When nobody answers, or all say that they can't now.
    pub fn change(&self, change: &Change, timeout: Duration) -> Result<RawAnswer, ClientError> {
        let count = self.settings.endpoints.len();
        let first = self.first.load(Ordering::Relaxed);
        let (mut attempts, mut refusal) = (Vec::new(), None);
        for number in (0..count).map(|step| (first + step) % count) {
            let Some(endpoint) = self.settings.endpoints.get(number) else { continue };
            match self.put(endpoint, change, timeout) {
                // A transaction that is refused is an answer.
                Ok(raw) => match change::accepted(change, &raw) {
                    Err(error) if error.may_pass() && raw.status != 409 => refusal = Some(error),
                    _ => {
                        self.first.store(number, Ordering::Relaxed);
                        return Ok(raw);
                    }
                },
                Err(reason) => {
                    attempts.push(Attempt { endpoint: endpoint.to_string(), reason });
                }
            }
        }
        Err(refusal.map_or(ClientError::Unreachable(attempts), ClientError::Change))
    }

    fn put(
        &self,
        endpoint: &Endpoint,
        change: &Change,
        timeout: Duration,
    ) -> Result<RawAnswer, String> {
        let request = self.agent.put(format!("{endpoint}{}", change.target));
        let mut request = request.config().timeout_global(Some(timeout)).build();
        if let Some(token) = &self.settings.token {
            request = request.header("X-Consul-Token", token.expose().as_str());
        }
        let response = request.send(change.body.as_slice()).map_err(|error| words(&error))?;
        whole(response)
    }

    fn fetch(
        &self,
        endpoint: &Endpoint,
        target: &str,
        timeout: Duration,
    ) -> Result<RawAnswer, String> {
        let request = self.agent.get(format!("{endpoint}{target}"));
        let mut request = request.config().timeout_global(Some(timeout)).build();
        if let Some(token) = &self.settings.token {
            request = request.header("X-Consul-Token", token.expose().as_str());
        }
        whole(request.call().map_err(|error| words(&error))?)
    }
}

fn whole(mut response: Response<ureq::Body>) -> Result<RawAnswer, String> {
    let head = head(&response);
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(BODY_LIMIT_BYTES).read_to_vec();
    Ok(RawAnswer { status, head, body: body.map_err(|error| words(&error))? })
}

fn head(response: &Response<ureq::Body>) -> Head {
    let mut head = Head::default();
    for (name, value) in response.headers() {
        if let Ok(value) = value.to_str() {
            head.take(name.as_str(), value);
        }
    }
    head
}

/// What went wrong, without the prefixes of the library.
fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::BodyExceedsLimit(bytes) => format!("the answer is larger than {bytes} bytes"),
        other => other.to_string(),
    }
}
