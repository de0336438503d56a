//! What the shell promises, in small: a reply leaves when all that its shard had emitted by then is durable. Random schedules
//! of commits, joins, reads and crashes that lose what was not; the same schedules find every way of telling too early.

use crate::coordinator::group::request::{Caller, CommitOffset, CommitOffsets, FetchOffsets, Reply, Request};
use crate::coordinator::group::script::{Nothing, text};
use crate::coordinator::group::settings::GroupSettings;
use crate::coordinator::group::{GroupShard, Out, Record};
use crate::coordinator::{Now, Shard, Ticket};
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{GroupId, JoinGroupRequest};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

#[derive(Clone, Copy, Debug)]
enum Step {
    Commit(usize),
    Fetch(usize),
    Join(usize),
    /// So much of what is emitted becomes durable: all, or half.
    Sync(bool),
    Pass(i64),
    Crash,
}

/// When a reply leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    WhenDurable,
    AtOnce,
    /// Of those that emitted nothing themselves.
    ReadsAtOnce,
}

const GROUPS: [&str; 3] = ["a", "b", "c"];

fn step() -> impl Strategy<Value = Step> {
    let group = || 0..GROUPS.len();
    prop_oneof![
        4 => group().prop_map(Step::Commit),
        3 => group().prop_map(Step::Fetch),
        2 => group().prop_map(Step::Join),
        3 => any::<bool>().prop_map(Step::Sync),
        2 => (1..20_000i64).prop_map(Step::Pass),
        1 => Just(Step::Crash),
    ]
}

struct Run {
    shard: GroupShard,
    now: Now,
    log: Vec<Record>,
    durable: usize,
    held: Vec<(usize, Ticket, Reply)>,
    asked: BTreeMap<Ticket, usize>,
    leaves: Leaves,
    next: u64,
    /// The last offset that anybody was told to be committed, by group.
    told_offset: BTreeMap<usize, i64>,
    /// The last generation that anybody was told, and after how many crashes.
    told_generation: BTreeMap<usize, (i32, u32)>,
    crashes: u32,
}

fn empty() -> GroupShard {
    GroupShard::new(Arc::new(GroupSettings::for_tests()), Arc::new(Nothing))
}

impl Run {
    fn new(leaves: Leaves) -> Self {
        let now = Now { monotonic: 0, wall: 1_000_000 };
        let (held, asked) = (Vec::new(), BTreeMap::new());
        let (told_offset, told_generation) = (BTreeMap::new(), BTreeMap::new());
        let log = Vec::new();
        Run {
            shard: empty(),
            now,
            log,
            durable: 0,
            held,
            asked,
            leaves,
            next: 0,
            told_offset,
            told_generation,
            crashes: 0,
        }
    }

