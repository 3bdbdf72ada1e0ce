//! YAML as PyYAML's dumper spells it: YAML 1.1 quoting, folding at a width, lists of mappings with
//! the dashes of `to_nice_yaml`. Written from the behaviour of PyYAML 6 with libyaml.

use minijinja::Value;
use yaml::{NodeValue, Schema};

use crate::error::Outcome;
use crate::value::{View, iterate, order, pairs_of, repr_float, text_of, undefined_error, view};

/// The arguments of `yaml.dump` that matter.
#[derive(Debug, Clone)]
pub(crate) struct YamlStyle {
    pub(crate) indent: usize,
    pub(crate) width: usize,
    /// `None`: collections of scalars only are written in one line.
    pub(crate) flow: Option<bool>,
    pub(crate) sort_keys: bool,
    pub(crate) explicit_start: bool,
    pub(crate) explicit_end: bool,
}

/// The YAML document of a value.
pub(crate) fn write_yaml(value: &Value, style: &YamlStyle) -> Outcome<String> {
    let node = represent(value, style)?;
    let mut emitter = Emitter {
        out: String::new(),
        style,
        column: 0,
        whitespace: true,
        indention: true,
        indent: None,
        flow_level: 0,
    };
    if style.explicit_start {
        emitter.indicator("---", true, false, false);
        emitter.line_break();
        emitter.whitespace = true;
        emitter.indention = true;
    }
    emitter.node(&node, Context::Root);
    if emitter.column > 0 {
        emitter.line_break();
    }
    if style.explicit_end {
        emitter.out.push_str("...\n");
    }
    Ok(emitter.out)
}

enum Item {
    Scalar { text: Vec<char>, plain: bool },
    Sequence { items: Vec<Item>, flow: bool },
    Mapping { pairs: Vec<(Item, Item)>, flow: bool },
}

fn scalar(text: &str, plain: bool) -> Item {
    Item::Scalar { text: text.chars().collect(), plain }
}

fn represent(value: &Value, style: &YamlStyle) -> Outcome<Item> {
    Ok(match view(value) {
        View::Undefined => return Err(undefined_error(value)),
        View::None => scalar("null", true),
        View::Bool(true) => scalar("true", true),
        View::Bool(false) => scalar("false", true),
        View::Int(number) => scalar(&number.to_string(), true),
        View::Float(number) => scalar(&float(number), true),
        View::Text(text) => {
            let plain = matches!(yaml::resolve(text, Schema::Ansible), NodeValue::String(_))
                && !is_special(text);
            scalar(text, plain)
        }
        View::Bytes(bytes) => scalar(&String::from_utf8_lossy(bytes), true),
        View::List | View::Tuple => {
            let mut items = Vec::new();
            for item in iterate(value)? {
                items.push(represent(&item, style)?);
            }
            let simple = items.iter().all(|item| matches!(item, Item::Scalar { .. }));
            Item::Sequence { items, flow: style.flow.unwrap_or(simple) }
        }
        View::Dict => {
            let mut entries = pairs_of(value);
            if style.sort_keys {
                entries.sort_by(|left, right| order(&left.0, &right.0));
            }
            let mut pairs = Vec::new();
            for (key, item) in entries {
                pairs.push((represent(&key, style)?, represent(&item, style)?));
            }
            let simple = pairs.iter().all(|(key, item)| {
                matches!((key, item), (Item::Scalar { .. }, Item::Scalar { .. }))
            });
            Item::Mapping { pairs, flow: style.flow.unwrap_or(simple) }
        }
        View::Object => scalar(&text_of(value), true),
    })
}

/// Texts that PyYAML's resolver takes for something else though they load as text here: dates,
/// `=` and `<<`.
fn is_special(text: &str) -> bool {
    text == "=" || text == "<<" || is_date(text)
}

