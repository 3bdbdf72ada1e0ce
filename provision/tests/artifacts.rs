//! The program with artifacts: entries come from the real thing, and whatever was changed on the way
//! is refused. A small web server on the loopback is upstream.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A site with an inventory, a cache and an upstream.
struct Site {
    folder: tempfile::TempDir,
    files: Files,
    address: String,
}

const LOCK: &str = "inventory/group_vars/all/artifacts.yml";

impl Site {
    fn new() -> Self {
        let files = Files::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let served = files.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                let headers: Vec<String> =
                    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let start = headers.iter().find_map(|line| {
                    let line = line.to_ascii_lowercase();
                    line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse::<usize>().ok()
                });
                let path = first.split(' ').nth(1).unwrap().to_owned();
                let found = served.lock().unwrap().get(&path).cloned();
                let status = match (&found, start) {
                    (None, _) => "404 Not Found".to_owned(),
                    (Some(_), None) => "200 OK".to_owned(),
                    (Some(all), Some(start)) => {
                        let (last, size) = (all.len() - 1, all.len());
                        let head = "206 Partial Content\r\nContent-Range: bytes";
                        format!("{head} {start}-{last}/{size}")
                    }
                };
                let body = found.unwrap_or_default().split_off(start.unwrap_or(0));
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
                let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes());
                let _ = stream.write_all(&body);
            }
        });
        let site = Site { folder: tempfile::tempdir().unwrap(), files, address };
        site.write("inventory/hosts", "h1\n");
        site.write("inventory/group_vars/all/releases.yml", "releases: {tool: \"1.1\"}\n");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn lock(&self) -> String {
        std::fs::read_to_string(self.path(LOCK)).unwrap_or_default()
    }

    fn serve(&self, path: &str, bytes: &[u8]) -> String {
        self.files.lock().unwrap().insert(path.to_owned(), bytes.to_vec());
        format!("{}{path}", self.address)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_in(arguments, &[])
    }

    /// Runs with these variables of the environment.
    fn run_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let with_inventory = ["-i", "inventory"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_provision"));
        command.arg("artifacts").args(arguments).args(with_inventory);
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "XDG_CACHE_HOME"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command.envs(environment.iter().copied());
        command.current_dir(self.folder.path()).env("HOME", self.folder.path()).output().unwrap()
    }

    /// Runs, and checks the exit code and that all these words are said.
    fn expect(&self, arguments: &[&str], exit: i32, said: &[&str]) -> String {
        let output = self.run(arguments);
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {text}");
        for words in said {
            assert!(text.contains(words), "nothing says {words:?}: {text}");
        }
        text
    }

    fn cached(&self, sha256: &str) -> PathBuf {
        self.path(".cache/provision/artifacts/sha256").join(sha256)
    }
}

