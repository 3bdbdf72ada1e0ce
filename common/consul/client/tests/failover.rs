//! The client against servers that answer, refuse, stall and vanish.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod fake;

use std::time::Duration;

use consul::{Answer, Consistency, Node, Subject, Watch};
use consul_client::{Client, ClientError, Endpoint, Settings, TlsFiles, Token};
use fake::{Asked, Fake, Reply, closed};

const NODES: &str = r#"[{"Node":"zk1","Address":"10.0.0.1"}]"#;

fn client(endpoints: &[String]) -> Client {
    Client::new(Settings {
        endpoints: endpoints.iter().map(|url| Endpoint::parse(url, false).unwrap()).collect(),
        token: Some(Token::new("t-1")),
        tls: TlsFiles::default(),
        datacenter: None,
        consistency: Consistency::Default,
        timeout: Duration::from_millis(700),
    })
    .unwrap()
}

fn nodes(client: &Client) -> Result<Answer<Vec<Node>>, ClientError> {
    client.ask(Subject::Nodes)
}

#[test]
fn the_next_endpoint_answers_for_one_that_does_not() {
    let good = Fake::new(|_| Reply {
        headers: vec![("X-Consul-Index", "42".into()), ("X-Consul-KnownLeader", "true".into())],
        ..Reply::ok(NODES)
    });
    let troubles = [
        Reply::status(500, "No cluster leader"),
        Reply::status(429, ""),
        Reply { cut: Some(9), ..Reply::ok(NODES) },
        Reply { delay: Duration::from_secs(3), ..Reply::ok(NODES) },
    ];
    for trouble in troubles {
        let bad = Fake::new(move |_| trouble.clone());
        let client = client(&[format!("http://{}", closed()), bad.url(), good.url()]);
        let answer = nodes(&client).unwrap();
        assert_eq!(answer.value[0].name, "zk1");
        assert_eq!((answer.head.index, answer.head.known_leader), (Some(42), Some(true)));
        // It is asked first from now on.
        bad.asked();
        nodes(&client).unwrap();
        assert_eq!(bad.asked(), []);
    }
    let token = Some("t-1".to_owned());
    assert_eq!(good.asked()[0], Asked { target: "/v1/catalog/nodes".into(), token });
}

#[test]
fn a_refusal_is_final_and_an_outage_is_not() {
    let denied = Fake::new(|_| Reply::status(403, "Permission denied"));
    let good = Fake::new(|_| Reply::ok(NODES));
    let error = nodes(&client(&[denied.url(), good.url()])).unwrap_err();
    assert!(!error.is_outage());
    assert!(error.hint().unwrap().contains("node_prefix"));
    assert_eq!(good.asked(), []);

    let address = closed();
    let error = nodes(&client(&[format!("http://{address}")])).unwrap_err();
    assert!(error.is_outage());
    assert_eq!(
        error.to_string(),
        format!("ask Consul: http://{address}: Connection refused (os error 111)")
    );
    let leaderless = Fake::new(|_| Reply::status(500, "No cluster leader"));
    assert!(nodes(&client(&[leaderless.url()])).unwrap_err().is_outage());
}

#[test]
fn a_watcher_asks_for_what_is_newer_and_begins_anew_when_time_runs_back() {
    let indices = std::sync::Mutex::new(vec![3, 7, 7, 9].into_iter());
    let consul = Fake::new(move |_| {
        let index = indices.lock().unwrap().next().unwrap_or(1);
        // Longer than an ordinary answer may take.
        let delay = Duration::from_millis(if index == 7 { 900 } else { 0 });
        let headers = vec![("X-Consul-Index", index.to_string())];
        Reply { headers, delay, ..Reply::ok(NODES) }
    });
    let client = client(&[consul.url()]);
    let mut watch = Watch::default();
    let mut news = Vec::new();
    for _ in 0..5 {
        let (answer, is_new) =
            client.await_change::<Vec<Node>>(Subject::Nodes, &mut watch, 8_000, 0).unwrap();
        assert_eq!(answer.value.len(), 1);
        news.push(is_new);
    }
    assert_eq!(news, [true, true, false, true, true]);
    assert_eq!(watch.index(), None);
    let asked: Vec<String> = consul.asked().into_iter().map(|asked| asked.target).collect();
    let expected = [
        "",
        "?index=3&wait=8000ms",
        "?index=7&wait=8000ms",
        "?index=7&wait=8000ms",
        "?index=9&wait=8000ms",
    ];
    assert_eq!(asked, expected.map(|query| format!("/v1/catalog/nodes{query}")));
}

#[test]
fn a_redirect_does_not_get_the_token() {
    let other = Fake::new(|_| Reply::ok(NODES));
    let url = other.url();
    let sends_away = Fake::new(move |_| Reply {
        headers: vec![("Location", url.clone())],
        ..Reply::status(302, "")
    });
    assert!(nodes(&client(&[sends_away.url()])).is_err());
    assert_eq!(other.asked(), []);
}

#[test]
fn files_that_are_no_certificates_are_refused_before_anybody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, "no certificate").unwrap();
    let settings = |tls| Settings {
        endpoints: vec![Endpoint::parse("https://127.0.0.1:1", true).unwrap()],
        token: None,
        tls,
        datacenter: None,
        consistency: Consistency::Default,
        timeout: Duration::from_secs(1),
    };
    let authority = TlsFiles { authority: Some(path.clone()), client: None };
    let error = Client::new(settings(authority)).unwrap_err();
    assert!(error.to_string().ends_with("ca.pem holds no certificate"), "{error}");
    let client = TlsFiles { authority: None, client: Some((path.clone(), path)) };
    assert!(Client::new(settings(client)).is_err());
}