/// `2001-12-14`, and the same with a time behind it.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    if !(digit(0) && digit(1) && digit(2) && digit(3) && bytes.get(4) == Some(&b'-')) {
        return false;
    }
    let Some(rest) = text.get(5..) else { return false };
    let Some((month, rest)) = rest.split_once('-') else { return false };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (day, time) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !numeric(month) {
        return false;
    }
    if time.is_empty() {
        return month.len() == 2 && day.len() == 2;
    }
    let time = match time.strip_prefix(['T', 't']) {
        Some(time) => time,
        None => time.trim_start_matches([' ', '\t']),
    };
    let parts: Vec<&str> = time.splitn(3, ':').collect();
    (1..=2).contains(&month.len())
        && (1..=2).contains(&day.len())
        && parts.len() == 3
        && parts.first().is_some_and(|hour| (1..=2).contains(&hour.len()) && numeric(hour))
}

fn float(number: f64) -> String {
    if number.is_nan() {
        return ".nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf".into() } else { "-.inf".into() };
    }
    let text = repr_float(number);
    if text.contains('e') && !text.contains('.') { text.replacen('e', ".0e", 1) } else { text }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    Root,
    Sequence,
    MappingValue,
    SimpleKey,
}

struct Emitter<'s> {
    out: String,
    style: &'s YamlStyle,
    column: usize,
    whitespace: bool,
    indention: bool,
    indent: Option<usize>,
    flow_level: usize,
}

/// What a scalar allows.
#[derive(Debug, Clone, Copy)]
struct Analysis {
    empty: bool,
    multiline: bool,
    flow_plain: bool,
    block_plain: bool,
    single_quoted: bool,
}

