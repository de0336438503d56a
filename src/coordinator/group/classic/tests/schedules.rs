//! Random schedules of a few members, some of which crash the broker, and what must hold in all of them.

use crate::coordinator::breaks::{Break, with_broken};
use crate::coordinator::group::classic::{ClassicGroup, State, subscription};
use crate::coordinator::group::request::{Caller, CommitOffsets, Reply, Request};
use crate::coordinator::group::script::{Bench, Came, text};
use crate::coordinator::{Shard, Ticket};
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};

/// How long anything may be parked: the longest rebalance timeout, with the initial delay within it.
const PATIENCE_MS: i64 = 20_000;
const MEMBERS: [&str; 4] = ["m0", "m1", "m2", "static"];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Its metadata, and whether it has forgotten who it was.
    Join(usize, u8, bool),
    /// How many generations ago.
    Sync(usize, i32),
    Heartbeat(usize, i32),
    Commit(usize, i32),
    Leave(usize),
    Advance(i64),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..MEMBERS.len();
    let old = || prop_oneof![5 => Just(0), 1 => 1..3i32];
    prop_oneof![
        8 => (who(), 0..3u8, prop::bool::weighted(0.1)).prop_map(|(who, said, forgot)| Step::Join(who, said, forgot)),
        6 => (who(), old()).prop_map(|(who, old)| Step::Sync(who, old)),
        4 => (who(), old()).prop_map(|(who, old)| Step::Heartbeat(who, old)),
        1 => (who(), old()).prop_map(|(who, old)| Step::Commit(who, old)),
        1 => who().prop_map(Step::Leave),
        3 => prop_oneof![1..3_000i64, 3_000..12_000i64, Just(10_000i64)].prop_map(Step::Advance),
        1 => Just(Step::Crash),
    ]
}

/// What the members were told, put together.
#[derive(Default)]
struct Told {
    /// Who is of a generation, by instance id where there is one.
    members: BTreeMap<i32, BTreeSet<String>>,
    /// What its leader gave them.
    assignments: BTreeMap<i32, BTreeMap<String, Vec<u8>>>,
    newest: i32,
}

struct Run {
    bench: Bench,
    told: Told,
    /// When a ticket came, and the generation that it spoke of.
    since: BTreeMap<Ticket, (i64, i32)>,
    /// What each leader was told of members, to assign.
    seen: BTreeMap<String, Vec<String>>,
    given: u32,
}

/// A static member is the same under another id.
fn lasting(member_id: &str) -> String {
    if member_id.starts_with("i-") { "i".into() } else { member_id.into() }
}

