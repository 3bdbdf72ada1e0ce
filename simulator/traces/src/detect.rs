//! Which format a trace has, by its beginning.

use std::fmt;

use crate::packed::MAGIC;

/// A format of traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Ours: a header with `arrival_s`, `cmd`, `tenant`, `class`, `service_ms`, `size_bytes`; or
    /// any header with columns named by [`crate::Options::columns`].
    Csv,
    /// Ours, packed.
    Packed,
    /// Azure Functions 2019 (Shahrad et al., ATC'20): calls per minute and function.
    AzureFunctions2019,
    /// Azure Functions 2021 (Zhang et al., SOSP'21): end and duration of each call.
    AzureFunctions2021,
    /// Azure LLM inference 2023: times and tokens, no service times.
    AzureLlm,
    /// Alibaba GenAI 2026: requests for images.
    AlibabaGenAi,
    /// Standard Workload Format of the Parallel Workloads Archive.
    Swf,
    /// Combined (or common) log format of web servers.
    AccessLog,
    /// SWIM: jobs of Hadoop, by Facebook.
    Swim,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 9] = [
        Format::Csv,
        Format::Packed,
        Format::AzureFunctions2019,
        Format::AzureFunctions2021,
        Format::AzureLlm,
        Format::AlibabaGenAi,
        Format::Swf,
        Format::AccessLog,
        Format::Swim,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Packed => "packed",
            Format::AzureFunctions2019 => "azure-functions-2019",
            Format::AzureFunctions2021 => "azure-functions-2021",
            Format::AzureLlm => "azure-llm",
            Format::AlibabaGenAi => "alibaba-genai",
            Format::Swf => "swf",
            Format::AccessLog => "access-log",
            Format::Swim => "swim",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What some programs begin UTF-8 with.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The format of a trace with this beginning (a few hundred bytes will do); `None`: none is known.
#[must_use]
pub fn detect(beginning: &[u8]) -> Option<Format> {
    if beginning.starts_with(MAGIC) {
        return Some(Format::Packed);
    }
    let beginning = beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning);
    let line = beginning.split(|byte| *byte == b'\n').next()?.trim_ascii();
    let headers: &[(&[u8], Format)] = &[
        (b"HashOwner,HashApp,HashFunction,Trigger,1,", Format::AzureFunctions2019),
        (b"app,func,end_timestamp,duration", Format::AzureFunctions2021),
        (b"TIMESTAMP,ContextTokens,GeneratedTokens", Format::AzureLlm),
        (b"gmt_create,predict_type,predict_status,exec_time_seconds,", Format::AlibabaGenAi),
    ];
    if let Some((_, format)) = headers.iter().find(|(header, _)| line.starts_with(header)) {
        return Some(*format);
    }
    if line.starts_with(b";") || is_numbers(line, 18) {
        return Some(Format::Swf);
    }
    let tabs: Vec<&[u8]> = line.split(|byte| *byte == b'\t').collect();
    if tabs.len() == 6 && tabs.iter().skip(1).all(|field| crate::number::whole(field).is_some()) {
        return Some(Format::Swim);
    }
    if crate::lines::is_access(line) {
        return Some(Format::AccessLog);
    }
    let is_ours = line.split(|byte| *byte == b',').any(|name| {
        let name = name.strip_prefix(b"\"").unwrap_or(name);
        name.starts_with(b"arrival")
    });
    is_ours.then_some(Format::Csv)
}

fn is_numbers(line: &[u8], count: usize) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let is_number =
        |word: &[u8]| crate::number::scaled(word.strip_prefix(b"-").unwrap_or(word), 1).is_some();
    words.clone().count() == count && words.all(is_number)
}
