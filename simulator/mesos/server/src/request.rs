//! From hyper's requests to the master's, and back.

use std::convert::Infallible;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
};
use hyper::{Request, Response, StatusCode};
use simulator_mesos::wire;

use crate::body::{Answer, Records};
use crate::outside;
use crate::seat::Seat;

/// Longest body that is taken, in bytes, packed and unpacked: 100,000 tasks to reconcile are less.
const BODY_LIMIT_BYTES: usize = 64 << 20;

const STREAM_ID: HeaderName = HeaderName::from_static("mesos-stream-id");

pub(crate) async fn serve(
    seat: Arc<Seat>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let (head, body) = request.into_parts();
    let header = |name: &HeaderName| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let Ok(body) = Limited::new(body, BODY_LIMIT_BYTES).collect().await else {
        let text = "Failed to read the body: it was cut off, or it is longer than 64 MiB";
        return Ok(plain(StatusCode::BAD_REQUEST, text));
    };
    let body = match header(&CONTENT_ENCODING).as_deref() {
        None | Some("identity") => body.to_bytes().to_vec(),
        Some("gzip") => match unpack(&body.to_bytes()) {
            Ok(body) => body,
            Err(error) => {
                let text = format!("Failed to decompress the body: {error}");
                return Ok(plain(StatusCode::BAD_REQUEST, &text));
            }
        },
        Some(other) => {
            let text = format!("The content encoding '{other}' is not supported");
            return Ok(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text));
        }
    };
    if outside::is_for_agents(head.uri.path()) {
        return Ok(outside::serve(&seat, head.uri.path(), &body));
    }
    let request = wire::Request {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        content_type: header(&CONTENT_TYPE),
        accept: header(&ACCEPT),
        stream_id: header(&STREAM_ID),
        body,
    };
    let (response, source) = seat.answer(&request);
    let body = match (response.body, source) {
        (wire::Body::Stream(key, _), Some(source)) => {
            Answer::Stream(Records { key, source, shared: seat.shared.clone() })
        }
        (wire::Body::Bytes(bytes), _) => Answer::Bytes(Full::new(Bytes::from(bytes))),
        (wire::Body::Stream(..), None) => Answer::Bytes(Full::default()),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() =
        StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    let values = [
        (CONTENT_TYPE, response.content_type.map(str::to_owned)),
        (ALLOW, response.allow.map(str::to_owned)),
        (LOCATION, response.location),
        (STREAM_ID, response.stream_id),
    ];
    for (name, value) in values {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    Ok(answer)
}

pub(crate) fn plain(status: StatusCode, text: &str) -> Response<Answer> {
    let mut answer = Response::new(Answer::Bytes(Full::new(Bytes::from(text.to_owned()))));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn unpack(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let limit = BODY_LIMIT_BYTES as u64;
    let mut body = Vec::new();
    GzDecoder::new(packed).take(limit + 1).read_to_end(&mut body)?;
    if body.len() > BODY_LIMIT_BYTES {
        return Err(std::io::Error::other("longer than 64 MiB"));
    }
    Ok(body)
}
