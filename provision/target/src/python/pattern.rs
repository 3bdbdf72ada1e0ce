//! A compiled pattern.

use fancy_regex::{Captures, Regex, RegexBuilder};

use super::template::Template;
use super::translate::{Anchor, translate};
use crate::module::Failure;

/// Steps back in one search: patterns of playbooks need few, a pattern that explodes is stopped.
const BACKTRACK_LIMIT: usize = 20_000_000;

/// Flags of `re.compile`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// `re.MULTILINE`.
    pub multi_line: bool,
    /// `re.DOTALL`.
    pub dot_all: bool,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    source: String,
    options: Options,
    multi_line: bool,
}

/// One match.
#[derive(Debug)]
pub struct Captured<'t> {
    captures: Captures<'t, str>,
}

impl Captured<'_> {
    /// Text of a group, if it took part.
    #[must_use]
    pub fn group(&self, group: usize) -> Option<&str> {
        self.captures.get(group).map(|found| found.as_str())
    }

    /// Where the whole match begins and ends.
    #[must_use]
    pub fn span(&self) -> (usize, usize) {
        self.captures.get(0).map_or((0, 0), |found| (found.start(), found.end()))
    }

    /// Where a named group begins and ends.
    #[must_use]
    pub fn span_of(&self, name: &str) -> Option<(usize, usize)> {
        self.captures.name(name).map(|found| (found.start(), found.end()))
    }
}

impl Pattern {
    /// Compiles a pattern that is searched for anywhere (`re.search`).
    ///
    /// # Errors
    /// When it isn't one.
    pub fn new(source: &str, options: Options) -> Result<Pattern, Failure> {
        Pattern::compile(source, options, Anchor::Nowhere)
    }

    /// Compiles a pattern that must match at the beginning (`re.match`).
    ///
    /// # Errors
    /// When it isn't one.
    pub fn anchored(source: &str) -> Result<Pattern, Failure> {
        Pattern::compile(source, Options::default(), Anchor::Text)
    }

    fn compile(source: &str, options: Options, anchor: Anchor) -> Result<Pattern, Failure> {
        let regex = compile(source, options, anchor, false)?;
        let multi_line = options.multi_line || global_flags(source).contains('m');
        Ok(Pattern { regex, source: source.to_owned(), options, multi_line })
    }

    /// Whether `^` and `$` match at every line.
    #[must_use]
    pub fn is_multi_line(&self) -> bool {
        self.multi_line
    }

    /// Number of groups, the whole match included.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.regex.captures_len()
    }

    /// Number of a named group.
    #[must_use]
    pub fn group_named(&self, name: &str) -> Option<usize> {
        self.regex.capture_names().position(|known| known == Some(name))
    }

    /// Whether it is found.
    ///
    /// # Errors
    /// When the search takes too many steps.
    pub fn is_match(&self, text: &str) -> Result<bool, Failure> {
        self.regex.is_match(text).map_err(|error| self.failed(&error))
    }

    /// The first match.
    ///
    /// # Errors
    /// When the search takes too many steps.
    pub fn search<'t>(&self, text: &'t str) -> Result<Option<Captured<'t>>, Failure> {
        self.search_from(text, 0)
    }

    fn search_from<'t>(&self, text: &'t str, at: usize) -> Result<Option<Captured<'t>>, Failure> {
        self.search_with(&self.regex, text, at)
    }

    fn search_with<'t>(
        &self,
        regex: &Regex,
        text: &'t str,
        at: usize,
    ) -> Result<Option<Captured<'t>>, Failure> {
        match regex.captures_from_pos(text, at) {
            Ok(captures) => Ok(captures.map(|captures| Captured { captures })),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Replaces all matches (`re.subn`); returns the text and their number.
    ///
    /// # Errors
    /// When the template doesn't fit or a search takes too many steps.
    pub fn replace_all(&self, text: &str, template: &str) -> Result<(String, usize), Failure> {
        let template = Template::new(template, self).map_err(|reason| {
            Failure::new(format!("Unable to process replace due to error: {reason}"))
        })?;
        let mut replaced = String::with_capacity(text.len());
        let (mut copied, mut from, mut count) = (0, 0, 0);
        let mut pending: Option<Captured<'_>> = None;
        let mut advancing: Option<Option<Regex>> = None;
        while from <= text.len() {
            let found = match pending.take() {
                Some(captured) => Some(captured),
                None => self.search_from(text, from)?,
            };
            let Some(captured) = found else { break };
            let (start, end) = captured.span();
            replaced.push_str(text.get(copied..start).unwrap_or_default());
            template.expand(&captured, &mut replaced);
            copied = end;
            count += 1;
            // Behind a match an empty one may follow at once; behind an empty one only a longer
            // one at the same place, otherwise the search goes on one character later (Python 3.7
            // and later).
            from = end;
            if start == end {
                let advancing = advancing.get_or_insert_with(|| {
                    // It can't be compiled if the pattern is always empty.
                    compile(&self.source, self.options, Anchor::Search, true).ok()
                });
                if let Some(regex) = advancing {
                    pending = self.search_with(regex, text, end)?;
                }
                if pending.is_none() {
                    let width = text.get(end..).and_then(|rest| rest.chars().next());
                    from = end + width.map_or(1, char::len_utf8);
                }
            }
        }
        replaced.push_str(text.get(copied..).unwrap_or_default());
        Ok((replaced, count))
    }

    fn failed(&self, error: &fancy_regex::Error) -> Failure {
        Failure::new(format!("failed to search for `{}`: {error}", self.source))
    }
}

