//! `[io]` `cargo xtask bench simulator`: the engine that users run, on the loads of its speed table,
//! and other simulators on the same requests.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::report::machine;
use crate::conformance::source;
use crate::error::{self, Doing, Error};
use crate::lab::directories::{read_json, write_file, write_json};
use crate::{step, workspace};

/// Python packages, pinned: figures of other versions are other figures.
const PYTHON_PEERS: &[&str] = &["simpy==4.1.2", "ciw==3.2.7"];
/// A first build with optimisation on two busy processors.
const BUILD_LIMIT: Duration = Duration::from_mins(25);
/// The plain engine looks at every node at every event: waits are compared over fewer requests.
const COMPARED_REQUESTS: u64 = 200_000;

/// Arguments of `bench simulator`.
#[derive(Debug, Clone, Args)]
pub struct SimulatorArguments {
    /// Also measure SimPy, Ciw, simcore and nexosim: fetched when they aren't there
    #[arg(long)]
    peers: bool,
    /// Leave out the hour of scenarios/day.yml, which takes minutes: an earlier figure stays
    #[arg(long)]
    without_day: bool,
    /// Measure the hour of scenarios/day.yml and nothing else: earlier figures stay
    #[arg(long, conflicts_with_all = ["without_day", "peers"])]
    day_only: bool,
    /// Requests of each run of ours
    #[arg(long, value_name = "COUNT", default_value_t = 5_000_000)]
    requests: u64,
    /// Runs of each of our loads, of which the median counts
    #[arg(long, value_name = "COUNT", default_value_t = 7,
          value_parser = clap::value_parser!(u16).range(1..=99))]
    runs: u16,
    /// The `simulator` to measure [default: build it]
    #[arg(long, value_name = "FILE")]
    simulator: Option<PathBuf>,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    tool: String,
    load: String,
    /// Requests of a run.
    requests: u64,
    /// Processor seconds of the run in the middle.
    seconds: f64,
    runs: usize,
    /// The sum of all waits, in nanoseconds.
    waits_ns: String,
    /// Whether it is that of the plain engine for the same requests; not known for a whole day.
    is_as_oracle: Option<bool>,
    /// Processes that wanted a processor when it began.
    #[serde(default)]
    load_average: f64,
    /// Of the platform's hour only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hour: Option<Hour>,
}

/// What is known of the platform's hour besides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Hour {
    /// Seconds by the clock on one thread.
    wall_s: f64,
    /// Seconds by the clock on two threads.
    two_threads_wall_s: f64,
    /// Most memory of a run, in megabytes of 10^6 bytes.
    peak_mb: f64,
}

/// All measurements of one run of the command.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Results {
    machine: String,
    rows: Vec<Row>,
}

const OURS: &str = "simulator";
/// The scenario of the whole platform.
const DAY: &str = "scenarios/day.yml";

