//! A document of XML is written so that it is read as the same again, and an expression of XPath, which is
//! the first line of the input, finds nodes of the document, each once and in its order, or says why not.
#![no_main]

use std::collections::BTreeMap;

use find::{Found, Scope};
use libfuzzer_sys::fuzz_target;
use tree::{Document, Reading};

/// The module itself: the rest of the helper would be built for nothing.
#[path = "../../provision/target/src/modules/files/xml/find.rs"]
#[allow(dead_code, reason = "a part of another crate")]
mod find;
#[path = "../../provision/target/src/modules/files/xml/form.rs"]
mod form;
#[path = "../../provision/target/src/modules/files/xml/path.rs"]
#[allow(dead_code, reason = "a part of another crate")]
mod path;
#[path = "../../provision/target/src/modules/files/xml/tree.rs"]
#[allow(dead_code, reason = "a part of another crate")]
mod tree;

/// What they ask for of the helper.
mod module {
    #[derive(Debug, Clone, PartialEq)]
    pub struct Failure(String);

    impl Failure {
        pub fn new(message: impl Into<String>) -> Self {
            Failure(message.into())
        }
    }
}

/// Expressions within expressions look at all nodes for each node.
const MOST_PREDICATES: usize = 3;

fuzz_target!(|text: &str| {
    let (xpath, text) = text.split_once('\n').unwrap_or((text, ""));
    let expression = path::parse(xpath);
    assert_eq!(path::parse(xpath), expression);
    for reading in [Reading::default(), Reading { drops_blanks: true, drops_data: true }] {
        let Ok(document) = Document::parse(text, reading) else { return };
        let written = document.write(false);
        let again = Document::parse(&written, reading).map(|again| again.write(false));
        assert_eq!(again.as_ref(), Ok(&written), "{text:?}");
        // Layout is written anew, so it is no part of what is read.
        let pretty = document.write(true);
        assert!(Document::parse(&pretty, reading).is_ok(), "{pretty:?}");
        let Ok(expression) = &expression else { continue };
        if xpath.matches(['[', '(']).count() > MOST_PREDICATES {
            continue;
        }
        let namespaces = BTreeMap::from([("n".to_owned(), "urn:n".to_owned())]);
        let scope = Scope { document: &document, namespaces: &namespaces };
        let Ok(found) = scope.find(expression) else { continue };
        for (number, one) in found.iter().enumerate() {
            assert!(!found[..number].contains(one), "{xpath} finds {one:?} twice");
            let (Found::Node(id) | Found::Attribute(id, _)) = one;
            // It is there.
            let _ = (document.kind(*id), scope.text(one));
        }
        assert_eq!(scope.find(expression), Ok(found));
    }
});
