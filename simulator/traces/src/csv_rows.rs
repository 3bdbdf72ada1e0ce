//! Rows of comma-separated values: which column means what, and one request a row.

use crate::error::{Fault, TraceError};
use crate::fields::Fields;
use crate::names::{Name, Names, NoNumber};
use crate::number;
use crate::row::{Class, Request, Trace};

/// What a column says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// When it came.
    Arrival,
    /// When it was done; it came its service time earlier.
    End,
    /// Time of computing.
    Service,
    /// Its command.
    Command,
    /// Its tenant.
    Tenant,
    /// `free` or `paid`.
    Class,
    /// Size of the source file.
    Size,
    /// Place of the entry of the workload that it was made from.
    Source,
    /// The gateway that it reached.
    Gateway,
    /// Rows with another word here are left out.
    Succeeded(&'static str),
    /// Nothing.
    Ignore,
}

/// What the numbers of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
    /// Date and time.
    Timestamp,
    /// Bytes.
    Bytes,
    /// No number.
    Text,
}

impl Unit {
    /// Nanoseconds of one; 0 if it is no unit of time.
    const fn ns(self) -> u64 {
        match self {
            Unit::Seconds => 1_000_000_000,
            Unit::Milliseconds => 1_000_000,
            Unit::Microseconds => 1_000,
            Unit::Nanoseconds => 1,
            Unit::Timestamp | Unit::Bytes | Unit::Text => 0,
        }
    }
}

/// A column and its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As the header has it.
    pub name: String,
    /// What it says.
    pub role: Role,
    /// In which unit.
    pub unit: Unit,
}

impl Column {
    /// A column.
    #[must_use]
    pub fn new(name: &str, role: Role, unit: Unit) -> Self {
        Column { name: name.to_owned(), role, unit }
    }
}

/// The columns of our own format.
const OURS: &[(&str, Role, Unit)] = &[
    ("arrival_s", Role::Arrival, Unit::Seconds),
    ("arrival_ms", Role::Arrival, Unit::Milliseconds),
    ("arrival_us", Role::Arrival, Unit::Microseconds),
    ("arrival_ns", Role::Arrival, Unit::Nanoseconds),
    ("arrival", Role::Arrival, Unit::Timestamp),
    ("cmd", Role::Command, Unit::Text),
    ("tenant", Role::Tenant, Unit::Text),
    ("class", Role::Class, Unit::Text),
    ("service_s", Role::Service, Unit::Seconds),
    ("service_ms", Role::Service, Unit::Milliseconds),
    ("service_us", Role::Service, Unit::Microseconds),
    ("service_ns", Role::Service, Unit::Nanoseconds),
    ("size_bytes", Role::Size, Unit::Bytes),
    ("source", Role::Source, Unit::Text),
    ("gateway", Role::Gateway, Unit::Text),
];

/// Absolute times are larger: three years after 1970.
const ABSOLUTE_NS: u64 = 3 * 365 * 86_400 * 1_000_000_000;

/// Which field of a row says what.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    count: usize,
    arrival: (usize, Unit),
    ends: bool,
    service: Option<(usize, Unit)>,
    command: Option<usize>,
    tenant: Option<usize>,
    class: Option<usize>,
    size: Option<usize>,
    source: Option<usize>,
    gateway: Option<usize>,
    succeeded: Option<(usize, &'static str)>,
}

