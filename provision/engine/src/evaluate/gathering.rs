//! `gather_facts`: which modules gather, as `facts_modules` and `ansible_network_os` say.

use provision_playbook::own::OwnModule;
use provision_protocol::Object;
use provision_protocol::modules::{self, ModuleSpec, Runs, normalise};
use serde_json::Value as Json;

use super::{Evaluator, Stop};
use crate::own;
use crate::prepare::Prepared;

/// Names of the built-in module that gathers facts.
const SETUP: &[&str] = &["setup", "ansible.builtin.setup", "ansible.legacy.setup"];

/// Where the collections' modules for network devices are that had short names once.
const NETWORKS: &[(&str, &str)] = &[
    ("asa", "cisco.asa"),
    ("eos", "arista.eos"),
    ("ios", "cisco.ios"),
    ("iosxr", "cisco.iosxr"),
    ("junos", "junipernetworks.junos"),
    ("nxos", "cisco.nxos"),
    ("vyos", "vyos.vyos"),
];

/// One of the modules that gather.
enum Source {
    Built(&'static ModuleSpec),
    Own(Box<OwnModule>),
}

/// The gathering of a task that is to do more than call the built-in module.
pub(super) fn wanted(evaluator: &Evaluator<'_>) -> Result<Option<Prepared>, Stop> {
    if !is_gathering(evaluator) {
        return Ok(None);
    }
    let names = names(evaluator)?;
    let is_plain = names.names.iter().all(|name| SETUP.contains(&name.as_str()))
        && names.names.len() == 1
        && names.warnings.is_empty();
    let given = task_arguments(evaluator)?;
    let is_parallel = parallel(evaluator, &given, names.names.len())?;
    if is_plain && !given.contains_key("parallel") {
        return Ok(None);
    }
    prepare(evaluator, &names, &given, is_parallel).map(Some)
}

/// Whether the task is one of `gather_facts`, or a play's own: not of `setup`.
pub(super) fn is_gathering(evaluator: &Evaluator<'_>) -> bool {
    let task = evaluator.task;
    task.module.name == "setup"
        && (task.id.0 == crate::run::FACTS_TASK
            || task.module_written.rsplit('.').next() == Some("gather_facts"))
}

/// Whether a name is one of `gather_facts` itself, which calls the modules that gather.
pub(super) fn is_caller(name: &str) -> bool {
    name.rsplit('.').next() == Some("gather_facts")
}

struct Names {
    names: Vec<String>,
    warnings: Vec<String>,
}

fn names(evaluator: &Evaluator<'_>) -> Result<Names, Stop> {
    let settings = &evaluator.view.world.settings;
    let mut names: Vec<String> = match evaluator.variable("ansible_facts_modules")? {
        Some(value) => match provision_template::to_json(&value) {
            Json::Array(items) => {
                items.iter().filter_map(Json::as_str).map(str::to_owned).collect()
            }
            Json::String(text) => text.split(',').map(|name| name.trim().to_owned()).collect(),
            _ => Vec::new(),
        },
        None => settings.facts_modules.clone(),
    };
    let mut warnings = Vec::new();
    let is_smart = names.is_empty() || names.iter().any(|name| name == "smart");
    if !is_smart {
        return Ok(Names { names, warnings });
    }
    names.retain(|name| name != "smart");
    let network = evaluator.variable("ansible_network_os")?;
    let network = network.map(|value| provision_template::text_of(&value));
    match network.filter(|network| !network.is_empty()) {
        Some(network) => {
            if names.iter().any(|name| SETUP.contains(&name.as_str())) {
                warnings.push(
                    "Detected 'setup' module and a network OS is set, the output when running it \
                     will reflect 'localhost' and not the target when a network connection plugin \
                     is used."
                        .to_owned(),
                );
            }
            match network_module(evaluator, &network) {
                Some(name) => names.insert(0, name),
                None if names.is_empty() => {
                    return Err(Stop::failed(format!(
                        "No fact modules available and we could not find a fact module for your \
                         network OS ({network}), try setting one via the `FACTS_MODULES` \
                         configuration."
                    )));
                }
                None => {}
            }
        }
        None if !names.iter().any(|name| SETUP.contains(&name.as_str())) => {
            names.insert(0, "ansible.legacy.setup".to_owned());
        }
        None => {}
    }
    Ok(Names { names, warnings })
}

fn network_module(evaluator: &Evaluator<'_>, network: &str) -> Option<String> {
    let of_table = NETWORKS.iter().find(|(short, _)| *short == network);
    let names = match of_table {
        Some((short, collection)) => {
            vec![format!("ansible.legacy.{short}_facts"), format!("{collection}.{short}_facts")]
        }
        None => vec![format!("{network}_facts")],
    };
    names.into_iter().find(|name| own::find(evaluator, name).is_some())
}

fn task_arguments(evaluator: &Evaluator<'_>) -> Result<Object, Stop> {
    let mut given = evaluator.defaults_where(is_caller)?;
    given.extend(evaluator.given_arguments()?);
    Ok(given)
}

/// Whether the modules run side by side: more than one does, unless somebody says otherwise.
fn parallel(evaluator: &Evaluator<'_>, given: &Object, count: usize) -> Result<bool, Stop> {
    let said = given.get("parallel").filter(|value| !value.is_null());
    let said = said.map(provision_template::from_json);
    let said = match said {
        Some(said) => Some(said),
        None => evaluator.variable("ansible_facts_parallel")?,
    };
    match said {
        None => Ok(count > 1),
        Some(value) => provision_template::to_boolean(&value).ok_or_else(|| {
            Stop::failed(format!("parallel is no boolean: {}", provision_template::repr_of(&value)))
        }),
    }
}

fn prepare(
    evaluator: &Evaluator<'_>,
    names: &Names,
    given: &Object,
    is_parallel: bool,
) -> Result<Prepared, Stop> {
    let mut calls = Vec::new();
    let mut contents = Vec::new();
    for name in &names.names {
        let source = source(evaluator, name)?;
        let mut own_arguments = given.clone();
        own_arguments.shift_remove("parallel");
        let is_setup = matches!(&source, Source::Built(module) if module.name == "setup");
        if !is_setup {
            // These are parameters of `setup`.
            for name in ["gather_subset", "gather_timeout", "filter", "fact_path"] {
                own_arguments.shift_remove(name);
            }
        }
        own_arguments.retain(|_, value| !value.is_null());
        let mut arguments = evaluator.defaults_where(|key| is_name_of(key, name, &source))?;
        arguments.extend(own_arguments);
        let (module, arguments) = match &source {
            Source::Built(module) => {
                let checked = normalise(module, arguments).map_err(|errors| {
                    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
                    Stop::failed(all.join("; "))
                })?;
                (module.name, checked)
            }
            Source::Own(own) => {
                let (call, content) = own::call(evaluator, own, arguments)?;
                contents.push(content);
                (modules::OWN.name, call)
            }
        };
        let mut call = Object::new();
        call.insert("name".into(), name.clone().into());
        call.insert("module".into(), module.into());
        call.insert("arguments".into(), Json::Object(arguments));
        calls.push(Json::Object(call));
    }
    let mut arguments = Object::new();
    arguments.insert("calls".into(), calls.into());
    arguments.insert("is_parallel".into(), is_parallel.into());
    let limit = given.get("gather_timeout").filter(|_| is_parallel).and_then(number);
    arguments.insert("limit_s".into(), limit.into());
    arguments.insert("warnings".into(), names.warnings.clone().into());
    Ok(Prepared { module: &modules::GATHER, arguments, contents, result_extra: Object::new() })
}

fn number(value: &Json) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn source(evaluator: &Evaluator<'_>, name: &str) -> Result<Source, Stop> {
    let built_in = modules::find(name);
    if let Some(own) = own::find(evaluator, name) {
        return Ok(Source::Own(Box::new(own)));
    }
    match built_in.filter(|module| module.runs == Runs::OnHost) {
        Some(module) => Ok(Source::Built(module)),
        None => Err(Stop::failed(format!(
            "there is no module `{name}` that gathers facts on a host (facts_modules)"
        ))),
    }
}

/// Whether `module_defaults` of a name are those of a module that gathers.
fn is_name_of(key: &str, name: &str, source: &Source) -> bool {
    match source {
        Source::Built(module) => {
            !is_caller(key) && modules::find(key).is_some_and(|it| it.name == module.name)
        }
        Source::Own(own) => key == name || (!key.contains('.') && key == own.name),
    }
}
