//! `[io]` Serves a simulated Mesos on a socket: HTTP/1.1 with keep-alive, pipelining, packed and
//! chunked bodies, and streams of records with one record in one chunk.
//!
//! Decides nothing: [`simulator_mesos::wire`] answers, the clock moves the master on, and what it
//! sends is handed to the streams. A client that doesn't read is cut off rather than waited for.

#![forbid(unsafe_code)]

mod body;
mod outside;
pub mod real;
mod request;
mod shared;
pub mod translate;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use simulator_mesos::{AgentKey, Configuration, Master, Run};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;

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
    shared: Arc<Shared>,
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
        let fail = |source| ServeError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let configuration = Configuration {
            epoch_nanoseconds: u64::try_from(epoch.as_nanos()).unwrap_or(0),
            address: address.ip(),
            port: address.port(),
            ..configuration
        };
        let (shared, runs) = Shared::new(Master::new(configuration), Instant::now());
        Ok((Self { listener, address, shared: Arc::new(shared) }, runs))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A way to the master.
    pub fn handle(&self) -> Handle {
        Handle(self.shared.clone())
    }

    /// Serves until the future is dropped.
    pub async fn run(self) {
        let clock = tokio::spawn(shared::keep_time(self.shared.clone()));
        let _clock = Abort(clock);
        loop {
            let Ok((socket, _)) = self.listener.accept().await else {
                // Out of sockets, or a client that was gone at once: the next one may be better.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            };
            // Answers are small, and the next request waits for them.
            let _ = socket.set_nodelay(true);
            let shared = self.shared.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| request::serve(shared.clone(), request));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .title_case_headers(true)
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(socket), service);
                // A broken connection is the client's affair; its stream ends when its body is dropped.
                let _ = connection.await;
            });
        }
    }
}

/// Ends a task when it is dropped.
struct Abort(tokio::task::JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}
