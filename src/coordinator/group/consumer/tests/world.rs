//! What the tests have in place of a broker: topics that can be changed, a clock, and a second shard that only replays.

use crate::coordinator::group::consumer::{ConsumerGroup, State};
use crate::coordinator::group::records::Record;
use crate::coordinator::group::request::{Caller, Reply, Request};
use crate::coordinator::group::settings::{GroupOverrides, GroupSettings, TopicInfo, Topics, World};
use crate::coordinator::group::{Group, GroupShard};
use crate::coordinator::{Effects, Now, Shard, Ticket};
use crate::wire::errors::ErrorCode;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

pub const GROUP: &str = "g";

#[derive(Clone, Default)]
pub struct TestTopics {
    version: u64,
    topics: BTreeMap<Arc<str>, TopicInfo>,
}

impl Topics for TestTopics {
    fn version(&self) -> u64 {
        self.version
    }

    fn by_name(&self, name: &str) -> Option<TopicInfo> {
        self.topics.get(name).cloned()
    }

    fn by_id(&self, id: Uuid) -> Option<TopicInfo> {
        self.topics.values().find(|topic| topic.id == id).cloned()
    }

    fn each(&self, f: &mut dyn FnMut(&TopicInfo)) {
        self.topics.values().for_each(f);
    }
}

#[derive(Default)]
pub struct TestWorld {
    topics: Mutex<TestTopics>,
    pub overrides: Mutex<GroupOverrides>,
}

impl World for TestWorld {
    fn topics(&self) -> Arc<dyn Topics> {
        Arc::new(self.topics.lock().clone())
    }

    fn overrides(&self, _group_id: &str) -> GroupOverrides {
        *self.overrides.lock()
    }
}

/// A shard under test.
pub struct Bench {
    pub settings: GroupSettings,
    pub world: Arc<TestWorld>,
    pub shard: GroupShard,
    pub replica: GroupShard,
    pub now: Now,
    pub log: Vec<Record>,
    /// Whether the two shards are compared only on demand.
    pub quick: bool,
    /// Replies to requests that had to wait, for whoever asks for them.
    pub inbox: Vec<(Ticket, Reply)>,
    /// Records of the last step.
    pub records: Vec<Record>,
    tickets: u64,
    ids: u128,
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The id of a topic of the tests: by its name, and by how often it was made.
pub fn topic_id(name: &str, made: u64) -> Uuid {
    Uuid::from_u64_pair(made, name.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte)))
}

impl Bench {
    pub fn new() -> Self {
        let mut settings = GroupSettings::for_tests();
        settings.consumer.assignment_interval_ms = 0;
        Bench::with(settings)
    }

    pub fn with(settings: GroupSettings) -> Self {
        let world = Arc::new(TestWorld::default());
        let shard = || GroupShard::new(Arc::new(settings.clone()), world.clone());
        Bench {
            shard: shard(),
            replica: shard(),
            settings,
            world: world.clone(),
            now: Now { monotonic: 1_000, wall: 1_000_000 },
            log: Vec::new(),
            quick: false,
            inbox: Vec::new(),
            records: Vec::new(),
            tickets: 0,
            ids: 0,
        }
    }

    pub fn topic(&mut self, name: &str, partitions: i32) -> Uuid {
        let mut topics = self.world.topics.lock();
        topics.version += 1;
        let id = topics.topics.get(name).map_or_else(|| topic_id(name, topics.version), |topic| topic.id);
        topics.topics.insert(name.into(), TopicInfo { name: name.into(), id, partitions });
        id
    }

    pub fn delete_topic(&mut self, name: &str) {
        let mut topics = self.world.topics.lock();
        topics.version += 1;
        topics.topics.remove(name);
    }

    pub fn topics(&self) -> TestTopics {
        self.world.topics.lock().clone()
    }

    fn step<T>(
        &mut self,
        f: impl FnOnce(&mut GroupShard, Now, Ticket, &mut Effects<Record, Reply>) -> T,
    ) -> (T, Vec<(Ticket, Reply)>) {
        self.tickets += 1;
        let mut out = Effects::default();
        let value = f(&mut self.shard, self.now, Ticket(self.tickets), &mut out);
        for record in &out.records {
            self.replica.apply(record.clone());
        }
        self.log.extend(out.records.iter().cloned());
        self.records = out.records;
        if !self.quick {
            self.check_replica();
        }
        (value, out.replies)
    }

    /// What is durable is what the records make of it, and nothing else.
    pub fn check_replica(&self) {
        let of = |shard: &GroupShard| match shard.group(GROUP) {
            Some(Group::Consumer(_)) => "consumer",
            Some(Group::Classic(group)) if group.durable().is_some() => "classic",
            _ => "none",
        };
        assert_eq!(of(&self.shard), of(&self.replica), "{:?}", self.records);
        if let (Some(Group::Consumer(a)), Some(Group::Consumer(b))) =
            (self.shard.group(GROUP), self.replica.group(GROUP))
        {
            assert_eq!(a.durable(), b.durable());
        }
        if let (Some(Group::Classic(a)), Some(Group::Classic(b))) = (self.shard.group(GROUP), self.replica.group(GROUP))
        {
            assert_eq!(a.durable(), b.durable());
        }
    }

