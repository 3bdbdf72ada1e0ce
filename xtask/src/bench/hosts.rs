//! `[io]` `cargo xtask bench hosts`: 1,000 SSH servers on 127/8 that run real helpers, some dead and some
//! slow. The servers are one process (`provision/ssh/examples/crowd.rs`), `provision` is another:
//! its memory is its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::report::Results;
use crate::build::{self, BuildArguments};
use crate::error::{Doing, Error};
use crate::lab::keys;
use crate::{step, workspace};

const PORT: u16 = 2222;
const BUILD_LIMIT: Duration = Duration::from_mins(25);
const RUN_LIMIT: Duration = Duration::from_mins(15);
const SAMPLE: Duration = Duration::from_millis(20);
/// Hosts of a third octet: .1 to .250.
const HOSTS_OF_OCTET: u16 = 250;
/// Who owns the hosts' folders and runs the helpers, if this is root: one that no machine has.
const USER: u32 = 61_234;
/// What a shell sets usually, and 1,000 connections and more need.
const OPEN_FILES: u32 = 1024;

/// Arguments of `bench hosts`.
#[derive(Debug, Clone, Args)]
pub struct HostsArguments {
    /// How many hosts
    #[arg(long, default_value_t = 1000)]
    hosts: u16,
    /// Percent that are dead: half of these refuse connections, half accept them and say nothing
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    dead: u16,
    /// Percent that are slow
    #[arg(long, value_name = "PERCENT", default_value_t = 5)]
    slow: u16,
    /// What a slow host waits before each piece of data, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 200)]
    delay: u32,
    /// Seconds that a connection may take; more where other work shares the machine
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u32,
    /// Hosts lack the helper in the first run: 6 MB of disk for each
    #[arg(long)]
    upload: bool,
    /// The `provision` to measure [default: build it]
    #[arg(long, value_name = "FILE")]
    provision: Option<PathBuf>,
    /// Don't write the results into docs
    #[arg(long)]
    dry: bool,
}

/// One run on a crowd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrowdRow {
    /// How many hosts, dead and slow ones included.
    pub hosts: u16,
    /// Of these, dead.
    pub dead: u16,
    /// Of these, slow.
    pub slow: u16,
    /// What a slow host waits before each piece of data.
    pub delay_ms: u32,
    /// How long a connection may take.
    pub timeout_s: u32,
    /// Whether hosts lacked the helper.
    pub is_upload: bool,
    /// Whether there was nothing to change.
    pub is_again: bool,
    /// Processes that wanted a processor before.
    pub load: f64,
    /// Hosts without a failure.
    pub converged: u16,
    /// Hosts that could not be reached, each with a message.
    pub unreachable: u16,
    /// From the start to the end.
    pub wall_s: f64,
    /// Processor time of the controller.
    pub controller_cpu_s: f64,
    /// Processor time of the servers and helpers.
    pub hosts_cpu_s: f64,
    /// The most memory that the controller had (VmHWM).
    pub peak_mb: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    Slow,
    Refuses,
    Silent,
}

