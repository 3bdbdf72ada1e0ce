//! `get_url`.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use provision_protocol::Object;
use serde::Deserialize;

use super::client::{FetchError, Follow, Response, fetch};
use super::url::{self, Url};
use super::{HttpArguments, attachment_name, message, modified_at, uri, url_name};
use crate::disk::attributes::{FileArguments, Wanted};
use crate::disk::describe::add_path_information;
use crate::disk::digest::{self, Digests, Summary};
use crate::disk::paths;
use crate::disk::texts::AttributeChange;
use crate::disk::writing::NewContent;
use crate::module::{Context, Failure, Outcome, arguments};

/// How long to wait for a sign of the server, if the call doesn't say, in seconds.
const TIMEOUT_S: u64 = 10;

/// Longest list of checksums, in bytes.
const CHECKSUMS_LIMIT_BYTES: usize = 16 << 20;

#[derive(Debug, Deserialize)]
struct GetUrlArguments {
    dest: String,
    #[serde(default)]
    backup: bool,
    checksum: Option<String>,
    tmp_dest: Option<String>,
}

/// A digest that the content must have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Checksum {
    algorithm: String,
    digest: String,
}

/// `get_url`: downloads a file.
///
/// # Errors
/// When it can't be had, isn't what it should be, or can't be stored.
pub fn get_url(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let http: HttpArguments = arguments(given)?;
    let wanted = arguments::<FileArguments>(given)?.resolve(context.check)?;
    let given: GetUrlArguments = arguments(given)?;
    let dest = paths::expand(context, &given.dest);
    if let Some(folder) = &given.tmp_dest {
        let folder = paths::expand(context, folder);
        if !folder.is_dir() {
            return Err(Failure::new(format!("{} directory does not exist.", folder.display())));
        }
    }
    let mut download = Download { http, wanted, backup: given.backup, checksum: None, dest };
    let checksum = given.checksum.as_deref().filter(|text| !text.trim().is_empty());
    download.checksum = checksum.map(|text| download.expected(text, context)).transpose()?;
    download.run(context).map_err(|mut failure| {
        for (name, value) in [("url", &download.http.url), ("dest", &paths::text(&download.dest))] {
            failure.values.entry(name).or_insert_with(|| value.as_str().into());
        }
        failure
    })
}

/// Writes content into a file and tells its digests.
type Fill<'a> = dyn FnMut(&mut dyn Write, &Path, &Context<'_>) -> Result<Summary, Failure> + 'a;

struct Download {
    http: HttpArguments,
    wanted: Wanted,
    backup: bool,
    checksum: Option<Checksum>,
    dest: PathBuf,
}

