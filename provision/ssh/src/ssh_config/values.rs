//! The typed values of what applies to one host. Pure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::evaluate::{IgnoredSetting, Setting, Settings};
use super::tokens::{Tokens, expand};
use crate::error::SshError;
use crate::known_hosts::Location;
use crate::options::{Destination, HostKeyPolicy};
use crate::pattern;
use crate::resolve::{AlgorithmLimits, Algorithms};

/// `AddressFamily`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum AddressFamily {
    #[default]
    Any,
    V4,
    V6,
}

impl AddressFamily {
    pub(crate) fn allows(self, address: std::net::IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// What the files say about one host.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostConfig {
    settings: Settings,
    pub(crate) ignored: Vec<IgnoredSetting>,
}

/// The value of a setting is not what it should be.
fn invalid(setting: &Setting, problem: impl Into<String>) -> SshError {
    SshError::Configuration {
        location: setting.location.clone(),
        problem: problem.into(),
        hint: "correct this line".to_owned(),
    }
}

impl Setting {
    fn value(&self) -> &str {
        self.arguments.first().map(String::as_str).unwrap_or_default()
    }
}

impl HostConfig {
    pub(super) fn has(&self, keyword: &str) -> bool {
        self.settings.contains_key(keyword)
    }

    pub(super) fn first(&self, keyword: &str) -> Option<&Setting> {
        self.settings.get(keyword)?.first()
    }

    pub(super) fn set_first(&mut self, keyword: &str, setting: Setting) {
        // Whichever of the two comes first decides (`readconf.c`).
        let is_decided = match keyword {
            "proxyjump" => self.has("proxycommand"),
            "proxycommand" => self.has("proxyjump"),
            _ => false,
        };
        if !is_decided {
            self.settings.entry(keyword.to_owned()).or_insert_with(|| vec![setting]);
        }
    }

    pub(super) fn add(&mut self, keyword: &str, setting: Setting) {
        let settings = self.settings.entry(keyword.to_owned()).or_default();
        if !settings.contains(&setting) {
            settings.push(setting);
        }
    }

    /// Makes the host name final.
    pub(super) fn fix_host_name(&mut self, host: &str) {
        let location = match self.first("hostname") {
            Some(setting) => setting.location.clone(),
            None => Location { file: PathBuf::new(), line: 0 },
        };
        let setting = Setting { arguments: vec![host.replace('%', "%%")], location };
        self.settings.insert("hostname".to_owned(), vec![setting]);
    }

    pub(super) fn ignore(&mut self, keyword: &str, location: Location) {
        let ignored = IgnoredSetting { keyword: keyword.to_owned(), location };
        if !self.ignored.contains(&ignored) {
            self.ignored.push(ignored);
        }
    }

    pub(super) fn is_ignored_unknown(&self, keyword: &str) -> bool {
        self.first("ignoreunknown").is_some_and(|setting| {
            pattern::matches_list(setting.value().to_ascii_lowercase().split(','), keyword)
        })
    }

    fn parse<T>(
        &self,
        keyword: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, SshError> {
        self.first(keyword)
            .map(|setting| {
                parse(setting.value())
                    .map_err(|problem| invalid(setting, format!("{keyword}: {problem}")))
            })
            .transpose()
    }

    fn text(&self, keyword: &str) -> Option<String> {
        self.first(keyword).map(|setting| setting.value().to_owned())
    }

    pub(crate) fn flag(&self, keyword: &str) -> Result<Option<bool>, SshError> {
        self.parse(keyword, |value| match value.to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            other => Err(format!("`{other}` is neither yes nor no")),
        })
    }

    /// The host name to connect to, in lower case.
    pub(crate) fn host_name(&self, original: &str) -> Result<String, SshError> {
        let name = self.parse("hostname", |value| {
            expand(value, |token| (token == 'h').then(|| original.to_owned()))
        })?;
        Ok(name.unwrap_or_else(|| original.to_owned()).to_ascii_lowercase())
    }

