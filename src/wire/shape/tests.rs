use super::*;
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{self as m, *};
use kafka_protocol::protocol::{Decodable, Encodable, Message, StrBytes};
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

const AMPLE: usize = 1 << 30;

/// Deterministic choices out of one seed, and the version that the message is for.
struct Gen {
    state: u64,
    version: i16,
    flexible: bool,
}

impl Gen {
    fn number(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    fn int32(&mut self) -> i32 {
        self.number() as i32
    }

    fn text(&mut self) -> StrBytes {
        let size = if self.below(20) == 0 { 200 } else { self.below(12) } as usize;
        StrBytes::from_string("x".repeat(size))
    }

    fn topic(&mut self) -> TopicName {
        TopicName(self.text())
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.number(), self.number())
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(3) > 0).then(|| make(self))
    }

    fn many<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = if self.below(30) == 0 { 150 } else { self.below(4) };
        (0..count).map(|_| make(self)).collect()
    }

    fn since<T: Default>(&mut self, version: i16, make: impl FnOnce(&mut Self) -> T) -> T {
        if self.version >= version { make(self) } else { T::default() }
    }

    fn until<T: Default>(&mut self, version: i16, make: impl FnOnce(&mut Self) -> T) -> T {
        if self.version <= version { make(self) } else { T::default() }
    }

    /// Tagged fields of the future.
    fn tags(&mut self) -> BTreeMap<i32, Bytes> {
        let count = if self.flexible && self.below(4) == 0 { 1 + self.below(3) } else { 0 };
        (0..count).map(|_| (50 + self.below(9000) as i32, Bytes::from(vec![7; self.below(200) as usize]))).collect()
    }
}

fn encoded(message: impl Encodable, version: i16) -> Vec<u8> {
    let mut out = BytesMut::new();
    message.encode(&mut out, version).unwrap();
    out.to_vec()
}

fn produce(g: &mut Gen) -> ProduceRequest {
    let partition = |g: &mut Gen| {
        let records = g.maybe(|g| Bytes::from(vec![1; g.below(300) as usize]));
        m::produce_request::PartitionProduceData::default()
            .with_index(g.int32())
            .with_records(records)
            .with_unknown_tagged_fields(g.tags())
    };
    let topic = |g: &mut Gen| {
        m::produce_request::TopicProduceData::default()
            .with_name(g.until(12, Gen::topic))
            .with_topic_id(g.since(13, Gen::uuid))
            .with_partition_data(g.many(partition))
            .with_unknown_tagged_fields(g.tags())
    };
    ProduceRequest::default()
        .with_transactional_id(g.maybe(|g| TransactionalId(g.text())))
        .with_acks(-1)
        .with_timeout_ms(g.int32())
        .with_topic_data(g.many(topic))
        .with_unknown_tagged_fields(g.tags())
}

fn fetch(g: &mut Gen) -> FetchRequest {
    let partition = |g: &mut Gen| {
        let mut it = m::fetch_request::FetchPartition::default()
            .with_partition(g.int32())
            .with_fetch_offset(g.number() as i64)
            .with_partition_max_bytes(g.int32())
            .with_replica_directory_id(g.since(17, Gen::uuid))
            .with_unknown_tagged_fields(g.tags());
        if g.version >= 12 {
            it = it.with_current_leader_epoch(g.int32()).with_last_fetched_epoch(g.int32());
        }
        if g.version >= 18 {
            it = it.with_high_watermark(g.below(5) as i64);
        }
        it
    };
    let topic = |g: &mut Gen| {
        m::fetch_request::FetchTopic::default()
            .with_topic(g.until(12, Gen::topic))
            .with_topic_id(g.since(13, Gen::uuid))
            .with_partitions(g.many(partition))
            .with_unknown_tagged_fields(g.tags())
    };
    let forgotten = |g: &mut Gen| {
        m::fetch_request::ForgottenTopic::default()
            .with_topic(g.until(12, Gen::topic))
            .with_topic_id(g.since(13, Gen::uuid))
            .with_partitions(g.many(Gen::int32))
            .with_unknown_tagged_fields(g.tags())
    };
    let mut it = FetchRequest::default()
        .with_max_wait_ms(g.int32())
        .with_topics(g.many(topic))
        .with_forgotten_topics_data(g.since(7, |g| g.many(forgotten)))
        .with_rack_id(g.since(11, Gen::text))
        .with_cluster_id(g.since(12, |g| g.maybe(Gen::text)))
        .with_unknown_tagged_fields(g.tags());
    if g.version >= 15 && g.below(2) == 0 {
        let state = m::fetch_request::ReplicaState::default().with_replica_id(BrokerId(g.int32()));
        it = it.with_replica_state(state.with_replica_epoch(5).with_unknown_tagged_fields(g.tags()));
    }
    it
}

