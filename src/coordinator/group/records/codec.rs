//! [`Record`] to bytes and back.
//!
//! A key is the record's type and the key's fields, a value its version and the value's fields (Kafka's
//! `CoordinatorRecordSerde`). Every version that Kafka 4.3 reads is read; each value is written in the version that
//! Kafka 4.3 writes (`GroupCoordinatorRecordHelpers`). A type that is not known is told apart, for the loader to pass
//! over; a version that is not known is an error, since Kafka too refuses to load a partition that has one. What a
//! newer Kafka adds in tagged fields is dropped.

use super::*;
use crate::coordinator::records::{self, Decoded, Decoding, RecordError};
use crate::wire::fields::{FieldError, FieldReader, FieldWriter};

const LEGACY_OFFSET_COMMIT: i16 = 0;
const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;
const CONSUMER_GROUP_METADATA: i16 = 3;
const CONSUMER_GROUP_PARTITION_METADATA: i16 = 4;
const CONSUMER_GROUP_MEMBER_METADATA: i16 = 5;
const CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA: i16 = 6;
const CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER: i16 = 7;
const CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT: i16 = 8;
const CONSUMER_GROUP_REGULAR_EXPRESSION: i16 = 16;

/// Of both values that have several versions, the first that is flexible.
const FLEXIBLE_SINCE: i16 = 4;
/// The version of an offset with a time of expiry, which no other has.
const OFFSET_COMMIT_EXPIRING: i16 = 1;
/// The version of every other offset.
const OFFSET_COMMIT_VALUE: i16 = 4;
/// The version of a classic group.
const GROUP_METADATA_VALUE: i16 = 3;

type Read<T> = Result<T, FieldError>;

impl Record {
    /// Key and value as Kafka 4.3 writes them; a tombstone has no value. An error means that a field does not fit its
    /// length: text of more than 32767 bytes, most likely.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), RecordError> {
        records::encoded(self.record_type(), |out| self.write_key(out), self.value())
    }

    /// What `key` and `value` say. Of a type that is not known are share and streams groups.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Decoded<Record>, RecordError> {
        decode(Decoding::new(key, value)?)
    }

    /// The number that stands for the kind of record.
    pub fn record_type(&self) -> i16 {
        match self {
            Self::OffsetCommit { .. } => OFFSET_COMMIT,
            Self::GroupMetadata { .. } => GROUP_METADATA,
            Self::ConsumerGroupMetadata { .. } => CONSUMER_GROUP_METADATA,
            Self::ConsumerGroupPartitionMetadata { .. } => CONSUMER_GROUP_PARTITION_METADATA,
            Self::ConsumerGroupMemberMetadata { .. } => CONSUMER_GROUP_MEMBER_METADATA,
            Self::ConsumerGroupTargetAssignmentMetadata { .. } => CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA,
            Self::ConsumerGroupTargetAssignmentMember { .. } => CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER,
            Self::ConsumerGroupCurrentMemberAssignment { .. } => CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT,
            Self::ConsumerGroupRegularExpression { .. } => CONSUMER_GROUP_REGULAR_EXPRESSION,
        }
    }

    fn write_key(&self, out: &mut FieldWriter) {
        match self {
            Self::OffsetCommit { key, .. } => {
                out.string("group", &key.group);
                out.string("topic", &key.topic);
                out.int32(key.partition);
            }
            Self::GroupMetadata { group_id, .. } => out.string("group", group_id),
            Self::ConsumerGroupMetadata { group_id, .. }
            | Self::ConsumerGroupPartitionMetadata { group_id, .. }
            | Self::ConsumerGroupTargetAssignmentMetadata { group_id, .. } => out.string("groupId", group_id),
            Self::ConsumerGroupMemberMetadata { group_id, member_id, .. }
            | Self::ConsumerGroupTargetAssignmentMember { group_id, member_id, .. }
            | Self::ConsumerGroupCurrentMemberAssignment { group_id, member_id, .. } => {
                out.string("groupId", group_id);
                out.string("memberId", member_id);
            }
            Self::ConsumerGroupRegularExpression { group_id, regular_expression, .. } => {
                out.string("groupId", group_id);
                out.string("regularExpression", regular_expression);
            }
        }
    }

    fn value(&self) -> Option<FieldWriter> {
        Some(match self {
            Self::OffsetCommit { value, .. } => value.as_ref()?.write(),
            Self::GroupMetadata { value, .. } => value.as_ref()?.write(),
            Self::ConsumerGroupMetadata { value, .. } => write(value.as_ref()?),
            Self::ConsumerGroupPartitionMetadata { value, .. } => write(value.as_ref()?),
            Self::ConsumerGroupMemberMetadata { value, .. } => write(value.as_ref()?),
            Self::ConsumerGroupTargetAssignmentMetadata { value, .. } => write(value.as_ref()?),
            Self::ConsumerGroupTargetAssignmentMember { value, .. } => write(value.as_ref()?),
            Self::ConsumerGroupCurrentMemberAssignment { value, .. } => write(value.as_ref()?),
            Self::ConsumerGroupRegularExpression { value, .. } => write(value.as_ref()?),
        })
    }
}

