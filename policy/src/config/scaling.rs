//! The section `scaling` of `policy.yml`. Each rule has a section of its own, and `rule` says which
//! one holds: the others may stay in the file, so that a sweep over `rule` needs nothing else.

use diagnostics::{Diagnostic, Span};
use serde::Deserialize;
use yaml::Spanned;

use super::units::{Length, Part, Ratio};
use crate::Nanoseconds;
use crate::queue::Counts;
use crate::scaling::{
    Arrivals, Behaviour, Entry, Hpa, Keda, Kpa, MOST_LOOKS, Metric, Rule, Scaling, Schedule,
};

#[derive(Debug, Default, Deserialize)]
pub(super) struct ScalingPart {
    rule: Option<Spanned<RuleName>>,
    target: Option<Spanned<u32>>,
    min: Option<Spanned<u32>>,
    max: Option<Spanned<u32>>,
    step: Option<Spanned<u32>>,
    interval: Option<Spanned<Length>>,
    cool_down: Option<Length>,
    scale_in_after: Option<Length>,
    schedule: Option<Spanned<Vec<EntryPart>>>,
    #[serde(default)]
    hpa: HpaPart,
    #[serde(default)]
    kpa: KpaPart,
    #[serde(default)]
    keda: KedaPart,
    #[serde(default)]
    arrivals: ArrivalsPart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RuleName {
    Tasks,
    Hpa,
    Kpa,
    Keda,
    Scheduled,
    Arrivals,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct EntryPart {
    at: Length,
    min: u32,
}

#[derive(Debug, Default, Deserialize)]
struct HpaPart {
    target: Option<Spanned<Ratio>>,
    metric: Option<Metric>,
    tolerance: Option<Part>,
    #[serde(default)]
    up: BehaviourPart,
    #[serde(default)]
    down: BehaviourPart,
}

#[derive(Debug, Default, Deserialize)]
struct BehaviourPart {
    window: Option<Length>,
    part: Option<Ratio>,
    instances: Option<u32>,
    period: Option<Length>,
}

#[derive(Debug, Default, Deserialize)]
struct KpaPart {
    target: Option<Spanned<Ratio>>,
    window: Option<Spanned<Length>>,
    panic_window: Option<Spanned<Length>>,
    panic_threshold: Option<Spanned<Ratio>>,
    up_most: Option<Spanned<Ratio>>,
    down_most: Option<Spanned<Ratio>>,
    scale_in_delay: Option<Length>,
}

#[derive(Debug, Default, Deserialize)]
struct KedaPart {
    queue: Option<Spanned<Ratio>>,
    counts: Option<Counts>,
    activation: Option<u32>,
    cool_down: Option<Length>,
}

#[derive(Debug, Default, Deserialize)]
struct ArrivalsPart {
    utilisation: Option<Spanned<Part>>,
    drain: Option<Spanned<Length>>,
    fast: Option<Spanned<Length>>,
    slow: Option<Spanned<Length>>,
    start_up: Option<Length>,
    scale_in_after: Option<Length>,
    scale_in: Option<Part>,
    scale_in_every: Option<Length>,
}

fn length(given: Option<Length>, base: Nanoseconds) -> Nanoseconds {
    given.map_or(base, |Length(length)| length)
}

fn ratio(given: Option<Spanned<Ratio>>, base: u32) -> u32 {
    given.map_or(base, |given| given.value.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part is between 0 and 1"
)]
fn thousandths(given: Option<Part>, base: u32) -> u32 {
    given.map_or(base, |Part(part)| (part * 1000.0).round() as u32)
}

/// What is wrong with a section.
struct Found<'a>(&'a mut Vec<Diagnostic>);

impl Found<'_> {
    fn wrong(&mut self, span: Option<Span>, message: &str, label: &str) {
        let diagnostic = Diagnostic::error("policy-scaling", message);
        self.0.push(match span {
            Some(span) => diagnostic.at(span, label),
            None => diagnostic.hint(label),
        });
    }

    fn positive(&mut self, given: Option<Spanned<Ratio>>, base: u32, message: &str) -> u32 {
        if given.is_some_and(|given| given.value.0 == 0) {
            self.wrong(given.map(|given| given.span), message, "more than 0");
        }
        ratio(given, base).max(1)
    }
}