impl Layout {
    /// By our own names, or by the given columns, which must be there unless they mean nothing; what
    /// they don't name is an error unless it is ignored on purpose.
    pub fn new<F: Fields>(header: &F, given: &[Column]) -> Result<Self, TraceError> {
        let mut layout = Layout {
            count: header.count(),
            arrival: (usize::MAX, Unit::Seconds),
            ends: false,
            service: None,
            command: None,
            tenant: None,
            class: None,
            size: None,
            source: None,
            gateway: None,
            succeeded: None,
        };
        all_there(header, given)?;
        for index in 0..header.count() {
            let name = String::from_utf8_lossy(field(header, index)).into_owned();
            let Some((role, unit)) = meaning(&name, given) else {
                let known = OURS.iter().map(|(name, ..)| *name);
                let closest = diagnostics::closest(&name, known).map(str::to_owned);
                return Err(header.at(index, Fault::UnknownColumn { name, closest }));
            };
            if !layout.take(index, role, unit) {
                return Err(header.at(index, Fault::TwiceColumn { name }));
            }
        }
        if layout.arrival.0 == usize::MAX {
            let others = "`arrival_s`, `arrival_ms`, `arrival_us`, `arrival_ns`, `arrival`";
            let fault = Fault::MissingColumn { name: "arrival_s", others };
            return Err(header.whole(fault));
        }
        if layout.ends && layout.service.is_none() {
            let fault = Fault::MissingColumn { name: "service_s", others: "" };
            return Err(header.whole(fault));
        }
        Ok(layout)
    }

    /// Notes what a column says; false if another one says it already.
    fn take(&mut self, index: usize, role: Role, unit: Unit) -> bool {
        let slot = match role {
            Role::Arrival | Role::End => {
                let is_first = self.arrival.0 == usize::MAX;
                self.arrival = (index, unit);
                self.ends = role == Role::End;
                return is_first;
            }
            Role::Service => return self.service.replace((index, unit)).is_none(),
            Role::Succeeded(word) => return self.succeeded.replace((index, word)).is_none(),
            Role::Ignore => return true,
            Role::Command => &mut self.command,
            Role::Tenant => &mut self.tenant,
            Role::Class => &mut self.class,
            Role::Size => &mut self.size,
            Role::Source => &mut self.source,
            Role::Gateway => &mut self.gateway,
        };
        slot.replace(index).is_none()
    }

    /// Whether rows are in order of their ends.
    pub fn is_by_end(&self) -> bool {
        self.ends
    }

    /// The request of a row, with its time as the row has it; `None` if it did not succeed.
    #[inline(always)]
    pub fn request<F: Fields>(
        &self,
        row: &F,
        trace: &mut Trace,
    ) -> Result<Option<Request>, TraceError> {
        if row.count() != self.count {
            let fault = Fault::FieldCount { expected: self.count, found: row.count() };
            return Err(row.whole(fault));
        }
        if let Some((index, word)) = self.succeeded
            && row.get(index) != word.as_bytes()
        {
            trace.left_out.failed += 1;
            return Ok(None);
        }
        let mut arrival_ns = time(row, self.arrival, "time")?;
        let mut service_ns = None;
        if let Some(column) = self.service
            && !field(row, column.0).is_empty()
        {
            service_ns = Some(time(row, column, "length of time")?);
        }
        if self.ends {
            // The clocks of the trace are rounded: the first may have begun before zero.
            arrival_ns = arrival_ns.saturating_sub(service_ns.unwrap_or(0));
        }
        let command = match self.command {
            Some(index) => name(row, index, &mut trace.commands)?,
            // The only name there is.
            None => trace.commands.number("request").unwrap_or(Name(0)),
        };
        let tenant = match self.tenant {
            Some(index) if !field(row, index).is_empty() => {
                Some(name(row, index, &mut trace.tenants)?)
            }
            _ => None,
        };
        let class = self.class.map(|index| class(row, index)).transpose()?.flatten();
        let mut size_bytes = None;
        if let Some(index) = self.size
            && !field(row, index).is_empty()
        {
            let expected = "expected a whole number of bytes, not negative";
            let fault = Fault::BadField { what: "size", expected };
            size_bytes =
                Some(number::whole(field(row, index)).ok_or_else(|| row.at(index, fault))?);
        }
        let source = self.source.map(|index| place(row, index, SOURCE)).transpose()?.flatten();
        let gateway = self.gateway.map(|index| place(row, index, GATEWAY)).transpose()?.flatten();
        Ok(Some(Request {
            arrival_ns,
            command,
            tenant,
            class,
            service_ns,
            size_bytes,
            source,
            gateway,
        }))
    }
}

