//! What fixtures cannot show: pending values, data that stays data, places of errors, includes,
//! static analysis, limits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diagnostics::{SourceId, Sources, Span};
use provision_template::{
    Dialect, EmptyScope, Engine, Found, LoadedTemplate, LookupRequest, Nowhere, Outside,
    OutsideError, Scope, Slot, TemplateError, TemplateOptions, TextKind, Value, is_omit, repr_of,
    text_of,
};
use yaml::{Node, NodeValue, Schema};

#[derive(Default)]
struct Vars {
    slots: BTreeMap<&'static str, Found>,
    reads: AtomicUsize,
}

impl Vars {
    fn with(mut self, name: &'static str, found: Found) -> Self {
        self.slots.insert(name, found);
        self
    }

    fn template(self, name: &'static str, text: &str) -> Self {
        let node = parse(text);
        self.with(name, Found::Slot(Slot::Template(Arc::new(node))))
    }

    fn data(self, name: &'static str, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.with(name, Found::Slot(Slot::Data(value)))
    }
}

impl Scope for Vars {
    fn lookup(&self, name: &str) -> Found {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.slots.get(name).cloned().unwrap_or(Found::Undefined)
    }

    fn names(&self) -> Vec<String> {
        self.slots.keys().map(ToString::to_string).collect()
    }
}

fn parse(text: &str) -> Node {
    yaml::read(text, SourceId(0), Schema::Ansible).documents.remove(0)
}

fn text(text: &str) -> Node {
    Node::new(Span::new(SourceId(0), 0, text.len()), NodeValue::String(text.into()))
}

const BOTH: [Dialect; 2] = [Dialect::Classic, Dialect::Strict];

fn render(dialect: Dialect, template: &str, scope: &Vars) -> Result<Value, TemplateError> {
    Engine::new(dialect).render_node(&text(template), scope, &Nowhere)
}

#[test]
fn pending_values_stop_evaluation_but_only_when_read() {
    for dialect in BOTH {
        let scope = Vars::default()
            .with("later", Found::Pending(7))
            .template("indirect", "'{{ later.rc }}'")
            .data("now", 1);
        for template in [
            "{{ later }}",
            "{{ indirect }}",
            "{{ later.x | default(1) }}",
            "{{ later is defined }}",
        ] {
            let result = render(dialect, template, &scope);
            assert_eq!(result.unwrap_err(), TemplateError::Pending(7), "{template}");
        }
        assert_eq!(text_of(&render(dialect, "{{ now or later }}", &scope).unwrap()), "1");
    }
}

#[test]
fn data_is_never_a_template() {
    for dialect in BOTH {
        let engine = Engine::new(dialect);
        let scope = Vars::default()
            .data("evil", "{{ secret }}")
            .data("secret", "s3cret")
            .template("via", "'{{ evil }}'");
        for template in ["{{ evil }}", "{{ via }}", "x{{ evil }}", "{{ [evil] | first }}"] {
            let once = engine.render_node(&text(template), &scope, &Nowhere).unwrap();
            assert!(text_of(&once).contains("{{ secret }}"), "{template}");
            let again = Vars::default().with("once", Found::Slot(Slot::Data(once)));
            let twice = engine.render_node(&text("{{ once }}"), &again, &Nowhere).unwrap();
            assert!(text_of(&twice).contains("{{ secret }}"), "{template}");
        }
        let looked_up =
            engine.render_node(&text("{{ lookup('vars', 'evil') }}"), &scope, &Nowhere).unwrap();
        assert_eq!(text_of(&looked_up), "{{ secret }}");
        let unsafe_node = parse("!unsafe '{{ secret }}'");
        let value = engine.render_node(&unsafe_node, &scope, &Nowhere).unwrap();
        assert_eq!(text_of(&value), "{{ secret }}");
    }
}

#[test]
fn conditions_never_run_data_as_code() {
    for dialect in BOTH {
        let engine = Engine::new(dialect);
        let scope = Vars::default()
            .data("evil", "true or lookup('pipe', 'x')")
            .data("name", "host1")
            .template("trusted", "name == 'host1'");
        let condition = |source: &str| {
            let verdict = engine.evaluate_condition(&text(source), &scope, &Nowhere);
            verdict.map(|verdict| verdict.holds)
        };
        assert!(condition("{{ evil }}").is_err());
        assert!(!condition("'{{ evil }}' == 'x'").unwrap());
        assert!(condition("{{ evil }} == 'x'").is_err());
        assert!(condition("'x' in {{ evil }}").is_err());
        if dialect == Dialect::Classic {
            assert!(condition("{{ evil | length }} > 2 and 'e' in {{ [evil[3]] }}").unwrap());
        }
        assert!(condition("'{{ name }}' == 'host1'").unwrap());
        assert!(condition("{{ trusted }}").unwrap());
    }
}

