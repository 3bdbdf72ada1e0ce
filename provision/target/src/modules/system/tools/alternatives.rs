//! `alternatives`: which of several programs a name stands for.

use std::path::Path;

use provision_protocol::Object;
use serde_json::{Value, json};

use super::{ask, change};
use crate::disk::texts::AttributeChange;
use crate::module::{Context, Failure, Given, Outcome};

const PROGRAM: &str = "update-alternatives";

/// What `update-alternatives --display` says.
#[derive(Debug, Default, PartialEq)]
struct Display {
    is_manual: bool,
    path: Option<String>,
    link: Option<String>,
    choices: Vec<Choice>,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Choice {
    path: String,
    family: Option<String>,
    priority: i64,
    /// Name, link and path.
    followers: Vec<[String; 3]>,
}

/// `alternatives`: adds, chooses or removes an alternative.
///
/// # Errors
/// When the path isn't there, its link isn't known, or the program refuses.
pub fn alternatives(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let (name, state) = (given.word("name"), given.word("state"));
    let wanted = followers(given)?;
    let said = ask(PROGRAM, &["--display", name], context)?;
    let text = if said.succeeded() { said.stdout_text() } else { String::new() };
    let now = Display::parse(&text, wanted.as_deref().unwrap_or_default());
    let path = given.text("path");
    let known = now.choices.iter().find(|choice| Some(choice.path.as_str()) == path);
    let mut messages = Vec::new();
    let mut change_of =
        AttributeChange { before: before(&now, known, given), ..AttributeChange::default() };
    if state == "absent" {
        if let (Some(path), Some(_)) = (path, known) {
            change(PROGRAM, &["--remove", name, path], context)?;
            messages.push(format!("Remove alternative '{path}' from '{name}'."));
            change_of.after.insert("state".to_owned(), "absent".into());
        }
    } else {
        if let Some(path) =
            path.filter(|_| known.is_none_or(|now| now.differs(given, wanted.as_deref())))
        {
            change_of.after = install(path, given, &now, known, wanted, context)?;
            messages.push(format!("Install alternative '{path}' for '{name}'."));
        }
        let family = given.text("family");
        let current = now.choices.iter().find(|choice| Some(&choice.path) == now.path.as_ref());
        // Ansible compares an empty family with none, too.
        let same_family = current
            .is_some_and(|choice| choice.family.is_some() && choice.family.as_deref() == family);
        let same_path = path.is_some() && now.path.as_deref() == path;
        if state == "selected" && !same_path && !same_family {
            let target = path.or(family).unwrap_or_default();
            change(PROGRAM, &["--set", name, target], context)?;
            messages.push(format!("Set alternative '{target}' for '{name}'."));
            change_of.after.insert("state".to_owned(), "selected".into());
        }
        if state == "auto" && now.is_manual {
            change(PROGRAM, &["--auto", name], context)?;
            messages.push(format!("Set alternative to auto for '{name}'."));
            change_of.after.insert("state".to_owned(), "present".into());
        }
    }
    let mut outcome = Outcome::new(!messages.is_empty()).with("msg", messages.join(" "));
    if context.diff && outcome.changed {
        outcome.diff.push(change_of.diff());
    }
    Ok(outcome)
}

/// The followers that are wanted, if they are given.
fn followers(given: Given<'_>) -> Result<Option<Vec<[String; 3]>>, Failure> {
    let Some(list) = given.0.get("subcommands").and_then(Value::as_array) else { return Ok(None) };
    let field = |item: &Value, name: &str| {
        item.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
            Failure::new(format!("missing required arguments: {name} found in subcommands"))
        })
    };
    let read = |item| Ok([field(item, "name")?, field(item, "link")?, field(item, "path")?]);
    list.iter().map(read).collect::<Result<_, _>>().map(Some)
}

fn install(
    path: &str,
    given: Given<'_>,
    now: &Display,
    known: Option<&Choice>,
    wanted: Option<Vec<[String; 3]>>,
    context: &mut Context<'_>,
) -> Result<Object, Failure> {
    if !Path::new(path).exists() {
        return Err(Failure::new(format!("Specified path {path} does not exist")));
    }
    let Some(link) = given.text("link").or(now.link.as_deref()) else {
        return Err(Failure::new(
            "Needed to install the alternative, but unable to do so as we are missing the link",
        ));
    };
    let priority = given.integer("priority").or(known.map(|known| known.priority)).unwrap_or(50);
    let number = priority.to_string();
    let mut words = vec!["--install", link, given.word("name"), path, &number];
    if let Some(family) = given.text("family") {
        words.extend(["--family", family]);
    }
    for [name, link, path] in wanted.iter().flatten() {
        words.extend(["--slave", link, name, path]);
    }
    change(PROGRAM, &words, context)?;
    let shown = wanted.or_else(|| known.map(|known| known.followers.clone())).unwrap_or_default();
    let mut after = object(json!({
        "state": "present", "path": path, "priority": priority, "link": link,
        "family": given.text("family"),
    }));
    if !shown.is_empty() {
        after.insert("subcommands".to_owned(), shown_followers(&shown));
    }
    Ok(after)
}