impl ScalingPart {
    pub(super) fn over(self, base: Scaling, found: &mut Vec<Diagnostic>) -> Scaling {
        let value = |given: Option<Spanned<u32>>, base| given.map_or(base, |given| given.value);
        let interval = self.interval.map_or(base.interval, |interval| interval.value.0);
        let mut told = Found(found);
        let rule = match self.rule.map(|given| given.value) {
            Some(name) => name,
            None => RuleName::of(&base.rule),
        };
        // All sections are read, so that mistakes are found in those, too, that don't hold now.
        let hpa = self.hpa.over(base.rule.hpa(), &mut told);
        let kpa = self.kpa.over(base.rule.kpa(), &mut told);
        let keda = self.keda.over(base.rule.keda(), hpa, &mut told);
        let arrivals = self.arrivals.over(base.rule.arrivals(), &mut told);
        let scaling = Scaling {
            target: value(self.target, base.target),
            min: value(self.min, base.min),
            max: value(self.max, base.max),
            step: value(self.step, base.step),
            interval,
            cool_down: length(self.cool_down, base.cool_down),
            scale_in_after: self
                .scale_in_after
                .map(|Length(length)| length)
                .or(base.scale_in_after),
            rule: match rule {
                RuleName::Tasks => Rule::Tasks,
                RuleName::Hpa => Rule::Hpa(hpa),
                RuleName::Kpa => Rule::Kpa(kpa),
                RuleName::Keda => Rule::Keda(keda),
                RuleName::Scheduled => Rule::Scheduled,
                RuleName::Arrivals => Rule::Arrivals(arrivals),
            },
            schedule: schedule(self.schedule.as_ref(), base.schedule, &mut told),
        };
        if scaling.min > scaling.max {
            let span = self.max.or(self.min).map(|given| given.span);
            let label = format!("min is {}, max is {}", scaling.min, scaling.max);
            told.wrong(span, "the fewest instances are more than the most", &label);
        }
        if scaling.step == 0 {
            let span = self.step.map(|given| given.span);
            told.wrong(span, "a step of 0 never scales", "at least 1");
        }
        if scaling.interval == Nanoseconds::ZERO {
            let span = self.interval.map(|given| given.span);
            told.wrong(span, "decisions need time between them", "more than 0");
        }
        let (window, most) = (scaling.rule.window(), interval.0.saturating_mul(MOST_LOOKS));
        if window.0 > most && interval > Nanoseconds::ZERO {
            let span = self.interval.map(|given| given.span);
            let span = span.or(self.rule.map(|given| given.span));
            let message = format!("{window} is too long to remember at this interval");
            let label = format!("at most {MOST_LOOKS} looks: {}", Nanoseconds(most));
            told.wrong(span, &message, &label);
        }
        if scaling.rule == Rule::Scheduled && scaling.schedule.is_empty() {
            let span = self.rule.map(|given| given.span);
            let message = "there is no schedule";
            told.wrong(span, message, "add `schedule: [{at: 7h, min: 50}, {at: 20h, min: 10}]`");
        }
        scaling
    }
}

fn schedule(
    given: Option<&Spanned<Vec<EntryPart>>>,
    base: Schedule,
    told: &mut Found<'_>,
) -> Schedule {
    let Some(given) = given else { return base };
    let entry = |part: &EntryPart| Entry { at: part.at.0, min: part.min };
    let entries: Vec<Entry> = given.value.iter().map(entry).collect();
    Schedule::new(&entries).unwrap_or_else(|| {
        let label = format!("at most {} times of a day, ascending, below 24h", Schedule::MOST);
        told.wrong(Some(given.span), "this is no schedule of a day", &label);
        base
    })
}

impl RuleName {
    const fn of(rule: &Rule) -> Self {
        match rule {
            Rule::Tasks => RuleName::Tasks,
            Rule::Hpa(_) => RuleName::Hpa,
            Rule::Kpa(_) => RuleName::Kpa,
            Rule::Keda(_) => RuleName::Keda,
            Rule::Scheduled => RuleName::Scheduled,
            Rule::Arrivals(_) => RuleName::Arrivals,
        }
    }
}