#[test]
fn calls_that_cannot_be_made_say_why_in_ansible_s_words() {
    for (source, message) in [
        (
            "{{ [1] | select('asdf ') }}",
            "TemplateSyntaxError: Could not load \"asdf \": 'invalid plugin name: \
             ansible.builtin.asdf '",
        ),
        ("{{ [1] | map('asdf') }}", "No filter named 'asdf'."),
        ("{{ 1 | default(value='', value='') }}", "keyword argument repeated: value"),
    ] {
        let error = render(Dialect::Classic, source, &Vars::default()).unwrap_err();
        assert_eq!(error.message(), message);
    }
}

#[test]
fn values_have_classes() {
    let engine = Engine::new(Dialect::Classic).with_native_types();
    let scope = Vars::default();
    let value = |source: &str| engine.render_node(&text(source), &scope, &Nowhere).unwrap();
    assert_eq!(text_of(&value("{{ true.__class__ }}")), "<class 'bool'>");
    assert_eq!(text_of(&value("{{ [1].__class__.__name__ }}")), "list");
    assert_eq!(text_of(&value("{{ true.__class__ | string | length }}")), "14");
    assert_eq!(text_of(&value("{{ {'__class__': 'x'}.__class__ }}")), "x");
    assert_eq!(text_of(&value("{{ 1.5.__class__ | type_debug }}")), "type");
}

/// As ansible-core 2.18.19 writes them.
#[test]
fn lines_can_be_statements() {
    let scope = Vars::default().template("numbers", "[1, 2]");
    for (text, written) in [
        ("#jinja2: line_statement_prefix:\":\"\n: if true\nfoo\n: endif\n", "foo\n"),
        (
            "#jinja2: line_statement_prefix:\"%\", trim_blocks: False\na\n% for x in numbers:\n  \
             % if x == 1\n x{{ x }} % no\n % endif\n% endfor\nb\n",
            "a\n x1 % no\nb\n",
        ),
        (
            "#jinja2: line_statement_prefix:\"%\"\n{% if true %}\n% if true\nin\n% endif\n\
             {% endif %}\nend",
            "in\nend",
        ),
    ] {
        let engine = Engine::new(Dialect::Classic);
        let options = TemplateOptions::default();
        let result = engine.render_file("t.j2", text, None, &options, &scope, &Nowhere);
        assert_eq!(result.unwrap(), written, "{text}");
    }
}

/// As ansible-core 2.18.19 says it in its warnings.
#[test]
fn conditions_that_are_no_booleans_are_told_apart() {
    let engine = Engine::new(Dialect::Classic);
    let scope = Vars::default()
        .template("list", "[1]")
        .data("none", ())
        .data("one", "1")
        .data("yes", "True")
        .template("condition", "one == '1'");
    for (source, holds, odd) in [
        ("one", true, Some("AnsibleUnsafeText")),
        ("list", true, Some("list")),
        ("none", false, Some("NoneType")),
        ("one == '1' and list", true, Some("list")),
        ("{{ one }}", true, Some("int")),
        ("{% if true %}1{% endif %}", true, Some("int")),
        ("{{ condition }}", true, None),
        ("{{ yes }}", true, None),
        ("list | length > 0", true, None),
        ("", true, None),
    ] {
        let verdict = engine.evaluate_condition(&text(source), &scope, &Nowhere).unwrap();
        assert_eq!((verdict.holds, verdict.odd), (holds, odd), "{source}");
    }
}

#[test]
fn variables_are_evaluated_once() {
    let scope =
        Vars::default().template("a", "'{{ b }}{{ b }}'").template("b", "'{{ c }}'").data("c", 1);
    render(Dialect::Classic, "{{ a }}{{ a }}{{ a }}", &scope).unwrap();
    // a, b, c: each looked up once (the shortcut for `{{ name }}` alone asks for c again).
    assert!(scope.reads.load(Ordering::Relaxed) <= 5, "{:?}", scope.reads);
}

