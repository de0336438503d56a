//! A consumer group (KIP-848): members say in heartbeats what they want and own, and the coordinator decides who has what.
//!
//! [`State`] is all that is durable, changed by records alone. What a heartbeat does with it is in `heartbeat`: it stores
//! what the member wants (`subscription`, `regex`), which may count the group's epoch up; then the target assignment is
//! computed for that epoch (`target`), and the member is brought a step nearer to it (`reconcile`). Partitions are handed
//! on only after their owner has said that it has given them up, or is gone.
//!
//! Members of the classic protocol may be in it too (`classic_members`), which is how a group changes over (`migrate`).
//!
//! Left out: assignors of the client (no Kafka has them), racks.

mod checks;
mod classic_members;
mod describe;
mod embedded;
mod heartbeat;
mod members;
mod migrate;
mod reconcile;
mod regex;
mod state;
mod subscription;
mod target;

pub use heartbeat::validate;
pub use members::{Current, Member, MemberState, Partitions};
pub use migrate::{Fresh, upgrade};
pub use state::State;

use super::records::{ConsumerGroupMemberMetadataValue, Record};
use super::{Cx, GroupTimer};
use crate::wire::errors::ErrorCode;
use std::sync::Arc;
use uuid::Uuid;

/// A timer of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsumerTimer {
    /// A member's session.
    Session(Arc<str>),
    /// A member has to give up partitions until then.
    Rebalance(Arc<str>),
    /// A member of the classic protocol has to join again until then.
    Join(Arc<str>),
    /// A member of the classic protocol that has joined has to sync until then.
    Sync(Arc<str>),
}

/// Why a request is refused, in Kafka's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The error.
    pub code: ErrorCode,
    /// What the client is told.
    pub message: String,
}

impl Refused {
    /// An error with a text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Refused { code, message: message.into() }
    }
}

/// A consumer group.
#[derive(Debug, Default)]
pub struct ConsumerGroup {
    state: State,
    /// The version of the topics that the group's hash was last compared with.
    topics_seen: Option<u64>,
    /// When regular expressions were last resolved.
    regexes_refreshed: Option<regex::Refreshed>,
    /// The classic group that it would become is too large for the log; until another member goes.
    is_too_large_for_classic: bool,
}

impl ConsumerGroup {
    /// What is durable.
    pub fn durable(&self) -> &State {
        &self.state
    }

    /// Takes a record.
    pub fn apply(&mut self, record: &Record) {
        self.state.apply(record);
    }

    /// Starts the timers of all members.
    pub fn loaded(&mut self, cx: &mut Cx<'_>) {
        let session_timeout_ms = session_timeout_ms(cx);
        for (id, member) in &self.state.members {
            // Kafka gives all of them the session of its own protocol, shorter than what a classic member may have asked for.
            let classic = member.metadata.classic_member_metadata.as_ref();
            let session_timeout_ms = classic.map_or(session_timeout_ms, |classic| classic.session_timeout_ms);
            cx.set_timer(GroupTimer::Consumer(ConsumerTimer::Session(id.clone())), session_timeout_ms);
            if member.must_revoke_in_time() {
                let timer = ConsumerTimer::Rebalance(id.clone());
                cx.set_timer(GroupTimer::Consumer(timer), member.metadata.rebalance_timeout_ms);
            }
        }
    }

    /// A member was silent for too long, or has not given up its partitions in time: it is removed.
    pub fn on_timer(&mut self, cx: &mut Cx<'_>, timer: ConsumerTimer) {
        let (ConsumerTimer::Session(id)
        | ConsumerTimer::Rebalance(id)
        | ConsumerTimer::Join(id)
        | ConsumerTimer::Sync(id)) = timer.clone();
        // A timer of the protocol that the member spoke before means nothing.
        let counts = self.state.members.get(&id).is_some_and(|member| match &timer {
            ConsumerTimer::Session(_) => true,
            ConsumerTimer::Rebalance(_) => member.must_revoke_in_time(),
            ConsumerTimer::Join(_) | ConsumerTimer::Sync(_) => member.is_classic(),
        });
        if counts {
            self.remove(cx, &[id]);
        }
    }

    /// Removes members with all that they have, and counts the group's epoch up.
    pub fn remove(&mut self, cx: &mut Cx<'_>, member_ids: &[Arc<str>]) {
        self.is_too_large_for_classic = false;
        let mut regexes = Vec::new();
        for id in member_ids {
            regexes.extend(self.state.members.get(id).and_then(|member| member.regex().map(str::to_owned)));
            self.emit_removal(cx, id);
        }
        for regex in regexes {
            self.forget_regex(cx, &regex);
        }
        // A group that becomes classic in this step needs no new epoch.
        if !member_ids.is_empty() && !self.should_downgrade(cx) {
            let topics = cx.world.topics();
            let seen = self.topics_seen;
            self.bump_epoch(cx, &*topics, true);
            // As Kafka has it, the next heartbeat still looks at the topics.
            self.topics_seen = seen;
        }
    }

