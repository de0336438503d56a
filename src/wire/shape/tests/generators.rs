//! Random requests of every API and version, encoded and decoded by the codec that the guard stands in front of.

mod groups;
mod transactions;

use super::request_header_version;
use crate::api::messages::{offset_commit, offset_fetch};
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{self as m, *};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use std::collections::BTreeMap;
use uuid::Uuid;

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

    fn group(&mut self) -> GroupId {
        GroupId(self.text())
    }

    fn blob(&mut self) -> Bytes {
        Bytes::from(vec![1; self.below(300) as usize])
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

pub(super) fn encoded(message: impl Encodable, version: i16) -> Vec<u8> {
    let mut out = BytesMut::new();
    message.encode(&mut out, version).unwrap();
    out.to_vec()
}

fn produce(g: &mut Gen) -> ProduceRequest {
    let partition = |g: &mut Gen| {
        let records = g.maybe(Gen::blob);
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

fn list_config_resources(g: &mut Gen) -> ListConfigResourcesRequest {
    let types = if g.version >= 1 { g.many(|g| g.int32() as i8) } else { Vec::new() };
    ListConfigResourcesRequest::default().with_resource_types(types).with_unknown_tagged_fields(g.tags())
}

/// A random request, encoded by the codec that the guard stands in front of.
pub(super) fn request(key: i16, version: i16, seed: u64) -> Vec<u8> {
    let flexible = request_header_version(key, version) == Some(2);
    let g = &mut Gen { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, version, flexible };
    match ApiKey::try_from(key).unwrap() {
        ApiKey::Produce => encoded(produce(g), version),
        ApiKey::Fetch => encoded(fetch(g), version),
        ApiKey::ListOffsets => encoded(list_offsets(g), version),
        ApiKey::Metadata => encoded(metadata(g), version),
        ApiKey::OffsetCommit => encoded(groups::offset_commit_request(g), version),
        ApiKey::OffsetFetch => encoded(groups::offset_fetch_request(g), version),
        ApiKey::FindCoordinator => encoded(find_coordinator(g), version),
        ApiKey::JoinGroup => encoded(groups::join_group(g), version),
        ApiKey::Heartbeat => encoded(groups::heartbeat(g), version),
        ApiKey::LeaveGroup => encoded(groups::leave_group(g), version),
        ApiKey::SyncGroup => encoded(groups::sync_group(g), version),
        ApiKey::DescribeGroups => encoded(groups::describe_groups(g), version),
        ApiKey::ListGroups => encoded(groups::list_groups(g), version),
        ApiKey::ApiVersions => encoded(api_versions(g), version),
        ApiKey::CreateTopics => encoded(create_topics(g), version),
        ApiKey::DeleteTopics => encoded(delete_topics(g), version),
        ApiKey::InitProducerId => encoded(transactions::init_producer_id(g), version),
        ApiKey::OffsetForLeaderEpoch => encoded(offset_for_leader_epoch(g), version),
        ApiKey::AddPartitionsToTxn => encoded(transactions::add_partitions_to_txn(g), version),
        ApiKey::AddOffsetsToTxn => encoded(transactions::add_offsets_to_txn(g), version),
        ApiKey::EndTxn => encoded(transactions::end_txn(g), version),
        ApiKey::WriteTxnMarkers => encoded(transactions::write_txn_markers(g), version),
        ApiKey::TxnOffsetCommit => encoded(transactions::txn_offset_commit(g), version),
        ApiKey::DescribeConfigs => encoded(describe_configs(g), version),
        ApiKey::AlterConfigs => encoded(alter_configs(g), version),
        ApiKey::CreatePartitions => encoded(create_partitions(g), version),
        ApiKey::DeleteGroups => encoded(groups::delete_groups(g), version),
        ApiKey::IncrementalAlterConfigs => encoded(incremental_alter_configs(g), version),
        ApiKey::OffsetDelete => encoded(groups::offset_delete(g), version),
        ApiKey::DescribeCluster => {
            encoded(DescribeClusterRequest::default().with_unknown_tagged_fields(g.tags()), version)
        }
        ApiKey::DescribeProducers => encoded(transactions::describe_producers(g), version),
        ApiKey::DescribeTransactions => encoded(transactions::describe_transactions(g), version),
        ApiKey::ListTransactions => encoded(transactions::list_transactions(g), version),
        ApiKey::ConsumerGroupHeartbeat => encoded(groups::consumer_group_heartbeat(g), version),
        ApiKey::ConsumerGroupDescribe => encoded(groups::consumer_group_describe(g), version),
        ApiKey::ListConfigResources => encoded(list_config_resources(g), version),
        ApiKey::DescribeTopicPartitions => encoded(describe_topic_partitions(g), version),
        other => panic!("no generator for {other:?}"),
    }
}

fn decode_as<T: Decodable>(version: i16, body: &[u8]) -> Result<usize, String> {
    let mut bytes = Bytes::copy_from_slice(body);
    T::decode(&mut bytes, version).map(|_| bytes.remaining()).map_err(|error| error.to_string())
}

/// Decodes with the codec and gives how many bytes are left over.
pub(super) fn decode(key: i16, version: i16, body: &[u8]) -> Result<usize, String> {
    match ApiKey::try_from(key).unwrap() {
        ApiKey::Produce => decode_as::<ProduceRequest>(version, body),
        ApiKey::Fetch => decode_as::<FetchRequest>(version, body),
        ApiKey::ListOffsets => decode_as::<ListOffsetsRequest>(version, body),
        ApiKey::Metadata => decode_as::<MetadataRequest>(version, body),
        ApiKey::OffsetCommit => decode_as::<offset_commit::Request>(version, body),
        ApiKey::OffsetFetch => decode_as::<offset_fetch::Request>(version, body),
        ApiKey::FindCoordinator => decode_as::<FindCoordinatorRequest>(version, body),
        ApiKey::JoinGroup => decode_as::<JoinGroupRequest>(version, body),
        ApiKey::Heartbeat => decode_as::<HeartbeatRequest>(version, body),
        ApiKey::LeaveGroup => decode_as::<LeaveGroupRequest>(version, body),
        ApiKey::SyncGroup => decode_as::<SyncGroupRequest>(version, body),
        ApiKey::DescribeGroups => decode_as::<DescribeGroupsRequest>(version, body),
        ApiKey::ListGroups => decode_as::<ListGroupsRequest>(version, body),
        ApiKey::ApiVersions => decode_as::<ApiVersionsRequest>(version, body),
        ApiKey::CreateTopics => decode_as::<CreateTopicsRequest>(version, body),
        ApiKey::DeleteTopics => decode_as::<DeleteTopicsRequest>(version, body),
        ApiKey::InitProducerId => decode_as::<InitProducerIdRequest>(version, body),
        ApiKey::OffsetForLeaderEpoch => decode_as::<OffsetForLeaderEpochRequest>(version, body),
        ApiKey::AddPartitionsToTxn => decode_as::<AddPartitionsToTxnRequest>(version, body),
        ApiKey::AddOffsetsToTxn => decode_as::<AddOffsetsToTxnRequest>(version, body),
        ApiKey::EndTxn => decode_as::<EndTxnRequest>(version, body),
        ApiKey::WriteTxnMarkers => decode_as::<WriteTxnMarkersRequest>(version, body),
        ApiKey::TxnOffsetCommit => decode_as::<TxnOffsetCommitRequest>(version, body),
        ApiKey::DescribeConfigs => decode_as::<DescribeConfigsRequest>(version, body),
        ApiKey::AlterConfigs => decode_as::<AlterConfigsRequest>(version, body),
        ApiKey::CreatePartitions => decode_as::<CreatePartitionsRequest>(version, body),
        ApiKey::DeleteGroups => decode_as::<DeleteGroupsRequest>(version, body),
        ApiKey::IncrementalAlterConfigs => decode_as::<IncrementalAlterConfigsRequest>(version, body),
        ApiKey::OffsetDelete => decode_as::<OffsetDeleteRequest>(version, body),
        ApiKey::DescribeCluster => decode_as::<DescribeClusterRequest>(version, body),
        ApiKey::DescribeProducers => decode_as::<DescribeProducersRequest>(version, body),
        ApiKey::DescribeTransactions => decode_as::<DescribeTransactionsRequest>(version, body),
        ApiKey::ListTransactions => decode_as::<ListTransactionsRequest>(version, body),
        ApiKey::ConsumerGroupHeartbeat => decode_as::<ConsumerGroupHeartbeatRequest>(version, body),
        ApiKey::ConsumerGroupDescribe => decode_as::<ConsumerGroupDescribeRequest>(version, body),
        ApiKey::ListConfigResources => decode_as::<ListConfigResourcesRequest>(version, body),
        ApiKey::DescribeTopicPartitions => decode_as::<DescribeTopicPartitionsRequest>(version, body),
        other => panic!("no decoder for {other:?}"),
    }
}