fn ensure(holds: bool, why: impl Fn() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

impl Run {
    fn new(delay_ms: i32) -> Self {
        let mut bench = Bench::new();
        bench.set(|settings| {
            settings.initial_rebalance_delay_ms = delay_ms;
            settings.offsets_retention_check_interval_ms = i64::MAX;
        });
        let (told, since, seen) = Default::default();
        Run { bench, told, since, seen, given: 0 }
    }

    fn group(&self) -> Option<&ClassicGroup> {
        self.bench.classic("g")
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Join(who, said, forgot) => self.join(MEMBERS[who], said, forgot),
            Step::Sync(who, old) => self.sync(MEMBERS[who], old),
            Step::Heartbeat(who, old) => {
                let client = self.client(MEMBERS[who]);
                let request = HeartbeatRequest::default()
                    .with_group_id(GroupId(text("g")))
                    .with_member_id(text(client.0))
                    .with_generation_id(client.1 - old);
                self.send(MEMBERS[who], "heartbeat", client.1 - old, Request::Heartbeat(request))
            }
            Step::Commit(who, old) => {
                let (member_id, generation) = self.client(MEMBERS[who]);
                let commit = CommitOffsets {
                    group_id: "g".into(),
                    member_id,
                    generation_id_or_member_epoch: generation - old,
                    ..CommitOffsets::default()
                };
                self.send(MEMBERS[who], "commit", generation - old, Request::CommitOffsets(commit))
            }
            Step::Leave(who) => {
                let member = MemberIdentity::default().with_member_id(text(self.client(MEMBERS[who]).0));
                let request = Request::LeaveGroup { group_id: "g".into(), members: vec![member] };
                self.send(MEMBERS[who], "leave", 0, request)
            }
            Step::Advance(by) => self.advance(by),
            Step::Crash => {
                let came = self.bench.crash();
                self.since.clear();
                self.look(&came)
            }
        }
    }

    fn client(&self, name: &str) -> (String, i32) {
        let client = self.bench.clients.get(name).cloned().unwrap_or_default();
        (client.member_id, client.generation)
    }

    fn join(&mut self, name: &str, said: u8, forgot: bool) -> Result<(), String> {
        let instance = (name == "static").then(|| text("i"));
        let member_id = if forgot { String::new() } else { self.client(name).0 };
        let topics = ["a", "b", "a,b"][usize::from(said)];
        let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_member_id(text(member_id))
            .with_group_instance_id(instance)
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(10_000 + 5_000 * i32::from(said))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol.with_metadata(subscription(topics).into())]);
        let version = if name == "m2" { 3 } else { 9 };
        let caller = Caller { version, client_id: name.into(), client_host: String::new() };
        let fresh_id = self.bench.fresh_id();
        self.send(name, "join", 0, Request::JoinGroup { caller, request, fresh_id })
    }

    fn sync(&mut self, name: &str, old: i32) -> Result<(), String> {
        let (member_id, newest) = self.client(name);
        let generation = newest - old;
        let leads = self.bench.clients.get(name).is_some_and(|client| client.leads);
        let known = self.seen.get(name).filter(|_| leads).cloned().unwrap_or_default();
        let mut given = BTreeMap::new();
        for member_id in known {
            self.given += 1;
            if !self.given.is_multiple_of(5) {
                given.insert(member_id, format!("a{}", self.given).into_bytes()); // One in five is forgotten.
            }
        }
        let assignments = given.iter().map(|(member_id, assignment)| {
            let to = SyncGroupRequestAssignment::default().with_member_id(text(member_id.clone()));
            to.with_assignment(assignment.clone().into())
        });
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_member_id(text(member_id))
            .with_generation_id(generation)
            .with_assignments(assignments.collect());
        // The leader's word counts from the moment on that it is heard.
        let is_heard = self.group().is_some_and(|group| {
            group.state() == State::CompletingRebalance
                && group.generation() == generation
                && leads
                && group.leader() == Some(&request.member_id)
        });
        if is_heard {
            let given = given.iter().map(|(member_id, assignment)| (lasting(member_id), assignment.clone()));
            self.told.assignments.insert(generation, given.collect());
        }
        self.send(name, "sync", generation, Request::SyncGroup { caller: Caller::default(), request })
    }

    fn send(&mut self, name: &str, kind: &'static str, generation: i32, request: Request) -> Result<(), String> {
        let before: BTreeSet<Ticket> = self.bench.waiting.keys().copied().collect();
        let came = self.bench.send(name, kind, request);
        for ticket in self.bench.waiting.keys().filter(|ticket| !before.contains(ticket)) {
            self.since.insert(*ticket, (self.bench.now.monotonic, generation));
        }
        let told = came
            .replies
            .iter()
            .any(|(to, reply)| to == name && matches!(reply, Reply::SyncGroup(r) if r.error_code == 0));
        if kind == "sync" && told {
            let is = self.group().map_or(-1, ClassicGroup::generation);
            ensure(is == generation, || format!("a sync of generation {generation} was let into {is}"))?;
        }
        self.look(&came)
    }

    fn advance(&mut self, by: i64) -> Result<(), String> {
        for (_, came) in self.bench.advance(by) {
            self.look(&came)?;
        }
        let now = self.bench.now.monotonic;
        self.since.retain(|ticket, _| self.bench.waiting.contains_key(ticket));
        let late = self.since.iter().find(|(_, (since, _))| now - since > PATIENCE_MS + by);
        ensure(late.is_none(), || format!("parked for too long: {late:?}"))
    }

    /// What must hold after every step.
    fn look(&mut self, came: &Came) -> Result<(), String> {
        for (name, reply) in &came.replies {
            match reply {
                Reply::JoinGroup(told) if told.error_code == 0 => self.look_at_generation(name, told)?,
                Reply::JoinGroup(told) => {
                    let gone = [ErrorCode::UnknownMemberId, ErrorCode::FencedInstanceId].map(ErrorCode::code);
                    if let Some(client) = self.bench.clients.get_mut(name).filter(|_| gone.contains(&told.error_code)) {
                        client.member_id.clear();
                    }
                }
                Reply::SyncGroup(told) if told.error_code == 0 => {
                    // It may have got another id since it asked.
                    let (member_id, _) = self.client(name);
                    if self.group().is_some_and(|group| group.member(&member_id).is_some()) {
                        self.look_at_assignment(&member_id, &told.assignment)?;
                    }
                }
                _ => {}
            }
        }
        let Some(group) = self.group() else { return Ok(()) };
        let (is, newest) = (group.generation(), self.told.newest);
        ensure(is >= newest, || format!("generation {newest} was told, and now it is {is}"))?;
        if group.state() == State::Stable {
            for (member_id, member) in group.members() {
                self.look_at_assignment(member_id, &member.assignment)?;
            }
        }
        Ok(())
    }

    fn look_at_generation(&mut self, name: &str, told: &JoinGroupResponse) -> Result<(), String> {
        let generation = told.generation_id;
        self.told.newest = self.told.newest.max(generation);
        if told.members.is_empty() {
            return Ok(());
        }
        self.seen.insert(name.into(), told.members.iter().map(|member| member.member_id.to_string()).collect());
        let members: BTreeSet<String> = told.members.iter().map(|member| lasting(&member.member_id)).collect();
        let before = self.told.members.entry(generation).or_insert_with(|| members.clone());
        ensure(*before == members, || format!("generation {generation} was {before:?} and is {members:?}"))
    }

    fn look_at_assignment(&self, member_id: &str, assignment: &[u8]) -> Result<(), String> {
        let generation = self.group().map_or(-1, ClassicGroup::generation);
        let given = self.told.assignments.get(&generation).and_then(|given| given.get(&lasting(member_id)));
        let given = given.map_or(&[][..], Vec::as_slice);
        ensure(given == assignment, || {
            format!("{member_id} was given {given:?} in generation {generation} and has {assignment:?}")
        })
    }

    /// Members that live on but do nothing more than that hold nobody up; and when all are silent, nothing is left.
    fn end(&mut self) -> Result<(), String> {
        for _ in 0..10 {
            for who in 0..MEMBERS.len() {
                self.step(Step::Heartbeat(who, 0))?;
            }
            self.advance(3_000)?;
        }
        self.advance(400_000)?;
        ensure(self.bench.waiting.is_empty(), || format!("parked for ever: {:?}", self.bench.waiting))?;
        ensure(self.bench.shard.next_deadline().is_none_or(|at| at > 1 << 40), || "a timer is left".into())?;
        let left = self.group().map_or(0, |group| group.members().count());
        ensure(left == 0, || format!("{left} members are left"))
    }
}