fn list_offsets(g: &mut Gen) -> ListOffsetsRequest {
    let partition = |g: &mut Gen| {
        m::list_offsets_request::ListOffsetsPartition::default()
            .with_partition_index(g.int32())
            .with_timestamp(g.number() as i64)
            .with_unknown_tagged_fields(g.tags())
    };
    let topic = |g: &mut Gen| {
        m::list_offsets_request::ListOffsetsTopic::default()
            .with_name(g.topic())
            .with_partitions(g.many(partition))
            .with_unknown_tagged_fields(g.tags())
    };
    ListOffsetsRequest::default()
        .with_topics(g.many(topic))
        .with_isolation_level(g.since(2, |_| 1))
        .with_timeout_ms(g.since(10, Gen::int32))
        .with_unknown_tagged_fields(g.tags())
}

fn metadata(g: &mut Gen) -> MetadataRequest {
    let topic = |g: &mut Gen| {
        let name = if g.version >= 10 { g.maybe(Gen::topic) } else { Some(g.topic()) };
        m::metadata_request::MetadataRequestTopic::default()
            .with_topic_id(g.since(10, Gen::uuid))
            .with_name(name)
            .with_unknown_tagged_fields(g.tags())
    };
    let topics = g.many(topic);
    let none = g.version >= 1 && g.below(4) == 0;
    MetadataRequest::default().with_topics((!none).then_some(topics)).with_unknown_tagged_fields(g.tags())
}

fn find_coordinator(g: &mut Gen) -> FindCoordinatorRequest {
    FindCoordinatorRequest::default()
        .with_key(g.until(3, Gen::text))
        .with_key_type(g.since(1, |_| 1))
        .with_coordinator_keys(g.since(4, |g| g.many(Gen::text)))
        .with_unknown_tagged_fields(g.tags())
}

fn api_versions(g: &mut Gen) -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name(g.since(3, Gen::text))
        .with_client_software_version(g.since(3, Gen::text))
        .with_unknown_tagged_fields(g.tags())
}

fn create_topics(g: &mut Gen) -> CreateTopicsRequest {
    use m::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
    let assignment = |g: &mut Gen| {
        CreatableReplicaAssignment::default()
            .with_partition_index(g.int32())
            .with_broker_ids(g.many(|g| BrokerId(g.int32())))
            .with_unknown_tagged_fields(g.tags())
    };
    let config = |g: &mut Gen| {
        CreatableTopicConfig::default()
            .with_name(g.text())
            .with_value(g.maybe(Gen::text))
            .with_unknown_tagged_fields(g.tags())
    };
    let topic = |g: &mut Gen| {
        CreatableTopic::default()
            .with_name(g.topic())
            .with_num_partitions(g.int32())
            .with_assignments(g.many(assignment))
            .with_configs(g.many(config))
            .with_unknown_tagged_fields(g.tags())
    };
    CreateTopicsRequest::default().with_topics(g.many(topic)).with_unknown_tagged_fields(g.tags())
}

fn delete_topics(g: &mut Gen) -> DeleteTopicsRequest {
    let topic = |g: &mut Gen| {
        m::delete_topics_request::DeleteTopicState::default()
            .with_name(g.maybe(Gen::topic))
            .with_topic_id(g.uuid())
            .with_unknown_tagged_fields(g.tags())
    };
    DeleteTopicsRequest::default()
        .with_topics(g.since(6, |g| g.many(topic)))
        .with_topic_names(g.until(5, |g| g.many(Gen::topic)))
        .with_unknown_tagged_fields(g.tags())
}

