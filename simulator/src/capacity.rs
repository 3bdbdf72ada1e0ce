//! `simulator capacity`: the fewest machines for a load, or the largest load for the machines.

use clap::ValueEnum;
use rayon::ThreadPool;
use simulator::judge::{Met, meets};
use simulator::metric::{Condition, Metric};
use simulator::scenario::Override;
use simulator_kernel::{Finding, Looks};
use simulator_model::Model;

use crate::exit::Exit;
use crate::input::{self, Warnings, quoted};
use crate::paint;
use crate::progress::Stop;
use crate::replay::{Case, Played};
use crate::table::Table;

/// Wrong answers about one step: 1 in 20, looks and conditions included.
const LEVEL: f64 = 0.05;
/// Runs before the first look.
const FIRST_LOOK: u32 = 5;
/// More than the largest platform that can be simulated.
const MAX_COUNT: u64 = 100_000;
/// Other keys than machines may change nothing up to what the scenario begins with.
const PATIENCE: u64 = 1_024;
/// Beyond, it is another load.
const MAX_GROWTH: f64 = 64.0;

/// `simulator capacity`.
#[derive(Debug, clap::Args)]
pub struct Capacity {
    #[command(flatten)]
    pub subject: Played,
    /// What must hold, such as 'paid.p99_ms<=500'; may be given several times.
    #[arg(long = "slo", value_name = "CONDITION,…", required = true)]
    pub slos: Vec<String>,
    /// What is looked for.
    #[arg(long, value_enum, default_value_t = Find::Machines)]
    pub find: Find,
    /// So many times the load of the scenario, to find machines for it; 1x if absent.
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    pub growth: Option<f64>,
    /// The key of the scenario that is varied to find machines.
    #[arg(long, value_name = "KEY", default_value = "machines")]
    pub key: String,
    /// How exactly the largest load is found.
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = percent)]
    pub precision: f64,
    /// The most runs at each step.
    #[arg(long, value_name = "COUNT", default_value_t = 40,
          value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub replications: u32,
    /// Threads; all processors if absent. Results don't depend on it.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Find {
    /// The fewest machines for the load.
    Machines,
    /// The largest load for the machines.
    Rate,
}

fn factor(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('x').unwrap_or(text).parse::<f64>().ok();
    let expected = format!("expected a factor up to {MAX_GROWTH}, such as 2x or 1.5x");
    number.filter(|factor| (0.01..=MAX_GROWTH).contains(factor)).ok_or(expected)
}

/// A part above nothing.
pub fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let number = number.filter(|percent| (0.01..=50.0).contains(percent));
    number.map(|percent| percent / 100.0).ok_or("expected 0.01% to 50%".to_owned())
}

/// Runs it.
pub fn capacity(arguments: &Capacity) -> Exit {
    done(arguments).unwrap_or_else(|exit| exit)
}

fn done(arguments: &Capacity) -> Result<Exit, Exit> {
    if arguments.find == Find::Rate && arguments.growth.is_some() {
        paint::error("--growth is what --find rate looks for");
        return Err(Exit::Usage);
    }
    let base = arguments.subject.load()?;
    let conditions = input::conditions("--slo", &arguments.slos, &base.scenario.model)?;
    let mut search = Search {
        arguments,
        metrics: conditions.iter().map(|condition| condition.metric.clone()).collect(),
        conditions,
        looks: Looks::doubling(FIRST_LOOK, arguments.replications, LEVEL),
        pool: input::pool(arguments.threads)?,
        stop: Stop::listen()?,
        steps: Vec::new(),
        has_end: false,
    };
    let found = match arguments.find {
        Find::Machines => search.machines(&base.scenario.model),
        Find::Rate => search.rate(&base),
    };
    if matches!(found, Err(Exit::Stopped)) {
        search.show_stopped();
    }
    found
}

/// A number that was tried, and what came out.
struct Step {
    value: f64,
    shown: String,
    /// None if the scenario can't be with so few.
    met: Option<Met>,
}

struct Search<'a> {
    arguments: &'a Capacity,
    conditions: Vec<Condition>,
    metrics: Vec<Metric>,
    looks: Looks,
    pool: ThreadPool,
    stop: Stop,
    steps: Vec<Step>,
    /// Whether there is a number above which the scenario can't be.
    has_end: bool,
}

