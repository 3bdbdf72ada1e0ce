//! The files of `-o`: they agree with each other, and the page needs nothing but itself.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn simulator(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
    command.current_dir(folder()).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A tenth of the scenario's time and less than a tenth of its requests, with a name that is markup.
fn run(output: &Path, more: &[&str]) {
    let mut arguments = vec![
        "run",
        "scenarios/burst-migration.yml",
        "--set",
        "duration=1min",
        "--set",
        "warm_up=5s",
        "--set",
        "about=\"<script>alert('x')</script>\"",
        "--set",
        "workload.2.arrivals={burst: {at: 40s, requests: 30000, over: 6s}}",
    ];
    arguments.extend(more);
    arguments.extend(["--output", output.to_str().unwrap()]);
    let output = simulator(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Rows of a file without quoted fields, each with its columns' names.
fn rows(text: &str) -> Vec<std::collections::BTreeMap<&str, &str>> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(cells.len(), names.len(), "{line}");
            names.iter().copied().zip(cells).collect()
        })
        .collect()
}

#[test]
fn all_files_are_of_the_same_run() {
    let place = tempfile::tempdir().unwrap();
    // Without a warm-up, cells count all that the timeline does.
    run(place.path(), &["--set", "warm_up=0s"]);
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
    let (timeline, json, page) = (read("timeline.csv"), read("results.json"), read("report.html"));
    let decisions = read("decisions.csv");
    let head = "at_ns,app,tasks,instances,change,reason,rule,borrower,lent,called,unused,\
                starting,busy,arrivals,refusals\n";
    let decisions = decisions.strip_prefix(head).unwrap();
    assert!(
        decisions
            .lines()
            .any(|line| line.contains("more tasks than the target allows for,scaling,"))
    );
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let rows = rows(&timeline);
    assert_eq!(rows.len(), 300 * 3);
    for (class, cell) in [("free", 1), ("paid", 0)] {
        let cell = &json["cells"][cell];
        assert_eq!(cell["class"], class);
        let sum = |column: &str, class: &str| -> u64 {
            let of_class = rows.iter().filter(|row| row["class"] == class);
            of_class.map(|row| row[column].parse::<u64>().unwrap()).sum()
        };
        assert_eq!(cell["arrivals"], sum("arrivals", class));
        assert_eq!(cell["refused"]["queue_full"], sum("refused_queue_full", class));
        // Those that end after the last arrival are in no bucket.
        let served = cell["served"].as_u64().unwrap();
        assert!((served - 400..=served).contains(&sum("completed", class)));
        assert_eq!(sum("arrivals", "all"), sum("arrivals", "free") + sum("arrivals", "paid"));
    }
    let mean = |column: &str| {
        let of_all = rows.iter().filter(|row| row["class"] == "all");
        of_all.map(|row| row[column].parse::<f64>().unwrap()).sum::<f64>() / 300.0
    };
    // Both count instances on their own.
    let app = |figure: &str| json["apps"][0][figure].as_f64().unwrap();
    let able = mean("ready_mean") + mean("leaving_mean");
    assert!((able + mean("starting_mean") - app("instances_mean")).abs() < 1e-3);
    assert!((mean("busy_mean") / able - app("utilisation")).abs() < 1e-4);
    assert!(page.contains(json["scenario_digest"].as_str().unwrap().get(..12).unwrap()));
    assert!(page.contains(json["command"].as_str().unwrap().get(..40).unwrap()));
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let place = tempfile::tempdir().unwrap();
    run(place.path(), &[]);
    let page = std::fs::read_to_string(place.path().join("report.html")).unwrap();
    for loads in ["<script", "<link", "<img", "<iframe", "@import", "url(", "src=", "href="] {
        assert!(!page.contains(loads), "{loads}");
    }
    let addresses = page.matches("://").count();
    assert_eq!(addresses, page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
    // Each picture says in words what it shows, and is there for wide and for narrow screens.
    let pictures = page.matches("<svg").count();
    assert_eq!(page.matches("role=\"img\" aria-label=\"").count(), pictures);
    assert_eq!(page.matches("<svg class=\"wide\"").count() * 2, pictures);
    assert_eq!(page.matches("<figure>").count() * 2, pictures);
    assert_eq!(pictures, 2 * 8);
}

/// The style sheet has a dark counterpart for each colour that plots are drawn in.
#[test]
fn all_colours_are_in_the_style_sheet() {
    let place = tempfile::tempdir().unwrap();
    run(place.path(), &[]);
    let page = std::fs::read_to_string(place.path().join("report.html")).unwrap();
    let (style, body) = page.split_once("</style>").unwrap();
    let mut seen = 0;
    for attribute in ["fill=\"#", "stroke=\"#"] {
        for found in body.split(attribute).skip(1) {
            let colour = found.get(..6).unwrap();
            assert!(style.contains(&format!("[{attribute}{colour}\"]")), "{attribute}{colour}");
            seen += 1;
        }
    }
    assert!(seen > 100);
}

/// `results.json` has everything that its schema says, and nothing else: the schema requires all
/// of it and knows no other keys.
#[test]
fn results_have_the_keys_of_their_schema() {
    let place = tempfile::tempdir().unwrap();
    let set = [
        "--set",
        "stages={network: {bandwidth: 100MB/s}}",
        "--set",
        "cmds.imageView2.source_size=100KB",
        "--set",
        "workload.0.retries={attempts: 2}",
    ];
    run(place.path(), &set);
    let json = std::fs::read_to_string(place.path().join("results.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let schema = simulator(&["schema", "results"]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    let keys = |value: &serde_json::Value| {
        value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>()
    };
    for (place, value) in [
        ("", &json),
        ("/$defs/origin", &json["origin"]),
        ("/$defs/file", &json["origin"]["files"][0]),
        ("/$defs/app", &json["apps"][0]),
        ("/$defs/app/properties/usage/anyOf/0", &json["apps"][0]["usage"]),
        (
            "/$defs/app/properties/usage/anyOf/0/properties/added",
            &json["apps"][0]["usage"]["added"],
        ),
        ("/$defs/cell", &json["cells"][0]),
        ("/$defs/cell", &json["runs"][0]["cells"][1]),
        ("/$defs/cell/properties/refused", &json["cells"][0]["refused"]),
        ("/$defs/cell/properties/stages/anyOf/0", &json["cells"][0]["stages"]),
        ("/$defs/cell/properties/clients/anyOf/0", &json["cells"][0]["clients"]),
        ("/$defs/times", &json["cells"][0]["wait"]),
        ("/$defs/objective", &json["objectives"][0]),
        ("/$defs/run", &json["runs"][0]),
    ] {
        let object = schema.pointer(place).unwrap();
        assert_eq!(keys(value), keys(&object["properties"]), "{place}");
        let required = object["required"].as_array().unwrap();
        let required = required.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        assert_eq!(keys(value), required, "{place}");
    }
}
