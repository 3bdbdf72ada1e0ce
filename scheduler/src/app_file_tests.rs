//! Files that are apps, and files that aren't, with all that is said of them.

use diagnostics::{Sources, Style, render_all};

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
