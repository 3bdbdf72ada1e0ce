//! `[io]` Artifacts on their way to the hosts: from upstream into the lock, from the cache over SSH or
//! from a mirror, and everything that could have been changed on the way.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tar::EntryType;

use super::stage::{Run, Stage};
use crate::error::{Doing, Error};
use crate::lab::artifacts::Artifact;
use crate::lab::directories::Cache;
use crate::lab::{self, mirror};
use crate::workspace;

const COMPONENT: &str = "zookeeper";
const VERSION: &str = "3.9.3";
/// Plays the role that installs releases, and nothing else.
const PLAYBOOK: &str = "\
- hosts: all
  become: true
  gather_facts: false
  roles:
    - role: release
      release_component: \"{{ component | default('zookeeper') }}\"
";
const RELEASE: &str = "/opt/zookeeper/releases/3.9.3";
const FORGET: &str = "rm -rf /opt/zookeeper /opt/tool; true";
/// What is in a folder, hidden or not; nothing if there is no folder.
const LIST: &str = "ls -A /opt/zookeeper/releases 2>/dev/null || true";

/// An inventory of its own that nobody has written a lock for, and a cache.
struct Site<'a> {
    stage: &'a Stage,
    folder: PathBuf,
    inventory: PathBuf,
    cache: PathBuf,
}

pub(super) fn run(stage: &Stage) -> Result<(), Error> {
    let known = lab::artifacts::ensure(&Cache::of_environment())?;
    let find = |version: &str| {
        let is = |one: &&Artifact| one.component == COMPONENT && one.version == version;
        let found = known.iter().find(is);
        found.ok_or_else(|| Error::refused(format!("find {COMPONENT} {version}"), "there is none"))
    };
    let (artifact, older) = (find(VERSION)?, find("3.8.0")?);
    let site = Site::new(stage)?;
    add(&site, artifact)?;
    over_ssh(&site, artifact)?;
    from_a_mirror(&site, artifact, older)?;
    bad_archives(&site)?;
    left_halves(&site)
}

impl<'a> Site<'a> {
    fn new(stage: &'a Stage) -> Result<Self, Error> {
        let folder = stage.folder.join("site");
        let inventory = folder.join("inventory");
        let site = Site { stage, cache: folder.join("cache"), folder, inventory };
        let lab = stage.lab.directory().inventory();
        let read = |name: &str| {
            let path = lab.join(name);
            fs::read_to_string(&path).doing(|| format!("read {}", path.display()))
        };
        // How to reach the hosts, without the lab's own lock.
        let ways = read("group_vars/all/lab.generated.yml")?;
        let ways = ways.split("artifacts:").next().unwrap_or_default().to_owned();
        site.write("inventory/hosts", &read("hosts")?)?;
        site.write("inventory/group_vars/all/ways.yml", &ways)?;
        let wanted = format!("releases: {{{COMPONENT}: \"{VERSION}\"}}\n");
        site.write("inventory/group_vars/all/releases.yml", &wanted)?;
        site.write("release.yml", PLAYBOOK)?;
        site.on_hosts(FORGET)?;
        Ok(site)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.folder.join(name);
        let above = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(above).doing(|| format!("create {}", above.display()))?;
        fs::write(&path, text).doing(|| format!("write {}", path.display()))
    }

    fn on_hosts(&self, script: &str) -> Result<(), Error> {
        for host in self.stage.lab.hosts() {
            self.stage.ask(host, script)?;
        }
        Ok(())
    }

    /// `provision artifacts`.
    fn artifacts(&self, words: &[&str]) -> Result<Run, Error> {
        let mut command = Command::new(&self.stage.provision);
        command.arg("artifacts").args(words).arg("--cache").arg(&self.cache);
        command.arg("-i").arg(&self.inventory);
        self.stage.settle(&mut command);
        self.stage.run(command)
    }

