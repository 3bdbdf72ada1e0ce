use std::sync::{Arc, Mutex};

use provision_engine::event::{HostRecap, Outcome};

use super::*;

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Event>>>);

impl Sink for Told {
    fn event(&mut self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

fn result(task: u64, host: &str, status: Status, item: Option<&str>) -> HostResult {
    HostResult {
        task,
        host: host.into(),
        delegate: None,
        delegate_address: None,
        item: item.map(str::to_owned),
        status,
        message: None,
        result: provision_protocol::Object::new(),
        diff: Vec::new(),
        duration_us: 0,
    }
}

fn task(task: u64, name: &str) -> Event {
    Event::TaskStarted {
        task,
        name: name.into(),
        role: Some("web".into()),
        module: "file".into(),
        place: "a.yml:1:1".into(),
        handler: false,
        hosts: 2,
    }
}

/// Two plays: a loop that fails on `b`, then a task that is well on both; the second play has
/// nothing but a task that is well.
fn run() -> Vec<Event> {
    let play = |name: &str| Event::PlayStarted {
        name: name.into(),
        place: "a.yml:1:1".into(),
        hosts: vec!["a".into(), "b".into()],
        batch: (1, 1),
    };
    let row = |host: &str, failed| HostRecap { host: host.into(), failed, ..HostRecap::default() };
    let one = |task, host, status| Event::Result(Box::new(result(task, host, status, None)));
    let item = |task, host, status, item| {
        Event::ItemResult(Box::new(result(task, host, status, Some(item))))
    };
    vec![
        play("first"),
        task(1, "copy"),
        item(1, "a", Status::Ok, "x"),
        item(1, "b", Status::Ok, "x"),
        item(1, "b", Status::Failed, "y"),
        one(1, "a", Status::Ok),
        one(1, "b", Status::Failed),
        Event::TaskFinished { task: 1 },
        task(2, "restart"),
        one(2, "a", Status::Changed),
        Event::TaskFinished { task: 2 },
        play("second"),
        task(3, "prove"),
        one(3, "a", Status::Ok),
        Event::TaskFinished { task: 3 },
        Event::RunFinished {
            recap: vec![row("a", 0), row("b", 1)],
            duration_ms: 1,
            outcome: Outcome::Failed,
            error: None,
        },
    ]
}

/// What is let through, in short.
fn through(filter: Filter) -> Vec<String> {
    let told = Told::default();
    let mut sieve = Sieve::new(filter, Box::new(told.clone()));
    run().iter().for_each(|event| sieve.event(event));
    let told = told.0.lock().unwrap().clone();
    let short = |event: &Event| match event {
        Event::PlayStarted { name, hosts, .. } => format!("{name}({})", hosts.join("")),
        Event::TaskStarted { task, hosts, .. } => format!("task{task}/{hosts}"),
        Event::ItemResult(result) => {
            format!("{}:{}", result.host, result.item.as_deref().unwrap_or_default())
        }
        Event::Result(result) => result.host.clone(),
        Event::TaskFinished { task } => format!("end{task}"),
        Event::RunFinished { recap, .. } => {
            let hosts: Vec<&str> = recap.iter().map(|row| row.host.as_str()).collect();
            format!("recap({})", hosts.join(""))
        }
        other => panic!("{other:?}"),
    };
    told.iter().map(short).collect()
}

#[test]
fn without_conditions_all_is_shown() {
    let all = "first(ab) task1/2 a:x b:x b:y a b end1 task2/2 a end2 second(ab) task3/2 a end3 \
               recap(ab)";
    assert_eq!(through(Filter::default()).join(" "), all);
}

#[test]
fn only_what_failed() {
    let filter = Filter { failed: true, ..Filter::default() };
    assert_eq!(through(filter).join(" "), "first(ab) task1/2 b:y b end1 recap(b)");
}

#[test]
fn only_one_host() {
    let filter = Filter { hosts: vec!["b".into()], ..Filter::default() };
    assert_eq!(through(filter).join(" "), "first(b) task1/1 b:x b:y b end1 recap(b)");
    let filter = Filter { hosts: vec!["c".into()], ..Filter::default() };
    assert_eq!(through(filter).join(" "), "recap()");
}

#[test]
fn only_titles_like_this() {
    let filter = |task: &str| Filter { task: Some(task.into()), ..Filter::default() };
    let second = "second(ab) task3/2 a end3 recap(ab)";
    for pattern in ["PROVE", "web : pr", "*prove", "web*prove", "*"] {
        let told = through(filter(pattern)).join(" ");
        assert!(told.ends_with(second), "{pattern}: {told}");
    }
    assert_eq!(through(filter("prove")).join(" "), second);
    for pattern in ["prove*x", "x*prove", "prove*prove", "nothing"] {
        assert_eq!(through(filter(pattern)).join(" "), "recap(ab)", "{pattern}");
    }
}

#[test]
fn stars_stand_for_anything() {
    let table = [
        ("abc", "a*c", true),
        ("abc", "*", true),
        ("abc", "a*", true),
        ("abc", "*b*", true),
        ("abc", "a*b", false),
        ("aba", "a*a", true),
        ("a", "a*a", false),
        ("axbxc", "a*x*c", true),
        ("", "*", true),
    ];
    for (text, pattern, expected) in table {
        assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
    }
}