fn decode(mut from: Decoding<'_>) -> Result<Decoded<Record>, RecordError> {
    Ok(Decoded::Known(match from.record_type {
        LEGACY_OFFSET_COMMIT => Record::OffsetCommit {
            key: OffsetCommitKey {
                group: from.text("group")?,
                topic: from.text("topic")?,
                partition: from.int32("partition")?,
            },
            value: from.versioned(0, OffsetCommitValue::read_legacy)?,
        },
        OFFSET_COMMIT => Record::OffsetCommit {
            key: OffsetCommitKey {
                group: from.text("group")?,
                topic: from.text("topic")?,
                partition: from.int32("partition")?,
            },
            value: from.versioned(4, OffsetCommitValue::read)?,
        },
        GROUP_METADATA => {
            Record::GroupMetadata { group_id: from.text("group")?, value: from.versioned(4, GroupMetadataValue::read)? }
        }
        CONSUMER_GROUP_METADATA => {
            Record::ConsumerGroupMetadata { group_id: from.text("groupId")?, value: flexible(&from)? }
        }
        CONSUMER_GROUP_PARTITION_METADATA => {
            Record::ConsumerGroupPartitionMetadata { group_id: from.text("groupId")?, value: flexible(&from)? }
        }
        CONSUMER_GROUP_MEMBER_METADATA => Record::ConsumerGroupMemberMetadata {
            group_id: from.text("groupId")?,
            member_id: from.text("memberId")?,
            value: flexible(&from)?,
        },
        CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA => {
            Record::ConsumerGroupTargetAssignmentMetadata { group_id: from.text("groupId")?, value: flexible(&from)? }
        }
        CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER => Record::ConsumerGroupTargetAssignmentMember {
            group_id: from.text("groupId")?,
            member_id: from.text("memberId")?,
            value: flexible(&from)?,
        },
        CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT => Record::ConsumerGroupCurrentMemberAssignment {
            group_id: from.text("groupId")?,
            member_id: from.text("memberId")?,
            value: flexible(&from)?,
        },
        CONSUMER_GROUP_REGULAR_EXPRESSION => Record::ConsumerGroupRegularExpression {
            group_id: from.text("groupId")?,
            regular_expression: from.text("regularExpression")?,
            value: flexible(&from)?,
        },
        unknown => return Ok(Decoded::Unknown(unknown)),
    }))
}

/// A value whose only version is 0 and flexible.
fn flexible<T: Flexible>(from: &Decoding<'_>) -> Result<Option<T>, RecordError> {
    from.versioned(0, |from, _| {
        from.set_flexible(true);
        T::read(from)
    })
}

/// A value, or part of one, that has been flexible from its version 0, which is still the only one.
pub(super) trait Flexible: Sized {
    /// Reads the fields, tagged ones included.
    fn read(from: &mut FieldReader) -> Read<Self>;
    /// Writes them.
    fn write(&self, out: &mut FieldWriter);
}

fn write(value: &impl Flexible) -> FieldWriter {
    let mut out = FieldWriter::new(true);
    out.int16(0);
    value.write(&mut out);
    out
}

