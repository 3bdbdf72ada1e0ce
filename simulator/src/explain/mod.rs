//! `simulator explain`: why a request was refused or waited, and what an app was like at a time. A
//! run is repeated from the texts in its `results.json` (a replay also needs its trace), with somebody
//! who looks at that one thing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser as _;
use diagnostics::{SourceId, Sources};
use policy::Nanoseconds;
use policy::config::units::Length;
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use simulator::execute::{self, Requests};
use simulator::scenario::{self, Override, Scenario};
use simulator_model::{MODEL_VERSION, Record};

use crate::exit::Exit;
use crate::export::RESULTS_VERSION;
use crate::input::Warnings;
use crate::opened::TraceArguments;
use crate::paint;
use crate::replay::{Cast, Playing, Replay};
use crate::results::{Origin, Replayed};

mod moment;
mod request;
mod shares;

/// `simulator explain`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["request", "at"])))]
pub struct Explain {
    /// The folder that `simulator run -o` or `simulator replay -o` has written.
    pub folder: PathBuf,
    /// The request with this number, in the order of arrival from 0 on.
    #[arg(long, value_name = "N")]
    pub request: Option<u64>,
    /// An app at this time, such as 12m30s.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<Nanoseconds>,
    /// The app; may be left out if there is only one.
    #[arg(long, value_name = "NAME", requires = "at")]
    pub app: Option<String>,
}

/// `12min 30s`, `12m30s`, `90s`: blanks may be left out, and a minute is `m`, too.
fn time(text: &str) -> Result<Nanoseconds, String> {
    let mut spaced = String::new();
    let mut last = ' ';
    for letter in text.chars() {
        if last.is_alphabetic() && letter.is_ascii_digit() {
            spaced.push(' ');
        }
        spaced.push(letter);
        last = letter;
    }
    let words = spaced.split_ascii_whitespace().map(|word| match word.strip_suffix('m') {
        Some(number) if number.ends_with(|letter: char| letter.is_ascii_digit()) => {
            format!("{number}min")
        }
        _ => word.to_owned(),
    });
    let text = words.collect::<Vec<_>>().join(" ");
    let Length(time) = Length::deserialize(StrDeserializer::<Error>::new(&text))
        .map_err(|_| "expected a time with its unit, such as 12m30s or 90s".to_owned())?;
    Ok(time)
}

/// What is needed of `results.json` to run it again.
#[derive(Debug, Deserialize)]
struct Recorded {
    version: u32,
    model_version: Option<u32>,
    scenario: String,
    origin: Option<Origin>,
    runs: Vec<RecordedRun>,
}

#[derive(Debug, Deserialize)]
struct RecordedRun {
    seed: u64,
}

/// What is asked about.
struct Asked {
    scenario: Scenario,
    name: String,
    /// What was replayed instead of the scenario's workload.
    cast: Option<Cast>,
}

impl Asked {
    /// Runs it again for somebody who looks on.
    fn run<R: Record>(&self, record: &mut R) -> Result<(), String> {
        let model = &self.scenario.model;
        let Some(cast) = &self.cast else {
            execute::record(model, Requests::Own, record);
            return Ok(());
        };
        let played = cast.played(model.seed, |requests| execute::record(model, requests, record));
        played.map_err(|error| format!("the trace can't be replayed again: {error}"))
    }

    /// Where requests come from, as a name.
    fn source(&self) -> String {
        match &self.cast {
            Some(cast) => format!("{} in {}", cast.replay.trace.trace.display(), self.name),
            None => self.name.clone(),
        }
    }
}

/// The app that is meant.
fn named<'a>(scenario: &'a Scenario, given: Option<&'a str>) -> Result<&'a str, String> {
    match (given, scenario.model.apps.as_slice()) {
        (Some(given), _) => Ok(given),
        (None, [only]) => Ok(&only.name),
        (None, apps) => {
            let names: Vec<&str> = apps.iter().map(|app| app.name.as_str()).collect();
            Err(format!("say which app: --app NAME; there are {}", names.join(", ")))
        }
    }
}

/// Explains it.
pub fn explain(arguments: &Explain) -> Exit {
    let asked = match load(&arguments.folder) {
        Ok(asked) => asked,
        Err((exit, message)) => {
            paint::error(&message);
            return exit;
        }
    };
    let answer = match (arguments.request, arguments.at, &arguments.app) {
        (Some(number), ..) => request::explain(&asked, number),
        (None, Some(at), app) => match named(&asked.scenario, app.as_deref()) {
            Ok(app) => moment::explain(&asked, at, app),
            Err(message) => Err(message),
        },
        // The arguments are declared so that this can't be.
        (None, None, _) => Err("expected --request, or --at with --app".to_owned()),
    };
    match answer {
        Ok(text) => {
            say!("{}", text.trim_end());
            Exit::Done
        }
        Err(message) => {
            paint::error(&message);
            Exit::InvalidInput
        }
    }
}

/// Results of thousands of replications are some tens of megabytes.
const MAX_FILE_BYTES: u64 = 256 << 20;