#[test]
fn loops_of_variables_are_named() {
    for dialect in BOTH {
        let scope = Vars::default().template("a", "'{{ b }}'").template("b", "'x{{ a }}'");
        let error = render(dialect, "{{ a }}", &scope).unwrap_err();
        assert!(error.message().contains("recursive loop detected in template"), "{error}");
        assert!(error.message().contains("a → b → a"), "{error}");
    }
}

#[test]
fn errors_point_at_the_place() {
    let source = "plain: a {{ missing }}\nquoted: 'b {{ missing.x }}'\nblock: |\n  one\n  two {{ 1 / 0 }}\nfolded: >-\n  {{ nofunc() }}\n  more\n";
    let mut sources = Sources::default();
    let id = sources.add("vars.yml", source);
    let root = yaml::read(source, id, Schema::Ansible).documents.remove(0);
    let engine = Engine::new(Dialect::Classic);
    for (key, line, column) in
        [("plain", 1, 13), ("quoted", 2, 15), ("block", 5, 10), ("folded", 7, 6)]
    {
        let node = root.as_mapping().unwrap().get(key).unwrap();
        let error = engine.render_node(node, &EmptyScope, &Nowhere).unwrap_err();
        let diagnostic = error.diagnostic(&sources);
        let place = sources.place(diagnostic.primary.unwrap().span);
        assert_eq!((place.line, place.column), (line, column), "{key}: {error:?}");
    }
}

#[test]
fn errors_tell_the_chain_of_variables() {
    let scope =
        Vars::default().template("outer", "'{{ inner }}'").template("inner", "'{{ missing }}'");
    for dialect in BOTH {
        let error = render(dialect, "{{ outer }}", &scope).unwrap_err();
        let names: Vec<&str> =
            error.fault().unwrap().trail.iter().map(|trail| trail.name.as_str()).collect();
        assert_eq!(names, ["inner", "outer"]);
        assert_eq!(error.message(), "'missing' is undefined");
        assert!(error.is_undefined());
    }
}

#[test]
fn syntax_errors_have_places_and_hints() {
    let engine = Engine::new(Dialect::Classic);
    assert!(engine.check_syntax("{{ a }", TextKind::Template).is_err());
    assert!(engine.check_syntax("a == ", TextKind::Condition).is_err());
    assert!(engine.check_syntax("a is defined and b", TextKind::Condition).is_ok());
    let error = engine.check_syntax("{{ a | defualt(1) }}", TextKind::Template).unwrap_err();
    assert_eq!(error.fault().unwrap().hint.as_deref(), Some("did you mean `default`?"));
}

struct Templates(BTreeMap<&'static str, &'static str>);

impl Outside for Templates {
    fn template(
        &self,
        name: &str,
        _parent: Option<&str>,
    ) -> Result<Option<LoadedTemplate>, OutsideError> {
        Ok(self.0.get(name).map(|text| LoadedTemplate {
            name: name.to_owned(),
            text: Arc::from(*text),
            span: None,
        }))
    }

    fn lookup(&self, request: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        match (request.name, request.terms) {
            ("file", [name]) if name.as_str() == Some("a.ini") => {
                Ok(vec![Value::from("[global]\nx=1\n[s]\nkey = value ; not a comment\n")])
            }
            ("file", [name]) if name.as_str() == Some("a.csv") => {
                Ok(vec![Value::from("k,\"a \"\"q\"\"\",z\nx,1,2\n")])
            }
            ("env", [name]) => Ok(vec![Value::from(format!("env:{name}"))]),
            ("several", _) => Ok(vec![Value::from("a"), Value::from("b")]),
            ("fails", _) => Err(OutsideError::Failed("it failed".into())),
            _ => Err(OutsideError::UnknownLookup),
        }
    }
}

fn file(text: &str, templates: &[(&'static str, &'static str)], scope: &Vars) -> String {
    let outside = Templates(templates.iter().copied().collect());
    Engine::new(Dialect::Classic)
        .render_file("main.j2", text, None, &TemplateOptions::default(), scope, &outside)
        .unwrap()
}

