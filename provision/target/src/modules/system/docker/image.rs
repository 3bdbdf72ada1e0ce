//! `docker_image`.

use provision_protocol::Object;
use serde_json::Value;

use super::Docker;
use crate::disk::paths;
use crate::module::{Context, Failure, Given, Outcome};

/// `docker_image`: pulls, builds, loads, tags, pushes, saves or removes an image.
///
/// # Errors
/// When docker isn't there or refuses, or an image that has to be there isn't.
pub fn docker_image(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let docker = Docker::new(given);
    let name = full_name(given.word("name"), given.word("tag"));
    let mut actions: Vec<String> = Vec::new();
    let now = docker.inspect("image", &name, context)?;
    if given.is("state", "absent") {
        if now.is_some() {
            let force: &[&str] = if given.flag("force_absent") { &["--force"] } else { &[] };
            let words: Vec<&str> =
                ["image", "rm"].iter().chain(force).copied().chain(["--", &name]).collect();
            docker.change(&format!("removing image {name}"), &words, context)?;
            actions.push(format!("Removed image {name}"));
        }
        return Ok(Outcome::new(!actions.is_empty()).with("actions", actions));
    }
    let before = now.as_ref().and_then(id);
    let mut stdout = String::new();
    if now.is_none() || given.flag("force_source") {
        stdout = obtain(given, docker, &name, &mut actions, context)?;
    }
    let image = docker.inspect("image", &name, context)?;
    if image.is_none() && !context.check {
        return Err(Failure::new(format!("Cannot find the image {name} locally.")));
    }
    let mut changed = match (given.flag("force_source"), given.word("source")) {
        // A pull of what is there may bring nothing new.
        (true, "pull" | "load") if !context.check => before != image.as_ref().and_then(id),
        _ => !actions.is_empty(),
    };
    if let Some(file) = given.text("archive_path").map(|path| paths::expand(context, path))
        && (!file.exists() || changed)
    {
        let file = paths::text(&file);
        let words = ["image", "save", "--output", &file, "--", &name];
        docker.change(&format!("saving image {name}"), &words, context)?;
        actions.push(format!("Archived image {name} to {file}"));
        changed = true;
    }
    changed |= publish(given, docker, &name, image.as_ref(), &mut actions, context)?;
    let outcome = Outcome::new(changed).with("actions", actions).with("stdout", stdout);
    Ok(match image {
        Some(image) => outcome.with("image", image),
        None => outcome,
    })
}

fn id(image: &Value) -> Option<String> {
    image.get("Id").and_then(Value::as_str).map(str::to_owned)
}

/// The name with its tag, unless it has one or a digest.
fn full_name(name: &str, tag: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if name.starts_with("sha256:") || last.contains([':', '@']) {
        return name.to_owned();
    }
    let separator = if tag.starts_with("sha256:") { '@' } else { ':' };
    format!("{name}{separator}{}", if tag.is_empty() { "latest" } else { tag })
}

/// Gets the image from where it is to come from.
fn obtain(
    given: Given<'_>,
    docker: Docker<'_>,
    name: &str,
    actions: &mut Vec<String>,
    context: &mut Context<'_>,
) -> Result<String, Failure> {
    let words = match given.word("source") {
        "local" => {
            return Err(Failure::new(format!("Cannot find the image {name} locally.")));
        }
        "load" => {
            let Some(file) = given.text("load_path").map(|path| paths::expand(context, path))
            else {
                return Err(Failure::new(
                    "source is load but all of the following are missing: load_path",
                ));
            };
            if !file.is_file() {
                let message = format!(
                    "Error loading image {name}. Specified path {} does not exist.",
                    file.display()
                );
                return Err(Failure::new(message));
            }
            actions.push(format!("Loaded image {name} from {}", file.display()));
            vec!["image".to_owned(), "load".to_owned(), "--input".to_owned(), paths::text(&file)]
        }
        "build" => {
            let words = build_words(given, name, context)?;
            let path = words.last().cloned().unwrap_or_default();
            actions.push(format!("Built image {name} from {path}"));
            words
        }
        _ => {
            actions.push(format!("Pulled image {name}"));
            vec!["image".to_owned(), "pull".to_owned(), "--".to_owned(), name.to_owned()]
        }
    };
    if context.check {
        return Ok(String::new());
    }
    context.about_to_change()?;
    docker.succeed(&format!("getting image {name}"), &words, context)
}

