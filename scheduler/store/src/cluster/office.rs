//! Who leads: whoever holds the key `leader` by its session. A candidate waits until nobody does; a
//! leader renews its session in a thread of its own, and stops when it can't.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use consul::change::{self, Change, ChangeError, Operation, Outcome, SessionSettings};
use consul::{Answer, KvPair, RawAnswer, Subject, Watch};
use consul_client::{Client, ClientError};
use serde::{Deserialize, Serialize};

use super::layout::Keys;
use super::lease::{Lease, Lengths, now_ms};

/// The shortest life of a session that Consul takes, in seconds. It ends a silent one after this at
/// the earliest and after twice as long at the latest.
const SESSION_SECONDS: u32 = 10;

/// How long nobody else gets the office after a session has ended, in milliseconds. The lease alone
/// keeps two leaders apart; this is for a machine whose clock runs slow beyond its margin.
const LOCK_DELAY_MS: u32 = 1_000;

/// The margin of the lease, in milliseconds.
const MARGIN_MS: u64 = 1_000;

/// From one attempt to the next, when one has failed or the office isn't given yet.
const RETRY: Duration = Duration::from_millis(200);

/// How long a change of the office may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What is agreed on by all schedulers of a cluster, and who this one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The names of keys.
    pub keys: Keys,
    /// Who, for people: the name of the machine.
    pub name: String,
    /// Where its API is reached by the others and their clients: a URL without a path.
    pub address: String,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderSeen {
    /// Its name.
    pub name: String,
    /// Where its API is.
    pub address: String,
}

/// Why an office can't be had or kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfficeError {
    /// Consul is away, or refuses it.
    #[error("{0}")]
    Consul(#[from] ClientError),
    /// It answers something else.
    #[error("{0}")]
    Change(#[from] ChangeError),
}

impl OfficeError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            OfficeError::Consul(error) => error.hint(),
            OfficeError::Change(error) => error.hint(),
        }
    }

    /// Whether it may be otherwise in a moment.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            OfficeError::Consul(error) => error.is_outage(),
            OfficeError::Change(error) => error.may_pass(),
        }
    }
}

/// What a look at the office has led to.
#[derive(Debug)]
pub enum Step {
    /// Somebody else leads; nobody, while a former leader's delay runs.
    Follows(Option<LeaderSeen>),
    /// This one leads.
    Leads(Office),
}

/// One who waits for the office.
#[derive(Debug)]
pub struct Candidate {
    client: Arc<Client>,
    terms: Terms,
    watch: Watch,
    session: Option<(String, u64)>,
}

impl Candidate {
    /// One who waits.
    #[must_use]
    pub fn new(client: Arc<Client>, terms: Terms) -> Self {
        Candidate { client, terms, watch: Watch::default(), session: None }
    }

    /// Waits at most so long for a change of the office, and takes it if nobody has it.
    ///
    /// # Errors
    /// When Consul doesn't answer, or refuses it.
    pub fn step(&mut self, wait: Duration) -> Result<Step, OfficeError> {
        let subject = Subject::Key(self.terms.keys.leader());
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let asked: Result<(Answer<Vec<KvPair>>, bool), ClientError> =
            self.client.await_change(subject, &mut self.watch, wait_ms, 0);
        let pair = asked?.0.value.into_iter().next();
        let own = self.session.as_ref().map(|(id, _)| id.as_str());
        if let Some(pair) = &pair
            && pair.session.is_some()
            && pair.session.as_deref() != own
        {
            return Ok(Step::Follows(serde_json::from_slice(&pair.value).ok()));
        }
        // A delay ends without changing the key: the next look must not wait for a change.
        self.watch = Watch::default();
        let (session, sent_ms) = self.session()?;
        let about =
            LeaderSeen { name: self.terms.name.clone(), address: self.terms.address.clone() };
        let value = serde_json::to_vec(&about).unwrap_or_default();
        let acquire = Change::acquire(&self.terms.keys.leader(), &session, value);
        match ask(&self.client, &acquire, change::is_done) {
            Ok(true) => {
                self.session = None;
                let keys = self.terms.keys.clone();
                let lease = Lease::new(lengths(), sent_ms);
                let client = Arc::clone(&self.client);
                Ok(Step::Leads(Office { client, keys, session, lease, keeper: None }))
            }
            Ok(false) => {
                thread::sleep(RETRY);
                Ok(Step::Follows(None))
            }
            Err(error) => {
                self.session = None;
                Err(error)
            }
        }
    }

    /// A session that lives, and when it was begun or renewed last.
    fn session(&mut self) -> Result<(String, u64), OfficeError> {
        let now = now_ms();
        if let Some((id, sent_ms)) = &self.session {
            if now < lengths().renew_at_ms(*sent_ms) {
                return Ok((id.clone(), *sent_ms));
            }
            if ask(&self.client, &Change::renew_session(id), change::accepted).is_ok() {
                let renewed = (id.clone(), now);
                self.session = Some(renewed.clone());
                return Ok(renewed);
            }
            self.session = None;
        }
        let settings = SessionSettings {
            name: format!("{}{}", self.terms.keys.prefix(), self.terms.name),
            ttl_seconds: SESSION_SECONDS,
            lock_delay_ms: LOCK_DELAY_MS,
        };
        let create = Change::create_session(&settings);
        let session = (ask(&self.client, &create, change::session_id)?, now);
        self.session = Some(session.clone());
        Ok(session)
    }
}

