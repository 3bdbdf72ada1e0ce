//! Many SSH servers on 127/8, for `cargo xtask bench hosts`: `crowd PLAN`.
//!
//! The plan is a text. Its first line is the path of the host key, the second one the public key of who
//! may log in, the third one the number of the user and group that sessions run as, if root starts
//! this: what helpers of root keep would be one place for all hosts. Then a host a line:
//! `ADDRESS:PORT KIND FOLDER`. KIND is `good`, `silent` (accepts connections and never says a word) or
//! `slow=MS` (waits so long before the handshake and before each piece of data in both directions);
//! hosts that refuse aren't in the plan. FOLDER is the home of what a session runs. Prints `ready` when
//! all listen, and ends when its input ends.

use std::error::Error;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, Session, VerifiedPublicKey, run_stream,
};
use russh::{Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::Command;

type Failure = Box<dyn Error + Send + Sync>;

/// All connections of a host may come at once.
const BACKLOG: u32 = 64;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Good,
    Silent,
    Slow(Duration),
}

#[derive(Debug, Clone)]
struct Host {
    address: SocketAddr,
    kind: Kind,
    folder: PathBuf,
    user: Option<u32>,
}

struct Plan {
    key: PrivateKey,
    allowed: PublicKey,
    hosts: Vec<Host>,
}

fn read(path: &str) -> Result<Plan, Failure> {
    let text = std::fs::read_to_string(path)?;
    let mut lines = text.lines();
    let key = PrivateKey::read_openssh_file(Path::new(lines.next().unwrap_or_default()))?;
    let allowed = PublicKey::from_openssh(lines.next().unwrap_or_default())?;
    let user = lines.next().filter(|user| !user.is_empty()).map(str::parse).transpose()?;
    let mut hosts = Vec::new();
    for line in lines {
        let mut words = line.split(' ');
        let mut word = || words.next().ok_or_else(|| format!("`{line}` lacks a word"));
        let (address, kind, folder) = (word()?.parse()?, word()?, PathBuf::from(word()?));
        let kind = match kind.split_once('=') {
            Some(("slow", delay)) => Kind::Slow(Duration::from_millis(delay.parse()?)),
            None if kind == "good" => Kind::Good,
            None if kind == "silent" => Kind::Silent,
            _ => return Err(format!("`{kind}` is no kind of host").into()),
        };
        hosts.push(Host { address, kind, folder, user });
    }
    Ok(Plan { key, allowed, hosts })
}

fn main() -> Result<(), Failure> {
    let path = std::env::args().nth(1).ok_or("crowd PLAN")?;
    let plan = read(&path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(plan))?;
    // What still runs belongs to nobody any more.
    runtime.shutdown_background();
    Ok(())
}

async fn serve(plan: Plan) -> Result<(), Failure> {
    let config = Arc::new(Config {
        keys: vec![plan.key],
        auth_rejection_time: Duration::ZERO,
        nodelay: true,
        ..Config::default()
    });
    let allowed = Arc::new(plan.allowed);
    for host in plan.hosts {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(host.address)?;
        let listener = socket.listen(BACKLOG)?;
        tokio::spawn(accept(listener, Arc::new(host), Arc::clone(&config), Arc::clone(&allowed)));
    }
    println!("ready");
    // Whoever started this holds the other end.
    let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    end.await??;
    Ok(())
}

async fn accept(
    listener: TcpListener,
    host: Arc<Host>,
    config: Arc<Config>,
    allowed: Arc<PublicKey>,
) {
    let mut kept = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        if matches!(host.kind, Kind::Silent) {
            kept.push(stream);
            continue;
        }
        let (host, config, allowed) = (host.clone(), config.clone(), allowed.clone());
        tokio::spawn(async move {
            pause(host.kind).await;
            let door = Door { host, allowed, channel: None };
            if let Ok(session) = run_stream(config, stream, door).await {
                // The client's end is no error.
                let _ = session.await;
            }
        });
    }
}

async fn pause(kind: Kind) {
    if let Kind::Slow(delay) = kind {
        tokio::time::sleep(delay).await;
    }
}

/// One connection.
struct Door {
    host: Arc<Host>,
    allowed: Arc<PublicKey>,
    channel: Option<Channel<Msg>>,
}

impl Handler for Door {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        let is_allowed = key.public_key.key_data() == self.allowed.key_data();
        Ok(if is_allowed { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channel = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(channel) = self.channel.take() else { return session.channel_failure(id) };
        session.channel_success(id)?;
        let command = String::from_utf8_lossy(command).into_owned();
        let host = Arc::clone(&self.host);
        tokio::spawn(async move {
            let (reader, writer) = channel.split();
            // 127: as a shell says that it couldn't start something.
            let status = run(&host, &command, reader, &writer).await.unwrap_or(127);
            // The client may be gone.
            let _ = writer.exit_status(status).await;
            let _ = writer.eof().await;
            let _ = writer.close().await;
        });
        Ok(())
    }
}

/// Runs a command line in the host's folder, its streams being the channel's.
async fn run(
    host: &Host,
    command: &str,
    mut reader: ChannelReadHalf,
    writer: &ChannelWriteHalf<Msg>,
) -> std::io::Result<u32> {
    let mut shell = Command::new("/bin/sh");
    if let Some(user) = host.user {
        shell.uid(user).gid(user);
    }
    let mut child = shell
        .args(["-c", command])
        .env("HOME", &host.folder)
        .current_dir(&host.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let kind = host.kind;
    let feed = tokio::spawn(async move {
        let Some(mut stdin) = stdin else { return };
        while let Some(message) = reader.wait().await {
            match message {
                ChannelMsg::Data { data } => {
                    pause(kind).await;
                    if stdin.write_all(&data).await.is_err() {
                        return;
                    }
                }
                ChannelMsg::Eof | ChannelMsg::Close => return,
                _ => {}
            }
        }
    });
    let outputs = (
        copy(stdout, writer.make_writer(), kind),
        copy(stderr, writer.make_writer_ext(Some(1)), kind),
    );
    tokio::join!(outputs.0, outputs.1);
    let status = child.wait().await?;
    feed.abort();
    Ok(status.code().and_then(|code| u32::try_from(code).ok()).unwrap_or(255))
}

/// Passes on what comes, a piece at a time.
async fn copy(from: Option<impl AsyncRead + Unpin>, to: impl AsyncWrite, kind: Kind) {
    let Some(mut from) = from else { return };
    let mut to = std::pin::pin!(to);
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer).await {
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { return };
        pause(kind).await;
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}