impl OffsetCommitValue {
    fn read(from: &mut FieldReader, version: i16) -> Read<Self> {
        from.set_flexible(version >= FLEXIBLE_SINCE);
        let mut value = Self {
            offset: from.int64("offset")?,
            leader_epoch: if version >= 3 { from.int32("leaderEpoch")? } else { -1 },
            metadata: from.string("metadata")?,
            commit_timestamp: from.int64("commitTimestamp")?,
            expire_timestamp: if version == 1 { from.int64("expireTimestamp")? } else { -1 },
            topic_id: Uuid::nil(),
        };
        from.tagged_fields(|tag, from| {
            if tag == 0 {
                value.topic_id = from.uuid("topicId")?;
            }
            Ok(tag == 0)
        })?;
        Ok(value)
    }

    fn read_legacy(from: &mut FieldReader, _version: i16) -> Read<Self> {
        Ok(Self {
            offset: from.int64("offset")?,
            leader_epoch: -1,
            metadata: from.string("metadata")?,
            commit_timestamp: from.int64("commitTimestamp")?,
            expire_timestamp: -1,
            topic_id: Uuid::nil(),
        })
    }

    /// An offset that expires has a version of its own, which lacks the leader epoch and the topic's id.
    fn write(&self) -> FieldWriter {
        let version = if self.expire_timestamp == -1 { OFFSET_COMMIT_VALUE } else { OFFSET_COMMIT_EXPIRING };
        let mut out = FieldWriter::new(version >= FLEXIBLE_SINCE);
        out.int16(version);
        out.int64(self.offset);
        if version >= 3 {
            out.int32(self.leader_epoch);
        }
        out.string("metadata", &self.metadata);
        out.int64(self.commit_timestamp);
        if version == OFFSET_COMMIT_EXPIRING {
            out.int64(self.expire_timestamp);
        }
        out.tagged_fields(|tags| {
            if !self.topic_id.is_nil() {
                tags.field(0, |out| out.uuid(self.topic_id));
            }
        });
        out
    }
}

impl GroupMetadataValue {
    fn read(from: &mut FieldReader, version: i16) -> Read<Self> {
        from.set_flexible(version >= FLEXIBLE_SINCE);
        let value = Self {
            protocol_type: from.string("protocolType")?,
            generation: from.int32("generation")?,
            protocol: from.nullable_string("protocol")?,
            leader: from.nullable_string("leader")?,
            current_state_timestamp: if version >= 2 { from.int64("currentStateTimestamp")? } else { -1 },
            members: from.array("members", |from| MemberMetadata::read(from, version))?,
        };
        from.no_tagged_fields()?;
        Ok(value)
    }

    fn write(&self) -> FieldWriter {
        let mut out = FieldWriter::new(GROUP_METADATA_VALUE >= FLEXIBLE_SINCE);
        out.int16(GROUP_METADATA_VALUE);
        out.string("protocolType", &self.protocol_type);
        out.int32(self.generation);
        out.nullable_string("protocol", self.protocol.as_deref());
        out.nullable_string("leader", self.leader.as_deref());
        out.int64(self.current_state_timestamp);
        out.array("members", &self.members, |out, member| member.write(out));
        out.no_tagged_fields();
        out
    }
}

impl MemberMetadata {
    fn read(from: &mut FieldReader, version: i16) -> Read<Self> {
        let member = Self {
            member_id: from.string("memberId")?,
            group_instance_id: if version >= 3 { from.nullable_string("groupInstanceId")? } else { None },
            client_id: from.string("clientId")?,
            client_host: from.string("clientHost")?,
            rebalance_timeout: if version >= 1 { from.int32("rebalanceTimeout")? } else { -1 },
            session_timeout: from.int32("sessionTimeout")?,
            subscription: from.bytes("subscription")?,
            assignment: from.bytes("assignment")?,
        };
        from.no_tagged_fields()?;
        Ok(member)
    }

    fn write(&self, out: &mut FieldWriter) {
        out.string("memberId", &self.member_id);
        out.nullable_string("groupInstanceId", self.group_instance_id.as_deref());
        out.string("clientId", &self.client_id);
        out.string("clientHost", &self.client_host);
        out.int32(self.rebalance_timeout);
        out.int32(self.session_timeout);
        out.bytes("subscription", &self.subscription);
        out.bytes("assignment", &self.assignment);
        out.no_tagged_fields();
    }
}