    fn emit(&mut self, cx: &mut Cx<'_>, record: Record) {
        self.state.apply(&record);
        cx.out.records.push(record);
    }

    /// Tombstones of a member. The order matters to Kafka.
    fn emit_removal(&mut self, cx: &mut Cx<'_>, id: &Arc<str>) {
        cancel_timers(cx, id);
        let (group_id, member_id) = (|| cx.group_id.to_string(), || id.to_string());
        let tombstones = [
            Record::ConsumerGroupCurrentMemberAssignment { group_id: group_id(), member_id: member_id(), value: None },
            Record::ConsumerGroupTargetAssignmentMember { group_id: group_id(), member_id: member_id(), value: None },
            Record::ConsumerGroupMemberMetadata { group_id: group_id(), member_id: member_id(), value: None },
        ];
        tombstones.into_iter().for_each(|tombstone| self.emit(cx, tombstone));
    }

    fn emit_metadata(&mut self, cx: &mut Cx<'_>, member_id: &str, value: ConsumerGroupMemberMetadataValue) {
        let (group_id, member_id) = (cx.group_id.to_string(), member_id.to_owned());
        self.emit(cx, Record::ConsumerGroupMemberMetadata { group_id, member_id, value: Some(value) });
    }

    fn emit_current(&mut self, cx: &mut Cx<'_>, member_id: &str, current: &Current) {
        let (group_id, member_id) = (cx.group_id.to_string(), member_id.to_owned());
        let value = Some(current.to_value());
        self.emit(cx, Record::ConsumerGroupCurrentMemberAssignment { group_id, member_id, value });
    }

    /// Tombstones for everything it has stored.
    pub fn delete(&mut self, cx: &mut Cx<'_>) {
        cx.cancel_all_timers();
        self.delete_records(cx);
    }

    /// Tombstones for everything it has stored, and its members' timers cancelled.
    fn delete_records(&mut self, cx: &mut Cx<'_>) {
        let ids: Vec<Arc<str>> = self.state.members.keys().cloned().collect();
        ids.iter().for_each(|id| cancel_timers(cx, id));
        let group_id = || cx.group_id.to_string();
        let members: Vec<String> = self.state.members.keys().map(|id| id.to_string()).collect();
        let mut tombstones = Vec::new();
        tombstones.extend(members.iter().map(|member_id| Record::ConsumerGroupCurrentMemberAssignment {
            group_id: group_id(),
            member_id: member_id.clone(),
            value: None,
        }));
        tombstones.extend(members.iter().map(|member_id| Record::ConsumerGroupTargetAssignmentMember {
            group_id: group_id(),
            member_id: member_id.clone(),
            value: None,
        }));
        tombstones.push(Record::ConsumerGroupTargetAssignmentMetadata { group_id: group_id(), value: None });
        tombstones.extend(members.iter().map(|member_id| Record::ConsumerGroupMemberMetadata {
            group_id: group_id(),
            member_id: member_id.clone(),
            value: None,
        }));
        tombstones.extend(self.state.regexes.keys().map(|regex| Record::ConsumerGroupRegularExpression {
            group_id: group_id(),
            regular_expression: regex.to_string(),
            value: None,
        }));
        tombstones.push(Record::ConsumerGroupPartitionMetadata { group_id: group_id(), value: None });
        tombstones.push(Record::ConsumerGroupMetadata { group_id: group_id(), value: None });
        tombstones.into_iter().for_each(|tombstone| self.emit(cx, tombstone));
    }

    /// Whether its tombstone is written: the shard forgets it.
    pub fn is_deleted(&self) -> bool {
        self.state.is_deleted
    }
}

fn cancel_timers(cx: &mut Cx<'_>, id: &Arc<str>) {
    for timer in [ConsumerTimer::Session, ConsumerTimer::Rebalance, ConsumerTimer::Join, ConsumerTimer::Sync] {
        cx.cancel_timer(GroupTimer::Consumer(timer(id.clone())));
    }
}

/// A uuid as Kafka prints it: base64 for addresses, without padding.
pub fn kafka_uuid(id: Uuid) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 128 bits are 21 digits of 6 bits and one of 2, filled up with zeros.
    let digit = |at: u32| {
        let bits = if at < 21 { id.as_u128() >> (122 - 6 * at) } else { id.as_u128() << 4 };
        DIGITS.get((bits & 63) as usize).map_or('A', |digit| char::from(*digit))
    };
    (0..22).map(digit).collect()
}

/// The session timeout of the group's members, milliseconds.
fn session_timeout_ms(cx: &Cx<'_>) -> i32 {
    let own = cx.world.overrides(cx.group_id).consumer_session_timeout_ms;
    own.unwrap_or(cx.settings.consumer.session_timeout_ms)
}

/// How often the group's members are to send heartbeats, milliseconds.
fn heartbeat_interval_ms(cx: &Cx<'_>) -> i32 {
    let own = cx.world.overrides(cx.group_id).consumer_heartbeat_interval_ms;
    own.unwrap_or(cx.settings.consumer.heartbeat_interval_ms)
}

#[cfg(test)]
mod tests;