/// An archive of one folder; another seed gives another one.
fn archive(root: &str, seed: &str) -> Vec<u8> {
    let mut tar =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, content) in
        [("bin/tool", format!("#!/bin/sh\necho {seed}\n")), ("README", "x".into())]
    {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, format!("{root}/{name}"), content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

fn signatures(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("artifacts/tests/signatures")
        .join(name)
        .display()
        .to_string()
}

#[test]
fn an_entry_comes_from_the_real_thing() {
    let site = Site::new();
    let bytes = archive("tool-1.1", "a");
    let digest = sha256(&bytes);
    let url = site.serve("/dist/tool-1.1.tar.gz", &bytes);
    let add = ["add", "tool", "1.1", &url, "--sha256", &digest];
    site.expect(&add, 0, &["folder `tool-1.1`", "proved: sha256", "+     \"1.1\":"]);
    let lock = site.lock();
    for line in [
        format!("      url: \"{url}\""),
        format!("      size: {}", bytes.len()),
        "      unpacked_size: 8192".to_owned(),
        format!("      sha256: \"{digest}\""),
        "      root: \"tool-1.1\"".to_owned(),
    ] {
        assert!(lock.lines().any(|known| known == line), "{line} is not in\n{lock}");
    }
    assert!(lock.starts_with("# Where each release comes from"), "{lock}");
    site.expect(&add, 0, &["it is not changed"]);
    assert_eq!(site.lock(), lock);
    site.expect(&["verify"], 0, &["wanted", "whole"]);
    site.expect(&["list"], 0, &["tool", "1.1", "cached", "unsigned", &url]);
    // A list of digests, and a second release beside the first.
    let other = archive("tool-1.0", "b");
    let url = site.serve("/dist/tool-1.0.tar.gz", &other);
    let list = format!("{digest}  tool-1.1.tar.gz\n{}  tool-1.0.tar.gz\n", sha256(&other));
    site.write("SHA256SUMS", &list);
    site.expect(
        &["add", "tool", "1.0", &url, "--sha256", "SHA256SUMS"],
        0,
        &["as SHA256SUMS says"],
    );
    assert!(site.lock().starts_with(&lock), "what was there stays");
}

#[test]
fn what_is_not_what_upstream_says_gets_no_entry() {
    let site = Site::new();
    let bytes = archive("tool-1.1", "a");
    let url = site.serve("/tool-1.1.tar.gz", &bytes);
    let digest = sha256(&bytes);
    let zeros = "0".repeat(64);
    site.expect(
        &["add", "tool", "1.1", &url, "--sha256", &zeros],
        7,
        &["is not what upstream published", &digest, &zeros],
    );
    site.expect(&["add", "tool", "1.1", &url], 6, &["unencrypted", "--signature"]);
    let missing = format!("{}/none", site.address);
    site.expect(&["add", "tool", "1.1", &missing, "--sha256", &zeros], 7, &["404 Not Found"]);
    site.expect(&["add", "tool", "../1", &url], 2, &["can't be a version"]);
    site.expect(&["add", "tool", "1.1", "none.tar.gz"], 3, &["is no file"]);
    site.write("list", &format!("{digest}  other.tar.gz\n"));
    site.expect(
        &["add", "tool", "1.1", &url, "--sha256", "list"],
        7,
        &["no sha256 digest of `tool-1.1.tar.gz`", "it has digests of other.tar.gz"],
    );
    site.expect(
        &["add", "tool", "1.1", &url, "--sha256", &digest, "--max-size", "0"],
        7,
        &["0 bytes"],
    );
    let page = site.serve("/page", b"<html>moved</html>");
    let key = signatures("KEYS");
    let signed = ["add", "tool", "1.1", &url, "--key", &key, "--signature", &page];
    site.expect(&signed, 7, &["neither OpenPGP nor minisign", ".asc or .sig"]);
    // Whatever came is gone again, and no lock was made.
    assert_eq!(site.lock(), "");
    let left = site.path(".cache/provision/artifacts/partial").read_dir().unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn a_bad_archive_gets_no_entry() {
    let site = Site::new();
    let whole = archive("tool-1.1", "a");
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    let mut two = tar::Builder::new(Vec::new());
    for name in ["a/x", "b/x"] {
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        two.append_data(&mut header, name, std::io::empty()).unwrap();
    }
    let mut link = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    link.append_link(&mut header, "a/l", "../../etc/passwd").unwrap();
    for (name, bytes, said) in [
        ("cut.tar.gz", whole[..whole.len() - 20].to_vec(), "damaged or cut off"),
        ("flipped.tar.gz", flipped, "damaged or cut off"),
        ("two.tar", two.into_inner().unwrap(), "`a`, `b` side by side"),
        ("link.tar", link.into_inner().unwrap(), "outside of the archive's folder"),
        ("page.html", b"<html>moved</html>".to_vec(), "a web page"),
    ] {
        std::fs::write(site.path(name), bytes).unwrap();
        site.expect(&["add", "tool", "1.1", name], 7, &["can't be a release", said]);
    }
    assert_eq!(site.lock(), "");
}

#[test]
fn a_release_does_not_change_under_its_name() {
    let site = Site::new();
    std::fs::write(site.path("one.tar.gz"), archive("tool-1.1", "a")).unwrap();
    std::fs::write(site.path("two.tar.gz"), archive("tool-1.1", "b")).unwrap();
    site.expect(&["add", "tool", "1.1", "one.tar.gz"], 0, &["nothing of upstream proves it"]);
    let lock = site.lock();
    let moved = ["add", "tool", "1.1", "two.tar.gz"];
    site.expect(&moved, 6, &["another digest", "--replace"]);
    // The same bytes under another version: something older is replayed.
    site.expect(&["add", "tool", "1.2", "one.tar.gz"], 6, &["archive of tool 1.1, and not of 1.2"]);
    assert_eq!(site.lock(), lock);
    site.expect(&[&moved[..], &["--replace"]].concat(), 0, &["-       sha256:", "+       sha256:"]);
    // From a file there is no address.
    assert!(!site.lock().contains("url:"), "{}", site.lock());
    std::fs::remove_dir_all(site.path(".cache")).unwrap();
    site.expect(&["fetch"], 7, &["added from a file"]);
}

/// The lines of the entry that say who signed it.
fn signed(site: &Site, options: &[&str], proof: &str) -> String {
    let _ = std::fs::remove_file(site.path(LOCK));
    let archive = signatures("tool-1.1.tar.gz");
    site.expect(&[&["add", "tool", "1.1", &archive], options].concat(), 0, &[proof]);
    let lock = site.lock();
    lock.lines().find(|line| line.contains("signature:")).unwrap().trim().to_owned()
}

#[test]
fn a_good_signature_names_its_key() {
    let site = Site::new();
    let (keys, list) = (signatures("KEYS"), signatures("SHA256SUMS"));
    let fingerprints = std::fs::read_to_string(signatures("fingerprints")).unwrap();
    let of = |name: &str| {
        let line = fingerprints.lines().find_map(|line| line.strip_prefix(name));
        format!("signature: {{kind: openpgp, key: \"{}\"}}", line.unwrap().trim())
    };
    let signature = signatures("tool-1.1.tar.gz.asc");
    let options = ["--signature", &signature, "--key", &keys];
    assert_eq!(signed(&site, &options, "OpenPGP signature of the archive by"), of("sub"));
    let signature = signatures("SHA256SUMS.sig");
    let options = ["--signature", &signature, "--key", &keys, "--sha256", &list];
    assert_eq!(signed(&site, &options, "OpenPGP signature of the list of digests"), of("rsa"));
    let (signature, key) = (signatures("tool-1.1.tar.gz.minisig"), signatures("minisign.pub"));
    let options = ["--signature", &signature, "--key", &key];
    let line = signed(&site, &options, "minisign signature of the archive by");
    assert!(line.starts_with("signature: {kind: minisign, key: \"RW"), "{line}");
    site.expect(&["verify"], 0, &["whole"]);
    site.expect(&["list"], 0, &["minisign RW"]);
    // A signed list that doesn't have this digest proves nothing.
    let signature = signatures("SHA256SUMS.sig");
    std::fs::write(site.path("tool-1.1.tar.gz"), archive("tool-1.1", "a")).unwrap();
    let options = ["--signature", &signature, "--key", &keys, "--sha256", &list];
    let add = ["add", "tool", "1.1", "tool-1.1.tar.gz"];
    site.expect(&[&add[..], &options].concat(), 7, &["is not what upstream published"]);
}

#[test]
fn signatures_are_checked_and_pinned() {
    let site = Site::new();
    let keys = signatures("KEYS");
    // The list is what is signed: its text is the signed data of the crate's tests.
    std::fs::write(site.path("one.tar.gz"), archive("tool-1.1", "a")).unwrap();
    let bad = signatures("rsa.asc");
    let add = ["add", "tool", "1.1", "one.tar.gz", "--signature", &bad, "--key", &keys];
    site.expect(&add, 7, &["not of this file"]);
    let other = signatures("rsa.gpg");
    let ed = signatures("ed.asc");
    let add = ["add", "tool", "1.1", "one.tar.gz", "--signature", &ed, "--key", &other];
    site.expect(&add, 7, &["which the key file does not hold", "whose key it is"]);
    site.expect(&["add", "tool", "1.1", "one.tar.gz", "--signature", &bad], 2, &["--key"]);
    assert_eq!(site.lock(), "");
    // Signed before, unsigned now.
    site.write(
        LOCK,
        &format!(
            "artifacts:\n  tool:\n    \"1.0\":\n      sha256: \"{}\"\n      root: tool\n      signature: {{kind: \
             openpgp, key: {}}}\n",
            "0".repeat(64),
            "A".repeat(40)
        ),
    );
    site.expect(&["add", "tool", "1.1", "one.tar.gz"], 6, &["tool 1.0 was signed", "--unsigned"]);
    site.expect(&["add", "tool", "1.1", "one.tar.gz", "--unsigned"], 0, &["+     \"1.1\":"]);
    // Signed again, by somebody else.
    let archive = signatures("tool-1.1.tar.gz");
    let (signature, key) = (signatures("tool-1.1.tar.gz.minisig"), signatures("minisign.pub"));
    let add = ["add", "tool", "1.2", &archive, "--signature", &signature, "--key", &key];
    site.expect(
        &add,
        0,
        &["another key than before: 1.0 was signed by AAAA", "name the version 1.2"],
    );
}

#[test]
fn the_cache_is_read_again_and_mended() {
    let site = Site::new();
    let bytes = archive("tool-1.1", "a");
    let digest = sha256(&bytes);
    let url = site.serve("/tool-1.1.tar.gz", &bytes);
    site.expect(&["add", "tool", "1.1", &url, "--sha256", &digest], 0, &[]);
    let path = site.cached(&digest);
    for change in ["flip", "cut", "older", "gone"] {
        let _ = std::fs::remove_file(&path);
        let mut other = bytes.clone();
        match change {
            "flip" => other[17] ^= 1,
            "cut" => other.truncate(40),
            "older" => other = archive("tool-1.0", "z"),
            _ => other.clear(),
        }
        if change == "gone" {
            site.expect(&["verify"], 7, &["wanted and not in the cache", "artifacts fetch"]);
            site.expect(&["mirror", "www"], 7, &["tool 1.1 is not in the cache"]);
        } else {
            std::fs::write(&path, &other).unwrap();
            site.expect(&["verify"], 7, &["damaged in the cache"]);
            site.expect(&["mirror", "www"], 7, &["is damaged"]);
        }
        site.expect(&["fetch"], 0, &["tool 1.1: fetched"]);
        site.expect(&["verify"], 0, &["whole"]);
    }
    site.expect(&["fetch", "tool", "1.1"], 0, &["in the cache"]);
    // Half of a download is continued; if that half is wrong, it begins anew.
    let partial = site.path(".cache/provision/artifacts/partial").join(&digest);
    for half in [bytes[..50].to_vec(), vec![0; 50]] {
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&partial, half).unwrap();
        site.expect(&["fetch"], 0, &["tool 1.1: fetched"]);
        site.expect(&["verify"], 0, &["whole"]);
        assert!(!partial.exists());
    }
    site.expect(&["fetch", "tool", "9"], 3, &["the lock has no tool 9", "it has tool 1.1"]);
    // Upstream has something else now, of the same length and of another one.
    std::fs::remove_file(&path).unwrap();
    let mut other = bytes.clone();
    other[17] ^= 1;
    site.serve("/tool-1.1.tar.gz", &other);
    site.expect(&["fetch"], 7, &["another archive than the lock says", &sha256(&other)]);
    site.serve("/tool-1.1.tar.gz", &bytes[1..]);
    site.expect(&["fetch"], 7, &["and not the"]);
    assert!(!path.exists());
}

#[test]
fn a_mirror_is_written_and_checked() {
    let site = Site::new();
    let bytes = archive("tool-1.1", "a");
    let digest = sha256(&bytes);
    std::fs::write(site.path("one.tar.gz"), &bytes).unwrap();
    site.expect(&["add", "tool", "1.1", "one.tar.gz"], 0, &[]);
    site.expect(&["mirror", "www"], 0, &["tool 1.1: linked", "artifact_mirror"]);
    let file = site.path("www/sha256").join(&digest);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    let place = format!("/m/sha256/{digest}");
    site.serve(&place, &bytes);
    let mirror = format!("{}/m/", site.address);
    site.expect(&["verify", "--mirror", &mirror], 0, &["on the mirror"]);
    // What the mirror has is enough to get it back.
    std::fs::remove_file(site.cached(&digest)).unwrap();
    site.expect(&["verify", "--mirror", &mirror], 0, &["not in the cache"]);
    site.expect(&["fetch", "--mirror", &mirror], 0, &["fetched"]);
    let mut other = bytes.clone();
    other[30] ^= 4;
    site.serve(&place, &other);
    site.expect(&["verify", "--mirror", &mirror], 7, &["another archive on the mirror"]);
    site.files.lock().unwrap().clear();
    site.expect(&["verify", "--mirror", &mirror], 7, &["404 Not Found"]);
}

#[test]
fn a_wanted_release_needs_an_entry() {
    let site = Site::new();
    std::fs::write(site.path("one.tar.gz"), archive("tool-1.0", "a")).unwrap();
    site.expect(&["verify"], 3, &["names no artifacts", "artifacts add"]);
    site.expect(&["add", "tool", "1.0", "one.tar.gz"], 0, &[]);
    site.expect(&["verify"], 7, &["tool 1.1 is wanted and has no entry"]);
}

#[test]
fn a_lock_may_be_any_file() {
    let site = Site::new();
    std::fs::write(site.path("one.tar.gz"), archive("tool-1.1", "a")).unwrap();
    // Encrypted files are not looked into, and need no password.
    site.write("inventory/group_vars/all/secrets.yml", "$ANSIBLE_VAULT;1.1;AES256\n6161\n");
    site.expect(&["add", "tool", "1.1", "one.tar.gz"], 0, &[]);
    let lock = ["--lock", "other/lock.yml", "--cache", "other/cache"];
    let with = |words: &[&'static str]| [words, &lock].concat();
    site.expect(&with(&["add", "tool", "1.1", "one.tar.gz"]), 0, &["other/lock.yml:"]);
    site.expect(&with(&["fetch"]), 0, &["in the cache"]);
    assert!(site.path("other/cache/sha256").is_dir());
    // What the inventory wants stands in files that can't be opened.
    site.expect(&with(&["verify"]), 3, &["secrets.yml", "vault"]);
    std::fs::remove_file(site.path("inventory/group_vars/all/secrets.yml")).unwrap();
    site.expect(&with(&["verify"]), 0, &["whole"]);
    // A host may want another release than all.
    site.write("inventory/host_vars/h1.yml", "releases: {tool: \"2.0\"}\n");
    site.expect(&with(&["verify"]), 7, &["tool 2.0 is wanted and has no entry"]);
}

#[test]
fn a_lock_stands_in_one_place() {
    let site = Site::new();
    std::fs::write(site.path("one.tar.gz"), archive("tool-1.1", "a")).unwrap();
    let add = ["add", "tool", "1.1", "one.tar.gz"];
    // It is where the variable is.
    site.write("inventory/group_vars/all/main.yml", "# ours\nartifacts: {}\nother: 1\n");
    site.expect(&add, 0, &["group_vars/all/main.yml:"]);
    assert_eq!(site.lock(), "");
    site.write(LOCK, "artifacts: {}\n");
    site.expect(&add, 3, &["main.yml", "artifacts.yml", "only the last one counts"]);
    std::fs::remove_dir_all(site.path("inventory/group_vars")).unwrap();
    // A folder would hide this file.
    site.write("inventory/group_vars/all.yml", "other: 1\n");
    site.expect(&add, 3, &["would hide inventory/group_vars/all.yml"]);
    site.write("inventory/group_vars/all.yml", "artifacts:\n  tool: [1]\n");
    site.expect(&add, 3, &["expected a mapping", "all.yml:2:9"]);
    site.write("inventory/group_vars/all.yml", "artifacts:\n");
    site.expect(&add, 0, &["inventory/group_vars/all.yml:"]);
    site.write("inventory/group_vars/all.yml", "artifacts: {tool: {\"1\": {}}}\n");
    site.expect(&add, 3, &["key `sha256` is missing", "all.yml:1:25"]);
}

/// A proxy that leads every connection to one server, and notes whom it was asked for.
fn proxy_to(server: SocketAddr) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut client = stream.unwrap();
            let mut reader = BufReader::new(client.try_clone().unwrap());
            let mut first = String::new();
            reader.read_line(&mut first).unwrap();
            log.lock().unwrap().push(first.trim_end().to_owned());
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            let mut upstream = TcpStream::connect(server).unwrap();
            let mut back = upstream.try_clone().unwrap();
            let mut to_client = client.try_clone().unwrap();
            std::thread::spawn(move || std::io::copy(&mut back, &mut to_client));
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                upstream.write_all(&bytes[..count]).unwrap();
            }
        }
    });
    (format!("http://{address}"), asked)
}

