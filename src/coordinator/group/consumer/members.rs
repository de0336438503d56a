//! A member of a consumer group, as the group's records have it.
//!
//! Who it is and what it wants is kept as its record has it; what it has is kept by topic, so that partitions are found.
//! (Kafka's `ConsumerGroupMember` and `MemberState`.)

use super::super::records::{
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue, TopicPartitions,
};
use super::super::request::own;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The epoch of a member that joins.
pub const JOIN_EPOCH: i32 = 0;
/// The epoch of a member that leaves.
pub const LEAVE_EPOCH: i32 = -1;
/// The epoch of a static member that leaves and means to come back.
pub const LEAVE_STATIC_EPOCH: i32 = -2;

/// Partitions by topic, each with the epoch in which it was assigned: commits of older epochs are refused (KIP-1251).
pub type Partitions = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// Whether a member has what it is to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    /// It has all that it is to have in its epoch, and nothing else.
    #[default]
    Stable,
    /// It has to give partitions up before it may go on.
    UnrevokedPartitions,
    /// It waits for partitions that others have to give up first.
    UnreleasedPartitions,
    /// Of a later version.
    Unknown,
}

impl MemberState {
    fn of(code: i8) -> Self {
        match code {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Unknown,
        }
    }

    fn code(self) -> i8 {
        match self {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
            MemberState::Unknown => 127,
        }
    }
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it is and what it wants; the names of topics are sorted.
    pub metadata: ConsumerGroupMemberMetadataValue,
    /// What it has.
    pub current: Current,
}

/// What a member has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The epoch that its heartbeats must bear.
    pub epoch: i32,
    /// The one before, which it may still bear if the answer with the new one was lost.
    pub previous_epoch: i32,
    /// Whether it has what it is to have.
    pub state: MemberState,
    /// What it may consume.
    pub assigned: Partitions,
    /// What it must give up first.
    pub pending_revocation: Partitions,
}

impl Default for Member {
    fn default() -> Self {
        Member { metadata: no_metadata(), current: Current::default() }
    }
}

impl Default for Current {
    fn default() -> Self {
        Current {
            epoch: JOIN_EPOCH,
            previous_epoch: -1,
            state: MemberState::Stable,
            assigned: Partitions::new(),
            pending_revocation: Partitions::new(),
        }
    }
}

/// What is known of a member that has said nothing yet.
pub fn no_metadata() -> ConsumerGroupMemberMetadataValue {
    ConsumerGroupMemberMetadataValue {
        instance_id: None,
        rack_id: None,
        client_id: String::new(),
        client_host: String::new(),
        subscribed_topic_names: Vec::new(),
        subscribed_topic_regex: Some(String::new()),
        rebalance_timeout_ms: -1,
        server_assignor: None,
        classic_member_metadata: None,
    }
}

/// Metadata in the form in which it is kept: names sorted, and nothing that holds on to a larger buffer.
pub fn kept(value: &ConsumerGroupMemberMetadataValue) -> ConsumerGroupMemberMetadataValue {
    let mut value = value.clone();
    value.subscribed_topic_names.sort_unstable();
    value.subscribed_topic_names.dedup();
    for protocol in value.classic_member_metadata.iter_mut().flat_map(|classic| &mut classic.supported_protocols) {
        protocol.metadata = own(&protocol.metadata);
    }
    value
}

/// The regular expression of a subscription; an empty one is none.
pub fn regex_of(metadata: &ConsumerGroupMemberMetadataValue) -> Option<&str> {
    metadata.subscribed_topic_regex.as_deref().filter(|regex| !regex.is_empty())
}

impl Member {
    /// Whether it is removed if it does not give up partitions in time: one of the consumer protocol that is there.
    pub fn must_revoke_in_time(&self) -> bool {
        let is_here = self.current.epoch != LEAVE_STATIC_EPOCH;
        self.current.state == MemberState::UnrevokedPartitions && is_here && !self.is_classic()
    }

    /// Whether it speaks the classic protocol.
    pub fn is_classic(&self) -> bool {
        self.metadata.classic_member_metadata.is_some()
    }

    /// Its regular expression, if it has one.
    pub fn regex(&self) -> Option<&str> {
        regex_of(&self.metadata)
    }

    /// Whether it names the topic in its subscription.
    pub fn names(&self, topic: &str) -> bool {
        self.metadata.subscribed_topic_names.binary_search_by(|name| name.as_str().cmp(topic)).is_ok()
    }
}

impl Current {
    /// As a record has it. Before Kafka 4.3 partitions have no epochs; then the member's counts.
    pub fn of(value: &ConsumerGroupCurrentMemberAssignmentValue) -> Self {
        Current {
            epoch: value.member_epoch,
            previous_epoch: value.previous_member_epoch,
            state: MemberState::of(value.state),
            assigned: partitions_of(&value.assigned_partitions, value.member_epoch),
            pending_revocation: partitions_of(&value.partitions_pending_revocation, value.member_epoch),
        }
    }

    /// As a record has it.
    pub fn to_value(&self) -> ConsumerGroupCurrentMemberAssignmentValue {
        ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state.code(),
            assigned_partitions: listed(&self.assigned),
            partitions_pending_revocation: listed(&self.pending_revocation),
        }
    }

    /// Whether it has all of the target assignment of an epoch.
    pub fn is_reconciled_to(&self, assignment_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == assignment_epoch
    }

    /// In which epoch a partition that it may still consume was assigned.
    pub fn assignment_epoch(&self, topic: Uuid, partition: i32) -> Option<i32> {
        let find = |partitions: &Partitions| partitions.get(&topic)?.get(&partition).copied();
        find(&self.assigned).or_else(|| find(&self.pending_revocation))
    }

    /// Whether both may consume the same.
    pub fn assigns_as(&self, other: &Current) -> bool {
        self.assigned.len() == other.assigned.len()
            && self.assigned.iter().zip(&other.assigned).all(|((topic, partitions), (topic2, partitions2))| {
                topic == topic2 && partitions.keys().eq(partitions2.keys())
            })
    }
}

fn partitions_of(topics: &[TopicPartitions], member_epoch: i32) -> Partitions {
    let mut all = Partitions::new();
    for topic in topics {
        let epochs = topic.assignment_epochs.as_deref().unwrap_or_default();
        let epochs = epochs.iter().copied().chain(std::iter::repeat(member_epoch));
        all.entry(topic.topic_id).or_default().extend(topic.partitions.iter().copied().zip(epochs));
    }
    all.retain(|_, partitions| !partitions.is_empty());
    all
}

fn listed(partitions: &Partitions) -> Vec<TopicPartitions> {
    let listed = |(topic, partitions): (&Uuid, &BTreeMap<i32, i32>)| TopicPartitions {
        topic_id: *topic,
        partitions: partitions.keys().copied().collect(),
        assignment_epochs: Some(partitions.values().copied().collect()),
    };
    partitions.iter().map(listed).collect()
}