/// Whether a time is one of the calendar and not one since the beginning of the trace.
pub(crate) fn is_absolute(ns: u64) -> bool {
    ns > ABSOLUTE_NS
}

/// Whether the given columns that mean something are in the header.
fn all_there<F: Fields>(header: &F, given: &[Column]) -> Result<(), TraceError> {
    let names: Vec<String> = (0..header.count())
        .map(|index| String::from_utf8_lossy(field(header, index)).into_owned())
        .collect();
    let is_missing =
        |column: &&Column| column.role != Role::Ignore && !names.contains(&column.name);
    let Some(missing) = given.iter().find(is_missing) else { return Ok(()) };
    let name = missing.name.clone();
    let closest = diagnostics::closest(&name, names.iter().map(String::as_str));
    let closest = closest.map(str::to_owned);
    Err(header.whole(Fault::NoSuchColumn { name, closest }))
}

fn meaning(name: &str, given: &[Column]) -> Option<(Role, Unit)> {
    let column = given.iter().find(|column| column.name == name);
    if let Some(column) = column {
        return Some((column.role, column.unit));
    }
    let ours = OURS.iter().find(|(known, ..)| *known == name);
    ours.map(|(_, role, unit)| (*role, *unit))
}

#[inline(always)]
fn field<F: Fields>(row: &F, index: usize) -> &[u8] {
    let text = row.get(index);
    match text {
        // Hardly any field has blanks around it.
        [first, .., last] if *first > b' ' && *last > b' ' => text,
        [] => text,
        _ => text.trim_ascii(),
    }
}

#[inline(always)]
fn time<F: Fields>(
    row: &F,
    (index, unit): (usize, Unit),
    what: &'static str,
) -> Result<u64, TraceError> {
    let text = field(row, index);
    let (value, expected) = match unit {
        Unit::Timestamp => {
            (number::timestamp(text), "expected a time such as 2026-11-28 07:05:10.25")
        }
        _ => (number::scaled(text, unit.ns()), "expected a number that is not negative"),
    };
    value.ok_or_else(|| row.at(index, Fault::BadField { what, expected: too_long(text, expected) }))
}

/// What is expected in the place of a text: a number that is one but for its size has more
/// nanoseconds than a number of 64 bits holds.
#[cold]
fn too_long(text: &[u8], expected: &'static str) -> &'static str {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    match number {
        Some(number) if number.is_finite() && number > 0.0 => "expected at most 584 years",
        _ => expected,
    }
}

#[inline(always)]
fn name<F: Fields>(row: &F, index: usize, names: &mut Names) -> Result<Name, TraceError> {
    names.number_of(field(row, index)).map_err(|reason| {
        let fault = match reason {
            NoNumber::NotText => Fault::BadField { what: "name", expected: "expected UTF-8" },
            NoNumber::TooMany => Fault::TooManyNames,
        };
        row.at(index, fault)
    })
}

fn class<F: Fields>(row: &F, index: usize) -> Result<Option<Class>, TraceError> {
    match field(row, index) {
        b"" => Ok(None),
        b"free" => Ok(Some(Class::Free)),
        b"paid" => Ok(Some(Class::Paid)),
        _ => Err(
            row.at(index, Fault::BadField { what: "class", expected: "expected `free` or `paid`" })
        ),
    }
}

/// A number of something that the scenario has, what it is and what is expected there.
type Kind = (&'static str, &'static str);

const SOURCE: Kind = ("source", "expected the place of an entry of the workload, from 0");
const GATEWAY: Kind = ("gateway", "expected the number of a gateway, from 0");

fn place<F: Fields>(
    row: &F,
    index: usize,
    (what, expected): Kind,
) -> Result<Option<u16>, TraceError> {
    let text = field(row, index);
    if text.is_empty() {
        return Ok(None);
    }
    // All ones are what packed traces have where nothing is known.
    let place = number::whole(text).and_then(|place| u16::try_from(place).ok());
    let place = place.filter(|place| *place != u16::MAX);
    let fault = Fault::BadField { what, expected };
    place.map(Some).ok_or_else(|| row.at(index, fault))
}
