//! OffsetCommit's request to version 10, which names topics by id (KIP-848); kafka-protocol's codec stops at 9.

use super::flexible::{Reader, Writer};
use anyhow::{Result, ensure};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetCommitResponse};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{self, Decodable, Encodable, HeaderVersion, Message, VersionRange};

/// The version that is written out here. The one before it has names in place of ids, and nothing else is different.
const WITH_IDS: i16 = 10;
/// The fewest bytes of a topic (id, count, tags) and of a partition (index, offset, epoch, text, tags).
const TOPIC_LEAST: usize = 18;
const PARTITION_LEAST: usize = 18;

/// OffsetCommit's request. In version 10 `topic_id` of a topic counts, before it `name`; the other is empty.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Request(pub OffsetCommitRequest);

/// OffsetCommit's response, which the codec knows.
pub type Response = OffsetCommitResponse;

impl Message for Request {
    const VERSIONS: VersionRange = VersionRange { min: 2, max: WITH_IDS };
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for Request {
    fn header_version(version: i16) -> i16 {
        OffsetCommitRequest::header_version(version)
    }
}

impl protocol::Request for Request {
    const KEY: i16 = OffsetCommitRequest::KEY;
    type Response = Response;
}

impl Decodable for Request {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self> {
        if version < WITH_IDS {
            return OffsetCommitRequest::decode(buf, version).map(Request);
        }
        ensure!(version == WITH_IDS, "OffsetCommit has no version {version}");
        let read = &mut Reader(buf);
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(read.text()?))
            .with_generation_id_or_member_epoch(read.int32()?)
            .with_member_id(read.text()?)
            .with_group_instance_id(read.nullable_text()?)
            .with_topics(read.array(TOPIC_LEAST, topic)?)
            .with_unknown_tagged_fields(read.tagged_fields()?);
        Ok(Request(request))
    }
}

fn topic<B: ByteBuf>(read: &mut Reader<'_, B>) -> Result<OffsetCommitRequestTopic> {
    Ok(OffsetCommitRequestTopic::default()
        .with_topic_id(read.uuid()?)
        .with_partitions(read.array(PARTITION_LEAST, partition)?)
        .with_unknown_tagged_fields(read.tagged_fields()?))
}

fn partition<B: ByteBuf>(read: &mut Reader<'_, B>) -> Result<OffsetCommitRequestPartition> {
    Ok(OffsetCommitRequestPartition::default()
        .with_partition_index(read.int32()?)
        .with_committed_offset(read.int64()?)
        .with_committed_leader_epoch(read.int32()?)
        .with_committed_metadata(read.nullable_text()?)
        .with_unknown_tagged_fields(read.tagged_fields()?))
}

impl Encodable for Request {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> Result<()> {
        let Request(request) = self;
        if version < WITH_IDS {
            return request.encode(buf, version);
        }
        ensure!(version == WITH_IDS, "OffsetCommit has no version {version}");
        let write = &mut Writer(buf);
        write.text(&request.group_id)?;
        write.int32(request.generation_id_or_member_epoch);
        write.text(&request.member_id)?;
        write.nullable_text(request.group_instance_id.as_deref())?;
        write.array(&request.topics, put_topic)?;
        write.tagged_fields(&request.unknown_tagged_fields)
    }

    fn compute_size(&self, version: i16) -> Result<usize> {
        let mut out = Vec::new();
        self.encode(&mut out, version)?;
        Ok(out.len())
    }
}

fn put_topic<B: ByteBufMut>(write: &mut Writer<'_, B>, topic: &OffsetCommitRequestTopic) -> Result<()> {
    write.uuid(topic.topic_id);
    write.array(&topic.partitions, |write, partition| {
        write.int32(partition.partition_index);
        write.int64(partition.committed_offset);
        write.int32(partition.committed_leader_epoch);
        write.nullable_text(partition.committed_metadata.as_deref())?;
        write.tagged_fields(&partition.unknown_tagged_fields)
    })?;
    write.tagged_fields(&topic.unknown_tagged_fields)
}
