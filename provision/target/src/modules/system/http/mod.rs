//! The web: `uri`, `get_url`, and downloads for other modules.

mod auth;
mod body;
mod client;
mod client_key;
mod connection;
mod get_url;
mod message;
pub(super) mod resolve;
#[cfg(test)]
pub(super) mod server;
mod uri;
mod url;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use provision_protocol::Object;
use serde::Deserialize;
use serde_json::Value;

pub(super) use connection::dial;
pub(super) use get_url::get_url;
pub(super) use uri::uri;

use super::words::Environment;
use crate::module::{Context, Failure};
use client::{Follow, Request, Response, fetch};
use connection::ConnectionSettings;
use url::Url;

/// Default `User-Agent`, as servers know it from Ansible.
const AGENT: &str = "ansible-httpget";

/// How long downloads of other modules wait for a sign of the server, in seconds.
const DOWNLOAD_TIMEOUT_S: u64 = 30;

/// What another module reads of an answer at most.
const ANSWER_LIMIT_BYTES: usize = 8 << 20;

const fn yes() -> bool {
    true
}

/// Parameters that `uri` and `get_url` have in common.
#[derive(Debug, Clone, Default, Deserialize)]
struct HttpArguments {
    url: String,
    #[serde(default)]
    force: bool,
    http_agent: Option<String>,
    #[serde(default = "yes")]
    use_proxy: bool,
    #[serde(default = "yes")]
    validate_certs: bool,
    url_username: Option<String>,
    url_password: Option<String>,
    #[serde(default)]
    force_basic_auth: bool,
    client_cert: Option<String>,
    client_key: Option<String>,
    #[serde(default)]
    use_gssapi: bool,
    #[serde(default)]
    headers: Object,
    #[serde(default)]
    unredirected_headers: Vec<String>,
    timeout: Option<u64>,
    #[serde(default = "yes")]
    decompress: bool,
    ciphers: Option<Vec<String>>,
    #[serde(default = "yes")]
    use_netrc: bool,
    ca_path: Option<String>,
    unix_socket: Option<String>,
}

impl HttpArguments {
    fn url(&self) -> Result<Url, Failure> {
        Url::parse(&self.url).map_err(|message| self.failure(message))
    }

    fn failure(&self, message: impl Into<String>) -> Failure {
        Failure::new(message).with("url", self.url.as_str()).with("status", -1)
    }

    /// A request without body. `modified_at`: only if it is newer, in seconds since 1970.
    fn request(
        &self,
        method: &str,
        follow: Follow,
        default_timeout_s: u64,
        modified_at: Option<i64>,
        context: &Context<'_>,
    ) -> Result<Request, Failure> {
        for (is_given, name) in
            [(self.use_gssapi, "use_gssapi"), (self.ciphers.is_some(), "ciphers")]
        {
            if is_given {
                return Err(self.failure(format!("the parameter {name} is not supported")));
            }
        }
        let environment = Environment::new(&context.environment);
        let path = |text: &String| environment.expand_path(text);
        let certificate = self.client_cert.as_ref().map(path);
        let key = self.client_key.as_ref().map(path).or_else(|| certificate.clone());
        let mut headers = Vec::new();
        let agent = self.http_agent.as_deref().unwrap_or(AGENT);
        if !agent.is_empty() {
            headers.push(("User-Agent".to_owned(), agent.to_owned()));
        }
        if self.force {
            headers.push(("Cache-Control".to_owned(), "no-cache".to_owned()));
        } else if let Some(seconds) = modified_at {
            headers.push(("If-Modified-Since".to_owned(), http_date(seconds)));
        }
        for (name, value) in &self.headers {
            headers.retain(|(known, _): &(String, String)| !known.eq_ignore_ascii_case(name));
            headers.push((name.clone(), header_value(value)));
        }
        Ok(Request {
            method: method.to_owned(),
            headers,
            body: None,
            follow,
            credentials: self
                .url_username
                .clone()
                .map(|user| (user, self.url_password.clone().unwrap_or_default())),
            eager: self.force_basic_auth,
            use_netrc: self.use_netrc,
            use_proxy: self.use_proxy,
            decompress: self.decompress,
            unredirected: self
                .unredirected_headers
                .iter()
                .map(|name| name.to_lowercase())
                .collect(),
            connection: ConnectionSettings {
                timeout: Duration::from_secs(self.timeout.unwrap_or(default_timeout_s).max(1)),
                unix_socket: self.unix_socket.as_ref().map(path),
                trust_anybody: !self.validate_certs,
                ca_path: self.ca_path.as_ref().map(path),
                client: certificate.zip(key),
            },
        })
    }
}

