//! Files that are apps, and files that aren't, with all that is said of them.

use diagnostics::{Sources, Style, render_all};
use scheduler_core::volume::Reserves;

use super::*;

fn told(text: &str) -> String {
    let mut sources = Sources::default();
    let source = sources.add("app.yml", text);
    let found = read(text, source);
    assert_eq!(found.app.is_none(), found.diagnostics.iter().any(Diagnostic::is_error));
    render_all(&found.diagnostics, &sources, Style::Plain)
}

fn app(text: &str) -> AppFile {
    let found = read(text, SourceId(0));
    found.app.unwrap_or_else(|| panic!("{}", told(text)))
}

#[test]
fn a_short_file_has_good_values_for_the_rest() {
    let file = app("app: web\nversion: 1\nshell: exec worker --port $PORT\nneeds: {ports: 1}\n");
    insta::assert_debug_snapshot!(file);
}

#[test]
fn a_file_may_say_everything() {
    let text = r#"
format: 1
app: image-view
version: "2.10"
image: registry:5000/image-view:2.10
arguments: [--threads, 1]
inner_ports: [80]
instances: {min: 2, max: 10}
needs: {cores: 0.5, memory: 2GiB, ports: 2}
environment: {CACHE: /tmp/cache, LEVEL: 3}
health: {http: /health, port: 1, interval: 2s, timeout: 500ms, failures: 2, grace: 1min}
kill_grace: 20s
warm_up: 10s
cool_down: 5s
constraints:
  - {attribute: rack, is: [a, b]}
  - {attribute: disk, is_not: [slow]}
  - {machines: [m1, m2]}
  - {most_per_machine: 2}
step: 2
consul: {port: 1, tags: [blue, 7], check: ttl, ttl: 30s}
metrics: {path: /m, port: 1, queue: w_waiting, busy: w_busy, arrivals: w_in, rejects: w_no}
"#;
    insta::assert_debug_snapshot!(app(text));
    let json = serde_json::json!({"app": "web", "version": "1", "command": ["/bin/true"]});
    assert_eq!(app(&json.to_string()).bounds, Bounds { min: 1, max: 1 });
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    insta::assert_snapshot!(told(
        "app: Web_1\nversion: 1.10\nshel: run\ninstances: {min: 5, max: 2}\nneeds: {memory: 64}\n"
    ));
    insta::assert_snapshot!(told(
        "format: 2\napp: web\nversion: 1\ncommand: [/bin/a]\nshell: b\nhealth: {http: health, tcp: true}\nstep: 0\n"
    ));
    insta::assert_snapshot!(told(
        "app: web\nversion: 1\nhealth: {http: health}\nconstraints: [{attribute: rack}, {machines: [a/b]}]\n"
    ));
}

#[test]
fn what_is_doubtful_is_warned_of() {
    insta::assert_snapshot!(told(
        "app: web\nversion: 1\ncommand: [./worker, $PORT]\nenvironment: {PORT: 80, PORTAL: x}\n"
    ));
    insta::assert_snapshot!(told("app: web\nversion: 1\nshell: exec worker $PORT\n"));
}

#[test]
fn nothing_and_two_things_are_no_app() {
    assert!(told("").contains("one YAML document"));
    assert!(told("a: 1\n---\nb: 2\n").contains("found 2"));
    assert!(told("a: [").contains("error"));
}

