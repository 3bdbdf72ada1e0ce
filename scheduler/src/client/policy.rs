//! `scheduler policy`: which policy decides, and how another one differs from it.

use std::path::{Path, PathBuf};

use clap::Args;
use diagnostics::SourceId;
use policy::config::Policy;
use policy::config::units::Length;
use scheduler::policy_diff::{Change, changes};
use scheduler::wire::policies::{
    PolicyAnswer, PolicyRollback, PolicyShadow, PolicyState, ShadowState,
};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde_json::json;

use super::http::{Client, Trouble};
use super::{Done, ago, show};
use crate::arguments::{Output, PolicyCommand, Reach};
use crate::exit::Exit;
use crate::input;
use crate::table::Table;

/// Digits of a digest that are shown: what tells policies of one cluster apart.
const DIGEST_SHOWN: usize = 12;

/// `scheduler policy list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    pub reach: Reach,
}

/// `scheduler policy diff` and `apply`.
#[derive(Debug, Args)]
pub struct OneFile {
    /// The policy.
    pub file: PathBuf,
    #[command(flatten)]
    pub reach: Reach,
}

/// `scheduler policy rollback`.
#[derive(Debug, Args)]
pub struct Back {
    /// The number of the policy, as `list` shows it; the one before the live one if absent.
    #[arg(long, value_name = "NUMBER")]
    pub to: Option<u64>,
    #[command(flatten)]
    pub reach: Reach,
}

/// `scheduler policy shadow`.
#[derive(Debug, Args)]
pub struct Beside {
    /// The policy; if absent, says how the one that is beside the live one does.
    pub file: Option<PathBuf>,
    /// For how long: 30min, 8h, 7d.
    #[arg(long = "for", value_name = "LENGTH", default_value = "1h", requires = "file",
          value_parser = seconds)]
    pub seconds: u64,
    /// Have no policy beside the live one any more.
    #[arg(long, conflicts_with = "file")]
    pub stop: bool,
    #[command(flatten)]
    pub reach: Reach,
}

/// A length of time, in seconds.
pub fn seconds(text: &str) -> Result<u64, String> {
    let deserializer: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
        text.into_deserializer();
    let Length(length) = Length::deserialize(deserializer).map_err(|error| error.to_string())?;
    Ok(length.0.div_ceil(1_000_000_000))
}

/// Does what a command says.
pub fn policy(command: &PolicyCommand) -> Done {
    match command {
        PolicyCommand::List(list) => self::list(&list.reach),
        PolicyCommand::Diff(one) => diff(one),
        PolicyCommand::Apply(one) => apply(one),
        PolicyCommand::Rollback(back) => rollback(back),
        PolicyCommand::Shadow(beside) => shadow(beside),
        // It has no daemon to ask, and was done before.
        PolicyCommand::Replay { .. } => Ok(Exit::Done),
    }
}

fn live(client: &Client) -> Result<PolicyState, Trouble> {
    client.get("/v1/policy")
}

fn list(reach: &Reach) -> Done {
    let state = live(&Client::open(&reach.place)?)?;
    Ok(show(reach.output, &state, |state| {
        let mut table = Table::new(&[">NUMBER", "POLICY", "AGO", "CAUSE", ""]);
        for row in &state.versions {
            let is_live = if row.number == state.number { "live" } else { "" };
            table.row(vec![
                row.number.to_string(),
                short(&row.digest),
                ago(&row.at),
                row.cause.clone(),
                is_live.to_owned(),
            ]);
        }
        table.text()
    }))
}

fn short(digest: &str) -> String {
    digest.get(..DIGEST_SHOWN).unwrap_or(digest).to_owned()
}

fn read(file: &Path) -> Result<(Policy, String), Exit> {
    input::policy(Some(file)).ok_or(Exit::InvalidInput)
}

/// The live policy as data. This program reads it as the daemon does, or is another version.
fn understood(state: &PolicyState) -> Result<Policy, Trouble> {
    let read = policy::config::read(&state.text, SourceId(0)).ok();
    read.filter(|policy| policy.digest() == state.digest).ok_or_else(|| Trouble {
        exit: Exit::NoScheduler,
        message: format!("the live policy {} can't be read by this program", short(&state.digest)),
        hint: Some("use the program that the daemon runs".to_owned()),
    })
}

fn diff(one: &OneFile) -> Done {
    let (candidate, _) = match read(&one.file) {
        Ok(read) => read,
        Err(exit) => return Ok(exit),
    };
    let state = live(&Client::open(&one.reach.place)?)?;
    let found = changes(&understood(&state)?, &candidate);
    match one.reach.output {
        Output::Human => say!("{}", table(&found)),
        Output::Json => {
            let rows: Vec<_> = found
                .iter()
                .map(|one| json!({"key": one.key, "live": one.before, "file": one.after}))
                .collect();
            say!("{}", serde_json::to_string_pretty(&rows).unwrap_or_default());
        }
    }
    Ok(if found.is_empty() { Exit::Done } else { Exit::Different })
}

fn table(found: &[Change]) -> String {
    if found.is_empty() {
        return "no difference".to_owned();
    }
    let mut table = Table::new(&["KEY", "LIVE", "FILE"]);
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    for one in found {
        table.row(vec![one.key.clone(), text(&one.before), text(&one.after)]);
    }
    table.text()
}

fn apply(one: &OneFile) -> Done {
    let (_, text) = match read(&one.file) {
        Ok(read) => read,
        Err(exit) => return Ok(exit),
    };
    let client = Client::open(&one.reach.place)?;
    let answer: PolicyAnswer = client.put("/v1/policy", &text, None)?;
    Ok(show(one.reach.output, &answer, answered))
}

fn rollback(back: &Back) -> Done {
    let body = PolicyRollback { number: back.to };
    let client = Client::open(&back.reach.place)?;
    let answer: PolicyAnswer = client.post("/v1/policy/rollback", &body, None)?;
    Ok(show(back.reach.output, &answer, answered))
}

fn answered(answer: &PolicyAnswer) -> String {
    let digest = short(&answer.digest);
    match answer.is_changed {
        true => format!("policy {} ({digest}) decides from now on", answer.number),
        false => format!("policy {} ({digest}) decides already", answer.number),
    }
}

fn shadow(beside: &Beside) -> Done {
    let client = Client::open(&beside.reach.place)?;
    let state: PolicyState = match (&beside.file, beside.stop) {
        (None, false) => live(&client)?,
        (None, true) => {
            let body = PolicyShadow { text: None, seconds: 0 };
            client.post("/v1/policy/shadow", &body, None)?
        }
        (Some(file), _) => {
            let (_, text) = match read(file) {
                Ok(read) => read,
                Err(exit) => return Ok(exit),
            };
            let body = PolicyShadow { text: Some(text), seconds: beside.seconds };
            client.post("/v1/policy/shadow", &body, None)?
        }
    };
    Ok(show(beside.reach.output, &state.shadow, |shadow| {
        shadow.as_ref().map_or_else(|| "no policy is beside the live one".to_owned(), beside_it)
    }))
}

fn beside_it(shadow: &ShadowState) -> String {
    let ShadowState { digest, since, until, compared, different, differences } = shadow;
    let mut text = format!(
        "{} beside the live one from {since} to {until}: {compared} decisions compared, \
         {different} differ",
        short(digest)
    );
    for one in differences {
        let app = one.app.as_ref().map(|app| format!(" {app}")).unwrap_or_default();
        text.push_str(&format!("\n  {} {}{app}: {}", one.at, one.kind, one.text));
    }
    text
}