fn init_producer_id(g: &mut Gen) -> InitProducerIdRequest {
    let it = InitProducerIdRequest::default()
        .with_transactional_id(g.maybe(|g| TransactionalId(g.text())))
        .with_transaction_timeout_ms(g.int32())
        .with_unknown_tagged_fields(g.tags());
    if g.version >= 3 { it.with_producer_id(ProducerId(7)).with_producer_epoch(3) } else { it }
}

fn offset_for_leader_epoch(g: &mut Gen) -> OffsetForLeaderEpochRequest {
    use m::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    let partition = |g: &mut Gen| {
        OffsetForLeaderPartition::default().with_partition(g.int32()).with_unknown_tagged_fields(g.tags())
    };
    let topic = |g: &mut Gen| {
        OffsetForLeaderTopic::default()
            .with_topic(g.topic())
            .with_partitions(g.many(partition))
            .with_unknown_tagged_fields(g.tags())
    };
    OffsetForLeaderEpochRequest::default().with_topics(g.many(topic)).with_unknown_tagged_fields(g.tags())
}

fn describe_configs(g: &mut Gen) -> DescribeConfigsRequest {
    let resource = |g: &mut Gen| {
        m::describe_configs_request::DescribeConfigsResource::default()
            .with_resource_name(g.text())
            .with_configuration_keys(g.maybe(|g| g.many(Gen::text)))
            .with_unknown_tagged_fields(g.tags())
    };
    DescribeConfigsRequest::default().with_resources(g.many(resource)).with_unknown_tagged_fields(g.tags())
}

fn alter_configs(g: &mut Gen) -> AlterConfigsRequest {
    use m::alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let config = |g: &mut Gen| {
        AlterableConfig::default()
            .with_name(g.text())
            .with_value(g.maybe(Gen::text))
            .with_unknown_tagged_fields(g.tags())
    };
    let resource = |g: &mut Gen| {
        AlterConfigsResource::default()
            .with_resource_name(g.text())
            .with_configs(g.many(config))
            .with_unknown_tagged_fields(g.tags())
    };
    AlterConfigsRequest::default().with_resources(g.many(resource)).with_unknown_tagged_fields(g.tags())
}

fn create_partitions(g: &mut Gen) -> CreatePartitionsRequest {
    use m::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
    let assignment = |g: &mut Gen| {
        CreatePartitionsAssignment::default()
            .with_broker_ids(g.many(|g| BrokerId(g.int32())))
            .with_unknown_tagged_fields(g.tags())
    };
    let topic = |g: &mut Gen| {
        CreatePartitionsTopic::default()
            .with_name(g.topic())
            .with_assignments(g.maybe(|g| g.many(assignment)))
            .with_unknown_tagged_fields(g.tags())
    };
    CreatePartitionsRequest::default().with_topics(g.many(topic)).with_unknown_tagged_fields(g.tags())
}

fn incremental_alter_configs(g: &mut Gen) -> IncrementalAlterConfigsRequest {
    use m::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let config = |g: &mut Gen| {
        AlterableConfig::default()
            .with_name(g.text())
            .with_value(g.maybe(Gen::text))
            .with_unknown_tagged_fields(g.tags())
    };
    let resource = |g: &mut Gen| {
        AlterConfigsResource::default()
            .with_resource_name(g.text())
            .with_configs(g.many(config))
            .with_unknown_tagged_fields(g.tags())
    };
    IncrementalAlterConfigsRequest::default().with_resources(g.many(resource)).with_unknown_tagged_fields(g.tags())
}

fn describe_topic_partitions(g: &mut Gen) -> DescribeTopicPartitionsRequest {
    use m::describe_topic_partitions_request::{Cursor, TopicRequest};
    let topic = |g: &mut Gen| TopicRequest::default().with_name(g.topic()).with_unknown_tagged_fields(g.tags());
    let cursor = |g: &mut Gen| Cursor::default().with_topic_name(g.topic()).with_unknown_tagged_fields(g.tags());
    DescribeTopicPartitionsRequest::default()
        .with_topics(g.many(topic))
        .with_cursor(g.maybe(cursor))
        .with_unknown_tagged_fields(g.tags())
}