    pub(crate) fn port(&self) -> Result<Option<u16>, SshError> {
        self.parse("port", |value| match value.parse() {
            Ok(port) if port != 0 => Ok(port),
            _ => Err(format!("`{value}` is not a port")),
        })
    }

    pub(crate) fn user(&self) -> Option<String> {
        self.text("user")
    }

    pub(crate) fn host_key_alias(&self) -> Option<String> {
        self.text("hostkeyalias")
    }

    pub(crate) fn host_key_policy(&self) -> Result<Option<HostKeyPolicy>, SshError> {
        self.parse("stricthostkeychecking", |value| match value.to_ascii_lowercase().as_str() {
            // Nobody can be asked in a fleet: what isn't known is refused.
            "yes" | "true" | "ask" => Ok(HostKeyPolicy::Strict),
            // `no` learns new keys as well; that it also accepts changed ones must be asked for
            // explicitly, not by a line that was once written for something else.
            "accept-new" | "no" | "off" | "false" => Ok(HostKeyPolicy::AcceptNew),
            other => Err(format!("`{other}` is not a policy")),
        })
    }

    pub(crate) fn connect_timeout(&self) -> Result<Option<Duration>, SshError> {
        let timeout = self.parse("connecttimeout", |value| {
            if value.eq_ignore_ascii_case("none") { Ok(None) } else { time(value).map(Some) }
        })?;
        Ok(timeout.flatten().filter(|timeout| !timeout.is_zero()))
    }

    pub(crate) fn keepalive_interval(&self) -> Result<Option<Duration>, SshError> {
        self.parse("serveraliveinterval", time)
    }

    pub(crate) fn keepalive_max(&self) -> Result<Option<usize>, SshError> {
        self.parse("serveralivecountmax", |value| {
            value.parse().map_err(|_| format!("`{value}` is not a number"))
        })
    }

    /// `ConnectionAttempts` counts the first one.
    pub(crate) fn retries(&self) -> Result<Option<u32>, SshError> {
        self.parse("connectionattempts", |value| match value.parse::<u32>() {
            Ok(attempts) if attempts > 0 => Ok(attempts - 1),
            _ => Err(format!("`{value}` is not a positive number")),
        })
    }

    pub(crate) fn address_family(&self) -> Result<AddressFamily, SshError> {
        let family =
            self.parse("addressfamily", |value| match value.to_ascii_lowercase().as_str() {
                "any" => Ok(AddressFamily::Any),
                "inet" => Ok(AddressFamily::V4),
                "inet6" => Ok(AddressFamily::V6),
                other => Err(format!("`{other}` is not an address family")),
            })?;
        Ok(family.unwrap_or_default())
    }

    /// Whether an authentication method may be used at all.
    pub(crate) fn allows_method(&self, method: &str) -> Result<bool, SshError> {
        let keyword = match method {
            "publickey" => "pubkeyauthentication",
            "password" => "passwordauthentication",
            _ => "kbdinteractiveauthentication",
        };
        // `PubkeyAuthentication` also takes `unbound` and `host-bound`.
        let value = self.first(keyword).map(Setting::value).unwrap_or("yes");
        let is_off = value.eq_ignore_ascii_case("no") || value.eq_ignore_ascii_case("false");
        let preferred = self.first("preferredauthentications").map(Setting::value);
        let is_preferred = preferred.is_none_or(|list| list.split(',').any(|name| name == method));
        Ok(!is_off && is_preferred)
    }

    fn paths(settings: &[Setting], tokens: &Tokens<'_>) -> Result<Vec<PathBuf>, SshError> {
        let mut paths = Vec::new();
        for setting in settings {
            for argument in setting.arguments.iter().filter(|text| !is_none(text)) {
                let path = tokens.expand_path(argument);
                paths.push(path.map_err(|problem| invalid(setting, problem))?);
            }
        }
        Ok(paths)
    }

