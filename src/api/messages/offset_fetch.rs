//! OffsetFetch's request to version 10, which names topics by id (KIP-848); kafka-protocol's codec stops at 9.

use super::flexible::{Reader, Writer};
use anyhow::{Result, ensure};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{self, Decodable, Encodable, HeaderVersion, Message, VersionRange};

/// The version that is written out here. The one before it has names in place of ids, and nothing else is different.
const WITH_IDS: i16 = 10;
/// The fewest bytes of a group (two texts, epoch, count, tags), of a topic (id, count, tags), of a partition's index.
const GROUP_LEAST: usize = 8;
const TOPIC_LEAST: usize = 18;
const INDEX_LEAST: usize = 4;

/// OffsetFetch's request. In version 10 `topic_id` of a topic counts, before it `name`; the other is empty.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Request(pub OffsetFetchRequest);

/// OffsetFetch's response, which the codec knows.
pub type Response = OffsetFetchResponse;

impl Message for Request {
    const VERSIONS: VersionRange = VersionRange { min: 1, max: WITH_IDS };
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for Request {
    fn header_version(version: i16) -> i16 {
        OffsetFetchRequest::header_version(version)
    }
}

impl protocol::Request for Request {
    const KEY: i16 = OffsetFetchRequest::KEY;
    type Response = Response;
}

impl Decodable for Request {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> Result<Self> {
        if version < WITH_IDS {
            return OffsetFetchRequest::decode(buf, version).map(Request);
        }
        ensure!(version == WITH_IDS, "OffsetFetch has no version {version}");
        let read = &mut Reader(buf);
        let request = OffsetFetchRequest::default()
            .with_groups(read.array(GROUP_LEAST, group)?)
            .with_require_stable(read.boolean()?)
            .with_unknown_tagged_fields(read.tagged_fields()?);
        Ok(Request(request))
    }
}

fn group<B: ByteBuf>(read: &mut Reader<'_, B>) -> Result<OffsetFetchRequestGroup> {
    Ok(OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(read.text()?))
        .with_member_id(read.nullable_text()?)
        .with_member_epoch(read.int32()?)
        .with_topics(read.nullable_array(TOPIC_LEAST, topic)?)
        .with_unknown_tagged_fields(read.tagged_fields()?))
}

fn topic<B: ByteBuf>(read: &mut Reader<'_, B>) -> Result<OffsetFetchRequestTopics> {
    Ok(OffsetFetchRequestTopics::default()
        .with_topic_id(read.uuid()?)
        .with_partition_indexes(read.array(INDEX_LEAST, Reader::int32)?)
        .with_unknown_tagged_fields(read.tagged_fields()?))
}

impl Encodable for Request {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> Result<()> {
        let Request(request) = self;
        if version < WITH_IDS {
            return request.encode(buf, version);
        }
        ensure!(version == WITH_IDS, "OffsetFetch has no version {version}");
        let write = &mut Writer(buf);
        write.array(&request.groups, put_group)?;
        write.boolean(request.require_stable);
        write.tagged_fields(&request.unknown_tagged_fields)
    }

    fn compute_size(&self, version: i16) -> Result<usize> {
        let mut out = Vec::new();
        self.encode(&mut out, version)?;
        Ok(out.len())
    }
}

fn put_group<B: ByteBufMut>(write: &mut Writer<'_, B>, group: &OffsetFetchRequestGroup) -> Result<()> {
    write.text(&group.group_id)?;
    write.nullable_text(group.member_id.as_deref())?;
    write.int32(group.member_epoch);
    write.nullable_array(group.topics.as_deref(), |write, topic| {
        write.uuid(topic.topic_id);
        write.array(&topic.partition_indexes, |write, index| {
            write.int32(*index);
            Ok(())
        })?;
        write.tagged_fields(&topic.unknown_tagged_fields)
    })?;
    write.tagged_fields(&group.unknown_tagged_fields)
}