impl Download {
    /// `algorithm:digest`, or `algorithm:address` of a list of digests.
    fn expected(&self, text: &str, context: &Context<'_>) -> Result<Checksum, Failure> {
        let Some((algorithm, value)) = text.split_once(':') else {
            return Err(Failure::new(
                "The checksum parameter has to be in format <algorithm>:<checksum>",
            ));
        };
        let value = if value.contains("://") {
            let list = self.list(value, context)?;
            let name = url_name(&self.http.url()?);
            listed(&list, &name).ok_or_else(|| {
                Failure::new(format!("Unable to find a checksum for file '{name}' in '{value}'"))
            })?
        } else {
            value.to_owned()
        };
        // Also invisible characters, which come along when digests are copied from web pages.
        let digest: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
        let digest = digest.to_lowercase();
        if digest.is_empty() || !digest.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Failure::new("The checksum format is invalid"));
        }
        Ok(Checksum { algorithm: algorithm.trim().to_lowercase(), digest })
    }

    fn list(&self, address: &str, context: &Context<'_>) -> Result<String, Failure> {
        let url = Url::parse(address).map_err(Failure::new)?;
        if url.scheme == "file" {
            let path = PathBuf::from(url::decoded(url.path()));
            return fs::read_to_string(&path)
                .map_err(|error| Failure::system("read", &path, &error));
        }
        let request = self.http.request("GET", Follow::Python, TIMEOUT_S, None, context)?;
        let mut response = fetch(&url, request, context)?;
        succeeded(&response)?;
        let bytes = response.content(CHECKSUMS_LIMIT_BYTES, context)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn run(&mut self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let mut age = None;
        if !self.dest.is_dir() && paths::exists(&self.dest) {
            let matches = match &self.checksum {
                Some(checksum) => checksum.matches_file(&self.dest)?,
                None => false,
            };
            if matches && !self.http.force {
                return self.unchanged("file already exists", None, context);
            }
            // A file with the wrong digest may still be newer than the server's.
            if self.checksum.is_none() {
                age = modified_at(&self.dest);
            }
        } else if !self.dest.is_dir() && !paths::parent(&self.dest).is_dir() {
            let folder = paths::parent(&self.dest);
            if context.check {
                let reason = format!("the folder {} does not exist (yet)", folder.display());
                return Ok(Outcome { skipped: Some(reason), ..Outcome::default() });
            }
            return Err(Failure::new(format!("Destination {} does not exist", folder.display())));
        }
        let start = Instant::now();
        let url = self.http.url()?;
        if url.scheme == "file" {
            return self.copy(&PathBuf::from(url::decoded(url.path())), context);
        }
        let method = if context.check { "HEAD" } else { "GET" };
        let request = self.http.request(method, Follow::Python, TIMEOUT_S, age, context)?;
        let mut response = fetch(&url, request, context).map_err(|error| match error {
            FetchError::Failed(reason) => Failure::new(format!("Request failed: {reason}")),
            FetchError::Stopped => error.into(),
        })?;
        if response.head.status == 304 {
            return self.unchanged(&message(&response), Some(304), context);
        }
        succeeded(&response)?;
        if self.dest.is_dir() {
            let name = attachment_name(&response).unwrap_or_else(|| url_name(&response.url));
            self.dest = self.dest.join(name);
        }
        if context.check {
            return Ok(self.predicted(&response));
        }
        let said = message(&response);
        let status = response.head.status;
        let outcome = self.store(context, &mut |file, dest, context| {
            uri::pour(&mut response, file, dest, context)
        })?;
        Ok(outcome
            .with("msg", said)
            .with("status_code", status)
            .with("elapsed", start.elapsed().as_secs()))
    }

    /// What check mode can tell from the head of the answer.
    fn predicted(&self, response: &Response) -> Outcome {
        let mut outcome = Outcome::new(true)
            .with("url", self.http.url.as_str())
            .with("dest", paths::text(&self.dest))
            .with("msg", message(response))
            .with("status_code", response.head.status);
        let present = fs::metadata(&self.dest).ok().map(|data| data.len());
        let length =
            response.head.header("content-length").and_then(|text| text.parse::<u64>().ok());
        // A checksum that didn't match, no file, another size: it changes. Otherwise who knows.
        if self.checksum.is_none() && present.is_some() && (length.is_none() || length == present) {
            outcome.changed = false;
            outcome.skipped =
                Some("whether the content differs is known only after the download".to_owned());
        }
        outcome
    }

    /// The file stays; owner and mode may change.
    fn unchanged(
        &self,
        said: &str,
        status: Option<u16>,
        context: &mut Context<'_>,
    ) -> Result<Outcome, Failure> {
        let mut change = AttributeChange::default();
        let mut outcome = Outcome::new(self.wanted.apply(&self.dest, context, &mut change)?);
        let said = if outcome.changed {
            format!("{said} but file attributes changed")
        } else {
            said.to_owned()
        };
        if outcome.changed && context.diff {
            outcome.diff.push(change.diff());
        }
        self.describe(&mut outcome.values);
        outcome = outcome.with("msg", said).with("elapsed", 0);
        Ok(match status {
            Some(status) => outcome.with("status_code", status),
            None => outcome,
        })
    }

    fn describe(&self, values: &mut Object) {
        values.insert("url".to_owned(), self.http.url.as_str().into());
        values.insert("dest".to_owned(), paths::text(&self.dest).into());
        add_path_information(values, &self.dest);
    }

    /// A file of the host.
    fn copy(&mut self, source: &Path, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let failed = |error: io::Error| Failure::new(format!("Request failed: {error}"));
        let mut file = fs::File::open(source).map_err(failed)?;
        if self.dest.is_dir() {
            let name = source.file_name().map(|name| name.to_string_lossy().into_owned());
            self.dest = self.dest.join(name.unwrap_or_else(|| "index.html".to_owned()));
        }
        if context.check {
            let same = digest::summary(source).ok().map(|summary| summary.sha256)
                == digest::summary(&self.dest).ok().map(|summary| summary.sha256);
            return Ok(Outcome::new(!same).with("dest", paths::text(&self.dest)));
        }
        self.store(context, &mut |target, _, _| {
            let mut digests = Digests::default();
            let mut piece = vec![0; 128 << 10];
            loop {
                let count = file.read(&mut piece).map_err(failed)?;
                let bytes = piece.get(..count).unwrap_or_default();
                if bytes.is_empty() {
                    return Ok(digests.finish());
                }
                digests.update(bytes);
                target.write_all(bytes).map_err(failed)?;
            }
        })
    }

    /// Gives the file its content, unless it has it already.
    fn store(&self, context: &mut Context<'_>, fill: &mut Fill<'_>) -> Result<Outcome, Failure> {
        let dest = self.dest.as_path();
        let before = if paths::exists(dest) {
            let summary = digest::summary(dest);
            Some(summary.map_err(|_| {
                Failure::new(format!("Destination {} is not readable", dest.display()))
            })?)
        } else {
            None
        };
        let mut after = None;
        let mut is_same = false;
        let new = NewContent {
            target: dest,
            wanted: &self.wanted,
            keep_attributes: true,
            backup: self.backup,
            validate: None,
        };
        let written = new.write(context, &mut |file, context| {
            let mut checked = Checked { file, checksum: self.checksum.as_ref(), hasher: None };
            let summary = fill(&mut checked, dest, context)?;
            checked.finish(&summary)?;
            is_same = before.as_ref().is_some_and(|before| before.sha256 == summary.sha256);
            after = Some(summary);
            if is_same { Err(Failure::default()) } else { Ok(()) }
        });
        let backup = if is_same { None } else { written? };
        let attributes = self.wanted.apply(dest, context, &mut AttributeChange::default())?;
        let mut outcome = Outcome::new(!is_same || attributes);
        self.describe(&mut outcome.values);
        if let Some(after) = after {
            outcome = outcome.with("checksum_src", after.sha1).with("md5sum", after.md5);
        }
        outcome = outcome.with("checksum_dest", before.map(|before| before.sha1));
        Ok(match backup {
            Some(backup) => outcome.with("backup_file", paths::text(&backup)),
            None => outcome,
        })
    }
}

