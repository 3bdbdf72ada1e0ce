//! `docker_login`: who the host's docker is at a registry.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use provision_protocol::Object;
use serde_json::Value;

use super::super::process::Run;
use crate::disk::paths;
use crate::module::{Context, Failure, Given, Outcome};

/// `docker_login`: logs in to a registry, or out of it.
///
/// # Errors
/// When docker fails, or the registry refuses.
pub fn docker_login(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let config = paths::expand(context, given.word("config_path"));
    if config.file_name().is_none_or(|name| name != "config.json") {
        return Err(Failure::new(format!(
            "config_path must end in /config.json, which is what docker calls its file: {}",
            config.display()
        )));
    }
    let registry = given.word("registry_url");
    let before = entry(&config, registry);
    if given.is("state", "absent") {
        let is_there = before.is_some();
        if is_there && !context.check {
            context.about_to_change()?;
            docker(given, &config)?.arguments(["logout", registry]).succeed(context)?;
        }
        return Ok(Outcome::new(is_there));
    }
    let (user, password) = (given.word("username"), given.word("password"));
    let known = STANDARD.encode(format!("{user}:{password}"));
    let is_known = before.as_ref().and_then(|entry| entry.get("auth")?.as_str()) == Some(&*known);
    if context.check {
        return Ok(Outcome::new(!is_known || given.flag("reauthorize")));
    }
    context.about_to_change()?;
    let words = ["login", "--username", user, "--password-stdin", registry];
    let run = docker(given, &config)?.arguments(words).input(password.as_bytes().to_vec());
    let finished = run.run(context)?;
    if !finished.succeeded() {
        let reason = finished.stderr_text();
        let message = format!("Logging into {registry} for user {user} failed - {}", reason.trim());
        return Err(finished.failure(message));
    }
    let is_other = entry(&config, registry) != before;
    Ok(Outcome::new(is_other || given.flag("reauthorize"))
        .with("login_result", serde_json::json!({"Status": finished.stdout_text().trim()})))
}

fn docker(given: Given<'_>, config: &Path) -> Result<Run, Failure> {
    let folder = paths::parent(config);
    let mut run = Run::tool("docker")?.parsable().argument("--config").argument(folder);
    if let Some(host) = given.text("docker_host") {
        run = run.arguments(["--host", host]);
    }
    Ok(run)
}

/// What the file says of a registry, under the names that docker gives it.
fn entry(config: &Path, registry: &str) -> Option<Value> {
    let known: Value = serde_json::from_slice(&fs::read(config).ok()?).ok()?;
    let auths = known.get("auths")?.as_object()?;
    let bare = |text: &str| {
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        text.trim_end_matches('/').to_owned()
    };
    let host = bare(registry).split('/').next().map(str::to_owned);
    let fits =
        |name: &str| name == registry || bare(name) == bare(registry) || Some(bare(name)) == host;
    auths.iter().find(|(name, _)| fits(name)).map(|(_, entry)| entry.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::http::server::{Answer, Server};
    use crate::modules::system::process::find_program;
    use crate::modules::system::testing::context;

    #[test]
    fn entries_are_found_under_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.json");
        let known = json!({"auths": {"https://index.docker.io/v1/": {"auth": "a"}, "r:5000": {"auth": "b"}}});
        fs::write(&config, known.to_string()).unwrap();
        let auth = |registry: &str| Some(entry(&config, registry)?["auth"].as_str()?.to_owned());
        assert_eq!(auth("https://index.docker.io/v1/").as_deref(), Some("a"));
        assert_eq!(auth("https://r:5000/v2/").as_deref(), Some("b"));
        assert_eq!(auth("other"), None);
    }

    /// With the host's own docker, which needs no daemon for it, and a registry of the test's.
    #[test]
    fn a_login_is_kept_and_given_up() {
        if find_program("docker").is_none() {
            return;
        }
        let right = format!("Basic {}", STANDARD.encode("ada:right"));
        let server = Server::start(move |received| match received.header("authorization") {
            Some(known) if known == right => Answer::new(200),
            _ => Answer::new(401).header("WWW-Authenticate", "Basic realm=\"test\""),
        });
        let registry =
            server.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
        let folder = tempfile::tempdir().unwrap();
        let given = |password: &str, state: &str| {
            json!({
                "registry_url": registry, "username": "ada", "password": password,
                "config_path": folder.path().join("config.json"), "state": state,
                "docker_host": "unix:///nobody/listens",
            })
        };
        let refused = context().call_named("docker_login", given("wrong", "present")).unwrap_err();
        assert!(refused.message.contains("for user ada failed"), "{refused:?}");
        let call = |password: &str, state: &str| {
            let given = given(password, state);
            let check = context().checking().call_named("docker_login", given.clone()).unwrap();
            let done = context().call_named("docker_login", given).unwrap();
            assert_eq!(check.changed, done.changed, "{state}");
            done.changed
        };
        assert!(call("right", "present") && !call("right", "present"));
        assert!(call("", "absent") && !call("", "absent"));
    }
}
