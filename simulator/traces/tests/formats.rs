//! All formats on small samples in the shape of the published traces, written by hand for these
//! tests; errors as people see them; our two formats against each other.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::Cursor;

use diagnostics::{Sources, Style, render};
use proptest::prelude::*;
use simulator_traces::{
    Class, Column, Format, Name, Names, Options, Order, Packer, Request, Role, Stream, Trace, Unit,
    detect, read,
};

fn whole(format: Format, text: &str) -> Trace {
    assert_eq!(detect(text.as_bytes()), Some(format));
    read(format, Cursor::new(text), &Options::default()).unwrap()
}

/// `arrival in s, command, tenant, service in s, bytes` of each request.
fn shown(trace: &Trace) -> Vec<String> {
    let number = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
    let row = |request: &Request| {
        let service = request.service_ns.map(|ns| ns / 1_000_000);
        format!(
            "{} ms {} {} {} ms {} B",
            request.arrival_ns / 1_000_000,
            trace.commands.get(request.command).unwrap(),
            request.tenant.map_or("-", |tenant| trace.tenants.get(tenant).unwrap()),
            number(service),
            number(request.size_bytes),
        )
    };
    trace.requests.iter().map(row).collect()
}

#[test]
fn ours() {
    let text = "arrival_s,cmd,tenant,class,service_ms,size_bytes\n\
                0.5,imageView2,acme,paid,31.25,20480\n\
                0.5,avthumb,\"b, c\",free,45000,\n";
    let trace = whole(Format::Csv, text);
    let expected = ["500 ms imageView2 acme 31 ms 20480 B", "500 ms avthumb b, c 45000 ms - B"];
    assert_eq!(shown(&trace), expected);
    assert_eq!(trace.requests[0].class, Some(Class::Paid));
    assert_eq!(trace.requests[0].service_ns, Some(31_250_000));
}

/// What scenarios write besides: which of theirs a request is, and where it came.
#[test]
fn ours_with_places_of_a_scenario() {
    let text = "arrival_ns,cmd,source,gateway\n1,a,3,0\n2,a,,7\n3,a,4,\n";
    let trace = whole(Format::Csv, text);
    let places: Vec<_> =
        trace.requests.iter().map(|request| (request.source, request.gateway)).collect();
    assert_eq!(places, [(Some(3), Some(0)), (None, Some(7)), (Some(4), None)]);
    let said = refused(Format::Csv, "arrival_ns,cmd,gateway\n1,a,0\n2,a,65535\n");
    let place = "error[trace]: this is no gateway\n --> trace.csv:3:5\n";
    assert!(said.starts_with(place), "{said}");
    assert!(said.contains("expected the number of a gateway, from 0"), "{said}");
}

#[test]
fn times_of_the_calendar_begin_with_the_first() {
    let text = "arrival,cmd\n2026-11-28 07:05:10.25,a\n2026-11-28T07:05:11Z,b\n";
    assert_eq!(shown(&whole(Format::Csv, text)), ["0 ms a - - ms - B", "750 ms b - - ms - B"]);
}

#[test]
fn other_columns_by_name() {
    let text = "id,start,op,took\n1,100,resize,20\n2,101,crop,30\n";
    let columns = vec![
        Column::new("id", Role::Ignore, Unit::Text),
        Column::new("start", Role::Arrival, Unit::Seconds),
        Column::new("op", Role::Command, Unit::Text),
        Column::new("took", Role::Service, Unit::Milliseconds),
    ];
    let options = Options { columns, ..Options::default() };
    let trace = read(Format::Csv, Cursor::new(text), &options).unwrap();
    assert_eq!(shown(&trace), ["100000 ms resize - 20 ms - B", "101000 ms crop - 30 ms - B"]);
}

#[test]
fn azure_functions_2021_begin_their_duration_before_their_end() {
    let text = "app,func,end_timestamp,duration\n\
                a1,f1,60.0,57.5\na2,f2,10.25,0.25\n";
    let expected = ["0 ms f1 a1 57500 ms - B", "7500 ms f2 a2 250 ms - B"];
    assert_eq!(shown(&whole(Format::AzureFunctions2021, text)), expected);
}

