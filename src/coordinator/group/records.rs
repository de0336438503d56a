//! The records of `__consumer_offsets`, as Kafka 4.3 has them.
//!
//! One variant of [`Record`] per kind of record of classic and consumer groups; fields bear the names of Kafka's
//! schemas (`group-coordinator/src/main/resources/common/message`). A value of `None` is a tombstone: the key is gone.
//! Left out: share and streams groups, whose records are told apart by their type and skipped.

mod codec;
mod consumer;

use bytes::Bytes;
use uuid::Uuid;

/// One record, key and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A committed offset (types 0 and 1). Type 0 is the form of before 0.9: the same key, an older value.
    OffsetCommit {
        /// Whose, and of which partition.
        key: OffsetCommitKey,
        /// The offset, or that it was deleted or expired.
        value: Option<OffsetCommitValue>,
    },
    /// A classic group (type 2).
    GroupMetadata {
        /// The group (`group` in Kafka's schema).
        group_id: String,
        /// Its generation and members.
        value: Option<GroupMetadataValue>,
    },
    /// A consumer group (type 3; KIP-848).
    ConsumerGroupMetadata {
        /// The group.
        group_id: String,
        /// Its epoch.
        value: Option<ConsumerGroupMetadataValue>,
    },
    /// The topics that a consumer group subscribes to (type 4). Until Kafka 4.0; since then only tombstones of it are
    /// written, and a value means nothing.
    ConsumerGroupPartitionMetadata {
        /// The group.
        group_id: String,
        /// What an older Kafka wrote.
        value: Option<ConsumerGroupPartitionMetadataValue>,
    },
    /// A member of a consumer group: who it is and what it wants (type 5).
    ConsumerGroupMemberMetadata {
        /// The group.
        group_id: String,
        /// The member.
        member_id: String,
        /// Its subscription.
        value: Option<ConsumerGroupMemberMetadataValue>,
    },
    /// The epoch of a consumer group's target assignment (type 6).
    ConsumerGroupTargetAssignmentMetadata {
        /// The group.
        group_id: String,
        /// The epoch.
        value: Option<ConsumerGroupTargetAssignmentMetadataValue>,
    },
    /// What a member of a consumer group is to have (type 7).
    ConsumerGroupTargetAssignmentMember {
        /// The group.
        group_id: String,
        /// The member.
        member_id: String,
        /// Its part of the target assignment.
        value: Option<ConsumerGroupTargetAssignmentMemberValue>,
    },
    /// What a member of a consumer group has (type 8).
    ConsumerGroupCurrentMemberAssignment {
        /// The group.
        group_id: String,
        /// The member.
        member_id: String,
        /// Its state.
        value: Option<ConsumerGroupCurrentMemberAssignmentValue>,
    },
    /// The topics that a regular expression of a consumer group stands for (type 16).
    ConsumerGroupRegularExpression {
        /// The group.
        group_id: String,
        /// The expression, as a member gave it.
        regular_expression: String,
        /// What it was resolved to.
        value: Option<ConsumerGroupRegularExpressionValue>,
    },
}

/// The key of a committed offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffsetCommitKey {
    /// The group's id.
    pub group: String,
    /// The topic's name.
    pub topic: String,
    /// The partition's index.
    pub partition: i32,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitValue {
    /// The offset.
    pub offset: i64,
    /// Leader epoch of the last record consumed; -1 where it is not known.
    pub leader_epoch: i32,
    /// What the client adds.
    pub metadata: String,
    /// When it was committed, milliseconds.
    pub commit_timestamp: i64,
    /// When it expires, milliseconds; -1 where the group's retention decides, as it does since OffsetCommit 5.
    pub expire_timestamp: i64,
    /// The topic's id; nil where it is not known.
    pub topic_id: Uuid,
}

/// A classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadataValue {
    /// `consumer`, `connect` and so on; empty for a group that never had members.
    pub protocol_type: String,
    /// The generation, counted up by each rebalance.
    pub generation: i32,
    /// The protocol that was chosen; none without members.
    pub protocol: Option<String>,
    /// The leader's member id; none without members.
    pub leader: Option<String>,
    /// Since when the group is in its state, milliseconds; -1 where it is not known.
    pub current_state_timestamp: i64,
    /// The members.
    pub members: Vec<MemberMetadata>,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMetadata {
    /// The id that the coordinator gave it.
    pub member_id: String,
    /// The id that a static member gives itself.
    pub group_instance_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// How long it may take to join again, milliseconds; -1 where the session timeout counts.
    pub rebalance_timeout: i32,
    /// How long it may be silent, milliseconds.
    pub session_timeout: i32,
    /// What it said when it joined, in the form of the group's protocol.
    pub subscription: Bytes,
    /// What the leader gave it, in the form of the group's protocol.
    pub assignment: Bytes,
}

