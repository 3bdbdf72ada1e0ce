//! Facts: which distribution it is.

use std::collections::BTreeMap;
use std::path::Path;

use provision_protocol::Object;
use regex::Regex;
use serde_json::Value;

use super::super::process::find_program;
use super::{Gathering, content};

/// Families by the distributions' names.
const FAMILIES: &[(&str, &[&str])] = &[
    (
        "RedHat",
        &[
            "RedHat",
            "RHEL",
            "Fedora",
            "CentOS",
            "Scientific",
            "SLC",
            "Ascendos",
            "CloudLinux",
            "PSBM",
            "OracleLinux",
            "OVS",
            "OEL",
            "Amazon",
            "Amzn",
            "Virtuozzo",
            "XenServer",
            "Alibaba",
            "EulerOS",
            "openEuler",
            "AlmaLinux",
            "Rocky",
            "TencentOS",
            "EuroLinux",
            "Kylin Linux Advanced Server",
            "MIRACLE",
        ],
    ),
    (
        "Debian",
        &[
            "Debian",
            "Ubuntu",
            "Raspbian",
            "Neon",
            "KDE neon",
            "Linux Mint",
            "SteamOS",
            "Devuan",
            "Kali",
            "Cumulus Linux",
            "Pop!_OS",
            "Parrot",
            "Pardus GNU/Linux",
            "Uos",
            "Deepin",
            "OSMC",
        ],
    ),
    (
        "Suse",
        &[
            "SuSE",
            "SLES",
            "SLED",
            "openSUSE",
            "openSUSE Tumbleweed",
            "SLES_SAP",
            "SUSE_LINUX",
            "openSUSE Leap",
            "ALP-Dolomite",
            "SL-Micro",
        ],
    ),
    ("Archlinux", &["Archlinux", "Antergos", "Manjaro"]),
    ("Mandrake", &["Mandrake", "Mandriva"]),
    ("Slackware", &["Slackware"]),
    ("Altlinux", &["Altlinux"]),
    ("SMGL", &["SMGL"]),
    ("Gentoo", &["Gentoo", "Funtoo"]),
    ("Alpine", &["Alpine"]),
    ("ClearLinux", &["Clear Linux OS", "Clear Linux Mix"]),
];

/// Files that tell a distribution, in the order they are asked.
const FILES: &[(&str, &str)] = &[
    ("/etc/altlinux-release", "Altlinux"),
    ("/etc/oracle-release", "OracleLinux"),
    ("/etc/slackware-version", "Slackware"),
    ("/etc/centos-release", "CentOS"),
    ("/etc/redhat-release", "RedHat"),
    ("/etc/vmware-release", "VMwareESX"),
    ("/etc/openwrt_release", "OpenWrt"),
    ("/etc/os-release", "Amazon"),
    ("/etc/system-release", "Amazon"),
    ("/etc/alpine-release", "Alpine"),
    ("/etc/arch-release", "Archlinux"),
    ("/etc/os-release", "Archlinux"),
    ("/etc/os-release", "SUSE"),
    ("/etc/os-release", "Debian"),
    ("/etc/lsb-release", "Debian"),
    ("/etc/os-release", "Flatcar"),
    ("/etc/os-release", "NA"),
];

/// Files of which the existence says enough.
const EXISTENCE_SUFFICES: &[&str] = &["VMwareESX", "Archlinux"];

/// Distributions whose files name others, too.
const SEARCHED: &[(&str, &str)] =
    &[("OracleLinux", "Oracle Linux"), ("RedHat", "Red Hat"), ("Altlinux", "ALT")];

pub(super) fn distribution(gathering: &mut Gathering<'_, '_>) {
    let files = |path: &str| Path::new(path).is_file().then(|| content(path).unwrap_or_default());
    for (name, value) in identify(&files) {
        gathering.set(&name, value);
    }
}

