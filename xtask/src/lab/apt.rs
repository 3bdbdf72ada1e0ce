//! `[pure]` What this machine's own apt sources say. No registry is named in this repository.

use std::collections::BTreeMap;

/// A repository that this machine installs its packages from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Where it is, without a slash at the end.
    pub uri: String,
    /// Its suites.
    pub suites: Vec<String>,
    /// Its components.
    pub components: Vec<String>,
}

/// Reads a one-line-style file (`sources.list`, `*.list`).
#[must_use]
pub fn parse_list(text: &str) -> Vec<Repository> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t', '[']))
        else {
            continue;
        };
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[').and_then(|options| options.split_once(']')) {
            Some((_options, rest)) => rest,
            None => rest,
        };
        let mut words = rest.split_whitespace();
        if let (Some(uri), Some(suite)) = (words.next(), words.next()) {
            found.push(repository(uri, vec![suite.to_owned()], words.map(str::to_owned).collect()));
        }
    }
    found
}

/// Reads a deb822-style file (`*.sources`).
#[must_use]
pub fn parse_sources(text: &str) -> Vec<Repository> {
    let mut found = Vec::new();
    for fields in stanzas(text) {
        let words = |name: &str| -> Vec<String> {
            let value = fields.get(name).map(String::as_str).unwrap_or_default();
            value.split_whitespace().map(str::to_owned).collect()
        };
        let disabled = fields.get("enabled").is_some_and(|value| value.trim() == "no");
        if disabled || !words("types").iter().any(|kind| kind == "deb") {
            continue;
        }
        for uri in words("uris") {
            found.push(repository(&uri, words("suites"), words("components")));
        }
    }
    found
}

/// Where the suites that a lab needs can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstreams {
    /// Path on the lab's mirror (`debian`, `debian-security`) → address of the upstream.
    pub bases: BTreeMap<String, String>,
    /// Path on the lab's mirror and suite of each source that the hosts have.
    pub host_sources: Vec<(String, String)>,
}

/// Picks from the machine's repositories what hosts of `suite` need.
///
/// `codename` is the machine's own release: its main archive also has all other suites.
#[must_use]
pub fn upstreams(repositories: &[Repository], codename: &str, suite: &str) -> Option<Upstreams> {
    let having = |wanted: &str| {
        repositories.iter().find(|repository| {
            repository.suites.iter().any(|name| name == wanted)
                && repository.components.iter().any(|name| name == "main")
        })
    };
    let main = having(suite).or_else(|| having(codename))?;
    let mut bases = BTreeMap::from([("debian".to_owned(), main.uri.clone())]);
    let mut host_sources = vec![("debian".to_owned(), suite.to_owned())];
    for kind in ["updates", "security"] {
        let Some(repository) =
            having(&format!("{suite}-{kind}")).or_else(|| having(&format!("{codename}-{kind}")))
        else {
            continue;
        };
        let path = match repository.uri == main.uri {
            true => "debian".to_owned(),
            false => format!("debian-{kind}"),
        };
        bases.insert(path.clone(), repository.uri.clone());
        host_sources.push((path, format!("{suite}-{kind}")));
    }
    Some(Upstreams { bases, host_sources })
}

/// The stanzas of a deb822 text; field names in lower case, continued lines joined by newlines.
pub fn stanzas(text: &str) -> impl Iterator<Item = BTreeMap<String, String>> + '_ {
    text.split("\n\n").filter_map(|stanza| {
        let fields = fields(stanza);
        (!fields.is_empty()).then_some(fields)
    })
}

/// The fields of one stanza.
#[must_use]
pub fn fields(stanza: &str) -> BTreeMap<String, String> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut last = String::new();
    for line in stanza.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with([' ', '\t']) {
            if let Some(value) = fields.get_mut(&last) {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            last = name.trim().to_ascii_lowercase();
            fields.insert(last.clone(), value.trim().to_owned());
        }
    }
    fields
}

fn repository(uri: &str, suites: Vec<String>, components: Vec<String>) -> Repository {
    Repository { uri: uri.trim_end_matches('/').to_owned(), suites, components }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_sources_are_read() {
        let text = "# deb http://no.example/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://m.example/debian/ bookworm main extra\n\
                    deb-src http://m.example/debian bookworm main\n\
                    deb http://m.example/debian bookworm-updates main # why\n";
        let found = parse_list(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].uri, "http://m.example/debian");
        assert_eq!(found[0].components, ["main", "extra"]);
        assert_eq!(found[1].suites, ["bookworm-updates"]);
    }

    #[test]
    fn deb822_sources_are_read() {
        let text = "Types: deb deb-src\n# a comment\nURIs: http://m.example/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main\n\nTypes: deb\n\
                    Enabled: no\nURIs: http://x.example/\nSuites: y\nComponents: main\n\n\
                    Types: deb\nURIs: http://m.example/debian-security\n\
                    Suites: bookworm-security\nComponents: main\nSigned-By:\n -----BEGIN\n .\n";
        let found = parse_sources(text);
        assert_eq!(found.len(), 2);
        let picked = upstreams(&found, "bookworm", "bookworm").unwrap();
        assert_eq!(picked.bases["debian"], "http://m.example/debian");
        assert_eq!(picked.bases["debian-security"], "http://m.example/debian-security");
        let sources: Vec<String> =
            picked.host_sources.iter().map(|(path, suite)| format!("{path} {suite}")).collect();
        assert_eq!(
            sources,
            ["debian bookworm", "debian bookworm-updates", "debian-security bookworm-security"]
        );
    }

    #[test]
    fn a_machine_of_another_release_lends_its_archive() {
        let found = parse_list("deb http://m.example/debian trixie main\n");
        let picked = upstreams(&found, "trixie", "bookworm").unwrap();
        assert_eq!(picked.host_sources, [("debian".to_owned(), "bookworm".to_owned())]);
        assert_eq!(upstreams(&[], "trixie", "bookworm"), None);
    }
}