#[test]
fn templates_include_import_and_extend() {
    let scope = Vars::default().data("v", "V");
    let templates = [
        ("inc", "[{{ v }}{{ local | default('-') }}]\n"),
        (
            "macros",
            "{% macro m(x) %}<{{ x }}>{% endmacro %}{% set exported = 5 %}{% set _hidden = 1 %}",
        ),
        ("base", "head {% block a %}base a{% endblock %} {% block b %}base b{% endblock %} tail"),
        ("mid", "{% extends 'base' %}{% block a %}mid+{{ super() }}{% endblock %}"),
    ];
    let cases = [
        ("{% set local = 1 %}{% include 'inc' %}", "[V1]"),
        ("{% include 'none' ignore missing %}ok", "ok"),
        ("{% include ['none', 'inc'] %}", "[V-]"),
        ("{% import 'macros' as t %}{{ t.m(1) }}{{ t.exported }}", "<1>5"),
        ("{% from 'macros' import m as n, exported %}{{ n(2) }}{{ exported }}", "<2>5"),
        ("{% extends 'base' %}{% block a %}mine {{ v }}{% endblock %}", "head mine V base b tail"),
        (
            "{% extends 'mid' %}{% block a %}top+{{ super() }}{% endblock %}",
            "head top+mid+base a base b tail",
        ),
        (
            "{% extends 'base' %}{% set x = 3 %}{% block b %}{{ x }}{{ self.a() }}{% endblock %}",
            "head base a 3base a tail",
        ),
    ];
    for (template, expected) in cases {
        assert_eq!(file(template, &templates, &scope), expected, "{template}");
    }
}

#[test]
fn lookups_reach_outside() {
    let outside = Templates(BTreeMap::new());
    let engine = Engine::new(Dialect::Classic);
    let get = |template: &str| {
        engine.render_node(&text(template), &Vars::default(), &outside).map(|value| text_of(&value))
    };
    assert_eq!(get("{{ lookup('env', 'HOME') }}").unwrap(), "env:HOME");
    assert_eq!(get("{{ lookup('ansible.builtin.env', 'HOME') }}").unwrap(), "env:HOME");
    assert_eq!(get("{{ lookup('several') }}").unwrap(), "a,b");
    assert_eq!(get("{{ query('several') }}").unwrap(), "['a', 'b']");
    assert_eq!(get("{{ lookup('several', wantlist=true) | last }}").unwrap(), "b");
    assert_eq!(get("{{ lookup('fails') }}").unwrap_err().message(), "it failed");
    assert_eq!(get("{{ lookup('fails', errors='ignore') | default('d', true) }}").unwrap(), "d");
    assert_eq!(get("{{ lookup('ini', 'x', file='a.ini') }}").unwrap(), "1");
    assert_eq!(
        get("{{ lookup('ini', 'key section=s file=a.ini') }}").unwrap(),
        "value ; not a comment"
    );
    assert_eq!(
        get("{{ lookup('csvfile', 'k', file='a.csv', delimiter=',', col=1) }}").unwrap(),
        "a \"q\""
    );
    let items =
        engine.lookup("items", vec![Value::from(vec![1, 2])], vec![], &EmptyScope, &outside);
    assert_eq!(items.unwrap().len(), 2);
}

#[test]
fn reach_sees_every_name() {
    let engine = Engine::new(Dialect::Classic);
    let reach = engine.names_in(
        "{% for x in items_list %}{{ x.y }}{{ z }}{% endfor %}{{ lookup('vars', 'named') }}\
         {{ hostvars[h].q }}{% set s = 1 %}{{ s }}{{ lookup('file', path) }}{% include 'inc.j2' %}",
        TextKind::File,
    );
    let names: Vec<&str> = reach.names.iter().map(String::as_str).collect();
    assert_eq!(names, ["h", "hostvars", "items_list", "named", "path", "z"]);
    assert!(!reach.dynamic && !reach.impure && !reach.dynamic_includes);
    assert_eq!(reach.lookups.iter().collect::<Vec<_>>(), ["file", "vars"]);
    assert_eq!(reach.includes.iter().collect::<Vec<_>>(), ["inc.j2"]);
    assert!(engine.names_in("{{ vars[x] }}", TextKind::Template).dynamic);
    assert!(engine.names_in("{{ lookup('vars', x) }}", TextKind::Template).dynamic);
    assert!(engine.names_in("{{ lookup('vars', *'s') }}", TextKind::Template).dynamic);
    assert!(
        engine.names_in("{{ lookup(*['template', 'f']) }}", TextKind::Template).dynamic_includes
    );
    assert!(engine.names_in("{{ [1] | map(*['shuffle']) }}", TextKind::Template).impure);
    assert!(engine.names_in("{{ now() }}", TextKind::Template).impure);
    let conditional =
        engine.names_in("{% if a %}{% set b = 1 %}{% endif %}{{ b }}", TextKind::File);
    assert!(conditional.names.contains("b"), "set in one branch only");
    let condition = engine.names_in("r is failed and q.x == '{{ w }}'", TextKind::Condition);
    assert_eq!(condition.names.iter().collect::<Vec<_>>(), ["q", "r", "w"]);
}