/// Looks the distribution up, given a way to read files: missing ones are `None`.
fn identify(files: &dyn Fn(&str) -> Option<String>) -> Object {
    let os_release = files("/etc/os-release").or_else(|| files("/usr/lib/os-release"));
    let release = Release::new(&os_release.unwrap_or_default(), files);
    let mut facts = Object::new();
    let version = release.version();
    facts.insert("distribution".to_owned(), release.name().into());
    facts.insert("distribution_release".to_owned(), release.codename().into());
    facts.insert("distribution_version".to_owned(), or_unknown(&version).into());
    let major = version.split('.').next().unwrap_or_default();
    facts.insert("distribution_major_version".to_owned(), or_unknown(major).into());
    for (path, variety) in FILES {
        let Some(data) = files(path) else { continue };
        let bare = EXISTENCE_SUFFICES.contains(variety)
            && path.starts_with("/etc/")
            && *path != "/etc/os-release";
        if data.is_empty() && !bare {
            continue;
        }
        let found = if bare { Some(Vec::new()) } else { read(variety, path, &data, &release) };
        let Some(found) = found else { continue };
        facts.insert("distribution".to_owned(), (*variety).into());
        facts.insert("distribution_file_path".to_owned(), (*path).into());
        facts.insert("distribution_file_variety".to_owned(), (*variety).into());
        if !bare {
            facts.insert("distribution_file_parsed".to_owned(), true.into());
        }
        for (name, value) in found {
            facts.insert(name.to_owned(), value.into());
        }
        break;
    }
    let name = facts.get("distribution").and_then(Value::as_str).unwrap_or_default();
    let family = FAMILIES
        .iter()
        .find(|(_, members)| members.contains(&name))
        .map_or(name, |(family, _)| family);
    let family = Value::from(family);
    facts.insert("os_family".to_owned(), family);
    facts
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "NA" } else { text }
}

/// What a file adds to the guess from os-release; `None`: it is about something else.
type Found = Option<Vec<(&'static str, String)>>;

fn read(variety: &str, path: &str, data: &str, release: &Release<'_>) -> Found {
    let data = data.trim_matches(['\'', '"', '\\']);
    if let Some((name, text)) = SEARCHED.iter().find(|(name, _)| *name == variety) {
        return Some(if data.contains(text) {
            vec![
                ("distribution", (*name).to_owned()),
                ("distribution_file_search_string", (*text).to_owned()),
            ]
        } else {
            let first = data.split_whitespace().next().unwrap_or_default();
            vec![("distribution", first.to_owned())]
        });
    }
    match variety {
        "Archlinux" => data.contains("Arch Linux").then(Vec::new),
        "Slackware" => data.contains("Slackware").then(|| {
            capture(r"(\w+[.]\w+\+?)", data)
                .map(|version| ("distribution_version", version))
                .into_iter()
                .collect()
        }),
        "CentOS" if data.contains("CentOS Stream") => {
            Some(vec![("distribution_release", "Stream".to_owned())])
        }
        "CentOS" => data
            .contains("TencentOS Server")
            .then(|| vec![("distribution", "TencentOS".to_owned())]),
        "OpenWrt" => data.contains("OpenWrt").then(|| {
            let version = capture("DISTRIB_RELEASE=[\"'](.*)[\"']", data);
            let code = capture("DISTRIB_CODENAME=[\"'](.*)[\"']", data);
            let version = version.map(|version| ("distribution_version", version));
            version.into_iter().chain(code.map(|code| ("distribution_release", code))).collect()
        }),
        "Amazon" => data.contains("Amazon").then(|| amazon(path, data)),
        "Alpine" => Some(vec![("distribution_version", data.to_owned())]),
        "SUSE" => data.to_lowercase().contains("suse").then(|| suse(data)),
        "Debian" => debian(data, release),
        "Flatcar" => (release.id() == "flatcar").then(|| {
            let version = capture("(?m)^VERSION=(.*)$", data).unwrap_or_default();
            let version = version.trim_matches('"').to_owned();
            let major = version.split('.').next().unwrap_or_default().to_owned();
            vec![("distribution_major_version", major), ("distribution_version", version)]
        }),
        _ => {
            let mut found = Vec::new();
            if let Some(name) = capture("(?m)^NAME=(.*)$", data) {
                found.push(("distribution", name.trim_matches('"').to_owned()));
            }
            if let (Some(version), true) =
                (capture("(?m)^VERSION=(.*)$", data), release.version().is_empty())
            {
                found.push(("distribution_version", version.trim_matches('"').to_owned()));
            }
            Some(found)
        }
    }
}

fn amazon(path: &str, data: &str) -> Vec<(&'static str, String)> {
    let mut found = vec![("distribution", "Amazon".to_owned())];
    if path == "/etc/os-release" {
        if let Some(version) = capture("VERSION_ID=\"(.*)\"", data) {
            let (major, minor) = version.split_once('.').unwrap_or((&version, "NA"));
            found.push(("distribution_major_version", major.to_owned()));
            found.push(("distribution_minor_version", minor.to_owned()));
            found.push(("distribution_version", version));
        }
    } else {
        let is_number = |word: &&str| word.chars().all(|character| character.is_ascii_digit());
        let version = data.split_whitespace().find(is_number).unwrap_or("NA");
        found.push(("distribution_version", version.to_owned()));
    }
    found
}

fn suse(data: &str) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if let Some(name) = capture("(?m)^NAME=(.*)$", data) {
        found.push(("distribution", name.trim_matches('"').to_owned()));
    }
    if let Some(version) = capture(r#"(?m)^VERSION_ID="?([0-9]+\.?[0-9]*)"?"#, data) {
        let (major, minor) = version.split_once('.').unwrap_or((&version, ""));
        let lower = data.to_lowercase();
        if lower.contains("open") {
            found.push(("distribution_release", minor.to_owned()));
        } else if lower.contains("enterprise") {
            let minor = if minor.is_empty() { "0" } else { minor };
            found.push(("distribution_release", minor.to_owned()));
        }
        found.push(("distribution_major_version", major.to_owned()));
        found.push(("distribution_version", version));
    }
    let product = std::fs::canonicalize("/etc/products.d/baseproduct");
    if product.is_ok_and(|path| path.to_string_lossy().ends_with("SLES_SAP.prod")) {
        found.push(("distribution", "SLES_SAP".to_owned()));
    }
    found
}

