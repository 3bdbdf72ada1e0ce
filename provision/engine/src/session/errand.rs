//! Calls that a session carries out by itself, because they are about its connection: the helper
//! could not outlive them. They begin when all calls before them have ended, and those behind them
//! wait.

use std::time::{Duration, Instant};

use provision_protocol::{Call, CallResult, Frame, FromHost, Object, ToHost};

use super::{Connection, Ending, Inbox, Session, SessionEvent};
use crate::channel::{Endpoint, Trouble};

/// Numbers of calls that an errand may use besides its own: one try a second for the time that
/// [`seconds`] allows, three calls each, and some.
const RESERVED_IDS: u64 = 1 << 20;
/// Longest time that a parameter can ask for, in seconds: three days. What comes back later than
/// that is no reboot.
const LONGEST_S: u64 = 3 * 24 * 3600;
/// Pause between two tries to reach a host, in milliseconds.
pub(super) const TRY_PAUSE: Duration = Duration::from_millis(1000);
/// Time that a try has besides the connecting: the helper may have to be sent again.
const UPLOAD: Duration = Duration::from_mins(2);

const REBOOT: &str = "reboot";
const WAIT: &str = "wait_for_connection";

/// Whether a session carries out a call by itself.
pub(super) fn is_errand(call: &Call) -> bool {
    matches!(call.module.as_str(), REBOOT | WAIT)
}

/// Whether a call can begin while the host can't be reached.
pub(super) fn is_patient(call: &Call) -> bool {
    call.module == WAIT
}

/// How many numbers of calls a call takes.
pub(super) fn ids_of(module: &str) -> u64 {
    if matches!(module, REBOOT | WAIT) { RESERVED_IDS } else { 1 }
}

/// What an errand works with.
pub(super) struct Errand<'a> {
    pub(super) call: &'a Call,
    pub(super) begun: Instant,
    next_id: u64,
}

impl<'a> Errand<'a> {
    fn new(call: &'a Call) -> Self {
        Errand { call, begun: Instant::now(), next_id: call.id + 1 }
    }

    /// A parameter in seconds; negative ones are none.
    pub(super) fn seconds(&self, name: &str, default: u64) -> Duration {
        self.optional_seconds(name).unwrap_or(Duration::from_secs(default))
    }

    pub(super) fn optional_seconds(&self, name: &str) -> Option<Duration> {
        let value = self.call.arguments.get(name)?.as_f64()?;
        let longest = Duration::from_secs(LONGEST_S);
        let given = Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(longest);
        Some(given.min(longest))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.call.arguments.get(name).and_then(serde_json::Value::as_str)
    }

    /// The result so far; `elapsed` is in whole seconds.
    pub(super) fn result(&self, changed: bool) -> Object {
        let mut result = Object::new();
        result.insert("changed".into(), changed.into());
        result.insert("elapsed".into(), self.begun.elapsed().as_secs().into());
        result
    }

    /// A call that is part of it. Nobody but the errand sees its result.
    pub(super) fn part(&mut self, module: &str, arguments: Object) -> Call {
        self.next_id += 1;
        Call {
            id: self.next_id,
            module: module.to_owned(),
            arguments,
            ignore_failure: true,
            check: false,
            diff: false,
            timeout_s: None,
            asynchronous: None,
            contents: Vec::new(),
            notify: Vec::new(),
            completes: Vec::new(),
            ..self.call.clone()
        }
    }

    /// A command line as a part of it.
    pub(super) fn shell(&mut self, line: &str) -> Call {
        let mut arguments = Object::new();
        arguments.insert("cmd".into(), line.into());
        self.part("shell", arguments)
    }
}

/// Makes a result one of a failure.
pub(super) fn failed(mut result: Object, message: impl Into<String>) -> Object {
    result.insert("failed".into(), true.into());
    result.insert("msg".into(), message.into().into());
    result
}

impl Session {
    /// The errand whose turn it is. One behind a failure is dropped.
    pub(super) fn due_errand(&mut self) -> Option<Box<Call>> {
        if !self.outstanding.is_empty() {
            return None;
        }
        let call = self.held.take()?;
        if self.is_dropped(&call) {
            self.tell(SessionEvent::Dropped(call.id));
            return None;
        }
        Some(call)
    }

    /// Waits for a host that could not be reached when the session began.
    pub(super) async fn wait_first(
        &mut self,
        call: Box<Call>,
        inbox: &mut Inbox,
    ) -> Option<Connection> {
        let mut connection = None;
        self.run_errand(*call, &mut connection, inbox).await;
        connection
    }

