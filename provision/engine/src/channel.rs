//! The way to a helper: over SSH, or a process on this machine. Uploads the helper if need be.

use std::any::Any;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;

use provision_protocol::FrameReader;
use provision_protocol::bootstrap::{self, Answer, Installation, Packing, Role};
use provision_ssh::{
    Client, ClientOptions, ConnectOptions, Destination, ErrorKind, Secret, SshError,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::Command;

use crate::helper::{self, Helper};
use crate::openssh::OpenSsh;

/// How to reach a host.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// Over SSH.
    Ssh {
        /// Where.
        destination: Destination,
        /// How.
        options: Box<ConnectOptions>,
        /// For sudo.
        become_password: Option<Secret>,
        /// The system's ssh, if that is to connect.
        program: Option<OpenSsh>,
    },
    /// A process on this machine.
    Local {
        /// For sudo.
        become_password: Option<Secret>,
    },
}

impl Endpoint {
    /// The password for sudo, if there is one.
    #[must_use]
    pub fn become_password(&self) -> Option<String> {
        match self {
            Endpoint::Ssh { become_password, .. } | Endpoint::Local { become_password } => {
                become_password.as_ref().map(|secret| secret.expose().to_owned())
            }
        }
    }
}

/// An open channel to a helper that was greeted.
pub struct Channel {
    /// To the helper.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// From the helper.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// Holds what was read beyond the start.
    pub reader: FrameReader,
    /// Keeps the connection.
    pub keeper: Keeper,
    /// Bytes of the helper that were sent; 0 if it was there.
    pub uploaded_bytes: u64,
}

/// Keeps a connection open and collects what the other side says on its error stream.
pub struct Keeper {
    errors: tokio::task::JoinHandle<String>,
    _connection: Box<dyn Any + Send>,
}

/// Bytes of a helper's error stream that are kept for messages.
const ERROR_TEXT_BYTES: u64 = 4 << 10;

impl Keeper {
    /// Collects `errors`; the connection ends when this is dropped, and `connection` with it.
    pub fn new(
        errors: impl AsyncRead + Send + Unpin + 'static,
        connection: impl Any + Send,
    ) -> Self {
        Keeper { errors: collect(errors), _connection: Box::new(connection) }
    }

    /// What the helper or the host's shell said last, as a suffix for a message.
    pub async fn last_words(&mut self) -> String {
        let wait = std::time::Duration::from_millis(300);
        match tokio::time::timeout(wait, &mut self.errors).await {
            Ok(Ok(text)) if !text.trim().is_empty() => format!(": {}", text.trim()),
            _ => String::new(),
        }
    }
}

fn collect(errors: impl AsyncRead + Send + Unpin + 'static) -> tokio::task::JoinHandle<String> {
    tokio::spawn(async move {
        let mut text = Vec::new();
        let mut errors = errors.take(ERROR_TEXT_BYTES);
        // An error here only shortens a message.
        let _ = errors.read_to_end(&mut text).await;
        let mut rest = errors.into_inner();
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// What went wrong, and what to do about it.
pub type Trouble = (String, Option<String>);

/// Both directions of a connection to the shell of a host.
pub struct Link {
    /// To the host.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// From the host.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// Keeps the connection.
    pub keeper: Keeper,
}

/// A [`Link`] that is on its way.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = Result<Link, Trouble>> + Send + 'a>>;

/// Starts a command line at an endpoint. What is behind it speaks as
/// [`provision_protocol::bootstrap`] says.
pub trait Dial: Send + Sync {
    /// The program that is uploaded to hosts that lack it.
    ///
    /// # Errors
    /// When there is none.
    fn helper(&self) -> Result<Helper, Trouble>;

    /// Connects and starts the command line.
    fn dial<'a>(&'a self, endpoint: &'a Endpoint, command: &'a str) -> Dialing<'a>;
}

/// The real way: SSH, or a shell on this machine.
pub struct Network {
    client: Client,
}

impl Network {
    /// With an SSH client of these options.
    ///
    /// # Errors
    /// When the SSH client can't be set up.
    pub fn new(options: ClientOptions) -> Result<Self, String> {
        let client = Client::new(options).map_err(|error| error.to_string())?;
        Ok(Network { client })
    }
}

impl Dial for Network {
    fn helper(&self) -> Result<Helper, Trouble> {
        helper::embedded().copied().ok_or_else(|| {
            (
                "this `provision` was built without its helper".to_owned(),
                Some("build it with `cargo xtask build`".to_owned()),
            )
        })
    }

    fn dial<'a>(&'a self, endpoint: &'a Endpoint, command: &'a str) -> Dialing<'a> {
        Box::pin(async move {
            match endpoint {
                Endpoint::Ssh { destination, program: Some(program), .. } => {
                    program.start(&destination.host, command)
                }
                Endpoint::Ssh { destination, options, .. } => {
                    let failed = |error| explain(&error);
                    let session =
                        self.client.connect(destination, options).await.map_err(failed)?;
                    let process = session.exec(command).await.map_err(failed)?;
                    let keeper = Keeper::new(process.stderr, (session, process.exit));
                    let (input, output) = (Box::new(process.stdin), Box::new(process.stdout));
                    Ok(Link { input, output, keeper })
                }
                Endpoint::Local { .. } => local(command),
            }
        })
    }
}

