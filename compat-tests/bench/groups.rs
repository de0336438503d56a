//! Classic groups in a storm, and how soon very many groups are back after a restart.
//!
//! A member is a task with a connection of its own and speaks the protocol by hand: join, sync, heartbeat. In the storm
//! members leave, vanish without a word and come, all through it; then the time is taken until every group is at rest:
//! all its members are in one generation, and its leader saw no others. Commits are left out of the storm.

use crate::asking::{Connection, frame, text};
use crate::process::{MEMORY, Process, fresh_dir};
use crate::{Options, Spread, raw};
use anyhow::{Context, bail};
use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long the storm lasts.
const STORM: Duration = Duration::from_secs(10);
/// Each member is hit once in this time, on average.
const HIT_EVERY: Duration = Duration::from_secs(20);
const HEARTBEAT: Duration = Duration::from_secs(1);
const SESSION_TIMEOUT_MS: i32 = 6_000;
const REBALANCE_TIMEOUT_MS: i32 = 10_000;
/// Groups that come back after a restart, and their offsets.
const MANY: usize = 100_000;

const JOIN: i16 = 5;
const LOAD_IN_PROGRESS: i16 = 14;
const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER_ID: i16 = 25;
const REBALANCE_IN_PROGRESS: i16 = 27;
const MEMBER_ID_REQUIRED: i16 = 79;

pub fn run(_: &Options) -> anyhow::Result<()> {
    println!("| groups | converged after the storm | goal | heartbeats in it | p50 | p99 | most | goal of p99 |");
    println!("|---|---|---|---|---|---|---|---|");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for (groups, members) in [(1_000, 3), (1, 500)] {
        let dir = fresh_dir(MEMORY)?;
        let mut broker = Process::ottla(dir.path(), &[])?;
        broker.ready()?;
        let found = runtime.block_on(storm(broker.port, groups, members))?;
        println!("| {groups} of {members} {found} | 100 ms |");
        broker.stop()?;
    }
    println!();
    reload(&runtime)
}

/// Who is in a group, as far as its members know.
#[derive(Default)]
struct Group {
    /// Those who have not been told to go, by number, and the generation they last were in.
    alive: BTreeMap<usize, i32>,
    /// What the leader of the latest generation saw: the generation, and how many members it had.
    led: (i32, usize),
    started: usize,
}

impl Group {
    fn is_at_rest(&self) -> bool {
        self.alive.values().all(|generation| *generation == self.led.0) && self.alive.len() == self.led.1
    }
}

/// What a storm came to.
struct Found {
    converged: Duration,
    /// Milliseconds.
    heartbeats: Vec<f64>,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at =
            |share: f64| self.heartbeats.get(((self.heartbeats.len() - 1) as f64 * share) as usize).unwrap_or(&0.0);
        let goal = REBALANCE_TIMEOUT_MS / 1000 + 5;
        let (p50, p99, most) = (at(0.5), at(0.99), at(1.0));
        let (s, n) = (self.converged.as_secs_f64(), self.heartbeats.len());
        write!(f, "| {s:.1} s | {goal} s | {n} | {p50:.1} ms | {p99:.1} ms | {most:.1} ms")
    }
}

