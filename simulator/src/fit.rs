//! `simulator fit`: what a trace is like, and a scenario that is like it.

use std::fmt::Write as _;
use std::io::BufReader;
use std::path::Path;

use simulator_traces::{CommandProfile, Format, Profile, SHARES, Trace, read};

use crate::arguments::Fit;
use crate::exit::Exit;
use crate::table::{Table, grouped, part};
use crate::{opened, paint};

const BUFFER_BYTES: usize = 1 << 18;
/// Rarer commands are one row of the table.
const SHOWN_COMMANDS: usize = 12;
/// A scenario has the most frequent commands only; the others would need instances of their own.
const SCENARIO_COMMANDS: usize = 8;
/// So busy are the instances of a fitted scenario.
const FITTED_UTILISATION: f64 = 0.75;

/// Runs it.
pub fn fit(arguments: &Fit) -> Exit {
    let path = &arguments.trace.trace;
    let (format, trace) = match load(arguments) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let profile = Profile::of(&trace);
    say!("{}", text(path, format, &trace, &profile).trim_end());
    let Some(output) = &arguments.output else { return Exit::Done };
    let scenario = match scenario(path, &trace, &profile) {
        Ok(scenario) => scenario,
        Err(reason) => {
            paint::error(&format!("no scenario can be made of {}: {reason}", path.display()));
            return Exit::InvalidInput;
        }
    };
    if let Err(error) = std::fs::write(output, scenario) {
        paint::error(&format!("failed to write {}: {error}", output.display()));
        return Exit::Environment;
    }
    say!("\nwritten to {}; try: simulator run {0}", output.display());
    Exit::Done
}

fn load(arguments: &Fit) -> Result<(Format, Trace), Exit> {
    let given = &arguments.trace;
    let format = given.detect()?;
    let input = BufReader::with_capacity(BUFFER_BYTES, given.file()?);
    let trace = read(format, input, &given.options());
    trace.map(|trace| (format, trace)).map_err(|error| opened::refuse(&given.trace, &error))
}

fn text(path: &Path, format: Format, trace: &Trace, profile: &Profile) -> String {
    let mut text = format!(
        "{}: {format}, {} requests in {}, {} left out as failed\n",
        path.display(),
        grouped(profile.requests),
        seconds(profile.span_s),
        grouped(trace.left_out.failed)
    );
    let _ = writeln!(
        text,
        "rate {}/s on the whole; at most {} in a second, {} in a minute",
        number(profile.rate_per_s),
        grouped(profile.peak_second),
        grouped(profile.peak_minute)
    );
    let dispersion = profile.dispersion.map_or("unknown".to_owned(), number);
    let _ = writeln!(
        text,
        "bursts: gaps vary by {} of their mean, counts per minute have {dispersion} times the \
         variance of a Poisson process (1 and 1 are its own)",
        number(profile.gap_variation)
    );
    match profile.skew {
        Some(skew) => {
            let _ = writeln!(
                text,
                "{} tenants, in shares like Zipf's law with exponent {}",
                grouped(profile.tenants),
                number(skew)
            );
        }
        None => text.push_str("tenants are not told apart\n"),
    }
    text.push('\n');
    text + &commands(trace, profile)
}

fn commands(trace: &Trace, profile: &Profile) -> String {
    let mut table = Table::new(&[
        "CMD",
        ">REQUESTS",
        ">SHARE",
        ">SERVICE p50",
        ">p90",
        ">p99",
        ">MAX",
        ">SIZE p50",
        ">p99",
    ]);
    let share = |requests: u64| part(requests, profile.requests);
    for command in profile.commands.iter().take(SHOWN_COMMANDS) {
        let service = |share: &str| at(&command.service_ns, share).map_or("-".to_owned(), length);
        let size = |share: &str| at(&command.size_bytes, share).map_or("-".to_owned(), bytes);
        table.row([
            trace.commands.get(command.command).unwrap_or_default().to_owned(),
            grouped(command.requests),
            share(command.requests),
            service("p50"),
            service("p90"),
            service("p99"),
            service("p100"),
            size("p50"),
            size("p99"),
        ]);
    }
    let rest = profile.commands.get(SHOWN_COMMANDS..).unwrap_or_default();
    if !rest.is_empty() {
        let requests = rest.iter().map(|command| command.requests).sum();
        table.row([format!("{} others", rest.len()), grouped(requests), share(requests)]);
    }
    table.text()
}