fn succeeded(response: &Response) -> Result<(), Failure> {
    if response.head.status == 200 {
        return Ok(());
    }
    Err(Failure::new("Request failed")
        .with("status_code", response.head.status)
        .with("response", message(response)))
}

/// The digest of a file in a list: lines of digest and name, or nothing but a digest.
fn listed(list: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = list.lines().collect();
    if let [only] = lines.as_slice()
        && only.split_whitespace().count() == 1
    {
        return Some(only.trim().to_owned());
    }
    lines.iter().find_map(|line| {
        let (digest, file) = line.split_once(' ')?;
        let file = file.strip_prefix([' ', '*']).unwrap_or(file);
        (file.trim_start_matches(['.', '/']) == name).then(|| digest.to_owned())
    })
}

impl Checksum {
    fn matches_file(&self, path: &Path) -> Result<bool, Failure> {
        let digest = digest::file_digest(path, &self.algorithm)
            .map_err(|error| Failure::system("read", path, &error))?;
        Ok(digest.ok_or_else(|| self.unknown())? == self.digest)
    }

    fn unknown(&self) -> Failure {
        Failure::new(format!(
            "Could not hash file with algorithm '{}'. Available algorithms: md5, sha1, sha224, \
             sha256, sha384, sha512",
            self.algorithm
        ))
    }
}

/// Computes the wanted digest while a file is written, if it isn't one of those that are computed
/// anyway.
struct Checked<'a> {
    file: &'a mut dyn Write,
    checksum: Option<&'a Checksum>,
    hasher: Option<Box<dyn sha2::digest::DynDigest>>,
}

impl Checked<'_> {
    fn hasher(&mut self) -> Option<&mut Box<dyn sha2::digest::DynDigest>> {
        let algorithm = self.checksum?.algorithm.as_str();
        if self.hasher.is_none() {
            self.hasher = Some(match algorithm {
                "sha224" => Box::new(sha2::Sha224::default()),
                "sha384" => Box::new(sha2::Sha384::default()),
                "sha512" => Box::new(sha2::Sha512::default()),
                _ => return None,
            });
        }
        self.hasher.as_mut()
    }

    fn finish(mut self, summary: &Summary) -> Result<(), Failure> {
        let Some(checksum) = self.checksum else { return Ok(()) };
        let found = match checksum.algorithm.as_str() {
            "md5" => summary.md5.clone(),
            "sha1" => summary.sha1.clone(),
            "sha256" => summary.sha256.clone(),
            _ => {
                self.hasher();
                hex::encode(self.hasher.take().ok_or_else(|| checksum.unknown())?.finalize())
            }
        };
        if found == checksum.digest {
            return Ok(());
        }
        Err(Failure::new(format!(
            "The checksum for the download did not match {}; it was {found}.",
            checksum.digest
        )))
    }
}