fn debian(data: &str, release: &Release<'_>) -> Found {
    let named = |name: &str| vec![("distribution", name.to_owned())];
    let quoted_version = || capture("VERSION_ID=\"(.*)\"", data);
    let has = |word: &str| data.contains(word);
    let mut found;
    if has("Debian") || has("Raspbian") {
        found = named("Debian");
        if let Some(code) = capture(r"PRETTY_NAME=[^(]+ \(?([^)]+?)\)", data) {
            found.push(("distribution_release", code));
        }
        if let Some(minor) = capture(r"\d+\.(\d+)", &release.debian_version()) {
            found.push(("distribution_minor_version", minor));
        }
    } else if has("Ubuntu") {
        found = named("Ubuntu");
    } else if has("SteamOS") {
        found = named("SteamOS");
    } else if has("Kali") || has("Parrot") {
        found = named(if has("Kali") { "Kali" } else { "Parrot" });
        if let Some(code) = capture("DISTRIB_RELEASE=(.*)", data) {
            found.push(("distribution_release", code));
        }
    } else if has("Devuan") {
        found = named("Devuan");
        if let Some(code) = capture(r#"PRETTY_NAME="?[^("]+ \(?([^) "]+)\)?"#, data) {
            found.push(("distribution_release", code));
        }
        if let Some(version) = quoted_version() {
            found.push(("distribution_major_version", version.clone()));
            found.push(("distribution_version", version));
        }
    } else if has("Cumulus") {
        found = named("Cumulus Linux");
        if let Some(version) = capture("VERSION_ID=(.*)", data) {
            let major = version.split('.').next().unwrap_or_default().to_owned();
            found.push(("distribution_major_version", major));
            found.push(("distribution_version", version));
        }
        if let Some(code) = capture("VERSION=\"(.*)\"", data) {
            found.push(("distribution_release", code));
        }
    } else if has("Mint")
        || has("UOS")
        || has("Uos")
        || has("uos")
        || has("Deepin")
        || has("deepin")
    {
        found = named(if has("Mint") {
            "Linux Mint"
        } else if has("eepin") {
            "Deepin"
        } else {
            "Uos"
        });
        if !has("Mint")
            && let Some(code) = capture("VERSION_CODENAME=\"?([^\"\n]+)\"?", data)
        {
            found.push(("distribution_release", code));
        }
        if let Some(version) = quoted_version() {
            let major = version.split('.').next().unwrap_or_default().to_owned();
            found.push(("distribution_major_version", major));
            found.push(("distribution_version", version));
        }
    } else {
        return None;
    }
    Some(found)
}