#[test]
fn azure_functions_2019_are_counts_per_minute() {
    let text = "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no1,a1,f1,http,2,0,1\n";
    let trace = whole(Format::AzureFunctions2019, text);
    let expected = ["0 ms f1 o1 - ms - B", "30000 ms f1 o1 - ms - B", "120000 ms f1 o1 - ms - B"];
    assert_eq!(shown(&trace), expected);
    let options = Options { scatter: Some(|number| number << 63), ..Options::default() };
    let trace = read(Format::AzureFunctions2019, Cursor::new(text), &options).unwrap();
    assert_eq!(trace.requests.len(), 3);
    assert!(trace.requests.is_sorted_by_key(|request| request.arrival_ns));
}

#[test]
fn azure_llm() {
    let text = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
                2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n";
    let expected = ["0 ms request - - ms - B", "4314 ms request - - ms - B"];
    assert_eq!(shown(&whole(Format::AzureLlm, text)), expected);
}

#[test]
fn alibaba_gen_ai_without_the_failed() {
    let text = "gmt_create,predict_type,predict_status,exec_time_seconds,groupId,prompt_length,\
                negative_prompt_length,num_images_per_prompt,num_inference_steps,\
                checkpoint_model_version_id,num_lora\n\
                2024-11-15 16:57:50,TXT_2_IMG,SUCCEED,32.0,G0,63.0,26.0,1.0,30.0,M0,0\n\
                2024-11-15 16:57:51,TXT_2_IMG,FAILED,,G0,63.0,,1.0,30.0,M0,0\n\
                2024-11-15 16:57:49,IMG_2_IMG,SUCCEED,8.5,G1,63.0,,1.0,30.0,M0,0\n";
    let trace = whole(Format::AlibabaGenAi, text);
    let expected = ["0 ms IMG_2_IMG G1 8500 ms - B", "1000 ms TXT_2_IMG G0 32000 ms - B"];
    assert_eq!(shown(&trace), expected);
    assert_eq!(trace.left_out.failed, 1);
}

#[test]
fn standard_workload_format() {
    let text = "; Version: 2.2\n\
                1 10 -1 1451 128 -1 -1 -1 -1 -1 1 7 1 3 -1 -1 -1 -1\n\
                2 12 -1 -1 128 -1 -1 -1 -1 -1 1 7 1 3 -1 -1 -1 -1\n\
                3 15 -1 20 1 -1 -1 -1 -1 -1 5 7 1 3 -1 -1 -1 -1\n\
                4 15 -1 20 1 -1 -1 -1 -1 -1 -1 -1 1 -1 -1 -1 -1 -1\n";
    let trace = whole(Format::Swf, text);
    let expected = ["0 ms program-3 user-7 1451000 ms - B", "5000 ms job - 20000 ms - B"];
    assert_eq!(shown(&trace), expected);
    assert_eq!((trace.left_out.failed, trace.left_out.comments), (2, 1));
}

#[test]
fn access_logs() {
    let text = r#"10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET /a/b.JPG HTTP/1.1" 200 203023 "-" "agent \"x\" y"
10.0.0.2 - bob [17/May/2015:10:05:04 +0000] "GET /c.jpg?imageView2/1/w/200 HTTP/1.1" 206 -
10.0.0.2 - - [17/May/2015:10:05:05 +0000] "GET / HTTP/1.1" 404 12
10.0.0.1 - - [17/May/2015:12:05:05 +0200] "GET /d?flav=rss HTTP/1.0" 304 0
"#;
    let trace = whole(Format::AccessLog, text);
    let expected = [
        "0 ms jpg 10.0.0.1 - ms 203023 B",
        "1000 ms imageView2 10.0.0.2 - ms - B",
        "2000 ms page 10.0.0.1 - ms 0 B",
    ];
    assert_eq!(shown(&trace), expected);
    assert_eq!(trace.left_out.failed, 1);
}

#[test]
fn swim() {
    let text = "job0\t49\t49\t740773\t2339561\t627471\njob1\t101\t52\t736346\t17\t4\n";
    let expected = ["0 ms job - - ms 740773 B", "52000 ms job - - ms 736346 B"];
    assert_eq!(shown(&whole(Format::Swim, text)), expected);
}

/// The error of a trace as a person sees it.
fn refused(format: Format, text: &str) -> String {
    let error = read(format, Cursor::new(text), &Options::default()).unwrap_err();
    let mut sources = Sources::default();
    let diagnostic = error.diagnostic("trace.csv", &mut sources);
    render(&diagnostic, &sources, Style::Plain)
}

