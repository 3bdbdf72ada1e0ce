//! Answers of a real Consul, and what is told apart from them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use consul::{
    Answer, Check, Consistency, ConsulError, Head, KvPair, Node, RawAnswer, ServiceEntry, Status,
    Subject, decode,
};
use proptest::prelude::*;

fn raw(status: u16, body: &str) -> RawAnswer {
    RawAnswer { status, head: Head::default(), body: body.as_bytes().to_vec() }
}

fn nodes(answer: &RawAnswer) -> Result<Answer<Vec<Node>>, ConsulError> {
    decode(&Subject::Nodes, Consistency::Default, answer)
}

#[test]
fn answers_of_the_api_are_read() {
    let body = r#"[{"ID":"7d1","Node":"zk1","Address":"10.0.0.1","Datacenter":"dc1",
        "TaggedAddresses":{"lan":"10.0.0.1","wan":"1.2.3.4"},"Meta":{"rack":"a"},
        "CreateIndex":5,"ModifyIndex":6},{"Node":"x","Address":"","TaggedAddresses":null,"Meta":null}]"#;
    let answer = nodes(&raw(200, body)).unwrap().value;
    assert_eq!(answer[0].tagged_addresses["wan"], "1.2.3.4");
    assert_eq!(answer[0].meta["rack"], "a");
    assert!(answer[1].meta.is_empty());

    let body = r#"[{"Node":"zk1","CheckID":"serfHealth","Name":"Serf","Status":"critical",
        "Notes":"","Output":"","ServiceID":"","ServiceName":"","ServiceTags":[],"Type":""}]"#;
    let checks: Answer<Vec<Check>> =
        decode(&Subject::Checks, Consistency::Default, &raw(200, body)).unwrap();
    assert_eq!(checks.value[0].status, Status::Critical);

    let body = r#"[{"Node":{"Node":"w1","Address":"10.0.0.4","Meta":{}},
        "Service":{"ID":"web-1","Service":"web","Tags":null,"Address":"","Meta":{"version":"3"},"Port":80},
        "Checks":[]}]"#;
    let entries: Answer<Vec<ServiceEntry>> =
        decode(&Subject::Service("web".into()), Consistency::Default, &raw(200, body)).unwrap();
    assert_eq!(entries.value[0].service.port, 80);

    let body = r#"[{"LockIndex":0,"Key":"a/b","Flags":0,"Value":"eDogMQ==","CreateIndex":1,"ModifyIndex":9},
        {"Key":"a/","Flags":0,"Value":null,"ModifyIndex":1}]"#;
    let pairs: Answer<Vec<KvPair>> =
        decode(&Subject::Keys("a/".into()), Consistency::Default, &raw(200, body)).unwrap();
    assert_eq!(pairs.value[0].value, b"x: 1");
    assert_eq!((pairs.value[0].modify_index, pairs.value[1].value.len()), (9, 0));
}

#[test]
fn what_is_no_answer_is_told_apart() {
    let mut filtered = raw(200, "[]");
    filtered.head.take("X-Consul-Results-Filtered-By-ACLs", "true");
    let mut old = raw(200, "[]");
    old.head.take("x-consul-lastcontact", "31000");
    let stale = Consistency::Stale { max_age_ms: 30_000 };
    let table: Vec<(RawAnswer, Consistency, &str)> = vec![
        (
            raw(403, "Permission denied"),
            Consistency::Default,
            "read the nodes: the token is not allowed to",
        ),
        (
            raw(500, "ACL not found"),
            Consistency::Default,
            "read the nodes: the token is not allowed to",
        ),
        (
            raw(500, "No cluster leader"),
            Consistency::Default,
            "read the nodes: the servers have no leader",
        ),
        (
            raw(429, ""),
            Consistency::Default,
            "read the nodes: the server limits the rate of requests (429)",
        ),
        (raw(502, "<html>"), Consistency::Default, "read the nodes: the server says 502: <html>"),
        (raw(404, "no"), Consistency::Default, "read the nodes: the server says 404: no"),
        (
            filtered,
            Consistency::Default,
            "read all nodes: Consul left out what the token is not allowed to see",
        ),
        (
            old,
            stale,
            "read the nodes: the server heard from a leader 31000 ms ago, 30000 ms are allowed",
        ),
        (
            raw(200, r#"[{"Node":"a","Addr"#),
            Consistency::Default,
            "read the nodes: the answer is no such list: EOF while parsing a string at line 1 column 18",
        ),
    ];
    for (answer, consistency, expected) in table {
        let decoded: Result<Answer<Vec<Node>>, _> = decode(&Subject::Nodes, consistency, &answer);
        assert_eq!(decoded.unwrap_err().to_string(), expected);
    }
    assert_eq!(nodes(&raw(200, "[]")).unwrap().value, []);
    assert_eq!(nodes(&raw(200, "null")).unwrap().value, []);
    let missing: Answer<Vec<KvPair>> =
        decode(&Subject::Keys("a".into()), Consistency::Default, &raw(404, "")).unwrap();
    assert_eq!(missing.value, []);
    let denied = nodes(&raw(403, "")).unwrap_err();
    assert!(denied.hint().unwrap().contains(r#"node_prefix "" { policy = "read" }"#));
}

proptest! {
    #[test]
    fn any_answer_is_read_or_refused(status in 100..600_u16, body: Vec<u8>, cut in 0..200_usize) {
        let raw = RawAnswer { status, head: Head::default(), body };
        let _ = nodes(&raw);
        // A list that was cut short is never taken for a shorter one.
        let whole = r#"[{"Node":"a","Address":"1"},{"Node":"b","Address":"2"}]"#;
        let cut = whole.get(..cut.min(whole.len() - 1)).unwrap();
        let raw = RawAnswer { status: 200, head: Head::default(), body: cut.as_bytes().to_vec() };
        prop_assert!(nodes(&raw).is_err());
    }

    #[test]
    fn pairs_read_the_same(key: String, value: Vec<u8>, modify_index: u64) {
        let pair = KvPair { key, value, modify_index, session: None };
        let text = serde_json::to_string(&vec![pair.clone()]).unwrap();
        let raw = RawAnswer { status: 200, head: Head::default(), body: text.into_bytes() };
        let read: Answer<Vec<KvPair>> =
            decode(&Subject::Keys(String::new()), Consistency::Default, &raw).unwrap();
        prop_assert_eq!(read.value, vec![pair]);
    }
}