/// The first group of a pattern of ours.
fn capture(pattern: &str, text: &str) -> Option<String> {
    let pattern = Regex::new(pattern).ok()?;
    Some(pattern.captures(text)?.get(1)?.as_str().to_owned())
}

/// What os-release says, as Python's `distro` reads it.
struct Release<'a> {
    fields: BTreeMap<String, String>,
    files: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Release<'a> {
    fn new(text: &str, files: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let fields = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.trim().to_owned(), unquoted(value)))
            .collect();
        Release { fields, files }
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    fn id(&self) -> String {
        match self.field("ID").to_lowercase().replace(' ', "_").as_str() {
            "ol" => "oracle".to_owned(),
            "opensuse-leap" => "opensuse".to_owned(),
            id => id.to_owned(),
        }
    }

    fn name(&self) -> String {
        match self.id().as_str() {
            "amzn" => "Amazon".to_owned(),
            "rhel" => "Redhat".to_owned(),
            "" => "OtherLinux".to_owned(),
            id => {
                let mut characters = id.chars();
                let first = characters.next().into_iter().flat_map(char::to_uppercase);
                first.chain(characters).collect()
            }
        }
    }

    /// The most precise version that Debian and CentOS tell anywhere, otherwise VERSION_ID.
    fn version(&self) -> String {
        let plain = self.field("VERSION_ID").to_owned();
        let dots = |text: &str| text.matches('.').count();
        match self.id().as_str() {
            "debian" => {
                let precise = self.debian_version();
                if plain.is_empty() || dots(&precise) > dots(&plain) { precise } else { plain }
            }
            "centos" => {
                let file = (self.files)("/etc/redhat-release").unwrap_or_default();
                let precise = capture(r"release\s+([\d.]+)", &file).unwrap_or_default();
                let best = if dots(&precise) > dots(&plain) { precise } else { plain };
                best.split('.').take(2).collect::<Vec<&str>>().join(".")
            }
            _ => plain,
        }
    }

    fn debian_version(&self) -> String {
        (self.files)("/etc/debian_version").unwrap_or_default()
    }

    fn codename(&self) -> String {
        for name in ["VERSION_CODENAME", "UBUNTU_CODENAME"] {
            if let Some(code) = self.fields.get(name) {
                return code.clone();
            }
        }
        // `8.5 (Ootpa)`, `14.04, Trusty Tahr`
        capture(r"\(([^()\d]+)\)|,\s*(\D+)$", self.field("VERSION"))
            .unwrap_or_else(|| "NA".to_owned())
    }
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote).and_then(|rest| rest.strip_suffix(*quote)));
    inner.unwrap_or(value).replace("\\\"", "\"").replace("\\$", "$")
}

