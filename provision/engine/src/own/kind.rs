//! What kind of program a module of the user's own is: said by its text, as Ansible documents.

/// How a program gets its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Python that imports `ansible.module_utils`: an archive with the package.
    Python,
    /// A file with JSON, whose path is the argument (`WANT_JSON`).
    Json,
    /// Likewise; the program itself is no text.
    Binary,
    /// In its own text, in place of `<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>`.
    Inside,
    /// A file with `key=value` words, whose path is the argument.
    Pairs,
}

/// Where arguments are put into the text of a program, as JSON and as a literal of Python.
pub const MARKS: [&str; 2] =
    ["<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>", "<<INCLUDE_ANSIBLE_MODULE_COMPLEX_ARGS>>"];

/// Stands in old Python modules for the text of `ansible.module_utils.basic`.
pub const COMMON_MARK: &str = "#<<INCLUDE_ANSIBLE_MODULE_COMMON>>";

/// How many bytes say whether a program is text.
const LOOKED_AT_BYTES: usize = 1024;

impl Kind {
    /// The kind of a program.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Kind {
        let beginning = bytes.get(..LOOKED_AT_BYTES.min(bytes.len())).unwrap_or_default();
        if beginning.iter().any(|byte| *byte == 0 || (*byte < 7 || *byte == 0x7f)) {
            return Kind::Binary;
        }
        let text = String::from_utf8_lossy(bytes);
        if text.lines().any(imports_the_package) || text.contains(COMMON_MARK) {
            return Kind::Python;
        }
        if MARKS.iter().any(|mark| text.contains(mark)) {
            return Kind::Inside;
        }
        if text.contains("WANT_JSON") {
            return Kind::Json;
        }
        Kind::Pairs
    }

    /// Its name in calls.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Python => "python",
            Kind::Json => "json",
            Kind::Binary => "binary",
            Kind::Inside => "inside",
            Kind::Pairs => "pairs",
        }
    }
}

/// Whether a line of Python imports Ansible's package, or shared code of its collection.
fn imports_the_package(line: &str) -> bool {
    let line = line.trim_start();
    let imported = line.strip_prefix("from ").or_else(|| line.strip_prefix("import "));
    let Some(imported) = imported.map(str::trim_start) else { return false };
    imported.starts_with("ansible.module_utils")
        || imported.starts_with("ansible_collections.")
        || (line.starts_with("from ") && imported.starts_with("..") && imported.contains("import"))
}

/// The words of the first line behind `#!`; none if there is no such line.
#[must_use]
pub fn interpreter(bytes: &[u8]) -> Vec<String> {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Some(rest) = first.strip_prefix(b"#!") else { return Vec::new() };
    let rest = String::from_utf8_lossy(rest).trim().to_owned();
    rest.split_whitespace().map(str::to_owned).collect()
}

/// How many of those words name the interpreter: `/usr/bin/env ruby` are two.
#[must_use]
pub fn words_of_interpreter(words: &[String]) -> usize {
    let is_env = words.first().is_some_and(|word| word.rsplit('/').next() == Some("env"));
    match is_env {
        true => 1 + words.iter().skip(1).take_while(|word| word.starts_with('-')).count() + 1,
        false => 1,
    }
}

/// What `ansible_NAME_interpreter` calls it.
#[must_use]
pub fn interpreter_name(words: &[String]) -> String {
    let last = words_of_interpreter(words).saturating_sub(1);
    let word = words.get(last).or(words.first()).map(String::as_str).unwrap_or_default();
    word.rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_what_it_wants() {
        let kind = |text: &str| Kind::of(text.as_bytes());
        let python = "#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule\n";
        assert_eq!(kind(python), Kind::Python);
        assert_eq!(kind("import ansible.module_utils.basic\n"), Kind::Python);
        assert_eq!(
            kind("    from ansible_collections.a.b.plugins.module_utils.c import d\n"),
            Kind::Python
        );
        assert_eq!(kind("from ..module_utils.c import d\n"), Kind::Python);
        assert_eq!(
            kind("#!/usr/bin/python\n#<<INCLUDE_ANSIBLE_MODULE_COMMON>>\nmain()\n"),
            Kind::Python
        );
        assert_eq!(kind("#!/bin/sh\n# from ansible.module_utils\n"), Kind::Pairs);
        assert_eq!(kind("#!/bin/sh\n# WANT_JSON\n"), Kind::Json);
        assert_eq!(kind("#!/bin/sh\nx='<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>'\n"), Kind::Inside);
        assert_eq!(Kind::of(b"\x7fELF\x02\x01"), Kind::Binary);
        assert_eq!(kind("#!/bin/sh\n. \"$1\"\necho ä\n"), Kind::Pairs);
    }

    #[test]
    fn the_first_line_names_the_interpreter() {
        let words = |text: &str| interpreter(text.as_bytes());
        assert_eq!(words("#!/usr/bin/perl -w\nx"), ["/usr/bin/perl", "-w"]);
        assert_eq!(interpreter_name(&words("#!/usr/bin/perl -w\n")), "perl");
        assert_eq!(interpreter_name(&words("#!/usr/bin/env ruby\n")), "ruby");
        assert_eq!(interpreter_name(&words("#! /usr/bin/env -S python3 -u\n")), "python3");
        assert_eq!(words_of_interpreter(&words("#!/usr/bin/env -S ruby -w\n")), 3);
        assert!(words("echo\n").is_empty());
    }
}