impl Emitter<'_> {
    fn write(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn write_chars(&mut self, text: &[char]) {
        self.out.extend(text);
        self.column += text.len();
    }

    fn indicator(&mut self, text: &str, need_blank: bool, whitespace: bool, indention: bool) {
        if need_blank && !self.whitespace {
            self.write(" ");
        }
        self.whitespace = whitespace;
        self.indention = self.indention && indention;
        self.write(text);
    }

    fn line_break(&mut self) {
        self.out.push('\n');
        self.whitespace = true;
        self.indention = true;
        self.column = 0;
    }

    fn write_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.line_break();
        }
        if self.column < indent {
            self.whitespace = true;
            let blanks = " ".repeat(indent - self.column);
            self.write(&blanks);
        }
    }

    /// Indents by one level and returns the level before.
    fn deeper(&mut self, flow: bool, indentless: bool) -> Option<usize> {
        let before = self.indent;
        self.indent = Some(match before {
            None if flow => self.style.indent,
            None => 0,
            Some(indent) if indentless => indent,
            Some(indent) => indent + self.style.indent,
        });
        before
    }

    fn node(&mut self, item: &Item, context: Context) {
        match item {
            Item::Scalar { text, plain } => self.scalar(text, *plain, context),
            Item::Sequence { items, flow } => {
                if self.flow_level > 0 || *flow || items.is_empty() {
                    self.flow_sequence(items);
                } else {
                    self.block_sequence(items, context);
                }
            }
            Item::Mapping { pairs, flow } => {
                if self.flow_level > 0 || *flow || pairs.is_empty() {
                    self.flow_mapping(pairs);
                } else {
                    self.block_mapping(pairs);
                }
            }
        }
    }

    fn wrap(&mut self) {
        if self.column > self.style.width {
            self.write_indent();
        }
    }

    fn flow_sequence(&mut self, items: &[Item]) {
        self.indicator("[", true, true, false);
        self.flow_level += 1;
        let before = self.deeper(true, false);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.indicator(",", false, false, false);
            }
            self.wrap();
            self.node(item, Context::Sequence);
        }
        self.indent = before;
        self.flow_level -= 1;
        self.indicator("]", false, false, false);
    }

    fn flow_mapping(&mut self, pairs: &[(Item, Item)]) {
        self.indicator("{", true, true, false);
        self.flow_level += 1;
        let before = self.deeper(true, false);
        for (index, (key, value)) in pairs.iter().enumerate() {
            if index > 0 {
                self.indicator(",", false, false, false);
            }
            self.wrap();
            if is_simple_key(key) {
                self.node(key, Context::SimpleKey);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, false);
                self.node(key, Context::MappingValue);
                self.wrap();
                self.indicator(":", true, false, false);
            }
            self.node(value, Context::MappingValue);
        }
        self.indent = before;
        self.flow_level -= 1;
        self.indicator("}", false, false, false);
    }

    fn block_sequence(&mut self, items: &[Item], context: Context) {
        let indentless = context == Context::MappingValue && !self.indention;
        let before = self.deeper(false, indentless);
        for item in items {
            self.write_indent();
            self.indicator("-", true, false, true);
            self.node(item, Context::Sequence);
        }
        self.indent = before;
    }

    fn block_mapping(&mut self, pairs: &[(Item, Item)]) {
        let before = self.deeper(false, false);
        for (key, value) in pairs {
            self.write_indent();
            if is_simple_key(key) {
                self.node(key, Context::SimpleKey);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, true);
                self.node(key, Context::MappingValue);
                self.write_indent();
                self.indicator(":", true, false, true);
            }
            self.node(value, Context::MappingValue);
        }
        self.indent = before;
    }

    fn scalar(&mut self, text: &[char], plain: bool, context: Context) {
        let before = self.deeper(true, false);
        let analysis = analyse(text);
        let simple_key = context == Context::SimpleKey;
        let split = !simple_key;
        let allowed = if self.flow_level > 0 { analysis.flow_plain } else { analysis.block_plain };
        if plain && allowed && !(simple_key && (analysis.empty || analysis.multiline)) {
            self.plain(text, split);
        } else if analysis.single_quoted && !(simple_key && analysis.multiline) {
            self.single_quoted(text, split);
        } else {
            self.double_quoted(text, split);
        }
        self.indent = before;
    }

    fn plain(&mut self, text: &[char], split: bool) {
        if text.is_empty() {
            return;
        }
        if !self.whitespace {
            self.write(" ");
        }
        self.whitespace = false;
        self.indention = false;
        for run in runs(text) {
            let blank = run.first() == Some(&' ');
            if blank && run.len() == 1 && self.column > self.style.width && split {
                self.write_indent();
                self.whitespace = false;
                self.indention = false;
            } else {
                self.write_chars(run);
            }
        }
    }

    fn single_quoted(&mut self, text: &[char], split: bool) {
        self.indicator("'", true, false, false);
        let mut at = 0;
        for run in runs(text) {
            let end = at + run.len();
            match run.first() {
                Some(' ') => {
                    let inside = at != 0 && end != text.len();
                    if run.len() == 1 && self.column > self.style.width && split && inside {
                        self.write_indent();
                    } else {
                        self.write_chars(run);
                    }
                }
                Some(first) if is_break(*first) => {
                    if *first == '\n' {
                        self.line_break();
                    }
                    for _ in run {
                        self.line_break();
                    }
                    self.write_indent();
                }
                _ => {
                    let doubled: String = run.iter().collect::<String>().replace('\'', "''");
                    self.write(&doubled);
                }
            }
            at = end;
        }
        self.indicator("'", false, false, false);
    }

    fn double_quoted(&mut self, text: &[char], split: bool) {
        self.indicator("\"", true, false, false);
        let mut start = 0;
        let mut end = 0;
        while end <= text.len() {
            let character = text.get(end).copied();
            if character.is_none_or(needs_escape) {
                if start < end {
                    self.write_chars(text.get(start..end).unwrap_or_default());
                    start = end;
                }
                if let Some(character) = character {
                    let escaped = escape(character);
                    self.write(&escaped);
                    start = end + 1;
                }
            }
            let inside = end > 0 && end + 1 < text.len();
            let pending = end.saturating_sub(start);
            if inside
                && (character == Some(' ') || start >= end)
                && self.column + pending > self.style.width
                && split
            {
                if start < end {
                    self.write_chars(text.get(start..end).unwrap_or_default());
                    start = end;
                }
                self.write("\\");
                self.write_indent();
                self.whitespace = false;
                self.indention = false;
                if text.get(start) == Some(&' ') {
                    self.write("\\");
                }
            }
            end += 1;
        }
        self.indicator("\"", false, false, false);
    }
}

fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Runs of blanks, of line breaks and of other characters.
fn runs(text: &[char]) -> impl Iterator<Item = &[char]> {
    let class = |character: &char| {
        if *character == ' ' {
            0
        } else if is_break(*character) {
            1
        } else {
            2
        }
    };
    text.chunk_by(move |left, right| class(left) == class(right))
}

fn needs_escape(character: char) -> bool {
    matches!(character, '"' | '\\' | '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
        || !matches!(character, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
}

fn escape(character: char) -> String {
    let short = match character {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let code = u32::from(character);
            return match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

/// Keys longer than this are written with `?` (libyaml's and PyYAML's limit).
const MAX_SIMPLE_KEY: usize = 128;

fn is_simple_key(item: &Item) -> bool {
    match item {
        Item::Scalar { text, .. } => {
            let analysis = analyse(text);
            text.len() < MAX_SIMPLE_KEY && !analysis.empty && !analysis.multiline
        }
        Item::Sequence { items, .. } => items.is_empty(),
        Item::Mapping { pairs, .. } => pairs.is_empty(),
    }
}

/// Which styles can carry a text (PyYAML's `analyze_scalar`).
fn analyse(text: &[char]) -> Analysis {
    if text.is_empty() {
        return Analysis {
            empty: true,
            multiline: false,
            flow_plain: false,
            block_plain: true,
            single_quoted: true,
        };
    }
    let blank = |character: Option<&char>| {
        character.is_none_or(|c| matches!(c, '\0' | ' ' | '\t' | '\r') || is_break(*c))
    };
    let starts_document = text.starts_with(&['-', '-', '-']) || text.starts_with(&['.', '.', '.']);
    let (mut block_indicators, mut flow_indicators) = (starts_document, starts_document);
    let (mut line_breaks, mut special, mut break_space, mut space_break) =
        (false, false, false, false);
    let mut previous = '\0';
    for (index, character) in text.iter().enumerate() {
        let followed = blank(text.get(index + 1));
        let preceded = index == 0 || blank(Some(&previous));
        match character {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
            | '@' | '`'
                if index == 0 =>
            {
                flow_indicators = true;
                block_indicators = true;
            }
            '?' | ':' if index == 0 => {
                flow_indicators = true;
                block_indicators |= followed;
            }
            '-' if index == 0 && followed => {
                flow_indicators = true;
                block_indicators = true;
            }
            ',' | '?' | '[' | ']' | '{' | '}' => flow_indicators = true,
            ':' => {
                flow_indicators = true;
                block_indicators |= followed;
            }
            '#' if preceded => {
                flow_indicators = true;
                block_indicators = true;
            }
            _ => {}
        }
        line_breaks |= is_break(*character);
        let printable = matches!(character, '\n' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10fffe}')
            && *character != '\u{feff}';
        special |= !printable;
        break_space |= *character == ' ' && index > 0 && is_break(previous);
        space_break |= is_break(*character) && previous == ' ';
        previous = *character;
    }
    let edge = |character: Option<&char>| character.is_some_and(|c| *c == ' ' || is_break(*c));
    let edges = edge(text.first()) || edge(text.last());
    let plain = !(edges || break_space || space_break || special || line_breaks);
    Analysis {
        empty: false,
        multiline: line_breaks,
        flow_plain: plain && !flow_indicators,
        block_plain: plain && !block_indicators,
        single_quoted: !(break_space || space_break || special),
    }
}