    pub fn request(&mut self, request: Request) -> (Ticket, Vec<(Ticket, Reply)>) {
        self.step(|shard, now, ticket, out| {
            shard.handle(now, ticket, request, out);
            ticket
        })
    }

    /// A request that is answered at once.
    pub fn ask(&mut self, request: Request) -> Reply {
        let (ticket, mut replies) = self.request(request);
        let at = replies.iter().position(|(of, _)| *of == ticket).expect("answered");
        let reply = replies.swap_remove(at).1;
        self.inbox.extend(replies);
        reply
    }

    pub fn fresh_id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    pub fn heartbeat_of(
        &mut self,
        version: i16,
        request: ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let caller = Caller { version, client_id: "client".into(), client_host: "/127.0.0.1".into() };
        let fresh_id = self.fresh_id();
        match self.ask(Request::ConsumerGroupHeartbeat { caller, request, fresh_id }) {
            Reply::ConsumerGroupHeartbeat(response) => response,
            other => panic!("{other:?}"),
        }
    }

    pub fn heartbeat(&mut self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        self.heartbeat_of(1, request)
    }

    /// Moves the clocks and does what is due on the way.
    pub fn pass(&mut self, ms: i64) -> Vec<(Ticket, Reply)> {
        let until = self.now.monotonic + ms;
        let wall = self.now.wall + ms;
        let mut replies = Vec::new();
        let mut records = Vec::new();
        while let Some(at) = self.shard.next_deadline().filter(|at| *at <= until) {
            self.now = Now { monotonic: at, wall: wall - (until - at) };
            let ((), more) = self.step(|shard, now, _, out| shard.on_deadline(now, out));
            replies.extend(more);
            records.append(&mut self.records);
        }
        self.now = Now { monotonic: until, wall };
        self.records = records;
        replies
    }

    /// The coordinator is gone and comes back from its records.
    pub fn crash(&mut self) {
        let mut shard = GroupShard::new(Arc::new(self.settings.clone()), self.world.clone());
        for record in &self.log {
            shard.apply(record.clone());
        }
        self.shard = shard;
        self.check_replica();
        let ((), replies) = self.step(|shard, now, _, out| shard.loaded(now, out));
        self.inbox.extend(replies);
    }

    pub fn group(&self) -> &ConsumerGroup {
        match self.shard.group(GROUP) {
            Some(Group::Consumer(group)) => group,
            other => panic!("{other:?}"),
        }
    }

    pub fn state(&self) -> &State {
        self.group().durable()
    }

    /// Epoch of the group and of its target assignment.
    pub fn epochs(&self) -> (i32, i32) {
        (counted(self.state().epoch), counted(self.state().assignment_epoch))
    }
}

/// A group begins in epoch 1 and goes to 2 with its first member, as with Kafka 4.3. Tests count from that first one on.
pub fn counted(epoch: i32) -> i32 {
    if epoch > 0 { epoch - 1 } else { epoch }
}

/// A heartbeat with nothing but an epoch in it.
pub fn beat(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_member_id(text(member))
        .with_member_epoch(if epoch > 0 { epoch + 1 } else { epoch })
        .with_rebalance_timeout_ms(-1)
        .with_topic_partitions(None)
        .with_subscribed_topic_names(None)
}

/// A heartbeat that says what the member owns.
pub fn owning(member: &str, epoch: i32, owned: &[(Uuid, &[i32])]) -> ConsumerGroupHeartbeatRequest {
    let owned = owned
        .iter()
        .map(|(topic, partitions)| {
            TopicPartitions::default().with_topic_id(*topic).with_partitions(partitions.to_vec())
        })
        .collect();
    beat(member, epoch).with_topic_partitions(Some(owned))
}

pub fn names(names: &[&str]) -> Option<Vec<TopicName>> {
    Some(names.iter().map(|name| TopicName(text(name))).collect())
}

/// A member joins.
pub fn join(member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    owning(member, 0, &[]).with_rebalance_timeout_ms(30_000).with_subscribed_topic_names(names(topics))
}

/// Partitions by topic.
pub type Told = Vec<(Uuid, Vec<i32>)>;

/// The assignment in an answer.
pub fn assigned(response: &ConsumerGroupHeartbeatResponse) -> Option<Told> {
    assert_eq!(response.error_code, 0, "{:?}", response.error_message);
    let assignment = response.assignment.as_ref()?;
    Some(assignment.topic_partitions.iter().map(|topic| (topic.topic_id, topic.partitions.clone())).collect())
}

/// Member epoch and assignment in an answer.
pub fn told(response: &ConsumerGroupHeartbeatResponse) -> (i32, Option<Told>) {
    (counted(response.member_epoch), assigned(response))
}

/// Error and text in an answer.
pub fn refused(response: &ConsumerGroupHeartbeatResponse) -> (ErrorCode, &str) {
    let code = ErrorCode::ALL.iter().find(|code| code.code() == response.error_code);
    (*code.expect("a known code"), response.error_message.as_deref().unwrap_or_default())
}

/// The kinds of records, to compare their order.
pub fn kinds(records: &[Record]) -> Vec<String> {
    let kind = |record: &Record| {
        let text = format!("{record:?}");
        let name = text.split([' ', '{']).next().unwrap_or_default().trim_start_matches("ConsumerGroup").to_owned();
        if text.ends_with("value: None }") { format!("-{name}") } else { name }
    };
    records.iter().map(kind).collect()
}