impl HpaPart {
    fn over(self, base: Hpa, told: &mut Found<'_>) -> Hpa {
        Hpa {
            target_thousandths: told.positive(
                self.target,
                base.target_thousandths,
                "a target of 0 is never reached",
            ),
            metric: self.metric.unwrap_or(base.metric),
            tolerance_thousandths: thousandths(self.tolerance, base.tolerance_thousandths),
            up: self.up.over(base.up),
            down: self.down.over(base.down),
        }
    }
}

impl BehaviourPart {
    fn over(self, base: Behaviour) -> Behaviour {
        Behaviour {
            window: length(self.window, base.window),
            part_thousandths: self.part.map_or(base.part_thousandths, |Ratio(part)| part),
            instances: self.instances.unwrap_or(base.instances),
            period: length(self.period, base.period),
        }
    }
}

impl KpaPart {
    fn over(self, base: Kpa, told: &mut Found<'_>) -> Kpa {
        let message = "a target of 0 is never reached";
        let kpa = Kpa {
            target_thousandths: told.positive(self.target, base.target_thousandths, message),
            window: length(self.window.map(|given| given.value), base.window),
            panic_window: length(self.panic_window.map(|given| given.value), base.panic_window),
            panic_threshold_thousandths: ratio(
                self.panic_threshold,
                base.panic_threshold_thousandths,
            ),
            up_most_thousandths: ratio(self.up_most, base.up_most_thousandths),
            down_most_thousandths: ratio(self.down_most, base.down_most_thousandths),
            scale_in_delay: length(self.scale_in_delay, base.scale_in_delay),
        };
        let span = |given: Option<Spanned<Ratio>>| given.map(|given| given.span);
        if kpa.panic_window > kpa.window || kpa.panic_window == Nanoseconds::ZERO {
            let span = self.panic_window.or(self.window).map(|given| given.span);
            let label = format!("more than 0, at most {}", kpa.window);
            told.wrong(span, "the short window isn't within the long one", &label);
        }
        if kpa.panic_threshold_thousandths <= 1000 {
            let message = "there would be a panic all the time";
            told.wrong(span(self.panic_threshold), message, "more than 1");
        }
        if kpa.up_most_thousandths <= 1000 {
            told.wrong(span(self.up_most), "nothing would ever be added", "more than 1");
        }
        if kpa.down_most_thousandths <= 1000 {
            told.wrong(span(self.down_most), "nothing would ever be taken", "more than 1");
        }
        kpa
    }
}

impl KedaPart {
    fn over(self, base: Keda, hpa: Hpa, told: &mut Found<'_>) -> Keda {
        let message = "a queue of 0 for each instance is never reached";
        let queue = told.positive(self.queue, base.hpa.target_thousandths, message);
        Keda {
            counts: self.counts.unwrap_or(base.counts),
            activation: self.activation.unwrap_or(base.activation),
            cool_down: length(self.cool_down, base.cool_down),
            hpa: Hpa { target_thousandths: queue, metric: Metric::Tasks, ..hpa },
        }
    }
}

impl ArrivalsPart {
    fn over(self, base: Arrivals, told: &mut Found<'_>) -> Arrivals {
        let utilisation = self.utilisation.map(|given| given.value);
        let arrivals = Arrivals {
            utilisation_thousandths: thousandths(utilisation, base.utilisation_thousandths),
            drain: length(self.drain.map(|given| given.value), base.drain),
            fast: length(self.fast.map(|given| given.value), base.fast),
            slow: length(self.slow.map(|given| given.value), base.slow),
            start_up: length(self.start_up, base.start_up),
            scale_in_after: length(self.scale_in_after, base.scale_in_after),
            scale_in_thousandths: thousandths(self.scale_in, base.scale_in_thousandths),
            scale_in_every: length(self.scale_in_every, base.scale_in_every),
        };
        if arrivals.utilisation_thousandths == 0 {
            let span = self.utilisation.map(|given| given.span);
            told.wrong(span, "instances that may never be used are never enough", "at least 0.1%");
        }
        if arrivals.drain == Nanoseconds::ZERO {
            let span = self.drain.map(|given| given.span);
            told.wrong(span, "nothing is worked off in no time", "more than 0");
        }
        if arrivals.fast > arrivals.slow || arrivals.fast == Nanoseconds::ZERO {
            let span = self.fast.or(self.slow).map(|given| given.span);
            let label = format!("more than 0, at most {}", arrivals.slow);
            told.wrong(span, "the fast window isn't within the slow one", &label);
        }
        arrivals
    }
}