#[test]
fn limits_hold() {
    for template in [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 1000000000 }}",
        "{{ range(100000000) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!' is match('(a|a|aa)+\\1$') }}",
        "{{ range(1000) | permutations(5) }}",
    ] {
        let engine = Engine::new(Dialect::Classic).limited_to(100_000);
        let result = engine.render_node(&text(template), &Vars::default(), &Nowhere);
        assert!(result.is_err(), "{template}");
    }
}

#[test]
fn extreme_numbers_do_not_overflow() {
    let big = "170141183460469231731687303715884105727";
    for template in [
        "{{ -(-N - 1) }}",
        "{{ [1, 2][N:] }}{{ [1, 2][::N] }}{{ [1, 2][-N::-1] }}",
        "{{ range(-N, N, N) | list | length }}",
        "{{ (N // -1) }}{{ N % 7 }}",
        "{{ N + 1 }}",
        "{{ N ** 2 }}",
        "{{ query('sequence', 'start=1 end=9223372036854775807 stride=9223372036854775807') }}",
        "{{ N | random(seed=1) }}",
        "{{ '::/0' | ipsubnet(127, -1) }}{{ '::/0' | ipaddr('size') }}",
        "{{ 'x' | truncate(9223372036854775807, leeway=9223372036854775807) }}",
        "{{ 'abc'[9223372036854775807] | default('') }}{{ [1][-9223372036854775808] | default('') }}",
    ] {
        let template = template.replace('N', big);
        // The result does not matter, only that there is one.
        _ = render(Dialect::Classic, &template, &Vars::default());
    }
}

#[test]
fn deep_chains_fit_a_small_stack() {
    // Worker threads have 2 MiB; this chain is as deep as the limit allows, in a debug build.
    let names: Vec<&'static str> =
        (0..55).map(|index| &*Box::leak(format!("v{index}").into_boxed_str())).collect();
    let mut scope = Vars::default();
    for pair in names.windows(2) {
        scope = scope.template(
            pair[0],
            &format!("'{{{{ (({} ~ \"\") | string) if true else 1 }}}}'", pair[1]),
        );
    }
    let scope = scope.data(names[names.len() - 1], "end");
    let run = move || text_of(&render(Dialect::Classic, "{{ v0 }}", &scope).unwrap());
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(run).unwrap();
    assert_eq!(thread.join().unwrap(), "end");
}

#[test]
fn omit_is_recognised() {
    for dialect in BOTH {
        let value = render(dialect, "{{ x | default(omit) }}", &Vars::default()).unwrap();
        assert!(is_omit(&value), "{dialect:?}");
    }
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let engine = Engine::new(Dialect::Classic);
    let scope = Vars::default().data("password", "s3cret");
    engine.render_node(&text("{{ password }}"), &scope, &Nowhere).unwrap();
    assert!(!format!("{engine:?}").contains("s3cret"));
}

/// Asking for a name that nobody wrote would be a dependency that static analysis doesn't know.
#[test]
fn conditions_made_of_statements_ask_for_no_further_name() {
    for dialect in BOTH {
        let scope = Vars::default();
        let condition = text("{% if true %}what is{% endif %}");
        Engine::new(dialect).evaluate_condition(&condition, &scope, &Nowhere).unwrap_err();
        assert_eq!(scope.reads.load(Ordering::Relaxed), 0, "{dialect:?}");
    }
}

/// Found by fuzzing: a delimiter that cannot be read counts as empty, and the search for it never ended.
#[test]
fn empty_delimiters_are_refused() {
    for header in
        ["variable_start_string: '[", "block_end_string: ''", "comment_start_string: \"\""]
    {
        let node =
            Node::string(Span::new(SourceId(0), 0, 0), format!("#jinja2: {header}\n{{{{ 1 }}}}"));
        let engine = Engine::new(Dialect::Classic);
        let error = engine.render_node(&node, &EmptyScope, &Nowhere).unwrap_err();
        assert!(error.message().contains("empty"), "{header}: {error:?}");
    }
}