/// A scenario with the trace's rates, service times and tenants. What a trace doesn't tell stands in
/// it as a comment.
fn scenario(path: &Path, trace: &Trace, profile: &Profile) -> Result<String, &'static str> {
    if profile.span_s <= 0.0 {
        return Err("all requests came at once");
    }
    let usable: Vec<&CommandProfile> = profile
        .commands
        .iter()
        .filter(|command| command.service_mean_ns > 0.0)
        .take(SCENARIO_COMMANDS)
        .collect();
    if usable.is_empty() {
        return Err("it has no service times");
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!(
        "# Written by `simulator fit {name}`. Arrivals are a Poisson process here; in the trace gaps \
         vary by\n# {} of their mean. Machines are enough for a utilisation of {} %.\nversion: 1\n\
         about: like {name}\nseed: 1\n",
        number(profile.gap_variation),
        FITTED_UTILISATION * 100.0
    );
    let busy: f64 = usable.iter().map(|command| cores(command, profile)).sum();
    let instances = (busy / FITTED_UTILISATION).ceil().max(1.0);
    let _ = write!(
        text,
        "duration: {:.0}s\nwarm_up: {:.0}s\nmachines: 1\npolicy: {{preset: original}}\n\napps:\n  \
         all: {{instances: {instances:.0}}}\n\ncmds:\n",
        profile.span_s.ceil(),
        (profile.span_s / 10.0).floor()
    );
    for command in &usable {
        let quantiles: Vec<String> = SHARES
            .iter()
            .zip(&command.service_ns)
            .map(|((_, share), ns)| format!("{share}: {}us", ns.div_ceil(1_000)))
            .collect();
        let _ = writeln!(
            text,
            "  {}:\n    app: all\n    service: {{quantiles: {{{}}}}}",
            quoted(trace.commands.get(command.command).unwrap_or_default()),
            quantiles.join(", ")
        );
    }
    let (users, skew) = (profile.tenants.max(1), profile.skew.unwrap_or(0.0));
    let _ = write!(
        text,
        "\ntenants:\n  # The trace doesn't say who pays.\n  everyone: {{class: free, users: {users}, \
         skew: {skew:.3}}}\n\nworkload:\n"
    );
    for command in &usable {
        let _ = writeln!(
            text,
            "  - {{tenants: everyone, cmd: {}, arrivals: {{poisson: {:.9}/s}}}}",
            quoted(trace.commands.get(command.command).unwrap_or_default()),
            command.requests as f64 / profile.span_s
        );
    }
    Ok(text)
}

/// Instances that a command keeps busy.
fn cores(command: &CommandProfile, profile: &Profile) -> f64 {
    command.requests as f64 / profile.span_s * command.service_mean_ns / 1e9
}

/// A name as YAML and the flow mappings of a scenario take it.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let starts_well = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    match starts_well && name.chars().all(is_plain) {
        true => name.to_owned(),
        false => serde_json::to_string(name).unwrap_or_default(),
    }
}

fn at(values: &[u64], share: &str) -> Option<u64> {
    let place = SHARES.iter().position(|(_, name)| *name == share)?;
    values.get(place).copied()
}

/// Three digits, more before the point if there are.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn seconds(value: f64) -> String {
    match value {
        value if value >= 172_800.0 => format!("{} days", number(value / 86_400.0)),
        value if value >= 7_200.0 => format!("{} h", number(value / 3_600.0)),
        value if value >= 120.0 => format!("{} min", number(value / 60.0)),
        value => format!("{} s", number(value)),
    }
}

fn length(ns: u64) -> String {
    match ns as f64 {
        value if value >= 1.2e11 => format!("{}min", number(value / 6e10)),
        value if value >= 1e9 => format!("{}s", number(value / 1e9)),
        value if value >= 1e6 => format!("{}ms", number(value / 1e6)),
        value => format!("{}us", number(value / 1e3)),
    }
}

fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (value as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if unit == "B" { format!("{value:.0} B") } else { format!("{} {unit}", number(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagnostics::Sources;
    use simulator::scenario;
    use simulator_traces::Options;

    fn trace() -> Trace {
        let mut text = "arrival_ms,cmd,tenant,service_ms,size_bytes\n".to_owned();
        for row in 0..2_000_u32 {
            let (cmd, service) =
                if row % 10 == 0 { ("a b", 900 + row) } else { ("crop", 20 + row % 40) };
            let _ = writeln!(text, "{},{cmd},t{},{service},{}", row * 100, row % 7, row * 1000);
        }
        read(Format::Csv, text.as_bytes(), &Options::default()).unwrap()
    }

    #[test]
    fn a_trace_is_told_and_its_scenario_can_be_run() {
        let trace = trace();
        let profile = Profile::of(&trace);
        let path = Path::new("some/trace.csv");
        insta::assert_snapshot!("profile", text(path, Format::Csv, &trace, &profile));
        let scenario = scenario(path, &trace, &profile).unwrap();
        insta::assert_snapshot!("scenario", scenario);
        let mut sources = Sources::default();
        let source = sources.add("fitted.yml", scenario);
        let found = scenario::read(source, &[], &mut sources, |_, _| Err("no file".to_owned()));
        assert!(found.diagnostics.is_empty(), "{:?}", found.diagnostics);
        assert!(found.scenario.is_some());
    }

    #[test]
    fn names_of_all_kinds_are_quoted() {
        assert_eq!(quoted("imageView2"), "imageView2");
        for name in ["a b", "", "1", "yes: no", "\"", "{", "é"] {
            assert_eq!(serde_json::from_str::<String>(&quoted(name)).unwrap(), name);
        }
    }

    #[test]
    fn without_service_times_there_is_no_scenario() {
        let text = "arrival_s\n1\n2\n";
        let trace = read(Format::Csv, text.as_bytes(), &Options::default()).unwrap();
        let profile = Profile::of(&trace);
        assert!(scenario(Path::new("x"), &trace, &profile).is_err());
        assert!(commands(&trace, &profile).contains("request"));
    }
}
