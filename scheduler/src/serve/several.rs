//! Several schedulers with one Consul: one leads, the others follow, and whoever follows leads as
//! soon as nobody else does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use consul::change::{self, Change, Operation};
use consul_client::Client;
use mesos::FrameworkId;
use scheduler_mesos_client::Identity;
use scheduler_store::cluster::{
    Candidate, ConsulStore, FrameworkKey, Keys, LeaderSeen, Office, OfficeError, Step, Terms,
};
use scheduler_store::{Store, StoreError};

use super::Failure;
use super::http::follower::{self, Leader};
use super::term::{self, Mandate, Over, Signals, Stage};
use crate::exit::Exit;
use crate::paint;

/// How long a follower waits for news of the office before it asks again.
const WAIT: Duration = Duration::from_secs(30);

/// From one attempt to the next, when Consul is away.
const PAUSE: Duration = Duration::from_secs(1);

/// The same at the start, where it may be away for longer: each pause is twice the one before, up to
/// this one.
const PAUSE_MOST: Duration = Duration::from_secs(15);

/// How long Consul may take to keep the token.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How many events a term may have: numbers of the next begin behind them. JavaScript counts exactly
/// to 900,000 terms.
const EVENTS_OF_A_TERM: u64 = 10_000_000_000;

/// Where Consul is, and who this one is.
pub struct Member {
    pub client: Arc<Client>,
    pub keys: Keys,
    pub name: String,
    /// Where the others and their clients reach its API.
    pub address: String,
}

/// The token of all schedulers of this cluster: clients of each of them are sent to the leader, so it
/// must know them. It is made by the first.
fn token(member: &Member, fresh: String) -> Result<String, NoToken> {
    let key = format!("{}token", member.keys.prefix());
    let (value, index) = (fresh.into_bytes(), 0);
    let make = Operation::CompareAndSet { key: key.clone(), value, index };
    let change = Change::transaction(member.keys.prefix(), &[make]);
    let raw = member.client.change(&change, TIMEOUT).map_err(OfficeError::from)?;
    // That there is one already is no failure.
    change::transaction(&change, &raw).map_err(OfficeError::from)?;
    let found = member.client.key(&key).map_err(OfficeError::from)?.value;
    let text = found.and_then(|pair| String::from_utf8(pair.value).ok());
    text.filter(|text| !text.is_empty()).ok_or(NoToken::Empty(key))
}

/// Why there is no token.
enum NoToken {
    Office(OfficeError),
    /// The name of its key.
    Empty(String),
}

impl From<OfficeError> for NoToken {
    fn from(error: OfficeError) -> Self {
        NoToken::Office(error)
    }
}

/// The token, as soon as Consul gives it: Consul may come later than this one, or be away just now.
pub async fn await_token(
    member: Arc<Member>,
    fresh: String,
    leader: &Leader,
) -> Result<String, Failure> {
    let mut pause = PAUSE;
    loop {
        let (asking, fresh) = (Arc::clone(&member), fresh.clone());
        let asked = tokio::task::spawn_blocking(move || token(&asking, fresh)).await;
        let error = match asked.map_err(|error| Failure::new(error.to_string()))? {
            Ok(token) => return Ok(token),
            Err(NoToken::Empty(key)) => {
                return Err(Failure::new(format!("the key `{key}` has no token")));
            }
            Err(NoToken::Office(error)) => error,
        };
        let text = format!("failed to {error}");
        if !error.may_pass() {
            return Err(Failure { hint: error.hint(), ..Failure::new(text) });
        }
        if leader.doubt(&text) {
            paint::warning(&text);
            tell!("hint: it waits until Consul answers, and asks again and again meanwhile");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MOST);
    }
}

/// Follows and leads in turn, until it is told to end.
pub async fn serve(stage: &Stage, member: &Member, signals: &mut Signals) -> Result<Exit, Failure> {
    loop {
        let leader = Leader::default();
        stage.switch.turn(follower::router(leader.clone()));
        let office = tokio::select! {
            () = signals.come() => {
                tell!("ended; it didn't lead");
                return Ok(Exit::Done);
            }
            office = elected(member, leader) => office?,
        };
        let mandate = match tokio::task::spawn_blocking(move || mandate(office)).await {
            Ok(Ok(mandate)) => mandate,
            Ok(Err(failed)) => {
                let (office, error) = *failed;
                // Perhaps another one can use what is there.
                let _ = tokio::task::spawn_blocking(move || office.resign()).await;
                match error {
                    StoreError::Fenced { .. } | StoreError::Lost => continue,
                    StoreError::Consul { .. } => {
                        paint::warning(&error.chain());
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                    other => return Err(other.into()),
                }
            }
            Err(error) => return Err(Failure::new(error.to_string())),
        };
        match term::lead(stage, mandate, signals).await? {
            Over::Told(exit) => {
                tell!("ended; instances on Mesos go on, and the next leader finds them");
                return Ok(exit);
            }
            Over::Lost(why) => tell!("leads no more: {why}"),
        }
    }
}

/// Waits until it leads.
async fn elected(member: &Member, leader: Leader) -> Result<Office, Failure> {
    let terms = Terms {
        keys: member.keys.clone(),
        name: member.name.clone(),
        address: member.address.clone(),
    };
    let mut candidate = Candidate::new(Arc::clone(&member.client), terms);
    let mut told: Option<String> = None;
    loop {
        let look = move || {
            let step = candidate.step(WAIT);
            (candidate, step)
        };
        let looked = tokio::task::spawn_blocking(look).await;
        let (same, step) = looked.map_err(|error| Failure::new(error.to_string()))?;
        candidate = same;
        match step {
            Ok(Step::Leads(office)) => return Ok(office),
            Ok(Step::Follows(seen)) => {
                told = None;
                follow(&leader, seen);
            }
            Err(error) => {
                let text = format!("failed to {error}");
                leader.doubt(&text);
                if told.as_ref() != Some(&text) {
                    paint::warning(&text);
                    if let Some(hint) = error.hint() {
                        tell!("hint: {hint}");
                    }
                    told = Some(text);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn follow(leader: &Leader, seen: Option<LeaderSeen>) {
    if leader.set(seen.clone())
        && let Some(seen) = seen
    {
        tell!("follows {}, which leads at {}", seen.name, seen.address);
    }
}

/// Begins a term with an office.
fn mandate(office: Office) -> Result<Mandate, Box<(Office, StoreError)>> {
    let mut store = Store::Consul(Box::new(ConsulStore::new(&office)));
    let epoch = match store.claim() {
        Ok(epoch) => epoch,
        Err(error) => return Err(Box::new((office, error))),
    };
    let identity = Box::new(ConsulIdentity(office.framework()));
    let events_from = epoch.0.saturating_mul(EVENTS_OF_A_TERM).saturating_add(1);
    Ok(Mandate { store, epoch, identity, office: Some(office), events_from })
}

/// The id that Mesos gave, in Consul.
struct ConsulIdentity(FrameworkKey);

impl Identity for ConsulIdentity {
    fn load(&self) -> io::Result<Option<FrameworkId>> {
        let Some(id) = self.0.load()? else { return Ok(None) };
        mesos::name::check_id(&id)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Some(FrameworkId::new(id)))
    }

    fn save(&mut self, id: &FrameworkId) -> io::Result<()> {
        self.0.save(&id.value)
    }
}
