//! Calls of the module on one document. What must come out is what community.general's module, with
//! lxml, makes of the same calls.

use serde_json::{Value, json};

use crate::module::{Failure, Outcome};
use crate::modules::system::testing::context;

const TEXT: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<business type="bar">
  <name>Tasty Beverage Co.</name>
  <beers>
    <beer>Rochefort 10</beer>
    <beer>St. Bernardus Abbot 12</beer>
    <beer>Schlitz</beer>
  </beers>
  <rating subjective="true">10</rating>
  <website>
    <mobilefriendly/>
    <address>http://tastybeverageco.com</address>
  </website>
</business>
"#;

fn call_on(text: &str, given: Value) -> Result<Outcome, Failure> {
    let mut all = json!({"xmlstring": text});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    context().call_named("xml", all)
}

/// What becomes of the document.
fn changed(given: Value) -> String {
    let outcome = call_on(TEXT, given.clone()).unwrap();
    assert!(outcome.changed, "{given}");
    outcome.values["xmlstring"].as_str().unwrap().to_owned()
}

/// What becomes of it, without its first and last tags.
fn change(given: Value) -> String {
    let after = changed(given.clone());
    // A second time nothing is left to do, but for what is added each time.
    let again = call_on(&after, given.clone()).unwrap();
    assert_eq!(again.changed, given.get("add_children").is_some(), "{given}");
    let (_, body) = after.split_once("<business type=\"bar\"").unwrap();
    assert!(after.starts_with("<?xml version='1.0' encoding='UTF-8'?>\n<business"), "{after}");
    body.strip_suffix("</business>").unwrap_or(body).to_owned()
}

fn refused(given: Value) -> String {
    call_on(TEXT, given).unwrap_err().message
}

#[test]
fn values_are_set() {
    let body = change(json!({"xpath": "/business/rating", "value": 11}));
    assert!(body.contains("<rating subjective=\"true\">11</rating>\n  <website>"), "{body}");
    let body = change(json!({"xpath": "//rating/@subjective", "value": "false"}));
    assert!(body.contains("<rating subjective=\"false\">10</rating>"), "{body}");
    let body = change(json!({"xpath": "//rating", "attribute": "source", "value": "us & them"}));
    assert!(body.contains("<rating subjective=\"true\" source=\"us &amp; them\">"), "{body}");
    let given = json!({"xpath": "//beer[text()='Schlitz']/text()", "value": "Orval"});
    let body = changed(given.clone());
    assert!(body.contains("<beer>Orval</beer>"), "{body}");
    // Nothing says where it is to be made.
    let failure = call_on(&body, given).unwrap_err();
    assert!(failure.message.contains("does not reference a node"), "{}", failure.message);
}

#[test]
fn what_is_missing_is_made() {
    let body = change(json!({"xpath": "/business/website/validxhtml", "value": "true"}));
    let end = "</address>\n  <validxhtml>true</validxhtml></website>\n";
    assert!(body.ends_with(end), "{body}");
    let given =
        json!({"xpath": "/business/website/validxhtml/@validatedon", "value": "1976-08-05"});
    assert!(change(given).contains("<validxhtml validatedon=\"1976-08-05\"/></website>"));
    let given = json!({"xpath": "/business/beers/beer[@id='4']/name", "value": "Orval"});
    assert!(change(given).contains("<beer id=\"4\"><name>Orval</name></beer></beers>"));
    let given = json!({"xpath": "/business/owner[name='Ada' and @age='36']"});
    assert!(change(given).ends_with("<owner age=\"36\"><name>Ada</name></owner>"));
    let message = refused(json!({"xpath": "/business/beers/beer[7]", "value": "x"}));
    assert_eq!(message, "Xpath /business/beers/beer[7] does not reference a node!");
    assert!(refused(json!({"xpath": "/shop/x", "value": "x"})).contains("does not reference"));
}

#[test]
fn nodes_and_attributes_go() {
    let body = change(json!({"xpath": "/business/rating/@subjective", "state": "absent"}));
    assert!(body.contains("<rating>10</rating>"), "{body}");
    let body = changed(json!({"xpath": "//beer[2]", "state": "absent"}));
    assert!(body.contains("Rochefort 10</beer>\n    <beer>Schlitz</beer>"), "{body}");
    let body = change(json!({"xpath": "/business/website/*", "state": "absent"}));
    assert!(body.ends_with("<website>\n    </website>\n"), "{body}");
    assert!(!call_on(TEXT, json!({"xpath": "//none", "state": "absent"})).unwrap().changed);
    assert!(refused(json!({"xpath": "/business", "state": "absent"})).contains("at the top"));
}