fn object(value: Value) -> Object {
    if let Value::Object(object) = value { object } else { Object::new() }
}

fn shown_followers(followers: &[[String; 3]]) -> Value {
    followers
        .iter()
        .map(|[name, link, path]| json!({"name": name, "path": path, "link": link}))
        .collect()
}

/// The state before, for the diff.
fn before(now: &Display, known: Option<&Choice>, given: Given<'_>) -> Object {
    let Some(known) = known else { return object(json!({"state": "absent"})) };
    let is_other = now.is_manual && now.path.as_deref() != given.text("path");
    let mut before = object(json!({
        "state": if is_other { "selected" } else { "present" },
        "path": known.path, "priority": known.priority, "link": now.link,
    }));
    if !known.followers.is_empty() {
        before.insert("subcommands".to_owned(), shown_followers(&known.followers));
    }
    before
}

impl Choice {
    /// Whether it is to be installed anew.
    fn differs(&self, given: Given<'_>, wanted: Option<&[[String; 3]]>) -> bool {
        given.integer("priority").is_some_and(|priority| priority != self.priority)
            || wanted.is_some_and(|wanted| {
                let all_in = |some: &[[String; 3]], others: &[[String; 3]]| {
                    some.iter().all(|one| others.contains(one))
                };
                !all_in(wanted, &self.followers) || !all_in(&self.followers, wanted)
            })
    }
}

impl Display {
    fn parse(text: &str, wanted: &[[String; 3]]) -> Self {
        let mut now = Display::default();
        let mut links: Vec<(String, String)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let trimmed = line.trim_start();
            let follower = trimmed.strip_prefix("slave ").or(trimmed.strip_prefix("follower "));
            if number == 0 {
                now.is_manual = line.ends_with("manual mode") || line.ends_with("manual.");
            } else if let Some(path) = trimmed.strip_prefix("link currently points to ") {
                now.path = Some(path.to_owned());
            } else if let Some(follower) = follower {
                if let Some((name, path)) = follower.split_once(": ") {
                    let place = now.choices.last_mut().filter(|_| path != "(null)");
                    if let Some(choice) = place {
                        let known = links.iter().find(|(known, _)| known == name);
                        let link = known.map(|(_, link)| link.clone()).or_else(|| {
                            let wanted = wanted.iter().find(|[known, ..]| known == name);
                            wanted.map(|[_, link, _]| link.clone())
                        });
                        let link = link.unwrap_or_default();
                        choice.followers.push([name.to_owned(), link, path.to_owned()]);
                    }
                } else if let Some((name, link)) = follower.split_once(" is ") {
                    links.push((name.to_owned(), link.to_owned()));
                }
            } else if let Some((_, link)) =
                trimmed.strip_prefix("link ").and_then(|rest| rest.split_once(" is "))
            {
                now.link = Some(link.to_owned());
            } else if line.starts_with('/') {
                now.choices.extend(choice(line));
            }
        }
        now
    }
}

/// `/usr/bin/vim - family x priority 30`
fn choice(line: &str) -> Option<Choice> {
    let (path, rest) = line.split_once(" - ")?;
    let mut words = rest.split_whitespace();
    let mut choice = Choice { path: path.to_owned(), ..Choice::default() };
    while let Some(word) = words.next() {
        match word {
            "family" => choice.family = words.next().map(str::to_owned),
            "priority" => {
                choice.priority = words.next()?.parse().ok()?;
                return Some(choice);
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::system::testing::context;

    const TEXT: &str = "\
editor - manual mode
  link best version is /usr/bin/vim.basic
  link currently points to /bin/nano
  link editor is /usr/bin/editor
  slave editor.1.gz is /usr/share/man/man1/editor.1.gz
/bin/nano - priority 40
  slave editor.1.gz: /usr/share/man/man1/nano.1.gz
/usr/bin/vim.basic - family vi priority 30
";

    #[test]
    fn what_is_displayed_is_understood() {
        let now = Display::parse(TEXT, &[]);
        assert!(now.is_manual);
        assert_eq!(now.path.as_deref(), Some("/bin/nano"));
        assert_eq!(now.link.as_deref(), Some("/usr/bin/editor"));
        assert_eq!(now.choices[0].followers[0][1], "/usr/share/man/man1/editor.1.gz");
        assert_eq!((now.choices[1].priority, now.choices[1].family.as_deref()), (30, Some("vi")));
        assert_eq!(Display::parse("x - auto mode\n", &[]), Display::default());
    }

    #[test]
    fn a_path_that_is_not_there_is_refused() {
        let given = json!({"name": "no-such", "path": "/no/such", "link": "/usr/bin/no-such"});
        let failure = context().checking().call_named("alternatives", given).unwrap_err();
        assert_eq!(failure.message, "Specified path /no/such does not exist");
    }
}