async fn storm(port: u16, groups: usize, members: usize) -> anyhow::Result<Found> {
    Connection::open(port).await?.find().await?;
    let world = Arc::new(World { port, groups: (0..groups).map(|_| Mutex::default()).collect(), ..World::default() });
    let mut tasks: Vec<Vec<(usize, JoinHandle<()>)>> = Vec::new();
    for group in 0..groups {
        tasks.push((0..members).map(|_| world.clone().start(group)).collect());
    }
    world.rest().await?;
    let (began, mut seed) = (Instant::now(), 1_u64);
    world.heartbeats.lock().clear();
    let pause = HIT_EVERY / (groups * members) as u32;
    let mut hits = 0;
    while began.elapsed() < STORM {
        // A few at a time, as timers are coarse.
        while pause * hits < began.elapsed() {
            hits += 1;
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let group = (seed >> 33) as usize % groups;
            let of_group = tasks.get_mut(group).context("no such group")?;
            let (name, task) = of_group.remove(0);
            // Of two, one leaves and the other is gone with its connection.
            world.group(group).alive.remove(&name);
            if hits % 2 == 0 {
                task.abort();
            }
            of_group.push(world.clone().start(group));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let calm = Instant::now();
    world.rest().await?;
    let converged = calm.elapsed();
    let mut heartbeats = std::mem::take(&mut *world.heartbeats.lock());
    heartbeats.sort_by(f64::total_cmp);
    tasks.iter().flatten().for_each(|(_, task)| task.abort());
    Ok(Found { converged, heartbeats })
}

/// All groups of a storm.
#[derive(Default)]
struct World {
    port: u16,
    groups: Vec<Mutex<Group>>,
    heartbeats: Mutex<Vec<f64>>,
}

impl World {
    fn group(&self, at: usize) -> MutexGuard<'_, Group> {
        self.groups[at].lock()
    }

    /// Waits until every group is at rest.
    async fn rest(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while let Some(at) = (0..self.groups.len()).find(|at| !self.group(*at).is_at_rest()) {
            if began.elapsed() > Duration::from_secs(120) {
                bail!("group {at} comes to no rest: {:?}", self.group(at).led);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Starts a member; gives its number.
    fn start(self: Arc<Self>, group: usize) -> (usize, JoinHandle<()>) {
        let name = {
            let mut state = self.group(group);
            state.started += 1;
            let name = state.started;
            state.alive.insert(name, -1);
            name
        };
        let task = tokio::spawn(async move {
            if let Err(error) = self.live(group, name).await {
                eprintln!("member {name} of group {group}: {error:#}");
            }
        });
        (name, task)
    }

    /// A member's life, until it is no longer among the living.
    async fn live(&self, group: usize, name: usize) -> anyhow::Result<()> {
        let mut connection = Connection::open(self.port).await?;
        let id = GroupId(text(&format!("group-{group}")));
        let mut member_id = StrBytes::default();
        while self.group(group).alive.contains_key(&name) {
            let joined = connection.join(&id, &member_id).await?;
            match joined.error_code {
                0 => member_id = joined.member_id.clone(),
                MEMBER_ID_REQUIRED => {
                    member_id = joined.member_id;
                    continue;
                }
                UNKNOWN_MEMBER_ID => {
                    member_id = StrBytes::default();
                    continue;
                }
                REBALANCE_IN_PROGRESS => continue,
                LOAD_IN_PROGRESS => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
                code => bail!("JoinGroup: {code}"),
            }
            match connection.sync(&id, &joined).await? {
                0 => {}
                UNKNOWN_MEMBER_ID | ILLEGAL_GENERATION | REBALANCE_IN_PROGRESS => continue,
                code => bail!("SyncGroup: {code}"),
            }
            self.note(group, name, &joined);
            self.beat(&mut connection, &id, &joined, || self.group(group).alive.contains_key(&name)).await?;
        }
        connection.leave(&id, &member_id).await
    }

    /// A member has been given its share.
    fn note(&self, group: usize, name: usize, joined: &JoinGroupResponse) {
        let mut state = self.group(group);
        if let Some(generation) = state.alive.get_mut(&name) {
            *generation = joined.generation_id;
        }
        if joined.leader == joined.member_id {
            state.led = (joined.generation_id, joined.members.len());
        }
    }

    /// Heartbeats until something is new.
    async fn beat(
        &self,
        connection: &mut Connection,
        id: &GroupId,
        joined: &JoinGroupResponse,
        stays: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let request = HeartbeatRequest::default()
            .with_group_id(id.clone())
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone());
        while stays() {
            let began = Instant::now();
            let code = connection.ask(3, &request).await?.error_code;
            self.heartbeats.lock().push(began.elapsed().as_secs_f64() * 1000.0);
            if code != 0 {
                return Ok(());
            }
            tokio::time::sleep(HEARTBEAT).await;
        }
        Ok(())
    }
}

impl Connection {
    /// Asks for the coordinator, which makes its topic, until there is one.
    async fn find(&mut self) -> anyhow::Result<()> {
        while self.ask(1, &FindCoordinatorRequest::default().with_key(text("any"))).await?.error_code != 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn join(&mut self, group: &GroupId, member_id: &StrBytes) -> anyhow::Result<JoinGroupResponse> {
        let metadata = Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\0\0\0\0");
        let range = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(metadata);
        let request = JoinGroupRequest::default()
            .with_group_id(group.clone())
            .with_session_timeout_ms(SESSION_TIMEOUT_MS)
            .with_rebalance_timeout_ms(REBALANCE_TIMEOUT_MS)
            .with_member_id(member_id.clone())
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![range]);
        self.ask(JOIN, &request).await
    }

    /// The leader gives everybody the same few bytes: nobody reads them.
    async fn sync(&mut self, group: &GroupId, joined: &JoinGroupResponse) -> anyhow::Result<i16> {
        let given = joined.members.iter().map(|member| {
            let assignment = Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\0");
            SyncGroupRequestAssignment::default().with_member_id(member.member_id.clone()).with_assignment(assignment)
        });
        let request = SyncGroupRequest::default()
            .with_group_id(group.clone())
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone())
            .with_assignments(given.collect());
        Ok(self.ask(3, &request).await?.error_code)
    }

    async fn leave(&mut self, group: &GroupId, member_id: &StrBytes) -> anyhow::Result<()> {
        let member = MemberIdentity::default().with_member_id(member_id.clone());
        let request = LeaveGroupRequest::default().with_group_id(group.clone()).with_members(vec![member]);
        self.ask(3, &request).await.map(|_| ())
    }
}

/// A broker's memory before and after it has loaded every partition of `__consumer_offsets`, and how long that took.
fn reload(runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    let dir = fresh_dir(MEMORY)?;
    let start = || -> anyhow::Result<(Process, f64, f64)> {
        let mut broker = Process::ottla(dir.path(), &[])?;
        broker.ready()?;
        runtime.block_on(all_loaded(broker.port))?;
        let (seconds, kib) = (broker.began.elapsed().as_secs_f64(), broker.resident_kib()? as f64);
        Ok((broker, seconds, kib))
    };
    let (broker, empty_seconds, empty_kib) = start()?;
    raw::touch_topic(&mut raw::connect(broker.port)?, "t")?;
    runtime.block_on(commit_many(broker.port))?;
    broker.kill()?;
    let rounds: Vec<(f64, f64)> = (0..3)
        .map(|_| {
            let (broker, seconds, kib) = start()?;
            broker.kill()?;
            Ok((seconds - empty_seconds, (kib - empty_kib) * 1024.0 / MANY as f64))
        })
        .collect::<anyhow::Result<_>>()?;
    let (seconds, bytes) = rounds.into_iter().unzip();
    println!("| {MANY} groups with an offset each, after kill -9 | figure | goal |");
    println!("|---|---|---|");
    println!("| loaded, beyond the start of an empty broker | {:.2} s | 5 s |", Spread::of(seconds));
    println!("| resident, a group | {:.0} bytes | 1024 bytes |", Spread::of(bytes));
    println!();
    Ok(())
}

/// Asks for an offset in groups of every partition, until all are answered.
async fn all_loaded(port: u16) -> anyhow::Result<()> {
    let mut connection = Connection::open(port).await?;
    connection.find().await?;
    // So many that none of the fifty partitions is missed.
    for group in 0..1_000 {
        let topic = OffsetFetchRequestTopic::default().with_name(TopicName(text("t"))).with_partition_indexes(vec![0]);
        let request = OffsetFetchRequest::default()
            .with_group_id(GroupId(text(&format!("many-{group}"))))
            .with_topics(Some(vec![topic]));
        while connection.ask(5, &request).await?.error_code != 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(())
}

async fn commit_many(port: u16) -> anyhow::Result<()> {
    const AT_ONCE: usize = 200;
    let mut connection = Connection::open(port).await?;
    for first in (0..MANY).step_by(AT_ONCE) {
        let mut frames = Vec::new();
        for group in first..first + AT_ONCE {
            let partition = OffsetCommitRequestPartition::default().with_committed_offset(7);
            let topic =
                OffsetCommitRequestTopic::default().with_name(TopicName(text("t"))).with_partitions(vec![partition]);
            let request = OffsetCommitRequest::default()
                .with_group_id(GroupId(text(&format!("many-{group}"))))
                .with_generation_id_or_member_epoch(-1)
                .with_topics(vec![topic]);
            frames.extend(frame(8, &request)?);
        }
        connection.send(&frames).await?;
        for _ in 0..AT_ONCE {
            let answer = connection.answer::<OffsetCommitRequest>(8).await?;
            let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
            let code = partition.context("no answer")?.error_code;
            if code != 0 {
                bail!("OffsetCommit: {code}");
            }
        }
    }
    Ok(())
}
