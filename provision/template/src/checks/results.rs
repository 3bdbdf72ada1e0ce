//! Tests of task results and of files on the controller.

use minijinja::Value;

use super::values::require_dict;
use super::{CheckEntry, check, impure};
use crate::error::Outcome;
use crate::run::{Call, Run};
use crate::scope::PathQuestion;
use crate::value::{dict_get, is_true, iterate};

pub(super) const CHECKS: &[CheckEntry] = &[
    check("abs", |_, call| Ok(call.input_text().starts_with('/'))),
    check("change", |_, call| changed(call)),
    check("changed", |_, call| changed(call)),
    impure("directory", |run, call| path(run, call, PathQuestion::Directory)),
    impure("exists", |run, call| path(run, call, PathQuestion::Exists)),
    check("failed", |_, call| failed(call)),
    check("failure", |_, call| failed(call)),
    impure("file", |run, call| path(run, call, PathQuestion::File)),
    check("finished", |_, call| flag(call, "finished", true)),
    check("is_abs", |_, call| Ok(call.input_text().starts_with('/'))),
    impure("is_dir", |run, call| path(run, call, PathQuestion::Directory)),
    impure("is_file", |run, call| path(run, call, PathQuestion::File)),
    impure("is_link", |run, call| path(run, call, PathQuestion::Link)),
    impure("is_mount", |run, call| path(run, call, PathQuestion::Mount)),
    impure("is_same_file", same_file),
    impure("link", |run, call| path(run, call, PathQuestion::Link)),
    impure("link_exists", |run, call| path(run, call, PathQuestion::LinkExists)),
    impure("mount", |run, call| path(run, call, PathQuestion::Mount)),
    check("reachable", |_, call| flag(call, "unreachable", false).map(|found| !found)),
    impure("same_file", same_file),
    check("skip", |_, call| flag(call, "skipped", false)),
    check("skipped", |_, call| flag(call, "skipped", false)),
    check("started", |_, call| flag(call, "started", true)),
    check("succeeded", |_, call| failed(call).map(|failed| !failed)),
    check("success", |_, call| failed(call).map(|failed| !failed)),
    check("successful", |_, call| failed(call).map(|failed| !failed)),
    check("timedout", |_, call| {
        require_dict(&call.input, "timedout")?;
        let detail = dict_get(&call.input, "timedout");
        Ok(detail.is_some_and(|detail| {
            is_true(&dict_get(&detail, "period").unwrap_or_else(|| Value::from(false)))
        }))
    }),
    check("unreachable", |_, call| flag(call, "unreachable", false)),
    impure("vaulted_file", |run, call| path(run, call, PathQuestion::Vaulted)),
];

/// A truth of a result; `default` where the result does not say.
fn flag(call: &Call, name: &str, default: bool) -> Outcome<bool> {
    require_dict(&call.input, call.what)?;
    Ok(dict_get(&call.input, name).map_or(default, |value| is_true(&value)))
}

fn failed(call: &Call) -> Outcome<bool> {
    flag(call, "failed", false)
}

/// Whether a result, or any of its loop's, changed something.
fn changed(call: &Call) -> Outcome<bool> {
    require_dict(&call.input, call.what)?;
    if let Some(changed) = dict_get(&call.input, "changed") {
        return Ok(is_true(&changed));
    }
    let Some(results) = dict_get(&call.input, "results") else { return Ok(false) };
    Ok(iterate(&results)?
        .iter()
        .any(|result| dict_get(result, "changed").is_some_and(|changed| is_true(&changed))))
}

fn path(run: &mut Run<'_>, call: &mut Call, question: PathQuestion) -> Outcome<bool> {
    let path = call.input_text();
    run.outside.path(question, &path).map_err(|error| Run::outside_error(error, call.what))
}

fn same_file(run: &mut Run<'_>, call: &mut Call) -> Outcome<bool> {
    let other = crate::value::text_of(&call.needed(0, "path2")?);
    let real = |path: &str| {
        run.outside.real_path(path).map_err(|error| Run::outside_error(error, "same_file"))
    };
    Ok(real(&call.input_text())? == real(&other)?)
}
