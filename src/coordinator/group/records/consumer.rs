//! The values of consumer groups (KIP-848), field by field. All are at version 0, in the flexible form.
//!
//! In two tagged fields, `ClassicMemberMetadata` and `AssignmentEpochs`, Kafka writes null explicitly, and leaving the
//! field out means the empty value: their schemas say `"default": null`, which Kafka's generator takes for no default.

use super::codec::Flexible;
use super::*;
use crate::wire::fields::{FieldError, FieldReader, FieldWriter};

type Read<T> = Result<T, FieldError>;

impl Flexible for ConsumerGroupMetadataValue {
    fn read(from: &mut FieldReader) -> Read<Self> {
        let mut value = Self { epoch: from.int32("epoch")?, metadata_hash: 0 };
        from.tagged_fields(|tag, from| {
            if tag == 0 {
                value.metadata_hash = from.int64("metadataHash")?;
            }
            Ok(tag == 0)
        })?;
        Ok(value)
    }

    fn write(&self, out: &mut FieldWriter) {
        out.int32(self.epoch);
        out.tagged_fields(|tags| {
            if self.metadata_hash != 0 {
                tags.field(0, |out| out.int64(self.metadata_hash));
            }
        });
    }
}

impl Flexible for ConsumerGroupPartitionMetadataValue {
    fn read(from: &mut FieldReader) -> Read<Self> {
        let topics = from.array("topics", TopicMetadata::read)?;
        from.no_tagged_fields()?;
        Ok(Self { topics })
    }

    fn write(&self, out: &mut FieldWriter) {
        out.array("topics", &self.topics, |out, topic| topic.write(out));
        out.no_tagged_fields();
    }
}

impl Flexible for TopicMetadata {
    fn read(from: &mut FieldReader) -> Read<Self> {
        let topic = Self {
            topic_id: from.uuid("topicId")?,
            topic_name: from.string("topicName")?,
            num_partitions: from.int32("numPartitions")?,
            partition_metadata: from.array("partitionMetadata", PartitionMetadata::read)?,
        };
        from.no_tagged_fields()?;
        Ok(topic)
    }

    fn write(&self, out: &mut FieldWriter) {
        out.uuid(self.topic_id);
        out.string("topicName", &self.topic_name);
        out.int32(self.num_partitions);
        out.array("partitionMetadata", &self.partition_metadata, |out, partition| partition.write(out));
        out.no_tagged_fields();
    }
}

impl Flexible for PartitionMetadata {
    fn read(from: &mut FieldReader) -> Read<Self> {
        let partition = from.int32("partition")?;
        let racks = from.array("racks", |from| from.string("racks"))?;
        from.no_tagged_fields()?;
        Ok(Self { partition, racks })
    }

    fn write(&self, out: &mut FieldWriter) {
        out.int32(self.partition);
        out.array("racks", &self.racks, |out, rack| out.string("racks", rack));
        out.no_tagged_fields();
    }
}

impl Flexible for ConsumerGroupMemberMetadataValue {
    fn read(from: &mut FieldReader) -> Read<Self> {
        let mut value = Self {
            instance_id: from.nullable_string("instanceId")?,
            rack_id: from.nullable_string("rackId")?,
            client_id: from.string("clientId")?,
            client_host: from.string("clientHost")?,
            subscribed_topic_names: from.array("subscribedTopicNames", |from| from.string("subscribedTopicNames"))?,
            subscribed_topic_regex: from.nullable_string("subscribedTopicRegex")?,
            rebalance_timeout_ms: from.int32("rebalanceTimeoutMs")?,
            server_assignor: from.nullable_string("serverAssignor")?,
            classic_member_metadata: Some(ClassicMemberMetadata::left_out()),
        };
        from.tagged_fields(|tag, from| {
            if tag == 0 {
                let present = from.unsigned_varint("classicMemberMetadata")? != 0;
                value.classic_member_metadata = present.then(|| ClassicMemberMetadata::read(from)).transpose()?;
            }
            Ok(tag == 0)
        })?;
        Ok(value)
    }

    fn write(&self, out: &mut FieldWriter) {
        out.nullable_string("instanceId", self.instance_id.as_deref());
        out.nullable_string("rackId", self.rack_id.as_deref());
        out.string("clientId", &self.client_id);
        out.string("clientHost", &self.client_host);
        out.array("subscribedTopicNames", &self.subscribed_topic_names, |out, name| {
            out.string("subscribedTopicNames", name);
        });
        out.nullable_string("subscribedTopicRegex", self.subscribed_topic_regex.as_deref());
        out.int32(self.rebalance_timeout_ms);
        out.nullable_string("serverAssignor", self.server_assignor.as_deref());
        out.tagged_fields(|tags| match &self.classic_member_metadata {
            None => tags.field(0, |out| out.unsigned_varint(0)),
            Some(classic) if *classic == ClassicMemberMetadata::left_out() => (),
            Some(classic) => tags.field(0, |out| {
                out.unsigned_varint(1);
                classic.write(out);
            }),
        });
    }
}

impl ClassicMemberMetadata {
    /// What stands for a field that is not there.
    fn left_out() -> Self {
        Self { session_timeout_ms: 0, supported_protocols: Vec::new() }
    }
}

