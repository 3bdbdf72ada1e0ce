//! `ansible-config`: what is configured, and where it is said.

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};

use super::code::{self, Code};
use super::config::{Configuration, Environment};
use super::page::Page;

/// Shows what ansible.cfg and the environment say.
#[derive(Debug, Clone, Parser)]
#[command(name = "ansible-config", disable_version_flag = true, max_term_width = 100)]
pub struct ConfigArguments {
    /// What to show
    #[arg(value_enum, value_name = "action", required_unless_present = "version")]
    action: Option<Action>,
    /// Show the version and the configuration file that is used
    #[arg(long)]
    pub version: bool,
    /// The configuration file [default: the one that programs use]
    #[arg(short, long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// With dump: only settings that are not as they are by default
    #[arg(long, visible_alias = "changed-only")]
    only_changed: bool,
    /// With dump: how to show it
    #[arg(long, short, value_enum, default_value = "display")]
    format: Format,
    /// Which settings: those of plugins have no names here
    #[arg(long, short = 't', value_enum, default_value = "base")]
    r#type: Type,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Settings, their values and where these are said
    Dump,
    /// The configuration file as it is written
    View,
    /// Whether everything that is said can be done
    Validate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Display,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Type {
    All,
    Base,
}

/// Shows it. What has no effect here is told on standard error.
pub fn config(arguments: &ConfigArguments, mut page: Page) -> Code {
    let mut environment = Environment::of_process();
    if let Some(file) = &arguments.config {
        let file = file.display().to_string();
        environment.variables.insert("ANSIBLE_CONFIG".to_owned(), file);
    }
    let configuration = Configuration::read(&environment);
    configuration.notes.iter().for_each(|note| page.warn(note));
    configuration.refusals.iter().for_each(|reason| page.error(reason));
    match arguments.action {
        Some(Action::Dump) | None => dump(arguments, &configuration, &environment, &mut page),
        Some(Action::View) => match &configuration.file {
            None => {
                page.error("Invalid or no config file was supplied");
                code::OPTIONS
            }
            Some(file) => match std::fs::read_to_string(file) {
                Ok(text) => {
                    page.say(text.trim_end_matches('\n'));
                    code::DONE
                }
                Err(error) => {
                    page.error(&format!("failed to read {}: {error}", file.display()));
                    code::ERROR
                }
            },
        },
        Some(Action::Validate) if configuration.refusals.is_empty() => {
            page.say("All configurations seem valid!");
            code::DONE
        }
        Some(Action::Validate) => code::ERROR,
    }
}

fn dump(
    arguments: &ConfigArguments,
    configuration: &Configuration,
    environment: &Environment,
    page: &mut Page,
) -> Code {
    let all = configuration.configured(environment);
    let is_shown = |origin: &str| !arguments.only_changed || origin != "default";
    let shown = all.iter().filter(|one| is_shown(&one.origin));
    let file = configuration.file.as_ref().map(|file| file.display().to_string());
    if arguments.format == Format::Json {
        let file = json!({ "name": "CONFIG_FILE", "origin": "", "value": file });
        let entries =
            shown.map(|one| json!({ "name": one.name, "origin": one.origin, "value": one.value }));
        let entries: Vec<Value> = std::iter::once(file).chain(entries).collect();
        page.say(&serde_json::to_string_pretty(&entries).unwrap_or_default());
        return code::DONE;
    }
    page.say(&format!("CONFIG_FILE() = {}", file.as_deref().unwrap_or("None")));
    for one in shown {
        let line = format!("{}({}) = {}", one.name, one.origin, displayed(&one.value));
        page.say(&crate::paint::harmless(&line));
    }
    code::DONE
}

/// A value as Python writes it.
fn displayed(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items = items.iter().map(|item| match item {
                Value::String(text) => format!("'{text}'"),
                other => displayed(other),
            });
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