fn run(delay_ms: i32, steps: &[Step]) -> Result<(), String> {
    let mut run = Run::new(delay_ms);
    for (at, step) in steps.iter().enumerate() {
        run.step(*step).map_err(|why| format!("step {at}, {step:?}: {why}"))?;
    }
    run.end().map_err(|why| format!("at the end: {why}"))
}

fn schedules(cases: u32, shrink: bool) -> Result<(), String> {
    let max_shrink_iters = if shrink { 4_096 } else { 0 };
    let config = Config { cases, failure_persistence: None, max_shrink_iters, ..Config::default() };
    let strategy = (prop_oneof![Just(0), Just(3_000)], prop::collection::vec(step(), 1..60));
    let told =
        TestRunner::new(config).run(&strategy, |(delay_ms, steps)| run(delay_ms, &steps).map_err(TestCaseError::fail));
    told.map_err(|why| why.to_string())
}

#[test]
fn in_no_schedule_is_a_generation_told_twice_or_a_request_left_waiting() {
    schedules(1_000, true).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn a_rule_left_out_is_noticed() {
    for rule in [Break::GenerationCheck, Break::SyncTimer, Break::StoredGeneration] {
        let told = with_broken(rule, || schedules(1_000, false));
        assert!(told.is_err(), "{rule:?}");
    }
}