impl Flexible for ClassicMemberMetadata {
    fn read(from: &mut FieldReader) -> Read<Self> {
        let session_timeout_ms = from.int32("sessionTimeoutMs")?;
        let supported_protocols = from.array("supportedProtocols", ClassicProtocol::read)?;
        from.no_tagged_fields()?;
        Ok(Self { session_timeout_ms, supported_protocols })
    }

    fn write(&self, out: &mut FieldWriter) {
        out.int32(self.session_timeout_ms);
        out.array("supportedProtocols", &self.supported_protocols, |out, protocol| protocol.write(out));
        out.no_tagged_fields();
    }
}

impl Flexible for ClassicProtocol {
    fn read(from: &mut FieldReader) -> Read<Self> {
        let protocol = Self { name: from.string("name")?, metadata: from.bytes("metadata")? };
        from.no_tagged_fields()?;
        Ok(protocol)
    }

    fn write(&self, out: &mut FieldWriter) {
        out.string("name", &self.name);
        out.bytes("metadata", &self.metadata);
        out.no_tagged_fields();
    }
}

impl Flexible for ConsumerGroupTargetAssignmentMetadataValue {
    fn read(from: &mut FieldReader) -> Read<Self> {
        let mut value = Self { assignment_epoch: from.int32("assignmentEpoch")?, assignment_timestamp: 0 };
        from.tagged_fields(|tag, from| {
            if tag == 0 {
                value.assignment_timestamp = from.int64("assignmentTimestamp")?;
            }
            Ok(tag == 0)
        })?;
        Ok(value)
    }

    fn write(&self, out: &mut FieldWriter) {
        out.int32(self.assignment_epoch);
        out.tagged_fields(|tags| {
            if self.assignment_timestamp != 0 {
                tags.field(0, |out| out.int64(self.assignment_timestamp));
            }
        });
    }
}

impl Flexible for ConsumerGroupTargetAssignmentMemberValue {
    fn read(from: &mut FieldReader) -> Read<Self> {
        let topic_partitions = from.array("topicPartitions", TopicPartition::read)?;
        from.no_tagged_fields()?;
        Ok(Self { topic_partitions })
    }

    fn write(&self, out: &mut FieldWriter) {
        out.array("topicPartitions", &self.topic_partitions, |out, topic| topic.write(out));
        out.no_tagged_fields();
    }
}

impl Flexible for TopicPartition {
    fn read(from: &mut FieldReader) -> Read<Self> {
        let topic_id = from.uuid("topicId")?;
        let partitions = from.array("partitions", |from| from.int32("partitions"))?;
        from.no_tagged_fields()?;
        Ok(Self { topic_id, partitions })
    }

    fn write(&self, out: &mut FieldWriter) {
        out.uuid(self.topic_id);
        out.array("partitions", &self.partitions, |out, partition| out.int32(*partition));
        out.no_tagged_fields();
    }
}

impl Flexible for ConsumerGroupCurrentMemberAssignmentValue {
    fn read(from: &mut FieldReader) -> Read<Self> {
        let value = Self {
            member_epoch: from.int32("memberEpoch")?,
            previous_member_epoch: from.int32("previousMemberEpoch")?,
            state: from.int8("state")?,
            assigned_partitions: from.array("assignedPartitions", TopicPartitions::read)?,
            partitions_pending_revocation: from.array("partitionsPendingRevocation", TopicPartitions::read)?,
        };
        from.no_tagged_fields()?;
        Ok(value)
    }

    fn write(&self, out: &mut FieldWriter) {
        out.int32(self.member_epoch);
        out.int32(self.previous_member_epoch);
        out.int8(self.state);
        out.array("assignedPartitions", &self.assigned_partitions, |out, topic| topic.write(out));
        out.array("partitionsPendingRevocation", &self.partitions_pending_revocation, |out, topic| topic.write(out));
        out.no_tagged_fields();
    }
}

impl Flexible for TopicPartitions {
    fn read(from: &mut FieldReader) -> Read<Self> {
        let topic_id = from.uuid("topicId")?;
        let partitions = from.array("partitions", |from| from.int32("partitions"))?;
        let mut assignment_epochs = Some(Vec::new());
        from.tagged_fields(|tag, from| {
            if tag == 0 {
                assignment_epochs = from.nullable_array("assignmentEpochs", |from| from.int32("assignmentEpochs"))?;
            }
            Ok(tag == 0)
        })?;
        Ok(Self { topic_id, partitions, assignment_epochs })
    }

    fn write(&self, out: &mut FieldWriter) {
        out.uuid(self.topic_id);
        out.array("partitions", &self.partitions, |out, partition| out.int32(*partition));
        out.tagged_fields(|tags| {
            let epochs = self.assignment_epochs.as_deref();
            if epochs.is_none_or(|epochs| !epochs.is_empty()) {
                tags.field(0, |out| out.nullable_array("assignmentEpochs", epochs, |out, epoch| out.int32(*epoch)));
            }
        });
    }
}

impl Flexible for ConsumerGroupRegularExpressionValue {
    fn read(from: &mut FieldReader) -> Read<Self> {
        let value = Self {
            topics: from.array("topics", |from| from.string("topics"))?,
            version: from.int64("version")?,
            timestamp: from.int64("timestamp")?,
        };
        from.no_tagged_fields()?;
        Ok(value)
    }

    fn write(&self, out: &mut FieldWriter) {
        out.array("topics", &self.topics, |out, topic| out.string("topics", topic));
        out.int64(self.version);
        out.int64(self.timestamp);
        out.no_tagged_fields();
    }
}
