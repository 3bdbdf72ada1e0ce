//! Which lines apply to a host. Pure: files have been read.

use std::collections::BTreeMap;
use std::path::Path;

use super::HostConfig;
use super::keywords::{Treatment, canonical, treatment};
use super::load::{Entry, LoadedConfig};
use super::parse::ConfigLine;
use super::tokens::expand;
use crate::error::SshError;
use crate::known_hosts::Location;
use crate::pattern;

/// The arguments of a line and where they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) arguments: Vec<String>,
    pub(crate) location: Location,
}

/// A line of `ssh_config` that applies to a host and that we do nothing about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoredSetting {
    /// The keyword in lower case.
    pub keyword: String,
    /// Where it stands.
    pub location: Location,
}

/// Whom the configuration is evaluated for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) host: &'a str,
    /// The remote user, if it was given explicitly.
    pub(crate) user: Option<&'a str>,
    pub(crate) local_user: &'a str,
}

/// Evaluates all files; twice if one asks for it (`Match final`).
pub(crate) fn evaluate(
    files: &[LoadedConfig],
    subject: Subject<'_>,
) -> Result<HostConfig, SshError> {
    let mut evaluation = Evaluation {
        subject,
        host_for_patterns: subject.host.to_owned(),
        is_final: false,
        wants_final: false,
        config: HostConfig::default(),
    };
    evaluation.run(files)?;
    if evaluation.wants_final {
        // The second pass sees the host name that the first one has found, and can't change it.
        let host = evaluation.config.host_name(subject.host)?;
        evaluation.config.fix_host_name(&host);
        evaluation.host_for_patterns = host;
        evaluation.is_final = true;
        evaluation.run(files)?;
    }
    Ok(evaluation.config)
}

struct Evaluation<'a> {
    subject: Subject<'a>,
    /// What `Host` lines are about: the host as given, in the second pass the resolved name.
    host_for_patterns: String,
    is_final: bool,
    wants_final: bool,
    config: HostConfig,
}

fn refuse(location: Location, problem: impl Into<String>, hint: &str) -> SshError {
    SshError::Configuration { location, problem: problem.into(), hint: hint.to_owned() }
}

const CORRECT: &str = "correct this line";