fn explain(error: &SshError) -> Trouble {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    let text = match error.kind() {
        ErrorKind::Unreachable | ErrorKind::Lost => text,
        ErrorKind::HostKey => format!("host key: {text}"),
        ErrorKind::Authentication => format!("login: {text}"),
        ErrorKind::Configuration => format!("ssh configuration: {text}"),
    };
    let hint = error.hint();
    (text, (!hint.is_empty()).then_some(hint))
}

/// Opens a channel and greets the helper.
///
/// # Errors
/// What went wrong and what to do about it.
pub async fn open(
    dial: &dyn Dial,
    endpoint: &Endpoint,
    hello: Vec<u8>,
) -> Result<Channel, Trouble> {
    let helper = dial.helper()?;
    let installation = Installation {
        sha256: helper.sha256.to_owned(),
        packed_bytes: helper.compressed.len() as u64,
        packing: Packing::Gzip,
        early_bytes: hello.len() as u64,
        role: Role::Serve,
    };
    let Endpoint::Ssh { destination, program: Some(program), .. } = endpoint else {
        let link = dial.dial(endpoint, &installation.command()).await?;
        return greet(link, helper, hello).await;
    };
    let _turn = program.turn().await;
    let link = dial.dial(endpoint, &installation.command()).await?;
    greet(link, helper, hello).await.map_err(|(message, hint)| {
        (message, hint.or_else(|| Some(program.hint(&destination.host))))
    })
}

fn local(command: &str) -> Result<Link, Trouble> {
    let failed = |error: std::io::Error| (format!("failed to start /bin/sh: {error}"), None);
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(false)
        .spawn()
        .map_err(failed)?;
    let missing = || ("failed to start /bin/sh: no pipes".to_owned(), None);
    let input = child.stdin.take().ok_or_else(missing)?;
    let output = child.stdout.take().ok_or_else(missing)?;
    let errors = child.stderr.take().ok_or_else(missing)?;
    let keeper = Keeper::new(errors, child);
    Ok(Link { input: Box::new(input), output: Box::new(output), keeper })
}

/// Sends the greeting; uploads the helper when the host asks for it.
async fn greet(link: Link, helper: Helper, hello: Vec<u8>) -> Result<Channel, Trouble> {
    let Link { mut input, mut output, mut keeper } = link;
    let broken = |error: std::io::Error| (format!("the connection broke: {error}"), None);
    input.write_all(&hello).await.map_err(broken)?;
    input.flush().await.map_err(broken)?;
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    let mut uploaded_bytes = 0;
    loop {
        match bootstrap::answer(&seen) {
            Answer::Incomplete => {}
            Answer::Present { length } => {
                let mut reader = FrameReader::default();
                reader.push(seen.get(length..).unwrap_or_default());
                return Ok(Channel { input, output, reader, keeper, uploaded_bytes });
            }
            Answer::Absent { length } => {
                seen.drain(..length.min(seen.len()));
                uploaded_bytes = helper.compressed.len() as u64;
                input.write_all(helper.compressed).await.map_err(broken)?;
                input.write_all(&hello).await.map_err(broken)?;
                input.flush().await.map_err(broken)?;
                continue;
            }
            Answer::Noise => {
                return Err((
                    "the host's shell prints too much before it runs a command".to_owned(),
                    Some("look at the login scripts of the user".to_owned()),
                ));
            }
        }
        let count = output.read(&mut buffer).await.map_err(broken)?;
        if count == 0 {
            let said = keeper.last_words().await;
            return Err((format!("the helper could not be started{said}"), None));
        }
        seen.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
}

/// Where this machine keeps things between runs.
#[must_use]
pub fn state_folder() -> PathBuf {
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    base.unwrap_or_else(|| PathBuf::from("/var/tmp")).join("provision")
}