/// Found by fuzzing: the place of an unexpected wide character ended inside of it.
#[test]
fn places_of_syntax_errors_hold_whole_characters() {
    for text in ["{{[ q\u{616}", "{{ d | map(attribute='key')\u{70c1}\u{fffd}join}}"] {
        let mut sources = Sources::default();
        let span = Span::new(sources.add("text", text), 0, text.len());
        let error = Engine::new(Dialect::Classic)
            .render_node(&Node::string(span, text), &EmptyScope, &Nowhere)
            .unwrap_err();
        let label = error.diagnostic(&sources).primary.unwrap();
        let range = label.span.start as usize..label.span.end as usize;
        assert!(text.get(range).is_some(), "{label:?}");
    }
}

/// Lookups read one file, `people.csv`.
struct Table;

impl Outside for Table {
    fn lookup(&self, request: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        match request.terms.first().and_then(Value::as_str) {
            Some("people.csv") => Ok(vec![Value::from("Smith,Jane\n\"Lee, Jr\",Ann\n")]),
            _ => Err(OutsideError::Failed("no such file".into())),
        }
    }
}

#[test]
fn lookups_say_what_is_wrong_in_ansible_s_words() {
    let scope = Vars::default().data("users", from_users());
    let said = |expression: &str| {
        let engine = Engine::new(Dialect::Classic);
        match engine.evaluate_expression(expression, None, &scope, &Table) {
            Ok(value) => text_of(&value),
            Err(error) => format!("error: {}", error.message()),
        }
    };
    let cases = [
        ("lookup('csvfile', 'Smith', file='people.csv', delimiter=',')", "Jane"),
        ("lookup('csvfile', '\"Lee, Jr\" file=people.csv delimiter=,')", "[]"),
        ("lookup('csvfile', 'Nobody file=people.csv delimiter=, col=2, default=x')", "x"),
        ("lookup('csvfile', 'file=people.csv')", "error: Search key is required"),
        ("lookup('csvfile', file='people.csv')", "error: Search key is required"),
        ("lookup('csvfile', 'a file=people.csv other=1')", "error: other is not a valid option"),
        ("lookup('csvfile', 'a', file='none.csv')", "error: csvfile: No such file or directory"),
        ("lookup('sequence', 'start=A end=3')", "error: Invalid type for start"),
        ("lookup('sequence', '1-4/C')", "error: Invalid type for stride"),
        ("lookup('sequence', 'end=3 junk=\"a b\"')", "error: unrecognized arguments"),
        ("lookup('varnames', 5)", "error: Invalid setting identifier"),
        ("lookup('varnames', '*')", "error: Unable to use \"*\" as a search parameter: nothing to"),
        ("lookup('subelements', 9001, 'groups')", "error: subelements lookup expects a dictionary"),
        ("lookup('subelements', users, 'db.name')", "error: the key name should point to a list"),
        ("lookup('subelements', users, 'keys.x')", "error: the key keys should point to a dict"),
        ("lookup('subelements', users, 'db.x')", "error: could not find 'x' key in iterated item"),
        ("lookup('subelements', users, 'keys', 'x')", "error: subelements lookup expects a list"),
        ("lookup('subelements', {'skipped': true}, 'keys')", "[]"),
        (
            "lookup('subelements', users, 'keys', wantlist=true) | map('last') | list",
            "['k1', 'k2']",
        ),
        ("lookup('subelements', users, 'none', {'skip_missing': true})", "[]"),
        ("'%r' | format(nothing) is search('^AnsibleUndefined')", "True"),
        ("'%s' | format(nothing)", "error: 'nothing' is undefined"),
    ];
    for (expression, expected) in cases {
        let found = said(expression);
        assert!(found.starts_with(expected), "{expression}: {found}");
    }
}

fn from_users() -> Value {
    provision_template::from_json(&serde_json::json!([
        {"name": "ann", "keys": ["k1", "k2"], "db": {"name": "x"}},
    ]))
}

/// Two names, the later letter first.
struct Ordered;

impl Scope for Ordered {
    fn lookup(&self, name: &str) -> Found {
        match name {
            "b_1" | "a_1" => Found::Slot(Slot::Data(1.into())),
            _ => Found::Undefined,
        }
    }

