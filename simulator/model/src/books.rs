//! What the fast engines know of sources, and their accounts of admission.

use policy::admission::{Account, Candidate};
use policy::{Accounts, Class, Nanoseconds, Scope, Time};

use crate::adaptive::{Heard, Learners};
use crate::gates::Waits;
use crate::model::{Cmd, Model, Source};

/// What must be known of requests of one source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceInfo {
    pub cmd: u32,
    pub app: u32,
    pub class: Class,
    pub deadline: Nanoseconds,
    pub usual: Nanoseconds,
    /// The mean.
    pub expected: Nanoseconds,
}

impl SourceInfo {
    pub(crate) fn new(model: &Model, source: &Source) -> Self {
        let cmd = model.cmds.get(source.cmd);
        let class = model.tenants.get(source.tenants).map_or(Class::Free, |group| group.class);
        SourceInfo {
            cmd: u32::try_from(source.cmd).unwrap_or(u32::MAX),
            app: cmd.map_or(u32::MAX, |cmd| u32::try_from(cmd.app).unwrap_or(u32::MAX)),
            class,
            deadline: cmd.and_then(|cmd| cmd.deadline).unwrap_or(Nanoseconds(u64::MAX)),
            usual: cmd.map_or(Nanoseconds::ZERO, |cmd| cmd.service.median()),
            expected: cmd.map_or(Nanoseconds::ZERO, Cmd::expected),
        }
    }

    /// What admission must know of a request that comes then.
    #[inline(always)]
    pub(crate) fn candidate(&self, at: Time) -> Candidate {
        Candidate { deadline: at + self.deadline, usual: self.usual }
    }
}

/// The accounts of admission.
#[derive(Debug)]
pub(crate) struct Books {
    accepted: Vec<u32>,
    users: Vec<Account>,
    cmds: Vec<Account>,
    /// From one gateway to the next in each table; 0 if they count together.
    accepted_step: usize,
    users_step: usize,
    cmds_step: usize,
    /// If any rule learns.
    learners: Option<Box<Learners>>,
}

impl Books {
    pub(crate) fn new(model: &Model) -> Self {
        let rules = &model.admission;
        let gateways = usize::from(model.gateways.max(1));
        let step = |scope: Option<Scope>, length: usize| match scope {
            Some(Scope::Gateway) => length,
            // What no rule looks at needs no table for each gateway.
            Some(Scope::Cluster) | None => 0,
        };
        let (users, cmds) = (model.users().max(1), model.cmds.len().max(1));
        let accepted_step = step(rules.accept.map(|accept| accept.scope), 1);
        let users_step = step(rules.user.map(|limits| limits.scope), users);
        let cmds_step = step(rules.cmd.map(|limits| limits.scope), cmds);
        let length = |step: usize, one: usize| if step == 0 { one } else { step * gateways };
        Books {
            accepted: vec![0; length(accepted_step, 1)],
            users: vec![Account::default(); length(users_step, users)],
            cmds: vec![Account::default(); length(cmds_step, cmds)],
            accepted_step,
            users_step,
            cmds_step,
            learners: Learners::new(model),
        }
    }

    #[inline(always)]
    pub(crate) fn with<T>(
        &mut self,
        gateway: u16,
        user: u32,
        cmd: u32,
        act: impl FnOnce(Accounts<'_>) -> T,
    ) -> T {
        let (accounts, _) = self.open(gateway, user, cmd);
        act(accounts)
    }

    /// The accounts of a request, and beside them what was learned.
    #[inline(always)]
    #[expect(
        clippy::indexing_slicing,
        reason = "tables are cut for all gateways, users and commands of the model"
    )]
    fn open(
        &mut self,
        gateway: u16,
        user: u32,
        cmd: u32,
    ) -> (Accounts<'_>, &mut Option<Box<Learners>>) {
        let gateway = usize::from(gateway);
        let accounts = Accounts {
            accepted: &mut self.accepted[gateway * self.accepted_step],
            user: &mut self.users[gateway * self.users_step + user as usize],
            cmd: &mut self.cmds[gateway * self.cmds_step + cmd as usize],
            learned: None,
        };
        (accounts, &mut self.learners)
    }

    /// The same for a request that arrives now: rules that learn have heard of everything then, and
    /// of how long what has begun has waited.
    #[inline(always)]
    pub(crate) fn ask<T>(
        &mut self,
        who: (u16, u32, &SourceInfo),
        now: Time,
        waits: &mut Option<Box<Waits>>,
        act: impl FnOnce(Accounts<'_>) -> T,
    ) -> T {
        let (gateway, user, info) = who;
        let (accounts, learners) = self.open(gateway, user, info.cmd);
        let mut known;
        let learned = match learners {
            Some(learners) => {
                known = learners.at(who, now, waits.as_deref_mut());
                Some(&mut known)
            }
            None => None,
        };
        act(Accounts { learned, ..accounts })
    }

    /// Whether anybody wants to hear of answers.
    #[inline(always)]
    pub(crate) fn adapts(&self) -> bool {
        self.learners.as_ref().is_some_and(|learners| learners.limiters().is_some())
    }

    /// A gateway will hear of an answer.
    pub(crate) fn expect(&mut self, heard: Heard) {
        if let Some(learners) = &mut self.learners {
            learners.expect(heard);
        }
    }
}
