//! Lookups: `lookup()`, `query()` and `with_<name>`. Those that need nothing from outside are
//! answered here.

mod ini;
mod lists;
mod sequence;
mod tables;

use std::sync::Arc;

use minijinja::Value;

use crate::error::{Outcome, TemplateError};
use crate::filters::bare_name;
use crate::program::Name;
use crate::run::{Call, Run};
use crate::scope::LookupRequest;
use crate::value::{
    is_true, is_undefined, iterate, list_value, pairs_of, text_of, undefined_error,
};

/// What a lookup returns.
pub(crate) fn run(
    run: &mut Run<'_>,
    name: &str,
    terms: Vec<Value>,
    options: Vec<(Name, Value)>,
) -> Outcome<Vec<Value>> {
    let name = bare_name(name);
    for value in terms.iter().chain(options.iter().map(|(_, value)| value)) {
        if is_undefined(value) && !matches!(name, "first_found") {
            return Err(undefined_error(value));
        }
    }
    match name {
        "items" => lists::items(&terms),
        "list" => Ok(terms),
        "dict" => lists::dict(&terms),
        "nested" | "cartesian" => lists::nested(&terms),
        "together" => lists::together(&terms),
        "flattened" => lists::flattened(&terms),
        "indexed_items" => lists::indexed_items(&terms),
        "subelements" => lists::subelements(&terms),
        "sequence" => sequence::sequence(&terms, &options),
        "random_choice" => lists::random_choice(run, &terms),
        "vars" => variables(run, &terms, &options),
        "varnames" => variable_names(run, &terms),
        "ini" => ini::ini(run, &terms, &options),
        "csvfile" => tables::csvfile(run, &terms, &options),
        _ => {
            let request = LookupRequest { name, terms: &terms, options: &options };
            run.outside.lookup(&request).map_err(|error| Run::outside_error(error, name))
        }
    }
}

impl Run<'_> {
    /// `lookup(name, ...)`, or `query(name, ...)` if `want_list`.
    pub(crate) fn lookup_call(&mut self, mut call: Call, want_list: bool) -> Outcome<Value> {
        if call.args.is_empty() {
            return Err(TemplateError::failed("lookup() needs the name of a lookup"));
        }
        let name = call.args.remove(0);
        let first_undefined = call
            .args
            .iter()
            .chain(call.named.iter().map(|(_, value)| value))
            .find(|v| is_undefined(v));
        if let Some(value) = first_undefined
            && text_of(&name) != "first_found"
        {
            return if self.is_strict() { Ok(value.clone()) } else { Err(undefined_error(value)) };
        }
        let name = text_of(&name);
        let want_list = call.option("wantlist").map_or(want_list, |value| is_true(&value));
        let errors =
            call.option("errors").map_or_else(|| "strict".to_owned(), |value| text_of(&value));
        call.named.retain(|(option, _)| &**option != "allow_unsafe");
        let found = match run(self, &name, call.args, call.named) {
            Ok(found) => found,
            Err(error @ (TemplateError::Pending(_) | TemplateError::Undefined(_))) => {
                return Err(error);
            }
            Err(error) if errors == "ignore" || errors == "warn" => {
                if errors == "warn" {
                    self.outside.warn(&format!(
                        "Lookup failed but the error is being ignored: {}",
                        error.message()
                    ));
                }
                return Ok(if want_list { list_value(Vec::new()) } else { Value::from(()) });
            }
            Err(error) => return Err(error),
        };
        if want_list || found.is_empty() {
            return Ok(list_value(found));
        }
        Ok(self.joined_results(&found))
    }

    /// Several results as `lookup()` returns them: texts with commas between them, one other value
    /// as it is.
    fn joined_results(&self, found: &[Value]) -> Value {
        if let [only] = found {
            return only.clone();
        }
        let texts: Option<Vec<&str>> = found.iter().map(Value::as_str).collect();
        match texts {
            Some(texts) => Value::from(texts.join(",")),
            None => list_value(found.to_vec()),
        }
    }
}

