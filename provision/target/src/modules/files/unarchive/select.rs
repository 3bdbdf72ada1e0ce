//! Which entries are unpacked, under which names, and how.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::archive::Format;
use crate::module::Failure;
use crate::modules::system::wildcard::Wildcard;

/// Folders inside folders in one name.
const DEPTH_LIMIT: usize = 256;

/// Options that ask for what happens anyway.
const WITHOUT_EFFECT: &[&str] = &[
    "--overwrite",
    "--no-overwrite-dir",
    "--overwrite-dir",
    "-v",
    "--verbose",
    "-z",
    "-j",
    "-J",
    "-a",
    "--gzip",
    "--bzip2",
    "--xz",
    "--zstd",
    "--auto-compress",
    "--keep-directory-symlink",
    "--warning",
    "--delay-directory-restore",
    "--no-selinux",
    "--no-acls",
    "--no-xattrs",
];

/// Include, exclude and the options of tar that are understood.
#[derive(Debug, Default)]
pub(super) struct Selection {
    include: Vec<String>,
    exclude: Vec<Wildcard>,
    wildcards: bool,
    strip: usize,
    junk_folders: bool,
    /// Owners of the archive are restored (root only).
    pub(super) same_owner: Option<bool>,
    /// Ids count, names don't.
    pub(super) numeric_owner: bool,
    /// Permission bits of the archive are restored without the umask.
    pub(super) same_mode: Option<bool>,
    /// Files get the time of unpacking.
    pub(super) touch: bool,
    /// Files that exist are left alone.
    pub(super) keep_old: bool,
    /// Links may lead out of the destination.
    pub(super) any_target: bool,
}

/// A checked name: components below the destination, none of them special.
pub(super) type Name = Vec<OsString>;

impl Selection {
    /// From the arguments.
    pub(super) fn new(
        include: &[String],
        exclude: &[String],
        options: &[String],
        format: Format,
    ) -> Result<Selection, Failure> {
        let mut selection = Selection {
            include: include.iter().map(|name| name.trim_end_matches('/').to_owned()).collect(),
            wildcards: format == Format::Zip,
            ..Selection::default()
        };
        selection.exclude_all(exclude.iter().map(String::as_str));
        let mut words = options
            .iter()
            .flat_map(|option| option.split_whitespace())
            .map(str::to_owned)
            .collect::<Vec<String>>()
            .into_iter();
        while let Some(word) = words.next() {
            selection.option(&word, format, &mut words)?;
        }
        Ok(selection)
    }

    /// One word of `extra_opts`; its value may be the next one.
    fn option(
        &mut self,
        word: &str,
        format: Format,
        rest: &mut dyn Iterator<Item = String>,
    ) -> Result<(), Failure> {
        let refused =
            || Failure::new(format!("extra_opts: the option {word} is not understood here"));
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let mut value = || value.clone().or_else(|| rest.next()).ok_or_else(refused);
        match (name, format) {
            ("--strip-components" | "--strip", _) => {
                self.strip = value()?.parse().map_err(|_| refused())?;
            }
            ("--exclude", _) => {
                let pattern = value()?;
                self.exclude_all([pattern.as_str()].into_iter());
            }
            ("-j", Format::Zip) => self.junk_folders = true,
            ("-o" | "-q" | "-qq" | "-u", Format::Zip) => {}
            ("-n", Format::Zip) => self.keep_old = true,
            ("--no-same-owner" | "-o", _) => self.same_owner = Some(false),
            ("--same-owner", _) => self.same_owner = Some(true),
            ("--numeric-owner", _) => self.numeric_owner = true,
            ("-p" | "--preserve-permissions" | "--same-permissions", _) => {
                self.same_mode = Some(true);
            }
            ("--no-same-permissions", _) => self.same_mode = Some(false),
            ("-m" | "--touch", _) => self.touch = true,
            ("-k" | "--keep-old-files" | "--skip-old-files", _) => self.keep_old = true,
            ("-P" | "--absolute-names", _) => self.any_target = true,
            ("--wildcards", _) => self.wildcards = true,
            (other, _) if WITHOUT_EFFECT.contains(&other) => {}
            _ => return Err(refused()),
        }
        Ok(())
    }