const fn lengths() -> Lengths {
    Lengths { session_ms: SESSION_SECONDS as u64 * 1000, margin_ms: MARGIN_MS }
}

fn ask<T>(
    client: &Client,
    change: &Change,
    read: impl Fn(&Change, &RawAnswer) -> Result<T, ChangeError>,
) -> Result<T, OfficeError> {
    ask_within(client, change, TIMEOUT, read)
}

fn ask_within<T>(
    client: &Client,
    change: &Change,
    timeout: Duration,
    read: impl Fn(&Change, &RawAnswer) -> Result<T, ChangeError>,
) -> Result<T, OfficeError> {
    Ok(read(change, &client.change(change, timeout)?)?)
}

/// The office of who leads. Dropped without being resigned from, it is free when the session has
/// ended.
#[derive(Debug)]
pub struct Office {
    client: Arc<Client>,
    keys: Keys,
    session: String,
    lease: Lease,
    keeper: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Office {
    /// Whether its holder may act.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// Its session.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// The names of keys.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Its Consul.
    #[must_use]
    pub const fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Keeps it, in a thread, until it is resigned from; `lost` is told why it could not be kept.
    ///
    /// # Errors
    /// When there are no more threads.
    pub fn keep(&mut self, lost: impl FnOnce(String) + Send + 'static) -> io::Result<()> {
        let (client, lease, session) =
            (Arc::clone(&self.client), self.lease.clone(), self.session.clone());
        let (stop, stopped) = channel::<()>();
        let thread = thread::Builder::new().name("office".to_owned()).spawn(move || {
            let mut next = lease.lengths().renew_at_ms(lease.sent_ms());
            let why = loop {
                let now = now_ms();
                if !lease.holds_at(now) {
                    break "its session could not be renewed in time".to_owned();
                }
                if now >= next {
                    match renew(&client, &lease, &session, now) {
                        Ok(()) => next = lease.lengths().renew_at_ms(now),
                        Err(error) if error.may_pass() => {
                            next = now_ms() + u64::try_from(RETRY.as_millis()).unwrap_or(200);
                        }
                        Err(error) => break error.to_string(),
                    }
                    continue;
                }
                let until = next.min(lease.lengths().stop_at_ms(lease.sent_ms()));
                match stopped.recv_timeout(Duration::from_millis(until.saturating_sub(now))) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            };
            lease.end();
            lost(why);
        })?;
        self.keeper = Some((stop, thread));
        Ok(())
    }

    /// Gives it up: its holder acts no more, and the next one may begin at once.
    ///
    /// # Errors
    /// When Consul doesn't answer; it is free when the session has ended, then.
    pub fn resign(mut self) -> Result<(), OfficeError> {
        self.lease.end();
        self.stop_keeping();
        let release = Change::release(&self.keys.leader(), &self.session, Vec::new());
        // A session that ends with keys delays the next leader, so the key comes first.
        let released = ask(&self.client, &release, change::is_done);
        ask(&self.client, &Change::destroy_session(&self.session), change::accepted)?;
        released.map(|_| ())
    }

    fn stop_keeping(&mut self) {
        if let Some((stop, thread)) = self.keeper.take() {
            drop(stop);
            // It has ended if it has told that the office is lost.
            let _ = thread.join();
        }
    }

    /// Where the id that Mesos gave is kept.
    #[must_use]
    pub fn framework(&self) -> FrameworkKey {
        FrameworkKey {
            client: Arc::clone(&self.client),
            keys: self.keys.clone(),
            session: self.session.clone(),
        }
    }
}

fn renew(client: &Client, lease: &Lease, session: &str, now: u64) -> Result<(), OfficeError> {
    let timeout = Duration::from_millis(lease.lengths().attempt_ms(lease.sent_ms(), now).max(1));
    ask_within(client, &Change::renew_session(session), timeout, change::accepted)?;
    lease.renewed(now);
    Ok(())
}

impl Drop for Office {
    fn drop(&mut self) {
        self.lease.end();
        self.stop_keeping();
    }
}

/// The id that Mesos gave, kept with the records: whoever leads next is the same framework.
#[derive(Debug, Clone)]
pub struct FrameworkKey {
    client: Arc<Client>,
    keys: Keys,
    session: String,
}

impl FrameworkKey {
    /// The id, if there is one.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn load(&self) -> io::Result<Option<String>> {
        let found = self.client.key(&self.keys.framework()).map_err(io::Error::other)?;
        let text = found.value.map(|pair| String::from_utf8(pair.value));
        text.transpose().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Keeps it, unless another scheduler leads.
    ///
    /// # Errors
    /// When it isn't kept.
    pub fn save(&self, id: &str) -> io::Result<()> {
        let check =
            Operation::CheckSession { key: self.keys.leader(), session: self.session.clone() };
        let set = Operation::Set { key: self.keys.framework(), value: id.as_bytes().to_vec() };
        let change = Change::transaction(self.keys.prefix(), &[check, set]);
        match ask(&self.client, &change, change::transaction).map_err(io::Error::other)? {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(_) => Err(io::Error::other("another scheduler leads")),
        }
    }
}