/// A random request, encoded by the codec that the guard stands in front of.
fn request(key: i16, version: i16, seed: u64) -> Vec<u8> {
    let flexible = request_header_version(key, version) == Some(2);
    let g = &mut Gen { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, version, flexible };
    match ApiKey::try_from(key).unwrap() {
        ApiKey::Produce => encoded(produce(g), version),
        ApiKey::Fetch => encoded(fetch(g), version),
        ApiKey::ListOffsets => encoded(list_offsets(g), version),
        ApiKey::Metadata => encoded(metadata(g), version),
        ApiKey::FindCoordinator => encoded(find_coordinator(g), version),
        ApiKey::ApiVersions => encoded(api_versions(g), version),
        ApiKey::CreateTopics => encoded(create_topics(g), version),
        ApiKey::DeleteTopics => encoded(delete_topics(g), version),
        ApiKey::InitProducerId => encoded(init_producer_id(g), version),
        ApiKey::OffsetForLeaderEpoch => encoded(offset_for_leader_epoch(g), version),
        ApiKey::DescribeConfigs => encoded(describe_configs(g), version),
        ApiKey::AlterConfigs => encoded(alter_configs(g), version),
        ApiKey::CreatePartitions => encoded(create_partitions(g), version),
        ApiKey::IncrementalAlterConfigs => encoded(incremental_alter_configs(g), version),
        ApiKey::DescribeCluster => {
            encoded(DescribeClusterRequest::default().with_unknown_tagged_fields(g.tags()), version)
        }
        ApiKey::DescribeTopicPartitions => encoded(describe_topic_partitions(g), version),
        other => panic!("no generator for {other:?}"),
    }
}

fn decode_as<T: Decodable>(version: i16, body: &[u8]) -> Result<usize, String> {
    let mut bytes = Bytes::copy_from_slice(body);
    T::decode(&mut bytes, version).map(|_| bytes.remaining()).map_err(|error| error.to_string())
}

/// Decodes with the codec and gives how many bytes are left over.
fn decode(key: i16, version: i16, body: &[u8]) -> Result<usize, String> {
    match ApiKey::try_from(key).unwrap() {
        ApiKey::Produce => decode_as::<ProduceRequest>(version, body),
        ApiKey::Fetch => decode_as::<FetchRequest>(version, body),
        ApiKey::ListOffsets => decode_as::<ListOffsetsRequest>(version, body),
        ApiKey::Metadata => decode_as::<MetadataRequest>(version, body),
        ApiKey::FindCoordinator => decode_as::<FindCoordinatorRequest>(version, body),
        ApiKey::ApiVersions => decode_as::<ApiVersionsRequest>(version, body),
        ApiKey::CreateTopics => decode_as::<CreateTopicsRequest>(version, body),
        ApiKey::DeleteTopics => decode_as::<DeleteTopicsRequest>(version, body),
        ApiKey::InitProducerId => decode_as::<InitProducerIdRequest>(version, body),
        ApiKey::OffsetForLeaderEpoch => decode_as::<OffsetForLeaderEpochRequest>(version, body),
        ApiKey::DescribeConfigs => decode_as::<DescribeConfigsRequest>(version, body),
        ApiKey::AlterConfigs => decode_as::<AlterConfigsRequest>(version, body),
        ApiKey::CreatePartitions => decode_as::<CreatePartitionsRequest>(version, body),
        ApiKey::IncrementalAlterConfigs => decode_as::<IncrementalAlterConfigsRequest>(version, body),
        ApiKey::DescribeCluster => decode_as::<DescribeClusterRequest>(version, body),
        ApiKey::DescribeTopicPartitions => decode_as::<DescribeTopicPartitionsRequest>(version, body),
        other => panic!("no decoder for {other:?}"),
    }
}

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
        (10, FindCoordinatorRequest::VERSIONS),
        (18, ApiVersionsRequest::VERSIONS),
        (19, CreateTopicsRequest::VERSIONS),
        (20, DeleteTopicsRequest::VERSIONS),
        (22, InitProducerIdRequest::VERSIONS),
        (23, OffsetForLeaderEpochRequest::VERSIONS),
        (32, DescribeConfigsRequest::VERSIONS),
        (33, AlterConfigsRequest::VERSIONS),
        (37, CreatePartitionsRequest::VERSIONS),
        (44, IncrementalAlterConfigsRequest::VERSIONS),
        (60, DescribeClusterRequest::VERSIONS),
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
