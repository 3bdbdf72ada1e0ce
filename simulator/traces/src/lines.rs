//! Formats with one request a line: access logs, SWF, SWIM.

use crate::error::{Fault, TraceError};
use crate::number;
use crate::row::{Request, Trace};

const SECOND_NS: u64 = 1_000_000_000;

/// Reads one line; its names go into the trace. `None`: it is no request.
pub(crate) type ReadLine = fn(&[u8], u64, &mut Trace) -> Result<Option<Request>, TraceError>;

/// The parts of a line of an access log.
struct Access<'a> {
    client: &'a [u8],
    time_ns: u64,
    target: &'a [u8],
    status: u64,
    size_bytes: Option<u64>,
}

/// `CLIENT IDENT USER [TIME] "METHOD TARGET PROTOCOL" STATUS BYTES …`, as Apache's mod_log_config
/// and nginx document it.
fn parse_access(line: &[u8]) -> Option<Access<'_>> {
    let client_end = memchr::memchr(b' ', line)?;
    let open = memchr::memchr(b'[', line)?;
    let close = open + memchr::memchr(b']', line.get(open..)?)?;
    let time_ns = number::log_time(line.get(open + 1..close)?)?;
    let rest = line.get(close + 1..)?.trim_ascii_start().strip_prefix(b"\"")?;
    let request_end = quote_end(rest)?;
    let target = rest.get(..request_end)?.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let mut words = rest.get(request_end + 1..)?.split(|byte| *byte == b' ');
    let mut word = || words.by_ref().find(|word| !word.is_empty());
    let status = number::whole(word()?)?;
    let size_bytes = match word()? {
        b"-" => None,
        digits => Some(number::whole(digits)?),
    };
    Some(Access { client: line.get(..client_end)?, time_ns, target, status, size_bytes })
}

/// Where a quoted text ends: quotes in it have a backslash before them.
fn quote_end(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'"', text)
        .find(|at| at.checked_sub(1).and_then(|before| text.get(before)) != Some(&b'\\'))
}

pub(crate) fn is_access(line: &[u8]) -> bool {
    parse_access(line).is_some()
}

/// The command of a target: `imageView2` of `/a.jpg?imageView2/1/w/200`, else the extension.
fn command_of(target: &[u8]) -> String {
    let (path, query) = match memchr::memchr(b'?', target) {
        Some(at) => (target.get(..at), target.get(at + 1..).unwrap_or_default()),
        None => (Some(target), &b""[..]),
    };
    let word: &[u8] = query.split(|byte| *byte == b'/').next().unwrap_or_default();
    if word.len() < query.len() && !word.is_empty() && word.iter().all(u8::is_ascii_alphanumeric) {
        return String::from_utf8_lossy(word).into_owned();
    }
    let path = path.unwrap_or_default();
    let file = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let extension = memchr::memrchr(b'.', file).and_then(|at| file.get(at + 1..));
    match extension {
        Some(text) if !text.is_empty() && text.iter().all(u8::is_ascii_alphanumeric) => {
            String::from_utf8_lossy(text).to_ascii_lowercase()
        }
        _ => "page".to_owned(),
    }
}

/// A line of an access log; answers from 400 on are no work and left out.
pub(crate) fn access(
    line: &[u8],
    number: u64,
    trace: &mut Trace,
) -> Result<Option<Request>, TraceError> {
    let Some(access) = parse_access(line) else {
        let expected =
            "expected CLIENT - - [17/May/2015:10:05:03 +0000] \"GET /x HTTP/1.1\" 200 512";
        return Err(TraceError::whole(Fault::BadLine { expected }, number, line));
    };
    if access.status >= 400 {
        trace.left_out.failed += 1;
        return Ok(None);
    }
    let command = trace.commands.number(&command_of(access.target));
    let client = String::from_utf8_lossy(access.client);
    let (Some(command), Some(tenant)) = (command, trace.tenants.number(&client)) else {
        return Err(TraceError::whole(Fault::TooManyNames, number, line));
    };
    Ok(Some(Request {
        arrival_ns: access.time_ns,
        command,
        tenant: Some(tenant),
        class: None,
        service_ns: None,
        size_bytes: access.size_bytes,
        source: None,
        gateway: None,
    }))
}

/// A line of the Standard Workload Format, version 2.2 (Chapin et al., JSSPP 1999): 18 numbers, −1
/// where nothing is known. The service time is the run time, on all processors of the job at once.
pub(crate) fn swf(
    line: &[u8],
    number: u64,
    trace: &mut Trace,
) -> Result<Option<Request>, TraceError> {
    if line.starts_with(b";") {
        trace.left_out.comments += 1;
        return Ok(None);
    }
    let words: Vec<&[u8]> =
        line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    let bad = || {
        let expected = "expected 18 numbers";
        TraceError::whole(Fault::BadLine { expected }, number, line)
    };
    if words.len() != 18 {
        return Err(bad());
    }
    let text = |field: usize| words.get(field).copied().unwrap_or_default();
    let [job, submit, run, status, user, program] = [0, 1, 3, 10, 11, 13].map(text);
    // Runs between two times at which a job was swapped out: the job has a row of its own, which is
    // the one to use for workloads.
    if matches!(status, b"2" | b"3" | b"4") {
        trace.left_out.failed += 1;
        return Ok(None);
    }
    if let Some(job) = number::whole(job)
        && !trace.jobs.note(job)
    {
        return Err(TraceError::whole(Fault::TwiceJob { number: job }, number, line));
    }
    let submit_ns = number::scaled(submit, SECOND_NS).ok_or_else(bad)?;
    // Failed and cancelled jobs, and those of which nobody knows how long they ran.
    if run.starts_with(b"-") || status == b"0" || status == b"5" {
        trace.left_out.failed += 1;
        return Ok(None);
    }
    let run_ns = number::scaled(run, SECOND_NS).ok_or_else(bad)?;
    let name = |kind: &str, id: &[u8]| format!("{kind}-{}", String::from_utf8_lossy(id));
    let command = match program.starts_with(b"-") {
        true => trace.commands.number("job"),
        false => trace.commands.number(&name("program", program)),
    };
    let tenant = match user.starts_with(b"-") {
        true => None,
        false => trace.tenants.number(&name("user", user)),
    };
    let Some(command) = command else {
        return Err(TraceError::whole(Fault::TooManyNames, number, line));
    };
    Ok(Some(Request {
        arrival_ns: submit_ns,
        command,
        tenant,
        class: None,
        service_ns: Some(run_ns),
        size_bytes: None,
        source: None,
        gateway: None,
    }))
}

/// A line of SWIM: job, submission in seconds, gap, bytes of map, shuffle and reduce.
pub(crate) fn swim(
    line: &[u8],
    number: u64,
    trace: &mut Trace,
) -> Result<Option<Request>, TraceError> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b'\t').collect();
    let value = |index: usize| fields.get(index).and_then(|field| number::whole(field));
    let (6, Some(submit_s), Some(size_bytes)) = (fields.len(), value(1), value(3)) else {
        let expected = "expected a name and five whole numbers, with tabs between them";
        return Err(TraceError::whole(Fault::BadLine { expected }, number, line));
    };
    let Some(command) = trace.commands.number("job") else {
        return Err(TraceError::whole(Fault::TooManyNames, number, line));
    };
    Ok(Some(Request {
        arrival_ns: submit_s.saturating_mul(SECOND_NS),
        command,
        tenant: None,
        class: None,
        service_ns: None,
        size_bytes: Some(size_bytes),
        source: None,
        gateway: None,
    }))
}
