use super::*;
use crate::api::messages::{offset_commit, offset_fetch};
use bytes::Bytes;
use generators::{decode, encoded, request};
use kafka_protocol::messages::{self as m, *};
use kafka_protocol::protocol::{Decodable, Message, StrBytes};
use proptest::prelude::*;
use std::collections::BTreeMap;

mod generators;

const AMPLE: usize = 1 << 30;

fn every_request() -> impl Iterator<Item = (i16, i16)> {
    known().flat_map(|(key, lowest, highest)| (lowest..=highest).map(move |version| (key, version)))
}

#[test]
fn ends_where_the_codec_ends() {
    for (key, version) in every_request() {
        for seed in 0..100 {
            let mut body = request(key, version, seed);
            let shape = check(key, version, &body, AMPLE);
            assert_eq!(shape.map(|shape| shape.consumed), Ok(body.len()), "{key} v{version} seed {seed}");
            body.push(0);
            let shape = check(key, version, &body, AMPLE).unwrap();
            assert_eq!(decode(key, version, &body), Ok(body.len() - shape.consumed), "{key} v{version} seed {seed}");
        }
    }
}

#[test]
fn no_cut_passes() {
    for (key, version) in every_request() {
        for seed in 0..8 {
            let body = request(key, version, seed);
            for cut in 0..body.len().min(3000) {
                let shape = check(key, version, &body[..cut], AMPLE);
                assert!(shape.is_err(), "{key} v{version} seed {seed} cut {cut}: {shape:?}");
            }
        }
    }
}

#[test]
fn ranges_are_those_of_the_codec() {
    let codec = [
        (0, ProduceRequest::VERSIONS),
        (1, FetchRequest::VERSIONS),
        (2, ListOffsetsRequest::VERSIONS),
        (3, MetadataRequest::VERSIONS),
        (8, offset_commit::Request::VERSIONS),
        (9, offset_fetch::Request::VERSIONS),
        (10, FindCoordinatorRequest::VERSIONS),
        (11, JoinGroupRequest::VERSIONS),
        (12, HeartbeatRequest::VERSIONS),
        (13, LeaveGroupRequest::VERSIONS),
        (14, SyncGroupRequest::VERSIONS),
        (15, DescribeGroupsRequest::VERSIONS),
        (16, ListGroupsRequest::VERSIONS),
        (18, ApiVersionsRequest::VERSIONS),
        (19, CreateTopicsRequest::VERSIONS),
        (20, DeleteTopicsRequest::VERSIONS),
        (22, InitProducerIdRequest::VERSIONS),
        (23, OffsetForLeaderEpochRequest::VERSIONS),
        (24, AddPartitionsToTxnRequest::VERSIONS),
        (25, AddOffsetsToTxnRequest::VERSIONS),
        (26, EndTxnRequest::VERSIONS),
        (27, WriteTxnMarkersRequest::VERSIONS),
        (28, TxnOffsetCommitRequest::VERSIONS),
        (32, DescribeConfigsRequest::VERSIONS),
        (33, AlterConfigsRequest::VERSIONS),
        (37, CreatePartitionsRequest::VERSIONS),
        (42, DeleteGroupsRequest::VERSIONS),
        (44, IncrementalAlterConfigsRequest::VERSIONS),
        (47, OffsetDeleteRequest::VERSIONS),
        (60, DescribeClusterRequest::VERSIONS),
        (61, DescribeProducersRequest::VERSIONS),
        (65, DescribeTransactionsRequest::VERSIONS),
        (66, ListTransactionsRequest::VERSIONS),
        (68, ConsumerGroupHeartbeatRequest::VERSIONS),
        (69, ConsumerGroupDescribeRequest::VERSIONS),
        (74, ListConfigResourcesRequest::VERSIONS),
        (75, DescribeTopicPartitionsRequest::VERSIONS),
    ];
    let ours: Vec<_> = known().collect();
    assert_eq!(ours, codec.map(|(key, range)| (key, range.min, range.max)));
    for (key, version) in every_request() {
        let header = ApiKey::try_from(key).unwrap().request_header_version(version);
        assert_eq!(request_header_version(key, version), Some(header), "{key} v{version}");
    }
    for (key, version) in [(0, 2), (0, 14), (0, -1), (99, 0), (-1, 0), (i16::MAX, i16::MIN)] {
        assert_eq!(check(key, version, &[], AMPLE), Err(ShapeError::Unsupported { api_key: key, version }));
        assert_eq!(request_header_version(key, version), None);
    }
}

