//! A private sshd with its own keys, on a free port, that ends with the test.

use std::fs;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use provision_ssh::{Client, ClientOptions, ConnectOptions, Destination, Session, SshError};

const SSHD: &str = "/usr/sbin/sshd";

/// Runs a program of OpenSSH and returns what it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program} cannot be run ({error}): install openssh-client and openssh-server")
    });
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes a key pair and returns the private key's path.
pub fn keygen(directory: &Path, name: &str, kind: &str, passphrase: &str) -> PathBuf {
    let path = directory.join(name);
    let text = path.to_str().unwrap();
    let mut arguments = vec!["-q", "-t", kind, "-N", passphrase, "-f", text, "-C", name];
    if kind == "rsa" {
        arguments.extend(["-b", "2048"]);
    }
    run("ssh-keygen", &arguments);
    path
}

pub fn public(path: &Path) -> String {
    fs::read_to_string(format!("{}.pub", path.display())).unwrap().trim().to_owned()
}

pub fn user_name() -> String {
    run("id", &["-un"]).trim().to_owned()
}

pub struct Sshd {
    pub directory: tempfile::TempDir,
    pub port: u16,
    pub user_key: PathBuf,
    process: Child,
}

/// What differs from the usual server.
#[derive(Default)]
pub struct Setup<'a> {
    pub host_keys: Vec<PathBuf>,
    pub lines: Vec<String>,
    pub authorized: Vec<&'a Path>,
}

impl Sshd {
    pub fn start() -> Self {
        Self::start_with(Setup::default())
    }

