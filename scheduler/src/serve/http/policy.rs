//! The policy: which one decides, which ones did, and one that is asked beside it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use durable::LogError;
use policy::Nanoseconds;
use policy::config::Policy;
use scheduler::shadow::Shadow;
use scheduler::wire::Problem;
use scheduler::wire::policies::{PolicyAnswer, PolicyRollback, PolicyShadow, PolicyState};
use tokio::sync::oneshot;

use super::calls::read;
use super::problem::{Wrong, unavailable};
use super::{Context, idempotency};
use crate::serve::cycle::Input;
use crate::serve::policies::{self, Cause};

/// The longest that a policy is asked beside the live one: a year.
const SHADOW_MOST_SECONDS: u64 = 366 * 86_400;

type Told<T> = Result<Json<T>, Wrong>;

pub async fn show(State(context): State<Context>) -> Json<PolicyState> {
    Json(context.policies.state())
}

pub async fn apply(State(context): State<Context>, body: Bytes) -> Told<PolicyAnswer> {
    let text = String::from_utf8_lossy(&body);
    let policy = parse(&text)?;
    let is_changed = context.policies.live().1 != policy.digest();
    if is_changed {
        follow(&context, policy, Some(&text), Cause::Applied).await?;
    }
    Ok(answer(&context, is_changed))
}

pub async fn rollback(State(context): State<Context>, body: Bytes) -> Told<PolicyAnswer> {
    let PolicyRollback { number } = read(&body)?;
    let Some(policy) = context.policies.earlier(number) else {
        let detail = match number {
            Some(number) => format!("there is no policy {number}, or its text isn't kept any more"),
            None => "no other policy was ever live here".to_owned(),
        };
        let problem = Problem::new(404, "no-such-policy", "there is no such policy", detail);
        return Err(Wrong(problem.hint("`scheduler policy list` shows all")));
    };
    let is_changed = context.policies.live().1 != policy.digest();
    if is_changed {
        follow(&context, policy, None, Cause::RolledBack).await?;
    }
    Ok(answer(&context, is_changed))
}

pub async fn shadow(State(context): State<Context>, body: Bytes) -> Told<PolicyState> {
    let PolicyShadow { text, seconds } = read(&body)?;
    let since = context.shared.now();
    let until = since + Nanoseconds::from_seconds(seconds.min(SHADOW_MOST_SECONDS));
    let shadow = match text {
        Some(text) => Some(Shadow::new(parse(&text)?, since, until)),
        None => None,
    };
    context.policies.set_shadow(shadow).map_err(|error| not_kept(&error))?;
    Ok(Json(context.policies.state()))
}

fn parse(text: &str) -> Result<Policy, Wrong> {
    policies::read(text).map_err(|detail| {
        let problem = Problem::new(422, "invalid-policy", "the policy can't be used", detail);
        Wrong(problem.hint("`simulator` has a schema and examples of policy.yml"))
    })
}

/// It is kept, and the loop has it, when this is answered.
async fn follow(
    context: &Context,
    policy: Policy,
    text: Option<&str>,
    cause: Cause,
) -> Result<(), Wrong> {
    let change = context.policies.change(&policy, text, cause, context.shared.now());
    let (reply, done) = oneshot::channel();
    let keyed = idempotency::keyed();
    let policy = Box::new(policy);
    let sent = context.inputs.send(Input::Policy { policy, change, keyed, reply });
    sent.map_err(|_| unavailable("it takes no more calls"))?;
    let done = done.await.map_err(|_| unavailable("it ended before the policy was live"))?;
    done.map_err(|why| Wrong(Problem::new(503, "not-kept", "the policy can't be kept", why)))
}

fn answer(context: &Context, is_changed: bool) -> Json<PolicyAnswer> {
    let (number, digest) = context.policies.live();
    Json(PolicyAnswer { number, digest, is_changed })
}

fn not_kept(error: &LogError) -> Wrong {
    let detail = format!("failed to {}", crate::serve::chain(error));
    Wrong(Problem::new(500, "not-kept", "the policy can't be kept", detail))
}