/// The epoch of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupMetadataValue {
    /// Counted up whenever subscriptions or topics change.
    pub epoch: i32,
    /// A hash of the topics subscribed to (KIP-1101); 0 where there are none, or an older Kafka wrote.
    pub metadata_hash: i64,
}

/// The topics of a consumer group as Kafka 4.0 wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupPartitionMetadataValue {
    /// The topics.
    pub topics: Vec<TopicMetadata>,
}

/// A topic in [`ConsumerGroupPartitionMetadataValue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Its id.
    pub topic_id: Uuid,
    /// Its name.
    pub topic_name: String,
    /// How many partitions it has.
    pub num_partitions: i32,
    /// The racks of its partitions, where they are known.
    pub partition_metadata: Vec<PartitionMetadata>,
}

/// The racks of a partition in [`TopicMetadata`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// The partition's index.
    pub partition: i32,
    /// Where its replicas are.
    pub racks: Vec<String>,
}

/// Who a member of a consumer group is, and what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupMemberMetadataValue {
    /// The id that a static member gives itself.
    pub instance_id: Option<String>,
    /// Where it is.
    pub rack_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// Topics by name; Kafka writes them sorted.
    pub subscribed_topic_names: Vec<String>,
    /// Topics by regular expression (RE2).
    pub subscribed_topic_regex: Option<String>,
    /// How long it may take to give partitions up, milliseconds; -1 where it is not known.
    pub rebalance_timeout_ms: i32,
    /// The assignor it asks for.
    pub server_assignor: Option<String>,
    /// What is known of a member that speaks the classic protocol; none for others.
    pub classic_member_metadata: Option<ClassicMemberMetadata>,
}

/// A member of a consumer group that speaks the classic protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberMetadata {
    /// How long it may be silent, milliseconds.
    pub session_timeout_ms: i32,
    /// The protocols it could speak.
    pub supported_protocols: Vec<ClassicProtocol>,
}

/// A protocol of a [`ClassicMemberMetadata`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicProtocol {
    /// Its name: an assignor's.
    pub name: String,
    /// The subscription, in the form of that protocol.
    pub metadata: Bytes,
}

/// Which epoch the target assignment of a consumer group was computed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupTargetAssignmentMetadataValue {
    /// The group's epoch at that time.
    pub assignment_epoch: i32,
    /// When the computation ended, milliseconds (KIP-1263, since Kafka 4.3); 0 where it is not known.
    pub assignment_timestamp: i64,
}

/// What a member is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupTargetAssignmentMemberValue {
    /// Per topic.
    pub topic_partitions: Vec<TopicPartition>,
}

/// The partitions of one topic in a target assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartition {
    /// The topic.
    pub topic_id: Uuid,
    /// Indexes.
    pub partitions: Vec<i32>,
}

/// What a member has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupCurrentMemberAssignmentValue {
    /// The epoch that its heartbeats must bear.
    pub member_epoch: i32,
    /// The one before, which it may still bear if the answer with the new one was lost.
    pub previous_member_epoch: i32,
    /// Kafka's `MemberState`: 0 stable, 1 unrevoked partitions, 2 unreleased partitions, 127 unknown.
    pub state: i8,
    /// What it may consume.
    pub assigned_partitions: Vec<TopicPartitions>,
    /// What it must give up first.
    pub partitions_pending_revocation: Vec<TopicPartitions>,
}

/// The partitions of one topic in a current assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitions {
    /// The topic.
    pub topic_id: Uuid,
    /// Indexes.
    pub partitions: Vec<i32>,
    /// In which epoch each of `partitions` was assigned, in their order: older commits are refused. Since Kafka 4.3;
    /// what older ones wrote reads as an empty list. Where it is not as long as `partitions`, Kafka takes the member's
    /// epoch, or 0 if that is negative, for all.
    pub assignment_epochs: Option<Vec<i32>>,
}

/// What a regular expression stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupRegularExpressionValue {
    /// Names of topics; Kafka writes them sorted.
    pub topics: Vec<String>,
    /// Which state of the cluster's metadata it was resolved against.
    pub version: i64,
    /// When it was resolved, milliseconds.
    pub timestamp: i64,
}

#[cfg(test)]
mod tests;
