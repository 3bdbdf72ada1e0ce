//! Requests from outside, such as those of a trace, at some gateways.

use std::collections::VecDeque;
use std::ops::Range;

use super::sorter::Sorter;
use super::{Key, Request};
use crate::fed::Feed;
use crate::model::Model;
use crate::workload::Workload;

/// Each lane reads all of them and takes those of its gateways: which one a request reaches, and what it
/// doesn't say itself, depends on its number among those of its source.
#[derive(Debug)]
pub(super) struct Outside<'model> {
    workload: Workload<'model>,
    gateways: Range<u16>,
    sources: usize,
    /// For each gateway and source, how many came.
    counts: Vec<u64>,
    /// Those that were read and not handed out, in the order of time.
    read: VecDeque<Request>,
    is_over: bool,
    /// Those of a block of time.
    block: Vec<Request>,
}

impl<'model> Outside<'model> {
    /// At a range of gateways of a model.
    pub(super) fn new(
        model: &'model Model,
        gateways: Range<u16>,
        feed: Box<dyn Feed + 'model>,
    ) -> Self {
        let count = usize::from(gateways.end - gateways.start);
        Outside {
            workload: Workload::fed(model, feed),
            gateways,
            sources: model.sources.len(),
            counts: vec![0; count * model.sources.len()],
            read: VecDeque::new(),
            is_over: false,
            block: Vec::new(),
        }
    }

    /// Hands out what arrives before a time: of one gateway after the other, as lanes must have those of
    /// the same instant.
    pub(super) fn take(&mut self, until: u64, sorter: &mut Sorter) {
        while !self.is_over && self.read.back().is_none_or(|last| last.at < until) {
            self.is_over = !self.read_on();
        }
        self.block.clear();
        while let Some(request) = self.read.pop_front_if(|request| request.at < until) {
            self.block.push(request);
        }
        self.block.sort_by_key(|request| Key::parts(request.key).0);
        sorter.reserve(self.block.len());
        self.block.iter().for_each(|request| sorter.take(*request));
    }

    /// Reads some more; false if there are none.
    fn read_on(&mut self) -> bool {
        let Outside { workload, gateways, sources, counts, read, .. } = self;
        let Some(run) = workload.next_run() else { return false };
        for arrival in run.arrivals().filter(|arrival| gateways.contains(&arrival.gateway)) {
            let gateway = usize::from(arrival.gateway - gateways.start);
            let place = gateway * *sources + usize::from(arrival.source);
            let Some(count) = counts.get_mut(place) else { continue };
            read.push_back(Request {
                at: arrival.at.0,
                service: arrival.service.0,
                key: Key::first(arrival.gateway, arrival.source) + *count,
                user: arrival.user,
                target: 0,
            });
            *count += 1;
        }
        true
    }
}