#[test]
fn errors_show_the_place() {
    assert_eq!(
        refused(Format::Csv, "arrival_s,cmd,servce_ms\n"),
        "error[trace]: `servce_ms` is no column of a trace\n \
         --> trace.csv:1:15\n  |\n1 | arrival_s,cmd,servce_ms\n  |               ^^^^^^^^^ \
         unknown column\n  |\n  = hint: did you mean `service_ms`?"
    );
    assert_eq!(
        refused(Format::Csv, "arrival_s,cmd,service_ms\n1,a,2\n2,b,-3\n"),
        "error[trace]: this is no length of time\n \
         --> trace.csv:3:5\n  |\n3 | 2,b,-3\n  |     ^^ expected a number that is not \
         negative\n  |\n  = hint: it is the last line: was the trace copied whole?"
    );
    assert_eq!(
        refused(Format::Csv, "arrival_s,cmd\n1,a\n2,\"b\n3,c\n4,d\n"),
        "error[trace]: a quote is opened here and never closed\n \
         --> trace.csv:3:3\n  |\n3 | 2,b\n  |   ^ all from here to the end is one field\n  |\n  \
         = hint: close the quote, or leave it out; if it is in the last line: was the trace copied \
         whole?"
    );
    let table: &[(Format, &str, &str)] = &[
        (Format::Csv, "", "the trace has no request"),
        (Format::Csv, "arrival_s\n", "the trace has no request"),
        (Format::Csv, "cmd,tenant\na,b\n", "there is no column `arrival_s`"),
        (Format::Csv, "arrival_s,arrival_ms\n1,2\n", "`arrival_ms` is there twice"),
        (Format::Csv, "arrival_s,cmd\n1\n", "the row has 1 field, the header 2"),
        (
            Format::Csv,
            "arrival_s,cmd\n1,a\n2\n",
            "it is the last line: was the trace copied whole?",
        ),
        (Format::Csv, "arrival_s,cmd,class\n1,a,\n2,\"b", "was the trace copied whole?"),
        (Format::Csv, "arrival_s,cmd\n1,\"a\"\n2\n", "was the trace copied whole?"),
        (Format::Csv, "arrival_s,cmd\n1,\"a", "a quote is opened here and never closed"),
        (Format::Csv, "arrival_s,cmd\n1,\"a\"\"", "never closed"),
        (Format::Csv, "arrival_s,cmd\n1,\"", "trace.csv:2:3"),
        (Format::Csv, "arrival_s,\"cmd\n1,a\n", "trace.csv:1:11"),
        (Format::AzureFunctions2019, "a,b,c,d,1\no,a,f,t,\"1\n", "never closed"),
        (Format::Csv, "arrival_s,cmd\n1,a,b\n2,a\n", "too many fields"),
        (Format::Csv, "arrival_s,cmd\n1,a,b\n2,a\n", "a comma within a field"),
        (Format::Csv, "arrival_s\n1e30\n2\n", "expected at most 584 years"),
        (Format::Csv, "arrival_s,size_bytes\n1,-5\n", "bytes, not negative"),
        (Format::Csv, "arrival_s\n2\n1.5\n", "1.5 s comes after 2 s"),
        (Format::Csv, "arrival_s\nNaN\n", "this is no time"),
        (Format::Csv, "arrival_s\ninf\n", "this is no time"),
        (Format::Csv, "arrival_s,class\n1,gold\n", "`free` or `paid`"),
        (Format::Csv, "arrival_s,size_bytes\n1,1.5\n", "a whole number of bytes"),
        (Format::Swf, "; x\n1 2 3\n", "trace.csv:2:1"),
        (Format::Swf, "; x\n1 2 3\n", "was the trace copied whole?"),
        (Format::Swim, "job0\t1\t2\n", "five whole numbers"),
        (Format::AccessLog, "10.0.0.1 hello\n", "none of its format"),
        (Format::AzureFunctions2019, "a,b,c,d,1\no,a,f,t,many\n", "a whole number of calls"),
        (Format::AzureFunctions2019, "a,b,c,d,1\no,a,f,t,20000001\n", "a profile of rates"),
        (Format::Packed, "CORRALTR", "ends in the middle"),
        (Format::Packed, "CORRALTR\u{7}", "version 7 of the packed format"),
    ];
    for (format, text, expected) in table {
        let said = refused(*format, text);
        assert!(said.contains(expected), "{format}: {text:?} gave {said}");
    }
}

