//! Looking who leads.

use mesos::MasterInfo;
use mesos::leader::{leading_node, read_node};
use zookeeper_client as zk;

use crate::{AGAIN_AFTER, Place, SESSION_TIMEOUT};

/// What ZooKeeper says.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// This one leads.
    Leads(Box<MasterInfo>),
    /// Nobody leads.
    Nobody,
    /// It can't be asked, or says nothing that is understood; it is asked again.
    Problem(String),
}

/// Reports who leads, now and with each change, for ever. The same may be said twice.
pub async fn detect(place: &Place, mut report: impl FnMut(Seen)) {
    loop {
        let connector = zk::Client::connector().with_session_timeout(SESSION_TIMEOUT);
        let error = match connector.connect(&place.servers).await {
            Ok(client) => follow(&client, &place.path, &mut report).await,
            Err(error) => error,
        };
        report(Seen::Problem(format!("ZooKeeper at {}: {error}", place.servers)));
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Follows the leader until the session has a problem.
async fn follow(client: &zk::Client, path: &str, report: &mut impl FnMut(Seen)) -> zk::Error {
    loop {
        let (children, watcher) = match client.list_and_watch_children(path).await {
            Ok(found) => found,
            Err(zk::Error::NoNode) => {
                report(Seen::Nobody);
                // Until the first master makes it.
                match client.check_and_watch_stat(path).await {
                    Ok((None, watcher)) => drop(watcher.changed().await),
                    Ok((Some(_), _)) => {}
                    Err(error) => return error,
                }
                continue;
            }
            Err(error) => return error,
        };
        match leader(client, path, &children).await {
            Ok(Some(seen)) => report(seen),
            Ok(None) => {}
            Err(error) => return error,
        }
        watcher.changed().await;
    }
}

/// Who leads of these nodes; none if it went meanwhile, which the watch says.
pub(crate) async fn leader(
    client: &zk::Client,
    path: &str,
    children: &[String],
) -> Result<Option<Seen>, zk::Error> {
    let Some(node) = leading_node(children.iter().map(String::as_str)) else {
        return Ok(Some(Seen::Nobody));
    };
    match client.get_data(&format!("{path}/{node}")).await {
        Ok((data, _)) => Ok(Some(match read_node(&data) {
            Ok(info) => Seen::Leads(Box::new(info)),
            Err(error) => Seen::Problem(format!("the node {node} of the leader: {error}")),
        })),
        Err(zk::Error::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}
