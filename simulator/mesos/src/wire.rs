//! HTTP requests as a master answers them: the checks in Mesos' order, with its words
//! (master/http.cpp; recording 05).

use mesos::scheduler::{self, CallType};
use mesos::{Data, DecodeError, Encoding, FrameworkId, operator};
use serde_json::Value;

use crate::master::{Master, StreamKey};

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leader {
    /// This master.
    Us,
    /// Another one, of which this is known (host and port).
    Other(Option<String>),
}

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Such as `POST`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Accept`.
    pub accept: Option<String>,
    /// `Mesos-Stream-Id`.
    pub stream_id: Option<String>,
    /// What was sent, unpacked.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// Such as 202.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<&'static str>,
    /// `Allow`.
    pub allow: Option<&'static str>,
    /// `Location`.
    pub location: Option<String>,
    /// `Mesos-Stream-Id`.
    pub stream_id: Option<String>,
    /// What follows.
    pub body: Body,
}

/// What follows the head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Records as they come, until the stream is closed.
    Stream(StreamKey, Encoding),
}

impl Default for Body {
    fn default() -> Self {
        Self::Bytes(Vec::new())
    }
}

impl Response {
    fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    fn text(status: u16, text: impl Into<String>) -> Self {
        Self {
            content_type: Some("text/plain; charset=utf-8"),
            body: Body::Bytes(text.into().into_bytes()),
            ..Self::empty(status)
        }
    }

    fn json(value: &Value) -> Self {
        Self {
            content_type: Some(Encoding::Json.media_type()),
            body: Body::Bytes(value.to_string().into_bytes()),
            ..Self::empty(200)
        }
    }

    fn redirect(location: String) -> Self {
        Self { location: Some(location), ..Self::empty(307) }
    }
}

/// Answers a request. If the answer is a stream, it has the given number.
pub fn answer(
    master: &mut Master,
    leader: &Leader,
    request: &Request,
    stream: StreamKey,
) -> Response {
    let path = request.path.strip_prefix("/master").unwrap_or(&request.path);
    let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    if path == "/health" {
        return Response::empty(200);
    }
    if let Some(page) = master.own_page(path, *leader == Leader::Us) {
        return Response::json(&page);
    }
    if path == "/redirect" {
        return match leader {
            Leader::Us => Response::redirect(format!("//{}", own_authority(master))),
            Leader::Other(Some(other)) => Response::redirect(format!("//{other}")),
            Leader::Other(None) => Response::text(503, "No leader elected"),
        };
    }
    let is_api = path == "/api/v1/scheduler" || path == "/api/v1";
    let page = master.page(path).filter(|_| !is_api);
    let lacking = master.lacks(path);
    if !is_api && page.is_none() && lacking.is_none() && path != "/teardown" {
        return Response::text(404, "404 Not Found.");
    }
    match leader {
        Leader::Us => {}
        Leader::Other(Some(other)) => {
            return Response::redirect(format!("//{other}/master{path}"));
        }
        Leader::Other(None) => return Response::text(503, "No leader elected"),
    }
    if let Some(words) = lacking {
        return Response::text(501, words);
    }
    match page {
        Some(page) => Response::json(&page),
        None if request.method != "POST" => Response {
            allow: Some("POST"),
            ..Response::text(
                405,
                format!(
                    "405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{}'.",
                    request.method
                ),
            )
        },
        None if path == "/api/v1/scheduler" => of_scheduler(master, request, stream),
        None if path == "/api/v1" => of_operator(master, request, stream),
        None => teardown(master, &request.body),
    }
}

fn own_authority(master: &Master) -> String {
    let settings = master.configuration();
    std::net::SocketAddr::new(settings.address, settings.port).to_string()
}

/// Reads the call of a request.
fn read<M: Data>(request: &Request) -> Result<(M, Encoding), Response> {
    let Some(content_type) = &request.content_type else {
        return Err(Response::text(400, "Expecting 'Content-Type' to be present"));
    };
    let Some(encoding) = Encoding::of_media_type(content_type) else {
        return Err(Response::text(
            415,
            "Expecting 'Content-Type' of application/json or application/x-protobuf",
        ));
    };
    let words = |error| match error {
        _ if encoding == Encoding::Protobuf => "Failed to parse body into Call protobuf".to_owned(),
        DecodeError::Syntax { line, near } => {
            format!("Failed to parse body into JSON: syntax error at line {line} near: {near}")
        }
        DecodeError::NotAnObject => {
            "Failed to convert JSON into Call protobuf: Expecting a JSON object".to_owned()
        }
        DecodeError::Missing(paths) => format!(
            "Failed to convert JSON into Call protobuf: Missing required fields: {}",
            paths.join(", ")
        ),
        DecodeError::Convert(what) | DecodeError::Protobuf(what) => {
            format!("Failed to convert JSON into Call protobuf: {what}")
        }
    };
    let call = encoding.decode(&request.body).map_err(|error| Response::text(400, words(error)))?;
    Ok((call, encoding))
}

/// Whether a client takes a media type; libprocess looks at types only, not at their weights.
fn accepts(accept: Option<&str>, media_type: &str) -> bool {
    let Some(accept) = accept else { return true };
    let (kind, subtype) = media_type.split_once('/').unwrap_or((media_type, ""));
    accept.split(',').any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        let (range_kind, range_subtype) = range.split_once('/').unwrap_or((range, ""));
        (range_kind == "*" || range_kind == kind)
            && (range_subtype == "*" || range_subtype == subtype)
    })
}

/// The encoding of what is sent back: JSON if the client takes it.
fn chosen(request: &Request) -> Option<Encoding> {
    [Encoding::Json, Encoding::Protobuf]
        .into_iter()
        .find(|encoding| accepts(request.accept.as_deref(), encoding.media_type()))
}

fn not_acceptable() -> Response {
    Response::text(
        406,
        "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'",
    )
}

fn of_scheduler(master: &mut Master, request: &Request, stream: StreamKey) -> Response {
    let call: scheduler::Call = match read(request) {
        Ok((call, _)) => call,
        Err(refusal) => return refusal,
    };
    if let Err(what) = validate(&call) {
        return Response::text(400, format!("Failed to validate scheduler::Call: {what}"));
    }
    if call.r#type() == CallType::Subscribe {
        let Some(encoding) = chosen(request) else { return not_acceptable() };
        if request.stream_id.is_some() {
            let text = "Subscribe calls should not include the 'Mesos-Stream-Id' header";
            return Response::text(400, text);
        }
        let stream_id = master.new_stream_id();
        if let Some(subscribe) = call.subscribe {
            master.subscribe(stream, &stream_id, *subscribe);
        }
        return Response {
            content_type: Some(encoding.media_type()),
            stream_id: Some(stream_id),
            body: Body::Stream(stream, encoding),
            ..Response::empty(200)
        };
    }
    let none = FrameworkId::default();
    let id = call.framework_id.as_ref().unwrap_or(&none);
    let key = match master.check_stream(id, request.stream_id.as_deref()) {
        Ok(key) => key,
        Err((status, words)) => return Response::text(status, words),
    };
    match call.r#type() {
        CallType::Unknown => Response::empty(501),
        CallType::UpdateFramework => {
            let update = call.update_framework.unwrap_or_default();
            match master.update_framework(key, *update) {
                Ok(()) => Response::empty(200),
                Err((status, words)) => Response::text(status, words),
            }
        }
        _ => {
            master.call(key, call);
            Response::empty(202)
        }
    }
}

/// What is wrong with a call, in Mesos' words (master/validation.cpp).
fn validate(call: &scheduler::Call) -> Result<(), &'static str> {
    if call.r#type.is_none() {
        return Err("Expecting 'type' to be present");
    }
    let present =
        |is_present: bool, what: &'static str| if is_present { Ok(()) } else { Err(what) };
    let uuid = |bytes: &[u8]| present(bytes.len() == 16, "Not a valid UUID");
    let call_type = call.r#type();
    if call_type == CallType::Subscribe {
        let subscribe = call.subscribe.as_ref().ok_or("Expecting 'subscribe' to be present")?;
        let text = |id: Option<&FrameworkId>| id.map(|id| id.value.clone()).unwrap_or_default();
        let is_same =
            text(subscribe.framework_info.id.as_ref()) == text(call.framework_id.as_ref());
        return present(is_same, "'framework_id' differs from 'subscribe.framework_info.id'");
    }
    present(call.framework_id.is_some(), "Expecting 'framework_id' to be present")?;
    match call_type {
        CallType::Accept => present(call.accept.is_some(), "Expecting 'accept' to be present"),
        CallType::Decline => present(call.decline.is_some(), "Expecting 'decline' to be present"),
        CallType::AcceptInverseOffers => present(
            call.accept_inverse_offers.is_some(),
            "Expecting 'accept_inverse_offers' to be present",
        ),
        CallType::DeclineInverseOffers => present(
            call.decline_inverse_offers.is_some(),
            "Expecting 'decline_inverse_offers' to be present",
        ),
        CallType::Kill => present(call.kill.is_some(), "Expecting 'kill' to be present"),
        CallType::Shutdown => {
            present(call.shutdown.is_some(), "Expecting 'shutdown' to be present")
        }
        CallType::Acknowledge => {
            let call = call.acknowledge.as_ref();
            uuid(&call.ok_or("Expecting 'acknowledge' to be present")?.uuid)
        }
        CallType::AcknowledgeOperationStatus => {
            let call = call.acknowledge_operation_status.as_ref();
            let call = call.ok_or("Expecting 'acknowledge_operation_status' to be present")?;
            uuid(&call.uuid)?;
            present(call.agent_id.is_some(), "Expecting 'agent_id' to be present")
        }
        CallType::Reconcile => {
            present(call.reconcile.is_some(), "Expecting 'reconcile' to be present")
        }
        CallType::ReconcileOperations => present(
            call.reconcile_operations.is_some(),
            "Expecting 'reconcile_operations' to be present",
        ),
        CallType::Message => present(call.message.is_some(), "Expecting 'message' to be present"),
        CallType::Request => present(call.request.is_some(), "Expecting 'request' to be present"),
        CallType::UpdateFramework => {
            present(call.update_framework.is_some(), "Expecting 'update_framework' to be present")
        }
        CallType::Teardown
        | CallType::Revive
        | CallType::Suppress
        | CallType::Subscribe
        | CallType::Unknown => Ok(()),
    }
}

fn of_operator(master: &mut Master, request: &Request, stream: StreamKey) -> Response {
    let call: operator::Call = match read(request) {
        Ok((call, _)) => call,
        Err(refusal) => return refusal,
    };
    if call.r#type.is_none() {
        let text = "Failed to validate master::Call: Expecting 'type' to be present";
        return Response::text(400, text);
    }
    let Some(encoding) = chosen(request) else { return not_acceptable() };
    if call.r#type() == operator::CallType::Subscribe {
        master.subscribe_operator(stream);
        return Response {
            content_type: Some(encoding.media_type()),
            body: Body::Stream(stream, encoding),
            ..Response::empty(200)
        };
    }
    match master.operate(call) {
        crate::master::Answer::Response(response) => Response {
            content_type: Some(encoding.media_type()),
            body: Body::Bytes(encoding.encode(&*response)),
            ..Response::empty(200)
        },
        crate::master::Answer::Done => Response::empty(200),
        crate::master::Answer::Refused(status, words) => Response::text(status, words),
    }
}

/// The older way to end a framework: a form with its name.
fn teardown(master: &mut Master, body: &[u8]) -> Response {
    let text = String::from_utf8_lossy(body);
    let id = text.split('&').find_map(|pair| pair.strip_prefix("frameworkId="));
    let Some(id) = id else {
        return Response::text(400, "Missing 'frameworkId' query parameter");
    };
    match master.tear_down(id) {
        Ok(()) => Response::empty(200),
        Err(words) => Response::text(400, words),
    }
}