#[test]
fn formats_of_measurements_are_not_taken_for_traces() {
    for text in ["timestamp_anon,value,container_ip\n1,2,3\n", "", "a\n", "sn,cpu_milli\nx,1\n"] {
        assert_eq!(detect(text.as_bytes()), None, "{text}");
    }
}

/// How a file ends that has quotes changes nothing of its rows.
#[test]
fn closed_quotes_may_be_the_end() {
    for end in ["", "\n", "\r\n", "\n\n", "\r"] {
        for last in ["\"b\"", "\"b, \"\"c\"\"\"", "\"b\nc\"", "b\"", "\"\""] {
            let text = format!("arrival_s,cmd\n1,a\n2,{last}{end}");
            let trace = read(Format::Csv, text.as_bytes(), &Options::default()).unwrap();
            assert_eq!(trace.requests.len(), 2, "{text:?}");
        }
    }
}

/// What is told only of a last line isn't told of others.
#[test]
fn lines_in_the_middle_were_not_cut_off() {
    for (format, text) in [
        (Format::Csv, "arrival_s,cmd\n1\n2,a\n"),
        (Format::Csv, "arrival_s,cmd\n1,\"a\"\n2\n3,a\n"),
        (Format::Swf, "1 2 3\n4 5 6\n"),
    ] {
        let said = refused(format, text);
        assert!(!said.contains("copied whole"), "{format}: {text:?} gave {said}");
    }
}

/// What was written before rows could have gateways is read.
#[test]
fn packed_traces_of_version_2_are_read() {
    let mut trace = Trace::default();
    let command = trace.commands.number("a").unwrap();
    let request = |gateway| Request {
        arrival_ns: 1,
        command,
        tenant: None,
        class: None,
        service_ns: None,
        size_bytes: None,
        source: None,
        gateway,
    };
    trace.requests = vec![request(None); 5_000];
    let mut old = packed(&trace);
    assert_eq!(old[8], 3);
    old[8] = 2;
    let options = Options::default();
    assert_eq!(read(Format::Packed, Cursor::new(&old), &options).unwrap(), trace);
    // A row takes two bytes more in blocks that have one.
    let short = old.len();
    trace.requests[4_999] = request(Some(9));
    assert_eq!(packed(&trace).len(), short + 2 * (5_000 - 4_096));
}

