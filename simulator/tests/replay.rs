//! Traces from the outside: generated and replayed ones give what runs give, foreign ones are read,
//! and wrong ones have their places and exit codes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SCENARIO: &str = "version: 1
seed: 5
duration: 40s
warm_up: 5s
machines: 3
gateways: 3
policy: {preset: original}
apps:
  image: {instances: 4}
  video: {machines: 2, instances: 2}
cmds:
  resize: {app: image, service: {lognormal: {p50: 30ms, p99: 300ms}}, deadline: 2s}
  'thumb, large': {app: video, service: {exponential: 900ms}}
tenants:
  payers: {class: paid, users: 40, skew: 0.9}
  others: {class: free, users: 7}
workload:
  - {tenants: payers, cmd: resize, arrivals: {diurnal: {mean: 90/s, amplitude: 60%, period: 20s}}}
  - {tenants: others, cmd: resize, arrivals: {mmpp: {quiet: {rate: 40/s, lasts: 5s}, burst: {rate: 400/s, lasts: 1s}}}}
  - {tenants: others, cmd: 'thumb, large', arrivals: {flash: {base: 2/s, peak: 20/s, at: 9s, ramp: 2s, hold: 4s, decay: 5s}}}
  - {tenants: payers, cmd: resize, arrivals: {profile: {file: rates.csv, column: payers, scale: 2, repeat: true}}}
  - {tenants: payers, cmd: resize, arrivals: {burst: {at: 20s, requests: 700, over: 3s}}}
replay:
  cmds: {jpg: resize}
  others: 'thumb, large'
";