/// Pieces that files are made of, and pieces that they aren't.
const PIECES: [&str; 24] = [
    "app: web\n",
    "version: 1\n",
    "shell: x $PORT\n",
    "command: [a, 1]\n",
    "image: i\n",
    "instances: {min: 2, max: 1}\n",
    "instances: 3\n",
    "needs: {cores: 0.5, ports: 2}\n",
    "needs: {memory: 1GiB}\n",
    "health: {http: /, port: 1}\n",
    "health: {tcp: true, command: [x]}\n",
    "constraints: [{machines: [a b]}]\n",
    "constraints: [{most_per_machine: 1}]\n",
    "environment: {A: 1, PORT: 2, '': 3}\n",
    "step: 0\n",
    "inner_ports: [80, 90]\n",
    "kill_grace: 1h 3min\n",
    "format: 9\n",
    ": ",
    "{",
    "- ",
    "\u{fffd}\0",
    "é",
    "'",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

    /// Whatever a file says, reading it ends, and what is wrong has a place in the text.
    #[test]
    fn every_text_is_an_app_or_has_errors_with_places(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..12),
    ) {
        let text = pieces.concat();
        let mut sources = Sources::default();
        let source = sources.add("app.yml", text.as_str());
        let found = read(&text, source);
        proptest::prop_assert_eq!(
            found.app.is_none(),
            found.diagnostics.iter().any(Diagnostic::is_error)
        );
        for one in &found.diagnostics {
            let label = one.primary.as_ref().expect("a place");
            proptest::prop_assert!(label.span.end as usize <= text.len());
        }
        let text = render_all(&found.diagnostics, &sources, Style::Plain);
        proptest::prop_assert_eq!(text.is_empty(), found.diagnostics.is_empty());
    }
}

#[test]
fn what_consul_and_metrics_cannot_be_is_told() {
    insta::assert_snapshot!(told(
        "app: web\nversion: 1\nshell: x\nconsul: {port: 1, check: docker, ttl: 20s, tags: ['']}\n\
         metrics: {queue: 9x, path: m}\n"
    ));
    insta::assert_snapshot!(told(
        "app: web\nversion: 1\nshell: x\nneeds: {ports: 1}\nconsul: {check: script, ttl: 1s}\n\
         metrics: {queue: a, port: 1}\n"
    ));
    insta::assert_snapshot!(told(
        "app: web\nversion: 1\nshell: x\nconsul: {check: ttl, ttl: 1s, command: [a]}\n"
    ));
}

#[test]
fn volumes_have_names_paths_and_sizes_of_their_own() {
    let file = app("app: db\nversion: 1\nshell: x\n\
                    volumes: [{name: data, path: /var/lib/db, size_mb: 1024}]\n");
    let volume = &file.specification.volumes[0];
    let told = (volume.name.as_str(), volume.path.as_str(), volume.size_mib);
    assert_eq!(told, ("data", "/var/lib/db", 1024));
    let wrong = told_of_volumes();
    for expected in [
        "`Data` is no name of a volume",
        "`data` is no path of a volume",
        "a volume has a size",
        "a volume has a name and a path of its own",
    ] {
        assert!(wrong.contains(expected), "{expected}: {wrong}");
    }
}

#[test]
fn what_is_reserved_is_all_or_disk() {
    let volumes = "volumes: [{name: data, path: /a, size_mb: 1}]\n";
    for (text, expected) in [
        ("", Reserves::All),
        ("reserve: all\n", Reserves::All),
        ("reserve: disk\n", Reserves::Disk),
    ] {
        let file = app(&format!("app: db\nversion: 1\nshell: x\n{volumes}{text}"));
        assert_eq!(file.specification.reserves, expected, "{text}");
    }
    let wrong = told(&format!("app: db\nversion: 1\nshell: x\n{volumes}reserve: cores\n"));
    let expected = "`cores` is nothing that can be reserved\n --> app.yml:5:10";
    assert!(wrong.contains(expected) && wrong.contains("`all` or `disk`"), "{wrong}");
    let wrong = told("app: db\nversion: 1\nshell: x\nreserve: all\n");
    assert!(wrong.contains("only for instances with `volumes` something is reserved"), "{wrong}");
}

fn told_of_volumes() -> String {
    told(
        "app: db\nversion: 1\nshell: x\nvolumes:\n- {name: Data, path: data, size_mb: 0}\n\
          - {name: a, path: /a, size_mb: 1}\n- {name: a, path: /b, size_mb: 1}\n",
    )
}
