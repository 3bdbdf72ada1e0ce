use std::collections::BTreeMap;

use super::{Change, Description, classify};

fn change(before: (&str, &str), after: (&str, &str)) -> Change {
    let of = |(attributes, resources): (&str, &str)| Description {
        attributes: attributes.to_owned(),
        resources: resources.to_owned(),
        ..Description::default()
    };
    let found = [("cpus", "4.0"), ("mem", "4096.0"), ("ports", "[31000-31999]"), ("gpus", "0.0")];
    let found: BTreeMap<String, String> =
        found.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    classify(&of(before), &of(after), &found)
}

fn word(change: &Change) -> &'static str {
    match change {
        Change::None => "none",
        Change::Additive(_) => "additive",
        Change::Breaking(_) => "breaking",
    }
}

/// Each case stands in upstream's rules.
#[test]
fn attributes() {
    for (before, after, expected) in [
        ("rack:r1;zone:a", "rack:r1;zone:a", "none"),
        ("rack:r1;zone:a", "zone:a;rack:r1", "none"),
        ("rack:r1", "rack:r1;zone:a", "additive"),
        ("", "zone:a", "additive"),
        ("rack:r1;zone:a", "rack:r1", "breaking"),
        ("rack:r1", "rack:r2", "breaking"),
        ("num:42", "num:42.0", "none"),
        ("num:42", "num:43", "breaking"),
        // The type changes.
        ("num:42", "num:x42", "breaking"),
        ("rng:[1-10]", "rng:[1-20]", "additive"),
        ("rng:[1-10]", "rng:[1-5, 6-10]", "none"),
        ("rng:[1-10]", "rng:[2-10]", "breaking"),
        ("rng:[1-10]", "rng:[1-4, 6-20]", "breaking"),
        ("rng:[1-10", "rng:[1-10]", "breaking"),
    ] {
        let found = change((before, ""), (after, ""));
        assert_eq!(word(&found), expected, "{before} → {after}: {found:?}");
    }
}

#[test]
fn resources() {
    for (before, after, expected) in [
        ("cpus:4;mem:1024", "mem:1024;cpus:4", "none"),
        ("cpus:4", "cpus:2;cpus:2", "none"),
        ("cpus:4", "cpus(*):4.0004", "none"),
        ("cpus:4", "cpus:8", "additive"),
        ("cpus:8", "cpus:4", "breaking"),
        ("cpus:8", "cpus:8;cpus(web):2", "additive"),
        ("cpus:8;cpus(web):2", "cpus:8", "breaking"),
        ("cpus:8;cpus(web):2", "cpus:8;cpus(jobs):2", "breaking"),
        ("ports:[1-10]", "ports:[1-20]", "additive"),
        ("ports:[1-10]", "ports:[5-20]", "breaking"),
        ("zones:{a,b}", "zones:{b,a}", "none"),
        ("zones:{a,b}", "zones:{a,b,c}", "additive"),
        ("zones:{a,b}", "zones:{a}", "breaking"),
        ("zones:{a}", "zones:[1-2]", "breaking"),
        // Found out by the agent until now.
        ("", "cpus:4", "none"),
        ("", "cpus:5", "additive"),
        ("", "cpus:3", "breaking"),
        ("", "ports:[31000-32000]", "additive"),
        ("", "disk:100", "breaking"),
        ("cpus:4", "", "breaking"),
        ("cpus:4;mem:1", "cpus:4", "breaking"),
        // No list.
        ("[{\"name\":\"cpus\"}]", "cpus:4", "breaking"),
        ("[{\"name\":\"cpus\"}]", "[{\"name\":\"cpus\"}]", "none"),
        ("file:///a", "file:///b", "breaking"),
        ("fpga:1", "fpga:2", "additive"),
        ("cpus", "cpus:4", "breaking"),
    ] {
        let found = change(("", before), ("", after));
        assert_eq!(word(&found), expected, "{before} → {after}: {found:?}");
    }
}

#[test]
fn hostname_and_port_stay() {
    let of = |hostname: &str, port: &str| Description {
        hostname: hostname.to_owned(),
        port: port.to_owned(),
        ..Description::default()
    };
    let ask = |before, after| classify(&before, &after, &BTreeMap::new());
    assert_eq!(ask(of("a", "5051"), of("a", "5051")), Change::None);
    assert_eq!(ask(of("a", "5051"), of("", "5051")), Change::None);
    let Change::Breaking(why) = ask(of("a", "5051"), of("b", "5052")) else { panic!() };
    assert_eq!(why, ["the hostname changes from a to b", "the port changes from 5051 to 5052"]);
}

#[test]
fn a_change_is_told_in_words() {
    let Change::Breaking(why) = change(("rack:r1", "cpus:8"), ("rack:r2", "cpus:4.5")) else {
        panic!("it is not breaking")
    };
    let expected = ["attribute rack changes from r1 to r2", "resource cpus changes from 8 to 4.5"];
    assert_eq!(why, expected);
}

/// Whatever texts say: no panic, and the same is no change.
#[test]
fn nonsense_is_only_breaking() {
    for text in ["", ";;", ":", "::", "[", "]", "a:[", "a:{", "a:}", "a:-", "a:.", "a:[1-]", "é:é"]
    {
        assert_eq!(change(("", text), ("", text)), Change::None, "{text:?}");
        let _ = change((text, ""), ("", text));
        let _ = change(("", text), (text, ""));
    }
}
