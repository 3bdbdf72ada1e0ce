//! `wait_for_connection`: until the host can be reached and a module runs there.

use std::time::Duration;

use provision_protocol::Object;

use super::errand::{Errand, failed};
use super::{Connection, Session};

/// How long a helper may take for nothing.
const PING: Duration = Duration::from_secs(30);

impl Session {
    pub(super) async fn wait_for_connection(
        &mut self,
        errand: &mut Errand<'_>,
        connection: &mut Option<Connection>,
    ) -> Object {
        if errand.call.check {
            let mut result = errand.result(false);
            result.insert("skipped".into(), true.into());
            return result;
        }
        let connect_timeout = Some(errand.seconds("connect_timeout", 5));
        let pause = errand.seconds("sleep", 1);
        let limit = errand.seconds("timeout", 600);
        tokio::time::sleep(errand.seconds("delay", 0)).await;
        loop {
            if connection.is_none() {
                // Whoever waits for long isn't kept by one try.
                let left = limit.saturating_sub(errand.begun.elapsed()).max(PING);
                let tried = tokio::time::timeout(left, self.try_connect(connect_timeout)).await;
                *connection = match tried {
                    Ok(Ok(next)) => Some(next),
                    Ok(Err(trouble)) => {
                        if let Some(late) = too_late(errand, limit, &trouble.0) {
                            return late;
                        }
                        None
                    }
                    Err(_) => None,
                };
            }
            if connection.is_some() {
                let ping = errand.part("ping", Object::new());
                let trouble = match self.ask(connection, &ping, PING).await {
                    Ok(result) if result.get("ping").is_some() => return errand.result(false),
                    Ok(result) => {
                        let said = result.get("msg").and_then(serde_json::Value::as_str);
                        said.unwrap_or("ping test failed").to_owned()
                    }
                    Err((message, _)) => message,
                };
                if let Some(late) = too_late(errand, limit, &trouble) {
                    return late;
                }
            }
            tokio::time::sleep(pause).await;
        }
    }
}

fn too_late(errand: &Errand<'_>, limit: Duration, trouble: &str) -> Option<Object> {
    (errand.begun.elapsed() >= limit).then(|| {
        let message = format!("timed out waiting for ping module test: {trouble}");
        failed(errand.result(false), message)
    })
}
