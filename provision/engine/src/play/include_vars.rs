//! `include_vars`: variables from files of the controller.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use provision_playbook::files::{FileKind, Files};
use provision_protocol::Object;
use serde_json::Value as Json;

use super::PlayRun;
use super::local::{Done, text};
use crate::evaluate::{Evaluator, Stop};
use crate::variables::Layer;

impl PlayRun<'_> {
    /// Reads variables from files.
    pub(super) fn include_vars(
        &mut self,
        evaluator: &Evaluator<'_>,
        arguments: &Object,
    ) -> Result<Done, Stop> {
        let mut files: Vec<PathBuf> = Vec::new();
        if let Some(folder) = text(arguments, "dir") {
            let folder = self.vars_folder(evaluator, &folder)?;
            collect_files(evaluator, &folder, arguments, 1, &mut files)?;
        } else {
            let name = text(arguments, "file").unwrap_or_default();
            let name = name.trim_end_matches([' ', '\n']);
            if name.is_empty() {
                return Err(Stop::failed("Could not find file on the controller: none is named"));
            }
            let path = crate::outside::find(&evaluator.view, "vars", name)
                .map_err(|tried| Stop::failed(crate::outside::not_found(name, &tried)))?;
            files.push(path);
        }
        let loader = self.shared.loader.clone();
        let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut layer = Layer::default();
        let mut names: Vec<Json> = Vec::new();
        let mut shown = Object::new();
        for path in files {
            let mapping = loader.variables(&path).map_err(|diagnostics| {
                Stop::failed(diagnostics::render_all(
                    &diagnostics,
                    loader.sources(),
                    diagnostics::Style::Plain,
                ))
            })?;
            self.shared.reaches.define(&mapping);
            names.push(path.display().to_string().into());
            for (name, slot) in Layer::of_mapping(&mapping).iter() {
                layer.set(name, slot.clone());
            }
            for (key, value) in mapping.iter() {
                let Some(key) = key.as_str() else { continue };
                let value = provision_template::value_of_node(value);
                shown.insert(key.to_owned(), provision_template::to_json(&value));
            }
        }
        let mut done = Done::with("ansible_included_var_files", names);
        if let Some(name) = text(arguments, "name") {
            let mut wrapped = Layer::default();
            let entries = layer.iter().map(|(name, slot)| (name.to_owned(), slot.clone()));
            wrapped.set(name.as_str(), wrap(entries.collect(), evaluator));
            layer = wrapped;
            let mut outer = Object::new();
            outer.insert(name, Json::Object(shown));
            shown = outer;
        }
        if text(arguments, "hash_behaviour").as_deref() == Some("merge") {
            layer = merged(&layer, &mut shown, evaluator)?;
        }
        done.result.insert("changed".into(), false.into());
        done.include = Some(layer);
        done.result.insert("ansible_facts".into(), Json::Object(shown));
        Ok(done)
    }

    fn vars_folder(&self, evaluator: &Evaluator<'_>, name: &str) -> Result<PathBuf, Stop> {
        let tried = crate::outside::candidates(&evaluator.view, "vars", name);
        let files = &self.shared.world.files;
        tried
            .iter()
            .find(|path| files.kind(path) == Some(FileKind::Folder))
            .cloned()
            .ok_or_else(|| Stop::failed(format!("{name} directory does not exist")))
    }
}

/// A failure as this module reports it: Ansible names the text `message`.
pub(super) fn with_message(stop: Stop) -> Stop {
    match stop {
        Stop::Failed(mut result) => {
            if let Some(message) = result.get("msg").cloned() {
                result.insert("message".into(), message);
            }
            Stop::Failed(result)
        }
        pending @ Stop::Pending(_) => pending,
    }
}

