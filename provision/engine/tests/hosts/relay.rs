//! The wire between the controller and a helper, frame by frame.

use std::sync::Arc;

use provision_engine::channel::{Dial, Dialing, Endpoint, Keeper, Link, Trouble};
use provision_engine::helper::Helper;
use provision_protocol::{Frame, FrameReader, FromHost};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::unix::pipe;
use tokio::sync::Notify;

use crate::machine::Machine;

/// Whom a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    ToHost,
    ToController,
}

/// What becomes of a frame; several things in order.
#[derive(Debug)]
pub enum Act {
    /// It arrives.
    Pass,
    /// Another one arrives in its place.
    Instead(Frame),
    /// The controller is told this.
    Tell(FromHost),
    /// The controller gets these bytes.
    Bytes(Vec<u8>),
    /// The connection ends.
    Cut,
    /// The controller dies, and with it the connection.
    Kill,
    /// Nothing arrives any more, on either side; the connection stays open.
    Hush,
}

/// More than any test has on its way at once, in bytes.
const PIPE_BYTES: usize = 4 << 20;

/// The way to machines in this process.
pub struct Wire {
    pub machines: Vec<Arc<Machine>>,
    pub kill: Arc<Notify>,
}

impl Dial for Wire {
    fn helper(&self) -> Result<Helper, Trouble> {
        // The program is there already, so nobody asks for it.
        Ok(Helper { sha256: "00", compressed: b"not uploaded" })
    }

    fn dial<'a>(&'a self, endpoint: &'a Endpoint, _command: &'a str) -> Dialing<'a> {
        Box::pin(async move {
            let name = match endpoint {
                Endpoint::Ssh { destination, .. } => destination.host.as_str(),
                Endpoint::Local { .. } => "localhost",
            };
            let machine = self.machines.iter().find(|machine| machine.name == name);
            let Some(machine) = machine.cloned() else {
                return Err((format!("there is no machine `{name}`"), None));
            };
            machine.seen().endpoints.push(endpoint.clone());
            if machine.is_cut_off() {
                return Err(("no route to host".to_owned(), None));
            }
            let failed = |error: std::io::Error| (error.to_string(), None);
            let (to_helper, from_helper) = machine.start().map_err(failed)?;
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            let (output, input) = tokio::io::split(ours);
            tokio::spawn(relay(
                machine,
                theirs,
                pipe::Sender::from_owned_fd(to_helper).map_err(failed)?,
                pipe::Receiver::from_owned_fd(from_helper).map_err(failed)?,
                self.kill.clone(),
            ));
            let keeper = Keeper::new(tokio::io::empty(), ());
            Ok(Link { input: Box::new(input), output: Box::new(output), keeper })
        })
    }
}

struct Relay {
    machine: Arc<Machine>,
    controller: DuplexStream,
    to_helper: Option<pipe::Sender>,
    from_helper: pipe::Receiver,
    kill: Arc<Notify>,
}

/// The connection is over.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Over {
        Over
    }
}

async fn relay(
    machine: Arc<Machine>,
    controller: DuplexStream,
    to_helper: pipe::Sender,
    from_helper: pipe::Receiver,
    kill: Arc<Notify>,
) {
    let to_helper = Some(to_helper);
    let mut relay = Relay { machine, controller, to_helper, from_helper, kill };
    // Either side may be gone at any time; whoever misses something will say so.
    let _ = relay.run().await;
}

impl Relay {
    async fn run(&mut self) -> Result<(), Over> {
        self.controller.write_all(b"provision-bootstrap-1 present\n").await?;
        let (mut to_host, mut to_controller) = (FrameReader::default(), FrameReader::default());
        let (mut here, mut there) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        loop {
            let (side, count) = tokio::select! {
                count = self.controller.read(&mut here), if self.to_helper.is_some() =>
                    (Side::ToHost, count?),
                count = self.from_helper.read(&mut there) => (Side::ToController, count?),
            };
            let (reader, buffer) = match side {
                Side::ToHost => (&mut to_host, &here[..count]),
                Side::ToController => (&mut to_controller, &there[..count]),
            };
            if side == Side::ToHost {
                self.machine.seen().bytes.extend_from_slice(buffer);
            }
            match (side, count) {
                (Side::ToController, 0) => return Ok(()),
                // The helper sees the end and says its last words.
                (Side::ToHost, 0) => self.to_helper = None,
                _ => reader.push(buffer),
            }
            while let Some(frame) = reader.next_frame().map_err(|_| Over)? {
                for act in self.machine.ask_mischief(side, &frame) {
                    self.perform(act, side, &frame).await?;
                }
            }
        }
    }

    async fn perform(&mut self, act: Act, side: Side, frame: &Frame) -> Result<(), Over> {
        match act {
            Act::Pass => self.forward(side, frame).await,
            Act::Instead(other) => self.forward(side, &other).await,
            Act::Tell(message) => {
                let frame = Frame::message(&message).unwrap();
                self.forward(Side::ToController, &frame).await
            }
            Act::Bytes(bytes) => Ok(self.controller.write_all(&bytes).await?),
            Act::Cut => Err(Over),
            Act::Kill => {
                self.kill.notify_one();
                std::future::pending().await
            }
            Act::Hush => std::future::pending().await,
        }
    }

    async fn forward(&mut self, side: Side, frame: &Frame) -> Result<(), Over> {
        match side {
            Side::ToHost => {
                // A helper that has ended reads nothing more; what it said last still counts.
                if let Some(to_helper) = &mut self.to_helper {
                    let _ = to_helper.write_all(&frame.encode()).await;
                }
                Ok(())
            }
            Side::ToController => {
                if let Frame::Message(payload) = frame
                    && let Ok(message) = Frame::parse(payload)
                {
                    self.machine.seen().told.push(message);
                }
                Ok(self.controller.write_all(&frame.encode()).await?)
            }
        }
    }
}