    fn names(&self) -> Vec<String> {
        ["b_1", "a_1"].map(str::to_owned).to_vec()
    }
}

#[test]
fn names_keep_the_order_of_their_definition() {
    let engine = Engine::new(Dialect::Classic);
    let expression = r"lookup('varnames', '_\d')";
    let value = engine.evaluate_expression(expression, None, &Ordered, &Nowhere).unwrap();
    assert_eq!(text_of(&value), "b_1,a_1");
}

/// Found by fuzzing: a statement's delimiter inside of a text literal hid what a condition reads.
#[test]
fn conditions_announce_what_they_read_beside_literals_with_delimiters() {
    for dialect in BOTH {
        let engine = Engine::new(dialect);
        let condition = text("{{ d == '{% include' or e == '{#' }}");
        let reach = engine.names_in_node(&condition, TextKind::Condition);
        assert!(reach.names.contains("d") && reach.names.contains("e"), "{dialect:?} {reach:?}");
    }
}

/// `jinja2_native` of the classic dialect: checked against ansible-core 2.18.19.
#[test]
fn native_types_keep_values_and_read_text_as_python_does() {
    let engine = Engine::new(Dialect::Classic).with_native_types();
    let scope = Vars::default()
        .data("one", 1)
        .data("text", "2")
        .data("yes", true)
        .data("nothing", ())
        .data("list", Value::from(vec![1, 2]));
    for (template, expected) in [
        ("{{ one }}", "1"),
        ("{{ one + 1 }}", "2"),
        ("{{ text }}", "2"),
        ("{{ text | string }}", "'2'"),
        ("{{ text | int }}", "2"),
        ("'{{ one }}'", "\"'1'\""),
        ("{{ one }}{{ text }}", "12"),
        ("{{ one }} x", "'1 x'"),
        (" {{ one }}", "' 1'"),
        ("{{ yes }}", "True"),
        ("{{ 'true' }}", "'true'"),
        ("{{ nothing }}", "None"),
        ("{{ list }}", "[1, 2]"),
        ("{{ list | to_json }}", "'[1, 2]'"),
        ("{% if not yes %}x{% endif %}", "None"),
    ] {
        let value = engine.render_node(&text(template), &scope, &Nowhere).unwrap();
        assert_eq!(repr_of(&value), expected, "{template}");
    }
}

#[test]
fn what_is_missing_in_a_container_may_get_a_default() {
    for dialect in BOTH {
        let scope = Vars::default().template("there", "{a: {b: 1}}");
        for template in [
            "{{ 'k' | extract(nowhere) | default('d') }}",
            "{{ 'k' | extract(nowhere, 'more') | default('d') }}",
            "{{ ('k' | extract(there, ['b'])).c | default('d') }}",
            "{{ 'a' | extract(there, 'c') | default('d') }}",
        ] {
            let value = render(dialect, template, &scope).unwrap();
            assert_eq!(text_of(&value), "d", "{template}");
        }
        let value = render(dialect, "{{ 'a' | extract(there, 'b') }}", &scope).unwrap();
        assert_eq!(text_of(&value), "1");
    }
}

#[test]
fn combining_leaves_out_nulls_and_refuses_other_names() {
    for dialect in BOTH {
        let scope = Vars::default();
        for (template, expected) in [
            ("{{ none | combine == {} }}", "True"),
            ("{{ {'a': 1} | combine(none, {'b': 2}) == {'a': 1, 'b': 2} }}", "True"),
        ] {
            assert_eq!(
                text_of(&render(dialect, template, &scope).unwrap()),
                expected,
                "{template}"
            );
        }
        let refused = render(dialect, "{{ [{}, [{}]] | combine({}) }}", &scope).unwrap_err();
        assert!(refused.message().contains("expected dicts but got"), "{refused:?}");
        let refused =
            render(dialect, "{{ [] | rekey_on_member('a', duplicates='x') }}", &scope).unwrap_err();
        assert!(refused.message().contains("unknown value"), "{refused:?}");
        let refused = render(dialect, "{{ {} | combine({}, deep=true) }}", &scope).unwrap_err();
        assert!(refused.message().contains("only valid keyword arguments"), "{refused:?}");
        let refused = render(dialect, "{{ 'lots' | human_readable }}", &scope).unwrap_err();
        assert!(refused.message().contains("failed on bad input"), "{refused:?}");
    }
}
