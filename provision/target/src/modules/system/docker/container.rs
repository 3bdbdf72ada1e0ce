//! `docker_container`.

use provision_protocol::Object;
use serde_json::Value;

use super::Docker;
use super::settings::{self, Difference};
use crate::disk::texts::AttributeChange;
use crate::module::{Context, Failure, Given, Outcome};

/// `docker_container`: creates, starts, stops, replaces or removes a container.
///
/// # Errors
/// When docker isn't there or refuses.
pub fn docker_container(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let mut work = Work {
        given,
        docker: Docker::new(given),
        name: given.word("name"),
        change: AttributeChange::default(),
    };
    let now = work.inspect(context)?;
    if given.is("state", "absent") {
        if let Some(now) = &now {
            work.change.note("exists", true, false);
            work.remove(now, context)?;
        }
        return Ok(work.outcome(None, context));
    }
    let now = work.present(now, context)?;
    let runs = now.as_ref().is_some_and(is_running);
    match given.word("state") {
        "started" if !runs => {
            work.change.note("running", false, true);
            work.act("starting", &["start"], context)?;
        }
        "started" if given.flag("restart") => {
            work.change.note("restarted", false, true);
            work.act("restarting", &["restart"], context)?;
        }
        "stopped" if runs => {
            work.change.note("running", true, false);
            work.stop(context)?;
        }
        _ => {}
    }
    let now = if context.check { now } else { work.inspect(context)? };
    Ok(work.outcome(now, context))
}

fn is_running(container: &Value) -> bool {
    container.pointer("/State/Running").and_then(Value::as_bool).unwrap_or(false)
}

struct Work<'a> {
    given: Given<'a>,
    docker: Docker<'a>,
    name: &'a str,
    change: AttributeChange,
}