fn load(folder: &Path) -> Result<Asked, (Exit, String)> {
    let path = folder.join("results.json");
    let shown = path.display();
    let unread = |reason: String| {
        (
            Exit::Environment,
            format!("failed to read {shown}: {reason} (write it by `simulator run … -o`)"),
        )
    };
    let size = std::fs::metadata(&path).map_err(|error| unread(error.to_string()))?.len();
    if size > MAX_FILE_BYTES {
        return Err(unread(format!("it has {size} bytes, more than {MAX_FILE_BYTES}")));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| unread(error.to_string()))?;
    let recorded =
        recorded(&text).map_err(|reason| (Exit::InvalidInput, format!("{shown} {reason}")))?;
    let Recorded { scenario: name, origin, runs, .. } = recorded;
    let (Some(origin), Some(run)) = (origin, runs.first()) else {
        let message = format!("{shown} doesn't hold its scenario: write it anew by its `command`");
        return Err((Exit::InvalidInput, message));
    };
    let mut scenario = read(&origin).map_err(|errors| {
        let message = format!("the scenario in {shown} can't be used: {errors}");
        (Exit::InvalidInput, message)
    })?;
    scenario.model.seed = run.seed;
    let cast = match (&origin.trace, &origin.replay) {
        (None, _) => None,
        (Some(_), Some(replayed)) => Some(cast(replayed, &mut scenario)?),
        (Some(trace), None) => {
            let message = format!(
                "{shown} doesn't say how {trace} was replayed: write it anew by its `command`"
            );
            return Err((Exit::InvalidInput, message));
        }
    };
    Ok(Asked { scenario, name, cast })
}

/// The arguments of a replay that are kept in its results.
#[derive(Debug, clap::Parser)]
#[command(no_binary_name = true)]
struct Again {
    #[command(flatten)]
    trace: TraceArguments,
    #[command(flatten)]
    playing: Playing,
}

/// The trace once more, if it is still the same.
fn cast(replayed: &Replayed, scenario: &mut Scenario) -> Result<Cast, (Exit, String)> {
    let Again { trace, playing } = Again::try_parse_from(&replayed.arguments).map_err(|error| {
        (Exit::InvalidInput, format!("what was replayed can't be understood: {error}"))
    })?;
    let path = trace.trace.display().to_string();
    let told = |exit| (exit, format!("{path}, which was replayed, can't be read again"));
    let replay = Replay::read(trace, playing).map_err(told)?;
    if (replay.scan.requests, replay.scan.last_ns) != (replayed.requests, replayed.last_ns) {
        let message = format!(
            "{path} has changed since it was replayed: it had {} requests, now it has {}",
            replayed.requests, replay.scan.requests
        );
        return Err((Exit::InvalidInput, message));
    }
    Cast::new(Arc::new(replay), scenario, Warnings::Silent).map_err(told)
}

/// The parts of a file that are needed, if this program gives the same results.
fn recorded(text: &str) -> Result<Recorded, String> {
    let recorded: Recorded =
        serde_json::from_str(text).map_err(|error| format!("is no result of a run: {error}"))?;
    if recorded.version != RESULTS_VERSION {
        return Err(format!(
            "has version {} of its format, this program knows {RESULTS_VERSION}: use the program \
             that wrote it",
            recorded.version
        ));
    }
    if recorded.model_version != Some(MODEL_VERSION) {
        let version =
            recorded.model_version.map_or("none".to_owned(), |version| version.to_string());
        return Err(format!(
            "was simulated by version {version} of the model, this program has {MODEL_VERSION}: \
             its request numbers would mean other requests; run its `command` again, or use the \
             program that wrote it"
        ));
    }
    Ok(recorded)
}

/// The scenario from its texts.
fn read(origin: &Origin) -> Result<Scenario, String> {
    let mut sources = Sources::default();
    let [first, others @ ..] = origin.files.as_slice() else {
        return Err("there is none".to_owned());
    };
    let source = sources.add(first.name.as_str(), first.text.as_str());
    let overrides: Result<Vec<Override>, String> =
        origin.overrides.iter().map(|text| Override::parse(text)).collect();
    let policy = origin.policy.as_ref();
    let policy = policy.map(|file| sources.add(file.name.as_str(), file.text.as_str()));
    let found = scenario::read_with(source, policy, &overrides?, &mut sources, |name, sources| {
        let file = others.iter().find(|file| file.name == name);
        let add = |file: &crate::results::NamedText| -> SourceId {
            sources.add(file.name.as_str(), file.text.as_str())
        };
        file.map(add).ok_or_else(|| format!("`{name}` is not in the results"))
    });
    found.scenario.ok_or_else(|| {
        diagnostics::render_all(&found.diagnostics, &sources, diagnostics::Style::Plain)
    })
}

/// An instant, also in seconds to the nanosecond.
fn instant(at: u64) -> String {
    let (seconds, rest) = (at / Nanoseconds::PER_SECOND, at % Nanoseconds::PER_SECOND);
    format!("{} ({seconds}.{rest:09} s)", Nanoseconds(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        let seconds = |text| time(text).map(|time| time.0 / Nanoseconds::PER_SECOND).ok();
        assert_eq!(seconds("12m30s"), Some(750));
        assert_eq!(seconds("12min 30s"), Some(750));
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("1h"), Some(3600));
        assert_eq!(time("5ms"), Ok(Nanoseconds(5_000_000)));
        for wrong in ["", "12", "m", "5x"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn results_of_another_program_are_refused_with_advice() {
        let refused = |text: &str| recorded(text).map(|_| ()).unwrap_err();
        assert!(refused("{").contains("no result of a run"));
        let other = r#"{"version": 99, "scenario": "a", "runs": []}"#;
        assert!(refused(other).contains("version 99"), "{}", refused(other));
        let other = format!(
            r#"{{"version": {RESULTS_VERSION}, "model_version": 0, "scenario": "a", "runs": []}}"#
        );
        assert!(refused(&other).contains("version 0 of the model"), "{}", refused(&other));
    }
}
