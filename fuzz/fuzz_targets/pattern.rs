//! Host patterns and `--limit`: what they select exists, once; a limit only takes away; the sign of
//! a pattern means what it says.
#![no_main]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use diagnostics::{Sources, Span};
use libfuzzer_sys::fuzz_target;
use provision_playbook::files::MapFiles;
use provision_playbook::inventory::{Inventory, Patterns, Source, load};

const HOSTS: &str = "\
lonely
[web]
web[1:4].example.org
[db]
db-[a:c]
fe80::1
10.0.0.1
[site:children]
web
db
";

static INVENTORY: LazyLock<Inventory> = LazyLock::new(|| {
    let path = PathBuf::from("hosts.ini");
    let files = MapFiles::new(BTreeMap::from([(path.clone(), HOSTS.to_owned())]));
    load(&[Source::Path(path)], &files, &mut Sources::default()).inventory
});

fuzz_target!(|text: &str| {
    // The first line is the limit, the second the pattern, the rest a file for `@limit`.
    let (limit, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (pattern, content) = rest.split_once('\n').unwrap_or((rest, ""));
    let files = MapFiles::new(BTreeMap::from([(PathBuf::from("limit"), content.to_owned())]));
    let mut sources = Sources::default();
    let whole = Span::new(sources.add("pattern", pattern), 0, pattern.len());
    let patterns = Patterns::parse(pattern, Some(whole));
    fuzz::check_diagnostics(&INVENTORY.select(&patterns, None).diagnostics, &sources);
    match Patterns::limit(limit, &files) {
        Ok(limit) => fuzz::check_selection(&INVENTORY, &patterns, Some(&limit)),
        Err(error) => assert!(error.to_string().contains(" limit file ")),
    }
    // `all` and the exclusion of a pattern are what the pattern alone leaves.
    let is_single = !pattern.contains([',', ':', '[', ']', '!', '&', '~'])
        && !pattern.is_empty()
        && !pattern.contains(char::is_whitespace);
    if is_single {
        let select = |text: &str| INVENTORY.select(&Patterns::parse(text, None), None).hosts;
        let (all, kept, taken) =
            (select("all"), select(&format!("all,!{pattern}")), select(pattern));
        let expected: Vec<Arc<str>> =
            all.iter().filter(|host| !taken.contains(host)).cloned().collect();
        assert_eq!(kept, expected);
    }
});
