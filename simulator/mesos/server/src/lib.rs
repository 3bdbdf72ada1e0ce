//! `[io]` Serves a simulated Mesos on a socket: HTTP/1.1 with keep-alive, pipelining, packed and
//! chunked bodies, and streams of records with one record in one chunk.
//!
//! Decides nothing: [`simulator_mesos::wire`] answers, the clock moves the master on, and what it
//! sends is handed to the streams. A client that doesn't read is cut off rather than waited for.

#![forbid(unsafe_code)]

mod body;
mod election;
mod outside;
pub mod real;
mod request;
mod seat;
mod shared;
pub mod translate;
pub mod volumes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use simulator_mesos::{AgentKey, Configuration, Master, Run};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

pub use election::Told;
use mesos_zookeeper::Place;
use seat::Seat;
use shared::Shared;

/// Why the master can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket can't be had.
    #[error("listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A master on a socket.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    seat: Arc<Seat>,
}

/// A way to the master from outside of its requests: for faults, agents and looks.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Shared>);

impl Handle {
    /// Does something with the master, at the present time.
    pub fn with<T>(&self, work: impl FnOnce(&mut Master) -> T) -> T {
        self.0.with(work)
    }
}

impl Server {
    /// A master that listens; its address and epoch are filled in. Agents with an outside body are
    /// told what to do through the second value.
    ///
    /// # Errors
    /// If the socket can't be had.
    pub async fn bind(
        listen: SocketAddr,
        configuration: Configuration,
    ) -> Result<(Self, UnboundedReceiver<(AgentKey, Run)>), ServeError> {
        let (listener, configuration) = listen_at(listen, since_now(configuration)).await?;
        let (shared, runs) = Shared::new(Master::new(configuration.clone()), Instant::now());
        let seat = Seat::alone(Arc::new(shared));
        Ok((Self::new(listener, &configuration, seat), runs))
    }

    /// Masters that stand for the lead; whoever has it is the master of the same agents. Otherwise as
    /// [`Server::bind`].
    ///
    /// # Errors
    /// If a socket can't be had.
    pub async fn bind_candidates(
        listen: &[SocketAddr],
        configuration: Configuration,
    ) -> Result<(Vec<Self>, UnboundedReceiver<(AgentKey, Run)>), ServeError> {
        let configuration = since_now(configuration);
        let (shared, runs) = Shared::new(Master::new(configuration.clone()), Instant::now());
        let shared = Arc::new(shared);
        let mut servers = Vec::with_capacity(listen.len());
        for address in listen {
            let (listener, mut configuration) = listen_at(*address, configuration.clone()).await?;
            // No two masters ever have the same id.
            configuration.seed ^= configuration.epoch_nanoseconds ^ u64::from(configuration.port);
            let seat = Seat::candidate(shared.clone(), configuration.clone());
            servers.push(Self::new(listener, &configuration, seat));
        }
        Ok((servers, runs))
    }

    fn new(listener: TcpListener, configuration: &Configuration, seat: Seat) -> Self {
        let address = SocketAddr::new(configuration.address, configuration.port);
        Self { listener, address, seat: Arc::new(seat) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A way to the master.
    pub fn handle(&self) -> Handle {
        Handle(self.seat.shared.clone())
    }

    /// Serves until the future is dropped; connections end with it.
    pub async fn run(self) {
        let clock = tokio::spawn(shared::keep_time(self.seat.shared.clone()));
        let _clock = Abort(clock);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                // A broken connection is the client's affair; its stream ends when its body is dropped.
                Some(_) = connections.join_next() => continue,
            };
            let Ok((socket, _)) = accepted else {
                // Out of sockets, or a client that was gone at once: the next one may be better.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            };
            // Answers are small, and the next request waits for them.
            let _ = socket.set_nodelay(true);
            let seat = self.seat.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| request::serve(seat.clone(), request));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    // Schedulers keep their connection for calls, and may have nothing to say.
                    .header_read_timeout(None)
                    .title_case_headers(true)
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(socket), service);
                // As above.
                let _ = connection.await;
            });
        }
    }

    /// Serves and stands for the lead; returns when the lead is lost, and why. Dropped before, it is
    /// like a master that is killed: ZooKeeper gives its session up after some time.
    ///
    /// Masters that were not made by [`Server::bind_candidates`] only serve.
    pub async fn contend(self, place: &Place, tell: impl FnMut(Told)) -> String {
        let seat = self.seat.clone();
        let served = self.run();
        tokio::pin!(served);
        tokio::select! {
            why = election::stand(&seat, place, tell) => why,
            () = &mut served => String::new(),
        }
    }
}

/// The time 0 is now.
fn since_now(configuration: Configuration) -> Configuration {
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch_nanoseconds = u64::try_from(epoch.as_nanos()).unwrap_or(0);
    Configuration { epoch_nanoseconds, ..configuration }
}

/// Listens, and fills in where.
async fn listen_at(
    listen: SocketAddr,
    configuration: Configuration,
) -> Result<(TcpListener, Configuration), ServeError> {
    let fail = |source| ServeError::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    let (address, port) = (address.ip(), address.port());
    Ok((listener, Configuration { address, port, ..configuration }))
}

/// Ends a task when it is dropped.
struct Abort(tokio::task::JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}