impl Work<'_> {
    fn outcome(self, now: Option<Value>, context: &Context<'_>) -> Outcome {
        let mut outcome = Outcome::new(!self.change.after.is_empty());
        if context.diff && outcome.changed {
            outcome.diff.push(self.change.diff());
        }
        match now {
            Some(now) => outcome.with("container", now),
            None => outcome,
        }
    }

    fn inspect(&self, context: &Context<'_>) -> Result<Option<Value>, Failure> {
        self.docker.inspect("container", self.name, context)
    }

    fn act(&self, what: &str, words: &[&str], context: &mut Context<'_>) -> Result<(), Failure> {
        let mut words = words.to_vec();
        words.extend(["--", self.name]);
        self.docker.change(&format!("{what} container {}", self.name), &words, context)
    }

    fn stop(&self, context: &mut Context<'_>) -> Result<(), Failure> {
        let seconds = self.given.integer("stop_timeout").map(|seconds| seconds.to_string());
        let mut words = vec!["stop"];
        words.extend(seconds.iter().flat_map(|seconds| ["--time", seconds.as_str()]));
        let words = if self.given.flag("force_kill") { vec!["kill"] } else { words };
        self.act("stopping", &words, context)
    }

    fn remove(&self, now: &Value, context: &mut Context<'_>) -> Result<(), Failure> {
        if is_running(now) {
            self.stop(context)?;
        }
        let volumes: &[&str] = if self.given.flag("keep_volumes") { &[] } else { &["--volumes"] };
        // A container with `auto_remove` may be gone already.
        let words: Vec<&str> = ["rm", "--force"].iter().chain(volumes).copied().collect();
        self.act("removing", &words, context)
    }

    /// Creates it, or replaces one that differs. `None` in a check that would create it.
    fn present(
        &mut self,
        now: Option<Value>,
        context: &mut Context<'_>,
    ) -> Result<Option<Value>, Failure> {
        let image = self.image(context)?;
        let Some(now) = now else {
            self.change.note("exists", false, true);
            return self.create(self.given.text("image"), context);
        };
        let mut found: Vec<Difference> = settings::differences(self.given, &now)?;
        let there = now.get("Image").cloned().unwrap_or(Value::Null);
        if let Some(image) = image.filter(|image| Some(image.as_str()) != there.as_str()) {
            found.push(("image", image.into(), there));
        }
        if found.is_empty() && !self.given.flag("recreate") {
            self.join_networks(&now, context)?;
            return Ok(Some(now));
        }
        for (name, wanted, is) in found {
            self.change.note(name, is, wanted);
        }
        if self.given.flag("recreate") {
            self.change.note("recreated", false, true);
        }
        let own = now.pointer("/Config/Image").and_then(Value::as_str);
        let image = self.given.text("image").or(own).map(str::to_owned);
        self.remove(&now, context)?;
        self.create(image.as_deref(), context)
    }

    /// The id of the image that is wanted; it is pulled if it isn't there or a new one is asked for.
    fn image(&self, context: &mut Context<'_>) -> Result<Option<String>, Failure> {
        let Some(name) = self.given.text("image") else { return Ok(None) };
        let id = |image: &Value| image.get("Id").and_then(Value::as_str).map(str::to_owned);
        let known = self.docker.inspect("image", name, context)?;
        let pulls = match self.given.word("pull") {
            "always" | "True" | "true" | "yes" => true,
            "never" => false,
            _ => known.is_none(),
        };
        if pulls {
            self.docker.change(&format!("pulling {name}"), &["pull", "--", name], context)?;
            let image = self.docker.inspect("image", name, context)?;
            return Ok(image.as_ref().and_then(id));
        }
        Ok(known.as_ref().and_then(id))
    }

    fn create(
        &mut self,
        image: Option<&str>,
        context: &mut Context<'_>,
    ) -> Result<Option<Value>, Failure> {
        let Some(image) = image else {
            return Err(Failure::new("Cannot create container when image is not specified!"));
        };
        let mut words = vec!["create".to_owned(), format!("--name={}", self.name)];
        words.extend(settings::options(self.given)?);
        let networks = self.networks();
        if let Some((first, more)) = networks.first() {
            words.push(format!("--network={first}"));
            words.extend(more.iter().cloned());
        }
        words.push(image.to_owned());
        words.extend(settings::arguments(self.given)?);
        self.docker.change(&format!("creating container {}", self.name), &words, context)?;
        if context.check {
            return Ok(None);
        }
        let now = self.inspect(context)?;
        if let Some(now) = &now {
            self.join_networks(now, context)?;
        }
        Ok(now)
    }

    /// Networks that are given: their names, and the options of the container in them.
    fn networks(&self) -> Vec<(String, Vec<String>)> {
        let list = self.given.0.get("networks").and_then(Value::as_array);
        let network = |item: &Value| {
            let text = |name: &str| item.get(name).and_then(Value::as_str);
            let name = text("name").or(item.as_str())?;
            let mut words = Vec::new();
            words.extend(text("ipv4_address").map(|address| format!("--ip={address}")));
            words.extend(text("ipv6_address").map(|address| format!("--ip6={address}")));
            let aliases = item.get("aliases").and_then(Value::as_array).into_iter().flatten();
            let option = |alias: &str| format!("--network-alias={alias}");
            words.extend(aliases.filter_map(Value::as_str).map(option));
            Some((name.to_owned(), words))
        };
        list.into_iter().flatten().filter_map(network).collect()
    }

    /// Joins networks that it isn't in yet.
    fn join_networks(&mut self, now: &Value, context: &mut Context<'_>) -> Result<(), Failure> {
        let joined = now.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
        for (name, options) in self.networks() {
            if joined.is_some_and(|joined| joined.contains_key(&name)) {
                continue;
            }
            self.change.note(&format!("network.{name}"), false, true);
            let mut words = vec!["network".to_owned(), "connect".to_owned()];
            let plain = |option: &String| option.replace("--network-alias=", "--alias=");
            words.extend(options.iter().map(plain));
            words.extend(["--".to_owned(), name.clone(), self.name.to_owned()]);
            self.docker.change(
                &format!("connecting container to network {name}"),
                &words,
                context,
            )?;
        }
        Ok(())
    }
}
