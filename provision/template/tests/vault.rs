//! `!vault` values, and the filters `vault` and `unvault`. What is expected was seen with
//! ansible-core 2.18.19.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: a failure is a report")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use diagnostics::SourceId;
use provision_template::{
    Dialect, Engine, Found, Outside, OutsideError, Scope, Slot, TextKind, Value, has_template,
    to_json,
};
use yaml::{Node, Schema};

/// Opens `sealed:TEXT` as `TEXT`; remembers secrets.
#[derive(Default)]
struct Opener {
    secrets: Mutex<Vec<String>>,
}

impl Outside for Opener {
    fn unvault(&self, text: &str) -> Result<String, OutsideError> {
        match text.trim_end().strip_prefix("sealed:") {
            Some(plain) => Ok(plain.to_owned()),
            None => Err(OutsideError::Failed("no vault password fits".into())),
        }
    }

    fn is_from_vault(&self, text: &str) -> bool {
        text == "plain"
    }

    fn keep_secret(&self, text: &str) {
        self.secrets.lock().unwrap().push(text.to_owned());
    }

    fn random(&self) -> Result<u64, OutsideError> {
        Ok(7)
    }
}

struct Vars(BTreeMap<String, Arc<Node>>);

impl Scope for Vars {
    fn lookup(&self, name: &str) -> Found {
        match self.0.get(name) {
            Some(node) => Found::Slot(Slot::Template(node.clone())),
            None => Found::Undefined,
        }
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

fn vars() -> Vars {
    let text = "y: Y\ntmpl: !vault 'sealed:{{ y }}'\nlist: !vault 'sealed:[1, 2]'\n\
                plain: !vault-encrypted 'sealed:plain'\nbad: !vault 'x'\n\
                deep: {a: [!vault 'sealed:inner', '{{ y }}', 3]}\nnested: '<{{ tmpl }}>'\n\
                broken: {a: 1, b: !vault 'x'}\n";
    let document = yaml::read(text, SourceId(0), Schema::Ansible).documents.remove(0);
    let entries = document.as_mapping().unwrap().iter();
    Vars(
        entries
            .map(|(key, value)| (key.as_str().unwrap().to_owned(), Arc::new(value.clone())))
            .collect(),
    )
}

fn rendered(dialect: Dialect, template: &str) -> Result<Value, String> {
    let engine = Engine::new(dialect);
    engine
        .render_text(template, &vars(), &Opener::default())
        .map_err(|error| error.message().to_owned())
}

#[test]
fn what_a_vault_holds_is_data() {
    for dialect in [Dialect::Classic, Dialect::Strict] {
        for (template, expected) in [
            ("{{ tmpl }}", "\"{{ y }}\""),
            ("x {{ tmpl }}", "\"x {{ y }}\""),
            ("{{ nested }}", "\"<{{ y }}>\""),
            ("{{ deep }}", "{\"a\":[\"inner\",\"Y\",3]}"),
            ("{{ deep.a[0] }}", "\"inner\""),
            ("{{ plain | length }} {{ plain == 'plain' }}", "\"5 True\""),
            ("{{ plain is vault_encrypted }}", "true"),
            ("{{ y is vault_encrypted }}", "false"),
            ("{{ broken.a }}", "1"),
        ] {
            // The classic dialect evaluates all of a mapping when one item of it is read.
            if template == "{{ broken.a }}" && dialect == Dialect::Classic {
                continue;
            }
            let value = rendered(dialect, template).map(|value| to_json(&value).to_string());
            assert_eq!(value.as_deref(), Ok(expected), "{template} {dialect:?}");
        }
    }
    let list = rendered(Dialect::Classic, "{{ list }}").map(|value| to_json(&value).to_string());
    assert_eq!(list.as_deref(), Ok("[1,2]"));
}

#[test]
fn what_cannot_be_opened_says_so_where_it_is_used() {
    let error = rendered(Dialect::Classic, "{{ bad }}").unwrap_err();
    assert!(error.contains("no vault password fits"), "{error}");
    assert!(rendered(Dialect::Classic, "{{ y }}").is_ok());
}

#[test]
fn nothing_is_looked_for_in_an_encrypted_text() {
    let vars = vars();
    let node = vars.0.get("tmpl").unwrap();
    assert!(has_template(node), "its value is not what is written");
    let engine = Engine::new(Dialect::Classic);
    assert_eq!(engine.names_in_node(node, TextKind::Template), Default::default());
    let condition = engine.evaluate_condition(node, &vars, &Opener::default());
    assert!(condition.is_err(), "data is never a condition");
}

#[test]
fn the_filters_encrypt_and_decrypt() {
    let outside = Opener::default();
    let engine = Engine::new(Dialect::Classic);
    let text = |template: &str| {
        engine
            .render_text(template, &vars(), &outside)
            .map(|value| provision_template::text_of(&value))
            .map_err(|error| error.message().to_owned())
    };
    // Made by the filter of ansible-core 2.18.19.
    let made = text("{{ 'hello' | vault('pw', salt='abc') }}").unwrap();
    assert_eq!(made.trim_end(), include_str!("data/filter_vault.txt").trim_end());
    assert_eq!(
        text("{{ 'hello' | vault('pw', vault_id='dev') | unvault('pw') }}").as_deref(),
        Ok("hello")
    );
    assert_eq!(text("{{ 'no vault' | unvault('pw') }}").as_deref(), Ok("no vault"));
    let wrong = text("{{ 'hello' | vault('pw') | unvault('other') }}").unwrap_err();
    assert!(wrong.contains("Unable to decrypt"), "{wrong}");
    assert_eq!(*outside.secrets.lock().unwrap(), ["hello"]);
}