    fn exclude_all<'a>(&mut self, patterns: impl Iterator<Item = &'a str>) {
        self.exclude.extend(patterns.map(|pattern| Wildcard::new(pattern.trim_end_matches('/'))));
    }

    /// The name an entry is unpacked under; `None`: it isn't.
    ///
    /// # Errors
    /// When the name would leave the destination.
    pub(super) fn name(&self, name: &[u8]) -> Result<Option<Name>, Failure> {
        let mut components = components(name)?;
        let shown = show(&components);
        if !self.is_included(&shown) || self.is_excluded(&components) {
            return Ok(None);
        }
        if self.junk_folders {
            components = components.pop().into_iter().collect();
        }
        if self.strip > 0 {
            if components.len() <= self.strip {
                return Ok(None);
            }
            components.drain(..self.strip);
        }
        // The destination itself (`./`) is not an entry's business.
        Ok(if components.is_empty() { None } else { Some(components) })
    }

    fn is_included(&self, name: &str) -> bool {
        self.include.is_empty()
            || self.include.iter().any(|wanted| {
                let wanted = wanted.trim_start_matches("./");
                if self.wildcards && Wildcard::new(wanted).matches(name) {
                    return true;
                }
                name == wanted
                    || name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
            })
    }

    /// As tar matches: anywhere between slashes, and everything below a match.
    fn is_excluded(&self, components: &[OsString]) -> bool {
        if self.exclude.is_empty() {
            return false;
        }
        (0..components.len()).any(|start| {
            (start + 1..=components.len()).any(|end| {
                let part = show(components.get(start..end).unwrap_or_default());
                self.exclude.iter().any(|pattern| pattern.matches(&part))
            })
        })
    }

    /// Checks where a symbolic link leads; the text alone must show that it stays inside.
    ///
    /// # Errors
    /// When it leads out.
    pub(super) fn check_target(&self, name: &Name, target: &OsStr) -> Result<(), Failure> {
        if self.any_target {
            return Ok(());
        }
        let leaves = || {
            Failure::new(format!(
                "the archive's link {} leads out of the destination (to {}); extra_opts \
                 [\"--absolute-names\"] allows it",
                show(name),
                target.to_string_lossy()
            ))
        };
        let bytes = target.as_bytes();
        if bytes.is_empty() || bytes.starts_with(b"/") {
            return Err(leaves());
        }
        let mut depth = name.len().saturating_sub(1);
        for component in bytes.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => depth = depth.checked_sub(1).ok_or_else(leaves)?,
                _ => depth += 1,
            }
        }
        Ok(())
    }
}

/// A leading `/` is dropped, as tar does; `..` is refused.
fn components(name: &[u8]) -> Result<Name, Failure> {
    let mut components = Vec::new();
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                return Err(Failure::new(format!(
                    "the archive's entry {} leads out of the destination",
                    String::from_utf8_lossy(name)
                )));
            }
            other if other.contains(&0) => {
                return Err(Failure::new("a name in the archive contains a zero byte"));
            }
            other => components.push(OsString::from_vec(other.to_vec())),
        }
        if components.len() > DEPTH_LIMIT {
            return Err(Failure::new("a name in the archive is nested too deeply"));
        }
    }
    Ok(components)
}

/// A name as text.
pub(super) fn show(name: &[OsString]) -> String {
    let parts: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &[&str], exclude: &[&str], options: &[&str]) -> Selection {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Selection::new(&own(include), &own(exclude), &own(options), Format::Tar).unwrap()
    }

    fn name(selection: &Selection, text: &str) -> Option<String> {
        selection.name(text.as_bytes()).unwrap().map(|name| show(&name))
    }

    #[test]
    fn names_stay_inside() {
        let all = selection(&[], &[], &[]);
        assert_eq!(name(&all, "./a//b/"), Some("a/b".into()));
        assert_eq!(name(&all, "/etc/passwd"), Some("etc/passwd".into()));
        assert_eq!(name(&all, "./"), None);
        for bad in ["..", "a/../../b", "../x"] {
            all.name(bad.as_bytes()).unwrap_err();
        }
        let link: Name = vec!["a".into(), "l".into()];
        for (target, good) in [
            ("b", true),
            ("../b", true),
            ("../../b", false),
            ("/b", false),
            ("c/../../../x", false),
        ] {
            assert_eq!(all.check_target(&link, OsStr::new(target)).is_ok(), good, "{target}");
        }
        let any = selection(&[], &[], &["-P"]);
        any.check_target(&link, OsStr::new("/b")).unwrap();
    }

    #[test]
    fn selections() {
        let some = selection(&["a/b"], &[], &[]);
        assert_eq!(name(&some, "a/b"), Some("a/b".into()));
        assert_eq!(name(&some, "a/b/c"), Some("a/b/c".into()));
        assert_eq!(name(&some, "a/bc"), None);
        let most = selection(&[], &["*.md", "docs/"], &["--strip-components=1"]);
        assert_eq!(name(&most, "x/README.md"), None);
        assert_eq!(name(&most, "x/docs/a"), None);
        assert_eq!(name(&most, "x/bin/a"), Some("bin/a".into()));
        assert_eq!(name(&most, "x/"), None);
        Selection::new(&[], &[], &["--to-command=sh".into()], Format::Tar).unwrap_err();
    }
}