/// Measures.
///
/// # Errors
/// Something can't be built or installed, or what is measured fails.
pub fn run(arguments: &SimulatorArguments) -> Result<ExitCode, Error> {
    let simulator = match &arguments.simulator {
        Some(program) => program.clone(),
        None => build()?,
    };
    let known: Vec<Row> = read_json::<Results>(&json_path())?.unwrap_or_default().rows;
    // Those of an earlier run stay, with the load that they were measured at.
    let earlier =
        |is_wanted: fn(&Row) -> bool| known.iter().filter(move |row| is_wanted(row)).cloned();
    let rows = if arguments.day_only {
        earlier(|row| row.tool == OURS && !row.load.starts_with(DAY)).collect()
    } else {
        ours(arguments, &simulator)?
    };
    let mut results = Results { machine: machine(), rows };
    if arguments.without_day {
        results.rows.extend(earlier(|row| row.tool == OURS && row.load.starts_with(DAY)));
    } else if let Some(day) = day(&simulator)? {
        results.rows.push(day);
    }
    if arguments.peers {
        results.rows.extend(crates()?);
        results.rows.extend(python()?);
    } else {
        results.rows.extend(earlier(|row| row.tool != OURS));
    }
    write_json(&json_path(), &results)?;
    let document = results.document();
    write_file(&workspace::root().join("docs/simulator-benchmarks.md"), document.as_bytes())?;
    println!("{}", results.table());
    let is_equal = results.rows.iter().all(|row| row.is_as_oracle != Some(false));
    Ok(if is_equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn json_path() -> PathBuf {
    workspace::root().join("docs/simulator-benchmarks.json")
}

fn build() -> Result<PathBuf, Error> {
    let cargo = workspace::cargo(&["build", "--release", "--package", "simulator"]);
    step::demand(&cargo, &step::log("bench-simulator"), BUILD_LIMIT, "build simulator")?;
    Ok(workspace::target().join("release/simulator"))
}

/// The lines of `simulator bench`: name, nanoseconds for a request, waits, whether they are the
/// oracle's.
fn bench(simulator: &Path, arguments: &[&str]) -> Result<Vec<(String, f64, String, bool)>, Error> {
    let output = error::capture(Command::new(simulator).arg("bench").args(arguments))
        .doing(|| "run simulator bench".to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(parse).collect())
}

/// A line such as `M/M/1, load 0.9   9.90   101.1   18468020594140550 = oracle`.
fn parse(line: &str) -> Option<(String, f64, String, bool)> {
    let is_as_oracle = line.ends_with("= oracle");
    let line = line.trim_end_matches("= oracle").trim_end_matches("≠ oracle").trim_end();
    let waits = line.split_whitespace().next_back()?;
    waits.parse::<u128>().ok()?;
    let rest = line.strip_suffix(waits)?.trim_end();
    let (rest, rate) = rest.rsplit_once(' ')?;
    rate.parse::<f64>().ok()?;
    let (name, each) = rest.trim_end().rsplit_once(' ')?;
    Some((name.trim_end().to_owned(), each.parse().ok()?, waits.to_owned(), is_as_oracle))
}

/// Our own loads. Each run is a process of its own; waits are compared with the plain engine's over
/// fewer requests.
fn ours(arguments: &SimulatorArguments, simulator: &Path) -> Result<Vec<Row>, Error> {
    let fewer = arguments.requests.min(COMPARED_REQUESTS).to_string();
    let compared = bench(simulator, &["--requests", &fewer, "--runs", "1", "--oracle"])?;
    let is_equal = |name: &str| compared.iter().any(|(known, .., equal)| known == name && *equal);
    let load_average = super::load();
    let count = arguments.requests.to_string();
    let mut rows: Vec<(Row, Vec<f64>)> = Vec::new();
    for _ in 0..arguments.runs {
        for (name, each_ns, waits_ns, _) in
            bench(simulator, &["--requests", &count, "--runs", "1"])?
        {
            let known = rows.iter().position(|(row, _)| row.load == name);
            let place = known.unwrap_or(rows.len());
            if known.is_none() {
                let row = Row {
                    tool: OURS.to_owned(),
                    load: name.clone(),
                    requests: arguments.requests,
                    seconds: 0.0,
                    runs: usize::from(arguments.runs),
                    waits_ns,
                    is_as_oracle: Some(is_equal(&name)),
                    load_average,
                    hour: None,
                };
                rows.push((row, Vec::new()));
            }
            if let Some((_, times)) = rows.get_mut(place) {
                times.push(each_ns * 1e-9);
            }
        }
        eprint!(".");
    }
    eprintln!();
    Ok(rows.into_iter().map(|(row, times)| middle(row, times, arguments.requests)).collect())
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are below 2^53")]
fn middle(row: Row, mut times: Vec<f64>, requests: u64) -> Row {
    times.sort_unstable_by(f64::total_cmp);
    let each = times.get(times.len() / 2).copied().unwrap_or_default();
    Row { seconds: each * requests as f64, ..row }
}

/// The whole platform: an hour of `scenarios/day.yml` behind the minutes that fill it up, when the
/// first transcodes end. Its own requests are what two runs differ by, so what a run needs to begin
/// and to print its table isn't in it.
///
/// The runs are those that a user gets by default: they print the table and write no files. With
/// `--output` the course of each app is recorded, too, for each request (a quarter more time); the
/// engine is what is to be measured here. The rate is that of processor time on one thread; what a
/// second core brings is a ratio of clocks, because that is what a user waits for.
fn day(simulator: &Path) -> Result<Option<Row>, Error> {
    if !workspace::root().join(DAY).exists() {
        return Ok(None);
    }
    let load_average = super::load();
    let [alone, shared] = [1, 2].map(|threads| hour(simulator, threads));
    let (alone, shared) = (alone?, shared?);
    Ok(Some(Row {
        tool: OURS.to_owned(),
        load: format!("{DAY}, minutes 16 to 75"),
        requests: alone.requests,
        seconds: alone.processor_s,
        runs: 1,
        waits_ns: String::new(),
        is_as_oracle: None,
        load_average,
        hour: Some(Hour {
            wall_s: alone.wall_s,
            two_threads_wall_s: shared.wall_s,
            peak_mb: alone.peak_mb.max(shared.peak_mb),
        }),
    }))
}

/// What a run of the day has used.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    /// Requests behind the warm-up.
    requests: u64,
    processor_s: f64,
    wall_s: f64,
    peak_mb: f64,
}

/// What the hour needs on so many threads.
fn hour(simulator: &Path, threads: u16) -> Result<Used, Error> {
    let filling = measured_run(simulator, threads, "15min", "16min")?;
    let whole = measured_run(simulator, threads, "16min", "75min")?;
    Ok(Used {
        requests: whole.requests,
        processor_s: whole.processor_s - filling.processor_s,
        wall_s: whole.wall_s - filling.wall_s,
        peak_mb: whole.peak_mb,
    })
}

/// How often memory is looked at: its peak only ever rises, so the last look counts.
const SAMPLE: Duration = Duration::from_millis(50);

/// Runs the day for a while.
fn measured_run(
    simulator: &Path,
    threads: u16,
    warm_up: &str,
    duration: &str,
) -> Result<Used, Error> {
    let mut command = Command::new(simulator);
    command.current_dir(workspace::root()).args(["run", DAY, "--threads", &threads.to_string()]);
    command.args(["--set", &format!("warm_up={warm_up}")]);
    command.args(["--set", &format!("duration={duration}")]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let doing = || format!("run {DAY}");
    let (before, start) = (children_s(), Instant::now());
    // A table fits a pipe, so nobody need read while it runs.
    let mut child = command.spawn().doing(doing)?;
    let mut peak_kib = 0;
    while child.try_wait().doing(doing)?.is_none() {
        peak_kib = peak_kib.max(peak_kib_of(child.id()));
        std::thread::sleep(SAMPLE);
    }
    let wall_s = start.elapsed().as_secs_f64();
    let output = child.wait_with_output().doing(doing)?;
    let output = error::check(&command, output).doing(doing)?;
    Ok(Used {
        requests: arrivals(&String::from_utf8_lossy(&output.stdout)),
        processor_s: children_s() - before,
        wall_s,
        peak_mb: f64::from(peak_kib) * 1024.0 / 1e6,
    })
}

/// The most memory that a process has had so far; 0 if it has ended.
fn peak_kib_of(process: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = peak.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// All requests of the first table that `simulator run` prints: command, class, arrivals, and more.
fn arrivals(text: &str) -> u64 {
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines = text.lines().map(columns);
    let rows = lines.skip_while(|row| row.get(2).is_none_or(|name| name != "ARRIVALS")).skip(1);
    let rows = rows.take_while(|row| !row.is_empty());
    // Sums over all commands have a row for each class, too.
    let rows = rows.filter(|row| row.first().is_some_and(|cmd| cmd != "all"));
    rows.filter_map(|row| row.get(2)?.replace(',', "").parse::<u64>().ok()).sum()
}

/// Processor seconds of all ended children.
fn children_s() -> f64 {
    use nix::sys::resource::{UsageWho, getrusage};
    let seconds = |time: nix::sys::time::TimeVal| {
        let micros = Duration::from_micros(time.tv_usec().unsigned_abs());
        (Duration::from_secs(time.tv_sec().unsigned_abs()) + micros).as_secs_f64()
    };
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN);
    usage.map_or(0.0, |usage| seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// What is built and fetched for other simulators.
fn place(name: &str) -> PathBuf {
    workspace::target().join("simulators").join(name)
}

fn peers_program() -> Result<PathBuf, Error> {
    let folder = workspace::root().join("xtask/bench/simulators");
    let mut cargo = workspace::cargo(&["build", "--release", "--target-dir"]);
    cargo.arg(place("build")).current_dir(&folder);
    let what = "build simcore and nexosim (fetched from the crate registry)";
    step::demand(&cargo, &step::log("bench-simulators"), BUILD_LIMIT, what)?;
    Ok(place("build").join("release/simulators"))
}

/// Rows that a program prints, one a line.
fn rows(command: &mut Command) -> Result<Vec<Row>, Error> {
    let load_average = super::load();
    let output = error::capture(command).doing(|| "measure another simulator".to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let row = |line| {
        let row: Row = serde_json::from_str(line).doing(|| format!("read {line}"))?;
        Ok(Row { load_average, ..row })
    };
    text.lines().map(row).collect()
}

fn crates() -> Result<Vec<Row>, Error> {
    let program = peers_program()?;
    rows(Command::new(program).arg("run"))
}

fn python() -> Result<Vec<Row>, Error> {
    #[derive(Deserialize)]
    struct Written {
        load: String,
    }
    let environment = source::virtual_environment("simulators", PYTHON_PEERS)?;
    let jobs = place("jobs");
    let output = error::capture(Command::new(peers_program()?).arg("write").arg(&jobs))
        .doing(|| "write requests for other simulators".to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut command = Command::new(environment.join("bin/python"));
    command.arg(workspace::root().join("xtask/bench/simulators/peers.py")).arg(&jobs);
    for line in text.lines() {
        let written: Written = serde_json::from_str(line).doing(|| format!("read {line}"))?;
        command.arg(written.load);
    }
    rows(&mut command)
}

impl Results {
    fn document(&self) -> String {
        format!(
            "# Benchmarks of the simulator\n\n\
             Written by `cargo xtask bench simulator`; don't edit. Nothing here is asserted by a test.\n\
             Repeat: `cargo xtask bench simulator --peers` (some minutes; installs SimPy and Ciw into a \
             virtual environment and fetches the crates simcore and nexosim).\n\n\
             {}\n\
             Processor time on one core, the median of the runs. `simulator` is what users run \
             (`simulator bench`, release build), with histograms of waits and responses; the others \
             only add up waits. All get the same requests, and the same nodes are drawn for each, so \
             the sums of waits must be the same: *as oracle* says whether they are those of our plain \
             event-heap engine for these requests (for ours: over the first {COMPARED_REQUESTS}). \
             Others are written in the plainest way that they offer \
             (`xtask/bench/simulators`): one component with all nodes, for SimPy a process for each \
             request. Ciw looks at all nodes at every event and has no rule with these choices, so it \
             is there for two loads only. *load* is how many processes wanted a processor when the \
             tool began: above 1 all figures are too slow, because caches and clock are shared.\n\n\
             {}\n{}## Against the others\n\nHow many requests ours simulates while the other does one.\n\n{}",
            self.machine,
            self.table(),
            self.hour(),
            self.ratios()
        )
    }

    fn table(&self) -> String {
        let mut text = String::from(
            "| load | tool | requests | runs | ns/request | M/s | as oracle | load |\n\
             |---|---|---:|---:|---:|---:|---|---:|\n",
        );
        for load in self.loads() {
            for row in self.rows.iter().filter(|row| row.load == load) {
                let each = row.each_ns();
                let equal = match row.is_as_oracle {
                    Some(true) => "yes",
                    Some(false) => "**no**",
                    None => "-",
                };
                // Writing to a String can't fail.
                let _ = writeln!(
                    text,
                    "| {load} | {} | {} | {} | {each:.2} | {:.3} | {equal} | {:.1} |",
                    row.tool,
                    row.requests,
                    row.runs,
                    1e3 / each,
                    row.load_average
                );
            }
        }
        text
    }

    /// The platform's hour against what is aimed at; nothing as long as it wasn't measured.
    fn hour(&self) -> String {
        let measured = self.rows.iter().find_map(|row| row.hour.map(|hour| (row, hour)));
        let Some((row, hour)) = measured else { return String::new() };
        let millions = 1e3 / row.each_ns();
        let ratio = hour.wall_s / hour.two_threads_wall_s;
        format!(
            "## An hour of the platform\n\n\
             Minutes 16 to 75 of `{DAY}` as `simulator run` runs it by default: the time of 75 minutes \
             less that of 16. No files are written; with `--output` the course of each app is recorded \
             as well. Repeat: `cargo xtask bench simulator --day-only`.\n\n\
             | | M requests/s of processor time on one core | by the clock, 1 thread | 2 threads | ratio | MB |\n\
             |---|---:|---:|---:|---:|---:|\n\
             | measured (load {:.1}) | {millions:.1} | {:.1} s | {:.1} s | {ratio:.2}× | {:.0} |\n\
             | at least | 12 | | | 1.85× | 64 |\n\n",
            row.load_average, hour.wall_s, hour.two_threads_wall_s, hour.peak_mb
        )
    }

    fn ratios(&self) -> String {
        let mut text = String::from("| load | tool | ratio |\n|---|---|---:|\n");
        for row in self.rows.iter().filter(|row| row.tool != OURS) {
            let own = self.rows.iter().find(|own| own.tool == OURS && own.load == row.load);
            if let Some(own) = own {
                let ratio = row.each_ns() / own.each_ns();
                let _ = writeln!(text, "| {} | {} | {ratio:.0}× |", row.load, row.tool);
            }
        }
        text
    }

    /// Loads in the order of their first rows.
    fn loads(&self) -> Vec<&str> {
        let mut loads: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !loads.contains(&row.load.as_str()) {
                loads.push(&row.load);
            }
        }
        loads
    }
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are below 2^53")]
    fn each_ns(&self) -> f64 {
        self.seconds * 1e9 / self.requests.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_bench_are_read() {
        let line = "1,000 nodes, two choices                            28.65       34.9   1903325579405960";
        let (name, each, waits, equal) = parse(line).unwrap();
        assert_eq!(
            (name.as_str(), waits.as_str()),
            ("1,000 nodes, two choices", "1903325579405960")
        );
        assert!((each - 28.65).abs() < 1e-9 && !equal);
        assert!(parse(&format!("{line} = oracle")).unwrap().3);
        assert!(!parse(&format!("{line} ≠ oracle")).unwrap().3);
        for other in
            ["LOAD   NS/REQUEST   M/s   sum of waits in ns", "", "processor time of 7 runs"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_document_has_all_rows() {
        let row = |tool: &str, seconds| Row {
            tool: tool.to_owned(),
            load: "M/M/16".to_owned(),
            requests: 1_000_000,
            seconds,
            runs: 3,
            waits_ns: "5".to_owned(),
            is_as_oracle: Some(true),
            load_average: 0.5,
            hour: None,
        };
        let rows = vec![row(OURS, 0.01), row("SimPy", 8.0)];
        let results = Results { machine: "A machine.\n".to_owned(), rows };
        assert_eq!(results.hour(), "");
        let document = results.document();
        assert!(
            document.contains("| M/M/16 | simulator | 1000000 | 3 | 10.00 | 100.000 | yes | 0.5 |")
        );
        assert!(document.contains("| M/M/16 | SimPy | 800× |"), "{document}");
        let hour = Hour { wall_s: 0.2, two_threads_wall_s: 0.1, peak_mb: 19.4 };
        let rows = vec![Row { hour: Some(hour), ..row(OURS, 0.1) }];
        let hour = Results { machine: String::new(), rows }.hour();
        let measured = "| measured (load 0.5) | 10.0 | 0.2 s | 0.1 s | 2.00× | 19 |";
        assert!(hour.contains(measured), "{hour}");
    }

    #[test]
    fn requests_are_those_of_the_first_table() {
        let text = "day.yml: a day\n\n\
                    CMD         CLASS    ARRIVALS      SERVED  REFUSED\n\
                    thumbnail   paid    2,534,853   2,534,368   0.02 %\n\
                    avthumb     free        2,003       1,998   0.25 %\n\
                    all         free        2,003       1,998   0.38 %\n\n\
                    CMD         CLASS  TIME          MEAN\n\
                    thumbnail   paid   wait         210µs\n";
        assert_eq!(arrivals(text), 2_536_856);
        assert_eq!(arrivals(""), 0);
    }
}