    /// Installs the release on all hosts.
    fn apply(&self, words: &[&str]) -> Result<Run, Error> {
        let mut command = Command::new(&self.stage.provision);
        command.arg("apply").arg(self.folder.join("release.yml")).arg("-i").arg(&self.inventory);
        command.arg("--roles-path").arg(workspace::root().join("playbooks/roles"));
        command.args(["--output", "ndjson", "-e"]);
        command.arg(format!("artifact_cache={}", self.cache.display())).args(words);
        self.stage.settle(&mut command);
        self.stage.run(command)
    }

    /// A refusal with these words; no host has the release, and nothing of it is switched to.
    fn expect_refused(&self, words: &[&str], said: &[&str]) -> Result<(), Error> {
        let run = self.apply(words)?.expect_exit(&[10])?;
        run.expect_text(said)?;
        self.stage.expect_everywhere("ls -d /opt/*/releases/[!.]* 2>/dev/null || true", "")
    }

    fn cached(&self, sha256: &str) -> PathBuf {
        self.cache.join("sha256").join(sha256)
    }
}

const OVER_SSH: [&str; 2] = ["-e", "artifact_source=controller"];

/// From the lab's mirror, which is upstream here, into a lock that didn't exist.
fn add(site: &Site<'_>, artifact: &Artifact) -> Result<(), Error> {
    let Artifact { file, sha256, root, .. } = artifact;
    let url = format!("{}/artifacts/{file}", mirror::url(site.stage.lab.record().subnet));
    let words = ["add", COMPONENT, VERSION, &url];
    site.artifacts(&words)?.expect_exit(&[6])?.expect_text(&["nothing else proves it"])?;
    let wrong = "0".repeat(64);
    let run = site.artifacts(&[&words[..], &["--sha256", &wrong]].concat())?.expect_exit(&[7])?;
    run.expect_text(&["is not what upstream published"])?;
    let run = site.artifacts(&[&words[..], &["--sha256", sha256]].concat())?.expect_exit(&[0])?;
    run.expect_text(&[&format!("folder `{root}`"), "artifacts.yml:"])?;
    let other = site.artifacts(&["add", COMPONENT, "3.9.9", &url, "--sha256", sha256])?;
    other.expect_exit(&[6])?.expect_text(&["is the archive of zookeeper 3.9.3"])
}

/// From the cache of the controller: the hosts reach no mirror, since the address leads nowhere.
fn over_ssh(site: &Site<'_>, artifact: &Artifact) -> Result<(), Error> {
    let sha256 = artifact.sha256.as_str();
    let cached = site.cached(sha256);
    remove(&cached)?;
    let said = ["is missing", "provision artifacts fetch"];
    site.expect_refused(&OVER_SSH, &said)?;
    site.artifacts(&["fetch"])?.expect_exit(&[0])?.expect_text(&["fetched"])?;
    flip(&cached, 1 << 20)?;
    site.artifacts(&["verify"])?.expect_exit(&[7])?.expect_text(&["is damaged"])?;
    site.expect_refused(&OVER_SSH, &["no genuine archive"])?;
    // Before any host was touched: not even the folder is there.
    site.stage.expect_everywhere("ls -d /opt/zookeeper 2>/dev/null || true", "")?;
    site.artifacts(&["fetch"])?.expect_exit(&[0])?.expect_text(&["damaged", "fetched"])?;
    let lock = site.inventory.join("group_vars/all/artifacts.yml");
    let text = fs::read_to_string(&lock).doing(|| "read the lock".to_owned())?;
    let url = text.lines().find(|line| line.trim_start().starts_with("url:")).unwrap_or_default();
    // 192.0.2.0/24 is nobody's (RFC 5737).
    fs::write(&lock, text.replace(url, "      url: \"http://192.0.2.1/x\""))
        .doing(|| "write the lock".to_owned())?;
    let run = site.apply(&OVER_SSH)?.expect_exit(&[0])?;
    println!(
        "     over SSH to {} hosts: {:.1} s",
        site.stage.lab.hosts().len(),
        run.elapsed.as_secs_f64()
    );
    site.stage.expect_everywhere(&format!("cat {RELEASE}/.release"), sha256)?;
    site.stage.expect_everywhere(LIST, VERSION)?;
    // What is installed needs no cache.
    remove(&cached)?;
    site.apply(&OVER_SSH)?.expect_exit(&[0])?.expect_count(&site.stage.lab, "changed", 0)?;
    fs::write(&lock, &text).doing(|| "write the lock".to_owned())?;
    site.artifacts(&["fetch"])?.expect_exit(&[0]).map(drop)
}

