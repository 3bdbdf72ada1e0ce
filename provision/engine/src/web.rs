//! `lookup('url', …)`: what a web server answers, asked by the controller.

use std::time::Duration;

use base64::Engine as _;
use provision_template::{LookupRequest, OutsideError, Value};
use serde_json::Value as Json;
use ureq::tls::TlsConfig;

use crate::outside::Outside;

/// Largest answer, in bytes.
const ANSWER_LIMIT_BYTES: u64 = 64 << 20;
/// How long it may take unless `timeout` says otherwise, in seconds.
const LIMIT_S: f64 = 10.0;
/// Redirects that are followed.
const REDIRECT_LIMIT: u32 = 10;

/// Options of the lookup that mean something here; all others are refused.
const OPTIONS: &[&str] = &[
    "ca_path",
    "follow_redirects",
    "force",
    "headers",
    "http_agent",
    "password",
    "split_lines",
    "timeout",
    "username",
    "validate_certs",
];

impl Outside {
    /// The answers of web servers: line by line, or whole with `split_lines=false`.
    pub(crate) fn web(&self, request: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        let failed = |message: String| OutsideError::Failed(message);
        for (name, _) in request.options {
            if !OPTIONS.contains(&&**name) {
                return Err(failed(format!("lookup url: the option {name} is not there")));
            }
        }
        let splits = flag(request, "split_lines", true);
        let agent = agent(request).map_err(|error| failed(format!("lookup url: {error}")))?;
        let mut found = Vec::new();
        for term in request.terms {
            let url = provision_template::text_of(term);
            let text = ask(&agent, &url, request).map_err(failed)?;
            match splits {
                true => found.extend(text.lines().map(Value::from)),
                false => found.push(Value::from(text)),
            }
        }
        Ok(found)
    }
}

fn flag(request: &LookupRequest<'_>, name: &str, default: bool) -> bool {
    let value = Outside::option(request, name);
    value.and_then(|value| provision_template::to_boolean(&value)).unwrap_or(default)
}

fn text(request: &LookupRequest<'_>, name: &str) -> Option<String> {
    let value = Outside::option(request, name).filter(|value| !value.is_none());
    value.map(|value| provision_template::text_of(&value))
}

fn agent(request: &LookupRequest<'_>) -> Result<ureq::Agent, std::io::Error> {
    let checks = flag(request, "validate_certs", true);
    let mut tls = TlsConfig::builder().disable_verification(!checks);
    if checks {
        let chosen = text(request, "ca_path").map(std::path::PathBuf::from);
        tls = tls.root_certs(authorities::roots(chosen.as_deref())?);
    }
    let limit_s = text(request, "timeout").and_then(|text| text.trim().parse().ok());
    let limit_s = limit_s.unwrap_or(LIMIT_S).clamp(0.001, 86_400.0);
    let redirects = match text(request, "follow_redirects").as_deref() {
        Some("no" | "none" | "False") => 0,
        _ => REDIRECT_LIMIT,
    };
    let config = ureq::Agent::config_builder()
        .tls_config(tls.build())
        .timeout_global(Some(Duration::from_secs_f64(limit_s)))
        .max_redirects(redirects)
        .http_status_as_error(false)
        .user_agent(text(request, "http_agent").unwrap_or_else(|| "ansible-httpget".to_owned()))
        .build();
    Ok(config.new_agent())
}

/// What a server answers; the messages begin as Ansible's do.
fn ask(agent: &ureq::Agent, url: &str, request: &LookupRequest<'_>) -> Result<String, String> {
    let mut call = agent.get(url);
    if let Some(user) = text(request, "username") {
        let password = text(request, "password").unwrap_or_default();
        let words = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        call = call.header("Authorization", format!("Basic {words}"));
    }
    if flag(request, "force", false) {
        call = call.header("cache-control", "no-cache");
    }
    let headers =
        Outside::option(request, "headers").map(|value| provision_template::to_json(&value));
    if let Some(Json::Object(headers)) = headers {
        for (name, value) in &headers {
            let value = provision_template::from_json(value);
            call = call.header(name.as_str(), provision_template::text_of(&value));
        }
    }
    let mut answer =
        call.call().map_err(|error| format!("Failed lookup url for {url} : {error}"))?;
    let status = answer.status();
    if !status.is_success() {
        let reason = status.canonical_reason().unwrap_or_default();
        return Err(format!(
            "Received HTTP error for {url} : HTTP Error {}: {reason}",
            status.as_u16()
        ));
    }
    answer
        .body_mut()
        .with_config()
        .limit(ANSWER_LIMIT_BYTES)
        .lossy_utf8(true)
        .read_to_string()
        .map_err(|error| format!("Failed lookup url for {url} : {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::Arc;

    use super::*;

    /// A server that answers each request with what it was asked.
    fn server(requests: usize) -> (String, std::thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let serving = std::thread::spawn(move || {
            for stream in listener.incoming().take(requests) {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<String> = lines
                    .by_ref()
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let status = if head[0].contains("missing") { "404 Not Found" } else { "200 OK" };
                let body = head.join("\n");
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(text.as_bytes()).unwrap();
            }
        });
        (address, serving)
    }

    #[test]
    fn answers_are_texts_and_refusals_are_errors() {
        let (address, serving) = server(2);
        let options: Vec<(Arc<str>, Value)> = vec![
            ("username".into(), "me".into()),
            ("password".into(), "secret".into()),
            ("headers".into(), provision_template::from_json(&serde_json::json!({"X-Own": 7}))),
        ];
        let request = LookupRequest { name: "url", terms: &[], options: &options };
        let agent = agent(&request).unwrap();
        let told = ask(&agent, &format!("{address}/x"), &request).unwrap().to_lowercase();
        assert!(told.starts_with("get /x http/1.1\n"), "{told}");
        assert!(told.contains("\nx-own: 7"), "{told}");
        assert!(told.contains("\nauthorization: basic bwu6c2vjcmv0"), "{told}");
        let url = format!("{address}/missing");
        let refused = ask(&agent, &url, &request).unwrap_err();
        assert_eq!(refused, format!("Received HTTP error for {url} : HTTP Error 404: Not Found"));
        serving.join().unwrap();
        let gone = ask(&agent, &url, &request).unwrap_err();
        assert!(gone.starts_with(&format!("Failed lookup url for {url} : ")), "{gone}");
    }
}