#[test]
fn children_are_added_and_set() {
    let body = change(json!({"xpath": "/business/beers", "add_children": [
        {"beer": "Old Rasputin"}, "empty", {"beer": {"id": 5, "+value": "Motor", "_": [{"x": 1.5}]}},
    ]}));
    let wanted = "Schlitz</beer>\n  <beer>Old Rasputin</beer><empty/>\
                  <beer id=\"5\">Motor<x>1.5</x></beer></beers>";
    assert!(body.contains(wanted), "{body}");
    let before = json!({
        "xpath": "//beer[text()='St. Bernardus Abbot 12']", "insertbefore": true,
        "add_children": [{"beer": "a"}, {"beer": "b"}],
    });
    let wanted = "10</beer>\n    <beer>a</beer><beer>b</beer><beer>St.";
    assert!(change(before).contains(wanted));
    let behind = json!({
        "xpath": "//beer[1]", "insertafter": true, "add_children": [{"beer": "a"}, {"beer": "b"}],
    });
    let wanted = "10</beer>\n    <beer>a</beer><beer>b</beer><beer>St.";
    assert!(change(behind).contains(wanted));
    let body =
        change(json!({"xpath": "//beers", "set_children": [{"beer": "90 Minute"}, {"beer": "x"}]}));
    assert!(body.contains("<beers>\n    <beer>90 Minute</beer><beer>x</beer></beers>"), "{body}");
    let body = change(json!({"xpath": "//website", "set_children": []}));
    assert!(body.contains("<website>\n    </website>"), "{body}");
    let xml = json!({"xpath": "//beers", "input_type": "xml", "add_children": ["<beer n='1'>x<y/></beer>"]});
    assert!(change(xml).contains("<beer n=\"1\">x<y/></beer></beers>"));
    let wrong = json!({"xpath": "//beers", "input_type": "xml", "add_children": ["<beer>"]});
    assert!(refused(wrong).starts_with("Error while parsing child element"));
    let two = json!({"xpath": "//beers", "add_children": [{"a": 1, "b": 2}]});
    assert!(refused(two).contains("one key"));
}

#[test]
fn it_is_looked_into() {
    let look = |given: Value| call_on(TEXT, given).unwrap();
    let outcome = look(json!({"xpath": "/business/beers/beer", "count": true}));
    assert_eq!((outcome.changed, &outcome.values["count"]), (false, &json!(3)));
    assert_eq!(outcome.values["msg"], "found 3 nodes");
    let outcome = look(json!({"xpath": "//beer", "content": "text"}));
    assert_eq!(outcome.values["matches"][2], json!({"beer": "Schlitz"}));
    let outcome = look(json!({"xpath": "//rating", "content": "attribute"}));
    assert_eq!(outcome.values["matches"], json!([{"rating": {"subjective": "true"}}]));
    let outcome = look(json!({"xpath": "//beer | //rating", "print_match": true}));
    let places = ["beers/beer[1]", "beers/beer[2]", "beers/beer[3]", "rating"];
    let places: Vec<String> = places.iter().map(|place| format!("/business/{place}")).collect();
    assert_eq!(outcome.values["matches"], json!(places));
}

#[test]
fn names_have_namespaces() {
    let text = "<a xmlns='http://test' xmlns:q='http://q'><q:b q:c='1'/></a>";
    let spaces = json!({"t": "http://test", "z": "http://q", "new": "http://new"});
    let call = |more: Value| {
        let mut given = json!({"namespaces": spaces});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call_on(text, given).unwrap().values
    };
    let values = call(json!({"xpath": "/t:a/z:b", "attribute": "z:c", "value": "2"}));
    assert!(values["xmlstring"].as_str().unwrap().contains("<q:b q:c=\"2\"/>"), "{values:?}");
    let values = call(json!({"xpath": "//z:b/new:x", "value": "y"}));
    let wanted = "<new:x xmlns:new=\"http://new\">y</new:x>";
    assert!(values["xmlstring"].as_str().unwrap().contains(wanted), "{values:?}");
    let values = call(json!({"xpath": "//z:b/z:y", "value": "x"}));
    assert!(values["xmlstring"].as_str().unwrap().contains("<q:y>x</q:y></q:b>"), "{values:?}");
    let values = call(json!({"xpath": "/t:a/t:y", "value": "x"}));
    assert!(values["xmlstring"].as_str().unwrap().contains("<y>x</y></a>"), "{values:?}");
    let values = call(json!({"xpath": "//z:b", "content": "attribute"}));
    assert_eq!(values["matches"][0].as_object().unwrap().keys().next().unwrap(), "{http://q}b");
}

#[test]
fn files_are_rewritten_only_when_something_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.xml");
    std::fs::write(&path, TEXT).unwrap();
    let file = path.to_str().unwrap();
    let call = |check: bool, given: Value| {
        let mut all = json!({"path": file});
        all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        let mut bench = context();
        (bench.check, bench.diff) = (check, true);
        bench.call_named("xml", all)
    };
    let same = json!({"xpath": "//rating", "value": "10"});
    assert!(!call(false, same).unwrap().changed);
    let given = json!({"xpath": "//rating", "value": "11", "backup": true});
    let checked = call(true, given.clone()).unwrap();
    assert!(checked.changed && checked.diff[0].after.contains("11</rating>"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), TEXT);
    let outcome = call(false, given).unwrap();
    let kept = outcome.values["backup_file"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(kept).unwrap(), TEXT);
    assert!(std::fs::read_to_string(&path).unwrap().contains(">11</rating>"));
    let pretty = json!({"pretty_print": true});
    std::fs::write(&path, "<a><b>x</b></a>").unwrap();
    assert!(call(false, pretty.clone()).unwrap().changed);
    let text = "<?xml version='1.0' encoding='UTF-8'?>\n<a>\n  <b>x</b>\n</a>\n";
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert!(!call(false, pretty).unwrap().changed);
    let failure = call_on("<a>", json!({"xpath": "/a", "count": true})).unwrap_err();
    assert!(failure.message.starts_with("Error while parsing document: line 1"));
    let gone = json!({"path": "/no/such.xml", "xpath": "/a", "count": true});
    let failure = context().call_named("xml", gone).unwrap_err();
    assert_eq!(failure.message, "The target XML source '/no/such.xml' does not exist.");
}