fn build_words(
    given: Given<'_>,
    name: &str,
    context: &Context<'_>,
) -> Result<Vec<String>, Failure> {
    let build = given.0.get("build").and_then(Value::as_object);
    let build = build.map(Given).ok_or_else(|| {
        Failure::new("source is build but all of the following are missing: build")
    })?;
    let Some(path) = build.text("path") else {
        return Err(Failure::new("missing required arguments: path found in build"));
    };
    let mut words = vec!["image".to_owned(), "build".to_owned(), format!("--tag={name}")];
    let path = paths::expand(context, path);
    if let Some(file) = build.text("dockerfile") {
        words.push(format!("--file={}", path.join(file).display()));
    }
    for (name, option) in
        [("args", "--build-arg"), ("labels", "--label"), ("etc_hosts", "--add-host")]
    {
        let pairs = build.0.get(name).and_then(Value::as_object).into_iter().flatten();
        let sign = if name == "etc_hosts" { ':' } else { '=' };
        for (key, value) in pairs {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            words.push(format!("{option}={key}{sign}{value}"));
        }
    }
    for (name, option) in
        [("network", "--network"), ("target", "--target"), ("platform", "--platform")]
    {
        words.extend(build.text(name).map(|value| format!("{option}={value}")));
    }
    for (name, option) in [("nocache", "--no-cache"), ("pull", "--pull")] {
        words.extend(build.flag(name).then(|| option.to_owned()));
    }
    let known = [
        "path",
        "dockerfile",
        "args",
        "labels",
        "etc_hosts",
        "network",
        "target",
        "platform",
        "nocache",
        "pull",
        "rm",
    ];
    if let Some(other) = build.0.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(Failure::new(format!("`build.{other}` isn't supported")));
    }
    words.push(paths::text(&path));
    Ok(words)
}

/// Tags and pushes.
fn publish(
    given: Given<'_>,
    docker: Docker<'_>,
    name: &str,
    image: Option<&Value>,
    actions: &mut Vec<String>,
    context: &mut Context<'_>,
) -> Result<bool, Failure> {
    let mut changed = false;
    let mut pushed = name.to_owned();
    if let Some(repository) = given.text("repository") {
        pushed = full_name(repository, given.word("tag"));
        let there = docker.inspect("image", &pushed, context)?;
        let is_other = there.as_ref().and_then(id) != image.and_then(id);
        if there.is_none() || (is_other && given.flag("force_tag")) {
            docker.change(
                &format!("tagging image {name}"),
                &["image", "tag", name, &pushed],
                context,
            )?;
            actions.push(format!("Tagged image {name} to {pushed}"));
            changed = true;
        }
    }
    if given.flag("push") {
        docker.change(
            &format!("pushing image {pushed}"),
            &["image", "push", "--", &pushed],
            context,
        )?;
        actions.push(format!("Pushed image {pushed}"));
        changed = true;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn names_have_tags() {
        assert_eq!(full_name("nginx", "1.2"), "nginx:1.2");
        assert_eq!(full_name("nginx:1", "latest"), "nginx:1");
        assert_eq!(full_name("host:5000/nginx", ""), "host:5000/nginx:latest");
        assert_eq!(full_name("a", "sha256:00"), "a@sha256:00");
    }

    #[test]
    fn builds_get_their_options() {
        let given =
            json!({"build": {"path": "/src", "dockerfile": "D", "args": {"a": 1}, "pull": true}});
        let mut bench = context();
        let words =
            build_words(Given(given.as_object().unwrap()), "x:1", &bench.context()).unwrap();
        assert_eq!(
            words.join(" "),
            "image build --tag=x:1 --file=/src/D --build-arg=a=1 --pull /src"
        );
        let given = json!({"build": {"path": "/src", "cache_from": ["a"]}});
        let refused = build_words(Given(given.as_object().unwrap()), "x", &bench.context());
        assert!(refused.unwrap_err().message.contains("build.cache_from"));
    }
}
