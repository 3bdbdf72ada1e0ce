//! Figures of what is shared: links by transfers, machines by apps.

use policy::sharing::Called;
use simulator_kernel::Summary;
use simulator_kernel::gate::Worse;
use simulator_model::{Channel, Lending, Model, Report, Traffic};

use super::{Scope, Statistic, Unit, float, wide};

/// Of the links of all machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// The part that was used, of all machines together.
    Utilisation,
    /// The same of the machine with the most.
    Busiest,
    /// The part of the time in which nothing was left of a link.
    Full,
    /// Times as long as bytes take on a link of their own.
    Slowdown,
}

/// Of slots that are lent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loans {
    /// That borrowers held.
    CoreHours,
    /// Of work on requests that were stopped.
    InVain,
    /// The most slots at a time.
    Most,
    /// Slots that were lent.
    Lent,
    /// Slots that were called back because they were needed.
    Needed,
    /// Requests that were stopped at the deadline.
    Stopped,
    /// From the call until the slot was the lender's again.
    Back(Statistic),
}

impl Carriage {
    /// All of them with their names, behind that of a link.
    pub const ALL: [(&'static str, Carriage); 4] = [
        ("utilisation", Carriage::Utilisation),
        ("busiest", Carriage::Busiest),
        ("full", Carriage::Full),
        ("slowdown", Carriage::Slowdown),
    ];

    pub(super) const fn unit(self) -> Unit {
        match self {
            Carriage::Utilisation | Carriage::Busiest | Carriage::Full => Unit::Part,
            Carriage::Slowdown => Unit::Times,
        }
    }

    pub(super) const fn worse(self) -> Option<Worse> {
        match self {
            Carriage::Utilisation | Carriage::Busiest => None,
            Carriage::Full | Carriage::Slowdown => Some(Worse::More),
        }
    }

    pub(super) fn value(self, channel: Channel, report: &Report) -> Option<f64> {
        let of_it = |traffic: &&Traffic| traffic.channel == channel;
        let traffic = report.traffic.iter().find(of_it)?;
        match self {
            Carriage::Utilisation => traffic.utilisation(),
            Carriage::Busiest => traffic.most_used().map(|(_, used)| used),
            Carriage::Full => traffic.full(),
            Carriage::Slowdown => traffic.slowdown(),
        }
    }
}

impl Loans {
    /// Those without a statistic, with their names.
    pub const SIMPLE: [(&'static str, Loans); 6] = [
        ("lent_core_hours", Loans::CoreHours),
        ("lent_in_vain_core_hours", Loans::InVain),
        ("lent_most", Loans::Most),
        ("lent_slots", Loans::Lent),
        ("lent_needed_back", Loans::Needed),
        ("lent_stopped", Loans::Stopped),
    ];

    pub(super) const fn unit(self) -> Unit {
        match self {
            Loans::CoreHours | Loans::InVain => Unit::CoreHours,
            Loans::Most | Loans::Lent | Loans::Needed | Loans::Stopped => Unit::Count,
            Loans::Back(_) => Unit::Milliseconds,
        }
    }

    pub(super) const fn worse(self) -> Option<Worse> {
        match self {
            Loans::CoreHours | Loans::Most | Loans::Lent => None,
            Loans::InVain | Loans::Needed | Loans::Stopped | Loans::Back(_) => Some(Worse::More),
        }
    }

    /// Of the pairs of an app, or of all.
    pub(super) fn value(self, scope: Scope, model: &Model, report: &Report) -> Option<f64> {
        let pairs = model.sharing().map_or(&[][..], |sharing| &sharing.pairs);
        let chosen: Vec<(f64, &Lending)> = pairs
            .iter()
            .zip(&report.lending)
            .filter(|(pair, _)| match scope {
                Scope::App(app) => pair.lender == app || pair.borrower == app,
                _ => true,
            })
            .map(|(pair, lending)| {
                let cores = model.apps.get(pair.borrower).map_or(1, |app| app.life.needs.cores);
                (f64::from(cores), lending)
            })
            .collect();
        if chosen.is_empty() {
            return None;
        }
        let hours = |time: fn(&Lending) -> u128| {
            chosen.iter().map(|(cores, lending)| cores * wide(time(lending)) / 3.6e12).sum()
        };
        let count = |number: fn(&Lending) -> u64| {
            chosen.iter().map(|(_, lending)| float(number(lending))).sum()
        };
        match self {
            Loans::CoreHours => Some(hours(Lending::held)),
            Loans::InVain => Some(hours(|lending| lending.wasted)),
            Loans::Most => Some(count(|lending| lending.most)),
            Loans::Lent => Some(count(|lending| lending.lent.instances)),
            Loans::Needed => Some(count(|lending| {
                lending.called.get(Called::Needed.index()).map_or(0, |actions| actions.instances)
            })),
            Loans::Stopped => Some(count(|lending| lending.requeued + lending.failed)),
            Loans::Back(statistic) => {
                let mut back = Summary::default();
                chosen.iter().for_each(|(_, lending)| back.merge(&lending.back));
                statistic.of(&back)
            }
        }
    }
}