impl Evaluation<'_> {
    fn run(&mut self, files: &[LoadedConfig]) -> Result<(), SshError> {
        files.iter().try_for_each(|file| self.file(file, true))
    }

    /// `may_match`: whether the line that includes this file applies.
    fn file(&mut self, file: &LoadedConfig, may_match: bool) -> Result<(), SshError> {
        let mut active = may_match;
        for entry in &file.entries {
            match entry {
                Entry::Included(files) => {
                    files.iter().try_for_each(|file| self.file(file, active))?;
                }
                Entry::Line(line) => self.line(line, &file.path, may_match, &mut active)?,
            }
        }
        Ok(())
    }

    fn line(
        &mut self,
        line: &ConfigLine,
        path: &Path,
        may_match: bool,
        active: &mut bool,
    ) -> Result<(), SshError> {
        let location = Location { file: path.to_owned(), line: line.number };
        let is_block = matches!(line.keyword.as_str(), "host" | "match");
        if !(*active || is_block && may_match) {
            return Ok(());
        }
        let arguments = match &line.arguments {
            Ok(arguments) if !arguments.is_empty() => arguments,
            Ok(_) => {
                return Err(refuse(location, format!("{} lacks a value", line.keyword), CORRECT));
            }
            Err(problem) => return Err(refuse(location, *problem, CORRECT)),
        };
        match line.keyword.as_str() {
            "host" => {
                let patterns = arguments.iter().map(String::as_str);
                *active = pattern::matches_list(patterns, &self.host_for_patterns);
                Ok(())
            }
            "match" => {
                *active = self.matches(arguments, &location)?;
                Ok(())
            }
            "include" => Err(refuse(location, "Include lacks a value", CORRECT)),
            keyword => self.setting(canonical(keyword), arguments, location),
        }
    }

    fn setting(
        &mut self,
        keyword: &str,
        arguments: &[String],
        location: Location,
    ) -> Result<(), SshError> {
        let first = arguments.first().map(String::as_str).unwrap_or_default();
        let setting = Setting { arguments: arguments.to_vec(), location };
        match treatment(keyword) {
            Treatment::Single if arguments.len() > 1 => {
                let problem = format!("{keyword} has more than one value");
                return Err(refuse(setting.location, problem, CORRECT));
            }
            Treatment::Single | Treatment::List => self.config.set_first(keyword, setting),
            Treatment::Every => self.config.add(keyword, setting),
            Treatment::Ignored => self.config.ignore(keyword, setting.location),
            Treatment::Refused(neutral) => {
                // Only the first value counts, also that of a keyword that we don't support.
                let is_neutral = neutral.iter().any(|value| first.eq_ignore_ascii_case(value));
                let is_first = !self.config.has(keyword);
                if is_first && !is_neutral {
                    let problem =
                        format!("`{keyword} {first}` applies to this host and is not supported");
                    let hint = "remove it for this host, or give the options that it stands for";
                    return Err(refuse(setting.location, problem, hint));
                }
                self.config.set_first(keyword, setting);
            }
            Treatment::Unknown if self.config.is_ignored_unknown(keyword) => {
                self.config.ignore(keyword, setting.location);
            }
            Treatment::Unknown => {
                let problem = format!("`{keyword}` is not a keyword that we know");
                let hint = "correct it, or name it in IgnoreUnknown above this line";
                return Err(refuse(setting.location, problem, hint));
            }
        }
        Ok(())
    }

    /// All criteria of a `Match` line must hold. What cannot be decided is an error only if
    /// everything before it holds.
    fn matches(&mut self, arguments: &[String], location: &Location) -> Result<bool, SshError> {
        let mut holds = true;
        let mut arguments = arguments.iter();
        while let Some(attribute) = arguments.next() {
            let (negated, attribute) = match attribute.strip_prefix('!') {
                Some(attribute) => (true, attribute),
                None => (false, attribute.as_str()),
            };
            let (name, inline) = match attribute.split_once('=') {
                Some((name, value)) => (name.to_ascii_lowercase(), Some(value)),
                None => (attribute.to_ascii_lowercase(), None),
            };
            let is_true = match name.as_str() {
                "all" => true,
                "canonical" => self.is_final,
                "final" => {
                    self.wants_final |= !negated;
                    self.is_final
                }
                _ => {
                    let value = inline.or_else(|| arguments.next().map(String::as_str));
                    let Some(value) = value.filter(|value| !value.is_empty()) else {
                        let problem = format!("Match {name} lacks a value");
                        return Err(refuse(location.clone(), problem, CORRECT));
                    };
                    match self.criterion(&name, value) {
                        Some(is_true) => is_true,
                        None if !holds => continue,
                        None => {
                            let problem = format!("`Match {name}` is not supported");
                            let hint =
                                "use Host, or Match with host, originalhost, user or localuser";
                            return Err(refuse(location.clone(), problem, hint));
                        }
                    }
                }
            };
            holds = holds && is_true != negated;
        }
        Ok(holds)
    }

    fn criterion(&self, name: &str, value: &str) -> Option<bool> {
        let patterns = value.split(',');
        let lower = value.to_ascii_lowercase();
        let host_patterns = lower.split(',');
        match name {
            "host" => {
                let host = self.config.first("hostname").and_then(|setting| {
                    let name = setting.arguments.first()?;
                    expand(name, |token| (token == 'h').then(|| self.subject.host.to_owned())).ok()
                });
                let host = host.unwrap_or_else(|| self.subject.host.to_owned());
                Some(pattern::matches_list(host_patterns, &host.to_ascii_lowercase()))
            }
            "originalhost" => {
                Some(pattern::matches_list(host_patterns, &self.subject.host.to_ascii_lowercase()))
            }
            "user" => {
                let configured = self.config.first("user");
                let configured = configured.and_then(|setting| setting.arguments.first());
                let user = self.subject.user.or(configured.map(String::as_str));
                Some(pattern::matches_list(patterns, user.unwrap_or(self.subject.local_user)))
            }
            "localuser" => Some(pattern::matches_list(patterns, self.subject.local_user)),
            _ => None,
        }
    }
}

/// What applies to a host, by keyword.
pub(crate) type Settings = BTreeMap<String, Vec<Setting>>;
