//! Admission in policies.

use serde_json::Value;

use super::{object, reference, whole, words};

pub(super) fn section() -> Value {
    let limits = || {
        object(
            &[],
            vec![
                ("rate", reference("rate"), "how fast"),
                ("burst", whole(0), "requests at once; a second's if absent"),
                ("concurrency", reference("bound"), "requests in flight"),
                ("scope", reference("scope"), "counted over what"),
            ],
        )
    };
    let accept = vec![
        ("permits", reference("bound"), ""),
        ("scope", reference("scope"), "counted over what"),
    ];
    object(
        &[],
        vec![
            ("accept", object(&[], accept), "requests that a gateway holds at the same time"),
            ("adaptive", adaptive(), "a limit of requests in flight that adapts"),
            ("overload", dagor(), "who is let in while an app is overloaded"),
            ("user", limits(), "limits of each user"),
            ("cmd", limits(), "limits of each command"),
            ("deadlines", words(&["ignore", "refuse", "predict"]), "what can't be done in time"),
        ],
    )
}

fn dagor() -> Value {
    object(
        &["rule"],
        vec![
            ("rule", words(&["dagor"]), "levels of priorities, moved after each window"),
            (
                "target",
                reference("length"),
                "an app is overloaded if requests wait for longer on average; 20ms if absent",
            ),
            (
                "service",
                reference("ratio"),
                "and for longer than so many times their work; 0.5 if absent",
            ),
            ("window", reference("length"), "how long it is looked at; 1s if absent"),
            ("requests", whole(1), "or for so many requests; 2000 if absent"),
            ("cut", reference("part"), "how much less is let in after an overload; 5% if absent"),
            ("grow", reference("part"), "how much more otherwise, of what came; 1% if absent"),
            (
                "classes",
                words(&["together", "apart"]),
                "apart: paid ones before free ones; apart if absent",
            ),
            ("redraw", reference("length"), "how long users keep their levels; 1h if absent"),
        ],
    )
}

fn adaptive() -> Value {
    object(
        &["rule"],
        vec![
            ("rule", words(&["aimd", "gradient2", "vegas"]), "what makes the limit grow and fall"),
            ("scope", reference("scope"), "counted over what; gateway if absent"),
            ("by", words(&["all", "cmd"]), "one for all commands, or one for each; all if absent"),
            (
                "shares",
                object(&[], vec![("free", reference("part"), ""), ("paid", reference("part"), "")]),
                "what is kept of it for each class; nothing if absent",
            ),
            ("min", whole(1), "the least limit; 20 if absent"),
            ("max", whole(1), "the greatest limit; 200 if absent"),
            ("initial", whole(1), "in the beginning; 20 or the nearest bound if absent"),
            ("window", reference("length"), "answers that count once; 100ms if absent"),
            ("back_off", reference("part"), "of aimd: what is left after a loss; 90% if absent"),
            ("timeout", reference("length"), "of aimd: a later answer is a loss; 5s if absent"),
            (
                "tolerance",
                reference("ratio"),
                "of gradient2: times as long as usual that answers may take; 1.5 if absent",
            ),
            ("queue", whole(1), "of gradient2: requests that may wait; 4 if absent"),
            (
                "alpha",
                whole(0),
                "of vegas: it grows if fewer wait, times log10 of the limit; 3 if absent",
            ),
            ("beta", whole(0), "of vegas: it falls if more wait, likewise; 6 if absent"),
            (
                "probe",
                whole(1),
                "of vegas: observations for each request of the limit until the least round trip \
                 is measured again; 30 if absent",
            ),
        ],
    )
}
