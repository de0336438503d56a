//! Consumer groups: classic and consumer (KIP-848), and the offsets that they commit, over `__consumer_offsets`.
//!
//! [`GroupShard`] finds the group that a request is for and hands it on. What a group does is in [`classic`] and
//! [`consumer`], what it has committed in [`offsets`]; all of it is pure. (Kafka's `GroupCoordinatorShard`,
//! `GroupMetadataManager` and `OffsetMetadataManager`.)

mod admin;
pub mod assign;
pub mod classic;
pub mod consumer;
mod membership;
pub mod offsets;
mod pending;
pub mod records;
pub mod request;
#[cfg(test)]
mod script;
pub mod settings;
#[cfg(test)]
mod tests;

use super::records::Decoded;
use super::{Effects, Now, Shard, Ticket, Timers, Unreadable};
use crate::time::Millis;
use crate::wire::errors::ErrorCode;
use bytes::Bytes;
use classic::{ClassicGroup, ClassicTimer};
use consumer::{ConsumerGroup, ConsumerTimer};
use offsets::Offsets;
use pending::PendingOffsets;
use records::Record;
use request::{Reply, Request};
use settings::{GroupSettings, World};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

/// What a step of the group coordinator comes to.
pub type Out = Effects<Record, Reply>;

/// All groups of one partition of `__consumer_offsets`.
pub struct GroupShard {
    settings: Arc<GroupSettings>,
    world: Arc<dyn World>,
    groups: BTreeMap<Arc<str>, Group>,
    offsets: Offsets,
    pending: PendingOffsets,
    timers: Timers<Timer>,
}

/// A group.
#[derive(Debug)]
pub enum Group {
    /// Assignments are made by a client; also a group that only has offsets.
    Classic(ClassicGroup),
    /// Assignments are made here.
    Consumer(ConsumerGroup),
}

/// A timer of this shard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Offsets of empty groups are looked at for expiry.
    Cleanup,
    /// A group's.
    Group(Arc<str>, GroupTimer),
}

/// A timer of a group. One of the other kind of group than it is now means nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupTimer {
    /// Of a classic group.
    Classic(ClassicTimer),
    /// Of a consumer group.
    Consumer(ConsumerTimer),
}

/// What a group has at hand in a step.
pub struct Cx<'a> {
    /// The time.
    pub now: Now,
    /// Its own id.
    pub group_id: &'a Arc<str>,
    /// The broker's settings.
    pub settings: &'a GroupSettings,
    /// What exists beside it.
    pub world: &'a dyn World,
    /// Where its records and replies go.
    pub out: &'a mut Out,
    timers: &'a mut Timers<Timer>,
}

impl Cx<'_> {
    /// Sets or moves a timer of this group, so many milliseconds from now.
    pub fn set_timer(&mut self, timer: GroupTimer, after_ms: impl Into<i64>) {
        let at = self.now.monotonic.saturating_add(after_ms.into());
        self.timers.set(Timer::Group(self.group_id.clone(), timer), at);
    }

    /// Takes a timer of this group away.
    pub fn cancel_timer(&mut self, timer: GroupTimer) {
        self.timers.cancel(&Timer::Group(self.group_id.clone(), timer));
    }

    /// Whether a timer of this group is set.
    pub fn has_timer(&self, timer: GroupTimer) -> bool {
        self.timers.deadline(&Timer::Group(self.group_id.clone(), timer)).is_some()
    }

    /// Takes all timers of this group away.
    pub fn cancel_all_timers(&mut self) {
        let first = GroupTimer::Classic(ClassicTimer::FIRST);
        let same = |timer: &Timer| matches!(timer, Timer::Group(group, _) if group == self.group_id);
        self.timers.cancel_run(Timer::Group(self.group_id.clone(), first), same);
    }
}

impl GroupShard {
    /// A shard without groups.
    pub fn new(settings: Arc<GroupSettings>, world: Arc<dyn World>) -> Self {
        GroupShard {
            settings,
            world,
            groups: BTreeMap::new(),
            offsets: Offsets::default(),
            pending: PendingOffsets::default(),
            timers: Timers::default(),
        }
    }

    /// The group of an id.
    pub fn group(&self, group_id: &str) -> Option<&Group> {
        self.groups.get(group_id)
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &Group)> {
        self.groups.iter()
    }

    /// What is committed.
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Has a group do something; `None` where there is no such group.
    fn with_group<T>(
        &mut self,
        now: Now,
        group_id: &str,
        out: &mut Out,
        f: impl FnOnce(&mut Group, &mut Cx<'_>) -> T,
    ) -> Option<T> {
        let (group_id, _) = self.groups.get_key_value(group_id)?;
        let group_id = group_id.clone();
        let mut cx = Cx {
            now,
            group_id: &group_id,
            settings: &self.settings,
            world: &*self.world,
            out,
            timers: &mut self.timers,
        };
        Some(f(self.groups.get_mut(&group_id)?, &mut cx))
    }

    fn set_cleanup(&mut self, now: Now) {
        let after_ms = self.settings.offsets_retention_check_interval_ms.max(1);
        self.timers.set(Timer::Cleanup, now.monotonic.saturating_add(after_ms));
    }

    fn on_timer(&mut self, now: Now, timer: Timer, out: &mut Out) {
        match timer {
            Timer::Cleanup => {
                self.clean_up(now, out);
                self.set_cleanup(now);
            }
            Timer::Group(group_id, timer) => {
                self.with_group(now, &group_id, out, |group, cx| match (group, timer) {
                    (Group::Classic(group), GroupTimer::Classic(timer)) => group.on_timer(cx, timer),
                    (Group::Consumer(group), GroupTimer::Consumer(timer)) => group.on_timer(cx, timer),
                    _ => {}
                });
                self.settle(now, &group_id, out);
            }
        }
    }

    /// After a step of a group: a consumer group whose last member of the consumer protocol has gone becomes classic, and
    /// one that was deleted is forgotten.
    fn settle(&mut self, now: Now, group_id: &str, out: &mut Out) {
        let downgraded = self.with_group(now, group_id, out, |group, cx| match group {
            Group::Consumer(consumer) if consumer.should_downgrade(cx) => consumer.downgrade(cx),
            _ => None,
        });
        if let (Some(Some(classic)), Some(group)) = (downgraded, self.groups.get_mut(group_id)) {
            *group = Group::Classic(classic);
        }
        if matches!(self.groups.get(group_id), Some(Group::Consumer(group)) if group.is_deleted()) {
            self.groups.remove(group_id);
        }
    }
}

impl Shard for GroupShard {
    type Request = Request;
    type Reply = Reply;
    type Record = Record;
    type Command = Infallible;