    fn take(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Commit(group) => {
                let partition = CommitOffset {
                    topic: "t".into(),
                    topic_id: Uuid::nil(),
                    partition: 0,
                    offset: self.next as i64 + 1,
                    leader_epoch: -1,
                    metadata: None,
                };
                let commit = CommitOffsets {
                    version: 9,
                    // Of its own: one with members takes no offsets of strangers.
                    group_id: format!("offsets-{}", GROUPS[group]),
                    generation_id_or_member_epoch: -1,
                    retention_time_ms: -1,
                    partitions: vec![partition],
                    ..CommitOffsets::default()
                };
                self.ask(group, Request::CommitOffsets(commit))
            }
            Step::Fetch(group) => {
                let group_id = format!("offsets-{}", GROUPS[group]);
                self.ask(group, Request::FetchOffsets(FetchOffsets { group_id, ..FetchOffsets::default() }))
            }
            Step::Join(group) => {
                let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
                let request = JoinGroupRequest::default()
                    .with_group_id(GroupId(text(GROUPS[group])))
                    .with_session_timeout_ms(6_000)
                    .with_rebalance_timeout_ms(6_000)
                    .with_protocol_type(text("connect"))
                    .with_protocols(vec![protocol]);
                let fresh_id = Uuid::from_u128(self.next.into());
                self.ask(group, Request::JoinGroup { caller: Caller::default(), request, fresh_id })
            }
            Step::Sync(all) => {
                self.durable = if all { self.log.len() } else { self.durable + (self.log.len() - self.durable) / 2 };
                self.release()
            }
            Step::Pass(ms) => {
                self.now = Now { monotonic: self.now.monotonic + ms, wall: self.now.wall + ms };
                while self.shard.next_deadline().is_some_and(|at| at <= self.now.monotonic) {
                    let mut out = Out::default();
                    self.shard.on_deadline(self.now, &mut out);
                    self.came(out)?;
                }
                Ok(())
            }
            Step::Crash => {
                self.log.truncate(self.durable);
                self.held.clear();
                self.crashes += 1;
                self.shard = empty();
                self.log.iter().cloned().for_each(|record| self.shard.apply(record));
                let mut out = Out::default();
                self.shard.loaded(self.now, &mut out);
                self.came(out)
            }
        }
    }

    fn ask(&mut self, group: usize, request: Request) -> Result<(), String> {
        self.next += 1;
        let ticket = Ticket(self.next);
        self.asked.insert(ticket, group);
        let mut out = Out::default();
        self.shard.handle(self.now, ticket, request, &mut out);
        self.came(out)
    }

    fn came(&mut self, out: Out) -> Result<(), String> {
        let emits = !out.records.is_empty();
        self.log.extend(out.records);
        let end = match self.leaves {
            Leaves::AtOnce => 0,
            Leaves::ReadsAtOnce if !emits => 0,
            Leaves::WhenDurable | Leaves::ReadsAtOnce => self.log.len(),
        };
        self.held.extend(out.replies.into_iter().map(|(ticket, reply)| (end, ticket, reply)));
        self.release()
    }

    fn release(&mut self) -> Result<(), String> {
        let (told, held) = std::mem::take(&mut self.held).into_iter().partition(|(end, ..)| *end <= self.durable);
        self.held = held;
        let told: Vec<(usize, Ticket, Reply)> = told;
        told.into_iter().try_for_each(|(_, ticket, reply)| self.told(ticket, &reply))
    }

    /// What was told once holds for ever.
    fn told(&mut self, ticket: Ticket, reply: &Reply) -> Result<(), String> {
        let group = self.asked[&ticket];
        let offset = match reply {
            Reply::CommitOffsets(codes) if *codes == Ok(vec![ErrorCode::None]) => Some(ticket.0 as i64),
            Reply::FetchOffsets(Ok(offsets)) => {
                let found = offsets.first().map_or(-1, |offset| offset.offset);
                let before = self.told_offset.get(&group).copied().unwrap_or(-1);
                if found < before {
                    return Err(format!("{}: {found} was read after {before} was told", GROUPS[group]));
                }
                Some(found)
            }
            Reply::JoinGroup(joined) if joined.error_code == 0 => {
                let told = (joined.generation_id, self.crashes);
                let before = self.told_generation.insert(group, told).unwrap_or((0, 0));
                // All members of a generation are told of it, but not by two lives of the coordinator.
                if told.0 < before.0 || (told.0 == before.0 && told.1 != before.1) {
                    return Err(format!("{}: generation and life {told:?} after {before:?}", GROUPS[group]));
                }
                None
            }
            _ => None,
        };
        if let Some(offset) = offset {
            let last = self.told_offset.entry(group).or_insert(-1);
            *last = offset.max(*last);
        }
        Ok(())
    }
}

fn run(leaves: Leaves, steps: &[Step]) -> Result<(), String> {
    let mut run = Run::new(leaves);
    steps.iter().try_for_each(|step| run.take(*step))?;
    run.take(Step::Sync(true))?;
    (0..GROUPS.len()).try_for_each(|group| run.take(Step::Fetch(group)))
}

fn schedules(leaves: Leaves) -> Result<(), String> {
    // The default random source prints the seed of what it finds.
    let mut runner = TestRunner::new(Config { cases: 1_000, failure_persistence: None, ..Config::default() });
    let found =
        runner.run(&prop::collection::vec(step(), 1..60), |steps| run(leaves, &steps).map_err(TestCaseError::fail));
    found.map_err(|error| error.to_string())
}

#[test]
fn what_was_told_holds_after_any_crash() {
    schedules(Leaves::WhenDurable).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_reply_before_it_is_durable_is_noticed() {
    for leaves in [Leaves::AtOnce, Leaves::ReadsAtOnce] {
        assert!(schedules(leaves).is_err(), "{leaves:?} was not noticed");
    }
}