fn option<'o>(options: &'o [(Name, Value)], name: &str) -> Option<&'o Value> {
    options.iter().find(|(known, _)| &**known == name).map(|(_, value)| value)
}

/// `lookup('vars', name, default=)`
fn variables(run: &mut Run<'_>, terms: &[Value], options: &[(Name, Value)]) -> Outcome<Vec<Value>> {
    let default = option(options, "default");
    let mut out = Vec::with_capacity(terms.len());
    for term in terms {
        let Some(name) = term.as_str() else {
            return Err(TemplateError::failed(format!(
                "Invalid setting identifier, \"{}\" is not a string, its a {}",
                text_of(term),
                crate::value::type_name(term)
            )));
        };
        let value = run.variable(&Arc::from(name))?;
        out.push(match (value, default) {
            (Some(value), _) => run.force(value)?,
            (None, Some(default)) => default.clone(),
            (None, None) => {
                return Err(TemplateError::undefined(
                    format!("No variable found with this name: {name}"),
                    Some(name.to_owned()),
                ));
            }
        });
    }
    Ok(out)
}

/// `lookup('varnames', pattern)`
fn variable_names(run: &mut Run<'_>, terms: &[Value]) -> Outcome<Vec<Value>> {
    let names = run.all_names();
    let mut out = Vec::new();
    for term in terms {
        let Some(pattern) = term.as_str() else {
            return Err(TemplateError::failed(format!(
                "Invalid setting identifier, \"{}\" is not a string, it is a {}",
                text_of(term),
                crate::value::type_name(term)
            )));
        };
        let flags = crate::filters::regex::Flags::default();
        let regex = crate::filters::regex::compile(pattern, flags).map_err(|error| {
            // Python's words for what people get wrong most.
            let nothing = pattern.starts_with(['*', '+', '?']);
            let reason = if nothing { "nothing to repeat at position 0" } else { error.message() };
            let text = format!("Unable to use \"{pattern}\" as a search parameter: {reason}");
            TemplateError::failed(text)
        })?;
        for name in &names {
            if regex.is_match(name).map_err(|error| crate::filters::regex::too_long(&error))? {
                out.push(Value::from(name.as_str()));
            }
        }
    }
    Ok(out)
}

/// Terms with one level of lists dissolved.
pub(super) fn flat(terms: &[Value]) -> Outcome<Vec<Value>> {
    let mut out = Vec::new();
    for term in terms {
        if crate::value::is_list(term) {
            out.extend(iterate(term)?);
        } else {
            out.push(term.clone());
        }
    }
    Ok(out)
}

/// Options of an old-style `key=value key=value` term.
pub(super) fn parsed_pairs(text: &str) -> Vec<(String, String)> {
    crate::methods::text::split_text(text, None, None, false)
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| {
            let value = value.trim_matches(['\'', '"']);
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

/// A text as Ansible splits arguments: `key=value` words, quotes taken off, and the other words.
pub(super) fn split_pairs(text: &str) -> (Vec<(String, String)>, Option<String>) {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in text.chars() {
        match (character, quote) {
            (blank, None) if blank.is_whitespace() => words.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
        quote = match (character, quote) {
            ('"' | '\'', None) => Some(character),
            (end, Some(begin)) if end == begin => None,
            (_, quote) => quote,
        };
    }
    words.push(word);
    let (mut pairs, mut rest) = (Vec::new(), Vec::new());
    for word in words.into_iter().filter(|word| !word.is_empty()) {
        match word.split_once('=').filter(|(key, _)| !key.is_empty() && !key.ends_with('\\')) {
            Some((key, value)) => pairs.push((key.to_owned(), unquoted(value).to_owned())),
            None => rest.push(word),
        }
    }
    (pairs, (!rest.is_empty()).then(|| rest.join(" ")))
}

fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

/// Pairs of a dictionary with text keys.
pub(super) fn named_pairs(value: &Value) -> Vec<(String, Value)> {
    pairs_of(value).into_iter().map(|(key, value)| (text_of(&key), value)).collect()
}