/// From a folder that a web server serves.
fn from_a_mirror(site: &Site<'_>, artifact: &Artifact, older: &Artifact) -> Result<(), Error> {
    let folder = site.folder.join("www");
    let write = || {
        let words = ["mirror", &folder.display().to_string()];
        site.artifacts(&words)?.expect_exit(&[0])
    };
    write()?;
    let served = folder.join("sha256").join(&artifact.sha256);
    let url = serve(&folder, site.stage)?;
    let setting = format!("artifact_mirror={url}/");
    let from_mirror = ["-e", setting.as_str()];
    site.on_hosts(FORGET)?;
    let genuine = fs::read(&served).doing(|| "read the mirror".to_owned())?;
    let older = Cache::of_environment().artifacts().join(&older.file);
    let older = fs::read(&older).doing(|| "read an older archive".to_owned())?;
    for change in ["flip", "cut", "older"] {
        let mut bytes = genuine.clone();
        match change {
            "flip" => {
                if let Some(byte) = bytes.get_mut(genuine.len() / 3) {
                    *byte ^= 1;
                }
            }
            "cut" => bytes.truncate(genuine.len() / 2),
            _ => bytes.clone_from(&older),
        }
        // Not through the link: the cache's file stays as it is.
        remove(&served)?;
        fs::write(&served, bytes).doing(|| "change the mirror".to_owned())?;
        let run = site.artifacts(&["verify", "--mirror", &url])?.expect_exit(&[7])?;
        run.expect_text(&["on the mirror"])?;
        site.expect_refused(&from_mirror, &["checksum", "did not match"])?;
    }
    write()?;
    site.artifacts(&["verify", "--mirror", &url])?.expect_exit(&[0])?;
    site.apply(&from_mirror)?.expect_exit(&[0])?;
    site.stage.expect_everywhere(&format!("cat {RELEASE}/.release"), &artifact.sha256)?;
    site.apply(&from_mirror)?.expect_exit(&[0])?.expect_count(&site.stage.lab, "changed", 0)
}

