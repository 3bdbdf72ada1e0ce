//! YAML.

use diagnostics::SourceId;
use minijinja::Value;
use yaml::Schema;

use super::yaml_writer::{YamlStyle, write_yaml};
use super::{FilterEntry, pure};
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::value::{View, is_true, kept_text, list_value, value_of_node, view};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("from_yaml", |_, call| from_yaml(call, false)),
    pure("from_yaml_all", |_, call| from_yaml(call, true)),
    pure("to_nice_yaml", to_nice_yaml),
    pure("to_yaml", to_yaml),
];

/// Width at which PyYAML folds unless told otherwise.
const DEFAULT_WIDTH: usize = 80;

fn style(call: &mut Call, mut style: YamlStyle) -> YamlStyle {
    let size = |value: Value| value.as_usize().filter(|size| *size > 0);
    if let Some(indent) = call.arg(0, "indent").and_then(size) {
        // PyYAML takes 2 to 9 and falls back to 2.
        style.indent = if (2..10).contains(&indent) { indent } else { 2 };
    }
    if let Some(width) = call.option("width").and_then(size) {
        style.width = if width > style.indent * 2 { width } else { DEFAULT_WIDTH };
    }
    if let Some(flow) = call.option("default_flow_style") {
        style.flow = if flow.is_none() { None } else { Some(is_true(&flow)) };
    }
    let mut flag =
        |name: &str, default: bool| call.option(name).map_or(default, |value| is_true(&value));
    style.sort_keys = flag("sort_keys", true);
    style.explicit_start = flag("explicit_start", false);
    style.explicit_end = flag("explicit_end", false);
    style
}

fn base(indent: usize, flow: Option<bool>) -> YamlStyle {
    YamlStyle {
        indent,
        width: DEFAULT_WIDTH,
        flow,
        sort_keys: true,
        explicit_start: false,
        explicit_end: false,
    }
}

fn to_yaml(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let style = style(call, base(2, None));
    write_yaml(&call.input, &style).map(kept_text)
}

fn to_nice_yaml(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let style = style(call, base(4, Some(false)));
    write_yaml(&call.input, &style).map(kept_text)
}

fn from_yaml(call: &Call, all: bool) -> Outcome<Value> {
    let text = match view(&call.input) {
        View::Text(text) => text.to_owned(),
        View::None => return Ok(Value::from(())),
        _ => return Ok(call.input.clone()),
    };
    let documents = parse_documents(&text)?;
    if all {
        return Ok(list_value(documents));
    }
    if documents.len() > 1 {
        return Err(TemplateError::failed(
            "expected a single document in the stream, but found another document",
        ));
    }
    Ok(documents.into_iter().next().unwrap_or_else(|| Value::from(())))
}

/// All documents of a text, as PyYAML reads them.
pub(crate) fn parse_documents(text: &str) -> Outcome<Vec<Value>> {
    let read = yaml::read(text, SourceId(u32::MAX), Schema::Ansible);
    if let Some(diagnostic) = read.diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
        return Err(TemplateError::failed(format!("the text is not YAML: {}", diagnostic.message)));
    }
    Ok(read.documents.iter().map(value_of_node).collect())
}