#[test]
fn five_bytes_cannot_ask_for_gigabytes() {
    for (key, version) in every_request() {
        for lie in [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0xfe, 0xff, 0xff, 0xff, 0x0f]] {
            // At the front, and at every place of a real request.
            let real = request(key, version, 3);
            for at in 0..=real.len().min(500) {
                let body = [&real[..at], lie].concat();
                if let Ok(shape) = check(key, version, &body, AMPLE) {
                    assert!(shape.cost < 100_000, "{key} v{version} at {at}: {shape:?}");
                    let _ = decode(key, version, &body);
                }
            }
        }
    }
    let lie = |length| Err(ShapeError::Length { field: "topics", length });
    assert_eq!(check(3, 0, &[0x7f, 0xff, 0xff, 0xff], AMPLE), lie(i64::from(i32::MAX)));
    assert_eq!(check(3, 9, &[0xff, 0xff, 0xff, 0xff, 0x0f], AMPLE), lie(0xffff_fffe));
    assert_eq!(check(3, 0, &[0xff, 0xff, 0xff, 0xfe], AMPLE), lie(-2));
    // Two elements of two bytes at least do not fit three bytes.
    assert_eq!(check(3, 0, &[0, 0, 0, 2, 0, 0, 0], AMPLE), lie(2));
}

