//! What the group coordinator is asked and what it answers: Kafka's own messages where one names one group, plain values
//! where the API layer has taken a message apart (topics are resolved there, several groups are asked about one by one).
//!
//! Strings and bytes of a decoded request are slices of its frame, which may be large: what a group keeps it copies.

use crate::wire::errors::ErrorCode;
use bytes::Bytes;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as DescribedConsumerGroup;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The version of the API that the request came in.
    pub version: i16,
    /// What the client calls itself; empty where it does not.
    pub client_id: String,
    /// Its address, as Kafka prints it: `/127.0.0.1`.
    pub client_host: String,
}

/// A request to the coordinator of a group.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// JoinGroup. Parked until the rebalance is complete.
    JoinGroup {
        /// Who asks.
        caller: Caller,
        /// The message.
        request: JoinGroupRequest,
        /// A uuid never used before, in case that the member needs an id.
        fresh_id: Uuid,
    },
    /// SyncGroup. Parked until the leader has sent the assignments.
    SyncGroup {
        /// Who asks.
        caller: Caller,
        /// The message.
        request: SyncGroupRequest,
    },
    /// Heartbeat.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup, all versions in the form of version 3.
    LeaveGroup {
        /// The group.
        group_id: String,
        /// Who leaves, or is made to.
        members: Vec<MemberIdentity>,
    },
    /// ConsumerGroupHeartbeat (KIP-848).
    ConsumerGroupHeartbeat {
        /// Who asks.
        caller: Caller,
        /// The message.
        request: ConsumerGroupHeartbeatRequest,
        /// A uuid never used before, in case that the member needs an id (version 0).
        fresh_id: Uuid,
    },
    /// OffsetCommit of one group.
    CommitOffsets(CommitOffsets),
    /// OffsetFetch of one group.
    FetchOffsets(FetchOffsets),
    /// OffsetDelete.
    DeleteOffsets {
        /// The group.
        group_id: String,
        /// Which.
        partitions: Vec<(Arc<str>, i32)>,
    },
    /// DeleteGroups, one of them.
    DeleteGroup(String),
    /// ListGroups: all of this shard.
    ListGroups,
    /// DescribeGroups, one of them.
    DescribeGroup {
        /// The version of the API.
        version: i16,
        /// The group.
        group_id: String,
    },
    /// ConsumerGroupDescribe, one of them.
    DescribeConsumerGroup(String),
    /// Topics were deleted, by name and id: their offsets go.
    TopicsDeleted(BTreeMap<Arc<str>, Uuid>),
}

/// What is answered; each variant answers the request of its name.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To a join.
    JoinGroup(JoinGroupResponse),
    /// To a sync.
    SyncGroup(SyncGroupResponse),
    /// To a heartbeat.
    Heartbeat(ErrorCode),
    /// To a leave: an error for the whole, else what became of each member.
    LeaveGroup(Result<Vec<MemberResponse>, ErrorCode>),
    /// To a consumer group's heartbeat.
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse),
    /// To a commit: an error for the whole, else one code for each partition, in the order of the request.
    CommitOffsets(Result<Vec<ErrorCode>, ErrorCode>),
    /// To a fetch of offsets: an error for the whole, else what is committed.
    FetchOffsets(Result<Vec<FetchedOffset>, ErrorCode>),
    /// To a deletion of offsets: an error for the whole, else one code for each partition, in the order of the request.
    DeleteOffsets(Result<Vec<ErrorCode>, ErrorCode>),
    /// To a deletion of a group.
    DeleteGroup(ErrorCode),
    /// The groups of the shard.
    ListGroups(Vec<ListedGroup>),
    /// A classic group, or what stands for one that is none.
    DescribeGroup(DescribedGroup),
    /// A consumer group, or why it is none.
    DescribeConsumerGroup(DescribedConsumerGroup),
    /// To a deletion of topics.
    TopicsDeleted,
}

/// Offsets to commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitOffsets {
    /// The version of the API.
    pub version: i16,
    /// The group.
    pub group_id: String,
    /// The member; empty for a client that is none.
    pub member_id: String,
    /// The id of a static member.
    pub group_instance_id: Option<String>,
    /// The member's generation or epoch; negative for a client that is none.
    pub generation_id_or_member_epoch: i32,
    /// How long to keep them, milliseconds (versions 2 to 4); -1 for as long as the broker's setting says.
    pub retention_time_ms: i64,
    /// The producer in whose transaction they are committed (TxnOffsetCommit).
    pub producer_id: Option<i64>,
    /// What to commit.
    pub partitions: Vec<CommitOffset>,
}

/// An offset to commit, of a partition that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOffset {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The topic's id.
    pub topic_id: Uuid,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Leader epoch of the last record consumed; -1 where it is not known.
    pub leader_epoch: i32,
    /// What the client adds.
    pub metadata: Option<String>,
}

/// Whose offsets are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchOffsets {
    /// The group.
    pub group_id: String,
    /// The member, where it is told (version 9).
    pub member_id: Option<String>,
    /// The member's epoch; -1 where it is not told.
    pub member_epoch: i32,
    /// Which: topic, its id, partition; an id of nil is any. `None` is all there are.
    pub partitions: Option<Vec<(Arc<str>, Uuid, i32)>>,
    /// Whether offsets of open transactions are to be waited for (KIP-447).
    pub require_stable: bool,
}

/// A committed offset, as it is told. One that is not there, or not stable, is -1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset, or -1.
    pub offset: i64,
    /// Leader epoch of the last record consumed; -1 where it is not known.
    pub leader_epoch: i32,
    /// What the client added.
    pub metadata: String,
    /// The topic's id; nil where it was not committed with one.
    pub topic_id: Uuid,
    /// UNSTABLE_OFFSET_COMMIT: a transaction that may change it is open, and the request asked for stable ones.
    pub is_unstable: bool,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group_id: String,
    /// `consumer`, `connect` and so on; empty for a group that has never had members.
    pub protocol_type: String,
    /// Its state, in Kafka's spelling.
    pub state: &'static str,
    /// `classic` or `consumer`.
    pub group_type: &'static str,
}

/// Copies what a group keeps of a request, so that the frame is not kept with it.
pub fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// A join that is refused: no generation, no protocol, and what the member is called.
pub fn refused_join(code: ErrorCode, member_id: StrBytes) -> JoinGroupResponse {
    JoinGroupResponse::default().with_error_code(code.code()).with_generation_id(-1).with_member_id(member_id)
}