const RATES: &str = "# rates of a morning\nfrom_s,visitors,payers\n0,1,10\n5,2,0\n7.5,0.5,30\n";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        place.write("scenario.yml", SCENARIO);
        place.write("rates.csv", RATES);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    fn simulator(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
        command.current_dir(self.0.path()).env("NO_COLOR", "1");
        command.args(line.split_whitespace()).output().unwrap()
    }

    /// What a successful command prints.
    fn printed(&self, line: &str) -> String {
        let output = self.simulator(line);
        assert!(output.status.success(), "{line}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Makes a trace of the scenario in both formats. Their replays must give what the run gives.
    fn generate_and_replay(&self) {
        self.printed("run scenario.yml -o run");
        let cells = self.read("run/cells.csv");
        for trace in ["trace.csv", "trace.packed"] {
            self.printed(&format!("generate scenario.yml -o {trace}"));
            self.printed(&format!("replay {trace} --scenario scenario.yml -o {trace}.out"));
            assert_eq!(self.read(&format!("{trace}.out/cells.csv")), cells, "{trace}");
        }
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_generated_trace_gives_what_its_scenario_gives() {
    let place = Place::new();
    place.generate_and_replay();
    // From one format to the other and back is the same trace.
    place.printed("trace pack trace.csv -o again.packed");
    assert_eq!(
        fs::read(place.path("again.packed")).unwrap(),
        fs::read(place.path("trace.packed")).unwrap()
    );
    place.printed("trace pack trace.packed -o again.csv");
    assert_eq!(place.read("again.csv"), place.read("trace.csv"));
    let head = place.printed("trace head trace.packed -n 20");
    assert_eq!(head.lines().count(), 21);
    assert!(place.read("trace.csv").starts_with(&head));
    // Another scenario's rules meet the same requests, another workload doesn't fit the trace.
    let other = place.printed("replay trace.csv --scenario scenario.yml --set policy.queue.paid=1");
    assert!(other.contains("queue_full"));
    let wrong = place.simulator("replay trace.csv --scenario scenario.yml --set workload=[]");
    assert_eq!(wrong.status.code(), Some(3));
    assert!(told(&wrong).contains("it was made from entry"), "{}", told(&wrong));
}

/// Also behind a network, where each gateway has requests of its own: rows say which one it was. More of
/// them than there are gateways in another scenario are no mistake.
#[test]
fn a_generated_trace_gives_what_its_scenario_gives_behind_a_network() {
    let place = Place::new();
    let gateways = "gateways: {count: 3, network_delay: 2ms, reports_every: 10ms}";
    let near =
        SCENARIO.replace("machines: 3\ngateways: 3\n", &format!("machines: 3\n{gateways}\n"));
    assert_ne!(near, SCENARIO);
    // Gateways count for themselves there.
    let limits = ["accept: {permits: 100", "user: {concurrency: 9", "cmd: {concurrency: 50"];
    let limits = limits.map(|limit| format!("{limit}, scope: gateway}}")).join(", ");
    let rules = "balance: {rule: power_of_choices, choices: 2}";
    let policy = format!("policy: {{preset: recommended, admission: {{{limits}}}, {rules}}}");
    place.write("scenario.yml", near.replace("policy: {preset: original}", &policy));
    place.generate_and_replay();
    place.printed("trace pack trace.packed -o again.csv");
    let rows = place.read("trace.csv");
    assert_eq!(place.read("again.csv"), rows);
    let gateway_of = |row: &str| row.rsplit(',').next().unwrap().to_owned();
    let seen: BTreeSet<String> = rows.lines().skip(1).map(gateway_of).collect();
    assert_eq!(seen, ["0", "1", "2"].map(str::to_owned).into());
    place.printed("replay trace.csv --scenario scenario.yml --set gateways.count=2");
}

/// The command that a replay prints repeats it.
#[test]
fn a_replay_tells_how_to_repeat_it() {
    let place = Place::new();
    place.printed("generate scenario.yml -o trace.packed");
    let line = "replay trace.packed --scenario scenario.yml --rate 1.5x --speed 2x --window 10s..30s \
                --service law --set warm_up=1s --seed 9";
    let first = place.printed(line);
    let (_, again) = first.rsplit_once("again: simulator ").unwrap();
    assert_eq!(place.printed(again), first);
}

/// Replications differ in what the trace doesn't say, and are the same for any number of threads.
#[test]
fn replays_are_replicated() {
    let place = Place::new();
    let rows = (0..4_000).map(|row| format!("{},jpg,u{}\n", f64::from(row) / 100.0, row % 9));
    place.write("t.csv", format!("arrival_s,cmd,tenant\n{}", rows.collect::<String>()));
    // Two machines are too few for all of them.
    let line = "replay t.csv --scenario scenario.yml --replications 3 --set machines=2 --rate 3x";
    let table = place.printed(&format!("{line} --threads 1 -o one"));
    assert_eq!(place.printed(&format!("{line} --threads 3 -o three")), table);
    assert!(table.contains("95 % confidence over 3 replications"), "{table}");
    for name in ["results.json", "cells.csv", "timeline.csv", "report.html"] {
        assert_eq!(place.read(&format!("one/{name}")), place.read(&format!("three/{name}")));
    }
    let results: serde_json::Value = serde_json::from_str(&place.read("one/results.json")).unwrap();
    assert_eq!(results["origin"]["replay"]["requests"], 4_000);
    // The page says what was replayed, and each warning once.
    let page = place.read("one/report.html");
    assert!(page.contains("Replayed <b>t.csv</b>"), "{page}");
    let warnings = results["warnings"].as_array().unwrap();
    assert!(!warnings.is_empty(), "{table}");
    for warning in warnings.iter().filter_map(|warning| warning.as_str()) {
        // Nothing about the workload, which isn't used.
        assert!(!warning.contains("steady load"), "{warning}");
        let warning = warning.trim_end().replace('\'', "&#39;");
        assert_eq!(page.matches(&warning).count(), 1, "{warning}");
    }
    let means: Vec<f64> = (0..3)
        .map(|run| results["runs"][run]["cells"][0]["response"]["mean_ns"].as_f64().unwrap())
        .collect();
    assert!(means[0] != means[1] && means[1] != means[2], "{means:?}");
    // The second is what a run with its seed alone gives.
    let one = "replay t.csv --scenario scenario.yml --set machines=2 --rate 3x --seed 6 -o second";
    place.printed(one);
    let second: serde_json::Value =
        serde_json::from_str(&place.read("second/results.json")).unwrap();
    assert_eq!(second["runs"][0]["cells"], results["runs"][1]["cells"]);
    let (_, again) = table.rsplit_once("again: simulator ").unwrap();
    assert_eq!(place.printed(again), table);
}

/// What experiments say of a trace is what replays of it say, one by one.
#[test]
fn experiments_take_traces() {
    let place = Place::new();
    place.printed("generate scenario.yml -o t.packed");
    let line = "sweep scenario.yml --trace t.packed --rate 1.5x --param policy.queue.paid=2,8 \
                --metric paid.rejected --replications 2 -o swept";
    let table = place.printed(line);
    let swept: serde_json::Value = serde_json::from_str(&place.read("swept/sweep.json")).unwrap();
    for (point, paid) in [(0, 2), (1, 8)] {
        place.printed(&format!(
            "replay t.packed --scenario scenario.yml --rate 1.5x --set policy.queue.paid={paid} \
             --seed 6 -o one"
        ));
        let one: serde_json::Value = serde_json::from_str(&place.read("one/results.json")).unwrap();
        let seen = &swept["points"][point]["metrics"]["paid.rejected"]["values"][1];
        assert_eq!(seen, &one["runs"][0]["metrics"]["paid.rejected"], "{table}");
        assert!(seen.as_f64().unwrap() > 0.0, "{table}");
    }
    let (_, again) = table.rsplit_once("again: simulator ").unwrap();
    assert_eq!(place.printed(again), table);
    // The load that fits, as a factor of the trace's.
    let found = place.printed(
        "capacity scenario.yml --trace t.packed --find rate --precision 20% --slo rejected<=10%",
    );
    assert!(found.contains("times the load fits"), "{found}");
    let tuned = place.printed(
        "tune scenario.yml --trace t.packed --objective paid.mean_ms --subject-to rejected<=50% \
         --param policy.queue.paid=2,4,8 --candidates 4 --check 5 --write policy.yml",
    );
    let (_, try_it) = tuned.split_once("try: simulator ").unwrap();
    let (try_it, _) = try_it.split_once('\n').unwrap();
    assert!(try_it.starts_with("replay t.packed --scenario scenario.yml"), "{try_it}");
    place.printed(try_it);
    let wrong = place.simulator("sweep scenario.yml --rate 2x --param policy.queue.paid=2,8");
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
    let gone = place.simulator("sweep scenario.yml --trace no.csv --param policy.queue.paid=2,8");
    assert_eq!(gone.status.code(), Some(5), "{}", told(&gone));
}

/// A request of a replay has the same story as in the run that the trace was made from; a trace that
/// is another one by then is refused.
#[test]
fn replays_are_explained() {
    let place = Place::new();
    place.printed("run scenario.yml -o run");
    place.printed("generate scenario.yml -o t.csv");
    place.printed("replay t.csv --scenario scenario.yml -o replay");
    for what in ["--request 100", "--request 5000", "--at 21s --app image"] {
        let story = |folder: &str| {
            let story = place.printed(&format!("explain {folder} {what}"));
            let story = story.replace("t.csv in scenario.yml", "scenario.yml");
            let (before, entry) = story.split_once(", workload entry").unwrap_or((&story, ""));
            let after = entry.split_once('\n').map_or("", |(_, after)| after);
            format!("{}\n{after}", before.trim_end())
        };
        assert_eq!(story("replay").trim_end(), story("run").trim_end());
    }
    place.printed(
        "replay t.csv --scenario scenario.yml --rate 2x --window 5s..30s --cmd a=resize -o b",
    );
    let story = place.printed("explain b --request 7");
    assert!(story.starts_with("request 7 of t.csv in scenario.yml, seed 5"), "{story}");
    let different = place.simulator("compare replay/results.json b/results.json");
    assert_eq!(different.status.code(), Some(8), "{}", told(&different));
    assert!(told(&different).contains("different traces"), "{}", told(&different));
    let text = place.read("t.csv");
    place.write("t.csv", text.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n");
    let output = place.simulator("explain replay --request 7");
    assert_eq!(output.status.code(), Some(3));
    assert!(told(&output).contains("has changed since it was replayed"), "{}", told(&output));
    fs::remove_file(place.path("t.csv")).unwrap();
    assert_eq!(place.simulator("explain replay --request 7").status.code(), Some(5));
}

/// Behind a network a replay is the same for any number of threads, and each request has its story.
#[test]
fn traces_are_replayed_behind_a_network() {
    let place = Place::new();
    let network = "gateways: {count: 3, network_delay: 2ms, reports_every: 20ms}";
    place.write("network.yml", SCENARIO.replace("gateways: 3", network));
    place.printed("generate scenario.yml -o t.packed");
    let line = "replay t.packed --scenario network.yml --rate 1.5x";
    let table = place.printed(&format!("{line} --threads 1"));
    for threads in [2, 3] {
        assert_eq!(place.printed(&format!("{line} --threads {threads}")), table);
    }
    assert!(table.contains("windows of 2ms"), "{table}");
    let live = place.printed("replay t.packed --scenario scenario.yml --rate 1.5x");
    assert_eq!(arrivals(&table), arrivals(&live));
    place.printed(&format!("{line} --replications 2 -o out"));
    let story = place.printed("explain out --request 3000");
    assert!(story.starts_with("request 3,000 of t.packed in network.yml, seed 5"), "{story}");
    assert!(story.contains("2ms later"), "{story}");
    let swept = place.printed(
        "sweep network.yml --trace t.packed --param policy.queue.paid=1,8 --metric paid.rejected",
    );
    assert!(swept.contains("paid.rejected"), "{swept}");
}

fn arrivals(table: &str) -> u64 {
    let rows = table.lines().skip_while(|line| !line.starts_with("CMD "));
    let rows = rows.skip(1).take_while(|line| !line.is_empty());
    let count = |line: &str| {
        let line = line.replace("thumb, large", "thumb").replace(',', "");
        let mut words = line.split_whitespace();
        if words.next() == Some("all") {
            return 0;
        }
        words.nth(1).unwrap().parse::<u64>().unwrap()
    };
    rows.map(count).sum()
}

#[test]
fn time_and_rate_can_be_scaled() {
    let place = Place::new();
    place.printed("generate scenario.yml -o trace.packed");
    let base = "replay trace.packed --scenario scenario.yml --set warm_up=0s";
    let whole = arrivals(&place.printed(base));
    let seen = |more: &str| arrivals(&place.printed(&format!("{base} {more}")));
    assert_eq!(seen("--speed 3x"), whole);
    assert_eq!(seen("--window 0s..20s") + seen("--window 20s.."), whole);
    assert_eq!(seen("--rate 3x"), whole * 3);
    // Each request comes with a probability of a half more or not at all.
    let deviation = (whole as f64).sqrt() / 2.0;
    for (rate, share) in [("0.5x", 0.5), ("1.5x", 1.5)] {
        let count = seen(&format!("--rate {rate}")) as f64;
        assert!((count - whole as f64 * share).abs() < 4.0 * deviation, "{rate}: {count}");
    }
}

#[test]
fn foreign_traces_take_from_the_scenario_what_they_lack() {
    let place = Place::new();
    let log = r#"10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET /a/b.JPG HTTP/1.1" 200 203023
10.0.0.2 - bob [17/May/2015:10:05:04 +0000] "GET /c.jpg HTTP/1.1" 206 -
10.0.0.2 - - [17/May/2015:10:05:05 +0000] "GET / HTTP/1.1" 404 12
10.0.0.1 - - [17/May/2015:10:05:02 +0000] "GET /d?flav=rss HTTP/1.0" 304 0
"#;
    place.write("access.log", log);
    let line = "--scenario scenario.yml --set warm_up=0s";
    let table = place.printed(&format!("replay access.log {line}"));
    let head = "access.log: access-log, 3 requests, 1 left out as failed; service times of the \
                scenario's laws; jpg → resize, page → thumb, large";
    assert!(table.starts_with(head), "{table}");
    assert_eq!(arrivals(&table), 3);
    // Any CSV, its columns named.
    place.write("odd.csv", "id,start,op,took\n1,100,x,20\n2,101,jpg,30\n3,101.5,jpg,\n");
    let map = "--map id=ignore --map start=arrival_s --map op=cmd --map took=service_ms";
    let table = place.printed(&format!("replay odd.csv {line} {map}"));
    assert!(table.contains("its own service times for 2"), "{table}");
    let table = place.printed(&format!("replay odd.csv {line} {map} --service law --cmd x=resize"));
    assert!(table.contains("jpg → resize, x → resize"), "{table}");
}

#[test]
fn wrong_traces_have_places_and_exit_codes() {
    let place = Place::new();
    let table: &[(&str, &str, &str)] = &[
        ("arrival_s,cmd\n2,jpg\n1.5,jpg\n", "t.csv:3:1", "not in order of time"),
        ("arrival_s,cmd\n1,jpg\nNaN,jpg\n", "t.csv:3:1", "this is no time"),
        ("arrival_s,cmd,size_bytes\n1,jpg,-5\n", "t.csv:2:7", "this is no size"),
        ("arrival_s,cmd,service_ms\n1,jpg,-5\n", "t.csv:2:7", "this is no length of time"),
        ("arrival_s,cmd,service_ms\n1,jpg,5\n2,jp", "t.csv:3:1", "the row has 2 fields"),
        ("arrival_s,cmmd\n1,jpg\n", "t.csv:1:11", "did you mean `cmd`?"),
        ("arrival_s,cmd\n", "t.csv", "the trace has no request"),
        (
            "arrival_s,cmd,source\n1,jpg,0\n2,odd,0\n",
            "t.csv",
            "no request of this scenario's workload",
        ),
        ("", "t.csv", "t.csv is empty"),
        (" \n", "t.csv", "t.csv is empty"),
        ("colour\nred\n", "t.csv", "has none of the known formats"),
    ];
    for (text, where_it_is, what) in table {
        place.write("t.csv", text);
        let output = place.simulator("replay t.csv --scenario scenario.yml --set warm_up=0s");
        let told = told(&output);
        assert_eq!(output.status.code(), Some(3), "{text}: {told}");
        assert!(told.contains(where_it_is) && told.contains(what), "{text}: {told}");
        assert!(output.stdout.is_empty());
    }
    place.printed("generate scenario.yml -o whole.packed");
    let whole = fs::read(place.path("whole.packed")).unwrap();
    place.write("cut.packed", &whole[..whole.len() - 3]);
    for (line, code, what) in [
        ("replay cut.packed --scenario scenario.yml", 3, "ends in the middle of a row"),
        ("replay none.csv --scenario scenario.yml", 5, "failed to read none.csv"),
        ("replay whole.packed --scenario none.yml", 5, "failed to read none.yml"),
        ("replay whole.packed --scenario scenario.yml --window 2h..3h", 3, "arrives in the window"),
        (
            "replay whole.packed --scenario scenario.yml --window 2h..3h",
            3,
            "hint: its requests arrive from",
        ),
        (
            "replay whole.packed --scenario scenario.yml --output whole.packed/out",
            5,
            "failed to make the folder",
        ),
        ("replay whole.packed --scenario scenario.yml --window 0s..3s", 3, "are the warm-up"),
        ("replay whole.packed --scenario scenario.yml --rate 0x", 2, "a factor such as 2x"),
        ("replay whole.packed --scenario scenario.yml --cmd a=b", 3, "has no cmd `b`"),
        ("generate scenario.yml --set workload=[] -o e.csv", 3, "the workload has no request"),
        ("generate scenario.yml -o none/e.csv", 5, "failed to write none/e.csv"),
        ("trace head cut.packed -n 100000", 3, "ends in the middle of a row"),
    ] {
        let output = place.simulator(line);
        let told = told(&output);
        assert_eq!(output.status.code(), Some(code), "{line}: {told}");
        assert!(told.contains(what), "{line}: {told}");
    }
}

/// The scenario of the tree is one that traces can be replayed through.
#[test]
fn the_scenario_for_traces_is_good() {
    let place = Place::new();
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/platform.yml");
    place.write("t.csv", "arrival_s,cmd,tenant\n1,imageView2,a\n2,unknown,b\n3,imageView2,\n");
    let line = format!("replay t.csv --scenario {} --set warm_up=0s", scenario.display());
    assert_eq!(arrivals(&place.printed(&line)), 3);
}

/// A word that no request has is told: whoever gave it a meaning has mistyped it.
#[test]
fn meanings_of_commands_that_do_not_come_are_told() {
    let place = Place::new();
    place.write("t.csv", "arrival_s,cmd\n1,png\n7,png\n9,gif\n");
    let line =
        "replay t.csv --scenario scenario.yml --cmd pngs=resize --cmd gif=resize --cmd *=resize";
    let output = place.simulator(line);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let told = told(&output);
    let expected = "warning: --cmd pngs: no request has the command `pngs`; did you mean `png`?";
    assert!(told.contains(expected) && !told.contains("--cmd gif"), "{told}");
}
