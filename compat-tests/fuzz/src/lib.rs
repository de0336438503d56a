//! What the fuzz targets do with their bytes. In a library, so that an ordinary test can replay the corpus; a finding
//! is a panic, an abort, or memory beyond the limits that `scripts/fuzz` sets.

mod kept;
mod recovery;

pub use kept::kept;
pub use recovery::recovery;

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Decodable;
use ottla::api::messages;
use ottla::wire::batch::checksum;
use ottla::wire::records::{RecordsError, walk};
use ottla::wire::shape;
use ottla::wire::validate::{Rules, TimestampType, validate};

const BUDGET: usize = 16 << 20;
const DECOMPRESSED_LIMIT: usize = 8 << 20;

/// A frame without its size: request header and body go through the guard, and what passes is decoded, which must
/// end where the guard said.
pub fn frame_requests(data: &[u8]) {
    let Some(&[key_high, key_low, version_high, version_low]) = data.first_chunk() else { return };
    let key = i16::from_be_bytes([key_high, key_low]);
    let version = i16::from_be_bytes([version_high, version_low]);
    let Some(header_version) = shape::request_header_version(key, version) else { return };
    let Ok(header) = shape::check_request_header(data, header_version, BUDGET) else { return };
    if let Some(left) = left_after::<RequestHeader>(data, header_version) {
        assert_eq!(left, data.len() - header.consumed, "the guard and the decoder disagree on the header");
    }
    let body = data.get(header.consumed..).unwrap_or_default();
    let Ok(guarded) = shape::check(key, version, body, BUDGET) else { return };
    if let Some(left) = decode(key, body, version) {
        assert_eq!(left, body.len() - guarded.consumed, "the guard and the decoder disagree on the body");
    }
}

fn decode(key: i16, body: &[u8], version: i16) -> Option<usize> {
    match ApiKey::try_from(key).ok()? {
        ApiKey::Produce => left_after::<ProduceRequest>(body, version),
        ApiKey::Fetch => left_after::<FetchRequest>(body, version),
        ApiKey::ListOffsets => left_after::<ListOffsetsRequest>(body, version),
        ApiKey::Metadata => left_after::<MetadataRequest>(body, version),
        ApiKey::OffsetCommit => left_after::<messages::offset_commit::Request>(body, version),
        ApiKey::OffsetFetch => left_after::<messages::offset_fetch::Request>(body, version),
        ApiKey::FindCoordinator => left_after::<FindCoordinatorRequest>(body, version),
        ApiKey::JoinGroup => left_after::<JoinGroupRequest>(body, version),
        ApiKey::Heartbeat => left_after::<HeartbeatRequest>(body, version),
        ApiKey::LeaveGroup => left_after::<LeaveGroupRequest>(body, version),
        ApiKey::SyncGroup => left_after::<SyncGroupRequest>(body, version),
        ApiKey::DescribeGroups => left_after::<DescribeGroupsRequest>(body, version),
        ApiKey::ListGroups => left_after::<ListGroupsRequest>(body, version),
        ApiKey::ApiVersions => left_after::<ApiVersionsRequest>(body, version),
        ApiKey::CreateTopics => left_after::<CreateTopicsRequest>(body, version),
        ApiKey::DeleteTopics => left_after::<DeleteTopicsRequest>(body, version),
        ApiKey::InitProducerId => left_after::<InitProducerIdRequest>(body, version),
        ApiKey::OffsetForLeaderEpoch => left_after::<OffsetForLeaderEpochRequest>(body, version),
        ApiKey::AddPartitionsToTxn => left_after::<AddPartitionsToTxnRequest>(body, version),
        ApiKey::AddOffsetsToTxn => left_after::<AddOffsetsToTxnRequest>(body, version),
        ApiKey::EndTxn => left_after::<EndTxnRequest>(body, version),
        ApiKey::WriteTxnMarkers => left_after::<WriteTxnMarkersRequest>(body, version),
        ApiKey::TxnOffsetCommit => left_after::<TxnOffsetCommitRequest>(body, version),
        ApiKey::DescribeConfigs => left_after::<DescribeConfigsRequest>(body, version),
        ApiKey::AlterConfigs => left_after::<AlterConfigsRequest>(body, version),
        ApiKey::CreatePartitions => left_after::<CreatePartitionsRequest>(body, version),
        ApiKey::DeleteGroups => left_after::<DeleteGroupsRequest>(body, version),
        ApiKey::IncrementalAlterConfigs => left_after::<IncrementalAlterConfigsRequest>(body, version),
        ApiKey::OffsetDelete => left_after::<OffsetDeleteRequest>(body, version),
        ApiKey::DescribeCluster => left_after::<DescribeClusterRequest>(body, version),
        ApiKey::DescribeProducers => left_after::<DescribeProducersRequest>(body, version),
        ApiKey::DescribeTransactions => left_after::<DescribeTransactionsRequest>(body, version),
        ApiKey::ListTransactions => left_after::<ListTransactionsRequest>(body, version),
        ApiKey::ConsumerGroupHeartbeat => left_after::<ConsumerGroupHeartbeatRequest>(body, version),
        ApiKey::ConsumerGroupDescribe => left_after::<ConsumerGroupDescribeRequest>(body, version),
        ApiKey::ListConfigResources => left_after::<ListConfigResourcesRequest>(body, version),
        ApiKey::DescribeTopicPartitions => left_after::<DescribeTopicPartitionsRequest>(body, version),
        other => panic!("the guard knows {other:?}, this target does not"),
    }
}

/// How many bytes a message leaves; `None` if it does not decode.
fn left_after<T: Decodable>(bytes: &[u8], version: i16) -> Option<usize> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    T::decode(&mut bytes, version).ok().map(|_| bytes.len())
}

/// One byte that chooses the rules, then what a Produce request carries for a partition. The fuzzer cannot make
/// checksums, so one of the bits asks for a length and a CRC that are right.
pub fn batch(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let mut bytes = data.to_vec();
    if choice & 1 != 0 {
        mend(&mut bytes);
    }
    let by_broker = choice & 2 != 0;
    let rules = Rules {
        api_version: if choice & 4 != 0 { 9 } else { 3 },
        max_message_bytes: 1 << 20,
        segment_bytes: 1 << 20,
        compacted: choice & 8 != 0,
        timestamp_type: if by_broker {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime { before_max_ms: i64::MAX, after_max_ms: 3_600_000 }
        },
        now: 1_700_000_000_000,
        decompressed_limit: DECOMPRESSED_LIMIT,
    };
    let Ok(valid) = validate(Some(bytes.into()), &rules) else { return };
    assert_eq!(valid.header.crc, checksum(&valid.header.encode(), &valid.records));
    assert_eq!(valid.header.is_append_time(), by_broker);
    let mut count = 0;
    let again = walk(&valid.header, &valid.records, DECOMPRESSED_LIMIT, |_| {
        count += 1;
        Ok::<_, RecordsError>(())
    });
    assert_eq!((again, count), (Ok(()), valid.header.record_count));
}

fn mend(bytes: &mut [u8]) {
    let length = (bytes.len() as i32).wrapping_sub(12).to_be_bytes();
    if let Some(place) = bytes.get_mut(8..12) {
        place.copy_from_slice(&length);
    }
    let crc = crc_of(bytes).to_be_bytes();
    if let Some(place) = bytes.get_mut(17..21) {
        place.copy_from_slice(&crc);
    }
}

fn crc_of(bytes: &[u8]) -> u32 {
    let Some((head, records)) = bytes.split_first_chunk() else { return 0 };
    checksum(head, records)
}