impl Search<'_> {
    /// The fewest by doubling and bisection: more machines never make it worse.
    fn machines(&mut self, base: &Model) -> Result<Exit, Exit> {
        let is_machines = self.arguments.key == "machines";
        let largest = base.apps.iter().map(|app| u64::from(app.machines)).max().unwrap_or(1);
        let mut count = if is_machines { largest } else { 1 };
        // The most that doesn't do, as far as is proven, and the least that does.
        let (mut low, mut high) = (0, None);
        while high.is_none() && count <= MAX_COUNT {
            if self.holds_with(count)? {
                high = Some(count);
            } else if low > 0 && self.is_impossible() {
                // More can't be: the last chance is the most that can.
                count = self.most_possible(low, count)?;
                if count > low && self.holds_with(count)? {
                    high = Some(count);
                } else {
                    low = count;
                }
                break;
            } else if self.more_is_no_better() && (is_machines || count >= PATIENCE) {
                low = count;
                break;
            } else {
                low = count;
                count *= 2;
            }
        }
        while let Some(enough) = high
            && enough - low > 1
        {
            let middle = low + (enough - low) / 2;
            if self.holds_with(middle)? {
                high = Some(middle);
            } else {
                low = middle;
            }
        }
        self.show(&self.arguments.key.clone());
        let load = match self.arguments.growth {
            Some(growth) => format!("{growth} times the load"),
            None => "the load".to_owned(),
        };
        let Some(enough) = high else {
            let more = if self.has_end { "more can't be" } else { "more would change nothing" };
            say!("not met: {low} are not enough for {load}, and {more}");
            self.again();
            return Ok(Exit::Unmet);
        };
        match (self.arguments.key.as_str(), enough) {
            ("machines", 1) => say!("1 machine is enough for {load}"),
            (key, _) => say!("{enough} {key} are enough for {load}"),
        }
        Ok(self.end(low > 0 && self.is_open(|step| same(step.value, float(low))), &low.to_string()))
    }

    /// The largest load, by doubling or halving and bisection on a scale of factors.
    fn rate(&mut self, base: &Case) -> Result<Exit, Exit> {
        let (mut low, mut high) = (None, None);
        let mut factor = 1.0;
        while (low.is_none() || high.is_none()) && (1.0 / MAX_GROWTH..=MAX_GROWTH).contains(&factor)
        {
            if self.holds_at(base, factor)? {
                low = Some(factor);
                factor *= 2.0;
            } else {
                high = Some(factor);
                factor /= 2.0;
            }
        }
        while let (Some(fits), Some(too_much)) = (low, high)
            && too_much / fits > 1.0 + self.arguments.precision
        {
            let middle = f64::midpoint(fits, too_much);
            if self.holds_at(base, middle)? {
                low = Some(middle);
            } else {
                high = Some(middle);
            }
        }
        self.show("load");
        match (low, high) {
            (None, _) => {
                say!("not met: even a small part of the load is too much");
                self.again();
                Ok(Exit::Unmet)
            }
            (Some(fits), None) => {
                say!("{fits:.3} times the load fits, and no more was tried");
                Ok(self.end(false, ""))
            }
            (Some(fits), Some(too_much)) => {
                let proven = self.least_missed();
                match proven {
                    Some(missed) => {
                        say!("{fits:.3} times the load fits; {missed:.3} times doesn't")
                    }
                    None => say!("{fits:.3} times the load fits"),
                }
                Ok(self.end(proven.is_none(), &format!("{too_much:.3} times")))
            }
        }
    }

    fn end(&self, is_open: bool, edge: &str) -> Exit {
        if is_open {
            say!("inconclusive at {edge}: it may do or not, more --replications may tell");
        }
        self.again();
        if is_open { Exit::Inconclusive } else { Exit::Done }
    }

    fn holds_with(&mut self, count: u64) -> Result<bool, Exit> {
        let given = self.given(count)?;
        let case = self.arguments.subject.try_load_with(std::slice::from_ref(&given))?;
        let met = match case {
            Some(case) => Some(self.met(&case, self.arguments.growth.unwrap_or(1.0))?),
            // Something else in the scenario needs more; if nothing ever fits, it is told.
            None if count > MAX_COUNT / 2 || self.steps.is_empty() => {
                self.arguments.subject.load_with(&[given], Warnings::Silent)?;
                None
            }
            None => None,
        };
        let holds = met.as_ref().is_some_and(|met| met.finding == Finding::Holds);
        self.steps.push(Step { value: float(count), shown: count.to_string(), met });
        Ok(holds)
    }

    fn holds_at(&mut self, base: &Case, factor: f64) -> Result<bool, Exit> {
        let met = self.met(base, factor)?;
        let holds = met.finding == Finding::Holds;
        self.steps.push(Step { value: factor, shown: format!("{factor:.3}x"), met: Some(met) });
        Ok(holds)
    }

    fn met(&self, case: &Case, growth: f64) -> Result<Met, Exit> {
        let case = case.clone().scaled(growth);
        let mut failure = None;
        let met = meets(&self.conditions, &self.looks, |range| {
            let runs = input::measure_until(&self.stop, &self.pool, &[&case], &self.metrics, range);
            let runs = runs.and_then(|mut runs| runs.pop().flatten().ok_or(Exit::Stopped));
            runs.unwrap_or_else(|exit| {
                failure = Some(exit);
                Vec::new()
            })
        });
        failure.map_or(Ok(met), Err)
    }

    /// Whether the scenario can't be with the number that was tried last.
    fn is_impossible(&self) -> bool {
        self.steps.last().is_some_and(|step| step.met.is_none())
    }

    /// The largest number with which the scenario can be, from one that can to one that can't.
    fn most_possible(&mut self, mut can: u64, mut cannot: u64) -> Result<u64, Exit> {
        self.has_end = true;
        while cannot - can > 1 {
            let middle = can + (cannot - can) / 2;
            let given = self.given(middle)?;
            match self.arguments.subject.try_load_with(std::slice::from_ref(&given))? {
                Some(_) => can = middle,
                None => cannot = middle,
            }
        }
        Ok(can)
    }

    fn given(&self, count: u64) -> Result<Override, Exit> {
        let given = Override::parse(&format!("{}={count}", self.arguments.key));
        given.map(|given| given.of_option("--key")).map_err(|reason| {
            paint::error(&format!("--key {}: {reason}", self.arguments.key));
            Exit::Usage
        })
    }

    fn is_open(&self, is_meant: impl Fn(&Step) -> bool) -> bool {
        let step = self.steps.iter().find(|step| is_meant(step));
        let met = step.and_then(|step| step.met.as_ref());
        met.is_some_and(|met| met.finding == Finding::Open)
    }

    /// Whether twice as many as before changed nothing at all.
    fn more_is_no_better(&self) -> bool {
        let mut last = self.steps.iter().rev().map(|step| step.met.as_ref().map(|met| &met.values));
        matches!((last.next(), last.next()), (Some(Some(one)), Some(Some(other))) if one == other)
    }

    /// The smallest factor that is proven to be too much.
    fn least_missed(&self) -> Option<f64> {
        let missed =
            |step: &&Step| step.met.as_ref().is_some_and(|met| met.finding == Finding::Moved);
        self.steps.iter().filter(missed).map(|step| step.value).min_by(f64::total_cmp)
    }

    /// The steps that were done before Ctrl-C came.
    fn show_stopped(&mut self) {
        if self.steps.is_empty() {
            paint::error("stopped before anything was known");
            return;
        }
        let what = match self.arguments.find {
            Find::Machines => self.arguments.key.clone(),
            Find::Rate => "load".to_owned(),
        };
        self.show(&what);
        say!("partial: stopped after {} steps", self.steps.len());
        self.again();
    }

    fn show(&mut self, what: &str) {
        self.steps.sort_by(|left, right| left.value.total_cmp(&right.value));
        let mut headings = vec![format!(">{what}"), ">RUNS".to_owned(), "SLO".to_owned()];
        headings.extend(self.conditions.iter().map(|condition| format!(">{condition}")));
        let names: Vec<&str> = headings.iter().map(String::as_str).collect();
        let mut table = Table::new(&names);
        for step in &self.steps {
            let Some(met) = &step.met else {
                table.row([step.shown.clone(), "0".to_owned(), "not possible".to_owned()]);
                continue;
            };
            let word = match met.finding {
                Finding::Holds => "met",
                Finding::Moved => "missed",
                Finding::Open => "not known",
            };
            let mut row = vec![step.shown.clone(), met.replications.to_string(), word.to_owned()];
            for (condition, moments) in self.conditions.iter().zip(&met.values) {
                let unit = condition.metric.figure.unit();
                row.push(moments.interval(0.95).map_or("-".to_owned(), |interval| {
                    unit.show_interval(interval.mean, interval.half_width)
                }));
            }
            table.row(row);
        }
        say!("{}", table.text());
    }

    fn again(&self) {
        let arguments = self.arguments;
        let mut command = format!("simulator capacity {}", arguments.subject.words());
        for slo in &arguments.slos {
            command.push_str(&format!(" --slo {}", quoted(slo)));
        }
        match (arguments.find, arguments.growth) {
            (Find::Rate, _) => {
                command.push_str(&format!(
                    " --find rate --precision {}%",
                    arguments.precision * 100.0
                ));
            }
            (Find::Machines, Some(growth)) => command.push_str(&format!(" --growth {growth}x")),
            (Find::Machines, None) => {}
        }
        if arguments.key != "machines" {
            command.push_str(&format!(" --key {}", quoted(&arguments.key)));
        }
        command.push_str(&format!(" --replications {}", arguments.replications));
        say!("\nagain: {command}");
    }
}

/// Whether it is the step of this value, which was stored as it is.
fn same(left: f64, right: f64) -> bool {
    left.total_cmp(&right).is_eq()
}

#[expect(clippy::cast_precision_loss, reason = "at most a hundred thousand")]
fn float(count: u64) -> f64 {
    count as f64
}
