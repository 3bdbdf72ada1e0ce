//! Standing for the lead.

use std::collections::BTreeSet;
use std::time::Duration;

use mesos::MasterInfo;
use mesos::leader::{NODE_PREFIX, leading_node, node_data, read_node, sequence};
use zookeeper_client as zk;

use crate::detect::leader;
use crate::{AGAIN_AFTER, Place, SESSION_TIMEOUT, Seen};

/// From one attempt in a session whose connection is away to the next.
const SOON: Duration = Duration::from_millis(200);

/// What becomes of a candidate.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// ZooKeeper can't be reached; it is tried again.
    Problem(String),
    /// It has a node of this name.
    Joined(String),
    /// So many stand for the lead, itself among them; said before who leads.
    Members(usize),
    /// It leads itself.
    Elected,
    /// Who leads instead.
    Standby(Seen),
    /// Its session or its node is over; why. Who led doesn't lead any more.
    Lost(String),
}

/// Stands for the lead with one session, until that is over; the last step is [`Step::Lost`].
///
/// The session isn't closed when this is dropped: as with a process that is killed, others have to
/// wait until ZooKeeper gives it up.
pub async fn contend(place: &Place, info: &MasterInfo, mut report: impl FnMut(Step)) {
    let client = loop {
        let connector = zk::Client::connector().with_session_timeout(SESSION_TIMEOUT);
        match connector.with_detached().connect(&place.servers).await {
            Ok(client) => break client,
            Err(error) => {
                report(Step::Problem(format!("ZooKeeper at {}: {error}", place.servers)));
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    };
    let data = node_data(info);
    let why = tokio::select! {
        why = session_end(&client) => why,
        why = stand(&client, &place.path, &data, &mut report) => why,
    };
    report(Step::Lost(why));
}

/// Ends when the session is over. A session that can't be kept alive for its timeout counts as
/// over, whatever ZooKeeper may think: others may lead then.
async fn session_end(client: &zk::Client) -> String {
    let mut watcher = client.state_watcher();
    let mut state = client.state();
    loop {
        if state.is_terminated() {
            return format!("the session at ZooKeeper is {}", state.to_string().to_lowercase());
        }
        let changed = watcher.changed();
        state = if state == zk::SessionState::Disconnected {
            match tokio::time::timeout(client.session_timeout(), changed).await {
                Ok(state) => state,
                Err(_) => return "no server of ZooKeeper answers".to_owned(),
            }
        } else {
            changed.await
        };
    }
}

/// Makes the node and follows who leads; returns why that can't go on.
async fn stand(
    client: &zk::Client,
    path: &str,
    data: &[u8],
    report: &mut impl FnMut(Step),
) -> String {
    let node = loop {
        match join(client, path, data).await {
            Ok(node) => break node,
            Err(zk::Error::ConnectionLoss) => tokio::time::sleep(SOON).await,
            Err(error) => return format!("the node under {path} can't be made: {error}"),
        }
    };
    report(Step::Joined(node.clone()));
    let mut has_led = false;
    loop {
        match look(client, path, &node, has_led, report).await {
            Ok(Look::Leads) => has_led = true,
            Ok(Look::Waits) => {}
            Ok(Look::Over(why)) => return why,
            Err(zk::Error::ConnectionLoss) => tokio::time::sleep(SOON).await,
            Err(error) => return error.to_string(),
        }
    }
}

/// Makes the node, unless this session has one: an attempt whose answer got lost may have made it.
async fn join(client: &zk::Client, path: &str, data: &[u8]) -> Result<String, zk::Error> {
    let persistent = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
    client.mkdir(path, &persistent).await?;
    for child in client.list_children(path).await? {
        if sequence(&child).is_some()
            && let Some(stat) = client.check_stat(&format!("{path}/{child}")).await?
            && stat.ephemeral_owner == client.session_id().0
        {
            return Ok(child);
        }
    }
    let options = zk::CreateMode::EphemeralSequential.with_acls(zk::Acls::anyone_all());
    let (_, number) = client.create(&format!("{path}/{NODE_PREFIX}"), data, &options).await?;
    Ok(format!("{NODE_PREFIX}{number}"))
}

/// What a look has shown.
enum Look {
    Leads,
    Waits,
    /// There is nothing to wait for any more; why.
    Over(String),
}

/// How many masters there are. One that has started anew has two nodes until its old session is over.
async fn masters(client: &zk::Client, path: &str, children: &[String]) -> Result<usize, zk::Error> {
    let mut places = BTreeSet::new();
    for child in children.iter().filter(|child| sequence(child).is_some()) {
        match client.get_data(&format!("{path}/{child}")).await {
            Ok((data, _)) => places.extend(read_node(&data).ok().map(|info| info.endpoint())),
            // It went meanwhile; the watch says so.
            Err(zk::Error::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(places.len())
}

/// Says who leads and waits for a change. Who has led never stands by.
async fn look(
    client: &zk::Client,
    path: &str,
    node: &str,
    has_led: bool,
    report: &mut impl FnMut(Step),
) -> Result<Look, zk::Error> {
    let (children, watcher) = client.list_and_watch_children(path).await?;
    if !children.iter().any(|child| child == node) {
        return Ok(Look::Over(format!("the node {node} is gone")));
    }
    report(Step::Members(masters(client, path, &children).await?));
    let leads = leading_node(children.iter().map(String::as_str)) == Some(node);
    if leads {
        report(Step::Elected);
    } else if has_led {
        return Ok(Look::Over("another master leads".to_owned()));
    } else if let Some(seen) = leader(client, path, &children).await? {
        report(Step::Standby(seen));
    }
    watcher.changed().await;
    Ok(if leads { Look::Leads } else { Look::Waits })
}