/// A packed trace has no lines; how far it could be read is told.
#[test]
fn damage_is_told_with_the_requests_before_it() {
    let mut trace = Trace::default();
    let command = trace.commands.number("a").unwrap();
    for number in 0..10_000u64 {
        trace.requests.push(Request {
            arrival_ns: number,
            command,
            tenant: None,
            class: None,
            service_ns: None,
            size_bytes: None,
            source: None,
            gateway: None,
        });
    }
    let good = packed(&trace);
    let cut = good.len() - 40;
    let error = read(Format::Packed, Cursor::new(&good[..cut]), &Options::default()).unwrap_err();
    let told = error.diagnostic("day.packed", &mut Sources::default());
    assert_eq!(told.message, "day.packed: the trace ends in the middle of a row");
    assert_eq!(told.notes, ["requests that could be read before: 8192"]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_name() {
    for text in ["\u{feff}arrival_s,cmd\n1,a\n", "\u{feff}\"arrival_s\",cmd\n1,a\n"] {
        assert_eq!(detect(text.as_bytes()), detect(text.trim_start_matches('\u{feff}').as_bytes()));
        assert_eq!(shown(&whole(Format::Csv, text)), ["1000 ms a - - ms - B"], "{text:?}");
    }
}

#[test]
fn columns_with_a_meaning_must_be_there() {
    let columns = vec![
        Column::new("tim", Role::Arrival, Unit::Seconds),
        Column::new("other", Role::Ignore, Unit::Text),
    ];
    let options = Options { columns, ..Options::default() };
    let error = read(Format::Csv, Cursor::new("time,cmd\n1,a\n"), &options).unwrap_err();
    let mut sources = Sources::default();
    let diagnostic = error.diagnostic("trace.csv", &mut sources);
    assert_eq!(
        render(&diagnostic, &sources, Style::Plain),
        "error[trace]: there is no column `tim`\n \
         --> trace.csv:1:1\n  |\n1 | time,cmd\n  | ^^^^^^^^ the columns that there are\n  |\n  \
         = hint: did you mean `time`?"
    );
    // What means nothing may be missing.
    let text = "tim,cmd\n1,a\n";
    assert!(read(Format::Csv, Cursor::new(text), &options).is_ok());
}

#[test]
fn a_job_has_one_row() {
    let row = |job: u32, status: i32| {
        format!("{job} 10 -1 5 1 -1 -1 1 -1 -1 {status} 1 1 -1 -1 -1 -1 -1\n")
    };
    let parts = [row(1, 1), row(1, 2).replace(" 10 ", " -1 "), row(1, 3), row(2, 1)].concat();
    let trace = whole(Format::Swf, &parts);
    assert_eq!((trace.requests.len(), trace.left_out.failed), (2, 2));
    let twice = [row(3, 1), row(4, 1), row(3, 1), row(5, 1)].concat();
    let said = refused(Format::Swf, &twice);
    assert!(
        said.starts_with("error[trace]: the job 3 is there twice\n --> trace.csv:3:1"),
        "{said}"
    );
    assert!(said.contains("^ the second one"), "{said}");
}

/// A trace with names and all kinds of unknowns.
fn traces() -> impl Strategy<Value = Trace> {
    let unknown = || proptest::option::of(0_u64..1_000_000_000_000);
    let class = proptest::option::of(prop_oneof![Just(Class::Free), Just(Class::Paid)]);
    let row = (0_u64..100_000_000_000, 0_u32..5, proptest::option::of(0_u32..9), class, unknown());
    let gateway = prop_oneof![20 => Just(None), 1 => (0..u16::MAX).prop_map(Some)];
    proptest::collection::vec((row, (unknown(), gateway)), 1..300).prop_map(|rows| {
        let mut trace = Trace::default();
        let named = |names: &mut Names, kind: &str, number: u32| -> Name {
            names.number(&format!("{kind}{number}")).unwrap()
        };
        for ((arrival_ns, command, tenant, class, service_ns), (size_bytes, gateway)) in rows {
            let command = named(&mut trace.commands, "c", command);
            let tenant = tenant.map(|tenant| named(&mut trace.tenants, "t", tenant));
            trace.requests.push(Request {
                arrival_ns,
                command,
                tenant,
                class,
                service_ns,
                size_bytes,
                source: None,
                gateway,
            });
        }
        trace.requests.sort_by_key(|request| request.arrival_ns);
        trace
    })
}

fn packed(trace: &Trace) -> Vec<u8> {
    let mut packer = Packer::new(Vec::new()).unwrap();
    for request in &trace.requests {
        packer.push(request, &trace.commands, &trace.tenants).unwrap();
    }
    packer.finish(&trace.commands, &trace.tenants).unwrap()
}

fn written(trace: &Trace) -> String {
    let mut text = "arrival_ns,cmd,tenant,class,service_ns,size_bytes,gateway\n".to_owned();
    let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    for request in &trace.requests {
        let class = match request.class {
            None => "",
            Some(Class::Free) => "free",
            Some(Class::Paid) => "paid",
        };
        text += &format!(
            "{},{},{},{class},{},{},{}\n",
            request.arrival_ns,
            trace.commands.get(request.command).unwrap(),
            request.tenant.map_or("", |tenant| trace.tenants.get(tenant).unwrap()),
            number(request.service_ns),
            number(request.size_bytes),
            number(request.gateway.map(u64::from)),
        );
    }
    text
}

/// Mostly good rows, some of which no reader can read.
fn row_of_text() -> impl Strategy<Value = String> {
    let number = || {
        prop_oneof![
            9 => (0_u64..100_000_000_000).prop_map(|number| number.to_string()),
            2 => (0.0_f64..1e6).prop_map(|number| number.to_string()),
            1 => Just(String::new()),
        ]
    };
    let word = || {
        prop_oneof![
            8 => "[a-e]{1,9}",
            1 => Just("\"q,\"\"q\"".to_owned()),
            1 => Just(" blank ".to_owned()),
        ]
    };
    let good = (0_u64..60, word(), word(), number(), 0_u64..1_000_000_000_000).prop_map(
        |(at, cmd, tenant, service, size)| format!("{at},{cmd},{tenant},{service},{size}"),
    );
    prop_oneof![60 => good, 1 => "[0-9,a.-]{1,30}", 1 => Just("1,a,b,-5,3".to_owned())]
}

proptest! {
    #[test]
    fn both_formats_keep_a_trace(trace in traces()) {
        let options = Options::default();
        let from_packed = read(Format::Packed, Cursor::new(packed(&trace)), &options).unwrap();
        prop_assert_eq!(&from_packed, &trace);
        let from_text = read(Format::Csv, Cursor::new(written(&trace)), &options).unwrap();
        prop_assert_eq!(shown(&from_text), shown(&trace));
        let mut stream = Stream::csv(Cursor::new(written(&trace)), &options).unwrap();
        let mut count = 0;
        while let Some(request) = stream.next_request().unwrap() {
            prop_assert_eq!(request, from_text.requests[count]);
            count += 1;
        }
        prop_assert_eq!(count, trace.requests.len());
    }

    /// A quote in the header leaves a file to the crate `csv`: it must read what the quick way reads,
    /// and find the same faults at the same places.
    #[test]
    fn both_ways_to_read_a_csv_agree(
        rows in proptest::collection::vec(row_of_text(), 0..30),
        end in prop_oneof![Just("\n"), Just("\r\n")],
        tail in "[0-9,a\"\r\n.]{0,20}",
        sorts in any::<bool>(),
    ) {
        let order = if sorts { Order::Sort } else { Order::Refuse };
        let options = Options { order, ..Options::default() };
        let body = rows.join(end) + end + &tail;
        let read = |header: &str| {
            let text = format!("{header},cmd,tenant,service_us,size_bytes{end}{body}");
            let mut stream = Stream::csv(Cursor::new(text), &options).unwrap();
            let mut requests = Vec::new();
            let error = loop {
                match stream.next_request() {
                    Ok(Some(request)) => requests.push(request),
                    Ok(None) => break None,
                    // A quote more in the header doesn't count.
                    Err(error) => {
                        break Some((error.line, error.text, error.part, error.fault.to_string()));
                    }
                }
            };
            let names = |names: &Names| names.iter().map(str::to_owned).collect::<Vec<_>>();
            (requests, error, names(&stream.trace.commands), names(&stream.trace.tenants))
        };
        let (quick, slow) = (read("arrival_ms"), read("\"arrival_ms\""));
        prop_assert_eq!(&quick.0, &slow.0);
        // The crate counts a line end of two bytes, and an empty line, for the row behind it.
        let is_counted_alike = !body.contains('\r') && !format!("\n{body}").contains("\n\n");
        let fault = |(line, text, part, fault): &(u64, String, _, _)| {
            (if is_counted_alike { *line } else { 0 }, text.clone(), Clone::clone(part), String::clone(fault))
        };
        prop_assert_eq!(quick.1.as_ref().map(fault), slow.1.as_ref().map(fault));
        // The quick way has read some names ahead.
        prop_assert!(quick.2.starts_with(&slow.2) && quick.3.starts_with(&slow.3));
    }

    #[test]
    fn sorting_gives_the_same_requests(
        trace in traces(),
        swaps in proptest::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 50),
    ) {
        let mut mixed = trace.clone();
        let count = mixed.requests.len();
        for (one, other) in swaps {
            mixed.requests.swap(one.index(count), other.index(count));
        }
        let options = Options { order: Order::Sort, ..Options::default() };
        let read = read(Format::Packed, Cursor::new(packed(&mixed)), &options).unwrap();
        let times = |trace: &Trace| -> Vec<u64> {
            trace.requests.iter().map(|request| request.arrival_ns).collect()
        };
        prop_assert_eq!(times(&read), times(&trace));
    }

    /// A damaged or cut trace is refused, never read as another one.
    #[test]
    fn packed_damage_is_seen(trace in traces(), at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let good = packed(&trace);
        let cut = &good[..at.index(good.len())];
        prop_assert!(read(Format::Packed, Cursor::new(cut), &Options::default()).is_err());
        let mut flipped = good.clone();
        let place = at.index(good.len());
        flipped[place] ^= 1_u8 << bit;
        prop_assert!(read(Format::Packed, Cursor::new(flipped), &Options::default()).is_err());
    }

    #[test]
    fn no_text_breaks_a_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for format in Format::ALL {
            let _ = read(format, Cursor::new(&bytes), &Options::default());
        }
        let _ = detect(&bytes);
    }
}
