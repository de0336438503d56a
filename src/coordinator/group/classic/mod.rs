//! A classic group: members join, one of them is the leader and makes the assignments, all sync, heartbeat and leave.
//! (Kafka's `ClassicGroup` and the classic half of its `GroupMetadataManager`; KIPs 62, 134, 345, 394, 814.)
//!
//! Durable is [`ClassicGroup::durable`], the last record; the rest is soft and made from it by [`ClassicGroup::loaded`].
//! Two things are stricter than Kafka's. A generation is stored, still without assignments, before any member is told
//! it, so that no crash can let one number mean two sets of members; a group loaded in that form rebalances. And every
//! parked request is answered, also one that a later request of the same member has taken the place of.
//!
//! Left out: the state Dead, since a deleted group is not there any more; and log failures, after which the whole shard is
//! loaded anew.

mod answer;
mod describe;
mod join;
mod members;
mod rebalance;
mod store;
mod sync;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use describe::subscribed_topics;
pub use members::{Member, Parked};

use super::records::GroupMetadataValue;
use super::{Cx, GroupTimer};
use crate::coordinator::Now;
use crate::coordinator::breaks::{Break, broken};
use crate::wire::errors::ErrorCode;
use members::Members;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How long a new member may be parked in its first join: its client may have gone, and nobody would see it
/// (`GroupCoordinatorConfig.CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`).
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;

/// A group keeps at most so many times what its record may take: members bring several protocols, of which one is stored.
pub(in crate::coordinator::group) const KEPT_PER_RECORD: usize = 8;

/// A timer of a classic group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClassicTimer {
    /// The rebalance ends with whoever has joined.
    Join,
    /// A member's session, or the time that a member may take to come back with the id it was given.
    Session(Arc<str>),
    /// Members that have not synced since the generation began are removed.
    Sync,
}

impl ClassicTimer {
    /// The first in order.
    pub const FIRST: ClassicTimer = ClassicTimer::Join;
}

/// The state of a classic group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Without members.
    Empty,
    /// Members are joining.
    PreparingRebalance,
    /// The leader is making the assignments.
    CompletingRebalance,
    /// Everybody can have an assignment.
    Stable,
}

impl State {
    /// In Kafka's spelling.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// The first rebalance of an empty group, which waits a while for others.
#[derive(Clone, Copy, Debug)]
struct InitialRebalance {
    delay_ms: i32,
    remaining_ms: i32,
    new_member_added: bool,
}

/// A classic group.
#[derive(Debug)]
pub struct ClassicGroup {
    /// What the last record said; the durable part.
    stored: Option<GroupMetadataValue>,
    state: State,
    /// When it came into its state, wall clock.
    state_since: i64,
    initial: Option<InitialRebalance>,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<Arc<str>>,
    members: Members,
    /// Ids that were given and have not been joined with yet (KIP-394).
    pending: BTreeSet<Arc<str>>,
    /// What members subscribe to, where the protocol type is `consumer` and their metadata can be read.
    subscribed: Option<BTreeSet<String>>,
}

impl ClassicGroup {
    /// A group without members.
    pub fn new(now: Now) -> Self {
        ClassicGroup {
            stored: None,
            state: State::Empty,
            state_since: now.wall,
            initial: None,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: Members::default(),
            pending: BTreeSet::new(),
            subscribed: None,
        }
    }

    /// A group that came to be with an offset.
    pub fn simple() -> Self {
        ClassicGroup::new(Now { monotonic: 0, wall: 0 })
    }

    /// A group as its record has it; it can be asked for things once it is [`ClassicGroup::loaded`].
    pub fn stored(value: GroupMetadataValue) -> Self {
        let mut group = ClassicGroup::new(Now { monotonic: 0, wall: value.current_state_timestamp });
        group.apply(value);
        group
    }