    fn handle(&mut self, now: Now, ticket: Ticket, request: Request, out: &mut Out) {
        match request {
            Request::JoinGroup { caller, request, fresh_id } => {
                self.join_group(now, ticket, &caller, request, fresh_id, out)
            }
            Request::SyncGroup { caller, request } => self.sync_group(now, ticket, &caller, request, out),
            Request::Heartbeat(request) => {
                let code = self.heartbeat(now, &request, out);
                out.reply(ticket, Reply::Heartbeat(code));
            }
            Request::LeaveGroup { group_id, members } => {
                let left = self.leave_group(now, &group_id, members, out);
                out.reply(ticket, Reply::LeaveGroup(left));
            }
            Request::ConsumerGroupHeartbeat { caller, request, fresh_id } => {
                let response = self.consumer_group_heartbeat(now, &caller, request, fresh_id, out);
                out.reply(ticket, Reply::ConsumerGroupHeartbeat(response));
            }
            Request::CommitOffsets(commit) => {
                let committed = self.commit_offsets(now, &commit, out);
                out.reply(ticket, Reply::CommitOffsets(committed));
            }
            Request::FetchOffsets(fetch) => out.reply(ticket, Reply::FetchOffsets(self.fetch_offsets(&fetch))),
            Request::DeleteOffsets { group_id, partitions } => {
                let deleted = self.delete_offsets(&group_id, &partitions, out);
                out.reply(ticket, Reply::DeleteOffsets(deleted));
            }
            Request::DeleteGroup(group_id) => {
                let code = self.delete_group(now, &group_id, out);
                out.reply(ticket, Reply::DeleteGroup(code));
            }
            Request::ListGroups => out.reply(ticket, Reply::ListGroups(self.list())),
            Request::DescribeGroup { version, group_id } => {
                let described = self.describe_group(version, &group_id);
                out.reply(ticket, Reply::DescribeGroup(described));
            }
            Request::DescribeConsumerGroup(group_id) => {
                let described = self.describe_consumer_group(&group_id);
                out.reply(ticket, Reply::DescribeConsumerGroup(described));
            }
            Request::TopicsDeleted(topics) => {
                self.delete_offsets_where(
                    |name, id| topics.get(name).is_some_and(|gone| id.is_nil() || id == *gone),
                    out,
                );
                out.reply(ticket, Reply::TopicsDeleted);
            }
        }
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::OffsetCommit { key, value } => self.apply_offset(key, value),
            Record::GroupMetadata { group_id, value } => self.apply_classic(&group_id, value),
            consumer => self.apply_consumer(consumer),
        }
    }

    /// Only offsets are committed in transactions.
    fn apply_in_transaction(&mut self, producer_id: i64, record: Record) {
        if let Record::OffsetCommit { key, value: Some(value) } = record {
            self.apply_pending(producer_id, key, value);
        }
    }

    fn end_transaction(&mut self, producer_id: i64, committed: bool) {
        for (key, value) in self.pending.end(producer_id, committed) {
            // It may have been removed while it had nothing but this.
            self.ensure_group(&key.group);
            self.offsets.apply(key, Some(value));
        }
    }

    /// A heartbeat or a join that is turned away for a while costs a member its session.
    fn writes_much(request: &Request) -> bool {
        matches!(request, Request::CommitOffsets(_))
    }

    fn loaded(&mut self, now: Now, out: &mut Out) {
        let groups: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for group_id in groups {
            self.with_group(now, &group_id, out, |group, cx| match group {
                Group::Classic(group) => group.loaded(cx),
                Group::Consumer(group) => group.loaded(cx),
            });
        }
        self.delete_offsets_of_lost_topics(out);
        self.set_cleanup(now);
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.timers.next()
    }

    fn encode(record: &Record) -> Result<(Bytes, Option<Bytes>), String> {
        record.encode().map_err(|error| error.to_string())
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, Unreadable> {
        match Record::decode(key, value)? {
            Decoded::Known(record) => Ok(Some(record)),
            // Of share and streams groups, which there are none of here.
            Decoded::Unknown(_) => Ok(None),
        }
    }

    fn on_deadline(&mut self, now: Now, out: &mut Out) {
        if let Some(timer) = self.timers.pop_due(now.monotonic) {
            self.on_timer(now, timer, out);
        }
    }
}

/// A group id that a group may have. Offsets alone may be committed under the empty one.
fn check_group_id(group_id: &str) -> Result<(), ErrorCode> {
    if group_id.is_empty() { Err(ErrorCode::InvalidGroupId) } else { Ok(()) }
}