/// The variables, mappings among them joined with what these names are now.
fn merged(layer: &Layer, shown: &mut Object, evaluator: &Evaluator<'_>) -> Result<Layer, Stop> {
    let mut merged = Layer::default();
    for (name, slot) in layer.iter() {
        let engine = &evaluator.view.world.engine;
        let new = engine.render_slot(slot, &evaluator.view, evaluator.outside())?;
        let old = evaluator.variable(name)?.map(|value| provision_template::to_json(&value));
        match (old, provision_template::to_json(&new)) {
            (Some(Json::Object(mut old)), Json::Object(new)) => {
                join(&mut old, new);
                let value = Json::Object(old);
                merged.set_data(name, provision_template::from_json(&value));
                shown.insert(name.to_owned(), value);
            }
            _ => merged.set(name, slot.clone()),
        }
    }
    Ok(merged)
}

/// Mappings are joined all the way down, everything else is replaced.
fn join(old: &mut Object, new: Object) {
    for (key, value) in new {
        match (old.get_mut(&key), value) {
            (Some(Json::Object(inner)), Json::Object(value)) => join(inner, value),
            (_, value) => {
                old.insert(key, value);
            }
        }
    }
}

/// Variables under one name: the values evaluated now, as nobody else can be asked later.
fn wrap(
    entries: Vec<(String, provision_template::Slot)>,
    evaluator: &Evaluator<'_>,
) -> provision_template::Slot {
    let values = entries.into_iter().map(|(name, slot)| {
        let value = evaluator
            .view
            .world
            .engine
            .render_slot(&slot, &evaluator.view, evaluator.outside())
            .unwrap_or_default();
        (name, value)
    });
    provision_template::Slot::Data(crate::variables::dictionary(values))
}

fn collect_files(
    evaluator: &Evaluator<'_>,
    folder: &Path,
    arguments: &Object,
    depth: u64,
    files: &mut Vec<PathBuf>,
) -> Result<(), Stop> {
    let limit = arguments.get("depth").and_then(Json::as_u64).unwrap_or(0);
    let list = |name: &str| -> Vec<String> {
        arguments
            .get(name)
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect()
    };
    let mut extensions = list("extensions");
    if extensions.is_empty() {
        extensions = ["yaml", "yml", "json"].map(str::to_owned).to_vec();
    }
    let matching = text(arguments, "files_matching");
    let regex = match &matching {
        Some(pattern) => Some(
            fancy_regex::Regex::new(pattern)
                .map_err(|error| Stop::failed(format!("invalid files_matching: {error}")))?,
        ),
        None => None,
    };
    let ignored = list("ignore_files");
    let lenient =
        arguments.get("ignore_unknown_extensions").and_then(Json::as_bool).unwrap_or(false);
    let mut folders = Vec::new();
    for path in evaluator.view.world.files.list(folder) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if evaluator.view.world.files.kind(&path) == Some(FileKind::Folder) {
            folders.push(path);
            continue;
        }
        let ignored = ignored.iter().any(|pattern| {
            fancy_regex::Regex::new(&format!("{pattern}$"))
                .is_ok_and(|regex| regex.is_match(&name).unwrap_or(false))
        });
        let wanted = regex.as_ref().is_none_or(|regex| regex.is_match(&name).unwrap_or(false));
        if ignored || !wanted {
            continue;
        }
        let extension = path.extension().map(|ext| ext.to_string_lossy().into_owned());
        let known = extensions.contains(&extension.unwrap_or_default());
        match (known, lenient) {
            (true, _) => files.push(path),
            (false, true) => {}
            (false, false) => {
                return Err(Stop::failed(format!(
                    "{} does not have a valid extension: {}",
                    path.display(),
                    extensions.join(", ")
                )));
            }
        }
    }
    if limit == 0 || depth < limit {
        for folder in folders {
            collect_files(evaluator, &folder, arguments, depth + 1, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mappings_are_joined_all_the_way_down() {
        let object = |value: Json| value.as_object().cloned().unwrap();
        let mut old = object(json!({"a": 1, "b": {"x": 1, "y": [1]}, "c": {"z": 1}}));
        join(&mut old, object(json!({"b": {"y": [2], "w": 3}, "c": 4, "d": 5})));
        let expected = json!({"a": 1, "b": {"x": 1, "y": [2], "w": 3}, "c": 4, "d": 5});
        assert_eq!(Json::Object(old), expected);
    }
}