    /// A group out of members that were of a consumer group: stable, stored, and their sessions begin anew. Their
    /// protocols must have one in common. The first of them leads. `None`, and nothing done, if the log would not take it.
    ///
    /// It is stored as of the next generation, which nobody is told of: after a crash before its members have joined again
    /// they do so because theirs is too old, and what one had that is gone does not stay without an owner.
    pub fn from_members(
        cx: &mut Cx<'_>,
        protocol_type: &str,
        generation: i32,
        members: impl IntoIterator<Item = (Arc<str>, Member)>,
    ) -> Option<Self> {
        let mut group = ClassicGroup::new(cx.now);
        for (member_id, member) in members {
            group.leader.get_or_insert_with(|| member_id.clone());
            group.members.insert(member_id, member);
        }
        group.protocol_type = Some(protocol_type.into());
        group.generation = generation;
        group.protocol = group.members.elect_protocol(group.leader.as_deref());
        group.state = if group.members.is_empty() { State::Empty } else { State::Stable };
        let value = GroupMetadataValue { generation: generation.saturating_add(1), ..group.value() };
        if !group.fits(cx, &value) {
            return None;
        }
        group.store(cx, value);
        group.start_sessions(cx);
        Some(group)
    }

    /// What the last record said.
    pub fn durable(&self) -> Option<&GroupMetadataValue> {
        self.stored.as_ref()
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Its generation.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// `consumer`, `connect` and so on; `None` for a group that has never had members.
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// The protocol that was chosen; `None` without members, and before the first generation.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The leader's member id.
    pub fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    /// Its members, by id.
    pub fn members(&self) -> impl Iterator<Item = (&Arc<str>, &Member)> {
        self.members.iter()
    }

    /// A member.
    pub fn member(&self, member_id: &str) -> Option<&Member> {
        self.members.get(member_id)
    }

    /// The member that has an instance id.
    pub fn static_member(&self, group_instance_id: &str) -> Option<Arc<str>> {
        self.members.of_instance(group_instance_id)
    }

    /// Whether its members are consumers, whose subscriptions can be read.
    pub fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(describe::CONSUMER)
    }

    /// Begins to be something else: all who wait are answered with a code, and no timer is left.
    pub fn retire(&mut self, cx: &mut Cx<'_>, code: ErrorCode) {
        for member_id in self.members.ids_of(|_| true) {
            self.refuse_parked(cx, &member_id, &member_id, code);
        }
        cx.cancel_all_timers();
    }

    /// Who a request speaks for: an id that is known, and an instance id only together with the member that has it.
    fn check_member(&self, member_id: &str, group_instance_id: Option<&str>) -> Result<Arc<str>, ErrorCode> {
        if let Some(instance) = group_instance_id {
            match self.members.of_instance(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(known) if *known != *member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        self.members.key(member_id).ok_or(ErrorCode::UnknownMemberId)
    }

    fn check_generation(&self, generation: i32) -> Result<(), ErrorCode> {
        if generation != self.generation && !broken(Break::GenerationCheck) {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok(())
    }

    fn transition(&mut self, cx: &Cx<'_>, state: State) {
        self.state = state;
        self.state_since = cx.now.wall;
    }

    fn set_session(&self, cx: &mut Cx<'_>, member_id: &Arc<str>, after_ms: impl Into<i64>) {
        cx.set_timer(session(member_id), after_ms);
    }

    /// The session of a member begins anew.
    fn renew_session(&self, cx: &mut Cx<'_>, member_id: &Arc<str>) {
        if let Some(member) = self.members.get(member_id) {
            self.set_session(cx, member_id, member.session_timeout_ms);
        }
    }

    fn start_sessions(&self, cx: &mut Cx<'_>) {
        for (member_id, member) in self.members.iter() {
            self.set_session(cx, member_id, member.session_timeout_ms);
        }
    }
}

fn session(member_id: &Arc<str>) -> GroupTimer {
    GroupTimer::Classic(ClassicTimer::Session(member_id.clone()))
}

/// A `ConsumerProtocolSubscription` of version 0: topics, with commas between them.
#[cfg(test)]
pub(super) fn subscription(topics: &str) -> Vec<u8> {
    let topics: Vec<&str> = topics.split(',').filter(|topic| !topic.is_empty()).collect();
    let mut bytes = vec![0, 0];
    bytes.extend_from_slice(&(topics.len() as u32).to_be_bytes());
    for topic in topics {
        bytes.extend_from_slice(&(topic.len() as u16).to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
    }
    bytes.extend_from_slice(&(-1i32).to_be_bytes());
    bytes
}