/// Archives whose digest is right and whose content isn't: somebody wrote the lock by hand.
fn bad_archives(site: &Site<'_>) -> Result<(), Error> {
    site.on_hosts(FORGET)?;
    site.write("inventory/group_vars/all/releases.yml", "releases: {tool: \"1.0\"}\n")?;
    let file = EntryType::Regular;
    type Entries<'a> = &'a [(&'a str, EntryType, &'a str)];
    let table: &[(Entries<'_>, &str)] = &[
        (&[("other-1.0/bin/tool", file, "x")], "should hold the folder tool-1.0 and nothing else"),
        (&[("tool-1.0/a", file, "x"), ("extra", file, "x")], "but it holds extra, tool-1.0"),
        (&[("tool-1.0/a", file, "x"), ("../../../etc/cron.d/x", file, "x")], "leads out"),
        (&[("tool-1.0/l", EntryType::Symlink, "../../etc")], "leads out of the destination"),
        (&[("tool-1.0", file, "x")], "should hold the folder"),
    ];
    for (entries, said) in table {
        let archive = packed(entries).doing(|| "pack an archive".to_owned())?;
        write_lock(site, &archive, "")?;
        site.expect_refused(&[&OVER_SSH[..], &["-e", "component=tool"]].concat(), &[said])?;
    }
    site.stage.expect_everywhere("ls /etc/cron.d/x 2>/dev/null || true", "")?;
    let archive = packed(&[("tool-1.0/bin/tool", file, "x")]).doing(|| "pack".to_owned())?;
    write_lock(site, &archive, "      unpacked_size: 1000000000000000\n")?;
    let words = [&OVER_SSH[..], &["-e", "component=tool"]].concat();
    site.expect_refused(&words, &["mib are free", "nothing was downloaded"])?;
    write_lock(site, &archive, "      unpacked_size: 8192\n")?;
    site.apply(&words)?.expect_exit(&[0])?;
    site.stage.expect_everywhere("cat /opt/tool/releases/1.0/bin/tool", "x")
}

/// What a killed run left is done again; what nobody of us has left is not touched.
fn left_halves(site: &Site<'_>) -> Result<(), Error> {
    let words = [&OVER_SSH[..], &["-e", "component=tool"]].concat();
    let half = "rm -rf /opt/tool; S=/opt/tool/releases/.staging-1.0; mkdir -p $S/tool-1.0/lib && \
                echo half > $S/tool-1.0/lib/half && echo half > $S/archive.tar.gz";
    site.on_hosts(half)?;
    site.apply(&words)?.expect_exit(&[0])?;
    let tree = "cd /opt/tool/releases && find . -type f | sort | tr '\\n' ' '";
    site.stage.expect_everywhere(tree, "./1.0/.release ./1.0/bin/tool")?;
    site.on_hosts("rm /opt/tool/releases/1.0/.release; touch /opt/tool/releases/1.0/theirs")?;
    let run = site.apply(&words)?.expect_exit(&[10])?;
    run.expect_text(&["is there and was not made by this role"])?;
    site.stage.expect_everywhere("ls /opt/tool/releases/1.0", "bin\ntheirs")?;
    site.on_hosts(FORGET)
}

/// A lock by hand, and its archive in the cache.
fn write_lock(site: &Site<'_>, archive: &[u8], more: &str) -> Result<(), Error> {
    let digest = hex::encode(Sha256::digest(archive));
    let text = format!(
        "artifacts:\n  tool:\n    \"1.0\":\n      sha256: \"{digest}\"\n      root: tool-1.0\n{more}"
    );
    site.write("inventory/group_vars/all/artifacts.yml", &text)?;
    let cached = site.cached(&digest);
    if !cached.exists() {
        fs::write(&cached, archive).doing(|| "fill the cache".to_owned())?;
    }
    Ok(())
}

/// A tar of these entries; names are taken as they are.
fn packed(entries: &[(&str, EntryType, &str)]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, kind, text) in entries {
        let mut header = tar::Header::new_ustar();
        let fill = |field: &mut [u8], text: &str| {
            field.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        };
        fill(&mut header.as_old_mut().name, name);
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        let content = if kind.is_file() { text.as_bytes() } else { b"" };
        if !kind.is_file() {
            fill(&mut header.as_old_mut().linkname, text);
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content)?;
    }
    tar.into_inner()?.finish()
}

fn remove(path: &Path) -> Result<(), Error> {
    fs::remove_file(path).doing(|| format!("remove {}", path.display()))
}

/// Another bit, with the length as it was.
fn flip(path: &Path, place: usize) -> Result<(), Error> {
    let action = || format!("change {}", path.display());
    let mut bytes = fs::read(path).doing(action)?;
    let place = place.min(bytes.len().saturating_sub(1));
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 1;
    }
    remove(path)?;
    fs::write(path, bytes).doing(action)
}

/// Serves a folder to the hosts of the lab, for as long as this process lives.
fn serve(folder: &Path, stage: &Stage) -> Result<String, Error> {
    let address = stage.lab.record().subnet.gateway();
    let listener =
        TcpListener::bind((address, 0)).doing(|| format!("serve a folder on {address}"))?;
    let local = listener.local_addr().doing(|| "learn the port".to_owned())?;
    let folder: Arc<Path> = Arc::from(folder);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            thread::spawn(move || {
                // Who goes away in mid-answer is none of our business.
                let _ = answer(stream, &folder);
            });
        }
    });
    Ok(format!("http://{local}"))
}

fn answer(mut stream: std::net::TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    let name = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let found = fs::read(folder.join(name)).ok();
    let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
    let body = found.unwrap_or_default();
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&body)
}