#[test]
fn tagged_fields_are_bounded() {
    let metadata = |tags: &[u8]| check(3, 12, &[&[1, 0, 0][..], tags].concat(), AMPLE);
    assert!(metadata(&[0]).is_ok());
    assert_eq!(metadata(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Err(ShapeError::TaggedFields(u32::MAX)));
    let sixty_four = [&[64][..], &[9, 0].repeat(64)].concat();
    assert_eq!(metadata(&sixty_four).map(|shape| shape.consumed), Ok(3 + sixty_four.len()));
    let (plain, tagged) = (metadata(&[0]).unwrap().cost, metadata(&sixty_four).unwrap().cost);
    assert_eq!(tagged - plain, UNKNOWN_FIELDS_COST + 64 * UNKNOWN_FIELD_COST);
    assert_eq!(metadata(&[&[65][..], &[9, 0].repeat(65)].concat()), Err(ShapeError::TaggedFields(65)));
    // One field that says it has 2^32 - 1 bytes.
    let field = "the tagged fields";
    let long = [1, 9, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(metadata(&long), Err(ShapeError::Length { field, length: 0xffff_ffff }));
    assert_eq!(metadata(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]), Err(ShapeError::Varint(field)));
    assert_eq!(metadata(&[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(ShapeError::Varint(field)));
}

#[test]
fn known_tagged_fields_have_the_size_they_announce() {
    let mut body = encoded(FetchRequest::default().with_cluster_id(Some(StrBytes::from_static_str("abc"))), 12);
    assert_eq!(body[body.len() - 7..], [1, 0, 4, 4, b'a', b'b', b'c']);
    assert!(check(1, 12, &body, AMPLE).is_ok());
    let size = body.len() - 5;
    for wrong in [0, 3, 5] {
        body[size] = wrong;
        body.push(0);
        assert_eq!(check(1, 12, &body, AMPLE), Err(ShapeError::TaggedSize("cluster_id")), "size {wrong}");
    }
}

#[test]
fn presence_is_one_or_minus_one() {
    for (byte, expected) in [(0xff, true), (0, false), (2, false), (0x7f, false), (1, false)] {
        let body = [1, 0, 0, 0, 0, byte, 0];
        assert_eq!(check(75, 0, &body, AMPLE).is_ok(), expected, "{byte:#x}");
    }
}

#[test]
fn memory_is_charged() {
    // 10,000 topics of two bytes each: decoded they are 10,000 structs.
    let body = [&[0x91, 0x4e][..], &[1, 0].repeat(10_000), &[0; 4]].concat();
    let shape = check(3, 9, &body, AMPLE).unwrap();
    let each = std::mem::size_of::<m::metadata_request::MetadataRequestTopic>();
    assert!(shape.cost >= 10_000 * each, "{shape:?} for {each} bytes each");
    assert!(check(3, 9, &body, shape.cost).is_ok());
    assert_eq!(check(3, 9, &body, shape.cost - 1), Err(ShapeError::Budget(shape.cost - 1)));
    assert_eq!(check(3, 9, &body, 10_000), Err(ShapeError::Budget(10_000)));
}

/// What the table says one element of the array at `path` takes.
fn table_memory(key: i16, path: &[&str]) -> usize {
    let mut fields = APIS.iter().find(|api| api.key == key).unwrap().fields;
    for name in path {
        fields = match fields.iter().find(|field| field.name == *name).unwrap().kind {
            Kind::Structs(fields) | Kind::Struct(fields) | Kind::NullableStruct(fields) => fields,
            _ => panic!("{name} holds no structs"),
        };
    }
    struct_memory(fields)
}

#[test]
fn structs_are_no_larger_than_the_table_says() {
    use std::mem::size_of;
    let rows = [
        (0, &[][..], size_of::<ProduceRequest>()),
        (0, &["topic_data"], size_of::<m::produce_request::TopicProduceData>()),
        (0, &["topic_data", "partition_data"], size_of::<m::produce_request::PartitionProduceData>()),
        (1, &[], size_of::<FetchRequest>()),
        (1, &["topics"], size_of::<m::fetch_request::FetchTopic>()),
        (1, &["topics", "partitions"], size_of::<m::fetch_request::FetchPartition>()),
        (1, &["forgotten_topics_data"], size_of::<m::fetch_request::ForgottenTopic>()),
        (1, &["replica_state"], size_of::<m::fetch_request::ReplicaState>()),
        (2, &["topics"], size_of::<m::list_offsets_request::ListOffsetsTopic>()),
        (2, &["topics", "partitions"], size_of::<m::list_offsets_request::ListOffsetsPartition>()),
        (3, &["topics"], size_of::<m::metadata_request::MetadataRequestTopic>()),
        (8, &[], size_of::<offset_commit::Request>()),
        (8, &["topics"], size_of::<m::offset_commit_request::OffsetCommitRequestTopic>()),
        (8, &["topics", "partitions"], size_of::<m::offset_commit_request::OffsetCommitRequestPartition>()),
        (9, &["topics"], size_of::<m::offset_fetch_request::OffsetFetchRequestTopic>()),
        (9, &["groups"], size_of::<m::offset_fetch_request::OffsetFetchRequestGroup>()),
        (9, &["groups", "topics"], size_of::<m::offset_fetch_request::OffsetFetchRequestTopics>()),
        (11, &[], size_of::<JoinGroupRequest>()),
        (11, &["protocols"], size_of::<m::join_group_request::JoinGroupRequestProtocol>()),
        (13, &["members"], size_of::<m::leave_group_request::MemberIdentity>()),
        (14, &["assignments"], size_of::<m::sync_group_request::SyncGroupRequestAssignment>()),
        (19, &["topics"], size_of::<m::create_topics_request::CreatableTopic>()),
        (19, &["topics", "assignments"], size_of::<m::create_topics_request::CreatableReplicaAssignment>()),
        (19, &["topics", "configs"], size_of::<m::create_topics_request::CreatableTopicConfig>()),
        (20, &["topics"], size_of::<m::delete_topics_request::DeleteTopicState>()),
        (23, &["topics"], size_of::<m::offset_for_leader_epoch_request::OffsetForLeaderTopic>()),
        (23, &["topics", "partitions"], size_of::<m::offset_for_leader_epoch_request::OffsetForLeaderPartition>()),
        (32, &["resources"], size_of::<m::describe_configs_request::DescribeConfigsResource>()),
        (33, &["resources"], size_of::<m::alter_configs_request::AlterConfigsResource>()),
        (33, &["resources", "configs"], size_of::<m::alter_configs_request::AlterableConfig>()),
        (37, &["topics"], size_of::<m::create_partitions_request::CreatePartitionsTopic>()),
        (37, &["topics", "assignments"], size_of::<m::create_partitions_request::CreatePartitionsAssignment>()),
        (44, &["resources"], size_of::<m::incremental_alter_configs_request::AlterConfigsResource>()),
        (44, &["resources", "configs"], size_of::<m::incremental_alter_configs_request::AlterableConfig>()),
        (68, &[], size_of::<ConsumerGroupHeartbeatRequest>()),
        (68, &["topic_partitions"], size_of::<m::consumer_group_heartbeat_request::TopicPartitions>()),
        (75, &["topics"], size_of::<m::describe_topic_partitions_request::TopicRequest>()),
        (75, &["cursor"], size_of::<m::describe_topic_partitions_request::Cursor>()),
    ];
    for (key, path, size) in rows {
        let table = table_memory(key, path);
        assert!(size <= table && table <= 2 * size, "{key} {path:?}: {table} for {size}");
    }
    assert!(size_of::<StrBytes>() <= value_memory(Kind::Text));
}

#[test]
fn headers_are_guarded() {
    let header = |version, tags: BTreeMap<i32, Bytes>, client_id: Option<StrBytes>| {
        let header = RequestHeader::default().with_request_api_key(3).with_client_id(client_id);
        encoded(header.with_unknown_tagged_fields(tags), version)
    };
    let one = BTreeMap::from([(5, Bytes::from_static(b"abc"))]);
    for client_id in [None, Some(StrBytes::from_static_str("")), Some(StrBytes::from_static_str("client"))] {
        for (version, tags) in [(1, BTreeMap::new()), (2, BTreeMap::new()), (2, one.clone())] {
            let whole = header(version, tags, client_id.clone());
            let mut frame = whole.clone();
            frame.extend_from_slice(b"body");
            let shape = check_request_header(&frame, version, AMPLE).unwrap();
            assert_eq!(shape.consumed, whole.len());
            let mut bytes = Bytes::from(frame);
            assert!(RequestHeader::decode(&mut bytes, version).is_ok());
            assert_eq!(&bytes[..], b"body");
            for cut in 0..whole.len() {
                assert!(check_request_header(&whole[..cut], version, AMPLE).is_err(), "cut at {cut}");
            }
        }
    }
    // Twenty million tagged fields, each of them two bytes.
    let head = [0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff];
    let many = [&head[..], &[0x80, 0xda, 0xc4, 0x09], &[9, 0].repeat(1000)].concat();
    assert_eq!(check_request_header(&many, 2, AMPLE), Err(ShapeError::TaggedFields(20_000_000)));
    let long = [&head[..8], &[0x7f, 0xff, b'x']].concat();
    let field = "client_id";
    assert_eq!(check_request_header(&long, 1, AMPLE), Err(ShapeError::Length { field, length: 0x7fff }));
    assert_eq!(check_request_header(&head, 1, 10), Err(ShapeError::Budget(10)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn what_passes_decodes_to_the_same_end(
        which in any::<prop::sample::Index>(), seed in 0u64..50, at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let all: Vec<_> = every_request().collect();
        let (key, version) = all[which.index(all.len())];
        let mut body = request(key, version, seed);
        let place = at.index(body.len().max(1));
        if let Some(damaged) = body.get_mut(place) {
            *damaged = byte;
        }
        if let Ok(shape) = check(key, version, &body, AMPLE) && let Ok(left) = decode(key, version, &body) {
            prop_assert_eq!(left, body.len() - shape.consumed);
        }
    }

    #[test]
    fn noise_never_panics(
        which in any::<prop::sample::Index>(), body in proptest::collection::vec(any::<u8>(), 0..100)
    ) {
        let all: Vec<_> = every_request().collect();
        let (key, version) = all[which.index(all.len())];
        if check(key, version, &body, 1 << 20).is_ok() {
            let _ = decode(key, version, &body);
        }
        let _ = check_request_header(&body, 2, 1 << 20);
    }
}