/// Facts of the Linux Standard Base. The program `lsb_release` is slow; its sources are read.
pub(super) fn lsb(gathering: &mut Gathering<'_, '_>) {
    let file = content("/etc/lsb-release");
    let os_release = content("/etc/os-release").filter(|_| find_program("lsb_release").is_some());
    let mut facts = Object::new();
    for (text, names) in [
        (os_release, ["", "VERSION_ID", "PRETTY_NAME", "VERSION_CODENAME"]),
        (file, ["DISTRIB_ID", "DISTRIB_RELEASE", "DISTRIB_DESCRIPTION", "DISTRIB_CODENAME"]),
    ] {
        let Some(text) = text else { continue };
        let release = Release::new(&text, &|_| None);
        if names.first() == Some(&"") {
            facts.insert("id".to_owned(), release.name().into());
        }
        for (fact, name) in ["id", "release", "description", "codename"].iter().zip(names) {
            if let Some(value) = release.fields.get(name) {
                facts.insert((*fact).to_owned(), value.as_str().into());
            }
        }
    }
    if let Some(release) = facts.get("release").and_then(Value::as_str) {
        let major = Value::from(release.split('.').next().unwrap_or_default());
        facts.insert("major_release".to_owned(), major);
    }
    gathering.set("lsb", facts);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n\
        NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\n\
        VERSION_CODENAME=bookworm\nID=debian\n";
    const UBUNTU: &str = "PRETTY_NAME=\"Ubuntu 22.04.3 LTS\"\nNAME=\"Ubuntu\"\n\
        VERSION_ID=\"22.04\"\nVERSION=\"22.04.3 LTS (Jammy Jellyfish)\"\n\
        VERSION_CODENAME=jammy\nID=ubuntu\nID_LIKE=debian\nUBUNTU_CODENAME=jammy\n";
    const ROCKY: &str = "NAME=\"Rocky Linux\"\nVERSION=\"9.3 (Blue Onyx)\"\nID=\"rocky\"\n\
        ID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.3\"\n";
    const LEAP: &str = "NAME=\"openSUSE Leap\"\nVERSION=\"15.5\"\nID=\"opensuse-leap\"\n\
        ID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.5\"\nPRETTY_NAME=\"openSUSE Leap 15.5\"\n";
    const AMAZON: &str = "NAME=\"Amazon Linux\"\nVERSION=\"2\"\nID=\"amzn\"\n\
        ID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"\n";

    fn facts(files: &[(&str, &str)]) -> [String; 5] {
        let read = |path: &str| {
            files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
        };
        let facts = identify(&read);
        [
            "distribution",
            "distribution_version",
            "distribution_major_version",
            "distribution_release",
            "os_family",
        ]
        .map(|name| facts[name].as_str().unwrap().to_owned())
    }

    #[test]
    fn distributions_have_ansibles_names() {
        let debian = [("/etc/os-release", DEBIAN), ("/etc/debian_version", "12.5")];
        assert_eq!(facts(&debian), ["Debian", "12.5", "12", "bookworm", "Debian"]);
        let ubuntu = [("/etc/os-release", UBUNTU), ("/etc/debian_version", "bookworm/sid")];
        assert_eq!(facts(&ubuntu), ["Ubuntu", "22.04", "22", "jammy", "Debian"]);
        let text = "Rocky Linux release 9.3 (Blue Onyx)";
        let rocky = [
            ("/etc/os-release", ROCKY),
            ("/etc/redhat-release", text),
            ("/etc/centos-release", text),
        ];
        assert_eq!(facts(&rocky), ["Rocky", "9.3", "9", "Blue Onyx", "RedHat"]);
        let centos = [
            ("/etc/os-release", "ID=\"centos\"\nVERSION_ID=\"7\"\nVERSION=\"7 (Core)\"\n"),
            ("/etc/centos-release", "CentOS Linux release 7.9.2009 (Core)"),
            ("/etc/redhat-release", "CentOS Linux release 7.9.2009 (Core)"),
        ];
        assert_eq!(facts(&centos), ["CentOS", "7.9", "7", "Core", "RedHat"]);
        assert_eq!(
            facts(&[("/etc/os-release", LEAP)]),
            ["openSUSE Leap", "15.5", "15", "5", "Suse"]
        );
        assert_eq!(facts(&[("/etc/os-release", AMAZON)]), ["Amazon", "2", "2", "NA", "RedHat"]);
        let alpine = [
            ("/etc/os-release", "ID=alpine\nVERSION_ID=3.19.1\n"),
            ("/etc/alpine-release", "3.19.1"),
        ];
        assert_eq!(facts(&alpine), ["Alpine", "3.19.1", "3", "NA", "Alpine"]);
        let arch =
            [("/etc/os-release", "NAME=\"Arch Linux\"\nID=arch\n"), ("/etc/arch-release", "")];
        assert_eq!(facts(&arch), ["Archlinux", "NA", "NA", "NA", "Archlinux"]);
        assert_eq!(facts(&[]), ["OtherLinux", "NA", "NA", "NA", "OtherLinux"]);
    }
}