/// Measures.
///
/// # Errors
/// Something can't be built or started, or hosts that should have converged have not.
pub fn run(arguments: &HostsArguments) -> Result<ExitCode, Error> {
    let provision = match &arguments.provision {
        Some(program) => program.clone(),
        None => build::build(BuildArguments::default())?.provision,
    };
    let provision = provision.canonicalize().doing(|| format!("find {}", provision.display()))?;
    let own = ["build", "--profile", "quick", "--package", "provision-ssh", "--example", "crowd"];
    let log = step::log("build-crowd");
    step::demand(&workspace::cargo(&own), &log, BUILD_LIMIT, "build the SSH servers")?;
    let folder = tempfile::Builder::new().prefix("corral-crowd-").tempdir_in("/var/tmp");
    let folder = folder.doing(|| "make a folder".to_owned())?;
    let crowd = Crowd::make(arguments, folder.path())?;
    let server = Server::start(&crowd.plan)?;
    let mut results = Results::read()?;
    for is_again in [false, true] {
        let row = crowd.measure(arguments, &provision, &server, is_again)?;
        println!("{}", line(&row));
        results.add_crowd(row);
    }
    drop(server);
    if !arguments.dry {
        results.write()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A row as a sentence.
fn line(row: &CrowdRow) -> String {
    format!(
        "{} hosts, {}: {} converged, {} unreachable in {:.1} s; controller {:.1} s of processor, \
         {:.0} MB; hosts {:.1} s",
        row.hosts,
        if row.is_again { "again" } else { "first" },
        row.converged,
        row.unreachable,
        row.wall_s,
        row.controller_cpu_s,
        row.peak_mb,
        row.hosts_cpu_s
    )
}

/// The process of all servers; ends with this.
struct Server(Child);

impl Server {
    fn start(plan: &Path) -> Result<Self, Error> {
        let program = workspace::target().join("quick/examples/crowd");
        let action = || "start the SSH servers".to_owned();
        let mut child = Command::new(program)
            .arg(plan)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .doing(action)?;
        let output = child.stdout.take();
        let server = Self(child);
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line).doing(action)?;
        }
        match line.trim() {
            "ready" => Ok(server),
            _ => Err(Error::refused(action(), "they did not say that they are ready")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Crowd {
    folder: PathBuf,
    plan: PathBuf,
    hosts: Vec<(String, Kind)>,
}

impl Crowd {
    fn make(arguments: &HostsArguments, folder: &Path) -> Result<Self, Error> {
        let key = |name: &str| -> Result<(PathBuf, String), Error> {
            let path = folder.join(name);
            keys::generate(&path, "corral-crowd")?;
            let public = path.with_extension("pub");
            let text =
                fs::read_to_string(&public).doing(|| format!("read {}", public.display()))?;
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            Ok((path, words.join(" ")))
        };
        let ((host_key, host_public), (login_key, login_public)) = (key("host")?, key("login")?);
        let user = user().map_or_else(String::new, |user| user.to_string());
        let mut plan = format!("{}\n{login_public}\n{user}\n", host_key.display());
        // The login key stays root's; the folder is passed through by helpers.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711))
            .doing(|| format!("open {}", folder.display()))?;
        make_private(&folder.join("hosts"))?;
        let (mut inventory, mut known) = (String::new(), String::new());
        let mut hosts = Vec::new();
        for index in 0..arguments.hosts {
            let name = format!("h{index:04}");
            let address =
                format!("127.10.{}.{}", index / HOSTS_OF_OCTET, index % HOSTS_OF_OCTET + 1);
            let kind = kind(index, arguments.dead, arguments.slow);
            let home = folder.join("hosts").join(&name);
            make_private(&home)?;
            let word = match kind {
                Kind::Good => Some("good".to_owned()),
                Kind::Slow => Some(format!("slow={}", arguments.delay)),
                Kind::Silent => Some("silent".to_owned()),
                Kind::Refuses => None,
            };
            // Writing to a String can't fail.
            if let Some(word) = word {
                let _ = writeln!(plan, "{address}:{PORT} {word} {}", home.display());
            }
            let _ = writeln!(inventory, "{name} ansible_host={address}");
            let _ = writeln!(known, "[{address}]:{PORT} {host_public}");
            hosts.push((name, kind));
        }
        let known_hosts = folder.join("known_hosts");
        let _ = write!(
            inventory,
            "\n[all:vars]\nansible_port={PORT}\nansible_user=crowd\nplace={}\n\
             ansible_ssh_private_key_file={}\n\
             ansible_ssh_common_args='-o UserKnownHostsFile={} -o IdentitiesOnly=yes'\n",
            folder.join("hosts").display(),
            login_key.display(),
            known_hosts.display()
        );
        let crowd = Self { folder: folder.to_owned(), plan: folder.join("plan"), hosts };
        let files = [(&crowd.plan, plan), (&crowd.inventory(), inventory), (&known_hosts, known)];
        for (path, text) in files {
            fs::write(path, text).doing(|| format!("write {}", path.display()))?;
        }
        if !arguments.upload {
            crowd.install()?;
        }
        Ok(crowd)
    }

    fn inventory(&self) -> PathBuf {
        self.folder.join("hosts.ini")
    }

    /// Puts the helper where hosts have it after their first run: one file, many names.
    fn install(&self) -> Result<(), Error> {
        let image = workspace::helper_image();
        let digest = image.join("provision-target.sha256");
        let digest = fs::read_to_string(&digest).doing(|| format!("read {}", digest.display()))?;
        let digest = digest.trim();
        let one = self.folder.join(digest);
        let built =
            workspace::target().join("helper/x86_64-unknown-linux-gnu/helper/provision-target");
        fs::copy(&built, &one).doing(|| format!("copy {}", built.display()))?;
        give(&one)?;
        for (name, _) in &self.hosts {
            let cache = self.folder.join("hosts").join(name).join(".cache");
            let folder = cache.join("provision");
            make_private(&cache)?;
            make_private(&folder)?;
            fs::hard_link(&one, folder.join(digest)).doing(|| "link the helper".to_owned())?;
        }
        Ok(())
    }

    fn measure(
        &self,
        arguments: &HostsArguments,
        provision: &Path,
        server: &Server,
        is_again: bool,
    ) -> Result<CrowdRow, Error> {
        let events = self.folder.join("events");
        let log = step::log(&format!("bench-hosts-{is_again}"));
        let mut command = Command::new("/bin/sh");
        command
            // What an operator's shell has, whatever this one has.
            .args(["-c", &format!("ulimit -Sn {OPEN_FILES}; exec \"$@\""), "sh"])
            .arg(provision)
            .args(["apply", "hosts.yml", "--output", "ndjson"])
            .args(["--timeout", &arguments.timeout.to_string(), "-i"])
            .arg(self.inventory())
            .current_dir(workspace::root().join("xtask/bench"))
            .env("HOME", &self.folder)
            .stdin(Stdio::null());
        let load = super::load();
        let server_before = processor_s(server.0.id(), true);
        let begun = Instant::now();
        let (out, err) = (step::create(&events)?, step::create(&log)?);
        let mut child = step::start_with(&mut command, out.into(), err.into())?;
        let (mut peak_mb, mut controller_cpu_s) = (0.0, 0.0);
        while child.try_wait().doing(|| "look at provision".to_owned())?.is_none()
            && begun.elapsed() < RUN_LIMIT
        {
            peak_mb = peak_megabytes(child.id()).max(peak_mb);
            controller_cpu_s = processor_s(child.id(), false).max(controller_cpu_s);
            std::thread::sleep(SAMPLE);
        }
        let wall_s = begun.elapsed().as_secs_f64();
        let ended = step::wait(&mut child, Duration::ZERO)?;
        let text = fs::read_to_string(&events).doing(|| format!("read {}", events.display()))?;
        let (converged, unreachable) = self.judge(&text, is_again).map_err(|error| {
            let tail = step::tail(&log, 20);
            error.with_hint(format!("provision {}; it said\n{tail}", ended.words()))
        })?;
        let count = |wanted: &[Kind]| {
            let found = self.hosts.iter().filter(|(_, kind)| wanted.contains(kind)).count();
            u16::try_from(found).unwrap_or(u16::MAX)
        };
        Ok(CrowdRow {
            hosts: arguments.hosts,
            dead: count(&[Kind::Refuses, Kind::Silent]),
            slow: count(&[Kind::Slow]),
            delay_ms: arguments.delay,
            timeout_s: arguments.timeout,
            is_upload: arguments.upload && !is_again,
            is_again,
            load,
            converged,
            unreachable,
            wall_s,
            controller_cpu_s,
            hosts_cpu_s: processor_s(server.0.id(), true) - server_before,
            peak_mb,
        })
    }

    /// Counts hosts that converged and dead ones with a message; anything else is an error.
    fn judge(&self, events: &str, is_again: bool) -> Result<(u16, u16), Error> {
        let text = |event: &Value, key: &str| {
            event.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        // Most lines are results, of no interest here.
        let wanted = |line: &&str| {
            line.starts_with(r#"{"event":"host_unreachable""#)
                || line.starts_with(r#"{"event":"run_finished""#)
        };
        let (mut messages, mut recap) = (BTreeMap::new(), BTreeMap::new());
        for event in events.lines().filter(wanted) {
            let Ok(event) = serde_json::from_str::<Value>(event) else { continue };
            if text(&event, "event") == "host_unreachable" {
                messages.insert(text(&event, "host"), text(&event, "message"));
            }
            for row in event.get("recap").and_then(Value::as_array).into_iter().flatten() {
                recap.insert(text(row, "host"), row.clone());
            }
        }
        let mut counts = (0, 0);
        let mut wrong = Vec::new();
        for (name, kind) in &self.hosts {
            let row = recap.get(name);
            let count =
                |what: &str| row.and_then(|row| row.get(what)?.as_u64()).unwrap_or_default();
            let message = messages.get(name).cloned().unwrap_or_default();
            let is_dead = matches!(kind, Kind::Refuses | Kind::Silent);
            let is_done = count("ok") > 0 && count("failed") + count("unreachable") == 0;
            let is_quiet = !is_again || count("changed") == 0;
            match (is_dead, is_done && is_quiet) {
                (false, true) => counts.0 += 1,
                (true, _) if message.contains("127.10.") => counts.1 += 1,
                _ => wrong.push(format!("{name} ({kind:?}): {row:?} {message}")),
            }
        }
        if wrong.is_empty() {
            return Ok(counts);
        }
        let shown: Vec<&str> = wrong.iter().take(10).map(String::as_str).collect();
        let reason =
            format!("{} hosts are not as they should be:\n{}", wrong.len(), shown.join("\n"));
        Err(Error::refused("deploy on many hosts", reason))
    }
}

/// Kinds are spread over the whole list.
fn kind(index: u16, dead: u16, slow: u16) -> Kind {
    match index % 100 {
        percent if percent < dead && percent % 2 == 0 => Kind::Refuses,
        percent if percent < dead => Kind::Silent,
        percent if percent < dead + slow => Kind::Slow,
        _ => Kind::Good,
    }
}

/// Makes a folder of the hosts' user.
fn make_private(folder: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().mode(0o700).create(folder);
    made.doing(|| format!("make {}", folder.display()))?;
    give(folder)
}

fn give(path: &Path) -> Result<(), Error> {
    let Some(user) = user() else { return Ok(()) };
    chown(path, Some(user), Some(user)).doing(|| format!("give away {}", path.display()))
}

fn user() -> Option<u32> {
    nix::unistd::geteuid().is_root().then_some(USER)
}

/// The most memory that a process had, in 10^6 bytes.
fn peak_megabytes(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or_default() * 1024.0 / 1e6
}

/// Processor time of a process, also of its children that it has waited for.
fn processor_s(process: u32, with_children: bool) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind the name, which may contain anything: fields 14 to 17 are utime, stime, cutime, cstime.
    let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ').skip(11);
    let ticks = fields.take(if with_children { 4 } else { 2 });
    let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / TICKS_OF_SECOND
}

/// USER_HZ, the same on all of Linux that we run on.
const TICKS_OF_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_spread_as_wished() {
        let count = |wanted: Kind| (0..1000).filter(|index| kind(*index, 10, 5) == wanted).count();
        assert_eq!(count(Kind::Refuses), 50);
        assert_eq!(count(Kind::Silent), 50);
        assert_eq!(count(Kind::Slow), 50);
        assert_eq!(count(Kind::Good), 850);
    }

    #[test]
    fn hosts_are_judged_by_what_was_told() {
        let hosts = vec![("h0000".to_owned(), Kind::Refuses), ("h0001".to_owned(), Kind::Good)];
        let crowd = Crowd { folder: PathBuf::new(), plan: PathBuf::new(), hosts };
        let told =
            "{\"event\":\"host_unreachable\",\"host\":\"h0000\",\"message\":\"127.10.0.1: no\"}\n";
        let end = "{\"event\":\"run_finished\",\"recap\":[{\"host\":\"h0001\",\"ok\":3,\"changed\":1}]}\n";
        assert_eq!(crowd.judge(&format!("{told}{end}"), false).unwrap(), (1, 1));
        assert!(crowd.judge(&format!("{told}{end}"), true).is_err(), "something was changed");
        assert!(crowd.judge(end, false).is_err(), "nothing tells of the dead host");
    }

    #[test]
    fn this_process_has_used_something() {
        assert!(peak_megabytes(std::process::id()) > 1.0);
        assert!(processor_s(std::process::id(), true) >= 0.0);
    }
}
