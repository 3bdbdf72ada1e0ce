//! Requests of agents that are programs of their own (`simulator_mesos::outside`).

use std::sync::Arc;

use hyper::header::{HeaderValue, LOCATION};
use hyper::{Response, StatusCode};
use simulator_mesos::outside::{self, Registration, Report};
use simulator_mesos::wire::Leader;
use simulator_mesos::{StreamKey, Unwelcome};

use crate::body::{AgentRecords, Answer};
use crate::request::plain;
use crate::seat::Seat;
use crate::shared::Shared;

pub(crate) fn is_for_agents(path: &str) -> bool {
    [outside::SUBSCRIBE, outside::REPORT, outside::PONG, outside::UNREGISTER].contains(&path)
}

pub(crate) fn serve(seat: &Seat, path: &str, body: &[u8]) -> Response<Answer> {
    match seat.leader() {
        Leader::Us => {}
        Leader::Other(Some(leader)) => return elsewhere(&leader, path),
        Leader::Other(None) => return plain(StatusCode::SERVICE_UNAVAILABLE, "nobody leads"),
    }
    let shared = &seat.shared;
    let answered = match path {
        outside::SUBSCRIBE => return subscribe(shared, body),
        outside::REPORT => Report::decode(body).map(|(stream, report)| {
            shared.with_agent(StreamKey(stream), |master, agent| {
                master.report_outside(agent, report);
            })
        }),
        outside::PONG => outside::decode_stream(body)
            .map(|stream| shared.with_agent(StreamKey(stream), |master, agent| master.hear(agent))),
        _ => outside::decode_stream(body).map(|stream| {
            shared.with_agent(StreamKey(stream), |master, agent| master.unregister_agent(agent))
        }),
    };
    match answered {
        Ok(true) => plain(StatusCode::ACCEPTED, ""),
        Ok(false) => plain(StatusCode::GONE, "the stream is over"),
        Err(error) => plain(StatusCode::BAD_REQUEST, &error),
    }
}

fn elsewhere(leader: &str, path: &str) -> Response<Answer> {
    let mut response = plain(StatusCode::TEMPORARY_REDIRECT, "");
    if let Ok(location) = HeaderValue::from_str(&format!("//{leader}{path}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn subscribe(shared: &Arc<Shared>, body: &[u8]) -> Response<Answer> {
    let registration = match Registration::decode(body) {
        Ok(registration) => registration,
        Err(error) => return plain(StatusCode::BAD_REQUEST, &error),
    };
    match shared.register(registration) {
        Ok((agent, stream, source)) => {
            let records = AgentRecords { agent, stream, source, shared: shared.clone() };
            Response::new(Answer::Agent(records))
        }
        Err(Unwelcome::Later(why)) => plain(StatusCode::SERVICE_UNAVAILABLE, &why),
        Err(Unwelcome::Never(why)) => plain(StatusCode::FORBIDDEN, &why),
    }
}