    fn every(&self, keyword: &str) -> &[Setting] {
        self.settings.get(keyword).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn identity_files(&self, tokens: &Tokens<'_>) -> Result<Vec<PathBuf>, SshError> {
        Self::paths(self.every("identityfile"), tokens)
    }

    pub(crate) fn certificate_files(&self, tokens: &Tokens<'_>) -> Result<Vec<PathBuf>, SshError> {
        Self::paths(self.every("certificatefile"), tokens)
    }

    /// `IdentityFile none`: not even the default files.
    pub(crate) fn has_identity_none(&self) -> bool {
        self.every("identityfile").iter().any(|setting| is_none(setting.value()))
    }

    pub(crate) fn known_hosts(
        &self,
        keyword: &str,
        tokens: &Tokens<'_>,
    ) -> Result<Option<Vec<PathBuf>>, SshError> {
        let Some(setting) = self.first(keyword) else { return Ok(None) };
        Self::paths(std::slice::from_ref(setting), tokens).map(Some)
    }

    /// The agent's socket; `default` is what the environment says.
    pub(crate) fn identity_agent(
        &self,
        tokens: &Tokens<'_>,
        default: Option<&Path>,
    ) -> Result<Option<PathBuf>, SshError> {
        let Some(setting) = self.first("identityagent") else {
            return Ok(default.map(Path::to_owned));
        };
        match setting.value() {
            "SSH_AUTH_SOCK" => Ok(default.map(Path::to_owned)),
            value if is_none(value) => Ok(None),
            value if value.starts_with('$') => {
                Err(invalid(setting, "variables are not supported; write the path"))
            }
            value => tokens.expand_path(value).map(Some).map_err(|text| invalid(setting, text)),
        }
    }

    /// The jump hosts.
    ///
    /// # Errors
    /// A `ProxyCommand` applies, which only OpenSSH can run.
    pub(crate) fn proxy_jump(&self, tokens: &Tokens<'_>) -> Result<Vec<Destination>, SshError> {
        if let Some(setting) =
            self.first("proxycommand").filter(|setting| !is_none(setting.value()))
        {
            return Err(SshError::Configuration {
                location: setting.location.clone(),
                problem: "ProxyCommand applies to this host and is not supported".to_owned(),
                hint: "use ProxyJump, or give the jump hosts explicitly".to_owned(),
            });
        }
        let Some(setting) = self.first("proxyjump").filter(|setting| !is_none(setting.value()))
        else {
            return Ok(Vec::new());
        };
        let list = tokens.expand(setting.value()).map_err(|problem| invalid(setting, problem))?;
        list.split(',')
            .map(|jump| {
                jump.trim().parse().map_err(|error: SshError| invalid(setting, error.to_string()))
            })
            .collect()
    }

    pub(crate) fn algorithm_limits(&self) -> AlgorithmLimits {
        let limit = |keyword| Algorithms::new(self.text(keyword));
        AlgorithmLimits {
            key_exchanges: limit("kexalgorithms"),
            ciphers: limit("ciphers"),
            macs: limit("macs"),
            host_keys: limit("hostkeyalgorithms"),
            public_keys: limit("pubkeyacceptedalgorithms"),
        }
    }
}

fn is_none(value: &str) -> bool {
    value.eq_ignore_ascii_case("none")
}

/// Times as in `sshd_config(5)`, TIME FORMATS: `90`, `1m30s`, `2h`.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time");
    let mut seconds: u64 = 0;
    let mut number = String::new();
    for character in text.chars() {
        if character.is_ascii_digit() {
            number.push(character);
            continue;
        }
        let unit = match character.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            'w' => 7 * 24 * 60 * 60,
            _ => return Err(wrong()),
        };
        let count: u64 = number.parse().map_err(|_| wrong())?;
        seconds =
            count.checked_mul(unit).and_then(|part| seconds.checked_add(part)).ok_or_else(wrong)?;
        number.clear();
    }
    if !number.is_empty() {
        let count: u64 = number.parse().map_err(|_| wrong())?;
        seconds = seconds.checked_add(count).ok_or_else(wrong)?;
    } else if text.is_empty() {
        return Err(wrong());
    }
    // As OpenSSH: an `int` of seconds.
    if seconds > i32::MAX.unsigned_abs().into() {
        return Err(wrong());
    }
    Ok(Duration::from_secs(seconds))
}