    /// Carries out an errand and tells its result. If it is stopped there is no connection after
    /// it, as an answer may still be on its way.
    pub(super) async fn run_errand(
        &mut self,
        call: Call,
        connection: &mut Option<Connection>,
        inbox: &mut Inbox,
    ) {
        self.tell(SessionEvent::Started(call.id));
        let begun = Instant::now();
        let limit_s = call.timeout_s.unwrap_or(f64::MAX);
        let limit = Duration::try_from_secs_f64(limit_s).unwrap_or(Duration::MAX);
        let ended = tokio::select! {
            result = self.perform(Errand::new(&call), connection) => Ok(result),
            () = inbox.stop() => Err("cancelled".to_owned()),
            () = tokio::time::sleep(limit.min(Duration::from_secs(2 * LONGEST_S))) =>
                Err(format!("timed out after {limit_s} second(s)")),
        };
        let result = match ended {
            Ok(result) => result,
            Err(reason) => {
                *connection = None;
                failed(Errand { begun, ..Errand::new(&call) }.result(false), reason)
            }
        };
        let duration_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let result = CallResult { id: call.id, result, duration_us };
        self.note_failure(&call, &result);
        self.tell(SessionEvent::Result(Box::new(result)));
    }

    async fn perform(
        &mut self,
        mut errand: Errand<'_>,
        connection: &mut Option<Connection>,
    ) -> Object {
        match errand.call.module.as_str() {
            REBOOT => self.reboot(&mut errand, connection).await,
            _ => self.wait_for_connection(&mut errand, connection).await,
        }
    }

    /// Has the helper run a part of an errand, and waits for its result.
    ///
    /// # Errors
    /// The connection broke, or the limit is over: there is no connection any more then.
    pub(super) async fn ask(
        &mut self,
        connection: &mut Option<Connection>,
        call: &Call,
        limit: Duration,
    ) -> Result<Object, Trouble> {
        let Some(there) = connection else {
            return Err(("there is no connection".to_owned(), None));
        };
        there.talk.writer.message(&ToHost::Call(Box::new(call.clone())));
        let answer = tokio::time::timeout(limit, self.answer(there, call.id)).await;
        let late = || {
            let seconds = limit.as_secs();
            Err((format!("the host did not answer within {seconds} s"), None))
        };
        let answer = answer.unwrap_or_else(|_| late());
        if answer.is_err() {
            *connection = None;
        }
        answer
    }

    async fn answer(&mut self, connection: &mut Connection, id: u64) -> Result<Object, Trouble> {
        loop {
            let payload = match connection.talk.next().await {
                Ok(Some(Frame::Message(payload))) => payload,
                Ok(Some(Frame::Content { .. })) => continue,
                Ok(None) => {
                    let said = connection.talk.channel.last_words().await;
                    return Err((format!("the connection ended{said}"), None));
                }
                Err(message) => return Err((message, None)),
            };
            match Frame::parse::<FromHost>(&payload) {
                Ok(FromHost::Result(result)) if result.id == id => return Ok(result.result),
                Ok(FromHost::Started { id: begun }) if begun == id => {}
                Ok(message) => match self.take(&mut connection.talk, message) {
                    Some(Ending::Refused { message, hint }) => return Err((message, hint)),
                    Some(Ending::Broken(message)) => return Err((message, None)),
                    _ => {}
                },
                Err(error) => return Err((format!("the helper talks nonsense: {error}"), None)),
            }
        }
    }

    /// Says goodbye to the helper, if there is one, and ends the connection.
    pub(super) fn hang_up(connection: &mut Option<Connection>) {
        if let Some(there) = connection.take() {
            there.talk.writer.message(&ToHost::Bye);
            there.talk.writer.close();
        }
    }

    /// Connects anew, once.
    pub(super) async fn try_connect(
        &mut self,
        connect_timeout: Option<Duration>,
    ) -> Result<Connection, Trouble> {
        let usual = self.endpoint.clone();
        if let Endpoint::Ssh { options, .. } = &mut self.endpoint {
            options.connect_timeout = connect_timeout.or(options.connect_timeout);
            options.retries = Some(0);
        }
        let connected = tokio::time::timeout(UPLOAD, self.connect()).await;
        self.endpoint = usual;
        connected
            .unwrap_or_else(|_| Err((format!("no answer within {} s", UPLOAD.as_secs()), None)))
    }
}
