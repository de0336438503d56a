//! The Fetch reply, versions 4 to 18, written by hand: the codec would copy every record byte, and could not take a
//! region of a file at all. A test compares every version with the codec's own encoding.
//!
//! Left out: what only followers are sent (diverging epochs, KIP-595; snapshot ids, KIP-630).

use super::errors::ErrorCode;
use super::rope::{Rope, RopeBuilder, TooLong};
use crate::log::{Offset, Slice};
use crate::wire::frame::{put_unsigned_varint, unsigned_varint_size};
use bytes::{BufMut, BytesMut};
use std::sync::Arc;
use uuid::Uuid;

/// A reply to Fetch.
#[derive(Clone, Debug, Default)]
pub struct FetchReply {
    /// How long the client was throttled, in milliseconds.
    pub throttle_time_ms: i32,
    /// What is wrong with the request as a whole; versions before 7 cannot say.
    pub error_code: Option<ErrorCode>,
    /// The fetch session (KIP-227), or 0; versions before 7 have none.
    pub session_id: i32,
    /// What was fetched.
    pub topics: Vec<FetchedTopic>,
    /// Where the leaders named in `current_leader` are (KIP-951); from version 16.
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// The partitions of one topic.
#[derive(Clone, Debug)]
pub struct FetchedTopic {
    /// Its name; goes out up to version 12.
    pub name: Arc<str>,
    /// Its id; goes out from version 13 (KIP-516).
    pub id: Uuid,
    /// What was fetched of it.
    pub partitions: Vec<FetchedPartition>,
}

/// What was fetched of one partition.
#[derive(Clone, Debug)]
pub struct FetchedPartition {
    /// The partition.
    pub index: i32,
    /// What went wrong, if anything.
    pub error_code: Option<ErrorCode>,
    /// Offset after the last record that readers may see, or -1.
    pub high_watermark: Offset,
    /// Offset of the first record of an open transaction, or -1.
    pub last_stable_offset: Offset,
    /// Offset of the first record there is, or -1; from version 5.
    pub log_start_offset: Offset,
    /// Aborted transactions within the records; `None` for a reader that did not ask.
    pub aborted: Option<Vec<AbortedTransaction>>,
    /// The broker to read from instead (KIP-392), or -1; from version 11.
    pub preferred_read_replica: i32,
    /// The records, in order; `None` is null, which Kafka does not send: an error has no slices.
    pub records: Option<Vec<Slice>>,
    /// The leader and its epoch, for a client that asked the wrong broker (KIP-951); from version 12.
    pub current_leader: Option<(i32, i32)>,
}

/// A transaction whose records a `read_committed` reader has to drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer_id: i64,
    /// Its first record.
    pub first_offset: Offset,
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEndpoint {
    /// Its node id.
    pub node_id: i32,
    /// Host name or address.
    pub host: Arc<str>,
    /// Port.
    pub port: i32,
    /// Its rack.
    pub rack: Option<Arc<str>>,
}

impl FetchedPartition {
    /// A partition that gives nothing but an error.
    pub fn error(index: i32, error_code: ErrorCode) -> Self {
        FetchedPartition {
            index,
            error_code: Some(error_code),
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            aborted: None,
            preferred_read_replica: -1,
            records: Some(Vec::new()),
            current_leader: None,
        }
    }

