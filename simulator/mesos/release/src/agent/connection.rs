//! An agent's connections to a master: the stream on which it is told, and one for what it says.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, LOCATION};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use mesos::Location;
use mesos::recordio::Decoder;
use simulator_mesos::outside::{self, Registration, Told};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A master that doesn't answer for so long is not there.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The longest text of a refusal, in bytes.
const TEXT_LIMIT_BYTES: usize = 64 << 10;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoConnection {
    /// Another master leads, at this place.
    Elsewhere(Location),
    /// Not now.
    Later(String),
    /// Never.
    Never(String),
}

/// The connections to a master.
#[derive(Debug)]
pub struct Connection {
    master: Location,
    body: Incoming,
    decoder: Decoder,
    /// Without it the stream ends.
    _asked: SendRequest<Full<Bytes>>,
    says: SendRequest<Full<Bytes>>,
    /// The number of the stream, once it is known.
    pub stream: Option<u64>,
}

fn later(error: impl std::fmt::Display) -> NoConnection {
    NoConnection::Later(error.to_string())
}

async fn connect(master: &Location) -> Result<SendRequest<Full<Bytes>>, NoConnection> {
    let place = (master.host.as_str(), master.port);
    let socket = timeout(ANSWER_LIMIT, TcpStream::connect(place)).await;
    let socket = socket.map_err(|_| later("it doesn't answer"))?.map_err(later)?;
    let _ = socket.set_nodelay(true);
    let (sender, connection) = handshake(TokioIo::new(socket)).await.map_err(later)?;
    // It ends with its sender; what went wrong is seen there.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    master: &Location,
    path: &str,
    body: Vec<u8>,
) -> Result<Response<Incoming>, NoConnection> {
    let request = Request::post(path)
        .header(HOST, master.authority())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(later)?;
    let answer = timeout(ANSWER_LIMIT, sender.send_request(request)).await;
    answer.map_err(|_| later("it doesn't answer"))?.map_err(later)
}

async fn text_of(response: Response<Incoming>) -> String {
    let body =
        timeout(ANSWER_LIMIT, Limited::new(response.into_body(), TEXT_LIMIT_BYTES).collect());
    match body.await {
        Ok(Ok(body)) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        _ => String::new(),
    }
}

impl Connection {
    /// Registers with a master.
    ///
    /// # Errors
    /// It can't be reached, doesn't lead, or refuses.
    pub async fn open(
        master: &Location,
        registration: &Registration,
    ) -> Result<Self, NoConnection> {
        let mut stream = connect(master).await?;
        let body = registration.encode();
        let response = send(&mut stream, master, outside::SUBSCRIBE, body).await?;
        let status = response.status();
        let location = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
        match (status, location.map(Location::parse)) {
            (StatusCode::OK, _) => {}
            (StatusCode::TEMPORARY_REDIRECT, Some(Ok(location))) => {
                return Err(NoConnection::Elsewhere(location));
            }
            (StatusCode::FORBIDDEN, _) => {
                return Err(NoConnection::Never(text_of(response).await));
            }
            _ => return Err(later(format!("{status}: {}", text_of(response).await))),
        }
        let says = connect(master).await?;
        let (master, decoder) = (master.clone(), Decoder::default());
        Ok(Self { master, body: response.into_body(), decoder, _asked: stream, says, stream: None })
    }

    /// The master.
    pub fn master(&self) -> &Location {
        &self.master
    }

    /// The next word of the master; none when the stream is over. It may be dropped and asked again.
    pub async fn next(&mut self) -> Option<Result<Told, String>> {
        loop {
            match self.decoder.next_record() {
                Ok(Some(record)) => return Some(Told::decode(record)),
                Ok(None) => {}
                Err(error) => return Some(Err(error.to_string())),
            }
            let frame = self.body.frame().await?;
            match frame {
                Ok(frame) => {
                    if let Some(data) = frame.data_ref() {
                        self.decoder.push(data);
                    }
                }
                Err(_) => return None,
            }
        }
    }

    /// Says something.
    ///
    /// # Errors
    /// It did not arrive, or the stream is over.
    pub async fn say(&mut self, path: &str, body: Vec<u8>) -> Result<(), NoConnection> {
        if self.says.is_closed() {
            self.says = connect(&self.master).await?;
        }
        let response = send(&mut self.says, &self.master, path, body).await?;
        match response.status() {
            StatusCode::ACCEPTED => {
                // Read to its end, so that the connection can be used again.
                text_of(response).await;
                Ok(())
            }
            status => Err(later(format!("{status}: {}", text_of(response).await))),
        }
    }
}