fn header_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(epoch_s: i64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let moment = super::clock::Moment::at(epoch_s, 0, &super::clock::Zone::utc());
    let weekday = moment.weekday_name().get(..3).unwrap_or_default();
    let index = usize::try_from(moment.month).unwrap_or(1).saturating_sub(1);
    let month = MONTHS.get(index).unwrap_or(&"Jan");
    format!("{weekday}, {:02} {month} {:04} {} GMT", moment.day, moment.year, moment.time_of_day())
}

/// The name a server gives to what it sends, without any folder.
fn attachment_name(response: &Response) -> Option<String> {
    let header = response.head.header("content-disposition")?;
    let rest = header.strip_prefix("attachment;")?.trim_start();
    let name = rest.strip_prefix("filename=")?;
    let name = name.trim_start_matches('"').split('"').next().unwrap_or_default();
    safe_name(name)
}

/// The last part of an address's path.
fn url_name(url: &Url) -> String {
    let name = url.path().rsplit('/').next().unwrap_or_default();
    safe_name(name).unwrap_or_else(|| "index.html".to_owned())
}

fn safe_name(name: &str) -> Option<String> {
    let name = name.rsplit('/').next().unwrap_or_default().trim();
    (!matches!(name, "" | "." | "..") && !name.contains('\0')).then(|| name.to_owned())
}

/// The message of a finished request, as Ansible words it.
fn message(response: &Response) -> String {
    let head = &response.head;
    if head.status >= 300 {
        return format!("HTTP Error {}: {}", head.status, head.reason);
    }
    let length = head.header("content-length").unwrap_or_else(|| "unknown".to_owned());
    format!("OK ({length} bytes)")
}

/// When a file was changed, in seconds since 1970.
fn modified_at(path: &Path) -> Option<i64> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().ok().filter(std::fs::Metadata::is_file).map(|data| data.mtime())
}

/// Downloads a file for another module.
pub(super) fn download(
    address: &str,
    validate_certs: bool,
    into: &mut dyn Write,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let given = HttpArguments {
        url: address.to_owned(),
        validate_certs,
        use_proxy: true,
        decompress: true,
        use_netrc: true,
        ..HttpArguments::default()
    };
    let failed = |reason: &str| Failure::new(format!("Failure downloading {address}, {reason}"));
    let url = given.url()?;
    if url.scheme == "file" {
        let path = PathBuf::from(url::decoded(url.path()));
        let mut file = std::fs::File::open(&path).map_err(|error| failed(&error.to_string()))?;
        std::io::copy(&mut file, into).map_err(|error| failed(&error.to_string()))?;
        return Ok(());
    }
    let request = given.request("GET", Follow::Python, DOWNLOAD_TIMEOUT_S, None, context)?;
    let mut response =
        fetch(&url, request, context).map_err(|error| failed(&Failure::from(error).message))?;
    if response.head.status >= 300 {
        return Err(failed(&message(&response)));
    }
    while let Some(piece) = response.piece(context)? {
        into.write_all(&piece).map_err(|error| failed(&error.to_string()))?;
    }
    Ok(())
}

/// A request of another module: status, headers by name, and content up to a limit.
pub(super) fn ask(
    method: &str,
    address: &str,
    headers: Object,
    body: Option<Vec<u8>>,
    validate_certs: bool,
    context: &Context<'_>,
) -> Result<Said, Failure> {
    let given = HttpArguments {
        url: address.to_owned(),
        validate_certs,
        headers,
        use_proxy: true,
        decompress: true,
        ..HttpArguments::default()
    };
    let failed = |reason: &str| Failure::new(format!("{method} {address}: {reason}"));
    let mut request = given.request(method, Follow::No, DOWNLOAD_TIMEOUT_S, None, context)?;
    request.body = body;
    let mut response = fetch(&given.url()?, request, context)
        .map_err(|error| failed(&Failure::from(error).message))?;
    let content = response.content(ANSWER_LIMIT_BYTES, context)?;
    Ok(Said {
        status: response.head.status,
        index: response.head.header("x-consul-index"),
        content,
    })
}

/// What a server said to another module.
pub(super) struct Said {
    pub(super) status: u16,
    /// Consul's.
    pub(super) index: Option<String>,
    pub(super) content: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn names_have_no_folders() {
        assert_eq!(safe_name("../../etc/passwd").unwrap(), "passwd");
        assert_eq!(safe_name(".."), None);
        assert_eq!(url_name(&Url::parse("http://h/a/b.tar?x").unwrap()), "b.tar");
        assert_eq!(url_name(&Url::parse("http://h/a/").unwrap()), "index.html");
    }
}