fn compile(
    source: &str,
    options: Options,
    anchor: Anchor,
    not_empty: bool,
) -> Result<Regex, Failure> {
    let failed = |reason: &dyn std::fmt::Display| {
        Failure::new(format!("invalid regular expression `{source}`: {reason}"))
    };
    let translated = translate(source, options, anchor).map_err(|error| failed(&error))?;
    RegexBuilder::new(&translated)
        .backtrack_limit(BACKTRACK_LIMIT)
        .find_not_empty(not_empty)
        .build()
        .map_err(|error| failed(&error))
}

fn global_flags(source: &str) -> String {
    let mut found = String::new();
    let mut rest = source;
    while let Some((letters, behind)) =
        rest.strip_prefix("(?").and_then(|rest| rest.split_once(')'))
    {
        if letters.is_empty() || !letters.chars().all(|letter| "aiLmsux".contains(letter)) {
            break;
        }
        found.push_str(letters);
        rest = behind;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::{Command, Stdio};

    fn subn(
        pattern: &str,
        template: &str,
        text: &str,
        multi_line: bool,
    ) -> Option<(String, usize)> {
        let options = Options { multi_line, dot_all: false };
        Pattern::new(pattern, options).ok()?.replace_all(text, template).ok()
    }

    /// What Python says to the same; `None`: an error, or there is no Python.
    fn python(cases: &[(String, String, String, bool)]) -> Option<Vec<Option<(String, usize)>>> {
        const SCRIPT: &str = "import json,re,sys,warnings\nwarnings.simplefilter('ignore')\nout=[]\n\
            for p,r,t,m in json.load(sys.stdin):\n try: out.append(re.compile(p,re.M if m else 0).subn(r,t))\n \
            except Exception: out.append(None)\njson.dump(out,sys.stdout)\n";
        let mut child = Command::new("python3")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        serde_json::to_writer(child.stdin.take().unwrap(), cases).unwrap();
        let output = child.wait_with_output().unwrap();
        Some(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn compare(cases: Vec<(String, String, String, bool)>, strict: bool) {
        let Some(expected) = python(&cases) else { return };
        let mut refused = 0;
        for (case, expected) in cases.iter().zip(expected) {
            let found = subn(&case.0, &case.1, &case.2, case.3);
            // What Python refuses may be accepted here: it has no other meaning.
            // And the other way round a refusal is honest, if it is rare.
            if !strict && (expected.is_none() || found.is_none()) {
                refused += usize::from(expected.is_some());
                continue;
            }
            assert_eq!(found, expected, "{case:?}");
        }
        assert!(refused * 100 <= cases.len(), "{refused} refused");
    }

    #[test]
    fn python_agrees_by_hand() {
        let text = "PermitRootLogin no\n# a{b} [x] é 42\nkey = value\n\nlast";
        let cases = [
            ("^PermitRootLogin.*$", "X"),
            ("value$", "v"),
            ("last$", "l"),
            ("no$", "never"),
            (r"last\Z", "end"),
            (r"(?P<k>\w+) = (?P<v>\w+)", r"\g<v> = \1"),
            (r"a{b}", "braces"),
            (r"\{b\}", "braces"),
            (r"a{,3}", "<>"),
            (r"[[]x[]]", "list"),
            (r"[]x[]", "c"),
            (r"[a&&b~~-]", "c"),
            (r"\<|\>|\-|\_|\#", "c"),
            (r"(?i)permitrootlogin", r"\0001\n\t\\"),
            (r"(?m)^(.)", r"\g<1>\g<0>"),
            (r"(?x) key \s = # comment (", "K"),
            (r"(?s)no.*last", "all"),
            (r"x*", "-"),
            (r"\b", "|"),
            (r"(\d)(\d)?(\d)?", r"<\1\2\3>"),
            (r"(a)|(b)", r"[\1\2]"),
            (r"(?#hi)k(?=ey)", "K"),
            (r"(?<!P)e", "E"),
            (r"\x6e\157", "NO"),
            (r"(.)\1", "dd"),
            (r"(k)?(?(1)ey|b)", "z"),
            ("é", "e"),
            (r"[^\W\d_]+", "w"),
            (r"a++b", ""),
            (r"(", ""),
            (r"a)", ""),
            (r"*a", ""),
            (r"[a", ""),
            (r"\q", ""),
            (r"a", r"\q"),
            (r"a", r"\7"),
            (r"a", r"\."),
            (r"(?P<a>a)(?P=a)?", r"\g<b>"),
            (r"(?-m:x)", ""),
            (r"(?i:KEY)", "k"),
            ("", "-"),
        ];
        let mut all = Vec::new();
        for (pattern, template) in cases {
            for multi_line in [false, true] {
                all.push((pattern.into(), template.into(), text.into(), multi_line));
                all.push((pattern.into(), template.into(), "key\n".into(), multi_line));
            }
        }
        compare(all, true);
    }

    #[test]
    fn python_agrees_on_random_patterns() {
        let part = prop_oneof![
            4 => "[abc\n ]",
            1 => "\\.|\\^|\\$",
            2 => "[.^$]",
            1 => "\\[[\\^]?[ab\\]\\[&-]{1,3}\\]",
            1 => "\\\\[wWdDsSbBAZn.]",
            1 => "\\([ab|]{1,3}\\)",
            1 => "\\{[0-3,]{0,3}\\}",
            1 => "[ab][*+?]{1,2}",
            1 => "\\(\\?[=!:][ab]\\)",
        ];
        let pattern = proptest::collection::vec(part, 1..5).prop_map(|parts| parts.concat());
        let case = (pattern, "[abc\n ]{0,8}", any::<bool>());
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut cases = Vec::new();
        for _ in 0..1500 {
            let (pattern, text, multi_line) =
                proptest::strategy::ValueTree::current(&case.new_tree(&mut runner).unwrap());
            cases.push((pattern, "<\\g<0>>".to_owned(), text, multi_line));
        }
        compare(cases, false);
    }
}
