//! Admission against an oracle that is written another way: token buckets that are refilled step
//! by step, and multisets of the requests in flight.

use proptest::prelude::*;

use super::*;

/// A token bucket in units of time: full at `burst` intervals, a request costs one.
struct Bucket {
    interval: u64,
    full: u64,
    level: u64,
    at: u64,
}

impl Bucket {
    fn new(interval: u64, burst: u64) -> Self {
        Bucket { interval, full: interval * burst, level: interval * burst, at: 0 }
    }

    fn refill(&mut self, now: u64) {
        while self.at < now {
            self.at += 1;
            self.level = self.full.min(self.level + 1);
        }
    }
}

/// The whole gateway, naively.
struct Naive {
    permits: Option<usize>,
    buckets: [Vec<Option<Bucket>>; 2],
    most: [Option<usize>; 2],
    in_flight: Vec<[usize; 2]>,
}

impl Naive {
    fn admit(&mut self, who: [usize; 2], now: u64) -> Result<(), Refusal> {
        let causes = [
            [Refusal::UserRate, Refusal::UserConcurrency],
            [Refusal::CmdRate, Refusal::CmdConcurrency],
        ];
        if self.permits.is_some_and(|permits| self.in_flight.len() == permits) {
            return Err(Refusal::AcceptPermits);
        }
        for side in 0..2 {
            if let Some(bucket) = &mut self.buckets[side][who[side]] {
                bucket.refill(now);
                if bucket.level < bucket.interval {
                    return Err(causes[side][0]);
                }
            }
            let same = self.in_flight.iter().filter(|other| other[side] == who[side]).count();
            if self.most[side].is_some_and(|most| same >= most) {
                return Err(causes[side][1]);
            }
        }
        for (buckets, who) in self.buckets.iter_mut().zip(who) {
            if let Some(bucket) = &mut buckets[who] {
                bucket.level -= bucket.interval;
            }
        }
        self.in_flight.push(who);
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Step {
    Arrive { after: u64, user: usize, cmd: usize },
    Finish { which: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u64..12, 0usize..3, 0usize..2)
            .prop_map(|(after, user, cmd)| Step::Arrive { after, user, cmd }),
        1 => (0usize..100).prop_map(|which| Step::Finish { which }),
    ]
}

type SideRules = (Option<(u64, u32)>, Option<u32>);

fn side() -> impl Strategy<Value = SideRules> {
    (proptest::option::of((1u64..20, 1u32..5)), proptest::option::of(0u32..5))
}

fn limits((rate, concurrency): SideRules) -> Limits {
    let rate = rate.map(|(interval, burst)| Rate::new(Nanoseconds(interval), burst));
    Limits { rate, concurrency, scope: Scope::Gateway }
}

fn buckets((rate, _): SideRules, count: usize) -> Vec<Option<Bucket>> {
    (0..count).map(|_| rate.map(|(interval, burst)| Bucket::new(interval, burst.into()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn admits_exactly_what_buckets_and_counts_admit(
        permits in proptest::option::of(0u32..6),
        user in side(),
        cmd in side(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let rules = Admission {
            accept: permits.map(|permits| Permits { permits, scope: Scope::Gateway }),
            user: Some(limits(user)),
            cmd: Some(limits(cmd)),
            deadlines: Deadlines::Ignore,
            adaptive: None,
            overload: None,
        };
        let mut naive = Naive {
            permits: permits.map(|permits| permits as usize),
            buckets: [buckets(user, 3), buckets(cmd, 2)],
            most: [user.1.map(|most| most as usize), cmd.1.map(|most| most as usize)],
            in_flight: Vec::new(),
        };
        let mut accepted = 0;
        let mut users = [Account::default(); 3];
        let mut cmds = [Account::default(); 2];
        let candidate = Candidate { deadline: Time(u64::MAX), usual: Nanoseconds::ZERO };
        let mut now = 0;
        for step in steps {
            match step {
                Step::Arrive { after, user, cmd } => {
                    now += after;
                    let before = (accepted, users, cmds);
                    let accounts = Accounts {
                        accepted: &mut accepted,
                        user: &mut users[user],
                        cmd: &mut cmds[cmd],
                        learned: None,
                    };
                    let verdict = admit(&rules, accounts, candidate, Time(now));
                    prop_assert_eq!(verdict, naive.admit([user, cmd], now));
                    if verdict.is_err() {
                        prop_assert_eq!(before, (accepted, users, cmds));
                    }
                }
                Step::Finish { which } => {
                    if naive.in_flight.is_empty() {
                        continue;
                    }
                    let [user, cmd] = naive.in_flight.remove(which % naive.in_flight.len());
                    release(Accounts {
                        accepted: &mut accepted,
                        user: &mut users[user],
                        cmd: &mut cmds[cmd],
                        learned: None,
                    });
                }
            }
            prop_assert_eq!(accepted as usize, naive.in_flight.len());
        }
    }
}

#[test]
fn refuses_what_cannot_be_answered_in_time() {
    let verdict = |deadlines, deadline, usual| {
        let rules = Admission { deadlines, ..Admission::default() };
        let (mut accepted, mut user, mut cmd) = (0, Account::default(), Account::default());
        let accounts =
            Accounts { accepted: &mut accepted, user: &mut user, cmd: &mut cmd, learned: None };
        let candidate = Candidate { deadline: Time(deadline), usual: Nanoseconds(usual) };
        admit(&rules, accounts, candidate, Time(100))
    };
    assert_eq!(verdict(Deadlines::Refuse, 149, 50), Err(Refusal::Deadline));
    assert_eq!(verdict(Deadlines::Refuse, 150, 50), Ok(()));
    assert_eq!(verdict(Deadlines::Refuse, u64::MAX, u64::MAX), Ok(()));
    assert_eq!(verdict(Deadlines::Ignore, 149, 50), Ok(()));
}

#[test]
fn a_burst_passes_at_once_and_then_the_rate_holds() {
    let rate = Rate::new(Nanoseconds(10), 3);
    let limits = Limits { rate: Some(rate), concurrency: None, scope: Scope::Gateway };
    let rules = Admission { user: Some(limits), ..Admission::default() };
    let (mut accepted, mut user, mut cmd) = (0, Account::default(), Account::default());
    let mut passes = |now| {
        let accounts =
            Accounts { accepted: &mut accepted, user: &mut user, cmd: &mut cmd, learned: None };
        let candidate = Candidate { deadline: Time(u64::MAX), usual: Nanoseconds::ZERO };
        admit(&rules, accounts, candidate, Time(now)).is_ok()
    };
    let passed: Vec<bool> = [0, 0, 0, 0, 9, 10, 10, 35, 35].into_iter().map(&mut passes).collect();
    assert_eq!(passed, [true, true, true, false, false, true, false, true, true]);
}