    pub fn start_with(setup: Setup<'_>) -> Self {
        assert!(
            Path::new(SSHD).exists(),
            "{SSHD} is missing: these tests need the Debian package openssh-server \
             (apt-get install openssh-server)"
        );
        // sshd insists on this directory when it runs as root.
        if user_name() == "root" {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let user_key = keygen(path, "user", "ed25519", "");
        let host_keys = if setup.host_keys.is_empty() {
            vec![keygen(path, "host", "ed25519", "")]
        } else {
            setup.host_keys
        };
        let mut authorized = public(&user_key) + "\n";
        for key in setup.authorized {
            authorized.push_str(&(public(key) + "\n"));
        }
        fs::write(path.join("authorized_keys"), authorized).unwrap();
        let port = free_port();
        // The first value of a keyword counts.
        let mut config = setup.lines.join("\n");
        config.push_str(&format!(
            "\nListenAddress 127.0.0.1\nPort {port}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             LogLevel VERBOSE\nMaxStartups 300\nMaxSessions 100\nAuthorizedKeysFile {}\n",
            path.join("authorized_keys").display()
        ));
        for key in &host_keys {
            config.push_str(&format!("HostKey {}\n", key.display()));
        }
        let file = path.join("sshd_config");
        fs::write(&file, config).unwrap();
        let log = fs::File::create(path.join("sshd.log")).unwrap();
        let process = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut sshd = Self { directory, port, user_key, process };
        sshd.wait_ready();
        sshd.trust(&host_keys);
        sshd
    }

    fn wait_ready(&mut self) {
        let start = Instant::now();
        loop {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                let mut banner = [0; 4];
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                if stream.read_exact(&mut banner).is_ok() && &banner == b"SSH-" {
                    return;
                }
            }
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < Duration::from_secs(30),
                "sshd did not start: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("sshd.log")).unwrap_or_default()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.path("known_hosts")
    }

    /// Writes a `known_hosts` file with these keys.
    pub fn trust(&self, keys: &[PathBuf]) {
        let mut text = String::new();
        for key in keys {
            let public = public(key);
            text.push_str(&format!("[127.0.0.1]:{} {public}\n", self.port));
        }
        fs::write(self.known_hosts(), text).unwrap();
    }

    pub fn destination(&self) -> Destination {
        Destination { host: "127.0.0.1".to_owned(), port: Some(self.port), user: Some(user_name()) }
    }

    pub fn options(&self) -> ConnectOptions {
        ConnectOptions {
            identity_files: vec![self.user_key.clone()],
            known_hosts_files: vec![self.known_hosts()],
            use_agent: Some(false),
            connect_timeout: Some(Duration::from_secs(60)),
            ..ConnectOptions::default()
        }
    }

    pub async fn connect(&self) -> Result<Session, SshError> {
        client().connect(&self.destination(), &self.options()).await
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends the server and everything that it started for its connections.
    pub fn kill(&mut self) {
        let children = Command::new("ps")
            .args(["-o", "pid=", "--ppid", &self.pid().to_string()])
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        let _ = self.process.kill();
        let _ = self.process.wait();
        for child in children.split_whitespace() {
            let _ = Command::new("kill").args(["-9", child]).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of sshd ---\n{}", self.log());
        }
        self.kill();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A client that asks nothing of this machine's own configuration.
pub fn client() -> Client {
    client_with(|_| ())
}

pub fn client_with(change: impl FnOnce(&mut ClientOptions)) -> Client {
    let mut options = ClientOptions {
        config_files: Some(Vec::new()),
        home: Some(PathBuf::from("/nonexistent")),
        ..ClientOptions::default()
    };
    change(&mut options);
    Client::new(options).unwrap()
}

/// Runs a command and returns what it printed.
pub async fn output(session: &Session, command: &str) -> String {
    let collected = session.exec(command).await.unwrap().collect(1 << 20).await.unwrap();
    assert!(collected.status.success(), "{command}: {collected:?}");
    String::from_utf8(collected.stdout).unwrap()
}

/// A TCP proxy that delays, counts and cuts.
pub struct Proxy {
    pub port: u16,
    pub connections: Arc<AtomicUsize>,
    cut: Arc<AtomicBool>,
    stalled: Arc<AtomicBool>,
    flip: Arc<AtomicUsize>,
    turns: Arc<Turns>,
}

/// Counts round trips, whatever the speed of the machine: how often one side speaks after the
/// other.
#[derive(Default)]
struct Turns {
    by_client: AtomicUsize,
    client_spoke_last: AtomicBool,
}

impl Turns {
    fn client(&self) {
        if !self.client_spoke_last.swap(true, Ordering::SeqCst) {
            self.by_client.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn server(&self) {
        self.client_spoke_last.store(false, Ordering::SeqCst);
    }
}

impl Proxy {
    pub async fn start(to: u16, delay: Duration) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self {
            port,
            connections: Arc::default(),
            cut: Arc::default(),
            stalled: Arc::default(),
            flip: Arc::new(AtomicUsize::new(usize::MAX)),
            turns: Arc::default(),
        };
        let turns = Arc::clone(&proxy.turns);
        let (cut, stalled) = (Arc::clone(&proxy.cut), Arc::clone(&proxy.stalled));
        let flip = Arc::clone(&proxy.flip);
        let connections = Arc::clone(&proxy.connections);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                // The handshake of TCP itself is not delayed by a proxy: done here by hand.
                let (cut, stalled) = (Arc::clone(&cut), Arc::clone(&stalled));
                let flip = Arc::clone(&flip);
                let turns = Arc::clone(&turns);
                tokio::spawn(async move {
                    tokio::time::sleep(delay * 2).await;
                    let address = SocketAddr::from(([127, 0, 0, 1], to));
                    let Ok(server) = tokio::net::TcpStream::connect(address).await else { return };
                    client.set_nodelay(true).unwrap();
                    server.set_nodelay(true).unwrap();
                    let (client_read, client_write) = client.into_split();
                    let (server_read, server_write) = server.into_split();
                    let never = AtomicUsize::new(usize::MAX);
                    let up =
                        relay(client_read, server_write, delay, &cut, &stalled, &never, || {
                            turns.client()
                        });
                    let down =
                        relay(server_read, client_write, delay, &cut, &stalled, &flip, || {
                            turns.server()
                        });
                    let _ = tokio::join!(up, down);
                });
            }
        });
        proxy
    }

    /// How often the client spoke first or after the server, so far.
    pub fn turns(&self) -> usize {
        self.turns.by_client.load(Ordering::SeqCst)
    }

    /// Breaks all connections.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// Changes a bit of what the server sends, that many bytes from now.
    pub fn flip(&self, after: usize) {
        self.flip.store(after, Ordering::SeqCst);
    }

    /// Swallows everything from now on, as a host that lost its power does.
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::SeqCst);
    }
}

async fn relay(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay: Duration,
    cut: &AtomicBool,
    stalled: &AtomicBool,
    flip: &AtomicUsize,
    spoke: impl Fn(),
) -> io::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let wait = tokio::time::timeout(Duration::from_millis(20), from.read(&mut buffer));
            let Ok(read) = wait.await else {
                if cut.load(Ordering::SeqCst) {
                    return;
                }
                continue;
            };
            if cut.load(Ordering::SeqCst) {
                return;
            }
            match read {
                Ok(0) | Err(_) => return,
                Ok(_) if stalled.load(Ordering::SeqCst) => {}
                Ok(length) => {
                    spoke();
                    // Changes one bit at the wanted position of the stream.
                    let left = flip.load(Ordering::SeqCst);
                    if left < length {
                        buffer[left] ^= 1;
                        flip.store(usize::MAX, Ordering::SeqCst);
                    } else if left != usize::MAX {
                        flip.store(left - length, Ordering::SeqCst);
                    }
                    let _ = sender.send((Instant::now() + delay, buffer[..length].to_vec()));
                }
            }
        }
    };
    let write = async move {
        while let Some((when, data)) = receiver.recv().await {
            tokio::time::sleep_until(when.into()).await;
            if to.write_all(&data).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
    Ok(())
}