#[test]
fn downloads_go_through_the_proxy_of_the_environment() {
    let site = Site::new();
    let bytes = archive("tool-1.1", "a");
    let digest = sha256(&bytes);
    site.serve("/tool-1.1.tar.gz", &bytes);
    let server = site.address.trim_start_matches("http://").parse().unwrap();
    let (proxy, asked) = proxy_to(server);
    // Nobody else knows this name.
    let url = "http://artifacts.invalid/tool-1.1.tar.gz";
    let add = ["add", "tool", "1.1", url, "--sha256", &digest];
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY"]
    {
        let output = site.run_in(&add, &[(name, &proxy)]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        std::fs::remove_file(site.cached(&digest)).unwrap();
    }
    let connected = asked.lock().unwrap().clone();
    assert_eq!(connected.len(), 6, "{connected:?}");
    assert!(connected.iter().all(|line| line.starts_with("CONNECT artifacts.invalid:80")));
    // Names that `no_proxy` has are asked for directly.
    let direct = format!("{}/tool-1.1.tar.gz", site.address);
    let add = ["add", "tool", "1.1", &direct, "--sha256", &digest, "--replace"];
    for (no_proxy, through) in [("127.0.0.1", 0), ("other.example,.invalid", 1)] {
        asked.lock().unwrap().clear();
        let environment = [("http_proxy", proxy.as_str()), ("no_proxy", no_proxy)];
        let output = site.run_in(&add, &environment);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let _ = std::fs::remove_file(site.cached(&digest));
        assert_eq!(asked.lock().unwrap().len(), through, "{no_proxy}");
    }
}

#[test]
fn the_cache_keeps_what_locks_name() {
    let site = Site::new();
    let (one, two) = (archive("tool-1.0", "a"), archive("tool-1.1", "b"));
    for (version, bytes) in [("1.0", &one), ("1.1", &two)] {
        let url = site.serve(&format!("/tool-{version}.tar.gz"), bytes);
        let add = ["add", "tool", version, &url, "--sha256", &sha256(bytes)];
        site.expect(&add, 0, &["proved"]);
    }
    site.expect(&["prune", "--yes"], 0, &["nothing to delete"]);
    let lock = site.lock();
    let at = lock.find("    \"1.0\":").unwrap();
    let end = lock.find("    \"1.1\":").unwrap();
    let without = match at < end {
        true => format!("{}{}", &lock[..at], &lock[end..]),
        false => lock[..at].to_owned(),
    };
    site.write(LOCK, &without);
    site.expect(&["prune"], 6, &[&sha256(&one), "not confirmed; nothing was deleted"]);
    assert!(site.cached(&sha256(&one)).exists());
    site.expect(&["prune", "--yes"], 0, &["deleted 1 file,"]);
    assert!(!site.cached(&sha256(&one)).exists() && site.cached(&sha256(&two)).exists());
    // Another inventory's archives go only if that one is not named.
    site.write("other/group_vars/all/artifacts.yml", &lock);
    site.expect(&["fetch", "tool", "1.1"], 0, &[]);
    site.expect(&["prune", "--yes", "-i", "other"], 0, &["nothing to delete"]);
    site.write(LOCK, "artifacts: {}\n");
    site.expect(&["prune", "--yes"], 3, &["names no artifacts"]);
    assert!(site.cached(&sha256(&two)).exists());
}
