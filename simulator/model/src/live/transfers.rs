//! Transfers that share links, in the course of a run: sources come to targets, answers are sent.

use policy::{Nanoseconds, Time};

use super::Live;
use super::target::Job;
use super::wires::{Answer, Wires};
use crate::links::Transfers;
use crate::outcome::Served;

impl Live<'_> {
    /// Sources that will be at their targets soon, or have come by now.
    #[cold]
    pub(super) fn receive_sources(&mut self, now: Time) {
        let Some(wires) = &mut self.wires else { return };
        let arrived: Vec<_> = wires.pass_sources(now).collect();
        for arrived in arrived {
            if let Some((target, mut floor, _)) = self.at(arrived.place, now) {
                target.arrives(&arrived, &mut floor);
            }
        }
    }

    /// Answers to work that has just ended at a target begin their way.
    pub(super) fn answer_over_links(&mut self, place: u32, ended: &mut Vec<(Job, u32, Time)>) {
        let Some((app, machine)) =
            self.targets.get(place as usize).map(|target| (target.app, target.machine))
        else {
            return;
        };
        for (job, target, end) in ended.drain(..) {
            let answer = Answer { job, app, target, end };
            match (self.paths.back(&job.arrival), self.wires.as_deref_mut()) {
                (Some(leg), Some(wires)) => wires.send(answer, machine, leg),
                _ => self.answered(&answer, end + job.respond),
            }
        }
    }

    /// Answers that have been sent by now.
    #[cold]
    pub(super) fn send_answers(&mut self, now: Time) {
        while let Some((answer, at)) =
            self.wires.as_deref_mut().and_then(|wires| wires.pass_answers(now))
        {
            // It holds nothing from now on.
            let job = Job { respond: Nanoseconds::ZERO, ..answer.job };
            self.answered(&Answer { job, ..answer }, at);
        }
        if let Some(wires) = &mut self.wires {
            wires.flows().for_each(|flow| self.record.flow(flow));
        }
    }

    fn answered(&mut self, answer: &Answer, at: Time) {
        let Answer { job, app, target, end } = *answer;
        let transfers = self
            .paths
            .has(job.arrival.source)
            .then(|| Transfers { download: job.download, respond: at.since(end) });
        let served = Served { transfers, ..Served::new(target, job.start, end) };
        if let Some(mut rest) = self.rest(app as usize) {
            rest.serve(&job, served, at);
        }
    }

    /// Answers of an app fail that a machine was sending when it failed: how many.
    pub(super) fn lose_answers(&mut self, app: usize, machine: u32, now: Time) -> u32 {
        let Some(number) = u32::try_from(app).ok() else { return 0 };
        let wires = self.wires.as_deref_mut();
        let lost = wires.map_or_else(Vec::new, |wires| wires.drop_answers(number, machine, now));
        for answer in &lost {
            if let Some(mut rest) = self.rest(app) {
                rest.fail(&answer.job.arrival, now);
            }
        }
        u32::try_from(lost.len()).unwrap_or(u32::MAX)
    }

    /// When a source may come next whose arrival lets somebody leave.
    pub(super) fn next_source(&self) -> Option<Time> {
        self.wires.as_deref().and_then(Wires::next_arrival)
    }
}