impl Write for Checked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        if let Some(hasher) = self.hasher() {
            hasher.update(bytes.get(..count).unwrap_or_default());
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::super::server::{Answer, Server};
    use super::*;
    use crate::modules::system::testing::context;

    const SHA256: &str = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";

    #[test]
    fn lists_of_digests() {
        let list = "aa  ./x.tar\nbb *y.tar\ncc  z\n";
        assert_eq!(listed(list, "x.tar").unwrap(), "aa");
        assert_eq!(listed(list, "y.tar").unwrap(), "bb");
        assert_eq!(listed(list, "a"), None);
        assert_eq!(listed("dd\n", "any").unwrap(), "dd");
    }

    #[test]
    fn downloads_once() {
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let server = Server::start(move |request| {
            counter.fetch_add(1, Ordering::SeqCst);
            match (request.target.as_str(), request.header("if-modified-since")) {
                ("/sums", _) => Answer::new(200).body(format!("{SHA256}  f\n")),
                (_, Some(_)) => Answer::new(304),
                _ => Answer::new(200).body("content".into()),
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let dest = folder.path().join("f");
        let mut bench = context();
        let given = json!({
            "url": server.url("/f"), "dest": dest, "mode": "0640",
            "checksum": format!("sha256:{SHA256}"),
        });
        let outcome = bench.call(get_url, given.clone()).unwrap();
        assert!(outcome.changed);
        assert_eq!(fs::read_to_string(&dest).unwrap(), "content");
        assert_eq!(dest.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(outcome.values["mode"], "0640");
        assert_eq!(outcome.values["status_code"], 200);
        assert!(!bench.call(get_url, given).unwrap().changed);
        assert_eq!(requests.load(Ordering::SeqCst), 1, "the checksum makes a request needless");
        let given = json!({"url": server.url("/f"), "dest": dest});
        let outcome = bench.call(get_url, given).unwrap();
        assert!(!outcome.changed);
        assert_eq!(outcome.values["status_code"], 304);
        let list = format!("sha256:{}", server.url("/sums"));
        let given = json!({"url": server.url("/f"), "dest": dest, "checksum": list});
        assert!(!bench.call(get_url, given).unwrap().changed);
        let given = json!({"url": server.url("/f"), "dest": dest, "force": true});
        assert!(!bench.call(get_url, given).unwrap().changed);
    }

    #[test]
    fn a_wrong_digest_leaves_nothing() {
        let server = Server::start(|_| Answer::new(200).body("content".into()));
        let folder = tempfile::tempdir().unwrap();
        let dest = folder.path().join("f");
        for checksum in ["sha256:00", "sha512:00", "md5:00"] {
            let given = json!({"url": server.url("/f"), "dest": dest, "checksum": checksum});
            let failure = context().call(get_url, given).unwrap_err();
            assert!(failure.message.contains("did not match"), "{}", failure.message);
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn folders_and_backups() {
        let server = Server::start(|_| Answer::new(200).body("new".into()));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("f"), "old").unwrap();
        let given = json!({
            "url": server.url("/x/f?q"), "dest": folder.path(), "backup": true, "force": true,
        });
        let outcome = context().call(get_url, given).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("f")).unwrap(), "new");
        let backup = outcome.values["backup_file"].as_str().unwrap();
        assert_eq!(fs::read_to_string(backup).unwrap(), "old");
    }

    #[test]
    fn checks_ask_for_the_head_only() {
        let server = Server::start(|request| {
            assert_eq!(request.method, "HEAD");
            Answer::new(200).body("content".into())
        });
        let folder = tempfile::tempdir().unwrap();
        let dest = folder.path().join("f");
        let given = json!({"url": server.url("/f"), "dest": dest, "force": true});
        assert!(context().checking().call(get_url, given.clone()).unwrap().changed);
        assert!(!dest.exists());
        fs::write(&dest, "CONTENT").unwrap();
        let outcome = context().checking().call(get_url, given.clone()).unwrap();
        assert!(outcome.skipped.is_some());
        fs::write(&dest, "other size").unwrap();
        assert!(context().checking().call(get_url, given).unwrap().changed);
    }

    #[test]
    fn failures() {
        let server = Server::start(|_| Answer::new(404));
        let folder = tempfile::tempdir().unwrap();
        let dest = folder.path().join("f");
        let given = json!({"url": server.url("/f"), "dest": dest});
        let failure = context().call(get_url, given).unwrap_err();
        assert_eq!(failure.message, "Request failed");
        assert_eq!(failure.values["status_code"], 404);
        let given = json!({"url": server.url("/f"), "dest": folder.path().join("no/such")});
        assert!(context().call(get_url, given).unwrap_err().message.contains("does not exist"));
    }
}