    /// Bytes of records in it.
    pub fn records_size(&self) -> usize {
        self.records.iter().flatten().map(Slice::len).sum()
    }
}

impl FetchReply {
    /// The whole reply with its header, in a version from 4 to 18.
    pub fn encode(self, version: i16, correlation_id: i32) -> Result<Rope, TooLong> {
        let flexible = version >= 12;
        let partitions: usize = self.topics.iter().map(|topic| topic.partitions.len()).sum();
        let capacity = 32 + 64 * self.topics.len() + 64 * partitions;
        let mut out = RopeBuilder::reply(correlation_id, i16::from(flexible), capacity);
        out.fields().put_i32(self.throttle_time_ms);
        if version >= 7 {
            out.fields().put_i16(code(self.error_code));
            out.fields().put_i32(self.session_id);
        }
        put_count(out.fields(), flexible, Some(self.topics.len()))?;
        for topic in self.topics {
            if version >= 13 {
                out.fields().extend_from_slice(topic.id.as_bytes());
            } else {
                put_string(out.fields(), flexible, &topic.name)?;
            }
            put_count(out.fields(), flexible, Some(topic.partitions.len()))?;
            for partition in topic.partitions {
                put_partition(&mut out, version, partition)?;
            }
            if flexible {
                out.fields().put_u8(0);
            }
        }
        if flexible {
            put_endpoints(out.fields(), if version >= 16 { &self.node_endpoints } else { &[] })?;
        }
        out.finish()
    }
}

fn put_partition(out: &mut RopeBuilder, version: i16, partition: FetchedPartition) -> Result<(), TooLong> {
    let flexible = version >= 12;
    let fields = out.fields();
    fields.put_i32(partition.index);
    fields.put_i16(code(partition.error_code));
    fields.put_i64(partition.high_watermark);
    fields.put_i64(partition.last_stable_offset);
    if version >= 5 {
        fields.put_i64(partition.log_start_offset);
    }
    put_count(fields, flexible, partition.aborted.as_ref().map(Vec::len))?;
    for aborted in partition.aborted.iter().flatten() {
        fields.put_i64(aborted.producer_id);
        fields.put_i64(aborted.first_offset);
        if flexible {
            fields.put_u8(0);
        }
    }
    if version >= 11 {
        fields.put_i32(partition.preferred_read_replica);
    }
    let size = partition.records.is_some().then(|| partition.records_size());
    put_count(fields, flexible, size)?;
    for slice in partition.records.into_iter().flatten() {
        out.slice(slice);
    }
    if flexible {
        put_current_leader(out.fields(), partition.current_leader);
    }
    Ok(())
}

/// The tagged fields of a partition: tag 1 or none. What says as much as its absence is left out, as Kafka does.
fn put_current_leader(out: &mut BytesMut, leader: Option<(i32, i32)>) {
    match leader {
        None | Some((-1, -1)) => out.put_u8(0),
        Some((id, epoch)) => {
            out.extend_from_slice(&[1, 1, 9]);
            out.put_i32(id);
            out.put_i32(epoch);
            out.put_u8(0);
        }
    }
}

/// The tagged fields of the reply: tag 0 or none.
fn put_endpoints(out: &mut BytesMut, endpoints: &[NodeEndpoint]) -> Result<(), TooLong> {
    if endpoints.is_empty() {
        out.put_u8(0);
        return Ok(());
    }
    let mut field = BytesMut::new();
    put_count(&mut field, true, Some(endpoints.len()))?;
    for endpoint in endpoints {
        field.put_i32(endpoint.node_id);
        put_string(&mut field, true, &endpoint.host)?;
        field.put_i32(endpoint.port);
        match &endpoint.rack {
            Some(rack) => put_string(&mut field, true, rack)?,
            None => field.put_u8(0),
        }
        field.put_u8(0);
    }
    let size = u32::try_from(field.len()).map_err(|_| TooLong)?;
    out.reserve(2 + unsigned_varint_size(size) + field.len());
    out.extend_from_slice(&[1, 0]);
    put_unsigned_varint(out, size);
    out.extend_from_slice(&field);
    Ok(())
}

fn code(error_code: Option<ErrorCode>) -> i16 {
    error_code.unwrap_or(ErrorCode::None).code()
}

/// The length of an array or of bytes, `None` for null.
fn put_count(out: &mut BytesMut, flexible: bool, count: Option<usize>) -> Result<(), TooLong> {
    let count = count.map(i32::try_from).transpose().map_err(|_| TooLong)?;
    match (flexible, count) {
        (true, Some(count)) => put_unsigned_varint(out, count.unsigned_abs() + 1),
        (true, None) => out.put_u8(0),
        (false, count) => out.put_i32(count.unwrap_or(-1)),
    }
    Ok(())
}

fn put_string(out: &mut BytesMut, flexible: bool, text: &str) -> Result<(), TooLong> {
    if flexible {
        put_count(out, true, Some(text.len()))?;
    } else {
        out.put_i16(i16::try_from(text.len()).map_err(|_| TooLong)?);
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use kafka_protocol::messages::fetch_response as codec;
    use kafka_protocol::messages::{BrokerId, FetchResponse, ProducerId, ResponseHeader, TopicName};
    use kafka_protocol::protocol::{Encodable, HeaderVersion, StrBytes};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    fn error() -> impl Strategy<Value = Option<ErrorCode>> {
        option::of((-1i16..=133).prop_map(|code| ErrorCode::from_code(code).unwrap()))
    }

    fn slices() -> impl Strategy<Value = Vec<Slice>> {
        vec(vec(any::<u8>(), 0..300).prop_map(|bytes| Slice::Memory(bytes.into())), 0..4)
    }

    prop_compose! {
        fn partition()(
            (index, error_code) in (any::<i32>(), error()),
            offsets in any::<(i64, i64, i64)>(),
            aborted in option::of(vec(any::<(i64, i64)>(), 0..4)),
            preferred_read_replica in any::<i32>(),
            records in option::of(slices()),
            current_leader in option::of(prop_oneof![Just((-1, -1)), any::<(i32, i32)>()]),
        ) -> FetchedPartition {
            let aborted = aborted.map(|all| {
                all.into_iter().map(|(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset })
            });
            FetchedPartition {
                index, error_code, preferred_read_replica, records, current_leader,
                high_watermark: offsets.0, last_stable_offset: offsets.1, log_start_offset: offsets.2,
                aborted: aborted.map(Iterator::collect),
            }
        }
    }

    prop_compose! {
        fn reply()(
            throttle_time_ms in any::<i32>(), error_code in error(), session_id in any::<i32>(),
            topics in vec(("[a-z]{0,200}", any::<u128>(), vec(partition(), 0..4)), 0..4),
            endpoints in vec((any::<i32>(), "[a-z.]{0,150}", any::<i32>(), option::of("[a-z]{0,9}")), 0..3),
        ) -> FetchReply {
            let topics = topics.into_iter().map(|(name, id, partitions)| FetchedTopic {
                name: name.into(), id: Uuid::from_u128(id), partitions,
            });
            let endpoints = endpoints.into_iter().map(|(node_id, host, port, rack)| NodeEndpoint {
                node_id, host: host.into(), port, rack: rack.map(Into::into),
            });
            FetchReply {
                throttle_time_ms, error_code, session_id, topics: topics.collect(), node_endpoints: endpoints.collect(),
            }
        }
    }

    fn text(text: &str) -> StrBytes {
        StrBytes::from_string(text.to_owned())
    }

    /// The same reply in the codec's structs; it refuses fields that a version does not have.
    fn for_codec(reply: &FetchReply, version: i16) -> FetchResponse {
        let topics = reply.topics.iter().map(|topic| {
            codec::FetchableTopicResponse::default()
                .with_topic(TopicName(text(&topic.name)))
                .with_topic_id(topic.id)
                .with_partitions(topic.partitions.iter().map(|one| partition_for_codec(one, version)).collect())
        });
        let endpoints = reply.node_endpoints.iter().filter(|_| version >= 16).map(|endpoint| {
            codec::NodeEndpoint::default()
                .with_node_id(BrokerId(endpoint.node_id))
                .with_host(text(&endpoint.host))
                .with_port(endpoint.port)
                .with_rack(endpoint.rack.as_deref().map(text))
        });
        FetchResponse::default()
            .with_throttle_time_ms(reply.throttle_time_ms)
            .with_error_code(code(reply.error_code))
            .with_session_id(if version >= 7 { reply.session_id } else { 0 })
            .with_responses(topics.collect())
            .with_node_endpoints(endpoints.collect())
    }

    fn partition_for_codec(partition: &FetchedPartition, version: i16) -> codec::PartitionData {
        let records = partition.records.as_ref().map(|slices| flat(slices.clone()).into());
        let leader = partition.current_leader.filter(|_| version >= 12).unwrap_or((-1, -1));
        let aborted = partition.aborted.as_ref().map(|all| {
            let one = |aborted: &AbortedTransaction| {
                codec::AbortedTransaction::default()
                    .with_producer_id(ProducerId(aborted.producer_id))
                    .with_first_offset(aborted.first_offset)
            };
            all.iter().map(one).collect()
        });
        codec::PartitionData::default()
            .with_partition_index(partition.index)
            .with_error_code(code(partition.error_code))
            .with_high_watermark(partition.high_watermark)
            .with_last_stable_offset(partition.last_stable_offset)
            .with_log_start_offset(partition.log_start_offset)
            .with_aborted_transactions(aborted)
            .with_preferred_read_replica(BrokerId(if version >= 11 { partition.preferred_read_replica } else { -1 }))
            .with_records(records)
            .with_current_leader(
                codec::LeaderIdAndEpoch::default().with_leader_id(BrokerId(leader.0)).with_leader_epoch(leader.1),
            )
    }

    fn flat(slices: Vec<Slice>) -> Vec<u8> {
        let mut out = Vec::new();
        for slice in slices {
            match slice {
                Slice::Memory(bytes) => out.extend_from_slice(&bytes),
                Slice::File { .. } => unreachable!(),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn every_version_is_what_the_codec_writes(reply in reply(), correlation_id in any::<i32>()) {
            for version in 4..=18 {
                let mut expected = BytesMut::new();
                expected.put_i32(0);
                let header = ResponseHeader::default().with_correlation_id(correlation_id);
                header.encode(&mut expected, FetchResponse::header_version(version)).unwrap();
                for_codec(&reply, version).encode(&mut expected, version).unwrap();
                let length = i32::try_from(expected.len() - 4).unwrap();
                expected[..4].copy_from_slice(&length.to_be_bytes());
                let written = reply.clone().encode(version, correlation_id).unwrap();
                prop_assert_eq!(written.len(), expected.len());
                prop_assert_eq!(Bytes::from(flat(written.into_segments())), expected.freeze(), "version {}", version);
            }
        }
    }
}
